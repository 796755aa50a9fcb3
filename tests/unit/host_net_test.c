// SPDX-License-Identifier: GPL-2.0-or-later
/* Routes as rtnetlink tells them: whole, disturbed, refused and spoilt. The kernel is this program, at
 * the border vf_netlink.h, with interfaces of its own. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "sriov/host_net.h"
#include "sriov/vf_netlink.h"

#define DUMP_MAX 8
#define SPOILT 20000

/* What the kernel has, and was asked. */
static struct {
	struct nlmsghdr *dump[2][DUMP_MAX]; /* the answers to a dump, the last for all after it */
	unsigned int count[2];
	int codes[16]; /* what each question comes to */
	unsigned int asked;
	unsigned int way, way_of_source; /* interface of a lookup, and of one from an address */
	char to[INET6_ADDRSTRLEN], from[INET6_ADDRSTRLEN]; /* the last lookup's; "" none */
	const char *address; /* of eth2 */
} t;

/* --- the border ---------------------------------------------------------------------------------- */

int netlink_init(struct netlink_ask *ask, int protocol)
{
	assert_int_equal(protocol, NETLINK_ROUTE);
	ask->sock = NULL;
	return 0;
}

void netlink_done(struct netlink_ask *ask)
{
	(void)ask;
}

static int give_dump(struct netlink_ask *ask, unsigned int round)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < t.count[round] && !ret; i++)
		ret = ask->take(ask->opaque, t.dump[round][i]);
	return ret;
}

static void address_of(struct nlmsghdr *m, int type, char text[INET6_ADDRSTRLEN])
{
	const struct rtmsg *route = nlmsg_data(m);
	struct nlattr *attr = nlmsg_find_attr(m, sizeof(*route), type);

	text[0] = '\0';
	if (attr)
		assert_non_null(inet_ntop(route->rtm_family, nla_data(attr), text,
					  INET6_ADDRSTRLEN));
}

static void give_way(struct netlink_ask *ask, struct nlmsghdr *question)
{
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWROUTE, 0);
	struct rtmsg route = { .rtm_family = AF_INET };

	address_of(question, RTA_DST, t.to);
	address_of(question, RTA_SRC, t.from);
	assert_non_null(msg);
	assert_int_equal(nlmsg_append(msg, &route, sizeof(route), NLMSG_ALIGNTO), 0);
	nla_put_u32(msg, RTA_OIF, *t.from ? t.way_of_source : t.way);
	assert_int_equal(ask->take(ask->opaque, nlmsg_hdr(msg)), 0);
	nlmsg_free(msg);
}

int netlink_run(struct netlink_ask *ask, struct nl_msg *msg)
{
	struct nlmsghdr *m = nlmsg_hdr(msg);
	unsigned int n = t.asked++;
	int ret = 0;

	assert_true(n < ARRAY_SIZE(t.codes));
	assert_int_equal(m->nlmsg_type, RTM_GETROUTE);
	/* A list that is disturbed or breaks off has been told in part. */
	if (m->nlmsg_flags & NLM_F_DUMP)
		ret = give_dump(ask, MIN(n, 1u));
	else if (!t.codes[n])
		give_way(ask, m);
	return ret ? ret : t.codes[n];
}

/* Interface 7 is gone. */
char *if_indextoname(unsigned int index, char name[IF_NAMESIZE])
{
	if (!index || index > 6)
		return NULL;
	snprintf(name, IF_NAMESIZE, "eth%u", index);
	return name;
}

int getifaddrs(struct ifaddrs **ret)
{
	static char names[2][IF_NAMESIZE] = { "eth1", "eth2" };
	struct ifaddrs *list = calloc(2, sizeof(*list));
	struct sockaddr_in *in = calloc(1, sizeof(*in));

	assert_non_null(list);
	assert_non_null(in);
	in->sin_family = AF_INET;
	assert_int_equal(inet_pton(AF_INET, t.address, &in->sin_addr), 1);
	list[0].ifa_name = names[0]; /* without an address, as a tunnel is */
	list[0].ifa_next = &list[1];
	list[1].ifa_name = names[1];
	list[1].ifa_addr = (struct sockaddr *)in;
	*ret = list;
	return 0;
}

void freeifaddrs(struct ifaddrs *list)
{
	free(list[1].ifa_addr);
	free(list);
}

/* --- answers ------------------------------------------------------------------------------------- */

/* A route to @to ("": default) over @index, or with 0 without one; of the kind @route. */
static struct nl_msg *route_new(struct rtmsg route, const char *to, unsigned int index)
{
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWROUTE, 0);
	unsigned char bytes[16];
	int size = strchr(to, ':') ? 16 : 4;

	route.rtm_family = size == 16 ? AF_INET6 : AF_INET;
	assert_non_null(msg);
	assert_int_equal(nlmsg_append(msg, &route, sizeof(route), NLMSG_ALIGNTO), 0);
	if (*to) {
		assert_int_equal(inet_pton(route.rtm_family, to, bytes), 1);
		assert_int_equal(nla_put(msg, RTA_DST, size, bytes), 0);
	}
	if (index)
		assert_int_equal(nla_put_u32(msg, RTA_OIF, index), 0);
	return msg;
}

