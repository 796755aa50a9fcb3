// SPDX-License-Identifier: GPL-2.0-or-later
/* vfctl doctor: is this host fit to hand functions to guests? */
#include <stdio.h>

#include "sriov/doctor.h"
#include "sriov/func.h"
#include "vfctl.h"
#include "vfctl_json.h"

static void doctor_text(const struct doctor_report *r)
{
	size_t i;

	for (i = 0; i < r->count; i++) {
		const struct doctor_finding *f = &r->findings[i];

		printf("%-7s  %-19s  %s\n", doctor_verdict_name(f->verdict), f->check, f->reason);
		if (f->verdict != DOCTOR_OK && *f->remedy)
			printf("%30s%s\n", "", f->remedy);
	}
}

static void doctor_json(const struct doctor_report *r)
{
	struct json_object *list = json_object_new_array();
	char a[PCI_ADDR_STRLEN];
	size_t i, k;

	for (i = 0; i < r->count; i++) {
		const struct doctor_finding *f = &r->findings[i];
		struct json_object *o = json_object_new_object(), *functions = json_object_new_array();

		json_add_str(o, "check", f->check);
		json_add_str(o, "verdict", doctor_verdict_name(f->verdict));
		json_add_str(o, "reason", f->reason);
		json_add_str_or_null(o, "remedy", f->remedy);
		for (k = 0; k < f->addr_count; k++)
			json_object_array_add(functions, json_object_new_string(
								 pci_addr_str(&f->addrs[k], a)));
		json_add(o, "functions", functions);
		json_object_array_add(list, o);
	}
	json_print(list);
}

int vfctl_doctor(struct vfctl *v, int argc, char **argv)
{
	struct doctor_report report;
	struct err err = { .code = 0 };
	struct pci_addr addr;
	int code;

	if (argc && func_resolve(&v->host, argv[0], &addr, &err))
		return vfctl_fail(v, &err);
	if (doctor_run(&v->host, argc ? &addr : NULL, &report, &err))
		return vfctl_fail(v, &err);
	if (v->value[OPT_JSON])
		doctor_json(&report);
	else
		doctor_text(&report);
	code = report.worst == DOCTOR_FAIL ? EXIT_DIFFERS : EXIT_DONE;
	doctor_done(&report);
	return code;
}
