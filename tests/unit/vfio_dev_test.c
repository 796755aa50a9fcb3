// SPDX-License-Identifier: GPL-2.0-or-later
/* The kernel's description of a device and its regions: capabilities, areas, and nonsense. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "vfio/vfio_dev.h"

#define AREAS 6
#define MMAP_CAPS                                                                                  \
	(VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE | VFIO_REGION_INFO_FLAG_MMAP |   \
	 VFIO_REGION_INFO_FLAG_CAPS)

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
		.info = { .argsz = sizeof(b),
			  .flags = MMAP_CAPS,
			  .size = size,
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

/* A device that answers as it likes. */
struct liar {
	struct vfio_dev vdev;
	struct vfio_device_info info;
	struct vfio_irq_info irq;
	unsigned int calls;
};

static int liar_info(struct vfio_dev *vdev, struct vfio_device_info *ret_info)
{
	*ret_info = ((struct liar *)(void *)vdev)->info;
	return 0;
}

static int liar_region_info(struct vfio_dev *vdev, uint32_t index,
			    struct vfio_region_info **ret_info)
{
	(void)index;
	(void)ret_info;
	((struct liar *)(void *)vdev)->calls++;
	return -EIO;
}

static int liar_irq_info(struct vfio_dev *vdev, uint32_t index, struct vfio_irq_info *ret_info)
{
	(void)index;
	((struct liar *)(void *)vdev)->calls++;
	*ret_info = ((struct liar *)(void *)vdev)->irq;
	return 0;
}

static int liar_read(struct vfio_dev *vdev, const struct vfio_region *region, uint64_t offset,
		     void *buf, size_t len)
{
	(void)region;
	(void)offset;
	((struct liar *)(void *)vdev)->calls++;
	memset(buf, 0x5a, len);
	return 0;
}

static int liar_write(struct vfio_dev *vdev, const struct vfio_region *region, uint64_t offset,
		      const void *buf, size_t len)
{
	(void)region;
	(void)offset;
	(void)buf;
	(void)len;
	((struct liar *)(void *)vdev)->calls++;
	return 0;
}

static const struct vfio_dev_ops liar_ops = {
	.info = liar_info,
	.region_info = liar_region_info,
	.irq_info = liar_irq_info,
	.read = liar_read,
	.write = liar_write,
};

/* What a device has not is not asked for. */
static void test_few(void **state)
{
	struct liar liar = { .info = { .flags = VFIO_DEVICE_FLAGS_PCI,
				       .num_regions = VFIO_PCI_CONFIG_REGION_INDEX,
				       .num_irqs = 1 } };
	struct vfio_irq_info irq;
	struct vfio_region r;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(vfio_dev_init(&liar.vdev, &liar_ops, -1, &err), -EPROTO);
	assert_string_equal(err.msg, "VFIO gives 7 regions, no config space");
	liar.info.num_regions++;
	assert_int_equal(vfio_dev_init(&liar.vdev, &liar_ops, -1, &err), 0);
	assert_int_equal(vfio_region_get(&liar.vdev, VFIO_PCI_VGA_REGION_INDEX, &r, &err), 0);
	assert_int_equal(r.size, 0);
	assert_int_equal(vfio_irq_get(&liar.vdev, VFIO_PCI_MSI_IRQ_INDEX, &irq, &err), 0);
	assert_int_equal(irq.count, 0);
	assert_int_equal(liar.calls, 0);
	assert_int_equal(vfio_region_get(&liar.vdev, 0, &r, &err), -EIO);
	assert_int_equal(liar.calls, 1);
}

/* An access that is not wholly within its region never leaves. */
static void test_bounds(void **state)
{
	static const struct {
		uint64_t offset;
		unsigned int size;
		bool fits;
	} cases[] = {
		{ 0, 8, true },	   { 92, 8, true },	     { 93, 8, false },
		{ 100, 1, false }, { UINT64_MAX, 1, false }, { UINT64_MAX - 3, 8, false },
	};
	const struct vfio_region region = { .size = 100 };
	struct liar liar = { .vdev.ops = &liar_ops };
	uint64_t value;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int want = cases[i].fits ? 0 : -EINVAL;

		liar.calls = 0;
		assert_int_equal(vfio_region_read(&liar.vdev, &region, cases[i].offset,
						  cases[i].size, &value),
				 want);
		assert_int_equal(
			vfio_region_write(&liar.vdev, &region, cases[i].offset, cases[i].size, 0),
			want);
		assert_int_equal(liar.calls, cases[i].fits ? 2 : 0);
		if (cases[i].fits)
			assert_int_equal(value, 0x5a5a5a5a5a5a5a5aull & all_ones(cases[i].size));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),	 cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_nonsense), cmocka_unit_test(test_few),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
