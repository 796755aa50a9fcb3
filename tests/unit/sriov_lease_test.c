// SPDX-License-Identifier: GPL-2.0-or-later
/* Leases taken and given back, on a host whose kernel fails, whose programs are killed and whose
 * owners die. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
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
#include "fake_sysfs.h"
#include "sriov/func.h"
#include "sriov/lease.h"
#include "sriov/pool.h"
#include "sriov/quarantine.h"
#include "sriov/use.h"
#include "sriov/vf.h"

#define VFS 7
#define KILLED 77

/* What the PF's driver knows of its VFs; shared with the processes that a test forks. */
struct card {
	uint64_t mac[VFS], trust[VFS];
	atomic_int holders[VFS];
	atomic_uint taken, twice, empty;
};

/* The test's host. @kill_at: the process ends after so many writes. */
static struct {
	struct fake *f;
	struct card *card;
	struct pci_addr pf, vfs[VFS];
	unsigned long kill_at, written;
	int busy; /* what the caller says of every function */
	char note[256];
} t;

static void count_write(void)
{
	if (++t.written == t.kill_at)
		_exit(KILLED);
}

static void trace(void *opaque, const char *path, const char *text, int result)
{
	(void)opaque;
	(void)path;
	(void)text;
	(void)result;
	count_write();
}

static int net_get(struct host *host, const char *ifname, unsigned int vf, struct vf_attrs *ret)
{
	(void)host;
	assert_string_equal(ifname, "eth0");
	assert_true(vf < VFS);
	ret->has |= BIT(VF_ATTR_MAC) | BIT(VF_ATTR_TRUST);
	ret->value[VF_ATTR_MAC] = t.card->mac[vf];
	ret->value[VF_ATTR_TRUST] = t.card->trust[vf];
	return 0;
}

static int net_set(struct host *host, const char *ifname, unsigned int vf,
		   const struct vf_attrs *want, uint32_t which)
{
	(void)host;
	assert_string_equal(ifname, "eth0");
	if (++t.f->seen == t.f->fail_at)
		return t.f->fail_code;
	if (which & BIT(VF_ATTR_MAC))
		t.card->mac[vf] = want->value[VF_ATTR_MAC];
	if (which & BIT(VF_ATTR_TRUST))
		t.card->trust[vf] = want->value[VF_ATTR_TRUST];
	count_write();
	return 0;
}

static const struct vf_ops vf_ops = { .net_get = net_get, .net_set = net_set };

static int idle(void *opaque, const struct host *host, const struct pci_addr *addr,
		struct err *err)
{
	(void)opaque;
	(void)host;
	(void)addr;
	return t.busy ? err_set(err, -EBUSY, "a guest has it") : 0;
}

static void note(void *opaque, const char *text)
{
	(void)opaque;
	snprintf(t.note, sizeof(t.note), "%s", text);
}

static const struct lease_by by = { .idle = idle, .note = note };

static void vf_file(unsigned int vf, const char *name, const char *text)
{
	char path[128], a[PCI_ADDR_STRLEN];

	snprintf(path, sizeof(path), "sys/devices/pci0000:00/%s/%s",
		 pci_addr_str(&t.vfs[vf], a), name);
	if (text)
		fake_text(t.f, path, text);
	else
		fake_remove(t.f, path);
}

