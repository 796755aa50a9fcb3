// SPDX-License-Identifier: GPL-2.0-or-later
/* The Xen PVH entry: docs/misc/pvh.pandoc and xen/include/public/arch-x86/hvm/start_info.h of Xen,
 * and elfnote.h for the note. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acpi.h"
#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "boot_image.h"
#include "vm.h"

#define PVH_NOTE_ENTRY 18u /* XEN_ELFNOTE_PHYS32_ENTRY */
#define PVH_NOTES_MAX 65536u
#define PVH_MAGIC 0x336ec578u /* "xEn3" with the high bit of the E set */

/* Version 1 of struct hvm_start_info and what it points to, as bytes lie in guest memory. */
struct pvh_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
	uint64_t rsdp_paddr;
	uint64_t memmap_paddr;
	uint32_t memmap_entries;
	uint32_t reserved;
};

struct pvh_module {
	uint64_t paddr;
	uint64_t size;
	uint64_t cmdline_paddr;
	uint64_t reserved;
};

struct pvh_memmap_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

struct pvh_page {
	struct pvh_start_info info;
	struct pvh_module module;
	struct pvh_memmap_entry memmap[BOOT_RANGES_MAX];
};

static int pvh_bad(const struct boot_image *image, struct err *err, const char *what)
{
	return err_set(err, -ENOEXEC, "kernel %s: an ELF file that cannot be booted: %s",
		       image->kernel, what);
}

/* Looks through the notes in @buf for the entry address. */
static bool pvh_find_note(const uint8_t *buf, size_t len, uint64_t *ret_entry)
{
	size_t at = 0;

	while (span_within(at, sizeof(Elf64_Nhdr), len)) {
		Elf64_Nhdr nh;
		uint64_t name, desc;

		memcpy(&nh, buf + at, sizeof(nh));
		name = at + sizeof(nh);
		desc = name + align_up(nh.n_namesz, 4);
		if (!span_within(desc, nh.n_descsz, len))
			return false;
		if (nh.n_type == PVH_NOTE_ENTRY && nh.n_namesz == 4 &&
		    !memcmp(buf + name, "Xen", 4) && (nh.n_descsz == 4 || nh.n_descsz == 8)) {
			*ret_entry = nh.n_descsz == 4 ? get_le32(buf + desc) : get_le64(buf + desc);
			return true;
		}
		at = desc + align_up(nh.n_descsz, 4);
	}
	return false;
}

static int pvh_read_note(struct boot_image *image, const Elf64_Phdr *ph, bool *ret_found,
			 struct err *err)
{
	CLEANUP_FREE uint8_t *buf = NULL;
	int ret;

	if (!ph->p_filesz || ph->p_filesz > PVH_NOTES_MAX)
		return 0;
	if (!span_within(ph->p_offset, ph->p_filesz, image->kernel_size))
		return err_set(err, -ENODATA, "kernel %s: truncated: its notes are missing",
			       image->kernel);
	buf = malloc(ph->p_filesz);
	if (!buf)
		return err_sys(err, -ENOMEM, "kernel %s", image->kernel);
	ret = io_pread_full(image->kernel_fd, buf, ph->p_filesz, (off_t)ph->p_offset);
	if (ret)
		return err_sys(err, ret, "kernel %s", image->kernel);
	*ret_found = pvh_find_note(buf, ph->p_filesz, &image->entry);
	return 0;
}

static int pvh_add_segment(struct boot_image *image, const Elf64_Phdr *ph, struct err *err)
{
	uint64_t end;
	int ret;

	if (!ph->p_memsz)
		return 0;
	if (ph->p_filesz > ph->p_memsz)
		return pvh_bad(image, err, "a segment is larger in the file than in memory");
	if (!span_within(ph->p_offset, ph->p_filesz, image->kernel_size))
		return err_set(err, -ENODATA,
			       "kernel %s: truncated: %llu bytes, a segment ends at %llu",
			       image->kernel, (unsigned long long)image->kernel_size,
			       (unsigned long long)ph->p_offset + ph->p_filesz);
	if (ph->p_paddr < BOOT_HIGH)
		return pvh_bad(image, err, "a segment wants to be below 1 MiB");
	end = ph->p_paddr + ph->p_memsz;
	if (end < ph->p_paddr)
		return pvh_bad(image, err, "a segment wraps round");
	ret = boot_check_room(image, end, err);
	if (ret)
		return ret;
	image->kernel_end = MAX(image->kernel_end, end);
	image->segs[image->seg_count++] = *ph;
	return 0;
}

static int pvh_headers(const struct boot_image *image, const Elf64_Ehdr *eh, Elf64_Phdr *ret_ph,
		       struct err *err)
{
	size_t size = eh->e_phnum * sizeof(*ret_ph);
	int ret;

	if (!span_within(eh->e_phoff, size, image->kernel_size)) {
		err_set(err, -ENODATA, "kernel %s: truncated: no program headers", image->kernel);
		return -ENODATA;
	}
	ret = io_pread_full(image->kernel_fd, ret_ph, size, (off_t)eh->e_phoff);
	if (ret)
		err_sys(err, ret, "kernel %s", image->kernel);
	return ret;
}

