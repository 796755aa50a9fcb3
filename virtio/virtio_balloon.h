/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory balloon, virtio 1.2 clause 5.5: inflate, deflate, deflate on out-of-memory, memory
 * statistics, free page reporting. */
#ifndef VIADUCT_VIRTIO_VIRTIO_BALLOON_H
#define VIADUCT_VIRTIO_VIRTIO_BALLOON_H

#include <linux/virtio_balloon.h>
#include <stdint.h>
#include <time.h>

#include "virtio_pci.h"

#define VIRTIO_BALLOON_QUEUES 5u
#define VIRTIO_BALLOON_PFNS 1024u /* what one request names at most; Linux: 256 */
#define VIRTIO_BALLOON_STATS 64u  /* how many entries of statistics are looked at; Linux: 16 */

struct virtio_balloon {
	struct virtio_pci vpci;
	/* options */
	bool no_oom, no_report;

	struct virtio_ops ops; /* with this device's features */
	uint32_t target;       /* pages of 4 KiB that the guest is to give up */
	uint8_t actual[4];     /* what it says it gave up, little-endian as written */
	bool pinned_said;
	struct virtq_elem elem;

	struct virtq_elem stats_elem; /* the driver's, until somebody asks for statistics */
	bool stats_held;
	uint64_t stats[VIRTIO_BALLOON_S_NR];	 /* by tag */
	unsigned int stats_told;		 /* bits of tags */
	struct timespec stats_time, stats_clock; /* CLOCK_REALTIME, CLOCK_MONOTONIC */
	uint32_t pfns[VIRTIO_BALLOON_PFNS];
};

extern const struct dev_class virtio_balloon_class;

#endif
