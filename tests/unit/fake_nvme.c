// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_nvme.h"

#include <errno.h>
#include <linux/nvme_ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

#define PAGE 4096
#define DNR 0x4000 /* "do not retry", as real controllers set it */
#define BAD_FIELD (DNR | 0x002)
#define NO_NAMESPACE (DNR | 0x00b)
#define ATTACHED (DNR | 0x118)
#define PRIVATE (DNR | 0x119)
#define NOT_ATTACHED (DNR | 0x11a)
#define BAD_LIST (DNR | 0x11c)
#define BAD_CONTROLLER (DNR | 0x11f)
#define BAD_STATE (DNR | 0x120)
#define BAD_NUMBER (DNR | 0x121)
#define BAD_RESOURCE (DNR | 0x122)

static struct fake_nvme *of_host(const struct host *host)
{
	return container_of(host->vf_ops, struct fake_nvme, ops);
}

static void note(struct fake_nvme *n, const char *what, unsigned int id, int value)
{
	size_t len = strlen(n->log);
	char more[16] = "";

	if (value >= 0)
		snprintf(more, sizeof(more), " %d", value);
	snprintf(n->log + len, sizeof(n->log) - len, "%s%s %u%s", len ? ", " : "", what, id, more);
}

static struct fake_nvme_vf *find(struct fake_nvme *n, unsigned int id)
{
	size_t i;

	for (i = 0; i < n->count; i++) {
		if (n->vfs[i].id == id)
			return &n->vfs[i];
	}
	return NULL;
}

static uint16_t *resource(struct fake_nvme_vf *vf, unsigned int type)
{
	return type ? &vf->vectors : &vf->queues;
}

static uint32_t assigned(struct fake_nvme *n, unsigned int type)
{
	uint32_t sum = 0;
	size_t i;

	for (i = 0; i < n->count; i++)
		sum += *resource(&n->vfs[i], type);
	return sum;
}

static void put_secondaries(struct fake_nvme *n, uint8_t *page, unsigned int from)
{
	unsigned int count = 0;
	size_t i;

	for (i = 0; i < n->count && count < 127; i++) {
		uint8_t *e = page + (size_t)32 * (count + 1);

		if (n->vfs[i].id < from)
			continue;
		put_le16(e, n->vfs[i].id);
		e[4] = n->vfs[i].online;
		put_le16(e + 8, n->vfs[i].number);
		put_le16(e + 10, n->vfs[i].queues);
		put_le16(e + 12, n->vfs[i].vectors);
		count++;
	}
	page[0] = (uint8_t)count;
	if (n->lie == FAKE_NVME_LIST_LONG)
		page[0] = 128;
	if (n->lie == FAKE_NVME_LIST_DISORDER) {
		memset(page, 0, PAGE);
		page[0] = 127; /* all of them controller 0, of no VF */
	}
}

static void put_primary(struct fake_nvme *n, uint8_t *page)
{
	unsigned int type;

	page[4] = n->types;
	for (type = 0; type < 2; type++) {
		uint8_t *at = page + 32 + (size_t)32 * type;

		put_le32(at, n->total[type]);
		put_le32(at + 4, assigned(n, type));
		put_le16(at + 8, n->primary[type]);
		put_le16(at + 12, n->max[type]);
	}
}

static void put_spaces(struct fake_nvme *n, uint8_t *page)
{
	unsigned int nsid;
	size_t count = 0;

	for (nsid = 1; nsid <= 64; nsid++) {
		if (n->allocated >> (nsid - 1) & 1)
			put_le32(page + 4 * count++, nsid);
	}
	if (n->lie == FAKE_NVME_SPACES_DISORDER)
		put_le32(page + 4 * count, 1);
}

static int put_attached(struct fake_nvme *n, uint8_t *page, unsigned int nsid, unsigned int from)
{
	unsigned int count = 0;
	size_t i;

	if (!nsid || nsid > 64 || !(n->allocated >> (nsid - 1) & 1))
		return NO_NAMESPACE;
	for (i = 0; i < n->count; i++) {
		if (n->vfs[i].id >= from && n->vfs[i].namespaces >> (nsid - 1) & 1)
			put_le16(page + (size_t)2 * ++count, n->vfs[i].id);
	}
	put_le16(page, (uint16_t)(n->lie == FAKE_NVME_ATTACHED_LONG ? 2048 : count));
	return 0;
}

static int identify(struct fake_nvme *n, const struct nvme_passthru_cmd *cmd, uint8_t *page)
{
	memset(page, 0, PAGE);
	switch (cmd->cdw10 & 0xff) {
	case 0x01:
		put_le16(page + 256, (uint16_t)(n->virtualization << 7 | n->management << 3));
		return 0;
	case 0x10:
		put_spaces(n, page);
		return 0;
	case 0x12:
		return put_attached(n, page, cmd->nsid, cmd->cdw10 >> 16);
	case 0x14:
		put_primary(n, page);
		return 0;
	case 0x15:
		put_secondaries(n, page, cmd->cdw10 >> 16);
		return 0;
	default:
		return BAD_FIELD;
	}
}

