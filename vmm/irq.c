// SPDX-License-Identifier: GPL-2.0-or-later
#include "irq.h"

#include <errno.h>
#include <linux/kvm.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "kvm_sys.h"
#include "types.h"
#include "vm.h"

#define IRQ_PIN_ROUTES 40u   /* 24 IOAPIC pins and 16 PIC pins */
#define IRQ_ROUTES_MAX 4096u /* of Linux on x86 since 4.6 */

#define MS 1000000ull
#define IRQ_BURST_NS (1 * MS)
#define IRQ_QUIET_NS (100 * MS)
#define IRQ_RELAY_NS (2000 * MS)
#define IRQ_RELAY_MESSAGES 16u /* for one vector */
#define IRQ_RELAY_BATCH 32

static void irqs_timer(void *opaque);
static int msi_relay_locked(struct msi_vector *v);
static void msi_relay_end_locked(struct msi_vector *v);

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int irqs_init(struct irqs *irqs, struct vm *vm, struct err *err)
{
	int max = IRQ_ROUTES_MAX;

	memset(irqs, 0, sizeof(*irqs));
	irqs->vm = vm;
	irqs->quiet_ns = IRQ_QUIET_NS;
	pthread_mutex_init(&irqs->lock, NULL);
	if (vm->fd >= 0)
		max = kvm_ioctl_val(vm->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQ_ROUTING);
	if (max <= (int)IRQ_PIN_ROUTES)
		max = 1024; /* of older ones */
	/* The table holds max entries, and the pins have more entries than GSIs. */
	irqs->gsi_max = (unsigned int)max - IRQ_PIN_ROUTES + GSI_MSI_FIRST;
	return loop_timer_new(vm->loop, NULL, irqs_timer, irqs, &irqs->timer, err);
}

