// SPDX-License-Identifier: GPL-2.0-or-later
/* What the kernel does when one of its attributes is written. */
#include "fake_sysfs_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sriov/host_file.h"

static bool driver_takes(const struct fake *f, const char *driver, const char *addr)
{
	const struct fake_driver *d = fk_find_driver(f, driver);
	char override[HOST_NAME_MAX], pf[32], text[16], vendor[16], device[16];

	fk_line(f, override, sizeof(override), TREE "/driver_override", addr);
	fk_link_base(f, pf, sizeof(pf), TREE "/physfn", addr);
	fk_line(f, vendor, sizeof(vendor), TREE "/vendor", addr);
	fk_line(f, device, sizeof(device), TREE "/device", addr);
	if (strcmp(override, "(null)") != 0)
		return !strcmp(override, driver);
	/* pci_device_can_probe(): a VF without override needs its PF's autoprobe. */
	if (*pf) {
		fk_line(f, text, sizeof(text), TREE "/sriov_drivers_autoprobe", pf);
		if (*text == '0')
			return false;
	}
	return d && d->vendor && d->vendor == strtoul(vendor, NULL, 16) &&
	       d->device == strtoul(device, NULL, 16);
}

static int kernel_bind(struct fake *f, const char *driver, const char *addr)
{
	char bound[HOST_NAME_MAX], override[HOST_NAME_MAX];

	if (!fk_exists(f, TREE, addr) || !driver_takes(f, driver, addr))
		return -ENODEV;
	fk_link_base(f, bound, sizeof(bound), TREE "/driver", addr);
	if (*bound)
		return -EBUSY;
	if (!strcmp(f->refuse, driver))
		return f->refuse_code;
	/* vfio_group_find_or_alloc(): no IOMMU group, no VFIO. */
	if (strstr(driver, "vfio") && fk_group(f, addr) < 0)
		return -EINVAL;
	fk_line(f, override, sizeof(override), TREE "/driver_override", addr);
	f->native_binds += !strcmp(override, "(null)");
	if (!f->probe_fails)
		fk_attach(f, addr, driver);
	return 0;
}

static int kernel_unbind(struct fake *f, const char *driver, const char *addr)
{
	char bound[HOST_NAME_MAX];

	fk_link_base(f, bound, sizeof(bound), TREE "/driver", addr);
	if (strcmp(bound, driver) != 0)
		return -ENODEV;
	fk_detach(f, addr);
	return 0;
}

static int kernel_probe(struct fake *f, const char *addr)
{
	size_t i;

	if (!fk_exists(f, TREE, addr))
		return -ENODEV;
	for (i = 0; i < f->driver_count && !fk_exists(f, TREE "/driver", addr); i++) {
		if (driver_takes(f, f->drivers[i].name, addr))
			kernel_bind(f, f->drivers[i].name, addr);
	}
	return 0;
}

/* Routing ID of VF n: the PF's + 128 + 2 n, as the attributes say. */
static void vf_name(const char *pf, unsigned int n, char buf[PCI_ADDR_STRLEN])
{
	struct pci_addr a;
	unsigned int rid;

	if (pci_addr_parse(pf, &a))
		fk_die("address", pf);
	rid = ((unsigned int)a.bus << 8 | (unsigned int)a.dev << 3 | a.fn) + 128 + 2 * n;
	a.bus = (uint8_t)(rid >> 8);
	a.dev = rid >> 3 & 0x1f;
	a.fn = rid & 7;
	pci_addr_str(&a, buf);
}

static void add_vf(struct fake *f, const char *pf, unsigned int n)
{
	char vf[PCI_ADDR_STRLEN], vendor[16], device[16], class[16], group[16], path[PATH_MAX];
	struct fake_func spec = { .addr = vf, .group = -1 };

	vf_name(pf, n, vf);
	fk_line(f, vendor, sizeof(vendor), TREE "/vendor", pf);
	fk_line(f, device, sizeof(device), TREE "/sriov_vf_device", pf);
	fk_line(f, class, sizeof(class), TREE "/class", pf);
	fk_line(f, group, sizeof(group), TREE "/.vf_group", pf);
	spec.vendor = (uint16_t)strtoul(vendor, NULL, 16);
	spec.device = (uint16_t)strtoul(device, NULL, 16);
	spec.class = (uint32_t)strtoul(class, NULL, 16);
	if (atoi(group))
		spec.group = atoi(group) + (int)n;
	fake_func(f, &spec);
	snprintf(path, sizeof(path), TREE "/physfn", vf);
	fk_link(f, path, "../%s", pf);
	snprintf(path, sizeof(path), TREE "/virtfn%u", pf, n);
	fk_link(f, path, "../%s", vf);
	kernel_probe(f, vf);
}

