// SPDX-License-Identifier: GPL-2.0-or-later
#include "apply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"
#include "journal.h"
#include "lease.h"
#include "lock.h"
#include "select.h"
#include "vf.h"
#include "vf_attr.h"
#include "vf_rules.h"
#include "want_pool.h"

#define LOOK_MS 1000 /* how long who uses what is taken for known */
#define LINK_MS 15000u /* how long a link may take to come back */

struct session {
	struct host *host;
	const struct apply_opts *opts;
	const struct want *want;  /* NULL: restore */
	struct plan plan;
	struct want_func *funcs;  /* of want->devices, in their order */
	struct func_lock *locks;  /* of plan.funcs; fd -1: not held */
	size_t *back_index;	  /* which of plan.funcs the way back's are */
	struct func_lock lock;	  /* of all applies */
	struct journal original, under_way;
	size_t had_original, had_under_way; /* entries before this apply */
	uint64_t looked_ms;
	struct apply_report report;
};

/* --- one step ---------------------------------------------------------------------------------- */

struct todo {
	struct host *host;
	struct plan_func *func;
	struct func_lock *lock;
	const struct plan_step *step;
};

static int do_vfs_remove(const struct todo *t, struct err *err)
{
	return vf_count_write(t->host, &t->func->now.bind.addr, 0, err);
}

static int bind_to(struct host *host, const struct pci_addr *addr, uint32_t has,
		   const struct bind_state *want, struct err *err)
{
	struct bind_state exact = *want;

	exact.addr = *addr;
	if (has & STATE_OVERRIDE)
		return bind_state_restore(host, &exact, err);
	return func_bind_locked(host, addr, want->driver, NULL, err);
}

static int do_pf_driver(const struct todo *t, struct err *err)
{
	const struct func_state *want = &t->func->want;

	return bind_to(t->host, &t->func->now.bind.addr, want->has, &want->bind, err);
}

static int do_mode(const struct todo *t, struct err *err)
{
	return eswitch_mode_write(t->host, &t->func->now.bind.addr, t->func->want.mode, err);
}

static bool wants_rates(const struct func_state *want)
{
	const uint32_t rates = BIT(VF_ATTR_MIN_RATE) | BIT(VF_ATTR_MAX_RATE);
	unsigned int i;

	for (i = 0; i < want->count; i++) {
		if (want->vfs[i].attrs.has & rates)
			return true;
	}
	return false;
}

/* Making VFs resets some cards, and a rate can be set while the link is up only. An interface that
 * somebody brought up gets its link again, if there is a cable; one that is down has no carrier. */
static void wait_link(struct host *host, const struct pci_addr *pf)
{
	const struct timespec nap = { .tv_nsec = 20 * 1000000L };
	uint64_t end = host_now_ms() + MIN(host->wait_ms, LINK_MS);
	struct func_info info;
	long carrier = 0;

	if (func_read(host, pf, &info, NULL) || !info.netdev_count)
		return;
	while (!host_read_long(host, &carrier, "class/net/%s/carrier", info.netdevs[0]) &&
	       !carrier && !host_stopped(host) && host_now_ms() < end)
		nanosleep(&nap, NULL);
}

static int do_vfs_make(const struct todo *t, struct err *err)
{
	const struct pci_addr *pf = &t->func->now.bind.addr;
	int ret = vf_rules_check(t->host, pf, err);

	if (!ret && t->step->quiet && t->func->want.has & STATE_AUTOPROBE)
		ret = vf_autoprobe_write(t->host, pf, t->lock, t->func->autoprobe, 0, err);
	if (!ret)
		ret = vf_count_write(t->host, pf, t->func->want.count, err);
	if (!ret && wants_rates(&t->func->want))
		wait_link(t->host, pf);
	return ret;
}

static int vf_addr(const struct todo *t, struct pci_addr *ret, struct err *err)
{
	const struct pci_addr *pf = &t->func->now.bind.addr;
	char a[PCI_ADDR_STRLEN];

	if (!func_vf_addr(t->host, pf, t->step->vf, ret))
		return 0;
	return err_set(err, -ENODEV, "%s: its VF %u vanished", pci_addr_str(pf, a), t->step->vf);
}

