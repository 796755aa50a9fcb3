// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A function that says anything of itself, and a guest that writes anything to it: the first bytes
 * choose a card and change its config space, regions and interrupts; then one byte picks the
 * guest's next access and those behind it are its operands. What must hold: what the guest does to
 * BARs, decoding and messages never reaches the hardware, what it reads there is what vmm/pci
 * holds, after a reset the function is back in its place, and when it goes nothing of it stays.
 */
#include "fuzz.h"

#include <linux/pci_regs.h>
#include <stdio.h>
#include <unistd.h>

#include "base/util.h"
#include "fake_guest.h"
#include "fake_kvm.h"
#include "sriov/quarantine.h"

#define RAM (64 * MIB)

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

enum op {
	OP_READ,
	OP_WRITE,
	OP_WRITE_CAP,
	OP_BAR_READ,
	OP_BAR_WRITE,
	OP_MOVE,
	OP_COMMAND,
	OP_FAIL,
	OP_RESET,
	OP_DEAD,
	OPS,
};

struct fuzz {
	struct fuzz_input in;
	struct fake_guest *g;
	struct fake_vdev *dev;
	struct pci_dev *pdev;
	uint8_t bars[24]; /* of the hardware */
};

/* Made before any test begins, for cmocka counts what a test leaves: a guest takes longer to make
 * than an input to run. */
static struct {
	struct fake_guest *g;
	struct fake_vdev *dev;
	struct fake_vdev cards[3];
	struct pci_addr addr;
} fuzz_world;

static void __attribute__((constructor)) world_new(void)
{
	struct fake_guest *g = fake_guest_new(RAM, false);

	fuzz_world.g = g;
	MUST(!pci_addr_parse(NVME, &fuzz_world.addr));
	fuzz_world.dev = fake_vfio_nvme(NVME, NVME_GROUP);
	fuzz_world.cards[0] = *fuzz_world.dev;
	fuzz_world.cards[1] = *fake_vfio_igbvf(VF0, VF0_GROUP);
	fuzz_world.cards[2] = *fake_vfio_e1000(E1000, E1000_GROUP);
}

static void __attribute__((destructor)) world_free(void)
{
	fake_guest_free(fuzz_world.g);
}

static uint64_t pick_size(struct fuzz_input *in)
{
	static const uint64_t sizes[] = {
		0,	1,	 0x10,	   0x100,   0x800,   0x1000,	0x1800,	   0x3000,
		0x4000, 0x10000, 0x100000, 3 * GIB, 8 * GIB, BIT64(40), BIT64(62), BIT64(63),
	};

	return sizes[fuzz_u8(in) % ARRAY_SIZE(sizes)];
}

static void change_region(struct fuzz *f)
{
	struct fake_region *r = &f->dev->regions[fuzz_u8(&f->in) % VFIO_PCI_NUM_REGIONS];
	uint8_t how = fuzz_u8(&f->in);
	unsigned int i;

	if (r == &f->dev->regions[VFIO_PCI_CONFIG_REGION_INDEX]) {
		r->size = how & 1 ? 256 : 4096;
		return;
	}
	r->size = pick_size(&f->in);
	r->flags = how & 7;
	r->sparse = how & 8;
	r->msix_mappable = how & 16;
	r->area_count = r->sparse ? (how >> 5) % (FAKE_AREAS_MAX + 1) : 0;
	for (i = 0; i < r->area_count; i++) {
		r->areas[i].offset = (uint64_t)fuzz_u8(&f->in) << (how & 32 ? 12 : 9);
		r->areas[i].size = (uint64_t)fuzz_u8(&f->in) << (how & 64 ? 12 : 9);
	}
}

