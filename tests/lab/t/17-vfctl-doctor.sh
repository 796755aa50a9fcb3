#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb,bridge --timeout 400
# vfctl doctor, watch and export on a real kernel, and a VF in the hands of an ordinary user, who runs
# a guest with it.
set -uo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"
. "$LAB_DIR/vfctl.sh"

verdict() { # CHECK VERDICT: in the JSON of $out
	json $out "any(c['check'] == '$1' and c['verdict'] == '$2' and (c['verdict'] == 'ok' or c['reason']) for c in d)"
}

lab_load kvm vfio igb e1000
pf=$(lab_pf igb)
e1000=$(lab_pf e1000)
wait_for 10 test -e "/sys/bus/pci/devices/$pf/net"
eth=$(lab_netdev "$pf")

# --- doctor --------------------------------------------------------------------------------------
run doctor
check "a host that is fit: status 0" [ $status = 0 ]
sed -n 's/^/# /p' $out
run doctor --json
for what in iommu interrupt-remapping kernel-command-line modules vfio vfio-nodes kvm memory-lock sr-iov bars \
	mmio-window numa quarantine driver-override autoprobe; do
	check "doctor: $what is well" verdict $what ok
done
check "doctor: three devices in one group are told" verdict groups warn
check "doctor: what cannot be reset alone is told" json $out \
	"any(c['check'] == 'reset' and '$(lab_pf rtl8139)' in c['functions'] for c in d)"
run doctor "$eth" --json
check "doctor of one function: it is alone in its group" verdict groups ok
run doctor "$e1000"
check_log "doctor of one in a group" "warn +groups +it shares group [0-9]+ because .*conventional PCI" $out
echo 0 >"/sys/bus/pci/devices/$pf/sriov_drivers_autoprobe"
echo pci-stub >"/sys/bus/pci/devices/$e1000/driver_override"
run doctor --json
check "doctor: autoprobe left at 0" verdict autoprobe warn
check "doctor: an override left behind" verdict driver-override warn
echo 1 >"/sys/bus/pci/devices/$pf/sriov_drivers_autoprobe"
echo >"/sys/bus/pci/devices/$e1000/driver_override"
setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'ulimit -l 8192; exec "$0" doctor --json' "$VFCTL" >$out 2>$err
check "doctor as an ordinary user: status 2, for /dev/kvm" [ $? = 2 ]
check "doctor as an ordinary user: KVM" verdict kvm fail
check "doctor as an ordinary user: the limit" verdict memory-lock warn
check "doctor as an ordinary user: what root sees" verdict mmio-window unknown
rmmod vfio_pci vfio_iommu_type1 2>/dev/null
run doctor --json
check "doctor: modules that can be loaded" verdict modules warn
lab_load vfio

# --- watch ---------------------------------------------------------------------------------------
"$VFCTL" watch --json >/mnt/watch 2>/mnt/watch.err &
watcher=$!
wait_for 20 grep -q watching /mnt/watch
check "create" "$VFCTL" create "$eth" 7 --driver vfio-pci
vf=$(lab_vf "$pf" 0)
wait_for 20 grep -q '"vfs"' /mnt/watch
check "unbind" "$VFCTL" unbind "$e1000"
check "destroy" "$VFCTL" destroy "$eth"
wait_for 20 grep -q '"after":0' /mnt/watch
kill -INT $watcher
wait $watcher
check "watch ends with status 0" [ $? = 0 ]
check "watch says nothing on stderr" [ ! -s /mnt/watch.err ]
python3 -c 'import json, sys; json.dump([json.loads(l) for l in open("/mnt/watch")], open("/mnt/watched", "w"))'
saw() { json /mnt/watched "$1"; }
check "watch saw 7 added, bound and removed, each once" saw \
	"all(sum(e['event'] == w and e.get('pf') == '$pf' for e in d) == 7 for w in ('bound', 'unbound', 'removed')) and sum(e['event'] == 'added' for e in d) == 7"
