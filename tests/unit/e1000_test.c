// SPDX-License-Identifier: GPL-2.0-or-later
/* e1000 as a driver sees it, with a back end of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "base/util.h"
#include "net_tester.h"
#include "emulated/e1000.h"
#include "emulated/e1000_priv.h"
#include "fake_driver.h"
#include "net_frames.h"
#include "vmm/iov.h"

#define RING 8ul
#define BUF_SIZE 2048ul
#define DESC 16ul /* bytes of a descriptor */

struct rig {
	struct guest *g;
	struct dev *dev;
	struct e1000 *e;
	uint64_t bar;
	gpa_t tx, rx, buf; /* rings of RING; RING + 8 buffers */
	uint8_t *txd, *rxd, *mem;
	unsigned int tail;
};

static uint32_t in(struct rig *r, unsigned int reg)
{
	return (uint32_t)guest_read(r->g, r->bar + reg, 4);
}

static void out(struct rig *r, unsigned int reg, uint32_t value)
{
	guest_write(r->g, r->bar + reg, 4, value);
}

static void start(struct rig *r)
{
	out(r, TDBAL, (uint32_t)r->tx);
	out(r, TDLEN, (uint32_t)(RING * DESC));
	out(r, RDBAL, (uint32_t)r->rx);
	out(r, RDLEN, (uint32_t)(RING * DESC));
	out(r, TCTL, TCTL_EN);
	out(r, RCTL, RCTL_EN | RCTL_BAM | RCTL_SECRC);
}

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));
	struct net *net;

	r->g = guest_new(4 * MIB);
	r->dev = guest_device(r->g, &e1000_class, "e1000,id=nic,mac=52:54:00:12:34:56");
	r->e = container_of(to_pci(r->dev), struct e1000, pdev);
	net = &r->e->net;
	net_close(net);
	assert_int_equal(net_attach(net, &tester_ops, 1, r->g->vm, "nic", net->lock, net->peer, r->e,
				    NULL),
			 0);
	r->tx = guest_alloc(r->g, RING * DESC, 4096);
	r->rx = guest_alloc(r->g, RING * DESC, 4096);
	r->buf = guest_alloc(r->g, (RING + 8) * BUF_SIZE, 4096);
	r->txd = guest_ptr(r->g, r->tx, RING * DESC);
	r->rxd = guest_ptr(r->g, r->rx, RING * DESC);
	r->mem = guest_ptr(r->g, r->buf, (RING + 8) * BUF_SIZE);
	guest_start(r->g);
	r->bar = pci_bar_addr(to_pci(r->dev), 0);
	guest_write(r->g, guest_ecam(&r->e->pdev, PCI_COMMAND), 2,
		    PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	start(r);
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

/* Descriptors of 8 bytes of address and 8 of the rest, at the ring's tail. */
static void put_desc(struct rig *r, uint64_t low, uint64_t high)
{
	put_le64(r->txd + r->tail * DESC, low);
	put_le64(r->txd + r->tail * DESC + 8, high);
	r->tail = (r->tail + 1) % (unsigned int)RING;
}

static void go(struct rig *r)
{
	out(r, TDT, r->tail);
	guest_sync(r->g);
}

static void legacy(struct rig *r, gpa_t addr, uint32_t len, unsigned int cmd)
{
	put_desc(r, addr, len | (uint64_t)cmd << 24);
}

static void give(struct rig *r, unsigned int tail)
{
	unsigned int i;

	for (i = 0; i < RING; i++) {
		memset(r->rxd + i * DESC, 0, DESC);
		put_le64(r->rxd + i * DESC, r->buf + i * BUF_SIZE);
	}
	out(r, RDT, tail);
}

static void deliver(struct rig *r, const uint8_t *frame, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)frame, len };

	tester_deliver(&r->dev->lock, 0, &iov, 1);
}

static bool got(const struct rig *r, unsigned int i)
{
	return r->rxd[i * DESC + 12] & RXD_DD;
}

static void wires(struct rig *r, unsigned int bits, unsigned int count)
{
	uint32_t di;

	while (count--) {
		di = bits >> count & 1 ? EECD_DI : 0;
		out(r, EECD, EECD_REQ | EECD_CS | di);
		out(r, EECD, EECD_REQ | EECD_CS | EECD_SK | di);
		out(r, EECD, EECD_REQ | EECD_CS | di);
	}
}

static unsigned int eeprom(struct rig *r, unsigned int word)
{
	unsigned int i, value = 0;

	out(r, EECD, EECD_REQ);
	assert_true(in(r, EECD) & EECD_GNT);
	wires(r, 6u << 6 | word, 9);
	assert_false(in(r, EECD) & EECD_DO);
	for (i = 0; i < 16; i++) {
		out(r, EECD, EECD_REQ | EECD_CS | EECD_SK);
		value = value << 1 | !!(in(r, EECD) & EECD_DO);
		out(r, EECD, EECD_REQ | EECD_CS);
	}
	return value;
}

