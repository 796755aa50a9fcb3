/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is this host fit to hand functions to guests? A table of checks, each of which looks at one thing
 * afresh, changes nothing, and ends in a verdict with the reason and, unless all is well, the remedy.
 * What this user may not see is no fault: it is "unknown".
 */
#ifndef VIADUCT_SRIOV_DOCTOR_H
#define VIADUCT_SRIOV_DOCTOR_H

#include <stddef.h>

#include "host.h"
#include "pci_addr.h"

struct err;

enum doctor_verdict {
	DOCTOR_OK,
	DOCTOR_UNKNOWN, /* could not be found out */
	DOCTOR_WARN,	/* works, but less well, or not for all functions */
	DOCTOR_FAIL,	/* keeps functions from guests */
};

#define DOCTOR_TEXT_MAX 512
#define DOCTOR_CHECKS_MAX 32

struct doctor_finding {
	const char *check; /* "iommu", "interrupt-remapping" ... */
	enum doctor_verdict verdict;
	char reason[DOCTOR_TEXT_MAX]; /* a sentence without its full stop */
	char remedy[DOCTOR_TEXT_MAX]; /* what to do; "" when there is nothing to */
	struct pci_addr *addrs;	      /* the functions that the verdict is about; may be none */
	size_t addr_count;
};

struct doctor_report {
	struct doctor_finding findings[DOCTOR_CHECKS_MAX]; /* one for each check, in order */
	size_t count;
	enum doctor_verdict worst;
};

/* "ok", "unknown", "warn", "fail". */
const char *doctor_verdict_name(enum doctor_verdict verdict);

/*
 * Runs all checks; those that concern functions look at all of them or, when @only is not NULL, at
 * that one. Returns 0 whatever the verdicts are; -ENODEV when there is no PCI bus or no such
 * function; or -errno. After 0 the caller ends with doctor_done().
 */
int doctor_run(const struct host *host, const struct pci_addr *only, struct doctor_report *ret,
	       struct err *err);
void doctor_done(struct doctor_report *report);

#endif
