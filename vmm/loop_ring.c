// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A loop that waits in an io_uring, in which one device has its operations too.
 *
 *	prepare hooks -> SQ -> one io_uring_enter(): hand over, wait -> check hooks reap -> watches
 *
 * What is watched is polled by the ring itself (multishot), so a doorbell costs nothing beside that
 * call; an interrupt is a write that goes along with the next one and leaves no completion. So a
 * request alone costs two calls: one that its doorbell ends, and one that its own end ends.
 *
 * The device's lock covers the ring, but not the wait: other threads may reap under it while this
 * one waits in the kernel. What they find of the loop's own stays pending, and the loop is woken.
 * They prepare nothing, because the kernel does the work of an operation in the thread that handed
 *it over, and a vCPU would leave the guest for it.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "loop_priv.h"
#include "uring_sys.h"

#define RING_ENTRIES 512u
#define NAP_MS 10

/* user_data: the owner's are pointers, so their lowest bits are 0. */
#define TAG_MASK 3ull
#define TAG_WATCH 1ull	/* and the watch's address; 0: nobody's */
#define TAG_SIGNAL 2ull /* and the descriptor, shifted by 2 */

struct loop_ring {
	struct io_uring ring;
	pthread_mutex_t *lock; /* of everything here */
	struct loop_watch *watches;
	struct loop_watch *wake;
	bool changed; /* a watch is to be armed, cancelled or freed */
	bool pending; /* one has events that it was not told */
	bool trouble; /* the kernel refused something: not again at once */
	bool refused; /* so did the last wait; the thread's own */
	bool running;
	pthread_t thread; /* while it runs */
};

static const uint64_t one = 1;

static void woken(void *opaque, uint32_t events)
{
	(void)opaque;
	(void)events;
}

static int ring_init(struct loop_ring *r)
{
	int ret = io_uring_queue_init(RING_ENTRIES, &r->ring,
				      IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL);

	if (ret)
		return ret == -EINVAL ? -ENOSYS : ret;
	if (r->ring.features & IORING_FEAT_CQE_SKIP && r->ring.features & IORING_FEAT_NODROP) {
		io_uring_ring_dontfork(&r->ring);
		return 0;
	}
	io_uring_queue_exit(&r->ring);
	return -ENOSYS;
}

int loop_new_ring(struct loop **ret_loop, pthread_mutex_t *lock, struct err *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	struct loop_ring *r = calloc(1, sizeof(*r));
	int ret = -ENOMEM;

	if (loop && r)
		ret = ring_init(r);
	if (ret) {
		free(loop);
		free(r);
		return err_sys(err, ret, "event loop by io_uring");
	}
	r->lock = lock;
	pthread_mutex_init(&loop->lock, NULL);
	loop->work_tail = &loop->work;
	loop->epoll_fd = -1;
	loop->ring = r;
	loop->wake_fd = io_eventfd_new();
	ret = loop->wake_fd < 0 ? err_sys(err, loop->wake_fd, "event loop") : 0;
	if (!ret)
		ret = loop_watch_add(loop, loop->wake_fd, POLLIN, lock, woken, loop, &r->wake, err);
	if (ret) {
		loop_free(loop);
		return ret;
	}
	*ret_loop = loop;
	return 0;
}

void loop_ring_free(struct loop *loop)
{
	struct loop_ring *r = loop->ring;
	struct loop_watch *watch;

	if (!r)
		return;
	io_uring_queue_exit(&r->ring);
	while ((watch = r->watches)) {
		r->watches = watch->next;
		free(watch);
	}
	free(r);
}

struct io_uring *loop_ring(struct loop *loop)
{
	return loop->ring ? &loop->ring->ring : NULL;
}

bool loop_ring_here(const struct loop *loop)
{
	const struct loop_ring *r = loop->ring;

	return r->running && pthread_equal(r->thread, pthread_self());
}

/* Watches. */

void loop_ring_watch(struct loop_watch *watch)
{
	struct loop_ring *r = watch->loop->ring;

	watch->next = r->watches;
	r->watches = watch;
	r->changed = true;
	if (r->running && !loop_ring_here(watch->loop))
		loop_wake(watch->loop);
}

void loop_ring_unwatch(struct loop_watch *watch)
{
	struct loop_ring *r = watch->loop->ring;

	atomic_store(&watch->dead, true);
	r->changed = true;
	if (r->running && !loop_ring_here(watch->loop))
		loop_wake(watch->loop);
}

/* Tells the kernel what it is to watch, and not any more. False: the ring is full. */
static bool arm(struct loop_ring *r, struct loop_watch *watch)
{
	struct io_uring_sqe *sqe;

	if (watch->dead ? watch->cancelled : watch->armed)
		return true;
	sqe = io_uring_get_sqe(&r->ring);
	if (!sqe)
		return false;
	if (watch->dead) {
		io_uring_prep_poll_remove(sqe, (uintptr_t)watch | TAG_WATCH);
		io_uring_sqe_set_data64(sqe, TAG_WATCH);
		watch->cancelled = true;
	} else {
		io_uring_prep_poll_multishot(sqe, watch->fd, watch->events & (POLLIN | POLLOUT));
		io_uring_sqe_set_data64(sqe, (uintptr_t)watch | TAG_WATCH);
		watch->armed = true;
	}
	return true;
}

