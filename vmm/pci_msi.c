// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * MSI (PCI 3.0, 6.8.1) and MSI-X (6.8.2): what the guest wrote is kept as bytes; each change is
 * passed to the vectors (irq.h), which bring KVM to it.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "pci_priv.h"
#include "vm.h"

#define MSIX_ENTRY ((size_t)16)

static uint64_t msix_pba_size(unsigned int count)
{
	return align_up(count, 64) / 8;
}

static bool msix_entry_masked(const struct pci_msix *msix, unsigned int v)
{
	return msix->masked ||
	       (get_le32(msix->table + v * MSIX_ENTRY + PCI_MSIX_ENTRY_VECTOR_CTRL) &
		PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

static void pci_vector_set(struct pci_dev *pdev, enum pci_irq_mode mode, unsigned int v,
			   uint64_t addr, uint32_t data, bool masked)
{
	struct msi_vector *vec =
		mode == PCI_IRQ_MSIX ? &pdev->msix.vectors[v] : &pdev->msi.vectors[v];
	bool was_used = msi_vector_fd(vec) >= 0;
	struct err err = { 0 };

	/* Once is enough until the mode changes; and Linux clears the message as it gives MSI up.
	 */
	if (msi_vector_set(vec, pdev->dev.vm, addr, data, masked, &err) && addr &&
	    !pdev->vectors_silent) {
		pdev->vectors_silent = true;
		log_limited(pdev->dev.vm->log, &pdev->limit, LOG_ERROR,
			    "%s: vector %u stays silent: %s", pdev->dev.id, v, err.msg);
	}
	/* While a mode is live, its device connects each further vector. A guest may switch MSI on
	 * beside MSI-X, which then is the live one. */
	if (!was_used && msi_vector_fd(vec) >= 0 && pdev->irq_mode == mode &&
	    pdev->dev.class->pci->vector_use)
		pdev->dev.class->pci->vector_use(pdev, v);
}

static void msix_vector_update(struct pci_dev *pdev, unsigned int v)
{
	struct pci_msix *msix = &pdev->msix;
	const uint8_t *e = msix->table + v * MSIX_ENTRY;

	if (msix->enabled)
		pci_vector_set(pdev, PCI_IRQ_MSIX, v, get_le64(e),
			       get_le32(e + PCI_MSIX_ENTRY_DATA), msix_entry_masked(msix, v));
}

int pci_msix_init(struct pci_dev *pdev, uint8_t cap, unsigned int count, unsigned int table_bar,
		  uint32_t table_offset, unsigned int pba_bar, uint32_t pba_offset, struct err *err)
{
	struct pci_msix *msix = &pdev->msix;
	unsigned int v;

	if (!count || count > 2048)
		return err_set(err, -EINVAL, "MSI-X with %u vectors", count);
	if (table_bar >= PCI_BARS || pba_bar >= PCI_BARS ||
	    !span_within(table_offset, count * MSIX_ENTRY, pdev->bars[table_bar].size) ||
	    !span_within(pba_offset, msix_pba_size(count), pdev->bars[pba_bar].size) ||
	    (table_offset | pba_offset) & 7)
		return err_set(err, -EINVAL,
			       "MSI-X table (BAR %u + 0x%x) or PBA (BAR %u + 0x%x) of %u vectors "
			       "does not lie in its BAR",
			       table_bar, table_offset, pba_bar, pba_offset, count);
	if (table_bar == pba_bar &&
	    span_overlaps(table_offset, count * MSIX_ENTRY, pba_offset, msix_pba_size(count)))
		return err_set(err, -EINVAL,
			       "MSI-X table (0x%x) and PBA (0x%x) of %u vectors in BAR %u overlap",
			       table_offset, pba_offset, count, table_bar);
	if (!cap)
		cap = pci_cap_add(pdev, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
	if (!cap)
		return err_set(err, -ENOSPC, "no room for the MSI-X capability");
	msix->table = calloc(count, MSIX_ENTRY);
	msix->vectors = calloc(count, sizeof(*msix->vectors));
	if (!msix->table || !msix->vectors) {
		free(msix->table);
		free(msix->vectors);
		memset(msix, 0, sizeof(*msix));
		return err_sys(err, -ENOMEM, "MSI-X");
	}
	msix->count = count;
	for (v = 0; v < count; v++)
		put_le32(msix->table + v * MSIX_ENTRY + PCI_MSIX_ENTRY_VECTOR_CTRL,
			 PCI_MSIX_ENTRY_CTRL_MASKBIT);
	msix->cap = cap;
	msix->table_bar = (uint8_t)table_bar;
	msix->pba_bar = (uint8_t)pba_bar;
	msix->table_offset = table_offset;
	msix->pba_offset = pba_offset;
	put_le16(pdev->config + cap + PCI_MSIX_FLAGS, (uint16_t)(count - 1));
	put_le32(pdev->config + cap + PCI_MSIX_TABLE, table_offset | table_bar);
	put_le32(pdev->config + cap + PCI_MSIX_PBA, pba_offset | pba_bar);
	memset(pdev->wmask + cap, 0, PCI_CAP_MSIX_SIZEOF);
	put_le16(pdev->wmask + cap + PCI_MSIX_FLAGS,
		 PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	return 0;
}

static void pci_msix_update(struct pci_dev *pdev)
{
	struct pci_msix *msix = &pdev->msix;
	uint16_t flags = get_le16(pdev->config + msix->cap + PCI_MSIX_FLAGS);
	bool enabled = flags & PCI_MSIX_FLAGS_ENABLE, masked = flags & PCI_MSIX_FLAGS_MASKALL;
	unsigned int v;

	if (enabled == msix->enabled && masked == msix->masked)
		return;
	msix->enabled = enabled;
	msix->masked = masked;
	for (v = 0; v < msix->count; v++)
		msix_vector_update(pdev, v);
}

static uint64_t msix_pba_read(struct pci_dev *pdev, uint64_t offset, unsigned int size)
{
	const struct pci_ops *ops = pdev->dev.class->pci;
	struct pci_msix *msix = &pdev->msix;
	uint64_t value = 0;
	unsigned int bit;

	if (msix->enabled && ops->pba_read)
		value = ops->pba_read(pdev, offset, size);

	for (bit = 0; bit < size * 8; bit++) {
		uint64_t v = offset * 8 + bit;

		if (v < msix->count && msi_vector_pending(&msix->vectors[v]))
			value |= 1ull << bit;
	}
	return value;
}

static void msix_table_write(struct pci_dev *pdev, uint64_t offset, unsigned int size,
			     uint64_t value)
{
	struct pci_msix *msix = &pdev->msix;
	uint64_t le = htole64(value);

	/* Aligned and at most 8 bytes: within one entry. 6.8.2: 4- and 8-byte accesses only. */
	if (size < 4 || !memcmp(msix->table + offset, &le, size))
		return;
	memcpy(msix->table + offset, &le, size);
	msix_vector_update(pdev, (unsigned int)(offset / MSIX_ENTRY));
}

bool pci_msix_access(struct pci_dev *pdev, unsigned int bar, uint64_t offset, unsigned int size,
		     uint64_t *value, bool write)
{
	struct pci_msix *msix = &pdev->msix;
	uint64_t table_size = (uint64_t)msix->count * MSIX_ENTRY;

	if (!msix->cap)
		return false;
	if (bar == msix->table_bar && offset - msix->table_offset < table_size) {
		offset -= msix->table_offset;
		if (write) {
			msix_table_write(pdev, offset, size, *value);
		} else {
			*value = 0;
			memcpy(value, msix->table + offset, size);
			*value = le64toh(*value);
		}
		return true;
	}
	if (bar == msix->pba_bar && offset - msix->pba_offset < msix_pba_size(msix->count)) {
		if (!write)
			*value = msix_pba_read(pdev, offset - msix->pba_offset, size);
		return true;
	}
	return false;
}

/* Offsets in the MSI capability, which depend on its two flags. */
static unsigned int msi_data_at(const struct pci_msi *msi)
{
	return msi->cap + (msi->wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32);
}

static unsigned int msi_mask_at(const struct pci_msi *msi)
{
	return msi->cap + (msi->wide ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32);
}

static unsigned int msi_pending_at(const struct pci_msi *msi)
{
	return msi_mask_at(msi) + 4;
}

static unsigned int msi_size(const struct pci_msi *msi)
{
	return msi->maskable ? msi_pending_at(msi) + 4 - msi->cap : msi_data_at(msi) + 2 - msi->cap;
}

int pci_msi_init(struct pci_dev *pdev, uint8_t cap, unsigned int count_max, bool wide,
		 bool maskable, struct err *err)
{
	struct pci_msi *msi = &pdev->msi;
	unsigned int log2 = 0;
	uint16_t flags;

	while ((2u << log2) <= count_max && log2 < 5)
		log2++;
	msi->wide = wide;
	msi->maskable = maskable;
	if (!cap)
		cap = pci_cap_add(pdev, PCI_CAP_ID_MSI, (uint8_t)msi_size(msi));
	if (!cap)
		return err_set(err, -ENOSPC, "no room for the MSI capability");
	msi->vectors = calloc((size_t)1 << log2, sizeof(*msi->vectors));
	if (!msi->vectors)
		return err_sys(err, -ENOMEM, "MSI");
	msi->count_max = (uint8_t)(1u << log2);
	msi->cap = cap;
	flags = (uint16_t)(log2 << 1 | (wide ? PCI_MSI_FLAGS_64BIT : 0) |
			   (maskable ? PCI_MSI_FLAGS_MASKBIT : 0));
	put_le16(pdev->config + cap + PCI_MSI_FLAGS, flags);
	memset(pdev->wmask + cap, 0, msi_size(msi));
	put_le16(pdev->wmask + cap + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	put_le32(pdev->wmask + cap + PCI_MSI_ADDRESS_LO, 0xfffffffc);
	if (wide)
		put_le32(pdev->wmask + cap + PCI_MSI_ADDRESS_HI, 0xffffffff);
	put_le16(pdev->wmask + msi_data_at(msi), 0xffff);
	if (maskable)
		put_le32(pdev->wmask + msi_mask_at(msi), (uint32_t)((1ull << msi->count_max) - 1));
	return 0;
}

static void pci_msi_update(struct pci_dev *pdev)
{
	struct pci_msi *msi = &pdev->msi;
	const uint8_t *config = pdev->config;
	uint16_t flags = get_le16(config + msi->cap + PCI_MSI_FLAGS);
	bool enabled = flags & PCI_MSI_FLAGS_ENABLE;
	/* A guest may enable more than the capability offers; it gets what there is. */
	unsigned int count = MIN(1u << ((flags & PCI_MSI_FLAGS_QSIZE) >> 4), msi->count_max);
	uint64_t addr = get_le32(config + msi->cap + PCI_MSI_ADDRESS_LO);
	uint32_t data = get_le16(config + msi_data_at(msi));
	uint32_t mask = msi->maskable ? get_le32(config + msi_mask_at(msi)) : 0;
	unsigned int v;

	if (msi->wide)
		addr |= (uint64_t)get_le32(config + msi->cap + PCI_MSI_ADDRESS_HI) << 32;
	/* Multiple Message Enable is only read when MSI is switched on. */
	if (enabled && !msi->enabled)
		msi->count = count;
	msi->enabled = enabled;
	for (v = 0; v < msi->count && enabled; v++)
		pci_vector_set(pdev, PCI_IRQ_MSI, v, addr, (data & ~(msi->count - 1)) | v,
			       mask & BIT(v));
}

void pci_msi_refresh(struct pci_dev *pdev, unsigned int offset, unsigned int size)
{
	struct pci_msi *msi = &pdev->msi;
	uint32_t pending = 0;
	unsigned int v;

	if (!msi->cap || !msi->maskable || !span_overlaps(offset, size, msi_pending_at(msi), 4))
		return;
	for (v = 0; v < msi->count && msi->enabled; v++)
		if (msi_vector_pending(&msi->vectors[v]))
			pending |= BIT(v);
	put_le32(pdev->config + msi_pending_at(msi), pending);
}

void pci_messages_update(struct pci_dev *pdev, unsigned int offset, unsigned int size)
{
	if (pdev->msix.cap && span_overlaps(offset, size, pdev->msix.cap, PCI_CAP_MSIX_SIZEOF))
		pci_msix_update(pdev);
	if (pdev->msi.cap && span_overlaps(offset, size, pdev->msi.cap, msi_size(&pdev->msi)))
		pci_msi_update(pdev);
}

void pci_messages_reset(struct pci_dev *pdev)
{
	struct pci_msix *msix = &pdev->msix;
	unsigned int v;

	msix->enabled = false;
	msix->masked = false;
	pdev->msi.enabled = false;
	for (v = 0; v < msix->count; v++) {
		memset(msix->table + v * MSIX_ENTRY, 0, MSIX_ENTRY);
		put_le32(msix->table + v * MSIX_ENTRY + PCI_MSIX_ENTRY_VECTOR_CTRL,
			 PCI_MSIX_ENTRY_CTRL_MASKBIT);
	}
}

int pci_messages_promise(struct pci_dev *pdev, struct err *err)
{
	/* Both, for while one follows the other they are there together. */
	unsigned int count = pdev->msix.count + pdev->msi.count_max;
	int ret = irqs_promise(&pdev->dev.vm->irqs, count, err);

	if (!ret)
		pdev->vectors_promised = count;
	return ret;
}

void pci_messages_prune(struct pci_dev *pdev)
{
	unsigned int v;

	for (v = 0; v < pdev->msix.count && !pdev->msix.enabled; v++)
		msi_vector_done(&pdev->msix.vectors[v]);
	for (v = 0; v < pdev->msi.count_max && !pdev->msi.enabled; v++)
		msi_vector_done(&pdev->msi.vectors[v]);
}

void pci_messages_done(struct pci_dev *pdev)
{
	pdev->msix.enabled = false;
	pdev->msi.enabled = false;
	pci_messages_prune(pdev);
	irqs_release(&pdev->dev.vm->irqs, pdev->vectors_promised);
	pdev->vectors_promised = 0;
	free(pdev->msix.table);
	free(pdev->msix.vectors);
	free(pdev->msi.vectors);
	memset(&pdev->msix, 0, sizeof(pdev->msix));
	memset(&pdev->msi, 0, sizeof(pdev->msi));
}

int pci_vector_fd(const struct pci_dev *pdev, unsigned int vector)
{
	if (vector >= pci_vector_count(pdev))
		return -1;
	return msi_vector_fd(pdev->irq_mode == PCI_IRQ_MSIX ? &pdev->msix.vectors[vector]
							    : &pdev->msi.vectors[vector]);
}

unsigned int pci_vector_count(const struct pci_dev *pdev)
{
	switch (pdev->irq_mode) {
	case PCI_IRQ_MSIX:
		return pdev->msix.count;
	case PCI_IRQ_MSI:
		return pdev->msi.count;
	case PCI_IRQ_NONE:
	case PCI_IRQ_INTX:
		break;
	}
	return 0;
}

bool pci_vector_fire(struct pci_dev *pdev, unsigned int vector)
{
	if (pdev->irq_mode != PCI_IRQ_MSIX && pdev->irq_mode != PCI_IRQ_MSI)
		return false;
	if (pdev->irq_mode == PCI_IRQ_MSIX && vector < pdev->msix.count)
		msi_vector_fire(&pdev->msix.vectors[vector]);
	else if (pdev->irq_mode == PCI_IRQ_MSI)
		msi_vector_fire(&pdev->msi.vectors[vector % pdev->msi.count]);
	return true;
}
