// SPDX-License-Identifier: GPL-2.0-or-later
/* Config space of a function handed over: who owns which bit, and capability lists of all kinds. */
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
#include "vfio/vfio_pci.h"
#include "vmm/pci_port.h"
#include "vmm/vm.h"

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

/* A read that the VMM answers by itself. */
static uint32_t own_read(struct fake_vdev *dev, struct pci_dev *pdev, unsigned int at,
			 unsigned int size)
{
	unsigned int before = dev->access_count;
	uint32_t value = pci_config_read(pdev, at, size);

	assert_int_equal(dev->access_count, before);
	return value;
}

/* One that makes one access of the same width. */
static uint32_t hw_read(struct fake_vdev *dev, struct pci_dev *pdev, unsigned int at,
			unsigned int size)
{
	unsigned int before = dev->access_count;
	uint32_t value = pci_config_read(pdev, at, size);
	const struct fake_access *a = &dev->accesses[before];

	assert_int_equal(dev->access_count, before + 1);
	assert_int_equal(a->region, VFIO_PCI_CONFIG_REGION_INDEX);
	assert_int_equal(a->offset, at);
	assert_int_equal(a->len, size);
	assert_false(a->write);
	return value;
}

static void own_write(struct fake_vdev *dev, struct pci_dev *pdev, unsigned int at,
		      unsigned int size, uint32_t value)
{
	unsigned int before = dev->access_count;

	pci_config_write(pdev, at, size, value);
	assert_int_equal(dev->access_count, before);
}

/* Returns what reached the hardware. */
static uint32_t hw_write(struct fake_vdev *dev, struct pci_dev *pdev, unsigned int at,
			 unsigned int size, uint32_t value)
{
	unsigned int before = dev->access_count;
	const struct fake_access *a = &dev->accesses[before];

	pci_config_write(pdev, at, size, value);
	assert_int_equal(dev->access_count, before + 1);
	assert_int_equal(a->offset, at);
	assert_int_equal(a->len, size);
	assert_true(a->write);
	return (uint32_t)a->value;
}

