// SPDX-License-Identifier: GPL-2.0-or-later
/* Root ports: buses, windows, and removal and arrival with the registers driven as Linux's pciehp
 * drives them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "core_rig.h"
#include "vmm/pci_port.h"
#include "vmm/types.h"

struct card {
	struct pci_dev pdev;
	unsigned int resets;
	uint8_t exp;
};

static struct card *to_card(struct dev *dev)
{
	return (struct card *)(void *)dev;
}

static uint64_t card_read(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size)
{
	(void)dev;
	(void)offset;
	(void)size;
	return 0xca00 + range;
}

static void card_write(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	(void)dev;
	(void)range;
	(void)offset;
	(void)size;
	(void)value;
}

static int card_realize(struct dev *dev, struct err *err)
{
	struct pci_dev *pdev = to_pci(dev);
	int ret;

	pci_dev_init(pdev, 0x1234, 0x5678, 0xff000000, 0, 0, PCIE_CONFIG_SIZE);
	pci_bar_set(pdev, 0, PCI_BAR_MEM32, false, 0x2000);
	pci_bar_set(pdev, 1, PCI_BAR_IO, false, 0x40);
	pci_bar_set(pdev, 2, PCI_BAR_MEM64, true, 4 * MIB);
	pci_bar_set(pdev, 4, PCI_BAR_MEM64, false, 0x1000);
	pci_intx_enable(pdev, true);
	pdev->link = (struct pci_link){ 3, 8 };
	to_card(dev)->exp = pci_cap_pcie(pdev);
	ret = pci_msix_init(pdev, 0, 4, 4, 0, 4, 0x800, err);
	return ret ? ret : pci_dev_plug(pdev, err);
}

static void card_destroy(struct dev *dev)
{
	pci_dev_unplug(to_pci(dev));
}

static void card_reset(struct dev *dev)
{
	to_card(dev)->resets++;
	pci_dev_reset(to_pci(dev));
}

static const struct pci_ops card_pci_ops = { 0 };
static const struct dev_class card_class = {
	.name = "card",
	.size = sizeof(struct card),
	.pci = &card_pci_ops,
	.realize = card_realize,
	.destroy = card_destroy,
	.reset = card_reset,
	.read = card_read,
	.write = card_write,
};

/* Two cards, each behind a port of its own, and what the front end heard. */
struct rig {
	struct vm *vm;
	struct card *a, *b;
	struct pci_port *port;
	unsigned int removed;
	char log[4096];
	struct log sink;
};

static struct dev *card_make(struct vm *vm, const char *id, struct pci_dev *beside,
			     unsigned int function)
{
	struct dev *dev = NULL;

	assert_int_equal(dev_new(vm, &card_class, id, &dev, NULL), 0);
	to_pci(dev)->behind_port = true;
	to_pci(dev)->beside = beside;
	to_pci(dev)->function = (uint8_t)function;
	return dev;
}

static struct card *card_new(struct vm *vm, const char *id, struct pci_dev *beside,
			     unsigned int function)
{
	struct dev *dev = card_make(vm, id, beside, function);
	struct err err = { 0 };

	if (dev_add(dev, &err))
		fail_msg("%s", err.msg);
	return to_card(dev);
}

static void card_refused(struct vm *vm, struct pci_dev *beside, unsigned int function, int code)
{
	assert_int_equal(dev_add(card_make(vm, "refused", beside, function), NULL), code);
}

static void on_removed(void *opaque, const struct dev *dev, const char *why)
{
	struct rig *r = opaque;

	assert_true(dev->removed);
	assert_string_equal(why, "test");
	r->removed++;
}

static void on_log(void *opaque, enum log_level level, const char *line)
{
	struct rig *r = opaque;

	(void)level;
	strncat(r->log, line, sizeof(r->log) - strlen(r->log) - 1);
}

static void rig_open(struct rig *r)
{
	struct err err = { 0 };

	memset(r, 0, sizeof(*r));
	r->vm = rig_new(4 * MIB);
	r->sink = (struct log){ .sink = on_log, .opaque = r, .max = LOG_DEBUG };
	r->vm->log = &r->sink;
	r->vm->removed = on_removed;
	r->vm->removed_opaque = r;
	r->a = card_new(r->vm, "a", NULL, 0);
	r->b = card_new(r->vm, "b", NULL, 0);
	r->port = r->a->pdev.port;
	if (pci_root_place(r->vm->pci, &err))
		fail_msg("%s", err.msg);
}