static int do_vf_unbind(const struct todo *t, struct err *err)
{
	struct pci_addr vf;
	int ret = vf_addr(t, &vf, err);

	return ret ? ret : func_unbind_locked(t->host, &vf, err);
}

static int do_vf_set(const struct todo *t, struct err *err)
{
	const struct pci_addr *pf = &t->func->now.bind.addr;
	const struct vf_attrs *want = &t->func->want.vfs[t->step->vf].attrs;
	struct vf_attrs now;
	uint32_t which;
	int ret = vf_attrs_read(t->host, pf, t->step->vf, &now, err);

	if (ret)
		return ret;
	/* A VF that was just made has some of them already. */
	which = vf_attrs_differ(&now, want) & t->step->which;
	return which ? vf_attrs_write(t->host, pf, t->step->vf, want, which, err) : 0;
}

static int do_vf_driver(const struct todo *t, struct err *err)
{
	const struct vf_state *want = &t->func->want.vfs[t->step->vf];
	struct pci_addr vf;
	int ret = vf_addr(t, &vf, err);

	return ret ? ret : bind_to(t->host, &vf, want->has, &want->bind, err);
}

static int do_autoprobe(const struct todo *t, struct err *err)
{
	int ret = vf_autoprobe_write(t->host, &t->func->now.bind.addr, t->lock, t->func->autoprobe,
				     t->func->want.autoprobe, err);

	if (!ret)
		t->lock->autoprobe = -1;
	return ret;
}

static int (*const todo[PLAN_KINDS])(const struct todo *t, struct err *err) = {
	[PLAN_VFS_REMOVE] = do_vfs_remove, [PLAN_PF_DRIVER] = do_pf_driver,
	[PLAN_MODE] = do_mode,		   [PLAN_VFS_MAKE] = do_vfs_make,
	[PLAN_VF_UNBIND] = do_vf_unbind,   [PLAN_VF_SET] = do_vf_set,
	[PLAN_VF_DRIVER] = do_vf_driver,   [PLAN_AUTOPROBE] = do_autoprobe,
};

static int do_step(struct session *s, struct plan *plan, size_t index, bool undo, struct err *err)
{
	const struct plan_step *step = &plan->steps[index];
	struct func_lock *lock = &s->locks[undo ? s->back_index[step->func] : step->func];
	const struct todo t = { s->host, &plan->funcs[step->func], lock, step };
	int ret = todo[step->kind](&t, err);

	if (s->opts->step)
		s->opts->step(s->opts->opaque, plan, index, undo, ret);
	return ret;
}

/* --- what is, and what should be --------------------------------------------------------------- */

/* Makes the plan's function @i the one at @addr, as it is now. */
static int read_func(struct session *s, size_t i, const char *label, const struct pci_addr *addr,
		     struct err *err)
{
	struct plan_func *f = &s->plan.funcs[i];

	snprintf(f->label, sizeof(f->label), "%s", label);
	return func_state_read(s->host, addr, &f->now, err);
}

/* sriov_drivers_autoprobe is what it was before any vfctl that was killed. */
static void keep_autoprobe(struct session *s, size_t i)
{
	struct plan_func *f = &s->plan.funcs[i];
	int noted = s->locks ? s->locks[i].autoprobe : func_lock_peek(s->host, &f->now.bind.addr);

	f->autoprobe = noted >= 0 ? noted : f->now.autoprobe;
	if (f->want.has & STATE_AUTOPROBE || !(f->now.has & STATE_AUTOPROBE))
		return;
	f->want.has |= STATE_AUTOPROBE;
	f->want.autoprobe = f->autoprobe;
}

static int want_one(struct session *s, size_t i, struct err *err)
{
	const struct want_device *d = &s->want->devices[i];
	const struct pci_addr *addr = &s->funcs[i].addr;
	const struct journal_entry *before = journal_find(&s->under_way, addr);
	struct plan_func *f = &s->plan.funcs[i];
	char label[HOST_NAME_MAX];
	unsigned int count;
	int ret;

	ret = read_func(s, i, want_label(d, addr, label), addr, err);
	if (ret)
		return ret;
	/* What the file leaves open is as it was before an apply that was cut off. */
	count = before && before->state.has & STATE_COUNT ? before->state.count : f->now.count;
	ret = want_state(s->want, d, addr, count, &f->want, err);
	if (!ret)
		keep_autoprobe(s, i);
	if (!ret && before && func_state_fill(&f->want, &before->state))
		ret = err_sys(err, -ENOMEM, "the plan");
	s->funcs[i].count = f->want.has & STATE_COUNT ? f->want.count : f->now.count;
	return ret;
}

