// SPDX-License-Identifier: GPL-2.0-or-later
/* What the doctor looks at of VFIO: modules, back ends, device nodes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/util.h"
#include "doctor_priv.h"
#include "func.h"

#define DEP_MAX (8 * MIB) /* modules.dep of a kernel with everything */

/* --- modules ---------------------------------------------------------------------------------- */

/* modules.dep of the running kernel on the heap, NULL when there is none to be read. */
static char *modules_dep(const struct host *host)
{
	CLEANUP_FREE char *release = doctor_proc(host, "sys/kernel/osrelease");
	char path[HOST_PATH_MAX], *text;
	const char *below = strcmp(host->sysfs_root, "/sys") != 0 ? host->sysfs_root : "";
	int ret;

	if (!release || !host_name_ok(release))
		return NULL;
	ret = host_path(path, below, "%slib/modules/%s/modules.dep", *below ? "../" : "", release);
	text = ret ? NULL : malloc(DEP_MAX);
	if (text && io_read_text(path, text, DEP_MAX) >= 0)
		return text;
	free(text);
	return NULL;
}

struct module {
	const char *name;   /* as modprobe takes it */
	const char *loaded; /* what there is in sysfs when it is loaded */
	const char *file;   /* in modules.dep */
};

/* 1 loaded, 0 can be loaded, -ENOENT cannot, -ENODATA not known. */
static int module_state(const struct host *host, const char *dep, const struct module *m)
{
	if (host_has(host, "%s", m->loaded))
		return 1;
	if (!dep)
		return -ENODATA;
	return strstr(dep, m->file) ? 0 : -ENOENT;
}

void doctor_modules(const struct doctor *d, struct doctor_finding *f)
{
	static const struct module pci = { "vfio-pci", "bus/pci/drivers/vfio-pci", "/vfio-pci.ko" };
	static const struct module type1 = { "vfio_iommu_type1", "module/vfio_iommu_type1",
					     "/vfio_iommu_type1.ko" };
	static const struct module fd = { "iommufd", "module/iommufd", "/iommufd.ko" };
	CLEANUP_FREE char *dep = modules_dep(d->host);
	int has_pci = module_state(d->host, dep, &pci);
	int has_type1 = module_state(d->host, dep, &type1);
	int has_fd = module_state(d->host, dep, &fd);

	if (has_pci == 1 && (has_type1 == 1 || has_fd == 1)) {
		doctor_say(f, DOCTOR_OK, "vfio-pci is loaded, with %s%s%s",
			   has_type1 == 1 ? type1.name : "",
			   has_type1 == 1 && has_fd == 1 ? " and " : "", has_fd == 1 ? fd.name : "");
		return;
	}
	if (has_pci == -ENOENT) {
		doctor_say(f, DOCTOR_FAIL, "this kernel has no vfio-pci");
		doctor_remedy(f, "install a kernel with CONFIG_VFIO_PCI");
		return;
	}
	if (has_type1 == -ENOENT && has_fd == -ENOENT) {
		doctor_say(f, DOCTOR_FAIL, "this kernel has neither vfio_iommu_type1 nor iommufd");
		doctor_remedy(f, "install a kernel with CONFIG_VFIO_IOMMU_TYPE1 or CONFIG_IOMMUFD");
		return;
	}
	doctor_say(f, DOCTOR_WARN, "%s is not loaded%s", has_pci == 1 ? type1.name : pci.name,
		   dep ? "" : ", and there is no modules.dep that would tell whether it can be");
	doctor_remedy(f, "run: modprobe -a vfio-pci vfio_iommu_type1; at each start: put both into "
		      "/etc/modules-load.d/vfio.conf");
}

/* --- back ends -------------------------------------------------------------------------------- */

/* 0 with the file's status, or -errno. */
static int node_stat(const struct host *host, const char *node, struct stat *st)
{
	char path[HOST_PATH_MAX];

	if (host_path(path, host->dev_root, "%s", node))
		return -ENAMETOOLONG;
	return stat(path, st) < 0 ? -errno : 0;
}

