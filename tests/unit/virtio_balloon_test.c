// SPDX-License-Identifier: GPL-2.0-or-later
/* virtio-balloon as a driver sees it. Memory that went back to the host reads as zero. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_driver.h"
#include "fake_kvm.h"
#include "virtio/virtio_balloon.h"
#include "vmm/mem_discard.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define SIZE 16u
#define PAGE 4096ull
#define RAM (8 * MIB)

struct rig {
	struct guest *g;
	struct virtio_balloon *b;
	struct driver d;
	struct ring in, out, report;
	gpa_t list;  /* one page beyond what a request may be */
	gpa_t pages; /* 16 pages */
	uint8_t *list_mem, *mem;
};

/* Linux numbers the reporting queue 2 here, the specification 4. */
static void start(struct rig *r, unsigned int report)
{
	guest_msix_on(r->g, r->d.pdev);
	assert_true(driver_negotiate(&r->d, BIT64(VIRTIO_F_VERSION_1) |
						    BIT64(VIRTIO_BALLOON_F_REPORTING) |
						    BIT64(VIRTIO_BALLOON_F_DEFLATE_ON_OOM)));
	ring_open(&r->in, &r->d, 0, SIZE, 1);
	ring_open(&r->out, &r->d, 1, SIZE, 2);
	ring_open(&r->report, &r->d, report, SIZE, 3);
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
	memset(r->mem, 0xee, 16 * PAGE);
}

static void rig_open(struct rig *r, bool shared)
{
	*r = (struct rig){ .g = shared ? guest_new_shared(RAM) : guest_new(RAM) };
	r->b = (struct virtio_balloon *)(void *)guest_device(r->g, &virtio_balloon_class,
							     "virtio-balloon");
	r->list = guest_alloc(r->g, 2 * PAGE, PAGE);
	r->list_mem = guest_ptr(r->g, r->list, 2 * PAGE);
	r->pages = guest_alloc(r->g, 16 * PAGE, PAGE);
	r->mem = guest_ptr(r->g, r->pages, 16 * PAGE);
	guest_start(r->g);
	driver_open(&r->d, r->g, &r->b->vpci.pdev.dev);
	start(r, 2);
}

/* Posts one buffer; true when it came back. */
static bool request(struct rig *r, struct ring *q, gpa_t addr, uint32_t len, uint16_t flags)
{
	uint32_t id, used;

	ring_desc(q, 0, addr, len, flags, 0);
	ring_post(q, 0);
	ring_kick(q);
	guest_sync(r->g);
	return ring_used(q, &id, &used) && !used;
}

static bool inflate(struct rig *r, const uint32_t *pfns, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		put_le32(r->list_mem + (size_t)i * 4, pfns[i]);
	return request(r, &r->in, r->list, count * 4, 0);
}

/* Bit i: page i is zero throughout, else it is as it was. */
static unsigned int gone(const struct rig *r)
{
	static const uint8_t zero[PAGE];
	unsigned int i, mask = 0;
	uint8_t full[PAGE];

	memset(full, 0xee, sizeof(full));
	for (i = 0; i < 16; i++) {
		if (!memcmp(r->mem + i * PAGE, zero, PAGE))
			mask |= BIT(i);
		else
			assert_memory_equal(r->mem + i * PAGE, full, PAGE);
	}
	return mask;
}

static bool needs_reset(struct rig *r)
{
	return driver_status(&r->d) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void inflates(void **state)
{
	unsigned int shared;
	struct rig r;

	(void)state;
	for (shared = 0; shared < 2; shared++) {
		rig_open(&r, shared);
		uint32_t p = (uint32_t)(r.pages / PAGE);
		uint32_t pfns[] = { p + 5, p + 3, p + 4, p + 9, p + 3 };

		assert_true(inflate(&r, pfns, ARRAY_SIZE(pfns)));
		assert_int_equal(gone(&r), BIT(3) | BIT(4) | BIT(5) | BIT(9));
		/* Back again: nothing changes, and the page can be used. */
		assert_true(request(&r, &r.out, r.list, sizeof(pfns), 0));
		memset(r.mem + 3 * PAGE, 0xee, PAGE);
		assert_int_equal(gone(&r), BIT(4) | BIT(5) | BIT(9));
		guest_free(r.g);
	}
}

static void reports(void **state)
{
	unsigned int queue;
	struct rig r;

	(void)state;
	rig_open(&r, false);
	for (queue = 2; queue <= 4; queue += 2) {
		start(&r, queue);
		assert_true(
			request(&r, &r.report, r.pages + 2 * PAGE, (uint32_t)(3 * PAGE), WRITE));
		assert_int_equal(gone(&r), BIT(2) | BIT(3) | BIT(4));
		/* F13: parts of pages stay. */
		assert_true(request(&r, &r.report, r.pages + 8 * PAGE + 1, 2 * PAGE, WRITE));
		assert_true(request(&r, &r.report, r.pages + 12 * PAGE + 1, PAGE, WRITE));
		assert_int_equal(gone(&r), BIT(2) | BIT(3) | BIT(4) | BIT(9));
	}
	assert_false(request(&r, &r.report, r.pages, PAGE, 0));
	assert_true(needs_reset(&r));
	guest_free(r.g);
}

/* F13: page numbers that are no RAM are left out, the others are not. */
static void names_no_ram(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, false);
	uint32_t bar = (uint32_t)(pci_bar_addr(r.d.pdev, 0) / PAGE);
	uint32_t pfns[] = { 0xffffffff, RAM / PAGE, bar, (uint32_t)(r.pages / PAGE), 0xfee00 };

	assert_true(inflate(&r, pfns, ARRAY_SIZE(pfns)));
	assert_int_equal(gone(&r), BIT(0));
	assert_false(needs_reset(&r));
	assert_true(guest_logged(r.g, "no RAM"));
	guest_free(r.g);
}

