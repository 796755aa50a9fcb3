/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of the look for use share. */
#ifndef VIADUCT_TESTS_USE_RIG_H
#define VIADUCT_TESTS_USE_RIG_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_sysfs.h"
#include "sriov/bind.h"
#include "sriov/use.h"
#include "sriov/vf.h"

#define IGB "0000:01:00.0"
#define NVME "0000:02:00.0"
#define E1000 "0000:06:01.0"
#define RTL "0000:06:02.0"
#define DEVICES "sys/devices/pci0000:00/"
#define ETH0 DEVICES IGB "/net/eth0"
#define DISK DEVICES NVME "/block/nvme0n1"

/* With the kinds @force overridden: @want NULL: not in use; else the whole message after the
 * address. */
static inline void expect_look(struct fake *f, const char *text, unsigned int force,
			       const char *want)
{
	struct pci_addr addr = fake_at(text);
	struct use_found found;
	struct err err = { .code = 0 };
	int ret = use_check(&f->host, NULL, &addr, force, &found, &err);
	size_t i;

	if (!want) {
		if (ret)
			print_message("%s\n", err.msg);
		assert_int_equal(ret, 0);
		assert_int_equal(found.count, 0);
		assert_int_equal(found.kinds, 0);
		return;
	}
	assert_int_equal(ret, -EBUSY);
	assert_int_equal(strncmp(err.msg, text, strlen(text)), 0);
	assert_string_equal(err.msg + strlen(text), want);
	for (i = 0; i < found.count; i++) {
		assert_non_null(strstr(err.msg, found.ev[i].what));
		assert_non_null(strstr(err.msg, found.ev[i].remedy));
		assert_int_equal(found.ev[i].kinds & (force | ~found.kinds), 0);
	}
}

/* expect_look(), and a bind is answered the same, and writes nothing. */
static inline void expect_forced(struct fake *f, const char *text, unsigned int force,
				 const char *want)
{
	unsigned long writes = f->host.writes;
	struct pci_addr addr = fake_at(text);
	struct err err = { .code = 0 };

	expect_look(f, text, force, want);
	if (!want)
		return;
	assert_int_equal(func_bind(&f->host, &addr, 1, "vfio-pci", force, NULL, &err), -EBUSY);
	assert_string_equal(err.msg + strlen(text), want);
	assert_int_equal(f->host.writes, writes);
}

static inline void expect(struct fake *f, const char *text, const char *want)
{
	expect_forced(f, text, 0, want);
}

#endif
