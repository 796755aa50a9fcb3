// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_vfio.h"
#include "vfio/vfio_sys.h"

static struct {
	uint64_t limit, locked;
} memlock;

void fake_vfio_memlock(uint64_t limit, uint64_t locked)
{
	memlock.limit = limit;
	memlock.locked = locked;
}

void vfio_sys_memlock(uint64_t *ret_limit, uint64_t *ret_locked)
{
	*ret_limit = memlock.limit;
	*ret_locked = memlock.locked;
}
