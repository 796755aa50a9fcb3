// SPDX-License-Identifier: GPL-2.0-or-later
/* vhost-user: the driver on one side, a server that may be wrong, stuck or gone on the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "base/io.h"
#include "base/util.h"
#include "fake_driver.h"
#include "fake_kvm.h"
#include "fake_vhost_server.h"
#include "virtio/vhost_user_blk.h"
#include "virtio/vhost_user_net.h"

#define WRITE VRING_DESC_F_WRITE
#define VERSION_1 BIT64(VIRTIO_F_VERSION_1)
#define FLUSH BIT64(VIRTIO_BLK_F_FLUSH)
#define WCE BIT64(VIRTIO_BLK_F_CONFIG_WCE)
#define PROTOCOL BIT64(VHOST_USER_F_PROTOCOL_FEATURES)
#define RING_PACKED BIT64(34)
#define P_MQ BIT64(VHOST_USER_PROTOCOL_F_MQ)
#define P_CONFIG BIT64(VHOST_USER_PROTOCOL_F_CONFIG)
#define P_ACK BIT64(VHOST_USER_PROTOCOL_F_REPLY_ACK)
#define P_INFLIGHT BIT64(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD)
#define SIZE 16u

struct rig {
	struct fake_vhost s;
	struct guest *g;
	struct vhost_user_blk *b;
	struct driver d;
	struct ring rings[2];
	gpa_t buf;
	uint8_t *mem;
};

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	fake_vhost_init(&r->s);
	r->s.features = VERSION_1 | PROTOCOL | FLUSH | WCE | BIT64(VIRTIO_BLK_F_MQ) |
			BIT64(VIRTIO_RING_F_EVENT_IDX) | RING_PACKED;
	r->s.protocol = P_MQ | P_CONFIG | P_ACK | P_INFLIGHT | BIT64(5);
	put_le64(r->s.config, 2048); /* 1 MiB */
	r->g = guest_new_shared(4 * MIB);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	guest_free(r->g);
	fake_vhost_done(&r->s);
	test_free(r);
	return 0;
}

static int try_device(struct rig *r, const char *options, struct err *err)
{
	char spec[160];
	struct dev *dev = NULL;
	int ret;

	snprintf(spec, sizeof(spec), "vhost-user-blk,id=disk,socket=%s%s", r->s.path, options);
	ret = guest_try_device(r->g, &vhost_user_blk_class, spec, &dev, err);
	r->b = (struct vhost_user_blk *)(void *)dev;
	return ret;
}

/* The driver takes @features, and the server the rings. */
static void drive(struct rig *r, uint64_t features)
{
	unsigned int i;

	guest_msix_on(r->g, r->d.pdev);
	assert_true(driver_negotiate(&r->d, features | VERSION_1));
	for (i = 0; i < r->b->vup.vu.queues; i++)
		ring_open(&r->rings[i], &r->d, i, SIZE, (uint16_t)(i + 1));
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
}

static void start(struct rig *r, const char *options)
{
	struct err err = { 0 };

	fake_vhost_start(&r->s);
	if (try_device(r, options, &err))
		fail_msg("%s", err.msg);
	r->buf = guest_alloc(r->g, 64 * KIB, 4096);
	r->mem = guest_ptr(r->g, r->buf, 64 * KIB);
	guest_start(r->g);
	driver_open(&r->d, r->g, &r->b->vup.vpci.pdev.dev);
	drive(r, FLUSH | WCE);
}

/* One request on a ring is answered. */
static void request(struct rig *r, unsigned int ring, uint16_t head)
{
	uint32_t id = 99, len = 0;

	memset(r->mem, 0, 512);
	ring_desc(&r->rings[ring], head, r->buf, 512, WRITE, 0);
	ring_post(&r->rings[ring], head);
	ring_kick(&r->rings[ring]);
	assert_true(ring_wait(&r->rings[ring], &id, &len));
	assert_int_equal(id, head);
	assert_int_equal(len, 512);
	assert_int_equal(r->mem[0], 0x5a);
	assert_int_equal(r->mem[511], 0x5a);
}

static bool wait_log(struct rig *r, const char *text)
{
	struct timespec pause = { .tv_nsec = 10000000 };
	unsigned int i;

	for (i = 0; i < 1500 && !guest_logged(r->g, text); i++)
		nanosleep(&pause, NULL);
	return guest_logged(r->g, text);
}

