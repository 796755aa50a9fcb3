#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards ivshmem --timeout 480
# A 64-bit prefetchable BAR of 8 GiB, as accelerators have them: the guest writes all of it and reads it
# back to the end, once on each IOMMU back end.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm
vfio_rows
shm=$(lab_pf ivshmem)
"$VFCTL" bind "$shm" vfio-pci >/dev/null
# What the guest writes is the machine's memory. One without so much has a word written in each
# 2 MiB of it and the first and last 64 MiB, and the result says so.
if ((LAB_FREE_MIB > 10240)); then how=all; else how=sparse; fi
echo "$how" >/mnt/how
lab_guest_initrd /mnt/initrd bin/bar="$LAB_TOOLS/bar" how=/mnt/how <<'END'
dev=$(pci_find 1af4:1110)
echo "SIZE $(stat -c %s $dev/resource2)"
size=$((8 << 30)) edge=$((64 << 20))
bars() { # COMMAND
	if [ "$(cat /how)" = all ]; then
		bar $1 $dev/resource2 0 $size 8 $seed
	else
		bar $1 $dev/resource2 0 $edge 8 $seed &&
			bar $1 $dev/resource2 $edge $((size - 2 * edge)) $((2 << 20)) $seed &&
			bar $1 $dev/resource2 $((size - edge)) $edge 8 $seed
	fi
}
bars fill && echo FILLED $(cut -d' ' -f1 /proc/uptime)
bars check && echo CHECKED $(cut -d' ' -f1 /proc/uptime)
END
case $how in
all) what="all 8 GiB of it" ;;
*) what="its first and last 64 MiB and a word in each 2 MiB between (only $LAB_FREE_MIB MiB are free here)" ;;
esac
pinned_before=$(pinned)
seed=0
for row in $rows; do
	# Other words each time; the guest's kernel makes a variable of what it does not know.
	seed=$((seed + 1))
	guest_run 300 /mnt/log /mnt/initrd --append "$LAB_CMDLINE seed=$seed" \
		--device "vfio-pci,host=$shm,iommu=$row" && status=0 || status=$?
	check "$row: viaduct ends with status 0" [ "$status" = 0 ]
	check_log "$row: the guest sees a BAR of 8 GiB" '^SIZE 8589934592' /mnt/log
	check_log "$row: writes $what" '^FILLED' /mnt/log
	check_log "$row: and reads the same" '^CHECKED' /mnt/log
	note "seconds since the guest's start: $(grep -E '^(FILLED|CHECKED)' /mnt/log | tr '\n' ' ')"
	show /mnt/log
done
check "nothing stays pinned" [ "$(pinned)" = "$pinned_before" ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
