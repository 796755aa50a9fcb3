#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 600
# One guest with one of each: a VF of the igb card, a virtio card of four pairs of queues on a bridge
# whose rings vhost-net serves, two disks, console port, balloon, rng, a CD, vsock. Linux's drivers,
# and a program of the guest's for each of them; all move at the same time.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

igb_up 1
lab_load net
lab_load vhost_vsock
[ -e /dev/vhost-vsock ] || mknod /dev/vhost-vsock c 10 241
[ -e /dev/vhost-net ] || mknod /dev/vhost-net c 10 238
ip link add br0 type bridge
ip addr add 10.7.0.1/24 dev br0
ip link set br0 up
mkdir -p /etc/viaduct
echo "allow br0" >/etc/viaduct/bridge.conf
chmod 644 /etc/viaduct/bridge.conf
truncate -s 64M /mnt/a.img /mnt/b.img
head -c 3M /dev/urandom >/mnt/cd.iso
head -c 6M /dev/urandom >/mnt/blob
iperf3 -s -D -B 10.0.2.50 -p 5201 >/dev/null
socat -U TCP-LISTEN:9000,bind=10.7.0.1,reuseaddr,fork FILE:/mnt/blob &

ethtool=$(command -v ethtool)
mapfile -t files < <(ldd "$ethtool" | sed -n 's,.*[[:blank:]]/\([^ ]*\) (.*,\1=/\1,p')
lab_guest_initrd /mnt/initrd +virtio_blk +virtio_scsi +sr_mod +virtio_rng +virtio_balloon +virtio_console \
	+vmw_vsock_virtio_transport /bin/vsock="$LAB_TOOLS/vsock" "${files[@]}" "usr/bin/ethtool=$ethtool" <<'END'
for m in virtio_blk virtio_scsi sr_mod; do modprobe $m; done
vf=$(find_net igbvf)
net=$(find_net virtio_net)
net_up $vf 10.0.2.77/24
net_up $net 10.7.0.2/24
/usr/bin/ethtool -L $net combined 4
echo "PAIRS $(/usr/bin/ethtool -l $net | awk '/^Combined/ { n = $2 } END { print n }')"
for d in vda vdb sr0; do wait_for 20 [ -b /dev/$d ]; done
wait_for 20 sh -c "ls /dev/vport*p1" >/dev/null
wait_for 20 [ -e /dev/hwrng ]
wait_for 20 [ -e /dev/vsock ]
dd if=/dev/hwrng of=/tmp/random bs=4096 count=16 iflag=fullblock 2>/dev/null
echo "RNG $(wc -c </tmp/random)"
# All of it at once.
timeout 120 iperf3 -c 10.0.2.50 -p 5201 -n 10M >/tmp/vf 2>&1 && echo VF-DONE &
nc 10.7.0.1 9000 </dev/null | sha256sum >/tmp/net &
for d in vda vdb; do
	(
		dd if=/dev/urandom of=/tmp/$d bs=1M count=8 2>/dev/null
		dd if=/tmp/$d of=/dev/$d bs=64k oflag=direct conv=fsync 2>/dev/null
		dd if=/dev/$d bs=64k count=128 iflag=direct 2>/dev/null | cmp - /tmp/$d && echo "BACK $d"
		sha256sum </tmp/$d >/tmp/$d.sum
	) &
