/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio device without its transport: status, features, queues (virtio 1.2 clauses 2.1 to 2.6
 * and 3). The transport (virtio_pci.c) turns register accesses into these calls; the device
 * (virtio_net.c) is a const struct virtio_ops.
 *
 * Everything but init and done runs with the device's lock held.
 */
#ifndef VIADUCT_VIRTIO_VIRTIO_DEV_H
#define VIADUCT_VIRTIO_VIRTIO_DEV_H

#include <linux/virtio_config.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/util.h"
#include "vmm/dev.h"

#include "virtq.h"

struct err;
struct loop;
struct virtio_dev;

struct virtio_ops {
	uint16_t type; /* device ID, clause 5 */
	uint16_t config_size; /* of the device-specific configuration */
	uint64_t features; /* offered beside VERSION_1 and the rings' own */
	/* Fills or takes [offset, offset + len) of the configuration; within config_size, @len 1, 2
	 * or 4. NULL write: nothing there can be written. */
	void (*config_read)(struct virtio_dev *vdev, unsigned int offset, void *buf,
			    unsigned int len);
	void (*config_write)(struct virtio_dev *vdev, unsigned int offset, const void *buf,
			     unsigned int len);
	/* The guest kicked a running queue. Thread of vdev->loop. Takes at most vq->size buffers, then
	 * virtq_kick_again(). */
	void (*notify)(struct virtio_dev *vdev, struct virtq *vq);
	/*
	 * The device is reset (2.4.1): by its driver, with the machine, or before it goes. What was
	 * under way has ended: drain() has seen to that, else this does, and it takes no time. When
	 * it returns every buffer that was popped is forgotten. Not NULL.
	 *
	 * Any thread, with the device's lock held, which is not given up. virtq_running() is false
	 * already, so nothing is popped; rings, features and addresses are still as the driver set
	 * them, and are forgotten afterwards. Nothing is interrupted for.
	 */
	void (*reset)(struct virtio_dev *vdev);
	/*
	 * Waits, @ms at the most, until nothing under way touches guest memory any more. NULL for a
	 * device that has nothing under way between two calls, or is quick to end it in running().
	 * The queues may no longer be served, as in reset(), and as there the lock is not given up:
	 * a device whose requests end in its loop takes their ends itself. What ends meanwhile may
	 * be published, not signalled.
	 *
	 * False when that was not enough: a disk may be on a file system that does not answer.
	 * Then virtio_dev_drained() follows when the last has ended. Meanwhile
	 * - a driver that resets the device is told to wait: the status it reads stays other than 0
	 *   (2.4.2), whatever it writes changes nothing, and other devices and vCPUs go on;
	 * - where nobody can be told to (bus mastering goes off, a legacy driver, the machine's
	 *   restart, removal) the wait is VIRTIO_DRAIN_MS, and after that the guest ends with
	 *   VM_END_DEVICE: memory that the kernel may yet write to can neither be given to the
	 * guest nor freed.
	 */
	bool (*drain)(struct virtio_dev *vdev, unsigned int ms);
	/*
	 * One queue is reset (2.6.1), and the others go on: waits, @ms at the most, until nothing
	 * of @vq's is under way, and forgets what was popped from it. @vq is not enabled any more,
	 * its ring is still known. virtio_queue_idle() when nothing is under way between two calls.
	 * NULL: VIRTIO_F_RING_RESET is not offered.
	 *
	 * False when that was not enough. Then virtio_queue_drained() follows, unless a reset of
	 * the device comes first; meanwhile the driver reads that its reset is not over.
	 */
	bool (*queue_reset)(struct virtio_dev *vdev, struct virtq *vq, unsigned int ms);
	/*
	 * NULL for a device that has nothing under way between two calls. The queues may be served
	 * from now on, or no longer: DRIVER_OK and bus mastering came together, or one went. What
	 * does not end then stays the device's: bus mastering may come back. In a reset this comes
	 * first, then drain(), then reset(). Also what a device is told by whose rings another
	 * serves (virtio_queue_hand_over()).
	 */
	void (*running)(struct virtio_dev *vdev, bool running);
	/* Meanwhile: ask transport->queue_fd() again. */
	void (*irqs_changed)(struct virtio_dev *vdev);
};

