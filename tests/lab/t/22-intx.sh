#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards bridge --timeout 300
# lab-iommufd
# Cards without messages, behind a conventional bridge, three functions in one group: viability with
# its reason, then an e1000 and an rtl8139 that ping by INTx, one after the other and together.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm vfio e1000 8139cp
e1000=$(lab_pf e1000) rtl=$(lab_pf rtl8139) bridge=$(lab_pf bridge)
check "bridge, e1000 and rtl8139 share a group" [ "$(ls "/sys/bus/pci/devices/$e1000/iommu_group/devices" | wc -l)" = 3 ]

"$VFCTL" bind "$e1000" vfio-pci --force=group >/dev/null
lab_guest_initrd /mnt/initrd <<'END'
# Each card has a network of its own; its gateway is host 2.
net=4
for drv in e1000 8139cp; do
	if dev=$(find_net $drv); then
		net_up $dev 10.0.$net.15/24
		ping -c 10 -i 0.2 -W 5 -q 10.0.$net.2 | grep received | sed "s/^/$drv: /"
	fi
	net=$((net + 1))
done
irqs 'CPU|IO-APIC'
END
guest_run 60 /mnt/log /mnt/initrd --device "vfio-pci,host=$e1000" && status=0 || status=$?
check "a group with a function on a host driver is refused (status $status)" [ "$status" = 1 ]
check_log "and the message names it and the remedy" \
	"group [0-9]+ is not viable: $bridge is bound to shpchp, $rtl is bound to 8139cp; run: vfctl unbind $bridge; then: vfctl bind $rtl vfio-pci" /mnt/log.err
check "in one line" [ "$(lines /mnt/log.err)" = 1 ]

"$VFCTL" unbind "$bridge" >/dev/null
"$VFCTL" bind "$rtl" vfio-pci >/dev/null
for cards in "$e1000" "$rtl" "$e1000 $rtl"; do
	args=()
	for fn in $cards; do args+=(--device "vfio-pci,host=$fn"); done
	# Eight slots apart on the root bus, so that the two share a pin.
	if [ "$cards" = "$e1000 $rtl" ]; then
		args=(--device "vfio-pci,host=$e1000,port=off")
		for _ in 1 2 3 4 5 6 7; do args+=(--device virtio-net); done
		args+=(--device "vfio-pci,host=$rtl,port=off")
	fi
	guest_run 90 /mnt/log /mnt/initrd "${args[@]}" && status=0 || status=$?
	check "viaduct with $cards ends with status 0" [ "$status" = 0 ]
	for fn in $cards; do
		[ "$fn" = "$e1000" ] && drv=e1000 || drv=8139cp
		check_log "$drv pings by INTx" "^$drv: 10 packets transmitted, 10 packets received" /mnt/log
		check_log "its pin is one of the IOAPIC's" 'IO-APIC +(1[6-9]|2[0-3])-fasteoi +eth' /mnt/log
	done
	[ "$cards" != "$e1000 $rtl" ] ||
		check_log "they share a pin" 'IO-APIC +[0-9]+-fasteoi +eth[0-9]+, eth[0-9]+' /mnt/log
	grep -E 'fasteoi' /mnt/log | sed 's/^/# /' || true
	show /mnt/log
done
"$VFCTL" bind "$bridge" "$e1000" "$rtl" default >/dev/null
check "the host's drivers have them back" [ "$(lab_driver "$e1000") $(lab_driver "$rtl")" = "e1000 8139cp" ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace|nobody cared')" ]
