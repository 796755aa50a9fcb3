// SPDX-License-Identifier: GPL-2.0-or-later
/* What CPUID tells the guest: the host's CPU as KVM supports it, with this guest's topology: one
 * package, a core for each vCPU, one thread for each core (SDM vol. 2 CPUID, APM vol. 3 E). */
#include "vcpu_cpuid.h"

#include <cpuid.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "kvm_sys.h"
#include "vcpu.h"

#define CPUID_ROOM 256u

#define LEAF1_ECX_TSC_DEADLINE BIT(24)
#define LEAF1_ECX_X2APIC BIT(21)
#define LEAF1_ECX_HYPERVISOR BIT(31)
#define LEAF1_EDX_HTT BIT(28)

bool vcpu_host_can_virtualize(void)
{
	unsigned int a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) && (c & BIT(5)))
		return true; /* VMX */
	return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & BIT(2)); /* SVM */
}

unsigned int vcpu_phys_bits(void)
{
	unsigned int a, b, c, d;

	if (!__get_cpuid(0x80000008, &a, &b, &c, &d))
		return 36;
	/* AMD: the width that nested paging takes, where it differs. */
	return (a >> 16 & 0xff) ? MIN(a & 0xff, a >> 16 & 0xff) : a & 0xff;
}

static unsigned int cpuid_shift(unsigned int cpus)
{
	unsigned int shift = 0;

	while ((1u << shift) < cpus)
		shift++;
	return shift;
}

int cpuid_new(int kvm_fd, bool tsc_deadline, struct kvm_cpuid2 **ret_cpuid, struct err *err)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_ROOM * sizeof(cpuid->entries[0]));
	unsigned int i, n = 0;
	int ret;

	if (!cpuid)
		return err_sys(err, -ENOMEM, "CPUID");
	cpuid->nent = CPUID_ROOM - 4;
	ret = kvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid);
	if (ret < 0) {
		free(cpuid);
		return err_sys(err, ret, "KVM_GET_SUPPORTED_CPUID");
	}
	for (i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		/* Extended topology leaves are written for each vCPU. */
		if (e->function == 0xb || e->function == 0x1f || e->function == 0x80000026)
			continue;
		if (e->function == 1 && tsc_deadline)
			e->ecx |= LEAF1_ECX_TSC_DEADLINE;
		cpuid->entries[n++] = *e;
	}
	cpuid->nent = n;
	*ret_cpuid = cpuid;
	return 0;
}

static void cpuid_add_topology(struct kvm_cpuid2 *cpuid, unsigned int index, unsigned int cpus)
{
	struct kvm_cpuid_entry2 *e = &cpuid->entries[cpuid->nent];

	e[0] = (struct kvm_cpuid_entry2){
		.function = 0xb, .index = 0, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.eax = 0, .ebx = 1, .ecx = 0 | 1 << 8, .edx = index
	};
	e[1] = (struct kvm_cpuid_entry2){
		.function = 0xb, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.eax = cpuid_shift(cpus), .ebx = cpus, .ecx = 1 | 2 << 8, .edx = index
	};
	e[2] = (struct kvm_cpuid_entry2){
		.function = 0xb, .index = 2, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		.ecx = 2, .edx = index
	};
	cpuid->nent += 3;
}

static void cpuid_patch(struct kvm_cpuid_entry2 *e, unsigned int index, unsigned int cpus)
{
	unsigned int shift = cpuid_shift(cpus);

	switch (e->function) {
	case 0:
		e->eax = MAX(e->eax, 0xbu);
		e->eax = e->eax > 0x1e ? 0x1e : e->eax; /* 0x1f is not given */
		break;
	case 1:
		e->ebx = (e->ebx & 0xffff) | (1u << shift) << 16 | index << 24;
		e->ecx |= LEAF1_ECX_HYPERVISOR | LEAF1_ECX_X2APIC;
		e->edx = cpus > 1 ? e->edx | LEAF1_EDX_HTT : e->edx & ~LEAF1_EDX_HTT;
		break;
	case 4: /* cores in the package; who shares a cache: L3 all, others alone */
		if (!(e->eax & 0x1f))
			break;
		e->eax &= 0x3fff;
		e->eax |= ((1u << shift) - 1) << 26;
		if ((e->eax >> 5 & 7) >= 3)
			e->eax |= ((1u << shift) - 1) << 14;
		break;
	case 0x80000008:
		e->ecx = shift << 12 | (cpus - 1);
		break;
	case 0x8000001d:
		if (!(e->eax & 0x1f))
			break;
		e->eax &= 0x3fff;
		if ((e->eax >> 5 & 7) >= 3)
			e->eax |= (cpus - 1) << 14;
		break;
	case 0x8000001e:
		e->eax = index;
		e->ebx = index;
		e->ecx = 0;
		break;
	default:
		break;
	}
}

int cpuid_set(int vcpu_fd, const struct kvm_cpuid2 *supported, unsigned int index,
	      unsigned int cpus, struct err *err)
{
	size_t size = sizeof(*supported) + CPUID_ROOM * sizeof(supported->entries[0]);
	struct kvm_cpuid2 *cpuid = malloc(size);
	unsigned int i;
	int ret;

	if (!cpuid)
		return err_sys(err, -ENOMEM, "CPUID");
	memcpy(cpuid, supported, size);
	for (i = 0; i < cpuid->nent; i++)
		cpuid_patch(&cpuid->entries[i], index, cpus);
	cpuid_add_topology(cpuid, index, cpus);
	ret = kvm_ioctl(vcpu_fd, KVM_SET_CPUID2, cpuid);
	free(cpuid);
	return ret < 0 ? err_sys(err, ret, "vCPU %u: KVM_SET_CPUID2", index) : 0;
}
