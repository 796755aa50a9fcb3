// SPDX-License-Identifier: GPL-2.0-or-later
/* The packed ring's rules (virtio 1.2 clause 2.8), as virtq_test.c has the split ring's: what a
 * driver may do works, and every violation breaks the queue. F01 to F07. */
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
#define PACKED BIT64(VIRTIO_F_RING_PACKED)
#define EVENT_IDX BIT64(VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT_DESC BIT64(VIRTIO_RING_F_INDIRECT_DESC)
#define F_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define F_USED (1u << VRING_PACKED_DESC_F_USED)

#define SIZE 8u
#define SIZE_MAX_OFFERED 16u
#define RAM (1 * MIB)
#define TABLE 0x50000u

static void restart(struct virtq_rig *r, uint64_t features)
{
	memset(r->ram + RIG_DESC, 0, 4096);
	memset(r->ram + RIG_AVAIL, 0, 16);
	memset(r->ram + RIG_USED, 0, 16);
	rig_start(r, SIZE, PACKED | features);
	assert_true(r->vq->enabled);
	assert_ptr_equal(r->vq->format, &virtq_packed);
}

static int setup(void **state)
{
	*state = rig_open(RAM, SIZE_MAX_OFFERED);
	assert_non_null(*state);
	restart(*state, EVENT_IDX | INDIRECT_DESC);
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

/* A descriptor that is available in the lap whose wrap counter is @wrap. */
static void desc(struct virtq_rig *r, unsigned int i, gpa_t addr, uint32_t len, uint16_t id,
		 unsigned int flags, bool wrap)
{
	rig_desc(r, i, addr, len, id, (uint16_t)(flags | (wrap ? F_AVAIL : F_USED)));
}

static void desc_in(struct virtq_rig *r, gpa_t table, unsigned int i, gpa_t addr, uint32_t len,
		    uint16_t flags)
{
	rig_desc_at(r, table, i, addr, len, 0, flags);
}

/* Has the device used entry @i in the lap of @wrap? */
static bool used(const struct virtq_rig *r, unsigned int i, bool wrap)
{
	uint16_t flags = get_le16(r->ram + RIG_DESC + (size_t)i * 16 + 14);

	return (flags & (F_AVAIL | F_USED)) == (wrap ? F_AVAIL | F_USED : 0);
}

static uint16_t used_id(const struct virtq_rig *r, unsigned int i)
{
	return get_le16(r->ram + RIG_DESC + (size_t)i * 16 + 12);
}

static void expect_violation(struct virtq_rig *r)
{
	unsigned int irqs = r->config_irqs;

	assert_int_equal(pop(r), -EIO);
	assert_true(rig_broken(r));
	assert_int_equal(r->config_irqs, irqs + 1);
	assert_false(virtq_running(r->vq));
	assert_int_equal(pop(r), -EIO);
	restart(r, EVENT_IDX | INDIRECT_DESC);
	assert_true(virtq_running(r->vq));
	assert_int_equal(pop(r), 0);
}

static void chain_of_both_kinds(void **state)
{
	struct virtq_rig *r = *state;

	assert_int_equal(pop(r), 0);
	desc(r, 1, RIG_DATA + 100, 20, 9, WRITE, true); /* an id counts in the last one alone */
	desc(r, 1, RIG_DATA + 100, 20, 5, WRITE, true);
	desc(r, 0, RIG_DATA, 10, 77, NEXT, true);
	assert_int_equal(pop(r), 1);
	assert_int_equal(r->elem.id, 5);
	assert_int_equal(r->elem.out_len, 10);
	assert_int_equal(r->elem.in_len, 20);
	assert_int_equal(pop(r), 0);
	virtq_push(r->vq, &r->elem, 15);
	assert_false(used(r, 0, true)); /* not before it is published */
	virtq_publish(r->vq);
	assert_true(used(r, 0, true));
	assert_int_equal(used_id(r, 0), 5);
	assert_int_equal(get_le32(r->ram + RIG_DESC + 8), 15);
	assert_int_equal(get_le16(r->ram + RIG_DESC + 14) & WRITE, WRITE);
	assert_false(used(r, 1, true)); /* skipped */
}

/* 2.8.1: available is what has the two marks different, and the first as the wrap counter. */
static void marks(void **state)
{
	static const unsigned int others[] = { 0, F_USED, F_AVAIL | F_USED };
	struct virtq_rig *r = *state;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(others); i++) {
		rig_desc(r, 0, RIG_DATA, 10, 0, (uint16_t)others[i]);
		assert_int_equal(pop(r), 0);
		assert_true(virtq_running(r->vq));
	}
	rig_desc(r, 0, RIG_DATA, 10, 0, F_AVAIL);
	assert_int_equal(pop(r), 1);
}

