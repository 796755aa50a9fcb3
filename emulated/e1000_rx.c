// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * To the guest: a frame that the filters let through (3.2.1) is copied once, into the buffers
 * between RDH and RDT, each descriptor written back when its buffer is filled. When there are not
 * enough of them the frame is kept by net.c until RDT moves.
 */
#include "e1000_priv.h"

#include <string.h>

#include "base/util.h"
#include "vmm/iov.h"
#include "vmm/vm.h"

#define FRAME_SHORTEST 60u /* without FCS: shorter ones are padded on the cable */
#define FRAME_LONGEST 1518u /* without FCS, with a tag; LPE allows more */
#define FRAME_LPE 16380u

static uint32_t rx_buffer_size(uint32_t rctl)
{
	uint32_t size = 2048u >> (rctl >> 16 & 3);

	/* With BSEX sizes are 16 times as large, and 0 is reserved. */
	return rctl & RCTL_BSEX && rctl >> 16 & 3 ? size * 16 : size;
}

static bool rx_unicast(struct e1000 *e, const uint8_t *mac)
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		uint32_t lo = *e1000_reg(e, RAL + i * 8), hi = *e1000_reg(e, RAL + i * 8 + 4);

		if (hi & RAH_AV && get_le32(mac) == lo && get_le16(mac + 4) == (hi & 0xffff))
			return true;
	}
	return false;
}

/* MTA, 13.5.1. */
static bool rx_multicast(struct e1000 *e, const uint8_t *mac)
{
	static const uint8_t shifts[] = { 4, 3, 2, 0 };
	unsigned int shift = shifts[*e1000_reg(e, RCTL) >> 12 & 3];
	unsigned int hash = (mac[4] >> shift | mac[5] << (8 - shift)) & 0xfff;

	return *e1000_reg(e, MTA + (hash >> 5) * 4) >> (hash & 31) & 1;
}

/* @head: the first 18 bytes. */
static bool rx_wanted(struct e1000 *e, const uint8_t *head, bool tagged)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint32_t rctl = *e1000_reg(e, RCTL);
	unsigned int vid = (head[14] << 8 | head[15]) & 0xfff;

	if (tagged && rctl & RCTL_VFE && !(*e1000_reg(e, VFTA + (vid >> 5) * 4) >> (vid & 31) & 1))
		return false;
	if (!(head[0] & 1))
		return rctl & RCTL_UPE || rx_unicast(e, head);
	if (rctl & RCTL_MPE)
		return true;
	if (!memcmp(head, broadcast, sizeof(broadcast)) && rctl & RCTL_BAM)
		return true;
	return rx_unicast(e, head) || rx_multicast(e, head);
}

/* The ring's entries that are the card's; 0 when it is not one. */
static uint32_t rx_free(struct e1000 *e)
{
	uint32_t n = *e1000_reg(e, RDLEN) / E1000_DESC;
	uint32_t head = *e1000_reg(e, RDH), tail = *e1000_reg(e, RDT);

	if (head >= n || tail >= n)
		return 0;
	return tail >= head ? tail - head : n - head + tail;
}

/* Copies up to @len bytes of the frame, then of zeros, to guest memory. */
static void rx_copy(struct e1000 *e, gpa_t gpa, struct iov_cursor *from, uint32_t len)
{
	static const uint8_t zero[FRAME_SHORTEST + 4];
	size_t n;
	void *p;

	while (len) {
		n = iov_cursor_next(from, len, &p);
		if (!n) {
			n = MIN(len, sizeof(zero));
			p = (void *)(uintptr_t)zero;
		}
		if (e1000_dma_write(e, gpa, p, n))
			return;
		gpa += n;
		len -= (uint32_t)n;
	}
}

/* Fills the buffer at RDH. Returns how many bytes it took, 0 for a descriptor without a buffer
 * (3.2.5). */
static uint32_t rx_buffer(struct e1000 *e, struct iov_cursor *from, uint32_t left, uint16_t special,
			  uint8_t status)
{
	uint32_t *head = e1000_reg(e, RDH), n = *e1000_reg(e, RDLEN) / E1000_DESC;
	gpa_t gpa = ((gpa_t)*e1000_reg(e, RDBAH) << 32 | *e1000_reg(e, RDBAL)) +
		    (gpa_t)*head * E1000_DESC;
	uint8_t desc[E1000_DESC], *done;
	uint32_t size = 0;

	*head = *head + 1 == n ? 0 : *head + 1;
	if (e1000_dma_read(e, gpa, desc, sizeof(desc)))
		return 0;
	if (get_le64(desc)) {
		size = MIN(left, rx_buffer_size(*e1000_reg(e, RCTL)));
		rx_copy(e, get_le64(desc), from, size);
	}
	put_le16(desc + 8, (uint16_t)size);
	put_le16(desc + 10, 0);
	/* DD is the last to be seen. */
	desc[12] = 0;
	desc[13] = 0;
	put_le16(desc + 14, special);
	e1000_dma_write(e, gpa + 8, desc + 8, 8);
	status |= (uint8_t)(RXD_DD | RXD_IXSM | (size && size == left ? RXD_EOP : 0));
	done = mem_ptr(&e->pdev.dev.vm->mem, gpa + 12, 1);
	if (done)
		__atomic_store_n(done, status, __ATOMIC_RELEASE);
	e->rx_done = true;
	return size;
}

