// SPDX-License-Identifier: GPL-2.0-or-later
/* The tap back end on the kernel's own interfaces, in a network namespace of the test's. The other
 * end of an interface is a packet socket. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/iov.h"
#include "vmm/net.h"
#include "vmm/net_options.h"
#include "vmm/vm.h"

#define TYPE 0x88b5 /* for local experiments: nothing of the kernel's own sends it */
#define WAIT_MS 20000
#define NAME "vt0"

struct nic {
	struct vm vm;
	struct net_config config;
	struct net net;
	pthread_mutex_t lock;
	pthread_t thread;
	unsigned int got, ends, link_calls;
	bool up;
	uint8_t last[2048];
	size_t len;
	int packet; /* the other end */
};

static bool namespace;

static bool nic_receive(void *opaque, unsigned int queue, const struct iovec *iov, unsigned int count)
{
	struct nic *n = opaque;
	uint8_t bytes[2048] = { 0 };
	size_t len = iov_gather(iov, count, bytes, sizeof(bytes));
	(void)queue;

	/* The kernel's own, such as router solicitations, are not meant. */
	if (bytes[12] != TYPE >> 8 || bytes[13] != (TYPE & 255))
		return true;
	memcpy(n->last, bytes, len);
	n->len = len;
	n->got++;
	return true;
}

static void nic_receive_end(void *opaque, unsigned int queue)
{
	(void)queue;
	((struct nic *)opaque)->ends++;
}

static void nic_send_ready(void *opaque, unsigned int queue)
{
	(void)queue;
	(void)opaque;
}

static void nic_link(void *opaque, bool up)
{
	struct nic *n = opaque;

	n->up = up;
	n->link_calls++;
}

static const struct net_peer_ops nic_ops = {
	.receive = nic_receive,
	.receive_end = nic_receive_end,
	.send_ready = nic_send_ready,
	.link = nic_link,
};

static void *loop_main(void *opaque)
{
	loop_run(((struct nic *)opaque)->vm.loop, NULL);
	return NULL;
}

