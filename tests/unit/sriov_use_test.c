// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_sysfs.h"
#include "sriov/bind.h"
#include "sriov/use.h"
#include "sriov/vf.h"

#define IGB "0000:01:00.0"
#define NVME "0000:02:00.0"
#define DEVICES "sys/devices/pci0000:00/"
#define ETH0 DEVICES IGB "/net/eth0"

/* @want NULL: not in use; else the whole message after the address. Binding must agree. */
static void expect(struct fake *f, const char *text, const char *want)
{
	struct pci_addr addr = fake_at(text);
	struct use_evidence ev;
	struct err err = { .code = 0 };
	int ret = use_check(&f->host, NULL, &addr, 0, &ev, &err);
	unsigned long writes = f->host.writes;

	if (!want) {
		if (ret)
			print_message("%s\n", err.msg);
		assert_int_equal(ret, 0);
		return;
	}
	assert_int_equal(ret, -EBUSY);
	assert_int_equal(strncmp(err.msg, text, strlen(text)), 0);
	assert_string_equal(err.msg + strlen(text), want);
	assert_non_null(strstr(err.msg, ev.what));
	assert_non_null(strstr(err.msg, ev.remedy));
	assert_int_equal(func_bind(&f->host, &addr, 1, "vfio-pci", false, NULL, &err), -EBUSY);
	assert_int_equal(f->host.writes, writes);
}

static void test_nothing(void **state)
{
	struct fake *f = *state;

	expect(f, IGB, NULL);
	expect(f, NVME, NULL);
	expect(f, "0000:06:01.0", NULL);
	expect(f, "0000:00:00.0", NULL);
}

static void test_no_such_function(void **state)
{
	struct pci_addr addr = fake_at("0000:0f:00.0");
	struct err err = { .code = 0 };
	struct fake *f = *state;

	assert_int_equal(use_check(&f->host, NULL, &addr, 0, NULL, &err), -ENODEV);
	assert_string_equal(err.msg, "0000:0f:00.0: no such function");
}

static void test_address(void **state)
{
	struct fake *f = *state;

	/* A PF that is there for its VFs is up without address; an address while down is none. */
	fake_netdev(f, "0000:06:01.0", "eth9", 1, NULL);
	expect(f, "0000:06:01.0", NULL);
	fake_net_addr(f, "eth0", "10.0.2.15");
	expect(f, IGB, NULL);
	fake_text(f, ETH0 "/flags", "0x1003\n");
	expect(f, IGB, ": eth0 is up with address 10.0.2.15; bring it down or use --force=address");
}

static void test_route(void **state)
{
	struct fake *f = *state;

	fake_text(f, ETH0 "/flags", "0x1043\n");
	fake_text(f, "proc/net/route",
		  "Iface\tDestination\tGateway\neth00\t00000000\t0202000A\n");
	expect(f, IGB, NULL);
	fake_text(f, "proc/net/route", "Iface\tDestination\tGateway\neth0\t00000000\t0202000A\n");
	expect(f, IGB, ": eth0 is up and carries a route; bring it down or use --force=route");
}

static void test_uppers(void **state)
{
	struct fake *f = *state;

	fake_link(f, "../../../../virtual/net/eth0.7", ETH0 "/upper_eth0.7");
	expect(f, IGB, ": eth0 carries eth0.7; delete that or use --force=upper");
	fake_link(f, "../../../../virtual/net/bond0", ETH0 "/master");
	expect(f, IGB, ": eth0 is a port of bond0; take it out or use --force=upper");
	fake_remove(f, ETH0 "/master");
	fake_remove(f, ETH0 "/upper_eth0.7");
	fake_text(f, ETH0 "/brport/state", "3\n");
	expect(f, IGB, ": eth0 is a port of a bridge; take it out or use --force=upper");
}

static void test_other_namespace(void **state)
{
	struct fake *f = *state;

	fake_remove(f, "sys/class/net/eth0");
	fake_remove(f, ETH0);
	expect(f, IGB, ": its network interface is in another network namespace; move it back or "
		       "use --force=netns");
}

