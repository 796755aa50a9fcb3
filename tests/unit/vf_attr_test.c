// SPDX-License-Identifier: GPL-2.0-or-later
/* The table of a VF's settings, what their text is, and the way to a card and back. */
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
#include "fake_vf.h"
#include "sriov/bind.h"
#include "sriov/vf.h"
#include "sriov/vf_set.h"

#define IGB "0000:01:00.0"
#define VF2 "0000:01:10.4"
#define SYS "sys/devices/pci0000:00/"
#define HUGE 5000

static void test_table(void **state)
{
	const struct vf_attr_row *row;
	int i, j;

	(void)state;
	for (i = 0; i < VF_ATTR_COUNT; i++) {
		row = vf_attr_row((enum vf_attr)i);
		assert_non_null(row->name);
		assert_non_null(row->help);
		assert_true(*row->help);
		assert_int_equal(vf_attr_find(row->name), i);
		for (j = 0; j < i; j++)
			assert_string_not_equal(row->name, vf_attr_row((enum vf_attr)j)->name);
	}
	assert_int_equal(vf_attr_find(""), -1);
	assert_int_equal(vf_attr_find("MAC"), -1);
	assert_int_equal(vf_attr_find("vlan "), -1);
}

/* Each with its value, and how it is written back. */
static const struct {
	enum vf_attr attr;
	const char *text;
	uint64_t value;
	const char *back; /* NULL: the same */
} good[] = {
	{ VF_ATTR_MAC, "52:54:00:12:34:56", 0x525400123456, NULL },
	{ VF_ATTR_MAC, "FE:FF:FF:FF:FF:FF", 0xfeffffffffff, "fe:ff:ff:ff:ff:ff" },
	{ VF_ATTR_MAC, "00:00:00:00:00:00", 0, "none" },
	{ VF_ATTR_MAC, "none", 0, NULL },
	{ VF_ATTR_VLAN, "0", 0, NULL },
	{ VF_ATTR_VLAN, "4094", 4094, NULL },
	{ VF_ATTR_QOS, "7", 7, NULL },
	{ VF_ATTR_VLAN_PROTO, "802.1q", 0x8100, NULL },
	{ VF_ATTR_VLAN_PROTO, "802.1Q", 0x8100, "802.1q" },
	{ VF_ATTR_VLAN_PROTO, "802.1ad", 0x88a8, NULL },
	{ VF_ATTR_SPOOFCHK, "on", 1, NULL },
	{ VF_ATTR_TRUST, "off", 0, NULL },
	{ VF_ATTR_LINK_STATE, "auto", 0, NULL },
	{ VF_ATTR_LINK_STATE, "enable", 1, NULL },
	{ VF_ATTR_LINK_STATE, "disable", 2, NULL },
	{ VF_ATTR_MIN_RATE, "10", 10, NULL },
	{ VF_ATTR_MAX_RATE, "2147483647", INT32_MAX, NULL },
	{ VF_ATTR_NODE_GUID, "02:1c:b0:00:00:12:34:56", 0x021cb00000123456, NULL },
	{ VF_ATTR_PORT_GUID, "ff:ff:ff:ff:ff:ff:ff:ff", UINT64_MAX, NULL },
	{ VF_ATTR_PORT_GUID, "none", 0, NULL },
	{ VF_ATTR_VECTORS, "65535", 65535, NULL },
	{ VF_ATTR_QUEUES, "2", 2, NULL },
	{ VF_ATTR_ONLINE, "on", 1, NULL },
	{ VF_ATTR_NAMESPACES, "1", 1, NULL },
	{ VF_ATTR_NAMESPACES, "1,3", 5, NULL },
	{ VF_ATTR_NAMESPACES, "3,1,1", 5, "1,3" },
	{ VF_ATTR_NAMESPACES, "1-3", 7, NULL },
	{ VF_ATTR_NAMESPACES, "2,1", 3, "1-2" },
	{ VF_ATTR_NAMESPACES, "1-64", UINT64_MAX, NULL },
	{ VF_ATTR_NAMESPACES, "64", BIT64(63), NULL },
	{ VF_ATTR_NAMESPACES, "none", 0, NULL },
};

