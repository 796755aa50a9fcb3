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

#include "base/util.h"
#include "fake_sysfs.h"
#include "sriov/plan.h"

#define TRUST BIT(VF_ATTR_TRUST)
#define MAC BIT(VF_ATTR_MAC)
#define VECTORS BIT(VF_ATTR_VECTORS)

/* One function with @count VFs of igbvf, each with a few settings. */
static void now_is(struct plan_func *f, unsigned int count)
{
	unsigned int i;

	memset(f, 0, sizeof(*f));
	memcpy(f->label, "pf", 3);
	f->now.has = STATE_EXACT | STATE_COUNT | STATE_AUTOPROBE | STATE_MODE;
	f->now.bind = (struct bind_state){ { .bus = 1 }, "igb", "" };
	f->now.autoprobe = f->autoprobe = 1;
	assert_int_equal(func_state_resize(&f->now, count), 0);
	for (i = 0; i < count; i++) {
		f->now.vfs[i].has = STATE_EXACT;
		f->now.vfs[i].bind = (struct bind_state){ { .bus = 1, .dev = 16, .fn = i }, "igbvf",
							  "" };
		f->now.vfs[i].attrs.has = TRUST | MAC | VECTORS;
	}
}

static void want_count(struct plan_func *f, unsigned int count)
{
	f->want.has |= STATE_COUNT;
	assert_int_equal(func_state_resize(&f->want, count), 0);
}

static void want_vf_driver(struct plan_func *f, unsigned int vf, const char *driver)
{
	f->want.vfs[vf].has |= STATE_DRIVER;
	snprintf(f->want.vfs[vf].bind.driver, HOST_NAME_MAX, "%s", driver);
}

static void want_vf_attr(struct plan_func *f, unsigned int vf, enum vf_attr attr, uint64_t value)
{
	f->want.vfs[vf].attrs.has |= BIT(attr);
	f->want.vfs[vf].attrs.value[attr] = value;
}

/* The steps as words, "remove-vfs make-vfs set-vf:0 ...", and their costs behind. */
static void expect_steps(struct plan *plan, const char *steps)
{
	char text[2048] = "";
	size_t at = 0, i;

	assert_int_equal(plan_make(plan, NULL), 0);
	for (i = 0; i < plan->step_count; i++) {
		const struct plan_step *s = &plan->steps[i];

		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s%s", i ? " " : "",
				       plan_kind_name(s->kind), s->quiet ? "(quiet)" : "");
		if (s->kind == PLAN_VF_UNBIND || s->kind == PLAN_VF_SET || s->kind == PLAN_VF_DRIVER)
			at += (size_t)snprintf(text + at, sizeof(text) - at, ":%u", s->vf);
		at += (size_t)snprintf(text + at, sizeof(text) - at, "=%s",
				       plan_cost_name(plan_step_cost(plan, s)));
	}
	assert_string_equal(text, steps);
}

static struct plan *one_new(unsigned int count)
{
	struct plan *plan = calloc(1, sizeof(*plan));

	assert_non_null(plan);
	plan->funcs = calloc(1, sizeof(*plan->funcs));
	assert_non_null(plan->funcs);
	plan->func_count = 1;
	now_is(plan->funcs, count);
	return plan;
}

static void one_free(struct plan *plan)
{
	plan_done(plan);
	free(plan);
}

static void test_nothing(void **state)
{
	struct plan *plan = one_new(2);

	(void)state;
	expect_steps(plan, "");
	one_free(plan);
	plan = one_new(2);
	want_count(plan->funcs, 2);
	want_vf_driver(plan->funcs, 0, "igbvf");
	want_vf_driver(plan->funcs, 1, "default");
	want_vf_attr(plan->funcs, 1, VF_ATTR_TRUST, 0);
	expect_steps(plan, "");
	one_free(plan);
}

