// SPDX-License-Identifier: GPL-2.0-or-later
/* Kernel images built here, loaded into plain guest memory, and read back as the kernel would. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <asm/bootparam.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/acpi.h"
#include "vmm/boot.h"
#include "vmm/boot_image.h"
#include "vmm/vm.h"

#define SETUP 4096u
#define BODY 0x20000u
#define BZ_SIZE (SETUP + BODY)
#define LOAD 0x1000000ull
#define INIT_SIZE 0x800000u
#define PVH_BASE 0x200000ull

struct rig {
	struct vm vm;
	char dir[64];
	char kernel[96], initrd[96];
	struct err err;
	struct boot_image *image;
	struct vcpu_entry entry;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	snprintf(r->dir, sizeof(r->dir), "/tmp/boot_test.XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->kernel, sizeof(r->kernel), "%s/kernel", r->dir);
	snprintf(r->initrd, sizeof(r->initrd), "%s/initrd", r->dir);
	r->vm.kvm_fd = r->vm.fd = -1;
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	boot_close(r->image);
	mem_done(&r->vm.mem);
	unlink(r->kernel);
	unlink(r->initrd);
	rmdir(r->kernel);
	rmdir(r->dir);
	free(r);
	return 0;
}

static void put_file(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

/* A bzImage that is all right: protocol 2.15, setup of eight sectors, a body of a pattern. */
static uint8_t *bz_new(struct setup_header **ret_hdr)
{
	uint8_t *f = test_calloc(1, BZ_SIZE);
	struct setup_header *hdr = (void *)(f + 0x1f1);
	size_t i;

	hdr->setup_sects = SETUP / 512 - 1;
	hdr->syssize = BODY / 16;
	hdr->boot_flag = 0xaa55;
	hdr->jump = 0x6aeb; /* jmp over the header: its second byte says where that ends */
	memcpy(&hdr->header, "HdrS", 4);
	hdr->version = 0x020f;
	hdr->loadflags = LOADED_HIGH;
	hdr->initrd_addr_max = 0x7fffffff;
	hdr->kernel_alignment = 0x200000;
	hdr->relocatable_kernel = 1;
	hdr->xloadflags = XLF_KERNEL_64;
	hdr->cmdline_size = 2047;
	hdr->pref_address = LOAD;
	hdr->init_size = INIT_SIZE;
	for (i = 0; i < BODY; i++)
		f[SETUP + i] = (uint8_t)(i * 7 + (i >> 8));
	*ret_hdr = hdr;
	return f;
}

static int try_open(struct rig *r, const char *initrd, const char *append, uint64_t memory)
{
	struct boot_spec spec = { .kernel = r->kernel, .initrd = initrd, .append = append };

	err_clear(&r->err);
	return boot_open(&r->image, &spec, memory, &r->err);
}

static void load(struct rig *r, uint64_t memory)
{
	assert_int_equal(mem_init(&r->vm.mem, &r->vm, memory, &r->err), 0);
	assert_int_equal(boot_load(r->image, &r->vm, &r->entry, &r->err), 0);
}

static void put_bz(struct rig *r)
{
	struct setup_header *hdr;
	uint8_t *f = bz_new(&hdr);

	put_file(r->kernel, f, BZ_SIZE);
	test_free(f);
}

static void put_initrd(struct rig *r, size_t size)
{
	uint8_t *data = test_malloc(size);

	memset(data, 0xa5, size);
	data[size - 1] = 0x5a;
	put_file(r->initrd, data, size);
	test_free(data);
}

static struct boot_params *zero_page(struct rig *r)
{
	return mem_ptr(&r->vm.mem, r->entry.arg, sizeof(struct boot_params));
}