static void test_text(void **state)
{
	char text[VF_ATTR_TEXT_MAX];
	uint64_t value;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		value = ~good[i].value;
		assert_int_equal(vf_attr_parse(good[i].attr, good[i].text, &value, NULL), 0);
		assert_int_equal(value, good[i].value);
		assert_string_equal(vf_attr_text(good[i].attr, value, text),
				    good[i].back ? good[i].back : good[i].text);
	}
}

/* Any value that a list or address can have comes back from its text, and the text fits. */
static void test_inverse(void **state)
{
	static const enum vf_attr attrs[] = { VF_ATTR_NAMESPACES, VF_ATTR_PORT_GUID };
	uint64_t patterns[] = { 0x5555555555555555, 0xaaaaaaaaaaaaaaaa, 0xdb6db6db6db6db6d,
				0x6db6db6db6db6db6, 0xb6db6db6db6db6db, 1, UINT64_MAX, 0 };
	char text[VF_ATTR_TEXT_MAX];
	uint64_t random = 88172645463325252, value;
	unsigned int i, j;

	(void)state;
	for (i = 0; i < 20000; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		for (j = 0; j < ARRAY_SIZE(attrs); j++) {
			uint64_t v = i < ARRAY_SIZE(patterns) ? patterns[i] : random;

			vf_attr_text(attrs[j], v, text);
			assert_true(strlen(text) < VF_ATTR_TEXT_MAX - 1);
			assert_int_equal(vf_attr_parse(attrs[j], text, &value, NULL), 0);
			assert_int_equal(value, v);
		}
	}
	/* A link state that a newer kernel may have is shown, not guessed. */
	assert_string_equal(vf_attr_text(VF_ATTR_LINK_STATE, 7, text), "7");
}

static const struct {
	enum vf_attr attr;
	const char *text;
	int code;
} bad[] = {
	{ VF_ATTR_MAC, "", -EINVAL },
	{ VF_ATTR_MAC, "52:54:00:12:34", -EINVAL },
	{ VF_ATTR_MAC, "52:54:00:12:34:56:78", -EINVAL },
	{ VF_ATTR_MAC, "52:54:00:12:34:5", -EINVAL },
	{ VF_ATTR_MAC, "52:54:00:12:34:567", -EINVAL },
	{ VF_ATTR_MAC, "52-54-00-12-34-56", -EINVAL },
	{ VF_ATTR_MAC, "525400123456", -EINVAL },
	{ VF_ATTR_MAC, "52:54:00:12:34:5g", -EINVAL },
	{ VF_ATTR_MAC, " 52:54:00:12:34:56", -EINVAL },
	{ VF_ATTR_MAC, "01:00:5e:00:00:01", -EINVAL },
	{ VF_ATTR_MAC, "ff:ff:ff:ff:ff:ff", -EINVAL },
	{ VF_ATTR_VLAN, "4095", -ERANGE },
	{ VF_ATTR_VLAN, "4096", -ERANGE },
	{ VF_ATTR_VLAN, "18446744073709551616", -ERANGE },
	{ VF_ATTR_VLAN, "-1", -EINVAL },
	{ VF_ATTR_VLAN, "+1", -EINVAL },
	{ VF_ATTR_VLAN, "0x10", -EINVAL },
	{ VF_ATTR_VLAN, "010", -EINVAL },
	{ VF_ATTR_VLAN, "1 ", -EINVAL },
	{ VF_ATTR_VLAN, "", -EINVAL },
	{ VF_ATTR_QOS, "8", -ERANGE },
	{ VF_ATTR_VLAN_PROTO, "802.1", -EINVAL },
	{ VF_ATTR_SPOOFCHK, "true", -EINVAL },
	{ VF_ATTR_SPOOFCHK, "1", -EINVAL },
	{ VF_ATTR_LINK_STATE, "up", -EINVAL },
	{ VF_ATTR_MAX_RATE, "2147483648", -ERANGE },
	{ VF_ATTR_NODE_GUID, "02:1c:b0:00:00:12:34", -EINVAL },
	{ VF_ATTR_NODE_GUID, "021cb00000123456", -EINVAL },
	{ VF_ATTR_QUEUES, "65536", -ERANGE },
	{ VF_ATTR_NAMESPACES, "", -EINVAL },
	{ VF_ATTR_NAMESPACES, "0", -ERANGE },
	{ VF_ATTR_NAMESPACES, "65", -ERANGE },
	{ VF_ATTR_NAMESPACES, "3-1", -ERANGE },
	{ VF_ATTR_NAMESPACES, "1,", -EINVAL },
	{ VF_ATTR_NAMESPACES, ",1", -EINVAL },
	{ VF_ATTR_NAMESPACES, "1-", -EINVAL },
	{ VF_ATTR_NAMESPACES, "1-2-3", -EINVAL },
	{ VF_ATTR_NAMESPACES, "all", -EINVAL },
};