/* Chains of three in a ring of eight: every place of the wrap, many times. */
static void laps(void **state)
{
	struct virtq_rig *r = *state;
	unsigned int at = 0, i, k;
	bool wrap = true;

	for (i = 0; i < 30000; i++) {
		unsigned int head = at;
		bool head_wrap = wrap;

		for (k = 0; k < 3; k++) {
			desc(r, at, RIG_DATA, 1, (uint16_t)(i % SIZE), k < 2 ? NEXT : 0, wrap);
			at = (at + 1) % SIZE;
			wrap = at ? wrap : !wrap;
		}
		assert_int_equal(pop(r), 1);
		assert_int_equal(r->elem.id, i % SIZE);
		assert_int_equal(r->elem.out_count, 3);
		assert_int_equal(pop(r), 0);
		virtq_push(r->vq, &r->elem, 0);
		virtq_publish(r->vq);
		assert_true(used(r, head, head_wrap));
		assert_int_equal(used_id(r, head), i % SIZE);
	}
}

static void out_of_order(void **state)
{
	struct virtq_rig *r = *state;

	desc(r, 0, RIG_DATA, 4, 2, NEXT, true);
	desc(r, 1, RIG_DATA, 4, 2, 0, true);
	desc(r, 2, RIG_DATA, 4, 6, 0, true);
	assert_int_equal(pop(r), 1);
	assert_int_equal(pop(r), 1);
	assert_int_equal(r->elem.id, 6);
	virtq_push(r->vq, &r->elem, 0);
	r->elem.id = 2;
	virtq_push(r->vq, &r->elem, 0);
	virtq_publish(r->vq);
	assert_int_equal(used_id(r, 0), 6); /* one entry long, so the next is at 1 */
	assert_true(used(r, 0, true) && used(r, 1, true));
	assert_int_equal(used_id(r, 1), 2);
	assert_int_equal(r->vq->packed.slots_out, 0);
	assert_int_equal(r->vq->packed.used.at, 3);
}

static void rewind_takes_back(void **state)
{
	struct virtq_rig *r = *state;
	unsigned int lap;

	for (lap = 0; lap < 4; lap++) {
		bool wrap = !(lap & 1);

		desc(r, 0, RIG_DATA, 4, 0, 0, wrap);
		desc(r, 1, RIG_DATA, 4, 1, NEXT, wrap);
		desc(r, 2, RIG_DATA, 4, 1, 0, wrap);
		desc(r, 3, RIG_DATA, 4, 2, NEXT, wrap);
		desc(r, 4, RIG_DATA, 4, 2, NEXT, wrap);
		desc(r, 5, RIG_DATA, 4, 2, NEXT, wrap);
		desc(r, 6, RIG_DATA, 4, 2, NEXT, wrap);
		desc(r, 7, RIG_DATA, 4, 2, 0, wrap);
		assert_int_equal(pop(r), 1);
		virtq_push(r->vq, &r->elem, 0);
		virtq_publish(r->vq);
		assert_int_equal(pop(r), 1);
		virtq_push(r->vq, &r->elem, 2);
		assert_int_equal(pop(r), 1); /* to the ring's end: the rewind crosses it */
		virtq_rewind(r->vq, 2, 1);
		virtq_publish(r->vq);
		assert_false(used(r, 1, wrap));
		assert_int_equal(pop(r), 1);
		assert_int_equal(r->elem.id, 1);
		assert_int_equal(r->elem.out_count, 2);
		virtq_push(r->vq, &r->elem, 0);
		assert_int_equal(pop(r), 1);
		assert_int_equal(r->elem.id, 2);
		virtq_push(r->vq, &r->elem, 0);
		virtq_publish(r->vq);
		assert_int_equal(r->vq->inflight, 0);
		assert_true(used(r, 1, wrap) && used(r, 3, wrap));
	}
}

