// SPDX-License-Identifier: GPL-2.0-or-later
#include "uring_sys.h"

#include <liburing.h>
#include <stddef.h>

int uring_sys_enter(struct io_uring *ring, unsigned int to_submit, unsigned int wait,
		    unsigned int ms)
{
	struct __kernel_timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000ll };
	struct io_uring_getevents_arg arg = { .ts = (uintptr_t)&ts };
	unsigned int flags = wait ? IORING_ENTER_GETEVENTS : 0, fd = (unsigned int)ring->ring_fd;

	if (!ms)
		return io_uring_enter(fd, to_submit, wait, flags, NULL);
	return io_uring_enter2(fd, to_submit, wait, flags | IORING_ENTER_EXT_ARG, (sigset_t *)&arg,
			       sizeof(arg));
}

int uring_sys_result(const struct io_uring_cqe *cqe)
{
	return cqe->res;
}
