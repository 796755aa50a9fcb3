// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <pthread.h>
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
#include "sriov/inventory.h"
#include "sriov/vf.h"
#include "syscall_count.h"

#define IGB "0000:01:00.0"
#define SYS "sys/devices/pci0000:00/"

static const struct inventory_func *find(const struct inventory *inv, const char *text)
{
	struct pci_addr addr;
	size_t i;

	assert_int_equal(pci_addr_parse(text, &addr), 0);
	for (i = 0; i < inv->func_count; i++) {
		if (pci_addr_eq(&inv->funcs[i].addr, &addr))
			return &inv->funcs[i];
	}
	return NULL;
}

static void test_read(void **state)
{
	const struct inventory_func *igb, *vf;
	struct fake *f = *state;
	struct inventory *inv;
	struct pci_addr pf;
	size_t i;

	assert_int_equal(pci_addr_parse(IGB, &pf), 0);
	assert_int_equal(vf_create(&f->host, &pf, 3, "vfio-pci", false, NULL, NULL), 0);
	fake_netdev(f, IGB, "eth0b", 0, NULL);
	fake_link(f, "../../devices/virtual/net/lo", "sys/class/net/lo");
	fake_text(f, "sys/class/net/bonding_masters", "\n");
	assert_int_equal(inventory_read(&f->host, &inv, NULL), 0);
	assert_int_equal(inv->func_count, 9);
	for (i = 1; i < inv->func_count; i++)
		assert_true(pci_addr_cmp(&inv->funcs[i - 1].addr, &inv->funcs[i].addr) < 0);
	igb = find(inv, IGB);
	assert_string_equal(igb->driver, "igb");
	assert_int_equal(igb->vendor, 0x8086);
	assert_int_equal(igb->device, 0x10c9);
	assert_int_equal(igb->class, 0x020000);
	assert_int_equal(igb->group, 14);
	assert_true(igb->is_pf && !igb->is_vf);
	assert_int_equal(igb->num_vfs, 3);
	assert_int_equal(igb->total_vfs, 7);
	assert_int_equal(igb->net_count, 2);
	assert_string_equal(inv->nets[igb->net_first].name, "eth0");
	assert_string_equal(inv->nets[igb->net_first + 1].name, "eth0b");
	vf = find(inv, "0000:01:10.2");
	assert_true(vf->is_vf && pci_addr_eq(&vf->pf, &pf));
	assert_string_equal(vf->driver, "vfio-pci");
	assert_int_equal(vf->net_count, 0);
	assert_string_equal(find(inv, "0000:00:00.0")->driver, "");
	inventory_free(inv);
}

static void test_odd_trees(void **state)
{
	struct fake *f = *state;
	struct inventory *inv;

	/* Unplugged between readdir() and the read; no uevent; no group; names that are none. */
	fake_link(f, "../../../devices/pci0000:00/0000:07:00.0",
		  "sys/bus/pci/devices/0000:07:00.0");
	fake_link(f, "../../../devices/pci0000:00/" IGB, "sys/bus/pci/devices/nonsense");
	fake_remove(f, SYS IGB "/uevent");
	fake_remove(f, SYS "0000:02:00.0/iommu_group");
	assert_int_equal(inventory_read(&f->host, &inv, NULL), 0);
	assert_int_equal(inv->func_count, 6);
	assert_null(find(inv, "0000:07:00.0"));
	assert_string_equal(find(inv, IGB)->driver, "igb");
	assert_int_equal(find(inv, IGB)->vendor, 0x8086);
	assert_int_equal(find(inv, IGB)->class, 0x020000);
	assert_int_equal(find(inv, "0000:02:00.0")->group, -1);
	inventory_free(inv);
}

static void test_no_bus(void **state)
{
	struct err err = { .code = 0 };
	struct fake *f = *state;
	struct inventory *inv;

	fake_remove(f, "sys/bus/pci/devices");
	assert_int_equal(inventory_read(&f->host, &inv, &err), -ENODEV);
	assert_non_null(strstr(err.msg, "there is no PCI bus"));
}

static void fatal(char *fmt, ...) __attribute__((noreturn));

static void fatal(char *fmt, ...)
{
	(void)fmt;
	abort();
}

