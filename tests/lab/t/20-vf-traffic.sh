#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 600
# lab-iommufd: long
# A VF handed to a guest with two vCPUs: ping, 50 MB each way, MSI-X counting up, and no exit to user
# space while packets pass.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

igb_up 2
iperf3 -s -D -B 10.0.2.50 -p 5201 >/dev/null
iperf3 -s -D -B 10.0.2.50 -p 5202 >/dev/null
# limit: a connection that has not moved 50 MB by then stands still, or the machine is far too slow.
{
	echo "limit=$((60 * ${LAB_TIMEOUT_FACTOR:-1}))"
	cat <<'END'
dev=$(find_net igbvf)
net_up $dev 10.0.2.77/24
ping -c 3 -W 5 10.0.2.2
count() { awk '/PCI-MSIX/ { for (i = 2; i <= 3; i++) n += $i } END { print n + 0 }' /proc/interrupts; }
echo "MSIX-BEFORE $(count)"
move() { # WORD PORT [OPTION]
	if timeout $limit iperf3 -c 10.0.2.50 -p $2 -n 50M -f m $3 >/tmp/iperf 2>&1; then
		grep -E 'sender|receiver' /tmp/iperf | sed "s/^/$1 /"
	else
		# Ended from outside, iperf3 knows nothing of the receiver: what it sent is what tells.
		echo "STALLED $1: $(grep sender /tmp/iperf || tail -n 1 /tmp/iperf)"
	fi
}
for n in 1 2 3 4; do move UP$n 5201; done
move DOWN 5202 -R
echo "MSIX-AFTER $(count)"
irqs 'CPU|MSI'
lspci
ping -c 2 10.0.2.50 >/dev/null
sleep 1
echo QUIET-BEGIN
passed() { echo $(($(cat /sys/class/net/$dev/statistics/rx_packets) + $(cat /sys/class/net/$dev/statistics/tx_packets))); }
before=$(passed)
sleep 3
# The emulated card drops a few when the machine below is busy: packets are counted, not replies.
ping -c 1000 -i 0.01 -q 10.0.2.50 >/tmp/ping
sleep 3
echo QUIET-END
echo "PACKETS $(($(passed) - before))"
tail -n 2 /tmp/ping
END
} | lab_guest_initrd /mnt/initrd
guest_start /mnt/log /mnt/initrd --cpus 2 --device "net,host=$pf/vf0"
guest_saw 420 /mnt/log QUIET-BEGIN || die "the guest never came so far: $(cat /mnt/log.err; tail -n 20 /mnt/log)"
sleep 1.5
note "KiB of the guest's 512 MiB in huge pages: $(awk '/^AnonHugePages/ { print $2 }' "/proc/$guest_pid/smaps_rollup")"
exits_on
before=$(exits)
switches() { awk '/^voluntary/ { print $2 }' "/proc/$guest_pid/task/$guest_pid/status"; }
sw_before=$(switches)
# The last sample before QUIET-END by more than a second lies after the packets.
samples=() sw_samples=()
while ! grep -q QUIET-END /mnt/log; do
	samples+=("$(exits)") sw_samples+=("$(switches)")
	sleep 0.2
	kill -0 "$guest_pid" 2>/dev/null || break
done
exits_off
n=$((${#samples[@]} - 6))
((n > 0)) || die "too few samples"
guest_wait 60 && status=0 || status=$?

check "viaduct ends with status 0" [ "$status" = 0 ]
check "the guest's commands succeed" [ "$(guest_status /mnt/log)" = 0 ]
check_log "it is the VF" "net0: vfio-pci" /mnt/log.err
check_log "ping through the VF" '3 packets received' /mnt/log
# Four, for the emulated card would stall one in four if guest memory were in small pages (docs/design.md).
check "50 MB up, four times" [ "$(grep -cE '^UP[1-4] .* receiver' /mnt/log)" = 4 ]
check_log "50 MB down" '^DOWN .* receiver' /mnt/log
a=$(sed -n 's/^MSIX-BEFORE \([0-9]*\).*/\1/p' /mnt/log) b=$(sed -n 's/^MSIX-AFTER \([0-9]*\).*/\1/p' /mnt/log)
check "MSI-X interrupts count up ($a to $b)" [ "$b" -gt $((a + 100)) ]
packets=$(sed -n 's/^PACKETS \([0-9]*\).*/\1/p' /mnt/log)
check "1000 packets and more passed (${packets:-none})" [ "${packets:-0}" -ge 1000 ]
note "exits to user space for $packets packets: $((samples[n] - before))"
check "no exit to user space for 1000 packets" [ "${samples[n]}" = "$before" ]
note "voluntary context switches of the loop thread meanwhile: $((sw_samples[n] - sw_before))"
check "no context switch of the loop thread meanwhile" [ "${sw_samples[n]}" = "$sw_before" ]
check "the VF is free again" function_free "$(lab_vf "$pf" 0)"
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
grep -E '^(UP|DOWN|MSIX|STALLED)' /mnt/log | sed 's/^/# /' || true
show /mnt/log
"$VFCTL" destroy "$pf" >/dev/null || fail "vfctl destroy"
