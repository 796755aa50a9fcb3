/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A network card of the test's on a tap interface in a network namespace of the test's; the other end
 * of the interface is a packet socket. */
#ifndef VIADUCT_TESTS_NET_TAP_RIG_H
#define VIADUCT_TESTS_NET_TAP_RIG_H

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
#include <sys/socket.h>
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
	unsigned int got, ends, link_calls, ready_calls;
	struct loop_hook hook;
	unsigned int turns; /* of the loop */
	bool up;
	uint8_t last[2048];
	size_t len;
	int packet; /* the other end */
};

static bool namespace;

static inline bool nic_receive(void *opaque, unsigned int queue, const struct iovec *iov, unsigned int count)
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

static inline void nic_receive_end(void *opaque, unsigned int queue)
{
	(void)queue;
	((struct nic *)opaque)->ends++;
}

static inline void nic_send_ready(void *opaque, unsigned int queue)
{
	(void)queue;
	((struct nic *)opaque)->ready_calls++;
}

static inline void nic_link(void *opaque, bool up)
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

static inline void count_turn(void *opaque, int *timeout_ms)
{
	(void)timeout_ms;
	((struct nic *)opaque)->turns++;
}

static inline void turned(void *opaque)
{
	(void)opaque;
}

static inline void *loop_main(void *opaque)
{
	loop_run(((struct nic *)opaque)->vm.loop, NULL);
	return NULL;
}

/* Of the interface NAME: set up or down. */
static inline void set_up(bool up)
{
	struct ifreq ifr = { .ifr_name = NAME };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
	ifr.ifr_flags = (short)(up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	close(fd);
}

static inline int open_tap(short more)
{
	struct ifreq ifr = { .ifr_name = NAME, .ifr_flags = (short)(IFF_TAP | more) };
	int fd = open("/dev/net/tun", O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

static inline void make_persistent(void)
{
	int fd = open_tap(IFF_NO_PI);

	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
	close(fd);
	set_up(true);
}

static inline void delete_link(void)
{
	assert_int_equal(system("ip link del " NAME), 0);
}

static inline void connect_packet(struct nic *n)
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

static inline struct nic *nic_new(const struct net_config *config)
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
	n->hook = (struct loop_hook){
		.prepare = count_turn, .check = turned, .opaque = n, .lock = &n->lock
	};
	loop_hook_add(n->vm.loop, &n->hook);
	assert_int_equal(pthread_create(&n->thread, NULL, loop_main, n), 0);
	return n;
}

static inline void nic_free(struct nic *n)
{
	loop_stop(n->vm.loop);
	pthread_join(n->thread, NULL);
	net_close(&n->net);
	loop_hook_del(n->vm.loop, &n->hook);
	loop_free(n->vm.loop);
	pthread_mutex_destroy(&n->lock);
	close(n->packet);
	test_free(n);
}

static inline void fill(uint8_t *frame, size_t len, unsigned int seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		frame[i] = (uint8_t)(i + seed);
	frame[0] &= 0xfe;
	frame[12] = TYPE >> 8;
	frame[13] = TYPE & 255;
}

/* From the guest; in three pieces. */
static inline void guest_sends(struct nic *n, const uint8_t *frame, size_t len)
{
	struct iovec iov[3] = { { (void *)(uintptr_t)frame, 5 },
				{ (void *)(uintptr_t)(frame + 5), 20 },
				{ (void *)(uintptr_t)(frame + 25), len - 25 } };

	pthread_mutex_lock(&n->lock);
	assert_true(net_send(&n->net, 0, iov, 3));
	pthread_mutex_unlock(&n->lock);
}

static inline bool host_gets(struct nic *n, const uint8_t *frame, size_t len)
{
	struct pollfd p = { n->packet, POLLIN, 0 };
	uint8_t bytes[2048];

	return poll(&p, 1, WAIT_MS) == 1 &&
	       recv(n->packet, bytes, sizeof(bytes), 0) == (ssize_t)len &&
	       !memcmp(bytes, frame, len);
}

/* Until @what, a value under the lock, is @value. */
static inline bool wait_for(struct nic *n, const unsigned int *what, unsigned int value)
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

static inline void both_ways(struct nic *n, size_t len, unsigned int seed)
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

/* The interface is back: frames pass, and it goes when the test does. */
static inline void works_then_goes(struct nic *n)
{
	connect_packet(n);
	both_ways(n, 60, 20);
	nic_free(n);
	delete_link();
}

static inline int setup(void **state)
{
	(void)state;
	if (!namespace)
		skip();
	return 0;
}

#endif
