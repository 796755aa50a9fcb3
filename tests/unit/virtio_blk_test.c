// SPDX-License-Identifier: GPL-2.0-or-later
/* virtio-blk as a driver sees it, on a real image by the kernel's own io_uring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "fake_driver.h"
#include "fake_kvm.h"
#include "load_trap.h"
#include "syscall_count.h"
#include "virtio/virtio_blk.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define VERSION_1 BIT64(VIRTIO_F_VERSION_1)
#define SIZE 256u
#define SECTOR 512ul
#define SLOT 16ul /* for the header or the status of a request */
#define IMAGE (1u << 20)
#define SECTORS (IMAGE / 512)
#define UNTOUCHED 0xee

struct rig {
	struct guest *g;
	struct virtio_blk *b;
	struct driver d;
	struct ring vq;
	char path[32];
	int fd;			    /* of the image */
	gpa_t header, status, data; /* 256 of the first two, 16 bytes each; 256 KiB of data */
	uint8_t *header_mem, *status_mem, *data_mem;
	unsigned int next; /* descriptor */
};

static void image_make(struct rig *r)
{
	uint8_t sector[512];
	unsigned int i;

	snprintf(r->path, sizeof(r->path), "/tmp/virtio_blk.XXXXXX");
	r->fd = mkstemp(r->path);
	assert_true(r->fd >= 0);
	for (i = 0; i < SECTORS; i++) {
		memset(sector, (int)(i * 7 + 1), sizeof(sector));
		assert_int_equal(pwrite(r->fd, sector, sizeof(sector), (off_t)(i * SECTOR)), 512);
	}
}

static uint8_t image_byte(const struct rig *r, uint64_t at)
{
	uint8_t b = 0;

	assert_int_equal(pread(r->fd, &b, 1, (off_t)at), 1);
	return b;
}

static void rig_start(struct rig *r, const char *options, uint64_t features)
{
	char spec[128];

	r->g = guest_new(4 * MIB);
	snprintf(spec, sizeof(spec), "virtio-blk,id=disk,path=%s%s", r->path, options);
	r->b = (struct virtio_blk *)(void *)guest_device(r->g, &virtio_blk_class, spec);
	r->header = guest_alloc(r->g, SIZE * SLOT, 4096);
	r->status = guest_alloc(r->g, SIZE * SLOT, 4096);
	r->data = guest_alloc(r->g, 256 * KIB, 4096);
	r->header_mem = guest_ptr(r->g, r->header, SIZE * SLOT);
	r->status_mem = guest_ptr(r->g, r->status, SIZE * SLOT);
	r->data_mem = guest_ptr(r->g, r->data, 256 * KIB);
	guest_start(r->g);
	driver_open(&r->d, r->g, &r->b->vpci.pdev.dev);
	guest_msix_on(r->g, r->d.pdev);
	assert_true(driver_negotiate(&r->d, features | VERSION_1));
	ring_open(&r->vq, &r->d, 0, SIZE, 1);
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
	r->next = 0;
}

static struct rig *rig_new(const char *options, uint64_t features)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	image_make(r);
	rig_start(r, options, features);
	return r;
}

static void rig_free(struct rig *r)
{
	guest_free(r->g);
	close(r->fd);
	unlink(r->path);
	test_free(r);
}

#define WCE (BIT64(VIRTIO_BLK_F_FLUSH) | BIT64(VIRTIO_BLK_F_CONFIG_WCE))
#define ROOM (WCE | BIT64(VIRTIO_BLK_F_DISCARD) | BIT64(VIRTIO_BLK_F_WRITE_ZEROES))

static int setup(void **state)
{
	*state = rig_new("", ROOM);
	return 0;
}

static int teardown(void **state)
{
	rig_free(*state);
	return 0;
}

