// SPDX-License-Identifier: GPL-2.0-or-later
/* The settings of NVMe VFs, with a controller that obeys, refuses, fails and lies. */
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
#include "fake_nvme.h"
#include "fake_sysfs.h"
#include "sriov/bind.h"
#include "sriov/func.h"
#include "sriov/nvme_admin.h"
#include "sriov/vf.h"
#include "sriov/vf_attr.h"
#include "sriov/vf_set.h"

#define PF "0000:02:00.0"
#define VF0 "0000:02:10.0"
#define NVME_DIR "sys/devices/pci0000:00/" PF "/nvme/"

#define Q BIT(VF_ATTR_QUEUES)
#define V BIT(VF_ATTR_VECTORS)
#define O BIT(VF_ATTR_ONLINE)
#define N BIT(VF_ATTR_NAMESPACES)

struct rig {
	struct fake *f;
	struct fake_nvme *nvme;
	struct pci_addr pf;
	struct err err;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->f = fake_new_lab();
	r->pf = fake_at(PF);
	assert_int_equal(vf_create(&r->f->host, &r->pf, 2, "none", 0, NULL, NULL), 0);
	r->nvme = fake_nvme_new(r->f, PF, 2);
	r->nvme->allocated = 0x7;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	fake_nvme_free(r->nvme);
	fake_free(r->f);
	free(r);
	return 0;
}

static struct vf_attrs attrs(uint64_t queues, uint64_t vectors, uint64_t online, uint64_t spaces)
{
	struct vf_attrs a = { .has = Q | V | O | N };

	a.value[VF_ATTR_QUEUES] = queues;
	a.value[VF_ATTR_VECTORS] = vectors;
	a.value[VF_ATTR_ONLINE] = online;
	a.value[VF_ATTR_NAMESPACES] = spaces;
	return a;
}

/* vf_attrs_write() to VF 0, the log beginning anew. */
static int set(struct rig *r, uint32_t which, uint64_t queues, uint64_t vectors, uint64_t online,
	       uint64_t spaces)
{
	struct vf_attrs want = attrs(queues, vectors, online, spaces);

	r->nvme->log[0] = '\0';
	err_clear(&r->err);
	return vf_attrs_write(&r->f->host, &r->pf, 0, &want, which, &r->err);
}

static void expect(struct rig *r, uint64_t queues, uint64_t vectors, uint64_t online, uint64_t spaces)
{
	struct vf_attrs want = attrs(queues, vectors, online, spaces), now;

	assert_int_equal(vf_attrs_read(&r->f->host, &r->pf, 0, &now, &r->err), 0);
	assert_int_equal(now.has, want.has);
	assert_int_equal(vf_attrs_differ(&now, &want), 0);
}

static void expect_refusal(struct rig *r, int got, int code, const char *text)
{
	if (got != code || !strstr(r->err.msg, text))
		print_message("%d: %s\n", got, r->err.msg);
	assert_int_equal(got, code);
	assert_non_null(strstr(r->err.msg, text));
	assert_string_equal(r->nvme->log, "");
}

static void test_order(void **state)
{
	struct rig *r = *state;
	unsigned long writes = r->f->host.writes;

	expect(r, 0, 0, 0, 0);
	assert_int_equal(set(r, Q | V | O | N, 3, 2, 1, 0x5), 0);
	assert_string_equal(r->nvme->log,
			    "queues 1 3, vectors 1 2, online 1, attach 1 1, attach 1 3");
	assert_int_equal(r->f->host.writes - writes, 5);
	expect(r, 3, 2, 1, 0x5);
	/* What is so already is not asked for. */
	assert_int_equal(set(r, Q | V | O | N, 3, 2, 1, 0x5), 0);
	assert_string_equal(r->nvme->log, "");
	/* Offline it loses what it has: that comes back. */
	assert_int_equal(set(r, Q, 4, 0, 0, 0), 0);
	assert_string_equal(r->nvme->log, "offline 1, queues 1 4, vectors 1 2, online 1");
	expect(r, 4, 2, 1, 0x5);
	assert_int_equal(set(r, O, 0, 0, 0, 0), 0);
	expect(r, 4, 2, 0, 0x5);
	/* Those that go before those that come. */
	assert_int_equal(set(r, N, 0, 0, 0, 0x6), 0);
	assert_string_equal(r->nvme->log, "detach 1 1, attach 1 2");
	assert_int_equal(set(r, Q | V | O | N, 0, 0, 0, 0), 0);
	expect(r, 0, 0, 0, 0);
	assert_int_equal(r->nvme->vfs[1].queues + r->nvme->vfs[1].namespaces, 0);
}

