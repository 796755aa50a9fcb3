#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 400
# DPDK's testpmd as the guest's driver of virtio-net, of a card with split rings and of one with packed
# rings: it answers the host's pings, in one buffer and in several, sends as fast as it can, and gives
# the card back to Linux; what each end counted is compared.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

testpmd=$(command -v dpdk-testpmd) || skip "no dpdk-testpmd (tests/packages, group soak)"
pmds=$(ldd "$testpmd" | sed -n 's,.*=> \(/.*\)/librte_bus_vdev\.so.*,\1,p')
plugins=("$pmds"/librte_{net_virtio,mempool_ring}.so.*.*)
[ -e "${plugins[0]}" ] || skip "DPDK has no virtio here (tests/packages, group soak)"
lab_load kvm net

libraries=$({ echo "$testpmd" && printf '%s\n' "${plugins[@]}"; } | xargs ldd | awk '/=> \// { print $3 }' | sort -u)
by_line=/usr/libexec/coreutils/libstdbuf.so # what it says is read while it runs
files=("bin/dpdk-testpmd=$testpmd" "${by_line#/}=$by_line")
for file in $libraries "${plugins[@]}"; do files+=("${file#/}=$file"); done
options=(--lcores "0@0,1@0" --no-telemetry) # two threads, one processor

# counter LOG WHAT: of a port, as testpmd said it last
counter() { sed -n "s/.*$2: *\([0-9]*\).*/\1/p" "$1" | tail -n 1; }
said() { sed -n "s/^$1 //p" /mnt/log | tr -d '\r' | tail -n 1; }
# answered N LOG: as ping says itself
answered() { grep -qE "^$1 packets transmitted, $1 (packets )?received" "$2"; }

