/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What apply writes down before it changes anything: states of functions (state.h), in LIB/apply,
 * LIB being the host's lib_root. In the form of the desired state (want.h), so that a person can read
 * it, and a vfctl that is newer or older says so.
 *   original    what each function was before the first apply ever that touched it; for restore
 *   under-way   what the functions of the apply under way were when it began; of this boot only
 */
#ifndef VIADUCT_SRIOV_JOURNAL_H
#define VIADUCT_SRIOV_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "host.h"
#include "state.h"
#include "want.h"

#define JOURNAL_ORIGINAL "original"
#define JOURNAL_UNDER_WAY "under-way"

struct journal_entry {
	char id[WANT_ID_MAX]; /* lease_id() of the function */
	struct func_state state;
};

struct journal {
	struct journal_entry *entries;
	size_t count;
	bool there; /* the file is; count may be 0 */
};

/* Reads it; none is an empty one. One of another boot is empty too when it is the one under way. Returns
 * 0, or -EINVAL and so on with what is wrong, in which line, and what to do. Ends with
 * journal_done(). */
int journal_read(const struct host *host, const char *name, struct journal *ret, struct err *err);
void journal_done(struct journal *journal);

const struct journal_entry *journal_find(const struct journal *journal,
					 const struct pci_addr *addr);

/* Adds a copy of @state, unless the function is there already. Returns 0 or -ENOMEM. */
int journal_add(const struct host *host, struct journal *journal, const struct func_state *state);

/* Replaces the file; without entries it is removed. It is on the disk when this returns. Returns 0 or
 * -errno with a message. */
int journal_write(struct host *host, const char *name, const struct journal *journal,
		  struct err *err);

#endif
