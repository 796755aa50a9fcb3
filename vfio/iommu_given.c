// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Descriptors that the user handed over. What one is, sysfs tells by its device number; that it was
 * handed over and is not one of the VMM's own, the close-on-exec flag: an inherited descriptor has
 * survived an exec, and all that the VMM opens has the flag.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "iommu.h"
#include "vfio_sys.h"
#include "vmm/vm.h"

enum kind { OTHER, CDEV, GROUP_NODE, CONTAINER_NODE, IOMMU_NODE, NO_NODE };

static const struct {
	const char *option;
	const char *wanted;
	enum kind kind;
	const struct iommu_ops *ops;
} kinds[IOMMU_GIVEN_COUNT] = {
	[IOMMU_GIVEN_DEV] = { "fd", "a node of /dev/vfio/devices, nor a function out of a group",
			      CDEV, &iommu_iommufd },
	[IOMMU_GIVEN_GROUP] = { "group-fd", "a group's node of /dev/vfio", GROUP_NODE,
				&iommu_type1 },
	[IOMMU_GIVEN_CONTAINER] = { "container-fd", "/dev/vfio/vfio", CONTAINER_NODE,
				    &iommu_type1 },
	[IOMMU_GIVEN_IOMMUFD] = { "iommufd-fd", "/dev/iommu", IOMMU_NODE, &iommu_iommufd },
};

/* A function of this guest has it as @kind, so that it may be named once more. */
static bool shared_with(const struct vm *vm, enum iommu_given_kind kind, int fd)
{
	const struct iommu *iommu = vm->iommu;
	const struct iommu_dev *dev;

	if (iommu && (kind == IOMMU_GIVEN_CONTAINER || kind == IOMMU_GIVEN_IOMMUFD) &&
	    iommu->fd == fd)
		return true;
	for (dev = iommu && kind != IOMMU_GIVEN_DEV ? iommu->devs : NULL; dev; dev = dev->next) {
		if (dev->given[kind].fd == fd)
			return true;
	}
	return false;
}

/* What the device number stands for; the last parts of its place in the device tree. */
static enum kind kind_of(const struct host *host, unsigned int major, unsigned int minor,
			 char link[HOST_PATH_MAX])
{
	char path[HOST_PATH_MAX];
	ssize_t n;

	link[0] = '\0';
	if (!major && !minor)
		return NO_NODE;
	if (host_path(path, host->sysfs_root, "dev/char/%u:%u", major, minor))
		return OTHER;
	n = readlink(path, link, HOST_PATH_MAX - 1);
	link[MAX(n, 0)] = '\0';
	if (strstr(link, "/vfio-dev/"))
		return CDEV;
	if (strstr(link, "/virtual/vfio/"))
		return GROUP_NODE;
	if (strstr(link, "/virtual/misc/vfio"))
		return CONTAINER_NODE;
	return strstr(link, "/virtual/misc/iommu") ? IOMMU_NODE : OTHER;
}

/* ".../0000:01:10.0/vfio-dev/vfio0" */
static int cdev_addr(const char *link, struct pci_addr *ret_addr)
{
	const char *end = strstr(link, "/vfio-dev/"), *start = end;
	char name[PCI_ADDR_STRLEN];

	while (start > link && start[-1] != '/')
		start--;
	if ((size_t)(end - start) >= sizeof(name))
		return -EINVAL;
	memcpy(name, start, (size_t)(end - start));
	name[end - start] = '\0';
	return pci_addr_parse(name, ret_addr);
}

static int open_check(const struct vm *vm, enum iommu_given_kind kind, int fd,
		      unsigned int *ret_major, unsigned int *ret_minor, struct err *err)
{
	const char *option = kinds[kind].option;
	int ret = vfio_sys_fd_look(fd, ret_major, ret_minor);

	if (ret == -EEXIST && shared_with(vm, kind, fd))
		return 0;
	if (ret == -EEXIST)
		return err_set(err, -EINVAL,
			       "%s=%d: it is viaduct's own, or was given before; pass in another "
			       "descriptor",
			       option, fd);
	if (ret == -EBADF)
		return err_set(err, -EINVAL,
			       "%s=%d: no such descriptor is open; pass it to viaduct without "
			       "close-on-exec",
			       option, fd);
	return ret ? err_sys(err, ret, "%s=%d", option, fd) : 0;
}

