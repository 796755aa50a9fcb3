#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb,nvmepf,bridge --timeout 400
# What is in use is not taken away: a PF below bond, VLAN and bridge with the default route, in a VRF,
# below macvtap, on the way to an SSH client; a disk below RAID and LVM, mounted and swapped to; a VF
# of a running guest; half a group. Each refused with its evidence and without a write, and taken when
# exactly its kinds are forced. F46.
set -uo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"
. "$LAB_DIR/vfctl.sh"

# Refused, and with --verbose in one line all the same: there was no write before.
unwritten() { refused "$@" --verbose; }

# The network of the lab gives every interface an address by itself, and this test its own.
echo 0 | tee /proc/sys/net/ipv6/conf/{all,default}/accept_ra >/dev/null
lab_load kvm vfio igb nvme e1000 8139cp bonding 8021q bridge vrf macvtap dm-mod md-mod raid1 loop ext4
pf=$(lab_pf igb) nvme=$(lab_pf nvmepf) e1000=$(lab_pf e1000) rtl=$(lab_pf rtl8139)
igb_back() { # the function with its own driver, its interface in $eth
	"$VFCTL" bind "$pf" default >/dev/null 2>&1
	wait_for 10 test -e "/sys/bus/pci/devices/$pf/net"
	eth=$(lab_netdev "$pf")
}
igb_back

# --- a bridge on a VLAN on a bond ----------------------------------------------------------------
ip link add bond0 type bond mode active-backup miimon 100
ip link set "$eth" down
ip link set "$eth" master bond0
ip link set bond0 up
ip link add link bond0 name bond0.7 type vlan id 7
ip link add br0 type bridge
ip link set bond0.7 master br0
ip link set bond0.7 up
ip link set br0 up
chain="$eth is in bond0, that carries bond0.7, that is a port of br0"
unwritten "below a bridge" ": $chain; take that apart or use --force=upper$" bind "$pf" vfio-pci
ip addr add 10.0.9.15/24 dev br0
unwritten "that has an address" ": $chain with address 10.0.9.15; .* --force=address,upper$" unbind "$pf"
ip route add default via 10.0.9.2
unwritten "and the default route" \
	": $chain with address 10.0.9.15 and the default route; .* --force=address,route,upper$" bind "$pf" vfio-pci
unwritten "the route alone is enough" ": $chain with the default route; .* --force=route$" \
	bind "$pf" vfio-pci --force=address,upper
export SSH_CONNECTION="198.51.100.7 50000 10.0.9.15 22"
unwritten "the session of who asks as well" \
	": your SSH session from 198.51.100.7 comes in through $eth \\(by bond0, bond0.7, br0\\) .*; $chain .*; or use --force=address,route,upper,ssh$" \
	bind "$pf" vfio-pci
bash -c "env -i $VFCTL unbind $pf --force=address,route,upper; exit" >$out 2>$err
check_log "which sudo took from the environment" \
	": your SSH session from 198.51.100.7 comes in through $eth \\(by .*; come in another way or use --force=ssh$" $err
run show "$pf" --json
check "show has all of it" json $out "d['use']['in_use'] and sorted(sum((e['kinds'] for e in d['use']['evidence']), [])) == ['address', 'route', 'ssh', 'upper']"
ok "with exactly these forced" bind "$pf" vfio-pci --force=ssh,upper,route,address
check "it is bound" [ "$(lab_driver "$pf")" = vfio-pci ]
unset SSH_CONNECTION
ip link del br0 && ip link del bond0
igb_back

# --- a VRF, whose routes are in a table of their own ---------------------------------------------
ip link add red type vrf table 100
ip link set red up
ip link set "$eth" master red
ip link set "$eth" up
unwritten "in a VRF" ": $eth is in red; .* --force=upper$" bind "$pf" vfio-pci
ip addr add 10.0.8.15/24 dev "$eth"
ip route add 203.0.113.0/24 via 10.0.8.2 table 100
unwritten "with a route of the VRF's table" \
	": $eth is in red \\(.*\\); $eth is up with address 10.0.8.15 and the route to 203.0.113.0/24 \\(.*\\); or use --force=address,route,upper$" \
	unbind "$pf"
check "an SSH session of the VRF" grep -q "through $eth " <(
	SSH_CONNECTION="203.0.113.9 50000 10.0.8.15 22" "$VFCTL" unbind "$pf" 2>&1)
ok "forced" unbind "$pf" --force=address,route,upper
ip link del red
igb_back

# --- macvtap, IPv6 -------------------------------------------------------------------------------
ip link set "$eth" up
wait_for 10 grep -q "^fe80.* $eth\$" /proc/net/if_inet6
run show "$pf" --json
check "a link-local address alone is no use" json $out "not d['use']['in_use']"
ip addr add 2001:db8::15/64 dev "$eth" nodad
ip route add default via 2001:db8::1
unwritten "an IPv6 address and route" ": $eth is up with address 2001:db8::15 and the default route; .* --force=address,route$" bind "$pf" vfio-pci
ip addr flush dev "$eth" scope global
ip -6 route flush default
ip link add link "$eth" name tap7 type macvtap mode bridge
unwritten "below a macvtap" ": $eth carries tap7; .* --force=upper$" bind "$pf" vfio-pci
ip link del tap7
ip netns add box
ip link set "$eth" netns box
unwritten "in another namespace" ": its network interface is in another network namespace; .* --force=netns$" unbind "$pf"
ok "forced" unbind "$pf" --force=netns
ip netns del box
igb_back

