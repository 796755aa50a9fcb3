// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The user-mode network: libslirp as a module of its own, so that only a guest that has one pays
 * for the library. The gateway is the host (and answers ping). No privileges: the guest reaches
 * what this process could reach, and is reached through the ports that hostfwd= names.
 *
 * libslirp wants to be asked, before each sleep, which sockets to watch and for how long, and to be
 * told afterwards what happened. A loop hook does both. Its sockets live in an epoll set of their
 * own, one watch of the loop, and the set is edited only where the answer differs from the last
 * one, so a round in which nothing changes costs no system call.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libslirp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "iov.h"
#include "net.h"
#include "net_options.h"
#include "net_user.h"
#include "vm.h"

#define NS_PER_MS 1000000
#define SLIRP_EVENTS 32
/* slirp_pollfds_fill() (4.7.0) never says more than this, and says less whenever it has a timer
 * running: an idle guest need not wake once a second. */
#define SLIRP_IDLE_MS 1000u

/* A descriptor of libslirp's, found by its number. */
struct slirp_fd {
	uint32_t live;	/* events it has in the epoll set, 0: it is not in there */
	uint32_t round; /* the last fill that named it */
	uint32_t ready; /* what epoll said, until it is reported */
};

struct slirp_timer {
	struct net_slirp *s;
	SlirpTimerId id;
	void *opaque;
	int64_t expire_ms; /* -1: not armed */
	struct slirp_timer *next;
};

struct net_slirp {
	struct net *net;
	const struct net_host *host;
	Slirp *slirp;
	int epoll_fd, wake_fd;
	struct loop_watch *watch;
	struct loop_hook hook;
	bool hooked;
	bool has_events; /* the epoll set has something */
	pthread_t loop_thread; /* of the last prepare */
	bool loop_known;
	struct slirp_fd *fds; /* by descriptor */
	unsigned int fd_room;
	int *watched; /* those with .live */
	unsigned int watched_count, watched_room;
	uint32_t round;
	struct slirp_timer *timers;
	uint8_t *frame; /* NET_FRAME_MAX */
};

/* @array with room for @want entries of @size; NULL, and @array as it was, without memory. */
static void *grow(void *array, unsigned int *room, unsigned int want, size_t size)
{
	unsigned int n = *room ? *room : 16;
	void *p;

	if (want <= *room)
		return array;
	while (n < want)
		n *= 2;
	p = reallocarray(array, n, size);
	if (!p)
		return NULL;
	memset((char *)p + *room * size, 0, (n - *room) * size);
	*room = n;
	return p;
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* libslirp's callbacks. */

static ssize_t cb_send_packet(const void *buf, size_t len, void *opaque)
{
	struct net_slirp *s = opaque;
	struct iovec iov = { (void *)(uintptr_t)buf, len };

	s->host->deliver(s->net, 0, &iov, 1);
	return (ssize_t)len;
}

static void cb_guest_error(const char *msg, void *opaque)
{
	struct net_slirp *s = opaque;

	s->host->log_limited(s->net->vm->log, &s->net->limit, LOG_WARN, "%s: user network: %s",
			     s->net->id, msg);
}

static int64_t cb_clock_get_ns(void *opaque)
{
	(void)opaque;
	return now_ns();
}

static void *cb_timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
	struct net_slirp *s = opaque;
	struct slirp_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	*t = (struct slirp_timer){
		.s = s, .id = id, .opaque = cb_opaque, .expire_ms = -1, .next = s->timers
	};
	s->timers = t;
	return t;
}

static void cb_timer_free(void *timer, void *opaque)
{
	struct net_slirp *s = opaque;
	struct slirp_timer **at;

	for (at = &s->timers; *at; at = &(*at)->next) {
		if (*at == timer) {
			*at = (*at)->next;
			break;
		}
	}
	free(timer);
}

static void cb_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
	struct slirp_timer *t = timer;

	(void)opaque;
	if (t)
		t->expire_ms = expire_ms;
}

