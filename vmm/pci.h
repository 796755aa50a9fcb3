/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI: the root bus with ECAM and ports 0xcf8/0xcfc, config space as bytes and masks, BARs, INTx,
 * MSI and MSI-X (PCI 3.0, PCIe 4.0).
 *
 * Config space: `config` is what the guest sees, `wmask` the bits it may change, `w1c` the bits it
 * clears by writing one. BAR decoding is derived from COMMAND and BAR bytes after every write.
 * Everything here that says "device lock" means pdev->dev.lock, which the dispatcher holds.
 */
#ifndef VIADUCT_VMM_PCI_H
#define VIADUCT_VMM_PCI_H

#include <linux/pci_regs.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "bus.h"
#include "dev.h"
#include "irq.h"

struct vm;

#define PCI_CONFIG_SIZE 256
#define PCIE_CONFIG_SIZE 4096
#define PCI_BARS 6
#define PCI_ROM 6 /* index of the expansion ROM among the BARs */
#define PCI_BAR_COUNT 7
#define PCI_SLOTS 32
#define PCI_FUNCTIONS 8 /* of a slot */
#define PCI_HEADER_TYPE_MULTI 0x80

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64, PCI_BAR_ROM };

struct pci_bar {
	enum pci_bar_kind kind;
	bool prefetch;
	uint64_t size; /* power of two; range.size may be smaller (the rest reads as all ones) */
	/* .index is the BAR's number. Parts are the device's, set before it is plugged and freed
	 * after it left; all else is the root's from then on, under root->lock, because another
	 * function's write may map this BAR. */
	struct range range;
	bool want;
	uint64_t want_addr;
	uint64_t place; /* chosen by pci_root_place() */
};

enum pci_irq_mode { PCI_IRQ_NONE, PCI_IRQ_INTX, PCI_IRQ_MSI, PCI_IRQ_MSIX };

struct pci_dev;
struct pci_port;

struct pci_ops {
	/* Replaces the plain read of config bytes. NULL: pci_config_plain_read(). */
	uint32_t (*config_read)(struct pci_dev *pdev, unsigned int offset, unsigned int size);
	/* After a write was applied to config, BARs and interrupts. @value is what the guest wrote,
	 * unmasked. For what must go on to hardware. */
	void (*config_written)(struct pci_dev *pdev, unsigned int offset, unsigned int size,
			       uint32_t value);
	/* How the guest wants its interrupts changed. For MSI and MSI-X the vectors which are in use
	 * already have a descriptor (pci_vector_fd()); the device connects them all in one go. NONE
	 * follows a disable: the descriptors stay valid until this returns. */
	void (*irq_mode)(struct pci_dev *pdev, enum pci_irq_mode mode);
	/* One more vector came into use while MSI or MSI-X was on. */
	void (*vector_use)(struct pci_dev *pdev, unsigned int vector);
	/* Is what the mapped parts of the BARs lead to out of reach, as far as the device can tell?
	 * Asked when KVM met a fault and does not say where. NULL: never. */
	bool (*bars_lost)(struct pci_dev *pdev);
	/* MSI-X is on: @size bytes at @offset of the function's own pending bits, for vectors that
	 * it holds back itself. NULL: it never does. */
	uint64_t (*pba_read)(struct pci_dev *pdev, uint64_t offset, unsigned int size);
};

struct pci_msi {
	uint8_t cap; /* offset in config, 0: the function has none */
	bool wide, maskable;
	uint8_t count_max;
	bool enabled;
	unsigned int count; /* enabled vectors */
	struct msi_vector *vectors;
};

struct pci_msix {
	uint8_t cap; /* 0: none */
	unsigned int count;
	uint8_t table_bar, pba_bar;
	uint32_t table_offset, pba_offset;
	bool enabled, masked;
	uint8_t *table; /* count entries of 16 bytes, little endian */
	struct msi_vector *vectors;
};

/* In the units of PCI_EXP_LNKSTA_CLS and _NLW. */
struct pci_link {
	uint8_t speed, width;
};

