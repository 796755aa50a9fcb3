#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 240
# A guest with all seven VFs of the igb at once: each with the MAC that the host gave it, all of them
# pinging at the same time, each by its own MSI-X vectors. Once on each IOMMU back end.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm igb
vfio_rows
pf=$(lab_pf igb)
"$VFCTL" create "$pf" 7 --driver vfio-pci >/dev/null || die "vfctl create failed"
eth=$(lab_netdev "$pf")
ip link set "$eth" up
for i in 0 1 2 3 4 5 6; do ip link set "$eth" vf $i mac 52:54:00:aa:bb:0$i; done
lab_guest_initrd /mnt/initrd <<'END'
# All are in one subnet: each answers for its own address alone, and asks with it.
for key in arp_ignore=1 arp_announce=2 arp_filter=1; do
	echo ${key#*=} >/proc/sys/net/ipv4/conf/all/${key%=*}
done
i=0
while dev=$(find_net igbvf $i); do
	net_up $dev 10.0.2.$((60 + i))/24
	echo "VF $i $dev $(cat /sys/class/net/$dev/address)"
	i=$((i + 1))
done
for n in 0 1 2 3 4 5 6; do
	dev=$(find_net igbvf $n)
	ping -I $dev -c 10 -i 0.2 -W 5 -q 10.0.2.2 >/tmp/ping$n 2>&1 &
done
wait
for n in 0 1 2 3 4 5 6; do
	dev=$(find_net igbvf $n)
	echo "PING $n $(grep received /tmp/ping$n)"
	echo "RX $n $(irqs "$dev-rx" | awk '{ print $2 }')"
done
irqs 'CPU|MSI'
END
nodes=$(find /dev/vfio | sort)
for row in $rows; do
	devices=()
	for i in 0 1 2 3 4 5 6; do devices+=(--device "net,host=$pf/any,iommu=$row"); done
	guest_run 150 /mnt/log /mnt/initrd "${devices[@]}" && status=0 || status=$?
	check "$row: viaduct ends with status 0" [ "$status" = 0 ]
	check "$row: the guest's commands succeed" [ "$(guest_status /mnt/log)" = 0 ]
	check "$row: seven lines of attach, each a VF of its own" \
		[ "$(grep -oE '^net[0-6]: vfio-pci \([0-9a-f:.]+' /mnt/log.err | sort -u -k3 | wc -l)" = 7 ]
	for i in 0 1 2 3 4 5 6; do
		check_log "$row: VF $i is in the guest with the MAC the host gave it" "^VF [0-6] .* 52:54:00:aa:bb:0$i" /mnt/log
		check_log "$row: interface $i pings while the others do" \
			"^PING $i 10 packets transmitted, 10 packets received" /mnt/log
		rx=$(sed -n "s/^RX $i \([0-9]*\).*/\1/p" /mnt/log)
		check "$row: by its own vector (${rx:-none})" [ "${rx:-0}" -ge 10 ]
		check "$row: and VF $i is free again" function_free "$(lab_vf "$pf" $i)"
	done
	grep -E '^(VF|net)' /mnt/log.err | sed 's/^/# /' || true
	show /mnt/log 60
done
check "the nodes are as they were" [ "$(find /dev/vfio | sort)" = "$nodes" ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
"$VFCTL" destroy "$pf" >/dev/null || fail "vfctl destroy"
