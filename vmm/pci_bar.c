// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * BAR decoding.
 *
 * Where a BAR is follows from the COMMAND and BAR bytes alone (pci_bar_decode(), a pure function).
 * After any write to them the root recomputes: BARs of this function that moved or were switched
 * off are unmapped; then every BAR on the bus that wants to be somewhere and is not yet is tried.
 * A BAR on top of RAM or of another BAR stays unmapped until that place is free, and gets it then,
 * whichever of the two moved; so does one that the port above it does not lead to. Memory slots,
 * doorbells and DMA mappings follow within bus_map().
 */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "pci_priv.h"
#include "types.h"
#include "vm.h"

static enum bus_space pci_bar_space(const struct pci_bar *bar)
{
	return bar->kind == PCI_BAR_IO ? BUS_PIO : BUS_MMIO;
}

void pci_bar_set(struct pci_dev *pdev, unsigned int bar, enum pci_bar_kind kind, bool prefetch,
		 uint64_t size)
{
	struct pci_bar *b = &pdev->bars[bar];
	uint8_t *config = pdev->config + pci_bar_offset(bar);
	uint8_t *wmask = pdev->wmask + pci_bar_offset(bar);
	uint64_t least = kind == PCI_BAR_IO ? 4 : kind == PCI_BAR_ROM ? 2048 : 16, full = least;
	uint32_t flags = 0;

	while (full < size && full < BIT64(62))
		full <<= 1;
	if (kind == PCI_BAR_IO)
		flags = PCI_BASE_ADDRESS_SPACE_IO;
	if (kind == PCI_BAR_MEM64)
		flags = PCI_BASE_ADDRESS_MEM_TYPE_64;
	if (prefetch)
		flags |= PCI_BASE_ADDRESS_MEM_PREFETCH;
	b->kind = kind;
	b->prefetch = prefetch;
	b->size = full;
	b->range.dev = &pdev->dev;
	b->range.ops = &pci_bar_range_ops;
	b->range.index = bar;
	b->range.size = full;
	put_le32(config, flags);
	put_le32(wmask, (uint32_t)~(full - 1));
	if (kind == PCI_BAR_MEM64) {
		put_le32(config + 4, 0);
		put_le32(wmask + 4, (uint32_t)(~(full - 1) >> 32));
	}
	if (kind == PCI_BAR_ROM)
		wmask[0] |= PCI_ROM_ADDRESS_ENABLE;
}

/* The address that COMMAND and BAR bytes give, false when the BAR does not decode. */
static bool pci_bar_decode(const struct pci_dev *pdev, unsigned int bar, uint64_t *ret_addr)
{
	const uint8_t *config = pdev->config + pci_bar_offset(bar);
	uint16_t command = get_le16(pdev->config + PCI_COMMAND);
	const struct pci_bar *b = &pdev->bars[bar];
	uint64_t addr = get_le32(config), top = 1ull << 32;
	uint16_t need = PCI_COMMAND_MEMORY;

	if (pdev->asleep)
		return false;
	switch (b->kind) {
	case PCI_BAR_NONE:
		return false;
	case PCI_BAR_IO:
		need = PCI_COMMAND_IO;
		top = 0x10000;
		break;
	case PCI_BAR_MEM64:
		addr |= (uint64_t)get_le32(config + 4) << 32;
		top = 1ull << vcpu_phys_bits();
		break;
	case PCI_BAR_ROM:
		if (!(addr & PCI_ROM_ADDRESS_ENABLE))
			return false;
		break;
	case PCI_BAR_MEM32:
		break;
	}
	addr &= ~(b->size - 1);
	*ret_addr = addr;
	return (command & need) && addr && span_within(addr, b->size, top);
}

/* It decodes, and the port above it, if there is one, leads there. */
static bool pci_bar_reached(const struct pci_dev *pdev, const struct pci_bar *b)
{
	return b->want && (!pdev->port || pci_port_forwards(pdev->port, b->kind == PCI_BAR_IO,
							    b->want_addr, b->size));
}

static bool pci_bars_unmap(struct pci_dev *pdev)
{
	bool freed = false;
	unsigned int i;

	for (i = 0; i < PCI_BAR_COUNT; i++) {
		struct pci_bar *b = &pdev->bars[i];

		if (!b->range.mapped || (pci_bar_reached(pdev, b) && b->range.base == b->want_addr))
			continue;
		bus_unmap(&pdev->dev.vm->bus, &b->range);
		freed = true;
	}
	return freed;
}

static void pci_bars_map(struct pci_dev *pdev)
{
	struct vm *vm = pdev->dev.vm;
	unsigned int i;

	for (i = 0; i < PCI_BAR_COUNT && !vm->config.plan; i++) {
		struct pci_bar *b = &pdev->bars[i];
		struct err err = { 0 };

		if (b->range.mapped || !pci_bar_reached(pdev, b))
			continue;
		if (bus_map(&vm->bus, &b->range, pci_bar_space(b), b->want_addr, &err) &&
		    err.code != -EEXIST)
			log_limited(vm->log, &pdev->root->limit, LOG_WARN, "%s: BAR %u: %s",
				    pdev->dev.id, i, err.msg);
	}
}

static void pci_bars_map_all(struct pci_root *root)
{
	struct pci_dev *pdev;

	for (pdev = root->functions; pdev; pdev = pdev->root_next)
		pci_bars_map(pdev);
}

