/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leases and VF settings for viaduct: sriov/lease.h and vf_set.h with the libraries that settings
 * need, as a module that only a guest with pool= or mac= for a VF loads.
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
	/* Gives the VF @vf the address @mac (VF_ATTR_MAC) by its PF, and says which it had. One that
	 * has it already takes neither a lock nor privileges. Also -ENOTSUP: it is no VF, or its
	 * card has no such setting. */
	int (*mac)(const struct host *host, const struct pci_addr *vf, uint64_t mac,
		   uint64_t *ret_before, struct err *err);
};

#endif
