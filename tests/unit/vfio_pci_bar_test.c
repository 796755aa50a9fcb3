// SPDX-License-Identifier: GPL-2.0-or-later
/* BARs of a function handed over: what the guest reaches directly and what is forwarded. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "base/util.h"
#include "fake_guest.h"
#include "fake_kvm.h"

static int setup(void **state)
{
	*state = fake_guest_new(64 * MIB, false);
	return 0;
}

static int teardown(void **state)
{
	fake_guest_free(*state);
	return 0;
}

struct span {
	uint64_t offset, size;
};

static void expect_parts(const struct pci_dev *pdev, unsigned int bar, const struct span *want,
			 unsigned int count)
{
	const struct range *range = &pdev->bars[bar].range;
	unsigned int i;

	assert_int_equal(range->part_count, count);
	for (i = 0; i < count; i++) {
		assert_int_equal(range->parts[i].offset, want[i].offset);
		assert_int_equal(range->parts[i].size, want[i].size);
		assert_true(range->parts[i].dma);
		assert_false(range->parts[i].readonly);
	}
}

/* What the guest's memory slot shows at @gpa is what the hardware has at that place of its BAR. */
static void expect_direct(struct fake_vdev *dev, unsigned int bar, uint64_t offset, uint64_t gpa)
{
	const struct kvm_userspace_memory_region *slot = fake_kvm_slot(gpa);
	uint32_t value = 0x12345678;
	volatile uint32_t *at;

	assert_non_null(slot);
	assert_true(dev->regions[bar].memfd >= 0);
	assert_int_equal(pwrite(dev->regions[bar].memfd, &value, 4, (off_t)offset), 4);
	at = (volatile uint32_t *)(uintptr_t)(slot->userspace_addr + (gpa - slot->guest_phys_addr));
	assert_int_equal(*at, value);
	*at = 0x9abcdef0;
	assert_int_equal(pread(dev->regions[bar].memfd, &value, 4, (off_t)offset), 4);
	assert_int_equal(value, 0x9abcdef0);
}

/* Registers, MSI-X table and PBA in one BAR, table and PBA in one page. */
static void test_nvme(void **state)
{
	static const struct span parts[] = { { 0, 0x2000 }, { 0x3000, 0x1000 } };
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	uint64_t base;

	expect_parts(pdev, 0, parts, 2);
	fake_guest_place(g);
	base = pci_bar_addr(pdev, 0);
	expect_direct(dev, 0, 0x1ffc, base + 0x1ffc);
	expect_direct(dev, 0, 0x3000, base + 0x3000);
	assert_null(fake_kvm_slot(base + 0x2000));
	/* In the page of the table: table and PBA are the VMM's, the rest is forwarded. */
	fake_vfio_forget();
	fake_guest_write(g, base + 0x2000, 4, 0xfee00000);
	assert_int_equal(fake_guest_read(g, base + 0x2000, 4), 0xfee00000);
	assert_int_equal(fake_guest_read(g, base + 0x2800, 8), 0);
	assert_int_equal(dev->access_count, 0);
	fake_guest_write(g, base + 0x2c00, 4, 77);
	assert_int_equal(fake_guest_read(g, base + 0x2c00, 4), 77);
	assert_int_equal(dev->access_count, 2);
	assert_int_equal(dev->accesses[0].offset, 0x2c00);
	assert_int_equal(dev->accesses[0].len, 4);
	fake_guest_write(g, base + 0x2410, 8, 0x1122334455667788); /* right behind the table */
	assert_int_equal(fake_guest_read(g, base + 0x2410, 8), 0x1122334455667788);
	assert_int_equal(dev->access_count, 4);
	assert_int_equal(dev->accesses[2].len, 8);
}

static void test_igbvf(void **state)
{
	static const struct span whole[] = { { 0, 0x4000 } };
	static const struct span parts[] = { { 0x1000, 0x1000 }, { 0x3000, 0x1000 } };
	struct fake_guest *g = *state;
	struct pci_dev *pdev;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	pdev = fake_guest_add(g, VF0);
	expect_parts(pdev, 0, whole, 1);
	expect_parts(pdev, 3, parts, 2);
	assert_int_equal(pdev->bars[0].kind, PCI_BAR_MEM64);
	assert_false(pdev->bars[0].prefetch);
	assert_true(pdev->bars[3].prefetch);
	assert_int_equal((uintptr_t)pdev->bars[0].range.parts[0].hva & 0x3fff, 0);
	assert_int_equal((uintptr_t)pdev->bars[3].range.parts[0].hva & 0x3fff, 0x1000);
}

static void test_sparse(void **state)
{
	static const struct span parts[] = { { 0x1000, 0x1000 }, { 0x3000, 0x1000 } };
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;
	uint64_t base;

	dev->regions[0].sparse = true;
	dev->regions[0].area_count = 3;
	dev->regions[0].areas[0] = (struct vfio_region_sparse_mmap_area){ 0x3000, 0x1000 };
	dev->regions[0].areas[1] = (struct vfio_region_sparse_mmap_area){ 0x1000, 0x800 };
	dev->regions[0].areas[2] = (struct vfio_region_sparse_mmap_area){ 0x1000, 0x1800 };
	pdev = fake_guest_add(g, NVME);
	expect_parts(pdev, 0, parts, 2);
	fake_guest_place(g);
	base = pci_bar_addr(pdev, 0);
	assert_null(fake_kvm_slot(base));
	fake_vfio_forget();
	fake_guest_read(g, base, 4);
	assert_int_equal(dev->access_count, 1);
}

