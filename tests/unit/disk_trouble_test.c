// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * F36, F37: a disk whose io_uring is in trouble. Each test goes over a disk that the loop serves
 * and one with a thread of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_scsi.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_driver.h"
#include "fake_kvm.h"
#include "fake_uring.h"
#include "virtio/virtio_blk.h"
#include "virtio/virtio_scsi.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define VERSION_1 BIT64(VIRTIO_F_VERSION_1)
#define FEATURES (VERSION_1 | BIT64(VIRTIO_BLK_F_FLUSH))
#define SIZE 64u
#define DEPTH 8ul
#define BLOCK 4096ul
#define IMAGE (1ul << 20)
#define CANARY 0xc3

static const char *const modes[] = { "", ",iothread=on" };

struct rig {
	struct guest *g;
	struct virtio_blk *b;
	struct driver d;
	struct ring vq;
	char path[32];
	int fd;
	gpa_t head, data;
	uint8_t *head_mem, *data_mem;
	unsigned int stamp;
};

static void drive(struct rig *r)
{
	assert_true(driver_negotiate(&r->d, FEATURES));
	ring_open(&r->vq, &r->d, 0, SIZE, 1);
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
}

static struct rig *rig_new(const char *options)
{
	struct rig *r = test_calloc(1, sizeof(*r));
	char spec[128];

	fake_uring_reset();
	snprintf(r->path, sizeof(r->path), "/tmp/disk_trouble.XXXXXX");
	r->fd = mkstemp(r->path);
	assert_true(r->fd >= 0);
	assert_int_equal(ftruncate(r->fd, IMAGE), 0);
	r->g = guest_new(8 * MIB);
	snprintf(spec, sizeof(spec), "virtio-blk,id=d,path=%s%s", r->path, options);
	r->b = (struct virtio_blk *)(void *)guest_device(r->g, &virtio_blk_class, spec);
	r->head = guest_alloc(r->g, DEPTH * BLOCK, BLOCK);
	r->data = guest_alloc(r->g, DEPTH * BLOCK, BLOCK);
	r->head_mem = guest_ptr(r->g, r->head, DEPTH * BLOCK);
	r->data_mem = guest_ptr(r->g, r->data, DEPTH * BLOCK);
	guest_start(r->g);
	driver_open(&r->d, r->g, &r->b->vpci.pdev.dev);
	guest_msix_on(r->g, r->d.pdev);
	drive(r);
	return r;
}

static void rig_free(struct rig *r)
{
	fake_uring_reset();
	guest_free(r->g);
	close(r->fd);
	unlink(r->path);
	test_free(r);
}

/* One for each place: @type of block first + i. */
static void post_all(struct rig *r, uint32_t type, unsigned int first)
{
	unsigned int i;

	for (i = 0; i < DEPTH; i++) {
		uint8_t *h = r->head_mem + i * BLOCK;
		gpa_t head = r->head + i * BLOCK;

		put_le32(h, type);
		put_le32(h + 4, 0);
		put_le64(h + 8, (first + i) * (BLOCK / DISK_SECTOR));
		h[16] = CANARY;
		ring_desc(&r->vq, 3 * i, head, 16, NEXT, (uint16_t)(3 * i + 1));
		ring_desc(&r->vq, 3 * i + 1, r->data + i * BLOCK, BLOCK,
			  (uint16_t)(NEXT | (type == VIRTIO_BLK_T_IN ? WRITE : 0)),
			  (uint16_t)(3 * i + 2));
		ring_desc(&r->vq, 3 * i + 2, head + 16, 1, WRITE, 0);
		ring_post(&r->vq, (uint16_t)(3 * i));
	}
	ring_kick(&r->vq);
}

/* Waits for all; how many of them failed. */
static unsigned int finish_all(struct rig *r)
{
	unsigned int i, bad = 0;
	uint32_t id, len;

	for (i = 0; i < DEPTH; i++)
		assert_true(ring_wait(&r->vq, &id, &len));
	for (i = 0; i < DEPTH; i++) {
		uint8_t status = r->head_mem[i * BLOCK + 16];

		assert_true(status == VIRTIO_BLK_S_OK || status == VIRTIO_BLK_S_IOERR);
		bad += status != VIRTIO_BLK_S_OK;
	}
	return bad;
}

