// SPDX-License-Identifier: GPL-2.0-or-later
/* Root ports as firmware leaves them: buses, windows, addresses; and who is reached through them.
 */
#include <errno.h>
#include <stdlib.h>

#include "port_rig.h"

static void test_what_the_guest_finds(void **state)
{
	unsigned int bus_a, bus_b;
	struct rig r;

	(void)state;
	rig_open(&r);
	bus_a = pci_dev_bus(&r.a->pdev);
	bus_b = pci_dev_bus(&r.b->pdev);
	assert_int_equal(bus_a, 1);
	assert_int_equal(bus_b, 2);
	assert_int_equal(r.vm->pci->last_bus, 2);
	assert_int_equal(rd(&r, bridge(&r, PCI_HEADER_TYPE), 1), PCI_HEADER_TYPE_BRIDGE);
	assert_int_equal(rd(&r, bridge(&r, PCI_CLASS_REVISION), 4) >> 8, 0x060400);
	assert_int_equal(rd(&r, bridge(&r, PCI_PRIMARY_BUS), 4), 0x00010100);
	assert_int_equal(rd(&r, ecam(bus_a, 0, 0), 4), 0x56781234);
	assert_int_equal(rd(&r, ecam(bus_b, 0, 0), 4), 0x56781234);
	/* One slot, no other bus. */
	assert_int_equal(rd(&r, ecam(bus_a, 1, 0), 4), 0xffffffff);
	assert_int_equal(rd(&r, ecam(bus_a, 8, 0), 4), 0xffffffff);
	assert_int_equal(rd(&r, ecam(3, 0, 0), 4), 0xffffffff);
	/* The port: a root port with a slot; the function: an endpoint on the same link. */
	assert_int_equal(rd(&r, pcie(&r, PCI_EXP_FLAGS), 2), 0x0142);
	assert_int_equal(rd(&r, pcie(&r, PCI_EXP_LNKSTA), 2) & 0x3ff, 3 | 8 << 4);
	assert_int_equal(rd(&r, pcie(&r, PCI_EXP_LNKCAP), 4) & 0x3ff, 3 | 8 << 4);
	assert_int_equal(rd(&r, pcie(&r, PCI_EXP_LNKCAP2), 4), 0xe);
	assert_true(link_active(&r));
	assert_int_equal(slot_status(&r), PCI_EXP_SLTSTA_PDS);
	assert_false(rd(&r, pcie(&r, PCI_EXP_SLTCTL), 2) & PCI_EXP_SLTCTL_PCC);
	assert_int_equal(rd(&r, ecam(bus_a, 0, r.a->exp + PCI_EXP_FLAGS), 2), 0x0002);
	assert_int_equal(rd(&r, ecam(bus_a, 0, r.a->exp + PCI_EXP_LNKSTA), 2), 3 | 8 << 4);
	/* INTx: the pin of the port's slot (1 is a's, 16 + (1 + 1 - 1)). */
	pci_intx_set(&r.a->pdev, true);
	assert_int_equal(fake_kvm_irqfd(r.a->pdev.intx.trigger), 16 + (r.port->pdev.devfn >> 3));
	rig_free(r.vm);
}

static void test_bars_lie_in_the_windows(void **state)
{
	uint64_t base, limit;
	struct rig r;

	(void)state;
	rig_open(&r);
	base = rd(&r, bridge(&r, PCI_MEMORY_BASE), 2) << 16;
	limit = rd(&r, bridge(&r, PCI_MEMORY_LIMIT), 2) << 16 | 0xfffff;
	assert_true(base >= GPA_PCI32_BASE && limit < GPA_ECAM_BASE);
	assert_in_range(pci_bar_addr(&r.a->pdev, 0), base, limit);
	/* 64 bits, but not prefetchable: the port has no other place for it. */
	assert_in_range(pci_bar_addr(&r.a->pdev, 4), base, limit);
	assert_false(pci_bar_addr(&r.b->pdev, 0) >= base && pci_bar_addr(&r.b->pdev, 0) <= limit);
	base = (rd(&r, bridge(&r, PCI_PREF_MEMORY_BASE), 2) & 0xfff0) << 16 |
	       rd(&r, bridge(&r, PCI_PREF_BASE_UPPER32), 4) << 32;
	assert_true(base >= GPA_HIGH_RAM);
	assert_int_equal(pci_bar_addr(&r.a->pdev, 2), base);
	assert_int_equal(base % (4 * MIB), 0);
	assert_int_equal(rd(&r, bridge(&r, PCI_IO_BASE), 1) << 8, pci_bar_addr(&r.a->pdev, 1));
	assert_int_equal(rd(&r, pci_bar_addr(&r.a->pdev, 0), 4), 0xca00);
	assert_int_equal(rd(&r, pci_bar_addr(&r.b->pdev, 2), 4), 0xca02);
	rig_free(r.vm);
}

