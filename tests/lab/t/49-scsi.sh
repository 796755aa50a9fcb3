#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 420
# SCSI of virtio: Linux finds a disk, on which fio writes and verifies and whose image holds what the
# guest wrote, a disk that it may only read, and a CD that isofs mounts. Images that cannot be are refused in one line.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm
# busybox's blkdiscard cannot write zeroes.
fio=$(command -v fio) discard=$(command -v blkdiscard)
mapfile -t files < <(ldd "$fio" "$discard" | sed -n 's,.*[[:blank:]]/\([^ ]*\) (.*,\1=/\1,p' | sort -u)
lab_guest_initrd /mnt/initrd +virtio_scsi +sd_mod +sr_mod +isofs "${files[@]}" \
	"usr/bin/fio=$fio" "usr/bin/discard=$discard" <<'END'
for m in virtio_scsi sd_mod sr_mod isofs; do modprobe $m; done
wait_for 20 [ -b /dev/sda ]
wait_for 20 [ -b /dev/sdb ]
wait_for 20 [ -b /dev/sr0 ]
# The kernel finds disks side by side: which is which, their serial numbers say.
for d in sda sdb; do
	case $(tr -cd 'a-z-' </sys/block/$d/device/vpd_pg80) in
	*a-serial-number) a=$d ;;
	*) b=$d ;;
	esac
done
echo "MODEL $(cat /sys/block/$a/device/model)"
echo "SERIAL $(tr -cd 'a-z-' </sys/block/$a/device/vpd_pg80)"
echo "MQ $(ls /sys/block/$a/mq | wc -l) RO $(cat /sys/block/$b/ro) CACHE $(cat /sys/block/$a/queue/write_cache)"
echo "SIZE $(cat /sys/block/$a/size) ROT $(cat /sys/block/$a/queue/rotational)"
/usr/bin/fio --name=v --filename=/dev/$a --direct=1 --rw=randrw --bsrange=512-64k --iodepth=16 --ioengine=libaio \
	--verify=crc32c --verify_backlog=256 --size=24M --numjobs=2 --offset_increment=24M --time_based \
	--runtime=6 --verify_fatal=1 --group_reporting --minimal >/tmp/fio 2>&1
echo "FIO $?"
dd if=/dev/urandom of=/tmp/data bs=1M count=4 2>/dev/null
dd if=/tmp/data of=/dev/$a bs=64k seek=768 oflag=direct conv=fsync 2>/dev/null && echo WRITTEN
echo "SENT $(sha256sum </tmp/data)"
# Room that is certainly not empty: 14 to 18 MiB. What is given back and zeroed ends at 17.
dd if=/tmp/data of=/dev/$a bs=1M seek=14 oflag=direct 2>/dev/null && echo FILLED
/usr/bin/discard -o 0 -l 16777216 /dev/$a && echo DISCARDED
/usr/bin/discard -z -o 16777216 -l 1048576 /dev/$a && echo ZEROED
# A refused WRITE SAME would have left 0 here, and the kernel would have written the zeroes itself.
echo "SAME $(cat /sys/block/$a/queue/write_zeroes_max_bytes)"
echo "KEPT $(dd if=/tmp/data bs=1M skip=3 2>/dev/null | sha256sum)"
echo "ZEROES $(dd if=/dev/$a bs=1M skip=16 count=1 iflag=direct 2>/dev/null | tr -d '\0' | wc -c)"
echo "READONLY $(sha256sum </dev/$b)"
dd if=/tmp/data of=/dev/$b bs=4k count=1 oflag=direct 2>/dev/null || echo REFUSED
mkdir -p /tmp/cd
mount -t iso9660 -o ro /dev/sr0 /tmp/cd && echo MOUNTED
echo "FILE $(sha256sum </tmp/cd/data.bin)"
umount /tmp/cd
echo "BACK $(dd if=/dev/sr0 bs=2k count=17 skip=16 2>/dev/null | wc -c)"
dmesg | grep -iE 'scsi|sr 0|sd ' | tail -n 30
END

# An image of one file, by ECMA-119: volume descriptor, terminator, root directory, data.
python3 - /mnt/c.iso /mnt/data.bin <<'END'
import os, struct, sys
both16 = lambda v: struct.pack("<H", v) + struct.pack(">H", v)
both32 = lambda v: struct.pack("<I", v) + struct.pack(">I", v)
def record(name, at, size, flags):
    r = both32(at) + both32(size) + bytes([126, 1, 1, 0, 0, 0, 0, flags, 0, 0]) + both16(1)
    r += bytes([len(name)]) + name + b"\0" * (1 - len(name) % 2)
    return bytes([len(r) + 2, 0]) + r