struct virtio_transport_ops {
	void (*queue_irq)(struct virtio_dev *vdev, unsigned int queue);
	void (*config_irq)(struct virtio_dev *vdev);
	/* An eventfd that interrupts for a queue without queue_irq(), or -1: there is none now. It
	 * stays the transport's, and good until ops->irqs_changed() or ops->running(). */
	int (*queue_fd)(const struct virtio_dev *vdev, unsigned int queue);
	/* Queues came into use, or all went out of use: connect the doorbells of the former. */
	void (*doorbells)(struct virtio_dev *vdev);
	/* May the device reach memory now (PCI: bus mastering)? */
	bool (*dma)(const struct virtio_dev *vdev);
};

/* Embedded in the transport's struct. */
struct virtio_dev {
	struct dev *dev;
	const struct virtio_ops *ops;
	const struct virtio_transport_ops *transport;
	struct loop *loop; /* that hears the doorbells; the guest's until the device says another */
	uint8_t status;
	uint8_t generation;
	uint64_t offered, acked;
	bool running_told; /* what ops->running() was last told */
	bool resetting;	   /* by its driver, and not drained yet */
	bool acked_beyond; /* the driver acked a feature above bit 63 */
	bool legacy; /* the driver speaks the interface from before 1.0, so has no VERSION_1 */
	struct virtq *queues;
	unsigned int queue_count;
	struct log_limit limit;
};

/*
 * VIRTIO_F_IN_ORDER (2.7.9, 2.8.8), for the features of a device that gives the buffers of a queue
 * back in the order in which it took them, because it has one in hand at a time. Nothing else is
 * needed: to write one used entry for many buffers is what a device may do, not what it must, and
 * one for each tells the driver no less. The driver may then fill its descriptors in ring order and
 * without looking; the rings here follow whatever it wrote.
 */
#define VIRTIO_FEATURE_IN_ORDER BIT64(VIRTIO_F_IN_ORDER)

/* @queue_sizes[i] is what queue i offers: a power of two, at most VIRTQ_SIZE_MAX. 0 or -ENOMEM,
 * then virtio_dev_done() frees what there is. Packed rings work, but the caller has to add them to
 * what is offered. */
int virtio_dev_init(struct virtio_dev *vdev, struct dev *dev, const struct virtio_ops *ops,
		    const struct virtio_transport_ops *transport, const uint16_t *queue_sizes,
		    unsigned int queue_count);
/* Loop thread, lock not held. Half-built or zero-initialised is fine. */
void virtio_dev_done(struct virtio_dev *vdev);

/* Was bit @bit negotiated? */
static inline bool virtio_has(const struct virtio_dev *vdev, unsigned int bit)
{
	return vdev->acked >> bit & 1;
}

/* DRIVER_OK, and memory within reach: may queues be served? A queue that broke is stopped by
 * itself; the others go on until the driver, told by DEVICE_NEEDS_RESET, resets the device. */
bool virtio_dev_running(const struct virtio_dev *vdev);

/* Memory came within reach, or went out of it: tells ops->running() when something has changed, and
 * drains. */
void virtio_dev_running_changed(struct virtio_dev *vdev);
/* @away: the queue's doorbell is no longer heard here, and rings once for whoever listens now. Else
 * it is heard again. The queue is in use, and not popped from while it is away. */
void virtio_queue_hand_over(struct virtq *vq, bool away);

