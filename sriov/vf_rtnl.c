// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * IFLA_VFINFO_LIST, made and read with libnl's attributes rather than with libnl-route's VF
 * objects: those keep fewer error codes than the kernel has, and what a driver answers is what a
 * user has to know.
 *
 * Source: Linux net/core/rtnetlink.c (rtnl_fill_vfinfo(), do_setvfinfo(), ifla_vf_policy).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>

#include "base/util.h"
#include "vf_netlink.h"

/* Those whose message is the VF's number and one 32-bit value. */
static const struct {
	enum vf_attr attr;
	int type;
} numbers[] = {
	{ VF_ATTR_SPOOFCHK, IFLA_VF_SPOOFCHK },
	{ VF_ATTR_TRUST, IFLA_VF_TRUST },
	{ VF_ATTR_LINK_STATE, IFLA_VF_LINK_STATE },
};

struct number {
	uint32_t vf, value;
};

static const struct {
	enum vf_attr attr;
	int type;
} guids[] = {
	{ VF_ATTR_NODE_GUID, IFLA_VF_IB_NODE_GUID },
	{ VF_ATTR_PORT_GUID, IFLA_VF_IB_PORT_GUID },
};

#define VLAN_ATTRS (BIT(VF_ATTR_VLAN) | BIT(VF_ATTR_QOS) | BIT(VF_ATTR_VLAN_PROTO))
#define RATE_ATTRS (BIT(VF_ATTR_MIN_RATE) | BIT(VF_ATTR_MAX_RATE))

struct get {
	unsigned int vf;
	bool found;
	struct vf_attrs *attrs;
};

static void put(struct vf_attrs *attrs, enum vf_attr attr, uint64_t value)
{
	attrs->has |= BIT(attr);
	attrs->value[attr] = value;
}

/* The attribute's data when all of @size is there; a kernel may send more, never less. */
static const void *data(struct nlattr *nla, size_t size)
{
	return nla && (size_t)nla_len(nla) >= size ? nla_data(nla) : NULL;
}

static void get_mac(struct vf_attrs *attrs, const struct ifla_vf_mac *mac)
{
	uint64_t value = 0;
	unsigned int i;

	for (i = 0; i < 6; i++)
		value = value << 8 | mac->mac[i];
	put(attrs, VF_ATTR_MAC, value);
}

/* The list has one entry in all kernels so far; it tells the protocol, IFLA_VF_VLAN does not. */
static void get_vlan(struct vf_attrs *attrs, struct nlattr *list, struct nlattr *plain)
{
	const struct ifla_vf_vlan *vlan = data(plain, sizeof(*vlan));
	const struct ifla_vf_vlan_info *info = NULL;

	if (list)
		info = data(nla_find(nla_data(list), nla_len(list), IFLA_VF_VLAN_INFO),
			    sizeof(*info));
	if (info) {
		put(attrs, VF_ATTR_VLAN, info->vlan);
		put(attrs, VF_ATTR_QOS, info->qos);
		/* netdevsim says 0 until it is told one, and does not take 0. */
		put(attrs, VF_ATTR_VLAN_PROTO,
		    info->vlan_proto ? ntohs(info->vlan_proto) : ETH_P_8021Q);
	} else if (vlan) {
		put(attrs, VF_ATTR_VLAN, vlan->vlan);
		put(attrs, VF_ATTR_QOS, vlan->qos);
	}
}

static void get_vf(struct vf_attrs *attrs, struct nlattr *tb[IFLA_VF_MAX + 1], bool ethernet)
{
	const struct ifla_vf_mac *mac = data(tb[IFLA_VF_MAC], sizeof(*mac));
	const struct ifla_vf_rate *rate = data(tb[IFLA_VF_RATE], sizeof(*rate));
	const struct number *number;
	struct ifla_vf_guid guid;
	const void *unaligned;
	size_t i;

	/* On InfiniBand the address is 20 bytes, and the GUIDs are what can be set. */
	if (mac && ethernet)
		get_mac(attrs, mac);
	get_vlan(attrs, tb[IFLA_VF_VLAN_LIST], tb[IFLA_VF_VLAN]);
	if (rate) {
		put(attrs, VF_ATTR_MIN_RATE, rate->min_tx_rate);
		put(attrs, VF_ATTR_MAX_RATE, rate->max_tx_rate);
	}
	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		/* All ones: the driver does not tell. */
		number = data(tb[numbers[i].type], sizeof(*number));
		if (number && number->value != UINT32_MAX)
			put(attrs, numbers[i].attr, number->value);
	}
	for (i = 0; i < ARRAY_SIZE(guids); i++) {
		/* Attributes are aligned to 4 bytes, a GUID would like 8. */
		unaligned = data(tb[guids[i].type], sizeof(guid));
		if (!unaligned)
			continue;
		memcpy(&guid, unaligned, sizeof(guid));
		put(attrs, guids[i].attr, guid.guid);
	}
}

