// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_vfio_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "vfio/vfio_sys.h"

struct fake_vfio fake_vfio;

void fake_vfio_new(struct fake *host)
{
	memset(&fake_vfio, 0, sizeof(fake_vfio));
	fake_vfio.host = host;
	fake_vfio_memlock(UINT64_MAX, 0);
	fake_text(host, "dev/vfio/vfio", "");
}

void fake_vfio_free(void)
{
	unsigned int i, r;

	for (i = 0; i < fake_vfio.dev_count; i++) {
		for (r = 0; r < VFIO_PCI_NUM_REGIONS; r++) {
			if (fake_vfio.devs[i]->regions[r].memfd >= 0)
				close(fake_vfio.devs[i]->regions[r].memfd);
		}
		free(fake_vfio.devs[i]);
	}
	memset(&fake_vfio, 0, sizeof(fake_vfio));
}

void fake_vfio_forget(void)
{
	unsigned int i;

	fake_vfio.call_count = fake_vfio.total = 0;
	for (i = 0; i < fake_vfio.dev_count; i++)
		fake_vfio.devs[i]->access_count = fake_vfio.devs[i]->set_count = 0;
}

void fake_vfio_fail(unsigned long request, unsigned int at, int code)
{
	fake_vfio.fail_request = request;
	fake_vfio.fail_at = at;
	fake_vfio.fail_code = code;
	fake_vfio.seen = 0;
}

int fake_vfio_call(unsigned long request)
{
	unsigned int i;

	for (i = 0; i < fake_vfio.call_count && fake_vfio.calls[i].request != request; i++)
		;
	if (i == FAKE_CALLS_MAX)
		abort();
	if (i == fake_vfio.call_count) {
		fake_vfio.calls[i].request = request;
		fake_vfio.calls[fake_vfio.call_count++].count = 0;
	}
	fake_vfio.calls[i].count++;
	fake_vfio.total++;
	if (fake_vfio.fail_at && (!fake_vfio.fail_request || fake_vfio.fail_request == request) &&
	    ++fake_vfio.seen == fake_vfio.fail_at)
		return -fake_vfio.fail_code;
	return 0;
}

unsigned int fake_vfio_count(unsigned long request)
{
	unsigned int i;

	for (i = 0; i < fake_vfio.call_count; i++) {
		if (fake_vfio.calls[i].request == request)
			return fake_vfio.calls[i].count;
	}
	return 0;
}

unsigned int fake_vfio_total(void)
{
	return fake_vfio.total;
}

unsigned int fake_vfio_fds(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < FAKE_FDS_MAX; i++)
		n += fake_vfio.files[i].kind != FAKE_FREE;
	return n;
}

unsigned int fake_vfio_reservations(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < FAKE_MAPS_MAX; i++)
		n += fake_vfio.maps[i].at != NULL;
	return n;
}

unsigned int fake_vfio_dma(struct fake_dma *ret_dma, unsigned int max)
{
	if (ret_dma)
		memcpy(ret_dma, fake_vfio.dma, MIN(max, fake_vfio.dma_count) * sizeof(*ret_dma));
	return fake_vfio.dma_count;
}

/* --- files --- */

static int file_new(enum fake_kind kind)
{
	int i;

	for (i = 0; i < FAKE_FDS_MAX; i++) {
		if (fake_vfio.files[i].kind == FAKE_FREE) {
			memset(&fake_vfio.files[i], 0, sizeof(fake_vfio.files[i]));
			fake_vfio.files[i].kind = kind;
			fake_vfio.files[i].container = -1;
			return i;
		}
	}
	return -EMFILE;
}

struct fake_file *fake_vfio_file(int fd)
{
	if (fd < FAKE_FD_BASE || fd >= FAKE_FD_BASE + FAKE_FDS_MAX ||
	    fake_vfio.files[fd - FAKE_FD_BASE].kind == FAKE_FREE)
		abort();
	return &fake_vfio.files[fd - FAKE_FD_BASE];
}

const char *vfio_sys_sysfs_root(void)
{
	return fake_vfio.host->sys;
}

static int open_group(int group)
{
	int i;

	for (i = 0; i < FAKE_FDS_MAX; i++) {
		if (fake_vfio.files[i].kind == FAKE_GROUP && fake_vfio.files[i].group == group)
			return -EBUSY;
	}
	i = file_new(FAKE_GROUP);
	if (i >= 0)
		fake_vfio.files[i].group = group;
	return i;
}

int vfio_sys_open(const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	int ret = fake_vfio_call(FAKE_OPEN);

	if (ret)
		return ret;
	if (access(path, F_OK) < 0)
		return -ENOENT;
	ret = strcmp(name, "vfio") != 0 ? open_group(atoi(name)) : file_new(FAKE_CONTAINER);
	return ret < 0 ? ret : FAKE_FD_BASE + ret;
}

/* The last group that leaves takes the mappings and the IOMMU type along. */
static void group_leave(struct fake_file *group)
{
	int container = group->container, i;

	group->container = -1;
	if (container < 0)
		return;
	for (i = 0; i < FAKE_FDS_MAX; i++) {
		if (fake_vfio.files[i].kind == FAKE_GROUP &&
		    fake_vfio.files[i].container == container)
			return;
	}
	fake_vfio.files[container].iommu = false;
	fake_vfio.dma_count = 0;
}

