#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 400
# Leases on a real kernel: functions handed out, taken back and cleaned up between their owners; two
# guests and a script with one pool never get one VF; who is killed keeps nothing.
set -uo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"
. "$LAB_DIR/vfctl.sh"

records() { find /var/lib/vfctl/leases -name '0*' | wc -l; }
no_record() { [ ! -e "/var/lib/vfctl/leases/$1" ]; }

igb_up 4
modprobe igbvf
eth=$(lab_netdev "$pf")
vf=() # of the pool are 0 to 2
for i in 0 1 2 3; do vf[i]=$(lab_vf "$pf" $i); done
mkdir -p /run/viaduct/pools
printf '%s\n' "${vf[@]:0:3}" >/run/viaduct/pools/tenants
ok "no leases" leases
check "none are listed" [ "$(cat $out)" = "no leases" ]

# --- handed out -----------------------------------------------------------------------------------
ok "one of the pool" acquire tenants --owner=db
check "it is the first" [ "$(cat $out)" = "${vf[0]}" ]
ok "another" acquire tenants --owner=web --pid=$$ --json
check "the second, for a process" json $out "d['address'] == '${vf[1]}' and d['owner'] == 'web' and d['pid'] == $$"
refused "one that is leased" "${vf[0]}: leased to db$" acquire "${vf[0]}" --owner=web
refused "somebody else's" "${vf[0]}: leased to db, not to web" release "${vf[0]}" --owner=web
refused "neither pool nor function" "nope: no such pool, PCI address or network interface" acquire nope --owner=db
ok "any of the card" acquire "$pf/any" --owner=x
check "is one that nobody has" [ "$(cat $out)" = "${vf[2]}" ]
ok "by its name" acquire "$pf/vf3" --owner=x
refused "a pool that is empty" "no free function in pool tenants \(3: 3 leased\)" acquire tenants --owner=y
ok "all of one owner" release --owner=x
check "both are free" [ "$(grep -c released $out)" = 2 ]
setpriv --reuid=65534 --regid=65534 --clear-groups "$VFCTL" acquire tenants --owner=y >$out 2>$err
check_log "a user without the right is told what to do" "not this user's to change; run it with sudo, or let a group" $err

# --- cleaned up -----------------------------------------------------------------------------------
ip link set "$eth" vf 0 mac 52:54:00:99:99:99
ip link set "$eth" vf 0 vlan 100
lab_bind "${vf[0]}" igbvf
ip -d link show "$eth" >/mnt/before
check_log "the owner set a MAC and a VLAN" 'vf 0 .*52:54:00:99:99:99.*vlan 100' /mnt/before
run release "${vf[0]}" --owner=db --verbose
check "it is given back" [ $status = 0 ]
check_log "it was reset" "${vf[0]}/reset: done" $err
ip -d link show "$eth" >/mnt/after
check "MAC and VLAN are gone" bash -c '! grep -E "52:54:00:99:99:99|vlan 100" /mnt/after'
check "it has its driver again" [ "$(lab_driver "${vf[0]}")" = vfio-pci ]
check "and no record" no_record "${vf[0]}"
sleep 600 &
ok "for a process" acquire "${vf[0]}" --owner=gone --pid=$!
kill $!
wait $! 2>/dev/null
ip link set "$eth" vf 0 vlan 200
ok "taken back from the dead" leases
check "it was dirty and is free" no_record "${vf[0]}"
check "its VLAN is gone" bash -c "! ip -d link show $eth | grep 'vlan 200'"

