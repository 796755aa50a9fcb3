// SPDX-License-Identifier: GPL-2.0-or-later
/* The registers of a vCPU after power-on, and how the boot processor enters the kernel. */
#include "vcpu_state.h"

#include <errno.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "kvm_sys.h"
#include "types.h"
#include "vm.h"

#define MSR_PAT 0x277
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MSR_TSC_DEADLINE 0x6e0
#define MTRR_ENABLE_WRITE_BACK 0x806
#define PAT_POWER_ON 0x0007040600070406ull

#define CR0_PE BIT(0)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_PG BIT(31)
#define CR4_PAE BIT(5)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)

static int vcpu_set(struct vcpu *vcpu, unsigned long request, const char *name, void *arg,
		    struct err *err)
{
	int ret = kvm_ioctl(vcpu->fd, request, arg);

	return ret < 0 ? err_sys(err, ret, "vCPU %u: %s", vcpu->index, name) : 0;
}

static int vcpu_msr(struct vcpu *vcpu, uint32_t index, uint64_t value)
{
	/* struct kvm_msrs ends in an array of no fixed length: room for one entry. */
	union {
		struct kvm_msrs msrs;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
	} arg = { .msrs.nmsrs = 1 };

	arg.msrs.entries[0].index = index;
	arg.msrs.entries[0].data = value;
	return kvm_ioctl(vcpu->fd, KVM_SET_MSRS, &arg);
}

static void segment_set(struct kvm_segment *s, uint16_t selector, uint8_t type, bool code64)
{
	*s = (struct kvm_segment){
		.selector = selector, .limit = 0xffffffff, .type = type, .present = 1, .s = 1,
		.g = 1, .l = code64, .db = !code64
	};
}

static void segment_real(struct kvm_segment *s, uint8_t type, uint8_t system)
{
	*s = (struct kvm_segment){ .limit = 0xffff, .type = type, .present = 1, .s = !system };
}

static void sregs_real(struct kvm_sregs *s)
{
	segment_real(&s->cs, 11, 0);
	segment_real(&s->ds, 3, 0);
	s->es = s->fs = s->gs = s->ss = s->ds;
	segment_real(&s->tr, 11, 1);
	segment_real(&s->ldt, 2, 1);
	s->gdt = (struct kvm_dtable){ .limit = 0xffff };
	s->idt = (struct kvm_dtable){ .limit = 0xffff };
	s->cr0 = CR0_ET;
	s->cr3 = 0;
	s->cr4 = 0;
	s->efer = 0;
}

static void sregs_flat(struct kvm_sregs *s, const struct vcpu_entry *entry)
{
	bool long_mode = entry->mode == VCPU_LONG64;

	segment_set(&s->cs, 0x10, 11, long_mode);
	segment_set(&s->ds, 0x18, 3, false);
	s->es = s->fs = s->gs = s->ss = s->ds;
	s->gdt = (struct kvm_dtable){ .base = entry->gdt, .limit = 4 * 8 - 1 };
	s->idt = (struct kvm_dtable){ 0 };
	s->cr0 = CR0_PE | CR0_ET;
	if (!long_mode)
		return;
	s->cr0 |= CR0_PG | CR0_NE;
	s->cr3 = entry->page_table;
	s->cr4 = CR4_PAE;
	s->efer = EFER_LME | EFER_LMA;
}

int vcpu_state_enter(struct vcpu *vcpu, const struct vcpu_entry *entry, struct err *err)
{
	struct kvm_regs regs = { .rflags = 2, .rip = entry->rip, .rsp = entry->rsp };
	struct kvm_sregs sregs;
	int ret;

	ret = vcpu_set(vcpu, KVM_GET_SREGS, "KVM_GET_SREGS", &sregs, err);
	if (ret)
		return ret;
	sregs_real(&sregs);
	if (entry->mode != VCPU_REAL)
		sregs_flat(&sregs, entry);
	if (entry->mode == VCPU_PVH)
		regs.rbx = entry->arg;
	else
		regs.rsi = entry->arg;
	ret = vcpu_set(vcpu, KVM_SET_SREGS, "KVM_SET_SREGS", &sregs, err);
	if (!ret)
		ret = vcpu_set(vcpu, KVM_SET_REGS, "KVM_SET_REGS", &regs, err);
	return ret;
}

int vcpu_state_init(struct vcpu *vcpu)
{
	/* KVM may honour the guest's MTRRs once a VFIO function is attached: everything would run
	 * uncached until the kernel sets them up. Firmware would have done this. */
	int ret = vcpu_msr(vcpu, MSR_MTRR_DEF_TYPE, MTRR_ENABLE_WRITE_BACK);

	return ret < 0 ? ret : 0;
}

/* Registers that point KVM at guest memory, or that it would act on under the next kernel. MSRs
 * that this host's KVM does not have are refused one by one, which is fine. */
