#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 420
# A network card that another process serves: DPDK's testpmd, which answers pings by itself. It is killed
# and comes back: the guest sees the link go and come, and pings on.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm
lab_guest_initrd /mnt/initrd <<'END'
dev=$(find_net virtio_net)
net_up $dev 10.9.0.2/24
echo "MAC $(cat /sys/class/net/$dev/address)"
wait_for 60 ping -c 1 -W 2 10.9.0.1
ping -c 20 -i 0.2 -W 5 10.9.0.1 | tail -n 2
irqs virtio
echo PAUSE
gone() { [ "$(cat /sys/class/net/$dev/carrier)" = 0 ]; }
wait_for 30 gone && echo LINK-DOWN
back() { [ "$(cat /sys/class/net/$dev/carrier)" = 1 ]; }
wait_for 60 back && echo LINK-UP
wait_for 60 ping -c 1 -W 2 10.9.0.1
ping -c 20 -i 0.2 -W 5 10.9.0.1 | tail -n 2
echo END
END
# It polls, on the one processor that there is, so it stands back behind all others.
serve() {
	rm -f /mnt/vun.sock
	(sleep 1000) | nice -n 19 dpdk-testpmd --no-huge -m 256 --no-pci --lcores '0@0,1@0' --file-prefix lab \
		--vdev "net_vhost0,iface=/mnt/vun.sock,queues=1" -- -i --forward-mode=icmpecho --auto-start \
		--total-num-mbufs=4096 >>/mnt/testpmd.log 2>&1 &
	server=$!
	wait_for 60 [ -S /mnt/vun.sock ] || die "testpmd: $(tail /mnt/testpmd.log)"
}
serve
guest_start /mnt/log /mnt/initrd --memory 512M,share=on --device vhost-user-net,socket=/mnt/vun.sock,mac=52:54:00:12:34:99
guest_saw 240 /mnt/log PAUSE || die "the guest never came so far: $(cat /mnt/log.err; tail -n 20 /mnt/log; tail /mnt/testpmd.log)"
kill -9 $server
wait $server 2>/dev/null || true
guest_saw 60 /mnt/log LINK-DOWN || fail "the guest sees the link go"
serve
guest_wait 200 && status=0 || status=$?
check "viaduct ends with status 0" [ "$status" = 0 ]
check "the guest's commands succeed" [ "$(guest_status /mnt/log)" = 0 ]
check_log "the card has its address" '^MAC 52:54:00:12:34:99' /mnt/log
check "pings before and after" [ "$(grep -cE '20 packets transmitted, (1[5-9]|20) packets received' /mnt/log)" = 2 ]
check_log "a vector for each queue" 'PCI-MSIX.*virtio0-input' /mnt/log
check_log "the guest sees the link go" '^LINK-DOWN' /mnt/log
check_log "and come" '^LINK-UP' /mnt/log
check_log "another serves" 'vun.sock: served again' /mnt/log.err
show /mnt/log
((lab_failed == 0)) || tail -n 30 /mnt/testpmd.log
