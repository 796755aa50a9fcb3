#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards nvme127 --timeout 5400
# 127 VFs made and bound, 16 of them attached to one guest, all removed: 20 times (LAB_ROUNDS). Nothing
# stays of it, neither open files nor groups nor memory, and how the last round's time is to the first's.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

rounds=${LAB_ROUNDS:-20} warm=2 vfs=127 given=16
lab_load kvm vfio nvme
pf=$(lab_pf nvme127)
dev=/sys/bus/pci/devices/$pf
wait_for 30 test -e "$dev/nvme"
# The VFs have no queues and are offline, which is nothing to a guest that only looks at them.
lab_guest_initrd /mnt/initrd <<'END'
cat /sys/bus/pci/devices/*/class | grep -c 0x010802 | sed 's/^/FUNCTIONS /'
END

kernel_memory() { # what the kernel holds and does not give back under pressure, in KiB
	awk '/^(SUnreclaim|KernelStack|PageTables|SecPageTables|Percpu|VmallocUsed):/ { sum += $2 }
		END { print sum }' /proc/meminfo
}
open_files() { awk '{ print $1 }' /proc/sys/fs/file-nr; }
state() { # one after the other, for a diff
	echo "pinned KiB: $(pinned)"
	echo "viaduct processes: $(pgrep -xc viaduct || true)"
	(cd /sys/kernel/iommu_groups && grep . -- */type)
	find /sys/class/vfio /sys/class/vfio-dev -type l 2>/dev/null | sort || true
	grep -H . "$dev"/sriov_{numvfs,drivers_autoprobe}
	find "$dev" -maxdepth 1 -name 'virtfn*'
	find /run/vfctl /run/viaduct -type f 2>/dev/null | sort || true
}
ms() { echo $(($(date +%s%N) / 1000000)); }
show_all() {
	tail -n 20 /mnt/log.err
	tail -n 40 /mnt/log
}

one() { # a round; how many ms of it were vfctl's, in $took
	local start devices=() n
	start=$(ms)
	"$VFCTL" create "$pf" "$vfs" --driver vfio-pci >/mnt/out 2>&1 || { cat /mnt/out && return 1; }
	took=$(($(ms) - start))
	for ((n = 0; n < given; n++)); do
		devices+=(--device "vfio-pci,host=$(lab_vf "$pf" $((n * 8)))")
	done
	guest_run $((120 * ${LAB_TIMEOUT_FACTOR:-1})) /mnt/log /mnt/initrd "${devices[@]}" || { show_all && return 1; }
	[ "$(sed -n 's/^FUNCTIONS \([0-9]*\).*/\1/p' /mnt/log)" = "$given" ] || { show_all && return 1; }
	start=$(ms)
	"$VFCTL" destroy "$pf" >/mnt/out 2>&1 || { cat /mnt/out && return 1; }
	took=$((took + $(ms) - start))
}

done_rounds=0 first='' last='' memory=0 files=0
for ((i = 1; i <= rounds; i++)); do
	one || break
	done_rounds=$i
	[ -n "$first" ] || first=$took
	last=$took
	note "round $i: made, bound and removed in $took ms; kernel memory $(kernel_memory) KiB, open files $(open_files)"
	if ((i == warm)); then
		state >/mnt/before
		memory=$(kernel_memory) files=$(open_files)
	fi
done
check "$done_rounds of $rounds rounds, each with a guest that saw $given functions" [ "$done_rounds" = "$rounds" ]
note "the last round took $(awk -v a="${last:-0}" -v b="${first:-1}" 'BEGIN { printf "%.2f", a / b }') of the first's time"
((done_rounds > warm)) || exit
state >/mnt/after
check "groups, devices, VFs, pinned memory and files of state as before" diff /mnt/before /mnt/after
# One struct of each VF kept would be 127 times a KiB and more in a round.
grew=$(($(kernel_memory) - memory)) limit=$((64 * (rounds - warm) + 512))
check "the kernel's memory does not grow with the rounds ($grew KiB, $limit at most)" [ "$grew" -lt "$limit" ]
check "nor do open files" [ $(($(open_files) - files)) -lt 64 ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
