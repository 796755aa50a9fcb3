// SPDX-License-Identifier: GPL-2.0-or-later
#include "host_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "vf_netlink.h"

#define DUMPS_MAX 8 /* one that was disturbed by a change is begun again so often */

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
static int found_hops(struct found *f, const struct nlattr *attr, const char *to)
{
	const struct rtnexthop *hop = nla_data(attr);
	int left = nla_len(attr), ret = 0;

	while (!ret && left >= (int)sizeof(*hop) && RTNH_OK(hop, left)) {
		ret = found_add(f, (unsigned int)hop->rtnh_ifindex, to);
		left -= (int)RTNH_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
	return ret;
}

/* An attribute of a route that has at least @size bytes, or NULL. */
static struct nlattr *attr_of(struct nlmsghdr *m, int type, size_t size)
{
	struct nlattr *attr = nlmsg_find_attr(m, sizeof(struct rtmsg), type);

	return attr && nla_len(attr) >= (int)size ? attr : NULL;
}

/* What the kernel adds with an address (RTPROT_KERNEL) says no more than the address does. */
static int take_route(void *opaque, struct nlmsghdr *m)
{
	char address[INET6_ADDRSTRLEN], to[sizeof(((struct host_route *)NULL)->to)] = "default";
	const struct rtmsg *route = nlmsg_data(m);
	const struct nlattr *attr;
	struct found *f = opaque;
	int ret = 0;

	if (m->nlmsg_type != RTM_NEWROUTE || !nlmsg_valid_hdr(m, sizeof(*route)) ||
	    (route->rtm_family != AF_INET && route->rtm_family != AF_INET6) ||
	    route->rtm_type != RTN_UNICAST || route->rtm_protocol == RTPROT_KERNEL ||
	    route->rtm_flags & RTM_F_CLONED)
		return 0;
	attr = attr_of(m, RTA_DST, route->rtm_family == AF_INET ? sizeof(struct in_addr) :
								  sizeof(struct in6_addr));
	if (attr && route->rtm_dst_len &&
	    inet_ntop(route->rtm_family, nla_data(attr), address, sizeof(address)))
		snprintf(to, sizeof(to), "%s/%u", address, route->rtm_dst_len);
	attr = attr_of(m, RTA_OIF, sizeof(uint32_t));
	if (attr)
		ret = found_add(f, nla_get_u32(attr), to);
	attr = attr_of(m, RTA_MULTIPATH, 0);
	return attr && !ret ? found_hops(f, attr, to) : ret;
}

/* Asks for routes: all of them with the flag NLM_F_DUMP, else the one to @to from @from (either may
 * be NULL). Each part of the answer is given to @take. */
static int ask_routes(int flags, const struct address *to, const struct address *from,
		      int (*take)(void *opaque, struct nlmsghdr *m), void *opaque)
{
	struct netlink_ask ask = { .take = take, .opaque = opaque };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, flags);
	struct rtmsg route = {
		.rtm_family = (unsigned char)(to ? to->family : AF_UNSPEC),
		.rtm_dst_len = (unsigned char)(to ? to->size * 8 : 0),
		.rtm_src_len = (unsigned char)(from ? from->size * 8 : 0),
	};
	int ret = -ENOMEM;

	if (msg && !nlmsg_append(msg, &route, sizeof(route), NLMSG_ALIGNTO) &&
	    (!to || !nla_put(msg, RTA_DST, (int)to->size, to->bytes)) &&
	    (!from || !nla_put(msg, RTA_SRC, (int)from->size, from->bytes)))
		ret = netlink_init(&ask, NETLINK_ROUTE);
	if (!ret)
		ret = netlink_run(&ask, msg);
	netlink_done(&ask);
	nlmsg_free(msg);
	return ret;
}

int host_net_routes(const struct host *host, struct host_route **ret_routes, size_t *ret_count)
{
	struct found f = { .count = 0 };
	int ret = -EAGAIN, tries;
	size_t i;

	(void)host;
	for (tries = 0; tries < DUMPS_MAX && ret == -EAGAIN; tries++) {
		f.count = 0;
		ret = ask_routes(NLM_F_DUMP, NULL, NULL, take_route, &f);
	}
	/* One that went away meanwhile stays nameless and is nobody's. */
	for (i = 0; i < f.count && !ret; i++)
		if_indextoname(f.index[i], f.routes[i].ifname);
	free(f.index);
	if (ret) {
		free(f.routes);
		return ret;
	}
	*ret_routes = f.routes;
	*ret_count = f.count;
	return 0;
}

static int take_way(void *opaque, struct nlmsghdr *m)
{
	struct nlattr *attr = m->nlmsg_type == RTM_NEWROUTE ?
			      attr_of(m, RTA_OIF, sizeof(uint32_t)) : NULL;

	if (attr)
		*(unsigned int *)opaque = nla_get_u32(attr);
	return 0;
}

/* The interface that the kernel would send through: 0, -ENETUNREACH or -errno. */
static int lookup(const struct address *to, const struct address *from, char ifname[HOST_NAME_MAX])
{
	unsigned int index = 0;
	int ret = ask_routes(0, to, from, take_way, &index);

	if (ret)
		return ret == -EHOSTUNREACH ? -ENETUNREACH : ret;
	return index && if_indextoname(index, ifname) ? 0 : -ENETUNREACH;
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

	(void)host;
	if (address_parse(to_text, &to))
		return -EINVAL;
	/* A VRF's address is no source in the main table, and its routes are in one of its own. */
	if (!lookup(&to, has_from && from.family == to.family ? &from : NULL, ifname) ||
	    (has_from && !owner_of(&from, ifname)))
		return 0;
	return lookup(&to, NULL, ifname);
}
