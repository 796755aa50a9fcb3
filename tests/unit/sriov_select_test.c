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
#include "fake_sysfs_priv.h"
#include "sriov/select.h"
#include "sriov/vf.h"

#define IGB "0000:01:00.0"
#define NVME "0000:02:00.0"
#define SYS "sys/devices/pci0000:00/"

static int own_mac(const struct host *host, const char *ifname, unsigned char mac[6])
{
	static const unsigned char eth1[6] = { 0x52, 0x54, 0, 0, 0, 0x11 };

	(void)host;
	if (strcmp(ifname, "eth1") != 0)
		return -EOPNOTSUPP;
	memcpy(mac, eth1, 6);
	return 0;
}

/* The lab's host with slots, serial numbers and MACs. */
static int setup(void **state)
{
	struct fake *f = fake_new_lab();
	unsigned char config[4096] = { 0x86, 0x80, 0xc9, 0x10 };
	char path[PATH_MAX];
	FILE *file;

	/* AER at 0x100, the serial number behind it at 0x140. */
	put_le32(config + 0x100, 0x14010001);
	put_le32(config + 0x140, 0x00010003);
	put_le32(config + 0x144, 0xff123456);
	put_le32(config + 0x148, 0x001b21ff);
	fk_path(f, path, SYS IGB "/config");
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(config, 1, sizeof(config), file), sizeof(config));
	fclose(file);
	fake_text(f, SYS NVME "/nvme/nvme0/serial", "S3EVNX0 \n");
	fake_text(f, "sys/bus/pci/slots/3/address", "0000:01:00\n");
	fake_text(f, "sys/bus/pci/slots/4/address", "0000:0\n");
	fake_text(f, SYS IGB "/net/eth0/address", "52:54:00:00:00:01\n");
	fake_text(f, SYS IGB "/net/eth0/addr_assign_type", "0\n");
	/* eth1 is a port of a bond that gave it another one. */
	fake_text(f, SYS "0000:06:01.0/net/eth1/address", "52:54:00:00:00:01\n");
	fake_text(f, SYS "0000:06:01.0/net/eth1/addr_assign_type", "3\n");
	f->ops.net_own_mac = own_mac;
	*state = f;
	return 0;
}

static int find(struct fake *f, const char *match, struct pci_addr *ret, struct err *err)
{
	struct want want;
	char text[512];
	int code;

	snprintf(text, sizeof(text), "version: 1\ndevices:\n- match: {%s}\n", match);
	assert_int_equal(want_parse(&want, "f", text, strlen(text), WANT_FILE, NULL), 0);
	code = select_all(&f->host, &want, ret, err);
	want_done(&want);
	return code;
}

static void expect_found(struct fake *f, const char *match, const char *addr)
{
	struct err err = { .code = 0 };
	struct pci_addr found;
	char a[PCI_ADDR_STRLEN];

	if (find(f, match, &found, &err))
		fail_msg("%s: %s", match, err.msg);
	assert_string_equal(pci_addr_str(&found, a), addr);
}

static void test_found(void **state)
{
	expect_found(*state, "address: \"" IGB "\"", IGB);
	expect_found(*state, "address: \"01:00.0\"", IGB);
	expect_found(*state, "slot: 3", IGB);
	expect_found(*state, "serial: 00-1b-21-ff-ff-12-34-56", IGB);
	expect_found(*state, "serial: \"00:1B:21:FF:FF:12:34:56\"", IGB);
	expect_found(*state, "serial: 001b21ffff123456", IGB);
	expect_found(*state, "serial: S3EVNX0", NVME);
	expect_found(*state, "mac: \"52:54:00:00:00:01\"", IGB);
	expect_found(*state, "mac: \"52:54:00:00:00:11\"", "0000:06:01.0");
	expect_found(*state, "driver: nvme", NVME);
	expect_found(*state, "vendor: 0x10ec", "0000:06:02.0");
	expect_found(*state, "vendor: 0x8086, device: 0x10c9, driver: igb, slot: 3", IGB);
}