/* Posts a request of header, data (@len 0: none) and status. The slot counts requests under way. */
static void post(struct rig *r, unsigned int slot, uint32_t type, uint64_t sector, gpa_t data,
		 uint32_t len, bool in)
{
	uint16_t i = (uint16_t)r->next;
	uint8_t *h = r->header_mem + slot * SLOT;

	put_le32(h, type);
	put_le32(h + 4, 0);
	put_le64(h + 8, sector);
	r->status_mem[slot * SLOT] = UNTOUCHED;
	ring_desc(&r->vq, i, r->header + slot * SLOT, 16, NEXT, i + 1);
	if (len)
		ring_desc(&r->vq, i + 1u, data, len, (uint16_t)(NEXT | (in ? WRITE : 0)), i + 2);
	ring_desc(&r->vq, i + (len ? 2u : 1u), r->status + slot * SLOT, 1, WRITE, 0);
	ring_post(&r->vq, i);
	r->next += len ? 3 : 2;
}

/* Waits for an answer. Its status; @ret_len: what the device says it has written. */
static uint8_t answered(struct rig *r, uint32_t *ret_len)
{
	uint32_t id, len;

	assert_true(ring_wait(&r->vq, &id, &len));
	if (ret_len)
		*ret_len = len;
	r->next = 0;
	return r->status_mem[0];
}

static uint8_t request(struct rig *r, uint32_t type, uint64_t sector, uint32_t len, bool in)
{
	post(r, 0, type, sector, r->data, len, in);
	ring_kick(&r->vq);
	return answered(r, NULL);
}

static uint8_t range_request(struct rig *r, uint32_t type, uint64_t sector, uint32_t sectors,
			     uint32_t flags)
{
	put_le64(r->data_mem, sector);
	put_le32(r->data_mem + 8, sectors);
	put_le32(r->data_mem + 12, flags);
	return request(r, type, 0, 16, false);
}

static void reads_and_writes(void **state)
{
	struct rig *r = *state;
	uint32_t len;

	post(r, 0, VIRTIO_BLK_T_IN, 3, r->data, 1024, true);
	ring_kick(&r->vq);
	assert_int_equal(answered(r, &len), VIRTIO_BLK_S_OK);
	assert_int_equal(len, 1025);
	assert_int_equal(r->data_mem[0], 3 * 7 + 1);
	assert_int_equal(r->data_mem[511], 3 * 7 + 1);
	assert_int_equal(r->data_mem[512], 4 * 7 + 1);

	memset(r->data_mem, 0x5a, 4096);
	post(r, 0, VIRTIO_BLK_T_OUT, 8, r->data, 4096, false);
	ring_kick(&r->vq);
	assert_int_equal(answered(r, &len), VIRTIO_BLK_S_OK);
	assert_int_equal(len, 1);
	assert_int_equal(request(r, VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_OK);
	assert_int_equal(image_byte(r, 8 * SECTOR), 0x5a);
	assert_int_equal(image_byte(r, 16 * SECTOR - 1), 0x5a);
	assert_int_equal(image_byte(r, 8 * SECTOR - 1), 7 * 7 + 1);
	assert_int_equal(image_byte(r, 16 * SECTOR), 16 * 7 + 1);
	/* The last sector of all. */
	assert_int_equal(request(r, VIRTIO_BLK_T_IN, SECTORS - 1, 512, true), VIRTIO_BLK_S_OK);
	assert_int_equal(r->data_mem[0], (uint8_t)((SECTORS - 1) * 7 + 1));
	assert_true(guest_msix_count(r->d.pdev, 1) > 0);
}

/* F11: nothing of it reaches the image or goes beyond the buffer. */
static void requests_that_cannot_be(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t len;
		bool in;
		uint8_t status;
	} cases[] = {
		{ VIRTIO_BLK_T_IN, SECTORS, 512, true, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, SECTORS - 1, 1024, true, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, SECTORS - 1, 1024, false, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, UINT64_MAX, 512, false, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, UINT64_MAX / 512, 512, false, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 1ull << 55, 512, false, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, 513, true, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 0, 511, false, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, 512, false, VIRTIO_BLK_S_IOERR }, /* into read-only memory */
		{ VIRTIO_BLK_T_OUT, 0, 512, true, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, 0, true, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_SECURE_ERASE, 0, 16, false, VIRTIO_BLK_S_UNSUPP },
		{ 0xffffffff, 0, 512, false, VIRTIO_BLK_S_UNSUPP },
		{ VIRTIO_BLK_T_DISCARD, 0, 8, false, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_DISCARD, 0, 32, false, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_WRITE_ZEROES, 0, 0, false, VIRTIO_BLK_S_IOERR },
	};
	struct rig *r = *state;
	uint8_t before[4096], after[4096];
	unsigned int i;

	assert_int_equal(pread(r->fd, before, sizeof(before), 0), sizeof(before));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(r->data_mem, 0xc3, 4096);
		assert_int_equal(
			request(r, cases[i].type, cases[i].sector, cases[i].len, cases[i].in),
			cases[i].status);
		assert_int_equal(r->data_mem[cases[i].len], 0xc3);
	}
	assert_int_equal(pread(r->fd, after, sizeof(after), 0), sizeof(after));
	assert_memory_equal(before, after, sizeof(after));
	assert_int_equal(image_byte(r, IMAGE - 1), (uint8_t)((SECTORS - 1) * 7 + 1));
	assert_int_equal(lseek(r->fd, 0, SEEK_END), IMAGE);
	/* And the disk is as good as ever. */
	assert_int_equal(request(r, VIRTIO_BLK_T_IN, 1, 512, true), VIRTIO_BLK_S_OK);
}

