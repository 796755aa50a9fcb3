// SPDX-License-Identifier: GPL-2.0-or-later
#include "pci_port.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "pci_priv.h"
#include "vm.h"

/* Red Hat's id for a PCI Express root port that no hardware has. */
#define PORT_VENDOR 0x1b36
#define PORT_DEVICE 0x000c
#define PORT_CLASS 0x060400u

#define EXP_VERSION 2u

/* A link that nobody knows better: it must not look like what limits a function. */
#define LINK_SPEED PCI_EXP_LNKSTA_CLS_16_0GB
#define LINK_WIDTH 16u

#define SLOT_CAPS                                                                                  \
	(PCI_EXP_SLTCAP_ABP | PCI_EXP_SLTCAP_PCP | PCI_EXP_SLTCAP_AIP | PCI_EXP_SLTCAP_PIP |       \
	 PCI_EXP_SLTCAP_HPS | PCI_EXP_SLTCAP_HPC)
#define SLOT_EVENTS                                                                                \
	(PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PFD | PCI_EXP_SLTSTA_MRLSC | PCI_EXP_SLTSTA_PDC |     \
	 PCI_EXP_SLTSTA_CC)
#define SLOT_CONTROLS                                                                              \
	(SLOT_EVENTS | PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_AIC | PCI_EXP_SLTCTL_PIC |             \
	 PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_DLLSCE)

#define BRIDGE_W1C                                                                                 \
	(PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT | PCI_STATUS_REC_TARGET_ABORT |           \
	 PCI_STATUS_REC_MASTER_ABORT | PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY)

static uint8_t *port_reg(const struct pci_port *port, unsigned int offset)
{
	return (uint8_t *)port->pdev.config + port->cap + offset;
}

static void port_bits(const struct pci_port *port, unsigned int offset, uint16_t clear,
		      uint16_t set)
{
	uint8_t *reg = port_reg(port, offset);

	put_le16(reg, (uint16_t)((get_le16(reg) & ~clear) | set));
}

bool pci_port_empty(const struct pci_port *port)
{
	unsigned int f;

	for (f = 0; f < PCI_FUNCTIONS; f++)
		if (port->functions[f])
			return false;
	return true;
}

/* Routing. */

bool pci_port_forwards(const struct pci_port *port, bool io, uint64_t addr, uint64_t size)
{
	unsigned int w, first = io ? PCI_WINDOW_IO : PCI_WINDOW_MEM32;
	unsigned int last = io ? PCI_WINDOW_IO : PCI_WINDOW_MEM64;

	for (w = first; w <= last && port->link; w++) {
		const struct pci_span *span = &port->windows[w];

		if (addr >= span->base && span_within(addr - span->base, size, span->size))
			return true;
	}
	return false;
}

struct pci_dev *pci_port_find(const struct pci_port *port, unsigned int bus, unsigned int devfn)
{
	/* PCIe 4.0, 7.3.1: a port hands on what is for device 0, and answers for all others. */
	if (!port->link || bus != port->secondary || bus > port->subordinate ||
	    devfn >= PCI_FUNCTIONS)
		return NULL;
	return port->functions[devfn];
}

/* PCI-to-PCI Bridge 1.2, 3.2.5: @limit is the last address. */
static struct pci_span port_span(bool on, uint64_t base, uint64_t limit)
{
	struct pci_span span = { .base = base, .size = limit - base + 1 };

	if (!on || limit < base)
		span = (struct pci_span){ 0 };
	return span;
}

