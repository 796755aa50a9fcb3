// SPDX-License-Identifier: GPL-2.0-or-later
/* The kernel's description of a region: capabilities, areas, and nonsense. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "vfio/vfio_dev.h"

#define AREAS 6
#define MMAP_CAPS (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |                      \
		   VFIO_REGION_INFO_FLAG_MMAP | VFIO_REGION_INFO_FLAG_CAPS)

struct blob {
	struct vfio_region_info info;
	struct vfio_info_cap_header other;
	struct {
		struct vfio_info_cap_header header;
		uint32_t nr_areas, reserved;
	} sparse; /* struct vfio_region_info_cap_sparse_mmap */
	struct vfio_region_sparse_mmap_area areas[AREAS];
};

static struct blob blob_new(uint64_t size, uint32_t count)
{
	struct blob b = {
		.info = { .argsz = sizeof(b), .flags = MMAP_CAPS, .size = size,
			  .cap_offset = offsetof(struct blob, other) },
		.other = { VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1, offsetof(struct blob, sparse) },
		.sparse = { .header = { VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0 },
			    .nr_areas = count },
	};

	return b;
}

static int parse(const struct blob *b, struct vfio_region *region)
{
	return vfio_region_parse(&b->info, sizeof(*b), region);
}

static void test_plain(void **state)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .size = 16 * KIB };
	struct vfio_region r;

	(void)state;
	assert_int_equal(vfio_region_parse(&info, sizeof(info), &r), 0);
	assert_int_equal(r.area_count, 0);
	info.flags = VFIO_REGION_INFO_FLAG_MMAP;
	assert_int_equal(vfio_region_parse(&info, sizeof(info), &r), 0);
	assert_int_equal(r.area_count, 1);
	assert_int_equal(r.areas[0].offset, 0);
	assert_int_equal(r.areas[0].size, 16 * KIB);
	vfio_region_done(&r);
	/* Less than a page, or a page and a bit. */
	info.size = 0x800;
	assert_int_equal(vfio_region_parse(&info, sizeof(info), &r), 0);
	assert_int_equal(r.area_count, 0);
	vfio_region_done(&r);
	info.size = 0x1800;
	assert_int_equal(vfio_region_parse(&info, sizeof(info), &r), 0);
	assert_int_equal(r.area_count, 1);
	assert_int_equal(r.areas[0].size, 0x1000);
	vfio_region_done(&r);
	assert_int_equal(vfio_region_parse(&info, sizeof(info) - 1, &r), -EPROTO);
}

static void test_sparse(void **state)
{
	struct blob b = blob_new(64 * KIB, 6);
	struct vfio_region r;

	(void)state;
	b.areas[0] = (struct vfio_region_sparse_mmap_area){ 0x8000, 0x1000 };
	b.areas[1] = (struct vfio_region_sparse_mmap_area){ 0x0, 0x1000 };
	b.areas[2] = (struct vfio_region_sparse_mmap_area){ 0x9000, 0x1000 }; /* touches 0 */
	b.areas[3] = (struct vfio_region_sparse_mmap_area){ 0x4800, 0x1000 }; /* no whole page */
	b.areas[4] = (struct vfio_region_sparse_mmap_area){ 0xf000, 0x1000 };
	b.areas[5] = (struct vfio_region_sparse_mmap_area){ 0x0800, 0x2800 }; /* overlaps */
	assert_int_equal(parse(&b, &r), 0);
	assert_int_equal(r.area_count, 3);
	assert_int_equal(r.areas[0].offset, 0);
	assert_int_equal(r.areas[0].size, 0x3000);
	assert_int_equal(r.areas[1].offset, 0x8000);
	assert_int_equal(r.areas[1].size, 0x2000);
	assert_int_equal(r.areas[2].offset, 0xf000);
	vfio_region_done(&r);
	/* A sparse list without areas: nothing may be mapped. */
	b = blob_new(64 * KIB, 0);
	assert_int_equal(parse(&b, &r), 0);
	assert_int_equal(r.area_count, 0);
	vfio_region_done(&r);
}

static void refused(const struct blob *b)
{
	struct vfio_region r;

	assert_int_equal(parse(b, &r), -EPROTO);
	assert_null(r.areas);
	assert_int_equal(r.area_count, 0);
}

static void test_nonsense(void **state)
{
	struct blob b = blob_new(64 * KIB, 1);

	(void)state;
	b.areas[0] = (struct vfio_region_sparse_mmap_area){ 0xf000, 0x2000 };
	refused(&b);
	b.areas[0] = (struct vfio_region_sparse_mmap_area){ UINT64_MAX - 0xfff, 0x2000 };
	refused(&b);
	b = blob_new(64 * KIB, AREAS + 1);
	refused(&b);
	b = blob_new(64 * KIB, UINT32_MAX);
	refused(&b);
	b = blob_new(64 * KIB, 1);
	b.info.cap_offset = sizeof(b) - 4;
	refused(&b);
	b.info.cap_offset = 8;
	refused(&b);
	b.info.cap_offset = UINT32_MAX;
	refused(&b);
	b = blob_new(64 * KIB, 1);
	b.other.next = offsetof(struct blob, other); /* a loop */
	refused(&b);
	b.other.next = sizeof(b) - sizeof(struct vfio_info_cap_header);
	b.areas[AREAS - 1].size = 1; /* as id 1 at the very end: no room for a count */
	b.areas[AREAS - 1].offset = 0;
	refused(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
