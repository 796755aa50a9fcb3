// SPDX-License-Identifier: GPL-2.0-or-later
/* VIRTIO_F_RING_RESET (virtio 1.2 clause 2.6.1): one queue is reset, the others go on. First the
 * rings of both formats, then network and disk as a driver sees them. And VIRTIO_F_IN_ORDER. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <unistd.h>

#include "base/err.h"
#include "fake_driver.h"
#include "net_tester.h"
#include "fake_kvm.h"
#include "fake_uring.h"
#include "net_frames.h"
#include "virtio/virtio_balloon.h"
#include "virtio/virtio_blk.h"
#include "virtio/virtio_console.h"
#include "virtio/virtio_net.h"
#include "virtio/virtio_rng.h"
#include "virtio/virtio_scsi.h"
#include "virtq_rig.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define VERSION_1 BIT64(VIRTIO_F_VERSION_1)
#define PACKED BIT64(VIRTIO_F_RING_PACKED)
#define IN_ORDER BIT64(VIRTIO_F_IN_ORDER)
#define RESET BIT64(VIRTIO_F_RING_RESET)
#define PACKED_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define SIZE 8u
#define SIZE_MAX_OFFERED 16u
#define ELSEWHERE 0x4000u /* behind RIG_*: the ring's second place */

/* The rings. */

static int setup(void **state)
{
	*state = rig_open(1 * MIB, SIZE_MAX_OFFERED);
	assert_non_null(*state);
	return 0;
}

static int teardown(void **state)
{
	rig_close(*state);
	return 0;
}

/* Makes entry @i of a ring that begins a first lap available. */
static void make_available(struct virtq_rig *r, gpa_t at, unsigned int i)
{
	bool packed = r->vq->format == &virtq_packed;

	rig_desc_at(r, RIG_DESC + at, i, RIG_DATA, 16, packed ? (uint16_t)i : WRITE,
		    packed ? PACKED_AVAIL | WRITE : 0);
	if (packed)
		return;
	put_le16(r->ram + RIG_AVAIL + at + 4 + 2ull * i, (uint16_t)i);
	put_le16(r->ram + RIG_AVAIL + at + 2, (uint16_t)(i + 1));
}

