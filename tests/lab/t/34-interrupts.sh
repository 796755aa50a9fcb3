#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards nvmepf,nvmewide,bridge --timeout 360
# lab-iommufd: long
# Interrupts of functions handed over, with a driver of our own (modules/nvme_irq.c) that counts each
# message of 64 vectors, and masks, changes, misdirects and switches them off while the function
# fires; what that costs KVM and VFIO; more vectors than KVM has routes; too few descriptors.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

[ ! -e "$LAB_EXTRA/missing" ] || skip "$(cat "$LAB_EXTRA/missing")"
module=$LAB_EXTRA/nvme_irq.ko
lab_load kvm vfio e1000 8139cp
fn=$(lab_pf nvmepf)
wide=$(lab_pf nvmewide)
"$VFCTL" bind "$fn" "$wide" "${wide%.0}.1" vfio-pci >/dev/null

# --- more vectors than routes ----------------------------------------------------------------------
# 2048 fit; 4096 do not, and one line says so before anything runs.
lab_guest_initrd /mnt/none <<'END'
END
guest_run 60 /mnt/log /mnt/none --device "vfio-pci,host=$wide" --device "vfio-pci,host=${wide%.0}.1" && status=0 || status=$?
check "4096 vectors are refused (status $status)" [ "$status" = 1 ]
check_log "the reason is said" \
	"${wide%.0}.1: its 2048 interrupt vectors do not fit: KVM has 4056 routes for messages, 20[0-9]{2} of them are the other devices'" \
	/mnt/log.err
check "in one line" [ "$(grep -c vfio-pci /mnt/log.err)" = 1 ]
show /mnt/log

# --- 64 vectors, all that can go wrong with them ----------------------------------------------------
lab_guest_initrd /mnt/initrd nvme_irq.ko="$module" <<'END'
dmesg -n 1
nvme_irq_bind
for n in 1 2 3; do
	# INTx comes back a while after messages are given up: not a part of what is counted.
	sleep 1
	echo VECTORS-BEGIN $n
	sleep 1
	insmod /nvme_irq.ko check=0
	echo VECTORS-UP $n
	sleep 2
	rmmod nvme_irq
done
insmod /nvme_irq.ko
dmesg | sed -n 's/^.*nvme_irq: /nvme_irq: /p'
awk '/nvme_irq$/ && $2 >= 5 { n++ } END { print "PROC " n }' /proc/interrupts
rmmod nvme_irq
END
irq_calls_on
guest_start /mnt/log /mnt/initrd --device "vfio-pci,host=$fn"
# Three times, the least counts: a machine that stands still between two vectors adds a commit.
for n in 1 2 3; do
	guest_saw 60 /mnt/log "VECTORS-BEGIN $n" && irq_calls >/mnt/before.$n
	guest_saw 60 /mnt/log "VECTORS-UP $n" && sleep 0.3 && irq_calls >/mnt/after.$n
	host=$(grep -c vfio-msix /proc/interrupts)
done
guest_wait 120 && status=0 || status=$?
irq_calls_off
check "viaduct ends with status 0" [ "$status" = 0 ]
check "the guest's commands succeed" [ "$(guest_status /mnt/log)" = 0 ]
check "the host gives the guest's 64 vectors and no more ($host)" [ "$host" = 64 ]
delta() { echo $(($(sed -n "s/^$1 //p" /mnt/after.$n) - $(sed -n "s/^$1 //p" /mnt/before.$n))); }
best=1
for n in 2 3; do
	if [ "$(delta routing)" -lt "$(n=$best delta routing)" ]; then best=$n; fi
done
n=$best
routing=$(delta routing) all=$(($(delta routing) + $(delta irqfd) + $(delta set_irqs)))
note "64 vectors: $routing routing commits, $(delta irqfd) irqfd calls, $(delta set_irqs) SET_IRQS, $(delta signal) messages sent meanwhile"
pauses=$(sed -n 's/^nvme_irq: pauses: \([0-9]*\).*/\1/p' /mnt/log | sed -n "${n}p")
note "the machine stood still $pauses times between two vectors"
check "at most two routing commits" [ "$routing" -le $((2 + pauses)) ]
check "at most 2N+6 interrupt calls ($all)" [ "$all" -le $((134 + pauses)) ]
check_log "every vector's messages arrive, each once" '^nvme_irq: counted: 63 vectors, 5 messages each' /mnt/log
check_log "the guest's kernel counts them on 64 vectors too" '^PROC 64' /mnt/log
for what in masked 'function masked' changed address storm 'off and on'; do
	check_log "$what" "^nvme_irq: $what: " /mnt/log
