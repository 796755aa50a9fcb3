// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The PCI core's setting of a VF: how many MSI-X vectors it has. The VF's sriov_vf_msix_count takes
 * the number, but cannot be read; what it is stands in the VF's MSI-X capability, as the size of
 * its table (PCIe base specification, 7.7.2.2).
 *
 * Source: Linux drivers/pci/iov.c and Documentation/ABI/testing/sysfs-bus-pci.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"
#include "func_config.h"
#include "vf_backend.h"

#define DEV "bus/pci/devices/%s/"

static int pci_claims(const struct host *host, const struct pci_addr *pf)
{
	char a[PCI_ADDR_STRLEN];

	return host_has(host, DEV "sriov_vf_total_msix", pci_addr_str(pf, a));
}

static int find_vf(const struct host *host, const struct pci_addr *pf, unsigned int index,
		   struct pci_addr *ret_vf, struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	int ret = func_vf_addr(host, pf, index, ret_vf);

	return ret ? err_set(err, ret, "%s has no VF %u", pci_addr_str(pf, a), index) : 0;
}

static int pci_read(struct host *host, const struct pci_addr *pf, unsigned int index,
		    struct vf_attrs *attrs, struct err *err)
{
	uint8_t config[PCI_CFG_SPACE_SIZE];
	struct pci_addr vf;
	size_t at;
	int ret = find_vf(host, pf, index, &vf, err);

	/* Only root sees more than the first 64 bytes. */
	if (ret || func_config_read(host, &vf, config, sizeof(config)) < sizeof(config))
		return ret;
	at = func_config_cap(config, PCI_CAP_ID_MSIX);
	if (!at)
		return 0;
	attrs->has |= BIT(VF_ATTR_VECTORS);
	attrs->value[VF_ATTR_VECTORS] =
		(get_le16(config + at + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_QSIZE) + 1u;
	return 0;
}

/* What the kernel answers to sriov_vf_msix_count. */
static const struct {
	int code;
	const char *why;
} errors[] = {
	{ -EBUSY, "the VF has a driver; take it away first: vfctl unbind" },
	{ -EOPNOTSUPP, "the PF's driver has no such setting, or the PF has no driver" },
	{ -ENOSPC, "the card has no vectors left for that many; ask for fewer" },
	{ -EINVAL, "the card's driver does not accept that number" },
	{ -ERANGE, "the card's driver does not accept that number" },
	{ -EACCES,
	  "writing needs root and a writable sysfs; run it with sudo, outside a container" },
	{ -ENOENT, "this kernel has no such setting for the VF" },
};

static int pci_write(struct host *host, const struct pci_addr *pf, unsigned int index,
		     const struct vf_attrs *want, uint32_t which, struct err *err)
{
	char v[PCI_ADDR_STRLEN], a[PCI_ADDR_STRLEN], text[24];
	uint64_t count = want->value[VF_ATTR_VECTORS];
	const char *why = "see: dmesg";
	struct pci_addr vf;
	size_t i;
	int ret = find_vf(host, pf, index, &vf, err);

	(void)which; /* there is one */
	if (ret)
		return ret;
	pci_addr_str(pf, a);
	/* To the kernel 0 is what the driver likes, which could not be compared afterwards. */
	if (!count)
		return err_set(err, -ERANGE, "%s: VF %u cannot have 0 vectors", a, index);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)count);
	ret = host_write(host, text, DEV "sriov_vf_msix_count", pci_addr_str(&vf, v));
	if (!ret)
		return 0;
	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		if (errors[i].code == ret)
			why = errors[i].why;
	}
	return err_sys(err, ret, "%s: VF %u: vectors %s (%s): %s", a,
		       index, text, v, why);
}

const struct vf_backend vf_backend_pci = {
	.name = "pci",
	.attrs = BIT(VF_ATTR_VECTORS),
	.claims = pci_claims,
	.read = pci_read,
	.write = pci_write,
};
