/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts: to a device an interrupt is an eventfd, and for a level interrupt a resample eventfd
 * too. The GSI is private to irq.c. The same vector serves emulated, virtio, vhost and VFIO.
 *
 * Level: writing `trigger` asserts the pin; at the guest's EOI the kernel deasserts it and signals
 * `resample`, upon which whoever drives the line asserts it again if it still wants service. KVM
 * keeps a list for each pin, so devices share pins properly.
 *
 * Message: what the guest wishes (address, data, mask) and what KVM was told (route, irqfd) are two
 * states that msi_reconcile_locked() brings together; the comment above it has the theory. A masked
 * vector has no irqfd: its eventfd counts, and that count is the pending bit. However a guest
 * unmasks N vectors, it costs N irqfds and two routing commits.
 */
#ifndef VIADUCT_VMM_IRQ_H
#define VIADUCT_VMM_IRQ_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "loop.h"

struct err;
struct kvm_irq_routing;
struct vm;

struct irqs {
	struct vm *vm;
	pthread_mutex_t lock; /* a leaf: routes, vectors' programmed state */
	struct kvm_irq_routing *table;
	unsigned int gsi_max;	       /* one past the highest that KVM has a route for */
	unsigned int promised;	       /* vectors of the functions that are plugged */
	struct msi_vector **gsi_owner; /* by gsi - GSI_MSI_FIRST; grows as needed */
	unsigned int gsi_room;
	unsigned int gsi_top; /* one past the highest owned */
	/* The burst of changes that the next commit ends; times are of CLOCK_MONOTONIC, in ns. */
	bool dirty;
	bool relaying; /* meanwhile this process passes messages on */
	uint64_t begun, changed, committed;
	uint64_t quiet_ns; /* see msi_reconcile_locked() */
	struct loop_timer *timer;
	int relay_fd; /* epoll of the eventfds that this process watches; + 1, 0: not needed so far
		       */
	struct loop_watch *relay_watch;
	struct log_limit limit;
	uint64_t commits; /* KVM_SET_GSI_ROUTING calls so far, for tests and figures */
};

int irqs_init(struct irqs *irqs, struct vm *vm, struct err *err);
void irqs_done(struct irqs *irqs);
/* Ends an open burst now: routes committed, waiting irqfds attached. Any thread. */
void irqs_flush(struct irqs *irqs);
/* Routes for @count vectors of a function, before the guest may see it: -ENOSPC when those that are
 * promised already leave too few. irqs_release() gives them back. */
int irqs_promise(struct irqs *irqs, unsigned int count, struct err *err);
void irqs_release(struct irqs *irqs, unsigned int count);

/* A level interrupt pin. For a device that this process emulates use irq_line_set(); a VFIO
 * function is given the two descriptors and the kernel does the rest. */
struct irq_line {
	struct irqs *irqs;
	unsigned int gsi;
	int trigger;
	int resample;
	bool attached;
	bool level; /* emulated: what the device wants */
	struct loop_watch *watch;
};

/* Makes the descriptors; nothing reaches KVM before irq_line_attach(). */
int irq_line_init(struct irq_line *line, struct vm *vm, unsigned int gsi, struct err *err);
void irq_line_done(struct irq_line *line);
/* Connects the line to its pin. With @emulated the loop watches `resample` under @lock and asserts
 * again while irq_line_set(true) stands. */
int irq_line_attach(struct irq_line *line, bool emulated, pthread_mutex_t *lock, struct err *err);
void irq_line_detach(struct irq_line *line);
/* Emulated devices, under their device's lock. No system call when nothing changes. */
void irq_line_set(struct irq_line *line, bool level);

/* An edge interrupt of the IOAPIC (ISA): one write is one edge. */
struct irq_edge {
	struct irqs *irqs;
	unsigned int gsi;
	int fd;
};

int irq_edge_init(struct irq_edge *edge, struct vm *vm, unsigned int gsi, struct err *err);
void irq_edge_done(struct irq_edge *edge);
void irq_edge_fire(struct irq_edge *edge);

/* One message-signalled vector. Zero-initialised is "never used": no descriptor, no GSI. */
struct msi_vector {
	struct irqs *irqs;
	int fd;	 /* eventfd + 1, 0 while never used: see msi_vector_fd() */
	int gsi; /* 0 while none */
	/* the guest's wish */
	uint64_t addr;
	uint32_t data;
	bool masked;
	/* what KVM was told */
	uint64_t routed_addr;
	uint32_t routed_data;
	bool routed;
	bool attached;
	bool waiting;	     /* for the end of the burst */
	bool relayed;	     /* the loop watches the eventfd and sends the message */
	unsigned int relays; /* how often it did */
};

/* The guest's wish. The first unmasked wish makes the eventfd and takes a GSI. 0, or the vector
 * stays silent: -ENOSPC when KVM has no route left, -EMFILE, -EADDRNOTAVAIL when @addr is no
 * interrupt's. The device's lock is held. */
int msi_vector_set(struct msi_vector *v, struct vm *vm, uint64_t addr, uint32_t data, bool masked,
		   struct err *err);
/* Detaches, and gives eventfd and GSI back. A vector that was never used is fine. */
void msi_vector_done(struct msi_vector *v);
/* The eventfd, or -1 while the vector was never used. */
int msi_vector_fd(const struct msi_vector *v);
/* Emulated devices: one message; remembered while masked. Any thread. */
void msi_vector_fire(struct msi_vector *v);
/* The pending bit: fired while masked and not delivered yet. */
bool msi_vector_pending(struct msi_vector *v);

#endif
