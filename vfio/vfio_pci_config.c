// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Config space.
 *
 * Each bit has one owner. Bits in `own` are the VMM's: the guest reads them from pdev->config, and
 * what it writes there ends there. All others are the hardware's (through the kernel's own
 * virtualisation, drivers/vfio/pci/vfio_pci_config.c, which among others keeps payload and read
 * request sizes, error signalling of VFs and the ids of VFs). An access that touches owned bits
 * alone makes no system call; any other makes one, of the guest's own width.
 *
 * What never changes (ids, class, capability headers) is owned too, with the hardware's value.
 * The header's owners are the table below, those of the capabilities stand in vfio_pci_caps.c.
 * Function level reset and power states are the hardware's; what else follows from them is in
 * vfio_pci_power.c.
 */
#include <errno.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "vfio_pci_priv.h"
#include "vmm/vm.h"

enum owner {
	OWN_CONST, /* VMM: the hardware's value, read once */
	OWN_ZERO,  /* VMM: zero, whatever the hardware has */
	OWN_CORE,  /* VMM: vmm/pci writes and answers it */
	OWN_HW,	   /* the hardware's, through the kernel */
};

#define ALL 0xffffffffu

/* PCI 3.0, 6.1 and 6.2: the header of a type 0 function, bit by bit. Registers longer than four
 * bytes have one owner for all of their bits. */
static const struct config_row {
	uint8_t offset, size;
	enum owner owner;
	uint32_t bits;
} config_rows[] = {
	{ PCI_VENDOR_ID, 4, OWN_CORE, ALL },
	/* Decoding is emulated: the hardware's stays on, so that a BAR can be touched at any time,
	 * and the guest's wish is where BARs are mapped. Bus master, SERR and INTx disable act. */
	{ PCI_COMMAND, 2, OWN_CORE, PCI_COMMAND_IO | PCI_COMMAND_MEMORY },
	{ PCI_COMMAND, 2, OWN_HW, ALL & ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY) },
	{ PCI_STATUS, 2, OWN_CORE, PCI_STATUS_CAP_LIST },
	{ PCI_STATUS, 2, OWN_HW, ALL & ~PCI_STATUS_CAP_LIST },
	{ PCI_CLASS_REVISION, 4, OWN_CORE, ALL },
	/* Cache line and latency timer: read by drivers of conventional functions alone. */
	{ PCI_CACHE_LINE_SIZE, 2, OWN_HW, ALL },
	/* On the guest's bus each function is a device of its own. */
	{ PCI_HEADER_TYPE, 1, OWN_ZERO, ALL },
	/* A self test would take the function from the bus for up to 2 s: "not capable" (6.2.4). */
	{ PCI_BIST, 1, OWN_ZERO, ALL },
	{ PCI_BASE_ADDRESS_0, 24, OWN_CORE, ALL },
	{ PCI_CARDBUS_CIS, 4, OWN_CONST, ALL },
	{ PCI_SUBSYSTEM_VENDOR_ID, 4, OWN_CORE, ALL },
	{ PCI_ROM_ADDRESS, 4, OWN_CORE, ALL },
	{ PCI_CAPABILITY_LIST, 1, OWN_CORE, ALL },
	{ PCI_CAPABILITY_LIST + 1, 7, OWN_ZERO, ALL }, /* reserved */
	{ PCI_INTERRUPT_LINE, 1, OWN_CORE, ALL },      /* software's own note (6.2.4) */
	{ PCI_INTERRUPT_PIN, 1, OWN_CORE, ALL },
	{ PCI_MIN_GNT, 2, OWN_CONST, ALL },
};

static void row_apply(struct vfio_pci *vp, const struct config_row *row)
{
	struct pci_dev *pdev = &vp->pdev;
	unsigned int i;

	for (i = 0; i < row->size; i++) {
		unsigned int at = row->offset + i;
		uint8_t bits = (uint8_t)(row->bits >> 8 * (i % 4));
		uint8_t fixed = row->owner == OWN_CONST ? vp->hw[at] : 0;

		if (row->owner == OWN_HW)
			continue;
		vp->own[at] |= bits;
		if (row->owner == OWN_CORE)
			continue;
		pdev->config[at] = (uint8_t)((pdev->config[at] & ~bits) | (fixed & bits));
		pdev->wmask[at] &= (uint8_t)~bits;
	}
}

static void header_init(struct vfio_pci *vp)
{
	struct pci_dev *pdev = &vp->pdev;
	unsigned int i;

	pci_dev_init(
		pdev, get_le16(vp->hw + PCI_VENDOR_ID), get_le16(vp->hw + PCI_DEVICE_ID),
		get_le32(vp->hw + PCI_CLASS_REVISION), get_le16(vp->hw + PCI_SUBSYSTEM_VENDOR_ID),
		get_le16(vp->hw + PCI_SUBSYSTEM_ID),
		vp->config_region.size >= PCIE_CONFIG_SIZE ? PCIE_CONFIG_SIZE : PCI_CONFIG_SIZE);
	for (i = 0; i < ARRAY_SIZE(config_rows); i++)
		row_apply(vp, &config_rows[i]);
}

