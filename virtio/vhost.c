// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost.h"

#include <errno.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "vmm/loop.h"
#include "vmm/vm.h"

#include "vhost_sys.h"
#include "virtio_dev.h"

#define RINGS_OURS                                                                                 \
	(BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_INDIRECT_DESC) |                          \
	 BIT64(VIRTIO_RING_F_EVENT_IDX))

int vhost_ask(const struct vhost *v, unsigned long request, const char *what, void *arg,
	      struct err *err)
{
	int ret = vhost_sys_ioctl(v->fd, request, arg);

	return ret < 0 ? err_sys(err, ret, "%s: %s", v->path, what) : 0;
}

static int set_state(const struct vhost *v, unsigned long request, const char *what,
		     unsigned int index, unsigned int num, struct err *err)
{
	struct vhost_vring_state state = { .index = index, .num = num };

	return vhost_ask(v, request, what, &state, err);
}

static int give_fd(const struct vhost *v, unsigned long request, const char *what,
		   unsigned int index, int fd, struct err *err)
{
	struct vhost_vring_file file = { .index = index, .fd = fd };

	return vhost_ask(v, request, what, &file, err);
}

/* Descriptors of a ring. */

static void call_came(void *opaque, uint32_t events)
{
	struct vhost_ring *ring = opaque;
	struct virtio_dev *vdev = ring->vq->vdev;

	(void)events;
	if (io_eventfd_drain(ring->own_fd) && virtq_running(ring->vq))
		vdev->transport->queue_irq(vdev, ring->vq->index);
}

/* Signalled by the kernel for each attempt to go on, so at a driver's will: said once. */
static void error_came(void *opaque, uint32_t events)
{
	struct vhost_ring *ring = opaque;

	(void)events;
	if (!io_eventfd_drain(ring->err_fd) || !virtq_running(ring->vq) ||
	    (ring->vhost->lost && ring->vhost->lost(ring->vhost)))
		return;
	virtq_stop(ring->vq, "the host's kernel cannot go on with it (vhost): its driver "
			     "broke a rule of the ring");
}

static int watched_fd(struct vhost_ring *ring, loop_fd_fn fn, struct loop_watch **ret_watch,
		      int *ret_fd, struct err *err)
{
	struct dev *dev = ring->vq->vdev->dev;
	int fd, ret;

	if (*ret_fd >= 0)
		return 0;
	fd = io_eventfd_new();
	if (fd < 0)
		return err_sys(err, fd, "ring %u: eventfd", ring->vq->index);
	ret = loop_watch_add(dev->vm->loop, fd, EPOLLIN, &dev->lock, fn, ring, ret_watch, err);
	if (ret) {
		close(fd);
		return ret;
	}
	*ret_fd = fd;
	return 0;
}

static unsigned int kernel_index(const struct vhost *v, const struct vhost_ring *ring)
{
	return ring->vq->index - v->first;
}

/* Straight into the guest where that can be. */
static int give_call(struct vhost *v, struct vhost_ring *ring, struct err *err)
{
	int fd = v->vdev->transport->queue_fd(v->vdev, ring->vq->index), ret;

	if (fd < 0) {
		ret = watched_fd(ring, call_came, &ring->watch, &ring->own_fd, err);
		if (ret)
			return ret;
		fd = ring->own_fd;
	}
	if (fd == ring->call_fd)
		return 0;
	ret = give_fd(v, VHOST_SET_VRING_CALL, "VHOST_SET_VRING_CALL", kernel_index(v, ring), fd,
		      err);
	if (!ret)
		ring->call_fd = fd;
	return ret;
}

/* Start and stop. */

