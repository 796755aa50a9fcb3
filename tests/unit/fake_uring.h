/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's io_uring, but in trouble: calls fail, operations end short or with an error though
 * they were done, or their ends are held back as those on a file system that does not answer. What
 * is not told to go wrong goes its way. Any thread.
 */
#ifndef VIADUCT_TESTS_FAKE_URING_H
#define VIADUCT_TESTS_FAKE_URING_H

#include <pthread.h>
#include <stdbool.h>

#define FAKE_URING_SHORT 1 /* in place of an error: it did about half of it */

/* Nothing goes wrong, and the counts begin anew. */
void fake_uring_reset(void);
/* The @k-th call from now (from 1), and each @every-th after it (0: no other), fails with @error.
 */
void fake_uring_fail_enter(unsigned long k, unsigned long every, int error);
/* As above for the ends of disks' operations. */
void fake_uring_fail_end(unsigned long k, unsigned long every, int error);
unsigned long fake_uring_enters(void);
unsigned long fake_uring_ends(void);
/* From now on ends are held back. How many are. */
void fake_uring_hold(void);
unsigned int fake_uring_held(void);
/* They come. @lock is the device's. */
void fake_uring_release(pthread_mutex_t *lock);

#endif
