// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Touches all of RAM beforehand. Most of the time of mapping memory for DMA goes into clearing
 * fresh pages, one after another; here every CPU that this process may use clears a part.
 */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "mem_host.h"
#include "mem_priv.h"
#include "vm.h"

#define CHUNK (256 * MIB)
#define THREADS_MAX 16
#define NEWS_S 2 /* between two lines about how far it is */

struct populate {
	const struct mem *mem;
	uint64_t chunk;
	atomic_uint next; /* the chunk that nobody has taken yet */
	unsigned int count;
	atomic_ullong done; /* bytes */
	atomic_int ret;	    /* the first -errno */
};

static uint64_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec;
}

static unsigned int bank_chunks(const struct populate *p, const struct mem_bank *bank)
{
	return (unsigned int)((bank->map_size + p->chunk - 1) / p->chunk);
}

/* Where the @n-th chunk lies, and how long it is. */
static uint8_t *chunk_at(const struct populate *p, unsigned int n, uint64_t *ret_size)
{
	const struct mem_bank *bank = p->mem->banks;

	while (n >= bank_chunks(p, bank))
		n -= bank_chunks(p, bank++);
	*ret_size = MIN(p->chunk, bank->map_size - n * p->chunk);
	return (uint8_t *)bank->hva + n * p->chunk;
}

/* Takes and touches one chunk. False when there is none left, or no point. */
static bool populate_one(struct populate *p)
{
	unsigned int n = atomic_fetch_add(&p->next, 1);
	uint64_t size;
	uint8_t *at;
	int none = 0;

	if (n >= p->count || atomic_load(&p->ret))
		return false;
	at = chunk_at(p, n, &size);
	while (madvise(at, size, MADV_POPULATE_WRITE) < 0) {
		if (errno == EINTR || errno == EAGAIN)
			continue;
		atomic_compare_exchange_strong(&p->ret, &none, -errno);
		return false;
	}
	atomic_fetch_add(&p->done, size);
	return true;
}

static void *populate_main(void *opaque)
{
	while (populate_one(opaque))
		;
	return NULL;
}

/* The caller's share, with a word now and then for who waits. */
static void populate_here(struct populate *p)
{
	uint64_t last = now_s();

	while (populate_one(p)) {
		if (now_s() - last < NEWS_S || atomic_load(&p->next) >= p->count)
			continue;
		last = now_s();
		log_line(p->mem->vm->log, LOG_INFO, "guest memory: %llu of %llu MiB are there",
			 (unsigned long long)(atomic_load(&p->done) / MIB),
			 (unsigned long long)(p->mem->size / MIB));
	}
}

static unsigned int cpus_allowed(void)
{
	cpu_set_t set;

	/* Fails where there are more CPUs than the set has bits: more than enough. */
	if (sched_getaffinity(0, sizeof(set), &set))
		return THREADS_MAX;
	return (unsigned int)CPU_COUNT(&set);
}

static void populate_all(struct populate *p)
{
	unsigned int want = MIN(MIN(p->count, cpus_allowed()), THREADS_MAX), have;
	pthread_t threads[THREADS_MAX];

	/* One is the caller; with fewer threads it only takes longer. */
	for (have = 0; have + 1 < want; have++)
		if (pthread_create(&threads[have], NULL, populate_main, p))
			break;
	populate_here(p);
	while (have)
		pthread_join(threads[--have], NULL);
}

static int populate_error(const struct mem *mem, int ret, struct err *err)
{
	const struct mem_options *opt = &mem->vm->config.ram;

	/* A huge page that is not to be had would be SIGBUS if the guest touched it. */
	if (ret == -EFAULT && mem_options_hugetlb(opt))
		return mem_host_pool_error("/sys", mem->size, opt, opt->bind, err);
	if (ret == -ENOMEM || ret == -EFAULT)
		return err_set(err, -ENOMEM,
			       "guest memory: the host has not %llu MiB free%s; give less with "
			       "--memory",
			       (unsigned long long)(mem->size / MIB),
			       opt->bind ? " on that node" : "");
	return err_sys(err, ret, "guest memory: populating %llu MiB",
		       (unsigned long long)(mem->size / MIB));
}

int mem_populate(struct mem *mem, struct err *err)
{
	struct populate p = {
		.mem = mem,
		.chunk = MAX(CHUNK, mem->vm->config.ram.page_size),
	};
	unsigned int i;
	int ret;

	if (mem->populated)
		return 0;
	for (i = 0; i < mem->bank_count; i++)
		p.count += bank_chunks(&p, &mem->banks[i]);
	populate_all(&p);
	ret = atomic_load(&p.ret);
	if (ret == -EINVAL) {
		/* What touches the memory later pays for it then, and works. */
		log_line(mem->vm->log, LOG_WARN,
			 "guest memory is not populated beforehand: that takes Linux 5.14");
		ret = 0;
	}
	if (ret)
		return populate_error(mem, ret, err);
	mem->populated = true;
	return 0;
}
