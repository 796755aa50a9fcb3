// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>

#include "sriov/func.h"
#include "sriov/quarantine.h"
#include "sriov/use.h"
#include "vfctl.h"
#include "vfctl_json.h"

/* Not there is no failure: what was asked for is so. */
static int clear_one(struct vfctl *v, const char *name, struct json_object *list, struct err *err)
{
	char reason[QUARANTINE_REASON_MAX], a[PCI_ADDR_STRLEN];
	struct json_object *o;
	struct pci_addr addr;
	bool was;
	int ret = 0;

	/* A card that is gone may have left its record. */
	if (pci_addr_parse(name, &addr))
		ret = func_resolve(&v->host, name, &addr, err);
	if (ret)
		return ret;
	pci_addr_str(&addr, a);
	was = quarantine_has(&v->host, &addr, reason);
	if (was && !(v->force & USE_DEAD) && func_exists(&v->host, &addr) &&
	    !func_answers(&v->host, &addr))
		return err_set(err, -EIO,
			       "%s: it still answers nothing but ones; reset it (echo 1 > "
			       "%s/bus/pci/devices/%s/reset) or power-cycle the card, or use "
			       "--force=dead",
			       a, v->host.sysfs_root, a);
	if (was)
		ret = quarantine_clear(&v->host, &addr, err);
	if (ret)
		return ret;
	if (!(v->value[OPT_JSON])) {
		printf("%s: %s%s\n", a,
		       was ? "out of quarantine, where it was because: " : "not in quarantine",
		       was ? reason : "");
		return 0;
	}
	o = json_object_new_object();
	json_add_addr(o, "address", &addr);
	json_add_bool(o, "cleared", was);
	json_add_str_or_null(o, "reason", was ? reason : "");
	json_object_array_add(list, o);
	return 0;
}

int vfctl_clear(struct vfctl *v, int argc, char **argv)
{
	struct json_object *list = json_object_new_array();
	struct err err = { .code = 0 };
	int i, ret = 0;

	for (i = 0; i < argc && !ret; i++)
		ret = clear_one(v, argv[i], list, &err);
	if (!ret && v->value[OPT_JSON])
		json_print(list);
	else
		json_object_put(list);
	return ret ? vfctl_fail(v, &err) : EXIT_DONE;
}
