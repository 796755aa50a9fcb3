// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The commands that every unit has, and those of a disk. A table by operation code says which
 * function carries out a command, for which kind of unit, and what it needs; what is not in it is
 * refused as the standard says.
 */
#include "scsi_target.h"

#include <linux/cdrom.h>
#include <scsi/scsi.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "vmm/iov.h"

/* Operation codes and service actions that <scsi/scsi.h> has not. */
#define OP_UNMAP 0x42
#define OP_READ_16 0x88
#define OP_WRITE_16 0x8a
#define OP_SYNCHRONIZE_CACHE_16 0x91
#define OP_WRITE_SAME_16 0x93
#define OP_SERVICE_ACTION_IN_16 0x9e
#define OP_REPORT_LUNS 0xa0
#define ACTION_READ_CAPACITY_16 0x10

/* Of one UNMAP or WRITE SAME: 1 GiB, so that a flush behind it need not wait long. */
#define RANGE_MAX (1u << 30)
#define UNMAP_HEADER 8u
#define UNMAP_SIZE 24u /* with its one descriptor */
#define SAME_CHUNK 512u

enum {
	OP_DISK = 1,
	OP_CD = 2,
	OP_ANY = OP_DISK | OP_CD,
	OP_MEDIUM = 4, /* needs one */
	OP_QUIET =
		8, /* an attention neither stops nor clears it; for a unit that is not there too */
	OP_WRITES = 16,
};

struct scsi_op {
	void (*start)(struct scsi_cmd *cmd);
	uint8_t flags;
};

/* Ends of a command. */

void scsi_good(struct scsi_cmd *cmd)
{
	cmd->status = SCSI_GOOD;
	cmd->done(cmd);
}

static void sense_put(uint8_t *s, enum scsi_sense sense)
{
	memset(s, 0, SCSI_SENSE_SIZE);
	s[0] = 0x70; /* current, fixed format */
	s[2] = (uint8_t)(sense >> 16);
	s[7] = SCSI_SENSE_SIZE - 8;
	s[12] = (uint8_t)(sense >> 8);
	s[13] = (uint8_t)sense;
}

void scsi_fail(struct scsi_cmd *cmd, enum scsi_sense sense)
{
	cmd->status = SCSI_CHECK_CONDITION;
	cmd->moved = 0;
	sense_put(cmd->sense, sense);
	cmd->done(cmd);
}

void scsi_reply(struct scsi_cmd *cmd, const void *reply, size_t len, size_t alloc)
{
	struct iovec iov = { (void *)(uintptr_t)reply, MIN(len, alloc) };
	struct iov_cursor from, to;

	iov_cursor_init(&from, &iov, 1);
	iov_cursor_init(&to, cmd->in, cmd->in_count);
	cmd->moved = iov_cursor_copy(&to, &from, iov.iov_len);
	scsi_good(cmd);
}

/* What every unit can say of itself. */

static void test_unit_ready(struct scsi_cmd *cmd)
{
	scsi_good(cmd);
}

/* ASCII, padded with spaces (SPC-4 4.3.1). */
static void text_put(uint8_t *to, const char *text, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		to[i] = *text ? (uint8_t)*text++ : ' ';
}

static size_t serial_put(const struct scsi_unit *u, uint8_t *to)
{
	size_t len = strnlen(u->serial, SCSI_SERIAL_MAX);

	memcpy(to, u->serial, len);
	return len;
}

static size_t vpd_identification(const struct scsi_unit *u, uint8_t *p)
{
	size_t len;

	p[4] = 2;    /* ASCII */
	p[5] = 0x01; /* of the logical unit: T10 vendor identification */
	text_put(p + 8, "VIADUCT", 8);
	len = 8 + serial_put(u, p + 16);
	p[7] = (uint8_t)len;
	return 8 + len;
}

static size_t vpd_limits(const struct scsi_unit *u, uint8_t *p)
{
	uint32_t physical = disk_block_physical(u->disk) / u->block;

	p[4] = 1; /* WSNZ: a WRITE SAME has a length */
	put_be16(p + 6, (uint16_t)MAX(physical, 1u));
	if (!u->cd && !disk_readonly(u->disk)) {
		put_be32(p + 20, RANGE_MAX / u->block); /* UNMAP: blocks */
		put_be32(p + 24, 1);			/* and descriptors */
		put_be32(p + 28, MAX(physical, 1u));
		put_be64(p + 36, RANGE_MAX / u->block); /* WRITE SAME */
	}
	return 64;
}