done
sha256sum </dev/sr0 >/tmp/cd &
vsock send 1000 </tmp/random && echo VSOCK-DONE &
port=$(ls /dev/vport*p1)
# Until the host's end is connected, reading ends at once; to close would lose what has come.
exec 3<>$port
until read -r line <&3; do sleep 0.2; done
echo "HEARD $line"
echo "the guest's answer" >&3
wait
echo "NET $(cat /tmp/net)"
echo "DISK-A $(cat /tmp/vda.sum)"
echo "DISK-B $(cat /tmp/vdb.sum)"
echo "CD $(cat /tmp/cd)"
echo "RANDOM $(sha256sum </tmp/random)"
free_mib() { awk '/^MemFree:/ { print int($2 / 1024) }' /proc/meminfo; }
start=$(free_mib)
echo "READY $start"
small() { [ $(free_mib) -lt $((start - 150)) ]; }
large() { [ $(free_mib) -gt $((start - 60)) ]; }
wait_for 60 small && echo BALLOON-SMALL
wait_for 60 large && echo BALLOON-LARGE
for d in /sys/bus/pci/devices/*; do echo "FUNCTION ${d##*/} $(basename "$(readlink $d/driver)" 2>/dev/null)"; done
END
cat >/mnt/take.py <<'END'
import socket, sys
s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
s.bind((socket.VMADDR_CID_ANY, 1000))
s.listen(1)
open("/mnt/listening", "w").close()
s = s.accept()[0]
while data := s.recv(65536):
    sys.stdout.buffer.write(data)
END
python3 /mnt/take.py >/mnt/up &
taker=$!
wait_for 20 [ -e /mnt/listening ]
said() { sed -n "s/^$1 //p" /mnt/log | tr -d '\r'; }
sum() { sha256sum <"$1"; }
ctl() { "$VIADUCT" ctl /mnt/monitor "$@"; }

guest_start /mnt/log /mnt/initrd --cpus 2 --memory 640M --monitor /mnt/monitor \
	--device "vfio-pci,host=$(lab_vf "$pf" 0)" --device virtio-net,id=net,net=bridge,bridge=br0,queues=4,vhost=on \
	--device virtio-blk,id=a,path=/mnt/a.img --device virtio-blk,id=b,path=/mnt/b.img \
	--device scsi-cd,path=/mnt/cd.iso --device virtio-rng --device virtio-balloon,id=balloon \
	--device virtio-console,serial1=unix=/mnt/port,name1=talk --device vhost-vsock,guest-cid=5
guest_saw 100 /mnt/log '^RNG' || die "the guest never came so far: $(cat /mnt/log.err; tail -n 20 /mnt/log)"
mkfifo /mnt/keys
socat - UNIX-CONNECT:/mnt/port </mnt/keys >/mnt/heard &
exec 5>/mnt/keys
echo "the host's word" >&5
check "the guest has moved everything" guest_saw 120 /mnt/log '^READY'
# A descriptor of vhost-net for each pair.
check "the kernel serves the pairs" [ "$(readlink "/proc/$guest_pid/fd/"* | grep -c vhost-net)" = 4 ]
ctl balloon 400M
check "the balloon takes memory" guest_saw 80 /mnt/log '^BALLOON-SMALL'
ctl balloon 640M
check "and gives it back" guest_saw 80 /mnt/log '^BALLOON-LARGE'
guest_wait 60 && status=0 || status=$?
check "viaduct ends with status 0" [ "$status" = 0 ]
check "the guest's commands succeed" [ "$(guest_status /mnt/log)" = 0 ]
check "the VF carries" grep -q '^VF-DONE' /mnt/log
check "the virtio card has four pairs" [ "$(said PAIRS)" = 4 ]
check "and its file is whole" [ "$(said NET)" = "$(sum /mnt/blob)" ]
check "both disks read what was written" [ "$(grep -c '^BACK vd' /mnt/log)" = 2 ]
check "and the images hold it" [ "$(said DISK-A) $(said DISK-B)" = \
	"$(head -c 8M /mnt/a.img | sha256sum) $(head -c 8M /mnt/b.img | sha256sum)" ]
check "the CD is whole" [ "$(said CD)" = "$(sum /mnt/cd.iso)" ]
check "rng gives" [ "$(said RNG)" = 65536 ]
wait $taker
check "vsock carries it" [ "$(said RANDOM)" = "$(sum /mnt/up)" ]
check "the console port hears" [ "$(said HEARD)" = "the host's word" ]
check "and speaks" grep -q "the guest's answer" /mnt/heard
check_log "the balloon says what it cannot do beside a VF" 'mapped for DMA' /mnt/log.err
show /mnt/log
