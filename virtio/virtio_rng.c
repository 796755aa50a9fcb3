// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio-rng: the kernel writes random bytes straight into the guest's buffers, a system call for
 * each piece. A buffer may come back partly filled (5.4.6.1), so a guest that asks for much at once
 * gets BUFFER_MAX of it and the loop goes on to others.
 *
 * With rate= bytes are handed out in ten shares a second. What does not fit into a share waits for
 * the next one in the ring.
 */
#include "virtio_rng.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <sys/random.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/loop.h"
#include "vmm/vm.h"

#define QUEUE_SIZE 64
#define BUFFER_MAX 0x4000u
#define SHARES 10u /* a second */
#define SHARE_NS (1000000000ull / SHARES)
#define CLASS_OTHER 0x00ff00u

static struct virtio_rng *dev_to_rng(struct dev *dev)
{
	return container_of(to_virtio_pci(dev), struct virtio_rng, vpci);
}

static struct virtio_rng *vdev_to_rng(struct virtio_dev *vdev)
{
	return dev_to_rng(vdev->dev);
}

static uint64_t full_share(const struct virtio_rng *r)
{
	return r->rate < SHARES ? 1 : r->rate / SHARES;
}

/* Fills the buffer in hand with at most @max bytes; returns how many. */
static uint32_t fill(struct virtio_rng *r, uint64_t max)
{
	const struct iovec *iov = virtq_elem_in(&r->elem);
	uint32_t done = 0;
	unsigned int i;

	for (i = 0; i < r->elem.in_count && done < max; i++) {
		size_t want = iov[i].iov_len < max - done ? iov[i].iov_len : max - done;
		ssize_t n = getrandom(iov[i].iov_base, want, 0);

		if (n < 0)
			break;
		done += (uint32_t)n;
		if ((size_t)n < want)
			break;
	}
	return done;
}

/* True when a buffer was given back. */
static bool serve(struct virtio_rng *r, struct virtq *vq)
{
	uint64_t max = BUFFER_MAX;
	uint32_t done;

	if (r->rate && !r->share) {
		if (!r->waiting)
			loop_timer_set(r->timer, SHARE_NS);
		r->waiting = true;
		return false;
	}
	if (virtq_pop(vq, &r->elem) <= 0)
		return false;
	if (r->elem.out_len) {
		virtq_fail(vq, "%llu bytes for the device to read, which only writes",
			   (unsigned long long)r->elem.out_len);
		return false;
	}
	if (r->rate && max > r->share)
		max = r->share;
	done = fill(r, max);
	if (r->rate)
		r->share -= done;
	virtq_push(vq, &r->elem, done);
	return true;
}

static void rng_notify(struct virtio_dev *vdev, struct virtq *vq)
{
	struct virtio_rng *r = vdev_to_rng(vdev);
	unsigned int budget = vq->size;

	virtq_kick_off(vq);
	do {
		while (budget && serve(r, vq))
			budget--;
	} while (virtq_kick_on(vq) && budget && !r->waiting);
	if (!vq->broken)
		virtq_signal(vq);
	if (!budget)
		virtq_kick_again(vq);
}

static void next_share(void *opaque)
{
	struct virtio_rng *r = opaque;
	struct virtq *vq = &r->vpci.vdev.queues[0];

	r->share = full_share(r);
	r->waiting = false;
	if (virtq_running(vq))
		rng_notify(&r->vpci.vdev, vq);
}

/* What is left of a share, and the wait for the next, outlive it: a reset earns a guest nothing. */
static void rng_reset(struct virtio_dev *vdev)
{
	(void)vdev;
}

static const struct virtio_ops rng_ops = {
	.type = VIRTIO_ID_RNG,
	.notify = rng_notify,
	.reset = rng_reset,
};

/* The device class. */

static int rng_probe(struct dev *dev, struct err *err)
{
	(void)err;
	virtio_pci_describe(&dev_to_rng(dev)->vpci, &rng_ops, CLASS_OTHER);
	return 0;
}

static int rng_realize(struct dev *dev, struct err *err)
{
	static const uint16_t size = QUEUE_SIZE;
	struct virtio_rng *r = dev_to_rng(dev);
	int ret = virtio_pci_init(&r->vpci, &rng_ops, CLASS_OTHER, &size, 1, err);

	if (ret)
		return ret;
	if (virtq_elem_init(&r->elem, &r->vpci.vdev.queues[0]))
		return err_set(err, -ENOMEM, "no memory for buffers");
	r->share = full_share(r);
	if (r->rate)
		ret = loop_timer_new(dev->vm->loop, &dev->lock, next_share, r, &r->timer, err);
	return ret ? ret : pci_dev_plug(&r->vpci.pdev, err);
}

static void rng_quiesce(struct dev *dev)
{
	virtio_dev_reset(&dev_to_rng(dev)->vpci.vdev);
}

static void rng_destroy(struct dev *dev)
{
	struct virtio_rng *r = dev_to_rng(dev);

	loop_timer_del(r->timer);
	virtio_pci_done(&r->vpci);
	virtq_elem_done(&r->elem);
}

static const struct opt_field rng_options[] = {
	{ "rate", OPT_SIZE, offsetof(struct virtio_rng, rate), 0, 0, false,
	  "bytes a second at most (0: no limit)" },
	{ "port", OPT_BOOL, offsetof(struct virtio_rng, vpci.pdev.behind_port), 0, 0, false,
	  "on: behind a PCI Express port with hot plug (off)" },
	OPT_END,
};

const struct dev_class virtio_rng_class = {
	.name = "virtio-rng",
	.help = "random numbers of the host's kernel, by virtio 1.2",
	.size = sizeof(struct virtio_rng),
	.options = rng_options,
	.pci = &virtio_pci_ops,
	.probe = rng_probe,
	.realize = rng_realize,
	.quiesce = rng_quiesce,
	.destroy = rng_destroy,
	.reset = virtio_pci_reset,
	.read = virtio_pci_read,
	.write = virtio_pci_write,
};