static void serves(void **state)
{
	struct rig *r = *state;
	unsigned int i;

	start(r, ",queues=2");
	/* What the server has and this device knows; packed rings are not among it, and the number
	 * of queues is the device's. */
	assert_true(driver_offered(&r->d) == (VERSION_1 | FLUSH | WCE | BIT64(VIRTIO_BLK_F_MQ) |
					      BIT64(VIRTIO_RING_F_EVENT_IDX)));
	assert_int_equal(guest_read(r->g, r->d.device, 4), 2048);
	assert_int_equal(guest_read(r->g, r->d.device + 34, 2), 2);
	assert_int_equal(guest_read(r->g, guest_ecam(r->d.pdev, 0), 4), 0x10421af4);
	for (i = 0; i < 40; i++)
		request(r, i % 2, (uint16_t)(i % SIZE));
	/* The vectors are the server's own: nobody here saw a thing. */
	assert_int_equal(guest_msix_count(r->d.pdev, 1), 20);
	assert_int_equal(guest_msix_count(r->d.pdev, 2), 20);
	pthread_mutex_lock(&r->s.lock);
	assert_true(r->s.acked == (VERSION_1 | FLUSH | WCE | PROTOCOL));
	assert_int_equal(r->s.set_config, 32 << 8 | 1);
	pthread_mutex_unlock(&r->s.lock);
	/* The guest sets the write cache, and nothing else. */
	guest_write(r->g, r->d.device + 32, 1, 0);
	guest_write(r->g, r->d.device, 4, 0);
	/* The reset waits for the server, so it has read that. */
	driver_negotiate(&r->d, VERSION_1);
	pthread_mutex_lock(&r->s.lock);
	assert_int_equal(r->s.set_config, 32 << 8);
	assert_false(r->s.rings[0].enabled);
	pthread_mutex_unlock(&r->s.lock);
	drive(r, FLUSH);
	request(r, 1, 3);
	fake_vhost_stop(&r->s);
}

/* No message is on: the device's pin, by way of this process. */
static void pin(void **state)
{
	struct rig *r = *state;
	uint32_t id, len;

	start(r, "");
	driver_negotiate(&r->d, VERSION_1);
	guest_write(r->g, guest_ecam(r->d.pdev, r->d.pdev->msix.cap + 2), 2, 0);
	ring_open(&r->rings[0], &r->d, 0, SIZE, VIRTIO_MSI_NO_VECTOR);
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
	ring_desc(&r->rings[0], 0, r->buf, 512, WRITE, 0);
	ring_post(&r->rings[0], 0);
	ring_kick(&r->rings[0]);
	assert_true(ring_wait(&r->rings[0], &id, &len));
	guest_sync(r->g);
	assert_int_equal(guest_read(r->g, r->d.isr, 1), 1);
	fake_vhost_stop(&r->s);
}

/* The server goes with the request at @head taken and not given back. */
static void goes_with(struct rig *r, uint16_t head)
{
	pthread_mutex_lock(&r->s.lock);
	r->s.holds = true;
	pthread_mutex_unlock(&r->s.lock);
	ring_desc(&r->rings[0], head, r->buf, 512, WRITE, 0);
	ring_post(&r->rings[0], head);
	ring_kick(&r->rings[0]);
	fake_vhost_stop(&r->s);
	r->s.holds = false;
}

