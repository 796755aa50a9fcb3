// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands that change the host: create, destroy, bind, unbind. */
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/opt.h"
#include "base/util.h"
#include "sriov/bind.h"
#include "sriov/func.h"
#include "sriov/vf.h"
#include "sriov/vf_attr.h"
#include "vfctl.h"
#include "vfctl_json.h"

static struct json_object *json_vfs(struct vfctl *v, const struct vf_report *r)
{
	struct json_object *list = json_object_new_array();
	char driver[HOST_NAME_MAX];
	struct pci_addr vf;
	unsigned int i;

	for (i = 0; i < r->after; i++) {
		struct json_object *o;

		if (func_vf_addr(&v->host, &r->pf, i, &vf))
			continue;
		o = json_object_new_object();
		func_driver(&v->host, &vf, driver);
		json_add_int(o, "index", i);
		json_add_addr(o, "address", &vf);
		json_add_str_or_null(o, "driver", driver);
		json_add_int_or_null(o, "group", func_group(&v->host, &vf));
		json_object_array_add(list, o);
	}
	return list;
}

static int report_vfs(struct vfctl *v, const struct vf_report *r)
{
	char a[PCI_ADDR_STRLEN];
	struct json_object *o;

	if (!(v->value[OPT_JSON])) {
		printf("%s: %u VF%s (before: %u)", pci_addr_str(&r->pf, a), r->after,
		       r->after == 1 ? "" : "s", r->before);
		if (r->bound && v->value[OPT_DRIVER])
			printf(", %u bound to %s", r->bound, v->value[OPT_DRIVER]);
		printf(", %lu write%s\n", r->writes, r->writes == 1 ? "" : "s");
		return EXIT_DONE;
	}
	o = json_object_new_object();
	json_add_addr(o, "pf", &r->pf);
	json_add_int(o, "before", r->before);
	json_add_int(o, "after", r->after);
	json_add_int(o, "bound", r->bound);
	json_add_int(o, "writes", (int64_t)r->writes);
	json_add_str_or_null(o, "owner", v->owner.name);
	json_add(o, "vfs", json_vfs(v, r));
	json_print(o);
	return EXIT_DONE;
}

/* --owner: decoded into the host. 0, or an EXIT_ code. @driver is NULL for the kernel's choice. */
static int take_owner(struct vfctl *v, const char *driver)
{
	struct err err = { .code = 0 };

	if (!v->value[OPT_OWNER])
		return EXIT_DONE;
	if (!driver || !func_driver_is_vfio(driver))
		return vfctl_usage("--owner hands over the nodes of VFIO: it goes with a VFIO driver");
	if (node_owner_find(v->value[OPT_OWNER], &v->owner, &err))
		return vfctl_fail(v, &err);
	v->host.owner = &v->owner;
	return EXIT_DONE;
}

/* What else the user needs, who has the nodes now. */
static void report_owner(struct vfctl *v, const struct pci_addr *first)
{
	const char *name = v->owner.name;
	char cdev[HOST_NAME_MAX];

	if (!v->host.owner || v->value[OPT_JSON])
		return;
	printf("the nodes below /dev/vfio are %s's", name);
	if (v->owner.uid)
		printf("; guests of %s need a memory-lock limit of their memory's size: write \"%s - memlock "
		       "KIB\" to /etc/security/limits.d/viaduct.conf%s", name, name,
		       func_cdev(&v->host, first, cdev) ? "" :
		       "; and for iommu=iommufd the right to open /dev/iommu");
	putchar('\n');
}

int vfctl_create(struct vfctl *v, int argc, char **argv)
{
	struct err err = { .code = 0 };
	struct vf_report report;
	struct pci_addr pf, vf;
	char shown[48];
	uint64_t count;
	int ret;

	(void)argc;
	/* A number too big for the parser is too big for every card: the range check says so. */
	switch (opt_parse_u64(argv[1], &count)) {
	case 0:
		break;
	case -ERANGE:
		count = UINT_MAX;
		break;
	default:
		return vfctl_usage("\"%s\" is no number of VFs",
				   host_printable(argv[1], shown, sizeof(shown)));
	}
	ret = take_owner(v, v->value[OPT_DRIVER]);
	if (ret)
		return ret;
	vf_attr_init(&v->host);
	if (func_resolve(&v->host, argv[0], &pf, &err) ||
	    vf_create(&v->host, &pf, (unsigned int)MIN(count, UINT_MAX), v->value[OPT_DRIVER],
		      v->force, &report, &err))
		return vfctl_fail(v, &err);
	report_vfs(v, &report);
	if (!func_vf_addr(&v->host, &pf, 0, &vf))
		report_owner(v, &vf);
	return EXIT_DONE;
}

