// SPDX-License-Identifier: GPL-2.0-or-later
/* virtio-net with a back end that has queues, headers and filters: the control queue, pairs of
 * queues, offloads, and frames that are read straight into the guest's buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_driver.h"
#include "net_frames.h"
#include "net_tester.h"
#include "virtio_net_rig.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define F(name) BIT64(VIRTIO_NET_F_##name)
#define VERSION_1 BIT64(VIRTIO_F_VERSION_1)
#define CTRL (F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_MAC_ADDR) | F(CTRL_GUEST_OFFLOADS))
#define SEGMENTS (F(GUEST_CSUM) | F(GUEST_TSO4) | F(GUEST_TSO6))
#define ALL (VERSION_1 | F(MRG_RXBUF) | F(MQ) | CTRL | SEGMENTS | F(CSUM) | F(HOST_TSO4))
#define HEADER 12u
#define COMMAND_AT 0x10000u /* in the buffer */

static pthread_mutex_t *lock_of(struct rig *r)
{
	return &r->n->vpci.pdev.dev.lock;
}

static struct ring *rx(struct rig *r, unsigned int pair)
{
	return &r->rings[2ul * pair];
}

static struct ring *tx(struct rig *r, unsigned int pair)
{
	return &r->rings[2ul * pair + 1];
}

static struct ring *ctrl(struct rig *r)
{
	return &r->rings[2 * PAIRS];
}

static int setup(void **state)
{
	struct rig *r;
	struct net *net;

	if (!namespace)
		skip();
	r = rig_new("virtio-net,id=nic,net=tap,queues=4,vhost=off,mtu=1400,mac=52:54:00:12:34:56");
	net = &r->n->net;
	net_close(net);
	assert_int_equal(net_attach(net, &tester_tap_ops, PAIRS, r->g->vm, "nic", net->lock,
				    net->peer, r->n, NULL),
			 0);
	rig_run(r, ALL);
	*state = r;
	return 0;
}

/* One command of @len bytes, header included. The answer; 0xee when there was none. */
static unsigned int command_bytes(struct rig *r, const void *bytes, uint32_t len)
{
	uint8_t *answer = r->mem + COMMAND_AT + 0x8000;
	uint32_t id, used;

	memcpy(r->mem + COMMAND_AT, bytes, len);
	*answer = 0xee;
	ring_desc(ctrl(r), 0, r->buf + COMMAND_AT, len, NEXT, 1);
	ring_desc(ctrl(r), 1, r->buf + COMMAND_AT + 0x8000, 1, WRITE, 0);
	ring_post(ctrl(r), 0);
	ring_kick(ctrl(r));
	guest_sync(r->g);
	if (!ring_used(ctrl(r), &id, &used))
		return 0xee;
	assert_int_equal(used, 1);
	return *answer;
}

static unsigned int command(struct rig *r, uint8_t class, uint8_t command, const void *data,
			    size_t len)
{
	uint8_t bytes[4096] = { class, command };

	memcpy(bytes + 2, data, len);
	return command_bytes(r, bytes, (uint32_t)(2 + len));
}

static unsigned int set_pairs(struct rig *r, uint16_t pairs)
{
	return command(r, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &pairs, 2);
}

static void identity(void **state)
{
	struct rig *r = *state;
	uint64_t offered = driver_offered(&r->d);
	uint64_t want = ALL | F(MAC) | F(STATUS) | F(MTU) | F(GUEST_ECN) | F(HOST_TSO6) |
			F(HOST_ECN);

	assert_true((offered & want) == want);
	assert_false(offered & F(STANDBY));
	assert_int_equal(guest_read(r->g, r->d.device + 8, 2), PAIRS);
	assert_int_equal(guest_read(r->g, r->d.device + 10, 2), 1400);
	/* What the driver chose reached the back end. */
	assert_int_equal(tester.header, HEADER);
	assert_int_equal(tester.offloads, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6);
	assert_int_equal(tester.queues, 1);
	/* Segments without checksums make no sense (5.1.3.1). */
	rig_start(r, ALL & ~F(GUEST_CSUM));
	assert_int_equal(tester.offloads, 0);
}

