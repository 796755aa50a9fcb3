/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What virtio_pci.c and virtio_pci_legacy.c have in common. Device lock held throughout. */
#ifndef VIADUCT_VIRTIO_VIRTIO_PCI_PRIV_H
#define VIADUCT_VIRTIO_VIRTIO_PCI_PRIV_H

#include "vmm/bus.h"

#include "virtio_pci.h"

/* virtio_pci.c's registers. */
struct virtq *virtio_pci_selected(struct virtio_pci *vp); /* NULL: there is no such queue */
uint16_t virtio_pci_vector_checked(const struct virtio_pci *vp, uint16_t vector);
uint32_t virtio_pci_isr_read(struct virtio_pci *vp);
void virtio_pci_irqs_changed(struct virtio_pci *vp);
void virtio_pci_registers_reset(struct virtio_pci *vp);

/* The legacy interface (4.1.4.10): the PCI device id of a type, 0: it has none; the size of the BAR;
 * accesses to it. */
uint16_t virtio_pci_legacy_id(uint16_t type);
unsigned int virtio_pci_legacy_size(const struct virtio_ops *ops);
uint32_t virtio_pci_legacy_read(struct virtio_pci *vp, uint64_t offset, unsigned int size);
void virtio_pci_legacy_write(struct virtio_pci *vp, uint64_t offset, unsigned int size,
			     uint32_t value);
struct range_event virtio_pci_legacy_doorbell(unsigned int queue, int fd);

#endif
