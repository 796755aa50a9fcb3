// SPDX-License-Identifier: GPL-2.0-or-later
/* virtio-console as a driver sees it, with the peer at the other end of a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ring.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_driver.h"
#include "fake_kvm.h"
#include "virtio/virtio_console.h"

#define WRITE VRING_DESC_F_WRITE
#define SIZE 16u
#define MULTIPORT BIT64(VIRTIO_CONSOLE_F_MULTIPORT)
#define F_SIZE BIT64(VIRTIO_CONSOLE_F_SIZE)

enum { RX0, TX0, CRX, CTX, RX1, TX1, RINGS };

struct rig {
	struct guest *g;
	struct virtio_console *c;
	struct driver d;
	struct ring q[RINGS];
	gpa_t buf; /* a page for each ring */
	uint8_t *mem;
	char dir[64], path[80], spec[256];
};

static void start(struct rig *r, uint64_t features)
{
	unsigned int i;

	guest_msix_on(r->g, r->d.pdev);
	assert_true(driver_negotiate(&r->d, features | BIT64(VIRTIO_F_VERSION_1)));
	for (i = 0; i < RINGS; i++)
		ring_open(&r->q[i], &r->d, i, SIZE, (uint16_t)(i + 1));
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
}

/* A console with @options and a port named "agent" on a socket. */
static struct rig *rig_open(const char *options)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	snprintf(r->dir, sizeof(r->dir), "/tmp/console_test.XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/s", r->dir);
	snprintf(r->spec, sizeof(r->spec), "virtio-console,%s,serial1=unix=%s,name1=agent", options,
		 r->path);
	r->g = guest_new(4 * MIB);
	r->c = (struct virtio_console *)(void *)guest_device(r->g, &virtio_console_class, r->spec);
	r->buf = guest_alloc(r->g, RINGS * 4096ull, 4096);
	r->mem = guest_ptr(r->g, r->buf, RINGS * 4096ull);
	guest_start(r->g);
	driver_open(&r->d, r->g, &r->c->vpci.pdev.dev);
	start(r, MULTIPORT | F_SIZE);
	return r;
}

static int setup(void **state)
{
	*state = rig_open("cols=100,rows=40");
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	guest_free(r->g);
	unlink(r->path);
	rmdir(r->dir);
	test_free(r);
	return 0;
}

static bool needs_reset(struct rig *r)
{
	return driver_status(&r->d) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void kick(struct rig *r, unsigned int ring)
{
	ring_kick(&r->q[ring]);
	guest_sync(r->g);
}

static uint8_t *page(struct rig *r, unsigned int ring)
{
	return r->mem + ring * 4096ull;
}

/* @count buffers of @size bytes for the device to fill, the i-th @size * i into the ring's page. */
static void post_in(struct rig *r, unsigned int ring, unsigned int count, uint32_t size)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		ring_desc(&r->q[ring], i, r->buf + ring * 4096ull + i * (uint64_t)size, size, WRITE,
			  0);
		ring_post(&r->q[ring], (uint16_t)i);
	}
}

static void give(struct rig *r, unsigned int ring, const void *data, uint32_t len)
{
	uint32_t id, used;

	memcpy(page(r, ring), data, len);
	ring_desc(&r->q[ring], 0, r->buf + ring * 4096ull, len, 0, 0);
	ring_post(&r->q[ring], 0);
	kick(r, ring);
	assert_true(ring_used(&r->q[ring], &id, &used));
}

static void control(struct rig *r, uint32_t id, uint16_t event, uint16_t value)
{
	uint8_t msg[8];

	put_le32(msg, id);
	put_le16(msg + 4, event);
	put_le16(msg + 6, value);
	give(r, CTX, msg, sizeof(msg));
}

