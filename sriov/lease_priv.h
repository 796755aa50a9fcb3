/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of sriov/lease*.c share: the records. */
#ifndef VIADUCT_SRIOV_LEASE_PRIV_H
#define VIADUCT_SRIOV_LEASE_PRIV_H

#include "lease.h"

#define LEASE_FOLDER "leases"
#define LEASE_MAGIC "viaduct-lease"
#define LEASE_VERSION 1

/*
 * Reads the record of @addr. @attr_find decodes the names of settings (vf_attr_find()); NULL: they
 * are skipped, for a program without them. Returns 1 with *@ret (LEASE_UNKNOWN for one that makes
 * no sense), 0 when there is none, or -errno.
 */
int lease_record_read(const struct host *host, const struct pci_addr *addr,
		      int (*attr_find)(const char *name), struct lease *ret);

/* The lock of the table, opened and not held yet. */
struct lease_table {
	const struct host *host;
	int fd;
};

/* Opens the lock, making the folder. 0, -EACCES with what to do, or -errno. */
int lease_table_open(const struct host *host, struct lease_table *ret, struct err *err);
/* Waits for the lock up to host->lock_ms. 0, -EBUSY or -errno. */
int lease_table_lock(struct lease_table *table, struct err *err);
void lease_table_unlock(struct lease_table *table);
void lease_table_close(struct lease_table *table);

/* Writes the record; or removes that of @addr. With the table's lock. 0 or -errno. */
int lease_record_write(struct lease_table *table, const struct lease *lease, struct err *err);
int lease_record_remove(struct lease_table *table, const struct pci_addr *addr, struct err *err);

/* lease_scrub.c: brings the function that is locked by @lease's state work back to what the record
 * says. 0; -EACCES, -EBUSY, -EINTR or -EAGAIN when it could not be tried; -ENODEV when it was tried
 * and failed. */
int lease_scrub(struct host *host, const struct lease *lease, const struct lease_by *by,
		struct err *err);

/* Fills in the process @pid as it is now. Returns 0, or -ESRCH when there is none. */
int lease_process_read(const struct host *host, pid_t pid, struct lease_process *ret);

#endif
