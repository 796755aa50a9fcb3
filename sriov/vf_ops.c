// SPDX-License-Identifier: GPL-2.0-or-later
#include <string.h>

#include "nvme_admin.h"
#include "vf_attr.h"
#include "vf_netlink.h"

static int real_eswitch_get(struct host *host, const char *bdf, unsigned int *ret_mode)
{
	(void)host;
	return devlink_eswitch_get("pci", bdf, ret_mode);
}

static int real_eswitch_set(struct host *host, const char *bdf, unsigned int mode,
			    struct err *words)
{
	(void)host;
	return devlink_eswitch_set("pci", bdf, mode, words);
}

static const struct vf_ops real_ops = {
	.net_get = netlink_vf_get,
	.net_set = netlink_vf_set,
	.eswitch_get = real_eswitch_get,
	.eswitch_set = real_eswitch_set,
	.nvme_admin = nvme_admin_ioctl,
};

void vf_attr_init(struct host *host)
{
	/* Netlink reaches this kernel, whose eth0 is not that of a host whose tree is mounted. */
	if (!strcmp(host->sysfs_root, "/sys"))
		host->vf_ops = &real_ops;
}
