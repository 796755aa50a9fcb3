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
struct iommu_ahead;
struct iommu_group;
struct vm;

/* Open descriptors that the user handed over, so that no node has to be opened. */
enum iommu_given_kind {
	IOMMU_GIVEN_DEV,       /* fd=: a node of /dev/vfio/devices, or a function out of a group */
	IOMMU_GIVEN_GROUP,     /* group-fd= */
	IOMMU_GIVEN_CONTAINER, /* container-fd= */
	IOMMU_GIVEN_IOMMUFD,   /* iommufd-fd= */
	IOMMU_GIVEN_COUNT,
};

struct iommu_given {
	int fd;	    /* 0: none was given */
	bool good;  /* iommu_given_look() found nothing wrong with it */
	bool owned; /* to be closed here, unless iommu_given_take() is faster */
};

/* One host function held by a guest. Embedded in the device that asks for it. */
struct iommu_dev {
	const struct host *host; /* set by the caller, as are addr, group, given and token */
	struct pci_addr addr;
	int group;
	struct iommu_given given[IOMMU_GIVEN_COUNT];
	int given_group;		 /* the number of the one that was given */
	const struct iommu_token *token; /* NULL: none */
	char name[PCI_ADDR_STRLEN];	 /* "0000:01:10.0", for messages */
	const struct iommu_ops *by;	 /* the back end that it was attached or probed by */
	int fd;				 /* the VFIO device; -1 while not attached */
	struct iommu_group *held;	 /* type1's own */
	bool in_kvm, attached;		 /* iommufd's own */
	struct iommu_dev *next;		 /* iommu->devs */
};

struct iommu_ops {
	const char *name;
	const char *module; /* that brings it */
	bool lock_per_user; /* pinned memory counts for the user, not for the process */
	/* It pins pages, and BARs have none: map answers EFAULT (Linux 6.12), for one as for all. */
	bool pins_bars;
	const char *no_entry; /* what to do when map has no more room (ENOSPC), NULL: nothing */
	/* Does the host have nodes of this kind for the function? Of a row that is not the first.
	 */
	bool (*here)(const struct iommu_dev *dev);
	/* Could attach open what it needs? Takes nothing. -ENODEV as below. */
	int (*probe)(const struct iommu_dev *dev, struct err *err);
	/* Makes what the back end needs (iommu->fd, for the first function), takes the function and
	 * opens dev->fd. On failure nothing is held that was not before. -ENODEV: not to be had
	 * here (see iommu_attach()). */
	int (*attach)(struct iommu *iommu, struct iommu_dev *dev, struct err *err);
	/* The halves of attach for a function for which nothing was given, of the first row alone:
	 * join takes all but the function; open, on any thread, opens dev->fd and touches nothing
	 * but @dev. */
	int (*join)(struct iommu *iommu, struct iommu_dev *dev, struct err *err);
	int (*open)(struct iommu_dev *dev);
	/* Closes dev->fd and gives the function back; with the last one iommu->fd too. */
	void (*detach)(struct iommu *iommu, struct iommu_dev *dev);
	/* [iova, iova + size) for reading and writing. Page multiples. Return 0 or -errno. */
	int (*map)(struct iommu *iommu, iova_t iova, uint64_t size, void *hva);
	int (*unmap)(struct iommu *iommu, iova_t iova, uint64_t size);
	/* VFIO_DEVICE_PCI_HOT_RESET of @dev's bus or slot. All that @info lists is the guest's or
	 * of a group that it holds. Returns 0 or -errno. */
	int (*hot_reset)(struct iommu *iommu, struct iommu_dev *dev,
			 const struct vfio_pci_hot_reset_info *info);
};

struct iommu {
	const struct iommu_ops *ops;
	struct vm *vm;
	int fd;			    /* container or /dev/iommu; -1 while no function is attached */
	bool fd_given;		    /* others may have it too */
	struct iommu_group *groups; /* type1's own */
	uint32_t ioas;		    /* iommufd's own: its address space, 0: none */
	struct iommu_dev *devs;
	struct iommu_ahead *ahead; /* opened already, and not attached yet */
	struct mem_listener listener;
	bool listening;
	bool no_bars, no_bars_told; /* the back end maps none for DMA */
};

/* VFIO_TYPE1v2_IOMMU behind /dev/vfio/vfio and one node for each group. */
extern const struct iommu_ops iommu_type1;
/* /dev/iommu and one node for each function. */
extern const struct iommu_ops iommu_iommufd;

/* The row named @name. -EINVAL, naming those that there are. */
int iommu_row(const char *name, const struct iommu_ops **ret_ops, struct err *err);

/*
 * Attaches @dev to the back end of @vm, with guest memory mapped, and opens dev->fd. The guest's
 * first function decides which: @ops, or where that is NULL the first row that can be had, type1
 * before iommufd, for only type1 maps BARs (peer to peer). All others go by the same. On failure
 * nothing is left open, attached or mapped. Descriptors of dev->given that
 * were not taken are closed. Returns
 *   -ENODEV  not to be had on this host: no IOMMU, no driver file, no permission, group busy or not
 *	      viable, no interrupt remapping; the message says which and the remedy
 *   -EEXIST  this guest has the function already
 *   -ENOMEM  guest memory cannot be pinned: the message names the memory-lock limit
 *   -EINVAL  the guest has another back end than @ops already
 *   -EACCES  the VF token is missing or wrong
 * or another negative errno. Messages begin with the function's address.
 */
