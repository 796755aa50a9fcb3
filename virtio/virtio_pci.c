// SPDX-License-Identifier: GPL-2.0-or-later
#include "virtio_pci.h"
#include "virtio_pci_priv.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/vm.h"

#define VENDOR_REDHAT 0x1af4
#define DEVICE_MODERN 0x1040
/* 4.1.2.1: a device that is not transitional has revision 1 and a subsystem id of 0x40 or more. */
#define REVISION_MODERN 1
#define SUBSYSTEM_MODERN 0x1100

/* Up to queue_reset, whose place says what a driver may expect (4.1.4.3); queue_notify_data before
 * it belongs to a feature that is not offered, and reads as 0. */
#define COMMON_SIZE (VIRTIO_PCI_COMMON_Q_RESET + sizeof(uint16_t))
#define ISR_QUEUE 1
#define ISR_CONFIG 2

static struct virtio_pci *vdev_to_pci(const struct virtio_dev *vdev)
{
	return container_of(vdev, struct virtio_pci, vdev);
}

/* The transport's side of struct virtio_dev. */

/* 4.1.5.4: with MSI-X the ISR status stays out of it. */
static void pci_irq(struct virtio_pci *vp, uint8_t isr, uint16_t vector)
{
	if (vp->pdev.msix.enabled) {
		if (vector != VIRTIO_MSI_NO_VECTOR)
			pci_vector_fire(&vp->pdev, vector);
		return;
	}
	vp->isr |= isr;
	pci_intx_set(&vp->pdev, true);
}

static void queue_irq(struct virtio_dev *vdev, unsigned int queue)
{
	struct virtio_pci *vp = vdev_to_pci(vdev);
	int fd = vdev->transport->queue_fd(vdev, queue);

	/* A vector's eventfd stays until the device has gone from its loop. */
	if (fd >= 0)
		loop_signal(vdev->loop, fd);
	else
		pci_irq(vp, ISR_QUEUE, vp->queue_vectors[queue]);
}

static void config_irq(struct virtio_dev *vdev)
{
	struct virtio_pci *vp = vdev_to_pci(vdev);

	pci_irq(vp, ISR_CONFIG, vp->config_vector);
}

static int queue_fd(const struct virtio_dev *vdev, unsigned int queue)
{
	const struct virtio_pci *vp = vdev_to_pci(vdev);

	if (!vp->pdev.msix.enabled || vp->queue_vectors[queue] == VIRTIO_MSI_NO_VECTOR)
		return -1;
	return pci_vector_fd(&vp->pdev, vp->queue_vectors[queue]);
}

void virtio_pci_irqs_changed(struct virtio_pci *vp)
{
	if (vp->vdev.ops->irqs_changed)
		vp->vdev.ops->irqs_changed(&vp->vdev);
}

static void bar_events(struct virtio_pci *vp, unsigned int bar, unsigned int count)
{
	struct dev *dev = &vp->pdev.dev;
	struct err err = { 0 };

	if (pci_bar_events(&vp->pdev, bar, vp->doorbells, count, &err))
		log_limited(dev->vm->log, &vp->vdev.limit, LOG_WARN,
			    "%s: every kick costs an exit: %s", dev->id, err.msg);
}

/*
 * Connects the doorbells of the queues that are enabled. A driver enables its queues before
 * DRIVER_OK, so this is done once, then, and a guest that never uses the device costs KVM nothing.
 */
static void doorbells(struct virtio_dev *vdev)
{
	struct virtio_pci *vp = vdev_to_pci(vdev);
	unsigned int i, n = 0;

	if (!vp->pdev.root)
		return;
	for (i = 0; i < vdev->queue_count; i++) {
		if (!vdev->queues[i].enabled)
			continue;
		/* Of any size: KVM then needs not decode the instruction. */
		vp->doorbells[n++] =
			vdev->legacy ? virtio_pci_legacy_doorbell(i, vdev->queues[i].kick_fd)
				     : (struct range_event){
					       .offset = VIRTIO_PCI_NOTIFY_AT +
							 i * VIRTIO_PCI_NOTIFY_STEP,
					       .fd = vdev->queues[i].kick_fd,
				       };
	}
	bar_events(vp, virtio_pci_bar(vp), vdev->legacy ? 0 : n);
	if (vp->legacy)
		bar_events(vp, VIRTIO_PCI_LEGACY_BAR, vdev->legacy ? n : 0);
}

