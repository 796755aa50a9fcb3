// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio-net: the control queue (5.1.6.5). A command that is not understood, or whose bytes are not
 * as many as it takes, is answered with VIRTIO_NET_ERR and changes nothing.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <string.h>

#include "vmm/iov.h"

#include "virtio_net_priv.h"

#define COMMAND_MAX 4096u /* header and data: 5.1.6.5.2 has the longest */
#define MAC_BYTES 6u

struct command {
	uint8_t class, command;
	const uint8_t *data;
	size_t len;
};

unsigned int virtio_net_ctrl_index(const struct virtio_net *n)
{
	return virtio_has(&n->vpci.vdev, VIRTIO_NET_F_MQ) ? 2 * n->pair_count : 2;
}

/* Receive filtering (5.1.6.5.1, 5.1.6.5.2). */

static bool filter_add(struct net_filter *f, const uint8_t *addr)
{
	if (f->count >= NET_FILTER_MAX)
		return false;
	memcpy(f->addr[f->count++], addr, MAC_BYTES);
	return true;
}

/* Own address and broadcast come with what the driver listed. */
static void filter_tell(struct virtio_net *n)
{
	static const uint8_t broadcast[MAC_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct net_filter f = n->filter;

	if (!filter_add(&f, n->guest_mac) || !filter_add(&f, broadcast))
		f.promiscuous = true;
	net_set_filter(&n->net, &f);
}

static bool ctrl_rx(struct virtio_net *n, const struct command *c)
{
	if (c->len != 1)
		return false;
	switch (c->command) {
	case VIRTIO_NET_CTRL_RX_PROMISC:
		n->filter.promiscuous = c->data[0];
		break;
	case VIRTIO_NET_CTRL_RX_ALLMULTI:
		n->filter.all_multicast = c->data[0];
		break;
	default:
		return false;
	}
	filter_tell(n);
	return true;
}

/* Two tables, each a count and its addresses. */
static bool ctrl_mac_table(struct virtio_net *n, const struct command *c)
{
	struct net_filter f = n->filter;
	size_t at = 0, i, t;

	f.count = 0;
	for (t = 0; t < 2; t++) {
		uint64_t entries;

		if (c->len - at < sizeof(uint32_t))
			return false;
		entries = get_le32(c->data + at);
		at += sizeof(uint32_t);
		if ((c->len - at) / MAC_BYTES < entries)
			return false;
		for (i = 0; i < entries; i++, at += MAC_BYTES)
			if (!filter_add(&f, c->data + at))
				f.count = NET_FILTER_MAX; /* filter_tell(): everything passes */
	}
	if (at != c->len)
		return false;
	n->filter = f;
	filter_tell(n);
	return true;
}

static bool ctrl_mac(struct virtio_net *n, const struct command *c)
{
	if (c->command == VIRTIO_NET_CTRL_MAC_TABLE_SET)
		return ctrl_mac_table(n, c);
	if (c->command != VIRTIO_NET_CTRL_MAC_ADDR_SET || c->len != MAC_BYTES ||
	    !virtio_has(&n->vpci.vdev, VIRTIO_NET_F_CTRL_MAC_ADDR))
		return false;
	memcpy(n->guest_mac, c->data, MAC_BYTES);
	filter_tell(n);
	return true;
}

/* 5.1.6.5.5 */
static bool ctrl_mq(struct virtio_net *n, const struct command *c)
{
	unsigned int pairs, i;

	if (c->command != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || c->len != sizeof(uint16_t))
		return false;
	pairs = get_le16(c->data);
	if (pairs < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN || pairs > n->pair_count)
		return false;
	if (net_set_queues(&n->net, pairs))
		return false;
	for (i = pairs; i < n->active; i++)
		net_drop_held(&n->net, i);
	n->active = pairs;
	virtio_net_vhost_update(n);
	return true;
}

/* 5.1.6.5.6 */
int virtio_net_set_offloads(struct virtio_net *n, uint64_t features)
{
	static const struct {
		unsigned int feature;
		net_offloads offload;
	} map[] = {
		{ VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM },
		{ VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4 },
		{ VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6 },
		{ VIRTIO_NET_F_GUEST_ECN, TUN_F_TSO_ECN },
	};
	net_offloads offloads = 0;
	size_t i;

	/* Segments come with checksums that are to be filled in. */
	if (!(features & BIT64(VIRTIO_NET_F_GUEST_CSUM)))
		features = 0;
	for (i = 0; i < ARRAY_SIZE(map); i++)
		if (features >> map[i].feature & 1)
			offloads |= map[i].offload;
	return net_set_header(&n->net, net_has_header(&n->net) ? n->header_size : 0, offloads);
}

static bool ctrl_offloads(struct virtio_net *n, const struct command *c)
{
	uint64_t features;

	if (c->command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET || c->len != sizeof(uint64_t))
		return false;
	features = get_le64(c->data);
	if (features & ~(VIRTIO_NET_GUEST_OFFLOADS & n->vpci.vdev.acked))
		return false;
	return !virtio_net_set_offloads(n, features);
}

static bool ctrl_command(struct virtio_net *n, const struct command *c)
{
	static const struct {
		uint8_t class;
		unsigned int feature;
		bool (*run)(struct virtio_net *n, const struct command *c);
	} classes[] = {
		{ VIRTIO_NET_CTRL_RX, VIRTIO_NET_F_CTRL_RX, ctrl_rx },
		{ VIRTIO_NET_CTRL_MAC, VIRTIO_NET_F_CTRL_RX, ctrl_mac },
		{ VIRTIO_NET_CTRL_MQ, VIRTIO_NET_F_MQ, ctrl_mq },
		{ VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
		  ctrl_offloads },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(classes); i++)
		if (classes[i].class == c->class)
			return virtio_has(&n->vpci.vdev, classes[i].feature) && classes[i].run(n, c);
	return false;
}

/* The buffer in hand. */
static int ctrl_one(struct virtio_net *n, struct virtq *vq)
{
	struct virtq_elem *e = &n->elem;
	uint8_t bytes[COMMAND_MAX];
	struct command c;
	size_t len;
	bool good;

	if (!e->in_len)
		return virtq_fail(vq, "control command without a place for its answer");
	len = iov_gather(virtq_elem_out(e), e->out_count, bytes, sizeof(bytes));
	c = (struct command){ .data = bytes + sizeof(struct virtio_net_ctrl_hdr) };
	good = len >= sizeof(struct virtio_net_ctrl_hdr) && e->out_len == len;
	if (good) {
		c.class = bytes[0];
		c.command = bytes[1];
		c.len = len - sizeof(struct virtio_net_ctrl_hdr);
		good = ctrl_command(n, &c);
	}
	*(uint8_t *)virtq_elem_in(e)->iov_base = good ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
	virtq_push(vq, e, 1);
	return 0;
}

void virtio_net_ctrl_run(struct virtio_net *n, struct virtq *vq)
{
	unsigned int budget = vq->size;

	virtq_kick_off(vq);
	while (budget--) {
		if (virtq_pop(vq, &n->elem) <= 0) {
			if (!virtq_kick_on(vq))
				break;
			virtq_kick_off(vq);
			continue;
		}
		if (ctrl_one(n, vq))
			return;
		virtq_signal(vq);
	}
	if (budget == UINT32_MAX)
		virtq_kick_again(vq);
}

void virtio_net_ctrl_reset(struct virtio_net *n)
{
	/* Until the driver says what it wants, it gets all. */
	n->filter = (struct net_filter){ .promiscuous = true };
	memcpy(n->guest_mac, n->mac.b, MAC_BYTES);
	filter_tell(n);
	n->active = 1;
	net_set_queues(&n->net, 1);
}
