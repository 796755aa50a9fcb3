// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "bind.h"
#include "func.h"
#include "lock.h"
#include "node_owner.h"
#include "use.h"
#include "vf_rules.h"
#include "vf_wait.h"

#define DEV "bus/pci/devices/%s/"

/* One change of one PF. */
struct txn {
	struct host *host;
	struct pci_addr pf;
	char a[PCI_ADDR_STRLEN];
	const char *driver;	    /* NULL: the kernel's choice */
	unsigned int force;
	long before, want;	    /* VF counts */
	int autoprobe;		    /* before any vfctl; -1: the kernel has no such attribute */
	struct bind_state *saved;   /* of the VFs there were */
	struct func_lock lock;
	unsigned int bound;
};

static long read_count(const struct txn *t)
{
	long count = 0;

	if (host_read_long(t->host, &count, DEV "sriov_numvfs", t->a) || count < 0)
		return 0;
	return MIN(count, VF_COUNT_MAX);
}

static int read_autoprobe(const struct txn *t)
{
	long v;

	if (host_read_long(t->host, &v, DEV "sriov_drivers_autoprobe", t->a))
		return -1;
	return v != 0;
}

/* What an errno of the write to sriov_numvfs means, by drivers/pci/iov.c and the PF drivers. */
static const struct {
	int code;
	const char *why;
} numvfs_errors[] = {
	{ -ERANGE, "the card has fewer VFs" },
	{ -EBUSY, "the number was changed meanwhile; the kernel goes to another number by way of 0 "
		  "only; run it again" },
	{ -ENOENT, "the PF's driver makes no VFs, or none is bound; bind the PF to its own driver "
		   "(vfctl bind PF default)" },
	{ -ENOMEM, "there is no room for the VFs' memory or bus numbers: enable SR-IOV and \"above "
		   "4G decoding\" in the firmware, or start the kernel with pci=realloc" },
	{ -ENOSPC, "the card has no interrupt vectors or queues left for that many; ask for "
		   "fewer" },
	{ -ENODEV, "the card is gone or asleep, or SR-IOV is off in its own firmware; see: dmesg" },
	{ -EACCES, "writing needs root and a writable sysfs; run it with sudo, outside a "
		   "container" },
	{ -EPERM, "the driver refuses, mostly because VFs are assigned to guests, or the kernel is "
		  "locked down; see: dmesg" },
	{ -EROFS, "sysfs is mounted read-only; run it outside the container" },
	{ -EINVAL, "the PF's driver does not accept this number; see: dmesg" },
	{ -EAGAIN, "the PF's driver is not ready; bring its interface up and run it again" },
	{ -ETIMEDOUT, "the card did not answer its driver; see: dmesg" },
	{ -EINTR, "interrupted" },
};

static int numvfs_error(const struct txn *t, long count, int code, struct err *err)
{
	const char *name = strerrorname_np(-code);
	const char *why = "see: dmesg";
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numvfs_errors); i++) {
		if (numvfs_errors[i].code == code)
			why = numvfs_errors[i].why;
	}
	return err_set(err, code, "%s: cannot set the number of VFs to %ld: the kernel answered %s "
		       "(%s); %s", t->a, count, name ? name : "?", strerror(-code), why);
}

static int write_count(const struct txn *t, long count, struct err *err)
{
	char text[24];
	long now;
	int ret;

	snprintf(text, sizeof(text), "%ld", count);
	ret = host_write(t->host, text, DEV "sriov_numvfs", t->a);
	if (ret)
		return numvfs_error(t, count, ret, err);
	now = read_count(t);
	if (now == count)
		return 0;
	return err_set(err, -EIO, "%s: asked for %ld VFs, but its driver made %ld; ask for fewer, "
		       "or see: dmesg", t->a, count, now);
}

