#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --no-iommu --timeout 180
# A host without an IOMMU: the row goes on to virtio-net and says why.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm igb
modprobe vfio-pci || true
pf=$(lab_pf igb)
"$VFCTL" create "$pf" 1 >/dev/null || die "vfctl create failed"
vf=$(lab_vf "$pf" 0)
lab_guest_initrd /mnt/initrd <<'END'
net_up $(find_net virtio_net) 10.0.2.15/24
ping -c 3 -W 5 -q 10.0.2.2
END
guest_run 60 /mnt/log /mnt/initrd --device "net,host=$vf" && status=0 || status=$?
check "viaduct ends with status 0" [ "$status" = 0 ]
check_log "the reason" "^net0: vfio-pci passed over: $vf: .*no IOMMU" /mnt/log.err
check_log "what it became" '^net0: virtio-net' /mnt/log.err
check_log "ping works" '3 packets received' /mnt/log
sed -n 's/^/# /p' /mnt/log.err
show /mnt/log
check "vfctl cannot bind and leaves it as it was" bash -c "! $VFCTL bind $vf vfio-pci 2>/mnt/bind"
sed -n 's/^/# /p' /mnt/bind
check "no override stays behind" grep -q '(null)' "/sys/bus/pci/devices/$vf/driver_override"
"$VFCTL" destroy "$pf" --force=vfio >/dev/null
