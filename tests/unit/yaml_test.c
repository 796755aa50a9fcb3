// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "base/yaml.h"

static int parse(struct yaml *doc, const char *text, struct err *err)
{
	return yaml_parse(doc, "f", text, strlen(text), err);
}

static void test_tree(void **state)
{
	static const char text[] = "a: 1 # one\n"
				   "b: [x, \"y z\", {c: ''}]\n"
				   "d:\n"
				   "  e: on\n"
				   "  f:\n";
	const struct yaml_node *n;
	struct yaml doc;

	(void)state;
	assert_int_equal(parse(&doc, text, NULL), 0);
	assert_int_equal(doc.root->kind, YAML_MAP);
	n = doc.root->child;
	assert_string_equal(n->key, "a");
	assert_string_equal(n->text, "1");
	assert_int_equal(n->line, 1);
	n = n->next;
	assert_string_equal(n->key, "b");
	assert_int_equal(n->kind, YAML_LIST);
	assert_string_equal(n->child->text, "x");
	assert_null(n->child->key);
	assert_string_equal(n->child->next->text, "y z");
	assert_string_equal(n->child->next->next->child->key, "c");
	assert_string_equal(n->child->next->next->child->text, "");
	assert_null(n->child->next->next->next);
	n = n->next;
	assert_int_equal(n->line, 3);
	assert_string_equal(n->child->next->key, "f");
	assert_string_equal(n->child->next->text, "");
	assert_int_equal(n->child->next->line, 5);
	assert_null(n->next);
	yaml_done(&doc);
	yaml_done(&doc);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *says;
	} bad[] = {
		{ "", -EINVAL, "f: nothing is in it" },
		{ "# only\n", -EINVAL, "f: nothing is in it" },
		{ "a: 1\nb: 2\na: 3\n", -EINVAL, "f:3: \"a\" is there twice" },
		{ "a: &x 1\nb: *x\n", -EINVAL, "f:1: anchors and tags are not taken" },
		{ "a: *x\n", -EINVAL, "f:1: aliases (\"*name\") are not taken; write it out" },
		{ "a: !!int 1\n", -EINVAL, "f:1: anchors" },
		{ "a: &x [1]\n", -EINVAL, "f:1: anchors" },
		{ "a: 1\n---\nb: 1\n", -EINVAL, "f:2: a second document begins; there can be one" },
		{ "a: \"b\\x01\"\n", -EINVAL, "f:1: only printable ASCII on one line is taken" },
		{ "a: \xc3\xa4\n", -EINVAL, "f:1: only printable" },
		{ "a: \"x\\ny\"\n", -EINVAL, "f:1: only printable" },
		{ "[a, b]: c\n", -EINVAL, "f:1: a key is one word" },
		{ "? {a: b}\n: c\n", -EINVAL, "f:1: a key is one word" },
		{ "a: [1\nb: 2\n", -EINVAL, "f:2: this is no YAML: " },
		{ "a:\n\t- b\n", -EINVAL, "f:2: this is no YAML: " },
		{ "\xff\xfe", -EINVAL, "f: nothing" },
		{ "\x80", -EINVAL, "f: byte 0: this is no text" },
	};
	struct yaml doc;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		err_clear(&err);
		if (parse(&doc, bad[i].text, &err) != bad[i].code ||
		    strncmp(err.msg, bad[i].says, strlen(bad[i].says)) != 0)
			print_message("%zu: %s\n", i, err.msg);
		assert_int_equal(err.code, bad[i].code);
		assert_int_equal(strncmp(err.msg, bad[i].says, strlen(bad[i].says)), 0);
		assert_null(doc.root);
	}
}

/* A text of @count times @one, with @head before and @tail behind. */
static char *repeat(const char *head, const char *one, size_t count, const char *tail)
{
	char *text = malloc(strlen(head) + strlen(one) * count + strlen(tail) + 1), *p;

	assert_non_null(text);
	p = stpcpy(text, head);
	while (count--)
		p = stpcpy(p, one);
	stpcpy(p, tail);
	return text;
}

