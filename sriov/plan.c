// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Plan and apply.
 *
 * What a function is and what it should be are one struct (state.h), so a plan is their difference,
 * and there is no second way of changing a host: apply goes from what is to what the file asks for;
 * restore goes from what is to what was before the first apply; and when an apply fails or is
 * interrupted, the way back goes from what is then to what was when it began. Each reads the kernel
 * first and believes nothing else, so none of them minds where the one before it ended.
 *
 * The order of steps for one function, each only where there is a difference:
 *
 *   1. its VFs are removed        another number, or the next two, which would take them anyhow
 *   2. its own driver             VFs are made and unmade by the PF's driver
 *   3. eswitch mode               some drivers refuse it while there are VFs
 *   4. its VFs are made           at once, with sriov_drivers_autoprobe 0 if any of them is to have
 *                                 settings or a driver of its own, so that no other one sees it
 *   5. of each VF: unbound, settings, driver
 *                                 a driver reads its VF's settings when it begins, and some cannot
 *                                 be changed under it
 *   6. autoprobe as it was
 *   7. the VFs that get the kernel's choice
 *                                 which works for a VF while autoprobe is 1 only
 *
 * What is left open stays as it is. VFs that have to be made anew though their number stays keep
 * what they had; of another number they are others.
 *
 * A crash. Three things are written down (journal.h, lock.h), each before the first write to the
 * kernel that makes it true: what every function was before the first apply ever; what the functions
 * of the apply under way were when it began; what autoprobe was. The next apply takes from the
 * second what its file leaves open, so that a driver_override or a function without a driver, left
 * behind half way, is not mistaken for how things are. Nothing says how far the other one came: the
 * kernel does.
 */
#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"

static const struct {
	const char *name;
	enum plan_cost cost;
} kinds[PLAN_KINDS] = {
	[PLAN_VFS_REMOVE] = { "remove-vfs", PLAN_DESTROYS },
	[PLAN_PF_DRIVER] = { "driver", PLAN_IDLE },
	[PLAN_MODE] = { "mode", PLAN_IDLE },
	[PLAN_VFS_MAKE] = { "make-vfs", PLAN_LIVE },
	[PLAN_VF_UNBIND] = { "unbind-vf", PLAN_IDLE },
	[PLAN_VF_SET] = { "set-vf", PLAN_LIVE },
	[PLAN_VF_DRIVER] = { "driver-of-vf", PLAN_LIVE },
	[PLAN_AUTOPROBE] = { "autoprobe", PLAN_LIVE },
};

const char *plan_kind_name(enum plan_kind kind)
{
	return kinds[kind].name;
}

const char *plan_cost_name(enum plan_cost cost)
{
	static const char *const names[] = {
		[PLAN_LIVE] = "live",
		[PLAN_RESET] = "next-reset",
		[PLAN_IDLE] = "idle",
		[PLAN_DESTROYS] = "destroys",
	};

	return names[cost];
}

static int add(struct plan *plan, struct plan_step step)
{
	struct plan_step *grown;
	size_t room = plan->step_room ? plan->step_room * 2 : 16;

	if (plan->step_count == plan->step_room) {
		grown = reallocarray(plan->steps, room, sizeof(step));
		if (!grown)
			return -ENOMEM;
		plan->steps = grown;
		plan->step_room = room;
	}
	plan->steps[plan->step_count++] = step;
	return 0;
}

static int add_vf(struct plan *plan, enum plan_kind kind, size_t func, unsigned int vf, bool made,
		  uint32_t which)
{
	return add(plan, (struct plan_step){ .kind = kind, .func = func, .vf = vf, .made = made,
					     .which = which });
}

static bool is_word(const struct vf_state *vf, const char *word)
{
	return (vf->has & STATE_EXACT) == STATE_DRIVER && !strcmp(vf->bind.driver, word);
}

/* True when a VF just made, without driver and override, is right as it is. */
static bool is_bare(const struct vf_state *vf)
{
	return vf->has & STATE_OVERRIDE ? !*vf->bind.driver && !*vf->bind.override :
					  is_word(vf, BIND_NONE);
}

