#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb,nvmepf --timeout 300
# lab-iommufd: long
# A guest that does to its functions what it should not: memory decode off or D3hot under a mapping
# in use, a function level reset in the middle of DMA, and random writes everywhere, LAB_POKES of them
# (140,000). F29.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

gcc -O1 -static -o /mnt/meddle "$LAB_DIR/guest/meddle.c" || die "meddle.c"
igb_up 2
nvmepf=$(lab_pf nvmepf)
lab_bind "$nvmepf" vfio-pci
# A KVM with hardware below it says EFAULT for a BAR out of reach; the build machine's may not.
"$VIADUCT_BUILD/tests/micro/lost_bar_test" >/mnt/micro 2>&1 && status=0 || status=$?
grep '^#\|not ok' /mnt/micro || true
check "a lost BAR on this KVM" [ "$status" = 0 ]
check_log "where KVM_RUN fails with EFAULT" '4 of 4 reads after KVM_RUN had failed' /mnt/micro

LAB_CMDLINE="$LAB_CMDLINE iomem=relaxed"
lab_guest_initrd /mnt/initrd "bin/meddle=/mnt/meddle" <<'END'
vf=$(basename /sys/bus/pci/drivers/igbvf/0*) nvme=$(basename /sys/bus/pci/drivers/nvme/0*)
dev=$(find_net igbvf)
net_up "$dev" 10.0.2.77/24
ping -c 2 -W 5 -q 10.0.2.50 | grep received
meddle $vf memoff 8; echo "MEMOFF $?"
while dd if=/dev/nvme0n1 of=/dev/null bs=1M count=16 iflag=direct 2>/dev/null; do sleep 0.1; done &
for i in 1 2 3; do meddle $nvme sleep 8; echo "SLEEP $?"; done
ping -i 0.02 -q 10.0.2.50 >/dev/null 2>&1 &
for i in 1 2 3; do meddle $vf flr; echo "FLR $?"; done
echo ORDERLY-DONE
n=$(sed 's/.*first_seed=\([0-9]*\).*/\1/' /proc/cmdline)
while :; do meddle $vf random 50000 $n; meddle $nvme random 20000 $n; n=$((n + 1)); done
END
functions=(--device "vfio-pci,host=$pf/vf0" --device "vfio-pci,host=$nvmepf")
pokes=${LAB_POKES:-140000}
: >/mnt/wrote
wrote() { sed -n 's/^.*WROTE \([0-9]*\).*/\1/p' /mnt/wrote "$1" | awk '{ sum += $1 } END { print sum + 0 }'; }
words=$LAB_CMDLINE
LAB_CMDLINE="$words first_seed=1"
guest_start /mnt/log /mnt/initrd "${functions[@]}"
guest_saw 60 /mnt/log ORDERLY-DONE || fail "the orderly part does not end"
check "memory decode off reads as ones, and is what it was after" grep -q 'MEMOFF 0' /mnt/log
check "three times asleep under DMA reads as ones" [ "$(grep -c 'SLEEP 0' /mnt/log)" = 3 ]
check "three resets under DMA" [ "$(grep -c 'FLR 0' /mnt/log)" = 3 ]
grep 'meddle: 0x' /mnt/log | sed 's/^/# /' || true

# With the bus master on, random registers are random DMA: the guest may lose its own memory, and then
# another one writes the rest.
lost() { grep -q 'guest restarted' /mnt/log.err || ! kill -0 "$guest_pid" 2>/dev/null; }
poked() { # until the guest wrote the rest, is lost, or writes no more
	local last='' now since=$SECONDS
	while ! lost; do
		now=$(wrote /mnt/log)
		((now < pokes)) || return 0
		[ "$now" = "$last" ] || since=$SECONDS
		last=$now
		((SECONDS - since < 60 * ${LAB_TIMEOUT_FACTOR:-1})) || return 0
		sleep 0.3
	done
}
ended() { # asked twice, it ends
	kill -TERM "$guest_pid" 2>/dev/null || return 0
	sleep 2
	kill -TERM "$guest_pid" 2>/dev/null || true
}
guests=0 bad=0 most=$((pokes / 20000 + 2))
while :; do
	poked
	lost && how=lost || how='well enough'
	ended
	guest_wait 20 && status=0 || status=$?
	[ "$status" = 0 ] || bad=$((bad + 1))
	guests=$((guests + 1))
	grep WROTE /mnt/log >>/mnt/wrote || true
	note "guest $guests: $how, $(wrote /dev/null) writes in all, $(wc -l </mnt/log.err) lines of messages, status $status"
	if (($(wrote /dev/null) >= pokes || guests == most || bad)); then break; fi
	LAB_CMDLINE="$words first_seed=$((guests * 1000))"
	guest_start /mnt/log /mnt/initrd "${functions[@]}"
done
check "$pokes random writes ($(wrote /dev/null), by $guests guests)" [ "$(wrote /dev/null)" -ge "$pokes" ]
check "viaduct ends as asked each time, status 0" [ "$bad" = 0 ]
show /mnt/log

lab_guest_initrd /mnt/initrd <<'END'
net_up $(find_net igbvf) 10.0.2.77/24 && ping -c 3 -W 5 -q 10.0.2.50 | grep received &&
	dd if=/dev/nvme0n1 of=/dev/null bs=1M count=1
END
guest_run 60 /mnt/log /mnt/initrd "${functions[@]}" &&
	status=0 || status=$?
check "both functions work in the next guest" [ "$status$(guest_status /mnt/log)" = 00 ]
show /mnt/log
# A function that is told to write anywhere does: the IOMMU's faults are what it is for.
note "DMA that the IOMMU stopped: $(dmesg | grep -c 'DMAR.*fault') lines"
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|Call Trace|blocked for more')" ]
if ((lab_failed)); then dmesg | tail -n 40; fi
"$VFCTL" destroy "$pf" >/dev/null || fail "vfctl destroy"
