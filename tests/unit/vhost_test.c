// SPDX-License-Identifier: GPL-2.0-or-later
/* Rings in the kernel's hands: what it is told and when, that it gives them back, and that each
 * call it may refuse ends in a device that says so and heals by a reset. F38 of the faults that
 * other VMMs had. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "base/io.h"
#include "fake_vhost.h"
#include "virtio/vhost.h"
#include "virtq_rig.h"
#include "vmm/loop.h"

#define RINGS 2u
#define SIZE 8u
#define STEP 0x40000u
#define ADDED BIT64(40)

struct rig {
	struct vm vm;
	struct dev dev;
	struct virtio_dev vdev;
	struct vhost vhost;
	struct log log;
	int vector; /* what queue_fd() says */
	unsigned int queue_irqs, config_irqs;
	char line[ERR_MSG_MAX];
};

static struct rig *vdev_to_rig(const struct virtio_dev *vdev)
{
	return container_of(vdev, struct rig, vdev);
}

static void queue_irq(struct virtio_dev *vdev, unsigned int queue)
{
	(void)queue;
	vdev_to_rig(vdev)->queue_irqs++;
}

static void config_irq(struct virtio_dev *vdev)
{
	vdev_to_rig(vdev)->config_irqs++;
}

static int queue_fd(const struct virtio_dev *vdev, unsigned int queue)
{
	(void)queue;
	return vdev_to_rig(vdev)->vector;
}

static void ops_reset(struct virtio_dev *vdev)
{
	vhost_reset(&vdev_to_rig(vdev)->vhost);
}

static void ops_running(struct virtio_dev *vdev, bool running)
{
	vhost_running(&vdev_to_rig(vdev)->vhost, running);
}

static int serve(struct vhost *v, bool on, struct err *err)
{
	int arg = on;

	return vhost_ask(v, VHOST_VSOCK_SET_RUNNING, "SET_RUNNING", &arg, err);
}

static const struct virtio_ops ops = {
	.type = 63,
	.config_size = 4,
	.config_read = rig_config_read,
	.notify = rig_notify,
	.reset = ops_reset,
	.running = ops_running,
};

static const struct virtio_transport_ops transport = {
	.queue_irq = queue_irq,
	.config_irq = config_irq,
	.queue_fd = queue_fd,
	.doorbells = rig_nothing,
	.dma = rig_dma,
};

static void keep_line(void *opaque, enum log_level level, const char *line)
{
	struct rig *r = opaque;

	(void)level;
	snprintf(r->line, sizeof(r->line), "%s", line);
}

static int setup(void **state)
{
	static const uint16_t sizes[RINGS] = { SIZE, SIZE };
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	fake_vhost_reset();
	r->vector = -1;
	r->log = (struct log){ .sink = keep_line, .opaque = r, .max = LOG_INFO };
	r->vm.config.name = "rig";
	r->vm.log = &r->log;
	r->vm.kvm_fd = r->vm.fd = -1;
	r->dev.vm = &r->vm;
	r->dev.id = (char *)(uintptr_t) "rig0";
	pthread_mutex_init(&r->dev.lock, NULL);
	assert_int_equal(loop_new(&r->vm.loop, NULL), 0);
	assert_int_equal(mem_init(&r->vm.mem, &r->vm, MIB, NULL), 0);
	assert_int_equal(virtio_dev_init(&r->vdev, &r->dev, &ops, &transport, sizes, RINGS), 0);
	r->vhost.path = "/dev/vhost-rig";
	r->vhost.module = "vhost_rig";
	r->vhost.queues = RINGS;
	r->vhost.serve = serve;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	if (r->vdev.queues)
		virtio_dev_reset(&r->vdev);
	vhost_close(&r->vhost);
	virtio_dev_done(&r->vdev);
	loop_free(r->vm.loop);
	mem_done(&r->vm.mem);
	pthread_mutex_destroy(&r->dev.lock);
	free(r);
	return 0;
}

static void open_bound(struct rig *r)
{
	assert_int_equal(vhost_open(&r->vhost, &r->vm, -1, NULL), 0);
	r->vdev.offered = vhost_features(&r->vhost) | ADDED;
	assert_int_equal(vhost_bind(&r->vhost, &r->vdev, NULL), 0);
}

