// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * BAR decoding.
 *
 * Where a BAR is follows from the COMMAND and BAR bytes alone (pci_bar_decode(), a pure function).
 * After any write to them the root recomputes: BARs of this function that moved or were switched
 * off are unmapped; then every BAR on the bus that wants to be somewhere and is not yet is tried.
 * A BAR on top of RAM or of another BAR stays unmapped until that place is free, and gets it then,
 * whichever of the two moved. Memory slots, doorbells and DMA mappings follow within bus_map().
 */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "pci_priv.h"
#include "types.h"
#include "vm.h"

static unsigned int pci_bar_offset(unsigned int bar)
{
	return bar == PCI_ROM ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4 * bar;
}

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

static void pci_bar_try(struct pci_dev *pdev, unsigned int bar)
{
	struct pci_bar *b = &pdev->bars[bar];
	struct err err = { 0 };

	if (!b->want || b->range.mapped || pdev->dev.vm->config.plan)
		return;
	if (bus_map(&pdev->dev.vm->bus, &b->range, pci_bar_space(b), b->want_addr, &err) &&
	    err.code != -EEXIST)
		log_limited(pdev->dev.vm->log, &pdev->limit, LOG_WARN, "%s: BAR %u: %s",
			    pdev->dev.id, bar, err.msg);
}

void pci_bars_update(struct pci_dev *pdev)
{
	struct pci_root *root = pdev->root;
	bool freed = false;
	unsigned int i, slot;

	if (!root)
		return;
	pthread_mutex_lock(&root->lock);
	for (i = 0; i < PCI_BAR_COUNT; i++) {
		struct pci_bar *b = &pdev->bars[i];
		uint64_t addr = 0;

		b->want = pci_bar_decode(pdev, i, &addr);
		b->want_addr = addr;
		if (b->range.mapped && (!b->want || b->range.base != addr)) {
			bus_unmap(&pdev->dev.vm->bus, &b->range);
			freed = true;
		}
	}
	for (i = 0; i < PCI_BAR_COUNT; i++)
		pci_bar_try(pdev, i);
	for (slot = 0; slot < ARRAY_SIZE(root->slots) && freed; slot++)
		for (i = 0; i < PCI_BAR_COUNT && root->slots[slot]; i++)
			pci_bar_try(root->slots[slot], i);
	pthread_mutex_unlock(&root->lock);
}

