// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A 16550A whose line is infinitely fast.
 *
 * Output. The transmitter is always empty; a byte that is written to THR is on its way at once.
 * Those writes are collected by KVM (range.coalesce) and arrive here in order before the next exit
 * of any vCPU is handled, so a guest that writes 16 bytes for each look at IIR takes an exit for
 * the look alone. A guest that writes and then waits for the transmitter's interrupt might never
 * exit again: so while the port is in use, and as long as that interrupt is enabled, a timer
 * delivers what was collected.
 *
 * Interrupt. The pin is edge-triggered: one eventfd write where the interrupt condition rises. On
 * the chip the condition falls and rises with every byte that leaves, and an interrupt handler that
 * does not look at IIR may count on it; so a byte written while the interrupt is enabled makes an
 * edge of its own, unless the guest has read nothing since the last one (it is still on its way to
 * the handler). If a condition stands that nobody looks at, the timer repeats the edge a few times:
 * an edge that came while the pin was masked is lost in the I/O APIC.
 */
#include "uart16550.h"

#include <errno.h>
#include <linux/serial_reg.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/bus.h"
#include "vmm/chardev.h"
#include "vmm/dev.h"
#include "vmm/irq.h"
#include "vmm/loop.h"
#include "vmm/types.h"
#include "vmm/vm.h"

#define UART_PORTS 8u
#define UART_FIFO 16u
#define UART_IIR_FIFO_ON 0xc0

#define UART_TICK_NS 10000000u
#define UART_TICK_MAX_NS 80000000u
#define UART_IDLE_TICKS 5u /* without a look at the port */

struct uart {
	struct dev dev;
	struct range range;
	struct irq_edge irq;
	struct chardev *chardev; /* the caller's */
	struct loop_timer *timer;
	bool attached;

	uint8_t ier, fcr, lcr, mcr, msr, scr;
	uint8_t dll, dlm;
	bool overrun;
	bool thre; /* the transmitter-empty interrupt waits to be seen */
	uint8_t rx[UART_FIFO];
	unsigned int rx_head, rx_count;

	bool line;    /* the interrupt condition */
	bool seen;    /* a register was read since the last edge */
	bool touched; /* the port was used since the last tick */
	bool armed;
	unsigned int idle;
	uint64_t tick_ns;
};

static struct uart *to_uart(struct dev *dev)
{
	return container_of(dev, struct uart, dev);
}

static bool uart_fifo_on(const struct uart *u)
{
	return u->fcr & UART_FCR_ENABLE_FIFO;
}

static unsigned int uart_rx_trigger(const struct uart *u)
{
	static const uint8_t levels[4] = { 1, 4, 8, 14 };

	return uart_fifo_on(u) ? levels[u->fcr >> 6] : 1;
}

/* The interrupt of the highest priority (data sheet, table IV), or UART_IIR_NO_INT. */
static uint8_t uart_cause(const struct uart *u)
{
	if ((u->ier & UART_IER_RLSI) && u->overrun)
		return UART_IIR_RLSI;
	if ((u->ier & UART_IER_RDI) && u->rx_count) {
		/* Fewer than the trigger level: the character timeout. Four characters take no
		 * time on this line. */
		return u->rx_count >= uart_rx_trigger(u) ? UART_IIR_RDI : UART_IIR_RX_TIMEOUT;
	}
	if ((u->ier & UART_IER_THRI) && u->thre)
		return UART_IIR_THRI;
	if ((u->ier & UART_IER_MSI) && (u->msr & UART_MSR_ANY_DELTA))
		return UART_IIR_MSI;
	return UART_IIR_NO_INT;
}

static void uart_fire(struct uart *u)
{
	u->seen = false;
	irq_edge_fire(&u->irq);
}

/* After every change of state. */
static void uart_update(struct uart *u)
{
	bool line = uart_cause(u) != UART_IIR_NO_INT;

	if (line && !u->line)
		uart_fire(u);
	u->line = line;
}

/* The port is in use: what KVM collects is to be looked after. */
static void uart_touch(struct uart *u)
{
	u->touched = true;
	if (u->armed || !u->timer)
		return;
	u->armed = true;
	u->idle = 0;
	u->tick_ns = UART_TICK_NS;
	loop_timer_set(u->timer, u->tick_ns);
}

static void uart_rx_push(struct uart *u, uint8_t byte)
{
	unsigned int room = uart_fifo_on(u) ? UART_FIFO : 1;

	if (u->rx_count >= room) {
		u->overrun = true;
		return;
	}
	u->rx[(u->rx_head + u->rx_count++) % UART_FIFO] = byte;
}

/* The back end has bytes. While the guest looks at itself (loopback) they wait. */
static size_t uart_receive(void *opaque, const uint8_t *buf, size_t len)
{
	struct uart *u = opaque;
	unsigned int room = uart_fifo_on(u) ? UART_FIFO : 1;
	size_t n = 0;

	if (u->mcr & UART_MCR_LOOP)
		return 0;
	while (n < len && u->rx_count < room)
		uart_rx_push(u, buf[n++]);
	if (n) {
		uart_touch(u);
		uart_update(u);
	}
	return n;
}

