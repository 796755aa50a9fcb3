// SPDX-License-Identifier: GPL-2.0-or-later
/* Opening, locking and describing the file behind a disk. disk_io.c moves the bytes. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "disk_priv.h"
#include "iothread.h"
#include "loop.h"

#define PAGE 4096u

static int options_check(const struct disk_config *config, enum disk_on_error *ret, struct err *err)
{
	if (config->format && strcmp(config->format, "raw") != 0)
		return err_set(
			err, -EINVAL,
			"format=%s: only raw; other formats are served by qemu-storage-daemon "
			"to vhost-user-blk",
			config->format);
	*ret = DISK_WAIT_FOR_ROOM;
	if (!config->on_error)
		return 0;
	*ret = DISK_REPORT;
	if (!strcmp(config->on_error, "report"))
		return 0;
	*ret = DISK_STOP;
	if (!strcmp(config->on_error, "stop"))
		return 0;
	return err_set(err, -EINVAL, "on-error=%s: report or stop", config->on_error);
}

/* Why opening failed, and what to do. */
static int open_failed(const struct disk_config *config, bool block, int code, struct err *err)
{
	const char *remedy = "";

	switch (code) {
	case -ENOENT:
		remedy = "; truncate -s 10G makes an empty one";
		break;
	case -EACCES:
	case -EPERM:
		remedy = config->readonly
				 ? "; this user must be able to read it"
				 : "; this user must be able to write it, or say readonly=on";
		break;
	case -EROFS:
		remedy = "; say readonly=on";
		break;
	case -EBUSY:
		remedy = block ? "; it is mounted, or part of a volume or array of this host" : "";
		break;
	case -EINVAL:
		remedy = config->direct ? "; its file system may have no direct I/O: leave out "
					  "direct=on"
					: "";
		break;
	default:
		break;
	}
	return err_set(err, code, "%s: %s%s", config->path, strerror(-code), remedy);
}

static int check_kind(const struct disk_config *config, struct stat *st, struct err *err)
{
	if (stat(config->path, st) < 0)
		return open_failed(config, false, -errno, err);
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return err_set(err, -EINVAL, "%s is neither a file nor a block device",
			       config->path);
	return 0;
}

int disk_check(const struct disk_config *config, struct err *err)
{
	enum disk_on_error on_error;
	struct stat st;
	int ret = options_check(config, &on_error, err);

	if (!ret)
		ret = check_kind(config, &st, err);
	if (ret)
		return ret;
	if (faccessat(AT_FDCWD, config->path, config->readonly ? R_OK : R_OK | W_OK, AT_EACCESS) <
	    0)
		return open_failed(config, S_ISBLK(st.st_mode), -errno, err);
	return 0;
}

static int files_open(struct disk *d, bool block, struct err *err)
{
	int flags = O_CLOEXEC | (d->config->readonly ? O_RDONLY : O_RDWR);
	/* Exclusive, of a block device: not while it is mounted. */
	int excl = block && !d->config->readonly ? O_EXCL : 0;

	d->fd = open(d->config->path, flags | excl | (d->config->direct ? O_DIRECT : 0));
	if (d->fd < 0)
		return open_failed(d->config, block, -errno, err);
	if (!d->config->direct)
		return 0;
	d->cached_fd = open(d->config->path, flags);
	return d->cached_fd < 0 ? open_failed(d->config, block, -errno, err) : 0;
}

/* One lock on the whole file, by the open file: a second disk of the same guest is another. It
 * keeps QEMU off, too, whose locks are on single bytes. */
static int lock_file(struct disk *d, struct err *err)
{
	struct flock lock = { .l_type = d->config->readonly ? F_RDLCK : F_WRLCK,
			      .l_whence = SEEK_SET };

	int ret = 0;

	if (!d->config->no_lock)
		do
			ret = fcntl(d->fd, F_OFD_SETLK, &lock);
		while (ret < 0 && errno == EINTR);
	if (!ret)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return err_set(err, -EBUSY,
			       "%s is in use by another guest or process%s; end that one, or say "
			       "lock=off if both know of each other",
			       d->config->path, d->config->readonly ? ", which writes it" : "");
	log_line(d->user->log, LOG_WARN,
		 "%s: %s cannot be locked (%s): nothing keeps a second guest off", d->user->id,
		 d->config->path, strerror(errno));
	return 0;
}

