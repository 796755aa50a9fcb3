#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 300
# A disk that another process serves: qemu-storage-daemon with a qcow2 image, two queues. The guest
# writes it, and the image holds what the guest wrote. The server goes while nothing is under way, and
# another comes: the guest goes on.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm
lab_guest_initrd /mnt/initrd +virtio_blk <<'END'
wait_for 20 [ -b /dev/vda ]
echo "CACHE $(cat /sys/block/vda/queue/write_cache)"
echo "SIZE $(cat /sys/block/vda/size) QUEUES $(ls /sys/block/vda/mq | wc -l)"
dd if=/dev/urandom of=/tmp/data bs=1M count=16 2>/dev/null
dd if=/tmp/data of=/dev/vda bs=64k oflag=direct conv=fsync 2>/dev/null && echo WRITTEN
echo "SENT $(sha256sum </tmp/data)"
irqs virtio
echo PAUSE
n=0
while [ $n -lt 8 ]; do
	sleep 1
	n=$((n + 1))
done
echo "BACK $(dd if=/dev/vda bs=64k count=256 iflag=direct 2>/dev/null | sha256sum)"
dd if=/tmp/data of=/dev/vda bs=64k seek=256 oflag=direct conv=fsync 2>/dev/null && echo WRITTEN-AGAIN
END
qemu-img create -q -f qcow2 /mnt/disk.qcow2 64M
serve() {
	qemu-storage-daemon --blockdev "driver=file,node-name=file,filename=/mnt/disk.qcow2" \
		--blockdev driver=qcow2,node-name=disk,file=file \
		--export type=vhost-user-blk,id=e,node-name=disk,writable=on,num-queues=2,addr.type=unix,addr.path=/mnt/vub.sock \
		</dev/null >/mnt/qsd.log 2>&1 &
	server=$!
	wait_for 20 [ -S /mnt/vub.sock ] || die "qemu-storage-daemon: $(cat /mnt/qsd.log)"
}

device=vhost-user-blk,socket=/mnt/vub.sock,queues=2
"$VIADUCT" run --kernel "$LAB_KERNEL" --memory 512M,share=on --device $device </dev/null >/mnt/no 2>&1 &&
	status=0 || status=$?
check "nobody serves: status 1" [ "$status" = 1 ]
check_log "and one line that says so" 'vub.sock: nobody serves vhost-user there' /mnt/no
serve
"$VIADUCT" run --kernel "$LAB_KERNEL" --device $device </dev/null >/mnt/no 2>&1 || true
check_log "private memory is refused with the remedy" 'add share=on to --memory' /mnt/no
"$VIADUCT" run --kernel "$LAB_KERNEL" --memory 512M,share=on --device ${device%2}4 </dev/null >/mnt/no 2>&1 || true
check_log "more queues than the server has" 'queues=4: its server has 2' /mnt/no

guest_start /mnt/log /mnt/initrd --cpus 2 --memory 512M,share=on --device $device
guest_saw 100 /mnt/log PAUSE || die "the guest never came so far: $(cat /mnt/log.err; tail -n 20 /mnt/log)"
kill -9 $server
wait $server 2>/dev/null || true
rm -f /mnt/vub.sock
serve
guest_wait 60 && status=0 || status=$?
said() { sed -n "s/^$1 //p" /mnt/log | tr -d '\r'; }
check "viaduct ends with status 0" [ "$status" = 0 ]
check "the guest's commands succeed" [ "$(guest_status /mnt/log)" = 0 ]
check "the guest sees 64 MiB and two queues" [ "$(said SIZE)" = "131072 QUEUES 2" ]
check "the guest knows that writes are cached" [ "$(said CACHE)" = "write back" ]
check_log "a vector for each queue" 'PCI-MSIX.*virtio0-req.1' /mnt/log
check_log "the server went and came back" 'vub.sock: served again' /mnt/log.err
check "what the guest wrote comes back from the next server" [ "$(said SENT)" = "$(said BACK)" ]
check_log "and it writes on" '^WRITTEN-AGAIN' /mnt/log
kill $server
wait $server 2>/dev/null || true
sum=$(qemu-img dd -f qcow2 -O raw bs=1M count=16 if=/mnt/disk.qcow2 of=/mnt/raw && sha256sum </mnt/raw)
check "the image holds what the guest wrote" [ "$sum" = "$(said SENT)" ]
show /mnt/log
