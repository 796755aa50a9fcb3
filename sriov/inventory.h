/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All PCI functions of the host, in one pass that reads what a list shows and no more, and what
 * libpci knows about a function: names and capabilities. For vfctl; the VMM does not link it.
 */
#ifndef VIADUCT_SRIOV_INVENTORY_H
#define VIADUCT_SRIOV_INVENTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host.h"
#include "pci_addr.h"

struct inventory_func {
	struct pci_addr addr;
	uint16_t vendor, device;
	uint32_t class;			/* 24 bits */
	char driver[HOST_NAME_MAX];	/* "": none */
	int group;			/* -1: none */
	bool is_vf, is_pf;
	struct pci_addr pf;		/* only when is_vf */
	unsigned int total_vfs, num_vfs; /* only when is_pf */
	size_t net_first, net_count;	/* its rows of inventory.nets */
};

struct inventory_net {
	struct pci_addr addr;
	char name[HOST_NAME_MAX];
};

struct inventory {
	struct inventory_func *funcs; /* sorted by address */
	struct inventory_net *nets;   /* sorted by address, then name */
	size_t func_count, net_count;
};

/* Reads every function below bus/pci/devices. Returns 0, -ENODEV when there is no PCI bus, or
 * -errno. The caller ends with inventory_free(). */
int inventory_read(const struct host *host, struct inventory **ret, struct err *err);
void inventory_free(struct inventory *inv);

/* libpci opened for one host. */
struct pci_names;

struct pci_names_ops {
	/* libpci cannot return an error: it calls this, which must not return either. */
	__attribute__((noreturn)) void (*fatal)(char *fmt, ...);
};

/* Returns NULL without memory. */
struct pci_names *pci_names_new(const struct host *host, const struct pci_names_ops *ops);
void pci_names_free(struct pci_names *names);

/* Names from pci.ids; "Class 0200", "Vendor 1af4", "Device 1041" for what it does not know. They
 * stay valid until pci_names_free(). Asked again they cost one comparison or a short search. */
const char *pci_names_class(struct pci_names *names, uint32_t class);
const char *pci_names_vendor(struct pci_names *names, uint16_t vendor);
const char *pci_names_device(struct pci_names *names, uint16_t vendor, uint16_t device);

#define PCI_CAPS_MAX 64

struct pci_cap_info {
	uint16_t id;
	uint16_t offset;   /* in config space, bytes */
	bool extended;
	const char *name;  /* constant; NULL for one that has no name here */
};

/* The capabilities of @addr in the order of its lists. Returns their number; 0 as well when config
 * space cannot be read beyond its first 64 bytes, as by a user other than root. */
size_t pci_names_caps(struct pci_names *names, const struct pci_addr *addr,
		      struct pci_cap_info caps[PCI_CAPS_MAX]);

#endif
