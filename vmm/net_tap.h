/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tap back end: frames go to an interface of the host's kernel. The options are net->config's.
 */
#ifndef VIADUCT_VMM_NET_TAP_H
#define VIADUCT_VMM_NET_TAP_H

#include "net.h"

extern const struct net_backend_ops net_tap_ops;

/* Do the options fit each other? 0 or -EINVAL. Takes nothing. */
int net_tap_check(const struct net_config *config, struct err *err);

#endif
