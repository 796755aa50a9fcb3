/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The device "vfio-pci": a PCI function of the host, handed to the guest. */
#ifndef VIADUCT_VFIO_VFIO_PCI_H
#define VIADUCT_VFIO_VFIO_PCI_H

#include "vmm/dev.h"

/*
 * Option host=NAME: an address (0000:01:10.0), a network interface (eth0), the N-th VF of a PF
 * (eth0/vf3) or any free one (eth0/any).
 *
 * -ENODEV, so that a role goes on: no such function or free VF, no IOMMU, not bound to a VFIO
 * driver, group not viable or in use, no permission, no driver file, no interrupt remapping, a
 * function that answers all ones. -EEXIST: given to this guest twice. -ENOMEM: guest memory cannot
 * be pinned.
 */
extern const struct dev_class vfio_pci_class;

/* Before the devices that @specs describe are made, each by dev_create(): opens those functions of
 * the host that are named outright, all at once, for each takes a while. iommu_ahead_done() when they
 * are made. Loop thread. */
void vfio_pci_ahead(struct vm *vm, const struct dev_table *table, const char *const *specs,
		    unsigned int count);

#endif
