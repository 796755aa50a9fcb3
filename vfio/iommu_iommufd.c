// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The iommufd back end: one address space (IOAS) of /dev/iommu, to which functions are attached by
 * device nodes of their own, without groups (uapi linux/iommufd.h, Documentation/userspace-api/
 * iommufd.rst). The kernel wants this order: KVM is told of the function before it is bound, and
 * the address space can only be destroyed when nothing is attached to it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "sriov/func.h"
#include "iommu.h"
#include "iommufd_uapi.h"
#include "vfio_sys.h"

#define NODE_MAX (HOST_NAME_MAX + 16)

/* "vfio/devices/vfio0", the function's node below /dev. -ENOENT: the kernel makes none. */
static int cdev_node(const struct iommu_dev *dev, char node[NODE_MAX])
{
	char name[HOST_NAME_MAX];
	int ret = func_cdev(dev->host, &dev->addr, name);

	if (!ret)
		snprintf(node, NODE_MAX, "vfio/devices/%.*s", HOST_NAME_MAX - 1, name);
	return ret;
}

static bool iommufd_here(const struct iommu_dev *dev)
{
	char node[NODE_MAX], path[HOST_PATH_MAX];

	return !host_path(path, dev->host->dev_root, "iommu") && !access(path, F_OK) &&
	       !cdev_node(dev, node);
}

static int cdev_find(const struct iommu_dev *dev, char node[NODE_MAX], struct err *err)
{
	if (!cdev_node(dev, node))
		return 0;
	return err_set(err, -ENODEV,
		       "%s: it has no node below /dev/vfio/devices; that takes Linux 6.6 with "
		       "CONFIG_VFIO_DEVICE_CDEV and the module iommufd, or choose iommu=type1",
		       dev->name);
}

static int iommufd_probe(const struct iommu_dev *dev, struct err *err)
{
	char node[NODE_MAX];
	int ret = 0;

	if (!iommu_given(dev, IOMMU_GIVEN_IOMMUFD))
		ret = iommu_node_try(&iommu_iommufd, dev, "iommu", err);
	if (ret || iommu_given(dev, IOMMU_GIVEN_DEV))
		return ret;
	ret = cdev_find(dev, node, err);
	return ret ? ret : iommu_node_try(&iommu_iommufd, dev, node, err);
}

/* The descriptor of /dev/iommu, and an address space of it. */
static int ioas_get(struct iommu *iommu, struct iommu_dev *dev, struct err *err)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	int ret;

	ret = iommu_ctl_open(iommu, dev, IOMMU_GIVEN_IOMMUFD, "iommu", err);
	if (ret || iommu->ioas)
		return ret;
	ret = vfio_sys_ioctl(iommu->fd, IOMMU_IOAS_ALLOC, &alloc);
	if (ret < 0)
		return err_sys(err, ret, "%s: making an address space of /dev/iommu", dev->name);
	iommu->ioas = alloc.out_ioas_id;
	return 0;
}

static void ioas_put(struct iommu *iommu)
{
	struct iommu_destroy destroy = { .size = sizeof(destroy), .id = iommu->ioas };

	/* All mappings go with it, also when somebody else has the descriptor too. */
	if (iommu->ioas)
		vfio_sys_ioctl(iommu->fd, IOMMU_DESTROY, &destroy);
	iommu->ioas = 0;
	iommu_ctl_close(iommu);
}

static int cdev_open(struct iommu_dev *dev, struct err *err)
{
	char node[NODE_MAX];
	int ret;

	dev->fd = iommu_given_take(dev, IOMMU_GIVEN_DEV);
	if (dev->fd >= 0)
		return 0;
	ret = cdev_find(dev, node, err);
	if (!ret)
		ret = iommu_node_open(&iommu_iommufd, dev, node, err);
	if (ret < 0)
		return ret;
	dev->fd = ret;
	return 0;
}

/* A node can be opened by many and bound by one; the kernel tells the loser nothing more. */
static int bind_error(const struct iommu_dev *dev, int code, struct err *err)
{
	char node[NODE_MAX];

	if (code == -EPERM)
		return iommu_unsafe_error(dev, iommu_iommufd.module, err);
	snprintf(node, sizeof(node), "vfio/%d", dev->group);
	if (code == -EBUSY || (code == -EINVAL && !cdev_node(dev, node)))
		return iommu_busy_error(dev, node, err);
	return err_sys(err, code, "%s: binding it to /dev/iommu", dev->name);
}

static int bind_ioctl(const struct iommu *iommu, struct iommu_dev *dev, const uint8_t *token)
{
	struct vfio_bind bind = {
		.argsz = token ? sizeof(bind) : offsetof(struct vfio_bind, token),
		.flags = token ? VFIO_BIND_TOKEN : 0,
		.iommufd = iommu->fd,
		.token = (uintptr_t)token,
	};
	int ret = vfio_sys_ioctl(dev->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind);

	return ret < 0 ? ret : 0;
}

