/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VIADUCT_VMM_VCPU_CPUID_H
#define VIADUCT_VMM_VCPU_CPUID_H

#include <stdbool.h>

struct err;
struct kvm_cpuid2;

/* What this host's KVM supports, without topology leaves; freed with free(). One ioctl. */
int cpuid_new(int kvm_fd, bool tsc_deadline, struct kvm_cpuid2 **ret_cpuid, struct err *err);
/* Gives vCPU @index (its APIC id) of @cpus its CPUID. One ioctl. */
int cpuid_set(int vcpu_fd, const struct kvm_cpuid2 *supported, unsigned int index,
	      unsigned int cpus, struct err *err);

#endif