/* F13: lists that are none. */
static void bad_lists(void **state)
{
	static const struct {
		uint32_t len;
		uint16_t flags;
	} bad[] = { { 6, 0 }, { VIRTIO_BALLOON_PFNS * 4 + 4, 0 }, { 4, WRITE } };
	unsigned int i;
	struct rig r;

	(void)state;
	rig_open(&r, false);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		memset(r.list_mem, 0xff, 2 * PAGE);
		assert_false(request(&r, &r.in, r.list, bad[i].len, bad[i].flags));
		assert_true(needs_reset(&r));
		start(&r, 2);
		assert_false(request(&r, &r.out, r.list, bad[i].len, bad[i].flags));
		assert_true(needs_reset(&r));
		start(&r, 2);
	}
	memset(r.list_mem, 0xff, 2 * PAGE);
	assert_true(request(&r, &r.in, r.list, VIRTIO_BALLOON_PFNS * 4, 0));
	assert_int_equal(gone(&r), 0);
	guest_free(r.g);
}

static int no_map(void *opaque, iova_t iova, uint64_t size, void *hva, bool ram, struct err *err)
{
	(void)opaque, (void)iova, (void)size, (void)hva, (void)ram, (void)err;
	return 0;
}

static void no_unmap(void *opaque, iova_t iova, uint64_t size)
{
	(void)opaque, (void)iova, (void)size;
}

/* F13: memory that is mapped for DMA stays, which is said once. */
static void pinned(void **state)
{
	struct mem_listener listener = { .map = no_map, .unmap = no_unmap };
	unsigned int i, said = 0;
	struct rig r;

	(void)state;
	rig_open(&r, false);
	uint32_t p = (uint32_t)(r.pages / PAGE);

	assert_int_equal(mem_listener_add(&r.g->vm->mem, &listener, NULL), 0);
	assert_true(inflate(&r, &p, 1));
	assert_true(inflate(&r, &p, 1));
	assert_true(request(&r, &r.report, r.pages, 4 * PAGE, WRITE));
	assert_int_equal(gone(&r), 0);
	for (i = 0; i < r.g->line_count; i++)
		said += strstr(r.g->lines[i], "mapped for DMA") != NULL;
	assert_int_equal(said, 1);
	mem_listener_del(&r.g->vm->mem, &listener);
	assert_true(inflate(&r, &p, 1));
	assert_int_equal(gone(&r), BIT(0));
	guest_free(r.g);
}

/* F39: a page that went back to the pool of huge pages may be gone for good. */
static void out_of_a_pool(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, false);
	uint32_t p = (uint32_t)(r.pages / PAGE);

	r.g->vm->config.ram.page_size = 2 * MIB;
	assert_int_equal(mem_discard(&r.g->vm->mem, 0, 4 * MIB), -EOPNOTSUPP);
	assert_true(inflate(&r, &p, 1));
	assert_int_equal(gone(&r), 0);
	assert_true(guest_logged(r.g, "pool of huge pages"));
	r.g->vm->config.ram.page_size = 0;
	guest_free(r.g);
}

/* Statistics. */

static void start_stats(struct rig *r, struct ring *stats)
{
	guest_msix_on(r->g, r->d.pdev);
	assert_true(driver_negotiate(&r->d, BIT64(VIRTIO_F_VERSION_1) |
						    BIT64(VIRTIO_BALLOON_F_REPORTING) |
						    BIT64(VIRTIO_BALLOON_F_STATS_VQ)));
	ring_open(stats, &r->d, 2, SIZE, 2);
	/* As Linux numbers it. */
	ring_open(&r->report, &r->d, 3, SIZE, 3);
	driver_set_status(&r->d, VIRTIO_CONFIG_S_DRIVER_OK);
	memset(r->mem, 0xee, 16 * PAGE);
}