static void change_card(struct fuzz *f)
{
	unsigned int n = fuzz_u8(&f->in) % 64, i, at;

	for (i = 0; i < n; i++) {
		uint8_t what = fuzz_u8(&f->in);

		switch (what % 8) {
		case 0:
			change_region(f);
			break;
		case 1:
			at = fuzz_u8(&f->in) % VFIO_PCI_NUM_IRQS;
			f->dev->irqs[at].flags = fuzz_u8(&f->in) & 15;
			f->dev->irqs[at].count = fuzz_u16(&f->in) % (FAKE_VECTORS_MAX + 1);
			break;
		case 2:
			at = fuzz_u16(&f->in) & 0xfff;
			f->dev->config[at] = fuzz_u8(&f->in);
			break;
		case 3: /* an extended capability's header */
			at = 0x100 + (fuzz_u16(&f->in) & 0xefc) % 0xf00;
			put_le32(f->dev->config + at,
				 (uint32_t)fuzz_u16(&f->in) << 16 | (fuzz_u8(&f->in) & 0x3f));
			break;
		default: /* the header and what follows it */
			f->dev->config[fuzz_u8(&f->in)] = fuzz_u8(&f->in);
			break;
		}
	}
}

static void card_new(struct fuzz *f)
{
	struct fake_vdev *dev = f->dev;
	char name[sizeof(dev->name)];
	unsigned int i;

	for (i = 0; i < VFIO_PCI_NUM_REGIONS; i++) {
		if (dev->regions[i].memfd >= 0)
			close(dev->regions[i].memfd);
	}
	memcpy(name, fuzz_world.cards[0].name, sizeof(name));
	*dev = fuzz_world.cards[fuzz_u8(&f->in) % ARRAY_SIZE(fuzz_world.cards)];
	memcpy(dev->name, name, sizeof(name));
	dev->group = NVME_GROUP;
	change_card(f);
	memcpy(f->bars, dev->config + PCI_BASE_ADDRESS_0, sizeof(f->bars));
}

/* Where there is something, and where there must be nothing. */
static uint64_t pick_addr(struct fuzz *f)
{
	uint8_t what = fuzz_u8(&f->in);

	switch (what % 8) {
	case 0:
		return 0;
	case 1:
		return 4096ull * fuzz_u8(&f->in); /* RAM */
	case 2:
		return UINT64_MAX;
	case 3:
		return 0xfee00000;
	case 4:
		return (uint64_t)fuzz_u16(&f->in) << (what & 0x80 ? 32 : 8);
	default:
		return pci_bar_addr(f->pdev, fuzz_u8(&f->in) % PCI_BAR_COUNT) +
		       (uint64_t)fuzz_u8(&f->in) * 0x100;
	}
}

static unsigned int bar_reg(unsigned int bar)
{
	return bar == PCI_ROM ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4 * bar;
}

static void move_bar(struct fuzz *f)
{
	unsigned int bar = fuzz_u8(&f->in) % PCI_BAR_COUNT;
	uint64_t addr = pick_addr(f);

	pci_config_write(f->pdev, bar_reg(bar), 4, (uint32_t)addr);
	if (f->pdev->bars[bar].kind == PCI_BAR_MEM64)
		pci_config_write(f->pdev, bar_reg(bar) + 4, 4, (uint32_t)(addr >> 32));
}

static void bar_access(struct fuzz *f, bool write)
{
	unsigned int bar = fuzz_u8(&f->in) % PCI_BAR_COUNT;
	const struct pci_bar *b = &f->pdev->bars[bar];
	uint8_t how = fuzz_u8(&f->in);
	uint64_t value = fuzz_u16(&f->in) * 0x100010001ull;
	uint64_t offset = fuzz_u16(&f->in);

	if (!b->range.mapped)
		return;
	if (how & 0x80)
		offset += b->range.size - MIN(b->range.size, 0x8000u);
	bus_access(&f->g->vm->bus, b->kind == PCI_BAR_IO ? BUS_PIO : BUS_MMIO,
		   b->range.base + offset, &value, how % 8 + 1, write);
}

static void config_read(struct fuzz *f)
{
	unsigned int at = fuzz_u16(&f->in) & 0x1fff, size = fuzz_u8(&f->in) % 9;
	uint32_t value = pci_config_read(f->pdev, at, size);

	if (!size || size > 4 || at + size > f->pdev->config_size)
		MUST(value == (uint32_t)all_ones(MIN(size, 4u)));
	else
		MUST((value & ~all_ones(size)) == 0);
}