static void test_header(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;

	dev->config[PCI_HEADER_TYPE] = 0x80;
	put_le32(dev->config + PCI_SUBSYSTEM_VENDOR_ID, 0x11001af4);
	put_le32(dev->config + PCI_ROM_ADDRESS, 0xfeb00001);
	dev->config[0x36] = 0x55;
	pdev = fake_guest_add(g, NVME);
	fake_vfio_forget();
	assert_int_equal(own_read(dev, pdev, PCI_VENDOR_ID, 4), 0x00101b36);
	assert_int_equal(own_read(dev, pdev, PCI_CLASS_REVISION, 4), 0x01080202);
	assert_int_equal(own_read(dev, pdev, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(own_read(dev, pdev, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x11001af4);
	assert_int_equal(own_read(dev, pdev, PCI_ROM_ADDRESS, 4), 0);
	assert_int_equal(own_read(dev, pdev, PCI_CAPABILITY_LIST, 4), 0x40);
	assert_int_equal(own_read(dev, pdev, PCI_INTERRUPT_PIN, 1), 1);
	own_write(dev, pdev, PCI_VENDOR_ID, 4, 0);
	own_write(dev, pdev, PCI_ROM_ADDRESS, 4, 0xffffffff);
	assert_int_equal(own_read(dev, pdev, PCI_ROM_ADDRESS, 4), 0);
	assert_int_equal(own_read(dev, pdev, PCI_VENDOR_ID, 4), 0x00101b36);
	own_write(dev, pdev, PCI_INTERRUPT_LINE, 1, 11);
	assert_int_equal(own_read(dev, pdev, PCI_INTERRUPT_LINE, 1), 11);
	/* BARs never reach the hardware: sizing and moving are the guest's. */
	own_write(dev, pdev, PCI_BASE_ADDRESS_0, 4, 0xffffffff);
	assert_int_equal(own_read(dev, pdev, PCI_BASE_ADDRESS_0, 4), 0xffffc004);
	own_write(dev, pdev, PCI_BASE_ADDRESS_0 + 4, 4, 0xffffffff);
	assert_int_equal(own_read(dev, pdev, PCI_BASE_ADDRESS_0 + 4, 4), 0xffffffff);
	own_write(dev, pdev, PCI_BIST, 1, 0x40);
	assert_int_equal(own_read(dev, pdev, PCI_BIST, 1), 0);
	own_write(dev, pdev, PCI_INTERRUPT_PIN, 1, 3);
	assert_int_equal(own_read(dev, pdev, PCI_INTERRUPT_PIN, 1), 1);
	/* Cache line size is plain hardware. */
	assert_int_equal(hw_write(dev, pdev, PCI_CACHE_LINE_SIZE, 1, 16), 16);
	assert_int_equal(hw_read(dev, pdev, PCI_CACHE_LINE_SIZE, 2), 16);
}

/* Memory and I/O decoding stay on in hardware; the rest of COMMAND goes through. */
static void test_command(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_e1000(E1000, E1000_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, E1000);

	assert_int_equal(get_le16(dev->config + PCI_COMMAND), PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	fake_vfio_forget();
	assert_int_equal(hw_read(dev, pdev, PCI_COMMAND, 2), 0);
	assert_int_equal(hw_write(dev, pdev, PCI_COMMAND, 2, PCI_COMMAND_MASTER),
			 PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	assert_int_equal(hw_read(dev, pdev, PCI_COMMAND, 2), PCI_COMMAND_MASTER);
	assert_int_equal(hw_write(dev, pdev, PCI_COMMAND, 1, PCI_COMMAND_MEMORY),
			 PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	assert_int_equal(hw_read(dev, pdev, PCI_COMMAND, 4), PCI_COMMAND_MEMORY);
	/* The upper byte has no bit of ours: SERR and INTx disable. */
	assert_int_equal(hw_write(dev, pdev, PCI_COMMAND + 1, 1, 5), 5);
	/* STATUS bits are cleared by ones: they go on as they came. */
	assert_int_equal(hw_write(dev, pdev, PCI_STATUS, 2, 0xf900), 0xf900);
	dev->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
	assert_int_equal(hw_read(dev, pdev, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT,
			 PCI_STATUS_INTERRUPT);
	/* No capability in the list, no list. */
	assert_int_equal(hw_read(dev, pdev, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST, 0);
	assert_int_equal(pdev->config_size, PCI_CONFIG_SIZE);
	assert_int_equal(pci_config_read(pdev, 0x100, 4), 0xffffffff);
}

static void test_caps(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);

	fake_vfio_forget();
	assert_int_equal(own_read(dev, pdev, 0x40, 2), 0x5001);
	assert_int_equal(own_read(dev, pdev, 0x50, 2), 0x8005);
	assert_int_equal(own_read(dev, pdev, 0x80, 4), 0x0040a011);
	assert_int_equal(own_read(dev, pdev, 0xa0, 2), 0x0010);
	/* MSI and MSI-X are the VMM's, wholly. */
	own_write(dev, pdev, 0x54, 4, 0xfee00000);
	assert_int_equal(own_read(dev, pdev, 0x54, 4), 0xfee00000);
	own_write(dev, pdev, 0x82, 2, PCI_MSIX_FLAGS_MASKALL);
	assert_int_equal(own_read(dev, pdev, 0x84, 4), 0x2000);
	assert_int_equal(own_read(dev, pdev, 0x88, 4), 0x2800);
	/* Function level reset is the kernel's. */
	assert_int_equal(hw_write(dev, pdev, 0xa8, 2, PCI_EXP_DEVCTL_BCR_FLR),
			 PCI_EXP_DEVCTL_BCR_FLR);
	/* On the root bus it is an integrated endpoint, and has no link. */
	assert_int_equal(own_read(dev, pdev, 0xa2, 2), 2 | PCI_EXP_TYPE_RC_END << 4);
	assert_int_equal(own_read(dev, pdev, 0xa0 + PCI_EXP_LNKCAP, 4), 0);
	assert_int_equal(own_read(dev, pdev, 0xa0 + PCI_EXP_LNKSTA, 2), 0);
	own_write(dev, pdev, 0xa0 + PCI_EXP_LNKCTL, 2, 3);
	assert_int_equal(own_read(dev, pdev, 0xa0 + PCI_EXP_LNKCTL, 2), 0);
}

/* Behind a port: an endpoint on the link that the hardware has, and the port shows the same. */
static void test_behind_a_port(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev, *port;

	put_le16(dev->config + 0xa0 + PCI_EXP_LNKSTA, 0x0043);
	pdev = fake_guest_add(g, NVME ",port=on");
	port = &pdev->port->pdev;
	fake_guest_place(g);
	fake_vfio_forget();
	assert_int_equal(own_read(dev, pdev, 0xa2, 2), 2);
	assert_int_equal(own_read(dev, pdev, 0xa0 + PCI_EXP_LNKCAP, 4), 0x43);
	assert_int_equal(own_read(dev, pdev, 0xa0 + PCI_EXP_LNKSTA, 2), 0x43);
	assert_int_equal(own_read(dev, pdev, 0xa0 + PCI_EXP_LNKCAP2, 4), 0xe);
	assert_int_equal(pci_config_read(port, pdev->port->cap + PCI_EXP_LNKSTA, 2),
			 0x43 | PCI_EXP_LNKSTA_DLLLA);
	/* The guest's link control is the guest's. */
	own_write(dev, pdev, 0xa0 + PCI_EXP_LNKCTL, 2, PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_LD);
	assert_int_equal(own_read(dev, pdev, 0xa0 + PCI_EXP_LNKCTL, 2), PCI_EXP_LNKCTL_CCC);
	assert_int_equal(pci_dev_bus(pdev), 1);
}

/* That is where it goes if nothing is said; what the host calls integrated becomes an endpoint. */
static void test_behind_a_port_by_default(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	static const struct dev_class *const classes[] = { &vfio_pci_class, NULL };
	static const struct dev_role roles[] = { { .name = NULL } };
	const struct dev_table table = { classes, roles };
	struct dev *made;

	put_le16(dev->config + 0xa0 + PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_RC_END << 4);
	put_le16(dev->config + 0xa0 + PCI_EXP_LNKSTA, 0);
	put_le32(dev->config + 0xa0 + PCI_EXP_LNKCAP, 0);
	assert_int_equal(dev_create(g->vm, &table, "vfio-pci,host=" NVME, false, &made, NULL), 0);
	assert_non_null(to_pci(made)->port);
	assert_int_equal(own_read(dev, to_pci(made), 0xa2, 2), 2);
	/* A link that nobody knows is fast. */
	assert_int_equal(own_read(dev, to_pci(made), 0xa0 + PCI_EXP_LNKSTA, 2), 0x104);
}

/* No port has room below 4 GiB for a BAR like that. */
static void test_a_large_bar_stays_on_the_root_bus(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;

	dev->regions[0].size = GIB;
	pdev = fake_guest_add(g, NVME ",port=on");
	fake_guest_place(g);
	assert_null(pdev->port);
	assert_true(fake_guest_logged(g, "BAR 0 has 1024 MiB and is not prefetchable"));
	assert_true(pci_bar_addr(pdev, 0) >= 4 * GIB);
	assert_int_equal(pci_config_read(pdev, 0xa2, 2), 2 | PCI_EXP_TYPE_RC_END << 4);
}

static void test_ecaps(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);

	fake_vfio_forget();
	/* SR-IOV is the first: its header stays as an empty one that leads on. */
	assert_int_equal(own_read(dev, pdev, 0x100, 4), 0x12000000);
	assert_int_equal(own_read(dev, pdev, 0x108, 4), 0);
	own_write(dev, pdev, 0x108, 2, 1);
	/* AER is there, and the last: resizable BARs behind it are gone. */
	assert_int_equal(own_read(dev, pdev, 0x120, 4), 0x00020001);
	hw_read(dev, pdev, 0x124, 4);
	assert_int_equal(own_read(dev, pdev, 0x180, 4), 0);
	own_write(dev, pdev, 0x188, 4, 0x1f00);
	hw_read(dev, pdev, 0x18c, 4);
}

static void test_ecaps_vf(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, VF0);

	fake_vfio_forget();
	assert_int_equal(own_read(dev, pdev, 0x100, 4), 0x00010001);
	assert_int_equal(own_read(dev, pdev, 0x150, 4), 0);
	assert_int_equal(own_read(dev, pdev, PCI_INTERRUPT_PIN, 1), 0);
}

/* What the guest cannot use, in front, between and behind what it can. */
static void test_ecaps_hidden(void **state)
{
	static const struct {
		uint16_t id, size; /* size: how far the guest must not see */
	} hidden[] = {
		{ PCI_EXT_CAP_ID_SRIOV, 0x40 },
		{ PCI_EXT_CAP_ID_ARI, 8 },
		{ PCI_EXT_CAP_ID_ATS, 8 },
		{ PCI_EXT_CAP_ID_PRI, 16 },
		{ PCI_EXT_CAP_ID_PASID, 8 },
		{ PCI_EXT_CAP_ID_REBAR, 4 + 8 * 3 },
		{ 0x24, 4 + 8 * 3 },
		{ PCI_EXT_CAP_ID_L1SS, 16 },
		{ PCI_EXT_CAP_ID_PTM, 12 },
	};
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;
	unsigned int at;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(hidden); i++) {
		memset(dev->config + 0x100, 0x61, 0x200);
		put_le32(dev->config + 0x100, 0x14010000u | hidden[i].id);
		put_le32(dev->config + 0x140, 0x18010003); /* serial number */
		put_le32(dev->config + 0x180, 0x1c010000u | hidden[i].id);
		put_le32(dev->config + 0x1c0, 0x20010018); /* latency tolerance */
		put_le32(dev->config + 0x200, 0x00010000u | hidden[i].id);
		pdev = fake_guest_add(g, NVME);
		fake_vfio_forget();
		assert_int_equal(own_read(dev, pdev, 0x100, 4), 0x14000000);
		assert_int_equal(own_read(dev, pdev, 0x140, 4), 0x1c010003);
		assert_int_equal(own_read(dev, pdev, 0x1c0, 4), 0x00010018);
		for (at = 0; at < hidden[i].size; at++)
			assert_int_equal(own_read(dev, pdev, 0x200 + at, 1), 0);
		assert_int_equal(hw_read(dev, pdev, 0x200 + hidden[i].size, 1), 0x61);
		own_write(dev, pdev, 0x184, 4, 0xffffffff);
		assert_int_equal(own_read(dev, pdev, 0x184, 4), 0);
		fake_guest_remove(g, pdev);
		assert_int_equal(g->len, 0);
	}
}

/* Enhanced allocation would tell the host's addresses; a vendor's own is the hardware's. */
static void test_caps_odd(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;

	dev->config[0xa1] = 0xe0;
	put_le32(dev->config + 0xe0, PCI_CAP_ID_EA | 0xf0 << 8 | 2 << 16);
	put_le32(dev->config + 0xf0, PCI_CAP_ID_VNDR | 0x10 << 16 | 0x77u << 24);
	pdev = fake_guest_add(g, NVME);
	fake_vfio_forget();
	assert_int_equal(own_read(dev, pdev, 0xa1, 1), 0xf0);
	assert_int_equal(own_read(dev, pdev, 0xe0, 4), 0);
	assert_int_equal(hw_read(dev, pdev, 0xf0, 4), PCI_CAP_ID_VNDR | 0x10 << 16 | 0x77 << 24);
	assert_int_equal(hw_write(dev, pdev, 0xf4, 4, 0x12345678), 0x12345678);
	/* Its header stays, with a write across its edge. */
	assert_int_equal(hw_write(dev, pdev, 0xf0, 4, 0x1122ffff), 0x11220009);
}

/* What a broken list keeps: all up to where it goes wrong. */
static void test_caps_broken(void **state)
{
	static const struct {
		uint8_t first, at, next;
		const char *log;
		uint32_t want; /* next pointer of 0xa0 as the guest sees it */
	} cases[] = {
		{ 0x40, 0xa0, 0x40, "its capability list is a loop at 0x40", 0 },
		{ 0x40, 0xa0, 0xa0, "its capability list is a loop at 0xa0", 0 },
		{ 0x40, 0xa0, 0xff, "its capability list leads to nothing at 0xfc", 0 },
		{ 0x40, 0xa0, 0x3c, "its capability list leads to nothing at 0x3c", 0 },
		{ 0x43, 0xa0, 0xc2, "", 0xc0 },
	};
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	size_t i;

	dev->config[0xfc] = 0xff;
	dev->config[0xc0] = PCI_CAP_ID_VNDR;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pci_dev *pdev;

		dev->config[PCI_CAPABILITY_LIST] = cases[i].first;
		dev->config[cases[i].at + 1] = cases[i].next;
		g->len = 0;
		g->text[0] = '\0';
		pdev = fake_guest_add(g, NVME);
		assert_true(fake_guest_logged(g, cases[i].log));
		assert_int_equal(pci_config_read(pdev, PCI_CAPABILITY_LIST, 1), 0x40);
		assert_int_equal(pci_config_read(pdev, 0xa1, 1), cases[i].want);
		assert_int_equal(pdev->msix.cap, 0x80);
		fake_guest_remove(g, pdev);
		memset(dev->config + PCI_COMMAND, 0, 2);
	}
}

static void test_caps_full(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;
	unsigned int at, n = 0;

	/* 48 capabilities, the most that fit; then extended ones without end. */
	for (at = 0x40; at < 0x100; at += 4) {
		dev->config[at] = PCI_CAP_ID_VNDR;
		dev->config[at + 1] = (uint8_t)(at + 4);
	}
	for (at = 0x100; at < 0x1000; at += 4)
		put_le32(dev->config + at, (at + 4) % 0x1000 << 20 | 0x1000b);
	pdev = fake_guest_add(g, NVME);
	for (at = pci_config_read(pdev, PCI_CAPABILITY_LIST, 1); at;
	     at = pci_config_read(pdev, at + 1, 1))
		n++;
	assert_int_equal(n, 48);
	assert_int_equal(pdev->msix.cap, 0);
	n = 0;
	for (at = 0x100; at; at = pci_config_read(pdev, at, 4) >> 20)
		n++;
	assert_int_equal(n, 480);
	assert_true(fake_guest_logged(g, "its extended capability list is a loop"));
}

static void test_ecaps_broken(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;

	put_le32(dev->config + 0x120, 0x12020001); /* leads to itself */
	pdev = fake_guest_add(g, NVME);
	assert_int_equal(pci_config_read(pdev, 0x120, 4), 0x00020001);
	fake_guest_remove(g, pdev);
	put_le32(dev->config + 0x120, 0x03020001); /* back into the first 256 bytes */
	pdev = fake_guest_add(g, NVME);
	assert_int_equal(pci_config_read(pdev, 0x120, 4), 0x00020001);
	fake_guest_remove(g, pdev);
	put_le32(dev->config + 0x100, 0xffffffff);
	pdev = fake_guest_add(g, NVME);
	assert_int_equal(pci_config_read(pdev, 0x100, 4), 0);
	fake_guest_remove(g, pdev);
	put_le32(dev->config + 0x100, 0);
	fake_guest_add(g, NVME);
}

/* Capabilities that cannot work are taken out, and the function works without. */
static void test_caps_unfit(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev;

	put_le32(dev->config + 0x84, 0x3f00); /* the table ends behind the BAR */
	pdev = fake_guest_add(g, NVME);
	assert_true(fake_guest_logged(g, "does not lie in its BAR at 0x80; left out"));
	assert_int_equal(pdev->msix.cap, 0);
	assert_int_equal(pci_config_read(pdev, 0x51, 1), 0xa0);
	assert_int_equal(pci_config_read(pdev, 0x82, 2), 0);
	fake_guest_remove(g, pdev);
	put_le32(dev->config + 0x84, 0x2007); /* no such BAR */
	pdev = fake_guest_add(g, NVME);
	assert_int_equal(pdev->msix.cap, 0);
	fake_guest_remove(g, pdev);
	dev->irqs[VFIO_PCI_MSI_IRQ_INDEX].count = 0;
	dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].count = 0;
	pdev = fake_guest_add(g, NVME);
	assert_int_equal(pci_config_read(pdev, 0x41, 1), 0xa0);
	/* At the very end of the space there is no room for them. */
	fake_guest_remove(g, pdev);
	dev->irqs[VFIO_PCI_MSI_IRQ_INDEX].count = 32;
	dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].count = 65;
	dev->config[PCI_CAPABILITY_LIST] = 0xfc;
	put_le32(dev->config + 0xfc, 0xf811);
	put_le32(dev->config + 0xf8, 0xf405);
	put_le32(dev->config + 0xf4, 0x0010);
	pdev = fake_guest_add(g, NVME);
	assert_int_equal(pci_config_read(pdev, PCI_CAPABILITY_LIST, 1), 0xf4);
	assert_int_equal(pci_config_read(pdev, 0x100, 4), 0x12000000);
}

static void test_refused(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);

	dev->dead = true;
	fake_guest_refuses(g, NVME, -ENODEV,
			   "0000:02:00.0: config space reads as all ones: the function does not "
			   "answer; reset or power-cycle it");
	dev->dead = false;
	fake_remove(g->host, "run/viaduct"); /* out of quarantine */
	dev->config[PCI_HEADER_TYPE] = 0x81;
	fake_guest_refuses(g, NVME, -EINVAL, "0000:02:00.0: this is a bridge");
	dev->config[PCI_HEADER_TYPE] = 0;
	dev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size = 128;
	fake_guest_refuses(g, NVME, -EPROTO, "128 bytes of config space");
	dev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size = 4096;
	dev->flags = 0;
	fake_guest_refuses(g, NVME, -EPROTO, "this is no PCI device");
}

