/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest of a few instructions, on the real KVM. Its code is 32-bit flat (VCPU_PVH), is loaded at
 * MICRO_CODE, and leaves its results at MICRO_DATA. It ends by writing MICRO_OFF to PIO_ACPI.
 */
#ifndef VIADUCT_TESTS_MICRO_GUEST_H
#define VIADUCT_TESTS_MICRO_GUEST_H

#include <stdint.h>

#include "vmm/vm.h"

#define MICRO_CODE 0x10000
#define MICRO_STACK 0x20000
#define MICRO_DATA 0x30000
#define MICRO_OFF "0x34" /* sleep type 5, sleep enable */

/* Code between labels NAME_start and NAME_end. */
#define MICRO_GUEST(name, text)                                                                    \
	__asm__(".pushsection .rodata\n.code32\n" #name "_start:\n" text "\n" #name                \
		"_end:\n.code64\n.popsection\n");                                                  \
	extern const uint8_t name##_start[], name##_end[]

/* Says why this machine cannot run micro guests, or NULL when it can. */
const char *micro_reason_to_skip(void);

/* A VM of 2 MiB without a kernel. Fails the test when it cannot be had. */
struct vm *micro_new(void);
/* Places BARs, loads the code, makes the vCPUs. */
void micro_load(struct vm *vm, const uint8_t *start, const uint8_t *end);
/* Runs until the guest ends, for at most 20 s. Returns what vm_run() does. */
int micro_run(struct vm *vm, struct err *err);
/* The 32-bit word number @index that the guest left. */
uint32_t micro_result(struct vm *vm, unsigned int index);

#endif