static void expect_big(char *text, int code, const char *says)
{
	struct err err = { .code = 0 };
	struct yaml doc;
	int ret = parse(&doc, text, &err);

	if (ret != code)
		print_message("%s\n", err.msg);
	assert_int_equal(ret, code);
	assert_non_null(strstr(err.msg, says));
	yaml_done(&doc);
	free(text);
}

static void test_limits(void **state)
{
	char *keys, *p;
	size_t i;

	(void)state;
	expect_big(repeat("", "[", YAML_DEPTH_MAX, "]]]]]]]]]]]]]]]]"), 0, "");
	expect_big(repeat("", "[", YAML_DEPTH_MAX + 1, ""), -E2BIG, "nested too deeply");
	expect_big(repeat("", "[", 100000, ""), -E2BIG, "nested too deeply");
	expect_big(repeat("", "{a: ", 100000, ""), -E2BIG, "nested too deeply");
	expect_big(repeat("", "- x\n", YAML_NODES_MAX - 1, ""), 0, "");
	expect_big(repeat("", "- x\n", YAML_NODES_MAX, ""), -E2BIG, "too much in it");
	expect_big(repeat("a: \"", "x", YAML_BYTES_MAX, "\"\n"), -E2BIG, "bytes, at most");
	keys = p = calloc(YAML_KEYS_MAX + 1, 10);
	assert_non_null(keys);
	for (i = 0; i <= YAML_KEYS_MAX; i++)
		p += sprintf(p, "k%zu: 1\n", i);
	expect_big(keys, -E2BIG, "too many keys");
}

static void test_keys(void **state)
{
	static const char *const names[] = { "driver", "vlan", "vlan-protocol" };
	struct err err = { .code = 0 };
	const struct yaml_node *n;
	struct yaml doc;

	(void)state;
	assert_int_equal(parse(&doc, "vlan: 1\n\ndrivr: x\nanything: [1]\n", NULL), 0);
	n = doc.root->child;
	assert_int_equal(yaml_key(&doc, n, names, ARRAY_SIZE(names), &err), 1);
	n = n->next;
	assert_int_equal(yaml_key(&doc, n, names, ARRAY_SIZE(names), &err), -EINVAL);
	assert_string_equal(err.msg, "f:3: there is no \"drivr\" here; did you mean driver?");
	n = n->next;
	assert_int_equal(yaml_key(&doc, n, names, ARRAY_SIZE(names), &err), -EINVAL);
	assert_string_equal(err.msg,
			    "f:4: there is no \"anything\" here, but: driver, vlan, vlan-protocol");
	assert_int_equal(yaml_want(&doc, n, YAML_TEXT, &err), -EINVAL);
	assert_string_equal(err.msg, "f:4: anything takes one value");
	yaml_done(&doc);
}

static void test_files(void **state)
{
	char path[] = "/tmp/viaduct-yaml-XXXXXX";
	struct err err = { .code = 0 };
	struct yaml doc;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "a: b\n", 5), 5);
	assert_int_equal(yaml_parse_file(&doc, path, &err), 0);
	assert_string_equal(doc.root->child->text, "b");
	yaml_done(&doc);
	assert_int_equal(ftruncate(fd, YAML_BYTES_MAX + 10), 0);
	assert_int_equal(yaml_parse_file(&doc, path, &err), -E2BIG);
	close(fd);
	unlink(path);
	assert_int_equal(yaml_parse_file(&doc, path, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "cannot read /tmp/viaduct-yaml-"));
	assert_int_equal(yaml_parse_file(&doc, "/tmp", &err), -EISDIR);
	assert_int_equal(yaml_parse_file(&doc, "/dev/zero", &err), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree),   cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_keys),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
