// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A disk's requests on their way through io_uring.
 *
 *	disk_queue() -> queued -> SQ -> the kernel -> CQ -> done()
 *	                  ^                           |
 *	                  |    timer, RETRY_NS        v
 *	                  +---------- parked <---- failed, and it is to wait
 *
 * One io_uring_enter() takes everything that is queued, and what the page cache has is complete
 *when it returns, so a burst of the guest's requests costs one system call and one interrupt. The
 *ring's own descriptor tells the loop of the rest, edge-triggered: nothing is read from it.
 *
 * An operation that did less than it was asked is queued again for what is left (F37). When the
 * kernel says that the file's system cannot do one (a hole, a range of zeroes), the next way to the
 * same end is tried, and this file goes there directly from then on.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>

#include "base/err.h"
#include "base/util.h"
#include "disk_priv.h"
#include "iothread.h"
#include "iov.h"
#include "loop.h"
#include "uring_sys.h"

#define RING_DEPTH 256u
#define DISK_ZEROES (1u << 20)
#define TRIES_MAX 16u /* of what the kernel says it should be tried again at once */
#define RETRY_NS 1000000000ull
#define RETRY_SUBMIT_NS 10000000ull

enum { ZERO_PUNCH, ZERO_RANGE, ZERO_WRITE };

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void list_init(struct disk_list *list)
{
	list->head = NULL;
	list->tail = &list->head;
}

static void list_add(struct disk_list *list, struct disk_req *req)
{
	req->next = NULL;
	*list->tail = req;
	list->tail = &req->next;
}

static struct disk_req *list_take(struct disk_list *list)
{
	struct disk_req *req = list->head;

	if (!req)
		return NULL;
	list->head = req->next;
	if (!list->head)
		list->tail = &list->head;
	return req;
}

/* To the kernel. */

/* O_DIRECT wants offset, lengths and addresses aligned; a guest's need not be. The page cache takes
 * those, and the kernel keeps the two in step. */
static int fd_for(const struct disk *d, const struct disk_req *req)
{
	unsigned int i;

	if (d->cached_fd < 0)
		return d->fd;
	if ((req->offset + req->moved) % d->offset_align)
		return d->cached_fd;
	for (i = 0; i < req->iov_count; i++)
		if ((uintptr_t)req->iov[i].iov_base % d->mem_align ||
		    req->iov[i].iov_len % d->offset_align)
			return d->cached_fd;
	return d->fd;
}

static void prep_rw(struct disk *d, struct disk_req *req, struct io_uring_sqe *sqe)
{
	uint64_t at = req->offset + req->moved;
	int fd = fd_for(d, req);

	if (req->op == DISK_READ)
		io_uring_prep_readv(sqe, fd, req->iov, req->iov_count, at);
	else
		io_uring_prep_writev2(sqe, fd, req->iov, req->iov_count, at,
				      req->fua ? RWF_DSYNC : 0);
}

static void prep_zero(struct disk *d, struct disk_req *req, struct io_uring_sqe *sqe)
{
	uint64_t at = req->offset + req->moved, left = req->len - req->moved;

	if (req->way == ZERO_WRITE)
		io_uring_prep_write(sqe, d->cached_fd >= 0 ? d->cached_fd : d->fd, d->zeroes,
				    (unsigned int)(left < DISK_ZEROES ? left : DISK_ZEROES), at);
	else
		io_uring_prep_fallocate(sqe, d->fd,
					FALLOC_FL_KEEP_SIZE |
						(req->way == ZERO_PUNCH ? FALLOC_FL_PUNCH_HOLE
									: FALLOC_FL_ZERO_RANGE),
					(off_t)at, (off_t)left);
}

static void prep(struct disk *d, struct disk_req *req, struct io_uring_sqe *sqe)
{
	switch (req->op) {
	case DISK_READ:
	case DISK_WRITE:
		prep_rw(d, req, sqe);
		break;
	case DISK_FLUSH:
		io_uring_prep_fsync(sqe, d->fd, IORING_FSYNC_DATASYNC);
		break;
	case DISK_DISCARD:
	case DISK_ZERO:
		prep_zero(d, req, sqe);
		break;
	}
	io_uring_sqe_set_data(sqe, req);
}

/* Puts the queue into the ring, as far as that has room. */
static void prep_all(struct disk *d)
{
	struct io_uring_sqe *sqe;

	while (d->queued.head && d->in_kernel < RING_DEPTH) {
		sqe = io_uring_get_sqe(d->ring);
		if (!sqe)
			break;
		prep(d, list_take(&d->queued), sqe);
		d->in_kernel++;
	}
}

/* Hands the queue over. True when the kernel took something. */
static bool push(struct disk *d)
{
	unsigned int ready;

	prep_all(d);
	ready = loop_ring_flush(d->ring);
	if (!ready)
		return false;
	if (uring_sys_enter(d->ring, ready, 0, 0) > 0)
		return true;
	/* What was not taken stays in the ring. Something under way may make room; else try again.
	 */
	loop_timer_set(d->retry, RETRY_SUBMIT_NS);
	return false;
}

