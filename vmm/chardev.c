// SPDX-License-Identifier: GPL-2.0-or-later
#include "chardev.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "chardev_int.h"
#include "loop.h"
#include "vm.h"

#define CHARDEV_FLUSH_NS 1000000u /* how long output is collected */
#define CHARDEV_RETRY_NS 1000000000u
#define CHARDEV_LAST_FLUSH_MS 200
#define CHARDEV_SMALL 512u /* written at a time where a write may block */

#define KEY_ESCAPE 0x01 /* Ctrl-A */

static const char chardev_help[] = "\r\n"
				   "Ctrl-A x   quit\r\n"
				   "Ctrl-A a   send Ctrl-A to the guest\r\n"
				   "Ctrl-A h   this help\r\n";

static void chardev_ready(void *opaque, uint32_t events);
static void chardev_out_ready(void *opaque, uint32_t events);

/* ---- output ---- */

static void chardev_out_drop(struct chardev *ch, size_t len)
{
	ch->out_head = (ch->out_head + len) % CHARDEV_BUF;
	ch->out_len -= len;
}

static ssize_t chardev_out_some(struct chardev *ch)
{
	size_t first = MIN(ch->out_len, CHARDEV_BUF - ch->out_head);
	struct iovec iov[2] = {
		{ .iov_base = ch->out + ch->out_head, .iov_len = first },
		{ .iov_base = ch->out, .iov_len = ch->out_len - first },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = iov[1].iov_len ? 2 : 1 };
	struct pollfd pfd = { .fd = ch->out_fd, .events = POLLOUT };

	if (ch->out_kind == CHARDEV_OUT_SOCKET)
		return sendmsg(ch->out_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (ch->out_kind == CHARDEV_OUT_PLAIN)
		return writev(ch->out_fd, iov, (int)msg.msg_iovlen);
	/* It may block: only as much as poll() vouches for. */
	if (poll(&pfd, 1, 0) <= 0) {
		errno = EAGAIN;
		return -1;
	}
	return write(ch->out_fd, iov[0].iov_base, MIN(iov[0].iov_len, CHARDEV_SMALL));
}

/* The client went away: back to waiting for one. */
static void chardev_client_gone(struct chardev *ch)
{
	loop_watch_del(ch->in_watch);
	ch->in_watch = NULL;
	fd_close(&ch->in_fd);
	ch->out_fd = -1;
	ch->dropping = false;
	if (ch->front.peer)
		ch->out_len = 0;
	loop_timer_set(ch->timer, 1);
}

static void chardev_out_failed(struct chardev *ch, int code)
{
	if (ch->listen_fd >= 0) {
		chardev_client_gone(ch);
		return;
	}
	if (!ch->dropping)
		log_line(ch->log, LOG_WARN, "%s: output is lost from here on: %s", ch->name,
			 strerror(code));
	ch->dropping = true;
	ch->out_len = 0;
	/* A full disk may have room again; whoever closed a pipe will not be back. */
	if (code != ENOSPC && code != EDQUOT) {
		loop_watch_del(ch->out_watch);
		ch->out_watch = NULL;
		ch->out_dead = true;
	}
}

static void chardev_flush(struct chardev *ch)
{
	while (ch->out_len && ch->out_fd >= 0 && !ch->out_dead) {
		ssize_t n = chardev_out_some(ch);

		if (n > 0) {
			chardev_out_drop(ch, (size_t)n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			chardev_out_failed(ch, errno);
		break;
	}
	if (!ch->out_len && !ch->out_dead && ch->listen_fd >= 0)
		ch->dropping = false;
}

/* Watches for what is wanted and nothing else: a peer that hung up would wake the loop for ever. */
static void chardev_watch(struct chardev *ch, struct loop_watch **watch, int fd, uint32_t events,
			  uint32_t *old, loop_fd_fn fn)
{
	if (*watch && events != *old) {
		loop_watch_del(*watch);
		*watch = NULL;
	}
	if (!*watch && events && fd >= 0 &&
	    loop_watch_add(ch->vm->loop, fd, events, ch->front.lock, fn, ch, watch, NULL))
		*watch = NULL;
	*old = events;
}

static void chardev_watch_all(struct chardev *ch)
{
	uint32_t in = ch->in_fd >= 0 && ch->in_poll && (!ch->stalled || ch->tty) ? EPOLLIN : 0;
	uint32_t out = ch->out_len && ch->out_fd >= 0 && !ch->out_dead ? EPOLLOUT : 0;
	uint32_t accepts = ch->listen_fd >= 0 && ch->in_fd < 0 && !ch->accept_wait ? EPOLLIN : 0;

	if (!ch->vm)
		return;
	if (ch->in_fd == ch->out_fd && ch->in_fd >= 0) {
		chardev_watch(ch, &ch->in_watch, ch->in_fd, in | out, &ch->in_events,
			      chardev_ready);
	} else {
		chardev_watch(ch, &ch->in_watch, ch->in_fd, in, &ch->in_events, chardev_ready);
		chardev_watch(ch, &ch->out_watch, ch->out_fd, out, &ch->out_events,
			      chardev_out_ready);
	}
	chardev_watch(ch, &ch->listen_watch, ch->listen_fd, accepts, &ch->listen_events,
		      chardev_ready);
}

/* Room for @len: the peer does not read, the oldest goes. */
static void chardev_out_make_room(struct chardev *ch, size_t len)
{
	chardev_flush(ch);
	if (CHARDEV_BUF - ch->out_len >= len)
		return;
	chardev_out_drop(ch, len - (CHARDEV_BUF - ch->out_len));
	if (ch->out_fd >= 0 && !ch->dropping) {
		log_line(ch->log, LOG_WARN, "%s: nobody reads the output; the oldest is dropped",
			 ch->name);
		ch->dropping = true;
	}
}

void chardev_write(struct chardev *ch, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	if (!ch->vm || ch->out_dead || (ch->out_fd < 0 && (ch->listen_fd < 0 || ch->front.peer)))
		return;
	if (len > CHARDEV_BUF) {
		p += len - CHARDEV_BUF;
		len = CHARDEV_BUF;
	}
	if (CHARDEV_BUF - ch->out_len < len)
		chardev_out_make_room(ch, len);
	while (len) {
		size_t at = (ch->out_head + ch->out_len) % CHARDEV_BUF;
		size_t n = MIN(len, CHARDEV_BUF - at);

		memcpy(ch->out + at, p, n);
		ch->out_len += n;
		p += n;
		len -= n;
	}
	/* While the descriptor is watched for room there is nothing to be gained by trying. */
	if (!ch->flush_due && ch->out_fd >= 0 && !(ch->in_events & EPOLLOUT) &&
	    !(ch->out_events & EPOLLOUT)) {
		ch->flush_due = true;
		loop_timer_set(ch->timer, CHARDEV_FLUSH_NS);
	}
}

bool chardev_connected(const struct chardev *ch)
{
	return ch->listen_fd < 0 || ch->out_fd >= 0;
}

size_t chardev_room(struct chardev *ch)
{
	/* While the descriptor is watched there is nothing to be gained by trying. */
	if (ch->vm && ch->out_len == CHARDEV_BUF && !(ch->in_events & EPOLLOUT) &&
	    !(ch->out_events & EPOLLOUT))
		chardev_flush(ch);
	if (!ch->vm || ch->out_fd < 0 || ch->out_dead)
		return SIZE_MAX;
	ch->room_wanted = ch->out_len == CHARDEV_BUF;
	return CHARDEV_BUF - ch->out_len;
}

/* What has changed for the front end; last of all in an event, before the watches are set. */
static void chardev_tell(struct chardev *ch)
{
	bool connected = chardev_connected(ch);

	if (ch->front.peer && connected != ch->peer_told) {
		ch->peer_told = connected;
		ch->front.peer(ch->front.opaque, connected);
	}
	/* In large steps, so that a slow reader does not cost a call for each little. */
	if (ch->room_wanted && (ch->out_fd < 0 || ch->out_dead || ch->out_len <= CHARDEV_BUF / 2)) {
		ch->room_wanted = false;
		ch->front.writable(ch->front.opaque);
	}
}

/* ---- input ---- */

static void chardev_key(struct chardev *ch, uint8_t key)
{
	switch (key) {
	case 'x':
		vm_request(ch->vm, VM_QUIT, "Ctrl-A x");
		break;
	case 'h':
	case 'c':
	case '?':
		chardev_write(ch, chardev_help, sizeof(chardev_help) - 1);
		break;
	default:
		break;
	}
}

/* Takes the escape sequences out of @len bytes in place and returns how many are left. */
static size_t chardev_filter(struct chardev *ch, uint8_t *buf, size_t len)
{
	size_t i, n = 0;

	for (i = 0; i < len; i++) {
		if (!ch->escaped && buf[i] == KEY_ESCAPE) {
			ch->escaped = true;
			continue;
		}
		if (!ch->escaped) {
			buf[n++] = buf[i];
			continue;
		}
		ch->escaped = false;
		if (buf[i] == 'a' || buf[i] == KEY_ESCAPE)
			buf[n++] = KEY_ESCAPE;
		else
			chardev_key(ch, buf[i]);
	}
	return n;
}

/* Reads once. False: there is nothing now, or no more. */
static bool chardev_read(struct chardev *ch)
{
	uint8_t scrap[CHARDEV_SMALL];
	bool full = ch->in_len == CHARDEV_BUF;
	uint8_t *to = full ? scrap : ch->in + ch->in_len;
	ssize_t n;

	do {
		n = read(ch->in_fd, to, full ? sizeof(scrap) : CHARDEV_BUF - ch->in_len);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		if (ch->listen_fd >= 0) {
			chardev_flush(ch);
			if (ch->in_fd >= 0)
				chardev_client_gone(ch);
		} else {
			ch->in_fd = -1;
		}
		return false;
	}
	if (ch->keys)
		n = (ssize_t)chardev_filter(ch, to, (size_t)n);
	/* A terminal is read even when the guest takes nothing, for Ctrl-A x must work then. */
	if (!full)
		ch->in_len += (size_t)n;
	return true;
}

/* Gives the front end what is there. */
static void chardev_deliver(struct chardev *ch)
{
	while (ch->in_off < ch->in_len && !ch->stalled) {
		size_t n = ch->front.receive(ch->front.opaque, ch->in + ch->in_off,
					     ch->in_len - ch->in_off);

		ch->in_off += n;
		ch->stalled = ch->in_off < ch->in_len;
	}
	if (ch->in_off == ch->in_len) {
		ch->in_off = 0;
		ch->in_len = 0;
	} else if (ch->in_off && ch->in_len == CHARDEV_BUF) {
		memmove(ch->in, ch->in + ch->in_off, ch->in_len - ch->in_off);
		ch->in_len -= ch->in_off;
		ch->in_off = 0;
	}
}

/* Input of a regular file or /dev/null, which epoll does not take. */
static void chardev_pump(struct chardev *ch)
{
	chardev_deliver(ch);
	while (ch->in_fd >= 0 && !ch->in_poll && !ch->stalled && chardev_read(ch))
		chardev_deliver(ch);
}

void chardev_resume(struct chardev *ch)
{
	if (!ch->stalled || !ch->vm)
		return;
	ch->stalled = false;
	chardev_deliver(ch);
	if (ch->stalled)
		return;
	if (ch->in_fd >= 0 && !ch->in_poll)
		loop_timer_set(ch->timer, 1);
	else
		chardev_watch_all(ch);
}

/* ---- events ---- */

static void chardev_accept(struct chardev *ch)
{
	int fd = accept4(ch->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		ch->in_fd = fd;
		ch->out_fd = fd;
		chardev_flush(ch);
		return;
	}
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	log_line(ch->log, LOG_WARN, "%s: a client could not be accepted: %s", ch->name,
		 strerror(errno));
	ch->accept_wait = true;
	loop_timer_set(ch->timer, CHARDEV_RETRY_NS);
}

static void chardev_out_ready(void *opaque, uint32_t events)
{
	struct chardev *ch = opaque;

	(void)events;
	chardev_flush(ch);
	chardev_tell(ch);
	chardev_watch_all(ch);
}

/* Standard input, the listening socket, or the client. */
static void chardev_ready(void *opaque, uint32_t events)
{
	struct chardev *ch = opaque;

	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		chardev_flush(ch);
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
		if (ch->listen_fd >= 0 && ch->in_fd < 0)
			chardev_accept(ch);
		else if (ch->in_fd >= 0 && (ch->in_events & EPOLLIN))
			chardev_read(ch);
		chardev_deliver(ch);
	}
	chardev_tell(ch);
	chardev_watch_all(ch);
}

static void chardev_tick(void *opaque)
{
	struct chardev *ch = opaque;

	ch->flush_due = false;
	ch->accept_wait = false;
	chardev_flush(ch);
	chardev_pump(ch);
	chardev_tell(ch);
	chardev_watch_all(ch);
}

int chardev_attach(struct chardev *ch, struct vm *vm, const struct chardev_front *front,
		   struct err *err)
{
	int ret;

	if (ch->vm)
		return err_set(err, -EBUSY, "%s: is used by another device", ch->name);
	if (ch->in_fd < 0 && ch->out_fd < 0 && ch->listen_fd < 0)
		return 0;
	if (ch->keys && vm->stdio_used)
		return err_set(err, -EBUSY,
			       "stdio: two devices of the guest cannot share it; give "
			       "one of --serial (stdio if nothing is said) and console= another "
			       "back end");
	ret = loop_timer_new(vm->loop, front->lock, chardev_tick, ch, &ch->timer, err);
	if (ret)
		return ret;
	ch->vm = vm;
	ch->front = *front;
	ch->peer_told = chardev_connected(ch);
	if (ch->keys)
		vm->stdio_used = true;
	chardev_term_raw(ch);
	/* A regular file or /dev/null as standard input cannot be watched: it is always ready. */
	ch->in_poll = true;
	if (ch->in_fd >= 0 && loop_watch_add(vm->loop, ch->in_fd, EPOLLIN, front->lock,
					     chardev_ready, ch, &ch->in_watch, NULL)) {
		ch->in_watch = NULL;
		ch->in_poll = false;
		loop_timer_set(ch->timer, 1);
	}
	ch->in_events = ch->in_watch ? EPOLLIN : 0;
	chardev_watch_all(ch);
	return 0;
}

static uint64_t chardev_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void chardev_flush_last(struct chardev *ch)
{
	uint64_t end = chardev_now_ms() + CHARDEV_LAST_FLUSH_MS;

	for (;;) {
		struct pollfd pfd = { .events = POLLOUT };
		uint64_t now;

		chardev_flush(ch);
		now = chardev_now_ms();
		if (!ch->out_len || ch->out_fd < 0 || ch->out_dead || now >= end)
			return;
		pfd.fd = ch->out_fd;
		poll(&pfd, 1, (int)(end - now));
	}
}

void chardev_detach(struct chardev *ch)
{
	if (!ch->vm)
		return;
	chardev_flush_last(ch);
	loop_watch_del(ch->in_watch);
	loop_watch_del(ch->out_watch);
	loop_watch_del(ch->listen_watch);
	loop_timer_del(ch->timer);
	ch->in_watch = NULL;
	ch->out_watch = NULL;
	ch->listen_watch = NULL;
	ch->timer = NULL;
	ch->in_events = 0;
	ch->out_events = 0;
	ch->listen_events = 0;
	ch->flush_due = false;
	ch->stalled = false;
	ch->in_off = 0;
	ch->in_len = 0;
	if (ch->keys)
		ch->vm->stdio_used = false;
	ch->room_wanted = false;
	ch->vm = NULL;
	chardev_restore(ch);
	atomic_store(&ch->raw, false);
}
