// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A driver that does anything to an e1000: one byte picks the operation, the next are its operands.
 * What must hold: every run ends, the sanitizers find nothing, and what is sent has the length of a
 * frame.
 */
#include "fuzz.h"

#include <stdlib.h>

#include "core_rig.h"
#include "emulated/e1000.h"
#include "emulated/e1000_priv.h"
#include "vmm/iov.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

#define RAM (1 * MIB)
#define TX_RING 0x1000u
#define RX_RING 0x2000u
#define DATA 0x10000u
#define RUNS 4096u

enum op { OP_REG, OP_READ, OP_IO, OP_DESC, OP_TAIL, OP_FRAME, OP_FULL, OP_BYTE, OPS };

struct fuzz {
	struct fuzz_input in;
	struct vm *vm;
	struct e1000 *e;
	uint8_t *ram;
};

static bool full;
static struct dev_class class;

static int back_open(struct net *net, const struct net_host *host, void **ret_state,
		     struct err *err)
{
	(void)host;
	(void)err;
	*ret_state = net;
	return 0;
}

static void back_close(void *state)
{
	(void)state;
}

static bool back_send(void *state, unsigned int queue, const struct iovec *iov, unsigned int count)
{
	static uint8_t frame[NET_FRAME_MAX];
	size_t len = iov_size(iov, count);

	(void)state;
	(void)queue;
	MUST(len >= NET_FRAME_MIN && len <= NET_FRAME_MAX);
	MUST(iov_gather(iov, count, frame, sizeof(frame)) == len);
	return !full;
}

static const struct net_backend_ops back_ops = {
	.name = "fuzz", .open = back_open, .close = back_close, .send = back_send
};

static void send_ready(void *nic, unsigned int queue)
{
	(void)nic;
	(void)queue;
}

static const struct net_peer_ops peer = {
	.receive = e1000_receive, .receive_end = e1000_receive_end, .send_ready = send_ready
};

static void timer(void *opaque)
{
	(void)opaque;
}

/* As the card's, without the loop: the fuzzer is it. */
static int realize(struct dev *dev, struct err *err)
{
	struct e1000 *e = container_of(to_pci(dev), struct e1000, pdev);

	e->kick_fd = -1;
	e->link = true;
	e->tx.buf = malloc(E1000_TX_MAX);
	MUST(e->tx.buf);
	pci_dev_init(&e->pdev, 0x8086, 0x100e, 0x02000003, 0, 0, PCI_CONFIG_SIZE);
	pci_bar_set(&e->pdev, 0, PCI_BAR_MEM32, false, 0x20000);
	pci_intx_enable(&e->pdev, true);
	MUST(!loop_timer_new(dev->vm->loop, &dev->lock, timer, e, &e->itr_timer, err));
	MUST(!net_attach(&e->net, &back_ops, 1, dev->vm, dev->id, &dev->lock, &peer, e, err));
	e1000_nvm_init(e);
	return pci_dev_plug(&e->pdev, err);
}

static void write_reg(struct fuzz *f, unsigned int reg, uint32_t value)
{
	f->e->pdev.dev.class->write(&f->e->pdev.dev, 0, reg, 4, value);
}

static uint32_t pick(struct fuzz_input *in)
{
	static const uint32_t values[] = { 0, 1, 0x80, 0xffffffff, 0x80000000, DATA, RAM - 8, 64 };
	uint8_t how = fuzz_u8(in);

	return how & 0x80 ? fuzz_u16(in) | (uint32_t)fuzz_u16(in) << 16
			  : values[how % ARRAY_SIZE(values)] + (how >> 3 & 15);
}

static unsigned int pick_reg(struct fuzz_input *in)
{
	static const uint16_t regs[] = { CTRL, EECD, EERD, MDIC, ICR,  ITR,   ICS,   IMS,
					 IMC,  RCTL, TCTL, VET,  RDH,  RDT,   RDLEN, RDBAL,
					 TDH,  TDT,  TDLEN, TDBAL, MTA, RAL + 4, VFTA, RDBAH };
	uint8_t how = fuzz_u8(in);

	return how & 0x80 ? fuzz_u16(in) & 0x7ffc : regs[how % ARRAY_SIZE(regs)];
}