check "watch saw which driver" saw "all(e['driver'] == 'vfio-pci' for e in d if e['event'] == 'bound')"
check "watch counted them" saw "[(e['function'], e['before'], e['after']) for e in d if e['event'] == 'vfs'] == [('$pf', 0, 7), ('$pf', 7, 0)]"
check "watch saw groups' nodes" saw "len({e['node'] for e in d if e['event'] == 'node-added' and not e['node'].startswith('vfio/devices/')}) == 7"
check "watch saw the unbind" saw "any(e['event'] == 'unbound' and e['function'] == '$e1000' and e['driver'] == 'e1000' for e in d)"
check "watch saw its interface go" saw "any(e['event'] == 'interface-removed' and e['function'] == '$e1000' for e in d)"
[ "$lab_failed" = 0 ] || sed -n 's/^/# /p' /mnt/watch
"$VFCTL" watch 2>/mnt/watch.err | head -n 1 >/mnt/watch
check "watch ends when nobody reads" [ "${PIPESTATUS[0]}" = 0 ]
check "and says nothing about it" [ ! -s /mnt/watch.err ]

# --- export --------------------------------------------------------------------------------------
check "VFs for export" "$VFCTL" create "$eth" 3 --driver vfio-pci
ip link set "$eth" vf 1 mac 52:54:00:0a:0b:0c vlan 100
mkdir -p /run/viaduct/pools
lab_vf "$pf" 1 >/run/viaduct/pools/tenants
run export --format=cdi --file=/mnt/viaduct.json
check "CDI" json /mnt/viaduct.json "len(d['devices']) == 3 and d['kind'] == 'viaduct.local/vfio'"
check "each node that it names is there" bash -c "python3 -c '
import json
d = json.load(open(\"/mnt/viaduct.json\"))
for e in [d] + d[\"devices\"]:
    for n in e[\"containerEdits\"][\"deviceNodes\"]: print(n[\"path\"])' | xargs ls"
run export --format=sriov-device-plugin
check "device plugin: the pool is a resource" json $out \
	"any(r['resourceName'] == 'tenants' and r['selectors']['pciAddresses'] == ['$(lab_vf "$pf" 1)'] and r['selectors']['pfNames'] == ['$eth'] for r in d['resourceList'])"
run export --format=libvirt tenants
check_log "libvirt: an interface with its MAC" "<mac address='52:54:00:0a:0b:0c'/>" $out
check_log "libvirt: and its VLAN" "<vlan><tag id='100'/></vlan>" $out

# --- an ordinary user ----------------------------------------------------------------------------
vf=$(lab_vf "$pf" 0)
group=$(lab_group "$vf")
run bind "$vf" vfio-pci --owner=nosuchuser
check "no such user: status 1" [ $status = 1 ]
check_log "no such user" 'there is no user "nosuchuser"' $err
run bind "$vf" vfio-pci --owner=nobody
check "the node is handed over" [ "$status:$(stat -c '%U %a' "/dev/vfio/$group")" = "0:nobody 600" ]
check_log "what the user needs is said" 'nobody - memlock KIB' $out
check "the others are not" [ "$(stat -c %U "/dev/vfio/$(lab_group "$(lab_vf "$pf" 1)")")" = root ]
chmod 666 /dev/kvm
lab_guest_initrd /mnt/initrd <<'END'
net_up $(find_net igbvf) 10.0.2.77/24 && ping -c 3 -W 5 -q 10.0.2.2
END
chmod 644 /mnt/initrd
guest() { # VF: a guest of nobody's
	setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'ulimit -l 1048576; exec "$0" "$@"' "$VIADUCT" run \
		--kernel "$LAB_KERNEL" --append "$LAB_CMDLINE" --memory 512M --initrd /mnt/initrd \
		--device "vfio-pci,host=$1" </dev/null >/mnt/log 2>/mnt/log.err
}
ip link set "$eth" up
guest "$vf"
check "nobody's guest ends with status 0" [ $? = 0 ]
check "nobody's guest pings through its VF" [ "$(guest_status /mnt/log)" = 0 ]
[ "$lab_failed" = 0 ] || sed -n 's/^/# /p' /mnt/log.err
guest "$(lab_vf "$pf" 1)"
check "another VF is not nobody's" [ $? != 0 ]
check_log "and says so" 'no permission for /dev/vfio/[0-9]+' /mnt/log.err
run unbind "$vf"
check "the node goes with the driver" [ ! -e "/dev/vfio/$group" ]
run bind "$vf" vfio-pci
check "and comes back as root's" [ "$(stat -c %U "/dev/vfio/$group")" = root ]
run destroy "$eth"
run create "$eth" 2 --driver vfio-pci --owner nobody
check "create: all of them" [ "$(stat -c %U /dev/vfio/[0-9]* | sort | uniq -c | xargs)" = "2 nobody" ]
run destroy "$eth"
