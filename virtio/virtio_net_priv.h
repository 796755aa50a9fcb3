/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of virtio-net. Everything runs with the device's lock held, but for check, open
 * and close. */
#ifndef VIADUCT_VIRTIO_VIRTIO_NET_PRIV_H
#define VIADUCT_VIRTIO_VIRTIO_NET_PRIV_H

#include <linux/virtio_net.h>

#include "base/util.h"
#include "virtio_net.h"

struct err;

/* Before the back end's checksum and segmentation work (5.1.3). */
#define VIRTIO_NET_GUEST_OFFLOADS                                                                  \
	(BIT64(VIRTIO_NET_F_GUEST_CSUM) | BIT64(VIRTIO_NET_F_GUEST_TSO4) |                         \
	 BIT64(VIRTIO_NET_F_GUEST_TSO6) | BIT64(VIRTIO_NET_F_GUEST_ECN))
#define VIRTIO_NET_HOST_OFFLOADS                                                                   \
	(BIT64(VIRTIO_NET_F_CSUM) | BIT64(VIRTIO_NET_F_HOST_TSO4) |                                \
	 BIT64(VIRTIO_NET_F_HOST_TSO6) | BIT64(VIRTIO_NET_F_HOST_ECN))

static inline struct virtq *virtio_net_rx_queue(struct virtio_net *n, unsigned int pair)
{
	return &n->vpci.vdev.queues[2ul * pair];
}

static inline struct virtq *virtio_net_tx_queue(struct virtio_net *n, unsigned int pair)
{
	return &n->vpci.vdev.queues[2ul * pair + 1];
}

/* The control queue's index (5.1.2): behind all pairs if the driver knows of more than one. */
unsigned int virtio_net_ctrl_index(const struct virtio_net *n);

/* virtio_net_rx.c: net_peer_ops. */
bool virtio_net_receive(void *nic, unsigned int pair, const struct iovec *iov, unsigned int count);
void virtio_net_receive_end(void *nic, unsigned int pair);
int virtio_net_buffers(void *nic, unsigned int pair, struct iovec *iov, unsigned int max);
void virtio_net_filled(void *nic, unsigned int pair, size_t len);
/* The guest has made buffers available. */
void virtio_net_rx_kicked(struct virtio_net *n, unsigned int pair);
/* Forgets the buffers at hand: the queue was reset. */
void virtio_net_rx_forget(struct virtio_net *n, unsigned int pair);

/* virtio_net_ctrl.c: commands that are there. */
void virtio_net_ctrl_run(struct virtio_net *n, struct virtq *vq);
/* As after a reset. */
void virtio_net_ctrl_reset(struct virtio_net *n);
/* Tells the back end what @features (a subset of VIRTIO_NET_GUEST_OFFLOADS) make possible. 0 or
 * -errno. */
int virtio_net_set_offloads(struct virtio_net *n, uint64_t features);

/* virtio_net_vhost.c: the rings in the host's kernel. */

/* Do the options fit? 0 or -EINVAL. */
int virtio_net_vhost_check(const struct virtio_net *n, struct err *err);
/* The back end is open, the queues are there, n->vpci.vdev.offered is what this file could do. When
 * the kernel is to serve the rings and can, n->vhost is set and the offer is made to fit. 0, with
 * n->vhost NULL and the reason in the log where it cannot and need not; or -errno. */
int virtio_net_vhost_open(struct virtio_net *n, struct err *err);
void virtio_net_vhost_close(struct virtio_net *n);
/* Driver, link or pairs changed: the kernel serves what it is to serve now. */
void virtio_net_vhost_update(struct virtio_net *n);
void virtio_net_vhost_irqs_changed(struct virtio_net *n);
void virtio_net_vhost_reset(struct virtio_net *n);

#endif
