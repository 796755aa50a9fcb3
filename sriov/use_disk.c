// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who uses a function's device nodes: its disks with all that stands on them, and what processes
 * have open.
 *
 * A disk that is mounted, swapped to or held by another device is also claimed, so that opening it
 * exclusively answers EBUSY, and so is the whole disk of a partition in use. A claim is a proof of
 * its own only where nothing else explains it: who forces the kind "mount" means the mount with its
 * claim.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "use_look.h"
#include "use_scan.h"

#define CHAIN_MAX 256
#define DEPTH_MAX 24

/* A block device on the way up. */
struct disk {
	const char *name;   /* as sysfs calls it */
	char dev[HOST_NAME_MAX];    /* below /dev */
	char mapped[HOST_NAME_MAX]; /* what device mapper calls it, or "" */
	char number[24];    /* "" when it is not known */
	const char *chain;  /* how one gets there, ending with its name */
	unsigned int depth;
	bool claimed;	    /* by what was found already */
};

struct walk {
	struct use_look *look;
	struct use_seen seen;
};

static int walk_disk(struct walk *w, struct disk *disk);

/* --- what is on a device --------------------------------------------------------------------- */

/* Is "/dev/nvme0n1" or "/dev/mapper/vg0-root" this device? */
static bool is_path_of(const struct disk *disk, const char *path)
{
	if (strncmp(path, "/dev/", 5) != 0)
		return false;
	path += 5;
	if (!strcmp(path, disk->dev))
		return true;
	return *disk->mapped && !strncmp(path, "mapper/", 7) && !strcmp(path + 7, disk->mapped);
}

static const char *btrfs_of(const struct use_scan *scan, const struct disk *disk)
{
	size_t i;

	for (i = 0; i < scan->btrfs_count; i++) {
		if (!strcmp(scan->btrfs[i].name, disk->name))
			return scan->btrfs[i].below;
	}
	return NULL;
}

/* The mount of a btrfs names one of its devices; device mapper's go by another name there. */
static bool btrfs_has(const struct use_scan *scan, const char *uuid, const char *source)
{
	struct disk member = { .depth = 0 };
	size_t i;

	for (i = 0; i < scan->btrfs_count; i++) {
		if (strcmp(scan->btrfs[i].below, uuid) != 0)
			continue;
		member.name = scan->btrfs[i].name;
		snprintf(member.dev, sizeof(member.dev), "%s", member.name);
		if (host_read(scan->host, member.mapped, sizeof(member.mapped),
			      "class/block/%s/dm/name", member.name) < 0)
			member.mapped[0] = '\0';
		if (is_path_of(&member, source))
			return true;
	}
	return false;
}

static const struct use_mount *mount_of(const struct use_scan *scan, const struct disk *disk,
					const char *uuid)
{
	size_t i;

	for (i = 0; i < scan->mount_count; i++) {
		const struct use_mount *m = &scan->mounts[i];

		if (*disk->number && !strcmp(m->number, disk->number))
			return m;
		if (uuid && !strcmp(m->type, "btrfs") && btrfs_has(scan, uuid, m->source))
			return m;
	}
	return NULL;
}

/* The mount that a file lies in: of those seen from here the one with the longest way to it. */
static const struct use_mount *mount_around(const struct use_scan *scan, const char *file)
{
	const struct use_mount *best = NULL;
	size_t i, len, longest = 0;

	for (i = 0; i < scan->mount_count; i++) {
		const struct use_mount *m = &scan->mounts[i];

		len = strlen(m->where);
		len -= len && m->where[len - 1] == '/';
		if (!m->pid && len >= longest && !strncmp(file, m->where, len) &&
		    file[len] == '/') {
			longest = len;
			best = m;
		}
	}
	return best;
}

/* Calls for each line of /proc/swaps: 1 for swap on the device itself, 2 for a swap file in @mount,
 * whose name is then in @file. */
static int swap_of(const struct use_scan *scan, const struct disk *disk,
		   const struct use_mount *mount, char *file, size_t size)
{
	const struct use_mount *around;
	char path[HOST_PATH_MAX];
	const char *line;
	size_t len;

	for (line = scan->swaps; line && *line; line += len + (line[len] == '\n')) {
		size_t word = strcspn(line, " \t\n");

		len = strcspn(line, "\n");
		if (*line != '/' || word >= sizeof(path))
			continue;
		memcpy(path, line, word);
		path[word] = '\0';
		if (is_path_of(disk, path))
			return 1;
		around = mount ? mount_around(scan, path) : NULL;
		if (around && !strcmp(around->number, mount->number)) {
			host_printable(path, file, size);
			return 2;
		}
	}
	return 0;
}

