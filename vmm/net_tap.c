// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A tap interface. Each frame is one system call either way: out, straight from guest memory; in,
 * through one buffer.
 *
 * The interface may be set down or deleted while the guest runs. The link is down then, what the
 * guest sends is dropped, and the descriptor is not watched, for epoll reports an error of it
 * without end. Once a second it is looked whether the interface is there again. One that is gone is
 * opened again by name, and never made a second time: whoever deleted it meant it. A descriptor
 * that was passed in has no way back.
 */
#include "net_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "iov.h"
#include "net_options.h"
#include "vm.h"

#define TAP_BURST 64u /* frames in one turn of the loop */
#define TAP_HEADER 10u /* of a passed descriptor with IFF_VNET_HDR: sent as zeros, not looked at */
#define TAP_LOOK_NS 1000000000ull

enum tap_state { TAP_UP, TAP_DOWN, TAP_GONE };

struct net_tap {
	struct net *net;
	const struct net_host *host;
	int fd;
	char name[IFNAMSIZ];
	enum tap_state state;
	unsigned int header; /* bytes before each frame */
	bool full; /* the NIC waits for room */
	bool script_ran;
	struct loop_watch *watch;
	struct loop_timer *timer;
	struct iovec iov[IOV_MAX];
	uint8_t frame[NET_FRAME_MAX];
};

static const struct net_config *tap_config(const struct net_tap *t)
{
	return t->net->config;
}

int net_tap_check(const struct net_config *config, struct err *err)
{
	if (config->ifname && config->fd)
		return err_set(err, -EINVAL, "net=tap: ifname= and fd= exclude each other");
	if (config->fd && (config->script || config->downscript))
		return err_set(err, -EINVAL, "net=tap: script= and downscript= are for an "
					     "interface opened here, not for fd=");
	if (config->ifname && (!*config->ifname || strlen(config->ifname) >= IFNAMSIZ))
		return err_set(err, -EINVAL, "net=tap: ifname=%s: a name has 1 to %d characters",
			       config->ifname, IFNAMSIZ - 1);
	return 0;
}

/* The interface's flags (IFF_*), or @or_set as well when it is not 0. */
static int tap_flags(const char *name, short or_set, short *ret_flags)
{
	struct ifreq ifr = { .ifr_flags = 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), ret = 0;

	if (fd < 0)
		return -errno;
	memcpy(ifr.ifr_name, name, IFNAMSIZ);
	if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		ret = -errno;
	if (!ret && (ifr.ifr_flags & or_set) != or_set) {
		ifr.ifr_flags = (short)(ifr.ifr_flags | or_set);
		if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
			ret = -errno;
	}
	close(fd);
	*ret_flags = ifr.ifr_flags;
	return ret;
}

static int tap_fail(const struct net_tap *t, int ret, struct err *err)
{
	const char *name = t->name[0] ? t->name : "(new)";

	if (ret == -EPERM)
		return err_set(err, ret, "net=tap: interface %s is not ours and making one needs "
					 "CAP_NET_ADMIN; have one made (ip tuntap add dev NAME mode tap user "
					 "USER)", name);
	if (ret == -EBUSY)
		return err_set(err, ret, "net=tap: interface %s is in use by another program", name);
	if (ret == -EINVAL)
		return err_set(err, ret, "net=tap: interface %s is there and is no tap", name);
	return err_set(err, ret, "net=tap: interface %s: %s", name, strerror(-ret));
}

