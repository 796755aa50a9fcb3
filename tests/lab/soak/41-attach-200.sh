#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 1500
# lab-iommufd: long
# A VF is attached and given back 200 times (LAB_ROUNDS), by guests that end at once: no pinned memory,
# open file, group, mapping or memory of the kernel stays, and the VF's own driver takes it afterwards.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

rounds=${LAB_ROUNDS:-200} warm=20
igb_up 1
vf=$(lab_vf "$pf" 0)
python3 "$LAB_DIR/soak/tiny-guest.py" /mnt/tiny.elf

# What the kernel holds and does not give back under pressure, in KiB.
kernel_memory() {
	awk '/^(SUnreclaim|KernelStack|PageTables|SecPageTables|Percpu|VmallocUsed):/ { sum += $2 }
		END { print sum }' /proc/meminfo
}
open_files() { awk '{ print $1 }' /proc/sys/fs/file-nr; }
groups() { (cd /sys/kernel/iommu_groups && grep . -- */type); }
devices() { find /sys/class/vfio /sys/class/vfio-dev -type l 2>/dev/null | sort; }
state() { # one after the other, for a diff
	echo "pinned KiB: $(pinned)"
	echo "viaduct processes: $(pgrep -xc viaduct || true)"
	groups
	devices
}

mapfile -t device < <(by_iommu --device "vfio-pci,host=$vf")
ended=0 start=$SECONDS
for ((i = 1; i <= rounds; i++)); do
	if timeout 30 "$VIADUCT" run --kernel /mnt/tiny.elf --memory 64M --serial none \
		"${device[@]}" </dev/null >/mnt/log 2>&1; then
		ended=$((ended + 1))
	else
		fail "round $i: status $?"
		cat /mnt/log
		break
	fi
	if ((i == warm)); then
		state >/mnt/before
		memory=$(kernel_memory) files=$(open_files)
		note "after $i rounds: kernel memory $memory KiB, open files $files"
	fi
done
state >/mnt/after
check "$ended of $rounds guests came and went ($((SECONDS - start)) s)" [ "$ended" = "$rounds" ]
check "pinned memory, processes, groups and devices as before" diff /mnt/before /mnt/after
grew=$(($(kernel_memory) - memory))
note "after $rounds rounds: kernel memory $(kernel_memory) KiB, open files $(open_files)"
# A leak of one page a round would show: 4 KiB times 180, and the kernel's own caches are batches.
check "the kernel's memory does not grow with the rounds ($grew KiB)" [ "$grew" -lt $((4 * (rounds - warm))) ]
check "nor do open files" [ $(($(open_files) - files)) -lt 64 ]
check "the VF is free" function_free "$vf"
modprobe igbvf
"$VFCTL" bind "$vf" igbvf >/dev/null
check "and its own driver takes it" [ -n "$(lab_netdev "$vf")" ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
"$VFCTL" destroy "$pf" --force=vfio >/dev/null || fail "vfctl destroy"
