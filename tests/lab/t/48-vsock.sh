#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --timeout 300
# Sockets between guest and host by vhost-vsock: files both ways, with MSI-X and with INTx; what is
# refused, with one line each.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

# refused WHAT PATTERN OPTION: the program ends with status 1 and that line
refused() {
	local status=0
	timeout 60 "$VIADUCT" run --kernel "$LAB_KERNEL" --device "$3" </dev/null >/mnt/no 2>&1 || status=$?
	check "$1: status 1" [ "$status" = 1 ]
	check "$1: one line" [ "$(lines /mnt/no)" = 1 ]
	check_log "$1: that says so" "$2" /mnt/no
	show /mnt/no
}

lab_load kvm
rmmod vhost_vsock 2>/dev/null || true
rm -f /dev/vhost-vsock
refused "no module" 'vhost-vsock: this host has none; modprobe vhost_vsock' vhost-vsock,guest-cid=5
lab_load vhost_vsock
[ -e /dev/vhost-vsock ] || mknod /dev/vhost-vsock c 10 241
refused "the host's own number" 'guest-cid' vhost-vsock,guest-cid=2
refused "a descriptor that is not there" 'vhostfd=77' vhost-vsock,guest-cid=5,vhostfd=77

head -c 4M /dev/urandom >/mnt/down
sum=$(sha256sum </mnt/down)
lab_guest_initrd /mnt/initrd +vmw_vsock_virtio_transport /bin/vsock="$LAB_TOOLS/vsock" <<'END'
wait_for 20 [ -e /dev/vsock ]
echo "CID $(vsock cid)"
dd if=/dev/urandom of=/tmp/up bs=64k count=64 2>/dev/null
echo "SENT $(sha256sum </tmp/up)"
vsock send 1000 </tmp/up && echo UP-DONE
vsock take 1001 >/tmp/down &
taker=$!
wait_for 20 grep -q LISTENING /tmp/down
echo READY
wait $taker
echo "GOT $(tail -n +2 /tmp/down | sha256sum)"
irqs virtio
END

cat >/mnt/host.py <<'END'
import socket, sys
s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
if sys.argv[1] == "take":
    s.bind((socket.VMADDR_CID_ANY, 1000))
    s.listen(1)
    open("/mnt/listening", "w").close()
    s = s.accept()[0]
    while data := s.recv(65536):
        sys.stdout.buffer.write(data)
else:
    s.connect((int(sys.argv[2]), 1001))
    s.sendall(open("/mnt/down", "rb").read())
END

said() { sed -n "s/^$1 //p" /mnt/log | tr -d '\r'; }

# traffic WHAT: the guest runs, a file goes each way
traffic() {
	local what=$1 taker
	rm -f /mnt/listening
	python3 /mnt/host.py take >/mnt/up &
	taker=$!
	wait_for 20 [ -e /mnt/listening ]
	guest_start /mnt/log /mnt/initrd --device vhost-vsock,guest-cid=5
	if guest_saw 100 /mnt/log READY; then
		[ "$what" != MSI-X ] || refused "a number in use" 'guest-cid=5: another guest' vhost-vsock,guest-cid=5
		python3 /mnt/host.py send 5 || true
	fi
	guest_wait 60 && status=0 || status=$?
	check "$what: viaduct ends with status 0" [ "$status" = 0 ]
	check "$what: the guest's commands succeed" [ "$(guest_status /mnt/log)" = 0 ]
	check "$what: the guest has its number" [ "$(said CID)" = 5 ]
	check "$what: the guest's file has come" grep -q UP-DONE /mnt/log
	grep -q UP-DONE /mnt/log || kill $taker
	wait $taker || true
	check "$what: and is whole" [ "$(said SENT)" = "$(sha256sum </mnt/up)" ]
	check "$what: the host's file has come whole" [ "$(said GOT)" = "$sum" ]
	show /mnt/log
}

traffic MSI-X
check_log "MSI-X: a vector for each queue" 'PCI-MSIX.*virtio0-rx' /mnt/log
LAB_CMDLINE="$LAB_CMDLINE pci=nomsi" traffic INTx
check_log "INTx: the pin" 'IO-APIC.*virtio0' /mnt/log
