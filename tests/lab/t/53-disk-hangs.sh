#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 240
# Disks that do not answer (F10, F36): 64 writes are under way on each of two devices of the host that
# stand still. The guest resets one's function and is told to wait; it restarts with the other's under
# way, and comes back when that answers. What was not to be written is untouched.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm dm-mod loop
fio=$(command -v fio)
mapfile -t files < <(ldd "$fio" | sed -n 's,.*[[:blank:]]/\([^ ]*\) (.*,\1=/\1,p' | sort -u)
lab_guest_initrd /mnt/initrd +virtio_blk "${files[@]}" "usr/bin/fio=$fio" "bin/bar=$LAB_TOOLS/bar" <<'END'
wait_for 20 [ -b /dev/vdc ]
if [ "$(dd if=/dev/vda bs=5 count=1 2>/dev/null)" = again ]; then
	echo AGAIN
	exit 0
fi
printf again | dd of=/dev/vda conv=fsync 2>/dev/null
for d in vdb vdc; do
	/usr/bin/fio --name=$d --filename=/dev/$d --direct=1 --rw=randwrite --bs=4k --iodepth=64 --ioengine=libaio \
		--offset=1M --size=6M --time_based --runtime=600 >/tmp/fio.$d 2>&1 &
done
writes() { awk '{ print $5 }' /sys/block/$1/stat; }
stuck() {
	_before=$(writes $1)
	sleep 1
	[ "$(awk '{ print $2 }' /sys/block/$1/inflight)" = 64 ] && [ "$(writes $1)" = "$_before" ]
}
moving() { [ "$(writes $1)" -gt 64 ]; }
wait_for 60 moving vdb
wait_for 60 moving vdc
echo LOADED
wait_for 60 stuck vdb
wait_for 60 stuck vdc
echo "INFLIGHT $(awk '{ print $2 }' /sys/block/vdb/inflight /sys/block/vdc/inflight | tr '\n' ' ')"
bar=$(readlink -f /sys/block/vdb/device/..)/resource0
# The register of the device's status (virtio 1.2, 4.1.4.3).
bar byte $bar 20 0
echo "STATUS $(bar byte $bar 20)"
over() { [ "$(bar byte $bar 20)" = 0 ]; }
wait_for 60 over && echo RESET-OVER
echo RESTARTS
reboot -f
END

truncate -s 1M /mnt/a.raw
for i in 1 2; do
	head -c 8M /dev/urandom >/mnt/$i.raw
	dmsetup create hang$i --table "0 16384 linear $(losetup -f --show /mnt/$i.raw) 0"
done
dm() { echo "/dev/dm-$(dmsetup info -c --noheadings -o minor "$1")"; }
sums() { head -qc 1M /mnt/1.raw /mnt/2.raw | sha256sum; }
before=$(sums)
LAB_CMDLINE+=" iomem=relaxed"
guest_start /mnt/log /mnt/initrd --device virtio-blk,path=/mnt/a.raw \
	--device "virtio-blk,path=$(dm hang1),direct=on,iothread=on" --device "virtio-blk,path=$(dm hang2),direct=on"
guest_saw 60 /mnt/log '^LOADED' || die "the guest never came so far: $(cat /mnt/log.err; tail -n 20 /mnt/log)"
dmsetup suspend --nolockfs hang1
dmsetup suspend --nolockfs hang2
guest_saw 60 /mnt/log '^STATUS' && hung=yes || hung=no
check "64 writes of each disk are under way" grep -q '^INFLIGHT 64 64' /mnt/log
check "the reset of a device that hangs returns" [ $hung = yes ]
check_log "and is not over" '^STATUS [1-9]' /mnt/log
check_log "which is said" 'its reset waits for what the host has not ended' /mnt/log.err
check "and does not end by itself" sh -c 'sleep 2; ! grep -q ^RESET-OVER /mnt/log'
dmsetup resume hang1
guest_saw 30 /mnt/log '^RESTARTS' || note "the guest did not restart"
check_log "it is over when the host answers" '^RESET-OVER' /mnt/log
sleep 3
check "the restart waits for the other disk" sh -c '! grep -q "guest restarted" /mnt/log.err'
dmsetup resume hang2
guest_wait 60 && status=0 || status=$?
check "viaduct ends with status 0" [ "$status" = 0 ]
check_log "the guest restarts" '^AGAIN' /mnt/log
check "what was not to be written is untouched" [ "$(sums)" = "$before" ]
show /mnt/log
