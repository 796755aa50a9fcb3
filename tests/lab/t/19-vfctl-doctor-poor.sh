#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --no-iommu --no-kvm --timeout 120
# vfctl doctor on a host without IOMMU and KVM.
set -uo pipefail
. "$LAB_DIR/lib.sh"

"$VFCTL" doctor >/mnt/out 2>/mnt/err
check "status 2" [ $? = 2 ]
sed -n 's/^/# /p' /mnt/out
check_log "no IOMMU" '^fail +iommu +there is no IOMMU' /mnt/out
check_log "and what to do" 'VT-d' /mnt/out
check_log "no KVM" '^fail +kvm +the processor shows neither VMX nor SVM' /mnt/out
check_log "VFIO can be loaded" '^warn +modules +vfio-pci is not loaded' /mnt/out
check_log "what cannot be told without" '^unknown +interrupt-remapping' /mnt/out
check "nothing on stderr" [ ! -s /mnt/err ]
modprobe -a vfio-pci vfio_iommu_type1
"$VFCTL" doctor --json >/mnt/out
check "VFIO's modules make no IOMMU" [ $? = 2 ]