static void identity(void **state)
{
	struct rig *r = *state;
	unsigned int i, sum = 0;

	assert_int_equal(guest_read(r->g, guest_ecam(&r->e->pdev, 0), 4), 0x100e8086);
	assert_int_equal(in(r, STATUS) & 0xc3, 0x83); /* 1000 Mb/s, up, full duplex */
	for (i = 0; i < 64; i++) {
		out(r, EERD, i << 8 | EERD_START);
		assert_int_equal(in(r, EERD) >> 16, eeprom(r, i));
		sum += eeprom(r, i);
	}
	assert_int_equal(sum & 0xffff, 0xbaba);
	assert_int_equal(eeprom(r, 0), 0x5452);
	assert_int_equal(eeprom(r, 2), 0x5634);
	out(r, MDIC, MDIC_OP_READ | 1 << 21 | 2 << 16);
	assert_int_equal(in(r, MDIC) & 0xffff, 0x0141);
	out(r, MDIC, MDIC_OP_READ | 2 << 21 | 2 << 16);
	assert_true(in(r, MDIC) & MDIC_ERROR);
	out(r, CTRL, CTRL_RST);
	assert_int_equal(in(r, RAL), 0x12005452);
	assert_int_equal(in(r, RAL + 4), RAH_AV | 0x5634);
	assert_int_equal(in(r, RCTL), 0);
}

static void sends(void **state)
{
	struct rig *r = *state;
	size_t len = frame_arp(r->mem, FRAME_IP_HOST);

	out(r, IMS, ICR_TXDW);
	legacy(r, r->buf, 20, 0);
	legacy(r, r->buf + 20, (uint32_t)len - 20, TXD_EOP | TXD_RS);
	go(r);
	assert_int_equal(tester.sent, 1);
	assert_int_equal(tester.lens[0], len);
	assert_memory_equal(tester.frames[0], r->mem, len);
	assert_int_equal(r->txd[12], 0);
	assert_int_equal(r->txd[28], TXD_DD);
	assert_int_equal(in(r, TDH), 2);
	assert_true(r->e->pdev.intx_level);
	assert_true(in(r, ICR) & ICR_TXDW);
	assert_false(r->e->pdev.intx_level);
	assert_int_equal(in(r, GPTC), 1);
	assert_int_equal(in(r, GPTC), 0);
}

static void back_end_full(void **state)
{
	struct rig *r = *state;
	size_t len = frame_arp(r->mem, FRAME_IP_HOST);

	tester.full = true;
	legacy(r, r->buf, (uint32_t)len, TXD_EOP);
	legacy(r, r->buf, (uint32_t)len, TXD_EOP);
	go(r);
	assert_int_equal(tester.sent, 0);
	assert_int_equal(in(r, TDH), 1);
	tester.full = false;
	pthread_mutex_lock(&r->dev->lock);
	tester.host->send_ready(tester.net, 0);
	pthread_mutex_unlock(&r->dev->lock);
	assert_int_equal(tester.sent, 2);
	assert_memory_equal(tester.frames[1], r->mem, len);
}

static void context(struct rig *r, unsigned int hdrlen, unsigned int mss)
{
	put_desc(r, 14 | 24 << 8 | 33ull << 16 | 34ull << 32 | 50ull << 40,
		 (uint64_t)(TXD_DEXT | TXD_TCP | TXD_IP | TXD_TSE) << 24 | (uint64_t)hdrlen << 40 |
			 (uint64_t)mss << 48);
}

static void data(struct rig *r, gpa_t addr, uint32_t len, unsigned int cmd)
{
	put_desc(r, addr, len | 1ull << 20 | (uint64_t)(TXD_DEXT | cmd) << 24 |
				  (uint64_t)(TXD_IXSM | TXD_TXSM) << 40);
}

