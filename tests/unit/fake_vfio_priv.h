/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the fake VFIO share: its state, its descriptors, and who counts calls. */
#ifndef VIADUCT_TESTS_FAKE_VFIO_PRIV_H
#define VIADUCT_TESTS_FAKE_VFIO_PRIV_H

#include "fake_vfio.h"

#define FAKE_FD_BASE 1000000
#define FAKE_FDS_MAX 64
#define FAKE_DEVS_MAX 16
#define FAKE_DMA_MAX 256
#define FAKE_CALLS_MAX 32
#define FAKE_MAPS_MAX 64

enum fake_kind { FAKE_FREE, FAKE_CONTAINER, FAKE_GROUP, FAKE_DEVICE };

struct fake_file {
	enum fake_kind kind;
	int group;	       /* GROUP */
	int container;	       /* GROUP: index of its container, -1 */
	bool iommu;	       /* CONTAINER: type is set */
	struct fake_vdev *dev; /* DEVICE */
	int via;	       /* DEVICE: index of its group */
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
};

extern struct fake_vfio fake_vfio;

/* Counts a call; the negative errno that it is to fail with, or 0. */
int fake_vfio_call(unsigned long request);
struct fake_file *fake_vfio_file(int fd);

/* --- fake_vfio_dev.c --- */

int fake_vdev_ioctl(struct fake_vdev *dev, unsigned long request, void *arg);
void fake_vdev_irqs_off(struct fake_vdev *dev);

/* --- fake_vfio_reset.c --- */

/* The ioctls that reset; -ENOTTY for any other. */
int fake_vdev_reset(struct fake_vdev *dev, unsigned long request, void *arg);

#endif