static void linux_is_loaded(void **state)
{
	struct rig *r = *state;
	const struct boot_params *params;
	const uint8_t *body, *initrd;
	struct setup_header *hdr;
	uint8_t *f = bz_new(&hdr);

	put_file(r->kernel, f, BZ_SIZE);
	put_initrd(r, 5000);
	assert_int_equal(try_open(r, r->initrd, "console=ttyS0 quiet", 64 * MIB), 0);
	load(r, 64 * MIB);
	assert_int_equal(r->entry.mode, VCPU_LONG64);
	assert_int_equal(r->entry.rip, LOAD + 0x200);
	body = mem_ptr(&r->vm.mem, LOAD, BODY);
	assert_memory_equal(body, f + SETUP, BODY);
	test_free(f);

	params = zero_page(r);
	assert_int_equal(params->sentinel, 0);
	assert_int_equal(params->acpi_rsdp_addr, ACPI_RSDP_GPA);
	assert_int_equal(params->hdr.type_of_loader, 0xff);
	assert_int_equal(params->hdr.boot_flag, 0xaa55);
	assert_int_equal(params->hdr.init_size, INIT_SIZE);
	assert_string_equal(mem_ptr(&r->vm.mem, params->hdr.cmd_line_ptr, 20),
			    "console=ttyS0 quiet");
	/* As high as it can be: the last page of RAM that takes it. */
	assert_int_equal(params->hdr.ramdisk_size, 5000);
	assert_int_equal(params->hdr.ramdisk_image, 64 * MIB - 8192);
	initrd = mem_ptr(&r->vm.mem, params->hdr.ramdisk_image, 5000);
	assert_int_equal(initrd[0], 0xa5);
	assert_int_equal(initrd[4999], 0x5a);
}

/* Walks the page tables as the processor does. */
static uint64_t translate(struct rig *r, uint64_t va)
{
	const uint64_t *pml4 = mem_ptr(&r->vm.mem, r->entry.page_table, 4096);
	const uint64_t *pdpt, *pd;
	uint64_t e = pml4[(va >> 39) & 511];

	assert_true(e & 1);
	pdpt = mem_ptr(&r->vm.mem, e & ~0xfffull, 4096);
	e = pdpt[(va >> 30) & 511];
	assert_true(e & 1);
	pd = mem_ptr(&r->vm.mem, e & ~0xfffull, 4096);
	e = pd[(va >> 21) & 511];
	assert_int_equal(e & 0x83, 0x83);
	return (e & ~0x1fffffull) | (va & 0x1fffff);
}

static void pages_are_identical(void **state)
{
	struct rig *r = *state;
	const uint64_t *gdt;
	uint64_t va;

	put_bz(r);
	assert_int_equal(try_open(r, NULL, NULL, 64 * MIB), 0);
	load(r, 64 * MIB);
	for (va = 0x123; va < 4 * GIB; va += 2 * MIB)
		assert_int_equal(translate(r, va), va);
	gdt = mem_ptr(&r->vm.mem, r->entry.gdt, 32);
	assert_int_equal(gdt[2], 0x00af9b000000ffffull); /* long mode, execute and read */
	assert_int_equal(gdt[3], 0x00cf93000000ffffull);
}

static uint64_t check_map(struct rig *r)
{
	const struct boot_params *params = zero_page(r);
	uint64_t ram = 0, end = 0;
	unsigned int i;

	assert_in_range(params->e820_entries, 4, BOOT_RANGES_MAX);
	for (i = 0; i < params->e820_entries; i++) {
		const struct boot_e820_entry *e = &params->e820_table[i];

		assert_true(e->addr >= end);
		assert_true(e->size > 0);
		end = e->addr + e->size;
		if (e->type != BOOT_RAM)
			continue;
		ram += e->size;
		assert_non_null(mem_ptr(&r->vm.mem, e->addr, e->size));
	}
	return ram;
}

static void map_covers(struct rig *r, uint64_t memory, uint64_t end)
{
	const struct boot_params *params;
	unsigned int i;
	bool ecam = false;

	put_bz(r);
	assert_int_equal(try_open(r, NULL, NULL, memory), 0);
	load(r, memory);
	assert_int_equal(check_map(r), memory - (BOOT_HIGH - BOOT_BASE_RAM_END));
	params = zero_page(r);
	for (i = 0; i < params->e820_entries; i++) {
		const struct boot_e820_entry *e = &params->e820_table[i];

		if (e->type == BOOT_RAM)
			assert_true(e->addr + e->size <= end);
		/* The BIOS area, where the ACPI tables are, is not RAM. */
		if (e->addr <= GPA_ACPI_BASE && GPA_ACPI_BASE < e->addr + e->size)
			assert_int_equal(e->type, BOOT_RESERVED);
		if (e->addr == GPA_ECAM_BASE)
			ecam = e->type == BOOT_RESERVED && e->size == GPA_ECAM_SIZE;
	}
	assert_true(ecam);
}