/* Opens t->name, or makes an interface, and stores its name. */
static int tap_open_name(struct net_tap *t, struct err *err)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int ret;

	memcpy(ifr.ifr_name, t->name, IFNAMSIZ);
	t->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (t->fd < 0)
		return err_sys(err, -errno, "net=tap: /dev/net/tun");
	ret = ioctl(t->fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
	if (ret == -EINVAL) {
		/* A persistent one that was made for several queues takes no other. */
		ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE;
		ret = ioctl(t->fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
	}
	if (ret) {
		close(t->fd);
		t->fd = -1;
		return tap_fail(t, ret, err);
	}
	memcpy(t->name, ifr.ifr_name, IFNAMSIZ);
	return 0;
}

static int tap_open_fd(struct net_tap *t, int fd, struct err *err)
{
	struct ifreq ifr = { .ifr_flags = 0 };
	int header = TAP_HEADER, flags;

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return err_sys(err, -errno, "net=tap: fd=%d is no tap", fd);
	/* IFF_NO_PI cannot be asked for: its bit means IFF_NOFILTER in this answer. */
	if (!(ifr.ifr_flags & IFF_TAP))
		return err_set(err, -EINVAL, "net=tap: fd=%d (%.*s) is a tun interface, without "
					     "Ethernet headers", fd, IFNAMSIZ, ifr.ifr_name);
	if (ifr.ifr_flags & IFF_VNET_HDR) {
		if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 || ioctl(fd, TUNSETOFFLOAD, 0) < 0)
			return err_sys(err, -errno, "net=tap: fd=%d: no offloads", fd);
		t->header = TAP_HEADER;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(err, -errno, "net=tap: fd=%d", fd);
	memcpy(t->name, ifr.ifr_name, IFNAMSIZ);
	t->fd = fd;
	return 0;
}

static int tap_run(struct net_tap *t, const char *script, struct err *err)
{
	char *argv[] = { (char *)(uintptr_t)script, t->name, NULL };
	int ret, status = 0;
	pid_t pid;

	ret = posix_spawn(&pid, script, NULL, NULL, argv, environ);
	if (ret)
		return err_set(err, -ret, "net=tap: script %s: %s", script, strerror(ret));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(err, -errno, "net=tap: script %s", script);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return err_set(err, -EIO, "net=tap: script %s %s ended with %s %d", script, t->name,
			       WIFEXITED(status) ? "status" : "signal",
			       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return 0;
}

/* The link. */

static void tap_ready(void *opaque, uint32_t events);

static int tap_watch(struct net_tap *t, struct err *err)
{
	return loop_watch_add(t->net->vm->loop, t->fd, EPOLLIN, t->net->lock, tap_ready, t,
			      &t->watch, err);
}

static void tap_lost(struct net_tap *t, enum tap_state state)
{
	bool comes_back = state == TAP_DOWN || !tap_config(t)->fd;

	if (t->state == state)
		return;
	t->state = state;
	loop_watch_del(t->watch);
	t->watch = NULL;
	log_limited(t->net->vm->log, &t->net->limit, LOG_WARN, "%s: interface %s is %s: no link%s",
		    t->net->id, t->name, state == TAP_DOWN ? "down" : "gone",
		    comes_back ? " until it is back" : " any more, fd= cannot be opened again");
	if (comes_back)
		loop_timer_set(t->timer, TAP_LOOK_NS);
	t->host->link(t->net, false);
}

/* Is it there again? */
static void tap_look(void *opaque)
{
	struct net_tap *t = opaque;
	short flags = 0;
	int ret = tap_flags(t->name, 0, &flags);

	if (ret == -ENODEV && !tap_config(t)->fd)
		t->state = TAP_GONE;
	if (!ret && t->state == TAP_GONE) {
		fd_close(&t->fd);
		ret = tap_open_name(t, NULL);
		if (!ret)
			t->state = TAP_DOWN;
	}
	if (ret || !(flags & IFF_UP) || tap_watch(t, NULL)) {
		loop_timer_set(t->timer, TAP_LOOK_NS);
		return;
	}
	t->state = TAP_UP;
	log_limited(t->net->vm->log, &t->net->limit, LOG_INFO, "%s: interface %s is back",
		    t->net->id, t->name);
	t->host->link(t->net, true);
}

/* Frames. */

/* One frame for the guest; false when there is none. */
static bool tap_read(struct net_tap *t)
{
	uint8_t header[TAP_HEADER];
	struct iovec iov[2] = { { header, t->header }, { t->frame, sizeof(t->frame) } };
	ssize_t n = readv(t->fd, iov, 2);

	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno != EAGAIN)
		tap_lost(t, TAP_GONE);
	if (n <= 0)
		return false;
	iov[1].iov_len = (size_t)n - MIN((size_t)n, t->header);
	t->host->deliver(t->net, &iov[1], 1);
	return true;
}

static void tap_ready(void *opaque, uint32_t events)
{
	struct net_tap *t = opaque;
	unsigned int i;

	for (i = 0; i < TAP_BURST && tap_read(t); i++)
		;
	if (i)
		t->host->deliver_end(t->net);
	if (events & EPOLLERR && !i)
		tap_lost(t, TAP_GONE);
	/* Room, or nothing to have room: what the NIC kept is dropped then. */
	if (t->full && (events & EPOLLOUT || t->state != TAP_UP)) {
		t->full = false;
		if (t->state == TAP_UP)
			loop_watch_set(t->watch, EPOLLIN);
		t->host->send_ready(t->net);
	}
}

static bool tap_send(void *state, const struct iovec *iov, unsigned int count)
{
	static const uint8_t zero[TAP_HEADER];
	struct net_tap *t = state;
	unsigned int at = 0;
	ssize_t n;

	if (t->state != TAP_UP)
		return true;
	if (t->header)
		t->iov[at++] = (struct iovec){ (void *)(uintptr_t)zero, t->header };
	if (count > ARRAY_SIZE(t->iov) - at) {
		t->iov[at].iov_base = t->frame;
		t->iov[at].iov_len = iov_gather(iov, count, t->frame, sizeof(t->frame));
		count = 1;
	} else {
		memcpy(t->iov + at, iov, count * sizeof(*iov));
	}
	do {
		n = writev(t->fd, t->iov, (int)(at + count));
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return true;
	if (errno == EAGAIN && !loop_watch_set(t->watch, EPOLLIN | EPOLLOUT)) {
		t->full = true;
		return false;
	}
	if (errno == EIO)
		tap_lost(t, TAP_DOWN);
	else if (errno == EBADFD)
		tap_lost(t, TAP_GONE);
	t->net->tx_dropped++;
	return true;
}

/* Life. */

static void tap_close(void *state)
{
	struct net_tap *t = state;
	struct err err = { 0 };

	loop_watch_del(t->watch);
	loop_timer_del(t->timer);
	if (t->script_ran && tap_config(t)->downscript &&
	    tap_run(t, tap_config(t)->downscript, &err))
		log_limited(t->net->vm->log, &t->net->limit, LOG_WARN, "%s: %s", t->net->id,
			    err.msg);
	fd_close(&t->fd);
	free(t);
}

/* An interface that a script does not look after is set up here, where that is allowed. */
static int tap_prepare(struct net_tap *t, struct err *err)
{
	const struct net_config *config = tap_config(t);
	short flags;
	int ret = 0;

	if (config->fd)
		return 0;
	if (config->script)
		ret = tap_run(t, config->script, err);
	else
		tap_flags(t->name, IFF_UP, &flags);
	t->script_ran = !ret;
	return ret;
}

static int tap_open(struct net *net, const struct net_host *host, void **ret_state, struct err *err)
{
	const struct net_config *config = net->config;
	struct net_tap *t = calloc(1, sizeof(*t));
	short flags = 0;
	int ret;

	if (!t)
		return err_set(err, -ENOMEM, "net=tap: no memory");
	t->net = net;
	t->host = host;
	t->fd = -1;
	if (config->ifname)
		memcpy(t->name, config->ifname, strlen(config->ifname));
	ret = config->fd ? tap_open_fd(t, (int)config->fd, err) : tap_open_name(t, err);
	if (!ret)
		ret = tap_prepare(t, err);
	if (!ret)
		ret = loop_timer_new(net->vm->loop, net->lock, tap_look, t, &t->timer, err);
	if (!ret)
		ret = tap_watch(t, err);
	if (ret) {
		tap_close(t);
		return ret;
	}
	*ret_state = t;
	if (!tap_flags(t->name, 0, &flags) && !(flags & IFF_UP))
		tap_lost(t, TAP_DOWN);
	return 0;
}

const struct net_backend_ops net_tap_ops = {
	.name = "tap",
	.open = tap_open,
	.close = tap_close,
	.send = tap_send,
};
