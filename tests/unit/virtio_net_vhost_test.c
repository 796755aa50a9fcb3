// SPDX-License-Identifier: GPL-2.0-or-later
/* virtio-net whose rings the host's kernel serves: which pairs it has and when, and what becomes of
 * the device when the kernel has none, or refuses, or gives up. The tap is real, the kernel's
 * vhost-net is a fake. F38 of the faults that other VMMs had. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "fake_driver.h"
#include "fake_vhost.h"
#include "virtio_net_rig.h"

#define F(name) BIT64(VIRTIO_NET_F_##name)
#define FEATURES (BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_EVENT_IDX) | F(MQ) | F(CTRL_VQ))

static int setup(void **state)
{
	struct rig *r;

	if (!namespace)
		skip();
	fake_vhost_reset();
	fake_vhost_each();
	r = rig_new("virtio-net,id=nic,net=tap,queues=4,vhost=on");
	rig_run(r, FEATURES);
	*state = r;
	return 0;
}

/* Bit i: the kernel serves pair i. Half a pair is none that may be. */
static unsigned int served(void)
{
	unsigned int i, mask = 0;

	for (i = 0; i < PAIRS; i++) {
		const struct fake_vhost *k = fake_vhost_nth(i);

		assert_int_equal(k->rings[0].backend, k->rings[1].backend);
		assert_true((k->rings[0].backend >= 0) == (k->rings[0].kick >= 0));
		if (k->rings[0].backend >= 0)
			mask |= BIT(i);
	}
	return mask;
}

static bool queue_runs(struct rig *r, unsigned int queue)
{
	struct virtio_dev *vdev = &r->n->vpci.vdev;
	bool runs;

	pthread_mutex_lock(&vdev->dev->lock);
	runs = virtq_running(&vdev->queues[queue]);
	pthread_mutex_unlock(&vdev->dev->lock);
	return runs;
}

static unsigned int set_pairs(struct rig *r, uint16_t pairs)
{
	struct ring *ctrl = &r->rings[2ul * PAIRS];
	uint32_t id, used;

	r->mem[0] = VIRTIO_NET_CTRL_MQ;
	r->mem[1] = VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET;
	put_le16(r->mem + 2, pairs);
	r->mem[64] = 0xee;
	ring_desc(ctrl, 0, r->buf, 4, VRING_DESC_F_NEXT, 1);
	ring_desc(ctrl, 1, r->buf + 64, 1, VRING_DESC_F_WRITE, 0);
	ring_post(ctrl, 0);
	ring_kick(ctrl);
	guest_sync(r->g);
	assert_true(ring_used(ctrl, &id, &used));
	return r->mem[64];
}

static void set_link(struct rig *r, bool up)
{
	struct dev *dev = &r->n->vpci.pdev.dev;

	pthread_mutex_lock(&dev->lock);
	assert_int_equal(dev->class->control->set_link(dev, up, NULL), 0);
	pthread_mutex_unlock(&dev->lock);
}