static void resets_a_queue(struct virtq_rig *r, uint64_t features)
{
	unsigned int i, before;

	rig_start(r, SIZE, features | RESET);
	assert_true(virtq_running(r->vq));
	for (i = 0; i < 3; i++)
		make_available(r, 0, i);
	assert_int_equal(virtq_pop(r->vq, &r->elem), 1);
	virtq_push(r->vq, &r->elem, 1);
	virtq_publish(r->vq);
	assert_int_equal(virtq_pop(r->vq, &r->elem), 1);
	before = r->queue_resets;
	assert_true(virtio_queue_reset(r->vq));
	assert_int_equal(r->queue_resets, before + 1);
	assert_int_equal(r->queue_resets_inflight, 1);
	assert_false(r->vq->enabled);
	assert_int_equal(r->vq->inflight, 0);
	assert_int_equal(r->vq->size, SIZE_MAX_OFFERED);
	assert_true(!r->vq->desc && !r->vq->driver && !r->vq->device);
	assert_true(virtio_dev_running(&r->vdev));
	assert_false(virtq_running(r->vq));
	assert_int_equal(r->queue_irqs, 0);

	/* Again: nothing is under way. */
	assert_true(virtio_queue_reset(r->vq));
	assert_int_equal(r->queue_resets, before + 1);

	/* Another size, elsewhere: it begins at its first entry, which is not where it was. */
	rig_enable(r, SIZE_MAX_OFFERED, ELSEWHERE);
	assert_true(virtq_running(r->vq));
	assert_int_equal(virtq_pop(r->vq, &r->elem), 0);
	for (i = 0; i < SIZE_MAX_OFFERED; i++) {
		make_available(r, ELSEWHERE, i);
		assert_int_equal(virtq_pop(r->vq, &r->elem), 1);
		assert_int_equal(r->elem.id, i);
		virtq_push(r->vq, &r->elem, 1);
		virtq_signal(r->vq);
	}
	assert_int_equal(r->queue_irqs, SIZE_MAX_OFFERED);
	assert_int_equal(r->vdev.status & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
}

static void split_ring(void **state)
{
	resets_a_queue(*state, 0);
}

static void packed_ring(void **state)
{
	resets_a_queue(*state, PACKED);
}

/* Ids in flight at the reset are free in the ring that follows; so is the count of entries. */
static void packed_ids_are_free(void **state)
{
	struct virtq_rig *r = *state;
	unsigned int i;

	rig_start(r, SIZE, PACKED | RESET);
	for (i = 0; i < SIZE; i++)
		make_available(r, 0, i);
	for (i = 0; i < SIZE; i++)
		assert_int_equal(virtq_pop(r->vq, &r->elem), 1);
	r->vq->inflight = 0; /* a device that forgets instead of giving back */
	assert_true(virtio_queue_reset(r->vq));
	rig_enable(r, SIZE, ELSEWHERE);
	for (i = 0; i < SIZE; i++) {
		make_available(r, ELSEWHERE, i);
		assert_int_equal(virtq_pop(r->vq, &r->elem), 1);
	}
	r->vq->inflight = 0;
}

static void only_when_negotiated(void **state)
{
	struct virtq_rig *r = *state;

	rig_start(r, SIZE, 0);
	assert_false(virtio_queue_reset(r->vq));
	assert_true(virtq_running(r->vq));
	virtio_dev_set_status(&r->vdev, 0);
	virtio_dev_ack(&r->vdev, 1, (uint32_t)(RESET >> 32) | 1);
	assert_false(virtio_queue_reset(r->vq)); /* not before FEATURES_OK */
	virtio_dev_set_status(&r->vdev, VIRTIO_CONFIG_S_FEATURES_OK);
	virtio_queue_set_size(r->vq, 4);
	assert_true(virtio_queue_reset(r->vq)); /* before it is enabled, and before DRIVER_OK */
	assert_int_equal(r->vq->size, SIZE_MAX_OFFERED);
	assert_int_equal(r->queue_resets, 0);
}

/* A queue that the driver broke can be had again; that the device wants a reset stays. */
static void broken_queue(void **state)
{
	struct virtq_rig *r = *state;

	rig_start(r, SIZE, RESET);
	rig_avail_idx(r, SIZE + 1);
	assert_int_equal(virtq_pop(r->vq, &r->elem), -EIO);
	assert_true(virtio_queue_reset(r->vq));
	rig_enable(r, SIZE, ELSEWHERE);
	assert_true(virtq_running(r->vq));
	make_available(r, ELSEWHERE, 0);
	assert_int_equal(virtq_pop(r->vq, &r->elem), 1);
	assert_true(rig_broken(r));
	r->vq->inflight = 0;
}

/* Network: its registers, and frames that wait. */

struct net_rig {
	struct guest *g;
	struct virtio_net *n;
	struct driver d;
	struct ring rx, tx;
	gpa_t buf;
};

static void net_rig_open(struct net_rig *r)
{
	struct net *net;

	r->g = guest_new(4 * MIB);
	r->n = (struct virtio_net *)(void *)guest_device(r->g, &virtio_net_class, "virtio-net");
	r->buf = guest_alloc(r->g, 4096, 4096);
	net = &r->n->net;
	net_close(net);
	assert_int_equal(net_attach(net, &tester_ops, 1, r->g->vm, "nic", net->lock, net->peer, r->n,
				    NULL),
			 0);
	guest_start(r->g);
	driver_open(&r->d, r->g, &r->n->vpci.pdev.dev);
	guest_msix_on(r->g, r->d.pdev);
	assert_true(driver_offered(&r->d) & RESET);
	assert_true(driver_negotiate(&r->d, VERSION_1 | RESET | IN_ORDER |
						    BIT64(VIRTIO_NET_F_MRG_RXBUF)));
	ring_open(&r->rx, &r->d, VIRTIO_NET_RX, 16, 1);
	ring_open(&r->tx, &r->d, VIRTIO_NET_TX, 16, 2);
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
}

static uint64_t reg(const struct driver *d, unsigned int at)
{
	return guest_read(d->g, d->common + at, 2);
}

static void set_reg(const struct driver *d, unsigned int at, uint16_t value)
{
	guest_write(d->g, d->common + at, 2, value);
}

static void reset_queue(const struct driver *d, unsigned int queue)
{
	set_reg(d, VIRTIO_PCI_COMMON_Q_SELECT, (uint16_t)queue);
	set_reg(d, VIRTIO_PCI_COMMON_Q_RESET, 1);
	assert_int_equal(reg(d, VIRTIO_PCI_COMMON_Q_RESET), 0);
	assert_int_equal(reg(d, VIRTIO_PCI_COMMON_Q_ENABLE), 0);
}

static void deliver(struct net_rig *r)
{
	uint8_t frame[64] = { 0 };
	struct iovec iov = { frame, sizeof(frame) };

	tester_deliver(tester.net->lock, 0, &iov, 1);
	guest_sync(r->g);
}

static void send_one(struct net_rig *r)
{
	ring_desc(&r->tx, 0, r->buf, 100, 0, 0);
	ring_post(&r->tx, 0);
	ring_kick(&r->tx);
	guest_sync(r->g);
}

static void registers(void **state)
{
	static const uint16_t beyond[] = { 3, 0x7fff, 0xffff };
	struct net_rig r = { 0 };
	unsigned int i;

	(void)state;
	net_rig_open(&r);
	assert_int_equal(r.d.common_length, 60);
	/* A queue that is not there, and values that are not 1: nothing. */
	for (i = 0; i < ARRAY_SIZE(beyond); i++) {
		set_reg(&r.d, VIRTIO_PCI_COMMON_Q_SELECT, beyond[i]);
		set_reg(&r.d, VIRTIO_PCI_COMMON_Q_RESET, 1);
		assert_int_equal(reg(&r.d, VIRTIO_PCI_COMMON_Q_RESET), 0);
	}
	set_reg(&r.d, VIRTIO_PCI_COMMON_Q_SELECT, VIRTIO_NET_TX);
	set_reg(&r.d, VIRTIO_PCI_COMMON_Q_RESET, 0);
	set_reg(&r.d, VIRTIO_PCI_COMMON_Q_RESET, 2);
	guest_write(r.g, r.d.common + VIRTIO_PCI_COMMON_Q_RESET, 1, 1);
	guest_write(r.g, r.d.common + VIRTIO_PCI_COMMON_Q_NDATA, 4, 0x10001);
	assert_int_equal(reg(&r.d, VIRTIO_PCI_COMMON_Q_ENABLE), 1);
	assert_int_equal(fake_kvm_doorbells(), 2);

	reset_queue(&r.d, VIRTIO_NET_TX);
	assert_int_equal(fake_kvm_doorbells(), 1);
	assert_int_equal(reg(&r.d, VIRTIO_PCI_COMMON_Q_SIZE), 256);
	assert_int_equal(reg(&r.d, VIRTIO_PCI_COMMON_Q_MSIX), VIRTIO_MSI_NO_VECTOR);
	assert_int_equal(reg(&r.d, VIRTIO_PCI_COMMON_Q_DESCLO), 0);
	set_reg(&r.d, VIRTIO_PCI_COMMON_Q_SELECT, VIRTIO_NET_RX);
	assert_int_equal(reg(&r.d, VIRTIO_PCI_COMMON_Q_ENABLE), 1);
	assert_int_equal(reg(&r.d, VIRTIO_PCI_COMMON_Q_MSIX), 1);
	send_one(&r); /* a kick for a queue that is reset */
	assert_int_equal(tester.sent, 0);
	ring_open(&r.tx, &r.d, VIRTIO_NET_TX, 32, 2);
	assert_int_equal(fake_kvm_doorbells(), 2);
	send_one(&r);
	assert_int_equal(tester.sent, 1);
	assert_int_equal(guest_msix_count(r.d.pdev, 2), 1);

	/* Not negotiated. */
	assert_true(driver_negotiate(&r.d, VERSION_1));
	ring_open(&r.tx, &r.d, VIRTIO_NET_TX, 16, 2);
	driver_set_status(&r.d, VIRTIO_CONFIG_S_DRIVER_OK);
	set_reg(&r.d, VIRTIO_PCI_COMMON_Q_RESET, 1);
	assert_int_equal(reg(&r.d, VIRTIO_PCI_COMMON_Q_ENABLE), 1);
	guest_free(r.g);
}

/* The back end is full: the queue stands, until it is reset. The other direction goes on. */
static void net_transmit(void **state)
{
	struct net_rig r = { 0 };
	uint32_t id, len;

	(void)state;
	net_rig_open(&r);
	tester.full = true;
	send_one(&r);
	ring_desc(&r.rx, 0, r.buf + 1024, 512, WRITE, 0);
	ring_post(&r.rx, 0);
	ring_kick(&r.rx);
	guest_sync(r.g);
	reset_queue(&r.d, VIRTIO_NET_TX);
	deliver(&r);
	assert_true(ring_used(&r.rx, &id, &len));
	assert_int_equal(len, 12 + 64);
	tester.full = false;
	pthread_mutex_lock(tester.net->lock);
	tester.host->send_ready(tester.net, 0);
	pthread_mutex_unlock(tester.net->lock);
	assert_int_equal(tester.sent, 0);
	assert_false(ring_used(&r.tx, &id, &len));
	ring_open(&r.tx, &r.d, VIRTIO_NET_TX, 64, 2);
	send_one(&r);
	assert_int_equal(tester.sent, 1);
	assert_true(ring_used(&r.tx, &id, &len));
	guest_free(r.g);
}

/* Frames wait for buffers: they go with the ring. */
static void net_receive(void **state)
{
	struct net_rig r = { 0 };
	uint32_t id, len;

	(void)state;
	net_rig_open(&r);
	deliver(&r);
	deliver(&r);
	assert_true(r.n->net.queues[0].held.used > 0);
	reset_queue(&r.d, VIRTIO_NET_RX);
	assert_int_equal(r.n->net.queues[0].held.used, 0);
	deliver(&r);
	ring_open(&r.rx, &r.d, VIRTIO_NET_RX, 32, 1);
	ring_desc(&r.rx, 0, r.buf + 1024, 512, WRITE, 0);
	ring_post(&r.rx, 0);
	ring_kick(&r.rx);
	guest_sync(r.g);
	assert_false(ring_used(&r.rx, &id, &len));
	deliver(&r);
	assert_true(ring_used(&r.rx, &id, &len));
	assert_false(ring_used(&r.rx, &id, &len));
	guest_free(r.g);
}

/* Disk: two queues have requests that wait for a better time, one is reset. */

#define IMAGE (64 * KIB)

struct disk_rig {
	struct guest *g;
	struct driver d;
	struct ring q[2];
	char path[40];
	int fd;
	gpa_t buf; /* for each queue a page: header, status at 16, data at 512 */
	uint8_t *mem;
};

static void disk_post(struct disk_rig *r, unsigned int queue, uint64_t sector)
{
	uint8_t *page = r->mem + queue * 4096ul;
	gpa_t at = r->buf + queue * 4096ul;
	struct ring *q = &r->q[queue];

	memset(page, 0xee, 4096);
	put_le32(page, VIRTIO_BLK_T_IN);
	put_le32(page + 4, 0);
	put_le64(page + 8, sector);
	ring_desc(q, 0, at, 16, NEXT, 1);
	ring_desc(q, 1, at + 512, 1024, NEXT | WRITE, 2);
	ring_desc(q, 2, at + 16, 1, WRITE, 0);
	ring_post(q, 0);
	ring_kick(q);
	guest_sync(r->g);
}

/* @spec: all but the image. Its sector 8 begins with 64 bytes of 0x5a. */
static struct dev *disk_rig_open(struct disk_rig *r, const char *spec, const struct dev_class *class,
				 unsigned int first)
{
	char full[128], some[64];
	struct dev *dev;
	unsigned int i;

	*r = (struct disk_rig){ .path = "/tmp/virtio_ring_features.XXXXXX" };
	r->fd = mkstemp(r->path);
	assert_true(r->fd >= 0 && !ftruncate(r->fd, IMAGE));
	memset(some, 0x5a, sizeof(some));
	assert_int_equal(pwrite(r->fd, some, sizeof(some), 4096), sizeof(some));
	r->g = guest_new(4 * MIB);
	snprintf(full, sizeof(full), "%s,queues=2,path=%s", spec, r->path);
	dev = guest_device(r->g, class, full);
	r->buf = guest_alloc(r->g, 8192, 4096);
	r->mem = guest_ptr(r->g, r->buf, 8192);
	guest_start(r->g);
	driver_open(&r->d, r->g, dev);
	assert_true(driver_negotiate(&r->d, VERSION_1 | RESET));
	for (i = 0; i < 2; i++)
		ring_open(&r->q[i], &r->d, first + i, 16, VIRTIO_MSI_NO_VECTOR);
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
	return dev;
}

static void disk_rig_close(struct disk_rig *r)
{
	guest_free(r->g);
	close(r->fd);
	unlink(r->path);
}

/* The second queue's read has come back, with what is there. */
static void second_has_read(struct disk_rig *r)
{
	uint32_t id, len;
	unsigned int i;

	assert_true(ring_wait(&r->q[1], &id, &len));
	assert_int_equal(r->mem[4096 + 512 + 63], 0x5a);
	for (i = 64; i < 1024; i++)
		assert_int_equal(r->mem[4096 + 512 + i], 0);
}

static void all_untouched(const uint8_t *mem)
{
	unsigned int i;

	for (i = 0; i < 4096; i++)
		assert_int_equal(mem[i], 0xc3);
}

static void disk_queue_alone(void **state)
{
	struct disk_rig r;
	struct dev *dev = disk_rig_open(&r, "virtio-blk,on-error=stop", &virtio_blk_class, 0);
	uint32_t id, len;

	(void)state;
	/* One sector and a half of what is asked for are there: the request has got so far. */
	assert_int_equal(ftruncate(r.fd, 9 * 512 + 256), 0);
	disk_post(&r, 0, 8);
	disk_post(&r, 1, 8);
	assert_true(guest_logged(r.g, "it waits"));
	reset_queue(&r.d, 0);
	assert_int_equal(to_virtio_pci(dev)->vdev.queues[1].inflight, 1);
	memset(r.mem, 0xc3, 4096);
	assert_int_equal(ftruncate(r.fd, IMAGE), 0);
	second_has_read(&r);
	assert_int_equal(r.mem[4096 + 16], VIRTIO_BLK_S_OK);
	/* What was the first queue's is memory again. */
	all_untouched(r.mem);
	ring_open(&r.q[0], &r.d, 0, 8, VIRTIO_MSI_NO_VECTOR);
	disk_post(&r, 0, 0);
	assert_true(ring_wait(&r.q[0], &id, &len));
	assert_int_equal(r.mem[16], VIRTIO_BLK_S_OK);
	disk_rig_close(&r);
}

/* As drivers wait for the end of a reset. */
static void reads_zero(const struct driver *d, unsigned int at)
{
	unsigned int tries = 5000, size = at == VIRTIO_PCI_COMMON_STATUS ? 1 : 2;

	while (guest_read(d->g, d->common + at, size) && tries--)
		usleep(1000);
	assert_int_equal(guest_read(d->g, d->common + at, size), 0);
}

/* Both queues have a read under way, of which nothing more is heard. */
static void both_hang(struct disk_rig *r)
{
	unsigned int tries = 5000;

	fake_uring_hold();
	disk_post(r, 0, 8);
	disk_post(r, 1, 8);
	while (fake_uring_held() < 2 && tries--)
		usleep(1000);
	assert_int_equal(fake_uring_held(), 2);
}

/* The host does not answer: the driver is told that its reset is not over, and nothing of the queue
 * can be set until it is. Then again, but a reset of the device comes first. */
static void disk_that_hangs(void **state)
{
	static const char *const specs[] = { "virtio-blk", "virtio-blk,iothread=on" };
	struct disk_rig r;
	struct dev *dev;
	uint32_t id, len;
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(specs); i++) {
		fake_uring_reset();
		dev = disk_rig_open(&r, specs[i], &virtio_blk_class, 0);
		both_hang(&r);
		set_reg(&r.d, VIRTIO_PCI_COMMON_Q_SELECT, 0);
		set_reg(&r.d, VIRTIO_PCI_COMMON_Q_RESET, 1);
		assert_int_equal(reg(&r.d, VIRTIO_PCI_COMMON_Q_RESET), 1);
		set_reg(&r.d, VIRTIO_PCI_COMMON_Q_RESET, 1);
		set_reg(&r.d, VIRTIO_PCI_COMMON_Q_SIZE, 4);
		guest_write(r.g, r.d.common + VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x20000);
		set_reg(&r.d, VIRTIO_PCI_COMMON_Q_ENABLE, 1);
		assert_int_equal(reg(&r.d, VIRTIO_PCI_COMMON_Q_ENABLE), 0);
		assert_int_equal(reg(&r.d, VIRTIO_PCI_COMMON_Q_SIZE), 16);
		assert_false(ring_used(&r.q[1], &id, &len));
		fake_uring_release(&dev->lock);
		second_has_read(&r);
		reads_zero(&r.d, VIRTIO_PCI_COMMON_Q_RESET);
		assert_int_equal(reg(&r.d, VIRTIO_PCI_COMMON_Q_SIZE), 256);
		memset(r.mem, 0xc3, 4096);
		ring_open(&r.q[0], &r.d, 0, 8, VIRTIO_MSI_NO_VECTOR);
		disk_post(&r, 0, 0);
		assert_true(ring_wait(&r.q[0], &id, &len));

		both_hang(&r);
		set_reg(&r.d, VIRTIO_PCI_COMMON_Q_SELECT, 0);
		set_reg(&r.d, VIRTIO_PCI_COMMON_Q_RESET, 1);
		assert_int_equal(reg(&r.d, VIRTIO_PCI_COMMON_Q_RESET), 1);
		guest_write(r.g, r.d.common + VIRTIO_PCI_COMMON_STATUS, 1, 0);
		assert_int_not_equal(driver_status(&r.d), 0);
		fake_uring_release(&dev->lock);
		reads_zero(&r.d, VIRTIO_PCI_COMMON_STATUS);
		assert_int_equal(reg(&r.d, VIRTIO_PCI_COMMON_Q_RESET), 0);
		assert_true(driver_negotiate(&r.d, VERSION_1 | RESET));
		ring_open(&r.q[1], &r.d, 1, 16, VIRTIO_MSI_NO_VECTOR);
		driver_set_status(&r.d, VIRTIO_CONFIG_S_DRIVER_OK);
		disk_post(&r, 1, 8);
		second_has_read(&r);
		disk_rig_close(&r);
	}
	fake_uring_reset();
}

