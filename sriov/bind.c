// SPDX-License-Identifier: GPL-2.0-or-later
#include "bind.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"
#include "lock.h"
#include "node_owner.h"
#include "use.h"
#include "vf_rules.h"

#define DEV "bus/pci/devices/%s/"
#define DRV "bus/pci/drivers/%s/"

static bool is_none(const char *driver)
{
	return !strcmp(driver, BIND_NONE);
}

static bool is_default(const char *driver)
{
	return !strcmp(driver, BIND_DEFAULT);
}

int bind_driver_check(const struct host *host, const char *driver, struct err *err)
{
	char shown[48];

	if (!host_name_ok(driver))
		return err_set(err, -EINVAL, "\"%s\" is no driver's name",
			       host_printable(driver, shown, sizeof(shown)));
	if (is_none(driver) || is_default(driver) || host_has(host, "bus/pci/drivers/%s", driver))
		return 0;
	return err_set(err, -ENOENT, "driver %s is not loaded; run: modprobe %s", driver, driver);
}

int bind_state_read(const struct host *host, const struct pci_addr *addr, struct bind_state *ret,
		    struct err *err)
{
	char a[PCI_ADDR_STRLEN];

	memset(ret, 0, sizeof(*ret));
	ret->addr = *addr;
	if (!func_exists(host, addr))
		return err_set(err, -ENODEV, "%s: no such function", pci_addr_str(addr, a));
	func_driver(host, addr, ret->driver);
	if (host_read(host, ret->override, HOST_NAME_MAX, DEV "driver_override",
		      pci_addr_str(addr, a)) < 0 || !strcmp(ret->override, "(null)"))
		ret->override[0] = '\0';
	return 0;
}

bool bind_changes(const struct bind_state *now, const char *driver)
{
	if (is_none(driver))
		return *now->driver || *now->override;
	if (is_default(driver))
		return *now->override || !*now->driver || func_driver_is_vfio(now->driver);
	return strcmp(now->driver, driver) != 0;
}

static int override_write(struct host *host, const char *a, const char *value)
{
	/* A write of no byte never reaches the kernel; an empty line clears the override. */
	return host_write(host, *value ? value : "\n", DEV "driver_override", a);
}

int bind_state_restore(struct host *host, const struct bind_state *state, struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	struct err why = { .code = 0 };
	struct bind_state now;
	int ret, first = 0;

	ret = bind_state_read(host, &state->addr, &now, err);
	if (ret)
		return ret;
	pci_addr_str(&state->addr, a);
	if (strcmp(now.driver, state->driver) != 0) {
		if (*now.driver)
			first = host_write(host, a, DRV "unbind", now.driver);
		/* A VF takes a driver without override only while its PF's autoprobe is 1. */
		if (*state->driver && strcmp(now.override, state->driver) != 0) {
			ret = override_write(host, a, state->driver);
			first = first ? first : ret;
			if (!ret)
				memcpy(now.override, state->driver, sizeof(now.override));
		}
		if (*state->driver) {
			ret = vf_rules_bind_check(host, &state->addr, state->driver, &why);
			ret = ret ? ret : host_write(host, a, DRV "bind", state->driver);
			first = first ? first : ret;
		}
	}
	if (strcmp(now.override, state->override) != 0) {
		ret = override_write(host, a, state->override);
		first = first ? first : ret;
	}
	func_driver(host, &state->addr, now.driver);
	if (!first && strcmp(now.driver, state->driver) != 0)
		first = -EIO;
	if (first)
		err_sys(err, first, "%s: cannot bring back the driver %s", a,
			*state->driver ? state->driver : BIND_NONE);
	if (why.code)
		err_append(err, " (%s)", why.msg);
	return first;
}

static bool is_bridge(const struct host *host, const struct pci_addr *addr)
{
	char a[PCI_ADDR_STRLEN];
	long class;

	return !host_read_long(host, &class, DEV "class", pci_addr_str(addr, a)) &&
	       class >> 16 == 0x06;
}

