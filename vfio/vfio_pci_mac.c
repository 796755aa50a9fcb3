// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mac=, so that a role's network card has one address whichever of its choices was to be had. The
 * address of a VF is its PF's to set, and it learns of it at its next reset, which the guest's
 * driver does when it starts.
 *
 * Without mac= it stays as the PF has it, and does not become the one that virtio-net would derive: an
 * address set by vfctl or its file is the administrator's word, changing it takes privileges that a
 * guest's owner mostly has not, and one that is set keeps the guest from choosing its own.
 */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "base/util.h"
#include "lease_module.h"
#include "sriov/func.h"
#include "sriov/vf_attr.h"
#include "vfio_pci.h"
#include "vfio_pci_priv.h"
#include "vmm/vm.h"

#define LOCK_MS 1000 /* for which a guest that runs may stand while its function is given back */

static uint64_t mac_number(const struct mac_addr *mac)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < sizeof(mac->b); i++)
		v = v << 8 | mac->b[i];
	return v;
}

int vfio_pci_mac_check(struct vfio_pci *vp, struct err *err)
{
	struct func_info info;
	int ret;

	if (!vp->mac.want.set)
		return 0;
	ret = func_read(&vp->host, &vp->idev.addr, &info, err);
	if (!ret && !info.is_vf)
		ret = err_set(err, -EINVAL, "%s: mac= is for VFs, whose address their PF sets; this "
			      "is none, leave mac= off and set it in the guest", vp->idev.name);
	return ret;
}

int vfio_pci_mac_set(struct vfio_pci *vp, struct err *err)
{
	uint64_t mac = mac_number(&vp->mac.want);
	char text[VF_ATTR_TEXT_MAX];
	int ret = vfio_pci_mac_check(vp, err);

	if (ret || !vp->mac.want.set)
		return ret;
	ret = vfio_pci_lease_module(vp, "mac=", err);
	if (ret)
		return ret;
	ret = vp->lease.module->mac(&vp->host, &vp->idev.addr, mac, &vp->mac.before, err);
	if (ret == -EPERM || ret == -EACCES)
		return err_set(err, -ENODEV, "%s: setting its address takes the right to administer "
			       "networks (CAP_NET_ADMIN); run: vfctl set %s mac=%s", vp->idev.name,
			       vp->idev.name, vf_attr_text(VF_ATTR_MAC, mac, text));
	if (ret == -ENOTSUP)
		return err_prefix(err, "%s: mac=%s", vp->idev.name,
				  vf_attr_text(VF_ATTR_MAC, mac, text)), -EINVAL;
	vp->mac.set = !ret && vp->mac.before != mac;
	return ret;
}

void vfio_pci_mac_back(struct vfio_pci *vp)
{
	struct err err = { .code = 0 };
	uint64_t now;

	vp->host.lock_ms = LOCK_MS;
	if (vp->mac.set &&
	    vp->lease.module->mac(&vp->host, &vp->idev.addr, vp->mac.before, &now, &err))
		log_line(vp->pdev.dev.vm->log, LOG_WARN, "%s: %s keeps the address of mac=: %s",
			 vp->pdev.dev.id, vp->idev.name, err.msg);
	vp->mac.set = false;
}