static void pairs_in_use(void **state)
{
	struct rig *r = *state;
	const struct fake_vhost *k = fake_vhost_nth(0);
	unsigned int i;

	assert_int_equal(served(), 1);
	assert_int_equal(k->acked & BIT64(VIRTIO_F_VERSION_1), BIT64(VIRTIO_F_VERSION_1));
	/* The header and what is in it are the tap's business. */
	assert_false(k->acked & ~k->features);
	assert_int_equal(k->rings[1].num, SIZE);
	assert_int_equal(set_pairs(r, 4), VIRTIO_NET_OK);
	assert_int_equal(served(), 0xf);
	/* Each with a descriptor of the tap's own, and the rings of its pair. */
	for (i = 0; i < PAIRS; i++) {
		k = fake_vhost_nth(i);
		assert_ptr_equal((void *)(uintptr_t)k->rings[1].addr.desc_user_addr,
				 r->rings[2ul * i + 1].desc);
		if (i)
			assert_int_not_equal(k->rings[0].backend,
					     fake_vhost_nth(i - 1)->rings[0].backend);
	}
	/* Those that come back go on where they were. */
	fake_vhost_nth(2)->rings[0].base = 9;
	assert_int_equal(set_pairs(r, 1), VIRTIO_NET_OK);
	assert_int_equal(served(), 1);
	fake_vhost_nth(2)->rings[0].base = 77;
	assert_int_equal(set_pairs(r, 3), VIRTIO_NET_OK);
	assert_int_equal(served(), 7);
	assert_int_equal(fake_vhost_nth(2)->rings[0].base, 9);
	/* A reset takes all back, and the next driver begins with one. */
	driver_negotiate(&r->d, FEATURES);
	assert_int_equal(served(), 0);
	rig_start(r, FEATURES);
	assert_int_equal(served(), 1);
	assert_int_equal(set_pairs(r, 4), VIRTIO_NET_OK);
	assert_int_equal(fake_vhost_nth(2)->rings[0].base, 0);
	assert_false(needs_reset(r));
}

static void link_down_and_up(void **state)
{
	struct rig *r = *state;

	assert_int_equal(set_pairs(r, 2), VIRTIO_NET_OK);
	fake_vhost_nth(1)->rings[1].base = 5;
	set_link(r, false);
	assert_int_equal(served(), 0);
	/* What is asked for meanwhile is done when the link is back. */
	assert_int_equal(set_pairs(r, 3), VIRTIO_NET_OK);
	assert_int_equal(served(), 0);
	fake_vhost_nth(1)->rings[1].base = 77;
	set_link(r, true);
	assert_int_equal(served(), 7);
	assert_int_equal(fake_vhost_nth(1)->rings[1].base, 5);
	/* A driver that begins without a link. */
	set_link(r, false);
	rig_start(r, FEATURES);
	assert_int_equal(served(), 0);
	set_link(r, true);
	assert_int_equal(served(), 1);
	assert_false(needs_reset(r));
}

/* F38: whichever call of a start the kernel refuses, the pair is not served, the driver is told,
 * and its reset heals. */
static void f38_start_refused(void **state)
{
	struct rig *r = *state;
	unsigned int i, calls;

	driver_negotiate(&r->d, FEATURES);
	calls = fake_vhost()->calls;
	rig_start(r, FEATURES);
	calls = fake_vhost()->calls - calls;
	assert_true(calls > 10);
	for (i = 0; i < calls; i++) {
		driver_negotiate(&r->d, FEATURES);
		fake_vhost_fail(0, i, EBUSY);
		rig_start(r, FEATURES);
		assert_int_equal(fake_vhost()->rings[0].backend, -1);
		assert_int_equal(fake_vhost()->rings[1].backend, -1);
		assert_true(needs_reset(r));
		assert_false(queue_runs(r, 0));
		assert_false(queue_runs(r, 1));
		rig_start(r, FEATURES);
		assert_int_equal(served(), 1);
		assert_false(needs_reset(r));
	}
}

/* The same of a pair that comes later: those before it go on. */
static void f38_backend_refused(void **state)
{
	struct rig *r = *state;

	fake_vhost_fail(VHOST_NET_SET_BACKEND, 1, ENODEV);
	set_pairs(r, 2);
	assert_int_equal(fake_vhost_nth(1)->rings[0].backend, -1);
	assert_int_equal(fake_vhost_nth(1)->rings[1].backend, -1);
	assert_true(fake_vhost_nth(0)->rings[0].backend >= 0);
	assert_true(needs_reset(r));
	assert_true(guest_logged(r->g, "VHOST_NET_SET_BACKEND"));
	rig_start(r, FEATURES);
	assert_int_equal(set_pairs(r, 2), VIRTIO_NET_OK);
	assert_int_equal(served(), 3);
}