/* SCSI reads 1024 bytes of sector 8 on two queues, whose pages are as the disk's. */
static void scsi_post(struct disk_rig *r, unsigned int queue, const uint8_t *cdb, uint32_t in)
{
	uint8_t *page = r->mem + queue * 4096ul;
	gpa_t at = r->buf + queue * 4096ul;
	struct ring *q = &r->q[queue];

	memset(page, 0xee, 4096);
	memset(page, 0, 51);
	page[0] = 1; /* target 0, LUN 0 */
	memcpy(page + 19, cdb, 10);
	ring_desc(q, 0, at, 51, NEXT, 1);
	ring_desc(q, 1, at + 128, 108, (uint16_t)(WRITE | (in ? NEXT : 0)), 2);
	ring_desc(q, 2, at + 512, in, WRITE, 0);
	ring_post(q, 0);
	ring_kick(q);
	guest_sync(r->g);
}

static void scsi_queue_alone(void **state)
{
	static const uint8_t ready[10] = { 0 }, read[10] = { 0x28, 0, 0, 0, 0, 8, 0, 0, 2, 0 };
	struct disk_rig r;
	uint32_t id, len;

	(void)state;
	disk_rig_open(&r, "scsi-disk,on-error=stop", &scsi_disk_class, VIRTIO_SCSI_REQUEST);
	scsi_post(&r, 0, ready, 0); /* takes the unit attention */
	assert_true(ring_wait(&r.q[0], &id, &len));
	assert_int_equal(ftruncate(r.fd, 9 * 512 + 256), 0);
	scsi_post(&r, 0, read, 1024);
	scsi_post(&r, 1, read, 1024);
	assert_true(guest_logged(r.g, "it waits"));
	reset_queue(&r.d, VIRTIO_SCSI_REQUEST);
	memset(r.mem, 0xc3, 4096);
	assert_int_equal(ftruncate(r.fd, IMAGE), 0);
	second_has_read(&r);
	assert_int_equal(r.mem[4096 + 128 + 11], 0); /* VIRTIO_SCSI_S_OK */
	assert_int_equal(r.mem[4096 + 128 + 10], 0); /* GOOD */
	all_untouched(r.mem);
	ring_open(&r.q[0], &r.d, VIRTIO_SCSI_REQUEST, 8, VIRTIO_MSI_NO_VECTOR);
	scsi_post(&r, 0, read, 1024);
	assert_true(ring_wait(&r.q[0], &id, &len));
	assert_int_equal(r.mem[128 + 10], 0);
	disk_rig_close(&r);
}