static int assign(struct fake_nvme *n, struct fake_nvme_vf *vf, unsigned int type, uint16_t count)
{
	uint16_t *now = resource(vf, type);

	note(n, type ? "vectors" : "queues", vf->id, count);
	if (vf->online)
		return BAD_STATE;
	if (count > n->max[type])
		return BAD_NUMBER;
	if (assigned(n, type) + n->primary[type] - *now + count > n->total[type])
		return BAD_RESOURCE;
	if (n->lie != FAKE_NVME_LAZY)
		*now = count;
	vf->was_reset = false;
	return 0;
}

static int manage(struct fake_nvme *n, const struct nvme_passthru_cmd *cmd)
{
	struct fake_nvme_vf *vf = find(n, cmd->cdw10 >> 16);

	if (cmd->addr || cmd->data_len)
		return -EFAULT;
	if (!vf)
		return BAD_CONTROLLER;
	switch (cmd->cdw10 & 0xf) {
	case 7:
		note(n, "offline", vf->id, -1);
		vf->online = false;
		vf->queues = vf->vectors = 0;
		return 0;
	case 8:
		return assign(n, vf, cmd->cdw10 >> 8 & 7, (uint16_t)cmd->cdw11);
	case 9:
		note(n, "online", vf->id, -1);
		if (vf->queues < 2 || !vf->vectors || (n->needs_reset && !vf->was_reset))
			return BAD_STATE;
		vf->online = n->lie != FAKE_NVME_LAZY;
		return 0;
	default:
		return BAD_FIELD;
	}
}

static bool held_by_another(struct fake_nvme *n, const struct fake_nvme_vf *vf, uint64_t bit)
{
	size_t i;

	for (i = 0; i < n->count; i++) {
		if (&n->vfs[i] != vf && n->vfs[i].namespaces & bit)
			return true;
	}
	return false;
}

static int attach(struct fake_nvme *n, const struct nvme_passthru_cmd *cmd, const uint8_t *page)
{
	struct fake_nvme_vf *vf = find(n, get_le16(page + 2));
	uint64_t bit = cmd->nsid && cmd->nsid <= 64 ? UINT64_C(1) << (cmd->nsid - 1) : 0;
	bool detach = cmd->cdw10 & 1;

	if (get_le16(page) != 1 || !vf)
		return BAD_LIST;
	note(n, detach ? "detach" : "attach", vf->id, (int)cmd->nsid);
	if (!(n->allocated & bit))
		return NO_NAMESPACE;
	if (!(vf->namespaces & bit) == detach)
		return detach ? NOT_ATTACHED : ATTACHED;
	if (!detach && n->private & bit && held_by_another(n, vf, bit))
		return PRIVATE;
	if (n->lie != FAKE_NVME_LAZY)
		vf->namespaces ^= bit;
	return 0;
}

static int admin(struct host *host, const char *node, struct nvme_passthru_cmd *cmd)
{
	struct fake_nvme *n = of_host(host);
	uint8_t *page = (uint8_t *)(uintptr_t)cmd->addr;

	if (strcmp(node, "nvme0") != 0)
		return -ENOENT;
	if (++n->seen == n->fail_at)
		return n->fail_with;
	if (cmd->opcode == 0x1c && n->virtualization)
		return manage(n, cmd);
	if (cmd->data_len != PAGE || !page)
		return -EFAULT;
	if (cmd->opcode == 0x06)
		return identify(n, cmd, page);
	return cmd->opcode == 0x15 && n->management ? attach(n, cmd, page) : 0x001;
}

/* The VFs' `reset`; all else is the fake host's. */
static int write_attr(struct host *host, const char *path, const char *text)
{
	struct fake_nvme *n = of_host(host);
	size_t i, len = strlen(path);

	if (len < 6 || strcmp(path + len - 6, "/reset") != 0)
		return n->host_ops->write(host, path, text);
	for (i = 0; i < n->count && !n->reset_code; i++)
		n->vfs[i].was_reset = true;
	snprintf(n->log + strlen(n->log), sizeof(n->log) - strlen(n->log), ", reset");
	return n->reset_code;
}

struct fake_nvme *fake_nvme_new(struct fake *f, const char *pf, unsigned int vfs)
{
	struct fake_nvme *n = calloc(1, sizeof(*n));
	char path[128];
	unsigned int i;

	if (!n || vfs > FAKE_NVME_VFS)
		abort();
	snprintf(path, sizeof(path), "sys/devices/pci0000:00/%s/nvme/nvme0/dev", pf);
	fake_text(f, path, "239:0\n");
	n->ops.nvme_admin = admin;
	n->host_ops = f->host.ops;
	n->with_reset = *f->host.ops;
	n->with_reset.write = write_attr;
	f->host.vf_ops = &n->ops;
	f->host.ops = &n->with_reset;
	n->virtualization = n->management = true;
	n->types = 3;
	n->total[0] = 4 * vfs;
	n->total[1] = 2 * vfs;
	n->max[0] = 5;
	n->max[1] = 3;
	n->count = vfs;
	for (i = 0; i < vfs; i++) {
		n->vfs[i].id = (uint16_t)(i + 1);
		n->vfs[i].number = (uint16_t)(i + 1);
	}
	return n;
}

void fake_nvme_free(struct fake_nvme *n)
{
	free(n);
}

void fake_nvme_fail(struct fake_nvme *n, unsigned long at, int with)
{
	n->seen = 0;
	n->fail_at = at;
	n->fail_with = with;
	n->log[0] = '\0';
}
