#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb,nvmepf --timeout 420
# The other IOMMU back end: an igb VF and an NVMe PF in a guest by iommufd. Then viaduct as an
# ordinary user who may open nothing of VFIO's, with descriptors given, on both back ends; and what
# cannot be mapped or is in use, each leaving nothing behind. At the end a VF whose PF is in another
# guest.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm iommufd nvme
igb_up 2
nvme=$(lab_pf nvmepf) vf=$(lab_vf "$pf" 0)
"$VFCTL" bind "$nvme" vfio-pci >/dev/null
group=$(lab_group "$vf")
chmod 666 /dev/kvm
chmod 600 /dev/vfio/vfio
lab_guest_initrd /mnt/initrd <<'END'
net_up $(find_net igbvf) 10.0.2.77/24
ping -c 5 -i 0.3 -W 5 -q 10.0.2.2 | grep received
wait_for 20 test -b /dev/nvme0n1
dd if=/dev/urandom of=/data bs=1M count=16 2>/dev/null
dd if=/data of=/dev/nvme0n1 bs=1M oflag=direct conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
echo "WROTE $(sha256sum </data)"
echo "READ $(dd if=/dev/nvme0n1 bs=1M count=16 iflag=direct 2>/dev/null | sha256sum)"
END

# worked HOW STATUS: what each of the guests below must have done
worked() {
	local wrote
	check "$1: viaduct ends with status 0" [ "$2" = 0 ]
	check_log "$1: the VF pings" '^5 packets transmitted, [345] packets received' /mnt/log
	wrote=$(sed -n 's/^WROTE \([0-9a-f]*\).*/\1/p' /mnt/log)
	check "$1: the NVMe reads what was written" [ -n "$wrote" -a "$wrote" = "$(sed -n 's/^READ \([0-9a-f]*\).*/\1/p' /mnt/log)" ]
	check "$1: and so does the card's file" [ "$wrote" = "$(l0 checksum nvmepf 0 $((16 << 20)) | cut -d' ' -f1)" ]
	check "$1: the VF is free again" function_free "$vf"
	check "$1: and the NVMe" function_free "$nvme"
	show /mnt/log
}

# vfio_fds PID: the descriptors of the process that are VFIO's
vfio_fds() {
	local fd
	for fd in "/proc/$1/fd"/*; do
		case $(readlink "$fd") in /dev/vfio/* | /dev/iommu | *vfio-device*) echo "${fd##*/}" ;; esac
	done
}
inherited() { # PID: how many of them would outlive an exec; O_CLOEXEC is 02000000
	local fd n=0
	for fd in $(vfio_fds "$1"); do
		(($(sed -n 's/^flags:[[:space:]]*/0/p' "/proc/$1/fdinfo/$fd") & 02000000)) || n=$((n + 1))
	done
	echo $n
}

# As root, by the nodes.
guest_start /mnt/log /mnt/initrd --device "vfio-pci,host=$vf,iommu=iommufd" --device "vfio-pci,host=$nvme"
guest_saw 60 /mnt/log GUEST-INIT || true
open=$(for fd in $(vfio_fds "$guest_pid"); do readlink "/proc/$guest_pid/fd/$fd"; done)
check "by iommufd: /dev/iommu and a node of each function, no group" \
	[ "$(grep -c ^/dev/vfio/devices/ <<<"$open") $(grep -c ^/dev/iommu <<<"$open") $(wc -l <<<"$open")" = "2 1 3" ]
guest_wait 120 && status=0 || status=$?
worked "by iommufd" "$status"
check "no peer to peer is said once" [ "$(grep -c 'no peer to peer' /mnt/log.err)" = 1 ]

# As a user, by descriptors. The nodes are root's alone.
run=("$VIADUCT" run --kernel "$LAB_KERNEL" --append "$LAB_CMDLINE" --memory 512M)
as_user() { # [--memlock KIB] ROW COMMAND...
	"$LAB_DIR/fds.py" "$@" </dev/null >/mnt/log 2>/mnt/log.err &
	guest_pid=$!
}
for row in iommufd type1-device; do
	as_user "$row" "${run[@]}" --initrd /mnt/initrd --device "vfio-pci,@$vf" --device "vfio-pci,@$nvme"
	guest_saw 60 /mnt/log GUEST-INIT || true
	check "$row: runs as nobody" [ "$(stat -c %U "/proc/$guest_pid")" = nobody ]
	check "$row: its descriptors are close-on-exec now" [ "$(inherited "$guest_pid")" = 0 ]
	note "$row: $(vfio_fds "$guest_pid" | wc -l) descriptors of VFIO's"
	guest_wait 120 && status=0 || status=$?
	worked "as a user by $row" "$status"
