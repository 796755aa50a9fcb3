#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 300
# DPDK's testpmd as the server of vhost-user-net, with split and with packed rings: it answers the pings
# of Linux's driver, and what each end counted is compared.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

testpmd=$(command -v dpdk-testpmd) || skip "no dpdk-testpmd (tests/packages, group soak)"
pmds=$(ldd "$testpmd" | sed -n 's,.*=> \(/.*\)/librte_bus_vdev\.so.*,\1,p')
plugins=("$pmds"/librte_{net_vhost,mempool_ring}.so.*.*)
[ -e "${plugins[0]}" ] || skip "DPDK has no vhost here (tests/packages, group soak)"
lab_load kvm

# All that is in the folder of its drivers is loaded at the start, which over a hundred of them make
# long: here it has what it links to, and these two.
mkdir /mnt/pmds
libraries=$({ echo "$testpmd" && printf '%s\n' "${plugins[@]}"; } | xargs ldd | awk '/=> \// { print $3 }' | sort -u)
for file in $libraries "${plugins[@]}"; do
	[ "${file%/*}" != "$pmds" ] || cp -L "$file" /mnt/pmds
done
mount --bind /mnt/pmds "$pmds"
options=(--lcores "0@0,1@0" --no-telemetry) # two threads, one processor

# counter LOG WHAT: of a port, as testpmd said it last
counter() { sed -n "s/.*$2: *\([0-9]*\).*/\1/p" "$1" | tail -n 1; }
said() { sed -n "s/^$1 //p" /mnt/log | tr -d '\r' | tail -n 1; }
# answered N LOG: as ping says itself
answered() { grep -qE "^$1 packets transmitted, $1 (packets )?received" "$2"; }

lab_guest_initrd /mnt/initrd <<'END'
dev=$(find_net virtio_net)
echo 1 >/proc/sys/net/ipv6/conf/$dev/disable_ipv6
net_up $dev 10.8.0.2/24
echo READY
wait_for 60 ping -c 1 -W 1 10.8.0.1
ping -c 100 -i 0.02 -W 10 -q 10.8.0.1
ping -c 20 -i 0.02 -W 10 -s 1472 -q 10.8.0.1
echo "SENT $(cat /sys/class/net/$dev/statistics/tx_packets)"
echo "RECEIVED $(cat /sys/class/net/$dev/statistics/rx_packets)"
echo "PACKED $(cut -c 35 /sys/class/net/$dev/device/features)"
END
served() { # NAME [OPTION]
	local server status ended log=/mnt/pmd.$1 bit=$((${2:+1} + 0))
	rm -f /mnt/pmd.in /mnt/vhost.sock
	mkfifo /mnt/pmd.in
	# It polls, from "start" on: the guest goes first.
	nice -n 19 "$testpmd" "${options[@]}" --no-huge -m 64 --no-pci --no-shconf \
		--vdev net_vhost0,iface=/mnt/vhost.sock,queues=1 -- \
		-i --forward-mode=icmpecho --total-num-mbufs=2048 </mnt/pmd.in >"$log" 2>&1 &
	server=$!
	exec 7>/mnt/pmd.in
	wait_for 60 [ -S /mnt/vhost.sock ] || die "testpmd: $(tail -n 20 "$log")"
	note "testpmd listens after $SECONDS s"
	guest_start /mnt/log /mnt/initrd --memory 512M,share=on \
		--device "vhost-user-net,socket=/mnt/vhost.sock${2:-}"
	guest_saw 40 /mnt/log '^READY' || fail "the guest never came so far"
	note "its guest is ready after $SECONDS s"
	echo start >&7
	guest_wait 40 && status=0 || status=$?
	printf 'stop\nshow port stats 0\nquit\n' >&7
	exec 7>&-
	wait $server && ended=0 || ended=$?
	note "testpmd has served $1 rings after $SECONDS s: $(said SENT) from the guest, $(said RECEIVED) to it"
	check "$1: viaduct ends with status 0" [ "$status" = 0 ]
	check "$1: testpmd too" [ "$ended" = 0 ]
	check "$1: the guest's pings are answered" answered 100 /mnt/log
	check "$1: large ones" answered 20 /mnt/log
	check "$1: the format was agreed on" [ "$(said PACKED)" = "$bit" ]
	check "$1: testpmd took what the guest sent" [ "$(counter "$log" RX-packets)" = "$(said SENT)" ]
	check "$1: the guest took what testpmd sent" [ "$(counter "$log" TX-packets)" = "$(said RECEIVED)" ]
	((!lab_failed)) || tail -n 80 "$log"
	show /mnt/log
}
served split
served packed ,packed=on