static bool dma(const struct virtio_dev *vdev)
{
	return vdev_to_pci(vdev)->pdev.config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

static const struct virtio_transport_ops transport_ops = {
	.queue_irq = queue_irq,
	.config_irq = config_irq,
	.queue_fd = queue_fd,
	.doorbells = doorbells,
	.dma = dma,
};

/* Common configuration, 4.1.4.3. */

/* The width of the field that begins at @offset, 0 where none does. A 64-bit field is two of 32
 * bits (4.1.3.1). */
static unsigned int common_width(uint64_t offset)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_STATUS:
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		return 1;
	case VIRTIO_PCI_COMMON_MSIX:
	case VIRTIO_PCI_COMMON_NUMQ:
	case VIRTIO_PCI_COMMON_Q_SELECT:
	case VIRTIO_PCI_COMMON_Q_SIZE:
	case VIRTIO_PCI_COMMON_Q_MSIX:
	case VIRTIO_PCI_COMMON_Q_ENABLE:
	case VIRTIO_PCI_COMMON_Q_NOFF:
	case VIRTIO_PCI_COMMON_Q_RESET:
		return 2;
	case VIRTIO_PCI_COMMON_DFSELECT:
	case VIRTIO_PCI_COMMON_DF:
	case VIRTIO_PCI_COMMON_GFSELECT:
	case VIRTIO_PCI_COMMON_GF:
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		return 4;
	default:
		return 0;
	}
}

struct virtq *virtio_pci_selected(struct virtio_pci *vp)
{
	return vp->queue_select < vp->vdev.queue_count ? &vp->vdev.queues[vp->queue_select] : NULL;
}

static uint32_t queue_read(struct virtio_pci *vp, uint64_t offset)
{
	const struct virtq *vq = virtio_pci_selected(vp);

	if (!vq)
		return 0;
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		return vq->size;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		return vp->queue_vectors[vq->index];
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		return vq->enabled;
	case VIRTIO_PCI_COMMON_Q_NOFF:
		return vq->index;
	case VIRTIO_PCI_COMMON_Q_RESET:
		return vq->resetting;
	case VIRTIO_PCI_COMMON_Q_DESCLO:
		return (uint32_t)vq->desc;
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		return (uint32_t)(vq->desc >> 32);
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
		return (uint32_t)vq->driver;
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		return (uint32_t)(vq->driver >> 32);
	case VIRTIO_PCI_COMMON_Q_USEDLO:
		return (uint32_t)vq->device;
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		return (uint32_t)(vq->device >> 32);
	default:
		return 0;
	}
}

static uint32_t common_read(struct virtio_pci *vp, uint64_t offset)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		return vp->feature_select;
	case VIRTIO_PCI_COMMON_DF:
		return virtio_dev_features(&vp->vdev, vp->feature_select);
	case VIRTIO_PCI_COMMON_GFSELECT:
		return vp->ack_select;
	case VIRTIO_PCI_COMMON_GF:
		return virtio_dev_acked(&vp->vdev, vp->ack_select);
	case VIRTIO_PCI_COMMON_MSIX:
		return vp->config_vector;
	case VIRTIO_PCI_COMMON_NUMQ:
		return vp->vdev.queue_count;
	case VIRTIO_PCI_COMMON_STATUS:
		return vp->vdev.status;
	case VIRTIO_PCI_COMMON_CFGGENERATION:
		return vp->vdev.generation;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		return vp->queue_select;
	default:
		return queue_read(vp, offset);
	}
}