static void test_refusals(void **state)
{
	struct rig *r = *state;
	struct vf_attrs want = attrs(2, 1, 1, 0);

	expect_refusal(r, set(r, O, 0, 0, 1, 0), -EINVAL, "VF 0: online: a VF of nvme0 needs two queues");
	expect_refusal(r, set(r, Q | V | O, 1, 1, 1, 0), -EINVAL, "it would have 1 and 1");
	expect_refusal(r, set(r, Q | V | O, 2, 0, 1, 0), -EINVAL, "it would have 2 and 0");
	expect_refusal(r, set(r, Q, 6, 0, 0, 0), -ERANGE, "queues: 6 asked for, nvme0 gives a VF 5 at most");
	expect_refusal(r, set(r, V, 0, 4, 0, 0), -ERANGE, "vectors: 4 asked for");
	expect_refusal(r, set(r, V, 0, 65536 + 1, 0, 0), -ERANGE, "vectors: 65537 is more");
	/* 8 queues in all: 5 are another VF's, and 1 the PF keeps. */
	r->nvme->vfs[1].queues = 5;
	r->nvme->primary[0] = 1;
	expect_refusal(r, set(r, Q, 3, 0, 0, 0), -ENOSPC,
		       "3 asked for, of 8 of nvme0 only 2 are free: VFs have 5, the PF itself keeps 1");
	assert_int_equal(set(r, Q | V | O, 2, 1, 1, 0), 0);
	/* Its own count as free. */
	expect_refusal(r, set(r, Q, 3, 0, 0, 0), -ENOSPC, "only 2 are free");
	r->nvme->types = 2;
	expect_refusal(r, set(r, Q, 1, 0, 0, 0), -EINVAL, "online");
	expect_refusal(r, set(r, Q, 4, 0, 0, 0), -ENOTSUP, "fixed by the card: a VF has 2");
	assert_int_equal(vf_attrs_write(&r->f->host, &r->pf, 2, &want, Q, &r->err), -ENODEV);
}

static void test_bound(void **state)
{
	struct rig *r = *state;

	assert_int_equal(vf_create(&r->f->host, &r->pf, 2, "vfio-pci", 0, NULL, NULL), 0);
	expect_refusal(r, set(r, Q, 2, 0, 0, 0), -EBUSY, "and vfio-pci has it; run: vfctl unbind 0000:");
	/* Namespaces come and go under a driver. */
	assert_int_equal(set(r, N, 0, 0, 0, 0x2), 0);
}

static void test_less_able(void **state)
{
	struct rig *r = *state;
	struct vf_attrs now;

	r->nvme->management = false;
	assert_int_equal(vf_attrs_read(&r->f->host, &r->pf, 0, &now, &r->err), 0);
	assert_int_equal(now.has, Q | V | O);
	expect_refusal(r, set(r, N, 0, 0, 0, 1), -ENOTSUP, "nvme0 has no namespace management");
	r->nvme->virtualization = false;
	assert_int_equal(vf_attrs_read(&r->f->host, &r->pf, 0, &now, &r->err), 0);
	assert_int_equal(now.has, 0);
	expect_refusal(r, set(r, Q, 2, 0, 0, 0), -ENOTSUP, "without virtualization management");
}