void pci_bars_update(struct pci_dev *pdev)
{
	struct pci_root *root = pdev->root;
	unsigned int i;
	bool freed;

	if (!root)
		return;
	pthread_mutex_lock(&root->lock);
	for (i = 0; i < PCI_BAR_COUNT; i++)
		pdev->bars[i].want = pci_bar_decode(pdev, i, &pdev->bars[i].want_addr);
	freed = pci_bars_unmap(pdev);
	pci_bars_map(pdev);
	if (freed)
		pci_bars_map_all(root);
	pthread_mutex_unlock(&root->lock);
}

void pci_bars_rerouted_locked(struct pci_port *port)
{
	struct pci_root *root = port->pdev.root;
	struct pci_dev *pdev;

	for (pdev = root->functions; pdev; pdev = pdev->root_next)
		if (pdev->port == port)
			pci_bars_unmap(pdev);
	pci_bars_map_all(root);
}

void pci_bars_retry(struct pci_root *root)
{
	pthread_mutex_lock(&root->lock);
	pci_bars_map_all(root);
	pthread_mutex_unlock(&root->lock);
}

void pci_bars_clear(struct pci_dev *pdev)
{
	uint16_t decode = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
	unsigned int i;

	put_le16(pdev->config + PCI_COMMAND,
		 (uint16_t)(get_le16(pdev->config + PCI_COMMAND) & ~decode));
	for (i = 0; i < PCI_BAR_COUNT; i++) {
		uint8_t *config = pdev->config + pci_bar_offset(i);
		const struct pci_bar *b = &pdev->bars[i];

		if (b->kind == PCI_BAR_NONE)
			continue;
		put_le32(config, get_le32(config) & (b->kind == PCI_BAR_ROM ? 0 : 0xf));
		if (b->kind == PCI_BAR_MEM64)
			put_le32(config + 4, 0);
	}
}

void pci_bars_forget(struct pci_dev *pdev)
{
	struct vm *vm = pdev->dev.vm;
	unsigned int i, p;

	for (i = 0; i < PCI_BAR_COUNT; i++) {
		struct range *range = &pdev->bars[i].range;

		pdev->bars[i].want = false;
		bus_unmap(&vm->bus, range);
		free(range->events);
		range->events = NULL;
		range->event_count = 0;
		for (p = 0; p < range->part_count; p++)
			mem_part_forget(&vm->mem, &range->parts[p]);
	}
}

static int pci_bar_events_set(struct pci_dev *pdev, struct range *range,
			      const struct range_event *events, unsigned int count, struct err *err)
{
	struct range_event *copy = count ? calloc(count, sizeof(*copy)) : NULL;
	struct bus *bus = &pdev->dev.vm->bus;

	bus_events_off(bus, range);
	free(range->events);
	range->events = copy;
	range->event_count = copy ? count : 0;
	if (count && !copy)
		return err_sys(err, -ENOMEM, "%s: doorbells", pdev->dev.id);
	if (copy)
		memcpy(copy, events, count * sizeof(*copy));
	return range->mapped ? bus_events_on(bus, range, err) : 0;
}

int pci_bar_events(struct pci_dev *pdev, unsigned int bar, const struct range_event *events,
		   unsigned int count, struct err *err)
{
	struct pci_root *root = pdev->root;
	int ret;

	if (root)
		pthread_mutex_lock(&root->lock);
	ret = pci_bar_events_set(pdev, &pdev->bars[bar].range, events, count, err);
	if (root)
		pthread_mutex_unlock(&root->lock);
	return ret;
}

static uint64_t pci_bar_read(struct range *range, uint64_t offset, unsigned int size)
{
	struct pci_dev *pdev = to_pci(range->dev);
	uint64_t value = 0;

	if (pci_msix_access(pdev, range->index, offset, size, &value, false))
		return value;
	if (!range->dev->class->read)
		return all_ones(size);
	return range->dev->class->read(range->dev, range->index, offset, size);
}

static void pci_bar_write(struct range *range, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pci_dev *pdev = to_pci(range->dev);

	if (pci_msix_access(pdev, range->index, offset, size, &value, true))
		return;
	if (range->dev->class->write)
		range->dev->class->write(range->dev, range->index, offset, size, value);
}

void pci_bars_trap(struct pci_dev *pdev, bool trap)
{
	struct pci_root *root = pdev->root;
	unsigned int i;

	if (!root || pdev->bars_trapped == trap)
		return;
	pthread_mutex_lock(&root->lock);
	for (i = 0; i < PCI_BAR_COUNT; i++) {
		struct err err = { 0 };

		if (bus_trap(&pdev->dev.vm->bus, &pdev->bars[i].range, trap, &err))
			log_limited(pdev->dev.vm->log, &pdev->limit, LOG_WARN,
				    "%s: BAR %u: each access is an exit from now on: %s",
				    pdev->dev.id, i, err.msg);
	}
	pdev->bars_trapped = trap;
	pthread_mutex_unlock(&root->lock);
}

static bool pci_bar_fault(struct range *range, bool known)
{
	struct pci_dev *pdev = to_pci(range->dev);
	const struct pci_ops *ops = pdev->dev.class->pci;

	if (!known && !(ops->bars_lost && ops->bars_lost(pdev)))
		return false;
	pci_bars_trap(pdev, true);
	return true;
}

const struct range_ops pci_bar_range_ops = {
	.read = pci_bar_read,
	.write = pci_bar_write,
	.fault = pci_bar_fault,
};
