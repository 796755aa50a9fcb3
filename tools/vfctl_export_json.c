// SPDX-License-Identifier: GPL-2.0-or-later
/* The two formats that are JSON: CDI, and the configuration of Kubernetes' device plugin. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "vfctl_export.h"
#include "vfctl_json.h"

#define VENDOR "viaduct.local"

static void write_object(struct json_object *o, FILE *out)
{
	fprintf(out, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
								JSON_C_TO_STRING_SPACED |
								JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

/* Adds @text to the list unless it is there. */
static void list_add(struct json_object *list, const char *text)
{
	size_t i;

	for (i = 0; i < json_object_array_length(list); i++) {
		if (!strcmp(json_object_get_string(json_object_array_get_idx(list, i)), text))
			return;
	}
	json_object_array_add(list, json_object_new_string(text));
}

/* --- CDI -------------------------------------------------------------------------------------- */

static void add_node(struct json_object *nodes, const char *path)
{
	struct json_object *o = json_object_new_object();

	json_add_str(o, "path", path);
	json_add_str(o, "type", "c");
	json_add_str(o, "permissions", "rw");
	json_object_array_add(nodes, o);
}

static struct json_object *edits(struct json_object *nodes)
{
	struct json_object *o = json_object_new_object();

	json_add(o, "deviceNodes", nodes);
	return o;
}

static struct json_object *cdi_device(const struct export_func *f)
{
	struct json_object *o = json_object_new_object(), *notes = json_object_new_object();
	struct json_object *nodes = json_object_new_array();
	char path[HOST_NAME_MAX + 32];

	json_add_addr(o, "name", &f->info.addr);
	if (*f->pool)
		json_add_str(notes, VENDOR "/pool", f->pool);
	if (*f->pf_name)
		json_add_str(notes, VENDOR "/pf", f->pf_name);
	json_add(o, "annotations", notes);
	snprintf(path, sizeof(path), "/dev/vfio/%d", f->info.group);
	add_node(nodes, path);
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", f->cdev);
	if (*f->cdev)
		add_node(nodes, path);
	json_add(o, "containerEdits", edits(nodes));
	return o;
}

/* The name of a kind: a letter, then letters, digits and "_-." with a letter or digit at the end. */
static bool kind_ok(const char *name)
{
	size_t len = strlen(name);

	return isalpha((unsigned char)name[0]) && isalnum((unsigned char)name[len - 1]) &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == len;
}

int export_cdi(const struct export *ex, FILE *out, struct err *err)
{
	struct json_object *o, *devices, *nodes;
	char kind[HOST_NAME_MAX + 32];
	bool cdev = false;
	size_t i;

	if (ex->pool && !kind_ok(ex->pool))
		return err_set(err, -EINVAL, "pool %s: CDI takes names of letters, digits, \"_\", \"-\" "
			       "and \".\" that begin with a letter", ex->pool);
	snprintf(kind, sizeof(kind), VENDOR "/%s", ex->pool ? ex->pool : "vfio");
	o = json_object_new_object();
	devices = json_object_new_array();
	nodes = json_object_new_array();
	for (i = 0; i < ex->count; i++) {
		json_object_array_add(devices, cdi_device(&ex->funcs[i]));
		cdev = cdev || *ex->funcs[i].cdev;
	}
	add_node(nodes, "/dev/vfio/vfio");
	if (cdev)
		add_node(nodes, "/dev/iommu");
	json_add_str(o, "cdiVersion", "0.6.0");
	json_add_str(o, "kind", kind);
	json_add(o, "devices", devices);
	json_add(o, "containerEdits", edits(nodes));
	write_object(o, out);
	return 0;
}

/* --- Kubernetes' SR-IOV network device plugin -------------------------------------------------- */

/* What the plugin calls the kind of a function; NULL for one that it does not hand out. */
static const char *plugin_type(const struct export_func *f)
{
	switch (f->info.class >> 16) {
	case 0x02: /* network controllers */
		return "netDevice";
	case 0x12: /* processing accelerators */
		return "accelerator";
	default:
		return NULL;
	}
}

/* Letters, digits and "_" are all that a resource's name may have. */
static const char *resource_name(const struct export_func *f, char buf[HOST_NAME_MAX])
{
	char *at;

	if (!*f->pool) {
		snprintf(buf, HOST_NAME_MAX, "vfio_%04x_%04x", f->info.vendor, f->info.device);
		return buf;
	}
	memcpy(buf, f->pool, HOST_NAME_MAX);
	for (at = buf; *at; at++) {
		if (!isalnum((unsigned char)*at))
			*at = '_';
	}
	return buf;
}

struct resource {
	const struct export_func *first;
	char name[HOST_NAME_MAX];
	struct json_object *o, *vendors, *devices, *drivers, *addresses, *pfs, *roots;
	bool all_named; /* each is a VF of a PF with an interface */
};