/* 4.1.5.1.2: a vector that cannot be had reads back as none. */
uint16_t virtio_pci_vector_checked(const struct virtio_pci *vp, uint16_t vector)
{
	return vector < vp->pdev.msix.count ? vector : VIRTIO_MSI_NO_VECTOR;
}

static void set_half(gpa_t *addr, uint32_t value, bool high)
{
	if (high)
		*addr = (*addr & 0xffffffffull) | (uint64_t)value << 32;
	else
		*addr = (*addr & ~0xffffffffull) | value;
}

/* 4.1.4.3.1: the queue's vector goes, too. */
static void queue_reset(struct virtio_pci *vp, struct virtq *vq)
{
	if (!virtio_queue_reset(vq))
		return;
	vp->queue_vectors[vq->index] = VIRTIO_MSI_NO_VECTOR;
	virtio_pci_irqs_changed(vp);
}

static void queue_write(struct virtio_pci *vp, uint64_t offset, uint32_t value)
{
	struct virtq *vq = virtio_pci_selected(vp);

	if (!vq)
		return;
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		virtio_queue_set_size(vq, (uint16_t)value);
		return;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		vp->queue_vectors[vq->index] = virtio_pci_vector_checked(vp, (uint16_t)value);
		virtio_pci_irqs_changed(vp);
		return;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		if (value == 1)
			virtio_queue_enable(vq);
		return;
	case VIRTIO_PCI_COMMON_Q_RESET:
		if (value == 1)
			queue_reset(vp, vq);
		return;
	default:
		break;
	}
	if (vq->enabled || vq->resetting)
		return;
	if (offset == VIRTIO_PCI_COMMON_Q_DESCLO || offset == VIRTIO_PCI_COMMON_Q_DESCHI)
		set_half(&vq->desc, value, offset == VIRTIO_PCI_COMMON_Q_DESCHI);
	else if (offset == VIRTIO_PCI_COMMON_Q_AVAILLO || offset == VIRTIO_PCI_COMMON_Q_AVAILHI)
		set_half(&vq->driver, value, offset == VIRTIO_PCI_COMMON_Q_AVAILHI);
	else if (offset == VIRTIO_PCI_COMMON_Q_USEDLO || offset == VIRTIO_PCI_COMMON_Q_USEDHI)
		set_half(&vq->device, value, offset == VIRTIO_PCI_COMMON_Q_USEDHI);
}

/* What a reset does to the transport's own registers (4.1.5.1.2: no vectors). */
void virtio_pci_registers_reset(struct virtio_pci *vp)
{
	unsigned int i;

	vp->feature_select = 0;
	vp->ack_select = 0;
	vp->queue_select = 0;
	vp->config_vector = VIRTIO_MSI_NO_VECTOR;
	for (i = 0; i < vp->vdev.queue_count; i++)
		vp->queue_vectors[i] = VIRTIO_MSI_NO_VECTOR;
	vp->isr = 0;
	pci_intx_set(&vp->pdev, false);
}

static void common_write(struct virtio_pci *vp, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		vp->feature_select = value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		vp->ack_select = value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		virtio_dev_ack(&vp->vdev, vp->ack_select, value);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		vp->config_vector = virtio_pci_vector_checked(vp, (uint16_t)value);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		virtio_dev_set_status(&vp->vdev, (uint8_t)value);
		if (!value)
			virtio_pci_registers_reset(vp);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		vp->queue_select = (uint16_t)value;
		break;
	default:
		queue_write(vp, offset, value);
		break;
	}
}

/* The BAR. What is not a register, and an access of a width that its register does not have, reads
 * as 0 and writes nothing. */

uint32_t virtio_pci_isr_read(struct virtio_pci *vp)
{
	uint8_t isr = vp->isr;

	/* 4.1.4.5.1: reading clears it and takes the interrupt back. */
	vp->isr = 0;
	pci_intx_set(&vp->pdev, false);
	return isr;
}

static bool device_access_ok(const struct virtio_pci *vp, uint64_t offset, unsigned int size)
{
	return offset >= VIRTIO_PCI_DEVICE_AT && size <= 4 &&
	       span_within(offset - VIRTIO_PCI_DEVICE_AT, size, vp->vdev.ops->config_size);
}

