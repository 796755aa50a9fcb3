// SPDX-License-Identifier: GPL-2.0-or-later
/* What the doctor looks at of functions and their place: groups, VFs, BARs, resets, NUMA nodes. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "doctor_priv.h"
#include "func.h"
#include "func_config.h"
#include "func_explain.h"

#define DEV "bus/pci/devices/%s/"
#define CONFIG_MAX 4096
#define GROUPS_SHOWN 3
#define CPUS_MAX 256 /* of a list like "0-15,32-47" */

/* Lines of sysfs' "resource" (pci_resource_to_user()): six BARs, the ROM, six BARs of all VFs. */
#define RESOURCE_ROM 6
#define RESOURCE_IOV 7
#define RESOURCE_IOV_END 13
/* linux/ioport.h */
#define IORESOURCE_IO 0x00000100ull
#define IORESOURCE_MEM 0x00000200ull
#define IORESOURCE_UNSET 0x20000000ull

/* --- groups ----------------------------------------------------------------------------------- */

static int int_cmp(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* "group 15: 0000:05:00.0 leads to a conventional PCI bus" */
static size_t group_why(const struct doctor *d, int group, char *buf, size_t size)
{
	struct group_explain *ex;
	char brief[160];
	int n;

	if (!size || group_explain(d->host, group, &ex, NULL))
		return 0;
	group_explain_brief(ex, brief, sizeof(brief));
	n = snprintf(buf, size, "group %d%s%s", group, *brief ? " because " : "", brief);
	group_explain_free(ex);
	return n < 0 ? 0 : MIN((size_t)n, size - 1);
}

static void group_of_one(const struct doctor *d, struct doctor_finding *f)
{
	const struct inventory_func *func = &d->inv->funcs[0];
	struct group_member *members = NULL;
	char why[192], a[PCI_ADDR_STRLEN];
	size_t i, count = 0, others = 0;

	if (func->group < 0 || group_members(d->host, func->group, &members, &count, NULL)) {
		doctor_say(f, DOCTOR_UNKNOWN, "it is in no IOMMU group");
		return;
	}
	for (i = 0; i < count; i++) {
		if (!members[i].is_pci || pci_addr_eq(&members[i].addr, &func->addr))
			continue;
		others += members[i].blocks;
		doctor_add(f, &members[i].addr);
	}
	free(members);
	why[group_why(d, func->group, why, sizeof(why))] = '\0';
	if (!f->addr_count)
		doctor_say(f, DOCTOR_OK, "it is alone in group %d", func->group);
	else
		doctor_say(f, others ? DOCTOR_WARN : DOCTOR_OK, "it shares %s: %zu of %zu others have a "
			   "driver of the host", why, others, f->addr_count);
	if (others)
		doctor_remedy(f, "see: vfctl explain %s", pci_addr_str(&func->addr, a));
}

/* Groups, sorted, that more than one endpoint is in; the first of each in @f. Returns how many. */
static size_t shared_groups(const struct doctor *d, struct doctor_finding *f, int *groups)
{
	const struct inventory *inv = d->inv;
	size_t i, n = 0, shared = 0;

	for (i = 0; i < inv->func_count; i++) {
		if (doctor_is_endpoint(&inv->funcs[i]) && inv->funcs[i].group >= 0)
			groups[n++] = inv->funcs[i].group;
	}
	if (n)
		qsort(groups, n, sizeof(*groups), int_cmp);
	for (i = 1; i < n; i++) {
		if (groups[i] == groups[i - 1] && (!shared || groups[shared - 1] != groups[i]))
			groups[shared++] = groups[i];
	}
	for (i = 0; i < inv->func_count; i++) {
		const struct inventory_func *func = &inv->funcs[i];

		if (shared && doctor_is_endpoint(func) &&
		    bsearch(&func->group, groups, shared, sizeof(*groups), int_cmp))
			doctor_add(f, &func->addr);
	}
	return shared;
}

static void groups_of_all(const struct doctor *d, struct doctor_finding *f, int *groups)
{
	char text[DOCTOR_TEXT_MAX / 2] = "", a[PCI_ADDR_STRLEN];
	size_t i, shared = shared_groups(d, f, groups), len = 0;

	if (!shared) {
		doctor_say(f, DOCTOR_OK, "each function has its own");
		return;
	}
	for (i = 0; i < MIN(shared, GROUPS_SHOWN) && len < sizeof(text) - 4; i++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", i ? "; " : "");
		len += group_why(d, groups[i], text + len, sizeof(text) - len);
	}
	doctor_say(f, DOCTOR_WARN, "%zu group%s of several functions, which go to a guest together or not "
		   "at all: %s%s", shared, shared == 1 ? "" : "s", text,
		   shared > GROUPS_SHOWN ? " ..." : "");
	doctor_remedy(f, "see: vfctl explain %s", f->addr_count ? pci_addr_str(&f->addrs[0], a) :
		      "FUNCTION");
}

void doctor_groups(const struct doctor *d, struct doctor_finding *f)
{
	int *groups;

	if (d->groups <= 0) {
		doctor_say(f, DOCTOR_UNKNOWN, "without an IOMMU there are none");
		return;
	}
	if (d->one) {
		group_of_one(d, f);
		return;
	}
	groups = calloc(d->inv->func_count + 1, sizeof(*groups));
	if (groups)
		groups_of_all(d, f, groups);
	else
		doctor_say(f, DOCTOR_UNKNOWN, "out of memory");
	free(groups);
}

/* --- SR-IOV ----------------------------------------------------------------------------------- */

void doctor_sriov(const struct doctor *d, struct doctor_finding *f)
{
	uint8_t config[CONFIG_MAX];
	size_t i, len, at, pfs = 0, seen = 0;
	char list[160];

	for (i = 0; i < d->inv->func_count; i++) {
		const struct inventory_func *func = &d->inv->funcs[i];

		pfs += func->is_pf && func->total_vfs;
		if (func->is_vf || (func->is_pf && func->total_vfs) || !doctor_is_endpoint(func))
			continue;
		len = func_config_read(d->host, &func->addr, config, sizeof(config));
		seen += len >= PCI_CFG_SPACE_SIZE;
		at = func_config_ext_cap(config, len, PCI_EXT_CAP_ID_SRIOV);
		if (at)
			doctor_add(f, &func->addr);
	}
	if (f->addr_count) {
		doctor_say(f, DOCTOR_WARN, "%s: the card has SR-IOV, and the kernel offers no VFs: it is "
			   "off in the card's or the host's firmware",
			   doctor_names(f, list, sizeof(list)));
		doctor_remedy(f, "turn SR-IOV on in the firmware's settings and in those of the card "
			      "(its vendor's tool), and restart the host");
	} else if (pfs) {
		doctor_say(f, DOCTOR_OK, pfs == 1 ? "%zu function can have VFs" :
			   "%zu functions can have VFs", pfs);
	} else if (d->one && d->inv->funcs[0].is_vf) {
		doctor_say(f, DOCTOR_OK, "it is a VF");
	} else {
		doctor_say(f, seen ? DOCTOR_OK : DOCTOR_UNKNOWN, seen ? "no card here has SR-IOV" :
			   "no card offers VFs; whether one could, only root sees");
	}
}

void doctor_ari(const struct doctor *d, struct doctor_finding *f)
{
	char list[160], a[PCI_ADDR_STRLEN];
	size_t i, needed = 0;
	long on;

	for (i = 0; i < d->inv->func_count; i++) {
		const struct inventory_func *func = &d->inv->funcs[i];

		/* Without ARI a device has eight functions, the PF among them; VFs beyond need
		 * further bus numbers (PCIe 4.0, 6.13 and 9.2.1.2). */
		if (!func->is_pf || func->total_vfs < 8)
			continue;
		needed++;
		if (!host_read_long(d->host, &on, DEV "ari_enabled", pci_addr_str(&func->addr, a)) &&
		    !on)
			doctor_add(f, &func->addr);
	}
	if (!f->addr_count) {
		doctor_say(f, DOCTOR_OK, needed ? "ports forward to all VFs" :
			   "no function here has as many VFs as to need it");
		return;
	}
	doctor_say(f, DOCTOR_WARN, "the port above %s does not forward ARI: from the eighth function on, "
		   "VFs need bus numbers, which may be missing (ENOMEM)",
		   doctor_names(f, list, sizeof(list)));
	doctor_remedy(f, "turn ARI on in the firmware's settings, use another slot, or start the kernel "
		      "with pci=assign-busses");
}

/* --- BARs ------------------------------------------------------------------------------------- */

enum bars { BARS_WELL, BARS_IO, BARS_OWN, BARS_VFS };

/* What has no address; the worst of it. */
static enum bars bars_read(const struct host *host, const struct pci_addr *addr)
{
	char text[2048], a[PCI_ADDR_STRLEN], *line, *at, *save = NULL;
	uint64_t start, end, flags;
	enum bars worst = BARS_WELL, what;
	int i = 0;

	if (host_read(host, text, sizeof(text), DEV "resource", pci_addr_str(addr, a)) <= 0)
		return BARS_WELL;
	for (line = strtok_r(text, "\n", &save); line && i < RESOURCE_IOV_END;
	     line = strtok_r(NULL, "\n", &save), i++) {
		start = strtoull(line, &at, 16);
		end = strtoull(at, &at, 16);
		flags = strtoull(at, &at, 16);
		if (i == RESOURCE_ROM || !(flags & (IORESOURCE_MEM | IORESOURCE_IO)) ||
		    !(flags & IORESOURCE_UNSET || (!start && end)))
			continue;
		what = i >= RESOURCE_IOV ? BARS_VFS : flags & IORESOURCE_MEM ? BARS_OWN : BARS_IO;
		worst = MAX(worst, what);
	}
	return worst;
}

void doctor_bars(const struct doctor *d, struct doctor_finding *f)
{
	enum bars worst = BARS_WELL, what;
	char list[160];
	size_t i;

	for (i = 0; i < d->inv->func_count; i++) {
		const struct inventory_func *func = &d->inv->funcs[i];

		/* A VF's are part of its PF's. */
		if (func->is_vf || !doctor_is_endpoint(func))
			continue;
		what = bars_read(d->host, &func->addr);
		worst = MAX(worst, what);
		if (what)
			doctor_add(f, &func->addr);
	}
	doctor_names(f, list, sizeof(list));
	switch (worst) {
	case BARS_WELL:
		doctor_say(f, DOCTOR_OK, "all have their addresses");
		return;
	case BARS_IO:
		doctor_say(f, DOCTOR_WARN, "no room for I/O BARs of %s; most drivers do without", list);
		return;
	case BARS_OWN:
		doctor_say(f, DOCTOR_FAIL, "no room for memory BARs of %s: no driver can use it", list);
		break;
	case BARS_VFS:
		doctor_say(f, DOCTOR_FAIL, "no room for the BARs of VFs of %s: VFs cannot be made (ENOMEM)",
			   list);
		break;
	}
	doctor_remedy(f, "turn on \"Above 4G Decoding\" and SR-IOV in the firmware's settings; or start "
		      "the kernel with pci=realloc");
}

/* --- resets ----------------------------------------------------------------------------------- */

static bool can_reset(const struct host *host, const struct pci_addr *addr)
{
	char methods[128], a[PCI_ADDR_STRLEN];
	ssize_t n = host_read(host, methods, sizeof(methods), DEV "reset_method",
			      pci_addr_str(addr, a));

	/* Before Linux 5.15 a file to reset it with was all that told. */
	return n > 0 || (n == -ENOENT && host_has(host, DEV "reset", a));
}

void doctor_resets(const struct doctor *d, struct doctor_finding *f)
{
	char list[160];
	size_t i;

	for (i = 0; i < d->inv->func_count; i++) {
		const struct inventory_func *func = &d->inv->funcs[i];

		if (doctor_is_endpoint(func) && !can_reset(d->host, &func->addr))
			doctor_add(f, &func->addr);
	}
	if (!f->addr_count) {
		doctor_say(f, DOCTOR_OK, d->one ? "it can be reset" : "all functions can be reset");
		return;
	}
	doctor_say(f, DOCTOR_WARN, "no way to reset %s alone: what one guest leaves in it the next one finds",
		   doctor_names(f, list, sizeof(list)));
	doctor_remedy(f, "hand over all functions of its card or bus together (all-functions), so that "
		      "the bus is reset");
}

/* --- NUMA nodes ------------------------------------------------------------------------------- */

/* The processors of a node, "" when it has none or is not there. */
static const char *node_cpus(const struct host *host, long node, char buf[CPUS_MAX])
{
	char text[CPUS_MAX];

	if (host_read(host, text, sizeof(text), "devices/system/node/node%ld/cpulist", node) <= 0)
		text[0] = '\0';
	host_printable(text, buf, CPUS_MAX);
	return buf;
}

static void numa_of_one(const struct doctor *d, struct doctor_finding *f, long node)
{
	char cpus[CPUS_MAX];

	node_cpus(d->host, node, cpus);
	if (*cpus) {
		doctor_say(f, DOCTOR_OK, "it is on node %ld, with the processors %s: let its guest run "
			   "there (--cpus N,pin=%s --memory SIZE,node=%ld)", node, cpus, cpus, node);
		return;
	}
	doctor_say(f, DOCTOR_WARN, "it is on node %ld, which has no processors: all of its memory "
		   "accesses go between nodes", node);
	doctor_remedy(f, "use a slot of a node with processors");
}

void doctor_numa(const struct doctor *d, struct doctor_finding *f)
{
	char online[64] = "", a[PCI_ADDR_STRLEN], list[160], cpus[CPUS_MAX];
	size_t i, lost = 0;
	long node;

	(void)host_read(d->host, online, sizeof(online), "devices/system/node/online");
	if (!*online || !strpbrk(online, "-,")) {
		doctor_say(f, DOCTOR_OK, "this host has one node");
		return;
	}
	for (i = 0; i < d->inv->func_count; i++) {
		const struct inventory_func *func = &d->inv->funcs[i];
		bool known = !host_read_long(d->host, &node, DEV "numa_node",
					     pci_addr_str(&func->addr, a)) && node >= 0;

		if (d->one && known) {
			numa_of_one(d, f, node);
			return;
		}
		if (!doctor_is_endpoint(func) || func->is_vf)
			continue;
		if (!known || !*node_cpus(d->host, node, cpus))
			doctor_add(f, &func->addr);
		lost += !known;
	}
	if (!f->addr_count) {
		doctor_say(f, DOCTOR_OK, "each function's node is known; see vfctl doctor FUNCTION");
		return;
	}
	doctor_say(f, DOCTOR_WARN, "%s: %s", doctor_names(f, list, sizeof(list)), lost ?
		   "the firmware does not say which node it is near to" :
		   "its node has no processors");
	doctor_remedy(f, lost ? "a newer firmware may say it; without, measure which processors are near"
			      : "use a slot of a node with processors");
}
