// SPDX-License-Identifier: GPL-2.0-or-later
#include "net_tap_if.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <spawn.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "net.h"

#define LINK_BYTES 16384 /* more than is to be said of one interface */

static int tap_fail(const char *name, bool several, int ret, struct err *err)
{
	const char *who = name[0] ? name : "(new)";

	if (ret == -EPERM)
		return err_set(err, ret, "net=tap: interface %s is not ours and making one needs "
					 "CAP_NET_ADMIN; have one made (ip tuntap add dev NAME mode tap user "
					 "USER)", who);
	if (ret == -EBUSY)
		return err_set(err, ret, "net=tap: interface %s is in use by another program", who);
	if (ret == -E2BIG)
		return err_set(err, ret, "net=tap: interface %s: the host's kernel has no room for "
					 "more queues of it", who);
	if (ret == -EINVAL && several)
		return err_set(err, ret, "net=tap: interface %s is there and is no tap of several "
					 "queues; make it with multi_queue, or use queues=1", who);
	if (ret == -EINVAL)
		return err_set(err, ret, "net=tap: interface %s is there and is no tap", who);
	return err_set(err, ret, "net=tap: interface %s: %s", who, strerror(-ret));
}

int tap_if_open(char name[IFNAMSIZ], bool several, struct err *err)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd, ret;

	if (several)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	memcpy(ifr.ifr_name, name, IFNAMSIZ);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "net=tap: /dev/net/tun");
	ret = ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
	if (ret == -EINVAL && !several) {
		/* A persistent one that was made for several queues takes no other. */
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
		ret = ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
	}
	/* While another program has a queue, what was asked for is not what the interface becomes. */
	if (!ret && (ioctl(fd, TUNGETIFF, &ifr) < 0 || !(ifr.ifr_flags & IFF_VNET_HDR)))
		ret = -EBUSY;
	if (ret) {
		close(fd);
		return tap_fail(name, several, ret, err);
	}
	memcpy(name, ifr.ifr_name, IFNAMSIZ);
	return fd;
}

int tap_if_adopt(int fd, char ret_name[IFNAMSIZ], bool *ret_header, struct err *err)
{
	struct ifreq ifr = { .ifr_flags = 0 };
	int flags;

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return err_sys(err, -errno, "net=tap: fd=%d is no tap", fd);
	/* IFF_NO_PI cannot be asked for: its bit means IFF_NOFILTER in this answer. */
	if (!(ifr.ifr_flags & IFF_TAP))
		return err_set(err, -EINVAL, "net=tap: fd=%d (%.*s) is a tun interface, without "
					     "Ethernet headers", fd, IFNAMSIZ, ifr.ifr_name);
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(err, -errno, "net=tap: fd=%d", fd);
	*ret_header = ifr.ifr_flags & IFF_VNET_HDR;
	memcpy(ret_name, ifr.ifr_name, IFNAMSIZ);
	return 0;
}

int tap_if_set_header(int fd, unsigned int size, unsigned int offloads)
{
	int bytes = (int)size;

	if (ioctl(fd, TUNSETVNETHDRSZ, &bytes) < 0 || ioctl(fd, TUNSETOFFLOAD, offloads) < 0)
		return -errno;
	return 0;
}