int vfctl_destroy(struct vfctl *v, int argc, char **argv)
{
	struct err err = { .code = 0 };
	struct vf_report report;
	struct pci_addr pf;

	(void)argc;
	if (func_resolve(&v->host, argv[0], &pf, &err) ||
	    vf_destroy(&v->host, &pf, v->force, &report, &err))
		return vfctl_fail(v, &err);
	return report_vfs(v, &report);
}

/* What keeps a function that is VFIO's now from a guest, "" when nothing does. */
static const char *group_problem(struct vfctl *v, const struct bind_report *r, struct err *why)
{
	bool is_bad = func_driver_is_vfio(r->to) && func_group(&v->host, &r->addr) >= 0 &&
		      func_group_check(&v->host, &r->addr, why);

	return is_bad ? why->msg : "";
}

static void report_bind(struct vfctl *v, const struct bind_report *reports, size_t count)
{
	struct json_object *list = json_object_new_array();
	char a[PCI_ADDR_STRLEN];
	size_t i;

	for (i = 0; i < count; i++) {
		const struct bind_report *r = &reports[i];
		struct err why = { .code = 0 };
		const char *problem = group_problem(v, r, &why);
		struct json_object *o;

		if (!(v->value[OPT_JSON])) {
			printf("%s: %s -> %s, %lu write%s\n", pci_addr_str(&r->addr, a),
			       *r->from ? r->from : "none", *r->to ? r->to : "none", r->writes,
			       r->writes == 1 ? "" : "s");
			if (*problem)
				printf("%s\n", problem);
			continue;
		}
		o = json_object_new_object();
		json_add_addr(o, "address", &r->addr);
		json_add_str_or_null(o, "before", r->from);
		json_add_str_or_null(o, "driver", r->to);
		json_add_int(o, "writes", (int64_t)r->writes);
		json_add_str_or_null(o, "group_problem", problem);
		json_add_str_or_null(o, "owner", v->owner.name);
		json_object_array_add(list, o);
	}
	if (v->value[OPT_JSON])
		json_print(list);
	else
		json_object_put(list);
}

static int bind_named(struct vfctl *v, size_t count, char **names, const char *driver)
{
	struct bind_report *reports = calloc(count, sizeof(*reports));
	struct pci_addr *addrs = calloc(count, sizeof(*addrs));
	struct err err = { .code = 0 };
	size_t i;
	int ret = reports && addrs ? 0 : -ENOMEM;

	if (ret)
		err_sys(&err, ret, "%zu functions", count);
	vf_attr_init(&v->host);
	for (i = 0; i < count && !ret; i++)
		ret = func_resolve(&v->host, names[i], &addrs[i], &err);
	if (!ret)
		ret = func_bind(&v->host, addrs, count, driver, v->force, reports,
				&err);
	if (!ret)
		report_bind(v, reports, count);
	if (!ret)
		report_owner(v, &addrs[0]);
	free(reports);
	free(addrs);
	return ret ? vfctl_fail(v, &err) : EXIT_DONE;
}

int vfctl_bind(struct vfctl *v, int argc, char **argv)
{
	const char *driver = argv[argc - 1];
	struct pci_addr addr;
	int ret;

	if (!pci_addr_parse(driver, &addr))
		return vfctl_usage("the last word of bind is a driver, not an address");
	ret = take_owner(v, driver);
	return ret ? ret : bind_named(v, (size_t)argc - 1, argv, driver);
}

int vfctl_unbind(struct vfctl *v, int argc, char **argv)
{
	return bind_named(v, (size_t)argc, argv, BIND_NONE);
}
