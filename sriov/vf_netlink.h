/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The running host's vf_ops by netlink: rtnetlink for the settings of a network card's VFs, devlink
 * for its eswitch. A socket lives for one question: a change of settings is rare, and an interface
 * may be another's a moment later.
 *
 * Source: Linux include/uapi/linux/if_link.h, rtnetlink.h, devlink.h and netlink.h.
 */
#ifndef VIADUCT_SRIOV_VF_NETLINK_H
#define VIADUCT_SRIOV_VF_NETLINK_H

#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdint.h>

#include "vf_attr.h"

struct err;

/* One question and its answer. */
struct netlink_ask {
	struct nl_sock *sock;
	/* Called with each part of the answer; may be NULL. A negative errno ends the question. */
	int (*take)(void *opaque, struct nlmsghdr *answer);
	void *opaque;
	int code;	   /* what came of it: 0 or -errno */
	struct err *words; /* what the kernel said beside its errno; may be NULL */
};

/* A socket of @protocol (NETLINK_...). Returns 0 or -errno; netlink_done() in either case. */
int netlink_init(struct netlink_ask *ask, int protocol);
void netlink_done(struct netlink_ask *ask);

/* Sends @msg and waits for the kernel's answer: an acknowledgement that netlink_run() asks for itself,
 * or the end of a list. Returns 0; -EAGAIN for a list that changed meanwhile; or -errno, the kernel's
 * own. */
int netlink_run(struct netlink_ask *ask, struct nl_msg *msg);

/* vf_ops.net_get and net_set. */
int netlink_vf_get(struct host *host, const char *ifname, unsigned int vf, struct vf_attrs *ret);
int netlink_vf_set(struct host *host, const char *ifname, unsigned int vf,
		   const struct vf_attrs *want, uint32_t which);

/* What an answer to RTM_GETLINK says of VF @vf, added to @ret. Returns 0, or -ENODEV when it is no
 * such answer or knows no such VF. The answer is believed in no length of its own but the first,
 * nlmsg_len, which must be what there is. */
int netlink_vf_parse(struct nlmsghdr *answer, unsigned int vf, struct vf_attrs *ret);

/* The eswitch mode of a device on any bus that devlink knows: "pci" and its address, "netdevsim"
 * and "netdevsim1". Return 0 or -errno; -EOPNOTSUPP on a kernel without devlink. */
int devlink_eswitch_get(const char *bus, const char *dev, unsigned int *ret_mode);
int devlink_eswitch_set(const char *bus, const char *dev, unsigned int mode, struct err *words);

#endif