static int want_all(struct session *s, struct err *err)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < s->plan.func_count && !ret; i++)
		ret = want_one(s, i, err);
	return ret ? ret : plan_make(&s->plan, err);
}

static int session_new(struct session *s, size_t count, struct err *err)
{
	s->plan.funcs = calloc(count + 1, sizeof(*s->plan.funcs));
	s->funcs = calloc(count + 1, sizeof(*s->funcs));
	s->plan.func_count = s->plan.funcs ? count : 0;
	return s->plan.funcs && s->funcs ? 0 : err_sys(err, -ENOMEM, "%zu functions", count);
}

/* Which functions the file means. */
static int find_all(struct session *s, struct err *err)
{
	size_t i, count = s->want->count;
	struct pci_addr *addrs;
	int ret = session_new(s, count, err);

	if (ret)
		return ret;
	addrs = calloc(count + 1, sizeof(*addrs));
	if (!addrs)
		return err_sys(err, -ENOMEM, "%zu functions", count);
	ret = select_all(s->host, s->want, addrs, err);
	for (i = 0; i < count && !ret; i++)
		s->funcs[i].addr = addrs[i];
	free(addrs);
	return ret;
}

int apply_plan(struct host *host, const struct want *want, struct plan *ret_plan, bool *ret_pools,
	       struct err *err)
{
	struct session s = { .host = host, .want = want };
	int ret = find_all(&s, err);

	if (!ret)
		ret = journal_read(host, JOURNAL_UNDER_WAY, &s.under_way, err);
	if (!ret)
		ret = want_all(&s, err);
	if (!ret && ret_pools)
		*ret_pools = want_pools_differ(host, want, s.funcs);
	if (ret)
		plan_done(&s.plan);
	*ret_plan = s.plan;
	journal_done(&s.under_way);
	free(s.funcs);
	return ret;
}

/* --- locks ------------------------------------------------------------------------------------- */

struct order {
	struct pci_addr addr;
	size_t index;
};

static int order_cmp(const void *a, const void *b)
{
	return pci_addr_cmp(&((const struct order *)a)->addr, &((const struct order *)b)->addr);
}

/* In one order for everybody. */
static int lock_all(struct session *s, struct err *err)
{
	size_t i, count = s->plan.func_count;
	struct order *order;
	int ret = 0;

	s->locks = calloc(count + 1, sizeof(*s->locks));
	if (!s->locks)
		return err_sys(err, -ENOMEM, "%zu locks", count);
	for (i = 0; i < count; i++)
		s->locks[i] = (struct func_lock){ .fd = -1, .autoprobe = -1 };
	order = calloc(count + 1, sizeof(*order));
	if (!order)
		return err_sys(err, -ENOMEM, "%zu locks", count);
	for (i = 0; i < count; i++)
		order[i] = (struct order){ s->funcs[i].addr, i };
	qsort(order, count, sizeof(*order), order_cmp);
	for (i = 0; i < count && !ret; i++)
		ret = func_lock(s->host, &order[i].addr, &s->locks[order[i].index], err);
	free(order);
	return ret;
}

/* A lock goes on remembering autoprobe as long as that is not what it was. */
static void unlock_one(struct session *s, size_t i)
{
	char a[PCI_ADDR_STRLEN];
	long now;

	if (s->locks[i].autoprobe >= 0 &&
	    !host_read_long(s->host, &now, "bus/pci/devices/%s/sriov_drivers_autoprobe",
			    pci_addr_str(&s->funcs[i].addr, a)) &&
	    (now != 0) == s->locks[i].autoprobe)
		s->locks[i].autoprobe = -1;
	func_unlock(&s->locks[i]);
}

