// SPDX-License-Identifier: GPL-2.0-or-later
/* A plan's steps in words. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "plan.h"

struct text {
	char *buf;
	size_t at;
};

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->at, PLAN_TEXT_MAX - t->at, fmt, ap);
	va_end(ap);
	t->at = MIN(t->at + (size_t)MAX(n, 0), PLAN_TEXT_MAX - 1);
}

/* A driver as a person says it. */
static const char *driver_word(uint32_t has, const struct bind_state *bind)
{
	if (!*bind->driver)
		return "no driver";
	if (!(has & STATE_OVERRIDE) && !strcmp(bind->driver, BIND_NONE))
		return "no driver";
	if (!(has & STATE_OVERRIDE) && !strcmp(bind->driver, BIND_DEFAULT))
		return "the driver of the kernel's choice";
	return bind->driver;
}

static void put_driver(struct text *t, uint32_t has, const struct bind_state *want,
		       const struct bind_state *now)
{
	put(t, "%s", driver_word(has, want));
	if (has & STATE_OVERRIDE && !strcmp(want->driver, now->driver))
		put(t, *want->override ? ", driver_override %s" : ", driver_override cleared",
		    want->override);
	else
		put(t, " (now %s)", driver_word(STATE_EXACT, now));
}

static const char *mode_word(const struct func_state *s)
{
	if (!(s->has & STATE_MODE))
		return "none";
	return s->mode == ESWITCH_SWITCHDEV ? "switchdev" : "legacy";
}

static void put_settings(struct text *t, const struct plan_func *f, const struct plan_step *step)
{
	const struct vf_attrs *want = &f->want.vfs[step->vf].attrs, *now = NULL;
	char value[VF_ATTR_TEXT_MAX];
	const char *comma = "";
	unsigned int i;

	if (!step->made)
		now = &f->now.vfs[step->vf].attrs;
	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (!(step->which & BIT(i)))
			continue;
		put(t, "%s%s %s", comma, vf_attr_row((enum vf_attr)i)->name,
		    vf_attr_text((enum vf_attr)i, want->value[i], value));
		if (now && now->has & BIT(i))
			put(t, " (now %s)", vf_attr_text((enum vf_attr)i, now->value[i], value));
		comma = ", ";
	}
}

static const char *s_of(unsigned int n)
{
	return n == 1 ? "" : "s";
}

static void put_vf(struct text *t, const struct plan_func *f, const struct plan_step *step)
{
	static const struct bind_state none = { .driver = "" };
	const struct vf_state *want = &f->want.vfs[step->vf];
	const struct bind_state *now = step->made ? &none : &f->now.vfs[step->vf].bind;
	char a[PCI_ADDR_STRLEN];

	put(t, "VF %u", step->vf);
	if (!step->made)
		put(t, " (%s)", pci_addr_str(&now->addr, a));
	put(t, ": ");
	if (step->kind == PLAN_VF_UNBIND)
		put(t, "taken from %s for the time of the change", now->driver);
	else if (step->kind == PLAN_VF_SET)
		put_settings(t, f, step);
	else if (step->made)
		put(t, "%s", driver_word(want->has, &want->bind));
	else if (!state_bind_differs(now, want->has, &want->bind, f->want.autoprobe))
		put(t, "given back to %s", now->driver);
	else
		put_driver(t, want->has, &want->bind, now);
}

const char *plan_step_text(const struct plan *plan, const struct plan_step *step,
			   char buf[PLAN_TEXT_MAX])
{
	const struct plan_func *f = &plan->funcs[step->func];
	struct text t = { .buf = buf };

	buf[0] = '\0';
	put(&t, "%s: ", f->label);
	switch (step->kind) {
	case PLAN_VFS_REMOVE:
		put(&t, "its %u VF%s removed", f->now.count,
		    f->now.count == 1 ? " is" : "s are");
		break;
	case PLAN_PF_DRIVER:
		put_driver(&t, f->want.has, &f->want.bind, &f->now.bind);
		break;
	case PLAN_MODE:
		put(&t, "eswitch mode %s (now %s)", mode_word(&f->want), mode_word(&f->now));
		break;
	case PLAN_VFS_MAKE:
		put(&t, "%u VF%s made", f->want.count, s_of(f->want.count));
		if (f->now.count)
			put(&t, " (%u before)", f->now.count);
		break;
	case PLAN_AUTOPROBE:
		put(&t, "sriov_drivers_autoprobe is %d again", f->want.autoprobe);
		break;
	default:
		put_vf(&t, f, step);
	}
	return buf;
}
