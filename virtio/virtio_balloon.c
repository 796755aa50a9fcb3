// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guest names pages it does without; they go back to the host in runs, sorted first, because
 * the guest's allocator hands them out in any order. Deflating needs nothing: a page is there again
 * when it is touched.
 *
 * Which queue is which: 5.5.2 gives statistics number 2 and reporting number 4, drivers number the
 * queues that exist without gaps. So number 2 is the one of statistics when these were negotiated;
 * every other one behind deflating can only be for reporting.
 *
 * Statistics (5.5.6.3): the driver's one buffer stays here, and goes back when somebody asks, which
 * makes the driver fill it anew.
 *
 * A request that names what is no RAM harms nobody: that run is left out.
 */
#include "virtio_balloon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/iov.h"
#include "vmm/mem_discard.h"
#include "vmm/vm.h"

#define QUEUE_SIZE 64
#define CLASS_OTHER 0x00ff00u
#define PAGE_SHIFT VIRTIO_BALLOON_PFN_SHIFT
#define CONFIG_ACTUAL offsetof(struct virtio_balloon_config, actual)
#define BUDGET 16u /* requests in a turn of the loop: each may take hundreds of system calls */

#define STAT_SIZE sizeof(struct virtio_balloon_stat)

enum { QUEUE_INFLATE, QUEUE_DEFLATE, QUEUE_STATS };

static struct virtio_balloon *dev_to_balloon(struct dev *dev)
{
	return container_of(to_virtio_pci(dev), struct virtio_balloon, vpci);
}

/* What came of giving memory back. */
static void balloon_discarded(struct virtio_balloon *b, int ret)
{
	struct dev *dev = &b->vpci.pdev.dev;

	bool never = ret == -EBUSY || ret == -EOPNOTSUPP;

	if (never && !b->pinned_said) {
		b->pinned_said = true;
		log_line(dev->vm->log, LOG_WARN,
			 "%s: %s: what the balloon takes does not go back to the host", dev->id,
			 ret == -EBUSY
				 ? "a device of the host has the guest's memory mapped for DMA"
				 : "the guest's memory is out of the pool of huge pages");
	} else if (ret && !never) {
		log_limited(dev->vm->log, &b->vpci.vdev.limit, LOG_WARN,
			    "%s: pages were not given back: %s", dev->id,
			    ret == -EFAULT ? "the guest named what is no RAM" : strerror(-ret));
	}
}

