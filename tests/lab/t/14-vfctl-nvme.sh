#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards nvme --timeout 300
# NVMe VFs: queues, vectors, online and namespaces by vfctl, as nvme-cli sees them; both VFs used by
# the host's own driver; then back to nothing, as it was. By hand, and then from a file.
set -uo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"
. "$LAB_DIR/vfctl.sh"

# One disk for each controller, and not one disk with three ways to it.
modprobe nvme_core multipath=0
lab_load nvme vfio
pf=$(lab_pf nvme)
dev=/sys/bus/pci/devices/$pf
wait_for 30 test -e "$dev/nvme" || die "the PF has no driver"
ctrl=$(ls "$dev/nvme")
secondaries() { # "VF state queues vectors" of each, as nvme-cli reads it
	nvme list-secondary "/dev/$ctrl" -o json | python3 -c '
import json, re, sys
text = sys.stdin.read()
for c in json.loads(text)["secondary-controllers"]:
    print(c["virtual-function-number"], c["secondary-controller-state"],
          c["num-virtual-queues"], c["num-virtual-interrupts"])'
}
agrees() { # WHAT LINE...: of both VFs
	local what=$1 is
	shift
	is=$(secondaries)
	if [ "$is" = "$(printf '%s\n' "$@")" ]; then pass "nvme list-secondary: $what"
	else fail "nvme list-secondary: $what: $is"; fi
}
snapshot() { # what there is to be put back, but for numbers that the kernel counts up
	(cd "$dev" && grep -H . sriov_numvfs sriov_drivers_autoprobe driver_override class; ls -d virtfn* nvme/* 2>/dev/null)
	secondaries
}
disk() { # the disk of a VF, once it is there
	wait_for 30 compgen -G "/sys/bus/pci/devices/$1/nvme/nvme*/nvme*n1" || return
	basename /sys/bus/pci/devices/"$1"/nvme/nvme*/nvme*n1
}

secondaries >/dev/null || die "nvme-cli says something else than expected: $(nvme list-secondary "/dev/$ctrl" -o json | head -20)"
snapshot >/mnt/before
agrees "no VF has anything" '1 0 0 0' '2 0 0 0'
ok "two VFs without a driver" create "$pf" 2 --driver none
vf0=$(lab_vf "$pf" 0) vf1=$(lab_vf "$pf" 1)

refused "nvme for a VF that is offline" "$vf0: its controller is offline, and nvme cannot run it; run: vfctl set" bind "$vf0" nvme
check "it was not asked" [ -z "$(lab_driver "$vf0")" ]
refused "online without queues" 'online: a VF of nvme[0-9]+ needs two queues' set "$vf0" online=on
refused "more queues than a VF may have" 'queues: 3 asked for, nvme[0-9]+ gives a VF 2 at most' set "$vf0" queues=3
run set "$vf0" queues=70000
check "more than a number holds is wrong usage ($(cat $err))" [ $status = 2 ]
check_log "and which" 'queues: 70000 is not within 0 to 65535' $err
refused "a namespace that is not there" 'cannot attach namespace 5 to controller 1' set "$vf0" namespaces=5
agrees "nothing was changed" '1 0 0 0' '2 0 0 0'

ok "the first VF gets its resources and goes online" set "$vf0" queues=2 vectors=1 online=on --verbose
check "by three requests" [ "$(grep -c '^vfctl: write' $err)" = 3 ]
sed 's/^/# /' $err
agrees "the first VF" '1 1 2 1' '2 0 0 0'
ok "the same again" set "$vf0" queues=2 vectors=1 online=on
check "takes no request" grep -q ' 0 writes$' $out
ok "the second VF" set "$vf1" queues=2 vectors=1 online=on
agrees "both VFs" '1 1 2 1' '2 1 2 1'
ok "show" show "$vf1" --json
check "says the same" python3 -c '
import json, sys
s = json.load(open(sys.argv[1]))["settings"]
sys.exit((s["queues"], s["vectors"], s["online"]) != (2, 1, True))' $out

ok "both are given to the nvme driver" bind "$vf0" "$vf1" nvme
first=$(disk "$vf0") && second=$(disk "$vf1") || fail "no disks: $(dmesg | grep -i nvme | tail -n 5)"
note "disks ${first:-none} ${second:-none}"
# QEMU attaches a shared namespace when a controller is started, not before.
ok "show" show "$vf1"
check "says which namespace" grep -q 'namespaces 1$' $out
before=$(l0 checksum nvme 0 $((16 << 20)))
head -c $((16 << 20)) /dev/urandom >/mnt/data
check "written by the first" dd if=/mnt/data of="/dev/$first" bs=1M oflag=direct conv=fsync status=none
check "read back by the second" cmp /mnt/data <(dd if="/dev/$second" bs=1M count=16 iflag=direct status=none)
after=$(l0 checksum nvme 0 $((16 << 20)))
check "and on the card" [ "${after%% *}" = "$(sha256sum </mnt/data | cut -d' ' -f1)" -a "$before" != "$after" ]

ok "the namespace is taken from the second VF" set "$vf1" namespaces=none
check "whose disk goes" wait_for 30 test ! -e "/sys/block/$second"
check "nvme list-ctrl: the PF and the first VF have it" \
	[ "$(nvme list-ctrl "/dev/$ctrl" --namespace-id=1 | sed -n 's/.*\]://p' | paste -sd ' ')" = "0 0x1" ]
check "the first VF still reads" dd if="/dev/$first" of=/dev/null bs=1M count=1 iflag=direct status=none
# QEMU 10 looks at the PF's namespaces where it is asked about a VF's, and says "attached already" as long
# as the PF has this one.
nvme detach-ns "/dev/$ctrl" --namespace-id=1 --controllers=0 >/dev/null || fail "nvme detach-ns from the PF"
ok "and given back" set "$vf1" namespaces=1
nvme attach-ns "/dev/$ctrl" --namespace-id=1 --controllers=0 >/dev/null || fail "nvme attach-ns to the PF"
check "the disk is back" [ -n "$(disk "$vf1")" ]

exec 4<>"/dev/$first"
mkfs.ext4 -q "/dev/$first" 2>/dev/null && mkdir -p /mnt/fs && mount "/dev/$first" /mnt/fs
exec 4<&-
refused "resources of a VF whose disk is mounted" 'mount' set "$vf0" queues=0 vectors=0 online=off
check "it is still there" test -e "/mnt/fs/lost+found"
umount /mnt/fs
refused "offline under the driver" "$vf0: nvme has it and cannot run .*; run: vfctl unbind $vf0" set "$vf0" online=off
check "which still has it" [ "$(lab_driver "$vf0")" = nvme ]
ok "both back from the driver" unbind "$vf0" "$vf1"
ok "offline, without resources" set "$vf0" queues=0 vectors=0 online=off
agrees "the first VF has nothing" '1 0 0 0' '2 1 2 1'
ok "no VFs" destroy "$pf"
snapshot >/mnt/after
check "all as it was" diff /mnt/before /mnt/after

# --- from a file ---------------------------------------------------------------------------------
file=/mnt/vfctl.yaml
cat >$file <<END
version: 1
devices:
  - name: disk
    match: {address: "$pf", driver: nvme}
    vfs: 2
    vf-defaults: {queues: 2, vectors: 1, online: off, namespaces: "1", driver: nvme}
END
refused "a file that gives nvme what is offline" "VF 0: driver nvme cannot run a controller that is offline.*nothing was changed" apply --file "$file"
sed -i 's/online: off/online: on/' $file
# As above: while the PF has it, it cannot be attached to a VF.
nvme detach-ns "/dev/$ctrl" --namespace-id=1 --controllers=0 >/dev/null || fail "nvme detach-ns from the PF"
snapshot >/mnt/before
run plan --file "$file"
check "plan: there is something to do" [ $status = 2 ]
sed 's/^/# /' $out
check_log "and what" 'disk: VF 1: vectors 1, queues 2, online on, namespaces 1' $out
snapshot >/mnt/after
check "plan changed nothing" diff /mnt/before /mnt/after
ok "apply" apply --file "$file"
agrees "what the file asks for" '1 1 2 1' '2 1 2 1'
vf0=$(lab_vf "$pf" 0) vf1=$(lab_vf "$pf" 1)
check "both have the driver" [ "$(lab_driver "$vf0") $(lab_driver "$vf1")" = "nvme nvme" ]
first=$(disk "$vf0") && second=$(disk "$vf1") || fail "no disks: $(dmesg | grep -i nvme | tail -n 5)"
check "nvme list-ctrl: the VFs have the namespace, and the PF has not" \
	[ "$(nvme list-ctrl "/dev/$ctrl" --namespace-id=1 | sed -n 's/.*\]://p' | paste -sd ' ')" = "0x1 0x2" ]
# uses WRITER READER MIB: data of its own through one, as the other and the card then have it
uses() {
	head -c $((4 << 20)) /dev/urandom >/mnt/data
	dd if=/mnt/data of="/dev/$1" bs=1M seek="$3" oflag=direct conv=fsync status=none &&
		cmp /mnt/data <(dd if="/dev/$1" bs=1M skip="$3" count=4 iflag=direct status=none) &&
		cmp /mnt/data <(dd if="/dev/$2" bs=1M skip="$3" count=4 iflag=direct status=none) &&
		[ "$(l0 checksum nvme $(($3 << 20)) $((4 << 20)) | cut -d' ' -f1)" = "$(sha256sum </mnt/data | cut -d' ' -f1)" ]
}
check "written by the first, read by both, and on the card" uses "$first" "$second" 32
check "written by the second, read by both, and on the card" uses "$second" "$first" 40
run plan --file "$file"
check "plan: nothing to do ($(tail -n 1 $out))" [ $status = 0 ]
ok "apply again" apply --file "$file" --verbose
check "writes nothing" [ "$(grep -c 'vfctl: write' $err)" = 0 ]
check_log "and says so" '^0 steps, 0 writes$' $out
ok "restore" restore
snapshot >/mnt/after
check "all as it was at the start" diff /mnt/before /mnt/after
nvme attach-ns "/dev/$ctrl" --namespace-id=1 --controllers=0 >/dev/null || fail "nvme attach-ns to the PF"
check "the host's log is clean" [ -z "$(dmesg | grep -E 'BUG|WARNING|DMAR.*fault|Call Trace')" ]
((lab_failed == 0)) || dmesg | grep -iE 'nvme|vfio' | tail -n 30 | sed 's/^/# /'
