/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files, descriptors and sysfs attributes: whole reads and writes that survive EINTR. */
#ifndef VIADUCT_BASE_IO_H
#define VIADUCT_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;

/* Reads exactly @len bytes at @off. Returns 0, -ENODATA when the file ends before, or -errno. */
int io_pread_full(int fd, void *buf, size_t len, off_t off);

/* Reads exactly @len bytes. Returns 0, -ENODATA at an early end, or -errno. */
int io_read_full(int fd, void *buf, size_t len);

/* Writes all of @buf; retries short writes and EINTR, waits out EAGAIN on a non-blocking fd with
 * poll(). Returns 0 or -errno. */
int io_write_full(int fd, const void *buf, size_t len);

/* Reads a small text file (a sysfs attribute) into @buf, always terminated, trailing white space
 * removed. Returns the length or -errno; -EOVERFLOW when it does not fit. */
ssize_t io_read_text(const char *path, char *buf, size_t size);

/* Writes @text to an existing file in one write(2), as sysfs wants. Returns 0 or -errno. */
int io_write_text(const char *path, const char *text);

/* Adds to / takes from an eventfd. eventfd_signal() never blocks; eventfd_drain() returns the
 * count that was there (0 when none). */
void io_eventfd_signal(int fd);
uint64_t io_eventfd_drain(int fd);

/* A new non-blocking close-on-exec eventfd, or -errno. Where the limit of descriptors is in the way
 * and may be raised (ulimit -Sn below ulimit -Hn), it is. */
int io_eventfd_new(void);

#endif
