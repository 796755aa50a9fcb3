/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other end of vhost-user, played by a thread: a server of up to two rings that writes 0x5a
 * into each device-writable byte and gives the buffer back, and which can be told to misbehave at
 * one message.
 */
#ifndef VIADUCT_TESTS_FAKE_VHOST_SERVER_H
#define VIADUCT_TESTS_FAKE_VHOST_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "virtio/vhost_user_conn.h"

#define FAKE_VHOST_RINGS 2u

enum fake_vhost_fault {
	FAKE_VHOST_GOOD,
	FAKE_VHOST_SILENT, /* takes the message and does not answer */
	FAKE_VHOST_HANGS_UP,
	FAKE_VHOST_WRONG_SIZE, /* answers with one byte less */
	FAKE_VHOST_WRONG_REQUEST,
	FAKE_VHOST_NO_REPLY_FLAG,
	FAKE_VHOST_EXTRA_FDS, /* as it should, with descriptors that nobody asked for */
	FAKE_VHOST_ONES,      /* answers with all ones */
	FAKE_VHOST_FAULTS,
};

struct fake_vhost_ring {
	uint32_t num, base;
	struct vhost_user_addr addr;
	int kick, call;
	bool enabled;
};

struct fake_vhost {
	char dir[32], path[64];
	pthread_t thread;
	bool serving;
	int listen, stop; /* stop: an eventfd */
	uint64_t features, protocol, queues;
	uint8_t config[VHOST_USER_CONFIG_MAX];
	/* the message at which it misbehaves, and how */
	uint32_t fault_at;
	enum fake_vhost_fault fault;
	bool holds; /* takes buffers and does not give them back */

	int conn;
	uint64_t acked;
	uint32_t set_config; /* offset << 8 | value of the last byte written */
	unsigned int connections, inflight_got, inflight_set;
	struct vhost_user_mem mem;
	uint8_t *map[VHOST_USER_FDS_MAX];
	struct fake_vhost_ring rings[FAKE_VHOST_RINGS];
	pthread_mutex_t lock; /* all of the above but what is constant while it runs */
};

/* Listens in a folder of its own; the thread serves one connection after the other. The caller sets
 * what it is like before fake_vhost_start(). */
void fake_vhost_init(struct fake_vhost *s);
void fake_vhost_start(struct fake_vhost *s);
/* Ends the thread and the connection; the socket goes. fake_vhost_start() may follow. */
void fake_vhost_stop(struct fake_vhost *s);
void fake_vhost_done(struct fake_vhost *s);
/* Sends bytes that nobody asked for. */
void fake_vhost_babble(struct fake_vhost *s);

#endif
