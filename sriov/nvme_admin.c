// SPDX-License-Identifier: GPL-2.0-or-later
#include "nvme_admin.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "vf_attr.h"

#define OP_IDENTIFY 0x06
#define OP_NS_ATTACHMENT 0x15
#define OP_VIRTUALIZATION 0x1c
#define OP_HAS_DATA 3 /* the lowest bits of any opcode: which way its data goes, 0 for none */

#define CNS_CONTROLLER 0x01
#define CNS_ALLOCATED 0x10
#define CNS_ATTACHED 0x12
#define CNS_PRIMARY 0x14
#define CNS_SECONDARIES 0x15

#define ACT_OFFLINE 7
#define ACT_ASSIGN 8
#define ACT_ONLINE 9

/* Identify controller */
#define CTRL_OACS 256
#define OACS_MANAGEMENT BIT(3)
#define OACS_VIRTUALIZATION BIT(7)

/* Primary controller capabilities: each kind of resource is a block of the same form. */
#define PRIMARY_TYPES 4 /* bit 0: queues are flexible, bit 1: interrupts are */
#define SUPPLY_AT(which) (32 + 32 * (size_t)(which))
#define SUPPLY_TOTAL 0
#define SUPPLY_ASSIGNED 4
#define SUPPLY_PRIMARY 8
#define SUPPLY_MAX 12

/* Secondary controller list */
#define SECONDARY_SIZE ((size_t)32)
#define SECONDARY_COUNT 127
#define SECONDARY_STATE 4
#define SECONDARY_VF 8
#define SECONDARY_QUEUES 10
#define SECONDARY_VECTORS 12

#define STATUS_MASK 0x7ff /* type and code; the rest says whether to try again */

/* What a completion's status means (figures 94 to 98, and those of the commands). The type is in
 * bits 10:8, the code below. */
static const struct {
	uint16_t status;
	int code;
	const char *why;
} statuses[] = {
	{ 0x001, -ENOTSUP, "it does not have this command" },
	{ 0x002, -EINVAL, "it does not accept a value of the command" },
	{ 0x004, -EIO, "the data could not be transferred; see: dmesg" },
	{ 0x005, -EIO, "it is losing its power" },
	{ 0x006, -EIO, "an error inside the controller; see: dmesg" },
	{ 0x007, -EIO, "the command was aborted; see: dmesg" },
	{ 0x00b, -ENOENT, "there is no such namespace" },
	{ 0x00c, -EIO, "the command came at a wrong time" },
	{ 0x015, -EPERM, "it denies the command: the controller is locked" },
	{ 0x01c, -EIO, "its last sanitize operation failed; it must be done again first" },
	{ 0x01d, -EBUSY, "it is sanitizing; wait for the end of that" },
	{ 0x020, -EROFS, "the namespace is write-protected" },
	{ 0x021, -EAGAIN, "the command was interrupted; run it again" },
	{ 0x022, -EAGAIN, "the command did not get through; run it again" },
	{ 0x118, -EEXIST, "the namespace is attached to it already" },
	{ 0x119, -EBUSY, "the namespace is private and attached to another controller; detach it "
			 "there, or make it with sharing (NMIC) on" },
	{ 0x11a, -ENOENT, "the namespace is not attached to it" },
	{ 0x11c, -ENODEV, "the VF's controller is not there; make the VF first" },
	{ 0x11f, -ENODEV, "the VF's controller is not one of this PF's secondary controllers" },
	{ 0x120, -EBUSY, "the VF's controller is in the wrong state for that: resources "
			 "are given while it is offline, and it goes online with the VF there, two "
			 "queues and one vector or more" },
	{ 0x121, -ERANGE, "that many are more than one VF may have, or no multiple of what it gives "
			  "at a time" },
	{ 0x122, -ENOSPC, "that many are not free; take some from other VFs or from the PF" },
	{ 0x125, -EIO, "the namespace's group (ANA) cannot be reached through this controller" },
	{ 0x127, -ENOSPC, "the controller has as many namespaces attached as it can" },
	{ 0x370, -EIO, "an error on the way to the controller; see: dmesg" },
	{ 0x371, -ETIMEDOUT, "the driver gave the command up, as a rule after too long a time; see: "
			     "dmesg" },
};

static int explain_status(const struct nvme_ctrl *c, const char *what, int status, struct err *err)
{
	size_t i;

	status &= STATUS_MASK;
	for (i = 0; i < ARRAY_SIZE(statuses); i++) {
		if (statuses[i].status == status)
			return err_set(err, statuses[i].code, "%s: %s: cannot %s: %s (NVMe status "
				       "0x%03x)", c->pf, c->name, what, statuses[i].why, status);
	}
	return err_set(err, -EIO, "%s: %s: cannot %s: the controller answered NVMe status 0x%03x",
		       c->pf, c->name, what, status);
}