/* A message names the setting, is one line, and holds nothing that a terminal would obey. */
static void expect_refusal(enum vf_attr attr, const char *text, int code)
{
	const char *name = vf_attr_row(attr)->name;
	struct err err = { .code = 0 };
	uint64_t value = 4711;
	const char *p;
	int ret = vf_attr_parse(attr, text, &value, &err);

	if (code)
		assert_int_equal(ret, code);
	else
		assert_true(ret == -EINVAL || ret == -ERANGE);
	assert_int_equal(value, 4711);
	assert_int_equal(strncmp(err.msg, name, strlen(name)), 0);
	assert_int_equal(strncmp(err.msg + strlen(name), ": ", 2), 0);
	for (p = err.msg; *p; p++)
		assert_true(*p >= ' ' && *p <= '~');
}

static void test_hostile(void **state)
{
	char huge[HUGE + 1];
	size_t i, j;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refusal(bad[i].attr, bad[i].text, bad[i].code);
	for (i = 0; i < VF_ATTR_COUNT; i++) {
		static const char fill[] = "1,-:af\x1b\xff%";

		for (j = 0; j < sizeof(fill) - 1; j++) {
			memset(huge, fill[j], HUGE);
			huge[HUGE] = '\0';
			expect_refusal((enum vf_attr)i, huge, 0);
		}
		expect_refusal((enum vf_attr)i, "on\n", 0);
		expect_refusal((enum vf_attr)i, "\x1b[31m1", 0);
	}
}

static void test_differ(void **state)
{
	struct vf_attrs now = { .has = BIT(VF_ATTR_MAC) | BIT(VF_ATTR_VLAN) }, want = now;

	(void)state;
	assert_int_equal(vf_attrs_differ(&now, &want), 0);
	want.value[VF_ATTR_VLAN] = 5;
	assert_int_equal(vf_attrs_differ(&now, &want), BIT(VF_ATTR_VLAN));
	/* A value that is not wanted does not count, one that is not told does. */
	want.value[VF_ATTR_QOS] = 3;
	assert_int_equal(vf_attrs_differ(&now, &want), BIT(VF_ATTR_VLAN));
	want.has = BIT(VF_ATTR_QOS);
	assert_int_equal(vf_attrs_differ(&now, &want), BIT(VF_ATTR_QOS));
}

/* --- with a card ------------------------------------------------------------------------- */

struct rig {
	struct fake *f;
	struct fake_vf *v;
};

static int rig_setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct pci_addr pf = fake_at(IGB);

	assert_non_null(r);
	r->f = fake_new_lab();
	r->v = fake_vf_new(r->f);
	assert_int_equal(vf_create(&r->f->host, &pf, 7, BIND_NONE, 0, NULL, NULL), 0);
	r->f->host.writes = 0;
	*state = r;
	return 0;
}

static int rig_teardown(void **state)
{
	struct rig *r = *state;

	fake_vf_free(r->v);
	fake_free(r->f);
	free(r);
	return 0;
}

#define rig_test(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

static void want_put(struct vf_attrs *want, const char *name, const char *text)
{
	int attr = vf_attr_find(name);

	assert_true(attr >= 0);
	assert_int_equal(vf_attr_parse((enum vf_attr)attr, text, &want->value[attr], NULL), 0);
	want->has |= BIT(attr);
}

static struct vf_attrs some_wants(void)
{
	struct vf_attrs want = { .has = 0 };