/* It goes with nothing under way, or with a record of it: the next one goes on. */
static void comes_back(void **state)
{
	struct rig *r = *state;
	uint32_t id, len;

	start(r, "");
	request(r, 0, 1);
	goes_with(r, 2);
	assert_true(wait_log(r, "has closed the connection"));
	fake_vhost_start(&r->s);
	assert_true(ring_wait(&r->rings[0], &id, &len));
	assert_int_equal(id, 2);
	request(r, 0, 3);
	pthread_mutex_lock(&r->s.lock);
	assert_int_equal(r->s.connections, 2);
	assert_int_equal(r->s.inflight_got, 1);
	assert_int_equal(r->s.inflight_set, 2);
	assert_int_equal(r->s.rings[0].base, 3);
	pthread_mutex_unlock(&r->s.lock);
	assert_int_equal(driver_status(&r->d) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	fake_vhost_stop(&r->s);
}

static void goes_with_requests(void **state)
{
	struct rig *r = *state;

	r->s.protocol &= ~P_INFLIGHT;
	start(r, "");
	request(r, 0, 1);
	goes_with(r, 2);
	assert_true(wait_log(r, "kept no record"));
	guest_sync(r->g);
	assert_true(driver_status(&r->d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	fake_vhost_start(&r->s);
	assert_true(wait_log(r, "served again"));
	drive(r, FLUSH);
	request(r, 0, 5);
	fake_vhost_stop(&r->s);
}

/* The next server is another one: it lacks what the guest uses, or a queue. */
static void another_comes(void **state)
{
	struct rig *r = *state;

	start(r, ",queues=2");
	request(r, 0, 1);
	fake_vhost_stop(&r->s);
	r->s.features &= ~FLUSH;
	fake_vhost_start(&r->s);
	assert_true(wait_log(r, "lacks features 0x200"));
	fake_vhost_stop(&r->s);
	r->s.features |= FLUSH;
	r->s.queues = 1;
	fake_vhost_start(&r->s);
	assert_true(wait_log(r, "it has 1 queues, the guest 2"));
	fake_vhost_stop(&r->s);
}

static void babbles(void **state)
{
	struct rig *r = *state;

	start(r, "");
	fake_vhost_babble(&r->s);
	assert_true(wait_log(r, "something that it was not asked"));
	assert_true(wait_log(r, "served again"));
	request(r, 0, 1);
	fake_vhost_stop(&r->s);
}

static const uint32_t asked_at_open[] = { VHOST_USER_GET_FEATURES, VHOST_USER_GET_PROTOCOL_FEATURES,
					  VHOST_USER_GET_QUEUE_NUM, VHOST_USER_GET_CONFIG };
static const uint32_t asked_at_start[] = { VHOST_USER_SET_MEM_TABLE, VHOST_USER_GET_INFLIGHT_FD };

static int open_fds(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 1024; fd++)
		n += dup2(fd, fd) == fd;
	return n;
}

/* Each answer in each wrong way, when the device is made: refused with a reason, nothing stays
 * open. */
static void wrong_at_open(void **state)
{
	struct rig *r = *state;
	unsigned int i, fault;
	int before;

	before = open_fds();
	for (i = 0; i < ARRAY_SIZE(asked_at_open); i++) {
		for (fault = FAKE_VHOST_SILENT; fault < FAKE_VHOST_FAULTS; fault++) {
			struct err err = { 0 };

			/* All ones are good answers here, but for the configuration's place. */
			if (fault == FAKE_VHOST_EXTRA_FDS ||
			    (fault == FAKE_VHOST_ONES && asked_at_open[i] != VHOST_USER_GET_CONFIG))
				continue;
			r->s.fault_at = asked_at_open[i];
			r->s.fault = fault;
			fake_vhost_start(&r->s);
			assert_true(try_device(r, "", &err) < 0);
			assert_non_null(strstr(err.msg, r->s.path));
			fake_vhost_stop(&r->s);
			assert_int_equal(open_fds(), before);
		}
	}
}

/* The same when the driver comes: the guest goes on, and another server takes over. */
static void wrong_at_start(void **state)
{
	struct rig *r = *state;
	unsigned int i, fault;

	start(r, "");
	for (i = 0; i < ARRAY_SIZE(asked_at_start); i++) {
		for (fault = FAKE_VHOST_HANGS_UP; fault < FAKE_VHOST_FAULTS; fault++) {
			if (fault == FAKE_VHOST_EXTRA_FDS)
				continue;
			driver_negotiate(&r->d, VERSION_1);
			pthread_mutex_lock(&r->s.lock);
			r->s.fault_at = asked_at_start[i];
			r->s.fault = fault;
			pthread_mutex_unlock(&r->s.lock);
			drive(r, FLUSH);
			pthread_mutex_lock(&r->s.lock);
			r->s.fault = FAKE_VHOST_GOOD;
			pthread_mutex_unlock(&r->s.lock);
			request(r, 0, 1);
		}
	}
	fake_vhost_stop(&r->s);
}

static void extra_descriptors(void **state)
{
	struct rig *r = *state;
	int before;

	r->s.fault_at = VHOST_USER_GET_CONFIG;
	r->s.fault = FAKE_VHOST_EXTRA_FDS;
	start(r, "");
	request(r, 0, 1);
	pthread_mutex_lock(&r->s.lock);
	r->s.fault_at = VHOST_USER_GET_VRING_BASE;
	pthread_mutex_unlock(&r->s.lock);
	driver_negotiate(&r->d, VERSION_1);
	before = open_fds();
	drive(r, FLUSH);
	driver_negotiate(&r->d, VERSION_1);
	assert_int_equal(open_fds(), before);
	fake_vhost_stop(&r->s);
}

static void refusals(void **state)
{
	struct rig *r = *state;
	struct err err = { 0 };

	assert_int_equal(try_device(r, "", &err), -ENOENT);
	assert_non_null(strstr(err.msg, "nobody serves vhost-user there"));
	r->s.features &= ~PROTOCOL;
	fake_vhost_start(&r->s);
	assert_int_equal(try_device(r, "", &err), -EPROTO);
	assert_non_null(strstr(err.msg, "no protocol features"));
	fake_vhost_stop(&r->s);
	r->s.features = PROTOCOL;
	fake_vhost_start(&r->s);
	assert_int_equal(try_device(r, "", &err), -EPROTO);
	assert_non_null(strstr(err.msg, "no VERSION_1"));
	fake_vhost_stop(&r->s);
	r->s.features |= VERSION_1;
	fake_vhost_start(&r->s);
	assert_int_equal(try_device(r, ",queues=3", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "queues=3: its server has 2"));
	fake_vhost_stop(&r->s);
	r->s.protocol &= ~P_CONFIG;
	fake_vhost_start(&r->s);
	assert_int_equal(try_device(r, "", &err), -EPROTO);
	assert_non_null(strstr(err.msg, "configuration (CONFIG)"));
	fake_vhost_stop(&r->s);
	guest_free(r->g);
	r->g = guest_new(4 * MIB);
	assert_int_equal(try_device(r, "", &err), -EINVAL);
	assert_non_null(strstr(err.msg, "share=on"));
}

/* A card: address and link are this device's own, a pair of rings is one queue of the server's, and
 * a ring with buffers in it goes on at the next server. */
static void network(void **state)
{
	static const uint64_t ours = BIT64(VIRTIO_NET_F_MAC) | BIT64(VIRTIO_NET_F_STATUS);
	static const uint64_t theirs = BIT64(VIRTIO_NET_F_MRG_RXBUF) | BIT64(VIRTIO_NET_F_CSUM);
	struct rig *r = *state;
	struct dev *dev = NULL;
	struct err err = { 0 };
	char spec[160];
	unsigned int i;

	r->s.features = VERSION_1 | PROTOCOL | theirs | BIT64(VIRTIO_NET_F_CTRL_VQ);
	r->s.protocol = P_MQ;
	r->s.queues = 1;
	fake_vhost_start(&r->s);
	snprintf(spec, sizeof(spec), "vhost-user-net,id=nic,mac=52:54:00:12:34:56,socket=%s",
		 r->s.path);
	if (guest_try_device(r->g, &vhost_user_net_class, spec, &dev, &err))
		fail_msg("%s", err.msg);
	r->buf = guest_alloc(r->g, 64 * KIB, 4096);
	r->mem = guest_ptr(r->g, r->buf, 64 * KIB);
	guest_start(r->g);
	driver_open(&r->d, r->g, dev);
	assert_true(driver_offered(&r->d) == (VERSION_1 | theirs | ours));
	assert_int_equal(guest_read(r->g, r->d.device, 4), 0x12005452);
	assert_int_equal(guest_read(r->g, r->d.device + 6, 2), VIRTIO_NET_S_LINK_UP);
	guest_msix_on(r->g, r->d.pdev);
	assert_true(driver_negotiate(&r->d, VERSION_1 | theirs | ours));
	for (i = 0; i < 2; i++)
		ring_open(&r->rings[i], &r->d, i, SIZE, (uint16_t)(i + 1));
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
	request(r, 0, 1);
	request(r, 1, 2);
	pthread_mutex_lock(&r->s.lock);
	assert_true(r->s.acked == (VERSION_1 | theirs | PROTOCOL)); /* not what is none of its */
	pthread_mutex_unlock(&r->s.lock);
	goes_with(r, 3);
	assert_true(wait_log(r, "has closed the connection"));
	guest_sync(r->g);
	assert_int_equal(guest_read(r->g, r->d.device + 6, 2), 0);
	assert_int_equal(driver_status(&r->d) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
	fake_vhost_start(&r->s);
	assert_true(wait_log(r, "served again"));
	guest_sync(r->g);
	assert_int_equal(guest_read(r->g, r->d.device + 6, 2), VIRTIO_NET_S_LINK_UP);
	assert_true(ring_wait(&r->rings[0], &(uint32_t){ 0 }, &(uint32_t){ 0 }));
	request(r, 1, 4);
	fake_vhost_stop(&r->s);
}

/* What the server was told of a ring, the last message of all being there. */
static struct fake_vhost_ring told(struct rig *r, unsigned int i)
{
	struct timespec pause = { .tv_nsec = 10000000 };
	struct fake_vhost_ring ring = { 0 };
	unsigned int tries;
	bool all = false;

	for (tries = 0; tries < 1500 && !all; tries++) {
		pthread_mutex_lock(&r->s.lock);
		all = r->s.rings[1].enabled;
		ring = r->s.rings[i];
		pthread_mutex_unlock(&r->s.lock);
		if (!all)
			nanosleep(&pause, NULL);
	}
	assert_true(all);
	return ring;
}

static void packed_drive(struct rig *r)
{
	unsigned int i;

	assert_true(driver_negotiate(&r->d, VERSION_1 | RING_PACKED));
	for (i = 0; i < 2; i++)
		ring_open(&r->rings[i], &r->d, i, SIZE, (uint16_t)(i + 1));
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
}

static void came_to(struct rig *r, uint32_t base)
{
	pthread_mutex_lock(&r->s.lock);
	r->s.rings[0].base = base;
	pthread_mutex_unlock(&r->s.lock);
}

static void bus_master(struct rig *r, bool on)
{
	guest_write(r->g, guest_ecam(r->d.pdev, PCI_COMMAND), 2,
		    PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0));
}

static void packed_start(struct rig *r)
{
	struct dev *dev = NULL;
	struct err err = { 0 };
	char spec[160];

	r->s.features = VERSION_1 | PROTOCOL;
	r->s.protocol = P_MQ;
	r->s.queues = 1;
	r->s.holds = true;
	fake_vhost_start(&r->s);
	snprintf(spec, sizeof(spec), "vhost-user-net,id=nic,packed=on,socket=%s", r->s.path);
	assert_int_equal(guest_try_device(r->g, &vhost_user_net_class, spec, &dev, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "packed=on: its server has split rings alone"));
	fake_vhost_stop(&r->s);
	r->s.features |= RING_PACKED;
	fake_vhost_start(&r->s);
	err_clear(&err);
	if (guest_try_device(r->g, &vhost_user_net_class, spec, &dev, &err))
		fail_msg("%s", err.msg);
	guest_start(r->g);
	driver_open(&r->d, r->g, dev);
	assert_true(driver_offered(&r->d) & RING_PACKED);
	guest_msix_on(r->g, r->d.pdev);
	packed_drive(r);
}

/* Packed rings: bit 15 of the base is the wrap counter, which begins at 1, and the driver's and the
 * device's area stand where the available and the used ring do. The server here does not work on
 * them; that one does is the lab's to show. */
static void packed(void **state)
{
	struct rig *r = *state;
	unsigned int i;

	packed_start(r);
	for (i = 0; i < 2; i++) {
		struct fake_vhost_ring ring = told(r, i);

		assert_int_equal(ring.base, 0x8000);
		assert_true(ring.addr.desc == (uintptr_t)r->rings[i].desc);
		assert_true(ring.addr.avail == (uintptr_t)r->rings[i].avail);
		assert_true(ring.addr.used == (uintptr_t)r->rings[i].used);
	}
	/* Taken back and given again it goes on where the server came. */
	came_to(r, 0x0003);
	bus_master(r, false);
	came_to(r, 0x7777);
	bus_master(r, true);
	assert_int_equal(told(r, 0).base, 0x0003);
	came_to(r, 0x8004);
	bus_master(r, false);
	came_to(r, 0x7777);
	bus_master(r, true);
	assert_int_equal(told(r, 0).base, 0x8004);
	/* The driver's reset: from the beginning. */
	packed_drive(r);
	assert_int_equal(told(r, 0).base, 0x8000);
	/* How far a server came that is gone stands nowhere. */
	fake_vhost_stop(&r->s);
	assert_true(wait_log(r, "a packed ring does not say how far that was"));
	guest_sync(r->g);
	assert_true(driver_status(&r->d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	fake_vhost_start(&r->s);
	assert_true(wait_log(r, "served again"));
	pthread_mutex_lock(&r->s.lock);
	assert_false(r->s.rings[0].enabled);
	pthread_mutex_unlock(&r->s.lock);
	packed_drive(r);
	assert_int_equal(told(r, 0).base, 0x8000);
	fake_vhost_stop(&r->s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(serves, setup, teardown),
		cmocka_unit_test_setup_teardown(pin, setup, teardown),
		cmocka_unit_test_setup_teardown(comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_with_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(another_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(babbles, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_at_open, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_at_start, setup, teardown),
		cmocka_unit_test_setup_teardown(extra_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(network, setup, teardown),
		cmocka_unit_test_setup_teardown(packed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