/* Each command of a change fails in turn: VF 0 has then what it had, and the next try succeeds. */
static void each_fails(struct rig *r, int with, int code)
{
	unsigned long k, commands;

	fake_nvme_fail(r->nvme, 0, 0);
	assert_int_equal(set(r, Q | V | O | N, 2, 1, 1, 0x1), 0);
	fake_nvme_fail(r->nvme, 0, 0);
	assert_int_equal(set(r, Q | V | N, 4, 2, 0, 0x4), 0);
	commands = r->nvme->seen;
	assert_true(commands > 10);
	assert_int_equal(set(r, Q | V | N, 2, 1, 0, 0x1), 0);
	for (k = 1; k <= commands; k++) {
		fake_nvme_fail(r->nvme, k, with);
		assert_int_equal(set(r, Q | V | N, 4, 2, 0, 0x4), code);
		assert_non_null(strstr(r->err.msg, PF ": nvme0: cannot "));
		assert_null(strstr(r->err.msg, "could be put back"));
		assert_null(strchr(r->err.msg, '\n'));
		/* Whole before or whole after: never offline, never without resources. */
		assert_true(r->nvme->vfs[0].online);
		assert_int_equal(r->nvme->vfs[0].queues, 2 * r->nvme->vfs[0].vectors);
		fake_nvme_fail(r->nvme, 0, 0);
		assert_int_equal(set(r, Q | V | N, 4, 2, 0, 0x4), 0);
		expect(r, 4, 2, 1, 0x4);
		assert_int_equal(set(r, Q | V | N, 2, 1, 0, 0x1), 0);
	}
}

static void test_each_fails(void **state)
{
	each_fails(*state, 0x4006, -EIO);
	each_fails(*state, -EACCES, -EACCES);
	each_fails(*state, -ENODEV, -ENODEV);
}

/* A caller that wants no message is told of the failure all the same. */
static void test_no_message(void **state)
{
	struct vf_attrs want = attrs(2, 1, 1, 0x1);
	struct rig *r = *state;
	unsigned long k, commands;

	fake_nvme_fail(r->nvme, 0, 0);
	assert_int_equal(set(r, Q | V | O | N, 2, 1, 1, 0x1), 0);
	commands = r->nvme->seen;
	assert_int_equal(set(r, Q | V | O | N, 0, 0, 0, 0), 0);
	for (k = 1; k <= commands; k++) {
		fake_nvme_fail(r->nvme, k, -EACCES);
		assert_int_equal(vf_attrs_write(&r->f->host, &r->pf, 0, &want, want.has, NULL),
				 -EACCES);
		fake_nvme_fail(r->nvme, 0, 0);
		assert_int_equal(set(r, Q | V | O | N, 0, 0, 0, 0), 0);
	}
}

static void test_statuses(void **state)
{
	static const struct {
		int status, code;
		const char *text;
	} rows[] = {
		{ 0x001, -ENOTSUP, "does not have this command" },
		{ 0x4015, -EPERM, "locked" },
		{ 0x01d, -EBUSY, "sanitizing" },
		{ 0x411f, -ENODEV, "not one of this PF's secondary controllers" },
		{ 0x6120, -EBUSY, "wrong state" },
		{ 0x121, -ERANGE, "more than one VF may have" },
		{ 0x122, -ENOSPC, "not free" },
		{ 0x371, -ETIMEDOUT, "gave the command up" },
		{ 0x7ff, -EIO, "answered NVMe status 0x7ff" },
		{ -EPERM, -EPERM, "this needs root" },
		{ -ENOENT, -ENOENT, "not in /dev" },
		{ -ENOTTY, -ENOTTY, "something else" },
		{ -EINTR, -EINTR, "Interrupted" },
	};
	struct rig *r = *state;
	unsigned long assign = 4; /* after the controller, its VFs, and what it has to give */
	size_t i;

	r->nvme->management = false;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		fake_nvme_fail(r->nvme, assign, rows[i].status);
		assert_int_equal(set(r, Q, 2, 0, 0, 0), rows[i].code);
		if (!strstr(r->err.msg, rows[i].text))
			print_message("%s\n", r->err.msg);
		assert_non_null(strstr(r->err.msg, "cannot give controller 1 2 queues"));
		assert_non_null(strstr(r->err.msg, rows[i].text));
		assert_int_equal(r->nvme->vfs[0].queues, 0);
	}
}