done

# What is refused ends at once and holds nothing afterwards.
refused() { # WHAT PATTERN
	guest_wait 30 && status=0 || status=$?
	check "$1: refused" [ "$status" = 1 ]
	check_log "$1: the reason" "$2" /mnt/log.err
	check "$1: in one line" [ "$(lines /mnt/log.err)" = 1 ]
	check "$1: the VF is free" function_free "$vf"
	show /mnt/log
}
as_user type1 "${run[@]}" --initrd /mnt/initrd --device "vfio-pci,host=$vf"
refused "without descriptors" "no permission for /dev/vfio/.*; and by iommufd: .*no permission for /dev/iommu"
for row in iommufd type1; do
	as_user --memlock 65536 $row "${run[@]}" --initrd /mnt/initrd --device "vfio-pci,@$vf"
	refused "$row: too little memory-lock" '524288 KiB of guest memory.*memory-lock limit.*65536 KiB'
done
as_user type1 "${run[@]}" --initrd /mnt/initrd --device "vfio-pci,@$vf,iommu=iommufd"
refused "descriptors of the other back end" 'group-fd=[0-9]+ is for iommu=type1'
as_user type1 "${run[@]}" --initrd /mnt/initrd --device "vfio-pci,host=$vf,group-fd=77"
refused "a number that is nothing" 'group-fd=77: no such descriptor is open'
limit=/sys/module/vfio_iommu_type1/parameters/dma_entry_limit
old=$(cat $limit)
echo 0 >$limit
guest_start /mnt/log /mnt/initrd --device "vfio-pci,host=$vf,iommu=type1"
refused "no room for mappings" 'raise the module parameter vfio_iommu_type1.dma_entry_limit'
echo "$old" >$limit
sleep 60 3<>"/dev/vfio/$group" &
holder=$!
sleep 0.5
for row in type1 iommufd; do
	guest_start /mnt/log /mnt/initrd --device "vfio-pci,host=$vf,iommu=$row"
	guest_wait 30 && status=0 || status=$?
	check_log "$row: whoever has the group is named" "group $group is in use by another process \(pid $holder sleep\)" /mnt/log.err
done
kill $holder
wait $holder 2>/dev/null || true
check "the VF is free" function_free "$vf"
"$VFCTL" destroy "$pf" >/dev/null || fail "vfctl destroy"

# A VF whose PF is with vfio-pci as well, so that both must agree on a token.
token=5d5f4a36-1e3c-4bb2-9e0a-0c1a62b8a9f1
echo Y >/sys/module/vfio_pci/parameters/enable_sriov
"$VFCTL" bind --force=address,route "$pf" vfio-pci >/dev/null || die "vfctl bind $pf"
echo 1 >"/sys/bus/pci/devices/$pf/sriov_numvfs"
vf=$(lab_vf "$pf" 0)
check "the kernel gives such a VF to vfio-pci" [ "$(lab_driver "$vf")" = vfio-pci ]
guest_start /mnt/log /mnt/initrd --device "vfio-pci,host=$vf,iommu=type1"
refused "no token" "$vf: its PF $pf is with vfio-pci as well.*vf-token=UUID"
guest_start /mnt/log /mnt/initrd --device "vfio-pci,host=$vf,iommu=type1,vf-token=$token"
refused "a token that was never set" "vf-token= is not the token that was set on its PF $pf"
guest_start /mnt/log /mnt/initrd --device "vfio-pci,host=$vf,iommu=iommufd,vf-token=$token"
refused "a token for this kernel's iommufd" 'takes no vf-token= for it by iommufd: Linux 6.17 does'
guest_start /mnt/pf.log /mnt/initrd --device "vfio-pci,host=$pf,vf-token=$token"
pf_pid=$guest_pid
guest_saw 60 /mnt/pf.log GUEST-INIT || fail "the PF's guest does not start: $(cat /mnt/pf.log.err)"
guest_start /mnt/log /mnt/initrd --device "vfio-pci,host=$vf,vf-token=$token"
check "the PF's token opens the VF" guest_saw 60 /mnt/log GUEST-INIT
show /mnt/log
kill "$pf_pid" "$guest_pid"
wait "$pf_pid" "$guest_pid" 2>/dev/null || true
echo 0 >"/sys/bus/pci/devices/$pf/sriov_numvfs"
"$VFCTL" bind "$pf" default >/dev/null
check "the host's driver has the PF back" [ "$(lab_driver "$pf")" = igb ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
