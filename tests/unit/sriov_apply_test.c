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
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_sysfs_priv.h"
#include "sriov/apply.h"
#include "sriov/bind.h"
#include "sriov/func.h"
#include "sriov/pool.h"
#include "sriov/vf.h"
#include "sriov/vf_attr.h"

#define IGB "0000:01:00.0"
#define NVME "0000:02:00.0"
#define SYS "sys/devices/pci0000:00/"
#define VFS 7

/* What the PF's interface and devlink know, in memory that outlives a child. */
struct card {
	struct vf_attrs vfs[VFS];
	bool has_mode;
	unsigned int mode;
};

/* The lab's host, with settings. */
struct rig {
	struct fake *f;
	struct host_ops host_ops;
	struct vf_ops vf_ops;
	struct card *card;
};

static void reset_card(struct card *card)
{
	static const struct vf_attrs fresh = {
		.has = BIT(VF_ATTR_MAC) | BIT(VF_ATTR_VLAN) | BIT(VF_ATTR_QOS) |
		       BIT(VF_ATTR_VLAN_PROTO) | BIT(VF_ATTR_SPOOFCHK) | BIT(VF_ATTR_TRUST) |
		       BIT(VF_ATTR_LINK_STATE) | BIT(VF_ATTR_MAX_RATE),
		.value = { [VF_ATTR_VLAN_PROTO] = 0x8100, [VF_ATTR_SPOOFCHK] = 1 },
	};
	unsigned int i;

	for (i = 0; i < VFS; i++)
		card->vfs[i] = fresh;
}

static struct rig *rig_of(struct host *host)
{
	return container_of(host->vf_ops, struct rig, vf_ops);
}

/* A request that is no file counts like one. */
static int fault(struct rig *r)
{
	r->f->seen++;
	return r->f->seen == r->f->fail_at ? r->f->fail_code : 0;
}

static int rig_net_get(struct host *host, const char *ifname, unsigned int vf,
		       struct vf_attrs *ret)
{
	assert_string_equal(ifname, "eth0");
	if (vf >= VFS)
		return -ENODEV;
	*ret = rig_of(host)->card->vfs[vf];
	return 0;
}

static int rig_net_set(struct host *host, const char *ifname, unsigned int vf,
		       const struct vf_attrs *want, uint32_t which)
{
	struct rig *r = rig_of(host);
	unsigned int i;
	int ret = fault(r);

	assert_string_equal(ifname, "eth0");
	for (i = 0; i < VF_ATTR_COUNT && !ret; i++) {
		if (which & BIT(i))
			r->card->vfs[vf].value[i] = want->value[i];
	}
	return ret;
}

static int rig_eswitch_get(struct host *host, const char *bdf, unsigned int *ret_mode)
{
	struct rig *r = rig_of(host);

	if (strcmp(bdf, IGB) != 0 || !r->card->has_mode)
		return -EOPNOTSUPP;
	*ret_mode = r->card->mode;
	return 0;
}

static int rig_eswitch_set(struct host *host, const char *bdf, unsigned int mode,
			   struct err *err)
{
	struct rig *r = rig_of(host);
	long count;
	int ret = fault(r);

	(void)err;
	assert_string_equal(bdf, IGB);
	assert_int_equal(host_read_long(host, &count, "bus/pci/devices/" IGB "/sriov_numvfs"), 0);
	assert_int_equal(count, 0);
	if (!ret)
		r->card->mode = mode;
	return ret;
}

/* VFs that go take their settings along. */
static int rig_write(struct host *host, const char *path, const char *text)
{
	int ret = fk_write(host, path, text);

	if (!ret && strstr(path, IGB "/sriov_numvfs") && !strcmp(text, "0"))
		reset_card(rig_of(host)->card);
	return ret;
}

