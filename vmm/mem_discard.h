/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RAM that the guest does without goes back to the host. Its content becomes zero; it is there
 * again when it is touched. */
#ifndef VIADUCT_VMM_MEM_DISCARD_H
#define VIADUCT_VMM_MEM_DISCARD_H

#include <stdint.h>

#include "types.h"

struct mem;

/* Gives back the whole host pages within [@gpa, @gpa + @len); parts of pages at the ends stay. Any
 * thread, takes mem's lock. 0; -EFAULT: not all of it is RAM of one bank; -EBUSY: a listener has
 * the memory mapped for DMA, so a device would go on using the old pages; -EOPNOTSUPP: it is out of
 * the host's pool of huge pages; or what the kernel says. On failure everything is as it was. */
int mem_discard(struct mem *mem, gpa_t gpa, uint64_t len);
/* The same for memory that mem_ptr() or mem_iov() gave. */
int mem_discard_ptr(struct mem *mem, const void *ptr, uint64_t len);

#endif
