#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 300
# lab-iommufd: long
# One uncorrectable PCI Express error, three guests with a VF each: the policy of each decides. F25.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

igb_up 3
lab_guest_initrd /mnt/initrd <<'END'
dev=$(find_net igbvf)
net_up "$dev" 10.0.2.77/24
ping -c 2 -W 5 -q 10.0.2.50 | grep received | sed 's/^/BEFORE /'
echo READY
while :; do
	echo "ALIVE $(cut -d. -f1 /proc/uptime)"
	# The driver sets up what the error took, when it is told to.
	if [ $((${n:-0} % 5)) = 4 ]; then
		ip link set "$dev" down && ip link set "$dev" up && sleep 2
		ping -c 2 -W 2 -q 10.0.2.50 2>/dev/null | grep received | sed 's/^/AFTER /'
	fi
	n=$((${n:-0} + 1))
	sleep 1
done
END
declare -A pids
i=0
for policy in stop reset unplug; do
	# stop is the default
	option=''
	[ $policy = stop ] || option=,on-error=$policy
	guest_start "/mnt/$policy" /mnt/initrd --memory 256M \
		--device "vfio-pci,host=$pf/vf$i,unplug-timeout=2$option"
	pids[$policy]=$guest_pid
	i=$((i + 1))
done
for policy in stop reset unplug; do
	guest_saw 100 /mnt/$policy READY || { fail "$policy: never ready"; show /mnt/$policy; exit 1; }
done
alive() { grep -c ALIVE "$1"; }
lives() {
	local n
	n=$(alive "$1")
	wait_for 30 eval "[ \$(grep -c ALIVE $1) -ge $((n + 2)) ]"
}
l0 'pcie_aer_inject_error rp-igb 0x4000'

guest_pid=${pids[stop]}
guest_wait 20 && status=0 || status=$?
check "stop: the guest ends, with status 3 (was $status)" [ "$status" = 3 ]
check_log "stop: a message says why" 'uncorrectable PCI Express error.*the guest was ended' /mnt/stop.err
for policy in stop reset unplug; do
	check_log "$policy: the error is logged" "reports an uncorrectable PCI Express error; on-error=$policy" \
		/mnt/$policy.err
	check_log "$policy: and what AER says" ' AER: ' /mnt/$policy.err
done
done_reset() { grep -q 'was reset after the error' /mnt/reset.err; }
check "reset: the function was reset" wait_for 20 done_reset
check "reset: the guest lives" lives /mnt/reset
n=$(grep -c AFTER /mnt/reset || true)
works() { tail -n +$((n + 1)) <(grep AFTER /mnt/reset) | grep -q ' [12] packets received'; }
check "reset: its VF works again" wait_for 60 works
check_log "unplug: the function left" 'removed from the guest.*\(uncorrectable' /mnt/unplug.err
check "unplug: the guest lives" lives /mnt/unplug
vf2=$(lab_vf "$pf" 2)
check "unplug: the VF is free" function_free "$vf2"
for policy in reset unplug; do
	guest_pid=${pids[$policy]}
	kill -TERM "$guest_pid"
	guest_wait 40 && status=0 || status=$?
	check "$policy: the guest powers off when asked to" [ "$status" = 0 ]
done
grep -h AER /mnt/*.err | sed 's/^/# /'
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|Call Trace')" ]
for policy in stop reset unplug; do show /mnt/$policy; done
if ((lab_failed)); then dmesg | tail -n 60; fi