static void test_mounted(void **state)
{
	struct fake *f = *state;

	fake_text(f, "proc/self/mountinfo",
		  "22 1 0:21 / / rw - tmpfs tmpfs rw\n36 22 259:11 / /x rw - ext4 /dev/y rw\n");
	expect(f, NVME, NULL);
	fake_text(f, "proc/self/mountinfo",
		  "22 1 0:21 / / rw - tmpfs tmpfs rw\n"
		  "36 22 259:1 / /srv/a\\040b rw,noatime shared:1 - ext4 /dev/nvme0n1p1 rw\n");
	expect(f, NVME, ": nvme0n1p1 is mounted on /srv/a\\040b; unmount it or use --force=mount");
	expect(f, IGB, NULL);
}

static void test_swap(void **state)
{
	struct fake *f = *state;

	fake_text(f, "proc/swaps", "Filename Type Size Used Priority\n/dev/nvme0n1p11 partition 1 "
				   "0 -2\n/mnt/dev/nvme0n1p1 file 1 0 -2\n");
	expect(f, NVME, NULL);
	fake_text(f, "proc/swaps", "Filename Type Size Used Priority\n/dev/nvme0n1p1\tpartition 1 "
				   "0 -2\n");
	expect(f, NVME, ": nvme0n1p1 is swap space in use; run swapoff or use --force=swap");
}

static void test_holders(void **state)
{
	struct fake *f = *state;

	fake_link(f, "../../../../../virtual/block/dm-0",
		  DEVICES NVME "/block/nvme0n1/nvme0n1p1/holders/dm-0");
	expect(f, NVME, ": nvme0n1p1 is held by dm-0; take that apart or use --force=holder");
}

static void test_exclusive(void **state)
{
	struct fake *f = *state;

	fake_busy(f, "nvme0n1");
	expect(f, NVME, ": nvme0n1 is held exclusively (by a file system, LVM or RAID); release it "
			"or use --force=holder");
}

static void test_multipath(void **state)
{
	struct fake *f = *state;

	/* The disk is virtual; its subsystem names the controllers it is reached through. */
	fake_link(f, "../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme3n1",
		  "sys/dev/block/259:7");
	fake_link(f, "../../devices/virtual/nvme-subsystem/nvme-subsys0",
		  "sys/class/nvme-subsystem/nvme-subsys0");
	fake_text(f, "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme3n1/size", "1\n");
	fake_link(f, "../../../pci0000:00/" NVME "/nvme/nvme3",
		  "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme3");
	expect(f, NVME, NULL);
	fake_text(f, "proc/self/mountinfo", "36 22 259:7 / /boot rw - ext4 /dev/nvme3n1 rw\n");
	expect(f, NVME, ": nvme3n1 is mounted on /boot; unmount it or use --force=mount");
	expect(f, IGB, NULL);
}

static void test_processes(void **state)
{
	struct fake *f = *state;

	fake_process(f, 100, "bash", "null");
	fake_process(f, 100, "bash", "pts/0");
	fake_process(f, 101, "other", "nvme1n1");
	expect(f, NVME, NULL);
	fake_process(f, 102, "qemu\033[2Jx", "nvme0n1");
	expect(f, NVME, ": /dev/nvme0n1 is open in qemu?[2Jx (pid 102); stop that process or use "
			"--force=process");
	fake_char(f, IGB, "card7", "226:7", "dri/card7");
	expect(f, IGB, NULL);
	fake_process(f, 103, "Xorg", "dri/card7");
	expect(f, IGB, ": /dev/dri/card7 is open in Xorg (pid 103); stop that process or use "
		       "--force=process");
}

