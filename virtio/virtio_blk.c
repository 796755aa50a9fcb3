// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio-blk: requests from the ring to vmm/disk.h and back.
 *
 * A kick takes all requests that are there; they go to the kernel in one call, and what it had in
 * its cache is back at once. Completed requests are given back in bursts, with one store of the
 * index and at most one interrupt a queue.
 *
 * Requests under way point into guest memory. So when the queues may no longer be served (reset of
 * the device or the machine, bus mastering off, removal), all of them are waited for before the
 * guest's access that did it returns.
 *
 * A request that is no request (no header, no status byte) breaks the queue; anything else that is
 * wrong with one is answered in its status (5.2.6).
 */
#include "virtio_blk.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/iov.h"
#include "vmm/vm.h"

#define QUEUE_SIZE 256u
#define SEG_MAX (QUEUE_SIZE - 2) /* beside header and status */
#define SERIAL_SIZE VIRTIO_BLK_ID_BYTES
/* Of one discard or write-zeroes request: 1 GiB, so that a flush behind it need not wait long. */
#define RANGE_SECTORS_MAX (1u << 21)

struct virtio_blk_req {
	struct disk_req disk;
	struct virtq_elem elem;
	struct virtq *vq;
	uint8_t *status;  /* in guest memory */
	uint32_t written; /* into the guest's buffers when it succeeds, the status byte included */
	struct virtio_blk_req *next_free;
};

static struct virtio_blk *dev_to_blk(struct dev *dev)
{
	return container_of(to_virtio_pci(dev), struct virtio_blk, vpci);
}

static struct virtio_blk *vdev_to_blk(struct virtio_dev *vdev)
{
	return dev_to_blk(vdev->dev);
}

/* Requests in hand. */

static struct virtio_blk_req *req_get(struct virtio_blk *b)
{
	struct virtio_blk_req *req = b->free;

	if (req) {
		b->free = req->next_free;
		return req;
	}
	/* As many as all rings hold, which is the most that can be in flight (2.7.13). */
	req = &b->reqs[b->reqs_used++];
	req->elem.iov_max = QUEUE_SIZE;
	req->elem.iov = b->iovs + (size_t)(req - b->reqs) * QUEUE_SIZE;
	return req;
}

static void req_put(struct virtio_blk *b, struct virtio_blk_req *req)
{
	req->next_free = b->free;
	b->free = req;
}

static void answer(struct virtio_blk *b, struct virtio_blk_req *req, uint8_t status)
{
	struct virtq *vq = req->vq;

	if (!vq->broken) {
		*(volatile uint8_t *)req->status = status;
		virtq_push(vq, &req->elem, status == VIRTIO_BLK_S_OK ? req->written : 1);
		b->answered |= BIT64(vq->index);
	}
	req_put(b, req);
}

static void burst_end(void *opaque)
{
	struct virtio_blk *b = opaque;
	uint64_t answered = b->answered;

	b->answered = 0;
	for (; answered; answered &= answered - 1) {
		struct virtq *vq = &b->vpci.vdev.queues[__builtin_ctzll(answered)];

		if (virtq_running(vq))
			virtq_signal(vq);
		else if (!vq->broken)
			virtq_publish(vq); /* bus mastering went off: the interrupt comes with it */
	}
}

