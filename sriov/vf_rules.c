// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf_rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "bind.h"
#include "func.h"
#include "nvme_admin.h"

#define IFF_UP_BIT 1 /* linux/if.h, IFF_UP */

/* The PF's interface has to be up. */
static int check_up(const struct host *host, const struct func_info *pf, struct err *err)
{
	char a[PCI_ADDR_STRLEN], flags[32];
	const char *name = pf->netdevs[0];

	if (!pf->netdev_count ||
	    host_read(host, flags, sizeof(flags), "class/net/%s/flags", name) < 0 ||
	    strtoul(flags, NULL, 16) & IFF_UP_BIT)
		return 0;
	return err_set(err, -EAGAIN, "%s: %s makes VFs only while its interface is up; run: ip link "
		       "set %s up", pci_addr_str(&pf->addr, a), pf->driver, name);
}

/* vfio-pci makes VFs of a PF that it holds for user space when its module was told to. */
static int check_vfio(const struct host *host, const struct func_info *pf, struct err *err)
{
	char a[PCI_ADDR_STRLEN], on[8];

	if (host_read(host, on, sizeof(on), "module/vfio_pci/parameters/enable_sriov") < 0 ||
	    *on == 'Y' || *on == '1')
		return 0;
	return err_set(err, -EAGAIN, "%s: vfio-pci makes VFs only with its parameter enable_sriov; "
		       "run: echo 1 > %s/module/vfio_pci/parameters/enable_sriov, or bind the PF to "
		       "its own driver (vfctl bind %s default)", pci_addr_str(&pf->addr, a),
		       host->sysfs_root, pci_addr_str(&pf->addr, a));
}

static const struct {
	const char *driver;
	int (*check)(const struct host *host, const struct func_info *pf, struct err *err);
} rules[] = {
	/* bnxt_sriov_configure(): returns 0 while the interface is down, so the write succeeds. */
	{ "bnxt_en", check_up },
	/* bnx2x_sriov_configure(): -EINVAL while the PF is down. */
	{ "bnx2x", check_up },
	/* vfio_pci_sriov_configure(): -ENOENT. */
	{ "vfio-pci", check_vfio },
};

int vf_rules_check(const struct host *host, const struct pci_addr *pf, struct err *err)
{
	struct func_info info;
	size_t i;
	int ret;

	ret = func_read(host, pf, &info, err);
	if (ret)
		return ret;
	for (i = 0; i < ARRAY_SIZE(rules); i++) {
		if (!strcmp(info.driver, rules[i].driver))
			return rules[i].check(host, &info, err);
	}
	return 0;
}

/* nvme_probe() waits for a controller that is offline until its time-out, and fails. */
bool vf_rules_runs(const char *driver, const struct vf_attrs *attrs)
{
	return strcmp(driver, "nvme") != 0 || !(attrs->has & BIT(VF_ATTR_ONLINE)) ||
	       attrs->value[VF_ATTR_ONLINE];
}

int vf_rules_bind_check(struct host *host, const struct pci_addr *addr, const char *driver,
			struct err *err)
{
	struct vf_attrs attrs;
	struct func_info info;
	struct pci_addr pf;
	char a[PCI_ADDR_STRLEN];

	/* The VFs of a PF with nvme are for nvme, unless they are told otherwise. */
	if (!strcmp(driver, BIND_DEFAULT))
		driver = "nvme";
	if (strcmp(driver, "nvme") != 0 || func_pf_addr(host, addr, &pf) ||
	    !nvme_is_there(host, &pf) || func_read(host, addr, &info, NULL) ||
	    info.vf_index < 0 ||
	    vf_attrs_read(host, &pf, (unsigned int)info.vf_index, &attrs, NULL) ||
	    vf_rules_runs(driver, &attrs))
		return 0;
	pci_addr_str(addr, a);
	return err_set(err, -EAGAIN, "%s: its controller is offline, and %s cannot run it; run: "
		       "vfctl set %s queues=2 vectors=1 online=on (with more of both for more than "
		       "one queue of data)", a, driver, a);
}
