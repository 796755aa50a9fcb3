/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network device, virtio 1.2 clause 5.1: up to NET_QUEUES_MAX pairs of queues, mergeable
 * receive buffers, a control queue, and checksums and segmentation left to the back end where that
 * can do them. Where the host has vhost-net its kernel serves the rings of a tap.
 */
#ifndef VIADUCT_VIRTIO_VIRTIO_NET_H
#define VIADUCT_VIRTIO_VIRTIO_NET_H

#include "base/opt.h"
#include "vmm/net.h"
#include "vmm/net_options.h"

#include "virtio_pci.h"

/* The queues of the first pair (5.1.2). */
enum { VIRTIO_NET_RX, VIRTIO_NET_TX };

#define VIRTIO_NET_QUEUE_SIZE 256u
#define VIRTIO_NET_RX_IOV (2u * VIRTIO_NET_QUEUE_SIZE)

/* A buffer to receive into that was taken from the ring. */
struct virtio_net_buffer {
	uint16_t id;
	uint16_t iov_count;
	uint32_t len;
};

/* Those at hand, oldest first: taken when there is time, given back when a frame is in them. */
struct virtio_net_pool {
	struct virtio_net_buffer buffer[VIRTIO_NET_QUEUE_SIZE];
	unsigned int head, count;
	struct iovec iov[VIRTIO_NET_RX_IOV];
	unsigned int iov_head, iov_count;
	uint64_t bytes;
};

struct virtio_net_pair {
	struct virtio_net_pool pool;
	bool rx_waiting; /* for buffers of the guest's */
	bool tx_waiting; /* the back end is full: the queue stands */
};

struct virtio_net_vhost; /* virtio_net_vhost.c */

struct virtio_net {
	struct virtio_pci vpci;
	/* options */
	struct mac_addr mac;
	struct net_config config;
	char *vhost_mode; /* "on", "off", "auto"; NULL: auto */
	uint32_t vhostfd;
	bool standby;

	struct net net;
	/* The buffers in hand: nothing is allocated for a frame. The one that is sent is its own, for a
	 * back end may answer from within. */
	struct virtq_elem elem, tx;
	struct virtio_net_pair *pairs;
	unsigned int pair_count;
	unsigned int active;	  /* pairs that the driver uses (5.1.6.5.5) */
	unsigned int header_size; /* of each frame, 5.1.6 */
	struct net_filter filter; /* own address excepted */
	uint8_t guest_mac[6];
	struct virtio_net_vhost *vhost; /* one for each pair; NULL: the rings are served here */
};

extern const struct dev_class virtio_net_class;

#endif
