#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb,nvme,e1000e-hda,bochs --timeout 360
# Cards driven by their Linux drivers, all in one guest, once on each IOMMU back end and once more
# after the guest restarted: igb's PF, an NVMe VF, e1000e and HDA audio as the two functions of one
# slot, a display that is drawn on and whose ROM is read.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm igb nvme e1000e
vfio_rows
modprobe snd_hda_intel
igb=$(lab_pf igb) nvme=$(lab_pf nvme) e1000e=$(lab_pf e1000e) hda=$(lab_pf hda)
bochs=$(lab_pf bochs)
lab_nvme_vfs "$nvme" 2
vf=$(lab_vf "$nvme" 0)
rom_of() { # BDF
	echo 1 >"/sys/bus/pci/devices/$1/rom"
	sha256sum <"/sys/bus/pci/devices/$1/rom"
	echo 0 >"/sys/bus/pci/devices/$1/rom"
}
rom=$(rom_of "$bochs")
check "e1000e and HDA share a group" [ "$(lab_group "$e1000e")" = "$(lab_group "$hda")" ]
"$VFCTL" bind "$igb" "$vf" "$e1000e" "$hda" "$bochs" vfio-pci >/dev/null || die "vfctl bind"

# The first guest leaves a mark on the NVMe's disk and restarts. What is drawn differs each time, so
# that nothing an earlier one left can pass for it; the guest's kernel makes a variable of "seed=".
lab_guest_initrd /mnt/initrd +bochs +snd_hda_intel +snd_hda_codec_generic +snd_pcm_oss \
	bin/draw="$LAB_TOOLS/draw" <<'END'
fired() { awk -v w="$1" '$0 ~ w { n += $2 } END { print n + 0 }' /proc/interrupts; }
marked() { dd if=/dev/nvme0n1 bs=512 skip=8 count=1 iflag=direct 2>/dev/null | grep -q RESTARTED; }
wait_for 20 test -b /dev/nvme0n1
! marked || seed=$((seed + 7))

net=2
for drv in igb e1000e; do
	net_up $(find_net $drv) 10.0.$net.77/24
	ping -c 5 -i 0.2 -W 5 -q 10.0.$net.2 | grep received | sed "s/^/$drv: /"
	net=$((net + 1))
done

dd if=/dev/urandom of=/data bs=1M count=8 2>/dev/null
dd if=/data of=/dev/nvme0n1 bs=1M seek=16 oflag=direct conv=fsync 2>/dev/null && echo WRITTEN
echo "WROTE $(sha256sum </data)"
echo "READ $(dd if=/dev/nvme0n1 bs=1M skip=16 count=8 iflag=direct 2>/dev/null | sha256sum)"

modprobe snd_pcm_oss
wait_for 20 test -c /dev/dsp
before=$(fired snd_hda)
# Two seconds of it: 8000 bytes a second.
head -c 16000 /dev/zero >/dev/dsp && echo "PLAYED $before $(fired snd_hda)"

