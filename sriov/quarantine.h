/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Functions that are not to be handed out: a reset of theirs failed, or they did not answer after
 * it. One file for each in STATE/quarantine, named after its address, holds the reason; STATE is
 * the host's state_root. viaduct puts functions there and passes over those that are; `vfctl clear`
 * takes them out, and so does the host's restart, for the folder is in /run.
 */
#ifndef VIADUCT_SRIOV_QUARANTINE_H
#define VIADUCT_SRIOV_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>

#include "host.h"
#include "pci_addr.h"

#define QUARANTINE_REASON_MAX 512

struct err;

/* True when @addr is in quarantine; @reason (may be NULL) says why, fit for a message. A folder
 * that this user may not read counts as empty. */
bool quarantine_has(const struct host *host, const struct pci_addr *addr,
		    char reason[QUARANTINE_REASON_MAX]);

/* 0, or -ENODEV with "0000:01:10.0: in quarantine: REASON; when it is well again, run: vfctl
 * clear 0000:01:10.0". */
int quarantine_check(const struct host *host, const struct pci_addr *addr, struct err *err);

/* Puts @addr there; a reason that is there already is replaced. Returns 0; -EACCES, which is no
 * surprise for a user other than root; or -errno. */
int quarantine_add(const struct host *host, const struct pci_addr *addr, const char *reason,
		   struct err *err);

/* Takes @addr out. Returns 0, -ENOENT when it was not there, or -errno. */
int quarantine_clear(const struct host *host, const struct pci_addr *addr, struct err *err);

/* All that are there, sorted, in an array that the caller frees with free(); NULL when there are
 * none. Returns 0 or -errno. */
int quarantine_list(const struct host *host, struct pci_addr **ret_addrs, size_t *ret_count,
		    struct err *err);

#endif
