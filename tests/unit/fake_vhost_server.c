// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_vhost_server.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/util.h"

struct message {
	uint32_t request, flags, size;
	union {
		uint8_t bytes[VHOST_USER_PAYLOAD_MAX];
		uint64_t u64;
		struct vhost_user_state state;
		struct vhost_user_addr addr;
		struct vhost_user_mem mem;
		struct vhost_user_config config;
		struct vhost_user_inflight inflight;
	};
	int fds[VHOST_USER_FDS_MAX];
	unsigned int fd_count;
};

#define HEADER 12u /* request, flags, size */

static bool get(int fd, struct message *m)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(m->fds))];
	struct iovec iov = { m, HEADER };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;

	if (recvmsg(fd, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC) != (ssize_t)HEADER)
		return false;
	m->fd_count = 0;
	c = CMSG_FIRSTHDR(&msg);
	if (c) {
		m->fd_count = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(m->fds, CMSG_DATA(c), m->fd_count * sizeof(int));
	}
	return m->size <= sizeof(m->bytes) &&
	       (!m->size || recv(fd, m->bytes, m->size, MSG_WAITALL) == (ssize_t)m->size);
}

static void put(struct fake_vhost *s, struct message *m, uint32_t size, const int *fds,
		unsigned int fd_count)
{
	enum fake_vhost_fault fault = m->request == s->fault_at ? s->fault : FAKE_VHOST_GOOD;
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(m->fds))] = { 0 };
	struct iovec iov[2] = { { m, HEADER }, { m->bytes, size } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	int extra[] = { s->stop, s->stop, s->stop };
	struct cmsghdr *c;

	m->size = size;
	m->flags = fault == FAKE_VHOST_NO_REPLY_FLAG ? 1 : 5;
	m->request += fault == FAKE_VHOST_WRONG_REQUEST;
	m->size -= fault == FAKE_VHOST_WRONG_SIZE;
	if (fault == FAKE_VHOST_ONES)
		memset(m->bytes, 0xff, size);
	if (fault == FAKE_VHOST_EXTRA_FDS) {
		fds = extra;
		fd_count = ARRAY_SIZE(extra);
	}
	if (fd_count) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
	}
	sendmsg(s->conn, &msg, MSG_NOSIGNAL);
}

static void memory(struct fake_vhost *s, struct message *m)
{
	unsigned int i;

	s->mem = m->mem;
	for (i = 0; i < m->fd_count; i++)
		s->map[i] = mmap(NULL, m->mem.regions[i].size, PROT_READ | PROT_WRITE, MAP_SHARED,
				 m->fds[i], (off_t)m->mem.regions[i].fd_offset);
}

static void inflight(struct fake_vhost *s, struct message *m)
{
	int fd = memfd_create("inflight", MFD_CLOEXEC);

	s->inflight_got++;
	m->inflight.mmap_size = 4096;
	m->inflight.mmap_offset = 0;
	put(s, m, sizeof(m->inflight), &fd, 1);
	close(fd);
}

static void set_fd(int *fd, struct message *m)
{
	if (*fd >= 0)
		close(*fd);
	*fd = m->fd_count ? m->fds[0] : -1;
	m->fd_count = 0;
}

/* Descriptors that are left in @m are closed by the caller. */
static void serve(struct fake_vhost *s, struct message *m)
{
	struct fake_vhost_ring *ring = &s->rings[m->u64 % FAKE_VHOST_RINGS];

	switch (m->request) {
	case VHOST_USER_GET_FEATURES:
		m->u64 = s->features;
		put(s, m, 8, NULL, 0);
		break;
	case VHOST_USER_SET_FEATURES:
		s->acked = m->u64;
		break;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		m->u64 = s->protocol;
		put(s, m, 8, NULL, 0);
		break;
	case VHOST_USER_GET_QUEUE_NUM:
		m->u64 = s->queues;
		put(s, m, 8, NULL, 0);
		break;
	case VHOST_USER_GET_CONFIG:
		memcpy(m->config.bytes, s->config, m->config.size);
		put(s, m, m->size, NULL, 0);
		break;
	case VHOST_USER_SET_CONFIG:
		s->set_config = m->config.offset << 8 | m->config.bytes[0];
		break;
	case VHOST_USER_SET_MEM_TABLE:
		memory(s, m);
		m->u64 = 0;
		if (m->flags & VHOST_USER_NEED_REPLY)
			put(s, m, 8, NULL, 0);
		break;
	case VHOST_USER_SET_VRING_NUM:
		s->rings[m->state.index].num = m->state.num;
		break;
	case VHOST_USER_SET_VRING_BASE:
		s->rings[m->state.index].base = m->state.num;
		break;
	case VHOST_USER_GET_VRING_BASE:
		m->state.num = s->rings[m->state.index].base;
		s->rings[m->state.index].enabled = false;
		put(s, m, sizeof(m->state), NULL, 0);
		break;
	case VHOST_USER_SET_VRING_ADDR:
		s->rings[m->addr.index].addr = m->addr;
		break;
	case VHOST_USER_SET_VRING_ENABLE:
		s->rings[m->state.index].enabled = m->state.num;
		break;
	case VHOST_USER_SET_VRING_KICK:
		set_fd(&ring->kick, m);
		break;
	case VHOST_USER_SET_VRING_CALL:
		set_fd(&ring->call, m);
		break;
	case VHOST_USER_GET_INFLIGHT_FD:
		inflight(s, m);
		break;
	case VHOST_USER_SET_INFLIGHT_FD:
		s->inflight_set++;
		break;
	default:
		break;
	}
}

