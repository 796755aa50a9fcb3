/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of a disk share: disk.c opens and describes, disk_io.c moves the bytes,
 * disk_format.c looks at the first of them. */
#ifndef VIADUCT_VMM_DISK_PRIV_H
#define VIADUCT_VMM_DISK_PRIV_H

#include <liburing.h>

#include "base/log.h"
#include "disk.h"
#include "loop.h"

struct iothread;

/* Requests in order of arrival. */
struct disk_list {
	struct disk_req *head, **tail;
};

enum disk_on_error { DISK_WAIT_FOR_ROOM, DISK_REPORT, DISK_STOP };

struct disk {
	const struct disk_config *config;
	const struct disk_user *user;

	/* disk.c's */
	struct loop *loop;
	struct iothread *thread; /* NULL: the loop is the user's */
	int fd;
	int cached_fd; /* the same without O_DIRECT, for what is not aligned; -1 when fd is that */
	uint64_t size;
	uint32_t logical, physical;
	uint32_t offset_align, mem_align; /* of direct I/O */
	enum disk_on_error on_error;

	/* disk_io.c's */
	struct io_uring *ring; /* the loop's, or: */
	struct io_uring own;
	bool own_up;
	struct loop_watch *watch; /* of one's own ring */
	struct loop_hook hook;	  /* of the loop's ring */
	struct loop_timer *retry;
	struct disk_list queued; /* not yet seen by the kernel */
	struct disk_list parked; /* failed; tried again when the timer says so */
	unsigned int in_kernel;
	bool busy; /* within disk_submit(): what done() queues goes with the next round */
	bool draining;
	bool late;	  /* a drain did not see the end of what is in the kernel */
	bool reaped;	  /* done() was called, burst_end() not yet */
	bool waited;	  /* a request is or was parked, and none has succeeded since */
	uint8_t zero_way; /* the first one that this file has not refused */
	void *zeroes;	  /* DISK_ZEROES bytes to write from; NULL until needed */
	struct log_limit limit;
};

/* Makes the ring and what wakes the loop. */
int disk_io_init(struct disk *disk, struct err *err);
/* Nothing is under way. */
void disk_io_done(struct disk *disk);

/* Looks at the first bytes of the file: -EINVAL when it is an image of another format than raw,
 * with the remedy. A raw image that is shorter than what it holds says is a line in the log. */
int disk_format_check(const struct disk *disk, struct err *err);

#endif
