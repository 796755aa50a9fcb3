// SPDX-License-Identifier: GPL-2.0-or-later
#include "irq.h"

#include <errno.h>
#include <linux/kvm.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "kvm_sys.h"
#include "types.h"
#include "vm.h"

#define IRQ_BURST_NS 1000000u
#define IRQ_PIN_ROUTES 40u /* 24 IOAPIC pins and 16 PIC pins */

static void irqs_timer(void *opaque)
{
	irqs_flush(opaque);
}

int irqs_init(struct irqs *irqs, struct vm *vm, struct err *err)
{
	int max;

	memset(irqs, 0, sizeof(*irqs));
	irqs->vm = vm;
	pthread_mutex_init(&irqs->lock, NULL);
	max = vm->fd < 0 ? 0 : kvm_ioctl_val(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING);
	irqs->gsi_max = max > GSI_MSI_FIRST ? (unsigned int)max : 1024;
	return loop_timer_new(vm->loop, NULL, irqs_timer, irqs, &irqs->timer, err);
}

void irqs_done(struct irqs *irqs)
{
	if (!irqs->vm)
		return;
	loop_timer_del(irqs->timer);
	free(irqs->table);
	free(irqs->gsi_owner);
	pthread_mutex_destroy(&irqs->lock);
	memset(irqs, 0, sizeof(*irqs));
}

static int irqs_irqfd(struct irqs *irqs, unsigned int gsi, int fd, int resample_fd, bool on)
{
	struct kvm_irqfd arg = {
		.fd = (uint32_t)fd,
		.gsi = gsi,
		.flags = (on ? 0 : KVM_IRQFD_FLAG_DEASSIGN) |
			 (resample_fd >= 0 && on ? KVM_IRQFD_FLAG_RESAMPLE : 0),
		.resamplefd = resample_fd >= 0 && on ? (uint32_t)resample_fd : 0,
	};

	return irqs->vm->fd < 0 ? 0 : kvm_ioctl(irqs->vm->fd, KVM_IRQFD, &arg);
}

static struct kvm_irq_routing_entry *irqs_pin_routes(struct kvm_irq_routing_entry *e)
{
	unsigned int gsi;

	/* The same routes that KVM_CREATE_IRQCHIP sets up. */
	for (gsi = 0; gsi < 24; gsi++) {
		*e++ = (struct kvm_irq_routing_entry){
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = KVM_IRQCHIP_IOAPIC, .pin = gsi },
		};
		if (gsi >= 16)
			continue;
		*e++ = (struct kvm_irq_routing_entry){
			.gsi = gsi,
			.type = KVM_IRQ_ROUTING_IRQCHIP,
			.u.irqchip = { .irqchip = gsi < 8 ? KVM_IRQCHIP_PIC_MASTER
							  : KVM_IRQCHIP_PIC_SLAVE,
				       .pin = gsi % 8 },
		};
	}
	return e;
}

/* Tells KVM all routes that are wanted. */
static int irqs_commit_locked(struct irqs *irqs)
{
	struct kvm_irq_routing_entry *e;
	struct kvm_irq_routing *table;
	unsigned int i;
	int ret;

	table = realloc(irqs->table,
			sizeof(*table) + (IRQ_PIN_ROUTES + irqs->gsi_top) * sizeof(*e));
	if (!table)
		return -ENOMEM;
	irqs->table = table;
	e = irqs_pin_routes(table->entries);
	for (i = 0; i < irqs->gsi_top; i++) {
		const struct msi_vector *v = irqs->gsi_owner[i];

		if (!v || !(v->waiting || v->routed))
			continue;
		*e++ = (struct kvm_irq_routing_entry){
			.gsi = GSI_MSI_FIRST + i,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi = { .address_lo = (uint32_t)v->addr,
				   .address_hi = (uint32_t)(v->addr >> 32),
				   .data = v->data },
		};
	}
	table->nr = (uint32_t)(e - table->entries);
	table->flags = 0;
	irqs->commits++;
	ret = irqs->vm->fd < 0 ? 0 : kvm_ioctl(irqs->vm->fd, KVM_SET_GSI_ROUTING, table);
	return ret < 0 ? ret : 0;
}

static void msi_attach_locked(struct msi_vector *v)
{
	int ret = irqs_irqfd(v->irqs, (unsigned int)v->gsi, v->fd - 1, -1, true);

	if (ret < 0)
		log_line(v->irqs->vm->log, LOG_ERROR, "interrupt %d stays silent: irqfd: %s", v->gsi,
			 strerror(-ret));
	else
		v->attached = true;
}