/* The likely cause of a failed bind, appended to the message. */
static void explain(const struct host *host, const struct pci_addr *addr, const char *driver,
		    int code, struct err *err)
{
	int group = func_group(host, addr);
	struct err why = { .code = 0 };
	char a[PCI_ADDR_STRLEN];

	if ((code == -EACCES || code == -EPERM) && geteuid() != 0)
		err_append(err, "; this needs root; run it with sudo");
	else if (code == -EINTR)
		err_append(err, "; interrupted");
	else if (func_driver_is_vfio(driver) && group < 0)
		err_append(err, "; it is in no IOMMU group: turn the IOMMU on in the firmware and "
				"start the kernel with intel_iommu=on or amd_iommu=on");
	else if (func_driver_is_vfio(driver) && is_bridge(host, addr))
		err_append(err, "; VFIO takes no bridge: unbind it, which is enough for its group");
	else if (code == -EBUSY && group >= 0 && group_check(host, group, &why))
		err_append(err, "; %s", why.msg);
	else if (code == -EBUSY)
		err_append(err, "; something else holds it; see: vfctl show %s",
			   pci_addr_str(addr, a));
	else if (code == -ENODEV)
		err_append(err, "; the driver does not take this device");
	else if (code == -EPERM)
		err_append(err, "; the driver has it on its list of refused devices, or the kernel "
				"is locked down");
	else
		err_append(err, "; see: dmesg");
}

/* @step failed with @code: says so, and puts @before back. */
static int bind_fail(struct host *host, const struct bind_state *before, const char *driver,
		     const char *step, int code, struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	struct err undo = { .code = 0 };
	const char *name = strerrorname_np(-code);

	err_set(err, code, "%s: cannot bind it to %s: %s: the kernel answered %s (%s)",
		pci_addr_str(&before->addr, a), driver, step, name ? name : "?", strerror(-code));
	explain(host, &before->addr, driver, code, err);
	if (bind_state_restore(host, before, &undo))
		err_append(err, "; and not all could be put back: %s", undo.msg);
	return code;
}

static int step_override(struct host *host, const struct bind_state *before, const char *driver,
			 struct err *err)
{
	const char *want = is_none(driver) || is_default(driver) ? "" : driver;
	char a[PCI_ADDR_STRLEN];
	int ret;

	if (!strcmp(before->override, want))
		return 0;
	ret = override_write(host, pci_addr_str(&before->addr, a), want);
	return ret ? bind_fail(host, before, driver, "driver_override", ret, err) : 0;
}

static int step_unbind(struct host *host, const struct bind_state *before, const char *driver,
		       struct err *err)
{
	char a[PCI_ADDR_STRLEN], now[HOST_NAME_MAX];
	int ret;

	if (!*before->driver)
		return 0;
	ret = host_write(host, pci_addr_str(&before->addr, a), DRV "unbind", before->driver);
	func_driver(host, &before->addr, now);
	if (!ret && !strcmp(now, before->driver))
		ret = -EBUSY; /* taken back at once by a service that watches */
	return ret ? bind_fail(host, before, driver, "unbind", ret, err) : 0;
}

static int step_bind(struct host *host, const struct bind_state *before, const char *driver,
		     struct err *err)
{
	char a[PCI_ADDR_STRLEN], now[HOST_NAME_MAX];
	int ret;

	if (is_none(driver))
		return 0;
	pci_addr_str(&before->addr, a);
	if (is_default(driver)) {
		func_driver(host, &before->addr, now);
		/* One that the driver cannot run is left without, as when none takes it. */
		ret = *now || vf_rules_bind_check(host, &before->addr, driver, NULL) ?
			      0 : host_write(host, a, "bus/pci/drivers_probe");
		return ret ? bind_fail(host, before, driver, "drivers_probe", ret, err) : 0;
	}
	ret = host_write(host, a, DRV "bind", driver);
	func_driver(host, &before->addr, now);
	if (!ret && strcmp(now, driver) != 0)
		ret = -EIO;
	return ret ? bind_fail(host, before, driver, "bind", ret, err) : 0;
}

int func_bind_locked(struct host *host, const struct pci_addr *addr, const char *driver,
		     struct bind_report *report, struct err *err)
{
	unsigned long writes = host->writes;
	struct bind_state before;
	int ret;