uint64_t virtio_pci_read(struct dev *dev, unsigned int bar, uint64_t offset, unsigned int size)
{
	struct virtio_pci *vp = to_virtio_pci(dev);
	uint32_t value = 0;

	if (bar != virtio_pci_bar(vp))
		return virtio_pci_legacy_read(vp, offset, size);
	if (offset < COMMON_SIZE)
		return common_width(offset) == size ? common_read(vp, offset) : 0;
	if (offset == VIRTIO_PCI_ISR_AT && size == 1)
		return virtio_pci_isr_read(vp);
	if (device_access_ok(vp, offset, size))
		vp->vdev.ops->config_read(&vp->vdev, (unsigned int)offset - VIRTIO_PCI_DEVICE_AT,
					  &value, size);
	return le32toh(value);
}

void virtio_pci_write(struct dev *dev, unsigned int bar, uint64_t offset, unsigned int size,
		      uint64_t value)
{
	struct virtio_pci *vp = to_virtio_pci(dev);
	uint32_t le = htole32((uint32_t)value);

	if (bar != virtio_pci_bar(vp)) {
		virtio_pci_legacy_write(vp, offset, size, (uint32_t)value);
		return;
	}
	if (offset < COMMON_SIZE) {
		if (common_width(offset) == size)
			common_write(vp, offset, (uint32_t)value);
	} else if (offset >= VIRTIO_PCI_NOTIFY_AT && offset < VIRTIO_PCI_MSIX_AT) {
		/* The address says which queue, as in the kernel, which took no heed of width and
		 * value either. */
		if (!(offset % VIRTIO_PCI_NOTIFY_STEP))
			virtio_dev_kick(&vp->vdev, (unsigned int)(offset - VIRTIO_PCI_NOTIFY_AT) /
							   VIRTIO_PCI_NOTIFY_STEP);
	} else if (device_access_ok(vp, offset, size) && vp->vdev.ops->config_write) {
		vp->vdev.ops->config_write(&vp->vdev, (unsigned int)offset - VIRTIO_PCI_DEVICE_AT,
					   &le, size);
	}
}

/* Config space: the window of VIRTIO_PCI_CAP_PCI_CFG (4.1.4.9), and bus mastering. */

#define CFG_DATA offsetof(struct virtio_pci_cfg_cap, pci_cfg_data)
#define CFG_SIZE sizeof(struct virtio_pci_cfg_cap)

/* What the window points at: aligned and of 1, 2 or 4 bytes. The MSI-X table is not among the
 * registers that virtio_pci_read() and virtio_pci_write() know, so it is not reached this way. */
static bool window(const struct virtio_pci *vp, uint32_t *ret_offset, uint32_t *ret_length)
{
	const uint8_t *cap = vp->pdev.config + vp->cfg_cap;
	uint32_t offset = get_le32(cap + VIRTIO_PCI_CAP_OFFSET);
	uint32_t length = get_le32(cap + VIRTIO_PCI_CAP_LENGTH);

	*ret_offset = offset;
	*ret_length = length;
	return cap[VIRTIO_PCI_CAP_BAR] == virtio_pci_bar(vp) && is_pow2(length) && length <= 4 &&
	       !(offset % length);
}

static bool is_window(const struct virtio_pci *vp, unsigned int offset, unsigned int size)
{
	return vp->cfg_cap &&
	       span_overlaps(offset, size, vp->cfg_cap + CFG_DATA, sizeof(uint32_t));
}

static uint32_t config_read(struct pci_dev *pdev, unsigned int offset, unsigned int size)
{
	struct virtio_pci *vp = to_virtio_pci(&pdev->dev);
	uint32_t at, length;

	if (is_window(vp, offset, size) && window(vp, &at, &length))
		put_le32(pdev->config + vp->cfg_cap + CFG_DATA,
			 (uint32_t)virtio_pci_read(&pdev->dev, virtio_pci_bar(vp), at, length));
	return pci_config_plain_read(pdev, offset, size);
}

