// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands that make the host as the desired state says, and as it was before: apply, restore. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sriov/apply.h"
#include "sriov/plan.h"
#include "sriov/vf_attr.h"
#include "sriov/want.h"
#include "sriov/want_wait.h"
#include "vfctl.h"
#include "vfctl_json.h"

struct shower {
	struct vfctl *v;
	struct json_object *steps; /* NULL: not as JSON */
};

static void show_step(void *opaque, const struct plan *plan, size_t index, bool undo, int result)
{
	struct shower *s = opaque;
	char text[PLAN_TEXT_MAX];
	struct json_object *o;

	plan_step_text(plan, &plan->steps[index], text);
	if (!s->steps) {
		if (s->v->progress_shown)
			fputs("\r\033[K", stderr);
		printf("%s%s%s%s\n", undo ? "back: " : "", text, result ? ": " : "",
		       result ? strerror(-result) : "");
		fflush(stdout);
		return;
	}
	o = json_object_new_object();
	json_add_str(o, "text", text);
	json_add_bool(o, "undo", undo);
	json_add_bool(o, "done", !result);
	json_object_array_add(s->steps, o);
}

static void print_report(const struct apply_report *r)
{
	printf("%u step%s, %lu write%s%s\n", r->steps, r->steps == 1 ? "" : "s", r->writes,
	       r->writes == 1 ? "" : "s", r->pools ? ", pools written" : "");
	if (r->skipped)
		printf("%s%s\n", r->note, r->skipped > 1 ? " (and others)" : "");
}

static void json_report(struct shower *s, const struct apply_report *r, const struct err *err)
{
	struct json_object *o = json_object_new_object();

	json_add_bool(o, "done", !err->code);
	json_add_str_or_null(o, "error", err->code ? err->msg : "");
	json_add(o, "steps", s->steps);
	json_add_int(o, "writes", (int64_t)r->writes);
	json_add_bool(o, "pools", r->pools);
	json_add_int(o, "skipped", r->skipped);
	json_add_str_or_null(o, "note", r->note);
	json_print(o);
}

/* @want is NULL for restore. */
static int run(struct vfctl *v, const struct want *want)
{
	struct shower s = { .v = v };
	struct apply_opts opts = { .force = v->force, .step = show_step, .opaque = &s };
	struct apply_report report = { .steps = 0 };
	struct err err = { .code = 0 };
	int ret;

	if (v->value[OPT_JSON])
		s.steps = json_object_new_array();
	vf_attr_init(&v->host);
	ret = want ? apply_run(&v->host, want, &opts, &report, &err) :
		     apply_restore(&v->host, &opts, &report, &err);
	if (s.steps)
		json_report(&s, &report, &err);
	else if (!ret)
		print_report(&report);
	return ret ? vfctl_fail(v, &err) : EXIT_DONE;
}

const char *vfctl_file(const struct vfctl *v)
{
	return v->value[OPT_FILE] ? v->value[OPT_FILE] : "/etc/vfctl.yaml";
}

int vfctl_apply(struct vfctl *v, int argc, char **argv)
{
	struct err err = { .code = 0 };
	struct want want;
	int ret;

	(void)argc;
	(void)argv;
	if (want_read(&want, vfctl_file(v), &err))
		return vfctl_fail(v, &err);
	want_wait(&v->host, &want, v->wait_s * 1000);
	ret = run(v, &want);
	want_done(&want);
	return ret;
}

int vfctl_restore(struct vfctl *v, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return run(v, NULL);
}
