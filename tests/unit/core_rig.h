/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VM on the fake KVM, for unit tests: everything but vCPUs and a kernel. */
#ifndef VIADUCT_TESTS_CORE_RIG_H
#define VIADUCT_TESTS_CORE_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_kvm.h"
#include "vmm/vm.h"

/* RAM of @memory bytes, buses, interrupts, loop, PCI root. Free with rig_free(). */
static inline struct vm *rig_new(uint64_t memory)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	struct err err = { 0 };

	assert_non_null(vm);
	fake_kvm_reset();
	/* Not populated for a device that reaches none of it. */
	vm->config = (struct vm_config){ .name = "rig", .memory = memory, .cpus = 1,
					 .ram.populate_set = true };
	vm->kvm_fd = FAKE_KVM_FD;
	vm->fd = FAKE_KVM_VM_FD;
	vm->kvm_vfio_fd = -1;
	pthread_mutex_init(&vm->run_lock, NULL);
	pthread_cond_init(&vm->run_cond, NULL);
	pthread_mutex_init(&vm->ring_lock, NULL);
	pthread_mutex_init(&vm->request_lock, NULL);
	if (loop_new(&vm->loop, &err) || mem_init(&vm->mem, vm, memory, &err) ||
	    bus_init(&vm->bus, vm) || irqs_init(&vm->irqs, vm, &err) ||
	    pci_root_new(vm, &vm->pci, &err))
		fail_msg("%s", err.msg);
	return vm;
}

static inline void rig_free(struct vm *vm)
{
	dev_remove_all(vm);
	loop_do_posted(vm->loop);
	irqs_done(&vm->irqs);
	loop_free(vm->loop);
	if (vm->iommu_free)
		vm->iommu_free(vm);
	fd_close(&vm->kvm_vfio_fd);
	bus_done(&vm->bus);
	mem_done(&vm->mem);
	free(vm);
}

#endif