done
check_log "all well" '^nvme_irq: done.?$' /mnt/log
check "no fault" [ "$(grep -c FAULT /mnt/log)" = 0 ]
sed -n 's/^nvme_irq/# &/p' /mnt/log
check "nothing was logged but the message that went nowhere" \
	[ -z "$(grep 'vfio-pci0: ' /mnt/log.err | grep -vE "vfio-pci0: (vfio-pci \(|vector 63 stays silent: its address 0x[0-9a-f]+ is no interrupt's)")" ]
show /mnt/log

# --- too few descriptors ---------------------------------------------------------------------------
lab_guest_initrd /mnt/initrd1 nvme_irq.ko="$module" <<'END'
nvme_irq_bind
insmod /nvme_irq.ko check=0
grep -c nvme_irq /proc/interrupts
END
(
	ulimit -n 64
	guest_run 90 /mnt/log2 /mnt/initrd1 --device "vfio-pci,host=$fn"
) && status=0 || status=$?
note "with 64 descriptors (status $status):"
sed 's/^/# /' /mnt/log2.err
check "viaduct lives on with 64 descriptors" [ "$status" = 0 ]
check "and says in one line" [ "$(grep -c 'stays silent' /mnt/log2.err)" = 1 ]
check_log "what to do" 'no descriptor left; raise the limit \(ulimit -n\)' /mnt/log2.err

# --- an INTx that nobody serves --------------------------------------------------------------------
# The card raises its line again after each end of interrupt; the host goes on, and so does the card
# beside it in the guest.
e1000=$(lab_pf e1000) rtl=$(lab_pf rtl8139) bridge=$(lab_pf bridge)
"$VFCTL" unbind "$bridge" >/dev/null
"$VFCTL" bind "$e1000" "$rtl" vfio-pci >/dev/null
lab_guest_initrd /mnt/initrd2 intx_storm.ko="$LAB_EXTRA/intx_storm.ko" <<'END'
dmesg -n 1
dev=$(pci_find 8086:100e)
echo ${dev##*/} >$dev/driver/unbind
# Nobody at all: the line stays up.
echo 1 >$dev/enable
bar=$(sed -n '1s/ .*//p' $dev/resource)
devmem $((bar + 0xd0)) 32 4
devmem $((bar + 0xc8)) 32 4
net_up $(find_net 8139cp) 10.0.5.15/24
ping -c 10 -i 0.2 -W 5 -q 10.0.5.2 | grep received
devmem $((bar + 0xd8)) 32 0xffffffff
# Somebody who does nothing about it.
echo intx_storm >$dev/driver_override
echo STORM-BEGIN
insmod /intx_storm.ko seconds=15
echo STORM-END
dmesg | sed -n 's/^.*intx_storm: //p'
ping -c 10 -i 0.2 -W 5 -q 10.0.5.2 | grep received
END
guest_start /mnt/log3 /mnt/initrd2 --device "vfio-pci,host=$e1000" --device "vfio-pci,host=$rtl"
guest_saw 60 /mnt/log3 STORM-BEGIN || true
for _ in 1 2 3 4 5 6 7 8 9 10; do cat /proc/self/status /proc/interrupts >/dev/null; done
check "the host is usable in the storm" [ "$(grep -c STORM-END /mnt/log3)" = 0 ]
guest_wait 90 && status=0 || status=$?
check "viaduct ends with status 0" [ "$status" = 0 ]
check "the card beside it pings before and after" [ "$(grep -c '10 packets transmitted, 10 packets received' /mnt/log3)" = 2 ]
check_log "the line came again and again" '^[0-9]{3,} interrupts in 15 s' /mnt/log3
note "$(grep 'interrupts in' /mnt/log3 || true)"
show /mnt/log3
"$VFCTL" bind "$bridge" "$e1000" "$rtl" default >/dev/null

check "the function is free again" function_free "$fn"
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace|nobody cared')" ]