static void session_done(struct session *s)
{
	size_t i;

	for (i = 0; s->locks && i < s->plan.func_count; i++)
		unlock_one(s, i);
	free(s->locks);
	free(s->back_index);
	func_unlock(&s->lock);
	plan_done(&s->plan);
	journal_done(&s->original);
	journal_done(&s->under_way);
	free(s->funcs);
}

/* --- there and back ---------------------------------------------------------------------------- */

static int refuse_blocks(struct session *s, struct err *err)
{
	CLEANUP_FREE struct plan_block *blocks = NULL;
	size_t count = 0;
	int ret = plan_blocks(s->host, &s->plan, &blocks, &count, err);

	if (ret || !count)
		return ret;
	err_set(err, -EPERM, "%s; nothing was changed", blocks[0].text);
	if (count > 1)
		err_append(err, "; %zu more such reasons: vfctl plan", count - 1);
	return -EPERM;
}

/* Nothing that is in use is taken away. */
static int refuse_use(struct session *s, size_t from, struct err *err)
{
	CLEANUP_FREE struct plan_hit *hits = NULL;
	char a[PCI_ADDR_STRLEN], text[PLAN_TEXT_MAX], force[USE_KINDS_TEXT_MAX];
	size_t i, count = 0, used = 0, first = 0;
	int ret = plan_hits(s->host, &s->plan, from, s->opts->force, &hits, &count, err);

	s->looked_ms = host_now_ms();
	for (i = count; i-- > 0;) {
		used += hits[i].in_use;
		first = hits[i].in_use ? i : first;
	}
	if (ret || !used)
		return ret;
	err_set(err, -EBUSY, "%s: %s%s%s, or use --force=%s (%.200s)",
		pci_addr_str(&hits[first].addr, a), hits[first].what,
		*hits[first].remedy ? "; " : "", hits[first].remedy,
		use_kinds_text(hits[first].kinds, force),
		plan_step_text(&s->plan, &s->plan.steps[hits[first].step], text));
	if (used > 1)
		err_append(err, "; %zu more such uses: vfctl plan", used - 1);
	return -EBUSY;
}

static int step_on(struct session *s, size_t i, struct err *err)
{
	int ret = 0;

	if (host_stopped(s->host))
		return err_set(err, -EINTR, "interrupted");
	if (plan_step_cost(&s->plan, &s->plan.steps[i]) >= PLAN_IDLE &&
	    host_now_ms() > s->looked_ms + LOOK_MS)
		ret = refuse_use(s, i, err);
	if (!ret)
		ret = do_step(s, &s->plan, i, false, err);
	if (ret)
		return ret;
	s->report.steps++;
	if (s->host->progress)
		s->host->progress(s->host->report_opaque, (unsigned int)i + 1,
				  (unsigned int)s->plan.step_count);
	return 0;
}

/* The way back of one function. */
static int back_one(struct session *s, const struct plan_func *from, struct plan_func *ret,
		    struct err *err)
{
	int code = func_state_read(s->host, &from->now.bind.addr, &ret->now, err);

	if (!code && func_state_copy(&ret->want, &from->now))
		code = err_sys(err, -ENOMEM, "the way back");
	memcpy(ret->label, from->label, sizeof(ret->label));
	/* What was left behind by a vfctl that was killed is nothing to go back to. */
	ret->autoprobe = ret->want.autoprobe = from->autoprobe;
	return code;
}

/* Of all functions what they were when it began, the last one first. One that cannot be read any more
 * keeps no other from its way back. */
static int plan_back(struct session *s, struct plan *back, struct err *err)
{
	size_t i;
	int ret = 0, one;

	back->funcs = calloc(s->plan.func_count + 1, sizeof(*back->funcs));
	s->back_index = calloc(s->plan.func_count + 1, sizeof(*s->back_index));
	if (!back->funcs || !s->back_index)
		return err_sys(err, -ENOMEM, "the way back");
	for (i = s->plan.func_count; i-- > 0;) {
		s->back_index[back->func_count] = i;
		one = back_one(s, &s->plan.funcs[i], &back->funcs[back->func_count],
			       ret ? NULL : err);
		back->func_count += !one;
		ret = ret ? ret : one;
	}
	one = plan_make(back, ret ? NULL : err);
	return ret ? ret : one;
}

