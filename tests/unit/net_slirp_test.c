// SPDX-License-Identifier: GPL-2.0-or-later
/* The cable of net.c and the user-mode network at its other end, without any NIC: the test is the
 * NIC. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "net_frames.h"
#include "vmm/iov.h"
#include "vmm/net.h"
#include "vmm/net_options.h"
#include "vmm/vm.h"

#define KEPT 64

static const struct net_config user;

struct nic {
	struct vm vm;
	struct net net;
	pthread_mutex_t lock;
	pthread_t thread;
	pid_t tid; /* of the loop */
	bool looping;
	bool full; /* takes nothing */
	unsigned int ends;
	struct {
		uint8_t bytes[2048];
		size_t len;
	} got[KEPT];
	unsigned int count;
	uint8_t host_mac[6];
};

static bool nic_receive(void *opaque, unsigned int queue, const struct iovec *iov, unsigned int count)
{
	struct nic *n = opaque;
	(void)queue;

	if (n->full)
		return false;
	assert_true(n->count < KEPT);
	n->got[n->count].len = iov_size(iov, count);
	iov_gather(iov, count, n->got[n->count].bytes, sizeof(n->got[0].bytes));
	n->count++;
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

static const struct net_peer_ops nic_ops = {
	.receive = nic_receive,
	.receive_end = nic_receive_end,
	.send_ready = nic_send_ready,
};

static void *loop_main(void *opaque)
{
	struct nic *n = opaque;

	__atomic_store_n(&n->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	loop_run(n->vm.loop, NULL);
	return NULL;
}

static struct nic *nic_new(const struct net_config *config)
{
	struct nic *n = test_calloc(1, sizeof(*n));
	struct err err = { 0 };

	n->vm.fd = n->vm.kvm_fd = -1;
	pthread_mutex_init(&n->lock, NULL);
	assert_int_equal(loop_new(&n->vm.loop, &err), 0);
	if (net_open(&n->net, config, &n->vm, "nic0", &n->lock, &nic_ops, n, &err))
		fail_msg("%s", err.msg);
	return n;
}

static struct nic *nic_run(const struct net_config *config)
{
	struct nic *n = nic_new(config);

	assert_int_equal(pthread_create(&n->thread, NULL, loop_main, n), 0);
	n->looping = true;
	return n;
}

static int setup(void **state)
{
	*state = nic_run(&user);
	return 0;
}

static int setup_still(void **state)
{
	*state = nic_new(&user);
	return 0;
}

static int teardown(void **state)
{
	struct nic *n = *state;

	if (n->looping) {
		loop_stop(n->vm.loop);
		pthread_join(n->thread, NULL);
	}
	net_close(&n->net);
	net_close(&n->net);
	loop_free(n->vm.loop);
	pthread_mutex_destroy(&n->lock);
	test_free(n);
	return 0;
}

static void send_frame(struct nic *n, const uint8_t *bytes, size_t len)
{
	/* In pieces, as a guest's buffers are. */
	struct iovec iov[3] = {
		{ (void *)(uintptr_t)bytes, 1 },
		{ (void *)(uintptr_t)(bytes + 1), MIN(len - 1, 20) },
		{ (void *)(uintptr_t)(bytes + 1 + MIN(len - 1, 20)), len - 1 - MIN(len - 1, 20) },
	};

	pthread_mutex_lock(&n->lock);
	assert_true(net_send(&n->net, 0, iov, 3));
	pthread_mutex_unlock(&n->lock);
}

typedef bool (*frame_match)(const struct nic *n, const uint8_t *f, size_t len, uint32_t arg);

/* The first frame that matches, waited for up to 5 s; frames before and including it are
 * forgotten. */
static bool wait_frame(struct nic *n, frame_match match, uint32_t arg, uint8_t *copy,
		       size_t *ret_len)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	unsigned int i, tries;

	for (tries = 0; tries < 5000; tries++) {
		pthread_mutex_lock(&n->lock);
		for (i = 0; i < n->count; i++) {
			if (!match(n, n->got[i].bytes, n->got[i].len, arg))
				continue;
			if (copy)
				memcpy(copy, n->got[i].bytes, sizeof(n->got[i].bytes));
			if (ret_len)
				*ret_len = n->got[i].len;
			memmove(&n->got[0], &n->got[i + 1],
				(n->count - i - 1) * sizeof(n->got[0]));
			n->count -= i + 1;
			pthread_mutex_unlock(&n->lock);
			return true;
		}
		pthread_mutex_unlock(&n->lock);
		nanosleep(&nap, NULL);
	}
	return false;
}

static bool is_arp_reply(const struct nic *n, const uint8_t *f, size_t len, uint32_t from)
{
	(void)n;
	return frame_is_arp_reply(f, len, from);
}

static bool is_pong(const struct nic *n, const uint8_t *f, size_t len, uint32_t seq)
{
	(void)n;
	return frame_is_pong(f, len, FRAME_IP_HOST, seq, 56);
}

/* The host's hardware address, as a guest learns it. */
static void resolve(struct nic *n)
{
	uint8_t f[64], reply[2048];

	send_frame(n, f, frame_arp(f, FRAME_IP_HOST));
	assert_true(wait_frame(n, is_arp_reply, FRAME_IP_HOST, reply, NULL));
	memcpy(n->host_mac, reply + 22, 6);
}

static void host_answers_arp_and_ping(void **state)
{
	struct nic *n = *state;
	uint8_t f[128];
	unsigned int seq;

	resolve(n);
	for (seq = 1; seq <= 10; seq++) {
		send_frame(n, f, frame_ping(f, n->host_mac, FRAME_IP_HOST, seq, 56));
		assert_true(wait_frame(n, is_pong, seq, NULL, NULL));
	}
	assert_true(n->net.rx_dropped == 0 && n->net.tx_dropped == 0);
}

static bool is_dhcp(const struct nic *n, const uint8_t *f, size_t len, uint32_t arg)
{
	(void)n;
	(void)arg;
	return len > 282 && frame_get16(f + 12) == 0x0800 && f[23] == 17 &&
	       frame_get16(f + 36) == 68;
}

static const uint8_t *dhcp_option(const uint8_t *f, size_t len, unsigned int code)
{
	size_t at = 282;

	while (at + 1 < len && f[at] != 255) {
		if (f[at] == code)
			return f + at + 2;
		at += f[at] ? 2u + f[at + 1] : 1;
	}
	return NULL;
}

/* What the network's DHCP server answers to a guest that looks for one. */
static void dhcp_discover(struct nic *n, uint8_t *offer, size_t *ret_len)
{
	static const uint8_t broadcast[6] = { 255, 255, 255, 255, 255, 255 };
	static const uint8_t options[] = { 0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255 };
	uint8_t f[342] = { 0 };

	frame_ip(f, broadcast, 0, 0xffffffff, 17, 308);
	frame_be16(f + 34, 68);
	frame_be16(f + 36, 67);
	frame_be16(f + 38, 308);
	f[42] = 1;
	f[43] = 1;
	f[44] = 6;
	frame_be32(f + 46, 0x12345678);
	memcpy(f + 70, frame_mac, 6);
	memcpy(f + 278, options, sizeof(options));
	send_frame(n, f, sizeof(f));
	assert_true(wait_frame(n, is_dhcp, 0, offer, ret_len));
	assert_int_equal(frame_get32(offer + 46), 0x12345678);
}

static void dhcp_offers_the_network(void **state)
{
	uint8_t offer[2048];
	size_t len = 0;

	dhcp_discover(*state, offer, &len);
	assert_int_equal(frame_get32(offer + 58), FRAME_IP_GUEST);
	assert_int_equal(frame_get32(dhcp_option(offer, len, 3)), FRAME_IP_HOST);
	assert_int_equal(frame_get32(dhcp_option(offer, len, 6)), 0x0a000203);
	assert_int_equal(frame_get32(dhcp_option(offer, len, 1)), 0xffffff00);
}

/* Each option of the network is seen by the guest. */
static void dhcp_offers_what_was_asked_for(void **state)
{
	const struct net_config config = {
		.subnet = (char[]){ "172.20.0.0/16" },
		.gateway = (char[]){ "172.20.7.1" },
		.dns = (char[]){ "172.20.7.2" },
		.dhcpstart = (char[]){ "172.20.9.9" },
		.hostname = (char[]){ "guest-7" },
		.bootfile = (char[]){ "boot/it" },
		.tftp = (char[]){ "/tmp" },
	};
	struct nic *n = nic_run(&config);
	uint8_t offer[2048];
	size_t len = 0;

	dhcp_discover(n, offer, &len);
	assert_int_equal(frame_get32(offer + 58), 0xac140909);
	assert_int_equal(frame_get32(offer + 62), 0xac140701); /* siaddr: who serves the file */
	assert_string_equal((char *)offer + 150, "boot/it");
	assert_int_equal(frame_get32(dhcp_option(offer, len, 3)), 0xac140701);
	assert_int_equal(frame_get32(dhcp_option(offer, len, 6)), 0xac140702);
	assert_int_equal(frame_get32(dhcp_option(offer, len, 1)), 0xffff0000);
	assert_memory_equal(dhcp_option(offer, len, 12), "guest-7", 7);
	*state = n;
	teardown(state);
}

/* A TCP segment with the flags in @arg's low byte, of at least @arg >> 8 bytes. */
static bool is_tcp(const struct nic *n, const uint8_t *f, size_t len, uint32_t arg)
{
	(void)n;
	return len >= 54 + (arg >> 8) && frame_get16(f + 12) == 0x0800 && f[23] == 6 &&
	       (f[47] & arg & 0xff) == (arg & 0xff) && frame_get16(f + 16) >= 40 + (arg >> 8);
}

static int listen_on_loopback(unsigned int *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

/* A connection from guest port @sport to a listener of the host. */
struct tcp {
	struct nic *n;
	unsigned int sport, port;
	uint32_t seq, ack;
	int fd; /* the host's end */
};

static void tcp_send(struct tcp *t, unsigned int flags, const void *data, size_t len)
{
	uint8_t f[256];

	send_frame(t->n, f, frame_tcp(f, t->n->host_mac, t->sport, t->port, t->seq, t->ack, flags,
				      data, len));
	t->seq += (uint32_t)len + (flags & (FRAME_TCP_SYN | FRAME_TCP_FIN) ? 1 : 0);
}

static void tcp_open(struct tcp *t, struct nic *n, int server, unsigned int port,
		     unsigned int sport)
{
	uint8_t reply[2048];

	*t = (struct tcp){ .n = n, .sport = sport, .port = port, .seq = 1000 };
	tcp_send(t, FRAME_TCP_SYN, NULL, 0);
	assert_true(wait_frame(n, is_tcp, FRAME_TCP_SYN | FRAME_TCP_ACK, reply, NULL));
	t->ack = frame_get32(reply + 38) + 1;
	assert_int_equal(frame_get32(reply + 42), t->seq);
	tcp_send(t, FRAME_TCP_ACK, NULL, 0);
	t->fd = accept(server, NULL, NULL);
	assert_true(t->fd >= 0);
}

/* The loop sleeps, with nothing to wait for. */
static void settle(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
}

/* The descriptors that libslirp opens are watched as they come and go, and come again with the same
 * numbers; a sleeping loop is woken for them. */
static void tcp_to_a_service_of_the_host(void **state)
{
	struct nic *n = *state;
	unsigned int port, i;
	uint8_t reply[2048];
	int server = listen_on_loopback(&port);
	struct tcp t;

	resolve(n);
	for (i = 0; i < 4; i++) {
		char buf[16] = "";

		settle();
		tcp_open(&t, n, server, port, 4000 + i);
		tcp_send(&t, FRAME_TCP_ACK, "hello", 5);
		assert_int_equal(read(t.fd, buf, sizeof(buf)), 5);
		assert_memory_equal(buf, "hello", 5);
		assert_int_equal(write(t.fd, "world!", 6), 6);
		assert_true(wait_frame(n, is_tcp, FRAME_TCP_ACK | 6 << 8, reply, NULL));
		assert_memory_equal(reply + 54, "world!", 6);
		t.ack += 6;
		tcp_send(&t, FRAME_TCP_ACK, NULL, 0);
		close(t.fd);
		assert_true(wait_frame(n, is_tcp, FRAME_TCP_FIN, reply, NULL));
		t.ack++;
		tcp_send(&t, FRAME_TCP_ACK | FRAME_TCP_FIN, NULL, 0);
	}
	close(server);
}

/* A port of the host that is free just now. */
static unsigned int free_port(void)
{
	unsigned int port;

	close(listen_on_loopback(&port));
	return port;
}

static int host_connect(unsigned int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* A connection to a port of the host arrives at the guest's, and bytes pass both ways. */
static void forwarded_connection(void **state)
{
	char rule[64], buf[16] = "";
	const struct net_config config = { .hostfwd = rule };
	unsigned int port = free_port();
	uint8_t f[2048];
	struct nic *n;
	struct tcp t;

	snprintf(rule, sizeof(rule), "tcp:127.0.0.1:%u-10.0.2.15:22", port);
	n = nic_run(&config);
	resolve(n);
	settle();
	t = (struct tcp){ .n = n, .sport = 22, .seq = 1000, .fd = host_connect(port) };
	assert_true(wait_frame(n, is_tcp, FRAME_TCP_SYN, f, NULL));
	assert_int_equal(frame_get32(f + 30), FRAME_IP_GUEST);
	assert_int_equal(frame_get16(f + 36), 22);
	t.port = frame_get16(f + 34);
	t.ack = frame_get32(f + 38) + 1;
	tcp_send(&t, FRAME_TCP_SYN | FRAME_TCP_ACK, NULL, 0);
	tcp_send(&t, FRAME_TCP_ACK, "SSH-2", 5);
	assert_int_equal(read(t.fd, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "SSH-2", 5);
	assert_int_equal(write(t.fd, "world!", 6), 6);
	assert_true(wait_frame(n, is_tcp, FRAME_TCP_ACK | 6 << 8, f, NULL));
	assert_memory_equal(f + 54, "world!", 6);
	close(t.fd);
	*state = n;
	teardown(state);
}

static int try_open(const struct net_config *config, struct err *err)
{
	struct vm vm = { .fd = -1, .kvm_fd = -1 };
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct net net;
	int ret;

	assert_int_equal(loop_new(&vm.loop, err), 0);
	ret = net_open(&net, config, &vm, "nic0", &lock, &nic_ops, NULL, err);
	if (!ret)
		net_close(&net);
	loop_free(vm.loop);
	return ret;
}

/* What of a network is open when a later port cannot be had is closed again. */
static void a_port_that_is_taken(void **state)
{
	char rule[64], taken[32];
	const struct net_config config = { .hostfwd = rule };
	unsigned int port, other = free_port();
	int server = listen_on_loopback(&port);
	struct err err = { 0 };

	(void)state;
	snprintf(rule, sizeof(rule), "tcp:127.0.0.1:%u-:80+tcp:127.0.0.1:%u-:80", other, port);
	snprintf(taken, sizeof(taken), "port %u of 127.0.0.1", port);
	assert_int_equal(try_open(&config, &err), -EADDRINUSE);
	assert_non_null(strstr(err.msg, taken));
	assert_non_null(strstr(err.msg, "another port"));
	close(server);
	assert_int_equal(try_open(&config, &err), 0);
	snprintf(rule, sizeof(rule), "udp:192.0.2.1:%u-:80", other);
	assert_int_equal(try_open(&config, &err), -EADDRNOTAVAIL);
	assert_non_null(strstr(err.msg, "no such address"));
}

static uint64_t loop_cpu_ns(struct nic *n)
{
	struct timespec ts;
	clockid_t clock;

	assert_int_equal(pthread_getcpuclockid(n->thread, &clock), 0);
	assert_int_equal(clock_gettime(clock, &ts), 0);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The guest acknowledges nothing while the host has much to say: libslirp stops reading, and a
 * socket that stays readable must not keep the loop busy. */
static void a_slow_guest_costs_nothing(void **state)
{
	static uint8_t bulk[65536];
	struct nic *n = *state;
	unsigned int port, i;
	int server = listen_on_loopback(&port);
	struct tcp t;
	uint64_t before;

	resolve(n);
	tcp_open(&t, n, server, port, 4000);
	fcntl(t.fd, F_SETFL, O_NONBLOCK);
	n->full = true;
	for (i = 0; i < 200; i++) {
		if (write(t.fd, bulk, sizeof(bulk)) < 0)
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	before = loop_cpu_ns(n);
	nanosleep(&(struct timespec){ .tv_nsec = 500000000 }, NULL);
	assert_true(loop_cpu_ns(n) - before < 100000000u);
	close(t.fd);
	close(server);
}

static void odd_frames_are_dropped(void **state)
{
	struct nic *n = *state;
	size_t len = NET_FRAME_MAX + 1;
	uint8_t *f = test_calloc(1, len);
	unsigned int i;

	for (i = 1; i < NET_FRAME_MIN; i++)
		send_frame(n, f, i);
	send_frame(n, f, len);
	assert_int_equal(n->net.tx_dropped, NET_FRAME_MIN);
	/* What libslirp has to cope with: every length, every type. */
	for (i = NET_FRAME_MIN; i < 200; i++) {
		memset(f, 0xff, 200);
		frame_be16(f + 12, i & 1 ? 0x0800 : i & 2 ? 0x0806 : 0x86dd);
		f[14] = i & 4 ? 0x45 : 0x4f;
		send_frame(n, f, i);
	}
	frame_ping(f, frame_mac, FRAME_IP_HOST, 1, 40000);
	send_frame(n, f, NET_FRAME_MAX);
	test_free(f);
	resolve(n);
}

static unsigned long context_switches(pid_t tid)
{
	char path[64], line[128];
	unsigned long count = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "voluntary_ctxt_switches: %lu", &count);
	fclose(file);
	return count;
}

/* libslirp asks to be called once a second; a guest that does nothing need not pay for it, nor for
 * datagrams that nobody sends. (A TCP port that leads in keeps libslirp's slow timer going, twice a
 * second.) */
static void an_idle_network_sleeps(void **state)
{
	char rule[64];
	const struct net_config config = { .hostfwd = rule };
	unsigned int port = free_port();
	struct nic *n;
	const struct timespec a_while = { .tv_sec = 2, .tv_nsec = 500000000 };
	unsigned long before;

	snprintf(rule, sizeof(rule), "udp:127.0.0.1:%u-:80", port);
	n = nic_run(&config);
	resolve(n);
	settle();
	before = context_switches(__atomic_load_n(&n->tid, __ATOMIC_ACQUIRE));
	nanosleep(&a_while, NULL);
	assert_int_equal(context_switches(n->tid) - before, 0);
	*state = n;
	teardown(state);
}

/* The cable: what the NIC does not take is kept in order, up to a limit. */

static void deliver_arps(struct nic *n, unsigned int count)
{
	uint8_t f[64];
	unsigned int i;

	for (i = 0; i < count; i++)
		send_frame(n, f, frame_arp(f, FRAME_IP_HOST));
}

static void held_frames(void **state)
{
	struct nic *n = *state;
	unsigned int round, fit;

	/* libslirp answers an ARP request from within. */
	deliver_arps(n, 1);
	assert_int_equal(n->count, 1);
	fit = NET_HELD_BYTES / (4 + (unsigned int)align_up(n->got[0].len, 4));

	/* Often enough that records wrap round the end. */
	for (round = 0; round < 3; round++) {
		n->full = true;
		n->count = 0;
		deliver_arps(n, KEPT / 2);
		assert_int_equal(n->count, 0);
		n->full = false;
		/* What comes now queues behind those that wait. */
		deliver_arps(n, 1);
		assert_int_equal(n->count, 0);
		net_ready(&n->net, 0);
		assert_int_equal(n->count, KEPT / 2 + 1);
		assert_true(frame_is_arp_reply(n->got[KEPT / 2].bytes, n->got[KEPT / 2].len,
					       FRAME_IP_HOST));
	}
	n->full = true;
	n->count = 0;
	deliver_arps(n, fit + 10);
	assert_int_equal(n->net.rx_dropped, 10);
	n->full = false;
	net_drop_held(&n->net, 0);
	deliver_arps(n, 1);
	assert_int_equal(n->count, 1);
}

/* A record that lies across the end of the buffer comes out whole. */
static void held_frames_wrap(void **state)
{
	struct nic *n = *state;
	uint8_t f[1500];
	unsigned int i, round;

	resolve(n);
	for (round = 0; round < 400; round++) {
		n->full = true;
		n->count = 0;
		for (i = 0; i < 3; i++)
			send_frame(n, f, frame_ping(f, n->host_mac, FRAME_IP_HOST, round + i,
						    1001 + round));
		n->full = false;
		net_ready(&n->net, 0);
		assert_int_equal(n->count, 3);
		for (i = 0; i < 3; i++)
			assert_true(frame_is_pong(n->got[i].bytes, n->got[i].len, FRAME_IP_HOST,
						  round + i, 1001 + round));
	}
	assert_true(n->net.rx_dropped == 0);
}

static void names(void **state)
{
	const struct net_config bogus = { .backend = (char[]){ "bogus" } };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(net_check(&(struct net_config){ .backend = NULL }, &err), 0);
	assert_int_equal(net_check(&bogus, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "net=bogus"));
	assert_non_null(strstr(err.msg, "user"));
}

static void derived_addresses(void **state)
{
	struct mac_addr a, b, c, d;

	(void)state;
	net_mac_derive("vm", "net0", &a);
	net_mac_derive("vm", "net0", &b);
	net_mac_derive("vm", "net1", &c);
	net_mac_derive("vmnet", "0", &d);
	assert_memory_equal(a.b, b.b, 6);
	assert_memory_not_equal(a.b, c.b, 6);
	assert_memory_not_equal(a.b, d.b, 6);
	assert_true(a.set && a.b[0] == 0x52 && a.b[1] == 0x54 && a.b[2] == 0);
	net_mac_derive(NULL, "net0", &a);
	assert_true(a.set);
}

/* The module's place: this program, copied into a directory of its own, looks next to itself. */

static int child_open(void)
{
	struct err err = { 0 };
	int ret = try_open(&user, &err);

	printf("%s\n", err.msg);
	return ret == -ENOENT ? 10 : ret == -ELIBBAD ? 11 : ret == -ENODEV ? 12 : ret ? 13 : 14;
}

static int run_copy(const char *dir, const char *module)
{
	char path[256], self[64];
	int status = 0;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/viaduct-slirp.so", dir);
	unlink(path);
	if (module)
		assert_int_equal(symlink(module, path), 0);
	snprintf(path, sizeof(path), "%s/net_test_copy", dir);
	snprintf(self, sizeof(self), "/proc/%d/exe", getpid());
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		execl("/bin/cp", "cp", "-fL", self, path, NULL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		execl(path, path, "--open", NULL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void module_missing_or_wrong(void **state)
{
	char dir[] = "/tmp/net-module-XXXXXX", path[256];
	Dl_info libc;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(run_copy(dir, NULL), 10);
	assert_int_equal(run_copy(dir, "libm.so.6"), 10); /* a link to nothing */
	assert_int_equal(run_copy(dir, "/proc/self/exe"), 11);
	assert_int_equal(run_copy(dir, "/etc/passwd"), 11);
	assert_true(dladdr((void *)(uintptr_t)getenv, &libc)); /* a library, but not ours */
	assert_int_equal(run_copy(dir, libc.dli_fname), 11);
	assert_int_equal(run_copy(dir, VIADUCT_MODULE_DIR "/viaduct-slirp.so"), 14);
	snprintf(path, sizeof(path), "%s/viaduct-slirp.so", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/net_test_copy", dir);
	unlink(path);
	assert_int_equal(rmdir(dir), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define S(f) cmocka_unit_test_setup_teardown(f, setup_still, teardown)
		cmocka_unit_test(names),
		cmocka_unit_test(derived_addresses),
		T(host_answers_arp_and_ping),
		T(dhcp_offers_the_network),
		cmocka_unit_test(dhcp_offers_what_was_asked_for),
		cmocka_unit_test(forwarded_connection),
		cmocka_unit_test(a_port_that_is_taken),
		T(tcp_to_a_service_of_the_host),
		T(a_slow_guest_costs_nothing),
		T(odd_frames_are_dropped),
		cmocka_unit_test(an_idle_network_sleeps),
		S(held_frames),
		S(held_frames_wrap),
		cmocka_unit_test(module_missing_or_wrong),
	};

	if (argc > 1 && !strcmp(argv[1], "--open"))
		return child_open();
	frame_link_module();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
