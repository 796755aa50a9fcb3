// SPDX-License-Identifier: GPL-2.0-or-later
/* mac= of a VF: set through its PF before the guest has it, and as it was afterwards. The module that
 * asks the kernel is this program itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_guest.h"
#include "vfio/lease_module.h"
#include "vfio/vfio_pci.h"
#include "vmm/module.h"
#include "vmm/vm.h"

#define MAC "52:54:00:12:34:56"
#define MAC_NUMBER 0x525400123456u

static struct {
	int open_code, mac_code;
	unsigned int opens, calls;
	uint64_t mac; /* of VF0 */
	struct fake_vdev *vdev;
	bool was_open;
} t;

static int mac(const struct host *host, const struct pci_addr *vf, uint64_t want,
	       uint64_t *ret_before, struct err *err)
{
	const struct pci_addr vf0 = fake_at(VF0);

	(void)host;
	t.calls++;
	t.was_open = t.vdev->open;
	assert_true(pci_addr_eq(vf, &vf0));
	if (t.mac_code)
		return err_set(err, t.mac_code, "no answer");
	*ret_before = t.mac;
	t.mac = want;
	return 0;
}

static const struct lease_module module = { .head = { .version = "this test's" }, .mac = mac };

int module_open(const struct module_want *want, void **ret_module,
		const struct module_head **ret_table, struct err *err)
{
	t.opens++;
	assert_string_equal(want->file, "viaduct-lease.so");
	if (t.open_code)
		return err_set(err, t.open_code, "%s %s", want->asked, want->library);
	*ret_module = NULL;
	*ret_table = &module.head;
	return 0;
}

static struct fake_guest *guest_new(bool plan)
{
	struct fake_guest *g = fake_guest_new(64 * MIB, plan);

	memset(&t, 0, sizeof(t));
	t.vdev = fake_vfio_igbvf(VF0, VF0_GROUP);
	return g;
}

static int setup(void **state)
{
	*state = guest_new(false);
	return 0;
}

static int setup_plan(void **state)
{
	*state = guest_new(true);
	return 0;
}

static int teardown(void **state)
{
	fake_guest_free(*state);
	return 0;
}

static void test_set_and_given_back(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *pdev;

	t.mac = 0x020000000001;
	pdev = fake_guest_add(g, VF0 ",mac=" MAC);
	assert_int_equal(t.mac, MAC_NUMBER);
	assert_false(t.was_open);
	fake_guest_remove(g, pdev);
	assert_int_equal(t.mac, 0x020000000001);
	assert_false(t.was_open);
	assert_int_equal(t.calls, 2);
}

/* Nothing to give back, and nobody to ask. */
static void test_had_it_already(void **state)
{
	struct fake_guest *g = *state;

	t.mac = MAC_NUMBER;
	fake_guest_remove(g, fake_guest_add(g, VF0 ",mac=" MAC));
	assert_int_equal(t.calls, 1);
	fake_guest_remove(g, fake_guest_add(g, VF0));
	assert_int_equal(t.opens, 1);
}

static void test_refusals(void **state)
{
	struct fake_guest *g = *state;

	t.mac_code = -EPERM; /* in a role the next choice's turn */
	fake_guest_refuses(g, VF0 ",mac=" MAC, -ENODEV, "vfctl set " VF0 " mac=" MAC);
	t.mac_code = -EACCES;
	fake_guest_refuses(g, VF0 ",mac=" MAC, -ENODEV, "CAP_NET_ADMIN");
	t.mac_code = -ENOTSUP;
	fake_guest_refuses(g, VF0 ",mac=" MAC, -EINVAL, "mac=" MAC ": no answer");
	t.mac_code = -EIO;
	fake_guest_refuses(g, VF0 ",mac=" MAC, -EIO, "no answer");
	t.open_code = -ENOENT;
	fake_guest_refuses(g, VF0 ",mac=" MAC, -ENOENT, "mac= libnl-route-3");
	assert_int_equal(fake_vfio_fds(), 0);
	fake_guest_refuses(g, VF0 ",mac=01:00:00:00:00:01", -ERANGE, "unicast");
}

/* Whatever fails afterwards, it is given back. */
static void test_attach_fails(void **state)
{
	static const unsigned long requests[] = { FAKE_OPEN, VFIO_DEVICE_GET_INFO,
						  VFIO_DEVICE_GET_REGION_INFO, FAKE_PREAD };
	struct fake_guest *g = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		struct err err = { 0 };

		t.mac = 7;
		fake_vfio_fail(requests[i], 1, EIO);
		assert_true(fake_guest_try(g, VF0 ",mac=" MAC, &err) < 0);
		loop_do_posted(g->vm->loop);
		assert_int_equal(t.mac, 7);
		assert_int_equal(t.calls, 2 * i + 2);
	}
}

static void test_giving_back_fails(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *pdev = fake_guest_add(g, VF0 ",mac=" MAC);

	t.mac_code = -EIO;
	fake_guest_remove(g, pdev);
	assert_true(fake_guest_logged(g, VF0 " keeps the address of mac=: no answer"));
}

static void test_plan(void **state)
{
	struct fake_guest *g = *state;

	fake_guest_add(g, VF0 ",mac=" MAC);
	assert_int_equal(t.calls, 0);
}

static void test_no_vf(void **state)
{
	struct fake_guest *g = *state;
	char path[128];

	snprintf(path, sizeof(path), "sys/devices/pci0000:00/%s/physfn", VF0);
	fake_remove(g->host, path);
	fake_guest_refuses(g, VF0 ",mac=" MAC, -EINVAL, "mac= is for VFs");
	assert_int_equal(t.calls, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_set_and_given_back), T(test_had_it_already),    T(test_refusals),
		T(test_attach_fails),	    T(test_giving_back_fails), T(test_no_vf),
		cmocka_unit_test_setup_teardown(test_plan, setup_plan, teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
