/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI 6.x, hardware-reduced: RSDP, XSDT, FADT, MADT, MCFG and a DSDT that iasl compiles at build
 * time. What the DSDT must know at run time it reads from the info page.
 */
#ifndef VIADUCT_VMM_ACPI_H
#define VIADUCT_VMM_ACPI_H

#include <stdint.h>

#include "dev.h"
#include "irq.h"

struct err;
struct vm;

/* At GPA_INFO_PAGE, little endian; vmm/dsdt.asl has the same layout as a Field. */
struct acpi_info {
	uint64_t mem64_base;
	uint64_t mem64_size; /* 0: no 64-bit window */
	uint32_t com1; /* 1: there is a UART at 0x3f8 */
};

/* Registers at PIO_ACPI: +0 sleep control, +1 sleep status (ACPI 6.4, 4.8.3.7), +4 reset (write
 * 6), +8 event bits (read clears; bit 0: power button), which the GED device's _EVT reads. */
struct acpi_pm;

int acpi_pm_new(struct vm *vm, struct acpi_pm **ret_pm, struct err *err);
/* Sets an event bit and fires GSI_ACPI. Loop thread, device lock not held. */
void acpi_pm_event(struct acpi_pm *pm, uint32_t bits);
#define ACPI_EVENT_POWER_BUTTON 1u

/* Writes the tables into guest RAM. vm->pci is placed, vm->config.cpus is set. */
int acpi_build(struct vm *vm, struct err *err);
/* Where the RSDP is: for boot_params.acpi_rsdp_addr and the PVH start info. */
#define ACPI_RSDP_GPA GPA_ACPI_BASE

#endif