int netlink_vf_parse(struct nlmsghdr *answer, unsigned int index, struct vf_attrs *attrs)
{
	struct nlattr *tb[IFLA_VF_MAX + 1], *list, *info;
	struct ifinfomsg *link = nlmsg_data(answer);
	const uint32_t *vf; /* each attribute begins with it */
	int left, ret = -ENODEV;

	if (!nlmsg_valid_hdr(answer, sizeof(*link)) || answer->nlmsg_type != RTM_NEWLINK)
		return ret;
	list = nlmsg_find_attr(answer, sizeof(*link), IFLA_VFINFO_LIST);
	if (!list)
		return ret;
	nla_for_each_nested(info, list, left) {
		if (nla_type(info) != IFLA_VF_INFO ||
		    nla_parse_nested(tb, IFLA_VF_MAX, info, NULL) < 0)
			continue;
		vf = data(tb[IFLA_VF_MAC], sizeof(*vf));
		if (!vf || *vf != index)
			continue;
		get_vf(attrs, tb, link->ifi_type == ARPHRD_ETHER);
		ret = 0;
	}
	return ret;
}

static int take_link(void *opaque, struct nlmsghdr *answer)
{
	struct get *get = opaque;

	get->found |= !netlink_vf_parse(answer, get->vf, get->attrs);
	return 0;
}

/* A message about the interface, by its name, which was just looked up. */
static struct nl_msg *link_message(int type, const char *ifname)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	struct nl_msg *msg;

	if (strlen(ifname) >= IFNAMSIZ)
		return NULL;
	msg = nlmsg_alloc_simple(type, NLM_F_REQUEST);
	if (msg && !nlmsg_append(msg, &link, sizeof(link), NLMSG_ALIGNTO) &&
	    !nla_put_string(msg, IFLA_IFNAME, ifname))
		return msg;
	nlmsg_free(msg);
	return NULL;
}

static int run(struct netlink_ask *ask, struct nl_msg *msg)
{
	int ret = netlink_init(ask, NETLINK_ROUTE);

	if (!ret)
		ret = netlink_run(ask, msg);
	netlink_done(ask);
	return ret;
}

int netlink_vf_get(struct host *host, const char *ifname, unsigned int vf, struct vf_attrs *attrs)
{
	struct get get = { .vf = vf, .attrs = attrs };
	struct netlink_ask ask = { .take = take_link, .opaque = &get };
	struct nl_msg *msg = link_message(RTM_GETLINK, ifname);
	int ret = -ENOMEM;

	(void)host;
	if (msg && !nla_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS))
		ret = run(&ask, msg);
	nlmsg_free(msg);
	return ret ? ret : get.found ? 0 : -ENODEV;
}

static int put_mac(struct nl_msg *msg, unsigned int vf, uint64_t value)
{
	struct ifla_vf_mac mac = { .vf = vf };
	int i;

	for (i = 5; i >= 0; i--, value >>= 8)
		mac.mac[i] = value & 0xff;
	return nla_put(msg, IFLA_VF_MAC, sizeof(mac), &mac);
}

static int put_vlan(struct nl_msg *msg, unsigned int vf, const struct vf_attrs *want)
{
	struct ifla_vf_vlan_info info = {
		.vf = vf,
		.vlan = (uint32_t)want->value[VF_ATTR_VLAN],
		.qos = (uint32_t)want->value[VF_ATTR_QOS],
		.vlan_proto = htons((uint16_t)want->value[VF_ATTR_VLAN_PROTO]),
	};
	struct nlattr *list = nla_nest_start(msg, IFLA_VF_VLAN_LIST);

	if (!list || nla_put(msg, IFLA_VF_VLAN_INFO, sizeof(info), &info))
		return -ENOMEM;
	return nla_nest_end(msg, list);
}

static int put_vf(struct nl_msg *msg, unsigned int vf, const struct vf_attrs *want, uint32_t which)
{
	struct ifla_vf_rate rate = {
		.vf = vf,
		.min_tx_rate = (uint32_t)want->value[VF_ATTR_MIN_RATE],
		.max_tx_rate = (uint32_t)want->value[VF_ATTR_MAX_RATE],
	};
	int ret = 0;
	size_t i;

	if (which & BIT(VF_ATTR_MAC))
		ret |= put_mac(msg, vf, want->value[VF_ATTR_MAC]);
	if (which & VLAN_ATTRS)
		ret |= put_vlan(msg, vf, want);
	if (which & RATE_ATTRS)
		ret |= nla_put(msg, IFLA_VF_RATE, sizeof(rate), &rate);
	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct number n = { vf, (uint32_t)want->value[numbers[i].attr] };

		if (which & BIT(numbers[i].attr))
			ret |= nla_put(msg, numbers[i].type, sizeof(n), &n);
	}
	for (i = 0; i < ARRAY_SIZE(guids); i++) {
		struct ifla_vf_guid guid = { .vf = vf, .guid = want->value[guids[i].attr] };

		if (which & BIT(guids[i].attr))
			ret |= nla_put(msg, guids[i].type, sizeof(guid), &guid);
	}
	return ret;
}

int netlink_vf_set(struct host *host, const char *ifname, unsigned int vf,
		   const struct vf_attrs *want, uint32_t which)
{
	struct netlink_ask ask = { .take = NULL };
	struct nl_msg *msg = link_message(RTM_SETLINK, ifname);
	struct nlattr *list, *info;
	int ret = -ENOMEM;

	(void)host;
	list = msg ? nla_nest_start(msg, IFLA_VFINFO_LIST) : NULL;
	info = list ? nla_nest_start(msg, IFLA_VF_INFO) : NULL;
	if (info && !put_vf(msg, vf, want, which)) {
		nla_nest_end(msg, info);
		nla_nest_end(msg, list);
		ret = run(&ask, msg);
	}
	nlmsg_free(msg);
	return ret;
}
