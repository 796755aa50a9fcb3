// SPDX-License-Identifier: GPL-2.0-or-later
/* Functions whose config space, regions or interrupts make no sense: cut down or refused, and said.
 */
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
#include "sriov/quarantine.h"

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

static void gone(struct fake_guest *g, struct pci_dev *pdev)
{
	fake_guest_remove(g, pdev);
	g->len = 0;
	g->text[0] = '\0';
}

static unsigned int lines(const struct fake_guest *g)
{
	unsigned int n = 0;
	size_t i;

	for (i = 0; i < g->len; i++)
		n += g->text[i] == '\n';
	return n;
}

/* Table and PBA of 65 vectors in a BAR of 16 KiB, with ports in BAR 2 and nothing in BAR 3. */
static void test_msix(void **state)
{
	static const struct {
		uint32_t table, pba;
		const char *log; /* NULL: it can be used */
	} cases[] = {
		{ 0x2000, 0x2800, NULL },
		{ 0x0000, 0x0410, NULL },      /* one right behind the other */
		{ 0x3bf0, 0x3be0, NULL },      /* to the last byte */
		{ 0x0008, 0x3ff0, NULL },      /* at odd places */
		{ 0x2000, 0x2000, "overlap" }, /* on top of one another */
		{ 0x2000, 0x2408, "overlap" }, /* the last entry's second half */
		{ 0x2000, 0x1ff8, "overlap" },
		{ 0x3bf8, 0x0000, "does not lie in its BAR" },
		{ 0x0000, 0x3ff8, "does not lie in its BAR" },
		{ 0xfffffff8 & ~7u, 0, "does not lie in its BAR" },
		{ 0x0003, 0x2000, "does not lie in its BAR" }, /* no such BAR here */
		{ 0x0001, 0x2000, "does not lie in its BAR" }, /* the upper half of BAR 0 */
		{ 0x0006, 0x2000, "does not lie in its BAR" }, /* no such BAR anywhere */
		{ 0x0000, 0x2007, "does not lie in its BAR" },
		{ 0x0002, 0x2000, "does not lie in its BAR" }, /* 64 ports hold four entries */
	};
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	size_t i;

	dev->regions[2].size = 64;
	dev->regions[2].flags = RW;
	put_le32(dev->config + PCI_BASE_ADDRESS_2, PCI_BASE_ADDRESS_SPACE_IO);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pci_dev *pdev;

		put_le32(dev->config + 0x84, cases[i].table);
		put_le32(dev->config + 0x88, cases[i].pba);
		pdev = fake_guest_add(g, NVME);
		if (!cases[i].log) {
			assert_int_equal(pdev->msix.cap, 0x80);
			assert_int_equal(g->len, 0);
		} else {
			assert_int_equal(pdev->msix.cap, 0);
			assert_true(fake_guest_logged(g, cases[i].log));
			assert_true(fake_guest_logged(g, "at 0x80; left out"));
			assert_int_equal(lines(g), 1);
			/* MSI is still there, and leads past it. */
			assert_int_equal(pci_config_read(pdev, 0x50, 2), 0xa005);
		}
		fake_guest_place(g);
		gone(g, pdev);
		memset(dev->config + PCI_COMMAND, 0, 2);
	}
}

/* More vectors than VFIO gives, and more than a message can say. */
static void test_vectors(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;

	dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].count = 4;
	dev->config[0x52] = 0xfe; /* 128 messages */
	dev->irqs[VFIO_PCI_MSI_IRQ_INDEX].count = 200;
	dev->config[PCI_INTERRUPT_PIN] = 0xff;
	pdev = fake_guest_add(g, NVME);
	assert_int_equal(pdev->msix.count, 4);
	assert_int_equal(pci_config_read(pdev, 0x82, 2), 3);
	assert_int_equal(pdev->msi.count_max, 32);
	assert_int_equal(pci_config_read(pdev, PCI_INTERRUPT_PIN, 1), 1);
	gone(g, pdev);
	/* Interrupts of a kind that no eventfd can serve are not there. */
	dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].flags = 0;
	dev->irqs[VFIO_PCI_MSI_IRQ_INDEX].flags = 0;
	dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD;
	pdev = fake_guest_add(g, NVME);
	assert_int_equal(pdev->msix.cap | pdev->msi.cap, 0);
	assert_int_equal(pci_config_read(pdev, PCI_INTERRUPT_PIN, 1), 0);
}

