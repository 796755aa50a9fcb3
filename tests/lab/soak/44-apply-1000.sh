#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards nvme --timeout 7200
# Applied, taken away, applied again: 1000 times (LAB_ROUNDS), by turns by `destroy`, by `restore`, by
# hand behind vfctl's back, and with what vfctl remembers deleted. Each time the host is what the file
# says, the apply after that writes nothing, and the end is the start; nothing stays of it.
set -uo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/vfctl.sh"

rounds=${LAB_ROUNDS:-1000} warm=4
lab_load nvme vfio
pf=$(lab_pf nvme)
dev=/sys/bus/pci/devices/$pf
wait_for 30 test -e "$dev/nvme"
cat >/etc/vfctl.yaml <<END
version: 1
devices:
  - name: disk
    match: {address: "$pf", driver: nvme}
    vfs: 2
    vf:
      0: {driver: vfio-pci, pool: tenants, queues: 2, vectors: 1, online: on}
      1: {driver: none, pool: spare}
END
# What grows when something is left behind, but for the numbers of inodes and times.
left_over() {
	find /run/vfctl /run/viaduct /var/lib/vfctl -type f | sort
	pgrep -xc vfctl
}
kernel_memory() { awk '/^(SUnreclaim|KernelStack|PageTables|Percpu|VmallocUsed):/ { sum += $2 } END { print sum }' /proc/meminfo; }
away() { # ROUND: takes away what was applied, each time in another way
	case $(($1 % 4)) in
	0) "$VFCTL" destroy "$pf" ;;
	1) "$VFCTL" restore ;;
	2) echo 0 >"$dev/sriov_numvfs" ;;
	3) "$VFCTL" destroy "$pf" && rm -rf /var/lib/vfctl/apply /run/viaduct/pools ;;
	esac >$out 2>$err
}
one() { # ROUND
	"$VFCTL" apply >$out 2>$err || return
	diff /mnt/asked <(pci_state) >$err || return
	"$VFCTL" apply --verbose >$out 2>$err && ! grep -q 'vfctl: write' $err && grep -q '^0 steps, 0 writes$' $out || return
	away "$1" && diff /mnt/start <(pci_state) >$err
}

pci_state >/mnt/start
ok "apply" apply
pci_state >/mnt/asked
check "it changes something" [ "$(diff /mnt/start /mnt/asked | grep -c '^>')" -gt 2 ]
ok "restore" restore
check "as it was" diff /mnt/start <(pci_state)
done_rounds=0 memory=0
for ((i = 1; i <= rounds; i++)); do
	if ! one $i; then
		note "round $i: $(cat $out $err)"
		break
	fi
	done_rounds=$i
	if ((i == warm)); then
		left_over >/mnt/before
		memory=$(kernel_memory)
	fi
	((i % 50)) || note "$i rounds, $SECONDS s, kernel memory $(kernel_memory) KiB"
done
note "$done_rounds rounds in $SECONDS s"
check "$done_rounds of $rounds rounds: as asked, 0 writes when applied again, and as it was" [ "$done_rounds" = "$rounds" ]
((done_rounds > warm)) || exit
# The last rounds may have ended in another of the four ways than the one the list was made after.
run apply && run destroy "$pf" && rm -rf /var/lib/vfctl/apply /run/viaduct/pools
left_over >/mnt/after
check "no file and no process is left over" diff <(grep -v -e /apply/ -e /pools/ /mnt/before) <(grep -v -e /apply/ -e /pools/ /mnt/after)
grew=$(($(kernel_memory) - memory)) limit=$((16 * (rounds - warm) + 4096))
check "the kernel's memory does not grow with the rounds ($grew KiB, $limit at most)" [ "$grew" -lt "$limit" ]
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
