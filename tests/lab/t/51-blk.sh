#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 300
# virtio-blk on a raw image: fio writes and verifies on two queues; the image holds what the guest
# wrote; discard gives room back; what the guest asks of a disk it may only read is refused. The file
# system of the image runs full and has room again: the guest waits and sees no error. A device of the
# host that fails: the guest gets the error. A disk by the legacy interface. Images that cannot be are
# refused in one line.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm dm-mod loop
# busybox's blkdiscard cannot write zeroes.
fio=$(command -v fio) discard=$(command -v blkdiscard)
mapfile -t files < <(ldd "$fio" "$discard" | sed -n 's,.*[[:blank:]]/\([^ ]*\) (.*,\1=/\1,p' | sort -u)
lab_guest_initrd /mnt/initrd +virtio_blk "${files[@]}" "usr/bin/fio=$fio" "usr/bin/discard=$discard" <<'END'
wait_for 20 [ -b /dev/vde ]
echo "SERIAL $(cat /sys/block/vda/serial)"
echo "MQ $(ls /sys/block/vda/mq | wc -l) RO $(cat /sys/block/vdb/ro) CACHE $(cat /sys/block/vda/queue/write_cache)"
echo "BLOCKS $(cat /sys/block/vda/queue/logical_block_size) $(cat /sys/block/vda/queue/physical_block_size)"
/usr/bin/fio --name=v --filename=/dev/vda --direct=1 --rw=randrw --bsrange=512-64k --iodepth=16 --ioengine=libaio \
	--verify=crc32c --verify_backlog=256 --size=24M --numjobs=2 --offset_increment=24M --time_based \
	--runtime=8 --verify_fatal=1 --group_reporting --minimal >/tmp/fio 2>&1
echo "FIO $?"
irqs virtio
dd if=/dev/urandom of=/tmp/data bs=1M count=8 2>/dev/null
dd if=/tmp/data of=/dev/vda bs=64k seek=768 oflag=direct conv=fsync 2>/dev/null && echo WRITTEN
echo "SENT $(sha256sum </tmp/data)"
/usr/bin/discard -o 0 -l 16777216 /dev/vda && echo DISCARDED
/usr/bin/discard -z -o 16777216 -l 1048576 /dev/vda && echo ZEROED
echo "ZEROES $(dd if=/dev/vda bs=1M skip=16 count=1 iflag=direct 2>/dev/null | tr -d '\0' | wc -c)"
echo "READONLY $(sha256sum </dev/vdb)"
dd if=/tmp/data of=/dev/vdb bs=4k count=1 oflag=direct 2>/dev/null || echo REFUSED
dd if=/dev/vdc of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null && echo GOOD-READ
dd if=/dev/vdc of=/dev/null bs=4k count=1 skip=512 iflag=direct 2>/tmp/e || grep -o 'Input/output error' /tmp/e
dd if=/tmp/data of=/dev/vde bs=64k oflag=direct conv=fsync 2>/dev/null
echo "LEGACY $(cut -c33 /sys/block/vda/device/features) $(cut -c33 /sys/block/vde/device/features) $(dd if=/dev/vde bs=64k iflag=direct 2>/dev/null | sha256sum)"
echo FILLING
dd if=/tmp/data of=/dev/vdd bs=64k oflag=direct conv=fsync 2>/dev/null && echo FILLED
echo "BACK $(dd if=/dev/vdd bs=64k count=128 iflag=direct 2>/dev/null | sha256sum)"
END

truncate -s 64M /mnt/a.raw
head -c 1M /dev/urandom >/mnt/b.raw
sum_b=$(sha256sum </mnt/b.raw)
chmod 444 /mnt/b.raw
# A disk of which one stretch cannot be read.
truncate -s 8M /mnt/c.raw
bad=$(losetup -f --show /mnt/c.raw)
printf '0 4096 linear %s 0\n4096 1024 error\n5120 11264 linear %s 5120\n' "$bad" "$bad" | dmsetup create bad
bad=/dev/dm-$(dmsetup info -c --noheadings -o minor bad)
# A file system that has no room for the image that is to grow in it.
mkdir -p /mnt/small
mount -t tmpfs -o size=6M none /mnt/small
truncate -s 16M /mnt/small/d.raw
head -c 2M /dev/zero >/mnt/small/ballast

