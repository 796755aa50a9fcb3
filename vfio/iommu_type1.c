// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The type1 back end: a container, groups put into it, devices taken out of groups (uapi
 * linux/vfio.h, Documentation/driver-api/vfio.rst). The kernel wants this order: the first group
 * goes in before the IOMMU type is set, and all mappings go when the last group leaves.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "iommu.h"
#include "sriov/func.h"
#include "vfio_sys.h"
#include "vmm/vm.h"

struct iommu_group {
	int id;
	int fd;
	unsigned int refs; /* functions of it that the guest has */
	bool in_container;
	bool in_kvm;
	struct iommu_group *next;
};

static int container_check(const struct iommu_dev *dev, int fd, struct err *err)
{
	int version = vfio_sys_ioctl_val(fd, VFIO_GET_API_VERSION, 0);

	if (version != VFIO_API_VERSION)
		return err_set(err, -ENODEV, "%s: /dev/vfio/vfio has API version %d, not %d",
			       dev->name, version, VFIO_API_VERSION);
	if (vfio_sys_ioctl_val(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0)
		return err_set(err, -ENODEV,
			       "%s: VFIO has no type 1 IOMMU here; run: modprobe vfio_iommu_type1",
			       dev->name);
	return 0;
}

static int container_open(struct iommu *iommu, struct iommu_dev *dev, struct err *err)
{
	bool had = iommu->fd >= 0;
	int ret = iommu_ctl_open(iommu, dev, IOMMU_GIVEN_CONTAINER, "vfio/vfio", err);

	if (ret || had)
		return ret;
	ret = container_check(dev, iommu->fd, err);
	if (ret)
		iommu_ctl_close(iommu);
	return ret;
}

/* @ret_joined: it is in a container already, which only a given one can be. */
static int group_viable(const struct iommu_dev *dev, int fd, bool *ret_joined, struct err *err)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	int ret = vfio_sys_ioctl(fd, VFIO_GROUP_GET_STATUS, &status);

	if (ret < 0)
		return err_sys(err, ret, "%s: status of group %d", dev->name, dev->group);
	*ret_joined = status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET;
	if (status.flags & VFIO_GROUP_FLAGS_VIABLE)
		return 0;
	ret = func_group_check(dev->host, &dev->addr, err);
	if (ret)
		return ret;
	return err_set(err, -ENODEV, "%s: group %d is not viable", dev->name, dev->group);
}

/* Both ways of attaching a group to its IOMMU end in the same refusals. */
static int attach_error(const struct iommu_dev *dev, int code, struct err *err)
{
	if (code == -EPERM)
		return iommu_unsafe_error(dev, iommu_type1.module, err);
	return err_sys(err, code, "%s: putting group %d under the IOMMU", dev->name, dev->group);
}

/* Whoever gave the descriptors may have set the type as well. */
static bool type_is_set(const struct iommu *iommu)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };

	return iommu->fd_given && vfio_sys_ioctl(iommu->fd, VFIO_IOMMU_GET_INFO, &info) >= 0;
}

static int group_join(struct iommu *iommu, struct iommu_group *group, const struct iommu_dev *dev,
		      struct err *err)
{
	bool first = !iommu->groups;
	int ret;

	if (!group->in_container) {
		ret = vfio_sys_ioctl(group->fd, VFIO_GROUP_SET_CONTAINER, &iommu->fd);
		if (ret < 0)
			return attach_error(dev, ret, err);
		group->in_container = true;
	}
	if (!first || type_is_set(iommu))
		return 0;
	ret = vfio_sys_ioctl_val(iommu->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	return ret < 0 ? attach_error(dev, ret, err) : 0;
}

/* What closing would do, were the container surely nobody else's. */
static void unmap_all(const struct iommu *iommu)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = VFIO_DMA_UNMAP_FLAG_ALL,
	};

	if (iommu->fd_given)
		vfio_sys_ioctl(iommu->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);
}

/* Takes a group that is linked, or one that is half-built and not. */
static void group_close(struct iommu *iommu, struct iommu_group *group)
{
	struct iommu_group **p;

	for (p = &iommu->groups; *p && *p != group; p = &(*p)->next)
		;
	if (*p)
		*p = group->next;
	if (!iommu->groups && iommu->fd >= 0)
		unmap_all(iommu);
	if (group->in_kvm)
		iommu_kvm_del(iommu, group->fd);
	/* Closing would do it too; the last group out takes all mappings with it. */
	if (group->in_container)
		vfio_sys_ioctl(group->fd, VFIO_GROUP_UNSET_CONTAINER, NULL);
	if (group->fd >= 0)
		vfio_sys_close(group->fd);
	free(group);
	if (!iommu->groups)
		iommu_ctl_close(iommu);
}

static int group_open(struct iommu *iommu, struct iommu_group *group, struct iommu_dev *dev,
		      struct err *err)
{
	char node[32];
	int ret;

	snprintf(node, sizeof(node), "vfio/%d", dev->group);
	group->fd = iommu_given_take(dev, IOMMU_GIVEN_GROUP);
	if (group->fd < 0)
		group->fd = iommu_node_open(&iommu_type1, dev, node, err);
	if (group->fd < 0)
		return group->fd;
	ret = group_viable(dev, group->fd, &group->in_container, err);
	if (!ret)
		ret = container_open(iommu, dev, err);
	if (!ret)
		ret = group_join(iommu, group, dev, err);
	if (!ret) {
		ret = iommu_kvm_add(iommu, group->fd, err);
		group->in_kvm = !ret;
		if (ret)
			err_prefix(err, "%s", dev->name);
	}
	return ret;
}