static int setup(void **state)
{
	unsigned int i;

	memset(&t, 0, sizeof(t));
	fake_lab_setup(state);
	t.f = *state;
	t.card = mmap(NULL, sizeof(*t.card), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	assert_true(t.card != MAP_FAILED);
	t.pf = fake_at("0000:01:00.0");
	assert_int_equal(vf_create(&t.f->host, &t.pf, VFS, "vfio-pci", 0, NULL, NULL), 0);
	for (i = 0; i < VFS; i++) {
		assert_int_equal(func_vf_addr(&t.f->host, &t.pf, i, &t.vfs[i]), 0);
		vf_file(i, "reset", "");
	}
	assert_int_equal(pool_write(&t.f->host, "tenants", t.vfs, VFS, NULL), 0);
	/* The processes are real ones. */
	snprintf(t.f->host.proc_root, sizeof(t.f->host.proc_root), "/proc");
	t.f->host.vf_ops = &vf_ops;
	t.f->host.lock_ms = 60000;
	t.f->host.trace = trace;
	return 0;
}

static int teardown(void **state)
{
	munmap(t.card, sizeof(*t.card));
	return fake_teardown(state);
}

static int acquire(unsigned int vf, const char *owner, pid_t pid, struct err *err)
{
	struct lease l;

	memset(err, 0, sizeof(*err));
	return lease_acquire(&t.f->host, &t.vfs[vf], owner, pid, &by, &l, err);
}

static int release(unsigned int vf, const char *owner, struct err *err)
{
	memset(err, 0, sizeof(*err));
	return lease_release(&t.f->host, &t.vfs[vf], owner, false, &by, err);
}

static int state_of(unsigned int vf)
{
	struct lease l;
	int ret = lease_find(&t.f->host, &t.vfs[vf], &l);

	return ret ? ret * 100 + (int)l.state : *l.id ? 1 : 0;
}

#define FREE 0	/* no record */
#define LEFT 1	/* a record that nobody has any more */
#define HELD (100 + (int)LEASE_HELD)
#define UNKNOWN (100 + (int)LEASE_UNKNOWN)

/* An owner does as it likes. */
static void use(unsigned int vf)
{
	t.card->mac[vf] = 0x525400000099;
	t.card->trust[vf] = 1;
	assert_int_equal(func_bind(&t.f->host, &t.vfs[vf], 1, "igbvf", USE_LEASE, NULL, NULL), 0);
}

static bool is_as_it_was(unsigned int vf)
{
	char driver[HOST_NAME_MAX];

	func_driver(&t.f->host, &t.vfs[vf], driver);
	return !t.card->mac[vf] && !t.card->trust[vf] && !strcmp(driver, "vfio-pci");
}

static void test_life(void **state)
{
	struct err err = { 0 };
	struct lease *all;
	size_t n;

	(void)state;
	assert_int_equal(release(0, NULL, &err), -ENOENT);
	assert_int_equal(acquire(0, "db", 0, &err), 0);
	assert_int_equal(state_of(0), HELD);
	assert_int_equal(acquire(0, "web", 0, &err), -EBUSY);
	assert_non_null(strstr(err.msg, ": leased to db"));
	assert_int_equal(acquire(0, "db", 0, &err), -EBUSY);
	use(0);
	assert_int_equal(release(0, "web", &err), -EPERM);
	assert_non_null(strstr(err.msg, ": leased to db, not to web"));
	assert_int_equal(state_of(0), HELD);

	t.busy = 1;
	assert_int_equal(release(0, "db", &err), -EBUSY);
	assert_string_equal(err.msg, "a guest has it");
	assert_int_equal(state_of(0), HELD);
	assert_false(is_as_it_was(0));
	assert_int_equal(acquire(1, "web", 0, &err), -EBUSY);
	assert_int_equal(state_of(1), FREE);
	t.busy = 0;

	assert_int_equal(lease_list(&t.f->host, &all, &n, &err), 0);
	assert_int_equal(n, 1);
	assert_string_equal(all[0].owner, "db");
	assert_int_equal(all[0].attrs.has, BIT(VF_ATTR_MAC) | BIT(VF_ATTR_TRUST));
	free(all);
	assert_int_equal(t.f->resets, 0);
	assert_int_equal(release(0, "db", &err), 0);
	assert_int_equal(t.f->resets, 1);
	assert_int_equal(state_of(0), FREE);
	assert_true(is_as_it_was(0));
	assert_int_equal(lease_list(&t.f->host, &all, &n, &err), 0);
	assert_int_equal(n, 0);
	assert_int_equal(release(0, "db", &err), -ENOENT);
	/* A clean one is not reset again. */
	assert_int_equal(acquire(0, "web", 0, &err), 0);
	assert_int_equal(t.f->resets, 1);
	assert_int_equal(acquire(1, "a b", 0, &err), -EINVAL);
	assert_int_equal(acquire(1, "", 0, &err), -EINVAL);
	assert_int_equal(acquire(1, "x", 0x3fffffff, &err), -ESRCH);
	assert_string_equal(err.msg, "there is no process 1073741823 to hold a lease");
}

/* A child that acquires for itself and ends. */
static pid_t die_with(unsigned int vf)
{
	pid_t pid = fork();
	struct err err;
	int status;

	assert_true(pid >= 0);
	if (!pid)
		_exit(acquire(vf, "gone", getpid(), &err) ? 1 : 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return pid;
}

static void test_dead_owner(void **state)
{
	struct err err = { 0 };
	struct lease l;

	(void)state;
	assert_int_equal(acquire(0, "me", getpid(), &err), 0);
	assert_int_equal(acquire(0, "web", 0, &err), -EBUSY);
	die_with(1);
	assert_int_equal(state_of(1), LEFT);
	use(1);
	assert_int_equal(acquire(1, "web", 0, &err), 0);
	assert_true(is_as_it_was(1));
	assert_int_equal(t.f->resets, 1);
	/* Without anybody who asks for it. */
	die_with(2);
	use(2);
	assert_int_equal(lease_sweep(&t.f->host, &t.vfs[0], &by, &err), 0);
	assert_int_equal(lease_sweep(&t.f->host, &t.vfs[1], &by, &err), 0);
	assert_int_equal(lease_sweep(&t.f->host, &t.vfs[3], &by, &err), 0);
	t.busy = 1;
	assert_int_equal(lease_sweep(&t.f->host, &t.vfs[2], &by, &err), -EBUSY);
	assert_int_equal(acquire(2, "web", 0, &err), -EBUSY);
	t.busy = 0;
	assert_int_equal(state_of(2), LEFT);
	assert_int_equal(lease_sweep(&t.f->host, &t.vfs[2], &by, &err), 1);
	assert_int_equal(state_of(2), FREE);
	assert_true(is_as_it_was(2));
	/* Whoever ruled the host meanwhile is heard. */
	die_with(3);
	assert_int_equal(lease_find(&t.f->host, &t.vfs[3], &l), 0);
	l.attrs = (struct vf_attrs){ .has = BIT(VF_ATTR_MAC), .value = { 0x525400000001 } };
	assert_int_equal(lease_amend(&t.f->host, &t.vfs[3], "igbvf", &l.attrs, &err), 0);
	assert_int_equal(lease_amend(&t.f->host, &t.vfs[4], "igbvf", &l.attrs, &err), 0);
	assert_int_equal(state_of(4), FREE);
	assert_int_equal(lease_sweep(&t.f->host, &t.vfs[3], &by, &err), 1);
	assert_true(t.card->mac[3] == 0x525400000001);
	func_driver(&t.f->host, &t.vfs[3], l.owner);
	assert_string_equal(l.owner, "igbvf");
}

static void test_pool(void **state)
{
	struct err err = { 0 };
	struct lease l[VFS + 1];
	unsigned int i, k;

	(void)state;
	assert_int_equal(lease_acquire_pool(&t.f->host, "none", "db", 0, &by, l, &err), -ENODEV);
	/* One that needs no cleaning is taken before the first of the list. */
	die_with(0);
	for (i = 0; i < VFS; i++) {
		assert_int_equal(lease_acquire_pool(&t.f->host, "tenants", "db", 0, &by, &l[i],
						    &err), 0);
		for (k = 0; k < i; k++)
			assert_false(pci_addr_eq(&l[k].addr, &l[i].addr));
		assert_int_equal(t.f->resets, i == VFS - 1);
	}
	assert_true(pci_addr_eq(&l[VFS - 1].addr, &t.vfs[0]));
	assert_int_equal(lease_acquire_pool(&t.f->host, "tenants", "db", 0, &by, &l[VFS], &err),
			 -ENODEV);
	assert_string_equal(err.msg, "no free function in pool tenants (7: 7 leased); see: vfctl "
				     "leases");
	assert_int_equal(release(3, "db", &err), 0);
	assert_int_equal(quarantine_add(&t.f->host, &t.vfs[3], "it is ill", &err), 0);
	assert_int_equal(release(4, "db", &err), 0);
	t.busy = 1;
	assert_int_equal(lease_acquire_pool(&t.f->host, "tenants", "db", 0, &by, &l[VFS], &err),
			 -ENODEV);
	assert_string_equal(err.msg, "no free function in pool tenants (7: 5 leased, 1 in "
				     "quarantine, 1 not to be had, the last because a guest has "
				     "it); see: vfctl leases");
	t.busy = 0;
	assert_int_equal(lease_acquire_pool(&t.f->host, "tenants", "db", 0, &by, &l[VFS], &err),
			 0);
	assert_true(pci_addr_eq(&l[VFS].addr, &t.vfs[4]));
	/* Functions that are gone. */
	assert_int_equal(pool_write(&t.f->host, "old", &(struct pci_addr){ .bus = 0x77 }, 1,
				    &err), 0);
	assert_int_equal(lease_acquire_pool(&t.f->host, "old", "db", 0, &by, &l[VFS], &err),
			 -ENODEV);
	assert_string_equal(err.msg, "no free function in pool old (1: 1 not to be had, the last "
				     "because 0000:77:00.0: no such function)");
}

/* Another function sits at the address, one that fails its reset, one that is dead after it, one
 * whose settings do not come back: none of them is handed out. */
static void test_quarantine(void **state)
{
	static const char dead[64] = "\x86\x80\xca\x10\x07\0\0\0\xff\xff\xff\xff";
	char reason[QUARANTINE_REASON_MAX], path[400], a[PCI_ADDR_STRLEN];
	struct err err = { 0 };
	unsigned int i;
	FILE *file;

	(void)state;
	for (i = 0; i < 4; i++)
		assert_int_equal(acquire(i, "db", 0, &err), 0);
	vf_file(0, "device", "0x1520\n");
	assert_int_equal(release(0, "db", &err), -ENODEV);
	assert_non_null(strstr(err.msg, "another function than the one that was handed out: it is "
					"ids=8086:1520 vf=0 pf=8086:10c9 and was ids=8086:10ca "
					"vf=0 pf=8086:10c9; it is in quarantine until: vfctl "
					"clear "));
	assert_int_equal(t.f->resets, 0);
	t.f->reset_code = -ENOTTY;
	assert_int_equal(release(1, "db", &err), -ENODEV);
	assert_non_null(strstr(err.msg, "its reset failed: "));
	t.f->reset_code = 0;
	snprintf(path, sizeof(path), "%s/sys/devices/pci0000:00/%s/config", t.f->base,
		 pci_addr_str(&t.vfs[2], a));
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(dead, 1, sizeof(dead), file), sizeof(dead));
	fclose(file);
	assert_int_equal(release(2, "db", &err), -ENODEV);
	assert_non_null(strstr(err.msg, "answers nothing but ones"));
	t.card->trust[3] = 1;
	fake_fail(t.f, 3, -EINVAL); /* the mark, the reset, the setting */
	assert_int_equal(release(3, "db", &err), -ENODEV);
	fake_fail(t.f, 0, 0);
	for (i = 0; i < 4; i++) {
		assert_true(quarantine_has(&t.f->host, &t.vfs[i], reason));
		assert_int_equal(state_of(i), LEFT);
		assert_int_equal(acquire(i, "web", 0, &err), -ENODEV);
		assert_non_null(strstr(err.msg, "in quarantine: "));
		assert_int_equal(lease_sweep(&t.f->host, &t.vfs[i], &by, &err), 0);
	}
	/* Cleared, they are cleaned before they are handed out: the first as what it is now. */
	unlink(path);
	for (i = 0; i < 4; i++) {
		t.f->resets = 0;
		assert_int_equal(quarantine_clear(&t.f->host, &t.vfs[i], &err), 0);
		assert_int_equal(acquire(i, "web", 0, &err), 0);
		assert_int_equal(t.f->resets, 1);
		assert_true(is_as_it_was(i));
	}
}

static void test_unknown(void **state)
{
	struct err err = { 0 };
	char path[128], a[PCI_ADDR_STRLEN];

	(void)state;
	snprintf(path, sizeof(path), "var/lib/vfctl/leases/%s", pci_addr_str(&t.vfs[0], a));
	fake_text(t.f, path, "viaduct-lease 2\nend\n");
	assert_int_equal(state_of(0), UNKNOWN);
	assert_int_equal(acquire(0, "db", 0, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "its record cannot be understood (it is of version 2, and "
					"this program knows version 1); when nobody has it any "
					"more, run: vfctl release "));
	assert_int_equal(release(0, NULL, &err), -EBUSY);
	assert_int_equal(release(0, "db", &err), -EPERM);
	assert_int_equal(lease_sweep(&t.f->host, &t.vfs[0], &by, &err), 0);
	assert_int_equal(lease_amend(&t.f->host, &t.vfs[0], "igbvf", NULL, &err), -EBUSY);
	assert_int_equal(state_of(0), UNKNOWN);
	assert_int_equal(lease_release(&t.f->host, &t.vfs[0], NULL, true, &by, &err), 0);
	assert_int_equal(t.f->resets, 1);
	assert_int_equal(state_of(0), FREE);
	/* The record of a function that is gone. */
	assert_int_equal(acquire(0, "db", 0, &err), 0);
	assert_int_equal(vf_destroy(&t.f->host, &t.pf, ~0u, NULL, &err), 0);
	assert_int_equal(state_of(0), HELD);
	assert_int_equal(release(0, "db", &err), 0);
	assert_int_equal(state_of(0), FREE);
}

/* No reset method: said, and its DMA ended. */
static void test_no_reset(void **state)
{
	struct err err = { 0 };
	char path[400], a[PCI_ADDR_STRLEN];
	uint8_t config[64] = { 0x86, 0x80, 0xca, 0x10, 0x06 };
	unsigned int i;
	FILE *file;

	(void)state;
	for (i = 0; i < 2; i++) {
		vf_file(i, "reset", NULL);
		vf_file(i, "enable", "0\n");
		assert_int_equal(acquire(i, "db", 0, &err), 0);
		snprintf(path, sizeof(path), "%s/sys/devices/pci0000:00/%s/config", t.f->base,
			 pci_addr_str(&t.vfs[i], a));
		file = fopen(path, "w");
		assert_non_null(file);
		assert_int_equal(fwrite(config, 1, sizeof(config), file), sizeof(config));
		fclose(file);
		t.f->enables = 0;
		assert_int_equal(release(i, "db", &err), 0);
		assert_int_equal(t.f->enables, config[4] & 4 ? 2 : 0);
		assert_true(is_as_it_was(i));
		assert_non_null(strstr(t.note, "it has no reset method: its bus mastering is off"));
		config[4] = 0x02;
	}
	/* A PF with VFs is not reset under them. */
	t.vfs[0] = t.pf;
	assert_int_equal(acquire(0, "db", 0, &err), 0);
	assert_int_equal(release(0, "db", &err), -EBUSY);
	assert_non_null(strstr(err.msg, "its 7 VFs would vanish at its reset; run: vfctl destroy "));
	assert_int_equal(state_of(0), LEFT);
}

/* Without a library for settings a function stays dirty for the next who has it. */
static void test_no_settings(void **state)
{
	struct err err = { 0 };

	(void)state;
	assert_int_equal(acquire(0, "db", 0, &err), 0);
	use(0);
	t.f->host.vf_ops = NULL;
	assert_int_equal(release(0, "db", &err), -EAGAIN);
	assert_int_equal(state_of(0), LEFT);
	assert_int_equal(acquire(0, "web", 0, &err), -EAGAIN);
	assert_false(quarantine_has(&t.f->host, &t.vfs[0], NULL));
	t.f->host.vf_ops = &vf_ops;
	assert_int_equal(acquire(0, "web", 0, &err), 0);
	assert_true(is_as_it_was(0));
	if (geteuid() == 0) {
		assert_int_equal(seteuid(65534), 0);
		assert_int_equal(acquire(1, "db", 0, &err), -EACCES);
		assert_non_null(strstr(err.msg, "is not this user's to change; run it with sudo, "
						"or let a group"));
		assert_int_equal(seteuid(0), 0);
	}
}

/* What is done with VF 0, which somebody used. */
static int act(int what)
{
	struct err err;

	if (what == 2)
		return release(0, "db", &err);
	return acquire(0, "web", 0, &err);
}

/* Before @what: 0 a clean function, 1 one that a dead owner left, 2 one that db has. */
static void prepare(int what)
{
	struct err err;

	t.kill_at = 0;
	fake_fail(t.f, 0, 0);
	if (quarantine_has(&t.f->host, &t.vfs[0], NULL))
		assert_int_equal(quarantine_clear(&t.f->host, &t.vfs[0], NULL), 0);
	if (state_of(0) != FREE)
		assert_int_equal(release(0, NULL, &err), 0);
	assert_true(is_as_it_was(0));
	if (what == 1)
		die_with(0);
	else if (what == 2)
		assert_int_equal(acquire(0, "db", 0, &err), 0);
	if (what)
		use(0);
}

/* However it went: nobody has it who was not told so, and the next gets it as it was. */
static void check_next(int what, bool done)
{
	struct err err;

	fake_fail(t.f, 0, 0);
	t.kill_at = 0;
	if (quarantine_has(&t.f->host, &t.vfs[0], NULL)) {
		assert_int_equal(acquire(0, "next", 0, &err), -ENODEV);
		assert_int_equal(quarantine_clear(&t.f->host, &t.vfs[0], NULL), 0);
	}
	if (state_of(0) == HELD)
		assert_int_equal(release(0, what == 2 ? "db" : "web", &err), 0);
	else if (done)
		assert_int_equal(what, 2);
	assert_int_equal(acquire(0, "next", 0, &err), 0);
	assert_true(is_as_it_was(0));
}

static void test_each_write_fails(void **state)
{
	unsigned long at;
	bool more;
	int what, ret;

	(void)state;
	for (what = 0; what < 3; what++) {
		for (at = 1, more = true; more; at++) {
			prepare(what);
			fake_fail(t.f, at, -EIO);
			ret = act(what);
			more = t.f->seen >= at;
			assert_true(more ? ret < 0 : !ret);
			check_next(what, !ret);
		}
		assert_true(at > (what ? 8 : 1));
	}
}

static void test_killed(void **state)
{
	unsigned long at;
	int what, status;
	pid_t pid;

	(void)state;
	for (what = 0; what < 3; what++) {
		for (at = 1, status = 0; !at || status != 0x100; at++) {
			prepare(what);
			pid = fork();
			assert_true(pid >= 0);
			if (!pid) {
				t.written = 0;
				t.kill_at = at;
				_exit(act(what) ? 2 : 1);
			}
			assert_int_equal(waitpid(pid, &status, 0), pid);
			assert_true(status == KILLED << 8 || status == 0x100);
			check_next(what, status == 0x100);
		}
		assert_true(at > (what ? 8 : 1));
	}
}

#define RACERS 20
#define ROUNDS 150

static unsigned int index_of(const struct pci_addr *addr)
{
	unsigned int i;

	for (i = 0; i < VFS && !pci_addr_eq(&t.vfs[i], addr); i++)
		;
	assert_true(i < VFS);
	return i;
}

static void race_once(bool dies)
{
	struct err err = { 0 };
	struct lease l;
	unsigned int vf;
	int ret;

	ret = lease_acquire_pool(&t.f->host, "tenants", "racer", getpid(), &by, &l, &err);
	if (ret == -ENODEV) {
		atomic_fetch_add(&t.card->empty, 1);
		return;
	}
	if (ret) {
		fprintf(stderr, "%s\n", err.msg);
		_exit(3);
	}
	vf = index_of(&l.addr);
	atomic_fetch_add(&t.card->taken, 1);
	if (atomic_fetch_add(&t.card->holders[vf], 1) || t.card->mac[vf])
		atomic_fetch_add(&t.card->twice, 1);
	t.card->mac[vf] = (uint64_t)getpid();
	usleep((useconds_t)(getpid() % 7) * 100);
	atomic_fetch_sub(&t.card->holders[vf], 1);
	if (dies)
		_exit(0);
	if (lease_release(&t.f->host, &l.addr, "racer", false, &by, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		_exit(4);
	}
}

static void racer(void)
{
	unsigned int i;
	int status;
	pid_t pid;

	for (i = 0; i < ROUNDS; i++) {
		if (i % 10) {
			race_once(false);
			continue;
		}
		pid = fork();
		if (!pid) {
			race_once(true);
			_exit(0);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			_exit(5);
	}
	_exit(0);
}

/* Twenty at once, some of which die with what they have: never two with one, and none is lost. */
static void test_race(void **state)
{
	struct lease l;
	pid_t pids[RACERS];
	struct err err = { 0 };
	unsigned int i;
	int status;

	(void)state;
	for (i = 0; i < RACERS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (!pids[i])
			racer();
	}
	for (i = 0; i < RACERS; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	printf("%u taken, %u times none was free\n", atomic_load(&t.card->taken),
	       atomic_load(&t.card->empty));
	assert_int_equal(atomic_load(&t.card->twice), 0);
	assert_int_equal(atomic_load(&t.card->taken) + atomic_load(&t.card->empty),
			 RACERS * ROUNDS);
	for (i = 0; i < VFS; i++) {
		assert_false(quarantine_has(&t.f->host, &t.vfs[i], NULL));
		assert_int_equal(lease_acquire_pool(&t.f->host, "tenants", "end", 0, &by, &l,
						    &err), 0);
	}
	for (i = 0; i < VFS; i++)
		assert_true(is_as_it_was(i));
}

#define lease_unit_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		lease_unit_test(test_life),	   lease_unit_test(test_dead_owner),
		lease_unit_test(test_pool),	   lease_unit_test(test_quarantine),
		lease_unit_test(test_unknown),	   lease_unit_test(test_no_reset),
		lease_unit_test(test_no_settings), lease_unit_test(test_each_write_fails),
		lease_unit_test(test_killed),	   lease_unit_test(test_race),
	};

	/* Every record is brought to the disk, thousands of times: memory is a disk too. */
	if (!access("/dev/shm", W_OK))
		setenv("TMPDIR", "/dev/shm", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
