/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A loop on a thread of its own, for the data path of one device (`iothread=on`): a guest that
 * keeps one disk busy does not hold up the others, nor the loop that serves the guest's own needs.
 *
 * Device code stays as it is: what the loop calls has the device's lock, whichever thread it runs
 * on. Each device has a thread of its own, not one by name for several: the thread can then wait in
 * the device's own ring, and what is shared between guests' disks is the host's scheduler anyway.
 */
#ifndef VIADUCT_VMM_IOTHREAD_H
#define VIADUCT_VMM_IOTHREAD_H

#include <pthread.h>

struct err;
struct iothread;
struct log;
struct loop;

/* Makes the loop: one that waits in an io_uring (loop_new_ring()) where the kernel can, else in
 * epoll.
 * @lock is the device's. 0 or -errno. */
int iothread_new(struct iothread **ret_thread, pthread_mutex_t *lock, const struct log *log,
		 struct err *err);
/* For watches and timers with the device's lock, which are deleted before the thread is freed. */
struct loop *iothread_loop(const struct iothread *thread);
/* Starts the thread, which is named after @id. The loop's hooks are there. 0 or -errno. */
int iothread_start(struct iothread *thread, const char *id, struct err *err);
/* Ends the thread, waits for it, and frees the loop. NULL is fine. No lock of a device held. */
void iothread_free(struct iothread *thread);

#endif
