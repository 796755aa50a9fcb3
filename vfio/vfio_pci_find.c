// SPDX-License-Identifier: GPL-2.0-or-later
/* Which host function the option means, and whether it can be had: sysfs and device nodes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "sriov/func.h"
#include "sriov/quarantine.h"
#include "vfio_pci.h"
#include "vfio_pci_priv.h"
#include "vfio_sys.h"
#include "vmm/vm.h"

/* Flags of the sysfs attribute "resource" (Linux include/linux/ioport.h). */
#define RES_IO 0x00000100u
#define RES_MEM 0x00000200u
#define RES_PREFETCH 0x00002000u
#define RES_MEM_64 0x00100000u

/* The device of this guest, made or planned, that has @addr already. */
static const struct dev *holder_of(const struct vfio_pci *vp, const struct pci_addr *addr)
{
	struct dev *dev;

	for (dev = vp->pdev.dev.vm->devs; dev; dev = dev->next) {
		if (dev->class == &vfio_pci_class && dev != &vp->pdev.dev &&
		    pci_addr_eq(&to_vfio_pci(to_pci(dev))->idev.addr, addr))
			return dev;
	}
	return NULL;
}

bool vfio_pci_is_taken(const void *vp, const struct pci_addr *addr)
{
	return holder_of(vp, addr) != NULL;
}

/* What the options say beside the name: back end, descriptors, token. */
static int find_given(struct vfio_pci *vp, bool *ret_addr, struct err *err)
{
	unsigned int i;
	int ret = 0;

	if (vp->iommu_name)
		ret = iommu_row(vp->iommu_name, &vp->row, err);
	if (!ret && vp->token_text) {
		ret = iommu_token_parse(vp->token_text, &vp->token, err);
		vp->idev.token = &vp->token;
	}
	for (i = 0; i < IOMMU_GIVEN_COUNT; i++)
		vp->idev.given[i].fd = (int)vp->fds[i];
	if (!ret)
		ret = iommu_given_look(vp->pdev.dev.vm, &vp->idev, &vp->row, ret_addr, err);
	return ret;
}

static int find_name(struct vfio_pci *vp, bool known, struct err *err)
{
	const struct func_taken taken = { .is = vfio_pci_is_taken, .opaque = vp };
	struct pci_addr given = vp->idev.addr;
	char a[PCI_ADDR_STRLEN], b[PCI_ADDR_STRLEN];
	int ret;

	if (vp->lease.pool && (vp->host_name || known))
		return err_set(err, -EINVAL, "pool= stands in the place of host= and fd=: give one "
			       "of them");
	if (vp->lease.pool)
		return vfio_pci_lease_take(vp, err);
	if (!vp->host_name && known)
		return 0;
	if (!vp->host_name)
		/* In a role: none is meant here, so the next choice's turn. */
		return err_set(err, -ENODEV, "give host= or pool=, or fd= with a node of "
			       "/dev/vfio/devices");
	ret = func_resolve_free(&vp->host, vp->host_name, &taken, &vp->idev.addr, err);
	if (ret || !known || pci_addr_eq(&given, &vp->idev.addr))
		return ret;
	return err_set(err, -EINVAL, "fd=%u is %s, and host=%s is %s", vp->fds[IOMMU_GIVEN_DEV],
		       pci_addr_str(&given, a), vp->host_name, pci_addr_str(&vp->idev.addr, b));
}

static int find_addr(struct vfio_pci *vp, struct err *err)
{
	const struct dev *holder;
	bool known;
	int ret;

	ret = find_given(vp, &known, err);
	if (!ret)
		ret = find_name(vp, known, err);
	if (ret)
		return ret;
	holder = holder_of(vp, &vp->idev.addr);
	pci_addr_str(&vp->idev.addr, vp->idev.name);
	if (holder)
		return err_set(err, -EEXIST, "%s: this guest has it already, as %s", vp->idev.name,
			       holder->id);
	return 0;
}