	want_put(&want, "mac", "52:54:00:00:00:01");
	want_put(&want, "vlan", "100");
	want_put(&want, "qos", "3");
	want_put(&want, "spoof-check", "off");
	want_put(&want, "trust", "on");
	want_put(&want, "max-rate", "100");
	want_put(&want, "link-state", "enable");
	return want;
}

static int set(struct rig *r, const struct vf_attrs *want, struct vf_set_report *report,
	       struct err *err)
{
	struct pci_addr vf = fake_at(VF2);

	return vf_set(&r->f->host, &vf, want, 0, report, err);
}

static void test_set(void **state)
{
	struct vf_attrs want = some_wants(), *is;
	struct vf_set_report report;
	struct rig *r = *state;
	unsigned int i;

	assert_int_equal(set(r, &want, &report, NULL), 0);
	/* One request for each of trust, spoof check, MAC, VLAN with priority, rates, link. */
	assert_int_equal(report.writes, 6);
	assert_int_equal(report.changed, want.has);
	assert_int_equal(report.index, 2);
	assert_true(pci_addr_eq(&report.pf, &(struct pci_addr){ .bus = 1 }));
	is = fake_vf_attrs(r->v, IGB, 2);
	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (want.has & BIT(i))
			assert_int_equal(is->value[i], want.value[i]);
	}
	/* What was not asked for is as it was, though it travels in the same request. */
	assert_int_equal(is->value[VF_ATTR_VLAN_PROTO], 0x8100);
	assert_int_equal(is->value[VF_ATTR_MIN_RATE], 0);
	assert_int_equal(report.before.value[VF_ATTR_SPOOFCHK], 1);
	assert_int_equal(report.after.value[VF_ATTR_SPOOFCHK], 0);
	assert_int_equal(set(r, &want, &report, NULL), 0);
	assert_int_equal(report.writes, 0);
	assert_int_equal(report.changed, 0);
	/* The neighbour has what a new VF has. */
	assert_memory_equal(fake_vf_attrs(r->v, IGB, 3), &r->v->fresh, sizeof(r->v->fresh));
}

/* The priority alone goes with the VLAN and protocol that are there. */
static void test_set_part(void **state)
{
	struct vf_attrs want = { .has = 0 }, *is;
	struct rig *r = *state;

	is = fake_vf_attrs(r->v, IGB, 2);
	is->value[VF_ATTR_VLAN] = 200;
	is->value[VF_ATTR_VLAN_PROTO] = 0x88a8;
	is->value[VF_ATTR_MIN_RATE] = 5;
	want_put(&want, "qos", "6");
	want_put(&want, "max-rate", "50");
	assert_int_equal(set(r, &want, NULL, NULL), 0);
	assert_int_equal(is->value[VF_ATTR_VLAN], 200);
	assert_int_equal(is->value[VF_ATTR_QOS], 6);
	assert_int_equal(is->value[VF_ATTR_VLAN_PROTO], 0x88a8);
	assert_int_equal(is->value[VF_ATTR_MIN_RATE], 5);
	assert_int_equal(is->value[VF_ATTR_MAX_RATE], 50);
}

/* Whichever request fails, with whatever: the VF is as it was. */
static void test_set_fails(void **state)
{
	static const int codes[] = { -EPERM, -EBUSY, -EINVAL, -ENODEV, -EIO };
	struct vf_attrs want = some_wants();
	struct rig *r = *state;
	unsigned long at;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(codes); i++) {
		for (at = 1; at <= 6; at++) {
			struct err err = { .code = 0 };

			fake_vf_fail(r->v, at, codes[i]);
			assert_int_equal(set(r, &want, NULL, &err), codes[i]);
			assert_int_equal(err.code, codes[i]);
			assert_non_null(strstr(err.msg, IGB ": eth0 vf 2: cannot set "));
			assert_non_null(strstr(err.msg, "driver igb answered "));
			assert_null(strstr(err.msg, "put back"));
			assert_memory_equal(fake_vf_attrs(r->v, IGB, 2), &r->v->fresh,
					    sizeof(r->v->fresh));
		}
	}
	fake_vf_fail(r->v, 7, -EIO);
	assert_int_equal(set(r, &want, NULL, NULL), 0);
}

