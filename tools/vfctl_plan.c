// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands that hold the desired state against the host: plan, status. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/util.h"
#include "sriov/apply.h"
#include "sriov/journal.h"
#include "sriov/plan.h"
#include "sriov/vf_attr.h"
#include "sriov/want.h"
#include "vfctl.h"
#include "vfctl_json.h"

struct view {
	struct want want;
	struct plan plan;
	bool pools; /* would be written */
	bool cut_off; /* an apply before */
	struct plan_hit *hits;
	struct plan_block *blocks;
	size_t hit_count, block_count;
};

static void view_done(struct view *w)
{
	want_done(&w->want);
	plan_done(&w->plan);
	free(w->hits);
	free(w->blocks);
}

static int view_read(struct vfctl *v, struct view *w, struct err *err)
{
	struct journal journal = { 0 };
	int ret = want_read(&w->want, vfctl_file(v), err);

	vf_attr_init(&v->host);
	if (!ret)
		ret = apply_plan(&v->host, &w->want, &w->plan, &w->pools, err);
	if (!ret)
		ret = plan_hits(&v->host, &w->plan, 0, v->force, &w->hits, &w->hit_count, err);
	if (!ret)
		ret = plan_blocks(&v->host, &w->plan, &w->blocks, &w->block_count, err);
	if (!ret)
		ret = journal_read(&v->host, JOURNAL_UNDER_WAY, &journal, err);
	if (!ret) {
		w->cut_off = journal.count != 0;
		journal_done(&journal);
	}
	return ret;
}

static bool view_differs(const struct view *w)
{
	return w->plan.step_count || w->pools || w->cut_off;
}

static const char *cost_text(enum plan_cost cost)
{
	static const char *const texts[] = {
		[PLAN_LIVE] = "",
		[PLAN_RESET] = " [seen at the VF's next reset]",
		[PLAN_IDLE] = " [it has to be idle]",
		[PLAN_DESTROYS] = " [destroys VFs]",
	};

	return texts[cost];
}

static void print_hit(const struct plan_hit *hit)
{
	char a[PCI_ADDR_STRLEN], force[USE_KINDS_TEXT_MAX];

	printf("       %s: %s", pci_addr_str(&hit->addr, a), hit->what);
	if (hit->in_use)
		printf("; apply refuses it: %s%sor use --force=%s", hit->remedy,
		       *hit->remedy ? " " : "", use_kinds_text(hit->kinds, force));
	putchar('\n');
}

static void print_plan(const struct view *w)
{
	unsigned int costs[PLAN_DESTROYS + 1] = { 0 };
	char text[PLAN_TEXT_MAX];
	size_t i, h;

	for (i = 0; i < w->plan.step_count; i++) {
		enum plan_cost cost = plan_step_cost(&w->plan, &w->plan.steps[i]);

		costs[cost]++;
		printf("%4zu  %s%s\n", i + 1, plan_step_text(&w->plan, &w->plan.steps[i], text),
		       cost_text(cost));
		for (h = 0; h < w->hit_count; h++) {
			if (w->hits[h].step == i)
				print_hit(&w->hits[h]);
		}
	}
	if (w->pools)
		puts("      pools are written");
	if (w->cut_off)
		puts("      an apply was cut off; this one ends it");
	for (i = 0; i < w->block_count; i++)
		printf("in the way%s: %s\n", w->blocks[i].reboot ? ", and it takes a reboot" : "",
		       w->blocks[i].text);
	if (!view_differs(w))
		puts("nothing to do");
	else
		printf("%zu step%s: %u live, %u at the VF's next reset, %u on what has to be idle, "
		       "%u destroying VFs\n", w->plan.step_count,
		       w->plan.step_count == 1 ? "" : "s", costs[PLAN_LIVE], costs[PLAN_RESET],
		       costs[PLAN_IDLE], costs[PLAN_DESTROYS]);
}

static struct json_object *json_hits(const struct view *w, size_t step)
{
	struct json_object *list = json_object_new_array();
	char force[USE_KINDS_TEXT_MAX];
	size_t i;

