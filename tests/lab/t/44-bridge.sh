#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 300
# A guest of an ordinary user on two bridges, by viaduct-bridge-helper: virtio-net with four queues
# behind the host's address (viaduct-nat), e1000 on a bridge of a smaller MTU. A bridge that is deleted
# is a cable pulled, and comes back. What is wrong or not allowed is refused in one line each, and
# leaves no interface.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm net veth nft_chain_nat nft_masq nft_ct
nat=$LAB_ROOT/tools/viaduct-nat
lab_guest_initrd /mnt/initrd <<'END'
modprobe e1000 2>/dev/null
a=$(find_net virtio_net)
b=$(find_net e1000)
net_up $a 10.77.0.2/24
ip route add default via 10.77.0.1
net_up $b 10.78.0.2/24
pongs() { ping -c 3 -W 5 -q $1 | sed -n 's/.* \([0-9]*\) packets received.*/\1/p'; }
echo "PONGS $(pongs 10.77.0.1) $(pongs 10.78.0.1)"
nc 192.0.2.2 9000 </dev/null >/tmp/outside
echo "PEER $(head -n 1 /tmp/outside)"
echo "SUM $(tail -n +2 /tmp/outside | sha256sum)"
echo "QUEUES $(ls -d /sys/class/net/$a/queues/tx-* | wc -l)"
nc -l -p 9001 </dev/null &
echo READY
was=
for i in $(seq 600); do
	now=$(cat /sys/class/net/$a/carrier)
	[ "$now" = "$was" ] || echo "CARRIER $now"
	was=$now
	[ $i -gt 5 ] && ping -c 1 -W 1 -q 10.77.0.1 >/dev/null && [ -e /tmp/lost ] && break
	[ "$now" = 1 ] || touch /tmp/lost
	sleep 0.2
done
echo "AGAIN $(pongs 192.0.2.2)"
END