static struct rig *rig_new(void)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->f = fake_new_lab();
	r->card = mmap(NULL, sizeof(*r->card), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	assert_true(r->card != MAP_FAILED);
	memset(r->card, 0, sizeof(*r->card));
	reset_card(r->card);
	r->vf_ops = (struct vf_ops){ .net_get = rig_net_get, .net_set = rig_net_set,
				     .eswitch_get = rig_eswitch_get,
				     .eswitch_set = rig_eswitch_set };
	r->f->host.vf_ops = &r->vf_ops;
	r->host_ops = r->f->ops;
	r->host_ops.write = rig_write;
	r->f->host.ops = &r->host_ops;
	return r;
}

static void rig_free(struct rig *r)
{
	munmap(r->card, sizeof(*r->card));
	fake_free(r->f);
	free(r);
}

/* All that can be seen of the host. */
static char *rig_snapshot(const struct rig *r)
{
	char *sys = fake_snapshot(r->f), *all;
	char settings[8192] = "";
	size_t at = 0;
	unsigned int i, k;

	at += (size_t)snprintf(settings, sizeof(settings), "mode %u\n", r->card->mode);
	for (i = 0; i < VFS; i++) {
		for (k = 0; k < VF_ATTR_COUNT; k++)
			at += (size_t)snprintf(settings + at, sizeof(settings) - at, "%llx ",
					       (unsigned long long)r->card->vfs[i].value[k]);
		at += (size_t)snprintf(settings + at, sizeof(settings) - at, "\n");
	}
	assert_true(at < sizeof(settings));
	assert_true(asprintf(&all, "%s%s", sys, settings) > 0);
	free(sys);
	return all;
}

static void expect_same(const char *want, const struct rig *r)
{
	char *now = rig_snapshot(r);
	size_t i = 0;

	if (strcmp(want, now) != 0) {
		while (want[i] == now[i])
			i++;
		while (i && want[i - 1] != '\n')
			i--;
		print_message("want %.300s\nis   %.300s\n", want + i, now + i);
	}
	assert_string_equal(want, now);
	free(now);
}

static int apply(struct rig *r, const char *text, unsigned int force,
		 struct apply_report *report, struct err *err)
{
	const struct apply_opts opts = { .force = force };
	struct err own = { .code = 0 };
	struct want want;
	int ret;

	ret = want_parse(&want, "file", text, strlen(text), WANT_FILE, err ? err : &own);
	if (ret)
		print_message("%s\n", err ? err->msg : own.msg);
	assert_int_equal(ret, 0);
	ret = apply_run(&r->f->host, &want, &opts, report, err ? err : &own);
	want_done(&want);
	return ret;
}

static int restore(struct rig *r, struct apply_report *report, struct err *err)
{
	const struct apply_opts opts = { .force = 0 };

	return apply_restore(&r->f->host, &opts, report, err);
}

static void expect_vf(struct rig *r, unsigned int index, const char *driver,
		      const char *override)
{
	struct pci_addr pf = fake_at(IGB), vf;
	struct func_info info;

	assert_int_equal(func_vf_addr(&r->f->host, &pf, index, &vf), 0);
	assert_int_equal(func_read(&r->f->host, &vf, &info, NULL), 0);
	assert_string_equal(info.driver, driver);
	assert_string_equal(info.driver_override, override);
}

#define HEAD "version: 1\ndevices:\n- name: uplink\n  match: {address: \"" IGB "\"}\n"
#define DISK "- name: disk\n  match: {address: \"" NVME "\", vendor: 0x1b36}\n"

static const char all_vfio[] = HEAD "  vfs: 7\n  vf-defaults: {driver: vfio-pci}\n";
static const char few_vfio[] = HEAD "  vfs: 3\n  vf-defaults: {driver: vfio-pci}\n";
static const char mixed[] = HEAD
	"  vfs: 4\n"
	"  vf-defaults: {driver: vfio-pci, pool: tenants, trust: on}\n"
	"  vf:\n"
	"    0: {name: db, mac: \"52:54:00:00:00:01\", vlan: 100, qos: 3}\n"
	"    2-3: {driver: igbvf, link-state: enable}\n"
	DISK "  driver: vfio-pci\n";

