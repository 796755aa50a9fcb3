/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VFIO's device nodes for a user other than root: /dev/vfio/GROUP, and /dev/vfio/devices/vfioN where
 * the kernel makes them, become the user's with mode 0600. Nothing has to be taken back: the nodes go
 * with the function's driver.
 */
#ifndef VIADUCT_SRIOV_NODE_OWNER_H
#define VIADUCT_SRIOV_NODE_OWNER_H

#include <stddef.h>
#include <sys/types.h>

#include "host.h"
#include "pci_addr.h"

struct err;

struct node_owner {
	char name[HOST_NAME_MAX];
	uid_t uid;
	gid_t gid; /* the user's first group */
};

/* The user named @user, or with the number @user. Returns 0, -EINVAL when there is none, or -errno. */
int node_owner_find(const char *user, struct node_owner *ret, struct err *err);

/*
 * Gives the nodes of all @addrs, which are bound to a VFIO driver, to host->owner, or of none of them.
 * Does nothing when host->owner is NULL. A group is one node, so all functions of it that have a VFIO
 * driver must be among @addrs. Each node counts as a write. The caller holds the cards' locks.
 * Returns 0; -EBUSY (another function of the group would go with it), -ENOENT (no node), -EPERM (not
 * root), -ENOMEM, or -errno.
 */
int node_owner_give(struct host *host, const struct pci_addr *addrs, size_t count, struct err *err);

#endif
