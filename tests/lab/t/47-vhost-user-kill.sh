#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 420
# F-kill of a vhost-user back end: fio writes and verifies with 16 requests in flight on two queues, and
# the disk's server, which does them out of order, is killed with signal 9 again and again. fio sees no
# error, and every block is what it wrote.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

kills=${LAB_ROUNDS:-8}
lab_load kvm
fio=$(command -v fio)
mapfile -t files < <(ldd "$fio" | grep -o "/[^ ]*" | sort -u | sed "s,^\/\(.*\),\1=/\1,")
lab_guest_initrd /mnt/initrd +virtio_blk "usr/bin/fio=$fio" "${files[@]}" <<'END'
wait_for 20 [ -b /dev/vda ]
echo READY
# Once over the disk, each block verified a little later, until the host says enough.
/usr/bin/fio --name=v --filename=/dev/vda --direct=1 --rw=randwrite --bs=4k --iodepth=16 --ioengine=libaio \
	--verify=crc32c --verify_backlog=512 --verify_async=0 --size=32M --loops=1000 --time_based --runtime=60 \
	--verify_fatal=1 --group_reporting --minimal >/tmp/fio 2>&1
echo "FIO $?"
cut -d';' -f5,6,7,47,48 /tmp/fio | tail -n 3
END
truncate -s 64M /mnt/disk.raw
serve() {
	"$LAB_TOOLS/vhost_blk" /mnt/vub.sock /mnt/disk.raw 2 20000 </dev/null >>/mnt/server.log 2>&1 &
	server=$!
}
serve
wait_for 20 [ -S /mnt/vub.sock ]
guest_start /mnt/log /mnt/initrd --cpus 2 --memory 1G,share=on --device vhost-user-blk,socket=/mnt/vub.sock,queues=2
guest_saw 150 /mnt/log READY || die "the guest never came so far: $(cat /mnt/log.err; tail -n 20 /mnt/log)"
sleep 5
killed=0
while ((killed < kills)) && kill -0 "$guest_pid" && ! grep -q '^FIO' /mnt/log; do
	kill -9 "$server"
	wait "$server" 2>/dev/null || true
	serve
	killed=$((killed + 1))
	sleep 4
done
guest_wait 120 && status=0 || status=$?
check "viaduct ends with status 0" [ "$status" = 0 ]
check "the server was killed $kills times" [ "$killed" = "$kills" ]
check "each time another took over" [ "$(grep -c 'served again' /mnt/log.err)" = "$kills" ]
check "some went with requests in flight" grep -q 'are done again' /mnt/server.log
check_log "fio saw no error" '^FIO 0' /mnt/log
grep -h 'done again' /mnt/server.log | sed 's/^/# /' || true
grep -A3 '^FIO' /mnt/log | sed 's/^/# /' || true
show /mnt/log
