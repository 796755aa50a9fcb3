/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network card that another process serves: virtio 1.2 clause 5.1 to the guest, vhost-user to the
 * server, such as a switch of DPDK or Open vSwitch. One pair of queues. The link is up while
 * somebody serves.
 */
#ifndef VIADUCT_VIRTIO_VHOST_USER_NET_H
#define VIADUCT_VIRTIO_VHOST_USER_NET_H

#include "base/opt.h"

#include "vhost_user_pci.h"

struct vhost_user_net {
	struct vhost_user_pci vup;
	struct mac_addr mac; /* an option */
};

extern const struct dev_class vhost_user_net_class;

#endif
