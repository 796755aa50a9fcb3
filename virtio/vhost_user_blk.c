// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user_blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/vm.h"

#define QUEUE_SIZE 256
#define QUEUES_MAX 64u
#define CLASS_SCSI 0x010000u /* what Linux and firmware know virtio disks by: mass storage */
/* Up to the fields of write zeroes; what follows has features that are not offered. */
#define CONFIG_SIZE offsetof(struct virtio_blk_config, max_secure_erase_sectors)
#define CONFIG_WCE offsetof(struct virtio_blk_config, wce)
#define CONFIG_QUEUES offsetof(struct virtio_blk_config, num_queues)

#define FEATURES                                                                                   \
	(BIT64(VIRTIO_BLK_F_SIZE_MAX) | BIT64(VIRTIO_BLK_F_SEG_MAX) |                              \
	 BIT64(VIRTIO_BLK_F_GEOMETRY) | BIT64(VIRTIO_BLK_F_RO) | BIT64(VIRTIO_BLK_F_BLK_SIZE) |    \
	 BIT64(VIRTIO_BLK_F_FLUSH) | BIT64(VIRTIO_BLK_F_TOPOLOGY) |                                \
	 BIT64(VIRTIO_BLK_F_CONFIG_WCE) | BIT64(VIRTIO_BLK_F_DISCARD) |                            \
	 BIT64(VIRTIO_BLK_F_WRITE_ZEROES))

static struct vhost_user_blk *dev_to_blk(struct dev *dev)
{
	return container_of(to_virtio_pci(dev), struct vhost_user_blk, vpci);
}

static struct vhost_user *vdev_to_vu(struct virtio_dev *vdev)
{
	return &dev_to_blk(vdev->dev)->vu;
}

/* The server's, but for the number of queues, which is this device's. */
static void blk_config_read(struct virtio_dev *vdev, unsigned int offset, void *buf,
			    unsigned int len)
{
	struct vhost_user *vu = vdev_to_vu(vdev);
	uint8_t config[CONFIG_SIZE];

	memcpy(config, vu->hello.config, sizeof(config));
	put_le16(config + CONFIG_QUEUES, vu->queues);
	memcpy(buf, config + offset, len);
}

static void blk_config_write(struct virtio_dev *vdev, unsigned int offset, const void *buf,
			     unsigned int len)
{
	if (offset == CONFIG_WCE && len == 1 && virtio_has(vdev, VIRTIO_BLK_F_CONFIG_WCE))
		vhost_user_config_write(vdev_to_vu(vdev), offset, buf, len);
}

/* The doorbells are the server's: nobody kicks here. */
static void blk_notify(struct virtio_dev *vdev, struct virtq *vq)
{
	(void)vdev;
	(void)vq;
}

static void blk_reset(struct virtio_dev *vdev)
{
	vhost_user_reset(vdev_to_vu(vdev));
}

static void blk_running(struct virtio_dev *vdev, bool running)
{
	vhost_user_running(vdev_to_vu(vdev), running);
}

static void blk_irqs_changed(struct virtio_dev *vdev)
{
	vhost_user_irqs_changed(vdev_to_vu(vdev));
}

static const struct virtio_ops blk_ops = {
	.type = VIRTIO_ID_BLOCK,
	.config_size = CONFIG_SIZE,
	.config_read = blk_config_read,
	.config_write = blk_config_write,
	.notify = blk_notify,
	.reset = blk_reset,
	.running = blk_running,
	.irqs_changed = blk_irqs_changed,
};

/* The device class. */

static int blk_probe(struct dev *dev, struct err *err)
{
	struct vhost_user_blk *b = dev_to_blk(dev);

	virtio_pci_describe(&b->vpci, &blk_ops, CLASS_SCSI);
	return vhost_user_probe(b->socket, err);
}

/* qemu-storage-daemon says 0, write through, of images that it caches all the same; a guest that
 * believes it never flushes. So the server is told what the guest is shown. */
static void write_cache(struct vhost_user_blk *b)
{
	uint8_t on = 1;

	if (!(b->vu.hello.features & BIT64(VIRTIO_BLK_F_CONFIG_WCE)))
		return;
	b->vu.kept = CONFIG_WCE;
	vhost_user_config_write(&b->vu, CONFIG_WCE, &on, 1);
}

static int blk_realize(struct dev *dev, struct err *err)
{
	struct vhost_user_blk *b = dev_to_blk(dev);
	uint16_t sizes[QUEUES_MAX];
	unsigned int i;
	int ret;

	b->vu.path = b->socket;
	b->vu.queues = (uint16_t)(b->queues ? b->queues : 1);
	b->vu.wanted = FEATURES | (b->vu.queues > 1 ? BIT64(VIRTIO_BLK_F_MQ) : 0);
	b->vu.config_size = CONFIG_SIZE;
	ret = vhost_user_open(&b->vu, dev->vm, dev->id, err);
	if (ret)
		return ret;
	for (i = 0; i < b->vu.queues; i++)
		sizes[i] = QUEUE_SIZE;
	ret = virtio_pci_init(&b->vpci, &blk_ops, CLASS_SCSI, sizes, b->vu.queues, err);
	if (!ret)
		ret = vhost_user_bind(&b->vu, &b->vpci.vdev, err);
	if (ret)
		return ret;
	write_cache(b);
	return pci_dev_plug(&b->vpci.pdev, err);
}

static void blk_quiesce(struct dev *dev)
{
	virtio_dev_reset(&dev_to_blk(dev)->vpci.vdev);
}

static void blk_destroy(struct dev *dev)
{
	struct vhost_user_blk *b = dev_to_blk(dev);

	vhost_user_close(&b->vu);
	virtio_pci_done(&b->vpci);
}

static void blk_describe(struct dev *dev, char *buf, size_t size)
{
	snprintf(buf, size, "disk served at %s", dev_to_blk(dev)->socket);
}

static const struct opt_field blk_options[] = {
	{ "socket", OPT_STR, offsetof(struct vhost_user_blk, socket), 0, 0, true,
	  "the server's socket; guest memory must be shared (--memory ...,share=on)" },
	{ "queues", OPT_U32, offsetof(struct vhost_user_blk, queues), 1, QUEUES_MAX, false,
	  "request queues (1); the server must have as many" },
	{ "port", OPT_BOOL, offsetof(struct vhost_user_blk, vpci.pdev.behind_port), 0, 0, false,
	  "on: behind a PCI Express port with hot plug (off)" },
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
	.quiesce = blk_quiesce,
	.destroy = blk_destroy,
	.reset = virtio_pci_reset,
	.read = virtio_pci_read,
	.write = virtio_pci_write,
	.describe = blk_describe,
};