static void test_new_vfs(void **state)
{
	struct rig *r = rig_new();
	struct apply_report report;
	char *before = rig_snapshot(r);
	unsigned int i;

	(void)state;
	assert_int_equal(apply(r, all_vfio, 0, &report, NULL), 0);
	/* autoprobe off, the count, two for each VF, autoprobe on. */
	assert_int_equal(report.writes, 1 + 1 + 2 * VFS + 1);
	assert_int_equal(r->f->native_binds, 0);
	for (i = 0; i < VFS; i++)
		expect_vf(r, i, "vfio-pci", "vfio-pci");
	r->f->seen = 0;
	assert_int_equal(apply(r, all_vfio, 0, &report, NULL), 0);
	assert_int_equal(report.writes, 0);
	assert_int_equal(report.steps, 0);
	assert_int_equal(r->f->seen, 0);
	assert_int_equal(restore(r, &report, NULL), 0);
	expect_same(before, r);
	assert_int_equal(restore(r, &report, NULL), 0);
	assert_int_equal(report.writes, 0);
	free(before);
	rig_free(r);
}

static void test_mixed(void **state)
{
	struct rig *r = rig_new();
	struct apply_report report;
	struct pci_addr pf = fake_at(IGB), *addrs, vf;
	char driver[HOST_NAME_MAX];
	size_t count;

	(void)state;
	assert_int_equal(apply(r, mixed, 0, &report, NULL), 0);
	assert_true(report.pools);
	expect_vf(r, 0, "vfio-pci", "vfio-pci");
	expect_vf(r, 3, "igbvf", "igbvf");
	assert_true(r->card->vfs[0].value[VF_ATTR_MAC] == 0x525400000001);
	assert_int_equal(r->card->vfs[0].value[VF_ATTR_VLAN], 100);
	assert_int_equal(r->card->vfs[0].value[VF_ATTR_QOS], 3);
	assert_int_equal(r->card->vfs[0].value[VF_ATTR_LINK_STATE], 0);
	assert_int_equal(r->card->vfs[3].value[VF_ATTR_LINK_STATE], 1);
	assert_int_equal(r->card->vfs[3].value[VF_ATTR_TRUST], 1);
	assert_int_equal(r->card->vfs[4].value[VF_ATTR_TRUST], 0);
	func_driver(&r->f->host, &(struct pci_addr){ .bus = 2 }, driver);
	assert_string_equal(driver, "vfio-pci");
	assert_int_equal(pool_read(&r->f->host, "tenants", &addrs, &count, NULL), 0);
	assert_int_equal(count, 4);
	free(addrs);
	assert_int_equal(pool_read(&r->f->host, "db", &addrs, &count, NULL), 0);
	assert_int_equal(count, 1);
	assert_int_equal(func_vf_addr(&r->f->host, &pf, 0, &vf), 0);
	assert_true(pci_addr_eq(&addrs[0], &vf));
	free(addrs);
	assert_int_equal(restore(r, NULL, NULL), 0);
	assert_int_equal(pool_read(&r->f->host, "db", &addrs, &count, NULL), -ENODEV);
	rig_free(r);
}

/* --- failing and being killed at every write --------------------------------------------------- */

struct scene {
	const char *name;
	const char *had;   /* applied by a vfctl whose journal is gone; NULL: nothing */
	unsigned int native; /* VFs of the kernel's choice before */
	bool autoprobe_off;
	bool has_mode;
	const char *want;
};

