// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Packed virtqueues, virtio 1.2 clause 2.8. The rules are explained in virtq.c; what is special:
 *
 * The device writes where the driver's descriptors are. So nothing is written before publish():
 * until then what was pushed stands in a list of this process, and a rewind finds the guest's
 * descriptors as they were. A buffer takes as many entries as its chain was long, and its used
 * descriptor makes way for as many; the lengths are kept by buffer id, not read again.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "virtio_dev.h"
#include "virtq.h"
#include "virtq_access.h"
#include "vmm/mem.h"
#include "vmm/vm.h"

#define DESC_BYTES sizeof(struct vring_packed_desc)
#define EVENT_BYTES sizeof(struct vring_packed_desc_event)
#define EVENT_ALIGN 4u
#define EVENT_OFF_WRAP 0
#define EVENT_FLAGS 2
#define F_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define F_USED (1u << VRING_PACKED_DESC_F_USED)
#define OFF_MASK 0x7fffu

struct desc {
	gpa_t addr;
	uint32_t len;
	uint16_t id;
	uint16_t flags;
};

static void desc_unpack(struct desc *d, uint64_t lo, uint64_t hi)
{
	d->addr = lo;
	d->len = (uint32_t)hi;
	d->id = (uint16_t)(hi >> 32);
	d->flags = (uint16_t)(hi >> 48);
}

/* Each byte of the descriptor is read here, once. Its flags come first and with acquire, for they
 * say whether the rest is there. */
static void copy_desc(struct desc *d, const void *ring, unsigned int i)
{
	const uint64_t *p = (const void *)((const char *)ring + i * DESC_BYTES);
	uint64_t hi = le64toh(__atomic_load_n(&p[1], __ATOMIC_ACQUIRE));
	uint64_t lo = le64toh(__atomic_load_n(&p[0], __ATOMIC_RELAXED));

	desc_unpack(d, lo, hi);
}

static void copy_indirect(struct desc *d, const void *table, unsigned int i)
{
	const volatile struct virtq_unaligned64 *p =
		(const volatile void *)((const char *)table + i * DESC_BYTES);
	uint64_t lo = le64toh(p[0].v);
	uint64_t hi = le64toh(p[1].v);

	desc_unpack(d, lo, hi);
}

static struct virtq_packed_pos advance(const struct virtq *vq, struct virtq_packed_pos pos,
				       unsigned int n)
{
	pos.at = (uint16_t)(pos.at + n);
	if (pos.at >= vq->size) {
		pos.at = (uint16_t)(pos.at - vq->size);
		pos.wrap = !pos.wrap;
	}
	return pos;
}

static bool is_avail(uint16_t flags, bool wrap)
{
	return !!(flags & F_AVAIL) == wrap && !!(flags & F_USED) != wrap;
}

/* 2.8.10: sizes and alignments of the three parts. */
static int packed_start(struct virtq *vq, struct err *err)
{
	const struct mem *mem = &vq->vdev->dev->vm->mem;
	struct virtq_packed_ring *r = &vq->packed;
	unsigned int i;

	*r = (struct virtq_packed_ring){ .avail = { 0, true }, .used = { 0, true } };
	for (i = 0; i < vq->size; i++)
		vq->packed_state[i] = (struct virtq_packed_state){ .slots = 0 };
	if (vq->desc & (DESC_BYTES - 1) || (vq->driver | vq->device) & (EVENT_ALIGN - 1))
		return err_set(err, -EINVAL, "ring at 0x%llx, 0x%llx, 0x%llx is not aligned",
			       (unsigned long long)vq->desc, (unsigned long long)vq->driver,
			       (unsigned long long)vq->device);
	r->desc = mem_ptr(mem, vq->desc, vq->size * DESC_BYTES);
	r->driver = mem_ptr(mem, vq->driver, EVENT_BYTES);
	r->device = mem_ptr(mem, vq->device, EVENT_BYTES);
	if (!r->desc || !r->driver || !r->device)
		return err_set(err, -EINVAL, "ring at 0x%llx, 0x%llx, 0x%llx is not in memory",
			       (unsigned long long)vq->desc, (unsigned long long)vq->driver,
			       (unsigned long long)vq->device);
	return 0;
}