/* A device whose period is over: buffers that wait for the next are forgotten with their ring. */
static void rng_while_it_waits(void **state)
{
	struct guest *g = guest_new(4 * MIB);
	struct dev *dev = guest_device(g, &virtio_rng_class,
				       "virtio-rng,max-bytes=16,period=100");
	gpa_t buf = guest_alloc(g, 4096, 4096);
	uint8_t *mem = guest_ptr(g, buf, 4096);
	struct driver d;
	struct ring q;
	uint32_t id, len;
	unsigned int i;

	(void)state;
	guest_start(g);
	driver_open(&d, g, dev);
	assert_true(driver_negotiate(&d, VERSION_1 | RESET | IN_ORDER));
	ring_open(&q, &d, 0, 16, VIRTIO_MSI_NO_VECTOR);
	driver_set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
	for (i = 0; i < 2; i++) {
		ring_desc(&q, i, buf + 1024ull * i, 16, WRITE, 0);
		ring_post(&q, (uint16_t)i);
	}
	ring_kick(&q);
	assert_true(ring_wait(&q, &id, &len));
	assert_int_equal(len, 16);
	guest_sync(g);
	reset_queue(&d, 0);
	memset(mem, 0xc3, 4096);
	ring_open(&q, &d, 0, 8, VIRTIO_MSI_NO_VECTOR);
	ring_desc(&q, 0, buf + 2048, 16, WRITE, 0);
	ring_post(&q, 0);
	ring_kick(&q);
	assert_true(ring_wait(&q, &id, &len)); /* of the next period */
	for (i = 0; i < 2048; i++)
		assert_int_equal(mem[i], 0xc3);
	guest_free(g);
}

