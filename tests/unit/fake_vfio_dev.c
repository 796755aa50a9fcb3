// SPDX-License-Identifier: GPL-2.0-or-later
/* The functions behind the fake VFIO: regions, interrupts and their mappings. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"
#include "fake_vfio_priv.h"
#include "vfio/vfio_sys.h"

#define REGION_SHIFT 40 /* as vfio-pci encodes its regions in file offsets */

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
	struct sparse_caps caps = {.msix = {VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1, 0}};
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

void fake_vdev_irqs_off(struct fake_vdev *dev)
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

/* As the kernel's vfio_pci_set_ctx_trigger_single(); independent of interrupts, and not logged. */
static int single_set(const struct fake_vdev *dev, int32_t *fd, const struct vfio_irq_set *set,
		      const int32_t *fds)
{
	if (!dev->irqs[set->index].count)
		return -ENOTTY;
	if (set->start || set->count > 1 || !(set->flags & VFIO_IRQ_SET_ACTION_TRIGGER))
		return -EINVAL;
	if ((set->flags & VFIO_IRQ_SET_DATA_NONE) && !set->count)
		*fd = -1;
	else if ((set->flags & VFIO_IRQ_SET_DATA_EVENTFD) && set->count)
		*fd = fds[0];
	else
		return -EINVAL;
	return 0;
}

static int set_irqs(struct fake_vdev *dev, const struct vfio_irq_set *set)
{
	const int32_t *fds = (const int32_t *)(const void *)set->data;
	size_t data = (set->flags & VFIO_IRQ_SET_DATA_EVENTFD) ? set->count * sizeof(*fds) : 0;

	if (set->argsz < sizeof(*set) + data || set->index >= VFIO_PCI_NUM_IRQS)
		return -EINVAL;
	if (set->index == VFIO_PCI_ERR_IRQ_INDEX)
		return single_set(dev, &dev->err, set, fds);
	if (set->index == VFIO_PCI_REQ_IRQ_INDEX)
		return single_set(dev, &dev->req, set, fds);
	if (dev->set_count < FAKE_LOG_MAX)
		dev->sets[dev->set_count] = (struct fake_set){set->index, set->flags, set->start,
							      set->count, data ? fds[0] : -1};
	dev->set_count++;
	if (dev->mode >= 0 && dev->mode != (int)set->index)
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_NONE && !set->count) {
		fake_vdev_irqs_off(dev);
		return 0;
	}
	return set->index == VFIO_PCI_INTX_IRQ_INDEX ? intx_set(dev, set, fds)
						     : vectors_set(dev, set, fds);
}

int fake_vdev_ioctl(struct fake_vdev *dev, unsigned long request, void *arg)
{
	struct vfio_device_info *info = arg;

	switch (request) {
	case VFIO_DEVICE_FEATURE:
		if (!dev->pf || ((struct vfio_device_feature *)arg)->flags !=
					(VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_PCI_VF_TOKEN))
			return -ENOTTY;
		memcpy(dev->vf_token, ((struct vfio_device_feature *)arg)->data,
		       sizeof(dev->vf_token));
		return 0;
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
	default:
		return fake_vdev_reset(dev, request, arg);
	}
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
	struct fake_access a = {.region = (uint32_t)(offset >> REGION_SHIFT),
				.offset = offset & ((1ull << REGION_SHIFT) - 1),
				.len = len,
				.write = value != NULL};

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

/* The kernel lets nobody reach a BAR of a function in D3hot. */
static bool asleep(const struct fake_vdev *dev, const struct fake_region *r)
{
	uint8_t cap = dev->config[PCI_CAPABILITY_LIST];

	if (r == &dev->regions[VFIO_PCI_CONFIG_REGION_INDEX] || dev->config[cap] != PCI_CAP_ID_PM)
		return false;
	return (dev->config[cap + PCI_PM_CTRL] & PCI_PM_CTRL_STATE_MASK) == 3;
}

ssize_t vfio_sys_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	struct fake_vdev *dev = fake_vfio_file(fd)->dev;
	int ret = fake_vfio_call(FAKE_PREAD);
	struct fake_region *r;

	if (ret)
		return ret;
	access_log(dev, offset, len, NULL);
	r = access_region(dev, &offset, len);
	if (!r)
		return -EINVAL;
	if (dev->dead && dev->wake_after && !--dev->wake_after)
		dev->dead = false;
	if (asleep(dev, r))
		return -EIO;
	if (dev->dead)
		memset(buf, 0xff, len);
	else if (r == &dev->regions[VFIO_PCI_CONFIG_REGION_INDEX])
		memcpy(buf, dev->config + offset, len);
	else
		return pread(region_fd(r), buf, len, (off_t)offset);
	/* The kernel answers for the IDs, dead or not. */
	if (r == &dev->regions[VFIO_PCI_CONFIG_REGION_INDEX] && offset < PCI_COMMAND)
		memcpy(buf, dev->config + offset, MIN(len, PCI_COMMAND - offset));
	return (ssize_t)len;
}

ssize_t vfio_sys_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	struct fake_vdev *dev = fake_vfio_file(fd)->dev;
	int ret = fake_vfio_call(FAKE_PWRITE);
	struct fake_region *r;

	if (ret)
		return ret;
	access_log(dev, offset, len, buf);
	r = access_region(dev, &offset, len);
	if (!r)
		return -EINVAL;
	if (asleep(dev, r))
		return -EIO;
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

	if (fake_vfio_call(FAKE_RESERVE))
		return NULL;
	for (i = 0; i < FAKE_MAPS_MAX && fake_vfio.maps[i].at; i++)
		;
	if (i == FAKE_MAPS_MAX)
		abort();
	p = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	at = p + (align_up((uintptr_t)p, align) - (uintptr_t)p);
	if (at > p)
		munmap(p, (size_t)(at - p));
	munmap(at + size, (size_t)(p + size + align - (at + size)));
	fake_vfio.maps[i].at = at;
	fake_vfio.maps[i].size = size;
	return at;
}

int vfio_sys_map(void *at, size_t size, int prot, int fd, uint64_t offset)
{
	struct fake_vdev *dev = fake_vfio_file(fd)->dev;
	int ret = fake_vfio_call(FAKE_MAP);
	struct fake_region *r;

	if (ret)
		return ret;
	/* The page of a region that is smaller may be mapped whole. */
	r = access_region(dev, &offset, 1);
	if (!r || !(r->flags & VFIO_REGION_INFO_FLAG_MMAP) ||
	    !span_within(offset, size, align_up(r->size, 4096)))
		return -EINVAL;
	if (mmap(at, size, prot, MAP_SHARED | MAP_FIXED, region_fd(r), (off_t)offset) == MAP_FAILED)
		return -errno;
	return 0;
}

void vfio_sys_unmap(void *at, size_t size)
{
	unsigned int i;

	for (i = 0; i < FAKE_MAPS_MAX && fake_vfio.maps[i].at != at; i++)
		;
	if (i == FAKE_MAPS_MAX || fake_vfio.maps[i].size != size)
		abort();
	fake_vfio.maps[i].at = NULL;
	munmap(at, size);
}
