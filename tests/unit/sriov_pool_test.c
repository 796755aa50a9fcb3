// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_sysfs.h"
#include "sriov/pool.h"

static void expect(struct fake *f, const char *name, const struct pci_addr *want, size_t count)
{
	struct pci_addr *addrs = NULL;
	struct err err = { 0 };
	size_t n = 99, i;

	assert_int_equal(pool_read(&f->host, name, &addrs, &n, &err), 0);
	assert_int_equal(n, count);
	for (i = 0; i < n; i++)
		assert_true(pci_addr_eq(&addrs[i], &want[i]));
	free(addrs);
}

static void test_life(void **state)
{
	struct fake *f = *state;
	const struct pci_addr addrs[] = { fake_at("0000:01:10.2"), fake_at("0000:01:10.0"),
					  fake_at("0001:ff:1f.7") };
	const char *const keep[] = { "absent", "b" };
	struct pci_addr *got;
	struct err err = { 0 };
	char **names;
	size_t n;

	assert_int_equal(pool_read(&f->host, "a", &got, &n, &err), -ENODEV);
	assert_string_equal(err.msg, "there is no pool \"a\"; name it in /etc/vfctl.yaml and run: "
				     "vfctl apply");
	assert_int_equal(pool_list(&f->host, &names, &n, &err), 0);
	assert_int_equal(n, 0);
	assert_null(names);
	assert_int_equal(pool_write(&f->host, "b", addrs, 3, &err), 0);
	assert_int_equal(pool_write(&f->host, "a", addrs + 1, 1, &err), 0);
	expect(f, "b", addrs, 3);
	expect(f, "a", addrs + 1, 1);
	assert_int_equal(pool_list(&f->host, &names, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_string_equal(names[0], "a");
	assert_string_equal(names[1], "b");
	free(names);

	/* What is so already costs no write. */
	fake_fail(f, 1, -EIO);
	assert_int_equal(pool_write(&f->host, "b", addrs, 3, &err), 0);
	assert_int_equal(f->seen, 0);
	/* One that fails leaves the old text. */
	assert_int_equal(pool_write(&f->host, "b", addrs, 2, &err), -EIO);
	assert_non_null(strstr(err.msg, "pool b: cannot write "));
	expect(f, "b", addrs, 3);
	/* An empty pool is one. */
	assert_int_equal(pool_write(&f->host, "b", NULL, 0, &err), 0);
	expect(f, "b", NULL, 0);

	assert_int_equal(pool_remove_others(&f->host, keep, 2, &err), 0);
	assert_int_equal(pool_read(&f->host, "a", &got, &n, &err), -ENODEV);
	expect(f, "b", NULL, 0);
	assert_int_equal(pool_remove_others(&f->host, NULL, 0, &err), 0);
	assert_int_equal(pool_read(&f->host, "b", &got, &n, &err), -ENODEV);
}

static void test_names(void **state)
{
	static const char *const bad[] = { "", ".", "..", ".hidden", "a/b", "a b", "a,b", "a\n",
					   "\x1b[2J", "0000:01:10.0" };
	struct fake *f = *state;
	struct pci_addr *got;
	struct err err = { 0 };
	char big[HOST_NAME_MAX + 1];
	size_t i, n;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(pool_name_ok(bad[i]));
		assert_int_equal(pool_read(&f->host, bad[i], &got, &n, &err), -EINVAL);
		assert_int_equal(pool_write(&f->host, bad[i], NULL, 0, &err), -EINVAL);
		assert_null(strpbrk(err.msg, "\n\x1b"));
	}
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_false(pool_name_ok(big));
	big[HOST_NAME_MAX - 1] = '\0';
	assert_true(pool_name_ok(big));
	assert_int_equal(pool_write(&f->host, big, NULL, 0, &err), 0);
	expect(f, big, NULL, 0);
}

/* The file may have been written by anybody. */
static void test_hostile(void **state)
{
	static const char *const bad[] = { "0000:01:10.0 0000:01:10.1\n", "nonsense\n",
					   "0000:01:10.0\n0000:01:10.8\n", "\x1b[2J\n", "../x" };
	const struct pci_addr want[] = { fake_at("0000:01:10.0"), fake_at("0000:01:10.2") };
	struct fake *f = *state;
	struct pci_addr *got;
	struct err err = { 0 };
	char *huge, path[400];
	size_t i, n;

	fake_text(f, "run/viaduct/pools/a", "# two\n\n 0000:01:10.0 # db\n01:10.2\r\n0000:01:10.0");
	expect(f, "a", want, 2);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		fake_text(f, "run/viaduct/pools/a", bad[i]);
		assert_int_equal(pool_read(&f->host, "a", &got, &n, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "pool a: line "));
		assert_null(strpbrk(err.msg, "\n\x1b"));
	}
	huge = malloc(400001);
	assert_non_null(huge);
	memset(huge, '\n', 400000);
	huge[400000] = '\0';
	fake_text(f, "run/viaduct/pools/a", huge);
	assert_int_equal(pool_read(&f->host, "a", &got, &n, &err), -EFBIG);
	/* As many lines as a pool may have functions, and one more. */
	for (i = 0, n = 0; i <= POOL_MAX; i++)
		n += (size_t)sprintf(huge + n, "%04zx:%02zx:00.0\n", i >> 8, i & 255);
	fake_text(f, "run/viaduct/pools/a", huge);
	assert_int_equal(pool_read(&f->host, "a", &got, &n, &err), -EINVAL);
	huge[13ul * POOL_MAX] = '\0';
	fake_text(f, "run/viaduct/pools/a", huge);
	assert_int_equal(pool_read(&f->host, "a", &got, &n, &err), 0);
	assert_int_equal(n, POOL_MAX);
	free(got);
	free(huge);
	/* Neither a folder nor a pipe stops anybody. */
	snprintf(path, sizeof(path), "%s/run/viaduct/pools/pipe", f->base);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(pool_read(&f->host, "pipe", &got, &n, &err), -EINVAL);
	snprintf(path, sizeof(path), "%s/run/viaduct/pools/folder", f->base);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(pool_read(&f->host, "folder", &got, &n, &err), -EINVAL);
	/* Nor does what a writer left that was killed. */
	fake_text(f, "run/viaduct/pools/.a.new", "0000:01");
	assert_int_equal(pool_write(&f->host, "a", want, 2, &err), 0);
	expect(f, "a", want, 2);
}

static void test_twice(void **state)
{
	struct fake *f = *state;
	const struct pci_addr twice[] = { fake_at("0000:01:10.2"), fake_at("0000:01:10.2") };
	struct err err = { 0 };

	assert_int_equal(pool_write(&f->host, "a", twice, 2, &err), -EINVAL);
	assert_string_equal(err.msg, "pool a: 0000:01:10.2 is in it twice");
	assert_int_equal(pool_write(&f->host, "a", twice, POOL_MAX + 1, &err), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fake_lab_test(test_life),
		fake_lab_test(test_names),
		fake_lab_test(test_hostile),
		fake_lab_test(test_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
