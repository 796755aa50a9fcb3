// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio_dev.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "vfio_sys.h"

#define PAGE 4096u
#define REGION_INFO_MAX (64 * KIB) /* more capabilities than that no region has */
#define CAPS_MAX 32u
#define DEPENDENT_MAX 65536u /* functions that one bus reset touches */

int vfio_dev_init(struct vfio_dev *vdev, const struct vfio_dev_ops *ops, int fd, struct err *err)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int ret;

	vdev->ops = ops;
	vdev->fd = fd;
	ret = ops->info(vdev, &info);
	if (ret)
		return err_sys(err, ret, "VFIO device info");
	if (!(info.flags & VFIO_DEVICE_FLAGS_PCI))
		return err_set(err, -EPROTO, "VFIO says that this is no PCI device");
	if (info.num_regions <= VFIO_PCI_CONFIG_REGION_INDEX)
		return err_set(err, -EPROTO, "VFIO gives %u regions, no config space",
			       info.num_regions);
	vdev->flags = info.flags;
	vdev->region_count = info.num_regions;
	vdev->irq_count = info.num_irqs;
	return 0;
}

/* Puts [offset, offset + size) into the sorted list, joined with what it touches. */
static void area_add(struct vfio_region *region, uint64_t offset, uint64_t size)
{
	struct vfio_area *a = region->areas;
	uint64_t end = offset + size;
	unsigned int i, j;

	for (i = 0; i < region->area_count && a[i].offset + a[i].size < offset; i++)
		;
	for (j = i; j < region->area_count && a[j].offset <= end; j++) {
		offset = MIN(offset, a[j].offset);
		end = MAX(end, a[j].offset + a[j].size);
	}
	memmove(&a[i + 1], &a[j], (region->area_count - j) * sizeof(*a));
	a[i].offset = offset;
	a[i].size = end - offset;
	region->area_count -= j - i;
	region->area_count++;
}

/* Whole pages only: the rest of a page belongs to somebody else. */
static int area_add_pages(struct vfio_region *region, uint64_t offset, uint64_t size)
{
	uint64_t start, end;

	if (!span_within(offset, size, region->size))
		return -EPROTO;
	start = align_up(offset, PAGE);
	end = align_down(offset + size, PAGE);
	if (end > start)
		area_add(region, start, end - start);
	return 0;
}

static int sparse_parse(const uint8_t *cap, size_t len, struct vfio_region *region)
{
	struct vfio_region_info_cap_sparse_mmap sparse;
	struct vfio_region_sparse_mmap_area area;
	uint32_t i;
	int ret = 0;

	if (len < sizeof(sparse))
		return -EPROTO;
	memcpy(&sparse, cap, sizeof(sparse));
	if (sparse.nr_areas > (len - sizeof(sparse)) / sizeof(area))
		return -EPROTO;
	/* One more than there are: area_add() moves the tail up before it counts it. */
	region->areas = calloc(sparse.nr_areas + 1, sizeof(*region->areas));
	if (!region->areas)
		return -ENOMEM;
	for (i = 0; i < sparse.nr_areas && !ret; i++) {
		memcpy(&area, cap + sizeof(sparse) + i * sizeof(area), sizeof(area));
		ret = area_add_pages(region, area.offset, area.size);
	}
	return ret;
}

/* Finds the capability @id. Returns its offset, 0 when there is none, or -EPROTO. */
static int cap_find(const struct vfio_region_info *info, size_t len, uint16_t id)
{
	const uint8_t *base = (const uint8_t *)info;
	struct vfio_info_cap_header header;
	uint32_t at = (info->flags & VFIO_REGION_INFO_FLAG_CAPS) ? info->cap_offset : 0;
	unsigned int steps;

	for (steps = 0; at && steps < CAPS_MAX; steps++) {
		if (at < sizeof(*info) || !span_within(at, sizeof(header), len))
			return -EPROTO;
		memcpy(&header, base + at, sizeof(header));
		if (header.id == id)
			return (int)at;
		at = header.next;
	}
	return at ? -EPROTO : 0;
}