/* The header is the back end's, to and fro. */
static void header_passes(void **state)
{
	struct rig *r = *state;
	uint8_t frame[HEADER + 60] = { 1, 3, 0x36, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0, 0xab };
	struct iovec iov = { frame, sizeof(frame) };
	uint32_t id, len;

	memcpy(r->mem, frame, sizeof(frame));
	ring_desc(tx(r, 0), 0, r->buf, sizeof(frame), 0, 0);
	ring_post(tx(r, 0), 0);
	ring_kick(tx(r, 0));
	guest_sync(r->g);
	assert_int_equal(tester.sent, 1);
	assert_int_equal(tester.last_len, sizeof(frame));
	assert_memory_equal(tester.last, frame, sizeof(frame));

	ring_desc(rx(r, 0), 0, r->buf + 4096, 2048, WRITE, 0);
	ring_post(rx(r, 0), 0);
	tester_deliver(lock_of(r), 0, &iov, 1);
	assert_true(ring_used(rx(r, 0), &id, &len));
	assert_int_equal(len, sizeof(frame));
	frame[10] = 1; /* num_buffers */
	assert_memory_equal(r->mem + 4096, frame, sizeof(frame));
}

/* As a tap reads. */
static int take_buffers(struct rig *r, unsigned int pair, struct iovec *iov, unsigned int max)
{
	int n;

	pthread_mutex_lock(lock_of(r));
	n = tester.host->buffers(tester.net, pair, iov, max);
	pthread_mutex_unlock(lock_of(r));
	return n;
}

static void fill(struct rig *r, unsigned int pair, size_t len)
{
	pthread_mutex_lock(lock_of(r));
	tester.host->filled(tester.net, pair, len);
	tester.host->deliver_end(tester.net, pair);
	pthread_mutex_unlock(lock_of(r));
}

static void post_rx(struct rig *r, unsigned int pair, unsigned int count, uint32_t size)
{
	struct ring *ring = rx(r, pair);
	unsigned int i, head = ring->avail_idx;

	for (i = 0; i < count; i++, head++) {
		ring_desc(ring, head % SIZE, r->buf + (head % SIZE) * 4096ull, size, WRITE, 0);
		ring_post(ring, (uint16_t)(head % SIZE));
	}
}

static void straight_into_buffers(void **state)
{
	struct rig *r = *state;
	struct iovec iov[64];
	uint32_t id, len;
	unsigned int i;

	/* None: the back end waits, and is told. */
	assert_int_equal(take_buffers(r, 0, iov, 64), 0);
	assert_int_equal(take_buffers(r, 0, iov, 64), 0);
	assert_int_equal(tester.ready, 0);
	post_rx(r, 0, 8, 100);
	ring_kick(rx(r, 0));
	guest_sync(r->g);
	assert_int_equal(tester.ready, 1);

	/* All that there are, for a segment may be of 64 KiB. */
	assert_int_equal(take_buffers(r, 0, iov, 64), 8);
	for (i = 0; i < 8; i++) {
		assert_ptr_equal(iov[i].iov_base, r->mem + 4096ul * i);
		assert_int_equal(iov[i].iov_len, 100);
	}
	assert_int_equal(take_buffers(r, 0, iov, 3), 3);
	/* 250 bytes: 3 of them; the rest stays at hand. */
	fill(r, 0, 250);
	for (i = 0; i < 3; i++) {
		assert_true(ring_used(rx(r, 0), &id, &len));
		assert_int_equal(id, i);
		assert_int_equal(len, i < 2 ? 100 : 50);
	}
	assert_false(ring_used(rx(r, 0), &id, &len));
	assert_int_equal(get_le16(r->mem + 10), 3);
	assert_int_equal(guest_msix_count(r->d.pdev, 1), 1);
	assert_int_equal(take_buffers(r, 0, iov, 64), 5);
	assert_ptr_equal(iov[0].iov_base, r->mem + 3ul * 4096);
	/* Shorter than any frame: nothing. */
	fill(r, 0, HEADER + NET_FRAME_MIN - 1);
	assert_false(ring_used(rx(r, 0), &id, &len));
	fill(r, 0, HEADER + NET_FRAME_MIN);
	assert_true(ring_used(rx(r, 0), &id, &len));
	assert_int_equal(id, 3);

	/* The cable is out, or the driver gone: nothing to read into. */
	pthread_mutex_lock(lock_of(r));
	net_set_link(&r->n->net, false);
	pthread_mutex_unlock(lock_of(r));
	assert_int_equal(take_buffers(r, 0, iov, 64), -1);
	pthread_mutex_lock(lock_of(r));
	net_set_link(&r->n->net, true);
	pthread_mutex_unlock(lock_of(r));
	assert_int_equal(take_buffers(r, 0, iov, 64), 4);
	driver_negotiate(&r->d, 0);
	assert_int_equal(take_buffers(r, 0, iov, 64), -1);
	/* What was at hand is forgotten with the ring. */
	rig_start(r, ALL);
	assert_int_equal(take_buffers(r, 0, iov, 64), 0);
}