static void uart_refill(struct uart *u)
{
	if (u->attached)
		chardev_resume(u->chardev);
}

/* Modem status: all is well, or in loopback what MCR says (data sheet, 8.6). */
static void uart_modem(struct uart *u)
{
	uint8_t lines = UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	uint8_t old = u->msr & 0xf0, delta;

	if (u->mcr & UART_MCR_LOOP)
		lines = ((u->mcr & UART_MCR_RTS) ? UART_MSR_CTS : 0) |
			((u->mcr & UART_MCR_DTR) ? UART_MSR_DSR : 0) |
			((u->mcr & UART_MCR_OUT1) ? UART_MSR_RI : 0) |
			((u->mcr & UART_MCR_OUT2) ? UART_MSR_DCD : 0);
	delta = (old ^ lines) >> 4;
	/* The ring indicator counts where it ends. */
	if (lines & UART_MSR_RI)
		delta &= (uint8_t)~UART_MSR_TERI;
	u->msr = (uint8_t)(lines | (u->msr & UART_MSR_ANY_DELTA) | delta);
}

static void uart_write_thr(struct uart *u, uint8_t byte)
{
	bool before = u->line;

	if (u->mcr & UART_MCR_LOOP)
		uart_rx_push(u, byte);
	else if (u->attached)
		chardev_write(u->chardev, &byte, 1);
	u->thre = true;
	u->line = uart_cause(u) != UART_IIR_NO_INT;
	if (u->line && (!before || (u->seen && (u->ier & UART_IER_THRI))))
		uart_fire(u);
}

static void uart_write_ier(struct uart *u, uint8_t value)
{
	uint8_t on = (uint8_t)(value & ~u->ier);

	u->ier = value & 0x0f;
	/* Enabling the interrupt with the transmitter empty makes one, each time: Linux tests that
	 * (serial8250_do_startup()). */
	if (on & UART_IER_THRI)
		u->thre = true;
	uart_update(u);
}

static void uart_write_fcr(struct uart *u, uint8_t value)
{
	bool toggled = (value ^ u->fcr) & UART_FCR_ENABLE_FIFO;

	/* The other bits count only together with this one. */
	u->fcr = (value & UART_FCR_ENABLE_FIFO) ? value & (UART_FCR_ENABLE_FIFO | 0xc0) : 0;
	if (toggled || (uart_fifo_on(u) && (value & UART_FCR_CLEAR_RCVR)))
		u->rx_count = 0;
	uart_update(u);
	uart_refill(u);
}

static void uart_write_mcr(struct uart *u, uint8_t value)
{
	u->mcr = value & 0x1f;
	uart_modem(u);
	uart_update(u);
	uart_refill(u);
}

static void uart_write8(struct uart *u, unsigned int reg, uint8_t value)
{
	bool dlab = u->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_TX: /* or DLL */
		if (dlab)
			u->dll = value;
		else
			uart_write_thr(u, value);
		break;
	case UART_IER: /* or DLM */
		if (dlab)
			u->dlm = value;
		else
			uart_write_ier(u, value);
		break;
	case UART_FCR:
		uart_write_fcr(u, value);
		break;
	case UART_LCR:
		u->lcr = value;
		break;
	case UART_MCR:
		uart_write_mcr(u, value);
		break;
	case UART_SCR:
		u->scr = value;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
}

static uint8_t uart_read_rbr(struct uart *u)
{
	uint8_t byte;

	if (!u->rx_count)
		return 0;
	byte = u->rx[u->rx_head];
	u->rx_head = (u->rx_head + 1) % UART_FIFO;
	u->rx_count--;
	uart_update(u);
	/* A refill of an empty FIFO is a new edge. */
	if (!u->rx_count)
		uart_refill(u);
	return byte;
}

static uint8_t uart_read_iir(struct uart *u)
{
	uint8_t cause = uart_cause(u);

	if (cause == UART_IIR_THRI) {
		u->thre = false;
		uart_update(u);
	}
	return cause | (uart_fifo_on(u) ? UART_IIR_FIFO_ON : 0);
}

static uint8_t uart_read_lsr(struct uart *u)
{
	uint8_t lsr = UART_LSR_THRE | UART_LSR_TEMT;

	if (u->rx_count)
		lsr |= UART_LSR_DR;
	if (u->overrun)
		lsr |= UART_LSR_OE;
	u->overrun = false;
	uart_update(u);
	return lsr;
}

static uint8_t uart_read_msr(struct uart *u)
{
	uint8_t msr = u->msr;

	u->msr &= (uint8_t)~UART_MSR_ANY_DELTA;
	uart_update(u);
	return msr;
}