static void cb_register_poll_fd(int fd, void *opaque)
{
	/* It is watched from the first fill that names it. */
	(void)fd;
	(void)opaque;
}

static void fd_forget(struct net_slirp *s, int fd)
{
	if (fd < 0 || (unsigned int)fd >= s->fd_room || !s->fds[fd].live)
		return;
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	s->fds[fd].live = 0;
	s->fds[fd].ready = 0;
}

/* Called before libslirp closes @fd; the number may come back for another socket. */
static void cb_unregister_poll_fd(int fd, void *opaque)
{
	fd_forget(opaque, fd);
}

/* There may be more to watch: only a loop that sleeps must hear of it. */
static void wake(struct net_slirp *s)
{
	uint64_t one = 1;

	if (s->loop_known && pthread_equal(s->loop_thread, pthread_self()))
		return;
	if (write(s->wake_fd, &one, sizeof(one)) < 0)
		return; /* full: it is awake */
}

static void cb_notify(void *opaque)
{
	wake(opaque);
}

static const SlirpCb callbacks = {
	.send_packet = cb_send_packet,
	.guest_error = cb_guest_error,
	.clock_get_ns = cb_clock_get_ns,
	.timer_new_opaque = cb_timer_new,
	.timer_free = cb_timer_free,
	.timer_mod = cb_timer_mod,
	.register_poll_fd = cb_register_poll_fd,
	.unregister_poll_fd = cb_unregister_poll_fd,
	.notify = cb_notify,
};

/* The loop. */

/* SLIRP_POLL_* and EPOLL* name the same five things. */
static const struct {
	int slirp;
	uint32_t epoll;
} poll_bits[] = {
	{ SLIRP_POLL_IN, EPOLLIN },   { SLIRP_POLL_OUT, EPOLLOUT }, { SLIRP_POLL_PRI, EPOLLPRI },
	{ SLIRP_POLL_ERR, EPOLLERR }, { SLIRP_POLL_HUP, EPOLLHUP },
};

/* Part of slirp_pollfds_fill(): the index is the descriptor itself. */
static int add_poll(int fd, int events, void *opaque)
{
	struct net_slirp *s = opaque;
	struct epoll_event ev = { .data.fd = fd };
	struct slirp_fd *f, *fds;
	int *watched;
	size_t i;

	if (fd < 0)
		return -1;
	fds = grow(s->fds, &s->fd_room, (unsigned int)fd + 1, sizeof(*fds));
	s->fds = fds ? fds : s->fds;
	watched = grow(s->watched, &s->watched_room, s->watched_count + 1, sizeof(*watched));
	s->watched = watched ? watched : s->watched;
	if (!fds || !watched)
		return -1;
	for (i = 0; i < ARRAY_SIZE(poll_bits); i++)
		if (events & poll_bits[i].slirp)
			ev.events |= poll_bits[i].epoll;
	f = &s->fds[fd];
	f->round = s->round;
	if (f->live == ev.events)
		return fd;
	if (epoll_ctl(s->epoll_fd, f->live ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) < 0)
		return -1;
	if (!f->live)
		s->watched[s->watched_count++] = fd;
	f->live = ev.events;
	return fd;
}

/* Takes out of the set what the last fill did not name. */
static void drop_unnamed(struct net_slirp *s)
{
	unsigned int i, kept = 0;
	int fd;

	for (i = 0; i < s->watched_count; i++) {
		fd = s->watched[i];
		if (s->fds[fd].live && s->fds[fd].round != s->round)
			fd_forget(s, fd);
		if (s->fds[fd].live)
			s->watched[kept++] = fd;
	}
	s->watched_count = kept;
}

