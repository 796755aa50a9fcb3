// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Puts a guest on a bridge of the host, for a user who may not do so himself: makes a tap interface,
 * adds it to the bridge where /etc/viaduct/bridge.conf allows that, and passes its descriptors.
 *
 * It may be setuid root, so whoever calls it is no friend: arguments, environment, descriptors and
 * limits are his. Nothing of the environment is used, all descriptors but the socket are closed,
 * and there is nothing beyond libc. What takes root (the file, /dev/net/tun) comes first; then the
 * caller's ids are taken on, with CAP_NET_ADMIN alone, and before the answer that goes too.
 *
 * An interface with several queues can be joined by anybody as long as it has no owner, and it is
 * made without one. So it is made in a network namespace that nobody else is in, and moved to the
 * host's when its queues are open and the owner is set.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bridge_acl.h"
#include "vmm/net_bridge_helper.h"

#define USAGE \
	"usage: viaduct-bridge-helper BRIDGE QUEUES\n" \
	"Makes a tap interface on BRIDGE and passes its descriptors over descriptor 3. viaduct runs " \
	"it for net=bridge.\n"

struct helper {
	const char *bridge;
	unsigned int queues;
	int sock;    /* for ioctls, of the host's network namespace */
	int host_ns; /* -1: not needed */
	int taps[NET_BRIDGE_QUEUES];
	unsigned int tap_count;
	char tap[IFNAMSIZ];
	struct net_bridge_answer answer;
};

__attribute__((format(printf, 3, 4)))
static int helper_fail(struct helper *h, int code, const char *fmt, ...)
{
	va_list ap;

	h->answer.code = code;
	va_start(ap, fmt);
	vsnprintf(h->answer.text, sizeof(h->answer.text), fmt, ap);
	va_end(ap);
	return code;
}

static int helper_fail_sys(struct helper *h, int code, const char *what)
{
	char path[256] = NET_BRIDGE_HELPER;
	ssize_t n;

	if (code != -EPERM)
		return helper_fail(h, code, "%s: %s", what, strerror(-code));
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[n > 0 ? n : (ssize_t)strlen(path)] = '\0';
	return helper_fail(h, code, "%s takes privileges that the helper has not; the administrator "
				    "gives it them (chown root %s; chmod u+s %s)", what, path, path);
}

static void ifreq_init(struct ifreq *ifr, const char *name)
{
	memset(ifr, 0, sizeof(*ifr));
	memcpy(ifr->ifr_name, name, strnlen(name, IFNAMSIZ - 1));
}

/* Anybody may ask this, so it is asked before the file is, and says more than that. */
static int helper_look(struct helper *h)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq ifr;

	h->sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (h->sock < 0)
		return helper_fail_sys(h, -errno, "a socket");
	ifreq_init(&ifr, h->bridge);
	if (ioctl(h->sock, SIOCGIFINDEX, &ifr) < 0)
		return helper_fail(h, -errno, "there is no such bridge; make it (ip link add %s type "
					      "bridge, or viaduct-nat up)", h->bridge);
	ifr.ifr_data = (void *)&info;
	if (ioctl(h->sock, SIOCETHTOOL, &ifr) < 0 || strcmp(info.driver, "bridge") != 0)
		return helper_fail(h, -ENOTSUP, "that interface is no bridge of the kernel; name one of "
						"(ip link show type bridge)");
	return 0;
}

static int helper_allowed(struct helper *h)
{
	char why[BRIDGE_ACL_WHY] = "";
	int ret;

	if (!getuid())
		return 0; /* root could do it without this program */
	ret = bridge_acl_check(BRIDGE_ACL_PATH, h->bridge, why);
	return ret ? helper_fail(h, ret, "%s", why) : 0;
}

