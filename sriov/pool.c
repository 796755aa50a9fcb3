// SPDX-License-Identifier: GPL-2.0-or-later
#include "pool.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "host_file.h"

#define FOLDER "pools"
#define FILE_MAX (POOL_MAX * 64ul)
#define POOLS_MAX 4096

bool pool_name_ok(const char *name)
{
	return host_name_ok(name) && *name != '.' && !strpbrk(name, ",:");
}

static int name_check(const char *name, struct err *err)
{
	char shown[48];

	if (pool_name_ok(name))
		return 0;
	return err_set(err, -EINVAL, "\"%s\" is no pool's name: letters, digits, \"-\", \"_\"",
		       host_printable(name, shown, sizeof(shown)));
}

static bool has(const struct pci_addr *addrs, size_t count, const struct pci_addr *addr)
{
	while (count--) {
		if (pci_addr_eq(&addrs[count], addr))
			return true;
	}
	return false;
}

/* Decodes one line into @addrs, if it is not empty. */
static int line_take(char *line, struct pci_addr *addrs, size_t *count)
{
	struct pci_addr addr;
	size_t len;

	line[strcspn(line, "#")] = '\0';
	line += strspn(line, " \t");
	for (len = strlen(line); len && strchr(" \t\r", line[len - 1]); len--)
		line[len - 1] = '\0';
	if (!*line)
		return 0;
	if (pci_addr_parse(line, &addr) || *count == POOL_MAX)
		return -EINVAL;
	if (!has(addrs, *count, &addr))
		addrs[(*count)++] = addr;
	return 0;
}

static int read_error(const char *name, int code, struct err *err)
{
	if (code == -ENOENT || code == -ENOTDIR)
		return err_set(err, -ENODEV,
			       "there is no pool \"%s\"; name it in /etc/vfctl.yaml and run: vfctl "
			       "apply", name);
	return err_sys(err, code, "pool %s: its file cannot be read", name);
}

int pool_read(const struct host *host, const char *name, struct pci_addr **ret_addrs,
	      size_t *ret_count, struct err *err)
{
	CLEANUP_FREE char *text = NULL;
	struct pci_addr *addrs;
	char *line, *rest, shown[48];
	size_t count = 0;
	unsigned int n = 0;
	ssize_t len;
	int ret = name_check(name, err);

	if (ret)
		return ret;
	len = host_file_read(host->state_root, FOLDER, name, FILE_MAX, &text);
	if (len < 0)
		return read_error(name, (int)len, err);
	addrs = calloc(POOL_MAX, sizeof(*addrs));
	if (!addrs)
		return err_sys(err, -ENOMEM, "pool %s", name);
	for (rest = text; (line = strsep(&rest, "\n")) && !ret;) {
		n++;
		host_printable(line, shown, sizeof(shown));
		ret = line_take(line, addrs, &count);
	}
	if (ret) {
		free(addrs);
		return err_set(err, ret, "pool %s: line %u of its file, \"%s\", is no address; run: "
			       "vfctl apply", name, n, shown);
	}
	*ret_addrs = addrs;
	*ret_count = count;
	return 0;
}

/* True when the pool's file says just this. */
static bool is_so(const struct host *host, const char *name, const struct pci_addr *addrs,
		  size_t count)
{
	struct pci_addr *now = NULL;
	size_t now_count = 0, i = 0;
	bool read = !pool_read(host, name, &now, &now_count, NULL);

	while (now && i < count && i < now_count && pci_addr_eq(&now[i], &addrs[i]))
		i++;
	free(now);
	return read && i == count && i == now_count;
}

int pool_write(struct host *host, const char *name, const struct pci_addr *addrs, size_t count,
	       struct err *err)
{
	CLEANUP_FREE char *text = NULL;
	char a[PCI_ADDR_STRLEN];
	size_t i, len = 0;
	int ret = name_check(name, err);

	if (ret)
		return ret;
	if (count > POOL_MAX)
		return err_set(err, -E2BIG, "pool %s: %zu functions, %d at most", name, count,
			       POOL_MAX);
	for (i = 0; i < count; i++) {
		if (has(addrs, i, &addrs[i]))
			return err_set(err, -EINVAL, "pool %s: %s is in it twice", name,
				       pci_addr_str(&addrs[i], a));
	}
	if (is_so(host, name, addrs, count))
		return 0;
	text = calloc(count + 1, PCI_ADDR_STRLEN + 1);
	if (!text)
		return err_sys(err, -ENOMEM, "pool %s", name);
	for (i = 0; i < count; i++)
		len += (size_t)sprintf(text + len, "%s\n", pci_addr_str(&addrs[i], a));
	ret = host_file_write(host, host->state_root, FOLDER, name, text);
	return ret ? err_sys(err, ret, "pool %s: cannot write %s/" FOLDER "/%s", name,
			     host->state_root, name) : 0;
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Up to POOLS_MAX names below @dir, behind room for as many pointers. */
static size_t names_read(DIR *dir, char **names)
{
	char *at = (char *)(names + POOLS_MAX);
	struct dirent *e;
	size_t count = 0;

	while (count < POOLS_MAX && (e = readdir(dir))) {
		if (!pool_name_ok(e->d_name))
			continue;
		names[count++] = at;
		at = stpcpy(at, e->d_name) + 1;
	}
	return count;
}

int pool_list(const struct host *host, char ***ret_names, size_t *ret_count, struct err *err)
{
	char path[HOST_PATH_MAX], **names;
	DIR *dir;
	int ret = host_path(path, host->state_root, FOLDER);

	*ret_names = NULL;
	*ret_count = 0;
	if (ret)
		return err_sys(err, ret, "reading the pools");
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT || errno == ENOTDIR ? 0 :
		       err_sys(err, -errno, "reading the pools in %s", path);
	names = calloc(POOLS_MAX, sizeof(*names) + HOST_NAME_MAX);
	if (names)
		*ret_count = names_read(dir, names);
	closedir(dir);
	if (!names)
		return err_sys(err, -ENOMEM, "reading the pools");
	if (!*ret_count) {
		free(names);
		return 0;
	}
	qsort(names, *ret_count, sizeof(*names), name_cmp);
	*ret_names = names;
	return 0;
}

int pool_remove_others(struct host *host, const char *const *keep, size_t count, struct err *err)
{
	CLEANUP_FREE char **names = NULL;
	size_t n, i, k;
	int ret = pool_list(host, &names, &n, err);

	for (i = 0; i < n && !ret; i++) {
		for (k = 0; k < count && strcmp(keep[k], names[i]) != 0; k++)
			;
		if (k < count)
			continue;
		ret = host_file_write(host, host->state_root, FOLDER, names[i], NULL);
		if (ret)
			err_sys(err, ret, "pool %s: cannot remove it", names[i]);
	}
	return ret;
}
