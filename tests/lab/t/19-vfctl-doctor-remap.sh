#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --no-intremap --cards edu --timeout 120
# vfctl doctor on a host whose IOMMU cannot remap interrupts.
set -uo pipefail
. "$LAB_DIR/lib.sh"

lab_load kvm vfio
"$VFCTL" doctor >/mnt/out 2>/mnt/err
check "status 2" [ $? = 2 ]
sed -n 's/^/# /p' /mnt/out
check_log "the IOMMU is there" '^ok +iommu' /mnt/out
check_log "it cannot remap" '^fail +interrupt-remapping +this IOMMU cannot remap interrupts: VFIO refuses' /mnt/out
check_log "and what to do" 'allow_unsafe_interrupts=1' /mnt/out
check_log "all else is well" '^ok +kvm' /mnt/out
echo Y >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
"$VFCTL" doctor >/mnt/out
check "allowed: status 0" [ $? = 0 ]
check_log "allowed: a warning" '^warn +interrupt-remapping .*a guest can forge interrupts' /mnt/out
