#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab: --cards igb --timeout 300
# lab-iommufd: long
# Bad input on a real host: one line with what, why and the remedy, the right status, and nothing
# left bound, pinned or running.
set -euo pipefail
. "$LAB_DIR/lib.sh"
. "$LAB_DIR/product.sh"

lab_load kvm vfio igb
pf=$(lab_pf igb)
"$VFCTL" create "$pf" 2 --driver vfio-pci >/dev/null
vf=$(lab_vf "$pf" 0)
ip link set "$(lab_netdev "$pf")" up
lab_guest_initrd /mnt/initrd <<'END'
true
END
pinned_before=$(pinned)

# bad WHAT STATUS PATTERN COMMAND...
bad() {
	local what=$1 want=$2 pattern=$3 status=0
	shift 3
	timeout 30 "$@" </dev/null >/mnt/out 2>/mnt/err || status=$?
	if [ "$status" != "$want" ]; then
		fail "$what: status $status, not $want: $(head -n 3 /mnt/err)"
	elif ! grep -qE -- "$pattern" /mnt/err; then
		fail "$what: no $pattern in: $(head -n 3 /mnt/err)"
	elif [ "$want" = 1 ] && [ "$(lines /mnt/err)" != 1 ]; then
		fail "$what: $(lines /mnt/err) lines: $(head -n 3 /mnt/err)"
	else
		pass "$what: $(grep -E -- "$pattern" /mnt/err | head -n 1)"
	fi
}
run() { bad "$1" "$2" "$3" "$VIADUCT" run --serial none --append "$LAB_CMDLINE" "${@:4}"; }
K=(--kernel "$LAB_KERNEL")

run "no kernel" 2 'no --kernel'
run "an unknown option" 2 'frobnicate' --frobnicate
run "a kernel that is not there" 1 '/nowhere.*No such file' --kernel /nowhere
run "a kernel that is a folder" 1 'directory' --kernel /usr
run "a kernel that is none" 1 'bash' --kernel /usr/bin/bash
: >/mnt/empty
run "an empty kernel" 1 'empty' --kernel /mnt/empty
head -c 2000000 "$LAB_KERNEL" >/mnt/cut
run "a truncated kernel" 1 '/mnt/cut' --kernel /mnt/cut
head -c 700 "$LAB_KERNEL" >/mnt/cut2
run "a kernel cut in its header" 1 '/mnt/cut2' --kernel /mnt/cut2
run "an initrd that is not there" 1 '/nowhere' "${K[@]}" --initrd /nowhere
bad "a command line that is too long" 1 'command line' "$VIADUCT" run "${K[@]}" \
	--append "$(head -c 5000 /dev/zero | tr '\0' x)"
run "memory that is no size" 1 'memory' "${K[@]}" --memory lots
run "memory of no whole pages" 1 'whole pages' "${K[@]}" --memory 268435457
run "more memory than the host has" 1 'more than this host has' "${K[@]}" --memory 1T
run "memory that cannot hold the kernel" 1 'memory|needs' "${K[@]}" --memory 8M
run "0 vCPUs" 1 '0 vCPUs' "${K[@]}" --cpus 0
run "1000 vCPUs" 1 '1000 vCPUs' "${K[@]}" --cpus 1000
run "vCPUs that are no number" 1 'cpus' "${K[@]}" --cpus two
run "a device that is none" 1 'teapot' "${K[@]}" --device teapot
run "an option that the device lacks" 1 'colour' "${K[@]}" --device "net,host=$vf,colour=red"
run "a function that is nonsense" 1 '0000:00:00.8' "${K[@]}" --device vfio-pci,host=0000:00:00.8
run "a path as function" 1 'etc' "${K[@]}" --device vfio-pci,host=../../etc
run "the card's PF, which its own driver has" 1 'bound to igb' "${K[@]}" --device "vfio-pci,host=$pf"
run "the same function twice" 1 'already' "${K[@]}" --device "vfio-pci,host=$vf" --device "vfio-pci,host=$vf"
run "no host function given" 1 'host=' "${K[@]}" --device vfio-pci
run "a second device that fails" 1 'teapot' "${K[@]}" --device "vfio-pci,host=$vf" --device teapot
bad "a serial port that cannot be" 1 'nowhere' "$VIADUCT" run "${K[@]}" --serial file=/nowhere/x
bad "a serial back end that is none" 1 'pigeon' "$VIADUCT" run "${K[@]}" --serial pigeon
bad "a memory-lock limit" 1 'ulimit|MEMLOCK|memory-lock' setpriv --bounding-set=-all --inh-caps=-all \
	bash -c 'ulimit -l 8192 && exec "$@"' - "$VIADUCT" run "${K[@]}" --serial none --device "vfio-pci,host=$vf"
chmod 600 /dev/kvm
bad "no permission for KVM" 1 'permission for /dev/kvm' setpriv --reuid=65534 --regid=65534 --clear-groups \
	"$VIADUCT" run "${K[@]}" --serial none
chmod 666 /dev/kvm
bad "no permission for the group" 1 "no permission for /dev/vfio" setpriv --reuid=65534 --regid=65534 \
	--clear-groups "$VIADUCT" run "${K[@]}" --serial none --device "vfio-pci,host=$vf"
mv /dev/kvm /dev/kvm.away
run "no /dev/kvm" 1 '/dev/kvm is not there' "${K[@]}"
mv /dev/kvm.away /dev/kvm
bad "a full disk under the plan" 1 'writing' bash -c '"$1" plan --kernel "$2" >/dev/full' - "$VIADUCT" "$LAB_KERNEL"

bad "vfctl: more VFs than there are" 1 '7|at most' "$VFCTL" create "$pf" 8
bad "vfctl: nonsense" 1 '0000:zz:00.0' "$VFCTL" show 0000:zz:00.0
bad "vfctl: a number that is none" 2 'many|number|-1' "$VFCTL" create "$pf" -- -1
bad "vfctl: no root" 1 'root' setpriv --reuid=65534 --regid=65534 --clear-groups "$VFCTL" create "$pf" 3
bad "vfctl: no command" 2 'usage' "$VFCTL"

check "nothing is pinned" [ "$(pinned)" -le "$pinned_before" ]
check "the VF is free" function_free "$vf"
if pgrep -x viaduct >/dev/null; then fail "a process stays"; else pass "no process stays"; fi
check "the VFs are as they were" [ "$(cat "/sys/bus/pci/devices/$pf/sriov_numvfs") $(lab_driver "$vf")" = "2 vfio-pci" ]
guest_run 60 /mnt/log /mnt/initrd --device "vfio-pci,host=$vf" && status=0 || status=$?
check "and a guest with it runs (status $status)" [ "$status" = 0 ]
show /mnt/log
"$VFCTL" destroy "$pf" >/dev/null || fail "vfctl destroy"