static void test_count(void **state)
{
	struct plan *plan = one_new(0);
	char text[PLAN_TEXT_MAX];

	(void)state;
	want_count(plan->funcs, 2);
	expect_steps(plan, "make-vfs=live");
	one_free(plan);

	plan = one_new(2);
	want_count(plan->funcs, 0);
	expect_steps(plan, "remove-vfs=destroys");
	assert_string_equal(plan_step_text(plan, plan->steps, text), "pf: its 2 VFs are removed");
	one_free(plan);

	/* One VF with a wish of its own makes all of them come without the kernel's driver. */
	plan = one_new(1);
	want_count(plan->funcs, 3);
	want_vf_driver(plan->funcs, 1, "vfio-pci");
	want_vf_attr(plan->funcs, 2, VF_ATTR_TRUST, 1);
	expect_steps(plan, "remove-vfs=destroys make-vfs(quiet)=live driver-of-vf:1=live "
			   "set-vf:2=live autoprobe=live driver-of-vf:0=live driver-of-vf:2=live");
	assert_string_equal(plan_step_text(plan, &plan->steps[1], text), "pf: 3 VFs made (1 before)");
	assert_string_equal(plan_step_text(plan, &plan->steps[2], text), "pf: VF 1: vfio-pci");
	assert_string_equal(plan_step_text(plan, &plan->steps[3], text), "pf: VF 2: trust on");
	assert_string_equal(plan_step_text(plan, &plan->steps[5], text),
			    "pf: VF 0: the driver of the kernel's choice");
	one_free(plan);

	/* Where the kernel gives VFs no driver, there is nothing to be put back. */
	plan = one_new(0);
	plan->funcs->now.autoprobe = plan->funcs->autoprobe = 0;
	want_count(plan->funcs, 2);
	want_vf_driver(plan->funcs, 1, "vfio-pci");
	expect_steps(plan, "make-vfs(quiet)=live driver-of-vf:1=live");
	one_free(plan);

	/* A VF that is to have no driver is right as it is made. */
	plan = one_new(0);
	want_count(plan->funcs, 1);
	want_vf_driver(plan->funcs, 0, "none");
	expect_steps(plan, "make-vfs(quiet)=live autoprobe=live");
	one_free(plan);
}

static void test_settings(void **state)
{
	struct plan *plan = one_new(3);
	char text[PLAN_TEXT_MAX];

	(void)state;
	want_count(plan->funcs, 3);
	want_vf_attr(plan->funcs, 0, VF_ATTR_TRUST, 1);
	want_vf_attr(plan->funcs, 1, VF_ATTR_MAC, 0x525400000001);
	/* A setting that cannot be changed under a driver, and a driver with a setting before it. */
	want_vf_attr(plan->funcs, 2, VF_ATTR_VECTORS, 5);
	plan->funcs->now.vfs[0].bind.driver[0] = '\0';
	want_vf_driver(plan->funcs, 1, "vfio-pci");
	expect_steps(plan, "set-vf:0=live unbind-vf:1=idle set-vf:1=next-reset driver-of-vf:1=idle "
			   "unbind-vf:2=idle set-vf:2=live driver-of-vf:2=idle");
	assert_string_equal(plan_step_text(plan, &plan->steps[2], text),
			    "pf: VF 1 (0000:01:10.1): mac 52:54:00:00:00:01 (now none)");
	assert_string_equal(plan_step_text(plan, &plan->steps[3], text),
			    "pf: VF 1 (0000:01:10.1): vfio-pci (now igbvf)");
	assert_string_equal(plan_step_text(plan, &plan->steps[4], text),
			    "pf: VF 2 (0000:01:10.2): taken from igbvf for the time of the change");
	assert_string_equal(plan_step_text(plan, &plan->steps[6], text),
			    "pf: VF 2 (0000:01:10.2): given back to igbvf");
	one_free(plan);

	plan = one_new(1);
	want_count(plan->funcs, 1);
	want_vf_attr(plan->funcs, 0, VF_ATTR_MAC, 0x525400000001);
	expect_steps(plan, "set-vf:0=next-reset");
	one_free(plan);
}

/* VFs that are made anew for the PF's sake keep what they had. */
static void test_itself(void **state)
{
	struct plan *plan = one_new(1);
	char text[PLAN_TEXT_MAX];

	(void)state;
	plan->funcs->now.vfs[0].attrs.value[VF_ATTR_TRUST] = 1;
	plan->funcs->want.has = STATE_DRIVER | STATE_MODE;
	plan->funcs->want.mode = ESWITCH_SWITCHDEV;
	memcpy(plan->funcs->want.bind.driver, "other", 6);
	expect_steps(plan, "remove-vfs=destroys driver=idle mode=idle make-vfs(quiet)=live "
			   "set-vf:0=live driver-of-vf:0=live autoprobe=live");
	assert_int_equal(plan->funcs->want.vfs[0].attrs.value[VF_ATTR_TRUST], 1);
	assert_string_equal(plan->funcs->want.vfs[0].bind.driver, "igbvf");
	assert_string_equal(plan_step_text(plan, &plan->steps[1], text), "pf: other (now igb)");
	assert_string_equal(plan_step_text(plan, &plan->steps[2], text),
			    "pf: eswitch mode switchdev (now legacy)");
	one_free(plan);

	plan = one_new(0);
	plan->funcs->want.has = STATE_EXACT;
	memcpy(plan->funcs->want.bind.driver, "igb", 4);
	memcpy(plan->funcs->want.bind.override, "igb", 4);
	expect_steps(plan, "driver=idle");
	assert_string_equal(plan_step_text(plan, plan->steps, text), "pf: igb, driver_override igb");
	one_free(plan);
}

