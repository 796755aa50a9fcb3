/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio over PCI (virtio 1.2 clause 4.1): one 64-bit BAR of 16 KiB,
 *
 *	0x0000	common configuration		0x1000	notify, 4 bytes for each queue
 *	0x0400	ISR status			0x2000	MSI-X table
 *	0x0800	device configuration		0x3000	MSI-X pending bits
 *
 * not prefetchable, because reading the ISR status clears it. The notify page has nothing else in
 * it. One MSI-X vector for each queue and one for the configuration; INTx otherwise.
 *
 * By option the device is transitional: BAR 0 is then the legacy interface's, in I/O space
 * (virtio_pci_legacy.c), and the other is BAR 2.
 */
#ifndef VIADUCT_VIRTIO_VIRTIO_PCI_H
#define VIADUCT_VIRTIO_VIRTIO_PCI_H

#include <stdint.h>

#include "vmm/pci.h"

#include "virtio_dev.h"

struct err;

#define VIRTIO_PCI_BAR 0u
#define VIRTIO_PCI_LEGACY_BAR 0u
#define VIRTIO_PCI_BAR_BESIDE_LEGACY 2u
#define VIRTIO_PCI_BAR_SIZE 0x4000u
#define VIRTIO_PCI_ISR_AT 0x0400u
#define VIRTIO_PCI_DEVICE_AT 0x0800u
#define VIRTIO_PCI_DEVICE_MAX 0x0800u
#define VIRTIO_PCI_NOTIFY_AT 0x1000u
#define VIRTIO_PCI_NOTIFY_STEP 4u
#define VIRTIO_PCI_MSIX_AT 0x2000u
#define VIRTIO_PCI_PBA_AT 0x3000u
#define VIRTIO_PCI_QUEUES_MAX 255u /* so that the MSI-X table fits its page */

/* The beginning of every virtio device's struct. */
struct virtio_pci {
	struct pci_dev pdev;
	struct virtio_dev vdev;
	uint32_t feature_select, ack_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint16_t *queue_vectors;
	uint8_t isr;
	bool master; /* bus mastering, as of the last write to config space */
	uint8_t cfg_cap; /* VIRTIO_PCI_CAP_PCI_CFG in config space */
	struct range_event *doorbells; /* one for each queue */
	bool packed; /* an option: VIRTIO_F_RING_PACKED is offered */
	bool legacy; /* another: transitional */
};

/* The options of every device whose rings this process serves; @member is @type's virtio_pci. */
#define VIRTIO_PCI_OPTIONS(type, member)                                                           \
	{ "port",                                                                                  \
	  OPT_BOOL,                                                                                \
	  offsetof(type, member) + offsetof(struct virtio_pci, pdev.behind_port),                  \
	  0,                                                                                       \
	  0,                                                                                       \
	  false,                                                                                   \
	  "on: behind a PCI Express port with hot plug (off)" },                                   \
	{ "packed",                                                                                \
	  OPT_BOOL,                                                                                \
	  offsetof(type, member) + offsetof(struct virtio_pci, packed),                            \
	  0,                                                                                       \
	  0,                                                                                       \
	  false,                                                                                   \
	  "on: packed rings are offered too (off)" },                                              \
	{                                                                                          \
		"legacy", OPT_BOOL, offsetof(type, member) + offsetof(struct virtio_pci, legacy),  \
			0, 0, false, "on: for drivers from before virtio 1.0 too (off)"            \
	}

static inline struct virtio_pci *to_virtio_pci(struct dev *dev)
{
	return (struct virtio_pci *)(void *)dev;
}

/* Where the modern registers are. */
static inline unsigned int virtio_pci_bar(const struct virtio_pci *vp)
{
	return vp->legacy ? VIRTIO_PCI_BAR_BESIDE_LEGACY : VIRTIO_PCI_BAR;
}

/* For a class's probe: header and BAR. @class_code is PCI's (24 bits). */
void virtio_pci_describe(struct virtio_pci *vp, const struct virtio_ops *ops, uint32_t class_code);
/* For realize: as above, then queues, capabilities, MSI-X, INTx, and packed rings are offered when
 * vp->packed says so; -EINVAL when vp->legacy asks for what the type has not. The caller plugs the function (pci_dev_plug()) when its own part stands. */
int virtio_pci_init(struct virtio_pci *vp, const struct virtio_ops *ops, uint32_t class_code,
		    const uint16_t *queue_sizes, unsigned int queue_count, struct err *err);
/* For destroy: unplugs and frees; half-built is fine. */
void virtio_pci_done(struct virtio_pci *vp);

/* The rest of a class's callbacks. */
extern const struct pci_ops virtio_pci_ops;
void virtio_pci_reset(struct dev *dev);
uint64_t virtio_pci_read(struct dev *dev, unsigned int bar, uint64_t offset, unsigned int size);
void virtio_pci_write(struct dev *dev, unsigned int bar, uint64_t offset, unsigned int size,
		      uint64_t value);

#endif
