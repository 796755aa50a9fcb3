// SPDX-License-Identifier: GPL-2.0-or-later
/* The 64-bit boot protocol: Documentation/arch/x86/boot.rst and zero-page.rst of Linux. */
#include <errno.h>
#include <string.h>

#include "acpi.h"
#include "base/err.h"
#include "base/util.h"
#include "boot_image.h"
#include "vm.h"

#define LINUX_SETUP 0x1f1u     /* struct setup_header in the file and in the zero page */
#define LINUX_JUMP_BYTE 0x201u /* 0x202 + this byte is where the header ends */
#define LINUX_ENTRY64 0x200u
#define LINUX_PROTOCOL_MIN 0x020cu /* 2.12: xloadflags, Linux 3.8 */
#define LINUX_TABLES_SIZE (6 * 4096ull)

#define PTE_PRESENT 1u
#define PTE_WRITE 2u
#define PTE_LARGE 0x80u

static int linux_check_header(struct boot_image *image, struct err *err)
{
	const struct setup_header *hdr = &image->hdr;
	uint64_t append_max = MIN(hdr->cmdline_size, BOOT_CMDLINE_ROOM - 1);

	if (hdr->version < LINUX_PROTOCOL_MIN)
		return err_set(err, -ENOEXEC,
			       "kernel %s: boot protocol %u.%02u is too old; 2.12 (Linux 3.8) or "
			       "newer is needed",
			       image->kernel, hdr->version >> 8, hdr->version & 0xff);
	if (!(hdr->loadflags & LOADED_HIGH))
		return err_set(err, -ENOEXEC, "kernel %s: a zImage; a bzImage is needed",
			       image->kernel);
	if (!(hdr->xloadflags & XLF_KERNEL_64))
		return err_set(err, -ENOEXEC, "kernel %s: a 32-bit kernel; a 64-bit one is needed",
			       image->kernel);
	if (!is_pow2(hdr->kernel_alignment))
		return err_set(err, -ENOEXEC,
			       "kernel %s: damaged header: alignment 0x%x is no power of two",
			       image->kernel, hdr->kernel_alignment);
	if (strlen(image->append) > append_max)
		return err_set(err, -E2BIG,
			       "command line of %zu bytes: kernel %s takes %llu at most",
			       strlen(image->append), image->kernel,
			       (unsigned long long)append_max);
	return 0;
}

static int linux_check_size(struct boot_image *image, struct err *err)
{
	const struct setup_header *hdr = &image->hdr;

	/* boot.rst: "for backwards compatibility, 0 means 4". Sectors, without the boot sector. */
	image->body_off = ((hdr->setup_sects ? hdr->setup_sects : 4) + 1) * 512ull;
	image->body_size = (uint64_t)hdr->syssize * 16;
	/* A signed kernel is longer than it says; that part is not loaded. */
	if (image->body_size <= LINUX_ENTRY64 ||
	    !span_within(image->body_off, image->body_size, image->kernel_size))
		return err_set(err, -ENODATA,
			       "kernel %s: truncated: %llu bytes, its header says %llu",
			       image->kernel, (unsigned long long)image->kernel_size,
			       (unsigned long long)image->body_off + image->body_size);
	return 0;
}

/*
 * At pref_address, even when the kernel is relocatable: its decompressor never goes below that
 * address (LOAD_PHYSICAL_ADDR in compressed/head_64.S), so lower would not need less memory.
 */
static int linux_place(struct boot_image *image, struct err *err)
{
	const struct setup_header *hdr = &image->hdr;
	uint64_t want = hdr->pref_address < BOOT_HIGH ? BOOT_HIGH : hdr->pref_address;
	int ret;

	/* Before adding to it: the address comes from a file. */
	ret = boot_check_room(image, want, err);
	if (ret)
		return ret;
	image->load = hdr->relocatable_kernel ? align_up(want, hdr->kernel_alignment) : want;
	image->kernel_end = image->load + MAX(hdr->init_size, image->body_size);
	image->entry = image->load + LINUX_ENTRY64;
	image->initrd_max = MIN(GPA_LOW_RAM_MAX, (uint64_t)hdr->initrd_addr_max + 1);
	return boot_check_room(image, image->kernel_end, err);
}

