// SPDX-License-Identifier: GPL-2.0-or-later
/* Leases: of a function from a pool, for as long as the guest has it, and those of others. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "lease_module.h"
#include "sriov/func.h"
#include "vfio_pci.h"
#include "vfio_pci_priv.h"
#include "vmm/vm.h"

#define LOCK_MS 1000 /* for which a guest that runs may stand while its function is given back */

/* A lease of its own: by its process or by the program that started it, or under its name. */
static bool is_mine(const struct lease *lease, const char *guest)
{
	if (lease->state == LEASE_UNKNOWN)
		return false;
	if (lease->process.pid)
		return lease->process.pid == getpid() || lease->process.pid == getppid();
	return !strcmp(lease->owner, guest);
}

int vfio_pci_lease_check(const struct host *host, const struct pci_addr *addr, const char *guest,
			 struct err *err)
{
	char a[PCI_ADDR_STRLEN], text[LEASE_TEXT_MAX];
	struct lease lease;
	int ret = lease_find(host, addr, &lease);

	pci_addr_str(addr, a);
	if (ret < 0)
		return err_sys(err, ret, "%s: whether it is leased to somebody", a);
	if (!ret || is_mine(&lease, guest))
		return 0;
	return err_set(err, -ENODEV, "%s: %s; take another, or run: vfctl release %s%s", a,
		       lease_text(&lease, text), a,
		       lease.state == LEASE_UNKNOWN ? " --force=unknown" : "");
}

static int idle(void *opaque, const struct host *host, const struct pci_addr *addr,
		struct err *err)
{
	char path[HOST_PATH_MAX], a[PCI_ADDR_STRLEN];
	int group = func_group(host, addr), ret;

	(void)opaque;
	ret = host_path(path, host->dev_root, "vfio/%d", group);
	if (group >= 0 && !ret && host->ops->node_try(host, path, 0) == -EBUSY)
		return err_set(err, -EBUSY, "%s: a process has %s open", pci_addr_str(addr, a),
			       path);
	return 0;
}

static int fits(void *opaque, const struct host *host, const struct pci_addr *addr,
		struct err *err)
{
	const struct vfio_pci *vp = opaque;
	char a[PCI_ADDR_STRLEN];
	int group;

	if (vfio_pci_is_taken(vp, addr))
		return err_set(err, -EBUSY, "%s: in this guest already", pci_addr_str(addr, a));
	return vfio_pci_check(host, addr, vp->pdev.dev.vm->config.name, &group, err);
}

static void note(void *opaque, const char *text)
{
	const struct vfio_pci *vp = opaque;

	log_line(vp->pdev.dev.vm->log, LOG_INFO, "%s: %s", vp->pdev.dev.id, text);
}

int vfio_pci_lease_module(struct vfio_pci *vp, const char *asked, struct err *err)
{
	const struct module_want want = { "viaduct-lease.so", "viaduct_lease_module", asked,
					  "libnl-route-3" };
	const struct module_head *head;
	int ret = vp->lease.module ? 0 : module_open(&want, &vp->lease.handle, &head, err);

	if (!ret && !vp->lease.module)
		vp->lease.module = container_of(head, const struct lease_module, head);
	return ret;
}

int vfio_pci_lease_take(struct vfio_pci *vp, struct err *err)
{
	const struct lease_by by = { .idle = idle, .fits = fits, .note = note, .opaque = vp };
	const struct vm_config *config = &vp->pdev.dev.vm->config;
	struct lease lease;
	int ret = vfio_pci_lease_module(vp, "pool=", err);

	if (ret)
		return ret;
	if (config->plan)
		return vp->lease.module->peek(&vp->host, vp->lease.pool, &by, &vp->idev.addr, err);
	ret = vp->lease.module->acquire(&vp->host, vp->lease.pool,
					host_name_ok(config->name) ? config->name : "viaduct",
					getpid(), &by, &lease, err);
	/* What this user may not have is not to be had. */
	if (ret == -EACCES && err)
		err->code = ret = -ENODEV;
	if (ret)
		return ret;
	vp->idev.addr = lease.addr;
	vp->lease.taken = true;
	return 0;
}

void vfio_pci_lease_drop(struct vfio_pci *vp)
{
	const struct lease_by by = { .note = note, .opaque = vp };
	struct err err = { .code = 0 };

	vp->host.lock_ms = LOCK_MS;
	if (vp->lease.taken &&
	    vp->lease.module->release(&vp->host, &vp->idev.addr, &by, &err))
		log_line(vp->pdev.dev.vm->log, LOG_WARN, "%s: given back: %s", vp->pdev.dev.id,
			 err.msg);
	vp->lease.taken = false;
	if (vp->lease.handle)
		dlclose(vp->lease.handle);
	vp->lease.handle = NULL;
	vp->lease.module = NULL;
}
