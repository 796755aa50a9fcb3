/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio-net of several pairs with its driver, on a tap in a network namespace of the test's. */
#ifndef VIADUCT_TESTS_VIRTIO_NET_RIG_H
#define VIADUCT_TESTS_VIRTIO_NET_RIG_H

#include <sched.h>
#include <unistd.h>

#include <linux/virtio_config.h>

#include "base/util.h"
#include "fake_driver.h"
#include "virtio/virtio_net.h"

#define PAIRS 4ul
#define SIZE 16u

static bool namespace;

struct rig {
	struct guest *g;
	struct virtio_net *n;
	struct driver d;
	struct ring rings[2 * PAIRS + 1];
	gpa_t buf; /* 128 KiB */
	uint8_t *mem;
};

static inline void rig_namespace(void)
{
	namespace = !unshare(CLONE_NEWNET) && !access("/dev/net/tun", R_OK | W_OK);
}

/* Without a driver yet. */
static inline struct rig *rig_new(const char *spec)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->g = guest_new(4 * MIB);
	r->n = (struct virtio_net *)(void *)guest_device(r->g, &virtio_net_class, spec);
	r->buf = guest_alloc(r->g, 128 * KIB, 4096);
	r->mem = guest_ptr(r->g, r->buf, 128 * KIB);
	return r;
}

/* A driver up to DRIVER_OK, with all queues. */
static inline void rig_start(struct rig *r, uint64_t features)
{
	unsigned int i;

	guest_msix_on(r->g, r->d.pdev);
	assert_true(driver_negotiate(&r->d, features));
	for (i = 0; i <= 2 * PAIRS; i++)
		ring_open(&r->rings[i], &r->d, i, SIZE, (uint16_t)(i + 1));
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
}

/* The guest runs, and has its driver. */
static inline void rig_run(struct rig *r, uint64_t features)
{
	guest_start(r->g);
	driver_open(&r->d, r->g, &r->n->vpci.pdev.dev);
	rig_start(r, features);
}

static inline int teardown(void **state)
{
	struct rig *r = *state;

	if (!r)
		return 0;
	guest_free(r->g);
	test_free(r);
	return 0;
}

static inline bool needs_reset(struct rig *r)
{
	return driver_status(&r->d) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

#endif
