/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The border to the kernel's io_uring: what goes in, what it answers, and nothing else, so that a
 * test can play a kernel that is in trouble. */
#ifndef VIADUCT_VMM_URING_SYS_H
#define VIADUCT_VMM_URING_SYS_H

#include <stdbool.h>

struct io_uring;
struct io_uring_cqe;

/* Gives the kernel @to_submit entries and waits until @wait completions are there, for at most @ms
 * unless that is 0. How many it took, or -errno (-ETIME: in vain); what it did not take is in the
 * ring as before. */
int uring_sys_enter(struct io_uring *ring, unsigned int to_submit, unsigned int wait,
		    unsigned int ms);
/* Takes the next completion, if there is one. */
bool uring_sys_reap(struct io_uring *ring, struct io_uring_cqe *ret_cqe);
/* Asks the kernel to end what is under way on @fd; what it cannot end goes on. Any thread. */
void uring_sys_cancel(struct io_uring *ring, int fd);

#endif
