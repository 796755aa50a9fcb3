// SPDX-License-Identifier: GPL-2.0-or-later
/* vfctl explain: why an IOMMU group is what it is. What show prints of it is here too. */
#include "vfctl_explain.h"

#include <errno.h>
#include <stdio.h>

#include "vfctl.h"
#include "vfctl_json.h"

void explain_members(const struct group_explain *ex, const char *indent)
{
	size_t i;

	for (i = 0; i < ex->member_count; i++) {
		const struct group_member *m = &ex->members[i];

		printf("%s%s %s%s%s\n", indent, m->name, m->is_bridge ? "bridge, " : "",
		       *m->driver ? m->driver : "no driver",
		       m->blocks ? " (keeps the group from a guest)" : "");
	}
}

struct json_object *explain_json_members(const struct group_explain *ex)
{
	struct json_object *list = json_object_new_array();
	size_t i;

	for (i = 0; i < ex->member_count; i++) {
		const struct group_member *m = &ex->members[i];
		struct json_object *o = json_object_new_object();

		json_add_str(o, "name", m->name);
		json_add_str_or_null(o, "driver", m->driver);
		json_add_bool(o, "bridge", m->is_bridge);
		json_add_bool(o, "blocks", m->blocks);
		json_object_array_add(list, o);
	}
	return list;
}

struct json_object *explain_json_causes(const struct group_explain *ex)
{
	struct json_object *list = json_object_new_array();
	size_t i;

	for (i = 0; i < ex->cause_count; i++) {
		const struct explain_cause *c = &ex->causes[i];
		struct json_object *o = json_object_new_object();

		json_add_str(o, "kind", explain_kind_name(c->kind));
		if (*c->brief)
			json_add_addr(o, "device", &c->addr);
		else
			json_add(o, "device", NULL);
		json_add_str(o, "text", c->text);
		json_object_array_add(list, o);
	}
	return list;
}

static void explain_json(const struct pci_addr *addr, const struct group_explain *ex)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	size_t i;

	json_add_addr(o, "address", addr);
	json_add_int(o, "group", ex->group);
	json_add_bool(o, "viable", ex->viable);
	json_add(o, "members", explain_json_members(ex));
	json_add(o, "causes", explain_json_causes(ex));
	for (i = 0; i < ex->command_count; i++)
		json_object_array_add(list, json_object_new_string(ex->commands[i]));
	json_add(o, "commands", list);
	json_print(o);
}

static void explain_text(const char *a, const struct group_explain *ex)
{
	size_t i;

	printf("%s: IOMMU group %d, %zu device%s, %s\n", a, ex->group, ex->member_count,
	       ex->member_count == 1 ? "" : "s", ex->viable ? "viable" : "not viable");
	explain_members(ex, "  ");
	if (ex->member_count == 1)
		puts("It is alone in its group.");
	if (ex->cause_count)
		puts("They are one group because");
	for (i = 0; i < ex->cause_count; i++)
		printf("  %s\n", ex->causes[i].text);
	if (ex->viable)
		return;
	if (ex->command_count)
		puts("To give the group to a guest, run:");
	else
		puts("To give the group to a guest, unbind those from their drivers.");
	for (i = 0; i < ex->command_count; i++)
		printf("  %s\n", ex->commands[i]);
}

int vfctl_explain(struct vfctl *v, int argc, char **argv)
{
	struct group_explain *ex = NULL;
	struct err err = { .code = 0 };
	char a[PCI_ADDR_STRLEN];
	struct pci_addr addr;
	int group, ret;

	(void)argc;
	ret = func_resolve(&v->host, argv[0], &addr, &err);
	if (ret)
		return vfctl_fail(v, &err);
	group = func_group(&v->host, &addr);
	if (group < 0)
		ret = func_group_check(&v->host, &addr, &err);
	else
		ret = group_explain(&v->host, group, &ex, &err);
	if (ret || !ex)
		return vfctl_fail(v, &err);
	pci_addr_str(&addr, a);
	if (v->value[OPT_JSON])
		explain_json(&addr, ex);
	else
		explain_text(a, ex);
	group_explain_free(ex);
	return EXIT_DONE;
}
