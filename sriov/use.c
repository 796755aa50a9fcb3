// SPDX-License-Identifier: GPL-2.0-or-later
#include "use.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"
#include "use_look.h"
#include "use_scan.h"

/* What of a message the proofs may take; the rest is for the kinds and what callers append. */
#define PROOFS_MAX (ERR_MSG_MAX - USE_KINDS_TEXT_MAX - 144)

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

const char *use_kinds_text(unsigned int mask, char buf[USE_KINDS_TEXT_MAX])
{
	size_t i, at = 0;

	buf[0] = '\0';
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (mask & kinds[i].kind)
			at += (size_t)snprintf(buf + at, USE_KINDS_TEXT_MAX - at, "%s%s",
					       at ? "," : "", kinds[i].name);
	}
	return buf;
}

/* The same said twice proves no more; what cannot be read concerns no single VF. */
static bool is_known(const struct use_found *found, const struct use_evidence *ev)
{
	size_t i;

	for (i = 0; i < found->count; i++) {
		if (!strcmp(found->ev[i].what, ev->what) &&
		    (ev->kinds == USE_UNKNOWN || pci_addr_eq(&found->ev[i].addr, &ev->addr)))
			return true;
	}
	return false;
}

static void proof_v(struct use_look *look, struct use_evidence *ev, unsigned int mask,
		    const char *remedy)
{
	struct use_found *found = look->found;

	ev->addr = look->addr;
	ev->kinds = mask & ~look->force;
	snprintf(ev->remedy, sizeof(ev->remedy), "%s", remedy);
	if (!ev->kinds || is_known(found, ev))
		return;
	found->kinds |= ev->kinds;
	if (found->count < USE_FOUND_MAX)
		found->ev[found->count++] = *ev;
	else
		found->left_out++;
}

void use_proof(struct use_look *look, unsigned int mask, const char *remedy, const char *fmt, ...)
{
	struct use_evidence ev;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(ev.what, sizeof(ev.what), fmt, ap);
	va_end(ap);
	proof_v(look, &ev, mask, remedy);
}

void use_unknown(struct use_look *look, int code, const char *fmt, ...)
{
	bool refused = code == -EACCES || code == -EPERM;
	struct use_evidence ev;
	char what[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(ev.what, sizeof(ev.what), "%s: %s", what, strerror(-code));
	proof_v(look, &ev, USE_UNKNOWN,
		refused && geteuid() ? "ask as root" : "make that readable");
}

static void look_vfs_own(struct use_look *look, const struct func_info *info)
{
	char remedy[64];

	if (!info->num_vfs || !*info->driver)
		return;
	snprintf(remedy, sizeof(remedy), "run: vfctl destroy %s", look->a);
	use_proof(look, USE_VFS, remedy, "its %u VF%s would vanish with its driver %s",
		  info->num_vfs, info->num_vfs == 1 ? "" : "s", info->driver);
}

static int look_one(struct use_look *look, const struct pci_addr *addr, struct err *err)
{
	struct func_info info;
	int ret;

	look->addr = *addr;
	pci_addr_str(addr, look->a);
	ret = func_read(look->host, addr, &info, err);
	if (ret)
		return ret;
	ret = use_look_net(look, &info);
	if (!ret)
		ret = use_look_group(look, &info);
	if (!ret && *info.driver)
		ret = use_look_nodes(look);
	look_vfs_own(look, &info);
	use_look_lease(look);
	use_look_console(look);
	return ret ? err_sys(err, ret, "%s: cannot look who uses it", look->a) : 0;
}

static int look_vfs(struct use_look *look, const struct pci_addr *pf, struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	struct pci_addr vf;
	long i, count = 0;
	int ret;

	pci_addr_str(pf, a);
	ret = host_read_long(look->host, &count, "bus/pci/devices/%s/sriov_numvfs", a);
	if (ret) {
		look->addr = *pf;
		if (ret != -ENOENT)
			use_unknown(look, ret, "the number of its VFs cannot be read");
		return 0;
	}
	for (i = 0; i < count && i <= UINT16_MAX && !ret; i++) {
		if (func_vf_addr(look->host, pf, (unsigned int)i, &vf))
			continue;
		ret = look_one(look, &vf, err);
		ret = ret == -ENODEV ? 0 : ret; /* gone: nobody uses it */
	}
	return ret;
}

/* "0000:01:00.0: PROOF; REMEDY or use --force=KIND", or all of them in one line. */
static int report(const struct pci_addr *addr, const struct use_found *found, struct err *err)
{
	char a[PCI_ADDR_STRLEN], vf[PCI_ADDR_STRLEN], force[USE_KINDS_TEXT_MAX], one[640];
	bool alone = found->count == 1 && !found->left_out;
	size_t i, len, at = 0, more = found->left_out;

	err_set(err, -EBUSY, "%s: ", pci_addr_str(addr, a));
	for (i = 0; i < found->count; i++) {
		const struct use_evidence *ev = &found->ev[i];
		bool of_vf = !pci_addr_eq(addr, &ev->addr);

		snprintf(one, sizeof(one), "%s%s%s%s%s%s%s; ", of_vf ? "its VF " : "",
			 of_vf ? pci_addr_str(&ev->addr, vf) : "", of_vf ? " is in use: " : "",
			 ev->what, alone ? "; " : " (", ev->remedy, alone ? "" : ")");
		len = strlen(one) - (alone ? 2 : 0);
		if (at + len > PROOFS_MAX) {
			more++;
			continue;
		}
		at += len;
		err_append(err, "%.*s", (int)len, one);
	}
	if (more)
		err_append(err, "%zu more; ", more);
	err_append(err, "%sor use --force=%s", alone ? " " : "",
		   use_kinds_text(found->kinds, force));
	return -EBUSY;
}

static int check(const struct host *host, struct use_scan *scan, const struct pci_addr *addr,
		 bool vfs_alone, unsigned int force, struct use_found *ret_found, struct err *err)
{
	struct use_scan *own = scan ? NULL : use_scan_new(host);
	struct use_found *found = calloc(1, sizeof(*found));
	struct use_look look = { .host = host, .scan = scan ? scan : own, .force = force,
				 .found = found };
	int ret = 0;

	if (!look.scan || !found) {
		free(found);
		use_scan_free(own);
		return err_sys(err, -ENOMEM, "cannot look who uses a function");
	}
	if (!vfs_alone)
		ret = look_one(&look, addr, err);
	if (!ret)
		ret = look_vfs(&look, addr, err);
	if (!ret && found->count)
		ret = report(addr, found, err);
	if (ret_found)
		*ret_found = *found;
	free(found);
	use_scan_free(own);
	return ret;
}

int use_check(const struct host *host, struct use_scan *scan, const struct pci_addr *addr,
	      unsigned int force, struct use_found *ret_found, struct err *err)
{
	return check(host, scan, addr, false, force, ret_found, err);
}

int use_check_vfs(const struct host *host, struct use_scan *scan, const struct pci_addr *pf,
		  unsigned int force, struct use_found *ret_found, struct err *err)
{
	return check(host, scan, pf, true, force, ret_found, err);
}
