// SPDX-License-Identifier: GPL-2.0-or-later
#include "iothread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "loop.h"

struct iothread {
	struct loop *loop;
	const struct log *log;
	pthread_t thread;
	char name[16]; /* the kernel's limit */
};

static void *iothread_main(void *opaque)
{
	struct iothread *t = opaque;
	struct err err = { 0 };

	if (loop_run(t->loop, &err))
		log_line(t->log, LOG_ERROR, "%s: the thread ends: %s", t->name, err.msg);
	return NULL;
}

int iothread_new(struct iothread **ret_thread, const char *id, const struct log *log,
		 struct err *err)
{
	struct iothread *t = calloc(1, sizeof(*t));
	sigset_t all, before;
	int ret;

	if (!t)
		return err_sys(err, -ENOMEM, "I/O thread");
	t->log = log;
	snprintf(t->name, sizeof(t->name), "io-%s", id);
	ret = loop_new(&t->loop, err);
	if (ret) {
		free(t);
		return ret;
	}
	/* Signals are for the threads that were there before. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = -pthread_create(&t->thread, NULL, iothread_main, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret) {
		loop_free(t->loop);
		free(t);
		return err_sys(err, ret, "I/O thread");
	}
	pthread_setname_np(t->thread, t->name);
	*ret_thread = t;
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
	loop_stop(thread->loop);
	pthread_join(thread->thread, NULL);
	loop_free(thread->loop);
	free(thread);
}