/* Ring addresses are the other's; buffers are the guest's. */
static void *at_hva(struct fake_vhost *s, uint64_t hva)
{
	return s->map[0] + (hva - s->mem.regions[0].hva);
}

static void work(struct fake_vhost *s, struct fake_vhost_ring *ring)
{
	struct vring_desc *desc = at_hva(s, ring->addr.desc);
	struct vring_avail *avail = at_hva(s, ring->addr.avail);
	struct vring_used *used = at_hva(s, ring->addr.used);
	unsigned int i;

	while (ring->base != __atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE) && !s->holds) {
		uint16_t head = avail->ring[ring->base % ring->num];
		uint32_t written = 0;

		for (i = head;; i = desc[i].next) {
			if (desc[i].flags & VRING_DESC_F_WRITE) {
				memset(s->map[0] + desc[i].addr, 0x5a, desc[i].len);
				written += desc[i].len;
			}
			if (!(desc[i].flags & VRING_DESC_F_NEXT))
				break;
		}
		used->ring[used->idx % ring->num] = (struct vring_used_elem){ head, written };
		__atomic_store_n(&used->idx, (uint16_t)(used->idx + 1), __ATOMIC_RELEASE);
		ring->base = (uint16_t)(ring->base + 1);
		io_eventfd_signal(ring->call);
	}
}

static void drop_connection(struct fake_vhost *s)
{
	unsigned int i;

	fd_close(&s->conn);
	for (i = 0; i < FAKE_VHOST_RINGS; i++) {
		fd_close(&s->rings[i].kick);
		fd_close(&s->rings[i].call);
		s->rings[i] = (struct fake_vhost_ring){ .kick = -1, .call = -1 };
	}
	for (i = 0; i < VHOST_USER_FDS_MAX; i++)
		if (s->map[i])
			munmap(s->map[i], s->mem.regions[i].size);
	memset(s->map, 0, sizeof(s->map));
}

static void message(struct fake_vhost *s)
{
	struct message m;
	unsigned int i;

	if (!get(s->conn, &m)) {
		drop_connection(s);
		return;
	}
	if (m.request == s->fault_at && s->fault == FAKE_VHOST_HANGS_UP)
		drop_connection(s);
	else if (m.request != s->fault_at || s->fault != FAKE_VHOST_SILENT)
		serve(s, &m);
	for (i = 0; i < m.fd_count; i++)
		close(m.fds[i]);
}

static void *server(void *opaque)
{
	struct fake_vhost *s = opaque;

	for (;;) {
		struct pollfd p[3 + FAKE_VHOST_RINGS] = { { s->stop, POLLIN, 0 } };
		unsigned int i;

		pthread_mutex_lock(&s->lock);
		p[1] = (struct pollfd){ s->conn < 0 ? s->listen : -1, POLLIN, 0 };
		p[2] = (struct pollfd){ s->conn, POLLIN, 0 };
		for (i = 0; i < FAKE_VHOST_RINGS; i++)
			p[3 + i] = (struct pollfd){ s->rings[i].enabled ? s->rings[i].kick : -1,
						    POLLIN, 0 };
		pthread_mutex_unlock(&s->lock);
		poll(p, ARRAY_SIZE(p), -1);
		if (p[0].revents)
			return NULL;
		pthread_mutex_lock(&s->lock);
		if (p[1].revents) {
			s->conn = accept4(s->listen, NULL, NULL, SOCK_CLOEXEC);
			s->connections++;
		}
		for (i = 0; i < FAKE_VHOST_RINGS; i++) {
			if (!p[3 + i].revents || !s->rings[i].enabled)
				continue;
			io_eventfd_drain(s->rings[i].kick);
			work(s, &s->rings[i]);
		}
		if (p[2].revents)
			message(s);
		pthread_mutex_unlock(&s->lock);
	}
}

void fake_vhost_init(struct fake_vhost *s)
{
	unsigned int i;

	memset(s, 0, sizeof(*s));
	snprintf(s->dir, sizeof(s->dir), "/tmp/viaduct-vhost.XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/sock", s->dir);
	pthread_mutex_init(&s->lock, NULL);
	s->conn = -1;
	s->queues = FAKE_VHOST_RINGS;
	for (i = 0; i < FAKE_VHOST_RINGS; i++)
		s->rings[i] = (struct fake_vhost_ring){ .kick = -1, .call = -1 };
}

void fake_vhost_start(struct fake_vhost *s)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	memcpy(addr.sun_path, s->path, sizeof(s->path));
	s->listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listen, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(s->listen, 4), 0);
	s->stop = io_eventfd_new();
	assert_int_equal(pthread_create(&s->thread, NULL, server, s), 0);
	s->serving = true;
}

void fake_vhost_stop(struct fake_vhost *s)
{
	s->serving = false;
	io_eventfd_signal(s->stop);
	pthread_join(s->thread, NULL);
	drop_connection(s);
	fd_close(&s->listen);
	fd_close(&s->stop);
	unlink(s->path);
}

void fake_vhost_done(struct fake_vhost *s)
{
	if (s->serving)
		fake_vhost_stop(s);
	rmdir(s->dir);
	pthread_mutex_destroy(&s->lock);
}

void fake_vhost_babble(struct fake_vhost *s)
{
	pthread_mutex_lock(&s->lock);
	assert_int_equal(send(s->conn, "hello", 5, MSG_NOSIGNAL), 5);
	pthread_mutex_unlock(&s->lock);
}
