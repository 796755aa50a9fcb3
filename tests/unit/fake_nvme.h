/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An NVMe controller with secondary controllers for the VFs of a PF on the fake host: it does what the
 * specification says of Identify, Virtualization Management and Namespace Attachment, and fails or lies
 * on command. A failure inside the fake itself aborts the test program.
 */
#ifndef VIADUCT_TESTS_FAKE_NVME_H
#define VIADUCT_TESTS_FAKE_NVME_H

#include "fake_sysfs.h"
#include "sriov/vf_attr.h"

#define FAKE_NVME_VFS 300
#define FAKE_NVME_LOG 512

struct fake_nvme_vf {
	uint16_t id, number; /* controller ID; VF number, from 1 */
	bool online;
	uint16_t queues, vectors;
	uint64_t namespaces; /* attached: bit N - 1 is namespace N */
	bool was_reset;	     /* since its resources changed */
};

enum fake_nvme_lie {
	FAKE_NVME_HONEST,
	FAKE_NVME_LIST_LONG,	  /* more secondary controllers than the list has room for */
	FAKE_NVME_LIST_DISORDER,  /* their IDs go down: a reader that pages would never end */
	FAKE_NVME_ATTACHED_LONG,  /* more attached controllers than the list has room for */
	FAKE_NVME_SPACES_DISORDER,
	FAKE_NVME_LAZY,		  /* says done and does nothing */
};

struct fake_nvme {
	struct vf_ops ops;
	const struct host_ops *host_ops;
	struct host_ops with_reset; /* host_ops, and `reset` of the VFs */
	struct fake_nvme_vf vfs[FAKE_NVME_VFS];
	size_t count;
	bool virtualization, management; /* has these commands */
	uint8_t types;			 /* which resources are flexible: 1 queues, 2 vectors */
	uint32_t total[2];		 /* flexible resources: queues, vectors */
	uint16_t primary[2], max[2];
	uint64_t allocated;		 /* namespaces there are */
	uint64_t private;		 /* of these, for one controller each */
	/* Faults. */
	enum fake_nvme_lie lie;
	bool needs_reset;		 /* a VF goes online after a reset only */
	int reset_code;			 /* what writing `reset` answers */
	unsigned long seen, fail_at;	 /* the fail_at-th command from now (1: the next); 0: none */
	int fail_with;			 /* -errno, or an NVMe status */
	/* What was asked for: "offline 1, queues 1 2, online 1, attach 1 3, reset". */
	char log[FAKE_NVME_LOG];
};

/* On the heap. Makes the controller nvme0 below the PF @pf and hooks itself into the host of @f. */
struct fake_nvme *fake_nvme_new(struct fake *f, const char *pf, unsigned int vfs);
void fake_nvme_free(struct fake_nvme *n);

/* From now on the @at-th command is answered @with; forgets the log. */
void fake_nvme_fail(struct fake_nvme *n, unsigned long at, int with);

#endif
