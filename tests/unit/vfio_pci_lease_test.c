// SPDX-License-Identifier: GPL-2.0-or-later
/* pool=: a function that is leased for as long as the guest has it, and all that keeps it from one. The
 * module with the leases is this program itself, by a module_open() that finds it or does not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/util.h"
#include "fake_guest.h"
#include "sriov/lease.h"
#include "sriov/pool.h"
#include "vfio/lease_module.h"
#include "vfio/vfio_pci.h"
#include "vmm/module.h"
#include "vmm/vm.h"

#define VF1 "0000:01:10.2"

static struct {
	int open_code, acquire_code, release_code; /* in place of what would be done */
	unsigned int opens, acquires, releases, peeks;
	char owner[HOST_NAME_MAX];
	pid_t pid;
	struct fake_vdev *vdevs[2];
} t;

static int acquire(const struct host *host, const char *pool, const char *owner, pid_t pid,
		   const struct lease_by *by, struct lease *ret, struct err *err)
{
	struct host own = *host;

	t.acquires++;
	t.pid = pid;
	snprintf(t.owner, sizeof(t.owner), "%s", owner);
	if (t.acquire_code)
		return err_set(err, t.acquire_code, "not for this user");
	return lease_acquire_pool(&own, pool, owner, pid, by, ret, err);
}

static int release(const struct host *host, const struct pci_addr *addr, const struct lease_by *by,
		   struct err *err)
{
	const struct pci_addr vf0 = fake_at(VF0);
	struct host own = *host;

	t.releases++;
	/* By then the guest has let go of it, or the reset would be under its hands. */
	assert_false(t.vdevs[!pci_addr_eq(addr, &vf0)]->open);
	if (t.release_code)
		return err_set(err, t.release_code, "it does not come back");
	return lease_release(&own, addr, NULL, false, by, err);
}

static int peek(const struct host *host, const char *pool, const struct lease_by *by,
		struct pci_addr *ret, struct err *err)
{
	t.peeks++;
	return lease_peek_pool(host, pool, by, ret, err);
}

static const struct lease_module module = {
	.head = { .version = "this test's" }, .acquire = acquire, .release = release, .peek = peek,
};

/* Stands in for vmm/module.c, whose own test is net_slirp_test's. */
int module_open(const struct module_want *want, void **ret_module,
		const struct module_head **ret_table, struct err *err)
{
	t.opens++;
	assert_string_equal(want->file, "viaduct-lease.so");
	assert_string_equal(want->symbol, "viaduct_lease_module");
	if (t.open_code)
		return err_set(err, t.open_code, "%s %s", want->asked, want->library);
	*ret_module = NULL;
	*ret_table = &module.head;
	return 0;
}

/* A process that the fake host shows, as the running kernel shows this one. */
static void show_self(struct fake *f)
{
	char path[64], text[1024];

	assert_true(io_read_text("/proc/self/stat", text, sizeof(text)) > 0);
	snprintf(path, sizeof(path), "proc/%d/stat", (int)getpid());
	fake_text(f, path, text);
}

static struct fake_guest *guest_new(bool plan)
{
	struct fake_guest *g = fake_guest_new(64 * MIB, plan);
	const struct pci_addr vfs[] = { fake_at(VF0), fake_at(VF1) };