static void config_written(struct pci_dev *pdev, unsigned int offset, unsigned int size,
			   uint32_t value)
{
	struct virtio_pci *vp = to_virtio_pci(&pdev->dev);
	uint32_t at, length, data;
	bool master;

	(void)value;
	if (is_window(vp, offset, size) && window(vp, &at, &length)) {
		data = get_le32(pdev->config + vp->cfg_cap + CFG_DATA);
		virtio_pci_write(&pdev->dev, virtio_pci_bar(vp), at, length,
				 data & (uint32_t)all_ones(length));
	}
	/* Kicks that came while the device could not reach memory. */
	master = dma(&vp->vdev);
	if (master && !vp->master)
		virtio_dev_kick_all(&vp->vdev);
	vp->master = master;
	virtio_dev_running_changed(&vp->vdev);
}

/* Its interrupts now go as messages: the pin must not stay up, nobody would read the ISR. */
static void irq_mode(struct pci_dev *pdev, enum pci_irq_mode mode)
{
	if (mode == PCI_IRQ_MSIX)
		pci_intx_set(pdev, false);
	virtio_pci_irqs_changed(to_virtio_pci(&pdev->dev));
}

static void vector_use(struct pci_dev *pdev, unsigned int vector)
{
	(void)vector;
	virtio_pci_irqs_changed(to_virtio_pci(&pdev->dev));
}

const struct pci_ops virtio_pci_ops = {
	.config_read = config_read,
	.config_written = config_written,
	.irq_mode = irq_mode,
	.vector_use = vector_use,
};

/* Life. */

void virtio_pci_describe(struct virtio_pci *vp, const struct virtio_ops *ops, uint32_t class_code)
{
	uint16_t transitional = vp->legacy ? virtio_pci_legacy_id(ops->type) : 0;

	/* What has no such id is described as a modern one, and refused by virtio_pci_init(). */
	if (transitional) {
		pci_dev_init(&vp->pdev, VENDOR_REDHAT, transitional, class_code << 8,
			     VENDOR_REDHAT, ops->type, PCI_CONFIG_SIZE);
		pci_bar_set(&vp->pdev, VIRTIO_PCI_LEGACY_BAR, PCI_BAR_IO, false,
			    virtio_pci_legacy_size(ops));
	} else {
		pci_dev_init(&vp->pdev, VENDOR_REDHAT, (uint16_t)(DEVICE_MODERN + ops->type),
			     class_code << 8 | REVISION_MODERN, VENDOR_REDHAT, SUBSYSTEM_MODERN,
			     PCI_CONFIG_SIZE);
	}
	pci_bar_set(&vp->pdev, virtio_pci_bar(vp), PCI_BAR_MEM64, false, VIRTIO_PCI_BAR_SIZE);
}

/* Returns where the capability is, 0 when config space is full. */
static uint8_t cap_add(struct virtio_pci *vp, uint8_t type, size_t len, uint32_t offset,
		       uint32_t length)
{
	uint8_t at = pci_cap_add(&vp->pdev, PCI_CAP_ID_VNDR, (uint8_t)len);
	uint8_t *cap = vp->pdev.config + at;

	if (!at)
		return 0;
	cap[VIRTIO_PCI_CAP_LEN] = (uint8_t)len;
	cap[VIRTIO_PCI_CAP_CFG_TYPE] = type;
	cap[VIRTIO_PCI_CAP_BAR] = (uint8_t)virtio_pci_bar(vp);
	put_le32(cap + VIRTIO_PCI_CAP_OFFSET, offset);
	put_le32(cap + VIRTIO_PCI_CAP_LENGTH, length);
	return at;
}