/* A copy of just its length, so that a sanitizer sees what is read behind it. */
static struct nlmsghdr *copy_of(const struct nl_msg *msg)
{
	const struct nlmsghdr *m = nlmsg_hdr((struct nl_msg *)(uintptr_t)msg);
	struct nlmsghdr *copy = malloc(m->nlmsg_len);

	assert_non_null(copy);
	memcpy(copy, m, m->nlmsg_len);
	return copy;
}

static void tell(unsigned int round, struct nl_msg *msg)
{
	assert_true(t.count[round] < DUMP_MAX);
	t.dump[round][t.count[round]++] = copy_of(msg);
	nlmsg_free(msg);
}

static const struct rtmsg plain = { .rtm_type = RTN_UNICAST, .rtm_protocol = RTPROT_STATIC };

static struct rtmsg net(unsigned char bits)
{
	struct rtmsg route = plain;

	route.rtm_dst_len = bits;
	return route;
}

static struct nl_msg *multipath(unsigned int first, unsigned int second)
{
	struct rtnexthop hops[] = {
		{ .rtnh_len = sizeof(hops[0]), .rtnh_ifindex = (int)first },
		{ .rtnh_len = sizeof(hops[0]), .rtnh_ifindex = (int)second },
	};
	struct nl_msg *msg = route_new(plain, "", 0);

	assert_int_equal(nla_put(msg, RTA_MULTIPATH, sizeof(hops), hops), 0);
	return msg;
}

static int setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.address = "192.0.2.9";
	return 0;
}

static int teardown(void **state)
{
	unsigned int i, j;

	(void)state;
	for (i = 0; i < 2; i++) {
		for (j = 0; j < t.count[i]; j++)
			free(t.dump[i][j]);
	}
	return 0;
}

/* --- lists --------------------------------------------------------------------------------------- */

/* "eth1=default eth2=192.0.2.0/24", or the errno. */
static void expect_routes(const char *text)
{
	struct host_route *routes = NULL;
	char got[512] = "";
	size_t count = 0, i, at = 0;
	int ret = host_net_routes(NULL, &routes, &count);

	if (ret)
		snprintf(got, sizeof(got), "%s", strerrorname_np(-ret));
	for (i = 0; i < count; i++)
		at += (size_t)snprintf(got + at, sizeof(got) - at, "%s%s=%s", i ? " " : "",
				       routes[i].ifname, routes[i].to);
	free(routes);
	assert_string_equal(got, text);
}

static void test_list(void **state)
{
	(void)state;
	expect_routes("");
	t.asked = 0;
	tell(0, route_new(net(24), "192.0.2.0", 2));
	tell(0, route_new(plain, "", 1));
	tell(0, route_new(net(32), "2001:db8::", 3));
	/* A second of an interface says more only when it is the default. */
	tell(0, route_new(net(8), "10.0.0.0", 1));
	tell(0, route_new(plain, "::", 3));
	tell(0, multipath(4, 2));
	/* Gone by the time its name is asked for. */
	tell(0, route_new(net(24), "198.51.100.0", 7));
	expect_routes("eth2=default eth1=default eth3=default eth4=default =198.51.100.0/24");
}

static void test_ignored(void **state)
{
	struct rtmsg kernel = plain, local = plain, cached = plain;
	struct nl_msg *gone = route_new(plain, "", 1), *other = route_new(plain, "", 1);

	(void)state;
	kernel.rtm_protocol = RTPROT_KERNEL;
	local.rtm_type = RTN_LOCAL;
	cached.rtm_flags = RTM_F_CLONED;
	tell(0, route_new(kernel, "", 1));
	tell(0, route_new(local, "", 1));
	tell(0, route_new(cached, "", 1));
	tell(0, route_new(plain, "", 0)); /* nowhere */
	nlmsg_hdr(gone)->nlmsg_type = RTM_DELROUTE;
	tell(0, gone);
	((struct rtmsg *)nlmsg_data(nlmsg_hdr(other)))->rtm_family = AF_MPLS;
	tell(0, other);
	expect_routes("");
}

/* What was told before the list was disturbed is not what is. */
static void test_disturbed(void **state)
{
	unsigned int i;

	(void)state;
	tell(0, route_new(plain, "", 1));
	tell(0, route_new(plain, "", 2));
	tell(1, route_new(net(24), "192.0.2.0", 3));
	t.codes[0] = t.codes[1] = -EAGAIN;
	expect_routes("eth3=192.0.2.0/24");
	assert_int_equal(t.asked, 3);
	/* One that never comes to rest is given up. */
	t.asked = 0;
	for (i = 0; i < ARRAY_SIZE(t.codes); i++)
		t.codes[i] = -EAGAIN;
	expect_routes("EAGAIN");
	assert_int_equal(t.asked, 8);
}

