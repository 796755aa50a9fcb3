// SPDX-License-Identifier: GPL-2.0-or-later
/* Config writes that do more than change bytes: power states and function level reset. */
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

#define PMCSR 0x44 /* of fake_vfio_nvme() */
#define EXP 0xa0
#define MSI 0x50
#define MSIX 0x80

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

/* Asleep the function answers config space alone, and nobody touches its BARs. */
static void test_sleep(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	unsigned int slots, dma, i;
	uint64_t base;

	fake_guest_place(g);
	base = pci_bar_addr(pdev, 0);
	slots = fake_kvm_slots();
	dma = fake_vfio_dma(NULL, 0);
	assert_non_null(fake_kvm_slot(base));
	for (i = 1; i <= 3; i++) {
		pci_config_write(pdev, PMCSR, i & 1 ? 2 : 1, i);
		assert_int_equal(dev->config[PMCSR], i);
		assert_int_equal(fake_kvm_slots(), slots - 2);
		fake_vfio_forget();
		assert_int_equal(fake_guest_read(g, base, 4), 0xffffffff);
		assert_int_equal(fake_guest_read(g, base + 0x2000, 4), 0xffffffff);
		fake_guest_write(g, base + 0x2c00, 4, 1);
		assert_int_equal(dev->access_count, 0);
		/* Config space answers, and a BAR that moves meanwhile is found where it went. */
		assert_int_equal(pci_config_read(pdev, PCI_VENDOR_ID, 2), 0x1b36);
		base += MIB;
		pci_config_write(pdev, PCI_BASE_ADDRESS_0, 4, (uint32_t)base);
		assert_null(fake_kvm_slot(base));
		pci_config_write(pdev, PMCSR, 2, 0);
		assert_int_equal(fake_kvm_slots(), slots);
		assert_non_null(fake_kvm_slot(base));
	}
	assert_int_equal(fake_vfio_dma(NULL, 0), dma);
}

/* A write that the kernel refuses leaves the function awake; another byte of PMCSR is no state. */
static void test_sleep_refused(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	uint64_t base;

	fake_guest_place(g);
	base = pci_bar_addr(pdev, 0);
	fake_vfio_fail(FAKE_PWRITE, 1, EIO);
	pci_config_write(pdev, PMCSR, 2, 3);
	assert_non_null(fake_kvm_slot(base));
	assert_true(fake_guest_logged(g, "config write at 0x44"));
	pci_config_write(pdev, PMCSR + 1, 1, 3);
	assert_non_null(fake_kvm_slot(base));
	assert_int_equal(dev->config[PMCSR + 1], 3);
	/* As part of a wider write, and as a read of what is there. */
	pci_config_write(pdev, PMCSR - 4 + 3, 1, 3);
	assert_non_null(fake_kvm_slot(base));
	pci_config_write(pdev, PMCSR, 4, 0xff000003);
	assert_null(fake_kvm_slot(base));
	assert_int_equal(pci_config_read(pdev, PMCSR, 1), 3);
}

/* The guest's reboot finds it awake. */
static void test_sleep_reset(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);

	fake_guest_place(g);
	pci_config_write(pdev, PMCSR, 2, 3);
	dev_reset_all(g->vm);
	assert_int_equal(get_le16(dev->config + PMCSR) & PCI_PM_CTRL_STATE_MASK, 0);
	assert_non_null(fake_kvm_slot(pci_bar_addr(pdev, 0)));
}

/* The second function of a card is woken by the first one's reset of their bus. */
static void test_sleep_pair(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *devs[2] = { fake_vfio_e1000(E1000, E1000_GROUP),
				      fake_vfio_e1000(RTL8139, E1000_GROUP) };
	struct pci_dev *pdevs[2];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		devs[i]->bus_reset = true;
		devs[i]->flags = VFIO_DEVICE_FLAGS_PCI;
		devs[i]->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
		devs[i]->config[PCI_CAPABILITY_LIST] = 0x40;
		put_le32(devs[i]->config + 0x40, 0x00020001);
	}
	pdevs[0] = fake_guest_add(g, E1000);
	pdevs[1] = fake_guest_add(g, RTL8139);
	fake_guest_place(g);
	for (i = 0; i < 2; i++)
		pci_config_write(pdevs[i], PMCSR, 2, 3);
	g->vm->resets++;
	dev_reset_all(g->vm);
	for (i = 0; i < 2; i++) {
		assert_int_equal(devs[i]->bus_resets, 1);
		assert_int_equal(get_le16(devs[i]->config + PMCSR) & PCI_PM_CTRL_STATE_MASK, 0);
		assert_non_null(fake_kvm_slot(pci_bar_addr(pdevs[i], 0)));
	}
}

static void msix_live(struct fake_guest *g, struct pci_dev *pdev, const struct fake_vdev *dev)
{
	fake_guest_msix_entry(g, pdev, 2, false);
	fake_guest_msix_enable(pdev, true);
	assert_int_equal(dev->mode, VFIO_PCI_MSIX_IRQ_INDEX);
	assert_true(dev->fds[2] >= 0);
}

