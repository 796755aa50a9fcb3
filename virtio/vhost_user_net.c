// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user_net.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/net.h"
#include "vmm/vm.h"

#define QUEUE_SIZE 256
#define QUEUES 2u
#define CLASS_ETHERNET 0x020000u
/* The address and the link's state are this device's; all else in the configuration belongs to
 * features that are not offered. */
#define CONFIG_SIZE 8u
#define FEATURES_OURS (BIT64(VIRTIO_NET_F_MAC) | BIT64(VIRTIO_NET_F_STATUS))
#define FEATURES_THEIRS                                                                            \
	(BIT64(VIRTIO_NET_F_MRG_RXBUF) | BIT64(VIRTIO_NET_F_CSUM) |                                \
	 BIT64(VIRTIO_NET_F_GUEST_CSUM) | BIT64(VIRTIO_NET_F_GUEST_TSO4) |                         \
	 BIT64(VIRTIO_NET_F_GUEST_TSO6) | BIT64(VIRTIO_NET_F_GUEST_ECN) |                          \
	 BIT64(VIRTIO_NET_F_HOST_TSO4) | BIT64(VIRTIO_NET_F_HOST_TSO6) |                           \
	 BIT64(VIRTIO_NET_F_HOST_ECN))

static struct vhost_user_net *dev_to_net(struct dev *dev)
{
	return container_of(to_virtio_pci(dev), struct vhost_user_net, vpci);
}

static struct vhost_user *vdev_to_vu(struct virtio_dev *vdev)
{
	return &dev_to_net(vdev->dev)->vu;
}

static void net_config_read(struct virtio_dev *vdev, unsigned int offset, void *buf,
			    unsigned int len)
{
	struct vhost_user_net *n = dev_to_net(vdev->dev);
	uint8_t config[CONFIG_SIZE];

	memcpy(config, n->mac.b, sizeof(n->mac.b));
	put_le16(config + offsetof(struct virtio_net_config, status),
		 n->vu.hello.fd >= 0 ? VIRTIO_NET_S_LINK_UP : 0);
	memcpy(buf, config + offset, len);
}

/* The doorbells are the server's: nobody kicks here. */
static void net_notify(struct virtio_dev *vdev, struct virtq *vq)
{
	(void)vdev;
	(void)vq;
}

static void net_reset(struct virtio_dev *vdev)
{
	vhost_user_reset(vdev_to_vu(vdev));
}

static void net_running(struct virtio_dev *vdev, bool running)
{
	vhost_user_running(vdev_to_vu(vdev), running);
}

static void net_irqs_changed(struct virtio_dev *vdev)
{
	vhost_user_irqs_changed(vdev_to_vu(vdev));
}

static const struct virtio_ops net_ops = {
	.type = VIRTIO_ID_NET,
	.config_size = CONFIG_SIZE,
	.config_read = net_config_read,
	.notify = net_notify,
	.reset = net_reset,
	.running = net_running,
	.irqs_changed = net_irqs_changed,
};

/* The device class. */

static int net_probe(struct dev *dev, struct err *err)
{
	struct vhost_user_net *n = dev_to_net(dev);

	virtio_pci_describe(&n->vpci, &net_ops, CLASS_ETHERNET);
	return vhost_user_probe(n->socket, err);
}

static int net_realize(struct dev *dev, struct err *err)
{
	static const uint16_t sizes[QUEUES] = { QUEUE_SIZE, QUEUE_SIZE };
	struct vhost_user_net *n = dev_to_net(dev);
	int ret;

	if (!n->mac.set)
		net_mac_derive(dev->vm->config.name, dev->id, &n->mac);
	n->vu.path = n->socket;
	n->vu.rings_each = QUEUES;
	n->vu.queues = QUEUES;
	n->vu.wanted = FEATURES_THEIRS;
	n->vu.added = FEATURES_OURS;
	n->vu.frames = true;
	ret = vhost_user_open(&n->vu, dev->vm, dev->id, err);
	if (!ret)
		ret = virtio_pci_init(&n->vpci, &net_ops, CLASS_ETHERNET, sizes, QUEUES, err);
	if (!ret)
		ret = vhost_user_bind(&n->vu, &n->vpci.vdev, err);
	return ret ? ret : pci_dev_plug(&n->vpci.pdev, err);
}

static void net_quiesce(struct dev *dev)
{
	virtio_dev_reset(&dev_to_net(dev)->vpci.vdev);
}

static void net_destroy(struct dev *dev)
{
	struct vhost_user_net *n = dev_to_net(dev);

	vhost_user_close(&n->vu);
	virtio_pci_done(&n->vpci);
}

static void net_describe(struct dev *dev, char *buf, size_t size)
{
	struct vhost_user_net *n = dev_to_net(dev);
	struct mac_addr mac = n->mac;

	if (!mac.set)
		net_mac_derive(dev->vm->config.name, dev->id, &mac);
	snprintf(buf, size, "network served at %s, MAC %02x:%02x:%02x:%02x:%02x:%02x", n->socket,
		 mac.b[0], mac.b[1], mac.b[2], mac.b[3], mac.b[4], mac.b[5]);
}

static const struct opt_field net_options[] = {
	{ "socket", OPT_STR, offsetof(struct vhost_user_net, socket), 0, 0, true,
	  "the server's socket; guest memory must be shared (--memory ...,share=on)" },
	{ "mac", OPT_MAC, offsetof(struct vhost_user_net, mac), 0, 0, false,
	  "address; derived from the guest's name and the device's id when not given" },
	{ "port", OPT_BOOL, offsetof(struct vhost_user_net, vpci.pdev.behind_port), 0, 0, false,
	  "on: behind a PCI Express port with hot plug (off)" },
	OPT_END,
};

const struct dev_class vhost_user_net_class = {
	.name = "vhost-user-net",
	.help = "network card of virtio 1.2 that another process serves, such as a DPDK switch",
	.size = sizeof(struct vhost_user_net),
	.options = net_options,
	.pci = &virtio_pci_ops,
	.probe = net_probe,
	.realize = net_realize,
	.quiesce = net_quiesce,
	.destroy = net_destroy,
	.reset = virtio_pci_reset,
	.read = virtio_pci_read,
	.write = virtio_pci_write,
	.describe = net_describe,
};
