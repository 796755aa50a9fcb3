/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers of vCPUs. The vCPU stands still; loop thread. */
#ifndef VIADUCT_VMM_VCPU_STATE_H
#define VIADUCT_VMM_VCPU_STATE_H

#include "vcpu.h"

struct err;
struct vm;

/* A fresh vCPU: the few things that KVM's own power-on state lacks. 0 or -errno. */
int vcpu_state_init(struct vcpu *vcpu);
/* General and segment registers for @entry. */
int vcpu_state_enter(struct vcpu *vcpu, const struct vcpu_entry *entry, struct err *err);
/* A vCPU that ran before: all of its state back to power-on, then @entry for the first one. */
int vcpu_state_reset(struct vcpu *vcpu, const struct vcpu_entry *entry, struct err *err);
/* IOAPIC, both PICs and the PIT back to power-on. */
int vcpu_state_reset_chips(struct vm *vm, struct err *err);

#endif