static int write_autoprobe(struct txn *t, int value, struct err *err)
{
	int ret;

	if (t->autoprobe < 0 || read_autoprobe(t) == value)
		return 0;
	ret = value ? 0 : func_lock_note(&t->lock, t->autoprobe);
	if (ret)
		return err_sys(err, ret, "%s: cannot note its state", t->a);
	ret = host_write(t->host, value ? "1" : "0", DEV "sriov_drivers_autoprobe", t->a);
	return ret ? err_sys(err, ret, "%s: cannot write sriov_drivers_autoprobe", t->a) : 0;
}

static bool vf_is_there(const struct txn *t, unsigned int index)
{
	struct pci_addr vf;

	return !func_vf_addr(t->host, &t->pf, index, &vf) && func_exists(t->host, &vf);
}

static int stopped(const struct txn *t, struct err *err)
{
	if (!host_stopped(t->host))
		return 0;
	return err_set(err, -EINTR, "%s: interrupted, all put back", t->a);
}

/* Waits for VF @index until @end, and for no announcement longer than a look costs little. */
static int wait_vf(const struct txn *t, struct vf_wait *wait, unsigned int index, long count,
		   uint64_t end, bool heed, struct err *err)
{
	int ret;

	while (!vf_is_there(t, index)) {
		ret = heed ? stopped(t, err) : 0;
		if (ret)
			return ret;
		if (host_now_ms() >= end)
			return err_set(err, -ETIMEDOUT, "%s: VF %u of %ld did not appear within %u s; "
				       "see: dmesg", t->a, index, count, t->host->wait_ms / 1000);
		vf_wait_next(wait, 50);
	}
	return 0;
}

/* Some drivers make their VFs after the write has returned. @heed: give up when told to stop. */
static int wait_vfs(const struct txn *t, long count, bool heed, struct err *err)
{
	uint64_t end = host_now_ms() + t->host->wait_ms;
	struct vf_wait *wait = NULL;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < (unsigned int)count && !ret; i++) {
		if (vf_is_there(t, i))
			continue;
		/* Listening before the next look, so that nothing is announced in between. */
		wait = wait ? wait : vf_wait_new();
		ret = wait_vf(t, wait, i, count, end, heed, err);
	}
	vf_wait_free(wait);
	return ret;
}

static int change_count(struct txn *t, struct err *err)
{
	int ret = 0;

	if (t->before == t->want)
		return 0;
	if (t->driver)
		ret = write_autoprobe(t, 0, err);
	if (!ret && t->before)
		ret = write_count(t, 0, err);
	if (!ret && t->want)
		ret = stopped(t, err);
	if (!ret && t->want)
		ret = write_count(t, t->want, err);
	return ret ? ret : wait_vfs(t, t->want, true, err);
}

static int bind_vfs(struct txn *t, struct err *err)
{
	struct bind_report report;
	struct pci_addr vf;
	unsigned int i;
	int ret;

	for (i = 0; i < (unsigned int)t->want; i++) {
		ret = stopped(t, err);
		if (ret)
			return ret;
		if (func_vf_addr(t->host, &t->pf, i, &vf))
			return err_set(err, -ENODEV, "%s: its VF %u vanished", t->a, i);
		memset(&report, 0, sizeof(report));
		ret = t->driver ? func_bind_locked(t->host, &vf, t->driver, &report, err) : 0;
		if (ret)
			return ret;
		t->bound += report.writes != 0;
		if (t->host->progress)
			t->host->progress(t->host->report_opaque, i + 1, (unsigned int)t->want);
	}
	return 0;
}

/* All VFs' nodes to the host's owner, when there is one. */
static int own_vfs(struct txn *t, struct err *err)
{
	CLEANUP_FREE struct pci_addr *vfs = NULL;
	long i;

	if (!t->host->owner || !t->want)
		return 0;
	vfs = calloc((size_t)t->want, sizeof(*vfs));
	if (!vfs)
		return err_sys(err, -ENOMEM, "%s", t->a);
	for (i = 0; i < t->want; i++) {
		if (func_vf_addr(t->host, &t->pf, (unsigned int)i, &vfs[i]))
			return err_set(err, -ENODEV, "%s: its VF %ld vanished", t->a, i);
	}
	return node_owner_give(t->host, vfs, (size_t)t->want, err);
}

