// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_vfio.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"
#include "vfio/vfio_sys.h"

#define FD_BASE 1000000
#define FDS_MAX 64
#define DEVS_MAX 16
#define DMA_MAX 256
#define CALLS_MAX 32
#define MAPS_MAX 64
#define REGION_SHIFT 40 /* as vfio-pci encodes its regions in file offsets */

enum kind { FREE, CONTAINER, GROUP, DEVICE };

struct file {
	enum kind kind;
	int group;	   /* GROUP */
	int container;	   /* GROUP: index of its container, -1 */
	bool iommu;	   /* CONTAINER: type is set */
	struct fake_vdev *dev; /* DEVICE */
	int via;	   /* DEVICE: index of its group */
};

static struct fake_vfio {
	struct fake *host;
	struct fake_vdev *devs[DEVS_MAX];
	unsigned int dev_count;
	struct file files[FDS_MAX];
	struct fake_dma dma[DMA_MAX];
	unsigned int dma_count;
	struct {
		void *at;
		size_t size;
	} maps[MAPS_MAX];
	struct {
		unsigned long request;
		unsigned int count;
	} calls[CALLS_MAX];
	unsigned int call_count, total;
	unsigned long fail_request;
	unsigned int fail_at, seen;
	int fail_code;
} vfio;

void fake_vfio_new(struct fake *host)
{
	memset(&vfio, 0, sizeof(vfio));
	vfio.host = host;
	fake_text(host, "dev/vfio/vfio", "");
}

void fake_vfio_free(void)
{
	unsigned int i, r;

	for (i = 0; i < vfio.dev_count; i++) {
		for (r = 0; r < VFIO_PCI_NUM_REGIONS; r++) {
			if (vfio.devs[i]->regions[r].memfd >= 0)
				close(vfio.devs[i]->regions[r].memfd);
		}
		free(vfio.devs[i]);
	}
	memset(&vfio, 0, sizeof(vfio));
}

void fake_vfio_forget(void)
{
	unsigned int i;

	vfio.call_count = vfio.total = 0;
	for (i = 0; i < vfio.dev_count; i++)
		vfio.devs[i]->access_count = vfio.devs[i]->set_count = 0;
}

void fake_vfio_fail(unsigned long request, unsigned int at, int code)
{
	vfio.fail_request = request;
	vfio.fail_at = at;
	vfio.fail_code = code;
	vfio.seen = 0;
}

static int call(unsigned long request)
{
	unsigned int i;

	for (i = 0; i < vfio.call_count && vfio.calls[i].request != request; i++)
		;
	if (i == CALLS_MAX)
		abort();
	if (i == vfio.call_count) {
		vfio.calls[i].request = request;
		vfio.calls[vfio.call_count++].count = 0;
	}
	vfio.calls[i].count++;
	vfio.total++;
	if (vfio.fail_at && (!vfio.fail_request || vfio.fail_request == request) &&
	    ++vfio.seen == vfio.fail_at)
		return -vfio.fail_code;
	return 0;
}

unsigned int fake_vfio_count(unsigned long request)
{
	unsigned int i;

	for (i = 0; i < vfio.call_count; i++) {
		if (vfio.calls[i].request == request)
			return vfio.calls[i].count;
	}
	return 0;
}

unsigned int fake_vfio_total(void)
{
	return vfio.total;
}

unsigned int fake_vfio_fds(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < FDS_MAX; i++)
		n += vfio.files[i].kind != FREE;
	return n;
}

unsigned int fake_vfio_reservations(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < MAPS_MAX; i++)
		n += vfio.maps[i].at != NULL;
	return n;
}

unsigned int fake_vfio_dma(struct fake_dma *ret_dma, unsigned int max)
{
	if (ret_dma)
		memcpy(ret_dma, vfio.dma, MIN(max, vfio.dma_count) * sizeof(*ret_dma));
	return vfio.dma_count;
}

/* --- files --- */

static int file_new(enum kind kind)
{
	int i;

	for (i = 0; i < FDS_MAX; i++) {
		if (vfio.files[i].kind == FREE) {
			memset(&vfio.files[i], 0, sizeof(vfio.files[i]));
			vfio.files[i].kind = kind;
			vfio.files[i].container = -1;
			return i;
		}
	}
	return -EMFILE;
}

