// SPDX-License-Identifier: GPL-2.0-or-later
/* The serial port as a guest's driver sees it: this thread is the vCPU, a socket the far end. */
#include "loop_rig.h"

#include <linux/serial_reg.h>

#include "base/io.h"
#include "emulated/uart16550.h"
#include "vmm/chardev.h"

struct port {
	struct loop_rig *rig;
	struct vm *vm;
	struct chardev *chardev;
	int irq; /* the interrupt's eventfd */
	int far;
	unsigned int zones; /* that KVM was told to collect, for this device */
	union {
		struct kvm_coalesced_mmio_ring ring;
		uint8_t page[4096];
	} mem;
};

static int irqfd_of(int gsi)
{
	int fd;

	for (fd = 0; fd < 1024; fd++)
		if (fake_kvm_irqfd(fd) == gsi)
			return fd;
	return -1;
}

static int setup(void **state)
{
	struct port *p = test_calloc(1, sizeof(*p));
	struct err err = { 0 };
	char spec[96];

	p->rig = loop_rig_new();
	p->vm = p->rig->vm;
	p->zones = fake_kvm_count(KVM_REGISTER_COALESCED_MMIO);
	snprintf(spec, sizeof(spec), "unix=%s", p->rig->path);
	if (chardev_new(&p->chardev, spec, p->vm->log, &err) ||
	    uart_new(p->vm, p->chardev, &err))
		fail_msg("%s", err.msg);
	p->zones = fake_kvm_count(KVM_REGISTER_COALESCED_MMIO) - p->zones;
	p->irq = irqfd_of(GSI_COM1);
	assert_true(p->irq >= 0);
	p->vm->ring = &p->mem.ring;
	loop_rig_start(p->rig);
	p->far = loop_rig_connect(p->rig);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct port *p = *state;

	close(p->far);
	loop_rig_free(p->rig);
	chardev_free(p->chardev);
	test_free(p);
	return 0;
}

static void out(struct port *p, unsigned int reg, uint8_t value)
{
	bus_access(&p->vm->bus, BUS_PIO, PIO_COM1 + reg, &value, 1, true);
}

static uint8_t in(struct port *p, unsigned int reg)
{
	uint8_t value = 0;

	bus_access(&p->vm->bus, BUS_PIO, PIO_COM1 + reg, &value, 1, false);
	return value;
}

static uint64_t edges(struct port *p)
{
	return io_eventfd_drain(p->irq);
}

static void far_sends(struct port *p, const char *text)
{
	assert_int_equal(write(p->far, text, strlen(text)), strlen(text));
}

