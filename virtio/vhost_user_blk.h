/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk that another process serves: virtio 1.2 clause 5.2 to the guest, vhost-user to the server,
 * such as qemu-storage-daemon with an image of any format, or SPDK. What the disk is, the server
 * says.
 */
#ifndef VIADUCT_VIRTIO_VHOST_USER_BLK_H
#define VIADUCT_VIRTIO_VHOST_USER_BLK_H

#include "vhost_user_pci.h"

struct vhost_user_blk {
	struct vhost_user_pci vup;
	uint32_t queues; /* an option; 0: one */
};

extern const struct dev_class vhost_user_blk_class;

#endif
