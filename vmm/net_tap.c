// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A tap interface. Each frame is one system call either way: out, straight from guest memory; in,
 * straight into it where the NIC gives memory for that (net_host.buffers), with the scratch frame
 * behind it for what does not fit. A queue whose NIC has no room is not read: the kernel keeps its
 * frames.
 *
 * The interface may be set down or deleted while the guest runs. The link is down then, what the
 * guest sends is dropped, and the descriptors are not watched, for epoll reports an error of them
 * without end. Rtnetlink tells what happens to it, and what it does not tell shows when frames fail;
 * once a second it is looked whether the interface is there again. One that is gone is
 * opened again by name, and never made a second time: whoever deleted it meant it. A descriptor
 * that was passed in has no way back.
 *
 * An interface that the helper made on a bridge (net_bridge.h) is of no use when that is gone or has
 * let it go: it is closed, and when there is a bridge of that name again the helper is asked for
 * another.
 */
#include "net_tap.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "iov.h"
#include "net_bridge.h"
#include "net_options.h"
#include "net_tap_if.h"
#include "vm.h"

#define TAP_BURST 64u  /* frames in one turn of the loop */
#define TAP_HEADER 10u /* of a descriptor whose NIC wants none: sent as zeros, not looked at */
#define TAP_LOOK_NS 1000000000ull
#define TAP_LOOK_MAX_NS (64 * TAP_LOOK_NS) /* where the helper fails each time */
#define TAP_BRIDGE_MS 2000 /* for which a guest that runs may stand while the helper works */
#define TAP_FRAME_BYTES (NET_HEADER_MAX + NET_FRAME_MAX)

enum tap_state { TAP_UP, TAP_DOWN, TAP_GONE };

struct tap_queue {
	struct net_tap *tap;
	unsigned int index;
	int fd;
	bool detached; /* the kernel puts no frames into it */
	bool taken;    /* the kernel moves the frames */
	bool full;     /* the NIC waits for room */
	bool stopped;  /* the NIC has none */
	uint32_t events;
	struct loop_watch *watch; /* NULL: detached, or no link */
};

struct net_tap {
	struct net *net;
	const struct net_host *host;
	char name[IFNAMSIZ];
	unsigned int index; /* the interface's */
	enum tap_state state;
	bool header;		 /* the descriptors have one */
	unsigned int size;	 /* of the NIC's, 0: it wants none */
	net_offloads offloads;
	unsigned int active;	 /* the queues that are attached */
	struct net_filter filter;
	bool filtered;
	bool script_ran;
	struct loop_timer *timer;
	uint64_t look_ns; /* until it is looked again */
	int changes_fd; /* -1: none is to be had, then a change is seen when frames are */
	struct loop_watch *changes;
	struct iovec iov[IOV_MAX];
	uint8_t frame[TAP_FRAME_BYTES];
	uint8_t skipped[TAP_HEADER];
	unsigned int queue_count;
	struct tap_queue queues[];
};

static const struct net_config *tap_config(const struct net_tap *t)
{
	return t->net->config;
}

int net_tap_check(const struct net_config *config, struct err *err)
{
	if (config->ifname && config->fd)
		return err_set(err, -EINVAL, "net=tap: ifname= and fd= exclude each other");
	if (config->fd && net_queues(config) > 1)
		return err_set(err, -EINVAL, "net=tap: fd= is one queue, queues=%u are not to be "
					     "had with it", net_queues(config));
	if (config->fd && (config->script || config->downscript))
		return err_set(err, -EINVAL, "net=tap: script= and downscript= are for an "
					     "interface opened here, not for fd=");
	if (config->ifname && (!*config->ifname || strlen(config->ifname) >= IFNAMSIZ))
		return err_set(err, -EINVAL, "net=tap: ifname=%s: a name has 1 to %d characters",
			       config->ifname, IFNAMSIZ - 1);
	return 0;
}

/* Opening. */

static void tap_close_queues(struct net_tap *t)
{
	unsigned int i;

	for (i = 0; i < t->queue_count; i++)
		fd_close(&t->queues[i].fd);
}

