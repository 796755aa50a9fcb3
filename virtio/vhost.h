/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings that the host's kernel serves (linux/vhost.h): it is given guest memory and each ring's
 * addresses, doorbell and interrupt, and from then on a request costs this process nothing. A
 * device gives it a run of its queues; the others stay here.
 *
 * Loop thread or a vCPU's, with the device's lock held, but for open, bind and close, which are
 * without it.
 */
#ifndef VIADUCT_VIRTIO_VHOST_H
#define VIADUCT_VIRTIO_VHOST_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct loop_watch;
struct vhost;
struct virtio_dev;
struct virtq;
struct vm;

struct vhost_ring {
	bool started;  /* its doorbell is the kernel's */
	uint16_t base; /* the next entry of the available ring that the kernel is to take */
	int own_fd;    /* interrupts that cannot go straight to the guest come here */
	int call_fd;   /* what the kernel was given: a vector's eventfd, or own_fd */
	int err_fd;    /* the kernel gave the ring up: the guest broke a rule, or see lost() */
	struct loop_watch *watch, *err_watch;
	struct virtq *vq;
	struct vhost *vhost;
};

struct vhost {
	/* set by the device before vhost_open() */
	const char *path;   /* of the kernel's device */
	const char *module; /* that makes it, for a message */
	uint64_t wanted;    /* features of the kernel's that the guest may be offered */
	unsigned int first, queues; /* the device's, which the kernel numbers from 0 */
	/* The rings are described: serve them, or no more. After a stop, which must succeed on a
	 * half-started one, the kernel touches no ring. 0 or -errno with the reason. */
	int (*serve)(struct vhost *v, bool on, struct err *err);
	/* Has the kernel lost what the rings are for, which it also reports as an error of theirs?
	 * Then it is not the driver's. NULL: it cannot. */
	bool (*lost)(struct vhost *v);

	int fd;
	uint64_t features; /* the kernel's */
	struct vm *vm;
	struct virtio_dev *vdev;
	struct vhost_ring *rings; /* one for each queue of the kernel's */
	bool open;
};

/* Opens the device, or takes @fd when it is not negative (closed by vhost_close(), also after a
 * failure here), becomes its owner and asks what it can. 0, -ENODEV when this host has no such
 * device, or -errno; then only vhost_close() is allowed, as on a zero-initialised one. */
int vhost_open(struct vhost *v, struct vm *vm, int fd, struct err *err);
/* What the kernel can do of v->wanted and of the rings' own features. */
uint64_t vhost_features(const struct vhost *v);
/* @vdev has its queues. What it offers of that business is within vhost_features(); whatever else it
 * offers, the kernel is not told. */
int vhost_bind(struct vhost *v, struct virtio_dev *vdev, struct err *err);
/* Lock not held; the device was reset. */
void vhost_close(struct vhost *v);

/* The device's ops: running, irqs_changed; and reset, after which the rings start anew. When the
 * kernel refuses, the queues are stopped with the reason in the log, until the driver resets. */
void vhost_running(struct vhost *v, bool running);
void vhost_irqs_changed(struct vhost *v);
void vhost_reset(struct vhost *v);

/* An ioctl of the device's own. 0, or -errno with "@path: @what: reason". */
int vhost_ask(const struct vhost *v, unsigned long request, const char *what, void *arg,
	      struct err *err);

#endif
