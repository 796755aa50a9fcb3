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
	uint32_t last_bus; /* the highest PCI bus number */
};

/* Registers at PIO_ACPI: sleep control and status (ACPI 6.4, 4.8.3.7), reset (4.8.3.6), and event
 * bits (reading clears them), which the GED device's _EVT reads. */
#define ACPI_PM_SLEEP_CONTROL 0u
#define ACPI_PM_SLEEP_STATUS 1u
#define ACPI_PM_RESET 4u
#define ACPI_PM_RESET_VALUE 6u
#define ACPI_PM_EVENTS 8u
#define ACPI_PM_SIZE 16u

struct acpi_pm;

/* Makes the registers' device ("acpi-pm") and adds it to vm->devs, which owns it. S5 becomes
 * vm_request(VM_POWEROFF), a reset vm_request(VM_RESET). vm->bus and vm->irqs are there. */
int acpi_pm_new(struct vm *vm, struct acpi_pm **ret_pm, struct err *err);
/* Sets an event bit and fires GSI_ACPI. Loop thread, device lock not held. */
void acpi_pm_event(struct acpi_pm *pm, uint32_t bits);
#define ACPI_EVENT_POWER_BUTTON 1u

/* Writes the tables and the info page into guest RAM: before the first start and again after a
 * reset, vCPUs standing still. vm->pci is placed, vm->config.cpus is set, and the UART, if there is
 * one, is on the bus (whoever answers at PIO_COM1 is described). 0, -ENOSPC (too many CPUs for the
 * BIOS area) or -EFAULT (no RAM there). */
int acpi_build(struct vm *vm, struct err *err);
/* Where the RSDP is: for boot_params.acpi_rsdp_addr and the PVH start info. */
#define ACPI_RSDP_GPA GPA_ACPI_BASE

#endif
