// SPDX-License-Identifier: GPL-2.0-or-later
#include "use_scan.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "use.h"

struct use_scan *use_scan_new(const struct host *host)
{
	struct use_scan *scan = calloc(1, sizeof(*scan));

	if (scan)
		scan->host = host;
	return scan;
}

void use_scan_free(struct use_scan *scan)
{
	size_t i;

	if (!scan)
		return;
	for (i = 0; i < scan->node_count; i++) {
		free(scan->nodes[i].link);
		free(scan->nodes[i].name);
	}
	for (i = 0; i < scan->open_count; i++)
		free(scan->opens[i].name);
	for (i = 0; i < scan->mount_count; i++)
		free(scan->mounts[i].where);
	free(scan->nodes);
	free(scan->opens);
	free(scan->mounts);
	free(scan->swaps);
	free(scan);
}

/* Room for one more element of @size bytes in an array that doubles when it is full. */
static int grow(void *array, size_t count, size_t size)
{
	void **p = array;
	void *grown;

	if (count && !is_pow2(count))
		return 0;
	grown = reallocarray(*p, count ? count * 2 : 1, size);
	if (!grown)
		return -ENOMEM;
	*p = grown;
	return 0;
}

/* The whole of a file of any length, terminated, or NULL with errno. */
static char *read_all(const char *path)
{
	size_t size = 16384, len = 0;
	char *buf = malloc(size), *grown;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	while (buf && fd >= 0 && (n = read(fd, buf + len, size - len - 1)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		len += (size_t)n;
		if (len < size - 1)
			continue;
		grown = realloc(buf, size * 2);
		if (!grown) {
			n = -1;
			break;
		}
		buf = grown;
		size *= 2;
	}
	if (fd >= 0)
		close(fd);
	if (!buf || fd < 0 || n < 0) {
		free(buf);
		return NULL;
	}
	buf[len] = '\0';
	return buf;
}

/* The name below /dev: the kernel writes it to uevent; where not, the name of the device. */
static char *node_name(const struct host *host, const char *dir, const char *number,
		       const char *link)
{
	char text[1024], *line, *save = NULL;
	const char *slash = strrchr(link, '/');

	if (host_read(host, text, sizeof(text), "%s/%s/uevent", dir, number) > 0) {
		for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			if (!strncmp(line, "DEVNAME=", 8))
				return strdup(line + 8);
		}
	}
	return strdup(slash ? slash + 1 : link);
}

static int node_add(struct use_scan *scan, const char *dir, const char *number)
{
	char path[HOST_PATH_MAX], link[HOST_PATH_MAX];
	struct use_node *node;
	ssize_t n;

	if (strlen(number) >= sizeof(node->number) ||
	    host_path(path, scan->host->sysfs_root, "%s/%s", dir, number))
		return 0;
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return 0; /* gone between readdir() and here */
	link[n] = '\0';
	/* A disk of a multipath NVMe subsystem is virtual; all else virtual is no function's. */
	if (strstr(link, "/devices/virtual/") && !strstr(link, "/nvme-subsystem/"))
		return 0;
	if (grow(&scan->nodes, scan->node_count, sizeof(*scan->nodes)))
		return -ENOMEM;
	node = &scan->nodes[scan->node_count];
	memcpy(node->number, number, strlen(number) + 1);
	node->block = !strcmp(dir, "dev/block");
	node->link = strdup(link);
	node->name = node_name(scan->host, dir, number, link);
	if (!node->link || !node->name) {
		free(node->link);
		free(node->name);
		return -ENOMEM;
	}
	scan->node_count++;
	return 0;
}

int use_scan_nodes(struct use_scan *scan, struct err *err)
{
	static const char *const dirs[] = { "dev/block", "dev/char" };
	char path[HOST_PATH_MAX];
	struct dirent *e;
	size_t i;
	int ret = 0;
	DIR *dir;

	for (i = 0; i < ARRAY_SIZE(dirs) && !ret && !scan->nodes_read; i++) {
		ret = host_path(path, scan->host->sysfs_root, "%s", dirs[i]);
		dir = ret ? NULL : opendir(path);
		if (!dir)
			continue; /* a kernel without block devices has no dev/block */
		while (!ret && (e = readdir(dir))) {
			if (isdigit((unsigned char)e->d_name[0]))
				ret = node_add(scan, dirs[i], e->d_name);
		}
		closedir(dir);
	}
	if (ret)
		return err_sys(err, ret, "cannot list the host's device nodes");
	scan->nodes_read = true;
	return 0;
}

