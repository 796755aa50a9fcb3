// SPDX-License-Identifier: GPL-2.0-or-later
#include "net_bridge.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "module.h"
#include "net_bridge_helper.h"
#include "net_options.h"

int net_bridge_check(const struct net_config *config, struct err *err)
{
	size_t len = config->bridge ? strlen(config->bridge) : 0;

	if (!config->bridge)
		return err_set(err, -EINVAL, "net=bridge: bridge= is missing, the name of the bridge");
	if (!len || len >= IFNAMSIZ)
		return err_set(err, -EINVAL, "net=bridge: bridge=%s: a name has 1 to %d characters",
			       config->bridge, IFNAMSIZ - 1);
	if (strpbrk(config->bridge, "/% \t\r\n"))
		return err_set(err, -EINVAL, "net=bridge: bridge=%s: an interface has no such name",
			       config->bridge);
	return 0;
}

/* An answer, and the descriptors that came with it. */
struct bridge_reply {
	struct net_bridge_answer answer;
	int fds[NET_BRIDGE_QUEUES];
	unsigned int count;
};

static void reply_take_fds(struct bridge_reply *reply, struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	size_t len;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		/* One such header is all that there was room for. */
		len = cmsg->cmsg_len - CMSG_LEN(0);
		memcpy(reply->fds, CMSG_DATA(cmsg), len);
		reply->count = (unsigned int)(len / sizeof(int));
	}
}

/* 0, -ETIMEDOUT, -EPROTO: ended or answered too little. */
static int reply_receive(struct bridge_reply *reply, int sock, int wait_ms)
{
	union {
		char buf[CMSG_SPACE(sizeof(reply->fds))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { &reply->answer, sizeof(reply->answer) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	struct pollfd p = { sock, POLLIN, 0 };
	ssize_t n;
	int ret;

	do {
		ret = poll(&p, 1, wait_ms);
	} while (ret < 0 && errno == EINTR);
	if (ret <= 0)
		return ret ? -errno : -ETIMEDOUT;
	n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return errno == ECONNRESET ? -EPROTO : -errno;
	reply_take_fds(reply, &msg);
	if ((size_t)n != sizeof(reply->answer) || msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return -EPROTO;
	reply->answer.text[sizeof(reply->answer.text) - 1] = '\0';
	return 0;
}

static int bridge_spawn(const char *path, const char *bridge, unsigned int queues, int sock,
			pid_t *ret_pid)
{
	char count[16], *argv[] = { (char *)(uintptr_t)NET_BRIDGE_HELPER,
				    (char *)(uintptr_t)bridge, count, NULL };
	char *nothing[] = { NULL };
	posix_spawn_file_actions_t actions;
	int ret;

	snprintf(count, sizeof(count), "%u", queues);
	ret = posix_spawn_file_actions_init(&actions);
	if (ret)
		return -ret;
	/* To the same number it only loses close-on-exec, which is meant as well. */
	ret = posix_spawn_file_actions_adddup2(&actions, sock, NET_BRIDGE_FD);
	if (!ret)
		ret = posix_spawn(ret_pid, path, &actions, NULL, argv, nothing);
	posix_spawn_file_actions_destroy(&actions);
	return -ret;
}

/* The status that it ended with, or 128 and the signal. One that hangs is killed, and waited for a
 * second: it may hang in the kernel. */
static int bridge_reap(pid_t pid, bool hangs)
{
	const struct timespec nap = { .tv_nsec = 10000000 };
	unsigned int tries = 100;
	int status = 0;
	pid_t ret;

	if (hangs)
		kill(pid, SIGKILL);
	do {
		ret = waitpid(pid, &status, hangs ? WNOHANG : 0);
		if (!ret)
			nanosleep(&nap, NULL);
	} while ((ret < 0 && errno == EINTR) || (!ret && --tries));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int bridge_judge(struct bridge_reply *reply, int ret, int status, unsigned int queues,
			const char *path, int wait_ms, struct err *err)
{
	if (ret == -ETIMEDOUT)
		return err_set(err, ret, "%s did not answer within %d s and was ended", path,
			       wait_ms / 1000);
	if (ret)
		return err_set(err, ret, "%s ended with status %d and no answer that makes sense; is "
					 "it of the same version?", path, status);
	if (reply->answer.code)
		return err_set(err, reply->answer.code < 0 ? reply->answer.code : -EPROTO, "%s",
			       reply->answer.text);
	if (reply->count != queues)
		return err_set(err, -EPROTO, "%s passed %u descriptors instead of %u; is it of the "
					     "same version?", path, reply->count, queues);
	return 0;
}

int net_bridge_ask(const char *path, const char *bridge, unsigned int queues, int wait_ms,
		   int *fds, struct err *err)
{
	struct bridge_reply reply = { .count = 0 };
	int pair[2], ret, status;
	unsigned int i;
	pid_t pid = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, -errno, "a socket for %s", path);
	ret = bridge_spawn(path, bridge, queues, pair[1], &pid);
	close(pair[1]);
	if (ret) {
		close(pair[0]);
		return err_sys(err, ret, "%s", path);
	}
	ret = reply_receive(&reply, pair[0], wait_ms);
	close(pair[0]);
	status = bridge_reap(pid, ret == -ETIMEDOUT);
	ret = bridge_judge(&reply, ret, status, queues, path, wait_ms, err);
	for (i = 0; i < reply.count; i++) {
		if (!ret)
			fds[i] = reply.fds[i];
		else
			close(reply.fds[i]);
	}
	return ret;
}

int net_bridge_taps(const struct net_config *config, unsigned int queues, int wait_ms, int *fds,
		    struct err *err)
{
	char path[PATH_MAX];
	int ret;

	if (queues > NET_BRIDGE_QUEUES)
		return err_set(err, -ERANGE, "net=bridge: queues=%u: it takes at most %u", queues,
			       NET_BRIDGE_QUEUES);
	ret = module_find_program(NET_BRIDGE_HELPER, path, sizeof(path), err);
	if (!ret)
		ret = net_bridge_ask(path, config->bridge, queues, wait_ms, fds, err);
	if (ret)
		err_prefix(err, "net=bridge: bridge=%s", config->bridge);
	return ret;
}
