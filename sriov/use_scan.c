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

static void stack_free(struct use_stack *stack, size_t count)
{
	while (count)
		free(stack[--count].below);
	free(stack);
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
	for (i = 0; i < scan->mount_count; i++) {
		free(scan->mounts[i].where);
		free(scan->mounts[i].type);
		free(scan->mounts[i].source);
	}
	stack_free(scan->loops, scan->loop_count);
	stack_free(scan->btrfs, scan->btrfs_count);
	free(scan->nodes);
	free(scan->opens);
	free(scan->mounts);
	free(scan->swaps);
	free(scan->routes);
	free(scan);
}

void *use_scan_grow(void *array, size_t count, size_t size)
{
	if (array && !is_pow2(count))
		return array;
	return reallocarray(array, count ? count * 2 : 1, size);
}

int use_seen_add(struct use_seen *seen, const char *name)
{
	void *grown;
	size_t i;

	for (i = 0; i < seen->count; i++) {
		if (!strcmp(seen->names[i], name))
			return 0;
	}
	grown = use_scan_grow(seen->names, seen->count, sizeof(*seen->names));
	if (!grown)
		return -ENOMEM;
	seen->names = grown;
	snprintf(seen->names[seen->count++], sizeof(*seen->names), "%s", name);
	return 1;
}

char *use_scan_file(const char *path, size_t *ret_len)
{
	size_t size = 16384, len = 0;
	char *buf = malloc(size), *grown;
	int fd = open(path, O_RDONLY | O_CLOEXEC), saved;
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
	saved = errno;
	if (fd >= 0)
		close(fd);
	if (!buf || fd < 0 || n < 0) {
		free(buf);
		errno = saved;
		return NULL;
	}
	buf[len] = '\0';
	if (ret_len)
		*ret_len = len;
	return buf;
}

/* The part is read, with this result. */
static int part_done(struct use_part *part, int ret)
{
	part->done = ret != -ENOMEM;
	part->error = ret;
	return ret;
}

/* --- device nodes ---------------------------------------------------------------------------- */

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
	void *grown;
	ssize_t n;

	if (strlen(number) >= sizeof(node->number) ||
	    host_path(path, scan->host->sysfs_root, "%s/%s", dir, number))
		return 0;
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return errno == ENOENT ? 0 : -errno; /* gone between readdir() and here */
	link[n] = '\0';
	/* A disk of a multipath NVMe subsystem is virtual; all else virtual is no function's. */
	if (strstr(link, "/devices/virtual/") && !strstr(link, "/nvme-subsystem/"))
		return 0;
	grown = use_scan_grow(scan->nodes, scan->node_count, sizeof(*scan->nodes));
	if (!grown)
		return -ENOMEM;
	scan->nodes = grown;
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

int use_scan_nodes(struct use_scan *scan)
{
	static const char *const dirs[] = { "dev/block", "dev/char" };
	char path[HOST_PATH_MAX];
	struct dirent *e;
	size_t i;
	int ret = 0;
	DIR *dir;

	if (scan->nodes_part.done)
		return scan->nodes_part.error;
	for (i = 0; i < ARRAY_SIZE(dirs) && !ret; i++) {
		ret = host_path(path, scan->host->sysfs_root, "%s", dirs[i]);
		dir = ret ? NULL : opendir(path);
		if (!dir) {
			/* A kernel without block devices has no dev/block. */
			ret = ret || errno == ENOENT ? ret : -errno;
			continue;
		}
		while (!ret && (e = readdir(dir))) {
			if (isdigit((unsigned char)e->d_name[0]))
				ret = node_add(scan, dirs[i], e->d_name);
		}
		closedir(dir);
	}
	return part_done(&scan->nodes_part, ret);
}

/* --- what processes have open ---------------------------------------------------------------- */

static int open_add(struct use_scan *scan, const char *target, pid_t pid)
{
	struct use_open *o;
	void *grown;

	/* What a process has open, it sees below its own /dev; the frequent ones concern nobody. */
	if (strncmp(target, "/dev/", 5) != 0 || !strncmp(target, "/dev/pts/", 9) ||
	    !strcmp(target, "/dev/null") || !strncmp(target, "/dev/shm/", 9))
		return 0;
	grown = use_scan_grow(scan->opens, scan->open_count, sizeof(*scan->opens));
	if (!grown)
		return -ENOMEM;
	scan->opens = grown;
	o = &scan->opens[scan->open_count];
	o->name = strdup(target + 5);
	o->pid = pid;
	if (!o->name)
		return -ENOMEM;
	scan->open_count++;
	return 0;
}

