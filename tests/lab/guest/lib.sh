#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Functions for /test.sh in the guest.

# wait_for SECONDS COMMAND...: until the command succeeds
wait_for() {
	_left=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		_left=$((_left - 1))
		[ $_left -gt 0 ] || { echo "waited in vain for: $*"; return 1; }
		usleep 100000
	done
}

# find_net DRIVER [N]: the N-th (from 0) interface of that driver
find_net() {
	_n=${2:-0}
	for _d in /sys/class/net/*; do
		_drv=$(readlink "$_d/device/driver") || continue
		[ "${_drv##*/}" = "$1" ] || continue
		[ "$_n" -gt 0 ] || { echo "${_d##*/}"; return 0; }
		_n=$((_n - 1))
	done
	return 1
}

_carrier() { [ "$(cat "/sys/class/net/$1/carrier")" = 1 ]; }

# net_up DEV ADDR/PLEN: up, its carrier awaited
net_up() {
	ip link set "$1" up && ip addr add "$2" dev "$1" && wait_for 20 _carrier "$1"
}

# irqs [PATTERN]: the lines of /proc/interrupts
irqs() { grep -E "${1:-.}" /proc/interrupts; }

# pci_driver BDF: the driver of a function
pci_driver() { basename "$(readlink "/sys/bus/pci/devices/$1/driver")" 2>/dev/null; }

# pci_find VENDOR:DEVICE [N]: the sysfs folder of the N-th (from 0) function with that id
pci_find() {
	_n=${2:-0}
	for _d in /sys/bus/pci/devices/*; do
		[ "$(cat "$_d/vendor" "$_d/device" | tr -d '\n')" = "0x${1%:*}0x${1#*:}" ] || continue
		[ "$_n" -gt 0 ] || { echo "$_d"; return 0; }
		_n=$((_n - 1))
	done
	return 1
}

# nvme_irq_bind: the NVMe functions are left to nvme_irq.ko (tests/lab/modules), which takes them when
# it is loaded
nvme_irq_bind() {
	for _d in /sys/bus/pci/devices/*; do
		[ "$(cat "$_d/class")" = 0x010802 ] || continue
		[ ! -e "$_d/driver" ] || echo "${_d##*/}" >"$_d/driver/unbind"
		echo nvme_irq >"$_d/driver_override"
	done
}