static void registers_keep_their_bits(void **state)
{
	struct port *p = *state;
	uint16_t both = 0;

	assert_int_equal(in(p, UART_IIR), UART_IIR_NO_INT);
	assert_int_equal(in(p, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	assert_int_equal(in(p, UART_MSR), 0xb0);
	out(p, UART_SCR, 0x5a);
	assert_int_equal(in(p, UART_SCR), 0x5a);
	out(p, UART_IER, 0xff);
	assert_int_equal(in(p, UART_IER), 0x0f);
	out(p, UART_MCR, 0xef);
	assert_int_equal(in(p, UART_MCR), 0x0f);
	out(p, UART_LSR, 0);
	out(p, UART_MSR, 0);
	assert_int_equal(in(p, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	/* The divisor hides behind DLAB. */
	out(p, UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
	out(p, UART_DLL, 0x34);
	out(p, UART_DLM, 0x12);
	assert_int_equal(in(p, UART_DLL), 0x34);
	assert_int_equal(in(p, UART_DLM), 0x12);
	out(p, UART_LCR, UART_LCR_WLEN8);
	assert_int_equal(in(p, UART_IER), 0x0f);
	/* A wide access is one of each register. */
	bus_access(&p->vm->bus, BUS_PIO, PIO_COM1 + UART_MCR, &both, 2, false);
	assert_int_equal(both, 0x600f);
}

/* drivers/tty/serial/8250/8250_port.c of Linux 6.12, autoconfig() and autoconfig_16550a(). */
static void linux_finds_a_16550a(void **state)
{
	struct port *p = *state;

	out(p, UART_IER, 0);
	assert_int_equal(in(p, UART_IER) & 0x0f, 0);
	out(p, UART_IER, 0x0f);
	assert_int_equal(in(p, UART_IER) & 0x0f, 0x0f);
	out(p, UART_IER, 0);
	out(p, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	assert_int_equal(in(p, UART_MSR) & 0xf0, UART_MSR_DCD | UART_MSR_CTS);
	out(p, UART_MCR, 0);
	out(p, UART_LCR, UART_LCR_CONF_MODE_B);
	out(p, UART_EFR, 0);
	out(p, UART_LCR, 0);
	out(p, UART_FCR, UART_FCR_ENABLE_FIFO);
	assert_int_equal(in(p, UART_IIR) >> 6, 3);
	/* No EFR, no 64-byte FIFO. */
	out(p, UART_LCR, UART_LCR_CONF_MODE_A);
	assert_int_not_equal(in(p, UART_EFR), 0);
	out(p, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR7_64BYTE);
	assert_int_equal(in(p, UART_IIR) >> 5, 6);
	out(p, UART_FCR, UART_FCR_ENABLE_FIFO);
	out(p, UART_LCR, 0);
	out(p, UART_FCR, 0);
	assert_int_equal(in(p, UART_IIR) >> 6, 0);
}

/* serial8250_do_startup(): the test whether THRE is asserted again when it is enabled again. */
static void enabling_thri_interrupts_each_time(void **state)
{
	struct port *p = *state;
	int i;

	for (i = 0; i < 3; i++) {
		out(p, UART_IER, UART_IER_THRI);
		assert_int_equal(edges(p), 1);
		assert_int_equal(in(p, UART_IIR), UART_IIR_THRI);
		assert_int_equal(in(p, UART_IIR), UART_IIR_NO_INT);
		out(p, UART_IER, 0);
	}
}

static void output_interrupts(void **state)
{
	struct port *p = *state;

	out(p, UART_IER, UART_IER_THRI);
	assert_int_equal(in(p, UART_IIR), UART_IIR_THRI);
	edges(p);
	/* A batch from the handler: one edge for all of it. */
	out(p, UART_TX, 'a');
	out(p, UART_TX, 'b');
	out(p, UART_TX, 'c');
	assert_int_equal(edges(p), 1);
	/* A handler that looks at LSR alone gets its next edge all the same. */
	assert_true(in(p, UART_LSR) & UART_LSR_THRE);
	out(p, UART_TX, 'd');
	assert_int_equal(edges(p), 1);
	assert_int_equal(in(p, UART_IIR), UART_IIR_THRI);
	out(p, UART_IER, 0);
	out(p, UART_TX, 'e');
	assert_int_equal(edges(p), 0);
	expect_bytes(p->far, "abcde", 5);
}

static void input_interrupts(void **state)
{
	struct port *p = *state;
	int i;

	out(p, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_14);
	out(p, UART_IER, UART_IER_RDI);
	assert_int_equal(edges(p), 0);
	far_sends(p, "0123456789abcdefXYZ");
	WAIT_FOR(in(p, UART_IIR) == (0xc0 | UART_IIR_RDI));
	assert_true(edges(p) >= 1);
	for (i = 0; i < 16; i++) {
		assert_true(in(p, UART_LSR) & UART_LSR_DR);
		assert_int_equal(in(p, UART_RX), "0123456789abcdef"[i]);
		/* Below the trigger level: the timeout. */
		if (i == 4)
			assert_int_equal(in(p, UART_IIR), 0xc0 | UART_IIR_RX_TIMEOUT);
	}
	/* What had to wait follows, with an edge of its own. */
	assert_true(edges(p) >= 1);
	WAIT_FOR(in(p, UART_LSR) & UART_LSR_DR);
	assert_int_equal(in(p, UART_IIR), 0xc0 | UART_IIR_RX_TIMEOUT);
	assert_int_equal(in(p, UART_RX), 'X');
	assert_int_equal(in(p, UART_RX), 'Y');
	assert_int_equal(in(p, UART_RX), 'Z');
	assert_int_equal(in(p, UART_LSR) & (UART_LSR_DR | UART_LSR_OE), 0);
	assert_int_equal(in(p, UART_IIR), 0xc0 | UART_IIR_NO_INT);
}

static void without_fifo_each_byte_interrupts(void **state)
{
	struct port *p = *state;
	const char *c;

	out(p, UART_IER, UART_IER_RDI);
	far_sends(p, "hello");
	WAIT_FOR(in(p, UART_LSR) & UART_LSR_DR);
	for (c = "hello"; *c; c++) {
		WAIT_FOR(in(p, UART_IIR) == UART_IIR_RDI);
		assert_true(edges(p) >= 1);
		assert_int_equal(in(p, UART_RX), *c);
	}
	assert_int_equal(in(p, UART_IIR), UART_IIR_NO_INT);
	assert_int_equal(in(p, UART_LSR) & UART_LSR_OE, 0);
}

static void causes_have_their_order(void **state)
{
	struct port *p = *state;

	out(p, UART_FCR, UART_FCR_ENABLE_FIFO);
	out(p, UART_IER, UART_IER_RDI | UART_IER_THRI);
	far_sends(p, "z");
	WAIT_FOR(in(p, UART_LSR) & UART_LSR_DR);
	/* Input comes first; the transmitter's interrupt stays for later. */
	assert_int_equal(in(p, UART_IIR), 0xc0 | UART_IIR_RDI);
	assert_int_equal(in(p, UART_IIR), 0xc0 | UART_IIR_RDI);
	assert_int_equal(in(p, UART_RX), 'z');
	assert_int_equal(in(p, UART_IIR), 0xc0 | UART_IIR_THRI);
	assert_int_equal(in(p, UART_IIR), 0xc0 | UART_IIR_NO_INT);
}

static void loopback(void **state)
{
	struct port *p = *state;
	int i;

	out(p, UART_FCR, UART_FCR_ENABLE_FIFO);
	in(p, UART_MSR);
	out(p, UART_IER, UART_IER_MSI | UART_IER_RLSI);
	out(p, UART_MCR, UART_MCR_LOOP | UART_MCR_DTR);
	assert_int_equal(edges(p), 1);
	assert_int_equal(in(p, UART_IIR), 0xc0 | UART_IIR_MSI);
	assert_int_equal(in(p, UART_MSR), UART_MSR_DSR | UART_MSR_DDCD | UART_MSR_DCTS);
	assert_int_equal(in(p, UART_IIR), 0xc0 | UART_IIR_NO_INT);
	far_sends(p, "later");
	usleep(50000);
	assert_int_equal(in(p, UART_LSR) & UART_LSR_DR, 0);
	for (i = 0; i < 17; i++)
		out(p, UART_TX, (uint8_t)i);
	assert_int_equal(edges(p), 1);
	assert_int_equal(in(p, UART_IIR), 0xc0 | UART_IIR_RLSI);
	assert_true(in(p, UART_LSR) & UART_LSR_OE);
	assert_false(in(p, UART_LSR) & UART_LSR_OE);
	for (i = 0; i < 16; i++)
		assert_int_equal(in(p, UART_RX), i);
	/* Ring: only its end counts. */
	out(p, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT1);
	assert_int_equal(in(p, UART_MSR), UART_MSR_RI | UART_MSR_DDSR);
	out(p, UART_MCR, UART_MCR_LOOP);
	assert_int_equal(in(p, UART_MSR), UART_MSR_TERI);
	out(p, UART_MCR, 0);
	WAIT_FOR(in(p, UART_LSR) & UART_LSR_DR);
	assert_int_equal(in(p, UART_RX), 'l');
	/* Nothing of the loop got out. */
	out(p, UART_TX, '!');
	expect_bytes(p->far, "!", 1);
}

static void fifo_is_cleared(void **state)
{
	struct port *p = *state;

	out(p, UART_FCR, UART_FCR_ENABLE_FIFO);
	out(p, UART_MCR, UART_MCR_LOOP);
	out(p, UART_TX, 'x');
	assert_true(in(p, UART_LSR) & UART_LSR_DR);
	out(p, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_XMIT);
	assert_true(in(p, UART_LSR) & UART_LSR_DR);
	out(p, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	assert_false(in(p, UART_LSR) & UART_LSR_DR);
	out(p, UART_TX, 'x');
	out(p, UART_FCR, 0);
	assert_false(in(p, UART_LSR) & UART_LSR_DR);
}

static void reset_is_the_beginning(void **state)
{
	struct port *p = *state;

	out(p, UART_FCR, UART_FCR_ENABLE_FIFO);
	out(p, UART_MCR, UART_MCR_LOOP);
	out(p, UART_TX, 'x');
	out(p, UART_IER, 0x0f);
	out(p, UART_LCR, UART_LCR_DLAB);
	dev_reset_all(p->vm);
	assert_int_equal(in(p, UART_IER), 0);
	assert_int_equal(in(p, UART_IIR), UART_IIR_NO_INT);
	assert_int_equal(in(p, UART_LCR), 0);
	assert_int_equal(in(p, UART_MCR), 0);
	assert_int_equal(in(p, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	assert_int_equal(in(p, UART_MSR), 0xb0);
}

/* An edge that nobody looks at is repeated, but not for ever. */
static void lost_edge_is_repeated(void **state)
{
	struct port *p = *state;
	unsigned int sum = 0, tries;

	out(p, UART_IER, UART_IER_RDI);
	far_sends(p, "k");
	for (tries = 0; tries < 5000 && sum < 2; tries++) {
		usleep(1000);
		sum += (unsigned int)edges(p);
	}
	assert_true(sum >= 2);
	usleep(600000);
	assert_in_range(sum + edges(p), 2, 8);
	usleep(300000);
	assert_int_equal(edges(p), 0);
	assert_int_equal(in(p, UART_RX), 'k');
}

/* What KVM has collected arrives without any exit, as long as the guest may be waiting for it. */
static void collected_writes_are_fetched(void **state)
{
	struct port *p = *state;
	struct kvm_coalesced_mmio_ring *ring = &p->mem.ring;
	struct kvm_coalesced_mmio *e;

	assert_int_equal(p->zones, 1);
	out(p, UART_IER, UART_IER_THRI);
	assert_int_equal(in(p, UART_IIR), UART_IIR_THRI);
	edges(p);
	/* Long after the last look at the port. */
	usleep(500000);
	e = &ring->coalesced_mmio[0];
	e->phys_addr = PIO_COM1;
	e->len = 1;
	e->pio = 1;
	e->data[0] = 'R';
	__atomic_store_n(&ring->last, 1, __ATOMIC_RELEASE);
	expect_bytes(p->far, "R", 1);
	WAIT_FOR(edges(p) == 1);
	assert_int_equal(in(p, UART_IIR), UART_IIR_THRI);
}

static void unplugged_reads_as_nothing(void **state)
{
	struct port *p = *state;
	struct dev *dev = p->vm->devs;

	out(p, UART_TX, 'p');
	expect_bytes(p->far, "p", 1);
	loop_rig_stop(p->rig);
	while (dev && strcmp(dev->id, "com1") != 0)
		dev = dev->next;
	assert_non_null(dev);
	out(p, UART_TX, 'q');
	dev_remove(dev);
	/* What was written is not lost by that. */
	expect_bytes(p->far, "q", 1);
	assert_int_equal(in(p, UART_LSR), 0xff);
	out(p, UART_TX, 'q');
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(registers_keep_their_bits),
		T(linux_finds_a_16550a),
		T(enabling_thri_interrupts_each_time),
		T(output_interrupts),
		T(input_interrupts),
		T(without_fifo_each_byte_interrupts),
		T(causes_have_their_order),
		T(loopback),
		T(fifo_is_cleared),
		T(reset_is_the_beginning),
		T(lost_edge_is_repeated),
		T(collected_writes_are_fetched),
		T(unplugged_reads_as_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
