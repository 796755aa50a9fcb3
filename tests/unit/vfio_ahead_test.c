// SPDX-License-Identifier: GPL-2.0-or-later
/* Functions opened together before the first device is made: what is opened, and that nothing of it
 * shows when it fails. type1 alone does it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_guest.h"
#include "fake_kvm.h"
#include "vfio/iommu.h"
#include "vfio/vfio_pci.h"

#define VF1 "0000:01:10.2"
#define VF2 "0000:01:10.4"

static const char *const net_choices[] = { "vfio-pci", "virtio-net", NULL };
static const char *const disk_choices[] = { "virtio-blk", "vfio-pci", NULL };
static const struct dev_role roles[] = {
	{ .name = "net", .choices = net_choices },
	{ .name = "disk", .choices = disk_choices },
	{ .name = NULL },
};
static const struct dev_class *const classes[] = { &vfio_pci_class, NULL };
static const struct dev_table table = { classes, roles };

static int setup(void **state)
{
	*state = fake_guest_new(64 * MIB, false);
	fake_vfio_igbvf(VF0, VF0_GROUP);
	fake_vfio_igbvf(VF1, VF0_GROUP + 1);
	fake_vfio_igbvf(VF2, VF0_GROUP + 2);
	fake_vfio_forget();
	return 0;
}

static int setup_iommufd(void **state)
{
	fake_vfio_row("iommufd");
	return setup(state);
}

static int teardown(void **state)
{
	fake_guest_free(*state);
	fake_vfio_row("type1");
	return 0;
}

#define AHEAD(g, ...)                                                                              \
	do {                                                                                       \
		const char *const specs_[] = { __VA_ARGS__ };                                      \
		vfio_pci_ahead((g)->vm, &table, specs_, ARRAY_SIZE(specs_));                       \
	} while (0)

static void test_all_at_once_and_each_once(void **state)
{
	struct fake_guest *g = *state;

	fake_vfio_open_ms(500); /* also on a busy machine the last begins before the first ends */
	AHEAD(g, "vfio-pci,host=" VF0, "net,host=eth0/vf1,id=n1", "vfio-pci,host=" VF2);
	assert_int_equal(fake_vfio_open_peak(), 3);
	assert_int_equal(fake_vfio_count(VFIO_GROUP_GET_DEVICE_FD), 3);
	/* No memory is mapped for a function that no device has yet. */
	assert_int_equal(fake_vfio_count(VFIO_IOMMU_MAP_DMA), 0);
	fake_guest_add(g, VF0);
	fake_guest_add(g, VF1);
	fake_guest_add(g, VF2);
	assert_int_equal(fake_vfio_count(VFIO_GROUP_GET_DEVICE_FD), 3);
	assert_int_equal(fake_vfio_count(VFIO_GROUP_SET_CONTAINER), 3);
	assert_int_equal(fake_vfio_count(VFIO_IOMMU_MAP_DMA), 1);
	assert_int_equal(fake_vfio_fds(), 7);
	iommu_ahead_done(g->vm);
	assert_int_equal(fake_vfio_fds(), 7);
}

static void test_what_nobody_takes_is_given_back(void **state)
{
	struct fake_guest *g = *state;

	AHEAD(g, "vfio-pci,host=" VF0, "vfio-pci,host=" VF1);
	fake_guest_add(g, VF1);
	iommu_ahead_done(g->vm);
	assert_int_equal(fake_vfio_fds(), 3);
	assert_int_equal(fake_kvm_vfio_files(), 1);
	assert_int_equal(fake_vfio_dma(NULL, 0), 1);
}

/* The first device goes again while the others are only open: what is mapped goes too, and is
 * mapped anew for the next. */
static void test_the_last_device_takes_the_rest_along(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *pdev;

	AHEAD(g, "vfio-pci,host=" VF0, "vfio-pci,host=" VF1);
	pdev = fake_guest_add(g, VF0);
	dev_remove(&pdev->dev);
	loop_do_posted(g->vm->loop);
	assert_int_equal(fake_vfio_fds(), 0);
	assert_int_equal(fake_vfio_dma(NULL, 0), 0);
	fake_guest_add(g, VF1);
	assert_int_equal(fake_vfio_dma(NULL, 0), 1);
}

