// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Root ports and a guest that writes anything to them, while functions come and go: one byte picks
 * what happens next, those behind it are its operands. What must hold: a BAR is mapped only where
 * its port leads, and after a restart all that is still there is where firmware put it.
 */
#include "fuzz.h"

#include <linux/pci_regs.h>
#include <stdlib.h>

#include "core_rig.h"
#include "vmm/pci_port.h"
#include "vmm/types.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

#define CARDS_MAX 16
#define FIRST_CARDS 3 /* of which two share a slot */

enum op { OP_PORT, OP_SLOT, OP_FUNCTION, OP_MEMORY, OP_LOOP, OP_UNPLUG, OP_PLUG, OP_RESTART, OPS };

struct card {
	struct pci_dev pdev;
};

static uint64_t card_read(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size)
{
	(void)dev;
	(void)range;
	(void)offset;
	return all_ones(size);
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
	pci_bar_set(pdev, 0, PCI_BAR_MEM32, false, 0x4000);
	pci_bar_set(pdev, 1, PCI_BAR_IO, false, 0x40);
	pci_bar_set(pdev, 2, PCI_BAR_MEM64, true, MIB);
	pci_intx_enable(pdev, true);
	pci_cap_pcie(pdev);
	ret = pci_msix_init(pdev, 0, 4, 0, 0x2000, 0, 0x3000, err);
	return ret ? ret : pci_dev_plug(pdev, err);
}

static void card_destroy(struct dev *dev)
{
	pci_dev_unplug(to_pci(dev));
}

static void card_reset(struct dev *dev)
{
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

struct fuzz {
	struct fuzz_input in;
	struct vm *vm;
	unsigned int made;
};

static struct pci_dev *card_add(struct fuzz *f, struct pci_dev *beside, unsigned int function)
{
	struct dev *dev;

	MUST(!dev_new(f->vm, &card_class, "card", &dev, NULL));
	to_pci(dev)->behind_port = true;
	to_pci(dev)->beside = beside;
	to_pci(dev)->function = (uint8_t)function;
	if (dev_add(dev, NULL))
		return NULL;
	f->made++;
	return to_pci(dev);
}

/* The @n-th function behind a port, or NULL. */
static struct pci_dev *card_pick(struct fuzz *f, unsigned int n)
{
	struct pci_dev *pdev;

	for (pdev = f->vm->pci->functions; pdev; pdev = pdev->root_next)
		if (pdev->port && !n--)
			return pdev;
	return NULL;
}

static struct pci_port *port_pick(struct fuzz *f)
{
	struct pci_port *port = f->vm->pci->root_ports;

	return fuzz_u8(&f->in) & 1 ? port->next : port;
}

static void config_access(struct fuzz *f, unsigned int bus, unsigned int devfn, unsigned int reg)
{
	uint64_t addr = GPA_ECAM_BASE | bus << 20 | devfn << 12 | (reg & 0xfff);
	uint64_t value = fuzz_u16(&f->in);
	unsigned int size = 1u << fuzz_u8(&f->in) % 4;

	value |= value << (fuzz_u8(&f->in) % 48);
	bus_access(&f->vm->bus, BUS_MMIO, addr, &value, size, fuzz_u8(&f->in) & 3);
}

static void memory_access(struct fuzz *f)
{
	const struct pci_dev *pdev = card_pick(f, fuzz_u8(&f->in) % 4);
	uint64_t value = fuzz_u16(&f->in);
	const struct pci_bar *b;

	if (!pdev)
		return;
	b = &pdev->bars[fuzz_u8(&f->in) % PCI_BARS];
	bus_access(&f->vm->bus, b->kind == PCI_BAR_IO ? BUS_PIO : BUS_MMIO,
		   b->want_addr + fuzz_u16(&f->in), &value, 4, value & 1);
}

static void check_maps(struct fuzz *f)
{
	const struct pci_dev *pdev;
	unsigned int i;

	for (pdev = f->vm->pci->functions; pdev; pdev = pdev->root_next) {
		for (i = 0; i < PCI_BAR_COUNT && pdev->port; i++) {
			const struct pci_bar *b = &pdev->bars[i];

			if (!b->range.mapped)
				continue;
			MUST(b->want && b->range.base == b->want_addr);
			MUST(pci_port_forwards(pdev->port, b->kind == PCI_BAR_IO, b->want_addr,
					       b->size));
		}
	}
}

static void restart(struct fuzz *f)
{
	const struct pci_port *port;
	const struct pci_dev *pdev;
	unsigned int bus = 0, n;

	dev_unplug_all(f->vm);
	dev_reset_all(f->vm);
	loop_do_posted(f->vm->loop);
	for (port = f->vm->pci->root_ports; port; port = port->next) {
		MUST(port->link == !pci_port_empty(port) && port->link == port->present);
		MUST(port->secondary == ++bus);
	}
	for (n = 0; (pdev = card_pick(f, n)); n++) {
		uint64_t addr = GPA_ECAM_BASE | pci_dev_bus(pdev) << 20 | pdev->devfn << 12;
		uint32_t id = 0;

		bus_access(&f->vm->bus, BUS_MMIO, addr, &id, 4, false);
		MUST(le32toh(id) == 0x56781234);
		MUST(!pdev->bars[0].place || (pdev->bars[0].range.mapped &&
					      pdev->bars[0].range.base == pdev->bars[0].place));
	}
}

static void step(struct fuzz *f)
{
	struct pci_port *port = port_pick(f);
	unsigned int at = port->pdev.devfn;
	struct pci_dev *pdev;

	switch (fuzz_u8(&f->in) % OPS) {
	case OP_PORT:
		config_access(f, 0, at, fuzz_u8(&f->in));
		break;
	case OP_SLOT:
		config_access(f, 0, at, port->cap + PCI_EXP_LNKCTL + fuzz_u8(&f->in) % 16);
		break;
	case OP_FUNCTION:
		config_access(f, fuzz_u8(&f->in) % 4, fuzz_u8(&f->in) % 10, fuzz_u8(&f->in));
		break;
	case OP_MEMORY:
		memory_access(f);
		break;
	case OP_LOOP:
		loop_do_posted(f->vm->loop);
		break;
	case OP_UNPLUG:
		pdev = card_pick(f, fuzz_u8(&f->in) % 4);
		if (pdev)
			dev_unplug(&pdev->dev, fuzz_u8(&f->in) & 1 ? 60000 : 0, "fuzz");
		break;
	case OP_PLUG:
		if (f->made < CARDS_MAX)
			card_add(f, card_pick(f, fuzz_u8(&f->in) % 4), fuzz_u8(&f->in) % 9);
		break;
	case OP_RESTART:
		restart(f);
		break;
	}
	check_maps(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .in = { data, size }, .vm = rig_new(MIB) };
	struct pci_dev *first = card_add(&f, NULL, 0);

	MUST(first && card_add(&f, first, 1) && card_add(&f, NULL, 0) && f.made == FIRST_CARDS);
	MUST(!pci_root_place(f.vm->pci, NULL));
	while (f.in.left)
		step(&f);
	restart(&f);
	rig_free(f.vm);
	MUST(!fake_kvm_irqfds() && !fake_kvm_doorbells());
	return 0;
}
