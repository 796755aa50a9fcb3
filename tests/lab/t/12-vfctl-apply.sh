#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb,nvme --timeout 900
# The desired state on a real kernel: the example applied from nothing, again, changed and taken back;
# what the plan says; and an apply killed before each of its writes, then run again.
set -uo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/vfctl.sh"

file=/etc/vfctl.yaml
# gives STATUS WHAT COMMAND...
gives() {
	local wanted=$1 what=$2
	shift 2
	run "$@"
	if [ $status = "$wanted" ]; then pass "$what"; else fail "$what: vfctl $*: status $status: $(cat $err $out)"; fi
}
state() {
	pci_state
	ip link show "$eth" | grep ' vf '
}
same() { # FILE WHAT
	if diff "$1" <(state) >/mnt/diff; then pass "$2"; else fail "$2: $(cat /mnt/diff)"; fi
}
vf_line() { ip link show "$eth" | grep " vf $1 "; }

lab_load igb igbvf nvme vfio
pf=$(lab_pf igb)
nvme=$(lab_pf nvme)
wait_for 10 test -e "/sys/bus/pci/devices/$pf/net"
eth=$(lab_netdev "$pf")
ip link set "$eth" up # igb limits rates of a link that is up only
wait_for 20 grep -q 1 "/sys/class/net/$eth/carrier"
state >/mnt/start

# --- the example ---------------------------------------------------------------------------------
mkdir -p /etc
cp "$LAB_ROOT/tools/examples/vfctl.yaml" $file
gives 2 "status before: not as the file says" status
gives 2 "plan" plan
cat $out
check_log "the plan makes VFs" 'uplink: 4 VFs made$' $out
check_log "and tells their settings" 'uplink: VF 0: mac 52:54:00:00:00:01, vlan 100, qos 3' $out
same /mnt/start "plan changed nothing"
gives 0 "apply" apply
cat $out
state >/mnt/asked
vf_line 0
check "ip link agrees: mac" grep -q '52:54:00:00:00:01' <(vf_line 0)
check "ip link agrees: vlan and qos" grep -q 'vlan 100, qos 3' <(vf_line 0)
check "ip link agrees: spoof check on, trust off" grep -qE 'spoof checking on.*trust off' <(vf_line 3)
drivers=$(for n in 0 1 2 3; do lab_driver "$(lab_vf "$pf" $n)"; done | xargs)
check "drivers" [ "$drivers" = "vfio-pci vfio-pci igbvf igbvf" ]
check "the pools" [ "$(grep -c : /run/viaduct/pools/tenants)/$(cat /run/viaduct/pools/db)" = "2/$(lab_vf "$pf" 0)" ]
gives 0 "apply again" apply --verbose
check "takes no write" [ "$(grep -c 'vfctl: write' $err)" = 0 ]
check_log "and says so" '^0 steps, 0 writes$' $out
gives 0 "status: as the file says" status
gives 0 "plan: nothing to do" plan --json
check "in JSON too" json $out "not d['changes'] and d['steps'] == [] and d['in_the_way'] == []"

# --- changed -------------------------------------------------------------------------------------
cat >$file <<END
version: 1
devices:
  - name: uplink
    match: {address: "$pf", driver: igb}
    vf-defaults: {driver: vfio-pci, trust: on}
    vf:
      0: {mac: "52:54:00:00:00:09", vlan: 7, max-rate: 50}
