// SPDX-License-Identifier: GPL-2.0-or-later
/* virtio-scsi as a driver sees it, on a file through the kernel's io_uring: commands of disk and
 * CD, requests that are none, and F14. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_scsi.h>
#include <scsi/scsi.h>

#include "base/util.h"
#include "fake_driver.h"
#include "virtio/virtio_scsi.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define VERSION_1 BIT64(VIRTIO_F_VERSION_1)
#define SIZE 16u
#define IMAGE (1 * MIB)
#define HEAD 51u  /* of a request */
#define RESP 108u /* of an answer */

struct rig {
	struct guest *g;
	struct driver d;
	struct ring control, requests;
	gpa_t head, resp, data; /* 4 KiB, 4 KiB, 64 KiB */
	uint8_t *head_p, *resp_p, *data_p;
	uint32_t used; /* of the last answer */
	char path[64];
	int fd;
};

static int setup_with(void **state, const struct dev_class *class, const char *more)
{
	struct rig *r = test_calloc(1, sizeof(*r));
	struct dev *dev;
	char spec[160];
	uint8_t block[512];
	unsigned int i;

	snprintf(r->path, sizeof(r->path), "/tmp/virtio_scsi.XXXXXX");
	r->fd = mkstemp(r->path);
	assert_true(r->fd >= 0);
	for (i = 0; i < IMAGE / sizeof(block); i++) {
		memset(block, (int)(i % 251 + 1), sizeof(block));
		assert_int_equal(write(r->fd, block, sizeof(block)), sizeof(block));
	}
	r->g = guest_new(4 * MIB);
	snprintf(spec, sizeof(spec), "%s,id=d0,path=%s%s", class->name, r->path, more);
	dev = guest_device(r->g, class, spec);
	r->head = guest_alloc(r->g, 4096, 4096);
	r->resp = guest_alloc(r->g, 4096, 4096);
	r->data = guest_alloc(r->g, 64 * KIB, 4096);
	r->head_p = guest_ptr(r->g, r->head, 4096);
	r->resp_p = guest_ptr(r->g, r->resp, 4096);
	r->data_p = guest_ptr(r->g, r->data, 64 * KIB);
	guest_start(r->g);
	driver_open(&r->d, r->g, dev);
	guest_msix_on(r->g, r->d.pdev);
	assert_true(driver_negotiate(&r->d, VERSION_1));
	ring_open(&r->control, &r->d, VIRTIO_SCSI_CONTROL, SIZE, 1);
	ring_open(&r->requests, &r->d, VIRTIO_SCSI_REQUEST, SIZE, 2);
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
	*state = r;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, &scsi_disk_class, ",serial=s-1");
}

static int setup_readonly(void **state)
{
	return setup_with(state, &scsi_disk_class, ",readonly=on");
}

static int setup_cd(void **state)
{
	return setup_with(state, &scsi_cd_class, "");
}

static int teardown(void **state)
{
	struct rig *r = *state;

	guest_free(r->g);
	unlink(r->path);
	close(r->fd);
	test_free(r);
	return 0;
}

/* One command with @out bytes from, or @in bytes to the data page; the answer's @resp_len bytes of
 * room. True when it came back. */
static bool send(struct rig *r, const uint8_t *cdb, size_t cdb_len, uint32_t out, uint32_t in,
		 uint32_t resp_len)
{
	struct ring *q = &r->requests;
	unsigned int n = 0;
	uint32_t id;

	memset(r->resp_p, 0xee, RESP);
	memcpy(r->head_p + 19, cdb, cdb_len);
	memset(r->head_p + 19 + cdb_len, 0, 32 - cdb_len);
	ring_desc(q, n, r->head, HEAD, NEXT, 1);
	n++;
	if (out) {
		ring_desc(q, n, r->data, out, NEXT, (uint16_t)(n + 1));
		n++;
	}
	ring_desc(q, n, r->resp, resp_len, WRITE | (in ? NEXT : 0), (uint16_t)(n + 1));
	n++;
	if (in)
		ring_desc(q, n, r->data, in, WRITE, 0);
	ring_post(q, 0);
	ring_kick(q);
	if (resp_len < RESP) {
		guest_sync(r->g);
		return ring_used(q, &id, &r->used);
	}
	return ring_wait(q, &id, &r->used);
}

static void lun(struct rig *r, uint8_t target, uint16_t number)
{
	uint8_t l[8] = { 1, target, (uint8_t)(0x40 | number >> 8), (uint8_t)number };

	memset(r->head_p, 0, HEAD);
	memcpy(r->head_p, l, sizeof(l));
}

