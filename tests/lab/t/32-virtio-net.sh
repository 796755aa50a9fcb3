#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 300
# virtio-net with Linux's driver over the user network, with MSI-X, with INTx and with packed rings:
# pings, files both ways, rings of another size, the driver taken off and put back. On packed rings with
# a network of other options: DHCP, a file by TFTP, a port of the host that leads in. With INTx a second
# card, which the driver uses by the legacy interface.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm
ethtool=$(command -v ethtool)
mapfile -t files < <(ldd "$ethtool" | sed -n 's,.*[[:blank:]]/\([^ ]*\) (.*,\1=/\1,p' | sort -u)
lab_guest_initrd /mnt/initrd "${files[@]}" "usr/bin/ethtool=$ethtool" <<'END'
dev=$(find_net virtio_net)
gateway=10.0.2.2 address=10.0.2.15/24
cat >/tmp/lease <<'LEASE'
#!/bin/sh
[ "$1" = bound ] || exit 0
echo "gateway=$router address=$ip/$mask"
echo "lease='$ip/$mask $router $dns $siaddr $hostname $boot_file'"
LEASE
chmod +x /tmp/lease
if grep -q lab.dhcp /proc/cmdline; then
	ip link set $dev up
	wait_for 20 _carrier $dev
	udhcpc -i $dev -n -q -s /tmp/lease >/tmp/leased 2>/dev/null
	. /tmp/leased
	echo "lease $lease"
fi
net_up $dev $address
ping -c 5 -W 5 -q $gateway
ping -c 5 -W 5 -s 1472 -q $gateway
echo "down $(wget -q -O - http://$gateway:8080/blob | sha256sum)"
seq 1 300000 >/tmp/up
echo "sent $(sha256sum </tmp/up)"
wget -q -O - --post-file /tmp/up http://$gateway:8080/cgi-bin/up
ping -c 200 -i 0.01 -W 5 -q $gateway
irqs virtio
virtio=$(basename "$(readlink "/sys/class/net/$dev/device")")
echo "packed $(cut -c35 /sys/bus/virtio/devices/$virtio/features)"
/usr/bin/ethtool -G $dev rx 64 tx 128
echo "rings $(/usr/bin/ethtool -g $dev | sed -n 's/^[RT]X:[^0-9]*//p' | tr '\n' ' ')"
ping -c 4 -W 5 -q $gateway
echo $virtio >/sys/bus/virtio/drivers/virtio_net/unbind
echo $virtio >/sys/bus/virtio/drivers/virtio_net/bind
dev=$(find_net virtio_net)
net_up $dev $address
ping -c 3 -W 5 -q $gateway
if legacy=$(find_net virtio_net 1); then
	ip link set $dev down
	net_up $legacy 10.0.2.15/24
	ping -c 6 -W 5 -q 10.0.2.2
	echo "legacy $(cut -c33 /sys/class/net/$legacy/device/features) $(wget -q -O - http://10.0.2.2:8080/blob | sha256sum)"
fi
grep -q lab.dhcp /proc/cmdline || exit 0
tftp -g -r boot/file -l /tmp/file $gateway
echo "tftp $(sha256sum </tmp/file)"
tftp -g -r ../secret -l /tmp/secret $gateway
echo "secret $(cat /tmp/secret 2>/dev/null)"
mkdir -p /tmp/www/cgi-bin
cat >/tmp/www/cgi-bin/echo <<'CGI'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
echo "the guest got $(sha256sum)"
touch /tmp/called
CGI
chmod +x /tmp/www/cgi-bin/echo
httpd -p 80 -h /tmp/www
echo SERVING
wait_for 60 test -e /tmp/called
sleep 1
END

# A service of this host, on its loopback, which the guest sees at 10.0.2.2.
ip link set lo up
mkdir -p /mnt/www/cgi-bin
head -c 8M /dev/urandom >/mnt/www/blob
cat >/mnt/www/cgi-bin/up <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
echo "received $(sha256sum)"
END
chmod +x /mnt/www/cgi-bin/up
busybox httpd -p 127.0.0.1:8080 -h /mnt/www
sum=$(sha256sum </mnt/www/blob)

# said WORD: what the guest printed behind it
said() { sed -n "s/^$1 //p" /mnt/log | tr -d '\r'; }

# traffic WHAT [DEVICE [PACKED]]: the guest runs, its log is checked
traffic() {
	local what=$1 device=${2:-virtio-net} packed=${3:-0}
	guest_start /mnt/log /mnt/initrd --device "$device" "${more[@]}"
	[ "$what" != packed ] || into_guest
	guest_wait 100 && status=0 || status=$?
	check "$what: viaduct ends with status 0" [ "$status" = 0 ]
	check "$what: pings, small, large, many, and after the driver came back" \
		[ "$(grep -cE '[35] packets received|200 packets received' /mnt/log)" = 4 ]
	check "$what: rings of another size, while it runs" [ "$(said rings)" = "256 256 64 128 " ]
	check_log "$what: which carry on" '4 packets received' /mnt/log
	check_log "$what: 8 MiB from the host" "down $sum" /mnt/log
	check "$what: a file to the host" [ "$(said sent)" = "$(said received)" ]
	check "$what: packed rings negotiated: $packed" [ "$(said packed)" = "$packed" ]
	show /mnt/log
}

more=()
traffic MSI-X
check_log "MSI-X: a vector for each queue" 'PCI-MSIX.*virtio0-input' /mnt/log
more=(--device "virtio-net,legacy=on")
LAB_CMDLINE="$LAB_CMDLINE pci=nomsi virtio_pci.force_legacy=1" traffic INTx
more=()
check_log "INTx: the pin" 'IO-APIC.*virtio0' /mnt/log
check_log "legacy: pings" '6 packets received' /mnt/log
check "legacy: without VERSION_1, 8 MiB from the host" [ "$(said legacy)" = "0 $sum" ]
mkdir -p /mnt/tftp/boot
head -c 100000 /dev/urandom >/mnt/tftp/boot/file
echo "not for guests" >/mnt/secret
seq 1 300000 >/mnt/up
# into_guest: a file posted to the guest's web server through the port that leads in
into_guest() {
	guest_saw 100 /mnt/log '^SERVING' || return 0
	busybox wget -q -O /mnt/answer --post-file /mnt/up http://127.0.0.1:2280/cgi-bin/echo || true
}
options=subnet=10.77.0.0/16,gateway=10.77.1.1,dns=10.77.1.2,dhcpstart=10.77.9.9,hostname=lab-guest
options+=,tftp=/mnt/tftp,bootfile=boot/file,hostfwd=tcp:127.0.0.1:2280-:80+udp::2281-:5000
LAB_CMDLINE="$LAB_CMDLINE lab.dhcp" traffic packed "virtio-net,packed=on,$options" 1
check "DHCP tells all that was asked for" [ "$(said lease)" = \
	"10.77.9.9/16 10.77.1.1 10.77.1.2 10.77.1.1 lab-guest boot/file" ]
check "a file by TFTP" [ "$(said tftp)" = "$(sha256sum </mnt/tftp/boot/file)" ]
check "and none from outside its folder" [ -z "$(said secret)" ]
check "a file to the guest's server through a port of the host" \
	[ "$(cat /mnt/answer)" = "the guest got $(sha256sum </mnt/up)" ]
