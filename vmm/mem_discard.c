// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Private memory goes by madvise(2). Of a memfd the pages belong to the file, which other processes
 * may have mapped too, so a hole is punched there.
 *
 * The lock is held from the look at the listeners to the end: one that comes later pins what is
 * there then.
 */
#include "mem_discard.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/util.h"
#include "vm.h"

static int discard(struct mem *mem, const struct mem_bank *bank, uint64_t off, uint64_t len)
{
	uint64_t start = align_up(off, 4096), end = align_down(off + len, 4096);
	int ret;

	/* They were reserved when they were mapped. Once back in the pool somebody else can have
	 * them, and the guest's next touch would be a SIGBUS. */
	if (mem_options_hugetlb(&mem->vm->config.ram))
		return -EOPNOTSUPP;
	if (start >= end)
		return 0;
	pthread_mutex_lock(&mem->lock);
	if (mem->listeners)
		ret = -EBUSY;
	else if (mem->memfd >= 0)
		ret = fallocate(mem->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)(bank->fd_offset + start), (off_t)(end - start))
			      ? -errno
			      : 0;
	else
		ret = madvise((uint8_t *)bank->hva + start, end - start, MADV_DONTNEED) ? -errno
											: 0;
	pthread_mutex_unlock(&mem->lock);
	return ret;
}

int mem_discard(struct mem *mem, gpa_t gpa, uint64_t len)
{
	const void *ptr = mem_ptr(mem, gpa, len);

	return ptr ? mem_discard_ptr(mem, ptr, len) : -EFAULT;
}

int mem_discard_ptr(struct mem *mem, const void *ptr, uint64_t len)
{
	const struct mem_bank *bank;
	uint64_t off;

	for (bank = mem->banks; bank < mem->banks + mem->bank_count; bank++) {
		off = (uint64_t)((uintptr_t)ptr - (uintptr_t)bank->hva);
		if (len && span_within(off, len, bank->size))
			return discard(mem, bank, off, len);
	}
	return -EFAULT;
}
