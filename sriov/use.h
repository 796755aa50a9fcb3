/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Proof that a PCI function is in use, so that nothing takes the machine's own network card or
 * disk. Every primitive that takes something away looks here under the card's lock, right before
 * its first write. Each proof is of one kind or several, and who overrides it names all of them:
 * nothing overrides all that may be found, and what is overridden hides nothing else.
 *
 *   network   the function's interfaces and all that stands on them, to any depth (bond, bridge,
 *	       VLAN, VRF, team, macvlan, macvtap, ipvlan ...): one that is up and has an address
 *	       (other than IPv6 link-local) or a route that somebody set, of any table; being part
 *	       of another interface; the way to the SSH client of who asks; a move to another
 *	       network namespace
 *   disk      the function's block devices and all that stands on them, to any depth (partitions,
 *	       device mapper, LVM, MD, multipath, bcache, loop): mounted, in this mount namespace or
 *	       that of another process, by its own number or as part of a btrfs; swap space, or the
 *	       file system of a swap file; held by another; open exclusively (ZFS)
 *   process   a device node of any of those, or of the function (GPU, sound, NVMe, RDMA, uio ...)
 *	       is open in a process
 *   VFIO      its group's or its own node is open; when it is another function of its group, that
 *	       is the kind "group": the group has one owner, so this one is cut off or cuts it off
 *   lease     somebody holds it
 *   console   its frame buffer, its VGA or its serial port shows the console
 *   PF        its VFs would vanish with its driver; any of these for one of its VFs
 *
 * What cannot be read proves nothing, so it counts as use, of the kind "unknown". What cannot be
 * seen from here: a macvlan or ipvlan that was moved to another network namespace (the interface it
 * stands on no longer names it), kernel services that open a disk without claiming it (an NVMe
 * target), and kernel users of RDMA.
 */
#ifndef VIADUCT_SRIOV_USE_H
#define VIADUCT_SRIOV_USE_H

#include "host.h"
#include "pci_addr.h"

enum use_kind {
	USE_ADDRESS = 1u << 0,	/* an interface that is up has an address */
	USE_ROUTE = 1u << 1,	/* and a route */
	USE_UPPER = 1u << 2,	/* an interface is part of another, or carries it */
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
	USE_KINDS = (1u << 16) - 1,
};

/* The kind's name, as --force takes it: "address", "route" ...; NULL for none of them. */
const char *use_kind_name(enum use_kind kind);

/* "route,mount" as a mask of kinds. Returns 0, or -EINVAL with the kinds there are. */
int use_kinds_parse(const char *text, unsigned int *ret_kinds, struct err *err);

struct use_evidence {
	struct pci_addr addr; /* the function asked for, or the VF of it that is in use */
	unsigned int kinds;   /* one or more; all of them have to be forced */
	char what[384];	      /* "eth0 is up with address 10.0.2.15 and the default route" */
	char remedy[128];     /* "bring it down" */
};

#define USE_FOUND_MAX 16

struct use_found {
	struct use_evidence ev[USE_FOUND_MAX];
	size_t count;	    /* in ev */
	size_t left_out;    /* found beyond those */
	unsigned int kinds; /* of all that was found */
};

/* The processes, mounts, routes and device nodes of the host as one pass found them. Each part is
 * read when first needed, so that asking about many functions costs one pass. */
struct use_scan;

struct use_scan *use_scan_new(const struct host *host);
void use_scan_free(struct use_scan *scan);

/*
 * Looks for proof that @addr is in use. @scan may be NULL: a pass for this call alone. Returns 0
 * when there is none; -EBUSY when there is: all of it in @ret (may be NULL), and in one line
 * "0000:01:00.0: eth0 is up with address 10.0.2.15; bring it down or use --force=address", or where
 * there is more "0000:01:00.0: PROOF (REMEDY); PROOF (REMEDY); or use --force=KIND,KIND"; -ENODEV
 * when there is no such function; -ENOMEM. Kinds in the mask @force are no proof.
 */
int use_check(const struct host *host, struct use_scan *scan, const struct pci_addr *addr,
	      unsigned int force, struct use_found *ret, struct err *err);

/* use_check() of each VF of @pf, not of @pf itself. */
int use_check_vfs(const struct host *host, struct use_scan *scan, const struct pci_addr *pf,
		  unsigned int force, struct use_found *ret, struct err *err);

/*
 * Is it of any good to give @addr, as one of @addrs, to the VFIO driver @driver? While another
 * function of its group, not one of @addrs and no bridge, is bound to a driver of the host, no
 * guest can have it, and the host has lost it. Returns 0; -EBUSY, of the kind "group", with the command
 * that binds them all; or -ENOMEM.
 */
int use_check_companions(const struct host *host, const struct pci_addr *addr,
			 const struct pci_addr *addrs, size_t count, const char *driver,
			 struct err *err);

/* "address,route" for a mask of kinds. Returns @buf. */
#define USE_KINDS_TEXT_MAX 160
const char *use_kinds_text(unsigned int mask, char buf[USE_KINDS_TEXT_MAX]);

/* The process that has /dev/@node open, with its name in @comm, or 0 when none can be seen: only
 * root sees those of other users. */
pid_t use_node_holder(const struct host *host, const char *node, char comm[HOST_NAME_MAX]);

#endif
