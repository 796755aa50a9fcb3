/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What passes between a guest's network and viaduct-bridge-helper, which has privileges that the
 * guest's process has not: `viaduct-bridge-helper BRIDGE QUEUES`, with a SOCK_SEQPACKET socket as
 * descriptor 3, answers one message and ends. With code 0 the message carries QUEUES descriptors
 * of one tap interface (IFF_NO_PI, IFF_VNET_HDR, and IFF_MULTI_QUEUE where there are several),
 * which is up and a port of the bridge, and goes when the last of them is closed.
 */
#ifndef VIADUCT_VMM_NET_BRIDGE_HELPER_H
#define VIADUCT_VMM_NET_BRIDGE_HELPER_H

#include <stdint.h>

#define NET_BRIDGE_HELPER "viaduct-bridge-helper"
#define NET_BRIDGE_FD 3
#define NET_BRIDGE_QUEUES 128u

struct net_bridge_answer {
	int32_t code;	/* 0 or -errno */
	char text[512]; /* the interface's name, or what is wrong and what to do; terminated */
};

#endif
