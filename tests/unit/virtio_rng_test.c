// SPDX-License-Identifier: GPL-2.0-or-later
/* virtio-rng as a driver sees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_driver.h"
#include "fake_kvm.h"
#include "virtio/virtio_rng.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define SIZE 16u

struct rig {
	struct guest *g;
	struct virtio_rng *rng;
	struct driver d;
	struct ring q;
	gpa_t buf; /* 64 KiB */
	uint8_t *mem;
};

static void start(struct rig *r)
{
	guest_msix_on(r->g, r->d.pdev);
	assert_true(driver_negotiate(&r->d, BIT64(VIRTIO_F_VERSION_1)));
	ring_open(&r->q, &r->d, 0, SIZE, 1);
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
}

static void rig_open(struct rig *r, const char *spec)
{
	*r = (struct rig){ .g = guest_new(4 * MIB) };
	r->rng = (struct virtio_rng *)(void *)guest_device(r->g, &virtio_rng_class, spec);
	r->buf = guest_alloc(r->g, 64 * KIB, 4096);
	r->mem = guest_ptr(r->g, r->buf, 64 * KIB);
	guest_start(r->g);
	driver_open(&r->d, r->g, &r->rng->vpci.pdev.dev);
	start(r);
}

static void kick(struct rig *r)
{
	ring_kick(&r->q);
	guest_sync(r->g);
}

static bool needs_reset(struct rig *r)
{
	return driver_status(&r->d) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* How many of @len bytes differ from @fill. */
static size_t changed(const uint8_t *mem, size_t len, uint8_t fill)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++)
		n += mem[i] != fill;
	return n;
}

static void fills(void **state)
{
	static const char *const specs[] = { "virtio-rng", "virtio-rng,file=/dev/urandom" };
	unsigned int i;
	uint32_t id, len;
	struct rig r;

	(void)state;
	for (i = 0; i < 2; i++) {
		rig_open(&r, specs[i]);
		assert_int_equal(guest_read(r.g, guest_ecam(r.d.pdev, 0), 4), 0x10441af4);
		memset(r.mem, 0xee, 64 * KIB);
		/* A chain, then one beyond what a request is given. */
		ring_desc(&r.q, 0, r.buf, 1, WRITE | NEXT, 1);
		ring_desc(&r.q, 1, r.buf + 256, 511, WRITE, 0);
		ring_desc(&r.q, 2, r.buf + 8192, 16384, WRITE, 0);
		ring_post(&r.q, 0);
		ring_post(&r.q, 2);
		kick(&r);
		assert_true(ring_used(&r.q, &id, &len));
		assert_int_equal(id, 0);
		assert_int_equal(len, 512);
		assert_true(ring_used(&r.q, &id, &len));
		assert_int_equal(len, VIRTIO_RNG_CHUNK);
		assert_int_equal(guest_msix_count(r.d.pdev, 1), 1);
		/* 1 byte in 256 keeps its value by chance; half of them never do. */
		assert_true(changed(r.mem + 256, 511, 0xee) > 255);
		assert_true(changed(r.mem + 8192, VIRTIO_RNG_CHUNK, 0xee) > 2048);
		assert_int_equal(changed(r.mem + 1, 255, 0xee), 0);
		assert_int_equal(changed(r.mem + 256 + 511, 1024, 0xee), 0);
		assert_int_equal(changed(r.mem + 8192 + VIRTIO_RNG_CHUNK, 8192, 0xee), 0);
		/* The device keeps nothing of it. */
		assert_int_equal(changed(r.rng->buf, VIRTIO_RNG_CHUNK, 0), 0);
		guest_free(r.g);
	}
}

