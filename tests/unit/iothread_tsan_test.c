// SPDX-License-Identifier: GPL-2.0-or-later
/* Disks that a thread of their own serves: vCPUs, that thread and the loop at the same time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_scsi.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "fake_driver.h"
#include "fake_kvm.h"
#include "virtio/virtio_blk.h"
#include "virtio/virtio_scsi.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define VERSION_1 BIT64(VIRTIO_F_VERSION_1)
#define SIZE 64u
#define DEPTH 16ul
#define BLOCK 4096ul
#define IMAGE (1ul << 20)
#define CANARY 0xc3

struct rig {
	struct guest *g;
	struct dev *dev;
	struct driver d;
	struct ring vq;
	char path[32];
	gpa_t head, data; /* a block for each */
	uint8_t *head_mem, *data_mem;
	pthread_t vcpu;
	atomic_bool stop;
};

/* Block i of the image holds i + 1. */
static void image_make(struct rig *r)
{
	uint8_t block[BLOCK];
	unsigned int i;
	int fd;

	snprintf(r->path, sizeof(r->path), "/tmp/iothread.XXXXXX");
	fd = mkstemp(r->path);
	assert_true(fd >= 0);
	for (i = 0; i < IMAGE / BLOCK; i++) {
		memset(block, (int)(i + 1), sizeof(block));
		assert_int_equal(pwrite(fd, block, sizeof(block), (off_t)i * BLOCK), BLOCK);
	}
	close(fd);
}

static void drive(struct rig *r, unsigned int queue)
{
	assert_true(driver_negotiate(&r->d, VERSION_1));
	ring_open(&r->vq, &r->d, queue, SIZE, (uint16_t)(queue + 1));
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
}

static struct rig *rig_new(const struct dev_class *class, const char *options, unsigned int queue)
{
	struct rig *r = test_calloc(1, sizeof(*r));
	char spec[128];

	image_make(r);
	r->g = guest_new(8 * MIB);
	snprintf(spec, sizeof(spec), "%s,id=d,iothread=on,path=%s%s", class->name, r->path,
		 options);
	r->dev = guest_device(r->g, class, spec);
	r->head = guest_alloc(r->g, DEPTH * BLOCK, BLOCK);
	r->data = guest_alloc(r->g, DEPTH * BLOCK, BLOCK);
	r->head_mem = guest_ptr(r->g, r->head, DEPTH * BLOCK);
	r->data_mem = guest_ptr(r->g, r->data, DEPTH * BLOCK);
	guest_start(r->g);
	driver_open(&r->d, r->g, r->dev);
	guest_msix_on(r->g, r->d.pdev);
	drive(r, queue);
	return r;
}

static void rig_free(struct rig *r)
{
	guest_free(r->g);
	unlink(r->path);
	test_free(r);
}

/* How many threads have that name; and how the last of them is scheduled. */
static unsigned int threads_of(const char *name, int *ret_policy)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *e;
	unsigned int n = 0;

	assert_non_null(tasks);
	while ((e = readdir(tasks))) {
		char path[300], text[32] = "";
		int fd;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		if (read(fd, text, sizeof(text) - 1) > 0)
			text[strcspn(text, "\n")] = '\0';
		if (!strcmp(text, name)) {
			*ret_policy = sched_getscheduler((pid_t)strtol(e->d_name, NULL, 10));
			n++;
		}
		close(fd);
	}
	closedir(tasks);
	return n;
}

/* A thread that was joined is listed for a moment longer. */
static bool threads_named(const char *name, unsigned int want)
{
	unsigned int tries = 5000;
	int policy;

	while (threads_of(name, &policy) != want && tries--)
		usleep(1000);
	return threads_of(name, &policy) == want;
}

/* Reads of block first + i into place i; the head holds header and status. */
static void post_reads(struct rig *r, unsigned int first)
{
	unsigned int i;

	for (i = 0; i < DEPTH; i++) {
		uint8_t *h = r->head_mem + (size_t)i * BLOCK;
		gpa_t head = r->head + (gpa_t)i * BLOCK;

		put_le32(h, VIRTIO_BLK_T_IN);
		put_le32(h + 4, 0);
		put_le64(h + 8, (uint64_t)(first + i) * (BLOCK / DISK_SECTOR));
		ring_desc(&r->vq, 3 * i, head, 16, NEXT, (uint16_t)(3 * i + 1));
		ring_desc(&r->vq, 3 * i + 1, r->data + (gpa_t)i * BLOCK, BLOCK, NEXT | WRITE,
			  (uint16_t)(3 * i + 2));
		ring_desc(&r->vq, 3 * i + 2, head + 16, 1, WRITE, 0);
		ring_post(&r->vq, (uint16_t)(3 * i));
	}
	ring_kick(&r->vq);
}

