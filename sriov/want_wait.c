// SPDX-License-Identifier: GPL-2.0-or-later
#include "want_wait.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"
#include "select.h"
#include "vf_wait.h"

#define LOOK_MS 500u /* a look now and then, for what nobody announces: a slot's name, a serial number */

static bool is_ready(const struct host *host, const struct want *want, struct pci_addr *addrs)
{
	char driver[HOST_NAME_MAX];
	struct err err = { .code = 0 };
	size_t i;
	int ret = select_all(host, want, addrs, &err);

	/* Other faults do not go away by waiting. */
	if (ret)
		return ret != -ENODEV;
	for (i = 0; i < want->count; i++) {
		const struct func_state *state = &want->devices[i].state;

		if (state->has & STATE_DRIVER || !(state->has & STATE_COUNT) || !state->count)
			continue;
		func_driver(host, &addrs[i], driver);
		if (!*driver)
			return false;
	}
	return true;
}

void want_wait(const struct host *host, const struct want *want, unsigned int max_ms)
{
	struct pci_addr *addrs = calloc(want->count + 1, sizeof(*addrs));
	uint64_t now = host_now_ms(), end = now + max_ms;
	/* Before the first look, so that nothing falls between the two. */
	struct vf_wait *wait = max_ms ? vf_wait_new() : NULL;

	while (addrs && now < end && !host_stopped(host) && !is_ready(host, want, addrs)) {
		vf_wait_next(wait, (unsigned int)MIN(LOOK_MS, end - now));
		now = host_now_ms();
	}
	vf_wait_free(wait);
	free(addrs);
}