static uint64_t rd(struct rig *r, uint64_t addr, unsigned int size)
{
	uint64_t v = 0;

	bus_access(&r->vm->bus, BUS_MMIO, addr, &v, size, false);
	return v;
}

static void wr(struct rig *r, uint64_t addr, unsigned int size, uint64_t v)
{
	bus_access(&r->vm->bus, BUS_MMIO, addr, &v, size, true);
}

static uint64_t ecam(unsigned int bus, unsigned int devfn, unsigned int reg)
{
	return GPA_ECAM_BASE | bus << 20 | devfn << 12 | reg;
}

/* The port's own registers; pcie() for those of its PCI Express capability. */
static uint64_t bridge(const struct rig *r, unsigned int reg)
{
	return ecam(0, r->port->pdev.devfn, reg);
}

static uint64_t pcie(const struct rig *r, unsigned int reg)
{
	return bridge(r, r->port->cap + reg);
}

static uint16_t slot_status(struct rig *r)
{
	return (uint16_t)rd(r, pcie(r, PCI_EXP_SLTSTA), 2);
}

static bool link_active(struct rig *r)
{
	return rd(r, pcie(r, PCI_EXP_LNKSTA), 2) & PCI_EXP_LNKSTA_DLLLA;
}

static void loop_turn(struct rig *r)
{
	loop_do_posted(r->vm->loop);
}

/* pcie_init() and pcie_enable_notification() of Linux: MSI on, events cleared, events on. */
static void driver_binds(struct rig *r)
{
	unsigned int msi = r->port->pdev.msi.cap;

	wr(r, bridge(r, msi + PCI_MSI_ADDRESS_LO), 4, 0xfee00000);
	wr(r, bridge(r, msi + PCI_MSI_DATA_32), 2, 0x41);
	wr(r, bridge(r, msi + PCI_MSI_FLAGS), 2, PCI_MSI_FLAGS_ENABLE);
	irqs_flush(&r->vm->irqs);
	wr(r, pcie(r, PCI_EXP_SLTSTA), 2, 0xffff);
	wr(r, pcie(r, PCI_EXP_SLTCTL), 2,
	   rd(r, pcie(r, PCI_EXP_SLTCTL), 2) | PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PDCE |
		   PCI_EXP_SLTCTL_DLLSCE | PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_CCIE);
}

/* Messages since last asked. */
static uint64_t messages(struct rig *r)
{
	return io_eventfd_drain(pci_vector_fd(&r->port->pdev, 0));
}

/* pciehp_isr(): reads and clears the events until there are none. */
static uint16_t driver_isr(struct rig *r)
{
	uint16_t all = 0, now;

	do {
		now = slot_status(r) & (PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PDC |
					PCI_EXP_SLTSTA_DLLSC | PCI_EXP_SLTSTA_CC);
		wr(r, pcie(r, PCI_EXP_SLTSTA), 2, now);
		all |= now;
	} while (now);
	return all;
}

/* pciehp_power_off_slot(), pciehp_power_on_slot(). */
static void driver_power(struct rig *r, bool on)
{
	uint16_t control = (uint16_t)rd(r, pcie(r, PCI_EXP_SLTCTL), 2);

	control &= (uint16_t)~PCI_EXP_SLTCTL_PCC;
	wr(r, pcie(r, PCI_EXP_SLTCTL), 2, control | (on ? 0 : PCI_EXP_SLTCTL_PCC));
}

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
	uint64_t at;

	(void)state;
	rig_open(&r);
	at = pci_bar_addr(&r.a->pdev, 0);
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
	wr(r, ecam(1, 0, PCI_COMMAND), 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	wr(r, ecam(1, 0, c->pdev.msix.cap + PCI_MSIX_FLAGS), 2, PCI_MSIX_FLAGS_ENABLE);
	wr(r, window, 8, 0xfee00000);
	wr(r, window + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
	irqs_flush(&r->vm->irqs);
	assert_true(pci_vector_fd(&c->pdev, 0) >= 0);
}

static void test_a_thousand_rounds_leak_nothing(void **state)
{
	unsigned int i, fds = 0, gsis = 0, irqfds = 0, promised = 0;
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
			promised = r.vm->irqs.promised;
		}
		assert_int_equal(open_fds(), fds);
		assert_int_equal(r.vm->irqs.gsi_top, gsis);
		assert_int_equal(fake_kvm_irqfds(), irqfds);
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
		cmocka_unit_test(test_every_register_at_any_width),
		cmocka_unit_test(test_windows_are_aligned_for_what_is_in_them),
		cmocka_unit_test(test_windows_that_cannot_be_had),
		cmocka_unit_test(test_more_ports_than_io_windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