int iommu_attach(struct vm *vm, const struct iommu_ops *ops, struct iommu_dev *dev,
		 struct err *err);
/* For a plan: the same answers as far as they can be had without taking anything. @has: the back
 * end of the functions that are planned already, or NULL. */
int iommu_probe(struct vm *vm, const struct iommu_ops *has, const struct iommu_ops *ops,
		struct iommu_dev *dev, struct err *err);
/* A function that is not attached is fine. Its DMA must have stopped. */
void iommu_detach(struct vm *vm, struct iommu_dev *dev);

/* Resets the bus or slot of @dev, which is attached. All that @info (of @dev) lists must be this
 * guest's, or of a group that it holds. Returns 0 or -errno. */
int iommu_hot_reset(struct vm *vm, struct iommu_dev *dev,
		    const struct vfio_pci_hot_reset_info *info);

/* True when the guest holds @addr, or any function of @group. */
bool iommu_has(const struct vm *vm, const struct pci_addr *addr);
bool iommu_has_group(const struct vm *vm, int group);

/* --- iommu_ahead.c: functions opened together, before the first is attached --- */

/* Opens @devs, each by a thread. What fails is left to iommu_attach(). The host of @devs need not
 * outlive the call. */
void iommu_ahead(struct vm *vm, const struct iommu_dev *devs, unsigned int count);
/* Fills in what attach would, if @dev was opened ahead. */
bool iommu_ahead_take(struct iommu *iommu, struct iommu_dev *dev);
/* Gives back what was opened and not attached. */
void iommu_ahead_done(struct vm *vm);

/* The guest's, made if there is none; NULL when out of memory. */
struct iommu *iommu_get(struct vm *vm);

/* For the rows: tells KVM of a group or device descriptor, so that it keeps the guest's view of
 * coherency right (Documentation/virt/kvm/devices/vfio.rst). A kernel without that device is worth
 * a warning, no failure. */
int iommu_kvm_add(struct iommu *iommu, int fd, struct err *err);
void iommu_kvm_del(struct iommu *iommu, int fd);

/* For the rows: opens @node (below /dev), or tries whether it could be opened. The fd or 0; a node
 * that is busy, not there or not to be opened by this user is -ENODEV, with reason and remedy. */
int iommu_node_open(const struct iommu_ops *ops, const struct iommu_dev *dev, const char *node,
		    struct err *err);
int iommu_node_try(const struct iommu_ops *ops, const struct iommu_dev *dev, const char *node,
		   struct err *err);
/* The same -ENODEV for a function that another process has through @node; and for a host that does
 * not remap interrupts, where @module takes the parameter that accepts it. */
int iommu_busy_error(const struct iommu_dev *dev, const char *node, struct err *err);
int iommu_unsafe_error(const struct iommu_dev *dev, const char *module, struct err *err);
/* For the rows: iommu->fd, from what was given as @kind or from @node, unless it is there. 0 or
 * -errno; -EINVAL when another one was given than the guest has. */
int iommu_ctl_open(struct iommu *iommu, struct iommu_dev *dev, enum iommu_given_kind kind,
		   const char *node, struct err *err);
void iommu_ctl_close(struct iommu *iommu);

/* --- iommu_given.c: descriptors that the user handed over --- */

/*
 * Looks at what is given and takes nothing. A node of /dev/vfio/devices tells the function:
 * dev->addr is set and *@ret_addr true. *@ops, NULL for any, becomes the row that the descriptors
 * are for. -EINVAL with one line for what is not open, not passed in by the caller, of another
 * kind, or of two back ends.
 */
int iommu_given_look(const struct vm *vm, struct iommu_dev *dev, const struct iommu_ops **ops,
		     bool *ret_addr, struct err *err);
/* When dev->addr and dev->group are known: -EINVAL when the group's descriptor is of another. */
int iommu_given_group(const struct iommu_dev *dev, struct err *err);
/* Makes those that were found good the VMM's own: close-on-exec, to be closed. */
void iommu_given_own(const struct vm *vm, struct iommu_dev *dev);
/* The descriptor, which is the caller's now; -1 when none was given or it was taken before. */
int iommu_given_take(struct iommu_dev *dev, enum iommu_given_kind kind);
/* Closes what was not taken. */
void iommu_given_close(struct iommu_dev *dev);

static inline int iommu_given(const struct iommu_dev *dev, enum iommu_given_kind kind)
{
	return dev->given[kind].fd;
}

/* --- iommu_token.c: the secret that a PF and its VFs share when both are with VFIO --- */

struct iommu_token {
	char text[37]; /* 01234567-89ab-cdef-0123-456789abcdef */
	uint8_t b[16];
};

/* -EINVAL when @text is no UUID. */
int iommu_token_parse(const char *text, struct iommu_token *ret_token, struct err *err);
/* True when @dev is a VF. */
bool iommu_token_is_vf(const struct iommu_dev *dev);
/* Sets the token of @dev, a PF that is open, for those who open its VFs. Nothing for a VF. */
int iommu_token_set(const struct iommu_dev *dev, struct err *err);
/* The message for a function that was not opened, with -EACCES or, for a token that is not asked
 * for, -EINVAL. Returns @code. */
int iommu_token_error(const struct iommu_dev *dev, int code, struct err *err);

#endif