static void test_lies(void **state)
{
	struct rig *r = *state;
	struct vf_attrs now;
	enum fake_nvme_lie lie;

	r->nvme->vfs[0].namespaces = 1;
	for (lie = FAKE_NVME_LIST_LONG; lie < FAKE_NVME_LAZY; lie++) {
		r->nvme->lie = lie;
		assert_int_equal(vf_attrs_read(&r->f->host, &r->pf, 0, &now, &r->err), -EPROTO);
		assert_non_null(strstr(r->err.msg, PF ": nvme0: its list of "));
		expect_refusal(r, set(r, Q, 2, 0, 0, 0), -EPROTO, "makes no sense");
	}
	r->nvme->lie = FAKE_NVME_LAZY;
	assert_int_equal(set(r, Q, 2, 0, 0, 0), -EIO);
	assert_non_null(strstr(r->err.msg, "did not keep"));
	assert_int_equal(set(r, N, 0, 0, 0, 2), -EIO);
	r->nvme->lie = FAKE_NVME_HONEST;
	/* A VF that the controller does not know: numbers out of range, or none. */
	r->nvme->vfs[0].number = 0;
	r->nvme->vfs[1].number = 65535;
	expect_refusal(r, set(r, Q, 2, 0, 0, 0), -ENODEV, "no secondary controller for VF 0");
	r->nvme->count = 0;
	expect_refusal(r, set(r, Q, 2, 0, 0, 0), -ENODEV, "no secondary controller for VF 0");
}

/* More secondary controllers than one list has room for, their IDs anywhere. */
static void test_pages(void **state)
{
	struct rig *r = *state;
	struct nvme_secondary s;
	struct nvme_ctrl ctrl;
	unsigned int i;

	fake_nvme_free(r->nvme);
	r->f->host.ops = &r->f->ops;
	r->nvme = fake_nvme_new(r->f, PF, 254);
	for (i = 0; i < 254; i++) {
		r->nvme->vfs[i].id = (uint16_t)(i < 253 ? 7 + 3 * i : 65535);
		r->nvme->vfs[i].queues = (uint16_t)i;
	}
	assert_int_equal(nvme_ctrl_init(&ctrl, &r->f->host, &r->pf, &r->err), 0);
	for (i = 0; i < 254; i += i == 126 || i == 252 ? 1 : 126) {
		assert_int_equal(nvme_secondary_read(&ctrl, i, &s, &r->err), 0);
		assert_int_equal(s.id, r->nvme->vfs[i].id);
		assert_int_equal(s.queues, i);
	}
	fake_nvme_fail(r->nvme, 0, 0);
	assert_int_equal(nvme_secondary_read(&ctrl, 254, &s, &r->err), -ENODEV);
	assert_int_equal(r->nvme->seen, 2); /* the second list ends with the last ID there can be */
}

static void test_reset(void **state)
{
	struct rig *r = *state;

	r->nvme->needs_reset = true;
	/* No `reset`: the function cannot be reset on its own. */
	assert_int_equal(set(r, Q | V | O, 2, 1, 1, 0), -EBUSY);
	assert_non_null(strstr(r->err.msg, "wrong state"));
	expect(r, 0, 0, 0, 0);
	fake_text(r->f, "sys/devices/pci0000:00/0000:02:10.0/reset", "");
	r->nvme->reset_code = -ENOTTY;
	assert_int_equal(set(r, Q | V | O, 2, 1, 1, 0), -EBUSY);
	assert_non_null(strstr(r->err.msg, "and its reset failed"));
	r->nvme->reset_code = 0;
	assert_int_equal(set(r, Q | V | O, 2, 1, 1, 0), 0);
	assert_string_equal(r->nvme->log, "queues 1 2, vectors 1 1, online 1, reset, online 1");
	expect(r, 2, 1, 1, 0);
}

