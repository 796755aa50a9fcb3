#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 300
# Settings of VFs: what igb has, by vfctl, and what ip says of it; what igb lacks, on netdevsim, through
# the same code (host/vf_settings.c); the eswitch mode by devlink.
set -uo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"
. "$LAB_DIR/vfctl.sh"

run() { run_any "$@"; } # vfctl and others
# vf_is IFNAME VF EXPRESSION: true when it holds for what ip says of that VF, as v
vf_is() {
	ip -j -d link show "$1" >/mnt/ip
	python3 - "$2" "$3" <<-'END'
		import json, sys
		v = json.load(open("/mnt/ip"))[0]["vfinfo_list"][int(sys.argv[1])]
		v.update(v.get("vlan_list", [{}])[0])
		v.update(v.get("rate", {}))
		sys.exit(not eval(sys.argv[2]) and (print("#", v) or 1))
	END
}

# --- igb -----------------------------------------------------------------------------------------
lab_load igb
pf=$(lab_pf igb)
wait_for 10 test -e "/sys/bus/pci/devices/$pf/net"
eth=$(lab_netdev "$pf")
"$VFCTL" create "$pf" 3 --driver none >/dev/null || die "no VFs"
vf=$(lab_vf "$pf" 1)
ip link set "$eth" up
wait_for 20 grep -qx 1 "/sys/class/net/$eth/carrier" || die "no carrier"
"$VFCTL" show "$vf" --json >/mnt/before || die "show failed"

ok "six settings of an igb VF" "$VFCTL" set "$eth/vf1" mac=52:54:00:00:00:01 vlan=100 qos=3 \
	spoof-check=off trust=on max-rate=100 --verbose
check "five requests, VLAN and priority being one" [ "$(grep -c '^vfctl: write' $err)" = 5 ]
check "ip agrees" vf_is "$eth" 1 "v['address'] == '52:54:00:00:00:01' and v['vlan'] == 100 and v['qos'] == 3 and v['spoofchk'] is False and v['trust'] is True and v['max_tx'] == 100"
check "the neighbour is untouched" vf_is "$eth" 2 "v.get('vlan', 0) == 0 and v['spoofchk'] is True and v['max_tx'] == 0"
ok "show tells them" "$VFCTL" show "$vf"
check_log "in one line" 'settings: .*mac 52:54:00:00:00:01, vlan 100, qos 3, vlan-protocol 802.1q, spoof-check off, trust on, .*max-rate 100' $out
ok "the same again" "$VFCTL" set "$vf" mac=52:54:00:00:00:01 vlan=100 qos=3 --json
check "writes nothing" grep -q '"writes":0' <(tr -d ' ' <$out)
ok "the priority alone" "$VFCTL" set "$vf" qos=5
check "keeps the VLAN" vf_is "$eth" 1 "v['vlan'] == 100 and v['qos'] == 5"

refused "igb has no link state" 'cannot set link-state enable: driver igb answered EOPNOTSUPP: it has no such' \
	"$VFCTL" set "$vf" trust=off link-state=enable
check "and what was set before it is back" vf_is "$eth" 1 "v['trust'] is True"
refused "igb knows 802.1q only" 'answered EPROTONOSUPPORT: it knows VLANs of 802.1q only' \
	"$VFCTL" set "$vf" vlan-protocol=802.1ad
refused "igb has no minimum rate" 'answered EINVAL: .*no minimum' "$VFCTL" set "$vf" min-rate=10
refused "a rate above the link's" 'answered EINVAL: ' "$VFCTL" set "$vf" max-rate=100000
refused "igb is no InfiniBand card" 'node-guid' "$VFCTL" set "$vf" node-guid=02:1c:b0:00:00:12:34:56
refused "nor NVMe" 'no setting queues: its PF is no card of that kind' "$VFCTL" set "$vf" queues=4
refused "the PF has no such settings" 'is no VF' "$VFCTL" set "$pf" vlan=5
if id nobody >/dev/null 2>&1; then
	check "an ordinary user sees them" grep -q 'vlan 100' \
		<(setpriv --reuid nobody --clear-groups "$VFCTL" show "$vf" 2>&1)
fi

ok "back to what was" "$VFCTL" set "$vf" mac=none vlan=0 qos=0 spoof-check=on trust=off max-rate=0
"$VFCTL" show "$vf" --json >/mnt/after
check "all is as before" cmp /mnt/before /mnt/after