static void test_not_there(void **state)
{
	struct vf_attrs want = { .has = 0 };
	struct err err = { .code = 0 };
	struct rig *r = *state;
	struct pci_addr pf = fake_at(IGB), nvme = fake_at("0000:02:00.0");

	want_put(&want, "trust", "on");
	r->v->refuses = BIT(VF_ATTR_TRUST);
	r->v->refuse_code = -EOPNOTSUPP;
	assert_int_equal(set(r, &want, NULL, &err), -ENOTSUP);
	assert_string_equal(err.msg, IGB ": eth0 vf 2: cannot set trust on: driver igb answered "
				     "EOPNOTSUPP: it has no such setting");
	want.has = 0;
	want_put(&want, "queues", "4");
	assert_int_equal(set(r, &want, NULL, &err), -ENOTSUP);
	assert_string_equal(err.msg,
			    IGB ": VF 2 has no setting queues: its PF is no card of that "
				"kind, the driver igb has none, or its interface is in another "
				"network namespace");
	/* Nothing is changed before that is known. */
	want_put(&want, "vlan", "5");
	assert_int_equal(set(r, &want, NULL, &err), -ENOTSUP);
	assert_int_equal(r->v->seen, 1);
	assert_int_equal(vf_set(&r->f->host, &pf, &want, 0, NULL, &err), -ENOTSUP);
	assert_non_null(strstr(err.msg, "is no VF"));
	assert_int_equal(vf_attrs_write(&r->f->host, &pf, 7, &want, BIT(VF_ATTR_VLAN), &err),
			 -ENODEV);
	assert_string_equal(err.msg, IGB " has no VF 7, says its interface eth0");
	/* A card without an interface has no such settings, and says so. */
	assert_int_equal(vf_attrs_read(&r->f->host, &nvme, 0, &want, &err), 0);
	assert_int_equal(want.has, 0);
	fake_remove(r->f, SYS IGB "/net");
	fake_remove(r->f, SYS IGB "/driver");
	want.has = BIT(VF_ATTR_VLAN);
	assert_int_equal(set(r, &want, NULL, &err), -ENOTSUP);
	assert_string_equal(err.msg,
			    IGB ": VF 2 has no setting vlan while its PF has no driver; run: "
				"vfctl bind " IGB " default");
}

static void test_not_kept(void **state)
{
	struct vf_attrs want = some_wants();
	struct err err = { .code = 0 };
	struct rig *r = *state;

	r->v->forgets = BIT(VF_ATTR_MAX_RATE);
	assert_int_equal(set(r, &want, NULL, &err), -EIO);
	assert_string_equal(err.msg,
			    IGB ": VF 2: the card took max-rate 100 and did not keep it: it "
				"is 0");
	assert_memory_equal(fake_vf_attrs(r->v, IGB, 2), &r->v->fresh, sizeof(r->v->fresh));
	/* An address that cannot be cleared again. */
	r->v->forgets = 0;
	r->v->keeps_mac = true;
	want.has = BIT(VF_ATTR_MAC);
	assert_int_equal(set(r, &want, NULL, NULL), 0);
	want.value[VF_ATTR_MAC] = 0;
	assert_int_equal(set(r, &want, NULL, &err), -EIO);
	assert_non_null(
		strstr(err.msg, "took mac none and did not keep it: it is 52:54:00:00:00:01"));
	assert_non_null(strstr(err.msg, "makes its VFs anew"));
}

/* And when that happens while a change is put back, both are said. */
static void test_put_back_fails(void **state)
{
	struct vf_attrs want = some_wants();
	struct err err = { .code = 0 };
	struct rig *r = *state;

	r->v->keeps_mac = true;
	fake_vf_fail(r->v, 5, -EBUSY);
	assert_int_equal(set(r, &want, NULL, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "cannot set max-rate 100: driver igb answered EBUSY"));
	assert_non_null(strstr(err.msg, "; and not all could be put back: "));
	assert_non_null(strstr(err.msg, "mac none"));
	/* The rest is as it was all the same. */
	fake_vf_attrs(r->v, IGB, 2)->value[VF_ATTR_MAC] = 0;
	assert_memory_equal(fake_vf_attrs(r->v, IGB, 2), &r->v->fresh, sizeof(r->v->fresh));
}

