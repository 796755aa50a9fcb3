/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM as a test sees it: stands in for vmm/kvm_sys.c when a test calls one of these. Remembers
 * memory slots, irqfds, routes and ioeventfds, counts each request, and fails on command. One for
 * the process; fake_kvm_reset() before each test. The ioctls may come from several threads; ask for
 * anything but fake_kvm_messages() when they are done.
 */
#ifndef VIADUCT_TESTS_FAKE_KVM_H
#define VIADUCT_TESTS_FAKE_KVM_H

#include <linux/kvm.h>
#include <stdbool.h>

#define FAKE_KVM_FD 1000    /* /dev/kvm; not a real descriptor */
#define FAKE_KVM_VM_FD 1001 /* what a struct vm has as fd */

void fake_kvm_reset(void);

/* Calls of @request so far, failed ones included; 0 counts all. */
unsigned int fake_kvm_count(unsigned long request);
/* The @nth call from now (1 is the next) of @request (0: of any) returns -@error, once. */
void fake_kvm_fail(unsigned long request, unsigned int nth, int error);

/* The memory slot that covers @gpa, or NULL. */
const struct kvm_userspace_memory_region *fake_kvm_slot(__u64 gpa);
unsigned int fake_kvm_slots(void);
/* The GSI that @fd is attached to, -1 when it is not. */
int fake_kvm_irqfd(int fd);
int fake_kvm_resample(int fd);
unsigned int fake_kvm_irqfds(void);
/* The message route of @gsi as last committed, or NULL. */
const struct kvm_irq_routing_msi *fake_kvm_route(unsigned int gsi);
/* Messages with @data that reached the guest so far: by irqfd and route, or by KVM_SIGNAL_MSI. What
 * an attached descriptor has counted is taken out and delivered first, as KVM does at once. */
unsigned int fake_kvm_messages(__u32 data);
/* The descriptor that a write at @addr would signal, -1 for none. */
int fake_kvm_doorbell(__u64 addr, bool pio);
/* One that hears @value alone. */
int fake_kvm_doorbell_of(__u64 addr, bool pio, __u64 value);
unsigned int fake_kvm_doorbells(void);
/* Files given to the KVM-VFIO device and not taken back. */
int fake_kvm_vfio_files(void);

#endif