/* To target 0 LUN 0. Returns the sense (key, code, qualifier), 0 for GOOD. */
static uint32_t command(struct rig *r, const uint8_t *cdb, size_t cdb_len, uint32_t out,
			uint32_t in)
{
	lun(r, 0, 0);
	assert_true(send(r, cdb, cdb_len, out, in, RESP));
	assert_int_equal(r->resp_p[11], VIRTIO_SCSI_S_OK);
	if (!r->resp_p[10])
		return 0;
	assert_int_equal(r->resp_p[10], SCSI_CHECK_CONDITION);
	assert_int_equal(get_le32(r->resp_p), SCSI_SENSE_SIZE);
	assert_int_equal(r->resp_p[12], 0x70);
	return (uint32_t)(r->resp_p[12 + 2] << 16 | r->resp_p[12 + 12] << 8 | r->resp_p[12 + 13]);
}

#define COMMAND(r, out, in, ...)                                                                   \
	command(r, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }),     \
		out, in)

static uint32_t resid(struct rig *r)
{
	return get_le32(r->resp_p + 4);
}

/* The attention that every unit has after a reset. */
static void ready(struct rig *r)
{
	assert_int_equal(COMMAND(r, 0, 0, TEST_UNIT_READY, 0, 0, 0, 0, 0), SCSI_RESET);
	assert_int_equal(COMMAND(r, 0, 0, TEST_UNIT_READY, 0, 0, 0, 0, 0), 0);
}

static uint8_t byte_at(struct rig *r, off_t at)
{
	uint8_t b = 0;

	assert_int_equal(pread(r->fd, &b, 1, at), 1);
	return b;
}

