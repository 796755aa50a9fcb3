/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest with a virtio driver, played by the test, on the fake KVM. Memory, buses, interrupts, PCI
 * and the loop are the real ones. The test is the vCPU: it reaches devices through bus_access()
 * alone, as KVM's exits do, and rings doorbells as the kernel does. Interrupts stay countable in
 * their eventfds.
 */
#ifndef VIADUCT_TESTS_FAKE_DRIVER_H
#define VIADUCT_TESTS_FAKE_DRIVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/vm.h"

#define GUEST_LOG_LINES 64

struct guest {
	struct vm *vm;
	struct log log;
	pthread_mutex_t log_lock;
	char lines[GUEST_LOG_LINES][256]; /* what was logged, the first ones */
	unsigned int line_count;
	pthread_t loop_thread;
	bool looping;
	int sync_fd; /* guest_sync() */
	struct loop_watch *sync_watch;
	pthread_mutex_t sync_lock;
	pthread_cond_t sync_cond;
	uint64_t rounds;
	gpa_t free; /* guest memory handed out so far */
};

struct guest *guest_new(uint64_t memory);
/* Its memory is of a file that other processes can be given. */
struct guest *guest_new_shared(uint64_t memory);
/* Waits until the loop has ended, which something else sees to. */
void guest_stop(struct guest *g);
/* Stops the loop, removes the devices, frees all. */
void guest_free(struct guest *g);

/* Makes the device; guest_start() gives it addresses. Fails the test when that fails. */
struct dev *guest_device(struct guest *g, const struct dev_class *class, const char *spec);
/* As above, but returns what dev_create() does. */
int guest_try_device(struct guest *g, const struct dev_class *class, const char *spec,
		     struct dev **ret_dev, struct err *err);
/* Places BARs and runs the loop in a thread of its own. */
void guest_start(struct guest *g);
/* Returns when the loop has dealt with all that was pending at the call, and with what that caused
 * once more. */
void guest_sync(struct guest *g);

/* True when a line of the log contains @text. */
bool guest_logged(struct guest *g, const char *text);

/* Guest memory. */
gpa_t guest_alloc(struct guest *g, uint64_t size, uint64_t align);
void *guest_ptr(struct guest *g, gpa_t gpa, uint64_t size);

/* Accesses of a vCPU. */
uint64_t guest_read(struct guest *g, uint64_t addr, unsigned int size);
void guest_write(struct guest *g, uint64_t addr, unsigned int size, uint64_t value);
uint64_t guest_ecam(const struct pci_dev *pdev, unsigned int offset);

/* Switches MSI-X on with all vectors unmasked; message data is the vector's number. */
void guest_msix_on(struct guest *g, struct pci_dev *pdev);
/* Messages sent since the last call; 0 for a vector that was never used. */
uint64_t guest_msix_count(struct pci_dev *pdev, unsigned int vector);

/* A driver of a modern virtio PCI function. */
struct driver {
	struct guest *g;
	struct pci_dev *pdev;
	uint64_t common, notify, isr, device; /* addresses */
	uint32_t notify_step;
	uint32_t common_length, notify_length, device_length;
	unsigned int cfg_cap; /* offset in config space */
};

/* Finds the capabilities, switches memory and bus mastering on. */
void driver_open(struct driver *d, struct guest *g, struct dev *dev);
/* Reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK. True when the device took them. */
bool driver_negotiate(struct driver *d, uint64_t features);
uint64_t driver_offered(struct driver *d);
void driver_set_status(struct driver *d, uint8_t add);
uint8_t driver_status(struct driver *d);

/* A split ring in guest memory. */
struct ring {
	struct driver *d;
	unsigned int index;
	uint16_t size;
	gpa_t desc_gpa, avail_gpa, used_gpa;
	uint8_t *desc, *avail, *used;
	uint16_t avail_idx, used_idx; /* the driver's */
};

/* Allocates a ring of @size and enables it with MSI-X vector @vector. */
void ring_open(struct ring *r, struct driver *d, unsigned int index, uint16_t size,
	       uint16_t vector);
void ring_desc(struct ring *r, unsigned int i, gpa_t addr, uint32_t len, uint16_t flags,
	       uint16_t next);
/* Makes the chain at @head available; the device sees it at once. */
void ring_post(struct ring *r, uint16_t head);
/* Through the doorbell when there is one, else as an exit. */
void ring_kick(struct ring *r);
/* The next used entry; false when there is none. */
bool ring_used(struct ring *r, uint32_t *ret_id, uint32_t *ret_len);
/* Waits for one, up to 5 s. */
bool ring_wait(struct ring *r, uint32_t *ret_id, uint32_t *ret_len);
/* used_event: when the driver wants the next interrupt. */
void ring_used_event(struct ring *r, uint16_t idx);
/* avail_event: when the device wants the next kick. */
uint16_t ring_avail_event(const struct ring *r);

#endif