/* True when a look into a process failed with @code, but not because the process ended. */
static bool is_hidden(int code)
{
	return code != ENOENT && code != ESRCH && code != EINVAL;
}

static int opens_of(struct use_scan *scan, const char *pid)
{
	char path[HOST_PATH_MAX], target[512];
	bool hidden = false;
	struct dirent *e;
	ssize_t n;
	int ret = 0;
	DIR *dir;

	if (host_path(path, scan->host->proc_root, "%s/fd", pid))
		return 0;
	dir = opendir(path);
	if (!dir) {
		scan->opens_part.hidden += is_hidden(errno);
		return 0;
	}
	while (!ret && (e = readdir(dir))) {
		n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
		if (n < 0) {
			hidden = hidden || (e->d_name[0] != '.' && is_hidden(errno));
			continue;
		}
		target[n] = '\0';
		ret = open_add(scan, target, (pid_t)strtol(pid, NULL, 10));
	}
	closedir(dir);
	scan->opens_part.hidden += hidden;
	return ret;
}

static int open_cmp(const void *a, const void *b)
{
	return strcmp(((const struct use_open *)a)->name, ((const struct use_open *)b)->name);
}

/* Calls @fn for each process but this one. Returns 0, what @fn returned, or -errno. */
static int each_process(struct use_scan *scan, int (*fn)(struct use_scan *scan, const char *pid))
{
	struct dirent *e;
	int ret = 0;
	DIR *dir = opendir(scan->host->proc_root);

	if (!dir)
		return -errno;
	while (!ret && (e = readdir(dir))) {
		if (isdigit((unsigned char)e->d_name[0]) &&
		    strtol(e->d_name, NULL, 10) != (long)getpid())
			ret = fn(scan, e->d_name);
	}
	closedir(dir);
	return ret;
}

int use_scan_opens(struct use_scan *scan)
{
	int ret;

	if (scan->opens_part.done)
		return scan->opens_part.error;
	ret = each_process(scan, opens_of);
	if (scan->open_count)
		qsort(scan->opens, scan->open_count, sizeof(*scan->opens), open_cmp);
	return part_done(&scan->opens_part, ret);
}

pid_t use_scan_opener(const struct use_scan *scan, const char *name)
{
	struct use_open key = { .name = (char *)name };
	const struct use_open *found = NULL;

	if (scan->open_count)
		found = bsearch(&key, scan->opens, scan->open_count, sizeof(key), open_cmp);
	return found ? found->pid : 0;
}

void use_scan_comm(const struct host *host, pid_t pid, char *buf, size_t size)
{
	char path[HOST_PATH_MAX], comm[64];

	if (host_path(path, host->proc_root, "%d/comm", (int)pid) ||
	    io_read_text(path, comm, sizeof(comm)) <= 0)
		memcpy(comm, "?", 2);
	host_printable(comm, buf, size);
}

pid_t use_node_holder(const struct host *host, const char *node, char comm[HOST_NAME_MAX])
{
	struct use_scan *scan = use_scan_new(host);
	char path[HOST_PATH_MAX];
	pid_t pid = 0;

	comm[0] = '\0';
	if (scan && !use_scan_opens(scan))
		pid = use_scan_opener(scan, node);
	use_scan_free(scan);
	if (pid && !host_path(path, host->proc_root, "%d/comm", (int)pid) &&
	    io_read_text(path, comm, HOST_NAME_MAX) < 0)
		comm[0] = '\0';
	return pid;
}

/* --- mounts ---------------------------------------------------------------------------------- */

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw" (proc(5)). */
static int mount_add(struct use_scan *scan, char *line, pid_t pid)
{
	char *field[5], *word, *type = NULL, *source = NULL, *save = NULL;
	struct use_mount *m;
	void *grown;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(field); i++) {
		field[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!field[i])
			return 0;
	}
	while ((word = strtok_r(NULL, " ", &save)) && strcmp(word, "-") != 0)
		;
	if (word)
		type = strtok_r(NULL, " ", &save);
	if (type)
		source = strtok_r(NULL, " ", &save);
	if (strlen(field[2]) >= sizeof(m->number))
		return 0;
	grown = use_scan_grow(scan->mounts, scan->mount_count, sizeof(*scan->mounts));
	if (!grown)
		return -ENOMEM;
	scan->mounts = grown;
	m = &scan->mounts[scan->mount_count];
	memcpy(m->number, field[2], strlen(field[2]) + 1);
	m->where = strdup(field[4]);
	m->type = strdup(type ? type : "");
	m->source = strdup(source ? source : "");
	m->pid = pid;
	scan->mount_count++;
	return m->where && m->type && m->source ? 0 : -ENOMEM;
}

