#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 900
# System calls that fail one by one while a guest with a disk starts (F37): viaduct lives, or ends with
# status 1 and one line; nothing stays.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm
truncate -s 4M /mnt/a.raw
said="virtio-blk0: virtio-blk (/mnt/a.raw)"
# What is there to read besides how far memory is.
told() { [ "$(lines /mnt/no)" -gt 0 ]; }
told_or_gone() { told || ! kill -0 "$tracer"; }
# CALL:ERROR:K: the K-th call of that name fails.
for how in openat:EINTR:9 openat:ENOMEM:9 ioctl:EINTR:4 ioctl:ENOMEM:12 mmap:ENOMEM:24 eventfd2:EMFILE:3 \
	epoll_ctl:ENOMEM:2 timerfd_create:EMFILE:1 io_uring_setup:ENOMEM:1 io_uring_setup:EPERM:1 pread64:EINTR:5 \
	fcntl:EINTR:1 clone3:EAGAIN:1 io_uring_enter:EINTR:1 io_uring_enter:EAGAIN:1; do
	IFS=: read -r call error k <<<"$how"
	: >/mnt/no
	strace -f -qq -o /dev/null -e "trace=$call" -e "inject=$call:error=$error:when=$k" \
		"$VIADUCT" run --kernel "$LAB_KERNEL" --memory 128M --serial none \
		--device "virtio-blk,path=/mnt/a.raw,iothread=on" </dev/null >/mnt/no 2>&1 &
	tracer=$!
	wait_for 30 told_or_gone || true
	sleep 2
	child=$(cat "/proc/$tracer/task/$tracer/children" 2>/dev/null || true)
	if [ -n "$child" ]; then
		kill -9 "$child"
		wait "$tracer" 2>/dev/null || true
		check "$how: it lives" [ "$(grep -v 'MiB are there$' /mnt/no)" = "$said" ]
	else
		wait "$tracer" 2>/dev/null && status=0 || status=$?
		# The device's own line may stand before the reason.
		check "$how: it ends, with one line: $(tail -n 1 /mnt/no | head -c 150)" \
			[ "$status $(grep -v 'MiB are there$' /mnt/no | grep -cvF "$said")" = "1 1" ]
	fi
done
if pgrep -x viaduct >/dev/null; then fail "a process stays"; else pass "no process stays"; fi
