#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb,nvme,bridge --timeout 600
# vfctl on a real kernel: VFs made, counted, refused, interrupted and removed; drivers changed and put
# back; what is in use left alone. Everything ends as it began.
set -uo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/vfctl.sh"

same() { # WHAT: the host is as it was at the start
	if diff /mnt/start <(pci_state) >/mnt/diff; then pass "$1"; else fail "$1: $(cat /mnt/diff)"; fi
}

lab_load igb igbvf nvme e1000 8139cp
pf=$(lab_pf igb)
nvme=$(lab_pf nvme)
e1000=$(lab_pf e1000)
rtl=$(lab_pf rtl8139)
wait_for 10 test -e "/sys/bus/pci/devices/$pf/net"
eth=$(lab_netdev "$pf")
pci_state >/mnt/start

# --- what is there -------------------------------------------------------------------------------
ok "list" list
check "list shows the PF with its interface" grep -qE "^$pf 8086:10c9 igb .*PF, 0 of 7 +$eth " $out
ok "list --json" list --json
check "the list is JSON and has the PF" json $out "any(f['address'] == '$pf' and f['total_vfs'] == 7 and f['interfaces'] == ['$eth'] for f in d)"
{
	echo "["
	for dev in /sys/bus/pci/devices/*; do "$VFCTL" show "${dev##*/}" --json && echo ","; done
	echo "null]"
} >/mnt/all
check "show --json of every function" json /mnt/all "len(d) == 1 + $(ls /sys/bus/pci/devices | wc -l)"
run show "$pf" --json
check "show has capabilities, reset methods and group" json $out \
	"any(c['name'] == 'SR-IOV' for c in d['capabilities']) and 'flr' in d['reset_method'] and d['group']['number'] >= 0"

refused "a driver that is not loaded" 'driver vfio-pci is not loaded; run: modprobe vfio-pci' \
	create "$eth" 7 --driver vfio-pci
lab_load vfio

# --- VFs -----------------------------------------------------------------------------------------
dmesg -C
ok "7 VFs by interface name" create "$eth" 7 --driver vfio-pci --verbose
check "17 writes in all" [ "$(grep -c '^vfctl: write' $err)" = 17 ]
check "two writes for each VF" [ "$(grep -cE '^vfctl: write .*(0000:..:1[0-9a-f]\.[0-7]/driver_override|/vfio-pci/bind)' $err)" = 14 ]
for n in 0 1 2 3 4 5 6; do [ "$(lab_driver "$(lab_vf "$pf" $n)")" = vfio-pci ] || break; done
check "all of them are bound to vfio-pci" [ "$n" = 6 ]
check "their native driver never saw one" [ "$(dmesg | grep -c igbvf)" = 0 ]
check "autoprobe is 1 again" [ "$(cat "/sys/bus/pci/devices/$pf/sriov_drivers_autoprobe")" = 1 ]
ok "the same again" create "$eth" 7 --driver vfio-pci --json
check "takes no write" json $out "d['writes'] == 0 and len(d['vfs']) == 7"
refused "more VFs than there are" "$pf: 8 VFs asked for, it can have 7 at most" create "$eth" 8
refused "a number as large as a kernel takes" '7 at most' create "$eth" 65536
refused "no such function" 'no such function' show 0000:7f:00.0

