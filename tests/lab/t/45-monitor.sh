#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 200
# The monitor of a real guest by `viaduct ctl` and by a client of its own: status, stop and cont,
# wrong input, two clients, restart, power button, quit; the socket's mode and end.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm
lab_guest_initrd /mnt/initrd <<'END'
echo "START $(cut -d' ' -f1 /proc/uptime)"
i=0
while :; do
	i=$((i + 1))
	echo "TICK $i"
	sleep 0.2
done
END
ctl() { "$VIADUCT" ctl /mnt/monitor "$@"; }
ticks() { grep -c TICK /mnt/log || true; }
more_ticks() { [ "$(ticks)" -gt "$1" ]; }
starts() { [ "$(grep -c START /mnt/log)" = "$1" ]; }
said() { [ "$(ctl "$@" 2>&1)" = "$want" ]; }
refused() { ! ctl "$@" >/mnt/refused 2>&1; }

guest_start /mnt/log /mnt/initrd --cpus 2 --monitor /mnt/monitor
guest_saw 60 /mnt/log TICK || fail "the guest did not start"
check "the socket is the owner's alone" [ "$(stat -c %a /mnt/monitor)" = 600 ]
want=running check "info status" said info status

# A second client, which stays and hears of what the first one does.
mkfifo /mnt/keys
socat - UNIX-CONNECT:/mnt/monitor </mnt/keys >/mnt/events &
exec 5>/mnt/keys
echo '{"execute": "qmp_capabilities", "id": 1}' >&5
check "a second client is greeted and answered" wait_for 20 grep -q '"id": 1' /mnt/events

ctl stop
want=paused check "stop" said info status
sleep 1 # what the guest had said already has passed the serial port
before=$(ticks)
sleep 3
check "the guest stands still" [ "$(ticks)" = "$before" ]
ctl cont
want=running check "cont" said info status
check "the guest goes on" wait_for 20 more_ticks "$before"
check_log "the second client hears STOP" '"STOP"' /mnt/events
check_log "and RESUME" '"RESUME"' /mnt/events

check "an unknown command is refused" refused frobnicate
check "a link that is not there is refused" refused set-link net9 off
check_log "in one clear line" "Device 'net9' not found" /mnt/refused
check "so is a balloon that is not there" refused balloon 256M
head -c 1M /dev/zero | tr '\0' x | socat -u - UNIX-CONNECT:/mnt/monitor 2>/dev/null || true
printf '}{\n' | socat -u - UNIX-CONNECT:/mnt/monitor
want=running check "garbage and a line of 1 MiB leave the guest alone" said info status
check "JSON goes through" ctl '{"execute": "query-name"}'

ctl reset
check "reset restarts the guest" wait_for 60 starts 2
check_log "the second client hears RESET" '"RESET"' /mnt/events
ctl powerdown
guest_wait 30 && status=0 || status=$?
check "powerdown presses the power button, status 0" [ "$status" = 0 ]
check_log "the second client hears POWERDOWN" '"POWERDOWN"' /mnt/events
check_log "and SHUTDOWN" '"SHUTDOWN"' /mnt/events
check "the socket is gone" [ ! -e /mnt/monitor ]
exec 5>&-

guest_start /mnt/log /mnt/initrd --monitor /mnt/monitor
guest_saw 60 /mnt/log TICK || fail "the guest did not start"
kill -KILL "$guest_pid"
guest_wait 10 || true
check "a killed VM leaves its socket" [ -S /mnt/monitor ]
guest_start /mnt/log /mnt/initrd --monitor /mnt/monitor
guest_saw 60 /mnt/log TICK || fail "the guest did not start beside a stale socket"
ctl stop
ctl quit
guest_wait 10 && status=0 || status=$?
check "quit ends a paused guest with status 0" [ "$status" = 0 ]
