// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"

struct known {
	struct pci_addr addr;
	char driver[HOST_NAME_MAX]; /* "": none */
	bool is_vf;
	struct pci_addr pf;
	unsigned int vfs, told; /* of a PF: how many are known, and were last told */
	bool seen;		/* by the look under way */
};

struct watch {
	const struct host *host;
	watch_tell tell;
	void *opaque;
	struct known *funcs; /* sorted by address */
	size_t count, room;
};

const char *watch_name(enum watch_what what)
{
	static const char *const names[] = {
		[WATCH_ADDED] = "added",
		[WATCH_REMOVED] = "removed",
		[WATCH_BOUND] = "bound",
		[WATCH_UNBOUND] = "unbound",
		[WATCH_VFS] = "vfs",
		[WATCH_NET_ADDED] = "interface-added",
		[WATCH_NET_REMOVED] = "interface-removed",
		[WATCH_NET_RENAMED] = "interface-renamed",
		[WATCH_NODE_ADDED] = "node-added",
		[WATCH_NODE_REMOVED] = "node-removed",
	};

	return names[what];
}

/* Where @addr is, or would be. */
static size_t place_of(const struct watch *w, const struct pci_addr *addr)
{
	size_t low = 0, high = w->count, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (pci_addr_cmp(&w->funcs[mid].addr, addr) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct known *find(const struct watch *w, const struct pci_addr *addr)
{
	size_t at = place_of(w, addr);

	return at < w->count && pci_addr_eq(&w->funcs[at].addr, addr) ? &w->funcs[at] : NULL;
}

static struct known *insert(struct watch *w, const struct pci_addr *addr)
{
	size_t at = place_of(w, addr), room = w->room ? w->room * 2 : 64;
	struct known *grown;

	if (w->count == w->room) {
		grown = reallocarray(w->funcs, room, sizeof(*grown));
		if (!grown)
			return NULL;
		w->funcs = grown;
		w->room = room;
	}
	memmove(&w->funcs[at + 1], &w->funcs[at], (w->count - at) * sizeof(*w->funcs));
	w->count++;
	memset(&w->funcs[at], 0, sizeof(w->funcs[at]));
	w->funcs[at].addr = *addr;
	return &w->funcs[at];
}

static void tell(struct watch *w, enum watch_what what, const struct known *k, const char *name)
{
	struct watch_event e = { .what = what, .has_addr = true, .addr = k->addr, .is_vf = k->is_vf,
				 .pf = k->pf, .before = k->told, .after = k->vfs };

	snprintf(e.name, sizeof(e.name), "%s", name);
	w->tell(w->opaque, &e);
}

/* A new VF's link to its PF comes after its announcement. */
static void find_pf(struct watch *w, struct known *k)
{
	struct known *pf;

	if (k->is_vf || func_pf_addr(w->host, &k->addr, &k->pf))
		return;
	k->is_vf = true;
	pf = find(w, &k->pf);
	if (pf)
		pf->vfs++;
}

static void rebind(struct watch *w, struct known *k, const char *driver)
{
	char old[HOST_NAME_MAX];

	if (!strcmp(k->driver, driver))
		return;
	memcpy(old, k->driver, sizeof(old));
	snprintf(k->driver, sizeof(k->driver), "%s", driver);
	if (*old)
		tell(w, WATCH_UNBOUND, k, old);
	if (*k->driver)
		tell(w, WATCH_BOUND, k, k->driver);
}

static void forget(struct watch *w, struct known *k)
{
	struct known *pf = k->is_vf ? find(w, &k->pf) : NULL;
	struct known gone;

	rebind(w, k, "");
	if (pf && pf->vfs)
		pf->vfs--;
	gone = *k;
	memmove(k, k + 1, (size_t)(w->funcs + w->count - (k + 1)) * sizeof(*k));
	w->count--;
	tell(w, WATCH_REMOVED, &gone, "");
}

/* Known after this; told when it is new. NULL without memory. */
static struct known *meet(struct watch *w, const struct pci_addr *addr)
{
	struct known *k = find(w, addr);

	if (k) {
		find_pf(w, k);
		return k;
	}
	k = insert(w, addr);
	if (!k)
		return NULL;
	find_pf(w, k);
	tell(w, WATCH_ADDED, k, "");
	return k;
}

/* --- announcements ---------------------------------------------------------------------------- */

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int take_pci(struct watch *w, const struct watch_raw *raw)
{
	struct pci_addr addr;
	struct known *k;

	if (pci_addr_parse(base_of(raw->path), &addr))
		return 0;
	if (!strcmp(raw->action, "remove")) {
		k = find(w, &addr);
		if (k)
			forget(w, k);
		return 0;
	}
	k = meet(w, &addr);
	if (!k)
		return -ENOMEM;
	if (!strcmp(raw->action, "bind") && raw->driver)
		rebind(w, k, raw->driver);
	else if (!strcmp(raw->action, "unbind"))
		rebind(w, k, "");
	return 0;
}

/* A row for each action of what hangs below a function. */
static void take_below(struct watch *w, const struct watch_raw *raw)
{
	static const struct {
		const char *subsystem, *action;
		enum watch_what what;
		bool node;
	} rows[] = {
		{ "net", "add", WATCH_NET_ADDED, false },
		{ "net", "remove", WATCH_NET_REMOVED, false },
		{ "net", "move", WATCH_NET_RENAMED, false },
		{ "vfio", "add", WATCH_NODE_ADDED, true },
		{ "vfio", "remove", WATCH_NODE_REMOVED, true },
		{ "vfio-dev", "add", WATCH_NODE_ADDED, true },
		{ "vfio-dev", "remove", WATCH_NODE_REMOVED, true },
	};
	const char *name = base_of(raw->path);
	struct watch_event e = { .has_addr = false };
	char path[HOST_PATH_MAX];
	struct known *k;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows) && (strcmp(rows[i].subsystem, raw->subsystem) != 0 ||
					     strcmp(rows[i].action, raw->action) != 0); i++)
		;
	if (i == ARRAY_SIZE(rows) || strlen(raw->path) >= sizeof(path))
		return;
	/* A kernel without nodes for functions announces them all the same, without one. */
	if (rows[i].node) {
		if (!raw->node || strncmp(raw->node, "/dev/", 5) != 0)
			return;
		name = raw->node + 5;
	}
	memcpy(path, raw->path, strlen(raw->path) + 1);
	e.what = rows[i].what;
	e.has_addr = !func_of_path(path, &e.addr);
	/* Interfaces without a function are not of interest; a group's node has none. */
	if (!e.has_addr && strcmp(raw->subsystem, "vfio") != 0)
		return;
	k = e.has_addr ? find(w, &e.addr) : NULL;
	if (k) {
		e.is_vf = k->is_vf;
		e.pf = k->pf;
	}
	snprintf(e.name, sizeof(e.name), "%s", name);
	if (e.what == WATCH_NET_RENAMED)
		snprintf(e.from, sizeof(e.from), "%s", raw->old_path ? base_of(raw->old_path) : "");
	w->tell(w->opaque, &e);
}

