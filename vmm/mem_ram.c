// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where RAM comes from. By default it is private memory for which the kernel is asked to use huge
 * pages; with share=on it is one memfd, which other processes can be given; with page-size=2M or 1G
 * it comes out of the host's pool of such pages, reserved when it is mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "mem_host.h"
#include "mem_priv.h"
#include "vm.h"

#define MEM_HUGE (2 * MIB)
#define MEM_NAME "guest-ram"
#define NODE_BITS 1024
#define WORD_BITS (8 * sizeof(unsigned long))

/* A plan shows the memory and takes none of it. */
static bool ram_from_pool(const struct mem *mem)
{
	return mem_options_hugetlb(&mem->vm->config.ram) && !mem->vm->config.plan;
}

/* The page size as mmap(2) and memfd_create(2) want it: its logarithm, shifted. */
static unsigned int ram_huge_flags(const struct mem *mem)
{
	unsigned int shift = mem->vm->config.ram.page_size == GIB ? 30 : 21;

	return shift << MAP_HUGE_SHIFT;
}

/* Address space aligned for huge pages, so that KVM and the IOMMU can use them. */
static void *ram_reserve(uint64_t size, uint64_t align)
{
	uint8_t *p = mmap(NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *at;

	if (p == MAP_FAILED)
		return NULL;
	at = p + (align_up((uintptr_t)p, align) - (uintptr_t)p);
	if (at > p)
		munmap(p, (size_t)(at - p));
	munmap(at + size, (size_t)(p + size + align - (at + size)));
	return at;
}

/* None of these is needed for a guest to run, so their failing is no failure. */
static void ram_advise(const struct mem *mem, const struct mem_bank *bank)
{
	uint64_t page_size = mem->vm->config.ram.page_size;

	if (!ram_from_pool(mem))
		madvise(bank->hva, bank->map_size,
			page_size == 4 * KIB ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	/* A child would make private pages that a device writes into copy on write. */
	madvise(bank->hva, bank->map_size, MADV_DONTFORK);
	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, bank->hva, bank->map_size, MEM_NAME);
}

static int ram_bind(const struct mem *mem, const struct mem_bank *bank, struct err *err)
{
	unsigned long nodes[NODE_BITS / WORD_BITS] = { 0 };
	const struct mem_options *opt = &mem->vm->config.ram;

	if (!opt->bind)
		return 0;
	if (opt->node >= NODE_BITS)
		return mem_host_node_error("/sys", opt->node, -EINVAL, err);
	nodes[opt->node / WORD_BITS] |= 1ul << opt->node % WORD_BITS;
	/* The kernel takes the number of bits and one more. */
	if (syscall(SYS_mbind, bank->hva, bank->map_size, MPOL_BIND, nodes, NODE_BITS + 1ul, 0) < 0)
		return mem_host_node_error("/sys", opt->node, -errno, err);
	return 0;
}

int mem_ram_open(struct mem *mem, struct err *err)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;

	mem->memfd = -1;
	if (!mem->vm->config.ram.share)
		return 0;
	if (ram_from_pool(mem))
		flags |= MFD_HUGETLB | ram_huge_flags(mem);
	mem->memfd = memfd_create(MEM_NAME, flags);
	/* Who is given the file cannot cut it off below the guest. */
	if (mem->memfd < 0 || ftruncate(mem->memfd, (off_t)align_up(mem->size, MEM_HUGE)) < 0 ||
	    fcntl(mem->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_sys(err, -errno, "guest memory of %llu MiB",
			       (unsigned long long)(mem->size / MIB));
	return 0;
}

static int ram_map_at(const struct mem *mem, struct mem_bank *bank, void *at, struct err *err)
{
	unsigned int flags = MAP_FIXED;

	if (mem->memfd >= 0)
		flags |= MAP_SHARED;
	else
		flags |= MAP_PRIVATE | MAP_ANONYMOUS;
	/* Never MAP_NORESERVE: what the pool lacks has to show now, not as SIGBUS in the guest. */
	if (mem->memfd < 0 && ram_from_pool(mem))
		flags |= MAP_HUGETLB | ram_huge_flags(mem);
	bank->hva = mmap(at, bank->map_size, PROT_READ | PROT_WRITE, (int)flags, mem->memfd,
			 mem->memfd < 0 ? 0 : (off_t)bank->fd_offset);
	if (bank->hva != MAP_FAILED)
		return 0;
	bank->hva = NULL;
	if (errno == ENOMEM && ram_from_pool(mem))
		return mem_host_pool_error("/sys", mem->size, &mem->vm->config.ram, false, err);
	return mem_host_map_error(mem->size, -errno, err);
}

int mem_ram_map(struct mem *mem, struct mem_bank *bank, struct err *err)
{
	uint64_t align = MAX(MEM_HUGE, ram_from_pool(mem) ? mem->vm->config.ram.page_size : 0);
	void *at;
	int ret;

	/* The tail too lies in a huge page. */
	bank->map_size = align_up(bank->size, align);
	at = ram_reserve(bank->map_size, align);
	if (!at)
		return mem_host_map_error(mem->size, -errno, err);
	ret = ram_map_at(mem, bank, at, err);
	if (!ret) {
		ram_advise(mem, bank);
		ret = ram_bind(mem, bank, err);
	}
	if (ret) {
		munmap(at, bank->map_size);
		bank->hva = NULL;
	}
	return ret;
}

void mem_ram_unmap(struct mem_bank *bank)
{
	munmap(bank->hva, bank->map_size);
	bank->hva = NULL;
}
