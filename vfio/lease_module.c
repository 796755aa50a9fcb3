// SPDX-License-Identifier: GPL-2.0-or-later
#include "lease_module.h"

#include "sriov/vf_attr.h"

static int module_acquire(const struct host *host, const char *pool, const char *owner, pid_t pid,
			  const struct lease_by *by, struct lease *ret_lease, struct err *err)
{
	struct host own = *host;

	vf_attr_init(&own);
	return lease_acquire_pool(&own, pool, owner, pid, by, ret_lease, err);
}

static int module_release(const struct host *host, const struct pci_addr *addr,
			  const struct lease_by *by, struct err *err)
{
	struct host own = *host;

	vf_attr_init(&own);
	return lease_release(&own, addr, NULL, false, by, err);
}

extern const struct lease_module viaduct_lease_module;
const struct lease_module viaduct_lease_module = {
	.head = { .version = VIADUCT_VERSION },
	.acquire = module_acquire,
	.release = module_release,
	.peek = lease_peek_pool,
};