/* Blocks that were never written before are written, found in the image, and read. */
static void round_of_all(struct rig *r)
{
	unsigned int i, first = r->stamp % (IMAGE / BLOCK - DEPTH);
	uint8_t block[BLOCK];

	r->stamp++;
	for (i = 0; i < DEPTH * BLOCK; i++)
		r->data_mem[i] = (uint8_t)(i * 31 / 7 + i / BLOCK + r->stamp);
	post_all(r, VIRTIO_BLK_T_OUT, first);
	assert_int_equal(finish_all(r), 0);
	for (i = 0; i < DEPTH; i++) {
		assert_int_equal(pread(r->fd, block, BLOCK, (off_t)((first + i) * BLOCK)), BLOCK);
		assert_memory_equal(block, r->data_mem + i * BLOCK, BLOCK);
	}
	memset(r->data_mem, 0, DEPTH * BLOCK);
	post_all(r, VIRTIO_BLK_T_IN, first);
	assert_int_equal(finish_all(r), 0);
	for (i = 0; i < DEPTH * BLOCK; i++)
		assert_int_equal(r->data_mem[i], (uint8_t)(i * 31 / 7 + i / BLOCK + r->stamp));
}

static void for_each_mode(void (*test)(struct rig *))
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		struct rig *r = rig_new(modes[i]);

		test(r);
		rig_free(r);
	}
}

static void fail_at_each(struct rig *r, void (*set)(unsigned long, unsigned long, int),
			 unsigned long (*count)(void), int error)
{
	unsigned long k = 0, seen;

	do {
		set(++k, 0, error);
		round_of_all(r);
		seen = count();
		/* It has its effect, until k is beyond the last. */
	} while (k <= seen && k < 200);
	assert_true(k > DEPTH / 4 && k < 200);
}

/* The k-th call or end goes wrong in a way that passes: nobody sees it. */
static void each_call(struct rig *r)
{
	fail_at_each(r, fake_uring_fail_enter, fake_uring_enters, -EINTR);
	fail_at_each(r, fake_uring_fail_enter, fake_uring_enters, -EAGAIN);
	fail_at_each(r, fake_uring_fail_enter, fake_uring_enters, -EBUSY);
}

static void calls_that_fail(void **state)
{
	(void)state;
	for_each_mode(each_call);
}

static void each_end(struct rig *r)
{
	fail_at_each(r, fake_uring_fail_end, fake_uring_ends, -EINTR);
	fail_at_each(r, fake_uring_fail_end, fake_uring_ends, -EAGAIN);
	fail_at_each(r, fake_uring_fail_end, fake_uring_ends, FAKE_URING_SHORT);
}

static void ends_that_fail(void **state)
{
	(void)state;
	for_each_mode(each_end);
}

/* A thousand requests, of which every third goes wrong, each second call too. */
static void all_the_time(struct rig *r)
{
	unsigned int i;

	fake_uring_fail_enter(2, 2, -EINTR);
	fake_uring_fail_end(1, 3, FAKE_URING_SHORT);
	for (i = 0; i < 1000 / (2 * DEPTH); i++)
		round_of_all(r);
	fake_uring_fail_end(1, 3, -EAGAIN);
	for (i = 0; i < 1000 / (2 * DEPTH); i++)
		round_of_all(r);
	assert_true(fake_uring_ends() > 1000);
}

static void a_thousand_requests(void **state)
{
	(void)state;
	for_each_mode(all_the_time);
}

