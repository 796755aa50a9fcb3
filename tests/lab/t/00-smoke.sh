#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 180
# The lab itself, without the product: a VF made and bound by bare writes, handed by QEMU to a guest
# that pings the card's gateway through it.
set -euo pipefail
. "$LAB_DIR/lib.sh"

lab_load kvm vfio igb
pf=$(lab_pf igb)
lab_vfs "$pf" 2
vf=$(lab_vf "$pf" 0)
check "a VF has an IOMMU group of its own" [ "$(ls "/sys/bus/pci/devices/$vf/iommu_group/devices" | wc -l)" = 1 ]
ip link set "$(lab_netdev "$pf")" up
ip link set "$(lab_netdev "$pf")" vf 0 mac 52:54:00:aa:bb:01
lab_bind "$vf" vfio-pci
check "the VF is bound to vfio-pci" [ "$(lab_driver "$vf")" = vfio-pci ]
check "the hand on L0 answers" grep -q running <(l0 info status)

lab_guest_initrd /mnt/initrd <<'END'
dev=$(find_net igbvf) || { lspci -nnk; exit 2; }
cat /sys/class/net/$dev/address
net_up $dev 10.0.2.77/24 && ping -c 3 -W 5 10.0.2.2
END
lab_qemu /mnt/initrd -device "vfio-pci,host=$vf" >/mnt/log 2>&1 || true
check_log "the guest has the VF's MAC address" '52:54:00:aa:bb:01' /mnt/log
check_log "the guest pings through the VF" '3 packets received' /mnt/log
check "the guest's commands succeed" [ "$(guest_status /mnt/log)" = 0 ]
if ((lab_failed)); then tail -n 60 /mnt/log; fi
