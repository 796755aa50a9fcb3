// SPDX-License-Identifier: GPL-2.0-or-later
/* The rings' rules: what a driver may do works, and every violation breaks the queue, says so and
 * ends there. F01 to F07 of the faults that other VMMs had. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "load_trap.h"
#include "virtq_rig.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define EVENT_IDX BIT64(VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT_DESC BIT64(VIRTIO_RING_F_INDIRECT_DESC)

#define SIZE 8u
#define SIZE_MAX_OFFERED 16u
#define RAM (1 * MIB)
#define TABLE 0x50000u

static int setup(void **state)
{
	*state = rig_open(RAM, SIZE_MAX_OFFERED);
	assert_non_null(*state);
	rig_start(*state, SIZE, EVENT_IDX | INDIRECT_DESC);
	assert_true(((struct virtq_rig *)*state)->vq->enabled);
	return 0;
}

static int teardown(void **state)
{
	rig_close(*state);
	return 0;
}

static int pop(struct virtq_rig *r)
{
	return virtq_pop(r->vq, &r->elem);
}

/* The next pop breaks the queue, which then stays broken until the driver resets the device. */
static void expect_violation(struct virtq_rig *r)
{
	unsigned int irqs = r->config_irqs;

	assert_int_equal(pop(r), -EIO);
	assert_true(rig_broken(r));
	assert_true(r->vq->broken);
	assert_int_equal(r->config_irqs, irqs + 1);
	assert_false(virtq_running(r->vq));
	assert_int_equal(pop(r), -EIO);
	assert_false(virtq_kick_on(r->vq));
	assert_int_equal(r->config_irqs, irqs + 1);
	rig_start(r, SIZE, EVENT_IDX | INDIRECT_DESC);
	assert_false(rig_broken(r));
	assert_true(virtq_running(r->vq));
	rig_avail_idx(r, 0);
	assert_int_equal(pop(r), 0);
}

static void chain_of_both_kinds(void **state)
{
	struct virtq_rig *r = *state;
	const struct iovec *iov;

	rig_desc(r, 3, RIG_DATA, 10, NEXT, 1);
	rig_desc(r, 1, RIG_DATA + 100, 20, NEXT, 7);
	rig_desc(r, 7, RIG_DATA + 200, 30, WRITE | NEXT, 0);
	rig_desc(r, 0, RIG_DATA + 300, 40, WRITE, 0);
	assert_int_equal(pop(r), 0);
	rig_post(r, 3);
	assert_int_equal(pop(r), 1);
	assert_int_equal(r->elem.id, 3);
	assert_int_equal(r->elem.out_count, 2);
	assert_int_equal(r->elem.in_count, 2);
	assert_int_equal(r->elem.out_len, 30);
	assert_int_equal(r->elem.in_len, 70);
	iov = virtq_elem_out(&r->elem);
	assert_ptr_equal(iov[0].iov_base, r->ram + RIG_DATA);
	assert_int_equal(iov[1].iov_len, 20);
	iov = virtq_elem_in(&r->elem);
	assert_ptr_equal(iov[0].iov_base, r->ram + RIG_DATA + 200);
	assert_int_equal(iov[1].iov_len, 40);
	assert_int_equal(pop(r), 0);

	virtq_push(r->vq, &r->elem, 33);
	assert_int_equal(rig_used_idx(r), 0);
	virtq_publish(r->vq);
	assert_int_equal(rig_used_idx(r), 1);
	assert_int_equal(get_le32(r->ram + RIG_USED + 4), 3);
	assert_int_equal(get_le32(r->ram + RIG_USED + 8), 33);
}

/* More buffers than an index counts, with every wrap on the way. */
static void indices_wrap(void **state)
{
	struct virtq_rig *r = *state;
	unsigned int i;

	rig_desc(r, 5, RIG_DATA, 1, 0, 0);
	for (i = 0; i < 70000; i++) {
		rig_post(r, 5);
		assert_int_equal(pop(r), 1);
		virtq_push(r->vq, &r->elem, i);
		virtq_signal(r->vq);
		assert_int_equal(rig_used_idx(r), (uint16_t)(i + 1));
	}
	assert_int_equal(pop(r), 0);
	/* used_event stayed 0: one interrupt each time the index went past it. */
	assert_int_equal(r->queue_irqs, 2);
}

