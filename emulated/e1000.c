// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Registers, interrupts and life of the 82540EM.
 *
 * Writing TDT or RDT only wakes the loop, once until it came: frames are fetched and delivered on
 * the loop's thread while the vCPU goes on. The interrupt is a level, ICR & IMS, which ITR holds
 * back by a timer; reading ICR takes it away.
 */
#include "e1000.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/vm.h"

#include "e1000_priv.h"

#define BAR_REGS 0u
#define BAR_IO 2u /* BAR 1 would be a flash memory, which there is none */
#define BAR_REGS_SIZE (128 * KIB)
#define BAR_IO_SIZE 64u
#define ITR_UNIT_NS 256u

static struct e1000 *dev_to_e1000(struct dev *dev)
{
	return container_of(to_pci(dev), struct e1000, pdev);
}

bool e1000_dma_on(struct e1000 *e)
{
	return get_le16(e->pdev.config + PCI_COMMAND) & PCI_COMMAND_MASTER;
}

static int dma_refuse(struct e1000 *e, gpa_t gpa, uint64_t len)
{
	e->dma_refused++;
	log_limited(e->pdev.dev.vm->log, &e->pdev.limit, LOG_WARN,
		    "%s: DMA of %llu bytes at %#llx refused: not RAM", e->pdev.dev.id,
		    (unsigned long long)len, (unsigned long long)gpa);
	return -EFAULT;
}

int e1000_dma_read(struct e1000 *e, gpa_t gpa, void *buf, uint64_t len)
{
	return mem_read(&e->pdev.dev.vm->mem, gpa, buf, len) ? dma_refuse(e, gpa, len) : 0;
}

int e1000_dma_write(struct e1000 *e, gpa_t gpa, const void *buf, uint64_t len)
{
	return mem_write(&e->pdev.dev.vm->mem, gpa, buf, len) ? dma_refuse(e, gpa, len) : 0;
}

void e1000_count(struct e1000 *e, unsigned int reg)
{
	if (*e1000_reg(e, reg) != UINT32_MAX)
		++*e1000_reg(e, reg);
}

void e1000_count_octets(struct e1000 *e, unsigned int reg_low, uint64_t n)
{
	uint64_t sum = (uint64_t)*e1000_reg(e, reg_low + 4) << 32 | *e1000_reg(e, reg_low);

	sum = sum + n < sum ? UINT64_MAX : sum + n;
	*e1000_reg(e, reg_low) = (uint32_t)sum;
	*e1000_reg(e, reg_low + 4) = (uint32_t)(sum >> 32);
}

/* Interrupts. */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The line follows ICR & IMS: down at once, up no sooner than ITR allows. */
static void irq_update(struct e1000 *e)
{
	uint64_t interval = (uint64_t)(*e1000_reg(e, ITR) & 0xffff) * ITR_UNIT_NS, now = 0;

	if (!(*e1000_reg(e, ICR) & *e1000_reg(e, IMS))) {
		pci_intx_set(&e->pdev, false);
		return;
	}
	if (e->pdev.intx_level || e->itr_armed)
		return;
	if (interval) {
		now = now_ns();
		if (now < e->itr_next_ns) {
			e->itr_armed = true;
			loop_timer_set(e->itr_timer, MIN(e->itr_next_ns - now, interval));
			return;
		}
	}
	e->itr_next_ns = now + interval;
	pci_intx_set(&e->pdev, true);
}

static void itr_over(void *opaque)
{
	struct e1000 *e = opaque;

	e->itr_armed = false;
	e->itr_next_ns = 0;
	irq_update(e);
}

void e1000_cause(struct e1000 *e, uint32_t causes)
{
	*e1000_reg(e, ICR) |= causes & ICR_BITS;
	irq_update(e);
}

/* Work for the loop. */

void e1000_kick(struct e1000 *e)
{
	uint64_t one = 1;

	if (e->kicked || e->kick_fd < 0)
		return;
	e->kicked = true;
	/* It cannot be full. */
	if (write(e->kick_fd, &one, sizeof(one)) < 0)
		e->kicked = false;
}

static void kicked(void *opaque, uint32_t events)
{
	struct e1000 *e = opaque;
	uint64_t count;

	(void)events;
	/* Nothing there: it was woken for nothing. */
	if (read(e->kick_fd, &count, sizeof(count)) < 0)
		return;
	e->kicked = false;
	e1000_tx_run(e);
	if (e->rx_waiting) {
		e->rx_waiting = false;
		net_ready(&e->net, 0);
	}
	e1000_receive_end(e, 0);
}

static void send_ready(void *nic, unsigned int queue)
{
	struct e1000 *e = nic;

	(void)queue;
	e->tx.full = false;
	e1000_tx_run(e);
}

static void link_changed(void *nic, bool up)
{
	struct e1000 *e = nic;

	if (e->link == up)
		return;
	e->link = up;
	e1000_link_show(e);
	e1000_cause(e, ICR_LSC);
}

