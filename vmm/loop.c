// SPDX-License-Identifier: GPL-2.0-or-later
#include "loop_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"

#define LOOP_BATCH 32

struct loop_timer {
	struct loop_watch *watch;
	int fd;
	loop_fn fn;
	void *opaque;
};

struct loop_work {
	loop_fn fn;
	void *opaque;
	struct loop_work *next;
};

int loop_new(struct loop **ret_loop, struct err *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event ev = { .events = EPOLLIN };

	if (!loop)
		return err_sys(err, -ENOMEM, "event loop");
	pthread_mutex_init(&loop->lock, NULL);
	loop->work_tail = &loop->work;
	loop->wake_fd = io_eventfd_new();
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->wake_fd < 0 || loop->epoll_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &ev) < 0) {
		int ret = err_sys(err, -errno, "event loop");

		loop_free(loop);
		return ret;
	}
	*ret_loop = loop;
	return 0;
}

static void loop_bury(struct loop *loop)
{
	struct loop_watch *watch, *next;

	pthread_mutex_lock(&loop->lock);
	watch = loop->grave;
	loop->grave = NULL;
	pthread_mutex_unlock(&loop->lock);
	for (; watch; watch = next) {
		next = watch->next;
		free(watch);
	}
}

void loop_do_posted(struct loop *loop)
{
	while (loop) {
		struct loop_work *work;

		pthread_mutex_lock(&loop->lock);
		work = loop->work;
		if (work) {
			loop->work = work->next;
			if (!loop->work)
				loop->work_tail = &loop->work;
		}
		pthread_mutex_unlock(&loop->lock);
		if (!work)
			return;
		work->fn(work->opaque);
		free(work);
	}
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	loop_do_posted(loop);
	loop_bury(loop);
	loop_ring_free(loop);
	fd_close(&loop->epoll_fd);
	fd_close(&loop->wake_fd);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

static int loop_prepare(struct loop *loop)
{
	struct loop_hook *hook, *next;
	int timeout_ms = -1;

	for (hook = loop->hooks; hook; hook = next) {
		next = hook->next;
		if (!hook->prepare)
			continue;
		if (hook->lock)
			pthread_mutex_lock(hook->lock);
		hook->prepare(hook->opaque, &timeout_ms);
		if (hook->lock)
			pthread_mutex_unlock(hook->lock);
	}
	return timeout_ms;
}

static void loop_check(struct loop *loop)
{
	struct loop_hook *hook, *next;

	for (hook = loop->hooks; hook; hook = next) {
		next = hook->next;
		if (!hook->check)
			continue;
		if (hook->lock)
			pthread_mutex_lock(hook->lock);
		hook->check(hook->opaque);
		if (hook->lock)
			pthread_mutex_unlock(hook->lock);
	}
}

static void loop_dispatch(struct loop_watch *watch, uint32_t events)
{
	if (watch->lock)
		pthread_mutex_lock(watch->lock);
	if (!atomic_load(&watch->dead))
		watch->fn(watch->opaque, events);
	if (watch->lock)
		pthread_mutex_unlock(watch->lock);
}

int loop_run(struct loop *loop, struct err *err)
{
	struct epoll_event events[LOOP_BATCH];

	if (loop->ring)
		return loop_ring_run(loop, err);
	while (!atomic_load(&loop->stop)) {
		int timeout_ms = loop_prepare(loop);
		int i, n = epoll_wait(loop->epoll_fd, events, LOOP_BATCH, timeout_ms);

		if (n < 0 && errno != EINTR)
			return err_sys(err, -errno, "event loop: epoll_wait");
		for (i = 0; i < n; i++) {
			if (events[i].data.ptr)
				loop_dispatch(events[i].data.ptr, events[i].events);
			else
				io_eventfd_drain(loop->wake_fd);
		}
		loop_check(loop);
		loop_do_posted(loop);
		loop_bury(loop);
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stop, true);
	io_eventfd_signal(loop->wake_fd);
}

int loop_watch_add(struct loop *loop, int fd, uint32_t events, pthread_mutex_t *lock, loop_fd_fn fn,
		   void *opaque, struct loop_watch **ret_watch, struct err *err)
{
	struct loop_watch *watch = calloc(1, sizeof(*watch));
	struct epoll_event ev = { .events = events, .data.ptr = watch };

	if (!watch)
		return err_sys(err, -ENOMEM, "event loop");
	watch->loop = loop;
	watch->fd = fd;
	watch->lock = lock;
	watch->fn = fn;
	watch->opaque = opaque;
	watch->events = events;
	if (loop->ring) {
		loop_ring_watch(watch);
		*ret_watch = watch;
		return 0;
	}
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int ret = err_sys(err, -errno, "event loop: watch of descriptor %d", fd);

		free(watch);
		return ret;
	}
	*ret_watch = watch;
	return 0;
}