static int give_memory(const struct vhost *v, struct err *err)
{
	const struct mem *mem = &v->vm->mem;
	/* What a struct vhost_memory of so many regions takes. */
	_Alignas(struct vhost_memory) uint8_t
		buf[sizeof(struct vhost_memory) +
		    MEM_BANKS_MAX * sizeof(struct vhost_memory_region)] = { 0 };
	struct vhost_memory *table = (struct vhost_memory *)(void *)buf;
	unsigned int i;

	table->nregions = mem->bank_count;
	for (i = 0; i < mem->bank_count; i++)
		table->regions[i] = (struct vhost_memory_region){
			.guest_phys_addr = mem->banks[i].gpa,
			.memory_size = mem->banks[i].size,
			.userspace_addr = (uintptr_t)mem->banks[i].hva,
		};
	return vhost_ask(v, VHOST_SET_MEM_TABLE, "VHOST_SET_MEM_TABLE", table, err);
}

static int ring_describe(struct vhost *v, struct vhost_ring *ring, struct err *err)
{
	const struct virtq *vq = ring->vq;
	unsigned int index = kernel_index(v, ring);
	struct vhost_vring_addr addr = {
		.index = index,
		.desc_user_addr = (uintptr_t)vq->split.desc,
		.used_user_addr = (uintptr_t)vq->split.used,
		.avail_user_addr = (uintptr_t)vq->split.avail,
	};
	int ret;

	ring->call_fd = -1;
	ret = set_state(v, VHOST_SET_VRING_NUM, "VHOST_SET_VRING_NUM", index, vq->size, err);
	if (!ret)
		ret = set_state(v, VHOST_SET_VRING_BASE, "VHOST_SET_VRING_BASE", index,
				ring->base, err);
	if (!ret)
		ret = vhost_ask(v, VHOST_SET_VRING_ADDR, "VHOST_SET_VRING_ADDR", &addr, err);
	if (!ret)
		ret = give_call(v, ring, err);
	if (!ret)
		ret = watched_fd(ring, error_came, &ring->err_watch, &ring->err_fd, err);
	if (!ret)
		ret = give_fd(v, VHOST_SET_VRING_ERR, "VHOST_SET_VRING_ERR", index,
			      ring->err_fd, err);
	if (!ret)
		ret = give_fd(v, VHOST_SET_VRING_KICK, "VHOST_SET_VRING_KICK", index,
			      vq->kick_fd, err);
	return ret;
}

/* All of them or none: the kernel reads the used ring of each when it begins. */
static int rings_start(struct vhost *v, struct err *err)
{
	uint64_t features = v->vdev->acked & vhost_features(v);
	unsigned int i;
	int ret;

	for (i = 0; i < v->queues; i++)
		if (!v->rings[i].vq->enabled || v->rings[i].vq->broken)
			return err_set(err, -EINVAL, "queue %u is not enabled",
				       v->rings[i].vq->index);
	ret = vhost_ask(v, VHOST_SET_FEATURES, "VHOST_SET_FEATURES", &features, err);
	if (!ret)
		ret = give_memory(v, err);
	for (i = 0; !ret && i < v->queues; i++)
		ret = ring_describe(v, &v->rings[i], err);
	if (!ret)
		ret = v->serve(v, true, err);
	/* The doorbells ring once, for what was kicked before the kernel listened. */
	for (i = 0; !ret && i < v->queues; i++) {
		v->rings[i].started = true;
		virtio_queue_hand_over(v->rings[i].vq, true);
	}
	return ret;
}

static int rings_stop(struct vhost *v, struct err *err)
{
	struct vhost_vring_state state;
	unsigned int i;
	int ret, first;

	first = v->serve(v, false, err);
	for (i = 0; i < v->queues; i++) {
		struct vhost_ring *ring = &v->rings[i];

		if (!ring->started)
			continue;
		ring->started = false;
		virtio_queue_hand_over(ring->vq, false);
		state = (struct vhost_vring_state){ .index = i };
		ret = vhost_ask(v, VHOST_GET_VRING_BASE, "VHOST_GET_VRING_BASE", &state,
				first ? NULL : err);
		if (!ret)
			ring->base = (uint16_t)state.num;
		else if (!first)
			first = ret;
		/* Not to be heard by the kernel while another listens. */
		give_fd(v, VHOST_SET_VRING_KICK, "VHOST_SET_VRING_KICK", i, -1, NULL);
	}
	return first;
}

