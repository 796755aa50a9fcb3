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
#include "fake_sysfs.h"
#include "sriov/func.h"
#include "sriov/quarantine.h"
#include "sriov/vf.h"

static void test_life(void **state)
{
	struct fake *f = *state;
	struct pci_addr a = fake_at("0000:02:00.0"), b = fake_at("0000:01:00.0"), *all;
	char reason[QUARANTINE_REASON_MAX];
	struct err err = { 0 };
	mode_t mask = umask(077);
	struct stat st;
	char path[400];
	size_t count;

	assert_false(quarantine_has(&f->host, &a, reason));
	assert_int_equal(quarantine_check(&f->host, &a, &err), 0);
	assert_int_equal(quarantine_list(&f->host, &all, &count, &err), 0);
	assert_int_equal(count, 0);
	assert_null(all);
	assert_int_equal(quarantine_clear(&f->host, &a, &err), -ENOENT);

	assert_int_equal(quarantine_add(&f->host, &a, "it died\n\x1b[2J of a reset", &err), 0);
	umask(mask);
	assert_true(quarantine_has(&f->host, &a, NULL));
	assert_true(quarantine_has(&f->host, &a, reason));
	assert_string_equal(reason, "it died??[2J of a reset");
	assert_int_equal(quarantine_add(&f->host, &a, "it died", &err), 0);
	assert_int_equal(quarantine_add(&f->host, &b, "it died too", &err), 0);
	assert_int_equal(quarantine_check(&f->host, &a, &err), -ENODEV);
	assert_string_equal(err.msg, "0000:02:00.0: in quarantine: it died; when it is well again, "
				     "run: vfctl clear 0000:02:00.0");
	/* Whoever makes the folder, all may look into it. */
	snprintf(path, sizeof(path), "%s/run/viaduct/quarantine", f->base);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	/* What is no address is nobody's. */
	fake_text(f, "run/viaduct/quarantine/README", "hello");
	assert_int_equal(quarantine_list(&f->host, &all, &count, &err), 0);
	assert_int_equal(count, 2);
	assert_true(pci_addr_eq(&all[0], &b) && pci_addr_eq(&all[1], &a));
	free(all);

	assert_int_equal(quarantine_clear(&f->host, &a, &err), 0);
	assert_false(quarantine_has(&f->host, &a, reason));
	assert_true(quarantine_has(&f->host, &b, reason));
}

/* A writer that was killed, and a reason that is too long, are reasons all the same. */
static void test_odd_records(void **state)
{
	struct fake *f = *state;
	char reason[QUARANTINE_REASON_MAX], big[2000];
	struct pci_addr a = fake_at("0000:02:00.0");

	fake_text(f, "run/viaduct/quarantine/0000:02:00.0", "");
	assert_true(quarantine_has(&f->host, &a, reason));
	assert_string_equal(reason, "no reason is written down");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	fake_text(f, "run/viaduct/quarantine/0000:02:00.0", big);
	assert_true(quarantine_has(&f->host, &a, reason));
	assert_true(strlen(reason) < sizeof(reason));
}

static void test_errors(void **state)
{
	struct fake *f = *state;
	struct pci_addr a = fake_at("0000:02:00.0");
	struct err err = { 0 };

	if (geteuid() == 0) {
		/* The fake's folder is root's alone. */
		assert_int_equal(seteuid(65534), 0);
		assert_int_equal(quarantine_add(&f->host, &a, "it died", &err), -EACCES);
		assert_non_null(strstr(err.msg, "this user may not write to"));
		assert_false(quarantine_has(&f->host, &a, NULL));
		assert_int_equal(quarantine_clear(&f->host, &a, &err), -EACCES);
		assert_non_null(strstr(err.msg, "needs root"));
		assert_int_equal(seteuid(0), 0);
	}
	fake_text(f, "run/viaduct", "a file");
	assert_int_equal(quarantine_add(&f->host, &a, "it died", &err), -ENOTDIR);
	assert_non_null(strstr(err.msg, "0000:02:00.0: not put into quarantine in "));
	assert_false(quarantine_has(&f->host, &a, NULL));
}

static bool taken(const void *opaque, const struct pci_addr *addr)
{
	return pci_addr_eq(opaque, addr);
}

/* PF/any passes over what is sick and what the caller has. */
static void test_any(void **state)
{
	struct fake *f = *state;
	struct pci_addr pf = fake_at("0000:01:00.0"), vf, second;
	const struct func_taken mine = { taken, &second };
	struct err err = { 0 };

	assert_int_equal(vf_create(&f->host, &pf, 3, "vfio-pci", false, NULL, &err), 0);
	assert_int_equal(func_vf_addr(&f->host, &pf, 1, &second), 0);
	assert_int_equal(func_resolve(&f->host, "eth0/any", &vf, &err), 0);
	assert_int_equal(quarantine_add(&f->host, &vf, "it died", &err), 0);
	assert_int_equal(func_resolve(&f->host, "eth0/any", &vf, &err), 0);
	assert_true(pci_addr_eq(&vf, &second));
	assert_int_equal(func_resolve_free(&f->host, "eth0/any", &mine, &vf, &err), 0);
	assert_int_equal(func_vf_addr(&f->host, &pf, 2, &second), 0);
	assert_true(pci_addr_eq(&vf, &second));
	assert_int_equal(func_vf_addr(&f->host, &pf, 1, &second), 0);
	assert_int_equal(quarantine_add(&f->host, &vf, "it died", &err), 0);
	assert_int_equal(func_resolve_free(&f->host, "eth0/any", &mine, &vf, &err), -ENODEV);
	assert_string_equal(err.msg,
			    "no free VF of 0000:01:00.0 (3 VFs: 2 in quarantine, 1 in this "
			    "guest already)");
}

static void test_answers(void **state)
{
	struct fake *f = *state;
	struct pci_addr a = fake_at("0000:02:00.0");
	char path[400];
	FILE *file;

	/* Not known counts as well. */
	assert_true(func_answers(&f->host, &a));
	snprintf(path, sizeof(path), "%s/sys/devices/pci0000:00/0000:02:00.0/config", f->base);
	file = fopen(path, "w");
	assert_non_null(file);
	fwrite("\xff\xff\xff\xff\0\0\x10\0\x01\0\0\x02", 12, 1, file);
	fclose(file);
	assert_true(func_answers(&f->host, &a)); /* a VF, whose IDs are ones */
	file = fopen(path, "w");
	assert_non_null(file);
	fwrite("\x86\x80\xca\x10\xff\xff\xff\xff\xff\xff\xff\xff", 12, 1, file);
	fclose(file);
	assert_false(func_answers(&f->host, &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fake_lab_test(test_life),
		fake_lab_test(test_odd_records),
		fake_lab_test(test_errors),
		fake_lab_test(test_any),
		fake_lab_test(test_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
