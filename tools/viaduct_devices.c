// SPDX-License-Identifier: GPL-2.0-or-later
/* The one list of devices, and the order in which a role tries them. */
#include "viaduct.h"

#include "emulated/e1000.h"
#include "vfio/vfio_pci.h"
#include "virtio/vhost_user_blk.h"
#include "virtio/vhost_user_net.h"
#include "virtio/vhost_vsock.h"
#include "virtio/virtio_balloon.h"
#include "virtio/virtio_blk.h"
#include "virtio/virtio_console.h"
#include "virtio/virtio_net.h"
#include "virtio/virtio_rng.h"
#include "virtio/virtio_scsi.h"

static const struct dev_class *const classes[] = {
	&vfio_pci_class,
	&virtio_net_class,
	&virtio_blk_class,
	&scsi_disk_class,
	&scsi_cd_class,
	&virtio_rng_class,
	&virtio_balloon_class,
	&virtio_console_class,
	&vhost_user_blk_class,
	&vhost_user_net_class,
	&vhost_vsock_class,
	&e1000_class,
	NULL,
};

static const char *const net_choices[] = { "vfio-pci", "virtio-net", "e1000", NULL };

static const char *const disk_choices[] = { "vfio-pci", "virtio-blk", NULL };

static const struct dev_role roles[] = {
	{ "net", net_choices, "a network card" },
	{ "disk", disk_choices, "a disk" },
	{ NULL, NULL, NULL },
};

const struct dev_table viaduct_devices = { .classes = classes, .roles = roles };