/* The mounts that the process @name sees ("self", or a number). */
static int mounts_of(struct use_scan *scan, const char *name)
{
	char path[HOST_PATH_MAX], *line, *save = NULL;
	CLEANUP_FREE char *text = NULL;
	int ret;

	ret = host_path(path, scan->host->proc_root, "%s/mountinfo", name);
	if (ret)
		return ret;
	text = use_scan_file(path, NULL);
	if (!text)
		return -errno;
	for (line = strtok_r(text, "\n", &save); line && !ret; line = strtok_r(NULL, "\n", &save))
		ret = mount_add(scan, line, (pid_t)strtol(name, NULL, 10));
	return ret;
}

/* Returns 1 when the mount namespace of the process ("mnt:[4026531841]") is new, 0 when it is not,
 * or -errno. */
static int space_add(const struct host *host, struct use_seen *spaces, const char *pid)
{
	char path[HOST_PATH_MAX], link[HOST_NAME_MAX];
	ssize_t n;

	if (host_path(path, host->proc_root, "%s/ns/mnt", pid))
		return 0;
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return -errno;
	link[n] = '\0';
	return use_seen_add(spaces, link);
}

/* One mountinfo for each mount namespace beside our own. */
static int mounts_elsewhere(struct use_scan *scan, struct use_seen *spaces)
{
	DIR *dir = opendir(scan->host->proc_root);
	struct dirent *e;
	int ret = 0;

	if (!dir)
		return -errno;
	while (ret != -ENOMEM && (e = readdir(dir))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		ret = space_add(scan->host, spaces, e->d_name);
		if (ret > 0)
			ret = mounts_of(scan, e->d_name);
		scan->mounts_part.hidden += ret < 0 && is_hidden(-ret);
	}
	closedir(dir);
	return ret == -ENOMEM ? ret : 0;
}

int use_scan_mounts(struct use_scan *scan)
{
	struct use_seen spaces = { .count = 0 };
	int ret;

	if (scan->mounts_part.done)
		return scan->mounts_part.error;
	ret = mounts_of(scan, "self");
	/* A kernel without namespaces has no such links, and then nothing is elsewhere. */
	if (!ret && space_add(scan->host, &spaces, "self") > 0)
		ret = mounts_elsewhere(scan, &spaces);
	free(spaces.names);
	return part_done(&scan->mounts_part, ret);
}

int use_scan_swaps(struct use_scan *scan)
{
	char path[HOST_PATH_MAX];
	int ret;

	if (scan->swaps_part.done)
		return scan->swaps_part.error;
	ret = host_path(path, scan->host->proc_root, "swaps");
	if (!ret) {
		scan->swaps = use_scan_file(path, NULL);
		ret = scan->swaps || errno == ENOENT ? 0 : -errno; /* ENOENT: no swap */
	}
	return part_done(&scan->swaps_part, ret);
}

/* --- what stands on a block device without being its holder ---------------------------------- */

static int stack_add(struct use_stack **stack, size_t *count, const char *name, const char *below)
{
	struct use_stack *s = use_scan_grow(*stack, *count, sizeof(*s));

	if (!s)
		return -ENOMEM;
	*stack = s;
	s = &s[*count];
	snprintf(s->name, sizeof(s->name), "%.63s", name);
	s->below = strdup(below);
	if (!s->below)
		return -ENOMEM;
	(*count)++;
	return 0;
}

int use_scan_loops(struct use_scan *scan)
{
	char path[HOST_PATH_MAX], file[HOST_PATH_MAX];
	struct dirent *e;
	int ret;
	DIR *dir;

	if (scan->loops_part.done)
		return scan->loops_part.error;
	ret = host_path(path, scan->host->sysfs_root, "class/block");
	dir = ret ? NULL : opendir(path);
	if (!dir)
		return part_done(&scan->loops_part, ret || errno == ENOENT ? ret : -errno);
	while (!ret && (e = readdir(dir))) {
		if (strncmp(e->d_name, "loop", 4) != 0 || !host_name_ok(e->d_name))
			continue;
		/* There is no such file while it is not set up, and of partitions. */
		if (host_read(scan->host, file, sizeof(file), "class/block/%s/loop/backing_file",
			      e->d_name) > 0)
			ret = stack_add(&scan->loops, &scan->loop_count, e->d_name, file);
	}
	closedir(dir);
	return part_done(&scan->loops_part, ret);
}

