// SPDX-License-Identifier: GPL-2.0-or-later
/* Root ports: removal and arrival, link and slot. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "port_rig.h"

static void assert_gone(struct rig *r)
{
	assert_int_equal(rd(r, ecam(1, 0, 0), 4), 0xffffffff);
	assert_true(pci_port_empty(r->port));
	assert_false(slot_status(r) & PCI_EXP_SLTSTA_PDS);
	assert_false(link_active(r));
	assert_int_equal(rd(r, ecam(2, 0, 0), 4), 0x56781234);
}

static void test_removal_in_order(void **state)
{
	struct rig r;
	uint64_t at, page;

	(void)state;
	rig_open(&r);
	at = pci_bar_addr(&r.a->pdev, 0);
	page = pci_bar_addr(&r.a->pdev, 2) + PART_AT;
	assert_non_null(fake_kvm_slot(page));
	driver_binds(&r);
	messages(&r);
	driver_isr(&r);
	assert_int_equal(dev_unplug(&r.a->pdev.dev, 60000, "test"), 0);
	assert_int_equal(messages(&r), 0);
	loop_turn(&r);
	assert_int_equal(messages(&r), 1);
	assert_int_equal(driver_isr(&r), PCI_EXP_SLTSTA_ABP);
	/* Five seconds pass in Linux; the function works meanwhile. */
	assert_int_equal(rd(&r, at, 4), 0xca00);
	driver_power(&r, false);
	assert_int_equal(rd(&r, at, 4), 0xffffffff);
	assert_int_equal(rd(&r, ecam(1, 0, 0), 4), 0xffffffff);
	assert_null(fake_kvm_slot(page));
	assert_int_equal(messages(&r), 1);
	assert_int_equal(driver_isr(&r), PCI_EXP_SLTSTA_CC | PCI_EXP_SLTSTA_DLLSC);
	assert_int_equal(r.removed, 0);
	loop_turn(&r);
	assert_int_equal(r.removed, 1);
	assert_non_null(strstr(r.log, "a: removed from the guest, which let go of it (test)"));
	assert_int_equal(driver_isr(&r), PCI_EXP_SLTSTA_PDC);
	assert_gone(&r);
	rig_free(r.vm);
	assert_int_equal(fake_kvm_irqfds(), 0);
}

static void test_link_disable_lets_go_too(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	driver_binds(&r);
	dev_unplug(&r.a->pdev.dev, 60000, "test");
	loop_turn(&r);
	wr(&r, pcie(&r, PCI_EXP_LNKCTL), 2, PCI_EXP_LNKCTL_LD);
	loop_turn(&r);
	assert_int_equal(r.removed, 1);
	assert_gone(&r);
	rig_free(r.vm);
}

/* Lets the loop's timers run. */
static void stop(void *opaque)
{
	loop_stop(((struct vm *)opaque)->loop);
}

static void on_removed_stop(void *opaque, const struct dev *dev, const char *why)
{
	struct rig *r = opaque;

	on_removed(opaque, dev, why);
	loop_post(r->vm->loop, stop, r->vm);
}

