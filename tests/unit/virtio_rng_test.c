// SPDX-License-Identifier: GPL-2.0-or-later
/* virtio-rng as a driver sees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "base/util.h"
#include "fake_driver.h"
#include "fake_kvm.h"
#include "virtio/virtio_rng.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define SIZE 16u
#define BUFFER_MAX 0x4000u /* as virtio_rng.c */

struct rig {
	struct guest *g;
	struct virtio_rng *rng;
	struct driver d;
	struct ring vq;
	gpa_t data; /* 256 KiB */
	uint8_t *mem;
};

static void start(struct rig *r)
{
	assert_true(driver_negotiate(&r->d, BIT64(VIRTIO_F_VERSION_1)));
	ring_open(&r->vq, &r->d, 0, SIZE, 1);
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
}

static struct rig *rig_new(const char *spec)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->g = guest_new(4 * MIB);
	r->rng = (struct virtio_rng *)(void *)guest_device(r->g, &virtio_rng_class, spec);
	r->data = guest_alloc(r->g, 256 * KIB, 4096);
	r->mem = guest_ptr(r->g, r->data, 256 * KIB);
	guest_start(r->g);
	driver_open(&r->d, r->g, &r->rng->vpci.pdev.dev);
	guest_msix_on(r->g, r->d.pdev);
	start(r);
	return r;
}

static void rig_free(struct rig *r)
{
	guest_free(r->g);
	test_free(r);
}

static uint32_t ask(struct rig *r, uint32_t len)
{
	uint32_t id, done;

	ring_desc(&r->vq, 0, r->data, len, WRITE, 0);
	ring_post(&r->vq, 0);
	ring_kick(&r->vq);
	assert_true(ring_wait(&r->vq, &id, &done));
	return done;
}

static unsigned int distinct(const uint8_t *p, size_t len)
{
	bool seen[256] = { false };
	unsigned int n = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		n += !seen[p[i]];
		seen[p[i]] = true;
	}
	return n;
}

static void random_bytes(void **state)
{
	struct rig *r = rig_new("virtio-rng");

	(void)state;
	memset(r->mem, 0, 8192);
	assert_int_equal(ask(r, 4096), 4096);
	/* Of 256 values 4096 random bytes hold all but with a chance of 1 in 30000. */
	assert_true(distinct(r->mem, 4096) > 240);
	assert_int_equal(distinct(r->mem + 4096, 4096), 1);
	memcpy(r->mem + 8192, r->mem, 4096);
	assert_int_equal(ask(r, 4096), 4096);
	assert_memory_not_equal(r->mem, r->mem + 8192, 4096);
	assert_true(guest_msix_count(r->d.pdev, 1) > 0);
	/* More at once than the loop gives at a time: a part, and nothing behind it. */
	memset(r->mem, 0, 256 * KIB);
	assert_int_equal(ask(r, 256 * KIB), BUFFER_MAX);
	assert_int_equal(distinct(r->mem + BUFFER_MAX, 256 * KIB - BUFFER_MAX), 1);
	rig_free(r);
}

static void buffer_to_read(void **state)
{
	struct rig *r = rig_new("virtio-rng");

	(void)state;
	ring_desc(&r->vq, 0, r->data, 16, NEXT, 1);
	ring_desc(&r->vq, 1, r->data + 16, 16, WRITE, 0);
	ring_post(&r->vq, 0);
	ring_kick(&r->vq);
	guest_sync(r->g);
	assert_true(driver_status(&r->d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	start(r);
	assert_int_equal(ask(r, 64), 64);
	rig_free(r);
}

/* 640 bytes a second: a share of 64, then a wait; a reset between gives no new share. */
static void rate(void **state)
{
	struct rig *r = rig_new("virtio-rng,rate=640");
	uint32_t id, len;

	(void)state;
	assert_int_equal(ask(r, 100), 64);
	ring_desc(&r->vq, 0, r->data, 100, WRITE, 0);
	ring_post(&r->vq, 0);
	ring_kick(&r->vq);
	assert_true(ring_wait(&r->vq, &id, &len)); /* the timer's */
	assert_int_equal(len, 64);
	ring_post(&r->vq, 0);
	start(r);
	assert_int_equal(ask(r, 100), 64);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_bytes),
		cmocka_unit_test(buffer_to_read),
		cmocka_unit_test(rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