# A running driver of the VF sees its address after the next reset, and that is said.
lab_load igbvf
ok "a VF with its own driver" "$VFCTL" bind "$vf" igbvf
ok "is given an address" "$VFCTL" set "$vf" mac=52:54:00:00:00:02
check_log "which its driver sees later" "its driver igbvf sees the new mac 52:54:00:00:00:02 at its next reset" $out
"$VFCTL" unbind "$vf" >/dev/null && "$VFCTL" bind "$vf" igbvf >/dev/null
wait_for 20 test -e "/sys/bus/pci/devices/$vf/net"
check "and then has" grep -qx 52:54:00:00:00:02 "/sys/class/net/$(lab_netdev "$vf")/address"
"$VFCTL" destroy "$pf" >/dev/null
"$VFCTL" create "$pf" 3 --driver none >/dev/null
"$VFCTL" show "$(lab_vf "$pf" 1)" --json >/mnt/after
check "VFs made anew have nothing of it" cmp /mnt/before /mnt/after
"$VFCTL" destroy "$pf" >/dev/null

# --- netdevsim -----------------------------------------------------------------------------------
lab_load netdevsim
echo "1 1" >/sys/bus/netdevsim/new_device || die "no netdevsim"
sim=/sys/bus/netdevsim/devices/netdevsim1
echo 4 >$sim/sriov_numvfs
wait_for 10 test -e "$sim/net"
eth=$(basename "$sim"/net/*)
tool=$VIADUCT_BUILD/tests/lab/vf_settings
sim() { "$tool" "$eth" netdevsim1 "$@"; }

ok "netdevsim's VF is read" sim get 1
cp $out /mnt/before
ok "all that netdevsim has" sim set 1 mac=52:54:00:00:00:09 vlan=200 qos=6 vlan-protocol=802.1ad \
	min-rate=10 max-rate=1000 spoof-check=on trust=on link-state=enable
check "in six requests" grep -qx writes=6 $out
check "ip agrees" vf_is "$eth" 1 "v['address'] == '52:54:00:00:00:09' and v['vlan'] == 200 and v['qos'] == 6 and v['protocol'].lower() == '802.1ad' and v['min_tx'] == 10 and v['max_tx'] == 1000 and v['spoofchk'] and v['trust'] and v['link_state'] == 'enable'"
sim get 1 >/mnt/is
for setting in mac=52:54:00:00:00:09 vlan=200 qos=6 vlan-protocol=802.1ad min-rate=10 max-rate=1000 \
	spoof-check=on trust=on link-state=enable; do
	check "reads $setting" grep -qx -- "$setting" /mnt/is
done
ok "one rate alone" sim set 1 max-rate=500
check "keeps the other" vf_is "$eth" 1 "v['min_tx'] == 10 and v['max_tx'] == 500"
ok "the link is told to be down" sim set 1 link-state=disable
check "ip agrees" vf_is "$eth" 1 "v['link_state'] == 'disable'"
check "the neighbour is untouched" vf_is "$eth" 2 "v.get('vlan', 0) == 0 and v['max_tx'] == 0"
refused "a VF that is not there" 'has no VF 4, says its interface' sim set 4 vlan=5
refused "a minimum above the maximum" 'cannot set min-rate 900: driver netdevsim answered EINVAL' sim set 1 min-rate=900
refused "GUIDs are InfiniBand's" 'cannot set port-guid .* answered EOPNOTSUPP' sim set 1 port-guid=02:1c:b0:00:00:12:34:56
mapfile -t was < <(cat /mnt/before)
ok "back to what was" sim set 1 "${was[@]}"
ok "read again" sim get 1
check "all is as before" cmp /mnt/before $out

# --- eswitch -------------------------------------------------------------------------------------
ok "the eswitch mode" sim eswitch
check_log "is legacy" '^legacy$' $out
ok "switchdev" sim eswitch switchdev
check_log "is what it is then" '^switchdev$' $out
check "devlink agrees" grep -q 'mode switchdev' <(devlink dev eswitch show netdevsim/netdevsim1)
ok "and back" sim eswitch legacy
check_log "to legacy" '^legacy$' $out
refused "a card without devlink" 'its driver knows no eswitch mode' "$tool" "$eth" netdevsim9 eswitch
"$VFCTL" show "$(lab_pf igb)" --json >$out
check "igb has none" grep -q '"eswitch":null' <(tr -d ' ' <$out)