static void identity(void **state)
{
	struct rig *r = *state;

	/* INQUIRY goes before the attention and leaves it. */
	assert_int_equal(COMMAND(r, 0, 96, INQUIRY, 0, 0, 0, 96, 0), 0);
	assert_int_equal(r->used, RESP + 36);
	assert_int_equal(resid(r), 96 - 36);
	assert_int_equal(r->data_p[0], 0);
	assert_memory_equal(r->data_p + 8, "VIADUCT DISK            ", 24);
	ready(r);
	assert_int_equal(COMMAND(r, 0, 64, INQUIRY, 1, 0x80, 0, 64, 0), 0);
	assert_memory_equal(r->data_p, "\0\x80\0\3s-1", 7);
	/* The allocation length cuts. */
	assert_int_equal(COMMAND(r, 0, 64, INQUIRY, 1, 0xb0, 0, 8, 0), 0);
	assert_int_equal(resid(r), 56);
	assert_int_equal(COMMAND(r, 0, 64, INQUIRY, 1, 0xb2, 0, 64, 0), 0);
	assert_int_equal(r->data_p[5], 0xe0);
	assert_int_equal(COMMAND(r, 0, 64, INQUIRY, 1, 0xc0, 0, 64, 0), SCSI_INVALID_FIELD);
	assert_int_equal(COMMAND(r, 0, 64, INQUIRY, 0, 0x80, 0, 64, 0), SCSI_INVALID_FIELD);
	assert_int_equal(COMMAND(r, 0, 64, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0), 0);
	assert_int_equal(get_be32(r->data_p), 8);
	assert_int_equal(COMMAND(r, 0, 8, READ_CAPACITY, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
	assert_int_equal(get_be32(r->data_p), IMAGE / 512 - 1);
	assert_int_equal(get_be32(r->data_p + 4), 512);
	assert_int_equal(COMMAND(r, 0, 32, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0),
			 0);
	assert_true(get_be64(r->data_p) == IMAGE / 512 - 1);
	assert_int_equal(r->data_p[13], 3);
	assert_int_equal(COMMAND(r, 0, 64, MODE_SENSE, 0, 0x3f, 0, 64, 0), 0);
	assert_int_equal(r->data_p[0] + 1, 4 + 12 + 20 + 12);
	assert_int_equal(r->data_p[2], 0x10);
	assert_int_equal(COMMAND(r, 0, 64, MODE_SENSE, 0, 0x2a, 0, 64, 0), SCSI_INVALID_FIELD);
	assert_int_equal(COMMAND(r, 0, 0, 0xff, 0), SCSI_INVALID_OPCODE);
	assert_int_equal(COMMAND(r, 0, 0, READ_TOC, 0), SCSI_INVALID_OPCODE);
}

static void reads_and_writes(void **state)
{
	struct rig *r = *state;

	ready(r);
	assert_int_equal(COMMAND(r, 0, 1024, READ_6, 0, 0, 3, 2, 0), 0);
	assert_int_equal(r->used, RESP + 1024);
	assert_int_equal(r->data_p[0], 4);
	assert_int_equal(r->data_p[1023], 5);
	assert_int_equal(resid(r), 0);
	assert_int_equal(COMMAND(r, 0, 2048, READ_10, 0, 0, 0, 0, 10, 0, 0, 1, 0), 0);
	assert_int_equal(r->data_p[0], 11);
	assert_int_equal(resid(r), 1536);
	memset(r->data_p, 0xa5, 512);
	assert_int_equal(COMMAND(r, 512, 0, WRITE_10, 8, 0, 0, 0, 7, 0, 0, 1, 0), 0);
	assert_int_equal(r->used, RESP);
	assert_int_equal(byte_at(r, 7 * 512l), 0xa5);
	assert_int_equal(byte_at(r, 7 * 512l - 1), 7);
	assert_int_equal(byte_at(r, 8 * 512l), 9);
	memset(r->data_p, 0x5a, 512);
	assert_int_equal(COMMAND(r, 512, 0, 0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0), 0);
	assert_int_equal(byte_at(r, 8 * 512l), 0x5a);
	assert_int_equal(COMMAND(r, 0, 0, SYNCHRONIZE_CACHE, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
	/* The last block, one beyond, and numbers that run over. */
	assert_int_equal(COMMAND(r, 0, 512, READ_10, 0, 0, 0, 7, 0xff, 0, 0, 1, 0), 0);
	assert_int_equal(COMMAND(r, 0, 1024, READ_10, 0, 0, 0, 7, 0xff, 0, 0, 2, 0),
			 SCSI_LBA_RANGE);
	assert_int_equal(COMMAND(r, 0, 512, 0x88, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0,
				 0, 2, 0, 0),
			 SCSI_LBA_RANGE);
	/* Nothing to move is no error. */
	assert_int_equal(COMMAND(r, 0, 0, READ_10, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
}

static void unmaps_and_zeroes(void **state)
{
	struct rig *r = *state;

	ready(r);
	memset(r->data_p, 0, 512);
	assert_int_equal(COMMAND(r, 512, 0, 0x93, 8, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 8, 0, 0), 0);
	assert_int_equal(byte_at(r, 16 * 512l - 1), 16);
	assert_int_equal(byte_at(r, 16 * 512l), 0);
	assert_int_equal(byte_at(r, 24 * 512l - 1), 0);
	assert_int_equal(byte_at(r, 24 * 512l), 25);
	/* NDOB: without data. */
	assert_int_equal(COMMAND(r, 0, 0, 0x93, 1, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 1, 0, 0), 0);
	assert_int_equal(byte_at(r, 32 * 512l), 0);
	r->data_p[511] = 1;
	assert_int_equal(COMMAND(r, 512, 0, WRITE_SAME, 0, 0, 0, 0, 40, 0, 0, 1, 0),
			 SCSI_INVALID_FIELD);
	assert_int_equal(byte_at(r, 40 * 512l), 41);
	assert_int_equal(COMMAND(r, 0, 0, WRITE_SAME, 0, 0, 0, 0, 40, 0, 0, 1, 0),
			 SCSI_INVALID_FIELD);
	memset(r->data_p, 0, 24);
	r->data_p[3] = 16;
	r->data_p[15] = 64;
	r->data_p[19] = 8;
	assert_int_equal(COMMAND(r, 24, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), 0);
	assert_int_equal(byte_at(r, 64 * 512l - 1), 64);
	assert_int_equal(byte_at(r, 64 * 512l), 0);
	assert_int_equal(byte_at(r, 72 * 512l), 73);
	r->data_p[8] = 0xff;
	assert_int_equal(COMMAND(r, 24, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), SCSI_LBA_RANGE);
	r->data_p[16] = 0xff;
	assert_int_equal(COMMAND(r, 24, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0),
			 SCSI_INVALID_PARAMETER);
	/* The list says more than came. */
	assert_int_equal(COMMAND(r, 16, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0),
			 SCSI_PARAMETER_LENGTH);
}

static void readonly(void **state)
{
	struct rig *r = *state;

	ready(r);
	assert_int_equal(COMMAND(r, 512, 0, WRITE_10, 0, 0, 0, 0, 7, 0, 0, 1, 0),
			 SCSI_WRITE_PROTECTED);
	assert_int_equal(COMMAND(r, 0, 0, 0x93, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0),
			 SCSI_WRITE_PROTECTED);
	assert_int_equal(byte_at(r, 7 * 512l), 8);
	assert_int_equal(COMMAND(r, 0, 64, MODE_SENSE, 0, 0x08, 0, 64, 0), 0);
	assert_int_equal(r->data_p[2], 0x90);
}

static void cd(void **state)
{
	struct rig *r = *state;

	ready(r);
	assert_int_equal(COMMAND(r, 0, 96, INQUIRY, 0, 0, 0, 96, 0), 0);
	assert_memory_equal(r->data_p, "\5\x80", 2);
	assert_int_equal(COMMAND(r, 0, 8, READ_CAPACITY, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
	assert_int_equal(get_be32(r->data_p), IMAGE / 2048 - 1);
	assert_int_equal(get_be32(r->data_p + 4), 2048);
	assert_int_equal(COMMAND(r, 0, 2048, READ_10, 0, 0, 0, 0, 2, 0, 0, 1, 0), 0);
	assert_int_equal(r->data_p[0], 9);
	assert_int_equal(COMMAND(r, 512, 0, WRITE_10, 0, 0, 0, 0, 0, 0, 0, 0, 0),
			 SCSI_INVALID_OPCODE);
	/* One track, and the lead-out behind it. */
	assert_int_equal(COMMAND(r, 0, 20, READ_TOC, 0, 0, 0, 0, 0, 0, 0, 20, 0), 0);
	assert_int_equal(get_be16(r->data_p), 18);
	assert_int_equal(r->data_p[12 + 2], 0xaa);
	assert_int_equal(get_be32(r->data_p + 16), IMAGE / 2048);
	/* In minutes, seconds and frames: 2 s for the pregap. */
	assert_int_equal(COMMAND(r, 0, 20, READ_TOC, 2, 0, 0, 0, 0, 0, 0, 20, 0), 0);
	assert_memory_equal(r->data_p + 8, "\0\0\2\0", 4);
	/* A locked door stays shut; an open one means no medium. */
	assert_int_equal(COMMAND(r, 0, 0, ALLOW_MEDIUM_REMOVAL, 0, 0, 0, 1, 0), 0);
	assert_int_equal(COMMAND(r, 0, 0, START_STOP, 0, 0, 0, 2, 0), SCSI_REMOVAL_PREVENTED);
	assert_int_equal(COMMAND(r, 0, 0, ALLOW_MEDIUM_REMOVAL, 0, 0, 0, 0, 0), 0);
	assert_int_equal(COMMAND(r, 0, 0, START_STOP, 0, 0, 0, 2, 0), 0);
	assert_int_equal(COMMAND(r, 0, 0, TEST_UNIT_READY, 0, 0, 0, 0, 0), SCSI_NO_MEDIUM);
	assert_int_equal(COMMAND(r, 0, 8, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0), 0);
	assert_int_equal(r->data_p[5], 1);
	assert_int_equal(COMMAND(r, 0, 0, START_STOP, 0, 0, 0, 3, 0), 0);
	assert_int_equal(COMMAND(r, 0, 0, TEST_UNIT_READY, 0, 0, 0, 0, 0), SCSI_MEDIUM_CHANGED);
	assert_int_equal(COMMAND(r, 0, 0, TEST_UNIT_READY, 0, 0, 0, 0, 0), 0);
	assert_int_equal(COMMAND(r, 0, 64, 0x46, 0, 0, 0, 0, 0, 0, 0, 64, 0), 0);
	assert_int_equal(get_be16(r->data_p + 6), 0x08); /* a CD-ROM by its size */
}

/* F14: units that are not there. */
static void other_units(void **state)
{
	static const uint8_t inquiry[] = { INQUIRY, 0, 0, 0, 36, 0 };
	static const uint8_t tur[] = { TEST_UNIT_READY, 0, 0, 0, 0, 0 };
	struct rig *r = *state;

	lun(r, 1, 0);
	assert_true(send(r, inquiry, sizeof(inquiry), 0, 36, RESP));
	assert_int_equal(r->resp_p[11], VIRTIO_SCSI_S_BAD_TARGET);
	lun(r, 0, 5);
	assert_true(send(r, inquiry, sizeof(inquiry), 0, 36, RESP));
	assert_int_equal(r->resp_p[11], VIRTIO_SCSI_S_OK);
	assert_int_equal(r->data_p[0], 0x7f);
	assert_true(send(r, tur, sizeof(tur), 0, 0, RESP));
	assert_int_equal(r->resp_p[10], SCSI_CHECK_CONDITION);
	assert_int_equal(r->resp_p[12 + 12], 0x25);
	/* LUN 0xffff, and every byte of the address. */
	lun(r, 0, 0xffff);
	assert_true(send(r, tur, sizeof(tur), 0, 0, RESP));
	assert_int_equal(r->resp_p[12 + 12], 0x25);
	memset(r->head_p, 0xff, 8);
	assert_true(send(r, tur, sizeof(tur), 0, 0, RESP));
	assert_int_equal(r->resp_p[11], VIRTIO_SCSI_S_BAD_TARGET);
}

/* F14: buffers that do not fit the command. */
static void buffers(void **state)
{
	static const uint8_t read_2[] = { READ_10, 0, 0, 0, 0, 0, 0, 0, 2, 0 };
	static const uint8_t write_2[] = { WRITE_10, 0, 0, 0, 0, 0, 0, 0, 2, 0 };
	struct rig *r = *state;

	ready(r);
	lun(r, 0, 0);
	assert_true(send(r, read_2, sizeof(read_2), 0, 1023, RESP));
	assert_int_equal(r->resp_p[11], VIRTIO_SCSI_S_OVERRUN);
	memset(r->data_p, 0xa5, 1024);
	assert_true(send(r, write_2, sizeof(write_2), 512, 0, RESP));
	assert_int_equal(r->resp_p[11], VIRTIO_SCSI_S_OVERRUN);
	assert_int_equal(byte_at(r, 0), 1);
	/* A write whose buffer is for reading, and the other way round. */
	assert_true(send(r, write_2, sizeof(write_2), 0, 1024, RESP));
	assert_int_equal(r->resp_p[11], VIRTIO_SCSI_S_OVERRUN);
	assert_true(send(r, read_2, sizeof(read_2), 1024, 0, RESP));
	assert_int_equal(r->resp_p[11], VIRTIO_SCSI_S_OVERRUN);
	/* Both ways at once. */
	assert_true(send(r, write_2, sizeof(write_2), 1024, 1024, RESP));
	assert_int_equal(r->resp_p[11], VIRTIO_SCSI_S_FAILURE);
	assert_int_equal(byte_at(r, 0), 1);
	assert_false(driver_status(&r->d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	/* No room for the answer: one byte short breaks the queue. */
	assert_false(send(r, read_2, sizeof(read_2), 0, 0, RESP - 1));
	assert_true(driver_status(&r->d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_true(guest_logged(r->g, "less than header and answer"));
}

/* Header, answer and data in pieces that have nothing to do with where they end. */
static void scattered(void **state)
{
	struct rig *r = *state;
	struct ring *q = &r->requests;
	uint32_t id;

	ready(r);
	lun(r, 0, 0);
	memset(r->head_p + 19, 0, 32);
	memcpy(r->head_p + 19, (const uint8_t[]){ READ_6, 0, 0, 3, 1, 0 }, 6);
	memset(r->resp_p, 0xee, RESP);
	ring_desc(q, 0, r->head, 1, NEXT, 1);
	ring_desc(q, 1, r->head + 1, HEAD - 1, NEXT, 2);
	ring_desc(q, 2, r->resp, 11, WRITE | NEXT, 3);
	ring_desc(q, 3, r->resp + 11, RESP - 11 + 100, WRITE | NEXT, 4);
	ring_desc(q, 4, r->data, 500, WRITE, 0);
	ring_post(q, 0);
	ring_kick(q);
	assert_true(ring_wait(q, &id, &r->used));
	assert_int_equal(r->used, RESP + 512);
	assert_int_equal(r->resp_p[11], VIRTIO_SCSI_S_OK);
	assert_int_equal(resid(r), 88);
	assert_int_equal(r->resp_p[RESP], 4);
	assert_int_equal(r->resp_p[RESP + 99], 4);
	assert_int_equal(r->data_p[411], 4);
}

/* The driver says how long a CDB is. F14: longer than any. */
static void sizes(void **state)
{
	struct rig *r = *state;
	uint64_t sense = r->d.device + offsetof(struct virtio_scsi_config, sense_size);
	uint64_t cdb = r->d.device + offsetof(struct virtio_scsi_config, cdb_size);
	uint32_t id;

	assert_int_equal(guest_read(r->g, cdb, 4), 32);
	assert_int_equal(guest_read(r->g, sense, 4), 96);
	guest_write(r->g, cdb, 4, 16); /* too late: queues are in use */
	assert_int_equal(guest_read(r->g, cdb, 4), 32);
	assert_true(driver_negotiate(&r->d, VERSION_1));
	guest_write(r->g, cdb, 4, 261);
	guest_write(r->g, sense, 4, 253);
	guest_write(r->g, cdb, 4, 0);
	guest_write(r->g, cdb, 2, 16);
	assert_int_equal(guest_read(r->g, cdb, 4), 32);
	assert_int_equal(guest_read(r->g, sense, 4), 96);
	guest_write(r->g, cdb, 4, 260);
	guest_write(r->g, sense, 4, 12);
	ring_open(&r->requests, &r->d, VIRTIO_SCSI_REQUEST, SIZE, 2);
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
	lun(r, 0, 0);
	memset(r->head_p + 19, 0, 260);
	ring_desc(&r->requests, 0, r->head, 19 + 260, NEXT, 1);
	ring_desc(&r->requests, 1, r->resp, 24, WRITE, 0);
	ring_post(&r->requests, 0);
	ring_kick(&r->requests);
	assert_true(ring_wait(&r->requests, &id, &r->used));
	assert_int_equal(r->used, 24);
	assert_int_equal(get_le32(r->resp_p), 12); /* the sense, cut */
	assert_int_equal(r->resp_p[12 + 2], 6);
}

static uint8_t control(struct rig *r, uint32_t subtype, uint32_t len)
{
	struct ring *q = &r->control;
	uint32_t id, used;

	lun(r, 0, 0);
	memmove(r->head_p + 8, r->head_p, 8);
	put_le32(r->head_p, VIRTIO_SCSI_T_TMF);
	put_le32(r->head_p + 4, subtype);
	ring_desc(q, 0, r->head, len, NEXT, 1);
	ring_desc(q, 1, r->resp, 1, WRITE, 0);
	r->resp_p[0] = 0xee;
	ring_post(q, 0);
	ring_kick(q);
	guest_sync(r->g);
	if (ring_used(q, &id, &used))
		assert_int_equal(used, 1);
	return r->resp_p[0];
}

static void task_management(void **state)
{
	struct rig *r = *state;

	ready(r);
	assert_int_equal(control(r, VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET, 24), 0);
	ready(r);
	assert_int_equal(control(r, VIRTIO_SCSI_T_TMF_ABORT_TASK_SET, 24), 0);
	assert_int_equal(COMMAND(r, 0, 0, TEST_UNIT_READY, 0, 0, 0, 0, 0), 0);
	assert_int_equal(control(r, VIRTIO_SCSI_T_TMF_ABORT_TASK, 24),
			 VIRTIO_SCSI_S_FUNCTION_REJECTED);
	assert_int_equal(control(r, 77, 24), VIRTIO_SCSI_S_FUNCTION_REJECTED);
	assert_int_equal(control(r, VIRTIO_SCSI_T_TMF_ABORT_TASK_SET, 23), 0xee);
	assert_true(driver_status(&r->d) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* The file is shorter than it was: the guest gets an error, and the disk goes on. */
static void cut(void **state)
{
	struct rig *r = *state;

	ready(r);
	assert_int_equal(ftruncate(r->fd, 4096), 0);
	assert_int_equal(COMMAND(r, 0, 512, READ_10, 0, 0, 0, 0, 100, 0, 0, 1, 0), SCSI_READ_ERROR);
	assert_int_equal(COMMAND(r, 0, 512, READ_10, 0, 0, 0, 0, 1, 0, 0, 1, 0), 0);
	assert_int_equal(r->data_p[0], 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(identity, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_and_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(unmaps_and_zeroes, setup, teardown),
		cmocka_unit_test_setup_teardown(readonly, setup_readonly, teardown),
		cmocka_unit_test_setup_teardown(cd, setup_cd, teardown),
		cmocka_unit_test_setup_teardown(other_units, setup, teardown),
		cmocka_unit_test_setup_teardown(buffers, setup, teardown),
		cmocka_unit_test_setup_teardown(scattered, setup, teardown),
		cmocka_unit_test_setup_teardown(sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(task_management, setup, teardown),
		cmocka_unit_test_setup_teardown(cut, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
