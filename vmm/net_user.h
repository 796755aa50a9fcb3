/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the options of a user network mean: its addresses, what its DHCP server tells, and which
 * ports of the host lead into it.
 */
#ifndef VIADUCT_VMM_NET_USER_H
#define VIADUCT_VMM_NET_USER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct err;
struct net_config;

#define NET_USER_FORWARDS 64u

/* A port of the host whose connections, or datagrams, go to one of the guest. */
struct net_user_forward {
	bool udp;
	struct in_addr host_addr;  /* INADDR_ANY: all addresses of the host */
	struct in_addr guest_addr; /* INADDR_ANY: the first address of the DHCP server */
	uint16_t host_port, guest_port; /* host byte order, not 0 */
};

struct net_user {
	struct in_addr network, mask;
	struct in_addr gateway, dns, dhcpstart; /* hosts of the network, no two the same */
	const char *tftp, *bootfile, *hostname; /* the config's; NULL: not given */
	bool restricted;
	unsigned int forward_count;
	struct net_user_forward forwards[NET_USER_FORWARDS];
};

/* The network that @config asks for; the strings stay the config's. 0, -EINVAL, or -errno of the
 * folder for tftp=. Takes nothing. Any thread. */
int net_user_parse(const struct net_config *config, struct net_user *ret_user, struct err *err);

#endif
