/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files boot*.c share: an opened image, and where things go in the first megabyte. */
#ifndef VIADUCT_VMM_BOOT_IMAGE_H
#define VIADUCT_VMM_BOOT_IMAGE_H

#include <asm/bootparam.h>
#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "types.h"

struct err;
struct vcpu_entry;
struct vm;

/* Below 640 KiB, all of it free for the kernel once it has read it. */
#define BOOT_GDT 0x1000ull
#define BOOT_PARAMS 0x2000ull /* zero page, or PVH start info with what it points to */
#define BOOT_TABLES 0x4000ull /* six pages: PML4, PDPT, four page directories */
#define BOOT_STACK 0xf000ull
#define BOOT_CMDLINE 0x10000ull
#define BOOT_CMDLINE_ROOM 0x10000ull
#define BOOT_BASE_RAM_END 0x9fc00ull
#define BOOT_HIGH 0x100000ull /* kernels go above; the BIOS area with the ACPI tables is below */

#define BOOT_HEAD 4096u /* of the kernel file, enough for either header */
#define BOOT_SEGS_MAX 64u

enum boot_kind { BOOT_LINUX64, BOOT_PVH };

/* One line of the guest's memory map; the values of e820 and PVH are the same. */
enum boot_ram_type { BOOT_RAM = 1, BOOT_RESERVED = 2 };

struct boot_range {
	uint64_t gpa;
	uint64_t size;
	enum boot_ram_type type;
};

#define BOOT_RANGES_MAX 8u

struct boot_image {
	enum boot_kind kind;
	char *kernel, *initrd, *append; /* initrd NULL: none; append never NULL */
	int kernel_fd, initrd_fd;
	uint64_t kernel_size, initrd_size;
	uint64_t low_ram; /* where RAM below 4 GiB ends */
	gpa_t kernel_end; /* one past the last byte that the kernel wants when it starts */
	gpa_t initrd_max; /* the initrd's last byte is below */
	gpa_t initrd_gpa;
	gpa_t entry;

	struct setup_header hdr; /* BOOT_LINUX64 */
	gpa_t load;
	uint64_t body_off, body_size;

	Elf64_Phdr segs[BOOT_SEGS_MAX]; /* BOOT_PVH: what is loaded */
	unsigned int seg_count;
};

/* What the first @len bytes of the kernel file say, and the checks of that kind. */
bool boot_is_linux(const uint8_t *head, size_t len);
bool boot_is_elf(const uint8_t *head, size_t len);
int boot_linux_open(struct boot_image *image, const uint8_t *head, size_t len, struct err *err);
int boot_pvh_open(struct boot_image *image, const uint8_t *head, size_t len, struct err *err);

int boot_linux_load(const struct boot_image *image, struct vm *vm, struct vcpu_entry *entry,
		    struct err *err);
int boot_pvh_load(const struct boot_image *image, struct vm *vm, struct vcpu_entry *entry,
		  struct err *err);

/* -ENOMEM with a message that says how much is needed unless the kernel ends within low RAM. */
int boot_check_room(const struct boot_image *image, uint64_t end, struct err *err);

/* Reads a part of the kernel or the initrd straight into guest memory. */
int boot_read(struct vm *vm, int fd, const char *path, uint64_t off, gpa_t gpa, uint64_t size,
	      struct err *err);

/* The guest's memory map. Returns how many of BOOT_RANGES_MAX are used. */
unsigned int boot_memory_map(const struct vm *vm, struct boot_range *ranges);

#endif
