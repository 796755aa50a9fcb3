// SPDX-License-Identifier: GPL-2.0-or-later
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
#include "sriov/func.h"
#include "sriov/use.h"
#include "sriov/vf.h"

static void make_vfs(struct fake *f, const char *driver)
{
	struct pci_addr pf = fake_at("0000:01:00.0");

	assert_int_equal(vf_create(&f->host, &pf, 7, driver, false, NULL, NULL), 0);
}

static void test_addr(void **state)
{
	static const char *const good[] = { "0000:01:10.0", "ffff:ff:1f.7", "00010000:00:00.0",
					    "0000:0A:1F.3" };
	static const char *const spelt[] = { "0000:01:10.0", "ffff:ff:1f.7", "10000:00:00.0",
					     "0000:0a:1f.3" };
	static const char *const bad[] = {
		"", "0", "0000:01:10", "0000:01:10.", "0000:01:10.8", "0000:00:00.8",
		"0000:01:20.0",
		"0000:01:10.0 ", " 0000:01:10.0", "0000:01:10.0\n", "000:01:10.0", "0000:1:10.0",
		"0000:01:1.0", "0000:01:10.00", "123456789:01:10.0", "0000-01-10.0", "../../x",
		"0000:01:10.0/", "0x00:01:10.0", "+000:01:10.0", "-1:10.0", "01:10.0x", ":01:10.0",
		"0000::01:10.0", "0000:01:1g.0", "\xd9\xa0\xd9\xa0:01.0",
	};
	char buf[PCI_ADDR_STRLEN];
	struct pci_addr addr;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(pci_addr_parse(good[i], &addr), 0);
		pci_addr_str(&addr, buf);
		assert_string_equal(buf, spelt[i]);
	}
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(pci_addr_parse(bad[i], &addr), -EINVAL);
	assert_int_equal(pci_addr_parse("01:10.0", &addr), 0);
	assert_string_equal(pci_addr_str(&addr, buf), "0000:01:10.0");
}

static void expect_name(struct fake *f, const char *name, const char *want)
{
	char buf[PCI_ADDR_STRLEN];
	struct pci_addr addr;
	struct err err = { .code = 0 };
	int ret = func_resolve(&f->host, name, &addr, &err);

	if (ret)
		print_message("%s\n", err.msg);
	assert_int_equal(ret, 0);
	assert_string_equal(pci_addr_str(&addr, buf), want);
}

static void expect_error(struct fake *f, const char *name, int code, const char *message)
{
	struct pci_addr addr = { .bus = 77 };
	struct err err = { .code = 0 };

	assert_int_equal(func_resolve(&f->host, name, &addr, &err), code);
	assert_int_equal(err.code, code);
	assert_int_equal(addr.bus, 77);
	if (!strstr(err.msg, message))
		print_message("%s\n", err.msg);
	assert_non_null(strstr(err.msg, message));
}

static void test_resolve(void **state)
{
	struct fake *f = *state;

	make_vfs(f, "vfio-pci");
	expect_name(f, "0000:01:00.0", "0000:01:00.0");
	expect_name(f, "01:00.0", "0000:01:00.0");
	expect_name(f, "eth0", "0000:01:00.0");
	expect_name(f, "eth0/vf0", "0000:01:10.0");
	expect_name(f, "eth0/vf6", "0000:01:11.4");
	expect_name(f, "0000:01:00.0/vf1", "0000:01:10.2");
	expect_name(f, "01:00.0/any", "0000:01:10.0");
	fake_link(f, "../../devices/pci0000:00/0000:02:00.0/virtio0/net/vio0",
		  "sys/class/net/vio0");
	expect_name(f, "vio0", "0000:02:00.0");
	expect_error(f, "eth0/vf7", -ENODEV, "0000:01:00.0 has no VF 7 (it has 7)");
	expect_error(f, "eth9", -ENODEV, "eth9: no such PCI address or network interface");
	expect_error(f, "0000:07:00.0", -ENODEV, "0000:07:00.0: no such function");
	expect_error(f, "eth1/any", -ENODEV, "0000:06:01.0: this function has no VFs");
	expect_error(f, "eth1/vf0", -ENODEV, "0000:06:01.0: this function has no VFs");
	fake_link(f, "../../devices/virtual/net/lo", "sys/class/net/lo");
	expect_error(f, "lo", -ENODEV, "lo: this interface belongs to no PCI function");
}