static void map_of_64m(void **state)
{
	map_covers(*state, 64 * MIB, 64 * MIB);
}

static void map_of_3g(void **state)
{
	map_covers(*state, 3 * GIB, 3 * GIB);
}

static void map_of_5g(void **state)
{
	map_covers(*state, 5 * GIB, 6 * GIB);
}

struct span {
	uint64_t base, size;
};

static void nothing_overlaps(void **state)
{
	struct rig *r = *state;
	struct span s[8];
	unsigned int i, j, n = 0;

	put_bz(r);
	put_initrd(r, 3 * MIB + 1);
	assert_int_equal(try_open(r, r->initrd, "x", 28 * MIB), 0);
	load(r, 28 * MIB);
	s[n++] = (struct span){ LOAD, INIT_SIZE };
	s[n++] = (struct span){ zero_page(r)->hdr.ramdisk_image, 3 * MIB + 1 };
	s[n++] = (struct span){ r->entry.arg, 4096 };
	s[n++] = (struct span){ r->entry.page_table, 0x6000 };
	s[n++] = (struct span){ r->entry.gdt, 32 };
	s[n++] = (struct span){ BOOT_CMDLINE, BOOT_CMDLINE_ROOM };
	s[n++] = (struct span){ r->entry.rsp - 4096, 4096 };
	s[n++] = (struct span){ BOOT_BASE_RAM_END, BOOT_HIGH - BOOT_BASE_RAM_END };
	for (i = 0; i < n; i++) {
		assert_non_null(mem_ptr(&r->vm.mem, s[i].base, s[i].size));
		for (j = 0; j < i; j++)
			assert_false(span_overlaps(s[i].base, s[i].size, s[j].base, s[j].size));
	}
}

static void initrd_stays_below_its_limit(void **state)
{
	struct rig *r = *state;
	struct setup_header *hdr;
	uint8_t *f = bz_new(&hdr);

	hdr->initrd_addr_max = 0x37ffffff;
	put_file(r->kernel, f, BZ_SIZE);
	test_free(f);
	put_initrd(r, 4096);
	assert_int_equal(try_open(r, r->initrd, NULL, 5 * GIB), 0);
	load(r, 5 * GIB);
	assert_int_equal(zero_page(r)->hdr.ramdisk_image, 0x37fff000);
}

static void refused(struct rig *r, int want, const char *initrd, const char *append,
		    uint64_t memory, const char *text)
{
	int ret = try_open(r, initrd, append, memory);

	if (ret != want || !strstr(r->err.msg, text))
		fail_msg("%d \"%s\", wanted %d with \"%s\"", ret, r->err.msg, want, text);
	assert_int_equal(r->err.code, want);
	assert_null(r->image);
}

/* One field of a good header is spoiled. */
#define BAD_HEADER(r, field, value, code, memory, text)                                            \
	do {                                                                                       \
		struct setup_header *hdr;                                                          \
		uint8_t *f = bz_new(&hdr);                                                         \
                                                                                                   \
		hdr->field = (value);                                                              \
		put_file((r)->kernel, f, BZ_SIZE);                                                 \
		test_free(f);                                                                      \
		refused(r, code, NULL, "append", memory, text);                                    \
	} while (0)

