/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes and removes the VFs of a PF, as one transaction: it either ends with all VFs there and
 * bound as asked, or with the count, drivers and settings of before.
 *
 * Source: Linux Documentation/PCI/pci-iov-howto.rst and drivers/pci/iov.c (sriov_numvfs_store()).
 */
#ifndef VIADUCT_SRIOV_VF_H
#define VIADUCT_SRIOV_VF_H

#include <stdbool.h>

#include "host.h"
#include "pci_addr.h"

#define VF_COUNT_MAX 65535 /* NumVFs is 16 bits wide (PCIe base specification, 9.3.3.7) */

struct vf_report {
	struct pci_addr pf;
	unsigned int before, after; /* VF counts */
	unsigned int bound;	    /* VFs whose driver was changed */
	unsigned long writes;	    /* sysfs writes in all; 0: it was so already */
};

/*
 * Gives @pf exactly @count VFs (1 to sriov_totalvfs) and, with @driver (a driver's name or
 * BIND_NONE), binds each to it. With @driver the PF's sriov_drivers_autoprobe is 0 meanwhile and
 * is put back after, so that no native driver touches a VF; each new VF costs two writes,
 * driver_override and the driver's bind. With @driver NULL the VFs' drivers are the kernel's
 * choice: sriov_drivers_autoprobe is left as it is, and 1, its default, means the native driver.
 *
 * As many VFs as asked for: they stay, and only their drivers are seen to. Another number: the
 * kernel changes it by way of 0 only, so all VFs are removed and made anew; that is refused with
 * -EBUSY while one of them is in use (use.h), kinds of use in the mask @force apart.
 *
 * With host->owner the nodes of all VFs become that user's at the end (node_owner.h); @driver is then
 * a VFIO driver.
 *
 * Waits host->wait_ms for all VFs to appear and calls host->progress for each that is ready.
 * Returns 0; -ENODEV (no such function), -ENOTSUP (no SR-IOV, or a VF), -EINVAL (count 0),
 * -ERANGE (more than sriov_totalvfs), -ENOENT (driver not loaded), -EBUSY, -EACCES (not root),
 * -EAGAIN (vf_rules.h), -ETIMEDOUT, -EIO (fewer VFs than asked for), -EINTR (host->stop), or the
 * kernel's answer to the write, explained.
 */
int vf_create(struct host *host, const struct pci_addr *pf, unsigned int count,
	      const char *driver, unsigned int force, struct vf_report *ret_report, struct err *err);

/* Removes all VFs of @pf. Refuses with -EBUSY and the evidence while one is in use, kinds in
 * @force apart; the kernel then waits in the write until who holds a VF through VFIO lets it go.
 * @ret_report may be NULL. Returns as vf_create(). */
int vf_destroy(struct host *host, const struct pci_addr *pf, unsigned int force,
	       struct vf_report *ret_report, struct err *err);

/*
 * The parts of vf_create() for who makes several changes one after the other: the caller holds the
 * PF's lock, has asked use.h, and undoes what is to be undone.
 */
struct func_lock;

/* Sets the number of VFs, from 0 or to 0, and waits for those that are made. As vf_create(). */
int vf_count_write(struct host *host, const struct pci_addr *pf, unsigned int count,
		   struct err *err);

/* Sets the PF's sriov_drivers_autoprobe where it is not @value already; @before, which is what it was
 * before any vfctl, is noted in the lock first. Nothing is done on a kernel without it. */
int vf_autoprobe_write(struct host *host, const struct pci_addr *pf, struct func_lock *lock,
		       int before, int value, struct err *err);

/* Waits host->wait_ms for VFs 0 to @count - 1 of @pf. Returns 0, -ETIMEDOUT or -EINTR. */
int vf_wait_all(struct host *host, const struct pci_addr *pf, unsigned int count,
		struct err *err);

#endif
