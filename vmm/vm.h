/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One guest. Everything hangs from here; there is no file-scope state, so a process can hold as
 * many as it likes.
 *
 * Threads: the loop thread (the one that calls vm_run()) owns topology, start, reset and end. Each
 * vCPU has a thread. vm_request() is how any thread asks for one of the latter.
 */
#ifndef VIADUCT_VMM_VM_H
#define VIADUCT_VMM_VM_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "boot.h"
#include "bus.h"
#include "dev.h"
#include "irq.h"
#include "loop.h"
#include "mem.h"
#include "pci.h"
#include "vcpu.h"

struct kvm_coalesced_mmio_ring;

struct vm_config {
	const char *name;
	uint64_t memory; /* bytes */
	struct mem_options ram;
	unsigned int cpus;
	const char *pin; /* vcpu_pin.h; NULL: vCPUs run where this process may */
	const char *kvm_path; /* NULL: /dev/kvm */
	bool plan; /* no KVM: devices are probed and placed, nothing is started */
	struct boot_spec boot; /* kernel NULL: the caller loads memory itself (tests) */
};

/* In order of rank. A triple fault restarts the guest as hardware does, and becomes a crash when it
 * happens three times within 10 s. */
enum vm_request {
	VM_NOTHING,
	VM_RESET,
	VM_POWEROFF,
	VM_QUIT,
	VM_CRASH,
	VM_DEVICE_ERROR, /* hardware failed, and the guest must not go on with its data */
	VM_TRIPLE_FAULT,
};

/* What happens to the guest, for whoever watches it (vm->event). */
enum vm_event {
	VM_EVENT_SHUTDOWN, /* powered off, or ended by the host */
	VM_EVENT_RESET,
	VM_EVENT_STOP,
	VM_EVENT_RESUME,
	VM_EVENT_POWERDOWN, /* the power button was pressed */
	VM_EVENT_BALLOON,
};

struct vm {
	struct vm_config config;
	const struct log *log;
	int kvm_fd, fd;
	struct loop *loop;
	struct mem mem;
	struct bus bus;
	struct irqs irqs;
	struct pci_root *pci;
	struct acpi_pm *acpi_pm;
	struct boot_image *boot;

	struct dev *devs;
	struct dev_skip *skips;

	struct vcpu *vcpus;
	unsigned int vcpu_count;
	pthread_mutex_t run_lock; /* stop_wanted, standing, signalled by run_cond */
	pthread_cond_t run_cond;
	atomic_bool stop_wanted;
	bool quit_wanted;
	unsigned int standing;
	size_t run_size; /* of each vCPU's mapping */

	/* The ring of collected port writes, on the first vCPU's mapping; drained under its lock. */
	struct kvm_coalesced_mmio_ring *ring;
	pthread_mutex_t ring_lock;

	pthread_mutex_t request_lock; /* a leaf */
	enum vm_request request;
	bool request_by_guest; /* not by vm_request_host() */
	struct err end; /* why the guest ended: code 0 for power-off or quit */
	int kvm_vfio_fd; /* the KVM-VFIO device, -1 until vfio/ makes it */
	void *iommu;	 /* vfio/'s: the guest's IOMMU back end, one for the VM */
	void (*iommu_free)(struct vm *vm);
	/* Set by whoever runs the guest: @dev was removed from it while it ran (dev_unplug()), and
	 * goes when this returns. Loop thread. */
	void (*removed)(void *opaque, const struct dev *dev, const char *why);
	void *removed_opaque;
	/* Told what happens. Loop thread, no device lock held. */
	void (*event)(void *opaque, enum vm_event event);
	void *event_opaque;
	atomic_bool balloon_changed; /* BALLOON is on its way */
	atomic_bool stuck;	     /* a device is: see vm_free() */
	unsigned int drain_ms; /* how long a device that is to stop may take; 0: its own idea */
	bool paused; /* vm_pause(); loop thread */
	bool stdio_used; /* by a device's character back end; loop thread */
	uint64_t resets;
	unsigned int triple_faults;
	int64_t triple_fault_first; /* s, CLOCK_MONOTONIC */
};

/* Opens KVM, makes memory, interrupt chips, buses, PCI root and ACPI registers. @log and the
 * strings in @config must outlive the VM. On failure nothing is left. */
int vm_new(struct vm **ret_vm, const struct vm_config *config, const struct log *log,
	   struct err *err);
/* vCPUs are joined, devices removed last first. NULL is fine. When a device is stuck, the kernel
 * may still use the guest's memory: it and all else stays, and the process should end. */
void vm_free(struct vm *vm);

/* After the devices are there: places BARs, loads kernel and ACPI tables, makes vCPUs. */
int vm_prepare(struct vm *vm, struct err *err);
/* vm_prepare() must have been called. Runs the guest until it powers off, ends or crashes. Returns
 * 0, or a negative errno with the reason: VM_END_DEVICE after VM_DEVICE_ERROR. Call once. */
#define VM_END_DEVICE (-EREMOTEIO)
int vm_run(struct vm *vm, struct err *err);

/* Any thread, any lock held. The first of POWEROFF, QUIT, CRASH and DEVICE_ERROR wins; @fmt says
 * why for the last two. */
void vm_request(struct vm *vm, enum vm_request request, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As vm_request() for what the host's side wishes: an event then says so. Loop thread. */
void vm_request_host(struct vm *vm, enum vm_request request, const char *why);

/* All vCPUs stand still until vm_resume(), through restarts too. Devices go on: what the guest gave
 * them is carried out. While it is paused, or not, a second call changes nothing. Loop thread, the
 * vCPUs were started. */
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);

/* A balloon's size is another one: vm->event is told from the loop, once for changes that come
 * close together. Any thread, any lock. */
void vm_balloon_changed(struct vm *vm);

/* Presses the ACPI power button. Loop thread. */
void vm_power_button(struct vm *vm);

/* Delivers collected port writes. Called by vCPU threads at every exit, and by the loop. */
void vm_ring_drain(struct vm *vm);

/* Sum over the vCPUs of returns of KVM_RUN. */
uint64_t vm_exits(const struct vm *vm);

#endif