/* More than one ring's length: nothing is left behind. */
static void fills_all(void **state)
{
	unsigned int i, n;
	uint32_t id, len;
	struct rig r;

	(void)state;
	rig_open(&r, "virtio-rng");
	ring_desc(&r.q, 0, r.buf, 64, WRITE, 0);
	for (n = 0; n < 5; n++) {
		for (i = 0; i < SIZE; i++)
			ring_post(&r.q, 0);
		kick(&r);
		for (i = 0; i < SIZE; i++) {
			assert_true(ring_wait(&r.q, &id, &len));
			assert_int_equal(len, 64);
		}
	}
	guest_free(r.g);
}

/* The limit holds, a reset does not lift it, and the next period gives the rest. */
static void limited(void **state)
{
	uint32_t id, len;
	struct rig r;

	(void)state;
	rig_open(&r, "virtio-rng,max-bytes=100,period=3600000");
	ring_desc(&r.q, 0, r.buf, 80, WRITE, 0);
	ring_post(&r.q, 0);
	ring_post(&r.q, 0);
	ring_post(&r.q, 0);
	kick(&r);
	assert_true(ring_used(&r.q, &id, &len));
	assert_int_equal(len, 80);
	assert_true(ring_used(&r.q, &id, &len));
	assert_int_equal(len, 20);
	assert_false(ring_used(&r.q, &id, &len));
	start(&r);
	ring_desc(&r.q, 0, r.buf, 80, WRITE, 0);
	ring_post(&r.q, 0);
	kick(&r);
	assert_false(ring_used(&r.q, &id, &len));
	/* The period ends. */
	loop_timer_set(r.rng->timer, 1);
	assert_true(ring_wait(&r.q, &id, &len));
	assert_int_equal(len, 80);
	guest_free(r.g);
}

static void refuses(void **state)
{
	uint32_t id, len;
	struct rig r;

	(void)state;
	rig_open(&r, "virtio-rng");
	ring_desc(&r.q, 0, r.buf, 80, 0, 0);
	ring_post(&r.q, 0);
	kick(&r);
	assert_true(needs_reset(&r));
	assert_false(ring_used(&r.q, &id, &len));
	start(&r);
	ring_desc(&r.q, 0, r.buf, 80, NEXT, 1);
	ring_desc(&r.q, 1, r.buf, 80, WRITE, 0);
	ring_post(&r.q, 0);
	kick(&r);
	assert_true(needs_reset(&r));
	start(&r);
	ring_desc(&r.q, 0, r.buf, 80, WRITE, 0);
	ring_post(&r.q, 0);
	kick(&r);
	assert_true(ring_used(&r.q, &id, &len));
	guest_free(r.g);
}

/* A source at its end: said once, the queue stops, the guest is told. */
static void source_ends(void **state)
{
	uint32_t id, len;
	struct rig r;

	(void)state;
	rig_open(&r, "virtio-rng,file=/dev/null");
	ring_desc(&r.q, 0, r.buf, 80, WRITE, 0);
	ring_post(&r.q, 0);
	kick(&r);
	assert_false(ring_used(&r.q, &id, &len));
	assert_true(needs_reset(&r));
	assert_true(guest_logged(r.g, "at its end"));
	guest_free(r.g);
}

static void options(void **state)
{
	struct guest *g = guest_new(4 * MIB);
	struct err err = { 0 };
	struct dev *dev = NULL;

	(void)state;
	assert_int_equal(
		guest_try_device(g, &virtio_rng_class, "virtio-rng,file=/nothing/here", &dev, &err),
		-ENOENT);
	assert_non_null(strstr(err.msg, "/nothing/here"));
	err = (struct err){ 0 };
	assert_int_equal(
		guest_try_device(g, &virtio_rng_class, "virtio-rng,file=/etc/passwd", &dev, &err),
		-EINVAL);
	assert_non_null(strstr(err.msg, "no character device"));
	guest_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills),   cmocka_unit_test(fills_all),	  cmocka_unit_test(limited),
		cmocka_unit_test(refuses), cmocka_unit_test(source_ends), cmocka_unit_test(options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