static void arm_all(struct loop_ring *r)
{
	struct loop_watch **p = &r->watches, *watch;

	if (!r->changed)
		return;
	r->changed = false;
	while ((watch = *p)) {
		if (watch->dead && !watch->armed) {
			*p = watch->next;
			free(watch);
			continue;
		}
		r->changed |= !arm(r, watch);
		p = &watch->next;
	}
}

bool loop_ring_reaped(struct loop *loop, const struct io_uring_cqe *cqe)
{
	struct loop_ring *r = loop->ring;
	uint64_t data = cqe->user_data;
	struct loop_watch *watch;

	if (!(data & TAG_MASK))
		return false;
	if ((data & TAG_MASK) == TAG_SIGNAL) {
		io_eventfd_signal((int)(data >> 2)); /* it failed: then without the ring */
		return true;
	}
	watch = (struct loop_watch *)(uintptr_t)(data & ~TAG_MASK);
	if (!watch)
		return true;
	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		watch->armed = false;
		r->changed = true;
	}
	if (cqe->res >= 0) {
		watch->pending |= (uint32_t)cqe->res;
		r->pending = true;
	} else if (!watch->dead) {
		r->trouble = true;
	}
	if (!loop_ring_here(loop))
		loop_wake(loop);
	return true;
}

static void tell_all(struct loop_ring *r)
{
	struct loop_watch *watch;

	/* A callback may reap, and add. */
	while (r->pending) {
		r->pending = false;
		for (watch = r->watches; watch; watch = watch->next) {
			uint32_t events = watch->pending;

			watch->pending = 0;
			if (events && !watch->dead)
				watch->fn(watch->opaque, events);
		}
	}
}

/* The wait. */

unsigned int loop_ring_flush(struct io_uring *ring)
{
	struct io_uring_sq *sq = &ring->sq;
	unsigned int tail = *sq->ktail, mask = *sq->kring_mask;

	while (sq->sqe_head != sq->sqe_tail)
		sq->array[tail++ & mask] = sq->sqe_head++ & mask;
	io_uring_smp_store_release(sq->ktail, tail);
	return tail - io_uring_smp_load_acquire(sq->khead);
}

static void prepare(struct loop *loop)
{
	struct loop_hook *hook;
	int timeout_ms = -1; /* which such a loop does not have */

	for (hook = loop->hooks; hook; hook = hook->next)
		if (hook->prepare)
			hook->prepare(hook->opaque, &timeout_ms);
}

static void check(struct loop *loop)
{
	struct loop_hook *hook;

	for (hook = loop->hooks; hook; hook = hook->next)
		if (hook->check)
			hook->check(hook->opaque);
}

/* One round, all of it under the lock, so that another thread which waits for the end of what a
 * callback began need not fear that it is not under way. Returns how much
 * the kernel is to be given. */
static unsigned int go_round(struct loop *loop, bool *ret_wait)
{
	struct loop_ring *r = loop->ring;
	unsigned int ready;
	bool nap;

	pthread_mutex_lock(r->lock);
	check(loop);
	tell_all(r);
	prepare(loop);
	arm_all(r);
	ready = loop_ring_flush(&r->ring);
	*ret_wait = !r->pending;
	nap = r->trouble || r->refused;
	r->trouble = false;
	pthread_mutex_unlock(r->lock);
	if (nap)
		poll(NULL, 0, NAP_MS);
	return ready;
}

static void set_running(struct loop_ring *r, bool running)
{
	pthread_mutex_lock(r->lock);
	r->thread = pthread_self();
	r->running = running;
	pthread_mutex_unlock(r->lock);
}

static bool passes(int error)
{
	return error == -EAGAIN || error == -EBUSY || error == -ENOMEM;
}

int loop_ring_run(struct loop *loop, struct err *err)
{
	struct loop_ring *r = loop->ring;
	int ret = 0;

	set_running(r, true);
	while (!atomic_load(&loop->stop)) {
		bool wait = false;
		unsigned int ready = go_round(loop, &wait);

		ret = uring_sys_enter(&r->ring, ready, wait, 0);
		if (ret < 0 && ret != -EINTR && !passes(ret))
			break;
		r->refused = passes(ret);
		ret = 0;
		loop_do_posted(loop);
	}
	set_running(r, false);
	return ret ? err_sys(err, ret, "event loop: io_uring_enter") : 0;
}

void loop_signal(struct loop *loop, int eventfd)
{
	struct loop_ring *r = loop->ring;
	struct io_uring_sqe *sqe = NULL;

	if (r && loop_ring_here(loop))
		sqe = io_uring_get_sqe(&r->ring);
	if (!sqe) {
		io_eventfd_signal(eventfd);
		return;
	}
	io_uring_prep_write(sqe, eventfd, &one, sizeof(one), 0);
	io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
	io_uring_sqe_set_data64(sqe, (uint64_t)eventfd << 2 | TAG_SIGNAL);
}