	ret = bind_state_read(host, addr, &before, err);
	if (!ret && bind_changes(&before, driver)) {
		ret = is_default(driver) ? 0 : vf_rules_bind_check(host, addr, driver, err);
		if (!ret)
			ret = step_override(host, &before, driver, err);
		if (!ret)
			ret = step_unbind(host, &before, driver, err);
		if (!ret)
			ret = step_bind(host, &before, driver, err);
	}
	if (ret || !report)
		return ret;
	report->addr = *addr;
	memcpy(report->from, before.driver, sizeof(report->from));
	func_driver(host, addr, report->to);
	report->writes = host->writes - writes;
	return 0;
}

int func_unbind_locked(struct host *host, const struct pci_addr *addr, struct err *err)
{
	struct bind_state before;
	int ret = bind_state_read(host, addr, &before, err);

	return ret ? ret : step_unbind(host, &before, BIND_NONE, err);
}

/* The states before, each function checked for use if it has to change. */
static int prepare(const struct host *host, const struct pci_addr *addrs, size_t count,
		   const char *driver, unsigned int force, struct bind_state *states, struct err *err)
{
	struct use_scan *scan = use_scan_new(host);
	size_t i;
	int ret = scan ? 0 : err_sys(err, -ENOMEM, "cannot look who uses a function");

	for (i = 0; i < count && !ret; i++) {
		ret = bind_state_read(host, &addrs[i], &states[i], err);
		if (ret || (!bind_changes(&states[i], driver) && !host->owner))
			continue;
		ret = use_check(host, scan, &addrs[i], force, NULL, err);
		if (!ret && !(force & USE_GROUP) && func_driver_is_vfio(driver))
			ret = use_check_companions(host, &addrs[i], addrs, count, driver, err);
	}
	use_scan_free(scan);
	return ret;
}

static int bind_all(struct host *host, const struct pci_addr *addrs, size_t count,
		    const char *driver, const struct bind_state *states,
		    struct bind_report *reports, struct err *err)
{
	struct err undo = { .code = 0 };
	char a[PCI_ADDR_STRLEN];
	size_t i;
	int ret = 0;

	for (i = 0; i < count && !ret; i++) {
		if (host_stopped(host))
			ret = err_set(err, -EINTR, "%s: interrupted, all put back",
				      pci_addr_str(&addrs[i], a));
		else
			ret = func_bind_locked(host, &addrs[i], driver,
					       reports ? &reports[i] : NULL, err);
		if (!ret && host->progress)
			host->progress(host->report_opaque, (unsigned int)i + 1,
				       (unsigned int)count);
	}
	if (!ret)
		ret = node_owner_give(host, addrs, count, err);
	while (ret && i-- > 0) {
		if (bind_state_restore(host, &states[i], &undo))
			err_append(err, "; and not all could be put back: %s", undo.msg);
	}
	return ret;
}

static int bind_with_locks(struct host *host, const struct pci_addr *addrs, size_t count,
			   const char *driver, unsigned int force, struct bind_state *states,
			   struct func_lock *locks, struct bind_report *reports, struct err *err)
{
	size_t i, held = 0;
	int ret;

	ret = func_lock_all(host, addrs, count, locks, &held, err);
	if (!ret)
		ret = prepare(host, addrs, count, driver, force, states, err);
	if (!ret)
		ret = bind_all(host, addrs, count, driver, states, reports, err);
	for (i = 0; i < held; i++)
		func_unlock(&locks[i]);
	return ret;
}

int func_bind(struct host *host, const struct pci_addr *addrs, size_t count, const char *driver,
	      unsigned int force, struct bind_report *reports, struct err *err)
{
	struct bind_state *states = calloc(count, sizeof(*states));
	struct func_lock *locks = calloc(count, sizeof(*locks));
	size_t i;
	int ret = states && locks ? 0 : -ENOMEM;

	if (ret)
		err_sys(err, ret, "cannot bind %zu functions", count);
	/* Nonsense is found before anything is locked. */
	for (i = 0; i < count && !ret; i++)
		ret = bind_state_read(host, &addrs[i], &states[i], err);
	if (!ret)
		ret = bind_driver_check(host, driver, err);
	if (!ret)
		ret = bind_with_locks(host, addrs, count, driver, force, states, locks, reports,
				      err);
	free(states);
	free(locks);
	return ret;
}