static void bad_headers_are_refused(void **state)
{
	struct rig *r = *state;

	BAD_HEADER(r, version, 0x020b, -ENOEXEC, 64 * MIB, "boot protocol 2.11 is too old");
	BAD_HEADER(r, loadflags, 0, -ENOEXEC, 64 * MIB, "zImage");
	BAD_HEADER(r, xloadflags, 0, -ENOEXEC, 64 * MIB, "32-bit kernel");
	BAD_HEADER(r, kernel_alignment, 0, -ENOEXEC, 64 * MIB, "damaged header");
	BAD_HEADER(r, kernel_alignment, 0x300000, -ENOEXEC, 64 * MIB, "damaged header");
	BAD_HEADER(r, cmdline_size, 5, -E2BIG, 64 * MIB, "takes 5 at most");
	BAD_HEADER(r, syssize, BODY / 16 + 1, -ENODATA, 64 * MIB, "truncated");
	BAD_HEADER(r, syssize, 0, -ENODATA, 64 * MIB, "truncated");
	BAD_HEADER(r, syssize, 0xffffffff, -ENODATA, 64 * MIB, "truncated");
	BAD_HEADER(r, init_size, 48 * MIB + 1, -ENOMEM, 64 * MIB,
		   "needs 65 MiB of memory, the guest has 64 MiB");
	BAD_HEADER(r, pref_address, 0xffffffffffffff00ull, -ENOEXEC, 64 * MIB, "where no RAM");
	BAD_HEADER(r, pref_address, 0x80000000ull, -ENOMEM, 64 * MIB, "needs 2048 MiB");
	BAD_HEADER(r, header, 0, -ENOEXEC, 64 * MIB, "a boot sector or disk image");
}

static void bad_files_are_refused(void **state)
{
	struct rig *r = *state;
	struct setup_header *hdr;
	uint8_t *f = bz_new(&hdr);

	refused(r, -ENOENT, NULL, NULL, 64 * MIB, "No such file");
	assert_int_equal(mkdir(r->kernel, 0700), 0);
	refused(r, -EISDIR, NULL, NULL, 64 * MIB, "is a directory");
	rmdir(r->kernel);
	assert_int_equal(mkfifo(r->kernel, 0600), 0);
	refused(r, -EINVAL, NULL, NULL, 64 * MIB, "not a regular file");
	unlink(r->kernel);
	put_file(r->kernel, "", 0);
	refused(r, -ENODATA, NULL, NULL, 64 * MIB, "is empty");
	put_file(r->kernel, "\x1f\x8b\x08", 3);
	refused(r, -ENOEXEC, NULL, NULL, 64 * MIB, "looks like a gzip file");
	put_file(r->kernel, "#!/bin/sh\n", 10);
	refused(r, -ENOEXEC, NULL, NULL, 64 * MIB, "looks like a script");
	put_file(r->kernel, "hello\n", 6);
	refused(r, -ENOEXEC, NULL, NULL, 64 * MIB, "looks like text");
	put_file(r->kernel, "\x01\x02\x03", 3);
	refused(r, -ENOEXEC, NULL, NULL, 64 * MIB, "something unknown");
	put_file(r->kernel, f, 0x210);
	refused(r, -ENODATA, NULL, NULL, 64 * MIB, "truncated");
	put_file(r->kernel, f, BZ_SIZE - 1);
	refused(r, -ENODATA, NULL, NULL, 64 * MIB, "truncated");
	test_free(f);
}

static void bad_initrds_are_refused(void **state)
{
	struct rig *r = *state;

	put_bz(r);
	refused(r, -ENOENT, r->initrd, NULL, 64 * MIB, "initrd");
	put_file(r->initrd, "", 0);
	refused(r, -ENODATA, r->initrd, NULL, 64 * MIB, "is empty");
	/* 24 MiB up to the kernel's end and 9 of initrd. */
	put_initrd(r, 9 * MIB);
	refused(r, -ENOMEM, r->initrd, NULL, 32 * MIB, "need 33 MiB of memory, the guest has 32");
	assert_int_equal(try_open(r, r->initrd, NULL, 33 * MIB), 0);
}

static void large_initrd_for_a_low_limit(void **state)
{
	struct rig *r = *state;
	struct setup_header *hdr;
	uint8_t *f = bz_new(&hdr);

	hdr->initrd_addr_max = 0x1ffffff;
	put_file(r->kernel, f, BZ_SIZE);
	test_free(f);
	put_initrd(r, 9 * MIB);
	refused(r, -EFBIG, r->initrd, NULL, 64 * MIB, "do not fit below 0x2000000");
}

