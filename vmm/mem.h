/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory: RAM banks, KVM memory slots, and the listeners (IOMMU back ends) that mirror both
 * into DMA mappings.
 *
 * RAM is fixed from mem_init() to mem_done(), so the four accessors take no lock and may be called
 * by any thread. Each checks the whole span. They reach RAM only: a device that points its DMA at
 * a BAR or at nothing gets an error, never memory that is not RAM.
 */
#ifndef VIADUCT_VMM_MEM_H
#define VIADUCT_VMM_MEM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "types.h"

struct err;
struct vm;

#define MEM_BANKS_MAX 2

/* How RAM is made. All zero: private memory in transparent huge pages, from any node. */
struct mem_options {
	uint64_t page_size; /* 4 KiB; 2 MiB or 1 GiB out of the host's pool; 0: transparent ones */
	bool share;	    /* one memfd, which other processes can be given (vhost-user) */
	bool bind;	    /* to @node alone */
	uint32_t node;
	/* Touched before the guest starts. Not said: pages of a pool are, others when a function of
	 * the host is there, whose DMA needs all of them anyway. */
	bool populate, populate_set;
};

static inline bool mem_options_hugetlb(const struct mem_options *opt)
{
	return opt->page_size > 4096;
}

/* Decodes "2G,node=0" or "size=2G,node=0" (--memory). What is not named keeps its value; on
 * failure (-EINVAL, -ERANGE, -ENOMEM) all does. */
int mem_options_parse(const char *text, uint64_t *size, struct mem_options *ram, struct err *err);

struct mem_bank {
	gpa_t gpa;
	uint64_t size;
	void *hva;
	uint64_t map_size;  /* what is mapped at hva: whole huge pages */
	uint64_t fd_offset; /* into mem.memfd */
};

/* Mirrors memory into an IOMMU. Called with mem's lock held: must not call back into mem. A map
 * covers exactly one RAM bank or one mapped part of a BAR. */
struct mem_listener {
	int (*map)(void *opaque, iova_t iova, uint64_t size, void *hva, bool ram, struct err *err);
	void (*unmap)(void *opaque, iova_t iova, uint64_t size);
	void *opaque;
	struct mem_listener *next; /* mem's */
};

/* A part of a BAR that the guest reaches without an exit. Embedded in the owner's range. */
struct mem_part {
	uint64_t offset; /* from the start of the range; page multiple */
	uint64_t size;	 /* page multiple, more than the range when that is less than a page */
	void *hva;
	bool readonly;
	bool dma; /* other functions may be told to reach it (peer to peer) */
	/* mem's */
	int slot; /* KVM memory slot + 1, 0 while not mapped */
	bool dma_live;
	gpa_t dma_gpa; /* where the DMA mapping is; it outlives a decode switched off */
	struct mem_part *dma_next;
};

struct mem {
	struct vm *vm;
	int memfd; /* -1: RAM is private */
	uint64_t size;
	bool populated;
	struct mem_bank banks[MEM_BANKS_MAX];
	unsigned int bank_count;
	pthread_mutex_t lock; /* a leaf: slots, parts, listeners */
	uint64_t *slot_used;  /* bit set */
	unsigned int slot_max;
	struct mem_part *dma_parts;
	struct mem_listener *listeners;
};

/* Creates RAM of @size bytes (page multiple, at least 1 MiB), as vm->config.ram says: one bank
 * below GPA_LOW_RAM_MAX and the rest above 4 GiB, and its memory slots. @vm's KVM fds are open, or
 * -1 (plan, tests): then no slots are made. */
int mem_init(struct mem *mem, struct vm *vm, uint64_t size, struct err *err);
void mem_done(struct mem *mem);

/* The span as one pointer, or NULL when it is not wholly within one bank. @len 0 is an error too.
 * The guest may write there at any time: load once, check the copy. */
void *mem_ptr(const struct mem *mem, gpa_t gpa, uint64_t len);
/* Copies; 0, or -EFAULT when a byte of the span is not RAM (then nothing was copied). */
int mem_read(const struct mem *mem, gpa_t gpa, void *buf, uint64_t len);
int mem_write(const struct mem *mem, gpa_t gpa, const void *buf, uint64_t len);
/* Splits a span into @iov. Returns the number of entries used (0 for @len 0), -EFAULT when not all
 * of it is RAM, -E2BIG when @max entries do not do. */
int mem_iov(const struct mem *mem, gpa_t gpa, uint64_t len, struct iovec *iov, unsigned int max);

/* Makes a part visible at @gpa (memory slot, then DMA map for each listener when part->dma). A DMA
 * map that fails is logged and left out: the part works, peer to peer to it does not. 0 or
 * -errno (no slot left, KVM refuses). Unmapping leaves the DMA mapping in place until the part is
 * mapped elsewhere, something else needs the addresses, or mem_part_forget(). */
int mem_part_map(struct mem *mem, struct mem_part *part, gpa_t gpa, struct err *err);
void mem_part_unmap(struct mem *mem, struct mem_part *part);
void mem_part_forget(struct mem *mem, struct mem_part *part);

/* Adds a listener and maps all that is there into it, RAM populated before. On failure what was
 * mapped is unmapped and the listener is not added. */
int mem_listener_add(struct mem *mem, struct mem_listener *listener, struct err *err);
/* Unmaps everything from it and takes it away. */
void mem_listener_del(struct mem *mem, struct mem_listener *listener);

#endif