static const struct net_peer_ops peer_ops = {
	.receive = e1000_receive,
	.receive_end = e1000_receive_end,
	.send_ready = send_ready,
	.link = link_changed,
};

/* Registers. */

/* CTRL.RST (13.4.1): all but the PHY, the EEPROM and the link. */
static void card_reset(struct e1000 *e)
{
	const uint8_t *mac = e->mac.b;

	memset(e->regs, 0, sizeof(e->regs));
	*e1000_reg(e, CTRL) = CTRL_FD;
	*e1000_reg(e, PBA) = 0x00100030;
	*e1000_reg(e, VET) = 0x8100;
	*e1000_reg(e, LEDCTL) = 0x07068302;
	*e1000_reg(e, MDIC) = MDIC_READY;
	*e1000_reg(e, RAL) = get_le32(mac);
	*e1000_reg(e, RAL + 4) = RAH_AV | get_le16(mac + 4);
	e1000_nvm_reset(e);
	e1000_tx_reset(e);
	e->rx_waiting = e->rx_done = false;
	e->itr_next_ns = 0;
	e->itr_armed = false;
	loop_timer_set(e->itr_timer, 0);
	net_drop_held(&e->net, 0);
	e1000_link_show(e);
	irq_update(e);
}

static void ctrl_write(struct e1000 *e, uint32_t value)
{
	if (value & CTRL_PHY_RST)
		e1000_phy_reset(e);
	if (value & CTRL_RST)
		card_reset(e);
	else
		*e1000_reg(e, CTRL) = value & ~CTRL_PHY_RST;
}

static void reg_write(struct e1000 *e, unsigned int reg, uint32_t value)
{
	switch (reg) {
	case CTRL:
	case CTRL + 4: /* the same register again */
		ctrl_write(e, value);
		return;
	case STATUS:
		return;
	case EECD:
		e1000_eecd_write(e, value);
		return;
	case EERD:
		e1000_eerd_write(e, value);
		return;
	case MDIC:
		e1000_mdic_write(e, value);
		return;
	case ICR:
		*e1000_reg(e, ICR) &= ~value;
		break;
	case ICS:
		e1000_cause(e, value);
		return;
	case IMS:
		*e1000_reg(e, IMS) |= value & ICR_BITS;
		break;
	case IMC:
		*e1000_reg(e, IMS) &= ~value;
		break;
	case RDBAL:
	case TDBAL:
		value &= ~15u;
		break;
	case RDLEN:
	case TDLEN:
		value &= 0xfff80;
		break;
	case RDH:
	case RDT:
	case TDH:
	case TDT:
		value &= 0xffff;
		break;
	default:
		if (reg >= STATS && reg < STATS_END)
			return;
	}
	if (reg == ICR || reg == IMS || reg == IMC) {
		irq_update(e);
		return;
	}
	*e1000_reg(e, reg) = value;
	if (reg == TDT || reg == TCTL || ((reg == RDT || reg == RCTL) && e->rx_waiting))
		e1000_kick(e);
}

static uint32_t reg_read(struct e1000 *e, unsigned int reg)
{
	uint32_t value = *e1000_reg(e, reg);

	if (reg == CTRL + 4)
		return *e1000_reg(e, CTRL);
	if (reg == EECD)
		return e1000_eecd_read(e);
	if (reg == ICS || reg == IMC)
		return 0;
	/* Read to clear (13.4.17, 13.7). */
	if (reg == ICR || (reg >= STATS && reg < STATS_END))
		*e1000_reg(e, reg) = 0;
	if (reg == ICR)
		irq_update(e);
	return value;
}

/* IOADDR and IODATA (13.3.3). The 8254x knows accesses of 32 bits alone; of a smaller read the
 * bytes are right, a smaller write changes nothing. */
static uint64_t e1000_read(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size)
{
	struct e1000 *e = dev_to_e1000(dev);
	unsigned int shift = (offset & 3) * 8;
	uint64_t value = 0;

	offset &= ~3ull;
	if (range == BAR_IO) {
		if (!offset)
			return e->io_addr >> shift;
		if (offset != 4)
			return 0;
		offset = e->io_addr & ~3u;
	}
	if (offset < REGS_END)
		value = reg_read(e, (unsigned int)offset);
	if (size == 8 && range == BAR_REGS && offset + 4 < REGS_END)
		value |= (uint64_t)reg_read(e, (unsigned int)offset + 4) << 32;
	return value >> shift;
}

static void e1000_write(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size,
			uint64_t value)
{
	struct e1000 *e = dev_to_e1000(dev);

	if (size < 4)
		return;
	if (range == BAR_IO) {
		if (!offset)
			e->io_addr = (uint32_t)value;
		if (offset != 4)
			return;
		offset = e->io_addr & ~3u;
	}
	if (offset < REGS_END)
		reg_write(e, (unsigned int)offset, (uint32_t)value);
	if (size == 8 && range == BAR_REGS && offset + 4 < REGS_END)
		reg_write(e, (unsigned int)offset + 4, (uint32_t)(value >> 32));
}

