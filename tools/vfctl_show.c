// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sriov/func.h"
#include "sriov/inventory.h"
#include "sriov/quarantine.h"
#include "sriov/use.h"
#include "sriov/vf_attr.h"
#include "vfctl.h"
#include "vfctl_explain.h"
#include "vfctl_json.h"
#include "vfctl_settings.h"

/* All that show knows before it prints it one way or the other. */
struct shown {
	struct func_info info;
	const char *class, *vendor, *device;
	char reset[128];
	struct group_explain *explain; /* NULL: no group */
	bool viable;
	struct err why_not;   /* when not viable */
	struct pci_cap_info caps[PCI_CAPS_MAX];
	size_t cap_count;
	int use;	      /* as use_check() says */
	struct use_found found;
	struct err use_err;
	struct vf_attrs settings; /* of a VF */
	struct err settings_err;  /* why there are none */
	int eswitch;	      /* of a PF, -1: it has none, or it could not be read */
	bool sick;	      /* in quarantine, for this reason: */
	char sick_why[QUARANTINE_REASON_MAX];
};

static void gather_sriov(struct vfctl *v, struct shown *s)
{
	const struct func_info *info = &s->info;
	enum eswitch_mode mode;

	vf_attr_init(&v->host);
	s->eswitch = info->is_pf && !eswitch_mode_read(&v->host, &info->addr, &mode, NULL) ?
		     (int)mode : -1;
	if (info->is_vf && info->vf_index >= 0)
		vf_attrs_read(&v->host, &info->pf, (unsigned int)info->vf_index, &s->settings,
			      &s->settings_err);
}

static void gather(struct vfctl *v, struct pci_names *names, struct shown *s)
{
	const struct func_info *info = &s->info;
	char a[PCI_ADDR_STRLEN];

	s->class = pci_names_class(names, info->class);
	s->vendor = pci_names_vendor(names, info->vendor);
	s->device = pci_names_device(names, info->vendor, info->device);
	s->cap_count = pci_names_caps(names, &info->addr, s->caps);
	if (host_read(&v->host, s->reset, sizeof(s->reset), "bus/pci/devices/%s/reset_method",
		      pci_addr_str(&info->addr, a)) < 0)
		s->reset[0] = '\0';
	gather_sriov(v, s);
	s->viable = !func_group_check(&v->host, &info->addr, &s->why_not);
	if (info->group < 0 || group_explain(&v->host, info->group, &s->explain, NULL))
		s->explain = NULL;
	s->sick = quarantine_has(&v->host, &info->addr, s->sick_why);
	s->use = use_check(&v->host, NULL, &info->addr, 0, &s->found, &s->use_err);
}

static void show_settings(struct vfctl *v, const struct pci_addr *pf, unsigned int index)
{
	struct vf_attrs attrs;

	if (vf_attrs_read(&v->host, pf, index, &attrs, NULL) || !attrs.has)
		return;
	printf("                    ");
	settings_print(&attrs, attrs.has);
	putchar('\n');
}

static void show_vf(const struct shown *s)
{
	char a[PCI_ADDR_STRLEN];

	printf("  VF:            %d of %s\n", s->info.vf_index, pci_addr_str(&s->info.pf, a));
	if (s->settings_err.code) {
		printf("  settings:      %s\n", s->settings_err.msg);
	} else if (s->settings.has) {
		printf("  settings:      ");
		settings_print(&s->settings, s->settings.has);
		putchar('\n');
	}
}

static void show_sriov(struct vfctl *v, const struct shown *s)
{
	char a[PCI_ADDR_STRLEN], driver[HOST_NAME_MAX];
	const struct func_info *info = &s->info;
	struct pci_addr vf;
	unsigned int i;

	if (info->is_vf)
		show_vf(s);
	if (!info->is_pf)
		return;
	if (s->eswitch >= 0)
		printf("  eswitch:       %s\n", eswitch_mode_name((enum eswitch_mode)s->eswitch));
	printf("  VFs:           %u of %u, the kernel's own drivers %s them\n", info->num_vfs,
	       info->total_vfs, info->autoprobe ? "may take" : "do not take");
	for (i = 0; i < info->num_vfs; i++) {
		if (func_vf_addr(&v->host, &info->addr, i, &vf))
			continue;
		func_driver(&v->host, &vf, driver);
		printf("                 %u: %s driver %s, group %d\n", i, pci_addr_str(&vf, a),
		       *driver ? driver : "none", func_group(&v->host, &vf));
		show_settings(v, &info->addr, i);
	}
}

