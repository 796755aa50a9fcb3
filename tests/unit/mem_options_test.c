// SPDX-License-Identifier: GPL-2.0-or-later
/* --memory: what is taken, and what is refused in which words. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/mem.h"

struct parsed {
	int ret;
	uint64_t size;
	struct mem_options ram;
	struct err err;
};

static struct parsed parse(const char *text)
{
	struct parsed p = { .size = 512 * MIB };

	p.ret = mem_options_parse(text, &p.size, &p.ram, &p.err);
	return p;
}

static void test_a_size_alone_or_by_name(void **state)
{
	struct parsed p;

	(void)state;
	p = parse("2G");
	assert_int_equal(p.ret, 0);
	assert_int_equal(p.size, 2 * GIB);
	assert_false(p.ram.share);
	p = parse("2G,share=on");
	assert_int_equal(p.ret, 0);
	assert_int_equal(p.size, 2 * GIB);
	assert_true(p.ram.share);
	p = parse("share=on,size=64M");
	assert_int_equal(p.ret, 0);
	assert_int_equal(p.size, 64 * MIB);
	assert_true(p.ram.share);
	assert_false(p.ram.bind || p.ram.populate_set);
	p = parse("1G,page-size=2M,node=0,populate=off");
	assert_int_equal(p.ret, 0);
	assert_int_equal(p.ram.page_size, 2 * MIB);
	assert_true(p.ram.bind);
	assert_int_equal(p.ram.node, 0);
	assert_true(p.ram.populate_set);
	assert_false(p.ram.populate);
	p = parse("1G,page-size=4k,populate");
	assert_int_equal(p.ret, 0);
	assert_int_equal(p.ram.page_size, 4 * KIB);
	assert_true(p.ram.populate_set && p.ram.populate);
	/* The size that is not given stays the caller's. */
	p = parse("share=on");
	assert_int_equal(p.ret, 0);
	assert_int_equal(p.size, 512 * MIB);
}

static void refused(const char *text, int ret, const char *word)
{
	struct parsed p = parse(text);

	if (p.ret != ret || !strstr(p.err.msg, word))
		fail_msg("%s: %d, wanted %d and \"%s\": %s", text, p.ret, ret, word, p.err.msg);
	assert_int_equal(p.size, 512 * MIB);
	assert_false(p.ram.share);
}

static void test_what_is_wrong_is_named_and_changes_nothing(void **state)
{
	(void)state;
	refused("plenty", -EINVAL, "a size such as 512M");
	refused("2G,share=maybe", -EINVAL, "share=maybe");
	refused("share=on,colour=red", -EINVAL, "colour: no such option");
	refused("2G,colour=red", -EINVAL, "size, page-size, node, share, populate");
	refused("2G,page-size=3M", -EINVAL, "page-size=3M: it takes 4K, 2M or 1G");
	refused("2G,page-size=2G", -ERANGE, "page-size=2G");
	refused("2G,page-size=huge", -EINVAL, "page-size=huge");
	refused("2G,node=-1", -EINVAL, "node=-1");
	refused("2G,populate=later", -EINVAL, "populate=later");
	refused("2G,size=3G", -EINVAL, "twice");
	refused("share=on,share=off", -EINVAL, "twice");
	refused("share=on,=3", -EINVAL, "no name");
	refused("size=99999999999999T", -ERANGE, "size");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_size_alone_or_by_name),
		cmocka_unit_test(test_what_is_wrong_is_named_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