static void interrupts_by_index(void **state)
{
	struct virtq_rig *r = *state;
	uint8_t *used_event = r->ram + RIG_AVAIL + 4 + SIZE * 2ull;
	unsigned int i;

	rig_desc(r, 0, RIG_DATA, 1, 0, 0);
	put_le16(used_event, 2);
	for (i = 1; i <= 4; i++) {
		rig_post(r, 0);
		assert_int_equal(pop(r), 1);
		virtq_push(r->vq, &r->elem, 0);
		virtq_signal(r->vq);
		assert_int_equal(r->queue_irqs, i >= 3);
		virtq_signal(r->vq); /* nothing new */
		assert_int_equal(r->queue_irqs, i >= 3);
	}
	put_le16(used_event, 5);
	for (i = 0; i < 4; i++) {
		rig_post(r, 0);
		assert_int_equal(pop(r), 1);
		virtq_push(r->vq, &r->elem, 0);
	}
	virtq_signal(r->vq); /* a batch over the event: one */
	assert_int_equal(r->queue_irqs, 2);
}

static void kicks_by_index(void **state)
{
	struct virtq_rig *r = *state;
	const uint8_t *avail_event = r->ram + RIG_USED + 4 + SIZE * 8ull;

	rig_desc(r, 0, RIG_DATA, 1, 0, 0);
	assert_false(virtq_kick_on(r->vq));
	assert_int_equal(get_le16(avail_event), 0);
	rig_post(r, 0);
	assert_true(virtq_kick_on(r->vq)); /* came before the question */
	assert_int_equal(pop(r), 1);
	assert_false(virtq_kick_on(r->vq));
	assert_int_equal(get_le16(avail_event), 1);
	virtq_kick_off(r->vq);
	assert_int_equal(get_le16(avail_event), 1);
	assert_int_equal(get_le16(r->ram + RIG_USED), 0);
}

static void suppression_by_flags(void **state)
{
	struct virtq_rig *r = *state;

	rig_start(r, SIZE, 0);
	rig_desc(r, 0, RIG_DATA, 1, 0, 0);
	virtq_kick_off(r->vq);
	assert_int_equal(get_le16(r->ram + RIG_USED), VRING_USED_F_NO_NOTIFY);
	assert_false(virtq_kick_on(r->vq));
	assert_int_equal(get_le16(r->ram + RIG_USED), 0);
	rig_post(r, 0);
	assert_int_equal(pop(r), 1);
	virtq_push(r->vq, &r->elem, 0);
	virtq_signal(r->vq);
	assert_int_equal(r->queue_irqs, 1);
	virtq_signal(r->vq); /* nothing new */
	assert_int_equal(r->queue_irqs, 1);
	put_le16(r->ram + RIG_AVAIL, VRING_AVAIL_F_NO_INTERRUPT);
	rig_post(r, 0);
	assert_int_equal(pop(r), 1);
	virtq_push(r->vq, &r->elem, 0);
	virtq_signal(r->vq);
	assert_int_equal(r->queue_irqs, 1);
}

static void rewind_takes_back(void **state)
{
	struct virtq_rig *r = *state;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		rig_desc(r, i, RIG_DATA + i * 16, 16, WRITE, 0);
		rig_post(r, (uint16_t)i);
	}
	assert_int_equal(pop(r), 1);
	virtq_push(r->vq, &r->elem, 1);
	virtq_publish(r->vq);
	assert_int_equal(pop(r), 1);
	virtq_push(r->vq, &r->elem, 2);
	assert_int_equal(pop(r), 1);
	assert_int_equal(r->elem.id, 2);
	virtq_rewind(r->vq, 2, 1);
	virtq_publish(r->vq);
	assert_int_equal(rig_used_idx(r), 1);
	assert_int_equal(pop(r), 1);
	assert_int_equal(r->elem.id, 1);
	assert_int_equal(r->vq->inflight, 1);
}

