// SPDX-License-Identifier: GPL-2.0-or-later
/* Who would be hit by a plan, and what keeps it from being carried out. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"
#include "plan.h"
#include "use.h"
#include "vf_rules.h"

struct hits {
	const struct host *host;
	const struct plan *plan;
	struct use_scan *scan;
	unsigned int force;
	struct pci_addr *bound; /* all that are to have a VFIO driver afterwards */
	size_t bound_count;
	struct plan_hit *hits;
	size_t count;
};

/* Room for one more, or NULL. */
static struct plan_hit *hit_new(struct hits *h, size_t step, const struct pci_addr *addr)
{
	struct plan_hit *grown = reallocarray(h->hits, h->count + 1, sizeof(*grown));

	if (!grown)
		return NULL;
	h->hits = grown;
	grown += h->count++;
	memset(grown, 0, sizeof(*grown));
	grown->step = step;
	grown->addr = *addr;
	return grown;
}

static bool was_seen(const struct hits *h, const struct use_evidence *ev)
{
	size_t i;

	for (i = 0; i < h->count; i++) {
		if (h->hits[i].in_use && pci_addr_eq(&h->hits[i].addr, &ev->addr) &&
		    !strcmp(h->hits[i].what, ev->what))
			return true;
	}
	return false;
}

static int hit_use(struct hits *h, size_t step, const struct use_evidence *ev)
{
	struct plan_hit *hit;

	if (was_seen(h, ev))
		return 0;
	hit = hit_new(h, step, &ev->addr);
	if (!hit)
		return -ENOMEM;
	hit->in_use = true;
	hit->kinds = ev->kinds;
	memcpy(hit->what, ev->what, sizeof(hit->what));
	memcpy(hit->remedy, ev->remedy, sizeof(hit->remedy));
	return 0;
}

/* Interfaces that go with a driver, though nobody uses them. */
static int hit_netdevs(struct hits *h, size_t step, const struct pci_addr *addr)
{
	struct func_info info;
	struct plan_hit *hit;
	unsigned int i;

	if (func_read(h->host, addr, &info, NULL))
		return 0;
	for (i = 0; i < info.netdev_count; i++) {
		hit = hit_new(h, step, addr);
		if (!hit)
			return -ENOMEM;
		snprintf(hit->what, sizeof(hit->what), "its interface %s goes", info.netdevs[i]);
	}
	return 0;
}

/* @forced: kinds that another step is about. */
static int hit_func(struct hits *h, size_t step, const struct pci_addr *addr, unsigned int forced)
{
	CLEANUP_FREE struct use_found *found = calloc(1, sizeof(*found));
	size_t i;
	int ret;

	if (!found)
		return -ENOMEM;
	ret = use_check(h->host, h->scan, addr, h->force | forced, found, NULL);
	if (!ret)
		return hit_netdevs(h, step, addr);
	/* Gone: nobody uses it. */
	if (ret == -ENODEV)
		return 0;
	if (ret != -EBUSY)
		return ret;
	for (i = 0, ret = 0; i < found->count && !ret; i++)
		ret = hit_use(h, step, &found->ev[i]);
	return ret;
}

/* A VFIO driver is of no use to a function whose group a driver of the host is in. */
static int hit_companions(struct hits *h, size_t step, const struct pci_addr *addr,
			  const char *driver)
{
	struct use_evidence ev = { .addr = *addr, .kinds = USE_GROUP };
	struct err why = { .code = 0 };
	char a[PCI_ADDR_STRLEN];
	size_t skip;
	int ret;

	if (!func_driver_is_vfio(driver) || h->force & USE_GROUP)
		return 0;
	ret = use_check_companions(h->host, addr, h->bound, h->bound_count, driver, &why);
	if (ret != -EBUSY)
		return ret;
	skip = strlen(pci_addr_str(addr, a));
	skip = !strncmp(why.msg, a, skip) && !strncmp(why.msg + skip, ": ", 2) ? skip + 2 : 0;
	snprintf(ev.what, sizeof(ev.what), "%.*s", (int)sizeof(ev.what) - 1, why.msg + skip);
	return hit_use(h, step, &ev);
}

static int hit_vfs(struct hits *h, size_t step, const struct func_state *now)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < now->count && !ret; i++)
		ret = hit_func(h, step, &now->vfs[i].bind.addr, 0);
	return ret;
}