/* A driver up to DRIVER_OK, with the first @count queues. */
static void drive(struct rig *r, unsigned int count)
{
	unsigned int i;

	virtio_dev_set_status(&r->vdev, 0);
	virtio_dev_ack(&r->vdev, 0, BIT(VIRTIO_RING_F_EVENT_IDX));
	virtio_dev_ack(&r->vdev, 1, 1 | (uint32_t)(ADDED >> 32));
	virtio_dev_set_status(&r->vdev, VIRTIO_CONFIG_S_FEATURES_OK);
	for (i = 0; i < count; i++) {
		struct virtq *vq = &r->vdev.queues[i];

		virtio_queue_set_size(vq, SIZE);
		vq->desc = RIG_DESC + (gpa_t)i * STEP;
		vq->driver = RIG_AVAIL + (gpa_t)i * STEP;
		vq->device = RIG_USED + (gpa_t)i * STEP;
		virtio_queue_enable(vq);
		assert_true(vq->enabled);
	}
	virtio_dev_set_status(&r->vdev, VIRTIO_CONFIG_S_DRIVER_OK);
}

static bool needs_reset(const struct rig *r)
{
	return r->vdev.status & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void kernel_is_told_all(void **state)
{
	struct rig *r = *state;
	struct fake_vhost *k = fake_vhost();
	uint8_t *ram = r->vm.mem.banks[0].hva;
	unsigned int i;

	open_bound(r);
	/* Not what the kernel has for others: VHOST_F_LOG_ALL is nothing of the guest's. */
	assert_int_equal(vhost_features(&r->vhost), k->features & ~BIT64(VHOST_F_LOG_ALL));
	drive(r, RINGS);
	assert_true(k->running);
	assert_int_equal(k->acked, BIT64(VIRTIO_RING_F_EVENT_IDX) | BIT64(VIRTIO_F_VERSION_1));
	assert_int_equal(k->regions, 1);
	assert_int_equal(k->region[0].guest_phys_addr, 0);
	assert_int_equal(k->region[0].memory_size, MIB);
	assert_ptr_equal((void *)(uintptr_t)k->region[0].userspace_addr, ram);
	for (i = 0; i < RINGS; i++) {
		struct fake_vhost_ring *ring = &k->rings[i];

		assert_int_equal(ring->num, SIZE);
		assert_int_equal(ring->base, 0);
		assert_int_equal(ring->addr.desc_user_addr,
				 (uintptr_t)ram + RIG_DESC + (uintptr_t)i * STEP);
		assert_int_equal(ring->addr.avail_user_addr,
				 (uintptr_t)ram + RIG_AVAIL + (uintptr_t)i * STEP);
		assert_int_equal(ring->addr.used_user_addr,
				 (uintptr_t)ram + RIG_USED + (uintptr_t)i * STEP);
		assert_int_equal(ring->kick, r->vdev.queues[i].kick_fd);
		/* Kicked once, for buffers from before. */
		assert_int_equal(io_eventfd_drain(ring->kick), 1);
	}
}

/* Taken back and given again without a reset, the ring goes on; after a reset it starts anew. */
static void rings_come_back(void **state)
{
	struct rig *r = *state;
	struct fake_vhost *k = fake_vhost();

	open_bound(r);
	drive(r, RINGS);
	k->rings[0].base = 5;
	k->rings[1].base = 0xffff;
	vhost_running(&r->vhost, false);
	assert_false(k->running);
	assert_int_equal(k->rings[0].kick, -1);
	k->rings[0].base = k->rings[1].base = 77;
	vhost_running(&r->vhost, true);
	assert_true(k->running);
	assert_int_equal(k->rings[0].base, 5);
	assert_int_equal(k->rings[1].base, 0xffff);
	drive(r, RINGS);
	assert_int_equal(k->rings[0].base, 0);
	assert_int_equal(k->rings[1].base, 0);
	assert_false(needs_reset(r));
}

static void interrupts_go_where_they_can(void **state)
{
	struct rig *r = *state;
	struct fake_vhost *k = fake_vhost();
	int own, vector = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	unsigned int calls;

	assert_true(vector >= 0);
	open_bound(r);
	drive(r, RINGS);
	own = k->rings[0].call;
	assert_int_equal(own, r->vhost.rings[0].own_fd);
	r->vector = vector;
	vhost_irqs_changed(&r->vhost);
	assert_int_equal(k->rings[0].call, vector);
	assert_int_equal(k->rings[1].call, vector);
	/* Nothing changed: nothing is asked. */
	calls = k->calls;
	vhost_irqs_changed(&r->vhost);
	assert_int_equal(k->calls, calls);
	r->vector = -1;
	vhost_irqs_changed(&r->vhost);
	assert_int_equal(k->rings[0].call, own);
	close(vector);
}

static void stop(void *opaque)
{
	loop_stop(opaque);
}

/* What is there for the loop to do, once. */
static void turn(struct rig *r)
{
	assert_int_equal(loop_post(r->vm.loop, stop, r->vm.loop), 0);
	assert_int_equal(loop_run(r->vm.loop, NULL), 0);
}

static bool is_lost(struct vhost *v)
{
	(void)v;
	return true;
}

/* The kernel reports an error of a ring. */
static void ring_fails(struct rig *r)
{
	open_bound(r);
	drive(r, RINGS);
	io_eventfd_signal(fake_vhost()->rings[1].err);
	turn(r);
	assert_int_equal(io_eventfd_drain(fake_vhost()->rings[1].err), 0);
}

static void an_error_is_the_drivers(void **state)
{
	struct rig *r = *state;

	ring_fails(r);
	assert_true(needs_reset(r));
	assert_non_null(strstr(r->line, "broke a rule"));
}

/* A tap that was deleted, which vhost-net reports in the same way. */
static void unless_its_purpose_is_lost(void **state)
{
	struct rig *r = *state;

	r->vhost.lost = is_lost;
	ring_fails(r);
	assert_false(needs_reset(r));
}

/* A driver that sets up one ring of two gets no service, and the log says why. */
static void half_a_driver(void **state)
{
	struct rig *r = *state;

	open_bound(r);
	drive(r, 1);
	assert_false(fake_vhost()->running);
	assert_true(needs_reset(r));
	assert_non_null(strstr(r->line, "queue 1 is not enabled"));
	drive(r, RINGS);
	assert_true(fake_vhost()->running);
	assert_false(needs_reset(r));
}

/* F38: whichever call of the start the kernel refuses, nothing is served, the driver is told, and
 * its reset heals. */
static void f38_each_call_refused(void **state)
{
	struct rig *r = *state;
	struct fake_vhost *k = fake_vhost();
	unsigned int calls, i;

	open_bound(r);
	calls = k->calls;
	drive(r, RINGS);
	calls = k->calls - calls;
	assert_true(calls > 10);
	virtio_dev_set_status(&r->vdev, 0);
	for (i = 0; i < calls; i++) {
		r->line[0] = 0;
		fake_vhost_fail(0, i, ENOMEM);
		drive(r, RINGS);
		assert_false(k->running);
		assert_true(needs_reset(r));
		assert_false(virtq_running(&r->vdev.queues[0]));
		assert_false(virtq_running(&r->vdev.queues[1]));
		drive(r, RINGS);
		assert_true(k->running);
		assert_false(needs_reset(r));
		virtio_dev_set_status(&r->vdev, 0);
	}
}

static void f38_refused_at_open(void **state)
{
	struct rig *r = *state;
	struct err err = { 0 };

	fake_vhost_open_fails(ENOENT);
	assert_int_equal(vhost_open(&r->vhost, &r->vm, -1, &err), -ENODEV);
	assert_non_null(strstr(err.msg, "/dev/vhost-rig: this host has none; modprobe vhost_rig"));
	vhost_close(&r->vhost);
	fake_vhost_open_fails(EACCES);
	assert_int_equal(vhost_open(&r->vhost, &r->vm, -1, &err), -EACCES);
	vhost_close(&r->vhost);
	fake_vhost_open_fails(0);
	/* Owned by another already. */
	fake_vhost()->owned = true;
	assert_int_equal(vhost_open(&r->vhost, &r->vm, -1, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "another guest"));
	vhost_close(&r->vhost);
	fake_vhost()->owned = false;
	fake_vhost()->features = 0;
	assert_int_equal(vhost_open(&r->vhost, &r->vm, -1, &err), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(kernel_is_told_all), T(rings_come_back),	 T(interrupts_go_where_they_can),
		T(an_error_is_the_drivers), T(unless_its_purpose_is_lost),
		T(half_a_driver),      T(f38_each_call_refused), T(f38_refused_at_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
