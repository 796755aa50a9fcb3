/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scattered bytes. The entries usually point into guest memory, so each function reads or writes
 * every byte at most once. Static inline: modules that link nothing of the program use them too.
 */
#ifndef VIADUCT_VMM_IOV_H
#define VIADUCT_VMM_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

/* Bytes in all. The caller knows that the sum fits. */
static inline size_t iov_size(const struct iovec *iov, unsigned int count)
{
	size_t size = 0;
	unsigned int i;

	for (i = 0; i < count; i++)
		size += iov[i].iov_len;
	return size;
}

/* Copies up to @len bytes out of @iov into @buf; returns how many there were. */
static inline size_t iov_gather(const struct iovec *iov, unsigned int count, void *buf, size_t len)
{
	size_t done = 0, n;
	unsigned int i;

	for (i = 0; i < count && done < len; i++) {
		n = iov[i].iov_len < len - done ? iov[i].iov_len : len - done;
		if (n)
			memcpy((char *)buf + done, iov[i].iov_base, n);
		done += n;
	}
	return done;
}

/* Takes the first @len bytes off: changes entries in place. Returns how many entries are left,
 * starting at *@iov. */
static inline unsigned int iov_skip(struct iovec **iov, unsigned int count, size_t len)
{
	while (count && len >= (*iov)->iov_len) {
		len -= (*iov)->iov_len;
		(*iov)++;
		count--;
	}
	if (count && len) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + len;
		(*iov)->iov_len -= len;
	}
	return count;
}

/* A place in scattered bytes: @off bytes into iov[0]. */
struct iov_cursor {
	const struct iovec *iov;
	unsigned int count;
	size_t off;
};

static inline void iov_cursor_init(struct iov_cursor *c, const struct iovec *iov,
				   unsigned int count)
{
	c->iov = iov;
	c->count = count;
	c->off = 0;
}

/* The next bytes that lie in one piece, at most @max; moves past them. 0 at the end. */
static inline size_t iov_cursor_next(struct iov_cursor *c, size_t max, void **ret_ptr)
{
	size_t n;

	while (c->count && c->off == c->iov->iov_len) {
		c->iov++;
		c->count--;
		c->off = 0;
	}
	if (!c->count || !max)
		return 0;
	n = c->iov->iov_len - c->off;
	if (n > max)
		n = max;
	*ret_ptr = (char *)c->iov->iov_base + c->off;
	c->off += n;
	return n;
}

/* Copies up to @len bytes from @src to @dst and moves both. Returns how many; less than @len when
 * one of them ends. */
static inline size_t iov_cursor_copy(struct iov_cursor *dst, struct iov_cursor *src, size_t len)
{
	size_t done = 0, n, part;
	void *to, *from;

	while (done < len) {
		n = iov_cursor_next(dst, len - done, &to);
		if (!n)
			break;
		part = iov_cursor_next(src, n, &from);
		/* iov_cursor_next() has just moved by n within this entry. */
		dst->off -= n - part;
		if (!part)
			break;
		memcpy(to, from, part);
		done += part;
	}
	return done;
}

#endif