static void test_refused(void **state)
{
	(void)state;
	tell(0, route_new(plain, "", 1));
	t.codes[0] = -EPERM;
	expect_routes("EPERM");
	assert_int_equal(t.asked, 1);
}

/* --- hostile -------------------------------------------------------------------------------------- */

static void test_short(void **state)
{
	struct nl_msg *index = route_new(plain, "", 0), *hops = route_new(plain, "", 0);
	struct rtnexthop endless = { .rtnh_len = 0, .rtnh_ifindex = 1 };

	(void)state;
	assert_int_equal(nla_put_u16(index, RTA_OIF, 1), 0);
	tell(0, index);
	assert_int_equal(nla_put(hops, RTA_MULTIPATH, sizeof(endless), &endless), 0);
	tell(0, hops);
	expect_routes("");
}

static void spoil(struct nlmsghdr *m, uint64_t *random)
{
	uint8_t *bytes = (uint8_t *)m + sizeof(*m);
	size_t body = m->nlmsg_len - sizeof(*m);
	unsigned int i;

	for (i = 0; i < 4; i++) {
		*random ^= *random << 13;
		*random ^= *random >> 7;
		*random ^= *random << 17;
		bytes[*random % body] = (uint8_t)(*random >> 32);
	}
}

/* Bytes that mean nothing: no crash, no read behind the message, one line of text for each. */
static void test_spoilt(void **state)
{
	struct nl_msg *parts[] = { route_new(net(24), "192.0.2.0", 2), multipath(3, 4),
				   route_new(net(64), "2001:db8::", 5) };
	uint64_t random = 88172645463325252;
	struct host_route *routes;
	unsigned int round, i;
	size_t count, j;

	(void)state;
	for (round = 0; round < SPOILT; round++) {
		setup(NULL);
		for (i = 0; i < ARRAY_SIZE(parts); i++) {
			t.dump[0][t.count[0]++] = copy_of(parts[i]);
			spoil(t.dump[0][i], &random);
		}
		routes = NULL;
		count = 0;
		if (!host_net_routes(NULL, &routes, &count))
			for (j = 0; j < count; j++)
				assert_true(strnlen(routes[j].to, sizeof(routes[j].to)) <
					    sizeof(routes[j].to));
		free(routes);
		teardown(NULL);
	}
	setup(NULL);
	for (i = 0; i < ARRAY_SIZE(parts); i++)
		nlmsg_free(parts[i]);
}

/* --- one way --------------------------------------------------------------------------------------- */

static void expect_way(const char *to, const char *from, int code, const char *ifname)
{
	char got[HOST_NAME_MAX] = "";

	t.asked = 0;
	assert_int_equal(host_net_route_to(NULL, to, from, got), code);
	assert_string_equal(got, ifname);
}

static void test_way(void **state)
{
	(void)state;
	t.way = 1;
	t.way_of_source = 3;
	expect_way("198.51.100.7", "", 0, "eth1");
	assert_string_equal(t.to, "198.51.100.7");
	assert_string_equal(t.from, "");
	expect_way("198.51.100.7", "192.0.2.1", 0, "eth3");
	assert_string_equal(t.from, "192.0.2.1");
	expect_way("2001:db8::1", "2001:db8::2", 0, "eth3");
	assert_string_equal(t.to, "2001:db8::1");
	/* A source of the other family is none. */
	expect_way("2001:db8::1", "192.0.2.1", 0, "eth1");
	assert_string_equal(t.from, "");
	expect_way("nowhere", "", -EINVAL, "");
	assert_int_equal(t.asked, 0);
	expect_way("198.51.100.7/24", "", -EINVAL, "");
	expect_way("", "192.0.2.1", -EINVAL, "");
}

static void test_no_way(void **state)
{
	(void)state;
	t.way = 1;
	t.way_of_source = 3;
	/* No route from that address: the interface that has it. */
	t.codes[0] = -EINVAL;
	expect_way("198.51.100.7", "192.0.2.9", 0, "eth2");
	assert_int_equal(t.asked, 1);
	/* None has it: what the destination alone says. */
	expect_way("198.51.100.7", "192.0.2.8", 0, "eth1");
	assert_int_equal(t.asked, 2);
	assert_string_equal(t.from, "");
	t.codes[0] = t.codes[1] = -EHOSTUNREACH;
	expect_way("198.51.100.7", "", -ENETUNREACH, "");
	t.codes[0] = t.codes[1] = -EPERM;
	expect_way("198.51.100.7", "", -EPERM, "");
	t.codes[0] = t.codes[1] = 0;
	t.way = 7; /* gone meanwhile */
	expect_way("198.51.100.7", "", -ENETUNREACH, "");
	t.way = 0;
	expect_way("198.51.100.7", "", -ENETUNREACH, "");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_list),	 T(test_ignored), T(test_disturbed), T(test_refused), T(test_short),
		T(test_spoilt), T(test_way),	 T(test_no_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