static void test_names(void **state)
{
	const struct pci_names_ops ops = { .fatal = fatal };
	struct pci_cap_info caps[PCI_CAPS_MAX];
	struct fake *f = *state;
	struct pci_names *names = pci_names_new(&f->host, &ops);
	const char *first, *vendor;
	struct pci_addr addr;
	unsigned int i;

	assert_non_null(names);
	vendor = pci_names_vendor(names, 0x8086);
	first = pci_names_device(names, 0x8086, 0x10c9);
	assert_non_null(strstr(vendor, "Intel"));
	/* Many more than the table begins with; what was given out stays where it is. */
	for (i = 0; i < 1000; i++)
		assert_non_null(pci_names_device(names, 0x8086, (uint16_t)i));
	assert_ptr_equal(pci_names_vendor(names, 0x8086), vendor);
	assert_ptr_equal(pci_names_device(names, 0x8086, 0x10c9), first);
	assert_non_null(strstr(pci_names_class(names, 0x020000), "Ethernet"));
	assert_int_equal(pci_addr_parse(IGB, &addr), 0);
	assert_int_equal(pci_names_caps(names, &addr, caps), 2);
	assert_string_equal(caps[0].name, "MSI-X");
	assert_int_equal(caps[0].offset, 0x40);
	assert_string_equal(caps[1].name, "PCIe");
	pci_names_free(names);
}

/* A capability list that runs in a circle ends all the same. */
static void test_caps_in_a_circle(void **state)
{
	const struct pci_names_ops ops = { .fatal = fatal };
	struct pci_cap_info caps[PCI_CAPS_MAX];
	char path[320], config[256] = { 0 };
	struct fake *f = *state;
	struct pci_names *names;
	struct pci_addr addr;
	FILE *file;

	config[6] = 0x10;
	config[0x34] = 0x40;
	config[0x40] = 0x11;
	config[0x41] = 0x40;
	snprintf(path, sizeof(path), "%s/" SYS IGB "/config", f->base);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(config, sizeof(config), 1, file), 1);
	assert_int_equal(fclose(file), 0);
	names = pci_names_new(&f->host, &ops);
	assert_int_equal(pci_addr_parse(IGB, &addr), 0);
	assert_in_range(pci_names_caps(names, &addr, caps), 1, PCI_CAPS_MAX);
	pci_names_free(names);
}

static void *read_all(void *opaque)
{
	struct fake *f = opaque;
	struct inventory *inv = NULL;

	if (inventory_read(&f->host, &inv, NULL))
		return NULL;
	inventory_free(inv);
	return f;
}

/* In a thread of its own, for such are counted. */
static int cost_scenario(void *opaque)
{
	pthread_t thread;
	void *done = NULL;

	syscall_count_begin();
	if (pthread_create(&thread, NULL, read_all, opaque) || pthread_join(thread, &done))
		return 2;
	syscall_count_end();
	return done ? 0 : 3;
}

static long cost_of(unsigned int count)
{
	struct fake *f = fake_new();
	int status = 0;
	long calls;

	fake_many(f, count);
	calls = syscall_count(cost_scenario, f, &status);
	fake_free(f);
	if (calls < 0 || status == 255) {
		print_message("cost: tracing is not allowed here\n");
		skip();
	}
	assert_int_equal(status, 0);
	return calls;
}

/* One system call for a VF, with what is read once for each PF, bus and interface. */
static void test_cost(void **state)
{
	/* 12 PFs: uevent and four numbers of three calls each, two links; their buses, opened and
	 * closed; uevent once more for a first VF. */
	const long pfs = 12L * (15 + 2 + 2 + 2);
	const long vfs = 12L * 255, nets = 12L * 16, folder = 64;
	long small, large;

	(void)state;
	small = cost_of(1024);
	large = cost_of(1024 + 12 * 256);
	print_message("system calls for a function: %.2f\n", (double)(large - small) / (12 * 256));
	assert_true(large - small <= vfs + pfs + nets + folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fake_lab_test(test_read),
		fake_lab_test(test_odd_trees),
		fake_lab_test(test_no_bus),
		fake_lab_test(test_names),
		fake_lab_test(test_caps_in_a_circle),
		cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