/* Puts all back, whatever fails. Returns 0 or the first -errno. */
static int undo(struct session *s, struct err *err)
{
	bool (*stop)(void *opaque) = s->host->stop;
	struct plan back = { .funcs = NULL };
	struct err other;
	size_t i;
	int ret, one;

	/* Whoever asked to stop has it stopped when all is as it was. */
	s->host->stop = NULL;
	ret = plan_back(s, &back, err);
	for (i = 0; i < back.step_count; i++) {
		err_clear(&other);
		one = do_step(s, &back, i, true, ret ? &other : err);
		ret = ret ? ret : one;
	}
	plan_done(&back);
	s->host->stop = stop;
	return ret;
}

/* The journal as it was before this apply. */
static int journal_back(struct session *s, struct err *err)
{
	int ret = 0;

	while (s->original.count > s->had_original)
		func_state_done(&s->original.entries[--s->original.count].state);
	while (s->under_way.count > s->had_under_way)
		func_state_done(&s->under_way.entries[--s->under_way.count].state);
	if (s->want)
		ret = journal_write(s->host, JOURNAL_ORIGINAL, &s->original, err);
	return ret ? ret : journal_write(s->host, JOURNAL_UNDER_WAY, &s->under_way, err);
}

static int put_back(struct session *s, int code, struct err *err)
{
	struct err why = { .code = 0 };
	int ret = undo(s, &why);

	if (ret) {
		err_append(err, "; and not all could be put back: %s; run it again, or: vfctl "
			   "restore", why.msg);
		return code;
	}
	err_append(err, "; all was put back");
	/* Left behind it says nothing wrong. */
	if (journal_back(s, &why))
		err_append(err, "; %s", why.msg);
	return code;
}

/* Writes down what all functions are that a step touches. */
static int note_all(struct session *s, struct err *err)
{
	size_t i;
	int ret = 0;

	s->had_original = s->original.count;
	s->had_under_way = s->under_way.count;
	for (i = 0; i < s->plan.step_count && !ret; i++) {
		const struct plan_func *f = &s->plan.funcs[s->plan.steps[i].func];
		struct func_state now = f->now;

		now.autoprobe = f->autoprobe;
		ret = s->want ? journal_add(s->host, &s->original, &now) : 0;
		if (!ret)
			ret = journal_add(s->host, &s->under_way, &now);
	}
	if (ret)
		return err_sys(err, ret, "the journal");
	if (s->original.count != s->had_original)
		ret = journal_write(s->host, JOURNAL_ORIGINAL, &s->original, err);
	if (!ret && s->under_way.count != s->had_under_way)
		ret = journal_write(s->host, JOURNAL_UNDER_WAY, &s->under_way, err);
	return ret;
}

static int carry_out(struct session *s, struct err *err)
{
	size_t i;
	int ret;

	ret = refuse_blocks(s, err);
	if (!ret)
		ret = refuse_use(s, 0, err);
	if (ret)
		return ret;
	ret = note_all(s, err);
	for (i = 0; i < s->plan.step_count && !ret; i++)
		ret = step_on(s, i, err);
	return ret ? put_back(s, ret, err) : 0;
}

/* What is over is forgotten. */
static int forget(struct session *s, const char *name, struct journal *journal, struct err *err)
{
	static const struct journal none = { .entries = NULL };

	if (!journal->there && !journal->count)
		return 0;
	return journal_write(s->host, name, &none, err);
}

static int write_pools(struct session *s, struct err *err)
{
	int ret;

	if (!want_pools_differ(s->host, s->want, s->funcs))
		return 0;
	ret = want_pools_write(s->host, s->want, s->funcs, err);
	s->report.pools = !ret;
	if (ret)
		err_prefix(err, "functions are as they should be, but not all pools");
	return ret;
}

/* The plan, what goes with it, and the end of what is under way. */
static int run_plan(struct session *s, struct err *err)
{
	int ret = s->plan.step_count ? carry_out(s, err) : 0;

	if (!ret)
		ret = write_pools(s, err);
	return ret ? ret : forget(s, JOURNAL_UNDER_WAY, &s->under_way, err);
}