/* 2.8.7: all of the table, in order, whatever NEXT says there. */
static int packed_table(struct virtq *vq, struct virtq_elem *elem, const struct desc *d)
{
	struct desc entry;
	const void *table;
	unsigned int i;
	int ret = 0;

	if (!vq->indirect || d->flags & VRING_DESC_F_NEXT)
		return virtq_fail(vq, "indirect table where none may be");
	if (!d->len || d->len % DESC_BYTES || d->len / DESC_BYTES > vq->size_max)
		return virtq_fail(vq, "indirect table of %u bytes", d->len);
	table = mem_ptr(&vq->vdev->dev->vm->mem, d->addr, d->len);
	if (!table)
		return virtq_fail(vq, "indirect table at 0x%llx is not in memory",
				  (unsigned long long)d->addr);
	for (i = 0; !ret && i < d->len / DESC_BYTES; i++) {
		copy_indirect(&entry, table, i);
		if (entry.flags & VRING_DESC_F_INDIRECT)
			return virtq_fail(vq, "indirect table in an indirect table");
		ret = virtq_elem_add(vq, elem, entry.addr, entry.len,
				     entry.flags & VRING_DESC_F_WRITE);
	}
	return ret;
}

/* Goes through the chain that begins with @d, which becomes its last descriptor. Its length in
 * entries, or -EIO after a violation. */
static int packed_chain(struct virtq *vq, struct virtq_elem *elem, struct desc *d)
{
	const struct virtq_packed_ring *r = &vq->packed;
	unsigned int room = vq->size - r->slots_out;
	struct virtq_packed_pos pos = r->avail;
	unsigned int slots = 1;
	int ret;

	for (;; slots++) {
		if (slots > room)
			return virtq_fail(vq, "chain of more descriptors than are free");
		if (d->flags & VRING_DESC_F_INDIRECT)
			ret = packed_table(vq, elem, d);
		else
			ret = virtq_elem_add(vq, elem, d->addr, d->len,
					     d->flags & VRING_DESC_F_WRITE);
		if (ret)
			return ret;
		if (!(d->flags & VRING_DESC_F_NEXT))
			return (int)slots;
		pos = advance(vq, pos, 1);
		copy_desc(d, r->desc, pos.at);
	}
}

static int packed_pop(struct virtq *vq, struct virtq_elem *elem)
{
	struct virtq_packed_ring *r = &vq->packed;
	struct virtq_packed_state *s = vq->packed_state;
	struct desc d;
	int slots;

	copy_desc(&d, r->desc, r->avail.at);
	if (!is_avail(d.flags, r->avail.wrap))
		return 0;
	slots = packed_chain(vq, elem, &d);
	if (slots < 0)
		return slots;
	/* The id is the driver's, of the chain's last descriptor. */
	if (d.id >= vq->size)
		return virtq_fail(vq, "buffer id %u of %u", d.id, vq->size);
	if (s[d.id].slots)
		return virtq_fail(vq, "buffer id %u, which is in flight", d.id);
	s[d.id].slots = (uint16_t)slots;
	s[r->pops++ & (vq->size - 1u)].taken = d.id;
	r->slots_out = (uint16_t)(r->slots_out + slots);
	r->avail = advance(vq, r->avail, (unsigned int)slots);
	elem->id = d.id;
	return 1;
}

static void packed_rewind(struct virtq *vq, unsigned int pops, unsigned int pushes)
{
	struct virtq_packed_ring *r = &vq->packed;
	struct virtq_packed_state *s = vq->packed_state;

	r->pending = (uint16_t)(r->pending - pushes);
	while (pops--) {
		uint16_t id = s[--r->pops & (vq->size - 1u)].taken;
		unsigned int slots = s[id].slots;

		r->slots_out = (uint16_t)(r->slots_out - slots);
		/* Back by n is forward by the rest of the ring, in the wrap before. */
		r->avail = advance(vq, r->avail, vq->size - slots);
		r->avail.wrap = !r->avail.wrap;
		s[id].slots = 0;
	}
}

static void packed_push(struct virtq *vq, const struct virtq_elem *elem, uint32_t len)
{
	struct virtq_packed_state *s = &vq->packed_state[vq->packed.pending++];

	s->pushed = elem->id;
	s->len = len;
}