int vfio_region_parse(const struct vfio_region_info *info, size_t len,
		      struct vfio_region *ret_region)
{
	struct vfio_region *region = ret_region;
	int at, ret;

	memset(region, 0, sizeof(*region));
	region->fd = -1;
	if (len < sizeof(*info))
		return -EPROTO;
	region->size = info->size;
	region->flags = info->flags;
	region->fd_offset = info->offset;
	if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP) || !info->size)
		return 0;
	at = cap_find(info, len, VFIO_REGION_INFO_CAP_SPARSE_MMAP);
	if (at < 0)
		return at;
	if (at) {
		ret = sparse_parse((const uint8_t *)info + at, len - (size_t)at, region);
	} else {
		region->areas = calloc(2, sizeof(*region->areas));
		ret = region->areas ? area_add_pages(region, 0, region->size) : -ENOMEM;
	}
	if (ret)
		vfio_region_done(region);
	return ret;
}

void vfio_region_done(struct vfio_region *region)
{
	free(region->areas);
	region->areas = NULL;
	region->area_count = 0;
}

int vfio_region_get(struct vfio_dev *vdev, uint32_t index, struct vfio_region *ret_region,
		    struct err *err)
{
	struct vfio_region_info *info;
	int ret;

	memset(ret_region, 0, sizeof(*ret_region));
	ret_region->fd = -1;
	if (index >= vdev->region_count)
		return 0;
	ret = vdev->ops->region_info(vdev, index, &info);
	/* The kernel has no such region for this device. */
	if (ret == -EINVAL)
		return 0;
	if (ret)
		return err_sys(err, ret, "VFIO region %u", index);
	ret = vfio_region_parse(info, info->argsz, ret_region);
	free(info);
	if (ret)
		return err_sys(err, ret, "VFIO region %u: its description makes no sense", index);
	ret_region->fd = vdev->fd;
	return 0;
}

int vfio_irq_get(struct vfio_dev *vdev, uint32_t index, struct vfio_irq_info *ret_info,
		 struct err *err)
{
	int ret;

	memset(ret_info, 0, sizeof(*ret_info));
	if (index >= vdev->irq_count)
		return 0;
	ret_info->argsz = sizeof(*ret_info);
	ret_info->index = index;
	ret = vdev->ops->irq_info(vdev, ret_info->index, ret_info);
	if (ret == -EINVAL) {
		ret_info->count = 0;
		return 0;
	}
	return ret ? err_sys(err, ret, "VFIO interrupt %u", index) : 0;
}

int vfio_irq_set_fds(struct vfio_dev *vdev, uint32_t index, uint32_t action, uint32_t start,
		     const int32_t *fds, uint32_t count)
{
	size_t size = sizeof(struct vfio_irq_set) + count * sizeof(*fds);
	struct vfio_irq_set *set = calloc(1, size);
	int ret;

	if (!set)
		return -ENOMEM;
	set->argsz = (uint32_t)size;
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | action;
	set->index = index;
	set->start = start;
	set->count = count;
	memcpy(set->data, fds, count * sizeof(*fds));
	ret = vdev->ops->set_irqs(vdev, set);
	free(set);
	return ret;
}

int vfio_irq_disable(struct vfio_dev *vdev, uint32_t index)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index,
	};

	return vdev->ops->set_irqs(vdev, &set);
}

int vfio_region_read(struct vfio_dev *vdev, const struct vfio_region *region, uint64_t offset,
		     unsigned int size, uint64_t *ret_value)
{
	uint64_t le = 0;
	int ret;

	if (!span_within(offset, size, region->size))
		return -EINVAL;
	ret = vdev->ops->read(vdev, region, offset, &le, size);
	*ret_value = ret ? all_ones(size) : le64toh(le);
	return ret;
}

int vfio_region_write(struct vfio_dev *vdev, const struct vfio_region *region, uint64_t offset,
		      unsigned int size, uint64_t value)
{
	uint64_t le = htole64(value);

	if (!span_within(offset, size, region->size))
		return -EINVAL;
	return vdev->ops->write(vdev, region, offset, &le, size);
}

