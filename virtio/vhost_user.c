// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_user.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "virtio_dev.h"
#include "vmm/loop.h"
#include "vmm/vm.h"

#define PROTOCOL_OURS                                                                              \
	(BIT64(VHOST_USER_PROTOCOL_F_MQ) | BIT64(VHOST_USER_PROTOCOL_F_REPLY_ACK) |                \
	 BIT64(VHOST_USER_PROTOCOL_F_CONFIG) | BIT64(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD))
#define RINGS_OURS                                                                                 \
	(BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_INDIRECT_DESC) |                          \
	 BIT64(VIRTIO_RING_F_EVENT_IDX))

#define RETRY_NS 1000000000ull /* doubled at each failure, up to */
#define RETRY_DOUBLINGS 5u
#define INFLIGHT_MAX (64 * MIB)

/* In the protocol's count, where a pair of rings is one queue of a network card. */
static unsigned int server_queues(const struct vhost_user *vu)
{
	return vu->queues / MAX(vu->rings_each, 1u);
}

static bool speaks(const struct vhost_user *vu, unsigned int bit)
{
	return vu->hello.protocol >> bit & 1;
}

/* What a server is. Nothing of the device is touched, so a thread may ask. */

static int get_u64(int fd, enum vhost_user_request request, uint64_t *ret_value, struct err *err)
{
	int ret = vhost_user_send(fd, request, 0, NULL, 0, NULL, 0, err);

	return ret ? ret : vhost_user_reply(fd, request, ret_value, sizeof(*ret_value), NULL, err);
}

static int set_u64(int fd, enum vhost_user_request request, uint64_t value, struct err *err)
{
	return vhost_user_send(fd, request, 0, &value, sizeof(value), NULL, 0, err);
}

static int get_config(struct vhost_user_hello *h, unsigned int config_size, struct err *err)
{
	struct vhost_user_config config = { .size = config_size };
	size_t size = offsetof(struct vhost_user_config, bytes) + config_size;
	int ret;

	if (!config_size)
		return 0;
	if (!(h->protocol >> VHOST_USER_PROTOCOL_F_CONFIG & 1))
		return err_set(err, -EPROTO, "it cannot say the device's configuration (CONFIG)");
	ret = vhost_user_send(h->fd, VHOST_USER_GET_CONFIG, 0, &config, size, NULL, 0, err);
	if (!ret)
		ret = vhost_user_reply(h->fd, VHOST_USER_GET_CONFIG, &config, size, NULL, err);
	if (ret)
		return ret;
	if (config.offset || config.size != config_size)
		return err_set(err, -EPROTO,
			       "it answers with %u bytes of configuration at %u, not %u at 0",
			       config.size, config.offset, config_size);
	memcpy(h->config, config.bytes, config_size);
	return 0;
}

static int ask(const char *path, unsigned int config_size, struct vhost_user_hello *h,
	       struct err *err)
{
	int ret;

	*h = (struct vhost_user_hello){ .fd = -1, .queues = 1 };
	ret = vhost_user_connect(path, &h->fd, err);
	if (ret)
		return ret;
	ret = get_u64(h->fd, VHOST_USER_GET_FEATURES, &h->features, err);
	if (!ret && !(h->features >> VHOST_USER_F_PROTOCOL_FEATURES & 1))
		ret = err_set(err, -EPROTO, "it is too old: it has no protocol features");
	if (!ret)
		ret = get_u64(h->fd, VHOST_USER_GET_PROTOCOL_FEATURES, &h->protocol, err);
	h->protocol &= PROTOCOL_OURS;
	if (!ret)
		ret = set_u64(h->fd, VHOST_USER_SET_PROTOCOL_FEATURES, h->protocol, err);
	if (!ret)
		ret = vhost_user_send(h->fd, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0, err);
	if (!ret && h->protocol >> VHOST_USER_PROTOCOL_F_MQ & 1)
		ret = get_u64(h->fd, VHOST_USER_GET_QUEUE_NUM, &h->queues, err);
	if (!ret)
		ret = get_config(h, config_size, err);
	if (ret) {
		err_prefix(err, "%s", path);
		fd_close(&h->fd);
	}
	return ret;
}

