# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# For lab tests of vfctl's commands. Source it after lib.sh: . "$LAB_DIR/vfctl.sh"

out=/mnt/out err=/mnt/err status=0

# run_any COMMAND...: its output in $out and $err, its exit status in $status
run_any() {
	"$@" >$out 2>$err
	status=$?
}
# run ARG...: vfctl. A test of other programs as well defines its own.
run() { run_any "$VFCTL" "$@"; }

# ok WHAT ARG...: status 0
ok() {
	local what=$1
	shift
	run "$@"
	if [ $status = 0 ]; then pass "$what"; else fail "$what: $*: status $status: $(cat $err)"; fi
}
# refused WHAT PATTERN ARG...: status 1, nothing on stdout, one line on stderr that matches (grep -E)
refused() {
	local what=$1 pattern=$2
	shift 2
	run "$@"
	if [ $status = 1 ] && [ ! -s $out ] && [ "$(wc -l <$err)" = 1 ] && grep -qE -- "$pattern" $err; then
		pass "$what: $(cut -c1-200 $err)"
	else
		fail "$what: $*: status $status, not: $pattern: $(cat $err $out)"
	fi
}
# json FILE EXPRESSION: true when the expression holds for the document d
json() { python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' "$1" "$2"; }

# pci_state: every function, its driver, and all that vfctl may change of it. In few processes: an
# emulated host starts some twenty of them a second.
pci_state() {
	ls /sys/bus/pci/devices
	find /sys/bus/pci/devices/*/ -maxdepth 1 -name driver -printf '%p %l\n' | sort
	grep -aH '' /sys/bus/pci/devices/*/{driver_override,sriov_numvfs,sriov_drivers_autoprobe}
}
