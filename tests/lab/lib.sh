# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Functions for scripts that run in the lab's host (L1). Source it: . "$LAB_DIR/lib.sh"
#
# Set by tests/lab/run: LAB_DIR (this folder), LAB_KERNEL (a vmlinuz for guests), LAB_INITRD (the
# guest's base initramfs), LAB_KVER, LAB_MODULES, LAB_EXTRA (modules that the kernel lacks), LAB_CARDS,
# LAB_CACHE, LAB_OUT (with --out).

[ -n "${LAB_KERNEL:-}" ] || {
	echo "${0##*/}: runs in the lab's host only; run: tests/lab/run $0" >&2
	exit 125
}
# shellcheck disable=SC2034 # for the scripts
LAB_ROOT=$(cd "$LAB_DIR/../.." && pwd)
# The programs under test; set either beforehand to test another build.
VIADUCT=${VIADUCT_PROGRAM:-$LAB_ROOT/build/release/viaduct}
VFCTL=${VFCTL_PROGRAM:-$LAB_ROOT/build/release/vfctl}
export VIADUCT VFCTL

# --- results -------------------------------------------------------------------------------------
lab_failed=0

note() { echo "# $*"; }
# pass WHAT; fail WHAT (goes on, the script's status will be 1); skip REASON (ends with 77)
pass() { echo "ok - $*"; }
fail() {
	echo "FAIL - $*"
	lab_failed=1
}
skip() {
	echo "skip - $*"
	exit 77
}
# die WHAT: nothing further makes sense
die() {
	echo "FAIL - $*"
	exit 1
}
# check WHAT COMMAND...: passes when the command succeeds
check() {
	local what=$1
	shift
	if "$@"; then pass "$what"; else fail "$what (failed: $*)"; fi
}
# check_log WHAT PATTERN FILE: passes when a line of the file matches (grep -E)
check_log() {
	if grep -qE -- "$2" "$3"; then pass "$1"; else fail "$1 (nothing in ${3##*/} matches: $2)"; fi
}
# The script's own end: its status is 1 when any fail was called. A script that ends of itself
# (set -e, exit) keeps its status.
_lab_end() {
	local status=$? report
	for report in "$LAB_SANITIZER".*; do
		[ -e "$report" ] || continue
		fail "a sanitizer's report"
		cat "$report"
	done
	[ "$status" != 0 ] || status=$lab_failed
	exit "$status"
}
# A build with sanitizers reports here, and whatever becomes of its own output, it is seen.
LAB_SANITIZER=/run/lab/reports/sanitizer
mkdir -p /run/lab/reports
chmod 1777 /run/lab/reports # for programs that an ordinary user runs too
export ASAN_OPTIONS=log_path=$LAB_SANITIZER:detect_leaks=1 UBSAN_OPTIONS=log_path=$LAB_SANITIZER:print_stacktrace=1
trap _lab_end EXIT

# wait_for SECONDS COMMAND...: until the command succeeds (LAB_TIMEOUT_FACTOR multiplies)
wait_for() {
	local end=$((SECONDS + $1 * ${LAB_TIMEOUT_FACTOR:-1}))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || {
			echo "waited in vain for: $*" >&2
			return 1
		}
		sleep 0.1
	done
}

# lab_restart: starts this host anew (run --host), with what is on its disk. The script is run again.
lab_restart() {
	touch /run/lab/restarts
	systemctl --no-block reboot
	sleep infinity
}

# --- what is there -------------------------------------------------------------------------------
# lab_port CARD: the root port of a card, as PCI address. The slots are those of tests/lab/run.
lab_port() {
	case $1 in
	igb) echo 0000:00:10.0 ;;
	nvme) echo 0000:00:11.0 ;;
	nvmepf) echo 0000:00:12.0 ;;
	nvme127) echo 0000:00:13.0 ;;
	e1000e | hda | e1000e-hda) echo 0000:00:14.0 ;;
	bridge | e1000 | rtl8139) echo 0000:00:15.0 ;;
	bochs) echo 0000:00:16.0 ;;
	ivshmem) echo 0000:00:17.0 ;;
	edu) echo 0000:00:18.0 ;;
	nvmewide) echo 0000:00:19.0 ;;
	*)
		echo "lab_port: unknown card $1" >&2
		return 1
		;;
	esac
}

