/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The desired state as a file says it: which functions, by what they are (select.h), and what each
 * of them and its VFs should be. docs: vfctl.yaml(5). The journal (journal.h) writes down what was
 * there in the same form, so that there is one reader for both.
 */
#ifndef VIADUCT_SRIOV_WANT_H
#define VIADUCT_SRIOV_WANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/opt.h"
#include "host.h"
#include "pci_addr.h"
#include "state.h"

struct err;

#define WANT_VERSION 1
#define WANT_DEVICES_MAX 1024
#define WANT_ID_MAX 128 /* lease.h's LEASE_ID_MAX */

/* What a function is told by; all that is given has to hold. */
enum match_key {
	MATCH_SLOT,    /* a name below bus/pci/slots */
	MATCH_SERIAL,  /* the card's serial number, or the NVMe controller's */
	MATCH_MAC,     /* its interface's own */
	MATCH_VENDOR,
	MATCH_DEVICE,
	MATCH_DRIVER,
	MATCH_ADDRESS,
	MATCH_COUNT
};

struct want_match {
	uint32_t has; /* BIT(MATCH_...) */
	char slot[HOST_NAME_MAX], serial[HOST_NAME_MAX], driver[HOST_NAME_MAX];
	struct mac_addr mac;
	uint32_t vendor, device;
	struct pci_addr addr;
};

/* What the file says of a VF, or of several. */
struct want_vf {
	unsigned int line;
	unsigned int first, last;
	char name[HOST_NAME_MAX]; /* "": none; a pool of this one alone */
	char pool[HOST_NAME_MAX]; /* "": in none */
	struct vf_state state;
};

struct want_device {
	unsigned int line;
	char name[HOST_NAME_MAX];  /* "": none */
	char pool[HOST_NAME_MAX];  /* of the function itself */
	char id[WANT_ID_MAX];	   /* journal: what the function was told by */
	struct want_match match;
	struct func_state state;   /* without VFs: those are made of what follows */
	struct want_vf defaults;
	struct want_vf *vfs;
	size_t vf_count;
};

struct want {
	char *file;
	char boot[40]; /* journal: the boot it belongs to */
	struct want_device *devices;
	size_t count;
};

enum want_form { WANT_FILE, WANT_JOURNAL };

/*
 * Reads the file at @path. Returns 0; -EINVAL or -ERANGE with "/etc/vfctl.yaml:12: vlan: ...", -ENOENT
 * and so on when it cannot be read. The caller ends with want_done().
 */
int want_read(struct want *ret, const char *path, struct err *err);

/* Reads @text, named @name in messages. */
int want_parse(struct want *ret, const char *name, const char *text, size_t len,
	       enum want_form form, struct err *err);

void want_done(struct want *want);

/* What it says of VF @index: the defaults, and over them what stands at the VF itself. @ret_name and
 * @ret_pool ("": none) may be NULL. */
void want_vf(const struct want_device *dev, unsigned int index, struct vf_state *ret,
	     const char **ret_name, const char **ret_pool);

/*
 * What the function at @addr should be when it has @now VFs: as many VFs as asked for, or @now where
 * the file leaves that open. Returns 0; -EINVAL when the file names a VF beyond those; -ENOMEM.
 */
int want_state(const struct want *want, const struct want_device *dev, const struct pci_addr *addr,
	       unsigned int now, struct func_state *ret, struct err *err);

/* "uplink", or the address when it has no name. Returns @buf. */
const char *want_label(const struct want_device *dev, const struct pci_addr *addr,
		       char buf[HOST_NAME_MAX]);

#endif