void vfio_sys_close(int fd)
{
	struct fake_file *file = fake_vfio_file(fd);

	if (file->kind == FAKE_DEVICE) {
		/* Whoever forgot to switch interrupts off finds them off all the same. */
		file->dev->open = false;
		file->dev->mode = -1;
		file->dev->err = file->dev->req = -1;
		file->dev->allocated = 0;
	}
	if (file->kind == FAKE_GROUP)
		group_leave(file);
	file->kind = FAKE_FREE;
}

/* --- container and group --- */

static int dma_map(const struct vfio_iommu_type1_dma_map *map)
{
	unsigned int i;

	for (i = 0; i < fake_vfio.dma_count; i++) {
		if (span_overlaps(map->iova, map->size, fake_vfio.dma[i].iova,
				  fake_vfio.dma[i].size))
			return -EEXIST;
	}
	if (!map->size || (map->iova | map->size | map->vaddr) & 4095 ||
	    fake_vfio.dma_count == FAKE_DMA_MAX)
		return -EINVAL;
	fake_vfio.dma[fake_vfio.dma_count].iova = map->iova;
	fake_vfio.dma[fake_vfio.dma_count].size = map->size;
	fake_vfio.dma[fake_vfio.dma_count++].hva = (void *)(uintptr_t)map->vaddr;
	return 0;
}

/* Type 1 version 2: whole mappings only; none there is no error. */
static int dma_unmap(struct vfio_iommu_type1_dma_unmap *unmap)
{
	uint64_t iova = unmap->iova, size = unmap->size;
	unsigned int i = 0;

	unmap->size = 0;
	while (i < fake_vfio.dma_count) {
		struct fake_dma *d = &fake_vfio.dma[i];

		if (!span_overlaps(iova, size, d->iova, d->size)) {
			i++;
			continue;
		}
		if (d->iova < iova || d->iova + d->size > iova + size)
			return -EINVAL;
		unmap->size += d->size;
		*d = fake_vfio.dma[--fake_vfio.dma_count];
	}
	return 0;
}

static bool container_has_group(const struct fake_file *container)
{
	int i, self = (int)(container - fake_vfio.files);

	for (i = 0; i < FAKE_FDS_MAX; i++) {
		if (fake_vfio.files[i].kind == FAKE_GROUP && fake_vfio.files[i].container == self)
			return true;
	}
	return false;
}

static int container_ioctl(struct fake_file *file, unsigned long request, void *arg,
			   unsigned long val)
{
	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return val == VFIO_TYPE1v2_IOMMU || val == VFIO_TYPE1_IOMMU;
	case VFIO_SET_IOMMU:
		if (file->iommu || !container_has_group(file))
			return -EINVAL;
		file->iommu = true;
		return 0;
	case VFIO_IOMMU_MAP_DMA:
		return file->iommu ? dma_map(arg) : -EINVAL;
	case VFIO_IOMMU_UNMAP_DMA:
		return file->iommu ? dma_unmap(arg) : -EINVAL;
	default:
		return -ENOTTY;
	}
}

static int group_device(struct fake_file *group, const char *name)
{
	struct fake_vdev *dev = NULL;
	unsigned int i;
	int slot;

	for (i = 0; i < fake_vfio.dev_count; i++) {
		if (!strcmp(fake_vfio.devs[i]->name, name) &&
		    fake_vfio.devs[i]->group == group->group)
			dev = fake_vfio.devs[i];
	}
	if (!dev)
		return -ENODEV;
	if (group->container < 0 || !fake_vfio.files[group->container].iommu)
		return -EINVAL;
	if (dev->open)
		return -EBUSY;
	slot = file_new(FAKE_DEVICE);
	if (slot < 0)
		return slot;
	fake_vfio.files[slot].dev = dev;
	fake_vfio.files[slot].via = (int)(group - fake_vfio.files);
	dev->open = true;
	dev->opens++;
	return FAKE_FD_BASE + slot;
}

static int group_ioctl(struct fake_file *file, unsigned long request, void *arg)
{
	int i, self = (int)(file - fake_vfio.files);

	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		((struct vfio_group_status *)arg)->flags = VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		if (file->container >= 0)
			return -EINVAL;
		file->container = (int)(fake_vfio_file(*(int *)arg) - fake_vfio.files);
		return 0;
	case VFIO_GROUP_UNSET_CONTAINER:
		for (i = 0; i < FAKE_FDS_MAX; i++) {
			if (fake_vfio.files[i].kind == FAKE_DEVICE &&
			    fake_vfio.files[i].via == self)
				return -EBUSY;
		}
		group_leave(file);
		return 0;
	case VFIO_GROUP_GET_DEVICE_FD:
		return group_device(file, arg);
	default:
		return -ENOTTY;
	}
}

static int any_ioctl(int fd, unsigned long request, void *arg, unsigned long val)
{
	struct fake_file *file = fake_vfio_file(fd);
	int ret = fake_vfio_call(request);

	if (ret)
		return ret;
	switch (file->kind) {
	case FAKE_CONTAINER:
		return container_ioctl(file, request, arg, val);
	case FAKE_GROUP:
		return group_ioctl(file, request, arg);
	case FAKE_DEVICE:
		return fake_vdev_ioctl(file->dev, request, arg);
	case FAKE_FREE:
		break;
	}
	return -EBADF;
}

int vfio_sys_ioctl(int fd, unsigned long request, void *arg)
{
	return any_ioctl(fd, request, arg, 0);
}

int vfio_sys_ioctl_val(int fd, unsigned long request, unsigned long arg)
{
	uint64_t none[8] = {0};

	return any_ioctl(fd, request, none, arg);
}