# --- guests ---------------------------------------------------------------------------------------
lab_guest_initrd /mnt/holder <<'END'
echo HOLDING
sleep 600
END
lab_guest_initrd /mnt/short <<'END'
echo SHORT
END
ok "web has the second still" release --owner=web
rm -f /run/viaduct/pools/tenants
printf '%s\n' "${vf[@]:0:2}" >/run/viaduct/pools/tenants
"$VIADUCT" plan --kernel "$LAB_KERNEL" --device net,pool=tenants >/mnt/plan 2>&1
check_log "a plan names the first" "net0: vfio-pci \(${vf[0]}" /mnt/plan
check "and takes nothing" [ "$(records)" = 0 ]
guest_start /mnt/log1 /mnt/holder --memory 256M --device net,pool=tenants
first=$guest_pid
guest_start /mnt/log2 /mnt/holder --memory 256M --device net,pool=tenants
second=$guest_pid
guest_saw 120 /mnt/log1 HOLDING || show /mnt/log1
guest_saw 120 /mnt/log2 HOLDING || show /mnt/log2
cat /mnt/log1.err /mnt/log2.err | sed 's/^/# /'
check "two guests have different VFs" [ "$(grep -ohE "vfio-pci \((${vf[0]}|${vf[1]})" /mnt/log1.err /mnt/log2.err | sort -u | wc -l)" = 2 ]
run leases
check "both are leased to them" [ "$(grep -cE "held +viaduct +($first|$second) " $out)" = 2 ]
guest_run 120 /mnt/log3 /mnt/short --memory 256M --device net,pool=tenants
check_log "a third falls back, with the reason" \
	'^net0: vfio-pci passed over: no free function in pool tenants \(2: 2 leased\)' /mnt/log3.err
check_log "to virtio-net" '^net0: virtio-net' /mnt/log3.err
refused "a script gets none" "no free function in pool tenants" acquire tenants --owner=db
refused "not even by force, while the guest runs" "in use|open|VFIO|vfio" release "${vf[0]}"
guest_run 120 /mnt/log4 /mnt/short --memory 256M --device net,pool=nope
check_log "a pool that is not there falls back" 'vfio-pci passed over: there is no pool "nope"' /mnt/log4.err
guest_run 20 /mnt/log5 /mnt/short --device vfio-pci,pool=tenants
check_log "named outright it is an error" 'no free function in pool tenants' /mnt/log5.err
kill -9 "$first"
wait "$first" 2>/dev/null
wait_for 10 function_free "${vf[0]}"
ok "a killed guest's VF is had by the next" acquire tenants --owner=db
guest_run 20 /mnt/log6 /mnt/short --device "vfio-pci,host=$(cat $out)"
check_log "and is not a guest's that names it" 'leased to db; take another, or run: vfctl release' /mnt/log6.err
ok "until it is released" release --owner=db
guest_run 120 /mnt/log7 /mnt/short --memory 256M --device vfio-pci,pool=tenants
check "a guest that ends" [ "$(guest_status /mnt/log7)" = 0 ]
show /mnt/log7
check "gives its VF back" [ "$(records)" = 1 ]
kill -TERM "$second"
wait "$second" 2>/dev/null
check "so does one that is told to end" [ "$(records)" = 0 ]

# --- what is odd ----------------------------------------------------------------------------------
ok "one to be renumbered" acquire "${vf[0]}" --owner=db
sed -i 's/ vf=0 / vf=5 /' "/var/lib/vfctl/leases/${vf[0]}"
run leases
check_log "another function at its address is seen" "held +db .*another function sits there now" $out
refused "and not handed on" "another function than the one that was handed out.*it is in quarantine until" release "${vf[0]}"
refused "to nobody" "${vf[0]}: in quarantine: .*another function" acquire "${vf[0]}" --owner=web
ok "before it is cleared" clear "${vf[0]}"
ok "then it is" acquire "${vf[0]}" --owner=web
echo "viaduct-lease 2" >"/var/lib/vfctl/leases/${vf[0]}"
refused "a newer record is held" "of version 2, and this program knows version 1" acquire "${vf[0]}" --owner=db
ok "until somebody knows better" release "${vf[0]}" --force=unknown
check "nothing is left" [ "$(records)" = 0 ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
