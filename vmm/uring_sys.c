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

	/* Before Linux 5.11 it waits for however long it takes. */
	if (!ms || !(ring->features & IORING_FEAT_EXT_ARG))
		return io_uring_enter(fd, to_submit, wait, flags, NULL);
	return io_uring_enter2(fd, to_submit, wait, flags | IORING_ENTER_EXT_ARG, (sigset_t *)&arg,
			       sizeof(arg));
}

bool uring_sys_reap(struct io_uring *ring, struct io_uring_cqe *ret_cqe)
{
	struct io_uring_cqe *cqe;

	if (io_uring_peek_cqe(ring, &cqe))
		return false;
	*ret_cqe = *cqe;
	io_uring_cqe_seen(ring, cqe);
	return true;
}

void uring_sys_cancel(struct io_uring *ring, int fd)
{
	/* A time that is over: it does not wait for those that it told to end. */
	struct io_uring_sync_cancel_reg reg = {
		.fd = fd,
		.flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL,
	};

	io_uring_register_sync_cancel(ring, &reg);
}
