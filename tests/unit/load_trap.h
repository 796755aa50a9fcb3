/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts accesses to guest memory, to show that nothing is fetched twice. The pages are taken away;
 * each access faults, is noted, and is let through for one instruction. One thread at a time.
 */
#ifndef VIADUCT_TESTS_LOAD_TRAP_H
#define VIADUCT_TESTS_LOAD_TRAP_H

#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define LOAD_TRAP_MAX 64
#define LOAD_TRAP_PAGES 4
#define LOAD_TRAP_TF 0x100 /* of EFLAGS: a trap after each instruction */

static struct {
	uint8_t *page[LOAD_TRAP_PAGES];
	unsigned int pages;
	uintptr_t addr[LOAD_TRAP_MAX];
	volatile sig_atomic_t count;
	struct sigaction old_fault, old_step;
	/* Called when the access numbered @count is through, if set: the other vCPU. */
	void (*stepped)(int count);
} load_trap;

static inline void load_trap_protect(int prot)
{
	unsigned int i;

	for (i = 0; i < load_trap.pages; i++)
		mprotect(load_trap.page[i], 4096, prot);
}

static inline void load_trap_fault(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	if (load_trap.count == LOAD_TRAP_MAX)
		_exit(3);
	load_trap.addr[load_trap.count++] = (uintptr_t)info->si_addr;
	load_trap_protect(PROT_READ | PROT_WRITE);
	uc->uc_mcontext.gregs[REG_EFL] |= LOAD_TRAP_TF;
}

static inline void load_trap_step(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	(void)info;
	if (load_trap.stepped)
		load_trap.stepped(load_trap.count);
	load_trap_protect(PROT_NONE);
	uc->uc_mcontext.gregs[REG_EFL] &= ~LOAD_TRAP_TF;
}

/* @count pages, at most LOAD_TRAP_PAGES. */
static inline void load_trap_on(uint8_t *const *pages, unsigned int count)
{
	struct sigaction fault = { .sa_sigaction = load_trap_fault, .sa_flags = SA_SIGINFO };
	struct sigaction step = { .sa_sigaction = load_trap_step, .sa_flags = SA_SIGINFO };

	for (load_trap.pages = 0; load_trap.pages < count; load_trap.pages++)
		load_trap.page[load_trap.pages] = pages[load_trap.pages];
	load_trap.count = 0;
	sigaction(SIGSEGV, &fault, &load_trap.old_fault);
	sigaction(SIGTRAP, &step, &load_trap.old_step);
	load_trap_protect(PROT_NONE);
}

static inline void load_trap_off(void)
{
	load_trap_protect(PROT_READ | PROT_WRITE);
	sigaction(SIGSEGV, &load_trap.old_fault, NULL);
	sigaction(SIGTRAP, &load_trap.old_step, NULL);
}

/* How often something at @p was loaded or stored. */
static inline unsigned int load_trap_count(const void *p)
{
	unsigned int n = 0;
	int i;

	for (i = 0; i < load_trap.count; i++)
		n += load_trap.addr[i] == (uintptr_t)p;
	return n;
}

#endif