static int session_lock(struct session *s, struct host *host, const struct apply_opts *opts,
			struct err *err)
{
	memset(s, 0, sizeof(*s));
	s->host = host;
	s->opts = opts;
	s->lock.fd = -1;
	return func_lock_named(host, "apply", &s->lock, err);
}

static void session_report(struct session *s, unsigned long writes, struct apply_report *ret)
{
	s->report.writes = s->host->writes - writes;
	if (ret)
		*ret = s->report;
	session_done(s);
}

int apply_run(struct host *host, const struct want *want, const struct apply_opts *opts,
	      struct apply_report *ret_report, struct err *err)
{
	unsigned long writes = host->writes;
	struct err own = { .code = 0 };
	struct session s;
	int ret;

	err = err ? err : &own;
	ret = session_lock(&s, host, opts, err);
	s.want = want;
	if (!ret)
		ret = find_all(&s, err);
	if (!ret)
		ret = lock_all(&s, err);
	if (!ret)
		ret = journal_read(host, JOURNAL_ORIGINAL, &s.original, err);
	if (!ret)
		ret = journal_read(host, JOURNAL_UNDER_WAY, &s.under_way, err);
	if (!ret)
		ret = want_all(&s, err);
	if (!ret)
		ret = run_plan(&s, err);
	session_report(&s, writes, ret_report);
	return ret;
}

/* --- restore ----------------------------------------------------------------------------------- */

/* Still the function that it was? */
static bool is_same(struct session *s, const struct journal_entry *e)
{
	char id[LEASE_ID_MAX], a[PCI_ADDR_STRLEN];
	const char *why = NULL;

	if (!func_exists(s->host, &e->state.bind.addr))
		why = "is gone";
	else if (*e->id && (lease_id(s->host, &e->state.bind.addr, id) ||
			    !lease_id_match(id, e->id)))
		why = "is another card now";
	if (!why)
		return true;
	if (!s->report.skipped++)
		snprintf(s->report.note, sizeof(s->report.note), "%s %s, and was left alone",
			 pci_addr_str(&e->state.bind.addr, a), why);
	return false;
}

static int find_originals(struct session *s, struct err *err)
{
	size_t i, n = 0;
	int ret = session_new(s, s->original.count, err);

	for (i = 0; i < s->original.count && !ret; i++) {
		if (is_same(s, &s->original.entries[i]))
			s->funcs[n++].addr = s->original.entries[i].state.bind.addr;
	}
	s->plan.func_count = n;
	return ret;
}

static int want_originals(struct session *s, struct err *err)
{
	char label[PCI_ADDR_STRLEN];
	size_t i;
	int ret = 0;

	for (i = 0; i < s->plan.func_count && !ret; i++) {
		const struct pci_addr *addr = &s->funcs[i].addr;
		const struct journal_entry *e = journal_find(&s->original, addr);

		ret = read_func(s, i, pci_addr_str(addr, label), addr, err);
		if (!ret && func_state_copy(&s->plan.funcs[i].want, &e->state))
			ret = err_sys(err, -ENOMEM, "restore");
		keep_autoprobe(s, i);
	}
	return ret ? ret : plan_make(&s->plan, err);
}

int apply_restore(struct host *host, const struct apply_opts *opts,
		  struct apply_report *ret_report, struct err *err)
{
	unsigned long writes = host->writes;
	struct err own = { .code = 0 };
	struct session s;
	int ret;

	err = err ? err : &own;
	ret = session_lock(&s, host, opts, err);
	if (!ret)
		ret = journal_read(host, JOURNAL_ORIGINAL, &s.original, err);
	if (!ret)
		ret = find_originals(&s, err);
	if (!ret)
		ret = lock_all(&s, err);
	/* The one under way does not matter here, but that there is one. */
	if (!ret && journal_read(host, JOURNAL_UNDER_WAY, &s.under_way, NULL))
		s.under_way.there = true;
	if (!ret)
		ret = want_originals(&s, err);
	if (!ret)
		ret = run_plan(&s, err);
	if (!ret)
		ret = forget(&s, JOURNAL_ORIGINAL, &s.original, err);
	session_report(&s, writes, ret_report);
	return ret;
}