/* The next control message to the guest, in buffers of 80 bytes, is this one. */
static const uint8_t *told_value(struct rig *r, uint32_t id, uint16_t event, uint32_t len,
				 uint16_t value)
{
	uint32_t at, used;
	const uint8_t *msg;

	assert_true(ring_wait(&r->q[CRX], &at, &used));
	msg = page(r, CRX) + at * 80ull;
	assert_int_equal(used, len);
	assert_int_equal(get_le32(msg), id);
	assert_int_equal(get_le16(msg + 4), event);
	assert_int_equal(get_le16(msg + 6), value);
	return msg + 8;
}

static const uint8_t *told(struct rig *r, uint32_t id, uint16_t event, uint32_t len)
{
	return told_value(r, id, event, len, 1);
}

static int peer(struct rig *r)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path, r->path, strlen(r->path));
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	guest_sync(r->g); /* it is taken */
	return fd;
}

static void expect(int fd, const char *text)
{
	char buf[256] = "";
	size_t have = 0;

	while (have < strlen(text)) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		ssize_t n;

		assert_int_equal(poll(&pfd, 1, 5000), 1);
		n = read(fd, buf + have, sizeof(buf) - 1 - have);
		assert_true(n > 0);
		have += (size_t)n;
	}
	assert_string_equal(buf, text);
}