# lab_pf CARD: the function of a card (igb, nvme, nvmepf, nvme127, e1000e, hda, bridge, e1000,
# rtl8139, bochs, ivshmem, edu), as PCI address; 1 when it is not there
lab_pf() {
	local port pattern dev
	port=$(lab_port "$1") || return 1
	case $1 in
	hda) pattern='*:00.1' ;;
	e1000) pattern='*:00.0/*:01.0' ;;
	rtl8139) pattern='*:00.0/*:02.0' ;;
	*) pattern='*:00.0' ;;
	esac
	# shellcheck disable=SC2086 # a pattern
	for dev in /sys/bus/pci/devices/$port/0000:$pattern; do
		[ -e "$dev" ] && echo "${dev##*/}" && return 0
	done
	return 1
}

# lab_vf PF N: the N-th VF (from 0) of a PF, as PCI address
lab_vf() { basename "$(readlink -e "/sys/bus/pci/devices/$1/virtfn$2")"; }

lab_driver() { # BDF: its driver's name, empty when it has none
	local link
	link=$(readlink "/sys/bus/pci/devices/$1/driver") || return 0
	echo "${link##*/}"
}
lab_group() { # BDF: its IOMMU group's number
	local link
	link=$(readlink "/sys/bus/pci/devices/$1/iommu_group") || return 1
	echo "${link##*/}"
}
lab_netdev() { # BDF: its network interface
	ls "/sys/bus/pci/devices/$1/net" 2>/dev/null | head -n 1
}

# --- bare set-up, without vfctl ------------------------------------------------------------------
# lab_extra NAME...: modules of tests/lab/modules.sh, in that order; skips the test where they are not
lab_extra() {
	local name
	[ ! -e "$LAB_EXTRA/missing" ] || skip "$(cat "$LAB_EXTRA/missing")"
	for name; do
		[ -d "/sys/module/${name//-/_}" ] || insmod "$LAB_EXTRA/$name.ko" || return
	done
}

# lab_load NAME...: loads modules; 'vfio', 'iommufd' (VFIO with both back ends), 'kvm' and 'net' (tun,
# vhost_net, bridge) stand for several
lab_load() {
	local name
	for name; do
		case $name in
		vfio)
			if [ "${VIADUCT_TEST_IOMMU:-}" = iommufd ]; then lab_load iommufd
			else modprobe -a vfio-pci vfio_iommu_type1; fi
			;;
		kvm)
			if grep -qw svm /proc/cpuinfo; then modprobe kvm_amd
			elif grep -qw vmx /proc/cpuinfo; then modprobe kvm_intel
			else
				echo "lab_load kvm: this host's processor has neither SVM nor VMX (--no-kvm?)" >&2
				return 1
			fi
			;;
		net) modprobe -a tun vhost_net bridge ;;
		iommufd) modprobe irqbypass && lab_extra iommufd vfio vfio_iommu_type1 vfio-pci-core vfio-pci ;;
		netdevsim) modprobe -a psample macsec udp_tunnel tls && lab_extra netdevsim ;;
		*) modprobe "$name" ;;
		esac || return
	done
}

# lab_vfs PF N: creates N VFs and leaves them without a driver
lab_vfs() {
	local dev=/sys/bus/pci/devices/$1
	echo 0 >"$dev/sriov_drivers_autoprobe"
	echo 0 >"$dev/sriov_numvfs"
	echo "$2" >"$dev/sriov_numvfs"
}