static void test_a_guest_that_never_answers(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.vm->removed = on_removed_stop;
	driver_binds(&r);
	driver_isr(&r);
	assert_int_equal(dev_unplug(&r.a->pdev.dev, 3600000, "test"), 0);
	assert_int_equal(dev_unplug(&r.a->pdev.dev, 20, "shorter"), 0);
	assert_int_equal(dev_unplug(&r.a->pdev.dev, 3600000, "not longer"), 0);
	assert_int_equal(loop_run(r.vm->loop, NULL), 0);
	assert_int_equal(r.removed, 1);
	assert_non_null(strstr(r.log, "did not let go of it in time (test)"));
	assert_int_equal(driver_isr(&r),
			 PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
	assert_gone(&r);
	rig_free(r.vm);
}

static void test_surprise_asks_nobody(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	driver_binds(&r);
	driver_isr(&r);
	messages(&r);
	assert_int_equal(dev_unplug(&r.a->pdev.dev, 0, "test"), 0);
	loop_turn(&r);
	assert_int_equal(messages(&r), 1);
	assert_int_equal(driver_isr(&r), PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
	assert_gone(&r);
	/* What pciehp does then: power off, which changes nothing any more. */
	driver_power(&r, false);
	loop_turn(&r);
	assert_int_equal(driver_isr(&r), PCI_EXP_SLTSTA_CC);
	assert_int_equal(r.removed, 1);
	rig_free(r.vm);
}

static void test_the_guest_restarts_meanwhile(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	driver_binds(&r);
	dev_unplug(&r.a->pdev.dev, 60000, "test");
	loop_turn(&r);
	driver_power(&r, false); /* the loop does not get to it before the restart */
	dev_unplug_all(r.vm);
	dev_reset_all(r.vm);
	assert_int_equal(r.removed, 1);
	assert_gone(&r);
	/* An empty slot as after power-on: off, no event, no interrupt. */
	assert_int_equal(slot_status(&r), 0);
	assert_int_equal(rd(&r, pcie(&r, PCI_EXP_SLTCTL), 2), PCI_EXP_SLTCTL_PCC |
								      PCI_EXP_SLTCTL_PWR_IND_OFF |
								      PCI_EXP_SLTCTL_ATTN_IND_OFF);
	loop_turn(&r);
	assert_int_equal(slot_status(&r), 0);
	rig_free(r.vm);
}

static void test_the_guest_switches_its_slot_off_and_on(void **state)
{
	struct rig r;
	uint64_t at;

	(void)state;
	rig_open(&r);
	at = pci_bar_addr(&r.a->pdev, 0);
	driver_binds(&r);
	driver_isr(&r);
	driver_power(&r, false);
	loop_turn(&r);
	assert_int_equal(r.a->resets, 1);
	assert_true(slot_status(&r) & PCI_EXP_SLTSTA_PDS);
	assert_int_equal(rd(&r, ecam(1, 0, 0), 4), 0xffffffff);
	driver_isr(&r);
	driver_power(&r, true);
	assert_false(link_active(&r));
	loop_turn(&r);
	assert_true(link_active(&r));
	assert_int_equal(driver_isr(&r), PCI_EXP_SLTSTA_CC | PCI_EXP_SLTSTA_DLLSC);
	/* Nobody has programmed it. */
	assert_int_equal(rd(&r, ecam(1, 0, 0), 4), 0x56781234);
	assert_int_equal(rd(&r, ecam(1, 0, PCI_COMMAND), 2), 0);
	assert_int_equal(rd(&r, ecam(1, 0, PCI_BASE_ADDRESS_0), 4), 0);
	assert_int_equal(rd(&r, at, 4), 0xffffffff);
	wr(&r, ecam(1, 0, PCI_BASE_ADDRESS_0), 4, at);
	wr(&r, ecam(1, 0, PCI_COMMAND), 2, PCI_COMMAND_MEMORY);
	assert_int_equal(rd(&r, at, 4), 0xca00);
	assert_int_equal(r.removed, 0);
	/* A restart is firmware's again. */
	dev_reset_all(r.vm);
	assert_int_equal(rd(&r, ecam(1, 0, PCI_COMMAND), 2), 3);
	assert_int_equal(rd(&r, at, 4), 0xca00);
	rig_free(r.vm);
}

/* What the loop had still to do for the old guest is not done to the new one. */
static void test_a_restart_with_the_slot_off(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	driver_power(&r, false);
	dev_reset_all(r.vm);
	loop_turn(&r);
	assert_int_equal(r.a->resets, 1);
	assert_true(link_active(&r));
	assert_int_equal(slot_status(&r), PCI_EXP_SLTSTA_PDS);
	assert_int_equal(rd(&r, pci_bar_addr(&r.a->pdev, 0), 4), 0xca00);
	rig_free(r.vm);
}

static void test_secondary_bus_reset(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	wr(&r, bridge(&r, PCI_BRIDGE_CONTROL), 2, PCI_BRIDGE_CTL_BUS_RESET);
	assert_int_equal(rd(&r, ecam(1, 0, 0), 4), 0xffffffff);
	wr(&r, bridge(&r, PCI_BRIDGE_CONTROL), 2, 0);
	loop_turn(&r);
	assert_int_equal(r.a->resets, 1);
	assert_int_equal(r.b->resets, 0);
	assert_true(link_active(&r));
	assert_int_equal(rd(&r, ecam(1, 0, 0), 4), 0x56781234);
	rig_free(r.vm);
}

static void test_functions_of_one_slot_go_together(void **state)
{
	struct card *second, *third;
	struct vm *vm = rig_new(4 * MIB);
	struct rig r = { .vm = vm };
	struct err err = { 0 };

	(void)state;
	vm->removed = on_removed;
	vm->removed_opaque = &r;
	r.a = card_new(vm, "f0", NULL, 0);
	second = card_new(vm, "f1", &r.a->pdev, 1);
	card_refused(vm, &r.a->pdev, 1, -EBUSY);
	third = card_new(vm, "f7", &r.a->pdev, 7);
	r.port = r.a->pdev.port;
	assert_ptr_equal(third->pdev.port, r.port);
	assert_int_equal(pci_root_place(vm->pci, &err), 0);
	assert_int_equal(rd(&r, ecam(1, 0, PCI_HEADER_TYPE), 1), 0x80);
	assert_int_equal(rd(&r, ecam(1, 7, PCI_HEADER_TYPE), 1), 0x80);
	assert_int_equal(rd(&r, ecam(1, 1, 0), 4), 0x56781234);
	assert_int_equal(rd(&r, pci_bar_addr(&third->pdev, 2), 4), 0xca02);
	assert_int_not_equal(pci_bar_addr(&third->pdev, 2), pci_bar_addr(&second->pdev, 2));
	driver_binds(&r);
	dev_unplug(&second->pdev.dev, 60000, "test");
	loop_turn(&r);
	driver_power(&r, false);
	loop_turn(&r);
	assert_int_equal(r.removed, 3);
	assert_true(pci_port_empty(r.port));
	rig_free(vm);
}

static void test_arrival_in_an_empty_port(void **state)
{
	struct card *c;
	struct rig r;

	(void)state;
	rig_open(&r);
	driver_binds(&r);
	card_refused(r.vm, NULL, 0, -ENOSPC); /* no port is empty */
	dev_unplug(&r.a->pdev.dev, 0, "test");
	loop_turn(&r);
	driver_power(&r, false);
	driver_isr(&r);
	messages(&r);
	c = card_new(r.vm, "c", NULL, 0);
	assert_ptr_equal(c->pdev.port, r.port);
	card_new(r.vm, "d", &c->pdev, 1);
	assert_false(slot_status(&r) & PCI_EXP_SLTSTA_PDS);
	loop_turn(&r);
	assert_int_equal(messages(&r), 1);
	assert_true(slot_status(&r) & PCI_EXP_SLTSTA_PDS);
	assert_int_equal(driver_isr(&r), PCI_EXP_SLTSTA_PDC);
	assert_false(link_active(&r));
	driver_power(&r, true);
	loop_turn(&r);
	assert_int_equal(driver_isr(&r), PCI_EXP_SLTSTA_CC | PCI_EXP_SLTSTA_DLLSC);
	assert_true(link_active(&r));
	assert_int_equal(rd(&r, ecam(1, 0, 0), 4), 0x56781234);
	assert_int_equal(rd(&r, ecam(1, 1, PCI_HEADER_TYPE), 1), 0x80);
	assert_int_equal(rd(&r, ecam(1, 0, PCI_BASE_ADDRESS_0), 4), 0);
	/* The windows are still there, and lead to where the guest puts it. */
	wr(&r, ecam(1, 0, PCI_BASE_ADDRESS_0), 4, rd(&r, bridge(&r, PCI_MEMORY_BASE), 2) << 16);
	wr(&r, ecam(1, 0, PCI_COMMAND), 2, PCI_COMMAND_MEMORY);
	assert_int_equal(rd(&r, rd(&r, bridge(&r, PCI_MEMORY_BASE), 2) << 16, 4), 0xca00);
	rig_free(r.vm);
}

static unsigned int open_fds(void)
{
	unsigned int fd, n = 0;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl((int)fd, F_GETFD) >= 0;
	return n;
}

/* The guest puts the card to use: BARs, MSI-X with one vector. */
static void card_used(struct rig *r, struct card *c)
{
	uint64_t window = (rd(r, bridge(r, PCI_MEMORY_BASE), 2) << 16) + 0x80000;

	wr(r, ecam(1, 0, PCI_BASE_ADDRESS_4), 4, window);
	wr(r, ecam(1, 0, PCI_BASE_ADDRESS_2), 4, rd(r, bridge(r, PCI_PREF_MEMORY_BASE), 2) << 16);
	wr(r, ecam(1, 0, PCI_BASE_ADDRESS_3), 4, rd(r, bridge(r, PCI_PREF_BASE_UPPER32), 4));
	wr(r, ecam(1, 0, PCI_COMMAND), 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	wr(r, ecam(1, 0, c->pdev.msix.cap + PCI_MSIX_FLAGS), 2, PCI_MSIX_FLAGS_ENABLE);
	wr(r, window, 8, 0xfee00000);
	wr(r, window + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
	irqs_flush(&r->vm->irqs);
	assert_true(pci_vector_fd(&c->pdev, 0) >= 0);
	assert_true(c->part.slot > 0);
}

static void test_a_thousand_rounds_leak_nothing(void **state)
{
	unsigned int i, fds = 0, gsis = 0, irqfds = 0, promised = 0, slots = 0;
	struct rig r;

	(void)state;
	rig_open(&r);
	driver_binds(&r);
	for (i = 0; i < 1000; i++) {
		card_used(&r, r.a);
		pci_intx_set(&r.a->pdev, true);
		dev_unplug(&r.a->pdev.dev, i % 2 ? 0 : 60000, "test");
		loop_turn(&r);
		driver_power(&r, false);
		loop_turn(&r);
		driver_isr(&r);
		assert_int_equal(r.removed, i + 1);
		if (!i) {
			fds = open_fds();
			gsis = r.vm->irqs.gsi_top;
			irqfds = fake_kvm_irqfds();
			slots = fake_kvm_slots();
			promised = r.vm->irqs.promised;
		}
		assert_int_equal(open_fds(), fds);
		assert_int_equal(r.vm->irqs.gsi_top, gsis);
		assert_int_equal(fake_kvm_irqfds(), irqfds);
		assert_int_equal(fake_kvm_slots(), slots);
		assert_int_equal(r.vm->irqs.promised, promised);
		r.log[0] = '\0';
		r.a = card_new(r.vm, "a", NULL, 0);
		assert_ptr_equal(r.a->pdev.port, r.port);
		loop_turn(&r);
		driver_power(&r, true);
		loop_turn(&r);
		assert_true(link_active(&r));
	}
	rig_free(r.vm);
	assert_int_equal(fake_kvm_irqfds(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_removal_in_order),
		cmocka_unit_test(test_link_disable_lets_go_too),
		cmocka_unit_test(test_a_guest_that_never_answers),
		cmocka_unit_test(test_surprise_asks_nobody),
		cmocka_unit_test(test_the_guest_restarts_meanwhile),
		cmocka_unit_test(test_the_guest_switches_its_slot_off_and_on),
		cmocka_unit_test(test_a_restart_with_the_slot_off),
		cmocka_unit_test(test_secondary_bus_reset),
		cmocka_unit_test(test_functions_of_one_slot_go_together),
		cmocka_unit_test(test_arrival_in_an_empty_port),
		cmocka_unit_test(test_a_thousand_rounds_leak_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
