// SPDX-License-Identifier: GPL-2.0-or-later
/* BARs smaller than a page: reached through their page, as long as nothing else lies on it. */
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

#define RW (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

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

/* Three 32-bit BARs: 256 bytes, 64 bytes, and a whole page. */
static struct fake_vdev *three(void)
{
	struct fake_vdev *dev = fake_vfio_dev(VF0, VF0_GROUP);

	dev->regions[0].size = 0x100;
	dev->regions[0].flags = RW | VFIO_REGION_INFO_FLAG_MMAP;
	dev->regions[1].size = 0x40;
	dev->regions[1].flags = RW | VFIO_REGION_INFO_FLAG_MMAP;
	dev->regions[2].size = 0x1000;
	dev->regions[2].flags = RW | VFIO_REGION_INFO_FLAG_MMAP;
	return dev;
}

static void move(struct pci_dev *pdev, unsigned int bar, uint64_t addr)
{
	pci_config_write(pdev, PCI_BASE_ADDRESS_0 + 4 * bar, 4, (uint32_t)addr);
}

/* A read of the guest's through an exit: the fake hardware has seen it. */
static bool forwarded(struct fake_guest *g, struct fake_vdev *dev, uint64_t addr)
{
	unsigned int before = dev->access_count;

	fake_guest_read(g, addr, 4);
	return dev->access_count == before + 1;
}

static void test_alone(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = three();
	struct pci_dev *pdev = fake_guest_add(g, VF0);
	uint64_t base;

	assert_int_equal(pdev->bars[0].size, 0x100);
	assert_int_equal(pdev->bars[0].range.size, 0x100);
	fake_guest_place(g);
	base = pci_bar_addr(pdev, 0);
	/* Placed on pages of their own, each with a slot of a page. */
	assert_int_equal(base % 4096, 0);
	assert_int_equal(fake_kvm_slot(base)->memory_size, 4096);
	assert_int_equal(fake_kvm_slot(pci_bar_addr(pdev, 1))->memory_size, 4096);
	assert_int_equal((uintptr_t)pdev->bars[0].range.parts[0].hva % 4096, 0);
	/* Not at the beginning of a page: exits, of which the hardware sees the offset in its BAR.
	 */
	move(pdev, 0, base + 0x100);
	assert_null(fake_kvm_slot(base));
	assert_true(forwarded(g, dev, base + 0x104));
	assert_int_equal(dev->accesses[dev->access_count - 1].offset, 4);
	move(pdev, 0, base);
	assert_non_null(fake_kvm_slot(base));
	pci_config_write(pdev, PCI_COMMAND, 2, 0);
	assert_null(fake_kvm_slot(base));
	pci_config_write(pdev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_non_null(fake_kvm_slot(base));
}

/* Whoever else comes onto the page takes it from both, and gives it back when it goes. */
static void test_shared(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = three();
	struct pci_dev *pdev = fake_guest_add(g, VF0);
	uint64_t base, other;

	fake_guest_place(g);
	base = pci_bar_addr(pdev, 0);
	other = pci_bar_addr(pdev, 1);
	move(pdev, 1, base + 0xfc0);
	assert_null(fake_kvm_slot(base));
	assert_true(forwarded(g, dev, base));
	assert_true(forwarded(g, dev, base + 0xfc0));
	move(pdev, 1, base + 0x1000);
	assert_non_null(fake_kvm_slot(base));
	assert_non_null(fake_kvm_slot(base + 0x1000));
	move(pdev, 1, base + 0xfc0);
	move(pdev, 1, 0); /* nowhere */
	assert_non_null(fake_kvm_slot(base));
	/* The other one first on the page. */
	move(pdev, 1, other);
	move(pdev, 0, other + 0x800);
	assert_null(fake_kvm_slot(other));
	move(pdev, 0, base);
	assert_non_null(fake_kvm_slot(other));
	assert_non_null(fake_kvm_slot(base));
}

/* A BAR of a page on top of a small one waits until that is gone. */
static void test_on_top(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = three();
	struct pci_dev *pdev = fake_guest_add(g, VF0);
	uint64_t base, page;

	fake_guest_place(g);
	base = pci_bar_addr(pdev, 0);
	page = pci_bar_addr(pdev, 2);
	move(pdev, 2, base);
	assert_int_equal(fake_kvm_slot(base)->userspace_addr,
			 (uintptr_t)pdev->bars[0].range.parts[0].hva);
	assert_null(fake_kvm_slot(page));
	move(pdev, 0, page);
	assert_int_equal(fake_kvm_slot(base)->userspace_addr,
			 (uintptr_t)pdev->bars[2].range.parts[0].hva);
	assert_non_null(fake_kvm_slot(page));
	/* A whole page next to a small range that does not begin one. */
	move(pdev, 0, base + 0x1f00);
	move(pdev, 1, base + 0x1000);
	assert_non_null(fake_kvm_slot(base));
	assert_null(fake_kvm_slot(base + 0x1000));
	assert_true(forwarded(g, dev, base + 0x1f00));
}

/* Two functions; removing one gives the page to the other. */
static void test_removed(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = three();
	struct pci_dev *pdev = fake_guest_add(g, VF0), *other;
	uint64_t base;

	(void)dev;
	fake_vfio_nvme(NVME, NVME_GROUP)->regions[0].size = 0x200;
	other = fake_guest_add(g, NVME);
	assert_int_equal(other->msix.cap, 0); /* its table was beyond */
	fake_guest_place(g);
	base = pci_bar_addr(pdev, 0);
	move(other, 1, 0);
	move(other, 0, base + 0x800);
	assert_null(fake_kvm_slot(base));
	fake_guest_remove(g, other);
	assert_non_null(fake_kvm_slot(base));
}

/* Where the kernel gives no page, where MSI-X lies in it, and where mapping fails: exits. */
static void test_not(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = three();
	struct pci_dev *pdev;

	dev->regions[0].flags = RW;
	fake_vfio_fail(FAKE_MAP, 1, EINVAL);
	pdev = fake_guest_add(g, VF0);
	assert_int_equal(pdev->bars[0].range.part_count, 0);
	assert_int_equal(pdev->bars[1].range.part_count, 0);
	assert_true(fake_guest_logged(g, "BAR 1: mapping it: Invalid argument; each access is an "
					 "exit"));
	fake_guest_place(g);
	assert_true(forwarded(g, dev, pci_bar_addr(pdev, 0)));
	assert_true(forwarded(g, dev, pci_bar_addr(pdev, 1) + 0x3c));
	fake_guest_remove(g, pdev);
	/* MSI-X within the small BAR: the page is the VMM's. */
	dev->regions[0].flags = RW | VFIO_REGION_INFO_FLAG_MMAP;
	dev->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	dev->config[PCI_CAPABILITY_LIST] = 0x70;
	dev->config[0x70] = PCI_CAP_ID_MSIX;
	put_le32(dev->config + 0x74, 0);
	put_le32(dev->config + 0x78, 0x80);
	dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD;
	dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].count = 1;
	pdev = fake_guest_add(g, VF0);
	assert_int_equal(pdev->msix.cap, 0x70);
	assert_int_equal(pdev->bars[0].range.part_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_on_top, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not, setup, teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