static void test_hostile_names(void **state)
{
	static const char *const bad[] = {
		"", "/", "//", "/any", "/vf0", "..", ".", "../../etc/passwd", "eth0/", "eth0/vf",
		"eth0/vf-1", "eth0/vf1e3", "eth0/vf0x1", "eth0/vf0/any", "eth0/ANY", "eth0/any ",
		"eth0/vf999999", "eth0/../eth1", "eth0:1", "0000:00:00.8", "0000:01:00.0;reboot",
		"a b", "a\nb", "\xff\xfe", "\xc3\xa9th0", "sixteen_letters_",
	};
	struct fake *f = *state;
	char *snapshot = fake_snapshot(f), *after;
	char big[4097];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		expect_error(f, bad[i], -EINVAL, "\"");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	expect_error(f, big, -EINVAL, "...");
	big[2000] = '/';
	expect_error(f, big, -EINVAL, "...");
	after = fake_snapshot(f);
	assert_string_equal(snapshot, after);
	free(snapshot);
	free(after);
}

static void test_any(void **state)
{
	struct pci_addr vf5 = fake_at("0000:01:11.2"), vf6 = fake_at("0000:01:11.4");
	struct fake *f = *state;
	char node[32];
	int i;

	expect_error(f, "eth0/any", -ENODEV, "no free VF of 0000:01:00.0 (it has none); run: vfctl "
					     "create 0000:01:00.0 N --driver vfio-pci");
	make_vfs(f, "vfio-pci");
	fake_busy(f, "vfio/20");
	expect_name(f, "eth0/any", "0000:01:10.2");
	for (i = 21; i < 25; i++) {
		snprintf(node, sizeof(node), "vfio/%d", i);
		fake_busy(f, node);
	}
	assert_int_equal(func_bind(&f->host, &vf5, 1, "igbvf", false, NULL, NULL), 0);
	assert_int_equal(func_bind(&f->host, &vf6, 1, "igbvf", false, NULL, NULL), 0);
	expect_error(f, "eth0/any", -ENODEV,
		     "no free VF of 0000:01:00.0 (7 VFs: 5 in use, 2 bound to igbvf)");
	assert_int_equal(func_bind(&f->host, &vf5, 1, BIND_NONE, false, NULL, NULL), 0);
	expect_error(f, "eth0/any", -ENODEV,
		     "(7 VFs: 5 in use, 1 without a driver, 1 bound to igbvf)");
	assert_int_equal(func_bind(&f->host, &vf5, 1, "vfio-pci", false, NULL, NULL), 0);
	expect_name(f, "eth0/any", "0000:01:11.2");
	/* Another member of the group makes it not viable. */
	fake_link(f, "../../../../devices/pci0000:00/0000:06:02.0",
		  "sys/kernel/iommu_groups/25/devices/0000:06:02.0");
	expect_error(f, "eth0/any", -ENODEV, "1 in a group that is not viable, 1 bound to igbvf)");
	fake_remove(f, "sys/kernel/iommu_groups/25/devices/0000:06:02.0");
	fake_remove(f, "dev/vfio/25");
	expect_error(f, "eth0/any", -ENODEV, "1 without a device node");
}