static void one(struct virtq_rig *r, unsigned int i, bool wrap)
{
	desc(r, i, RIG_DATA, 4, 0, 0, wrap);
	assert_int_equal(pop(r), 1);
	virtq_push(r->vq, &r->elem, 0);
	virtq_signal(r->vq);
}

static void interrupts(void **state)
{
	struct virtq_rig *r = *state;
	uint8_t *event = r->ram + RIG_AVAIL;
	unsigned int i;

	one(r, 0, true); /* enabled */
	assert_int_equal(r->queue_irqs, 1);
	virtq_signal(r->vq); /* nothing new */
	assert_int_equal(r->queue_irqs, 1);
	put_le16(event + 2, VRING_PACKED_EVENT_FLAG_DISABLE);
	one(r, 1, true);
	assert_int_equal(r->queue_irqs, 1);
	/* When entry 5 of the next lap is used, not that of this one, and then no more. */
	put_le16(event, 5);
	put_le16(event + 2, VRING_PACKED_EVENT_FLAG_DESC);
	for (i = 2; i < SIZE + 8; i++) {
		one(r, i % SIZE, i < SIZE);
		assert_int_equal(r->queue_irqs, i > SIZE + 4 ? 2 : 1);
	}
}

static void kicks(void **state)
{
	struct virtq_rig *r = *state;
	const uint8_t *event = r->ram + RIG_USED;

	virtq_kick_off(r->vq);
	assert_int_equal(get_le16(event + 2), VRING_PACKED_EVENT_FLAG_DISABLE);
	one(r, 0, true);
	assert_false(virtq_kick_on(r->vq));
	assert_int_equal(get_le16(event), 0x8001);
	assert_int_equal(get_le16(event + 2), VRING_PACKED_EVENT_FLAG_DESC);
	desc(r, 1, RIG_DATA, 4, 0, 0, true);
	assert_true(virtq_kick_on(r->vq));
	restart(r, 0);
	virtq_kick_off(r->vq);
	assert_false(virtq_kick_on(r->vq));
	assert_int_equal(get_le16(event + 2), VRING_PACKED_EVENT_FLAG_ENABLE);
}

static void indirect(void **state)
{
	struct virtq_rig *r = *state;
	static const uint32_t bad[] = { 0, 15, 17, (SIZE_MAX_OFFERED + 1) * 16, 0xfffffff0 };
	unsigned int i;

	/* 2.8.7: NEXT and ids in the table mean nothing. */
	desc_in(r, TABLE + 4, 0, RIG_DATA, 4, 0);
	desc_in(r, TABLE + 4, 1, RIG_DATA, 8, WRITE | NEXT);
	desc(r, 0, TABLE + 4, 32, 3, INDIRECT, true);
	assert_int_equal(pop(r), 1);
	assert_int_equal(r->elem.id, 3);
	assert_int_equal(r->elem.out_len, 4);
	assert_int_equal(r->elem.in_len, 8);
	assert_int_equal(r->vq->packed.slots_out, 1);
	restart(r, EVENT_IDX | INDIRECT_DESC);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		desc(r, 0, TABLE, bad[i], 0, INDIRECT, true);
		expect_violation(r);
	}
	desc(r, 0, TABLE, 16, 0, INDIRECT | NEXT, true);
	expect_violation(r);
	desc(r, 0, RAM - 16, 32, 0, INDIRECT, true);
	expect_violation(r);
	desc(r, 0, RIG_DESC, 16, 0, INDIRECT, true); /* itself */
	expect_violation(r);
	restart(r, 0); /* not negotiated */
	desc_in(r, TABLE, 0, RIG_DATA, 4, 0);
	desc(r, 0, TABLE, 16, 0, INDIRECT, true);
	assert_int_equal(pop(r), -EIO);
}

