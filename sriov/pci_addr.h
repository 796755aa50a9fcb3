/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The address of a PCI function on the host: domain, bus, device, function. */
#ifndef VIADUCT_SRIOV_PCI_ADDR_H
#define VIADUCT_SRIOV_PCI_ADDR_H

#include <stdbool.h>
#include <stdint.h>

#define PCI_ADDR_STRLEN 24 /* room for "dddddddd:bb:dd.f" and the terminator */

struct pci_addr {
	uint32_t domain;
	uint8_t bus;
	uint8_t dev; /* 0..31 */
	uint8_t fn;  /* 0..7 */
};

/*
 * Parses the whole of @text: "0000:01:10.0" (a domain of 4 to 8 hexadecimal digits, as the kernel
 * writes it) or "01:10.0" (domain 0). Nothing may stand before or after it; every other field has
 * its full number of digits. Returns 0 or -EINVAL, with *@ret untouched.
 */
int pci_addr_parse(const char *text, struct pci_addr *ret);

/* Writes the kernel's spelling, "0000:01:10.0", into @buf and returns @buf. */
const char *pci_addr_str(const struct pci_addr *addr, char buf[PCI_ADDR_STRLEN]);

/* <0, 0, >0 in the order domain, bus, device, function. */
int pci_addr_cmp(const struct pci_addr *a, const struct pci_addr *b);

static inline bool pci_addr_eq(const struct pci_addr *a, const struct pci_addr *b)
{
	return a->domain == b->domain && a->bus == b->bus && a->dev == b->dev && a->fn == b->fn;
}

#endif