static void refused(struct vhost *v, const struct err *err)
{
	unsigned int i;

	for (i = 0; i < v->queues; i++)
		if (v->rings[i].vq->enabled && !v->rings[i].vq->broken)
			virtq_stop(v->rings[i].vq, err->msg);
	virtio_dev_needs_reset(v->vdev);
}

/* The device. */

int vhost_open(struct vhost *v, struct vm *vm, int fd, struct err *err)
{
	int ret;

	v->vm = vm;
	v->open = true;
	v->fd = fd >= 0 ? fd : vhost_sys_open(v->path);
	if (v->fd == -ENOENT || v->fd == -ENODEV || v->fd == -ENXIO)
		return err_set(err, -ENODEV, "%s: this host has none; modprobe %s", v->path,
			       v->module);
	if (v->fd < 0)
		return err_sys(err, v->fd, "%s", v->path);
	ret = vhost_ask(v, VHOST_GET_FEATURES, "VHOST_GET_FEATURES", &v->features, err);
	if (ret)
		return ret;
	if (!(v->features >> VIRTIO_F_VERSION_1 & 1))
		return err_set(err, -EPROTO, "%s: the host's kernel has no VERSION_1", v->path);
	ret = vhost_ask(v, VHOST_SET_OWNER, "VHOST_SET_OWNER", NULL, err);
	if (ret == -EBUSY)
		err_append(err, "; another guest has this descriptor");
	return ret;
}

uint64_t vhost_features(const struct vhost *v)
{
	return v->features & (RINGS_OURS | v->wanted);
}

int vhost_bind(struct vhost *v, struct virtio_dev *vdev, struct err *err)
{
	unsigned int i;

	v->vdev = vdev;
	v->rings = calloc(v->queues, sizeof(*v->rings));
	if (!v->rings)
		return err_set(err, -ENOMEM, "no memory for %u rings", v->queues);
	for (i = 0; i < v->queues; i++)
		v->rings[i] = (struct vhost_ring){
			.own_fd = -1, .call_fd = -1, .err_fd = -1,
			.vq = &vdev->queues[v->first + i], .vhost = v
		};
	return 0;
}

void vhost_close(struct vhost *v)
{
	unsigned int i;

	if (!v->open)
		return;
	v->open = false;
	fd_close(&v->fd);
	for (i = 0; v->rings && i < v->queues; i++) {
		loop_watch_del(v->rings[i].watch);
		loop_watch_del(v->rings[i].err_watch);
		fd_close(&v->rings[i].own_fd);
		fd_close(&v->rings[i].err_fd);
	}
	free(v->rings);
	v->rings = NULL;
}

void vhost_running(struct vhost *v, bool running)
{
	struct err err = { 0 };
	int ret;

	if (!v->rings)
		return;
	ret = running ? rings_start(v, &err) : rings_stop(v, &err);
	if (!ret)
		return;
	if (running) {
		v->serve(v, false, NULL);
		refused(v, &err);
	} else {
		log_limited(v->vm->log, &v->vdev->limit, LOG_WARN, "%s: %s", v->vdev->dev->id,
			    err.msg);
	}
}

void vhost_irqs_changed(struct vhost *v)
{
	struct err err = { 0 };
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && v->rings && i < v->queues; i++)
		if (v->rings[i].started)
			ret = give_call(v, &v->rings[i], &err);
	if (ret)
		refused(v, &err);
}

void vhost_reset(struct vhost *v)
{
	unsigned int i;

	for (i = 0; v->rings && i < v->queues; i++)
		v->rings[i].base = 0;
}