static void test_namespaces(void **state)
{
	struct rig *r = *state;

	r->nvme->private = 0x2;
	r->nvme->vfs[1].namespaces = 0x2;
	assert_int_equal(set(r, N, 0, 0, 0, 0x3), -EBUSY);
	assert_non_null(strstr(r->err.msg, "VF 0: namespaces: "));
	assert_non_null(strstr(r->err.msg, "private and attached to another controller"));
	expect(r, 0, 0, 0, 0x1); /* those before the one that failed */
	assert_int_equal(set(r, N, 0, 0, 0, UINT64_C(1) << 63), -ENOENT);
	assert_non_null(strstr(r->err.msg, "cannot attach namespace 64 to controller 1: there is no "
					   "such namespace"));
	r->nvme->allocated |= UINT64_C(1) << 63;
	assert_int_equal(set(r, N, 0, 0, 0, UINT64_C(1) << 63), 0);
	expect(r, 0, 0, 0, UINT64_C(1) << 63);
}

/* Whose PF is what. */
static void test_claims(void **state)
{
	static const char *const strange[] = { "nvme", "nvme0c1", "0nvme", "nvme0n1", "nvmex" };
	struct rig *r = *state;
	struct pci_addr igb = fake_at("0000:01:00.0");
	struct vf_attrs now;
	char path[128];
	size_t i;

	assert_true(nvme_is_there(&r->f->host, &r->pf));
	assert_false(nvme_is_there(&r->f->host, &igb));
	fake_remove(r->f, NVME_DIR "nvme0");
	for (i = 0; i < ARRAY_SIZE(strange); i++) {
		snprintf(path, sizeof(path), NVME_DIR "%s/dev", strange[i]);
		fake_text(r->f, path, "");
	}
	assert_false(nvme_is_there(&r->f->host, &r->pf));
	assert_int_equal(vf_attrs_read(&r->f->host, &r->pf, 0, &now, &r->err), 0);
	assert_int_equal(now.has, 0);
	assert_int_equal(set(r, Q, 2, 0, 0, 0), -ENOTSUP);
}

static int set_vf(struct rig *r, uint32_t which, uint64_t queues, uint64_t vectors, uint64_t online)
{
	struct vf_attrs want = attrs(queues, vectors, online, 0);
	struct pci_addr vf = fake_at(VF0);

	want.has = which;
	r->nvme->log[0] = '\0';
	err_clear(&r->err);
	return vf_set(&r->f->host, &vf, &want, 0, NULL, &r->err);
}

static int bind_vf(struct rig *r, const char *driver)
{
	struct pci_addr vf = fake_at(VF0);

	err_clear(&r->err);
	return func_bind(&r->f->host, &vf, 1, driver, 0, NULL, &r->err);
}

static void expect_driver(struct rig *r, const char *driver)
{
	const struct pci_addr vf = fake_at(VF0);
	char now[HOST_NAME_MAX];

	func_driver(&r->f->host, &vf, now);
	assert_string_equal(now, driver);
}

