/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What some drivers ask for before they make VFs, and answer oddly when they do not get it: with
 * success and no VFs, or with an errno that says nothing. A row for each, from the drivers' source.
 */
#ifndef VIADUCT_SRIOV_VF_RULES_H
#define VIADUCT_SRIOV_VF_RULES_H

#include "host.h"
#include "pci_addr.h"

/* 0 when the driver of @pf can be asked for VFs now, or is none that is known to be particular;
 * -EAGAIN with what is missing and the command that mends it. */
int vf_rules_check(const struct host *host, const struct pci_addr *pf, struct err *err);

#endif
