// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Rings: theory.
 *
 * The guest owns the memory that the rings are in and may change any byte of it at any moment,
 * from another vCPU, while this code looks. So:
 *
 * 1. The guest's index is loaded with acquire; what it covers is then visible. An index that is
 *    further ahead than the ring is long is a violation.
 * 2. A descriptor is copied once, in volatile loads that the compiler may not repeat, and only the
 *    copy is checked and used. A head index is loaded once.
 * 3. A descriptor becomes a piece of an iovec only by mem_iov(), which takes nothing but RAM and
 *    checks the whole span. Length 0 is refused: such a buffer says nothing, and a chain of them is
 *    work for nothing.
 * 4. A chain ends: links are counted against the length of the table they are in, inside the loop,
 *    and so are the iovec's entries.
 * 5. An indirect table is a whole multiple of 16 bytes, ends the chain, does not nest, and has at
 *    most as many entries as the largest ring that the queue offers (2.6.5.3.1 says: as the ring
 *    has. Linux exceeds that where it made the ring smaller than offered, so the offer counts).
 *    Direct and indirect entries together are bounded by the iovec: size_max entries.
 * 6. No more buffers can be in flight than the ring has entries.
 * 7. What goes back is written first and published by a store with release. The question whether
 *    the guest wants an interrupt comes after a full fence; so does the second look for buffers
 *    after kicks were asked for. Both are store-then-load, which x86 reorders too.
 *
 * A violation is the end for this queue: virtq_fail() marks it broken and sets
 * DEVICE_NEEDS_RESET. Only a reset heals it. Nothing here ends the process or loops longer than
 * the ring.
 *
 * What of this depends on the layout of the ring is in a table, struct virtq_format.
 */
#include "virtq.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/log.h"
#include "virtio_dev.h"
#include "vmm/mem.h"
#include "vmm/vm.h"

/* 2.6.4.2: a chain's buffers are at most 2^32 bytes. */
#define VIRTQ_CHAIN_BYTES_MAX (1ull << 32)

int virtq_elem_init(struct virtq_elem *elem, const struct virtq *vq)
{
	*elem = (struct virtq_elem){ .iov_max = vq->size_max };
	elem->iov = calloc(elem->iov_max, sizeof(*elem->iov));
	return elem->iov ? 0 : -ENOMEM;
}

void virtq_elem_done(struct virtq_elem *elem)
{
	free(elem->iov);
	elem->iov = NULL;
}

int virtq_elem_add(struct virtq *vq, struct virtq_elem *elem, gpa_t addr, uint32_t len, bool in)
{
	unsigned int used = elem->out_count + elem->in_count;
	int n;

	if (!len)
		return virtq_fail(vq, "descriptor of length 0");
	if (!in && elem->in_count)
		return virtq_fail(vq, "device-readable descriptor after a device-writable one");
	if (elem->out_len + elem->in_len + len > VIRTQ_CHAIN_BYTES_MAX)
		return virtq_fail(vq, "chain of more than 4 GiB");
	n = mem_iov(&vq->vdev->dev->vm->mem, addr, len, elem->iov + used, elem->iov_max - used);
	if (n == -E2BIG)
		return virtq_fail(vq, "chain of more than %u buffers", elem->iov_max);
	if (n < 0)
		return virtq_fail(vq, "buffer of 0x%x bytes at 0x%llx is not in guest memory", len,
				  (unsigned long long)addr);
	if (in) {
		elem->in_count += (unsigned int)n;
		elem->in_len += len;
	} else {
		elem->out_count += (unsigned int)n;
		elem->out_len += len;
	}
	return 0;
}

int virtq_start(struct virtq *vq, struct err *err)
{
	vq->broken = false;
	vq->inflight = 0;
	return vq->format->start(vq, err);
}

void virtq_reset(struct virtq *vq)
{
	vq->size = vq->size_max;
	vq->desc = 0;
	vq->driver = 0;
	vq->device = 0;
	vq->enabled = false;
	vq->resetting = false;
	vq->broken = false;
	vq->inflight = 0;
}

int virtq_pop(struct virtq *vq, struct virtq_elem *elem)
{
	int ret;

	if (vq->broken)
		return -EIO;
	elem->out_count = 0;
	elem->in_count = 0;
	elem->out_len = 0;
	elem->in_len = 0;
	ret = vq->format->pop(vq, elem);
	if (ret > 0)
		vq->inflight++;
	return ret;
}

void virtq_rewind(struct virtq *vq, unsigned int pops, unsigned int pushes)
{
	vq->format->rewind(vq, pops, pushes);
	vq->inflight = (uint16_t)(vq->inflight + pushes - pops);
}

void virtq_push(struct virtq *vq, const struct virtq_elem *elem, uint32_t len)
{
	vq->inflight--;
	vq->format->push(vq, elem, len);
}

void virtq_publish(struct virtq *vq)
{
	vq->format->publish(vq);
}

void virtq_signal(struct virtq *vq)
{
	vq->format->publish(vq);
	if (vq->format->irq_wanted(vq))
		vq->vdev->transport->queue_irq(vq->vdev, vq->index);
}

void virtq_kick_off(struct virtq *vq)
{
	vq->format->kick_off(vq);
}

bool virtq_kick_on(struct virtq *vq)
{
	return !vq->broken && vq->format->kick_on(vq);
}

void virtq_kick_again(struct virtq *vq)
{
	io_eventfd_signal(vq->kick_fd);
}

bool virtq_running(const struct virtq *vq)
{
	return vq->enabled && !vq->broken && virtio_dev_running(vq->vdev);
}

void virtq_stop(struct virtq *vq, const char *why)
{
	struct virtio_dev *vdev = vq->vdev;

	vq->broken = true;
	log_limited(vdev->dev->vm->log, &vdev->limit, LOG_WARN, "%s: queue %u: %s", vdev->dev->id,
		    vq->index, why);
	virtio_dev_needs_reset(vdev);
}

int virtq_fail(struct virtq *vq, const char *fmt, ...)
{
	char why[256];
	va_list ap;
	int n = snprintf(why, sizeof(why), "the guest's driver broke the ring's rules: ");

	va_start(ap, fmt);
	n += vsnprintf(why + n, sizeof(why) - (size_t)n, fmt, ap);
	va_end(ap);
	if ((size_t)n < sizeof(why))
		snprintf(why + n, sizeof(why) - (size_t)n, "; stopped until it resets the device");
	virtq_stop(vq, why);
	return -EIO;
}
