// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user_blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/vm.h"

#include "virtio_blk.h"

#define FEATURES                                                                                   \
	(BIT64(VIRTIO_BLK_F_SIZE_MAX) | BIT64(VIRTIO_BLK_F_SEG_MAX) |                              \
	 BIT64(VIRTIO_BLK_F_GEOMETRY) | BIT64(VIRTIO_BLK_F_RO) | BIT64(VIRTIO_BLK_F_BLK_SIZE) |    \
	 BIT64(VIRTIO_BLK_F_FLUSH) | BIT64(VIRTIO_BLK_F_TOPOLOGY) |                                \
	 BIT64(VIRTIO_BLK_F_CONFIG_WCE) | BIT64(VIRTIO_BLK_F_DISCARD) |                            \
	 BIT64(VIRTIO_BLK_F_WRITE_ZEROES))

static struct vhost_user_blk *dev_to_blk(struct dev *dev)
{
	return container_of(to_vhost_user_pci(dev), struct vhost_user_blk, vup);
}

static struct vhost_user *vdev_to_vu(struct virtio_dev *vdev)
{
	return &dev_to_blk(vdev->dev)->vup.vu;
}

/* The server's, but for the number of queues, which is this device's. */
static void blk_config_read(struct virtio_dev *vdev, unsigned int offset, void *buf,
			    unsigned int len)
{
	struct vhost_user *vu = vdev_to_vu(vdev);
	uint8_t config[VIRTIO_BLK_CONFIG_SIZE];

	memcpy(config, vu->hello.config, sizeof(config));
	put_le16(config + VIRTIO_BLK_CONFIG_QUEUES, vu->queues);
	memcpy(buf, config + offset, len);
}

static void blk_config_write(struct virtio_dev *vdev, unsigned int offset, const void *buf,
			     unsigned int len)
{
	if (offset == VIRTIO_BLK_CONFIG_WCE && len == 1 &&
	    virtio_has(vdev, VIRTIO_BLK_F_CONFIG_WCE))
		vhost_user_config_write(vdev_to_vu(vdev), offset, buf, len);
}

static const struct virtio_ops blk_ops = {
	.type = VIRTIO_ID_BLOCK,
	.config_size = VIRTIO_BLK_CONFIG_SIZE,
	.config_read = blk_config_read,
	.config_write = blk_config_write,
	.notify = vhost_user_pci_notify,
	.reset = vhost_user_pci_reset,
	.running = vhost_user_pci_running,
	.irqs_changed = vhost_user_pci_irqs_changed,
};

/* The device class. */

static int blk_probe(struct dev *dev, struct err *err)
{
	return vhost_user_pci_probe(dev, &blk_ops, VIRTIO_BLK_CLASS, err);
}

/* qemu-storage-daemon says 0, write through, of images that it caches all the same; a guest that
 * believes it never flushes. So the server is told what the guest is shown. */
static void write_cache(struct vhost_user *vu)
{
	uint8_t on = 1;

	if (!(vu->hello.features & BIT64(VIRTIO_BLK_F_CONFIG_WCE)))
		return;
	vu->kept = VIRTIO_BLK_CONFIG_WCE;
	vhost_user_config_write(vu, VIRTIO_BLK_CONFIG_WCE, &on, 1);
}

static int blk_realize(struct dev *dev, struct err *err)
{
	struct vhost_user_blk *b = dev_to_blk(dev);
	struct vhost_user *vu = &b->vup.vu;
	int ret;

	vu->queues = (uint16_t)(b->queues ? b->queues : 1);
	vu->wanted = FEATURES | (vu->queues > 1 ? BIT64(VIRTIO_BLK_F_MQ) : 0);
	vu->config_size = VIRTIO_BLK_CONFIG_SIZE;
	ret = vhost_user_pci_init(&b->vup, &blk_ops, VIRTIO_BLK_CLASS, err);
	if (ret)
		return ret;
	write_cache(vu);
	return pci_dev_plug(&b->vup.vpci.pdev, err);
}

static void blk_describe(struct dev *dev, char *buf, size_t size)
{
	snprintf(buf, size, "disk served at %s", to_vhost_user_pci(dev)->socket);
}

static const struct opt_field blk_options[] = {
	VHOST_USER_PCI_OPTIONS,
	{ "queues", OPT_U32, offsetof(struct vhost_user_blk, queues), 1, VIRTIO_BLK_QUEUES_MAX,
	  false, "request queues (1); the server must have as many" },
	OPT_END,
};

const struct dev_class vhost_user_blk_class = {
	.name = "vhost-user-blk",
	.help = "disk of virtio 1.2 that another process serves, such as qemu-storage-daemon",
	.size = sizeof(struct vhost_user_blk),
	.options = blk_options,
	.pci = &virtio_pci_ops,
	.probe = blk_probe,
	.realize = blk_realize,
	.quiesce = vhost_user_pci_quiesce,
	.destroy = vhost_user_pci_destroy,
	.reset = virtio_pci_reset,
	.read = virtio_pci_read,
	.write = virtio_pci_write,
	.describe = blk_describe,
};
