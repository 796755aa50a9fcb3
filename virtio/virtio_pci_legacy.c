// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The legacy interface of a transitional device, virtio 1.2 clause 4.1.4.10: a header of registers in
 * I/O space, which has two more fields while MSI-X is on, and the device's configuration behind it.
 * Everything has the guest's byte order, which is little-endian here, as in the other interface.
 *
 * All queues have one notify register; the kernel tells them by the value written.
 */
#include <endian.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>

#include "base/util.h"
#include "virtio_pci_priv.h"

uint16_t virtio_pci_legacy_id(uint16_t type)
{
	switch (type) {
	case VIRTIO_ID_NET:
		return VIRTIO_TRANS_ID_NET;
	case VIRTIO_ID_BLOCK:
		return VIRTIO_TRANS_ID_BLOCK;
	case VIRTIO_ID_BALLOON:
		return VIRTIO_TRANS_ID_BALLOON;
	case VIRTIO_ID_CONSOLE:
		return VIRTIO_TRANS_ID_CONSOLE;
	case VIRTIO_ID_SCSI:
		return VIRTIO_TRANS_ID_SCSI;
	case VIRTIO_ID_RNG:
		return VIRTIO_TRANS_ID_RNG;
	default:
		return 0;
	}
}

unsigned int virtio_pci_legacy_size(const struct virtio_ops *ops)
{
	return VIRTIO_PCI_CONFIG_OFF(true) + ops->config_size;
}

struct range_event virtio_pci_legacy_doorbell(unsigned int queue, int fd)
{
	return (struct range_event){
		.offset = VIRTIO_PCI_QUEUE_NOTIFY,
		.size = sizeof(uint16_t),
		.fd = fd,
		.match = true,
		.value = queue,
	};
}

/* The width of the field of the header that begins at @offset, 0 where none does. */
static unsigned int width(uint64_t offset)
{
	switch (offset) {
	case VIRTIO_PCI_STATUS:
	case VIRTIO_PCI_ISR:
		return 1;
	case VIRTIO_PCI_QUEUE_NUM:
	case VIRTIO_PCI_QUEUE_SEL:
	case VIRTIO_PCI_QUEUE_NOTIFY:
	case VIRTIO_MSI_CONFIG_VECTOR:
	case VIRTIO_MSI_QUEUE_VECTOR:
		return 2;
	case VIRTIO_PCI_HOST_FEATURES:
	case VIRTIO_PCI_GUEST_FEATURES:
	case VIRTIO_PCI_QUEUE_PFN:
		return 4;
	default:
		return 0;
	}
}

static uint32_t header_read(struct virtio_pci *vp, uint64_t offset)
{
	const struct virtq *vq = virtio_pci_selected(vp);

	switch (offset) {
	case VIRTIO_PCI_HOST_FEATURES:
		return virtio_dev_legacy_features(&vp->vdev);
	case VIRTIO_PCI_GUEST_FEATURES:
		return virtio_dev_acked(&vp->vdev, 0);
	case VIRTIO_PCI_QUEUE_PFN:
		return vq && vq->enabled ? (uint32_t)(vq->desc >> VIRTIO_PCI_QUEUE_ADDR_SHIFT) : 0;
	case VIRTIO_PCI_QUEUE_NUM:
		return vq ? vq->size : 0;
	case VIRTIO_PCI_QUEUE_SEL:
		return vp->queue_select;
	case VIRTIO_PCI_STATUS:
		return vp->vdev.status;
	case VIRTIO_PCI_ISR:
		return virtio_pci_isr_read(vp);
	case VIRTIO_MSI_CONFIG_VECTOR:
		return vp->config_vector;
	case VIRTIO_MSI_QUEUE_VECTOR:
		return vq ? vp->queue_vectors[vq->index] : VIRTIO_MSI_NO_VECTOR;
	default:
		return 0;
	}
}

static void set_status(struct virtio_pci *vp, uint8_t status)
{
	virtio_dev_legacy_status(&vp->vdev, status);
	if (!status)
		virtio_pci_registers_reset(vp);
}

/* A driver that takes one queue away takes them all: nothing says that the others still count on
 * what was negotiated. */
static void set_pfn(struct virtio_pci *vp, uint32_t pfn)
{
	struct virtq *vq = virtio_pci_selected(vp);

	if (vq && pfn)
		virtio_queue_legacy_enable(vq, (gpa_t)pfn << VIRTIO_PCI_QUEUE_ADDR_SHIFT);
	else if (vq && vq->enabled && vp->vdev.legacy)
		set_status(vp, 0);
}

static void header_write(struct virtio_pci *vp, uint64_t offset, uint32_t value)
{
	const struct virtq *vq = virtio_pci_selected(vp);

	switch (offset) {
	case VIRTIO_PCI_GUEST_FEATURES:
		virtio_dev_legacy_ack(&vp->vdev, value);
		break;
	case VIRTIO_PCI_QUEUE_PFN:
		set_pfn(vp, value);
		break;
	case VIRTIO_PCI_QUEUE_SEL:
		vp->queue_select = (uint16_t)value;
		break;
	case VIRTIO_PCI_QUEUE_NOTIFY:
		virtio_dev_legacy_kick(&vp->vdev, (uint16_t)value);
		break;
	case VIRTIO_PCI_STATUS:
		set_status(vp, (uint8_t)value);
		break;
	case VIRTIO_MSI_CONFIG_VECTOR:
		vp->config_vector = virtio_pci_vector_checked(vp, (uint16_t)value);
		break;
	case VIRTIO_MSI_QUEUE_VECTOR:
		if (!vq)
			break;
		vp->queue_vectors[vq->index] = virtio_pci_vector_checked(vp, (uint16_t)value);
		virtio_pci_irqs_changed(vp);
		break;
	default:
		break;
	}
}

/* Is it an access to the configuration? Then @ret_at is where. */
static bool config_at(const struct virtio_pci *vp, uint64_t offset, unsigned int size,
		      unsigned int *ret_at)
{
	unsigned int header = VIRTIO_PCI_CONFIG_OFF(vp->pdev.msix.enabled);

	if (offset < header)
		return false;
	*ret_at = (unsigned int)offset - header;
	return span_within(offset - header, size, vp->vdev.ops->config_size);
}

static bool header_at(const struct virtio_pci *vp, uint64_t offset, unsigned int size)
{
	return offset < VIRTIO_PCI_CONFIG_OFF(vp->pdev.msix.enabled) && width(offset) == size;
}

uint32_t virtio_pci_legacy_read(struct virtio_pci *vp, uint64_t offset, unsigned int size)
{
	uint32_t value = 0;
	unsigned int at;

	if (header_at(vp, offset, size))
		return header_read(vp, offset);
	if (config_at(vp, offset, size, &at))
		vp->vdev.ops->config_read(&vp->vdev, at, &value, size);
	return le32toh(value);
}

void virtio_pci_legacy_write(struct virtio_pci *vp, uint64_t offset, unsigned int size,
			     uint32_t value)
{
	uint32_t le = htole32(value);
	unsigned int at;

	if (header_at(vp, offset, size))
		header_write(vp, offset, value);
	else if (config_at(vp, offset, size, &at) && vp->vdev.ops->config_write)
		vp->vdev.ops->config_write(&vp->vdev, at, &le, size);
}