/* What is open afterwards belongs to a namespace of its own, where there are several queues. */
static int helper_open(struct helper *h)
{
	int fd;

	if (h->queues > 1) {
		h->host_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		if (h->host_ns < 0)
			return helper_fail_sys(h, -errno, "/proc/self/ns/net");
		if (unshare(CLONE_NEWNET) < 0)
			return helper_fail_sys(h, -errno, "making an interface with several queues");
	}
	for (; h->tap_count < h->queues; h->tap_count++) {
		fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			return helper_fail_sys(h, -errno, "/dev/net/tun");
		h->taps[h->tap_count] = fd;
	}
	return 0;
}

/* Keeps of what it has the capabilities in @mask, and no way to more. */
static int caps_keep(uint32_t mask)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	data[0].permitted &= mask;
	data[0].effective = data[0].permitted;
	data[1].permitted = data[1].effective = 0;
	data[0].inheritable = data[1].inheritable = 0;
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static int helper_drop(struct helper *h)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	int ret;

	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return helper_fail_sys(h, -errno, "giving privileges up");
	ret = caps_keep(1u << CAP_NET_ADMIN);
	return ret ? helper_fail_sys(h, ret, "giving privileges up") : 0;
}

static int helper_make(struct helper *h)
{
	short flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	struct ifreq ifr;
	unsigned int i;

	if (h->queues > 1)
		flags |= IFF_MULTI_QUEUE;
	ifreq_init(&ifr, "viaduct%d");
	for (i = 0; i < h->queues; i++) {
		ifr.ifr_flags = flags; /* the answer overwrites it */
		if (ioctl(h->taps[i], TUNSETIFF, &ifr) < 0)
			return helper_fail_sys(h, -errno, "making a tap interface");
	}
	memcpy(h->tap, ifr.ifr_name, IFNAMSIZ);
	if (ioctl(h->taps[0], TUNSETOWNER, (unsigned long)getuid()) < 0)
		return helper_fail_sys(h, -errno, "giving the tap interface to its user");
	return 0;
}

struct move_request {
	struct nlmsghdr head;
	struct ifinfomsg link;
	struct rtattr name_head;
	char name[IFNAMSIZ]; /* 16: aligned */
	struct rtattr ns_head;
	int32_t ns;
};

static int rtnl_ask(const struct move_request *request)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
	} answer = { .head = { .nlmsg_len = 0 } };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), ret = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	/* The answer repeats the request behind the two headers: cut off. */
	if (send(fd, request, sizeof(*request), 0) < 0 ||
	    (n = recv(fd, &answer, sizeof(answer), MSG_TRUNC)) < 0)
		ret = -errno;
	else if ((size_t)n < sizeof(answer) || answer.head.nlmsg_type != NLMSG_ERROR)
		ret = -EPROTO;
	else
		ret = answer.error.error;
	close(fd);
	return ret;
}