static void indirect_tables(void **state)
{
	struct virtq_rig *r = *state;
	unsigned int i;

	/* 2.7.5.3: direct descriptors first, then the table; 16 entries though the ring has 8. */
	rig_desc(r, 0, RIG_DATA, 4, 0, 0);
	rig_desc(r, 2, TABLE + 4, 15 * 16, INDIRECT | WRITE, 99);
	rig_desc(r, 0, RIG_DATA, 4, NEXT, 2);
	for (i = 0; i < 15; i++)
		rig_desc_at(r, TABLE + 4, i, RIG_DATA + 64 * i, 8, WRITE | (i < 14 ? NEXT : 0),
			    (uint16_t)(i + 1));
	rig_post(r, 0);
	assert_int_equal(pop(r), 1);
	assert_int_equal(r->elem.out_count, 1);
	assert_int_equal(r->elem.in_count, 15);
	assert_int_equal(r->elem.in_len, 15 * 8);
	virtq_push(r->vq, &r->elem, 0);

	/* The table's length must not stand for the ring's at the next chain. */
	rig_desc(r, 1, RIG_DATA, 4, NEXT, 12);
	rig_post(r, 1);
	expect_violation(r);
}

static void f01_loops(void **state)
{
	struct virtq_rig *r = *state;
	unsigned int i;

	rig_desc(r, 0, RIG_DATA, 4, NEXT, 1);
	rig_desc(r, 1, RIG_DATA, 4, NEXT, 0);
	rig_post(r, 0);
	expect_violation(r);

	rig_desc(r, 0, RIG_DATA, 4, NEXT, 0);
	rig_post(r, 0);
	expect_violation(r);

	rig_desc(r, 0, TABLE, 2 * 16, INDIRECT, 0);
	rig_desc_at(r, TABLE, 0, RIG_DATA, 4, NEXT, 1);
	rig_desc_at(r, TABLE, 1, RIG_DATA, 4, NEXT, 0);
	rig_post(r, 0);
	expect_violation(r);

	/* As long as the ring is not a loop. */
	for (i = 0; i < SIZE; i++)
		rig_desc(r, i, RIG_DATA, 4, i + 1 < SIZE ? NEXT : 0, (uint16_t)(i + 1));
	rig_post(r, 0);
	assert_int_equal(pop(r), 1);
	assert_int_equal(r->elem.out_count, SIZE);
}

static void f02_lengths_of_zero(void **state)
{
	struct virtq_rig *r = *state;

	rig_desc(r, 0, RIG_DATA, 0, 0, 0);
	rig_post(r, 0);
	expect_violation(r);

	rig_desc(r, 0, RIG_DATA, 0, NEXT, 1);
	rig_desc(r, 1, RIG_DATA, 0, WRITE, 0);
	rig_post(r, 0);
	expect_violation(r);
}

static void f03_index_jumps(void **state)
{
	struct virtq_rig *r = *state;
	static const uint16_t jumps[] = { SIZE + 1, 0x7fff, 0x8000, 0xffff };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(jumps); i++) {
		rig_avail_idx(r, jumps[i]);
		expect_violation(r);
	}
	/* Also when it is seen by the second look. */
	rig_avail_idx(r, SIZE + 1);
	assert_false(virtq_kick_on(r->vq));
	assert_true(rig_broken(r));
	rig_start(r, SIZE, EVENT_IDX);

	rig_desc(r, 0, RIG_DATA, 1, 0, 0);
	for (i = 0; i < SIZE; i++)
		rig_post(r, 0);
	assert_int_equal(pop(r), 1);
	/* Going back is a jump too, once the entries that were seen are used up. */
	rig_avail_idx(r, 0);
	for (i = 1; i < SIZE; i++)
		assert_int_equal(pop(r), 1);
	assert_int_equal(pop(r), -EIO);
	assert_true(rig_broken(r));
}

static void f04_indices(void **state)
{
	struct virtq_rig *r = *state;

	rig_post(r, SIZE);
	expect_violation(r);
	rig_post(r, 0xffff);
	expect_violation(r);
	rig_desc(r, 0, RIG_DATA, 4, NEXT, SIZE);
	rig_post(r, 0);
	expect_violation(r);
	rig_desc(r, 0, RIG_DATA, 4, NEXT, 0xffff);
	rig_post(r, 0);
	expect_violation(r);
}

