#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb,edu --timeout 400
# lab-iommufd
# The host takes functions away under a guest that uses them: by unbind, by removal, with all VFs of
# their PF, with the PF's driver, with the card; and it resets the PF. Whoever asks is not kept
# waiting, and the guest goes on. F24, F27, F28.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

igb_up 4
vf0=$(lab_vf "$pf" 0) edu=$(lab_pf edu)
lab_bind "$edu" vfio-pci
# Traffic on every VF for ever; the guest says once a second that it lives, and what it sees of them.
lab_guest_initrd /mnt/initrd <<'END'
n=0
for d in /sys/bus/pci/devices/*; do
	if [ "$(cat "$d/device")" = 0x11e8 ]; then all=${d##*/}; fi
done
for d in /sys/bus/pci/drivers/igbvf/0*; do
	bdf=${d##*/} dev=$(ls "$d/net")
	net_up "$dev" 10.0.2.7$n/24
	ping -I "$dev" -c 2 -W 5 -q 10.0.2.50 | grep received | sed "s/^/WORKS $n /"
	ping -I "$dev" -i 0.02 -q 10.0.2.50 >/dev/null 2>&1 &
	n=$((n + 1)) all="$all $bdf"
done
echo TRAFFIC
while :; do
	for bdf in $all; do
		seen=$(od -An -tx4 -N4 "/sys/bus/pci/devices/$bdf/config" 2>/dev/null) || seen=gone
		echo "SEEN $bdf $seen"
	done
	echo "ALIVE $(cut -d. -f1 /proc/uptime)"
	sleep 1
done
END

# in_use LOG: a guest as above, once its traffic flows
in_use() {
	local log=$1
	shift
	guest_start "$log" /mnt/initrd --memory 256M "$@"
	guest_saw 60 "$log" TRAFFIC || { fail "no traffic"; show "$log"; die "no use in going on"; }
}
# lives LOG: the guest says so anew
lives() {
	local n
	n=$(grep -c ALIVE "$1")
	wait_for 20 eval "[ \$(grep -c ALIVE $1) -ge $((n + 2)) ]"
}
# takes SECONDS WHAT WORD FILE: writing the word returns in time, while the guest holds what it takes
takes() {
	local limit=$1 what=$2 start=$EPOCHREALTIME
	if timeout $((limit * ${LAB_TIMEOUT_FACTOR:-1})) sh -c "echo $3 >$4"; then
		pass "$what returns, after $(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $start }") s"
	else
		fail "$what does not return within $limit s"
	fi
}
ends_in_order() {
	kill -TERM "$guest_pid"
	guest_wait 30 && status=0 || status=$?
	check "the guest powers off when asked to, status 0" [ "$status" = 0 ]
}
ones_or_gone() { tail -n 10 "$1" | grep -qE 'SEEN.* (ffffffff|gone)'; }

note "four VFs and a card in one guest"
devices=(--device "vfio-pci,host=$edu,unplug-timeout=2" --device "vfio-pci,host=$pf/vf0")
for i in 1 2 3; do devices+=(--device "vfio-pci,host=$pf/vf$i,unplug-timeout=2"); done
devices[-1]+=,port=off
in_use /mnt/log1 "${devices[@]}"
check "every VF works" [ "$(grep -c 'WORKS . 2 packets transmitted, 2 packets received' /mnt/log1)" = 4 ]

takes 15 "unbind of a VF in use" "$vf0" /sys/bus/pci/drivers/vfio-pci/unbind
check "it has no driver now" [ -z "$(lab_driver "$vf0")" ]
check_log "viaduct says why" 'the host asked for it back' /mnt/log1.err
check "the guest lives" lives /mnt/log1
check "it sees ones there, or nothing" ones_or_gone /mnt/log1

takes 15 "removal of a card in use" 1 "/sys/bus/pci/devices/$edu/remove"
check "it is gone" [ ! -e "/sys/bus/pci/devices/$edu" ]
check "the guest lives" lives /mnt/log1

"$VFCTL" destroy "$pf" >/mnt/out 2>&1 && status=0 || status=$?
sed 's/^/# /' /mnt/out
check "vfctl destroy refuses while a guest has VFs" [ "$status" = 1 ]
check "and names the process" grep -q "viaduct.*$guest_pid\|$guest_pid.*viaduct" /mnt/out
takes 25 "sriov_numvfs=0" 0 "/sys/bus/pci/devices/$pf/sriov_numvfs"
check "no VF is left" [ "$(cat "/sys/bus/pci/devices/$pf/sriov_numvfs")" = 0 ]
check "the guest lives without any" lives /mnt/log1
check "on the root bus, where no removal can be seen, it reads ones" \
	eval 'tail -n 10 /mnt/log1 | grep -qE "SEEN.* ffffffff"'
ends_in_order
check "all five were unplugged" [ "$(grep -c 'removed from the guest' /mnt/log1.err)" = 5 ]
grep -h 'removed from' /mnt/log1.err | sed 's/^/# /'
show /mnt/log1

note "the PF's driver, with a VF in a guest"
"$VFCTL" create "$pf" 2 --driver vfio-pci >/dev/null || die "vfctl create failed"
in_use /mnt/log2 --device "vfio-pci,host=$pf/vf0,unplug-timeout=2"
takes 10 "reset of the PF" 1 "/sys/bus/pci/devices/$pf/reset"
check "the guest lives" lives /mnt/log2
takes 20 "unbind of the PF's driver" "$pf" /sys/bus/pci/drivers/igb/unbind
check "the guest lives" lives /mnt/log2
ends_in_order
show /mnt/log2

note "the card, with a VF in a guest"
echo "$pf" >/sys/bus/pci/drivers/igb/bind
igb_up 2
in_use /mnt/log3 --device "vfio-pci,host=$pf/vf0,unplug-timeout=2"
pinned_before=$(pinned)
l0 'device_del igb0'
card_gone() { [ ! -e "/sys/bus/pci/devices/$pf" ]; }
check "the card is gone within 25 s" wait_for 25 card_gone
check_log "its VF was unplugged" 'removed from the guest' /mnt/log3.err
check "the guest lives" lives /mnt/log3
check "it sees ones there, or nothing" ones_or_gone /mnt/log3
ends_in_order
show /mnt/log3
check "nothing stays pinned" [ "$(pinned)" -le "$pinned_before" ]
check "no process stays" [ -z "$(pgrep -x viaduct)" ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|Call Trace|blocked for more')" ]
if ((lab_failed)); then dmesg | tail -n 40; fi
