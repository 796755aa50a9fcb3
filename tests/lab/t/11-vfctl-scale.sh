#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards nvme127 --timeout 900
# 127 VFs: made, bound and removed by vfctl, by the count of writes and beside the same by a shell.
set -uo pipefail
. "$LAB_DIR/lib.sh"

lab_load nvme vfio
pf=$(lab_pf nvme127)
dev=/sys/bus/pci/devices/$pf
wait_for 20 test -e "$dev/driver"
run() { "$VFCTL" "$@" >/mnt/out 2>/mnt/err; }
ms() { echo $(($(date +%s%N) / 1000000)); }
bound() { # how many VFs are bound to vfio-pci; in few processes, as they cost much here
	find "$dev"/virtfn*/ -maxdepth 1 -name driver -printf '%l\n' 2>/dev/null | grep -c '/vfio-pci$'
}
bare() { # the same by bare writes, one after the other and with no other process, as a yardstick
	local vf
	echo 0 >"$dev/sriov_drivers_autoprobe"
	echo 127 >"$dev/sriov_numvfs"
	for vf in $(readlink "$dev"/virtfn*); do
		echo vfio-pci >"$dev/$vf/driver_override"
		echo "${vf##*/}" >/sys/bus/pci/drivers/vfio-pci/bind
	done
	echo 1 >"$dev/sriov_drivers_autoprobe"
}

for round in 1 2; do
	start=$(ms)
	bare
	by_hand=$(($(ms) - start))
	check "round $round: bare writes bind 127 VFs" [ "$(bound)" = 127 ]
	check "round $round: destroy" run destroy "$pf"
	start=$(ms)
	check "round $round: 127 VFs" run create "$pf" 127 --driver vfio-pci --verbose
	made=$(($(ms) - start))
	check "round $round: two writes for each, and three in all beside" [ "$(grep -c '^vfctl: write' /mnt/err)" = 257 ]
	check "round $round: all of them are bound" [ "$(bound)" = 127 ]
	check "round $round: once more" run create "$pf" 127 --driver vfio-pci
	check "round $round: takes no write" grep -q ', 0 writes$' /mnt/out
	check "round $round: list" run list
	check "round $round: lists all of them" [ "$(grep -c "VF of $pf" /mnt/out)" = 127 ]
	check "round $round: a free one is found" run show "$pf/any"
	start=$(ms)
	check "round $round: destroy" run destroy "$pf"
	removed=$(($(ms) - start))
	check "round $round: none is left" [ ! -e "$dev/virtfn0" ]
	note "127 VFs: vfctl $made ms, bare writes $by_hand ms; removed in $removed ms"
done