static void wait_for_all(struct rig *r)
{
	uint32_t id, len;
	unsigned int i;

	for (i = 0; i < DEPTH; i++) {
		assert_true(ring_wait(&r->vq, &id, &len));
		assert_int_equal(len, BLOCK + 1);
	}
}

static void check_data(struct rig *r, unsigned int first)
{
	unsigned int i;

	for (i = 0; i < DEPTH; i++) {
		assert_int_equal(r->head_mem[(size_t)i * BLOCK + 16], VIRTIO_BLK_S_OK);
		assert_int_equal(r->data_mem[(size_t)i * BLOCK], (uint8_t)(first + i + 1));
		assert_int_equal(r->data_mem[(size_t)i * BLOCK + BLOCK - 1],
				 (uint8_t)(first + i + 1));
	}
}

static void *other_vcpu(void *opaque)
{
	struct rig *r = opaque;

	while (!atomic_load(&r->stop)) {
		guest_read(r->g, r->d.common + VIRTIO_PCI_COMMON_STATUS, 1);
		guest_read(r->g, r->d.device, 4);
		guest_read(r->g, r->d.isr, 1);
		guest_write(r->g, r->d.notify, 2, 0);
	}
	return NULL;
}

static void vcpu_start(struct rig *r)
{
	assert_int_equal(pthread_create(&r->vcpu, NULL, other_vcpu, r), 0);
}

static void vcpu_stop(struct rig *r)
{
	atomic_store(&r->stop, true);
	pthread_join(r->vcpu, NULL);
}

static void serves_beside_the_loop(void **state)
{
	unsigned int round;
	int policy;
	struct rig *r = rig_new(&virtio_blk_class, "", 0);

	(void)state;
	assert_true(threads_named("io-d", 1));
	vcpu_start(r);
	for (round = 0; round < 200; round++) {
		memset(r->data_mem, 0, DEPTH * BLOCK);
		post_reads(r, round);
		wait_for_all(r);
		check_data(r, round);
	}
	vcpu_stop(r);
	/* It leaves a vCPU on its own processor its turn (G7). */
	assert_int_equal(threads_of("io-d", &policy), 1);
	assert_int_equal(policy, SCHED_BATCH);
	assert_true(guest_msix_count(r->d.pdev, 1) > 0);
	rig_free(r);
	assert_true(threads_named("io-d", 0));
}

/* The guest's loop is held up, and the disk is served all the same. */
static void hold(void *opaque)
{
	struct rig *r = opaque;

	while (!atomic_load(&r->stop))
		usleep(1000);
}

static void needs_no_loop(void **state)
{
	struct rig *r = rig_new(&virtio_blk_class, "", 0);

	(void)state;
	assert_int_equal(loop_post(r->g->vm->loop, hold, r), 0);
	post_reads(r, 3);
	wait_for_all(r);
	check_data(r, 3);
	atomic_store(&r->stop, true);
	rig_free(r);
}

/* F10: reads are on their way when another thread resets the device. */
static void reset_under_load(void **state)
{
	struct rig *r = rig_new(&virtio_blk_class, ",direct=on", 0);
	unsigned int round;
	size_t i;

	(void)state;
	for (round = 0; round < 100; round++) {
		post_reads(r, round);
		if (round % 3 == 0)
			usleep(round * 7);
		guest_write(r->g, r->d.common + VIRTIO_PCI_COMMON_STATUS, 1, 0);
		assert_int_equal(driver_status(&r->d), 0);
		memset(r->data_mem, CANARY, DEPTH * BLOCK);
		memset(r->head_mem, CANARY, DEPTH * BLOCK);
		drive(r, 0);
		if (round % 10 == 0)
			usleep(2000);
		for (i = 0; i < (size_t)DEPTH * BLOCK; i++)
			assert_true(r->data_mem[i] == CANARY && r->head_mem[i] == CANARY);
	}
	post_reads(r, 1);
	wait_for_all(r);
	check_data(r, 1);
	rig_free(r);
}

