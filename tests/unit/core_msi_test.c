// SPDX-License-Identifier: GPL-2.0-or-later
/* MSI with several messages and mask bits, MSI-X by odd accesses, and both at once. */
#include <errno.h>
#include <stdlib.h>

#include "core_rig.h"
#include "vmm/types.h"

#define TABLE 0x2000u
#define PBA 0x3000u
#define ENTRIES 3u
#define ADDR 0xfee00000u
#define DEVICE_SAYS 0xa5u /* each byte of the BAR that is the device's own */

struct card {
	struct pci_dev pdev;
	unsigned int writes; /* that reached the device */
	unsigned int modes, uses;
};

static uint64_t card_read(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size)
{
	(void)dev;
	(void)range;
	(void)offset;
	return (DEVICE_SAYS * 0x0101010101010101ull) & all_ones(size);
}

static void card_write(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	(void)range;
	(void)offset;
	(void)size;
	(void)value;
	((struct card *)(void *)dev)->writes++;
}

static int card_realize(struct dev *dev, struct err *err)
{
	struct pci_dev *pdev = to_pci(dev);
	int ret;

	pci_dev_init(pdev, 0x1234, 0x5678, 0xff0000, 0, 0, PCI_CONFIG_SIZE);
	pci_bar_set(pdev, 0, PCI_BAR_MEM32, false, 0x4000);
	ret = pci_msi_init(pdev, 0, 8, true, true, err);
	if (!ret)
		ret = pci_msix_init(pdev, 0, ENTRIES, 0, TABLE, 0, PBA, err);
	return ret ? ret : pci_dev_plug(pdev, err);
}

static void card_destroy(struct dev *dev)
{
	pci_dev_unplug(to_pci(dev));
}

static void card_mode(struct pci_dev *pdev, enum pci_irq_mode mode)
{
	(void)mode;
	((struct card *)(void *)pdev)->modes++;
}

/* A device asks for the descriptor at once, as VFIO does. */
static void card_use(struct pci_dev *pdev, unsigned int vector)
{
	assert_true(pci_vector_fd(pdev, vector) >= 0);
	((struct card *)(void *)pdev)->uses++;
}

static const struct pci_ops card_pci_ops = { .irq_mode = card_mode, .vector_use = card_use };
static const struct dev_class card_class = {
	.name = "card",
	.size = sizeof(struct card),
	.pci = &card_pci_ops,
	.realize = card_realize,
	.destroy = card_destroy,
	.read = card_read,
	.write = card_write,
};

static struct card *card_new(struct vm *vm)
{
	struct err err = { 0 };
	struct dev *dev;

	if (dev_new(vm, &card_class, "card", &dev, &err) || dev_add(dev, &err) ||
	    pci_root_place(vm->pci, &err))
		fail_msg("%s", err.msg);
	return (struct card *)(void *)dev;
}

/* Message @v is to be @data + v, for @data a multiple of 8. */
static void msi_enable(struct pci_dev *pdev, unsigned int log2, uint16_t data)
{
	unsigned int cap = pdev->msi.cap;

	pci_config_write(pdev, cap + PCI_MSI_ADDRESS_LO, 4, ADDR);
	pci_config_write(pdev, cap + PCI_MSI_ADDRESS_HI, 4, 0);
	pci_config_write(pdev, cap + PCI_MSI_DATA_64, 2, data);
	pci_config_write(pdev, cap + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | log2 << 4);
	irqs_flush(&pdev->dev.vm->irqs);
}

static void msi_mask(struct pci_dev *pdev, uint32_t mask)
{
	pci_config_write(pdev, pdev->msi.cap + PCI_MSI_MASK_64, 4, mask);
	irqs_flush(&pdev->dev.vm->irqs);
}

static uint32_t msi_pending(struct pci_dev *pdev)
{
	return pci_config_read(pdev, pdev->msi.cap + PCI_MSI_PENDING_64, 4);
}

static void test_msi_with_several_messages(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct card *c = card_new(vm);
	unsigned int v;

	(void)state;
	/* The data's low bits are the message's number, whatever the guest left there. */
	msi_enable(&c->pdev, 3, 0x4347);
	assert_int_equal(pci_vector_count(&c->pdev), 8);
	for (v = 0; v < 8; v++) {
		assert_true(pci_vector_fire(&c->pdev, v));
		assert_int_equal(fake_kvm_messages(0x4340 + v), 1);
	}
	/* One that the guest did not enable is one that it did (PCI 3.0, 6.8.1.6). */
	pci_config_write(&c->pdev, c->pdev.msi.cap + PCI_MSI_FLAGS, 2, 0);
	assert_int_equal(vm->irqs.gsi_top, 0);
	msi_enable(&c->pdev, 1, 0x4380);
	assert_int_equal(pci_vector_count(&c->pdev), 2);
	assert_true(pci_vector_fire(&c->pdev, 7));
	assert_int_equal(fake_kvm_messages(0x4381), 1);
	assert_int_equal(fake_kvm_irqfds(), 2);
	rig_free(vm);
}