/* Bus mastering came on: what was asked for meanwhile. */
static void config_written(struct pci_dev *pdev, unsigned int offset, unsigned int size,
			   uint32_t value)
{
	struct e1000 *e = container_of(pdev, struct e1000, pdev);

	(void)value;
	if (offset <= PCI_COMMAND && offset + size > PCI_COMMAND && e1000_dma_on(e))
		e1000_kick(e);
}

static const struct pci_ops e1000_pci_ops = { .config_written = config_written };

/* Life. */

static void e1000_identity(struct e1000 *e)
{
	pci_dev_init(&e->pdev, 0x8086, 0x100e, 0x02000003, 0x8086, 0x001e, PCI_CONFIG_SIZE);
	pci_bar_set(&e->pdev, BAR_REGS, PCI_BAR_MEM32, false, BAR_REGS_SIZE);
	pci_bar_set(&e->pdev, BAR_IO, PCI_BAR_IO, false, BAR_IO_SIZE);
	pci_intx_enable(&e->pdev, true);
}

static int e1000_probe(struct dev *dev, struct err *err)
{
	struct e1000 *e = dev_to_e1000(dev);

	e->kick_fd = -1;
	e1000_identity(e);
	return net_check(&e->config, err);
}

static int e1000_realize(struct dev *dev, struct err *err)
{
	struct e1000 *e = dev_to_e1000(dev);
	int ret;

	e->kick_fd = -1;
	e1000_identity(e);
	if (!e->mac.set)
		net_mac_derive(dev->vm->config.name, dev->id, &e->mac);
	e->tx.buf = malloc(E1000_TX_MAX);
	if (!e->tx.buf)
		return err_set(err, -ENOMEM, "no memory for a frame");
	e->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->kick_fd < 0)
		return err_set(err, -errno, "eventfd: %s", strerror(errno));
	ret = loop_timer_new(dev->vm->loop, &dev->lock, itr_over, e, &e->itr_timer, err);
	if (ret)
		return ret;
	e->link = true;
	e1000_nvm_init(e);
	e1000_phy_reset(e);
	card_reset(e);
	ret = loop_watch_add(dev->vm->loop, e->kick_fd, EPOLLIN, &dev->lock, kicked, e, &e->watch,
			     err);
	if (ret)
		return ret;
	ret = net_open(&e->net, &e->config, dev->vm, dev->id, &dev->lock, &peer_ops, e, err);
	if (ret)
		return ret;
	return pci_dev_plug(&e->pdev, err);
}

static void e1000_quiesce(struct dev *dev)
{
	struct e1000 *e = dev_to_e1000(dev);

	loop_watch_del(e->watch);
	e->watch = NULL;
	card_reset(e);
	net_close(&e->net);
}

static void e1000_destroy(struct dev *dev)
{
	struct e1000 *e = dev_to_e1000(dev);

	net_close(&e->net);
	loop_watch_del(e->watch);
	if (e->itr_timer)
		loop_timer_del(e->itr_timer);
	pci_dev_unplug(&e->pdev);
	if (e->kick_fd >= 0)
		close(e->kick_fd);
	free(e->tx.buf);
}

static void e1000_reset(struct dev *dev)
{
	struct e1000 *e = dev_to_e1000(dev);

	pci_dev_reset(&e->pdev);
	e->io_addr = 0;
	e1000_phy_reset(e);
	card_reset(e);
}

static void e1000_describe(struct dev *dev, char *buf, size_t size)
{
	struct e1000 *e = dev_to_e1000(dev);
	struct mac_addr mac = e->mac;

	if (!mac.set)
		net_mac_derive(dev->vm->config.name, dev->id, &mac);
	snprintf(buf, size, "%s network, MAC %02x:%02x:%02x:%02x:%02x:%02x",
		 net_config_backend(&e->config), mac.b[0], mac.b[1], mac.b[2], mac.b[3], mac.b[4],
		 mac.b[5]);
}

static int e1000_set_link(struct dev *dev, bool up, struct err *err)
{
	(void)err;
	net_set_link(&dev_to_e1000(dev)->net, up);
	return 0;
}

static const struct dev_control e1000_control = { .set_link = e1000_set_link };

static const struct opt_field e1000_options[] = {
	{ "mac", OPT_MAC, offsetof(struct e1000, mac), 0, 0, false,
	  "address; derived from the guest's name and the device's id when not given" },
	NET_OPTIONS(struct e1000, config),
	OPT_END,
};

const struct dev_class e1000_class = {
	.name = "e1000",
	.help = "network card: Intel 82540EM, for a guest without virtio drivers",
	.size = sizeof(struct e1000),
	.options = e1000_options,
	.pci = &e1000_pci_ops,
	.probe = e1000_probe,
	.realize = e1000_realize,
	.quiesce = e1000_quiesce,
	.destroy = e1000_destroy,
	.reset = e1000_reset,
	.read = e1000_read,
	.write = e1000_write,
	.describe = e1000_describe,
	.control = &e1000_control,
};