vf0=$(lab_vf "$pf" 0)
vf2=$(lab_vf "$pf" 2)
sleep 300 3<>"/dev/vfio/$(lab_group "$vf0")" &
holder=$!
wait_for 5 test -e "/proc/$holder/fd/3"
refused "another number while a VF is open" "its VF $vf0 is in use: group [0-9]+ is open in .* \\(pid $holder\\)" create "$eth" 3
refused "destroy while a VF is open" "is open in .* \\(pid $holder\\)" destroy "$eth"
refused "unbind of a VF that is open" "is open in .* \\(pid $holder\\)" unbind "$vf0"
ok "any VF" show "$eth/any" --json
check "any VF is not the one that is open" json $out "d['vf_index'] == 1 and not d['use']['in_use']"
ok "the same number is no change, in use or not" create "$eth" 7 --driver vfio-pci
kill $holder
wait $holder 2>/dev/null
ok "another number, now that it is closed" create "$eth" 3 --driver vfio-pci
check "there are 3" [ "$(cat "/sys/bus/pci/devices/$pf/sriov_numvfs")" = 3 ]
refused "the PF has VFs" "its 3 VFs would vanish" bind "$pf" vfio-pci
ok "VFs to the kernel's own driver" bind "$eth/vf0" "$eth/vf1" default
check "igbvf has it" [ "$(lab_driver "$(lab_vf "$pf" 0)")" = igbvf ]
wait_for 10 test -e "/sys/bus/pci/devices/$(lab_vf "$pf" 0)/net"
vfnet=$(lab_netdev "$(lab_vf "$pf" 0)")
unshare -n sh -c 'touch /mnt/unshared && exec sleep 300' &
other=$!
wait_for 5 test -e /mnt/unshared
ip link set "$vfnet" netns $other
refused "an interface in another network namespace" 'another network namespace' create "$eth" 3 --driver vfio-pci
kill $other
wait $other 2>/dev/null
ok "with --force=netns" create "$eth" 3 --driver vfio-pci --force=netns
ok "destroy" destroy "$eth"
ok "destroy again" destroy "$eth" --json
check "takes no write" json $out "d['writes'] == 0"
same "after the VFs all is as it was"
ok "VFs of the kernel's choice" create "$pf" 2
check "that is igbvf" [ "$(lab_driver "$(lab_vf "$pf" 1)")" = igbvf ]
ok "and gone" destroy "$pf"

# Interrupted: a signal that is there from the start is heeded at the first step's end.
python3 -c 'import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
os.kill(os.getpid(), signal.SIGINT)
os.execv(sys.argv[1], sys.argv[1:])' "$VFCTL" create "$eth" 7 --driver vfio-pci --verbose >$out 2>$err
check "interrupted: status 130" [ $? = 130 ]
check "interrupted: autoprobe was changed and put back" [ "$(grep -c 'sriov_drivers_autoprobe: done' $err)" = 2 ]
check "interrupted: one line says so" [ "$(tail -n 1 $err)" = "vfctl: $pf: interrupted, all put back" ]
same "interrupted: all is as it was"
# Interrupted while the third VF is being bound.
if command -v strace >/dev/null; then
	strace -f -qq -o /mnt/strace -P "/sys/bus/pci/devices/$vf2/driver_override" -e trace=openat \
		-e inject=openat:signal=INT:when=1 "$VFCTL" create "$eth" 7 --driver vfio-pci --verbose >$out 2>$err
	check "interrupted half way: status 130" [ $? = 130 ]
	check "interrupted half way: three VFs had been bound" [ "$(grep -c 'vfio-pci/bind: done' $err)" = 3 ]
	check "interrupted half way: one line says so" [ "$(tail -n 1 $err)" = "vfctl: $pf: interrupted, all put back" ]
	same "interrupted half way: all is as it was"
fi
# Two at a time: one waits for the other, and the last one's wish holds.
"$VFCTL" create "$eth" 2 --driver vfio-pci >/dev/null 2>&1 &
"$VFCTL" create "$eth" 3 --driver vfio-pci >/dev/null 2>&1 &
wait
count=$(cat "/sys/bus/pci/devices/$pf/sriov_numvfs")
check "two at a time: there are 2 or 3 VFs, not something between" [ "$count" = 2 -o "$count" = 3 ]
bound=0
for ((n = 0; n < count; n++)); do [ "$(lab_driver "$(lab_vf "$pf" $n)")" != vfio-pci ] || bound=$((bound + 1)); done
check "two at a time: all of them are bound" [ $bound = "$count" ]
ok "and gone" destroy "$pf"
same "two at a time: all is as it was"
# Nobody but root.
python3 -c 'import os, sys
os.setgid(65534); os.setuid(65534)
os.execv(sys.argv[1], sys.argv[1:])' "$VFCTL" create "$eth" 7 >$out 2>$err
check "not root: status 1" [ $? = 1 ]
check "not root: one line with the remedy" [ "$(cat $err)" = "vfctl: $pf: changing it needs root; run it with sudo" ]

# --- drivers -------------------------------------------------------------------------------------
ip addr add 10.0.2.50/24 dev "$eth"
ip link set "$eth" up
refused "a PF with an address" "$pf: $eth is up with address 10.0.2.50; bring it down or use --force=address" bind "$pf" vfio-pci
refused "unbind of it" "$eth is up with address" unbind "$eth"
ok "with --force=address,route" bind "$pf" vfio-pci --force=address,route
check "it is bound" [ "$(lab_driver "$pf")" = vfio-pci ]
ok "back to its own driver" bind "$pf" default
same "its own driver has it again"
wait_for 10 test -e "/sys/bus/pci/devices/$pf/net"
eth=$(lab_netdev "$pf")
ip link set "$eth" up
ip link add link "$eth" name vlan7 type vlan id 7
refused "an interface that carries a VLAN" "$eth carries vlan7" bind "$pf" vfio-pci
ip link del vlan7
ip link add br7 type bridge && ip link set "$eth" master br7
refused "a port of a bridge" "$eth is a port of br7" bind "$pf" vfio-pci
ip link del br7