struct pci_dev {
	struct dev dev;
	/* Where it shall sit: set before pci_dev_plug(). */
	bool behind_port;	/* behind a root port of its own, with hot plug; else on bus 0 */
	struct pci_dev *beside; /* plugged before: in its slot, behind its port; NULL: in a slot of
				 * its own */
	uint8_t function;	/* its number in the slot, 0..7; the guest looks for 0 first */
	/* Where it sits. */
	struct pci_root *root;
	struct pci_port *port; /* NULL: on bus 0; a reference is held */
	struct pci_dev *root_next;
	uint8_t devfn; /* on its bus */
	struct pci_link link; /* what a port's link is to look like; speed 0: as pci_port.c likes */
	bool cold; /* while it is reset: no firmware runs after that, so BARs stay off */
	unsigned int config_size; /* PCI_CONFIG_SIZE or PCIE_CONFIG_SIZE */
	uint8_t config[PCIE_CONFIG_SIZE];
	uint8_t wmask[PCIE_CONFIG_SIZE];
	uint8_t w1c[PCIE_CONFIG_SIZE];
	struct pci_bar bars[PCI_BAR_COUNT];
	uint8_t cap_next; /* where pci_cap_add() puts the next capability */
	struct irq_line intx; /* made by pci_intx_line() */
	bool intx_emulated;
	bool intx_level; /* emulated: what the device wants */
	bool asleep; /* in a power state other than D0: no BAR decodes */
	enum pci_irq_mode irq_mode;
	bool bars_trapped; /* pci_bars_trap() */
	struct pci_msi msi;
	struct pci_msix msix;
	unsigned int vectors_promised; /* by irqs_promise() */
	bool vectors_silent; /* it was said that some are */
	uint8_t *saved; /* config as plugged and placed: what a reset goes back to */
	struct log_limit limit;
};

struct pci_root {
	struct dev dev; /* answers ECAM and the ports */
	pthread_mutex_t lock; /* who sits where; recomputes BAR maps (takes bus and mem locks) */
	struct pci_dev *slots[256]; /* of bus 0, by devfn */
	struct pci_dev *functions;  /* all of them, linked by root_next */
	struct pci_port *root_ports;
	struct log_limit limit;
	unsigned int last_bus; /* set by pci_root_place() */
	bool placed;
	uint32_t address; /* 0xcf8 */
	struct range ecam, ports;
	uint64_t mem64_base, mem64_size; /* set by pci_root_place() */
};

/* Makes the root with its host bridge function at 00.0 and adds it to vm->devs. With a plan the
 * ranges are not mapped. */
int pci_root_new(struct vm *vm, struct pci_root **ret_root, struct err *err);

/*
 * First step of a PCI device's realize or probe: sets up the header (type 0, no BARs, COMMAND and
 * INTx disable writable). @config_size as in struct pci_dev; with PCIE_CONFIG_SIZE the device adds
 * its own PCIe capability (pci_cap_pcie()).
 */
void pci_dev_init(struct pci_dev *pdev, uint16_t vendor, uint16_t device, uint32_t class_rev,
		  uint16_t sub_vendor, uint16_t sub_device, unsigned int config_size);
/* Takes a slot as behind_port, beside and function say and makes the function visible; last step of
 * realize. All functions of a slot that has several get the multi-function bit. -ENOSPC: the bus is
 * full; -EBUSY: the slot has that function; -EINVAL: no such function number. */
int pci_dev_plug(struct pci_dev *pdev, struct err *err);
/* Off the bus, BARs unmapped: what dev_remove() does with a function that no callback reaches any
 * more. Once is enough, and a device which was never plugged is fine. */
void pci_dev_leave(struct pci_dev *pdev);
/* First step of destroy; a device which was never plugged is fine. BARs and interrupts are given
 * back; the device frees its parts and events afterwards. */
void pci_dev_unplug(struct pci_dev *pdev);
/* Config space back to what it was when plugged, BARs to where pci_root_place() put them,
 * interrupts off. The first thing a PCI device's reset calls. Device lock. */
void pci_dev_reset(struct pci_dev *pdev);

/* The function left D0, or is back (PCI PM 1.2, 5.4: config space alone answers meanwhile). Device
 * lock. */
void pci_dev_sleep(struct pci_dev *pdev, bool asleep);
/* What a function level reset does to the VMM's part of config space (PCIe 4.0, 6.6.2): messages
 * and INTx back to what they are after a reset. BARs and decoding stay: those of a VF are the PF's
 * affair, so drivers of VFs do not write them back. Device lock. */
void pci_dev_flr(struct pci_dev *pdev);

/* Describes a BAR before the device is plugged. @size is rounded up to a power of two (and to 16
 * for memory, 4 for I/O). A MEM64 takes two indices. */
void pci_bar_set(struct pci_dev *pdev, unsigned int bar, enum pci_bar_kind kind, bool prefetch,
		 uint64_t size);

/* The doorbells of a BAR, in place of those it had; they are copied, the descriptors stay the
 * caller's. Before the device is plugged, or later under its lock. 0 or -errno: then it has none,
 * and the device sees the writes themselves. */
int pci_bar_events(struct pci_dev *pdev, unsigned int bar, const struct range_event *events,
		   unsigned int count, struct err *err);

