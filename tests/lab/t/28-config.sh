#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb,nvmepf --timeout 240
# lab-iommufd: long
# A guest that touches an igb VF and an NVMe PF as no driver would: config space and BARs in every
# size and at every offset, all bits of all capabilities, BARs on top of RAM, of one another and
# beyond the processor's addresses, random writes, D3hot with the BARs touched. Then their drivers
# take them again: the VF pings, the disk reads what its file holds.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

igb_up 1
modprobe nvme
vf=$(lab_vf "$pf" 0) disk=$(lab_pf nvmepf)
"$VFCTL" bind "$disk" vfio-pci >/dev/null || die "vfctl bind"
holds=$(l0 checksum nvmepf 0 1048576)

lab_guest_initrd /mnt/initrd bin/poke="$LAB_TOOLS/poke" <<'END'
off() { ! [ -e $1/driver ] || echo ${1##*/} >$1/driver/unbind; }
on() { echo ${1##*/} >/sys/bus/pci/drivers_probe; }
vf=$(pci_find 8086:10ca) disk=$(pci_find 1b36:0010)
net_up $(find_net igbvf) 10.0.2.77/24 && ping -c 2 -W 5 -q 10.0.2.2 | grep received | sed 's/^/BEFORE /'
off $vf; off $disk
echo TOUCHING
for fn in $vf $disk; do poke config $fn; done
poke move $vf 0 8
poke move $disk 0 0
poke sleep $disk 0 0
poke bar $vf 0 0
poke bar $vf 3 3000
poke bar $disk 0 3000
echo "METHODS $(cat $vf/reset_method) / $(cat $disk/reset_method)"
echo 1 >$vf/reset && echo 1 >$disk/reset && echo RESET
on $vf; on $disk
wait_for 20 find_net igbvf
net_up $(find_net igbvf) 10.0.2.77/24 && ping -c 10 -i 0.2 -W 5 -q 10.0.2.2 | grep received | sed 's/^/AFTER /'
wait_for 20 test -b /dev/nvme0n1
echo "READ $(dd if=/dev/nvme0n1 bs=1M count=1 iflag=direct 2>/dev/null | sha256sum)"
irqs 'CPU|nvme|eth'
# Last, for the emulated VF keeps its interrupt throttling over a reset, whatever is written there: a
# driver after this gets its interrupts seconds late.
off $vf
poke bar $vf 0 20000
END
begun=$SECONDS
guest_run 150 /mnt/log /mnt/initrd --device "vfio-pci,host=$vf" --device "vfio-pci,host=$disk" && status=0 || status=$?
note "the guest took $((SECONDS - begun)) s"
check "viaduct ends with status 0" [ "$status" = 0 ]
check_log "the VF pings before" '^BEFORE 2 packets transmitted, 2 packets received' /mnt/log
check "every way to touch them went well" [ "$(grep -c '^POKED [a-z]*: 0 wrong' /mnt/log)" = 9 ]
check_log "the guest resets both" '^RESET' /mnt/log
check_log "the VF pings after" '^AFTER 10 packets transmitted, 10 packets received' /mnt/log
check "the disk reads what its file holds" [ "$(sed -n 's/^READ \([0-9a-f]*\).*/\1/p' /mnt/log)" = "${holds%% *}" ]
check "the VF is free again" function_free "$vf"
check "the disk is free again" function_free "$disk"
check "viaduct's lines are few ($(wc -l </mnt/log.err))" [ "$(wc -l </mnt/log.err)" -lt 60 ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|Call Trace')" ]
grep -E '^(POKED|poke|METHODS)' /mnt/log | sed 's/^/# /' || true
sed 's/^/# /' /mnt/log.err | tail -n 20
show /mnt/log
"$VFCTL" bind "$disk" default >/dev/null
"$VFCTL" destroy "$pf" >/dev/null || fail "vfctl destroy"