static int tap_open_names(struct net_tap *t, struct err *err)
{
	unsigned int i;
	int fd;

	for (i = 0; i < t->queue_count; i++) {
		fd = tap_if_open(t->name, t->queue_count > 1, err);
		if (fd < 0)
			return fd;
		t->queues[i].fd = fd;
	}
	/* Another program may have some of several, which the kernel does not mind. */
	if (tap_if_queues(t->name) > t->queue_count)
		return err_set(err, -EBUSY, "net=tap: interface %s is in use by another program",
			       t->name);
	t->header = true;
	return 0;
}

static int tap_open_bridge(struct net_tap *t, int wait_ms, struct err *err)
{
	int fds[NET_QUEUES_MAX], ret;
	unsigned int i;

	ret = net_bridge_taps(tap_config(t), t->queue_count, wait_ms, fds, err);
	for (i = 0; !ret && i < t->queue_count; i++)
		t->queues[i].fd = fds[i];
	return ret ? ret : tap_if_adopt(fds[0], t->name, &t->header, err);
}

/* All queues, or none. */
static int tap_open_queues(struct net_tap *t, int wait_ms, struct err *err)
{
	unsigned int i;
	int ret;

	for (i = 0; i < t->queue_count; i++)
		t->queues[i].detached = false;
	ret = tap_config(t)->bridge ? tap_open_bridge(t, wait_ms, err) : tap_open_names(t, err);
	if (ret)
		tap_close_queues(t);
	return ret;
}

static int tap_open_fd(struct net_tap *t, int fd, struct err *err)
{
	int ret = tap_if_adopt(fd, t->name, &t->header, err);

	if (!ret)
		t->queues[0].fd = fd;
	return ret;
}

/* What the NIC asked for, of all that was opened. 0 or -errno. */
static int tap_configure(struct net_tap *t)
{
	unsigned int i;
	int ret = 0;

	if (t->header)
		ret = tap_if_set_header(t->queues[0].fd, t->size ? t->size : TAP_HEADER,
					t->offloads);
	for (i = 1; !ret && i < t->queue_count; i++) {
		struct tap_queue *q = &t->queues[i];

		if (q->detached == (i >= t->active))
			continue;
		ret = tap_if_attach(q->fd, q->detached);
		if (!ret)
			q->detached = !q->detached;
	}
	if (!ret && t->filtered)
		tap_if_set_filter(t->queues[0].fd, &t->filter);
	return ret;
}

/* The link. */

static void tap_ready(void *opaque, uint32_t events);

/* What the loop is to say of @q: errors always. */
static uint32_t tap_events(const struct tap_queue *q)
{
	return (q->taken || q->stopped ? 0u : (uint32_t)EPOLLIN) |
	       (q->full ? (uint32_t)EPOLLOUT : 0u);
}

static void tap_unwatch(struct tap_queue *q)
{
	loop_watch_del(q->watch);
	q->watch = NULL;
}

/* Watches @q for what is of interest now. */
static int tap_watch(struct tap_queue *q, struct err *err)
{
	uint32_t events = tap_events(q);
	struct net *net = q->tap->net;
	int ret = 0;

	if (q->tap->state != TAP_UP || q->detached) {
		tap_unwatch(q);
		return 0;
	}
	if (!q->watch)
		ret = loop_watch_add(net->vm->loop, q->fd, events, net->lock, tap_ready, q,
				     &q->watch, err);
	else if (events != q->events)
		ret = loop_watch_set(q->watch, events);
	if (!ret)
		q->events = events;
	return ret;
}

static int tap_watch_all(struct net_tap *t, struct err *err)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < t->queue_count; i++)
		ret = tap_watch(&t->queues[i], err);
	return ret;
}

static bool tap_comes_back(const struct net_tap *t)
{
	return t->state == TAP_DOWN || !tap_config(t)->fd;
}

static void tap_lost(struct net_tap *t, enum tap_state state)
{
	if (t->state == state)
		return;
	t->state = state;
	tap_watch_all(t, NULL);
	log_limited(t->net->vm->log, &t->net->limit, LOG_WARN, "%s: interface %s is %s: no link%s",
		    t->net->id, t->name,
		    state == TAP_DOWN	  ? "down" :
		    tap_config(t)->bridge ? "not on its bridge" :
					    "gone",
		    tap_comes_back(t) ? " until it is back" :
					" any more, fd= cannot be opened again");
	/* At once: there may be frames that wait for room. Not from here, the NIC may be sending. */
	loop_timer_set(t->timer, 1);
	t->host->link(t->net, false);
}

