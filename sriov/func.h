/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI functions and IOMMU groups as sysfs shows them: find one by name, read it, and say whether
 * its group can be given to a guest. Nothing here changes anything, and none of it needs libpci.
 *
 * Source: Linux Documentation/ABI/testing/sysfs-bus-pci and sysfs-kernel-iommu_groups.
 */
#ifndef VIADUCT_SRIOV_FUNC_H
#define VIADUCT_SRIOV_FUNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host.h"
#include "pci_addr.h"

#define FUNC_NETDEVS_MAX 8

struct func_info {
	struct pci_addr addr;
	uint16_t vendor, device;
	uint16_t sub_vendor, sub_device;
	uint32_t class;			     /* 24 bits: base, sub, interface */
	uint8_t revision;
	char driver[HOST_NAME_MAX];	     /* "" when no driver is bound */
	char driver_override[HOST_NAME_MAX]; /* "" when not set */
	int group;			     /* -1: in no IOMMU group */
	int numa_node;			     /* -1: not known */
	bool is_vf;
	struct pci_addr pf;		     /* only when is_vf */
	int vf_index;			     /* only when is_vf: its virtfnN; -1 not known */
	bool is_pf;			     /* has an SR-IOV capability the kernel manages */
	unsigned int total_vfs, num_vfs;     /* only when is_pf */
	bool autoprobe;			     /* only when is_pf: a native driver may take the VFs */
	char netdevs[FUNC_NETDEVS_MAX][HOST_NAME_MAX];
	unsigned int netdev_count;
};

/* One device of an IOMMU group. */
struct group_member {
	char name[HOST_NAME_MAX]; /* the PCI address, or another bus's name */
	bool is_pci;
	struct pci_addr addr;	  /* only when is_pci */
	bool is_bridge;		  /* PCI class 0x0604 or 0x0609 */
	char driver[HOST_NAME_MAX];
	bool blocks;		  /* its driver makes the group not viable */
};

/*
 * Finds the function that @name means:
 *   0000:01:10.0, 01:10.0   an address
 *   eth0                    the function of a network interface
 *   PF/vfN                  the N-th VF (from 0) of a PF, given as address or interface
 *   PF/any                  any free VF of the PF: bound to vfio-pci or another VFIO driver, its
 *                           group viable, its group's node not held by another process, not in
 *                           quarantine, and not leased to anybody (lease.h)
 * A VF counts as held when opening its /dev/vfio node answers EBUSY: the kernel lets a group be
 * open once only (vfio_group_fops_open()), also while a device of it is open through iommufd. The
 * node is closed again at once, so between this call and the caller's own open another process
 * may be faster; the caller then gets EBUSY and may ask again.
 *
 * Returns 0; -EINVAL for a name that can mean nothing; -ENODEV for no such function, interface or
 * VF and for no free VF, the message counting why: "no free VF of 0000:01:00.0 (7 VFs: 5 in use,
 * 2 bound to igbvf)".
 */
int func_resolve(const struct host *host, const char *name, struct pci_addr *ret_addr,
		 struct err *err);

/* func_resolve() for one that has functions already, perhaps planned and not opened yet: PF/any
 * passes over those. @taken may be NULL. */
struct func_taken {
	bool (*is)(const void *opaque, const struct pci_addr *addr);
	const void *opaque;
};

int func_resolve_free(const struct host *host, const char *name, const struct func_taken *taken,
		      struct pci_addr *ret_addr, struct err *err);

#define FUNC_SLOT_MAX 8

/*
 * The functions of a card, in order, VFs left out: @name is a slot (0000:09:00, 09:00) or whatever
 * func_resolve() takes, for the slot of that function. There is at least one. Returns as
 * func_resolve().
 */
int func_slot(const struct host *host, const char *name, struct pci_addr ret_addrs[FUNC_SLOT_MAX],
	      unsigned int *ret_count, struct err *err);

/* Reads all that func_info holds. Returns 0, -ENODEV when there is no such function, or -errno. */
int func_read(const struct host *host, const struct pci_addr *addr, struct func_info *ret,
	      struct err *err);

/* True when there is such a function. */
bool func_exists(const struct host *host, const struct pci_addr *addr);

/* False when the function's config space reads as all ones: it is dead, or gone. */
bool func_answers(const struct host *host, const struct pci_addr *addr);

#define FUNC_SERIAL_MAX 24 /* "00-1b-21-ff-ff-12-34-56" and the terminator */

/* The card's serial number (PCIe 4.0, 7.9.3), as lspci writes it. Returns 0; -ENOENT when it has
 * none or this user may not read it: that is root's; or -errno. */
int func_serial(const struct host *host, const struct pci_addr *addr, char buf[FUNC_SERIAL_MAX]);

/* The driver's name in @buf, "" when none is bound. */
void func_driver(const struct host *host, const struct pci_addr *addr, char buf[HOST_NAME_MAX]);

/* The name of the function's node below /dev/vfio/devices, "vfio3". Returns 0, or -ENOENT when it has
 * none: no VFIO driver, or a kernel before 6.6 or without iommufd. */
int func_cdev(const struct host *host, const struct pci_addr *addr, char buf[HOST_NAME_MAX]);

/* The IOMMU group's number, or -1. */
int func_group(const struct host *host, const struct pci_addr *addr);

/* True for vfio-pci and its variants: the drivers that hand a function to user space by VFIO. */
bool func_driver_is_vfio(const char *driver);

/* The address of VF @index of @pf. Returns 0 or -ENODEV. */
int func_vf_addr(const struct host *host, const struct pci_addr *pf, unsigned int index,
		 struct pci_addr *ret);

/* The PF of the VF @vf. Returns 0, or -ENOENT when @vf is no VF. */
int func_pf_addr(const struct host *host, const struct pci_addr *vf, struct pci_addr *ret);

/* The function a device hangs below: the last component of the device's sysfs path that is a PCI
 * address. Cuts @path to pieces. Returns 0 or -ENOENT. */
int func_of_path(char *path, struct pci_addr *ret);

/*
 * The members of @group, sorted by name, in an array on the heap that the caller frees with
 * free(). Returns 0, -ENODEV when there is no such group, or -ENOMEM.
 */
int group_members(const struct host *host, int group, struct group_member **ret_members,
		  size_t *ret_count, struct err *err);

/*
 * Says whether the kernel would let @group be given to user space: no member is bound to a driver
 * that does its own DMA. A member without driver, with a VFIO driver, pci-stub or pcieport does
 * not count against it (the kernel's driver_managed_dma). A bridge is no exception: with pcieport
 * or no driver it does not count, with shpchp it does, and the way out is to unbind it.
 * Returns 0, or -ENODEV with "group 14 is not viable: 0000:06:02.0 is bound to 8139cp; run: vfctl
 * bind 0000:06:02.0 vfio-pci (one group because 0000:05:00.0 leads to a conventional PCI bus)"; a
 * bridge is to be unbound, for vfio-pci takes none. Why they are one group is func_explain.h's.
 */
int group_check(const struct host *host, int group, struct err *err);

/* group_check() of the function's own group, the message beginning with its address. -ENODEV also
 * when the function is in no group: the IOMMU is off. */
int func_group_check(const struct host *host, const struct pci_addr *addr, struct err *err);

#endif
