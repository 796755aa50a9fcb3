/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options that every NIC has for its network. A NIC embeds a struct net_config, puts
 * NET_OPTIONS() among the rows of its table and gives the struct to net_check() and net_open().
 */
#ifndef VIADUCT_VMM_NET_OPTIONS_H
#define VIADUCT_VMM_NET_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/opt.h"

/* Zero-initialised: the user network as it is. The strings are the option table's (opt_free()). */
struct net_config {
	char *backend; /* NULL: "user" */
	/* Of the NIC's own table, for it has to have as many: 0 is 1. At most NET_QUEUES_MAX. */
	uint32_t queues;
	uint32_t mtu; /* 0: not said. Of the NIC's table too. */
	/* user; net_user.h says what they mean */
	char *subnet, *gateway, *dns, *dhcpstart, *tftp, *bootfile, *hostname, *hostfwd;
	bool restricted;
	/* bridge */
	char *bridge;
	/* tap */
	char *ifname; /* NULL: the kernel chooses a name */
	uint32_t fd;  /* 0: none; else of a tap that the caller opened, from then on the network's */
	char *script, *downscript; /* run with the interface's name; NULL: none */
};

/* Rows for an opt_field table of @type, whose struct net_config is @member. */
/* clang-format off */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type and a member cannot stand in any */
#define NET_OPTIONS(type, member) \
	{ "net", OPT_STR, offsetof(type, member.backend), 0, 0, false, \
	  "what carries the frames: user (the default, no privileges needed), tap or bridge" }, \
	{ "subnet", OPT_STR, offsetof(type, member.subnet), 0, 0, false, \
	  "user: the network (10.0.2.0/24)" }, \
	{ "gateway", OPT_STR, offsetof(type, member.gateway), 0, 0, false, \
	  "user: the host's address in it (its second: 10.0.2.2)" }, \
	{ "dns", OPT_STR, offsetof(type, member.dns), 0, 0, false, \
	  "user: address of the DNS server, which asks the host's (its third)" }, \
	{ "dhcpstart", OPT_STR, offsetof(type, member.dhcpstart), 0, 0, false, \
	  "user: the first of 16 addresses that DHCP gives (its fifteenth)" }, \
	{ "hostname", OPT_STR, offsetof(type, member.hostname), 0, 0, false, \
	  "user: the guest's name, as DHCP tells it" }, \
	{ "tftp", OPT_STR, offsetof(type, member.tftp), 0, 0, false, \
	  "user: folder whose files the gateway serves by TFTP, to be read alone" }, \
	{ "bootfile", OPT_STR, offsetof(type, member.bootfile), 0, 0, false, \
	  "user: the file that DHCP names for a start from the network" }, \
	{ "hostfwd", OPT_STR, offsetof(type, member.hostfwd), 0, 0, false, \
	  "user: ports of the host that lead to the guest, tcp|udp:[HOSTADDR]:PORT-[GUESTADDR]:PORT, " \
	  "joined by + (such as tcp:127.0.0.1:2222-:22+udp::5000-:5000)" }, \
	{ "restrict", OPT_BOOL, offsetof(type, member.restricted), 0, 0, false, \
	  "user: on: the guest reaches nothing but the gateway; hostfwd= leads in all the same" }, \
	{ "bridge", OPT_STR, offsetof(type, member.bridge), 0, 0, false, \
	  "bridge: its name; viaduct-bridge-helper makes a tap interface there, which takes no root" }, \
	{ "ifname", OPT_STR, offsetof(type, member.ifname), 0, 0, false, \
	  "tap: the interface, made if it is not there; the kernel's choice when not given" }, \
	{ "fd", OPT_U32, offsetof(type, member.fd), 3, INT32_MAX, false, \
	  "tap: number of an open descriptor of the interface, inherited; opened with IFF_NO_PI" }, \
	{ "script", OPT_STR, offsetof(type, member.script), 0, 0, false, \
	  "tap: program that is run with the interface's name before it is used" }, \
	{ "downscript", OPT_STR, offsetof(type, member.downscript), 0, 0, false, \
	  "tap: the same when it is no longer used" }
/* NOLINTEND(bugprone-macro-parentheses) */
/* clang-format on */

/* The name of the back end that @config chooses. */
static inline const char *net_config_backend(const struct net_config *config)
{
	return config->backend ? config->backend : "user";
}

#endif
