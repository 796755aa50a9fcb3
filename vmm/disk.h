/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk of the host for a device of the guest: a raw image or a block device, by io_uring.
 *
 * The device fills in a request, which it owns and which lives until done() is called, hands over
 * as many as it has with disk_queue(), and lets the kernel have them all with one disk_submit().
 * What the kernel has done at once is completed from within that call; the rest as the loop learns
 * of it. Requests are independent: they complete in any order, and a flush covers what was
 * completed before it was queued.
 *
 * Everything here but open and close runs with the device's lock held, which the loop takes round
 * what it calls. done() is called with it, too, and may queue again, but in a drain.
 */
#ifndef VIADUCT_VMM_DISK_H
#define VIADUCT_VMM_DISK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/log.h"
#include "base/opt.h"

struct disk;
struct disk_req;
struct err;
struct loop;

#define DISK_SECTOR 512u
#define DISK_IOV_MAX 1024u /* the kernel's own limit */

/* What a device says of its disk; the options of every one that has one. */
struct disk_config {
	char *path;
	char *format;	/* "raw": whatever its first bytes look like; NULL: refuse other formats */
	char *on_error; /* "report" or "stop"; NULL: stop when the host has no room, else report */
	bool readonly;
	bool direct;  /* past the host's page cache */
	bool no_lock; /* others may have it too */
	bool iothread; /* served by a thread of its own */
};

/* NOLINTBEGIN(bugprone-macro-parentheses): a type and a member cannot stand in any */
#define DISK_OPTIONS(type, member)                                                                 \
	{ "path", OPT_STR, offsetof(type, member.path), 0, 0, true, "raw image or block device" }, \
		{ "format",                                                                        \
		  OPT_STR,                                                                         \
		  offsetof(type, member.format),                                                   \
		  0,                                                                               \
		  0,                                                                               \
		  false,                                                                           \
		  "raw: take it as it is, even if it looks like an image of another format" },     \
		{ "readonly", OPT_BOOL, offsetof(type, member.readonly),   0,                      \
		  0,	      false,	"on: the guest cannot write (off)" },                      \
		{ "direct", OPT_BOOL, offsetof(type, member.direct),	     0,                    \
		  0,	    false,    "on: past the host's page cache (off)" },                    \
		{ "lock",                                                                          \
		  OPT_NOT,                                                                         \
		  offsetof(type, member.no_lock),                                                  \
		  0,                                                                               \
		  0,                                                                               \
		  false,                                                                           \
		  "off: do not keep other guests from the same image (on)" },                      \
		{ "iothread",                                                                      \
		  OPT_BOOL,                                                                        \
		  offsetof(type, member.iothread),                                                 \
		  0,                                                                               \
		  0,                                                                               \
		  false,                                                                           \
		  "on: a thread of its own serves it (off)" },                                     \
	{                                                                                          \
		"on-error", OPT_STR, offsetof(type, member.on_error), 0, 0, false,                 \
			"report: the guest gets every error; stop: the disk waits and tries "      \
			"again; not said: it "                                                     \
			"waits while the host has no room, and reports the rest"                   \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

enum disk_op {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH,   /* neither offset nor length: all that was completed is on the medium */
	DISK_DISCARD, /* the bytes are of no interest any more; what they read as is not said */
	DISK_ZERO,    /* they read as zero */
};

struct disk_req {
	enum disk_op op;
	uint64_t offset, len; /* bytes: multiples of DISK_SECTOR, within the disk */
	/* Read and write: @len bytes in all, 1 to DISK_IOV_MAX entries; changed on the way. They
	 * may point into guest memory. */
	struct iovec *iov;
	unsigned int iov_count;
	bool fua;   /* write: on the medium when it is done */
	bool unmap; /* zero: the room may be given back */
	/* 0 or -errno: -EIO and what else the kernel answers. Other than that the request is the
	 * caller's again when this is called. */
	void (*done)(struct disk_req *req, int result);
	void *opaque; /* the caller's */
	/* disk.c's */
	uint64_t moved;
	uint8_t way;   /* of several to do it, the one now tried */
	uint8_t tries; /* since it last came further */
	struct disk_req *next;
};

/* The device that a disk is for. Outlives it. */
struct disk_user {
	const char *id; /* for messages */
	struct loop *loop; /* the guest's: for a disk without a thread of its own */
	pthread_mutex_t *lock;
	const struct log *log;
	/* After a burst of done(): time to interrupt the guest. */
	void (*burst_end)(void *opaque);
	/* What disk_drain() gave up waiting for has ended. */
	void (*drained)(void *opaque);
	void *opaque;
};

/* Is there such a file, and can it be opened? For probe: takes nothing. 0, or -errno with the
 * reason. */
int disk_check(const struct disk_config *config, struct err *err);

/* Opens and locks what @config, which outlives the disk, says. Completions come on the thread of
 * disk_loop(). 0, or -errno with the reason and the remedy: no such file, not ours, another's
 * (-EBUSY), another format (-EINVAL), no io_uring (-ENOSYS, -EPERM). Loop thread, lock not held. */
int disk_open(const struct disk_config *config, const struct disk_user *user,
	      struct disk **ret_disk, struct err *err);
/* Closes, and ends the disk's thread: what the device watched in disk_loop() is deleted by then,
 * and nothing is under way. NULL is fine. Loop thread; takes the lock itself. */
void disk_close(struct disk *disk);

/* Where the disk's completions come, and the device's doorbells should: the user's loop or, with
 * iothread=on, one on a thread of the disk's own. Good until disk_close(). */
struct loop *disk_loop(const struct disk *disk);

/* Bytes, a multiple of DISK_SECTOR; of a block device that grew or an image that was cut as it was
 * when it was opened. */
uint64_t disk_size(const struct disk *disk);
bool disk_readonly(const struct disk *disk);
/* What a request should be aligned to, so that the host need not read before it writes: logical is
 * what the guest should take as its block size, physical a multiple of it. Bytes. */
uint32_t disk_block_logical(const struct disk *disk);
uint32_t disk_block_physical(const struct disk *disk);

/* Takes a request. The kernel sees it at the next disk_submit(). */
void disk_queue(struct disk *disk, struct disk_req *req);
/* One system call for all that was queued; calls done() for what is complete. */
void disk_submit(struct disk *disk);
/*
 * Waits until nothing is under way: done() was called for all, with an error for those that waited
 * for room or a better time. Nothing touches the caller's memory after this. When half of @ms is
 * over the kernel is asked to end what it can. False when @ms was not enough, because a file system
 * or a device does not answer: those that are left still may touch memory, nothing keeps the kernel
 * from it; they end like the others, none begins anew, and user->drained() follows the last. Any
 * thread.
 */
bool disk_drain(struct disk *disk, unsigned int ms);

#endif
