/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tap interface on a bridge of the host, for a process that may make neither: had of
 * viaduct-bridge-helper (net_bridge_helper.h), which the administrator gives the privileges.
 */
#ifndef VIADUCT_VMM_NET_BRIDGE_H
#define VIADUCT_VMM_NET_BRIDGE_H

struct err;
struct net_config;

#define NET_BRIDGE_WAIT_MS 20000 /* at a start, which nobody waits for in vain */

/* Do the options of net=bridge fit? 0 or -EINVAL. Takes nothing. */
int net_bridge_check(const struct net_config *config, struct err *err);

/* Descriptors of a tap interface with that many queues, a port of config->bridge: close-on-exec, not
 * blocking, with a struct virtio_net_hdr before each frame. The interface goes with the last of
 * them. The helper is looked for next to the running program and in the directory chosen at build
 * time, and waited for, @wait_ms at most. Loop thread. -ENOENT: no helper; -ETIMEDOUT;
 * -EPROTO: it answers nothing that makes sense; or what it says. On failure nothing is left. */
int net_bridge_taps(const struct net_config *config, unsigned int queues, int wait_ms, int *fds,
		    struct err *err);

/* The same of the helper at @path. */
int net_bridge_ask(const char *path, const char *bridge, unsigned int queues, int wait_ms,
		   int *fds, struct err *err);

#endif