ok "one of a group" bind "$e1000" vfio-pci --force=group
run show "$e1000"
check_log "the group is not viable, and the way out" "is not viable: .*$rtl is bound to 8139cp; .*: vfctl bind $rtl vfio-pci" $out
ok "the other as well, as told" bind "$rtl" vfio-pci
bridge=$(lab_pf bridge)
driver=$(lab_driver "$bridge")
if [ "$driver" != pcieport ] && [ -n "$driver" ]; then
	run show "$e1000"
	check_log "its bridge counts too, with a driver like $driver" "$bridge is bound to $driver; run: vfctl unbind $bridge" $out
	refused "VFIO takes no bridge" 'VFIO takes no bridge' bind "$bridge" vfio-pci
	ok "the bridge as well, as told" unbind "$bridge"
fi
# VFIO_GROUP_GET_STATUS: what the kernel itself thinks
check "the kernel finds the group viable" python3 -c 'import fcntl, os, struct, sys
status = bytearray(struct.pack("II", 8, 0))
fcntl.ioctl(os.open("/dev/vfio/" + sys.argv[1], os.O_RDWR), 0x3b67, status)
sys.exit(not struct.unpack("II", status)[1] & 1)' "$(lab_group "$e1000")"
run show "$e1000" --json
check "the group is viable" json $out "d['group']['viable'] and len(d['group']['members']) == 3"
ok "unbind both" unbind "$e1000" "$rtl"
check "they have no driver" [ -z "$(lab_driver "$e1000")$(lab_driver "$rtl")" ]
# pcieport refuses what is no port at once; nvme would wait half a minute for a controller.
refused "all or nothing" "cannot bind it to pcieport: bind: the kernel answered" bind "$e1000" "$rtl" pcieport
check "they still have none" [ -z "$(lab_driver "$e1000")$(lab_driver "$rtl")" ]
ok "all back" bind "$bridge" "$e1000" "$rtl" default
same "the group is as it was"

# --- disks ---------------------------------------------------------------------------------------
# The disk of a subsystem is a virtual device; nvme0c0n1 is but one path to it.
for disk in /sys/class/block/nvme*n1; do case ${disk##*/} in nvme*c*) ;; *) break ;; esac; done
disk=${disk##*/}
mkswap "/dev/$disk" >/dev/null 2>&1 && swapon "/dev/$disk"
refused "a disk that is swap space" "$disk is swap space in use" bind "$nvme" vfio-pci
swapoff "/dev/$disk"
if modprobe ext4 && mkfs.ext4 -qF "/dev/$disk" 32M; then
	mkdir -p /mnt/disk && mount "/dev/$disk" /mnt/disk
	refused "a disk that is mounted" "$disk is mounted on /mnt/disk" unbind "$nvme"
	umount /mnt/disk
	unshare -m sh -c "mount /dev/$disk /mnt/disk && touch /mnt/mounted && exec sleep 300" &
	holder=$!
	wait_for 10 test -e /mnt/mounted
	refused "a disk that is mounted where vfctl cannot see it" "$disk is mounted on /mnt/disk in the mount namespace of sleep" bind "$nvme" vfio-pci
	kill $holder
	wait $holder 2>/dev/null
fi
sleep 300 3<"/dev/$disk" &
holder=$!
wait_for 5 test -e "/proc/$holder/fd/3"
refused "a disk that a process has open" "/dev/$disk is open in .* \\(pid $holder\\)" bind "$nvme" vfio-pci
kill $holder
wait $holder 2>/dev/null
ok "a disk that nobody uses" bind "$nvme" vfio-pci
ok "and back" bind "$nvme" default
ok "VFs of a disk" create "$nvme" 2 --driver vfio-pci
check "both are bound" [ "$(lab_driver "$(lab_vf "$nvme" 0)")$(lab_driver "$(lab_vf "$nvme" 1)")" = vfio-pcivfio-pci ]
ok "and gone" destroy "$nvme"
same "everything is as it was at the start"
