/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The entropy device, virtio 1.2 clause 5.4: the host kernel's random numbers. */
#ifndef VIADUCT_VIRTIO_VIRTIO_RNG_H
#define VIADUCT_VIRTIO_VIRTIO_RNG_H

#include "virtio_pci.h"

struct loop_timer;

struct virtio_rng {
	struct virtio_pci vpci;
	uint64_t rate; /* an option: bytes a second; 0: no limit */

	struct virtq_elem elem;	  /* the buffer in hand */
	struct loop_timer *timer; /* with a rate: gives the next share */
	uint64_t share;		  /* bytes that are left of this one */
	bool waiting;		  /* for the timer */
};

extern const struct dev_class virtio_rng_class;

#endif
