/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's vhost as a test sees it: stands in for virtio/vhost_sys.c when a test calls one of
 * these. Keeps what it was told by the kernel's rules (owner first, no change of a base while rings
 * are served), and fails on command. One for the process, or one for each open of it;
 * fake_vhost_reset() before each test. */
#ifndef VIADUCT_TESTS_FAKE_VHOST_H
#define VIADUCT_TESTS_FAKE_VHOST_H

#include <linux/vhost.h>
#include <stdbool.h>

#define FAKE_VHOST_RINGS 2u
#define FAKE_VHOST_DEVICES 4u

struct fake_vhost_ring {
	struct vhost_vring_addr addr;
	unsigned int num, base;
	int kick, call, err;
	int backend; /* of vhost-net */
};

struct fake_vhost {
	bool owned, running;
	unsigned long long features, acked, cid;
	unsigned int regions;
	struct vhost_memory_region region[64];
	struct fake_vhost_ring rings[FAKE_VHOST_RINGS];
	unsigned int calls;
};

void fake_vhost_reset(void);
struct fake_vhost *fake_vhost(void);
/* From now on each open gets a device of its own, and this is the @index-th. Descriptors that were
 * not opened here are the first one's. */
void fake_vhost_each(void);
struct fake_vhost *fake_vhost_nth(unsigned int index);
/* The next call of @request (0: of any) after @skip of them returns -@error, once. */
void fake_vhost_fail(unsigned long request, unsigned int skip, int error);
/* The next open returns -@error. */
void fake_vhost_open_fails(int error);

#endif