static int explain_errno(const struct nvme_ctrl *c, const char *what, int code, struct err *err)
{
	const char *hint = "see: dmesg";

	if (code == -EACCES || code == -EPERM)
		hint = "this needs root; run it with sudo";
	else if (code == -ENOENT)
		hint = "its node is not in /dev; in a container, have the host's /dev there";
	else if (code == -ENOTTY)
		hint = "its node in /dev is something else";
	return err_set(err, code, "%s: %s: cannot %s: %s; %s", c->pf, c->name, what, strerror(-code),
		       hint);
}

int nvme_admin_ioctl(struct host *host, const char *node, struct nvme_passthru_cmd *cmd)
{
	char path[HOST_PATH_MAX];
	CLEANUP_CLOSE int fd = -1;
	int ret = host_path(path, host->dev_root, "%s", node);

	if (ret)
		return ret;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = ioctl(fd, NVME_IOCTL_ADMIN_CMD, cmd);
	return ret < 0 ? -errno : ret;
}

static int run(struct nvme_ctrl *c, struct nvme_passthru_cmd *cmd, const char *what, struct err *err)
{
	int status;

	if (cmd->opcode & OP_HAS_DATA) {
		cmd->addr = (uintptr_t)c->page;
		cmd->data_len = NVME_PAGE_SIZE;
	}
	status = c->host->vf_ops->nvme_admin(c->host, c->name, cmd);
	if (status < 0)
		return explain_errno(c, what, status, err);
	return status & STATUS_MASK ? explain_status(c, what, status, err) : 0;
}

static int identify(struct nvme_ctrl *c, uint8_t cns, uint32_t nsid, uint16_t from, const char *what,
		    struct err *err)
{
	struct nvme_passthru_cmd cmd = {
		.opcode = OP_IDENTIFY,
		.nsid = nsid,
		.cdw10 = (uint32_t)from << 16 | cns,
	};

	memset(c->page, 0, sizeof(c->page));
	return run(c, &cmd, what, err);
}

/* A command that changes something counts as a write of the host. */
static int change(struct nvme_ctrl *c, struct nvme_passthru_cmd *cmd, const char *what,
		  struct err *err)
{
	int ret;

	host_ask(c->host, c->name);
	ret = run(c, cmd, what, err);
	host_asked(c->host, c->name, what, ret);
	return ret;
}

static int nonsense(const struct nvme_ctrl *c, const char *what, struct err *err)
{
	return err_set(err, -EPROTO, "%s: %s: its list of %s makes no sense; its firmware is at "
		       "fault, see: dmesg", c->pf, c->name, what);
}

static bool is_ctrl_name(const char *name)
{
	size_t i = 4;

	if (strncmp(name, "nvme", 4) != 0 || !name[4] || strlen(name) >= HOST_NAME_MAX)
		return false;
	while (isdigit((unsigned char)name[i]))
		i++;
	return !name[i];
}

/* The name of the PF's controller, "nvme0"; false when there is none. */
static bool find_name(const struct host *host, const char *pf, char buf[HOST_NAME_MAX])
{
	char path[HOST_PATH_MAX];
	struct dirent *e;
	bool found = false;
	DIR *dir;

	if (host_path(path, host->sysfs_root, "bus/pci/devices/%s/nvme", pf))
		return false;
	dir = opendir(path);
	while (dir && !found && (e = readdir(dir))) {
		found = is_ctrl_name(e->d_name);
		if (found)
			memcpy(buf, e->d_name, strlen(e->d_name) + 1);
	}
	if (dir)
		closedir(dir);
	return found;
}

bool nvme_is_there(const struct host *host, const struct pci_addr *pf)
{
	char a[PCI_ADDR_STRLEN], name[HOST_NAME_MAX];

	return find_name(host, pci_addr_str(pf, a), name);
}

int nvme_ctrl_init(struct nvme_ctrl *c, struct host *host, const struct pci_addr *pf,
		   struct err *err)
{
	uint16_t oacs;
	int ret;

	c->host = host;
	pci_addr_str(pf, c->pf);
	if (!find_name(host, c->pf, c->name))
		return err_set(err, -ENODEV, "%s: it has no NVMe controller: bind the PF to its own "
			       "driver (vfctl bind %s default)", c->pf, c->pf);
	ret = identify(c, CNS_CONTROLLER, 0, 0, "ask what it can do", err);
	if (ret)
		return ret;
	oacs = get_le16(c->page + CTRL_OACS);
	c->virtualization = oacs & OACS_VIRTUALIZATION;
	c->management = oacs & OACS_MANAGEMENT;
	return 0;
}

int nvme_secondary_read(struct nvme_ctrl *c, unsigned int index, struct nvme_secondary *ret_s,
			struct err *err)
{
	unsigned int from = 0, count = SECONDARY_COUNT, i, id;
	const uint8_t *e;
	int ret;

