// SPDX-License-Identifier: GPL-2.0-or-later
/* The other back end of the fake VFIO: /dev/iommu, and a node for each function. */
#include "fake_vfio_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "vfio/vfio_sys.h"

#define IOAS 7 /* the id of the only address space that the tests need */

void fake_iommufd_make(struct fake *host)
{
	fake_text(host, "dev/iommu", "");
	fake_link(host, "../../devices/virtual/misc/iommu", "sys/dev/char/10:260");
}

void fake_cdev_make(unsigned int index, const struct fake_vdev *dev)
{
	char path[128], link[128];

	snprintf(path, sizeof(path), "dev/vfio/devices/vfio%u", index);
	fake_text(fake_vfio.host, path, "");
	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s/vfio-dev/vfio%u/dev", dev->name,
		 index);
	fake_text(fake_vfio.host, path, "");
	snprintf(link, sizeof(link), "../../devices/pci0000:00/%s/vfio-dev/vfio%u", dev->name,
		 index);
	snprintf(path, sizeof(path), "sys/dev/char/243:%u", index);
	fake_link(fake_vfio.host, link, path);
}

int fake_iommufd_open(const char *path)
{
	const char *number = strstr(path, "/vfio/devices/vfio");
	unsigned long index;
	int slot;

	if (!number)
		return fake_vfio_file_new(FAKE_IOMMUFD);
	index = strtoul(number + strlen("/vfio/devices/vfio"), NULL, 10);
	if (index >= fake_vfio.dev_count)
		return -ENOENT;
	slot = fake_vfio_file_new(FAKE_DEVICE);
	if (slot >= 0)
		fake_vfio.files[slot].dev = fake_vfio.devs[index];
	return slot;
}

/* Functions attached to the address space of @file, which is an iommufd. */
static unsigned int users(const struct fake_file *file, bool attached)
{
	int i, self = (int)(file - fake_vfio.files);
	unsigned int n = 0;

	for (i = 0; i < FAKE_FDS_MAX; i++) {
		const struct fake_file *f = &fake_vfio.files[i];

		n += f->kind == FAKE_DEVICE && f->bound == self && (f->attached || !attached);
	}
	return n;
}

void fake_iommufd_close(struct fake_file *file)
{
	if (file->kind != FAKE_IOMMUFD)
		return;
	/* Functions keep what they are bound to alive; the tests want the proper order. */
	if (users(file, false))
		abort();
	if (file->ioas)
		fake_vfio.dma_count = 0;
}

bool fake_cdev_in_group(int group)
{
	int i;

	for (i = 0; i < FAKE_FDS_MAX; i++) {
		const struct fake_file *f = &fake_vfio.files[i];

		if (f->kind == FAKE_DEVICE && f->bound >= 0 && f->dev->group == group)
			return true;
	}
	return false;
}

static const struct fake_file *file_of_dev(const struct fake_vdev *dev)
{
	int i;

	for (i = 0; i < FAKE_FDS_MAX; i++) {
		if (fake_vfio.files[i].kind == FAKE_DEVICE && fake_vfio.files[i].dev == dev)
			return &fake_vfio.files[i];
	}
	return NULL;
}

bool fake_cdev_owned(const struct fake_vdev *dev, const struct fake_vdev *other)
{
	const struct fake_file *mine = file_of_dev(other);
	int i;

	for (i = 0; i < FAKE_FDS_MAX && mine && mine->bound >= 0; i++) {
		const struct fake_file *f = &fake_vfio.files[i];

		if (f->kind == FAKE_DEVICE && f->bound == mine->bound &&
		    f->dev->group == dev->group)
			return true;
	}
	return false;
}

/* A BAR has no pages. */
static bool is_bar(uint64_t vaddr)
{
	unsigned int i;

	for (i = 0; i < FAKE_MAPS_MAX; i++) {
		uint64_t at = (uintptr_t)fake_vfio.maps[i].at;

		if (at && vaddr >= at && vaddr < at + fake_vfio.maps[i].size)
			return true;
	}
	return false;
}

