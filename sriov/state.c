// SPDX-License-Identifier: GPL-2.0-or-later
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"
#include "vf.h"

#define DEV "bus/pci/devices/%s/"

static int read_vf(struct host *host, const struct pci_addr *pf, unsigned int index,
		   struct vf_state *ret, struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	struct pci_addr vf;
	int code;

	if (func_vf_addr(host, pf, index, &vf))
		return err_set(err, -ENODEV, "%s: its VF %u vanished", pci_addr_str(pf, a), index);
	code = bind_state_read(host, &vf, &ret->bind, err);
	if (code)
		return code;
	ret->has = STATE_EXACT;
	return vf_attrs_read(host, pf, index, &ret->attrs, err);
}

static int read_vfs(struct host *host, struct func_state *s, struct err *err)
{
	const struct pci_addr *pf = &s->bind.addr;
	char a[PCI_ADDR_STRLEN];
	long count = 0, autoprobe;
	unsigned int i;
	int ret;

	if (host_read_long(host, &count, DEV "sriov_numvfs", pci_addr_str(pf, a)))
		return 0; /* no SR-IOV */
	ret = func_state_resize(s, (unsigned int)MIN(MAX(count, 0), VF_COUNT_MAX));
	if (ret)
		return err_sys(err, ret, "%s", a);
	s->has |= STATE_COUNT;
	if (!host_read_long(host, &autoprobe, DEV "sriov_drivers_autoprobe", a)) {
		s->has |= STATE_AUTOPROBE;
		s->autoprobe = autoprobe != 0;
	}
	if (!eswitch_mode_read(host, pf, &s->mode, NULL))
		s->has |= STATE_MODE;
	ret = vf_wait_all(host, pf, s->count, err);
	for (i = 0; i < s->count && !ret; i++)
		ret = read_vf(host, pf, i, &s->vfs[i], err);
	return ret;
}

int func_state_read(struct host *host, const struct pci_addr *addr, struct func_state *ret_state,
		    struct err *err)
{
	int ret;

	memset(ret_state, 0, sizeof(*ret_state));
	ret = bind_state_read(host, addr, &ret_state->bind, err);
	ret_state->has = STATE_EXACT;
	if (!ret)
		ret = read_vfs(host, ret_state, err);
	if (ret)
		func_state_done(ret_state);
	return ret;
}

void func_state_done(struct func_state *state)
{
	free(state->vfs);
	state->vfs = NULL;
	state->count = 0;
	state->has = 0;
}

int func_state_resize(struct func_state *state, unsigned int count)
{
	struct vf_state *vfs = NULL;

	if (count) {
		vfs = calloc(count, sizeof(*vfs));
		if (!vfs)
			return -ENOMEM;
		if (state->count)
			memcpy(vfs, state->vfs, MIN(count, state->count) * sizeof(*vfs));
	}
	free(state->vfs);
	state->vfs = vfs;
	state->count = count;
	return 0;
}

int func_state_copy(struct func_state *ret_state, const struct func_state *from)
{
	*ret_state = *from;
	ret_state->vfs = NULL;
	ret_state->count = 0;
	if (func_state_resize(ret_state, from->count))
		return -ENOMEM;
	if (from->count)
		memcpy(ret_state->vfs, from->vfs, from->count * sizeof(*from->vfs));
	return 0;
}

bool state_bind_differs(const struct bind_state *now, uint32_t has, const struct bind_state *want,
			bool probed)
{
	if (!(has & STATE_DRIVER))
		return false;
	if (has & STATE_OVERRIDE)
		return strcmp(now->driver, want->driver) != 0 ||
		       strcmp(now->override, want->override) != 0;
	if (!strcmp(want->driver, BIND_DEFAULT) && !probed)
		return *now->override || func_driver_is_vfio(now->driver);
	return bind_changes(now, want->driver);
}

static void fill_bind(uint32_t *has, struct bind_state *bind, uint32_t before_has,
		      const struct bind_state *before)
{
	if (*has & STATE_DRIVER || !(before_has & STATE_DRIVER))
		return;
	*has |= before_has & STATE_EXACT;
	memcpy(bind->driver, before->driver, sizeof(bind->driver));
	memcpy(bind->override, before->override, sizeof(bind->override));
}

static void fill_vf(struct vf_state *want, const struct vf_state *before)
{
	uint32_t open = before->attrs.has & ~want->attrs.has;
	unsigned int i;

	fill_bind(&want->has, &want->bind, before->has, &before->bind);
	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (open & BIT(i))
			want->attrs.value[i] = before->attrs.value[i];
	}
	want->attrs.has |= open;
}

int func_state_fill(struct func_state *want, const struct func_state *before)
{
	static const struct bind_state choice = { .driver = BIND_DEFAULT };
	unsigned int i;

	fill_bind(&want->has, &want->bind, before->has, &before->bind);
	if (!(want->has & STATE_MODE) && before->has & STATE_MODE)
		want->mode = before->mode;
	if (!(want->has & STATE_COUNT) && before->has & STATE_COUNT &&
	    func_state_resize(want, before->count))
		return -ENOMEM;
	want->has |= before->has & (STATE_MODE | STATE_COUNT);
	for (i = 0; i < want->count; i++) {
		if (want->count == before->count)
			fill_vf(&want->vfs[i], &before->vfs[i]);
		else
			fill_bind(&want->vfs[i].has, &want->vfs[i].bind, STATE_DRIVER, &choice);
	}
	return 0;
}