static struct file *file_of(int fd)
{
	if (fd < FD_BASE || fd >= FD_BASE + FDS_MAX || vfio.files[fd - FD_BASE].kind == FREE)
		abort();
	return &vfio.files[fd - FD_BASE];
}

const char *vfio_sys_sysfs_root(void)
{
	return vfio.host->sys;
}

static int open_group(int group)
{
	int i;

	for (i = 0; i < FDS_MAX; i++) {
		if (vfio.files[i].kind == GROUP && vfio.files[i].group == group)
			return -EBUSY;
	}
	i = file_new(GROUP);
	if (i >= 0)
		vfio.files[i].group = group;
	return i;
}

int vfio_sys_open(const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	int ret = call(FAKE_OPEN);

	if (ret)
		return ret;
	if (access(path, F_OK) < 0)
		return -ENOENT;
	ret = strcmp(name, "vfio") != 0 ? open_group(atoi(name)) : file_new(CONTAINER);
	return ret < 0 ? ret : FD_BASE + ret;
}

/* The last group that leaves takes the mappings and the IOMMU type along. */
static void group_leave(struct file *group)
{
	int container = group->container, i;

	group->container = -1;
	if (container < 0)
		return;
	for (i = 0; i < FDS_MAX; i++) {
		if (vfio.files[i].kind == GROUP && vfio.files[i].container == container)
			return;
	}
	vfio.files[container].iommu = false;
	vfio.dma_count = 0;
}

void vfio_sys_close(int fd)
{
	struct file *file = file_of(fd);

	if (file->kind == DEVICE) {
		/* Whoever forgot to switch interrupts off finds them off all the same. */
		file->dev->open = false;
		file->dev->mode = -1;
		file->dev->allocated = 0;
	}
	if (file->kind == GROUP)
		group_leave(file);
	file->kind = FREE;
}

/* --- container and group --- */

static int dma_map(const struct vfio_iommu_type1_dma_map *map)
{
	unsigned int i;

	for (i = 0; i < vfio.dma_count; i++) {
		if (span_overlaps(map->iova, map->size, vfio.dma[i].iova, vfio.dma[i].size))
			return -EEXIST;
	}
	if (!map->size || (map->iova | map->size | map->vaddr) & 4095 || vfio.dma_count == DMA_MAX)
		return -EINVAL;
	vfio.dma[vfio.dma_count].iova = map->iova;
	vfio.dma[vfio.dma_count].size = map->size;
	vfio.dma[vfio.dma_count++].hva = (void *)(uintptr_t)map->vaddr;
	return 0;
}

/* Type 1 version 2: whole mappings only; none there is no error. */
static int dma_unmap(struct vfio_iommu_type1_dma_unmap *unmap)
{
	uint64_t iova = unmap->iova, size = unmap->size;
	unsigned int i = 0;

	unmap->size = 0;
	while (i < vfio.dma_count) {
		struct fake_dma *d = &vfio.dma[i];

		if (!span_overlaps(iova, size, d->iova, d->size)) {
			i++;
			continue;
		}
		if (d->iova < iova || d->iova + d->size > iova + size)
			return -EINVAL;
		unmap->size += d->size;
		*d = vfio.dma[--vfio.dma_count];
	}
	return 0;
}

static bool container_has_group(const struct file *container)
{
	int i, self = (int)(container - vfio.files);

	for (i = 0; i < FDS_MAX; i++) {
		if (vfio.files[i].kind == GROUP && vfio.files[i].container == self)
			return true;
	}
	return false;
}

static int container_ioctl(struct file *file, unsigned long request, void *arg, unsigned long val)
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

