// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio-net: to the guest.
 *
 * Buffers are taken from the ring ahead of the frames, as many as the largest frame needs that may
 * come. A back end that can reads its frame straight into them (virtio_net_buffers()), others have
 * theirs copied there. Either way the buffers that hold it are then given back, frame by frame, and
 * the interrupt follows at the end of the burst. When the buffers do not do, the guest is asked for
 * a kick and the frame waits.
 */
#include <errno.h>

#include "base/log.h"
#include "vmm/iov.h"
#include "vmm/vm.h"

#include "virtio_net_priv.h"

#define NUM_BUFFERS_AT offsetof(struct virtio_net_hdr_v1, num_buffers)
#define PLAIN_FRAME 1522u /* with a VLAN tag */

/* The buffers at hand. */

static bool mergeable(const struct virtio_net *n)
{
	return virtio_has(&n->vpci.vdev, VIRTIO_NET_F_MRG_RXBUF);
}

void virtio_net_rx_forget(struct virtio_net *n, unsigned int pair)
{
	struct virtio_net_pool *pool = &n->pairs[pair].pool;

	pool->head = pool->count = 0;
	pool->iov_head = pool->iov_count = 0;
	pool->bytes = 0;
	n->pairs[pair].rx_waiting = false;
}

/* Room for the entries of one more buffer behind those that are there. */
static bool pool_room(struct virtio_net_pool *pool, unsigned int entries)
{
	if (pool->iov_count + entries > VIRTIO_NET_RX_IOV)
		return false;
	if (pool->iov_head + pool->iov_count + entries > VIRTIO_NET_RX_IOV) {
		memmove(pool->iov, pool->iov + pool->iov_head,
			pool->iov_count * sizeof(pool->iov[0]));
		pool->iov_head = 0;
	}
	return true;
}

static void pool_add(struct virtio_net_pool *pool, struct virtq_elem *e)
{
	unsigned int at = (pool->head + pool->count) % VIRTIO_NET_QUEUE_SIZE;

	memcpy(pool->iov + pool->iov_head + pool->iov_count, virtq_elem_in(e),
	       e->in_count * sizeof(pool->iov[0]));
	pool->buffer[at] = (struct virtio_net_buffer){
		.id = e->id,
		.iov_count = (uint16_t)e->in_count,
		.len = (uint32_t)MIN(e->in_len, UINT32_MAX),
	};
	pool->count++;
	pool->iov_count += e->in_count;
	pool->bytes += pool->buffer[at].len;
}

/* Takes buffers until there are @want bytes, or no more are to be had. -EIO: the queue broke. */
static int pool_fill(struct virtio_net *n, unsigned int pair, uint64_t want)
{
	struct virtio_net_pool *pool = &n->pairs[pair].pool;
	struct virtq *vq = virtio_net_rx_queue(n, pair);
	int ret;

	while (pool->bytes < want && pool->count < vq->size && (mergeable(n) || !pool->count)) {
		ret = virtq_pop(vq, &n->elem);
		if (ret <= 0)
			return ret;
		if (n->elem.in_len < n->header_size)
			return virtq_fail(vq, "receive buffer of %llu bytes",
					  (unsigned long long)n->elem.in_len);
		if (!pool_room(pool, n->elem.in_count)) {
			virtq_rewind(vq, 1, 0);
			return 0;
		}
		pool_add(pool, &n->elem);
	}
	return 0;
}

/* 5.1.6.4.1, in the header at @at, whose bytes may each lie in a descriptor of its own. */
static void put_num_buffers(struct iov_cursor *at, unsigned int used)
{
	unsigned int i;
	void *p = NULL;

	for (i = 0; i < NUM_BUFFERS_AT; i++)
		iov_cursor_next(at, 1, &p);
	for (i = 0; i < 2; i++)
		if (iov_cursor_next(at, 1, &p))
			*(uint8_t *)p = (uint8_t)(used >> 8 * i);
}

/* The first @len bytes of what is at hand are a frame with its header. */
static void pool_commit(struct virtio_net *n, unsigned int pair, size_t len)
{
	struct virtio_net_pool *pool = &n->pairs[pair].pool;
	struct virtq *vq = virtio_net_rx_queue(n, pair);
	unsigned int used = 0;
	struct iov_cursor first;
	size_t done = 0;

	iov_cursor_init(&first, pool->iov + pool->iov_head, pool->iov_count);
	while (done < len && pool->count) {
		const struct virtio_net_buffer *b = &pool->buffer[pool->head];
		size_t part = MIN(len - done, b->len);

		n->elem.id = b->id;
		virtq_push(vq, &n->elem, (uint32_t)part);
		done += part;
		used++;
		pool->head = (pool->head + 1) % VIRTIO_NET_QUEUE_SIZE;
		pool->count--;
		pool->iov_head += b->iov_count;
		pool->iov_count -= b->iov_count;
		pool->bytes -= b->len;
	}
	if (n->header_size > NUM_BUFFERS_AT)
		put_num_buffers(&first, used);
	virtq_publish(vq);
}