# --- the user's programs, and what the administrator has given them ---------------------------------
mkdir -p /mnt/bin /mnt/alone
cp "$VIADUCT" "${VIADUCT%/*}/viaduct-bridge-helper" /mnt/bin/
cp "$VIADUCT" /mnt/alone/
as_nobody() { # PROGRAM: a program that runs that one as nobody
	local file=${1%/*}/nobody
	printf '#!/bin/sh\nexec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all -- %s "$@"\n' "$1" >"$file"
	chmod +x "$file"
	echo "$file"
}
chmod 666 /dev/kvm /dev/net/tun
[ ! -e /dev/vhost-net ] || chmod 666 /dev/vhost-net
alone=$(as_nobody /mnt/alone/viaduct)
VIADUCT=$(as_nobody /mnt/bin/viaduct)

# --- the networks ---------------------------------------------------------------------------------
ip link set lo up
ip netns add outside
ip link add up0 type veth peer name up1 netns outside
ip addr add 192.0.2.1/24 dev up0
ip link set up0 up
ip -n outside addr add 192.0.2.2/24 dev up1
ip -n outside link set up1 up
ip -n outside link set lo up
ip -n outside route add 10.77.0.0/16 via 192.0.2.1
head -c 4M /dev/urandom >/mnt/blob
# shellcheck disable=SC2016 # for the shell that socat starts
ip netns exec outside socat -U TCP-LISTEN:9000,reuseaddr,fork SYSTEM:'echo $SOCAT_PEERADDR; cat /mnt/blob' &
forward() { cat /proc/sys/net/ipv4/ip_forward; }
check "forwarding is off" [ "$(forward)" = 0 ]
check "viaduct-nat makes a bridge" "$nat" up br-nat 10.77.0.0/24
check "and again, which changes nothing" "$nat" up br-nat 10.77.0.0/24
check "and a second one" "$nat" up br-two 10.80.0.0/24
ip link add br1 type bridge
ip link set br1 mtu 1400
ip addr add 10.78.0.1/24 dev br1
ip link set br1 up
links() { ip -o link | wc -l; }

# --- what is wrong --------------------------------------------------------------------------------
refused() { # WHAT PATTERN DEVICE
	local status=0 before
	before=$(links)
	timeout 60 "$VIADUCT" run --kernel "$LAB_KERNEL" --memory 256M --device "$3" </dev/null >/mnt/no 2>&1 || status=$?
	check "$1: status 1" [ "$status" = 1 ]
	check_log "$1: why" "$2" /mnt/no
	check "$1: one line" [ "$(lines /mnt/no)" = 1 ]
	check "$1: nothing is left" [ "$(links)" = "$before" ]
}
bridged() { echo "virtio-net,net=bridge,bridge=$1${2:-}"; }
refused "no such bridge" 'bridge=br9: there is no such bridge' "$(bridged br9)"
refused "no bridge" 'bridge=up0: that interface is no bridge' "$(bridged up0)"
refused "no list of what is allowed" 'br1: /etc/viaduct/bridge.conf: No such file' "$(bridged br1)"
mkdir -p /etc/viaduct
printf 'allow br-nat\nallow br1\n' >/etc/viaduct/bridge.conf
refused "not in the list" 'br-two: .*does not allow it.*"allow br-two"' "$(bridged br-two)"
refused "no privileges" 'br1: .*chmod u\+s /mnt/bin/viaduct-bridge-helper' "$(bridged br1)"
chmod 4755 /mnt/bin/viaduct-bridge-helper
chmod 666 /etc/viaduct/bridge.conf
refused "a list that others may write" "bridge.conf has to be a file of root's" "$(bridged br1)"
chmod 644 /etc/viaduct/bridge.conf
echo 'deny br1' >>/etc/viaduct/bridge.conf
refused "denied" 'br1: .*bridge.conf denies it' "$(bridged br1)"
sed -i '/deny/d' /etc/viaduct/bridge.conf
VIADUCT=$alone refused "no helper" 'viaduct-bridge-helper is neither in /mnt/alone nor in' "$(bridged br1)"
refused "a name too long" 'bridge=a-name-of-sixteen' "$(bridged a-name-of-sixteen)"
refused "no name" 'bridge= is missing' virtio-net,net=bridge
refused "an MTU that the bridge has not" 'br1: .*mtu=1500' "$(bridged br1 ,mtu=1500)"

# --- the guest ------------------------------------------------------------------------------------
guest_start /mnt/log /mnt/initrd --cpus 2 --device "$(bridged br-nat ,queues=4,id=a)" \
	--device "e1000,net=bridge,bridge=br1,id=b"
guest_saw 100 /mnt/log '^READY' || die "the guest never came so far: $(cat /mnt/log.err; tail -n 20 /mnt/log)"
said() { sed -n "s/^$1 //p" /mnt/log | tr -d '\r'; }
port() { ip -o -d link show master "$1" | tr '\n' ' '; }
check "it runs as nobody" [ "$(stat -c %u "/proc/$guest_pid")" = 65534 ]
check "its first port is nobody's, with four queues" grep -qE 'viaduct[0-9].* user (nobody|65534).*' <<<"$(port br-nat)"
check "its second has the bridge's MTU" grep -q 'viaduct[0-9].* mtu 1400' <<<"$(port br1)"
check "both ping the host" [ "$(said PONGS)" = "3 3" ]
check "the guest has a queue for each processor" [ "$(said QUEUES)" = 2 ]
check "outside sees the host's address" [ "$(said PEER)" = 192.0.2.1 ]
check "4 MiB from outside" [ "$(said SUM)" = "$(sha256sum </mnt/blob)" ]
check "no way in from outside" bash -c '! ip netns exec outside socat -u /dev/null TCP:10.77.0.2:9001,connect-timeout=3 2>/dev/null'
check "but from the host" socat -u /dev/null TCP:10.77.0.2:9001,connect-timeout=10
check "viaduct-nat says what there is" grep -q '^br-nat 10.77.0.0/24 ports: viaduct' <<<"$("$nat" status)"
carrier() { [ "$(grep CARRIER /mnt/log | tail -n 1 | tr -d '\r')" = "CARRIER $1" ]; }
ip link del br-nat
check "a bridge that is deleted is a cable pulled" wait_for 20 carrier 0
check "and is there again" "$nat" up br-nat 10.77.0.0/24
check "as is the guest's cable" wait_for 20 carrier 1
guest_wait 60 && status=0 || status=$?
check "viaduct ends with status 0" [ "$status" = 0 ]
check "the guest reaches outside again" [ "$(said AGAIN)" = 3 ]
check "its interfaces are gone" bash -c '! ip -o link | grep "^[0-9]*: viaduct"'

# --- viaduct-nat by itself -------------------------------------------------------------------------
ip tuntap add tap9 mode tap
check "an interface goes on the bridge that is named" env VIADUCT_NAT_BRIDGE=br-two "$nat" tap9
check "and is a port" grep -q tap9 <<<"$(port br-two)"
VIADUCT_NAT_BRIDGE=br-two /mnt/bin/viaduct run --kernel "$LAB_KERNEL" --memory 256M --serial none \
	--device "virtio-net,net=tap,ifname=tap8,script=$nat" </dev/null >/mnt/no 2>&1 &
check "viaduct's script= puts its interface there" wait_for 20 bash -c 'ip -o link show master br-two | grep -q tap8'
kill -9 $!
no() { # WHAT PATTERN ARG...
	local what=$1 pattern=$2 status=0
	shift 2
	"$nat" "$@" >/mnt/no 2>&1 || status=$?
	check "viaduct-nat: $what" [ "$status" = 1 ]
	check_log "viaduct-nat: $what: why" "$pattern" /mnt/no
	check "viaduct-nat: $what: one line" [ "$(wc -l </mnt/no)" = 1 ]
}
no "one of two bridges" 'several bridges.*VIADUCT_NAT_BRIDGE' tap9
no "another's bridge, down" "br1 is not of viaduct-nat's making" down br1
no "another's bridge, up" "br1 is there and not" up br1 10.81.0.0/24
no "another subnet" 'first: viaduct-nat down br-nat' up br-nat 10.81.0.0/24
no "a subnet that is in use" '192.0.2.0/25: the host has a route' up br3 192.0.2.0/25
no "an address" 'give the network' up br3 10.81.0.1/24
check "the bridge goes" "$nat" down br-nat
check "forwarding stays on for the other" [ "$(forward)" = 1 ]
check "which goes too" "$nat" down br-two
check "forwarding is off again" [ "$(forward)" = 0 ]
check "no rules are left" [ -z "$(nft list ruleset)" ]
check "gone already is as good" "$nat" down br-two
show /mnt/log