/* Milliseconds until something is due, UINT32_MAX: nothing is. */
static uint32_t time_left(struct net_slirp *s)
{
	uint32_t timeout = UINT32_MAX;
	struct slirp_timer *t;
	int64_t now;

	slirp_pollfds_fill(s->slirp, &timeout, add_poll, s);
	if (timeout >= SLIRP_IDLE_MS)
		timeout = UINT32_MAX;
	if (!s->timers)
		return timeout;
	now = now_ns() / NS_PER_MS;
	for (t = s->timers; t; t = t->next)
		if (t->expire_ms >= 0)
			timeout = (uint32_t)MIN((int64_t)timeout, MAX(t->expire_ms - now, 0));
	return timeout;
}

static void hook_prepare(void *opaque, int *timeout_ms)
{
	struct net_slirp *s = opaque;
	uint32_t left;

	s->loop_thread = pthread_self();
	s->loop_known = true;
	s->round++;
	left = time_left(s);
	drop_unnamed(s);
	if (left <= INT32_MAX && (*timeout_ms < 0 || (int)left < *timeout_ms))
		*timeout_ms = (int)left;
}

static int get_revents(int fd, void *opaque)
{
	struct net_slirp *s = opaque;
	int revents = 0;
	size_t i;

	if (fd < 0 || (unsigned int)fd >= s->fd_room)
		return 0;
	for (i = 0; i < ARRAY_SIZE(poll_bits); i++)
		if (s->fds[fd].ready & poll_bits[i].epoll)
			revents |= poll_bits[i].slirp;
	s->fds[fd].ready = 0;
	return revents;
}

static void collect_events(struct net_slirp *s)
{
	struct epoll_event events[SLIRP_EVENTS];
	uint64_t count;
	int i, n, fd;

	/* Level-triggered: what does not fit comes at the next round. */
	n = epoll_wait(s->epoll_fd, events, SLIRP_EVENTS, 0);
	for (i = 0; i < n; i++) {
		fd = events[i].data.fd;
		if (fd == s->wake_fd) {
			if (read(fd, &count, sizeof(count)) < 0)
				continue; /* nothing there: as good */
		} else if ((unsigned int)fd < s->fd_room && s->fds[fd].live) {
			s->fds[fd].ready = events[i].events;
		}
	}
}

/* A timer's handler may arm, free or make timers: one is run for each pass over the list. */
static void run_timers(struct net_slirp *s)
{
	struct slirp_timer *t;
	int64_t now;
	bool again = s->timers;

	while (again) {
		again = false;
		now = now_ns() / NS_PER_MS;
		for (t = s->timers; t && !again; t = t->next) {
			if (t->expire_ms < 0 || t->expire_ms > now)
				continue;
			t->expire_ms = -1;
			slirp_handle_timer(s->slirp, t->id, t->opaque);
			again = true;
		}
	}
}

static void hook_check(void *opaque)
{
	struct net_slirp *s = opaque;

	if (s->has_events)
		collect_events(s);
	s->has_events = false;
	slirp_pollfds_poll(s->slirp, 0, get_revents, s);
	run_timers(s);
	s->host->deliver_end(s->net, 0);
}

static void watch_ready(void *opaque, uint32_t events)
{
	struct net_slirp *s = opaque;

	(void)events;
	s->has_events = true; /* hook_check() follows this batch */
}

/* The back end. */

static bool net_slirp_send(void *state, unsigned int queue, const struct iovec *iov,
			   unsigned int count)
{
	struct net_slirp *s = state;
	size_t len;

	(void)queue;
	/* libslirp was not written for memory that changes under it, so it is given a copy. */
	len = iov_gather(iov, count, s->frame, NET_FRAME_MAX);
	slirp_input(s->slirp, s->frame, (int)len);
	wake(s);
	return true;
}

static void net_slirp_close(void *state)
{
	struct net_slirp *s = state;
	struct slirp_timer *t;

	if (s->hooked)
		s->host->hook_del(s->net->vm->loop, &s->hook);
	s->host->watch_del(s->watch);
	if (s->slirp)
		slirp_cleanup(s->slirp);
	while ((t = s->timers)) {
		s->timers = t->next;
		free(t);
	}
	fd_close(&s->epoll_fd);
	fd_close(&s->wake_fd);
	free(s->fds);
	free(s->watched);
	free(s->frame);
	free(s);
}