/* From the kernel. */

static bool waits(const struct disk *d, int result)
{
	if (d->draining)
		return false;
	switch (d->on_error) {
	case DISK_STOP:
		return true;
	case DISK_WAIT_FOR_ROOM:
		return result == -ENOSPC || result == -EDQUOT;
	case DISK_REPORT:
		break;
	}
	return false;
}

static const char *op_name(enum disk_op op)
{
	static const char *const names[] = { "read", "write", "flush", "discard", "zeroes" };

	return names[op];
}

static void finish(struct disk *d, struct disk_req *req, int result)
{
	d->reaped = true;
	if (!result && d->waited && !d->parked.head) {
		d->waited = false;
		log_line(d->user->log, LOG_WARN, "%s: %s: goes on", d->user->id, d->config->path);
	}
	req->done(req, result);
}

static void failed(struct disk *d, struct disk_req *req, int result)
{
	bool wait = waits(d, result);

	if (!d->draining)
		log_limited(d->user->log, &d->limit, LOG_WARN,
			    "%s: %s: %s of %llu bytes at %llu: %s%s", d->user->id, d->config->path,
			    op_name(req->op), (unsigned long long)req->len,
			    (unsigned long long)req->offset, strerror(-result),
			    wait ? "; it waits, and is tried again every second" : "");
	if (!wait) {
		finish(d, req, result);
		return;
	}
	if (!d->parked.head)
		loop_timer_set(d->retry, RETRY_NS);
	d->waited = true;
	list_add(&d->parked, req);
}

static void again(struct disk *d, struct disk_req *req)
{
	if (d->draining)
		failed(d, req, -EIO);
	else
		list_add(&d->queued, req);
}