static int size_of(struct disk *d, bool block, const struct stat *st, uint64_t *ret_rest,
		   struct err *err)
{
	uint64_t size = (uint64_t)st->st_size;

	if (block && ioctl(d->fd, BLKGETSIZE64, &size) < 0)
		return err_sys(err, -errno, "%s: its size", d->config->path);
	d->size = align_down(size, d->logical);
	if (!d->size)
		return err_set(err, -EINVAL,
			       "%s has %llu bytes, less than one block; truncate -s 10G makes room",
			       d->config->path, (unsigned long long)size);
	*ret_rest = size - d->size;
	return 0;
}

/* Block sizes as the guest is told, and what direct I/O wants. */
static void blocks_of(struct disk *d, bool block)
{
	struct statx stx = { 0 };
	unsigned int physical = 0;
	int logical = 0;

	d->logical = DISK_SECTOR;
	d->physical = PAGE; /* a page of the cache: less has to be read before it is written */
	if (block && !ioctl(d->fd, BLKSSZGET, &logical) && is_pow2((unsigned int)logical) &&
	    logical >= (int)DISK_SECTOR)
		d->logical = (uint32_t)logical;
	if (block && !ioctl(d->fd, BLKPBSZGET, &physical) && is_pow2(physical))
		d->physical = physical;
	d->offset_align = d->mem_align = PAGE;
	if (d->cached_fd >= 0) {
		/* Since Linux 6.1; before, a page is always good. */
		if (!statx(d->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) &&
		    stx.stx_mask & STATX_DIOALIGN && stx.stx_dio_offset_align) {
			d->offset_align = stx.stx_dio_offset_align;
			d->mem_align = stx.stx_dio_mem_align;
		}
	}
	if (d->physical < d->logical)
		d->physical = d->logical;
}

static int disk_setup(struct disk *d, struct err *err)
{
	uint64_t rest = 0;
	struct stat st;
	bool block;
	int ret = options_check(d->config, &d->on_error, err);

	if (!ret)
		ret = check_kind(d->config, &st, err);
	if (ret)
		return ret;
	block = S_ISBLK(st.st_mode);
	ret = files_open(d, block, err);
	if (ret)
		return ret;
	ret = lock_file(d, err);
	if (ret)
		return ret;
	if (fstat(d->fd, &st) < 0)
		return err_sys(err, -errno, "%s", d->config->path);
	blocks_of(d, block);
	ret = size_of(d, block, &st, &rest, err);
	if (!ret)
		ret = disk_format_check(d, err);
	if (!ret && rest)
		log_line(d->user->log, LOG_WARN,
			 "%s: %s ends within a block: the guest does not see its last %llu bytes",
			 d->user->id, d->config->path, (unsigned long long)rest);
	d->loop = d->user->loop;
	if (!ret && d->config->iothread)
		ret = iothread_new(&d->thread, d->user->lock, d->user->log, err);
	if (d->thread)
		d->loop = iothread_loop(d->thread);
	if (!ret)
		ret = disk_io_init(d, err);
	return ret || !d->thread ? ret : iothread_start(d->thread, d->user->id, err);
}

static void disk_free(struct disk *d)
{
	disk_io_done(d);
	fd_close(&d->cached_fd);
	fd_close(&d->fd);
	free(d);
}

int disk_open(const struct disk_config *config, const struct disk_user *user,
	      struct disk **ret_disk, struct err *err)
{
	struct disk *d = calloc(1, sizeof(*d));
	int ret;

	if (!d)
		return err_sys(err, -ENOMEM, "%s", config->path);
	d->config = config;
	d->user = user;
	d->fd = d->cached_fd = -1;
	ret = disk_setup(d, err);
	if (ret) {
		disk_free(d);
		return ret;
	}
	*ret_disk = d;
	return 0;
}

void disk_close(struct disk *d)
{
	if (d)
		disk_free(d);
}

struct loop *disk_loop(const struct disk *d)
{
	return d->loop;
}

uint64_t disk_size(const struct disk *d)
{
	return d->size;
}

bool disk_readonly(const struct disk *d)
{
	return d->config->readonly;
}

uint32_t disk_block_logical(const struct disk *d)
{
	return d->logical;
}

uint32_t disk_block_physical(const struct disk *d)
{
	return d->physical;
}
