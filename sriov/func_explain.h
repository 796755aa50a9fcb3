/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why an IOMMU group is what it is: who is in it, who keeps it from a guest, what made the kernel
 * put them together, and which commands mend it.
 *
 * The kernel's rules are those of pci_device_group() (Linux drivers/iommu/iommu.c): what is behind
 * a conventional PCI bus shares the bridge's requester ID; what is below a port that does not
 * send everything upstream (Access Control Services, PCI Express 4.0, 6.12) joins the port; and
 * functions of one device that lack ACS join each other. Quirks of the kernel, for devices which
 * isolate without saying so, cannot be seen from here: a cause is named only where devices really
 * are in one group.
 */
#ifndef VIADUCT_SRIOV_FUNC_EXPLAIN_H
#define VIADUCT_SRIOV_FUNC_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "func.h"
#include "host.h"

#define EXPLAIN_TEXT_MAX 512

enum explain_kind {
	EXPLAIN_BRIDGE,	   /* a bridge to conventional PCI */
	EXPLAIN_PORT,	   /* a port that lacks ACS, or has it off */
	EXPLAIN_FUNCTIONS, /* functions of one device without ACS */
	EXPLAIN_HIDDEN,	   /* not root: the ACS capability cannot be read */
	EXPLAIN_UNKNOWN,   /* none of these: a quirk of the kernel */
};

struct explain_cause {
	enum explain_kind kind;
	struct pci_addr addr;	     /* BRIDGE, PORT, FUNCTIONS: the (first) device */
	char brief[96];		     /* "0000:05:00.0 leads to a conventional PCI bus"; or "" */
	char text[EXPLAIN_TEXT_MAX]; /* a sentence, without a full stop */
};

struct group_explain {
	int group;
	bool viable;
	struct group_member *members; /* sorted by name */
	size_t member_count;
	struct explain_cause *causes; /* none for a group of one */
	size_t cause_count;
	/* What makes it viable, one command each; empty when it is, or when no command of ours
	 * does. */
	char commands[2][EXPLAIN_TEXT_MAX];
	size_t command_count;
};

/* Explains @group. Returns 0, -ENODEV when there is no such group, or -errno. The caller ends with
 * group_explain_free(). */
int group_explain(const struct host *host, int group, struct group_explain **ret, struct err *err);
void group_explain_free(struct group_explain *explain);

/* "bridge", "port", "functions", "hidden", "unknown". */
const char *explain_kind_name(enum explain_kind kind);

/* All causes that have one in brief, joined by " and "; "" when there are none. Returns @buf. */
const char *group_explain_brief(const struct group_explain *explain, char *buf, size_t size);

#endif
