/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network device, virtio 1.2 clause 5.1: one pair of queues, mergeable receive buffers, no
 * offloads.
 */
#ifndef VIADUCT_VIRTIO_VIRTIO_NET_H
#define VIADUCT_VIRTIO_VIRTIO_NET_H

#include "base/opt.h"
#include "vmm/net.h"
#include "vmm/net_options.h"

#include "virtio_pci.h"

enum { VIRTIO_NET_RX, VIRTIO_NET_TX, VIRTIO_NET_QUEUES };

struct virtio_net {
	struct virtio_pci vpci;
	/* options */
	struct mac_addr mac;
	struct net_config config;

	struct net net;
	struct virtq_elem rx, tx; /* the buffers in hand: nothing is allocated for a frame */
	bool rx_waiting; /* a frame is kept until the guest gives buffers */
	bool tx_waiting; /* the back end is full: the queue stands */
};

extern const struct dev_class virtio_net_class;

#endif
