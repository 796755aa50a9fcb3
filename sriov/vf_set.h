/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes settings of one VF as one transaction: all of them, or what was before. */
#ifndef VIADUCT_SRIOV_VF_SET_H
#define VIADUCT_SRIOV_VF_SET_H

#include "vf_attr.h"

struct vf_set_report {
	struct pci_addr vf, pf;
	unsigned int index;
	struct vf_attrs before, after; /* all settings that the VF has */
	uint32_t changed;	       /* BIT(VF_ATTR_...) */
	unsigned long writes;	       /* requests to the kernel in all; 0: it was so already */
};

/*
 * Gives @vf the settings of @want that differ from what it has. Where one of them asks for a VF
 * without driver (vf_attr_row()->cost), @vf is taken from its driver meanwhile; that is refused
 * with -EBUSY while it is in use (use.h), kinds of use in the mask @force apart, and when that driver
 * could not run it afterwards: nvme a controller that is offline. Takes the card's
 * lock. When a setting fails, those before it are put back, and what cannot be is told.
 *
 * Returns 0; -ENOTSUP for a function that is no VF, or a setting that its card does not have;
 * -ENODEV; -EBUSY; or as vf_attrs_write(). @ret_report may be NULL.
 */
int vf_set(struct host *host, const struct pci_addr *vf, const struct vf_attrs *want,
	   unsigned int force, struct vf_set_report *ret_report, struct err *err);

#endif