static void f04_indirect(void **state)
{
	struct virtq_rig *r = *state;
	static const uint32_t lengths[] = { 0,	   1,	   15, 17, 24, (SIZE_MAX_OFFERED + 1) * 16,
					    0x10010, 0x100000, 0xfffffff0 };
	unsigned int i;

	rig_desc_at(r, TABLE, 0, RIG_DATA, 4, 0, 0);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		rig_desc(r, 0, TABLE, lengths[i], INDIRECT, 0);
		rig_post(r, 0);
		expect_violation(r);
	}
	rig_desc(r, 0, TABLE, 16, INDIRECT | NEXT, 1);
	rig_desc(r, 1, RIG_DATA, 4, 0, 0);
	rig_post(r, 0);
	expect_violation(r);

	rig_desc(r, 0, TABLE, 16, INDIRECT, 0);
	rig_desc_at(r, TABLE, 0, TABLE + 64, 16, INDIRECT, 0);
	rig_desc_at(r, TABLE, 4, RIG_DATA, 4, 0, 0);
	rig_post(r, 0);
	expect_violation(r);

	/* Beyond the table, where a descriptor would be good. */
	rig_desc_at(r, TABLE, 0, RIG_DATA, 4, NEXT, 1);
	rig_desc_at(r, TABLE, 1, RIG_DATA, 4, 0, 0);
	rig_post(r, 0);
	expect_violation(r);

	/* A table that is the ring itself: nested, and without end (found by virtq_fuzz). */
	rig_desc(r, 0, RIG_DESC, 16, INDIRECT, 0);
	rig_post(r, 0);
	expect_violation(r);

	/* A table that leaves memory, and one where nothing is. */
	rig_desc(r, 0, RAM - 16, 32, INDIRECT, 0);
	rig_post(r, 0);
	expect_violation(r);
	rig_desc(r, 0, UINT64_MAX - 15, 32, INDIRECT, 0);
	rig_post(r, 0);
	expect_violation(r);

	/* Not negotiated. */
	rig_start(r, SIZE, EVENT_IDX);
	rig_desc_at(r, TABLE, 0, RIG_DATA, 4, 0, 0);
	rig_desc(r, 0, TABLE, 16, INDIRECT, 0);
	rig_post(r, 0);
	expect_violation(r);
}

/* Direct and indirect together are bounded by the iovec, inside the loop. */
static void chain_longer_than_any(void **state)
{
	struct virtq_rig *r = *state;
	unsigned int i;

	for (i = 0; i < SIZE - 1; i++)
		rig_desc(r, i, RIG_DATA, 4, NEXT, (uint16_t)(i + 1));
	rig_desc(r, SIZE - 1, TABLE, SIZE_MAX_OFFERED * 16, INDIRECT, 0);
	for (i = 0; i < SIZE_MAX_OFFERED; i++)
		rig_desc_at(r, TABLE, i, RIG_DATA, 4, i + 1 < SIZE_MAX_OFFERED ? NEXT : 0,
			    (uint16_t)(i + 1));
	rig_post(r, 0);
	expect_violation(r);
}

static void f05_head_twice(void **state)
{
	struct virtq_rig *r = *state;
	struct virtq_elem second;
	unsigned int i;

	assert_int_equal(virtq_elem_init(&second, r->vq), 0);
	rig_desc(r, 2, RIG_DATA, 4, WRITE, 0);
	rig_post(r, 2);
	rig_post(r, 2);
	assert_int_equal(pop(r), 1);
	assert_int_equal(virtq_pop(r->vq, &second), 1);
	virtq_push(r->vq, &r->elem, 4);
	virtq_push(r->vq, &second, 4);
	virtq_publish(r->vq);
	assert_int_equal(rig_used_idx(r), 2);
	assert_int_equal(r->vq->inflight, 0);
	virtq_elem_done(&second);

	/* And more at once than the ring could hold. */
	for (i = 0; i < SIZE; i++) {
		rig_post(r, 2);
		assert_int_equal(pop(r), 1);
	}
	rig_post(r, 2);
	assert_int_equal(pop(r), -EIO);
	assert_true(rig_broken(r));
}

static void order_of_kinds(void **state)
{
	struct virtq_rig *r = *state;

	rig_desc(r, 0, RIG_DATA, 4, WRITE | NEXT, 1);
	rig_desc(r, 1, RIG_DATA, 4, 0, 0);
	rig_post(r, 0);
	expect_violation(r);
}

