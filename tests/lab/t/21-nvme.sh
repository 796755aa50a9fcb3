#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards nvmepf --timeout 240
# lab-iommufd
# An NVMe PF, whose MSI-X table shares its BAR with the registers: the guest writes 64 MiB and reads
# them back, and the card's backing file on the machine below agrees.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm vfio nvme
fn=$(lab_pf nvmepf)
"$VFCTL" bind "$fn" vfio-pci >/dev/null
before=$(l0 checksum nvmepf 0 $((64 << 20)))
lab_guest_initrd /mnt/initrd <<'END'
wait_for 20 test -b /dev/nvme0n1
dd if=/dev/urandom of=/data bs=1M count=64 2>/dev/null
dd if=/data of=/dev/nvme0n1 bs=1M oflag=direct conv=fsync 2>/dev/null && echo WRITTEN
echo 3 >/proc/sys/vm/drop_caches
echo "WROTE $(sha256sum </data)"
echo "READ $(dd if=/dev/nvme0n1 bs=1M count=64 iflag=direct 2>/dev/null | sha256sum)"
irqs 'CPU|nvme'
END
guest_run 120 /mnt/log /mnt/initrd --memory 768M --device "vfio-pci,host=$fn" && status=0 || status=$?
check "viaduct ends with status 0" [ "$status" = 0 ]
check_log "the guest wrote" '^WRITTEN' /mnt/log
wrote=$(sed -n 's/^WROTE \([0-9a-f]*\).*/\1/p' /mnt/log)
read_back=$(sed -n 's/^READ \([0-9a-f]*\).*/\1/p' /mnt/log)
after=$(l0 checksum nvmepf 0 $((64 << 20)))
note "guest wrote $wrote"
note "guest read  $read_back"
note "file holds  $after"
check "the file changed" [ "$before" != "$after" ]
check "what was read is what was written" [ -n "$wrote" -a "$wrote" = "$read_back" ]
check "the backing file agrees" [ "$wrote" = "${after%% *}" ]
check_log "by MSI-X" 'PCI-MSIX.*nvme' /mnt/log
grep -E 'CPU|nvme' /mnt/log | sed 's/^/# /'
show /mnt/log
"$VFCTL" bind "$fn" default >/dev/null
check "the host's driver has it back" [ "$(lab_driver "$fn")" = nvme ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
