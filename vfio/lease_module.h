/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leases for viaduct: sriov/lease.h with the libraries that VF settings need, as a module that only
 * a guest with pool= loads. The functions are those of lease.h; settings are the module's matter.
 */
#ifndef VIADUCT_VFIO_LEASE_MODULE_H
#define VIADUCT_VFIO_LEASE_MODULE_H

#include "sriov/lease.h"
#include "vmm/module.h"

/* The symbol `viaduct_lease_module`. */
struct lease_module {
	struct module_head head;
	int (*acquire)(const struct host *host, const char *pool, const char *owner, pid_t pid,
		       const struct lease_by *by, struct lease *ret, struct err *err);
	int (*release)(const struct host *host, const struct pci_addr *addr,
		       const struct lease_by *by, struct err *err);
	/* Which one acquire would take now; nothing is changed. */
	int (*peek)(const struct host *host, const char *pool, const struct lease_by *by,
		    struct pci_addr *ret, struct err *err);
};

#endif