static void config_write(struct fuzz *f, unsigned int at)
{
	unsigned int size = fuzz_u8(&f->in) % 9;
	uint32_t low = fuzz_u16(&f->in);

	pci_config_write(f->pdev, at, size, low | (uint32_t)fuzz_u16(&f->in) << 16);
}

static void step(struct fuzz *f)
{
	uint8_t op = fuzz_u8(&f->in);

	switch (op % OPS) {
	case OP_READ:
		config_read(f);
		break;
	case OP_WRITE:
		config_write(f, fuzz_u16(&f->in) & 0x1fff);
		break;
	case OP_WRITE_CAP:
		config_write(f, fuzz_u8(&f->in));
		break;
	case OP_BAR_READ:
	case OP_BAR_WRITE:
		bar_access(f, op % OPS == OP_BAR_WRITE);
		break;
	case OP_MOVE:
		move_bar(f);
		break;
	case OP_COMMAND:
		pci_config_write(f->pdev, PCI_COMMAND, 2, fuzz_u8(&f->in) & 7);
		break;
	case OP_FAIL:
		fake_vfio_fail(0, 1 + fuzz_u8(&f->in) % 4, fuzz_u8(&f->in) & 1 ? EIO : ENOSPC);
		break;
	case OP_RESET:
		dev_reset_all(f->g->vm);
		break;
	case OP_DEAD:
		f->dev->dead = !f->dev->dead;
		break;
	default:
		break;
	}
}

/* The hardware's BARs are the host's; no BAR of the guest's lies where another one or RAM is. */
static void check(const struct fuzz *f)
{
	unsigned int i, j;

	MUST(!memcmp(f->bars, f->dev->config + PCI_BASE_ADDRESS_0, sizeof(f->bars)));
	for (i = 0; i < PCI_BAR_COUNT; i++) {
		const struct range *a = &f->pdev->bars[i].range;

		if (!a->mapped)
			continue;
		MUST(a->space == BUS_PIO || a->base >= RAM);
		MUST(!f->pdev->asleep);
		for (j = i + 1; j < PCI_BAR_COUNT; j++) {
			const struct range *b = &f->pdev->bars[j].range;

			MUST(!b->mapped || b->space != a->space ||
			     !span_overlaps(a->base, a->size, b->base, b->size));
		}
	}
}

/* After a reset each BAR decodes where it was placed, whatever the guest did before. */
static void check_back(struct fuzz *f)
{
	unsigned int i;

	fake_vfio_fail(0, 0, 0);
	f->dev->dead = false;
	dev_reset_all(f->g->vm);
	for (i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *b = &f->pdev->bars[i];

		if (b->kind != PCI_BAR_NONE)
			MUST(b->range.mapped && b->range.base == pci_bar_addr(f->pdev, i));
	}
}

static void run(struct fuzz *f)
{
	struct err err = { 0 };
	unsigned int steps;

	if (pci_root_place(f->g->vm->pci, &err)) {
		MUST(err.code == -ENOSPC);
		return;
	}
	for (steps = 0; f->in.left && steps < 512; steps++) {
		step(f);
		check(f);
	}
	check_back(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .in = { data, size }, .g = fuzz_world.g, .dev = fuzz_world.dev };
	unsigned int slots = fake_kvm_slots();
	struct err err = { 0 };
	struct dev *last;

	f.g->len = 0;
	card_new(&f);
	fake_vfio_fail(0, 0, 0);
	/* A reset that failed by command of an input before this one. */
	if (quarantine_has(&f.g->host->host, &fuzz_world.addr, NULL))
		MUST(!quarantine_clear(&f.g->host->host, &fuzz_world.addr, NULL));
	fake_vfio_forget();
	if (fake_guest_try(f.g, NVME, &err)) {
		MUST(err.msg[0]);
	} else {
		for (last = f.g->vm->devs; last->next; last = last->next)
			;
		f.pdev = to_pci(last);
		run(&f);
		fake_vfio_fail(0, 0, 0);
		dev_remove(last);
	}
	loop_do_posted(f.g->vm->loop);
	MUST(!fake_vfio_fds() && !fake_vfio_reservations() && !fake_vfio_dma(NULL, 0));
	MUST(fake_kvm_slots() == slots && !fake_kvm_irqfds());
	return 0;
}
