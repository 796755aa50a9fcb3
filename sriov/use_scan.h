/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What use.c asks of one pass over the host. Internal to sriov/. */
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

/* One line of mountinfo. */
struct use_mount {
	char number[24];
	char *where;
};

struct use_scan {
	const struct host *host;
	bool nodes_read, opens_read, mounts_read;
	struct use_node *nodes;
	struct use_open *opens;	  /* sorted by name */
	struct use_mount *mounts;
	size_t node_count, open_count, mount_count;
	char *swaps;		  /* the text of /proc/swaps */
};

/* Each reads its part once. Return 0 or -errno with a message. */
int use_scan_nodes(struct use_scan *scan, struct err *err);
int use_scan_opens(struct use_scan *scan, struct err *err);
int use_scan_mounts(struct use_scan *scan, struct err *err);

/* The process that has /dev/@name open, or 0. After use_scan_opens(). */
pid_t use_scan_opener(const struct use_scan *scan, const char *name);

#endif