/* Its VFs are looked at when they are removed, in a step before this. */
static int hit_itself(struct hits *h, size_t step, const struct plan_func *f, bool is_driver)
{
	int ret = 0;

	if (*f->now.bind.driver)
		ret = hit_func(h, step, &f->now.bind.addr, f->now.count ? USE_VFS : 0);
	if (ret || !is_driver)
		return ret;
	return hit_companions(h, step, &f->now.bind.addr, f->want.bind.driver);
}

static int hit_vf(struct hits *h, const struct plan_step *step, size_t index)
{
	const struct plan_func *f = &h->plan->funcs[step->func];
	const struct bind_state *now = &f->now.vfs[step->vf].bind;
	int ret = 0;

	/* Its unbinding was looked at, if that is what comes before. */
	bool seen = step->kind == PLAN_VF_DRIVER && index && step[-1].kind == PLAN_VF_SET &&
		    step[-1].func == step->func && step[-1].vf == step->vf;

	if (*now->driver && !seen)
		ret = hit_func(h, index, &now->addr, 0);
	if (ret || step->kind != PLAN_VF_DRIVER || !strcmp(now->driver, f->want.vfs[step->vf].bind.driver))
		return ret;
	return hit_companions(h, index, &now->addr, f->want.vfs[step->vf].bind.driver);
}

/* What the step takes from somebody. */
static int hit_step(struct hits *h, const struct plan_step *step)
{
	const struct plan_func *f = &h->plan->funcs[step->func];
	size_t index = (size_t)(step - h->plan->steps);

	switch (step->kind) {
	case PLAN_VFS_REMOVE:
		return hit_vfs(h, index, &f->now);
	case PLAN_PF_DRIVER:
	case PLAN_MODE:
		return hit_itself(h, index, f, step->kind == PLAN_PF_DRIVER);
	case PLAN_VF_UNBIND:
	case PLAN_VF_DRIVER:
		return step->made ? 0 : hit_vf(h, step, index);
	default:
		return 0;
	}
}

/* All functions of the plan that are there and get, or have, a VFIO driver. */
static int collect_bound(struct hits *h)
{
	const struct plan *plan = h->plan;
	size_t i, room = 0;
	unsigned int v;

	for (i = 0; i < plan->func_count; i++)
		room += 1 + plan->funcs[i].now.count;
	h->bound = calloc(room + 1, sizeof(*h->bound));
	if (!h->bound)
		return -ENOMEM;
	for (i = 0; i < plan->func_count; i++) {
		const struct plan_func *f = &plan->funcs[i];

		if (func_driver_is_vfio(f->want.bind.driver))
			h->bound[h->bound_count++] = f->now.bind.addr;
		for (v = 0; v < MIN(f->now.count, f->want.count); v++) {
			if (func_driver_is_vfio(f->want.vfs[v].bind.driver))
				h->bound[h->bound_count++] = f->now.vfs[v].bind.addr;
		}
	}
	return 0;
}

int plan_hits(const struct host *host, const struct plan *plan, size_t from,
	      unsigned int force, struct plan_hit **ret_hits, size_t *ret_count, struct err *err)
{
	struct hits h = { .host = host, .plan = plan, .force = force };
	size_t i;
	int ret;

	h.scan = use_scan_new(host);
	ret = h.scan ? collect_bound(&h) : -ENOMEM;
	for (i = from; i < plan->step_count && !ret; i++)
		ret = hit_step(&h, &plan->steps[i]);
	use_scan_free(h.scan);
	free(h.bound);
	if (ret) {
		free(h.hits);
		return err_sys(err, ret, "looking who uses what");
	}
	*ret_hits = h.hits;
	*ret_count = h.count;
	return 0;
}

/* --- what stands in the way -------------------------------------------------------------------- */

struct blocks {
	struct host *host;
	const struct plan *plan;
	struct plan_block *blocks;
	size_t count;
	size_t func;
	bool no_room;
};

