/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gives PCI functions to drivers, through driver_override alone: no ID is ever added to a driver,
 * so no other card of the same model is caught.
 *
 * Source: Linux Documentation/ABI/testing/sysfs-bus-pci; drivers/base/bus.c for what the kernel
 * answers. `bind` of the driver is used rather than drivers_probe because only it reports why a
 * probe failed.
 */
#ifndef VIADUCT_SRIOV_BIND_H
#define VIADUCT_SRIOV_BIND_H

#include <stdbool.h>
#include <stddef.h>

#include "host.h"
#include "pci_addr.h"

#define BIND_NONE "none"       /* no driver, override cleared */
#define BIND_DEFAULT "default" /* override cleared, the kernel picks the function's own driver */

/* Which driver a function has and is told to have. */
struct bind_state {
	struct pci_addr addr;
	char driver[HOST_NAME_MAX];   /* "": none */
	char override[HOST_NAME_MAX]; /* "": not set */
};

/* What was done to one function. */
struct bind_report {
	struct pci_addr addr;
	char from[HOST_NAME_MAX]; /* the driver before, "": none */
	char to[HOST_NAME_MAX];	  /* the driver after, "": none */
	unsigned long writes;	  /* sysfs writes it took; 0: it was so already */
};

/*
 * Binds all @count functions to @driver (a driver's name, BIND_NONE or BIND_DEFAULT), or none of
 * them: when one fails, those before it get back the driver and override they had.
 *
 * A function that has to change and is in use (use.h) is refused with -EBUSY, kinds of use in
 * the mask @force apart. The
 * order of writes is driver_override, the old driver's unbind, the new driver's bind (or
 * drivers_probe for BIND_DEFAULT); then the driver link is read back. With BIND_DEFAULT it is no
 * error when no driver takes the function, as with a VF whose PF has sriov_drivers_autoprobe 0, or
 * an NVMe VF that is offline, for which none is asked: the report says so.
 *
 * With host->owner the nodes of all of them become that user's at the end (node_owner.h), or else
 * nothing is changed; that they are in use is then looked for in any case.
 *
 * @reports is NULL or has room for @count. Returns 0; -EINVAL (nonsense driver name), -ENOENT
 * (driver not loaded), -ENODEV (no such function), -EBUSY, -EAGAIN (an NVMe VF that is offline, for
 * nvme; vf_rules.h), -EACCES (not root), -EINTR (host->stop), or what the kernel answered, explained in the message.
 */
int func_bind(struct host *host, const struct pci_addr *addrs, size_t count, const char *driver,
	      unsigned int force, struct bind_report *reports, struct err *err);

/* 0 when @driver can be bound to: BIND_NONE, BIND_DEFAULT or the name of a loaded PCI driver.
 * -EINVAL or -ENOENT with "driver vfio-pci is not loaded; run: modprobe vfio-pci". */
int bind_driver_check(const struct host *host, const char *driver, struct err *err);

/* True when func_bind() to @driver would change the function in the state @now. */
bool bind_changes(const struct bind_state *now, const char *driver);

/* Reads the state of @addr. Returns 0 or -ENODEV. */
int bind_state_read(const struct host *host, const struct pci_addr *addr, struct bind_state *ret,
		    struct err *err);

/* Brings the function back to @state, writing what differs only. Goes on after a failed write.
 * Returns 0 or the first -errno. */
int bind_state_restore(struct host *host, const struct bind_state *state, struct err *err);

/* func_bind() of one function without lock, use check and driver check: for callers that have
 * done all three. A failure leaves the function as it was. */
int func_bind_locked(struct host *host, const struct pci_addr *addr, const char *driver,
		     struct bind_report *report, struct err *err);

/* Takes the function from its driver and leaves the override as it is, with the same three done. */
int func_unbind_locked(struct host *host, const struct pci_addr *addr, struct err *err);

#endif
