// SPDX-License-Identifier: GPL-2.0-or-later
/* The table of leases: its lock, its records' text, the list of all. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "host_file.h"
#include "lease_priv.h"
#include "lock.h"

static int open_error(const struct host *host, int code, struct err *err)
{
	if (code != -EACCES && code != -EPERM && code != -EROFS)
		return err_sys(err, code, "the table of leases %s/" LEASE_FOLDER, host->lib_root);
	return err_set(err, -EACCES,
		       "the table of leases %s/" LEASE_FOLDER " is not this user's to change; run "
		       "it with sudo, or let a group of this user's read and write that folder",
		       host->lib_root);
}

int lease_table_open(const struct host *host, struct lease_table *ret, struct err *err)
{
	char path[HOST_PATH_MAX];
	int code = host_folder_make(host->lib_root, LEASE_FOLDER);

	ret->host = host;
	ret->fd = -1;
	if (!code)
		code = host_path(path, host->lib_root, LEASE_FOLDER "/.lock");
	if (code)
		return open_error(host, code, err);
	/* Nobody but who may have leases can open it, for who locks it keeps all others waiting. */
	ret->fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	return ret->fd < 0 ? open_error(host, -errno, err) : 0;
}

int lease_table_lock(struct lease_table *table, struct err *err)
{
	int ret = lock_wait(table->host, table->fd);

	if (ret == -EBUSY)
		return err_set(err, ret, "the table of leases is locked by another program for %u "
			       "s; see: fuser %s/" LEASE_FOLDER "/.lock",
			       table->host->lock_ms / 1000, table->host->lib_root);
	return ret ? err_sys(err, ret, "locking the table of leases") : 0;
}

void lease_table_unlock(struct lease_table *table)
{
	flock(table->fd, LOCK_UN);
}

void lease_table_close(struct lease_table *table)
{
	fd_close(&table->fd);
}

static const char *const state_names[] = { "held", "work", "dirty" };

static void put_word(FILE *out, const char *key, const char *value)
{
	if (*value)
		fprintf(out, "%s %s\n", key, value);
}

static void put_record(FILE *out, const struct lease *l)
{
	char a[PCI_ADDR_STRLEN];
	unsigned int i;

	fprintf(out, LEASE_MAGIC " %d\naddress %s\nstate %s\n", LEASE_VERSION,
		pci_addr_str(&l->addr, a), state_names[l->state]);
	put_word(out, "owner", l->owner);
	if (l->process.pid)
		fprintf(out, "process %d %" PRIu64 " %s %s\n", (int)l->process.pid,
			l->process.start, l->process.boot, *l->process.ns ? l->process.ns : "-");
	put_word(out, "id", l->id);
	put_word(out, "driver", l->bind.driver);
	put_word(out, "override", l->bind.override);
	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (l->attrs.has & BIT(i))
			fprintf(out, "attr %s 0x%" PRIx64 "\n", vf_attr_row((enum vf_attr)i)->name,
				l->attrs.value[i]);
	}
	fputs("end\n", out);
}

int lease_record_write(struct lease_table *table, const struct lease *lease, struct err *err)
{
	CLEANUP_FREE char *text = NULL;
	char a[PCI_ADDR_STRLEN];
	FILE *out;
	size_t size;
	int ret = -ENOMEM;

	pci_addr_str(&lease->addr, a);
	out = open_memstream(&text, &size);
	if (out) {
		put_record(out, lease);
		ret = fclose(out) ? -ENOMEM : 0;
	}
	if (!ret)
		ret = host_file_write(table->host, table->host->lib_root, LEASE_FOLDER, a, text);
	return ret ? err_sys(err, ret, "%s: cannot write its lease", a) : 0;
}

int lease_record_remove(struct lease_table *table, const struct pci_addr *addr, struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	int ret;

	pci_addr_str(addr, a);
	ret = host_file_write(table->host, table->host->lib_root, LEASE_FOLDER, a, NULL);
	return ret ? err_sys(err, ret, "%s: cannot remove its lease", a) : 0;
}

static int lease_cmp(const void *a, const void *b)
{
	const struct lease *x = a, *y = b;

	return pci_addr_cmp(&x->addr, &y->addr);
}

static int list_add(const struct host *host, const char *name, struct lease **list, size_t *count)
{
	struct pci_addr addr;
	struct lease *grown;
	int ret;

	if (pci_addr_parse(name, &addr))
		return 0;
	if (!(*count & (*count - 1))) {
		grown = reallocarray(*list, *count ? *count * 2 : 1, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		*list = grown;
	}
	ret = lease_record_read(host, &addr, vf_attr_find, &(*list)[*count]);
	*count += ret > 0;
	return MIN(ret, 0);
}

int lease_list(const struct host *host, struct lease **ret_list, size_t *ret_count,
	       struct err *err)
{
	char path[HOST_PATH_MAX];
	struct lease *list = NULL;
	struct dirent *e;
	size_t count = 0;
	DIR *dir;
	int ret = host_path(path, host->lib_root, LEASE_FOLDER);

	if (ret)
		return err_sys(err, ret, "reading the leases");
	dir = opendir(path);
	if (!dir && errno != ENOENT && errno != ENOTDIR)
		return open_error(host, -errno, err);
	while (dir && !ret && (e = readdir(dir)))
		ret = list_add(host, e->d_name, &list, &count);
	if (dir)
		closedir(dir);
	if (ret) {
		free(list);
		return err_sys(err, ret, "reading the leases in %s", path);
	}
	if (count)
		qsort(list, count, sizeof(*list), lease_cmp);
	*ret_list = list;
	*ret_count = count;
	return 0;
}