static void port_decode(const struct pci_port *port, struct pci_span *spans)
{
	const uint8_t *c = port->pdev.config;
	uint16_t command = get_le16(c + PCI_COMMAND);
	bool io = command & PCI_COMMAND_IO, mem = command & PCI_COMMAND_MEMORY;
	uint64_t pref_base = (uint64_t)get_le32(c + PCI_PREF_BASE_UPPER32) << 32;
	uint64_t pref_limit = (uint64_t)get_le32(c + PCI_PREF_LIMIT_UPPER32) << 32;

	pref_base |= (uint64_t)(get_le16(c + PCI_PREF_MEMORY_BASE) & 0xfff0u) << 16;
	pref_limit |= (uint64_t)(get_le16(c + PCI_PREF_MEMORY_LIMIT) & 0xfff0u) << 16 | 0xfffff;
	/* Without a writable base there is no I/O window, and its zeros mean nothing. */
	io = io && port->pdev.wmask[PCI_IO_BASE];
	spans[PCI_WINDOW_IO] = port_span(io, (c[PCI_IO_BASE] & 0xf0ull) << 8,
					 (c[PCI_IO_LIMIT] & 0xf0ull) << 8 | 0xfff);
	spans[PCI_WINDOW_MEM32] =
		port_span(mem, (get_le16(c + PCI_MEMORY_BASE) & 0xfff0ull) << 16,
			  (get_le16(c + PCI_MEMORY_LIMIT) & 0xfff0ull) << 16 | 0xfffff);
	spans[PCI_WINDOW_MEM64] = port_span(mem, pref_base, pref_limit);
}

/* What the header says becomes what is routed. */
static void port_route(struct pci_port *port)
{
	struct pci_root *root = port->pdev.root;
	struct pci_span spans[PCI_WINDOWS];

	if (!root)
		return;
	port_decode(port, spans);
	pthread_mutex_lock(&root->lock);
	port->secondary = port->pdev.config[PCI_SECONDARY_BUS];
	port->subordinate = port->pdev.config[PCI_SUBORDINATE_BUS];
	if (memcmp(port->windows, spans, sizeof(spans)) != 0) {
		memcpy(port->windows, spans, sizeof(spans));
		pci_bars_rerouted_locked(port);
	}
	pthread_mutex_unlock(&root->lock);
}

/* Slot and link. */

/* 6.7.3.4: a message each time that "some enabled event is pending" becomes true. */
static void port_irq_update(struct pci_port *port)
{
	uint16_t control = get_le16(port_reg(port, PCI_EXP_SLTCTL));
	uint16_t status = get_le16(port_reg(port, PCI_EXP_SLTSTA));
	bool irq = status & control & SLOT_EVENTS;

	if ((status & PCI_EXP_SLTSTA_DLLSC) && (control & PCI_EXP_SLTCTL_DLLSCE))
		irq = true;
	irq = irq && (control & PCI_EXP_SLTCTL_HPIE);
	if (irq && !port->irq)
		pci_vector_fire(&port->pdev, 0);
	port->irq = irq;
}

static bool port_link_wanted(const struct pci_port *port)
{
	return port->present && !(get_le16(port_reg(port, PCI_EXP_SLTCTL)) & PCI_EXP_SLTCTL_PCC) &&
	       !(get_le16(port_reg(port, PCI_EXP_LNKCTL)) & PCI_EXP_LNKCTL_LD) &&
	       !(port->pdev.config[PCI_BRIDGE_CONTROL] & PCI_BRIDGE_CTL_BUS_RESET);
}

static void port_link_set(struct pci_port *port, bool up)
{
	struct pci_root *root = port->pdev.root;

	if (!root)
		return;
	pthread_mutex_lock(&root->lock);
	port->link = up;
	pci_bars_rerouted_locked(port);
	pthread_mutex_unlock(&root->lock);
	port_bits(port, PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_DLLLA, up ? PCI_EXP_LNKSTA_DLLLA : 0);
}

/* After a hot reset no firmware runs: the function comes up with its BARs at nothing. */
static void port_functions_reset(struct pci_port *port)
{
	unsigned int f;

	for (f = 0; f < PCI_FUNCTIONS; f++) {
		struct pci_dev *pdev = port->functions[f];

		if (!pdev || !pdev->dev.class->reset)
			continue;
		pthread_mutex_lock(&pdev->dev.lock);
		pdev->cold = true;
		pdev->dev.class->reset(&pdev->dev);
		pdev->cold = false;
		pthread_mutex_unlock(&pdev->dev.lock);
	}
}

