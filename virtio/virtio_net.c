// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio-net in user space.
 *
 * From the guest: a kick wakes the loop once; all frames that are there go to the back end straight
 * out of guest memory, up to one ring's length, and come back with one store of the index and at
 * most one interrupt. Kicks are off meanwhile.
 *
 * To the guest: the back end hands over a frame, which is copied once, into the guest's buffers.
 * They are published frame by frame and the interrupt follows at the end of the burst. When the
 * buffers do not do, everything taken for this frame is taken back, the guest is asked for a kick
 * and net.c keeps the frame.
 *
 * The header of a frame (5.1.6) is 12 bytes with VERSION_1. No offload is offered, so nothing in a
 * header from the guest means anything and it is not even read; the one to the guest is zero but
 * for num_buffers.
 */
#include "virtio_net.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/iov.h"
#include "vmm/vm.h"

#define QUEUE_SIZE 256
#define HEADER_SIZE sizeof(struct virtio_net_hdr_v1)
#define HEADER_NUM_BUFFERS offsetof(struct virtio_net_hdr_v1, num_buffers)
#define CLASS_ETHERNET 0x020000u

static struct virtio_net *dev_to_net(struct dev *dev)
{
	return container_of(to_virtio_pci(dev), struct virtio_net, vpci);
}

static struct virtio_net *vdev_to_net(struct virtio_dev *vdev)
{
	return dev_to_net(vdev->dev);
}

static struct virtq *net_queue(struct virtio_net *n, unsigned int index)
{
	return &n->vpci.vdev.queues[index];
}

/* To the guest. */

/* A frame on its way into buffers of the guest. */
struct rx_frame {
	struct iov_cursor from;
	size_t left;
	unsigned int buffers;
	uint8_t *num_buffers[2]; /* where the count goes, in the first buffer */
};

static void rx_header(struct rx_frame *f, struct iov_cursor *to)
{
	static const uint8_t zero[HEADER_SIZE];
	struct iovec iov = { (void *)(uintptr_t)zero, HEADER_NUM_BUFFERS };
	struct iov_cursor from;
	void *p = NULL;
	unsigned int i;

	iov_cursor_init(&from, &iov, 1);
	iov_cursor_copy(to, &from, HEADER_NUM_BUFFERS);
	/* Two bytes, which may lie in two descriptors. */
	for (i = 0; i < 2; i++) {
		iov_cursor_next(to, 1, &p);
		f->num_buffers[i] = p;
	}
}

/* Fills the buffer in hand and gives it back, unpublished. -EIO when it is no buffer to receive
 * into; -EMSGSIZE when the frame must fit it and does not. */
static int rx_buffer(struct virtio_net *n, struct virtq *vq, struct rx_frame *f)
{
	size_t header = f->buffers ? 0 : HEADER_SIZE, copied;
	struct virtq_elem *e = &n->rx;
	struct iov_cursor to;

	if (e->in_len < HEADER_SIZE)
		return virtq_fail(vq, "receive buffer of %llu bytes",
				  (unsigned long long)e->in_len);
	if (!virtio_has(&n->vpci.vdev, VIRTIO_NET_F_MRG_RXBUF) && e->in_len - header < f->left)
		return -EMSGSIZE;
	iov_cursor_init(&to, virtq_elem_in(e), e->in_count);
	if (header)
		rx_header(f, &to);
	copied = iov_cursor_copy(&to, &f->from, f->left);
	f->left -= copied;
	f->buffers++;
	virtq_push(vq, e, (uint32_t)(header + copied));
	return 0;
}

static bool rx_drop(struct virtio_net *n, struct virtq *vq, unsigned int pops, unsigned int pushes,
		    const char *why)
{
	struct virtio_dev *vdev = &n->vpci.vdev;

	virtq_rewind(vq, pops, pushes);
	n->net.rx_dropped++;
	log_limited(vdev->dev->vm->log, &vdev->limit, LOG_DEBUG, "%s: frame dropped: %s",
		    vdev->dev->id, why);
	return true;
}

/* False when the guest has not enough buffers: nothing has happened then. */
static bool rx_fill(struct virtio_net *n, struct virtq *vq, struct rx_frame *f)
{
	int ret;

	while (f->left) {
		/* It cannot fit, however long one waits. */
		if (f->buffers == vq->size)
			return rx_drop(n, vq, f->buffers, f->buffers, "larger than all buffers");
		ret = virtq_pop(vq, &n->rx);
		if (!ret) {
			/* Asked before buffers are taken back: the kick must come for new ones. */
			if (virtq_kick_on(vq))
				continue;
			if (vq->broken)
				return true;
			virtq_rewind(vq, f->buffers, f->buffers);
			n->rx_waiting = true;
			return false;
		}
		if (ret > 0)
			ret = rx_buffer(n, vq, f);
		if (ret == -EMSGSIZE)
			return rx_drop(n, vq, 1, 0, "larger than the buffer");
		if (ret)
			return true; /* the queue is broken and has been reported */
	}
	return true;
}