int vfio_pci_config_init(struct vfio_pci *vp, struct err *err)
{
	size_t size = MIN(vp->config_region.size, (uint64_t)PCIE_CONFIG_SIZE);
	uint32_t id;
	int ret;

	if (size < PCI_CONFIG_SIZE)
		return err_set(err, -EPROTO, "VFIO gives %zu bytes of config space", size);
	if (size < PCIE_CONFIG_SIZE)
		size = PCI_CONFIG_SIZE;
	ret = vp->vdev.ops->read(&vp->vdev, &vp->config_region, 0, vp->hw, size);
	if (ret)
		return err_sys(err, ret, "reading config space");
	id = get_le32(vp->hw + PCI_VENDOR_ID);
	if (get_le32(vp->hw + PCI_CLASS_REVISION) == UINT32_MAX)
		id = UINT32_MAX; /* the kernel answers for the IDs itself */
	if ((id & 0xffff) == 0xffff || !id) {
		err_set(err, -ENODEV,
			"config space reads as all %s: the function does not answer; reset or "
			"power-cycle it", id ? "ones" : "zeros");
		vfio_pci_quarantine(vp, err);
		return -ENODEV;
	}
	if (vp->hw[PCI_HEADER_TYPE] & 0x7f)
		return err_set(err, -EINVAL, "this is a bridge, which no guest can be given");
	header_init(vp);
	return 0;
}

static uint16_t command_force(const struct vfio_pci *vp)
{
	uint16_t force = 0;
	unsigned int i;

	for (i = 0; i < PCI_BAR_COUNT; i++) {
		if (vp->pdev.bars[i].kind == PCI_BAR_IO)
			force |= PCI_COMMAND_IO;
		else if (vp->pdev.bars[i].kind != PCI_BAR_NONE)
			force |= PCI_COMMAND_MEMORY;
	}
	return force;
}

int vfio_pci_command_quiet(struct vfio_pci *vp)
{
	uint16_t command = command_force(vp);

	if (!vp->config_region.size)
		return 0;
	put_le16(vp->hw + PCI_COMMAND, command);
	return vfio_region_write(&vp->vdev, &vp->config_region, PCI_COMMAND, 2, command);
}

int vfio_pci_command_restore(struct vfio_pci *vp)
{
	unsigned int decode = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
	uint16_t guest = get_le16(vp->pdev.config + PCI_COMMAND);

	return vfio_region_write(&vp->vdev, &vp->config_region, PCI_COMMAND, 2,
				 (guest & ~decode) | command_force(vp));
}

bool vfio_pci_answers(struct vfio_pci *vp)
{
	uint64_t class;

	return !vfio_region_read(&vp->vdev, &vp->config_region, PCI_CLASS_REVISION, 4, &class) &&
	       class != UINT32_MAX;
}

/* The bytes at @offset of one of the arrays as a number. */
static uint32_t bytes_get(const uint8_t *bytes, unsigned int offset, unsigned int size)
{
	uint32_t value = 0;

	memcpy(&value, bytes + offset, size);
	return le32toh(value);
}

static bool owned(const struct vfio_pci *vp, unsigned int offset, unsigned int size)
{
	return bytes_get(vp->own, offset, size) == (uint32_t)all_ones(size);
}

static void config_failed(struct vfio_pci *vp, const char *what, unsigned int offset, int code)
{
	struct dev *dev = &vp->pdev.dev;

	log_limited(dev->vm->log, &vp->pdev.limit, LOG_WARN, "%s: %s: config %s at 0x%x: %s",
		    dev->id, vp->idev.name, what, offset, strerror(-code));
}

uint32_t vfio_pci_config_read(struct pci_dev *pdev, unsigned int offset, unsigned int size)
{
	struct vfio_pci *vp = to_vfio_pci(pdev);
	uint32_t own = bytes_get(vp->own, offset, size);
	uint64_t hw;
	int ret;

	if (owned(vp, offset, size))
		return pci_config_plain_read(pdev, offset, size);
	/* The owned bits of a function that is gone are gone too: all ones. */
	ret = vfio_region_read(&vp->vdev, &vp->config_region, offset, size, &hw);
	if (ret) {
		config_failed(vp, "read", offset, ret);
		return (uint32_t)all_ones(size);
	}
	return ((uint32_t)hw & ~own) | (pci_config_plain_read(pdev, offset, size) & own);
}

void vfio_pci_config_written(struct pci_dev *pdev, unsigned int offset, unsigned int size,
			     uint32_t value)
{
	struct vfio_pci *vp = to_vfio_pci(pdev);
	uint32_t own = bytes_get(vp->own, offset, size);
	enum vfio_pci_effect effect;
	int ret;

	if (owned(vp, offset, size))
		return;
	value = (value & ~own) | (bytes_get(vp->hw, offset, size) & own);
	effect = vfio_pci_power_before(vp, offset, size, value);
	ret = vfio_region_write(&vp->vdev, &vp->config_region, offset, size, value);
	if (ret)
		config_failed(vp, "write", offset, ret);
	vfio_pci_power_after(vp, effect);
	vfio_pci_bars_back(vp);
}
