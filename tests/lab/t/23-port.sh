#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 300
# lab-iommufd: long
# A VF behind a PCI Express port with hot plug: what the guest makes of port, link and slot; its own
# power switch; the host takes the VF back in order, and from a guest that does not answer.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

igb_up 2
vf0=$(lab_vf "$pf" 0) vf1=$(lab_vf "$pf" 1)

# What ports cost: exits of a boot to init.
lab_guest_initrd /mnt/idle <<'END'
sleep 60
END
boot_exits() { # OPTION: exits to init with the first VF
	local before
	exits_on
	before=$(exits)
	guest_start /mnt/log /mnt/idle --device "vfio-pci,host=$vf0,port=$1"
	guest_saw 60 /mnt/log GUEST-INIT || fail "no boot with port=$1"
	echo $(($(exits) - before))
	exits_off
	kill -9 "$guest_pid"
	wait "$guest_pid" 2>/dev/null || true
}
on=$(boot_exits on) off=$(boot_exits off)
note "exits to init with a VF: $on behind a port, $off on the root bus"
# QEMU's microvm takes 41700 with a VF (docs/figures.md); each register of a bridge is read at boot.
check "a port costs less than 450 exits" [ "$((on - off))" -lt 450 ]

lab_guest_initrd /mnt/initrd <<'END'
dev=$(find_net igbvf)
net_up $dev 10.0.2.77/24
ping -c 3 -W 5 -q 10.0.2.2 | grep received | sed 's/^/FIRST /'
bdf=$(basename $(readlink /sys/class/net/$dev/device))
devs=/sys/bus/pci/devices
port=$(basename $(dirname $(readlink -f $devs/$bdf)))
echo "PORT $port class $(cat $devs/$port/class), function $bdf"
echo "LINK $(cat $devs/$bdf/current_link_speed) x$(cat $devs/$bdf/current_link_width), port $(cat $devs/$port/current_link_speed) x$(cat $devs/$port/current_link_width)"
for s in /sys/bus/pci_express/devices/$port:*; do
	echo "SERVICE $(basename $(readlink $s/driver))"
done
slot=$(echo /sys/bus/pci/slots/*)
echo "SLOT $(basename $slot) power $(cat $slot/power) adapter $(cat $slot/adapter)"
irqs pciehp
lspci
echo 0 >$slot/power
echo "OFF power $(cat $slot/power), $(ls $devs | grep -c $bdf) functions"
echo 1 >$slot/power
wait_for 20 find_net igbvf && dev=$(find_net igbvf) && net_up $dev 10.0.2.77/24
ping -c 3 -W 5 -q 10.0.2.2 | grep received | sed 's/^/AGAIN /'
echo READY
gone() { [ ! -e $devs/$bdf ]; }
wait_for 60 gone && echo GONE
sleep 3
echo "EMPTY power $(cat $slot/power) adapter $(cat $slot/adapter)"
dmesg | grep -E 'pciehp|BAR|bridge window|BUG|WARN' | sed 's/^/DMESG /'
END
# unbind BDF: as an administrator does; returns when the VMM let go of it
unbind() { timeout 60 sh -c "echo $1 >/sys/bus/pci/drivers/vfio-pci/unbind"; }
guest_start /mnt/log /mnt/initrd --device "net,host=$vf0,unplug-timeout=40"
guest_saw 120 /mnt/log READY || fail "the guest never came so far"
start=$SECONDS
unbind "$vf0" && status=0 || status=$?
note "the unbind took $((SECONDS - start)) s"
check "the host's unbind returns" [ "$status" = 0 ]
check_log "the guest let go" 'net0: removed from the guest, which let go of it' /mnt/log.err
guest_wait 60 && status=0 || status=$?
check "viaduct goes on and ends with status 0" [ "$status" = 0 ]
check "the guest's commands succeed" [ "$(guest_status /mnt/log)" = 0 ]
check_log "ping through the port" 'FIRST 3 packets transmitted, 3 packets received' /mnt/log
check_log "the function sits behind a bridge" 'PORT 0000:00:..\.0 class 0x060400, function 0000:01:00.0' /mnt/log
check_log "pciehp drives the port" 'SERVICE pciehp' /mnt/log
check "one link, seen alike from both ends" grep -qE '^LINK ([0-9.]+ GT/s PCIe x[0-9]+), port \1' /mnt/log
check_log "the slot is on" 'SLOT .* power 1 adapter 1' /mnt/log
check_log "the guest can switch its slot off" 'OFF power 0, 0 functions' /mnt/log
check_log "and on again, and the VF works" 'AGAIN 3 packets transmitted, 3 packets received' /mnt/log
check_log "the attention button was understood" 'DMESG .*Button press' /mnt/log
check_log "the VF left the guest" '^GONE' /mnt/log
check_log "the slot is empty" 'EMPTY power 0 adapter 0' /mnt/log
grep -E '^(PORT|LINK|SLOT|DMESG)' /mnt/log | sed 's/^/# /' || true
show /mnt/log

# pciehp taken off the port: nobody reads the button.
lab_guest_initrd /mnt/deaf <<'END'
for s in /sys/bus/pci_express/drivers/pciehp/0*; do
	basename $s >/sys/bus/pci_express/drivers/pciehp/unbind
done
dev=$(find_net igbvf)
net_up $dev 10.0.2.78/24
echo READY
sleep 12
echo ALIVE
hexdump -n 4 -e '1/4 "CONFIG %08x\n"' /sys/bus/pci/devices/0000:01:00.0/config
END
guest_start /mnt/log /mnt/deaf --device "vfio-pci,host=$vf1,id=vf,unplug-timeout=3"
guest_saw 60 /mnt/log READY || fail "the deaf guest never came so far"
unbind "$vf1" && status=0 || status=$?
check "the unbind returns without the guest" [ "$status" = 0 ]
check_log "and is said so" 'vf: removed from the guest, which did not let go of it in time' /mnt/log.err
guest_wait 60 && status=0 || status=$?
check "the deaf guest lives on" grep -q ALIVE /mnt/log
check_log "and reads ones" 'CONFIG ffffffff' /mnt/log
check "viaduct ends with status 0" [ "$status" = 0 ]
show /mnt/log
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
