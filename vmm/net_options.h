/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options that every NIC has for its network. A NIC embeds a struct net_config, puts
 * NET_OPTIONS() among the rows of its table and gives the struct to net_check() and net_open().
 */
#ifndef VIADUCT_VMM_NET_OPTIONS_H
#define VIADUCT_VMM_NET_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/opt.h"

/* Zero-initialised: the user network as it is. The strings are the option table's (opt_free()). */
struct net_config {
	char *backend; /* NULL: "user" */
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
	  "what carries the frames: user (the default; 10.0.2.0/24, no privileges needed) or tap" }, \
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