int vfio_pci_check(const struct host *host, const struct pci_addr *addr, const char *guest,
		   int *ret_group, struct err *err)
{
	char driver[HOST_NAME_MAX], a[PCI_ADDR_STRLEN];
	int ret = quarantine_check(host, addr, err);

	if (!ret)
		ret = vfio_pci_lease_check(host, addr, guest, err);
	if (ret)
		return ret;
	pci_addr_str(addr, a);
	*ret_group = func_group(host, addr);
	if (*ret_group < 0)
		return err_set(err, -ENODEV,
			       "%s: the host has no IOMMU (no IOMMU group); boot it with "
			       "intel_iommu=on or amd_iommu=on, and turn it on in the firmware",
			       a);
	func_driver(host, addr, driver);
	if (!func_driver_is_vfio(driver))
		return err_set(err, -ENODEV,
			       "%s: bound to %s, not vfio-pci; run: vfctl bind %s vfio-pci", a,
			       *driver ? driver : "no driver", a);
	return func_group_check(host, addr, err);
}

int vfio_pci_find(struct vfio_pci *vp, struct err *err)
{
	int ret;

	ret = host_init(&vp->host, vfio_sys_sysfs_root(), err);
	if (ret)
		return ret;
	vp->idev.host = &vp->host;
	ret = find_addr(vp, err);
	if (ret)
		return ret;
	pci_addr_str(&vp->idev.addr, vp->idev.name);
	ret = vfio_pci_check(&vp->host, &vp->idev.addr, vp->pdev.dev.vm->config.name,
			     &vp->idev.group, err);
	return ret ? ret : iommu_given_group(&vp->idev, err);
}

int vfio_pci_find_nodes(struct vfio_pci *vp, struct err *err)
{
	const struct iommu_ops *has = NULL;
	struct vm *vm = vp->pdev.dev.vm;
	struct dev *dev;

	for (dev = vm->devs; dev && !has; dev = dev->next) {
		if (dev->class == &vfio_pci_class && dev != &vp->pdev.dev)
			has = to_vfio_pci(to_pci(dev))->idev.by;
	}
	return iommu_probe(vm, has, vp->row, &vp->idev, err);
}

/* One line of "resource": start, end, flags. Its size, 0 for none. */
static uint64_t plan_line(const char *line, unsigned long long *ret_flags)
{
	unsigned long long start, end;

	if (!line || sscanf(line, "%llx %llx %llx", &start, &end, ret_flags) != 3 || end <= start)
		return 0;
	return end - start + 1;
}

/* Returns how many BARs it takes. */
static unsigned int plan_bar(struct vfio_pci *vp, unsigned int bar, const char *line)
{
	unsigned long long flags;
	uint64_t size = plan_line(line, &flags);
	bool wide;

	if (!size)
		return 1;
	wide = flags & RES_MEM_64 && flags & RES_MEM && bar + 1 < PCI_BARS;
	if (flags & RES_IO)
		pci_bar_set(&vp->pdev, bar, PCI_BAR_IO, false, size);
	else if (flags & RES_MEM)
		pci_bar_set(&vp->pdev, bar, wide ? PCI_BAR_MEM64 : PCI_BAR_MEM32,
			    flags & RES_PREFETCH, size);
	return wide ? 2 : 1;
}

int vfio_pci_find_bars(struct vfio_pci *vp, struct err *err)
{
	char text[4096], *line = text, *lines[PCI_BAR_COUNT] = { NULL };
	unsigned long long flags;
	struct func_info info;
	unsigned int i;
	ssize_t n;
	int ret;

	ret = func_read(&vp->host, &vp->idev.addr, &info, err);
	if (ret)
		return ret;
	pci_dev_init(&vp->pdev, info.vendor, info.device, info.class << 8 | info.revision,
		     info.sub_vendor, info.sub_device, PCIE_CONFIG_SIZE);
	n = host_read(&vp->host, text, sizeof(text), "bus/pci/devices/%s/resource", vp->idev.name);
	if (n < 0)
		return err_sys(err, (int)n, "%s: its BARs", vp->idev.name);
	for (i = 0; i < PCI_BAR_COUNT && line; i++) {
		lines[i] = line;
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	for (i = 0; i < PCI_BARS && lines[i];)
		i += plan_bar(vp, i, lines[i]);
	ret = vfio_pci_clique_check(vp, err);
	if (ret)
		return ret;
	return vfio_pci_rom_plan(vp, plan_line(lines[PCI_ROM], &flags), err);
}