/* Keeps the first failure of an undo that goes on. */
static int first_of(int first, int ret)
{
	return first ? first : ret;
}

/* Back to the VFs, drivers and settings of before. Every step is tried, whatever fails. */
static int undo(struct txn *t, struct err *err)
{
	struct pci_addr vf;
	bool anew = read_count(t) != t->before;
	int ret = 0;
	long i;

	/* The count alone may hide that these are not the VFs of before. */
	for (i = 0; i < t->before && !anew; i++)
		anew = func_vf_addr(t->host, &t->pf, (unsigned int)i, &vf) != 0 ||
		       !func_exists(t->host, &vf);
	if (anew && read_count(t))
		ret = write_count(t, 0, err);
	if (anew && t->before) {
		ret = first_of(ret, write_autoprobe(t, 0, err));
		ret = first_of(ret, write_count(t, t->before, err));
		ret = first_of(ret, wait_vfs(t, t->before, false, err));
	}
	for (i = t->before; i-- > 0;)
		ret = first_of(ret, bind_state_restore(t->host, &t->saved[i], err));
	return first_of(ret, write_autoprobe(t, t->autoprobe, err));
}

static int save_vfs(struct txn *t, struct err *err)
{
	struct pci_addr vf;
	long i;
	int ret;

	if (!t->before)
		return 0;
	t->saved = calloc((size_t)t->before, sizeof(*t->saved));
	if (!t->saved)
		return err_sys(err, -ENOMEM, "%s", t->a);
	for (i = 0; i < t->before; i++) {
		if (func_vf_addr(t->host, &t->pf, (unsigned int)i, &vf))
			return err_set(err, -ENODEV, "%s: its VF %ld is missing; run: vfctl "
				       "destroy %s", t->a, i, t->a);
		ret = bind_state_read(t->host, &vf, &t->saved[i], err);
		if (ret)
			return ret;
	}
	return 0;
}

/* Nothing that is in use may vanish or change its driver. */
static int check_use(struct txn *t, struct err *err)
{
	struct use_scan *scan;
	int ret = 0;
	long i;

	if (!t->before)
		return 0;
	scan = use_scan_new(t->host);
	if (!scan)
		return err_sys(err, -ENOMEM, "%s", t->a);
	if (t->before != t->want)
		ret = use_check_vfs(t->host, scan, &t->pf, t->force, NULL, err);
	for (i = 0; i < t->before && t->before == t->want && t->driver && !ret; i++) {
		if (bind_changes(&t->saved[i], t->driver) || t->host->owner)
			ret = use_check(t->host, scan, &t->saved[i].addr, t->force, NULL, err);
	}
	use_scan_free(scan);
	if (ret == -EBUSY && t->want && t->before != t->want)
		err_append(err, "; another number of VFs means to remove all %ld first", t->before);
	return ret;
}

static int check_pf(const struct host *host, const struct pci_addr *addr, long want,
		    struct err *err)
{
	char a[PCI_ADDR_STRLEN], p[PCI_ADDR_STRLEN];
	struct pci_addr pf;
	long total;
	int ret;

	pci_addr_str(addr, a);
	if (!func_exists(host, addr))
		return err_set(err, -ENODEV, "%s: no such function", a);
	if (!func_pf_addr(host, addr, &pf))
		return err_set(err, -ENOTSUP, "%s is itself a VF; name its PF %s", a,
			       pci_addr_str(&pf, p));
	ret = host_read_long(host, &total, DEV "sriov_totalvfs", a);
	if (ret)
		return err_set(err, -ENOTSUP, "%s has no SR-IOV capability, or it is off in the "
			       "firmware: it can have no VFs", a);
	if (want > total)
		return err_set(err, -ERANGE, "%s: %ld VFs asked for, it can have %ld at most", a,
			       want, total);
	return 0;
}