/* 2500 bytes in segments of 1000, each one right in itself. */
static void segments(void **state)
{
	struct rig *r = *state;
	uint8_t payload[2500];
	size_t i, len, size;
	const uint8_t *f;

	for (i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7);
	len = frame_tcp(r->mem, frame_mac, 1, 2, 0xfffffe00, 9, FRAME_TCP_FIN | FRAME_TCP_ACK,
			payload, sizeof(payload));
	/* As a driver leaves it: no IP sum, the pseudo header without the length. */
	frame_be16(r->mem + 24, 0);
	frame_be16(r->mem + 50, frame_sum(r->mem + 26, 8, 6));
	context(r, 54, 1000);
	data(r, r->buf, 54, TXD_TSE);
	data(r, r->buf + 54, (uint32_t)len - 54, TXD_TSE | TXD_EOP | TXD_RS);
	go(r);
	assert_int_equal(tester.sent, 3);
	for (i = 0; i < 3; i++) {
		f = tester.frames[i];
		size = i == 2 ? 500 : 1000;
		assert_int_equal(tester.lens[i], 54 + size);
		assert_int_equal(frame_get16(f + 16), 40 + size);
		assert_int_equal(frame_get16(f + 18), i);
		assert_int_equal(frame_get32(f + 38), 0xfffffe00u + (uint32_t)i * 1000);
		assert_int_equal(f[47] & FRAME_TCP_FIN, i == 2);
		assert_int_equal(frame_sum(f + 14, 20, 0), 0xffff);
		assert_int_equal(frame_sum(f + 34, 20 + size,
					   frame_sum(f + 26, 8, 6 + 20 + (uint32_t)size)),
				 0xffff);
		assert_memory_equal(f + 54, payload + i * 1000, size);
	}
}

static void receives(void **state)
{
	struct rig *r = *state;
	uint8_t frame[3000] = { 0 };

	give(r, 7);
	out(r, IMS, ICR_RXT0);
	memcpy(frame, frame_mac, 6);
	memset(frame + 12, 0x55, sizeof(frame) - 12);
	deliver(r, frame, 42);
	assert_true(got(r, 0));
	assert_int_equal(get_le16(r->rxd + 8), 60); /* padded */
	assert_int_equal(r->rxd[12], RXD_DD | RXD_EOP | RXD_IXSM);
	assert_memory_equal(r->mem, frame, 42);
	assert_int_equal(r->mem[42], 0);
	assert_true(r->e->pdev.intx_level);
	assert_true(in(r, ICR) & ICR_RXT0);
	/* Too long, then allowed: two buffers. */
	deliver(r, frame, sizeof(frame));
	assert_int_equal(in(r, RDH), 1);
	out(r, RCTL, RCTL_EN | RCTL_SECRC | RCTL_LPE);
	deliver(r, frame, sizeof(frame));
	assert_int_equal(in(r, RDH), 3);
	assert_false(r->rxd[16 + 12] & RXD_EOP);
	assert_true(r->rxd[32 + 12] & RXD_EOP);
	assert_int_equal(get_le16(r->rxd + 32 + 8), sizeof(frame) - BUF_SIZE);
	assert_memory_equal(r->mem + BUF_SIZE, frame, sizeof(frame));
}

static void filters(void **state)
{
	static const uint8_t multicast[] = { 1, 0, 0x5e, 0, 0, 0xfb };
	static const uint8_t tag[] = { 0x81, 0, 0xa0, 5, 8, 6 };
	struct rig *r = *state;
	uint8_t frame[64] = { 0x52, 0x54, 0, 0x12, 0x34, 0x57 };

	give(r, 7);
	deliver(r, frame, 64);
	assert_int_equal(in(r, RDH), 0); /* not ours */
	out(r, RAL + 8, 0x12005452);
	out(r, RAL + 12, RAH_AV | 0x5734);
	deliver(r, frame, 64);
	assert_int_equal(in(r, RDH), 1);
	/* 01:00:5e:00:00:fb: the upper 12 bits of fb:00 are 0xfb0. */
	memcpy(frame, multicast, 6);
	deliver(r, frame, 64);
	assert_int_equal(in(r, RDH), 1);
	out(r, MTA + 0xfb0 / 32 * 4, 1u << 0xfb0 % 32);
	deliver(r, frame, 64);
	assert_int_equal(in(r, RDH), 2);
	/* VLAN 5, tag taken out; then filtered. */
	memset(frame, 0xff, 6);
	memcpy(frame + 12, tag, 6);
	out(r, CTRL, CTRL_VME);
	deliver(r, frame, 64);
	assert_int_equal(r->rxd[2 * DESC + 12], RXD_DD | RXD_EOP | RXD_IXSM | RXD_VP);
	assert_int_equal(get_le16(r->rxd + 2 * DESC + 14), 0xa005);
	assert_int_equal(get_le16(r->mem + 2 * BUF_SIZE + 12), 0x0608);
	out(r, RCTL, RCTL_EN | RCTL_BAM | RCTL_SECRC | RCTL_VFE);
	deliver(r, frame, 64);
	assert_int_equal(in(r, RDH), 3);
	out(r, VFTA, 1u << 5);
	deliver(r, frame, 64);
	assert_int_equal(in(r, RDH), 4);
}

static void holds_until_given(void **state)
{
	struct rig *r = *state;
	uint8_t frame[64] = { 0 };

	memset(frame, 0xff, 6);
	deliver(r, frame, 64);
	assert_int_equal(in(r, RDH), 0);
	give(r, 1);
	guest_sync(r->g);
	assert_true(got(r, 0));
}

