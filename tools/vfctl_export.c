// SPDX-License-Identifier: GPL-2.0-or-later
/* vfctl export: which functions, and where the document goes. */
#include "vfctl_export.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "sriov/inventory.h"
#include "sriov/pool.h"
#include "sriov/quarantine.h"
#include "vfctl.h"

static const struct {
	const char *name;
	int (*write)(const struct export *ex, FILE *out, struct err *err);
} formats[] = {
	{ "cdi", export_cdi },
	{ "sriov-device-plugin", export_plugin },
	{ "libvirt", export_libvirt },
};

/* --- which functions -------------------------------------------------------------------------- */

static int func_cmp(const void *a, const void *b)
{
	const struct export_func *x = a, *y = b;
	int order = strcmp(x->pool, y->pool);

	return order ? order : pci_addr_cmp(&x->info.addr, &y->info.addr);
}

/* Can a guest have it as it is? 0, or -ENODEV and why not. */
static int check_fit(const struct host *host, const struct func_info *info, struct err *err)
{
	char a[PCI_ADDR_STRLEN], shown[HOST_NAME_MAX];
	int ret;

	pci_addr_str(&info->addr, a);
	if (!func_driver_is_vfio(info->driver))
		return err_set(err, -ENODEV, "%s: its driver is %s, and only functions with a VFIO "
			       "driver can be handed over; run: vfctl bind %s vfio-pci", a,
			       *info->driver ? host_printable(info->driver, shown, sizeof(shown)) :
			       "none", a);
	ret = quarantine_check(host, &info->addr, err);
	return ret ? ret : func_group_check(host, &info->addr, err);
}

static int add(struct vfctl *v, struct export *ex, const struct pci_addr *addr, struct err *err)
{
	struct export_func *grown, *f;
	struct func_info pf;
	size_t i;
	int ret;

	for (i = 0; i < ex->count; i++) {
		if (pci_addr_eq(&ex->funcs[i].info.addr, addr))
			return 0;
	}
	if (!ex->count || is_pow2(ex->count)) {
		grown = reallocarray(ex->funcs, ex->count ? ex->count * 2 : 1, sizeof(*grown));
		if (!grown)
			return err_sys(err, -ENOMEM, "cannot export");
		ex->funcs = grown;
	}
	f = memset(&ex->funcs[ex->count], 0, sizeof(*f));
	ret = func_read(&v->host, addr, &f->info, err);
	if (!ret)
		ret = check_fit(&v->host, &f->info, err);
	if (ret)
		return ret;
	(void)func_cdev(&v->host, addr, f->cdev);
	if (f->info.is_vf && !func_read(&v->host, &f->info.pf, &pf, NULL) && pf.netdev_count)
		memcpy(f->pf_name, pf.netdevs[0], sizeof(f->pf_name));
	if (f->info.is_vf && f->info.vf_index >= 0 &&
	    vf_attrs_read(&v->host, &f->info.pf, (unsigned int)f->info.vf_index, &f->attrs, NULL))
		f->attrs.has = 0;
	ex->count++;
	return 0;
}

/* All functions with a VFIO driver; those that no guest can have are named on stderr. */
static int add_all(struct vfctl *v, struct export *ex, struct err *err)
{
	struct err why = { .code = 0 };
	struct inventory *inv;
	size_t i;
	int ret = inventory_read(&v->host, &inv, err);

	if (ret)
		return ret;
	for (i = 0; i < inv->func_count && !ret; i++) {
		if (!func_driver_is_vfio(inv->funcs[i].driver))
			continue;
		ret = add(v, ex, &inv->funcs[i].addr, &why);
		if (ret == -ENODEV)
			fprintf(stderr, "vfctl: left out: %s\n", why.msg);
		if (ret == -ENODEV)
			ret = 0;
	}
	inventory_free(inv);
	if (ret)
		return err_set(err, ret, "%s", why.msg);
	return ex->count ? 0 : err_set(err, -ENODEV, "no function has a VFIO driver that a guest could "
				       "have; run: vfctl bind FUNCTION vfio-pci");
}

static int add_pool(struct vfctl *v, struct export *ex, const char *name, struct err *err)
{
	struct pci_addr *addrs = NULL;
	size_t i, count = 0;
	int ret = pool_read(&v->host, name, &addrs, &count, err);

	for (i = 0; i < count && !ret; i++)
		ret = add(v, ex, &addrs[i], err);
	free(addrs);
	if (!ret && !count)
		ret = err_set(err, -ENODEV, "pool %s has no functions", name);
	return ret;
}

