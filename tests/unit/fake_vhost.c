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
	struct fake_vhost devs[FAKE_VHOST_DEVICES];
	int fds[FAKE_VHOST_DEVICES];
	unsigned int opened;
	bool each;
	unsigned long fail_request;
	unsigned int fail_skip;
	int fail_error, open_error;
} fake;

void fake_vhost_reset(void)
{
	unsigned int i, k;

	memset(&fake, 0, sizeof(fake));
	for (k = 0; k < FAKE_VHOST_DEVICES; k++) {
		struct fake_vhost *d = &fake.devs[k];

		d->features = BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_EVENT_IDX) |
			      BIT64(VIRTIO_RING_F_INDIRECT_DESC) | BIT64(VHOST_F_LOG_ALL);
		for (i = 0; i < FAKE_VHOST_RINGS; i++)
			d->rings[i].kick = d->rings[i].call = d->rings[i].err =
				d->rings[i].backend = -1;
	}
}

struct fake_vhost *fake_vhost(void)
{
	return &fake.devs[0];
}

void fake_vhost_each(void)
{
	fake.each = true;
}

struct fake_vhost *fake_vhost_nth(unsigned int index)
{
	return &fake.devs[index];
}

static struct fake_vhost *device_of(int fd)
{
	unsigned int i;

	for (i = 0; i < fake.opened; i++)
		if (fake.fds[i] == fd)
			return &fake.devs[i];
	return &fake.devs[0];
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
	int fd;

	(void)path;
	if (fake.open_error)
		return -fake.open_error;
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fake.each && fake.opened < FAKE_VHOST_DEVICES)
		fake.fds[fake.opened++] = fd;
	return fd;
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
		if (d->running || ring->backend >= 0)
			return -EBUSY;
		*(request == VHOST_SET_VRING_NUM ? &ring->num : &ring->base) = state->num;
		return 0;
	case VHOST_GET_VRING_BASE: state->num = ring->base; return 0;
	case VHOST_SET_VRING_ADDR: ring->addr = *(struct vhost_vring_addr *)arg; return 0;
	case VHOST_SET_VRING_KICK: ring->kick = file->fd; return 0;
	case VHOST_SET_VRING_CALL: ring->call = file->fd; return 0;
	case VHOST_SET_VRING_ERR: ring->err = file->fd; return 0;
	case VHOST_NET_SET_BACKEND: ring->backend = file->fd; return 0;
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
	struct fake_vhost *d = device_of(fd);

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
