/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Proof that a PCI function is in use, so that nothing takes the machine's own network card or
 * disk. Every proof is of one kind, and who overrides it names that kind: nothing overrides all that
 * may be found. What counts:
 *   network   an interface that is up and has an address (other than IPv6 link-local) or a route,
 *             is a port of a bridge or bond, carries another interface (VLAN, macvtap), or was
 *             moved to another network namespace
 *   disk      a block device below the function that is mounted, swapped to, held by another
 *             block device (dm, md), or open exclusively (a file system, LVM)
 *   process   a device node below the function (disk, GPU, sound, uio ...) or the VFIO group's
 *             node is open in a process
 *   console   its frame buffer shows the console
 *   PF        any of these for one of its VFs
 */
#ifndef VIADUCT_SRIOV_USE_H
#define VIADUCT_SRIOV_USE_H

#include "host.h"
#include "pci_addr.h"

enum use_kind {
	USE_ADDRESS = 1u << 0,	/* an interface that is up has an address */
	USE_ROUTE = 1u << 1,	/* it carries a route */
	USE_UPPER = 1u << 2,	/* it is a port of, or carries, another interface */
	USE_NETNS = 1u << 3,	/* it is in another network namespace */
	USE_MOUNT = 1u << 4,	/* a file system on it is mounted */
	USE_SWAP = 1u << 5,	/* it is swap space */
	USE_HOLDER = 1u << 6,	/* LVM, MD, device mapper or another block device stands on it */
	USE_PROCESS = 1u << 7,	/* a process has a device node of it open */
	USE_VFIO = 1u << 8,	/* a process has it open through VFIO */
	USE_CONSOLE = 1u << 9,	/* it shows the console */
	USE_VFS = 1u << 10,	/* its VFs would vanish with its driver */
	USE_DEAD = 1u << 11,	/* it does not answer (vfctl clear) */
	USE_SSH = 1u << 12,	/* the session of who asks comes in through it */
	USE_LEASE = 1u << 13,	/* somebody holds a lease of it */
	USE_GROUP = 1u << 14,	/* another function of its IOMMU group would be cut off or is used */
	USE_UNKNOWN = 1u << 15,	/* it could not be found out */
};

/* The kind's name, as --force takes it: "address", "route" ...; NULL for none of them. */
const char *use_kind_name(enum use_kind kind);

/* "route,mount" as a mask of kinds. Returns 0, or -EINVAL with the kinds there are. */
int use_kinds_parse(const char *text, unsigned int *ret_kinds, struct err *err);

struct use_evidence {
	struct pci_addr addr; /* the function asked for, or the VF of it that is in use */
	enum use_kind kind;
	char what[256];	      /* "eth0 is up with address 10.0.2.15" */
	char remedy[128];     /* "bring it down" */
};

/* The processes, mounts and device nodes of the host as one pass found them. Each part is read
 * when first needed, so that asking about many functions costs one pass. */
struct use_scan;

struct use_scan *use_scan_new(const struct host *host);
void use_scan_free(struct use_scan *scan);

/*
 * Looks for proof that @addr is in use. @scan may be NULL: a pass for this call alone. Returns 0
 * when there is none; -EBUSY when there is: @ret (may be NULL) and "0000:01:00.0: eth0 is up with
 * address 10.0.2.15; bring it down or use --force=address"; another -errno when it could not be found out. Kinds in
 * the mask @force are no proof.
 */
int use_check(const struct host *host, struct use_scan *scan, const struct pci_addr *addr,
	      unsigned int force, struct use_evidence *ret, struct err *err);

/* use_check() of each VF of @pf, not of @pf itself. */
int use_check_vfs(const struct host *host, struct use_scan *scan, const struct pci_addr *pf,
		  unsigned int force, struct use_evidence *ret, struct err *err);

/* The process that has /dev/@node open, with its name in @comm, or 0 when none can be seen: only
 * root sees those of other users. */
pid_t use_node_holder(const struct host *host, const char *node, char comm[HOST_NAME_MAX]);

#endif