/* A function that went away while the guest runs: all ones, and a limited number of lines. */
static void test_gone(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	unsigned int i;
	size_t len;

	fake_vfio_fail(FAKE_PREAD, 1, EIO);
	assert_int_equal(pci_config_read(pdev, PCI_COMMAND, 4), 0xffffffff);
	assert_true(fake_guest_logged(g, "config read at 0x4"));
	for (i = 0; i < 100; i++) {
		fake_vfio_fail(FAKE_PWRITE, 1, EIO);
		pci_config_write(pdev, 0xa8, 2, 0);
	}
	len = g->len;
	assert_true(len < 2000);
	fake_vfio_fail(0, 0, 0);
	dev->dead = true;
	assert_int_equal(pci_config_read(pdev, 0xa8, 2), 0xffff);
}

static void test_reset(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	uint32_t bar;

	fake_guest_place(g);
	bar = pci_config_read(pdev, PCI_BASE_ADDRESS_0, 4);
	pci_config_write(pdev, PCI_COMMAND, 2,
			 PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	pci_config_write(pdev, PCI_BASE_ADDRESS_0, 4, 0xc8000000);
	put_le16(dev->config + 0x44, 3);
	fake_vfio_forget();
	dev_reset_all(g->vm);
	assert_int_equal(dev->resets, 1);
	assert_int_equal(pci_config_read(pdev, PCI_BASE_ADDRESS_0, 4), bar);
	assert_int_equal(get_le16(dev->config + PCI_COMMAND), PCI_COMMAND_MEMORY);
	assert_int_equal(get_le16(dev->config + 0x44), 0);
	assert_int_equal(dev->mode, VFIO_PCI_INTX_IRQ_INDEX);
	assert_int_equal(g->len, 0);
	/* Without a reset of its own it says so. */
	fake_guest_remove(g, pdev);
	dev->flags = VFIO_DEVICE_FLAGS_PCI;
	fake_guest_add(g, NVME);
	dev_reset_all(g->vm);
	assert_int_equal(dev->resets, 1);
	assert_true(fake_guest_logged(
		g, "0000:02:00.0: it has no reset of its own, and its bus has no reset "
		   "either: not reset"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_command, setup, teardown),
		cmocka_unit_test_setup_teardown(test_caps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_behind_a_port, setup, teardown),
		cmocka_unit_test_setup_teardown(test_behind_a_port_by_default, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_large_bar_stays_on_the_root_bus, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_ecaps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ecaps_hidden, setup, teardown),
		cmocka_unit_test_setup_teardown(test_caps_odd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ecaps_vf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_caps_broken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_caps_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ecaps_broken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_caps_unfit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