/* Rings. */

static int simple(struct vhost_user *vu, enum vhost_user_request request, uint32_t index,
		  uint32_t num, struct err *err)
{
	struct vhost_user_state state = { index, num };

	return vhost_user_send(vu->hello.fd, request, 0, &state, sizeof(state), NULL, 0, err);
}

static int give_fd(struct vhost_user *vu, enum vhost_user_request request, unsigned int index,
		   int fd, struct err *err)
{
	uint64_t value = index;

	return vhost_user_send(vu->hello.fd, request, 0, &value, sizeof(value), &fd, 1, err);
}

static void call_came(void *opaque, uint32_t events)
{
	struct vhost_user_ring *ring = opaque;
	struct virtio_dev *vdev = ring->vq->vdev;

	(void)events;
	if (io_eventfd_drain(ring->own_fd) && virtq_running(ring->vq))
		vdev->transport->queue_irq(vdev, ring->vq->index);
}

/* Where the ring's interrupts go now: straight into the guest where that can be. */
static int call_fd(struct vhost_user *vu, struct vhost_user_ring *ring, int *ret_fd,
		   struct err *err)
{
	struct dev *dev = vu->vdev->dev;
	int fd = vu->vdev->transport->queue_fd(vu->vdev, ring->vq->index), ret;

	if (fd < 0 && ring->own_fd < 0) {
		fd = io_eventfd_new();
		if (fd < 0)
			return err_sys(err, fd, "interrupt");
		ret = loop_watch_add(dev->vm->loop, fd, EPOLLIN, &dev->lock, call_came, ring,
				     &ring->watch, err);
		if (ret) {
			close(fd);
			return ret;
		}
		ring->own_fd = fd;
	}
	*ret_fd = fd < 0 ? ring->own_fd : fd;
	return 0;
}

static int give_call(struct vhost_user *vu, struct vhost_user_ring *ring, struct err *err)
{
	int fd = -1, ret = call_fd(vu, ring, &fd, err);

	if (ret || fd == ring->call_fd)
		return ret;
	ret = give_fd(vu, VHOST_USER_SET_VRING_CALL, ring->vq->index, fd, err);
	if (!ret)
		ring->call_fd = fd;
	return ret;
}

/* The two areas beside the descriptors have the names of the split format in the protocol. */
static struct vhost_user_addr ring_addr(const struct virtq *vq)
{
	struct vhost_user_addr addr = { .index = vq->index };

	if (vq->format == &virtq_packed) {
		addr.desc = (uintptr_t)vq->packed.desc;
		addr.used = (uintptr_t)vq->packed.device;
		addr.avail = (uintptr_t)vq->packed.driver;
	} else {
		addr.desc = (uintptr_t)vq->split.desc;
		addr.used = (uintptr_t)vq->split.used;
		addr.avail = (uintptr_t)vq->split.avail;
	}
	return addr;
}

/* What is told of the beginning of a ring: of a packed one the wrap counter, bit 15, is 1 there. */
static uint16_t first_base(const struct virtq *vq)
{
	return vq->format == &virtq_packed ? 1u << VRING_PACKED_EVENT_F_WRAP_CTR : 0;
}

static int ring_start(struct vhost_user *vu, struct vhost_user_ring *ring, struct err *err)
{
	struct virtq *vq = ring->vq;
	struct vhost_user_addr addr = ring_addr(vq);
	int ret;

	ring->call_fd = -1;
	ret = simple(vu, VHOST_USER_SET_VRING_NUM, vq->index, vq->size, err);
	if (!ret)
		ret = simple(vu, VHOST_USER_SET_VRING_BASE, vq->index, ring->base ^ first_base(vq),
			     err);
	if (!ret)
		ret = vhost_user_send(vu->hello.fd, VHOST_USER_SET_VRING_ADDR, 0, &addr,
				      sizeof(addr), NULL, 0, err);
	if (!ret)
		ret = give_call(vu, ring, err);
	if (!ret)
		ret = give_fd(vu, VHOST_USER_SET_VRING_KICK, vq->index, vq->kick_fd, err);
	if (!ret)
		ret = simple(vu, VHOST_USER_SET_VRING_ENABLE, vq->index, 1, err);
	if (ret)
		return ret;
	ring->started = true;
	virtio_queue_hand_over(vq, true);
	return 0;
}

