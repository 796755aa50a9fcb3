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
#include "sriov/want.h"

static int parse(struct want *want, const char *text, struct err *err)
{
	return want_parse(want, "f", text, strlen(text), WANT_FILE, err);
}

#define HEAD "version: 1\ndevices:\n- match: {address: \"0000:01:00.0\"}\n"

static void test_all(void **state)
{
	static const char text[] =
		"version: 1\n"
		"devices:\n"
		"- name: uplink\n"
		"  match: {slot: \"3\", serial: \"a-b\", mac: \"52:54:00:11:22:33\", vendor: 0x8086,\n"
		"          device: 4297, driver: igb, address: \"01:00.0\"}\n"
		"  driver: igb\n"
		"  mode: switchdev\n"
		"  vfs: 4\n"
		"  vf-defaults: {driver: vfio-pci, pool: tenants, trust: off, spoof-check: on}\n"
		"  vf:\n"
		"    0: {name: db, mac: \"52:54:00:00:00:01\", vlan: 100, qos: 3,\n"
		"        vlan-protocol: 802.1ad, min-rate: 1, max-rate: 100}\n"
		"    2-3: {driver: igbvf, link-state: enable, pool: host, trust: on}\n"
		"- match: {address: \"0000:05:00.0\"}\n"
		"  driver: vfio-pci\n"
		"  pool: gpus\n";
	const struct pci_addr addr = { .bus = 1 };
	const struct want_device *d;
	const char *name, *pool;
	char label[HOST_NAME_MAX];
	struct func_state s;
	struct vf_state vf;
	struct want want;

	(void)state;
	assert_int_equal(parse(&want, text, NULL), 0);
	assert_int_equal(want.count, 2);
	d = &want.devices[0];
	assert_int_equal(d->match.has, BIT(MATCH_COUNT) - 1);
	assert_string_equal(d->match.slot, "3");
	assert_string_equal(d->match.serial, "a-b");
	assert_int_equal(d->match.vendor, 0x8086);
	assert_int_equal(d->match.device, 0x10c9);
	assert_int_equal(d->match.addr.bus, 1);
	assert_int_equal(d->match.mac.b[5], 0x33);
	assert_int_equal(want_state(&want, d, &addr, 9, &s, NULL), 0);
	assert_int_equal(s.has, STATE_DRIVER | STATE_MODE | STATE_COUNT);
	assert_int_equal(s.mode, ESWITCH_SWITCHDEV);
	assert_int_equal(s.count, 4);
	assert_string_equal(s.vfs[0].bind.driver, "vfio-pci");
	assert_string_equal(s.vfs[3].bind.driver, "igbvf");
	func_state_done(&s);
	want_vf(d, 0, &vf, &name, &pool);
	assert_string_equal(name, "db");
	assert_string_equal(pool, "tenants");
	assert_int_equal(vf.attrs.has,
			 BIT(VF_ATTR_MAC) | BIT(VF_ATTR_VLAN) | BIT(VF_ATTR_QOS) |
				 BIT(VF_ATTR_VLAN_PROTO) | BIT(VF_ATTR_MIN_RATE) |
				 BIT(VF_ATTR_MAX_RATE) | BIT(VF_ATTR_TRUST) | BIT(VF_ATTR_SPOOFCHK));
	assert_true(vf.attrs.value[VF_ATTR_MAC] == 0x525400000001);
	assert_int_equal(vf.attrs.value[VF_ATTR_VLAN_PROTO], 0x88a8);
	want_vf(d, 1, &vf, &name, &pool);
	assert_string_equal(name, "");
	assert_int_equal(vf.attrs.has, BIT(VF_ATTR_TRUST) | BIT(VF_ATTR_SPOOFCHK));
	want_vf(d, 2, &vf, NULL, &pool);
	assert_string_equal(pool, "host");
	assert_int_equal(vf.attrs.value[VF_ATTR_TRUST], 1);
	assert_int_equal(vf.attrs.value[VF_ATTR_LINK_STATE], 1);
	assert_string_equal(want_label(d, &addr, label), "uplink");
	assert_string_equal(want_label(&want.devices[1], &addr, label), "0000:01:00.0");
	/* Where the file leaves the number open, it is the one that is there. */
	assert_int_equal(want_state(&want, &want.devices[1], &addr, 2, &s, NULL), 0);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.vfs[1].has, 0);
	func_state_done(&s);
	want_done(&want);
	assert_int_equal(parse(&want, "version: 1\ndevices:\n", NULL), 0);
	assert_int_equal(want.count, 0);
	want_done(&want);
}

