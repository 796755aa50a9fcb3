#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb,nvme,e1000e-hda,bochs --timeout 300
# Cards driven by their Linux drivers, all in one guest, once on each IOMMU back end: igb's PF, an NVMe
# VF, e1000e and HDA audio as the two functions of one slot, a display that is drawn on and whose ROM is
# read.
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

lab_guest_initrd /mnt/initrd +bochs +snd_hda_intel +snd_hda_codec_generic +snd_pcm_oss \
	bin/draw="$LAB_TOOLS/draw" <<'END'
fired() { awk -v w="$1" '$0 ~ w { n += $2 } END { print n + 0 }' /proc/interrupts; }
net=2
for drv in igb e1000e; do
	net_up $(find_net $drv) 10.0.$net.77/24
	ping -c 5 -i 0.2 -W 5 -q 10.0.$net.2 | grep received | sed "s/^/$drv: /"
	net=$((net + 1))
done

wait_for 20 test -b /dev/nvme0n1
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
echo SHOWN
sleep 1000
END
expected() { # WIDTHxHEIGHT SEED: the picture of guest/draw.c
	python3 -c '
import hashlib, sys
width, height = map(int, sys.argv[1].split("x"))
seed = int(sys.argv[2])
rows = b"".join(bytes(v for x in range(width) for v in (x + y + seed & 255, x * 3 & 255, y * 5 & 255))
                for y in range(height))
print(sys.argv[1], hashlib.sha256(rows).hexdigest())' "${1:-0x0}" "$2"
}
pinned_before=$(pinned)
seed=0
for row in $rows; do
	# Another picture each time; the guest's kernel makes a variable of what it does not know.
	seed=$((seed + 50))
	# iomem=relaxed: the guest's kernel maps no BAR for user space that a driver has, otherwise.
	guest_start /mnt/log /mnt/initrd --memory 768M --append "$LAB_CMDLINE iomem=relaxed seed=$seed" \
		--device "vfio-pci,host=$igb,iommu=$row" --device "vfio-pci,host=$vf" \
		--device "vfio-pci,host=${e1000e%.0},all-functions" --device "vfio-pci,host=$bochs"
	guest_saw 90 /mnt/log '^SHOWN' || fail "the guest never came to its end"
	picture=$(l0 picture bochs0) || fail "no picture: $picture"
	kill -TERM $guest_pid
	guest_wait 30 && status=0 || status=$?
	check "$row: asked to power off, the guest does" grep -q GUEST-POWER-BUTTON /mnt/log
	check "$row: viaduct ends with status 0" [ "$status" = 0 ]
	check_log "$row: igb's PF pings" '^igb: 5 packets transmitted, 5 packets received' /mnt/log
	check_log "$row: by MSI-X" 'PCI-MSIX.*eth[0-9]-rx-0' /mnt/log
	check_log "$row: e1000e pings" '^e1000e: 5 packets transmitted, 5 packets received' /mnt/log
	check_log "$row: the guest wrote on the NVMe VF" '^WRITTEN' /mnt/log
	wrote=$(sed -n 's/^WROTE \([0-9a-f]*\).*/\1/p' /mnt/log)
	check_log "$row: and read the same (${wrote:-nothing})" "^READ ${wrote:-nothing}" /mnt/log
	check "$row: and the card's file on the machine below agrees" \
		[ "$wrote" = "$(l0 checksum nvme $((16 << 20)) $((8 << 20)))" ]
	read -r before after < <(sed -n 's/^PLAYED \([0-9]*\) \([0-9]*\).*/\1 \2/p' /mnt/log) || true
	check "$row: HDA plays by MSI (${before:-none} interrupts, then ${after:-none})" \
		[ "${before:-0}" -gt 0 -a "${after:-0}" -gt "${before:-0}" ]
	check_log "$row: which is what its vector is" 'PCI-MSI-.*snd_hda' /mnt/log
	check_log "$row: bochs-drm has the display" '^DISPLAY-DRIVER bochs-drm' /mnt/log
	check_log "$row: the picture reads back from the frame buffer" '^READ-BACK' /mnt/log
	check_log "$row: and from the card's memory" '^CARD-MEMORY' /mnt/log
	size=$(sed -n 's/^DRAWN \([0-9x]*\).*/\1/p' /mnt/log)
	check "$row: and it is what the display shows on the machine below ($size)" \
		[ "$picture" = "$(expected "$size" $seed)" ]
	check_log "$row: its ROM is the host's (${rom%% *})" "^ROM ${rom%% *}" /mnt/log
	grep -E 'CPU0|MSI' /mnt/log | sed 's/^/# /' || true
	show /mnt/log 60
done
check "nothing stays pinned" [ "$(pinned)" = "$pinned_before" ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
"$VFCTL" bind "$igb" "$e1000e" "$hda" default >/dev/null
check "the host's drivers have them back" \
	[ "$(lab_driver "$igb") $(lab_driver "$e1000e") $(lab_driver "$hda")" = "igb e1000e snd_hda_intel" ]