static void f01_chain_without_end(void **state)
{
	struct virtq_rig *r = *state;
	unsigned int i;

	for (i = 0; i < SIZE; i++)
		desc(r, i, RIG_DATA, 4, 0, NEXT, true);
	expect_violation(r);
	/* Into entries of a buffer that is in flight. */
	desc(r, 0, RIG_DATA, 4, 0, 0, true);
	for (i = 1; i < SIZE; i++)
		desc(r, i, RIG_DATA, 4, 1, NEXT, true);
	assert_int_equal(pop(r), 1);
	desc(r, 0, RIG_DATA, 4, 2, 0, true); /* where it would end, with an id that is free */
	expect_violation(r);
	for (i = 0; i < SIZE; i++) /* as long as the ring is good */
		desc(r, i, RIG_DATA, 4, 1, i + 1 < SIZE ? NEXT : 0, true);
	assert_int_equal(pop(r), 1);
	assert_int_equal(r->elem.out_count, SIZE);
}

static void f02_f04_f05_f07(void **state)
{
	struct virtq_rig *r = *state;

	desc(r, 0, RIG_DATA, 0, 0, 0, true);
	expect_violation(r);
	desc(r, 0, RIG_DATA, 4, SIZE, 0, true);
	expect_violation(r);
	desc(r, 0, RIG_DATA, 4, 0xffff, 0, true);
	expect_violation(r);
	desc(r, 0, RIG_DATA, 4, 3, 0, true);
	assert_int_equal(pop(r), 1);
	desc(r, 1, RIG_DATA, 4, 3, 0, true); /* the id is in flight */
	expect_violation(r);
	desc(r, 0, RAM - 4, 8, 0, 0, true);
	expect_violation(r);
	desc(r, 0, UINT64_MAX - 3, 8, 0, 0, true);
	expect_violation(r);
	desc(r, 0, RIG_DATA, 4, 0, WRITE | NEXT, true);
	desc(r, 1, RIG_DATA, 4, 0, 0, true);
	expect_violation(r);
}

/* F03: there is no index; available for ever is as near as a driver comes. */
static void f03_all_available(void **state)
{
	struct virtq_rig *r = *state;
	unsigned int i;

	for (i = 0; i < SIZE; i++)
		desc(r, i, RIG_DATA, 4, (uint16_t)i, 0, true);
	for (i = 0; i < SIZE; i++)
		assert_int_equal(pop(r), 1);
	assert_int_equal(pop(r), 0);
	desc(r, 0, RIG_DATA, 4, 0, 0, false); /* one more than there are entries */
	expect_violation(r);
}

