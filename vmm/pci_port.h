/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI Express root ports with native hot plug (PCIe 4.0, 6.7): a bridge on bus 0, a bus of its own
 * below it, and one slot there.
 *
 * The slot is *present* while it has functions, and its *link* is up while it is present, powered
 * (Slot Control), not disabled (Link Control) and not in reset (Bridge Control). Functions are
 * reached through a link that is up, and below the bus number and within the windows that the
 * guest programmed. A link that goes down takes the functions out of reach at once; the loop then
 * resets them, or removes them if that is what the guest was asked for; a link comes up in the
 * loop's turn.
 *
 * Locks: the port's device lock guards its registers, presence and interrupt; what config access
 * and BAR maps look at (functions, link, bus number, windows) is changed under the root's lock too.
 * functions[] changes on the loop thread alone.
 */
#ifndef VIADUCT_VMM_PCI_PORT_H
#define VIADUCT_VMM_PCI_PORT_H

#include "pci.h"

enum pci_window { PCI_WINDOW_IO, PCI_WINDOW_MEM32, PCI_WINDOW_MEM64, PCI_WINDOWS };

struct pci_span {
	uint64_t base, size;
};

struct pci_port {
	struct pci_dev pdev;
	struct pci_port *next; /* root->root_ports, in order of creation */
	uint8_t cap;	       /* its PCI Express capability */
	struct pci_dev *functions[PCI_FUNCTIONS];
	uint8_t secondary, subordinate;
	struct pci_span windows[PCI_WINDOWS]; /* size 0: closed */
	bool link;
	bool present;
	bool arrived;  /* functions were plugged into the running guest's empty slot */
	bool stale;    /* the link went down, the functions were not reset yet */
	bool settling; /* the loop will look after it */
	bool irq;      /* a hot-plug event is enabled and not cleared */
};

static inline struct pci_port *to_pci_port(struct pci_dev *pdev)
{
	return (struct pci_port *)(void *)pdev;
}

/* Makes a port with an empty slot and adds it to vm->devs. Before the guest starts; loop thread. */
int pci_port_new(struct vm *vm, const char *id, struct pci_port **ret_port, struct err *err);
bool pci_port_empty(const struct pci_port *port);
/* Presses the attention button. Loop thread, no device lock held. */
void pci_port_press(struct pci_port *port);

/* For pci_root.c: functions came into the slot (of the running guest), or left it. Loop thread, no
 * lock held. */
void pci_port_arrived(struct pci_port *port);
void pci_port_vacated(struct pci_port *port);

/* For pci_place.c, before the guest starts: what firmware programs, and the state at the start. */
void pci_port_set_bus(struct pci_port *port, uint8_t bus);
void pci_port_set_window(struct pci_port *port, enum pci_window window, uint64_t base,
			 uint64_t size);
void pci_port_start(struct pci_port *port);

/* Does the port lead to these addresses? root->lock. */
bool pci_port_forwards(const struct pci_port *port, bool io, uint64_t addr, uint64_t size);
/* The function that config accesses to (@bus, @devfn) reach through the port, or NULL. root->lock.
 */
struct pci_dev *pci_port_find(const struct pci_port *port, unsigned int bus, unsigned int devfn);

#endif
