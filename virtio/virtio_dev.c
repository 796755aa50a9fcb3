// SPDX-License-Identifier: GPL-2.0-or-later
#include "virtio_dev.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "vmm/loop.h"
#include "vmm/vm.h"

#define FEATURES_CORE                                                                              \
	(BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_INDIRECT_DESC) |                          \
	 BIT64(VIRTIO_RING_F_EVENT_IDX))

#define VIRTIO_LEGACY_RING_ALIGN 4096u

/* How long a vCPU waits in a reset before its driver is told to. */
#define DRIVER_DRAIN_MS 1000u

#define STATUS_DRIVER                                                                              \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |        \
	 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

int virtio_dev_init(struct virtio_dev *vdev, struct dev *dev, const struct virtio_ops *ops,
		    const struct virtio_transport_ops *transport, const uint16_t *queue_sizes,
		    unsigned int queue_count)
{
	unsigned int i;

	*vdev = (struct virtio_dev){ .dev = dev, .ops = ops, .transport = transport };
	vdev->loop = dev->vm->loop;
	vdev->offered = FEATURES_CORE | ops->features;
	if (ops->queue_reset)
		vdev->offered |= BIT64(VIRTIO_F_RING_RESET);
	vdev->queues = calloc(queue_count, sizeof(*vdev->queues));
	if (!vdev->queues)
		return -ENOMEM;
	vdev->queue_count = queue_count;
	for (i = 0; i < queue_count; i++) {
		struct virtq *vq = &vdev->queues[i];

		vq->vdev = vdev;
		vq->index = i;
		vq->size_max = queue_sizes[i];
		vq->kick_fd = -1;
		virtq_reset(vq);
		vq->packed_state = calloc(vq->size_max, sizeof(*vq->packed_state));
		if (!vq->packed_state)
			return -ENOMEM;
	}
	return 0;
}

void virtio_dev_done(struct virtio_dev *vdev)
{
	unsigned int i;

	/* The loop's thread may be another. */
	if (vdev->queue_count)
		pthread_mutex_lock(&vdev->dev->lock);
	for (i = 0; i < vdev->queue_count; i++)
		loop_watch_del(vdev->queues[i].kick_watch);
	if (vdev->queue_count)
		pthread_mutex_unlock(&vdev->dev->lock);
	for (i = 0; i < vdev->queue_count; i++) {
		if (vdev->queues[i].vdev) /* else not reached by init */
			fd_close(&vdev->queues[i].kick_fd);
		free(vdev->queues[i].packed_state);
	}
	free(vdev->queues);
	vdev->queues = NULL;
	vdev->queue_count = 0;
}

bool virtio_dev_running(const struct virtio_dev *vdev)
{
	return vdev->status & VIRTIO_CONFIG_S_DRIVER_OK && vdev->transport->dma(vdev);
}

/* Tells the device. True when it is no longer running. */
static bool running_told(struct virtio_dev *vdev)
{
	bool running = virtio_dev_running(vdev);

	if (running == vdev->running_told)
		return false;
	vdev->running_told = running;
	if (vdev->ops->running)
		vdev->ops->running(vdev, running);
	return !running;
}

unsigned int virtio_dev_drain_ms(const struct virtio_dev *vdev)
{
	unsigned int ms = vdev->dev->vm->drain_ms;

	return ms ? ms : VIRTIO_DRAIN_MS;
}

static bool drained(struct virtio_dev *vdev, unsigned int ms)
{
	return !vdev->ops->drain || vdev->ops->drain(vdev, ms);
}

void virtio_dev_stuck(struct virtio_dev *vdev)
{
	vdev->dev->stuck = true;
	atomic_store(&vdev->dev->vm->stuck, true);
	log_line(vdev->dev->vm->log, LOG_ERROR,
		 "%s: the host has not ended within %u s what the guest asked of it", vdev->dev->id,
		 virtio_dev_drain_ms(vdev) / 1000);
	vm_request(
		vdev->dev->vm, VM_DEVICE_ERROR,
		"%s: what it was to read or write is stuck in the host, and the device cannot be "
		"reset or removed while that may still touch the guest's memory",
		vdev->dev->id);
}

void virtio_dev_running_changed(struct virtio_dev *vdev)
{
	if (running_told(vdev) && !vdev->resetting && !drained(vdev, virtio_dev_drain_ms(vdev)))
		virtio_dev_stuck(vdev);
}

/* Features. */

uint32_t virtio_dev_features(const struct virtio_dev *vdev, uint32_t select)
{
	return select < 2 ? (uint32_t)(vdev->offered >> 32 * select) : 0;
}

uint32_t virtio_dev_acked(const struct virtio_dev *vdev, uint32_t select)
{
	return select < 2 ? (uint32_t)(vdev->acked >> 32 * select) : 0;
}

