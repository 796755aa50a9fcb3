#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 300
# virtio-net with Linux's driver over the user network, with MSI-X, with INTx and with packed rings:
# pings, files both ways, the driver taken off and put back.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm
lab_guest_initrd /mnt/initrd <<'END'
dev=$(find_net virtio_net)
net_up $dev 10.0.2.15/24
ping -c 5 -W 5 -q 10.0.2.2
ping -c 5 -W 5 -s 1472 -q 10.0.2.2
echo "down $(wget -q -O - http://10.0.2.2:8080/blob | sha256sum)"
seq 1 300000 >/tmp/up
echo "sent $(sha256sum </tmp/up)"
wget -q -O - --post-file /tmp/up http://10.0.2.2:8080/cgi-bin/up
ping -c 200 -i 0.01 -W 5 -q 10.0.2.2
irqs virtio
virtio=$(basename "$(readlink "/sys/class/net/$dev/device")")
echo "packed $(cut -c35 /sys/bus/virtio/devices/$virtio/features)"
echo $virtio >/sys/bus/virtio/drivers/virtio_net/unbind
echo $virtio >/sys/bus/virtio/drivers/virtio_net/bind
dev=$(find_net virtio_net)
net_up $dev 10.0.2.15/24
ping -c 3 -W 5 -q 10.0.2.2
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
	guest_run 100 /mnt/log /mnt/initrd --device "$device" && status=0 || status=$?
	check "$what: viaduct ends with status 0" [ "$status" = 0 ]
	check "$what: pings, small, large, many, and after the driver came back" \
		[ "$(grep -cE '[35] packets received|200 packets received' /mnt/log)" = 4 ]
	check_log "$what: 8 MiB from the host" "down $sum" /mnt/log
	check "$what: a file to the host" [ "$(said sent)" = "$(said received)" ]
	check "$what: packed rings negotiated: $packed" [ "$(said packed)" = "$packed" ]
	show /mnt/log
}

traffic MSI-X
check_log "MSI-X: a vector for each queue" 'PCI-MSIX.*virtio0-input' /mnt/log
LAB_CMDLINE="$LAB_CMDLINE pci=nomsi" traffic INTx
check_log "INTx: the pin" 'IO-APIC.*virtio0' /mnt/log
traffic packed virtio-net,packed=on 1
