#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards edu --timeout 240
# The edu card with a driver of our own (modules/edu_test.c): registers, INTx, MSI, DMA there and
# back; then DMA to an address outside of the guest, which the IOMMU stops and the host reports,
# while guest, card and host go on. Once on each IOMMU back end.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

[ ! -e "$LAB_EXTRA/missing" ] || skip "$(cat "$LAB_EXTRA/missing")"
lab_load kvm
vfio_rows
edu=$(lab_pf edu)
"$VFCTL" bind "$edu" vfio-pci >/dev/null
# The engine reaches the lowest 256 MiB: this guest has fewer, and no BAR lies there.
echo 0xe000000 >/mnt/outside
lab_guest_initrd /mnt/initrd edu_test.ko="$LAB_EXTRA/edu_test.ko" outside=/mnt/outside <<'END'
dmesg -n 1
try() { # WORD [PARAMETER]: the driver is bound, and says what it found
	dmesg -c >/dev/null
	insmod /edu_test.ko $2
	dmesg | sed -n "s/^.*edu_test: /$1: /p" | grep -v taint
	rmmod edu_test
}
try INSIDE
try OUTSIDE outside=$(cat /outside)
try AFTER
END
dmesg -c >/mnt/dmesg
for row in $rows; do
	guest_run 120 /mnt/log /mnt/initrd --memory 192M --device "vfio-pci,host=$edu,iommu=$row" && status=0 || status=$?
	check "$row: viaduct ends with status 0" [ "$status" = 0 ]
	check "$row: the guest's commands succeed" [ "$(guest_status /mnt/log)" = 0 ]
	for when in INSIDE OUTSIDE AFTER; do
		check_log "$row: $when: registers" "^$when: id 1.0, liveness well, 10! = 3628800" /mnt/log
		check_log "$row: $when: INTx" "^$when: INTx: 20 of 20 interrupts" /mnt/log
		check_log "$row: $when: MSI" "^$when: MSI: 20 of 20 interrupts" /mnt/log
		check_log "$row: $when: DMA" "^$when: DMA: 4 rounds of 4096 bytes to the card and back are the same" /mnt/log
		check_log "$row: $when: done" "^$when: done" /mnt/log
	done
	check_log "$row: nothing was read outside" '^OUTSIDE: outside: 0xe000000 read as nothing' /mnt/log
	check_log "$row: DMA inside goes on after it" '^OUTSIDE: after it: DMA works' /mnt/log
	check "$row: no fault anywhere" [ "$(grep -c FAULT /mnt/log)" = 0 ]
	dmesg -c | tee -a /mnt/dmesg | grep -E 'DMAR: \[DMA' >/mnt/faults || true
	for what in Write Read; do
		check_log "$row: the host reports the $what, by the function's address" \
			"DMA $what .*Request device \[${edu#0000:}\] fault addr 0xe000000" /mnt/faults
	done
	check "$row: and no other" [ "$(grep -vcE "\[${edu#0000:}\] fault addr 0xe000000" /mnt/faults)" = 0 ]
	sed 's/^/# /' /mnt/faults
	show /mnt/log 60
done
check "the card is free again" function_free "$edu"
check "the host's log is clean otherwise" [ -z "$(dmesg | cat /mnt/dmesg - | grep -E 'BUG|WARNING|Call Trace|nobody cared')" ]
