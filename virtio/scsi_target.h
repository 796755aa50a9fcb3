/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One SCSI logical unit over vmm/disk.h: a direct access device (SPC-4, SBC-3) or a CD/DVD drive
 * (MMC-6) with a read-only image in it. Knows nothing of the transport: that fills in a command and
 * gets it back from done().
 *
 * Everything here runs with the device's lock held.
 */
#ifndef VIADUCT_VIRTIO_SCSI_TARGET_H
#define VIADUCT_VIRTIO_SCSI_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/disk.h"

#define SCSI_SENSE_SIZE 18u /* fixed format (SPC-4 4.5.3) */
#define SCSI_CDB_MAX 32u
#define SCSI_SERIAL_MAX 20u
#define SCSI_CD_BLOCK 2048u

/* Status codes (SAM-5 5.3.1). */
enum { SCSI_GOOD = 0x00, SCSI_CHECK_CONDITION = 0x02 };

/* Sense key, additional sense code and its qualifier (SPC-4 4.5): key << 16 | asc << 8 | ascq. */
enum scsi_sense {
	SCSI_NO_MEDIUM = 0x023a00,
	SCSI_WRITE_ERROR = 0x030c00,
	SCSI_READ_ERROR = 0x031100,
	SCSI_PARAMETER_LENGTH = 0x051a00,
	SCSI_INVALID_OPCODE = 0x052000,
	SCSI_LBA_RANGE = 0x052100,
	SCSI_INVALID_FIELD = 0x052400,
	SCSI_NO_UNIT = 0x052500,
	SCSI_INVALID_PARAMETER = 0x052600,
	SCSI_REMOVAL_PREVENTED = 0x055302,
	SCSI_MEDIUM_CHANGED = 0x062800,
	SCSI_RESET = 0x062900,
	SCSI_WRITE_PROTECTED = 0x072700,
};

struct scsi_unit {
	struct disk *disk;
	const char *serial; /* at most SCSI_SERIAL_MAX characters count */
	bool cd;
	/* scsi_target.c's */
	uint32_t block; /* bytes */
	uint64_t blocks;
	bool prevent, ejected;	   /* CD */
	enum scsi_sense attention; /* to be reported first; 0: none */
};

/* The caller fills in everything up to done and keeps it until done() is called. */
struct scsi_cmd {
	struct scsi_unit *unit;
	bool no_unit; /* for a logical unit that is not there: answered as SPC-4 says */
	uint8_t cdb[SCSI_CDB_MAX];
	/* The buffers; trimmed and changed on the way. They may point into guest memory. */
	struct iovec *out, *in;
	unsigned int out_count, in_count;
	uint64_t out_len, in_len;
	/* The command is over: the answer stands below. May be called before scsi_start()
	 * returns. */
	void (*done)(struct scsi_cmd *cmd);

	/* The answer. */
	uint8_t status;
	uint8_t sense[SCSI_SENSE_SIZE]; /* with CHECK CONDITION */
	uint64_t moved;			/* bytes of data, in or out */
	bool overrun;			/* the data is longer than the buffer; nothing was moved */
	/* scsi_target.c's */
	struct disk_req disk;
};

/* disk, serial and cd are set. */
void scsi_unit_init(struct scsi_unit *unit);
/* A reset of the unit: medium in, door free, and the next command is told. Nothing is under way. */
void scsi_unit_reset(struct scsi_unit *unit);

/* Begins a command; the disk sees what it needs at the next disk_submit(). */
void scsi_start(struct scsi_cmd *cmd);

/* For the files of the target. */

/* Ends @cmd with up to @len bytes from @reply, as far as @alloc and the buffer go. */
void scsi_reply(struct scsi_cmd *cmd, const void *reply, size_t len, size_t alloc);
void scsi_good(struct scsi_cmd *cmd);
void scsi_fail(struct scsi_cmd *cmd, enum scsi_sense sense);

/* The commands of MMC. */
void scsi_cd_toc(struct scsi_cmd *cmd);
void scsi_cd_configuration(struct scsi_cmd *cmd);
void scsi_cd_event(struct scsi_cmd *cmd);
void scsi_cd_start_stop(struct scsi_cmd *cmd);
void scsi_cd_prevent(struct scsi_cmd *cmd);
/* Page 2Ah. Returns its length. */
size_t scsi_cd_capabilities(uint8_t *page);

static inline uint16_t get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)get_be16(p) << 16 | get_be16(p + 2);
}

static inline uint64_t get_be64(const uint8_t *p)
{
	return (uint64_t)get_be32(p) << 32 | get_be32(p + 4);
}

static inline void put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, (uint16_t)(v >> 16));
	put_be16(p + 2, (uint16_t)v);
}

static inline void put_be64(uint8_t *p, uint64_t v)
{
	put_be32(p, (uint32_t)(v >> 32));
	put_be32(p + 4, (uint32_t)v);
}

#endif
