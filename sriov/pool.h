/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pools: named lists of functions, of which anyone will do. One file for each in STATE/pools, an
 * address in each line ('#' begins a comment); STATE is the host's state_root, so the host's
 * restart, which may number its functions anew, empties it, and `vfctl apply` writes it again.
 */
#ifndef VIADUCT_SRIOV_POOL_H
#define VIADUCT_SRIOV_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "host.h"
#include "pci_addr.h"

struct err;

#define POOL_MAX 4096 /* functions of one pool */

/* What host_name_ok() takes, without a dot in front, a comma (which ends an option's value) or a
 * colon (which an address has). */
bool pool_name_ok(const char *name);

/* The functions of pool @name in the file's order, in an array that the caller frees with free();
 * an empty pool is none. They may be gone from the host. Returns 0; -EINVAL for a name that is
 * none or a line that is no address; -ENODEV when there is no such pool; or -errno. */
int pool_read(const struct host *host, const char *name, struct pci_addr **ret_addrs,
	      size_t *ret_count, struct err *err);

/* Makes pool @name have these functions and no others, atomically; writes nothing when it has
 * them already. One writer at a time. Returns 0; -EINVAL (name, a function twice), -E2BIG, or
 * -errno. */
int pool_write(struct host *host, const char *name, const struct pci_addr *addrs, size_t count,
	       struct err *err);

/* Removes all pools but those named. Returns 0 or -errno. */
int pool_remove_others(struct host *host, const char *const *keep, size_t count, struct err *err);

/* The names of all pools, sorted, in an array of pointers into one block that the caller frees
 * with free(); NULL when there are none. Returns 0 or -errno. */
int pool_list(const struct host *host, char ***ret_names, size_t *ret_count, struct err *err);

#endif
