// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The capability lists as the guest sees them. Every capability stays where the hardware has it;
 * those that the guest must not see are taken out by relinking their neighbours. A list that makes
 * no sense ends where it goes wrong.
 */
#include <errno.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "vfio_pci_priv.h"
#include "vmm/vm.h"

#define CAPS_MAX 48u   /* (256 - 64) / 4 */
#define ECAPS_MAX 480u /* (4096 - 256) / 8 */
#define CAP_FIRST 0x40u
#define ECAP_FIRST 0x100u

/* PCIe 5.0, 7.8.7. */
#ifndef PCI_EXT_CAP_ID_VF_REBAR
#define PCI_EXT_CAP_ID_VF_REBAR 0x24
#endif

static void caps_warn(const struct vfio_pci *vp, const char *what, unsigned int at)
{
	log_line(vp->pdev.dev.vm->log, LOG_WARN, "%s: %s: %s at 0x%x; left out", vp->pdev.dev.id,
		 vp->idev.name, what, at);
}

/* The VMM answers these bytes, with what is in config. */
static void own_span(struct vfio_pci *vp, unsigned int at, unsigned int len)
{
	if (at >= vp->pdev.config_size)
		return;
	len = MIN(len, vp->pdev.config_size - at);
	memset(vp->own + at, 0xff, len);
}

static void own_zero(struct vfio_pci *vp, unsigned int at, unsigned int len)
{
	if (at >= vp->pdev.config_size)
		return;
	len = MIN(len, vp->pdev.config_size - at);
	memset(vp->own + at, 0xff, len);
	memset(vp->pdev.config + at, 0, len);
	memset(vp->pdev.wmask + at, 0, len);
}

/* Fills @at with the offsets of the capabilities, in the list's order (PCI 3.0, 6.7). What is wrong
 * with the list is told by the first walk alone, @tell. */
static unsigned int caps_walk(const struct vfio_pci *vp, uint8_t at[CAPS_MAX], bool tell)
{
	bool seen[PCI_CONFIG_SIZE / 4] = { false };
	unsigned int n = 0;
	/* The low two bits are reserved: software must mask them. */
	uint8_t pos = vp->hw[PCI_CAPABILITY_LIST] & 0xfc;

	if (!(vp->hw[PCI_STATUS] & PCI_STATUS_CAP_LIST))
		return 0;
	while (pos) {
		if (pos < CAP_FIRST || vp->hw[pos + PCI_CAP_LIST_ID] == 0xff) {
			if (tell)
				caps_warn(vp, "its capability list leads to nothing", pos);
			break;
		}
		if (seen[pos / 4] || n == CAPS_MAX) {
			if (tell)
				caps_warn(vp, "its capability list is a loop", pos);
			break;
		}
		seen[pos / 4] = true;
		at[n++] = pos;
		pos = vp->hw[pos + PCI_CAP_LIST_NEXT] & 0xfc;
	}
	return n;
}

static unsigned int cap_find(const struct vfio_pci *vp, uint8_t id)
{
	uint8_t at[CAPS_MAX];
	unsigned int i, n = caps_walk(vp, at, true);

	for (i = 0; i < n; i++) {
		if (vp->hw[at[i]] == id)
			return at[i];
	}
	return 0;
}