static void test_msi_more_than_it_can(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct card *c = card_new(vm);
	unsigned int log2;

	(void)state;
	for (log2 = 4; log2 < 8; log2++) {
		msi_enable(&c->pdev, log2, 0x1000);
		assert_int_equal(pci_vector_count(&c->pdev), 8);
		assert_int_equal(fake_kvm_irqfds(), 8);
		/* A count that changes while MSI is on counts at the next time. */
		msi_enable(&c->pdev, 0, 0x1000);
		assert_int_equal(pci_vector_count(&c->pdev), 8);
		pci_config_write(&c->pdev, c->pdev.msi.cap + PCI_MSI_FLAGS, 2, 0);
		assert_int_equal(fake_kvm_irqfds(), 0);
	}
	rig_free(vm);
}

static void test_msi_mask_and_pending(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct card *c = card_new(vm);
	unsigned int v, round;

	(void)state;
	msi_enable(&c->pdev, 3, 0x2000);
	msi_mask(&c->pdev, 0xaa);
	assert_int_equal(msi_pending(&c->pdev), 0);
	for (round = 0; round < 2; round++)
		for (v = 0; v < 8; v++)
			pci_vector_fire(&c->pdev, v);
	assert_int_equal(msi_pending(&c->pdev), 0xaa);
	for (v = 0; v < 8; v++)
		assert_int_equal(fake_kvm_messages(0x2000 + v), !(v & 1));
	/* Only the mask bits can be written. */
	pci_config_write(&c->pdev, c->pdev.msi.cap + PCI_MSI_PENDING_64, 4, 0);
	assert_int_equal(msi_pending(&c->pdev), 0xaa);
	msi_mask(&c->pdev, 0xffffffa2);
	assert_int_equal(pci_config_read(&c->pdev, c->pdev.msi.cap + PCI_MSI_MASK_64, 4), 0xa2);
	assert_int_equal(msi_pending(&c->pdev), 0xa2);
	assert_int_equal(fake_kvm_messages(0x2003), 1);
	msi_mask(&c->pdev, 0);
	assert_int_equal(msi_pending(&c->pdev), 0);
	for (v = 0; v < 8; v++)
		assert_int_equal(fake_kvm_messages(0x2000 + v), 1);
	rig_free(vm);
}

static void entry_write(struct card *c, unsigned int v, uint32_t data, bool masked)
{
	struct vm *vm = c->pdev.dev.vm;
	uint64_t at = pci_bar_addr(&c->pdev, 0) + TABLE + 16ull * v;
	uint32_t words[4] = { htole32(ADDR), 0, htole32(data), htole32(masked) };
	unsigned int i;

	for (i = 0; i < 4; i++)
		bus_access(&vm->bus, BUS_MMIO, at + 4ull * i, &words[i], 4, true);
	irqs_flush(&vm->irqs);
}

static void msix_enable(struct card *c, bool on)
{
	pci_config_write(&c->pdev, c->pdev.msix.cap + PCI_MSIX_FLAGS, 2,
			 on ? PCI_MSIX_FLAGS_ENABLE : 0);
	irqs_flush(&c->pdev.dev.vm->irqs);
}

/* MSI-X stands while both are on, in whatever order; what MSI holds meanwhile is given back. */
static void test_both_at_once(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct card *c = card_new(vm);
	unsigned int uses;

	(void)state;
	msi_enable(&c->pdev, 3, 0x3000);
	entry_write(c, 0, 0x40, false);
	msix_enable(c, true);
	assert_int_equal(c->pdev.irq_mode, PCI_IRQ_MSIX);
	assert_true(pci_vector_fire(&c->pdev, 0));
	assert_int_equal(fake_kvm_messages(0x40), 1);
	assert_int_equal(fake_kvm_messages(0x3000), 0);
	assert_int_equal(pci_vector_fd(&c->pdev, ENTRIES), -1);
	uses = c->uses;
	pci_config_write(&c->pdev, c->pdev.msi.cap + PCI_MSI_FLAGS, 2, 0);
	msi_enable(&c->pdev, 3, 0x3000);
	assert_int_equal(c->uses, uses);
	entry_write(c, 1, 0x41, false);
	assert_int_equal(c->uses, uses + 1);
	msix_enable(c, false);
	assert_int_equal(c->pdev.irq_mode, PCI_IRQ_MSI);
	pci_vector_fire(&c->pdev, 5);
	assert_int_equal(fake_kvm_messages(0x3005), 1);
	assert_int_equal(fake_kvm_irqfds(), 8);
	pci_config_write(&c->pdev, c->pdev.msi.cap + PCI_MSI_FLAGS, 2, 0);
	assert_int_equal(fake_kvm_irqfds(), 0);
	assert_int_equal(vm->irqs.gsi_top, 0);
	rig_free(vm);
}