static void f38_memory_table_too_long(void **state)
{
	struct rig *r = *state;

	driver_negotiate(&r->d, FEATURES);
	fake_vhost_fail(VHOST_SET_MEM_TABLE, 0, E2BIG);
	rig_start(r, FEATURES);
	assert_int_equal(fake_vhost()->rings[0].backend, -1);
	assert_true(needs_reset(r));
	assert_true(guest_logged(r->g, "VHOST_SET_MEM_TABLE"));
}

/* F38: the kernel's thread gives a ring up, or is gone with all that is asked of it. */
static void f38_kernel_gives_up(void **state)
{
	struct rig *r = *state;

	io_eventfd_signal(fake_vhost()->rings[1].err);
	guest_sync(r->g);
	assert_true(needs_reset(r));
	assert_false(queue_runs(r, 1));
	assert_true(guest_logged(r->g, "cannot go on"));
	rig_start(r, FEATURES);
	assert_int_equal(served(), 1);
	assert_false(needs_reset(r));
	/* Not even a stop: said, and the driver has its reset all the same. */
	fake_vhost_fail(VHOST_GET_VRING_BASE, 0, ENODEV);
	driver_negotiate(&r->d, FEATURES);
	assert_true(guest_logged(r->g, "VHOST_GET_VRING_BASE"));
	assert_int_equal(served(), 0);
	rig_start(r, FEATURES);
	assert_int_equal(served(), 1);
}

/* F38: no module, and a kernel that has it and refuses. */
static void f38_not_to_be_had(void **state)
{
	struct guest *g = guest_new(4 * MIB);
	struct err err = { 0 };
	struct dev *dev = NULL;
	unsigned int i;

	(void)state;
	if (!namespace)
		skip();
	for (i = 0; i < 2; i++) {
		char spec[64];
		struct virtio_net *n;

		fake_vhost_reset();
		fake_vhost_each();
		if (i)
			fake_vhost_fail(VHOST_SET_OWNER, 2, ENOMEM);
		else
			fake_vhost_open_fails(ENOENT);
		snprintf(spec, sizeof(spec), "virtio-net,id=nic%u,net=tap,queues=4", i);
		n = (struct virtio_net *)(void *)guest_device(g, &virtio_net_class, spec);
		assert_null(n->vhost);
	}
	assert_int_equal(g->line_count, 2);
	assert_true(guest_logged(g, "nic0: its rings are served here"));
	assert_true(guest_logged(g, "modprobe vhost_net"));
	assert_true(guest_logged(g, "nic1: its rings are served here"));
	assert_true(guest_logged(g, "VHOST_SET_OWNER"));
	fake_vhost_reset();
	fake_vhost_open_fails(ENOENT);
	assert_int_equal(guest_try_device(g, &virtio_net_class, "virtio-net,id=on,net=tap,vhost=on",
					  &dev, &err),
			 -ENOENT);
	assert_non_null(strstr(err.msg, "modprobe vhost_net"));
	guest_free(g);
}

/* F38: a descriptor that has an owner. */
static void f38_owned_by_another(void **state)
{
	struct guest *g = guest_new(4 * MIB);
	struct err err = { 0 };
	struct dev *dev = NULL;
	char spec[64];
	int fd;

	(void)state;
	if (!namespace)
		skip();
	fake_vhost_reset();
	fake_vhost()->owned = true;
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	snprintf(spec, sizeof(spec), "virtio-net,id=nic,net=tap,vhostfd=%d", fd);
	assert_int_equal(guest_try_device(g, &virtio_net_class, spec, &dev, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "another guest has this descriptor"));
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	guest_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(pairs_in_use),
		T(link_down_and_up),
		T(f38_start_refused),
		T(f38_backend_refused),
		T(f38_memory_table_too_long),
		T(f38_kernel_gives_up),
		cmocka_unit_test(f38_not_to_be_had),
		cmocka_unit_test(f38_owned_by_another),
	};

	rig_namespace();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
