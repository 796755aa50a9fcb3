#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 900
# lab-iommufd
# kill -9 in the middle of traffic, again and again: the VF is free at once, works in the next guest,
# and no pinned memory, descriptor or process stays.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

rounds=${1:-5} # tests/lab/soak runs a hundred
[ "${VIADUCT_TEST_IOMMU:-}" != iommufd ] || rounds=${1:-2}
igb_up 1
vf=$(lab_vf "$pf" 0)
lab_guest_initrd /mnt/initrd <<'END'
net_up $(find_net igbvf) 10.0.2.77/24
ping -c 2 -W 5 -q 10.0.2.2 | grep received | sed 's/^/WORKS /'
echo READY
sleep 600
END
# The load: a flood of large pings, which the VF writes to the guest's memory and reads from it. A
# connection would outlive the guest and keep the next one waiting.
replies() {
	awk '/^Icmp:/ { if (!n) { for (i = 1; i <= NF; i++) if ($i == "InEchoReps") n = i } else print $n }' \
		/proc/net/snmp
}
flowing() { [ "$(replies)" -gt "$1" ]; }
worked=0 loaded=0 packets=0
pinned_before=$(pinned)
for ((i = 1; i <= rounds; i++)); do
	guest_start /mnt/log /mnt/initrd --cpus 1 --memory 256M --device "vfio-pci,host=$vf"
	guest_saw 60 /mnt/log READY || { fail "round $i: no guest"; show /mnt/log; kill -9 "$guest_pid"; break; }
	! grep -q 'WORKS 2 packets transmitted, 2 packets received' /mnt/log || worked=$((worked + 1))
	first=$(replies)
	ping -f -q -s 1400 10.0.2.77 >/dev/null 2>&1 &
	flood=$!
	wait_for 10 flowing $((first + 20)) || true
	sleep "0.$((RANDOM % 10))"
	before=$(replies)
	sleep 0.1
	! flowing "$before" || loaded=$((loaded + 1))
	kill -9 "$guest_pid"
	wait "$guest_pid" 2>/dev/null || true
	wait_for 1 function_free "$vf" || fail "round $i: the VF is not free after 1 s"
	packets=$((packets + $(replies) - first))
	kill "$flood"
	wait "$flood" 2>/dev/null || true
	[ "$(pinned)" -le "$pinned_before" ] || fail "round $i: $(pinned) KiB pinned, $pinned_before before"
	if pgrep -x viaduct >/dev/null; then fail "round $i: a process stays"; fi
	((i % 10)) || note "$i of $rounds rounds"
done
note "rounds in which the VF worked after the kill before: $worked of $rounds; $packets answers in all"
check "data flowed when the guest was killed, in $loaded of $rounds rounds" [ "$loaded" = "$rounds" ]
check "the VF worked every time" [ "$worked" = "$rounds" ]
check "pinned memory is what it was ($pinned_before KiB)" [ "$(pinned)" -le "$pinned_before" ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
"$VFCTL" destroy "$pf" >/dev/null || fail "vfctl destroy"
