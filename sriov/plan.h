/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way from what functions are to what they should be, as an ordered list of steps, and what the
 * steps cost. Nothing here changes anything. The theory is at the top of plan.c.
 */
#ifndef VIADUCT_SRIOV_PLAN_H
#define VIADUCT_SRIOV_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host.h"
#include "state.h"
#include "use.h"

struct err;

enum plan_kind {
	PLAN_VFS_REMOVE,
	PLAN_PF_DRIVER,
	PLAN_MODE,
	PLAN_VFS_MAKE,
	PLAN_VF_UNBIND,
	PLAN_VF_SET,
	PLAN_VF_DRIVER,
	PLAN_AUTOPROBE,
	PLAN_KINDS
};

/* The least disturbing first. */
enum plan_cost {
	PLAN_LIVE,     /* nobody notices */
	PLAN_RESET,    /* the VF's driver sees it at the VF's next reset */
	PLAN_IDLE,     /* whoever uses the function has to let go of it */
	PLAN_DESTROYS, /* VFs are destroyed */
};

struct plan_step {
	enum plan_kind kind;
	size_t func;	   /* of plan.funcs */
	unsigned int vf;   /* PLAN_VF_* */
	bool made;	   /* PLAN_VF_*: the VF is one that a step before makes */
	uint32_t which;	   /* PLAN_VF_SET: the settings to look at */
	bool quiet;	   /* PLAN_VFS_MAKE: no driver of the kernel's choice touches the new VFs */
};

struct plan_func {
	char label[HOST_NAME_MAX]; /* the file's name of it, or its address */
	struct func_state now, want;
	int autoprobe; /* what it was before any vfctl; now.autoprobe may be what a killed one left */
};

struct plan {
	struct plan_func *funcs;
	size_t func_count;
	struct plan_step *steps;
	size_t step_count, step_room;
};

/* What a step hits: who would lose something. */
struct plan_hit {
	size_t step;
	struct pci_addr addr;
	bool in_use;	    /* else an interface goes that nobody uses */
	unsigned int kinds; /* in_use: what --force has to name */
	char what[384], remedy[128];
};

/* What no step can do. */
struct plan_block {
	size_t func;
	bool reboot;	 /* it takes a restart of the host, mostly with another firmware setting */
	char text[384]; /* a sentence that begins with the address */
};

/* Makes the steps for plan->funcs, whose `want` is completed meanwhile: what it left open is as it is
 * now. Returns 0 or -ENOMEM. */
int plan_make(struct plan *plan, struct err *err);

void plan_done(struct plan *plan);

/* "vfs", "driver" ...: a word for programs. */
const char *plan_kind_name(enum plan_kind kind);
const char *plan_cost_name(enum plan_cost cost);

enum plan_cost plan_step_cost(const struct plan *plan, const struct plan_step *step);

/* The function a step is about; false while that is a VF which is not there yet. */
bool plan_step_addr(const struct plan *plan, const struct plan_step *step, struct pci_addr *ret);

/* "uplink: VF 2: mac 52:54:00:00:00:01 (now 0), vlan 100 (now 0)". Returns @buf. */
#define PLAN_TEXT_MAX 512
const char *plan_step_text(const struct plan *plan, const struct plan_step *step,
			   char buf[PLAN_TEXT_MAX]);

/*
 * Looks who would be hit, each function's use once: uses in the mask @force are left out. What could
 * not be found out is a use of the kind USE_UNKNOWN. Steps before the one numbered @from are done with.
 * The array is the caller's, for free(). Returns 0 or -ENOMEM.
 */
int plan_hits(const struct host *host, const struct plan *plan, size_t from,
	      unsigned int force, struct plan_hit **ret_hits, size_t *ret_count, struct err *err);

/* What stands in the way of the plan. As plan_hits(). */
int plan_blocks(struct host *host, const struct plan *plan, struct plan_block **ret_blocks,
		size_t *ret_count, struct err *err);

#endif
