/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pools that the desired state names, and those of one VF that its name is. */
#ifndef VIADUCT_SRIOV_WANT_POOL_H
#define VIADUCT_SRIOV_WANT_POOL_H

#include "host.h"
#include "want.h"

/* The functions of @want's devices, in their order, as the kernel has them now. */
struct want_func {
	struct pci_addr addr;
	unsigned int count; /* of VFs that it should have */
};

/* True when a pool is not as @want has it, also because a VF of one is not there, or when there is
 * one that it does not name. */
bool want_pools_differ(const struct host *host, const struct want *want,
		       const struct want_func *funcs);

/* Writes those that are not so, and removes those that @want does not name. @want is NULL: all. */
int want_pools_write(struct host *host, const struct want *want, const struct want_func *funcs,
		     struct err *err);

#endif
