#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards bridge,e1000e-hda --timeout 300
# Groups: explained, refused with the reason and nothing taken; a card of two functions handed over as
# one device by each back end, of which the one without a reset of its own is reset with the bus at
# the guest's reboot.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

rows=type1
if [ -e "$LAB_EXTRA/missing" ]; then
	note "type1 alone: $(cat "$LAB_EXTRA/missing")"
	lab_load vfio
else
	lab_load iommufd
	rows="type1 iommufd"
fi
lab_load kvm e1000 8139cp e1000e
bridge=$(lab_pf bridge) e1000=$(lab_pf e1000) rtl=$(lab_pf rtl8139)
e1000e=$(lab_pf e1000e) hda=$(lab_pf hda)
slot=${e1000e%.*}

# --- why a group is what it is
"$VFCTL" explain "$rtl" >/mnt/text
check_log "explain: the group is not viable" "^$rtl: IOMMU group [0-9]+, 3 devices, not viable$" /mnt/text
check_log "who keeps it" "^  $rtl 8139cp \(keeps the group from a guest\)$" /mnt/text
check_log "the bridge that made it" "^  $bridge leads to a conventional PCI bus: .*\($e1000 and $rtl\) is one requester" /mnt/text
check_log "and what mends it" "^  vfctl bind $e1000 $rtl vfio-pci$" /mnt/text
cat /mnt/text
"$VFCTL" explain --json "$e1000e" >/mnt/json
check_log "functions without ACS" '"kind": *"functions"' /mnt/json
check_log "named" "$e1000e and $hda are functions of one card, of which $e1000e has no ACS" /mnt/json
setpriv --reuid 65534 --clear-groups "$VFCTL" explain "$rtl" >/mnt/text || true
check_log "another user hears that root sees more" "only root can read; run this with sudo" /mnt/text

# --- refused, and nothing is left taken
refused() { # WHAT PATTERN OPTION...
	local what=$1 pattern=$2 status=0
	shift 2
	"$VIADUCT" run --kernel "$LAB_KERNEL" "$@" </dev/null >/dev/null 2>/mnt/err || status=$?
	check "$what: refused with status 1 ($status)" [ "$status" = 1 ]
	check_log "$what: the reason" "$pattern" /mnt/err
	check "$what: in one line" [ "$(lines /mnt/err)" = 1 ]
	check "$what: nothing stays pinned" [ "$(pinned)" = 0 ]
	sed 's/^/# /' /mnt/err
}
"$VFCTL" bind "$e1000" "$e1000e" vfio-pci --force=group >/dev/null
refused "a neighbour on a host driver" \
	"group [0-9]+ is not viable: .*$rtl is bound to 8139cp; run: .*vfctl bind $rtl vfio-pci \(one group because $bridge leads to a conventional PCI bus\)" \
	--device "vfio-pci,host=$e1000"
check "the neighbour's driver has it still" [ "$(lab_driver "$rtl")" = 8139cp ]
"$VFCTL" unbind "$hda" >/dev/null
refused "a card of which one function is not bound" \
	"$hda: bound to no driver, not vfio-pci; run: vfctl bind $hda vfio-pci" \
	--device "vfio-pci,host=$slot,all-functions"
check "none of its functions is held" function_free "$e1000e"
"$VFCTL" bind "$hda" vfio-pci >/dev/null
exec 9<>"/dev/vfio/$(lab_group "$e1000e")"
refused "a group that another process has open" \
	"$e1000e: group [0-9]+ is in use by another process \(pid $$ " \
	--device "vfio-pci,host=$e1000e,iommu=type1"
"$VIADUCT" plan --kernel "$LAB_KERNEL" --device "net,host=$e1000e,iommu=type1" >/mnt/plan
check_log "a role passes over it" "net0: vfio-pci passed over: $e1000e: group [0-9]+ is in use" /mnt/plan
exec 9>&-
check "which then is free" function_free "$e1000e"
refused "a slot without a function" "$slot: this is a slot; name one of its functions" \
	--device "vfio-pci,host=$slot"