/* Bus mastering goes off and on; what could not be taken meanwhile is taken then. */
static void bus_mastering(void **state)
{
	struct rig *r = rig_new(&virtio_blk_class, ",direct=on", 0);
	uint64_t command = guest_ecam(r->d.pdev, PCI_COMMAND);
	unsigned int round;

	(void)state;
	for (round = 0; round < 100; round++) {
		post_reads(r, round);
		guest_write(r->g, command, 2, PCI_COMMAND_MEMORY);
		usleep(round);
		guest_write(r->g, command, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		wait_for_all(r);
		check_data(r, round);
	}
	rig_free(r);
}

static void remove_now(void *opaque)
{
	dev_remove(opaque);
}

static void removed_under_load(void **state)
{
	unsigned int round;

	(void)state;
	for (round = 0; round < 20; round++) {
		struct rig *r = rig_new(&virtio_blk_class, ",direct=on", 0);

		vcpu_start(r);
		post_reads(r, round);
		assert_int_equal(loop_post(r->g->vm->loop, remove_now, r->dev), 0);
		guest_sync(r->g);
		vcpu_stop(r);
		assert_int_equal(driver_status(&r->d), 0xff);
		guest_sync(r->g);
		assert_true(threads_named("io-d", 0));
		rig_free(r);
	}
}

/* READ(10) of one block. Returns the status. */
static uint8_t scsi_read(struct rig *r, uint32_t lba)
{
	struct virtio_scsi_cmd_req *req = (void *)r->head_mem;
	struct virtio_scsi_cmd_resp *resp = (void *)(r->head_mem + BLOCK);
	uint32_t id, len;

	memset(req, 0, sizeof(*req));
	memset(resp, CANARY, sizeof(*resp));
	req->lun[0] = 1;
	req->cdb[0] = 0x28;
	req->cdb[5] = (uint8_t)lba;
	req->cdb[4] = (uint8_t)(lba >> 8);
	req->cdb[8] = BLOCK / DISK_SECTOR;
	ring_desc(&r->vq, 0, r->head, sizeof(*req), NEXT, 1);
	ring_desc(&r->vq, 1, r->head + BLOCK, sizeof(*resp), NEXT | WRITE, 2);
	ring_desc(&r->vq, 2, r->data, BLOCK, WRITE, 0);
	ring_post(&r->vq, 0);
	ring_kick(&r->vq);
	assert_true(ring_wait(&r->vq, &id, &len));
	assert_int_equal(resp->response, VIRTIO_SCSI_S_OK);
	return resp->status;
}

static void scsi(void **state)
{
	struct rig *r = rig_new(&scsi_disk_class, "", VIRTIO_SCSI_REQUEST);
	unsigned int i;

	(void)state;
	assert_true(threads_named("io-d", 1));
	vcpu_start(r);
	assert_int_equal(scsi_read(r, 0), 2); /* the unit was reset */
	for (i = 0; i < 100; i++) {
		assert_int_equal(scsi_read(r, i * (BLOCK / DISK_SECTOR)), 0);
		assert_int_equal(r->data_mem[BLOCK - 1], (uint8_t)(i + 1));
	}
	vcpu_stop(r);
	rig_free(r);
}

/* What fails after the thread was made takes it along. */
static void half_built(void **state)
{
	struct rig *r = rig_new(&virtio_blk_class, "", 0);
	struct err err = { 0 };
	struct dev *dev = NULL;
	char spec[128];

	(void)state;
	snprintf(spec, sizeof(spec), "scsi-cd,id=c,lock=off,iothread=on,path=%s", r->path);
	assert_int_equal(truncate(r->path, 1024), 0);
	assert_int_equal(guest_try_device(r->g, &scsi_cd_class, spec, &dev, &err), -EINVAL);
	assert_true(threads_named("io-c", 0));
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serves_beside_the_loop),
		cmocka_unit_test(needs_no_loop),
		cmocka_unit_test(reset_under_load),
		cmocka_unit_test(bus_mastering),
		cmocka_unit_test(removed_under_load),
		cmocka_unit_test(scsi),
		cmocka_unit_test(half_built),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