static void resource_start(struct resource *r, const struct export_func *f)
{
	memset(r, 0, sizeof(*r));
	r->first = f;
	resource_name(f, r->name);
	r->o = json_object_new_object();
	r->vendors = json_object_new_array();
	r->devices = json_object_new_array();
	r->drivers = json_object_new_array();
	r->addresses = json_object_new_array();
	r->pfs = json_object_new_array();
	r->roots = json_object_new_array();
	r->all_named = true;
}

static void resource_add(struct resource *r, const struct export_func *f)
{
	char text[PCI_ADDR_STRLEN];

	snprintf(text, sizeof(text), "%04x", f->info.vendor);
	list_add(r->vendors, text);
	snprintf(text, sizeof(text), "%04x", f->info.device);
	list_add(r->devices, text);
	list_add(r->drivers, f->info.driver);
	list_add(r->addresses, pci_addr_str(&f->info.addr, text));
	r->all_named = r->all_named && *f->pf_name;
	list_add(r->pfs, f->pf_name);
	list_add(r->roots, pci_addr_str(f->info.is_vf ? &f->info.pf : &f->info.addr, text));
}

/* A selector that is there has to hold too, so those that not all functions have are left out. */
static void resource_end(struct resource *r, struct json_object *list)
{
	struct json_object *s = json_object_new_object();

	json_add_str(r->o, "resourceName", r->name);
	json_add_str(r->o, "deviceType", plugin_type(r->first));
	json_add(s, "vendors", r->vendors);
	json_add(s, "devices", r->devices);
	json_add(s, "drivers", r->drivers);
	json_add(s, "pciAddresses", r->addresses);
	if (r->all_named && plugin_type(r->first)[0] == 'n') {
		json_add(s, "pfNames", r->pfs);
		json_add(s, "rootDevices", r->roots);
	} else {
		json_object_put(r->pfs);
		json_object_put(r->roots);
	}
	json_add(r->o, "selectors", s);
	json_object_array_add(list, r->o);
}

/* Do two functions go into one resource? Those in no pool by their model. */
static bool same_resource(const struct export_func *a, const struct export_func *b)
{
	return !strcmp(a->pool, b->pool) && (*a->pool || (a->info.vendor == b->info.vendor &&
							  a->info.device == b->info.device));
}

/* The first function of the resource that @i belongs to. */
static size_t resource_first(const struct export *ex, size_t i)
{
	size_t k;

	for (k = 0; k < i && !same_resource(&ex->funcs[k], &ex->funcs[i]); k++)
		;
	return k;
}

/* A resource of its own needs a name of its own. */
static int name_check(const struct export *ex, size_t i, struct err *err)
{
	char mine[HOST_NAME_MAX], other[HOST_NAME_MAX];
	size_t k;

	resource_name(&ex->funcs[i], mine);
	for (k = 0; k < i; k++) {
		resource_name(&ex->funcs[k], other);
		if (!strcmp(mine, other))
			return err_set(err, -EINVAL, "pools %s and %s are both %s to the plugin; give one "
				       "another name", *ex->funcs[k].pool ? ex->funcs[k].pool : other,
				       ex->funcs[i].pool, mine);
	}
	return 0;
}

static int plugin_check(const struct export *ex, struct err *err)
{
	char a[PCI_ADDR_STRLEN], name[HOST_NAME_MAX];
	size_t i, first;
	int ret = 0;

	for (i = 0; i < ex->count && !ret; i++) {
		const struct export_func *f = &ex->funcs[i];

		if (!plugin_type(f))
			return err_set(err, -EINVAL, "%s: the plugin hands out network cards and "
				       "accelerators, and its class is %06x; name the functions or the "
				       "pool to export", pci_addr_str(&f->info.addr, a), f->info.class);
		first = resource_first(ex, i);
		if (first == i)
			ret = name_check(ex, i, err);
		else if (plugin_type(f) != plugin_type(&ex->funcs[first]))
			ret = err_set(err, -EINVAL, "%s has network cards and accelerators, which are "
				      "two resources to the plugin", resource_name(f, name));
	}
	return ret;
}

int export_plugin(const struct export *ex, FILE *out, struct err *err)
{
	struct json_object *o, *list;
	struct resource r;
	size_t i, k;
	int ret = plugin_check(ex, err);

	if (ret)
		return ret;
	o = json_object_new_object();
	list = json_object_new_array();
	for (i = 0; i < ex->count; i++) {
		if (resource_first(ex, i) < i)
			continue; /* in a resource that is written */
		resource_start(&r, &ex->funcs[i]);
		for (k = i; k < ex->count; k++) {
			if (same_resource(&ex->funcs[k], &ex->funcs[i]))
				resource_add(&r, &ex->funcs[k]);
		}
		resource_end(&r, list);
	}
	json_add(o, "resourceList", list);
	write_object(o, out);
	return 0;
}
