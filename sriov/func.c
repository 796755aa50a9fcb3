// SPDX-License-Identifier: GPL-2.0-or-later
#include "func.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"

#define DEVS "bus/pci/devices/"

bool func_exists(const struct host *host, const struct pci_addr *addr)
{
	char a[PCI_ADDR_STRLEN];

	return host_has(host, DEVS "%s", pci_addr_str(addr, a));
}

bool func_answers(const struct host *host, const struct pci_addr *addr)
{
	char a[PCI_ADDR_STRLEN], path[HOST_PATH_MAX];
	uint8_t class[4] = { 0 }; /* a VF's IDs read as ones even when it is well */
	CLEANUP_CLOSE int fd = -1;

	if (host_path(path, host->sysfs_root, DEVS "%s/config", pci_addr_str(addr, a)))
		return true;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 || io_pread_full(fd, class, sizeof(class), PCI_CLASS_REVISION) ||
	       get_le32(class) != UINT32_MAX;
}

void func_driver(const struct host *host, const struct pci_addr *addr, char buf[HOST_NAME_MAX])
{
	char a[PCI_ADDR_STRLEN];

	if (host_link(host, buf, HOST_NAME_MAX, DEVS "%s/driver", pci_addr_str(addr, a)) < 0)
		buf[0] = '\0';
}

int func_group(const struct host *host, const struct pci_addr *addr)
{
	char a[PCI_ADDR_STRLEN], text[16], *end;
	long group;

	if (host_link(host, text, sizeof(text), DEVS "%s/iommu_group", pci_addr_str(addr, a)) < 0)
		return -1;
	group = strtol(text, &end, 10);
	return end == text || *end || group < 0 || group > INT32_MAX ? -1 : (int)group;
}

int func_cdev(const struct host *host, const struct pci_addr *addr, char buf[HOST_NAME_MAX])
{
	char a[PCI_ADDR_STRLEN], path[HOST_PATH_MAX];
	struct dirent *e;
	int ret = -ENOENT;
	DIR *dir = NULL;

	if (!host_path(path, host->sysfs_root, DEVS "%s/vfio-dev", pci_addr_str(addr, a)))
		dir = opendir(path);
	while (dir && ret && (e = readdir(dir))) {
		if (strncmp(e->d_name, "vfio", 4) != 0 || !host_name_ok(e->d_name) ||
		    host_path(path, host->dev_root, "vfio/devices/%s", e->d_name) ||
		    access(path, F_OK) < 0)
			continue;
		memcpy(buf, e->d_name, strlen(e->d_name) + 1);
		ret = 0;
	}
	if (dir)
		closedir(dir);
	return ret;
}

bool func_driver_is_vfio(const char *driver)
{
	/* vfio-pci, mlx5_vfio_pci, nvgrace-gpu-vfio-pci, hisi_acc_vfio_pci ... */
	return strstr(driver, "vfio") != NULL;
}

int func_vf_addr(const struct host *host, const struct pci_addr *pf, unsigned int index,
		 struct pci_addr *ret_vf)
{
	char a[PCI_ADDR_STRLEN], name[HOST_NAME_MAX];

	if (host_link(host, name, sizeof(name), DEVS "%s/virtfn%u", pci_addr_str(pf, a), index) < 0)
		return -ENODEV;
	return pci_addr_parse(name, ret_vf) ? -ENODEV : 0;
}

int func_pf_addr(const struct host *host, const struct pci_addr *vf, struct pci_addr *ret_pf)
{
	char a[PCI_ADDR_STRLEN], name[HOST_NAME_MAX];

	if (host_link(host, name, sizeof(name), DEVS "%s/physfn", pci_addr_str(vf, a)) < 0)
		return -ENOENT;
	return pci_addr_parse(name, ret_pf) ? -ENOENT : 0;
}

static uint32_t routing_id(const struct pci_addr *addr)
{
	return (uint32_t)addr->bus << 8 | (uint32_t)addr->dev << 3 | addr->fn;
}

static bool vf_is_at(const struct host *host, const struct pci_addr *pf, unsigned int index,
		     const struct pci_addr *vf)
{
	struct pci_addr found;

	return !func_vf_addr(host, pf, index, &found) && pci_addr_eq(&found, vf);
}

