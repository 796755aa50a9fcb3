// SPDX-License-Identifier: GPL-2.0-or-later
#include "use.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "func.h"
#include "use_scan.h"

#define IFF_UP_BIT 1 /* linux/if.h, IFF_UP */

/* Every check below returns 0 (no proof), 1 (proof, written to @ev) or -errno with a message. */

/* What a look goes by, and the first proof that it finds. */
struct look {
	struct use_evidence ev;
	unsigned int force; /* kinds that are no proof */
};

static const struct {
	enum use_kind kind;
	const char *name;
} kinds[] = {
	{ USE_ADDRESS, "address" }, { USE_ROUTE, "route" },	{ USE_UPPER, "upper" },
	{ USE_NETNS, "netns" },	    { USE_MOUNT, "mount" },	{ USE_SWAP, "swap" },
	{ USE_HOLDER, "holder" },   { USE_PROCESS, "process" }, { USE_VFIO, "vfio" },
	{ USE_CONSOLE, "console" }, { USE_VFS, "vfs" },		{ USE_DEAD, "dead" },
	{ USE_SSH, "ssh" },	    { USE_LEASE, "lease" },	{ USE_GROUP, "group" },
	{ USE_UNKNOWN, "unknown" },
};

const char *use_kind_name(enum use_kind kind)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].kind == kind)
			return kinds[i].name;
	}
	return NULL;
}

static int kind_find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strlen(kinds[i].name) == len && !strncmp(kinds[i].name, name, len))
			return (int)kinds[i].kind;
	}
	return 0;
}

int use_kinds_parse(const char *text, unsigned int *ret_kinds, struct err *err)
{
	char shown[48], all[256] = "";
	size_t i, len, at = 0;
	int kind;

	*ret_kinds = 0;
	for (;; text += len + 1) {
		len = strcspn(text, ",");
		kind = kind_find(text, len);
		if (!kind)
			break;
		*ret_kinds |= (unsigned int)kind;
		if (!text[len])
			return 0;
	}
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		at += (size_t)snprintf(all + at, sizeof(all) - at, "%s%s", i ? ", " : "",
				       kinds[i].name);
	return err_set(err, -EINVAL, "\"%s\" is no kind of use; there are: %s",
		       host_printable(text, shown, sizeof(shown)), all);
}

static int proof(struct look *look, enum use_kind kind, const char *remedy, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int proof(struct look *look, enum use_kind kind, const char *remedy, const char *fmt, ...)
{
	struct use_evidence *ev = &look->ev;
	va_list ap;

	if (look->force & kind)
		return 0;
	va_start(ap, fmt);
	vsnprintf(ev->what, sizeof(ev->what), fmt, ap);
	va_end(ap);
	snprintf(ev->remedy, sizeof(ev->remedy), "%s", remedy);
	ev->kind = kind;
	return 1;
}

static int check_uppers(const struct host *host, const char *netdev, struct look *look)
{
	char path[HOST_PATH_MAX], master[HOST_NAME_MAX];
	struct dirent *e;
	int ret = 0;
	DIR *dir;

	if (!host_link(host, master, sizeof(master), "class/net/%s/master", netdev))
		return proof(look, USE_UPPER, "take it out", "%s is a port of %s", netdev, master);
	if (host_has(host, "class/net/%s/brport", netdev))
		return proof(look, USE_UPPER, "take it out", "%s is a port of a bridge", netdev);
	if (host_path(path, host->sysfs_root, "class/net/%s", netdev))
		return 0;
	dir = opendir(path);
	while (dir && !ret && (e = readdir(dir))) {
		if (!strncmp(e->d_name, "upper_", 6))
			ret = proof(look, USE_UPPER, "delete that", "%s carries %s", netdev, e->d_name + 6);
	}
	if (dir)
		closedir(dir);
	return ret;
}

/* A route over an interface that has no address of its own: "Iface Destination Gateway ...". */
static bool has_route(const struct host *host, const char *netdev)
{
	char path[HOST_PATH_MAX], line[512];
	size_t len = strlen(netdev);
	bool found = false;
	FILE *f;

	if (host_path(path, host->proc_root, "net/route"))
		return false;
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, netdev, len) && (line[len] == '\t' || line[len] == ' ');
	if (f)
		fclose(f);
	return found;
}

