/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rig's loop on a thread of its own, so that a test can play vCPU and peer; and a log that
 * counts. */
#ifndef VIADUCT_TESTS_LOOP_RIG_H
#define VIADUCT_TESTS_LOOP_RIG_H

#include "core_rig.h"

#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

struct loop_rig {
	struct vm *vm;
	pthread_t thread;
	bool running;
	struct log log;
	atomic_int lines; /* logged so far */
	char dir[64];
	char path[80]; /* for a socket or file, in dir */
};

static inline void loop_rig_sink(void *opaque, enum log_level level, const char *line)
{
	struct loop_rig *rig = opaque;

	(void)level;
	(void)line;
	atomic_fetch_add(&rig->lines, 1);
}

static inline void *loop_rig_main(void *opaque)
{
	loop_run(opaque, NULL);
	return NULL;
}

static inline struct loop_rig *loop_rig_new(void)
{
	struct loop_rig *rig = test_calloc(1, sizeof(*rig));

	rig->vm = rig_new(2 * MIB);
	rig->log = (struct log){ .sink = loop_rig_sink, .opaque = rig, .max = LOG_DEBUG };
	rig->vm->log = &rig->log;
	snprintf(rig->dir, sizeof(rig->dir), "/tmp/loop_rig.XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	snprintf(rig->path, sizeof(rig->path), "%s/s", rig->dir);
	return rig;
}

static inline void loop_rig_start(struct loop_rig *rig)
{
	assert_int_equal(pthread_create(&rig->thread, NULL, loop_rig_main, rig->vm->loop), 0);
	rig->running = true;
}

/* From here on the caller is the loop thread. */
static inline void loop_rig_stop(struct loop_rig *rig)
{
	if (!rig->running)
		return;
	loop_stop(rig->vm->loop);
	pthread_join(rig->thread, NULL);
	rig->running = false;
}

static inline void loop_rig_free(struct loop_rig *rig)
{
	loop_rig_stop(rig);
	rig_free(rig->vm);
	unlink(rig->path);
	rmdir(rig->dir);
	test_free(rig);
}

static inline int loop_rig_connect(const struct loop_rig *rig)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path, rig->path, strlen(rig->path));
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* Reads @len bytes within five seconds and compares. */
static inline void expect_bytes(int fd, const void *want, size_t len)
{
	char buf[256];
	size_t have = 0;

	assert_true(len <= sizeof(buf));
	while (have < len) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&pfd, 1, 5000) != 1)
			fail_msg("only %zu of %zu bytes came", have, len);
		n = read(fd, buf + have, len - have);
		if (n <= 0)
			fail_msg("the end after %zu of %zu bytes", have, len);
		have += (size_t)n;
	}
	assert_memory_equal(buf, want, len);
}

/* Waits up to five seconds for @cond, which may have side effects. */
#define WAIT_FOR(cond)                                                                             \
	do {                                                                                       \
		int tries_ = 5000;                                                                 \
                                                                                                   \
		while (!(cond)) {                                                                  \
			if (!tries_--)                                                             \
				fail_msg("waited in vain for %s", #cond);                          \
			usleep(1000);                                                              \
		}                                                                                  \
	} while (0)

#endif
