// SPDX-License-Identifier: GPL-2.0-or-later
#include "quarantine.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "host_file.h"

static int record_path(const struct host *host, const struct pci_addr *addr,
		       char path[HOST_PATH_MAX])
{
	char a[PCI_ADDR_STRLEN];

	return host_path(path, host->state_root, "quarantine/%s", pci_addr_str(addr, a));
}

bool quarantine_has(const struct host *host, const struct pci_addr *addr,
		    char reason[QUARANTINE_REASON_MAX])
{
	char path[HOST_PATH_MAX], text[QUARANTINE_REASON_MAX] = "";

	if (record_path(host, addr, path) || access(path, F_OK) < 0)
		return false;
	if (!reason)
		return true;
	/* Its writer may have been killed before the reason was in it. */
	if (io_read_text(path, text, sizeof(text)) <= 0)
		memcpy(text, "no reason is written down", 26);
	host_printable(text, reason, QUARANTINE_REASON_MAX);
	return true;
}

int quarantine_check(const struct host *host, const struct pci_addr *addr, struct err *err)
{
	char reason[QUARANTINE_REASON_MAX], a[PCI_ADDR_STRLEN];

	if (!quarantine_has(host, addr, reason))
		return 0;
	pci_addr_str(addr, a);
	return err_set(err, -ENODEV,
		       "%s: in quarantine: %s; when it is well again, run: vfctl clear %s", a,
		       reason, a);
}

static int record_write(const struct host *host, const struct pci_addr *addr, const char *reason)
{
	char text[2 * QUARANTINE_REASON_MAX], a[PCI_ADDR_STRLEN];

	snprintf(text, sizeof(text), "%s\n", reason);
	return host_file_write(host, host->state_root, "quarantine", pci_addr_str(addr, a), text);
}

int quarantine_add(const struct host *host, const struct pci_addr *addr, const char *reason,
		   struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	int ret = record_write(host, addr, reason);

	pci_addr_str(addr, a);
	if (ret == -EACCES || ret == -EPERM || ret == -EROFS)
		return err_set(err, -EACCES,
			       "%s: not put into quarantine, for this user may not write to "
			       "%s/quarantine; until the card is well, keep it from guests by hand",
			       a, host->state_root);
	return ret ? err_sys(err, ret, "%s: not put into quarantine in %s", a, host->state_root)
		   : 0;
}

int quarantine_clear(const struct host *host, const struct pci_addr *addr, struct err *err)
{
	char a[PCI_ADDR_STRLEN], path[HOST_PATH_MAX];
	int ret = record_path(host, addr, path);

	pci_addr_str(addr, a);
	if (!ret && unlink(path) < 0)
		ret = -errno;
	if (ret == -ENOENT || ret == -ENOTDIR)
		return err_set(err, -ENOENT, "%s: not in quarantine", a);
	if (ret == -EACCES || ret == -EPERM)
		return err_set(err, ret,
			       "%s: taking it out of quarantine needs root; run it with "
			       "sudo",
			       a);
	return ret ? err_sys(err, ret, "%s: taking it out of quarantine", a) : 0;
}

static int addr_cmp(const void *a, const void *b)
{
	return pci_addr_cmp(a, b);
}

int quarantine_list(const struct host *host, struct pci_addr **ret_addrs, size_t *ret_count,
		    struct err *err)
{
	struct pci_addr *addrs = NULL, *grown, addr;
	char path[HOST_PATH_MAX];
	struct dirent *e;
	size_t count = 0;
	DIR *dir = NULL;
	int ret;

	ret = host_path(path, host->state_root, "quarantine");
	if (!ret)
		dir = opendir(path);
	while (dir && !ret && (e = readdir(dir))) {
		if (pci_addr_parse(e->d_name, &addr))
			continue;
		grown = reallocarray(addrs, count + 1, sizeof(*addrs));
		if (!grown) {
			ret = -ENOMEM;
			continue;
		}
		addrs = grown;
		addrs[count++] = addr;
	}
	if (dir)
		closedir(dir);
	if (ret) {
		free(addrs);
		return err_sys(err, ret, "reading what is in quarantine");
	}
	if (count)
		qsort(addrs, count, sizeof(*addrs), addr_cmp);
	*ret_addrs = addrs;
	*ret_count = count;
	return 0;
}