static int check_netdev(const struct host *host, const char *netdev, struct look *look,
			struct err *err)
{
	char flags[32], address[64];
	int ret;

	ret = check_uppers(host, netdev, look);
	if (ret)
		return ret;
	if (host_read(host, flags, sizeof(flags), "class/net/%s/flags", netdev) < 0 ||
	    !(strtoul(flags, NULL, 16) & IFF_UP_BIT))
		return 0;
	ret = host->ops->net_addr(host, netdev, address, sizeof(address));
	if (ret < 0)
		return err_sys(err, ret, "cannot read the addresses of %s", netdev);
	if (ret)
		return proof(look, USE_ADDRESS, "bring it down", "%s is up with address %s", netdev, address);
	if (has_route(host, netdev))
		return proof(look, USE_ROUTE, "bring it down", "%s is up and carries a route", netdev);
	return 0;
}

static int check_net(const struct host *host, const struct func_info *info,
		     struct look *look, struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	unsigned int i;
	int ret = 0;

	for (i = 0; i < info->netdev_count && !ret; i++)
		ret = check_netdev(host, info->netdevs[i], look, err);
	/* The folder of interfaces outlives their move to a namespace we cannot see into. */
	if (!ret && !info->netdev_count &&
	    host_has(host, "bus/pci/devices/%s/net", pci_addr_str(&info->addr, a)))
		return proof(look, USE_NETNS, "move it back",
			     "its network interface is in another network namespace");
	return ret;
}

static void comm_of(const struct host *host, pid_t pid, char *buf, size_t size)
{
	char path[HOST_PATH_MAX], comm[64];

	if (host_path(path, host->proc_root, "%d/comm", (int)pid) ||
	    io_read_text(path, comm, sizeof(comm)) <= 0)
		memcpy(comm, "?", 2);
	host_printable(comm, buf, size);
}

static int check_opener(struct use_scan *scan, const char *node, const char *shown,
			enum use_kind kind, struct look *look, struct err *err)
{
	char comm[32];
	pid_t pid;
	int ret = use_scan_opens(scan, err);

	if (ret)
		return ret;
	pid = use_scan_opener(scan, node);
	if (!pid)
		return 0;
	comm_of(scan->host, pid, comm, sizeof(comm));
	return proof(look, kind, "stop that process", "%s is open in %s (pid %d)", shown, comm,
		     (int)pid);
}

/* /dev/vfio/N, and noiommu-N of a host without IOMMU. */
static int check_group(struct use_scan *scan, int group, struct look *look, struct err *err)
{
	static const char *const names[] = { "vfio/%d", "vfio/noiommu-%d" };
	char path[HOST_PATH_MAX], node[32], shown[32];
	size_t i;
	int ret = 0, busy;

	snprintf(shown, sizeof(shown), "group %d", group);
	for (i = 0; i < ARRAY_SIZE(names) && !ret && group >= 0; i++) {
		snprintf(node, sizeof(node), i ? "vfio/noiommu-%d" : "vfio/%d", group);
		if (host_path(path, scan->host->dev_root, "%s", node))
			continue;
		busy = scan->host->ops->node_try(scan->host, path, 0);
		if (busy == -ENOENT)
			continue;
		ret = check_opener(scan, node, shown, USE_VFIO, look, err);
		if (!ret && busy == -EBUSY)
			ret = proof(look, USE_VFIO, "stop what uses it", "%s is open in another process",
				    shown);
	}
	return ret;
}

/* True when a multipath NVMe disk reaches one of its controllers through the function @a. */
static bool nvme_head_uses(const struct host *host, const char *link, const char *a)
{
	const char *subsys = strstr(link, "/nvme-subsystem/");
	char path[HOST_PATH_MAX], target[HOST_PATH_MAX], needle[PCI_ADDR_STRLEN + 2];
	bool found = false;
	struct dirent *e;
	ssize_t n;
	DIR *dir;

	if (!subsys)
		return false;
	subsys += strlen("/nvme-subsystem/");
	if (host_path(path, host->sysfs_root, "class/nvme-subsystem/%.*s",
		      (int)strcspn(subsys, "/"), subsys))
		return false;
	snprintf(needle, sizeof(needle), "/%s/", a);
	dir = opendir(path);
	while (dir && !found && (e = readdir(dir))) {
		n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		found = strstr(target, needle) != NULL;
	}
	if (dir)
		closedir(dir);
	return found;
}