/* In order. */

/* The next used entries are of @heads and no other. */
static void used_are(struct ring *q, const uint16_t *heads, unsigned int count)
{
	uint32_t id, len;
	unsigned int i;

	for (i = 0; i < count; i++) {
		assert_true(ring_used(q, &id, &len));
		assert_int_equal(id, heads[i]);
	}
	assert_false(ring_used(q, &id, &len));
}

/* Both directions stand and go on, and buffers that were taken go back and are taken again. */
static void net_in_order(void **state)
{
	static const uint16_t heads[] = { 5, 3, 9, 0, 7, 1 };
	struct net_rig r = { 0 };
	unsigned int i;

	(void)state;
	net_rig_open(&r);
	tester.full = true;
	for (i = 0; i < ARRAY_SIZE(heads); i++) {
		ring_desc(&r.tx, heads[i], r.buf, 100 + i, 0, 0);
		ring_post(&r.tx, heads[i]);
	}
	ring_kick(&r.tx);
	guest_sync(r.g);
	used_are(&r.tx, heads, 0);
	tester.full = false;
	pthread_mutex_lock(tester.net->lock);
	tester.host->send_ready(tester.net, 0);
	pthread_mutex_unlock(tester.net->lock);
	used_are(&r.tx, heads, ARRAY_SIZE(heads));

	/* A frame and its header are 76 bytes: three buffers of 32, of which two are there. */
	for (i = 0; i < ARRAY_SIZE(heads); i++) {
		ring_desc(&r.rx, heads[i], r.buf + 1024 + 32ull * i, 32, WRITE, 0);
		if (i < 2)
			ring_post(&r.rx, heads[i]);
	}
	deliver(&r);
	used_are(&r.rx, heads, 0);
	for (i = 2; i < ARRAY_SIZE(heads); i++)
		ring_post(&r.rx, heads[i]);
	ring_kick(&r.rx);
	guest_sync(r.g);
	deliver(&r);
	used_are(&r.rx, heads, ARRAY_SIZE(heads));
	guest_free(r.g);
}

