/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the one function that the file means. All that `match` says must hold, so that a card which
 * moved to another slot, or another card in its slot, is an error and not a surprise. VFs are not
 * looked at: they are named by their PF.
 */
#ifndef VIADUCT_SRIOV_SELECT_H
#define VIADUCT_SRIOV_SELECT_H

#include "host.h"
#include "inventory.h"
#include "want.h"

/*
 * Finds the function of each device of @want, in their order; @ret_addrs has room for want->count.
 * Returns 0, or with "FILE:LINE: ..." -ENODEV when there is none (and what comes nearest: "0000:01:00.0
 * is there, but its serial is X, not Y"), -ENOTUNIQ when there are several or two devices mean the same,
 * or -errno when the host cannot be read.
 */
int select_all(const struct host *host, const struct want *want, struct pci_addr *ret_addrs,
	       struct err *err);

/* Room for what a function is by one of the keys. */
#define SELECT_TEXT_MAX 96

#endif