/* To the host's network namespace, where it may need another name. */
static int helper_move(struct helper *h)
{
	struct move_request request = {
		.head = { .nlmsg_len = sizeof(request),
			  .nlmsg_type = RTM_NEWLINK,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.link = { .ifi_index = (int)if_nametoindex(h->tap) },
		.name_head = { RTA_LENGTH(IFNAMSIZ), IFLA_IFNAME },
		.name = "viaduct%d",
		.ns_head = { RTA_LENGTH(sizeof(int32_t)), IFLA_NET_NS_FD },
		.ns = h->host_ns,
	};
	struct ifreq ifr;
	int ret;

	if (h->host_ns < 0)
		return 0;
	ret = rtnl_ask(&request);
	if (ret)
		return helper_fail_sys(h, ret, "moving the tap interface");
	if (ioctl(h->taps[0], TUNGETIFF, &ifr) < 0)
		return helper_fail_sys(h, -errno, "the tap interface");
	memcpy(h->tap, ifr.ifr_name, IFNAMSIZ);
	return 0;
}

/* The bridge keeps its MTU and its address, which are the least of its ports'. */
static int helper_fit(struct helper *h)
{
	struct ifreq ifr, bridge;

	ifreq_init(&bridge, h->bridge);
	ifreq_init(&ifr, h->tap);
	if (ioctl(h->sock, SIOCGIFMTU, &bridge) < 0)
		return helper_fail_sys(h, -errno, "the bridge's MTU");
	ifr.ifr_mtu = bridge.ifr_mtu;
	if (ioctl(h->sock, SIOCSIFMTU, &ifr) < 0)
		return helper_fail_sys(h, -errno, "the tap interface's MTU");
	if (ioctl(h->sock, SIOCGIFHWADDR, &ifr) < 0)
		return helper_fail_sys(h, -errno, "the tap interface's address");
	ifr.ifr_hwaddr.sa_data[0] = (char)0xfe;
	if (ioctl(h->sock, SIOCSIFHWADDR, &ifr) < 0)
		return helper_fail_sys(h, -errno, "the tap interface's address");
	return 0;
}

static int helper_join(struct helper *h)
{
	struct ifreq ifr;
	int index;

	ifreq_init(&ifr, h->tap);
	if (ioctl(h->sock, SIOCGIFINDEX, &ifr) < 0)
		return helper_fail_sys(h, -errno, "the tap interface");
	index = ifr.ifr_ifindex;
	ifreq_init(&ifr, h->bridge);
	ifr.ifr_ifindex = index;
	if (ioctl(h->sock, SIOCBRADDIF, &ifr) < 0)
		return helper_fail_sys(h, -errno, "adding a port to the bridge");
	ifreq_init(&ifr, h->tap);
	if (ioctl(h->sock, SIOCGIFFLAGS, &ifr) < 0)
		return helper_fail_sys(h, -errno, "the tap interface");
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(h->sock, SIOCSIFFLAGS, &ifr) < 0)
		return helper_fail_sys(h, -errno, "setting the tap interface up");
	return 0;
}

static void helper_run(struct helper *h)
{
	int (*const steps[])(struct helper *h) = {
		helper_look, helper_allowed, helper_open, helper_drop,
		helper_make, helper_move,    helper_fit,  helper_join,
	};
	size_t i;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (steps[i](h))
			return;
	memcpy(h->answer.text, h->tap, sizeof(h->tap));
}

static int helper_answer(struct helper *h)
{
	union {
		char buf[CMSG_SPACE(sizeof(h->taps))];
		struct cmsghdr align;
	} control = { .buf = { 0 } };
	struct iovec iov = { &h->answer, sizeof(h->answer) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	size_t size = h->queues * sizeof(h->taps[0]);
	struct cmsghdr *cmsg;

	if (!h->answer.code) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(size);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(cmsg), h->taps, size);
	}
	return sendmsg(NET_BRIDGE_FD, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0;
}

/* A caller may have closed what every program takes for granted, and left open what is none of this
 * one's business. */
static bool helper_descriptors(void)
{
	struct stat st;
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
	if (close_range(NET_BRIDGE_FD + 1, ~0u, 0) < 0)
		return false;
	return !fstat(NET_BRIDGE_FD, &st) && S_ISSOCK(st.st_mode);
}

static bool helper_arguments(struct helper *h, int argc, char **argv)
{
	const char *p;
	char *end;
	unsigned long queues;

	if (argc != 3)
		return false;
	for (p = argv[1]; *p > ' ' && *p <= '~' && *p != '/' && *p != '%'; p++)
		;
	if (*p || p == argv[1] || p - argv[1] >= IFNAMSIZ)
		return false;
	queues = strtoul(argv[2], &end, 10);
	if (*end || queues < 1 || queues > NET_BRIDGE_QUEUES)
		return false;
	h->bridge = argv[1];
	h->queues = (unsigned int)queues;
	return true;
}

int main(int argc, char **argv)
{
	struct helper h = { .sock = -1, .host_ns = -1 };

	clearenv();
	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
		return fputs(USAGE, stdout) < 0;
	if (!helper_arguments(&h, argc, argv) || !helper_descriptors()) {
		fputs(USAGE, stderr);
		return 2;
	}
	helper_run(&h);
	if (caps_keep(0) && !h.answer.code)
		return 1;
	return helper_answer(&h) || h.answer.code;
}