static void announces_ports(void **state)
{
	struct rig *r = *state;
	const uint8_t *more;
	uint32_t id, len;

	assert_int_equal(guest_read(r->g, guest_ecam(r->d.pdev, 0), 4), 0x10431af4);
	assert_int_equal(guest_read(r->g, r->d.device, 2), 100);
	assert_int_equal(guest_read(r->g, r->d.device + 2, 2), 40);
	assert_int_equal(guest_read(r->g, r->d.device + 4, 4), 2);

	/* No buffers yet: nothing is lost. */
	control(r, 0xffffffff, VIRTIO_CONSOLE_DEVICE_READY, 1);
	post_in(r, CRX, SIZE, 80);
	kick(r, CRX);
	told(r, 0, VIRTIO_CONSOLE_PORT_ADD, 8);
	told(r, 1, VIRTIO_CONSOLE_PORT_ADD, 8);
	control(r, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	told(r, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 8);
	more = told(r, 0, VIRTIO_CONSOLE_RESIZE, 12);
	assert_int_equal(get_le16(more), 100);
	assert_int_equal(get_le16(more + 2), 40);
	told(r, 0, VIRTIO_CONSOLE_PORT_OPEN, 8);
	control(r, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	assert_memory_equal(told(r, 1, VIRTIO_CONSOLE_PORT_NAME, 13), "agent", 5);
	/* Nobody is at the other end of the socket. */
	assert_false(ring_used(&r->q[CRX], &id, &len));

	pthread_mutex_lock(&r->d.pdev->dev.lock);
	virtio_console_resize(r->c, 132, 50);
	pthread_mutex_unlock(&r->d.pdev->dev.lock);
	assert_int_equal(guest_read(r->g, r->d.device, 2), 132);
	more = told(r, 0, VIRTIO_CONSOLE_RESIZE, 12);
	assert_int_equal(get_le16(more), 132);
	assert_int_equal(get_le16(more + 2), 50);
	assert_false(ring_used(&r->q[CRX], &id, &len));
}

static void carries_bytes(void **state)
{
	struct rig *r = *state;
	uint32_t id, len;
	int fd = peer(r);

	give(r, TX1, "to the host", 11);
	expect(fd, "to the host");

	/* Not opened yet, then no buffers, then some: every byte in order. */
	assert_int_equal(write(fd, "0123456789", 10), 10);
	post_in(r, RX1, 2, 4);
	kick(r, RX1);
	assert_false(ring_used(&r->q[RX1], &id, &len));
	control(r, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	assert_true(ring_wait(&r->q[RX1], &id, &len));
	assert_int_equal(len, 4);
	assert_true(ring_wait(&r->q[RX1], &id, &len));
	assert_int_equal(len, 4);
	assert_memory_equal(page(r, RX1), "01234567", 8);
	post_in(r, RX1, 1, 4);
	kick(r, RX1);
	assert_true(ring_wait(&r->q[RX1], &id, &len));
	assert_int_equal(len, 2);
	assert_memory_equal(page(r, RX1), "89", 2);

	close(fd);
}

/* A port is as open to the guest as its socket has a client (5.3.6.2). */
static void opens_with_its_peer(void **state)
{
	struct rig *r = *state;
	uint32_t id, len;
	int fd = peer(r), i;

	/* Connected before the driver is there, which is told when it is. */
	post_in(r, CRX, SIZE, 80);
	control(r, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	told(r, 1, VIRTIO_CONSOLE_PORT_NAME, 13);
	told(r, 1, VIRTIO_CONSOLE_PORT_OPEN, 8);
	for (i = 0; i < 3; i++) {
		close(fd);
		told_value(r, 1, VIRTIO_CONSOLE_PORT_OPEN, 8, 0);
		/* What is said to nobody is lost. */
		give(r, TX1, "lost", 4);
		fd = peer(r);
		told(r, 1, VIRTIO_CONSOLE_PORT_OPEN, 8);
		give(r, TX1, "heard", 5);
		expect(fd, "heard");
	}
	/* The driver is gone: nothing is told, and it is asked for again afterwards. */
	start(r, MULTIPORT);
	close(fd);
	guest_sync(r->g);
	post_in(r, CRX, SIZE, 80);
	kick(r, CRX);
	control(r, 1, VIRTIO_CONSOLE_PORT_READY, 1);
	told(r, 1, VIRTIO_CONSOLE_PORT_NAME, 13);
	assert_false(ring_used(&r->q[CRX], &id, &len));
	assert_false(needs_reset(r));
}

/* Buffers of a page, numbered, until the device keeps one. Returns how many it was given. */
static unsigned int fill_up(struct rig *r)
{
	struct ring *q = &r->q[TX1];
	uint32_t id, used;
	unsigned int n;

	for (n = 0; n < 1024; n++) {
		memset(page(r, TX1), (int)n, 4096);
		ring_desc(q, 0, r->buf + TX1 * 4096ull, 4096, 0, 0);
		ring_post(q, 0);
		kick(r, TX1);
		if (!ring_used(q, &id, &used))
			return n + 1;
	}
	fail_msg("the device took 4 MiB that nobody reads");
	return 0;
}

static void waits_for_its_reader(void **state)
{
	struct rig *r = *state;
	uint32_t id, used;
	unsigned int n, i, at;
	uint8_t buf[4096];
	int fd = peer(r);

	give(r, TX1, "x", 1);
	expect(fd, "x");
	n = fill_up(r);
	assert_true(n > 16); /* 64 KiB are taken in advance */
	kick(r, TX1);
	assert_false(ring_used(&r->q[TX1], &id, &used));
	/* Nothing is lost, and the one that waited comes back. */
	for (i = 0; i < n; i++) {
		memset(buf, (int)~i, sizeof(buf));
		assert_int_equal(recv(fd, buf, sizeof(buf), MSG_WAITALL), sizeof(buf));
		for (at = 0; at < sizeof(buf); at++)
			assert_int_equal(buf[at], i & 0xff);
	}
	assert_true(ring_wait(&r->q[TX1], &id, &used));
	/* F14: the peer goes in the middle of what it is told. Another one hears none of it. */
	fill_up(r);
	close(fd);
	assert_true(ring_wait(&r->q[TX1], &id, &used));
	fd = peer(r);
	guest_sync(r->g);
	give(r, TX1, "new", 3);
	expect(fd, "new");
	/* A reset while a buffer waits forgets it. */
	fill_up(r);
	start(r, MULTIPORT);
	close(fd);
	guest_sync(r->g);
	assert_false(ring_used(&r->q[TX1], &id, &used));
	give(r, TX1, "again", 5);
	assert_false(needs_reset(r));
}

/* The size of the terminal that standard input is, at the start and whenever it changes. */
static void follows_the_terminal(void **state)
{
	struct winsize size = { .ws_col = 90, .ws_row = 30 };
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave, in = dup(STDIN_FILENO);
	void *opened;
	const uint8_t *more;
	uint32_t id, len;
	struct dev *dev;
	struct rig *r;

	(void)state;
	assert_true(master >= 0 && !grantpt(master) && !unlockpt(master));
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	assert_int_equal(ioctl(slave, TIOCSWINSZ, &size), 0);
	assert_int_equal(dup2(slave, STDIN_FILENO), STDIN_FILENO);
	r = rig_open("console=stdio");
	opened = r;
	dev = &r->d.pdev->dev;
	assert_int_equal(guest_read(r->g, r->d.device, 2), 90);
	assert_int_equal(guest_read(r->g, r->d.device + 2, 2), 30);
	post_in(r, CRX, SIZE, 80);
	size = (struct winsize){ .ws_col = 200, .ws_row = 70 };
	assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
	pthread_mutex_lock(&dev->lock);
	dev->class->control->terminal_resized(dev);
	pthread_mutex_unlock(&dev->lock);
	assert_int_equal(guest_read(r->g, r->d.device, 2), 200);
	more = told(r, 0, VIRTIO_CONSOLE_RESIZE, 12);
	assert_int_equal(get_le16(more), 200);
	assert_int_equal(get_le16(more + 2), 70);
	/* The same again is nothing new. */
	pthread_mutex_lock(&dev->lock);
	dev->class->control->terminal_resized(dev);
	pthread_mutex_unlock(&dev->lock);
	assert_false(ring_used(&r->q[CRX], &id, &len));
	teardown(&opened);
	assert_int_equal(dup2(in, STDIN_FILENO), STDIN_FILENO);
	close(in);
	close(slave);
	close(master);
}

/* Nonsense from the driver. */
static void refuses_nonsense(void **state)
{
	struct rig *r = *state;
	uint32_t id, len;

	post_in(r, CRX, SIZE, 80);
	control(r, 2, VIRTIO_CONSOLE_PORT_READY, 1);
	control(r, 0xffffffff, VIRTIO_CONSOLE_PORT_OPEN, 1);
	control(r, 0, 0xffff, 1);
	give(r, CTX, "short", 5);
	kick(r, CRX);
	assert_false(ring_used(&r->q[CRX], &id, &len));
	assert_false(needs_reset(r));
	assert_true(guest_logged(r->g, "names port 2, of 2"));

	/* A control buffer too small for its message. */
	start(r, MULTIPORT);
	post_in(r, CRX, 1, 7);
	control(r, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	assert_true(needs_reset(r));
	start(r, 0);
	assert_false(needs_reset(r));
}

static void without_multiport(void **state)
{
	struct rig *r = *state;
	uint32_t id, len;

	start(r, 0);
	post_in(r, CRX, SIZE, 80);
	control(r, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
	kick(r, CRX);
	assert_false(ring_used(&r->q[CRX], &id, &len));
	give(r, TX0, "nowhere", 7);
	assert_false(needs_reset(r));
}

static void bad_options(void **state)
{
	static const char *const bad[] = {
		"virtio-console,serial2=none",
		"virtio-console,name1=x",
		"virtio-console,serial1=bogus",
		"virtio-console,cols=0",
	};
	struct guest *g = guest_new(4 * MIB);
	struct dev *dev;
	struct err err;
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		err_clear(&err);
		assert_true(guest_try_device(g, &virtio_console_class, bad[i], &dev, &err) < 0);
		assert_true(err.msg[0]);
	}
	guest_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(announces_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(carries_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(opens_with_its_peer, setup, teardown),
		cmocka_unit_test_setup_teardown(waits_for_its_reader, setup, teardown),
		cmocka_unit_test(follows_the_terminal),
		cmocka_unit_test_setup_teardown(refuses_nonsense, setup, teardown),
		cmocka_unit_test_setup_teardown(without_multiport, setup, teardown),
		cmocka_unit_test(bad_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