void vfio_pci_caps_msix(struct vfio_pci *vp)
{
	struct vfio_pci_msix *msix = &vp->msix;
	unsigned int cap = cap_find(vp, PCI_CAP_ID_MSIX);
	uint32_t table, pba;

	if (!cap)
		return;
	if (cap + PCI_CAP_MSIX_SIZEOF > PCI_CONFIG_SIZE || !vp->irq.msix_count) {
		caps_warn(vp, "an MSI-X capability that cannot be used", cap);
		return;
	}
	table = get_le32(vp->hw + cap + PCI_MSIX_TABLE);
	pba = get_le32(vp->hw + cap + PCI_MSIX_PBA);
	msix->cap = (uint8_t)cap;
	msix->count = (get_le16(vp->hw + cap + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1u;
	msix->table_bar = table & PCI_MSIX_TABLE_BIR;
	msix->table_offset = table & PCI_MSIX_TABLE_OFFSET;
	msix->pba_bar = pba & PCI_MSIX_PBA_BIR;
	msix->pba_offset = pba & PCI_MSIX_PBA_OFFSET;
}

/* Each take_*() prepares one capability, and returns false when the guest must not see it. */

static bool take_msix(struct vfio_pci *vp, unsigned int at)
{
	const struct vfio_pci_msix *msix = &vp->msix;
	struct err err = { 0 };

	own_zero(vp, at, PCI_CAP_MSIX_SIZEOF);
	if (at != msix->cap)
		return false;
	if (pci_msix_init(&vp->pdev, msix->cap, MIN(msix->count, vp->irq.msix_count),
			  msix->table_bar, msix->table_offset, msix->pba_bar, msix->pba_offset,
			  &err)) {
		caps_warn(vp, err.msg, at);
		return false;
	}
	return true;
}

static unsigned int msi_size(uint16_t flags)
{
	unsigned int size = (flags & PCI_MSI_FLAGS_64BIT) ? 14 : 10;

	/* With masks the data register has a reserved half, then mask and pending bits. */
	return (flags & PCI_MSI_FLAGS_MASKBIT) ? size + 10 : size;
}

static bool take_msi(struct vfio_pci *vp, unsigned int at)
{
	uint16_t flags = get_le16(vp->hw + at + PCI_MSI_FLAGS);
	unsigned int count = BIT((flags & PCI_MSI_FLAGS_QMASK) >> 1);
	unsigned int size = msi_size(flags);
	struct err err = { 0 };

	own_zero(vp, at, MIN(size, PCI_CONFIG_SIZE - at));
	if (vp->pdev.msi.cap || at + size > PCI_CONFIG_SIZE || !vp->irq.msi_count) {
		caps_warn(vp, "an MSI capability that cannot be used", at);
		return false;
	}
	if (pci_msi_init(&vp->pdev, (uint8_t)at, MIN(count, vp->irq.msi_count),
			 flags & PCI_MSI_FLAGS_64BIT, flags & PCI_MSI_FLAGS_MASKBIT, &err)) {
		caps_warn(vp, err.msg, at);
		return false;
	}
	return true;
}

/* A function that can be reset by its guest: where that is written. */
static void note_flr(struct vfio_pci *vp, unsigned int at)
{
	if (at + PCI_EXP_DEVSTA <= PCI_CONFIG_SIZE &&
	    (get_le32(vp->hw + at + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR))
		vp->flr_devctl = (uint8_t)(at + PCI_EXP_DEVCTL + 1);
}

static bool take_af(struct vfio_pci *vp, unsigned int at)
{
	if (at + PCI_CAP_AF_SIZEOF <= PCI_CONFIG_SIZE && (vp->hw[at + PCI_AF_CAP] & PCI_AF_CAP_FLR))
		vp->flr_af = (uint8_t)(at + PCI_AF_CTRL);
	return true;
}

/* Enhanced allocation (PCIe 5.0, 7.8.5) tells the host's addresses of the BARs. */
static bool take_none(struct vfio_pci *vp, unsigned int at)
{
	own_zero(vp, at, 4);
	return false;
}

/* What link the hardware has. A VF's status is zeros; at most its capability says something. */
static struct pci_link hw_link(const struct vfio_pci *vp, unsigned int at)
{
	uint16_t now = get_le16(vp->hw + at + PCI_EXP_LNKSTA);
	uint32_t best = get_le32(vp->hw + at + PCI_EXP_LNKCAP);

	if (!(now & PCI_EXP_LNKSTA_CLS) || !(now & PCI_EXP_LNKSTA_NLW))
		now = (uint16_t)best;
	return (struct pci_link){
		.speed = now & PCI_EXP_LNKSTA_CLS,
		.width = (now & PCI_EXP_LNKSTA_NLW) >> PCI_EXP_LNKSTA_NLW_SHIFT,
	};
}

/*
 * PCIe 4.0, 7.5.3: the type has to fit the place. Behind a port the function is an endpoint on the
 * port's link. On the root bus it is what a root complex integrated endpoint is, which has no link;
 * an endpoint there would make the guest look for the port. The link itself is the host's affair.
 */
static bool take_pcie(struct vfio_pci *vp, unsigned int at)
{
	struct pci_dev *pdev = &vp->pdev;
	bool port = pci_dev_wants_port(pdev);
	uint16_t flags = get_le16(vp->hw + at + PCI_EXP_FLAGS);
	unsigned int type = (flags & PCI_EXP_FLAGS_TYPE) >> 4, version = flags & PCI_EXP_FLAGS_VERS;
	bool link = type == PCI_EXP_TYPE_ENDPOINT || type == PCI_EXP_TYPE_LEG_END;

	note_flr(vp, at);
	/* From version 2 on there are always link registers, zeros where they mean nothing. */
	if (port && type == PCI_EXP_TYPE_RC_END && version > 1)
		link = true;
	if (link && at + PCI_EXP_SLTCAP <= PCI_CONFIG_SIZE) {
		if (!port)
			type = PCI_EXP_TYPE_RC_END;
		else if (type == PCI_EXP_TYPE_RC_END)
			type = PCI_EXP_TYPE_ENDPOINT;
		own_zero(vp, at + PCI_EXP_LNKCAP, 8);
		if (version > 1 && at + PCI_EXP_SLTCAP2 <= PCI_CONFIG_SIZE)
			own_zero(vp, at + PCI_EXP_LNKCAP2, 8);
	}
	flags = (uint16_t)((flags & ~PCI_EXP_FLAGS_TYPE) | type << 4);
	own_span(vp, at + PCI_EXP_FLAGS, 2);
	put_le16(pdev->config + at + PCI_EXP_FLAGS, flags);
	if (port && link) {
		pdev->link = hw_link(vp, at);
		pci_link_set(pdev, at, pdev->link);
	}
	return true;
}

static bool take_pm(struct vfio_pci *vp, unsigned int at)
{
	if (at + PCI_PM_SIZEOF <= PCI_CONFIG_SIZE && !vp->pm_cap)
		vp->pm_cap = (uint8_t)at;
	return true;
}

/* What is not here (vendor capabilities, VPD, ids of subsystems and slots) is the hardware's but
 * for its header; the kernel virtualises VPD and leaves the vendors' own as they are. */
static const struct cap_row {
	uint8_t id;
	bool (*take)(struct vfio_pci *vp, unsigned int at);
} cap_rows[] = {
	{ PCI_CAP_ID_PM, take_pm },    { PCI_CAP_ID_MSI, take_msi }, { PCI_CAP_ID_MSIX, take_msix },
	{ PCI_CAP_ID_EXP, take_pcie }, { PCI_CAP_ID_AF, take_af },   { PCI_CAP_ID_EA, take_none },
};

static bool cap_take(struct vfio_pci *vp, unsigned int at)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cap_rows); i++) {
		if (cap_rows[i].id == vp->hw[at])
			return cap_rows[i].take(vp, at);
	}
	return true;
}