/* Reads what a look at disks needs. What cannot be read is noted. */
static int read_parts(struct use_look *look)
{
	static const struct {
		int (*read)(struct use_scan *scan);
		const char *what;
	} parts[] = {
		{ use_scan_mounts, "what is mounted" },
		{ use_scan_swaps, "what is swap space" },
		{ use_scan_loops, "what loop devices stand on" },
		{ use_scan_btrfs, "what btrfs file systems stand on" },
	};
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		ret = parts[i].read(look->scan);
		if (ret == -ENOMEM)
			return ret;
		if (ret)
			use_unknown(look, ret, "%s cannot be read", parts[i].what);
	}
	if (look->scan->mounts_part.hidden)
		use_unknown(look, -EACCES, "what is mounted in other mount namespaces cannot be "
			    "read");
	return 0;
}

/* --- what stands on a device ----------------------------------------------------------------- */

static void dev_name(const char *name, char buf[HOST_NAME_MAX])
{
	char *c;

	snprintf(buf, HOST_NAME_MAX, "%s", name);
	for (c = buf; *c; c++)
		*c = *c == '!' ? '/' : *c; /* cciss!c0d0 is /dev/cciss/c0d0 */
}

static bool is_number(const char *text)
{
	size_t major = strspn(text, "0123456789");
	size_t minor = text[major] == ':' ? strspn(text + major + 1, "0123456789") : 0;

	return major && minor && !text[major + 1 + minor];
}

/* The device @name, whose folder below sysfs is @dir, stands on @below. */
static int climb(struct walk *w, struct disk *below, const char *name, const char *dir)
{
	const struct host *host = w->look->host;
	char chain[CHAIN_MAX], detail[48] = "";
	struct disk disk = { .name = name, .chain = chain, .depth = below->depth + 1 };
	int ret = use_seen_add(&w->seen, name);

	below->claimed = true;
	if (ret <= 0)
		return ret;
	dev_name(name, disk.dev);
	if (host_read(host, disk.number, sizeof(disk.number), "%s/dev", dir) < 0 ||
	    !is_number(disk.number))
		disk.number[0] = '\0';
	if (host_read(host, disk.mapped, sizeof(disk.mapped), "%s/dm/name", dir) < 0)
		disk.mapped[0] = '\0';
	if (*disk.mapped)
		host_printable(disk.mapped, detail, sizeof(detail));
	else if (host_read(host, detail, sizeof(detail), "%s/md/level", dir) < 0)
		detail[0] = '\0';
	host_printable(detail, detail, sizeof(detail));
	snprintf(chain, sizeof(chain), "%s%s holds %s%s%s%s", below->chain,
		 strlen(below->chain) + 3 * (size_t)HOST_NAME_MAX >= sizeof(chain) ? " ..." :
		 below->depth ? ", that" : "", name, *detail ? " (" : "", detail,
		 *detail ? ")" : "");
	return walk_disk(w, &disk);
}

static int climb_holders(struct walk *w, struct disk *disk)
{
	char path[HOST_PATH_MAX], sub[128];
	struct dirent *e;
	int ret = 0;
	DIR *dir;

	if (host_path(path, w->look->host->sysfs_root, "dev/block/%s/holders", disk->number))
		return 0;
	dir = opendir(path);
	if (!dir) {
		if (errno != ENOENT)
			use_unknown(w->look, -errno, "what stands on %s cannot be read",
				    disk->name);
		return 0;
	}
	while (!ret && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(sub, sizeof(sub), "dev/block/%s/holders/%.63s", disk->number, e->d_name);
		if (host_name_ok(e->d_name))
			ret = climb(w, disk, e->d_name, sub);
		else
			use_unknown(w->look, -EINVAL, "what stands on %s has an odd name",
				    disk->name);
	}
	closedir(dir);
	return ret;
}

/* Partitions of what stands on a function's disk; those of its own are nodes of their own. */
static int climb_partitions(struct walk *w, struct disk *disk)
{
	char path[HOST_PATH_MAX], sub[128];
	struct dirent *e;
	int ret = 0;
	DIR *dir;

	if (!disk->depth ||
	    host_path(path, w->look->host->sysfs_root, "dev/block/%s", disk->number))
		return 0;
	dir = opendir(path);
	while (dir && !ret && (e = readdir(dir))) {
		if (strncmp(e->d_name, disk->name, strlen(disk->name)) != 0 ||
		    !host_name_ok(e->d_name))
			continue;
		snprintf(sub, sizeof(sub), "dev/block/%s/%.63s", disk->number, e->d_name);
		if (host_has(w->look->host, "%s/partition", sub))
			ret = climb(w, disk, e->d_name, sub);
	}
	if (dir)
		closedir(dir);
	return ret;
}

