// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio-net: rings that the host's kernel serves, on the descriptors of a tap. Each pair of queues
 * has a descriptor and a thread of the kernel's own. The kernel has a pair while the driver is
 * there, uses it, and the link is up; in between nobody serves its rings.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/err.h"
#include "vmm/vm.h"

#include "vhost.h"
#include "virtio_net_priv.h"

#define VHOST_NET_PATH "/dev/vhost-net"
#define VHOST_NET_MODULE "vhost_net"
#define RINGS_OF_PAIR 2u

/* What of an offer is the business of whoever serves the rings. */
#define FEATURES_OF_RINGS                                                                          \
	(BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_INDIRECT_DESC) |                          \
	 BIT64(VIRTIO_RING_F_EVENT_IDX) | BIT64(VIRTIO_F_RING_PACKED) |                            \
	 BIT64(VIRTIO_F_IN_ORDER) | BIT64(VIRTIO_F_RING_RESET) | BIT64(VIRTIO_NET_F_MRG_RXBUF))

struct virtio_net_vhost {
	struct vhost vhost;
	struct virtio_net *net;
	unsigned int pair;
	int tap; /* while the kernel has the pair; else -1 */
};

static bool mode_is(const struct virtio_net *n, const char *mode)
{
	return !strcmp(n->vhost_mode ? n->vhost_mode : "auto", mode);
}

int virtio_net_vhost_check(const struct virtio_net *n, struct err *err)
{
	const char *backend = net_config_backend(&n->config);
	bool on = mode_is(n, "on");

	if (!on && !mode_is(n, "off") && !mode_is(n, "auto"))
		return err_set(err, -EINVAL, "vhost=%s: it is on, off or auto", n->vhost_mode);
	if ((on || n->vhostfd) && !strcmp(backend, "user"))
		return err_set(err, -EINVAL, "vhost= needs an interface of the host's kernel: "
					     "net=tap, not net=%s", backend);
	if (n->vhostfd && net_queues(&n->config) > 1)
		return err_set(err, -EINVAL, "vhostfd= is one pair of queues, not queues=%u",
			       net_queues(&n->config));
	if (n->vhostfd && mode_is(n, "off"))
		return err_set(err, -EINVAL, "vhostfd= and vhost=off exclude each other");
	if (on && n->vpci.packed)
		return err_set(err, -EINVAL, "vhost=on: the host's kernel has no packed rings; "
					     "leave packed=on or vhost=on out");
	return 0;
}

static int backend_set(struct vhost *v, bool on, struct err *err)
{
	struct virtio_net_vhost *p = container_of(v, struct virtio_net_vhost, vhost);
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < RINGS_OF_PAIR; i++) {
		struct vhost_vring_file file = { .index = i, .fd = on ? p->tap : -1 };

		ret = vhost_ask(v, VHOST_NET_SET_BACKEND, "VHOST_NET_SET_BACKEND", &file, err);
	}
	return ret;
}

/* The kernel fails to send to an interface that was deleted under it. */
static bool backend_lost(struct vhost *v)
{
	struct virtio_net_vhost *p = container_of(v, struct virtio_net_vhost, vhost);
	struct ifreq ifr;

	return p->tap < 0 || ioctl(p->tap, TUNGETIFF, &ifr) < 0;
}

static int pair_open(struct virtio_net_vhost *p, int fd, struct err *err)
{
	struct vm *vm = p->net->vpci.vdev.dev->vm;

	p->vhost.path = VHOST_NET_PATH;
	p->vhost.module = VHOST_NET_MODULE;
	p->vhost.wanted = BIT64(VIRTIO_NET_F_MRG_RXBUF);
	p->vhost.queues = RINGS_OF_PAIR;
	p->vhost.first = RINGS_OF_PAIR * p->pair;
	p->vhost.serve = backend_set;
	p->vhost.lost = backend_lost;
	return vhost_open(&p->vhost, vm, fd, err);
}