/* New VFs are to be had without the kernel's own driver first. */
static bool wants_quiet(const struct func_state *want)
{
	unsigned int i;

	for (i = 0; i < want->count; i++) {
		if (!is_word(&want->vfs[i], BIND_DEFAULT) || want->vfs[i].attrs.has)
			return true;
	}
	return false;
}

static bool needs_unbound(uint32_t which)
{
	unsigned int i;

	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (which & BIT(i) && vf_attr_row((enum vf_attr)i)->cost == VF_ATTR_UNBOUND)
			return true;
	}
	return false;
}

/* Step 5 of one VF that is made anew. */
static int new_vf(struct plan *plan, size_t func, unsigned int index)
{
	const struct vf_state *want = &plan->funcs[func].want.vfs[index];
	int ret = 0;

	if (want->attrs.has)
		ret = add_vf(plan, PLAN_VF_SET, func, index, true, want->attrs.has);
	if (ret || is_word(want, BIND_DEFAULT) || is_bare(want))
		return ret;
	return add_vf(plan, PLAN_VF_DRIVER, func, index, true, 0);
}

static bool vf_differs(const struct plan_func *f, unsigned int index)
{
	const struct vf_state *want = &f->want.vfs[index];

	return state_bind_differs(&f->now.vfs[index].bind, want->has, &want->bind,
				  f->want.autoprobe);
}

/* Step 5 of one that stays. */
static int old_vf(struct plan *plan, size_t func, unsigned int index)
{
	const struct plan_func *f = &plan->funcs[func];
	const struct vf_state *want = &f->want.vfs[index], *now = &f->now.vfs[index];
	uint32_t which = vf_attrs_differ(&now->attrs, &want->attrs);
	bool differs = vf_differs(f, index), unbind;
	int ret = 0;

	unbind = which && *now->bind.driver && (differs || needs_unbound(which));
	if (unbind)
		ret = add_vf(plan, PLAN_VF_UNBIND, func, index, false, 0);
	if (!ret && which)
		ret = add_vf(plan, PLAN_VF_SET, func, index, false, which);
	if (ret || (!differs && !unbind) || is_word(want, BIND_DEFAULT))
		return ret;
	return add_vf(plan, PLAN_VF_DRIVER, func, index, false, 0);
}

/* Step 7. */
static int choice_vf(struct plan *plan, size_t func, unsigned int index, bool made)
{
	const struct plan_func *f = &plan->funcs[func];
	const struct vf_state *want = &f->want.vfs[index];
	bool unbound;

	if (!is_word(want, BIND_DEFAULT))
		return 0;
	unbound = !made && needs_unbound(vf_attrs_differ(&f->now.vfs[index].attrs, &want->attrs));
	if (made ? !f->want.autoprobe : !unbound && !vf_differs(f, index))
		return 0;
	return add_vf(plan, PLAN_VF_DRIVER, func, index, made, 0);
}

static bool pf_differs(const struct plan_func *f)
{
	return state_bind_differs(&f->now.bind, f->want.has, &f->want.bind, true);
}

static bool mode_differs(const struct plan_func *f)
{
	return f->want.has & STATE_MODE &&
	       (!(f->now.has & STATE_MODE) || f->now.mode != f->want.mode);
}

/* The VFs are others afterwards. */
static bool func_makes(const struct plan_func *f, bool remove)
{
	return f->want.count && (remove || !f->now.count);
}

/* Steps 1 to 4. */
static int func_itself(struct plan *plan, size_t func, bool remove, bool quiet)
{
	const struct plan_func *f = &plan->funcs[func];
	struct plan_step step = { .func = func };
	const struct {
		bool is;
		enum plan_kind kind;
	} parts[] = {
		{ remove, PLAN_VFS_REMOVE },
		{ pf_differs(f), PLAN_PF_DRIVER },
		{ mode_differs(f), PLAN_MODE },
		{ func_makes(f, remove), PLAN_VFS_MAKE },
	};
	size_t i;
	int ret = 0;

	for (i = 0; i < ARRAY_SIZE(parts) && !ret; i++) {
		step.kind = parts[i].kind;
		step.quiet = quiet && step.kind == PLAN_VFS_MAKE;
		ret = parts[i].is ? add(plan, step) : 0;
	}
	return ret;
}

