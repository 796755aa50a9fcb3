// SPDX-License-Identifier: GPL-2.0-or-later
/* What rtnetlink says of a VF, whole, cut short and spoilt. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "sriov/vf_netlink.h"

#define SPOILT 20000

static void put(struct nl_msg *msg, int type, const void *data, size_t size)
{
	assert_int_equal(nla_put(msg, type, (int)size, data), 0);
}

/* As rtnl_fill_vfinfo() does it. */
static void put_vf(struct nl_msg *msg, uint32_t vf, bool list)
{
	struct ifla_vf_mac mac = { .vf = vf, .mac = { 0x52, 0x54, 0, 0, 0, (uint8_t)vf } };
	struct ifla_vf_vlan vlan = { .vf = vf, .vlan = 100 + vf, .qos = 3 };
	struct ifla_vf_vlan_info info = { .vf = vf, .vlan = 100 + vf, .qos = 3,
					  .vlan_proto = htons(0x88a8) };
	struct ifla_vf_rate rate = { .vf = vf, .min_tx_rate = 10, .max_tx_rate = 1000 + vf };
	struct ifla_vf_spoofchk spoof = { .vf = vf, .setting = 1 };
	struct ifla_vf_trust trust = { .vf = vf, .setting = UINT32_MAX };
	struct ifla_vf_link_state link = { .vf = vf, .link_state = 2 };
	struct ifla_vf_guid guid = { .vf = vf, .guid = 0x021cb00000123456 };
	struct nlattr *nest = nla_nest_start(msg, IFLA_VF_INFO), *inner;

	assert_non_null(nest);
	put(msg, IFLA_VF_MAC, &mac, sizeof(mac));
	put(msg, IFLA_VF_VLAN, &vlan, sizeof(vlan));
	put(msg, IFLA_VF_RATE, &rate, sizeof(rate));
	put(msg, IFLA_VF_SPOOFCHK, &spoof, sizeof(spoof));
	put(msg, IFLA_VF_TRUST, &trust, sizeof(trust));
	put(msg, IFLA_VF_LINK_STATE, &link, sizeof(link));
	put(msg, IFLA_VF_IB_NODE_GUID, &guid, sizeof(guid));
	if (list) {
		inner = nla_nest_start(msg, IFLA_VF_VLAN_LIST);
		assert_non_null(inner);
		put(msg, IFLA_VF_VLAN_INFO, &info, sizeof(info));
		nla_nest_end(msg, inner);
	}
	nla_nest_end(msg, nest);
}

static struct nl_msg *link_answer(unsigned short type, unsigned int vfs, bool list)
{
	struct ifinfomsg link = { .ifi_type = type };
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWLINK, 0);
	struct nlattr *nest;
	unsigned int i;

	assert_non_null(msg);
	assert_int_equal(nlmsg_append(msg, &link, sizeof(link), NLMSG_ALIGNTO), 0);
	nest = nla_nest_start(msg, IFLA_VFINFO_LIST);
	assert_non_null(nest);
	for (i = 0; i < vfs; i++)
		put_vf(msg, i, list);
	nla_nest_end(msg, nest);
	return msg;
}

static void test_whole(void **state)
{
	struct nl_msg *msg = link_answer(ARPHRD_ETHER, 3, true);
	struct vf_attrs attrs = { .has = 0 };

	(void)state;
	assert_int_equal(netlink_vf_parse(nlmsg_hdr(msg), 2, &attrs), 0);
	/* The driver does not tell trust: all ones. */
	assert_int_equal(attrs.has, BIT(VF_ATTR_MAC) | BIT(VF_ATTR_VLAN) | BIT(VF_ATTR_QOS) |
			 BIT(VF_ATTR_VLAN_PROTO) | BIT(VF_ATTR_MIN_RATE) | BIT(VF_ATTR_MAX_RATE) |
			 BIT(VF_ATTR_SPOOFCHK) | BIT(VF_ATTR_LINK_STATE) | BIT(VF_ATTR_NODE_GUID));
	assert_int_equal(attrs.value[VF_ATTR_MAC], 0x525400000002);
	assert_int_equal(attrs.value[VF_ATTR_VLAN], 102);
	assert_int_equal(attrs.value[VF_ATTR_QOS], 3);
	assert_int_equal(attrs.value[VF_ATTR_VLAN_PROTO], 0x88a8);
	assert_int_equal(attrs.value[VF_ATTR_MIN_RATE], 10);
	assert_int_equal(attrs.value[VF_ATTR_MAX_RATE], 1002);
	assert_int_equal(attrs.value[VF_ATTR_SPOOFCHK], 1);
	assert_int_equal(attrs.value[VF_ATTR_LINK_STATE], 2);
	assert_int_equal(attrs.value[VF_ATTR_NODE_GUID], 0x021cb00000123456);
	assert_int_equal(netlink_vf_parse(nlmsg_hdr(msg), 3, &attrs), -ENODEV);
	nlmsg_hdr(msg)->nlmsg_type = RTM_DELLINK;
	assert_int_equal(netlink_vf_parse(nlmsg_hdr(msg), 2, &attrs), -ENODEV);
	nlmsg_free(msg);
}

static void test_other_kinds(void **state)
{
	struct nl_msg *msg = link_answer(ARPHRD_INFINIBAND, 1, false);
	struct vf_attrs attrs = { .has = 0 };

	(void)state;
	assert_int_equal(netlink_vf_parse(nlmsg_hdr(msg), 0, &attrs), 0);
	assert_false(attrs.has & BIT(VF_ATTR_MAC));
	/* A kernel without the list tells no protocol. */
	assert_int_equal(attrs.value[VF_ATTR_VLAN], 100);
	assert_false(attrs.has & BIT(VF_ATTR_VLAN_PROTO));
	nlmsg_free(msg);
	msg = link_answer(ARPHRD_ETHER, 0, true);
	assert_int_equal(netlink_vf_parse(nlmsg_hdr(msg), 0, &attrs), -ENODEV);
	nlmsg_free(msg);
}

/* In memory of just that length, so that a sanitizer sees what is read behind it. */
static void parse_copy(const void *answer, uint32_t len)
{
	struct nlmsghdr *copy = malloc(len);
	struct vf_attrs attrs = { .has = 0 };

	assert_non_null(copy);
	memcpy(copy, answer, len);
	copy->nlmsg_len = len;
	netlink_vf_parse(copy, 1, &attrs);
	assert_int_equal(attrs.has >> VF_ATTR_COUNT, 0);
	free(copy);
}

static void test_hostile(void **state)
{
	struct nl_msg *msg = link_answer(ARPHRD_ETHER, 2, true);
	uint32_t len = nlmsg_hdr(msg)->nlmsg_len, i;
	uint64_t random = 88172645463325252, body = len - sizeof(struct nlmsghdr);
	uint8_t *spoilt = malloc(len);
	unsigned int round, n;

	(void)state;
	assert_non_null(spoilt);
	for (i = sizeof(struct nlmsghdr); i <= len; i++)
		parse_copy(nlmsg_hdr(msg), i);
	for (round = 0; round < SPOILT; round++) {
		memcpy(spoilt, nlmsg_hdr(msg), len);
		for (n = 0; n < 1 + round % 4; n++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			spoilt[sizeof(struct nlmsghdr) + (random >> 8) % MAX(body, 1)] =
				(uint8_t)random;
		}
		parse_copy(spoilt, len);
	}
	free(spoilt);
	nlmsg_free(msg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_other_kinds),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
