// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the first bytes of an image say. A guest that is given a qcow2 file as if it were raw would
 * see garbage, and write into it; and a raw image that was copied in part boots, and fails later.
 * Sources: qcow2's and VHDX's specifications, UEFI 2.10 clause 5.3.2 (GPT header), ECMA-119 clause
 * 8.4.8 (volume space size).
 */
#include <string.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "disk_priv.h"

struct magic {
	const char *format;
	unsigned int offset, len;
	const char *bytes;
};

static const struct magic magics[] = {
	{ "qcow2", 0, 4, "QFI\xfb" }, { "QED", 0, 4, "QED" },
	{ "VMDK", 0, 4, "KDMV" },     { "VHDX", 0, 8, "vhdxfile" },
	{ "VHD", 0, 8, "conectix" },  { "VDI", 64, 4, "\x7f\x10\xda\xbe" },
};

#define GPT_AT DISK_SECTOR
#define GPT_ALTERNATE 32
#define ISO_AT 0x8000
#define ISO_BLOCK 2048u
#define ISO_BLOCKS 80

static int refuse_format(const struct disk *disk, const uint8_t *head, struct err *err)
{
	unsigned int i;

	if (disk->config->format)
		return 0;
	for (i = 0; i < ARRAY_SIZE(magics); i++)
		if (!memcmp(head + magics[i].offset, magics[i].bytes, magics[i].len))
			return err_set(
				err, -EINVAL,
				"%s is a %s image, not a raw one; serve it with "
				"qemu-storage-daemon and use vhost-user-blk, or say format=raw "
				"if the guest is to see it as it is",
				disk->config->path, magics[i].format);
	return 0;
}

static void say_short(const struct disk *disk, const char *what, uint64_t bytes)
{
	log_line(disk->user->log, LOG_WARN,
		 "%s: %s has %llu bytes, but its %s says %llu: was it cut short?", disk->user->id,
		 disk->config->path, (unsigned long long)disk->size, what,
		 (unsigned long long)bytes);
}

int disk_format_check(const struct disk *disk, struct err *err)
{
	int fd = disk->cached_fd >= 0 ? disk->cached_fd : disk->fd;
	uint8_t head[2 * DISK_SECTOR], iso[ISO_BLOCKS + 4];
	uint64_t last;
	int ret;

	if (io_pread_full(fd, head, sizeof(head), 0))
		return 0; /* too short to be anything; an error shows when the guest reads */
	ret = refuse_format(disk, head, err);
	if (ret)
		return ret;
	if (!memcmp(head + GPT_AT, "EFI PART", 8)) {
		last = get_le64(head + GPT_AT + GPT_ALTERNATE);
		if (disk->logical == DISK_SECTOR && last >= disk->size / DISK_SECTOR &&
		    last < UINT64_MAX / DISK_SECTOR)
			say_short(disk, "partition table", (last + 1) * DISK_SECTOR);
	}
	if (!io_pread_full(fd, iso, sizeof(iso), ISO_AT) && !memcmp(iso, "\1CD001\1", 7)) {
		last = (uint64_t)get_le32(iso + ISO_BLOCKS) * ISO_BLOCK;
		if (last > disk->size)
			say_short(disk, "volume descriptor", last);
	}
	return 0;
}