void pci_bars_forget(struct pci_dev *pdev)
{
	struct vm *vm = pdev->dev.vm;
	unsigned int i, p;

	for (i = 0; i < PCI_BAR_COUNT; i++) {
		struct range *range = &pdev->bars[i].range;

		pdev->bars[i].want = false;
		bus_unmap(&vm->bus, range);
		for (p = 0; p < range->part_count; p++)
			mem_part_forget(&vm->mem, &range->parts[p]);
	}
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

uint64_t pci_bar_addr(const struct pci_dev *pdev, unsigned int bar)
{
	return pdev->bars[bar].place;
}

/* A window that addresses are taken from, upwards. */
struct pci_window {
	const char *name;
	uint64_t base, size, next;
};

static bool pci_window_take(struct pci_window *w, uint64_t size, uint64_t *ret_addr)
{
	uint64_t addr = align_up(w->next, size);

	if (addr < w->base || !span_within(addr - w->base, size, w->size))
		return false;
	w->next = addr + size;
	*ret_addr = addr;
	return true;
}

static void pci_bar_place(struct pci_dev *pdev, unsigned int bar, uint64_t addr)
{
	struct pci_bar *b = &pdev->bars[bar];
	uint8_t *config = pdev->config + pci_bar_offset(bar);
	uint16_t command = get_le16(pdev->config + PCI_COMMAND);

	b->place = addr;
	put_le32(config, (get_le32(config) & 0xf) | (uint32_t)addr);
	if (b->kind == PCI_BAR_MEM64)
		put_le32(config + 4, (uint32_t)(addr >> 32));
	/* As firmware leaves it; a ROM is switched on by whoever reads it. */
	if (b->kind != PCI_BAR_ROM)
		command |= b->kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	put_le16(pdev->config + PCI_COMMAND, command);
}

struct pci_want {
	struct pci_dev *pdev;
	unsigned int bar;
	uint64_t size; /* what it takes of a window */
};

static int pci_want_cmp(const void *a, const void *b)
{
	const struct pci_want *x = a, *y = b;

	return x->size < y->size ? 1 : x->size > y->size ? -1 : 0;
}

static unsigned int pci_collect(struct pci_root *root, struct pci_want *wants)
{
	unsigned int slot, i, n = 0;

	for (slot = 0; slot < ARRAY_SIZE(root->slots); slot++) {
		for (i = 0; i < PCI_BAR_COUNT && root->slots[slot]; i++) {
			struct pci_bar *b = &root->slots[slot]->bars[i];

			if (b->kind == PCI_BAR_NONE)
				continue;
			wants[n].pdev = root->slots[slot];
			wants[n].bar = i;
			/* A page each, so that pages of two functions are never one. */
			wants[n].size = b->kind == PCI_BAR_IO ? MAX(b->size, 32u)
							      : MAX(b->size, 4096u);
			n++;
		}
	}
	qsort(wants, n, sizeof(*wants), pci_want_cmp);
	return n;
}

/* The 64-bit window: after RAM, aligned for its largest BAR, as large as the sum. */
static void pci_size_mem64(struct pci_root *root, struct pci_window *w, const struct pci_want *wants,
			   unsigned int n)
{
	const struct mem *mem = &root->dev.vm->mem;
	uint64_t top = GPA_HIGH_RAM, sum = 0, largest = GIB;
	uint64_t limit = 1ull << vcpu_phys_bits();
	unsigned int i;

	for (i = 0; i < mem->bank_count; i++)
		top = MAX(top, mem->banks[i].gpa + mem->banks[i].size);
	for (i = 0; i < n; i++) {
		if (wants[i].pdev->bars[wants[i].bar].kind != PCI_BAR_MEM64)
			continue;
		sum += wants[i].size;
		largest = MAX(largest, wants[i].size);
	}
	w->base = align_up(top, largest);
	w->size = align_up(sum, GIB);
	if (!span_within(w->base, w->size, limit))
		w->size = w->base < limit ? limit - w->base : 0;
	w->next = w->base;
	root->mem64_base = w->base;
	root->mem64_size = w->size;
}

static int pci_place_one(const struct pci_want *want, struct pci_window *io,
			 struct pci_window *mem32, struct pci_window *mem64, struct err *err)
{
	const struct pci_bar *b = &want->pdev->bars[want->bar];
	struct pci_window *w = b->kind == PCI_BAR_IO ? io : mem32;
	uint64_t addr;

	if (b->kind == PCI_BAR_MEM64 && pci_window_take(mem64, want->size, &addr)) {
		pci_bar_place(want->pdev, want->bar, addr);
		return 0;
	}
	if (!pci_window_take(w, want->size, &addr))
		return err_set(err, -ENOSPC,
			       "%s: BAR %u of 0x%llx bytes does not fit the %s window 0x%llx-0x%llx; "
			       "give the guest fewer or smaller devices",
			       want->pdev->dev.id, want->bar, (unsigned long long)b->size, w->name,
			       (unsigned long long)w->base,
			       (unsigned long long)(w->base + w->size - 1));
	pci_bar_place(want->pdev, want->bar, addr);
	return 0;
}

int pci_root_place(struct pci_root *root, struct err *err)
{
	struct pci_window io = { "I/O", PIO_PCI_BASE, PIO_PCI_SIZE, PIO_PCI_BASE };
	struct pci_window mem32 = { "32-bit", GPA_PCI32_BASE, GPA_PCI32_SIZE, GPA_PCI32_BASE };
	struct pci_window mem64 = { "64-bit", 0, 0, 0 };
	struct pci_want *wants = calloc(ARRAY_SIZE(root->slots) * PCI_BAR_COUNT, sizeof(*wants));
	unsigned int i, n;
	int ret = 0;

	if (!wants)
		return err_sys(err, -ENOMEM, "PCI windows");
	n = pci_collect(root, wants);
	pci_size_mem64(root, &mem64, wants, n);
	for (i = 0; i < n && !ret; i++)
		ret = pci_place_one(&wants[i], &io, &mem32, &mem64, err);
	free(wants);
	for (i = 0; i < ARRAY_SIZE(root->slots) && !ret; i++) {
		struct pci_dev *pdev = root->slots[i];

		if (!pdev)
			continue;
		memcpy(pdev->saved, pdev->config, pdev->config_size);
		pci_bars_update(pdev);
	}
	return ret;
}