static void req_done(struct disk_req *disk, int result)
{
	struct virtio_blk_req *req = container_of(disk, struct virtio_blk_req, disk);
	struct virtio_blk *b = disk->opaque;

	if (result && b->resetting && !(b->resetting >> req->vq->index & 1)) {
		req->next_free = b->again;
		b->again = req;
		return;
	}
	answer(b, req, result ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
}

/* One request. */

/* The write cache is on when the guest can flush it, and has not switched it off (5.2.6.2). */
static bool write_back(const struct virtio_blk *b)
{
	const struct virtio_dev *vdev = &b->vpci.vdev;

	return virtio_has(vdev, VIRTIO_BLK_F_CONFIG_WCE) ? b->wce
							 : virtio_has(vdev, VIRTIO_BLK_F_FLUSH);
}

static uint8_t start_rw(struct virtio_blk *b, struct virtio_blk_req *req, uint64_t sector,
			struct iovec *iov, unsigned int count)
{
	struct disk_req *d = &req->disk;

	d->len = iov_size(iov, count);
	if (d->op == DISK_WRITE && disk_readonly(b->disk))
		return VIRTIO_BLK_S_IOERR;
	if (!d->len || d->len % DISK_SECTOR || sector > UINT64_MAX / DISK_SECTOR ||
	    !span_within(sector * DISK_SECTOR, d->len, disk_size(b->disk)))
		return VIRTIO_BLK_S_IOERR;
	d->offset = sector * DISK_SECTOR;
	d->iov = iov;
	d->iov_count = count;
	d->fua = d->op == DISK_WRITE && !write_back(b);
	if (d->op == DISK_READ)
		req->written = (uint32_t)d->len + 1;
	disk_queue(b->disk, d);
	return VIRTIO_BLK_S_OK;
}

static uint8_t start_range(struct virtio_blk *b, struct virtio_blk_req *req,
			   const struct iovec *iov, unsigned int count)
{
	struct virtio_blk_discard_write_zeroes range = { 0 };
	struct disk_req *d = &req->disk;
	uint64_t sector;
	uint32_t flags, allowed = d->op == DISK_ZERO ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;

	/* One segment is offered: more, or a part, is an error. */
	if (iov_size(iov, count) != sizeof(range) || disk_readonly(b->disk))
		return VIRTIO_BLK_S_IOERR;
	iov_gather(iov, count, &range, sizeof(range));
	sector = le64toh(range.sector);
	flags = le32toh(range.flags);
	if (flags & ~allowed)
		return VIRTIO_BLK_S_UNSUPP;
	d->len = (uint64_t)le32toh(range.num_sectors) * DISK_SECTOR;
	if (d->len > (uint64_t)RANGE_SECTORS_MAX * DISK_SECTOR ||
	    sector > UINT64_MAX / DISK_SECTOR ||
	    !span_within(sector * DISK_SECTOR, d->len, disk_size(b->disk)))
		return VIRTIO_BLK_S_IOERR;
	d->offset = sector * DISK_SECTOR;
	d->unmap = d->op == DISK_DISCARD || flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
	if (d->len)
		disk_queue(b->disk, d);
	else
		answer(b, req, VIRTIO_BLK_S_OK);
	return VIRTIO_BLK_S_OK;
}

/* The device's name for itself, zero-padded (5.2.6.1). */
static uint8_t get_id(struct virtio_blk *b, struct virtio_blk_req *req, struct iovec *to,
		      unsigned int count)
{
	char id[SERIAL_SIZE] = { 0 };
	struct iovec iov = { id, sizeof(id) };
	struct iov_cursor dst, src;

	memcpy(id, b->serial ? b->serial : b->vpci.pdev.dev.id,
	       strnlen(b->serial ? b->serial : b->vpci.pdev.dev.id, sizeof(id)));
	iov_cursor_init(&dst, to, count);
	iov_cursor_init(&src, &iov, 1);
	req->written = (uint32_t)iov_cursor_copy(&dst, &src, sizeof(id)) + 1;
	answer(b, req, VIRTIO_BLK_S_OK);
	return VIRTIO_BLK_S_OK;
}

/* S_OK: it is under way or answered. */
static uint8_t start(struct virtio_blk *b, struct virtio_blk_req *req, uint32_t type,
		     uint64_t sector, struct iovec *out, unsigned int out_count)
{
	struct iovec *in = virtq_elem_in(&req->elem);
	unsigned int in_count = req->elem.in_count;

	switch (type) {
	case VIRTIO_BLK_T_IN:
		req->disk.op = DISK_READ;
		return start_rw(b, req, sector, in, in_count);
	case VIRTIO_BLK_T_OUT:
		req->disk.op = DISK_WRITE;
		return start_rw(b, req, sector, out, out_count);
	case VIRTIO_BLK_T_FLUSH:
		req->disk.op = DISK_FLUSH;
		req->disk.offset = req->disk.len = 0;
		disk_queue(b->disk, &req->disk);
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_DISCARD:
		req->disk.op = DISK_DISCARD;
		return start_range(b, req, out, out_count);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		req->disk.op = DISK_ZERO;
		return start_range(b, req, out, out_count);
	case VIRTIO_BLK_T_GET_ID:
		return get_id(b, req, in, in_count);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

/* The last device-writable byte is the status: takes it off the buffers. Every entry has bytes. */
static uint8_t *take_status(struct virtq_elem *e)
{
	struct iovec *last = virtq_elem_in(e) + e->in_count - 1;

	last->iov_len--;
	if (!last->iov_len)
		e->in_count--;
	return (uint8_t *)last->iov_base + last->iov_len;
}

/* Takes one request off the ring. False: there is none, or the queue is broken. */
static bool take(struct virtio_blk *b, struct virtq *vq)
{
	struct virtio_blk_req *req = req_get(b);
	struct virtio_blk_outhdr header = { 0 };
	struct iovec *out;
	unsigned int out_count;
	uint8_t status;

	if (virtq_pop(vq, &req->elem) <= 0) {
		req_put(b, req);
		return false;
	}
	if (req->elem.out_len < sizeof(header) || !req->elem.in_len) {
		virtq_fail(vq, "request of %llu bytes out and %llu in, without header or status",
			   (unsigned long long)req->elem.out_len,
			   (unsigned long long)req->elem.in_len);
		req_put(b, req);
		return false;
	}
	out = virtq_elem_out(&req->elem);
	iov_gather(out, req->elem.out_count, &header, sizeof(header));
	req->vq = vq;
	req->status = take_status(&req->elem);
	req->written = 1;
	req->disk = (struct disk_req){ .done = req_done, .opaque = b };
	out_count = iov_skip(&out, req->elem.out_count, sizeof(header));
	status = start(b, req, le32toh(header.type), le64toh(header.sector), out, out_count);
	if (status != VIRTIO_BLK_S_OK)
		answer(b, req, status);
	return true;
}

/* The virtio device. */

/* The disk can only be drained as a whole, and a drain ends what waits for room or a second try. What
 * ended so for the reset of another queue begins again where it had come to. */
static void requests_again(struct virtio_blk *b)
{
	struct virtio_blk_req *req;

	while ((req = b->again)) {
		b->again = req->next_free;
		req->disk.offset += req->disk.moved;
		req->disk.len -= req->disk.moved;
		disk_queue(b->disk, &req->disk);
	}
}

static void blk_notify(struct virtio_dev *vdev, struct virtq *vq)
{
	struct virtio_blk *b = vdev_to_blk(vdev);
	unsigned int budget = vq->size;

	if (b->resetting)
		return;
	requests_again(b);
	virtq_kick_off(vq);
	do {
		while (budget && take(b, vq))
			budget--;
		disk_submit(b->disk);
		burst_end(b);
	} while (virtq_kick_on(vq) && budget);
	if (!budget)
		virtq_kick_again(vq); /* others have a turn */
}

static void queues_drained(struct virtio_blk *b)
{
	uint64_t resetting = b->resetting;

	b->resetting = 0;
	for (; resetting; resetting &= resetting - 1)
		virtio_queue_drained(&b->vpci.vdev.queues[__builtin_ctzll(resetting)]);
}

static void queue_resets_end(struct virtio_blk *b)
{
	queues_drained(b);
	requests_again(b);
	disk_submit(b->disk);
	virtio_dev_kick_all(&b->vpci.vdev);
}

/* Until it is over no queue takes anything: it never would be. */
static bool blk_queue_reset(struct virtio_dev *vdev, struct virtq *vq, unsigned int ms)
{
	struct virtio_blk *b = vdev_to_blk(vdev);

	b->resetting |= BIT64(vq->index);
	if (!disk_drain(b->disk, ms))
		return false;
	queue_resets_end(b);
	return true;
}

static bool blk_drain(struct virtio_dev *vdev, unsigned int ms)
{
	struct virtio_blk *b = vdev_to_blk(vdev);

	if (b->disk && !disk_drain(b->disk, ms))
		return false;
	queues_drained(b);
	return true;
}

static void drained(void *opaque)
{
	struct virtio_blk *b = opaque;

	if (b->vpci.vdev.resetting)
		virtio_dev_drained(&b->vpci.vdev);
	else
		queue_resets_end(b);
}

static void blk_reset(struct virtio_dev *vdev)
{
	struct virtio_blk *b = vdev_to_blk(vdev);
	struct virtio_blk_req *req;

	b->wce = true;
	b->answered = 0;
	b->resetting = 0;
	while ((req = b->again)) {
		b->again = req->next_free;
		req_put(b, req);
	}
}

static void blk_config_read(struct virtio_dev *vdev, unsigned int offset, void *buf,
			    unsigned int len)
{
	const struct virtio_blk *b = vdev_to_blk(vdev);
	uint32_t logical = disk_block_logical(b->disk), physical = disk_block_physical(b->disk);
	struct virtio_blk_config config = {
		.capacity = htole64(disk_size(b->disk) / DISK_SECTOR),
		.seg_max = htole32(SEG_MAX),
		.blk_size = htole32(logical),
		.physical_block_exp = (uint8_t)__builtin_ctz(physical / logical),
		.min_io_size = htole16((uint16_t)(physical / logical)),
		.wce = b->wce,
		.num_queues = htole16((uint16_t)vdev->queue_count),
		.max_discard_sectors = htole32(RANGE_SECTORS_MAX),
		.max_discard_seg = htole32(1),
		.discard_sector_alignment = htole32(physical / DISK_SECTOR),
		.max_write_zeroes_sectors = htole32(RANGE_SECTORS_MAX),
		.max_write_zeroes_seg = htole32(1),
		.write_zeroes_may_unmap = 1,
	};

	memcpy(buf, (const char *)&config + offset, len);
}

static void blk_config_write(struct virtio_dev *vdev, unsigned int offset, const void *buf,
			     unsigned int len)
{
	if (offset == VIRTIO_BLK_CONFIG_WCE && len == 1 &&
	    virtio_has(vdev, VIRTIO_BLK_F_CONFIG_WCE))
		vdev_to_blk(vdev)->wce = *(const uint8_t *)buf & 1;
}

static const struct virtio_ops blk_ops = {
	.type = VIRTIO_ID_BLOCK,
	.config_size = VIRTIO_BLK_CONFIG_SIZE,
	.features = BIT64(VIRTIO_BLK_F_SEG_MAX) | BIT64(VIRTIO_BLK_F_BLK_SIZE) |
		    BIT64(VIRTIO_BLK_F_TOPOLOGY) | BIT64(VIRTIO_BLK_F_FLUSH) |
		    BIT64(VIRTIO_BLK_F_CONFIG_WCE) | BIT64(VIRTIO_BLK_F_MQ),
	.config_read = blk_config_read,
	.config_write = blk_config_write,
	.notify = blk_notify,
	.reset = blk_reset,
	.queue_reset = blk_queue_reset,
	.drain = blk_drain,
};

/* The device class. */

static int blk_probe(struct dev *dev, struct err *err)
{
	struct virtio_blk *b = dev_to_blk(dev);

	virtio_pci_describe(&b->vpci, &blk_ops, VIRTIO_BLK_CLASS);
	return disk_check(&b->config, err);
}

static unsigned int queue_count(const struct virtio_blk *b)
{
	unsigned int cpus = b->vpci.pdev.dev.vm->config.cpus;

	if (b->queues)
		return b->queues;
	if (!cpus)
		return 1;
	return cpus < VIRTIO_BLK_QUEUES_MAX ? cpus : VIRTIO_BLK_QUEUES_MAX;
}

static int reqs_init(struct virtio_blk *b, unsigned int queues, struct err *err)
{
	size_t count = (size_t)queues * QUEUE_SIZE + 1; /* one in hand while the ring is full */
	void *iovs;

	b->reqs = calloc(count, sizeof(*b->reqs));
	b->iovs_size = count * QUEUE_SIZE * sizeof(*b->iovs);
	/* Mapped, so that only what a guest ever has in flight takes memory. */
	iovs = mmap(NULL, b->iovs_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!b->reqs || iovs == MAP_FAILED)
		return err_set(err, -ENOMEM, "no memory for %zu requests", count);
	b->iovs = iovs;
	return 0;
}

static int blk_realize(struct dev *dev, struct err *err)
{
	struct virtio_blk *b = dev_to_blk(dev);
	uint16_t sizes[VIRTIO_BLK_QUEUES_MAX];
	unsigned int i, queues = queue_count(b);
	int ret;

	if (b->serial && strlen(b->serial) > SERIAL_SIZE)
		return err_set(err, -EINVAL, "serial=%s: at most %u characters", b->serial,
			       SERIAL_SIZE);
	for (i = 0; i < queues; i++)
		sizes[i] = QUEUE_SIZE;
	ret = virtio_pci_init(&b->vpci, &blk_ops, VIRTIO_BLK_CLASS, sizes, queues, err);
	if (!ret)
		ret = reqs_init(b, queues, err);
	if (ret)
		return ret;
	b->user = (struct disk_user){
		.id = dev->id,
		.loop = dev->vm->loop,
		.lock = &dev->lock,
		.log = dev->vm->log,
		.burst_end = burst_end,
		.drained = drained,
		.opaque = b,
	};
	ret = disk_open(&b->config, &b->user, &b->disk, err);
	if (ret)
		return ret;
	b->vpci.vdev.loop = disk_loop(b->disk);
	b->wce = true;
	if (disk_readonly(b->disk))
		b->vpci.vdev.offered |= BIT64(VIRTIO_BLK_F_RO);
	else
		b->vpci.vdev.offered |=
			BIT64(VIRTIO_BLK_F_DISCARD) | BIT64(VIRTIO_BLK_F_WRITE_ZEROES);
	return pci_dev_plug(&b->vpci.pdev, err);
}

static void blk_quiesce(struct dev *dev)
{
	virtio_dev_reset(&dev_to_blk(dev)->vpci.vdev);
}

static void blk_destroy(struct dev *dev)
{
	struct virtio_blk *b = dev_to_blk(dev);

	virtio_pci_done(&b->vpci);
	disk_close(b->disk);
	b->disk = NULL;
	if (b->iovs)
		munmap(b->iovs, b->iovs_size);
	free(b->reqs);
}

static void blk_describe(struct dev *dev, char *buf, size_t size)
{
	const struct virtio_blk *b = dev_to_blk(dev);

	snprintf(buf, size, "%s%s", b->config.path, b->config.readonly ? ", read-only" : "");
}

static const struct opt_field blk_options[] = {
	DISK_OPTIONS(struct virtio_blk, config),
	{ "serial", OPT_STR, offsetof(struct virtio_blk, serial), 0, 0, false,
	  "what the guest sees as its serial number, at most 20 characters (the device's id)" },
	{ "queues", OPT_U32, offsetof(struct virtio_blk, queues), 1, VIRTIO_BLK_QUEUES_MAX, false,
	  "request queues (one for each vCPU)" },
	VIRTIO_PCI_OPTIONS(struct virtio_blk, vpci),
	OPT_END,
};

const struct dev_class virtio_blk_class = {
	.name = "virtio-blk",
	.help = "disk of virtio 1.2: a raw image or a block device",
	.size = sizeof(struct virtio_blk),
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
