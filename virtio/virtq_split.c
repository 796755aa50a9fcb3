// SPDX-License-Identifier: GPL-2.0-or-later
/* Split virtqueues, virtio 1.2 clause 2.7. The rules are explained in virtq.c. */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "base/util.h"
#include "virtio_dev.h"
#include "virtq.h"
#include "virtq_access.h"
#include "vmm/mem.h"
#include "vmm/vm.h"

#define AVAIL_FLAGS 0
#define AVAIL_IDX 2
#define AVAIL_RING 4
#define USED_FLAGS 0
#define USED_IDX 2
#define USED_RING 4
#define DESC_BYTES sizeof(struct vring_desc)
#define USED_BYTES sizeof(struct vring_used_elem)

/* The rings are aligned to 2, 4 and 16 bytes (split_start()), so these are single accesses. */
static uint16_t load16_acquire(const void *base, size_t off)
{
	const uint16_t *p = (const void *)((const char *)base + off);

	return le16toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

static void store16_release(void *base, size_t off, uint16_t v)
{
	uint16_t *p = (void *)((char *)base + off);

	__atomic_store_n(p, htole16(v), __ATOMIC_RELEASE);
}

static void store32(void *base, size_t off, uint32_t v)
{
	uint32_t *p = (void *)((char *)base + off);

	__atomic_store_n(p, htole32(v), __ATOMIC_RELAXED);
}

struct desc {
	gpa_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

/* Each byte of the descriptor is read here, once, and nowhere else. */
static void copy_desc(struct desc *d, const void *table, unsigned int i)
{
	const volatile struct virtq_unaligned64 *p =
		(const volatile void *)((const char *)table + i * DESC_BYTES);
	uint64_t lo = le64toh(p[0].v);
	uint64_t hi = le64toh(p[1].v);

	d->addr = lo;
	d->len = (uint32_t)hi;
	d->flags = (uint16_t)(hi >> 32);
	d->next = (uint16_t)(hi >> 48);
}

/* 2.7: size and alignment of the three parts. */
static int split_start(struct virtq *vq, struct err *err)
{
	const struct mem *mem = &vq->vdev->dev->vm->mem;
	struct virtq_split_ring *r = &vq->split;
	size_t n = vq->size;

	*r = (struct virtq_split_ring){ .desc = NULL };
	if (vq->desc & (VRING_DESC_ALIGN_SIZE - 1) || vq->driver & (VRING_AVAIL_ALIGN_SIZE - 1) ||
	    vq->device & (VRING_USED_ALIGN_SIZE - 1))
		return err_set(err, -EINVAL, "rings at 0x%llx, 0x%llx, 0x%llx are not aligned",
			       (unsigned long long)vq->desc, (unsigned long long)vq->driver,
			       (unsigned long long)vq->device);
	r->desc = mem_ptr(mem, vq->desc, n * DESC_BYTES);
	r->avail = mem_ptr(mem, vq->driver, AVAIL_RING + n * sizeof(uint16_t) + sizeof(uint16_t));
	r->used = mem_ptr(mem, vq->device, USED_RING + n * USED_BYTES + sizeof(uint16_t));
	if (!r->desc || !r->avail || !r->used)
		return err_set(err, -EINVAL, "rings at 0x%llx, 0x%llx, 0x%llx are not in memory",
			       (unsigned long long)vq->desc, (unsigned long long)vq->driver,
			       (unsigned long long)vq->device);
	return 0;
}

uint16_t virtq_split_used_index(const struct virtq *vq)
{
	return load16_acquire(vq->split.used, USED_IDX);
}

uint16_t virtq_split_avail_index(const struct virtq *vq)
{
	return load16_acquire(vq->split.avail, AVAIL_IDX);
}

/* Follows the links from @head. -EIO after a violation. */
static int split_chain(struct virtq *vq, struct virtq_elem *elem, uint16_t head)
{
	const void *table = vq->split.desc;
	unsigned int entries = vq->size;
	unsigned int left = entries;
	unsigned int i = head;
	bool indirect = false; /* not to be told by the address: a table may lie on the ring */
	struct desc d;
	int ret;

	for (;;) {
		if (!left--)
			return virtq_fail(vq, "descriptors form a loop");
		copy_desc(&d, table, i);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (!vq->indirect || indirect || d.flags & VRING_DESC_F_NEXT)
				return virtq_fail(vq, "indirect table where none may be");
			if (!d.len || d.len % DESC_BYTES || d.len / DESC_BYTES > vq->size_max)
				return virtq_fail(vq, "indirect table of %u bytes", d.len);
			table = mem_ptr(&vq->vdev->dev->vm->mem, d.addr, d.len);
			if (!table)
				return virtq_fail(vq, "indirect table at 0x%llx is not in memory",
						  (unsigned long long)d.addr);
			entries = d.len / DESC_BYTES;
			left = entries;
			indirect = true;
			i = 0;
			continue;
		}
		ret = virtq_elem_add(vq, elem, d.addr, d.len, d.flags & VRING_DESC_F_WRITE);
		if (ret || !(d.flags & VRING_DESC_F_NEXT))
			return ret;
		i = d.next;
		if (i >= entries)
			return virtq_fail(vq, "descriptor %u of %u", i, entries);
	}
}

/* True when there are entries to take. A jump of the index breaks the queue. */
static bool split_look(struct virtq *vq)
{
	struct virtq_split_ring *r = &vq->split;
	uint16_t idx = load16_acquire(r->avail, AVAIL_IDX);

	if ((uint16_t)(idx - r->avail_next) > vq->size) {
		virtq_fail(vq, "available index %u after %u, the ring has %u entries", idx,
			   r->avail_next, vq->size);
		return false;
	}
	r->avail_seen = idx;
	return idx != r->avail_next;
}

static int split_pop(struct virtq *vq, struct virtq_elem *elem)
{
	struct virtq_split_ring *r = &vq->split;
	size_t slot = r->avail_next & (vq->size - 1u);
	uint16_t head;
	int ret;

	if (r->avail_next == r->avail_seen && !split_look(vq))
		return vq->broken ? -EIO : 0;
	if (vq->inflight >= vq->size)
		return virtq_fail(vq, "more buffers in flight than the ring has entries");
	head = virtq_load16(r->avail, AVAIL_RING + slot * sizeof(uint16_t));
	if (head >= vq->size)
		return virtq_fail(vq, "head %u of %u", head, vq->size);
	ret = split_chain(vq, elem, head);
	if (ret)
		return ret;
	elem->id = head;
	r->avail_next++;
	return 1;
}

static void split_rewind(struct virtq *vq, unsigned int pops, unsigned int pushes)
{
	vq->split.avail_next = (uint16_t)(vq->split.avail_next - pops);
	vq->split.used_next = (uint16_t)(vq->split.used_next - pushes);
}

static void split_push(struct virtq *vq, const struct virtq_elem *elem, uint32_t len)
{
	struct virtq_split_ring *r = &vq->split;
	size_t at = USED_RING + (r->used_next & (vq->size - 1u)) * USED_BYTES;

	store32(r->used, at, elem->id);
	store32(r->used, at + sizeof(uint32_t), len);
	r->used_next++;
}

static void split_publish(struct virtq *vq)
{
	store16_release(vq->split.used, USED_IDX, vq->split.used_next);
}

static bool split_irq_wanted(struct virtq *vq)
{
	struct virtq_split_ring *r = &vq->split;
	uint16_t before = r->used_signalled;
	uint16_t event;

	if (before == r->used_next)
		return false;
	r->used_signalled = r->used_next;
	atomic_thread_fence(memory_order_seq_cst);
	if (!vq->event_idx)
		return !(virtq_load16(r->avail, AVAIL_FLAGS) & VRING_AVAIL_F_NO_INTERRUPT);
	event = virtq_load16(r->avail, AVAIL_RING + vq->size * sizeof(uint16_t));
	return vring_need_event(event, r->used_next, before);
}

static void split_kick_off(struct virtq *vq)
{
	/* With the event index an old index stays where it is, and asks for nothing. */
	if (!vq->event_idx)
		virtq_store16(vq->split.used, USED_FLAGS, VRING_USED_F_NO_NOTIFY);
}

static bool split_kick_on(struct virtq *vq)
{
	struct virtq_split_ring *r = &vq->split;

	if (vq->event_idx)
		virtq_store16(r->used, USED_RING + vq->size * USED_BYTES, r->avail_next);
	else
		virtq_store16(r->used, USED_FLAGS, 0);
	atomic_thread_fence(memory_order_seq_cst);
	return split_look(vq);
}

const struct virtq_format virtq_split = {
	.name = "split",
	.start = split_start,
	.pop = split_pop,
	.rewind = split_rewind,
	.push = split_push,
	.publish = split_publish,
	.irq_wanted = split_irq_wanted,
	.kick_off = split_kick_off,
	.kick_on = split_kick_on,
};