/* A function out of a group has no node: it cannot be told what it is, and only works with the
 * group that it came from. */
static int groups_device(const struct iommu_dev *dev, struct err *err)
{
	if (iommu_given(dev, IOMMU_GIVEN_GROUP) && iommu_given(dev, IOMMU_GIVEN_CONTAINER))
		return 0;
	return err_set(err, -EINVAL,
		       "fd=%d: it is no node of /dev/vfio/devices; a function out of a group needs "
		       "group-fd=, container-fd= and host= as well",
		       iommu_given(dev, IOMMU_GIVEN_DEV));
}

static int row_check(enum iommu_given_kind kind, const struct iommu_ops *row,
		     const struct iommu_ops **ops, int fd, struct err *err)
{
	if (*ops && *ops != row)
		return err_set(err, -EINVAL,
			       "%s=%d is for iommu=%s, and something else given is for iommu=%s",
			       kinds[kind].option, fd, row->name, (*ops)->name);
	*ops = row;
	return 0;
}

static int look(const struct vm *vm, struct iommu_dev *dev, enum iommu_given_kind i,
		const struct iommu_ops **ops, bool *ret_addr, struct err *err)
{
	unsigned int major = 0, minor = 0;
	char link[HOST_PATH_MAX];
	int fd = iommu_given(dev, i), ret;
	enum kind kind;

	ret = open_check(vm, i, fd, &major, &minor, err);
	if (ret)
		return ret;
	kind = kind_of(dev->host, major, minor, link);
	if (kind == NO_NODE && i == IOMMU_GIVEN_DEV) {
		ret = groups_device(dev, err);
		return ret ? ret : row_check(i, &iommu_type1, ops, fd, err);
	}
	if (kind != kinds[i].kind)
		return err_set(err, -EINVAL, "%s=%d: it is not %s", kinds[i].option, fd,
			       kinds[i].wanted);
	if (kind == GROUP_NODE)
		dev->given_group = atoi(strrchr(link, '/') + 1);
	if (kind == CDEV) {
		if (cdev_addr(link, &dev->addr))
			return err_set(err, -EINVAL, "fd=%d: it is no PCI function's", fd);
		*ret_addr = true;
	}
	return row_check(i, kinds[i].ops, ops, fd, err);
}

int iommu_given_look(const struct vm *vm, struct iommu_dev *dev, const struct iommu_ops **ops,
		     bool *ret_addr, struct err *err)
{
	enum iommu_given_kind i;
	int ret = 0;

	*ret_addr = false;
	for (i = 0; i < IOMMU_GIVEN_COUNT && !ret; i++) {
		if (!iommu_given(dev, i))
			continue;
		ret = look(vm, dev, i, ops, ret_addr, err);
		dev->given[i].good = !ret;
	}
	return ret;
}

int iommu_given_group(const struct iommu_dev *dev, struct err *err)
{
	if (!iommu_given(dev, IOMMU_GIVEN_GROUP) || dev->given_group == dev->group)
		return 0;
	return err_set(err, -EINVAL, "group-fd=%d: it is group %d, and %s is in group %d",
		       iommu_given(dev, IOMMU_GIVEN_GROUP), dev->given_group, dev->name,
		       dev->group);
}

void iommu_given_own(const struct vm *vm, struct iommu_dev *dev)
{
	enum iommu_given_kind i;

	for (i = 0; i < IOMMU_GIVEN_COUNT; i++) {
		if (!dev->given[i].good || shared_with(vm, i, dev->given[i].fd))
			continue;
		vfio_sys_fd_own(dev->given[i].fd);
		dev->given[i].owned = true;
	}
}

int iommu_given_take(struct iommu_dev *dev, enum iommu_given_kind kind)
{
	struct iommu_given *given = &dev->given[kind];

	if (!given->fd || !given->owned)
		return -1;
	given->owned = false;
	return given->fd;
}

void iommu_given_close(struct iommu_dev *dev)
{
	enum iommu_given_kind i;

	for (i = 0; i < IOMMU_GIVEN_COUNT; i++) {
		if (dev->given[i].owned)
			vfio_sys_close(dev->given[i].fd);
		dev->given[i].owned = false;
	}
}