static int run(struct txn *t, struct err *err)
{
	struct err why = { .code = 0 };
	int ret;

	ret = t->want && t->want != t->before ? vf_rules_check(t->host, &t->pf, err) : 0;
	if (!ret)
		ret = check_use(t, err);
	if (ret)
		return ret;
	/* After a vfctl that was killed, the kernel's choice is what was set before that one. */
	ret = t->driver ? 0 : write_autoprobe(t, t->autoprobe, err);
	if (!ret)
		ret = change_count(t, err);
	if (!ret && t->want)
		ret = bind_vfs(t, err);
	if (!ret)
		ret = write_autoprobe(t, t->autoprobe, err);
	if (!ret)
		ret = own_vfs(t, err);
	if (ret && undo(t, &why))
		err_append(err, "; and not all could be put back: %s", why.msg);
	return ret;
}

static int change(struct host *host, const struct pci_addr *pf, long want, const char *driver,
		  unsigned int force, struct vf_report *report, struct err *err)
{
	struct txn t = { .host = host, .pf = *pf, .driver = driver, .force = force, .want = want };
	unsigned long writes = host->writes;
	int ret;

	pci_addr_str(pf, t.a);
	ret = check_pf(host, pf, want, err);
	if (!ret)
		ret = func_lock(host, pf, &t.lock, err);
	if (ret)
		return ret;
	t.before = read_count(&t);
	t.autoprobe = read_autoprobe(&t);
	if (t.autoprobe >= 0 && t.lock.autoprobe >= 0)
		t.autoprobe = t.lock.autoprobe;
	ret = save_vfs(&t, err);
	if (ret && !want)
		ret = 0; /* what cannot be brought back can still be removed */
	if (!ret)
		ret = run(&t, err);
	if (report) {
		report->pf = *pf;
		report->before = (unsigned int)t.before;
		report->after = (unsigned int)read_count(&t);
		report->bound = t.bound;
		report->writes = host->writes - writes;
	}
	if (read_autoprobe(&t) == t.autoprobe)
		t.lock.autoprobe = -1;
	free(t.saved);
	func_unlock(&t.lock);
	return ret;
}

int vf_create(struct host *host, const struct pci_addr *pf, unsigned int count,
	      const char *driver, unsigned int force, struct vf_report *ret_report, struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	int ret;

	if (!count)
		return err_set(err, -EINVAL, "0 VFs: that is: vfctl destroy %s",
			       pci_addr_str(pf, a));
	if (driver && !strcmp(driver, BIND_DEFAULT))
		driver = NULL;
	ret = driver ? bind_driver_check(host, driver, err) : 0;
	return ret ? ret : change(host, pf, count, driver, force, ret_report, err);
}

int vf_destroy(struct host *host, const struct pci_addr *pf, unsigned int force,
	       struct vf_report *ret_report, struct err *err)
{
	return change(host, pf, 0, NULL, force, ret_report, err);
}

int vf_wait_all(struct host *host, const struct pci_addr *pf, unsigned int count, struct err *err)
{
	struct txn t = { .host = host, .pf = *pf };

	pci_addr_str(pf, t.a);
	return wait_vfs(&t, count, true, err);
}

int vf_count_write(struct host *host, const struct pci_addr *pf, unsigned int count,
		   struct err *err)
{
	struct txn t = { .host = host, .pf = *pf };
	int ret;

	pci_addr_str(pf, t.a);
	ret = write_count(&t, count, err);
	return ret ? ret : wait_vfs(&t, count, true, err);
}

int vf_autoprobe_write(struct host *host, const struct pci_addr *pf, struct func_lock *lock,
		       int before, int value, struct err *err)
{
	struct txn t = { .host = host, .pf = *pf, .autoprobe = before, .lock = *lock };
	int ret;

	pci_addr_str(pf, t.a);
	ret = write_autoprobe(&t, value, err);
	*lock = t.lock;
	return ret;
}
