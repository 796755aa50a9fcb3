/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory that a function may reach is pinned page by page, and the pages count against the
 * memory-lock limit, whatever their size. The kernel finds out while it maps, when the group is
 * open and the function reset; here the need is known beforehand.
 *
 * type1 counts what this process has pinned and locked (mm->locked_vm, VmLck in its status);
 * iommufd counts for the user over all processes, which nobody can read: there the check covers
 * this guest alone, and what others hold shows at the map. A process with CAP_IPC_LOCK is held by
 * neither.
 */
#ifndef VIADUCT_VFIO_MEMLOCK_H
#define VIADUCT_VFIO_MEMLOCK_H

struct err;
struct iommu_dev;
struct iommu_ops;
struct vm;

/* Before anything is opened: can all of guest memory be pinned? 0, or -ENOMEM with need, limit and
 * remedy; the message begins with the function's address. */
int memlock_check(const struct vm *vm, const struct iommu_ops *ops, const struct iommu_dev *dev,
		  struct err *err);

/* The message for a map of RAM that came back with -ENOMEM all the same. Returns -ENOMEM. */
int memlock_error(const struct vm *vm, const struct iommu_ops *ops, struct err *err);

#endif