static int pfn_order(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void inflate(struct virtio_balloon *b, unsigned int count)
{
	struct mem *mem = &b->vpci.pdev.dev.vm->mem;
	unsigned int i, run;

	qsort(b->pfns, count, sizeof(b->pfns[0]), pfn_order);
	for (i = 0; i < count; i += run) {
		for (run = 1; i + run < count && b->pfns[i + run] - b->pfns[i] == run; run++)
			;
		balloon_discarded(b, mem_discard(mem, (gpa_t)b->pfns[i] << PAGE_SHIFT,
						 (uint64_t)run << PAGE_SHIFT));
	}
}

/* The page numbers of the buffer in hand. -EIO: it is no such buffer. */
static int take_pfns(struct virtio_balloon *b, struct virtq *vq)
{
	struct virtq_elem *e = &b->elem;
	unsigned int i, count = (unsigned int)(e->out_len / 4);

	if (e->in_len || e->out_len % 4 || e->out_len > sizeof(b->pfns))
		return virtq_fail(vq, "page list of %llu bytes, and %llu to write",
				  (unsigned long long)e->out_len, (unsigned long long)e->in_len);
	if (vq->index != QUEUE_INFLATE)
		return 0;
	iov_gather(virtq_elem_out(e), e->out_count, b->pfns, (size_t)count * 4);
	for (i = 0; i < count; i++)
		b->pfns[i] = le32toh(b->pfns[i]);
	inflate(b, count);
	return 0;
}

/* The buffers themselves are the free memory. */
static int take_free(struct virtio_balloon *b, struct virtq *vq)
{
	const struct iovec *iov = virtq_elem_in(&b->elem);
	unsigned int i;

	if (b->elem.out_len)
		return virtq_fail(vq, "report of free pages with %llu bytes to read",
				  (unsigned long long)b->elem.out_len);
	for (i = 0; i < b->elem.in_count; i++)
		balloon_discarded(b, mem_discard_ptr(&b->vpci.pdev.dev.vm->mem, iov[i].iov_base,
						     iov[i].iov_len));
	return 0;
}

/* Statistics. */

static bool stats_queue(const struct virtio_balloon *b, const struct virtq *vq)
{
	return vq->index == QUEUE_STATS && virtio_has(&b->vpci.vdev, VIRTIO_BALLOON_F_STATS_VQ);
}

static void stats_give_back(struct virtio_balloon *b, struct virtq *vq)
{
	if (!b->stats_held)
		return;
	b->stats_held = false;
	virtq_push(vq, &b->stats_elem, 0);
}

static void stats_forget(struct virtio_balloon *b)
{
	b->stats_held = false;
	b->stats_told = 0;
}

/* Keeps the buffer in hand. What it holds beyond what is known, of tags or of bytes, is left. */
static int take_stats(struct virtio_balloon *b, struct virtq *vq)
{
	uint8_t buf[VIRTIO_BALLOON_STATS * STAT_SIZE];
	struct virtq_elem elem = b->elem;
	size_t at, len;

	if (elem.in_len)
		return virtq_fail(vq, "statistics with %llu bytes to write",
				  (unsigned long long)elem.in_len);
	len = iov_gather(virtq_elem_out(&elem), elem.out_count, buf, sizeof(buf));
	b->stats_told = 0;
	for (at = 0; at + STAT_SIZE <= len; at += STAT_SIZE) {
		uint16_t tag = get_le16(buf + at);

		if (tag >= VIRTIO_BALLOON_S_NR)
			continue;
		b->stats[tag] = get_le64(buf + at + 2);
		b->stats_told |= BIT(tag);
	}
	clock_gettime(CLOCK_REALTIME, &b->stats_time);
	clock_gettime(CLOCK_MONOTONIC, &b->stats_clock);
	/* There is to be one; a driver with another gets the older one back. */
	stats_give_back(b, vq);
	b->elem = b->stats_elem;
	b->stats_elem = elem;
	b->stats_held = true;
	return 0;
}

static int take(struct virtio_balloon *b, struct virtq *vq)
{
	int ret;

	if (stats_queue(b, vq))
		return take_stats(b, vq);
	ret = vq->index <= QUEUE_DEFLATE ? take_pfns(b, vq) : take_free(b, vq);
	if (!ret)
		virtq_push(vq, &b->elem, 0);
	return ret;
}

/* One pass over what is there. True when it ended because nothing is left. */
static bool balloon_pass(struct virtio_balloon *b, struct virtq *vq, unsigned int *budget)
{
	int ret;

	while (*budget) {
		ret = virtq_pop(vq, &b->elem);
		if (ret <= 0)
			return !ret;
		if (take(b, vq))
			return false;
		(*budget)--;
	}
	if (virtq_kick_on(vq)) {
		virtq_kick_off(vq);
		virtq_kick_again(vq);
	}
	return false;
}

static void balloon_notify(struct virtio_dev *vdev, struct virtq *vq)
{
	struct virtio_balloon *b = dev_to_balloon(vdev->dev);
	unsigned int budget = MIN(vq->size, BUDGET);

	virtq_kick_off(vq);
	while (balloon_pass(b, vq, &budget) && virtq_kick_on(vq))
		virtq_kick_off(vq);
	virtq_signal(vq);
}

static void balloon_config_read(struct virtio_dev *vdev, unsigned int offset, void *buf,
				unsigned int len)
{
	struct virtio_balloon *b = dev_to_balloon(vdev->dev);
	uint8_t config[8];

	put_le32(config, b->target);
	memcpy(config + CONFIG_ACTUAL, b->actual, sizeof(b->actual));
	memcpy(buf, config + offset, len);
}

static void balloon_config_write(struct virtio_dev *vdev, unsigned int offset, const void *buf,
				 unsigned int len)
{
	struct virtio_balloon *b = dev_to_balloon(vdev->dev);

	if (offset < CONFIG_ACTUAL || !span_within(offset - CONFIG_ACTUAL, len, sizeof(b->actual)))
		return;
	memcpy(b->actual + (offset - CONFIG_ACTUAL), buf, len);
	vm_balloon_changed(vdev->dev->vm);
}

/* The guest has all of its memory again; what it is asked for stays. */
static void balloon_reset(struct virtio_dev *vdev)
{
	struct virtio_balloon *b = dev_to_balloon(vdev->dev);

	memset(b->actual, 0, sizeof(b->actual));
	stats_forget(b);
}

static bool balloon_queue_reset(struct virtio_dev *vdev, struct virtq *vq, unsigned int ms)
{
	struct virtio_balloon *b = dev_to_balloon(vdev->dev);

	(void)ms;
	if (stats_queue(b, vq))
		stats_forget(b);
	return true;
}

/* Linux kicks for its first statistics before DRIVER_OK, when nobody listens. */
static void balloon_running(struct virtio_dev *vdev, bool running)
{
	struct virtq *vq = &vdev->queues[QUEUE_STATS];

	if (running && stats_queue(dev_to_balloon(vdev->dev), vq) && virtq_running(vq))
		virtq_kick_again(vq);
}

static const struct virtio_ops balloon_ops = {
	.running = balloon_running,
	.type = VIRTIO_ID_BALLOON,
	.config_size = 8, /* up to and including actual */
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
	.notify = balloon_notify,
	.reset = balloon_reset,
	.queue_reset = balloon_queue_reset,
};

/* What the monitor asks. */

static int balloon_set(struct dev *dev, uint64_t bytes, struct err *err)
{
	struct virtio_balloon *b = dev_to_balloon(dev);
	uint64_t size = dev->vm->mem.size;

	if (!bytes)
		return err_set(err, -EINVAL, "%s: a guest cannot do without any memory", dev->id);
	b->target = (uint32_t)((size - MIN(bytes, size)) >> PAGE_SHIFT);
	virtio_dev_config_changed(&b->vpci.vdev);
	return 0;
}

static int balloon_get(struct dev *dev, uint64_t *ret_bytes, struct err *err)
{
	struct virtio_balloon *b = dev_to_balloon(dev);
	uint64_t size = dev->vm->mem.size, gone = (uint64_t)get_le32(b->actual) << PAGE_SHIFT;

	(void)err;
	/* The guest may say anything. */
	*ret_bytes = size - MIN(gone, size);
	return 0;
}

static uint64_t ms_since(const struct timespec *then)
{
	struct timespec now;
	int64_t ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (now.tv_sec - then->tv_sec) * 1000 + (now.tv_nsec - then->tv_nsec) / 1000000;
	return ms > 0 ? (uint64_t)ms : 0;
}

static int balloon_stats(struct dev *dev, struct dev_balloon_stats *ret_stats, struct err *err)
{
	static const char *const names[VIRTIO_BALLOON_S_NR] = {
		[VIRTIO_BALLOON_S_SWAP_IN] = "stat-swap-in",
		[VIRTIO_BALLOON_S_SWAP_OUT] = "stat-swap-out",
		[VIRTIO_BALLOON_S_MAJFLT] = "stat-major-faults",
		[VIRTIO_BALLOON_S_MINFLT] = "stat-minor-faults",
		[VIRTIO_BALLOON_S_MEMFREE] = "stat-free-memory",
		[VIRTIO_BALLOON_S_MEMTOT] = "stat-total-memory",
		[VIRTIO_BALLOON_S_AVAIL] = "stat-available-memory",
		[VIRTIO_BALLOON_S_CACHES] = "stat-disk-caches",
		[VIRTIO_BALLOON_S_HTLB_PGALLOC] = "stat-htlb-pgalloc",
		[VIRTIO_BALLOON_S_HTLB_PGFAIL] = "stat-htlb-pgfail",
	};
	struct virtio_balloon *b = dev_to_balloon(dev);
	struct virtq *vq = &b->vpci.vdev.queues[QUEUE_STATS];
	unsigned int tag, n = 0;

	*ret_stats = (struct dev_balloon_stats){ .count = 0 };
	if (!virtio_has(&b->vpci.vdev, VIRTIO_BALLOON_F_STATS_VQ))
		return err_set(err, -ENOTSUP, "%s: the guest's driver tells no statistics",
			       dev->id);
	for (tag = 0; tag < VIRTIO_BALLOON_S_NR; tag++) {
		if (!(b->stats_told & BIT(tag)))
			continue;
		ret_stats->stats[n].name = names[tag];
		ret_stats->stats[n++].value = b->stats[tag];
	}
	ret_stats->count = n;
	if (n) {
		ret_stats->time = (uint64_t)b->stats_time.tv_sec;
		ret_stats->age_ms = ms_since(&b->stats_clock);
	}
	if (virtq_running(vq)) {
		stats_give_back(b, vq);
		virtq_signal(vq);
	}
	return 0;
}

static const struct dev_control balloon_control = {
	.balloon_set = balloon_set,
	.balloon_get = balloon_get,
	.balloon_stats = balloon_stats,
};

/* The device class. */

static int virtio_balloon_probe(struct dev *dev, struct err *err)
{
	(void)err;
	virtio_pci_describe(&dev_to_balloon(dev)->vpci, &balloon_ops, CLASS_OTHER);
	return 0;
}

static int virtio_balloon_realize(struct dev *dev, struct err *err)
{
	static const uint16_t sizes[VIRTIO_BALLOON_QUEUES] = {
		QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE,
	};
	struct virtio_balloon *b = dev_to_balloon(dev);
	int ret;

	b->ops = balloon_ops;
	b->ops.features = BIT64(VIRTIO_BALLOON_F_STATS_VQ) |
			  (b->no_oom ? 0 : BIT64(VIRTIO_BALLOON_F_DEFLATE_ON_OOM)) |
			  (b->no_report ? 0 : BIT64(VIRTIO_BALLOON_F_REPORTING));
	ret = virtio_pci_init(&b->vpci, &b->ops, CLASS_OTHER, sizes, VIRTIO_BALLOON_QUEUES, err);
	if (ret)
		return ret;
	if (virtq_elem_init(&b->elem, b->vpci.vdev.queues) ||
	    virtq_elem_init(&b->stats_elem, &b->vpci.vdev.queues[QUEUE_STATS]))
		return err_set(err, -ENOMEM, "no memory for buffers");
	return pci_dev_plug(&b->vpci.pdev, err);
}

static void virtio_balloon_quiesce(struct dev *dev)
{
	virtio_dev_reset(&dev_to_balloon(dev)->vpci.vdev);
}

static void virtio_balloon_destroy(struct dev *dev)
{
	struct virtio_balloon *b = dev_to_balloon(dev);

	virtio_pci_done(&b->vpci);
	virtq_elem_done(&b->elem);
	virtq_elem_done(&b->stats_elem);
}

static const struct opt_field virtio_balloon_options[] = {
	{ "deflate-on-oom", OPT_NOT, offsetof(struct virtio_balloon, no_oom), 0, 0, false,
	  "off: the guest kills processes before it takes pages back (on)" },
	{ "free-page-reporting", OPT_NOT, offsetof(struct virtio_balloon, no_report), 0, 0, false,
	  "off: pages that are free in the guest stay with it (on)" },
	VIRTIO_PCI_OPTIONS(struct virtio_balloon, vpci),
	OPT_END,
};

const struct dev_class virtio_balloon_class = {
	.name = "virtio-balloon",
	.help = "takes memory from the guest and gives it back",
	.size = sizeof(struct virtio_balloon),
	.options = virtio_balloon_options,
	.pci = &virtio_pci_ops,
	.probe = virtio_balloon_probe,
	.realize = virtio_balloon_realize,
	.quiesce = virtio_balloon_quiesce,
	.destroy = virtio_balloon_destroy,
	.reset = virtio_pci_reset,
	.read = virtio_pci_read,
	.write = virtio_pci_write,
	.control = &balloon_control,
};
