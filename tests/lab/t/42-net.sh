#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 300
# virtio-net (its rings served here, and by vhost-net) and e1000 on tap interfaces of the host, with
# Linux's drivers: each guest's TCP transfer goes on after its cable was pulled through the monitor and
# after the interface was deleted and came back. Pairs of queues, offloads and vhost-net are there. A tap that is not ours and one that cannot be are refused in one line.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm net
ethtool=$(command -v ethtool)
mapfile -t files < <(ldd "$ethtool" | sed -n 's,.*[[:blank:]]/\([^ ]*\) (.*,\1=/\1,p')
lab_guest_initrd /mnt/initrd "${files[@]}" "usr/bin/ethtool=$ethtool" <<'END'
modprobe e1000 2>/dev/null
a=$(find_net virtio_net)
b=$(find_net e1000)
c=$(find_net virtio_net 1)
net_up $a 10.5.0.2/24
net_up $b 10.6.0.2/24
net_up $c 10.7.0.2/24
for i in 5 6 7; do ping -c 3 -W 5 -q 10.$i.0.1; done
for i in $a $c; do
	echo "FEATURES $i $(cat /sys/class/net/$i/device/features)"
	/usr/bin/ethtool -l $i | tr '\n' ' '
	/usr/bin/ethtool -L $i combined 4 && /usr/bin/ethtool -l $i | tail -n 2 | tr '\n' ' '
	/usr/bin/ethtool -k $i | grep -E '^(tcp-segmentation-offload|rx-checksumming):'
done
echo "MTU $(cat /sys/class/net/$c/mtu)"
for i in 5 7; do ping -c 3 -W 5 -q 10.$i.0.1; done
echo READY
nc 10.5.0.1 9000 </dev/null | sha256sum >/tmp/a &
pid_a=$!
nc 10.6.0.1 9000 </dev/null | sha256sum >/tmp/b &
pid_b=$!
nc 10.7.0.1 9000 </dev/null | sha256sum >/tmp/c &
pid_c=$!
(
	was=
	while :; do
		now="$(cat /sys/class/net/$a/carrier)$(cat /sys/class/net/$b/carrier)$(cat /sys/class/net/$c/carrier)"
		[ "$now" = "$was" ] || echo "CARRIER $now"
		was=$now
		sleep 0.2
	done
) &
wait $pid_a $pid_b $pid_c
echo "SUM-A $(cat /tmp/a)"
echo "SUM-B $(cat /tmp/b)"
echo "SUM-C $(cat /tmp/c)"
END

head -c 6M /dev/urandom >/mnt/blob
sum=$(sha256sum </mnt/blob)
cat >/mnt/feed <<'END'
#!/bin/sh
for i in $(seq 0 23); do
	dd if=/mnt/blob bs=256k skip=$i count=1 2>/dev/null
	sleep 0.7
done
END
chmod +x /mnt/feed
tap_up() { # NAME ADDRESS [multi_queue]
	ip tuntap add "$1" mode tap ${3:+"$3"}
	ip addr add "$2/24" dev "$1"
	ip link set "$1" up
}
refused() { # WHAT PATTERN DEVICE
	timeout 60 "$VIADUCT" run --kernel "$LAB_KERNEL" --memory 256M --device "$3" </dev/null >/mnt/no 2>&1 && status=0 || status=$?
	check "$1: status 1" [ "$status" = 1 ]
	check_log "$1: why" "$2" /mnt/no
	check "$1: one line" [ "$(lines /mnt/no)" = 1 ]
}
refused "a name too long" 'a-name-of-sixteen' virtio-net,net=tap,ifname=a-name-of-sixteen
ip link add dummy9 type bridge
refused "an interface that is no tap" 'dummy9' virtio-net,net=tap,ifname=dummy9
all_up() {
	tap_up tapa 10.5.0.1 multi_queue
	tap_up tapb 10.6.0.1
	tap_up tapc 10.7.0.1 multi_queue
}
all_up
ctl() { "$VIADUCT" ctl /mnt/monitor "$@"; }
carrier() { [ "$(grep CARRIER /mnt/log | tail -n 1 | tr -d '\r')" = "CARRIER $1" ]; }
socat -U TCP-LISTEN:9000,bind=10.5.0.1,reuseaddr SYSTEM:/mnt/feed &
socat -U TCP-LISTEN:9000,bind=10.6.0.1,reuseaddr SYSTEM:/mnt/feed &
socat -U TCP-LISTEN:9000,bind=10.7.0.1,reuseaddr SYSTEM:/mnt/feed &
refused "several queues of a tap of one" 'tapb' virtio-net,net=tap,ifname=tapb,queues=4
guest_start /mnt/log /mnt/initrd --cpus 2 --monitor /mnt/monitor \
	--device virtio-net,id=a,net=tap,ifname=tapa,queues=4,vhost=off --device e1000,id=b,net=tap,ifname=tapb \
	--device virtio-net,id=c,net=tap,ifname=tapc,queues=4,vhost=on,mtu=1400
guest_saw 60 /mnt/log '^READY' || die "the guest never came so far: $(cat /mnt/log.err; tail -n 20 /mnt/log)"
refused "a tap that another guest has" 'tapa' virtio-net,net=tap,ifname=tapa,queues=4
check "the guest sees both cables in" wait_for 20 carrier 111
ctl set-link a off
ctl set-link b off
ctl set-link c off
check "and both pulled" wait_for 20 carrier 000
sleep 1
ctl set-link a on
ctl set-link b on
ctl set-link c on
check "and in again" wait_for 20 carrier 111
ip link del tapa
ip link del tapb
ip link del tapc
check "interfaces that are deleted are cables pulled" wait_for 20 carrier 000
all_up
check "and come back with the interfaces" wait_for 20 carrier 111
guest_wait 100 && status=0 || status=$?
said() { sed -n "s/^$1 //p" /mnt/log | tr -d '\r'; }
check "viaduct ends with status 0" [ "$status" = 0 ]
check "all ping the host, with one and with four pairs" [ "$(grep -c '3 packets received' /mnt/log)" = 5 ]
check "four pairs are in use" [ "$(grep -c 'Combined:.*4.*tcp-seg\|Combined:.*4' /mnt/log)" -ge 2 ]
check "segments are left to the host" [ "$(grep -c 'tcp-segmentation-offload: on' /mnt/log)" = 2 ]
check "and its checksums are taken" [ "$(grep -c 'rx-checksumming: on' /mnt/log)" = 2 ]
check "the mtu is the guest's" [ "$(said MTU)" = 1400 ]
check "virtio-net's transfer is whole" [ "$(said SUM-A)" = "$sum" ]
check "vhost-net's transfer is whole" [ "$(said SUM-C)" = "$sum" ]
check "e1000's transfer is whole" [ "$(said SUM-B)" = "$sum" ]
show /mnt/log
