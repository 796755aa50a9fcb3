// SPDX-License-Identifier: GPL-2.0-or-later
#include "lease.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"
#include "lease_priv.h"
#include "pool.h"
#include "quarantine.h"

/* One call of a public function. */
struct job {
	struct host *host;
	const struct lease_by *by;
	struct lease_table table;
	struct lease_process self, process; /* who works, and the owner's */
	const char *owner;
};

static int job_init(struct job *j, struct host *host, const struct lease_by *by, struct err *err)
{
	int ret;

	memset(j, 0, sizeof(*j));
	j->host = host;
	j->by = by;
	ret = lease_table_open(host, &j->table, err);
	if (!ret && lease_process_read(host, getpid(), &j->self))
		ret = err_set(err, -ESRCH, "this program does not find itself in %s; mount proc",
			      host->proc_root);
	return ret;
}

static void job_done(struct job *j)
{
	lease_table_close(&j->table);
}

static int job_owner(struct job *j, const char *owner, pid_t pid, struct err *err)
{
	char shown[48];

	if (!host_name_ok(owner))
		return err_set(err, -EINVAL, "\"%s\" is no owner's name: 1 to %d printable "
			       "characters without a space or slash",
			       host_printable(owner, shown, sizeof(shown)), HOST_NAME_MAX - 1);
	j->owner = owner;
	if (pid && lease_process_read(j->host, pid, &j->process))
		return err_set(err, -ESRCH, "there is no process %d to hold a lease", (int)pid);
	return 0;
}

/* Writes @l with another state and process. */
static int mark(struct job *j, struct lease *l, enum lease_state state,
		const struct lease_process *process, struct err *err)
{
	l->state = state;
	l->process = *process;
	return lease_record_write(&j->table, l, err);
}

static int no_such(const struct pci_addr *addr, struct err *err)
{
	char a[PCI_ADDR_STRLEN];

	return err_set(err, -ENODEV, "%s: no such function", pci_addr_str(addr, a));
}

/* What the function is and has now, as a record of nobody's. */
static int look(struct job *j, const struct pci_addr *addr, struct lease *ret, struct err *err)
{
	struct func_info info;
	int code;

	memset(ret, 0, sizeof(*ret));
	ret->addr = *addr;
	if (lease_id(j->host, addr, ret->id))
		return no_such(addr, err);
	code = bind_state_read(j->host, addr, &ret->bind, err);
	if (!code)
		code = func_read(j->host, addr, &info, err);
	if (!code && j->host->vf_ops && info.is_vf && info.vf_index >= 0)
		code = vf_attrs_read(j->host, &info.pf, (unsigned int)info.vf_index, &ret->attrs,
				     err);
	return code;
}

static bool is_free(const struct host *host, const struct lease *l)
{
	return l->state != LEASE_UNKNOWN &&
	       (l->state == LEASE_DIRTY || !lease_is_alive(host, l));
}

static int held_error(const struct lease *l, struct err *err)
{
	char text[LEASE_TEXT_MAX], a[PCI_ADDR_STRLEN];

	pci_addr_str(&l->addr, a);
	err_set(err, -EBUSY, "%s: %s", a, lease_text(l, text));
	if (l->state == LEASE_UNKNOWN)
		err_append(err, "; when nobody has it any more, run: vfctl release %s "
			   "--force=unknown", a);
	return -EBUSY;
}

static int read_error(const struct pci_addr *addr, int code, struct err *err)
{
	char a[PCI_ADDR_STRLEN];

	return err_sys(err, code, "%s: its lease cannot be read", pci_addr_str(addr, a));
}

/* May it be handed out, as far as a look tells? The record, if there is one, goes to *@l: 1. */
static int may_take(const struct host *host, const struct pci_addr *addr, struct lease *l,
		    struct err *err)
{
	int ret, found = lease_record_read(host, addr, vf_attr_find, l);

	if (found < 0)
		return read_error(addr, found, err);
	if (found && !is_free(host, l))
		return held_error(l, err);
	ret = quarantine_check(host, addr, err);
	return ret ? ret : found;
}

/* The part of acquire under the table's lock. Returns 1 when the function has to be cleaned first:
 * it is this program's to work on; 0: it is the owner's. */
static int take_locked(struct job *j, const struct pci_addr *addr, struct lease *l, struct err *err)
{
	int ret, found = may_take(j->host, addr, l, err);

	if (found < 0)
		return found;
	ret = found ? 0 : look(j, addr, l, err);
	if (ret)
		return ret;
	memset(l->owner, 0, sizeof(l->owner));
	memcpy(l->owner, j->owner, strlen(j->owner));
	if (found)
		ret = mark(j, l, LEASE_WORK, &j->self, err);
	else
		ret = mark(j, l, LEASE_HELD, &j->process, err);
	return ret ? ret : found;
}

