// SPDX-License-Identifier: GPL-2.0-or-later
/* A guest that touches a function in every way there is: what reaches the hardware of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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

/* Each access that the hardware saw is within its region and no wider than the guest's; one to a
 * BAR is aligned and of a size that there is. (Config accesses of 3 bytes no bus makes.) */
static void expect_sane(const struct fake_vdev *dev)
{
	unsigned int i;

	for (i = 0; i < MIN(dev->access_count, FAKE_LOG_MAX); i++) {
		const struct fake_access *a = &dev->accesses[i];

		assert_true(span_within(a->offset, a->len, dev->regions[a->region].size));
		if (a->region == VFIO_PCI_CONFIG_REGION_INDEX)
			assert_true(a->len <= 4);
		else
			assert_true(is_pow2(a->len) && a->len <= 8 && a->offset % a->len == 0);
	}
}

/* Every size at every offset, and beyond the end. */
static void test_config_reads(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	unsigned int at, size, i;

	for (size = 0; size <= 9; size++) {
		for (at = 0; at <= 4100; at++) {
			uint32_t value, bytes = 0;

			fake_vfio_forget();
			value = pci_config_read(pdev, at, size);
			expect_sane(dev);
			assert_true(dev->access_count <= 1);
			if (!size || size > 4 || at + size > 4096) {
				assert_int_equal(value, (uint32_t)all_ones(MIN(size, 4u)));
				assert_int_equal(dev->access_count, 0);
				continue;
			}
			for (i = 0; i < size; i++)
				bytes |= pci_config_read(pdev, at + i, 1) << 8 * i;
			assert_int_equal(value, bytes);
		}
	}
}

/* Any write leaves what is the host's as it was: BARs, decoding, messages, what was hidden. */
static void test_config_writes(void **state)
{
	static const uint32_t patterns[] = { 0xffffffff, 0, 0xa5a5a5a5, 0x5a5a5a5a };
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;
	uint8_t before[4096];
	unsigned int at, size, i;

	pdev = fake_guest_add(g, NVME);
	fake_guest_place(g);
	memcpy(before, dev->config, sizeof(before));
	for (i = 0; i < ARRAY_SIZE(patterns); i++) {
		for (size = 0; size <= 9; size++) {
			for (at = 0; at <= 4100; at++) {
				fake_vfio_forget();
				pci_config_write(pdev, at, size, patterns[i]);
				expect_sane(dev);
				if (!size || size > 4 || at + size > 4096)
					assert_int_equal(dev->access_count, 0);
			}
		}
	}
	assert_memory_equal(dev->config + PCI_BASE_ADDRESS_0, before + PCI_BASE_ADDRESS_0, 0x2c);
	assert_int_equal(dev->config[PCI_COMMAND] & 3, PCI_COMMAND_MEMORY);
	assert_memory_equal(dev->config + 0x50, before + 0x50, 14);	/* MSI */
	assert_memory_equal(dev->config + 0x80, before + 0x80, 12);	/* MSI-X */
	assert_memory_equal(dev->config + 0x100, before + 0x100, 0x20); /* SR-IOV */
	/* And it works as before. */
	dev_reset_all(g->vm);
	pci_config_write(pdev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_non_null(fake_kvm_slot(pci_bar_addr(pdev, 0)));
	fake_guest_msix_entry(g, pdev, 0, false);
	fake_guest_msix_enable(pdev, true);
	assert_int_equal(dev->mode, VFIO_PCI_MSIX_IRQ_INDEX);
}

static void expect_not_msix(const struct fake_vdev *dev)
{
	unsigned int i;

	for (i = 0; i < MIN(dev->access_count, FAKE_LOG_MAX); i++) {
		const struct fake_access *a = &dev->accesses[i];

		assert_false(span_overlaps(a->offset, a->len, 0x2000, 65 * 16ull));
		assert_false(span_overlaps(a->offset, a->len, 0x2800, 16));
	}
}

/* BAR accesses of 1 to 8 bytes round every border: the BAR's ends, the table's and the PBA's. */
static void test_bar_borders(void **state)
{
	static const uint64_t borders[] = { 0, 0x2000, 0x2410, 0x2800, 0x2810, 0x3000, 0x4000 };
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	uint64_t base, at, value;
	unsigned int len, write;
	size_t i;

	fake_guest_place(g);
	base = pci_bar_addr(pdev, 0);
	for (i = 0; i < ARRAY_SIZE(borders); i++) {
		for (at = base + borders[i] - 9; at < base + borders[i] + 9; at++) {
			for (len = 1; len <= 8; len++) {
				for (write = 0; write <= 1; write++) {
					value = UINT64_MAX;
					fake_vfio_forget();
					bus_access(&g->vm->bus, BUS_MMIO, at, &value, len, write);
					expect_sane(dev);
					expect_not_msix(dev);
				}
			}
		}
	}
}

/* Where a BAR can be put so that it is nowhere: it comes back from each. */
static void test_bar_nowhere(void **state)
{
	static const uint64_t places[] = {
		0,
		0x1000,		   /* RAM */
		64 * MIB - 0x2000, /* over RAM's end */
		0xfee00000,	   /* where messages are sent */
		0xffffffffffffc000ull,
		BIT64(52), /* beyond the processor's addresses */
		BIT64(63),
	};
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	uint64_t base;
	size_t i;

	fake_guest_place(g);
	base = pci_bar_addr(pdev, 0);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		pci_config_write(pdev, PCI_BASE_ADDRESS_0, 4, (uint32_t)places[i]);
		pci_config_write(pdev, PCI_BASE_ADDRESS_0 + 4, 4, (uint32_t)(places[i] >> 32));
		assert_null(fake_kvm_slot(base));
		assert_int_equal(fake_guest_read(g, base, 4), 0xffffffff);
		if (places[i] != 0xfee00000)
			assert_false(pdev->bars[0].range.mapped);
		pci_config_write(pdev, PCI_BASE_ADDRESS_0, 4, (uint32_t)base);
		pci_config_write(pdev, PCI_BASE_ADDRESS_0 + 4, 4, (uint32_t)(base >> 32));
		assert_non_null(fake_kvm_slot(base));
		fake_vfio_forget();
		fake_guest_write(g, base + 0x2c00, 4, i);
		assert_int_equal(fake_guest_read(g, base + 0x2c00, 4), i);
		assert_int_equal(dev->access_count, 2);
	}
	assert_int_equal(g->len, 0);
}

