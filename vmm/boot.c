// SPDX-License-Identifier: GPL-2.0-or-later
#include "boot.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "boot_image.h"
#include "vm.h"

/* What people hand in instead of a kernel, by its first bytes. */
static const struct {
	size_t off;
	size_t len;
	const char *bytes;
	const char *name;
} boot_magics[] = {
	{ 0, 2, "\x1f\x8b", "a gzip file" },
	{ 0, 6, "\xfd" "7zXZ\0", "an xz file" },
	{ 0, 4, "\x28\xb5\x2f\xfd", "a zstd file" },
	{ 0, 3, "BZh", "a bzip2 file" },
	{ 0, 4, "\x02\x21\x4c\x18", "an lz4 file" },
	{ 0, 6, "070701", "a cpio archive, an initrd perhaps" },
	{ 0, 6, "070702", "a cpio archive, an initrd perhaps" },
	{ 0, 4, "QFI\xfb", "a qcow2 disk image" },
	{ 0, 4, "\x27\x05\x19\x56", "a U-Boot image" },
	{ 0x38, 4, "ARM\x64", "an arm64 kernel" },
	{ 0x30, 5, "RISCV", "a RISC-V kernel" },
	{ 0, 2, "MZ", "a Windows or UEFI program" },
	{ 0, 2, "#!", "a script" },
	{ 0x1fe, 2, "\x55\xaa", "a boot sector or disk image" },
};

static const char *boot_looks_like(const uint8_t *head, size_t len)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(boot_magics); i++) {
		if (span_within(boot_magics[i].off, boot_magics[i].len, len) &&
		    !memcmp(head + boot_magics[i].off, boot_magics[i].bytes, boot_magics[i].len))
			return boot_magics[i].name;
	}
	for (i = 0; i < len && (isprint(head[i]) || isspace(head[i])); i++)
		;
	return i == len ? "text" : "something unknown";
}

/* Opens a regular, non-empty file. Three system calls with the first read. */
static int boot_file_open(const char *what, const char *path, int *ret_fd, uint64_t *ret_size,
			  struct err *err)
{
	/* O_NONBLOCK: a FIFO is refused below, not waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int ret = 0;

	if (fd < 0)
		return err_sys(err, -errno, "%s %s", what, path);
	if (fstat(fd, &st) < 0)
		ret = err_sys(err, -errno, "%s %s", what, path);
	else if (S_ISDIR(st.st_mode))
		ret = err_set(err, -EISDIR, "%s %s: is a directory; give a file", what, path);
	else if (!S_ISREG(st.st_mode))
		ret = err_set(err, -EINVAL, "%s %s: is not a regular file", what, path);
	else if (!st.st_size)
		ret = err_set(err, -ENODATA, "%s %s: is empty", what, path);
	if (ret) {
		close(fd);
		return ret;
	}
	*ret_fd = fd;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static unsigned long long boot_mib(uint64_t bytes)
{
	return (bytes + MIB - 1) / MIB;
}

int boot_check_room(const struct boot_image *image, uint64_t end, struct err *err)
{
	if (end <= image->low_ram)
		return 0;
	if (end > GPA_LOW_RAM_MAX)
		return err_set(err, -ENOEXEC,
			       "kernel %s: wants to be loaded up to 0x%llx, where no RAM can be",
			       image->kernel, (unsigned long long)end);
	return err_set(err, -ENOMEM, "kernel %s: needs %llu MiB of memory, the guest has %llu MiB",
		       image->kernel, boot_mib(end), boot_mib(image->low_ram));
}

static int boot_kernel_open(struct boot_image *image, struct err *err)
{
	uint8_t head[BOOT_HEAD];
	size_t len;
	int ret = boot_file_open("kernel", image->kernel, &image->kernel_fd, &image->kernel_size,
				 err);

	if (ret)
		return ret;
	len = (size_t)MIN(image->kernel_size, sizeof(head));
	ret = io_pread_full(image->kernel_fd, head, len, 0);
	if (ret)
		return err_sys(err, ret, "kernel %s", image->kernel);
	if (boot_is_linux(head, len))
		return boot_linux_open(image, head, len, err);
	if (boot_is_elf(head, len))
		return boot_pvh_open(image, head, len, err);
	return err_set(err, -ENOEXEC,
		       "kernel %s: not a kernel, it looks like %s; wanted: a Linux bzImage or an "
		       "ELF image with a PVH entry note",
		       image->kernel, boot_looks_like(head, len));
}

/* As high as it may be: the kernel unpacks below it and frees it last. */
static int boot_initrd_open(struct boot_image *image, struct err *err)
{
	gpa_t limit = MIN(image->low_ram, image->initrd_max);
	uint64_t room, need;
	int ret = boot_file_open("initrd", image->initrd, &image->initrd_fd, &image->initrd_size,
				 err);

	if (ret)
		return ret;
	room = align_down(limit, 4096);
	if (image->initrd_size <= room &&
	    align_down(room - image->initrd_size, 4096) >= image->kernel_end) {
		image->initrd_gpa = align_down(room - image->initrd_size, 4096);
		return 0;
	}
	if (image->initrd_size > image->initrd_max - MIN(image->kernel_end, image->initrd_max))
		return err_set(err, -EFBIG,
			       "initrd %s: %llu MiB do not fit below 0x%llx, the highest address "
			       "that kernel %s takes",
			       image->initrd, boot_mib(image->initrd_size),
			       (unsigned long long)image->initrd_max, image->kernel);
	need = align_up(image->kernel_end, 4096) + align_up(image->initrd_size, 4096);
	return err_set(err, -ENOMEM,
		       "kernel %s and initrd %s: need %llu MiB of memory, the guest has %llu MiB",
		       image->kernel, image->initrd, boot_mib(need), boot_mib(image->low_ram));
}

int boot_open(struct boot_image **ret_image, const struct boot_spec *spec, uint64_t memory,
	      struct err *err)
{
	struct boot_image *image = calloc(1, sizeof(*image));
	int ret;

