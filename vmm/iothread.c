// SPDX-License-Identifier: GPL-2.0-or-later
#include "iothread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "loop.h"

struct iothread {
	struct loop *loop;
	const struct log *log;
	pthread_t thread;
	bool started;
	char name[16]; /* the kernel's limit */
};

static void *iothread_main(void *opaque)
{
	struct iothread *t = opaque;
	const struct sched_param param = { 0 };
	struct err err = { 0 };

	/*
	 * Where the thread shares a processor with a vCPU, a doorbell does not end the vCPU's
	 * turn: what else the guest puts in its rings meanwhile is taken in the same round, and
	 * answered by one interrupt. Where a processor is free nothing changes.
	 */
	sched_setscheduler(0, SCHED_BATCH, &param);
	if (loop_run(t->loop, &err))
		log_line(t->log, LOG_ERROR, "%s: the thread ends: %s", t->name, err.msg);
	return NULL;
}

int iothread_new(struct iothread **ret_thread, pthread_mutex_t *lock, const struct log *log,
		 struct err *err)
{
	struct iothread *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return err_sys(err, -ENOMEM, "I/O thread");
	t->log = log;
	ret = loop_new_ring(&t->loop, lock, err);
	if (ret == -ENOSYS || ret == -EPERM) /* the disk says what that means */
		ret = loop_new(&t->loop, err);
	if (ret) {
		free(t);
		return ret;
	}
	*ret_thread = t;
	return 0;
}

int iothread_start(struct iothread *t, const char *id, struct err *err)
{
	sigset_t all, before;
	int ret;

	snprintf(t->name, sizeof(t->name), "io-%s", id);
	/* Signals are for the threads that were there before. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = -pthread_create(&t->thread, NULL, iothread_main, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret)
		return err_sys(err, ret, "I/O thread");
	t->started = true;
	pthread_setname_np(t->thread, t->name);
	return 0;
}

struct loop *iothread_loop(const struct iothread *thread)
{
	return thread->loop;
}

void iothread_free(struct iothread *thread)
{
	if (!thread)
		return;
	if (thread->started) {
		loop_stop(thread->loop);
		pthread_join(thread->thread, NULL);
	}
	loop_free(thread->loop);
	free(thread);
}