/* One BAR onto another: the one that was there first keeps the place until it leaves. */
static void test_bar_on_bar(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, VF0);
	uint64_t first, third;

	(void)vf;
	fake_guest_place(g);
	first = pci_bar_addr(pdev, 0);
	third = pci_bar_addr(pdev, 3);
	assert_int_equal(first >> 32, third >> 32);
	pci_config_write(pdev, PCI_BASE_ADDRESS_3, 4, (uint32_t)first);
	assert_false(pdev->bars[3].range.mapped);
	assert_int_equal(pdev->bars[0].range.base, first);
	assert_int_equal(fake_guest_read(g, third, 4), 0xffffffff);
	/* Its DMA mapping goes with the place, not with the register: only one can have it. */
	pci_config_write(pdev, PCI_BASE_ADDRESS_0, 4, (uint32_t)third);
	assert_true(pdev->bars[0].range.mapped && pdev->bars[3].range.mapped);
	assert_int_equal(pdev->bars[3].range.base, first);
	assert_int_equal(pdev->bars[0].range.base, third);
	assert_non_null(fake_kvm_slot(first + 0x1000));
	assert_null(fake_kvm_slot(first)); /* the table's page */
	assert_non_null(fake_kvm_slot(third));
}

/* Ports: 64 bytes anywhere in 64 KiB, never across its end. */
static void test_ports(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_e1000(E1000, E1000_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, E1000);
	uint64_t value = 0, at;
	unsigned int len;

	fake_guest_place(g);
	pci_config_write(pdev, PCI_BASE_ADDRESS_1, 4, 0x1ffc0);
	assert_false(pdev->bars[1].range.mapped);
	pci_config_write(pdev, PCI_BASE_ADDRESS_1, 4, 0xffc1);
	assert_true(pdev->bars[1].range.mapped);
	fake_vfio_forget();
	for (at = 0xffb0; at < 0x10000; at++) {
		for (len = 1; len <= 4 && at + len <= 0x10000; len++)
			bus_access(&g->vm->bus, BUS_PIO, at, &value, len, len & 1);
		expect_sane(dev);
		fake_vfio_forget();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_config_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_config_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bar_borders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bar_nowhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bar_on_bar, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