/* Steps 5 and 7. */
static int func_vfs(struct plan *plan, size_t func, bool made, bool choice)
{
	unsigned int i, count = plan->funcs[func].want.count;
	int ret = 0;

	for (i = 0; i < count && !ret; i++) {
		if (choice)
			ret = choice_vf(plan, func, i, made);
		else
			ret = made ? new_vf(plan, func, i) : old_vf(plan, func, i);
	}
	return ret;
}

static int plan_one(struct plan *plan, size_t func)
{
	const struct plan_step autoprobe = { .kind = PLAN_AUTOPROBE, .func = func };
	struct plan_func *f = &plan->funcs[func];
	bool remove, made, quiet, left;
	int ret;

	if (!(f->want.has & STATE_AUTOPROBE))
		f->want.autoprobe = f->now.autoprobe;
	f->want.has |= f->now.has & STATE_AUTOPROBE;
	ret = func_state_fill(&f->want, &f->now);
	if (ret)
		return ret;
	remove = f->now.count && (pf_differs(f) || mode_differs(f) ||
				  f->now.count != f->want.count);
	made = func_makes(f, remove);
	quiet = made && wants_quiet(&f->want);
	left = f->now.has & STATE_AUTOPROBE && f->now.autoprobe != f->want.autoprobe;
	/* VFs of the kernel's choice need it before they are made. */
	if (left && !quiet)
		ret = add(plan, autoprobe);
	if (!ret)
		ret = func_itself(plan, func, remove, quiet);
	if (!ret && (!made || quiet))
		ret = func_vfs(plan, func, made, false);
	if (!ret && quiet && f->want.has & STATE_AUTOPROBE && (left || f->want.autoprobe))
		ret = add(plan, autoprobe);
	if (!ret && (!made || quiet))
		ret = func_vfs(plan, func, made, true);
	return ret;
}

int plan_make(struct plan *plan, struct err *err)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < plan->func_count && !ret; i++)
		ret = plan_one(plan, i);
	return ret ? err_sys(err, ret, "the plan") : 0;
}

void plan_done(struct plan *plan)
{
	size_t i;

	for (i = 0; i < plan->func_count; i++) {
		func_state_done(&plan->funcs[i].now);
		func_state_done(&plan->funcs[i].want);
	}
	free(plan->funcs);
	free(plan->steps);
	memset(plan, 0, sizeof(*plan));
}

static bool is_of_vf(enum plan_kind kind)
{
	return kind == PLAN_VF_UNBIND || kind == PLAN_VF_SET || kind == PLAN_VF_DRIVER;
}

bool plan_step_addr(const struct plan *plan, const struct plan_step *step, struct pci_addr *ret)
{
	const struct plan_func *f = &plan->funcs[step->func];

	if (!is_of_vf(step->kind)) {
		*ret = f->now.bind.addr;
		return true;
	}
	if (step->made)
		return false;
	*ret = f->now.vfs[step->vf].bind.addr;
	return true;
}

enum plan_cost plan_step_cost(const struct plan *plan, const struct plan_step *step)
{
	const struct plan_func *f = &plan->funcs[step->func];
	enum plan_cost cost = kinds[step->kind].cost;
	const char *driver;
	unsigned int i;

	if (!is_of_vf(step->kind) || step->made)
		return cost;
	driver = f->now.vfs[step->vf].bind.driver;
	/* Without a driver there is nobody to notice. */
	if (!*driver)
		return PLAN_LIVE;
	if (step->kind == PLAN_VF_DRIVER)
		return PLAN_IDLE;
	for (i = 0; i < VF_ATTR_COUNT && step->kind == PLAN_VF_SET; i++) {
		if (step->which & BIT(i) && vf_attr_row((enum vf_attr)i)->cost == VF_ATTR_RESET)
			cost = PLAN_RESET;
	}
	return cost;
}
