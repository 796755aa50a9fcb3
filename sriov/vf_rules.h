/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What some drivers ask for before they make VFs or take one, and answer oddly when they do not get
 * it: with success and no VFs, or with an errno that says nothing. From the drivers' source.
 */
#ifndef VIADUCT_SRIOV_VF_RULES_H
#define VIADUCT_SRIOV_VF_RULES_H

#include <stdbool.h>

#include "host.h"
#include "pci_addr.h"
#include "vf_attr.h"

/* 0 when the driver of @pf can be asked for VFs now, or is none that is known to be particular;
 * -EAGAIN with what is missing and the command that mends it. */
int vf_rules_check(const struct host *host, const struct pci_addr *pf, struct err *err);

/* False when @driver cannot run a VF with the settings @attrs: nvme a controller that is offline. */
bool vf_rules_runs(const char *driver, const struct vf_attrs *attrs);

/* 0 when @driver (BIND_DEFAULT: the kernel's choice) can run @addr as that is now, or when it cannot
 * be told, or @addr is no VF; -EAGAIN with the command that mends it. */
int vf_rules_bind_check(struct host *host, const struct pci_addr *addr, const char *driver,
			struct err *err);

#endif