void virtio_dev_ack(struct virtio_dev *vdev, uint32_t select, uint32_t features)
{
	if (vdev->status & VIRTIO_CONFIG_S_FEATURES_OK || vdev->legacy)
		return;
	if (select > 1) {
		vdev->acked_beyond |= features != 0;
		return;
	}
	vdev->acked &= ~(0xffffffffull << 32 * select);
	vdev->acked |= (uint64_t)features << 32 * select;
}

static bool features_good(struct virtio_dev *vdev)
{
	uint64_t extra = vdev->acked & ~vdev->offered;

	if (!extra && !vdev->acked_beyond && virtio_has(vdev, VIRTIO_F_VERSION_1))
		return true;
	log_limited(vdev->dev->vm->log, &vdev->limit, LOG_WARN,
		    "%s: the driver's features 0x%llx are refused: 0x%llx are not offered%s",
		    vdev->dev->id, (unsigned long long)vdev->acked, (unsigned long long)extra,
		    virtio_has(vdev, VIRTIO_F_VERSION_1) ? "" : ", without VERSION_1");
	return false;
}

/* Status. */

static void reset_end(struct virtio_dev *vdev)
{
	unsigned int i;

	vdev->resetting = false;
	vdev->status = 0;
	vdev->ops->reset(vdev);
	vdev->acked = 0;
	vdev->acked_beyond = false;
	vdev->legacy = false;
	for (i = 0; i < vdev->queue_count; i++)
		virtq_reset(&vdev->queues[i]);
	vdev->transport->doorbells(vdev);
}

/* Requests under way still write where the rings and buffers are: they end first. Until then the
 * bits stay that the driver had set before DRIVER_OK, of which there is one at least. */
static bool reset_begin(struct virtio_dev *vdev, unsigned int ms)
{
	vdev->status &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	running_told(vdev);
	return drained(vdev, ms);
}

void virtio_dev_reset(struct virtio_dev *vdev)
{
	if (vdev->dev->stuck)
		return;
	if (reset_begin(vdev, virtio_dev_drain_ms(vdev)))
		reset_end(vdev);
	else
		virtio_dev_stuck(vdev);
}

void virtio_dev_drained(struct virtio_dev *vdev)
{
	if (vdev->resetting)
		reset_end(vdev);
}

static void reset_by_driver(struct virtio_dev *vdev)
{
	if (vdev->legacy || vdev->dev->stuck) {
		virtio_dev_reset(vdev); /* such a driver does not ask whether it is over */
		return;
	}
	vdev->resetting = !reset_begin(vdev, DRIVER_DRAIN_MS);
	if (!vdev->resetting)
		reset_end(vdev);
	else
		log_limited(vdev->dev->vm->log, &vdev->limit, LOG_WARN,
			    "%s: its reset waits for what the host has not ended yet",
			    vdev->dev->id);
}