static void remove_vf(struct fake *f, const char *pf, unsigned int n)
{
	char vf[PCI_ADDR_STRLEN], path[PATH_MAX];
	int group;

	vf_name(pf, n, vf);
	fk_detach(f, vf);
	group = fk_group(f, vf);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%d", group);
	if (group >= 0)
		fake_remove(f, path);
	snprintf(path, sizeof(path), TREE "/virtfn%u", pf, n);
	fake_remove(f, path);
	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s", vf);
	fake_remove(f, path);
	snprintf(path, sizeof(path), TREE, vf);
	fake_remove(f, path);
}

struct late {
	struct fake *f;
	char pf[PCI_ADDR_STRLEN];
	unsigned int count;
};

static void *late_run(void *opaque)
{
	struct late *late = opaque;
	unsigned int i;

	usleep(late->f->late_ms * 1000);
	for (i = 0; i < late->count; i++)
		add_vf(late->f, late->pf, i);
	free(late);
	return NULL;
}

void fk_late_join(struct fake *f)
{
	if (f->late_running)
		pthread_join(f->late_thread, NULL);
	f->late_running = false;
}

static void make_vfs(struct fake *f, const char *pf, unsigned int count)
{
	struct late *late;
	unsigned int i;

	if (f->late_ms) {
		late = calloc(1, sizeof(*late));
		if (!late)
			fk_die("calloc", pf);
		late->f = f;
		snprintf(late->pf, sizeof(late->pf), "%s", pf);
		late->count = count;
		f->late_running = !pthread_create(&f->late_thread, NULL, late_run, late);
		return;
	}
	for (i = 0; i < count; i++)
		add_vf(f, pf, i);
}

/* sriov_numvfs_store() of drivers/pci/iov.c. */
static int kernel_numvfs(struct fake *f, const char *pf, const char *text)
{
	char total[16], now[16];
	unsigned int count, old, i;
	char *end;

	fk_late_join(f);
	count = (unsigned int)strtoul(text, &end, 10);
	fk_line(f, total, sizeof(total), TREE "/sriov_totalvfs", pf);
	fk_line(f, now, sizeof(now), TREE "/sriov_numvfs", pf);
	old = (unsigned int)atoi(now);
	if (*end && *end != '\n')
		return -EINVAL;
	if (count > (unsigned int)atoi(total))
		return -ERANGE;
	if (count == old)
		return 0;
	if (!fk_exists(f, TREE "/driver", pf))
		return -ENOENT;
	for (i = 0; !count && i < old; i++)
		remove_vf(f, pf, i);
	if (count && old)
		return -EBUSY;
	if (count && f->numvfs_code)
		return f->numvfs_code;
	if (count && f->vfs_made)
		count = f->vfs_made;
	fk_attr(f, pf, "sriov_numvfs", "%u\n", count);
	if (f->count_changes)
		f->count_changes(f, pf);
	make_vfs(f, pf, count);
	return 0;
}

/* sriov_vf_msix_count_store(), with a PF driver that takes any number that fits the table's size. */
static int kernel_msix(struct fake *f, const char *vf, const char *text)
{
	char path[PATH_MAX];
	unsigned char size;
	FILE *config;
	int count = atoi(text);

	if (count < 0 || count > 256)
		return -EINVAL;
	if (fk_exists(f, TREE "/driver", vf))
		return -EBUSY;
	size = (unsigned char)(count ? count - 1 : 2);
	fk_path(f, path, TREE "/config", vf);
	config = fopen(path, "r+");
	if (!config || fseek(config, 0x42, SEEK_SET) || fwrite(&size, 1, 1, config) != 1)
		fk_die("config", path);
	fclose(config);
	return 0;
}