static int with_lock(struct job *j, int (*what)(struct job *j, struct lease *l, struct err *err),
		     struct lease *l, struct err *err)
{
	int ret = lease_table_lock(&j->table, err);

	if (ret)
		return ret;
	ret = what(j, l, err);
	lease_table_unlock(&j->table);
	return ret;
}

static int to_held(struct job *j, struct lease *l, struct err *err)
{
	return mark(j, l, LEASE_HELD, &j->process, err);
}

static int to_free(struct job *j, struct lease *l, struct err *err)
{
	return lease_record_remove(&j->table, &l->addr, err);
}

static int to_dirty(struct job *j, struct lease *l, struct err *err)
{
	static const struct lease_process none;

	l->owner[0] = '\0';
	return mark(j, l, LEASE_DIRTY, &none, err);
}

/* The last step of a work. One that fails leaves it dirty; if that fails too, the record still has
 * this program's process, which ends one day. */
static int finish(struct job *j, int (*what)(struct job *j, struct lease *l, struct err *err),
		  struct lease *l, struct err *err)
{
	int ret = with_lock(j, what, l, err);

	if (ret && with_lock(j, to_dirty, l, NULL))
		err_append(err, "; it is free again when this program has ended");
	return ret;
}

/* The function in the place of @l: it goes back to what it is now, for @l is of another one. */
static void forget(struct job *j, struct lease *l)
{
	struct lease now;

	if (look(j, &l->addr, &now, NULL))
		return;
	/* Settings that an unknown owner made are nothing to go back to. */
	memset(&now.attrs, 0, sizeof(now.attrs));
	*l = now;
}

/* A clean-up failed with @err: the function keeps its mark, and when it was tried it is kept from
 * everybody. */
static int scrub_failed(struct job *j, struct lease *l, int code, struct err *err)
{
	char a[PCI_ADDR_STRLEN], id[LEASE_ID_MAX];
	struct err local = { .code = 0 };

	pci_addr_str(&l->addr, a);
	if (code == -ENODEV && !lease_id(j->host, &l->addr, id)) {
		if (!quarantine_add(j->host, &l->addr, err->msg, &local))
			err_append(err, "; it is in quarantine until: vfctl clear %s", a);
		else
			err_append(err, "; and %s", local.msg);
		if (!lease_id_match(id, l->id))
			forget(j, l);
	}
	if (finish(j, to_dirty, l, &local))
		err_append(err, "; and %s", local.msg);
	return code;
}

static int scrub(struct job *j, struct lease *l, struct err *err)
{
	struct err local = { .code = 0 };
	int ret = lease_scrub(j->host, l, j->by, &local);

	if (ret)
		ret = scrub_failed(j, l, ret, &local);
	return ret ? err_set(err, ret, "%s", local.msg) : 0;
}

static int ask(struct job *j, int (*question)(void *, const struct host *, const struct pci_addr *,
					      struct err *),
	       const struct pci_addr *addr, struct err *err)
{
	return question ? question(j->by->opaque, j->host, addr, err) : 0;
}

/* Cleans what was taken by @l for an owner, and hands it over. */
static int clean_and_hold(struct job *j, struct lease *l, struct err *err)
{
	char owner[HOST_NAME_MAX];
	int ret;

	memcpy(owner, l->owner, sizeof(owner));
	ret = scrub(j, l, err);
	if (ret)
		return ret;
	ret = j->by ? ask(j, j->by->fits, &l->addr, err) : 0;
	if (ret) {
		finish(j, to_free, l, NULL);
		return ret;
	}
	memcpy(l->owner, owner, sizeof(owner));
	return finish(j, to_held, l, err);
}

static int acquire_one(struct job *j, const struct pci_addr *addr, struct lease *l,
		       struct err *err)
{
	int ret = may_take(j->host, addr, l, err);
	bool dirty = ret > 0;

	/* Asked without the lock, for it may take long; a dirty one is asked again at its reset. */
	if (ret >= 0 && j->by)
		ret = ask(j, j->by->idle, addr, err);
	if (ret >= 0 && j->by && !dirty)
		ret = ask(j, j->by->fits, addr, err);
	if (ret >= 0)
		ret = lease_table_lock(&j->table, err);
	if (ret < 0)
		return ret;
	ret = take_locked(j, addr, l, err);
	lease_table_unlock(&j->table);
	return ret > 0 ? clean_and_hold(j, l, err) : ret;
}