static void caps_link(struct vfio_pci *vp)
{
	uint8_t *config = vp->pdev.config;
	uint8_t at[CAPS_MAX];
	unsigned int i, n = caps_walk(vp, at, false), link = PCI_CAPABILITY_LIST;

	config[link] = 0;
	for (i = 0; i < n; i++) {
		if (!cap_take(vp, at[i]))
			continue;
		own_span(vp, at[i], 2);
		config[at[i] + PCI_CAP_LIST_ID] = vp->hw[at[i]];
		config[at[i] + PCI_CAP_LIST_NEXT] = 0;
		config[link] = at[i];
		link = at[i] + PCI_CAP_LIST_NEXT;
	}
	if (config[PCI_CAPABILITY_LIST])
		config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	else
		config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_CAP_LIST;
}

/* Extended capabilities that the guest does not see, and how many bytes they have (PCIe 5.0, 7.7
 * to 7.9); 0: one entry for each BAR. All others are the hardware's but for their headers. */
static const struct ecap_row {
	uint16_t id;
	uint16_t size;
} ecap_hidden_rows[] = {
	/* VFs and bus numbers are the host's affair. */
	{ PCI_EXT_CAP_ID_SRIOV, PCI_EXT_CAP_SRIOV_SIZEOF },
	{ PCI_EXT_CAP_ID_ARI, PCI_EXT_CAP_ARI_SIZEOF },
	/* The size of a BAR is fixed once it is mapped. */
	{ PCI_EXT_CAP_ID_REBAR, 0 },
	{ PCI_EXT_CAP_ID_VF_REBAR, 0 },
	/* Translated requests, page requests and address space ids are between the function and the
	 * host's IOMMU, which has switched them on or not; the guest has no IOMMU to use them. */
	{ PCI_EXT_CAP_ID_ATS, PCI_EXT_CAP_ATS_SIZEOF },
	{ PCI_EXT_CAP_ID_PRI, PCI_EXT_CAP_PRI_SIZEOF },
	{ PCI_EXT_CAP_ID_PASID, PCI_EXT_CAP_PASID_SIZEOF },
	/* The other end of the link is the host's port: substates and time are set at both. */
	{ PCI_EXT_CAP_ID_L1SS, PCI_L1SS_CTL2 + 4 },
	{ PCI_EXT_CAP_ID_PTM, PCI_PTM_CTRL + 4 },
};

