/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One virtqueue in guest memory without PCI, KVM or threads: for the ring's rules, and for the
 * fuzzer. Calls no test library. */
#ifndef VIADUCT_TESTS_VIRTQ_RIG_H
#define VIADUCT_TESTS_VIRTQ_RIG_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "virtio/virtio_dev.h"
#include "vmm/vm.h"

#define RIG_DESC 0x10000u
#define RIG_AVAIL 0x20000u
#define RIG_USED 0x30000u
#define RIG_DATA 0x40000u

struct virtq_rig {
	struct vm vm;
	struct dev dev;
	struct virtio_dev vdev;
	struct virtq *vq;
	struct virtq_elem elem;
	unsigned int queue_irqs, config_irqs;
	unsigned int queue_resets, queue_resets_inflight; /* and what was under way at the last */
	uint16_t avail_idx;
	uint8_t *ram;
};

static inline struct virtq_rig *rig_of(const struct virtio_dev *vdev)
{
	return container_of(vdev, struct virtq_rig, vdev);
}

static inline void rig_queue_irq(struct virtio_dev *vdev, unsigned int queue)
{
	(void)queue;
	rig_of(vdev)->queue_irqs++;
}

static inline void rig_config_irq(struct virtio_dev *vdev)
{
	rig_of(vdev)->config_irqs++;
}

static inline void rig_nothing(struct virtio_dev *vdev)
{
	(void)vdev;
}

static inline bool rig_dma(const struct virtio_dev *vdev)
{
	(void)vdev;
	return true;
}

static inline void rig_config_read(struct virtio_dev *vdev, unsigned int offset, void *buf,
				   unsigned int len)
{
	(void)vdev;
	(void)offset;
	memset(buf, 0, len);
}

static inline void rig_notify(struct virtio_dev *vdev, struct virtq *vq)
{
	(void)vdev;
	(void)vq;
}

static inline bool rig_queue_reset(struct virtio_dev *vdev, struct virtq *vq, unsigned int ms)
{
	struct virtq_rig *r = rig_of(vdev);

	(void)ms;
	r->queue_resets++;
	r->queue_resets_inflight = vq->inflight;
	/* What ends in a drain is given back while the ring is known. */
	while (vq->inflight)
		virtq_push(vq, &r->elem, 0);
	virtq_publish(vq);
	return true;
}

static const struct virtio_ops rig_ops = {
	.type = 63,
	.config_size = 4,
	.config_read = rig_config_read,
	.notify = rig_notify,
	.reset = rig_nothing,
	.queue_reset = rig_queue_reset,
};

static const struct virtio_transport_ops rig_transport = {
	.queue_irq = rig_queue_irq,
	.config_irq = rig_config_irq,
	.doorbells = rig_nothing,
	.dma = rig_dma,
};

/* Guest memory of @memory bytes and a queue that offers @size_max. NULL when there is no memory. */
static inline struct virtq_rig *rig_open(uint64_t memory, uint16_t size_max)
{
	struct virtq_rig *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->vm.config.name = "rig";
	r->vm.kvm_fd = r->vm.fd = -1;
	r->dev.vm = &r->vm;
	r->dev.id = (char *)(uintptr_t)"rig0";
	pthread_mutex_init(&r->dev.lock, NULL);
	if (loop_new(&r->vm.loop, NULL) || mem_init(&r->vm.mem, &r->vm, memory, NULL) ||
	    virtio_dev_init(&r->vdev, &r->dev, &rig_ops, &rig_transport, &size_max, 1))
		abort();
	r->vdev.offered |= BIT64(VIRTIO_F_RING_PACKED);
	r->vq = &r->vdev.queues[0];
	if (virtq_elem_init(&r->elem, r->vq))
		abort();
	r->ram = r->vm.mem.banks[0].hva;
	return r;
}

static inline void rig_close(struct virtq_rig *r)
{
	virtq_elem_done(&r->elem);
	virtio_dev_done(&r->vdev);
	loop_free(r->vm.loop);
	mem_done(&r->vm.mem);
	pthread_mutex_destroy(&r->dev.lock);
	free(r);
}

/* Enables the queue, its ring being @at bytes behind RIG_*. */
static inline void rig_enable(struct virtq_rig *r, uint16_t size, gpa_t at)
{
	virtio_queue_set_size(r->vq, size);
	r->vq->desc = RIG_DESC + at;
	r->vq->driver = RIG_AVAIL + at;
	r->vq->device = RIG_USED + at;
	virtio_queue_enable(r->vq);
	r->avail_idx = 0;
}

/* What a driver does up to DRIVER_OK; the ring is at RIG_*. */
static inline void rig_start(struct virtq_rig *r, uint16_t size, uint64_t features)
{
	virtio_dev_set_status(&r->vdev, 0);
	virtio_dev_ack(&r->vdev, 0, (uint32_t)features);
	virtio_dev_ack(&r->vdev, 1, (uint32_t)(features >> 32) | 1);
	virtio_dev_set_status(&r->vdev, VIRTIO_CONFIG_S_FEATURES_OK);
	rig_enable(r, size, 0);
	virtio_dev_set_status(&r->vdev, VIRTIO_CONFIG_S_DRIVER_OK);
}

static inline void rig_desc_at(struct virtq_rig *r, gpa_t table, unsigned int i, gpa_t addr,
			       uint32_t len, uint16_t flags, uint16_t next)
{
	uint8_t *d = r->ram + table + i * 16u;

	put_le64(d, addr);
	put_le32(d + 8, len);
	put_le16(d + 12, flags);
	put_le16(d + 14, next);
}

static inline void rig_desc(struct virtq_rig *r, unsigned int i, gpa_t addr, uint32_t len,
			    uint16_t flags, uint16_t next)
{
	rig_desc_at(r, RIG_DESC, i, addr, len, flags, next);
}

static inline void rig_avail_idx(struct virtq_rig *r, uint16_t idx)
{
	put_le16(r->ram + RIG_AVAIL + 2, idx);
}

static inline void rig_post(struct virtq_rig *r, uint16_t head)
{
	put_le16(r->ram + RIG_AVAIL + 4 + (r->avail_idx & (r->vq->size - 1u)) * 2u, head);
	rig_avail_idx(r, ++r->avail_idx);
}

static inline uint16_t rig_used_idx(const struct virtq_rig *r)
{
	return get_le16(r->ram + RIG_USED + 2);
}

static inline bool rig_broken(const struct virtq_rig *r)
{
	return r->vdev.status & VIRTIO_CONFIG_S_NEEDS_RESET;
}

#endif