/* 2.8.8: id and length, then the flags, in which both bits are the device's wrap counter. */
static void write_used(struct virtq *vq, const struct virtq_packed_state *s,
		       struct virtq_packed_pos pos)
{
	uint64_t *p = (void *)((char *)vq->packed.desc + pos.at * DESC_BYTES);
	uint16_t flags = pos.wrap ? F_AVAIL | F_USED : 0;
	uint64_t v;

	if (s->len)
		flags |= VRING_DESC_F_WRITE;
	v = s->len | (uint64_t)s->pushed << 32 | (uint64_t)flags << 48;
	__atomic_store_n(&p[1], htole64(v), __ATOMIC_RELEASE);
}

/* The first one last: the driver looks at it before the others, and then sees all. */
static void packed_publish(struct virtq *vq)
{
	struct virtq_packed_ring *r = &vq->packed;
	struct virtq_packed_state *s = vq->packed_state;
	struct virtq_packed_pos first = r->used;
	unsigned int i;

	for (i = 0; i < r->pending; i++) {
		unsigned int slots = s[s[i].pushed].slots;

		if (i)
			write_used(vq, &s[i], r->used);
		r->used = advance(vq, r->used, slots);
		r->slots_out = (uint16_t)(r->slots_out - slots);
		r->unsignalled += slots;
		s[s[i].pushed].slots = 0;
	}
	if (r->pending)
		write_used(vq, &s[0], first);
	r->pending = 0;
}

/* 2.8.10: the driver's event suppression. */
static bool packed_irq_wanted(struct virtq *vq)
{
	struct virtq_packed_ring *r = &vq->packed;
	unsigned int fresh = r->unsignalled;
	uint16_t flags, off_wrap, off;

	if (!fresh)
		return false;
	r->unsignalled = 0;
	atomic_thread_fence(memory_order_seq_cst);
	flags = virtq_load16(r->driver, EVENT_FLAGS) & 3;
	if (flags == VRING_PACKED_EVENT_FLAG_DISABLE)
		return false;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !vq->event_idx || fresh >= vq->size)
		return true;
	off_wrap = virtq_load16(r->driver, EVENT_OFF_WRAP);
	off = off_wrap & OFF_MASK;
	if (off_wrap >> VRING_PACKED_EVENT_F_WRAP_CTR != r->used.wrap)
		off = (uint16_t)(off - vq->size);
	return vring_need_event(off, r->used.at, (uint16_t)(r->used.at - fresh));
}

static void packed_kick_off(struct virtq *vq)
{
	virtq_store16(vq->packed.device, EVENT_FLAGS, VRING_PACKED_EVENT_FLAG_DISABLE);
}

static bool packed_kick_on(struct virtq *vq)
{
	struct virtq_packed_ring *r = &vq->packed;
	const uint64_t *next = (const void *)((const char *)r->desc + r->avail.at * DESC_BYTES);
	uint16_t wrap = r->avail.wrap;

	if (vq->event_idx) {
		virtq_store16(r->device, EVENT_OFF_WRAP,
			      (uint16_t)(r->avail.at | wrap << VRING_PACKED_EVENT_F_WRAP_CTR));
		atomic_thread_fence(memory_order_release);
		virtq_store16(r->device, EVENT_FLAGS, VRING_PACKED_EVENT_FLAG_DESC);
	} else {
		virtq_store16(r->device, EVENT_FLAGS, VRING_PACKED_EVENT_FLAG_ENABLE);
	}
	atomic_thread_fence(memory_order_seq_cst);
	/* Only a look: what is taken is what packed_pop() copies. */
	return is_avail((uint16_t)(le64toh(__atomic_load_n(&next[1], __ATOMIC_ACQUIRE)) >> 48),
			r->avail.wrap);
}

const struct virtq_format virtq_packed = {
	.name = "packed",
	.start = packed_start,
	.pop = packed_pop,
	.rewind = packed_rewind,
	.push = packed_push,
	.publish = packed_publish,
	.irq_wanted = packed_irq_wanted,
	.kick_off = packed_kick_off,
	.kick_on = packed_kick_on,
};
