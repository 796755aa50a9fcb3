// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <linux/devlink.h>
#include <linux/genetlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>

#include "base/util.h"
#include "vf_netlink.h"

struct family {
	uint16_t id;
};

static int take_family(void *opaque, struct nlmsghdr *answer)
{
	struct nlattr *id = nlmsg_find_attr(answer, GENL_HDRLEN, CTRL_ATTR_FAMILY_ID);
	struct family *family = opaque;

	if (id && nla_len(id) >= (int)sizeof(family->id))
		family->id = nla_get_u16(id);
	return 0;
}

/* genl_ctrl_resolve() would answer with libnl's codes. */
static int find_family(struct netlink_ask *ask, struct family *family)
{
	struct netlink_ask who = { .sock = ask->sock, .take = take_family, .opaque = family };
	struct nl_msg *msg = nlmsg_alloc();
	int ret = -ENOMEM;

	if (msg && genlmsg_put(msg, 0, 0, GENL_ID_CTRL, 0, 0, CTRL_CMD_GETFAMILY, 1) &&
	    !nla_put_string(msg, CTRL_ATTR_FAMILY_NAME, DEVLINK_GENL_NAME))
		ret = netlink_run(&who, msg);
	nlmsg_free(msg);
	return ret == -ENOENT || (!ret && !family->id) ? -EOPNOTSUPP : ret;
}

/* One command about the device. @mode: what to set, NULL for a question. */
static int run(struct netlink_ask *ask, uint8_t command, const char *bus, const char *dev,
	       const unsigned int *mode)
{
	struct family family = { 0 };
	struct nl_msg *msg = nlmsg_alloc();
	int ret = netlink_init(ask, NETLINK_GENERIC);

	if (!ret)
		ret = find_family(ask, &family);
	if (!ret && (!msg ||
		     !genlmsg_put(msg, 0, 0, family.id, 0, 0, command, DEVLINK_GENL_VERSION) ||
		     nla_put_string(msg, DEVLINK_ATTR_BUS_NAME, bus) ||
		     nla_put_string(msg, DEVLINK_ATTR_DEV_NAME, dev) ||
		     (mode && nla_put_u16(msg, DEVLINK_ATTR_ESWITCH_MODE, (uint16_t)*mode))))
		ret = -ENOMEM;
	if (!ret)
		ret = netlink_run(ask, msg);
	nlmsg_free(msg);
	netlink_done(ask);
	return ret;
}

static int take_mode(void *opaque, struct nlmsghdr *answer)
{
	struct nlattr *mode = nlmsg_find_attr(answer, GENL_HDRLEN, DEVLINK_ATTR_ESWITCH_MODE);
	long *ret_mode = opaque;

	if (mode && nla_len(mode) >= (int)sizeof(uint16_t))
		*ret_mode = nla_get_u16(mode);
	return 0;
}

int devlink_eswitch_get(const char *bus, const char *dev, unsigned int *ret_mode)
{
	long mode = -1;
	struct netlink_ask ask = { .take = take_mode, .opaque = &mode };
	int ret = run(&ask, DEVLINK_CMD_ESWITCH_GET, bus, dev, NULL);

	if (!ret && mode < 0)
		ret = -EOPNOTSUPP;
	if (!ret)
		*ret_mode = (unsigned int)mode;
	return ret;
}

int devlink_eswitch_set(const char *bus, const char *dev, unsigned int mode, struct err *words)
{
	struct netlink_ask ask = { .words = words };

	return run(&ask, DEVLINK_CMD_ESWITCH_SET, bus, dev, &mode);
}