/* Withdraws the mapped parts of all BARs, so that every access reaches class->read and write, or
 * maps them again. Done by itself when KVM cannot reach a BAR (the host function sleeps, or is
 * gone); the device maps them again once it can. A part that cannot be mapped stays withdrawn, and
 * this is logged. Device lock. */
void pci_bars_trap(struct pci_dev *pdev, bool trap);

/* Adds a capability of @len bytes (header included) to the list, before the device is plugged.
 * Returns its offset, 0 when the 256 bytes are full. */
uint8_t pci_cap_add(struct pci_dev *pdev, uint8_t id, uint8_t len);
/* A PCIe capability: an endpoint behind a port, a root complex integrated one on bus 0. */
uint8_t pci_cap_pcie(struct pci_dev *pdev);
#define PCI_EXP_SIZEOF 60u /* PCIe 4.0, 7.5.3: version 2 with link and slot registers */
/* Writes the link registers of the PCIe capability at @cap: what @link says (speed 0: fast enough
 * for everyone), and no power saving. */
void pci_link_set(struct pci_dev *pdev, unsigned int cap, struct pci_link link);
/* The bus that the function sits on, as firmware numbers it. */
unsigned int pci_dev_bus(const struct pci_dev *pdev);
/* Can the guest be asked to let go of the function (dev_unplug())? Loop thread. */
bool pci_dev_askable(struct pci_dev *pdev);

/* INTx. @emulated: the device calls pci_intx_set(). Otherwise it connects pdev->intx itself (VFIO)
 * in irq_mode(PCI_IRQ_INTX). Before the device is plugged (the pin number is written there). */
void pci_intx_enable(struct pci_dev *pdev, bool emulated);
/* Makes the descriptors of pdev->intx for the pin that the function sits on. For a device that
 * connects it itself; once is enough. */
int pci_intx_line(struct pci_dev *pdev, struct err *err);
/* Emulated devices, device lock: the level that the device wants; COMMAND and STATUS are honoured. */
void pci_intx_set(struct pci_dev *pdev, bool level);

/* MSI with up to @count_max vectors at a capability that the caller has placed at @cap (VFIO), or
 * with @cap 0 adds one. 0 or -errno. */
int pci_msi_init(struct pci_dev *pdev, uint8_t cap, unsigned int count_max, bool wide,
		 bool maskable, struct err *err);
/* MSI-X with its table and PBA anywhere in @table_bar and @pba_bar: accesses there are answered
 * here and never reach the device. @cap as above. -EINVAL when they do not fit their BAR or one
 * lies on the other. */
int pci_msix_init(struct pci_dev *pdev, uint8_t cap, unsigned int count, unsigned int table_bar,
		  uint32_t table_offset, unsigned int pba_bar, uint32_t pba_offset,
		  struct err *err);
/* The eventfd of a vector in use in the current mode, or -1. */
int pci_vector_fd(const struct pci_dev *pdev, unsigned int vector);
/* Vectors that the current mode has (MSI: enabled ones; MSI-X: table size). */
unsigned int pci_vector_count(const struct pci_dev *pdev);
/* Emulated devices: sends vector @vector if MSI or MSI-X is on. False: neither is, use INTx. */
bool pci_vector_fire(struct pci_dev *pdev, unsigned int vector);

/* The bytes of config. Device lock. */
uint32_t pci_config_plain_read(struct pci_dev *pdev, unsigned int offset, unsigned int size);
/* What the dispatcher calls (and unit tests): @offset and @size may be anything; out of range
 * reads as all ones and writes nothing. Device lock. */
uint32_t pci_config_read(struct pci_dev *pdev, unsigned int offset, unsigned int size);
void pci_config_write(struct pci_dev *pdev, unsigned int offset, unsigned int size, uint32_t value);

/* Gives every BAR an address, largest first, sizes the 64-bit window from the devices, and turns
 * decoding on, as firmware would. Once, before the guest starts. Without KVM (plan) only the
 * addresses are chosen. -ENOSPC names the BAR that does not fit and the window. */
int pci_root_place(struct pci_root *root, struct err *err);
/* Where a BAR was placed, 0 when it was not. */
uint64_t pci_bar_addr(const struct pci_dev *pdev, unsigned int bar);

/* Before it is plugged: will it sit behind a port? */
static inline bool pci_dev_wants_port(const struct pci_dev *pdev)
{
	return pdev->beside ? pdev->beside->port != NULL : pdev->behind_port;
}

static inline struct pci_dev *to_pci(struct dev *dev)
{
	return (struct pci_dev *)(void *)dev;
}

#endif
