// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake_sysfs.h"
#include "sriov/want_wait.h"

#define IGB "0000:01:00.0"
#define LONG_MS 60000u

/* What happens at which look; the host is asked whether to stop before each of them. */
struct script {
	struct fake *f;
	unsigned int looks, act_at;
	void (*act)(struct fake *f);
	unsigned int stop_at; /* 0: never */
};

static bool next_look(void *opaque)
{
	struct script *s = opaque;

	s->looks++;
	if (s->act && s->looks == s->act_at)
		s->act(s->f);
	return s->stop_at && s->looks >= s->stop_at;
}

/* Waits and returns how often it looked, and in @ret_ms how long that took. */
static unsigned int waited(struct script *s, const char *entry, unsigned int max_ms, uint64_t *ret_ms)
{
	uint64_t start = host_now_ms();
	struct want want;
	char text[512];

	snprintf(text, sizeof(text), "version: 1\ndevices:\n%s", entry);
	assert_int_equal(want_parse(&want, "f", text, strlen(text), WANT_FILE, NULL), 0);
	s->f->host.stop = next_look;
	s->f->host.report_opaque = s;
	want_wait(&s->f->host, &want, max_ms);
	want_done(&want);
	*ret_ms = host_now_ms() - start;
	return s->looks;
}

static void driver_comes(struct fake *f)
{
	fake_link(f, "../../../bus/pci/drivers/igb", "sys/devices/pci0000:00/" IGB "/driver");
}

static void card_comes(struct fake *f)
{
	static const struct fake_func card = { .addr = "0000:07:00.0", .vendor = 0x8086,
					       .device = 0x1521, .class = 0x020000, .group = 40 };

	fake_func(f, &card);
}

static void test_there(void **state)
{
	struct script s = { .f = *state };
	uint64_t ms;

	assert_int_equal(waited(&s, "- {match: {address: \"" IGB "\"}, vfs: 4}\n", LONG_MS, &ms), 1);
	assert_true(ms < LONG_MS);
}

static void test_no_wait(void **state)
{
	struct script s = { .f = *state };
	uint64_t ms;

	assert_int_equal(waited(&s, "- {match: {address: \"0000:7f:00.0\"}}\n", 0, &ms), 0);
}

static void test_card_comes(void **state)
{
	struct script s = { .f = *state, .act_at = 2, .act = card_comes };
	uint64_t ms;

	assert_int_equal(waited(&s, "- {match: {device: 0x1521}}\n", LONG_MS, &ms), 2);
	assert_true(ms < LONG_MS);
}

static void test_driver_comes(void **state)
{
	struct script s = { .f = *state, .act_at = 2, .act = driver_comes };
	uint64_t ms;

	fake_remove(s.f, "sys/devices/pci0000:00/" IGB "/driver");
	assert_int_equal(waited(&s, "- {match: {address: \"" IGB "\"}, vfs: 4}\n", LONG_MS, &ms), 2);
}

/* One that is to have no VFs, or is given its driver by the file itself, needs none before. */
static void test_driver_not_needed(void **state)
{
	static const char *const entries[] = {
		"- {match: {address: \"" IGB "\"}}\n",
		"- {match: {address: \"" IGB "\"}, vfs: 0}\n",
		"- {match: {address: \"" IGB "\"}, vfs: 4, driver: igb}\n",
	};
	uint64_t ms;
	size_t i;

	fake_remove(*state, "sys/devices/pci0000:00/" IGB "/driver");
	for (i = 0; i < sizeof(entries) / sizeof(*entries); i++) {
		struct script s = { .f = *state };

		assert_int_equal(waited(&s, entries[i], LONG_MS, &ms), 1);
	}
}

/* Two that match do not become one by waiting. */
static void test_ambiguous(void **state)
{
	struct script s = { .f = *state };
	uint64_t ms;

	fake_remove(s.f, "sys/devices/pci0000:00/" IGB "/driver");
	card_comes(s.f);
	assert_int_equal(waited(&s, "- {match: {vendor: 0x8086}, vfs: 1}\n", LONG_MS, &ms), 1);
}

static void test_time_is_up(void **state)
{
	struct script s = { .f = *state };
	uint64_t ms;

	assert_true(waited(&s, "- {match: {address: \"0000:7f:00.0\"}}\n", 300, &ms) >= 1);
	assert_true(ms >= 300);
}

static void test_stopped(void **state)
{
	struct script s = { .f = *state, .stop_at = 2 };
	uint64_t ms;

	assert_int_equal(waited(&s, "- {match: {address: \"0000:7f:00.0\"}}\n", LONG_MS, &ms), 2);
	assert_true(ms < LONG_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fake_lab_test(test_there),	    fake_lab_test(test_no_wait),
		fake_lab_test(test_card_comes),	    fake_lab_test(test_driver_comes),
		fake_lab_test(test_driver_not_needed), fake_lab_test(test_ambiguous),
		fake_lab_test(test_time_is_up),	    fake_lab_test(test_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
