#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 300
# A guest on e1000 alone, with Linux's driver over the user network: pings, files both ways (TCP
# with the card's checksums and segmentation), the driver taken off and put back.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm
lab_guest_initrd /mnt/initrd <<'END'
dev=$(find_net e1000)
net_up $dev 10.0.2.15/24
echo "mac $(cat /sys/class/net/$dev/address)"
ping -c 5 -W 5 -q 10.0.2.2
ping -c 5 -W 5 -s 1472 -q 10.0.2.2
echo "down $(wget -q -O - http://10.0.2.2:8080/blob | sha256sum)"
seq 1 300000 >/tmp/up
echo "sent $(sha256sum </tmp/up)"
wget -q -O - --post-file /tmp/up http://10.0.2.2:8080/cgi-bin/up
ping -c 200 -i 0.01 -W 5 -q 10.0.2.2
irqs "$dev"
pci=$(basename "$(readlink "/sys/class/net/$dev/device")")
echo $pci >/sys/bus/pci/drivers/e1000/unbind
echo $pci >/sys/bus/pci/drivers/e1000/bind
dev=$(find_net e1000)
net_up $dev 10.0.2.15/24
ping -c 3 -W 5 -q 10.0.2.2
END

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

guest_run 100 /mnt/log /mnt/initrd --device e1000,mac=52:54:00:12:34:56 && status=0 || status=$?
show /mnt/log
check "viaduct ends with status 0" [ "$status" = 0 ]
check "the address that it was given" [ "$(said mac)" = 52:54:00:12:34:56 ]
check "pings, small, large, many, and after the driver came back" \
	[ "$(grep -cE '[35] packets received|200 packets received' /mnt/log)" = 4 ]
check_log "8 MiB from the host" "down $sum" /mnt/log
check "a file to the host" [ "$(said sent)" = "$(said received)" ]
