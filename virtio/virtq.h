/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues, virtio 1.2 clause 2.6: what is common to the ring formats. virtq.c has the theory.
 * Everything here runs with the device's lock held.
 */
#ifndef VIADUCT_VIRTIO_VIRTQ_H
#define VIADUCT_VIRTIO_VIRTQ_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/types.h"

struct err;
struct loop_watch;
struct virtio_dev;
struct virtq;

#define VIRTQ_SIZE_MAX 1024u /* the largest ring a device may offer */

/*
 * One buffer of the guest: a checked chain of descriptors. The device-readable entries come first
 * (2.6.4.2), then the device-writable ones. The entries point into guest memory, which the guest
 * may change at any time; lengths and addresses are the copy that was checked.
 */
struct virtq_elem {
	uint16_t id; /* what goes back: split, the head of the chain; packed, the buffer id */
	unsigned int out_count, in_count;
	uint64_t out_len, in_len;
	unsigned int iov_max;
	struct iovec *iov;
};

/* Makes room for the longest chain that @vq can carry; for the life of the device, so that no
 * request allocates. 0 or -ENOMEM. */
int virtq_elem_init(struct virtq_elem *elem, const struct virtq *vq);
void virtq_elem_done(struct virtq_elem *elem);

static inline struct iovec *virtq_elem_out(struct virtq_elem *elem)
{
	return elem->iov;
}

static inline struct iovec *virtq_elem_in(struct virtq_elem *elem)
{
	return elem->iov + elem->out_count;
}

/* Adds one descriptor's span to @elem, for the ring formats: checks order, length, memory and room.
 * 0, or -EIO after virtq_fail(). */
int virtq_elem_add(struct virtq *vq, struct virtq_elem *elem, gpa_t addr, uint32_t len, bool in);

/* A ring format. Contracts as the virtq_*() functions of the same name. */
struct virtq_format {
	const char *name;
	int (*start)(struct virtq *vq, struct err *err);
	int (*pop)(struct virtq *vq, struct virtq_elem *elem);
	void (*rewind)(struct virtq *vq, unsigned int pops, unsigned int pushes);
	void (*push)(struct virtq *vq, const struct virtq_elem *elem, uint32_t len);
	void (*publish)(struct virtq *vq);
	bool (*irq_wanted)(struct virtq *vq);
	void (*kick_off)(struct virtq *vq);
	bool (*kick_on)(struct virtq *vq);
};

extern const struct virtq_format virtq_split, virtq_packed;
/* The used ring's index as it stands in guest memory, whoever wrote it. The queue is in use. */
uint16_t virtq_split_used_index(const struct virtq *vq);
/* The same of the available ring. */
uint16_t virtq_split_avail_index(const struct virtq *vq);

/* The rings of the split format in guest memory, whole spans checked at the start. */
struct virtq_split_ring {
	const void *desc;
	const void *avail;
	void *used;
	uint16_t avail_next;	/* the next entry to take */
	uint16_t avail_seen;	/* the guest's index when last looked at */
	uint16_t used_next;	/* the next entry to write; not yet visible */
	uint16_t used_signalled; /* where it was when an interrupt was last considered */
};

/* The packed format: a place in the ring and the wrap counter there (2.8.1). */
struct virtq_packed_pos {
	uint16_t at;
	bool wrap;
};

struct virtq_packed_ring {
	void *desc;
	const void *driver; /* the driver's event suppression (2.8.10) */
	void *device;	    /* and the device's */
	struct virtq_packed_pos avail; /* the next entry to take */
	struct virtq_packed_pos used;  /* the next entry to write */
	uint16_t slots_out; /* entries of buffers that are taken and not published */
	uint16_t pending;   /* pushed and not published */
	uint16_t pops;	    /* counts, for rewinding */
	unsigned int unsignalled; /* entries published since an interrupt was last considered */
};

/* One of size_max for each queue; three tables in one, each with an index of its own. */
struct virtq_packed_state {
	uint16_t slots;	 /* by buffer id: entries of the buffer in flight; 0: none is */
	uint16_t taken;	 /* by pops: the id */
	uint16_t pushed; /* by pushes that are pending: the id, */
	uint32_t len;	 /* and the length */
};

struct virtq {
	struct virtio_dev *vdev;
	unsigned int index;
	uint16_t size_max; /* what the device offers */

	/* What the driver wrote; frozen while enabled. */
	uint16_t size;
	gpa_t desc, driver, device;
	bool enabled;
	bool resetting; /* alone, and not over yet: neither enabled nor to be enabled */

	/* While enabled. */
	const struct virtq_format *format;
	bool broken; /* the guest broke the rules: nothing more is taken until a reset */
	bool event_idx, indirect; /* negotiated */
	uint16_t inflight; /* taken and not given back */
	union {
		struct virtq_split_ring split;
		struct virtq_packed_ring packed;
	};
	struct virtq_packed_state *packed_state; /* for the life of the device */

	/* The doorbell, made when the queue is first enabled: -1 before. */
	int kick_fd;
	struct loop_watch *kick_watch;
};

/* Checks the addresses and readies the ring that vq->format says. 0, or -EINVAL with the reason:
 * the address is not aligned or not RAM. */
int virtq_start(struct virtq *vq, struct err *err);
/* Back to what it was before the driver touched it; the doorbell stays. */
void virtq_reset(struct virtq *vq);

/* Takes the next buffer. 1, 0 when there is none, -EIO when the queue is broken (then the device
 * has been marked already). The caller takes at most vq->size in one pass. */
int virtq_pop(struct virtq *vq, struct virtq_elem *elem);
/* Takes back the last @pops of virtq_pop() and the last @pushes of virtq_push(), which must not
 * have been published: the buffers are there again, and are read again when taken again. */
void virtq_rewind(struct virtq *vq, unsigned int pops, unsigned int pushes);
/* Gives a buffer back, with @len bytes written to its start. Not visible before
 * virtq_publish(). */
void virtq_push(struct virtq *vq, const struct virtq_elem *elem, uint32_t len);
/* Lets the guest see what was pushed. */
void virtq_publish(struct virtq *vq);
/* Publishes, and interrupts the guest if it wants that (2.6.7, 2.6.10). */
void virtq_signal(struct virtq *vq);

/* Asks the guest not to kick; a hint. */
void virtq_kick_off(struct virtq *vq);
/* Asks for a kick at the next buffer. True: more is there already, no kick will come for it. */
bool virtq_kick_on(struct virtq *vq);
/* The pass has used up its share: go on after others had a turn. */
void virtq_kick_again(struct virtq *vq);

/* May buffers be taken: enabled, not broken, driver there, bus mastering on? */
bool virtq_running(const struct virtq *vq);

/* The queue cannot go on, for @why: says so in the log, stops it, sets DEVICE_NEEDS_RESET. */
void virtq_stop(struct virtq *vq, const char *why);
/* The guest broke a rule: says so in the log, stops the queue, sets DEVICE_NEEDS_RESET. Returns
 * -EIO. */
int virtq_fail(struct virtq *vq, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
