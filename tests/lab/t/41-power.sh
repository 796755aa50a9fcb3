#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 420
# lab-iommufd: long
# Three reboots with the VF working after each, power-off, SIGTERM that asks and SIGTERM that ends.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

igb_up 1
vf=$(lab_vf "$pf" 0)
# The guest has no disk to count its boots on: the MAC that it finds is none either. The host counts.
lab_guest_initrd /mnt/initrd <<'END'
net_up $(find_net igbvf) 10.0.2.77/24
ping -c 3 -W 5 -q 10.0.2.2 | grep received | sed 's/^/BOOT /'
echo WAITING
read -r word </dev/ttyS0
case $word in
reboot) reboot -f ;;
off) poweroff -f ;;
esac
END
guest_start /mnt/log /mnt/initrd --cpus 2 --serial unix=/mnt/serial --device "vfio-pci,host=$vf"
wait_for 60 test -S /mnt/serial
# One client for all of it: what the console says goes to the log, what is written to fd 4 to the guest.
mkfifo /mnt/keys
socat -u UNIX-CONNECT:/mnt/serial,shut-none - >/mnt/console </dev/null &
reader=$!
send() { sleep 0.5; kill "$reader"; wait "$reader" 2>/dev/null || true
	printf '%s\n' "$1" | socat -u - UNIX-CONNECT:/mnt/serial
	socat -u UNIX-CONNECT:/mnt/serial - >>/mnt/console </dev/null &
	reader=$!
}
boots() { grep -c '^BOOT 3 packets transmitted, 3 packets received' /mnt/console; }
waits() { [ "$(grep -c WAITING /mnt/console)" -ge "$1" ]; }
for n in 1 2 3; do
	wait_for 60 waits "$n" || { fail "boot $n never came"; break; }
	send reboot
done
wait_for 60 waits 4 || fail "boot 4 never came"
check "the VF works after each of three reboots ($(boots) boots)" [ "$(boots)" = 4 ]
send off
guest_wait 30 && status=0 || status=$?
check "the guest's power-off ends viaduct with status 0" [ "$status" = 0 ]
kill "$reader" 2>/dev/null || true
check "the socket is gone" [ ! -e /mnt/serial ]
check "the VF is free" function_free "$vf"
if ((lab_failed)); then tail -n 60 /mnt/console; cat /mnt/log.err; fi

guest_start /mnt/log /mnt/initrd --device "vfio-pci,host=$vf"
guest_saw 60 /mnt/log WAITING || fail "the guest did not start"
kill -TERM "$guest_pid"
guest_wait 20 && status=0 || status=$?
check "SIGTERM presses the power button" grep -q GUEST-POWER-BUTTON /mnt/log
check "and the guest's power-off is status 0" [ "$status" = 0 ]

lab_guest_initrd /mnt/deaf <<'END'
killall acpid
echo WAITING
sleep 600
END
guest_start /mnt/log /mnt/deaf --device "vfio-pci,host=$vf"
guest_saw 60 /mnt/log WAITING || fail "the deaf guest did not start"
kill -INT "$guest_pid"
sleep 1
check "a guest that does not listen goes on" kill -0 "$guest_pid"
kill -TERM "$guest_pid"
guest_wait 5 && status=0 || status=$?
check "the second signal ends it at once" [ "$status" = 0 ]
check_log "and was announced" 'send it again' /mnt/log.err
check "the VF is free" function_free "$vf"
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
"$VFCTL" destroy "$pf" >/dev/null || fail "vfctl destroy"
