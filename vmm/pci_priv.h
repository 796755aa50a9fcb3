/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the PCI core share. Device lock throughout unless it says otherwise. */
#ifndef VIADUCT_VMM_PCI_PRIV_H
#define VIADUCT_VMM_PCI_PRIV_H

#include "pci.h"

/* pci_root.c. Loop thread, device lock not needed. */
int pci_root_plug(struct pci_root *root, struct pci_dev *pdev, struct err *err);
void pci_root_unplug(struct pci_root *root, struct pci_dev *pdev);

/* pci_bar.c: derives from COMMAND and BAR bytes where each BAR is, and maps. */
void pci_bars_update(struct pci_dev *pdev);
/* Unmaps all and drops DMA mappings that outlived their decode. */
void pci_bars_forget(struct pci_dev *pdev);
/* The answer of BAR @bar: MSI-X table and PBA first, then the device. */
extern const struct range_ops pci_bar_range_ops;

/* pci.c: brings irq_mode to what config space says. */
void pci_irq_update(struct pci_dev *pdev);

/* pci_msi.c */
/* Takes routes for all vectors the function can have, which pci_messages_done() gives back. */
int pci_messages_promise(struct pci_dev *pdev, struct err *err);
void pci_messages_update(struct pci_dev *pdev, unsigned int offset, unsigned int size);
/* Everything disabled and masked, as after reset; vectors go at the next pci_irq_update(). */
void pci_messages_reset(struct pci_dev *pdev);
/* Gives back vectors of modes that are off. */
void pci_messages_prune(struct pci_dev *pdev);
void pci_messages_done(struct pci_dev *pdev);
/* Puts the pending bits of MSI into config before a read. */
void pci_msi_refresh(struct pci_dev *pdev, unsigned int offset, unsigned int size);
/* True when BAR @bar at @offset belongs to the MSI-X table or PBA; the access is done then. */
bool pci_msix_access(struct pci_dev *pdev, unsigned int bar, uint64_t offset, unsigned int size,
		     uint64_t *value, bool write);

#endif