static void show_group(const struct shown *s)
{
	const char *indent = "                 ";
	size_t i;

	if (s->info.group < 0) {
		printf("  IOMMU group:   none\n");
		return;
	}
	printf("  IOMMU group:   %d, %s\n", s->info.group, s->viable ? "viable" : "not viable");
	if (s->explain)
		explain_members(s->explain, indent);
	for (i = 0; s->explain && i < s->explain->cause_count; i++)
		printf("%sone group: %s\n", indent, s->explain->causes[i].text);
	if (!s->viable)
		printf("%s%s\n", indent, s->why_not.msg);
}

static void show_caps(const struct shown *s)
{
	size_t i;

	printf("  capabilities: ");
	for (i = 0; i < s->cap_count; i++) {
		if (s->caps[i].name)
			printf(" %s", s->caps[i].name);
		else
			printf(" 0x%02x", s->caps[i].id);
	}
	puts(s->cap_count ? "" : geteuid() ? " only root can read them" : " none");
}

/* Each proof in a line of its own, with what it takes to get past it. */
static void show_use(const struct shown *s)
{
	char force[USE_KINDS_TEXT_MAX], a[PCI_ADDR_STRLEN];
	size_t i;

	if (s->use != -EBUSY) {
		printf("  in use:        %s\n", s->use ? s->use_err.msg : "no proof of it");
		return;
	}
	for (i = 0; i < s->found.count; i++) {
		const struct use_evidence *ev = &s->found.ev[i];
		bool own = pci_addr_eq(&ev->addr, &s->info.addr);

		printf("  %-14s %s%s%s%s; %s or use --force=%s\n", i ? "" : "in use:",
		       own ? "" : "its VF ", own ? "" : pci_addr_str(&ev->addr, a),
		       own ? "" : " is in use: ", ev->what, ev->remedy,
		       use_kinds_text(ev->kinds, force));
	}
	if (s->found.left_out)
		printf("                 and %zu more\n", s->found.left_out);
}

static void show_text(struct vfctl *v, const struct shown *s)
{
	const struct func_info *info = &s->info;
	char a[PCI_ADDR_STRLEN];
	unsigned int i;

	printf("%s %s: %s %s\n", pci_addr_str(&info->addr, a), s->class, s->vendor, s->device);
	printf("  IDs:           %04x:%04x, subsystem %04x:%04x, class %06x, revision %02x\n",
	       info->vendor, info->device, info->sub_vendor, info->sub_device, info->class,
	       info->revision);
	printf("  driver:        %s%s%s\n", *info->driver ? info->driver : "none",
	       *info->driver_override ? ", override " : "", info->driver_override);
	for (i = 0; i < info->netdev_count; i++)
		printf("  interface:     %s\n", info->netdevs[i]);
	show_sriov(v, s);
	show_group(s);
	if (info->numa_node >= 0)
		printf("  NUMA node:     %d\n", info->numa_node);
	printf("  reset:         %s\n", *s->reset ? s->reset : "none");
	show_caps(s);
	show_use(s);
	if (s->sick)
		printf("  in quarantine: %s; when it is well again, run: vfctl clear %s\n",
		       s->sick_why, a);
}

static struct json_object *json_caps(const struct shown *s)
{
	struct json_object *list = json_object_new_array();
	size_t i;