static bool rx_drop(struct e1000 *e, unsigned int reg)
{
	if (reg)
		e1000_count(e, reg);
	e->net.rx_dropped++;
	return true;
}

/* @iov without the 4 bytes of its tag. Returns the number of entries in @out, 0 when it is too
 * scattered: the tag stays. */
static unsigned int rx_untag(struct iovec out[4], const struct iovec *iov, unsigned int count)
{
	struct iovec copy[3], *rest = copy;
	unsigned int i, n = 0;
	size_t left = 12;

	if (count > ARRAY_SIZE(copy))
		return 0;
	memcpy(copy, iov, count * sizeof(*iov));
	for (i = 0; i < count && left; i++) {
		out[n] = iov[i];
		out[n].iov_len = MIN(iov[i].iov_len, left);
		left -= out[n++].iov_len;
		if (n == 3)
			return 0;
	}
	count = iov_skip(&rest, count, 16);
	if (n + count > 4)
		return 0;
	memcpy(out + n, rest, count * sizeof(*rest));
	return n + count;
}

bool e1000_receive(void *nic, unsigned int queue, const struct iovec *iov, unsigned int count)
{
	struct e1000 *e = nic;
	uint32_t rctl = *e1000_reg(e, RCTL), left, part, room, free;
	size_t len = iov_size(iov, count);
	uint8_t head[18] = { 0 };
	struct iov_cursor from;
	struct iovec untagged[4];
	uint16_t special = 0;
	uint8_t status = 0;
	unsigned int n;
	bool tagged;

	(void)queue;
	if (!(rctl & RCTL_EN) || !e1000_dma_on(e))
		return rx_drop(e, 0);
	if (e->rx_waiting)
		return false;
	iov_gather(iov, count, head, sizeof(head));
	tagged = len >= sizeof(head) && (uint32_t)(head[12] << 8 | head[13]) ==
						(*e1000_reg(e, VET) & 0xffff);
	if (len > (rctl & RCTL_LPE ? FRAME_LPE : FRAME_LONGEST) || !rx_wanted(e, head, tagged))
		return rx_drop(e, 0);
	if (tagged && *e1000_reg(e, CTRL) & CTRL_VME) {
		n = rx_untag(untagged, iov, count);
		if (n) {
			iov = untagged;
			count = n;
			len -= 4;
			status = RXD_VP;
			special = (uint16_t)(head[14] << 8 | head[15]);
		}
	}
	left = MAX((uint32_t)len, FRAME_SHORTEST) + (rctl & RCTL_SECRC ? 0 : 4);
	room = rx_buffer_size(rctl);
	free = rx_free(e);
	n = (left + room - 1) / room;
	if (free < n) {
		/* Loopback has nobody who would keep it; and it may be larger than the whole ring. */
		if (rctl & RCTL_LBM || n >= MAX(*e1000_reg(e, RDLEN) / E1000_DESC, 1))
			return rx_drop(e, MPC);
		e->rx_waiting = true;
		return false;
	}
	iov_cursor_init(&from, iov, count);
	/* Descriptors without a buffer take none of it: it ends with those that there are. */
	for (; left && free; free--) {
		part = rx_buffer(e, &from, left, special, status);
		left -= part;
	}
	if (left)
		return rx_drop(e, MPC);
	e1000_count(e, GPRC);
	e1000_count(e, TPR);
	e1000_count_octets(e, GORCL, len + 4);
	return true;
}

void e1000_receive_end(void *nic, unsigned int queue)
{
	struct e1000 *e = nic;
	uint32_t n = *e1000_reg(e, RDLEN) / E1000_DESC, causes = ICR_RXT0;

	(void)queue;
	if (!e->rx_done)
		return;
	e->rx_done = false;
	if (rx_free(e) <= n >> ((*e1000_reg(e, RCTL) >> 8 & 3) + 1))
		causes |= ICR_RXDMT0;
	e1000_cause(e, causes);
}
