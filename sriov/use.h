/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Proof that a PCI function is in use, so that nothing takes the machine's own network card or
 * disk. What counts:
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

struct use_evidence {
	struct pci_addr addr; /* the function asked for, or the VF of it that is in use */
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
 * address 10.0.2.15; bring it down or use --force"; another -errno when it could not be found out.
 */
int use_check(const struct host *host, struct use_scan *scan, const struct pci_addr *addr,
	      struct use_evidence *ret, struct err *err);

/* use_check() of each VF of @pf, not of @pf itself. */
int use_check_vfs(const struct host *host, struct use_scan *scan, const struct pci_addr *pf,
		  struct use_evidence *ret, struct err *err);

/* The process that has /dev/@node open, with its name in @comm, or 0 when none can be seen: only
 * root sees those of other users. */
pid_t use_node_holder(const struct host *host, const char *node, char comm[HOST_NAME_MAX]);

#endif