END
gives 2 "plan of another mac, vlan, trust, rate, driver" plan
cat $out
check_log "settings change live" 'VF 1 .*: trust on \(now off\)$' $out
check_log "a driver needs an idle VF" 'VF 2 .*: vfio-pci \(now igbvf\) \[it has to be idle\]' $out
gives 0 "apply of it" apply
check "ip link agrees" grep -qE '52:54:00:00:00:09.*vlan 7.*tx rate 50.*trust on' <(vf_line 0)
check "ip link agrees for VF 3" grep -q 'trust on' <(vf_line 3)
check "no VF was made anew" grep -q '52:54:00:00:00:02' <(vf_line 1)
sed -i 's/driver: igb}/driver: igb}\n    vfs: 2/' $file
vf1=$(lab_vf "$pf" 1)
sed -i 's/driver: vfio-pci, trust/driver: vfio-pci, max-rate: 30, trust/' $file
sleep 300 3<>"/dev/vfio/$(lab_group "$vf1")" &
holder=$!
wait_for 5 test -e "/proc/$holder/fd/3"
state >/mnt/four
gives 2 "plan of another count, a guest in the way" plan
cat $out
check_log "the plan says what it destroys" 'its 4 VFs are removed \[destroys VFs\]' $out
check_log "and whom it hits" "$vf1: group [0-9]+ is open in .* \\(pid $holder\\)" $out
gives 1 "apply refuses" apply
check_log "with the evidence" "$vf1: group [0-9]+ is open in .*--force=vfio" $err
same /mnt/four "and changes nothing"
kill $holder
wait $holder 2>/dev/null
gives 0 "apply, now that it is free" apply
check "ip link agrees: rates of new VFs" grep -q 'tx rate 50' <(vf_line 0)
check "ip link agrees: rates of new VFs by default" grep -q 'tx rate 30' <(vf_line 1)
check "there are 2" [ "$(cat "/sys/bus/pci/devices/$pf/sriov_numvfs")" = 2 ]
gives 0 "restore" restore
same /mnt/start "restored: byte for byte what was there at the start"
check "and nothing is remembered" [ -z "$(ls /var/lib/vfctl/apply)" ]

# --- what is in the way --------------------------------------------------------------------------
sed -i 's/vfs: 2/vfs: 8/' $file
gives 1 "more VFs than there are" plan
check_log "it takes a reboot" 'in the way, and it takes a reboot: .*8 VFs asked for, it can have 7' $out
sed -i 's/vfs: 8/vfz: 8/' $file
gives 1 "a slip of the pen" apply
check "one line with the place" [ "$(cat $err)" = "vfctl: $file:5: there is no \"vfz\" here; did you mean vfs?" ]
sed -i "s/address: \"$pf\"/address: \"$nvme\"/; s/vfz: 8/vfs: 1/" $file
gives 1 "an address and a driver that disagree" apply
check_log "and what is there" "$nvme is there, but its driver is nvme, not igb" $err
same /mnt/start "nothing was changed"

# --- killed --------------------------------------------------------------------------------------
command -v strace >/dev/null || skip "strace is not there: an apply cannot be killed at its writes"
cat >$file <<END
version: 1
devices:
  - match: {address: "$pf"}
    vfs: 2
    vf:
      0: {driver: vfio-pci, mac: "52:54:00:00:00:01", vlan: 100}
      1: {driver: none, pool: spare}
  - match: {address: "$nvme"}
    driver: vfio-pci
END
gives 0 "apply, not killed" apply
state >/mnt/asked
gives 0 "restore" restore
same /mnt/start "as it was"
broken=0 points=0
bad() { # WHAT
	broken=$((broken + 1))
	note "$1: $(cat $err /mnt/diff; tail -n 3 /mnt/strace)"
}
# killed_at CALL K: an apply that dies instead of its K-th CALL; false when it made fewer of them.
# The child that changes the host is traced too, with a count of its own.
killed_at() {
	strace -f -q -o /mnt/strace -e trace="$1" -e inject="$1:signal=KILL:when=$2" \
		"$VFCTL" apply --json >$out 2>$err
	grep -q 'killed by SIGKILL' /mnt/strace
} 2>/dev/null
# Every LAB_KILL_STEP-th call of each kind; tests/lab/soak takes every one, which takes minutes.
step=${LAB_KILL_STEP:-8}
for call in write sendmsg rename unlink; do
	for ((k = 1; k < 100; k += step)); do
		killed_at $call $k || break
		points=$((points + 1))
		run apply
		if [ $status != 0 ] || ! diff /mnt/asked <(state) >/mnt/diff; then bad "killed at $call $k, applied again"; fi
		run apply --verbose
		if [ $status != 0 ] || grep -q 'vfctl: write' $err; then bad "killed at $call $k, applied twice"; fi
		run restore
		if [ $status != 0 ] || ! diff /mnt/start <(state) >/mnt/diff; then bad "killed at $call $k, then restored"; fi
	done
	run restore
done
note "$points calls at which it was killed"
check "killed before every call of step $step, applied again: the state asked for; and restored" [ $broken = 0 ]
check "that was at $points calls" [ $points -gt $((20 / step)) ]