static int kernel_attr(struct fake *f, const char *addr, const char *name, const char *text)
{
	if (!fk_exists(f, TREE "/%s", addr, name))
		return -ENOENT;
	if (!strcmp(name, "sriov_numvfs"))
		return kernel_numvfs(f, addr, text);
	if (!strcmp(name, "sriov_vf_msix_count"))
		return kernel_msix(f, addr, text);
	if (!strcmp(name, "driver_override")) {
		fk_attr(f, addr, name, "%s\n", *text == '\n' || !*text ? "(null)" : text);
		return 0;
	}
	if (!strcmp(name, "sriov_drivers_autoprobe")) {
		fk_attr(f, addr, name, "%c\n", *text);
		return 0;
	}
	if (!strcmp(name, "reset")) {
		f->resets++;
		return f->reset_code;
	}
	/* enable_store() of drivers/pci/pci-sysfs.c. */
	if (!strcmp(name, "enable")) {
		if (fk_exists(f, TREE "/driver", addr))
			return -EBUSY;
		f->enables++;
		return 0;
	}
	return -EACCES;
}

int fk_write(struct host *host, const char *path, const char *text)
{
	struct fake *f = host->opaque;
	char rel[HOST_PATH_MAX], *first, *second;
	size_t len = strlen(f->sys);

	f->seen++;
	if (f->seen == f->fail_at)
		return f->fail_code;
	if (strncmp(path, f->sys, len) != 0)
		fk_die("a write outside sysfs", path);
	snprintf(rel, sizeof(rel), "%s", path + len + 1);
	if (!strcmp(rel, "bus/pci/drivers_probe"))
		return kernel_probe(f, text);
	first = strncmp(rel, "bus/pci/d", 9) ? NULL : strchr(rel + 9, '/');
	second = first ? strchr(first + 1, '/') : NULL;
	if (!second)
		fk_die("a write to what is no attribute", path);
	*second++ = '\0';
	first++;
	if (!strncmp(rel, "bus/pci/devices/", 16))
		return kernel_attr(f, first, second, text);
	if (!fk_find_driver(f, first))
		return -ENOENT;
	return !strcmp(second, "bind") ? kernel_bind(f, first, text) :
					 kernel_unbind(f, first, text);
}

int fk_net_addr(const struct host *host, const char *ifname, char *buf, size_t size)
{
	const struct fake *f = host->opaque;
	size_t i;

	for (i = 0; i < f->net_count; i++) {
		if (strcmp(f->net_name[i], ifname) != 0)
			continue;
		snprintf(buf, size, "%s", f->net_addr[i]);
		return 1;
	}
	return 0;
}

/* The owner of a file is what a test may not change, so it is written down only. */
int fk_node_own(const struct host *host, const char *path, uid_t uid, gid_t gid, mode_t mode)
{
	struct fake *f = host->opaque;
	size_t i = f->own_count;

	f->seen++;
	if (f->seen == f->fail_at)
		return f->fail_code;
	if (i == FAKE_LIST_MAX)
		fk_die("too many owners", path);
	if (chmod(path, mode) < 0)
		return -errno;
	snprintf(f->owns[i].node, sizeof(f->owns[i].node), "%s", path + strlen(host->dev_root) + 1);
	f->owns[i].uid = uid;
	f->owns[i].gid = gid;
	f->owns[i].mode = mode;
	f->own_count++;
	return 0;
}

int fk_node_try(const struct host *host, const char *path, int excl)
{
	const struct fake *f = host->opaque;
	const char *node = path + strlen(host->dev_root) + 1;
	size_t i;

	(void)excl;
	for (i = 0; i < f->busy_count; i++) {
		if (!strcmp(f->busy[i], node))
			return -EBUSY;
	}
	return access(path, F_OK) < 0 ? -errno : 0;
}

int fk_routes(const struct host *host, struct host_route **ret, size_t *ret_count)
{
	const struct fake *f = host->opaque;

	if (f->routes_code)
		return f->routes_code;
	*ret = malloc(sizeof(f->routes));
	if (!*ret)
		fk_die("malloc", "routes");
	memcpy(*ret, f->routes, sizeof(f->routes));
	*ret_count = f->route_count;
	return 0;
}

int fk_route_to(const struct host *host, const char *to, const char *from,
		char ifname[HOST_NAME_MAX])
{
	const struct fake *f = host->opaque;

	(void)from;
	if (f->way_code || strcmp(to, f->way_to) != 0)
		return f->way_code ? f->way_code : -ENETUNREACH;
	snprintf(ifname, HOST_NAME_MAX, "%s", f->way_name);
	return 0;
}

int fk_replace(const struct host *host, const char *path, const char *text)
{
	struct fake *f = host->opaque;

	f->seen++;
	if (f->seen == f->fail_at)
		return f->fail_code;
	if (strncmp(path, f->base, strlen(f->base)) != 0)
		fk_die("a file outside the fake", path);
	return host_file_replace(host, path, text);
}
