// SPDX-License-Identifier: GPL-2.0-or-later
/* Functions that need more than the specification: mirrors of config space, NVIDIA's clique. */
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

#define MIRROR 0x88000
#define OLD_MIRROR 0x1800

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

/* A display function of NVIDIA's: 16 MiB of registers, MSI at 0x68 as they have it. */
static struct fake_vdev *gpu(uint16_t device, uint32_t class_rev)
{
	struct fake_vdev *dev = fake_vfio_dev(NVME, NVME_GROUP);

	put_le32(dev->config + PCI_VENDOR_ID, (uint32_t)device << 16 | 0x10de);
	put_le32(dev->config + PCI_CLASS_REVISION, class_rev);
	dev->regions[0].size = 16 * MIB;
	dev->regions[0].flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
				VFIO_REGION_INFO_FLAG_MMAP;
	put_le32(dev->config + PCI_BASE_ADDRESS_0, 0xf6000000);
	dev->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	dev->config[PCI_CAPABILITY_LIST] = 0x60;
	put_le32(dev->config + 0x60, 0x00036801);
	put_le32(dev->config + 0x68, 0x00807805);
	put_le32(dev->config + 0x78, 0x00020010);
	dev->irqs[VFIO_PCI_MSI_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;
	dev->irqs[VFIO_PCI_MSI_IRQ_INDEX].count = 1;
	return dev;
}

static void expect_cut(const struct pci_dev *pdev, uint64_t at)
{
	const struct range *range = &pdev->bars[0].range;

	assert_int_equal(range->part_count, 2);
	assert_int_equal(range->parts[0].size, at);
	assert_int_equal(range->parts[1].offset, at + 0x1000);
	assert_int_equal(range->parts[1].size, 16 * MIB - at - 0x1000);
}

static void test_mirror(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = gpu(0x1eb8, 0x030200a1);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	uint64_t base;

	expect_cut(pdev, MIRROR);
	fake_guest_place(g);
	base = pci_bar_addr(pdev, 0);
	/* The guest's view, not the host's. */
	assert_int_equal(fake_guest_read(g, base + MIRROR, 4), 0x1eb810de);
	assert_int_equal(fake_guest_read(g, base + MIRROR + PCI_BASE_ADDRESS_0, 4), base);
	assert_int_equal(fake_guest_read(g, base + MIRROR + PCI_VENDOR_ID, 8) & 0xffffffff,
			 0x1eb810de);
	assert_int_equal(fake_guest_read(g, base + MIRROR + PCI_VENDOR_ID, 8) >> 32,
			 pci_config_read(pdev, PCI_COMMAND, 4));
	assert_int_equal(fake_guest_read(g, base + MIRROR + PCI_CLASS_DEVICE + 1, 1), 0x03);
	/* Writes are config writes: the bus master bit acts, and MSI is the VMM's. */
	fake_vfio_forget();
	fake_guest_write(g, base + MIRROR + PCI_COMMAND, 2,
			 PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	assert_int_equal(dev->access_count, 1);
	assert_int_equal(dev->accesses[0].region, VFIO_PCI_CONFIG_REGION_INDEX);
	assert_int_equal(get_le16(dev->config + PCI_COMMAND),
			 PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	fake_guest_write(g, base + MIRROR + 0x6c, 8, 0xfee01000);
	assert_int_equal(pci_config_read(pdev, 0x6c, 4), 0xfee01000);
	assert_int_equal(dev->access_count, 1);
	/* The last bytes, and what follows is registers again. */
	fake_guest_read(g, base + MIRROR + 0xff8, 8);
	assert_int_equal(dev->accesses[2].offset, 0xffc);
	assert_non_null(fake_kvm_slot(base + MIRROR + 0x1000));
	assert_null(fake_kvm_slot(base + MIRROR));
}

/* A message is acknowledged by a write to the capability's id, which the hardware must see. */
static void test_rearm(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = gpu(0x1eb8, 0x030000a1);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	uint64_t base;

	fake_guest_place(g);
	base = pci_bar_addr(pdev, 0);
	fake_vfio_forget();
	fake_guest_write(g, base + MIRROR + 0x68, 1, 0xff);
	assert_int_equal(dev->access_count, 1);
	assert_int_equal(dev->accesses[0].region, VFIO_PCI_BAR0_REGION_INDEX);
	assert_int_equal(dev->accesses[0].offset, MIRROR + 0x68);
	assert_int_equal(dev->accesses[0].value, 0xff);
	assert_int_equal(pci_config_read(pdev, 0x68, 2), 0x7805);
	/* The flags behind it are MSI's own. */
	fake_guest_write(g, base + MIRROR + 0x6a, 2, PCI_MSI_FLAGS_ENABLE);
	assert_int_equal(dev->mode, VFIO_PCI_MSI_IRQ_INDEX);
	assert_int_equal(dev->access_count, 1);
}

/* Through its own mirror a function may move or switch off the BAR that the mirror is in. */
static void test_moves_itself(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *pdev;
	uint64_t base;

	gpu(0x1eb8, 0x030000a1);
	pdev = fake_guest_add(g, NVME);
	fake_guest_place(g);
	base = pci_bar_addr(pdev, 0);
	fake_guest_write(g, base + MIRROR + PCI_BASE_ADDRESS_0, 4, base + 64 * MIB);
	assert_int_equal(fake_guest_read(g, base + MIRROR, 4), 0xffffffff);
	base += 64 * MIB;
	assert_int_equal(fake_guest_read(g, base + MIRROR, 4), 0x1eb810de);
	fake_guest_write(g, base + MIRROR + PCI_COMMAND, 1, 0);
	assert_int_equal(fake_guest_read(g, base + MIRROR, 4), 0xffffffff);
	pci_config_write(pdev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(fake_guest_read(g, base + MIRROR, 4), 0x1eb810de);
}

/* Old ones have it elsewhere; other functions and too small a BAR have none. */
static void test_which(void **state)
{
	static const struct {
		uint16_t vendor, device;
		uint32_t class_rev;
		uint64_t size, mirror; /* 0: none */
	} cases[] = {
		{ 0x10de, 0x0322, 0x030000a1, 16 * MIB, OLD_MIRROR }, /* NV34 */
		{ 0x10de, 0x0020, 0x03000004, 16 * MIB, OLD_MIRROR }, /* NV4 */
		{ 0x10de, 0x0041, 0x030000a1, 16 * MIB, MIRROR },     /* NV40 */
		{ 0x10de, 0x2684, 0x030000a1, 16 * MIB, MIRROR },
		{ 0x10de, 0x228b, 0x040300a1, 16 * KIB, 0 }, /* its sound */
		{ 0x1002, 0x0322, 0x030000a1, 16 * MIB, 0 },
		{ 0x10de, 0x0041, 0x030000a1, 64 * KIB, 0 },
	};
	struct fake_guest *g = *state;
	struct fake_vdev *dev = gpu(0, 0);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pci_dev *pdev;
		uint64_t base;

		put_le32(dev->config, (uint32_t)cases[i].device << 16 | cases[i].vendor);
		put_le32(dev->config + PCI_CLASS_REVISION, cases[i].class_rev);
		dev->regions[0].size = cases[i].size;
		pdev = fake_guest_add(g, NVME);
		fake_guest_place(g);
		base = pci_bar_addr(pdev, 0);
		if (cases[i].mirror) {
			expect_cut(pdev, align_down(cases[i].mirror, 4096));
			assert_int_equal(fake_guest_read(g, base + cases[i].mirror + 2, 2),
					 cases[i].device);
		} else {
			assert_int_equal(pdev->bars[0].range.part_count, 1);
			assert_int_equal(pdev->bars[0].range.parts[0].size, cases[i].size);
		}
		fake_guest_remove(g, pdev);
		memset(dev->config + PCI_COMMAND, 0, 2);
	}
}

/* The bytes of the old mirror's page that are not config space are the hardware's. */
static void test_old(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = gpu(0x0322, 0x030000a1);
	struct pci_dev *pdev;
	uint64_t base;

	dev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size = 256;
	pdev = fake_guest_add(g, NVME);
	fake_guest_place(g);
	base = pci_bar_addr(pdev, 0);
	assert_int_equal(fake_guest_read(g, base + OLD_MIRROR, 4), 0x032210de);
	fake_vfio_forget();
	fake_guest_write(g, base + 0x17fc, 4, 1);
	fake_guest_write(g, base + 0x1900, 4, 2);
	assert_int_equal(dev->access_count, 2);
	assert_int_equal(dev->accesses[0].region, VFIO_PCI_BAR0_REGION_INDEX);
	assert_int_equal(dev->accesses[1].offset, 0x1900);
}

static unsigned int cap_find(struct pci_dev *pdev, uint8_t id)
{
	unsigned int at, n;

	for (at = pci_config_read(pdev, PCI_CAPABILITY_LIST, 1), n = 0; at && n < 48; n++) {
		if (pci_config_read(pdev, at, 1) == id)
			return at;
		at = pci_config_read(pdev, at + 1, 1);
	}
	return 0;
}

static void test_clique(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = gpu(0x1eb8, 0x030200a1);
	struct pci_dev *pdev = fake_guest_add(g, NVME ",nv-gpudirect-clique=5");

	assert_int_equal(cap_find(pdev, PCI_CAP_ID_VNDR), 0xc8);
	assert_int_equal(pci_config_read(pdev, 0xc8, 4), 0x50080009);
	assert_int_equal(pci_config_read(pdev, 0xcc, 4), 5 << 19 | 'P' << 8 | '2');
	assert_int_equal(cap_find(pdev, PCI_CAP_ID_EXP), 0x78);
	fake_vfio_forget();
	pci_config_write(pdev, 0xcc, 4, 0);
	assert_int_equal(pci_config_read(pdev, 0xce, 1), 5 << 3);
	assert_int_equal(dev->access_count, 0);
	fake_guest_remove(g, pdev);
	/* MSI-X is at 0xc8 on newer ones; the clique may be 0. */
	dev->config[0x79] = 0xc8;
	put_le32(dev->config + 0xc8, PCI_CAP_ID_MSIX);
	put_le32(dev->config + 0xcc, 0x00b90000);
	put_le32(dev->config + 0xd0, 0x00ba0000);
	dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD;
	dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].count = 1;
	pdev = fake_guest_add(g, NVME ",nv-gpudirect-clique=0");
	assert_int_equal(cap_find(pdev, PCI_CAP_ID_MSIX), 0xc8);
	assert_int_equal(cap_find(pdev, PCI_CAP_ID_VNDR), 0xd4);
	assert_int_equal(pci_config_read(pdev, 0xd4, 4), 0x50080009);
	assert_int_equal(pci_config_read(pdev, 0xd8, 4), 'P' << 8 | '2');
}

/* What lies before 0xc8 and how far it reaches decides where the clique goes. */
static void test_clique_place(void **state)
{
	static const struct {
		uint8_t at;
		uint32_t head;
		uint8_t want;
	} cases[] = {
		{ 0xc4, PCI_CAP_ID_PM, 0xd4 },
		{ 0xc0, PCI_CAP_ID_PM, 0xc8 },
		{ 0xc4, PCI_CAP_ID_VPD, 0xd4 },
		{ 0xc4, PCI_CAP_ID_SSVID, 0xc8 }, /* not known: its header alone */
		{ 0xb0, PCI_CAP_ID_VNDR | 0x18 << 16, 0xc8 },
		{ 0xb0, PCI_CAP_ID_VNDR | 0x19 << 16, 0xd4 },
		{ 0x90, PCI_CAP_ID_EXP | 2 << 16, 0xd4 },
		{ 0x90, PCI_CAP_ID_EXP | 1 << 16, 0xc8 },
		{ 0xb8, PCI_CAP_ID_MSI | PCI_MSI_FLAGS_64BIT << 16, 0xc8 },
		{ 0xb8, PCI_CAP_ID_MSI | (PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT) << 16,
		  0xd4 },
		{ 0xcc, PCI_CAP_ID_VNDR | 4 << 16, 0xd4 },
	};
	struct fake_guest *g = *state;
	struct fake_vdev *dev = gpu(0x1eb8, 0x030200a1);
	size_t i;

	put_le32(dev->config + 0x78, 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pci_dev *pdev;

		memset(dev->config + 0x80, 0, 0x80);
		dev->config[PCI_CAPABILITY_LIST] = cases[i].at;
		put_le32(dev->config + cases[i].at, cases[i].head);
		pdev = fake_guest_add(g, NVME ",nv-gpudirect-clique=15");
		assert_int_equal(pci_config_read(pdev, cases[i].at + 1, 1), cases[i].want);
		assert_int_equal(pci_config_read(pdev, cases[i].want, 4), 0x50080009);
		fake_guest_remove(g, pdev);
		memset(dev->config + PCI_COMMAND, 0, 2);
	}
	/* The only one there is. */
	dev->config[PCI_STATUS] = 0;
	assert_int_equal(
		cap_find(fake_guest_add(g, NVME ",nv-gpudirect-clique=15"), PCI_CAP_ID_VNDR), 0xc8);
}

static void test_clique_refused(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = gpu(0x1eb8, 0x030200a1);

	fake_guest_refuses(g, NVME ",nv-gpudirect-clique=16", -EINVAL,
			   "nv-gpudirect-clique=16: it takes 0 to 15");
	fake_guest_refuses(g, NVME ",nv-gpudirect-clique=x", -EINVAL, "it takes 0 to 15");
	/* Vendor capabilities that reach into both places. */
	dev->config[0x79] = 0xc4;
	put_le32(dev->config + 0xc4, 0x00140009);
	fake_guest_refuses(g, NVME ",nv-gpudirect-clique=1", -ENOSPC,
			   "0xc8 and 0xd4 of config space both hold");
	put_le32(dev->config + PCI_CLASS_REVISION, 0x040300a1);
	fake_guest_refuses(g, NVME ",nv-gpudirect-clique=1", -EINVAL,
			   "is for NVIDIA's display functions; this is 10de:1eb8 of class 04");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_mirror, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rearm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moves_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_which, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clique, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clique_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clique_refused, setup, teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