int loop_watch_set(struct loop_watch *watch, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = watch };

	if (watch->loop->ring)
		return -EOPNOTSUPP;
	return epoll_ctl(watch->loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &ev) < 0 ? -errno : 0;
}

void loop_watch_del(struct loop_watch *watch)
{
	struct loop *loop;

	if (!watch)
		return;
	loop = watch->loop;
	if (loop->ring) {
		loop_ring_unwatch(watch);
		return;
	}
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	atomic_store(&watch->dead, true);
	pthread_mutex_lock(&loop->lock);
	watch->next = loop->grave;
	loop->grave = watch;
	pthread_mutex_unlock(&loop->lock);
}

static void loop_timer_fire(void *opaque, uint32_t events)
{
	struct loop_timer *timer = opaque;

	(void)events;
	/* Nothing to read: the timer was set again or disarmed after this batch was collected. */
	if (io_eventfd_drain(timer->fd))
		timer->fn(timer->opaque);
}

int loop_timer_new(struct loop *loop, pthread_mutex_t *lock, loop_fn fn, void *opaque,
		   struct loop_timer **ret_timer, struct err *err)
{
	struct loop_timer *timer = calloc(1, sizeof(*timer));
	int ret;

	if (!timer)
		return err_sys(err, -ENOMEM, "timer");
	timer->fn = fn;
	timer->opaque = opaque;
	timer->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (timer->fd < 0) {
		ret = err_sys(err, -errno, "timer");
		free(timer);
		return ret;
	}
	ret = loop_watch_add(loop, timer->fd, EPOLLIN, lock, loop_timer_fire, timer, &timer->watch,
			     err);
	if (ret) {
		close(timer->fd);
		free(timer);
		return ret;
	}
	*ret_timer = timer;
	return 0;
}

void loop_timer_set(struct loop_timer *timer, uint64_t ns_from_now)
{
	struct itimerspec its = {
		.it_value.tv_sec = (time_t)(ns_from_now / 1000000000u),
		.it_value.tv_nsec = (long)(ns_from_now % 1000000000u),
	};

	timerfd_settime(timer->fd, 0, &its, NULL);
}

void loop_timer_del(struct loop_timer *timer)
{
	if (!timer)
		return;
	loop_watch_del(timer->watch);
	close(timer->fd);
	free(timer);
}

void loop_wake(struct loop *loop)
{
	io_eventfd_signal(loop->wake_fd);
}

int loop_post(struct loop *loop, loop_fn fn, void *opaque)
{
	struct loop_work *work = calloc(1, sizeof(*work));

	if (!work)
		return -ENOMEM;
	work->fn = fn;
	work->opaque = opaque;
	pthread_mutex_lock(&loop->lock);
	*loop->work_tail = work;
	loop->work_tail = &work->next;
	pthread_mutex_unlock(&loop->lock);
	io_eventfd_signal(loop->wake_fd);
	return 0;
}

void loop_hook_add(struct loop *loop, struct loop_hook *hook)
{
	hook->next = loop->hooks;
	loop->hooks = hook;
}

void loop_hook_del(struct loop *loop, struct loop_hook *hook)
{
	struct loop_hook **p;

	for (p = &loop->hooks; *p; p = &(*p)->next) {
		if (*p == hook) {
			*p = hook->next;
			return;
		}
	}
}