static void block(struct blocks *b, bool reboot, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void block(struct blocks *b, bool reboot, const char *fmt, ...)
{
	struct plan_block *grown = reallocarray(b->blocks, b->count + 1, sizeof(*grown));
	va_list ap;

	if (!grown) {
		b->no_room = true;
		return;
	}
	b->blocks = grown;
	grown = &b->blocks[b->count];
	grown->func = b->func;
	grown->reboot = reboot;
	va_start(ap, fmt);
	vsnprintf(grown->text, sizeof(grown->text), fmt, ap);
	va_end(ap);
	/* The same of many VFs is said once. */
	if (!b->count || strcmp(grown[-1].text, grown->text) != 0)
		b->count++;
}

static void block_count(struct blocks *b, const struct plan_func *f, const char *a)
{
	struct err why = { .code = 0 };
	long total;

	if (host_read_long(b->host, &total, "bus/pci/devices/%s/sriov_totalvfs", a)) {
		block(b, true, "%s has no SR-IOV capability, or it is off in the firmware: it can "
		      "have no VFs before that is turned on and the host restarted", a);
		return;
	}
	if (f->want.count > total)
		block(b, true, "%s: %u VFs asked for, it can have %ld; more of them takes a change "
		      "of the card's firmware settings, if it knows any, and a restart", a,
		      f->want.count, total);
	if (!state_bind_differs(&f->now.bind, f->want.has, &f->want.bind, true) &&
	    vf_rules_check(b->host, &f->now.bind.addr, &why))
		block(b, false, "%s", why.msg);
}

/* @where: a function whose IOMMU group tells that of the one to be bound. */
static void block_driver(struct blocks *b, const char *driver, const struct pci_addr *where,
			 const char *a)
{
	struct err why = { .code = 0 };

	if (bind_driver_check(b->host, driver, &why))
		block(b, false, "%s: %s", a, why.msg);
	else if (func_driver_is_vfio(driver) && func_group(b->host, where) < 0)
		block(b, true, "%s: %s needs an IOMMU, and it is in no IOMMU group: turn the IOMMU "
		      "on in the firmware and start the kernel with intel_iommu=on or "
		      "amd_iommu=on", a, driver);
}

/* The VF that a step gives to a driver, as it will be then. */
static void block_vf_driver(struct blocks *b, const struct plan_func *f,
			    const struct plan_step *step, const char *a)
{
	const struct vf_state *want = &f->want.vfs[step->vf];

	if (!*want->bind.driver)
		return;
	block_driver(b, want->bind.driver,
		     step->made ? &f->now.bind.addr : &f->now.vfs[step->vf].bind.addr, a);
	if (!vf_rules_runs(want->bind.driver, &want->attrs))
		block(b, false, "%s: VF %u: driver %s cannot run a controller that is offline; give "
		      "the VF queues, vectors and online: on, or driver: none", a, step->vf,
		      want->bind.driver);
}

/* Settings that the file asks of a VF which shows all that it has. */
static void block_settings(struct blocks *b, const struct plan_func *f, unsigned int vf,
			   const char *a)
{
	uint32_t missing = f->want.vfs[vf].attrs.has & ~f->now.vfs[vf].attrs.has;
	unsigned int i;

	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (missing & BIT(i))
			block(b, false, "%s: %s has no setting %s for its VFs", a,
			      *f->now.bind.driver ? f->now.bind.driver : "a card without driver",
			      vf_attr_row((enum vf_attr)i)->name);
	}
}

static void block_step(struct blocks *b, const struct plan_step *step)
{
	const struct plan_func *f = &b->plan->funcs[step->func];
	char a[PCI_ADDR_STRLEN];

	b->func = step->func;
	pci_addr_str(&f->now.bind.addr, a);
	switch (step->kind) {
	case PLAN_VFS_MAKE:
		block_count(b, f, a);
		break;
	case PLAN_PF_DRIVER:
		if (*f->want.bind.driver)
			block_driver(b, f->want.bind.driver, &f->now.bind.addr, a);
		break;
	case PLAN_MODE:
		if (!(f->now.has & STATE_MODE) &&
		    !state_bind_differs(&f->now.bind, f->want.has, &f->want.bind, true))
			block(b, false, "%s: it has no eswitch mode (devlink shows none)", a);
		break;
	case PLAN_VF_SET:
		if (!step->made)
			block_settings(b, f, step->vf, a);
		break;
	case PLAN_VF_DRIVER:
		block_vf_driver(b, f, step, a);
		break;
	default:
		break;
	}
}

int plan_blocks(struct host *host, const struct plan *plan, struct plan_block **ret_blocks,
		size_t *ret_count, struct err *err)
{
	struct blocks b = { .host = host, .plan = plan };
	size_t i;

	for (i = 0; i < plan->step_count; i++)
		block_step(&b, &plan->steps[i]);
	if (b.no_room) {
		free(b.blocks);
		return err_sys(err, -ENOMEM, "the plan");
	}
	*ret_blocks = b.blocks;
	*ret_count = b.count;
	return 0;
}
