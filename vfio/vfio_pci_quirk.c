// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What single kinds of functions need beyond the specification: one table.
 *
 * A mirror is a window of a BAR that shows config space. Guest drivers use it in place of config
 * accesses, so it must answer as config space does: through the hardware they would read the host's
 * BAR addresses and switch the host's interrupts.
 */
#include <errno.h>

#include "base/err.h"
#include "base/log.h"
#include "base/opt.h"
#include "base/util.h"
#include "vfio_pci_priv.h"
#include "vmm/vm.h"

#define VENDOR_NVIDIA 0x10de
#define CLASS_DISPLAY 0x03

/* Facts from Linux, drivers/gpu/drm/nouveau/nvkm/subdev/pci: nv04.c for what came before NV40,
 * nv40.c for all later ones. */
static const struct vfio_pci_mirror mirror_nv04 = { .bar = 0, 0x1800, PCI_CONFIG_SIZE };
static const struct vfio_pci_mirror mirror_nv40 = { .bar = 0, 0x88000, PCIE_CONFIG_SIZE };

static const struct quirk_row {
	uint16_t vendor, first, last; /* device ids */
	uint8_t class;		      /* base class */
	const struct vfio_pci_mirror *mirror;
} quirk_rows[] = {
	{ VENDOR_NVIDIA, 0x0020, 0x002f, CLASS_DISPLAY, &mirror_nv04 }, /* NV4, NV5 */
	{ VENDOR_NVIDIA, 0x0100, 0x011f, CLASS_DISPLAY, &mirror_nv04 }, /* NV10, NV11 */
	{ VENDOR_NVIDIA, 0x0150, 0x015f, CLASS_DISPLAY, &mirror_nv04 }, /* NV15 */
	{ VENDOR_NVIDIA, 0x0170, 0x018f, CLASS_DISPLAY, &mirror_nv04 }, /* NV17, NV18 */
	{ VENDOR_NVIDIA, 0x0200, 0x020f, CLASS_DISPLAY, &mirror_nv04 }, /* NV20 */
	{ VENDOR_NVIDIA, 0x0250, 0x025f, CLASS_DISPLAY, &mirror_nv04 }, /* NV25 */
	{ VENDOR_NVIDIA, 0x0280, 0x028f, CLASS_DISPLAY, &mirror_nv04 }, /* NV28 */
	{ VENDOR_NVIDIA, 0x0300, 0x034f, CLASS_DISPLAY, &mirror_nv04 }, /* NV30 to NV38 */
	{ VENDOR_NVIDIA, 0x0000, 0xffff, CLASS_DISPLAY, &mirror_nv40 },
};

static bool row_is(const struct quirk_row *row, const struct pci_dev *pdev)
{
	uint16_t device = get_le16(pdev->config + PCI_DEVICE_ID);

	return row->vendor == get_le16(pdev->config + PCI_VENDOR_ID) && device >= row->first &&
	       device <= row->last && row->class == pdev->config[PCI_CLASS_DEVICE + 1];
}

void vfio_pci_quirks_init(struct vfio_pci *vp)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(quirk_rows); i++) {
		const struct quirk_row *row = &quirk_rows[i];

		if (!row_is(row, &vp->pdev))
			continue;
		vp->mirror = *row->mirror;
		vp->mirror.size = MIN(vp->mirror.size, (uint64_t)vp->pdev.config_size);
		return;
	}
}

/* Nouveau's and NVIDIA's drivers acknowledge a message by a write to the id of the MSI capability
 * in the mirror: it means nothing in config space, so the hardware must see it
 * (nv40_pci_msi_rearm()).
 */
static bool is_msi_rearm(const struct vfio_pci *vp, uint64_t at, unsigned int size)
{
	unsigned int cap = vp->pdev.msi.cap;

	return cap && at >= cap && at + size <= cap + PCI_MSI_FLAGS;
}

bool vfio_pci_mirror_access(struct vfio_pci *vp, unsigned int bar, uint64_t offset,
			    unsigned int size, uint64_t *value, bool write)
{
	const struct vfio_pci_mirror *m = &vp->mirror;
	unsigned int at, i, step = MIN(size, 4u);

	if (bar != m->bar || !span_within(offset - m->offset, size, m->size))
		return false;
	at = (unsigned int)(offset - m->offset);
	if (write && is_msi_rearm(vp, at, size))
		return false;
	if (!write)
		*value = 0;
	/* Config accesses have 4 bytes at most. */
	for (i = 0; i < size; i += step) {
		if (write)
			pci_config_write(&vp->pdev, at + i, step, (uint32_t)(*value >> 8 * i));
		else
			*value |= (uint64_t)pci_config_read(&vp->pdev, at + i, step) << 8 * i;
	}
	return true;
}

/* --- NVIDIA's GPUDirect clique: which of a guest's GPUs reach one another --- */

#define CLIQUE_SIZE 8

int vfio_pci_clique_check(struct vfio_pci *vp, struct err *err)
{
	const uint8_t *config = vp->pdev.config;
	uint64_t value;

	if (!vp->clique)
		return 0;
	if (opt_parse_u64(vp->clique, &value) || value > 15)
		return err_set(err, -EINVAL, "nv-gpudirect-clique=%s: it takes 0 to 15",
			       vp->clique);
	if (get_le16(config + PCI_VENDOR_ID) != VENDOR_NVIDIA ||
	    config[PCI_CLASS_DEVICE + 1] != CLASS_DISPLAY)
		return err_set(err, -EINVAL,
			       "nv-gpudirect-clique= is for NVIDIA's display functions; this is "
			       "%04x:%04x of class %02x",
			       get_le16(config + PCI_VENDOR_ID), get_le16(config + PCI_DEVICE_ID),
			       config[PCI_CLASS_DEVICE + 1]);
	return 0;
}

/* NVIDIA's specification (qemu-devel, August 2017 and June 2023): a vendor capability at 0xc8, or
 * where MSI-X is there at 0xd4: length 8, "P2P", and the clique in bits 3 to 6 of byte 6. */
int vfio_pci_clique_init(struct vfio_pci *vp, struct err *err)
{
	static const uint8_t places[] = { 0xc8, 0xd4 };
	uint8_t body[CLIQUE_SIZE] = { PCI_CAP_ID_VNDR, 0, CLIQUE_SIZE, 'P', '2', 'P', 0, 0 };
	uint64_t value = 0;
	unsigned int i;

	if (!vp->clique)
		return 0;
	opt_parse_u64(vp->clique, &value);
	body[6] = (uint8_t)(value << 3);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		if (vfio_pci_cap_insert(vp, places[i], body, sizeof(body)))
			return 0;
	}
	return err_set(err, -ENOSPC,
		       "nv-gpudirect-clique=: 0xc8 and 0xd4 of config space both hold other "
		       "capabilities");
}