display=$(pci_find 1234:1111)
echo "DISPLAY-DRIVER $(pci_driver ${display##*/})"
wait_for 10 test -c /dev/fb0
# The text console would draw its cursor into the picture.
for con in /sys/class/vtconsole/*; do ! grep -q frame $con/name || echo 0 >$con/bind; done
draw /dev/fb0 $display/resource0 $seed
echo 1 >$display/rom
echo "ROM $(sha256sum <$display/rom)"
irqs 'CPU|MSI'
lspci
if ! marked; then
	{ echo RESTARTED && head -c 502 /dev/zero; } >/mark
	dd if=/mark of=/dev/nvme0n1 bs=512 seek=8 oflag=direct conv=fsync 2>/dev/null
	reboot -f
fi
echo "SHOWN $seed"
sleep 1000
END

expected() { # WIDTHxHEIGHT SEED: the picture of guest/draw.c
	python3 -c '
import hashlib, sys
width, height = map(int, sys.argv[1].split("x"))
seed = int(sys.argv[2])
rows = b"".join(bytes(v for x in range(width) for v in (x + y + seed & 255, x * 3 & 255, y * 5 & 255))
                for y in range(height))
print(sys.argv[1], hashlib.sha256(rows).hexdigest())' "${1:-0x0}" "${2:-0}"
}

# cards_work WHEN LOG: what each start of a guest must have shown
cards_work() {
	local when=$1 log=$2 wrote before after
	check_log "$when: igb's PF pings" '^igb: 5 packets transmitted, 5 packets received' "$log"
	check_log "$when: by MSI-X" 'PCI-MSIX.*eth[0-9]-rx-0' "$log"
	check_log "$when: e1000e pings" '^e1000e: 5 packets transmitted, 5 packets received' "$log"
	check_log "$when: the guest wrote on the NVMe VF" '^WRITTEN' "$log"
	wrote=$(sed -n 's/^WROTE \([0-9a-f]*\).*/\1/p' "$log")
	check_log "$when: and read the same (${wrote:-nothing})" "^READ ${wrote:-nothing}" "$log"
	read -r before after < <(sed -n 's/^PLAYED \([0-9]*\) \([0-9]*\).*/\1 \2/p' "$log") || true
	check "$when: HDA plays by MSI (${before:-none} interrupts, then ${after:-none})" \
		[ "${before:-0}" -gt 0 -a "${after:-0}" -gt "${before:-0}" ]
	check_log "$when: which is what its vector is" 'PCI-MSI-.*snd_hda' "$log"
	check_log "$when: bochs-drm has the display" '^DISPLAY-DRIVER bochs-drm' "$log"
	check_log "$when: the picture reads back from the frame buffer" '^READ-BACK' "$log"
	check_log "$when: and from the card's memory" '^CARD-MEMORY' "$log"
	check_log "$when: its ROM is the host's (${rom%% *})" "^ROM ${rom%% *}" "$log"
}

pinned_before=$(pinned)
seed=0
for row in $rows; do
	seed=$((seed + 50))
	# iomem=relaxed: the guest's kernel maps no BAR for user space that a driver has, otherwise.
	guest_start /mnt/log /mnt/initrd --memory 768M --append "$LAB_CMDLINE iomem=relaxed seed=$seed" \
		--device "vfio-pci,host=$igb,iommu=$row" --device "vfio-pci,host=$vf" \
		--device "vfio-pci,host=${e1000e%.0},all-functions" --device "vfio-pci,host=$bochs"
	guest_saw 120 /mnt/log '^SHOWN' || fail "$row: the guest never came to its end"
	picture=$(l0 picture bochs0) || fail "$row: no picture: $picture"
	kill -TERM $guest_pid
	guest_wait 30 && status=0 || status=$?
	rm -f /mnt/start.*
	awk '/GUEST-INIT/ { n++ } { print > ("/mnt/start." (n + 0)) }' /mnt/log
	check "$row: asked to power off, the guest does" grep -q GUEST-POWER-BUTTON /mnt/log
	check "$row: viaduct ends with status 0" [ "$status" = 0 ]
	last=$(grep -c GUEST-INIT /mnt/log) || true
	if [ "$row" = "${rows%% *}" ]; then
		check "$row: the guest restarted once" [ "$last" = 2 ]
	else
		check "$row: the guest started once" [ "$last" = 1 ]
	fi
	for ((n = 1; n <= last; n++)); do cards_work "$row, start $n" /mnt/start.$n; done
	log=/mnt/start.$last
	check "$row: the NVMe's file on the machine below agrees" \
		grep -q "^WROTE $(l0 checksum nvme $((16 << 20)) $((8 << 20)))" "$log"
	size=$(sed -n 's/^DRAWN \([0-9x]*\).*/\1/p' "$log")
	shown=$(sed -n 's/^SHOWN \([0-9]*\).*/\1/p' "$log")
	check "$row: the picture is what the display shows on the machine below ($size)" \
		[ "$picture" = "$(expected "$size" "$shown")" ]
	grep -E 'CPU0|MSI' "$log" | sed 's/^/# /' || true
	show /mnt/log 100
done
check "nothing stays pinned" [ "$(pinned)" = "$pinned_before" ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
"$VFCTL" bind "$igb" "$e1000e" "$hda" default >/dev/null
check "the host's drivers have them back" \
	[ "$(lab_driver "$igb") $(lab_driver "$e1000e") $(lab_driver "$hda")" = "igb e1000e snd_hda_intel" ]