/* Nothing is there for a frame: is the guest to kick when there is? False: there is by now. */
static bool wait_for_kick(struct virtio_net *n, unsigned int pair)
{
	if (virtq_kick_on(virtio_net_rx_queue(n, pair)))
		return false;
	n->pairs[pair].rx_waiting = true;
	return true;
}

static bool rx_here(struct virtio_net *n, unsigned int pair)
{
	return !n->vhost && pair < n->active && virtq_running(virtio_net_rx_queue(n, pair));
}

/* Frames of the back end's. */

int virtio_net_buffers(void *nic, unsigned int pair, struct iovec *iov, unsigned int max)
{
	struct virtio_net *n = nic;
	struct virtio_net_pair *p = &n->pairs[pair];
	/* Without its header a frame would have to be moved. */
	bool straight = n->net.header == n->header_size;
	uint64_t segments = VIRTIO_NET_GUEST_OFFLOADS & ~BIT64(VIRTIO_NET_F_GUEST_CSUM);
	size_t most = n->vpci.vdev.acked & segments ? NET_FRAME_MAX : PLAIN_FRAME;
	unsigned int count;

	if (!rx_here(n, pair) || !straight)
		return -1;
	if (p->rx_waiting)
		return 0;
	do {
		if (pool_fill(n, pair, n->header_size + most))
			return -1;
	} while (!p->pool.count && !wait_for_kick(n, pair));
	count = MIN(p->pool.iov_count, max);
	memcpy(iov, p->pool.iov + p->pool.iov_head, count * sizeof(*iov));
	return (int)count;
}

void virtio_net_filled(void *nic, unsigned int pair, size_t len)
{
	struct virtio_net *n = nic;

	if (rx_here(n, pair))
		pool_commit(n, pair, len);
}

static bool rx_drop(struct virtio_net *n, const char *why)
{
	struct virtio_dev *vdev = &n->vpci.vdev;

	n->net.rx_dropped++;
	log_limited(vdev->dev->vm->log, &vdev->limit, LOG_DEBUG, "%s: frame dropped: %s",
		    vdev->dev->id, why);
	return true;
}

static void rx_copy(struct virtio_net *n, unsigned int pair, const struct iovec *iov,
		    unsigned int count)
{
	static const uint8_t zero[NET_HEADER_MAX];
	struct iovec header = { (void *)(uintptr_t)zero, n->header_size - n->net.header };
	struct virtio_net_pool *pool = &n->pairs[pair].pool;
	struct iov_cursor to, from;
	size_t len;

	iov_cursor_init(&to, pool->iov + pool->iov_head, pool->iov_count);
	iov_cursor_init(&from, &header, 1);
	len = iov_cursor_copy(&to, &from, header.iov_len);
	iov_cursor_init(&from, iov, count);
	len += iov_cursor_copy(&to, &from, iov_size(iov, count));
	pool_commit(n, pair, len);
}

bool virtio_net_receive(void *nic, unsigned int pair, const struct iovec *iov, unsigned int count)
{
	struct virtio_net *n = nic;
	struct virtio_net_pair *p = &n->pairs[pair];
	uint64_t need = n->header_size - n->net.header + iov_size(iov, count);

	if (!rx_here(n, pair)) {
		n->net.rx_dropped++;
		return true;
	}
	if (p->rx_waiting)
		return false;
	for (;;) {
		if (pool_fill(n, pair, need))
			return true; /* the queue is broken and has been reported */
		if (p->pool.bytes >= need)
			break;
		/* It cannot fit, however long one waits. */
		if (p->pool.count && !mergeable(n))
			return rx_drop(n, "larger than the buffer");
		if (p->pool.count == virtio_net_rx_queue(n, pair)->size)
			return rx_drop(n, "larger than all buffers");
		if (wait_for_kick(n, pair))
			return virtio_net_rx_queue(n, pair)->broken;
	}
	rx_copy(n, pair, iov, count);
	return true;
}

void virtio_net_receive_end(void *nic, unsigned int pair)
{
	struct virtio_net *n = nic;

	if (rx_here(n, pair))
		virtq_signal(virtio_net_rx_queue(n, pair));
}

void virtio_net_rx_kicked(struct virtio_net *n, unsigned int pair)
{
	virtq_kick_off(virtio_net_rx_queue(n, pair));
	n->pairs[pair].rx_waiting = false;
	net_ready(&n->net, pair);
}
