#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --host debian --timeout 600
# A Debian 12 with the package: what /etc/vfctl.yaml asks for is there after a restart, before anybody
# configures interfaces, and a card that is plugged in later gets it too.
set -uo pipefail
. "$LAB_DIR/lib.sh"

stamp() { systemctl show -P "$2" "$1"; } # UNIT PROPERTY
# before WHAT A B: two times in microseconds since the start
before() { check "$1 ($2 us, $3 us)" [ "$2" -gt 0 -a "$2" -lt "$3" ]; }
vf_line() { ip link show "$(lab_netdev "$pf")" | grep " vf $1 "; }
has_address() { ip -4 addr show "$(lab_netdev "$pf")" | grep -q 10.0.2.77; }
as_asked() { # WHEN
	local n drivers=''
	check "$1: status agrees" vfctl status
	for n in 0 1 2 3; do drivers+=$(lab_driver "$(lab_vf "$pf" "$n")")' '; done
	check "$1: 4 VFs with vfio-pci ($drivers)" [ "$drivers" = "vfio-pci vfio-pci vfio-pci vfio-pci " ]
	check "$1: VF 0 has its MAC and VLAN" grep -q '52:54:00:00:00:01.*vlan 100' <(vf_line 0)
	check "$1: the pool has all four" [ "$(grep -c '^0000:' /run/viaduct/pools/tenants)" = 4 ]
}
settled() { grep -qE 'running|degraded' <(systemctl is-system-running); }

wait_for 120 settled || systemctl list-jobs
systemctl --no-pager --failed
pf=$(lab_pf igb)
boot=$(cat /var/lib/lab-boot 2>/dev/null || echo 0)
echo $((boot + 1)) >/var/lib/lab-boot

if [ "$boot" = 0 ]; then
	check "the unit is enabled" systemctl -q is-enabled vfctl.service
	check "and did nothing without a file" [ "$(stamp vfctl.service ActiveState) $(stamp vfctl.service ConditionResult)" = "inactive no" ]
	check "no VFs yet" [ "$(cat "/sys/bus/pci/devices/$pf/sriov_numvfs")" = 0 ]
	cat >/etc/vfctl.yaml <<-END
		version: 1
		devices:
		  - name: uplink
		    match: {mac: "52:54:00:11:22:33", vendor: 0x8086}
		    vfs: 4
		    vf-defaults: {driver: vfio-pci, pool: tenants}
		    vf:
		      0: {mac: "52:54:00:00:00:01", vlan: 100}
	END
	printf '[Match]\nDriver=igb\n[Network]\nAddress=10.0.2.77/24\n' >/etc/systemd/network/10-uplink.network
	systemctl -q enable systemd-networkd
	check "started by hand" systemctl start vfctl.service
	as_asked "started by hand"
	sync
	lab_restart
fi

check "the unit has done its work" [ "$(stamp vfctl.service ActiveState) $(stamp vfctl.service Result)" = "active success" ]
as_asked "after the restart"
done_at=$(stamp vfctl.service ActiveEnterTimestampMonotonic)
before "done before network-pre.target" "$done_at" "$(stamp network-pre.target ActiveEnterTimestampMonotonic)"
before "done before networkd was started" "$done_at" "$(stamp systemd-networkd.service ExecMainStartTimestampMonotonic)"
check "networkd has configured the PF" wait_for 30 has_address
journalctl -b -u vfctl.service --no-pager -o short-monotonic

# --- a card that comes later ---------------------------------------------------------------------
check "a reload writes nothing" systemctl reload vfctl.service
check_log "the journal says so" ' 0 steps, 0 writes' <(journalctl -b -u vfctl.service --no-pager)
echo 1 >"/sys/bus/pci/devices/$pf/remove"
sleep 1
echo 1 >"/sys/bus/pci/devices/$(lab_port igb)/rescan"
wait_for 60 vfctl status
as_asked "plugged in again"
check "by its own unit, once" [ "$(journalctl -b -u "vfctl@$pf.service" --no-pager | grep -c Starting)" = 1 ]
check "no VF has started one" [ "$(journalctl -b -u 'vfctl@*' --no-pager | grep -c Starting)" = 1 ]
journalctl -b -u 'vfctl@*' --no-pager -o short-monotonic
