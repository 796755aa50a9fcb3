// SPDX-License-Identifier: GPL-2.0-or-later
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "sriov/inventory.h"
#include "sriov/quarantine.h"
#include "vfctl.h"
#include "vfctl_json.h"

static void list_vf(const struct inventory_func *f, char *buf, size_t size)
{
	char pf[PCI_ADDR_STRLEN];

	if (f->is_vf)
		snprintf(buf, size, "VF of %s", pci_addr_str(&f->pf, pf));
	else if (f->is_pf)
		snprintf(buf, size, "PF, %u of %u", f->num_vfs, f->total_vfs);
	else
		snprintf(buf, size, "-");
}

static void list_nets(const struct inventory *inv, const struct inventory_func *f, char *buf,
		      size_t size)
{
	size_t i, len = 0;

	snprintf(buf, size, "-");
	for (i = 0; i < f->net_count && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, "%s%s", i ? "," : "",
					inv->nets[f->net_first + i].name);
}

/* What is in quarantine: next to nothing, as a rule. */
struct sick {
	struct pci_addr *addrs;
	size_t count;
};

static bool is_sick(const struct sick *sick, const struct pci_addr *addr)
{
	size_t i;

	for (i = 0; i < sick->count && !pci_addr_eq(&sick->addrs[i], addr); i++)
		;
	return i < sick->count;
}

static void list_text(const struct inventory *inv, const struct sick *sick,
		      struct pci_names *names)
{
	char addr[PCI_ADDR_STRLEN], vf[40], nets[128], group[16];
	size_t i;

	printf("%-12s %-9s %-10s %5s %-18s %-8s %s\n", "ADDRESS", "ID", "DRIVER", "GROUP", "VF",
	       "NET", "CLASS AND NAME");
	for (i = 0; i < inv->func_count; i++) {
		const struct inventory_func *f = &inv->funcs[i];

		list_vf(f, vf, sizeof(vf));
		list_nets(inv, f, nets, sizeof(nets));
		snprintf(group, sizeof(group), "%d", f->group);
		printf("%-12s %04x:%04x %-10s %5s %-18s %-8s %s%s: %s %s\n",
		       pci_addr_str(&f->addr, addr), f->vendor, f->device,
		       *f->driver ? f->driver : "-", f->group < 0 ? "-" : group, vf, nets,
		       is_sick(sick, &f->addr) ? "(in quarantine) " : "",
		       pci_names_class(names, f->class), pci_names_vendor(names, f->vendor),
		       pci_names_device(names, f->vendor, f->device));
	}
}

static struct json_object *list_object(const struct inventory *inv, const struct inventory_func *f,
				       const struct sick *sick, struct pci_names *names)
{
	struct json_object *o = json_object_new_object();
	struct json_object *nets = json_object_new_array();
	size_t i;

	json_add_addr(o, "address", &f->addr);
	json_add_hex(o, "class", f->class, 6);
	json_add_str(o, "class_name", pci_names_class(names, f->class));
	json_add_hex(o, "vendor", f->vendor, 4);
	json_add_hex(o, "device", f->device, 4);
	json_add_str(o, "vendor_name", pci_names_vendor(names, f->vendor));
	json_add_str(o, "device_name", pci_names_device(names, f->vendor, f->device));
	json_add_str_or_null(o, "driver", f->driver);
	json_add_int_or_null(o, "group", f->group);
	if (f->is_vf)
		json_add_addr(o, "pf", &f->pf);
	if (f->is_pf) {
		json_add_int(o, "total_vfs", f->total_vfs);
		json_add_int(o, "num_vfs", f->num_vfs);
	}
	for (i = 0; i < f->net_count; i++)
		json_object_array_add(nets,
				      json_object_new_string(inv->nets[f->net_first + i].name));
	json_add(o, "interfaces", nets);
	json_add_bool(o, "quarantine", is_sick(sick, &f->addr));
	return o;
}

static void list_json(const struct inventory *inv, const struct sick *sick,
		      struct pci_names *names)
{
	struct json_object *o;
	size_t i;

	/* One object at a time: ten thousand of them need not be in memory together. */
	puts("[");
	for (i = 0; i < inv->func_count; i++) {
		o = list_object(inv, &inv->funcs[i], sick, names);
		fputs(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), stdout);
		puts(i + 1 < inv->func_count ? "," : "");
		json_object_put(o);
	}
	puts("]");
}

int vfctl_list(struct vfctl *v, int argc, char **argv)
{
	struct err err = { .code = 0 };
	struct inventory *inv;
	struct sick sick = { .count = 0 };
	struct pci_names *names;

	(void)argc;
	(void)argv;
	if (inventory_read(&v->host, &inv, &err))
		return vfctl_fail(v, &err);
	if (quarantine_list(&v->host, &sick.addrs, &sick.count, &err)) {
		inventory_free(inv);
		return vfctl_fail(v, &err);
	}
	names = vfctl_names(v);
	if (v->value[OPT_JSON])
		list_json(inv, &sick, names);
	else
		list_text(inv, &sick, names);
	free(sick.addrs);
	pci_names_free(names);
	inventory_free(inv);
	return EXIT_DONE;
}