/* True when the guest was asked for what is in the slot: then all of it is gone now. */
static bool port_let_go(struct pci_port *port)
{
	unsigned int f;

	for (f = 0; f < PCI_FUNCTIONS; f++)
		if (port->functions[f] && dev_unplug_let_go(&port->functions[f]->dev))
			return true;
	return false;
}

/* Loop thread, no lock held: what could not be done in the access that brought it about. */
static void port_settle(void *opaque)
{
	struct pci_port *port = opaque;
	pthread_mutex_t *lock = &port->pdev.dev.lock;
	bool stale;

	pthread_mutex_lock(lock);
	port->settling = false;
	stale = port->stale;
	port->stale = false;
	pthread_mutex_unlock(lock);
	if (stale && !port_let_go(port))
		port_functions_reset(port);
	pthread_mutex_lock(lock);
	if (port->arrived && !port->present && !pci_port_empty(port)) {
		port->present = true;
		port_bits(port, PCI_EXP_SLTSTA, 0, PCI_EXP_SLTSTA_PDS | PCI_EXP_SLTSTA_PDC);
	}
	port->arrived = false;
	if (!port->link && !port->stale && port_link_wanted(port)) {
		port_link_set(port, true);
		port_bits(port, PCI_EXP_SLTSTA, 0, PCI_EXP_SLTSTA_DLLSC);
	}
	port_irq_update(port);
	pthread_mutex_unlock(lock);
	dev_put(&port->pdev.dev);
}

static void port_settle_later(struct pci_port *port)
{
	struct dev *dev = &port->pdev.dev;

	if (port->settling || dev->removed)
		return;
	dev_get(dev);
	if (loop_post(dev->vm->loop, port_settle, port)) {
		dev_put(dev);
		log_limited(dev->vm->log, &port->pdev.limit, LOG_ERROR,
			    "%s: no memory: its link stays down", dev->id);
		return;
	}
	port->settling = true;
}

static void port_link_update(struct pci_port *port)
{
	bool want = port_link_wanted(port);

	if (port->link && !want) {
		port_link_set(port, false);
		port_bits(port, PCI_EXP_SLTSTA, 0, PCI_EXP_SLTSTA_DLLSC);
		port->stale = true;
	}
	if (port->stale || port->link != want)
		port_settle_later(port);
}

void pci_port_press(struct pci_port *port)
{
	pthread_mutex_lock(&port->pdev.dev.lock);
	port_bits(port, PCI_EXP_SLTSTA, 0, PCI_EXP_SLTSTA_ABP);
	port_irq_update(port);
	pthread_mutex_unlock(&port->pdev.dev.lock);
}

void pci_port_arrived(struct pci_port *port)
{
	pthread_mutex_lock(&port->pdev.dev.lock);
	port->arrived = true;
	port_settle_later(port);
	pthread_mutex_unlock(&port->pdev.dev.lock);
}

void pci_port_vacated(struct pci_port *port)
{
	struct pci_root *root = port->pdev.root;

	/* Made for a device that could not be had after all: no guest has seen it. */
	if (root && !root->placed && pci_port_empty(port)) {
		dev_remove(&port->pdev.dev);
		return;
	}
	pthread_mutex_lock(&port->pdev.dev.lock);
	if (port->present && pci_port_empty(port)) {
		port->present = false;
		port->stale = false;
		port_bits(port, PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDS, PCI_EXP_SLTSTA_PDC);
		port_link_update(port);
		port->stale = false;
		port_irq_update(port);
	}
	pthread_mutex_unlock(&port->pdev.dev.lock);
}