static uint8_t uart_read8(struct uart *u, unsigned int reg)
{
	bool dlab = u->lcr & UART_LCR_DLAB;

	switch (reg) {
	case UART_RX:
		return dlab ? u->dll : uart_read_rbr(u);
	case UART_IER:
		return dlab ? u->dlm : u->ier;
	case UART_IIR:
		return uart_read_iir(u);
	case UART_LCR:
		return u->lcr;
	case UART_MCR:
		return u->mcr;
	case UART_LSR:
		return uart_read_lsr(u);
	case UART_MSR:
		return uart_read_msr(u);
	default:
		return u->scr;
	}
}

static uint64_t uart_read(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size)
{
	struct uart *u = to_uart(dev);
	uint64_t value = 0;
	unsigned int i;

	(void)range;
	uart_touch(u);
	u->seen = true;
	for (i = 0; i < size; i++)
		value |= (uint64_t)uart_read8(u, (unsigned int)offset + i) << (i * 8);
	return value;
}

static void uart_write(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct uart *u = to_uart(dev);
	unsigned int i;

	(void)range;
	uart_touch(u);
	for (i = 0; i < size; i++)
		uart_write8(u, (unsigned int)offset + i, (uint8_t)(value >> (i * 8)));
}

/* Decides when to look again. Lock held. */
static void uart_tick_locked(struct uart *u)
{
	u->armed = false;
	if (!u->timer)
		return;
	if (u->touched) {
		u->idle = 0;
		u->tick_ns = UART_TICK_NS;
	} else {
		u->idle++;
		u->tick_ns = MIN(u->tick_ns * 2, UART_TICK_MAX_NS);
		if (u->line && u->idle < UART_IDLE_TICKS)
			uart_fire(u);
	}
	u->touched = false;
	if (u->idle >= UART_IDLE_TICKS && !(u->ier & UART_IER_THRI))
		return;
	u->armed = true;
	loop_timer_set(u->timer, u->tick_ns);
}

/* Without the device's lock: what is drained is dispatched to this device, which takes it. The
 * timer is only deleted on this thread. */
static void uart_tick(void *opaque)
{
	struct uart *u = opaque;

	vm_ring_drain(u->dev.vm);
	pthread_mutex_lock(&u->dev.lock);
	uart_tick_locked(u);
	pthread_mutex_unlock(&u->dev.lock);
}

/* Data sheet, table I: after a master reset. */
static void uart_reset(struct dev *dev)
{
	struct uart *u = to_uart(dev);

	u->ier = 0;
	u->fcr = 0;
	u->lcr = 0;
	u->mcr = 0;
	u->scr = 0;
	u->dll = 1; /* 115200 baud, should the guest want to know */
	u->dlm = 0;
	u->overrun = false;
	u->thre = false;
	u->rx_head = 0;
	u->rx_count = 0;
	u->msr = UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	u->line = false;
	u->seen = true;
	uart_refill(u);
}

static int uart_realize(struct dev *dev, struct err *err)
{
	struct uart *u = to_uart(dev);
	struct chardev_front front = {
		.receive = uart_receive,
		.opaque = u,
		.lock = &dev->lock,
	};
	int ret;

	uart_reset(dev);
	u->range.dev = dev;
	u->range.ops = &dev_range_ops;
	u->range.size = UART_PORTS;
	u->range.coalesce = 1; /* THR */
	ret = irq_edge_init(&u->irq, dev->vm, GSI_COM1, err);
	if (!ret)
		ret = loop_timer_new(dev->vm->loop, NULL, uart_tick, u, &u->timer, err);
	if (!ret)
		ret = chardev_attach(u->chardev, dev->vm, &front, err);
	if (ret)
		return err_prefix(err, "%s", dev->id), ret;
	u->attached = true;
	ret = bus_map(&dev->vm->bus, &u->range, BUS_PIO, PIO_COM1, err);
	if (ret)
		err_prefix(err, "%s", dev->id);
	return ret;
}

static void uart_quiesce(struct dev *dev)
{
	struct uart *u = to_uart(dev);

	bus_unmap(&dev->vm->bus, &u->range);
	loop_timer_del(u->timer);
	u->timer = NULL;
	if (u->attached)
		chardev_detach(u->chardev);
	u->attached = false;
}

static void uart_destroy(struct dev *dev)
{
	struct uart *u = to_uart(dev);

	uart_quiesce(dev);
	irq_edge_done(&u->irq);
}

static const struct dev_class uart_class = {
	.name = "uart16550",
	.help = "serial port (COM1)",
	.size = sizeof(struct uart),
	.realize = uart_realize,
	.quiesce = uart_quiesce,
	.destroy = uart_destroy,
	.reset = uart_reset,
	.read = uart_read,
	.write = uart_write,
};

int uart_new(struct vm *vm, struct chardev *chardev, struct err *err)
{
	struct dev *dev;
	int ret = dev_new(vm, &uart_class, "com1", &dev, err);

	if (ret)
		return ret;
	to_uart(dev)->chardev = chardev;
	to_uart(dev)->irq.fd = -1;
	return dev_add(dev, err);
}