static void test_a_bar_outside_of_the_windows_is_not_reached(void **state)
{
	struct rig r;
	uint64_t at, pref, upper;

	(void)state;
	rig_open(&r);
	at = pci_bar_addr(&r.a->pdev, 0);
	pref = pci_bar_addr(&r.a->pdev, 2);
	upper = rd(&r, bridge(&r, PCI_PREF_BASE_UPPER32), 4);
	/* As Linux tests whether the upper half is there. */
	wr(&r, bridge(&r, PCI_PREF_BASE_UPPER32), 4, 0xffffffff);
	assert_int_equal(rd(&r, pref, 4), 0xffffffff);
	assert_int_equal(rd(&r, at, 4), 0xca00);
	wr(&r, bridge(&r, PCI_PREF_BASE_UPPER32), 4, upper);
	assert_int_equal(rd(&r, pref, 4), 0xca02);
	wr(&r, bridge(&r, PCI_COMMAND), 2, PCI_COMMAND_MASTER);
	assert_int_equal(rd(&r, at, 4), 0xffffffff);
	assert_int_equal(rd(&r, pref, 4), 0xffffffff);
	wr(&r, bridge(&r, PCI_COMMAND), 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	assert_int_equal(rd(&r, at, 4), 0xca00);
	/* The other port has its own. */
	wr(&r, bridge(&r, PCI_MEMORY_LIMIT), 2, 0);
	assert_int_equal(rd(&r, at, 4), 0xffffffff);
	assert_int_equal(rd(&r, pci_bar_addr(&r.b->pdev, 0), 4), 0xca00);
	rig_free(r.vm);
}

static void test_bus_numbers_are_the_guests(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	wr(&r, bridge(&r, PCI_PRIMARY_BUS), 4, 0x00777700);
	assert_int_equal(rd(&r, ecam(1, 0, 0), 4), 0xffffffff);
	assert_int_equal(rd(&r, ecam(0x77, 0, 0), 4), 0x56781234);
	wr(&r, bridge(&r, PCI_PRIMARY_BUS), 4, 0x00707700); /* the last bus before the first */
	assert_int_equal(rd(&r, ecam(0x77, 0, 0), 4), 0xffffffff);
	wr(&r, bridge(&r, PCI_PRIMARY_BUS), 4, 0);
	assert_int_equal(rd(&r, ecam(0, 0, 0), 4) & 0xffff, 0x1b36); /* the host bridge */
	dev_reset_all(r.vm);
	assert_int_equal(rd(&r, ecam(1, 0, 0), 4), 0x56781234);
	rig_free(r.vm);
}

static void test_every_register_at_any_width(void **state)
{
	static const unsigned int sizes[] = { 1, 2, 4, 8 };
	static const uint64_t values[] = { UINT64_MAX, 0, 0x5555555555555555 };
	struct rig r;
	unsigned int reg;
	size_t i, v;

	(void)state;
	rig_open(&r);
	for (reg = 0; reg < PCIE_CONFIG_SIZE; reg++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			for (v = 0; v < ARRAY_SIZE(values); v++)
				wr(&r, bridge(&r, reg), sizes[i], values[v]);
			rd(&r, bridge(&r, reg), sizes[i]);
		}
		if (reg % 16 == 0)
			loop_turn(&r);
	}
	assert_int_equal(rd(&r, bridge(&r, 0), 4), 0x000c1b36);
	assert_int_equal(rd(&r, pcie(&r, PCI_EXP_FLAGS), 2), 0x0142);
	dev_reset_all(r.vm);
	loop_turn(&r);
	assert_true(link_active(&r));
	assert_int_equal(rd(&r, ecam(1, 0, 0), 4), 0x56781234);
	assert_int_equal(rd(&r, pci_bar_addr(&r.a->pdev, 2), 4), 0xca02);
	rig_free(r.vm);
}

