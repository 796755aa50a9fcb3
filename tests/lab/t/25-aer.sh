#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 300
# lab-iommufd: long
# PCI Express errors of the port above an igb, with three guests that have a VF each. Correctable ones
# concern no guest; of an uncorrectable one the policy of each decides. F25.
#
#   25-aer.sh [nonfatal|fatal|card]   the uncorrectable one: of the port (nonfatal), which for a fatal
#                                     one is reset with all below it; or of the PF, as the kernel's
#                                     own aer_inject says (the emulated card records its errors and
#                                     sends no message: its Device Control register cannot be set)
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

which=${1:-nonfatal}
igb_up 3
pf_net=$(lab_netdev "$pf")
# pf_error UNCORRECTABLE CORRECTABLE: an error message of the PF's (drivers/pci/pcie/aer_inject.c). While
# that module is loaded the port's own errors are not seen.
pf_error() {
	modprobe aer_inject
	python3 - "$pf" "$1" "$2" <<-'END'
		import struct, sys
		domain, bus, slot = sys.argv[1].split(":")
		dev, fn = slot.split(".")
		with open("/dev/aer_inject", "wb", buffering=0) as f:
		    f.write(struct.pack("=BBBx7I", int(bus, 16), int(dev, 16), int(fn), int(sys.argv[2], 16),
		                        int(sys.argv[3], 16), 0, 0, 0, 0, int(domain, 16)))
	END
}
host_said() { dmesg | grep -qE -- "$1"; }
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

l0 'pcie_aer_inject_error -c rp-igb 0x40'
check "a correctable error of the port is logged by the host" \
	wait_for 10 host_said 'pcieport.*severity=Correct.*Data Link Layer'
pf_error 0 0x1000
check "and one of the PF" wait_for 10 host_said "igb $pf.*severity=Correct.*Data Link Layer"
modprobe -r aer_inject
sleep 1
for policy in stop reset unplug; do
	check "correctable: no guest hears of it ($policy)" [ "$(grep -c 'PCI Express error' /mnt/$policy.err)" = 0 ]
	check "correctable: the guest lives ($policy)" lives /mnt/$policy
done

case $which in
nonfatal) l0 'pcie_aer_inject_error rp-igb 0x4000' ;;
fatal) l0 'pcie_aer_inject_error rp-igb 0x10' ;;
card) pf_error 0x4000 0 ;;
esac
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
check "the host's recovery ends well" wait_for 20 host_said 'AER: device recovery successful'
[ $which != fatal ] || check "the link was reset" host_said 'Root Port link has been reset'
carrier() { [ "$(cat "/sys/class/net/$pf_net/carrier")" = 1 ]; }
check "the PF is up again" wait_for 20 carrier
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