static void expect_error(struct fake *f, const char *match, int code, const char *says)
{
	struct err err = { .code = 0 };
	struct pci_addr found;
	int ret = find(f, match, &found, &err);

	if (ret != code || strcmp(err.msg, says) != 0)
		print_message("%s: %s\n", match, err.msg);
	assert_int_equal(ret, code);
	assert_string_equal(err.msg, says);
}

static void test_not_found(void **state)
{
	struct fake *f = *state;
	struct pci_addr pf = fake_at(IGB);

	expect_error(f, "address: \"0000:7f:00.0\"", -ENODEV,
		     "f:3: no function has the address 0000:7f:00.0; see: vfctl list");
	expect_error(f, "serial: nope", -ENODEV,
		     "f:3: no function has the serial nope; see: vfctl list");
	expect_error(f, "vendor: 0x10c9", -ENODEV,
		     "f:3: no function has the vendor 0x10c9; see: vfctl list");
	expect_error(f, "slot: 9", -ENODEV, "f:3: no function has the slot 9; see: vfctl list");
	expect_error(f, "address: \"" IGB "\", serial: 00-1b-21-ff-ff-12-34-57", -ENODEV,
		     "f:3: " IGB " is there, but its serial is 00-1b-21-ff-ff-12-34-56, not "
		     "00-1b-21-ff-ff-12-34-57; if that is the one you mean, change the file");
	expect_error(f, "address: \"" IGB "\", vendor: 0x10ec, device: 0x8139", -ENODEV,
		     "f:3: " IGB " is there, but its vendor is 0x8086, not 0x10ec; if that is the "
		     "one you mean, change the file");
	expect_error(f, "vendor: 0x8086, mac: \"52:54:00:00:00:02\"", -ENODEV,
		     "f:3: 0000:00:00.0 is there, but its mac is none, not 52:54:00:00:00:02; if "
		     "that is the one you mean, change the file");
	expect_error(f, "vendor: 0x8086", -ENOTUNIQ,
		     "f:3: 3 functions are so: 0000:00:00.0, " IGB " ...; add what tells one from "
		     "the others, as its address, serial or mac");
	assert_int_equal(vf_create(&f->host, &pf, 1, NULL, 0, NULL, NULL), 0);
	expect_error(f, "address: \"0000:01:10.0\"", -ENODEV,
		     "f:3: 0000:01:10.0 is a VF of " IGB "; name that one, and this below its vf:");
	expect_error(f, "driver: igbvf", -ENODEV,
		     "f:3: no function has the driver igbvf; see: vfctl list");
}

static void test_twice(void **state)
{
	static const char text[] = "version: 1\ndevices:\n- match: {slot: 3}\n"
				   "- match: {driver: igb}\n";
	struct fake *f = *state;
	struct pci_addr found[2];
	struct err err = { .code = 0 };
	struct want want;

	assert_int_equal(want_parse(&want, "f", text, strlen(text), WANT_FILE, NULL), 0);
	assert_int_equal(select_all(&f->host, &want, found, &err), -ENOTUNIQ);
	assert_string_equal(err.msg, "f:4: this is " IGB ", which line 3 means too");
	want_done(&want);
}

/* F48: what sysfs says may be anything. */
static void test_hostile(void **state)
{
	struct fake *f = *state;

	fake_text(f, "sys/bus/pci/slots/3/address", "");
	fake_text(f, SYS NVME "/nvme/nvme0/serial", "\x1b[31mred\x1b[0m\n");
	fake_text(f, SYS IGB "/net/eth0/address", "garbage\n");
	expect_error(f, "slot: 3", -ENODEV, "f:3: no function has the slot 3; see: vfctl list");
	expect_error(f, "address: \"" NVME "\", serial: x", -ENODEV,
		     "f:3: " NVME " is there, but its serial is ?[31mred?[0m, not x; if that is the "
		     "one you mean, change the file");
	expect_error(f, "mac: \"52:54:00:00:00:01\"", -ENODEV,
		     "f:3: no function has the mac 52:54:00:00:00:01; see: vfctl list");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_found, setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_not_found, setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_twice, setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, fake_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
