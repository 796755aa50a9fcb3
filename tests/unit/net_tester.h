/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A network back end that remembers what it was given, for the tests of NICs. One device at a time.
 * Everything but the switches is cleared when the back end is opened. */
#ifndef VIADUCT_TESTS_NET_TESTER_H
#define VIADUCT_TESTS_NET_TESTER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vmm/iov.h"
#include "vmm/net.h"

struct tester {
	struct net *net;
	const struct net_host *host;
	bool full;
	/* Called for each frame sent, if set: the other vCPU. */
	void (*sending)(void *opaque);
	void *opaque;
	unsigned int sent, refused, ready; /* ready: of receive_ready() */
	unsigned int queue;		   /* of the last frame */
	uint8_t frames[8][4096];	   /* the first ones */
	size_t lens[8];
	uint8_t last[70000];
	size_t last_len;
	unsigned int header;
	net_offloads offloads;
	unsigned int queues;
	struct net_filter filter;
	unsigned int filters;
	int refuse; /* what set_header() and set_queues() return when not 0 */
};

static struct tester tester;

static inline int tester_open(struct net *net, const struct net_host *host, void **ret_state,
			      struct err *err)
{
	(void)err;
	memset(&tester, 0, sizeof(tester));
	tester.net = net;
	tester.host = host;
	tester.queues = 1;
	*ret_state = &tester;
	return 0;
}

static inline void tester_close(void *state)
{
	(void)state;
}

static inline bool tester_send(void *state, unsigned int queue, const struct iovec *iov,
			       unsigned int count)
{
	struct tester *t = state;

	t->refused += t->full;
	if (t->full)
		return false;
	if (t->sending)
		t->sending(t->opaque);
	if (t->sent < sizeof(t->lens) / sizeof(t->lens[0]))
		t->lens[t->sent] =
			iov_gather(iov, count, t->frames[t->sent], sizeof(t->frames[0]));
	t->sent++;
	t->queue = queue;
	t->last_len = iov_gather(iov, count, t->last, sizeof(t->last));
	return true;
}

static inline void tester_receive_ready(void *state, unsigned int queue)
{
	(void)queue;
	((struct tester *)state)->ready++;
}

static inline bool tester_has_header(void *state)
{
	(void)state;
	return true;
}

static inline int tester_set_header(void *state, unsigned int size, net_offloads offloads)
{
	struct tester *t = state;

	if (t->refuse)
		return t->refuse;
	t->header = size;
	t->offloads = offloads;
	return 0;
}

static inline int tester_set_queues(void *state, unsigned int count)
{
	struct tester *t = state;

	if (t->refuse)
		return t->refuse;
	t->queues = count;
	return 0;
}

static inline void tester_set_filter(void *state, const struct net_filter *filter)
{
	struct tester *t = state;

	t->filter = *filter;
	t->filters++;
}

/* As the user network: whole frames through one queue. */
static const struct net_backend_ops tester_ops = {
	.name = "tester", .open = tester_open, .close = tester_close, .send = tester_send
};

/* As a tap. */
__attribute__((unused)) static const struct net_backend_ops tester_tap_ops = {
	.name = "tester",
	.open = tester_open,
	.close = tester_close,
	.send = tester_send,
	.receive_ready = tester_receive_ready,
	.has_header = tester_has_header,
	.set_header = tester_set_header,
	.set_queues = tester_set_queues,
	.set_filter = tester_set_filter,
};

/* The back end has a frame. */
static inline void tester_deliver(pthread_mutex_t *lock, unsigned int queue,
				  const struct iovec *iov, unsigned int count)
{
	pthread_mutex_lock(lock);
	tester.host->deliver(tester.net, queue, iov, count);
	tester.host->deliver_end(tester.net, queue);
	pthread_mutex_unlock(lock);
}

#endif