	/* A list that is not full is the last one. */
	while (count == SECONDARY_COUNT && from <= UINT16_MAX) {
		ret = identify(c, CNS_SECONDARIES, 0, (uint16_t)from,
			       "list its secondary controllers", err);
		if (ret)
			return ret;
		count = c->page[0];
		if (count > SECONDARY_COUNT)
			return nonsense(c, "secondary controllers", err);
		for (i = 0; i < count; i++) {
			e = c->page + SECONDARY_SIZE * (i + 1);
			id = get_le16(e);
			if (id < from)
				return nonsense(c, "secondary controllers", err);
			from = id + 1;
			if (get_le16(e + SECONDARY_VF) != index + 1)
				continue;
			ret_s->id = (uint16_t)id;
			ret_s->online = e[SECONDARY_STATE] & 1;
			ret_s->queues = get_le16(e + SECONDARY_QUEUES);
			ret_s->vectors = get_le16(e + SECONDARY_VECTORS);
			return 0;
		}
	}
	return err_set(err, -ENODEV, "%s: %s: it has no secondary controller for VF %u", c->pf,
		       c->name, index);
}

int nvme_supply_read(struct nvme_ctrl *c, struct nvme_supply ret_supply[NVME_RESOURCES],
		     struct err *err)
{
	const uint8_t *at;
	unsigned int i;
	int ret = identify(c, CNS_PRIMARY, 0, 0, "ask for its queues and vectors", err);

	for (i = 0; !ret && i < NVME_RESOURCES; i++) {
		at = c->page + SUPPLY_AT(i);
		ret_supply[i].flexible = c->page[PRIMARY_TYPES] & BIT(i);
		ret_supply[i].total = get_le32(at + SUPPLY_TOTAL);
		ret_supply[i].assigned = get_le32(at + SUPPLY_ASSIGNED);
		ret_supply[i].primary = get_le16(at + SUPPLY_PRIMARY);
		ret_supply[i].max = get_le16(at + SUPPLY_MAX);
	}
	return ret;
}

static int virtualization(struct nvme_ctrl *c, uint16_t id, unsigned int action, unsigned int type,
			  uint16_t count, const char *what, struct err *err)
{
	struct nvme_passthru_cmd cmd = {
		.opcode = OP_VIRTUALIZATION,
		.cdw10 = (uint32_t)id << 16 | type << 8 | action,
		.cdw11 = count,
	};

	return change(c, &cmd, what, err);
}

int nvme_secondary_online(struct nvme_ctrl *c, uint16_t id, bool online, struct err *err)
{
	char what[64];

	snprintf(what, sizeof(what), "set controller %u %s", id, online ? "online" : "offline");
	return virtualization(c, id, online ? ACT_ONLINE : ACT_OFFLINE, 0, 0, what, err);
}

int nvme_secondary_assign(struct nvme_ctrl *c, uint16_t id, enum nvme_resource which, uint16_t count,
			  struct err *err)
{
	char what[64];

	snprintf(what, sizeof(what), "give controller %u %u %s", id, count,
		 which == NVME_QUEUES ? "queues" : "vectors");
	return virtualization(c, id, ACT_ASSIGN, which, count, what, err);
}

/* 1: namespace @nsid is attached to the controller @id; 0: it is not. */
static int is_attached(struct nvme_ctrl *c, uint16_t id, uint32_t nsid, struct err *err)
{
	int ret = identify(c, CNS_ATTACHED, nsid, id, "ask where a namespace is attached", err);

	/* The list begins with the first ID that is not below the one asked for. */
	if (ret)
		return ret;
	if (get_le16(c->page) >= NVME_PAGE_SIZE / 2)
		return nonsense(c, "attached controllers", err);
	return get_le16(c->page) && get_le16(c->page + 2) == id;
}

int nvme_namespaces_read(struct nvme_ctrl *c, uint16_t id, uint64_t *ret_mask, struct err *err)
{
	uint32_t nsids[NVME_NAMESPACES_MAX], count = 0, last = 0, nsid;
	uint64_t mask = 0;
	unsigned int i;
	int ret = identify(c, CNS_ALLOCATED, 0, 0, "list its namespaces", err);

	if (ret)
		return ret;
	/* In ascending order, ended by 0. */
	for (i = 0; i < NVME_PAGE_SIZE / 4; i++) {
		nsid = get_le32(c->page + 4 * (size_t)i);
		if (!nsid || nsid > NVME_NAMESPACES_MAX)
			break;
		if (nsid <= last)
			return nonsense(c, "namespaces", err);
		nsids[count++] = last = nsid;
	}
	for (i = 0; i < count; i++) {
		ret = is_attached(c, id, nsids[i], err);
		if (ret < 0)
			return ret;
		mask |= (uint64_t)ret << (nsids[i] - 1);
	}
	*ret_mask = mask;
	return 0;
}

int nvme_namespace_attach(struct nvme_ctrl *c, uint16_t id, uint32_t nsid, bool attach,
			  struct err *err)
{
	struct nvme_passthru_cmd cmd = {
		.opcode = OP_NS_ATTACHMENT,
		.nsid = nsid,
		.cdw10 = !attach,
	};
	char what[64];

	memset(c->page, 0, sizeof(c->page));
	put_le16(c->page, 1);
	put_le16(c->page + 2, id);
	snprintf(what, sizeof(what), "%s namespace %u %s controller %u", attach ? "attach" : "detach",
		 nsid, attach ? "to" : "from", id);
	return change(c, &cmd, what, err);
}
