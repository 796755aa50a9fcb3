#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 300
# virtio-net and e1000 on tap interfaces of the host, with Linux's drivers: each guest's TCP transfer
# goes on after its cable was pulled through the monitor and after the interface was deleted and came
# back. A tap that is not ours and one that cannot be are refused in one line.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm net
lab_guest_initrd /mnt/initrd <<'END'
modprobe e1000 2>/dev/null
a=$(find_net virtio_net)
b=$(find_net e1000)
net_up $a 10.5.0.2/24
net_up $b 10.6.0.2/24
ping -c 3 -W 5 -q 10.5.0.1
ping -c 3 -W 5 -q 10.6.0.1
echo READY
nc 10.5.0.1 9000 </dev/null | sha256sum >/tmp/a &
pid_a=$!
nc 10.6.0.1 9000 </dev/null | sha256sum >/tmp/b &
pid_b=$!
(
	was=
	while :; do
		now="$(cat /sys/class/net/$a/carrier)$(cat /sys/class/net/$b/carrier)"
		[ "$now" = "$was" ] || echo "CARRIER $now"
		was=$now
		sleep 0.2
	done
) &
wait $pid_a $pid_b
echo "SUM-A $(cat /tmp/a)"
echo "SUM-B $(cat /tmp/b)"
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
tap_up() { # NAME ADDRESS
	ip tuntap add "$1" mode tap
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
tap_up tapa 10.5.0.1
tap_up tapb 10.6.0.1
ctl() { "$VIADUCT" ctl /mnt/monitor "$@"; }
carrier() { [ "$(grep CARRIER /mnt/log | tail -n 1 | tr -d '\r')" = "CARRIER $1" ]; }
socat -U TCP-LISTEN:9000,bind=10.5.0.1,reuseaddr SYSTEM:/mnt/feed &
socat -U TCP-LISTEN:9000,bind=10.6.0.1,reuseaddr SYSTEM:/mnt/feed &
guest_start /mnt/log /mnt/initrd --monitor /mnt/monitor --device virtio-net,id=a,net=tap,ifname=tapa \
	--device e1000,id=b,net=tap,ifname=tapb
guest_saw 60 /mnt/log '^READY' || die "the guest never came so far: $(cat /mnt/log.err; tail -n 20 /mnt/log)"
refused "a tap that another guest has" 'tapa' virtio-net,net=tap,ifname=tapa
check "the guest sees both cables in" wait_for 20 carrier 11
ctl set-link a off
ctl set-link b off
check "and both pulled" wait_for 20 carrier 00
sleep 1
ctl set-link a on
ctl set-link b on
check "and in again" wait_for 20 carrier 11
ip link del tapa
ip link del tapb
check "interfaces that are deleted are cables pulled" wait_for 20 carrier 00
tap_up tapa 10.5.0.1
tap_up tapb 10.6.0.1
check "and come back with the interfaces" wait_for 20 carrier 11
guest_wait 100 && status=0 || status=$?
said() { sed -n "s/^$1 //p" /mnt/log | tr -d '\r'; }
check "viaduct ends with status 0" [ "$status" = 0 ]
check "both ping the host" [ "$(grep -c '3 packets received' /mnt/log)" = 2 ]
check "virtio-net's transfer is whole" [ "$(said SUM-A)" = "$sum" ]
check "e1000's transfer is whole" [ "$(said SUM-B)" = "$sum" ]
show /mnt/log