refused() { # WHAT PATTERN OPTION...
	local what=$1 pattern=$2
	shift 2
	timeout 60 "$VIADUCT" run --kernel "$LAB_KERNEL" --memory 256M --device "$@" </dev/null >/mnt/no 2>&1 && status=0 || status=$?
	check "$what: status 1" [ "$status" = 1 ]
	check_log "$what: why" "$pattern" /mnt/no
	check "$what: one line" [ "$(lines /mnt/no)" = 1 ]
}
qemu-img create -q -f qcow2 /mnt/q.qcow2 16M
: >/mnt/empty.raw
refused "no such image" 'none.raw: No such file' virtio-blk,path=/mnt/none.raw
refused "an empty image" 'empty.raw has 0 bytes' virtio-blk,path=/mnt/empty.raw
refused "an image of another format" 'q.qcow2 is a qcow2 image.*qemu-storage-daemon' virtio-blk,path=/mnt/q.qcow2
refused "a folder" 'neither a file nor a block device' virtio-blk,path=/mnt
lab_load ext4
truncate -s 8M /mnt/m.raw
mounted=$(losetup -f --show /mnt/m.raw)
mkfs.ext4 -q "$mounted"
mkdir -p /mnt/m
mount "$mounted" /mnt/m
refused "a disk that the host has mounted" "$mounted.*it is mounted" "virtio-blk,path=$mounted"
umount /mnt/m

truncate -s 8M /mnt/e.raw
LAB_CMDLINE="$LAB_CMDLINE virtio_pci.force_legacy=1" guest_start /mnt/log /mnt/initrd --cpus 2 \
	--device virtio-blk,path=/mnt/a.raw,serial=a-serial-number,direct=on,iothread=on \
	--device disk,path=/mnt/b.raw,readonly=on \
	--device virtio-blk,path=$bad \
	--device virtio-blk,path=/mnt/small/d.raw \
	--device virtio-blk,path=/mnt/e.raw,legacy=on
guest_saw 100 /mnt/log '^SERIAL' || die "the guest never came so far: $(cat /mnt/log.err; tail -n 20 /mnt/log)"
refused "an image that another guest has" 'a.raw is in use by another guest' virtio-blk,path=/mnt/a.raw
guest_saw 100 /mnt/log FILLING || die "the guest never filled the disk: $(cat /mnt/log.err; tail -n 20 /mnt/log)"
wait_for 60 grep -q 'No space left' /mnt/log.err && full=yes || full=no
check "the image's file system runs full, which is said" [ $full = yes ]
check "the guest waits" sh -c '! grep -q ^FILLED /mnt/log'
mount -o remount,size=32M /mnt/small
guest_wait 100 && status=0 || status=$?
said() { sed -n "s/^$1 //p" /mnt/log | tr -d '\r'; }
check "viaduct ends with status 0" [ "$status" = 0 ]
check "the guest's commands succeed" [ "$(guest_status /mnt/log)" = 0 ]
check "the guest knows the serial number" [ "$(said SERIAL)" = a-serial-number ]
check "two queues, a read-only disk, a write cache" [ "$(said MQ)" = "2 RO 1 CACHE write back" ]
check "block sizes" grep -qE '^BLOCKS 512 4096' /mnt/log
check_log "fio writes and verifies without an error" '^FIO 0' /mnt/log
check_log "a vector for each queue" 'PCI-MSIX.*virtio0-req.1' /mnt/log
check "the image holds what the guest wrote" \
	[ "$(dd if=/mnt/a.raw bs=64k skip=768 count=128 2>/dev/null | sha256sum)" = "$(said SENT)" ]
check_log "the guest discards" '^DISCARDED' /mnt/log
check "and the image gives the room back" [ "$(dd if=/mnt/a.raw bs=1M count=16 2>/dev/null | tr -d '\0' | wc -c)" = 0 ]
check_log "the guest writes zeroes" '^ZEROED' /mnt/log
check "which it reads" [ "$(said ZEROES)" = 0 ]
check "the read-only disk holds what it held" [ "$(said READONLY)" = "$sum_b" ]
check_log "and is not written" '^REFUSED' /mnt/log
check_log "what can be read of a bad disk is read" '^GOOD-READ' /mnt/log
check_log "and the rest is an error" 'Input/output error' /mnt/log
check_log "when there is room, the disk goes on" 'd.raw: goes on' /mnt/log.err
check_log "and the guest sees no error" '^FILLED' /mnt/log
check "what it wrote meanwhile is there" [ "$(said BACK)" = "$(said SENT)" ]
check "a disk by the legacy interface: without VERSION_1, its data the same" \
	[ "$(said LEGACY)" = "1 0 $(said SENT)" ]
check "and in its image" [ "$(sha256sum </mnt/e.raw)" = "$(said SENT)" ]
check_log "a vector for each queue there, too" 'PCI-MSIX.*virtio4-req.1' /mnt/log
show /mnt/log