static int open_add(struct use_scan *scan, const char *target, pid_t pid)
{
	struct use_open *o;

	/* What a process has open, it sees below its own /dev; the frequent ones concern nobody. */
	if (strncmp(target, "/dev/", 5) != 0 || !strncmp(target, "/dev/pts/", 9) ||
	    !strcmp(target, "/dev/null") || !strncmp(target, "/dev/shm/", 9))
		return 0;
	if (grow(&scan->opens, scan->open_count, sizeof(*scan->opens)))
		return -ENOMEM;
	o = &scan->opens[scan->open_count];
	o->name = strdup(target + 5);
	o->pid = pid;
	if (!o->name)
		return -ENOMEM;
	scan->open_count++;
	return 0;
}

static int opens_of(struct use_scan *scan, const char *pid)
{
	char path[HOST_PATH_MAX], target[512];
	struct dirent *e;
	ssize_t n;
	int ret = 0;
	DIR *dir;

	if (host_path(path, scan->host->proc_root, "%s/fd", pid))
		return 0;
	dir = opendir(path);
	if (!dir)
		return 0; /* the process ended, or is another user's */
	while (!ret && (e = readdir(dir))) {
		n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		ret = open_add(scan, target, (pid_t)strtol(pid, NULL, 10));
	}
	closedir(dir);
	return ret;
}

static int open_cmp(const void *a, const void *b)
{
	return strcmp(((const struct use_open *)a)->name, ((const struct use_open *)b)->name);
}

int use_scan_opens(struct use_scan *scan, struct err *err)
{
	struct dirent *e;
	int ret = 0;
	DIR *dir;

	if (scan->opens_read)
		return 0;
	dir = opendir(scan->host->proc_root);
	if (!dir)
		return err_sys(err, -errno, "cannot look through the processes in %s",
			       scan->host->proc_root);
	while (!ret && (e = readdir(dir))) {
		if (isdigit((unsigned char)e->d_name[0]) &&
		    strtol(e->d_name, NULL, 10) != (long)getpid())
			ret = opens_of(scan, e->d_name);
	}
	closedir(dir);
	if (ret)
		return err_sys(err, ret, "cannot look through the processes");
	if (scan->open_count)
		qsort(scan->opens, scan->open_count, sizeof(*scan->opens), open_cmp);
	scan->opens_read = true;
	return 0;
}

pid_t use_scan_opener(const struct use_scan *scan, const char *name)
{
	struct use_open key = { .name = (char *)name };
	const struct use_open *found = NULL;

	if (scan->open_count)
		found = bsearch(&key, scan->opens, scan->open_count, sizeof(key), open_cmp);
	return found ? found->pid : 0;
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw" (proc(5)). */
static int mount_add(struct use_scan *scan, char *line)
{
	char *field[5], *save = NULL;
	struct use_mount *m;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(field); i++) {
		field[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!field[i])
			return 0;
	}
	if (strlen(field[2]) >= sizeof(m->number))
		return 0;
	if (grow(&scan->mounts, scan->mount_count, sizeof(*scan->mounts)))
		return -ENOMEM;
	m = &scan->mounts[scan->mount_count];
	memcpy(m->number, field[2], strlen(field[2]) + 1);
	m->where = strdup(field[4]);
	if (!m->where)
		return -ENOMEM;
	scan->mount_count++;
	return 0;
}

int use_scan_mounts(struct use_scan *scan, struct err *err)
{
	char path[HOST_PATH_MAX], *line, *save = NULL;
	CLEANUP_FREE char *text = NULL;
	int ret;

	if (scan->mounts_read)
		return 0;
	ret = host_path(path, scan->host->proc_root, "self/mountinfo");
	if (ret)
		return err_sys(err, ret, "%s", scan->host->proc_root);
	text = read_all(path);
	if (!text)
		return err_sys(err, -errno, "cannot read what is mounted from %s", path);
	for (line = strtok_r(text, "\n", &save); line && !ret; line = strtok_r(NULL, "\n", &save))
		ret = mount_add(scan, line);
	if (ret)
		return err_sys(err, ret, "%s", path);
	if (!host_path(path, scan->host->proc_root, "swaps"))
		scan->swaps = read_all(path); /* a kernel without swap has no such file */
	scan->mounts_read = true;
	return 0;
}

pid_t use_node_holder(const struct host *host, const char *node, char comm[HOST_NAME_MAX])
{
	struct use_scan *scan = use_scan_new(host);
	char path[HOST_PATH_MAX];
	pid_t pid = 0;

	comm[0] = '\0';
	if (scan && !use_scan_opens(scan, NULL))
		pid = use_scan_opener(scan, node);
	use_scan_free(scan);
	if (pid && !host_path(path, host->proc_root, "%d/comm", (int)pid) &&
	    io_read_text(path, comm, HOST_NAME_MAX) < 0)
		comm[0] = '\0';
	return pid;
}
