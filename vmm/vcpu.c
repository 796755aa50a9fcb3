// SPDX-License-Identifier: GPL-2.0-or-later
#include "vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/err.h"
#include "base/util.h"
#include "vcpu_cpuid.h"
#include "kvm_sys.h"
#include "vcpu_pin.h"
#include "vcpu_state.h"
#include "vm.h"

/* Wakes a thread out of KVM_RUN; its handler does nothing. */
#define VCPU_KICK SIGRTMIN
#define VCPU_STACK (256 * KIB)
#define VCPU_EXIT_MEMORY_FAULT 39 /* KVM_EXIT_MEMORY_FAULT */
/* One fault may take more than one go: what another vCPU or the loop does meanwhile counts too. */
#define VCPU_FAULTS_MAX 16

unsigned int vcpus_max(int kvm_fd)
{
	int max = kvm_ioctl_val(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);

	return max <= 0 ? 0 : MIN((unsigned int)max, VCPUS_MAX);
}

static int vcpu_new(struct vcpu *vcpu, int run_size, const struct kvm_cpuid2 *cpuid,
		    struct err *err)
{
	struct vm *vm = vcpu->vm;
	int ret;

	vcpu->fd = kvm_ioctl_val(vm->fd, KVM_CREATE_VCPU, vcpu->index);
	if (vcpu->fd < 0)
		return err_sys(err, vcpu->fd, "vCPU %u", vcpu->index);
	vcpu->run = kvm_mmap(vcpu->fd, (size_t)run_size);
	if (vcpu->run == MAP_FAILED) {
		vcpu->run = NULL;
		return err_sys(err, -errno, "vCPU %u", vcpu->index);
	}
	ret = cpuid_set(vcpu->fd, cpuid, vcpu->index, vm->config.cpus, err);
	if (ret)
		return ret;
	ret = vcpu_state_init(vcpu);
	return ret ? err_sys(err, ret, "vCPU %u: MSRs", vcpu->index) : 0;
}

int vcpus_new(struct vm *vm, struct err *err)
{
	int run_size = kvm_ioctl_val(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	int deadline = kvm_ioctl_val(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER);
	struct kvm_cpuid2 *cpuid;
	unsigned int i;
	int ret;

	if (run_size < (int)((KVM_COALESCED_MMIO_PAGE_OFFSET + 1) * 4096))
		return err_set(err, -EINVAL, "KVM_GET_VCPU_MMAP_SIZE says %d", run_size);
	ret = cpuid_new(vm->kvm_fd, deadline > 0, &cpuid, err);
	if (ret)
		return ret;
	vm->vcpus = calloc(vm->config.cpus, sizeof(*vm->vcpus));
	if (!vm->vcpus) {
		free(cpuid);
		return err_sys(err, -ENOMEM, "vCPUs");
	}
	for (i = 0; i < vm->config.cpus && !ret; i++) {
		struct vcpu *vcpu = &vm->vcpus[i];

		vcpu->vm = vm;
		vcpu->index = i;
		vcpu->fd = -1;
		vm->vcpu_count++;
		ret = vcpu_new(vcpu, run_size, cpuid, err);
	}
	free(cpuid);
	if (ret)
		return ret;
	vm->run_size = (size_t)run_size;
	vm->ring = (void *)((uint8_t *)vm->vcpus[0].run +
			    (size_t)KVM_COALESCED_MMIO_PAGE_OFFSET * 4096);
	return 0;
}

void vcpus_join(struct vm *vm)
{
	unsigned int i;

	pthread_mutex_lock(&vm->run_lock);
	vm->quit_wanted = true;
	atomic_store(&vm->stop_wanted, true);
	pthread_cond_broadcast(&vm->run_cond);
	pthread_mutex_unlock(&vm->run_lock);
	for (i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = &vm->vcpus[i];

		if (!vcpu->started)
			continue;
		vcpu->run->immediate_exit = 1;
		pthread_kill(vcpu->thread, VCPU_KICK);
		pthread_join(vcpu->thread, NULL);
		vcpu->started = false;
	}
}

void vcpus_free(struct vm *vm)
{
	unsigned int i;

	vcpus_join(vm);
	for (i = 0; i < vm->vcpu_count; i++) {
		if (vm->vcpus[i].run)
			munmap(vm->vcpus[i].run, vm->run_size);
		fd_close(&vm->vcpus[i].fd);
	}
	free(vm->vcpus);
	vm->vcpus = NULL;
	vm->vcpu_count = 0;
	vm->ring = NULL;
}

int vcpus_reset(struct vm *vm, const struct vcpu_entry *entry, struct err *err)
{
	unsigned int i;
	int ret;

	/* Fresh vCPUs are in KVM's power-on state; only the first needs its entry. */
	if (!vm->resets)
		return vcpu_state_enter(&vm->vcpus[0], entry, err);
	ret = vcpu_state_reset_chips(vm, err);
	for (i = 0; i < vm->vcpu_count && !ret; i++)
		ret = vcpu_state_reset(&vm->vcpus[i], entry, err);
	return ret;
}

static void vcpu_crash(struct vcpu *vcpu, const char *what, uint64_t detail)
{
	struct kvm_regs regs = { 0 };

	kvm_ioctl(vcpu->fd, KVM_GET_REGS, &regs);
	vm_request(vcpu->vm, VM_CRASH, "vCPU %u: %s 0x%llx at rip 0x%llx", vcpu->index, what,
		   (unsigned long long)detail, (unsigned long long)regs.rip);
}

/*
 * KVM_RUN answers EFAULT when the guest touches memory whose host mapping cannot be filled: a BAR
 * of a function that sleeps (D3hot), is being reset or is gone, for which vfio-pci has only SIGBUS.
 * KVM may say where, as KVM_EXIT_MEMORY_FAULT (KVM_CAP_MEMORY_FAULT_INFO, Linux 6.8; 6.12 does not
 * for this fault). The range withdraws its parts and the access is repeated as an exit.
 */
static bool vcpu_fault(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	struct {
		uint64_t flags, gpa, size;
	} at; /* kvm_run.memory_fault; older headers lack it */

	memcpy(&at, &run->mmio, sizeof(at));
	/* Nobody's: then the device may have left the bus meanwhile, so it is tried again too. */
	bus_fault(&vcpu->vm->bus, run->exit_reason == VCPU_EXIT_MEMORY_FAULT, at.gpa);
	return ++vcpu->faults <= VCPU_FAULTS_MAX;
}

static void vcpu_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	uint32_t i;

	for (i = 0; i < run->io.count; i++, data += run->io.size)
		bus_access(&vcpu->vm->bus, BUS_PIO, run->io.port, data, run->io.size,
			   run->io.direction == KVM_EXIT_IO_OUT);
}

