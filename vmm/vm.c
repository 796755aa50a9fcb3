// SPDX-License-Identifier: GPL-2.0-or-later
#include "vm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <time.h>

#include "acpi.h"
#include "base/util.h"
#include "kvm_sys.h"
#include "mem_host.h"
#include "vcpu_pin.h"

#define TRIPLE_FAULTS_MAX 3
#define TRIPLE_FAULT_WINDOW_S 10

/* The uapi's own macro wants the kernel's PAGE_SIZE. */
#define RING_ENTRIES                                                                               \
	((4096u - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

static int vm_open_kvm(struct vm *vm, struct err *err)
{
	const char *path = vm->config.kvm_path ? vm->config.kvm_path : "/dev/kvm";
	int version;

	vm->kvm_fd = kvm_open(path);
	if (vm->kvm_fd == -ENOENT || vm->kvm_fd == -ENODEV || vm->kvm_fd == -ENXIO)
		return err_set(err, vm->kvm_fd,
			       "%s is not there: this host has no KVM; load kvm_intel or kvm_amd and "
			       "switch virtualization on in the firmware",
			       path);
	if (vm->kvm_fd == -EACCES || vm->kvm_fd == -EPERM)
		return err_set(err, vm->kvm_fd,
			       "no permission for %s; run as root or add this user to the group that "
			       "owns it (usually kvm)",
			       path);
	if (vm->kvm_fd < 0)
		return err_sys(err, vm->kvm_fd, "%s", path);
	version = kvm_ioctl_val(vm->kvm_fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		return err_set(err, -EINVAL, "%s is not KVM, or of another version (%d)", path,
			       version);
	return 0;
}

static int vm_create(struct vm *vm, struct err *err)
{
	uint64_t identity = GPA_KVM_IDENTITY;
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	unsigned int max = vcpus_max(vm->kvm_fd);
	int ret;

	if (vm->config.cpus > max)
		return err_set(err, -EINVAL, "%u vCPUs: this host's KVM takes 1 to %u; give another "
			       "--cpus", vm->config.cpus, max);
	do {
		vm->fd = kvm_ioctl_val(vm->kvm_fd, KVM_CREATE_VM, 0);
	} while (vm->fd == -EINTR);
	if (vm->fd < 0)
		return err_sys(err, vm->fd, "KVM_CREATE_VM");
	/* Pages that KVM on Intel CPUs without unrestricted guest needs; nothing else uses them. */
	ret = kvm_ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (ret >= 0)
		ret = kvm_ioctl_val(vm->fd, KVM_SET_TSS_ADDR, GPA_KVM_IDENTITY + 4096);
	if (ret >= 0)
		ret = kvm_ioctl_val(vm->fd, KVM_CREATE_IRQCHIP, 0);
	if (ret >= 0)
		ret = kvm_ioctl(vm->fd, KVM_CREATE_PIT2, &pit);
	return ret < 0 ? err_sys(err, ret, "KVM interrupt chips") : 0;
}

static int vm_check_memory(const struct vm_config *config, struct err *err)
{
	uint64_t host = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	if (config->memory < MIB || config->memory % 4096)
		return err_set(err, -EINVAL,
			       "memory of %llu bytes: it takes 1M or more, in whole pages of 4 KiB",
			       (unsigned long long)config->memory);
	if (config->memory > host)
		return err_set(err, -ENOMEM,
			       "memory of %llu MiB is more than this host has (%llu MiB); give less "
			       "with --memory",
			       (unsigned long long)(config->memory / MIB),
			       (unsigned long long)(host / MIB));
	return mem_host_check("/sys", config->memory, &config->ram, err);
}

static int vm_check_cpus(const struct vm_config *config, struct err *err)
{
	if (!config->cpus || config->cpus > VCPUS_MAX)
		return err_set(err, -EINVAL, "%u vCPUs: a guest takes 1 to %u; give another --cpus",
			       config->cpus, VCPUS_MAX);
	return config->pin ? vcpu_pin_check(config->pin, config->cpus, err) : 0;
}

/* A guest's kernel on a KVM without hardware below it would crawl through KVM's instruction
 * emulator and stop at the first instruction that it lacks. Better to say so. */
static int vm_check_host(const struct vm *vm, struct err *err)
{
	if (!vm->boot || vcpu_host_can_virtualize())
		return 0;
	return err_set(err, -ENOTSUP,
		       "this machine's CPU shows neither VMX nor SVM, so its KVM cannot run a stock "
		       "kernel; use a host with virtualization (in a virtual machine: nested "
		       "virtualization), or see what would happen with: viaduct plan");
}

static int vm_init(struct vm *vm, struct err *err)
{
	int ret = vm_check_memory(&vm->config, err);

	if (!ret)
		ret = vm_check_cpus(&vm->config, err);
	if (!ret && vm->config.boot.kernel)
		ret = boot_open(&vm->boot, &vm->config.boot, vm->config.memory, err);
	if (!ret && !vm->config.plan)
		ret = vm_open_kvm(vm, err);
	if (!ret && !vm->config.plan)
		ret = vm_check_host(vm, err);
	if (!ret && !vm->config.plan)
		ret = vm_create(vm, err);
	if (!ret)
		ret = loop_new(&vm->loop, err);
	if (!ret)
		ret = mem_init(&vm->mem, vm, vm->config.memory, err);
	if (!ret)
		ret = bus_init(&vm->bus, vm);
	if (!ret)
		ret = irqs_init(&vm->irqs, vm, err);
	if (!ret)
		ret = pci_root_new(vm, &vm->pci, err);
	if (!ret && !vm->config.plan)
		ret = acpi_pm_new(vm, &vm->acpi_pm, err);
	return ret;
}

int vm_new(struct vm **ret_vm, const struct vm_config *config, const struct log *log,
	   struct err *err)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int ret;

	if (!vm)
		return err_sys(err, -ENOMEM, "guest");
	vm->config = *config;
	vm->log = log;
	vm->kvm_fd = vm->fd = vm->kvm_vfio_fd = -1;
	pthread_mutex_init(&vm->run_lock, NULL);
	pthread_cond_init(&vm->run_cond, NULL);
	pthread_mutex_init(&vm->ring_lock, NULL);
	pthread_mutex_init(&vm->request_lock, NULL);
	ret = vm_init(vm, err);
	if (ret) {
		vm_free(vm);
		return ret;
	}
	*ret_vm = vm;
	return 0;
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	vcpus_free(vm);
	dev_remove_all(vm);
	/* Removed devices are destroyed by work that is queued in the loop. */
	loop_do_posted(vm->loop);
	if (atomic_load(&vm->stuck))
		return;
	irqs_done(&vm->irqs);
	loop_free(vm->loop);
	if (vm->iommu_free)
		vm->iommu_free(vm);
	fd_close(&vm->kvm_vfio_fd);
	bus_done(&vm->bus);
	mem_done(&vm->mem);
	boot_close(vm->boot);
	fd_close(&vm->fd);
	fd_close(&vm->kvm_fd);
	pthread_mutex_destroy(&vm->request_lock);
	pthread_mutex_destroy(&vm->ring_lock);
	pthread_cond_destroy(&vm->run_cond);
	pthread_mutex_destroy(&vm->run_lock);
	free(vm);
}

static int vm_load(struct vm *vm, struct err *err)
{
	struct vcpu_entry entry = { 0 };
	int ret = boot_load(vm->boot, vm, &entry, err);

	if (!ret)
		ret = acpi_build(vm, err);
	if (!ret)
		ret = vcpus_reset(vm, &entry, err);
	return ret;
}

int vm_prepare(struct vm *vm, struct err *err)
{
	int ret = pci_root_place(vm->pci, err);

	if (ret || vm->config.plan)
		return ret;
	ret = vcpus_new(vm, err);
	if (!ret && vm->boot)
		ret = vm_load(vm, err);
	return ret;
}

static bool vm_too_many_triple_faults(struct vm *vm)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (now.tv_sec - vm->triple_fault_first > TRIPLE_FAULT_WINDOW_S) {
		vm->triple_fault_first = now.tv_sec;
		vm->triple_faults = 0;
	}
	return ++vm->triple_faults >= TRIPLE_FAULTS_MAX;
}

static void vm_event(struct vm *vm, enum vm_event event)
{
	if (vm->event)
		vm->event(vm->event_opaque, event);
}

static void vm_reset(struct vm *vm)
{
	struct err err = { 0 };

	vcpus_stop(vm);
	vm_ring_drain(vm);
	pthread_mutex_lock(&vm->request_lock);
	if (vm->request == VM_RESET)
		vm->request = VM_NOTHING;
	pthread_mutex_unlock(&vm->request_lock);
	vm->resets++;
	dev_unplug_all(vm);
	dev_reset_all(vm);
	if (atomic_load(&vm->stuck))
		return; /* the end was asked for */
	if (!vm->boot || vm_load(vm, &err)) {
		vm_request(vm, VM_CRASH, "restart: %s", vm->boot ? err.msg : "no kernel to load");
		return;
	}
	log_line(vm->log, LOG_INFO, "guest restarted");
	vm_event(vm, VM_EVENT_RESET);
	if (!vm->paused)
		vcpus_go(vm);
}

/* Loop thread: carries out what was asked for. */
static void vm_do_request(void *opaque)
{
	struct vm *vm = opaque;
	enum vm_request request;

	pthread_mutex_lock(&vm->request_lock);
	request = vm->request;
	pthread_mutex_unlock(&vm->request_lock);
	if (request == VM_RESET)
		vm_reset(vm);
	else if (request != VM_NOTHING)
		loop_stop(vm->loop);
}

static void vm_ask(struct vm *vm, enum vm_request request, bool guest, const char *why)
{
	bool news;

	pthread_mutex_lock(&vm->request_lock);
	if (request == VM_TRIPLE_FAULT) {
		request = vm_too_many_triple_faults(vm) ? VM_CRASH : VM_RESET;
		log_line(vm->log, LOG_WARN, "%s, %s", why,
			 request == VM_RESET ? "guest restarts" : "guest ends");
	}
	/* An end outranks a restart; among ends the first wins. */
	news = request > vm->request && vm->request <= VM_RESET;
	if (news) {
		vm->request = request;
		vm->request_by_guest = guest;
		if (request == VM_CRASH || request == VM_DEVICE_ERROR)
			err_set(&vm->end, request == VM_CRASH ? -EIO : VM_END_DEVICE, "%s", why);
	}
	pthread_mutex_unlock(&vm->request_lock);
	if (!news)
		return;
	/* The vCPU that asked goes no further. */
	atomic_store(&vm->stop_wanted, true);
	if (loop_post(vm->loop, vm_do_request, vm))
		loop_stop(vm->loop);
}

void vm_request(struct vm *vm, enum vm_request request, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	vm_ask(vm, request, true, why);
}

void vm_request_host(struct vm *vm, enum vm_request request, const char *why)
{
	vm_ask(vm, request, false, why);
}

void vm_pause(struct vm *vm)
{
	if (vm->paused)
		return;
	vcpus_stop(vm);
	vm->paused = true;
	vm_event(vm, VM_EVENT_STOP);
}

void vm_resume(struct vm *vm)
{
	bool asked;

	if (!vm->paused)
		return;
	vm->paused = false;
	pthread_mutex_lock(&vm->request_lock);
	asked = vm->request != VM_NOTHING;
	pthread_mutex_unlock(&vm->request_lock);
	vm_event(vm, VM_EVENT_RESUME);
	/* A restart or an end that was asked for meanwhile finds the vCPUs standing. */
	if (!asked)
		vcpus_go(vm);
}

static void vm_do_balloon_changed(void *opaque)
{
	struct vm *vm = opaque;

	atomic_store(&vm->balloon_changed, false);
	vm_event(vm, VM_EVENT_BALLOON);
}

void vm_balloon_changed(struct vm *vm)
{
	if (!atomic_exchange(&vm->balloon_changed, true) &&
	    loop_post(vm->loop, vm_do_balloon_changed, vm))
		atomic_store(&vm->balloon_changed, false);
}

int vm_run(struct vm *vm, struct err *err)
{
	int ret = vcpus_start(vm, err);

	if (!ret)
		ret = loop_run(vm->loop, err);
	vcpus_join(vm);
	vm_event(vm, VM_EVENT_SHUTDOWN);
	vm_ring_drain(vm); /* the guest's last words may still be collected */
	if (!ret && vm->end.code)
		ret = err_set(err, vm->end.code, "%s", vm->end.msg);
	return ret;
}

void vm_power_button(struct vm *vm)
{
	acpi_pm_event(vm->acpi_pm, ACPI_EVENT_POWER_BUTTON);
	vm_event(vm, VM_EVENT_POWERDOWN);
}

void vm_ring_drain(struct vm *vm)
{
	struct kvm_coalesced_mmio_ring *ring = vm->ring;
	uint32_t first;

	if (!ring || __atomic_load_n(&ring->first, __ATOMIC_RELAXED) ==
			     __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&vm->ring_lock);
	first = ring->first;
	while (first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
		struct kvm_coalesced_mmio *e;

		if (first >= RING_ENTRIES)
			first = 0;
		e = &ring->coalesced_mmio[first];
		bus_access(&vm->bus, e->pio ? BUS_PIO : BUS_MMIO, e->phys_addr, e->data,
			   MIN(e->len, 8u), true);
		first = (uint32_t)((first + 1) % RING_ENTRIES);
		__atomic_store_n(&ring->first, first, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&vm->ring_lock);
}

uint64_t vm_exits(const struct vm *vm)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < vm->vcpu_count; i++)
		sum += atomic_load(&vm->vcpus[i].exits);
	return sum;
}
