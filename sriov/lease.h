/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leases: who has which function, so that two guests and a script never get one VF. One file for
 * each in LIB/leases, named after the function's address; LIB is the host's lib_root, so a lease
 * outlives programs and restarts of the host. It ends when it is released, and one that was made for
 * a process when that process is no more.
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

/* "leased to db (pid 4711)", "leased to db", "being made ready for db (pid 4711)": who holds it, fit
 * for a message. Returns @buf. */
#define LEASE_TEXT_MAX 256
const char *lease_text(const struct lease *lease, char buf[LEASE_TEXT_MAX]);

/* False when the process of @lease is no more: it ended, its number is another's, the host was
 * restarted since. True without one, and when it cannot be told. */
bool lease_is_alive(const struct host *host, const struct lease *lease);

/* What tells the function at @addr from another that a restart of the host may put there, as words
 * KEY=VALUE: its IDs; of a VF its number and its PF's IDs; the card's serial number, which root alone
 * can read; without one the MAC of its interface that is its own. Returns 0 or -ENODEV. */
int lease_id(const struct host *host, const struct pci_addr *addr, char buf[LEASE_ID_MAX]);

/* False when a word that both have differs. */
bool lease_id_match(const char *a, const char *b);

#endif