/* How many bytes of an extended capability the guest must not reach; 0: it may see it. */
static unsigned int ecap_hidden(const struct vfio_pci *vp, unsigned int at, unsigned int id)
{
	unsigned int i, bars;

	for (i = 0; i < ARRAY_SIZE(ecap_hidden_rows); i++) {
		if (ecap_hidden_rows[i].id != id)
			continue;
		if (ecap_hidden_rows[i].size)
			return ecap_hidden_rows[i].size;
		bars = at + 12 <= PCIE_CONFIG_SIZE ? vp->hw[at + PCI_REBAR_CTRL] >> 5 : 0;
		return 4 + 8 * MAX(bars, 1u);
	}
	return 0;
}

/* As caps_walk(), for the list at 0x100 (PCIe 4.0, 7.6.3). */
static unsigned int ecaps_walk(const struct vfio_pci *vp, uint16_t at[ECAPS_MAX])
{
	bool seen[PCIE_CONFIG_SIZE / 4] = { false };
	unsigned int n = 0, pos = ECAP_FIRST;

	while (pos) {
		uint32_t header = get_le32(vp->hw + pos);

		if (!header && pos == ECAP_FIRST)
			break;
		if (!header || header == UINT32_MAX) {
			caps_warn(vp, "its extended capability list leads to nothing", pos);
			break;
		}
		if (seen[pos / 4] || n == ECAPS_MAX) {
			caps_warn(vp, "its extended capability list is a loop", pos);
			break;
		}
		seen[pos / 4] = true;
		at[n++] = (uint16_t)pos;
		pos = PCI_EXT_CAP_NEXT(header);
		if (pos && pos < ECAP_FIRST) {
			caps_warn(vp, "its extended capability list leaves the space", pos);
			break;
		}
	}
	return n;
}

static void ecap_link_set(struct vfio_pci *vp, unsigned int link, unsigned int at)
{
	uint8_t *header = vp->pdev.config + link;

	put_le32(header, (get_le32(header) & 0x000fffff) | (uint32_t)at << 20);
}

