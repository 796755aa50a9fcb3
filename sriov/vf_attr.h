/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The settings of a VF that belong to its PF, whatever kind of card it is: one row for each in one
 * table, one number for each value, so that what is, what is asked for and what was can be compared
 * and put back without knowing what they mean. Who reads and writes them is a back end: the PF's
 * network driver (rtnetlink, IFLA_VF_INFO), the NVMe controller (virtualization management), the
 * PCI core (sriov_vf_msix_count).
 *
 * Source: Linux include/uapi/linux/if_link.h; NVM Express base specification 2.0, 5.24 and 8.26;
 * Documentation/ABI/testing/sysfs-bus-pci.
 */
#ifndef VIADUCT_SRIOV_VF_ATTR_H
#define VIADUCT_SRIOV_VF_ATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host.h"
#include "pci_addr.h"

struct err;

enum vf_attr {
	VF_ATTR_MAC,	     /* 48 bits, the first byte the highest; 0: none was set */
	VF_ATTR_VLAN,	     /* 0: untagged, to 4094 */
	VF_ATTR_QOS,	     /* 802.1p priority, 0 to 7 */
	VF_ATTR_VLAN_PROTO,  /* EtherType: 0x8100 (802.1Q) or 0x88a8 (802.1ad) */
	VF_ATTR_SPOOFCHK,    /* 0 or 1 */
	VF_ATTR_TRUST,	     /* 0 or 1 */
	VF_ATTR_LINK_STATE,  /* IFLA_VF_LINK_STATE_*: 0 auto, 1 enable, 2 disable */
	VF_ATTR_MIN_RATE,    /* Mb/s; 0: no minimum */
	VF_ATTR_MAX_RATE,    /* Mb/s; 0: no limit */
	VF_ATTR_NODE_GUID,   /* 64 bits */
	VF_ATTR_PORT_GUID,   /* 64 bits */
	VF_ATTR_VECTORS,     /* MSI-X vectors (NVMe: interrupt resources) */
	VF_ATTR_QUEUES,	     /* NVMe: queue resources, the admin queue among them */
	VF_ATTR_ONLINE,	     /* NVMe: 0 or 1 */
	VF_ATTR_NAMESPACES,  /* NVMe: bit N - 1 is namespace N, 1 to 64, attached */
	VF_ATTR_COUNT
};

struct vf_attrs {
	uint32_t has; /* BIT(VF_ATTR_...) of the values that are there */
	uint64_t value[VF_ATTR_COUNT];
};

/* When a setting may be changed, the least disturbing first. */
enum vf_attr_cost {
	VF_ATTR_LIVE,	 /* at any time */
	VF_ATTR_RESET,	 /* at any time, and the VF's driver sees it at its next reset */
	VF_ATTR_UNBOUND, /* while the VF has no driver */
};

/* How a value is written. */
enum vf_attr_kind {
	VF_ATTR_NUMBER, /* decimal */
	VF_ATTR_WORD,	/* one of a few */
	VF_ATTR_ADDR,	/* 6 bytes, "52:54:00:12:34:56", or "none" */
	VF_ATTR_GUID,	/* 8 bytes */
	VF_ATTR_LIST,	/* "1,3" or "1-4", or "none" */
};

struct vf_attr_row {
	const char *name; /* in files and messages: "mac", "vlan-protocol" */
	enum vf_attr_kind kind;
	enum vf_attr_cost cost;
	const char *help; /* "transmit limit in Mb/s, 0 for none" */
};

const struct vf_attr_row *vf_attr_row(enum vf_attr attr);

/* The setting named @name, or -1. */
int vf_attr_find(const char *name);

/* Decodes "on", "52:54:00:12:34:56", "802.1ad" ... Returns 0, or -EINVAL or -ERANGE with a message
 * that begins with the setting's name. */
int vf_attr_parse(enum vf_attr attr, const char *text, uint64_t *ret_value, struct err *err);

#define VF_ATTR_TEXT_MAX 160 /* room for any value's text */

/* What vf_attr_parse() takes back. Returns @buf. */
const char *vf_attr_text(enum vf_attr attr, uint64_t value, char buf[VF_ATTR_TEXT_MAX]);

/* Which of @want differ from @now, as a mask; those that @now does not have differ. */
uint32_t vf_attrs_differ(const struct vf_attrs *now, const struct vf_attrs *want);

/*
 * Reads all settings that VF @index of @pf has; none for a card that no back end knows. Returns 0,
 * -ENODEV when there is no such VF, or -errno.
 */
int vf_attrs_read(struct host *host, const struct pci_addr *pf, unsigned int index,
		  struct vf_attrs *ret, struct err *err);

/*
 * Changes the settings in the mask @which to those of @want, in the order that the card needs, and
 * reads back that they are so. The caller holds the card's lock and has made the VF
 * driverless where a row's cost asks for it. Each request to the kernel counts as a write of the
 * host. On failure those before the one that failed stay changed; the message names the setting.
 * Returns 0; -ENOTSUP for a setting that this card or its driver does not have; -EIO for one that
 * the card took and did not keep; or the kernel's answer, explained.
 */
int vf_attrs_write(struct host *host, const struct pci_addr *pf, unsigned int index,
		   const struct vf_attrs *want, uint32_t which, struct err *err);

/* eswitch modes of a PF, as devlink has them; -ENOTSUP for a card without. */
enum eswitch_mode { ESWITCH_LEGACY, ESWITCH_SWITCHDEV };

/* "legacy" or "switchdev". */
const char *eswitch_mode_name(enum eswitch_mode mode);

int eswitch_mode_read(struct host *host, const struct pci_addr *pf, enum eswitch_mode *ret,
		      struct err *err);
int eswitch_mode_write(struct host *host, const struct pci_addr *pf, enum eswitch_mode mode,
		       struct err *err);

struct nvme_passthru_cmd;

/* What asks the kernel by other ways than files. Tests put their own in host->vf_ops. */
struct vf_ops {
	/* rtnetlink on the interface @ifname. net_get adds to @ret what VF @vf has; -ENODEV when
	 * there is no such VF or interface. net_set changes the settings in @which alone; VLAN,
	 * priority and protocol are one to the kernel, and so are both rates: all of one or none. 0
	 * or -errno. */
	int (*net_get)(struct host *host, const char *ifname, unsigned int vf,
		       struct vf_attrs *ret);
	int (*net_set)(struct host *host, const char *ifname, unsigned int vf,
		       const struct vf_attrs *want, uint32_t which);
	/* devlink's eswitch mode (a DEVLINK_ESWITCH_MODE_ value) of a PCI function. 0 or -errno;
	 * *@words then has what else the kernel said, if it did. */
	int (*eswitch_get)(struct host *host, const char *bdf, unsigned int *ret_mode);
	int (*eswitch_set)(struct host *host, const char *bdf, unsigned int mode,
			   struct err *words);
	/* NVME_IOCTL_ADMIN_CMD on the character device @node (below dev_root). Returns the status
	 * field of the completion (0: done), or -errno. */
	int (*nvme_admin)(struct host *host, const char *node, struct nvme_passthru_cmd *cmd);
};

/* Gives @host the real vf_ops, unless it is another host whose tree is mounted somewhere: its
 * kernel cannot be asked. For programs that read or change settings: host_init() does not, so that
 * a program without that need carries no netlink library. */
void vf_attr_init(struct host *host);

#endif