/* The pool of entries goes round many times, in every size. */
static void pool_goes_round(void **state)
{
	struct rig *r = *state;
	unsigned int turn, i, seen = 0;
	struct iovec iov[64];
	uint32_t id, len;

	for (turn = 0; turn < 600; turn++) {
		size_t want = HEADER + 14 + turn * 7 % 400, got = 0;
		int n;

		post_rx(r, 0, SIZE - (uint16_t)(rx(r, 0)->avail_idx - seen), 60);
		ring_kick(rx(r, 0));
		guest_sync(r->g);
		n = take_buffers(r, 0, iov, 64);
		assert_int_equal(n, SIZE);
		for (i = 0; i < SIZE; i++)
			assert_ptr_equal(iov[i].iov_base, r->mem + 4096ul * ((seen + i) % SIZE));
		fill(r, 0, want);
		for (i = 0; ring_used(rx(r, 0), &id, &len); i++) {
			assert_int_equal(id, (seen + i) % SIZE);
			got += len;
		}
		assert_int_equal(got, want);
		assert_int_equal(get_le16(r->mem + 4096ul * (seen % SIZE) + 10), i);
		assert_int_equal(i, (want + 59) / 60);
		seen += i;
	}
	assert_false(needs_reset(r));
}

/* F12: pairs none, too many; frames go where they belong. */
static void pairs(void **state)
{
	struct rig *r = *state;
	uint8_t frame[HEADER + 60] = { 0 };
	struct iovec iov = { frame, sizeof(frame) };
	struct iovec more[4];
	uint32_t id, len;

	assert_int_equal(set_pairs(r, 0), VIRTIO_NET_ERR);
	assert_int_equal(set_pairs(r, PAIRS + 1), VIRTIO_NET_ERR);
	assert_int_equal(set_pairs(r, 0x8000), VIRTIO_NET_ERR);
	assert_int_equal(set_pairs(r, 0xffff), VIRTIO_NET_ERR);
	assert_int_equal(tester.queues, 1);
	/* Not in use yet: nothing is taken, nothing is delivered. */
	post_rx(r, 3, 1, 2048);
	tester_deliver(lock_of(r), 3, &iov, 1);
	assert_int_equal(r->n->net.rx_dropped, 1);
	assert_int_equal(take_buffers(r, 3, more, 4), -1);
	ring_desc(tx(r, 3), 0, r->buf, sizeof(frame), 0, 0);
	ring_post(tx(r, 3), 0);
	ring_kick(tx(r, 3));
	guest_sync(r->g);
	assert_int_equal(tester.sent, 0);

	assert_int_equal(set_pairs(r, PAIRS), VIRTIO_NET_OK);
	assert_int_equal(tester.queues, PAIRS);
	tester_deliver(lock_of(r), 3, &iov, 1);
	assert_true(ring_used(rx(r, 3), &id, &len));
	assert_int_equal(guest_msix_count(r->d.pdev, 7), 1);
	ring_kick(tx(r, 3));
	guest_sync(r->g);
	assert_int_equal(tester.sent, 1);
	assert_int_equal(tester.queue, 3);
	/* The back end refuses: it stays as it was. */
	tester.refuse = -EIO;
	assert_int_equal(set_pairs(r, 2), VIRTIO_NET_ERR);
	tester.refuse = 0;
	assert_int_equal(r->n->active, PAIRS);
	/* A reset is back to one. */
	rig_start(r, ALL);
	assert_int_equal(tester.queues, 1);
	/* A driver that knows of no pairs has its control queue behind the first (5.1.2). */
	rig_start(r, ALL & ~F(MQ));
	assert_int_equal(set_pairs(r, 1), 0xee);
	r->rings[2 * PAIRS] = r->rings[2];
	assert_int_equal(set_pairs(r, 1), VIRTIO_NET_ERR);
	assert_int_equal(command(r, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, "", 1),
			 VIRTIO_NET_OK);
}

