/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leases: who has which function, so that two guests and a script never get one VF. One file for
 * each in LIB/leases, named after the function's address; LIB is the host's lib_root, so a lease
 * outlives programs and restarts of the host. It ends when it is released, and one that was made
 * for a process when that process is no more.
 *
 * A record is in one of three states, and who is killed between two writes leaves one of them:
 *   held    the owner has the function
 *   work    a program gets it ready for an owner, or cleans it up behind one; when that program is
 *           no more this is the same as dirty
 *   dirty   nobody has it, and nobody gets it before it was cleaned up
 * No record: the function is free and clean. The mark comes before the first change of the function
 * and goes after the last.
 *
 * Two locks: that of the table (flock(2) on LIB/leases/.lock) is held while records are read and
 * written and never while the function is worked on; then it is the card's (lock.h). The record in
 * the state work keeps others off meanwhile. The card's lock is never waited for with the table's.
 */
#ifndef VIADUCT_SRIOV_LEASE_H
#define VIADUCT_SRIOV_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bind.h"
#include "host.h"
#include "pci_addr.h"
#include "vf_attr.h"

struct err;

#define LEASE_ID_MAX 128
#define LEASE_WHY_MAX 128

enum lease_state {
	LEASE_HELD,
	LEASE_WORK,
	LEASE_DIRTY,
	LEASE_UNKNOWN, /* the record cannot be understood: as good as held */
};

/* A process, so that another one with its number later is not taken for it. */
struct lease_process {
	pid_t pid;	/* 0: none, the lease lasts until it is released */
	uint64_t start; /* in clock ticks after the boot (proc(5), stat, field 22) */
	char boot[40];	/* the boot's id */
	char ns[32];	/* the namespace that the number counts in, "" when it is not known */
};

struct lease {
	struct pci_addr addr;
	enum lease_state state;
	char owner[HOST_NAME_MAX];    /* "" when dirty */
	struct lease_process process; /* the owner's; in the state work who works */
	char id[LEASE_ID_MAX];	      /* lease_id() when it was handed out */
	struct bind_state bind;	      /* driver and override as they were then */
	struct vf_attrs attrs;	      /* and its settings */
	char why[LEASE_WHY_MAX];      /* LEASE_UNKNOWN: what is wrong with the record */
};

/*
 * Who holds @addr? Returns 1 with *@ret when somebody does: a lease whose owner is not dead, a
 * program that is at work on it, or a record that cannot be understood. 0 when nobody does (*@ret
 * may then hold what a dead owner left). -errno when the record cannot be read. One system call
 * when there is no record.
 */
int lease_find(const struct host *host, const struct pci_addr *addr, struct lease *ret);

#define LEASE_TEXT_MAX 256

/* "leased to db (pid 4711)", "leased to db", "being made ready for db (pid 4711)": who holds it,
 * fit for a message. Returns @buf. */
const char *lease_text(const struct lease *lease, char buf[LEASE_TEXT_MAX]);

/* False when the process of @lease is no more: it ended, its number is another's, the host was
 * restarted since. True without one, and when it cannot be told. */
bool lease_is_alive(const struct host *host, const struct lease *lease);

/* What tells the function at @addr from another that a restart of the host may put there, as words
 * KEY=VALUE: its IDs; of a VF its number and its PF's IDs; the card's serial number, which root
 * alone can read; without one the MAC of its interface that is its own. Returns 0 or -ENODEV. */
int lease_id(const struct host *host, const struct pci_addr *addr, char buf[LEASE_ID_MAX]);

/* False when a word that both have differs. */
bool lease_id_match(const char *a, const char *b);

/* What the caller says of functions and is told of them. */
struct lease_by {
	/* 0 when @addr is not in use, or -errno and by what. Asked before it is handed out or reset.
	 * May be NULL. */
	int (*idle)(void *opaque, const struct host *host, const struct pci_addr *addr,
		    struct err *err);
	/* 0 when @addr, clean as it is now, is what the caller wants, or -errno and why not. May be
	 * NULL. */
	int (*fits)(void *opaque, const struct host *host, const struct pci_addr *addr,
		    struct err *err);
	/* Told what could not be done as it should be, in a sentence: a function that has no reset
	 * method. May be NULL. */
	void (*note)(void *opaque, const char *text);
	void *opaque;
};

/*
 * Hands @addr to @owner (a name that host_name_ok() takes): until it is released, or with @pid
 * other than 0 until that process is no more. One that comes back from another owner, or whose
 * owner is dead, is cleaned up first (lease_release()). *@ret is the lease.
 * Returns 0; -EINVAL (owner), -ESRCH (no such process), -ENODEV (no such function; in quarantine,
 * also since this very call), -EBUSY (leased to somebody; in use; its card is being changed),
 * -EACCES, what @by->fits said, or -errno.
 */
int lease_acquire(struct host *host, const struct pci_addr *addr, const char *owner, pid_t pid,
		  const struct lease_by *by, struct lease *ret, struct err *err);

/* The same with any function of @pool (pool.h) that can be had, those that need no cleaning first.
 * -ENODEV when there is none, with the reasons counted. */
int lease_acquire_pool(struct host *host, const char *pool, const char *owner, pid_t pid,
		       const struct lease_by *by, struct lease *ret, struct err *err);

/* Which function lease_acquire_pool() would try first that looks as if it can be had; nothing is
 * changed. Returns as that. */
int lease_peek_pool(const struct host *host, const char *pool, const struct lease_by *by,
		    struct pci_addr *ret, struct err *err);

/*
 * Ends the lease of @addr, of @owner alone when that is not NULL, and cleans the function up: it is
 * reset, its settings and its driver are what they were when it was handed out, and it is still the
 * function that it was. If that fails it goes into quarantine with the reason, and the lease has
 * ended all the same; if this user may not do it (-EACCES), its card is busy or its settings cannot
 * be seen by this program (-EAGAIN), it is left dirty for the next who asks for it. With @unknown a
 * record that cannot be understood is taken for a lease that ends.
 * Returns 0; -ENOENT (not leased), -EPERM (leased to somebody else), -EBUSY (in use: the
 * lease stands; or a program is at work on it), -ENODEV (in quarantine now), or -errno.
 */
int lease_release(struct host *host, const struct pci_addr *addr, const char *owner, bool unknown,
		  const struct lease_by *by, struct err *err);

/* Cleans up @addr if it is dirty or its owner is dead. Returns 1 when that was done, 0 when there
 * was nothing to do, else as lease_release(). */
int lease_sweep(struct host *host, const struct pci_addr *addr, const struct lease_by *by,
		struct err *err);

/* All records, sorted by address, in an array that the caller frees with free(). lease_is_alive()
 * tells whose owners are dead. Returns 0 or -errno. */
int lease_list(const struct host *host, struct lease **ret, size_t *ret_count, struct err *err);

/* For a change of a function by who rules the host (`vfctl apply`): where there is a record of
 * @addr, it goes back to @driver (NULL: as before) and to the settings in @attrs (NULL: none) when
 * it comes back. Returns 0, also without a record, or -errno. */
int lease_amend(struct host *host, const struct pci_addr *addr, const char *driver,
		const struct vf_attrs *attrs, struct err *err);

#endif
