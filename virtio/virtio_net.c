// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio-net: the device, and from the guest.
 *
 * A kick wakes the loop once; all frames that are there go to the back end straight out of guest
 * memory, up to one ring's length, and come back with one store of the index and at most one
 * interrupt. Kicks are off meanwhile.
 *
 * The header of a frame (5.1.6) is the back end's affair where that has use for it: offloads are
 * offered then. Else no offload is, and nothing in a header from the guest means anything: it is
 * not even read, and the one to the guest is zero but for num_buffers.
 *
 * With n->vhost all this is done by the host's kernel, and here is only the control queue.
 */
#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/iov.h"
#include "vmm/vm.h"

#include "virtio_net_priv.h"

#define CTRL_QUEUE_SIZE 64u
#define CLASS_ETHERNET 0x020000u
#define CONFIG_SIZE 12u /* up to and including mtu */
#define MTU_MIN 68u	/* 5.1.4.1 */
#define MTU_MAX 65535u

static struct virtio_net *dev_to_net(struct dev *dev)
{
	return container_of(to_virtio_pci(dev), struct virtio_net, vpci);
}

static struct virtio_net *vdev_to_net(struct virtio_dev *vdev)
{
	return dev_to_net(vdev->dev);
}

/* From the guest. */

/* Sends the buffer in hand. False: the back end is full. */
static bool tx_frame(struct virtio_net *n, unsigned int pair)
{
	struct iovec *iov = virtq_elem_out(&n->tx);
	unsigned int count;

	count = iov_skip(&iov, n->tx.out_count, n->header_size - n->net.header);
	return net_send(&n->net, pair, iov, count);
}