static int cdev_bind(const struct iommu *iommu, struct iommu_dev *dev, struct err *err)
{
	int ret = bind_ioctl(iommu, dev, dev->token ? dev->token->b : NULL);

	/* Before Linux 6.17 the kernel takes no token here and asks for none. A PF's is set by
	 * another way afterwards (iommu_token_set()). */
	if (ret == -EINVAL && dev->token && !iommu_token_is_vf(dev))
		ret = bind_ioctl(iommu, dev, NULL);
	else if (ret == -EINVAL && dev->token)
		return err_set(err, -EINVAL,
			       "%s: the kernel takes no vf-token= for it by iommufd: Linux 6.17 "
			       "does, older ones ask for none there; leave it away, or choose "
			       "iommu=type1",
			       dev->name);
	if (ret == -EACCES)
		return iommu_token_error(dev, ret, err);
	return ret ? bind_error(dev, ret, err) : 0;
}

static int cdev_attach(const struct iommu *iommu, struct iommu_dev *dev, struct err *err)
{
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
		.pt_id = iommu->ioas,
	};
	int ret = vfio_sys_ioctl(dev->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);

	if (ret >= 0)
		return 0;
	if (ret == -EADDRINUSE)
		return err_set(err, ret,
			       "%s: the host's IOMMU reserves addresses for it where this guest "
			       "has memory (see /sys/kernel/iommu_groups/%d/reserved_regions)",
			       dev->name, dev->group);
	/* Putting it under the IOMMU may fail like a map of all that is mapped. */
	return err_sys(err, ret == -ENODEV ? -EIO : ret, "%s: attaching it to the address space",
		       dev->name);
}

static void iommufd_detach(struct iommu *iommu, struct iommu_dev *dev)
{
	struct vfio_device_detach_iommufd_pt detach = { .argsz = sizeof(detach) };

	/* Closing would do, were the descriptor surely the only one. */
	if (dev->attached)
		vfio_sys_ioctl(dev->fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach);
	dev->attached = false;
	if (dev->in_kvm)
		iommu_kvm_del(iommu, dev->fd);
	dev->in_kvm = false;
	if (dev->fd >= 0)
		vfio_sys_close(dev->fd);
	dev->fd = -1;
	if (!iommu->devs)
		ioas_put(iommu);
}

static int iommufd_attach(struct iommu *iommu, struct iommu_dev *dev, struct err *err)
{
	int ret = ioas_get(iommu, dev, err);

	if (!ret)
		ret = cdev_open(dev, err);
	if (!ret) {
		ret = iommu_kvm_add(iommu, dev->fd, err);
		dev->in_kvm = !ret;
		if (ret)
			err_prefix(err, "%s", dev->name);
	}
	if (!ret)
		ret = cdev_bind(iommu, dev, err);
	if (!ret) {
		ret = cdev_attach(iommu, dev, err);
		dev->attached = !ret;
	}
	if (ret)
		iommufd_detach(iommu, dev);
	return ret;
}

static int iommufd_map(struct iommu *iommu, iova_t iova, uint64_t size, void *hva)
{
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = iommu->ioas,
		.user_va = (uintptr_t)hva,
		.length = size,
		.iova = iova,
	};
	int ret = vfio_sys_ioctl(iommu->fd, IOMMU_IOAS_MAP, &map);

	return ret < 0 ? ret : 0;
}

static int iommufd_unmap(struct iommu *iommu, iova_t iova, uint64_t size)
{
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = iommu->ioas,
		.iova = iova,
		.length = size,
	};
	int ret = vfio_sys_ioctl(iommu->fd, IOMMU_IOAS_UNMAP, &unmap);

	/* What was never mapped (a BAR, see iommu.c) is fine. */
	return ret < 0 && ret != -ENOENT ? ret : 0;
}

/* No proof is asked for: what is bound to this iommufd, or shares a group with it, counts as ours.
 */
static int iommufd_hot_reset(struct iommu *iommu, struct iommu_dev *dev,
			     const struct vfio_pci_hot_reset_info *info)
{
	struct vfio_pci_hot_reset reset = { .argsz = sizeof(reset) };
	int ret = vfio_sys_ioctl(dev->fd, VFIO_DEVICE_PCI_HOT_RESET, &reset);

	(void)iommu;
	(void)info;
	return ret < 0 ? ret : 0;
}

const struct iommu_ops iommu_iommufd = {
	.name = "iommufd",
	.module = "iommufd",
	.lock_per_user = true,
	.pins_bars = true,
	.here = iommufd_here,
	.probe = iommufd_probe,
	.attach = iommufd_attach,
	.detach = iommufd_detach,
	.map = iommufd_map,
	.unmap = iommufd_unmap,
	.hot_reset = iommufd_hot_reset,
};
