// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf_set.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "bind.h"
#include "func.h"
#include "lock.h"
#include "use.h"
#include "vf_rules.h"

static int find_vf(const struct host *host, const struct pci_addr *vf, struct vf_set_report *r,
		   struct err *err)
{
	struct func_info info;
	char a[PCI_ADDR_STRLEN];
	int ret = func_read(host, vf, &info, err);

	if (ret)
		return ret;
	pci_addr_str(vf, a);
	if (!info.is_vf)
		return err_set(err, -ENOTSUP,
			       "%s is no VF, and these are settings of VFs; name one as %s/vf0", a,
			       a);
	if (info.vf_index < 0)
		return err_set(err, -ENODEV, "%s: its number among the VFs cannot be told", a);
	r->vf = *vf;
	r->pf = info.pf;
	r->index = (unsigned int)info.vf_index;
	return 0;
}

static bool asks_for_no_driver(uint32_t which)
{
	unsigned int i;

	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (which & BIT(i) && vf_attr_row(i)->cost == VF_ATTR_UNBOUND)
			return true;
	}
	return false;
}

/* The driver has to get back what it can run. */
static int check_driver(const struct vf_set_report *r, const struct vf_attrs *want,
			const char *driver, struct err *err)
{
	struct vf_attrs then = r->before;
	char a[PCI_ADDR_STRLEN];
	unsigned int i;

	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (want->has & BIT(i))
			then.value[i] = want->value[i];
	}
	if (vf_rules_runs(driver, &then))
		return 0;
	pci_addr_str(&r->vf, a);
	return err_set(err, -EBUSY, "%s: %s has it and cannot run a controller that is offline; run: "
		       "vfctl unbind %s, and then this again%s", a, driver, a,
		       r->before.value[VF_ATTR_ONLINE] ? "" : ", or add online=on");
}

static int take_driver(struct host *host, const struct vf_set_report *r,
		       const struct vf_attrs *want, const char *driver, unsigned int force,
		       struct err *err)
{
	struct bind_report report;
	int ret = use_check(host, NULL, &r->vf, force, NULL, err);

	if (!ret)
		ret = check_driver(r, want, driver, err);
	return ret ? ret : func_bind_locked(host, &r->vf, BIND_NONE, &report, err);
}

/* After a failure: what of @which is not as it was. What the VF did not tell before stays, and one
 * that cannot be put back is no reason to leave the others. */
static int put_back(struct host *host, const struct vf_set_report *r, uint32_t which,
		    struct err *err)
{
	struct vf_attrs now;
	int ret = vf_attrs_read(host, &r->pf, r->index, &now, err), one;
	unsigned int i;

	if (ret)
		return ret;
	which &= r->before.has & vf_attrs_differ(&now, &r->before);
	if (!which || !vf_attrs_write(host, &r->pf, r->index, &r->before, which, err))
		return 0;
	for (i = 0; i < VF_ATTR_COUNT; i++) {
		one = which & BIT(i) ? vf_attrs_write(host, &r->pf, r->index, &r->before, BIT(i),
						      ret ? NULL : err) : 0;
		ret = ret ? ret : one;
	}
	return ret;
}

static int change(struct host *host, struct vf_set_report *r, const struct vf_attrs *want,
		  unsigned int force, struct err *err)
{
	struct err why = { .code = 0 };
	struct bind_state state;
	bool taken = false;
	int ret = bind_state_read(host, &r->vf, &state, err), undone = 0;

	if (ret)
		return ret;
	if (asks_for_no_driver(r->changed) && *state.driver) {
		ret = take_driver(host, r, want, state.driver, force, err);
		if (ret)
			return ret;
		taken = true;
	}
	ret = vf_attrs_write(host, &r->pf, r->index, want, r->changed, err);
	if (ret)
		undone = put_back(host, r, r->changed, &why);
	if (taken && bind_state_restore(host, &state, undone ? NULL : &why) && !undone)
		undone = -EIO;
	if (!undone)
		return ret;
	if (ret)
		err_append(err, "; and not all could be put back: %s", why.msg);
	else
		ret = err_set(err, why.code, "%s", why.msg);
	return ret;
}

static int set_locked(struct host *host, struct vf_set_report *r, const struct vf_attrs *want,
		      unsigned int force, struct err *err)
{
	int ret = vf_attrs_read(host, &r->pf, r->index, &r->before, err);

	if (ret)
		return ret;
	r->after = r->before;
	r->changed = vf_attrs_differ(&r->before, want);
	if (!r->changed)
		return 0;
	ret = change(host, r, want, force, err);
	return ret ? ret : vf_attrs_read(host, &r->pf, r->index, &r->after, err);
}

int vf_set(struct host *host, const struct pci_addr *vf, const struct vf_attrs *want,
	   unsigned int force, struct vf_set_report *ret_report, struct err *err)
{
	struct vf_set_report r = { .changed = 0 };
	unsigned long writes = host->writes;
	struct func_lock lock;
	int ret = find_vf(host, vf, &r, err);

	if (!ret)
		ret = func_lock(host, &r.pf, &lock, err);
	if (ret)
		return ret;
	ret = set_locked(host, &r, want, force, err);
	func_unlock(&lock);
	r.writes = host->writes - writes;
	if (!ret && ret_report)
		*ret_report = r;
	return ret;
}