/* What has several requests under way must not promise an order; single queues can be reset of all.
 */
static void who_offers_what(void **state)
{
	char path[] = "/tmp/virtio_ring_features.XXXXXX", spec[96];
	int fd = mkstemp(path);
	struct guest *g = guest_new(4 * MIB);
	struct dev *devs[4];
	struct driver d;
	unsigned int i;

	(void)state;
	assert_true(fd >= 0 && !ftruncate(fd, IMAGE));
	snprintf(spec, sizeof(spec), "virtio-blk,path=%s", path);
	devs[0] = guest_device(g, &virtio_rng_class, "virtio-rng");
	devs[1] = guest_device(g, &virtio_console_class, "virtio-console");
	devs[2] = guest_device(g, &virtio_blk_class, spec);
	devs[3] = guest_device(g, &virtio_balloon_class, "virtio-balloon");
	guest_start(g);
	for (i = 0; i < ARRAY_SIZE(devs); i++) {
		driver_open(&d, g, devs[i]);
		assert_int_equal(!!(driver_offered(&d) & IN_ORDER), i < 2);
		assert_true(driver_offered(&d) & RESET);
	}
	guest_free(g);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(split_ring),
		T(packed_ring),
		T(packed_ids_are_free),
		T(only_when_negotiated),
		T(broken_queue),
		cmocka_unit_test(registers),
		cmocka_unit_test(net_transmit),
		cmocka_unit_test(net_receive),
		cmocka_unit_test(disk_queue_alone),
		cmocka_unit_test(disk_that_hangs),
		cmocka_unit_test(scsi_queue_alone),
		cmocka_unit_test(net_in_order),
		cmocka_unit_test(rng_while_it_waits),
		cmocka_unit_test(who_offers_what),
	};

	frame_link_module();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
