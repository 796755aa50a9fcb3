// SPDX-License-Identifier: GPL-2.0-or-later
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"
#include "func_explain.h"

/*
 * The drivers outside VFIO that set driver_managed_dma: they promise to start no DMA of their
 * own, and the kernel lets user space own the group beside them. (Linux drivers/pci/pci-stub.c,
 * drivers/pci/pcie/portdrv.c, since 5.19; vfio.c's list of allowed drivers before.)
 */
static bool driver_is_harmless(const char *driver)
{
	return !*driver || !strcmp(driver, "pcieport") || !strcmp(driver, "pci-stub") ||
	       func_driver_is_vfio(driver);
}

static void member_read(const struct host *host, int group, const char *name,
			struct group_member *m)
{
	const char *dir = "kernel/iommu_groups";
	long class = 0;

	memset(m, 0, sizeof(*m));
	memcpy(m->name, name, strlen(name) + 1);
	m->is_pci = !pci_addr_parse(name, &m->addr);
	if (host_link(host, m->driver, sizeof(m->driver), "%s/%d/devices/%s/driver", dir, group,
		      name) < 0)
		m->driver[0] = '\0';
	if (m->is_pci && !host_read_long(host, &class, "%s/%d/devices/%s/class", dir, group, name))
		m->is_bridge = class >> 8 == 0x0604 || class >> 8 == 0x0609;
	m->blocks = !driver_is_harmless(m->driver);
}

static int member_cmp(const void *a, const void *b)
{
	return strcmp(((const struct group_member *)a)->name,
		      ((const struct group_member *)b)->name);
}

static int members_append(const struct host *host, int group, const char *name,
			  struct group_member **members, size_t *count)
{
	struct group_member *grown;

	if (is_pow2(*count) || !*count) {
		grown = reallocarray(*members, *count ? *count * 2 : 1, sizeof(**members));
		if (!grown)
			return -ENOMEM;
		*members = grown;
	}
	member_read(host, group, name, &(*members)[(*count)++]);
	return 0;
}

int group_members(const struct host *host, int group, struct group_member **ret_members,
		  size_t *ret_count, struct err *err)
{
	char path[HOST_PATH_MAX];
	struct group_member *members = NULL;
	size_t count = 0;
	struct dirent *e;
	DIR *dir;
	int ret;

	ret = host_path(path, host->sysfs_root, "kernel/iommu_groups/%d/devices", group);
	if (ret)
		return err_sys(err, ret, "group %d", group);
	dir = opendir(path);
	if (!dir)
		return err_set(err, -ENODEV, "there is no IOMMU group %d", group);
	while (!ret && (e = readdir(dir))) {
		if (e->d_name[0] != '.' && strlen(e->d_name) < HOST_NAME_MAX)
			ret = members_append(host, group, e->d_name, &members, &count);
	}
	closedir(dir);
	if (ret) {
		free(members);
		return err_sys(err, ret, "group %d", group);
	}
	if (count)
		qsort(members, count, sizeof(*members), member_cmp);
	*ret_members = members;
	*ret_count = count;
	return 0;
}

/* Appends "VERB a b c" for the blocking members that are bridges, or that are not. */
static size_t append_members(const struct group_member *members, size_t count, bool bridges,
			     const char *verb, struct err *err)
{
	size_t i, n = 0;

	for (i = 0; i < count; i++) {
		const struct group_member *m = &members[i];

		if (m->blocks && m->is_pci && m->is_bridge == bridges)
			err_append(err, "%s %s", n++ ? "" : verb, m->name);
	}
	return n;
}

/* " (one group because 0000:05:00.0 leads to a conventional PCI bus)", where that can be told. */
static void append_why(const struct host *host, int group, struct err *err)
{
	struct group_explain *explain;
	char brief[256];

	if (!err || group_explain(host, group, &explain, NULL))
		return;
	if (*group_explain_brief(explain, brief, sizeof(brief)))
		err_append(err, " (one group because %s)", brief);
	group_explain_free(explain);
}

static int not_viable(const struct host *host, int group, const struct group_member *members,
		      size_t count, struct err *err)
{
	const char *comma = "";
	size_t i, bridges, pci;

	err_set(err, -ENODEV, "group %d is not viable: ", group);
	for (i = 0; i < count; i++) {
		if (!members[i].blocks)
			continue;
		err_append(err, "%s%s is bound to %s", comma, members[i].name, members[i].driver);
		comma = ", ";
	}
	/* vfio-pci takes no bridge; without a driver it does not count. */
	bridges = append_members(members, count, true, "; run: vfctl unbind", err);
	pci = append_members(members, count, false,
			     bridges ? "; then: vfctl bind" : "; run: vfctl bind", err);
	if (pci)
		err_append(err, " vfio-pci");
	if (!pci && !bridges)
		err_append(err, "; unbind it from that driver");
	append_why(host, group, err);
	return -ENODEV;
}

int group_check(const struct host *host, int group, struct err *err)
{
	struct group_member *members = NULL;
	size_t count = 0, i;
	int ret;

	ret = group_members(host, group, &members, &count, err);
	if (ret)
		return ret;
	for (i = 0; i < count && !ret; i++) {
		if (members[i].blocks)
			ret = not_viable(host, group, members, count, err);
	}
	free(members);
	return ret;
}

int func_group_check(const struct host *host, const struct pci_addr *addr, struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	int group = func_group(host, addr);
	int ret;

	pci_addr_str(addr, a);
	if (group < 0 && !func_exists(host, addr))
		return err_set(err, -ENODEV, "%s: no such function", a);
	if (group < 0)
		return err_set(err, -ENODEV,
			       "%s: it is in no IOMMU group; turn the IOMMU on in the firmware and "
			       "start the kernel with intel_iommu=on or amd_iommu=on",
			       a);
	ret = group_check(host, group, err);
	if (ret)
		err_prefix(err, "%s", a);
	return ret;
}
