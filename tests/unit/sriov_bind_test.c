// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_sysfs.h"
#include "sriov/bind.h"
#include "sriov/func.h"
#include "sriov/lock.h"
#include "sriov/vf.h"

#define IGB "0000:01:00.0"
#define VF0 "0000:01:10.0"
#define SYS "sys/devices/pci0000:00/"

static int bind_one(struct fake *f, const char *addr, const char *driver, unsigned int force,
		    struct err *err)
{
	struct pci_addr a = fake_at(addr);

	return func_bind(&f->host, &a, 1, driver, force, NULL, err);
}

static void expect_driver(struct fake *f, const char *addr, const char *driver,
			  const char *override)
{
	struct pci_addr a = fake_at(addr);
	struct func_info info;

	assert_int_equal(func_read(&f->host, &a, &info, NULL), 0);
	assert_string_equal(info.driver, driver);
	assert_string_equal(info.driver_override, override);
}

static void test_round_trip(void **state)
{
	struct pci_addr a = fake_at(IGB);
	struct fake *f = *state;
	char *before = fake_snapshot(f), *after;
	struct bind_report report;

	assert_int_equal(func_bind(&f->host, &a, 1, "vfio-pci", 0, &report, NULL), 0);
	assert_int_equal(report.writes, 3);
	assert_string_equal(report.from, "igb");
	assert_string_equal(report.to, "vfio-pci");
	expect_driver(f, IGB, "vfio-pci", "vfio-pci");
	assert_int_equal(func_bind(&f->host, &a, 1, "vfio-pci", 0, &report, NULL), 0);
	assert_int_equal(report.writes, 0);

	assert_int_equal(func_bind(&f->host, &a, 1, BIND_DEFAULT, 0, &report, NULL), 0);
	assert_int_equal(report.writes, 3);
	expect_driver(f, IGB, "igb", "");
	assert_int_equal(func_bind(&f->host, &a, 1, BIND_DEFAULT, 0, &report, NULL), 0);
	assert_int_equal(report.writes, 0);

	assert_int_equal(func_bind(&f->host, &a, 1, BIND_NONE, 0, &report, NULL), 0);
	assert_int_equal(report.writes, 1);
	expect_driver(f, IGB, "", "");
	assert_int_equal(func_bind(&f->host, &a, 1, BIND_NONE, 0, &report, NULL), 0);
	assert_int_equal(report.writes, 0);
	assert_int_equal(func_bind(&f->host, &a, 1, "igb", 0, &report, NULL), 0);
	assert_int_equal(report.writes, 2);
	assert_int_equal(func_bind(&f->host, &a, 1, BIND_NONE, 0, &report, NULL), 0);
	assert_int_equal(func_bind(&f->host, &a, 1, BIND_DEFAULT, 0, &report, NULL), 0);
	assert_int_equal(report.writes, 1);
	fake_netdev(f, IGB, "eth0", 0, NULL); /* the fake makes none for a PF's driver */
	fake_remove(f, "sys/class/net/eth0");
	fake_link(f, "../../devices/pci0000:00/" IGB "/net/eth0", "sys/class/net/eth0");
	after = fake_snapshot(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static void test_driver_names(void **state)
{
	static const char *const bad[] = { "", ".", "..", "../igb", "a/b", "a b", "a\n", "\x80" };
	struct err err = { .code = 0 };
	struct fake *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(bind_one(f, IGB, bad[i], ~0u, &err), -EINVAL);
	assert_int_equal(bind_one(f, IGB, "mlx5_vfio_pci", 0, &err), -ENOENT);
	assert_string_equal(err.msg,
			    "driver mlx5_vfio_pci is not loaded; run: modprobe mlx5_vfio_pci");
	assert_int_equal(bind_one(f, "0000:09:00.0", "vfio-pci", 0, &err), -ENODEV);
	assert_string_equal(err.msg, "0000:09:00.0: no such function");
	assert_int_equal(f->host.writes, 0);
}

static const struct {
	int code;
	const char *text;
} answers[] = {
	{ -EBUSY, "the kernel answered EBUSY" },
	{ -ENODEV, "the driver does not take this device" },
	{ -EPERM, "list of refused devices" },
	{ -EINVAL, "the kernel answered EINVAL" },
	{ -EIO, "see: dmesg" },
	{ -ENOMEM, "ENOMEM" },
};

static void test_refused_by_driver(void **state)
{
	char *before, *after;
	struct err err = { .code = 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(answers); i++) {
		struct fake *f = fake_new_lab();

		/* That an interface is gone after unbind and bind is the driver's doing. */
		fake_remove(f, "sys/class/net/eth0");
		fake_remove(f, SYS IGB "/net");
		before = fake_snapshot(f);
		strcpy(f->refuse, "vfio-pci");
		f->refuse_code = answers[i].code;
		assert_int_equal(bind_one(f, IGB, "vfio-pci", 0, &err), answers[i].code);
		if (!strstr(err.msg, answers[i].text))
			print_message("%s\n", err.msg);
		assert_non_null(strstr(err.msg, answers[i].text));
		after = fake_snapshot(f);
		assert_string_equal(before, after);
		free(before);
		free(after);
		fake_free(f);
	}
}

static void test_no_iommu(void **state)
{
	struct err err = { .code = 0 };
	struct fake *f = *state;

	fake_remove(f, SYS IGB "/iommu_group");
	assert_int_equal(bind_one(f, IGB, "vfio-pci", 0, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "it is in no IOMMU group"));
	expect_driver(f, IGB, "igb", "");
}

static void test_bridge(void **state)
{
	struct err err = { .code = 0 };
	struct fake *f = *state;

	strcpy(f->refuse, "vfio-pci");
	f->refuse_code = -EINVAL;
	assert_int_equal(bind_one(f, "0000:05:00.0", "vfio-pci", 0, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "VFIO takes no bridge: unbind it"));
	expect_driver(f, "0000:05:00.0", "pcieport", "");
}

static void test_link_does_not_appear(void **state)
{
	struct err err = { .code = 0 };
	struct fake *f = *state;

	f->probe_fails = true;
	assert_int_equal(bind_one(f, IGB, "vfio-pci", 0, &err), -EIO);
	f->probe_fails = false;
	/* The fake let the roll-back's probe fail as well, and the message says so. */
	assert_int_equal(err.code, -EIO);
	assert_non_null(strstr(err.msg, "and not all could be put back: " IGB
					": cannot bring back the driver igb"));
	expect_driver(f, IGB, "", "");
}

static void strip_netdevs(struct fake *f)
{
	fake_remove(f, "sys/class/net/eth0");
	fake_remove(f, "sys/class/net/eth1");
	fake_remove(f, "sys/class/net/eth2");
	fake_remove(f, SYS IGB "/net");
	fake_remove(f, SYS "0000:06:01.0/net");
	fake_remove(f, SYS "0000:06:02.0/net");
}

/* A failure at every write in turn leaves the host as it was. */
static unsigned long rollback(const char *const *names, size_t count, const char *driver,
			      const char *first, bool autoprobe_off)
{
	struct pci_addr pf = fake_at(IGB);
	unsigned long k;
	int ret = -1;

	for (k = 1; ret; k++) {
		struct fake *f = fake_new_lab();
		struct pci_addr addrs[4];
		char *before, *after;
		size_t i;

		strip_netdevs(f);
		assert_int_equal(vf_create(&f->host, &pf, 2, "igbvf", 0, NULL, NULL), 0);
		if (autoprobe_off)
			fake_text(f, SYS IGB "/sriov_drivers_autoprobe", "0\n");
		for (i = 0; i < count; i++) {
			addrs[i] = fake_at(names[i]);
			if (first)
				assert_int_equal(func_bind(&f->host, &addrs[i], 1, first, ~0u,
							   NULL, NULL), 0);
		}
		before = fake_snapshot(f);
		fake_fail(f, k, -EIO);
		ret = func_bind(&f->host, addrs, count, driver, ~0u, NULL, NULL);
		after = fake_snapshot(f);
		if (ret)
			assert_string_equal(before, after);
		else
			assert_true(f->seen < k);
		free(before);
		free(after);
		fake_free(f);
	}
	return k - 2;
}

static void test_rollback(void **state)
{
	static const char *const three[] = { "0000:06:01.0", VF0, "0000:06:02.0" };
	static const char *const vf[] = { VF0 };

	(void)state;
	assert_int_equal(rollback(three, 3, "vfio-pci", NULL, false), 9);
	assert_int_equal(rollback(three, 3, "none", NULL, false), 4);
	assert_int_equal(rollback(three, 3, "default", "vfio-pci", false), 9);
	assert_int_equal(rollback(three, 3, "pci-stub", "vfio-pci", false), 9);
	assert_int_equal(rollback(three, 3, "none", "vfio-pci", false), 6);
	assert_int_equal(rollback(vf, 1, "vfio-pci", NULL, true), 3);
	assert_int_equal(rollback(vf, 1, "vfio-pci", "none", true), 2);
}

static void test_all_or_nothing(void **state)
{
	struct pci_addr addrs[] = { fake_at("0000:06:01.0"), fake_at("0000:06:02.0"), fake_at(IGB) };
	struct err err = { .code = 0 };
	char *before, *after;
	struct fake *f = *state;

	strip_netdevs(f);
	before = fake_snapshot(f);
	fake_remove(f, SYS IGB "/iommu_group");
	free(before);
	before = fake_snapshot(f);
	assert_int_equal(func_bind(&f->host, addrs, 3, "vfio-pci", 0, NULL, &err), -EINVAL);
	after = fake_snapshot(f);
	assert_string_equal(before, after);
	free(before);
	free(after);
	/* One in use: nothing is written. */
	f->host.writes = 0;
	fake_netdev(f, "0000:06:02.0", "eth2", 1, "192.0.2.7");
	assert_int_equal(func_bind(&f->host, addrs, 2, "vfio-pci", 0, NULL, &err), -EBUSY);
	assert_string_equal(err.msg, "0000:06:02.0: eth2 is up with address 192.0.2.7; bring it "
				     "down or use --force=address");
	assert_int_equal(f->host.writes, 0);
	assert_int_equal(func_bind(&f->host, addrs, 2, "vfio-pci", ~0u, NULL, &err), 0);
	assert_int_equal(f->host.writes, 6);
}

static void test_pf_with_vfs(void **state)
{
	struct pci_addr pf = fake_at(IGB);
	struct err err = { .code = 0 };
	struct fake *f = *state;

	assert_int_equal(vf_create(&f->host, &pf, 3, "vfio-pci", 0, NULL, &err), 0);
	assert_int_equal(bind_one(f, IGB, "vfio-pci", 0, &err), -EBUSY);
	assert_string_equal(err.msg, IGB ": its 3 VFs would vanish with its driver igb; run: vfctl "
					 "destroy " IGB " or use --force=vfs");
}

static bool stop_now(void *opaque)
{
	(void)opaque;
	return true;
}

static void test_interrupted(void **state)
{
	struct pci_addr addrs[] = { fake_at("0000:06:01.0"), fake_at("0000:06:02.0") };
	struct err err = { .code = 0 };
	struct fake *f = *state;

	f->host.stop = stop_now;
	assert_int_equal(func_bind(&f->host, addrs, 2, "vfio-pci", 0, NULL, &err), -EINTR);
	assert_int_equal(f->host.writes, 0);
}

static void test_lock(void **state)
{
	struct pci_addr pf = fake_at(IGB);
	char path[HOST_PATH_MAX];
	struct err err = { .code = 0 };
	struct fake *f = *state;
	struct func_lock lock;
	int fd;

	assert_int_equal(vf_create(&f->host, &pf, 1, "vfio-pci", 0, NULL, NULL), 0);
	assert_int_equal(host_path(path, f->host.run_root, IGB ".lock"), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(pwrite(fd, "pid 4711\n", 9, 0), 9);
	/* A VF is locked through its PF. */
	assert_int_equal(bind_one(f, VF0, "none", 0, &err), -EBUSY);
	assert_string_equal(err.msg, IGB ": another vfctl (pid 4711) is changing it; try again "
					 "when that has ended");
	assert_int_equal(vf_destroy(&f->host, &pf, 0, NULL, &err), -EBUSY);
	assert_int_equal(bind_one(f, "0000:06:01.0", "none", 0, &err), 0);
	close(fd);
	assert_int_equal(func_lock(&f->host, &pf, &lock, &err), 0);
	func_unlock(&lock);
	assert_int_equal(bind_one(f, VF0, "none", 0, &err), 0);
	/* Nowhere to put locks: not root, no XDG_RUNTIME_DIR. */
	f->host.run_root[0] = '\0';
	assert_int_equal(bind_one(f, VF0, "vfio-pci", 0, &err), -EACCES);
	assert_string_equal(err.msg, IGB ": changing it needs root; run it with sudo");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fake_lab_test(test_round_trip),
		fake_lab_test(test_driver_names),
		cmocka_unit_test(test_refused_by_driver),
		fake_lab_test(test_no_iommu),
		fake_lab_test(test_bridge),
		fake_lab_test(test_link_does_not_appear),
		cmocka_unit_test(test_rollback),
		fake_lab_test(test_all_or_nothing),
		fake_lab_test(test_pf_with_vfs),
		fake_lab_test(test_interrupted),
		fake_lab_test(test_lock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