static int climb_loops(struct walk *w, struct disk *disk)
{
	const struct use_scan *scan = w->look->scan;
	char sub[128];
	size_t i;
	int ret = 0;

	for (i = 0; i < scan->loop_count && !ret; i++) {
		if (!is_path_of(disk, scan->loops[i].below))
			continue;
		snprintf(sub, sizeof(sub), "class/block/%s", scan->loops[i].name);
		ret = climb(w, disk, scan->loops[i].name, sub);
	}
	return ret;
}

/* --- the proofs ------------------------------------------------------------------------------ */

/* What is on the device: the kinds, and what is to be said of those that are not forced, beginning
 * with @is (" is" or ","). */
static unsigned int look_content(struct use_look *look, const struct disk *disk, const char *is,
				 char *buf, size_t size)
{
	const char *uuid = btrfs_of(look->scan, disk);
	const struct use_mount *m = mount_of(look->scan, disk, uuid);
	char where[96], file[64], comm[32];
	unsigned int mask = 0;
	int swap, n = 0;

	buf[0] = '\0';
	if (m || uuid)
		mask |= USE_MOUNT;
	if (m && !(look->force & USE_MOUNT)) {
		n = snprintf(buf, size, "%s mounted on %s", is,
			     host_printable(m->where, where, sizeof(where)));
		if (m->pid) {
			use_scan_comm(look->host, m->pid, comm, sizeof(comm));
			n += snprintf(buf + n, size - (size_t)n,
				      " in the mount namespace of %s (pid %d)", comm, (int)m->pid);
		}
	} else if (uuid && !(look->force & USE_MOUNT)) {
		n = snprintf(buf, size, "%s part of a btrfs file system in use", is);
	}
	swap = swap_of(look->scan, disk, m, file, sizeof(file));
	mask |= swap ? USE_SWAP : 0;
	if (swap == 1 && !(look->force & USE_SWAP))
		snprintf(buf + n, size - (size_t)n, "%s swap space in use", n ? " and" : is);
	else if (swap && !(look->force & USE_SWAP))
		snprintf(buf + n, size - (size_t)n, "%s%s the swap file %s", n ? "" : is,
			 n ? " with" : " under", file);
	return mask;
}

/* A claim that nothing else explains: ZFS, a file system in a namespace out of sight, a RAID ... */
static unsigned int look_claim(struct use_look *look, const struct disk *disk, const char *is,
			       char *buf, size_t size)
{
	char path[HOST_PATH_MAX];
	int ret;

	if (host_path(path, look->host->dev_root, "%s", disk->dev))
		return 0;
	ret = look->host->ops->node_try(look->host, path, 1);
	if (ret == -EBUSY) {
		snprintf(buf, size, "%s held exclusively (by a file system, LVM or RAID)", is);
		return USE_HOLDER;
	}
	/* A drive without medium, or one that is gone, holds nothing. */
	if (ret && ret != -ENOENT && ret != -ENXIO && ret != -ENODEV && ret != -ENOMEDIUM)
		use_unknown(look, ret, "whether somebody holds %s cannot be found out", disk->dev);
	return 0;
}

static int look_openers(struct use_look *look, const struct disk *disk)
{
	char shown[HOST_NAME_MAX + 8], name[HOST_NAME_MAX + 8];
	int ret;

	snprintf(shown, sizeof(shown), "/dev/%s", disk->dev);
	ret = use_look_opener(look, disk->dev, shown, USE_PROCESS);
	if (ret || !*disk->mapped)
		return ret;
	snprintf(name, sizeof(name), "mapper/%s", disk->mapped);
	return use_look_opener(look, name, shown, USE_PROCESS);
}

static int walk_disk(struct walk *w, struct disk *disk)
{
	const char *is = disk->depth ? "," : " is";
	struct use_look *look = w->look;
	char text[192];
	unsigned int mask;
	bool held;
	int ret = 0;

	if (disk->depth >= DEPTH_MAX) {
		use_unknown(look, -ELOOP, "what stands on %s cannot be followed", disk->name);
		return 0;
	}
	held = disk->claimed;
	if (*disk->number) {
		ret = climb_holders(w, disk);
		ret = ret ? ret : climb_partitions(w, disk);
	}
	ret = ret ? ret : climb_loops(w, disk);
	ret = ret ? ret : look_openers(look, disk);
	if (ret)
		return ret;
	held = held || disk->claimed;
	mask = look_content(look, disk, is, text, sizeof(text));
	if (!mask && !held)
		mask = look_claim(look, disk, is, text, sizeof(text));
	disk->claimed = held || mask;
	if (mask)
		use_proof(look, mask | (disk->depth ? USE_HOLDER : 0),
			  mask & USE_MOUNT ? "unmount it" : mask & USE_SWAP ? "run swapoff" :
			  "release it", "%s%s", disk->chain, text);
	else if (disk->depth && !held)
		use_proof(look, USE_HOLDER, "take that apart", "%s", disk->chain);
	return 0;
}