bool boot_is_linux(const uint8_t *head, size_t len)
{
	return len >= 0x206 && !memcmp(head + 0x202, "HdrS", 4) &&
	       get_le16(head + 0x1fe) == 0xaa55;
}

int boot_linux_open(struct boot_image *image, const uint8_t *head, size_t len, struct err *err)
{
	size_t end, size;
	int ret;

	end = 0x202u + head[LINUX_JUMP_BYTE];
	size = MIN(end - LINUX_SETUP, sizeof(image->hdr));
	if (LINUX_SETUP + size > len)
		return err_set(err, -ENODATA, "kernel %s: truncated: %zu bytes, within its header",
			       image->kernel, len);
	memcpy(&image->hdr, head + LINUX_SETUP, size);
	image->kind = BOOT_LINUX64;
	ret = linux_check_header(image, err);
	if (!ret)
		ret = linux_check_size(image, err);
	return ret ? ret : linux_place(image, err);
}

/* Identity-maps the first 4 GiB with 2 MiB pages, which every 64-bit processor has: boot.rst asks
 * for kernel, zero page and command line, and initrd and ACPI tables are there too. */
static int linux_page_tables(struct vm *vm)
{
	uint8_t *table = mem_ptr(&vm->mem, BOOT_TABLES, LINUX_TABLES_SIZE);
	uint64_t i;

	if (!table)
		return -EFAULT;
	memset(table, 0, LINUX_TABLES_SIZE);
	put_le64(table, (BOOT_TABLES + 0x1000) | PTE_PRESENT | PTE_WRITE);
	for (i = 0; i < 4; i++)
		put_le64(table + 0x1000 + i * 8,
			 (BOOT_TABLES + 0x2000 + i * 0x1000) | PTE_PRESENT | PTE_WRITE);
	for (i = 0; i < 2048; i++)
		put_le64(table + 0x2000 + i * 8,
			 i * 2 * MIB | PTE_PRESENT | PTE_WRITE | PTE_LARGE);
	return 0;
}

static int linux_zero_page(const struct boot_image *image, struct vm *vm)
{
	struct boot_params params = { .hdr = image->hdr };
	struct boot_range ranges[BOOT_RANGES_MAX];
	unsigned int i, n = boot_memory_map(vm, ranges);

	params.hdr.type_of_loader = 0xff; /* a boot loader without an assigned number */
	params.hdr.vid_mode = 0xffff;	  /* "normal" */
	params.hdr.code32_start = (uint32_t)image->load;
	params.hdr.cmd_line_ptr = (uint32_t)BOOT_CMDLINE;
	params.hdr.ramdisk_image = (uint32_t)image->initrd_gpa;
	params.hdr.ramdisk_size = (uint32_t)image->initrd_size;
	params.acpi_rsdp_addr = ACPI_RSDP_GPA;
	for (i = 0; i < n; i++) {
		params.e820_table[i].addr = ranges[i].gpa;
		params.e820_table[i].size = ranges[i].size;
		params.e820_table[i].type = (uint32_t)ranges[i].type;
	}
	params.e820_entries = (uint8_t)n;
	return mem_write(&vm->mem, BOOT_PARAMS, &params, sizeof(params));
}

int boot_linux_load(const struct boot_image *image, struct vm *vm, struct vcpu_entry *entry,
		    struct err *err)
{
	int ret = boot_read(vm, image->kernel_fd, image->kernel, image->body_off, image->load,
			    image->body_size, err);

	if (ret)
		return ret;
	ret = linux_page_tables(vm);
	if (!ret)
		ret = linux_zero_page(image, vm);
	if (ret)
		return err_sys(err, ret, "kernel %s: boot data", image->kernel);
	entry->mode = VCPU_LONG64;
	entry->rip = image->entry;
	entry->arg = BOOT_PARAMS;
	entry->page_table = BOOT_TABLES;
	return 0;
}