# --- a running guest, and half a group -----------------------------------------------------------
lab_guest_initrd /mnt/initrd <<'END'
echo HOLDING
sleep 600
END
ip link set "$eth" up
ok "two VFs" create "$pf" 2 --driver vfio-pci
vf=$(lab_vf "$pf" 0)
guest_start /mnt/log /mnt/initrd --device "vfio-pci,host=$vf"
guest_saw 60 /mnt/log HOLDING || die "the guest did not start: $(cat /mnt/log.err)"
guest="group [0-9]+ is open in viaduct \\(pid $guest_pid\\)"
unwritten "a VF of a guest" "^vfctl: $vf: (.*; )?$guest.* --force=[a-z,]*vfio" unbind "$vf"
unwritten "its PF's VFs" "its VF $vf is in use: $guest" destroy "$pf"
unwritten "its PF's driver" "its 2 VFs would vanish with its driver igb .*its VF $vf is in use: .*--force=[a-z,]*vfio,vfs" bind "$pf" vfio-pci
kill "$guest_pid"
sleep 1
kill -9 "$guest_pid" 2>/dev/null
wait "$guest_pid" 2>/dev/null
ok "without the guest" destroy "$pf"

unwritten "half a group" \
	"^vfctl: $e1000: in its group [0-9]+ $rtl is bound to 8139cp, so no guest could have it; run: vfctl bind $e1000 $rtl vfio-pci, or use --force=group$" \
	bind "$e1000" vfio-pci
ok "forced" bind "$e1000" vfio-pci --force=group
check_log "it says what is missing" "group [0-9]+ is not viable: .*$rtl is bound to 8139cp" $out
ok "all of it" bind "$e1000" "$rtl" vfio-pci
sleep 300 3<>"/dev/vfio/$(lab_group "$e1000")" &
holder=$!
wait_for 5 test -e "/proc/$holder/fd/3"
ok "one is taken out" unbind "$rtl" --force=vfio
unwritten "its companion is a guest's" "^vfctl: $rtl: group [0-9]+ is open in sleep \\(pid $holder\\); .* --force=group$" bind "$rtl" 8139cp
kill $holder
wait $holder 2>/dev/null
ok "all back" bind "$e1000" "$rtl" default

# --- LVM on a RAID -------------------------------------------------------------------------------
# The disk of a subsystem is a virtual device; nvme0c0n1 is but one path to it.
for disk in /sys/class/block/nvme*n1; do case ${disk##*/} in nvme*c*) ;; *) break ;; esac; done
disk=${disk##*/}
export DM_DISABLE_UDEV=1
{
	mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --metadata=1.2 "/dev/$disk" missing &&
		vgcreate -y vg0 /dev/md0 && lvcreate -y -W n -Z n -L 32M -n root vg0 && lvcreate -y -W n -Z n -L 16M -n swap vg0
} >/mnt/lvm 2>&1 || die "LVM: $(cat /mnt/lvm)"
raid="$disk holds md0 \\(raid1\\), that holds dm-[01]"
unwritten "below a RAID and LVM" "$raid \\(vg0-root\\).*$raid \\(vg0-swap\\).*--force=holder$|$raid \\(vg0-swap\\).*$raid \\(vg0-root\\).*--force=holder$" bind "$nvme" vfio-pci
mkfs.ext4 -qF /dev/vg0/root && mkswap /dev/vg0/swap >/dev/null && mkdir -p /mnt/root && mount /dev/vg0/root /mnt/root
unwritten "mounted" "$raid \\(vg0-root\\), mounted on /mnt/root.*--force=mount,holder$" unbind "$nvme"
swapon /dev/vg0/swap
unwritten "and swapped to" "$raid \\(vg0-swap\\), swap space in use.*--force=mount,swap,holder$" bind "$nvme" vfio-pci
unwritten "each by itself" ": $raid \\(vg0-swap\\), swap space in use; run swapoff or use --force=swap$" bind "$nvme" vfio-pci --force=mount,holder
swapoff -a
unwritten "the mount by itself" ": $raid \\(vg0-root\\), mounted on /mnt/root; unmount it or use --force=mount$" bind "$nvme" vfio-pci --force=holder
umount /mnt/root
unshare -m sh -c "mount /dev/vg0/root /mnt/root && touch /mnt/mounted && exec sleep 300" &
holder=$!
wait_for 10 test -e /mnt/mounted
unwritten "mounted elsewhere" ": $raid \\(vg0-root\\), mounted on /mnt/root in the mount namespace of sleep \\(pid $holder\\); .* --force=mount$" unbind "$nvme" --force=holder
kill $holder
wait $holder 2>/dev/null
vgchange -an vg0 >/dev/null 2>&1
unwritten "the RAID alone" ": $disk holds md0 \\(raid1\\); take that apart or use --force=holder$" unbind "$nvme"
loop=$(losetup -f --show /dev/md0)
unwritten "a loop device on it" "md0 \\(raid1\\), that holds ${loop#/dev/}; .* --force=holder$" unbind "$nvme"
losetup -d "$loop"
mdadm --stop /dev/md0 >/dev/null 2>&1
run show "$nvme"
check_log "taken apart it is free" "in use: +no proof of it" $out
mdadm --assemble --run /dev/md0 "/dev/$disk" >/dev/null 2>&1
unwritten "up again" "md0 \\(raid1\\)" bind "$nvme" vfio-pci
ok "forced" bind "$nvme" vfio-pci --force=holder
check "it is bound" [ "$(lab_driver "$nvme")" = vfio-pci ]