static int give_memory(struct vhost_user *vu, struct err *err)
{
	bool ack = speaks(vu, VHOST_USER_PROTOCOL_F_REPLY_ACK);
	struct mem *mem = &vu->vm->mem;
	struct vhost_user_mem table = { .count = mem->bank_count };
	int fds[VHOST_USER_FDS_MAX], ret;
	uint64_t answer = 0;
	unsigned int i;

	for (i = 0; i < mem->bank_count; i++) {
		table.regions[i] =
			(struct vhost_user_region){ mem->banks[i].gpa, mem->banks[i].size,
						    (uintptr_t)mem->banks[i].hva,
						    mem->banks[i].fd_offset };
		fds[i] = mem->memfd;
	}
	ret = vhost_user_send(vu->hello.fd, VHOST_USER_SET_MEM_TABLE,
			      ack ? VHOST_USER_NEED_REPLY : 0, &table,
			      offsetof(struct vhost_user_mem, regions) +
				      mem->bank_count * sizeof(table.regions[0]),
			      fds, mem->bank_count, err);
	if (!ret && ack)
		ret = vhost_user_reply(vu->hello.fd, VHOST_USER_SET_MEM_TABLE, &answer,
				       sizeof(answer), NULL, err);
	if (!ret && answer)
		ret = err_set(err, -EPROTO, "it cannot map guest memory (answer %llu)",
			      (unsigned long long)answer);
	return ret;
}

/* The record of requests in flight: made by the first server, handed to each later one. */
static int get_inflight(struct vhost_user *vu, struct err *err)
{
	struct vhost_user_inflight want = { .queue_count = vu->queues };
	unsigned int i;
	int ret, fd = -1;

	for (i = 0; i < vu->queues; i++)
		want.queue_size = MAX(want.queue_size, vu->rings[i].vq->size);
	ret = vhost_user_send(vu->hello.fd, VHOST_USER_GET_INFLIGHT_FD, 0, &want, sizeof(want),
			      NULL, 0, err);
	if (!ret)
		ret = vhost_user_reply(vu->hello.fd, VHOST_USER_GET_INFLIGHT_FD, &vu->inflight,
				       sizeof(vu->inflight), &fd, err);
	if (ret)
		return ret;
	if (fd < 0 || vu->inflight.mmap_size > INFLIGHT_MAX) {
		fd_close(&fd);
		return err_set(err, -EPROTO, "its record of requests in flight has %llu bytes",
			       (unsigned long long)vu->inflight.mmap_size);
	}
	vu->inflight.queue_count = want.queue_count;
	vu->inflight.queue_size = want.queue_size;
	vu->inflight_fd = fd;
	return 0;
}

static int give_inflight(struct vhost_user *vu, struct err *err)
{
	int ret = 0;

	if (!speaks(vu, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD))
		return 0;
	if (vu->inflight_fd < 0)
		ret = get_inflight(vu, err);
	if (ret)
		return ret;
	return vhost_user_send(vu->hello.fd, VHOST_USER_SET_INFLIGHT_FD, 0, &vu->inflight,
			       sizeof(vu->inflight), &vu->inflight_fd, 1, err);
}

static int rings_start(struct vhost_user *vu, struct err *err)
{
	unsigned int i;
	int ret;

	ret = set_u64(vu->hello.fd, VHOST_USER_SET_FEATURES,
		      (vu->vdev->acked & ~vu->added) | BIT64(VHOST_USER_F_PROTOCOL_FEATURES),
		      err);
	if (!ret)
		ret = give_memory(vu, err);
	if (!ret)
		ret = give_inflight(vu, err);
	for (i = 0; !ret && i < vu->queues; i++)
		if (vu->rings[i].vq->enabled && !vu->rings[i].vq->broken)
			ret = ring_start(vu, &vu->rings[i], err);
	return ret;
}

