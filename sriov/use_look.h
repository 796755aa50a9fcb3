/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the parts of a look for use share. Internal to sriov/. */
#ifndef VIADUCT_SRIOV_USE_LOOK_H
#define VIADUCT_SRIOV_USE_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "func.h"
#include "pci_addr.h"
#include "use.h"
#include "use_scan.h"

struct use_look {
	const struct host *host;
	struct use_scan *scan;
	struct pci_addr addr; /* the function that is looked at */
	char a[PCI_ADDR_STRLEN];
	unsigned int force;   /* kinds that are no proof */
	struct use_found *found;
};

/* Notes a proof of @kinds, of which at least one must not be forced; else does nothing. */
void use_proof(struct use_look *look, unsigned int mask, const char *remedy, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Notes that something could not be read, @code telling why, which counts as use. */
void use_unknown(struct use_look *look, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The parts. Each notes all that it finds; -ENOMEM apart nothing can fail. */
int use_look_net(struct use_look *look, const struct func_info *info);
int use_look_nodes(struct use_look *look);
int use_look_group(struct use_look *look, const struct func_info *info);
void use_look_lease(struct use_look *look);
void use_look_console(struct use_look *look);

/* "/dev/nvme0n1 is open in qemu (pid 12)" of @kind, when the node @name is open somewhere. @shown:
 * what it is called then. */
int use_look_opener(struct use_look *look, const char *name, const char *shown, unsigned int mask);

#endif
