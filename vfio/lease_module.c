// SPDX-License-Identifier: GPL-2.0-or-later
#include "lease_module.h"

#include <errno.h>

#include "base/err.h"
#include "base/util.h"
#include "sriov/func.h"
#include "sriov/vf_attr.h"
#include "sriov/vf_set.h"

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

static int module_mac(const struct host *host, const struct pci_addr *vf, uint64_t mac,
		      uint64_t *ret_before, struct err *err)
{
	struct vf_attrs now = { .has = 0 }, want = { .has = BIT(VF_ATTR_MAC) };
	char a[PCI_ADDR_STRLEN];
	struct host own = *host;
	struct func_info info;
	int ret;

	vf_attr_init(&own);
	want.value[VF_ATTR_MAC] = mac;
	ret = func_read(&own, vf, &info, err);
	if (ret)
		return ret;
	if (!info.is_vf || info.vf_index < 0)
		return err_set(err, -ENOTSUP, "%s is no VF, and the address of any other function is "
			       "its own", pci_addr_str(vf, a));
	ret = vf_attrs_read(&own, &info.pf, (unsigned int)info.vf_index, &now, err);
	if (ret)
		return ret;
	*ret_before = now.value[VF_ATTR_MAC];
	if (!vf_attrs_differ(&now, &want))
		return 0;
	return vf_set(&own, vf, &want, 0, NULL, err);
}

extern const struct lease_module viaduct_lease_module;
const struct lease_module viaduct_lease_module = {
	.head = { .version = VIADUCT_VERSION },
	.acquire = module_acquire,
	.release = module_release,
	.peek = lease_peek_pool,
	.mac = module_mac,
};