/* --- the function's own nodes ---------------------------------------------------------------- */

/* True when a multipath NVMe disk reaches one of its controllers through the function @a. */
static bool nvme_head_uses(const struct host *host, const char *link, const char *a)
{
	const char *subsys = strstr(link, "/nvme-subsystem/");
	char path[HOST_PATH_MAX], target[HOST_PATH_MAX], needle[PCI_ADDR_STRLEN + 2];
	bool found = false;
	struct dirent *e;
	ssize_t n;
	DIR *dir;

	if (!subsys)
		return false;
	subsys += strlen("/nvme-subsystem/");
	if (host_path(path, host->sysfs_root, "class/nvme-subsystem/%.*s",
		      (int)strcspn(subsys, "/"), subsys))
		return false;
	snprintf(needle, sizeof(needle), "/%s/", a);
	dir = opendir(path);
	while (dir && !found && (e = readdir(dir))) {
		n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		found = strstr(target, needle) != NULL;
	}
	if (dir)
		closedir(dir);
	return found;
}

static bool node_is_below(const struct host *host, const struct use_node *node, const char *a)
{
	char needle[PCI_ADDR_STRLEN + 2];

	snprintf(needle, sizeof(needle), "/%s/", a);
	return strstr(node->link, needle) || nvme_head_uses(host, node->link, a);
}

static int look_block(struct walk *w, const struct use_node *node, bool *claimed)
{
	const char *name = strrchr(node->link, '/');
	struct disk disk = { .claimed = *claimed };
	int ret;

	disk.name = name ? name + 1 : node->name;
	disk.chain = node->name;
	snprintf(disk.dev, sizeof(disk.dev), "%s", node->name);
	if (is_number(node->number))
		memcpy(disk.number, node->number, sizeof(disk.number));
	ret = use_seen_add(&w->seen, disk.name);
	ret = ret > 0 ? walk_disk(w, &disk) : ret;
	*claimed = disk.claimed;
	return ret;
}

static int node_cmp(const void *a, const void *b)
{
	return -strcmp((*(struct use_node *const *)a)->link, (*(struct use_node *const *)b)->link);
}

/* Is @part, by its place in the device tree, a partition of @disk? */
static bool is_part_of(const struct use_node *part, const struct use_node *disk)
{
	size_t len = strlen(disk->link);

	return !strncmp(part->link, disk->link, len) && part->link[len] == '/';
}

/* Partitions before their disks, which are claimed with them. */
static int look_blocks(struct use_look *look, struct use_node **nodes, size_t count)
{
	struct walk w = { .look = look };
	bool *claimed = calloc(count, sizeof(*claimed));
	size_t i, j;
	int ret = claimed ? read_parts(look) : -ENOMEM;

	qsort(nodes, count, sizeof(struct use_node *), node_cmp);
	for (i = 0; i < count && !ret; i++) {
		for (j = 0; j < i; j++)
			claimed[i] = claimed[i] || (claimed[j] && is_part_of(nodes[j], nodes[i]));
		ret = look_block(&w, nodes[i], &claimed[i]);
	}
	free(w.seen.names);
	free(claimed);
	return ret;
}

static int look_chars(struct use_look *look, const struct use_node *node)
{
	char shown[HOST_NAME_MAX + 8];

	snprintf(shown, sizeof(shown), "/dev/%.63s", node->name);
	return use_look_opener(look, node->name, shown,
			       strncmp(node->name, "vfio/", 5) ? USE_PROCESS : USE_VFIO);
}

int use_look_nodes(struct use_look *look)
{
	struct use_scan *scan = look->scan;
	struct use_node **blocks;
	size_t i, count = 0;
	int ret = use_scan_nodes(scan);

	if (ret == -ENOMEM)
		return ret;
	if (ret) {
		use_unknown(look, ret, "its device nodes cannot be read");
		return 0;
	}
	blocks = calloc(scan->node_count + 1, sizeof(struct use_node *));
	if (!blocks)
		return -ENOMEM;
	for (i = 0; i < scan->node_count && !ret; i++) {
		if (!node_is_below(look->host, &scan->nodes[i], look->a))
			continue;
		if (scan->nodes[i].block)
			blocks[count++] = &scan->nodes[i];
		else
			ret = look_chars(look, &scan->nodes[i]);
	}
	if (!ret && count)
		ret = look_blocks(look, blocks, count);
	free(blocks);
	return ret;
}
