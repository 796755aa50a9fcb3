// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A driver that does anything with virtio-net's queues, and a back end that delivers, refuses and
 * goes as it likes: the first byte picks the rings' format, or a driver of the legacy interface,
 * each further one an operation, whose operands follow. What must hold: no sanitizer says a word, no queue has more buffers out than its
 * ring has entries, a frame sent is no longer than a frame can be, buffers come back in the order in
 * which they were made available, and after a reset, of the device or of one queue, nothing is under
 * way.
 */
#include "fuzz.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "fake_driver.h"
#include "net_frames.h"
#include "virtio/virtio_net.h"
#include "vmm/iov.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

#define RAM (2 * MIB)
#define RING_SIZE 16u
#define PAIRS_MAX 2u
#define QUEUES_MAX (2 * PAIRS_MAX + 1)
#define RINGS_AT 0x20000u /* 0x3000 for each queue: descriptors, available, used */
#define RING_STEP 0x3000u
#define DATA_AT 0x100000u

enum op {
	OP_DESC,
	OP_DATA,
	OP_POST,
	OP_NOTIFY,
	OP_DELIVER,
	OP_READ_INTO, /* as a back end that needs no copy */
	OP_BACKEND,
	OP_CONFIG,
	OP_COMMAND,
	OP_RESTART,
	OP_QUEUE_RESET,
	OP_MASTER,
	OPS
};

struct fuzz {
	struct guest *g;
	uint8_t *ram;
	struct virtio_net *n;
	struct virtio_dev *vdev;
	const struct net_host *host;
	unsigned int pairs;
	/* of one input */
	struct fuzz_input in;
	bool packed, legacy;
	uint16_t posted[QUEUES_MAX];
	uint16_t heads[QUEUES_MAX][RING_SIZE]; /* split: what was posted, */
	uint16_t checked[QUEUES_MAX];	       /* and up to where it was seen to come back */
	bool overrun[QUEUES_MAX];	       /* the driver wrote over what it had posted */
	bool full; /* the back end */
	bool refuses;
	bool echoes; /* from within send() */
};

static struct fuzz fuzz;

/* The back end. */

static int backend_open(struct net *net, const struct net_host *host, void **ret_state,
			struct err *err)
{
	(void)net;
	(void)err;
	fuzz.host = host;
	*ret_state = &fuzz;
	return 0;
}

static void backend_close(void *state)
{
	(void)state;
}

/* Reads all of it, as a back end does. */
static bool backend_send(void *state, unsigned int queue, const struct iovec *iov,
			 unsigned int count)
{
	static uint8_t bytes[NET_FRAME_MAX + NET_HEADER_MAX];
	struct fuzz *f = state;
	size_t len = iov_size(iov, count);
	struct iovec answer;

	MUST(queue < f->pairs && len >= NET_FRAME_MIN + f->n->net.header && len <= sizeof(bytes));
	if (f->full)
		return false;
	MUST(iov_gather(iov, count, bytes, sizeof(bytes)) == len);
	answer = (struct iovec){ bytes, len };
	if (f->echoes)
		f->host->deliver(&f->n->net, queue, &answer, 1);
	return true;
}

static void backend_receive_ready(void *state, unsigned int queue)
{
	const struct fuzz *f = state;

	MUST(queue < f->pairs);
}

static bool backend_has_header(void *state)
{
	(void)state;
	return true;
}

static int backend_set_header(void *state, unsigned int size, net_offloads offloads)
{
	const struct fuzz *f = state;

	(void)offloads;
	MUST(!size || size == 10 || size == 12);
	return f->refuses ? -EIO : 0;
}

static int backend_set_queues(void *state, unsigned int count)
{
	const struct fuzz *f = state;

	MUST(count && count <= f->pairs);
	return f->refuses ? -EIO : 0;
}

static void backend_set_filter(void *state, const struct net_filter *filter)
{
	(void)state;
	MUST(filter->count <= NET_FILTER_MAX + 1);
}

static const struct net_backend_ops backend_ops = {
	.name = "fuzz",
	.open = backend_open,
	.close = backend_close,
	.send = backend_send,
	.receive_ready = backend_receive_ready,
	.has_header = backend_has_header,
	.set_header = backend_set_header,
	.set_queues = backend_set_queues,
	.set_filter = backend_set_filter,
};