static void put_stat(struct rig *r, unsigned int i, uint16_t tag, uint64_t value)
{
	put_le16(r->list_mem + (size_t)i * 10, tag);
	put_le64(r->list_mem + (size_t)i * 10 + 2, value);
}

static int ask(struct rig *r, struct dev_balloon_stats *stats)
{
	struct dev *dev = &r->d.pdev->dev;
	int ret;

	pthread_mutex_lock(&dev->lock);
	ret = dev->class->control->balloon_stats(dev, stats, NULL);
	pthread_mutex_unlock(&dev->lock);
	return ret;
}

static void statistics(void **state)
{
	struct dev_balloon_stats s;
	struct ring stats;
	uint32_t id, len;
	struct rig r;

	(void)state;
	rig_open(&r, false);
	assert_int_equal(ask(&r, &s), -ENOTSUP);
	start_stats(&r, &stats);
	assert_int_equal(ask(&r, &s), 0);
	assert_int_equal(s.count, 0);
	put_stat(&r, 0, VIRTIO_BALLOON_S_MEMTOT, 7 * MIB);
	put_stat(&r, 1, VIRTIO_BALLOON_S_MEMFREE, 1ull << 40);
	assert_false(request(&r, &stats, r.list, 20, 0));
	assert_int_equal(guest_msix_count(r.d.pdev, 2), 0);
	assert_int_equal(ask(&r, &s), 0);
	assert_int_equal(s.count, 2);
	assert_string_equal(s.stats[0].name, "stat-free-memory");
	assert_int_equal(s.stats[0].value, 1ull << 40);
	assert_string_equal(s.stats[1].name, "stat-total-memory");
	assert_int_equal(s.stats[1].value, 7 * MIB);
	assert_true(s.time > 1600000000);
	/* Asking gave the buffer back; asking again has none to give, and the same answer. */
	assert_true(ring_used(&stats, &id, &len));
	assert_int_equal(guest_msix_count(r.d.pdev, 2), 1);
	assert_int_equal(ask(&r, &s), 0);
	assert_int_equal(s.count, 2);
	assert_false(ring_used(&stats, &id, &len));
	assert_int_equal(guest_msix_count(r.d.pdev, 2), 0);
	/* An answer that says less is the answer. */
	put_stat(&r, 0, VIRTIO_BALLOON_S_MAJFLT, 5);
	assert_false(request(&r, &stats, r.list, 10, 0));
	assert_int_equal(ask(&r, &s), 0);
	assert_int_equal(s.count, 1);
	assert_string_equal(s.stats[0].name, "stat-major-faults");
	assert_true(ring_used(&stats, &id, &len));
	/* Free pages are told on the queue behind. */
	assert_true(request(&r, &r.report, r.pages, (uint32_t)PAGE, WRITE));
	assert_int_equal(gone(&r), BIT(0));
	/* A reset forgets: the buffer, which is not given back, and what it said. */
	assert_false(request(&r, &stats, r.list, 10, 0));
	start_stats(&r, &stats);
	assert_int_equal(ask(&r, &s), 0);
	assert_int_equal(s.count, 0);
	assert_false(ring_used(&stats, &id, &len));
	guest_free(r.g);
}

/* As Linux begins: posted, and kicked for, before DRIVER_OK. */
static void early_statistics(void **state)
{
	struct dev_balloon_stats s;
	struct ring stats;
	struct rig r;

	(void)state;
	rig_open(&r, false);
	assert_true(driver_negotiate(&r.d, BIT64(VIRTIO_F_VERSION_1) |
						   BIT64(VIRTIO_BALLOON_F_STATS_VQ)));
	ring_open(&stats, &r.d, 2, SIZE, 2);
	put_stat(&r, 0, VIRTIO_BALLOON_S_MEMTOT, 7 * MIB);
	ring_desc(&stats, 0, r.list, 10, 0, 0);
	ring_post(&stats, 0);
	driver_set_status(&r.d, VIRTIO_CONFIG_S_DRIVER_OK);
	guest_sync(r.g);
	assert_int_equal(ask(&r, &s), 0);
	assert_int_equal(s.count, 1);
	guest_free(r.g);
}