data = os.urandom(100000)
root = record(b"\0", 18, 2048, 2) + record(b"\1", 18, 2048, 2) + record(b"DATA.BIN;1", 19, len(data), 0)
blocks = 19 + -(-len(data) // 2048)
pvd = b"\1CD001\1\0" + b" " * 32 + b"VIADUCT".ljust(32) + bytes(8) + both32(blocks) + bytes(32)
pvd += both16(1) + both16(1) + both16(2048) + both32(10) + struct.pack("<IIII", 0, 0, 0, 0)
pvd += record(b"\0", 18, 2048, 2)
pvd = pvd.ljust(881, b" ") + b"\1"
with open(sys.argv[1], "wb") as f:
    f.write(bytes(16 * 2048) + pvd.ljust(2048, b"\0") + b"\xffCD001\1".ljust(2048, b"\0") + root.ljust(2048, b"\0"))
    f.write(data.ljust((blocks - 19) * 2048, b"\0"))
with open(sys.argv[2], "wb") as f:
    f.write(data)
END
truncate -s 64M /mnt/a.raw
head -c 1M /dev/urandom >/mnt/b.raw
chmod 444 /mnt/b.raw

refused() { # WHAT PATTERN OPTION...
	local what=$1 pattern=$2
	shift 2
	timeout 60 "$VIADUCT" run --kernel "$LAB_KERNEL" --memory 256M --device "$@" </dev/null >/mnt/no 2>&1 && status=0 || status=$?
	check "$what: status 1" [ "$status" = 1 ]
	check_log "$what: why" "$pattern" /mnt/no
	check "$what: one line" [ "$(lines /mnt/no)" = 1 ]
}
head -c 1024 /dev/zero >/mnt/short.iso
refused "no such image" 'none.raw: No such file' scsi-disk,path=/mnt/none.raw
refused "an image shorter than a block of a CD" 'short.iso has 1024 bytes' scsi-cd,path=/mnt/short.iso
refused "a serial number that is too long" 'at most 20 characters' scsi-disk,path=/mnt/a.raw,serial=aaaaabbbbbcccccddddde

guest_start /mnt/log /mnt/initrd --cpus 2 \
	--device scsi-disk,path=/mnt/a.raw,serial=a-serial-number,direct=on,iothread=on \
	--device scsi-disk,path=/mnt/b.raw,readonly=on \
	--device scsi-cd,path=/mnt/c.iso
guest_wait 150 && status=0 || status=$?
said() { sed -n "s/^$1 //p" /mnt/log | tr -d '\r'; }
show /mnt/log
check "viaduct ends with status 0" [ "$status" = 0 ]
check "the guest's commands succeed" [ "$(guest_status /mnt/log)" = 0 ]
check_log "the guest knows the model" '^MODEL DISK' /mnt/log
check "and the serial number" [ "$(said SERIAL)" = a-serial-number ]
check "two queues, a read-only disk, a write cache" [ "$(said MQ)" = "2 RO 1 CACHE write back" ]
check "size, and it does not rotate" [ "$(said SIZE)" = "131072 ROT 0" ]
check_log "fio writes and verifies without an error" '^FIO 0' /mnt/log
check "the image holds what the guest wrote" \
	[ "$(dd if=/mnt/a.raw bs=64k skip=768 count=64 2>/dev/null | sha256sum)" = "$(said SENT)" ]
check_log "a stretch is filled" '^FILLED' /mnt/log
check_log "the guest discards" '^DISCARDED' /mnt/log
check "and the image gives the room back" [ "$(dd if=/mnt/a.raw bs=1M count=16 2>/dev/null | tr -d '\0' | wc -c)" = 0 ]
check_log "zeroes are written" '^ZEROED' /mnt/log
check "by WRITE SAME" [ "$(said SAME)" = 1073741824 ]
check "and read" [ "$(said ZEROES)" = 0 ]
check "and end where they should" \
	[ "$(dd if=/mnt/a.raw bs=1M skip=17 count=1 2>/dev/null | sha256sum)" = "$(said KEPT)" ]
check "the read-only disk holds what it held" [ "$(said READONLY)" = "$(sha256sum </mnt/b.raw)" ]
check_log "and is not written" '^REFUSED' /mnt/log
check_log "isofs mounts the CD" '^MOUNTED' /mnt/log
check "its file is what it was" [ "$(said FILE)" = "$(sha256sum </mnt/data.bin)" ]
check "and it is read as a device" [ "$(said BACK)" = 34816 ]