int watch_take(struct watch *w, const struct watch_raw *raw)
{
	if (!raw->action || !raw->subsystem || !raw->path)
		return 0;
	if (!strcmp(raw->subsystem, "pci"))
		return take_pci(w, raw);
	take_below(w, raw);
	return 0;
}

void watch_settle(struct watch *w)
{
	size_t i;

	for (i = 0; i < w->count; i++)
		find_pf(w, &w->funcs[i]);
	for (i = 0; i < w->count; i++) {
		struct known *k = &w->funcs[i];

		if (k->vfs != k->told)
			tell(w, WATCH_VFS, k, "");
		k->told = k->vfs;
	}
}

/* --- looking ---------------------------------------------------------------------------------- */

static int look_at(struct watch *w, const char *name)
{
	char driver[HOST_NAME_MAX];
	struct pci_addr addr;
	struct known *k;

	if (pci_addr_parse(name, &addr))
		return 0;
	k = meet(w, &addr);
	if (!k)
		return -ENOMEM;
	k->seen = true;
	func_driver(w->host, &addr, driver);
	rebind(w, k, driver);
	return 0;
}

int watch_look(struct watch *w, struct err *err)
{
	char path[HOST_PATH_MAX];
	struct dirent *e;
	DIR *dir = NULL;
	int ret = host_path(path, w->host->sysfs_root, "bus/pci/devices");
	size_t i;

	if (!ret)
		dir = opendir(path);
	if (!ret && !dir)
		return errno == ENOENT || errno == ENOTDIR ?
		       err_set(err, -ENODEV, "%s: there is no PCI bus; in a container, mount the host's "
			       "/sys and name it with --sysfs-root", path) :
		       err_sys(err, -errno, "%s", path);
	for (i = 0; i < w->count; i++)
		w->funcs[i].seen = false;
	while (!ret && (e = readdir(dir)))
		ret = look_at(w, e->d_name);
	if (dir)
		closedir(dir);
	if (ret)
		return err_sys(err, ret, "cannot watch the functions");
	for (i = w->count; i-- > 0;) {
		if (!w->funcs[i].seen)
			forget(w, &w->funcs[i]);
	}
	watch_settle(w);
	return 0;
}

static void tell_nobody(void *opaque, const struct watch_event *event)
{
	(void)opaque;
	(void)event;
}

int watch_new(const struct host *host, watch_tell tell_fn, void *opaque, struct watch **ret_watch,
	      struct err *err)
{
	struct watch *w = calloc(1, sizeof(*w));
	int ret;

	if (!w)
		return err_sys(err, -ENOMEM, "cannot watch the functions");
	w->host = host;
	w->tell = tell_nobody;
	ret = watch_look(w, err);
	if (ret) {
		watch_free(w);
		return ret;
	}
	w->tell = tell_fn;
	w->opaque = opaque;
	*ret_watch = w;
	return 0;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	free(w->funcs);
	free(w);
}

size_t watch_count(const struct watch *w)
{
	return w->count;
}
