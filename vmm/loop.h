/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop: epoll, timers, and work posted from other threads.
 *
 * A watch or timer carries the lock of the device that it serves; the loop takes that lock round
 * the callback, so device code never locks. Watches and timers may be added, changed and deleted
 * from any thread. Deleting one while holding its lock (as device code always does) guarantees
 * that its callback does not run again; the memory goes after the batch of events.
 */
#ifndef VIADUCT_VMM_LOOP_H
#define VIADUCT_VMM_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct err;
struct io_uring;
struct io_uring_cqe;
struct loop;
struct loop_watch;
struct loop_timer;

typedef void (*loop_fd_fn)(void *opaque, uint32_t events);
typedef void (*loop_fn)(void *opaque);

/* Called before each wait and after each batch, on the loop thread with @lock held. For a library
 * that brings its own set of descriptors (libslirp). */
struct loop_hook {
	void (*prepare)(void *opaque, int *timeout_ms); /* may lower *timeout_ms; -1 is for ever */
	void (*check)(void *opaque);
	void *opaque;
	pthread_mutex_t *lock;
	struct loop_hook *next; /* the loop's */
};

int loop_new(struct loop **ret_loop, struct err *err);
void loop_free(struct loop *loop);

/*
 * As above, but the loop waits in an io_uring, for what it watches and for operations of its
 * owner's: one system call hands over what was prepared and waits for what comes next. @lock is
 * that of the one device which the loop is for. It covers the ring: watches and timers have it, and
 * are added and deleted with it held, or before loop_run(); loop_watch_set() is not to be had, and
 * watches are edge-triggered. -ENOSYS where the kernel is too old (before Linux 5.17).
 *
 * The owner's operations carry a pointer in user_data. They are prepared in a hook's prepare() and
 * nowhere else, for they belong to the thread that hands them over; other threads wake it. They are
 * reaped in its check(), or wherever else the owner waits for them. Hooks have the lock.
 */
int loop_new_ring(struct loop **ret_loop, pthread_mutex_t *lock, struct err *err);
/* NULL for a loop that waits in epoll. */
struct io_uring *loop_ring(struct loop *loop);
/* True when @cqe was the loop's and no pointer of the owner's; any thread. */
bool loop_ring_reaped(struct loop *loop, const struct io_uring_cqe *cqe);
/* Is this the loop's thread? The lock is held. */
bool loop_ring_here(const struct loop *loop);
/* As far as liburing's submit goes without a system call. Returns how many entries the kernel has
 * not taken. */
unsigned int loop_ring_flush(struct io_uring *ring);

/* Makes the loop go round once. Any thread. */
void loop_wake(struct loop *loop);
/* Writes to an eventfd, which stays open until the loop has stopped: with the loop's next wait
 * where that costs no system call, else at once. With the lock of the loop's device. */
void loop_signal(struct loop *loop, int eventfd);

/* Runs until loop_stop(). The calling thread is the loop thread. */
int loop_run(struct loop *loop, struct err *err);
/* Any thread. The running batch is finished first. */
void loop_stop(struct loop *loop);

/* Watches @fd for @events (EPOLL*). @lock may be NULL. The loop never closes @fd. */
int loop_watch_add(struct loop *loop, int fd, uint32_t events, pthread_mutex_t *lock, loop_fd_fn fn,
		   void *opaque, struct loop_watch **ret_watch, struct err *err);
int loop_watch_set(struct loop_watch *watch, uint32_t events);
void loop_watch_del(struct loop_watch *watch); /* NULL is fine */

/* A one-shot timer on CLOCK_MONOTONIC. loop_timer_set() (re)arms it, 0 disarms it; one system
 * call, any thread. */
int loop_timer_new(struct loop *loop, pthread_mutex_t *lock, loop_fn fn, void *opaque,
		   struct loop_timer **ret_timer, struct err *err);
void loop_timer_set(struct loop_timer *timer, uint64_t ns_from_now);
void loop_timer_del(struct loop_timer *timer);

/* Runs @fn on the loop thread after the current batch, with no lock held. Any thread. Work that
 * is still queued at loop_free() is run there. Returns 0 or -ENOMEM. */
int loop_post(struct loop *loop, loop_fn fn, void *opaque);

/* Runs what was posted and not run yet, for an owner that takes the loop down. NULL is fine. */
void loop_do_posted(struct loop *loop);

/* Loop thread or before loop_run(). The hook must stay until loop_hook_del(). */
void loop_hook_add(struct loop *loop, struct loop_hook *hook);
void loop_hook_del(struct loop *loop, struct loop_hook *hook);

#endif