static void f07_addresses(void **state)
{
	struct virtq_rig *r = *state;
	static const struct {
		gpa_t addr;
		uint32_t len;
	} bad[] = {
		{ UINT64_MAX, 1 },
		{ UINT64_MAX, 2 },
		{ UINT64_MAX - 0xfff, 0x2000 },
		{ RAM - 1, 2 },
		{ RAM, 1 },
		{ 0, 0xffffffff },
		{ RIG_DATA, 0xffffffff },
		{ 0xc0000000, 4 },	   /* the window of BARs */
		{ 0xfee00000, 4 },	   /* where messages go */
		{ 0x8000000000000000, 4 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		rig_desc(r, 0, bad[i].addr, bad[i].len, i & 1 ? WRITE : 0, 0);
		rig_post(r, 0);
		expect_violation(r);
	}
	rig_desc(r, 0, RAM - 1, 1, 0, 0);
	rig_post(r, 0);
	assert_int_equal(pop(r), 1);
}

/* Two banks with the hole between them. */
static void f07_banks(void **state)
{
	struct virtq_rig *r = rig_open(0xc0000000ull + 2 * MIB, SIZE_MAX_OFFERED);
	static const struct {
		gpa_t addr;
		uint32_t len;
		bool good;
	} spans[] = {
		{ 0xbffff000, 0x1000, true },  { 0xbffff000, 0x1001, false },
		{ 0xbfffffff, 2, false },      { 0xc0000000, 1, false },
		{ 0xffffffff, 1, false },      { 0xffffffff, 2, false },
		{ 0x100000000, 0x200000, true }, { 0x100000000, 0x200001, false },
		{ 0xbffff000, 0x40002000, false },
	};
	unsigned int i;

	(void)state;
	assert_int_equal(r->vm.mem.bank_count, 2);
	for (i = 0; i < ARRAY_SIZE(spans); i++) {
		rig_start(r, SIZE, EVENT_IDX);
		rig_desc(r, 0, spans[i].addr, spans[i].len, 0, 0);
		rig_avail_idx(r, 0);
		rig_post(r, 0);
		assert_int_equal(pop(r), spans[i].good ? 1 : -EIO);
	}
	/* 2^32 bytes and no more, whatever the descriptors' number. */
	rig_start(r, SIZE, EVENT_IDX);
	rig_desc(r, 0, 0, 0x80000000, NEXT, 1);
	rig_desc(r, 1, 0, 0x80000000, NEXT | WRITE, 2);
	rig_desc(r, 2, 0, 1, WRITE, 0);
	rig_avail_idx(r, 0);
	rig_post(r, 0);
	assert_int_equal(pop(r), -EIO);
	rig_close(r);
}

static void rings_must_be_memory(void **state)
{
	struct virtq_rig *r = *state;
	static const gpa_t bad[][3] = {
		{ RIG_DESC + 8, RIG_AVAIL, RIG_USED },	 { RIG_DESC, RIG_AVAIL + 1, RIG_USED },
		{ RIG_DESC, RIG_AVAIL, RIG_USED + 2 },	 { RAM - 16, RIG_AVAIL, RIG_USED },
		{ RIG_DESC, RAM - 16, RIG_USED },	 { RIG_DESC, RIG_AVAIL, RAM - 64 },
		{ 0xfee00000, RIG_AVAIL, RIG_USED },	 { RIG_DESC, UINT64_MAX - 1, RIG_USED },
		{ RIG_DESC, RIG_AVAIL, UINT64_MAX - 3 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		virtio_dev_set_status(&r->vdev, 0);
		virtio_dev_ack(&r->vdev, 1, 1);
		virtio_dev_set_status(&r->vdev, VIRTIO_CONFIG_S_FEATURES_OK);
		r->vq->desc = bad[i][0];
		r->vq->driver = bad[i][1];
		r->vq->device = bad[i][2];
		virtio_queue_enable(r->vq);
		assert_false(r->vq->enabled);
		assert_true(rig_broken(r));
		assert_false(virtq_running(r->vq));
	}
}

/* F06: every byte of a descriptor, of the index and of the head is fetched once. */
static void f06_each_byte_once(void **state)
{
	struct virtq_rig *r = *state;
	const uint8_t *desc = r->ram + RIG_DESC;
	const uint8_t *table = r->ram + TABLE;
	unsigned int i;
	int ret;

	rig_desc(r, 0, RIG_DATA, 12, NEXT, 4);
	rig_desc(r, 4, TABLE, 32, INDIRECT, 0);
	rig_desc_at(r, TABLE, 0, RIG_DATA, 8, NEXT, 1);
	rig_desc_at(r, TABLE, 1, RIG_DATA + 64, 8, WRITE, 0);
	rig_post(r, 0);
	load_trap_on((uint8_t *[]){ r->ram + RIG_DESC, r->ram + RIG_AVAIL, r->ram + RIG_USED,
				    r->ram + TABLE },
		     4);
	ret = pop(r);
	load_trap_off();

	assert_int_equal(ret, 1);
	/* Four descriptors in two loads of 8 bytes each, the index, the head. */
	for (i = 0; i < 2; i++) {
		assert_int_equal(load_trap_count(desc + 8ull * i), 1);
		assert_int_equal(load_trap_count(desc + 64 + 8ull * i), 1);
		assert_int_equal(load_trap_count(table + 8ull * i), 1);
		assert_int_equal(load_trap_count(table + 16 + 8ull * i), 1);
	}
	assert_int_equal(load_trap_count(r->ram + RIG_AVAIL + 2), 1);
	assert_int_equal(load_trap_count(r->ram + RIG_AVAIL + 4), 1);
	assert_int_equal(load_trap.count, 10);
}

/* F06 and F03 by brute force: a second vCPU rewrites descriptors and the index all the time. What
 * comes out is always within memory, and never more than the ring holds in one pass. */

static void *flip(void *opaque)
{
	struct virtq_rig *r = opaque;
	volatile uint64_t *addr = (void *)(r->ram + RIG_DESC);
	volatile uint32_t *len = (void *)(r->ram + RIG_DESC + 8);
	volatile uint16_t *flags = (void *)(r->ram + RIG_DESC + 12);
	volatile uint16_t *idx = (void *)(r->ram + RIG_AVAIL + 2);
	atomic_bool *stop = (void *)(r->ram + RIG_DATA + 0x8000);
	unsigned int i = 0;

	while (!atomic_load(stop)) {
		*addr = i & 1 ? RIG_DATA : UINT64_MAX - 8;
		*len = i & 2 ? 16 : 0xffffffff;
		*flags = (uint16_t)(i >> 2 & 7);
		if (!(i % 512))
			*idx = (uint16_t)(*idx + 1);
		i++;
	}
	return NULL;
}

static void elem_within_ram(const struct virtq_rig *r)
{
	unsigned int i;

	for (i = 0; i < r->elem.out_count + r->elem.in_count; i++)
		assert_true(span_within((uint64_t)((uint8_t *)r->elem.iov[i].iov_base - r->ram),
					r->elem.iov[i].iov_len, RAM));
}

static void f03_f06_racing_guest(void **state)
{
	struct virtq_rig *r = *state;
	atomic_bool *stop = (void *)(r->ram + RIG_DATA + 0x8000);
	unsigned int taken, good = 0, broken = 0;
	struct timespec now, end;
	pthread_t thread;

	atomic_init(stop, false);
	assert_int_equal(pthread_create(&thread, NULL, flip, r), 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += 5;
	do {
		for (taken = 0; taken < SIZE && pop(r) > 0; taken++) {
			elem_within_ram(r);
			virtq_push(r->vq, &r->elem, 0);
			good++;
		}
		virtq_signal(r->vq);
		if (!taken)
			sched_yield(); /* the other vCPU may have to share this CPU */
		if (r->vq->broken) {
			broken++;
			rig_start(r, SIZE, EVENT_IDX | INDIRECT_DESC);
			rig_avail_idx(r, 0);
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((good < 2000 || broken < 2000) && now.tv_sec < end.tv_sec);
	atomic_store(stop, true);
	pthread_join(thread, NULL);
	print_message("racing guest: %u buffers taken, %u violations\n", good, broken);
	assert_true(broken > 0); /* on a single CPU hardly anything good comes through */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(chain_of_both_kinds),
		T(indices_wrap),
		T(interrupts_by_index),
		T(kicks_by_index),
		T(suppression_by_flags),
		T(rewind_takes_back),
		T(indirect_tables),
		T(f01_loops),
		T(f02_lengths_of_zero),
		T(f03_index_jumps),
		T(f04_indices),
		T(f04_indirect),
		T(chain_longer_than_any),
		T(f05_head_twice),
		T(order_of_kinds),
		T(f07_addresses),
		cmocka_unit_test(f07_banks),
		T(rings_must_be_memory),
		T(f06_each_byte_once),
		T(f03_f06_racing_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