	memset(&t, 0, sizeof(t));
	t.vdevs[0] = fake_vfio_igbvf(VF0, VF0_GROUP);
	t.vdevs[1] = fake_vfio_igbvf(VF1, VF0_GROUP + 1);
	assert_int_equal(pool_write(&g->host->host, "two", vfs, ARRAY_SIZE(vfs), NULL), 0);
	assert_int_equal(pool_write(&g->host->host, "none", NULL, 0, NULL), 0);
	fake_text(g->host, "sys/devices/pci0000:00/" VF0 "/reset", "");
	fake_text(g->host, "sys/devices/pci0000:00/" VF1 "/reset", "");
	show_self(g->host);
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

/* 1 when somebody has a lease of it. */
static int is_leased(struct fake_guest *g, const char *addr)
{
	const struct pci_addr a = fake_at(addr);
	struct lease lease;

	return lease_find(&g->host->host, &a, &lease);
}

/* Refused, and no function is leased afterwards. */
static void refuses(struct fake_guest *g, const char *spec, int code, const char *text)
{
	fake_guest_refuses(g, spec, code, text);
	loop_do_posted(g->vm->loop);
	assert_int_equal(is_leased(g, VF0) + is_leased(g, VF1), 0);
	assert_int_equal(fake_vfio_fds(), 0);
}

static void test_life(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *first = fake_guest_add(g, "pool=two"), *second;

	assert_int_equal(t.opens, 1);
	assert_string_equal(t.owner, g->vm->config.name);
	assert_int_equal(t.pid, getpid());
	assert_int_equal(is_leased(g, VF0), 1);
	assert_int_equal(is_leased(g, VF1), 0);
	second = fake_guest_add(g, "pool=two");
	assert_int_equal(is_leased(g, VF1), 1);
	fake_guest_remove(g, first);
	assert_int_equal(t.releases, 1);
	assert_int_equal(is_leased(g, VF0), 0);
	assert_int_equal(is_leased(g, VF1), 1);
	fake_guest_remove(g, second);
	assert_int_equal(t.releases, 2);
	assert_int_equal(is_leased(g, VF1), 0);
}

static void test_module(void **state)
{
	struct fake_guest *g = *state;

	/* Not there; of another version. What is asked for and what is missing is the message's. */
	t.open_code = -ENOENT;
	refuses(g, "pool=two", -ENOENT, "pool= libnl-route-3");
	t.open_code = -ELIBBAD;
	refuses(g, "pool=two", -ELIBBAD, "pool= libnl-route-3");
	assert_int_equal(t.acquires + t.releases + t.peeks, 0);
	/* Who names a function does without. */
	fake_guest_remove(g, fake_guest_add(g, VF0));
	assert_int_equal(t.opens, 2);
}

static void test_none_to_be_had(void **state)
{
	const struct pci_addr vfs[] = { fake_at(VF0), fake_at(VF1) };
	struct fake_guest *g = *state;
	struct lease lease;
	size_t i;

	refuses(g, "pool=none", -ENODEV, "none");
	refuses(g, "pool=other", -ENODEV, "there is no pool \"other\"");
	t.acquire_code = -EACCES; /* then the next choice is tried, as when there were none */
	refuses(g, "pool=two", -ENODEV, "not for this user");
	t.acquire_code = -EIO;
	refuses(g, "pool=two", -EIO, "not for this user");
	t.acquire_code = 0;
	refuses(g, "pool=two,host=" VF0, -EINVAL, "pool= stands in the place of host=");
	assert_int_equal(t.releases, 0);
	for (i = 0; i < ARRAY_SIZE(vfs); i++)
		assert_int_equal(lease_acquire(&g->host->host, &vfs[i], "db", 0,
					       &(struct lease_by){ .idle = NULL }, &lease, NULL), 0);
	fake_guest_refuses(g, "pool=two", -ENODEV, "no free function in pool two");
	fake_guest_refuses(g, VF0, -ENODEV, VF0 ": leased to db");
	assert_int_equal(t.releases, 0);
}

/* Whatever fails after the function was taken, it is given back, and can be had at once. */
static void test_attach_fails(void **state)
{
	static const unsigned long requests[] = { FAKE_OPEN, VFIO_DEVICE_GET_INFO,
						  VFIO_DEVICE_GET_REGION_INFO, FAKE_PREAD };
	struct fake_guest *g = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(requests); i++) {
		struct err err = { 0 };

		fake_vfio_fail(requests[i], 1, EIO);
		assert_true(fake_guest_try(g, "pool=two", &err) < 0);
		loop_do_posted(g->vm->loop);
		assert_null(strstr(err.msg, "no free function"));
		assert_int_equal(t.acquires, i + 1);
		assert_int_equal(t.releases, i + 1);
		assert_int_equal(is_leased(g, VF0), 0);
	}
	fake_guest_remove(g, fake_guest_add(g, "pool=two"));
}

/* It is told, and the guest goes on. */
static void test_release_fails(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *pdev = fake_guest_add(g, "pool=two");

	t.release_code = -ENODEV;
	fake_guest_remove(g, pdev);
	assert_int_equal(t.releases, 1);
	assert_true(fake_guest_logged(g, "given back: it does not come back"));
}

/* A lease that somebody took for this guest is its own; another's is not, nor one that is nonsense. */
static void test_named(void **state)
{
	const struct lease_by by = { .idle = NULL };
	const struct pci_addr vf = fake_at(VF0);
	struct fake_guest *g = *state;
	struct lease lease;

	assert_int_equal(lease_acquire(&g->host->host, &vf, g->vm->config.name, 0, &by,
				       &lease, NULL), 0);
	fake_guest_remove(g, fake_guest_add(g, VF0));
	assert_int_equal(is_leased(g, VF0), 1); /* it goes on */
	fake_text(g->host, "var/lib/vfctl/leases/" VF0, "viaduct-lease 9\nstate held\n");
	fake_guest_refuses(g, VF0, -ENODEV, "vfctl release " VF0 " --force=unknown");
	assert_int_equal(t.opens, 0);
}

static void test_plan(void **state)
{
	struct fake_guest *g = *state;
	struct err err = { 0 };

	fake_guest_add(g, "pool=two");
	assert_int_equal(t.peeks, 1);
	assert_int_equal(t.acquires, 0);
	assert_int_equal(is_leased(g, VF0), 0);
	/* The second has the next one, and for a third there is none. */
	fake_guest_add(g, "pool=two");
	assert_int_equal(fake_guest_try(g, "pool=two", &err), -ENODEV);
	assert_non_null(strstr(err.msg, "no free function in pool two"));
	assert_int_equal(t.acquires + t.releases, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_life), T(test_module), T(test_none_to_be_had), T(test_attach_fails),
		T(test_release_fails), T(test_named),
		cmocka_unit_test_setup_teardown(test_plan, setup_plan, teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
