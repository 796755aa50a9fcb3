/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two cards behind a port each, and the port's registers driven as Linux's pciehp drives them. */
#ifndef VIADUCT_TESTS_PORT_RIG_H
#define VIADUCT_TESTS_PORT_RIG_H

#include "core_rig.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/io.h"
#include "vmm/pci_port.h"
#include "vmm/types.h"

struct card {
	struct pci_dev pdev;
	unsigned int resets;
	uint8_t exp;
	struct mem_part part; /* a page of BAR 2 that the guest reaches by itself */
};

#define PART_AT 0x1000

static inline struct card *to_card(struct dev *dev)
{
	return (struct card *)(void *)dev;
}

static inline uint64_t card_read(struct dev *dev, unsigned int range, uint64_t offset,
				 unsigned int size)
{
	(void)dev;
	(void)offset;
	(void)size;
	return 0xca00 + range;
}

static inline void card_write(struct dev *dev, unsigned int range, uint64_t offset,
			      unsigned int size, uint64_t value)
{
	(void)dev;
	(void)range;
	(void)offset;
	(void)size;
	(void)value;
}

static inline int card_realize(struct dev *dev, struct err *err)
{
	struct pci_dev *pdev = to_pci(dev);
	int ret;

	pci_dev_init(pdev, 0x1234, 0x5678, 0xff000000, 0, 0, PCIE_CONFIG_SIZE);
	pci_bar_set(pdev, 0, PCI_BAR_MEM32, false, 0x2000);
	pci_bar_set(pdev, 1, PCI_BAR_IO, false, 0x40);
	pci_bar_set(pdev, 2, PCI_BAR_MEM64, true, 4 * MIB);
	pci_bar_set(pdev, 4, PCI_BAR_MEM64, false, 0x1000);
	to_card(dev)->part = (struct mem_part){
		.offset = PART_AT,
		.size = 0x1000,
		.hva = mmap(NULL, 0x1000, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	};
	pdev->bars[2].range.parts = &to_card(dev)->part;
	pdev->bars[2].range.part_count = 1;
	pci_intx_enable(pdev, true);
	pdev->link = (struct pci_link){ 3, 8 };
	to_card(dev)->exp = pci_cap_pcie(pdev);
	ret = pci_msix_init(pdev, 0, 4, 4, 0, 4, 0x800, err);
	return ret ? ret : pci_dev_plug(pdev, err);
}

static inline void card_destroy(struct dev *dev)
{
	pci_dev_unplug(to_pci(dev));
	munmap(to_card(dev)->part.hva, to_card(dev)->part.size);
}

static inline void card_reset(struct dev *dev)
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

static inline struct dev *card_make(struct vm *vm, const char *id, struct pci_dev *beside,
				    unsigned int function)
{
	struct dev *dev = NULL;

	assert_int_equal(dev_new(vm, &card_class, id, &dev, NULL), 0);
	to_pci(dev)->behind_port = true;
	to_pci(dev)->beside = beside;
	to_pci(dev)->function = (uint8_t)function;
	return dev;
}

static inline struct card *card_new(struct vm *vm, const char *id, struct pci_dev *beside,
				    unsigned int function)
{
	struct dev *dev = card_make(vm, id, beside, function);
	struct err err = { 0 };

	if (dev_add(dev, &err))
		fail_msg("%s", err.msg);
	return to_card(dev);
}

static inline void card_refused(struct vm *vm, struct pci_dev *beside, unsigned int function,
				int code)
{
	assert_int_equal(dev_add(card_make(vm, "refused", beside, function), NULL), code);
}

static inline void on_removed(void *opaque, const struct dev *dev, const char *why)
{
	struct rig *r = opaque;

	assert_true(dev->removed);
	assert_string_equal(why, "test");
	r->removed++;
}

static inline void on_log(void *opaque, enum log_level level, const char *line)
{
	struct rig *r = opaque;

	(void)level;
	strncat(r->log, line, sizeof(r->log) - strlen(r->log) - 1);
}

static inline void rig_open(struct rig *r)
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

static inline uint64_t rd(struct rig *r, uint64_t addr, unsigned int size)
{
	uint64_t v = 0;

	bus_access(&r->vm->bus, BUS_MMIO, addr, &v, size, false);
	return v;
}

static inline void wr(struct rig *r, uint64_t addr, unsigned int size, uint64_t v)
{
	bus_access(&r->vm->bus, BUS_MMIO, addr, &v, size, true);
}

static inline uint64_t ecam(unsigned int bus, unsigned int devfn, unsigned int reg)
{
	return GPA_ECAM_BASE | bus << 20 | devfn << 12 | reg;
}

/* The port's own registers; pcie() for those of its PCI Express capability. */
static inline uint64_t bridge(const struct rig *r, unsigned int reg)
{
	return ecam(0, r->port->pdev.devfn, reg);
}

static inline uint64_t pcie(const struct rig *r, unsigned int reg)
{
	return bridge(r, r->port->cap + reg);
}

static inline uint16_t slot_status(struct rig *r)
{
	return (uint16_t)rd(r, pcie(r, PCI_EXP_SLTSTA), 2);
}

static inline bool link_active(struct rig *r)
{
	return rd(r, pcie(r, PCI_EXP_LNKSTA), 2) & PCI_EXP_LNKSTA_DLLLA;
}

static inline void loop_turn(struct rig *r)
{
	loop_do_posted(r->vm->loop);
}

/* pcie_init() and pcie_enable_notification() of Linux: MSI on, events cleared, events on. */
static inline void driver_binds(struct rig *r)
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
static inline uint64_t messages(struct rig *r)
{
	return io_eventfd_drain(pci_vector_fd(&r->port->pdev, 0));
}

/* pciehp_isr(): reads and clears the events until there are none. */
static inline uint16_t driver_isr(struct rig *r)
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
static inline void driver_power(struct rig *r, bool on)
{
	uint16_t control = (uint16_t)rd(r, pcie(r, PCI_EXP_SLTCTL), 2);

	control &= (uint16_t)~PCI_EXP_SLTCTL_PCC;
	wr(r, pcie(r, PCI_EXP_SLTCTL), 2, control | (on ? 0 : PCI_EXP_SLTCTL_PCC));
}

#endif