static void port_config_written(struct pci_dev *pdev, unsigned int offset, unsigned int size,
				uint32_t value)
{
	struct pci_port *port = to_pci_port(pdev);

	(void)value;
	if (offset < PCI_STD_HEADER_SIZEOF)
		port_route(port);
	/* 6.7.3.2: every write is a command; here it is done when the write is. */
	if (span_overlaps(offset, size, port->cap + PCI_EXP_SLTCTL, 2u))
		port_bits(port, PCI_EXP_SLTSTA, 0, PCI_EXP_SLTSTA_CC);
	port_link_update(port);
	port_irq_update(port);
}

/* Registers. */

void pci_link_set(struct pci_dev *pdev, unsigned int cap, struct pci_link link)
{
	uint8_t *c = pdev->config + cap, *w = pdev->wmask + cap;
	uint16_t status;

	if (cap + PCI_EXP_SLTCAP > PCI_CONFIG_SIZE)
		return;
	if (!link.speed || !link.width)
		link = (struct pci_link){ LINK_SPEED, LINK_WIDTH };
	status = (uint16_t)(link.speed | link.width << PCI_EXP_LNKSTA_NLW_SHIFT);
	put_le32(c + PCI_EXP_LNKCAP, (get_le32(c + PCI_EXP_LNKCAP) & ~(uint32_t)0x3ff) | status);
	put_le16(c + PCI_EXP_LNKSTA, (uint16_t)((get_le16(c + PCI_EXP_LNKSTA) & ~0x3ffu) | status));
	put_le16(w + PCI_EXP_LNKCTL, get_le16(w + PCI_EXP_LNKCTL) | PCI_EXP_LNKCTL_RCB |
					     PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_ES);
	if ((get_le16(c + PCI_EXP_FLAGS) & PCI_EXP_FLAGS_VERS) < 2 ||
	    cap + PCI_EXP_SLTCAP2 > PCI_CONFIG_SIZE)
		return;
	/* Bit n: the nth speed. */
	put_le32(c + PCI_EXP_LNKCAP2, (2u << link.speed) - 2);
	put_le16(c + PCI_EXP_LNKCTL2, link.speed);
	put_le16(w + PCI_EXP_LNKCTL2, PCI_EXP_LNKCTL2_TLS);
}

