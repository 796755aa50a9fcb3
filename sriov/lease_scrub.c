// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Brings a function back to what it was when it was handed out. Every step but the reset looks
 * first and does only what differs: who was killed in the middle is followed by one who does it all
 * again.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "func.h"
#include "lease_priv.h"
#include "lock.h"

#define DEV "bus/pci/devices/%s/"

/* One clean-up. */
struct scrub {
	struct host *host;
	const struct lease *lease;
	const struct lease_by *by;
	char a[PCI_ADDR_STRLEN];
};

/* What is no fault of the function: it stays dirty, and the next one tries. */
static bool is_not_its_fault(int code)
{
	return code == -EACCES || code == -EPERM || code == -EROFS || code == -EINTR ||
	       code == -ENOMEM;
}

static int check_id(const struct scrub *s, struct err *err)
{
	char now[LEASE_ID_MAX];

	if (lease_id(s->host, &s->lease->addr, now))
		return err_set(err, -ENODEV, "%s: no such function", s->a);
	if (lease_id_match(now, s->lease->id))
		return 0;
	return err_set(err, -ENODEV, "%s: another function than the one that was handed out: it is "
		       "%s and was %s", s->a, now, s->lease->id);
}

/* A driver of the host would meet a function that was reset behind its back. VFIO's expect that. */
static int detach(const struct scrub *s, bool vfio_too, struct err *err)
{
	char driver[HOST_NAME_MAX];

	func_driver(s->host, &s->lease->addr, driver);
	if (!*driver || (!vfio_too && func_driver_is_vfio(driver)))
		return 0;
	return func_bind_locked(s->host, &s->lease->addr, BIND_NONE, NULL, err);
}

static bool is_bus_master(const struct scrub *s)
{
	char path[HOST_PATH_MAX];
	CLEANUP_CLOSE int fd = -1;
	uint8_t command[2];

	if (host_path(path, s->host->sysfs_root, DEV "config", s->a))
		return true;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 || io_pread_full(fd, command, sizeof(command), PCI_COMMAND) ||
	       get_le16(command) & PCI_COMMAND_MASTER;
}

/*
 * No reset method: its DMA at least has to end. Taking a device's enable count from 1 to 0 clears
 * its bus master bit (Linux drivers/pci/pci.c, do_pci_disable_device()), and the attribute is for
 * functions without a driver alone.
 */
static int quiet(const struct scrub *s, struct err *err)
{
	char text[256];
	int ret = detach(s, true, err);

	if (!ret && is_bus_master(s)) {
		ret = host_write(s->host, "1", DEV "enable", s->a);
		if (!ret)
			ret = host_write(s->host, "0", DEV "enable", s->a);
		if (ret)
			return err_sys(err, ret, "%s: switching its bus mastering off", s->a);
	}
	snprintf(text, sizeof(text), "%s: it has no reset method: its bus mastering is off, and "
		 "what its last owner left in it stays", s->a);
	if (!ret && s->by && s->by->note)
		s->by->note(s->by->opaque, text);
	return ret;
}

static int reset(const struct scrub *s, struct err *err)
{
	int ret = detach(s, false, err);

	if (ret)
		return ret;
	if (!host_has(s->host, DEV "reset", s->a))
		return quiet(s, err);
	ret = host_write(s->host, "1", DEV "reset", s->a);
	return ret ? err_sys(err, ret, "%s: its reset failed", s->a) : 0;
}

/* Those settings of the record that are not so now. */
static int changed(const struct scrub *s, const struct func_info *info, uint32_t *ret_which,
		   struct err *err)
{
	struct vf_attrs now;
	int ret = vf_attrs_read(s->host, &info->pf, (unsigned int)info->vf_index, &now, err);

	*ret_which = ret ? 0 : vf_attrs_differ(&now, &s->lease->attrs);
	return ret;
}

static int settings(const struct scrub *s, struct err *err)
{
	struct func_info info;
	uint32_t which, i;
	int ret;

	if (!s->lease->attrs.has)
		return 0;
	if (!s->host->vf_ops)
		return err_set(err, -EAGAIN, "%s: its settings cannot be looked at by this program; "
			       "run: vfctl leases", s->a);
	ret = func_read(s->host, &s->lease->addr, &info, err);
	if (!ret && (!info.is_vf || info.vf_index < 0))
		ret = err_set(err, -ENODEV, "%s: it was a VF and is none", s->a);
	if (!ret)
		ret = changed(s, &info, &which, err);
	for (i = 0; i < VF_ATTR_COUNT && !ret; i++) {
		if (which & BIT(i) && vf_attr_row((enum vf_attr)i)->cost != VF_ATTR_LIVE)
			ret = detach(s, true, err);
	}
	if (!ret && which)
		ret = vf_attrs_write(s->host, &info.pf, (unsigned int)info.vf_index,
				     &s->lease->attrs, which, err);
	return ret;
}

static int driver(const struct scrub *s, struct err *err)
{
	struct bind_state now;
	int ret = bind_state_read(s->host, &s->lease->addr, &now, err);

	if (ret || (!strcmp(now.driver, s->lease->bind.driver) &&
		    !strcmp(now.override, s->lease->bind.override)))
		return ret;
	return bind_state_restore(s->host, &s->lease->bind, err);
}

/* Nobody works with it, and it has no VFs that would go with its driver or at its reset. */
static int check_idle(const struct scrub *s, struct err *err)
{
	long count = 0;

	if (!host_read_long(s->host, &count, DEV "sriov_numvfs", s->a) && count > 0)
		return err_set(err, -EBUSY, "%s: its %ld VFs would vanish at its reset; run: vfctl "
			       "destroy %s", s->a, count, s->a);
	if (!s->by || !s->by->idle)
		return 0;
	return s->by->idle(s->by->opaque, s->host, &s->lease->addr, err);
}

static int run(const struct scrub *s, struct err *err)
{
	int ret = check_id(s, err);

	if (!ret)
		ret = reset(s, err);
	if (!ret)
		ret = settings(s, err);
	if (!ret)
		ret = driver(s, err);
	if (!ret && !func_answers(s->host, &s->lease->addr))
		ret = err_set(err, -EIO, "%s: it answers nothing but ones after its reset", s->a);
	return ret;
}

int lease_scrub(struct host *host, const struct lease *lease, const struct lease_by *by,
		struct err *err)
{
	struct scrub s = { .host = host, .lease = lease, .by = by };
	struct func_lock lock;
	int ret;

	pci_addr_str(&lease->addr, s.a);
	ret = func_lock(host, &lease->addr, &lock, err);
	if (ret)
		return ret;
	if (check_idle(&s, err)) {
		func_unlock(&lock);
		return -EBUSY;
	}
	ret = run(&s, err);
	func_unlock(&lock);
	if (!ret || ret == -EAGAIN)
		return ret;
	if (!is_not_its_fault(ret))
		return -ENODEV;
	err_append(err, "; it stays dirty until one who may cleans it up: sudo vfctl leases");
	return -EACCES;
}