/* Puts the names of their pools to the functions. */
static int name_pools(struct vfctl *v, struct export *ex, struct err *err)
{
	char **names = NULL;
	struct pci_addr *addrs;
	size_t p, i, k, pools = 0, count;
	int ret = pool_list(&v->host, &names, &pools, err);

	for (p = 0; p < pools && !ret; p++) {
		addrs = NULL;
		count = 0;
		ret = pool_read(&v->host, names[p], &addrs, &count, err);
		for (i = 0; i < ex->count && !ret; i++) {
			for (k = 0; k < count && !*ex->funcs[i].pool; k++) {
				if (pci_addr_eq(&addrs[k], &ex->funcs[i].info.addr))
					snprintf(ex->funcs[i].pool, HOST_NAME_MAX, "%s", names[p]);
			}
		}
		free(addrs);
	}
	free(names);
	return ret;
}

static bool is_pool(struct vfctl *v, const char *name)
{
	struct pci_addr *addrs = NULL;
	size_t count;

	if (!pool_name_ok(name) || pool_read(&v->host, name, &addrs, &count, NULL) == -ENODEV)
		return false;
	free(addrs);
	return true;
}

static int gather(struct vfctl *v, struct export *ex, int argc, char **argv, struct err *err)
{
	struct pci_addr addr;
	int i, ret = 0;

	vf_attr_init(&v->host);
	for (i = 0; i < argc && !ret; i++) {
		if (is_pool(v, argv[i])) {
			ret = add_pool(v, ex, argv[i], err);
			ex->pool = argc == 1 ? argv[i] : NULL;
			continue;
		}
		ret = func_resolve(&v->host, argv[i], &addr, err);
		if (!ret)
			ret = add(v, ex, &addr, err);
	}
	if (!argc)
		ret = add_all(v, ex, err);
	if (!ret)
		ret = name_pools(v, ex, err);
	if (!ret && ex->count)
		qsort(ex->funcs, ex->count, sizeof(*ex->funcs), func_cmp);
	return ret;
}

/* --- where to --------------------------------------------------------------------------------- */

/* Whoever watches the file finds the old document or the new one. */
static int write_file(struct vfctl *v, const char *path, const char *text, struct err *err)
{
	char full[PATH_MAX + 2];
	int ret;

	snprintf(full, sizeof(full), "%s%s", strchr(path, '/') ? "" : "./", path);
	ret = v->host.ops->replace(&v->host, full, text);
	return ret ? err_sys(err, ret, "cannot write %s", path) : 0;
}

static int write_out(struct vfctl *v, const struct export *ex,
		     int (*format)(const struct export *, FILE *, struct err *), struct err *err)
{
	CLEANUP_FREE char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int ret;

	if (!out)
		return err_sys(err, -errno, "cannot export");
	ret = format(ex, out, err);
	if (fclose(out) && !ret)
		ret = err_sys(err, -ENOMEM, "cannot export");
	if (ret)
		return ret;
	if (v->value[OPT_FILE])
		return write_file(v, v->value[OPT_FILE], text, err);
	fputs(text, stdout); /* vfctl_finish() looks whether it got out */
	return 0;
}

int vfctl_export(struct vfctl *v, int argc, char **argv)
{
	const char *name = v->value[OPT_FORMAT];
	struct export ex = { .count = 0 };
	struct err err = { .code = 0 };
	char shown[48];
	size_t i;
	int ret;

	for (i = 0; name && i < ARRAY_SIZE(formats) && strcmp(name, formats[i].name) != 0; i++)
		;
	if (!name || i == ARRAY_SIZE(formats))
		return vfctl_usage("%s%s%s--format takes cdi, sriov-device-plugin or libvirt",
				   name ? "there is no format \"" : "",
				   name ? host_printable(name, shown, sizeof(shown)) : "",
				   name ? "\": " : "");
	ret = gather(v, &ex, argc, argv, &err);
	if (!ret)
		ret = write_out(v, &ex, formats[i].write, &err);
	free(ex.funcs);
	return ret ? vfctl_fail(v, &err) : EXIT_DONE;
}
