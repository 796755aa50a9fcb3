#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 300
# lab-iommufd: long
# The same --device net where the hardware is not to be had: no VFs, the VF taken by another viaduct,
# not bound: virtio-net each time, with its own reason, and ping works. Named outright: an error. With
# mac= the VF and the virtio-net in its place have the same address, and the VF its own again afterwards.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm vfio igb
pf=$(lab_pf igb)
lab_guest_initrd /mnt/initrd <<'END'
dev=$(find_net virtio_net) || dev=$(find_net igbvf)
net_up $dev 10.0.2.15/24
ping -c 3 -W 5 -q 10.0.2.2
echo "MAC $(cat /sys/class/net/$dev/address)"
END
lab_guest_initrd /mnt/holder <<'END'
dev=$(find_net igbvf)
echo "HOLDING $(cat /sys/class/net/$dev/address)"
sleep 600
END

# falls_back WHAT HOST REASON [MAC]
falls_back() {
	guest_run 60 /mnt/log /mnt/initrd --device "net,host=$2${4:+,mac=$4}" && status=0 || status=$?
	check "$1: viaduct ends with status 0" [ "$status" = 0 ]
	check_log "$1: the reason" "^net0: vfio-pci passed over: $3" /mnt/log.err
	check_log "$1: what it became" '^net0: virtio-net' /mnt/log.err
	check_log "$1: ping works" '3 packets received' /mnt/log
	sed -n 's/^/# /p' /mnt/log.err
	show /mnt/log
}
# refused WHAT REASON OPTION...
refused() {
	local what=$1 reason=$2
	shift 2
	guest_run 20 /mnt/log /mnt/initrd "$@" && status=0 || status=$?
	check "$what: status 1 (it was $status)" [ "$status" = 1 ]
	check_log "$what: the reason" "$reason" /mnt/log.err
	check "$what: one line" [ "$(lines /mnt/log.err)" = 1 ]
	sed -n 's/^/# /p' /mnt/log.err
}

falls_back "no VFs" "$pf/vf0" "$pf has no VF 0"
falls_back "no such function" 0000:77:10.0 "0000:77:10.0: no such function"
falls_back "none of its VFs" "$pf/any" "no free VF of $pf .*vfctl create $pf N"
"$VFCTL" create "$pf" 2 --driver vfio-pci >/dev/null
ip link set "$(lab_netdev "$pf")" up
vf=$(lab_vf "$pf" 0) vf1=$(lab_vf "$pf" 1)

mac=52:54:00:0a:0b:0c
vf_mac() { ip link show dev "$(lab_netdev "$pf")" | sed -n "s/^ *vf $1 .*link.ether \([0-9a-f:]*\) .*/\1/p"; }
before=$(vf_mac 1)
guest_start /mnt/holder.log /mnt/holder --device "net,host=$pf/vf0,mac=$mac"
holder=$guest_pid
guest_saw 60 /mnt/holder.log HOLDING || die "the holder did not start: $(cat /mnt/holder.log.err)"
check_log "its VF has the address it was given" "HOLDING $mac" /mnt/holder.log
falls_back "taken by another viaduct" "$vf" "$vf: .*in use.* pid $holder|$vf: .*in use.*$holder" "$mac"
check_log "and virtio-net in its place has the same" "^MAC $mac" /mnt/log
refused "taken, named outright" "$vf: .*in use" --device "vfio-pci,host=$vf"
check "any takes the other one" "$VIADUCT" plan --kernel "$LAB_KERNEL" --device "net,host=$pf/any" >/mnt/plan
check_log "and the plan says so" "net0: vfio-pci \($vf1" /mnt/plan
check "vfctl refuses to destroy VFs in use" bash -c "! $VFCTL destroy $pf 2>/mnt/destroy"
check_log "and says who uses them" "$holder" /mnt/destroy
kill -9 "$holder"
wait "$holder" 2>/dev/null || true

"$VFCTL" bind "$vf" igbvf >/dev/null 2>&1 || { modprobe igbvf && "$VFCTL" bind "$vf" igbvf >/dev/null; }
falls_back "bound elsewhere" "$vf" "$vf: .*bound to igbvf.*vfctl bind $vf vfio-pci"
refused "bound elsewhere, named outright" "bound to igbvf" --device "vfio-pci,host=$vf"
refused "the same function twice" "twice|already" --device "net,host=$vf1,mac=52:54:00:0a:0b:0d" --device "net,host=$vf1"
check "nothing stays taken" function_free "$vf1"
check "and its address is as before ($before)" [ "$(vf_mac 1)" = "$before" ]
cat >/mnt/nobody <<END
#!/bin/sh
exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all -- "$VIADUCT" "\$@"
END
chmod +x /mnt/nobody
chmod 666 /dev/kvm
VIADUCT=/mnt/nobody refused "an address, by who may not set it" "vfctl set $vf1 mac=$mac" --device "vfio-pci,host=$vf1,mac=$mac"
check "vfctl takes the VFs back" "$VFCTL" destroy "$pf" --force=vfio
check "none is left" [ "$(cat "/sys/bus/pci/devices/$pf/sriov_numvfs")" = 0 ]