/* F19: what a hostile driver can say of rings and segments. */
static void hostile(void **state)
{
	struct rig *r = *state;
	size_t len = frame_arp(r->mem, FRAME_IP_HOST);
	unsigned int i;

	/* TDH beyond a ring made small; then a ring of nothing. */
	out(r, TDH, 0xffff);
	out(r, TDT, 1);
	guest_sync(r->g);
	out(r, TDLEN, 0);
	out(r, TDT, 2);
	guest_sync(r->g);
	assert_int_equal(tester.sent, 0);
	out(r, TDLEN, (uint32_t)(RING * DESC));
	out(r, TDT, 0);
	out(r, TDH, 0);
	/* Segments of nothing, headers of nothing, and of more than there is. */
	for (i = 0; i < 3; i++) {
		context(r, i == 1 ? 0 : i == 2 ? 255 : 54, i ? 1000 : 0);
		data(r, r->buf, (uint32_t)len, TXD_TSE | TXD_EOP);
	}
	go(r);
	assert_int_equal(tester.sent, 0);
	assert_int_equal(r->e->net.tx_dropped, 3);
	/* Loopback comes back once and never reaches the cable. */
	give(r, 7);
	out(r, RCTL, RCTL_EN | RCTL_UPE | RCTL_MPE | RCTL_LBM | RCTL_SECRC);
	legacy(r, r->buf + 8 * BUF_SIZE, 64, TXD_EOP);
	go(r);
	assert_int_equal(tester.sent, 0);
	assert_int_equal(in(r, RDH), 1);
	/* Null descriptors alone: the frame ends with them. */
	memset(r->rxd, 0, RING * DESC);
	legacy(r, r->buf + 8 * BUF_SIZE, 64, TXD_EOP);
	go(r);
	assert_int_equal(in(r, RDH), 7);
	assert_int_equal(in(r, MPC), 1);
}

/* F22: rings and buffers that are the card's own registers, or nothing at all. */
static void dma_to_itself(void **state)
{
	struct rig *r = *state;
	uint8_t frame[64] = { 0 };

	legacy(r, r->bar, 64, TXD_EOP);
	legacy(r, UINT64_MAX - 8, 64, TXD_EOP);
	go(r);
	assert_int_equal(tester.sent, 0);
	assert_int_equal(r->e->dma_refused, 2);
	memset(frame, 0xff, 6);
	give(r, 7);
	put_le64(r->rxd, r->bar + TDT);
	deliver(r, frame, 64);
	assert_int_equal(r->e->dma_refused, 3);
	assert_int_equal(in(r, TDT), 2);
	/* The ring lies on TDT itself: each fetch is refused, and it ends. */
	out(r, TDBAL, (uint32_t)r->bar + (TDT & ~15u));
	out(r, TDT, 1);
	guest_sync(r->g);
	assert_int_equal(in(r, TDH), 1);
	assert_int_equal(r->e->dma_refused, 3 + RING - 1);
	assert_true(guest_logged(r->g, "not RAM"));
}

static void link_state(void **state)
{
	struct rig *r = *state;

	pthread_mutex_lock(&r->dev->lock);
	assert_int_equal(r->dev->class->control->set_link(r->dev, false, NULL), 0);
	pthread_mutex_unlock(&r->dev->lock);
	assert_false(in(r, STATUS) & STATUS_LU);
	assert_true(in(r, ICR) & ICR_LSC);
	out(r, MDIC, MDIC_OP_READ | 1 << 21 | 1 << 16);
	assert_false(in(r, MDIC) & 4);
}

/* The second interrupt waits for the time that ITR says. The lock is held: no timer ends it. */
static void throttled(void **state)
{
	struct rig *r = *state;

	out(r, ITR, 0xffff);
	out(r, IMS, ICR_LSC);
	out(r, ICS, ICR_LSC);
	assert_true(r->e->pdev.intx_level);
	in(r, ICR);
	pthread_mutex_lock(&r->dev->lock);
	r->e->itr_next_ns = UINT64_MAX;
	e1000_cause(r->e, ICR_LSC);
	assert_false(r->e->pdev.intx_level);
	assert_true(r->e->itr_armed);
	pthread_mutex_unlock(&r->dev->lock);
	/* Without it there is no waiting. */
	out(r, CTRL, CTRL_RST);
	out(r, IMS, ICR_LSC);
	out(r, ICS, ICR_LSC);
	assert_true(r->e->pdev.intx_level);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(identity),  T(sends),	   T(back_end_full),	 T(segments),
		T(receives),  T(filters),  T(holds_until_given), T(hostile),
		T(dma_to_itself), T(link_state), T(throttled),
	};

	frame_link_module();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
