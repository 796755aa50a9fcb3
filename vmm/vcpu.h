/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One vCPU is one thread in KVM_RUN. Its registers are touched by its own thread, or by the loop
 * thread while all vCPUs stand still (vcpus_stop()).
 */
#ifndef VIADUCT_VMM_VCPU_H
#define VIADUCT_VMM_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "types.h"

struct err;
struct kvm_run;
struct vm;

/* APIC ids beyond 254 want interrupt remapping in the guest. */
#define VCPUS_MAX 254u

/* How the boot processor starts. */
enum vcpu_mode {
	VCPU_REAL,   /* 16-bit, cs:ip = entry as a linear address below 1 MiB (tests) */
	VCPU_PVH,    /* 32-bit protected, no paging; ebx = arg (Xen PVH) */
	VCPU_LONG64, /* 64-bit, identity page tables at page_table; rsi = arg (Linux boot protocol) */
};

struct vcpu_entry {
	enum vcpu_mode mode;
	gpa_t rip;
	gpa_t rsp;
	uint64_t arg;
	gpa_t page_table; /* VCPU_LONG64: cr3 */
	gpa_t gdt;	  /* base of a GDT with a flat code (0x10) and data (0x18) segment */
};

struct vcpu {
	struct vm *vm;
	unsigned int index;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
	unsigned int faults; /* of KVM_RUN, one after the other */
	atomic_ullong exits; /* returns of KVM_RUN to this process */
};

/* Makes vm->vcpus (vm->config.cpus of them), with CPUID and MSRs set. */
int vcpus_new(struct vm *vm, struct err *err);
/* Ends the threads; the vCPUs and their counters stay. Called again by vcpus_free(). */
void vcpus_join(struct vm *vm);
void vcpus_free(struct vm *vm);

/* Puts all vCPUs into the state after power-on: the first at @entry, the others waiting for
 * INIT and SIPI. vCPUs stand still. */
int vcpus_reset(struct vm *vm, const struct vcpu_entry *entry, struct err *err);

/* Starts the threads; the vCPUs run. */
int vcpus_start(struct vm *vm, struct err *err);
/* Stops all vCPUs outside KVM_RUN and waits until they stand; vcpus_go() lets them go on. Loop
 * thread. */
void vcpus_stop(struct vm *vm);
void vcpus_go(struct vm *vm);

/* The highest CPU count that this host's KVM takes, 0 when it cannot be asked. */
unsigned int vcpus_max(int kvm_fd);
/* Width of guest-physical addresses: CPUID 0x80000008 of the host, as KVM gives it on. */
unsigned int vcpu_phys_bits(void);
/* False when the host CPU offers neither VMX nor SVM: KVM then interprets guest code (or runs
 * paravirtual kernels only) and a stock kernel cannot boot. */
bool vcpu_host_can_virtualize(void);

#endif
