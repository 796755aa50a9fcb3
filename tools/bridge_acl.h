/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which bridges guests of ordinary users may be put on: a file of the administrator's. A line is
 * `allow NAME`, `allow all`, `deny NAME` or `deny all`; # begins a comment. What is denied is denied
 * whatever else is said, and what is not allowed is denied.
 *
 * Read with privileges that its caller does not have: nothing of the file is believed before it is
 * known to be root's alone.
 */
#ifndef VIADUCT_TOOLS_BRIDGE_ACL_H
#define VIADUCT_TOOLS_BRIDGE_ACL_H

#include <stddef.h>

#define BRIDGE_ACL_PATH "/etc/viaduct/bridge.conf"
#define BRIDGE_ACL_MAX 65536u /* bytes of a file */
#define BRIDGE_ACL_WHY 256u

/* What the file's @text says of @bridge. 0: allowed; -EACCES: not; -EINVAL: a line that is none of
 * the above. @why says what and what to do, of the file called @path. */
int bridge_acl_decide(const char *path, const char *text, const char *bridge,
		      char why[BRIDGE_ACL_WHY]);

/* The same of the file. Also -errno: it is not there; -EPERM: it is not a regular file that belongs
 * to root and that nobody else may write; -EFBIG. */
int bridge_acl_check(const char *path, const char *bridge, char why[BRIDGE_ACL_WHY]);

#endif
