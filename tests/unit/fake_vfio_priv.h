/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the fake VFIO share: its state, its descriptors, and who counts calls. */
#ifndef VIADUCT_TESTS_FAKE_VFIO_PRIV_H
#define VIADUCT_TESTS_FAKE_VFIO_PRIV_H

#include <stdatomic.h>

#include "fake_vfio.h"

#define FAKE_FD_BASE 1000000
#define FAKE_FDS_MAX 64
#define FAKE_DEVS_MAX 16
#define FAKE_DMA_MAX 256
#define FAKE_CALLS_MAX 32
#define FAKE_MAPS_MAX 64

enum fake_kind { FAKE_FREE, FAKE_CONTAINER, FAKE_GROUP, FAKE_DEVICE, FAKE_IOMMUFD };

struct fake_file {
	enum fake_kind kind;
	int group;	       /* GROUP */
	int container;	       /* GROUP: index of its container, -1 */
	bool iommu;	       /* CONTAINER: type is set */
	struct fake_vdev *dev; /* DEVICE */
	int via;	       /* DEVICE: index of its group, -1 of a node of its own */
	int bound;	       /* DEVICE of a node: index of its iommufd, -1 */
	bool attached;	       /* the same: to that iommufd's address space */
	uint32_t ioas;	       /* IOMMUFD: its address space, 0 */
	bool inherited;	       /* was handed over, not opened: not close-on-exec */
};

struct fake_vfio {
	struct fake *host;
	struct fake_vdev *devs[FAKE_DEVS_MAX];
	unsigned int dev_count;
	struct fake_file files[FAKE_FDS_MAX];
	struct fake_dma dma[FAKE_DMA_MAX];
	unsigned int dma_count;
	struct {
		void *at;
		size_t size;
	} maps[FAKE_MAPS_MAX];
	struct {
		unsigned long request;
		unsigned int count;
	} calls[FAKE_CALLS_MAX];
	unsigned int call_count, total;
	unsigned long fail_request;
	unsigned int fail_at, seen;
	int fail_code;
	unsigned int open_ms;
	atomic_uint opening, open_peak;
	bool bind_tokens; /* the kernel is so new that it takes tokens there */
};

extern struct fake_vfio fake_vfio;

/* Counts a call; the negative errno that it is to fail with, or 0. */
int fake_vfio_call(unsigned long request);
struct fake_file *fake_vfio_file(int fd);
/* A free slot as @kind, its index; -EMFILE. */
int fake_vfio_file_new(enum fake_kind kind);
bool fake_vfio_group_is_open(int group);

/* The mappings, whoever asks. */
int fake_dma_map(uint64_t iova, uint64_t size, uint64_t vaddr);
int fake_dma_unmap(uint64_t iova, uint64_t size, uint64_t *ret_size);

/* --- fake_vfio_iommufd.c --- */

/* The node of @dev below /dev/vfio/devices, and what sysfs says of it. */
void fake_cdev_make(unsigned int index, const struct fake_vdev *dev);
void fake_iommufd_make(struct fake *host);
int fake_iommufd_open(const char *path);
void fake_iommufd_close(struct fake_file *file);
int fake_iommufd_ioctl(struct fake_file *file, unsigned long request, void *arg);
/* What only a function with a node of its own has: -ENOIOCTLCMD for anything else. */
int fake_cdev_ioctl(struct fake_file *file, unsigned long request, void *arg);
/* True when @dev is bound to the iommufd to which @other is, or shares a group with such a one. */
bool fake_cdev_owned(const struct fake_vdev *dev, const struct fake_vdev *other);
bool fake_cdev_in_group(int group);
/* Does @text agree with what @dev wants? 0, -EACCES, or -EINVAL for one that it does not want. */
int fake_vdev_token(const struct fake_vdev *dev, const char *text);

#define ENOIOCTLCMD 515

/* --- fake_vfio_dev.c --- */

int fake_vdev_ioctl(struct fake_vdev *dev, unsigned long request, void *arg);
void fake_vdev_irqs_off(struct fake_vdev *dev);

/* --- fake_vfio_reset.c --- */

/* The ioctls that reset; -ENOTTY for any other. */
int fake_vdev_reset(struct fake_vdev *dev, unsigned long request, void *arg);

#endif