/* 4 MiB and 1 MiB behind one port, 4 MiB behind the next: the second window begins at 8 MiB. */
static void test_windows_are_aligned_for_what_is_in_them(void **state)
{
	struct vm *vm = rig_new(4 * MIB);
	struct card *first, *small, *second;
	struct pci_port *empty;
	struct rig r = { .vm = vm };
	struct err err = { 0 };

	(void)state;
	first = card_new(vm, "first", NULL, 0);
	small = card_new(vm, "small", &first->pdev, 1);
	second = card_new(vm, "second", NULL, 0);
	assert_int_equal(pci_port_new(vm, "empty", &empty, &err), 0);
	pci_bar_set(&small->pdev, 2, PCI_BAR_MEM64, true, MIB);
	assert_int_equal(pci_root_place(vm->pci, &err), 0);
	assert_int_equal(pci_bar_addr(&small->pdev, 2), pci_bar_addr(&first->pdev, 2) + 4 * MIB);
	assert_int_equal(pci_bar_addr(&second->pdev, 2), pci_bar_addr(&first->pdev, 2) + 8 * MIB);
	r.port = empty;
	assert_int_equal(rd(&r, bridge(&r, PCI_MEMORY_LIMIT), 2) -
				 rd(&r, bridge(&r, PCI_MEMORY_BASE), 2),
			 0x10);
	assert_false(link_active(&r));
	assert_int_equal(slot_status(&r), 0);
	rig_free(vm);
}

static void test_windows_that_cannot_be_had(void **state)
{
	struct vm *vm = rig_new(4 * MIB);
	struct err err = { 0 };
	struct card *c;

	(void)state;
	c = card_new(vm, "big", NULL, 0);
	pci_bar_set(&c->pdev, 4, PCI_BAR_MEM64, false, GIB);
	assert_int_equal(pci_root_place(vm->pci, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "big-port"));
	assert_non_null(strstr(err.msg, "port=off"));
	rig_free(vm);
}

/* 15 windows of 4 KiB are all that port space has; the 16th does without. */
static void test_more_ports_than_io_windows(void **state)
{
	struct vm *vm = rig_new(4 * MIB);
	struct rig r = { .vm = vm };
	struct err err = { 0 };
	struct card *c;
	unsigned int i;
	char id[8];

	(void)state;
	for (i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "c%u", i);
		c = card_new(vm, id, NULL, 0);
	}
	assert_int_equal(pci_root_place(vm->pci, &err), 0);
	r.port = c->pdev.port;
	assert_int_equal(vm->pci->last_bus, 20);
	assert_int_equal(rd(&r, ecam(20, 0, PCI_BASE_ADDRESS_1), 4), PCI_BASE_ADDRESS_SPACE_IO);
	assert_int_equal(rd(&r, bridge(&r, PCI_IO_BASE), 2), 0);
	assert_int_equal(rd(&r, pci_bar_addr(&c->pdev, 0), 4), 0xca00);
	rig_free(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_the_guest_finds),
		cmocka_unit_test(test_bars_lie_in_the_windows),
		cmocka_unit_test(test_a_bar_outside_of_the_windows_is_not_reached),
		cmocka_unit_test(test_bus_numbers_are_the_guests),
		cmocka_unit_test(test_every_register_at_any_width),
		cmocka_unit_test(test_windows_are_aligned_for_what_is_in_them),
		cmocka_unit_test(test_windows_that_cannot_be_had),
		cmocka_unit_test(test_more_ports_than_io_windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