static bool node_is_below(const struct host *host, const struct use_node *node, const char *a)
{
	char needle[PCI_ADDR_STRLEN + 2];

	snprintf(needle, sizeof(needle), "/%s/", a);
	return strstr(node->link, needle) || (node->block && nvme_head_uses(host, node->link, a));
}

static bool swap_is_on(const struct use_scan *scan, const char *name)
{
	char needle[HOST_NAME_MAX + 8];
	const char *at = scan->swaps;
	size_t len;

	if (!at || strlen(name) >= HOST_NAME_MAX)
		return false;
	snprintf(needle, sizeof(needle), "/dev/%s", name);
	len = strlen(needle);
	while ((at = strstr(at, needle))) {
		if ((at == scan->swaps || at[-1] == '\n') && (at[len] == ' ' || at[len] == '\t'))
			return true;
		at += len;
	}
	return false;
}

/* The first thing stacked on a block device, "" when none. */
static void first_holder(const struct host *host, const char *number, char buf[HOST_NAME_MAX])
{
	char path[HOST_PATH_MAX];
	struct dirent *e;
	DIR *dir;

	buf[0] = '\0';
	if (host_path(path, host->sysfs_root, "dev/block/%s/holders", number))
		return;
	dir = opendir(path);
	while (dir && !*buf && (e = readdir(dir))) {
		if (e->d_name[0] != '.')
			host_printable(e->d_name, buf, HOST_NAME_MAX);
	}
	if (dir)
		closedir(dir);
}

static int check_disk(struct use_scan *scan, const struct use_node *node, struct look *look,
		      struct err *err)
{
	char path[HOST_PATH_MAX], holder[HOST_NAME_MAX], where[96];
	size_t i;
	int ret;

	ret = use_scan_mounts(scan, err);
	if (ret)
		return ret;
	for (i = 0; i < scan->mount_count; i++) {
		if (!strcmp(scan->mounts[i].number, node->number))
			return proof(look, USE_MOUNT, "unmount it", "%s is mounted on %s", node->name,
				     host_printable(scan->mounts[i].where, where, sizeof(where)));
	}
	if (swap_is_on(scan, node->name))
		return proof(look, USE_SWAP, "run swapoff", "%s is swap space in use", node->name);
	first_holder(scan->host, node->number, holder);
	if (*holder)
		return proof(look, USE_HOLDER, "take that apart", "%s is held by %s", node->name, holder);
	if (!host_path(path, scan->host->dev_root, "%s", node->name) &&
	    scan->host->ops->node_try(scan->host, path, 1) == -EBUSY)
		return proof(look, USE_HOLDER, "release it",
			     "%s is held exclusively (by a file system, LVM or RAID)", node->name);
	return 0;
}

static int check_nodes(struct use_scan *scan, const char *a, struct look *look,
		       struct err *err)
{
	char shown[HOST_NAME_MAX + 8];
	size_t i;
	int ret = use_scan_nodes(scan, err);

	for (i = 0; i < scan->node_count && !ret; i++) {
		const struct use_node *node = &scan->nodes[i];

		if (!node_is_below(scan->host, node, a))
			continue;
		if (node->block)
			ret = check_disk(scan, node, look, err);
		if (ret)
			break;
		snprintf(shown, sizeof(shown), "/dev/%.63s", node->name);
		ret = check_opener(scan, node->name, shown,
				   strncmp(node->name, "vfio/", 5) ? USE_PROCESS : USE_VFIO, look, err);
	}
	return ret;
}