/* The driver. */

static uint8_t *ring(const struct fuzz *f, unsigned int queue, unsigned int part)
{
	return f->ram + RINGS_AT + (size_t)queue * RING_STEP + (size_t)part * 0x1000u;
}

static void enable(struct fuzz *f, unsigned int queue)
{
	struct virtq *vq = &f->vdev->queues[queue];

	memset(ring(f, queue, 0), 0, RING_STEP);
	virtio_queue_set_size(vq, RING_SIZE);
	vq->desc = RINGS_AT + queue * RING_STEP;
	vq->driver = vq->desc + 0x1000;
	vq->device = vq->desc + 0x2000;
	virtio_queue_enable(vq);
	f->posted[queue] = 0;
	f->checked[queue] = 0;
	f->overrun[queue] = false;
}

static void start(struct fuzz *f)
{
	uint64_t features = fuzz_u16(&f->in) | (uint64_t)fuzz_u16(&f->in) << 16;
	unsigned int i;

	features |= BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_RING_RESET) |
		    BIT64(VIRTIO_F_IN_ORDER);
	if (f->packed)
		features |= BIT64(VIRTIO_F_RING_PACKED);
	features &= f->vdev->offered;
	f->n->vpci.pdev.config[PCI_COMMAND] |= PCI_COMMAND_MASTER;
	virtio_dev_set_status(f->vdev, 0);
	for (i = 0; i < f->vdev->queue_count; i++)
		MUST(!f->vdev->queues[i].inflight);
	if (f->legacy) {
		virtio_dev_legacy_status(f->vdev, VIRTIO_CONFIG_S_DRIVER);
		virtio_dev_legacy_ack(f->vdev, (uint32_t)features);
	} else {
		virtio_dev_ack(f->vdev, 0, (uint32_t)features);
		virtio_dev_ack(f->vdev, 1, (uint32_t)(features >> 32));
		virtio_dev_set_status(f->vdev, VIRTIO_CONFIG_S_FEATURES_OK);
		MUST(f->vdev->status & VIRTIO_CONFIG_S_FEATURES_OK);
	}
	for (i = 0; i < f->vdev->queue_count; i++)
		enable(f, i);
	virtio_dev_set_status(f->vdev, VIRTIO_CONFIG_S_DRIVER_OK);
}

static void write_desc(struct fuzz *f, unsigned int queue)
{
	static const uint32_t lens[] = { 0,  1,	  2,	6,    9,    10,	  11,	   12,
					 13, 60, 1526, 2048, 4096, 65550, 0x20000, UINT32_MAX };
	uint8_t *d = ring(f, queue, 0) + (size_t)(fuzz_u8(&f->in) % RING_SIZE) * 16;
	uint8_t where = fuzz_u8(&f->in);

	put_le64(d, where == 255 ? RAM - 8 : DATA_AT + where * 64u);
	put_le32(d + 8, lens[fuzz_u8(&f->in) % ARRAY_SIZE(lens)]);
	if (f->packed) {
		put_le16(d + 12, fuzz_u8(&f->in) % (RING_SIZE + 1));
		put_le16(d + 14, (uint16_t)((fuzz_u8(&f->in) & 7) |
					    (fuzz_u8(&f->in) & 0x81) << 7));
	} else {
		put_le16(d + 12, fuzz_u8(&f->in) & 7);
		put_le16(d + 14, fuzz_u8(&f->in) % (RING_SIZE + 1));
	}
}

static void post_head(struct fuzz *f, unsigned int queue, uint16_t head)
{
	uint16_t at = f->posted[queue]++;
	uint8_t *avail = ring(f, queue, 1);

	if ((uint16_t)(at - f->checked[queue]) >= RING_SIZE)
		f->overrun[queue] = true;
	f->heads[queue][at % RING_SIZE] = head;
	put_le16(avail + 4 + at % RING_SIZE * 2ul, head);
	put_le16(avail + 2, f->posted[queue]);
}

/* VIRTIO_F_IN_ORDER is kept, whoever asked for it. */
static void check_order(struct fuzz *f, unsigned int queue)
{
	const uint8_t *used = ring(f, queue, 2);

	if (f->packed || f->overrun[queue] || !f->vdev->queues[queue].enabled)
		return;
	for (; f->checked[queue] != get_le16(used + 2); f->checked[queue]++) {
		unsigned int at = f->checked[queue] % RING_SIZE;

		MUST(get_le32(used + 4 + at * 8ul) == f->heads[queue][at]);
	}
}

