// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who uses a function through VFIO, what its IOMMU group has to do with it, its lease, and the
 * console.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "lease.h"
#include "use_look.h"
#include "use_scan.h"

/* @is_free: processes that cannot be looked into do not have it open. */
static int look_opener(struct use_look *look, const char *name, const char *shown,
		       unsigned int mask, bool is_free)
{
	char comm[32];
	int ret = use_scan_opens(look->scan);
	pid_t pid;

	if (ret == -ENOMEM)
		return ret;
	if (ret) {
		if (!is_free)
			use_unknown(look, ret, "what processes have open cannot be read");
		return 0;
	}
	pid = use_scan_opener(look->scan, name);
	if (pid) {
		use_scan_comm(look->host, pid, comm, sizeof(comm));
		use_proof(look, mask, "stop that process", "%s is open in %s (pid %d)", shown,
			  comm, (int)pid);
	} else if (look->scan->opens_part.hidden && !is_free) {
		use_unknown(look, -EACCES, "what %u processes have open cannot be read",
			    look->scan->opens_part.hidden);
	}
	return 0;
}

int use_look_opener(struct use_look *look, const char *name, const char *shown, unsigned int mask)
{
	return look_opener(look, name, shown, mask, false);
}

/* /dev/vfio/N, and noiommu-N of a host without IOMMU. The kernel lets a group be open once only, so
 * one that can be opened is nobody's, and one that is busy is somebody's, be it not seen whose. */
static int look_node(struct use_look *look, const char *node, const char *shown, unsigned int mask)
{
	char path[HOST_PATH_MAX];
	int ret, busy;

	if (host_path(path, look->host->dev_root, "%s", node))
		return 0;
	busy = look->host->ops->node_try(look->host, path, 0);
	if (busy == -ENOENT || busy == -ENODEV)
		return 0;
	if (busy && busy != -EBUSY)
		use_unknown(look, busy, "whether somebody uses its %s cannot be found out", shown);
	ret = look_opener(look, node, shown, mask, true);
	if (!ret && busy == -EBUSY && !use_scan_opener(look->scan, node))
		use_proof(look, mask, "stop what uses it", "%s is open in another process", shown);
	return ret;
}

/* Other functions of the group that are open by nodes of their own. */
static int look_companion(struct use_look *look, const struct group_member *m, int group)
{
	const struct use_scan *scan = look->scan;
	char needle[PCI_ADDR_STRLEN + 2], shown[64];
	size_t i;
	int ret = use_scan_nodes(look->scan);

	if (ret == -ENOMEM)
		return ret;
	if (ret)
		use_unknown(look, ret, "the device nodes of its group cannot be read");
	snprintf(needle, sizeof(needle), "/%.12s/", m->name);
	snprintf(shown, sizeof(shown), "%.12s of its group %d", m->name, group);
	for (i = 0, ret = 0; i < scan->node_count && !ret; i++) {
		if (!scan->nodes[i].block && !strncmp(scan->nodes[i].name, "vfio/devices/", 13) &&
		    strstr(scan->nodes[i].link, needle))
			ret = use_look_opener(look, scan->nodes[i].name, shown, USE_GROUP);
	}
	return ret;
}

static int look_companions(struct use_look *look, int group)
{
	struct group_member *members = NULL;
	size_t count = 0, i;
	int ret;

	ret = group_members(look->host, group, &members, &count, NULL);
	if (ret == -ENOMEM)
		return ret;
	for (i = 0; i < count && !ret; i++) {
		if (members[i].is_pci && !pci_addr_eq(&members[i].addr, &look->addr) &&
		    func_driver_is_vfio(members[i].driver))
			ret = look_companion(look, &members[i], group);
	}
	free(members);
	return ret == -ENOMEM ? ret : 0;
}

int use_look_group(struct use_look *look, const struct func_info *info)
{
	/* What has no VFIO driver cannot be what the group was opened for. */
	unsigned int mask = func_driver_is_vfio(info->driver) ? USE_VFIO : USE_GROUP;
	char node[40], shown[32];
	int ret;

	if (info->group < 0)
		return 0;
	snprintf(shown, sizeof(shown), "group %d", info->group);
	snprintf(node, sizeof(node), "vfio/%d", info->group);
	ret = look_node(look, node, shown, mask);
	snprintf(node, sizeof(node), "vfio/noiommu-%d", info->group);
	ret = ret ? ret : look_node(look, node, shown, mask);
	return ret ? ret : look_companions(look, info->group);
}

/* --- leases ---------------------------------------------------------------------------------- */

void use_look_lease(struct use_look *look)
{
	char text[LEASE_TEXT_MAX], remedy[64];
	struct lease lease;
	int ret = lease_find(look->host, &look->addr, &lease);

	if (ret < 0) {
		use_unknown(look, ret, "whether it is leased cannot be found out");
	} else if (ret) {
		snprintf(remedy, sizeof(remedy), "run: vfctl release %s", look->a);
		use_proof(look, USE_LEASE, remedy, "it is %s", lease_text(&lease, text));
	}
}

/* --- binding a part of a group --------------------------------------------------------------- */

static bool is_one_of(const struct pci_addr *addr, const struct pci_addr *addrs, size_t count)
{
	size_t i;

	for (i = 0; i < count && !pci_addr_eq(&addrs[i], addr); i++)
		;
	return i < count;
}