static const struct scene scenes[] = {
	{ "from nothing", NULL, 0, false, false, few_vfio },
	{ "autoprobe off", NULL, 0, true, false, few_vfio },
	{ "mixed from nothing", NULL, 0, false, false, mixed },
	{ "mixed from others", NULL, 3, false, false, mixed },
	{ "the kernel's choice", NULL, 2, false, false, HEAD "  vfs: 3\n" },
	{ "choice with settings", NULL, 2, false, false,
	  HEAD "  vfs: 3\n  vf:\n    1: {vlan: 7}\n    2: {driver: vfio-pci}\n" },
	{ "drivers alone", NULL, 3, false, false,
	  HEAD "  vf-defaults: {driver: vfio-pci}\n  vf:\n    1: {driver: none}\n" },
	{ "settings alone", few_vfio, 0, false, false,
	  HEAD "  vf-defaults: {spoof-check: off, max-rate: 100}\n  vf:\n    2: {vlan: 5}\n" },
	{ "driver and settings", mixed, 0, false, false,
	  HEAD "  vfs: 4\n  vf:\n    0: {driver: igbvf, vlan: 0}\n    3: {driver: default}\n"
	  DISK "  driver: default\n" },
	{ "switchdev", NULL, 3, false, true, HEAD "  mode: switchdev\n" },
	{ "switchdev and settings", few_vfio, 0, false, true,
	  HEAD "  mode: switchdev\n  vf:\n    1: {trust: on, driver: igbvf}\n" },
	{ "none", mixed, 0, false, false, HEAD "  vfs: 0\n" DISK "  driver: none\n" },
};

static struct rig *scene_new(const struct scene *s)
{
	struct rig *r = rig_new();
	struct pci_addr pf = fake_at(IGB);

	if (s->native)
		assert_int_equal(vf_create(&r->f->host, &pf, s->native, NULL, 0, NULL, NULL), 0);
	if (s->had) {
		assert_int_equal(apply(r, s->had, 0, NULL, NULL), 0);
		fake_remove(r->f, "var/lib/vfctl");
	}
	if (s->autoprobe_off)
		fake_text(r->f, SYS IGB "/sriov_drivers_autoprobe", "0\n");
	r->card->has_mode = s->has_mode;
	r->f->seen = 0;
	return r;
}

/* The state asked for, the number of writes, and that it is stable and can be taken back. */
static char *scene_want(const struct scene *s, unsigned long *ret_events)
{
	struct rig *r = scene_new(s);
	char *before = rig_snapshot(r), *want;
	struct apply_report report;

	assert_int_equal(apply(r, s->want, 0, &report, NULL), 0);
	assert_true(report.writes > 0);
	*ret_events = r->f->seen;
	want = rig_snapshot(r);
	assert_int_equal(apply(r, s->want, 0, &report, NULL), 0);
	assert_int_equal(report.writes, 0);
	assert_int_equal(r->f->seen, *ret_events);
	assert_int_equal(restore(r, NULL, NULL), 0);
	expect_same(before, r);
	free(before);
	rig_free(r);
	return want;
}

/* What is left in the folder @path below the fake's base: nothing of the journal. */
static bool journal_is_there(const struct rig *r, const char *name)
{
	return fk_exists(r->f, "var/lib/vfctl/apply/%s", name);
}

