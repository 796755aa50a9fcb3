/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the devices that another process serves have in common: a virtio function on PCI, and a
 * server at a socket. */
#ifndef VIADUCT_VIRTIO_VHOST_USER_PCI_H
#define VIADUCT_VIRTIO_VHOST_USER_PCI_H

#include "vhost_user.h"
#include "virtio_pci.h"

#define VHOST_USER_PCI_RING_SIZE 256

/* The beginning of such a device's struct. */
struct vhost_user_pci {
	struct virtio_pci vpci;
	char *socket; /* an option of each: VHOST_USER_PCI_OPTIONS */
	struct vhost_user vu;
};

#define VHOST_USER_PCI_OPTIONS                                                                     \
	{ "socket",                                                                                \
	  OPT_STR,                                                                                 \
	  offsetof(struct vhost_user_pci, socket),                                                 \
	  0,                                                                                       \
	  0,                                                                                       \
	  true,                                                                                    \
	  "the server's socket; guest memory must be shared (--memory ...,share=on)" },            \
	{                                                                                          \
		"port", OPT_BOOL, offsetof(struct vhost_user_pci, vpci.pdev.behind_port), 0, 0,    \
			false, "on: behind a PCI Express port with hot plug (off)"                 \
	}

static inline struct vhost_user_pci *to_vhost_user_pci(struct dev *dev)
{
	return (struct vhost_user_pci *)(void *)dev;
}

/* A class's probe: @ops and @class_code as for virtio_pci_describe(). */
int vhost_user_pci_probe(struct dev *dev, const struct virtio_ops *ops, uint32_t class_code,
			 struct err *err);
/* The first part of its realize, vu's description being filled in but for the path: connected, with
 * queues, not plugged. */
int vhost_user_pci_init(struct vhost_user_pci *vup, const struct virtio_ops *ops,
			uint32_t class_code, struct err *err);
void vhost_user_pci_quiesce(struct dev *dev);
void vhost_user_pci_destroy(struct dev *dev);

/* Members of its struct virtio_ops. */
void vhost_user_pci_notify(struct virtio_dev *vdev, struct virtq *vq);
void vhost_user_pci_reset(struct virtio_dev *vdev);
void vhost_user_pci_running(struct virtio_dev *vdev, bool running);
void vhost_user_pci_irqs_changed(struct virtio_dev *vdev);

#endif
