// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_vfio_priv.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "vfio/vfio_sys.h"

#define DEV_CHAR "sys/dev/char/"

struct fake_vfio fake_vfio;
static const char *row = "type1"; /* outlives each of the fakes */

void fake_vfio_row(const char *name)
{
	row = name;
}

const char *fake_vfio_row_name(void)
{
	return row;
}

bool fake_vfio_by_iommufd(void)
{
	return !strcmp(row, "iommufd");
}

void fake_vfio_new(struct fake *host)
{
	memset(&fake_vfio, 0, sizeof(fake_vfio));
	fake_vfio.host = host;
	fake_vfio_memlock(UINT64_MAX, 0);
	fake_text(host, "dev/vfio/vfio", "");
	fake_link(host, "../../devices/virtual/misc/vfio", DEV_CHAR "10:196");
	if (fake_vfio_by_iommufd())
		fake_iommufd_make(host);
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

int fake_vfio_file_new(enum fake_kind kind)
{
	int i;

	for (i = 0; i < FAKE_FDS_MAX; i++) {
		if (fake_vfio.files[i].kind == FAKE_FREE) {
			memset(&fake_vfio.files[i], 0, sizeof(fake_vfio.files[i]));
			fake_vfio.files[i].kind = kind;
			fake_vfio.files[i].container = -1;
			fake_vfio.files[i].via = fake_vfio.files[i].bound = -1;
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

bool fake_vfio_group_is_open(int group)
{
	int i;

	for (i = 0; i < FAKE_FDS_MAX; i++) {
		if (fake_vfio.files[i].kind == FAKE_GROUP && fake_vfio.files[i].group == group)
			return true;
	}
	return false;
}

static int open_group(int group)
{
	char link[48], path[48];
	int i;

	if (fake_vfio_group_is_open(group) || fake_cdev_in_group(group))
		return -EBUSY;
	i = fake_vfio_file_new(FAKE_GROUP);
	if (i < 0)
		return i;
	fake_vfio.files[i].group = group;
	snprintf(link, sizeof(link), "../../devices/virtual/vfio/%d", group);
	snprintf(path, sizeof(path), DEV_CHAR "244:%d", group);
	fake_remove(fake_vfio.host, path);
	fake_link(fake_vfio.host, link, path);
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
	if (!strcmp(name, "iommu") || strstr(path, "/vfio/devices/"))
		ret = fake_iommufd_open(path);
	else if (!strcmp(name, "vfio"))
		ret = fake_vfio_file_new(FAKE_CONTAINER);
	else
		ret = open_group(atoi(name));
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

int vfio_sys_fd_look(int fd, unsigned int *ret_major, unsigned int *ret_minor)
{
	const struct fake_file *file;
	unsigned int i;

	if (fd < FAKE_FD_BASE || fd >= FAKE_FD_BASE + FAKE_FDS_MAX ||
	    fake_vfio.files[fd - FAKE_FD_BASE].kind == FAKE_FREE)
		return -EBADF;
	file = fake_vfio_file(fd);
	*ret_major = *ret_minor = 0;
	for (i = 0; i < fake_vfio.dev_count && fake_vfio.devs[i] != file->dev; i++)
		;
	if (file->kind == FAKE_CONTAINER || file->kind == FAKE_IOMMUFD) {
		*ret_major = 10;
		*ret_minor = file->kind == FAKE_IOMMUFD ? 260 : 196;
	} else if (file->kind == FAKE_GROUP) {
		*ret_major = 244;
		*ret_minor = (unsigned int)file->group;
	} else if (file->via < 0) {
		*ret_major = 243;
		*ret_minor = i;
	}
	return file->inherited ? 0 : -EEXIST;
}

void vfio_sys_fd_own(int fd)
{
	fake_vfio_file(fd)->inherited = false;
}

int fake_vfio_inherit(int fd)
{
	fake_vfio_file(fd)->inherited = true;
	return fd;
}

bool fake_vfio_inherited(int fd)
{
	return fake_vfio_file(fd)->inherited;
}

void fake_vfio_bind_tokens(void)
{
	fake_vfio.bind_tokens = true;
}

void vfio_sys_close(int fd)
{
	struct fake_file *file = fake_vfio_file(fd);

	fake_iommufd_close(file);
	if (file->kind == FAKE_DEVICE && (file->via >= 0 || file->bound >= 0)) {
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

int fake_dma_map(uint64_t iova, uint64_t size, uint64_t vaddr)
{
	unsigned int i;

	for (i = 0; i < fake_vfio.dma_count; i++) {
		if (span_overlaps(iova, size, fake_vfio.dma[i].iova, fake_vfio.dma[i].size))
			return -EEXIST;
	}
	if (!size || (iova | size | vaddr) & 4095 || fake_vfio.dma_count == FAKE_DMA_MAX)
		return -EINVAL;
	fake_vfio.dma[fake_vfio.dma_count].iova = iova;
	fake_vfio.dma[fake_vfio.dma_count].size = size;
	fake_vfio.dma[fake_vfio.dma_count++].hva = (void *)(uintptr_t)vaddr;
	return 0;
}

int fake_dma_unmap(uint64_t iova, uint64_t size, uint64_t *ret_size)
{
	unsigned int i = 0;

	*ret_size = 0;
	while (i < fake_vfio.dma_count) {
		struct fake_dma *d = &fake_vfio.dma[i];

		if (!span_overlaps(iova, size, d->iova, d->size)) {
			i++;
			continue;
		}
		if (d->iova < iova || d->iova + d->size > iova + size)
			return -EINVAL;
		*ret_size += d->size;
		*d = fake_vfio.dma[--fake_vfio.dma_count];
	}
	return 0;
}

/* Type 1 version 2: whole mappings only; none there is no error. */
static int type1_unmap(struct vfio_iommu_type1_dma_unmap *unmap)
{
	uint64_t size = 0;
	int ret = 0;

	if (unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL) {
		if (unmap->iova || unmap->size)
			return -EINVAL;
		fake_vfio.dma_count = 0;
	} else {
		ret = fake_dma_unmap(unmap->iova, unmap->size, &size);
	}
	unmap->size = size;
	return ret;
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
	const struct vfio_iommu_type1_dma_map *map = arg;

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
	case VFIO_IOMMU_GET_INFO:
		return file->iommu ? 0 : -EINVAL;
	case VFIO_IOMMU_MAP_DMA:
		return file->iommu ? fake_dma_map(map->iova, map->size, map->vaddr) : -EINVAL;
	case VFIO_IOMMU_UNMAP_DMA:
		return file->iommu ? type1_unmap(arg) : -EINVAL;
	default:
		return -ENOTTY;
	}
}

static int group_device(struct fake_file *group, const char *name)
{
	const char *token = strstr(name, " vf_token=");
	size_t len = strcspn(name, " ");
	struct fake_vdev *dev = NULL;
	unsigned int i;
	int slot;

	for (i = 0; i < fake_vfio.dev_count; i++) {
		if (strlen(fake_vfio.devs[i]->name) == len &&
		    !strncmp(fake_vfio.devs[i]->name, name, len) &&
		    fake_vfio.devs[i]->group == group->group)
			dev = fake_vfio.devs[i];
	}
	if (!dev)
		return -ENODEV;
	if (group->container < 0 || !fake_vfio.files[group->container].iommu)
		return -EINVAL;
	if (dev->open)
		return -EBUSY;
	slot = fake_vdev_token(dev, token ? token + strlen(" vf_token=") : NULL);
	if (slot)
		return slot;
	slot = fake_vfio_file_new(FAKE_DEVICE);
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
		((struct vfio_group_status *)arg)->flags =
			VFIO_GROUP_FLAGS_VIABLE |
			(file->container >= 0 ? VFIO_GROUP_FLAGS_CONTAINER_SET : 0);
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
		ret = fake_cdev_ioctl(file, request, arg);
		return ret == -ENOIOCTLCMD ? fake_vdev_ioctl(file->dev, request, arg) : ret;
	case FAKE_IOMMUFD:
		return fake_iommufd_ioctl(file, request, arg);
	case FAKE_FREE:
		break;
	}
	return -EBADF;
}

/* Opening takes its time, and several may wait at once. */
static void open_slowly(void)
{
	unsigned int now, peak;

	if (!fake_vfio.open_ms)
		return;
	now = atomic_fetch_add(&fake_vfio.opening, 1) + 1;
	peak = atomic_load(&fake_vfio.open_peak);
	while (now > peak && !atomic_compare_exchange_weak(&fake_vfio.open_peak, &peak, now))
		;
	usleep(fake_vfio.open_ms * 1000);
	atomic_fetch_sub(&fake_vfio.opening, 1);
}

void fake_vfio_open_ms(unsigned int ms)
{
	fake_vfio.open_ms = ms;
}

unsigned int fake_vfio_open_peak(void)
{
	return atomic_load(&fake_vfio.open_peak);
}

int vfio_sys_ioctl(int fd, unsigned long request, void *arg)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int ret;

	if (request == VFIO_GROUP_GET_DEVICE_FD)
		open_slowly();
	pthread_mutex_lock(&lock);
	ret = any_ioctl(fd, request, arg, 0);
	pthread_mutex_unlock(&lock);
	return ret;
}

int vfio_sys_ioctl_val(int fd, unsigned long request, unsigned long arg)
{
	uint64_t none[8] = {0};

	return any_ioctl(fd, request, none, arg);
}