/* One pass over what is there. True when it ended because nothing is left. */
static bool tx_pass(struct virtio_net *n, unsigned int pair, struct virtq *vq, unsigned int *budget)
{
	int ret;

	while (*budget) {
		ret = virtq_pop(vq, &n->tx);
		if (ret <= 0)
			return !ret;
		if (n->tx.out_len < n->header_size) {
			virtq_fail(vq, "frame of %llu bytes, less than its header",
				   (unsigned long long)n->tx.out_len);
			return false;
		}
		if (!tx_frame(n, pair)) {
			virtq_rewind(vq, 1, 0);
			n->pairs[pair].tx_waiting = true;
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

static void tx_run(struct virtio_net *n, unsigned int pair)
{
	struct virtq *vq = virtio_net_tx_queue(n, pair);
	unsigned int budget = vq->size;

	virtq_kick_off(vq);
	while (tx_pass(n, pair, vq, &budget) && virtq_kick_on(vq))
		virtq_kick_off(vq);
	virtq_signal(vq);
	/* The back end may have answered from within. */
	virtio_net_receive_end(n, pair);
}

static void net_send_ready(void *nic, unsigned int pair)
{
	struct virtio_net *n = nic;

	n->pairs[pair].tx_waiting = false;
	if (virtq_running(virtio_net_tx_queue(n, pair)))
		tx_run(n, pair);
}

static void net_link_changed(void *nic, bool up)
{
	struct virtio_net *n = nic;

	(void)up; /* the driver reads it in the configuration */
	virtio_net_vhost_update(n);
	virtio_dev_config_changed(&n->vpci.vdev);
}

static const struct net_peer_ops peer_ops = {
	.receive = virtio_net_receive,
	.receive_end = virtio_net_receive_end,
	.send_ready = net_send_ready,
	.link = net_link_changed,
	.buffers = virtio_net_buffers,
	.filled = virtio_net_filled,
};

/* The virtio device. */

static void net_config_read(struct virtio_dev *vdev, unsigned int offset, void *buf,
			    unsigned int len)
{
	struct virtio_net *n = vdev_to_net(vdev);
	uint8_t config[CONFIG_SIZE];

	memcpy(config, n->guest_mac, sizeof(n->guest_mac));
	put_le16(config + offsetof(struct virtio_net_config, status),
		 net_link_up(&n->net) ? VIRTIO_NET_S_LINK_UP : 0);
	put_le16(config + offsetof(struct virtio_net_config, max_virtqueue_pairs),
		 (uint16_t)n->pair_count);
	put_le16(config + offsetof(struct virtio_net_config, mtu), (uint16_t)n->config.mtu);
	memcpy(buf, config + offset, len);
}

static void net_notify(struct virtio_dev *vdev, struct virtq *vq)
{
	struct virtio_net *n = vdev_to_net(vdev);
	unsigned int pair = vq->index / 2;

	if (vq->index == virtio_net_ctrl_index(n))
		virtio_net_ctrl_run(n, vq);
	else if (pair >= n->active || n->vhost)
		return;
	else if (vq->index % 2 == VIRTIO_NET_RX)
		virtio_net_rx_kicked(n, pair);
	else if (!n->pairs[pair].tx_waiting)
		tx_run(n, pair);
}

static void net_running(struct virtio_dev *vdev, bool running)
{
	struct virtio_net *n = vdev_to_net(vdev);
	bool long_header = virtio_has(vdev, VIRTIO_NET_F_MRG_RXBUF) ||
			   virtio_has(vdev, VIRTIO_F_VERSION_1);
	int ret = 0;

	if (running) {
		n->header_size = long_header ? sizeof(struct virtio_net_hdr_v1) :
					       sizeof(struct virtio_net_hdr);
		ret = virtio_net_set_offloads(n, vdev->acked);
	}
	if (ret) {
		log_limited(vdev->dev->vm->log, &vdev->limit, LOG_WARN,
			    "%s: net=%s does not take what the driver chose: %s", vdev->dev->id,
			    net_config_backend(&n->config), strerror(-ret));
		virtio_dev_needs_reset(vdev);
	}
	virtio_net_vhost_update(n);
}

static void net_irqs_changed(struct virtio_dev *vdev)
{
	virtio_net_vhost_irqs_changed(vdev_to_net(vdev));
}

static void net_reset(struct virtio_dev *vdev)
{
	struct virtio_net *n = vdev_to_net(vdev);
	unsigned int i;

	virtio_net_vhost_reset(n);
	for (i = 0; i < n->pair_count; i++) {
		virtio_net_rx_forget(n, i);
		n->pairs[i].tx_waiting = false;
		net_drop_held(&n->net, i);
	}
	virtio_net_ctrl_reset(n);
}

/* What waits for buffers, or in them, goes with the ring. */
static bool net_queue_reset(struct virtio_dev *vdev, struct virtq *vq, unsigned int ms)
{
	struct virtio_net *n = vdev_to_net(vdev);
	unsigned int pair = vq->index / 2;

	(void)ms;
	if (vq->index == virtio_net_ctrl_index(n) || pair >= n->pair_count)
		return true;
	if (vq->index % 2 == VIRTIO_NET_TX) {
		n->pairs[pair].tx_waiting = false;
		return true;
	}
	virtio_net_rx_forget(n, pair);
	net_drop_held(&n->net, pair);
	return true;
}

static const struct virtio_ops net_ops = {
	.type = VIRTIO_ID_NET,
	.config_size = CONFIG_SIZE,
	.features = BIT64(VIRTIO_NET_F_MAC) | BIT64(VIRTIO_NET_F_STATUS) |
		    BIT64(VIRTIO_NET_F_MRG_RXBUF) | BIT64(VIRTIO_NET_F_CTRL_VQ) |
		    BIT64(VIRTIO_NET_F_CTRL_RX) | BIT64(VIRTIO_NET_F_CTRL_MAC_ADDR) |
		    VIRTIO_FEATURE_IN_ORDER,
	.config_read = net_config_read,
	.notify = net_notify,
	.reset = net_reset,
	.queue_reset = net_queue_reset,
	.running = net_running,
	.irqs_changed = net_irqs_changed,
};

/* What the options and the back end add to it. */
static uint64_t more_features(const struct virtio_net *n)
{
	uint64_t more = 0;

	if (net_has_header(&n->net))
		more |= VIRTIO_NET_HOST_OFFLOADS | VIRTIO_NET_GUEST_OFFLOADS |
			BIT64(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
	if (n->pair_count > 1)
		more |= BIT64(VIRTIO_NET_F_MQ);
	if (n->config.mtu)
		more |= BIT64(VIRTIO_NET_F_MTU);
	if (n->standby)
		more |= BIT64(VIRTIO_NET_F_STANDBY);
	return more;
}

/* The device class. */

static int virtio_net_probe(struct dev *dev, struct err *err)
{
	struct virtio_net *n = dev_to_net(dev);
	int ret = net_check(&n->config, err);

	virtio_pci_describe(&n->vpci, &net_ops, CLASS_ETHERNET);
	return ret ? ret : virtio_net_vhost_check(n, err);
}

/* The pairs, then the control queue; the device has as many as it offers. */
static int make_queues(struct virtio_net *n, struct err *err)
{
	uint16_t sizes[2 * NET_QUEUES_MAX + 1];
	unsigned int i;
	int ret;

	n->pair_count = net_queues(&n->config);
	n->active = 1;
	n->pairs = calloc(n->pair_count, sizeof(*n->pairs));
	if (!n->pairs)
		return err_set(err, -ENOMEM, "no memory for %u pairs of queues", n->pair_count);
	for (i = 0; i < 2 * n->pair_count; i++)
		sizes[i] = VIRTIO_NET_QUEUE_SIZE;
	sizes[i] = CTRL_QUEUE_SIZE;
	ret = virtio_pci_init(&n->vpci, &net_ops, CLASS_ETHERNET, sizes, i + 1, err);
	if (ret)
		return ret;
	if (virtq_elem_init(&n->elem, virtio_net_rx_queue(n, 0)) ||
	    virtq_elem_init(&n->tx, virtio_net_tx_queue(n, 0)))
		return err_set(err, -ENOMEM, "no memory for buffers");
	return 0;
}

static int virtio_net_realize(struct dev *dev, struct err *err)
{
	struct virtio_net *n = dev_to_net(dev);
	int ret;

	if (!n->mac.set)
		net_mac_derive(dev->vm->config.name, dev->id, &n->mac);
	memcpy(n->guest_mac, n->mac.b, sizeof(n->guest_mac));
	ret = make_queues(n, err);
	if (!ret)
		ret = net_open(&n->net, &n->config, dev->vm, dev->id, &dev->lock, &peer_ops, n,
			       err);
	if (ret)
		return ret;
	n->vpci.vdev.offered |= more_features(n);
	ret = virtio_net_vhost_open(n, err);
	return ret ? ret : pci_dev_plug(&n->vpci.pdev, err);
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

	virtio_net_vhost_close(n);
	net_close(&n->net);
	virtio_pci_done(&n->vpci);
	virtq_elem_done(&n->elem);
	virtq_elem_done(&n->tx);
	free(n->pairs);
}

static void virtio_net_describe(struct dev *dev, char *buf, size_t size)
{
	struct virtio_net *n = dev_to_net(dev);
	struct mac_addr mac = n->mac;

	if (!mac.set)
		net_mac_derive(dev->vm->config.name, dev->id, &mac);
	snprintf(buf, size, "%s network, MAC %02x:%02x:%02x:%02x:%02x:%02x",
		 net_config_backend(&n->config), mac.b[0], mac.b[1], mac.b[2], mac.b[3], mac.b[4], mac.b[5]);
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
	{ "queues", OPT_U32, offsetof(struct virtio_net, config.queues), 1, NET_QUEUES_MAX, false,
	  "pairs of queues, for as many of the guest's processors (1); tap has more than one" },
	{ "mtu", OPT_U32, offsetof(struct virtio_net, config.mtu), MTU_MIN, MTU_MAX, false,
	  "largest packet, told to the guest and set on a tap opened here" },
	{ "vhost", OPT_STR, offsetof(struct virtio_net, vhost_mode), 0, 0, false,
	  "tap: on, the host's kernel serves the rings (vhost-net); off; auto (the default), if it can" },
	{ "vhostfd", OPT_U32, offsetof(struct virtio_net, vhostfd), 3, INT32_MAX, false,
	  "an open descriptor of /dev/vhost-net, which is then not opened" },
	{ "standby", OPT_BOOL, offsetof(struct virtio_net, standby), 0, 0, false,
	  "on: stands by for a function with the same address (VIRTIO_NET_F_STANDBY) (off)" },
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