static void tap_drop_waiting(struct net_tap *t)
{
	unsigned int i;

	for (i = 0; i < t->queue_count; i++) {
		if (!t->queues[i].full)
			continue;
		t->queues[i].full = false;
		t->host->send_ready(t->net, i);
	}
}

/* What has become of the descriptors' interface. */
static enum tap_state tap_now(struct net_tap *t)
{
	struct tap_if_place place;
	short flags;
	int ret = tap_if_ask(t->queues[0].fd, t->name, &flags);

	if (ret == -EBADFD)
		return TAP_GONE;
	/* One of another network namespace is not seen, and passes frames all the same. */
	if (ret)
		return TAP_UP;
	if (tap_config(t)->bridge && !tap_if_place(t->name, &place) && !place.master)
		return TAP_GONE;
	return flags & IFF_UP ? TAP_UP : TAP_DOWN;
}

static bool tap_reopen(struct net_tap *t)
{
	const char *bridge = tap_config(t)->bridge;
	struct err err = { 0 };
	short flags;

	tap_close_queues(t);
	if (bridge ? !if_nametoindex(bridge) : tap_if_flags(t->name, 0, &flags))
		return false;
	if (!tap_open_queues(t, TAP_BRIDGE_MS, &err) && !tap_configure(t)) {
		t->look_ns = TAP_LOOK_NS;
		return true;
	}
	tap_close_queues(t);
	if (bridge && t->look_ns < TAP_LOOK_MAX_NS)
		t->look_ns *= 2;
	log_limited(t->net->vm->log, &t->net->limit, LOG_WARN, "%s: not again: %s", t->net->id,
		    err.msg);
	return false;
}

/* Is it there again? */
static bool tap_is_back(struct net_tap *t)
{
	if (t->state == TAP_GONE && !tap_reopen(t))
		return false;
	t->state = tap_now(t);
	return t->state == TAP_UP;
}

/* An interface has changed. */
static void tap_changed(void *opaque, uint32_t events)
{
	struct net_tap *t = opaque;

	(void)events;
	if (!tap_if_changed(t->changes_fd, t->index))
		return;
	if (t->state == TAP_UP)
		tap_lost(t, tap_now(t));
	/* The helper's own interfaces are such changes: it has its pace. */
	else if (t->state == TAP_DOWN || !tap_config(t)->bridge)
		loop_timer_set(t->timer, 1);
}

static void tap_look(void *opaque)
{
	struct net_tap *t = opaque;

	tap_drop_waiting(t);
	/* A change that was told while it came back. */
	if (t->state == TAP_UP || !tap_comes_back(t))
		return;
	if (!tap_is_back(t)) {
		loop_timer_set(t->timer, t->look_ns);
		return;
	}
	t->index = if_nametoindex(t->name);
	if (tap_watch_all(t, NULL)) {
		t->state = TAP_DOWN;
		tap_watch_all(t, NULL);
		loop_timer_set(t->timer, t->look_ns);
		return;
	}
	log_limited(t->net->vm->log, &t->net->limit, LOG_INFO, "%s: interface %s is back",
		    t->net->id, t->name);
	t->host->link(t->net, true);
}

/* Frames. */

/* One frame for the guest; false when there is none, or no room. */
static bool tap_read(struct tap_queue *q)
{
	struct net_tap *t = q->tap;
	unsigned int at = 0, entries;
	size_t room = 0, skip = t->header && !t->size ? TAP_HEADER : 0, len;
	struct iovec *frame;
	ssize_t n;
	int given;

	if (skip)
		t->iov[at++] = (struct iovec){ t->skipped, skip };
	frame = &t->iov[at];
	given = t->host->buffers(t->net, q->index, frame, ARRAY_SIZE(t->iov) - at - 1);
	if (!given) {
		q->stopped = true;
		tap_watch(q, NULL);
		return false;
	}
	entries = given > 0 ? (unsigned int)given : 0;
	room = MIN(iov_size(frame, entries), sizeof(t->frame));
	frame[entries] = (struct iovec){ t->frame + room, sizeof(t->frame) - room };
	n = readv(q->fd, t->iov, (int)(at + entries + 1));
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno != EAGAIN)
		tap_lost(t, TAP_GONE);
	if (n <= 0)
		return false;
	len = (size_t)n - MIN((size_t)n, skip);
	if (entries && len <= room) {
		t->host->filled(t->net, q->index, len);
		return true;
	}
	/* More than the NIC had at hand: in one piece it can wait. */
	iov_gather(frame, entries, t->frame, room);
	t->host->deliver(t->net, q->index, &(struct iovec){ t->frame, len }, 1);
	return true;
}

