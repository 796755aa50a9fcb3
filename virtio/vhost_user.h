/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device whose rings another process serves, by the vhost-user protocol (vhost_user_conn.h): it
 * is given guest memory and each ring's addresses, doorbell and interrupt, and from then on a
 * request costs this process nothing.
 *
 * The process may go and come back. Meanwhile the guest's requests wait; when one listens again, it
 * is given the rings from where the used ring stands, and, where both ends can, the record of what
 * was in flight (INFLIGHT_SHMFD), which lives in memory that this process keeps.
 *
 * Loop thread with the device's lock held, but for open, bind and close, which are without it.
 * Asking a server what it is, which may take it long, is done by a thread of its own.
 */
#ifndef VIADUCT_VIRTIO_VHOST_USER_H
#define VIADUCT_VIRTIO_VHOST_USER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"

#include "vhost_user_conn.h"

struct loop_timer;
struct loop_watch;
struct virtio_dev;
struct vm;

/* What a server says of itself: asked once for each connection. */
struct vhost_user_hello {
	int fd;
	uint64_t features, protocol; /* the device's, and those of the protocol that both know */
	uint64_t queues;
	uint8_t config[VHOST_USER_CONFIG_MAX];
};

/* The same question to whoever serves next, asked by a thread. */
struct vhost_user_ask {
	const char *path;
	unsigned int config_size;
	pthread_t thread;
	bool under_way; /* the rest is the thread's, until done_fd is signalled */
	int done_fd;
	struct loop_watch *watch;
	int ret;
	struct vhost_user_hello hello;
	struct err err;
};

struct vhost_user_ring {
	bool started;
	uint16_t base; /* the next entry that the server is to take; packed, bit 15 says whether the
			* wrap counter is another than at the ring's beginning */
	int own_fd;    /* interrupts that cannot go straight to the guest come here */
	int call_fd;   /* what the server was given: a vector's eventfd, or own_fd */
	struct loop_watch *watch;
	struct virtq *vq;
};

struct vhost_user {
	/* set by the device before vhost_user_open() */
	const char *path;	  /* the server's socket */
	uint64_t wanted;	  /* features of the server's that the guest may be offered */
	uint64_t added;		  /* features that are offered without it and never told to it */
	unsigned int config_size; /* of the configuration that the server has; 0: it has none */
	uint16_t queues;
	uint8_t rings_each; /* what the server counts as one queue: 2 of a network card; 0: 1 */
	uint8_t kept; /* the byte of the configuration that is the guest's and not the server's: the
		       * next server is given it. 0: none */
	bool frames;  /* what is in a ring may be lost with its server, which works in order */

	struct vm *vm;
	const char *id;
	struct virtio_dev *vdev;
	struct vhost_user_hello hello; /* fd -1: nobody is there */
	struct vhost_user_ring *rings; /* one for each queue */
	int inflight_fd;
	struct vhost_user_inflight inflight;
	struct loop_watch *watch;
	struct loop_timer *retry;
	unsigned int failures; /* in a row: how long to wait before the next try */
	struct vhost_user_ask ask;
	bool open;
	bool running; /* the driver is there */
	struct log_limit limit;
};

/* Connects and asks what the server is. Guest memory must be of a file. 0, or -errno with the
 * reason; then only vhost_user_close() is allowed, as on a zero-initialised one. */
int vhost_user_open(struct vhost_user *vu, struct vm *vm, const char *id, struct err *err);
/* @vdev has its queues: it offers from here on what the server can do. */
int vhost_user_bind(struct vhost_user *vu, struct virtio_dev *vdev, struct err *err);
/* Lock not held; the device was reset. */
void vhost_user_close(struct vhost_user *vu);

/* The device's ops: running, irqs_changed; and reset, after which the server starts anew. */
void vhost_user_running(struct vhost_user *vu, bool running);
void vhost_user_irqs_changed(struct vhost_user *vu);
void vhost_user_reset(struct vhost_user *vu);
/* Hands a write of the guest's to the configuration on. */
void vhost_user_config_write(struct vhost_user *vu, unsigned int offset, const void *buf,
			     unsigned int len);

#endif