/* Is @m a companion that stays behind, on a driver that keeps the group from a guest? vfio-pci
 * takes no bridge, and to unbind one that is in the way takes nothing from the host. */
static bool stays(const struct group_member *m, const struct pci_addr *addrs, size_t count)
{
	return m->blocks && m->is_pci && !m->is_bridge && !is_one_of(&m->addr, addrs, count);
}

static int refuse(const struct pci_addr *addr, const struct pci_addr *addrs, size_t count,
		  const struct group_member *members, size_t member_count, int group,
		  const char *driver, struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	const char *comma = "";
	size_t i;

	err_set(err, -EBUSY, "%s: in its group %d ", pci_addr_str(addr, a), group);
	for (i = 0; i < member_count; i++) {
		if (!stays(&members[i], addrs, count))
			continue;
		err_append(err, "%s%s is bound to %s", comma, members[i].name, members[i].driver);
		comma = ", ";
	}
	err_append(err, ", so no guest could have it; run: vfctl bind");
	for (i = 0; i < member_count; i++) {
		if (members[i].is_pci && (stays(&members[i], addrs, count) ||
					  is_one_of(&members[i].addr, addrs, count)))
			err_append(err, " %s", members[i].name);
	}
	err_append(err, " %s, or use --force=%s", driver, use_kind_name(USE_GROUP));
	return -EBUSY; /* whether or not somebody wants to hear why */
}

int use_check_companions(const struct host *host, const struct pci_addr *addr,
			 const struct pci_addr *addrs, size_t count, const char *driver,
			 struct err *err)
{
	struct group_member *members = NULL;
	int group = func_group(host, addr), ret;
	size_t member_count = 0, i;

	if (group < 0)
		return 0;
	ret = group_members(host, group, &members, &member_count, err);
	for (i = 0; i < member_count && !ret; i++) {
		if (members[i].is_bridge && is_one_of(addr, &members[i].addr, 1))
			break; /* VFIO's own answer is the better one */
		if (stays(&members[i], addrs, count))
			ret = refuse(addr, addrs, count, members, member_count, group, driver, err);
	}
	free(members);
	return ret;
}

/* --- the console ----------------------------------------------------------------------------- */

/* Is a virtual console bound whose driver's name has @what in it (fbcon.rst, "vtconsole")? */
static bool console_is(const struct host *host, const char *what)
{
	char name[64];
	long bound;
	int i;

	for (i = 0; i < 8; i++) {
		if (host_read(host, name, sizeof(name), "class/vtconsole/vtcon%d/name", i) < 0 ||
		    host_read_long(host, &bound, "class/vtconsole/vtcon%d/bind", i))
			return false;
		if (bound && strstr(name, what))
			return true;
	}
	return false;
}

/* The function that the device which a class link leads to hangs below. 0 or -ENOENT. */
static int function_of(const struct host *host, const char *link, struct pci_addr *ret)
{
	char path[HOST_PATH_MAX], target[HOST_PATH_MAX];
	ssize_t n;

	if (host_path(path, host->sysfs_root, "%s", link))
		return -ENOENT;
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -ENOENT;
	target[n] = '\0';
	return func_of_path(target, ret);
}

/* What the firmware's own frame buffer (efifb, simpledrm) shows, the card that the firmware started
 * shows, although that is no parent of it. */
static void look_display(struct use_look *look)
{
	static const char remedy[] = "write 0 to the bind file of its /sys/class/vtconsole";
	struct pci_addr owner;
	long boot = 0;

	if (host_read_long(look->host, &boot, "bus/pci/devices/%s/boot_vga", look->a))
		boot = 0;
	if (console_is(look->host, "frame buffer")) {
		if (host_has(look->host, "bus/pci/devices/%s/graphics/fb0", look->a) ||
		    (!function_of(look->host, "class/graphics/fb0", &owner) &&
		     pci_addr_eq(&owner, &look->addr)))
			use_proof(look, USE_CONSOLE, remedy,
				  "its frame buffer fb0 shows the console");
		else if (boot == 1 && host_has(look->host, "class/graphics/fb0") &&
			 function_of(look->host, "class/graphics/fb0", &owner))
			use_proof(look, USE_CONSOLE, remedy,
				  "the firmware's frame buffer fb0, which shows the console, is on it");
	} else if (boot == 1 && console_is(look->host, "VGA")) {
		use_proof(look, USE_CONSOLE, "let another card show it",
			  "the console is shown by its VGA");
	}
}

void use_look_console(struct use_look *look)
{
	char text[256], link[HOST_PATH_MAX], *name, *save = NULL;
	struct pci_addr owner;

	look_display(look);
	if (host_read(look->host, text, sizeof(text), "class/tty/console/active") <= 0)
		return;
	for (name = strtok_r(text, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
		if (!host_name_ok(name))
			continue;
		snprintf(link, sizeof(link), "class/tty/%s", name);
		if (!function_of(look->host, link, &owner) && pci_addr_eq(&owner, &look->addr))
			use_proof(look, USE_CONSOLE, "start the kernel with another console=",
				  "its serial port %s is a console of the kernel", name);
	}
}