/* Takes the rings back; the server says how far it came. */
static int rings_stop(struct vhost_user *vu, struct err *err)
{
	struct vhost_user_state state;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < vu->queues; i++) {
		struct vhost_user_ring *ring = &vu->rings[i];

		if (!ring->started)
			continue;
		ring->started = false;
		virtio_queue_hand_over(ring->vq, false);
		if (ret || vu->hello.fd < 0)
			continue;
		ret = simple(vu, VHOST_USER_GET_VRING_BASE, i, 0, err);
		if (!ret)
			ret = vhost_user_reply(vu->hello.fd, VHOST_USER_GET_VRING_BASE, &state,
					       sizeof(state), NULL, err);
		if (!ret && state.index != i)
			ret = err_set(err, -EPROTO, "it answers for ring %u, not %u", state.index,
				      i);
		if (!ret)
			ring->base = (uint16_t)state.num ^ first_base(ring->vq);
	}
	return ret;
}

/* Coming and going. */

static void retry_later(struct vhost_user *vu)
{
	unsigned int doublings = MIN(vu->failures, RETRY_DOUBLINGS);

	vu->failures++;
	loop_timer_set(vu->retry, RETRY_NS << doublings);
}

static void hang_up(struct vhost_user *vu)
{
	loop_watch_del(vu->watch);
	vu->watch = NULL;
	fd_close(&vu->hello.fd);
}

/*
 * Where the next server goes on. What the last one gave back stands in the used ring, and what it
 * had taken and not given back is in the record of what was in flight. Without that record only a
 * ring with nothing in flight can go on: requests may have been done in any order, so an entry of
 * the available ring behind the used index may be one that is done, whose buffers are the guest's
 * again. Then the driver has to reset the device. So it has with a packed ring, which does not say
 * how far its device came.
 */
static void ring_lost(struct vhost_user *vu, struct vhost_user_ring *ring)
{
	if (!ring->started)
		return;
	if (ring->vq->format == &virtq_packed) {
		virtq_stop(ring->vq, "its server went, and a packed ring does not say how far that "
				     "was; its driver has to reset it");
		return;
	}
	ring->base = virtq_split_used_index(ring->vq);
	if (vu->inflight_fd < 0 && !vu->frames &&
	    ring->base != virtq_split_avail_index(ring->vq))
		virtq_stop(ring->vq, "its server went with requests under way and kept no record "
				     "of them; its driver has to reset it");
}

/* Whether somebody serves is part of a card's configuration. */
static void link_changed(struct vhost_user *vu)
{
	if (vu->frames)
		virtio_dev_config_changed(vu->vdev);
}

/* The server is gone, or of no use any more. */
static void lost(struct vhost_user *vu, const struct err *err)
{
	unsigned int i;

	log_limited(vu->vm->log, &vu->limit, LOG_WARN,
		    "%s: %s: %s; the guest's requests wait for one that serves there", vu->id,
		    vu->path, err->msg);
	hang_up(vu);
	for (i = 0; i < vu->queues; i++)
		ring_lost(vu, &vu->rings[i]);
	link_changed(vu);
	retry_later(vu);
}

/* It says nothing that it is not asked. A reply may have been taken by another thread between the
 * event and this call, so what is there is looked at. */