/* It never comes further: the guest gets an error, and the disk is as good as ever after. */
static void for_ever(struct rig *r)
{
	fake_uring_fail_end(1, 1, -EAGAIN);
	post_all(r, VIRTIO_BLK_T_IN, 0);
	assert_int_equal(finish_all(r), DEPTH);
	fake_uring_fail_end(1, 1, -EIO);
	post_all(r, VIRTIO_BLK_T_OUT, 0);
	assert_int_equal(finish_all(r), DEPTH);
	fake_uring_reset();
	round_of_all(r);
}

static void errors_that_stay(void **state)
{
	(void)state;
	for_each_mode(for_ever);
}

static void hold_all(struct rig *r)
{
	unsigned int tries = 5000;

	fake_uring_hold();
	post_all(r, VIRTIO_BLK_T_IN, 0);
	while (fake_uring_held() < DEPTH && tries--)
		usleep(1000);
	assert_int_equal(fake_uring_held(), DEPTH);
}

/* The driver's reset returns, and is over when the host has answered. */
static void reset_waits(struct rig *r)
{
	unsigned int i, tries = 5000;
	uint64_t common = r->d.common;

	hold_all(r);
	guest_write(r->g, common + VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_not_equal(driver_status(&r->d), 0);
	assert_false(driver_status(&r->d) & VIRTIO_CONFIG_S_DRIVER_OK);
	assert_true(guest_logged(r->g, "its reset waits"));
	/* What the driver does meanwhile is nothing. */
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
	assert_false(driver_status(&r->d) & VIRTIO_CONFIG_S_DRIVER_OK);
	guest_write(r->g, common + VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_not_equal(driver_status(&r->d), 0);
	guest_msix_count(r->d.pdev, 1);
	fake_uring_release(&r->b->vpci.pdev.dev.lock);
	while (driver_status(&r->d) && tries--)
		usleep(1000);
	assert_int_equal(driver_status(&r->d), 0);
	assert_int_equal(guest_msix_count(r->d.pdev, 1), 0);
	memset(r->head_mem, CANARY, DEPTH * BLOCK);
	memset(r->data_mem, CANARY, DEPTH * BLOCK);
	drive(r);
	for (i = 0; i < DEPTH * BLOCK; i++)
		assert_true(r->data_mem[i] == CANARY && r->head_mem[i] == CANARY);
	round_of_all(r);
}

static void reset_of_a_disk_that_hangs(void **state)
{
	(void)state;
	for_each_mode(reset_waits);
}

/* Removal and restart cannot wait for ever: the guest ends, with the reason. */
static struct dev *kept_devs[4]; /* what is stuck is not freed: here the leak checker finds it */
static struct vm *kept_vms[4];

static void restart_now(void *opaque)
{
	dev_reset_all(opaque);
}

static void restart(struct rig *r)
{
	assert_int_equal(loop_post(r->g->vm->loop, restart_now, r->g->vm), 0);
}

static void remove_now(void *opaque)
{
	dev_remove(opaque);
}

static void removal(struct rig *r)
{
	assert_int_equal(loop_post(r->g->vm->loop, remove_now, &r->b->vpci.pdev.dev), 0);
}

static void bus_mastering_off(struct rig *r)
{
	guest_write(r->g, guest_ecam(r->d.pdev, PCI_COMMAND), 2, PCI_COMMAND_MEMORY);
}

static void no_end_in_sight(void **state)
{
	static const struct {
		const char *options;
		void (*how)(struct rig *r);
	} cases[] = { { "", restart },
		      { "", removal },
		      { ",iothread=on", removal },
		      { ",iothread=on", bus_mastering_off } };
	unsigned int i, tries;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig *r = rig_new(cases[i].options);
		struct vm *vm = r->g->vm;

		kept_vms[i] = vm;
		kept_devs[i] = &r->b->vpci.pdev.dev;
		vm->drain_ms = 300;
		hold_all(r);
		cases[i].how(r);
		for (tries = 5000; !atomic_load(&vm->stuck) && tries; tries--)
			usleep(1000);
		assert_true(atomic_load(&vm->stuck));
		guest_stop(r->g); /* which ends by itself */
		assert_int_equal(vm->request, VM_DEVICE_ERROR);
		assert_int_equal(vm->end.code, VM_END_DEVICE);
		assert_non_null(strstr(vm->end.msg, "d: what it was to read or write is stuck"));
		assert_true(guest_logged(r->g, "has not ended within"));
		rig_free(r);
	}
}

/* SCSI: a reset of the unit waits no longer than a loop may, says that it failed, and the command
 * goes on. */
static void abort_of_what_hangs(void **state)
{
	struct rig *r = rig_new("");
	struct ring control, requests;
	struct driver d;
	struct dev *dev;
	char path[32] = "/tmp/disk_trouble.XXXXXX", spec[64];
	struct virtio_scsi_cmd_req *req = (void *)r->head_mem;
	struct virtio_scsi_cmd_resp *resp = (void *)(r->head_mem + BLOCK);
	struct virtio_scsi_ctrl_tmf_req *tmf = (void *)(r->head_mem + 2 * BLOCK);
	struct err err = { 0 };
	uint32_t id, len;
	int fd = mkstemp(path), i;

	(void)state;
	assert_int_equal(ftruncate(fd, IMAGE), 0);
	snprintf(spec, sizeof(spec), "scsi-disk,path=%s", path);
	dev = guest_device(r->g, &scsi_disk_class, spec);
	assert_int_equal(pci_root_place(r->g->vm->pci, &err), 0);
	driver_open(&d, r->g, dev);
	guest_msix_on(r->g, d.pdev);
	assert_true(driver_negotiate(&d, VERSION_1));
	ring_open(&control, &d, VIRTIO_SCSI_CONTROL, SIZE, 1);
	ring_open(&requests, &d, VIRTIO_SCSI_REQUEST, SIZE, 2);
	driver_set_status(&d, VIRTIO_CONFIG_S_DRIVER_OK);
	for (i = 0; i < 2; i++) { /* the first one hears of the reset */
		if (i)
			fake_uring_hold();
		memset(req, 0, sizeof(*req));
		req->lun[0] = 1;
		req->cdb[0] = 0x28; /* READ(10) */
		req->cdb[8] = 8;
		ring_desc(&requests, 0, r->head, sizeof(*req), NEXT, 1);
		ring_desc(&requests, 1, r->head + BLOCK, sizeof(*resp), NEXT | WRITE, 2);
		ring_desc(&requests, 2, r->data, BLOCK, WRITE, 0);
		ring_post(&requests, 0);
		ring_kick(&requests);
		if (!i)
			assert_true(ring_wait(&requests, &id, &len));
	}
	guest_sync(r->g);
	assert_int_equal(fake_uring_held(), 1);
	memset(tmf, 0, sizeof(*tmf));
	tmf->type = htole32(VIRTIO_SCSI_T_TMF);
	tmf->subtype = htole32(VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET);
	tmf->lun[0] = 1;
	r->head_mem[3 * BLOCK] = CANARY;
	ring_desc(&control, 0, r->head + 2 * BLOCK, sizeof(*tmf), NEXT, 1);
	ring_desc(&control, 1, r->head + 3 * BLOCK, 1, WRITE, 0);
	ring_post(&control, 0);
	ring_kick(&control);
	assert_true(ring_wait(&control, &id, &len));
	assert_int_equal(r->head_mem[3 * BLOCK], VIRTIO_SCSI_S_FUNCTION_REJECTED);
	assert_false(ring_used(&requests, &id, &len));
	fake_uring_release(&dev->lock);
	assert_true(ring_wait(&requests, &id, &len));
	assert_int_equal(resp->response, VIRTIO_SCSI_S_OK);
	assert_int_equal(resp->status, 0);
	close(fd);
	unlink(path);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_that_fail),
		cmocka_unit_test(ends_that_fail),
		cmocka_unit_test(a_thousand_requests),
		cmocka_unit_test(errors_that_stay),
		cmocka_unit_test(reset_of_a_disk_that_hangs),
		cmocka_unit_test(no_end_in_sight),
		cmocka_unit_test(abort_of_what_hangs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
