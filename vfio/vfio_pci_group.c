// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Functions that come together.
 *
 * `all-functions`: one option, one slot of the guest, a device for each function of the host's
 * card. They keep their numbers, so that a driver that looks for its sibling finds it; VFs of the
 * card, which may have addresses in the same slot, are cards of their own and stay out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "sriov/func.h"
#include "sriov/func_explain.h"
#include "vfio_pci_priv.h"
#include "vfio_sys.h"
#include "vmm/vm.h"

static int part_set(struct vfio_pci *vp, const struct pci_addr *addr, struct dev *first,
		    struct err *err)
{
	char a[PCI_ADDR_STRLEN];

	free(vp->host_name);
	vp->host_name = strdup(pci_addr_str(addr, a));
	if (!vp->host_name)
		return err_sys(err, -ENOMEM, "%s", a);
	vp->pdev.function = addr->fn;
	vp->pdev.beside = first ? to_pci(first) : NULL;
	return 0;
}

int vfio_pci_part(struct dev *dev, unsigned int index, struct dev *first, struct err *err)
{
	struct vfio_pci *vp = to_vfio_pci(to_pci(dev));
	struct pci_addr addrs[FUNC_SLOT_MAX];
	unsigned int i, count;
	uint32_t given = 0;
	struct host host;
	int group, ret;

	if (!vp->all_functions)
		return 1;
	for (i = 0; i < IOMMU_GIVEN_COUNT; i++)
		given |= vp->fds[i];
	if (!vp->host_name || given)
		return err_set(err, -EINVAL,
			       "all-functions goes with host= alone; with descriptors give the "
			       "functions one by one");
	ret = host_init(&host, vfio_sys_sysfs_root(), err);
	if (!ret)
		ret = func_slot(&host, vp->host_name, addrs, &count, err);
	if (!ret && addrs[0].fn)
		return err_set(err, -ENODEV,
			       "%s: the slot has no function 0, without which no guest finds the "
			       "others; give them one by one",
			       vp->host_name);
	/* Pulled out, or grown, since the first was made. */
	if (!ret && index >= count)
		return err_set(err, -ENODEV, "%s: its functions changed while they were taken",
			       vp->host_name);
	/* Before anything of the first is touched: what the last has against it. */
	for (i = 0; !ret && !index && i < count; i++)
		ret = vfio_pci_check(&host, &addrs[i], dev->vm->config.name, &group, err);
	if (!ret)
		ret = part_set(vp, &addrs[index], first, err);
	return ret ? ret : (int)count;
}

void vfio_pci_group_describe(const struct vfio_pci *vp, char *buf, size_t size)
{
	struct group_explain *explain;
	char brief[160];

	buf[0] = '\0';
	if (group_explain(&vp->host, vp->idev.group, &explain, NULL))
		return;
	group_explain_brief(explain, brief, sizeof(brief));
	if (explain->member_count > 1)
		snprintf(buf, size, " of %zu devices%s%s%s", explain->member_count,
			 *brief ? " (" : "", brief, *brief ? ")" : "");
	group_explain_free(explain);
}