/* 32 bits of the features offered, and of those the driver accepts (2.2). Beyond bit 63: 0. */
uint32_t virtio_dev_features(const struct virtio_dev *vdev, uint32_t select);
uint32_t virtio_dev_acked(const struct virtio_dev *vdev, uint32_t select);
/* Ignored once FEATURES_OK is set. */
void virtio_dev_ack(struct virtio_dev *vdev, uint32_t select, uint32_t features);

/*
 * The driver writes the status register (2.1, 3.1.1): 0 resets; bits can be added and never taken
 * away; FEATURES_OK sticks when every feature accepted was offered and VERSION_1 is among them;
 * DRIVER_OK sticks after FEATURES_OK.
 */
void virtio_dev_set_status(struct virtio_dev *vdev, uint8_t status);
/* As status 0: also at a reset of the machine, and when the device is to go (quiesce). Returns when
 * it has drained; else the guest is on its way to its end, and dev->stuck is set. */
void virtio_dev_reset(struct virtio_dev *vdev);
/* What ops->drain() gave up waiting for has ended. */
void virtio_dev_drained(struct virtio_dev *vdev);
/* How long to wait where nobody can be told to wait, in ms. */
#define VIRTIO_DRAIN_MS 30000u
unsigned int virtio_dev_drain_ms(const struct virtio_dev *vdev);
/* It was not enough: ends the guest. */
void virtio_dev_stuck(struct virtio_dev *vdev);

/*
 * The legacy interface (2.2.3, 2.7.2, 3.1.2), for a transport that has it beside the other one. The
 * first status that a driver writes here, other than 0, makes the device a legacy one until it is
 * reset: 32 features at most, no FEATURES_OK, rings of the size offered, in one piece. What is said
 * above holds otherwise; a driver that has got to FEATURES_OK there is not heard here.
 */
uint32_t virtio_dev_legacy_features(const struct virtio_dev *vdev);
/* Ignored once DRIVER_OK is set; a feature that is not offered is not taken. */
void virtio_dev_legacy_ack(struct virtio_dev *vdev, uint32_t features);
void virtio_dev_legacy_status(struct virtio_dev *vdev, uint8_t status);
/* Enables the queue, its ring beginning at @addr. Ignored when it is enabled. */
void virtio_queue_legacy_enable(struct virtq *vq, gpa_t addr);
/* As virtio_dev_kick(); before DRIVER_OK it stands for that, too. */
void virtio_dev_legacy_kick(struct virtio_dev *vdev, unsigned int queue);

/* The driver writes the queue's size; ignored unless a power of two within the offer, and while
 * the queue is enabled. */
void virtio_queue_set_size(struct virtq *vq, uint16_t size);
/* The driver enables the queue (4.1.4.3.2): ignored before FEATURES_OK and when it is enabled.
 * Addresses that cannot be are a violation. */
void virtio_queue_enable(struct virtq *vq);
/* The driver resets the queue (2.6.1.1). When that is over, which vq->resetting says, the queue is as
 * after a reset of the device, and can be enabled anew, of another size and elsewhere. False: ignored,
 * because VIRTIO_F_RING_RESET was not negotiated, or the last is not over. */
bool virtio_queue_reset(struct virtq *vq);
/* What ops->queue_reset() gave up waiting for has ended. */
void virtio_queue_drained(struct virtq *vq);
/* An ops->queue_reset() that has nothing to do. */
bool virtio_queue_idle(struct virtio_dev *vdev, struct virtq *vq, unsigned int ms);
/* The driver kicks, by an access that the kernel did not take. Out of range is ignored. */
void virtio_dev_kick(struct virtio_dev *vdev, unsigned int queue);
/* Kicks every running queue: memory came within reach again. */
void virtio_dev_kick_all(struct virtio_dev *vdev);

/* Sets DEVICE_NEEDS_RESET and tells the driver if it is there (2.1.2). */
void virtio_dev_needs_reset(struct virtio_dev *vdev);
/* The device changed its configuration (2.5.3): new generation, interrupt. */
void virtio_dev_config_changed(struct virtio_dev *vdev);

#endif
