/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IOMMU back end of a guest: which host functions it holds, and guest memory mirrored into
 * DMA mappings (uapi linux/vfio.h).
 *
 * A VM has one (vm->iommu), made with its first function. A back end is a row of four functions;
 * everything else, the list of functions, the listener on guest memory, KVM's VFIO device and the
 * messages, is the same for all rows.
 *
 * Life of the mappings: they are made once when the first function is attached (one map call for
 * each RAM bank, one for each mapped part of a BAR) and go with the last one, when the kernel drops
 * them all by itself.
 *
 * Threads: attach and detach on the loop thread. Maps come from the memory listener, under its
 * lock, on any thread, and only between an attach and the last detach.
 */
#ifndef VIADUCT_VFIO_IOMMU_H
#define VIADUCT_VFIO_IOMMU_H

#include <linux/vfio.h>
#include <stdbool.h>
#include <stdint.h>

#include "sriov/host.h"
#include "sriov/pci_addr.h"
#include "vmm/mem.h"

struct err;
struct iommu;
struct iommu_group;
struct vm;

/* One host function held by a guest. Embedded in the device that asks for it. */
struct iommu_dev {
	const struct host *host; /* set by the caller, as are addr and group */
	struct pci_addr addr;
	int group;
	char name[PCI_ADDR_STRLEN]; /* "0000:01:10.0", for messages */
	int fd;			    /* the VFIO device; -1 while not attached */
	struct iommu_group *held;   /* the row's own */
	struct iommu_dev *next;	    /* iommu->devs */
};

struct iommu_ops {
	const char *name;
	bool lock_per_user; /* pinned memory counts for the user, not for the process */
	/* Makes what the back end needs (iommu->fd, for the first function), takes the function and
	 * opens dev->fd. On failure nothing is held that was not before. -ENODEV: not to be had
	 * here (see iommu_attach()). */
	int (*attach)(struct iommu *iommu, struct iommu_dev *dev, struct err *err);
	/* Closes dev->fd and gives the function back; with the last one iommu->fd too. */
	void (*detach)(struct iommu *iommu, struct iommu_dev *dev);
	/* [iova, iova + size) for reading and writing. Page multiples. Return 0 or -errno. */
	int (*map)(struct iommu *iommu, iova_t iova, uint64_t size, void *hva);
	int (*unmap)(struct iommu *iommu, iova_t iova, uint64_t size);
	/* VFIO_DEVICE_PCI_HOT_RESET of @dev's bus or slot. All that @info lists is the guest's or of
	 * a group that it holds. Returns 0 or -errno. */
	int (*hot_reset)(struct iommu *iommu, struct iommu_dev *dev,
			 const struct vfio_pci_hot_reset_info *info);
};

struct iommu {
	const struct iommu_ops *ops;
	struct vm *vm;
	int fd; /* container or /dev/iommu; -1 while no function is attached */
	struct iommu_group *groups; /* the row's own */
	struct iommu_dev *devs;
	struct mem_listener listener;
	bool listening;
};

/* VFIO_TYPE1v2_IOMMU behind /dev/vfio/vfio and one node for each group. */
extern const struct iommu_ops iommu_type1;

/*
 * Attaches @dev to the back end of @vm, with guest memory mapped, and opens dev->fd. Makes the back
 * end as @ops when the VM has none. On failure nothing is left open, attached or mapped. Returns
 *   -ENODEV  not to be had on this host: no IOMMU, no driver file, no permission, group busy or not
 *	      viable, no interrupt remapping; the message says which and the remedy
 *   -EEXIST  this guest has the function already
 *   -ENOMEM  guest memory cannot be pinned: the message names the memory-lock limit
 * or another negative errno. Messages begin with the function's address.
 */
int iommu_attach(struct vm *vm, const struct iommu_ops *ops, struct iommu_dev *dev,
		 struct err *err);
/* A function that is not attached is fine. Its DMA must have stopped. */
void iommu_detach(struct vm *vm, struct iommu_dev *dev);

/* Resets the bus or slot of @dev, which is attached. All that @info (of @dev) lists must be this
 * guest's, or of a group that it holds. Returns 0 or -errno. */
int iommu_hot_reset(struct vm *vm, struct iommu_dev *dev,
		    const struct vfio_pci_hot_reset_info *info);

/* True when the guest holds @addr, or any function of @group. */
bool iommu_has(const struct vm *vm, const struct pci_addr *addr);
bool iommu_has_group(const struct vm *vm, int group);

/* For the rows: tells KVM of a group or device descriptor, so that it keeps the guest's view of
 * coherency right (Documentation/virt/kvm/devices/vfio.rst). A kernel without that device is worth
 * a warning, no failure. */
int iommu_kvm_add(struct iommu *iommu, int fd, struct err *err);
void iommu_kvm_del(struct iommu *iommu, int fd);

/* For the rows: the text of -EBUSY, -EACCES, -EPERM and -ENOENT of opening @node (below /dev) as
 * -ENODEV with the reason and the remedy; any other error as itself. */
int iommu_open_error(const struct iommu_dev *dev, int code, const char *node, struct err *err);

#endif