static void test_read(void **state)
{
	struct pci_addr addr = fake_at("0000:01:00.0"), vf = fake_at("0000:01:10.4");
	struct func_info info;
	struct err err = { .code = 0 };
	struct fake *f = *state;

	make_vfs(f, "vfio-pci");
	assert_int_equal(func_read(&f->host, &addr, &info, &err), 0);
	assert_int_equal(info.vendor, 0x8086);
	assert_int_equal(info.device, 0x10c9);
	assert_int_equal(info.sub_device, 1);
	assert_int_equal(info.class, 0x020000);
	assert_int_equal(info.revision, 1);
	assert_string_equal(info.driver, "igb");
	assert_string_equal(info.driver_override, "");
	assert_int_equal(info.group, 14);
	assert_int_equal(info.numa_node, 0);
	assert_true(info.is_pf && !info.is_vf && info.autoprobe);
	assert_int_equal(info.total_vfs, 7);
	assert_int_equal(info.num_vfs, 7);
	assert_int_equal(info.netdev_count, 1);
	assert_string_equal(info.netdevs[0], "eth0");

	assert_int_equal(func_read(&f->host, &vf, &info, &err), 0);
	assert_true(info.is_vf && !info.is_pf);
	assert_true(pci_addr_eq(&info.pf, &addr));
	assert_int_equal(info.vf_index, 2);
	assert_string_equal(info.driver_override, "vfio-pci");
	/* Without offset and stride the index is found by looking. */
	fake_remove(f, "sys/devices/pci0000:00/0000:01:00.0/sriov_stride");
	assert_int_equal(func_read(&f->host, &vf, &info, &err), 0);
	assert_int_equal(info.vf_index, 2);

	addr = fake_at("0000:09:00.0");
	assert_int_equal(func_read(&f->host, &addr, &info, &err), -ENODEV);
	assert_string_equal(err.msg, "0000:09:00.0: no such function");
}

