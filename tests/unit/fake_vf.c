// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_vf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_sysfs_priv.h"
#include "sriov/func.h"

static struct fake_vf *fake_of(const struct host *host)
{
	return container_of((void *)host->vf_ops, struct fake_vf, ops);
}

/* A VF keeps its settings until the number of VFs changes. */
static void count_changes(struct fake *f, const char *pf)
{
	struct fake_vf *v = fake_of(&f->host);
	size_t i;

	for (i = 0; i < FAKE_VF_MAX; i++) {
		if (!strcmp(v->entries[i].pf, pf))
			v->entries[i].pf[0] = '\0';
	}
}

struct vf_attrs *fake_vf_attrs(struct fake_vf *v, const char *pf, unsigned int index)
{
	struct fake_vf_entry *e, *empty = NULL;
	size_t i;

	for (i = 0; i < FAKE_VF_MAX; i++) {
		e = &v->entries[i];
		if (!strcmp(e->pf, pf) && e->index == index)
			return &e->attrs;
		if (!*e->pf && !empty)
			empty = e;
	}
	if (!empty)
		fk_die("too many VFs", pf);
	snprintf(empty->pf, sizeof(empty->pf), "%s", pf);
	empty->index = index;
	empty->attrs = v->fresh;
	return &empty->attrs;
}

/* The settings of VF @vf of the function whose interface is @ifname; NULL when there is none. */
static struct vf_attrs *find(struct host *host, const char *ifname, unsigned int vf)
{
	struct pci_addr pf, addr;
	char a[PCI_ADDR_STRLEN];

	if (func_resolve(host, ifname, &pf, NULL) || func_vf_addr(host, &pf, vf, &addr))
		return NULL;
	return fake_vf_attrs(fake_of(host), pci_addr_str(&pf, a), vf);
}

static int fault(struct fake_vf *v)
{
	return ++v->seen == v->fail_at ? v->fail_code : 0;
}

static int fake_net_get(struct host *host, const char *ifname, unsigned int vf,
			struct vf_attrs *attrs)
{
	const struct vf_attrs *is = find(host, ifname, vf);
	unsigned int i;

	if (!is)
		return -ENODEV;
	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (is->has & BIT(i))
			attrs->value[i] = is->value[i];
	}
	attrs->has |= is->has;
	return 0;
}

static int fake_net_set(struct host *host, const char *ifname, unsigned int vf,
			const struct vf_attrs *want, uint32_t which)
{
	struct fake_vf *v = fake_of(host);
	struct vf_attrs *is = find(host, ifname, vf);
	int ret = fault(v);
	unsigned int i;

	if (ret)
		return ret;
	if (!is)
		return -ENODEV;
	if (which & v->refuses)
		return v->refuse_code;
	if (which & ~is->has)
		return -EOPNOTSUPP;
	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (!(which & ~v->forgets & BIT(i)) ||
		    (v->keeps_mac && i == VF_ATTR_MAC && !want->value[i]))
			continue;
		is->value[i] = want->value[i];
	}
	return 0;
}

static int fake_eswitch_get(struct host *host, const char *bdf, unsigned int *ret_mode)
{
	const struct fake_vf *v = fake_of(host);

	if (strcmp(v->eswitch_pf, bdf) != 0)
		return -ENODEV;
	*ret_mode = v->eswitch;
	return 0;
}

static int fake_eswitch_set(struct host *host, const char *bdf, unsigned int mode,
			    struct err *words)
{
	struct fake_vf *v = fake_of(host);
	int ret = fault(v);

	if (strcmp(v->eswitch_pf, bdf) != 0)
		return -ENODEV;
	if (ret && v->eswitch_words)
		return err_set(words, ret, "%s", v->eswitch_words);
	if (!ret)
		v->eswitch = mode;
	return ret;
}

struct fake_vf *fake_vf_new(struct fake *f)
{
	struct fake_vf *v = calloc(1, sizeof(*v));

	if (!v)
		fk_die("calloc", "fake_vf");
	v->ops = (struct vf_ops){ .net_get = fake_net_get, .net_set = fake_net_set,
				  .eswitch_get = fake_eswitch_get,
				  .eswitch_set = fake_eswitch_set };
	v->sysfs = f;
	v->fresh.has = FAKE_VF_ATTRS;
	v->fresh.value[VF_ATTR_SPOOFCHK] = 1;
	v->fresh.value[VF_ATTR_VLAN_PROTO] = 0x8100;
	f->host.vf_ops = &v->ops;
	f->count_changes = count_changes;
	return v;
}

void fake_vf_free(struct fake_vf *v)
{
	if (!v)
		return;
	v->sysfs->host.vf_ops = NULL;
	v->sysfs->count_changes = NULL;
	free(v);
}

void fake_vf_fail(struct fake_vf *v, unsigned long at, int code)
{
	v->seen = 0;
	v->fail_at = at;
	v->fail_code = code;
}