static void filters(void **state)
{
	struct rig *r = *state;
	uint8_t table[4 + 6 + 4 + 2 * 6] = { [0] = 1, [4] = 2, [10] = 2, [14] = 1, [20] = 3 };
	uint8_t mac[6] = { 2, 1, 2, 3, 4, 5 }, many[4 + 80 * 6 + 4] = { 80 };

	assert_true(tester.filter.promiscuous); /* until it says otherwise */
	assert_int_equal(command(r, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, "", 1),
			 VIRTIO_NET_OK);
	assert_int_equal(command(r, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, "\1", 1),
			 VIRTIO_NET_OK);
	assert_true(tester.filter.all_multicast);
	assert_int_equal(command(r, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table,
				 sizeof(table)),
			 VIRTIO_NET_OK);
	assert_false(tester.filter.promiscuous);
	/* One, two, its own and everybody's. */
	assert_int_equal(tester.filter.count, 5);
	assert_memory_equal(tester.filter.addr[0], table + 4, 6);
	assert_memory_equal(tester.filter.addr[2], table + 20, 6);
	assert_memory_equal(tester.filter.addr[3], r->n->mac.b, 6);
	assert_memory_equal(tester.filter.addr[4], "\xff\xff\xff\xff\xff\xff", 6);
	assert_int_equal(command(r, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 6),
			 VIRTIO_NET_OK);
	assert_memory_equal(tester.filter.addr[3], mac, 6);
	assert_int_equal(guest_read(r->g, r->d.device, 4), 0x03020102);
	/* More than one remembers: everything passes. */
	assert_int_equal(command(r, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, many,
				 sizeof(many)),
			 VIRTIO_NET_OK);
	assert_true(tester.filter.promiscuous);
	/* A reset is its own address again. */
	rig_start(r, ALL);
	assert_int_equal(guest_read(r->g, r->d.device, 4), 0x12005452);
}

static void offloads(void **state)
{
	struct rig *r = *state;
	uint64_t features = F(GUEST_CSUM);

	assert_int_equal(command(r, VIRTIO_NET_CTRL_GUEST_OFFLOADS,
				 VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, &features, 8),
			 VIRTIO_NET_OK);
	assert_int_equal(tester.offloads, TUN_F_CSUM);
	/* Not negotiated, or no feature of this kind. */
	features = F(GUEST_CSUM) | F(GUEST_ECN);
	assert_int_equal(command(r, VIRTIO_NET_CTRL_GUEST_OFFLOADS,
				 VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, &features, 8),
			 VIRTIO_NET_ERR);
	features = F(MRG_RXBUF);
	assert_int_equal(command(r, VIRTIO_NET_CTRL_GUEST_OFFLOADS,
				 VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, &features, 8),
			 VIRTIO_NET_ERR);
	assert_int_equal(tester.offloads, TUN_F_CSUM);
	/* The back end cannot: the driver has to be told. */
	tester.refuse = -EINVAL;
	rig_start(r, ALL);
	assert_true(needs_reset(r));
	tester.refuse = 0;
	rig_start(r, ALL);
	assert_false(needs_reset(r));
}