	for (i = 0; i < s->cap_count; i++) {
		struct json_object *o = json_object_new_object();

		json_add_hex(o, "id", s->caps[i].id, 2);
		json_add_str_or_null(o, "name", s->caps[i].name ? s->caps[i].name : "");
		json_add_bool(o, "extended", s->caps[i].extended);
		json_add_int(o, "offset", s->caps[i].offset);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *json_group(const struct shown *s)
{
	struct json_object *o = json_object_new_object();

	json_add_int(o, "number", s->info.group);
	json_add_bool(o, "viable", s->viable);
	json_add_str_or_null(o, "reason", s->viable ? "" : s->why_not.msg);
	json_add(o, "members", s->explain ? explain_json_members(s->explain) : NULL);
	json_add(o, "causes", s->explain ? explain_json_causes(s->explain) : NULL);
	return o;
}

static void json_sriov(struct vfctl *v, struct json_object *o, const struct shown *s)
{
	const struct func_info *info = &s->info;
	struct json_object *list, *vf_object;
	char driver[HOST_NAME_MAX];
	struct vf_attrs attrs;
	struct pci_addr vf;
	unsigned int i;

	if (info->is_vf) {
		json_add_addr(o, "pf", &info->pf);
		json_add_int_or_null(o, "vf_index", info->vf_index);
		json_add(o, "settings", s->settings_err.code ? NULL : settings_json(&s->settings));
	}
	if (!info->is_pf)
		return;
	json_add_str_or_null(o, "eswitch", s->eswitch < 0 ? "" :
			     eswitch_mode_name((enum eswitch_mode)s->eswitch));
	json_add_int(o, "total_vfs", info->total_vfs);
	json_add_int(o, "num_vfs", info->num_vfs);
	json_add_bool(o, "autoprobe", info->autoprobe);
	list = json_object_new_array();
	for (i = 0; i < info->num_vfs; i++) {
		if (func_vf_addr(&v->host, &info->addr, i, &vf))
			continue;
		vf_object = json_object_new_object();
		func_driver(&v->host, &vf, driver);
		json_add_int(vf_object, "index", i);
		json_add_addr(vf_object, "address", &vf);
		json_add_str_or_null(vf_object, "driver", driver);
		json_add_int_or_null(vf_object, "group", func_group(&v->host, &vf));
		json_add(vf_object, "settings",
			 vf_attrs_read(&v->host, &info->addr, i, &attrs, NULL)
				 ? NULL
				 : settings_json(&attrs));
		json_object_array_add(list, vf_object);
	}
	json_add(o, "vfs", list);
}

static struct json_object *json_evidence(const struct use_evidence *ev)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	unsigned int kind;

	for (kind = 1; kind & USE_KINDS; kind <<= 1) {
		if (ev->kinds & kind)
			json_object_array_add(list, json_object_new_string(use_kind_name(kind)));
	}
	json_add_addr(o, "function", &ev->addr);
	json_add(o, "kinds", list);
	json_add_str(o, "evidence", ev->what);
	json_add_str(o, "remedy", ev->remedy);
	return o;
}

/* Only what could not be found out leaves open whether it is in use. */
static struct json_object *json_use(const struct shown *s)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	size_t i;

	if (s->found.kinds == USE_UNKNOWN || (s->use && s->use != -EBUSY))
		json_add(o, "in_use", NULL);
	else
		json_add_bool(o, "in_use", s->use != 0);
	for (i = 0; i < s->found.count; i++)
		json_object_array_add(list, json_evidence(&s->found.ev[i]));
	json_add(o, "evidence", list);
	json_add_int(o, "left_out", (int64_t)s->found.left_out);
	if (s->use && s->use != -EBUSY)
		json_add_str(o, "error", s->use_err.msg);
	return o;
}

static void show_json(struct vfctl *v, const struct shown *s)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	const struct func_info *info = &s->info;
	unsigned int i;

	json_add_addr(o, "address", &info->addr);
	json_add_hex(o, "class", info->class, 6);
	json_add_str(o, "class_name", s->class);
	json_add_hex(o, "vendor", info->vendor, 4);
	json_add_hex(o, "device", info->device, 4);
	json_add_str(o, "vendor_name", s->vendor);
	json_add_str(o, "device_name", s->device);
	json_add_hex(o, "subsystem_vendor", info->sub_vendor, 4);
	json_add_hex(o, "subsystem_device", info->sub_device, 4);
	json_add_int(o, "revision", info->revision);
	json_add_str_or_null(o, "driver", info->driver);
	json_add_str_or_null(o, "driver_override", info->driver_override);
	for (i = 0; i < info->netdev_count; i++)
		json_object_array_add(list, json_object_new_string(info->netdevs[i]));
	json_add(o, "interfaces", list);
	json_add_int_or_null(o, "numa_node", info->numa_node);
	json_add_str_or_null(o, "reset_method", s->reset);
	json_add(o, "group", info->group < 0 ? NULL : json_group(s));
	json_sriov(v, o, s);
	json_add(o, "capabilities", json_caps(s));
	json_add(o, "use", json_use(s));
	json_add_str_or_null(o, "quarantine", s->sick ? s->sick_why : "");
	json_print(o);
}

static void show(struct vfctl *v, struct shown *s)
{
	struct pci_names *names = vfctl_names(v);

	gather(v, names, s);
	if (v->value[OPT_JSON])
		show_json(v, s);
	else
		show_text(v, s);
	group_explain_free(s->explain);
	pci_names_free(names);
}

int vfctl_show(struct vfctl *v, int argc, char **argv)
{
	struct shown *s = calloc(1, sizeof(*s));
	struct err err = { .code = 0 };
	struct pci_addr addr;
	int ret = s ? 0 : -ENOMEM;

	(void)argc;
	if (ret)
		err_sys(&err, ret, "show");
	else
		ret = func_resolve(&v->host, argv[0], &addr, &err);
	if (!ret)
		ret = func_read(&v->host, &addr, &s->info, &err);
	if (!ret)
		show(v, s);
	free(s);
	return ret ? vfctl_fail(v, &err) : EXIT_DONE;
}
