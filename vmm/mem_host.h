/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host says of its memory: pools of huge pages, NUMA nodes, accounting. Everything is read
 * below @sysfs ("/sys", or a test's folder) when it is asked for.
 */
#ifndef VIADUCT_VMM_MEM_HOST_H
#define VIADUCT_VMM_MEM_HOST_H

#include <stdint.h>

#include "mem.h"

struct err;

/* Can @size bytes of RAM be made as @opt says? Nothing is taken. 0, or
 *   -EINVAL  the size is no multiple of the page size, the host has no pages of that size, no such
 *	      node, or options that contradict each other
 *   -ENOMEM  the pool or the node has not that much
 * with what is there, what is needed and what to do. */
int mem_host_check(const char *sysfs, uint64_t size, const struct mem_options *opt,
		   struct err *err);

/* The message for a pool, the node's or that of all, that has too few pages. Returns -ENOMEM. */
int mem_host_pool_error(const char *sysfs, uint64_t size, const struct mem_options *opt,
			bool of_node, struct err *err);

/* The message for a map of @size bytes of small pages that came back with -@code: -ENOMEM is what
 * the host's accounting or a limit of this process says no to. Returns @code. */
int mem_host_map_error(uint64_t size, int code, struct err *err);

/* The message for a node that mbind(2) does not take (-@code). Returns @code. */
int mem_host_node_error(const char *sysfs, uint32_t node, int code, struct err *err);

#endif