static void rx_finish(struct virtq *vq, struct rx_frame *f)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		if (f->num_buffers[i])
			*f->num_buffers[i] = (uint8_t)(f->buffers >> 8 * i);
	virtq_publish(vq);
}

static bool net_receive(void *nic, const struct iovec *iov, unsigned int count)
{
	struct virtio_net *n = nic;
	struct virtq *vq = net_queue(n, VIRTIO_NET_RX);
	struct rx_frame f = { .left = iov_size(iov, count) };

	if (!virtq_running(vq)) {
		n->net.rx_dropped++;
		return true;
	}
	if (n->rx_waiting)
		return false;
	iov_cursor_init(&f.from, iov, count);
	if (!rx_fill(n, vq, &f))
		return false;
	if (f.left || vq->broken)
		return true;
	rx_finish(vq, &f);
	return true;
}

static void net_receive_end(void *nic)
{
	struct virtq *vq = net_queue(nic, VIRTIO_NET_RX);

	if (virtq_running(vq))
		virtq_signal(vq);
}

static void rx_kicked(struct virtio_net *n, struct virtq *vq)
{
	virtq_kick_off(vq);
	n->rx_waiting = false;
	net_ready(&n->net);
}

/* From the guest. */

/* Sends the buffer in hand. False: the back end is full. */
static bool tx_frame(struct virtio_net *n)
{
	struct iovec *iov = virtq_elem_out(&n->tx);
	unsigned int count;

	count = iov_skip(&iov, n->tx.out_count, HEADER_SIZE);
	return net_send(&n->net, iov, count);
}

/* One pass over what is there. True when it ended because nothing is left. */
static bool tx_pass(struct virtio_net *n, struct virtq *vq, unsigned int *budget)
{
	int ret;

	while (*budget) {
		ret = virtq_pop(vq, &n->tx);
		if (ret <= 0)
			return !ret;
		if (n->tx.out_len < HEADER_SIZE) {
			virtq_fail(vq, "frame of %llu bytes, less than its header",
				   (unsigned long long)n->tx.out_len);
			return false;
		}
		if (!tx_frame(n)) {
			virtq_rewind(vq, 1, 0);
			n->tx_waiting = true;
			return false;
		}
		virtq_push(vq, &n->tx, 0);
		(*budget)--;
	}
	/* Others have a turn; then go on, if there is anything to go on with. */
	if (virtq_kick_on(vq)) {
		virtq_kick_off(vq);
		virtq_kick_again(vq);
	}
	return false;
}

static void tx_run(struct virtio_net *n, struct virtq *vq)
{
	unsigned int budget = vq->size;

	virtq_kick_off(vq);
	while (tx_pass(n, vq, &budget) && virtq_kick_on(vq))
		virtq_kick_off(vq);
	virtq_signal(vq);
	/* The back end may have answered from within. */
	net_receive_end(n);
}

static void net_send_ready(void *nic)
{
	struct virtio_net *n = nic;
	struct virtq *vq = net_queue(n, VIRTIO_NET_TX);

	n->tx_waiting = false;
	if (virtq_running(vq))
		tx_run(n, vq);
}

static void net_link_changed(void *nic, bool up)
{
	struct virtio_net *n = nic;

	(void)up; /* the driver reads it in the configuration */
	virtio_dev_config_changed(&n->vpci.vdev);
}

static const struct net_peer_ops peer_ops = {
	.receive = net_receive,
	.receive_end = net_receive_end,
	.send_ready = net_send_ready,
	.link = net_link_changed,
};

/* The virtio device. */

static void net_config_read(struct virtio_dev *vdev, unsigned int offset, void *buf,
			    unsigned int len)
{
	struct virtio_net *n = vdev_to_net(vdev);
	uint8_t config[8];

	memcpy(config, n->mac.b, sizeof(n->mac.b));
	put_le16(config + offsetof(struct virtio_net_config, status),
		 net_link_up(&n->net) ? VIRTIO_NET_S_LINK_UP : 0);
	memcpy(buf, config + offset, len);
}

static void net_notify(struct virtio_dev *vdev, struct virtq *vq)
{
	struct virtio_net *n = vdev_to_net(vdev);

	if (vq->index == VIRTIO_NET_RX)
		rx_kicked(n, vq);
	else if (!n->tx_waiting)
		tx_run(n, vq);
}