void irqs_flush(struct irqs *irqs)
{
	unsigned int i;
	int ret;

	pthread_mutex_lock(&irqs->lock);
	if (!irqs->dirty) {
		pthread_mutex_unlock(&irqs->lock);
		return;
	}
	irqs->dirty = false;
	ret = irqs_commit_locked(irqs);
	if (ret)
		log_line(irqs->vm->log, LOG_ERROR, "interrupt routes: %s", strerror(-ret));
	for (i = 0; i < irqs->gsi_top && !ret; i++) {
		struct msi_vector *v = irqs->gsi_owner[i];

		if (!v || !(v->waiting || v->routed))
			continue;
		v->routed = true;
		v->routed_addr = v->addr;
		v->routed_data = v->data;
		if (v->waiting && !v->attached && !v->masked)
			msi_attach_locked(v);
		v->waiting = false;
	}
	pthread_mutex_unlock(&irqs->lock);
}

static int irqs_gsi_take_locked(struct irqs *irqs, struct msi_vector *v)
{
	unsigned int i;

	for (i = 0; i < irqs->gsi_top && irqs->gsi_owner[i]; i++)
		;
	if (GSI_MSI_FIRST + i >= irqs->gsi_max)
		return -ENOSPC;
	if (i == irqs->gsi_room) {
		unsigned int room = irqs->gsi_room ? irqs->gsi_room * 2 : 64;
		struct msi_vector **owner = realloc(irqs->gsi_owner, room * sizeof(struct msi_vector *));

		if (!owner)
			return -ENOMEM;
		irqs->gsi_owner = owner;
		irqs->gsi_room = room;
	}
	irqs->gsi_owner[i] = v;
	if (i == irqs->gsi_top)
		irqs->gsi_top++;
	v->gsi = (int)(GSI_MSI_FIRST + i);
	return 0;
}

static void irqs_gsi_give_locked(struct irqs *irqs, struct msi_vector *v)
{
	if (!v->gsi)
		return;
	irqs->gsi_owner[v->gsi - GSI_MSI_FIRST] = NULL;
	while (irqs->gsi_top && !irqs->gsi_owner[irqs->gsi_top - 1])
		irqs->gsi_top--;
	v->gsi = 0;
}

int msi_vector_fd(const struct msi_vector *v)
{
	return v->fd - 1;
}

static void msi_detach_locked(struct msi_vector *v)
{
	if (v->attached)
		irqs_irqfd(v->irqs, (unsigned int)v->gsi, v->fd - 1, -1, false);
	v->attached = false;
}

static int msi_fd_locked(struct msi_vector *v)
{
	int fd = v->fd ? 0 : io_eventfd_new();

	if (fd < 0)
		return fd;
	if (!v->fd)
		v->fd = fd + 1;
	return 0;
}

/* Brings what KVM was told to what the guest wishes. */
static int msi_reconcile_locked(struct msi_vector *v)
{
	struct irqs *irqs = v->irqs;
	int ret;

	if (v->masked) {
		msi_detach_locked(v);
		v->waiting = false;
		return 0;
	}
	ret = msi_fd_locked(v);
	if (ret)
		return ret;
	if (!v->gsi) {
		ret = irqs_gsi_take_locked(irqs, v);
		if (ret)
			return ret;
	}
	if (v->routed && v->routed_addr == v->addr && v->routed_data == v->data) {
		if (!v->attached)
			msi_attach_locked(v);
		return 0;
	}
	/* An attached irqfd goes on with its old route until the commit, as hardware might. */
	v->waiting = true;
	if (!irqs->dirty) {
		irqs->dirty = true;
		loop_timer_set(irqs->timer, IRQ_BURST_NS);
	}
	return 0;
}

int msi_vector_set(struct msi_vector *v, struct vm *vm, uint64_t addr, uint32_t data, bool masked,
		   struct err *err)
{
	int ret;

	pthread_mutex_lock(&vm->irqs.lock);
	v->irqs = &vm->irqs;
	v->addr = addr;
	v->data = data;
	v->masked = masked;
	ret = msi_reconcile_locked(v);
	pthread_mutex_unlock(&vm->irqs.lock);
	if (ret == -ENOSPC)
		return err_set(err, ret, "KVM has no interrupt route left (%u in all)",
			       vm->irqs.gsi_max);
	return ret ? err_sys(err, ret, "interrupt vector") : 0;
}

