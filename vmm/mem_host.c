// SPDX-License-Identifier: GPL-2.0-or-later
#include "mem_host.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/opt.h"
#include "base/util.h"

#define POOL_MAX 512 /* a pool's folder */

static const char *page_name(uint64_t page_size)
{
	return page_size == GIB ? "1 GiB" : page_size == 2 * MIB ? "2 MiB" : "4 KiB";
}

/* The folder of a pool: of all nodes, or of the node that the options name. */
static void pool_path(char *buf, size_t room, const char *sysfs, const struct mem_options *opt,
		      bool of_node)
{
	char node[64] = "/kernel/mm";

	if (of_node)
		snprintf(node, sizeof(node), "/devices/system/node/node%u", opt->node);
	snprintf(buf, room, "%s%s/hugepages/hugepages-%llukB", sysfs, node,
		 (unsigned long long)(opt->page_size / KIB));
}

/* One number of a pool; 0 when it is not there, as a node's pool has no reservations. */
static uint64_t pool_value(const char *pool, const char *name)
{
	char path[POOL_MAX + 32], text[32];
	uint64_t value;

	snprintf(path, sizeof(path), "%s/%s", pool, name);
	if (io_read_text(path, text, sizeof(text)) < 0 || opt_parse_u64(text, &value))
		return 0;
	return value;
}

/* What another mapping may still take. Surplus pages are made on demand, which may fail: but they
 * are made, or not, while mapping. */
static uint64_t pool_free(const char *pool)
{
	uint64_t free = pool_value(pool, "free_hugepages");
	uint64_t reserved = pool_value(pool, "resv_hugepages");
	uint64_t surplus = pool_value(pool, "surplus_hugepages");
	uint64_t over = pool_value(pool, "nr_overcommit_hugepages");

	free = free > reserved ? free - reserved : 0;
	return free + (over > surplus ? over - surplus : 0);
}

int mem_host_pool_error(const char *sysfs, uint64_t size, const struct mem_options *opt,
			bool of_node, struct err *err)
{
	uint64_t need = size / opt->page_size, have, all;
	char pool[POOL_MAX], where[32] = "the host";

	if (of_node)
		snprintf(where, sizeof(where), "node %u", opt->node);
	pool_path(pool, sizeof(pool), sysfs, opt, of_node);
	have = pool_free(pool);
	all = pool_value(pool, "nr_hugepages");
	err_set(err, -ENOMEM,
		"guest memory takes %llu pages of %s, and of the %llu that %s has %llu are free; "
		"run: echo %llu >%s/nr_hugepages",
		(unsigned long long)need, page_name(opt->page_size), (unsigned long long)all, where,
		(unsigned long long)have, (unsigned long long)(all + need - MIN(have, need)), pool);
	if (opt->page_size == GIB)
		err_append(err, ", or boot the host with hugepagesz=1G hugepages=%llu",
			   (unsigned long long)(all + need - MIN(have, need)));
	else if (!of_node)
		err_append(err, " (sysctl vm.nr_hugepages=%llu)",
			   (unsigned long long)(all + need - MIN(have, need)));
	return -ENOMEM;
}

static int check_pool(const char *sysfs, uint64_t size, const struct mem_options *opt,
		      struct err *err)
{
	char pool[POOL_MAX];

	if (opt->bind && opt->populate_set && !opt->populate)
		return err_set(err, -EINVAL,
			       "populate=off: huge pages of one node cannot be reserved without "
			       "taking them, and the guest would end when they run out; leave "
			       "populate=off or node= away");
	if (size % opt->page_size)
		return err_set(err, -EINVAL,
			       "memory of %llu MiB is no whole number of pages of %s; give another "
			       "size or page-size",
			       (unsigned long long)(size / MIB), page_name(opt->page_size));
	pool_path(pool, sizeof(pool), sysfs, opt, false);
	if (access(pool, F_OK))
		return err_set(err, -EINVAL,
			       "page-size: this host has no pages of %s (there is no %s)",
			       page_name(opt->page_size), pool);
	/* The kernel reserves from the pool of all nodes; the node's own has to suffice as well. */
	if (pool_free(pool) < size / opt->page_size)
		return mem_host_pool_error(sysfs, size, opt, false, err);
	if (!opt->bind)
		return 0;
	pool_path(pool, sizeof(pool), sysfs, opt, true);
	if (pool_free(pool) < size / opt->page_size)
		return mem_host_pool_error(sysfs, size, opt, true, err);
	return 0;
}

