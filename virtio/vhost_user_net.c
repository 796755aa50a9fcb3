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
	return container_of(to_vhost_user_pci(dev), struct vhost_user_net, vup);
}

static void net_config_read(struct virtio_dev *vdev, unsigned int offset, void *buf,
			    unsigned int len)
{
	struct vhost_user_net *n = dev_to_net(vdev->dev);
	uint8_t config[CONFIG_SIZE];

	memcpy(config, n->mac.b, sizeof(n->mac.b));
	put_le16(config + offsetof(struct virtio_net_config, status),
		 n->vup.vu.hello.fd >= 0 ? VIRTIO_NET_S_LINK_UP : 0);
	memcpy(buf, config + offset, len);
}

static const struct virtio_ops net_ops = {
	.type = VIRTIO_ID_NET,
	.config_size = CONFIG_SIZE,
	.config_read = net_config_read,
	.notify = vhost_user_pci_notify,
	.reset = vhost_user_pci_reset,
	.running = vhost_user_pci_running,
	.irqs_changed = vhost_user_pci_irqs_changed,
};

/* The device class. */

static int net_probe(struct dev *dev, struct err *err)
{
	return vhost_user_pci_probe(dev, &net_ops, CLASS_ETHERNET, err);
}

static int net_realize(struct dev *dev, struct err *err)
{
	struct vhost_user_net *n = dev_to_net(dev);
	struct vhost_user *vu = &n->vup.vu;
	int ret;

	if (!n->mac.set)
		net_mac_derive(dev->vm->config.name, dev->id, &n->mac);
	vu->rings_each = QUEUES;
	vu->queues = QUEUES;
	vu->wanted = FEATURES_THEIRS;
	if (n->vup.vpci.packed)
		vu->wanted |= BIT64(VIRTIO_F_RING_PACKED);
	vu->added = FEATURES_OURS;
	vu->frames = true;
	ret = vhost_user_pci_init(&n->vup, &net_ops, CLASS_ETHERNET, err);
	return ret ? ret : pci_dev_plug(&n->vup.vpci.pdev, err);
}

static void net_describe(struct dev *dev, char *buf, size_t size)
{
	struct vhost_user_net *n = dev_to_net(dev);
	struct mac_addr mac = n->mac;

	if (!mac.set)
		net_mac_derive(dev->vm->config.name, dev->id, &mac);
	snprintf(buf, size, "network served at %s, MAC %02x:%02x:%02x:%02x:%02x:%02x",
		 n->vup.socket, mac.b[0], mac.b[1], mac.b[2], mac.b[3], mac.b[4], mac.b[5]);
}

static const struct opt_field net_options[] = {
	VHOST_USER_PCI_OPTIONS,
	{ "packed", OPT_BOOL, offsetof(struct vhost_user_net, vup.vpci.packed), 0, 0, false,
	  "on: packed rings are offered too, which go on at a next server only after a reset by "
	  "the driver (off)" },
	{ "mac", OPT_MAC, offsetof(struct vhost_user_net, mac), 0, 0, false,
	  "address; derived from the guest's name and the device's id when not given" },
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
	.quiesce = vhost_user_pci_quiesce,
	.destroy = vhost_user_pci_destroy,
	.reset = virtio_pci_reset,
	.read = virtio_pci_read,
	.write = virtio_pci_write,
	.describe = net_describe,
};
