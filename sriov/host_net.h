/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Routes of the running kernel, in the caller's network namespace: what host_init() puts into
 * host_ops. Internal to sriov/.
 *
 * Source: rtnetlink(7), netlink(7), Linux include/uapi/linux/rtnetlink.h.
 */
#ifndef VIADUCT_SRIOV_HOST_NET_H
#define VIADUCT_SRIOV_HOST_NET_H

#include <stddef.h>

#include "host.h"

/* See host_ops.routes and host_ops.route_to. */
int host_net_routes(const struct host *host, struct host_route **ret, size_t *ret_count);
int host_net_route_to(const struct host *host, const char *to, const char *from,
		      char ifname[HOST_NAME_MAX]);

#endif
