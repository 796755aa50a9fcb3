// SPDX-License-Identifier: GPL-2.0-or-later
/* virtio-net as a driver sees it, first with a back end of the test's own, then with the user-mode
 * network from ring to ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "base/io.h"
#include "base/util.h"
#include "fake_driver.h"
#include "fake_kvm.h"
#include "net_frames.h"
#include "net_tester.h"
#include "syscall_count.h"
#include "virtio/virtio_net.h"
#include "vmm/iov.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define VERSION_1 BIT64(VIRTIO_F_VERSION_1)
#define MRG BIT64(VIRTIO_NET_F_MRG_RXBUF)
#define EVENT_IDX BIT64(VIRTIO_RING_F_EVENT_IDX)
#define MAC "52:54:00:12:34:56" /* frame_mac */
#define HEADER 12u
#define SIZE 16u

struct rig {
	struct guest *g;
	struct virtio_net *n;
	struct driver d;
	struct ring rx, tx;
	gpa_t buf; /* 128 KiB */
	uint8_t *mem;
};

static void rig_open(struct rig *r)
{
	r->g = guest_new(4 * MIB);
	r->n = (struct virtio_net *)(void *)guest_device(r->g, &virtio_net_class,
							 "virtio-net,id=nic,mac=" MAC);
	r->buf = guest_alloc(r->g, 128 * KIB, 4096);
	r->mem = guest_ptr(r->g, r->buf, 128 * KIB);
}

static void start(struct rig *r, uint64_t features, uint16_t size)
{
	guest_msix_on(r->g, r->d.pdev);
	assert_true(driver_negotiate(&r->d, features | VERSION_1));
	ring_open(&r->rx, &r->d, VIRTIO_NET_RX, size, 1);
	ring_open(&r->tx, &r->d, VIRTIO_NET_TX, size, 2);
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
}

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));
	struct net *net;

	rig_open(r);
	net = &r->n->net;
	net_close(net);
	assert_int_equal(net_attach(net, &tester_ops, 1, r->g->vm, "nic", net->lock, net->peer, r->n,
				    NULL),
			 0);
	guest_start(r->g);
	driver_open(&r->d, r->g, &r->n->vpci.pdev.dev);
	start(r, MRG | EVENT_IDX, SIZE);
	*state = r;
	return 0;
}

static int setup_user(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	rig_open(r);
	guest_start(r->g);
	driver_open(&r->d, r->g, &r->n->vpci.pdev.dev);
	start(r, MRG | EVENT_IDX, 256);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	guest_free(r->g);
	test_free(r);
	return 0;
}

static void lock(struct rig *r)
{
	pthread_mutex_lock(&r->n->vpci.pdev.dev.lock);
}

static void unlock(struct rig *r)
{
	pthread_mutex_unlock(&r->n->vpci.pdev.dev.lock);
}

/* The back end has a frame of @len bytes, each its offset plus @seed. */
static void deliver(struct rig *r, size_t len, uint8_t seed)
{
	static uint8_t frame[70000];
	struct iovec iov[2] = { { frame, len / 2 }, { frame + len / 2, len - len / 2 } };
	size_t i;

	for (i = 0; i < len; i++)
		frame[i] = (uint8_t)(i + seed);
	tester_deliver(&r->n->vpci.pdev.dev.lock, 0, iov, 2);
}

static uint64_t rx_dropped(struct rig *r)
{
	return r->n->net.rx_dropped;
}