static int ioas_map(const struct fake_file *file, const struct iommu_ioas_map *map)
{
	if (map->size != sizeof(*map) || !file->ioas || map->ioas_id != file->ioas)
		return -ENOENT;
	if (map->flags !=
	    (IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE))
		return -EOPNOTSUPP;
	return is_bar(map->user_va) ? -EFAULT : fake_dma_map(map->iova, map->length, map->user_va);
}

static int ioas_unmap(const struct fake_file *file, struct iommu_ioas_unmap *unmap)
{
	uint64_t size = 0;
	int ret;

	if (unmap->size != sizeof(*unmap) || !file->ioas || unmap->ioas_id != file->ioas)
		return -ENOENT;
	ret = fake_dma_unmap(unmap->iova, unmap->length, &size);
	unmap->length = size;
	return ret || size ? ret : -ENOENT;
}

int fake_iommufd_ioctl(struct fake_file *file, unsigned long request, void *arg)
{
	switch (request) {
	case IOMMU_IOAS_ALLOC:
		if (file->ioas)
			abort();
		file->ioas = IOAS;
		((struct iommu_ioas_alloc *)arg)->out_ioas_id = IOAS;
		return 0;
	case IOMMU_IOAS_MAP:
		return ioas_map(file, arg);
	case IOMMU_IOAS_UNMAP:
		return ioas_unmap(file, arg);
	case IOMMU_DESTROY:
		if (!file->ioas || ((struct iommu_destroy *)arg)->id != file->ioas)
			return -ENOENT;
		if (users(file, true))
			return -EBUSY;
		file->ioas = 0;
		fake_vfio.dma_count = 0;
		return 0;
	default:
		return -ENOTTY;
	}
}

int fake_vdev_token(const struct fake_vdev *dev, const char *text)
{
	if (!*dev->token)
		return text && !dev->pf ? -EINVAL : 0;
	return text && !strcmp(text, dev->token) ? 0 : -EACCES;
}

static int bind_token(const struct fake_vdev *dev, const struct vfio_bind *bind)
{
	const uint8_t *b = (const uint8_t *)(uintptr_t)bind->token;
	char text[40] = "";
	unsigned int i;

	if (!fake_vfio.bind_tokens)
		return bind->flags ? -EINVAL : 0;
	for (i = 0; bind->flags & VFIO_BIND_TOKEN && i < 16; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%02x",
			 i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
	return fake_vdev_token(dev, *text ? text : NULL);
}

static int cdev_bind(struct fake_file *file, struct vfio_bind *bind)
{
	struct fake_file *iommufd = fake_vfio_file(bind->iommufd);
	int ret;

	if (bind->argsz < offsetof(struct vfio_bind, token) || iommufd->kind != FAKE_IOMMUFD)
		return -EINVAL;
	ret = bind_token(file->dev, bind);
	if (ret)
		return ret;
	if (fake_vfio_group_is_open(file->dev->group))
		return -EBUSY;
	if (file->bound >= 0 || file->dev->open)
		return -EINVAL;
	file->bound = (int)(iommufd - fake_vfio.files);
	file->dev->open = true;
	file->dev->opens++;
	return 0;
}

int fake_cdev_ioctl(struct fake_file *file, unsigned long request, void *arg)
{
	const struct vfio_device_attach_iommufd_pt *attach = arg;

	if (file->via >= 0)
		return -ENOIOCTLCMD;
	if (request == VFIO_DEVICE_BIND_IOMMUFD)
		return cdev_bind(file, arg);
	if (file->bound < 0)
		return -EINVAL;
	switch (request) {
	case VFIO_DEVICE_ATTACH_IOMMUFD_PT:
		if (!fake_vfio.files[file->bound].ioas ||
		    attach->pt_id != fake_vfio.files[file->bound].ioas)
			return -ENOENT;
		file->attached = true;
		return 0;
	case VFIO_DEVICE_DETACH_IOMMUFD_PT:
		file->attached = false;
		return 0;
	default:
		return -ENOIOCTLCMD;
	}
}
