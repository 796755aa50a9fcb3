/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio device of the tests' own, and a driver for it: for what the transport does. */
#ifndef VIADUCT_TESTS_VIRTIO_TOY_H
#define VIADUCT_TESTS_VIRTIO_TOY_H

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "base/util.h"
#include "fake_driver.h"
#include "virtio/virtio_pci.h"

#define TOY_QUEUES 3
#define TOY_FEATURE_A BIT64(5)
#define TOY_FEATURE_B BIT64(50)
#define TOY_CONFIG_SIZE 12

struct toy {
	struct virtio_pci vpci;
	struct virtq_elem elem;
	uint8_t config[TOY_CONFIG_SIZE];
	unsigned int notified[TOY_QUEUES], resets, taken;
	unsigned int drained; /* resets that found a ring with a buffer under way */
	unsigned int refused; /* of these, those that could still pop */
};

static inline struct toy *to_toy(struct dev *dev)
{
	return container_of(to_virtio_pci(dev), struct toy, vpci);
}

static inline void toy_config_read(struct virtio_dev *vdev, unsigned int offset, void *buf,
				   unsigned int len)
{
	memcpy(buf, to_toy(vdev->dev)->config + offset, len);
}

static inline void toy_config_write(struct virtio_dev *vdev, unsigned int offset, const void *buf,
				    unsigned int len)
{
	memcpy(to_toy(vdev->dev)->config + offset, buf, len);
}

static inline void toy_notify(struct virtio_dev *vdev, struct virtq *vq)
{
	struct toy *toy = to_toy(vdev->dev);

	toy->notified[vq->index]++;
	while (virtq_pop(vq, &toy->elem) > 0) {
		virtq_push(vq, &toy->elem, 7);
		toy->taken++;
	}
	virtq_kick_on(vq);
	virtq_signal(vq);
}

static inline void toy_reset(struct virtio_dev *vdev)
{
	struct toy *toy = to_toy(vdev->dev);
	struct virtq *vq = &vdev->queues[2];

	toy->resets++;
	if (!vq->enabled || !vq->inflight || !virtio_has(vdev, VIRTIO_F_VERSION_1))
		return;
	toy->drained++;
	toy->refused += !virtq_running(vq);
}

static const struct virtio_ops toy_ops = {
	.type = 42,
	.config_size = TOY_CONFIG_SIZE,
	.features = TOY_FEATURE_A | TOY_FEATURE_B,
	.config_read = toy_config_read,
	.config_write = toy_config_write,
	.notify = toy_notify,
	.reset = toy_reset,
};

static inline int toy_realize_as(struct dev *dev, const struct virtio_ops *ops, struct err *err)
{
	static const uint16_t sizes[TOY_QUEUES] = { 8, 256, 1024 };
	struct toy *toy = to_toy(dev);
	int ret = virtio_pci_init(&toy->vpci, ops, 0xff0000, sizes, TOY_QUEUES, err);

	if (!ret)
		ret = virtq_elem_init(&toy->elem, &toy->vpci.vdev.queues[2]);
	return ret ? ret : pci_dev_plug(&toy->vpci.pdev, err);
}

static inline int toy_realize(struct dev *dev, struct err *err)
{
	return toy_realize_as(dev, &toy_ops, err);
}

static inline void toy_destroy(struct dev *dev)
{
	virtio_pci_done(&to_toy(dev)->vpci);
	virtq_elem_done(&to_toy(dev)->elem);
}

static const struct opt_field toy_options[] = {
	VIRTIO_PCI_OPTIONS(struct toy, vpci),
	OPT_END,
};

static const struct dev_class toy_class = {
	.name = "toy",
	.size = sizeof(struct toy),
	.options = toy_options,
	.pci = &virtio_pci_ops,
	.realize = toy_realize,
	.destroy = toy_destroy,
	.reset = virtio_pci_reset,
	.read = virtio_pci_read,
	.write = virtio_pci_write,
};

struct rig {
	struct guest *g;
	struct toy *toy;
	struct driver v;
	struct ring q;
	uint64_t extra; /* what bring_up() negotiates beside the usual */
	unsigned int posted;
};

static inline int toy_setup(void **state, const char *spec, uint64_t extra)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->extra = extra;
	r->g = guest_new(4 * MIB);
	r->toy = to_toy(guest_device(r->g, &toy_class, spec));
	guest_start(r->g);
	driver_open(&r->v, r->g, &r->toy->vpci.pdev.dev);
	*state = r;
	return 0;
}

static inline int setup(void **state)
{
	return toy_setup(state, "toy", 0);
}

static inline int setup_packed(void **state)
{
	return toy_setup(state, "toy,packed=on", BIT64(VIRTIO_F_RING_PACKED));
}

static inline int teardown(void **state)
{
	struct rig *r = *state;

	guest_free(r->g);
	test_free(r);
	return 0;
}

static inline uint64_t common(struct rig *r, unsigned int reg, unsigned int size)
{
	return guest_read(r->g, r->v.common + reg, size);
}

static inline void set_common(struct rig *r, unsigned int reg, unsigned int size, uint64_t value)
{
	guest_write(r->g, r->v.common + reg, size, value);
}

/* A driver with one queue running and MSI-X on. */
static inline void bring_up(struct rig *r, unsigned int queue, uint16_t size)
{
	guest_msix_on(r->g, &r->toy->vpci.pdev);
	assert_true(driver_negotiate(&r->v, BIT64(VIRTIO_F_VERSION_1) | TOY_FEATURE_A | r->extra));
	set_common(r, VIRTIO_PCI_COMMON_MSIX, 2, 0);
	ring_open(&r->q, &r->v, queue, size, (uint16_t)(queue + 1));
	driver_set_status(&r->v, VIRTIO_CONFIG_S_DRIVER_OK);
	r->posted = 0;
}

static inline void post_and_kick(struct rig *r)
{
	gpa_t buf = guest_alloc(r->g, 16, 16);
	bool wrap = !(r->posted / r->q.size & 1);

	if (r->extra & BIT64(VIRTIO_F_RING_PACKED)) {
		ring_desc(&r->q, r->posted++ % r->q.size, buf, 16, 0,
			  (uint16_t)(VRING_DESC_F_WRITE |
				     1u << (wrap ? VRING_PACKED_DESC_F_AVAIL
						 : VRING_PACKED_DESC_F_USED)));
	} else {
		ring_desc(&r->q, 0, buf, 16, VRING_DESC_F_WRITE, 0);
		ring_post(&r->q, 0);
	}
	ring_kick(&r->q);
	guest_sync(r->g);
}

#endif
