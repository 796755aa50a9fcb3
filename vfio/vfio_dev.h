/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VFIO device: regions and interrupts behind a table of functions (uapi linux/vfio.h). The
 * kernel is one row; a device in another process can be another.
 *
 * All functions return 0 or a negative errno unless they say otherwise. The caller serialises
 * those of one device: the device's lock is held, or it is not plugged yet.
 */
#ifndef VIADUCT_VFIO_VFIO_DEV_H
#define VIADUCT_VFIO_VFIO_DEV_H

#include <linux/vfio.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct vfio_dev;

struct vfio_area {
	uint64_t offset; /* from the start of the region */
	uint64_t size;
};

/* What a region is, decoded from VFIO_DEVICE_GET_REGION_INFO and its capabilities. */
struct vfio_region {
	uint64_t size;	 /* 0: there is none */
	uint32_t flags;	 /* VFIO_REGION_INFO_FLAG_* */
	int fd;		 /* for the mapping; not owned */
	uint64_t fd_offset; /* of the region in fd */
	struct vfio_area *areas; /* what may be mapped, sorted, apart; heap */
	unsigned int area_count;
};

struct vfio_dev_ops {
	int (*info)(struct vfio_dev *vdev, struct vfio_device_info *ret_info);
	/* The kernel's structure with its capabilities, on the heap, argsz bytes of it. */
	int (*region_info)(struct vfio_dev *vdev, uint32_t index,
			   struct vfio_region_info **ret_info);
	int (*irq_info)(struct vfio_dev *vdev, uint32_t index, struct vfio_irq_info *ret_info);
	/* Positive: only so many interrupts could be had, and none is set up. */
	int (*set_irqs)(struct vfio_dev *vdev, struct vfio_irq_set *set);
	/* The whole of @len bytes at @offset of @region in one access, or -errno. */
	int (*read)(struct vfio_dev *vdev, const struct vfio_region *region, uint64_t offset,
		    void *buf, size_t len);
	int (*write)(struct vfio_dev *vdev, const struct vfio_region *region, uint64_t offset,
		     const void *buf, size_t len);
	/* VFIO_DEVICE_RESET: the function alone. */
	int (*reset)(struct vfio_dev *vdev);
	/* What a reset of its bus or slot touches, on the heap. -ENODEV: there is no such reset. */
	int (*hot_reset_info)(struct vfio_dev *vdev, struct vfio_pci_hot_reset_info **ret_info);
};

struct vfio_dev {
	const struct vfio_dev_ops *ops;
	int fd;		/* not owned: the IOMMU back end closes it */
	uint32_t flags; /* VFIO_DEVICE_FLAGS_* */
	uint32_t region_count, irq_count;
};

extern const struct vfio_dev_ops vfio_dev_kernel;

/* Asks for the device's info. -EPROTO when it is no PCI device or lacks the config region. */
int vfio_dev_init(struct vfio_dev *vdev, const struct vfio_dev_ops *ops, int fd, struct err *err);

/* Reads region @index. A region that the device has not (-EINVAL from the kernel) is one of size 0.
 * vfio_region_done() frees the areas. */
int vfio_region_get(struct vfio_dev *vdev, uint32_t index, struct vfio_region *ret_region,
		    struct err *err);
void vfio_region_done(struct vfio_region *region);

/* Decodes @info, of which @len bytes are valid; what lies outside of them, a capability chain that
 * goes backwards, and areas outside the region are refused with -EPROTO. Areas that touch or
 * overlap come out as one. */
int vfio_region_parse(const struct vfio_region_info *info, size_t len,
		      struct vfio_region *ret_region);

/* Interrupt @index. One that the device has not comes out with count 0. */
int vfio_irq_get(struct vfio_dev *vdev, uint32_t index, struct vfio_irq_info *ret_info,
		 struct err *err);

/* VFIO_DEVICE_SET_IRQS with one eventfd for each of [start, start + count), -1 for none. @action:
 * VFIO_IRQ_SET_ACTION_TRIGGER, or UNMASK for the eventfd that unmasks. Returns 0, -errno, or a
 * positive number: only so many could be had and none is set up. */
int vfio_irq_set_fds(struct vfio_dev *vdev, uint32_t index, uint32_t action, uint32_t start,
		     const int32_t *fds, uint32_t count);
/* All interrupts of @index off and freed. */
int vfio_irq_disable(struct vfio_dev *vdev, uint32_t index);

/* 1, 2, 4 or 8 bytes, little endian. */
int vfio_region_read(struct vfio_dev *vdev, const struct vfio_region *region, uint64_t offset,
		     unsigned int size, uint64_t *ret_value);
int vfio_region_write(struct vfio_dev *vdev, const struct vfio_region *region, uint64_t offset,
		      unsigned int size, uint64_t value);

#endif