static void vcpu_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		vcpu_io(vcpu);
		break;
	case KVM_EXIT_MMIO:
		bus_access(&vcpu->vm->bus, BUS_MMIO, run->mmio.phys_addr, run->mmio.data,
			   run->mmio.len, run->mmio.is_write);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	case KVM_EXIT_SHUTDOWN:
		vm_request(vcpu->vm, VM_TRIPLE_FAULT, "vCPU %u: triple fault", vcpu->index);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		vm_request(vcpu->vm,
			   run->system_event.type == KVM_SYSTEM_EVENT_RESET ? VM_RESET : VM_POWEROFF,
			   "system event %u", run->system_event.type);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		vcpu_crash(vcpu,
			   run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
				   ? "KVM could not emulate an instruction, suberror"
				   : "KVM internal error",
			   run->internal.suberror);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		vcpu_crash(vcpu, "the CPU refuses the guest's state, reason",
			   run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		vcpu_crash(vcpu, "unexpected exit", run->exit_reason);
		break;
	}
}

/* Waits while the VM stands still. False: the thread is to end. */
static bool vcpu_park(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;
	bool go;

	pthread_mutex_lock(&vm->run_lock);
	vm->standing++;
	pthread_cond_broadcast(&vm->run_cond);
	while (atomic_load(&vm->stop_wanted) && !vm->quit_wanted)
		pthread_cond_wait(&vm->run_cond, &vm->run_lock);
	vm->standing--;
	go = !vm->quit_wanted;
	vcpu->run->immediate_exit = 0;
	pthread_mutex_unlock(&vm->run_lock);
	return go;
}

static void *vcpu_main(void *opaque)
{
	struct vcpu *vcpu = opaque;
	struct vm *vm = vcpu->vm;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", vcpu->index);
	pthread_setname_np(pthread_self(), name);
	for (;;) {
		int ret;

		if (atomic_load(&vm->stop_wanted) && !vcpu_park(vcpu))
			return NULL;
		ret = kvm_ioctl(vcpu->fd, KVM_RUN, NULL);
		atomic_fetch_add_explicit(&vcpu->exits, 1, memory_order_relaxed);
		vm_ring_drain(vm);
		if (ret == -EINTR || ret == -EAGAIN)
			continue;
		if (ret == -EFAULT && vcpu_fault(vcpu))
			continue;
		vcpu->faults = 0;
		if (ret < 0) {
			vcpu_crash(vcpu, "KVM_RUN fails with error", (uint64_t)-ret);
			continue;
		}
		vcpu_exit(vcpu);
	}
}

static void vcpu_kicked(int sig)
{
	(void)sig;
}

int vcpus_start(struct vm *vm, struct err *err)
{
	struct sigaction sa = { .sa_handler = vcpu_kicked };
	pthread_attr_t attr;
	unsigned int i;
	cpu_set_t set;
	int ret = 0;

	sigaction(VCPU_KICK, &sa, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, VCPU_STACK);
	for (i = 0; i < vm->vcpu_count && !ret; i++) {
		if (vm->config.pin) {
			vcpu_pin_set(vm->config.pin, i, &set);
			pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
		}
		ret = pthread_create(&vm->vcpus[i].thread, &attr, vcpu_main, &vm->vcpus[i]);
		vm->vcpus[i].started = !ret;
	}
	pthread_attr_destroy(&attr);
	return ret ? err_sys(err, -ret, "vCPU threads") : 0;
}

void vcpus_stop(struct vm *vm)
{
	unsigned int i;

	pthread_mutex_lock(&vm->run_lock);
	atomic_store(&vm->stop_wanted, true);
	for (i = 0; i < vm->vcpu_count; i++) {
		vm->vcpus[i].run->immediate_exit = 1;
		pthread_kill(vm->vcpus[i].thread, VCPU_KICK);
	}
	while (vm->standing < vm->vcpu_count)
		pthread_cond_wait(&vm->run_cond, &vm->run_lock);
	pthread_mutex_unlock(&vm->run_lock);
}

void vcpus_go(struct vm *vm)
{
	pthread_mutex_lock(&vm->run_lock);
	atomic_store(&vm->stop_wanted, false);
	pthread_cond_broadcast(&vm->run_cond);
	pthread_mutex_unlock(&vm->run_lock);
}
