/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk of virtio 1.2 clause 5.2, from a raw image or a block device of the host: any number of
 * queues, flush, discard, write zeroes, a write cache that the guest can switch.
 */
#ifndef VIADUCT_VIRTIO_VIRTIO_BLK_H
#define VIADUCT_VIRTIO_VIRTIO_BLK_H

#include <linux/virtio_blk.h>

#include "vmm/disk.h"

#include "virtio_pci.h"

/* What every virtio disk has in common, whoever serves it. */
#define VIRTIO_BLK_QUEUES_MAX 64u
#define VIRTIO_BLK_CLASS 0x010000u /* mass storage: what Linux and firmware know them by */
/* Up to the fields of write zeroes; what follows has features that are not offered. */
#define VIRTIO_BLK_CONFIG_SIZE offsetof(struct virtio_blk_config, max_secure_erase_sectors)
#define VIRTIO_BLK_CONFIG_WCE offsetof(struct virtio_blk_config, wce)
#define VIRTIO_BLK_CONFIG_QUEUES offsetof(struct virtio_blk_config, num_queues)

struct virtio_blk_req;

struct virtio_blk {
	struct virtio_pci vpci;
	/* options */
	struct disk_config config;
	char *serial;
	uint32_t queues; /* 0: one for each vCPU, at most VIRTIO_BLK_QUEUES_MAX */

	struct disk_user user;
	struct disk *disk;
	bool wce;		     /* what the guest wrote; the write cache is on at a reset */
	uint64_t resetting;	     /* a bit for each queue that is reset alone */
	struct virtio_blk_req *again; /* others' requests that its drain ended */
	uint64_t answered;	     /* a bit for each queue that has buffers to signal */
	struct virtio_blk_req *reqs; /* as many as can be in flight: nothing is allocated for one */
	size_t reqs_used;
	struct virtio_blk_req *free; /* of those used before */
	struct iovec *iovs;	     /* theirs */
	size_t iovs_size;
};

extern const struct dev_class virtio_blk_class;

#endif
