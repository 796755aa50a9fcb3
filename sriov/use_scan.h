/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the look for use asks of one pass over the host. Internal to sriov/. */
#ifndef VIADUCT_SRIOV_USE_SCAN_H
#define VIADUCT_SRIOV_USE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "host.h"

/* One row of /sys/dev/{block,char}. */
struct use_node {
	bool block;
	char number[24]; /* "259:1" */
	char *link;	 /* its place in the device tree, as the link says */
	char *name;	 /* below /dev: "nvme0n1", "vfio/devices/vfio0" */
};

/* One open device node. */
struct use_open {
	char *name; /* below /dev */
	pid_t pid;
};

/* One line of a mountinfo. */
struct use_mount {
	char number[24];
	char *where, *type, *source;
	pid_t pid; /* 0: seen from here; else from this process, in a mount namespace of its own */
};

/* A device and what no "holders" tells of it: a loop device and its file, a device and the btrfs
 * that it is part of. */
struct use_stack {
	char name[HOST_NAME_MAX];
	char *below;
};

/* A part of the scan: read once, and why that failed. */
struct use_part {
	bool done;
	int error;	     /* -errno, 0 */
	unsigned int hidden; /* processes that could not be looked into */
};

struct use_scan {
	const struct host *host;
	struct use_part nodes_part, opens_part, mounts_part, swaps_part, loops_part, btrfs_part,
		routes_part, ssh_part;
	struct use_node *nodes;
	struct use_open *opens;	  /* sorted by name */
	struct use_mount *mounts; /* those seen from here first */
	struct use_stack *loops;  /* below: the backing file */
	struct use_stack *btrfs;  /* below: the file system's UUID */
	size_t node_count, open_count, mount_count, loop_count, btrfs_count;
	char *swaps;		  /* the text of /proc/swaps, NULL without swap */
	struct host_route *routes;
	size_t route_count;
	/* The way to the SSH client of who asks; "" without one. */
	char ssh_client[64], ssh_ifname[HOST_NAME_MAX];
};

/* Each reads its part once. Return 0, -ENOMEM, or the -errno that tells why it cannot be read. */
int use_scan_nodes(struct use_scan *scan);
int use_scan_opens(struct use_scan *scan);
int use_scan_mounts(struct use_scan *scan);
int use_scan_swaps(struct use_scan *scan);
int use_scan_loops(struct use_scan *scan);
int use_scan_btrfs(struct use_scan *scan);
/* These two ask through what the caller names, host_ops.routes and .route_to. */
typedef int use_routes_fn(const struct host *host, struct host_route **ret, size_t *ret_count);
typedef int use_route_to_fn(const struct host *host, const char *to, const char *from,
			    char ifname[HOST_NAME_MAX]);
int use_scan_routes(struct use_scan *scan, use_routes_fn *routes);
int use_scan_ssh(struct use_scan *scan, use_route_to_fn *route_to);

/* The process that has /dev/@name open, or 0. After use_scan_opens(). */
pid_t use_scan_opener(const struct use_scan *scan, const char *name);

/* The name of a process, printable; "?" when it is not known. */
void use_scan_comm(const struct host *host, pid_t pid, char *buf, size_t size);

/* The whole of a file of any length, terminated; *@ret_len (may be NULL) without the terminator.
 * NULL with errno. */
char *use_scan_file(const char *path, size_t *ret_len);

/* The names that a walk has come by, so that it comes by each once. @names is freed with free(). */
struct use_seen {
	char (*names)[HOST_NAME_MAX];
	size_t count;
};

/* Returns 1 when the name is new, 0 when not, or -ENOMEM. */
int use_seen_add(struct use_seen *seen, const char *name);

/* @array with room for one more element of @size bytes; it doubles when it is full. NULL: no
 * memory, and @array is as it was. */
void *use_scan_grow(void *array, size_t count, size_t size);

#endif
