// SPDX-License-Identifier: GPL-2.0-or-later
/* Why a group is what it is: trees of bridges and ports with config spaces made for it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_sysfs.h"
#include "sriov/bind.h"
#include "sriov/func_explain.h"

#define PORT "0000:00:1c.0"
#define GROUP 30
#define ACS_ALL (PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF)

static int setup(void **state)
{
	struct fake *f = fake_new_lab();

	fake_driver(f, "e1000e", 0x8086, 0x10d3, false);
	fake_driver(f, "shpchp", 0, 0, false);
	*state = f;
	return 0;
}

static void config_put(struct fake *f, const char *addr, const uint8_t *config, size_t len)
{
	char path[400];
	FILE *file;

	snprintf(path, sizeof(path), "%s/sys/devices/pci0000:00/%s/config", f->base, addr);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(config, 1, len, file), len);
	fclose(file);
}

/* A function of PCI Express, with ACS when @acs is not negative: all of it there, @acs of it on. */
static void express(struct fake *f, const char *addr, unsigned int type, int acs)
{
	uint8_t config[4096] = { 0x86, 0x80 };

	config[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	config[PCI_CAPABILITY_LIST] = 0x40;
	config[0x40] = PCI_CAP_ID_PM;
	config[0x41] = 0x60;
	config[0x60] = PCI_CAP_ID_EXP;
	put_le16(config + 0x62, (uint16_t)(2 | type << 4));
	put_le32(config + 0x100, 0x14820001); /* AER, then */
	if (acs >= 0) {
		put_le32(config + 0x148, 0x0001000d);
		put_le16(config + 0x148 + PCI_ACS_CAP, ACS_ALL | PCI_ACS_TB);
		put_le16(config + 0x148 + PCI_ACS_CTRL, (uint16_t)acs);
	} else {
		put_le32(config + 0x148, 0x00010003);
	}
	config_put(f, addr, config, sizeof(config));
}

/* One without capabilities. */
static void conventional(struct fake *f, const char *addr)
{
	uint8_t config[256] = { 0x86, 0x80 };

	config_put(f, addr, config, sizeof(config));
}

/* Puts the function into the tree below @above ("0000:00:15.0/0000:05:00.0"). */
static void below(struct fake *f, const char *above, const char *addr)
{
	char path[200], target[200];

	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s", addr);
	fake_remove(f, path);
	snprintf(target, sizeof(target), "../../../devices/pci0000:00/%s/%s", above, addr);
	fake_link(f, target, path);
	snprintf(path, sizeof(path), "sys/devices/pci0000:00/%s/%s", above, addr);
	/* The folder above is itself such a link, to one beside. */
	snprintf(target, sizeof(target), "../%s", addr);
	fake_link(f, target, path);
}

static void function(struct fake *f, const char *addr, uint32_t class, int group,
		     const char *driver)
{
	const struct fake_func spec = { addr, 0x8086, 0x10d3, class, group, driver, 0, 0, 0 };

	fake_func(f, &spec);
}

static struct group_explain *explain(struct fake *f, int group)
{
	struct group_explain *ex = NULL;
	struct err err = { 0 };

	if (group_explain(&f->host, group, &ex, &err))
		fail_msg("%s", err.msg);
	return ex;
}

static void says(const struct explain_cause *c, enum explain_kind kind, const char *text)
{
	assert_int_equal(c->kind, kind);
	if (!strstr(c->text, text))
		fail_msg("\"%s\" is not in \"%s\"", text, c->text);
}

/* The lab's bridge with two cards behind it. */
static void bridge(struct fake *f)
{
	struct pci_addr addr;

	function(f, "0000:00:15.0", 0x060400, 16, "pcieport");
	express(f, "0000:00:15.0", PCI_EXP_TYPE_ROOT_PORT, ACS_ALL);
	express(f, "0000:05:00.0", PCI_EXP_TYPE_PCI_BRIDGE, -1);
	conventional(f, "0000:06:01.0");
	conventional(f, "0000:06:02.0");
	below(f, "0000:00:15.0", "0000:05:00.0");
	below(f, "0000:00:15.0/0000:05:00.0", "0000:06:01.0");
	below(f, "0000:00:15.0/0000:05:00.0", "0000:06:02.0");
	assert_int_equal(pci_addr_parse("0000:05:00.0", &addr), 0);
	assert_int_equal(func_bind(&f->host, &addr, 1, "shpchp", true, NULL, NULL), 0);
}

static void test_bridge(void **state)
{
	struct fake *f = *state;
	struct group_explain *ex;
	struct err err = { 0 };
	char brief[200];

	bridge(f);
	ex = explain(f, 15);
	assert_int_equal(ex->member_count, 3);
	assert_false(ex->viable);
	assert_true(ex->members[0].blocks && ex->members[1].blocks && ex->members[2].blocks);
	assert_int_equal(ex->cause_count, 1);
	says(&ex->causes[0], EXPLAIN_BRIDGE,
	     "0000:05:00.0 leads to a conventional PCI bus: to the IOMMU all that is on it "
	     "(0000:06:01.0 and 0000:06:02.0) is one requester");
	assert_int_equal(ex->command_count, 2);
	assert_string_equal(ex->commands[0], "vfctl unbind 0000:05:00.0");
	assert_string_equal(ex->commands[1], "vfctl bind 0000:06:01.0 0000:06:02.0 vfio-pci");
	assert_string_equal(group_explain_brief(ex, brief, sizeof(brief)),
			    "0000:05:00.0 leads to a conventional PCI bus");
	group_explain_free(ex);
	/* The short form is in every refusal. */
	assert_int_equal(group_check(&f->host, 15, &err), -ENODEV);
	assert_non_null(strstr(err.msg,
			       "; then: vfctl bind 0000:06:01.0 0000:06:02.0 vfio-pci (one "
			       "group because 0000:05:00.0 leads to a conventional PCI bus)"));
}

static void test_port(void **state)
{
	struct fake *f = *state;
	struct group_explain *ex;
	char brief[200], tiny[10];

	function(f, PORT, 0x060400, GROUP, "pcieport");
	function(f, "0000:09:00.0", 0x020000, GROUP, "e1000e");
	below(f, PORT, "0000:09:00.0");
	express(f, PORT, PCI_EXP_TYPE_ROOT_PORT, -1);
	express(f, "0000:09:00.0", PCI_EXP_TYPE_ENDPOINT, -1);
	ex = explain(f, GROUP);
	assert_int_equal(ex->cause_count, 1);
	says(&ex->causes[0], EXPLAIN_PORT,
	     "the root port " PORT " has no ACS: what is below it (0000:09:00.0) could reach");
	assert_int_equal(ex->command_count, 1);
	assert_string_equal(ex->commands[0], "vfctl bind 0000:09:00.0 vfio-pci");
	group_explain_brief(ex, tiny, sizeof(tiny));
	assert_string_equal(tiny, "port 0000");
	group_explain_free(ex);
	/* There, but not switched on. */
	express(f, PORT, PCI_EXP_TYPE_DOWNSTREAM, ACS_ALL & ~(PCI_ACS_SV | PCI_ACS_UF));
	ex = explain(f, GROUP);
	assert_int_equal(ex->cause_count, 1);
	says(&ex->causes[0], EXPLAIN_PORT,
	     "the switch port " PORT
	     " has ACS, but off are Source Validation, Upstream Forwarding:");
	assert_string_equal(group_explain_brief(ex, brief, sizeof(brief)),
			    "port " PORT " has ACS off");
	group_explain_free(ex);
	/* All on: then it is something that cannot be seen. */
	express(f, PORT, PCI_EXP_TYPE_ROOT_PORT, ACS_ALL);
	ex = explain(f, GROUP);
	assert_int_equal(ex->cause_count, 1);
	says(&ex->causes[0], EXPLAIN_UNKNOWN, "no bridge and no missing ACS explains it");
	assert_string_equal(group_explain_brief(ex, brief, sizeof(brief)), "");
	group_explain_free(ex);
}

static void test_functions(void **state)
{
	struct fake *f = *state;
	struct group_explain *ex;
	char brief[200];

	function(f, PORT, 0x060400, GROUP + 1, "pcieport");
	express(f, PORT, PCI_EXP_TYPE_ROOT_PORT, -1); /* as the kernel's quirk allows */
	function(f, "0000:09:00.0", 0x020000, GROUP, NULL);
	function(f, "0000:09:00.1", 0x040300, GROUP, NULL);
	function(f, "0000:09:00.5", 0x0c0300, GROUP, "vfio-pci");
	below(f, PORT, "0000:09:00.0");
	below(f, PORT, "0000:09:00.1");
	below(f, PORT, "0000:09:00.5");
	express(f, "0000:09:00.0", PCI_EXP_TYPE_ENDPOINT, ACS_ALL);
	express(f, "0000:09:00.1", PCI_EXP_TYPE_ENDPOINT, -1);
	express(f, "0000:09:00.5", PCI_EXP_TYPE_ENDPOINT, -1);
	ex = explain(f, GROUP);
	assert_true(ex->viable);
	assert_int_equal(ex->command_count, 0);
	assert_int_equal(ex->cause_count, 1);
	says(&ex->causes[0], EXPLAIN_FUNCTIONS,
	     "0000:09:00.0, 0000:09:00.1 and 0000:09:00.5 are functions of one card, of which "
	     "0000:09:00.1 has no ACS");
	assert_string_equal(group_explain_brief(ex, brief, sizeof(brief)),
			    "the functions of 0000:09:00 lack ACS");
	group_explain_free(ex);
	/* A group of one needs no reason. */
	ex = explain(f, GROUP + 1);
	assert_int_equal(ex->cause_count, 0);
	group_explain_free(ex);
}

/* Functions of one card on a conventional bus: the bridge joins them, ACS is not theirs to have. */
static void test_functions_behind_bridge(void **state)
{
	struct fake *f = *state;
	struct group_explain *ex;

	bridge(f);
	function(f, "0000:06:02.1", 0x020000, 15, NULL);
	conventional(f, "0000:06:02.1");
	below(f, "0000:00:15.0/0000:05:00.0", "0000:06:02.1");
	ex = explain(f, 15);
	assert_int_equal(ex->member_count, 4);
	assert_int_equal(ex->cause_count, 1);
	says(&ex->causes[0], EXPLAIN_BRIDGE, "(0000:06:01.0, 0000:06:02.0 and 0000:06:02.1)");
	group_explain_free(ex);
}

/* Two cards in slots of their own, whose ports have nothing to do with it. */
static void test_unknown(void **state)
{
	struct fake *f = *state;
	struct group_explain *ex;

	function(f, PORT, 0x060400, GROUP + 1, "pcieport");
	function(f, "0000:00:1d.0", 0x060400, GROUP + 2, "pcieport");
	function(f, "0000:09:00.0", 0x020000, GROUP, NULL);
	function(f, "0000:0a:00.0", 0x020000, GROUP, NULL);
	below(f, PORT, "0000:09:00.0");
	below(f, "0000:00:1d.0", "0000:0a:00.0");
	ex = explain(f, GROUP);
	assert_int_equal(ex->cause_count, 1);
	says(&ex->causes[0], EXPLAIN_UNKNOWN, "use each other's requester IDs");
	group_explain_free(ex);
}

/* A user sees 64 bytes of config space. */
static void test_not_root(void **state)
{
	static const uint8_t head[64] = { 0x86, 0x80 };
	struct fake *f = *state;
	struct group_explain *ex;
	struct err err = { 0 };

	bridge(f);
	config_put(f, "0000:05:00.0", head, sizeof(head));
	ex = explain(f, 15);
	assert_int_equal(ex->cause_count, 1);
	says(&ex->causes[0], EXPLAIN_HIDDEN, "only root can read; run this with sudo");
	group_explain_free(ex);
	assert_int_equal(group_check(&f->host, 15, &err), -ENODEV);
	assert_null(strstr(err.msg, "one group"));
}

/* Lists that loop or lead nowhere end. */
static void test_broken(void **state)
{
	uint8_t config[4096] = { 0x86, 0x80 };
	struct fake *f = *state;
	struct group_explain *ex;
	struct err err = { 0 };

	function(f, PORT, 0x060400, GROUP, "pcieport");
	function(f, "0000:09:00.0", 0x020000, GROUP, NULL);
	below(f, PORT, "0000:09:00.0");
	config[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	config[PCI_CAPABILITY_LIST] = 0x50;
	config[0x51] = 0x50;
	config_put(f, PORT, config, sizeof(config));
	ex = explain(f, GROUP);
	says(&ex->causes[0], EXPLAIN_BRIDGE, PORT " leads to a conventional PCI bus");
	group_explain_free(ex);
	config[0x50] = PCI_CAP_ID_EXP;
	put_le16(config + 0x52, 2 | PCI_EXP_TYPE_ROOT_PORT << 4);
	put_le32(config + 0x100, 0x10010001);
	config_put(f, PORT, config, sizeof(config));
	ex = explain(f, GROUP);
	says(&ex->causes[0], EXPLAIN_PORT, "has no ACS");
	group_explain_free(ex);
	put_le32(config + 0x100, 0xffd10001); /* the header at 0xffc reaches the end */
	put_le32(config + 0xffc, 0x0001000d);
	config_put(f, PORT, config, sizeof(config));
	ex = explain(f, GROUP);
	says(&ex->causes[0], EXPLAIN_PORT, "has no ACS");
	group_explain_free(ex);
	memset(config, 0xff, sizeof(config));
	config_put(f, PORT, config, sizeof(config));
	ex = explain(f, GROUP);
	assert_int_equal(ex->cause_count, 1);
	group_explain_free(ex);
	assert_int_equal(group_explain(&f->host, 999, &ex, &err), -ENODEV);
	assert_string_equal(err.msg, "there is no IOMMU group 999");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bridge, setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_port, setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_functions, setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_functions_behind_bridge, setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_unknown, setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_not_root, setup, fake_teardown),
		cmocka_unit_test_setup_teardown(test_broken, setup, fake_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
