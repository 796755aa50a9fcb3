// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"
#include "virtio/vhost_sys.h"

static struct {
	struct fake_vhost dev;
	unsigned long fail_request;
	unsigned int fail_skip;
	int fail_error, open_error;
} fake;

void fake_vhost_reset(void)
{
	unsigned int i;

	memset(&fake, 0, sizeof(fake));
	fake.dev.features = BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_EVENT_IDX) |
			    BIT64(VIRTIO_RING_F_INDIRECT_DESC) | BIT64(VHOST_F_LOG_ALL);
	for (i = 0; i < FAKE_VHOST_RINGS; i++)
		fake.dev.rings[i].kick = fake.dev.rings[i].call = fake.dev.rings[i].err = -1;
}

struct fake_vhost *fake_vhost(void)
{
	return &fake.dev;
}

void fake_vhost_fail(unsigned long request, unsigned int skip, int error)
{
	fake.fail_request = request;
	fake.fail_skip = skip;
	fake.fail_error = error;
}

void fake_vhost_open_fails(int error)
{
	fake.open_error = error;
}

int vhost_sys_open(const char *path)
{
	(void)path;
	return fake.open_error ? -fake.open_error : open("/dev/null", O_RDWR | O_CLOEXEC);
}

static bool fails(unsigned long request)
{
	if (!fake.fail_error || (fake.fail_request && fake.fail_request != request))
		return false;
	return fake.fail_skip-- == 0;
}

static int ring_ioctl(struct fake_vhost *d, unsigned long request, void *arg)
{
	struct vhost_vring_state *state = arg;
	struct vhost_vring_file *file = arg;
	struct fake_vhost_ring *ring;

	/* The index comes first in each of the structs. */
	if (state->index >= FAKE_VHOST_RINGS)
		return -ENOBUFS;
	ring = &d->rings[state->index];
	switch (request) {
	case VHOST_SET_VRING_NUM:
	case VHOST_SET_VRING_BASE:
		if (d->running)
			return -EBUSY;
		*(request == VHOST_SET_VRING_NUM ? &ring->num : &ring->base) = state->num;
		return 0;
	case VHOST_GET_VRING_BASE: state->num = ring->base; return 0;
	case VHOST_SET_VRING_ADDR: ring->addr = *(struct vhost_vring_addr *)arg; return 0;
	case VHOST_SET_VRING_KICK: ring->kick = file->fd; return 0;
	case VHOST_SET_VRING_CALL: ring->call = file->fd; return 0;
	case VHOST_SET_VRING_ERR: ring->err = file->fd; return 0;
	default: return -ENOTTY;
	}
}

static int mem_table(struct fake_vhost *d, const struct vhost_memory *table)
{
	d->regions = table->nregions;
	if (d->regions > ARRAY_SIZE(d->region))
		return -E2BIG;
	memcpy(d->region, table->regions, d->regions * sizeof(d->region[0]));
	return 0;
}

int vhost_sys_ioctl(int fd, unsigned long request, void *arg)
{
	struct fake_vhost *d = &fake.dev;

	(void)fd;
	d->calls++;
	if (fails(request)) {
		int error = fake.fail_error;

		fake.fail_error = 0;
		return -error;
	}
	switch (request) {
	case VHOST_GET_FEATURES: *(uint64_t *)arg = d->features; return 0;
	case VHOST_VSOCK_SET_GUEST_CID: d->cid = *(uint64_t *)arg; return 0;
	case VHOST_SET_OWNER:
		if (d->owned)
			return -EBUSY;
		d->owned = true;
		return 0;
	}
	if (!d->owned)
		return -EPERM;
	switch (request) {
	case VHOST_SET_FEATURES:
		d->acked = *(uint64_t *)arg;
		return d->acked & ~d->features ? -EOPNOTSUPP : 0;
	case VHOST_SET_MEM_TABLE: return mem_table(d, arg);
	case VHOST_VSOCK_SET_RUNNING: d->running = *(int *)arg; return 0;
	default: return ring_ioctl(d, request, arg);
	}
}