/* Takes what a hidden capability has, up to where the next one begins. */
static void ecap_hide(struct vfio_pci *vp, const uint16_t *at, unsigned int n, unsigned int pos,
		      unsigned int len)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (at[i] > pos)
			len = MIN(len, at[i] - pos);
	}
	own_zero(vp, pos, len);
}

static void ecaps_link(struct vfio_pci *vp)
{
	uint16_t at[ECAPS_MAX];
	unsigned int i, n = ecaps_walk(vp, at), link = ECAP_FIRST;

	/* The first header is where software starts: when its capability is hidden, or there is
	 * none, it stays with id 0 and leads on. */
	own_zero(vp, ECAP_FIRST, 4);
	for (i = 0; i < n; i++) {
		uint32_t header = get_le32(vp->hw + at[i]);
		unsigned int hidden = ecap_hidden(vp, at[i], PCI_EXT_CAP_ID(header));

		if (hidden) {
			ecap_hide(vp, at, n, at[i], hidden);
			continue;
		}
		own_span(vp, at[i], 4);
		put_le32(vp->pdev.config + at[i], header & 0x000fffff);
		if (at[i] != ECAP_FIRST)
			ecap_link_set(vp, link, at[i]);
		link = at[i];
	}
}

void vfio_pci_caps_init(struct vfio_pci *vp)
{
	caps_link(vp);
	if (vp->pdev.config_size == PCIE_CONFIG_SIZE)
		ecaps_link(vp);
}

unsigned int vfio_pci_ecap_find(const struct vfio_pci *vp, uint16_t id)
{
	uint16_t at[ECAPS_MAX];
	unsigned int i, n = vp->pdev.config_size == PCIE_CONFIG_SIZE ? ecaps_walk(vp, at) : 0;

	for (i = 0; i < n; i++) {
		if (PCI_EXT_CAP_ID(get_le32(vp->hw + at[i])) == id)
			return at[i];
	}
	return 0;
}

/* How many bytes a capability has, as far as that is known: 4 at least. */
static unsigned int cap_size(const struct vfio_pci *vp, unsigned int at)
{
	switch (vp->hw[at]) {
	case PCI_CAP_ID_PM:
	case PCI_CAP_ID_VPD:
		return 8;
	case PCI_CAP_ID_MSI:
		return msi_size(get_le16(vp->hw + at + PCI_MSI_FLAGS));
	case PCI_CAP_ID_MSIX:
		return PCI_CAP_MSIX_SIZEOF;
	case PCI_CAP_ID_EXP:
		return (vp->hw[at + PCI_EXP_FLAGS] & PCI_EXP_FLAGS_VERS) > 1
			       ? PCI_EXP_SLTSTA2 + 2 /* registers it has not are reserved */
			       : PCI_CAP_EXP_ENDPOINT_SIZEOF_V1;
	case PCI_CAP_ID_VNDR:
		return MAX(vp->hw[at + PCI_CAP_FLAGS], 4u);
	default:
		return 4;
	}
}

bool vfio_pci_cap_insert(struct vfio_pci *vp, uint8_t at, const uint8_t *body, uint8_t len)
{
	uint8_t *config = vp->pdev.config;
	unsigned int i, n, link = PCI_CAPABILITY_LIST;
	uint8_t caps[CAPS_MAX];

	n = caps_walk(vp, caps, false);
	for (i = 0; i < n; i++) {
		if (span_overlaps(at, len, caps[i], cap_size(vp, caps[i])))
			return false;
	}
	for (i = 0; config[link] && i < CAPS_MAX; i++)
		link = config[link] + PCI_CAP_LIST_NEXT;
	own_zero(vp, at, len);
	memcpy(config + at, body, len);
	config[at + PCI_CAP_LIST_NEXT] = 0;
	config[link] = at;
	config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	return true;
}
