// SPDX-License-Identifier: GPL-2.0-or-later
/* Functions for a fake VFIO to choose from. */
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "fake_vfio_priv.h"

struct fake_vdev *fake_vfio_dev(const char *name, int group)
{
	struct fake_vdev *dev = calloc(1, sizeof(*dev));
	unsigned int i;

	if (!dev || fake_vfio.dev_count == FAKE_DEVS_MAX)
		abort();
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	dev->group = group;
	dev->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	dev->vectors_room = FAKE_VECTORS_MAX;
	for (i = 0; i < VFIO_PCI_NUM_REGIONS; i++)
		dev->regions[i].memfd = -1;
	dev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size = sizeof(dev->config);
	dev->regions[VFIO_PCI_CONFIG_REGION_INDEX].flags =
		VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	fake_vdev_irqs_off(dev);
	dev->err = dev->req = -1;
	dev->irqs[VFIO_PCI_REQ_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;
	dev->irqs[VFIO_PCI_REQ_IRQ_INDEX].count = 1;
	put_le32(dev->config + PCI_VENDOR_ID, 0x10ca8086);
	put_le32(dev->config + PCI_CLASS_REVISION, 0x02000001);
	if (fake_vfio_by_iommufd())
		fake_cdev_make(fake_vfio.dev_count, dev);
	fake_vfio.devs[fake_vfio.dev_count++] = dev;
	return dev;
}

static void bar(struct fake_vdev *dev, unsigned int index, uint64_t size, uint32_t low,
		bool mmap_ok)
{
	dev->regions[index].size = size;
	dev->regions[index].flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
				    (mmap_ok ? VFIO_REGION_INFO_FLAG_MMAP : 0);
	put_le32(dev->config + PCI_BASE_ADDRESS_0 + 4ul * index, low);
}

static void cap(struct fake_vdev *dev, uint8_t at, uint8_t id, uint8_t next)
{
	dev->config[at] = id;
	dev->config[at + 1] = next;
	dev->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
}

static void msix_cap(struct fake_vdev *dev, uint8_t at, uint8_t next, unsigned int count,
		     uint32_t table, uint32_t pba)
{
	cap(dev, at, PCI_CAP_ID_MSIX, next);
	put_le16(dev->config + at + PCI_MSIX_FLAGS, (uint16_t)(count - 1));
	put_le32(dev->config + at + PCI_MSIX_TABLE, table);
	put_le32(dev->config + at + PCI_MSIX_PBA, pba);
	dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD;
	dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].count = count;
}

static void pcie_cap(struct fake_vdev *dev, uint8_t at, uint8_t next)
{
	cap(dev, at, PCI_CAP_ID_EXP, next);
	put_le16(dev->config + at + PCI_EXP_FLAGS, 2); /* version 2, endpoint */
	put_le32(dev->config + at + PCI_EXP_LNKCAP, 0x0003f411);
	put_le16(dev->config + at + PCI_EXP_LNKSTA, 0x0011);
	dev->irqs[VFIO_PCI_ERR_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;
	dev->irqs[VFIO_PCI_ERR_IRQ_INDEX].count = 1;
}

struct fake_vdev *fake_vfio_igbvf(const char *name, int group)
{
	struct fake_vdev *dev = fake_vfio_dev(name, group);

	bar(dev, 0, 16 * KIB, PCI_BASE_ADDRESS_MEM_TYPE_64, true);
	bar(dev, 3, 16 * KIB, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH, true);
	dev->regions[3].msix_mappable = true;
	dev->config[PCI_CAPABILITY_LIST] = 0x70;
	msix_cap(dev, 0x70, 0xa0, 3, 3, 0x2003);
	pcie_cap(dev, 0xa0, 0);
	put_le32(dev->config + 0x100, 0x15010001); /* AER, then ARI */
	put_le32(dev->config + 0x150, 0x0001000e);
	return dev;
}

struct fake_vdev *fake_vfio_nvme(const char *name, int group)
{
	struct fake_vdev *dev = fake_vfio_dev(name, group);

	put_le32(dev->config + PCI_VENDOR_ID, 0x00101b36);
	put_le32(dev->config + PCI_CLASS_REVISION, 0x01080202);
	dev->config[PCI_INTERRUPT_PIN] = 1;
	bar(dev, 0, 16 * KIB, PCI_BASE_ADDRESS_MEM_TYPE_64, true);
	dev->regions[0].msix_mappable = true;
	dev->config[PCI_CAPABILITY_LIST] = 0x40;
	cap(dev, 0x40, PCI_CAP_ID_PM, 0x50);
	cap(dev, 0x50, PCI_CAP_ID_MSI, 0x80);
	put_le16(dev->config + 0x50 + PCI_MSI_FLAGS, PCI_MSI_FLAGS_64BIT | 5 << 1);
	msix_cap(dev, 0x80, 0xa0, 65, 0x2000, 0x2800);
	pcie_cap(dev, 0xa0, 0);
	put_le32(dev->config + 0x100, 0x12010010); /* SR-IOV first, then AER, then resizable BAR */
	put_le32(dev->config + 0x120, 0x18020001);
	put_le32(dev->config + 0x180, 0x00010015);
	put_le32(dev->config + 0x188, 1 << 5);
	dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].flags =
		VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].count = 1;
	dev->irqs[VFIO_PCI_MSI_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;
	dev->irqs[VFIO_PCI_MSI_IRQ_INDEX].count = 32;
	return dev;
}

struct fake_vdev *fake_vfio_e1000(const char *name, int group)
{
	struct fake_vdev *dev = fake_vfio_dev(name, group);

	put_le32(dev->config + PCI_VENDOR_ID, 0x100e8086);
	put_le32(dev->config + PCI_CLASS_REVISION, 0x02000003);
	dev->config[PCI_INTERRUPT_PIN] = 1;
	dev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size = 256;
	bar(dev, 0, 128 * KIB, 0, true);
	bar(dev, 1, 64, PCI_BASE_ADDRESS_SPACE_IO, false);
	dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].flags =
		VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].count = 1;
	return dev;
}