static int group_device(struct file *group, const char *name)
{
	struct fake_vdev *dev = NULL;
	unsigned int i;
	int slot;

	for (i = 0; i < vfio.dev_count; i++) {
		if (!strcmp(vfio.devs[i]->name, name) && vfio.devs[i]->group == group->group)
			dev = vfio.devs[i];
	}
	if (!dev)
		return -ENODEV;
	if (group->container < 0 || !vfio.files[group->container].iommu)
		return -EINVAL;
	if (dev->open)
		return -EBUSY;
	slot = file_new(DEVICE);
	if (slot < 0)
		return slot;
	vfio.files[slot].dev = dev;
	vfio.files[slot].via = (int)(group - vfio.files);
	dev->open = true;
	dev->opens++;
	return FD_BASE + slot;
}

static int group_ioctl(struct file *file, unsigned long request, void *arg)
{
	int i, self = (int)(file - vfio.files);

	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		((struct vfio_group_status *)arg)->flags = VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		if (file->container >= 0)
			return -EINVAL;
		file->container = (int)(file_of(*(int *)arg) - vfio.files);
		return 0;
	case VFIO_GROUP_UNSET_CONTAINER:
		for (i = 0; i < FDS_MAX; i++) {
			if (vfio.files[i].kind == DEVICE && vfio.files[i].via == self)
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

/* --- the function --- */

struct sparse_caps {
	struct vfio_info_cap_header msix;
	struct {
		struct vfio_info_cap_header header;
		uint32_t nr_areas, reserved;
	} sparse; /* struct vfio_region_info_cap_sparse_mmap */
	struct vfio_region_sparse_mmap_area areas[FAKE_AREAS_MAX];
};

static int region_info(const struct fake_vdev *dev, struct vfio_region_info *info)
{
	struct sparse_caps caps = { .msix = { VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1, 0 } };
	const struct fake_region *r;
	uint32_t argsz = info->argsz, at = sizeof(*info);

	if (info->index >= VFIO_PCI_NUM_REGIONS || info->index == VFIO_PCI_VGA_REGION_INDEX)
		return -EINVAL;
	r = &dev->regions[info->index];
	info->size = r->size;
	info->flags = r->flags;
	info->offset = (uint64_t)info->index << REGION_SHIFT;
	info->cap_offset = 0;
	if (!r->sparse && !r->msix_mappable)
		return 0;
	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	info->argsz = at + sizeof(caps);
	if (argsz < info->argsz)
		return 0;
	info->cap_offset = at;
	if (r->sparse) {
		caps.msix.next = at + (uint32_t)offsetof(struct sparse_caps, sparse);
		caps.sparse.header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
		caps.sparse.header.version = 1;
		caps.sparse.nr_areas = r->area_count;
		memcpy(caps.areas, r->areas, sizeof(caps.areas));
		if (!r->msix_mappable)
			info->cap_offset = caps.msix.next;
	}
	memcpy((uint8_t *)info + at, &caps, sizeof(caps));
	return 0;
}

static int irq_info(const struct fake_vdev *dev, struct vfio_irq_info *info)
{
	if (info->index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	info->flags = dev->irqs[info->index].flags;
	info->count = dev->irqs[info->index].count;
	return 0;
}

static void irqs_off(struct fake_vdev *dev)
{
	unsigned int i;

	dev->mode = -1;
	dev->allocated = 0;
	dev->unmask = -1;
	for (i = 0; i < FAKE_VECTORS_MAX; i++)
		dev->fds[i] = -1;
}

static int intx_set(struct fake_vdev *dev, const struct vfio_irq_set *set, const int32_t *fds)
{
	if (!(set->flags & VFIO_IRQ_SET_DATA_EVENTFD) || set->start || set->count != 1)
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_ACTION_UNMASK) {
		if (dev->mode != VFIO_PCI_INTX_IRQ_INDEX)
			return -EINVAL;
		dev->unmask = fds[0];
		return 0;
	}
	dev->mode = VFIO_PCI_INTX_IRQ_INDEX;
	dev->fds[0] = fds[0];
	return 0;
}

static int vectors_set(struct fake_vdev *dev, const struct vfio_irq_set *set, const int32_t *fds)
{
	bool noresize = dev->irqs[set->index].flags & VFIO_IRQ_INFO_NORESIZE;
	uint32_t end = set->start + set->count;

	if (!(set->flags & VFIO_IRQ_SET_DATA_EVENTFD) || !set->count ||
	    end > dev->irqs[set->index].count)
		return -EINVAL;
	if (dev->mode < 0) {
		if (end > dev->vectors_room)
			return dev->vectors_room ? (int)dev->vectors_room : -ENOSPC;
		dev->mode = (int)set->index;
		dev->allocated = end;
	} else if (end > dev->allocated) {
		if (noresize)
			return -EINVAL;
		if (end > dev->vectors_room)
			return -ENOSPC;
		dev->allocated = end;
	}
	memcpy(dev->fds + set->start, fds, set->count * sizeof(*fds));
	return 0;
}

static int set_irqs(struct fake_vdev *dev, const struct vfio_irq_set *set)
{
	const int32_t *fds = (const int32_t *)(const void *)set->data;
	size_t data = (set->flags & VFIO_IRQ_SET_DATA_EVENTFD) ? set->count * sizeof(*fds) : 0;

	if (set->argsz < sizeof(*set) + data || set->index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	if (dev->set_count < FAKE_LOG_MAX)
		dev->sets[dev->set_count] = (struct fake_set){ set->index, set->flags, set->start,
							       set->count, data ? fds[0] : -1 };
	dev->set_count++;
	if (dev->mode >= 0 && dev->mode != (int)set->index)
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_NONE && !set->count) {
		irqs_off(dev);
		return 0;
	}
	return set->index == VFIO_PCI_INTX_IRQ_INDEX ? intx_set(dev, set, fds)
						     : vectors_set(dev, set, fds);
}

static int device_ioctl(struct fake_vdev *dev, unsigned long request, void *arg)
{
	struct vfio_device_info *info = arg;

	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		info->flags = dev->flags;
		info->num_regions = VFIO_PCI_NUM_REGIONS;
		info->num_irqs = VFIO_PCI_NUM_IRQS;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return region_info(dev, arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return irq_info(dev, arg);
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(dev, arg);
	case VFIO_DEVICE_RESET:
		if (!(dev->flags & VFIO_DEVICE_FLAGS_RESET))
			return -EINVAL;
		dev->resets++;
		return 0;
	default:
		return -ENOTTY;
	}
}

static int any_ioctl(int fd, unsigned long request, void *arg, unsigned long val)
{
	struct file *file = file_of(fd);
	int ret = call(request);

	if (ret)
		return ret;
	switch (file->kind) {
	case CONTAINER:
		return container_ioctl(file, request, arg, val);
	case GROUP:
		return group_ioctl(file, request, arg);
	case DEVICE:
		return device_ioctl(file->dev, request, arg);
	case FREE:
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
	uint64_t none[8] = { 0 };

	return any_ioctl(fd, request, none, arg);
}

static int region_fd(struct fake_region *r)
{
	if (r->memfd < 0) {
		r->memfd = memfd_create("fake-region", MFD_CLOEXEC);
		if (r->memfd < 0 || ftruncate(r->memfd, (off_t)align_up(r->size, 4096)) < 0)
			abort();
	}
	return r->memfd;
}

static void access_log(struct fake_vdev *dev, uint64_t offset, size_t len, const void *value)
{
	struct fake_access a = { .region = (uint32_t)(offset >> REGION_SHIFT),
				 .offset = offset & ((1ull << REGION_SHIFT) - 1),
				 .len = len,
				 .write = value != NULL };

	if (value && len <= sizeof(a.value))
		memcpy(&a.value, value, len);
	if (dev->access_count < FAKE_LOG_MAX)
		dev->accesses[dev->access_count] = a;
	dev->access_count++;
}

static struct fake_region *access_region(struct fake_vdev *dev, uint64_t *offset, size_t len)
{
	uint64_t index = *offset >> REGION_SHIFT;

	*offset &= (1ull << REGION_SHIFT) - 1;
	if (index >= VFIO_PCI_NUM_REGIONS || !span_within(*offset, len, dev->regions[index].size))
		return NULL;
	return &dev->regions[index];
}

ssize_t vfio_sys_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	struct fake_vdev *dev = file_of(fd)->dev;
	int ret = call(FAKE_PREAD);
	struct fake_region *r;

	if (ret)
		return ret;
	access_log(dev, offset, len, NULL);
	r = access_region(dev, &offset, len);
	if (!r)
		return -EINVAL;
	if (dev->dead)
		memset(buf, 0xff, len);
	else if (r == &dev->regions[VFIO_PCI_CONFIG_REGION_INDEX])
		memcpy(buf, dev->config + offset, len);
	else
		return pread(region_fd(r), buf, len, (off_t)offset);
	return (ssize_t)len;
}

ssize_t vfio_sys_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	struct fake_vdev *dev = file_of(fd)->dev;
	int ret = call(FAKE_PWRITE);
	struct fake_region *r;

	if (ret)
		return ret;
	access_log(dev, offset, len, buf);
	r = access_region(dev, &offset, len);
	if (!r)
		return -EINVAL;
	if (r == &dev->regions[VFIO_PCI_CONFIG_REGION_INDEX])
		memcpy(dev->config + offset, buf, len);
	else
		return pwrite(region_fd(r), buf, len, (off_t)offset);
	return (ssize_t)len;
}

void *vfio_sys_reserve(size_t size, size_t align)
{
	uint8_t *p, *at;
	unsigned int i;

	if (call(FAKE_RESERVE))
		return NULL;
	for (i = 0; i < MAPS_MAX && vfio.maps[i].at; i++)
		;
	if (i == MAPS_MAX)
		abort();
	p = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	at = p + (align_up((uintptr_t)p, align) - (uintptr_t)p);
	if (at > p)
		munmap(p, (size_t)(at - p));
	munmap(at + size, (size_t)(p + size + align - (at + size)));
	vfio.maps[i].at = at;
	vfio.maps[i].size = size;
	return at;
}

int vfio_sys_map(void *at, size_t size, int prot, int fd, uint64_t offset)
{
	struct fake_vdev *dev = file_of(fd)->dev;
	int ret = call(FAKE_MAP);
	struct fake_region *r;

	if (ret)
		return ret;
	r = access_region(dev, &offset, size);
	if (!r || !(r->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return -EINVAL;
	if (mmap(at, size, prot, MAP_SHARED | MAP_FIXED, region_fd(r), (off_t)offset) == MAP_FAILED)
		return -errno;
	return 0;
}

void vfio_sys_unmap(void *at, size_t size)
{
	unsigned int i;

	for (i = 0; i < MAPS_MAX && vfio.maps[i].at != at; i++)
		;
	if (i == MAPS_MAX || vfio.maps[i].size != size)
		abort();
	vfio.maps[i].at = NULL;
	munmap(at, size);
}

/* --- functions to choose from --- */

struct fake_vdev *fake_vfio_dev(const char *name, int group)
{
	struct fake_vdev *dev = calloc(1, sizeof(*dev));
	unsigned int i;

	if (!dev || vfio.dev_count == DEVS_MAX)
		abort();
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	dev->group = group;
	dev->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	dev->vectors_room = FAKE_VECTORS_MAX;
	for (i = 0; i < VFIO_PCI_NUM_REGIONS; i++)
		dev->regions[i].memfd = -1;
	dev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size = sizeof(dev->config);
	dev->regions[VFIO_PCI_CONFIG_REGION_INDEX].flags =
		VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	irqs_off(dev);
	put_le32(dev->config + PCI_VENDOR_ID, 0x10ca8086);
	put_le32(dev->config + PCI_CLASS_REVISION, 0x02000001);
	vfio.devs[vfio.dev_count++] = dev;
	return dev;
}

static void bar(struct fake_vdev *dev, unsigned int index, uint64_t size, uint32_t low,
		bool mmap_ok)
{
	dev->regions[index].size = size;
	dev->regions[index].flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
				    (mmap_ok ? VFIO_REGION_INFO_FLAG_MMAP : 0);
	put_le32(dev->config + PCI_BASE_ADDRESS_0 + 4ul * index, low);
}

static void cap(struct fake_vdev *dev, uint8_t at, uint8_t id, uint8_t next)
{
	dev->config[at] = id;
	dev->config[at + 1] = next;
	dev->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
}

static void msix_cap(struct fake_vdev *dev, uint8_t at, uint8_t next, unsigned int count,
		     uint32_t table, uint32_t pba)
{
	cap(dev, at, PCI_CAP_ID_MSIX, next);
	put_le16(dev->config + at + PCI_MSIX_FLAGS, (uint16_t)(count - 1));
	put_le32(dev->config + at + PCI_MSIX_TABLE, table);
	put_le32(dev->config + at + PCI_MSIX_PBA, pba);
	dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD;
	dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].count = count;
}

static void pcie_cap(struct fake_vdev *dev, uint8_t at, uint8_t next)
{
	cap(dev, at, PCI_CAP_ID_EXP, next);
	put_le16(dev->config + at + PCI_EXP_FLAGS, 2); /* version 2, endpoint */
	put_le32(dev->config + at + PCI_EXP_LNKCAP, 0x0003f411);
	put_le16(dev->config + at + PCI_EXP_LNKSTA, 0x0011);
}

struct fake_vdev *fake_vfio_igbvf(const char *name, int group)
{
	struct fake_vdev *dev = fake_vfio_dev(name, group);

	bar(dev, 0, 16 * KIB, PCI_BASE_ADDRESS_MEM_TYPE_64, true);
	bar(dev, 3, 16 * KIB, PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH, true);
	dev->regions[3].msix_mappable = true;
	dev->config[PCI_CAPABILITY_LIST] = 0x70;
	msix_cap(dev, 0x70, 0xa0, 3, 3, 0x2003);
	pcie_cap(dev, 0xa0, 0);
	put_le32(dev->config + 0x100, 0x15010001); /* AER, then ARI */
	put_le32(dev->config + 0x150, 0x0001000e);
	return dev;
}

struct fake_vdev *fake_vfio_nvme(const char *name, int group)
{
	struct fake_vdev *dev = fake_vfio_dev(name, group);

	put_le32(dev->config + PCI_VENDOR_ID, 0x00101b36);
	put_le32(dev->config + PCI_CLASS_REVISION, 0x01080202);
	dev->config[PCI_INTERRUPT_PIN] = 1;
	bar(dev, 0, 16 * KIB, PCI_BASE_ADDRESS_MEM_TYPE_64, true);
	dev->regions[0].msix_mappable = true;
	dev->config[PCI_CAPABILITY_LIST] = 0x40;
	cap(dev, 0x40, PCI_CAP_ID_PM, 0x50);
	cap(dev, 0x50, PCI_CAP_ID_MSI, 0x80);
	put_le16(dev->config + 0x50 + PCI_MSI_FLAGS, PCI_MSI_FLAGS_64BIT | 5 << 1);
	msix_cap(dev, 0x80, 0xa0, 65, 0x2000, 0x2800);
	pcie_cap(dev, 0xa0, 0);
	put_le32(dev->config + 0x100, 0x12010010); /* SR-IOV first, then AER, then resizable BAR */
	put_le32(dev->config + 0x120, 0x18020001);
	put_le32(dev->config + 0x180, 0x00010015);
	put_le32(dev->config + 0x188, 1 << 5);
	dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].flags =
		VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].count = 1;
	dev->irqs[VFIO_PCI_MSI_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;
	dev->irqs[VFIO_PCI_MSI_IRQ_INDEX].count = 32;
	return dev;
}

struct fake_vdev *fake_vfio_e1000(const char *name, int group)
{
	struct fake_vdev *dev = fake_vfio_dev(name, group);

	put_le32(dev->config + PCI_VENDOR_ID, 0x100e8086);
	put_le32(dev->config + PCI_CLASS_REVISION, 0x02000003);
	dev->config[PCI_INTERRUPT_PIN] = 1;
	dev->regions[VFIO_PCI_CONFIG_REGION_INDEX].size = 256;
	bar(dev, 0, 128 * KIB, 0, true);
	bar(dev, 1, 64, PCI_BASE_ADDRESS_SPACE_IO, false);
	dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].flags =
		VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].count = 1;
	return dev;
}
