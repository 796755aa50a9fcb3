/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of sriov/lease*.c share: the records. */
#ifndef VIADUCT_SRIOV_LEASE_PRIV_H
#define VIADUCT_SRIOV_LEASE_PRIV_H

#include "lease.h"

#define LEASE_FOLDER "leases"
#define LEASE_MAGIC "viaduct-lease"
#define LEASE_VERSION 1

/*
 * Reads the record of @addr. @attr_find decodes the names of settings (vf_attr_find()); NULL: they
 * are skipped, for a program without them. Returns 1 with *@ret (LEASE_UNKNOWN for one that makes no
 * sense), 0 when there is none, or -errno.
 */
int lease_record_read(const struct host *host, const struct pci_addr *addr,
		      int (*attr_find)(const char *name), struct lease *ret);

/* Fills in the process @pid as it is now. Returns 0, or -ESRCH when there is none. */
int lease_process_read(const struct host *host, pid_t pid, struct lease_process *ret);

#endif
