// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A SCSI unit and any commands at all: first byte: which unit; then for each command two bytes of
 * buffer lengths, what is sent, and a CDB. What must hold: each is over exactly once, moves no more
 * than its buffers hold, and asks of the disk only what lies within it.
 */
#include "fuzz.h"

#include "base/util.h"
#include "virtio/scsi_target.h"

#define DISK (4 * MIB)
#define ROOM 4096u

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

struct disk {
	bool readonly;
	unsigned int done;
};

uint64_t disk_size(const struct disk *disk)
{
	(void)disk;
	return DISK;
}

bool disk_readonly(const struct disk *disk)
{
	return disk->readonly;
}

uint32_t disk_block_logical(const struct disk *disk)
{
	(void)disk;
	return DISK_SECTOR;
}

uint32_t disk_block_physical(const struct disk *disk)
{
	(void)disk;
	return 4096;
}

void disk_queue(struct disk *disk, struct disk_req *req)
{
	uint64_t len = 0;
	unsigned int i;

	MUST(span_within(req->offset, req->len, DISK));
	MUST(req->offset % DISK_SECTOR == 0 && req->len % DISK_SECTOR == 0);
	MUST(!disk->readonly || req->op == DISK_READ || req->op == DISK_FLUSH);
	if (req->op == DISK_READ || req->op == DISK_WRITE) {
		for (i = 0; i < req->iov_count; i++) {
			len += req->iov[i].iov_len;
			if (req->op == DISK_READ)
				memset(req->iov[i].iov_base, 1, req->iov[i].iov_len);
		}
		MUST(len == req->len);
	}
	req->done(req, 0);
}

static void cmd_done(struct scsi_cmd *cmd)
{
	cmd->unit->disk->done++;
}

static void one(struct scsi_unit *u, struct fuzz_input *in)
{
	uint8_t out[ROOM] = { 0 };
	uint8_t *to = malloc(ROOM); /* so that a byte beyond is seen */
	struct scsi_cmd cmd = { .unit = u, .done = cmd_done };
	struct iovec iov[2];
	unsigned int i;

	MUST(to);
	cmd.out_len = (uint64_t)fuzz_u8(in) * 8;
	cmd.in_len = (uint64_t)fuzz_u8(in) * 16;
	cmd.no_unit = fuzz_u8(in) > 0xf0;
	for (i = 0; i < 24; i++)
		out[i] = i < cmd.out_len ? fuzz_u8(in) : 0;
	for (i = 0; i < 16; i++)
		cmd.cdb[i] = fuzz_u8(in);
	iov[0] = (struct iovec){ out, cmd.out_len };
	iov[1] = (struct iovec){ to + ROOM - cmd.in_len, cmd.in_len };
	cmd.out = &iov[0];
	cmd.in = &iov[1];
	cmd.out_count = cmd.out_len > 0;
	cmd.in_count = cmd.in_len > 0;
	u->disk->done = 0;
	scsi_start(&cmd);
	MUST(u->disk->done == 1);
	MUST(cmd.moved <= MAX(cmd.in_len, cmd.out_len));
	free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint8_t kind = fuzz_u8(&in);
	struct disk disk = { .readonly = kind & 3 };
	struct scsi_unit u = { .disk = &disk, .serial = "fuzz", .cd = kind & 2 };

	scsi_unit_init(&u);
	u.attention = 0;
	while (in.left)
		one(&u, &in);
	return 0;
}