static void shrunk_file_is_noticed(void **state)
{
	struct rig *r = *state;

	put_bz(r);
	put_initrd(r, 8192);
	assert_int_equal(try_open(r, r->initrd, NULL, 64 * MIB), 0);
	assert_int_equal(truncate(r->initrd, 100), 0);
	assert_int_equal(mem_init(&r->vm.mem, &r->vm, 64 * MIB, &r->err), 0);
	assert_int_equal(boot_load(r->image, &r->vm, &r->entry, &r->err), -ENODATA);
	assert_non_null(strstr(r->err.msg, "became shorter"));
}

/* An ELF image with a PVH note: one segment of 0x1000 bytes and as much again of zeroes. */
struct pvh_file {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	Elf64_Nhdr nh;
	char name[4];
	uint32_t entry;
	uint8_t body[0x1000];
};

static struct pvh_file *pvh_new(void)
{
	struct pvh_file *f = test_calloc(1, sizeof(*f));

	memcpy(f->eh.e_ident, ELFMAG, SELFMAG);
	f->eh.e_ident[EI_CLASS] = ELFCLASS64;
	f->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	f->eh.e_type = ET_EXEC;
	f->eh.e_machine = EM_X86_64;
	f->eh.e_phoff = offsetof(struct pvh_file, ph);
	f->eh.e_phentsize = sizeof(Elf64_Phdr);
	f->eh.e_phnum = 2;
	f->ph[0].p_type = PT_NOTE;
	f->ph[0].p_offset = offsetof(struct pvh_file, nh);
	f->ph[0].p_filesz = f->ph[0].p_memsz = 20;
	f->ph[1].p_type = PT_LOAD;
	f->ph[1].p_offset = offsetof(struct pvh_file, body);
	f->ph[1].p_paddr = PVH_BASE;
	f->ph[1].p_filesz = sizeof(f->body);
	f->ph[1].p_memsz = 2 * sizeof(f->body);
	f->nh.n_namesz = 4;
	f->nh.n_descsz = 4;
	f->nh.n_type = 18;
	memcpy(f->name, "Xen", 4);
	f->entry = (uint32_t)PVH_BASE + 0x10;
	memset(f->body, 0x90, sizeof(f->body));
	return f;
}

static void pvh_is_loaded(void **state)
{
	struct rig *r = *state;
	struct pvh_file *f = pvh_new();
	const uint8_t *seg, *module, *map, *info;
	uint8_t *bss;
	unsigned int i;
	uint64_t ram = 0;

	put_file(r->kernel, f, sizeof(*f));
	test_free(f);
	put_initrd(r, 4097);
	assert_int_equal(try_open(r, r->initrd, "root=/dev/vda", 64 * MIB), 0);
	load(r, 64 * MIB);
	assert_int_equal(r->entry.mode, VCPU_PVH);
	assert_int_equal(r->entry.rip, PVH_BASE + 0x10);
	seg = mem_ptr(&r->vm.mem, PVH_BASE, 0x1000);
	assert_int_equal(seg[0xfff], 0x90);
	info = mem_ptr(&r->vm.mem, r->entry.arg, 56);
	assert_int_equal(get_le32(info), 0x336ec578);
	assert_int_equal(get_le32(info + 4), 1);
	assert_int_equal(get_le32(info + 12), 1);
	assert_string_equal(mem_ptr(&r->vm.mem, get_le64(info + 24), 14), "root=/dev/vda");
	assert_int_equal(get_le64(info + 32), ACPI_RSDP_GPA);
	module = mem_ptr(&r->vm.mem, get_le64(info + 16), 32);
	assert_int_equal(get_le64(module), 64 * MIB - 8192);
	assert_int_equal(get_le64(module + 8), 4097);
	for (i = 0; i < get_le32(info + 48); i++) {
		map = mem_ptr(&r->vm.mem, get_le64(info + 40) + i * 24ull, 24);
		ram += get_le32(map + 16) == BOOT_RAM ? get_le64(map + 8) : 0;
	}
	assert_int_equal(ram, 64 * MIB - (BOOT_HIGH - BOOT_BASE_RAM_END));
	/* After a reboot what the last kernel left in its zeroes is gone. */
	bss = mem_ptr(&r->vm.mem, PVH_BASE + 0x1000, 0x1000);
	memset(bss, 0xff, 0x1000);
	assert_int_equal(boot_load(r->image, &r->vm, &r->entry, &r->err), 0);
	assert_int_equal(bss[0], 0);
	assert_int_equal(bss[0xfff], 0);
}

