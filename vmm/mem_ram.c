// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where RAM comes from. By default it is private memory for which the kernel is asked to use huge
 * pages; with share=on it is one memfd, which other processes can be given.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "mem_priv.h"
#include "vm.h"

#define MEM_HUGE (2 * MIB)
#define MEM_NAME "guest-ram"

/* Address space aligned for huge pages, so that KVM and the IOMMU can use them. */
static void *ram_reserve(uint64_t size)
{
	uint8_t *p = mmap(NULL, size + MEM_HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *at;

	if (p == MAP_FAILED)
		return NULL;
	at = p + (align_up((uintptr_t)p, MEM_HUGE) - (uintptr_t)p);
	if (at > p)
		munmap(p, (size_t)(at - p));
	munmap(at + size, (size_t)(p + size + MEM_HUGE - (at + size)));
	return at;
}

/* None of these is needed for a guest to run, so their failing is no failure. */
static void ram_advise(const struct mem_bank *bank)
{
	madvise(bank->hva, bank->map_size, MADV_HUGEPAGE);
	/* A child would make private pages that a device writes into copy on write. */
	madvise(bank->hva, bank->map_size, MADV_DONTFORK);
	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, bank->hva, bank->map_size, MEM_NAME);
}

int mem_ram_open(struct mem *mem, struct err *err)
{
	mem->memfd = -1;
	if (!mem->vm->config.ram.share)
		return 0;
	mem->memfd = memfd_create(MEM_NAME, MFD_CLOEXEC);
	if (mem->memfd < 0 || ftruncate(mem->memfd, (off_t)align_up(mem->size, MEM_HUGE)) < 0)
		return err_sys(err, -errno, "guest memory of %llu MiB",
			       (unsigned long long)(mem->size / MIB));
	return 0;
}

int mem_ram_map(struct mem *mem, struct mem_bank *bank, struct err *err)
{
	int flags = mem->memfd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	uint64_t size = align_up(bank->size, MEM_HUGE);
	void *at = ram_reserve(size);

	if (!at)
		return err_sys(err, -errno, "guest memory: address space of %llu MiB",
			       (unsigned long long)(bank->size / MIB));
	bank->hva = mmap(at, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, mem->memfd,
			 mem->memfd < 0 ? 0 : (off_t)bank->fd_offset);
	if (bank->hva == MAP_FAILED) {
		int ret = err_sys(err, -errno, "guest memory: mapping %llu MiB",
				  (unsigned long long)(bank->size / MIB));

		munmap(at, size);
		bank->hva = NULL;
		return ret;
	}
	bank->map_size = size;
	ram_advise(bank);
	return 0;
}

void mem_ram_unmap(struct mem_bank *bank)
{
	munmap(bank->hva, bank->map_size);
	bank->hva = NULL;
}
