/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of an NVMe controller that has virtual functions, through its character device: who
 * its secondary controllers are, what queues and interrupts they have, which namespaces are attached.
 * What the controller answers is checked and never trusted.
 *
 * Source: NVM Express base specification 2.0: 5.17.2 (Identify: CNS 01h, 10h, 12h, 14h, 15h), 5.19
 * (Namespace Attachment), 5.29 (Virtualization Management), 8.26 (virtualization enhancements).
 */
#ifndef VIADUCT_SRIOV_NVME_ADMIN_H
#define VIADUCT_SRIOV_NVME_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "host.h"
#include "pci_addr.h"

struct err;
struct nvme_passthru_cmd;

#define NVME_PAGE_SIZE 4096    /* of every Identify data structure */
#define NVME_NAMESPACES_MAX 64 /* of those that are looked at: IDs 1 to 64 */

/* What one secondary controller is and has. */
struct nvme_secondary {
	uint16_t id; /* controller ID */
	bool online;
	uint16_t queues, vectors; /* resources assigned, the admin queue among them */
};

enum nvme_resource { NVME_QUEUES, NVME_VECTORS, NVME_RESOURCES };

/* What the PF's controller has of one kind of resource for its VFs. */
struct nvme_supply {
	bool flexible;	   /* false: each VF has what it has */
	uint32_t total;	   /* flexible resources */
	uint32_t primary;  /* of these kept by the PF's own controller */
	uint32_t assigned; /* of these given to VFs */
	uint16_t max;	   /* most for one VF */
};

/* The controller of a PF. */
struct nvme_ctrl {
	struct host *host;
	char pf[PCI_ADDR_STRLEN];
	char name[HOST_NAME_MAX]; /* "nvme0", also its node's name below dev_root */
	bool virtualization;	  /* has the Virtualization Management command */
	bool management;	  /* has namespace management and attachment */
	_Alignas(8) uint8_t page[NVME_PAGE_SIZE]; /* of the command under way */
};

/* True when @pf is bound to the kernel's nvme driver. */
bool nvme_is_there(const struct host *host, const struct pci_addr *pf);

/* Finds the controller of @pf and asks it what it can do. Nothing is kept open. Returns 0, -ENODEV
 * (no controller), -EACCES (not root) or -errno. The functions below return 0 or, explained: what
 * the kernel answered; -EPROTO for an answer that makes no sense; what the status of the completion
 * means; -EIO for one that has no errno. */
int nvme_ctrl_init(struct nvme_ctrl *c, struct host *host, const struct pci_addr *pf,
		   struct err *err);

/* The secondary controller of VF @index (from 0); -ENODEV when the controller has none for it. */
int nvme_secondary_read(struct nvme_ctrl *c, unsigned int index, struct nvme_secondary *ret,
			struct err *err);

int nvme_supply_read(struct nvme_ctrl *c, struct nvme_supply ret[NVME_RESOURCES], struct err *err);

/* Sets the secondary controller @id online, or offline, where it loses the resources that it has. */
int nvme_secondary_online(struct nvme_ctrl *c, uint16_t id, bool online, struct err *err);

/* Gives the secondary controller @id, which is offline, exactly @count. */
int nvme_secondary_assign(struct nvme_ctrl *c, uint16_t id, enum nvme_resource which, uint16_t count,
			  struct err *err);

/* The namespaces attached to the controller @id, as a mask: bit N - 1 is namespace N. */
int nvme_namespaces_read(struct nvme_ctrl *c, uint16_t id, uint64_t *ret_mask, struct err *err);

int nvme_namespace_attach(struct nvme_ctrl *c, uint16_t id, uint32_t nsid, bool attach,
			  struct err *err);

/* vf_ops.nvme_admin of a running host: NVME_IOCTL_ADMIN_CMD. */
int nvme_admin_ioctl(struct host *host, const char *node, struct nvme_passthru_cmd *cmd);

#endif