/* fbcon draws on fb0 (Linux Documentation/fb/fbcon.rst) while a vtconsole of its is bound. */
static int check_console(const struct host *host, const char *a, struct look *look)
{
	char name[64];
	long bound;
	int i;

	if (!host_has(host, "bus/pci/devices/%s/graphics/fb0", a))
		return 0;
	for (i = 0; i < 8; i++) {
		if (host_read(host, name, sizeof(name), "class/vtconsole/vtcon%d/name", i) < 0 ||
		    host_read_long(host, &bound, "class/vtconsole/vtcon%d/bind", i))
			break;
		if (bound && strstr(name, "frame buffer"))
			return proof(look, USE_CONSOLE, "write 0 to the bind file of its /sys/class/vtconsole",
				     "its frame buffer fb0 shows the console");
	}
	return 0;
}

static int check_one(const struct host *host, struct use_scan *scan, const struct pci_addr *addr,
		     struct look *look, struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	struct func_info info;
	int ret;

	pci_addr_str(addr, a);
	look->ev.addr = *addr;
	ret = func_read(host, addr, &info, err);
	if (!ret)
		ret = check_net(host, &info, look, err);
	/* The group's node is busy for one who opens the function's own: that names the process. */
	if (!ret && *info.driver)
		ret = check_nodes(scan, a, look, err);
	if (!ret)
		ret = check_group(scan, info.group, look, err);
	if (!ret && *info.driver)
		ret = check_console(host, a, look);
	return ret;
}

static int check_vfs(const struct host *host, struct use_scan *scan, const struct pci_addr *pf,
		     struct look *look, struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	struct pci_addr vf;
	long i, count = 0;
	int ret = 0;

	if (host_read_long(host, &count, "bus/pci/devices/%s/sriov_numvfs", pci_addr_str(pf, a)))
		return 0;
	for (i = 0; i < count && i <= UINT16_MAX && !ret; i++) {
		if (!func_vf_addr(host, pf, (unsigned int)i, &vf) && func_exists(host, &vf))
			ret = check_one(host, scan, &vf, look, err);
	}
	return ret;
}

/* What was found, as the caller is told it. */
static int report(const struct pci_addr *addr, int found, const struct look *look,
		  struct use_evidence *ret_ev, struct err *err)
{
	const struct use_evidence *ev = &look->ev;
	char a[PCI_ADDR_STRLEN], vf[PCI_ADDR_STRLEN];

	if (!found || (found < 0 && look->force & USE_UNKNOWN))
		return 0;
	pci_addr_str(addr, a);
	if (found < 0) {
		if (err && strncmp(err->msg, a, strlen(a)) != 0)
			err_prefix(err, "%s", a);
		return found;
	}
	if (ret_ev)
		*ret_ev = *ev;
	if (pci_addr_eq(addr, &ev->addr))
		return err_set(err, -EBUSY, "%s: %s; %s or use --force=%s", a, ev->what, ev->remedy,
			       use_kind_name(ev->kind));
	return err_set(err, -EBUSY, "%s: its VF %s is in use: %s; %s or use --force=%s", a,
		       pci_addr_str(&ev->addr, vf), ev->what, ev->remedy, use_kind_name(ev->kind));
}

static int check(const struct host *host, struct use_scan *scan, const struct pci_addr *addr,
		 bool vfs_alone, unsigned int force, struct use_evidence *ret_ev, struct err *err)
{
	struct use_scan *own = scan ? NULL : use_scan_new(host);
	struct look look = { .force = force };
	int found = 0;

	scan = scan ? scan : own;
	if (!scan)
		return err_sys(err, -ENOMEM, "cannot look who uses a function");
	if (!vfs_alone)
		found = check_one(host, scan, addr, &look, err);
	if (!found)
		found = check_vfs(host, scan, addr, &look, err);
	found = report(addr, found, &look, ret_ev, err);
	use_scan_free(own);
	return found;
}

int use_check(const struct host *host, struct use_scan *scan, const struct pci_addr *addr,
	      unsigned int force, struct use_evidence *ret_ev, struct err *err)
{
	return check(host, scan, addr, false, force, ret_ev, err);
}

int use_check_vfs(const struct host *host, struct use_scan *scan, const struct pci_addr *pf,
		  unsigned int force, struct use_evidence *ret_ev, struct err *err)
{
	return check(host, scan, pf, true, force, ret_ev, err);
}
