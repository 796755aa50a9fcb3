/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vhost-user protocol's messages (QEMU's docs/interop/vhost-user.rst): one unix stream socket
 * to a back end, requests with descriptors, and replies.
 *
 * The other end is a process that may be wrong, hostile, stuck or gone. So nothing waits longer
 * than VHOST_USER_TIMEOUT_MS for it, a reply is taken only when request, flags and size are what
 * was asked for, and descriptors that were not asked for are closed. After any error the connection
 * is of no use, and the caller closes it.
 *
 * No lock of its own: the device's. Nothing here needs a loop.
 */
#ifndef VIADUCT_VIRTIO_VHOST_USER_CONN_H
#define VIADUCT_VIRTIO_VHOST_USER_CONN_H

#include <stddef.h>
#include <stdint.h>

struct err;

#define VHOST_USER_TIMEOUT_MS 2000
#define VHOST_USER_FDS_MAX 8u /* with one message: a table of so many regions */
#define VHOST_USER_CONFIG_MAX 256u
#define VHOST_USER_PAYLOAD_MAX 512u

enum vhost_user_request {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
};

/* Bit numbers of the protocol's features. */
enum vhost_user_protocol {
	VHOST_USER_PROTOCOL_F_MQ = 0,
	VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
	VHOST_USER_PROTOCOL_F_CONFIG = 9,
	VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
};

/* Bit of the device's features: the back end knows GET_PROTOCOL_FEATURES. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

/* Payloads; numbers are the host's byte order. */
struct vhost_user_state {
	uint32_t index, num;
};

struct vhost_user_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log; /* addresses in this process */
};

struct vhost_user_region {
	uint64_t gpa, size, hva, fd_offset;
};

struct vhost_user_mem {
	uint32_t count, padding;
	struct vhost_user_region regions[VHOST_USER_FDS_MAX];
};

struct vhost_user_config {
	uint32_t offset, size, flags;
	uint8_t bytes[VHOST_USER_CONFIG_MAX];
};

struct vhost_user_inflight {
	uint64_t mmap_size, mmap_offset;
	uint16_t queue_count, queue_size;
} __attribute__((packed));

/* Connects. 0 and a descriptor in *@ret_fd, or -errno with the reason: nobody listens (-ENOENT,
 * -ECONNREFUSED), the path is too long, the peer's queue of callers is full (-EAGAIN). Does not
 * wait. */
int vhost_user_connect(const char *path, int *ret_fd, struct err *err);

/* Sends one message. @fds are sent along and stay the caller's. @flags beside the version:
 * VHOST_USER_NEED_REPLY. 0 or -errno: -ETIMEDOUT, -EPIPE. */
#define VHOST_USER_NEED_REPLY 8u
int vhost_user_send(int fd, enum vhost_user_request request, uint32_t flags, const void *payload,
		    size_t size, const int *fds, unsigned int fd_count, struct err *err);

/* Takes the reply to @request: exactly @size bytes. With @ret_fd one descriptor may come along and
 * is the caller's (-1 when there is none). 0 or -errno: -ETIMEDOUT, -EPIPE (it closed), -EPROTO (it
 * says something else). */
int vhost_user_reply(int fd, enum vhost_user_request request, void *payload, size_t size,
		     int *ret_fd, struct err *err);

#endif
