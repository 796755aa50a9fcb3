#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 900
# kill -9 in the middle of traffic, again and again: the VF is free at once, works in the next guest,
# and no pinned memory, descriptor or process stays.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

rounds=${1:-5} # tests/lab/soak runs 20 and more
igb_up 1
vf=$(lab_vf "$pf" 0)
iperf3 -s -D -B 10.0.2.50 >/dev/null
lab_guest_initrd /mnt/initrd <<'END'
net_up $(find_net igbvf) 10.0.2.77/24
ping -c 2 -W 5 -q 10.0.2.2 | grep received | sed 's/^/WORKS /'
iperf3 -c 10.0.2.50 -t 600 >/dev/null 2>&1 &
sleep 0.5
echo TRAFFIC
sleep 600
END
worked=0
pinned_before=$(pinned)
for ((i = 1; i <= rounds; i++)); do
	guest_start /mnt/log /mnt/initrd --cpus 1 --memory 256M --device "vfio-pci,host=$vf"
	guest_saw 60 /mnt/log TRAFFIC || { fail "round $i: no traffic"; show /mnt/log; kill -9 "$guest_pid"; break; }
	! grep -q 'WORKS 2 packets transmitted, 2 packets received' /mnt/log || worked=$((worked + 1))
	sleep "0.$((RANDOM % 10))"
	kill -9 "$guest_pid"
	wait "$guest_pid" 2>/dev/null || true
	wait_for 1 function_free "$vf" || fail "round $i: the VF is not free after 1 s"
	[ "$(pinned)" -le "$pinned_before" ] || fail "round $i: $(pinned) KiB pinned, $pinned_before before"
	if pgrep -x viaduct >/dev/null; then fail "round $i: a process stays"; fi
done
note "rounds in which the VF worked after the kill before: $worked of $rounds"
check "the VF worked every time" [ "$worked" = "$rounds" ]
check "pinned memory is what it was ($pinned_before KiB)" [ "$(pinned)" -le "$pinned_before" ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
"$VFCTL" destroy "$pf" >/dev/null || fail "vfctl destroy"
