// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user_conn.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"

#define VERSION 1u
#define VERSION_MASK 3u
#define REPLY 4u

struct header {
	uint32_t request, flags, size;
};

int vhost_user_connect(const char *path, int *ret_fd, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, ret;

	if (!*path || strlen(path) >= sizeof(addr.sun_path))
		return err_set(err, -EINVAL, "%s: a socket's path has 1 to %zu bytes", path,
			       sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(err, -errno, "%s", path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		ret = -errno;
		close(fd);
		return err_sys(err, ret, "%s: nobody serves vhost-user there", path);
	}
	*ret_fd = fd;
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

/* Until @deadline. 0, -ETIMEDOUT or -errno. */
static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left;
	int n;

	do {
		left = deadline - now_ms();
		n = poll(&p, 1, left > 0 ? (int)left : 0);
	} while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : n < 0 ? -errno : -ETIMEDOUT;
}

static void attach_fds(struct msghdr *msg, void *control, const int *fds, unsigned int count)
{
	struct cmsghdr *c;

	if (!count)
		return;
	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE(count * sizeof(int));
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
}

int vhost_user_send(int fd, enum vhost_user_request request, uint32_t flags, const void *payload,
		    size_t size, const int *fds, unsigned int fd_count, struct err *err)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(VHOST_USER_FDS_MAX * sizeof(int))] = { 0 };
	struct header header = { request, VERSION | flags, (uint32_t)size };
	uint8_t bytes[sizeof(header) + VHOST_USER_PAYLOAD_MAX];
	size_t total = sizeof(header) + size, done = 0;
	int64_t deadline = now_ms() + VHOST_USER_TIMEOUT_MS;
	int ret;

	if (size > VHOST_USER_PAYLOAD_MAX || fd_count > VHOST_USER_FDS_MAX)
		return err_set(err, -EINVAL, "message %u is too large", request);
	memcpy(bytes, &header, sizeof(header));
	if (size)
		memcpy(bytes + sizeof(header), payload, size);
	while (done < total) {
		struct iovec iov = { bytes + done, total - done };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;

		if (!done)
			attach_fds(&msg, control, fds, fd_count);
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
		if (n >= 0) {
			done += (size_t)n;
			continue;
		}
		ret = errno == EAGAIN ? wait_for(fd, POLLOUT, deadline) : -errno;
		if (ret && ret != -EINTR)
			return err_sys(err, ret, "it does not take message %u", request);
	}
	return 0;
}

/* The descriptors that came: the first into *@ret_fd if that is wanted and empty, the others are
 * closed. */
static void take_fds(struct msghdr *msg, int *ret_fd)
{
	struct cmsghdr *c;
	size_t i, count;
	int got;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < count; i++) {
			memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof(got));
			if (ret_fd && *ret_fd < 0)
				*ret_fd = got;
			else
				close(got);
		}
	}
}

static int receive(int fd, void *buf, size_t len, int *ret_fd, int64_t deadline)
{
	size_t done = 0;
	int ret;

	while (done < len) {
		_Alignas(struct cmsghdr) char control[CMSG_SPACE(VHOST_USER_FDS_MAX * sizeof(int))];
		struct iovec iov = { (char *)buf + done, len - done };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);

		if (n > 0) {
			take_fds(&msg, ret_fd);
			done += (size_t)n;
			continue;
		}
		if (!n)
			return -EPIPE;
		ret = errno == EAGAIN ? wait_for(fd, POLLIN, deadline) : -errno;
		if (ret && ret != -EINTR)
			return ret;
	}
	return 0;
}

int vhost_user_reply(int fd, enum vhost_user_request request, void *payload, size_t size,
		     int *ret_fd, struct err *err)
{
	int64_t deadline = now_ms() + VHOST_USER_TIMEOUT_MS;
	struct header header;
	int got = -1, ret;

	ret = receive(fd, &header, sizeof(header), &got, deadline);
	if (!ret && (header.request != request || header.size != size ||
		     (header.flags & (VERSION_MASK | REPLY)) != (VERSION | REPLY)))
		ret = err_set(err, -EPROTO,
			      "it answers message %u with message %u, flags 0x%x, "
			      "%u bytes",
			      request, header.request, header.flags, header.size);
	else if (!ret)
		ret = receive(fd, payload, size, &got, deadline);
	if (ret == -EPIPE)
		err_set(err, ret, "it closed the connection at message %u", request);
	else if (ret == -ETIMEDOUT)
		err_set(err, ret, "it has not answered message %u for %u s", request,
			VHOST_USER_TIMEOUT_MS / 1000);
	else if (ret && ret != -EPROTO)
		err_sys(err, ret, "message %u", request);
	if (!ret && ret_fd)
		*ret_fd = got;
	else
		fd_close(&got);
	return ret;
}