static int btrfs_add(struct use_scan *scan, const char *uuid)
{
	char path[HOST_PATH_MAX];
	struct dirent *e;
	int ret = 0;
	DIR *dir;

	if (host_path(path, scan->host->sysfs_root, "fs/btrfs/%s/devices", uuid))
		return 0;
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno; /* fs/btrfs/features */
	while (!ret && (e = readdir(dir))) {
		if (host_name_ok(e->d_name))
			ret = stack_add(&scan->btrfs, &scan->btrfs_count, e->d_name, uuid);
	}
	closedir(dir);
	return ret;
}

int use_scan_btrfs(struct use_scan *scan)
{
	char path[HOST_PATH_MAX];
	struct dirent *e;
	int ret;
	DIR *dir;

	if (scan->btrfs_part.done)
		return scan->btrfs_part.error;
	ret = host_path(path, scan->host->sysfs_root, "fs/btrfs");
	dir = ret ? NULL : opendir(path);
	if (!dir)
		return part_done(&scan->btrfs_part, ret || errno == ENOENT ? ret : -errno);
	while (!ret && (e = readdir(dir))) {
		if (host_name_ok(e->d_name))
			ret = btrfs_add(scan, e->d_name);
	}
	closedir(dir);
	return part_done(&scan->btrfs_part, ret);
}

/* --- routes ---------------------------------------------------------------------------------- */

int use_scan_routes(struct use_scan *scan, use_routes_fn *routes)
{
	if (scan->routes_part.done)
		return scan->routes_part.error;
	return part_done(&scan->routes_part,
			 routes(scan->host, &scan->routes, &scan->route_count));
}

/* --- the way to who asks --------------------------------------------------------------------- */

/* "CLIENT PORT SERVER PORT" of SSH_CONNECTION (ssh(1)) in an environment: 1 when it is there. */
static int ssh_of_environment(const char *text, size_t len, char client[64], char server[64])
{
	static const char name[] = "SSH_CONNECTION=";
	const char *at;

	for (at = text; at < text + len; at += strlen(at) + 1) {
		if (strncmp(at, name, sizeof(name) - 1) != 0)
			continue;
		return sscanf(at + sizeof(name) - 1, "%63s %*63s %63s", client, server) == 2;
	}
	return 0;
}

/* The parent of a process ("self" or a number): a number, 0 when there is none, or -errno. */
static int parent_of(const struct host *host, const char *name)
{
	char path[HOST_PATH_MAX];
	CLEANUP_FREE char *text = NULL;
	const char *at;

	if (host_path(path, host->proc_root, "%s/status", name))
		return -ENAMETOOLONG;
	text = use_scan_file(path, NULL);
	at = text ? strstr(text, "\nPPid:\t") : NULL;
	return text ? at ? (int)strtol(at + 7, NULL, 10) : 0 : -errno;
}

/* sudo takes the variable away: its parents have it still. 1: found, 0: none has it, -errno. */
static int ssh_find(const struct host *host, char client[64], char server[64])
{
	char path[HOST_PATH_MAX], name[16] = "self", *text;
	int i, parent, ret = 0;
	size_t len;

	for (i = 0; i < 64 && !ret; i++) {
		if (host_path(path, host->proc_root, "%s/environ", name))
			return -ENAMETOOLONG;
		text = use_scan_file(path, &len);
		if (!text)
			return errno == ENOENT || errno == ESRCH ? 0 : -errno;
		ret = ssh_of_environment(text, len, client, server);
		free(text);
		parent = ret ? 0 : parent_of(host, name);
		if (parent < 2) /* init's children have no session to come from */
			break;
		snprintf(name, sizeof(name), "%d", parent);
	}
	return ret;
}

int use_scan_ssh(struct use_scan *scan, use_route_to_fn *route_to)
{
	char client[64], server[64];
	const char *scope;
	int ret;

	if (scan->ssh_part.done)
		return scan->ssh_part.error;
	ret = ssh_find(scan->host, client, server);
	if (ret <= 0)
		return part_done(&scan->ssh_part, ret);
	host_printable(client, scan->ssh_client, sizeof(scan->ssh_client));
	scope = strchr(client, '%'); /* fe80::1%eth0 names the interface itself */
	if (scope)
		snprintf(scan->ssh_ifname, sizeof(scan->ssh_ifname), "%s", scope + 1);
	else
		ret = route_to(scan->host, client, server, scan->ssh_ifname);
	/* Nonsense is nobody's address, and nobody comes from where nothing leads. */
	if (ret == -EINVAL || ret == -ENETUNREACH || ret > 0)
		ret = 0;
	return part_done(&scan->ssh_part, ret);
}
