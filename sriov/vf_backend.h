/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who reads and writes a card's settings of its VFs. A back end is one const table; the dispatch in
 * vf_attr.c asks each of them for what it has, so a card may have several: its network driver for
 * the MAC, the PCI core for the number of vectors.
 */
#ifndef VIADUCT_SRIOV_VF_BACKEND_H
#define VIADUCT_SRIOV_VF_BACKEND_H

#include <stdint.h>

#include "host.h"
#include "pci_addr.h"
#include "vf_attr.h"

struct err;

struct vf_backend {
	const char *name;
	uint32_t attrs; /* BIT(VF_ATTR_...) of what it has a way to write, on some card */
	/* 1 when @pf is a card of its kind, else 0. */
	int (*claims)(const struct host *host, const struct pci_addr *pf);
	/* Adds to *@ret, which may hold others' values, what VF @index has. Returns as
	 * vf_attrs_read(). */
	int (*read)(struct host *host, const struct pci_addr *pf, unsigned int index,
		    struct vf_attrs *ret, struct err *err);
	/* Changes what is in @which, part of attrs and never 0, each request between host_ask() and
	 * host_asked(). That it was kept is the dispatch's to
	 * check. Returns as vf_attrs_write(). */
	int (*write)(struct host *host, const struct pci_addr *pf, unsigned int index,
		     const struct vf_attrs *want, uint32_t which, struct err *err);
};

extern const struct vf_backend vf_backend_net;	/* vf_net.c */
extern const struct vf_backend vf_backend_nvme;	/* nvme_vf.c */
extern const struct vf_backend vf_backend_pci;	/* vf_pci.c */

#endif