/* F12: commands of every wrong length, unknown ones, tables that say more than is there. */
static void bad_commands(void **state)
{
	static const struct {
		uint8_t class, command, right; /* right: bytes that it takes, 255: none does */
	} cases[] = {
		{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1 },
		{ VIRTIO_NET_CTRL_RX, 99, 255 },
		{ VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 6 },
		{ VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 8 },
		{ VIRTIO_NET_CTRL_MAC, 7, 255 },
		{ VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 255 },
		{ VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, 8 },
		{ VIRTIO_NET_CTRL_MQ, 1, 255 },
		{ 200, 0, 255 },
	};
	struct rig *r = *state;
	uint8_t bytes[4096 + 16] = { 0 };
	unsigned int i, len;

	for (i = 0; i < ARRAY_SIZE(cases); i++)
		for (len = 0; len < 20; len++)
			assert_int_equal(command(r, cases[i].class, cases[i].command, bytes, len),
					 len == cases[i].right ? VIRTIO_NET_OK : VIRTIO_NET_ERR);
	assert_int_equal(command_bytes(r, "\0", 1), VIRTIO_NET_ERR); /* no header */
	/* Longer than any command may be. */
	bytes[0] = VIRTIO_NET_CTRL_MAC;
	assert_int_equal(command_bytes(r, bytes, sizeof(bytes)), VIRTIO_NET_ERR);
	/* Counts that promise more than there is, up to what wraps. */
	for (i = 1; i < 32; i++) {
		memset(bytes, 0, 32);
		bytes[0] = VIRTIO_NET_CTRL_MAC;
		put_le32(bytes + 2, 1u << i);
		assert_int_equal(command_bytes(r, bytes, 2 + 8), VIRTIO_NET_ERR);
		put_le32(bytes + 2, 0);
		put_le32(bytes + 6, 0xffffffffu >> i);
		assert_int_equal(command_bytes(r, bytes, 2 + 8),
				 0xffffffffu >> i ? VIRTIO_NET_ERR : VIRTIO_NET_OK);
	}
	assert_false(needs_reset(r));
	/* Nowhere to answer to. */
	ring_desc(ctrl(r), 0, r->buf, 3, 0, 0);
	ring_post(ctrl(r), 0);
	ring_kick(ctrl(r));
	guest_sync(r->g);
	assert_true(needs_reset(r));
	rig_start(r, ALL);
	assert_int_equal(set_pairs(r, 2), VIRTIO_NET_OK);
}

/* What was not negotiated is not there. */
static void commands_not_negotiated(void **state)
{
	struct rig *r = *state;
	uint8_t mac[6] = { 2 };

	rig_start(r, VERSION_1 | F(MQ) | F(CTRL_VQ));
	assert_int_equal(command(r, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, "", 1),
			 VIRTIO_NET_ERR);
	assert_int_equal(command(r, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac, 6),
			 VIRTIO_NET_ERR);
	assert_int_equal(command(r, VIRTIO_NET_CTRL_GUEST_OFFLOADS,
				 VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, "\0\0\0\0\0\0\0", 8),
			 VIRTIO_NET_ERR);
	assert_int_equal(set_pairs(r, 2), VIRTIO_NET_OK);
}

static void options(void **state)
{
	static const struct {
		const char *spec, *why;
	} bad[] = {
		{ "virtio-net,queues=4", "queues=4" },
		{ "virtio-net,net=tap,queues=0", "queues" },
		{ "virtio-net,net=tap,queues=65", "queues" },
		{ "virtio-net,net=tap,queues=2,fd=3", "queues=2" },
		{ "virtio-net,mtu=67", "mtu" },
		{ "virtio-net,mtu=65536", "mtu" },
		{ "virtio-net,vhost=maybe", "vhost=maybe" },
		{ "virtio-net,vhost=on", "net=user" },
		{ "virtio-net,net=tap,vhost=on,packed=on", "packed" },
		{ "virtio-net,net=tap,vhostfd=9,queues=2", "vhostfd=" },
		{ "virtio-net,net=tap,vhostfd=9,vhost=off", "vhost=off" },
	};
	struct guest *g = guest_new(4 * MIB);
	struct virtio_net *n;
	struct dev *dev = NULL;
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = { 0 };

		if (guest_try_device(g, &virtio_net_class, bad[i].spec, &dev, &err) >= 0 ||
		    !strstr(err.msg, bad[i].why))
			fail_msg("%s: %s", bad[i].spec, err.msg);
	}
	n = (struct virtio_net *)(void *)guest_device(g, &virtio_net_class,
						      "virtio-net,id=s,standby=on");
	assert_true(n->vpci.vdev.offered & F(STANDBY));
	guest_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(identity),
		T(header_passes),
		T(straight_into_buffers),
		T(pool_goes_round),
		T(pairs),
		T(filters),
		T(offloads),
		T(bad_commands),
		T(commands_not_negotiated),
		cmocka_unit_test(options),
	};

	/* The device is made with a tap of four queues, and then given the tester. */
	rig_namespace();
	frame_link_module(); /* options() has a user network */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