int tap_if_attach(int fd, bool attached)
{
	struct ifreq ifr = { .ifr_flags = attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

	return ioctl(fd, TUNSETQUEUE, &ifr) < 0 ? -errno : 0;
}

void tap_if_set_filter(int fd, const struct net_filter *filter)
{
	/* What a struct tun_filter of so many addresses takes. */
	_Alignas(struct tun_filter) uint8_t buf[sizeof(struct tun_filter) + sizeof(filter->addr)];
	struct tun_filter *tun = (struct tun_filter *)(void *)buf;

	memset(buf, 0, sizeof(buf));
	/* With a count of 0 everything passes. */
	if (!filter->promiscuous && filter->count <= NET_FILTER_MAX) {
		tun->count = (uint16_t)filter->count;
		memcpy(tun->addr, filter->addr, filter->count * sizeof(filter->addr[0]));
	}
	if (filter->all_multicast)
		tun->flags = TUN_FLT_ALLMULTI;
	/* A kernel that refuses lets everything pass. */
	(void)ioctl(fd, TUNSETTXFILTER, tun);
}

/* ioctl(2) of an interface, on a socket as the kernel wants it. */
static int if_ioctl(const char *name, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), ret = 0;

	if (fd < 0)
		return -errno;
	memcpy(ifr->ifr_name, name, IFNAMSIZ);
	if (ioctl(fd, request, ifr) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

int tap_if_flags(const char *name, short or_set, short *ret_flags)
{
	struct ifreq ifr = { .ifr_flags = 0 };
	int ret = if_ioctl(name, SIOCGIFFLAGS, &ifr);

	if (!ret && (ifr.ifr_flags & or_set) != or_set) {
		ifr.ifr_flags = (short)(ifr.ifr_flags | or_set);
		ret = if_ioctl(name, SIOCSIFFLAGS, &ifr);
	}
	*ret_flags = ifr.ifr_flags;
	return ret;
}

int tap_if_ask(int fd, char ret_name[IFNAMSIZ], short *ret_flags)
{
	struct ifreq ifr = { .ifr_flags = 0 };

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return -errno;
	memcpy(ret_name, ifr.ifr_name, IFNAMSIZ);
	return tap_if_flags(ret_name, 0, ret_flags);
}

/* The attribute @type among @len bytes of them, or NULL. */
static const struct rtattr *attr_find(const struct rtattr *at, unsigned int len, unsigned short type)
{
	for (; RTA_OK(at, len); at = RTA_NEXT(at, len))
		if ((at->rta_type & NLA_TYPE_MASK) == type)
			return at;
	return NULL;
}

static const struct rtattr *attr_within(const struct rtattr *at, unsigned short type)
{
	return at ? attr_find(RTA_DATA(at), RTA_PAYLOAD(at), type) : NULL;
}

static unsigned int attr_u32(const struct rtattr *at)
{
	uint32_t value = 0;

	if (at && RTA_PAYLOAD(at) >= sizeof(value))
		memcpy(&value, RTA_DATA(at), sizeof(value));
	return value;
}

/* What the kernel says of the interface @name into @buf. Its attributes and their length, or NULL. */
static const struct rtattr *link_get(const char *name, void *buf, size_t size, unsigned int *ret_len)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg info;
	} ask = { .h = { .nlmsg_len = sizeof(ask), .nlmsg_type = RTM_GETLINK,
			 .nlmsg_flags = NLM_F_REQUEST },
		  .info = { .ifi_index = (int)if_nametoindex(name) } };
	const struct nlmsghdr *h = buf;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t n = -1;

	if (fd < 0)
		return NULL;
	if (send(fd, &ask, sizeof(ask), 0) == sizeof(ask))
		n = recv(fd, buf, size, 0);
	close(fd);
	if (n < 0 || !NLMSG_OK(h, (unsigned int)n) || h->nlmsg_type != RTM_NEWLINK ||
	    h->nlmsg_len < NLMSG_LENGTH(sizeof(ask.info)))
		return NULL;
	*ret_len = (unsigned int)IFLA_PAYLOAD(h);
	return IFLA_RTA(NLMSG_DATA(h));
}

unsigned int tap_if_queues(const char *name)
{
	_Alignas(struct nlmsghdr) char buf[LINK_BYTES];
	const struct rtattr *all, *data;
	unsigned int len = 0;

	all = link_get(name, buf, sizeof(buf), &len);
	data = attr_within(all ? attr_find(all, len, IFLA_LINKINFO) : NULL, IFLA_INFO_DATA);
	return attr_u32(attr_within(data, IFLA_TUN_NUM_QUEUES)) +
	       attr_u32(attr_within(data, IFLA_TUN_NUM_DISABLED_QUEUES));
}

int tap_if_place(const char *name, struct tap_if_place *ret_place)
{
	_Alignas(struct nlmsghdr) char buf[LINK_BYTES];
	unsigned int len = 0;
	const struct rtattr *all = link_get(name, buf, sizeof(buf), &len);

	if (!all)
		return -ENODEV;
	ret_place->master = attr_u32(attr_find(all, len, IFLA_MASTER));
	ret_place->mtu = attr_u32(attr_find(all, len, IFLA_MTU));
	return 0;
}

int tap_if_changes(void)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE), ret;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)(void *)&to, sizeof(to)) < 0) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}

bool tap_if_changed(int fd, unsigned int index)
{
	_Alignas(struct nlmsghdr) char buf[8192];
	bool about = false;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		struct nlmsghdr *h = (struct nlmsghdr *)(void *)buf;
		unsigned int left = (unsigned int)n;

		for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			const struct ifinfomsg *info = NLMSG_DATA(h);

			about |= h->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) ||
				 (unsigned int)info->ifi_index == index ||
				 info->ifi_change == ~0u;
		}
	}
	return about || (n < 0 && errno != EAGAIN && errno != EINTR);
}

int tap_if_set_mtu(const char *name, uint32_t mtu, struct err *err)
{
	struct ifreq ifr = { .ifr_mtu = (int)mtu };
	int ret = if_ioctl(name, SIOCSIFMTU, &ifr);

	return ret ? err_sys(err, ret, "net=tap: interface %s: mtu=%u", name, mtu) : 0;
}

int tap_if_run(const char *script, const char *name, struct err *err)
{
	char *argv[] = { (char *)(uintptr_t)script, (char *)(uintptr_t)name, NULL };
	int ret, status = 0;
	pid_t pid;

	ret = posix_spawn(&pid, script, NULL, NULL, argv, environ);
	if (ret)
		return err_set(err, -ret, "net=tap: script %s: %s", script, strerror(ret));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(err, -errno, "net=tap: script %s", script);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return err_set(err, -EIO, "net=tap: script %s %s ended with %s %d", script, name,
			       WIFEXITED(status) ? "status" : "signal",
			       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return 0;
}
