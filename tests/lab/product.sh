# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The product in the lab: what tests of viaduct and vfctl share. Sourced after lib.sh.
#
# VIADUCT_BUILD says which build is tested (build/release of this tree); the programs run unmodified.

VIADUCT_BUILD=${VIADUCT_BUILD:-$LAB_ROOT/build/release}
VIADUCT=$VIADUCT_BUILD/viaduct
VFCTL=$VIADUCT_BUILD/vfctl
[ -x "$VIADUCT" ] && [ -x "$VFCTL" ] || die "no programs in $VIADUCT_BUILD; build them first"

# Programs for guests (tests/lab/guest/*.c). Static, so of the release build whatever is tested.
# shellcheck disable=SC2034 # for the scripts
LAB_TOOLS=$LAB_ROOT/build/release/tests/lab

guest_pid=''

# sanitized: true when the programs are a build with sanitizers, which maps terabytes for itself
sanitized() { grep -q __asan_init "$VIADUCT_BUILD/viaduct"; }

# VIADUCT_TEST_IOMMU=iommufd: the VFIO functions of all guests go by that back end. tests/run does so
# for a second run of each test whose header says "# lab-iommufd".
# by_iommu ARG...: the options of a guest, each function with its back end; one a line
by_iommu() {
	local arg
	for arg; do
		case $arg in
		*iommu=*) ;;
		vfio-pci,* | *,host=*) [ -z "${VIADUCT_TEST_IOMMU:-}" ] || arg+=",iommu=$VIADUCT_TEST_IOMMU" ;;
		esac
		printf '%s\n' "$arg"
	done
}

# guest_start LOG INITRD [OPTION...]: a guest in the background, its console in LOG, the program's
# own messages in LOG.err; $guest_pid
guest_start() {
	local log=$1 initrd=$2 args
	shift 2
	: >"$log"
	mapfile -t args < <(by_iommu "$@")
	"$VIADUCT" run --kernel "$LAB_KERNEL" --initrd "$initrd" --append "$LAB_CMDLINE quiet" \
		--memory 512M "${args[@]}" </dev/null >"$log" 2>"$log.err" &
	guest_pid=$!
}

# guest_wait SECONDS: its exit status; 124 when it had to be ended (LAB_TIMEOUT_FACTOR multiplies)
guest_wait() {
	local end=$((SECONDS + $1 * ${LAB_TIMEOUT_FACTOR:-1}))
	while kill -0 "$guest_pid" 2>/dev/null; do
		((SECONDS < end)) || {
			kill -9 "$guest_pid"
			wait "$guest_pid" 2>/dev/null
			return 124
		}
		sleep 0.1
	done
	wait "$guest_pid"
}

# guest_run SECONDS LOG INITRD [OPTION...]: start and wait
guest_run() {
	local seconds=$1
	shift
	guest_start "$@"
	guest_wait "$seconds"
}

# guest_saw SECONDS LOG PATTERN: until a line of the console matches; in vain when the guest has ended
guest_saw() {
	wait_for "$1" _saw_or_gone "$2" "$3" && grep -qE -- "$3" "$2"
}
_saw_or_gone() { grep -qE -- "$2" "$1" || ! kill -0 "$guest_pid"; }

# show LOG: what there is to see when something failed
show() {
	((lab_failed)) || return 0
	echo "--- $1.err"
	cat "$1.err" 2>/dev/null
	echo "--- $1"
	tail -n "${2:-40}" "$1" 2>/dev/null
}

# lines FILE: how many messages, without those that say how far a slow machine is
lines() { grep -cv 'guest memory: .* MiB are there$' "$1" || true; }

# function_free BDF: nobody has it open, and vfio-pci can be opened and closed again
function_free() {
	local group
	group=$(lab_group "$1") || return
	(exec 3<>"/dev/vfio/$group") 2>/dev/null
}

# pinned: KiB that all processes of this host have locked or pinned
pinned() { awk '/^(VmPin|VmLck):/ { sum += $2 } END { print sum + 0 }' /proc/[0-9]*/status 2>/dev/null; }

# exits_on; exits: returns of KVM_RUN to user space on this host, whichever VMM asks
exits_on() {
	echo 'hist:keys=reason' >/sys/kernel/tracing/events/kvm/kvm_userspace_exit/trigger
}
exits() {
	awk '/^# /{next} /hitcount/ { for (i = 1; i <= NF; i++) if ($i == "hitcount:") sum += $(i + 1) }
		END { print sum + 0 }' /sys/kernel/tracing/events/kvm/kvm_userspace_exit/hist
}
exits_off() {
	echo '!hist:keys=reason' >/sys/kernel/tracing/events/kvm/kvm_userspace_exit/trigger
}

# irq_calls_on; irq_calls: the interrupt ioctls of all VMMs of this host since then, a line each:
# routing (KVM_SET_GSI_ROUTING), irqfd (KVM_IRQFD), signal (KVM_SIGNAL_MSI), set_irqs (VFIO)
irq_calls_on() {
	local tracing=/sys/kernel/tracing
	printf '%s\n' 'p:vm kvm_vm_ioctl cmd=%si:u32' 'p:dev vfio_pci_core_ioctl cmd=%si:u32' >$tracing/kprobe_events
	echo 'hist:keys=cmd' >$tracing/events/kprobes/vm/trigger
	echo 'hist:keys=cmd' >$tracing/events/kprobes/dev/trigger
}
irq_calls() {
	local hist name number
	hist=$(cat /sys/kernel/tracing/events/kprobes/{vm,dev}/hist)
	while read -r name number; do
		echo "$name $(sed -n "s/.*cmd: *$((number)) *}.*hitcount: *\([0-9]*\).*/\1/p" <<<"$hist" | grep . || echo 0)"
	done <<-END
		routing 0x4008ae6a
		irqfd 0x4020ae76
		signal 0x4020aea5
		set_irqs 0x3b6e
	END
}
irq_calls_off() {
	local probe
	for probe in vm dev; do
		echo '!hist:keys=cmd' >/sys/kernel/tracing/events/kprobes/$probe/trigger
	done
	echo >/sys/kernel/tracing/kprobe_events
}

# vfio_rows: loads VFIO; $rows: the IOMMU back ends that a test runs its guests on, as iommu=ROW
vfio_rows() {
	rows=type1
	if [ -e "$LAB_EXTRA/missing" ]; then
		lab_load vfio
		echo "skip - iommufd: $(cat "$LAB_EXTRA/missing")"
	else
		lab_load iommufd
		rows+=' iommufd'
	fi
}

# igb_up [VFS]: the igb card with that many VFs on vfio-pci, its PF up with 10.0.2.50; $pf
igb_up() {
	lab_load kvm vfio igb
	pf=$(lab_pf igb)
	"$VFCTL" create "$pf" "${1:-2}" --driver vfio-pci >/dev/null || die "vfctl create failed"
	ip link set "$(lab_netdev "$pf")" up
	ip addr replace 10.0.2.50/24 dev "$(lab_netdev "$pf")"
}
