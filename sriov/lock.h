/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One lock for each PF and for each function that is no VF, so that two programs that change the
 * same card do not interleave: flock(2) on ROOT/ADDRESS.lock, ROOT being the host's run_root. A
 * VF is locked through its PF. The kernel drops the lock when its holder dies.
 *
 * The file also remembers the one setting that is changed for a moment only and would be lost
 * with a holder that was killed: what sriov_drivers_autoprobe was.
 */
#ifndef VIADUCT_SRIOV_LOCK_H
#define VIADUCT_SRIOV_LOCK_H

#include <stddef.h>

#include "host.h"
#include "pci_addr.h"

struct func_lock {
	int fd;
	int autoprobe; /* what the file remembers: 0 or 1; -1 when nothing. Set it to -1 once the
			* setting is what it was. */
};

/* Waits up to host->lock_ms for the lock of @addr's card. Returns 0; -EBUSY with the holder's pid
 * in the message; -EACCES without the right to make the file; or -errno. */
int func_lock(const struct host *host, const struct pci_addr *addr, struct func_lock *ret,
	      struct err *err);

/* Drops the lock. The file goes on remembering while lock->autoprobe is 0 or 1, else it is
 * emptied. Does nothing for a lock that is not held. */
void func_unlock(struct func_lock *lock);

/* Writes down what sriov_drivers_autoprobe was (0 or 1) before it is changed. 0 or -errno. */
int func_lock_note(struct func_lock *lock, int autoprobe);

/* Locks the cards of all @addrs, in one order for everybody. @locks has room for @count; *@ret_n
 * of them are held afterwards. On failure none is held. */
int func_lock_all(const struct host *host, const struct pci_addr *addrs, size_t count,
		  struct func_lock *locks, size_t *ret_n, struct err *err);

/* Takes flock(2) on @fd, waiting for it up to host->lock_ms. 0, -EBUSY, -EINTR (host->stop) or
 * -errno. */
int lock_wait(const struct host *host, int fd);

#endif