/* Of several interfaces of one PF, the first port's; the other ends of VFs are none of them. */
static void test_which_interface(void **state)
{
	struct vf_attrs attrs;
	struct err err = { .code = 0 };
	struct rig *r = *state;
	struct pci_addr pf = fake_at(IGB);

	fake_text(r->f, SYS IGB "/net/eth0/phys_port_name", "pf0vf1\n");
	assert_int_equal(vf_attrs_read(&r->f->host, &pf, 0, &attrs, NULL), 0);
	assert_int_equal(attrs.has, 0);
	fake_text(r->f, SYS IGB "/net/aaa/dev_port", "1\n");
	fake_text(r->f, SYS IGB "/net/zzz/dev_port", "0\n");
	fake_text(r->f, SYS IGB "/net/zzz/phys_port_name", "p0\n");
	/* That it was asked can be told: the fake kernel knows no interface zzz. */
	assert_int_equal(vf_attrs_read(&r->f->host, &pf, 0, &attrs, &err), -ENODEV);
	assert_non_null(strstr(err.msg, "says its interface zzz"));
	fake_text(r->f, SYS IGB "/net/eth0/phys_port_name", "p0\n");
	fake_text(r->f, SYS IGB "/net/eth0/dev_port", "0\n");
	assert_int_equal(vf_attrs_read(&r->f->host, &pf, 0, &attrs, NULL), 0);
	assert_int_equal(attrs.has, FAKE_VF_ATTRS);
}

/* --- vectors ----------------------------------------------------------------------------- */

static void vectors_setup(struct rig *r)
{
	fake_text(r->f, SYS IGB "/sriov_vf_total_msix", "64\n");
	fake_text(r->f, SYS VF2 "/sriov_vf_msix_count", "");
}

static void test_vectors(void **state)
{
	struct vf_attrs want = { .has = 0 };
	struct err err = { .code = 0 };
	struct vf_set_report report;
	struct rig *r = *state;

	vectors_setup(r);
	want_put(&want, "vectors", "5");
	assert_int_equal(set(r, &want, &report, &err), 0);
	assert_int_equal(report.writes, 1);
	assert_int_equal(report.before.value[VF_ATTR_VECTORS], 3);
	assert_int_equal(report.after.value[VF_ATTR_VECTORS], 5);
	fake_fail(r->f, 1, -ENOSPC);
	want.value[VF_ATTR_VECTORS] = 60;
	assert_int_equal(set(r, &want, NULL, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, IGB ": VF 2: vectors 60 (" VF2 "): the card has no vectors "
					"left for that many"));
	want.value[VF_ATTR_VECTORS] = 0;
	assert_int_equal(set(r, &want, NULL, &err), -ERANGE);
}

/* The driver is taken away meanwhile and comes back, unless the VF is in use. */
static void test_vectors_bound(void **state)
{
	struct vf_attrs want = { .has = 0 };
	struct err err = { .code = 0 };
	struct vf_set_report report;
	struct bind_state bound;
	struct rig *r = *state;
	struct pci_addr vf = fake_at(VF2);
	char *before, *after;

	assert_int_equal(func_bind(&r->f->host, &vf, 1, "vfio-pci", 0, NULL, NULL), 0);
	vectors_setup(r);
	want_put(&want, "vectors", "9");
	fake_process(r->f, 99, "viaduct", "vfio/22");
	before = fake_snapshot(r->f);
	assert_int_equal(set(r, &want, NULL, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "viaduct (pid 99)"));
	after = fake_snapshot(r->f);
	assert_string_equal(before, after);
	free(before);
	free(after);
	fake_remove(r->f, "proc/99");
	assert_int_equal(set(r, &want, &report, &err), 0);
	assert_int_equal(report.after.value[VF_ATTR_VECTORS], 9);
	assert_int_equal(bind_state_read(&r->f->host, &vf, &bound, NULL), 0);
	assert_string_equal(bound.driver, "vfio-pci");
	assert_string_equal(bound.override, "vfio-pci");
	/* Also after a failure: unbind, override and the count are the first three. */
	want.value[VF_ATTR_VECTORS] = 10;
	fake_fail(r->f, 3, -EINVAL);
	assert_int_equal(set(r, &want, NULL, &err), -EINVAL);
	assert_int_equal(bind_state_read(&r->f->host, &vf, &bound, NULL), 0);
	assert_string_equal(bound.driver, "vfio-pci");
	assert_string_equal(bound.override, "vfio-pci");
}