{
	echo "modules='$(modprobe -S "$LAB_KVER" --show-depends uio_pci_generic | sed -n 's/^insmod //p' | tr '\n' ' ')'"
	echo "export LD_LIBRARY_PATH=$pmds"
	echo "options='${options[*]}'"
	echo "by_line=$by_line"
	cat <<'END'
# Debian's kernels have no VFIO without an IOMMU.
for module in $modules; do insmod $module; done
mkdir -p /var/run
echo 64 >/proc/sys/vm/nr_hugepages
echo "HUGE $(cat /proc/sys/vm/nr_hugepages)"

give() { # FUNCTION DRIVER
	[ ! -e $1/driver ] || echo ${1##*/} >$1/driver/unbind
	echo $2 >$1/driver_override
	echo ${1##*/} >/sys/bus/pci/drivers_probe
	pci_driver ${1##*/}
}
ask() { echo "$*" >&3; }
took() { # N: packets are received
	ask show port stats 0
	sleep 0.3
	[ "$(sed -n 's/.*RX-packets: *\([0-9]*\).*/\1/p' /tmp/out | tail -n 1)" -ge $1 ]
}
drive() { # FUNCTION NAME BUFFER-SIZE SEGMENTS: of what it sends
	give $1 uio_pci_generic
	rm -f /tmp/in
	mkfifo /tmp/in
	_STDBUF_O=L LD_PRELOAD=$by_line dpdk-testpmd $options --in-memory -a ${1##*/} --log-level=pmd.net.virtio.init:debug -- -i \
		--forward-mode=icmpecho --total-num-mbufs=2048 --mbuf-size=$3 \
		--rx-offloads=0x2000 --tx-offloads=0x8000 </tmp/in >/tmp/out 2>&1 &
	pid=$!
	exec 3>/tmp/in
	ask start
	if wait_for 100 grep -q -e 'packet forwarding - ports=1' -e 'No probed' /tmp/out; then
		echo "READY-$2"
		wait_for 60 took 120
		ask stop
		ask show port stats 0
		ask set fwd txonly
		ask set txpkts $4
		ask start
		sleep 1
		ask stop
		sleep 1 # the last ones are under way
		ask show port stats 0
	fi
	ask quit
	exec 3>&-
	wait $pid && status=0 || status=$?
	# A letter on the console costs an exit.
	pattern='features after|-packets:|EAL: [A-Z]|Cause|rror'
	[ $status = 0 ] || pattern=.
	grep -E "$pattern" /tmp/out | sed "s/^/$2 /" | tail -n 60
	echo "STATUS-$2 $status"
}
split=$(pci_find 1af4:1041 0)
packed=$(pci_find 1af4:1041 1)
drive $split split 1024 64,500,800
# DPDK 22.11 says in packed rings of the first entry of an indirect table, the header of a frame of
# several segments, that it is to be written: no device takes that (2.8.7), nor does QEMU's.
drive $packed packed 2176 1364
give $split virtio-pci
dev=$(find_net virtio_net)
net_up $dev 10.5.0.2/24
ping -c 3 -W 10 -q 10.5.0.1
END
} >/mnt/test.sh
lab_guest_initrd /mnt/initrd +uio_pci_generic "${files[@]}" </mnt/test.sh
tap_up() { # NAME ADDRESS
	ip tuntap add "$1" mode tap
	echo 1 >"/proc/sys/net/ipv6/conf/$1/disable_ipv6"
	ip addr add "$2.1/24" dev "$1"
	ip link set "$1" up
}
tap_up tapa 10.5.0
tap_up tapb 10.6.0
ip neigh add 10.5.0.2 lladdr 52:54:00:00:05:02 nud permanent dev tapa
ip neigh add 10.6.0.2 lladdr 52:54:00:00:06:02 nud permanent dev tapb
guest_start /mnt/log /mnt/initrd \
	--device virtio-net,net=tap,ifname=tapa,vhost=off,mac=52:54:00:00:05:02 \
	--device virtio-net,net=tap,ifname=tapb,vhost=off,mac=52:54:00:00:06:02,packed=on
statistic() { cat "/sys/class/net/$1/statistics/$2"; }
driven() { # NAME TAP ADDRESS
	local packets
	guest_saw 80 /mnt/log "^READY-$1" || die "$1: testpmd never came so far: $(tail -n 60 /mnt/log)"
	note "testpmd drives $1 rings after $SECONDS s"
	{ ping -c 100 -i 0.02 -W 10 -q "$3" && ping -c 20 -i 0.02 -W 10 -s 1400 -q "$3"; } >"/mnt/ping.$1" || true
	cat "/mnt/ping.$1"
	packets=$(statistic "$2" tx_packets)
	check "$1: its answers are here" answered 100 "/mnt/ping.$1"
	check "$1: large ones" answered 20 "/mnt/ping.$1"
	check "$1: the host sent these alone" [ "$packets" = 120 ]
	if guest_saw 60 /mnt/log "^STATUS-$1"; then
		echo "$(said "STATUS-$1") $(statistic "$2" tx_packets) $(statistic "$2" rx_packets) $(statistic "$2" rx_bytes)" >"/mnt/end.$1"
	fi
}
driven split tapa 10.5.0.2
driven packed tapb 10.6.0.2
guest_wait 60 && status=0 || status=$?
note "testpmd has driven after $SECONDS s"
check "viaduct ends with status 0" [ "$status" = 0 ]
check "Linux's driver takes over from testpmd" answered 3 /mnt/log
features() { sed -n "s/^$1 .*features after negotiate = \([0-9a-f]*\).*/\1/p" /mnt/log | tail -n 1; }
for name in split packed; do
	read -r ended to from bytes <"/mnt/end.$name" || continue
	grep "^$name " /mnt/log | tr -d '\r' >"/mnt/out.$name"
	check "$name: testpmd ends with status 0" [ "$ended" = 0 ]
	check "$name: it took what the host sent, $to" [ "$(counter "/mnt/out.$name" RX-packets)" = "$to" ]
	check "$name: the host took what it sent, $from" [ "$(counter "/mnt/out.$name" TX-packets)" = "$from" ]
	check "$name: and more than answers" [ "$from" -gt 1000 ]
	check "$name: whole ones" [ "$bytes" = "$(counter "/mnt/out.$name" TX-bytes)" ]
	note "$name: features $(features $name), $from packets and $bytes bytes from testpmd"
done
check "split rings" [ $((0x$(features split) >> 34 & 1)) = 0 ]
check "packed rings" [ $((0x$(features packed) >> 34 & 1)) = 1 ]
show /mnt/log 200