/* Whatever the order: nvme is never asked to bind a VF that is offline, and none is left with it. */
static void test_offline_driver(void **state)
{
	struct rig *r = *state;
	unsigned long writes = r->f->host.writes;
	struct pci_addr vf = fake_at(VF0);
	struct bind_state bound = { .addr = vf, .driver = "nvme", .override = "nvme" };

	expect_refusal(r, bind_vf(r, "nvme"), -EAGAIN, VF0 ": its controller is offline, and nvme "
		       "cannot run it; run: vfctl set " VF0 " queues=2 vectors=1 online=on");
	assert_int_equal(r->f->host.writes, writes);
	/* The kernel's choice is nvme: it is not asked, and to have no driver is no error then. */
	assert_int_equal(bind_vf(r, BIND_DEFAULT), 0);
	assert_int_equal(r->f->host.writes, writes);
	expect_driver(r, "");
	/* The way back of a change binds by another path. */
	assert_int_equal(bind_state_restore(&r->f->host, &bound, &r->err), -EAGAIN);
	assert_non_null(strstr(r->err.msg, "cannot bring back the driver nvme"));
	assert_non_null(strstr(r->err.msg, "its controller is offline"));
	expect_driver(r, "");
	/* As does the making of VFs, which all go again. */
	assert_int_equal(vf_destroy(&r->f->host, &r->pf, 0, NULL, &r->err), 0);
	assert_int_equal(vf_create(&r->f->host, &r->pf, 2, "nvme", 0, NULL, &r->err), -EAGAIN);
	assert_non_null(strstr(r->err.msg, "its controller is offline"));
	assert_false(func_exists(&r->f->host, &vf));

	assert_int_equal(vf_create(&r->f->host, &r->pf, 2, "none", 0, NULL, &r->err), 0);
	assert_int_equal(set_vf(r, Q | V | O, 2, 1, 1), 0);
	assert_int_equal(bind_vf(r, "nvme"), 0);
	writes = r->f->host.writes;
	expect_refusal(r, set_vf(r, O, 0, 0, 0), -EBUSY, VF0 ": nvme has it and cannot run a "
		       "controller that is offline; run: vfctl unbind " VF0 ", and then this again");
	assert_null(strstr(r->err.msg, "or add online=on"));
	expect_refusal(r, set_vf(r, Q | V | O, 0, 0, 0), -EBUSY, "nvme has it");
	assert_int_equal(r->f->host.writes, writes);
	expect_driver(r, "nvme");
	/* Other settings take it away and give it back. */
	assert_int_equal(set_vf(r, Q, 3, 0, 0), 0);
	expect_driver(r, "nvme");
	expect(r, 3, 1, 1, 0);
	/* The card took it offline under the driver: what would leave it so is refused. */
	r->nvme->vfs[0].online = false;
	expect_refusal(r, set_vf(r, Q, 2, 0, 0), -EBUSY, "and then this again, or add online=on");
	assert_int_equal(set_vf(r, Q | O, 2, 0, 1), 0);
	expect_driver(r, "nvme");
	/* After what the message says, it works. */
	assert_int_equal(bind_vf(r, BIND_NONE), 0);
	assert_int_equal(set_vf(r, Q | V | O, 0, 0, 0), 0);
	expect(r, 0, 0, 0, 0);
}

/* A driver that does not mind is not kept from it, nor is any when the controller does not tell. */
static void test_offline_others(void **state)
{
	struct rig *r = *state;

	assert_int_equal(bind_vf(r, "vfio-pci"), 0);
	assert_int_equal(set_vf(r, Q | V | O, 2, 1, 1), 0);
	assert_int_equal(set_vf(r, O, 0, 0, 0), 0);
	expect_driver(r, "vfio-pci");
	fake_nvme_fail(r->nvme, 1, -EACCES);
	assert_int_equal(bind_vf(r, "nvme"), 0);
	assert_int_equal(bind_vf(r, BIND_NONE), 0);
	r->nvme->virtualization = false;
	assert_int_equal(bind_vf(r, "nvme"), 0);
}

#define rig_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(test_order),	  rig_test(test_refusals), rig_test(test_bound),
		rig_test(test_less_able), rig_test(test_each_fails), rig_test(test_statuses),
		rig_test(test_less_able), rig_test(test_no_message), rig_test(test_statuses),
		rig_test(test_lies),	  rig_test(test_pages),	   rig_test(test_reset),
		rig_test(test_namespaces), rig_test(test_claims),
		rig_test(test_offline_driver), rig_test(test_offline_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