/* Split: an entry. Packed: a good buffer at the place where the device looks next. */
static void post(struct fuzz *f, unsigned int queue)
{
	uint16_t at = f->posted[queue];
	bool wrap = !(at / RING_SIZE & 1);
	uint8_t *d;

	if (!f->packed) {
		post_head(f, queue, fuzz_u8(&f->in) % (RING_SIZE + 1));
		return;
	}
	f->posted[queue]++;
	d = ring(f, queue, 0) + at % RING_SIZE * 16ul;
	put_le64(d, DATA_AT + fuzz_u8(&f->in) * 64u);
	put_le32(d + 8, fuzz_u16(&f->in));
	put_le16(d + 12, at % RING_SIZE);
	put_le16(d + 14, (uint16_t)((queue % 2 ? 0 : VRING_DESC_F_WRITE) |
				    1u << (wrap ? VRING_PACKED_DESC_F_AVAIL
						: VRING_PACKED_DESC_F_USED)));
}

static void notify(struct fuzz *f, unsigned int queue)
{
	struct virtq *vq = &f->vdev->queues[queue];

	if (virtq_running(vq))
		f->vdev->ops->notify(f->vdev, vq);
}

/* A command in two descriptors of a chain, header and data, and a third for the answer. */
static void command(struct fuzz *f)
{
	unsigned int queue = fuzz_u8(&f->in) & 1 ? 2 : f->vdev->queue_count - 1;
	uint8_t *d = ring(f, queue, 0), *data = f->ram + DATA_AT;
	unsigned int i, len = fuzz_u8(&f->in), spread = fuzz_u8(&f->in);
	uint16_t next = VRING_DESC_F_NEXT;

	for (i = 0; i < 2 + MIN(len, 16u); i++)
		data[i] = fuzz_u8(&f->in);
	if (f->packed)
		return; /* what write_desc() and post() make is as good */
	put_le64(d, DATA_AT);
	put_le32(d + 8, 2);
	put_le16(d + 12, next);
	put_le16(d + 14, 1);
	put_le64(d + 16, DATA_AT + 2);
	put_le32(d + 24, len * (spread & 0x80 ? 32u : 1u));
	put_le16(d + 28, next);
	put_le16(d + 30, 2);
	put_le64(d + 32, DATA_AT + 0x10000);
	put_le32(d + 40, 1);
	put_le16(d + 44, VRING_DESC_F_WRITE);
	post_head(f, queue, 0);
	notify(f, queue);
}

/* What comes from outside. */

static void deliver(struct fuzz *f, unsigned int pair)
{
	static const size_t lens[] = { 0, 1, 13, 14, 60, 1514, 1523, 9000, 65549, 65550 };
	static uint8_t frame[NET_FRAME_MAX + NET_HEADER_MAX + 1];
	size_t len = lens[fuzz_u8(&f->in) % ARRAY_SIZE(lens)] + f->n->net.header;
	size_t at = fuzz_u8(&f->in), cut = MIN(at, len);
	struct iovec iov[2] = { { frame, cut }, { frame + cut, len - cut } };

	f->host->deliver(&f->n->net, pair, iov, 2);
	if (fuzz_u8(&f->in) & 1)
		f->host->deliver_end(&f->n->net, pair);
}

static void read_into(struct fuzz *f, unsigned int pair)
{
	struct iovec iov[64];
	size_t room, len = fuzz_u16(&f->in);
	int i, n = f->host->buffers(&f->n->net, pair, iov, fuzz_u8(&f->in) % 64 + 1);

	if (n <= 0)
		return;
	MUST(n <= 64);
	room = iov_size(iov, (unsigned int)n);
	len = MIN(len, room);
	for (i = 0; i < n; i++)
		memset(iov[i].iov_base, 0xa5, iov[i].iov_len);
	f->host->filled(&f->n->net, pair, len);
	f->host->deliver_end(&f->n->net, pair);
}