static int slirp_forward(struct net_slirp *s, const struct net_user_forward *fwd, struct err *err)
{
	char addr[INET_ADDRSTRLEN];
	const char *remedy = "";
	int ret;

	if (!slirp_add_hostfwd(s->slirp, fwd->udp, fwd->host_addr, fwd->host_port, fwd->guest_addr,
			       fwd->guest_port))
		return 0;
	ret = errno ? -errno : -EIO;
	if (ret == -EADDRINUSE)
		remedy = "; take another port of the host";
	else if (ret == -EACCES)
		remedy = "; ports below 1024 are for root, take a higher one";
	else if (ret == -EADDRNOTAVAIL)
		remedy = "; the host has no such address, leave it empty for all";
	return s->host->err_set(err, ret, "net=user: hostfwd=: %s port %u of %s: %s%s",
				fwd->udp ? "udp" : "tcp", fwd->host_port,
				inet_ntop(AF_INET, &fwd->host_addr, addr, sizeof(addr)),
				strerror(-ret), remedy);
}

static int slirp_start(struct net_slirp *s, struct err *err)
{
	static const struct net_config plain;
	const struct net_config *given = s->net->config;
	SlirpConfig config = { .version = 4, .in_enabled = true };
	struct net_user user;
	unsigned int i;
	int ret = s->host->user_parse(given ? given : &plain, &user, err);

	if (ret)
		return ret;
	config.restricted = user.restricted;
	config.vnetwork = user.network;
	config.vnetmask = user.mask;
	config.vhost = user.gateway;
	config.vdhcp_start = user.dhcpstart;
	config.vnameserver = user.dns;
	config.vhostname = user.hostname;
	config.tftp_path = user.tftp;
	config.bootfile = user.bootfile;
	s->slirp = slirp_new(&config, &callbacks, s);
	if (!s->slirp)
		return s->host->err_set(err, -EINVAL, "net=user: libslirp %s does not start",
					slirp_version_string());
	for (i = 0; i < user.forward_count && !ret; i++)
		ret = slirp_forward(s, &user.forwards[i], err);
	return ret;
}

static int net_slirp_poll_init(struct net_slirp *s)
{
	struct epoll_event ev = { .events = EPOLLIN };

	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0)
		return -errno;
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0)
		return -errno;
	ev.data.fd = s->wake_fd;
	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->wake_fd, &ev) < 0 ? -errno : 0;
}

static int net_slirp_open(struct net *net, const struct net_host *host, void **ret_state,
			  struct err *err)
{
	struct net_slirp *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return host->err_set(err, -ENOMEM, "user network: no memory");
	*s = (struct net_slirp){ .net = net, .host = host, .epoll_fd = -1, .wake_fd = -1 };
	s->frame = malloc(NET_FRAME_MAX);
	ret = s->frame ? net_slirp_poll_init(s) : -ENOMEM;
	if (ret) {
		host->err_set(err, ret, "user network: %s", strerror(-ret));
		goto fail;
	}
	ret = host->watch_add(net->vm->loop, s->epoll_fd, EPOLLIN, net->lock, watch_ready, s,
			      &s->watch, err);
	if (ret)
		goto fail;
	ret = slirp_start(s, err);
	if (ret)
		goto fail;
	s->hook = (struct loop_hook){
		.prepare = hook_prepare, .check = hook_check, .opaque = s, .lock = net->lock
	};
	host->hook_add(net->vm->loop, &s->hook);
	s->hooked = true;
	*ret_state = s;
	return 0;
fail:
	net_slirp_close(s);
	return ret;
}

static const struct net_backend_ops net_slirp_ops = {
	.name = "user",
	.open = net_slirp_open,
	.close = net_slirp_close,
	.send = net_slirp_send,
};

extern const struct net_module viaduct_net_module;
const struct net_module viaduct_net_module = {
	.head = { .version = VIADUCT_VERSION },
	.ops = &net_slirp_ops,
};