static void tap_ready(void *opaque, uint32_t events)
{
	struct tap_queue *q = opaque;
	unsigned int i = 0;

	/* Of this batch, and the NIC may have changed its mind in it. */
	if (events & EPOLLIN & tap_events(q))
		while (i < TAP_BURST && tap_read(q))
			i++;
	if (i)
		q->tap->host->deliver_end(q->tap->net, q->index);
	if (events & EPOLLERR && !i)
		tap_lost(q->tap, TAP_GONE);
	if (q->full && events & EPOLLOUT) {
		q->full = false;
		tap_watch(q, NULL);
		q->tap->host->send_ready(q->tap->net, q->index);
	}
}

static bool tap_send(void *state, unsigned int queue, const struct iovec *iov, unsigned int count)
{
	static const uint8_t zero[TAP_HEADER];
	struct net_tap *t = state;
	struct tap_queue *q = &t->queues[queue];
	unsigned int at = 0;
	ssize_t n;

	if (t->state != TAP_UP || q->detached)
		return true;
	if (t->header && !t->size)
		t->iov[at++] = (struct iovec){ (void *)(uintptr_t)zero, TAP_HEADER };
	if (count > ARRAY_SIZE(t->iov) - at) {
		t->iov[at].iov_base = t->frame;
		t->iov[at].iov_len = iov_gather(iov, count, t->frame, sizeof(t->frame));
		count = 1;
	} else {
		memcpy(t->iov + at, iov, count * sizeof(*iov));
	}
	do {
		n = writev(q->fd, t->iov, (int)(at + count));
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return true;
	if (errno == EAGAIN) {
		q->full = true;
		if (!tap_watch(q, NULL))
			return false;
		q->full = false;
	} else if (errno == EIO) {
		tap_lost(t, TAP_DOWN);
	} else if (errno == EBADFD) {
		tap_lost(t, TAP_GONE);
	}
	/* EINVAL: the guest's header makes no sense to the kernel. */
	t->net->tx_dropped++;
	return true;
}

static void tap_receive_ready(void *state, unsigned int queue)
{
	struct net_tap *t = state;

	t->queues[queue].stopped = false;
	tap_watch(&t->queues[queue], NULL);
}

/* What the NIC asks for. */

static bool tap_has_header(void *state)
{
	return ((struct net_tap *)state)->header;
}

static int tap_set_header(void *state, unsigned int size, net_offloads offloads)
{
	struct net_tap *t = state;
	unsigned int size_before = t->size;
	net_offloads offloads_before = t->offloads;
	int ret;

	t->size = size;
	t->offloads = offloads;
	ret = t->state == TAP_GONE ? 0 : tap_configure(t);
	if (!ret || ret == -EBADFD)
		return 0; /* it is done when the interface is back */
	t->size = size_before;
	t->offloads = offloads_before;
	return ret;
}

static int tap_set_queues(void *state, unsigned int count)
{
	struct net_tap *t = state;
	int ret;

	t->active = count;
	ret = t->state == TAP_GONE ? 0 : tap_configure(t);
	if (!ret)
		ret = tap_watch_all(t, NULL);
	return ret == -EBADFD ? 0 : ret;
}

static void tap_set_filter(void *state, const struct net_filter *filter)
{
	struct net_tap *t = state;

	t->filter = *filter;
	t->filtered = true;
	if (t->state != TAP_GONE)
		tap_if_set_filter(t->queues[0].fd, filter);
}

static int tap_take_over(void *state, unsigned int queue, bool taken)
{
	struct net_tap *t = state;
	struct tap_queue *q = &t->queues[queue];

	if (taken && (t->state == TAP_GONE || q->detached))
		return -ENOTCONN;
	q->taken = taken;
	tap_watch(q, NULL);
	return q->fd;
}

/* Life. */

static void tap_close(void *state)
{
	struct net_tap *t = state;
	struct err err = { 0 };
	unsigned int i;

	for (i = 0; i < t->queue_count; i++)
		tap_unwatch(&t->queues[i]);
	loop_timer_del(t->timer);
	if (t->script_ran && tap_config(t)->downscript &&
	    tap_if_run(tap_config(t)->downscript, t->name, &err))
		log_limited(t->net->vm->log, &t->net->limit, LOG_WARN, "%s: %s", t->net->id,
			    err.msg);
	loop_watch_del(t->changes);
	fd_close(&t->changes_fd);
	tap_close_queues(t);
	free(t);
}

/* It has the bridge's. */
static int tap_check_mtu(const struct net_tap *t, struct err *err)
{
	const struct net_config *config = tap_config(t);
	struct tap_if_place place;

	if (!config->mtu || tap_if_place(t->name, &place) || place.mtu >= config->mtu)
		return 0;
	return err_set(err, -EINVAL, "net=bridge: bridge=%s: its MTU is %u, too little for mtu=%u; run: "
				     "ip link set %s mtu %u", config->bridge, place.mtu, config->mtu,
		       config->bridge, config->mtu);
}

/* An interface that a script does not look after is set up here, where that is allowed. */
static int tap_prepare(struct net_tap *t, struct err *err)
{
	const struct net_config *config = tap_config(t);
	short flags;
	int ret = 0;

	if (config->fd)
		return 0;
	if (config->bridge)
		return tap_check_mtu(t, err);
	if (config->mtu)
		ret = tap_if_set_mtu(t->name, config->mtu, err);
	if (!ret && config->script)
		ret = tap_if_run(config->script, t->name, err);
	else if (!ret)
		tap_if_flags(t->name, IFF_UP, &flags);
	t->script_ran = !ret;
	return ret;
}

static int tap_open_all(struct net_tap *t, struct err *err)
{
	const struct net_config *config = tap_config(t);
	int ret;

	if (config->ifname)
		memcpy(t->name, config->ifname, strlen(config->ifname));
	ret = config->fd ? tap_open_fd(t, (int)config->fd, err) :
			   tap_open_queues(t, NET_BRIDGE_WAIT_MS, err);
	if (ret)
		return ret;
	ret = tap_configure(t);
	if (ret)
		return err_sys(err, ret, "net=tap: interface %s", t->name);
	return tap_prepare(t, err);
}

static int tap_open(struct net *net, const struct net_host *host, void **ret_state, struct err *err)
{
	unsigned int count = net_queues(net->config), i;
	struct net_tap *t = calloc(1, sizeof(*t) + count * sizeof(t->queues[0]));
	int ret;

	if (!t)
		return err_set(err, -ENOMEM, "net=tap: no memory");
	t->net = net;
	t->host = host;
	t->queue_count = count;
	t->active = 1;
	t->look_ns = TAP_LOOK_NS;
	t->changes_fd = tap_if_changes();
	for (i = 0; i < count; i++)
		t->queues[i] = (struct tap_queue){ .tap = t, .index = i, .fd = -1 };
	ret = tap_open_all(t, err);
	if (!ret)
		ret = loop_timer_new(net->vm->loop, net->lock, tap_look, t, &t->timer, err);
	if (!ret)
		ret = tap_watch_all(t, err);
	if (!ret && t->changes_fd >= 0)
		ret = loop_watch_add(net->vm->loop, t->changes_fd, EPOLLIN, net->lock, tap_changed,
				     t, &t->changes, err);
	if (ret) {
		tap_close(t);
		return ret;
	}
	*ret_state = t;
	t->index = if_nametoindex(t->name);
	tap_lost(t, tap_now(t));
	return 0;
}

const struct net_backend_ops net_tap_ops = {
	.name = "tap",
	.open = tap_open,
	.close = tap_close,
	.send = tap_send,
	.receive_ready = tap_receive_ready,
	.has_header = tap_has_header,
	.set_header = tap_set_header,
	.set_queues = tap_set_queues,
	.set_filter = tap_set_filter,
	.take_over = tap_take_over,
};