static int group_get(struct iommu *iommu, struct iommu_dev *dev, struct iommu_group **ret_group,
		     struct err *err)
{
	struct iommu_group *group;
	int ret;

	for (group = iommu->groups; group; group = group->next) {
		if (group->id == dev->group) {
			group->refs++;
			*ret_group = group;
			return 0;
		}
	}
	group = calloc(1, sizeof(*group));
	if (!group)
		return err_sys(err, -ENOMEM, "%s", dev->name);
	group->id = dev->group;
	group->fd = -1;
	group->refs = 1;
	ret = group_open(iommu, group, dev, err);
	if (ret) {
		group_close(iommu, group);
		return ret;
	}
	group->next = iommu->groups;
	iommu->groups = group;
	*ret_group = group;
	return 0;
}

static void group_put(struct iommu *iommu, struct iommu_group *group)
{
	if (!--group->refs)
		group_close(iommu, group);
}

static int type1_probe(const struct iommu_dev *dev, struct err *err)
{
	char group[32];
	int ret = 0;

	snprintf(group, sizeof(group), "vfio/%d", dev->group);
	if (!iommu_given(dev, IOMMU_GIVEN_CONTAINER))
		ret = iommu_node_try(&iommu_type1, dev, "vfio/vfio", err);
	if (!ret && !iommu_given(dev, IOMMU_GIVEN_GROUP))
		ret = iommu_node_try(&iommu_type1, dev, group, err);
	return ret;
}

/* The function's name, with the token that its PF's VFs ask for (uapi linux/vfio.h). */
static int device_fd(struct iommu_dev *dev)
{
	char name[sizeof(dev->name) + sizeof(dev->token->text) + 16];
	int fd = iommu_given_take(dev, IOMMU_GIVEN_DEV);

	if (fd >= 0)
		return fd;
	snprintf(name, sizeof(name), "%s%s%s", dev->name, dev->token ? " vf_token=" : "",
		 dev->token ? dev->token->text : "");
	return vfio_sys_ioctl(dev->held->fd, VFIO_GROUP_GET_DEVICE_FD, name);
}

static int type1_join(struct iommu *iommu, struct iommu_dev *dev, struct err *err)
{
	return group_get(iommu, dev, &dev->held, err);
}

static int type1_open(struct iommu_dev *dev)
{
	int ret = device_fd(dev);

	if (ret < 0)
		return ret;
	dev->fd = ret;
	return 0;
}

static int type1_attach(struct iommu *iommu, struct iommu_dev *dev, struct err *err)
{
	int ret = type1_join(iommu, dev, err);

	if (ret)
		return ret;
	ret = type1_open(dev);
	if (!ret)
		return 0;
	group_put(iommu, dev->held);
	dev->held = NULL;
	if (ret == -EBUSY)
		return err_set(err, -ENODEV, "%s: the function is in use already", dev->name);
	if (ret == -EACCES || (ret == -EINVAL && dev->token))
		return iommu_token_error(dev, ret, err);
	return err_sys(err, ret, "%s: opening it through group %d", dev->name, dev->group);
}

static void type1_detach(struct iommu *iommu, struct iommu_dev *dev)
{
	if (dev->fd >= 0)
		vfio_sys_close(dev->fd);
	dev->fd = -1;
	if (dev->held)
		group_put(iommu, dev->held);
	dev->held = NULL;
}

static int type1_map(struct iommu *iommu, iova_t iova, uint64_t size, void *hva)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)hva,
		.iova = iova,
		.size = size,
	};
	int ret = vfio_sys_ioctl(iommu->fd, VFIO_IOMMU_MAP_DMA, &map);

	return ret < 0 ? ret : 0;
}

static int type1_unmap(struct iommu *iommu, iova_t iova, uint64_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = size,
	};
	int ret = vfio_sys_ioctl(iommu->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);

	/* What was never mapped (a BAR that the IOMMU refused) unmaps as 0 bytes: fine. */
	return ret < 0 ? ret : 0;
}

/* The kernel wants a descriptor of each group that it touches, as proof that they are ours. */
static int type1_hot_reset(struct iommu *iommu, struct iommu_dev *dev,
			   const struct vfio_pci_hot_reset_info *info)
{
	size_t size = sizeof(struct vfio_pci_hot_reset) + info->count * sizeof(int32_t);
	CLEANUP_FREE struct vfio_pci_hot_reset *reset = calloc(1, size);
	const struct iommu_group *group;
	uint32_t i;
	int ret;

	if (!reset)
		return -ENOMEM;
	for (group = iommu->groups; group; group = group->next) {
		for (i = 0; i < info->count && (int)info->devices[i].group_id != group->id; i++)
			;
		if (i < info->count)
			reset->group_fds[reset->count++] = group->fd;
	}
	reset->argsz = (uint32_t)(sizeof(*reset) + reset->count * sizeof(int32_t));
	ret = vfio_sys_ioctl(dev->fd, VFIO_DEVICE_PCI_HOT_RESET, reset);
	return ret < 0 ? ret : 0;
}

const struct iommu_ops iommu_type1 = {
	.name = "type1",
	.module = "vfio_iommu_type1",
	.no_entry = "raise the module parameter vfio_iommu_type1.dma_entry_limit",
	.probe = type1_probe,
	.attach = type1_attach,
	.join = type1_join,
	.open = type1_open,
	.detach = type1_detach,
	.map = type1_map,
	.unmap = type1_unmap,
	.hot_reset = type1_hot_reset,
};
