// SPDX-License-Identifier: GPL-2.0-or-later
/* The file of viaduct-bridge-helper: what it allows, and what of it is not believed. */
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

#include "base/util.h"
#include "tools/bridge_acl.h"

static const struct {
	const char *text, *bridge;
	int ret;
	const char *says;
} cases[] = {
	{ "", "br0", -EACCES, "\"allow br0\"" },
	{ "# nothing\n\n \t\n", "br0", -EACCES, "\"allow br0\"" },
	{ "allow br0", "br0", 0, "" },
	{ "allow br0\n", "br0", 0, "" },
	{ "\tallow  br0\t# guests\r\n", "br0", 0, "" },
	{ "allow br0#guests\n", "br0", 0, "" },
	{ "#allow br0\n", "br0", -EACCES, "does not allow" },
	{ "allow br0\n", "br1", -EACCES, "\"allow br1\"" },
	{ "allow br0\n", "br", -EACCES, "does not allow" },
	{ "allow br\n", "br0", -EACCES, "does not allow" },
	{ "allow br1\nallow br0\n", "br0", 0, "" },
	{ "allow all\n", "br0", 0, "" },
	{ "allow all\ndeny br0\n", "br0", -EACCES, "denies it" },
	{ "deny br0\nallow all\n", "br0", -EACCES, "denies it" },
	{ "deny br0\nallow all\n", "br1", 0, "" },
	{ "allow br0\ndeny all\n", "br0", -EACCES, "denies it" },
	{ "allow\n", "br0", -EINVAL, "line 1" },
	{ "allow br0\nallow br1 br2\n", "br0", -EINVAL, "line 2" },
	{ "allow br0\n\npermit br1\n", "br0", -EINVAL, "line 3" },
	{ "allowed br0\n", "br0", -EINVAL, "line 1" },
	{ "allow br0\ndeny", "br0", -EINVAL, "line 2" },
	{ "ALLOW br0\n", "br0", -EINVAL, "line 1" },
};

static void lines(void **state)
{
	char why[BRIDGE_ACL_WHY];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		why[0] = '\0';
		if (bridge_acl_decide("FILE", cases[i].text, cases[i].bridge, why) != cases[i].ret ||
		    !strstr(why, cases[i].says))
			fail_msg("%s: \"%s\" of \"%s\"", cases[i].bridge, why, cases[i].text);
	}
}

static char dir[] = "/tmp/bridge_acl_test.XXXXXX", path[64], why_not[BRIDGE_ACL_WHY];

static void write_file(const char *text, size_t len, mode_t mode)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static int check(const char *says)
{
	int ret = bridge_acl_check(path, "br0", why_not);

	if (!strstr(why_not, says) || !strstr(why_not, path))
		fail_msg("%s", why_not);
	return ret;
}

static void a_file_that_is_not_roots_alone(void **state)
{
	static const char text[] = "allow br0\n";

	(void)state;
	write_file(text, strlen(text), 0644);
	assert_int_equal(bridge_acl_check(path, "br0", why_not), 0);
	write_file(text, strlen(text), 0664);
	assert_int_equal(check("root's"), -EPERM);
	write_file(text, strlen(text), 0646);
	assert_int_equal(check("root's"), -EPERM);
	chmod(path, 0644);
	assert_int_equal(chown(path, 65534, 0), 0);
	assert_int_equal(check("root's"), -EPERM);
}

static void a_file_that_is_none(void **state)
{
	char other[80];

	(void)state;
	unlink(path);
	assert_int_equal(check("allow br0"), -ENOENT);
	snprintf(other, sizeof(other), "%s/other", dir);
	assert_int_equal(rename(other, path) ? errno : 0, ENOENT);
	write_file("allow br0\n", 10, 0644);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(check(""), -ELOOP);
	unlink(path);
	unlink(other);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(check("root's"), -EPERM);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(check("root's"), -EPERM);
	rmdir(path);
}

static void a_file_that_is_odd(void **state)
{
	static char big[BRIDGE_ACL_MAX + 1];

	(void)state;
	memset(big, '\n', sizeof(big));
	snprintf(big, sizeof(big), "allow br0\n");
	big[10] = '\n';
	write_file(big, sizeof(big) - 1, 0644);
	assert_int_equal(bridge_acl_check(path, "br0", why_not), 0);
	write_file(big, sizeof(big), 0644);
	assert_int_equal(check("bytes"), -EFBIG);
	write_file("allow br0\n\0deny br0\n", 20, 0644);
	assert_int_equal(check("no text"), -EINVAL);
}

static int setup(void **state)
{
	(void)state;
	if (getuid())
		skip(); /* root's files are what it is about */
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup(f, setup)
		cmocka_unit_test(lines),
		T(a_file_that_is_not_roots_alone),
		T(a_file_that_is_none),
		T(a_file_that_is_odd),
	};
	int ret;

	if (!mkdtemp(dir))
		return 99;
	snprintf(path, sizeof(path), "%s/bridge.conf", dir);
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	rmdir(dir);
	return ret;
}