# --- quarantine
mkdir -p /run/viaduct/quarantine
echo "it did not answer" >"/run/viaduct/quarantine/$e1000e"
refused "a function in quarantine" \
	"$e1000e: in quarantine: it did not answer; when it is well again, run: vfctl clear $e1000e" \
	--device "vfio-pci,host=$slot,all-functions"
"$VFCTL" list >/mnt/text
check_log "list shows it" "^$e1000e .*\(in quarantine\)" /mnt/text
"$VFCTL" clear "$e1000e" >/dev/null
"$VIADUCT" plan --kernel "$LAB_KERNEL" --device "vfio-pci,host=${slot#0000:},all-functions" >/mnt/plan
check_log "cleared, the plan has both" "vfio-pci0.1: vfio-pci \($hda( by [a-z0-9]+)?, group [0-9]+ of 2 devices \(the functions of $slot lack ACS\)\)" /mnt/plan

check "nothing of the card is held" function_free "$hda"

# --- one card of two functions
lab_guest_initrd /mnt/initrd +snd_hda_intel +snd_hda_codec_generic <<'END'
net=$(pci_find 8086:10d3) sound=$(pci_find 8086:293e)
echo "PLACE ${net##*/} $(cat "$net/class") ${sound##*/} $(pci_driver "${sound##*/}")"
net_up "$(find_net e1000e)" 10.0.3.15/24
ping -c 3 -W 5 -q 10.0.3.2 | grep received | sed 's/^/PING /'
sed 's/^/SOUND/' /proc/asound/cards
echo WAITING
read -r word </dev/ttyS0
[ "$word" != reboot ] || reboot -f
END
echo 'p:busreset pci_reset_bus' >/sys/kernel/tracing/kprobe_events
echo 1 >/sys/kernel/tracing/events/kprobes/busreset/enable
bus_resets() { grep -c 'busreset:' /sys/kernel/tracing/trace || true; }
listen() {
	socat -u UNIX-CONNECT:/mnt/serial - >>/mnt/console </dev/null &
	reader=$!
}
send() { # one client at a time
	sleep 0.5
	kill "$reader"
	wait "$reader" 2>/dev/null || true
	printf '%s\n' "$1" | socat -u - UNIX-CONNECT:/mnt/serial
	listen
}
waits() { [ "$(grep -c WAITING /mnt/console)" -ge "$1" ]; }
count() { grep -cE -- "$1" /mnt/console || true; }
for row in $rows; do
	: >/mnt/console
	guest_start /mnt/log /mnt/initrd --serial unix=/mnt/serial \
		--device "vfio-pci,host=$slot,all-functions,id=card,iommu=$row"
	wait_for 60 test -S /mnt/serial
	listen
	wait_for 60 waits 1 || fail "$row: the guest did not come up"
	before=$(bus_resets)
	send reboot
	wait_for 60 waits 2 || fail "$row: the guest did not come up again"
	after=$(bus_resets)
	send off
	guest_wait 30 && status=0 || status=$?
	kill "$reader" 2>/dev/null || true
	check "$row: viaduct ends with status 0 ($status)" [ "$status" = 0 ]
	check "$row: two functions of one slot" [ "$(count '^PLACE 0000:(..:..)\.0 0x020000 0000:\1\.1 ')" = 2 ]
	check "$row: the e1000e pings, before the reboot and after" [ "$(count '^PING 3 packets transmitted, 3 packets received')" = 2 ]
	check "$row: its driver found the sound card, both times" [ "$(count '^PLACE .* snd_hda_intel')" = 2 ]
	check "$row: and has a card" [ "$(count '^SOUND 0 \[')" = 2 ]
	check "$row: one bus reset for both, at the reboot" [ "$((after - before))" = 1 ]
	check "$row: and no word of one that could not be" [ "$(grep -c 'not reset' /mnt/log.err || true)" = 0 ]
	check "$row: the group is free" function_free "$hda"
	if ((lab_failed)); then tail -n 60 /mnt/console; cat /mnt/log.err; fi
done
"$VFCTL" bind "$e1000" "$e1000e" default >/dev/null
"$VFCTL" unbind "$hda" >/dev/null
check "the host's drivers have them back" [ "$(lab_driver "$e1000") $(lab_driver "$e1000e")" = "e1000 e1000e" ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
