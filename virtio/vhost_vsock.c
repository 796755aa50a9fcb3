// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vhost.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_vsock.h>
#include <linux/vm_sockets.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/vm.h"

static struct vhost_vsock *dev_to_vsock(struct dev *dev)
{
	return container_of(to_virtio_pci(dev), struct vhost_vsock, vpci);
}

static struct vhost *vdev_to_vhost(struct virtio_dev *vdev)
{
	return &dev_to_vsock(vdev->dev)->vhost;
}

static void vsock_config_read(struct virtio_dev *vdev, unsigned int offset, void *buf,
			      unsigned int len)
{
	uint8_t config[sizeof(struct virtio_vsock_config)];

	put_le64(config, dev_to_vsock(vdev->dev)->guest_cid);
	memcpy(buf, config + offset, len);
}

/* The event queue: the only event is a guest's migration (5.10.6.7), so its buffers wait. */
static void vsock_notify(struct virtio_dev *vdev, struct virtq *vq)
{
	(void)vdev;
	(void)vq;
}

static void vsock_running(struct virtio_dev *vdev, bool running)
{
	vhost_running(vdev_to_vhost(vdev), running);
}

static void vsock_irqs_changed(struct virtio_dev *vdev)
{
	vhost_irqs_changed(vdev_to_vhost(vdev));
}

static void vsock_vdev_reset(struct virtio_dev *vdev)
{
	vhost_reset(vdev_to_vhost(vdev));
}

static const struct virtio_ops vsock_ops = {
	.type = VIRTIO_ID_VSOCK,
	.config_size = sizeof(struct virtio_vsock_config),
	.features = BIT64(VIRTIO_VSOCK_F_SEQPACKET),
	.config_read = vsock_config_read,
	.notify = vsock_notify,
	.reset = vsock_vdev_reset,
	.running = vsock_running,
	.irqs_changed = vsock_irqs_changed,
};

static int vsock_serve(struct vhost *v, bool on, struct err *err)
{
	int arg = on;

	return vhost_ask(v, VHOST_VSOCK_SET_RUNNING, "VHOST_VSOCK_SET_RUNNING", &arg, err);
}

/* The device class. */

static int vsock_probe(struct dev *dev, struct err *err)
{
	struct vhost_vsock *s = dev_to_vsock(dev);

	virtio_pci_describe(&s->vpci, &vsock_ops, VHOST_VSOCK_CLASS);
	if (!s->vhostfd && access(VHOST_VSOCK_PATH, F_OK))
		return err_set(err, -ENODEV, "%s: this host has none; modprobe %s",
			       VHOST_VSOCK_PATH, VHOST_VSOCK_MODULE);
	return 0;
}

static int set_cid(struct vhost_vsock *s, struct err *err)
{
	uint64_t cid = s->guest_cid;
	int ret = vhost_ask(&s->vhost, VHOST_VSOCK_SET_GUEST_CID, "VHOST_VSOCK_SET_GUEST_CID", &cid,
			    err);

	if (ret == -EADDRINUSE)
		return err_set(err, ret, "guest-cid=%u: another guest of this host has that one",
			       s->guest_cid);
	return ret;
}

/* A descriptor that the starter passed on; it is not for the programs that this one starts. */
static int given_fd(uint32_t vhostfd, struct err *err)
{
	int fd = (int)vhostfd;

	if (fcntl(fd, F_SETFD, FD_CLOEXEC))
		return err_sys(err, -errno, "vhostfd=%d", fd);
	return fd;
}

static int vsock_realize(struct dev *dev, struct err *err)
{
	static const uint16_t sizes[] = { VHOST_VSOCK_RING_SIZE, VHOST_VSOCK_RING_SIZE,
					  VHOST_VSOCK_RING_SIZE };
	struct vhost_vsock *s = dev_to_vsock(dev);
	int ret, fd = s->vhostfd ? given_fd(s->vhostfd, err) : -1;

	if (s->vhostfd && fd < 0)
		return fd;
	s->vhost.path = VHOST_VSOCK_PATH;
	s->vhost.module = VHOST_VSOCK_MODULE;
	s->vhost.wanted = BIT64(VIRTIO_VSOCK_F_SEQPACKET);
	s->vhost.queues = VHOST_VSOCK_RINGS;
	s->vhost.serve = vsock_serve;
	ret = vhost_open(&s->vhost, dev->vm, fd, err);
	if (!ret)
		ret = set_cid(s, err);
	if (!ret)
		ret = virtio_pci_init(&s->vpci, &vsock_ops, VHOST_VSOCK_CLASS, sizes,
				      ARRAY_SIZE(sizes), err);
	/* The rings are the kernel's, and so is what they can do. */
	s->vpci.vdev.offered &= vhost_features(&s->vhost);
	if (!ret)
		ret = vhost_bind(&s->vhost, &s->vpci.vdev, err);
	return ret ? ret : pci_dev_plug(&s->vpci.pdev, err);
}

static void vsock_quiesce(struct dev *dev)
{
	virtio_dev_reset(&to_virtio_pci(dev)->vdev);
}

static void vsock_destroy(struct dev *dev)
{
	struct vhost_vsock *s = dev_to_vsock(dev);

	vhost_close(&s->vhost);
	virtio_pci_done(&s->vpci);
}

static void vsock_describe(struct dev *dev, char *buf, size_t size)
{
	snprintf(buf, size, "sockets to the host, CID %u", dev_to_vsock(dev)->guest_cid);
}

static const struct opt_field vsock_options[] = {
	{ "guest-cid", OPT_U32, offsetof(struct vhost_vsock, guest_cid), VMADDR_CID_HOST + 1,
	  VMADDR_CID_ANY - 1, true, "the guest's address, its own on this host; the host's is 2" },
	{ "vhostfd", OPT_U32, offsetof(struct vhost_vsock, vhostfd), 3, INT_MAX, false,
	  "an open descriptor of " VHOST_VSOCK_PATH ", which is then not opened" },
	{ "port", OPT_BOOL, offsetof(struct vhost_vsock, vpci.pdev.behind_port), 0, 0, false,
	  "on: behind a PCI Express port with hot plug (off)" },
	OPT_END,
};

const struct dev_class vhost_vsock_class = {
	.name = "vhost-vsock",
	.help = "sockets between guest and host, of virtio 1.2, served by the host's kernel",
	.size = sizeof(struct vhost_vsock),
	.options = vsock_options,
	.pci = &virtio_pci_ops,
	.probe = vsock_probe,
	.realize = vsock_realize,
	.quiesce = vsock_quiesce,
	.destroy = vsock_destroy,
	.reset = virtio_pci_reset,
	.read = virtio_pci_read,
	.write = virtio_pci_write,
	.describe = vsock_describe,
};