int lease_acquire(struct host *host, const struct pci_addr *addr, const char *owner, pid_t pid,
		  const struct lease_by *by, struct lease *ret_lease, struct err *err)
{
	struct job j;
	int ret = job_init(&j, host, by, err);

	if (!ret)
		ret = job_owner(&j, owner, pid, err);
	if (!ret)
		ret = acquire_one(&j, addr, ret_lease, err);
	job_done(&j);
	return ret;
}

/* Why no function of a pool was to be had. */
struct pool_tally {
	size_t total, leased, quarantined, other;
	struct err last; /* of the others */
};

static void tally(const struct host *host, struct pool_tally *t, const struct pci_addr *addr,
		  const struct err *why)
{
	struct lease l;

	if (lease_find(host, addr, &l) > 0)
		t->leased++;
	else if (quarantine_has(host, addr, NULL))
		t->quarantined++;
	else {
		t->other++;
		t->last = *why;
	}
}

static int no_function(const char *pool, const struct pool_tally *t, struct err *err)
{
	const char *comma = "";

	err_set(err, -ENODEV, "no free function in pool %s (%zu%s", pool, t->total,
		t->total ? ": " : "");
	if (t->leased) {
		err_append(err, "%zu leased", t->leased);
		comma = ", ";
	}
	if (t->quarantined) {
		err_append(err, "%s%zu in quarantine", comma, t->quarantined);
		comma = ", ";
	}
	if (t->other)
		err_append(err, "%s%zu not to be had, the last because %s", comma, t->other,
			   t->last.msg);
	err_append(err, ")%s", t->leased ? "; see: vfctl leases" : "");
	return -ENODEV;
}

/* Asks for one after the other; those with a record are passed over when @clean. 0, -EINTR, or
 * -ENODEV with the reasons in @t. */
static int try_all(struct job *j, const struct pci_addr *addrs, size_t count, bool clean,
		   struct lease *l, struct pool_tally *t, struct err *err)
{
	struct err why;
	size_t i;

	memset(t, 0, sizeof(*t));
	for (i = 0; i < count; i++) {
		if (clean && lease_record_read(j->host, &addrs[i], NULL, l))
			continue;
		memset(&why, 0, sizeof(why));
		if (!acquire_one(j, &addrs[i], l, &why))
			return 0;
		if (host_stopped(j->host))
			return err_set(err, -EINTR, "interrupted");
		tally(j->host, t, &addrs[i], &why);
	}
	return -ENODEV;
}

static int acquire_any(struct job *j, const char *pool, struct lease *l, struct err *err)
{
	CLEANUP_FREE struct pci_addr *addrs = NULL;
	struct pool_tally t;
	size_t count;
	int ret = pool_read(j->host, pool, &addrs, &count, err);

	if (ret)
		return ret;
	ret = try_all(j, addrs, count, true, l, &t, err);
	if (ret == -ENODEV)
		ret = try_all(j, addrs, count, false, l, &t, err);
	t.total = count;
	return ret == -ENODEV ? no_function(pool, &t, err) : ret;
}

int lease_acquire_pool(struct host *host, const char *pool, const char *owner, pid_t pid,
		       const struct lease_by *by, struct lease *ret_lease, struct err *err)
{
	struct job j;
	int ret = job_init(&j, host, by, err);

	if (!ret)
		ret = job_owner(&j, owner, pid, err);
	if (!ret)
		ret = acquire_any(&j, pool, ret_lease, err);
	job_done(&j);
	return ret;
}

/* One with a record is cleaned before it has to fit. */
static int may_be_had(const struct host *host, const struct pci_addr *addr,
		      const struct lease_by *by, struct err *err)
{
	struct lease l;
	int ret = may_take(host, addr, &l, err);

	if (!ret && !func_exists(host, addr))
		ret = no_such(addr, err);
	if (ret >= 0 && by && by->idle && by->idle(by->opaque, host, addr, err))
		ret = -EBUSY;
	if (!ret && by && by->fits)
		ret = by->fits(by->opaque, host, addr, err);
	return MIN(ret, 0);
}

int lease_peek_pool(const struct host *host, const char *pool, const struct lease_by *by,
		    struct pci_addr *ret_addr, struct err *err)
{
	CLEANUP_FREE struct pci_addr *addrs = NULL;
	struct pool_tally t = { .total = 0 };
	struct err why;
	size_t i, count;
	int ret = pool_read(host, pool, &addrs, &count, err);

	if (ret)
		return ret;
	for (i = 0; i < count; i++) {
		memset(&why, 0, sizeof(why));
		if (!may_be_had(host, &addrs[i], by, &why)) {
			*ret_addr = addrs[i];
			return 0;
		}
		tally(host, &t, &addrs[i], &why);
	}
	t.total = count;
	return no_function(pool, &t, err);
}