/* Returns the page's length, 0 when there is no such page. */
static size_t vpd_page(const struct scsi_unit *u, uint8_t code, uint8_t *p)
{
	static const uint8_t disk_pages[] = { 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2 };
	size_t count = u->cd ? 3 : sizeof(disk_pages);

	switch (code) {
	case 0x00:
		memcpy(p + 4, disk_pages, count);
		return 4 + count;
	case 0x80:
		return 4 + serial_put(u, p + 4);
	case 0x83:
		return vpd_identification(u, p);
	default:
		break;
	}
	if (u->cd)
		return 0;
	switch (code) {
	case 0xb0:
		return vpd_limits(u, p);
	case 0xb1:
		put_be16(p + 4, 1); /* it does not rotate */
		return 64;
	case 0xb2:
		if (!disk_readonly(u->disk)) {
			p[5] = 0xe0; /* UNMAP, WRITE SAME (16) and (10) can unmap */
			p[6] = 2;    /* thin */
		}
		return 8;
	default:
		return 0;
	}
}

static void inquiry(struct scsi_cmd *cmd)
{
	const struct scsi_unit *u = cmd->unit;
	uint16_t alloc = get_be16(cmd->cdb + 3);
	uint8_t p[64] = { 0 };
	size_t len = 36;

	p[0] = cmd->no_unit ? 0x7f : u->cd ? 0x05 : 0x00;
	if (cmd->cdb[1] & 1) {
		p[1] = cmd->cdb[2];
		len = cmd->no_unit ? 0 : vpd_page(u, cmd->cdb[2], p);
		if (!len) {
			scsi_fail(cmd, SCSI_INVALID_FIELD);
			return;
		}
		put_be16(p + 2, (uint16_t)(len - 4));
	} else if (cmd->cdb[2]) {
		scsi_fail(cmd, SCSI_INVALID_FIELD);
		return;
	} else {
		p[1] = u->cd && !cmd->no_unit ? 0x80 : 0; /* removable */
		p[2] = 0x06;				  /* SPC-4 */
		p[3] = 0x02;				  /* the format of this */
		p[4] = 36 - 5;
		p[7] = 0x02; /* commands are queued */
		text_put(p + 8, "VIADUCT", 8);
		text_put(p + 16, u->cd ? "CD-ROM" : "DISK", 16);
		text_put(p + 32, "1", 4);
	}
	scsi_reply(cmd, p, len, alloc);
}

static void report_luns(struct scsi_cmd *cmd)
{
	uint8_t p[16] = { 0 }; /* one unit, LUN 0 */
	uint8_t select = cmd->cdb[2];

	if (select > 2) {
		scsi_fail(cmd, SCSI_INVALID_FIELD);
		return;
	}
	/* 1: well known units only, of which there is none. */
	put_be32(p, select == 1 ? 0 : 8);
	scsi_reply(cmd, p, select == 1 ? 8 : 16, get_be32(cmd->cdb + 6));
}

/* Sense goes with the command that failed, so there is never any left but an attention. */
static void request_sense(struct scsi_cmd *cmd)
{
	uint8_t p[SCSI_SENSE_SIZE];

	if (cmd->cdb[1] & 1) {
		scsi_fail(cmd, SCSI_INVALID_FIELD);
		return;
	}
	sense_put(p, cmd->no_unit ? SCSI_NO_UNIT : cmd->unit->attention);
	if (!cmd->no_unit)
		cmd->unit->attention = 0;
	scsi_reply(cmd, p, sizeof(p), cmd->cdb[4]);
}

/* Mode pages: caching, error recovery, control; capabilities of a CD. Nothing of them can be
 * changed. */
static size_t mode_page(const struct scsi_unit *u, uint8_t code, bool changeable, uint8_t *p)
{
	size_t len;

	switch (code) {
	case 0x01:
		len = 12;
		p[2] = 0;
		break;
	case 0x08:
		if (u->cd)
			return 0;
		len = 20;
		p[2] = disk_readonly(u->disk) ? 0 : 0x04; /* WCE */
		break;
	case 0x0a:
		len = 12;
		p[3] = 0x10; /* commands may be reordered */
		break;
	case 0x2a:
		if (!u->cd)
			return 0;
		len = scsi_cd_capabilities(p);
		break;
	default:
		return 0;
	}
	if (changeable)
		memset(p, 0, len);
	p[0] = code;
	p[1] = (uint8_t)(len - 2);
	return len;
}

