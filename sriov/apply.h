/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Carries a plan out, all of it or nothing, and remembers what was there before. The theory is at the
 * top of plan.c.
 *
 * One apply or restore at a time: the lock ROOT/apply.lock; then the locks of all its cards, so that no
 * other vfctl is in between. Before the first write to the kernel the journal is on the disk. Fails
 * and stops (host->stop) between steps; then all is put back by the plan from what is then to what was
 * when it began, and what could not be put back is said.
 */
#ifndef VIADUCT_SRIOV_APPLY_H
#define VIADUCT_SRIOV_APPLY_H

#include <stdbool.h>

#include "host.h"
#include "plan.h"
#include "want.h"

struct apply_opts {
	unsigned int force; /* kinds of use that are overridden */
	/* Called after each step, and after each of the way back with @undo; may be NULL. */
	void (*step)(void *opaque, const struct plan *plan, size_t index, bool undo, int result);
	void *opaque;
};

struct apply_report {
	unsigned int steps;   /* done */
	unsigned long writes; /* to the kernel; 0: it was so already */
	bool pools;	      /* were written */
	unsigned int skipped; /* restore: functions that are gone, or others now */
	char note[256];	      /* of the first of those, "" for none */
};

/* The plan as apply would make it, without any lock; *@ret_pools (may be NULL): pools would be
 * written. Returns 0; what select_all(), func_state_read() and journal_read() return. The caller ends
 * with plan_done(). */
int apply_plan(struct host *host, const struct want *want, struct plan *ret, bool *ret_pools,
	       struct err *err);

/*
 * Makes the host as @want says. Returns 0; what apply_plan() returns; -EBUSY when a function is in use
 * (the kinds in opts->force apart) or another apply runs; -EPERM and so on for what stands in the way
 * (plan_blocks()); -EINTR; or what a step answered. The message says whether all was put back.
 */
int apply_run(struct host *host, const struct want *want, const struct apply_opts *opts,
	      struct apply_report *ret, struct err *err);

/* Makes every function that an apply touched what it was before the first one, forgets that, and
 * removes all pools. Functions that are gone, or where another card is now, are left alone and
 * forgotten. Nothing to restore is no error. Returns as apply_run(). */
int apply_restore(struct host *host, const struct apply_opts *opts, struct apply_report *ret,
		  struct err *err);

#endif