/* VF n sits at the PF's routing ID + offset + n * stride (PCIe base specification, 9.2.1.2). */
static int vf_index(const struct host *host, const struct pci_addr *pf, const struct pci_addr *vf)
{
	char a[PCI_ADDR_STRLEN];
	long offset, stride, distance, count = 0;
	long i;

	pci_addr_str(pf, a);
	if (!host_read_long(host, &offset, DEVS "%s/sriov_offset", a) &&
	    !host_read_long(host, &stride, DEVS "%s/sriov_stride", a) && stride > 0) {
		distance = (long)routing_id(vf) - (long)routing_id(pf) - offset;
		if (distance >= 0 && vf_is_at(host, pf, (unsigned int)(distance / stride), vf))
			return (int)(distance / stride);
	}
	if (host_read_long(host, &count, DEVS "%s/sriov_numvfs", a) || count > 65535)
		return -1;
	for (i = 0; i < count; i++) {
		if (vf_is_at(host, pf, (unsigned int)i, vf))
			return (int)i;
	}
	return -1;
}

static long read_or(const struct host *host, const char *a, const char *attr, long otherwise)
{
	long v;

	return host_read_long(host, &v, DEVS "%s/%s", a, attr) ? otherwise : v;
}

static void read_override(const struct host *host, const char *a, char buf[HOST_NAME_MAX])
{
	/* The kernel prints a string that is not set as "(null)". */
	if (host_read(host, buf, HOST_NAME_MAX, DEVS "%s/driver_override", a) < 0 ||
	    !strcmp(buf, "(null)"))
		buf[0] = '\0';
}

static void read_netdir(const struct host *host, const char *a, const char *below,
			struct func_info *info)
{
	char path[HOST_PATH_MAX];
	struct dirent *e;
	DIR *dir;

	if (host_path(path, host->sysfs_root, DEVS "%s/%s%snet", a, below, *below ? "/" : ""))
		return;
	dir = opendir(path);
	if (!dir)
		return;
	while (info->netdev_count < FUNC_NETDEVS_MAX && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || strlen(e->d_name) >= HOST_NAME_MAX)
			continue;
		memcpy(info->netdevs[info->netdev_count++], e->d_name, strlen(e->d_name) + 1);
	}
	closedir(dir);
}

static void read_netdevs(const struct host *host, const char *a, struct func_info *info)
{
	char path[HOST_PATH_MAX];
	struct dirent *e;
	DIR *dir;

	read_netdir(host, a, "", info);
	/* A virtio function's interface hangs below its virtioN. */
	if (strcmp(info->driver, "virtio-pci") != 0 || host_path(path, host->sysfs_root,
								   DEVS "%s", a))
		return;
	dir = opendir(path);
	if (!dir)
		return;
	while ((e = readdir(dir))) {
		if (!strncmp(e->d_name, "virtio", 6))
			read_netdir(host, a, e->d_name, info);
	}
	closedir(dir);
}

static void read_sriov(const struct host *host, const char *a, struct func_info *info)
{
	long total;

	if (!func_pf_addr(host, &info->addr, &info->pf)) {
		info->is_vf = true;
		info->vf_index = vf_index(host, &info->pf, &info->addr);
		return;
	}
	total = read_or(host, a, "sriov_totalvfs", -1);
	if (total < 0)
		return;
	info->is_pf = true;
	info->total_vfs = (unsigned int)total;
	info->num_vfs = (unsigned int)MAX(read_or(host, a, "sriov_numvfs", 0), 0);
	info->autoprobe = read_or(host, a, "sriov_drivers_autoprobe", 1) != 0;
}

int func_read(const struct host *host, const struct pci_addr *addr, struct func_info *ret,
	      struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	long vendor;
	int code;

	memset(ret, 0, sizeof(*ret));
	ret->addr = *addr;
	ret->vf_index = -1;
	pci_addr_str(addr, a);
	code = host_read_long(host, &vendor, DEVS "%s/vendor", a);
	if (code == -ENOENT || code == -ENOTDIR)
		return err_set(err, -ENODEV, "%s: no such function", a);
	if (code)
		return err_sys(err, code, "%s: cannot read its vendor", a);
	ret->vendor = (uint16_t)vendor;
	ret->device = (uint16_t)read_or(host, a, "device", 0xffff);
	ret->sub_vendor = (uint16_t)read_or(host, a, "subsystem_vendor", 0);
	ret->sub_device = (uint16_t)read_or(host, a, "subsystem_device", 0);
	ret->class = (uint32_t)read_or(host, a, "class", 0) & 0xffffff;
	ret->revision = (uint8_t)read_or(host, a, "revision", 0);
	func_driver(host, addr, ret->driver);
	read_override(host, a, ret->driver_override);
	ret->group = func_group(host, addr);
	ret->numa_node = (int)read_or(host, a, "numa_node", -1);
	read_sriov(host, a, ret);
	read_netdevs(host, a, ret);
	return 0;
}