/* F13: what is no such buffer, or no number of entries, or unknown. */
static void bad_statistics(void **state)
{
	struct dev_balloon_stats s;
	struct ring stats;
	uint32_t id, len;
	struct rig r;
	gpa_t large;

	(void)state;
	rig_open(&r, false);
	start_stats(&r, &stats);
	put_stat(&r, 0, 0xffff, 1);
	put_stat(&r, 1, VIRTIO_BALLOON_S_NR, 2);
	put_stat(&r, 2, VIRTIO_BALLOON_S_CACHES, 3);
	put_stat(&r, 3, VIRTIO_BALLOON_S_CACHES, 4);
	put_stat(&r, 4, VIRTIO_BALLOON_S_AVAIL, 5);
	/* The last entry is not whole. */
	assert_false(request(&r, &stats, r.list, 49, 0));
	/* Posted twice: the older one comes back at once. */
	ring_desc(&stats, 1, r.list, 49, 0, 0);
	ring_post(&stats, 1);
	ring_kick(&stats);
	guest_sync(r.g);
	assert_true(ring_used(&stats, &id, &len));
	assert_int_equal(id, 0);
	assert_false(ring_used(&stats, &id, &len));
	assert_int_equal(ask(&r, &s), 0);
	assert_true(ring_used(&stats, &id, &len));
	assert_int_equal(id, 1);
	assert_int_equal(s.count, 1);
	assert_string_equal(s.stats[0].name, "stat-disk-caches");
	assert_int_equal(s.stats[0].value, 4);
	/* Of 1 MiB the beginning is looked at. */
	large = guest_alloc(r.g, MIB, PAGE);
	memset(guest_ptr(r.g, large, MIB), 0, MIB);
	put_le16(guest_ptr(r.g, large + (VIRTIO_BALLOON_STATS - 1) * 10ul, 2),
		 VIRTIO_BALLOON_S_MEMTOT);
	put_le16(guest_ptr(r.g, large + VIRTIO_BALLOON_STATS * 10ul, 2), VIRTIO_BALLOON_S_MEMFREE);
	assert_false(request(&r, &stats, large, MIB, 0));
	assert_int_equal(ask(&r, &s), 0);
	assert_int_equal(s.count, 2);
	assert_string_equal(s.stats[0].name, "stat-swap-in");
	assert_string_equal(s.stats[1].name, "stat-total-memory");
	assert_true(ring_used(&stats, &id, &len));
	assert_false(needs_reset(&r));
	/* With a buffer held, one to write to: the queue stops, and asking gives nothing back. */
	assert_false(request(&r, &stats, r.list, 10, 0));
	assert_false(request(&r, &stats, r.list, 10, WRITE));
	assert_true(needs_reset(&r));
	assert_int_equal(ask(&r, &s), 0);
	assert_false(ring_used(&stats, &id, &len));
	guest_free(r.g);
}

static void controls(void **state)
{
	struct dev *dev;
	uint64_t bytes;
	struct rig r;
	struct err err = { 0 };

	(void)state;
	rig_open(&r, false);
	dev = &r.d.pdev->dev;
	pthread_mutex_lock(&dev->lock);
	assert_int_equal(dev->class->control->balloon_set(dev, 0, &err), -EINVAL);
	assert_int_equal(dev->class->control->balloon_set(dev, 3 * MIB, &err), 0);
	pthread_mutex_unlock(&dev->lock);
	assert_int_equal(guest_read(r.g, r.d.device, 4), 5 * MIB / PAGE);
	guest_write(r.g, r.d.device + 4, 4, 256);
	guest_write(r.g, r.d.device, 4, 77); /* not the driver's */
	assert_int_equal(guest_read(r.g, r.d.device, 4), 5 * MIB / PAGE);
	assert_int_equal(guest_read(r.g, r.d.device + 4, 4), 256);
	dev->class->control->balloon_get(dev, &bytes, &err);
	assert_int_equal(bytes, 7 * MIB);
	/* F13: actual may be anything. */
	guest_write(r.g, r.d.device + 4, 4, 0xffffffff);
	dev->class->control->balloon_get(dev, &bytes, &err);
	assert_int_equal(bytes, 0);
	start(&r, 2);
	dev->class->control->balloon_get(dev, &bytes, &err);
	assert_int_equal(bytes, RAM);
	pthread_mutex_lock(&dev->lock);
	assert_int_equal(dev->class->control->balloon_set(dev, UINT64_MAX, &err), 0);
	pthread_mutex_unlock(&dev->lock);
	assert_int_equal(guest_read(r.g, r.d.device, 4), 0);
	guest_free(r.g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inflates),	  cmocka_unit_test(reports),
		cmocka_unit_test(names_no_ram),	  cmocka_unit_test(bad_lists),
		cmocka_unit_test(pinned),	  cmocka_unit_test(controls),
		cmocka_unit_test(out_of_a_pool),  cmocka_unit_test(statistics),
		cmocka_unit_test(bad_statistics), cmocka_unit_test(early_statistics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