static void test_console(void **state)
{
	struct fake *f = *state;

	fake_text(f, DEVICES IGB "/graphics/fb0/name", "efifb\n");
	expect(f, IGB, NULL);
	fake_text(f, "sys/class/vtconsole/vtcon0/name", "(S) dummy device\n");
	fake_text(f, "sys/class/vtconsole/vtcon0/bind", "1\n");
	fake_text(f, "sys/class/vtconsole/vtcon1/name", "(M) frame buffer device\n");
	fake_text(f, "sys/class/vtconsole/vtcon1/bind", "0\n");
	expect(f, IGB, NULL);
	fake_text(f, "sys/class/vtconsole/vtcon1/bind", "1\n");
	expect(f, IGB, ": its frame buffer fb0 shows the console; write 0 to the bind file of its "
		       "/sys/class/vtconsole or use --force=console");
}

static void test_vfs(void **state)
{
	struct pci_addr pf = fake_at(IGB), vf = fake_at("0000:01:10.2");
	struct use_evidence ev;
	struct err err = { .code = 0 };
	struct fake *f = *state;

	assert_int_equal(vf_create(&f->host, &pf, 2, "vfio-pci", 0, NULL, NULL), 0);
	expect(f, IGB, NULL);
	fake_process(f, 200, "viaduct", "vfio/21");
	expect(f, IGB, ": its VF 0000:01:10.2 is in use: group 21 is open in viaduct (pid 200); "
		       "stop that process or use --force=vfio");
	assert_int_equal(use_check_vfs(&f->host, NULL, &pf, 0, &ev, &err), -EBUSY);
	assert_true(pci_addr_eq(&ev.addr, &vf));
	fake_remove(f, "proc/200");
	/* Opened through the device's own node, with no group. */
	fake_char(f, "0000:01:10.2", "vfio0", "511:0", "vfio/devices/vfio0");
	fake_process(f, 201, "qemu", "vfio/devices/vfio0");
	expect(f, IGB, ": its VF 0000:01:10.2 is in use: /dev/vfio/devices/vfio0 is open in qemu "
		       "(pid 201); stop that process or use --force=vfio");
	fake_busy(f, "vfio/21"); /* the group's node then is too, and says less */
	expect(f, IGB, ": its VF 0000:01:10.2 is in use: /dev/vfio/devices/vfio0 is open in qemu "
		       "(pid 201); stop that process or use --force=vfio");
	fake_remove(f, "proc/201");
	f->busy_count = 0;
	fake_busy(f, "vfio/20");
	assert_int_equal(use_check(&f->host, NULL, &vf, 0, NULL, &err), 0);
	vf = fake_at("0000:01:10.0");
	assert_int_equal(use_check(&f->host, NULL, &vf, 0, NULL, &err), -EBUSY);
	assert_string_equal(err.msg, "0000:01:10.0: group 20 is open in another process; stop what "
				     "uses it or use --force=vfio");
}

static void test_cannot_look(void **state)
{
	struct pci_addr addr = fake_at(NVME);
	struct err err = { .code = 0 };
	struct fake *f = *state;

	fake_remove(f, "proc/self/mountinfo");
	assert_int_equal(use_check(&f->host, NULL, &addr, 0, NULL, &err), -ENOENT);
	assert_non_null(strstr(err.msg, NVME ": cannot read what is mounted"));
	assert_int_equal(func_bind(&f->host, &addr, 1, "vfio-pci", 0, NULL, &err), -ENOENT);
	assert_int_equal(func_bind(&f->host, &addr, 1, "vfio-pci", USE_UNKNOWN, NULL, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fake_lab_test(test_nothing),
		fake_lab_test(test_no_such_function),
		fake_lab_test(test_address),
		fake_lab_test(test_route),
		fake_lab_test(test_uppers),
		fake_lab_test(test_other_namespace),
		fake_lab_test(test_mounted),
		fake_lab_test(test_swap),
		fake_lab_test(test_holders),
		fake_lab_test(test_exclusive),
		fake_lab_test(test_multipath),
		fake_lab_test(test_processes),
		fake_lab_test(test_console),
		fake_lab_test(test_vfs),
		fake_lab_test(test_cannot_look),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