/* Where the table lies is cut out whatever its place. */
static void test_cuts(void **state)
{
	static const struct {
		uint32_t table, pba;
		struct span parts[3];
		unsigned int count;
	} cases[] = {
		{ 0x0, 0x2000, { { 0x1000, 0x1000 }, { 0x3000, 0x1000 } }, 2 },
		{ 0x0, 0x1000, { { 0x2000, 0x2000 } }, 1 },
		{ 0x3000, 0x3800, { { 0, 0x3000 } }, 1 },
		{ 0x1000, 0x3ff0, { { 0, 0x1000 }, { 0x2000, 0x1000 } }, 2 },
		{ 0x0c00, 0x3000, { { 0x2000, 0x1000 } }, 1 }, /* the table crosses a page */
		{ 0x3bf0, 0x10, { { 0x1000, 0x2000 } }, 1 },
	};
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		put_le32(dev->config + 0x84, cases[i].table);
		put_le32(dev->config + 0x88, cases[i].pba);
		pdev = fake_guest_add(g, NVME);
		assert_int_equal(pdev->msix.cap, 0x80);
		expect_parts(pdev, 0, cases[i].parts, cases[i].count);
		fake_guest_remove(g, pdev);
		memset(dev->config + PCI_COMMAND, 0, 2);
	}
}

/* A page that holds nothing but table and PBA: no mapping, no address space. */
static void test_nothing_left(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;

	dev->regions[0].size = 4096;
	put_le32(dev->config + 0x84, 0);
	put_le32(dev->config + 0x88, 0x800);
	pdev = fake_guest_add(g, NVME);
	assert_int_equal(pdev->bars[0].range.part_count, 0);
	assert_int_equal(fake_vfio_reservations(), 0);
	fake_guest_place(g);
	fake_guest_write(g, pci_bar_addr(pdev, 0) + 0x900, 2, 5);
	assert_int_equal(fake_guest_read(g, pci_bar_addr(pdev, 0) + 0x900, 2), 5);
}

static uint32_t pio_read(struct fake_guest *g, uint64_t port, unsigned int size)
{
	uint32_t value = 0;

	bus_access(&g->vm->bus, BUS_PIO, port, &value, size, false);
	return value;
}

static void test_ports(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_e1000(E1000, E1000_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, E1000);
	uint32_t value = 0xcafe;
	uint64_t base;

	assert_int_equal(pdev->bars[0].kind, PCI_BAR_MEM32);
	assert_int_equal(pdev->bars[1].kind, PCI_BAR_IO);
	assert_int_equal(pdev->bars[1].range.part_count, 0);
	fake_guest_place(g);
	base = pci_bar_addr(pdev, 1);
	fake_vfio_forget();
	bus_access(&g->vm->bus, BUS_PIO, base + 4, &value, 2, true);
	assert_int_equal(pio_read(g, base + 4, 2), 0xcafe);
	assert_int_equal(dev->access_count, 2);
	assert_int_equal(dev->accesses[0].region, 1);
	assert_int_equal(dev->accesses[0].len, 2);
	fake_vfio_fail(FAKE_PREAD, 1, EIO);
	assert_int_equal(pio_read(g, base, 4), 0xffffffff);
	assert_true(fake_guest_logged(g, "0000:06:01.0: BAR 1: read at 0x0"));
}

static void test_odd(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_dev(VF0, VF0_GROUP);
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	struct pci_dev *pdev;

	/* Less than a page, no power of two, read-only, and a 64-bit BAR in the last register. */
	dev->regions[0].size = 0x100;
	dev->regions[0].flags = rw;
	dev->regions[1].size = 0x3000;
	dev->regions[1].flags = rw | VFIO_REGION_INFO_FLAG_MMAP;
	dev->regions[2].size = 0x2000;
	dev->regions[2].flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_MMAP;
	dev->regions[5].size = 0x1000;
	dev->regions[5].flags = rw;
	put_le32(dev->config + PCI_BASE_ADDRESS_5, PCI_BASE_ADDRESS_MEM_TYPE_64);
	pdev = fake_guest_add(g, VF0);
	assert_int_equal(pdev->bars[0].range.part_count, 0);
	assert_int_equal(pdev->bars[1].size, 0x4000);
	assert_int_equal(pdev->bars[1].range.size, 0x3000);
	assert_int_equal(pdev->bars[1].range.parts[0].size, 0x3000);
	assert_true(pdev->bars[2].range.parts[0].readonly);
	assert_false(pdev->bars[2].range.parts[0].dma);
	assert_int_equal(pdev->bars[5].kind, PCI_BAR_NONE);
	assert_true(fake_guest_logged(g, "BAR 5 makes no sense; left out"));
	fake_guest_place(g);
	assert_int_equal(fake_guest_read(g, pci_bar_addr(pdev, 1) + 0x3000, 4), 0xffffffff);
	fake_guest_write(g, pci_bar_addr(pdev, 0) + 0x80, 1, 9);
	assert_int_equal(fake_guest_read(g, pci_bar_addr(pdev, 0) + 0x80, 1), 9);
}