void doctor_backends(const struct doctor *d, struct doctor_finding *f)
{
	char noiommu[8] = "";
	struct stat st;
	bool type1 = !node_stat(d->host, "vfio/vfio", &st), fd = !node_stat(d->host, "iommu", &st);
	bool cdev = fd && !node_stat(d->host, "vfio/devices", &st);

	(void)host_read(d->host, noiommu, sizeof(noiommu),
			"module/vfio/parameters/enable_unsafe_noiommu_mode");
	if (*noiommu == 'Y' || *noiommu == '1') {
		doctor_say(f, DOCTOR_WARN, "enable_unsafe_noiommu_mode is on: a driver in user space "
			   "can write to all of the host's memory");
		doctor_remedy(f, "run: echo N > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
	} else if (type1 || cdev) {
		doctor_say(f, DOCTOR_OK, "%s%s%s", type1 ? "groups and containers (/dev/vfio/vfio)" : "",
			   type1 && cdev ? ", " : "",
			   cdev ? "devices (/dev/vfio/devices, /dev/iommu)" : "");
	} else if (host_has(d->host, "module/vfio") || host_has(d->host, "class/vfio")) {
		doctor_say(f, DOCTOR_FAIL, "VFIO is loaded, but there is no /dev/vfio/vfio");
		doctor_remedy(f, "in a container, hand /dev/vfio in; else see: dmesg");
	} else {
		doctor_say(f, DOCTOR_UNKNOWN, "VFIO is not loaded: what it offers shows afterwards");
	}
}

/* --- nodes ------------------------------------------------------------------------------------ */

static const char *node_name(const struct inventory_func *func, char buf[32])
{
	snprintf(buf, 32, "vfio/%d", func->group);
	return buf;
}

void doctor_nodes(const struct doctor *d, struct doctor_finding *f)
{
	const struct inventory_func *func;
	char node[32], list[128];
	size_t i, bound = 0;
	struct stat st;

	/* Those without a node first, for they are worse than those that everybody may open. */
	for (i = 0; i < d->inv->func_count; i++) {
		func = &d->inv->funcs[i];
		if (!func_driver_is_vfio(func->driver) || func->group < 0)
			continue;
		bound++;
		if (node_stat(d->host, node_name(func, node), &st) &&
		    node_stat(d->host, "vfio/devices", &st))
			doctor_add(f, &func->addr);
	}
	if (f->addr_count) {
		doctor_say(f, DOCTOR_FAIL, "no node below /dev/vfio for the group of %s",
			   doctor_names(f, list, sizeof(list)));
		doctor_remedy(f, "in a container, hand /dev/vfio in; else see whether udevd runs");
		return;
	}
	for (i = 0; i < d->inv->func_count; i++) {
		func = &d->inv->funcs[i];
		if (func_driver_is_vfio(func->driver) && func->group >= 0 &&
		    !node_stat(d->host, node_name(func, node), &st) && st.st_mode & 0006)
			doctor_add(f, &func->addr);
	}
	if (f->addr_count) {
		doctor_say(f, DOCTOR_WARN, "every user may open the group of %s",
			   doctor_names(f, list, sizeof(list)));
		doctor_remedy(f, "run: chmod o= /dev/vfio/GROUP; to hand one to a user: vfctl bind "
			      "FUNCTION vfio-pci --owner=USER");
		return;
	}
	if (!node_stat(d->host, "vfio/vfio", &st) && (st.st_mode & 0666) != 0666) {
		doctor_say(f, DOCTOR_WARN, "/dev/vfio/vfio is not for everybody: only its owner can "
			   "use functions by groups");
		doctor_remedy(f, "run: chmod 666 /dev/vfio/vfio, which gives nobody a function");
		return;
	}
	doctor_say(f, DOCTOR_OK, bound == 1 ? "%zu function with a VFIO driver, its node is there" :
		   "%zu functions with a VFIO driver, their nodes are there", bound);
}
