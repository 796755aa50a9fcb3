// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "chardev_int.h"

struct chardev_kind {
	const char *name;
	bool path;
	int (*open)(struct chardev *ch, struct err *err);
};

static int chardev_open_none(struct chardev *ch, struct err *err)
{
	(void)ch;
	(void)err;
	return 0;
}

/*
 * O_NONBLOCK belongs to the open file, which a shell and its other jobs share with us; so the
 * terminal or pipe is opened anew. Where that is not allowed (a terminal of another user), writes
 * are small and follow a poll().
 */
static void chardev_stdout(struct chardev *ch)
{
	struct stat st;
	int fd;

	ch->out_fd = STDOUT_FILENO;
	if (fstat(STDOUT_FILENO, &st) < 0) {
		ch->out_fd = -1;
		return;
	}
	if (S_ISSOCK(st.st_mode)) {
		ch->out_kind = CHARDEV_OUT_SOCKET;
		return;
	}
	if (S_ISREG(st.st_mode))
		return;
	fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0) {
		ch->out_kind = CHARDEV_OUT_POLL;
		return;
	}
	ch->out_fd = fd;
	ch->own_out = true;
}

static int chardev_open_stdio(struct chardev *ch, struct err *err)
{
	(void)err;
	ch->keys = true;
	ch->in_fd = fcntl(STDIN_FILENO, F_GETFD) < 0 ? -1 : STDIN_FILENO;
	chardev_stdout(ch);
	return 0;
}

static int chardev_open_file(struct chardev *ch, struct err *err)
{
	/* O_NONBLOCK: for a FIFO that nobody reads, open() then fails instead of waiting. */
	ch->out_fd = open(ch->path,
			  O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	if (ch->out_fd < 0)
		return err_sys(err, -errno, "%s", ch->name);
	ch->own_out = true;
	return 0;
}

/* A socket is left behind by a VMM that was killed: it goes if nobody answers there. */
static int chardev_unlink_stale(struct chardev *ch, const struct sockaddr_un *addr,
				struct err *err)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat st;

	if (lstat(ch->path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(err, -errno, "%s", ch->name);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EEXIST, "%s: is there and not a socket; remove it", ch->name);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, -errno, "%s", ch->name);
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 &&
	    errno == ECONNREFUSED) {
		if (unlink(ch->path) < 0 && errno != ENOENT)
			return err_sys(err, -errno, "%s: is stale and cannot be removed", ch->name);
		return 0;
	}
	return err_set(err, -EADDRINUSE, "%s: is in use, another program listens there", ch->name);
}

static int chardev_open_unix(struct chardev *ch, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	int ret;

	if (strlen(ch->path) >= sizeof(addr.sun_path))
		return err_set(err, -ENAMETOOLONG, "%s: the path of a socket has at most %zu bytes",
			       ch->name, sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, ch->path, strlen(ch->path));
	ret = chardev_unlink_stale(ch, &addr, err);
	if (ret)
		return ret;
	ch->out_kind = CHARDEV_OUT_SOCKET;
	ch->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The path takes its mode from the socket (unix_bind()), so that it is never open to
	 * others, and the process's umask need not be touched. */
	if (ch->listen_fd < 0 || fchmod(ch->listen_fd, 0600) < 0 ||
	    bind(ch->listen_fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(ch->listen_fd, 1) < 0)
		return err_sys(err, -errno, "%s", ch->name);
	if (!lstat(ch->path, &st)) {
		ch->sock_dev = st.st_dev;
		ch->sock_ino = st.st_ino;
	}
	return 0;
}

static const struct chardev_kind chardev_kinds[] = {
	{ "none", false, chardev_open_none },
	{ "stdio", false, chardev_open_stdio },
	{ "file", true, chardev_open_file },
	{ "unix", true, chardev_open_unix },
};

static const struct chardev_kind *chardev_kind_of(const char *spec, const char **ret_path)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(chardev_kinds); i++) {
		const struct chardev_kind *kind = &chardev_kinds[i];
		size_t len = strlen(kind->name);

		if (strncmp(spec, kind->name, len) != 0)
			continue;
		*ret_path = spec + len + 1;
		if (kind->path ? spec[len] == '=' && spec[len + 1] : !spec[len])
			return kind;
	}
	return NULL;
}

int chardev_new(struct chardev **ret_chardev, const char *spec, const struct log *log,
		struct err *err)
{
	const char *path = NULL;
	const struct chardev_kind *kind = chardev_kind_of(spec, &path);
	struct chardev *ch;
	int ret;

	if (!kind)
		return err_set(err, -EINVAL,
			       "\"%s\" is no back end; there are none, stdio, file=PATH and "
			       "unix=PATH",
			       spec);
	ch = calloc(1, sizeof(*ch));
	if (ch)
		ch->name = strdup(spec);
	if (!ch || !ch->name) {
		free(ch);
		return err_sys(err, -ENOMEM, "%s", spec);
	}
	ch->path = kind->path ? ch->name + (path - spec) : NULL;
	ch->log = log;
	ch->in_fd = -1;
	ch->out_fd = -1;
	ch->listen_fd = -1;
	ret = kind->open(ch, err);
	if (ret) {
		chardev_free(ch);
		return ret;
	}
	*ret_chardev = ch;
	return 0;
}

void chardev_free(struct chardev *ch)
{
	struct stat st;

	if (!ch)
		return;
	if (ch->sock_ino && !lstat(ch->path, &st) && st.st_dev == ch->sock_dev &&
	    st.st_ino == ch->sock_ino)
		unlink(ch->path);
	if (ch->listen_fd >= 0)
		fd_close(&ch->in_fd);
	fd_close(&ch->listen_fd);
	if (ch->own_out)
		fd_close(&ch->out_fd);
	free(ch->name);
	free(ch);
}

void chardev_term_raw(struct chardev *ch)
{
	struct termios raw;
	pid_t group;

	if (!ch->keys || ch->in_fd < 0 || tcgetattr(ch->in_fd, &ch->saved) < 0)
		return;
	/* In the background the terminal is somebody else's: touching it would stop the process. A
	 * terminal that does not control us knows no such thing. */
	group = tcgetpgrp(ch->in_fd);
	if (group >= 0 && group != getpgrp()) {
		log_line(ch->log, LOG_INFO, "%s: in the background, so the terminal is not read",
			 ch->name);
		ch->in_fd = -1;
		return;
	}
	raw = ch->saved;
	raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL |
				   IXON);
	/* OPOST stays, so that log lines look right. */
	raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	raw.c_cflag = (raw.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	ch->tty = true;
	atomic_store(&ch->raw, true);
	if (tcsetattr(ch->in_fd, TCSANOW, &raw) < 0)
		atomic_store(&ch->raw, false);
}

void chardev_restore(const struct chardev *ch)
{
	/* TCSANOW: waiting for output could last for ever. */
	if (ch && atomic_load(&ch->raw))
		tcsetattr(STDIN_FILENO, TCSANOW, &ch->saved);
}
