// SPDX-License-Identifier: GPL-2.0-or-later
/* vfctl and a kernel that does not answer: a FIFO without a reader stands for a write that blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "fake_sysfs.h"

#define UNBIND "sys/bus/pci/drivers/igb/unbind"

struct job {
	pid_t pid;
	char err[PATH_MAX];
};

static void below(const struct fake *f, char path[PATH_MAX], const char *name)
{
	snprintf(path, PATH_MAX, "%s/%s", f->base, name);
}

/* vfctl unbind eth0, whose write to the driver's unbind blocks until somebody reads it. */
static void start(struct fake *f, struct job *job, const char *timeout)
{
	char fifo[PATH_MAX];

	below(f, fifo, UNBIND);
	fake_text(f, UNBIND, "");
	assert_int_equal(unlink(fifo), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	below(f, job->err, "stderr");
	job->pid = fork();
	if (job->pid)
		return;
	if (!freopen(job->err, "w", stderr))
		_exit(99);
	execl(VFCTL_PATH, "vfctl", "unbind", "eth0", "--timeout", timeout, "--sysfs-root", f->sys,
	      (char *)NULL);
	_exit(99);
}

static int end(const struct job *job)
{
	int status;

	assert_int_equal(waitpid(job->pid, &status, 0), job->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Answers the write under way, which fails as a kernel's may: the FIFO takes it and moves nothing. */
static void answer(struct fake *f)
{
	char fifo[PATH_MAX], text[64];
	int fd;

	below(f, fifo, UNBIND);
	fd = open(fifo, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), 12);
	close(fd);
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
	answer(f);
	wait_unlocked(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fake_lab_test(test_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