static void net_reset(struct virtio_dev *vdev)
{
	struct virtio_net *n = vdev_to_net(vdev);

	n->rx_waiting = false;
	n->tx_waiting = false;
	net_drop_held(&n->net);
}

/* A frame that waits for buffers goes with the ring that it waits for. */
static void net_queue_reset(struct virtio_dev *vdev, struct virtq *vq)
{
	struct virtio_net *n = vdev_to_net(vdev);

	if (vq->index == VIRTIO_NET_TX) {
		n->tx_waiting = false;
		return;
	}
	n->rx_waiting = false;
	net_drop_held(&n->net);
}

static const struct virtio_ops net_ops = {
	.type = VIRTIO_ID_NET,
	.config_size = 8, /* up to and including status: the rest has features of its own */
	.features = BIT64(VIRTIO_NET_F_MAC) | BIT64(VIRTIO_NET_F_STATUS) |
		    BIT64(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_FEATURE_IN_ORDER,
	.config_read = net_config_read,
	.notify = net_notify,
	.reset = net_reset,
	.queue_reset = net_queue_reset,
};

/* The device class. */

static int virtio_net_probe(struct dev *dev, struct err *err)
{
	struct virtio_net *n = dev_to_net(dev);

	virtio_pci_describe(&n->vpci, &net_ops, CLASS_ETHERNET);
	return net_check(&n->config, err);
}

static int virtio_net_realize(struct dev *dev, struct err *err)
{
	static const uint16_t sizes[VIRTIO_NET_QUEUES] = { QUEUE_SIZE, QUEUE_SIZE };
	struct virtio_net *n = dev_to_net(dev);
	int ret;

	if (!n->mac.set)
		net_mac_derive(dev->vm->config.name, dev->id, &n->mac);
	ret = virtio_pci_init(&n->vpci, &net_ops, CLASS_ETHERNET, sizes, VIRTIO_NET_QUEUES, err);
	if (ret)
		return ret;
	if (virtq_elem_init(&n->rx, net_queue(n, VIRTIO_NET_RX)) ||
	    virtq_elem_init(&n->tx, net_queue(n, VIRTIO_NET_TX)))
		return err_set(err, -ENOMEM, "no memory for buffers");
	ret = net_open(&n->net, &n->config, dev->vm, dev->id, &dev->lock, &peer_ops, n, err);
	if (ret)
		return ret;
	return pci_dev_plug(&n->vpci.pdev, err);
}

static void virtio_net_quiesce(struct dev *dev)
{
	struct virtio_net *n = dev_to_net(dev);

	virtio_dev_reset(&n->vpci.vdev);
	net_close(&n->net);
}

static void virtio_net_destroy(struct dev *dev)
{
	struct virtio_net *n = dev_to_net(dev);

	net_close(&n->net);
	virtio_pci_done(&n->vpci);
	virtq_elem_done(&n->rx);
	virtq_elem_done(&n->tx);
}

static void virtio_net_describe(struct dev *dev, char *buf, size_t size)
{
	struct virtio_net *n = dev_to_net(dev);
	struct mac_addr mac = n->mac;

	if (!mac.set)
		net_mac_derive(dev->vm->config.name, dev->id, &mac);
	snprintf(buf, size, "%s network, MAC %02x:%02x:%02x:%02x:%02x:%02x", net_config_backend(&n->config),
		 mac.b[0], mac.b[1], mac.b[2], mac.b[3], mac.b[4], mac.b[5]);
}

static int virtio_net_set_link(struct dev *dev, bool up, struct err *err)
{
	(void)err;
	net_set_link(&dev_to_net(dev)->net, up);
	return 0;
}

static const struct dev_control virtio_net_control = { .set_link = virtio_net_set_link };

static const struct opt_field virtio_net_options[] = {
	{ "mac", OPT_MAC, offsetof(struct virtio_net, mac), 0, 0, false,
	  "address; derived from the guest's name and the device's id when not given" },
	NET_OPTIONS(struct virtio_net, config),
	VIRTIO_PCI_OPTIONS(struct virtio_net, vpci),
	OPT_END,
};

const struct dev_class virtio_net_class = {
	.name = "virtio-net",
	.help = "network card of virtio 1.2",
	.size = sizeof(struct virtio_net),
	.options = virtio_net_options,
	.pci = &virtio_pci_ops,
	.probe = virtio_net_probe,
	.realize = virtio_net_realize,
	.quiesce = virtio_net_quiesce,
	.destroy = virtio_net_destroy,
	.reset = virtio_pci_reset,
	.read = virtio_pci_read,
	.write = virtio_pci_write,
	.describe = virtio_net_describe,
	.control = &virtio_net_control,
};