# lab_bind BDF DRIVER: takes the function from its driver and gives it to that one
lab_bind() {
	local dev=/sys/bus/pci/devices/$1
	[ "$(lab_driver "$1")" != "$2" ] || return 0
	# The override first: with sriov_drivers_autoprobe at 0 a VF's bind fails without it.
	echo "$2" >"$dev/driver_override"
	[ ! -e "$dev/driver" ] || echo "$1" >"$dev/driver/unbind"
	echo "$1" >"/sys/bus/pci/drivers/$2/bind"
}
# lab_unbind BDF: leaves the function without a driver and without an override
lab_unbind() {
	local dev=/sys/bus/pci/devices/$1
	[ ! -e "$dev/driver" ] || echo "$1" >"$dev/driver/unbind"
	echo >"$dev/driver_override"
}

# lab_nvme_vfs PF N: creates N VFs of an NVMe PF bound to its driver, gives each two queue and one
# interrupt resource (COUNT as third argument: queues; fourth: interrupts) and sets them online
lab_nvme_vfs() {
	local pf=$1 n=$2 vq=${3:-2} vi=${4:-1} ctrl id
	ctrl=/dev/$(ls "/sys/bus/pci/devices/$pf/nvme")
	echo 0 >"/sys/bus/pci/devices/$pf/sriov_numvfs"
	# Resources are given while the VFs are not there yet, online comes after.
	for ((id = 1; id <= n; id++)); do
		nvme virt-mgmt "$ctrl" -c "$id" -r 0 -a 8 -n "$vq" >/dev/null || return
		nvme virt-mgmt "$ctrl" -c "$id" -r 1 -a 8 -n "$vi" >/dev/null || return
	done
	lab_vfs "$pf" "$n" || return
	for ((id = 1; id <= n; id++)); do
		nvme virt-mgmt "$ctrl" -c "$id" -a 9 -r 0 -n 0 >/dev/null || return
	done
}

# --- guests --------------------------------------------------------------------------------------
# lab_guest_initrd FILE [+MODULE|PATH-IN-GUEST=FILE...] <<'END' ... END: an initramfs for a guest that
# runs the commands read, with the functions of guest/lib.sh, and then powers off. +MODULE brings one
# of the modules that the base leaves out (GUEST_EXTRA in tests/lab/setup) and all it needs.
lab_guest_initrd() {
	local out=$1 dir more file
	shift
	dir=$(mktemp -d)
	cat >"$dir/test.sh"
	for more; do
		case $more in
		+*)
			modprobe -S "$LAB_KVER" --show-depends "${more#+}" | awk '$1 == "insmod" { print $2 }' |
				while read -r file; do install -D -m 644 "$file" "$dir$file"; done
			;;
		*) install -D "${more#*=}" "$dir/${more%%=*}" ;;
		esac
	done
	{
		cat "$LAB_INITRD"
		(cd "$dir" && find . -mindepth 1 | cpio -o -H newc -R 0:0 --quiet)
	} >"$out"
	rm -rf "$dir"
}

# Words for a guest's kernel command line: a serial console and no panic that hangs.
# quiet, because each letter on a serial port is an exit; a panic is shown all the same.
# shellcheck disable=SC2034
LAB_CMDLINE="console=ttyS0 panic=-1 mitigations=off quiet"

# lab_qemu_available: can QEMU be the VMM here, as the peer in comparisons?
lab_qemu_available() { command -v qemu-system-x86_64 >/dev/null && [ -w /dev/kvm ]; }

# lab_qemu INITRD [QEMU-ARG...]: boots a guest with QEMU as VMM, console on standard output
lab_qemu() {
	local initrd=$1
	shift
	qemu-system-x86_64 -accel kvm -cpu host -machine q35 -m 512M -nodefaults -display none -no-reboot \
		-serial stdio -kernel "$LAB_KERNEL" -initrd "$initrd" -append "$LAB_CMDLINE" "$@" </dev/null
}

# guest_status LOG: the status of the guest's commands, empty when it never ended
guest_status() { sed -n 's/^.*GUEST-EXIT \([0-9]*\).*/\1/p' "$1" | tail -n 1; }
