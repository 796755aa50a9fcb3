// SPDX-License-Identifier: GPL-2.0-or-later
#include "host_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/util.h"

#define REPLY_SIZE 32768 /* a dump's messages come in parts of at most this (netlink(7)) */
#define DUMPS_MAX 8	 /* one that was disturbed by a change is begun again so often */

struct request {
	struct nlmsghdr head;
	struct rtmsg route;
	unsigned char attrs[2 * RTA_SPACE(sizeof(struct in6_addr))];
};

/* An address of either family. */
struct address {
	int family;
	size_t size;
	unsigned char bytes[sizeof(struct in6_addr)];
};

/* What a dump has found so far: one entry for each interface. */
struct found {
	struct host_route *routes;
	unsigned int *index; /* the interfaces' numbers */
	size_t count;
};

static int address_parse(const char *text, struct address *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	ret->size = ret->family == AF_INET6 ? sizeof(struct in6_addr) : sizeof(struct in_addr);
	return inet_pton(ret->family, text, ret->bytes) == 1 ? 0 : -EINVAL;
}

static int ask(const struct request *req)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	const struct timeval limit = { .tv_sec = 10 };
	ssize_t n;
	int ret;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    (n = send(fd, req, req->head.nlmsg_len, 0)) < 0) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}

/* One datagram of the kernel's; nobody else's is listened to. */
static ssize_t reply(int fd, void *buf, size_t size)
{
	struct sockaddr_nl from = { .nl_family = AF_NETLINK };
	socklen_t len = sizeof(from);
	ssize_t n;

	do {
		n = recvfrom(fd, buf, size, MSG_TRUNC, (struct sockaddr *)&from, &len);
	} while ((n < 0 && errno == EINTR) || (n >= 0 && from.nl_pid != 0));
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return (size_t)n > size ? -EMSGSIZE : n;
}

static int error_of(const struct nlmsghdr *m)
{
	const struct nlmsgerr *e = NLMSG_DATA(m);

	return m->nlmsg_len >= NLMSG_LENGTH(sizeof(*e)) && e->error ? e->error : -EPROTO;
}

static int found_add(struct found *f, unsigned int index, const char *to)
{
	struct host_route *routes;
	unsigned int *numbers;
	size_t i;

	for (i = 0; i < f->count && f->index[i] != index; i++)
		;
	if (i == f->count) {
		routes = reallocarray(f->routes, i + 1, sizeof(*routes));
		if (routes)
			f->routes = routes;
		numbers = reallocarray(f->index, i + 1, sizeof(*numbers));
		if (numbers)
			f->index = numbers;
		if (!routes || !numbers)
			return -ENOMEM;
		f->index[f->count++] = index;
	} else if (strcmp(to, "default") != 0) {
		return 0;
	}
	memset(&f->routes[i], 0, sizeof(f->routes[i]));
	snprintf(f->routes[i].to, sizeof(f->routes[i].to), "%s", to);
	return 0;
}

