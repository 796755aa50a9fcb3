// SPDX-License-Identifier: GPL-2.0-or-later
/* vfctl and a kernel that does not answer: a full FIFO stands for a write that blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "fake_sysfs.h"

#define UNBIND "sys/bus/pci/drivers/igb/unbind"

struct job {
	pid_t pid;
	int fifo;  /* held open and full */
	int opens; /* inotify: somebody has opened it */
};

static void below(const struct fake *f, char path[PATH_MAX], const char *name)
{
	snprintf(path, PATH_MAX, "%s/%s", f->base, name);
}

/* A FIFO in place of the driver's unbind, full, so that a write to it waits until it is emptied. */
static void block_unbind(struct fake *f, struct job *job)
{
	static const char block[4096];
	char path[PATH_MAX];

	below(f, path, UNBIND);
	fake_text(f, UNBIND, "");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	job->fifo = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_true(job->fifo >= 0);
	while (write(job->fifo, block, sizeof(block)) > 0)
		;
	job->opens = inotify_init1(IN_CLOEXEC);
	assert_true(inotify_add_watch(job->opens, path, IN_OPEN) >= 0);
}

/* vfctl unbind eth0, which is in its write to the driver's unbind when this returns, or about to:
 * signals wait for the end of that step already. */
static void start(struct fake *f, struct job *job, const char *timeout)
{
	char err[PATH_MAX], event[sizeof(struct inotify_event) + NAME_MAX + 1];

	block_unbind(f, job);
	below(f, err, "stderr");
	job->pid = fork();
	if (!job->pid) {
		if (freopen(err, "w", stderr))
			execl(VFCTL_PATH, "vfctl", "unbind", "eth0", "--timeout", timeout,
			      "--sysfs-root", f->sys, (char *)NULL);
		_exit(99);
	}
	assert_true(read(job->opens, event, sizeof(event)) > 0);
}

static int end(const struct job *job)
{
	int status;

	assert_int_equal(waitpid(job->pid, &status, 0), job->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Answers the write under way as a kernel that moves nothing. */
static void answer(struct job *job)
{
	char text[4096];

	while (read(job->fifo, text, sizeof(text)) > 0)
		;
	close(job->opens);
}

static void done(struct job *job)
{
	close(job->fifo);
}

static int lock_state(struct fake *f)
{
	char path[PATH_MAX];
	int fd, ret;

	below(f, path, "run/vfctl/0000:01:00.0.lock");
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = flock(fd, LOCK_EX | LOCK_NB) ? -errno : 0;
	close(fd);
	return ret;
}

/* Until the lock is free again. */
static void wait_unlocked(struct fake *f)
{
	const struct timespec nap = { .tv_nsec = 10000000 };

	while (lock_state(f) == -EWOULDBLOCK)
		nanosleep(&nap, NULL);
}

static void test_deadline(void **state)
{
	struct fake *f = *state;
	char *text, want[] = UNBIND ": the kernel has not answered this write for 1 s; it goes on in";
	struct job job;

	start(f, &job, "1");
	assert_int_equal(end(&job), 1);
	text = fake_read(f, "stderr");
	assert_non_null(strstr(text, want));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	free(text);
	/* Who waits in the write still holds the card, and lets it go when the kernel has answered. */
	assert_int_equal(lock_state(f), -EWOULDBLOCK);
	answer(&job);
	wait_unlocked(f);
	done(&job);
}

/* Whatever is asked for meanwhile, the write's own failure is what is told. */
static void test_signal(void **state)
{
	struct fake *f = *state;
	struct job job;

	start(f, &job, "100");
	kill(job.pid, SIGTERM);
	answer(&job);
	assert_int_equal(end(&job), 1);
	assert_int_equal(lock_state(f), 0);
	done(&job);
}

static void test_watcher_killed(void **state)
{
	struct fake *f = *state;
	struct job job;

	start(f, &job, "100");
	kill(job.pid, SIGKILL);
	assert_int_equal(end(&job), 128 + SIGKILL);
	assert_int_equal(lock_state(f), -EWOULDBLOCK);
	answer(&job);
	wait_unlocked(f);
	done(&job);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fake_lab_test(test_deadline),
		fake_lab_test(test_signal),
		fake_lab_test(test_watcher_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
