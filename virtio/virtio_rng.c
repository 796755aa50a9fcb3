// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Random bytes for the guest. A request is one system call, into a buffer of the device's own, and
 * a copy: a chain of many small descriptors costs no more than one of one.
 *
 * With a limit, `left` is spent, and a timer of one period starts when nothing is left; the guest's
 * buffers stay in the ring meanwhile. The same timer comes back to a file that had no bytes yet.
 */
#include "virtio_rng.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/iov.h"
#include "vmm/loop.h"
#include "vmm/vm.h"

#define QUEUE_SIZE 64
#define CLASS_OTHER 0x00ff00u
#define PERIOD_MS 1000u
#define RETRY_MS 100u /* for a file that has nothing yet */
#define NS_PER_MS 1000000ull

static struct virtio_rng *dev_to_rng(struct dev *dev)
{
	return container_of(to_virtio_pci(dev), struct virtio_rng, vpci);
}

static void rng_wait(struct virtio_rng *rng, uint32_t ms)
{
	rng->waiting = true;
	loop_timer_set(rng->timer, ms * NS_PER_MS);
}

/* Fills the device's buffer. How many bytes; 0: none yet, -errno: never again. */
static ssize_t rng_source(struct virtio_rng *rng, size_t len)
{
	ssize_t got =
		rng->file ? read(rng->fd, rng->buf, len) : getrandom(rng->buf, len, GRND_NONBLOCK);

	if (got > 0)
		return got;
	if (!got)
		return -ENODATA;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* Answers the buffer in hand. False: nothing goes on now, and the buffer was not taken. */
static bool rng_fill(struct virtio_rng *rng, struct virtq *vq)
{
	struct virtq_elem *e = &rng->elem;
	struct iovec iov = { .iov_base = rng->buf };
	struct iov_cursor to, from;
	size_t len = sizeof(rng->buf);
	ssize_t got;

	if (!e->in_len || e->out_len) {
		virtq_fail(vq, "request with %llu bytes to fill and %llu to read",
			   (unsigned long long)e->in_len, (unsigned long long)e->out_len);
		return false;
	}
	len = e->in_len < len ? (size_t)e->in_len : len;
	if (rng->max_bytes && rng->left < len)
		len = (size_t)rng->left;
	got = rng_source(rng, len);
	if (got < 0) {
		virtq_rewind(vq, 1, 0);
		virtq_stop(vq, got == -ENODATA ? "the source of random bytes is at its end"
					       : "the source of random bytes cannot be read");
		return false;
	}
	if (!got) {
		virtq_rewind(vq, 1, 0);
		rng_wait(rng, RETRY_MS);
		return false;
	}
	iov.iov_len = (size_t)got;
	iov_cursor_init(&from, &iov, 1);
	iov_cursor_init(&to, virtq_elem_in(e), e->in_count);
	iov_cursor_copy(&to, &from, (size_t)got);
	explicit_bzero(rng->buf, (size_t)got);
	virtq_push(vq, e, (uint32_t)got);
	if (rng->max_bytes)
		rng->left -= (size_t)got;
	return true;
}

/* One pass over what is there. True when it ended because nothing is left. */
static bool rng_pass(struct virtio_rng *rng, struct virtq *vq, unsigned int *budget)
{
	int ret;

	while (*budget) {
		if (rng->max_bytes && !rng->left) {
			rng_wait(rng, rng->period ? rng->period : PERIOD_MS);
			return false;
		}
		ret = virtq_pop(vq, &rng->elem);
		if (ret <= 0)
			return !ret;
		if (!rng_fill(rng, vq))
			return false;
		(*budget)--;
	}
	/* Others have a turn; then go on, if there is anything to go on with. */
	if (virtq_kick_on(vq)) {
		virtq_kick_off(vq);
		virtq_kick_again(vq);
	}
	return false;
}

static void rng_notify(struct virtio_dev *vdev, struct virtq *vq)
{
	struct virtio_rng *rng = dev_to_rng(vdev->dev);
	unsigned int budget = vq->size;

	if (rng->waiting)
		return;
	virtq_kick_off(vq);
	while (rng_pass(rng, vq, &budget) && virtq_kick_on(vq))
		virtq_kick_off(vq);
	virtq_signal(vq);
}

static void rng_timer(void *opaque)
{
	struct virtio_rng *rng = opaque;
	struct virtio_dev *vdev = &rng->vpci.vdev;

	rng->waiting = false;
	/* The wait for a file ends no period. */
	if (!rng->left)
		rng->left = rng->max_bytes;
	if (virtq_running(vdev->queues))
		rng_notify(vdev, vdev->queues);
}

/* The limit is the host's, so a reset lifts nothing: the timer goes on. */
static void rng_reset(struct virtio_dev *vdev)
{
	(void)vdev;
}

static const struct virtio_ops rng_ops = {
	.type = VIRTIO_ID_RNG,
	.features = VIRTIO_FEATURE_IN_ORDER,
	.notify = rng_notify,
	.reset = rng_reset,
	.queue_reset = virtio_queue_idle,
};

/* The device class. */

static int rng_open(const struct virtio_rng *rng, struct err *err)
{
	struct stat st;
	int fd = open(rng->file, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return err_sys(err, -errno, "file=%s", rng->file);
	/* A regular file would give the guest the same bytes at each start. */
	if (fstat(fd, &st) || !S_ISCHR(st.st_mode)) {
		close(fd);
		return err_set(err, -EINVAL,
			       "file=%s: no character device, such as /dev/hwrng or /dev/urandom",
			       rng->file);
	}
	return fd;
}

static int virtio_rng_probe(struct dev *dev, struct err *err)
{
	struct virtio_rng *rng = dev_to_rng(dev);
	int fd;

	virtio_pci_describe(&rng->vpci, &rng_ops, CLASS_OTHER);
	if (!rng->file)
		return 0;
	fd = rng_open(rng, err);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int virtio_rng_realize(struct dev *dev, struct err *err)
{
	static const uint16_t sizes[1] = { QUEUE_SIZE };
	struct virtio_rng *rng = dev_to_rng(dev);
	int ret;

	ret = virtio_pci_init(&rng->vpci, &rng_ops, CLASS_OTHER, sizes, 1, err);
	if (ret)
		return ret;
	if (virtq_elem_init(&rng->elem, rng->vpci.vdev.queues))
		return err_set(err, -ENOMEM, "no memory for buffers");
	if (rng->file) {
		ret = rng_open(rng, err);
		if (ret < 0)
			return ret;
		rng->fd = ret;
	}
	rng->left = rng->max_bytes;
	ret = loop_timer_new(dev->vm->loop, &dev->lock, rng_timer, rng, &rng->timer, err);
	if (ret)
		return ret;
	return pci_dev_plug(&rng->vpci.pdev, err);
}

static void virtio_rng_quiesce(struct dev *dev)
{
	struct virtio_rng *rng = dev_to_rng(dev);

	virtio_dev_reset(&rng->vpci.vdev);
	loop_timer_del(rng->timer);
	rng->timer = NULL;
}

static void virtio_rng_destroy(struct dev *dev)
{
	struct virtio_rng *rng = dev_to_rng(dev);

	if (rng->timer)
		loop_timer_del(rng->timer);
	virtio_pci_done(&rng->vpci);
	virtq_elem_done(&rng->elem);
	if (rng->fd > 0)
		close(rng->fd);
}

static void virtio_rng_describe(struct dev *dev, char *buf, size_t size)
{
	struct virtio_rng *rng = dev_to_rng(dev);

	snprintf(buf, size, "random bytes from %s", rng->file ? rng->file : "the kernel");
}

static const struct opt_field virtio_rng_options[] = {
	{ "file", OPT_STR, offsetof(struct virtio_rng, file), 0, 0, false,
	  "character device that the bytes are read from; the kernel's generator when not given" },
	{ "max-bytes", OPT_SIZE, offsetof(struct virtio_rng, max_bytes), 0, 0, false,
	  "what the guest is given in one period; no limit when not given" },
	{ "period", OPT_U32, offsetof(struct virtio_rng, period), 1, 3600000, false,
	  "the period of max-bytes, in ms (1000)" },
	VIRTIO_PCI_OPTIONS(struct virtio_rng, vpci),
	OPT_END,
};

const struct dev_class virtio_rng_class = {
	.name = "virtio-rng",
	.help = "source of random bytes",
	.size = sizeof(struct virtio_rng),
	.options = virtio_rng_options,
	.pci = &virtio_pci_ops,
	.probe = virtio_rng_probe,
	.realize = virtio_rng_realize,
	.quiesce = virtio_rng_quiesce,
	.destroy = virtio_rng_destroy,
	.reset = virtio_pci_reset,
	.read = virtio_pci_read,
	.write = virtio_pci_write,
	.describe = virtio_rng_describe,
};