/* Of the interface NAME: set up or down. */
static void set_up(bool up)
{
	struct ifreq ifr = { .ifr_name = NAME };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
	ifr.ifr_flags = (short)(up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	close(fd);
}

static int open_tap(short more)
{
	struct ifreq ifr = { .ifr_name = NAME, .ifr_flags = (short)(IFF_TAP | more) };
	int fd = open("/dev/net/tun", O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

static void make_persistent(void)
{
	int fd = open_tap(IFF_NO_PI);

	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
	close(fd);
	set_up(true);
}

static void delete_link(void)
{
	assert_int_equal(system("ip link del " NAME), 0);
}

static void connect_packet(struct nic *n)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(TYPE),
				  .sll_ifindex = (int)if_nametoindex(NAME) };

	if (n->packet >= 0)
		close(n->packet);
	n->packet = socket(AF_PACKET, SOCK_RAW, htons(TYPE));
	assert_true(n->packet >= 0);
	assert_int_equal(bind(n->packet, (struct sockaddr *)&to, sizeof(to)), 0);
}

static struct nic *nic_new(const struct net_config *config)
{
	struct nic *n = test_calloc(1, sizeof(*n));
	struct err err = { 0 };

	n->vm.fd = n->vm.kvm_fd = -1;
	n->packet = -1;
	n->up = true;
	n->config = *config;
	pthread_mutex_init(&n->lock, NULL);
	assert_int_equal(loop_new(&n->vm.loop, &err), 0);
	if (net_open(&n->net, &n->config, &n->vm, "nic0", &n->lock, &nic_ops, n, &err))
		fail_msg("%s", err.msg);
	connect_packet(n);
	assert_int_equal(pthread_create(&n->thread, NULL, loop_main, n), 0);
	return n;
}

static void nic_free(struct nic *n)
{
	loop_stop(n->vm.loop);
	pthread_join(n->thread, NULL);
	net_close(&n->net);
	loop_free(n->vm.loop);
	pthread_mutex_destroy(&n->lock);
	close(n->packet);
	test_free(n);
}

static void fill(uint8_t *frame, size_t len, unsigned int seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		frame[i] = (uint8_t)(i + seed);
	frame[0] &= 0xfe;
	frame[12] = TYPE >> 8;
	frame[13] = TYPE & 255;
}

/* From the guest; in three pieces. */
static void guest_sends(struct nic *n, const uint8_t *frame, size_t len)
{
	struct iovec iov[3] = { { (void *)(uintptr_t)frame, 5 },
				{ (void *)(uintptr_t)(frame + 5), 20 },
				{ (void *)(uintptr_t)(frame + 25), len - 25 } };

	pthread_mutex_lock(&n->lock);
	assert_true(net_send(&n->net, 0, iov, 3));
	pthread_mutex_unlock(&n->lock);
}

static bool host_gets(struct nic *n, const uint8_t *frame, size_t len)
{
	struct pollfd p = { n->packet, POLLIN, 0 };
	uint8_t bytes[2048];

	return poll(&p, 1, WAIT_MS) == 1 &&
	       recv(n->packet, bytes, sizeof(bytes), 0) == (ssize_t)len &&
	       !memcmp(bytes, frame, len);
}

/* Until @what, a value under the lock, is @value. */
static bool wait_for(struct nic *n, const unsigned int *what, unsigned int value)
{
	unsigned int i;
	bool is;

	for (i = 0; i < WAIT_MS; i++) {
		pthread_mutex_lock(&n->lock);
		is = *what == value;
		pthread_mutex_unlock(&n->lock);
		if (is)
			return true;
		usleep(1000);
	}
	return false;
}

static void both_ways(struct nic *n, size_t len, unsigned int seed)
{
	unsigned int got = n->got;
	uint8_t frame[1514];

	fill(frame, len, seed);
	guest_sends(n, frame, len);
	assert_true(host_gets(n, frame, len));
	fill(frame, len, seed + 1);
	assert_int_equal(send(n->packet, frame, len, 0), len);
	assert_true(wait_for(n, &n->got, got + 1));
	assert_int_equal(n->len, len);
	assert_memory_equal(n->last, frame, len);
	assert_true(n->ends >= 1);
}

static const struct net_config by_name = { .backend = (char[]){ "tap" },
					   .ifname = (char[]){ NAME } };

static void made_and_gone_with_it(void **state)
{
	struct nic *n = nic_new(&by_name);

	(void)state;
	both_ways(n, 60, 1);
	both_ways(n, 1514, 7);
	nic_free(n);
	assert_int_equal(if_nametoindex(NAME), 0);
}

static void passed_descriptor(short more)
{
	int fd = open_tap((short)(IFF_NO_PI | more));
	const struct net_config config = { .backend = (char[]){ "tap" }, .fd = (uint32_t)fd };
	struct nic *n;

	set_up(true);
	n = nic_new(&config);
	both_ways(n, 60, 1);
	both_ways(n, 1514, 7);
	nic_free(n);
	assert_int_equal(if_nametoindex(NAME), 0);
}

static void descriptors(void **state)
{
	(void)state;
	passed_descriptor(0);
	passed_descriptor(IFF_VNET_HDR);
}

/* The monitor pulls the cable. */
static void cable(void **state)
{
	struct nic *n = nic_new(&by_name);
	uint8_t frame[60];

	(void)state;
	pthread_mutex_lock(&n->lock);
	net_set_link(&n->net, false);
	net_set_link(&n->net, false);
	assert_int_equal(n->link_calls, 1);
	assert_false(n->up || net_link_up(&n->net));
	pthread_mutex_unlock(&n->lock);
	fill(frame, 60, 3);
	guest_sends(n, frame, 60);
	assert_int_equal(n->net.tx_dropped, 1);
	pthread_mutex_lock(&n->lock);
	net_set_link(&n->net, true);
	assert_true(n->up);
	pthread_mutex_unlock(&n->lock);
	both_ways(n, 60, 9); /* the first frame that comes is not the one that was dropped */
	nic_free(n);
}

/* F35: set down: no link, and again when it is up. */
static void set_down(void **state)
{
	struct nic *n;
	uint8_t frame[60];

	(void)state;
	make_persistent();
	n = nic_new(&by_name);
	set_up(false);
	fill(frame, 60, 3);
	guest_sends(n, frame, 60);
	assert_true(wait_for(n, &n->link_calls, 1));
	assert_false(n->up);
	guest_sends(n, frame, 60);
	set_up(true);
	assert_true(wait_for(n, &n->link_calls, 2));
	assert_true(n->up);
	connect_packet(n);
	both_ways(n, 60, 20);
	nic_free(n);
	assert_int_not_equal(if_nametoindex(NAME), 0); /* it was there before */
	delete_link();
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* F35: deleted: no link, no busy loop, not made anew; one of the same name is taken. */
static void deleted(void **state)
{
	struct nic *n;
	double before;

	(void)state;
	make_persistent();
	n = nic_new(&by_name);
	delete_link();
	assert_true(wait_for(n, &n->link_calls, 1));
	assert_false(n->up);
	before = cpu_seconds();
	sleep(3);
	assert_true(cpu_seconds() - before < 1.5); /* a busy loop takes 3 */
	assert_int_equal(if_nametoindex(NAME), 0);
	assert_int_equal(n->link_calls, 1);
	make_persistent();
	assert_true(wait_for(n, &n->link_calls, 2));
	connect_packet(n);
	both_ways(n, 60, 20);
	nic_free(n);
	delete_link();
}

/* A descriptor whose interface goes has no way back; the guest's frames are dropped. */
static void descriptor_deleted(void **state)
{
	int fd = open_tap(IFF_NO_PI);
	const struct net_config config = { .backend = (char[]){ "tap" }, .fd = (uint32_t)fd };
	uint8_t frame[60];
	struct nic *n;

	(void)state;
	set_up(true);
	n = nic_new(&config);
	delete_link();
	assert_true(wait_for(n, &n->link_calls, 1));
	fill(frame, 60, 3);
	guest_sends(n, frame, 60);
	nic_free(n);
}

static int try_open(const struct net_config *config, struct err *err);

/* F35: nobody sends, and the kernel may have the queue: what happens to the interface is seen. */
static void noticed_without_frames(void **state)
{
	unsigned int taken;

	(void)state;
	for (taken = 0; taken < 2; taken++) {
		struct nic *n;

		make_persistent();
		n = nic_new(&by_name);
		if (taken) {
			pthread_mutex_lock(&n->lock);
			assert_true(net_take_over(&n->net, 0, true) >= 0);
			pthread_mutex_unlock(&n->lock);
		}
		set_up(false);
		assert_true(wait_for(n, &n->link_calls, 1));
		set_up(true);
		assert_true(wait_for(n, &n->link_calls, 2));
		delete_link();
		assert_true(wait_for(n, &n->link_calls, 3));
		assert_false(n->up);
		if (taken) {
			pthread_mutex_lock(&n->lock);
			assert_int_equal(net_take_over(&n->net, 0, true), -ENOTCONN);
			net_take_over(&n->net, 0, false);
			pthread_mutex_unlock(&n->lock);
		}
		make_persistent();
		assert_true(wait_for(n, &n->link_calls, 4));
		connect_packet(n);
		both_ways(n, 60, 20);
		nic_free(n);
		delete_link();
	}
}

/* Memory of the NIC's for a frame, as virtio-net gives it. */

static struct iovec own[2];
static size_t filled;
static unsigned int asked;

static int own_buffers(void *opaque, unsigned int queue, struct iovec *iov, unsigned int max)
{
	(void)opaque;
	(void)queue;
	assert_true(max >= 2);
	asked++;
	memcpy(iov, own, sizeof(own));
	return own[0].iov_len ? 2 : 0;
}

static void own_filled(void *opaque, unsigned int queue, size_t len)
{
	struct nic *n = opaque;
	uint8_t bytes[256] = { 0 };

	(void)queue;
	iov_gather(own, 2, bytes, sizeof(bytes));
	if (bytes[12 + 12] != TYPE >> 8 || bytes[12 + 13] != (TYPE & 255))
		return;
	filled = len;
	n->got++;
}

/* A header before each frame; straight into the NIC's memory; what is longer comes in one piece. A
 * NIC without room is asked once, and the kernel keeps the frames. */
static void straight_with_header(void **state)
{
	static uint8_t mem[2][100];
	static const struct net_peer_ops ops = {
		.receive = nic_receive,
		.receive_end = nic_receive_end,
		.send_ready = nic_send_ready,
		.link = nic_link,
		.buffers = own_buffers,
		.filled = own_filled,
	};
	struct nic *n = nic_new(&by_name);
	uint8_t frame[1514], with[12 + 60] = { 0 };

	(void)state;
	pthread_mutex_lock(&n->lock);
	n->net.peer = &ops;
	own[0] = (struct iovec){ mem[0], 50 };
	own[1] = (struct iovec){ mem[1], 70 };
	assert_true(net_has_header(&n->net));
	assert_int_equal(net_set_header(&n->net, 12, TUN_F_CSUM | TUN_F_TSO4), 0);
	assert_int_equal(net_set_header(&n->net, 12, 1u << 30), -EINVAL);
	pthread_mutex_unlock(&n->lock);
	fill(with + 12, 60, 5);
	guest_sends(n, with, sizeof(with));
	assert_true(host_gets(n, with + 12, 60));
	fill(frame, 60, 9);
	assert_int_equal(send(n->packet, frame, 60, 0), 60);
	assert_true(wait_for(n, &n->got, 1));
	assert_int_equal(filled, 72);
	assert_memory_equal(mem[0] + 12, frame, 38);
	assert_memory_equal(mem[1], frame + 38, 22);
	/* 12 + 1514 bytes do not fit 120. nic_receive() looks for the type without a header. */
	fill(frame, 1514, 9);
	frame[0] = TYPE >> 8; /* where nic_receive() looks */
	frame[1] = TYPE & 255;
	assert_int_equal(send(n->packet, frame, 1514, 0), 1514);
	assert_true(wait_for(n, &n->got, 2));
	assert_int_equal(n->len, 12 + 1514);
	assert_memory_equal(n->last + 12, frame, 1514);
	/* No room. */
	pthread_mutex_lock(&n->lock);
	own[0].iov_len = 0;
	asked = 0;
	pthread_mutex_unlock(&n->lock);
	fill(frame, 60, 77);
	assert_int_equal(send(n->packet, frame, 60, 0), 60);
	assert_true(wait_for(n, &asked, 1));
	assert_int_equal(send(n->packet, frame, 60, 0), 60);
	usleep(50000);
	pthread_mutex_lock(&n->lock);
	assert_int_equal(asked, 1);
	own[0].iov_len = 50;
	n->got = 0;
	net_ready(&n->net, 0);
	pthread_mutex_unlock(&n->lock);
	assert_true(wait_for(n, &n->got, 2));
	nic_free(n);
}

/* Queues of their own; only those in use get frames; another program's are not joined. */
static void several_queues(void **state)
{
	struct net_config config = by_name;
	struct err err = { 0 };
	struct nic *n;

	(void)state;
	config.queues = 3;
	n = nic_new(&config);
	both_ways(n, 60, 1);
	pthread_mutex_lock(&n->lock);
	assert_int_equal(net_take_over(&n->net, 2, true), -ENOTCONN);
	assert_int_equal(net_set_queues(&n->net, 3), 0);
	assert_true(net_take_over(&n->net, 2, true) > net_take_over(&n->net, 1, true));
	net_take_over(&n->net, 2, false);
	net_take_over(&n->net, 1, false);
	pthread_mutex_unlock(&n->lock);
	both_ways(n, 1514, 1);
	pthread_mutex_lock(&n->lock);
	assert_int_equal(net_set_queues(&n->net, 1), 0);
	pthread_mutex_unlock(&n->lock);
	both_ways(n, 1514, 9);
	assert_int_equal(try_open(&config, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "in use by another"));
	nic_free(n);
	assert_int_equal(if_nametoindex(NAME), 0);
	/* One that was made for one queue. */
	make_persistent();
	assert_int_equal(try_open(&config, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "multi_queue"));
	delete_link();
}

static int try_open(const struct net_config *config, struct err *err)
{
	struct vm vm = { .fd = -1, .kvm_fd = -1 };
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct nic nic = { .up = true };
	struct net net;
	int ret;

	err_clear(err);
	assert_int_equal(loop_new(&vm.loop, err), 0);
	ret = net_open(&net, config, &vm, "nic0", &lock, &nic_ops, &nic, err);
	if (!ret)
		net_close(&net);
	loop_free(vm.loop);
	return ret;
}

static void write_script(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", text);
	fclose(f);
	assert_int_equal(chmod(path, 0755), 0);
}

static void scripts(void **state)
{
	char dir[] = "/tmp/net_tap_test.XXXXXX", up[64], down[64], out[64], text[256], got[64];
	struct net_config config = by_name;
	struct err err = { 0 };
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(up, sizeof(up), "%s/up", dir);
	snprintf(down, sizeof(down), "%s/down", dir);
	snprintf(out, sizeof(out), "%s/out", dir);
	snprintf(text, sizeof(text), "echo \"up $*\" >>%s", out);
	write_script(up, text);
	snprintf(text, sizeof(text), "echo \"down $*\" >>%s", out);
	write_script(down, text);
	config.script = up;
	config.downscript = down;
	assert_int_equal(try_open(&config, &err), 0);
	f = fopen(out, "r");
	assert_non_null(f);
	assert_non_null(fgets(got, sizeof(got), f));
	assert_string_equal(got, "up " NAME "\n");
	assert_non_null(fgets(got, sizeof(got), f));
	assert_string_equal(got, "down " NAME "\n");
	fclose(f);
	/* One that fails: its status is told, the interface is not kept, down is not run. */
	unlink(out);
	write_script(up, "exit 3");
	assert_int_equal(try_open(&config, &err), -EIO);
	assert_non_null(strstr(err.msg, "status 3"));
	assert_int_equal(access(out, F_OK), -1);
	unlink(up);
	assert_int_equal(try_open(&config, &err), -ENOENT);
	assert_non_null(strstr(err.msg, up));
	assert_int_equal(if_nametoindex(NAME), 0);
	unlink(down);
	rmdir(dir);
}

static void refusals(void **state)
{
	struct net_config config = { .backend = (char[]){ "tap" }, .ifname = (char[]){ "lo" } };
	struct ifreq tun = { .ifr_name = NAME, .ifr_flags = IFF_TUN | IFF_NO_PI };
	struct err err = { 0 };
	int fd;

	(void)state;
	assert_int_equal(try_open(&config, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "lo is there and is no tap"));
	config.ifname = (char[]){ "sixteen-letters-" };
	assert_int_equal(try_open(&config, &err), -EINVAL);
	config.fd = 5;
	config.ifname = (char[]){ NAME };
	assert_int_equal(net_check(&config, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "exclude"));
	config.ifname = NULL;
	config.script = (char[]){ "/bin/true" };
	assert_int_equal(net_check(&config, &err), -EINVAL);
	/* An option of the tap does not choose it. */
	config = (struct net_config){ .ifname = (char[]){ NAME } };
	assert_int_equal(net_check(&config, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "ifname= is for net=tap"));
	/* In use. */
	fd = open_tap(IFF_NO_PI);
	assert_int_equal(try_open(&by_name, &err), -EBUSY);
	close(fd);
	/* Descriptors that are no tap's. */
	fd = open("/dev/null", O_RDWR);
	config = (struct net_config){ .backend = (char[]){ "tap" }, .fd = (uint32_t)fd };
	assert_true(try_open(&config, &err) < 0);
	assert_non_null(strstr(err.msg, "is no tap"));
	close(fd);
	fd = open("/dev/net/tun", O_RDWR);
	config.fd = (uint32_t)fd;
	assert_int_equal(ioctl(fd, TUNSETIFF, &tun), 0);
	assert_int_equal(try_open(&config, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "is a tun interface"));
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	if (!namespace)
		skip();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup(f, setup)
		T(made_and_gone_with_it),
		T(descriptors),
		T(cable),
		T(set_down),
		T(deleted),
		T(descriptor_deleted),
		T(noticed_without_frames),
		T(straight_with_header),
		T(several_queues),
		T(scripts),
		T(refusals),
	};

	namespace = !unshare(CLONE_NEWNET) && !access("/dev/net/tun", R_OK | W_OK);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
