// SPDX-License-Identifier: GPL-2.0-or-later
/* What the host has to give: pools of huge pages and nodes, and the words when it has too little.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_sysfs.h"
#include "vmm/mem_host.h"

#define POOL "sys/kernel/mm/hugepages/hugepages-2048kB/"
#define NODE "sys/devices/system/node/"

static void pool(struct fake *f, const char *total, const char *free, const char *reserved)
{
	fake_text(f, POOL "nr_hugepages", total);
	fake_text(f, POOL "free_hugepages", free);
	fake_text(f, POOL "resv_hugepages", reserved);
}

static void refused(const struct fake *f, uint64_t size, const struct mem_options *opt, int ret,
		    const char *word)
{
	struct err err = { 0 };
	int got = mem_host_check(f->sys, size, opt, &err);

	if (got != ret || !strstr(err.msg, word))
		fail_msg("%d, wanted %d and \"%s\": %s", got, ret, word, err.msg);
}

static void test_ordinary_memory_asks_nothing(void **state)
{
	struct mem_options opt = { 0 };

	(void)state;
	assert_int_equal(mem_host_check("/nowhere", 3 * MIB, &opt, NULL), 0);
	opt.page_size = 4096;
	assert_int_equal(mem_host_check("/nowhere", 3 * MIB, &opt, NULL), 0);
}

static void test_a_pool_that_suffices_or_not(void **state)
{
	struct mem_options opt = { .page_size = 2 * MIB };
	struct fake *f = fake_new();

	(void)state;
	refused(f, 64 * MIB, &opt, -EINVAL, "this host has no pages of 2 MiB");
	pool(f, "40\n", "32\n", "0\n");
	assert_int_equal(mem_host_check(f->sys, 64 * MIB, &opt, NULL), 0);
	refused(f, 63 * MIB, &opt, -EINVAL,
		"memory of 63 MiB is no whole number of pages of 2 MiB");
	refused(f, 66 * MIB, &opt, -ENOMEM,
		"guest memory takes 33 pages of 2 MiB, and of the 40 that the host has 32 are "
		"free; "
		"run: echo 41 >");
	refused(f, 66 * MIB, &opt, -ENOMEM, "(sysctl vm.nr_hugepages=41)");
	/* What others have reserved is not free, though nobody has touched it. */
	pool(f, "40\n", "32\n", "12\n");
	refused(f, 64 * MIB, &opt, -ENOMEM, "20 are free; run: echo 52 >");
	pool(f, "40\n", "2\n", "12\n");
	refused(f, 64 * MIB, &opt, -ENOMEM, "0 are free; run: echo 72 >");
	/* Pages that the host makes when they are wanted. */
	fake_text(f, POOL "nr_overcommit_hugepages", "40\n");
	fake_text(f, POOL "surplus_hugepages", "8\n");
	assert_int_equal(mem_host_check(f->sys, 64 * MIB, &opt, NULL), 0);
	refused(f, 66 * MIB, &opt, -ENOMEM, "32 are free");
	fake_text(f, "sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "0\n");
	opt.page_size = GIB;
	refused(f, 2 * GIB, &opt, -ENOMEM, "boot the host with hugepagesz=1G hugepages=2");
	fake_free(f);
}

static void test_the_pool_of_a_node(void **state)
{
	struct mem_options opt = { .page_size = 2 * MIB, .bind = true, .node = 1 };
	struct fake *f = fake_new();

	(void)state;
	pool(f, "80\n", "80\n", "0\n");
	fake_text(f, NODE "has_memory", "0-1\n");
	fake_text(f, NODE "node1/meminfo", "Node 1 MemTotal:  1048576 kB\nNode 1 MemFree: 9 kB\n");
	fake_text(f, NODE "node1/hugepages/hugepages-2048kB/nr_hugepages", "20\n");
	fake_text(f, NODE "node1/hugepages/hugepages-2048kB/free_hugepages", "20\n");
	assert_int_equal(mem_host_check(f->sys, 40 * MIB, &opt, NULL), 0);
	refused(f, 64 * MIB, &opt, -ENOMEM,
		"of the 20 that node 1 has 20 are free; run: echo 32 >");
	refused(f, 64 * MIB, &opt, -ENOMEM, "node1/hugepages/hugepages-2048kB/nr_hugepages");
	/* Of one node they cannot be reserved, so they have to be taken. */
	opt.populate_set = true;
	refused(f, 40 * MIB, &opt, -EINVAL, "leave populate=off or node= away");
	opt.populate = true;
	assert_int_equal(mem_host_check(f->sys, 40 * MIB, &opt, NULL), 0);
	fake_free(f);
}

static void test_a_node_that_is_there_or_not(void **state)
{
	struct mem_options opt = { .bind = true, .node = 3 };
	struct fake *f = fake_new();
	struct err err = { 0 };

	(void)state;
	refused(f, MIB, &opt, -EINVAL, "the host has no NUMA nodes");
	fake_text(f, NODE "has_memory", "0-1\n");
	refused(f, MIB, &opt, -EINVAL, "the host's nodes with memory: 0-1");
	/* A node of CPUs alone. */
	fake_text(f, NODE "node3/meminfo", "Node 3 MemTotal:  0 kB\n");
	refused(f, MIB, &opt, -EINVAL, "node=3: not a node");
	fake_text(f, NODE "node3/meminfo", "nonsense\n");
	refused(f, MIB, &opt, -EINVAL, "node=3: not a node");
	fake_text(f, NODE "node3/meminfo", "Node 3 MemTotal:  2048 kB\n");
	assert_int_equal(mem_host_check(f->sys, 2 * MIB, &opt, NULL), 0);
	refused(f, 3 * MIB, &opt, -ENOMEM, "more than the node has (2 MiB)");
	assert_int_equal(mem_host_node_error(f->sys, 0, -ENOSYS, &err), -ENOSYS);
	assert_non_null(strstr(err.msg, "kernel knows no NUMA nodes"));
	fake_free(f);
}

static void test_a_mapping_that_is_refused(void **state)
{
	struct rlimit old, low;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(mem_host_map_error(GIB, -EPERM, &err), -EPERM);
	assert_non_null(strstr(err.msg, "mapping 1024 MiB: Operation not permitted"));
	assert_int_equal(mem_host_map_error(GIB, -ENOMEM, &err), -ENOMEM);
	assert_non_null(strstr(err.msg, "vm.overcommit_memory="));
	assert_int_equal(getrlimit(RLIMIT_DATA, &old), 0);
	low = old;
	low.rlim_cur = GIB - 1;
	assert_int_equal(setrlimit(RLIMIT_DATA, &low), 0);
	assert_int_equal(mem_host_map_error(GIB, -ENOMEM, &err), -ENOMEM);
	assert_int_equal(setrlimit(RLIMIT_DATA, &old), 0);
	assert_non_null(strstr(err.msg, "1024 MiB is beyond the limit RLIMIT_DATA (ulimit -d)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ordinary_memory_asks_nothing),
		cmocka_unit_test(test_a_pool_that_suffices_or_not),
		cmocka_unit_test(test_the_pool_of_a_node),
		cmocka_unit_test(test_a_node_that_is_there_or_not),
		cmocka_unit_test(test_a_mapping_that_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
