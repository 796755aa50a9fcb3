// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user_pci.h"

#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/vm.h"

#define QUEUES_MAX 64u

static struct vhost_user *vdev_to_vu(struct virtio_dev *vdev)
{
	return &to_vhost_user_pci(vdev->dev)->vu;
}

int vhost_user_pci_probe(struct dev *dev, const struct virtio_ops *ops, uint32_t class_code,
			 struct err *err)
{
	struct vhost_user_pci *vup = to_vhost_user_pci(dev);

	virtio_pci_describe(&vup->vpci, ops, class_code);
	if (access(vup->socket, F_OK))
		return err_sys(err, -errno, "%s: nobody serves vhost-user there", vup->socket);
	return 0;
}

int vhost_user_pci_init(struct vhost_user_pci *vup, const struct virtio_ops *ops,
			uint32_t class_code, struct err *err)
{
	struct dev *dev = &vup->vpci.pdev.dev;
	uint16_t sizes[QUEUES_MAX];
	unsigned int i;
	int ret;

	vup->vu.path = vup->socket;
	ret = vhost_user_open(&vup->vu, dev->vm, dev->id, err);
	if (ret)
		return ret;
	for (i = 0; i < vup->vu.queues && i < QUEUES_MAX; i++)
		sizes[i] = VHOST_USER_PCI_RING_SIZE;
	ret = virtio_pci_init(&vup->vpci, ops, class_code, sizes, i, err);
	return ret ? ret : vhost_user_bind(&vup->vu, &vup->vpci.vdev, err);
}

void vhost_user_pci_quiesce(struct dev *dev)
{
	virtio_dev_reset(&to_virtio_pci(dev)->vdev);
}

void vhost_user_pci_destroy(struct dev *dev)
{
	struct vhost_user_pci *vup = to_vhost_user_pci(dev);

	vhost_user_close(&vup->vu);
	virtio_pci_done(&vup->vpci);
}

/* The doorbells are the server's: nobody kicks here. */
void vhost_user_pci_notify(struct virtio_dev *vdev, struct virtq *vq)
{
	(void)vdev;
	(void)vq;
}

void vhost_user_pci_reset(struct virtio_dev *vdev)
{
	vhost_user_reset(vdev_to_vu(vdev));
}

void vhost_user_pci_running(struct virtio_dev *vdev, bool running)
{
	vhost_user_running(vdev_to_vu(vdev), running);
}

void vhost_user_pci_irqs_changed(struct virtio_dev *vdev)
{
	vhost_user_irqs_changed(vdev_to_vu(vdev));
}