/* What a vfctl that was killed left behind. */
static void test_left_behind(void **state)
{
	struct plan *plan = one_new(0);

	(void)state;
	plan->funcs->now.autoprobe = 0;
	plan->funcs->want.has = STATE_AUTOPROBE;
	plan->funcs->want.autoprobe = 1;
	want_count(plan->funcs, 1);
	expect_steps(plan, "autoprobe=live make-vfs=live");
	one_free(plan);

	plan = one_new(1);
	plan->funcs->now.autoprobe = 0;
	plan->funcs->want.has = STATE_AUTOPROBE;
	plan->funcs->want.autoprobe = 1;
	plan->funcs->now.vfs[0].bind = (struct bind_state){ { .bus = 1 }, "", "vfio-pci" };
	want_count(plan->funcs, 1);
	want_vf_driver(plan->funcs, 0, "vfio-pci");
	expect_steps(plan, "autoprobe=live driver-of-vf:0=live");
	one_free(plan);
}

/* Each user is told once, and by which step he is hit. */
static void test_hits(void **state)
{
	struct fake *f = *state;
	struct plan *plan = calloc(1, sizeof(*plan));
	struct plan_hit *hits;
	struct plan_block *blocks;
	const struct pci_addr nvme = fake_at("0000:02:00.0");
	size_t count;

	assert_non_null(plan);
	plan->funcs = calloc(1, sizeof(*plan->funcs));
	assert_non_null(plan->funcs);
	plan->func_count = 1;
	assert_int_equal(func_state_read(&f->host, &nvme, &plan->funcs->now, NULL), 0);
	plan->funcs->autoprobe = 1;
	plan->funcs->want.has = STATE_DRIVER;
	memcpy(plan->funcs->want.bind.driver, "vfio-pci", 9);
	fake_text(f, "proc/self/mountinfo", "22 1 259:1 / /data rw - ext4 /dev/nvme0n1p1 rw\n");
	assert_int_equal(plan_make(plan, NULL), 0);
	assert_int_equal(plan_hits(&f->host, plan, 0, 0, &hits, &count, NULL), 0);
	assert_int_equal(count, 1);
	assert_int_equal(hits[0].step, 0);
	assert_true(hits[0].in_use);
	assert_int_equal(hits[0].kinds, USE_MOUNT);
	free(hits);
	assert_int_equal(plan_hits(&f->host, plan, 0, USE_MOUNT, &hits, &count, NULL), 0);
	assert_int_equal(count, 0);
	free(hits);
	assert_int_equal(plan_hits(&f->host, plan, 1, 0, &hits, &count, NULL), 0);
	assert_int_equal(count, 0);
	free(hits);
	assert_int_equal(plan_blocks(&f->host, plan, &blocks, &count, NULL), 0);
	assert_int_equal(count, 0);
	free(blocks);
	fake_remove(f, "sys/devices/pci0000:00/0000:02:00.0/iommu_group");
	assert_int_equal(plan_blocks(&f->host, plan, &blocks, &count, NULL), 0);
	assert_int_equal(count, 1);
	assert_true(blocks[0].reboot);
	assert_non_null(strstr(blocks[0].text, "0000:02:00.0: vfio-pci needs an IOMMU"));
	free(blocks);
	one_free(plan);
}

/* Driver nvme and the setting online of one VF, as they are and as the file has them. */
static void expect_runs(struct fake *f, const char *driver, uint64_t is, uint64_t asked, bool runs)
{
	struct plan *plan = one_new(1);
	struct plan_func *func = plan->funcs;
	struct plan_block *blocks;
	size_t count;

	func->now.vfs[0].attrs = (struct vf_attrs){ .has = BIT(VF_ATTR_ONLINE) };
	func->now.vfs[0].attrs.value[VF_ATTR_ONLINE] = is;
	want_count(func, 1);
	want_vf_driver(func, 0, driver);
	want_vf_attr(func, 0, VF_ATTR_ONLINE, asked);
	assert_int_equal(plan_make(plan, NULL), 0);
	assert_int_equal(plan_blocks(&f->host, plan, &blocks, &count, NULL), 0);
	assert_int_equal(count, runs ? 0 : 1);
	if (!runs)
		assert_non_null(strstr(blocks[0].text, "0000:01:00.0: VF 0: driver nvme cannot run a "
				       "controller that is offline; give the VF queues"));
	free(blocks);
	one_free(plan);
}

static void test_offline(void **state)
{
	struct fake *f = *state;

	expect_runs(f, "nvme", 0, 1, true);
	expect_runs(f, "nvme", 1, 1, true);
	expect_runs(f, "nvme", 0, 0, false);
	expect_runs(f, "nvme", 1, 0, false);
	expect_runs(f, "igbvf", 1, 0, true);
	expect_runs(f, "none", 1, 0, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),	    cmocka_unit_test(test_count),
		cmocka_unit_test(test_settings),    cmocka_unit_test(test_itself),
		cmocka_unit_test(test_left_behind), fake_lab_test(test_hits),
		fake_lab_test(test_offline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