static void server_event(void *opaque, uint32_t events)
{
	struct vhost_user *vu = opaque;
	struct err err = { 0 };
	char byte;
	ssize_t n = recv(vu->hello.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		err_set(&err, -EPROTO, "its server says something that it was not asked");
	else
		err_set(&err, -EPIPE, "its server has closed the connection");
	lost(vu, &err);
}

static int attend(struct vhost_user *vu, struct err *err)
{
	return loop_watch_add(vu->vm->loop, vu->hello.fd, EPOLLIN | EPOLLRDHUP,
			      &vu->vdev->dev->lock, server_event, vu, &vu->watch, err);
}

/* Another server, perhaps of another build. The driver has negotiated, and cannot be asked again.
 */
static int fits(struct vhost_user *vu, const struct vhost_user_hello *h, struct err *err)
{
	uint64_t missing = vu->vdev->acked & ~(h->features | vu->added);

	if (missing)
		return err_set(err, -EPROTO, "it lacks features 0x%llx that the guest uses",
			       (unsigned long long)missing);
	if (h->queues < server_queues(vu))
		return err_set(err, -EPROTO, "it has %llu queues, the guest %u",
			       (unsigned long long)h->queues, server_queues(vu));
	return 0;
}

static int send_config(struct vhost_user *vu, unsigned int offset, unsigned int len,
		       struct err *err)
{
	struct vhost_user_config config = { .offset = offset, .size = len };

	memcpy(config.bytes, vu->hello.config + offset, len);
	return vhost_user_send(vu->hello.fd, VHOST_USER_SET_CONFIG, 0, &config,
			       offsetof(struct vhost_user_config, bytes) + len, NULL, 0, err);
}

static void found(struct vhost_user *vu, struct vhost_user_hello *h, struct err *err)
{
	int ret = fits(vu, h, err);
	bool changed;

	if (vu->kept)
		h->config[vu->kept] = vu->hello.config[vu->kept];
	changed = memcmp(h->config, vu->hello.config, vu->config_size) != 0;

	if (ret) {
		close(h->fd);
		log_limited(vu->vm->log, &vu->limit, LOG_WARN,
			    "%s: %s: its server is of no use: %s", vu->id, vu->path, err->msg);
		retry_later(vu);
		return;
	}
	vu->hello = *h;
	ret = vu->kept ? send_config(vu, vu->kept, 1, err) : 0;
	if (!ret)
		ret = attend(vu, err);
	if (!ret && vu->running)
		ret = rings_start(vu, err);
	if (ret) {
		lost(vu, err);
		return;
	}
	vu->failures = 0;
	log_line(vu->vm->log, LOG_INFO, "%s: %s: served again", vu->id, vu->path);
	if (changed)
		virtio_dev_config_changed(vu->vdev);
	else
		link_changed(vu);
}

/* The thread knows nothing of the device; it is through when done_fd says so. */
static void *asking(void *opaque)
{
	struct vhost_user_ask *a = opaque;

	a->ret = ask(a->path, a->config_size, &a->hello, &a->err);
	io_eventfd_signal(a->done_fd);
	return NULL;
}

static void asked(void *opaque, uint32_t events)
{
	struct vhost_user *vu = opaque;
	struct vhost_user_ask *a = &vu->ask;

	(void)events;
	if (!io_eventfd_drain(a->done_fd) || !a->under_way)
		return;
	pthread_join(a->thread, NULL);
	a->under_way = false;
	if (a->ret)
		retry_later(vu);
	else
		found(vu, &a->hello, &a->err);
}

static void ask_again(void *opaque)
{
	struct vhost_user *vu = opaque;
	struct vhost_user_ask *a = &vu->ask;

	if (a->under_way || vu->hello.fd >= 0)
		return;
	err_clear(&a->err);
	a->under_way = !pthread_create(&a->thread, NULL, asking, a);
	if (!a->under_way)
		retry_later(vu);
}

/* The device. */

int vhost_user_open(struct vhost_user *vu, struct vm *vm, const char *id, struct err *err)
{
	int ret;

	vu->vm = vm;
	vu->id = id;
	vu->hello.fd = -1;
	vu->inflight_fd = -1;
	vu->ask = (struct vhost_user_ask){
		.path = vu->path, .config_size = vu->config_size, .done_fd = -1, .hello.fd = -1
	};
	vu->open = true;
	if (vm->mem.memfd < 0)
		return err_set(err, -EINVAL,
			       "its server must be given guest memory, which is "
			       "private; add share=on to --memory");
	ret = ask(vu->path, vu->config_size, &vu->hello, err);
	if (ret)
		return ret;
	if (!(vu->hello.features >> VIRTIO_F_VERSION_1 & 1))
		return err_set(err, -EPROTO, "%s: its server has no VERSION_1", vu->path);
	if (vu->wanted & ~vu->hello.features & BIT64(VIRTIO_F_RING_PACKED))
		return err_set(err, -EINVAL, "%s: packed=on: its server has split rings alone",
			       vu->path);
	if (vu->hello.queues < server_queues(vu))
		return err_set(err, -EINVAL, "%s: queues=%u: its server has %llu", vu->path,
			       server_queues(vu), (unsigned long long)vu->hello.queues);
	return 0;
}

int vhost_user_bind(struct vhost_user *vu, struct virtio_dev *vdev, struct err *err)
{
	pthread_mutex_t *lock = &vdev->dev->lock;
	struct loop *loop = vu->vm->loop;
	unsigned int i;
	int ret;

	vu->vdev = vdev;
	vdev->offered = (vu->hello.features & (RINGS_OURS | vu->wanted)) | vu->added;
	vu->rings = calloc(vu->queues, sizeof(*vu->rings));
	if (!vu->rings)
		return err_set(err, -ENOMEM, "no memory for %u rings", vu->queues);
	for (i = 0; i < vu->queues; i++)
		vu->rings[i] = (struct vhost_user_ring){ .own_fd = -1, .vq = &vdev->queues[i] };
	vu->ask.done_fd = io_eventfd_new();
	if (vu->ask.done_fd < 0)
		return err_sys(err, vu->ask.done_fd, "%s", vu->path);
	ret = loop_timer_new(loop, lock, ask_again, vu, &vu->retry, err);
	if (!ret)
		ret = loop_watch_add(loop, vu->ask.done_fd, EPOLLIN, lock, asked, vu,
				     &vu->ask.watch, err);
	return ret ? ret : attend(vu, err);
}

void vhost_user_close(struct vhost_user *vu)
{
	unsigned int i;

	if (!vu->open)
		return;
	vu->open = false;
	if (vu->retry)
		loop_timer_del(vu->retry);
	loop_watch_del(vu->ask.watch);
	/* At most as long as one question may take. */
	if (vu->ask.under_way)
		pthread_join(vu->ask.thread, NULL);
	if (vu->ask.under_way && !vu->ask.ret)
		fd_close(&vu->ask.hello.fd);
	fd_close(&vu->ask.done_fd);
	hang_up(vu);
	for (i = 0; vu->rings && i < vu->queues; i++) {
		loop_watch_del(vu->rings[i].watch);
		fd_close(&vu->rings[i].own_fd);
	}
	free(vu->rings);
	vu->rings = NULL;
	fd_close(&vu->inflight_fd);
}

void vhost_user_running(struct vhost_user *vu, bool running)
{
	struct err err = { 0 };
	int ret;

	if (!vu->rings)
		return;
	vu->running = running;
	if (!running)
		ret = rings_stop(vu, &err);
	else
		ret = vu->hello.fd < 0 ? 0 : rings_start(vu, &err);
	if (ret)
		lost(vu, &err);
}

void vhost_user_irqs_changed(struct vhost_user *vu)
{
	struct err err = { 0 };
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && vu->rings && vu->hello.fd >= 0 && i < vu->queues; i++)
		if (vu->rings[i].started)
			ret = give_call(vu, &vu->rings[i], &err);
	if (ret)
		lost(vu, &err);
}

void vhost_user_reset(struct vhost_user *vu)
{
	unsigned int i;

	for (i = 0; vu->rings && i < vu->queues; i++)
		vu->rings[i].base = 0;
	/* What was in flight is nobody's any more. */
	if (vu->open)
		fd_close(&vu->inflight_fd);
}

void vhost_user_config_write(struct vhost_user *vu, unsigned int offset, const void *buf,
			     unsigned int len)
{
	struct err err = { 0 };

	if (!span_within(offset, len, vu->config_size))
		return;
	memcpy(vu->hello.config + offset, buf, len);
	if (vu->hello.fd >= 0 && send_config(vu, offset, len, &err))
		lost(vu, &err);
}