/* BARs that no register can describe. */
static void test_bars(void **state)
{
	static const struct {
		unsigned int bar;
		uint64_t size;
		uint32_t low;
		bool left_out;
	} cases[] = {
		{ 0, 0, PCI_BASE_ADDRESS_MEM_TYPE_64, true },
		{ 5, 0x1000, PCI_BASE_ADDRESS_MEM_TYPE_64, true },
		{ 4, 0x1000, PCI_BASE_ADDRESS_MEM_TYPE_64, false },
		{ 2, 128 * KIB, PCI_BASE_ADDRESS_SPACE_IO, true },
		{ 2, 256, PCI_BASE_ADDRESS_SPACE_IO, false },
		{ 2, 4 * GIB, 0, true },
		{ 2, 512 * MIB, 0, false },
		{ 2, BIT64(63), PCI_BASE_ADDRESS_MEM_TYPE_64, true },
		{ 2, UINT64_MAX, PCI_BASE_ADDRESS_MEM_TYPE_64, true },
		{ 2, 1, 0, false },
		{ 2, 0x1800, 0, false },
	};
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_dev(VF0, VF0_GROUP);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int bar = cases[i].bar;
		struct pci_dev *pdev;

		dev->regions[bar].size = cases[i].size;
		dev->regions[bar].flags = RW;
		put_le32(dev->config + PCI_BASE_ADDRESS_0 + 4ul * bar, cases[i].low);
		pdev = fake_guest_add(g, VF0);
		assert_int_equal(pdev->bars[bar].kind == PCI_BAR_NONE, cases[i].left_out);
		if (cases[i].size)
			assert_int_equal(fake_guest_logged(g, "makes no sense; left out"),
					 cases[i].left_out);
		fake_guest_place(g);
		pci_config_write(pdev, PCI_BASE_ADDRESS_0 + 4ul * bar, 4, 0xffffffff);
		if (cases[i].left_out)
			assert_int_equal(pci_config_read(pdev, PCI_BASE_ADDRESS_0 + 4ul * bar, 4),
					 0);
		gone(g, pdev);
		dev->regions[bar].size = 0;
		memset(dev->config + PCI_COMMAND, 0, 2);
		put_le32(dev->config + PCI_BASE_ADDRESS_0 + 4ul * bar, 0);
	}
}

/* A list that goes wrong is told once, whatever reads it. */
static void test_told_once(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);

	dev->config[0xa1] = 0x50;
	fake_guest_add(g, NVME);
	assert_true(fake_guest_logged(g,
				      "0000:02:00.0: its capability list is a loop at 0x50; left "
				      "out"));
	assert_int_equal(lines(g), 1);
}

/* Capabilities on top of one another and cut off by the end of the space. */
static void test_caps_overlap(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;
	unsigned int at;

	/* MSI within power management, MSI-X within MSI. */
	dev->config[0x41] = 0x44;
	put_le32(dev->config + 0x44, 0x00808005 | 0x48 << 8);
	dev->config[0x45] = 0x48;
	put_le32(dev->config + 0x48, 0x0040fc11);
	put_le32(dev->config + 0x4c, 0x2000);
	put_le32(dev->config + 0x50, 0x2800);
	put_le32(dev->config + 0xfc, 0x00020010); /* PCIe in the last four bytes */
	pdev = fake_guest_add(g, NVME);
	for (at = 0x40; at < 0x100; at++) {
		pci_config_write(pdev, at, 1, 0xff);
		pci_config_read(pdev, at & ~3u, 4);
		pci_config_write(pdev, at, 1, 0);
	}
	fake_guest_place(g);
	dev_reset_all(g->vm);
	assert_int_equal(pci_config_read(pdev, 0xfe, 2) & PCI_EXP_FLAGS_VERS, 2);
}

static void refused(struct fake_guest *g, int code, const char *text)
{
	struct pci_addr addr;

	fake_guest_refuses(g, NVME, code, text);
	/* One that did not answer would be refused unseen from now on. */
	assert_int_equal(pci_addr_parse(NVME, &addr), 0);
	quarantine_clear(&g->host->host, &addr, NULL);
}

/* What cannot be cut down. */
static void test_refused(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);

	put_le32(dev->config, 0x0010ffff);
	refused(g, -ENODEV, "the function does not answer");
	put_le32(dev->config, 0);
	refused(g, -ENODEV, "config space reads as all zeros");
	put_le32(dev->config, 0x00101b36);
	dev->regions[0].sparse = true;
	dev->regions[0].area_count = 1;
	dev->regions[0].areas[0] = (struct vfio_region_sparse_mmap_area){ 0x3000, 0x2000 };
	refused(g, -EPROTO, "VFIO region 0: its description makes no sense");
	dev->regions[0].areas[0] = (struct vfio_region_sparse_mmap_area){ UINT64_MAX - 1, 4096 };
	refused(g, -EPROTO, "VFIO region 0");
	dev->regions[0].sparse = false;
	dev->config[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_CARDBUS;
	refused(g, -EINVAL, "this is a bridge");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_msix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vectors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bars, setup, teardown),
		cmocka_unit_test_setup_teardown(test_told_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_caps_overlap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