int mem_host_node_error(const char *sysfs, uint32_t node, int code, struct err *err)
{
	char path[PATH_MAX], list[256];

	if (code == -ENOSYS)
		return err_set(err, code, "node=%u: the host's kernel knows no NUMA nodes", node);
	snprintf(path, sizeof(path), "%s/devices/system/node/has_memory", sysfs);
	if (io_read_text(path, list, sizeof(list)) <= 0)
		return err_set(err, code, "node=%u: the host has no NUMA nodes", node);
	return err_set(
		err, code,
		"node=%u: not a node that this process may take memory from; the host's nodes "
		"with memory: %s (a cpuset may allow fewer)",
		node, list);
}

/* "Node 0 MemTotal:       4028888 kB" */
static uint64_t node_total(const char *sysfs, uint32_t node)
{
	unsigned long long kib = 0;
	char path[PATH_MAX], line[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/devices/system/node/node%u/meminfo", sysfs, node);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Node %*u MemTotal: %llu kB", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib * KIB;
}

static int check_node(const char *sysfs, uint64_t size, const struct mem_options *opt,
		      struct err *err)
{
	uint64_t total = node_total(sysfs, opt->node);

	if (!total)
		return mem_host_node_error(sysfs, opt->node, -EINVAL, err);
	if (size > total)
		return err_set(err, -ENOMEM,
			       "node=%u: memory of %llu MiB is more than the node has (%llu MiB); "
			       "give less, or leave node= away",
			       opt->node, (unsigned long long)(size / MIB),
			       (unsigned long long)(total / MIB));
	return 0;
}

int mem_host_check(const char *sysfs, uint64_t size, const struct mem_options *opt, struct err *err)
{
	int ret = opt->bind ? check_node(sysfs, size, opt, err) : 0;

	if (!ret && mem_options_hugetlb(opt))
		ret = check_pool(sysfs, size, opt, err);
	return ret;
}

/* A limit of this process that a large mapping meets, or NULL. */
static const char *process_limit(uint64_t size)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur < size)
		return "RLIMIT_AS (ulimit -v)";
	if (!getrlimit(RLIMIT_DATA, &limit) && limit.rlim_cur < size)
		return "RLIMIT_DATA (ulimit -d)";
	return NULL;
}

int mem_host_map_error(uint64_t size, int code, struct err *err)
{
	const char *limit = process_limit(size);
	char mode[8] = "?";

	if (code != -ENOMEM)
		return err_sys(err, code, "guest memory: mapping %llu MiB",
			       (unsigned long long)(size / MIB));
	if (limit)
		return err_set(err, code,
			       "guest memory of %llu MiB is beyond the limit %s of this "
			       "process; raise it, or give less with --memory",
			       (unsigned long long)(size / MIB), limit);
	io_read_text("/proc/sys/vm/overcommit_memory", mode, sizeof(mode));
	return err_set(err, code,
		       "the host does not promise %llu MiB of guest memory "
		       "(vm.overcommit_memory=%s%s); give less with --memory, add swap%s",
		       (unsigned long long)(size / MIB), mode,
		       *mode == '2' ? ", CommitLimit in /proc/meminfo" : "",
		       *mode == '2' ? ", or raise vm.overcommit_ratio"
				    : ", or run: sysctl vm.overcommit_memory=1");
}