/* All that one next hop or several lead over. */
static int found_hops(struct found *f, const struct rtattr *attr, const char *to)
{
	const struct rtnexthop *hop = RTA_DATA(attr);
	int left = (int)RTA_PAYLOAD(attr), ret = 0;

	if (attr->rta_type == RTA_OIF)
		return left >= (int)sizeof(uint32_t) ? found_add(f, *(uint32_t *)RTA_DATA(attr), to) : 0;
	while (!ret && left >= (int)sizeof(*hop) && RTNH_OK(hop, left)) {
		ret = found_add(f, (unsigned int)hop->rtnh_ifindex, to);
		left -= (int)NLMSG_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
	return ret;
}

/* What the kernel adds with an address (RTPROT_KERNEL) says no more than the address does. */
static int route_add(const struct nlmsghdr *m, struct found *f)
{
	const struct rtmsg *route = NLMSG_DATA(m);
	char address[INET6_ADDRSTRLEN], to[sizeof(f->routes->to)] = "default";
	const struct rtattr *attr;
	int left, ret = 0;

	if (m->nlmsg_type != RTM_NEWROUTE || m->nlmsg_len < NLMSG_LENGTH(sizeof(*route)) ||
	    (route->rtm_family != AF_INET && route->rtm_family != AF_INET6) ||
	    route->rtm_type != RTN_UNICAST || route->rtm_protocol == RTPROT_KERNEL ||
	    route->rtm_flags & RTM_F_CLONED)
		return 0;
	left = (int)RTM_PAYLOAD(m);
	for (attr = RTM_RTA(route); RTA_OK(attr, left); attr = RTA_NEXT(attr, left)) {
		if (attr->rta_type == RTA_DST && route->rtm_dst_len &&
		    RTA_PAYLOAD(attr) >= (route->rtm_family == AF_INET ? 4u : 16u) &&
		    inet_ntop(route->rtm_family, RTA_DATA(attr), address, sizeof(address)))
			snprintf(to, sizeof(to), "%s/%u", address, route->rtm_dst_len);
	}
	left = (int)RTM_PAYLOAD(m);
	for (attr = RTM_RTA(route); RTA_OK(attr, left) && !ret; attr = RTA_NEXT(attr, left)) {
		if (attr->rta_type == RTA_OIF || attr->rta_type == RTA_MULTIPATH)
			ret = found_hops(f, attr, to);
	}
	return ret;
}

/* Returns 1 when the dump is complete, 0 when more is to come, or -errno. */
static int dump_part(const void *buf, ssize_t len, struct found *f, bool *disturbed)
{
	const struct nlmsghdr *m;
	int left = (int)len, ret = 0;

	for (m = buf; NLMSG_OK(m, (unsigned int)left) && !ret; m = NLMSG_NEXT(m, left)) {
		*disturbed = *disturbed || m->nlmsg_flags & NLM_F_DUMP_INTR;
		if (m->nlmsg_type == NLMSG_DONE)
			return 1;
		ret = m->nlmsg_type == NLMSG_ERROR ? error_of(m) : route_add(m, f);
	}
	return ret;
}

static int dump(struct found *f, bool *disturbed)
{
	const struct request req = {
		.head = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
			  .nlmsg_type = RTM_GETROUTE,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
	};
	CLEANUP_FREE void *buf = malloc(REPLY_SIZE);
	int fd = buf ? ask(&req) : -ENOMEM;
	ssize_t n;
	int ret = 0;

	if (fd < 0)
		return fd;
	while (!ret) {
		n = reply(fd, buf, REPLY_SIZE);
		ret = n < 0 ? (int)n : dump_part(buf, n, f, disturbed);
	}
	close(fd);
	return ret < 0 ? ret : 0;
}

int host_net_routes(const struct host *host, struct host_route **ret_routes, size_t *ret_count)
{
	struct found f = { .count = 0 };
	bool disturbed = true;
	size_t i;
	int ret = 0, tries;

	(void)host;
	for (tries = 0; tries < DUMPS_MAX && disturbed && !ret; tries++) {
		disturbed = false;
		f.count = 0;
		ret = dump(&f, &disturbed);
	}
	/* One that went away meanwhile stays nameless and is nobody's. */
	for (i = 0; i < f.count && !ret; i++)
		if_indextoname(f.index[i], f.routes[i].ifname);
	free(f.index);
	if (ret || disturbed) {
		free(f.routes);
		return ret ? ret : -EAGAIN;
	}
	*ret_routes = f.routes;
	*ret_count = f.count;
	return 0;
}

static void request_add(struct request *req, unsigned short type, const struct address *a)
{
	unsigned char *at = (unsigned char *)req + NLMSG_ALIGN(req->head.nlmsg_len);
	const struct rtattr attr = { .rta_len = (unsigned short)RTA_LENGTH(a->size), .rta_type = type };

	memcpy(at, &attr, sizeof(attr));
	memcpy(at + RTA_LENGTH(0), a->bytes, a->size);
	req->head.nlmsg_len = NLMSG_ALIGN(req->head.nlmsg_len) + (uint32_t)RTA_SPACE(a->size);
}

/* The number of the interface that the kernel would send through, or -errno. */
static int lookup(const struct address *to, const struct address *from)
{
	struct request req = {
		.head = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
			  .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST },
		.route = { .rtm_family = (unsigned char)to->family,
			   .rtm_dst_len = (unsigned char)(to->size * 8) },
	};
	unsigned char buf[8192] __attribute__((aligned(NLMSG_ALIGNTO)));
	const struct nlmsghdr *m = (const void *)buf;
	const struct rtattr *attr;
	ssize_t n;
	int fd, left;

	request_add(&req, RTA_DST, to);
	if (from) {
		req.route.rtm_src_len = (unsigned char)(from->size * 8);
		request_add(&req, RTA_SRC, from);
	}
	fd = ask(&req);
	if (fd < 0)
		return fd;
	n = reply(fd, buf, sizeof(buf));
	close(fd);
	if (n < 0)
		return (int)n;
	if (!NLMSG_OK(m, (unsigned int)n))
		return -EPROTO;
	if (m->nlmsg_type == NLMSG_ERROR)
		return error_of(m);
	if (m->nlmsg_type != RTM_NEWROUTE || m->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg)))
		return -EPROTO;
	left = (int)RTM_PAYLOAD(m);
	for (attr = RTM_RTA(NLMSG_DATA(m)); RTA_OK(attr, left); attr = RTA_NEXT(attr, left)) {
		if (attr->rta_type == RTA_OIF && RTA_PAYLOAD(attr) >= sizeof(uint32_t))
			return (int)*(uint32_t *)RTA_DATA(attr);
	}
	return -ENETUNREACH;
}

static bool is_address(const struct sockaddr *sa, const struct address *a)
{
	const struct sockaddr_in6 *in6 = (const void *)sa;
	const struct sockaddr_in *in = (const void *)sa;

	if (!sa || sa->sa_family != a->family)
		return false;
	return !memcmp(a->family == AF_INET ? (const void *)&in->sin_addr : &in6->sin6_addr,
		       a->bytes, a->size);
}

/* The interface that has the address: 0, or -ENETUNREACH when none has. */
static int owner_of(const struct address *a, char ifname[HOST_NAME_MAX])
{
	struct ifaddrs *list, *i;
	int ret = -ENETUNREACH;

	if (getifaddrs(&list) < 0)
		return -errno;
	for (i = list; i && ret; i = i->ifa_next) {
		if (!is_address(i->ifa_addr, a))
			continue;
		snprintf(ifname, HOST_NAME_MAX, "%s", i->ifa_name);
		ret = 0;
	}
	freeifaddrs(list);
	return ret;
}

int host_net_route_to(const struct host *host, const char *to_text, const char *from_text,
		      char ifname[HOST_NAME_MAX])
{
	struct address to, from;
	bool has_from = !address_parse(from_text, &from);
	int index;

	(void)host;
	if (address_parse(to_text, &to))
		return -EINVAL;
	/* A VRF's address is no source in the main table, and its routes are in one of its own. */
	index = lookup(&to, has_from && from.family == to.family ? &from : NULL);
	if (index > 0 && if_indextoname((unsigned int)index, ifname))
		return 0;
	if (has_from && !owner_of(&from, ifname))
		return 0;
	index = lookup(&to, NULL);
	if (index < 0)
		return index == -EHOSTUNREACH ? -ENETUNREACH : index;
	return if_indextoname((unsigned int)index, ifname) ? 0 : -ENETUNREACH;
}
