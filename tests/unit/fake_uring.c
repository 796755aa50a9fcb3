// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_uring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/uring_sys.h"

#define HELD_MAX 512u

struct plan {
	unsigned long count, at, every;
	int error;
};

static struct {
	pthread_mutex_t lock;
	struct plan enter, end;
	bool hold;
	struct io_uring *ring; /* that of what is held */
	struct io_uring_cqe held[HELD_MAX];
	unsigned int count;
} f = { .lock = PTHREAD_MUTEX_INITIALIZER };

void fake_uring_reset(void)
{
	pthread_mutex_lock(&f.lock);
	memset(&f.enter, 0, sizeof(f.enter));
	memset(&f.end, 0, sizeof(f.end));
	f.hold = false;
	f.count = 0;
	pthread_mutex_unlock(&f.lock);
}

static void plan_set(struct plan *p, unsigned long k, unsigned long every, int error)
{
	pthread_mutex_lock(&f.lock);
	*p = (struct plan){ .at = k, .every = every, .error = error };
	pthread_mutex_unlock(&f.lock);
}

void fake_uring_fail_enter(unsigned long k, unsigned long every, int error)
{
	plan_set(&f.enter, k, every, error);
}

void fake_uring_fail_end(unsigned long k, unsigned long every, int error)
{
	plan_set(&f.end, k, every, error);
}

static unsigned long plan_count(const struct plan *p)
{
	unsigned long n;

	pthread_mutex_lock(&f.lock);
	n = p->count;
	pthread_mutex_unlock(&f.lock);
	return n;
}

unsigned long fake_uring_enters(void)
{
	return plan_count(&f.enter);
}

unsigned long fake_uring_ends(void)
{
	return plan_count(&f.end);
}

/* Counts; what is to go wrong this time. */
static int plan_next_locked(struct plan *p)
{
	unsigned long n = ++p->count;

	if (!p->at || n < p->at || (n > p->at && (!p->every || (n - p->at) % p->every)))
		return 0;
	return p->error;
}

void fake_uring_hold(void)
{
	pthread_mutex_lock(&f.lock);
	f.hold = true;
	pthread_mutex_unlock(&f.lock);
}

unsigned int fake_uring_held(void)
{
	unsigned int n;

	pthread_mutex_lock(&f.lock);
	n = f.count;
	pthread_mutex_unlock(&f.lock);
	return n;
}

void fake_uring_release(pthread_mutex_t *lock)
{
	struct io_uring *ring;
	struct io_uring_sqe *sqe;

	pthread_mutex_lock(lock);
	pthread_mutex_lock(&f.lock);
	f.hold = false;
	ring = f.count ? f.ring : NULL;
	pthread_mutex_unlock(&f.lock);
	/* An end that is nobody's, so that somebody looks. */
	sqe = ring ? io_uring_get_sqe(ring) : NULL;
	if (sqe) {
		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data64(sqe, 0);
		io_uring_submit(ring);
	}
	pthread_mutex_unlock(lock);
}

int uring_sys_enter(struct io_uring *ring, unsigned int to_submit, unsigned int wait,
		    unsigned int ms)
{
	struct __kernel_timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000ll };
	struct io_uring_getevents_arg arg = { .ts = (uintptr_t)&ts };
	unsigned int flags = wait ? IORING_ENTER_GETEVENTS : 0, fd = (unsigned int)ring->ring_fd;
	int error;

	pthread_mutex_lock(&f.lock);
	error = plan_next_locked(&f.enter);
	pthread_mutex_unlock(&f.lock);
	if (error)
		return error;
	if (!ms)
		return io_uring_enter(fd, to_submit, wait, flags, NULL);
	return io_uring_enter2(fd, to_submit, wait, flags | IORING_ENTER_EXT_ARG, (sigset_t *)&arg,
			       sizeof(arg));
}

static bool disturb_locked(struct io_uring *ring, struct io_uring_cqe *cqe)
{
	int error;

	if (f.hold && f.count < HELD_MAX) {
		f.ring = ring;
		f.held[f.count++] = *cqe;
		return false;
	}
	error = plan_next_locked(&f.end);
	if (error == FAKE_URING_SHORT)
		cqe->res = cqe->res > 1 ? cqe->res / 2 - 1 + cqe->res % 2 : cqe->res;
	else if (error)
		cqe->res = error;
	return true;
}

/* The next one that the caller may see. */
static bool next_locked(struct io_uring *ring, struct io_uring_cqe *ret_cqe)
{
	struct io_uring_cqe *cqe;

	if (f.count && !f.hold && f.ring == ring) {
		*ret_cqe = f.held[--f.count];
		return true;
	}
	while (!io_uring_peek_cqe(ring, &cqe)) {
		*ret_cqe = *cqe;
		io_uring_cqe_seen(ring, cqe);
		if (!ret_cqe->user_data)
			continue;
		/* The loop's own carry a mark in the lowest bits. */
		if (ret_cqe->user_data & 3 || disturb_locked(ring, ret_cqe))
			return true;
	}
	return false;
}

bool uring_sys_reap(struct io_uring *ring, struct io_uring_cqe *ret_cqe)
{
	bool any;

	pthread_mutex_lock(&f.lock);
	any = next_locked(ring, ret_cqe);
	pthread_mutex_unlock(&f.lock);
	return any;
}

void uring_sys_cancel(struct io_uring *ring, int fd)
{
	struct io_uring_sync_cancel_reg reg = {
		.fd = fd,
		.flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL,
	};

	io_uring_register_sync_cancel(ring, &reg);
}