/* Each call fails in turn: attaching then does it by itself, or says why. */
static void test_a_failure_is_left_to_attaching(void **state)
{
	struct fake_guest *g = *state;
	unsigned int at, calls;

	AHEAD(g, "vfio-pci,host=" VF0, "vfio-pci,host=" VF1);
	calls = fake_vfio_total();
	for (at = 1; at <= calls; at++) {
		fake_guest_vm_free(g);
		fake_guest_vm_new(g, 64 * MIB, false);
		fake_vfio_fail(0, at, EIO);
		AHEAD(g, "vfio-pci,host=" VF0, "vfio-pci,host=" VF1);
		fake_vfio_fail(0, 0, 0);
		fake_guest_add(g, VF0);
		fake_guest_add(g, VF1);
		assert_int_equal(fake_vfio_fds(), 5);
		assert_int_equal(fake_vfio_dma(NULL, 0), 1);
	}
}

static void expect_none(struct fake_guest *g)
{
	assert_int_equal(fake_vfio_total(), 0);
	assert_int_equal(fake_vfio_fds(), 0);
	iommu_ahead_done(g->vm);
}

static void test_only_what_is_sure_is_opened(void **state)
{
	struct fake_guest *g = *state;

	/* One alone gains nothing; any is chosen when its turn comes. */
	AHEAD(g, "vfio-pci,host=" VF0);
	expect_none(g);
	AHEAD(g, "vfio-pci,host=" VF0, "vfio-pci,host=eth0/any");
	expect_none(g);
	AHEAD(g, "vfio-pci,host=" VF0, "vfio-pci,host=" VF0);
	expect_none(g);
	/* Another choice comes first there. */
	AHEAD(g, "vfio-pci,host=" VF0, "disk,host=" VF1);
	expect_none(g);
	AHEAD(g, "vfio-pci,host=" VF0, "vfio-pci,iommu=iommufd,host=" VF1);
	expect_none(g);
	AHEAD(g, "vfio-pci,host=" VF0, "vfio-pci,vf-token=x,host=" VF1);
	expect_none(g);
	AHEAD(g, "vfio-pci,host=" VF0, "vfio-pci", "vfio-pci,host=no/such");
	expect_none(g);
	AHEAD(g, "vfio-pci,host=" VF0, "net,host=,=", "");
	expect_none(g);
	fake_guest_bind(g, VF1, "igbvf");
	AHEAD(g, "vfio-pci,host=" VF0, "vfio-pci,host=" VF1);
	expect_none(g);
	fake_guest_bind(g, VF1, "vfio-pci");
	fake_vfio_memlock(8 * MIB, 0);
	AHEAD(g, "vfio-pci,host=" VF0, "vfio-pci,host=" VF1);
	expect_none(g);
	fake_vfio_memlock(UINT64_MAX, 0);
}

/* A back end that is named later gets a host as if nothing had been opened. */
static void test_another_back_end_finds_nothing_open(void **state)
{
	struct fake_guest *g = *state;
	struct iommu_dev idev = { .host = &g->host->host, .group = VF0_GROUP };
	struct err err = { 0 };

	AHEAD(g, "vfio-pci,host=" VF0, "vfio-pci,host=" VF1);
	assert_int_equal(pci_addr_parse(VF0, &idev.addr), 0);
	if (iommu_attach(g->vm, &iommu_iommufd, &idev, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(fake_vfio_fds(), 2);
	iommu_detach(g->vm, &idev);
	assert_int_equal(fake_vfio_fds(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_at_once_and_each_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_nobody_takes_is_given_back, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_the_last_device_takes_the_rest_along, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_failure_is_left_to_attaching, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_only_what_is_sure_is_opened, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_back_end_finds_nothing_open,
						setup_iommufd, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