static int caps_add(struct virtio_pci *vp, struct err *err)
{
	uint32_t notify_length = vp->vdev.queue_count * VIRTIO_PCI_NOTIFY_STEP;
	uint32_t device_length = (uint32_t)align_up(vp->vdev.ops->config_size, 4);
	size_t len = sizeof(struct virtio_pci_cap);
	uint8_t common, isr, device = 1, notify;

	common = cap_add(vp, VIRTIO_PCI_CAP_COMMON_CFG, len, 0, COMMON_SIZE);
	notify = cap_add(vp, VIRTIO_PCI_CAP_NOTIFY_CFG, sizeof(struct virtio_pci_notify_cap),
			 VIRTIO_PCI_NOTIFY_AT, notify_length);
	isr = cap_add(vp, VIRTIO_PCI_CAP_ISR_CFG, len, VIRTIO_PCI_ISR_AT, 1);
	if (device_length)
		device = cap_add(vp, VIRTIO_PCI_CAP_DEVICE_CFG, len, VIRTIO_PCI_DEVICE_AT,
				 device_length);
	vp->cfg_cap = cap_add(vp, VIRTIO_PCI_CAP_PCI_CFG, CFG_SIZE, 0, 0);
	if (!common || !notify || !isr || !device || !vp->cfg_cap)
		return err_set(err, -ENOSPC, "no room for virtio's capabilities");
	put_le32(vp->pdev.config + notify + VIRTIO_PCI_NOTIFY_CAP_MULT, VIRTIO_PCI_NOTIFY_STEP);
	vp->pdev.wmask[vp->cfg_cap + VIRTIO_PCI_CAP_BAR] = 0xff;
	memset(vp->pdev.wmask + vp->cfg_cap + VIRTIO_PCI_CAP_OFFSET, 0xff,
	       CFG_SIZE - VIRTIO_PCI_CAP_OFFSET);
	return 0;
}

int virtio_pci_init(struct virtio_pci *vp, const struct virtio_ops *ops, uint32_t class_code,
		    const uint16_t *queue_sizes, unsigned int queue_count, struct err *err)
{
	unsigned int bar = virtio_pci_bar(vp);
	int ret;

	if (vp->legacy && !virtio_pci_legacy_id(ops->type))
		return err_set(err, -EINVAL,
			       "legacy=on: virtio had no device of this kind before 1.0");
	if (!queue_count || queue_count > VIRTIO_PCI_QUEUES_MAX)
		return err_set(err, -EINVAL, "%u queues: it takes 1 to %u", queue_count,
			       VIRTIO_PCI_QUEUES_MAX);
	virtio_pci_describe(vp, ops, class_code);
	vp->queue_vectors = calloc(queue_count, sizeof(*vp->queue_vectors));
	vp->doorbells = calloc(queue_count, sizeof(*vp->doorbells));
	if (!vp->queue_vectors || !vp->doorbells ||
	    virtio_dev_init(&vp->vdev, &vp->pdev.dev, ops, &transport_ops, queue_sizes,
			    queue_count))
		return err_set(err, -ENOMEM, "no memory for %u queues", queue_count);
	if (vp->packed)
		vp->vdev.offered |= BIT64(VIRTIO_F_RING_PACKED);
	ret = caps_add(vp, err);
	if (!ret)
		ret = pci_msix_init(&vp->pdev, 0, queue_count + 1, bar, VIRTIO_PCI_MSIX_AT, bar,
				    VIRTIO_PCI_PBA_AT, err);
	if (ret)
		return ret;
	pci_intx_enable(&vp->pdev, true);
	virtio_pci_registers_reset(vp);
	return 0;
}

void virtio_pci_done(struct virtio_pci *vp)
{
	pci_dev_unplug(&vp->pdev);
	virtio_dev_done(&vp->vdev);
	free(vp->doorbells);
	free(vp->queue_vectors);
	vp->doorbells = NULL;
	vp->queue_vectors = NULL;
}

void virtio_pci_reset(struct dev *dev)
{
	struct virtio_pci *vp = to_virtio_pci(dev);

	pci_dev_reset(&vp->pdev);
	virtio_dev_reset(&vp->vdev);
	virtio_pci_registers_reset(vp);
	vp->master = dma(&vp->vdev);
}
