#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 300
# The small devices with Linux's drivers. virtio-rng feeds the guest's hwrng. A port of virtio-console
# carries bytes both ways. virtio-balloon: what the guest has freed goes back to the host by free page
# reporting; and on the monitor's word the guest comes down to 512 MiB, tells its statistics, and has
# its memory again.
# $LAB_MEMORY: how much that is (1024M).
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

memory=${LAB_MEMORY:-1024M}
lab_load kvm
lab_guest_initrd /mnt/initrd +virtio_rng +virtio_balloon +virtio_console <<'END'
wait_for 20 [ -e /dev/hwrng ]
echo "RNG $(cat /sys/class/misc/hw_random/rng_current)"
echo "BYTES $(dd if=/dev/hwrng bs=4096 count=16 iflag=fullblock 2>/dev/null | wc -c)"
wait_for 20 sh -c "ls /dev/vport*p1" >/dev/null
port=$(ls /dev/vport*p1)
echo "PORT $(cat /sys/class/virtio-ports/${port#/dev/}/name)"
# Until the host's end is connected, reading ends at once; to close would lose what has come.
exec 3<>$port
until read -r line <&3; do sleep 0.2; done
echo "HEARD $line"
echo "the guest's answer" >&3
mkdir -p /tmp/m
mount -t tmpfs -o size=600M none /tmp/m
dd if=/dev/zero of=/tmp/m/f bs=1M count=512 2>/dev/null
echo FULL
sleep 2
rm /tmp/m/f
echo FREED
free_mib() { awk '/^MemFree:/ { print int($2 / 1024) }' /proc/meminfo; }
# With deflate-on-oom Linux counts a balloon's pages as used, not as gone.
start=$(free_mib)
echo "FREE $start"
total=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
small() { [ $(free_mib) -lt $((start - total + 574)) ]; }
large() { [ $(free_mib) -gt $((start - 100)) ]; }
wait_for 120 small
echo "SMALL $(free_mib)"
wait_for 120 large
echo "LARGE $(free_mib)"
END

ctl() { "$VIADUCT" ctl /mnt/monitor "$@"; }
resident() { awk '/^VmRSS:/ { print $2 }' "/proc/$guest_pid/status"; }
resident_below() { [ "$(resident)" -lt "$1" ]; }
said() { sed -n "s/^$1 //p" /mnt/log | tr -d '\r'; }

guest_start /mnt/log /mnt/initrd --memory "$memory" --monitor /mnt/monitor --device virtio-rng \
	--device virtio-balloon,id=balloon --device virtio-console,serial1=unix=/mnt/port,name1=talk
guest_saw 60 /mnt/log '^PORT' || die "the guest never came so far: $(cat /mnt/log.err; tail -n 20 /mnt/log)"
mkfifo /mnt/keys
socat - UNIX-CONNECT:/mnt/port </mnt/keys >/mnt/heard &
exec 5>/mnt/keys
echo "the host's word" >&5
check "the guest has filled memory" guest_saw 60 /mnt/log '^FULL'
full=$(resident)
check "which the host sees ($full KiB)" [ "$full" -gt $((512 * 1024)) ]
check "and frees it" guest_saw 60 /mnt/log '^FREED'
check "400 MiB are the host's again, unasked" wait_for 30 resident_below $((full - 400 * 1024))
check "the monitor takes 512 MiB for the balloon's aim" ctl balloon 512M
check "the guest has so much less" guest_saw 100 /mnt/log '^SMALL'
small=$(resident)
note "resident: $full KiB full, $small KiB with 512 MiB"
check "and the host has them" [ "$small" -lt $((512 * 1024)) ]
# The guest is on its way still when it says so.
knows() { ctl info balloon >/mnt/balloon && [ "$(head -n 1 /mnt/balloon)" = "512 MiB" ]; }
check "which the monitor knows" wait_for 60 knows
sed 's/^/# /' /mnt/balloon
stat_mib() { sed -n "s/^$1: \([0-9]*\) MiB$/\1/p" /mnt/balloon; }
apart=$(($(stat_mib free-memory) - $(said SMALL)))
check "the guest's statistics have what is free there ($apart MiB apart)" [ "${apart#-}" -lt 192 ]
check "and they are new" [ "$(grep -c 'does not answer' /mnt/balloon)" = 0 ]
ctl balloon "$memory"
check "and back" guest_saw 60 /mnt/log '^LARGE'
guest_wait 60 && status=0 || status=$?
exec 5>&-
check "the guest ends with status 0" [ "$status" = 0 ]
check_log "the guest's source is virtio-rng" '^RNG virtio_rng' /mnt/log
check_log "and gives what is asked for" '^BYTES 65536' /mnt/log
check "the port has its name" [ "$(said PORT)" = talk ]
check "the guest hears the host" [ "$(said HEARD)" = "the host's word" ]
check_log "and the host the guest" "the guest's answer" /mnt/heard
grep -E '^(FREE|SMALL|LARGE) ' /mnt/log | sed 's/^/# /' || true
show /mnt/log
