/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames for tests of network devices: built byte by byte, checked byte by byte. */
#ifndef VIADUCT_TESTS_NET_FRAMES_H
#define VIADUCT_TESTS_NET_FRAMES_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define FRAME_IP_GUEST 0x0a00020fu
#define FRAME_IP_HOST 0x0a000202u
#define FRAME_TCP_FIN 1u
#define FRAME_TCP_SYN 2u
#define FRAME_TCP_ACK 16u

static const uint8_t frame_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

/* net.c looks for modules next to the program: puts a link there. */
static inline void frame_link_module(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);

	if (n < 0)
		return;
	path[n] = '\0';
	strcpy(strrchr(path, '/') + 1, "viaduct-slirp.so");
	if (symlink(VIADUCT_MODULE_DIR "/viaduct-slirp.so", path) && errno != EEXIST)
		_exit(99);
}

static inline void frame_be16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void frame_be32(uint8_t *p, uint32_t v)
{
	frame_be16(p, v >> 16);
	frame_be16(p + 2, v & 0xffff);
}

static inline uint32_t frame_get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t frame_get32(const uint8_t *p)
{
	return frame_get16(p) << 16 | frame_get16(p + 2);
}

/* RFC 1071. */
static inline uint32_t frame_sum(const uint8_t *p, size_t len, uint32_t sum)
{
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += frame_get16(p + i);
	if (len & 1)
		sum += (uint32_t)p[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static inline size_t frame_arp(uint8_t *f, uint32_t target)
{
	static const uint8_t head[] = { 8, 6, 0, 1, 8, 0, 6, 4, 0, 1 };

	memset(f, 0, 60);
	memset(f, 0xff, 6);
	memcpy(f + 6, frame_mac, 6);
	memcpy(f + 12, head, sizeof(head));
	memcpy(f + 22, frame_mac, 6);
	frame_be32(f + 28, FRAME_IP_GUEST);
	frame_be32(f + 38, target);
	return 42;
}

static inline bool frame_is_arp_reply(const uint8_t *f, size_t len, uint32_t from)
{
	return len >= 42 && frame_get16(f + 12) == 0x0806 && frame_get16(f + 20) == 2 &&
	       frame_get32(f + 28) == from && !memcmp(f, frame_mac, 6);
}

/* Ethernet and IPv4 headers for @len bytes of @proto behind them. */
static inline void frame_ip(uint8_t *f, const uint8_t *to, uint32_t src, uint32_t dst,
			    unsigned int proto, size_t len)
{
	memcpy(f, to, 6);
	memcpy(f + 6, frame_mac, 6);
	frame_be16(f + 12, 0x0800);
	memset(f + 14, 0, 20);
	f[14] = 0x45;
	frame_be16(f + 16, (unsigned int)(20 + len));
	f[22] = 64;
	f[23] = (uint8_t)proto;
	frame_be32(f + 26, src);
	frame_be32(f + 30, dst);
	frame_be16(f + 24, ~frame_sum(f + 14, 20, 0));
}

static inline size_t frame_ping(uint8_t *f, const uint8_t *to, uint32_t dst, unsigned int seq,
				size_t payload)
{
	size_t i;

	frame_ip(f, to, FRAME_IP_GUEST, dst, 1, 8 + payload);
	f[34] = 8;
	f[35] = 0;
	frame_be16(f + 36, 0);
	frame_be16(f + 38, 0x7777);
	frame_be16(f + 40, seq);
	for (i = 0; i < payload; i++)
		f[42 + i] = (uint8_t)(i + seq);
	frame_be16(f + 36, ~frame_sum(f + 34, 8 + payload, 0));
	return 42 + payload;
}

static inline bool frame_is_pong(const uint8_t *f, size_t len, uint32_t from, unsigned int seq,
				 size_t payload)
{
	size_t i;

	if (len < 42 + payload || frame_get16(f + 12) != 0x0800 || f[23] != 1 || f[34] != 0 ||
	    frame_get32(f + 26) != from || frame_get16(f + 40) != (seq & 0xffff) ||
	    frame_sum(f + 14, 20, 0) != 0xffff || frame_sum(f + 34, 8 + payload, 0) != 0xffff)
		return false;
	for (i = 0; i < payload; i++)
		if (f[42 + i] != (uint8_t)(i + seq))
			return false;
	return true;
}

static inline size_t frame_tcp(uint8_t *f, const uint8_t *to, unsigned int sport,
			       unsigned int dport, uint32_t seq, uint32_t ack, unsigned int flags,
			       const void *data, size_t len)
{
	uint32_t sum;

	frame_ip(f, to, FRAME_IP_GUEST, FRAME_IP_HOST, 6, 20 + len);
	memset(f + 34, 0, 20);
	frame_be16(f + 34, sport);
	frame_be16(f + 36, dport);
	frame_be32(f + 38, seq);
	frame_be32(f + 42, ack);
	f[46] = 5 << 4;
	f[47] = (uint8_t)flags;
	frame_be16(f + 48, 0xffff);
	if (len)
		memcpy(f + 54, data, len);
	sum = frame_sum(f + 26, 8, 6 + 20 + (uint32_t)len);
	frame_be16(f + 50, ~frame_sum(f + 34, 20 + len, sum));
	return 54 + len;
}

#endif