/* --- eswitch ----------------------------------------------------------------------------- */

static void test_eswitch(void **state)
{
	struct rig *r = *state;
	struct err err = { .code = 0 };
	struct host *host = &r->f->host;
	struct pci_addr pf = fake_at(IGB);
	enum eswitch_mode mode;

	assert_int_equal(eswitch_mode_read(host, &pf, &mode, &err), -ENOTSUP);
	assert_string_equal(err.msg, IGB ": its driver knows no eswitch mode");
	assert_int_equal(eswitch_mode_write(host, &pf, ESWITCH_SWITCHDEV, &err), -ENOTSUP);
	snprintf(r->v->eswitch_pf, sizeof(r->v->eswitch_pf), "%s", IGB);
	assert_int_equal(eswitch_mode_read(host, &pf, &mode, NULL), 0);
	assert_int_equal(mode, ESWITCH_LEGACY);
	host->writes = 0;
	assert_int_equal(eswitch_mode_write(host, &pf, ESWITCH_SWITCHDEV, NULL), 0);
	assert_int_equal(host->writes, 1);
	assert_int_equal(eswitch_mode_read(host, &pf, &mode, NULL), 0);
	assert_int_equal(mode, ESWITCH_SWITCHDEV);
	r->v->eswitch_words = "VFs are\nin use";
	fake_vf_fail(r->v, 1, -EBUSY);
	assert_int_equal(eswitch_mode_write(host, &pf, ESWITCH_LEGACY, &err), -EBUSY);
	assert_string_equal(err.msg,
			    IGB ": cannot set the eswitch mode: Device or resource busy (VFs "
				"are?in use)");
	/* A mode of a kernel to come. */
	r->v->eswitch = 9;
	assert_int_equal(eswitch_mode_read(host, &pf, &mode, &err), -ENOTSUP);
	host->vf_ops = NULL;
	assert_int_equal(eswitch_mode_read(host, &pf, &mode, &err), -ENOTSUP);
}

/* The kernel below a tree that is mounted somewhere cannot be asked. */
static void test_other_host(void **state)
{
	struct rig *r = *state;
	struct vf_attrs attrs;
	struct pci_addr pf = fake_at(IGB);
	struct host host;

	assert_int_equal(host_init(&host, r->f->sys, NULL), 0);
	vf_attr_init(&host);
	assert_null(host.vf_ops);
	assert_int_equal(vf_attrs_read(&host, &pf, 0, &attrs, NULL), 0);
	assert_int_equal(attrs.has, 0);
	attrs.has = BIT(VF_ATTR_VLAN);
	assert_int_equal(vf_attrs_write(&host, &pf, 0, &attrs, attrs.has, NULL), -ENOTSUP);
	assert_int_equal(host_init(&host, NULL, NULL), 0);
	vf_attr_init(&host);
	assert_non_null(host.vf_ops);
	/* A real question of a real kernel: the loopback interface has no VFs. */
	memset(&attrs, 0, sizeof(attrs));
	assert_int_equal(host.vf_ops->net_get(&host, "lo", 0, &attrs), -ENODEV);
	assert_int_equal(host.vf_ops->net_get(&host, "no-such-one", 0, &attrs), -ENODEV);
	assert_int_equal(attrs.has, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_inverse),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_differ),
		rig_test(test_set),
		rig_test(test_set_part),
		rig_test(test_set_fails),
		rig_test(test_not_there),
		rig_test(test_not_kept),
		rig_test(test_put_back_fails),
		rig_test(test_which_interface),
		rig_test(test_vectors),
		rig_test(test_vectors_bound),
		rig_test(test_eswitch),
		rig_test(test_other_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
