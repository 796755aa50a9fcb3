/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the event loop share: loop.c waits in epoll, loop_ring.c in an io_uring. */
#ifndef VIADUCT_VMM_LOOP_PRIV_H
#define VIADUCT_VMM_LOOP_PRIV_H

#include <stdatomic.h>

#include "loop.h"

struct loop_ring;
struct loop_work;

/* Watches and timers die in two steps: `dead` (set by the deleter, read under the watch's lock by
 * the loop) stops callbacks; the memory is freed by the loop after its batch. */
struct loop_watch {
	struct loop *loop;
	int fd;
	pthread_mutex_t *lock;
	loop_fd_fn fn;
	void *opaque;
	atomic_bool dead;
	struct loop_watch *next; /* epoll: on loop->grave; ring: among the ring's */
	/* Of a ring, under its lock. */
	uint32_t events;
	uint32_t pending; /* events that came and were not told yet */
	bool armed;	  /* the kernel knows it */
	bool cancelled;	  /* and was told to forget it */
};

struct loop {
	int epoll_fd; /* -1 with a ring */
	int wake_fd;
	struct loop_ring *ring; /* NULL: it waits in epoll */
	pthread_mutex_t lock;	/* a leaf: work, grave */
	struct loop_work *work, **work_tail;
	struct loop_watch *grave;
	struct loop_hook *hooks;
	atomic_bool stop;
};

int loop_ring_run(struct loop *loop, struct err *err);
void loop_ring_free(struct loop *loop);
void loop_ring_watch(struct loop_watch *watch);
void loop_ring_unwatch(struct loop_watch *watch);

#endif