void irqs_done(struct irqs *irqs)
{
	if (!irqs->vm)
		return;
	loop_timer_del(irqs->timer);
	loop_watch_del(irqs->relay_watch);
	if (irqs->relay_fd)
		close(irqs->relay_fd - 1);
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

/* Where KVM refuses an irqfd, this process does what it would have done. */
static void msi_attach_locked(struct msi_vector *v)
{
	struct irqs *irqs = v->irqs;
	int ret = irqs_irqfd(irqs, (unsigned int)v->gsi, v->fd - 1, -1, true);

	v->attached = ret >= 0;
	if (v->attached) {
		msi_relay_end_locked(v);
		return;
	}
	log_limited(irqs->vm->log, &irqs->limit, LOG_WARN, "interrupt %d: irqfd: %s; %s", v->gsi,
		    strerror(-ret),
		    msi_relay_locked(v) ? "it stays silent"
					: "it takes the way through this process");
}

/* The routes did not reach KVM. What waits for them is sent without, and in a while tried anew. */
static void irqs_commit_failed_locked(struct irqs *irqs, int error)
{
	unsigned int i;

	log_limited(irqs->vm->log, &irqs->limit, LOG_ERROR,
		    "interrupt routes: %s; interrupts take the way through this process meanwhile",
		    strerror(-error));
	irqs->relaying = true;
	irqs->begun = irqs->changed = irqs->committed = now_ns();
	for (i = 0; i < irqs->gsi_top; i++)
		if (irqs->gsi_owner[i] && irqs->gsi_owner[i]->waiting)
			msi_relay_locked(irqs->gsi_owner[i]);
	loop_timer_set(irqs->timer, IRQ_RELAY_NS);
}

static void irqs_flush_locked(struct irqs *irqs)
{
	unsigned int i;
	int ret;

	if (!irqs->dirty)
		return;
	ret = irqs_commit_locked(irqs);
	if (ret) {
		irqs_commit_failed_locked(irqs, ret);
		return;
	}
	irqs->dirty = false;
	irqs->relaying = false;
	irqs->committed = now_ns();
	for (i = 0; i < irqs->gsi_top; i++) {
		struct msi_vector *v = irqs->gsi_owner[i];

		if (!v || !(v->waiting || v->routed))
			continue;
		v->routed = true;
		v->routed_addr = v->addr;
		v->routed_data = v->data;
		if (v->waiting)
			msi_attach_locked(v);
		v->waiting = false;
	}
}

void irqs_flush(struct irqs *irqs)
{
	pthread_mutex_lock(&irqs->lock);
	irqs_flush_locked(irqs);
	pthread_mutex_unlock(&irqs->lock);
}

/* A burst that is being relayed ends when the guest has been quiet for a while. */
static void irqs_timer(void *opaque)
{
	struct irqs *irqs = opaque;
	uint64_t now;

	pthread_mutex_lock(&irqs->lock);
	now = now_ns(); /* not before: the last change may be later then */
	if (irqs->dirty && irqs->relaying && now < irqs->changed + irqs->quiet_ns &&
	    now < irqs->begun + IRQ_RELAY_NS)
		loop_timer_set(irqs->timer, irqs->changed + irqs->quiet_ns - now);
	else
		irqs_flush_locked(irqs);
	pthread_mutex_unlock(&irqs->lock);
}

int irqs_promise(struct irqs *irqs, unsigned int count, struct err *err)
{
	unsigned int all = irqs->gsi_max - GSI_MSI_FIRST, taken;

	pthread_mutex_lock(&irqs->lock);
	taken = irqs->promised;
	if (count <= all - taken)
		irqs->promised += count;
	pthread_mutex_unlock(&irqs->lock);
	if (count <= all - taken)
		return 0;
	return err_set(
		err, -ENOSPC,
		"its %u interrupt vectors do not fit: KVM has %u routes for messages, %u of "
		"them are the other devices'; give the guest fewer devices, or a function fewer "
		"vectors (vfio-pci: vectors=N)",
		count, all, taken);
}

void irqs_release(struct irqs *irqs, unsigned int count)
{
	pthread_mutex_lock(&irqs->lock);
	irqs->promised -= count;
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
		struct msi_vector **owner =
			realloc(irqs->gsi_owner, room * sizeof(struct msi_vector *));

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

/* One message, without route or irqfd. */
static void msi_send_locked(struct msi_vector *v)
{
	struct irqs *irqs = v->irqs;
	struct kvm_msi msi = {
		.address_lo = (uint32_t)v->addr,
		.address_hi = (uint32_t)(v->addr >> 32),
		.data = v->data,
	};
	int ret = irqs->vm->fd < 0 ? 0 : kvm_ioctl(irqs->vm->fd, KVM_SIGNAL_MSI, &msi);

	if (ret < 0)
		log_limited(irqs->vm->log, &irqs->limit, LOG_ERROR,
			    "interrupt %d: a message was lost: %s", v->gsi, strerror(-ret));
}

static void irqs_relay(void *opaque, uint32_t ready)
{
	struct epoll_event events[IRQ_RELAY_BATCH];
	struct irqs *irqs = opaque;
	bool busy = false;
	int i, n;

	(void)ready;
	pthread_mutex_lock(&irqs->lock);
	n = epoll_wait(irqs->relay_fd - 1, events, IRQ_RELAY_BATCH, 0);
	for (i = 0; i < n; i++) {
		/* The lock was held since the set was asked: it is there, and unmasked. */
		struct msi_vector *v = events[i].data.ptr;

		if (!io_eventfd_drain(v->fd - 1))
			continue;
		msi_send_locked(v);
		busy |= v->waiting && ++v->relays % IRQ_RELAY_MESSAGES == 0;
	}
	/* At work already: it should have the short way. */
	if (busy)
		irqs_flush_locked(irqs);
	pthread_mutex_unlock(&irqs->lock);
}

static int irqs_relay_init_locked(struct irqs *irqs)
{
	struct err err = { 0 };
	int fd, ret;

	if (irqs->relay_fd)
		return 0;
	fd = epoll_create1(EPOLL_CLOEXEC);
	if (fd < 0)
		return -errno;
	irqs->relay_fd = fd + 1;
	ret = loop_watch_add(irqs->vm->loop, fd, EPOLLIN, NULL, irqs_relay, irqs,
			     &irqs->relay_watch, &err);
	if (!ret)
		return 0;
	close(fd);
	irqs->relay_fd = 0;
	return ret;
}

/* From now on the loop sends what the eventfd has counted, and counts. */
static int msi_relay_locked(struct msi_vector *v)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = v };
	int ret;

	if (v->relayed)
		return 0;
	ret = irqs_relay_init_locked(v->irqs);
	if (ret)
		return ret;
	if (epoll_ctl(v->irqs->relay_fd - 1, EPOLL_CTL_ADD, v->fd - 1, &event) < 0)
		return -errno;
	v->relayed = true;
	v->relays = 0;
	return 0;
}

