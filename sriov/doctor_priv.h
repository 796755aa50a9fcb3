/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the doctor share. */
#ifndef VIADUCT_SRIOV_DOCTOR_PRIV_H
#define VIADUCT_SRIOV_DOCTOR_PRIV_H

#include <stdbool.h>

#include "doctor.h"
#include "inventory.h"

/* What one run looks at. */
struct doctor {
	const struct host *host;
	const struct inventory *inv; /* all functions, or the one asked for */
	bool one;		     /* it is one */
	char *cmdline;		     /* the kernel's command line; "" when it cannot be read */
	char *cpuinfo;		     /* of the first processor; "" when it cannot be read */
	int groups;		     /* IOMMU groups of the host */
};

/* Sets the verdict with its reason. */
void doctor_say(struct doctor_finding *f, enum doctor_verdict verdict, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void doctor_remedy(struct doctor_finding *f, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Puts @addr among the functions that the verdict is about. */
void doctor_add(struct doctor_finding *f, const struct pci_addr *addr);

/* "0000:01:00.0, 0000:02:00.0 and 5 more" of those functions. Returns @buf. */
const char *doctor_names(const struct doctor_finding *f, char *buf, size_t size);

/* The text of /proc/@name on the heap, NULL when it cannot be read or is larger than a few MiB. */
char *doctor_proc(const struct host *host, const char *name);

/* True when @word is on the kernel's command line; one that ends in '=' with any value. The value, or
 * "", goes to @value (may be NULL). */
bool doctor_cmdline(const struct doctor *d, const char *word, char value[HOST_NAME_MAX]);

/* "intel", "amd" or "". */
const char *doctor_cpu(const struct doctor *d);

/* The number of entries of a folder below the host's sysfs, those that begin with '.' apart; -errno. */
int doctor_entries(const struct host *host, const char *folder);

/* True for what can be handed to a guest: no bridge, no part of the machine itself. */
bool doctor_is_endpoint(const struct inventory_func *func);

/* doctor_host.c: the machine */
void doctor_iommu(const struct doctor *d, struct doctor_finding *f);
void doctor_remapping(const struct doctor *d, struct doctor_finding *f);
void doctor_kvm(const struct doctor *d, struct doctor_finding *f);
void doctor_memlock(const struct doctor *d, struct doctor_finding *f);
void doctor_words(const struct doctor *d, struct doctor_finding *f);
void doctor_window(const struct doctor *d, struct doctor_finding *f);

/* doctor_vfio.c: VFIO's modules and nodes */
void doctor_modules(const struct doctor *d, struct doctor_finding *f);
void doctor_backends(const struct doctor *d, struct doctor_finding *f);
void doctor_nodes(const struct doctor *d, struct doctor_finding *f);

/* doctor_func.c: functions and their place */
void doctor_groups(const struct doctor *d, struct doctor_finding *f);
void doctor_sriov(const struct doctor *d, struct doctor_finding *f);
void doctor_ari(const struct doctor *d, struct doctor_finding *f);
void doctor_bars(const struct doctor *d, struct doctor_finding *f);
void doctor_resets(const struct doctor *d, struct doctor_finding *f);
void doctor_numa(const struct doctor *d, struct doctor_finding *f);

/* doctor_left.c: what was left behind */
void doctor_quarantine(const struct doctor *d, struct doctor_finding *f);
void doctor_overrides(const struct doctor *d, struct doctor_finding *f);
void doctor_autoprobe(const struct doctor *d, struct doctor_finding *f);

#endif