void virtio_dev_set_status(struct virtio_dev *vdev, uint8_t status)
{
	uint8_t add = status & STATUS_DRIVER & (uint8_t)~vdev->status;

	if (vdev->resetting)
		return;
	if (!status) {
		reset_by_driver(vdev);
		return;
	}
	if (add & VIRTIO_CONFIG_S_FEATURES_OK && !features_good(vdev))
		add &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	if (add & VIRTIO_CONFIG_S_DRIVER_OK && !vdev->legacy &&
	    !((vdev->status | add) & VIRTIO_CONFIG_S_FEATURES_OK))
		add &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	vdev->status |= add;
	if (!(add & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	vdev->transport->doorbells(vdev);
	virtio_dev_running_changed(vdev);
	/* 2.1.2: the interrupt for an error before this had nobody to hear it. */
	if (vdev->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		vdev->transport->config_irq(vdev);
}

void virtio_dev_needs_reset(struct virtio_dev *vdev)
{
	if (vdev->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	vdev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK)
		vdev->transport->config_irq(vdev);
}

void virtio_dev_config_changed(struct virtio_dev *vdev)
{
	vdev->generation++;
	if (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK)
		vdev->transport->config_irq(vdev);
}

/* Queues. */

/* Edge-triggered: the count in the eventfd is of no interest and is never read, so a kick costs
 * one epoll_wait() and no more. */
static void queue_kicked(void *opaque, uint32_t events)
{
	struct virtq *vq = opaque;

	(void)events;
	if (virtq_running(vq))
		vq->vdev->ops->notify(vq->vdev, vq);
}

static int queue_doorbell(struct virtq *vq, struct err *err)
{
	struct virtio_dev *vdev = vq->vdev;
	int fd, ret;

	if (vq->kick_fd >= 0)
		return 0;
	fd = io_eventfd_new();
	if (fd < 0)
		return err_sys(err, fd, "doorbell");
	ret = loop_watch_add(vdev->loop, fd, EPOLLIN | EPOLLET, &vdev->dev->lock, queue_kicked,
			     vq, &vq->kick_watch, err);
	if (ret) {
		close(fd);
		return ret;
	}
	vq->kick_fd = fd;
	return 0;
}

void virtio_queue_hand_over(struct virtq *vq, bool away)
{
	loop_watch_set(vq->kick_watch, away ? 0 : EPOLLIN | EPOLLET);
	if (away)
		io_eventfd_signal(vq->kick_fd);
}

void virtio_queue_set_size(struct virtq *vq, uint16_t size)
{
	if (!vq->enabled && !vq->resetting && is_pow2(size) && size <= vq->size_max)
		vq->size = size;
}

void virtio_queue_enable(struct virtq *vq)
{
	struct virtio_dev *vdev = vq->vdev;
	struct err err = { 0 };

	if (vq->enabled || vq->resetting || vdev->resetting ||
	    !(vdev->status & VIRTIO_CONFIG_S_FEATURES_OK || vdev->legacy))
		return;
	vq->format = virtio_has(vdev, VIRTIO_F_RING_PACKED) ? &virtq_packed : &virtq_split;
	vq->event_idx = virtio_has(vdev, VIRTIO_RING_F_EVENT_IDX);
	vq->indirect = virtio_has(vdev, VIRTIO_RING_F_INDIRECT_DESC);
	if (virtq_start(vq, &err) || queue_doorbell(vq, &err)) {
		virtq_fail(vq, "it cannot be enabled: %s", err.msg);
		return;
	}
	vq->enabled = true;
	if (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK)
		vdev->transport->doorbells(vdev);
}

static void queue_reset_end(struct virtq *vq)
{
	struct virtio_dev *vdev = vq->vdev;

	virtq_reset(vq);
	if (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK)
		vdev->transport->doorbells(vdev);
}

bool virtio_queue_reset(struct virtq *vq)
{
	struct virtio_dev *vdev = vq->vdev;

	if (!(vdev->status & VIRTIO_CONFIG_S_FEATURES_OK) || vdev->resetting || vq->resetting ||
	    !virtio_has(vdev, VIRTIO_F_RING_RESET))
		return false;
	/* As in a reset of the device: what is under way ends while the ring is known. */
	vq->resetting = vq->enabled;
	vq->enabled = false;
	if (!vq->resetting)
		virtq_reset(vq);
	else if (vdev->ops->queue_reset(vdev, vq, DRIVER_DRAIN_MS))
		queue_reset_end(vq);
	return true;
}

void virtio_queue_drained(struct virtq *vq)
{
	if (vq->resetting)
		queue_reset_end(vq);
}

bool virtio_queue_idle(struct virtio_dev *vdev, struct virtq *vq, unsigned int ms)
{
	(void)vdev;
	(void)vq;
	(void)ms;
	return true;
}

void virtio_dev_kick(struct virtio_dev *vdev, unsigned int queue)
{
	if (queue < vdev->queue_count && virtq_running(&vdev->queues[queue]))
		virtq_kick_again(&vdev->queues[queue]);
}

void virtio_dev_kick_all(struct virtio_dev *vdev)
{
	unsigned int i;

	for (i = 0; i < vdev->queue_count; i++)
		virtio_dev_kick(vdev, i);
}

/* The legacy interface. */

uint32_t virtio_dev_legacy_features(const struct virtio_dev *vdev)
{
	/* No device here minds how a request is cut into descriptors. */
	return (uint32_t)(vdev->offered | BIT64(VIRTIO_F_ANY_LAYOUT));
}

void virtio_dev_legacy_ack(struct virtio_dev *vdev, uint32_t features)
{
	if (!(vdev->status & (VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)))
		vdev->acked = features & virtio_dev_legacy_features(vdev);
}

void virtio_dev_legacy_status(struct virtio_dev *vdev, uint8_t status)
{
	if (vdev->resetting || (vdev->status & VIRTIO_CONFIG_S_FEATURES_OK && status))
		return;
	if (status && !vdev->legacy) {
		vdev->legacy = true;
		vdev->acked &= virtio_dev_legacy_features(vdev);
	}
	virtio_dev_set_status(vdev, status & (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK);
}

void virtio_queue_legacy_enable(struct virtq *vq, gpa_t addr)
{
	uint64_t avail_end;

	if (vq->enabled || !vq->vdev->legacy)
		return;
	/* 2.7.2: what the used ring follows includes the event index. */
	vq->desc = addr;
	vq->driver = addr + vq->size * sizeof(struct vring_desc);
	avail_end = vq->driver + (3ull + vq->size) * sizeof(uint16_t);
	vq->device = align_up(avail_end, VIRTIO_LEGACY_RING_ALIGN);
	virtio_queue_enable(vq);
}

/* 3.1.2: legacy drivers often used a device before they set DRIVER_OK. */
void virtio_dev_legacy_kick(struct virtio_dev *vdev, unsigned int queue)
{
	if (vdev->legacy && queue < vdev->queue_count && vdev->queues[queue].enabled)
		virtio_dev_set_status(vdev, vdev->status | VIRTIO_CONFIG_S_DRIVER_OK);
	virtio_dev_kick(vdev, queue);
}
