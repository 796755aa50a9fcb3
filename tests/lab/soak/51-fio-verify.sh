#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 600
# fio writes and verifies for five minutes on virtio-blk and on SCSI at once, one with a thread of
# its own; $LAB_SECONDS makes it short.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

seconds=${LAB_SECONDS:-300}
lab_load kvm
fio=$(command -v fio)
mapfile -t files < <(ldd "$fio" | sed -n 's,.*[[:blank:]]/\([^ ]*\) (.*,\1=/\1,p' | sort -u)
lab_guest_initrd /mnt/initrd +virtio_blk +virtio_scsi +sd_mod "${files[@]}" "usr/bin/fio=$fio" <<END
modprobe virtio_scsi
modprobe sd_mod
wait_for 20 [ -b /dev/vda ]
wait_for 20 [ -b /dev/sda ]
for d in vda sda; do
	/usr/bin/fio --name=\$d --filename=/dev/\$d --direct=1 --rw=randrw --bsrange=512-64k --iodepth=32 \\
		--ioengine=libaio --verify=crc32c --verify_backlog=512 --verify_fatal=1 --size=96M --time_based \\
		--runtime=$seconds --minimal >/tmp/\$d 2>&1 &
	eval pid_\$d=\$!
done
wait \$pid_vda
echo "FIO-vda \$?"
wait \$pid_sda
echo "FIO-sda \$?"
# Of fio's terse form: KiB and operations a second, of reads and of writes.
for d in vda sda; do echo "FIGURES \$d \$(grep '^3;' /tmp/\$d | cut -d';' -f6,8,47,49)"; done
grep -hv '^3;' /tmp/vda /tmp/sda | head
dmesg | grep -iE 'i/o error|critical medium|(vd|sd)[a-z]: .*(abort|tim(ed|ing) out|reset)|hung_task|blocked for more' >/tmp/dmesg
cat /tmp/dmesg
echo "COMPLAINTS \$(wc -l </tmp/dmesg)"
END

for i in a b; do truncate -s 96M /mnt/$i.raw; done
guest_start /mnt/log /mnt/initrd --cpus 2 --device virtio-blk,path=/mnt/a.raw,iothread=on \
	--device scsi-disk,path=/mnt/b.raw
guest_wait $((seconds + 120)) && status=0 || status=$?
note "$(grep FIGURES /mnt/log | tr -d '\r' | tr '\n' ' ')"
check "viaduct ends with status 0" [ "$status" = 0 ]
check_log "fio verifies the blk disk without an error" '^FIO-vda 0' /mnt/log
check_log "and the SCSI disk" '^FIO-sda 0' /mnt/log
check_log "the guest's kernel has nothing to complain of" '^COMPLAINTS 0' /mnt/log
check "and viaduct nothing but what the devices are" [ "$(grep -cvE 'MiB are there$|\.raw\)$' /mnt/log.err)" = 0 ]
check "both were written" [ "$(grep -cE '^FIGURES (vda|sda) [0-9]{4,};[0-9]+;[0-9]{4,};' /mnt/log)" = 2 ]
show /mnt/log