	if (!image)
		return err_sys(err, -ENOMEM, "kernel %s", spec->kernel);
	image->kernel_fd = -1;
	image->initrd_fd = -1;
	image->low_ram = MIN(memory, GPA_LOW_RAM_MAX);
	image->initrd_max = GPA_LOW_RAM_MAX;
	image->kernel = strdup(spec->kernel);
	image->append = strdup(spec->append ? spec->append : "");
	image->initrd = spec->initrd ? strdup(spec->initrd) : NULL;
	if (!image->kernel || !image->append || (spec->initrd && !image->initrd)) {
		boot_close(image);
		return err_sys(err, -ENOMEM, "kernel %s", spec->kernel);
	}
	ret = boot_kernel_open(image, err);
	if (!ret && image->initrd)
		ret = boot_initrd_open(image, err);
	if (ret) {
		boot_close(image);
		return ret;
	}
	*ret_image = image;
	return 0;
}

void boot_close(struct boot_image *image)
{
	if (!image)
		return;
	fd_close(&image->kernel_fd);
	fd_close(&image->initrd_fd);
	free(image->kernel);
	free(image->initrd);
	free(image->append);
	free(image);
}

unsigned int boot_memory_map(const struct vm *vm, struct boot_range *ranges)
{
	unsigned int i, n = 0;

	for (i = 0; i < vm->mem.bank_count; i++) {
		const struct mem_bank *bank = &vm->mem.banks[i];

		if (bank->gpa) {
			ranges[n++] = (struct boot_range){ bank->gpa, bank->size, BOOT_RAM };
			continue;
		}
		ranges[n++] = (struct boot_range){ 0, BOOT_BASE_RAM_END, BOOT_RAM };
		ranges[n++] = (struct boot_range){ BOOT_BASE_RAM_END,
						   BOOT_HIGH - BOOT_BASE_RAM_END, BOOT_RESERVED };
		if (bank->size > BOOT_HIGH)
			ranges[n++] = (struct boot_range){ BOOT_HIGH, bank->size - BOOT_HIGH,
							   BOOT_RAM };
		/* Linux takes MCFG early only where the map reserves it, and KVM keeps the last. */
		ranges[n++] = (struct boot_range){ GPA_ECAM_BASE, GPA_ECAM_SIZE, BOOT_RESERVED };
		ranges[n++] = (struct boot_range){ GPA_KVM_IDENTITY, 0x4000, BOOT_RESERVED };
	}
	return n;
}

int boot_read(struct vm *vm, int fd, const char *path, uint64_t off, gpa_t gpa, uint64_t size,
	      struct err *err)
{
	void *to = mem_ptr(&vm->mem, gpa, size);
	int ret;

	if (!to)
		return err_set(err, -EFAULT, "%s: 0x%llx bytes at 0x%llx are not RAM", path,
			       (unsigned long long)size, (unsigned long long)gpa);
	ret = io_pread_full(fd, to, size, (off_t)off);
	if (ret == -ENODATA)
		return err_set(err, ret, "%s: became shorter since it was opened", path);
	return ret ? err_sys(err, ret, "%s", path) : 0;
}

/* A flat code (0x10) and data (0x18) segment. */
static int boot_gdt(const struct boot_image *image, struct vm *vm)
{
	uint64_t gdt[4] = { 0, 0, htole64(0x00cf9b000000ffffull), htole64(0x00cf93000000ffffull) };

	if (image->kind == BOOT_LINUX64)
		gdt[2] = htole64(0x00af9b000000ffffull);
	return mem_write(&vm->mem, BOOT_GDT, gdt, sizeof(gdt));
}

int boot_load(const struct boot_image *image, struct vm *vm, struct vcpu_entry *ret_entry,
	      struct err *err)
{
	int ret;

	memset(ret_entry, 0, sizeof(*ret_entry));
	ret_entry->rsp = BOOT_STACK;
	ret_entry->gdt = BOOT_GDT;
	ret = boot_gdt(image, vm);
	if (!ret)
		ret = mem_write(&vm->mem, BOOT_CMDLINE, image->append, strlen(image->append) + 1);
	if (ret)
		return err_sys(err, ret, "kernel %s: boot data", image->kernel);
	if (image->initrd) {
		ret = boot_read(vm, image->initrd_fd, image->initrd, 0, image->initrd_gpa,
				image->initrd_size, err);
		if (ret)
			return ret;
	}
	if (image->kind == BOOT_PVH)
		return boot_pvh_load(image, vm, ret_entry, err);
	return boot_linux_load(image, vm, ret_entry, err);
}