static void test_read_hostile_attributes(void **state)
{
	struct pci_addr addr = fake_at("0000:01:00.0");
	struct func_info info;
	struct fake *f = *state;
	char big[5000];

	memset(big, '9', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	fake_text(f, "sys/devices/pci0000:00/0000:01:00.0/sriov_numvfs", big);
	fake_text(f, "sys/devices/pci0000:00/0000:01:00.0/class", "no number\n");
	fake_text(f, "sys/devices/pci0000:00/0000:01:00.0/driver_override", big);
	fake_remove(f, "sys/devices/pci0000:00/0000:01:00.0/iommu_group");
	fake_link(f, "../../../kernel/iommu_groups/-3",
		  "sys/devices/pci0000:00/0000:01:00.0/iommu_group");
	assert_int_equal(func_read(&f->host, &addr, &info, NULL), 0);
	assert_int_equal(info.num_vfs, 0);
	assert_int_equal(info.class, 0);
	assert_string_equal(info.driver_override, "");
	assert_int_equal(info.group, -1);
	fake_text(f, "sys/devices/pci0000:00/0000:01:00.0/vendor", "");
	assert_int_equal(func_read(&f->host, &addr, &info, NULL), -EINVAL);
}

static void test_group(void **state)
{
	struct pci_addr nic = fake_at("0000:06:01.0"), other = fake_at("0000:06:02.0");
	struct pci_addr bridge = fake_at("0000:05:00.0");
	struct group_member *members;
	struct err err = { .code = 0 };
	struct fake *f = *state;
	size_t count;

	assert_int_equal(group_members(&f->host, 15, &members, &count, &err), 0);
	assert_int_equal(count, 3);
	assert_string_equal(members[0].name, "0000:05:00.0");
	assert_true(members[0].is_bridge && !members[0].blocks);
	assert_string_equal(members[2].driver, "8139cp");
	assert_true(members[1].blocks && members[2].blocks);
	free(members);

	assert_int_equal(func_bind(&f->host, &nic, 1, "vfio-pci", USE_GROUP, NULL, NULL),
			 0);
	assert_int_equal(func_group_check(&f->host, &nic, &err), -ENODEV);
	assert_string_equal(err.msg, "0000:06:01.0: group 15 is not viable: 0000:06:02.0 is bound "
				     "to 8139cp; run: vfctl bind 0000:06:02.0 vfio-pci");
	assert_int_equal(func_bind(&f->host, &other, 1, "pci-stub", false, NULL, NULL), 0);
	assert_int_equal(func_group_check(&f->host, &nic, &err), 0);
	assert_int_equal(func_bind(&f->host, &other, 1, BIND_NONE, false, NULL, NULL), 0);
	assert_int_equal(group_check(&f->host, 15, &err), 0);

	/* A bridge counts with a driver that does not promise to leave DMA alone. */
	fake_driver(f, "shpchp", 0, 0, false);
	assert_int_equal(func_bind(&f->host, &bridge, 1, "shpchp", false, NULL, NULL), 0);
	assert_int_equal(group_check(&f->host, 15, &err), -ENODEV);
	assert_string_equal(err.msg, "group 15 is not viable: 0000:05:00.0 is bound to shpchp; "
				     "run: vfctl unbind 0000:05:00.0");
	assert_int_equal(func_bind(&f->host, &other, 1, "8139cp", false, NULL, NULL), 0);
	assert_int_equal(group_check(&f->host, 15, &err), -ENODEV);
	assert_string_equal(err.msg, "group 15 is not viable: 0000:05:00.0 is bound to shpchp, "
				     "0000:06:02.0 is bound to 8139cp; run: vfctl unbind "
				     "0000:05:00.0; then: vfctl bind 0000:06:02.0 vfio-pci");
	assert_int_equal(func_bind(&f->host, &other, 1, BIND_NONE, false, NULL, NULL), 0);
	assert_int_equal(func_bind(&f->host, &bridge, 1, BIND_NONE, false, NULL, NULL), 0);
	assert_int_equal(group_check(&f->host, 15, &err), 0);

	fake_link(f, "../../../../devices/platform/dma0",
		  "sys/kernel/iommu_groups/15/devices/dma0");
	fake_link(f, "../../../bus/platform/drivers/dma", "sys/devices/platform/dma0/driver");
	assert_int_equal(group_check(&f->host, 15, &err), -ENODEV);
	assert_string_equal(err.msg, "group 15 is not viable: dma0 is bound to dma; unbind it from "
				     "that driver");
	assert_int_equal(group_check(&f->host, 99, &err), -ENODEV);
	assert_string_equal(err.msg, "there is no IOMMU group 99");
}

static void test_no_group(void **state)
{
	struct pci_addr addr = fake_at("0000:01:00.0"), none = fake_at("0000:09:00.0");
	struct err err = { .code = 0 };
	struct fake *f = *state;

	fake_remove(f, "sys/devices/pci0000:00/0000:01:00.0/iommu_group");
	assert_int_equal(func_group_check(&f->host, &addr, &err), -ENODEV);
	assert_non_null(strstr(err.msg, "intel_iommu=on"));
	assert_int_equal(func_group_check(&f->host, &none, &err), -ENODEV);
	assert_string_equal(err.msg, "0000:09:00.0: no such function");
}

static void test_roots(void **state)
{
	struct err err = { .code = 0 };
	struct fake *f = *state;
	struct host host;
	char long_root[HOST_ROOT_MAX + 8];

	assert_int_equal(host_init(&host, NULL, &err), 0);
	assert_string_equal(host.sysfs_root, "/sys");
	assert_string_equal(host.proc_root, "/proc");
	assert_string_equal(host.dev_root, "/dev");
	assert_non_null(strstr(f->host.proc_root, "/sys/../proc"));
	assert_non_null(strstr(f->host.run_root, "/sys/../run/vfctl"));
	memset(long_root, 'a', sizeof(long_root) - 1);
	long_root[sizeof(long_root) - 1] = '\0';
	assert_int_equal(host_init(&host, long_root, &err), -ENAMETOOLONG);
	assert_int_equal(host_init(&host, "/nowhere///", &err), 0);
	assert_string_equal(host.sysfs_root, "/nowhere");
	assert_string_equal(host.proc_root, "/proc");
}

/* What stands behind the terminator is somebody else's, however much it looks like an address. */
static void test_of_path(void **state)
{
	char path[] = "../../devices/pci0000:00/0000:01:00.0/net/eth0\0" "0000:09:00.0";
	char bare[] = "0000:02:00.1\0" "0000:09:00.0";
	char none[] = "virtual/net/lo\0" "0000:09:00.0";
	struct pci_addr at, want = fake_at("0000:01:00.0");

	(void)state;
	assert_int_equal(func_of_path(path, &at), 0);
	assert_true(pci_addr_eq(&at, &want));
	assert_int_equal(func_of_path(bare, &at), 0);
	want = fake_at("0000:02:00.1");
	assert_true(pci_addr_eq(&at, &want));
	assert_int_equal(func_of_path(none, &at), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addr),
		cmocka_unit_test(test_of_path),
		fake_lab_test(test_resolve),
		fake_lab_test(test_hostile_names),
		fake_lab_test(test_any),
		fake_lab_test(test_read),
		fake_lab_test(test_read_hostile_attributes),
		fake_lab_test(test_group),
		fake_lab_test(test_no_group),
		fake_lab_test(test_roots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
