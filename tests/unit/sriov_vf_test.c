// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_sysfs.h"
#include "sriov/bind.h"
#include "sriov/func.h"
#include "sriov/vf.h"

#define IGB "0000:01:00.0"
#define SYS "sys/devices/pci0000:00/"

static int create(struct fake *f, unsigned int count, const char *driver, unsigned int force,
		  struct vf_report *report, struct err *err)
{
	struct pci_addr pf = fake_at(IGB);

	return vf_create(&f->host, &pf, count, driver, force, report, err);
}

static void expect_text(struct fake *f, const char *path, const char *want)
{
	char *text = fake_read(f, path);

	assert_string_equal(text, want);
	free(text);
}

static void expect_vf(struct fake *f, unsigned int index, const char *driver, const char *override)
{
	struct pci_addr pf = fake_at(IGB), vf;
	struct func_info info;

	assert_int_equal(func_vf_addr(&f->host, &pf, index, &vf), 0);
	assert_int_equal(func_read(&f->host, &vf, &info, NULL), 0);
	assert_string_equal(info.driver, driver);
	assert_string_equal(info.driver_override, override);
}

static void test_create(void **state)
{
	struct fake *f = *state;
	struct vf_report report;
	char *before = fake_snapshot(f), *after;
	struct pci_addr pf = fake_at(IGB);
	unsigned int i;

	assert_int_equal(create(f, 7, "vfio-pci", 0, &report, NULL), 0);
	/* autoprobe off, the count, two for each VF, autoprobe on. */
	assert_int_equal(report.writes, 1 + 1 + 7 * 2 + 1);
	assert_int_equal(report.before, 0);
	assert_int_equal(report.after, 7);
	assert_int_equal(report.bound, 7);
	assert_int_equal(f->native_binds, 0);
	for (i = 0; i < 7; i++)
		expect_vf(f, i, "vfio-pci", "vfio-pci");
	expect_text(f, SYS IGB "/sriov_drivers_autoprobe", "1\n");
	assert_int_equal(create(f, 7, "vfio-pci", 0, &report, NULL), 0);
	assert_int_equal(report.writes, 0);
	assert_int_equal(report.bound, 0);
	assert_int_equal(vf_destroy(&f->host, &pf, 0, &report, NULL), 0);
	assert_int_equal(report.writes, 1);
	assert_int_equal(report.before, 7);
	assert_int_equal(report.after, 0);
	assert_int_equal(vf_destroy(&f->host, &pf, 0, &report, NULL), 0);
	assert_int_equal(report.writes, 0);
	after = fake_snapshot(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static void test_create_kernels_choice(void **state)
{
	struct fake *f = *state;
	struct vf_report report;
	struct pci_addr pf = fake_at(IGB);

	assert_int_equal(create(f, 3, NULL, 0, &report, NULL), 0);
	assert_int_equal(report.writes, 1);
	expect_vf(f, 2, "igbvf", "");
	assert_int_equal(f->native_binds, 3);
	/* The same VFs, another driver: three writes each, and no new VFs. */
	assert_int_equal(create(f, 3, "vfio-pci", 0, &report, NULL), 0);
	assert_int_equal(report.writes, 9);
	assert_int_equal(report.bound, 3);
	expect_vf(f, 0, "vfio-pci", "vfio-pci");
	assert_int_equal(create(f, 3, NULL, 0, &report, NULL), 0);
	assert_int_equal(report.writes, 0);
	assert_int_equal(vf_destroy(&f->host, &pf, 0, NULL, NULL), 0);
	assert_int_equal(create(f, 3, BIND_NONE, 0, &report, NULL), 0);
	assert_int_equal(report.writes, 3);
	expect_vf(f, 0, "", "");
	fake_text(f, SYS IGB "/sriov_drivers_autoprobe", "0\n");
	assert_int_equal(vf_destroy(&f->host, &pf, 0, NULL, NULL), 0);
	assert_int_equal(create(f, 2, "vfio-pci", 0, &report, NULL), 0);
	assert_int_equal(report.writes, 5);
	expect_text(f, SYS IGB "/sriov_drivers_autoprobe", "0\n");
}

static void test_other_count(void **state)
{
	struct err err = { .code = 0 };
	struct fake *f = *state;
	struct vf_report report;

	assert_int_equal(create(f, 4, "vfio-pci", 0, NULL, NULL), 0);
	assert_int_equal(create(f, 6, "vfio-pci", 0, &report, NULL), 0);
	assert_int_equal(report.before, 4);
	assert_int_equal(report.after, 6);
	fake_process(f, 815, "viaduct", "vfio/22");
	assert_int_equal(create(f, 5, "vfio-pci", 0, NULL, &err), -EBUSY);
	assert_string_equal(err.msg, IGB ": its VF 0000:01:10.4 is in use: group 22 is open in "
				     "viaduct (pid 815); stop that process or use --force=vfio; another "
				     "number of VFs means to remove all 6 first");
	assert_int_equal(create(f, 6, "vfio-pci", 0, &report, NULL), 0);
	assert_int_equal(report.writes, 0);
	/* To change the driver of a VF in use is refused too. */
	assert_int_equal(create(f, 6, "pci-stub", 0, NULL, &err), -EBUSY);
	assert_int_equal(create(f, 5, "vfio-pci", ~0u, &report, NULL), 0);
	assert_int_equal(report.after, 5);
}

static void test_destroy_in_use(void **state)
{
	struct pci_addr pf = fake_at(IGB);
	struct err err = { .code = 0 };
	struct fake *f = *state;
	char *before, *after;

	assert_int_equal(create(f, 3, "vfio-pci", 0, NULL, NULL), 0);
	before = fake_snapshot(f);
	fake_busy(f, "vfio/21");
	assert_int_equal(vf_destroy(&f->host, &pf, 0, NULL, &err), -EBUSY);
	assert_string_equal(err.msg, IGB ": its VF 0000:01:10.2 is in use: group 21 is open in "
				     "another process; stop what uses it or use --force=vfio");
	after = fake_snapshot(f);
	assert_string_equal(before, after);
	assert_int_equal(vf_destroy(&f->host, &pf, ~0u, NULL, &err), 0);
	free(before);
	free(after);
}

static void test_nonsense(void **state)
{
	struct pci_addr none = fake_at("0000:09:00.0"), plain = fake_at("0000:06:01.0"), vf;
	struct pci_addr pf = fake_at(IGB);
	struct err err = { .code = 0 };
	struct fake *f = *state;

	assert_int_equal(create(f, 0, NULL, 0, NULL, &err), -EINVAL);
	assert_int_equal(create(f, 8, NULL, 0, NULL, &err), -ERANGE);
	assert_string_equal(err.msg, IGB ": 8 VFs asked for, it can have 7 at most");
	assert_int_equal(create(f, 70000, NULL, 0, NULL, &err), -ERANGE);
	assert_int_equal(create(f, 2, "nope", 0, NULL, &err), -ENOENT);
	assert_int_equal(vf_create(&f->host, &none, 1, NULL, 0, NULL, &err), -ENODEV);
	assert_int_equal(vf_create(&f->host, &plain, 1, NULL, 0, NULL, &err), -ENOTSUP);
	assert_int_equal(vf_destroy(&f->host, &plain, 0, NULL, &err), -ENOTSUP);
	assert_int_equal(f->host.writes, 0);
	assert_int_equal(create(f, 2, NULL, 0, NULL, &err), 0);
	assert_int_equal(func_vf_addr(&f->host, &pf, 1, &vf), 0);
	assert_int_equal(vf_create(&f->host, &vf, 1, NULL, 0, NULL, &err), -ENOTSUP);
	assert_string_equal(err.msg, "0000:01:10.2 is itself a VF; name its PF " IGB);
}

static const struct {
	int code;
	const char *text;
} answers[] = {
	{ -ERANGE, "fewer VFs" },	{ -EBUSY, "by way of 0 only" },
	{ -ENOENT, "makes no VFs" },	{ -ENOMEM, "pci=realloc" },
	{ -ENOSPC, "interrupt vectors" },	{ -ENODEV, "SR-IOV is off" },
	{ -EACCES, "needs root" },	{ -EPERM, "driver refuses" },
	{ -EROFS, "read-only" },	{ -EINVAL, "does not accept" },
	{ -EAGAIN, "bring its interface up" },	{ -ETIMEDOUT, "did not answer" },
	{ -EINTR, "interrupted" },	{ -EIO, "see: dmesg" },
};

/* Each answer of the kernel to the count, from no VFs and from another number of them. */
static void test_numvfs_errors(void **state)
{
	char *before, *after;
	struct err err;
	size_t i;
	int had;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(answers) * 2; i++) {
		struct fake *f = fake_new_lab();

		had = (int)(i % 2);
		if (had)
			assert_int_equal(create(f, 2, "vfio-pci", 0, NULL, NULL), 0);
		before = fake_snapshot(f);
		err_clear(&err);
		/* autoprobe first; with VFs there, 0 is written before the count. */
		fake_fail(f, 2 + (unsigned long)had, answers[i / 2].code);
		assert_int_equal(create(f, 5, "vfio-pci", 0, NULL, &err), answers[i / 2].code);
		assert_non_null(strstr(err.msg, IGB ": cannot set the number of VFs to 5: the "
					       "kernel answered E"));
		if (!strstr(err.msg, answers[i / 2].text))
			print_message("%s\n", err.msg);
		assert_non_null(strstr(err.msg, answers[i / 2].text));
		after = fake_snapshot(f);
		assert_string_equal(before, after);
		free(before);
		free(after);
		fake_free(f);
	}
}

static void test_fewer_vfs(void **state)
{
	struct err err = { .code = 0 };
	struct fake *f = *state;
	char *before = fake_snapshot(f), *after;

	f->vfs_made = 5;
	assert_int_equal(create(f, 7, "vfio-pci", 0, NULL, &err), -EIO);
	assert_string_equal(err.msg, IGB ": asked for 7 VFs, but its driver made 5; ask for fewer, "
				     "or see: dmesg");
	after = fake_snapshot(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static void test_late_vfs(void **state)
{
	struct err err = { .code = 0 };
	struct fake *f = *state;

	f->late_ms = 50;
	assert_int_equal(create(f, 7, "vfio-pci", 0, NULL, &err), 0);
	expect_vf(f, 6, "vfio-pci", "vfio-pci");
}

/* Drivers that answer oddly are not asked before what they need is there. */
static void test_driver_rules(void **state)
{
	static const char *const drivers[] = { "bnxt_en", "bnx2x" };
	struct pci_addr pf = fake_at(IGB);
	struct err err = { .code = 0 };
	struct fake *f = *state;
	char want[128];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(drivers); i++) {
		fake_driver(f, drivers[i], 0, 0, false);
		assert_int_equal(func_bind(&f->host, &pf, 1, drivers[i], 0, NULL, NULL), 0);
		fake_netdev(f, IGB, "eth0", 0, NULL);
		f->host.writes = 0;
		assert_int_equal(create(f, 2, "vfio-pci", 0, NULL, &err), -EAGAIN);
		snprintf(want, sizeof(want), IGB ": %s makes VFs only while its interface is up; "
			 "run: ip link set eth0 up", drivers[i]);
		assert_string_equal(err.msg, want);
		assert_int_equal(f->host.writes, 0);
	}
	fake_text(f, SYS IGB "/net/eth0/flags", "0x1003\n");
	assert_int_equal(create(f, 2, "vfio-pci", 0, NULL, &err), 0);
	assert_int_equal(vf_destroy(&f->host, &pf, 0, NULL, &err), 0);

	assert_int_equal(func_bind(&f->host, &pf, 1, "vfio-pci", ~0u, NULL, NULL), 0);
	fake_text(f, "sys/module/vfio_pci/parameters/enable_sriov", "N\n");
	assert_int_equal(create(f, 2, "vfio-pci", 0, NULL, &err), -EAGAIN);
	assert_non_null(strstr(err.msg, "with its parameter enable_sriov; run: echo 1 > "));
	fake_text(f, "sys/module/vfio_pci/parameters/enable_sriov", "Y\n");
	assert_int_equal(create(f, 2, "vfio-pci", 0, NULL, &err), 0);
}

static void test_too_late_vfs(void **state)
{
	struct err err = { .code = 0 };
	struct fake *f = *state;

	f->late_ms = 300;
	f->host.wait_ms = 40;
	assert_int_equal(create(f, 3, "vfio-pci", 0, NULL, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.msg, "VF 0 of 3 did not appear"));
	expect_text(f, SYS IGB "/sriov_numvfs", "0\n");
	expect_text(f, SYS IGB "/sriov_drivers_autoprobe", "1\n");
}

struct stopper {
	bool stop;
	unsigned int at;
};

static void stop_at(void *opaque, unsigned int done, unsigned int total)
{
	struct stopper *s = opaque;

	assert_int_equal(total, 7);
	if (done == s->at)
		s->stop = true;
}

static bool stop_asked(void *opaque)
{
	return ((struct stopper *)opaque)->stop;
}

static void test_interrupted(void **state)
{
	struct stopper s = { .at = 3 };
	struct err err = { .code = 0 };
	struct fake *f = *state;
	char *before = fake_snapshot(f), *after;

	f->host.stop = stop_asked;
	f->host.progress = stop_at;
	f->host.report_opaque = &s;
	assert_int_equal(create(f, 7, "vfio-pci", 0, NULL, &err), -EINTR);
	after = fake_snapshot(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

struct scene {
	unsigned int had;	  /* VFs before */
	const char *had_driver;
	bool autoprobe_off;
	unsigned int want;	  /* 0: destroy */
	const char *driver;
	unsigned long writes;	  /* of the run without failure */
};

static const struct scene scenes[] = {
	{ 0, NULL, false, 7, "vfio-pci", 17 },
	{ 0, NULL, true, 7, "vfio-pci", 15 },
	{ 0, NULL, false, 7, NULL, 1 },
	{ 0, NULL, false, 7, "none", 3 },
	{ 3, "vfio-pci", false, 7, "vfio-pci", 18 },
	{ 3, "igbvf", false, 5, "vfio-pci", 14 },
	{ 3, "none", false, 2, "vfio-pci", 8 },
	{ 3, NULL, true, 2, NULL, 2 },
	{ 3, NULL, false, 2, NULL, 2 },
	{ 3, NULL, false, 3, "vfio-pci", 9 },
	{ 3, "vfio-pci", false, 3, "none", 6 },
	{ 3, "vfio-pci", false, 0, NULL, 1 },
};

static int play(struct fake *f, const struct scene *s)
{
	struct pci_addr pf = fake_at(IGB);

	return s->want ? create(f, s->want, s->driver, 0, NULL, NULL) :
			 vf_destroy(&f->host, &pf, 0, NULL, NULL);
}

static struct fake *scene_new(const struct scene *s)
{
	struct fake *f = fake_new_lab();

	if (s->had)
		assert_int_equal(create(f, s->had, s->had_driver, 0, NULL, NULL), 0);
	if (s->autoprobe_off)
		fake_text(f, SYS IGB "/sriov_drivers_autoprobe", "0\n");
	return f;
}

/* A failure at every write in turn leaves the host as it was. */
static void test_rollback(void **state)
{
	const struct scene *s;
	unsigned long k;

	(void)state;
	for (s = scenes; s < scenes + ARRAY_SIZE(scenes); s++) {
		int ret = -1;

		for (k = 1; ret; k++) {
			struct fake *f = scene_new(s);
			char *before = fake_snapshot(f), *after;

			fake_fail(f, k, -EIO);
			ret = play(f, s);
			after = fake_snapshot(f);
			if (ret)
				assert_string_equal(before, after);
			else
				assert_int_equal(f->seen, s->writes);
			free(before);
			free(after);
			fake_free(f);
		}
		assert_int_equal(k - 2, s->writes);
	}
}

static void kill_at(void *opaque, const char *path, const char *text, int result)
{
	unsigned long *left = opaque;

	(void)path;
	(void)text;
	(void)result;
	if (!--*left)
		kill(getpid(), SIGKILL);
}

static void play_until(struct fake *f, const struct scene *s, unsigned long writes)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		f->host.trace = kill_at;
		f->host.report_opaque = &writes;
		play(f, s);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

/* Killed after every write in turn, the same command run again ends where it should. */
static void test_killed(void **state)
{
	const struct scene *s;
	unsigned long k;

	(void)state;
	for (s = scenes; s < scenes + ARRAY_SIZE(scenes); s++) {
		struct fake *good = scene_new(s);
		char *want, *after;

		assert_int_equal(play(good, s), 0);
		want = fake_snapshot(good);
		fake_free(good);
		for (k = 1; k <= s->writes; k++) {
			struct fake *f = scene_new(s);

			play_until(f, s, k);
			assert_int_equal(play(f, s), 0);
			after = fake_snapshot(f);
			assert_string_equal(want, after);
			free(after);
			fake_free(f);
		}
		free(want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fake_lab_test(test_create),
		fake_lab_test(test_create_kernels_choice),
		fake_lab_test(test_other_count),
		fake_lab_test(test_destroy_in_use),
		fake_lab_test(test_nonsense),
		cmocka_unit_test(test_numvfs_errors),
		fake_lab_test(test_fewer_vfs),
		fake_lab_test(test_late_vfs),
		fake_lab_test(test_driver_rules),
		fake_lab_test(test_too_late_vfs),
		fake_lab_test(test_interrupted),
		cmocka_unit_test(test_rollback),
		cmocka_unit_test(test_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
