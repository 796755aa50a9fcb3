// SPDX-License-Identifier: GPL-2.0-or-later
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "func.h"

#define POLL_MAX_MS 5

static int note_write(const struct func_lock *lock, int autoprobe)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "pid %d\n", (int)getpid());

	if (autoprobe >= 0)
		n = snprintf(text, sizeof(text), "pid %d\nautoprobe %d\n", (int)getpid(),
			     autoprobe);
	if (ftruncate(lock->fd, 0) < 0)
		return -errno;
	if (pwrite(lock->fd, text, (size_t)n, 0) != n)
		return errno ? -errno : -EIO;
	return 0;
}

/* What the file says: the holder's pid, and what it left behind. */
static int note_read(int fd, int *ret_autoprobe)
{
	const char *at;
	char text[64];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	*ret_autoprobe = -1;
	if (n <= 0)
		return 0;
	text[n] = '\0';
	at = strstr(text, "\nautoprobe ");
	if (at && (at[11] == '0' || at[11] == '1'))
		*ret_autoprobe = at[11] - '0';
	return strncmp(text, "pid ", 4) ? 0 : (int)strtol(text + 4, NULL, 10);
}

static int lock_open(const struct host *host, const char *a, struct err *err)
{
	char path[HOST_PATH_MAX];
	int fd;

	if (!*host->run_root)
		return err_set(err, -EACCES, "%s: changing it needs root; run it with sudo", a);
	if (mkdir(host->run_root, 0755) < 0 && errno != EEXIST) {
		if (errno == EACCES && geteuid() != 0)
			return err_set(err, -EACCES, "%s: changing it needs root; run it with sudo",
				       a);
		return err_sys(err, -errno, "%s: cannot make %s for its lock", a, host->run_root);
	}
	if (host_path(path, host->run_root, "%s.lock", a))
		return err_sys(err, -ENAMETOOLONG, "%s", host->run_root);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EACCES && geteuid() != 0)
		return err_set(err, -EACCES, "%s: changing it needs root; run it with sudo", a);
	return fd < 0 ? err_sys(err, -errno, "%s: cannot open its lock %s", a, path) : fd;
}

int lock_wait(const struct host *host, int fd)
{
	unsigned int waited = 0, ms = 1;
	struct timespec nap = { 0 };

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (host_stopped(host))
			return -EINTR;
		if (waited >= host->lock_ms)
			return -EBUSY;
		nap.tv_nsec = ms * 1000000L;
		nanosleep(&nap, NULL);
		waited += ms;
		ms = MIN(ms * 2, POLL_MAX_MS);
	}
	return 0;
}

static void lock_owner(const struct host *host, const struct pci_addr *addr, struct pci_addr *ret)
{
	if (func_pf_addr(host, addr, ret))
		*ret = *addr;
}

int func_lock(const struct host *host, const struct pci_addr *addr, struct func_lock *ret_lock,
	      struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	struct pci_addr owner;
	int fd, ret, pid;

	lock_owner(host, addr, &owner);
	pci_addr_str(&owner, a);
	fd = lock_open(host, a, err);
	if (fd < 0)
		return fd;
	ret = lock_wait(host, fd);
	pid = note_read(fd, &ret_lock->autoprobe);
	ret_lock->fd = fd;
	if (!ret)
		ret = note_write(ret_lock, ret_lock->autoprobe);
	if (!ret)
		return 0;
	fd_close(&ret_lock->fd);
	if (ret == -EBUSY)
		return err_set(err, ret, "%s: another vfctl (pid %d) is changing it; try again "
			       "when that has ended", a, pid);
	return err_sys(err, ret, "%s: cannot take its lock", a);
}

void func_unlock(struct func_lock *lock)
{
	int fd = lock->fd;

	if (fd < 0)
		return;
	/* A file that could not be emptied names a pid that is gone, which does no harm. */
	if (lock->autoprobe < 0 && ftruncate(fd, 0) < 0)
		lock->autoprobe = -1;
	fd_close(&lock->fd);
}

int func_lock_note(struct func_lock *lock, int autoprobe)
{
	lock->autoprobe = autoprobe;
	return note_write(lock, autoprobe);
}

static int owner_cmp(const void *a, const void *b)
{
	return pci_addr_cmp(a, b);
}

int func_lock_all(const struct host *host, const struct pci_addr *addrs, size_t count,
		  struct func_lock *locks, size_t *ret_n, struct err *err)
{
	CLEANUP_FREE struct pci_addr *owners = calloc(count, sizeof(*owners));
	size_t i, n = 0;
	int ret = 0;

	*ret_n = 0;
	if (!owners)
		return err_sys(err, -ENOMEM, "cannot lock %zu functions", count);
	for (i = 0; i < count; i++)
		lock_owner(host, &addrs[i], &owners[i]);
	qsort(owners, count, sizeof(*owners), owner_cmp);
	for (i = 0; i < count && !ret; i++) {
		if (i && pci_addr_eq(&owners[i], &owners[i - 1]))
			continue;
		ret = func_lock(host, &owners[i], &locks[n], err);
		n += !ret;
	}
	for (i = 0; ret && i < n; i++)
		func_unlock(&locks[i]);
	*ret_n = ret ? 0 : n;
	return ret;
}
