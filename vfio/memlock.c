// SPDX-License-Identifier: GPL-2.0-or-later
#include "memlock.h"

#include <errno.h>

#include "base/err.h"
#include "base/util.h"
#include "iommu.h"
#include "vfio_sys.h"
#include "vmm/vm.h"

/* BARs have no pages to pin: neither back end counts them. */
static uint64_t memlock_need(const struct vm *vm)
{
	uint64_t need = 0;
	unsigned int i;

	for (i = 0; i < vm->mem.bank_count; i++)
		need += vm->mem.banks[i].size;
	return need;
}

static unsigned long long kib(uint64_t bytes)
{
	return (bytes + KIB - 1) / KIB;
}

int memlock_error(const struct vm *vm, const struct iommu_ops *ops, struct err *err)
{
	uint64_t need = memlock_need(vm), limit, locked, wanted;

	vfio_sys_memlock(&limit, &locked);
	if (limit == UINT64_MAX)
		return err_set(
			err, -ENOMEM,
			"cannot pin %llu KiB of guest memory for DMA: the host has not that "
			"much free memory (the memory-lock limit does not hold this process)",
			kib(need));
	wanted = need + locked;
	err_set(err, -ENOMEM,
		"%llu KiB of guest memory have to be pinned for DMA, and the memory-lock limit "
		"(RLIMIT_MEMLOCK) is %llu KiB",
		kib(need), kib(limit));
	if (locked)
		err_append(err, ", of which %llu KiB are in use", kib(locked));
	if (ops->lock_per_user)
		err_append(err, " for all guests of this user together");
	err_append(err,
		   "; raise it to %llu KiB or more: LimitMEMLOCK=%lluK in the systemd "
		   "unit, memlock in /etc/security/limits.conf, or as root: ulimit -l %llu",
		   kib(wanted), kib(wanted), kib(wanted));
	return -ENOMEM;
}

int memlock_check(const struct vm *vm, const struct iommu_ops *ops, const struct iommu_dev *dev,
		  struct err *err)
{
	uint64_t limit, locked;

	vfio_sys_memlock(&limit, &locked);
	if (limit == UINT64_MAX || (locked <= limit && memlock_need(vm) <= limit - locked))
		return 0;
	memlock_error(vm, ops, err);
	err_prefix(err, "%s", dev->name);
	return -ENOMEM;
}
