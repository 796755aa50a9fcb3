// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * From the guest: TDT moves, the loop is woken once, and fetches what is there. A frame is copied
 * out of guest memory once; checksums are put into the copy, and TSO cuts it up in place: each
 * segment's header is written right in front of its payload, over what has been sent already.
 *
 * A frame may take many turns: the back end may be full, and a frame of tiny segments is sent
 * within the budget. The descriptor was done with when the copy was made.
 */
#include "e1000_priv.h"

#include <string.h>

#include "base/util.h"
#include "vmm/vm.h"

static uint16_t get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put_be16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* RFC 1071, in the order of the bytes in memory. */
static uint16_t sum_fold(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;
	uint32_t word;
	uint8_t last[2];

	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum += word;
	}
	for (; len; p += MIN(len, 2), len -= MIN(len, 2)) {
		last[0] = p[0];
		last[1] = len > 1 ? p[1] : 0;
		sum += get_le16(last);
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* The sum of @start..@end (inclusive, 0: to the end) goes to @at, which the guest filled with what
 * else counts, such as the pseudo header. */
static void put_sum(uint8_t *frame, uint32_t len, uint32_t at, uint32_t start, uint32_t end,
		    bool udp)
{
	uint16_t sum;

	if (end && end + 1 < len)
		len = end + 1;
	if (at + 2 > len || start >= len)
		return;
	sum = (uint16_t)~sum_fold(frame + start, len - start);
	put_le16(frame + at, udp && !sum ? 0xffff : sum);
}

/* One frame as it goes onto the cable. False: the back end is full. */
static bool tx_emit(struct e1000 *e, uint8_t *frame, uint32_t len)
{
	struct iovec iov[3] = { { frame, len } };
	unsigned int count = 1;
	uint8_t tag[4];

	if (e->tx.cmd & TXD_VLE && *e1000_reg(e, CTRL) & CTRL_VME && len > 12) {
		put_be16(tag, *e1000_reg(e, VET));
		put_be16(tag + 2, e->tx.vlan);
		iov[0].iov_len = 12;
		iov[1] = (struct iovec){ tag, sizeof(tag) };
		iov[2] = (struct iovec){ frame + 12, len - 12 };
		count = 3;
	}
	/* In loopback the frame comes straight back and does not reach the cable; receiving sends
	 * nothing, so there is no recursion. */
	if (*e1000_reg(e, RCTL) & RCTL_LBM) {
		e1000_receive(e, 0, iov, count);
		e1000_receive_end(e, 0);
	} else if (!net_send(&e->net, 0, iov, count)) {
		return false;
	}
	e1000_count(e, GPTC);
	e1000_count(e, TPT);
	e1000_count_octets(e, GOTCL, len + 4);
	return true;
}

static void tx_sums(struct e1000 *e, uint8_t *frame, uint32_t len)
{
	const struct e1000_context *c = &e->tx.context;

	if (e->tx.popts & TXD_TXSM)
		put_sum(frame, len, c->tucso, c->tucss, c->tucse, !(c->tucmd & TXD_TCP));
	if (e->tx.popts & TXD_IXSM)
		put_sum(frame, len, c->ipcso, c->ipcss, c->ipcse, false);
}

/* What differs from segment to segment (3.5): lengths, identification, sequence, flags. The header
 * is known to hold these fields. */
static void tso_header(struct e1000 *e, uint8_t *frame, uint32_t len, bool last)
{
	const struct e1000_context *c = &e->tx.context;
	struct e1000_tx *tx = &e->tx;
	uint8_t *ip = frame + c->ipcss, *l4 = frame + c->tucss;
	uint32_t seq;
	uint8_t size[2];

	if (c->tucmd & TXD_IP) {
		put_be16(ip + 2, len - c->ipcss);
		put_be16(ip + 4, get_be16(ip + 4) + (uint32_t)tx->segment);
	} else {
		put_be16(ip + 4, len - c->ipcss - 40);
	}
	if (c->tucmd & TXD_TCP) {
		seq = (uint32_t)get_be16(l4 + 4) << 16 | get_be16(l4 + 6);
		seq += (uint32_t)tx->segment * c->mss;
		put_be16(l4 + 4, seq >> 16);
		put_be16(l4 + 6, seq & 0xffff);
		if (!last)
			l4[13] &= (uint8_t)~9u; /* FIN and PSH are the last one's */
	} else {
		put_be16(l4 + 4, len - c->tucss);
	}
	/* The pseudo header in the checksum field came without the length. */
	if (tx->popts & TXD_TXSM && c->tucso + 2u <= c->hdrlen) {
		uint32_t sum = get_be16(frame + c->tucso) + len - c->tucss;

		put_be16(size, (sum & 0xffff) + (sum >> 16));
		memcpy(frame + c->tucso, size, sizeof(size));
	}
}

/* Can it be cut up as the context says? */
static bool tso_fits(const struct e1000 *e)
{
	const struct e1000_context *c = &e->tx.context;
	uint32_t ip = c->tucmd & TXD_IP ? 20 : 40, l4 = c->tucmd & TXD_TCP ? 20 : 8;

	return c->mss && c->hdrlen && e->tx.len > c->hdrlen && c->ipcss + ip <= c->hdrlen &&
	       c->tucss + l4 <= c->hdrlen;
}

static bool tso_send(struct e1000 *e, unsigned int *budget)
{
	const struct e1000_context *c = &e->tx.context;
	struct e1000_tx *tx = &e->tx;
	uint32_t size;
	uint8_t *frame;

	if (!tx->segment && !tx->at)
		memcpy(tx->header, tx->buf, c->hdrlen);
	/* tx->at counts what was sent of the payload, which begins behind the header. */
	while (tx->at < tx->len - c->hdrlen) {
		if (!*budget)
			return false;
		(*budget)--;
		size = MIN(c->mss, tx->len - c->hdrlen - tx->at);
		frame = tx->buf + tx->at;
		memcpy(frame, tx->header, c->hdrlen);
		tso_header(e, frame, c->hdrlen + size, tx->at + size == tx->len - c->hdrlen);
		tx_sums(e, frame, c->hdrlen + size);
		if (!tx_emit(e, frame, c->hdrlen + size)) {
			tx->full = true;
			return false;
		}
		tx->at += size;
		tx->segment++;
	}
	return true;
}

static void tx_forget(struct e1000_tx *tx)
{
	tx->len = tx->at = 0;
	tx->segment = 0;
	tx->begun = tx->whole = tx->too_long = false;
}

/* The frame in hand. True when it is done with. */
static bool tx_frame(struct e1000 *e, unsigned int *budget)
{
	struct e1000_tx *tx = &e->tx;
	bool dext = tx->cmd & TXD_DEXT, done = true;

	if (tx->too_long || (dext && tx->cmd & TXD_TSE && !tso_fits(e))) {
		e->net.tx_dropped++;
		log_limited(e->pdev.dev.vm->log, &e->pdev.limit, LOG_DEBUG,
			    "%s: frame of %u bytes dropped: %s", e->pdev.dev.id, tx->len,
			    tx->too_long ? "too long" : "cannot be segmented as its context says");
	} else if (dext && tx->cmd & TXD_TSE) {
		done = tso_send(e, budget);
	} else {
		/* Once: the sum of a frame that holds its sum is another. */
		if (!tx->at && dext)
			tx_sums(e, tx->buf, tx->len);
		else if (!tx->at && tx->cmd & TXD_IC)
			put_sum(tx->buf, tx->len, tx->cso, tx->css, 0, false);
		tx->at = 1;
		done = tx_emit(e, tx->buf, tx->len);
		tx->full = !done;
	}
	if (done)
		tx_forget(tx);
	return done;
}

static void tx_context(struct e1000_context *c, const uint8_t *desc)
{
	c->ipcss = desc[0];
	c->ipcso = desc[1];
	c->ipcse = get_le16(desc + 2);
	c->tucss = desc[4];
	c->tucso = desc[5];
	c->tucse = get_le16(desc + 6);
	c->tucmd = desc[11];
	c->hdrlen = desc[13];
	c->mss = get_le16(desc + 14);
}

static void tx_data(struct e1000 *e, gpa_t addr, uint32_t len)
{
	struct e1000_tx *tx = &e->tx;

	if (tx->too_long || len > E1000_TX_MAX - tx->len) {
		tx->too_long = true;
		return;
	}
	/* What cannot be read takes the frame with it. */
	if (len && e1000_dma_read(e, addr, tx->buf + tx->len, len))
		tx->too_long = true;
	else
		tx->len += len;
}

/* A data or legacy descriptor, or a context. */
static void tx_desc(struct e1000 *e, const uint8_t *desc)
{
	uint32_t lower = get_le32(desc + 8);
	struct e1000_tx *tx = &e->tx;
	uint8_t cmd = desc[11];
	bool dext = cmd & TXD_DEXT;

	if (dext && (lower >> 20 & 15) == 0) {
		/* The frame in hand keeps the one that it began with. */
		if (!tx->begun)
			tx_context(&tx->context, desc);
		return;
	}
	if (!tx->begun) {
		tx->begun = true;
		tx->cmd = cmd;
		tx->popts = desc[13];
		tx->cso = desc[10];
		tx->css = desc[13];
	}
	tx_data(e, get_le64(desc), lower & (dext ? 0xfffffu : 0xffffu));
	if (cmd & TXD_EOP) {
		/* The tag is the last one's (3.3.7). */
		tx->vlan = get_le16(desc + 14);
		tx->cmd |= cmd & TXD_VLE;
		tx->whole = true;
	}
}

/* Fetches the descriptor at TDH. False when there is none to be had. */
static bool tx_fetch(struct e1000 *e, uint32_t *causes)
{
	uint32_t *head = e1000_reg(e, TDH), tail = *e1000_reg(e, TDT), n;
	uint8_t desc[E1000_DESC];
	gpa_t gpa;

	n = *e1000_reg(e, TDLEN) / E1000_DESC;
	if (*head == tail || *head >= n || tail >= n)
		return false;
	gpa = ((gpa_t)*e1000_reg(e, TDBAH) << 32 | *e1000_reg(e, TDBAL)) +
	      (gpa_t)*head * E1000_DESC;
	*head = *head + 1 == n ? 0 : *head + 1;
	if (e1000_dma_read(e, gpa, desc, sizeof(desc)))
		return true;
	tx_desc(e, desc);
	if (desc[11] & TXD_RS) {
		desc[12] |= TXD_DD;
		e1000_dma_write(e, gpa + 12, desc + 12, 1);
		*causes |= ICR_TXDW;
	}
	return true;
}

void e1000_tx_run(struct e1000 *e)
{
	unsigned int budget = E1000_TX_BUDGET;
	struct e1000_tx *tx = &e->tx;
	uint32_t causes = 0;
	bool more = true;

	while (!tx->full && e1000_dma_on(e) && *e1000_reg(e, TCTL) & TCTL_EN) {
		if (tx->whole && !tx_frame(e, &budget)) {
			more = !tx->full;
			break;
		}
		if (!budget)
			break;
		budget--;
		more = tx_fetch(e, &causes);
		if (!more) {
			causes |= ICR_TXQE;
			break;
		}
	}
	/* Others have a turn, then it goes on. */
	if (!budget && more)
		e1000_kick(e);
	/* TXQE alone is no news: it says that the ring was drained. */
	if (causes & ICR_TXDW)
		e1000_cause(e, causes);
}

void e1000_tx_reset(struct e1000 *e)
{
	memset(&e->tx.context, 0, sizeof(e->tx.context));
	tx_forget(&e->tx);
	e->tx.full = false;
}
