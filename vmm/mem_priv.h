/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between mem.c and its neighbours: where RAM comes from. */
#ifndef VIADUCT_VMM_MEM_PRIV_H
#define VIADUCT_VMM_MEM_PRIV_H

#include "mem.h"

/* Makes mem->memfd for shared memory, -1 for private. mem->size and mem->vm are set. */
int mem_ram_open(struct mem *mem, struct err *err);
/* Maps bank->size bytes and fills in hva and map_size. On failure nothing stays mapped. */
int mem_ram_map(struct mem *mem, struct mem_bank *bank, struct err *err);
void mem_ram_unmap(struct mem_bank *bank);

/* Touches all of RAM, with several threads, unless that was done. Its content stays. Loop thread.
 * 0, or a negative errno when the host has not that much. */
int mem_populate(struct mem *mem, struct err *err);

#endif