static size_t mode_pages(const struct scsi_unit *u, uint8_t code, bool changeable, uint8_t *p)
{
	static const uint8_t all[] = { 0x01, 0x08, 0x0a, 0x2a };
	size_t len = 0, i;

	if (code != 0x3f)
		return mode_page(u, code, changeable, p);
	for (i = 0; i < sizeof(all); i++)
		len += mode_page(u, all[i], changeable, p + len);
	return len;
}

static void mode_sense(struct scsi_cmd *cmd)
{
	const struct scsi_unit *u = cmd->unit;
	const uint8_t *cdb = cmd->cdb;
	bool ten = cdb[0] == MODE_SENSE_10;
	size_t header = ten ? 8 : 4, len;
	uint8_t p[256] = { 0 };
	uint8_t control = cdb[2] >> 6;

	len = mode_pages(u, cdb[2] & 0x3f, control == 1, p + header);
	/* Subpages, saved values and pages that are not there. */
	if ((cdb[3] && cdb[3] != 0xff) || control == 3 || !len) {
		scsi_fail(cmd, SCSI_INVALID_FIELD);
		return;
	}
	len += header;
	/* Write protected, or not; FUA is known. */
	p[ten ? 3 : 2] = u->cd ? 0 : disk_readonly(u->disk) ? 0x90 : 0x10;
	if (ten)
		put_be16(p, (uint16_t)(len - 2));
	else
		p[0] = (uint8_t)(len - 1);
	scsi_reply(cmd, p, len, ten ? get_be16(cdb + 7) : cdb[4]);
}

