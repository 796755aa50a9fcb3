/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the PCI core share. Device lock throughout unless it says otherwise. */
#ifndef VIADUCT_VMM_PCI_PRIV_H
#define VIADUCT_VMM_PCI_PRIV_H

#include "pci.h"
#include "pci_port.h"

/* pci_root.c. Loop thread, device lock not needed. pdev->port is set. */
int pci_root_plug(struct pci_root *root, struct pci_dev *pdev, struct err *err);
void pci_root_unplug(struct pci_root *root, struct pci_dev *pdev);

/* pci_bar.c: derives from COMMAND and BAR bytes where each BAR is, and maps. */
void pci_bars_update(struct pci_dev *pdev);
/* The same for all functions behind @port, when what it leads to changed. root->lock. */
void pci_bars_rerouted_locked(struct pci_port *port);
/* Somebody left: whoever waited for the place gets it. No lock held. */
void pci_bars_retry(struct pci_root *root);
/* BARs to zero, decoding off, as after a reset without firmware. */
void pci_bars_clear(struct pci_dev *pdev);
/* Unmaps all and drops DMA mappings that outlived their decode. */
void pci_bars_forget(struct pci_dev *pdev);
/* The answer of BAR @bar: MSI-X table and PBA first, then the device. */
extern const struct range_ops pci_bar_range_ops;

static inline unsigned int pci_bar_offset(unsigned int bar)
{
	return bar == PCI_ROM ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4 * bar;
}

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
