/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VIADUCT_VMM_TYPES_H
#define VIADUCT_VMM_TYPES_H

#include <stdint.h>

typedef uint64_t gpa_t;	 /* guest physical address */
typedef uint64_t iova_t; /* address a device puts on the bus; equal to the gpa without a vIOMMU */

/* The guest-physical layout. Everything below 4 GiB is fixed, so that the DSDT can be compiled at
 * build time; the 64-bit window follows RAM and is sized from the devices (pci_root_place()). */
#define GPA_LOW_RAM_MAX 0xc0000000ull /* RAM below 4 GiB ends here at the latest */
#define GPA_PCI32_BASE 0xc0000000ull
#define GPA_PCI32_SIZE 0x20000000ull
#define GPA_ECAM_BASE 0xe0000000ull /* MCFG: 256 buses */
#define GPA_ECAM_SIZE 0x10000000ull
#define GPA_IOAPIC 0xfec00000ull
#define GPA_LAPIC 0xfee00000ull
#define GPA_KVM_IDENTITY 0xfeffc000ull /* one page, then three of the TSS (KVM_SET_TSS_ADDR) */
#define GPA_HIGH_RAM 0x100000000ull

#define GPA_ACPI_BASE 0xe0000ull /* RSDP and tables, in the BIOS area that e820 reserves */
#define GPA_ACPI_SIZE 0x1f000ull
#define GPA_INFO_PAGE 0xff000ull /* struct acpi_info: what the DSDT reads at run time */
#define GPA_RESET_VECTOR 0xffff0ull /* f000:fff0: asks for a reset (acpi_build()) */

/* Port space. */
#define PIO_COM1 0x3f8
#define PIO_ACPI 0x600 /* 16 ports: sleep, reset and event registers (vmm/acpi_pm.c) */
#define PIO_PCI_CONFIG 0xcf8
#define PIO_PCI_BASE 0x1000 /* window for I/O BARs */
#define PIO_PCI_SIZE 0xf000

/* Global system interrupts: 0..23 are the IOAPIC's pins, messages come above. */
#define GSI_COM1 4
#define GSI_ACPI 9
#define GSI_PCI_FIRST 16 /* INTx: 16 + ((device + pin - 1) % 8), pin INTA = 1 */
#define GSI_PCI_COUNT 8
#define GSI_MSI_FIRST 24

#endif
