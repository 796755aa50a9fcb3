/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * At boot, and when a card is plugged in, the functions that the desired state names may not be there
 * yet, or have no driver yet. The kernel announces both (vf_wait.h).
 */
#ifndef VIADUCT_SRIOV_WANT_WAIT_H
#define VIADUCT_SRIOV_WANT_WAIT_H

#include "host.h"
#include "want.h"

/*
 * Returns when every function of @want is there, and every one that is to have VFs has a driver or is to
 * be given one; or at once when there is another fault than a function that is missing; or after
 * @max_ms; or when the host is to stop. Which of them it was shows whoever goes on.
 */
void want_wait(const struct host *host, const struct want *want, unsigned int max_ms);

#endif