	for (i = 0; i < w->hit_count; i++) {
		const struct plan_hit *hit = &w->hits[i];
		struct json_object *o;

		if (hit->step != step)
			continue;
		o = json_object_new_object();
		json_add_addr(o, "address", &hit->addr);
		json_add_bool(o, "in_use", hit->in_use);
		json_add_str_or_null(o, "force",
				     hit->in_use ? use_kinds_text(hit->kinds, force) : "");
		json_add_str(o, "what", hit->what);
		json_add_str_or_null(o, "remedy", hit->remedy);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *json_step(const struct view *w, size_t index)
{
	const struct plan_step *step = &w->plan.steps[index];
	struct json_object *o = json_object_new_object();
	char text[PLAN_TEXT_MAX];
	struct pci_addr addr;

	json_add_str(o, "device", w->plan.funcs[step->func].label);
	json_add_addr(o, "function", &w->plan.funcs[step->func].now.bind.addr);
	if (plan_step_addr(&w->plan, step, &addr))
		json_add_addr(o, "address", &addr);
	else
		json_add(o, "address", NULL);
	json_add_str(o, "step", plan_kind_name(step->kind));
	json_add_str(o, "text", plan_step_text(&w->plan, step, text));
	json_add_str(o, "cost", plan_cost_name(plan_step_cost(&w->plan, step)));
	json_add(o, "hits", json_hits(w, index));
	return o;
}

static void json_plan(const struct view *w)
{
	struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array();
	size_t i;

	for (i = 0; i < w->plan.step_count; i++)
		json_object_array_add(list, json_step(w, i));
	json_add_bool(o, "changes", view_differs(w));
	json_add(o, "steps", list);
	json_add_bool(o, "pools", w->pools);
	json_add_bool(o, "cut_off", w->cut_off);
	list = json_object_new_array();
	for (i = 0; i < w->block_count; i++) {
		struct json_object *b = json_object_new_object();

		json_add_str(b, "device", w->plan.funcs[w->blocks[i].func].label);
		json_add_str(b, "text", w->blocks[i].text);
		json_add_bool(b, "reboot", w->blocks[i].reboot);
		json_object_array_add(list, b);
	}
	json_add(o, "in_the_way", list);
	json_print(o);
}

/* --- status ------------------------------------------------------------------------------------ */

static size_t steps_of(const struct plan *plan, size_t func)
{
	size_t i, n = 0;

	for (i = 0; i < plan->step_count; i++)
		n += plan->steps[i].func == func;
	return n;
}

static void print_status(const struct view *w)
{
	char a[PCI_ADDR_STRLEN], text[PLAN_TEXT_MAX];
	size_t i, k;

	for (i = 0; i < w->plan.func_count; i++) {
		const struct plan_func *f = &w->plan.funcs[i];

		printf("%s (%s): %s\n", f->label, pci_addr_str(&f->now.bind.addr, a),
		       steps_of(&w->plan, i) ? "not as the file says" : "as the file says");
		for (k = 0; k < w->plan.step_count; k++) {
			if (w->plan.steps[k].func == i)
				printf("    should be: %s\n",
				       plan_step_text(&w->plan, &w->plan.steps[k], text));
		}
	}
	if (w->pools)
		puts("pools: not as the file says");
	if (w->cut_off)
		puts("an apply was cut off; run: vfctl apply");
}

static void json_status(const struct view *w)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	char text[PLAN_TEXT_MAX];
	size_t i, k;

	for (i = 0; i < w->plan.func_count; i++) {
		struct json_object *d = json_object_new_object(), *all = json_object_new_array();

		for (k = 0; k < w->plan.step_count; k++) {
			if (w->plan.steps[k].func == i)
				json_object_array_add(all, json_object_new_string(plan_step_text(
						&w->plan, &w->plan.steps[k], text)));
		}
		json_add_str(d, "device", w->plan.funcs[i].label);
		json_add_addr(d, "address", &w->plan.funcs[i].now.bind.addr);
		json_add_bool(d, "as_asked", !steps_of(&w->plan, i));
		json_add(d, "differences", all);
		json_object_array_add(list, d);
	}
	json_add_bool(o, "as_asked", !view_differs(w));
	json_add(o, "devices", list);
	json_add_bool(o, "pools_as_asked", !w->pools);
	json_add_bool(o, "cut_off", w->cut_off);
	json_print(o);
}

/* --- both -------------------------------------------------------------------------------------- */

static int show(struct vfctl *v, void (*print)(const struct view *w),
		void (*json)(const struct view *w), bool heed_blocks)
{
	struct view w = { .pools = false };
	struct err err = { .code = 0 };
	int code = EXIT_DONE;

	if (view_read(v, &w, &err)) {
		view_done(&w);
		return vfctl_fail(v, &err);
	}
	(v->value[OPT_JSON] ? json : print)(&w);
	if (view_differs(&w))
		code = heed_blocks && w.block_count ? EXIT_FAILED : EXIT_DIFFERS;
	view_done(&w);
	return code;
}

int vfctl_plan(struct vfctl *v, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return show(v, print_plan, json_plan, true);
}

int vfctl_status(struct vfctl *v, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return show(v, print_status, json_status, false);
}