#define BAD_PVH(r, field, value, code, text)                                                       \
	do {                                                                                       \
		struct pvh_file *f = pvh_new();                                                    \
                                                                                                   \
		f->field = (value);                                                                \
		put_file((r)->kernel, f, sizeof(*f));                                              \
		test_free(f);                                                                      \
		refused(r, code, NULL, NULL, 64 * MIB, text);                                      \
	} while (0)

static void bad_pvh_is_refused(void **state)
{
	struct rig *r = *state;

	BAD_PVH(r, nh.n_type, 17, -ENOEXEC, "no PVH entry note");
	/* An ordinary program, whatever its segments want. */
	BAD_PVH(r, ph[0].p_type, f->ph[1].p_paddr = 0, -ENOEXEC, "an ordinary program");
	BAD_PVH(r, name[0], 'Y', -ENOEXEC, "no PVH entry note");
	BAD_PVH(r, nh.n_descsz, 0xfffffffc, -ENOEXEC, "no PVH entry note");
	BAD_PVH(r, nh.n_namesz, 0xffffffff, -ENOEXEC, "no PVH entry note");
	BAD_PVH(r, ph[0].p_offset, UINT64_MAX - 3, -ENODATA, "truncated");
	BAD_PVH(r, entry, 0x100, -ENOEXEC, "in no segment");
	BAD_PVH(r, ph[1].p_paddr, 0x1000, -ENOEXEC, "below 1 MiB");
	BAD_PVH(r, ph[1].p_paddr, UINT64_MAX - 0x100, -ENOEXEC, "wraps");
	BAD_PVH(r, ph[1].p_memsz, 0x10, -ENOEXEC, "larger in the file");
	BAD_PVH(r, ph[1].p_memsz, 70 * MIB, -ENOMEM, "needs 72 MiB");
	BAD_PVH(r, ph[1].p_offset, 0x1000, -ENODATA, "truncated");
	BAD_PVH(r, eh.e_machine, EM_AARCH64, -ENOEXEC, "not for a 64-bit x86");
	BAD_PVH(r, eh.e_ident[EI_CLASS], ELFCLASS32, -ENOEXEC, "not for a 64-bit x86");
	BAD_PVH(r, eh.e_type, ET_REL, -ENOEXEC, "object file");
	BAD_PVH(r, eh.e_phnum, 65, -ENOEXEC, "strange program headers");
	BAD_PVH(r, eh.e_phoff, sizeof(struct pvh_file) - 8, -ENODATA, "truncated");
	BAD_PVH(r, eh.e_phoff, UINT64_MAX, -ENODATA, "truncated");
}

static void long_command_lines_are_refused(void **state)
{
	struct rig *r = *state;
	char *line = test_malloc(2049);

	put_bz(r);
	memset(line, 'x', 2048);
	line[2048] = '\0';
	refused(r, -E2BIG, NULL, line, 64 * MIB, "2048 bytes");
	line[2047] = '\0';
	assert_int_equal(try_open(r, NULL, line, 64 * MIB), 0);
	test_free(line);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(linux_is_loaded),
		T(pages_are_identical),
		T(map_of_64m),
		T(map_of_3g),
		T(map_of_5g),
		T(nothing_overlaps),
		T(initrd_stays_below_its_limit),
		T(bad_headers_are_refused),
		T(bad_files_are_refused),
		T(bad_initrds_are_refused),
		T(large_initrd_for_a_low_limit),
		T(shrunk_file_is_noticed),
		T(pvh_is_loaded),
		T(bad_pvh_is_refused),
		T(long_command_lines_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