/* Messages switched on while it sleeps, which the kernel would refuse, are set up when it wakes. */
static void test_sleep_messages(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);

	fake_guest_place(g);
	msix_live(g, pdev, dev);
	fake_guest_msix_enable(pdev, false);
	pci_config_write(pdev, PMCSR, 2, 3);
	fake_vfio_forget();
	fake_guest_msix_enable(pdev, true);
	assert_int_not_equal(dev->mode, VFIO_PCI_MSIX_IRQ_INDEX);
	assert_int_equal(dev->set_count, 0);
	/* From one sleep to another it stays so. */
	pci_config_write(pdev, PMCSR, 2, 1);
	assert_int_equal(dev->set_count, 0);
	pci_config_write(pdev, PMCSR, 2, 0);
	assert_int_equal(dev->mode, VFIO_PCI_MSIX_IRQ_INDEX);
	assert_true(dev->fds[2] >= 0);
	assert_false(fake_guest_logged(g, "no vector works"));
	/* Another sleep with them on leaves them on. */
	fake_vfio_forget();
	pci_config_write(pdev, PMCSR, 2, 3);
	pci_config_write(pdev, PMCSR, 2, 0);
	assert_int_equal(dev->set_count, 0);
	assert_int_equal(dev->mode, VFIO_PCI_MSIX_IRQ_INDEX);
}

/* What a function level reset leaves: no bus master, no message, INTx as after power-on; BARs stay
 * where they are. Both ways to ask for it. */
static void test_flr(void **state)
{
	static const struct {
		unsigned int at, size;
		uint32_t value;
	} ways[] = {
		{ EXP + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR | 0x2810 },
		{ EXP + PCI_EXP_DEVCTL, 4, PCI_EXP_DEVCTL_BCR_FLR },
		{ EXP + PCI_EXP_DEVCTL + 1, 1, PCI_EXP_DEVCTL_BCR_FLR >> 8 },
		{ 0xe0 + PCI_AF_CTRL, 1, PCI_AF_CTRL_FLR },
	};
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;
	uint64_t base;
	size_t i;

	put_le32(dev->config + EXP + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLR);
	dev->config[EXP + 1] = 0xe0;
	put_le32(dev->config + 0xe0, PCI_CAP_ID_AF | 6 << 16 | PCI_AF_CAP_FLR << 24);
	pdev = fake_guest_add(g, NVME);
	fake_guest_place(g);
	base = pci_bar_addr(pdev, 0);
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		pci_config_write(pdev, PCI_COMMAND, 2,
				 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
					 PCI_COMMAND_INTX_DISABLE);
		msix_live(g, pdev, dev);
		fake_vfio_forget();
		pci_config_write(pdev, ways[i].at, ways[i].size, ways[i].value);
		/* Silent before the write reached the kernel, and told anew after it. */
		assert_int_equal(dev->sets[0].count, 0);
		assert_int_equal(dev->accesses[0].value, ways[i].value);
		assert_int_equal(get_le16(dev->config + PCI_COMMAND), PCI_COMMAND_MEMORY);
		assert_int_equal(dev->mode, VFIO_PCI_INTX_IRQ_INDEX);
		assert_int_equal(pci_config_read(pdev, MSIX + PCI_MSIX_FLAGS, 2), 64);
		assert_int_equal(fake_guest_read(g, base + 0x2000 + 2ull * 16, 4), 0);
		assert_int_equal(fake_guest_read(g, base + 0x2000 + 2ull * 16 + 12, 4), 1);
		assert_int_equal(pci_config_read(pdev, PCI_BASE_ADDRESS_0, 4) & ~0xfu,
				 (uint32_t)base);
		assert_non_null(fake_kvm_slot(base));
		dev->config[EXP + PCI_EXP_DEVCTL + 1] = 0; /* the bit reads as 0 */
		dev->config[0xe0 + PCI_AF_CTRL] = 0;
	}
	/* And works again as after power-on. */
	pci_config_write(pdev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	msix_live(g, pdev, dev);
}

/* MSI as well; and a function that has no such reset takes the write as any other. */
static void test_flr_msi(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;

	pdev = fake_guest_add(g, NVME);
	fake_guest_place(g);
	msix_live(g, pdev, dev);
	pci_config_write(pdev, EXP + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	assert_int_equal(dev->mode, VFIO_PCI_MSIX_IRQ_INDEX);
	fake_guest_remove(g, pdev);
	put_le32(dev->config + EXP + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLR);
	pdev = fake_guest_add(g, NVME);
	fake_guest_place(g);
	pci_config_write(pdev, MSI + PCI_MSI_ADDRESS_LO, 4, 0xfee00000);
	pci_config_write(pdev, MSI + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE | 2 << 4);
	assert_int_equal(dev->mode, VFIO_PCI_MSI_IRQ_INDEX);
	pci_config_write(pdev, EXP + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	assert_int_equal(dev->mode, VFIO_PCI_INTX_IRQ_INDEX);
	assert_int_equal(pci_config_read(pdev, MSI + PCI_MSI_FLAGS, 2),
			 PCI_MSI_FLAGS_64BIT | 5 << 1);
}

/* Nothing is switched on again for a guest that resets a function on its way out. */
static void test_flr_held(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;

	put_le32(dev->config + EXP + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLR);
	pdev = fake_guest_add(g, NVME);
	fake_guest_place(g);
	pdev->dev.class->quiesce(&pdev->dev);
	pci_config_write(pdev, EXP + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_BCR_FLR);
	assert_int_equal(dev->mode, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sleep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sleep_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sleep_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sleep_pair, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sleep_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flr, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flr_msi, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flr_held, setup, teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