/* 8 GiB: the mapping is aligned so that the kernel can use its largest pages. */
static void test_huge(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_dev(VF0, VF0_GROUP);
	struct pci_dev *pdev;

	dev->regions[2].size = 8 * GIB;
	dev->regions[2].flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
				VFIO_REGION_INFO_FLAG_MMAP;
	put_le32(dev->config + PCI_BASE_ADDRESS_2,
		 PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
	pdev = fake_guest_add(g, VF0);
	assert_int_equal((uintptr_t)pdev->bars[2].range.parts[0].hva & (GIB - 1), 0);
	fake_guest_place(g);
	assert_int_equal(fake_vfio_dma(NULL, 0), fake_vfio_by_iommufd() ? 1 : 2);
	expect_direct(dev, 2, 8 * GIB - 4096, pci_bar_addr(pdev, 2) + 8 * GIB - 4096);
}

/* Address of the mapping and of the guest agree in all bits that a huge page leaves to its offset,
 * also behind the pages that MSI-X cuts out, and wherever the guest moves the BAR. */
static void test_congruent(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;
	unsigned int i, turn;

	dev->regions[0].size = 2 * GIB;
	put_le32(dev->config + 0x84, 0x40002000);
	put_le32(dev->config + 0x88, 0x40003000);
	pdev = fake_guest_add(g, NVME);
	assert_int_equal(pdev->bars[0].range.part_count, 2);
	fake_guest_place(g);
	for (turn = 0; turn < 2; turn++) {
		uint64_t base = pdev->bars[0].range.base;

		for (i = 0; i < 2; i++) {
			const struct mem_part *part = &pdev->bars[0].range.parts[i];

			assert_int_equal(((uintptr_t)part->hva - (base + part->offset)) % GIB, 0);
			assert_ptr_equal(fake_kvm_slot(base + part->offset)->userspace_addr,
					 part->hva);
		}
		pci_config_write(pdev, PCI_BASE_ADDRESS_0 + 4, 4, (uint32_t)(base >> 32) + 2);
	}
}

/* Mappings that the kernel refuses: forwarded instead, and said. */
static void test_unmappable(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;

	fake_vfio_fail(FAKE_MAP, 1, EINVAL);
	pdev = fake_guest_add(g, NVME);
	assert_int_equal(pdev->bars[0].range.part_count, 1);
	assert_true(fake_guest_logged(g, "BAR 0: mapping it: Invalid argument; each access is an "
					 "exit"));
	fake_guest_place(g);
	fake_guest_write(g, pci_bar_addr(pdev, 0) + 8, 4, 3);
	assert_int_equal(fake_guest_read(g, pci_bar_addr(pdev, 0) + 8, 4), 3);
	fake_guest_remove(g, pdev);
	dev->access_count = 0;
	fake_vfio_fail(FAKE_RESERVE, 1, ENOMEM);
	pdev = fake_guest_add(g, NVME);
	assert_int_equal(pdev->bars[0].range.part_count, 0);
	assert_int_equal(fake_vfio_reservations(), 0);
}

/* A BAR that moves, and decoding that is switched off and on, cost no DMA map beyond the moves. */
static void test_moves(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, VF0);
	unsigned int i, maps;
	uint64_t base;

	fake_guest_place(g);
	maps = fake_vfio_count(FAKE_DMA_MAP);
	for (i = 0; i < 10; i++) {
		pci_config_write(pdev, PCI_COMMAND, 2, 0);
		assert_int_equal(fake_kvm_slots(), 1);
		pci_config_write(pdev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
		assert_int_equal(fake_kvm_slots(), 4);
	}
	assert_int_equal(fake_vfio_count(FAKE_DMA_MAP), maps);
	assert_int_equal(fake_vfio_count(FAKE_DMA_UNMAP), 0);
	base = pci_bar_addr(pdev, 0) + 64 * MIB;
	pci_config_write(pdev, PCI_BASE_ADDRESS_0, 4, (uint32_t)base);
	/* iommufd has mapped none (see no_bars() in iommu.c). */
	assert_int_equal(fake_vfio_dma(NULL, 0), fake_vfio_by_iommufd() ? 1 : 4);
	assert_int_equal(fake_vfio_count(FAKE_DMA_UNMAP), 1);
	assert_int_equal(fake_vfio_count(FAKE_DMA_MAP), maps + !fake_vfio_by_iommufd());
	expect_direct(dev, 0, 0, base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nvme, setup, teardown),
		cmocka_unit_test_setup_teardown(test_igbvf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sparse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cuts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_huge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_congruent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unmappable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moves, setup, teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
