// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands of a CD or DVD drive (MMC-6). The disc has one session with one data track. */
#include <linux/cdrom.h>
#include <string.h>

#include "base/util.h"
#include "scsi_target.h"

#define LEAD_OUT 0xaa
#define DATA_TRACK 0x14 /* ADR 1, data, copying not permitted */
#define FRAMES_PER_SECOND 75u
#define PREGAP 150u	      /* 2 s */
#define CD_BLOCKS_MAX 360000u /* 80 minutes; more than that is a DVD */

static void toc_address(uint8_t *p, uint64_t lba, bool msf)
{
	if (!msf) {
		put_be32(p, (uint32_t)MIN(lba, UINT32_MAX));
		return;
	}
	lba += PREGAP;
	/* A DVD is longer than its minutes can say. */
	p[1] = (uint8_t)MIN(lba / FRAMES_PER_SECOND / 60, 255u);
	p[2] = (uint8_t)(lba / FRAMES_PER_SECOND % 60);
	p[3] = (uint8_t)(lba % FRAMES_PER_SECOND);
}

void scsi_cd_toc(struct scsi_cmd *cmd)
{
	const uint8_t *cdb = cmd->cdb;
	bool msf = cdb[1] & 2;
	uint8_t format = cdb[2] & 0x0f, track = cdb[6];
	uint8_t p[20] = { 0, 0, 1, 1 };
	size_t len = 4;

	/* Old drivers say the format in the control byte. */
	if (!format)
		format = cdb[9] >> 6;
	if (format > 1 || (!format && track > 1 && track != LEAD_OUT)) {
		scsi_fail(cmd, SCSI_INVALID_FIELD);
		return;
	}
	if (format || track <= 1) {
		p[len + 1] = DATA_TRACK;
		p[len + 2] = 1;
		toc_address(p + len + 4, 0, msf);
		len += 8;
	}
	if (!format) {
		p[len + 1] = DATA_TRACK;
		p[len + 2] = LEAD_OUT;
		toc_address(p + len + 4, cmd->unit->blocks, msf);
		len += 8;
	}
	put_be16(p, (uint16_t)(len - 2));
	scsi_reply(cmd, p, len, get_be16(cdb + 7));
}

/* Profiles and the features that the standard wants of every drive. */
void scsi_cd_configuration(struct scsi_cmd *cmd)
{
	static const uint8_t features[] = {
		0x00, 0x00, 0x03, 8, 0x00, 0x10, 0, 0, 0x00, 0x08, 0, 0, /* DVD-ROM, CD-ROM */
		0x00, 0x01, 0x0b, 8, 0,	   0,	 0, 1, 0,    0,	   0, 0, /* core: SCSI */
		0x00, 0x03, 0x03, 4, 0x29, 0,	 0, 0, /* removable: tray, eject, lock */
	};
	uint8_t p[8 + sizeof(features)] = { 0 };
	const struct scsi_unit *u = cmd->unit;
	uint8_t type = cmd->cdb[1] & 3;
	uint16_t first = get_be16(cmd->cdb + 2), code;
	size_t len = 8, at, size;

	if (type == 3) {
		scsi_fail(cmd, SCSI_INVALID_FIELD);
		return;
	}
	if (!u->ejected)
		put_be16(p + 6, u->blocks > CD_BLOCKS_MAX ? 0x10 : 0x08);
	for (at = 0; at < sizeof(features); at += size) {
		code = get_be16(features + at);
		size = 4u + features[at + 3];
		if (type == 2 ? code != first : code < first)
			continue;
		memcpy(p + len, features + at, size);
		if (!code && !u->ejected)
			p[len + (u->blocks > CD_BLOCKS_MAX ? 6 : 10)] = 1; /* current */
		len += size;
	}
	put_be32(p, (uint32_t)(len - 4));
	scsi_reply(cmd, p, len, get_be16(cmd->cdb + 7));
}

/* By polling only: whether there is a medium. */
void scsi_cd_event(struct scsi_cmd *cmd)
{
	uint8_t p[8] = { 0, 0, 0, 1 << 4 }; /* of all classes, the medium's is there */
	bool media = cmd->cdb[4] & 1 << 4;

	if (!(cmd->cdb[1] & 1)) {
		scsi_fail(cmd, SCSI_INVALID_FIELD);
		return;
	}
	p[1] = media ? 6 : 2;
	p[2] = media ? 4 : 0x80;
	p[5] = cmd->unit->ejected ? 1 : 2; /* tray open, or a medium */
	scsi_reply(cmd, p, media ? 8 : 4, get_be16(cmd->cdb + 7));
}

void scsi_cd_start_stop(struct scsi_cmd *cmd)
{
	struct scsi_unit *u = cmd->unit;
	bool load = cmd->cdb[4] & 2, start = cmd->cdb[4] & 1;

	if (cmd->cdb[4] >> 4) { /* power conditions */
		scsi_fail(cmd, SCSI_INVALID_FIELD);
		return;
	}
	if (load && !start && u->prevent) {
		scsi_fail(cmd, SCSI_REMOVAL_PREVENTED);
		return;
	}
	if (load && start && u->ejected)
		u->attention = SCSI_MEDIUM_CHANGED;
	if (load)
		u->ejected = !start;
	scsi_good(cmd);
}

void scsi_cd_prevent(struct scsi_cmd *cmd)
{
	cmd->unit->prevent = cmd->cdb[4] & 1;
	scsi_good(cmd);
}

size_t scsi_cd_capabilities(uint8_t *page)
{
	page[2] = 0x0b;		  /* reads CD-R, CD-RW, DVD-ROM */
	page[6] = 0x29;		  /* a tray, which locks and ejects */
	put_be16(page + 8, 5540); /* kB/s, the most and now */
	put_be16(page + 14, 5540);
	return 22;
}
