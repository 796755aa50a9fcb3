// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * apply --wait: at boot the functions that the file names may not be there yet, or have no driver yet.
 * The kernel announces both (vf_wait.h); when time is up apply says what is missing.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "sriov/func.h"
#include "sriov/select.h"
#include "sriov/vf_wait.h"
#include "sriov/want.h"
#include "vfctl.h"

#define LOOK_MS 1000u /* a look now and then, for what nobody announces: a slot's name, a serial number */

/* All functions are there, and those that are to have VFs have the driver that makes them. */
static bool is_ready(const struct host *host, const struct want *want, struct pci_addr *addrs)
{
	char driver[HOST_NAME_MAX];
	struct err err = { .code = 0 };
	size_t i;
	int ret = select_all(host, want, addrs, &err);

	/* Other errors do not go away by waiting. */
	if (ret)
		return ret != -ENODEV;
	for (i = 0; i < want->count; i++) {
		const struct func_state *state = &want->devices[i].state;

		func_driver(host, &addrs[i], driver);
		if (!*driver && !(state->has & STATE_DRIVER) && state->has & STATE_COUNT &&
		    state->count)
			return false;
	}
	return true;
}

void vfctl_wait_ready(struct vfctl *v, const struct want *want)
{
	CLEANUP_FREE struct pci_addr *addrs = calloc(want->count + 1, sizeof(*addrs));
	uint64_t now = host_now_ms(), end = now + (uint64_t)v->wait_s * 1000;
	struct vf_wait *wait = v->wait_s ? vf_wait_new() : NULL;

	while (addrs && now < end && !host_stopped(&v->host) && !is_ready(&v->host, want, addrs)) {
		vf_wait_next(wait, MIN(LOOK_MS, (unsigned int)(end - now)));
		now = host_now_ms();
	}
	vf_wait_free(wait);
}