static void test_rollback(void **state)
{
	const struct scene *s;
	unsigned long k, events, undone;

	(void)state;
	for (s = scenes; s < scenes + ARRAY_SIZE(scenes); s++) {
		char *want = scene_want(s, &events);

		print_message("%s: %lu writes\n", s->name, events);
		undone = 0;
		for (k = 1; k <= events; k++) {
			struct rig *r = scene_new(s);
			struct err err = { .code = 0 };
			char *before = rig_snapshot(r), *now;

			fake_fail(r->f, k, -EIO);
			assert_int_equal(apply(r, s->want, 0, NULL, &err), -EIO);
			assert_true(*err.msg);
			now = rig_snapshot(r);
			/* After the last step pools and the journal's end are written. */
			if (strstr(err.msg, "all was put back")) {
				assert_string_equal(before, now);
				assert_false(journal_is_there(r, "original"));
				assert_false(journal_is_there(r, "under-way"));
				undone++;
			} else {
				assert_string_equal(want, now);
			}
			/* It can be done then. */
			assert_int_equal(apply(r, s->want, 0, NULL, NULL), 0);
			expect_same(want, r);
			free(before);
			free(now);
			rig_free(r);
		}
		/* Pools of this file, of the one before, and the end of the journal at most. */
		assert_true(undone + 4 >= events);
		free(want);
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

/* Runs @text (NULL: restore) in a child that dies after @writes. */
static void run_until(struct rig *r, const char *text, unsigned long writes)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		r->f->host.trace = kill_at;
		r->f->host.report_opaque = &writes;
		if (text)
			apply(r, text, 0, NULL, NULL);
		else
			restore(r, NULL, NULL);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

/* F44: killed after every write in turn, applied again it is as asked for, and can be restored. */
static void test_killed(void **state)
{
	const struct scene *s;
	unsigned long k, events;

	(void)state;
	for (s = scenes; s < scenes + ARRAY_SIZE(scenes); s++) {
		char *want = scene_want(s, &events);

		for (k = 1; k <= events; k++) {
			struct rig *r = scene_new(s);
			struct apply_report report;
			char *before = rig_snapshot(r);

			run_until(r, s->want, k);
			assert_int_equal(apply(r, s->want, 0, NULL, NULL), 0);
			expect_same(want, r);
			assert_int_equal(apply(r, s->want, 0, &report, NULL), 0);
			assert_int_equal(report.writes, 0);
			assert_false(journal_is_there(r, "under-way"));
			assert_int_equal(restore(r, NULL, NULL), 0);
			expect_same(before, r);
			free(before);
			rig_free(r);
		}
		free(want);
	}
}

/* Killed after every write, what the file no longer names is put right, and restore alone does too. */
static void test_killed_restored(void **state)
{
	const struct scene *s;
	unsigned long k, events;

	(void)state;
	for (s = scenes + 3; s < scenes + ARRAY_SIZE(scenes); s += 4) {
		free(scene_want(s, &events));
		for (k = 1; k <= events; k++) {
			struct rig *r = scene_new(s);
			char *before = rig_snapshot(r);

			run_until(r, s->want, k);
			assert_int_equal(restore(r, NULL, NULL), 0);
			expect_same(before, r);
			free(before);
			rig_free(r);
		}
	}
}

/* A file that names the function only gives it back what an apply that was cut off took. */
static void test_killed_left_open(void **state)
{
	unsigned long k, events;

	(void)state;
	free(scene_want(&scenes[2], &events));
	for (k = 1; k <= events; k++) {
		struct rig *r = scene_new(&scenes[2]);
		char *before = rig_snapshot(r);

		run_until(r, mixed, k);
		if (journal_is_there(r, "under-way")) {
			assert_int_equal(apply(r, HEAD DISK, 0, NULL, NULL), 0);
			expect_same(before, r);
		}
		free(before);
		rig_free(r);
	}
}

/* Restore killed after every write, and run again. */
static void test_restore_killed(void **state)
{
	const struct scene *s = &scenes[3];
	unsigned long k, events;

	(void)state;
	for (k = 1, events = 1; k <= events; k++) {
		struct rig *r = scene_new(s);
		char *before = rig_snapshot(r);

		assert_int_equal(apply(r, s->want, 0, NULL, NULL), 0);
		if (k == 1) {
			struct rig *count = scene_new(s);

			assert_int_equal(apply(count, s->want, 0, NULL, NULL), 0);
			count->f->seen = 0;
			assert_int_equal(restore(count, NULL, NULL), 0);
			events = count->f->seen;
			rig_free(count);
		}
		run_until(r, NULL, k);
		assert_int_equal(restore(r, NULL, NULL), 0);
		expect_same(before, r);
		free(before);
		rig_free(r);
	}
	assert_true(events > 10);
}

/* --- refusals ---------------------------------------------------------------------------------- */

static void expect_refused(struct rig *r, const char *text, int code, const char *says)
{
	struct err err = { .code = 0 };
	char *before = rig_snapshot(r);
	unsigned long seen = r->f->seen;

	assert_int_equal(apply(r, text, 0, NULL, &err), code);
	if (!strstr(err.msg, says))
		print_message("%s\n", err.msg);
	assert_non_null(strstr(err.msg, says));
	assert_null(strchr(err.msg, '\n'));
	expect_same(before, r);
	assert_int_equal(r->f->seen, seen);
	free(before);
}

static void test_in_use(void **state)
{
	struct rig *r = rig_new();

	(void)state;
	assert_int_equal(apply(r, mixed, 0, NULL, NULL), 0);
	fake_process(r->f, 815, "viaduct", "vfio/20");
	expect_refused(r, all_vfio, -EBUSY, "0000:01:10.0: group 20 is open in viaduct (pid 815)");
	expect_refused(r, HEAD "  vf:\n    0: {driver: igbvf}\n", -EBUSY, "--force=vfio");
	/* Another VF may be changed, and settings that are changed live. */
	assert_int_equal(apply(r, HEAD "  vf:\n    1: {driver: igbvf}\n    0: {vlan: 9}\n", 0, NULL,
			       NULL), 0);
	assert_int_equal(r->card->vfs[0].value[VF_ATTR_VLAN], 9);
	assert_int_equal(apply(r, all_vfio, USE_VFIO, NULL, NULL), 0);
	rig_free(r);
}

static void test_in_the_way(void **state)
{
	struct rig *r = rig_new();

	(void)state;
	expect_refused(r, HEAD "  vfs: 8\n", -EPERM, "8 VFs asked for, it can have 7; more of them");
	expect_refused(r, HEAD "  mode: switchdev\n", -EPERM, "no eswitch mode");
	expect_refused(r, HEAD "  vfs: 2\n  vf-defaults: {driver: nope}\n", -EPERM,
		       "driver nope is not loaded; run: modprobe nope");
	expect_refused(r, HEAD "  driver: nope\n", -EPERM, "modprobe nope");
	expect_refused(r, HEAD "  vf:\n    0: {vlan: 1}\n", -EINVAL,
		       "file:6: VF 0: " IGB " has 0 VFs now");
	expect_refused(r, "version: 1\ndevices:\n- match: {address: \"0000:06:01.0\"}\n  vfs: 1\n",
		       -EPERM, "no SR-IOV");
	assert_int_equal(apply(r, all_vfio, 0, NULL, NULL), 0);
	expect_refused(r, HEAD "  vf:\n    0: {node-guid: \"02:1c:b0:00:00:12:34:56\"}\n", -EPERM,
		       "igb has no setting node-guid");
	rig_free(r);
}

static bool always(void *opaque)
{
	(void)opaque;
	return true;
}

static void test_interrupted(void **state)
{
	struct rig *r = rig_new();
	struct err err = { .code = 0 };
	char *before = rig_snapshot(r);

	(void)state;
	r->f->host.stop = always;
	assert_int_equal(apply(r, mixed, 0, NULL, &err), -EINTR);
	assert_string_equal(err.msg, "interrupted; all was put back");
	expect_same(before, r);
	free(before);
	rig_free(r);
}

/* --- files ------------------------------------------------------------------------------------- */

/* F49: what the journal says may be anything. */
static void test_journal_broken(void **state)
{
	static const struct {
		const char *text, *says;
	} broken[] = {
		{ "", "nothing is in it" },
		{ "version: 2\ndevices:\n", "it is of version 2; this vfctl reads version 1" },
		{ "version: 1\ndevices:\n- match: {address: \"0000:01", "this is no YAML" },
		{ "version: 1\nboot: unknown\ndevices:\n- match: {address: \"" IGB "\"}\n",
		  "driver or override" },
		{ "version: 1\nwhat: 1\n", "there is no \"what\" here" },
		{ "\x7f" "ELF\x02\x01", "this is no" },
	};
	struct rig *r = rig_new();
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(broken); i++) {
		fake_text(r->f, "var/lib/vfctl/apply/original", broken[i].text);
		expect_refused(r, all_vfio, -EINVAL, broken[i].says);
		expect_refused(r, all_vfio, -EINVAL, "move it away");
		err_clear(&err);
		assert_int_equal(restore(r, NULL, &err), -EINVAL);
		fake_remove(r->f, "var/lib/vfctl/apply/original");
		fake_text(r->f, "var/lib/vfctl/apply/under-way", broken[i].text);
		expect_refused(r, all_vfio, -EINVAL, broken[i].says);
		fake_remove(r->f, "var/lib/vfctl/apply/under-way");
	}
	assert_int_equal(apply(r, all_vfio, 0, NULL, NULL), 0);
	/* Deleted: nothing to go back to, and no damage. */
	fake_remove(r->f, "var/lib/vfctl");
	assert_int_equal(restore(r, NULL, NULL), 0);
	expect_vf(r, 6, "vfio-pci", "vfio-pci");
	assert_int_equal(apply(r, all_vfio, 0, NULL, NULL), 0);
	rig_free(r);
}

/* An apply of the boot before says nothing of this one. */
static void test_other_boot(void **state)
{
	struct rig *r = rig_new();
	struct apply_report report;

	(void)state;
	fake_text(r->f, "proc/sys/kernel/random/boot_id", "first\n");
	run_until(r, all_vfio, 6);
	assert_true(journal_is_there(r, "under-way"));
	fake_text(r->f, "proc/sys/kernel/random/boot_id", "second\n");
	assert_int_equal(apply(r, HEAD, 0, &report, NULL), 0);
	assert_false(journal_is_there(r, "under-way"));
	rig_free(r);
}

/* F49: many times over, with others who destroy what was made. */
static void test_again_and_again(void **state)
{
	struct pci_addr pf = fake_at(IGB);
	struct rig *r = rig_new();
	char *before = rig_snapshot(r), *want;
	unsigned int i;

	(void)state;
	assert_int_equal(apply(r, mixed, 0, NULL, NULL), 0);
	want = rig_snapshot(r);
	for (i = 0; i < 30; i++) {
		assert_int_equal(vf_destroy(&r->f->host, &pf, 0, NULL, NULL), 0);
		if (i % 3 == 1)
			assert_int_equal(vf_create(&r->f->host, &pf, 2, NULL, 0, NULL, NULL), 0);
		assert_int_equal(apply(r, mixed, 0, NULL, NULL), 0);
		expect_same(want, r);
	}
	assert_int_equal(restore(r, NULL, NULL), 0);
	expect_same(before, r);
	free(before);
	free(want);
	rig_free(r);
}

/* A full disk, and a card that is gone or another when restore comes. */
static void test_full_and_gone(void **state)
{
	struct rig *r = rig_new();
	struct err err = { .code = 0 };
	struct apply_report report;
	char *before = rig_snapshot(r);

	(void)state;
	fake_fail(r->f, 1, -ENOSPC);
	assert_int_equal(apply(r, mixed, 0, NULL, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "/apply/original: No space left on device"));
	expect_same(before, r);
	assert_int_equal(apply(r, mixed, 0, NULL, NULL), 0);
	fake_text(r->f, SYS NVME "/device", "0x0011\n");
	assert_int_equal(restore(r, &report, NULL), 0);
	assert_int_equal(report.skipped, 1);
	assert_string_equal(report.note, NVME " is another card now, and was left alone");
	free(before);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new_vfs),
		cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_rollback),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_killed_restored),
		cmocka_unit_test(test_killed_left_open),
		cmocka_unit_test(test_restore_killed),
		cmocka_unit_test(test_in_use),
		cmocka_unit_test(test_in_the_way),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_journal_broken),
		cmocka_unit_test(test_other_boot),
		cmocka_unit_test(test_again_and_again),
		cmocka_unit_test(test_full_and_gone),
	};

	/* Thousands of hosts and journals: on a disk, each fsync(2) of them would be waited for. */
	if (!access("/dev/shm", W_OK))
		setenv("TMPDIR", "/dev/shm", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
