/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single accesses to a ring in guest memory, for the ring formats: the guest may write there at the
 * same time. @off is aligned to the access, which a format checks when the ring starts.
 */
#ifndef VIADUCT_VIRTIO_VIRTQ_ACCESS_H
#define VIADUCT_VIRTIO_VIRTQ_ACCESS_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>

static inline uint16_t virtq_load16(const void *base, size_t off)
{
	const uint16_t *p = (const void *)((const char *)base + off);

	return le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static inline void virtq_store16(void *base, size_t off, uint16_t v)
{
	uint16_t *p = (void *)((char *)base + off);

	__atomic_store_n(p, htole16(v), __ATOMIC_RELAXED);
}

/* Indirect tables have no alignment of their own. */
struct virtq_unaligned64 {
	uint64_t v;
} __attribute__((packed));

#endif
