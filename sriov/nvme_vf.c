// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The back end of VF settings (vf_attr.h) for PFs of the kernel's nvme driver: queues, vectors, online
 * and namespaces.
 *
 * An NVMe VF begins with nothing. Its controller is offline while it is given queues and interrupt
 * vectors, and only then goes online; offline again it loses them, and so it does when the VFs are
 * removed or the PF's controller is reset. Whatever is asked for, the way is therefore: offline, queues,
 * vectors, online, namespaces; and what was not asked to change has afterwards what it had before.
 * A namespace that the subsystem shares with all controllers (as QEMU's nvme-ns with `shared`) is
 * attached to a VF as soon as that is made; a controller without namespace management has no other way,
 * and "namespaces" is then no setting of its VFs.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"
#include "nvme_admin.h"
#include "vf_backend.h"

#define RESOURCES (BIT(VF_ATTR_QUEUES) | BIT(VF_ATTR_VECTORS) | BIT(VF_ATTR_ONLINE))
#define QUEUES_MIN 2 /* the admin queue and one more: no controller goes online with less */

/* One VF of one controller, and what was found out about it. */
struct vf {
	struct nvme_ctrl ctrl;
	struct pci_addr addr;
	unsigned int index;
	char name[PCI_ADDR_STRLEN];
	struct nvme_secondary is;
};

static int vf_init(struct vf *vf, struct host *host, const struct pci_addr *pf, unsigned int index,
		   struct err *err)
{
	char a[PCI_ADDR_STRLEN];

	vf->index = index;
	if (func_vf_addr(host, pf, index, &vf->addr))
		return err_set(err, -ENODEV, "%s: there is no VF %u", pci_addr_str(pf, a), index);
	pci_addr_str(&vf->addr, vf->name);
	return nvme_ctrl_init(&vf->ctrl, host, pf, err);
}

static void put(struct vf_attrs *attrs, enum vf_attr attr, uint64_t value)
{
	attrs->has |= BIT(attr);
	attrs->value[attr] = value;
}

/* Adds everything that the controller has for this VF. */
static int vf_read(struct vf *vf, struct vf_attrs *attrs, struct err *err)
{
	uint64_t mask;
	int ret;

	if (!vf->ctrl.virtualization)
		return 0;
	ret = nvme_secondary_read(&vf->ctrl, vf->index, &vf->is, err);
	if (ret)
		return ret;
	put(attrs, VF_ATTR_QUEUES, vf->is.queues);
	put(attrs, VF_ATTR_VECTORS, vf->is.vectors);
	put(attrs, VF_ATTR_ONLINE, vf->is.online);
	if (!vf->ctrl.management)
		return 0;
	ret = nvme_namespaces_read(&vf->ctrl, vf->is.id, &mask, err);
	if (!ret)
		put(attrs, VF_ATTR_NAMESPACES, mask);
	return ret;
}

static int check_has(const struct vf *vf, const struct vf_attrs *now, uint32_t which, struct err *err)
{
	unsigned int i;

	which &= ~now->has;
	for (i = 0; i < VF_ATTR_COUNT && !(which & BIT(i)); i++)
		;
	if (i == VF_ATTR_COUNT)
		return 0;
	if (i == VF_ATTR_NAMESPACES && vf->ctrl.virtualization)
		return err_set(err, -ENOTSUP, "namespaces: %s has no namespace management: what its VFs "
			       "see is what the card's maker or configuration shares with them",
			       vf->ctrl.name);
	return err_set(err, -ENOTSUP, "%s: %s has no such setting%s", vf_attr_row((enum vf_attr)i)->name,
		       vf->ctrl.name, vf->ctrl.virtualization ? "" : ": its VFs have what they have, "
		       "without virtualization management");
}

/* True when the VF's resources would have to change. */
static bool is_wanted(const struct nvme_secondary *is, const struct nvme_secondary *want)
{
	return is->online != want->online || is->queues != want->queues ||
	       is->vectors != want->vectors;
}

static int check_supply(const struct vf *vf, const struct nvme_supply *supply, const char *what,
			uint16_t has, uint16_t want, struct err *err)
{
	uint64_t taken = (uint64_t)supply->primary + supply->assigned;
	uint64_t left = supply->total > taken ? supply->total - taken : 0;

	if (has == want)
		return 0;
	if (!supply->flexible)
		return err_set(err, -ENOTSUP, "%s: those of %s are fixed by the card: a VF has %u", what,
			       vf->ctrl.name, has);
	if (want > supply->max)
		return err_set(err, -ERANGE, "%s: %u asked for, %s gives a VF %u at most", what, want,
			       vf->ctrl.name, supply->max);
	if (want > left + has)
		return err_set(err, -ENOSPC, "%s: %u asked for, of %u of %s only %" PRIu64 " are free: VFs "
			       "have %u, the PF itself keeps %u; take some from other VFs", what, want,
			       supply->total, vf->ctrl.name, left + has, supply->assigned - has,
			       supply->primary);
	return 0;
}

/* What cannot work is refused before anything is taken away. */
static int check_resources(struct vf *vf, const struct nvme_secondary *want, struct err *err)
{
	struct nvme_supply supply[NVME_RESOURCES];
	char driver[HOST_NAME_MAX];
	int ret;

	if (want->online && (want->queues < QUEUES_MIN || !want->vectors))
		return err_set(err, -EINVAL, "online: a VF of %s needs two queues, the admin queue being "
			       "one, and one vector at least; it would have %u and %u", vf->ctrl.name,
			       want->queues, want->vectors);
	func_driver(vf->ctrl.host, &vf->addr, driver);
	if (*driver)
		return err_set(err, -EBUSY, "queues, vectors, online: they change only while no driver has "
			       "the VF, and %s has it; run: vfctl unbind %s", driver, vf->name);
	ret = nvme_supply_read(&vf->ctrl, supply, err);
	if (!ret)
		ret = check_supply(vf, &supply[NVME_QUEUES], "queues", vf->is.queues, want->queues,
				   err);
	if (!ret)
		ret = check_supply(vf, &supply[NVME_VECTORS], "vectors", vf->is.vectors, want->vectors,
				   err);
	return ret;
}

/* Some controllers take their new resources only at a reset of the function, and refuse before it. */
static int go_online(struct vf *vf, struct err *err)
{
	struct host *host = vf->ctrl.host;
	int reset, ret = nvme_secondary_online(&vf->ctrl, vf->is.id, true, err);

	if (ret != -EBUSY || !host_has(host, "bus/pci/devices/%s/reset", vf->name))
		return ret;
	reset = host_write(host, "1", "bus/pci/devices/%s/reset", vf->name);
	if (reset)
		return err_append(err, "; and its reset failed: %s", strerror(-reset)), ret;
	return nvme_secondary_online(&vf->ctrl, vf->is.id, true, err);
}

static int set_resources(struct vf *vf, const struct nvme_secondary *want, struct err *err)
{
	int ret = 0;

	if (vf->is.online) {
		ret = nvme_secondary_online(&vf->ctrl, vf->is.id, false, err);
		/* What is left it says itself: nothing, by the specification. */
		if (!ret)
			ret = nvme_secondary_read(&vf->ctrl, vf->index, &vf->is, err);
	}
	if (!ret && vf->is.queues != want->queues)
		ret = nvme_secondary_assign(&vf->ctrl, vf->is.id, NVME_QUEUES, want->queues, err);
	if (!ret && vf->is.vectors != want->vectors)
		ret = nvme_secondary_assign(&vf->ctrl, vf->is.id, NVME_VECTORS, want->vectors, err);
	if (!ret && want->online)
		ret = go_online(vf, err);
	return ret;
}

/* After a failure: offline took away what nobody had asked to change. */
static void put_back(struct vf *vf, const struct nvme_secondary *before, struct err *err)
{
	struct err why = { .code = 0 };
	int ret = nvme_secondary_read(&vf->ctrl, vf->index, &vf->is, &why);

	if (!ret && is_wanted(&vf->is, before))
		ret = set_resources(vf, before, &why);
	if (ret)
		err_append(err, "; and not all could be put back: %s", why.msg);
}

static int write_resources(struct vf *vf, const struct vf_attrs *want, uint32_t which,
			   struct err *err)
{
	struct nvme_secondary before = vf->is, then = vf->is;
	unsigned int i;
	int ret;

	for (i = VF_ATTR_VECTORS; i <= VF_ATTR_QUEUES; i++) {
		if (which & BIT(i) && want->value[i] > UINT16_MAX)
			return err_set(err, -ERANGE, "%s: %" PRIu64 " is more than any VF can have",
				       vf_attr_row((enum vf_attr)i)->name, want->value[i]);
	}
	if (which & BIT(VF_ATTR_QUEUES))
		then.queues = (uint16_t)want->value[VF_ATTR_QUEUES];
	if (which & BIT(VF_ATTR_VECTORS))
		then.vectors = (uint16_t)want->value[VF_ATTR_VECTORS];
	if (which & BIT(VF_ATTR_ONLINE))
		then.online = want->value[VF_ATTR_ONLINE] != 0;
	if (!is_wanted(&vf->is, &then))
		return 0;
	ret = check_resources(vf, &then, err);
	if (!ret) {
		ret = set_resources(vf, &then, err);
		if (ret)
			put_back(vf, &before, err);
	}
	if (ret)
		err_prefix(err, "VF %u", vf->index);
	return ret;
}

/* First those that go: a controller has a limit of how many are attached. */
static int write_namespaces(struct vf *vf, uint64_t now, uint64_t want, struct err *err)
{
	uint32_t nsid;
	unsigned int pass;
	uint64_t bit;
	int ret = 0;

	for (pass = 0; pass < 2; pass++) {
		for (nsid = 1; nsid <= NVME_NAMESPACES_MAX && !ret; nsid++) {
			bit = UINT64_C(1) << (nsid - 1);
			if ((now ^ want) & bit && !(want & bit) == !pass)
				ret = nvme_namespace_attach(&vf->ctrl, vf->is.id, nsid, pass, err);
		}
	}
	if (ret)
		err_prefix(err, "VF %u: namespaces", vf->index);
	return ret;
}

static int nvme_claims(const struct host *host, const struct pci_addr *pf)
{
	return host->vf_ops && host->vf_ops->nvme_admin && nvme_is_there(host, pf);
}

static int nvme_read(struct host *host, const struct pci_addr *pf, unsigned int index,
		     struct vf_attrs *attrs, struct err *err)
{
	struct vf vf;
	int ret = vf_init(&vf, host, pf, index, err);

	return ret ? ret : vf_read(&vf, attrs, err);
}

static int nvme_write(struct host *host, const struct pci_addr *pf, unsigned int index,
		      const struct vf_attrs *want, uint32_t which, struct err *err)
{
	struct vf_attrs now = { .has = 0 };
	struct vf vf;
	int ret = vf_init(&vf, host, pf, index, err);

	if (!ret)
		ret = vf_read(&vf, &now, err);
	if (!ret)
		ret = check_has(&vf, &now, which, err);
	if (!ret && which & RESOURCES)
		ret = write_resources(&vf, want, which, err);
	if (!ret && which & BIT(VF_ATTR_NAMESPACES))
		ret = write_namespaces(&vf, now.value[VF_ATTR_NAMESPACES],
				       want->value[VF_ATTR_NAMESPACES], err);
	return ret;
}

const struct vf_backend vf_backend_nvme = {
	.name = "nvme",
	.attrs = RESOURCES | BIT(VF_ATTR_NAMESPACES),
	.claims = nvme_claims,
	.read = nvme_read,
	.write = nvme_write,
};