/* The next way to the same end. False: there is none. */
static bool other_way(struct disk *d, struct disk_req *req, int result)
{
	if ((result != -EOPNOTSUPP && result != -EINVAL && result != -ENOSYS) ||
	    req->op != DISK_ZERO || req->way == ZERO_WRITE)
		return false;
	if (result != -EINVAL && d->zero_way <= req->way && (req->unmap || req->way == ZERO_RANGE))
		d->zero_way = req->way + 1;
	req->way++;
	if (req->way == ZERO_WRITE && !d->zeroes) {
		/* Pages of zeroes that the kernel shares: memory only in name. */
		void *p = mmap(NULL, DISK_ZEROES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return false;
		d->zeroes = p;
	}
	return true;
}

/* Data went through: is the request complete? */
static void moved(struct disk *d, struct disk_req *req, uint64_t bytes)
{
	/* The file ends before: someone cut it. */
	if (!bytes) {
		failed(d, req, -EIO);
		return;
	}
	req->moved += bytes;
	req->tries = 0;
	if (req->moved >= req->len) {
		finish(d, req, 0);
		return;
	}
	if (req->op == DISK_READ || req->op == DISK_WRITE)
		req->iov_count = iov_skip(&req->iov, req->iov_count, bytes);
	again(d, req);
}

static void complete(struct disk *d, struct disk_req *req, int result)
{
	bool by_bytes = req->op == DISK_READ || req->op == DISK_WRITE ||
			(req->op == DISK_ZERO && req->way == ZERO_WRITE);

	bool passes = result == -EINTR || result == -EAGAIN || result == -ECANCELED;

	if (passes && ++req->tries < TRIES_MAX)
		again(d, req);
	else if (result >= 0 && by_bytes)
		moved(d, req, (uint64_t)result);
	else if (result >= 0)
		finish(d, req, 0);
	else if (other_way(d, req, result))
		again(d, req);
	else if (req->op == DISK_DISCARD && (result == -EOPNOTSUPP || result == -EINVAL))
		finish(d, req, 0); /* it was advice */
	else
		failed(d, req, result);
}

/* True when something was complete. */
static bool reap(struct disk *d)
{
	struct io_uring_cqe cqe;
	bool any = false;

	while (uring_sys_reap(d->ring, &cqe)) {
		if (d->ring != &d->own && loop_ring_reaped(d->loop, &cqe))
			continue;
		d->in_kernel--;
		any = true;
		complete(d, io_uring_cqe_get_data(&cqe), cqe.res);
	}
	return any;
}

static void burst_end(struct disk *d)
{
	if (!d->reaped)
		return;
	d->reaped = false;
	d->user->burst_end(d->user->opaque);
}

/* What a drain did not see the end of has ended. */
static void late_end(struct disk *d)
{
	if (!d->late || d->in_kernel)
		return;
	d->late = d->draining = false;
	d->user->drained(d->user->opaque);
}

/* What done() queues goes with the next round of the same call. */
void disk_submit(struct disk *d)
{
	bool pushed, reaped;

	if (d->ring != &d->own) {
		/* The thread takes it along as it begins to wait. */
		if (!loop_ring_here(d->loop))
			loop_wake(d->loop);
		return;
	}
	if (d->busy)
		return;
	d->busy = true;
	do {
		pushed = push(d);
		reaped = reap(d);
	} while (d->queued.head && (pushed || reaped));
	burst_end(d);
	d->busy = false;
	late_end(d);
}

void disk_queue(struct disk *d, struct disk_req *req)
{
	req->moved = 0;
	req->tries = 0;
	req->way = req->op == DISK_ZERO && !req->unmap ? ZERO_RANGE : ZERO_PUNCH;
	if (req->op == DISK_ZERO && req->way < d->zero_way)
		req->way = d->zero_way;
	list_add(&d->queued, req);
}

static void thread_prepare(void *opaque, int *timeout_ms)
{
	(void)timeout_ms;
	prep_all(opaque);
}

static void thread_check(void *opaque)
{
	reap(opaque);
	burst_end(opaque);
	late_end(opaque);
}

static void ring_ready(void *opaque, uint32_t events)
{
	(void)events;
	disk_submit(opaque);
}

static void retry(void *opaque)
{
	struct disk *d = opaque;
	struct disk_req *req;

	while ((req = list_take(&d->parked)))
		list_add(&d->queued, req);
	disk_submit(d);
}

/* Of a thread's ring only that thread hands over, and it has done so, or is about to. */
static void wait_some(struct disk *d, uint64_t ms)
{
	bool hand_over = d->ring == &d->own || loop_ring_here(d->loop);

	uring_sys_enter(d->ring, hand_over ? loop_ring_flush(d->ring) : 0, 1, (unsigned int)ms);
}

/* Whom half of the time was not enough, the kernel is asked to end. */
static void wait_for_all(struct disk *d, unsigned int ms)
{
	uint64_t end = now_ms() + ms, middle = end - ms / 2, now;
	bool asked = false;

	while (d->in_kernel && (now = now_ms()) < end) {
		if (now >= middle && !asked) {
			asked = true;
			uring_sys_cancel(d->ring, d->fd);
			if (d->cached_fd >= 0)
				uring_sys_cancel(d->ring, d->cached_fd);
		}
		if (!reap(d))
			wait_some(d, (asked ? end : middle) - now);
	}
}

bool disk_drain(struct disk *d, unsigned int ms)
{
	struct disk_req *req;

	d->draining = true;
	while ((req = list_take(&d->parked)) || (req = list_take(&d->queued)))
		failed(d, req, -EIO);
	reap(d);
	wait_for_all(d, ms);
	loop_timer_set(d->retry, 0);
	d->waited = false;
	burst_end(d);
	d->late = d->in_kernel > 0;
	d->draining = d->late;
	return !d->late;
}

/* Life. */

static int own_ring(struct disk *d, struct err *err)
{
	int ret;

	/* Without COOP_TASKRUN (Linux 5.19) completions interrupt the thread; all the same
	 * otherwise. */
	ret = io_uring_queue_init(RING_DEPTH, &d->own,
				  IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL);
	if (ret == -EINVAL)
		ret = io_uring_queue_init(RING_DEPTH, &d->own, 0);
	if (ret == -EPERM || ret == -ENOSYS)
		return err_set(err, ret,
			       "io_uring, which disks need, is not to be had (%s): see sysctl "
			       "kernel.io_uring_disabled, or the container's seccomp profile",
			       strerror(-ret));
	if (ret)
		return err_sys(err, ret, "io_uring");
	d->own_up = true;
	d->ring = &d->own;
	io_uring_ring_dontfork(&d->own);
	return loop_watch_add(d->loop, d->own.ring_fd, EPOLLIN | EPOLLET, d->user->lock, ring_ready,
			      d, &d->watch, err);
}

int disk_io_init(struct disk *d, struct err *err)
{
	int ret = 0;

	list_init(&d->queued);
	list_init(&d->parked);
	d->ring = loop_ring(d->loop);
	if (d->ring) {
		d->hook = (struct loop_hook){ .prepare = thread_prepare,
					      .check = thread_check,
					      .opaque = d,
					      .lock = d->user->lock };
		loop_hook_add(d->loop, &d->hook);
	} else {
		ret = own_ring(d, err);
	}
	if (ret)
		return ret;
	return loop_timer_new(d->loop, d->user->lock, retry, d, &d->retry, err);
}

void disk_io_done(struct disk *d)
{
	pthread_mutex_lock(d->user->lock);
	loop_watch_del(d->watch);
	loop_timer_del(d->retry);
	pthread_mutex_unlock(d->user->lock);
	iothread_free(d->thread);
	if (d->own_up)
		io_uring_queue_exit(&d->own);
	if (d->zeroes)
		munmap(d->zeroes, DISK_ZEROES);
}