static void vcpu_reset_msrs(struct vcpu *vcpu)
{
	static const struct {
		uint32_t index;
		uint64_t value;
	} msrs[] = {
		{ MSR_KVM_SYSTEM_TIME_NEW, 0 },	   { MSR_KVM_WALL_CLOCK_NEW, 0 },
		{ MSR_KVM_ASYNC_PF_EN, 0 },	   { MSR_KVM_STEAL_TIME, 0 },
		{ MSR_KVM_PV_EOI_EN, 0 },	   { MSR_KVM_POLL_CONTROL, 1 },
		{ MSR_TSC_DEADLINE, 0 },	   { MSR_PAT, PAT_POWER_ON },
		{ MSR_MTRR_DEF_TYPE, MTRR_ENABLE_WRITE_BACK },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(msrs); i++)
		vcpu_msr(vcpu, msrs[i].index, msrs[i].value);
}

/* SDM vol. 3, 11.4.7.1: the local APIC after power-up. */
static void lapic_power_on(struct kvm_lapic_state *lapic, unsigned int id)
{
	static const uint16_t lvts[] = { 0x2f0, 0x320, 0x330, 0x340, 0x350, 0x360, 0x370 };
	size_t i;

	memset(lapic, 0, sizeof(*lapic));
	put_le32(lapic->regs + 0x20, id << 24);
	put_le32(lapic->regs + 0x30, 0x50014);
	put_le32(lapic->regs + 0xe0, 0xffffffff);
	put_le32(lapic->regs + 0xf0, 0xff);
	for (i = 0; i < ARRAY_SIZE(lvts); i++)
		put_le32(lapic->regs + lvts[i], 0x10000);
}

int vcpu_state_reset(struct vcpu *vcpu, const struct vcpu_entry *entry, struct err *err)
{
	struct kvm_mp_state mp = { .mp_state = vcpu->index ? KVM_MP_STATE_UNINITIALIZED
							   : KVM_MP_STATE_RUNNABLE };
	struct vcpu_entry idle = { .mode = VCPU_REAL, .rip = 0xfff0 };
	struct kvm_vcpu_events events = { 0 };
	struct kvm_debugregs debug = { .dr6 = 0xffff0ff0, .dr7 = 0x400 };
	struct kvm_fpu fpu = { .fcw = 0x37f, .mxcsr = 0x1f80 };
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0].value = 1 };
	struct kvm_lapic_state lapic;
	int ret;

	lapic_power_on(&lapic, vcpu->index);
	vcpu_reset_msrs(vcpu);
	ret = vcpu_set(vcpu, KVM_SET_VCPU_EVENTS, "KVM_SET_VCPU_EVENTS", &events, err);
	/* First real mode, then the entry: EFER and CR0 must not meet an old long mode half-way. */
	if (!ret)
		ret = vcpu_state_enter(vcpu, &idle, err);
	if (!ret) {
		struct kvm_sregs sregs;

		ret = vcpu_set(vcpu, KVM_GET_SREGS, "KVM_GET_SREGS", &sregs, err);
		sregs.apic_base = GPA_LAPIC | 0x800 | (vcpu->index ? 0 : 0x100);
		if (!ret)
			ret = vcpu_set(vcpu, KVM_SET_SREGS, "KVM_SET_SREGS", &sregs, err);
	}
	if (!ret)
		ret = vcpu_set(vcpu, KVM_SET_LAPIC, "KVM_SET_LAPIC", &lapic, err);
	if (!ret)
		ret = vcpu_set(vcpu, KVM_SET_DEBUGREGS, "KVM_SET_DEBUGREGS", &debug, err);
	if (!ret)
		ret = vcpu_set(vcpu, KVM_SET_FPU, "KVM_SET_FPU", &fpu, err);
	if (!ret)
		kvm_ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs); /* hosts without XSAVE have none */
	if (!ret)
		ret = vcpu_set(vcpu, KVM_SET_MP_STATE, "KVM_SET_MP_STATE", &mp, err);
	if (!ret && !vcpu->index)
		ret = vcpu_state_enter(vcpu, entry, err);
	return ret;
}

int vcpu_state_reset_chips(struct vm *vm, struct err *err)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_pit_state2 pit = { 0 };
	unsigned int i;
	int ret;

	chip.chip.ioapic.base_address = GPA_IOAPIC;
	for (i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
		chip.chip.ioapic.redirtbl[i].fields.mask = 1;
	ret = kvm_ioctl(vm->fd, KVM_SET_IRQCHIP, &chip);
	for (i = KVM_IRQCHIP_PIC_MASTER; i <= KVM_IRQCHIP_PIC_SLAVE && ret >= 0; i++) {
		memset(&chip, 0, sizeof(chip));
		chip.chip_id = i;
		ret = kvm_ioctl(vm->fd, KVM_SET_IRQCHIP, &chip);
	}
	if (ret < 0)
		return err_sys(err, ret, "KVM_SET_IRQCHIP");
	/* A count of 0 is 65536; mode 0 with the gate off never fires. */
	ret = kvm_ioctl(vm->fd, KVM_SET_PIT2, &pit);
	return ret < 0 ? err_sys(err, ret, "KVM_SET_PIT2") : 0;
}