void msi_vector_done(struct msi_vector *v)
{
	struct irqs *irqs = v->irqs;

	if (!irqs)
		return;
	pthread_mutex_lock(&irqs->lock);
	msi_detach_locked(v);
	irqs_gsi_give_locked(irqs, v);
	pthread_mutex_unlock(&irqs->lock);
	if (v->fd)
		close(v->fd - 1);
	memset(v, 0, sizeof(*v));
}

void msi_vector_fire(struct msi_vector *v)
{
	if (!v->irqs)
		return;
	/* Masked since it was enabled: the pending bit needs a counter all the same. */
	pthread_mutex_lock(&v->irqs->lock);
	msi_fd_locked(v);
	pthread_mutex_unlock(&v->irqs->lock);
	if (v->fd)
		io_eventfd_signal(v->fd - 1);
}

bool msi_vector_pending(struct msi_vector *v)
{
	struct pollfd pfd = { .fd = v->fd - 1, .events = POLLIN };

	return v->fd && !v->attached && poll(&pfd, 1, 0) == 1;
}

int irq_line_init(struct irq_line *line, struct vm *vm, unsigned int gsi, struct err *err)
{
	memset(line, 0, sizeof(*line));
	line->irqs = &vm->irqs;
	line->gsi = gsi;
	line->trigger = io_eventfd_new();
	line->resample = line->trigger < 0 ? -1 : io_eventfd_new();
	if (line->resample < 0) {
		int ret = err_sys(err, line->trigger < 0 ? line->trigger : -errno, "interrupt line");

		irq_line_done(line);
		return ret;
	}
	return 0;
}

void irq_line_done(struct irq_line *line)
{
	if (!line->irqs)
		return;
	irq_line_detach(line);
	fd_close(&line->trigger);
	fd_close(&line->resample);
	line->irqs = NULL;
}

/* The guest acknowledged: the pin is low now, and goes up again if the device still wants. */
static void irq_line_resampled(void *opaque, uint32_t events)
{
	struct irq_line *line = opaque;

	(void)events;
	io_eventfd_drain(line->resample);
	if (line->level)
		io_eventfd_signal(line->trigger);
}

int irq_line_attach(struct irq_line *line, bool emulated, pthread_mutex_t *lock, struct err *err)
{
	struct irqs *irqs = line->irqs;
	int ret;

	if (line->attached)
		return 0;
	if (emulated) {
		ret = loop_watch_add(irqs->vm->loop, line->resample, EPOLLIN, lock,
				     irq_line_resampled, line, &line->watch, err);
		if (ret)
			return ret;
	}
	ret = irqs_irqfd(irqs, line->gsi, line->trigger, line->resample, true);
	if (ret < 0) {
		loop_watch_del(line->watch);
		line->watch = NULL;
		return err_sys(err, ret, "interrupt line %u: irqfd", line->gsi);
	}
	line->attached = true;
	return 0;
}

void irq_line_detach(struct irq_line *line)
{
	loop_watch_del(line->watch);
	line->watch = NULL;
	if (line->attached)
		irqs_irqfd(line->irqs, line->gsi, line->trigger, line->resample, false);
	line->attached = false;
}

void irq_line_set(struct irq_line *line, bool level)
{
	if (line->level == level)
		return;
	line->level = level;
	if (level)
		io_eventfd_signal(line->trigger);
}

int irq_edge_init(struct irq_edge *edge, struct vm *vm, unsigned int gsi, struct err *err)
{
	int ret;

	edge->irqs = &vm->irqs;
	edge->gsi = gsi;
	edge->fd = io_eventfd_new();
	if (edge->fd < 0)
		return err_sys(err, edge->fd, "interrupt %u", gsi);
	ret = irqs_irqfd(edge->irqs, gsi, edge->fd, -1, true);
	if (ret < 0) {
		fd_close(&edge->fd);
		return err_sys(err, ret, "interrupt %u: irqfd", gsi);
	}
	return 0;
}

void irq_edge_done(struct irq_edge *edge)
{
	if (!edge->irqs || edge->fd < 0)
		return;
	irqs_irqfd(edge->irqs, edge->gsi, edge->fd, -1, false);
	fd_close(&edge->fd);
	edge->irqs = NULL;
}

void irq_edge_fire(struct irq_edge *edge)
{
	io_eventfd_signal(edge->fd);
}
