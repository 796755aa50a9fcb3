/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The card's parts: e1000.c registers, interrupts and life, e1000_nvm.c EEPROM and PHY, e1000_tx.c
 * and e1000_rx.c the two rings. Everything here runs with the device lock held, but for
 * e1000_nvm_init().
 */
#ifndef VIADUCT_EMULATED_E1000_PRIV_H
#define VIADUCT_EMULATED_E1000_PRIV_H

#include "vmm/loop.h"
#include "vmm/net.h"
#include "vmm/net_options.h"
#include "vmm/pci.h"

#include "e1000_regs.h"

#define E1000_EEPROM_WORDS 64u
#define E1000_PHY_REGS 32u
/* The largest frame that TSO cuts up: its header and a whole IP packet. */
#define E1000_TX_MAX (NET_FRAME_MAX + 256u)
/* Descriptors and segments that are handled before others have a turn. */
#define E1000_TX_BUDGET 256u

/* The Microwire EEPROM behind EECD. */
struct e1000_microwire {
	unsigned int bits; /* clocked in since CS rose */
	uint32_t in;
};

/* What a context descriptor says (3.3.6). */
struct e1000_context {
	uint8_t ipcss, ipcso, tucss, tucso, hdrlen, tucmd;
	uint16_t ipcse, tucse, mss;
};

struct e1000_tx {
	struct e1000_context context;
	uint8_t *buf; /* E1000_TX_MAX bytes: the frame in hand */
	uint32_t len;
	bool begun;    /* its first descriptor was seen */
	bool too_long; /* it is dropped at its end */
	bool whole;    /* its last one was: it is to be sent */
	uint8_t cmd, popts, cso, css; /* from its first and last descriptor */
	uint16_t vlan;
	/* TSO: where the next segment's header goes, and the header as it came. */
	uint32_t at;
	uint16_t segment;
	uint8_t header[256];
	bool full; /* the back end is: it calls when it is not */
};

struct e1000 {
	struct pci_dev pdev;
	/* options */
	struct mac_addr mac;
	struct net_config config;

	struct net net;
	uint32_t regs[REGS_END / 4];
	uint32_t io_addr; /* IOADDR */
	uint16_t eeprom[E1000_EEPROM_WORDS];
	struct e1000_microwire wire;
	uint16_t phy[E1000_PHY_REGS];
	bool link;
	struct e1000_tx tx;
	bool rx_waiting; /* a frame is kept until the guest gives buffers */
	bool rx_done;	 /* RXT0 is owed at the end of the burst */
	int kick_fd;	 /* work for the loop: TDT or RDT moved */
	bool kicked;
	struct loop_watch *watch;
	struct loop_timer *itr_timer;
	bool itr_armed;
	uint64_t itr_next_ns; /* no interrupt before */
	uint64_t dma_refused; /* addresses that are not RAM */
};

static inline uint32_t *e1000_reg(struct e1000 *e, unsigned int reg)
{
	return &e->regs[reg / 4];
}

/* May the card master the bus? */
bool e1000_dma_on(struct e1000 *e);
/* Guest memory, RAM alone; what is not RAM is refused, counted and logged. 0 or -EFAULT. */
int e1000_dma_read(struct e1000 *e, gpa_t gpa, void *buf, uint64_t len);
int e1000_dma_write(struct e1000 *e, gpa_t gpa, const void *buf, uint64_t len);
/* Sets causes and interrupts the guest, no sooner than ITR allows. */
void e1000_cause(struct e1000 *e, uint32_t causes);
/* The loop is to call e1000_tx_run() and to deliver what is kept. */
void e1000_kick(struct e1000 *e);
/* A statistic, which stays at its end (13.7). */
void e1000_count(struct e1000 *e, unsigned int reg);
void e1000_count_octets(struct e1000 *e, unsigned int reg_low, uint64_t n);

/* The EEPROM's contents (5.6) for e->mac. */
void e1000_nvm_init(struct e1000 *e);
void e1000_nvm_reset(struct e1000 *e);
void e1000_eecd_write(struct e1000 *e, uint32_t value);
uint32_t e1000_eecd_read(struct e1000 *e);
void e1000_eerd_write(struct e1000 *e, uint32_t value);
void e1000_mdic_write(struct e1000 *e, uint32_t value);
void e1000_phy_reset(struct e1000 *e);
/* PHY and STATUS say what e->link is. */
void e1000_link_show(struct e1000 *e);

/* Sends what the ring holds, up to the budget. */
void e1000_tx_run(struct e1000 *e);
/* Back to the state after realize; the buffer stays. */
void e1000_tx_reset(struct e1000 *e);

/* As net_peer_ops says. */
bool e1000_receive(void *nic, unsigned int queue, const struct iovec *iov, unsigned int count);
void e1000_receive_end(void *nic, unsigned int queue);

#endif
