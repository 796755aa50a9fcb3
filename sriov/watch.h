/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens to the host's functions, as a sequence of events: of the kernel's announcements
 * (uevents) those that concern a PCI function, put into words with what was known before. The
 * announcements are the caller's to hear; when some were lost, or none can be heard, watch_look() finds
 * out by itself what is new. No attribute is read that a driver holds while it makes VFs, so that who
 * watches never waits for one.
 *
 * Source: Linux drivers/base/core.c and dd.c (bind and unbind), drivers/pci/iov.c (a VF is announced,
 * then linked to its PF, then announced as changed).
 */
#ifndef VIADUCT_SRIOV_WATCH_H
#define VIADUCT_SRIOV_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "host.h"
#include "pci_addr.h"

struct err;

enum watch_what {
	WATCH_ADDED,
	WATCH_REMOVED,
	WATCH_BOUND,	     /* name: the driver */
	WATCH_UNBOUND,	     /* name: the driver it had */
	WATCH_VFS,	     /* of a PF: before, after */
	WATCH_NET_ADDED,     /* name: the interface */
	WATCH_NET_REMOVED,
	WATCH_NET_RENAMED,   /* name: the new name, from: the old one */
	WATCH_NODE_ADDED,    /* name: VFIO's node below /dev; of a group, which is no function */
	WATCH_NODE_REMOVED,
};

struct watch_event {
	enum watch_what what;
	bool has_addr; /* it is about the function @addr */
	struct pci_addr addr;
	bool is_vf;    /* a VF of @pf, as far as is known yet */
	struct pci_addr pf;
	char name[HOST_NAME_MAX], from[HOST_NAME_MAX];
	unsigned int before, after;
};

/* What the kernel announced; strings may be NULL. */
struct watch_raw {
	const char *action;    /* "add", "remove", "bind", "unbind", "change", "move" */
	const char *subsystem; /* "pci", "net", "vfio", "vfio-dev" */
	const char *path;      /* "/devices/pci0000:00/0000:00:10.0/0000:01:00.0" */
	const char *old_path;  /* of a move */
	const char *driver;    /* of a bind */
	const char *node;      /* "/dev/vfio/20"; NULL: it has none */
};

struct watch;

typedef void (*watch_tell)(void *opaque, const struct watch_event *event);

/* Notes what there is, and tells @tell from now on. Returns 0, -ENODEV without a PCI bus, or -errno. */
int watch_new(const struct host *host, watch_tell tell, void *opaque, struct watch **ret,
	      struct err *err);
void watch_free(struct watch *w);

/* How many functions there are. */
size_t watch_count(const struct watch *w);

/* Takes one announcement. Returns 0, or -ENOMEM. */
int watch_take(struct watch *w, const struct watch_raw *raw);

/* Compares with what there is now. Returns as watch_new(). */
int watch_look(struct watch *w, struct err *err);

/* Tells which PFs have another number of VFs than was told last: when a while passed without
 * announcements, so that seven new VFs are one event. */
void watch_settle(struct watch *w);

/* "added", "vfs", "interface-renamed" ... */
const char *watch_name(enum watch_what what);

#endif