static void msi_relay_end_locked(struct msi_vector *v)
{
	if (v->relayed)
		epoll_ctl(v->irqs->relay_fd - 1, EPOLL_CTL_DEL, v->fd - 1, NULL);
	v->relayed = false;
}

/* The vector needs a route, which the commit at the end of the burst brings. */
static void msi_wait_locked(struct msi_vector *v)
{
	struct irqs *irqs = v->irqs;
	uint64_t now = now_ns();

	if (!irqs->dirty) {
		irqs->dirty = true;
		irqs->begun = now;
		irqs->relaying = irqs->committed && now - irqs->committed < irqs->quiet_ns;
		loop_timer_set(irqs->timer, irqs->relaying ? irqs->quiet_ns : IRQ_BURST_NS);
	}
	irqs->changed = now;
	v->waiting = true;
	if (irqs->relaying && msi_relay_locked(v)) {
		irqs->relaying = false;
		loop_timer_set(irqs->timer, IRQ_BURST_NS);
	}
}

/* What a write to that address is (Intel SDM 3A, 11.11.1). Anything else would be a DMA write of
 * the function, which VFIO does not let it make in the guest's name. */
static bool msi_address(uint64_t addr)
{
	return (addr & ~0xfffffull) == GPA_LAPIC;
}

/*
 * Brings what KVM was told to what the guest wishes.
 *
 * A vector that may fire has an irqfd, which needs a route with the vector's address and data. KVM
 * takes all routes in one table, and that is dear: it waits for a grace period. Linux unmasks the
 * vectors of a device one by one, some with a command to the device in between, and the address and
 * data are not known before. So a table goes to KVM 1 ms after the first change. Changes that come
 * within 100 ms of it begin a burst which lasts until the guest has changed nothing for 100 ms, and
 * ends with the second table. Meanwhile the loop watches the eventfds of the burst and sends their
 * messages itself (KVM_SIGNAL_MSI needs no route): nothing waits. A burst that goes on for 2 s, or
 * in which a vector is at work already, ends early.
 *
 * Nothing is lost between the steps and nothing is doubled, for the message is in the eventfd until
 * exactly one of three takes it out, and who that is changes under the lock alone: nobody (masked:
 * its count is the pending bit), the loop, or KVM, which delivers what it finds when an irqfd is
 * attached and has delivered all it saw when KVM_IRQFD has taken it away again.
 */
static int msi_reconcile_locked(struct msi_vector *v)
{
	bool same = v->routed && v->routed_addr == v->addr && v->routed_data == v->data;
	bool silent = v->masked || !msi_address(v->addr);
	int ret;

	if (silent || !same)
		msi_detach_locked(v);
	if (silent) {
		msi_relay_end_locked(v);
		v->waiting = false;
		return v->masked ? 0 : -EADDRNOTAVAIL;
	}
	ret = msi_fd_locked(v);
	if (!ret && !v->gsi)
		ret = irqs_gsi_take_locked(v->irqs, v);
	if (ret)
		return ret;
	if (!same) {
		msi_wait_locked(v);
		return 0;
	}
	v->waiting = false;
	if (!v->attached)
		msi_attach_locked(v);
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
	if (ret == -EADDRNOTAVAIL)
		return err_set(err, ret, "its address 0x%llx is no interrupt's (0xfee.....)",
			       (unsigned long long)addr);
	if (ret == -EMFILE)
		return err_set(err, ret, "no descriptor left; raise the limit (ulimit -n)");
	return ret ? err_sys(err, ret, "interrupt vector") : 0;
}

void msi_vector_done(struct msi_vector *v)
{
	struct irqs *irqs = v->irqs;

	if (!irqs)
		return;
	pthread_mutex_lock(&irqs->lock);
	msi_detach_locked(v);
	msi_relay_end_locked(v);
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

	return v->fd && v->masked && poll(&pfd, 1, 0) == 1;
}

int irq_line_init(struct irq_line *line, struct vm *vm, unsigned int gsi, struct err *err)
{
	memset(line, 0, sizeof(*line));
	line->irqs = &vm->irqs;
	line->gsi = gsi;
	line->trigger = io_eventfd_new();
	line->resample = line->trigger < 0 ? -1 : io_eventfd_new();
	if (line->resample < 0) {
		int ret =
			err_sys(err, line->trigger < 0 ? line->trigger : -errno, "interrupt line");

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