static bool needs_reset(struct rig *r)
{
	return driver_status(&r->d) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void identity(void **state)
{
	struct rig *r = *state;
	uint64_t offered = driver_offered(&r->d);
	char line[80];

	assert_int_equal(guest_read(r->g, guest_ecam(r->d.pdev, 0), 4), 0x10411af4);
	assert_int_equal(guest_read(r->g, guest_ecam(r->d.pdev, PCI_CLASS_DEVICE), 2), 0x0200);
	assert_true(offered == (VERSION_1 | EVENT_IDX | BIT64(VIRTIO_RING_F_INDIRECT_DESC) | MRG |
				BIT64(VIRTIO_NET_F_MAC) | BIT64(VIRTIO_NET_F_STATUS) |
				BIT64(VIRTIO_NET_F_CTRL_VQ) | BIT64(VIRTIO_NET_F_CTRL_RX) |
				BIT64(VIRTIO_NET_F_CTRL_MAC_ADDR) |
				BIT64(VIRTIO_F_IN_ORDER) | BIT64(VIRTIO_F_RING_RESET)));
	assert_int_equal(guest_read(r->g, r->d.device, 4), 0x12005452);
	assert_int_equal(guest_read(r->g, r->d.device + 4, 2), 0x5634);
	assert_int_equal(guest_read(r->g, r->d.device + 6, 2), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(guest_read(r->g, r->d.device + 8, 2), 1); /* pair of queues */
	guest_write(r->g, r->d.device, 4, 0);
	assert_int_equal(guest_read(r->g, r->d.device, 4), 0x12005452);
	virtio_net_class.describe(&r->d.pdev->dev, line, sizeof(line));
	assert_string_equal(line, "user network, MAC " MAC);
}

static void kick_tx(struct rig *r)
{
	ring_kick(&r->tx);
	guest_sync(r->g);
}

static void sends(void **state)
{
	struct rig *r = *state;
	uint32_t id, len;
	unsigned int i;

	for (i = 0; i < 256; i++)
		r->mem[i] = (uint8_t)i;
	/* 5.1.6.2 leaves the layout to the driver: the header in three pieces. */
	ring_desc(&r->tx, 0, r->buf, 5, NEXT, 1);
	ring_desc(&r->tx, 1, r->buf + 5, 6, NEXT, 2);
	ring_desc(&r->tx, 2, r->buf + 11, 31, NEXT, 3);
	ring_desc(&r->tx, 3, r->buf + 100, 50, 0, 0);
	ring_post(&r->tx, 0);
	kick_tx(r);
	assert_int_equal(tester.sent, 1);
	assert_int_equal(tester.last_len, 80);
	assert_memory_equal(tester.last, r->mem + 12, 30);
	assert_memory_equal(tester.last + 30, r->mem + 100, 50);
	assert_true(ring_used(&r->tx, &id, &len));
	assert_int_equal(id, 0);
	assert_int_equal(len, 0);
	assert_int_equal(guest_msix_count(r->d.pdev, 2), 1);
	assert_int_equal(ring_avail_event(&r->tx), 1);

	/* A batch is one notification. */
	ring_used_event(&r->tx, 5);
	ring_desc(&r->tx, 4, r->buf, 72, 0, 0);
	for (i = 0; i < 8; i++)
		ring_post(&r->tx, 4);
	kick_tx(r);
	assert_int_equal(tester.sent, 9);
	assert_int_equal(guest_msix_count(r->d.pdev, 2), 1);
}

/* F12: too short to be a frame, too long, without a header. */
static void sends_oddities(void **state)
{
	struct rig *r = *state;
	uint32_t id, len;
	unsigned int i;

	for (i = HEADER; i < HEADER + NET_FRAME_MIN; i++) {
		ring_desc(&r->tx, 0, r->buf, i, 0, 0);
		ring_post(&r->tx, 0);
		kick_tx(r);
		assert_true(ring_used(&r->tx, &id, &len));
	}
	assert_int_equal(tester.sent, 0);
	assert_int_equal(r->n->net.tx_dropped, NET_FRAME_MIN);
	for (i = 0; i < 2; i++) {
		ring_desc(&r->tx, 0, r->buf, HEADER + NET_FRAME_MAX + i, 0, 0);
		ring_post(&r->tx, 0);
		kick_tx(r);
		assert_true(ring_used(&r->tx, &id, &len));
		assert_int_equal(tester.sent, 1);
	}
	/* 4 GiB minus a little: the same memory over and over. */
	for (i = 0; i < SIZE; i++)
		ring_desc(&r->tx, i, 0, 0x400000, i + 1 < SIZE ? NEXT : 0, (uint16_t)(i + 1));
	ring_post(&r->tx, 0);
	kick_tx(r);
	assert_true(ring_used(&r->tx, &id, &len));
	assert_int_equal(tester.sent, 1);
	assert_false(needs_reset(r));

	ring_desc(&r->tx, 0, r->buf, HEADER - 1, 0, 0);
	ring_post(&r->tx, 0);
	kick_tx(r);
	assert_true(needs_reset(r));
	assert_int_equal(guest_msix_count(r->d.pdev, 0), 0); /* no vector was chosen for it */
	start(r, MRG, SIZE);
	assert_false(needs_reset(r));
	/* Only device-writable bytes: no header either. */
	ring_desc(&r->tx, 0, r->buf, 100, WRITE, 0);
	ring_post(&r->tx, 0);
	kick_tx(r);
	assert_true(needs_reset(r));
}

static void back_end_full(void **state)
{
	struct rig *r = *state;
	uint32_t id, len;
	unsigned int i;

	tester.full = true;
	ring_desc(&r->tx, 0, r->buf, 72, 0, 0);
	for (i = 0; i < 3; i++)
		ring_post(&r->tx, 0);
	kick_tx(r);
	kick_tx(r);
	assert_int_equal(tester.refused, 1); /* not tried again before it says so */
	assert_false(ring_used(&r->tx, &id, &len));
	tester.full = false;
	lock(r);
	tester.host->send_ready(tester.net, 0);
	unlock(r);
	assert_int_equal(tester.sent, 3);
	for (i = 0; i < 3; i++)
		assert_true(ring_used(&r->tx, &id, &len));
	assert_int_equal(ring_avail_event(&r->tx), 3);
	/* A reset in that state forgets it. */
	tester.full = true;
	ring_post(&r->tx, 0);
	kick_tx(r);
	start(r, MRG | EVENT_IDX, SIZE);
	tester.full = false;
	ring_desc(&r->tx, 0, r->buf, 72, 0, 0);
	ring_post(&r->tx, 0);
	kick_tx(r);
	assert_int_equal(tester.sent, 4);
}

/* Posts @count buffers of @size bytes, the i-th at i * 4096. */
static void post_rx(struct rig *r, unsigned int count, uint32_t size)
{
	unsigned int i, head = r->rx.avail_idx;

	for (i = 0; i < count; i++, head++) {
		ring_desc(&r->rx, head % SIZE, r->buf + (head % SIZE) * 4096ull, size, WRITE, 0);
		ring_post(&r->rx, (uint16_t)(head % SIZE));
	}
}

static void kick_rx(struct rig *r)
{
	ring_kick(&r->rx);
	guest_sync(r->g);
}

static void receives(void **state)
{
	struct rig *r = *state;
	static const uint8_t header[HEADER] = { [10] = 1 };
	uint32_t id, len;
	unsigned int i;

	post_rx(r, 2, 2048);
	memset(r->mem, 0xee, 8192);
	deliver(r, 60, 3);
	assert_true(ring_used(&r->rx, &id, &len));
	assert_int_equal(id, 0);
	assert_int_equal(len, HEADER + 60);
	assert_memory_equal(r->mem, header, HEADER);
	for (i = 0; i < 60; i++)
		assert_int_equal(r->mem[HEADER + i], i + 3);
	assert_int_equal(r->mem[HEADER + 60], 0xee);
	assert_int_equal(guest_msix_count(r->d.pdev, 1), 1);
}

static void receives_into_many(void **state)
{
	struct rig *r = *state;
	uint32_t id, len;
	unsigned int i;

	post_rx(r, 4, 100);
	deliver(r, 300, 0);
	/* 88 behind the header, 100, 100, 12: 4 buffers. */
	assert_int_equal(r->mem[10], 4);
	assert_int_equal(r->mem[11], 0);
	for (i = 0; i < 4; i++) {
		assert_true(ring_used(&r->rx, &id, &len));
		assert_int_equal(id, i);
		assert_int_equal(len, i < 3 ? 100 : 12);
	}
	for (i = 0; i < 88; i++)
		assert_int_equal(r->mem[HEADER + i], i);
	for (i = 88; i < 300; i++)
		assert_int_equal(r->mem[4096 * (1 + (i - 88) / 100) + (i - 88) % 100], (uint8_t)i);
	assert_int_equal(guest_msix_count(r->d.pdev, 1), 1);
}

/* The header in 12 descriptors of one byte. */
static void receives_into_crumbs(void **state)
{
	struct rig *r = *state;
	uint32_t id, len;
	unsigned int i;

	for (i = 0; i < HEADER; i++)
		ring_desc(&r->rx, i, r->buf + i * 64ull, 1, WRITE | NEXT, (uint16_t)(i + 1));
	ring_desc(&r->rx, HEADER, r->buf + 4096, 100, WRITE, 0);
	ring_post(&r->rx, 0);
	memset(r->mem, 0xee, 8192);
	deliver(r, 60, 9);
	assert_true(ring_used(&r->rx, &id, &len));
	assert_int_equal(len, HEADER + 60);
	for (i = 0; i < HEADER; i++)
		assert_int_equal(r->mem[i * 64ull], i == 10);
	assert_int_equal(r->mem[4096], 9);
	assert_int_equal(r->mem[4096 + 59], 68);
	assert_int_equal(r->mem[4096 + 60], 0xee);
}

/* No room: the frame waits, the driver is asked for a kick, order is kept. */
static void holds_until_kicked(void **state)
{
	struct rig *r = *state;
	uint32_t id, len;
	unsigned int i;

	post_rx(r, 2, 100);
	deliver(r, 250, 1); /* needs 3 */
	deliver(r, 60, 2);
	assert_false(ring_used(&r->rx, &id, &len));
	/* Two buffers were seen; the kick must come with the third. */
	assert_int_equal(ring_avail_event(&r->rx), 2);
	post_rx(r, 1, 100);
	kick_rx(r);
	for (i = 0; i < 3; i++)
		assert_true(ring_used(&r->rx, &id, &len));
	assert_int_equal(r->mem[10], 3);
	assert_int_equal(r->mem[HEADER], 1);
	assert_false(ring_used(&r->rx, &id, &len));
	assert_int_equal(ring_avail_event(&r->rx), 3);
	post_rx(r, 1, 100);
	kick_rx(r);
	assert_true(ring_used(&r->rx, &id, &len));
	assert_int_equal(len, HEADER + 60);
	assert_int_equal(r->mem[3 * 4096 + HEADER], 2);
	assert_int_equal(rx_dropped(r), 0);

	/* Beyond the limit frames are dropped; a reset forgets those that wait. */
	for (i = 0; i < 300; i++)
		deliver(r, 1500, 0);
	assert_int_equal(rx_dropped(r), 300 - NET_HELD_BYTES / 1504);
	start(r, MRG | EVENT_IDX, SIZE);
	post_rx(r, 4, 2048);
	kick_rx(r);
	assert_false(ring_used(&r->rx, &id, &len));
	deliver(r, 60, 0);
	assert_true(ring_used(&r->rx, &id, &len));
}

static void without_mergeable_buffers(void **state)
{
	struct rig *r = *state;
	uint32_t id, len;

	start(r, EVENT_IDX, SIZE);
	post_rx(r, 3, 100);
	deliver(r, 89, 0); /* one byte too long: it can never fit */
	assert_int_equal(rx_dropped(r), 1);
	assert_false(ring_used(&r->rx, &id, &len));
	deliver(r, 88, 0);
	assert_true(ring_used(&r->rx, &id, &len));
	assert_int_equal(id, 0);
	assert_int_equal(len, 100);
	assert_int_equal(r->mem[10], 1); /* 5.1.6.4.1 */
	assert_false(needs_reset(r));
}

static void larger_than_the_whole_ring(void **state)
{
	struct rig *r = *state;
	uint32_t id, len;

	post_rx(r, SIZE, 20);
	deliver(r, 1000, 0);
	assert_int_equal(rx_dropped(r), 1);
	deliver(r, 14, 0);
	assert_true(ring_used(&r->rx, &id, &len));
	assert_true(ring_used(&r->rx, &id, &len));
	assert_int_equal(len, 6);
	deliver(r, NET_FRAME_MIN - 1, 0);
	deliver(r, NET_FRAME_MAX + 1, 0);
	assert_int_equal(rx_dropped(r), 3);
}

/* F12: buffers with no room for the header, or none at all. */
static void bad_receive_buffers(void **state)
{
	struct rig *r = *state;
	unsigned int i;

	for (i = 1; i < HEADER; i += 5) {
		post_rx(r, SIZE, i);
		deliver(r, 60, 0);
		assert_true(needs_reset(r));
		start(r, MRG | EVENT_IDX, SIZE);
	}
	ring_desc(&r->rx, 0, r->buf, 2048, 0, 0);
	ring_post(&r->rx, 0);
	deliver(r, 60, 0);
	assert_true(needs_reset(r));
	deliver(r, 60, 0); /* nobody takes it */
	start(r, MRG | EVENT_IDX, SIZE);

	/* A violation in the middle of a frame: the buffers before it are not seen as used. */
	post_rx(r, 2, 100);
	ring_post(&r->rx, 999);
	deliver(r, 1000, 0);
	assert_true(needs_reset(r));
	assert_int_equal(get_le16(r->rx.used + 2), 0);
}

static void no_driver(void **state)
{
	struct rig *r = *state;

	driver_negotiate(&r->d, 0);
	deliver(r, 60, 0);
	assert_int_equal(rx_dropped(r), 1);
	assert_int_equal(r->n->net.queues[0].held.used, 0);
}

static void post_again(void *opaque)
{
	struct ring *ring = opaque;

	ring_post(ring, (uint16_t)(ring->avail_idx % ring->size));
}

/* F03: another vCPU makes buffers available as fast as they are taken. A pass still ends after one
 * ring's length, the loop serves others in between and goes on by itself, and the device can be
 * reset. */
static void endless_supply(void **state)
{
	struct rig *r = *state;
	unsigned int i, before;

	for (i = 0; i < SIZE; i++) {
		ring_desc(&r->tx, i, r->buf, 72, 0, 0);
		ring_post(&r->tx, (uint16_t)i);
	}
	lock(r);
	tester.sending = post_again;
	tester.opaque = &r->tx;
	unlock(r);
	ring_kick(&r->tx);
	guest_sync(r->g);
	lock(r);
	before = tester.sent;
	unlock(r);
	assert_true(before >= SIZE);
	assert_int_equal(before % SIZE, 0);
	for (i = 0; i < 10; i++)
		guest_sync(r->g);
	lock(r);
	assert_true(tester.sent >= before + 10 * SIZE);
	unlock(r);
	driver_negotiate(&r->d, 0);
	lock(r);
	before = tester.sent;
	unlock(r);
	guest_sync(r->g);
	lock(r);
	assert_int_equal(tester.sent, before);
	unlock(r);
}

static void answer(void *opaque)
{
	static uint8_t frame[60] = { 1 };
	struct iovec iov = { frame, sizeof(frame) };

	(void)opaque;
	tester.host->deliver(tester.net, 0, &iov, 1);
}

/* A back end may answer before it has looked at what is sent: neither ring gets the other's. */
static void answered_from_within(void **state)
{
	struct rig *r = *state;
	uint32_t id, len;

	post_rx(r, 4, 2048);
	memset(r->mem + 16384, 0x77, 72);
	ring_desc(&r->tx, 9, r->buf + 16384, 72, 0, 0);
	lock(r);
	tester.sending = answer;
	unlock(r);
	ring_post(&r->tx, 9);
	kick_tx(r);
	assert_true(ring_used(&r->tx, &id, &len));
	assert_int_equal(id, 9);
	assert_true(ring_used(&r->rx, &id, &len));
	assert_int_equal(id, 0);
	assert_int_equal(len, HEADER + 60);
	assert_int_equal(tester.last_len, 60);
	assert_int_equal(tester.last[0], 0x77);
}

/* From ring to ring through libslirp. */

static size_t rx_frame(struct rig *r, uint8_t *f, size_t room)
{
	uint32_t id, len;

	if (!ring_wait(&r->rx, &id, &len))
		return 0;
	assert_true(len >= HEADER && len - HEADER <= room && id < 16);
	memcpy(f, r->mem + 4096ull * id + HEADER, len - HEADER);
	ring_post(&r->rx, (uint16_t)id);
	return len - HEADER;
}

static void tx_frame(struct rig *r, unsigned int slot, const uint8_t *f, size_t len)
{
	uint8_t *at = r->mem + 65536 + slot * 2048ull;

	memset(at, 0, HEADER);
	memcpy(at + HEADER, f, len);
	ring_desc(&r->tx, slot, r->buf + 65536 + slot * 2048ull, (uint32_t)(HEADER + len), 0, 0);
	ring_post(&r->tx, (uint16_t)slot);
}

/* As Linux kicks: only when the device asked. */
static bool kick_if_wanted(struct ring *ring, uint16_t old)
{
	if (!vring_need_event(ring_avail_event(ring), ring->avail_idx, old))
		return false;
	ring_kick(ring);
	return true;
}

static void user_rings(struct rig *r, uint8_t *host_mac)
{
	uint8_t f[2048];
	unsigned int i;

	for (i = 0; i < 16; i++) {
		ring_desc(&r->rx, i, r->buf + 4096ull * i, 2048, WRITE, 0);
		ring_post(&r->rx, (uint16_t)i);
	}
	ring_kick(&r->rx);
	/* Linux frees sent buffers when it sends the next: no interrupt for them. */
	ring_used_event(&r->tx, 0x8000);
	tx_frame(r, 0, f, frame_arp(f, FRAME_IP_HOST));
	ring_kick(&r->tx);
	if (!frame_is_arp_reply(f, rx_frame(r, f, sizeof(f)), FRAME_IP_HOST))
		_exit(20);
	memcpy(host_mac, f + 22, 6);
}

static unsigned int ping(struct rig *r, const uint8_t *host_mac, unsigned int count)
{
	unsigned int seq, answered = 0;
	uint8_t f[2048] = { 0 };
	size_t len;

	for (seq = 1; seq <= count; seq++) {
		uint16_t old = r->tx.avail_idx;

		/* An interrupt for the next frame that comes. */
		ring_used_event(&r->rx, r->rx.used_idx);
		tx_frame(r, seq % 16, f, frame_ping(f, host_mac, FRAME_IP_HOST, seq, 56));
		kick_if_wanted(&r->tx, old);
		len = rx_frame(r, f, sizeof(f));
		answered += frame_is_pong(f, len, FRAME_IP_HOST, seq, 56);
	}
	return answered;
}

static void pings_the_host(void **state)
{
	struct rig *r = *state;
	uint8_t host_mac[6];

	user_rings(r, host_mac);
	assert_int_equal(ping(r, host_mac, 1000), 1000);
	assert_true(guest_msix_count(r->d.pdev, 1) >= 1);
	assert_int_equal(r->n->net.rx_dropped, 0);
	assert_false(needs_reset(r));
}

/* Unplug while frames come and go. */
static void goes_while_in_use(void **state)
{
	struct rig *r = *state;
	uint8_t host_mac[6];

	user_rings(r, host_mac);
	ping(r, host_mac, 20);
	assert_int_equal(loop_post(r->g->vm->loop, (loop_fn)(void (*)(void))dev_remove,
				   &r->d.pdev->dev),
			 0);
	guest_sync(r->g);
	assert_int_equal(guest_read(r->g, r->d.common, 4), 0xffffffff);
	assert_int_equal(fake_kvm_doorbells(), 0);
}

/* G8: system calls of the loop's thread for each small packet. */

struct cost {
	bool user; /* ping the user network; else a back end that does nothing */
	unsigned int packets, batch;
};

static int cost_scenario(void *opaque)
{
	const struct cost *cost = opaque;
	uint8_t host_mac[6], f[128] = { 0 };
	struct rig *r = NULL;
	unsigned int i;
	uint32_t id, len;

	if (cost->user ? setup_user((void **)&r) : setup((void **)&r))
		return 1;
	if (cost->user) {
		user_rings(r, host_mac);
		ping(r, host_mac, 10);
		guest_sync(r->g);
		syscall_count_begin();
		i = ping(r, host_mac, cost->packets / 2);
		syscall_count_end();
		return i == cost->packets / 2 ? 0 : 2;
	}
	ring_used_event(&r->tx, 0x8000);
	guest_sync(r->g);
	syscall_count_begin();
	for (i = 0; i < cost->packets; i++) {
		tx_frame(r, i % SIZE, f, 60);
		if ((i + 1) % cost->batch)
			continue;
		ring_kick(&r->tx);
		while (r->tx.used_idx != r->tx.avail_idx)
			if (!ring_wait(&r->tx, &id, &len))
				return 3;
	}
	syscall_count_end();
	return 0;
}

static void cost_of_packets(void **state)
{
	static const struct {
		const char *what;
		struct cost cost;
		double limit;
	} cases[] = {
		{ "sent one by one", { false, 256, 1 }, 1.1 },
		{ "sent in batches of 16", { false, 1024, 16 }, 0.1 },
		{ "ping and answer, user network", { true, 400, 1 }, 1.1 },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cost cost = cases[i].cost;
		int status = 0;
		long calls = syscall_count(cost_scenario, &cost, &status);

		if (calls < 0 || status == 255) {
			print_message("cost: tracing is not allowed here\n");
			skip();
		}
		assert_int_equal(status, 0);
		print_message("system calls for a packet, %s: %.3f (%ld for %u)\n", cases[i].what,
			      (double)calls / cost.packets, calls, cost.packets);
		assert_true((double)calls / cost.packets <= cases[i].limit);
	}
}

/* Options and the plan. */

static void options(void **state)
{
	struct guest *g = guest_new(4 * MIB);
	struct err err = { 0 };
	struct dev *dev = NULL;
	struct mac_addr mac;
	struct virtio_net *n;

	(void)state;
	assert_int_equal(guest_try_device(g, &virtio_net_class, "virtio-net,net=bogus", &dev, &err),
			 -EINVAL);
	assert_non_null(strstr(err.msg, "net=bogus"));
	err = (struct err){ 0 };
	assert_true(guest_try_device(g, &virtio_net_class, "virtio-net,mac=01:00:00:00:00:00", &dev,
				     &err) < 0);
	n = (struct virtio_net *)(void *)guest_device(g, &virtio_net_class,
						      "virtio-net,id=a,net=user");
	net_mac_derive("unit", "a", &mac);
	assert_memory_equal(n->mac.b, mac.b, 6);
	assert_int_equal(n->vpci.vdev.offered & BIT64(VIRTIO_F_RING_PACKED), 0);
	n = (struct virtio_net *)(void *)guest_device(g, &virtio_net_class,
						      "virtio-net,id=b,packed=on");
	assert_true(n->vpci.vdev.offered & BIT64(VIRTIO_F_RING_PACKED));
	guest_free(g);
}

static void plan(void **state)
{
	static const struct dev_class *const classes[] = { &virtio_net_class, NULL };
	static const struct dev_role roles[] = { { .name = NULL } };
	const struct dev_table table = { .classes = classes, .roles = roles };
	struct vm_config config = { .name = "plan", .memory = 64 * MIB, .cpus = 1, .plan = true };
	struct dev *dev = NULL;
	struct err err = { 0 };
	char line[80] = "";
	struct vm *vm;

	(void)state;
	assert_int_equal(vm_new(&vm, &config, NULL, &err), 0);
	if (dev_create(vm, &table, "virtio-net,id=n", true, &dev, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(pci_root_place(vm->pci, &err), 0);
	assert_true(pci_bar_addr(to_pci(dev), 0) != 0);
	dev->class->describe(dev, line, sizeof(line));
	assert_non_null(strstr(line, "user network, MAC 52:54:00:"));
	assert_int_not_equal(dev_create(vm, &table, "virtio-net,net=bogus", true, &dev, &err), 0);
	vm_free(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define U(f) cmocka_unit_test_setup_teardown(f, setup_user, teardown)
		T(identity),
		T(sends),
		T(sends_oddities),
		T(back_end_full),
		T(receives),
		T(receives_into_many),
		T(receives_into_crumbs),
		T(holds_until_kicked),
		T(without_mergeable_buffers),
		T(larger_than_the_whole_ring),
		T(bad_receive_buffers),
		T(no_driver),
		T(endless_supply),
		T(answered_from_within),
		U(pings_the_host),
		U(goes_while_in_use),
		cmocka_unit_test(cost_of_packets),
		cmocka_unit_test(options),
		cmocka_unit_test(plan),
	};

	frame_link_module();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