static void fuzz_desc(struct fuzz *f)
{
	uint8_t which = fuzz_u8(&f->in), *d;
	unsigned int i;

	d = f->ram + (which & 0x80 ? RX_RING : TX_RING) + (size_t)(which & 15) * E1000_DESC;
	put_le32(d, pick(&f->in));
	put_le32(d + 4, which & 0x40 ? pick(&f->in) : 0);
	for (i = 8; i < E1000_DESC; i++)
		d[i] = fuzz_u8(&f->in);
}

static void fuzz_frame(struct fuzz *f)
{
	static uint8_t frame[NET_FRAME_MAX];
	struct iovec iov[2];
	size_t len = NET_FRAME_MIN + fuzz_u16(&f->in) % (NET_FRAME_MAX - NET_FRAME_MIN + 1);
	size_t cut = 1 + fuzz_u8(&f->in) % (NET_FRAME_MIN - 1);
	unsigned int i;

	for (i = 0; i < 18; i++)
		frame[i] = fuzz_u8(&f->in);
	iov[0] = (struct iovec){ frame, cut };
	iov[1] = (struct iovec){ frame + cut, len - cut };
	e1000_receive(f->e, 0, iov, 2);
	e1000_receive_end(f->e, 0);
}

/* What the loop would do; with runs of E1000_TX_BUDGET any ring and any frame ends. */
static void turn(struct fuzz *f)
{
	e1000_tx_run(f->e);
	if (f->e->rx_waiting && fuzz_u8(&f->in) & 1)
		f->e->rx_waiting = false;
}

static void step(struct fuzz *f)
{
	const struct dev_class *c = f->e->pdev.dev.class;
	unsigned int reg;

	switch (fuzz_u8(&f->in) % OPS) {
	case OP_REG:
		reg = pick_reg(&f->in);
		write_reg(f, reg, pick(&f->in));
		break;
	case OP_READ:
		c->read(&f->e->pdev.dev, 0, pick_reg(&f->in), 4);
		break;
	case OP_IO:
		c->write(&f->e->pdev.dev, 2, 0, 4, pick(&f->in));
		c->write(&f->e->pdev.dev, 2, 4, 4, pick(&f->in));
		c->read(&f->e->pdev.dev, 2, 4, 4);
		break;
	case OP_DESC:
		fuzz_desc(f);
		break;
	case OP_TAIL:
		write_reg(f, fuzz_u8(&f->in) & 1 ? TDT : RDT, fuzz_u8(&f->in) & 15);
		break;
	case OP_FRAME:
		fuzz_frame(f);
		break;
	case OP_FULL:
		full = fuzz_u8(&f->in) & 1;
		f->e->tx.full = false;
		break;
	default:
		reg = fuzz_u16(&f->in);
		f->ram[reg] = fuzz_u8(&f->in);
	}
	turn(f);
}

/* Kept from input to input. */
static struct e1000 *card(void)
{
	static struct e1000 *e;
	struct vm *vm;
	struct dev *dev;

	if (e)
		return e;
	vm = rig_new(RAM);
	class = e1000_class;
	class.realize = realize;
	MUST(!dev_new(vm, &class, "e1000", &dev, NULL) && !dev_add(dev, NULL));
	e = container_of(to_pci(dev), struct e1000, pdev);
	return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .in = { data, size }, .e = card() };
	unsigned int steps;

	f.vm = f.e->pdev.dev.vm;
	f.ram = f.vm->mem.banks[0].hva;
	memset(f.ram, 0, 0x20000);
	full = false;
	class.reset(&f.e->pdev.dev);
	f.e->pdev.config[PCI_COMMAND] |= PCI_COMMAND_MASTER;
	write_reg(&f, TDBAL, TX_RING);
	write_reg(&f, TDLEN, 16 * E1000_DESC);
	write_reg(&f, RDBAL, RX_RING);
	write_reg(&f, RDLEN, 16 * E1000_DESC);
	write_reg(&f, TCTL, TCTL_EN);
	write_reg(&f, RCTL, RCTL_EN | RCTL_UPE | RCTL_MPE);
	for (steps = 0; f.in.left && steps < RUNS; steps++)
		step(&f);
	return 0;
}