static int kernel_info(struct vfio_dev *vdev, struct vfio_device_info *ret_info)
{
	int ret = vfio_sys_ioctl(vdev->fd, VFIO_DEVICE_GET_INFO, ret_info);

	return ret < 0 ? ret : 0;
}

static int kernel_region_info(struct vfio_dev *vdev, uint32_t index,
			      struct vfio_region_info **ret_info)
{
	size_t size = sizeof(struct vfio_region_info);
	struct vfio_region_info *info = NULL;

	/* The first answer says how much room the capabilities want, the second has them. */
	for (;;) {
		struct vfio_region_info *grown = realloc(info, size);
		int ret;

		if (!grown) {
			free(info);
			return -ENOMEM;
		}
		info = grown;
		memset(info, 0, size);
		info->argsz = (uint32_t)size;
		info->index = index;
		ret = vfio_sys_ioctl(vdev->fd, VFIO_DEVICE_GET_REGION_INFO, info);
		if (ret >= 0 && info->argsz <= size) {
			info->argsz = (uint32_t)size;
			*ret_info = info;
			return 0;
		}
		if (ret < 0 || info->argsz > REGION_INFO_MAX) {
			free(info);
			return ret < 0 ? ret : -EPROTO;
		}
		size = info->argsz;
	}
}

static int kernel_irq_info(struct vfio_dev *vdev, uint32_t index, struct vfio_irq_info *ret_info)
{
	int ret;

	ret_info->index = index;
	ret = vfio_sys_ioctl(vdev->fd, VFIO_DEVICE_GET_IRQ_INFO, ret_info);
	return ret < 0 ? ret : 0;
}

static int kernel_set_irqs(struct vfio_dev *vdev, struct vfio_irq_set *set)
{
	return vfio_sys_ioctl(vdev->fd, VFIO_DEVICE_SET_IRQS, set);
}

static int kernel_read(struct vfio_dev *vdev, const struct vfio_region *region, uint64_t offset,
		       void *buf, size_t len)
{
	ssize_t n = vfio_sys_pread(vdev->fd, buf, len, region->fd_offset + offset);

	return n < 0 ? (int)n : (size_t)n == len ? 0 : -EIO;
}

static int kernel_write(struct vfio_dev *vdev, const struct vfio_region *region, uint64_t offset,
			const void *buf, size_t len)
{
	ssize_t n = vfio_sys_pwrite(vdev->fd, buf, len, region->fd_offset + offset);

	return n < 0 ? (int)n : (size_t)n == len ? 0 : -EIO;
}

static int kernel_reset(struct vfio_dev *vdev)
{
	int ret = vfio_sys_ioctl(vdev->fd, VFIO_DEVICE_RESET, NULL);

	return ret < 0 ? ret : 0;
}

static int kernel_hot_reset_info(struct vfio_dev *vdev, struct vfio_pci_hot_reset_info **ret_info)
{
	struct vfio_pci_hot_reset_info *info = NULL;
	uint32_t count = 8;
	int ret = -ENOSPC;

	/* It says how many there are when the room is too small; the bus may grow in between. */
	while (ret == -ENOSPC && count <= DEPENDENT_MAX) {
		size_t size = sizeof(*info) + count * sizeof(info->devices[0]);

		free(info);
		info = calloc(1, size);
		if (!info)
			return -ENOMEM;
		info->argsz = (uint32_t)size;
		ret = vfio_sys_ioctl(vdev->fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info);
		if (ret >= 0 && info->count <= count) {
			*ret_info = info;
			return 0;
		}
		if (ret >= 0)
			ret = -EPROTO;
		count = MAX(count + 1, info->count);
	}
	free(info);
	return ret;
}

const struct vfio_dev_ops vfio_dev_kernel = {
	.info = kernel_info,
	.region_info = kernel_region_info,
	.irq_info = kernel_irq_info,
	.set_irqs = kernel_set_irqs,
	.read = kernel_read,
	.write = kernel_write,
	.reset = kernel_reset,
	.hot_reset_info = kernel_hot_reset_info,
};