/* Any width at any place in and round the table and the PBA: the entries are the guest's to write
 * by 4 and 8 bytes, the rest is the device's, and nothing else is touched. */
static void test_accesses_of_every_kind(void **state)
{
	static const uint64_t spans[][2] = {
		{ TABLE - 16, TABLE + 16ul * ENTRIES + 16 },
		{ PBA - 16, PBA + 8 + 16 },
	};
	struct vm *vm = rig_new(MIB);
	struct card *c = card_new(vm);
	uint64_t home = pci_bar_addr(&c->pdev, 0), at;
	unsigned int size, s;
	uint8_t buf[8];

	(void)state;
	msix_enable(c, true);
	for (s = 0; s < ARRAY_SIZE(spans); s++) {
		for (at = spans[s][0]; at < spans[s][1]; at++) {
			for (size = 1; size <= 8; size++) {
				memset(buf, 0xff, sizeof(buf));
				bus_access(&vm->bus, BUS_MMIO, home + at, buf, size, true);
				bus_access(&vm->bus, BUS_MMIO, home + at, buf, size, false);
			}
		}
	}
	assert_true(c->writes > 0);
	/* What is the device's is answered by it, up to the last byte before and from the first
	 * byte behind. */
	bus_access(&vm->bus, BUS_MMIO, home + TABLE - 4, buf, 8, false);
	assert_int_equal(buf[3], DEVICE_SAYS);
	assert_int_equal(buf[4], 0xff);
	bus_access(&vm->bus, BUS_MMIO, home + TABLE + 16ul * ENTRIES - 4, buf, 8, false);
	assert_int_equal(buf[3], 0xff);
	assert_int_equal(buf[4], DEVICE_SAYS);
	bus_access(&vm->bus, BUS_MMIO, home + PBA, buf, 8, false);
	assert_int_equal(get_le64(buf), 0);
	bus_access(&vm->bus, BUS_MMIO, home + PBA + 8, buf, 4, false);
	assert_int_equal(buf[0], DEVICE_SAYS);
	/* Narrow writes change no entry (6.8.2). */
	entry_write(c, 0, 0x77, true);
	memset(buf, 0, sizeof(buf));
	bus_access(&vm->bus, BUS_MMIO, home + TABLE + 8, buf, 1, true);
	bus_access(&vm->bus, BUS_MMIO, home + TABLE + 8, buf, 2, true);
	assert_int_equal(c->pdev.msix.table[8], 0x77);
	rig_free(vm);
}

static void test_a_vector_that_is_not_there(void **state)
{
	static const unsigned int beyond[] = { ENTRIES, 31, 2047, 2048, 65535, 0xffffffff };
	struct vm *vm = rig_new(MIB);
	struct card *c = card_new(vm);
	size_t i;

	(void)state;
	entry_write(c, ENTRIES - 1, 0x50, false);
	msix_enable(c, true);
	for (i = 0; i < ARRAY_SIZE(beyond); i++) {
		assert_true(pci_vector_fire(&c->pdev, beyond[i]));
		assert_int_equal(pci_vector_fd(&c->pdev, beyond[i]), -1);
	}
	assert_int_equal(fake_kvm_messages(0x50), 0);
	assert_true(pci_vector_fire(&c->pdev, ENTRIES - 1));
	assert_int_equal(fake_kvm_messages(0x50), 1);
	rig_free(vm);
}

/* MSI-X off while vectors are in use, masked and pending: all is given back, and nothing old comes
 * when it is on again. */
static void test_off_with_vectors_live(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct card *c = card_new(vm);
	unsigned int round;

	(void)state;
	for (round = 1; round <= 100; round++) {
		entry_write(c, 0, 0x60, false);
		entry_write(c, 1, 0x61, true);
		msix_enable(c, true);
		assert_true(pci_vector_fire(&c->pdev, 0));
		assert_int_equal(fake_kvm_messages(0x60), round);
		pci_vector_fire(&c->pdev, 1);
		msix_enable(c, false);
		assert_false(pci_vector_fire(&c->pdev, 0));
		assert_int_equal(fake_kvm_irqfds(), 0);
		assert_int_equal(vm->irqs.gsi_top, 0);
		msix_enable(c, true);
		entry_write(c, 1, 0x61, false);
		assert_int_equal(fake_kvm_messages(0x61), 0);
		assert_int_equal(fake_kvm_messages(0x60), round);
		msix_enable(c, false);
	}
	rig_free(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_msi_with_several_messages),
		cmocka_unit_test(test_msi_more_than_it_can),
		cmocka_unit_test(test_msi_mask_and_pending),
		cmocka_unit_test(test_both_at_once),
		cmocka_unit_test(test_accesses_of_every_kind),
		cmocka_unit_test(test_a_vector_that_is_not_there),
		cmocka_unit_test(test_off_with_vectors_live),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