/* The note first: a file without it is no kernel, and where its segments go is beside the point. */
static int pvh_segments(struct boot_image *image, const Elf64_Ehdr *eh, struct err *err)
{
	Elf64_Phdr ph[BOOT_SEGS_MAX];
	bool found = false;
	unsigned int i;
	int ret = pvh_headers(image, eh, ph, err);

	for (i = 0; i < eh->e_phnum && !ret && !found; i++)
		if (ph[i].p_type == PT_NOTE)
			ret = pvh_read_note(image, &ph[i], &found, err);
	if (!ret && !found)
		return pvh_bad(image, err,
			       "no PVH entry note: an ordinary program, or a Linux kernel "
			       "without CONFIG_PVH=y; give the bzImage instead");
	for (i = 0; i < eh->e_phnum && !ret; i++)
		if (ph[i].p_type == PT_LOAD)
			ret = pvh_add_segment(image, &ph[i], err);
	if (ret)
		return ret;
	for (i = 0; i < image->seg_count; i++)
		if (image->entry - image->segs[i].p_paddr < image->segs[i].p_memsz)
			return 0;
	return pvh_bad(image, err, "its PVH entry is in no segment");
}

bool boot_is_elf(const uint8_t *head, size_t len)
{
	return len >= SELFMAG && !memcmp(head, ELFMAG, SELFMAG);
}

int boot_pvh_open(struct boot_image *image, const uint8_t *head, size_t len, struct err *err)
{
	Elf64_Ehdr eh;

	if (len < sizeof(eh))
		return err_set(err, -ENODATA, "kernel %s: truncated: %zu bytes", image->kernel,
			       len);
	memcpy(&eh, head, sizeof(eh));
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_ident[EI_DATA] != ELFDATA2LSB ||
	    eh.e_machine != EM_X86_64)
		return pvh_bad(image, err, "not for a 64-bit x86 processor");
	if ((eh.e_type != ET_EXEC && eh.e_type != ET_DYN) || !eh.e_phnum)
		return pvh_bad(image, err, "not a linked program (an object file or module?)");
	if (eh.e_phentsize != sizeof(Elf64_Phdr) || eh.e_phnum > BOOT_SEGS_MAX)
		return pvh_bad(image, err, "strange program headers");
	if (strlen(image->append) >= BOOT_CMDLINE_ROOM)
		return err_set(err, -E2BIG, "command line of %zu bytes: %llu at most",
			       strlen(image->append), BOOT_CMDLINE_ROOM - 1);
	image->kind = BOOT_PVH;
	return pvh_segments(image, &eh, err);
}

static int pvh_start_info(const struct boot_image *image, struct vm *vm)
{
	struct boot_range ranges[BOOT_RANGES_MAX];
	unsigned int i, n = boot_memory_map(vm, ranges);
	struct pvh_page page = {
		.info = {
			.magic = htole32(PVH_MAGIC),
			.version = htole32(1),
			.cmdline_paddr = htole64(BOOT_CMDLINE),
			.rsdp_paddr = htole64(ACPI_RSDP_GPA),
			.memmap_paddr = htole64(BOOT_PARAMS + offsetof(struct pvh_page, memmap)),
			.memmap_entries = htole32(n),
		},
	};

	if (image->initrd) {
		page.info.nr_modules = htole32(1);
		page.info.modlist_paddr =
			htole64(BOOT_PARAMS + offsetof(struct pvh_page, module));
		page.module.paddr = htole64(image->initrd_gpa);
		page.module.size = htole64(image->initrd_size);
	}
	for (i = 0; i < n; i++) {
		page.memmap[i].addr = htole64(ranges[i].gpa);
		page.memmap[i].size = htole64(ranges[i].size);
		page.memmap[i].type = htole32((uint32_t)ranges[i].type);
	}
	return mem_write(&vm->mem, BOOT_PARAMS, &page, sizeof(page));
}

static int pvh_load_segment(const struct boot_image *image, struct vm *vm, const Elf64_Phdr *ph,
			    struct err *err)
{
	uint64_t rest = ph->p_memsz - ph->p_filesz;
	void *bss;
	int ret = 0;

	if (ph->p_filesz)
		ret = boot_read(vm, image->kernel_fd, image->kernel, ph->p_offset, ph->p_paddr,
				ph->p_filesz, err);
	if (ret || !rest)
		return ret;
	bss = mem_ptr(&vm->mem, ph->p_paddr + ph->p_filesz, rest);
	if (!bss)
		return err_set(err, -EFAULT, "kernel %s: a segment is not in RAM", image->kernel);
	memset(bss, 0, rest);
	return 0;
}

int boot_pvh_load(const struct boot_image *image, struct vm *vm, struct vcpu_entry *entry,
		  struct err *err)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < image->seg_count && !ret; i++)
		ret = pvh_load_segment(image, vm, &image->segs[i], err);
	if (ret)
		return ret;
	ret = pvh_start_info(image, vm);
	if (ret)
		return err_sys(err, ret, "kernel %s: boot data", image->kernel);
	entry->mode = VCPU_PVH;
	entry->rip = image->entry;
	entry->arg = BOOT_PARAMS;
	return 0;
}