static void read_capacity_10(struct scsi_cmd *cmd)
{
	const struct scsi_unit *u = cmd->unit;
	uint64_t last = u->blocks - 1;
	uint8_t p[8];

	put_be32(p, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
	put_be32(p + 4, u->block);
	scsi_reply(cmd, p, sizeof(p), sizeof(p));
}

static void service_action_in(struct scsi_cmd *cmd)
{
	const struct scsi_unit *u = cmd->unit;
	uint32_t physical = disk_block_physical(u->disk) / u->block;
	uint8_t p[32] = { 0 };

	if ((cmd->cdb[1] & 0x1f) != ACTION_READ_CAPACITY_16) {
		scsi_fail(cmd, SCSI_INVALID_FIELD);
		return;
	}
	put_be64(p, u->blocks - 1);
	put_be32(p + 8, u->block);
	p[13] = physical ? (uint8_t)__builtin_ctz(physical) : 0;
	/* LBPME; not LBPRZ: what was unmapped reads as anything. */
	p[14] = disk_readonly(u->disk) ? 0 : 0x80;
	scsi_reply(cmd, p, sizeof(p), get_be32(cmd->cdb + 10));
}

/* The medium. */

static void disk_done(struct disk_req *req, int result)
{
	struct scsi_cmd *cmd = req->opaque;

	if (result) {
		scsi_fail(cmd, req->op == DISK_READ ? SCSI_READ_ERROR : SCSI_WRITE_ERROR);
		return;
	}
	if (req->op == DISK_READ || req->op == DISK_WRITE)
		cmd->moved = req->len;
	scsi_good(cmd);
}

static void to_disk(struct scsi_cmd *cmd, enum disk_op op, uint64_t offset, uint64_t len)
{
	cmd->disk.op = op;
	cmd->disk.offset = offset;
	cmd->disk.len = len;
	cmd->disk.done = disk_done;
	cmd->disk.opaque = cmd;
	disk_queue(cmd->unit->disk, &cmd->disk);
}

/* Block address and number of blocks, by the length of the CDB (SPC-4 4.2.2). */
static void blocks_of(const uint8_t *cdb, uint64_t *ret_lba, uint64_t *ret_count)
{
	switch (cdb[0] >> 5) {
	case 0:
		*ret_lba = get_be32(cdb) & 0x1fffff;
		*ret_count = cdb[4] ? cdb[4] : 256;
		break;
	case 4:
		*ret_lba = get_be64(cdb + 2);
		*ret_count = get_be32(cdb + 10);
		break;
	case 5:
		*ret_lba = get_be32(cdb + 2);
		*ret_count = get_be32(cdb + 6);
		break;
	default:
		*ret_lba = get_be32(cdb + 2);
		*ret_count = get_be16(cdb + 7);
		break;
	}
}

/* Leaves the first @len bytes of @iov; there are as many. Returns how many entries that is. */
static unsigned int iov_trim(struct iovec *iov, unsigned int count, uint64_t len)
{
	unsigned int i;

	for (i = 0; i < count && len; i++) {
		iov[i].iov_len = MIN(iov[i].iov_len, len);
		len -= iov[i].iov_len;
	}
	return i;
}

static void read_write(struct scsi_cmd *cmd, bool write)
{
	struct scsi_unit *u = cmd->unit;
	struct iovec *iov = write ? cmd->out : cmd->in;
	unsigned int iovs = write ? cmd->out_count : cmd->in_count;
	uint64_t lba, count, len;

	blocks_of(cmd->cdb, &lba, &count);
	if (!span_within(lba, count, u->blocks)) {
		scsi_fail(cmd, SCSI_LBA_RANGE);
		return;
	}
	len = count * u->block;
	if (len > (write ? cmd->out_len : cmd->in_len)) {
		cmd->overrun = true;
		scsi_good(cmd);
		return;
	}
	if (!len) {
		scsi_good(cmd);
		return;
	}
	cmd->disk.iov = iov;
	cmd->disk.iov_count = iov_trim(iov, iovs, len);
	cmd->disk.fua = write && cmd->cdb[0] >> 5 && cmd->cdb[1] & 0x08;
	to_disk(cmd, write ? DISK_WRITE : DISK_READ, lba * u->block, len);
}

static void read_blocks(struct scsi_cmd *cmd)
{
	read_write(cmd, false);
}

static void write_blocks(struct scsi_cmd *cmd)
{
	read_write(cmd, true);
}

static void synchronize_cache(struct scsi_cmd *cmd)
{
	to_disk(cmd, DISK_FLUSH, 0, 0);
}

static void unmap(struct scsi_cmd *cmd)
{
	struct scsi_unit *u = cmd->unit;
	uint8_t p[UNMAP_SIZE] = { 0 };
	uint16_t len = get_be16(cmd->cdb + 7);
	uint64_t lba, count;

	if (!len) {
		scsi_good(cmd);
		return;
	}
	if (len < UNMAP_HEADER ||
	    iov_gather(cmd->out, cmd->out_count, p, MIN(len, sizeof(p))) < MIN(len, sizeof(p))) {
		scsi_fail(cmd, SCSI_PARAMETER_LENGTH);
		return;
	}
	cmd->moved = MIN(len, sizeof(p));
	if (len < UNMAP_SIZE || get_be16(p + 2) < 16) {
		scsi_good(cmd); /* no descriptor */
		return;
	}
	lba = get_be64(p + UNMAP_HEADER);
	count = get_be32(p + UNMAP_HEADER + 8);
	if (get_be16(p + 2) != 16 || count > RANGE_MAX / u->block)
		scsi_fail(cmd, SCSI_INVALID_PARAMETER);
	else if (!span_within(lba, count, u->blocks))
		scsi_fail(cmd, SCSI_LBA_RANGE);
	else if (!count)
		scsi_good(cmd);
	else
		to_disk(cmd, DISK_DISCARD, lba * u->block, count * u->block);
}

/* The block that is to be written over and over: all zero? */
static bool same_is_zero(const struct scsi_cmd *cmd)
{
	static const uint8_t zero[SAME_CHUNK];
	struct iov_cursor c;
	uint64_t left = cmd->unit->block;
	uint8_t chunk[SAME_CHUNK];
	void *p;
	size_t n;

	iov_cursor_init(&c, cmd->out, cmd->out_count);
	while (left) {
		n = iov_cursor_next(&c, MIN(left, sizeof(chunk)), &p);
		if (!n)
			return false;
		memcpy(chunk, p, n);
		if (memcmp(chunk, zero, n) != 0)
			return false;
		left -= n;
	}
	return true;
}

/* Zeroes only: another pattern is refused, and the guest writes it itself. */
static void write_same(struct scsi_cmd *cmd)
{
	struct scsi_unit *u = cmd->unit;
	uint8_t flags = cmd->cdb[1];
	bool no_data = cmd->cdb[0] == OP_WRITE_SAME_16 && flags & 0x01;
	uint64_t lba, count;

	blocks_of(cmd->cdb, &lba, &count);
	if (!span_within(lba, count, u->blocks)) {
		scsi_fail(cmd, SCSI_LBA_RANGE);
		return;
	}
	if (!count || count > RANGE_MAX / u->block || flags & 0xf6 ||
	    (!no_data && !same_is_zero(cmd))) {
		scsi_fail(cmd, SCSI_INVALID_FIELD);
		return;
	}
	if (!no_data)
		cmd->moved = u->block;
	cmd->disk.unmap = flags & 0x08;
	to_disk(cmd, DISK_ZERO, lba * u->block, count * u->block);
}

static void start_stop(struct scsi_cmd *cmd)
{
	if (cmd->unit->cd)
		scsi_cd_start_stop(cmd);
	else
		scsi_good(cmd);
}

/* The table. */

static const struct scsi_op ops[256] = {
	[TEST_UNIT_READY] = { test_unit_ready, OP_ANY | OP_MEDIUM },
	[REQUEST_SENSE] = { request_sense, OP_ANY | OP_QUIET },
	[INQUIRY] = { inquiry, OP_ANY | OP_QUIET },
	[OP_REPORT_LUNS] = { report_luns, OP_ANY | OP_QUIET },
	[MODE_SENSE] = { mode_sense, OP_ANY },
	[MODE_SENSE_10] = { mode_sense, OP_ANY },
	[READ_CAPACITY] = { read_capacity_10, OP_ANY | OP_MEDIUM },
	[OP_SERVICE_ACTION_IN_16] = { service_action_in, OP_DISK },
	[READ_6] = { read_blocks, OP_DISK },
	[READ_10] = { read_blocks, OP_ANY | OP_MEDIUM },
	[READ_12] = { read_blocks, OP_ANY | OP_MEDIUM },
	[OP_READ_16] = { read_blocks, OP_DISK },
	[WRITE_6] = { write_blocks, OP_DISK | OP_WRITES },
	[WRITE_10] = { write_blocks, OP_DISK | OP_WRITES },
	[WRITE_12] = { write_blocks, OP_DISK | OP_WRITES },
	[OP_WRITE_16] = { write_blocks, OP_DISK | OP_WRITES },
	[SYNCHRONIZE_CACHE] = { synchronize_cache, OP_DISK },
	[OP_SYNCHRONIZE_CACHE_16] = { synchronize_cache, OP_DISK },
	[OP_UNMAP] = { unmap, OP_DISK | OP_WRITES },
	[WRITE_SAME] = { write_same, OP_DISK | OP_WRITES },
	[OP_WRITE_SAME_16] = { write_same, OP_DISK | OP_WRITES },
	[START_STOP] = { start_stop, OP_ANY },
	[ALLOW_MEDIUM_REMOVAL] = { scsi_cd_prevent, OP_CD },
	[READ_TOC] = { scsi_cd_toc, OP_CD | OP_MEDIUM },
	[GPCMD_GET_CONFIGURATION] = { scsi_cd_configuration, OP_CD | OP_QUIET },
	[GPCMD_GET_EVENT_STATUS_NOTIFICATION] = { scsi_cd_event, OP_CD | OP_QUIET },
};

void scsi_start(struct scsi_cmd *cmd)
{
	struct scsi_unit *u = cmd->unit;
	const struct scsi_op *op = &ops[cmd->cdb[0]];
	enum scsi_sense attention = u->attention;

	cmd->moved = 0;
	cmd->overrun = false;
	cmd->disk = (struct disk_req){ 0 };
	if (cmd->no_unit && (op->flags & (OP_ANY | OP_QUIET)) != (OP_ANY | OP_QUIET)) {
		scsi_fail(cmd, SCSI_NO_UNIT);
	} else if (!op->start || !(op->flags & (u->cd ? OP_CD : OP_DISK))) {
		scsi_fail(cmd, SCSI_INVALID_OPCODE);
	} else if (attention && !(op->flags & OP_QUIET)) {
		u->attention = 0;
		scsi_fail(cmd, attention);
	} else if (op->flags & OP_MEDIUM && u->ejected) {
		scsi_fail(cmd, SCSI_NO_MEDIUM);
	} else if (op->flags & OP_WRITES && disk_readonly(u->disk)) {
		scsi_fail(cmd, SCSI_WRITE_PROTECTED);
	} else {
		op->start(cmd);
	}
}

void scsi_unit_init(struct scsi_unit *u)
{
	u->block = u->cd ? SCSI_CD_BLOCK : disk_block_logical(u->disk);
	u->blocks = disk_size(u->disk) / u->block;
	scsi_unit_reset(u);
}

void scsi_unit_reset(struct scsi_unit *u)
{
	u->prevent = u->ejected = false;
	u->attention = SCSI_RESET;
}