static void backend(struct fuzz *f, unsigned int pair)
{
	unsigned int what = fuzz_u8(&f->in);

	if (what & 1) {
		f->full = !f->full;
		if (!f->full)
			f->host->send_ready(&f->n->net, pair);
	}
	if (what & 2)
		f->host->link(&f->n->net, what & 4);
	if (what & 8)
		net_set_link(&f->n->net, what & 16);
	if (what & 32)
		f->refuses = !f->refuses;
	if (what & 64)
		f->echoes = !f->echoes;
}

static void config(struct fuzz *f)
{
	static const uint8_t widths[] = { 1, 2, 4 };
	unsigned int size = widths[fuzz_u8(&f->in) % 3];
	uint64_t at = VIRTIO_PCI_DEVICE_AT + fuzz_u8(&f->in) / size * size;

	virtio_pci_read(f->vdev->dev, virtio_pci_bar(&f->n->vpci), at, size);
	virtio_pci_write(f->vdev->dev, virtio_pci_bar(&f->n->vpci), at, size, fuzz_u16(&f->in));
}

static void step(struct fuzz *f)
{
	unsigned int op = fuzz_u8(&f->in) % OPS, queue = fuzz_u8(&f->in) % f->vdev->queue_count, i;

	switch (op) {
	case OP_DESC:
		write_desc(f, queue);
		break;
	case OP_DATA:
		put_le32(f->ram + DATA_AT + fuzz_u8(&f->in) * 64ul, fuzz_u16(&f->in));
		break;
	case OP_POST:
		for (i = fuzz_u8(&f->in) % 4 + 1; i; i--)
			post(f, queue);
		break;
	case OP_NOTIFY:
		notify(f, queue);
		break;
	case OP_DELIVER:
		deliver(f, queue % f->pairs);
		break;
	case OP_READ_INTO:
		read_into(f, queue % f->pairs);
		break;
	case OP_BACKEND:
		backend(f, queue % f->pairs);
		break;
	case OP_CONFIG:
		config(f);
		break;
	case OP_COMMAND:
		command(f);
		break;
	case OP_RESTART:
		start(f);
		break;
	case OP_QUEUE_RESET:
		if (virtio_queue_reset(&f->vdev->queues[queue])) {
			MUST(!f->vdev->queues[queue].inflight);
			enable(f, queue);
		}
		break;
	case OP_MASTER:
		f->n->vpci.pdev.config[PCI_COMMAND] ^= PCI_COMMAND_MASTER;
		virtio_dev_running_changed(f->vdev);
		break;
	}
	for (i = 0; i < f->vdev->queue_count; i++) {
		MUST(f->vdev->queues[i].inflight <= f->vdev->queues[i].size);
		check_order(f, i);
	}
}

/* Once for the process: what one input leaves behind, the reset at the next one's start takes. Where
 * it may have a network of its own, the device is made on a tap there, as more than one pair of
 * queues needs; then its back end is this file. */
static struct fuzz *fuzz_get(void)
{
	struct fuzz *f = &fuzz;
	const char *spec = "virtio-net,packed=on,legacy=on,net=tap,queues=2,vhost=off";
	struct net *net;

	if (f->g)
		return f;
	f->pairs = PAIRS_MAX;
	if (unshare(CLONE_NEWNET) || access("/dev/net/tun", R_OK | W_OK)) {
		frame_link_module();
		spec = "virtio-net,packed=on,legacy=on";
		f->pairs = 1;
	}
	f->g = guest_new(RAM);
	f->ram = guest_ptr(f->g, 0, RAM);
	f->n = (struct virtio_net *)(void *)guest_device(f->g, &virtio_net_class, spec);
	f->vdev = &f->n->vpci.vdev;
	net = &f->n->net;
	net_close(net);
	MUST(!net_attach(net, &backend_ops, f->pairs, f->g->vm, "nic", net->lock, net->peer, f->n,
			 NULL));
	return f;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz *f = fuzz_get();
	unsigned int mode;

	f->in = (struct fuzz_input){ data, size };
	mode = fuzz_u8(&f->in) % 3;
	f->packed = mode == 1;
	f->legacy = mode == 2;
	f->full = f->refuses = f->echoes = false;
	pthread_mutex_lock(&f->vdev->dev->lock);
	net_set_link(&f->n->net, true);
	f->host->link(&f->n->net, true);
	start(f);
	while (f->in.left)
		step(f);
	virtio_dev_set_status(f->vdev, 0);
	pthread_mutex_unlock(&f->vdev->dev->lock);
	return 0;
}
