/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets between the guest and the host (virtio 1.2 clause 5.10), served by the host's kernel: a
 * guest has a number, its CID, and the host is number 2. */
#ifndef VIADUCT_VIRTIO_VHOST_VSOCK_H
#define VIADUCT_VIRTIO_VHOST_VSOCK_H

#include <stdint.h>

#include "vhost.h"
#include "virtio_pci.h"

#define VHOST_VSOCK_PATH "/dev/vhost-vsock"
#define VHOST_VSOCK_MODULE "vhost_vsock"
#define VHOST_VSOCK_CLASS 0x078000u /* communication controller, other */
#define VHOST_VSOCK_RING_SIZE 128
#define VHOST_VSOCK_RINGS 2u /* receive and transmit, the kernel's; the third, events, is ours */

struct vhost_vsock {
	struct virtio_pci vpci;
	uint32_t guest_cid;
	uint32_t vhostfd; /* 0: not given */
	struct vhost vhost;
};

extern const struct dev_class vhost_vsock_class;

#endif