/* F48: each with its line, what is wrong, and what would do. */
static void test_wrong(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *says;
	} bad[] = {
		{ "devices: []\n", -EINVAL, "f:1: its first line should be \"version: 1\"" },
		{ "version: 2\n", -EINVAL, "f:1: it is of version 2; this vfctl reads version 1" },
		{ "version: one\n", -EINVAL, "f:1: version: \"one\" will not do; it takes a number" },
		{ "- a\n", -EINVAL, "f:1: this takes keys with values" },
		{ "version: 1\ndevices: {a: b}\n", -EINVAL, "f:2: devices takes a list" },
		{ "version: 1\ndevics: []\n", -EINVAL,
		  "f:2: there is no \"devics\" here; did you mean devices?" },
		{ "version: 1\nboot: x\n", -EINVAL, "f:2: there is no \"boot\" here" },
		{ "version: 1\ndevices:\n- name: x\n", -EINVAL,
		  "f:3: which function is meant? give it a match:" },
		{ "version: 1\ndevices:\n- match: {}\n", -EINVAL, "f:3: which function" },
		{ "version: 1\ndevices:\n- match: {adress: \"01:00.0\"}\n", -EINVAL,
		  "f:3: there is no \"adress\" here; did you mean address?" },
		{ "version: 1\ndevices:\n- match: {address: \"0000:00:00.8\"}\n", -EINVAL,
		  "f:3: address: \"0000:00:00.8\" will not do; it takes a PCI address" },
		{ "version: 1\ndevices:\n- match: {mac: \"01:00:5e:00:00:01\"}\n", -EINVAL,
		  "f:3: mac: \"01:00:5e:00:00:01\" will not do" },
		{ "version: 1\ndevices:\n- match: {vendor: 65536}\n", -ERANGE,
		  "f:3: vendor: 65536 is out of range, it takes 0 to 65535" },
		{ "version: 1\ndevices:\n- match: {slot: ../../x}\n", -EINVAL, "f:3: slot: " },
		{ "version: 1\ndevices:\n- match: {driver: igb}\n  driver: vfio-pci\n", -EINVAL,
		  "f:3: it is to be found by its driver igb and to have the driver vfio-pci" },
		{ "version: 1\ndevices:\n- match: {mac: \"52:54:00:00:00:01\"}\n  driver: vfio-pci\n",
		  -EINVAL, "f:3: it is to be found by the MAC" },
		{ HEAD "  driver: a/b\n", -EINVAL, "f:4: driver: \"a/b\" will not do; it takes a name" },
		{ HEAD "  driver: [a]\n", -EINVAL, "f:4: driver takes one value" },
		{ HEAD "  override: x\n", -EINVAL, "f:4: there is no \"override\" here" },
		{ HEAD "  mode: both\n", -EINVAL, "f:4: mode: \"both\" will not do; it takes legacy" },
		{ HEAD "  vfs: -1\n", -EINVAL, "f:4: vfs: \"-1\" will not do; it takes a number" },
		{ HEAD "  vfs: 1e3\n", -EINVAL, "f:4: vfs: \"1e3\" will not do" },
		{ HEAD "  vfs: 65536\n", -ERANGE, "f:4: vfs: 65536 is out of range" },
		{ HEAD "  vfs: 2\n  vf:\n    0: {}\n    2: {}\n", -EINVAL,
		  "f:7: VF 2: with vfs: 2 the last one is 1" },
		{ HEAD "  vf: {x: {}}\n", -EINVAL, "f:4: \"x\" is no VF; write its number" },
		{ HEAD "  vf: {3-1: {}}\n", -EINVAL, "f:4: \"3-1\" is no VF" },
		{ HEAD "  vf: {0x1: {}}\n", -EINVAL, "f:4: \"0x1\" is no VF" },
		{ HEAD "  vf:\n    0-2: {}\n    2: {}\n", -EINVAL, "f:6: VF 2 stands in line 5 too" },
		{ HEAD "  vf:\n    0:\n      vlan: 4096\n", -ERANGE, "f:6: vlan: 4096 is not within" },
		{ HEAD "  vf: {0: {mac: \"01:00:00:00:00:01\"}}\n", -EINVAL, "f:4: mac: " },
		{ HEAD "  vf: {0: {mac: \"+2:54:00:00:00:01\"}}\n", -EINVAL, "f:4: mac: " },
		{ HEAD "  vf: {0-1: {mac: \"52:54:00:00:00:01\"}}\n", -EINVAL,
		  "f:4: mac: several VFs cannot have one" },
		{ HEAD "  vf-defaults: {mac: \"52:54:00:00:00:01\"}\n", -EINVAL, "f:4: mac: several" },
		{ HEAD "  vf-defaults: {name: x}\n", -EINVAL, "f:4: name: one name for several VFs" },
		{ HEAD "  vf:\n    0: {mac: \"52:54:00:00:00:01\"}\n    1: {mac: \"52:54:00:00:00:01\"}\n",
		  -EINVAL, "f:5: the mac 52:54:00:00:00:01 stands in line 6 too" },
		{ HEAD "  vf: {0: {name: a}, 1: {name: a}}\n", -EINVAL, "f:4: the name a stands in" },
		{ HEAD "  vf: {0: {name: a}, 1: {pool: a}}\n", -EINVAL, "f:4: the pool a stands in" },
		{ HEAD "  vf: {0: {pool: \"a,b\"}}\n", -EINVAL, "f:4: pool: \"a,b\" will not do" },
		{ HEAD "  vf: {0: {min-rate: 5, max-rate: 4}}\n", -EINVAL,
		  "f:4: min-rate is larger than max-rate" },
		{ HEAD "  vf: {0: {trust: maybe}}\n", -EINVAL, "f:4: trust: " },
		{ HEAD "  vfs: 1\n  pool: x\n", -EINVAL, "f:3: pool: this function has VFs" },
		{ "version: 1\ndevices:\n- name: a\n  match: {slot: a}\n- name: a\n  match: {slot: b}\n",
		  -EINVAL, "f:5: the name a stands in line 3 too" },
	};
	struct want want;
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		err_clear(&err);
		if (parse(&want, bad[i].text, &err) != bad[i].code ||
		    strncmp(err.msg, bad[i].says, strlen(bad[i].says)) != 0)
			print_message("%zu: %s\n", i, err.msg);
		assert_int_equal(err.code, bad[i].code);
		assert_int_equal(strncmp(err.msg, bad[i].says, strlen(bad[i].says)), 0);
		assert_int_equal(want.count, 0);
	}
}

static void test_journal(void **state)
{
	static const char text[] = "version: 1\nboot: \"b\"\ndevices:\n"
				   "- match: {address: \"0000:01:00.0\"}\n  id: \"ids=1:2 mac=x\"\n"
				   "  driver: \"\"\n  override: \"x\"\n  autoprobe: 0\n  vfs: 1\n"
				   "  vf:\n    0: {driver: \"a\", override: \"\", mac: 1099511627776}\n";
	struct want want;

	(void)state;
	assert_int_equal(want_parse(&want, "f", text, strlen(text), WANT_JOURNAL, NULL), 0);
	assert_string_equal(want.boot, "b");
	assert_string_equal(want.devices[0].id, "ids=1:2 mac=x");
	assert_int_equal(want.devices[0].state.has, STATE_EXACT | STATE_COUNT | STATE_AUTOPROBE);
	assert_string_equal(want.devices[0].state.bind.override, "x");
	assert_int_equal(want.devices[0].vfs[0].state.has, STATE_EXACT);
	/* A group address, which no file may ask for: but it was there. */
	assert_true(want.devices[0].vfs[0].state.attrs.value[VF_ATTR_MAC] == BIT64(40));
	want_done(&want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_journal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