static int pairs_open(struct virtio_net *n, struct err *err)
{
	struct virtio_dev *vdev = &n->vpci.vdev;
	unsigned int i;
	int ret = 0;

	n->vhost = calloc(n->pair_count, sizeof(*n->vhost));
	if (!n->vhost)
		return err_set(err, -ENOMEM, "no memory for %u pairs of queues", n->pair_count);
	for (i = 0; i < n->pair_count; i++)
		n->vhost[i] = (struct virtio_net_vhost){ .net = n, .pair = i, .tap = -1 };
	for (i = 0; !ret && i < n->pair_count; i++) {
		ret = pair_open(&n->vhost[i], n->vhostfd ? (int)n->vhostfd : -1, err);
		if (!ret)
			ret = vhost_bind(&n->vhost[i].vhost, vdev, err);
	}
	if (!ret)
		vdev->offered &= ~FEATURES_OF_RINGS | vhost_features(&n->vhost[0].vhost);
	return ret;
}

/* Why the rings are not to be the kernel's, or NULL. */
static const char *why_not(struct virtio_net *n)
{
	if (mode_is(n, "off"))
		return "vhost=off";
	if (n->vpci.packed)
		return "the host's kernel has no packed rings";
	if (!net_can_take_over(&n->net))
		return "it is no interface of the host's kernel";
	return net_has_header(&n->net) ? NULL : "the descriptor has no header (IFF_VNET_HDR)";
}

int virtio_net_vhost_open(struct virtio_net *n, struct err *err)
{
	struct dev *dev = n->vpci.vdev.dev;
	struct err reason = { 0 };
	int ret = virtio_net_vhost_check(n, err);
	const char *why;

	if (ret)
		return ret;
	why = why_not(n);
	if (why && mode_is(n, "on"))
		return err_set(err, -EINVAL, "vhost=on: %s", why);
	if (why)
		return 0;
	if (n->vhostfd && fcntl((int)n->vhostfd, F_SETFD, FD_CLOEXEC))
		return err_sys(err, -errno, "vhostfd=%u", n->vhostfd);
	ret = pairs_open(n, &reason);
	if (!ret)
		return 0;
	virtio_net_vhost_close(n);
	if (mode_is(n, "on") || n->vhostfd)
		return err_set(err, ret == -ENODEV ? -ENOENT : ret, "vhost=on: %s", reason.msg);
	log_line(dev->vm->log, LOG_INFO, "%s: its rings are served here and not by the host's kernel "
				       "(vhost-net): %s", dev->id, reason.msg);
	return 0;
}

void virtio_net_vhost_close(struct virtio_net *n)
{
	unsigned int i;

	for (i = 0; n->vhost && i < n->pair_count; i++)
		vhost_close(&n->vhost[i].vhost);
	free(n->vhost);
	n->vhost = NULL;
}

/* Is @p to be the kernel's now? */
static bool pair_wanted(const struct virtio_net_vhost *p)
{
	struct virtio_net *n = p->net;

	return p->pair < n->active && net_link_up(&n->net) &&
	       virtq_running(virtio_net_rx_queue(n, p->pair)) &&
	       virtq_running(virtio_net_tx_queue(n, p->pair));
}

static void pair_stop(struct virtio_net_vhost *p)
{
	if (p->tap < 0)
		return;
	vhost_running(&p->vhost, false);
	net_take_over(&p->net->net, p->pair, false);
	p->tap = -1;
}

static void pair_start(struct virtio_net_vhost *p)
{
	if (p->tap >= 0)
		return;
	p->tap = net_take_over(&p->net->net, p->pair, true);
	if (p->tap >= 0)
		vhost_running(&p->vhost, true);
}

void virtio_net_vhost_update(struct virtio_net *n)
{
	unsigned int i;

	for (i = 0; n->vhost && i < n->pair_count; i++) {
		if (pair_wanted(&n->vhost[i]))
			pair_start(&n->vhost[i]);
		else
			pair_stop(&n->vhost[i]);
	}
}

void virtio_net_vhost_irqs_changed(struct virtio_net *n)
{
	unsigned int i;

	for (i = 0; n->vhost && i < n->pair_count; i++)
		vhost_irqs_changed(&n->vhost[i].vhost);
}

void virtio_net_vhost_reset(struct virtio_net *n)
{
	unsigned int i;

	for (i = 0; n->vhost && i < n->pair_count; i++) {
		pair_stop(&n->vhost[i]);
		vhost_reset(&n->vhost[i].vhost);
	}
}