static void port_header_init(struct pci_dev *pdev)
{
	uint8_t *c = pdev->config, *w = pdev->wmask;

	c[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
	memset(w + PCI_PRIMARY_BUS, 0xff, 3);
	put_le16(pdev->w1c + PCI_SEC_STATUS, BRIDGE_W1C);
	/* Closed: the base is above the limit. */
	put_le16(c + PCI_MEMORY_BASE, 0xfff0);
	put_le16(w + PCI_MEMORY_BASE, 0xfff0);
	put_le16(w + PCI_MEMORY_LIMIT, 0xfff0);
	put_le16(c + PCI_PREF_MEMORY_BASE, 0xfff0 | PCI_PREF_RANGE_TYPE_64);
	put_le16(c + PCI_PREF_MEMORY_LIMIT, PCI_PREF_RANGE_TYPE_64);
	put_le16(w + PCI_PREF_MEMORY_BASE, 0xfff0);
	put_le16(w + PCI_PREF_MEMORY_LIMIT, 0xfff0);
	memset(w + PCI_PREF_BASE_UPPER32, 0xff, 8);
	put_le16(w + PCI_BRIDGE_CONTROL,
		 PCI_BRIDGE_CTL_PARITY | PCI_BRIDGE_CTL_SERR | PCI_BRIDGE_CTL_BUS_RESET);
}

static void port_exp_init(struct pci_port *port, uint8_t cap)
{
	struct pci_dev *pdev = &port->pdev;
	uint8_t *c = pdev->config + cap, *w = pdev->wmask + cap;
	uint32_t slot = pdev->devfn >> 3u;

	port->cap = cap;
	put_le16(c + PCI_EXP_FLAGS, EXP_VERSION | PCI_EXP_TYPE_ROOT_PORT << 4 | PCI_EXP_FLAGS_SLOT);
	put_le32(c + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER | 1); /* payload up to 256 bytes */
	put_le16(w + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE |
					     PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE |
					     PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_READRQ);
	put_le32(c + PCI_EXP_LNKCAP, PCI_EXP_LNKCAP_DLLLARC | slot << 24);
	put_le16(w + PCI_EXP_LNKCTL, PCI_EXP_LNKCTL_LD);
	put_le32(c + PCI_EXP_SLTCAP, SLOT_CAPS | slot << 19);
	put_le16(w + PCI_EXP_SLTCTL, SLOT_CONTROLS);
	put_le16(pdev->w1c + cap + PCI_EXP_SLTSTA, SLOT_EVENTS | PCI_EXP_SLTSTA_DLLSC);
	put_le16(w + PCI_EXP_RTCTL, PCI_EXP_RTCTL_SECEE | PCI_EXP_RTCTL_SENFEE |
					    PCI_EXP_RTCTL_SEFEE | PCI_EXP_RTCTL_PMEIE);
	pci_link_set(pdev, cap, pdev->link);
}

/* Power management is required of every PCI Express function (PCIe 4.0, 7.5.2); it sleeps without
 * forgetting. */
static void port_pm_init(struct pci_dev *pdev, uint8_t cap)
{
	put_le16(pdev->config + cap + PCI_PM_PMC, 3);
	put_le16(pdev->config + cap + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
	put_le16(pdev->wmask + cap + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
}

static int port_realize(struct dev *dev, struct err *err)
{
	struct pci_dev *pdev = to_pci(dev);
	struct pci_port *port = to_pci_port(pdev), **p;
	uint8_t exp, pm;
	int ret;

	pci_dev_init(pdev, PORT_VENDOR, PORT_DEVICE, PORT_CLASS << 8, 0, 0, PCIE_CONFIG_SIZE);
	port_header_init(pdev);
	pm = pci_cap_add(pdev, PCI_CAP_ID_PM, PCI_PM_SIZEOF);
	exp = pci_cap_add(pdev, PCI_CAP_ID_EXP, PCI_EXP_SIZEOF);
	/* As plain as MSI can be, for each register is an exit of the boot. */
	ret = pci_msi_init(pdev, 0, 1, false, false, err);
	if (!ret)
		ret = pci_dev_plug(pdev, err);
	if (ret)
		return ret;
	port_pm_init(pdev, pm);
	port_exp_init(port, exp);
	memcpy(pdev->saved, pdev->config, pdev->config_size);
	pthread_mutex_lock(&pdev->root->lock);
	for (p = &pdev->root->root_ports; *p; p = &(*p)->next)
		;
	*p = port;
	pthread_mutex_unlock(&pdev->root->lock);
	return 0;
}

static void port_quiesce(struct dev *dev)
{
	struct pci_root *root = to_pci(dev)->root;
	struct pci_port **p;

	pthread_mutex_lock(&root->lock);
	for (p = &root->root_ports; *p && &(*p)->pdev.dev != dev; p = &(*p)->next)
		;
	if (*p)
		*p = (*p)->next;
	pthread_mutex_unlock(&root->lock);
}

static void port_destroy(struct dev *dev)
{
	pci_dev_unplug(to_pci(dev));
}

/* As at power-on: an occupied slot is on, an empty one off. No event. */
static void port_slot_reset(struct pci_port *port)
{
	port_bits(port, PCI_EXP_SLTCTL, SLOT_CONTROLS,
		  PCI_EXP_SLTCTL_ATTN_IND_OFF |
			  (port->present ? PCI_EXP_SLTCTL_PWR_IND_ON
					 : PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PCC));
	port_bits(port, PCI_EXP_SLTSTA, 0xffff, port->present ? PCI_EXP_SLTSTA_PDS : 0);
	port->arrived = port->stale = port->irq = false;
	port_link_set(port, port->present);
}

static void port_reset(struct dev *dev)
{
	struct pci_port *port = to_pci_port(to_pci(dev));

	pci_dev_reset(&port->pdev);
	port->present = !pci_port_empty(port);
	port_route(port);
	port_slot_reset(port);
}

static const struct pci_ops port_pci_ops = { .config_written = port_config_written };

static const struct dev_class port_class = {
	.name = "root-port",
	.size = sizeof(struct pci_port),
	.pci = &port_pci_ops,
	.realize = port_realize,
	.quiesce = port_quiesce,
	.destroy = port_destroy,
	.reset = port_reset,
};

int pci_port_new(struct vm *vm, const char *id, struct pci_port **ret_port, struct err *err)
{
	struct dev *dev;
	int ret = dev_new(vm, &port_class, id, &dev, err);

	if (!ret)
		ret = dev_add(dev, err);
	if (!ret)
		*ret_port = to_pci_port(to_pci(dev));
	return ret;
}

/* Firmware's part. */

void pci_port_set_bus(struct pci_port *port, uint8_t bus)
{
	port->pdev.config[PCI_SECONDARY_BUS] = bus;
	port->pdev.config[PCI_SUBORDINATE_BUS] = bus;
}

void pci_port_set_window(struct pci_port *port, enum pci_window window, uint64_t base,
			 uint64_t size)
{
	uint8_t *c = port->pdev.config, *w = port->pdev.wmask;
	uint64_t last = base + size - 1;

	switch (window) {
	case PCI_WINDOW_IO:
		c[PCI_IO_BASE] = (uint8_t)(base >> 8 & 0xf0);
		c[PCI_IO_LIMIT] = (uint8_t)(last >> 8 & 0xf0);
		w[PCI_IO_BASE] = w[PCI_IO_LIMIT] = 0xf0;
		break;
	case PCI_WINDOW_MEM32:
		put_le16(c + PCI_MEMORY_BASE, (uint16_t)(base >> 16 & 0xfff0));
		put_le16(c + PCI_MEMORY_LIMIT, (uint16_t)(last >> 16 & 0xfff0));
		break;
	case PCI_WINDOW_MEM64:
		put_le16(c + PCI_PREF_MEMORY_BASE,
			 (uint16_t)(base >> 16 & 0xfff0) | PCI_PREF_RANGE_TYPE_64);
		put_le16(c + PCI_PREF_MEMORY_LIMIT,
			 (uint16_t)(last >> 16 & 0xfff0) | PCI_PREF_RANGE_TYPE_64);
		put_le32(c + PCI_PREF_BASE_UPPER32, (uint32_t)(base >> 32));
		put_le32(c + PCI_PREF_LIMIT_UPPER32, (uint32_t)(last >> 32));
		break;
	case PCI_WINDOWS:
		break;
	}
}

void pci_port_start(struct pci_port *port)
{
	struct pci_dev *pdev = &port->pdev;
	unsigned int f;

	for (f = 0; f < PCI_FUNCTIONS; f++)
		if (port->functions[f] && port->functions[f]->link.speed)
			pdev->link = port->functions[f]->link;
	pci_link_set(pdev, port->cap, pdev->link);
	put_le16(pdev->config + PCI_COMMAND,
		 PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	memcpy(pdev->saved, pdev->config, pdev->config_size);
	port->present = !pci_port_empty(port);
	port_route(port);
	port_slot_reset(port);
}

unsigned int pci_dev_bus(const struct pci_dev *pdev)
{
	return pdev->port ? pdev->port->secondary : 0;
}

bool pci_dev_askable(struct pci_dev *pdev)
{
	struct pci_root *root = pdev->root;
	bool askable;

	if (!root || !pdev->port)
		return false;
	pthread_mutex_lock(&root->lock);
	askable = root->placed && pdev->port->link;
	pthread_mutex_unlock(&root->lock);
	return askable;
}
