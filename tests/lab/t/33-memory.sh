#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --memory 6G --timeout 300 --append hugepagesz=1G --append hugepages=1
# lab-iommufd: long
# Guest memory: transparent huge pages, pages of 2 MiB and 1 GiB out of the host's pool, shared, of a
# node, too few of them; the memory-lock limit met and refused before anything is opened.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

pool=/sys/kernel/mm/hugepages
# The large one is from the host's boot, for later memory may be in pieces.
echo 128 >$pool/hugepages-2048kB/nr_hugepages
igb_up 1
vf=$(lab_vf "$pf" 0)
lab_guest_initrd /mnt/initrd <<'END'
net_up $(find_net igbvf) 10.0.2.77/24
ping -c 3 -W 5 10.0.2.50
echo PING-DONE
sleep 2
END

# refused WHAT PATTERN MEMORY [OPTION...]: one line, status 1
refused() {
	local what=$1 pattern=$2 memory=$3 status=0
	shift 3
	"$VIADUCT" run --kernel "$LAB_KERNEL" --initrd /mnt/initrd --serial none --memory "$memory" "$@" \
		>/mnt/refused 2>&1 </dev/null || status=$?
	note "$(cat /mnt/refused)"
	check "$what: one line, status 1" [ "$status $(lines /mnt/refused)" = "1 1" ]
	check_log "$what: and which" "$pattern" /mnt/refused
}
# ram KEY...: KiB that smaps gives for guest memory, which is whatever is mapped in 64 MiB and more; a
# sanitizer's shadow lies low, or is terabytes
ram() {
	awk -v keys=" $* " '/^[0-9a-f]+-/ { high = length($1) == 25 }
		/^Size:/ { here = high && $2 >= 65536 && $2 < 2 ^ 26 }
		here && index(keys, " " substr($1, 1, length($1) - 1) " ") { sum += $2 }
		END { print sum + 0 }' "/proc/$guest_pid/smaps"
}
free() { cat "$pool/hugepages-$1kB/free_hugepages"; }

# guest WHAT MEMORY [OPTION...]: starts one and waits for its pings; ended WHAT: until it is gone
guest() {
	local what=$1 memory=$2
	shift 2
	guest_start /mnt/log /mnt/initrd --memory "$memory" --device "vfio-pci,host=$vf" "$@"
	check "$what: pings through the VF" guest_saw 60 /mnt/log '3 packets received'
}
ended() {
	guest_wait 60 && status=0 || status=$?
	check "$1: ends with status 0" [ "$status" = 0 ]
	show /mnt/log
}

guest "transparent" 512M --cpus 1,pin=0
check "transparent: all of it in huge pages, before the guest asked ($(ram AnonHugePages) KiB)" \
	[ "$(ram AnonHugePages)" = $((512 * 1024)) ]
cpus=$(cat "/proc/$guest_pid/task/"*/status | awk '/^Name:/ { name = $2 } /^Cpus_allowed_list:/ && name == "vcpu0" { print $2 }')
check "the vCPU's thread is pinned to CPU 0" [ "$cpus" = 0 ]
ended "transparent"

guest "2M, node 0" 256M,page-size=2M,node=0
check "2M: all of the pool is the guest's" [ "$(free 2048)" = 0 ]
check "2M: and all of the guest is there" [ "$(ram Private_Hugetlb)" = $((256 * 1024)) ]
refused "2M: a second guest is told what is missing" \
	'guest memory takes 64 pages of 2 MiB, and of the 128 that the host has 0 are free; run: echo 192 >.*sysctl vm.nr_hugepages=192' \
	128M,page-size=2M
ended "2M, node 0"
check "2M: the pool is whole again" [ "$(free 2048)" = 128 ]

guest "1G, shared" 1G,page-size=1G,share=on
check "1G: one page" [ "$(ram Shared_Hugetlb Private_Hugetlb) $(free 1048576)" = "1048576 0" ]
check "1G: a file that can be given" grep -q 'rw-s .*memfd:guest-ram' "/proc/$guest_pid/maps"
ended "1G, shared"
refused "1G: too few" 'takes 2 pages of 1 GiB, and of the 1 that the host has 1 are free.*hugepagesz=1G hugepages=2' \
	2G,page-size=1G
refused "1G: half a page" 'no whole number of pages of 1 GiB' 512M,page-size=1G
refused "a node that is not there" 'node=3: .* nodes with memory: 0 ' 64M,node=3
refused "a CPU that is not there" 'pin=0-63: CPU [0-9]+ is not this process.s; it may run on 0$' 64M --cpus 1,pin=0-63
if sanitized; then
	note "strict accounting is left out: a sanitizer's own memory is more than the host then promises"
else
	echo 2 >/proc/sys/vm/overcommit_memory
	echo 5 >/proc/sys/vm/overcommit_ratio
	refused "strict accounting" 'does not promise 4096 MiB .*overcommit_memory=2.*overcommit_ratio' 4G
	echo 0 >/proc/sys/vm/overcommit_memory
fi

# An ordinary user, with the function's nodes and a memory-lock limit.
cp "$VIADUCT" /mnt/viaduct
cp "$LAB_KERNEL" /mnt/vmlinuz
chmod 666 /dev/kvm /dev/vfio/vfio
chown 65534 "/dev/vfio/$(lab_group "$vf")"
if [ -n "${VIADUCT_TEST_IOMMU:-}" ]; then
	chmod 666 /dev/iommu
	chown 65534 "/dev/vfio/devices/$(ls "/sys/bus/pci/devices/$vf/vfio-dev")"
fi
as_user() { # KIB COMMAND...
	local kib=$1
	shift
	(ulimit -l "$kib" && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@")
}
status=0
# LeakSanitizer cannot look from below strace.
ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 as_user 65536 strace -f -o /mnt/trace -e trace=openat,ioctl /mnt/viaduct run --kernel /mnt/vmlinuz --serial none \
	--memory 128M --device "net,host=$vf" >/mnt/refused 2>&1 </dev/null || status=$?
note "$(cat /mnt/refused)"
check "a memory-lock limit stops the guest, and is no reason to fall back" [ "$status $(lines /mnt/refused)" = "1 1" ]
check_log "with the need and the limit" \
	"$vf: 131072 KiB of guest memory .* is 65536 KiB; raise it to 131072 KiB .* ulimit -l 131072" /mnt/refused
# Whether the nodes may be opened is asked first: if not, the role would have gone on.
check "the trace is one" grep -q KVM_GET_API_VERSION /mnt/trace
check "and nothing of VFIO was set up" [ "$(grep -c ' VFIO_' /mnt/trace)" = 0 ]
# shellcheck disable=SC2317 # called as $VIADUCT
user_viaduct() { as_user 131072 /mnt/viaduct "$@"; }
VIADUCT=user_viaduct
guest "an ordinary user, at the limit to the byte, 4K" 128M,page-size=4K
guest_pid_was=$guest_pid
guest_pid=$(pgrep -x viaduct)
check "4K: all of it is there and none in huge pages" [ "$(ram Rss) $(ram AnonHugePages)" = "$((128 * 1024)) 0" ]
guest_pid=$guest_pid_was
ended "an ordinary user"
check "nothing stays pinned" [ "$(pinned)" = 0 ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
"$VFCTL" destroy "$pf" >/dev/null || fail "vfctl destroy"
