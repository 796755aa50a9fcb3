/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The entropy device, virtio 1.2 clause 5.4: one queue of buffers that are filled with random
 * bytes of the host. */
#ifndef VIADUCT_VIRTIO_VIRTIO_RNG_H
#define VIADUCT_VIRTIO_VIRTIO_RNG_H

#include <stdint.h>

#include "virtio_pci.h"

struct loop_timer;

#define VIRTIO_RNG_CHUNK 4096u /* what one request is given at most: 5.4.6.1 allows less than all  \
				*/

struct virtio_rng {
	struct virtio_pci vpci;
	/* options */
	char *file;	    /* NULL: getrandom() */
	uint64_t max_bytes; /* in one period; 0: no limit */
	uint32_t period;    /* ms; 0: 1000 */

	int fd;	       /* of the file; 0 when there is none */
	uint64_t left; /* what may be given before the timer, with a limit */
	bool waiting;  /* for the timer */
	struct loop_timer *timer;
	struct virtq_elem elem;
	uint8_t buf[VIRTIO_RNG_CHUNK];
};

extern const struct dev_class virtio_rng_class;

#endif