static void rings_must_be_memory(void **state)
{
	struct virtq_rig *r = *state;
	static const gpa_t bad[][3] = {
		{ RIG_DESC + 8, RIG_AVAIL, RIG_USED }, { RIG_DESC, RIG_AVAIL + 2, RIG_USED },
		{ RIG_DESC, RIG_AVAIL, RIG_USED + 2 }, { RAM - 16, RIG_AVAIL, RIG_USED },
		{ RIG_DESC, RAM, RIG_USED },	       { RIG_DESC, RIG_AVAIL, UINT64_MAX - 3 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		virtio_dev_set_status(&r->vdev, 0);
		virtio_dev_ack(&r->vdev, 1, (uint32_t)(PACKED >> 32) | 1);
		virtio_dev_set_status(&r->vdev, VIRTIO_CONFIG_S_FEATURES_OK);
		r->vq->desc = bad[i][0];
		r->vq->driver = bad[i][1];
		r->vq->device = bad[i][2];
		virtio_queue_enable(r->vq);
		assert_false(r->vq->enabled);
		assert_true(rig_broken(r));
	}
}

/* F06: every byte of a descriptor is fetched once, be it of a chain or of a table, and nothing of the
 * event suppression is needed to take a buffer. */
static void f06_each_byte_once(void **state)
{
	struct virtq_rig *r = *state;
	const uint8_t *ring = r->ram + RIG_DESC, *table = r->ram + TABLE;
	unsigned int i;
	int ret;

	desc(r, 0, RIG_DATA, 12, 0, NEXT, true);
	desc(r, 1, RIG_DATA + 16, 12, 0, NEXT, true);
	desc(r, 2, TABLE, 32, 3, INDIRECT, true);
	desc_in(r, TABLE, 0, RIG_DATA, 8, 0);
	desc_in(r, TABLE, 1, RIG_DATA + 64, 8, WRITE);
	load_trap_on((uint8_t *[]){ r->ram + RIG_DESC, r->ram + RIG_AVAIL, r->ram + RIG_USED,
				    r->ram + TABLE },
		     4);
	ret = pop(r);
	load_trap_off();
	assert_int_equal(ret, 1);
	assert_int_equal(r->elem.out_count, 3);
	/* Five descriptors in two loads of 8 bytes each. */
	for (i = 0; i < 6; i++)
		assert_int_equal(load_trap_count(ring + 8ull * i), 1);
	for (i = 0; i < 4; i++)
		assert_int_equal(load_trap_count(table + 8ull * i), 1);
	assert_int_equal(load_trap.count, 10);

	/* What goes back: the length is not read again, nor is anything else. */
	load_trap_on((uint8_t *[]){ r->ram + RIG_DESC, r->ram + TABLE }, 2);
	virtq_push(r->vq, &r->elem, 8);
	virtq_publish(r->vq);
	load_trap_off();
	assert_int_equal(load_trap_count(ring + 8), 1);
	assert_int_equal(load_trap.count, 1);
}

/* F03 and F06 by brute force: a second vCPU rewrites descriptors all the time, marks included. What
 * comes out is always within memory, and never more than the ring holds in one pass. */

static void *flip(void *opaque)
{
	struct virtq_rig *r = opaque;
	atomic_bool *stop = (void *)(r->ram + RIG_DATA + 0x8000);
	unsigned int i = 0;

	while (!atomic_load(stop)) {
		uint8_t *d = r->ram + RIG_DESC + (size_t)(i % SIZE) * 16;
		volatile uint64_t *addr = (void *)d;
		volatile uint32_t *len = (void *)(d + 8);
		volatile uint16_t *id = (void *)(d + 12), *flags = (void *)(d + 14);

		*addr = i & 16 ? UINT64_MAX - 8 : RIG_DATA;
		*len = i & 32 ? 0xffffffff : 16;
		*id = (uint16_t)(i % (SIZE + 1));
		*flags = (uint16_t)((i >> 6 & 7) | (i & 512 ? F_USED : F_AVAIL));
		i++;
	}
	return NULL;
}

static void f03_f06_racing_guest(void **state)
{
	struct virtq_rig *r = *state;
	atomic_bool *stop = (void *)(r->ram + RIG_DATA + 0x8000);
	unsigned int taken, good = 0, broken = 0, i;
	struct timespec now, end;
	pthread_t thread;

	atomic_init(stop, false);
	assert_int_equal(pthread_create(&thread, NULL, flip, r), 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += 5;
	do {
		for (taken = 0; taken < SIZE && pop(r) > 0; taken++) {
			for (i = 0; i < r->elem.out_count + r->elem.in_count; i++)
				assert_true(span_within(
					(uint64_t)((uint8_t *)r->elem.iov[i].iov_base - r->ram),
					r->elem.iov[i].iov_len, RAM));
			virtq_push(r->vq, &r->elem, 0);
			good++;
		}
		virtq_signal(r->vq);
		assert_int_equal(r->vq->inflight, 0);
		assert_int_equal(r->vq->packed.slots_out, 0);
		if (!taken)
			sched_yield(); /* the other vCPU may have to share this CPU */
		if (r->vq->broken) {
			broken++;
			rig_start(r, SIZE, PACKED | EVENT_IDX | INDIRECT_DESC);
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
		T(marks),
		T(laps),
		T(out_of_order),
		T(rewind_takes_back),
		T(interrupts),
		T(kicks),
		T(indirect),
		T(f01_chain_without_end),
		T(f02_f04_f05_f07),
		T(f03_all_available),
		T(rings_must_be_memory),
		T(f06_each_byte_once),
		T(f03_f06_racing_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