static void ranges(void **state)
{
	struct rig *r = *state;
	struct stat before, after;

	assert_int_equal(fstat(r->fd, &before), 0);
	assert_int_equal(range_request(r, VIRTIO_BLK_T_DISCARD, 256, 256, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(fstat(r->fd, &after), 0);
	assert_true(after.st_blocks < before.st_blocks);
	assert_int_equal(after.st_size, IMAGE);
	assert_int_equal(image_byte(r, 256 * SECTOR - 1), (uint8_t)(255 * 7 + 1));
	assert_int_equal(image_byte(r, 512 * SECTOR), (uint8_t)(512 * 7 + 1));

	assert_int_equal(range_request(r, VIRTIO_BLK_T_WRITE_ZEROES, 9, 3, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(image_byte(r, 9 * SECTOR - 1), 8 * 7 + 1);
	assert_int_equal(image_byte(r, 9 * SECTOR), 0);
	assert_int_equal(image_byte(r, 12 * SECTOR - 1), 0);
	assert_int_equal(image_byte(r, 12 * SECTOR), 12 * 7 + 1);
	assert_int_equal(range_request(r, VIRTIO_BLK_T_WRITE_ZEROES, 20, 1, 1), VIRTIO_BLK_S_OK);
	assert_int_equal(image_byte(r, 20 * SECTOR), 0);
	assert_int_equal(range_request(r, VIRTIO_BLK_T_DISCARD, 0, 0, 0), VIRTIO_BLK_S_OK);

	assert_int_equal(range_request(r, VIRTIO_BLK_T_DISCARD, SECTORS - 1, 2, 0),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(range_request(r, VIRTIO_BLK_T_DISCARD, UINT64_MAX, 2, 0),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(range_request(r, VIRTIO_BLK_T_WRITE_ZEROES, 0, UINT32_MAX, 0),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(range_request(r, VIRTIO_BLK_T_DISCARD, 0, 1, 1), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range_request(r, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 2), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(image_byte(r, 0), 1);
	assert_int_equal(lseek(r->fd, 0, SEEK_END), IMAGE);
}

/* The header in sixteen descriptors, the data in odd pieces, the status at the end of the last one:
 * where the borders are means nothing (2.6.4). */
static void scattered(void **state)
{
	struct rig *r = *state;
	unsigned int i;

	put_le32(r->header_mem, VIRTIO_BLK_T_IN);
	put_le64(r->header_mem + 8, 5);
	for (i = 0; i < 16; i++)
		ring_desc(&r->vq, i, r->header + i, 1, NEXT, (uint16_t)(i + 1));
	ring_desc(&r->vq, 16, r->data, 1, NEXT | WRITE, 17);
	ring_desc(&r->vq, 17, r->data + 100, 500, NEXT | WRITE, 18);
	ring_desc(&r->vq, 18, r->data + 1000, 12, WRITE, 0);
	memset(r->data_mem, UNTOUCHED, 2048);
	ring_post(&r->vq, 0);
	ring_kick(&r->vq);
	answered(r, NULL);
	assert_int_equal(r->data_mem[0], 5 * 7 + 1);
	assert_int_equal(r->data_mem[1], UNTOUCHED);
	assert_int_equal(r->data_mem[599], 5 * 7 + 1);
	assert_int_equal(r->data_mem[1010], 5 * 7 + 1);
	assert_int_equal(r->data_mem[1011], VIRTIO_BLK_S_OK);
	assert_int_equal(r->data_mem[1012], UNTOUCHED);
}

/* Neither can be answered, so the queue stops, and a reset heals it. */
static void no_request_at_all(void **state)
{
	struct rig *r = *state;
	unsigned int round;

	for (round = 0; round < 2; round++) {
		if (round) /* a status byte that cannot be written */
			ring_desc(&r->vq, 0, r->header, 17, 0, 0);
		else /* half a header */
			ring_desc(&r->vq, 0, r->header, 15, NEXT, 1);
		ring_desc(&r->vq, 1, r->status, 1, WRITE, 0);
		ring_post(&r->vq, 0);
		ring_kick(&r->vq);
		guest_sync(r->g);
		assert_true(driver_status(&r->d) & VIRTIO_CONFIG_S_NEEDS_RESET);
		assert_true(driver_negotiate(&r->d, ROOM | VERSION_1));
		ring_open(&r->vq, &r->d, 0, SIZE, 1);
		driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
		assert_int_equal(request(r, VIRTIO_BLK_T_IN, 1, 512, true), VIRTIO_BLK_S_OK);
	}
}

static void serial_number(void **state)
{
	struct rig *r = rig_new(",serial=12345678901234567890", WCE);
	struct err err = { 0 };
	struct dev *dev = NULL;
	char spec[128];

	(void)state;
	memset(r->data_mem, UNTOUCHED, 64);
	assert_int_equal(request(r, VIRTIO_BLK_T_GET_ID, 0, 20, true), VIRTIO_BLK_S_OK);
	assert_memory_equal(r->data_mem, "12345678901234567890", 20);
	assert_int_equal(r->data_mem[20], UNTOUCHED);
	/* A buffer that is shorter gets what it holds. */
	memset(r->data_mem, UNTOUCHED, 64);
	assert_int_equal(request(r, VIRTIO_BLK_T_GET_ID, 0, 4, true), VIRTIO_BLK_S_OK);
	assert_memory_equal(r->data_mem, "1234\xee", 5);
	snprintf(spec, sizeof(spec), "virtio-blk,lock=off,path=%s,serial=123456789012345678901",
		 r->path);
	assert_int_equal(guest_try_device(r->g, &virtio_blk_class, spec, &dev, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "at most 20"));
	rig_free(r);
}

static void read_only(void **state)
{
	struct rig *r = rig_new(",readonly=on", WCE);

	(void)state;
	assert_true(driver_offered(&r->d) & BIT64(VIRTIO_BLK_F_RO));
	assert_false(driver_offered(&r->d) & BIT64(VIRTIO_BLK_F_DISCARD));
	assert_int_equal(request(r, VIRTIO_BLK_T_IN, 2, 512, true), VIRTIO_BLK_S_OK);
	assert_int_equal(r->data_mem[0], 2 * 7 + 1);
	memset(r->data_mem, 0, 512);
	assert_int_equal(request(r, VIRTIO_BLK_T_OUT, 2, 512, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range_request(r, VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range_request(r, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(image_byte(r, 2 * SECTOR), 2 * 7 + 1);
	assert_int_equal(image_byte(r, 0), 1);
	rig_free(r);
}

/* Past the page cache, from memory and into places that are not aligned as the host's disk wants.
 */
static void direct(void **state)
{
	struct rig *r = rig_new(",direct=on", WCE);

	(void)state;
	memset(r->data_mem, 0x77, 8192);
	post(r, 0, VIRTIO_BLK_T_OUT, 16, r->data, 8192, false);
	ring_kick(&r->vq);
	assert_int_equal(answered(r, NULL), VIRTIO_BLK_S_OK);
	post(r, 0, VIRTIO_BLK_T_OUT, 33, r->data + 3, 512, false);
	ring_kick(&r->vq);
	assert_int_equal(answered(r, NULL), VIRTIO_BLK_S_OK);
	memset(r->data_mem, 0, 16384);
	post(r, 0, VIRTIO_BLK_T_IN, 15, r->data + 1, 19 * SECTOR, true);
	ring_kick(&r->vq);
	assert_int_equal(answered(r, NULL), VIRTIO_BLK_S_OK);
	assert_int_equal(r->data_mem[1], 15 * 7 + 1);
	assert_int_equal(r->data_mem[1 + 512], 0x77);
	assert_int_equal(r->data_mem[17 * SECTOR], 0x77);
	assert_int_equal(r->data_mem[1 + 17 * SECTOR], 32 * 7 + 1);
	assert_int_equal(r->data_mem[1 + 18 * SECTOR], 0x77);
	assert_int_equal(request(r, VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_OK);
	rig_free(r);
}

/* F06: a second vCPU rewrites the request after the device's first, second, third... look at it. What
 * was checked is what is done, so nothing is written beyond the image. */

static struct {
	uint8_t *header;
	int after;
} rewriting;

static void rewrite(int count)
{
	if (count == rewriting.after)
		put_le64(rewriting.header + 8, SECTORS + 100);
}

static void f06_request_rewritten(void **state)
{
	struct rig *r = *state;
	unsigned int good = 0;
	uint8_t status;

	rewriting.header = r->header_mem;
	load_trap.stepped = rewrite;
	for (rewriting.after = 1; rewriting.after <= 4; rewriting.after++) {
		memset(r->data_mem, 0x60 + rewriting.after, 512);
		post(r, 0, VIRTIO_BLK_T_OUT, 3, r->data, 512, false);
		load_trap_on(&r->header_mem, 1);
		ring_kick(&r->vq);
		guest_sync(r->g);
		load_trap_off();
		assert_true(load_trap.count > 0);
		status = answered(r, NULL);
		good += status == VIRTIO_BLK_S_OK;
		assert_true(status == VIRTIO_BLK_S_OK || status == VIRTIO_BLK_S_IOERR);
		assert_int_equal(lseek(r->fd, 0, SEEK_END), IMAGE);
		if (status == VIRTIO_BLK_S_OK)
			assert_int_equal(image_byte(r, 3 * SECTOR), 0x60 + rewriting.after);
	}
	load_trap.stepped = NULL;
	assert_true(good > 0); /* it looks less than four times */
}

/* F36: someone cuts the image while the guest has it. */
static void cut_image(void **state)
{
	struct rig *r = *state;

	assert_int_equal(ftruncate(r->fd, IMAGE / 2 + 512), 0);
	memset(r->data_mem, 0xc3, 4096);
	assert_int_equal(request(r, VIRTIO_BLK_T_IN, SECTORS / 2, 4096, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(r, VIRTIO_BLK_T_IN, SECTORS - 1, 512, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(r, VIRTIO_BLK_T_IN, SECTORS / 2, 512, true), VIRTIO_BLK_S_OK);
	assert_true(guest_logged(r->g, r->path));
	/* A write makes it longer again. */
	memset(r->data_mem, 0x11, 512);
	assert_int_equal(request(r, VIRTIO_BLK_T_OUT, SECTORS - 1, 512, false), VIRTIO_BLK_S_OK);
	assert_int_equal(lseek(r->fd, 0, SEEK_END), IMAGE);
}

/* F10: requests that wait for a better time are under way when the guest resets the device. None of
 * them touches memory afterwards, and the disk serves the next driver. */
static void reset_with_requests_under_way(void **state)
{
	struct rig *r = rig_new(",on-error=stop", WCE);
	unsigned int i;

	(void)state;
	assert_int_equal(ftruncate(r->fd, 512), 0);
	for (i = 0; i < 64; i++)
		post(r, i, VIRTIO_BLK_T_IN, 8 + i, r->data + i * SECTOR, 512, true);
	ring_kick(&r->vq);
	guest_sync(r->g);
	assert_true(guest_logged(r->g, "it waits"));
	for (i = 0; i < 64; i++)
		assert_int_equal(r->status_mem[i * SLOT], UNTOUCHED);
	assert_true(driver_negotiate(&r->d, WCE | VERSION_1));
	memset(r->data_mem, 0xc3, 64 * SECTOR);
	memset(r->status_mem, 0xc3, SIZE * SLOT);
	/* What they waited for comes: too late. */
	assert_int_equal(ftruncate(r->fd, IMAGE), 0);
	ring_open(&r->vq, &r->d, 0, SIZE, 1);
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
	usleep(1200000); /* longer than it takes until they would be tried again */
	guest_sync(r->g);
	for (i = 0; i < 64 * 512; i++)
		assert_int_equal(r->data_mem[i], 0xc3);
	for (i = 0; i < SIZE * SLOT; i++)
		assert_int_equal(r->status_mem[i], 0xc3);
	r->next = 0;
	assert_int_equal(request(r, VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
	assert_int_equal(r->data_mem[0], 1);
	rig_free(r);
}

/* What waits goes on when it can. */
static void error_that_passes(void **state)
{
	struct rig *r = rig_new(",on-error=stop", WCE);

	(void)state;
	assert_int_equal(ftruncate(r->fd, 512), 0);
	post(r, 0, VIRTIO_BLK_T_IN, 8, r->data, 512, true);
	ring_kick(&r->vq);
	guest_sync(r->g);
	assert_int_equal(r->status_mem[0], UNTOUCHED);
	assert_int_equal(ftruncate(r->fd, IMAGE), 0);
	assert_int_equal(answered(r, NULL), VIRTIO_BLK_S_OK);
	assert_int_equal(r->data_mem[0], 0);
	assert_true(guest_logged(r->g, "goes on"));
	rig_free(r);
}

static void refused(struct guest *g, const char *path, const char *more, int code, const char *text)
{
	struct err err = { 0 };
	struct dev *dev = NULL;
	char spec[128];

	snprintf(spec, sizeof(spec), "virtio-blk,path=%s%s", path, more);
	assert_int_equal(guest_try_device(g, &virtio_blk_class, spec, &dev, &err), code);
	if (!strstr(err.msg, text))
		fail_msg("'%s' without '%s'", err.msg, text);
}

static void make(struct guest *g, const char *path, const char *more)
{
	char spec[128];

	snprintf(spec, sizeof(spec), "virtio-blk,path=%s%s", path, more);
	guest_device(g, &virtio_blk_class, spec);
}

static void images_that_cannot_be(void **state)
{
	struct rig *r = *state;
	struct rig other = { 0 };

	image_make(&other);
	refused(r->g, "/nowhere/x", "", -ENOENT, "/nowhere/x: No such file");
	refused(r->g, "/dev/null", "", -EINVAL, "neither a file nor a block device");
	refused(r->g, r->path, "", -EBUSY, "in use by another guest");
	refused(r->g, r->path, ",readonly=on", -EBUSY, "which writes it");
	refused(r->g, other.path, ",format=qcow2", -EINVAL, "format=qcow2: only raw");
	refused(r->g, other.path, ",on-error=ignore", -EINVAL, "report or stop");
	assert_int_equal(pwrite(other.fd, "QFI\xfb", 4, 0), 4);
	refused(r->g, other.path, "", -EINVAL, "is a qcow2 image");
	assert_int_equal(pwrite(other.fd, "vhdxfile", 8, 0), 8);
	refused(r->g, other.path, "", -EINVAL, "is a VHDX image");
	/* The same as raw; and two that only read get along. */
	make(r->g, other.path, ",format=raw,readonly=on");
	make(r->g, other.path, ",format=raw,readonly=on");
	refused(r->g, other.path, ",format=raw", -EBUSY, "in use by another guest");
	close(other.fd);
	unlink(other.path);
}

/* A partition table that was made for a larger disk, a volume of more blocks than there are: the
 * guest starts, and the log says so. */
static void images_cut_short(void **state)
{
	struct rig *r = *state;
	struct rig other = { 0 };
	uint8_t gpt[40] = "EFI PART";
	uint8_t iso[84] = "\1CD001\1";

	image_make(&other);
	put_le64(gpt + 32, SECTORS - 1);
	assert_int_equal(pwrite(other.fd, gpt, sizeof(gpt), 512), sizeof(gpt));
	put_le32(iso + 80, IMAGE / 2048);
	assert_int_equal(pwrite(other.fd, iso, sizeof(iso), 0x8000), sizeof(iso));
	make(r->g, other.path, ",lock=off");
	assert_false(guest_logged(r->g, "cut short"));
	put_le32(iso + 80, IMAGE / 2048 + 1);
	assert_int_equal(pwrite(other.fd, iso, sizeof(iso), 0x8000), sizeof(iso));
	make(r->g, other.path, ",lock=off");
	assert_true(guest_logged(r->g, "volume descriptor says 1050624: was it cut short?"));
	put_le64(gpt + 32, SECTORS);
	assert_int_equal(pwrite(other.fd, gpt, sizeof(gpt), 512), sizeof(gpt));
	make(r->g, other.path, ",lock=off");
	assert_true(guest_logged(r->g, "partition table says 1049088: was it cut short?"));
	close(other.fd);
	unlink(other.path);
}

struct burst {
	const char *options;
	unsigned int requests, depth;
};

static int burst_scenario(void *arg)
{
	const struct burst *burst = arg;
	struct rig *r = rig_new(burst->options, WCE);
	unsigned int done, i;
	uint32_t id, len;

	request(r, VIRTIO_BLK_T_IN, 0, 4096, true);
	guest_sync(r->g);
	usleep(100000); /* for a thread of its own, which then waits */
	guest_msix_count(r->d.pdev, 1);
	syscall_count_begin();
	for (done = 0; done < burst->requests; done += burst->depth) {
		r->next = 0;
		for (i = 0; i < burst->depth; i++)
			post(r, i, VIRTIO_BLK_T_IN, i * 8ul, r->data + i * 4096ul, 4096, true);
		ring_kick(&r->vq);
		for (i = 0; i < burst->depth; i++)
			if (!ring_wait(&r->vq, &id, &len))
				return 3;
	}
	syscall_count_end();
	/* An interrupt need not be a system call, but it has its price. */
	return guest_msix_count(r->d.pdev, 1) > (burst->depth > 4 ? done / 4 : done) ? 4 : 0;
}

/* G7. All system calls of the loop: its wait, io_uring_enter, the interrupt. */
static void cost_of_requests(void **state)
{
	static const struct {
		struct burst burst;
		double limit;
	} cases[] = { { { "", 256, 1 }, 3.1 },
		      { { "", 1024, 32 }, 0.125 },
		      { { ",iothread=on", 256, 1 }, 2.0 },
		      { { ",iothread=on", 1024, 32 }, 0.125 } };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct burst burst = cases[i].burst;
		int status = 0;
		long calls = syscall_count(burst_scenario, &burst, &status);

		if (calls < 0 || status == 255) {
			print_message("cost: tracing is not allowed here\n");
			skip();
		}
		assert_int_equal(status, 0);
		print_message("system calls for a request at depth %u%s: %.3f (%ld for %u)\n",
			      burst.depth, burst.options, (double)calls / burst.requests, calls,
			      burst.requests);
		assert_true((double)calls / burst.requests <= cases[i].limit);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_and_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(requests_that_cannot_be, setup, teardown),
		cmocka_unit_test_setup_teardown(ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(scattered, setup, teardown),
		cmocka_unit_test_setup_teardown(no_request_at_all, setup, teardown),
		cmocka_unit_test(serial_number),
		cmocka_unit_test(read_only),
		cmocka_unit_test(direct),
		cmocka_unit_test_setup_teardown(f06_request_rewritten, setup, teardown),
		cmocka_unit_test_setup_teardown(cut_image, setup, teardown),
		cmocka_unit_test(reset_with_requests_under_way),
		cmocka_unit_test(error_that_passes),
		cmocka_unit_test_setup_teardown(images_that_cannot_be, setup, teardown),
		cmocka_unit_test_setup_teardown(images_cut_short, setup, teardown),
		cmocka_unit_test(cost_of_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