/* May the lease in @l end, if its owner is @owner? */
static int may_end(const struct job *j, const struct lease *l, const char *owner, bool unknown,
		   struct err *err)
{
	char text[LEASE_TEXT_MAX], a[PCI_ADDR_STRLEN];

	if (is_free(j->host, l) || (l->state == LEASE_UNKNOWN && unknown))
		return 0;
	if (owner && strcmp(l->owner, owner) != 0)
		return err_set(err, -EPERM, "%s: %s, not to %s", pci_addr_str(&l->addr, a),
			       lease_text(l, text), owner);
	return l->state == LEASE_HELD ? 0 : held_error(l, err);
}

/* The part of release under the table's lock. 1: it is this program's to clean up. */
static int end_locked(struct job *j, const struct pci_addr *addr, const char *owner, bool unknown,
		      struct lease *l, struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	int ret = lease_record_read(j->host, addr, vf_attr_find, l);

	if (ret < 0)
		return read_error(addr, ret, err);
	if (!ret)
		return err_set(err, -ENOENT, "%s: not leased to anybody", pci_addr_str(addr, a));
	ret = may_end(j, l, owner, unknown, err);
	if (ret)
		return ret;
	/* One that is gone needs no cleaning: it comes back as a new one. */
	if (!func_exists(j->host, addr))
		return lease_record_remove(&j->table, addr, err);
	if (l->state == LEASE_UNKNOWN)
		forget(j, l);
	l->owner[0] = '\0';
	ret = mark(j, l, LEASE_WORK, &j->self, err);
	return ret ? ret : 1;
}

static int release(struct job *j, const struct pci_addr *addr, const char *owner, bool unknown,
		   struct err *err)
{
	struct lease l;
	int ret = lease_record_read(j->host, addr, NULL, &l);

	/* Asked first, for then the lease still stands; and again at the reset. */
	if (ret > 0 && j->by && !may_end(j, &l, owner, unknown, NULL))
		ret = ask(j, j->by->idle, addr, err);
	if (ret >= 0)
		ret = lease_table_lock(&j->table, err);
	if (ret < 0)
		return ret;
	ret = end_locked(j, addr, owner, unknown, &l, err);
	lease_table_unlock(&j->table);
	if (ret <= 0)
		return ret;
	ret = scrub(j, &l, err);
	return ret ? ret : finish(j, to_free, &l, err);
}

int lease_release(struct host *host, const struct pci_addr *addr, const char *owner, bool unknown,
		  const struct lease_by *by, struct err *err)
{
	struct job j;
	int ret = job_init(&j, host, by, err);

	if (!ret)
		ret = release(&j, addr, owner, unknown, err);
	job_done(&j);
	return ret;
}

int lease_sweep(struct host *host, const struct pci_addr *addr, const struct lease_by *by,
		struct err *err)
{
	struct lease l;
	int ret = lease_record_read(host, addr, NULL, &l);

	if (ret < 0)
		return read_error(addr, ret, err);
	if (!ret || !is_free(host, &l) || quarantine_has(host, addr, NULL))
		return 0;
	/* An owner of no name that anybody can have: a lease made meanwhile is not ended. */
	ret = lease_release(host, addr, "", false, by, err);
	if (ret == -ENOENT || ret == -EPERM)
		return 0;
	return ret ? ret : 1;
}

static int amend(struct job *j, struct lease *l, const char *driver, const struct vf_attrs *attrs,
		 struct err *err)
{
	unsigned int i;

	if (l->state == LEASE_UNKNOWN)
		return held_error(l, err);
	if (driver) {
		memset(l->bind.driver, 0, sizeof(l->bind.driver));
		memcpy(l->bind.driver, driver, MIN(strlen(driver), HOST_NAME_MAX - 1));
		memcpy(l->bind.override, l->bind.driver, sizeof(l->bind.override));
	}
	for (i = 0; attrs && i < VF_ATTR_COUNT; i++) {
		if (attrs->has & BIT(i))
			l->attrs.value[i] = attrs->value[i];
	}
	if (attrs)
		l->attrs.has |= attrs->has;
	return lease_record_write(&j->table, l, err);
}

int lease_amend(struct host *host, const struct pci_addr *addr, const char *driver,
		const struct vf_attrs *attrs, struct err *err)
{
	struct job j;
	struct lease l;
	int ret = lease_record_read(host, addr, NULL, &l);

	if (ret <= 0)
		return ret ? read_error(addr, ret, err) : 0;
	ret = job_init(&j, host, NULL, err);
	if (!ret)
		ret = lease_table_lock(&j.table, err);
	if (!ret) {
		ret = lease_record_read(host, addr, vf_attr_find, &l);
		if (ret > 0)
			ret = amend(&j, &l, driver, attrs, err);
		lease_table_unlock(&j.table);
	}
	job_done(&j);
	return ret;
}
