/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct boot: a Linux bzImage by the 64-bit boot protocol (Documentation/arch/x86/boot.rst) or an
 * ELF image with a Xen PVH entry note. No firmware.
 */
#ifndef VIADUCT_VMM_BOOT_H
#define VIADUCT_VMM_BOOT_H

#include <stdint.h>

struct boot_image;
struct err;
struct vcpu_entry;
struct vm;

struct boot_spec {
	const char *kernel; /* path */
	const char *initrd; /* path or NULL */
	const char *append; /* command line or NULL */
};

/* Opens and checks kernel, initrd and command line against @memory bytes of RAM, so that bad input
 * is refused before anything is taken. Keeps the files open: a reboot loads the same bytes. The
 * strings in @spec are copied. Messages name the file, what is wrong and what is wanted. */
int boot_open(struct boot_image **ret_image, const struct boot_spec *spec, uint64_t memory,
	      struct err *err);
void boot_close(struct boot_image *image);

/* Loads image, initrd, command line, boot parameters (zero page or PVH start info), memory map,
 * GDT and identity page tables into guest RAM, and says how the boot processor starts. vCPUs stand
 * still. The kernel file is read straight into guest memory. */
int boot_load(const struct boot_image *image, struct vm *vm, struct vcpu_entry *ret_entry,
	      struct err *err);

#endif
