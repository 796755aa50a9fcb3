// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "sriov/func.h"
#include "sriov/vf_set.h"
#include "vfctl.h"
#include "vfctl_json.h"
#include "vfctl_settings.h"

void settings_print(const struct vf_attrs *attrs, uint32_t which)
{
	char text[VF_ATTR_TEXT_MAX];
	const char *comma = "";
	unsigned int i;

	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (!(attrs->has & which & BIT(i)))
			continue;
		printf("%s%s %s", comma, vf_attr_row(i)->name,
		       vf_attr_text(i, attrs->value[i], text));
		comma = ", ";
	}
}

struct json_object *settings_json_value(enum vf_attr attr, uint64_t value)
{
	char text[VF_ATTR_TEXT_MAX];

	vf_attr_text(attr, value, text);
	if (vf_attr_row(attr)->kind == VF_ATTR_NUMBER)
		return json_object_new_uint64(value);
	if (!strcmp(text, "on") || !strcmp(text, "off"))
		return json_object_new_boolean(value != 0);
	return json_object_new_string(text);
}

struct json_object *settings_json(const struct vf_attrs *attrs)
{
	struct json_object *o = json_object_new_object();
	unsigned int i;

	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (attrs->has & BIT(i))
			json_add(o, vf_attr_row(i)->name, settings_json_value(i, attrs->value[i]));
	}
	return o;
}

static int unknown_setting(const char *name)
{
	char shown[48], names[256] = "";
	size_t len = 0;
	unsigned int i;

	for (i = 0; i < VF_ATTR_COUNT && len < sizeof(names); i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i ? ", " : "",
					vf_attr_row(i)->name);
	return vfctl_usage("there is no setting \"%s\", but %s",
			   host_printable(name, shown, sizeof(shown)), names);
}

/* One "key=value" into @want. Returns an EXIT_ code. */
static int parse_setting(const char *arg, struct vf_attrs *want)
{
	const char *equals = strchr(arg, '=');
	struct err err = { .code = 0 };
	char name[HOST_NAME_MAX], shown[48];
	int attr;

	host_printable(arg, shown, sizeof(shown));
	if (!equals)
		return vfctl_usage("\"%s\" is no setting like vlan=100", shown);
	snprintf(name, sizeof(name), "%.*s", (int)MIN(equals - arg, HOST_NAME_MAX), arg);
	attr = vf_attr_find(name);
	if (attr < 0)
		return unknown_setting(name);
	if (want->has & BIT(attr))
		return vfctl_usage("%s is given twice", name);
	if (vf_attr_parse((enum vf_attr)attr, equals + 1, &want->value[attr], &err))
		return vfctl_usage("%s", err.msg);
	want->has |= BIT(attr);
	return EXIT_DONE;
}

/* What of @changed reaches the VF's driver only when it resets the VF. */
static uint32_t seen_at_reset(uint32_t changed)
{
	uint32_t mask = 0;
	unsigned int i;

	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (changed & BIT(i) && vf_attr_row(i)->cost == VF_ATTR_RESET)
			mask |= BIT(i);
	}
	return mask;
}

static void report_text(struct vfctl *v, const struct vf_set_report *r)
{
	char a[PCI_ADDR_STRLEN], driver[HOST_NAME_MAX];
	uint32_t later = seen_at_reset(r->changed);

	pci_addr_str(&r->vf, a);
	func_driver(&v->host, &r->vf, driver);
	printf("%s: ", a);
	if (!r->changed) {
		printf("it was so already, 0 writes\n");
		return;
	}
	settings_print(&r->after, r->changed);
	if (r->before.has & r->changed) {
		printf(" (before: ");
		settings_print(&r->before, r->changed);
		printf(")");
	}
	printf(", %lu write%s\n", r->writes, r->writes == 1 ? "" : "s");
	if (later && *driver) {
		printf("%s: its driver %s sees the new ", a, driver);
		settings_print(&r->after, later);
		printf(" at its next reset\n");
	}
}

static void report_json(const struct vf_set_report *r)
{
	struct json_object *o = json_object_new_object(), *changed = json_object_new_array();
	unsigned int i;

	json_add_addr(o, "address", &r->vf);
	json_add_addr(o, "pf", &r->pf);
	json_add_int(o, "vf_index", r->index);
	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (r->changed & BIT(i))
			json_object_array_add(changed,
					      json_object_new_string(vf_attr_row(i)->name));
	}
	json_add(o, "changed", changed);
	json_add(o, "before", settings_json(&r->before));
	json_add(o, "settings", settings_json(&r->after));
	json_add_int(o, "writes", (int64_t)r->writes);
	json_print(o);
}

int vfctl_set(struct vfctl *v, int argc, char **argv)
{
	struct vf_attrs want = { .has = 0 };
	struct err err = { .code = 0 };
	struct vf_set_report report;
	struct pci_addr vf;
	int i, ret;

	for (i = 1; i < argc; i++) {
		ret = parse_setting(argv[i], &want);
		if (ret)
			return ret;
	}
	vf_attr_init(&v->host);
	if (func_resolve(&v->host, argv[0], &vf, &err) ||
	    vf_set(&v->host, &vf, &want, v->force, &report, &err))
		return vfctl_fail(v, &err);
	if (v->value[OPT_JSON])
		report_json(&report);
	else
		report_text(v, &report);
	return EXIT_DONE;
}
