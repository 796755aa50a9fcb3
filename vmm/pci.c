// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A PCI function: header, config space, capabilities, INTx. BARs are in pci_bar.c, messages in
 * pci_msi.c, the bus in pci_root.c.
 */
#include "pci.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "pci_priv.h"
#include "types.h"
#include "vm.h"

#define PCI_CAP_FIRST 0x40
#define PCI_COMMAND_GUEST                                                                          \
	(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |           \
	 PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE)
#define PCI_STATUS_W1C                                                                             \
	(PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT | PCI_STATUS_REC_TARGET_ABORT |           \
	 PCI_STATUS_REC_MASTER_ABORT | PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY)

void pci_dev_init(struct pci_dev *pdev, uint16_t vendor, uint16_t device, uint32_t class_rev,
		  uint16_t sub_vendor, uint16_t sub_device, unsigned int config_size)
{
	pdev->config_size = config_size;
	pdev->cap_next = PCI_CAP_FIRST;
	put_le16(pdev->config + PCI_VENDOR_ID, vendor);
	put_le16(pdev->config + PCI_DEVICE_ID, device);
	put_le32(pdev->config + PCI_CLASS_REVISION, class_rev);
	put_le16(pdev->config + PCI_SUBSYSTEM_VENDOR_ID, sub_vendor);
	put_le16(pdev->config + PCI_SUBSYSTEM_ID, sub_device);
	put_le16(pdev->wmask + PCI_COMMAND, PCI_COMMAND_GUEST);
	put_le16(pdev->w1c + PCI_STATUS, PCI_STATUS_W1C);
	pdev->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
	pdev->wmask[PCI_INTERRUPT_LINE] = 0xff;
}

/* An empty port is made use of while the guest runs; before, each device gets one of its own. */
static int pci_dev_pick_port(struct pci_dev *pdev, struct err *err)
{
	struct vm *vm = pdev->dev.vm;
	struct pci_port *port = pdev->beside ? pdev->beside->port : NULL;
	char id[80];
	int ret = 0;

	if (!pdev->beside && pdev->behind_port && vm->pci->placed) {
		for (port = vm->pci->root_ports; port && !pci_port_empty(port); port = port->next)
			;
		if (!port)
			return err_set(err, -ENOSPC, "%s: the running guest has no empty port",
				       pdev->dev.id);
	} else if (!pdev->beside && pdev->behind_port) {
		snprintf(id, sizeof(id), "%s-port", pdev->dev.id);
		ret = pci_port_new(vm, id, &port, err);
	}
	if (ret || !port)
		return ret;
	dev_get(&port->pdev.dev);
	pdev->port = port;
	return 0;
}

int pci_dev_plug(struct pci_dev *pdev, struct err *err)
{
	int ret;

	pdev->saved = malloc(pdev->config_size);
	if (!pdev->saved)
		return err_sys(err, -ENOMEM, "%s", pdev->dev.id);
	ret = pci_messages_promise(pdev, err);
	if (!ret)
		ret = pci_dev_pick_port(pdev, err);
	if (!ret)
		ret = pci_root_plug(pdev->dev.vm->pci, pdev, err);
	if (ret)
		return ret;
	memcpy(pdev->saved, pdev->config, pdev->config_size);
	pci_irq_update(pdev);
	if (pdev->port && pdev->root->placed)
		pci_port_arrived(pdev->port);
	return 0;
}

void pci_dev_leave(struct pci_dev *pdev)
{
	struct pci_root *root = pdev->root;

	if (root)
		pci_root_unplug(root, pdev);
	pci_bars_forget(pdev);
	if (root)
		pci_bars_retry(root);
	if (pdev->port) {
		pci_port_vacated(pdev->port);
		dev_put(&pdev->port->pdev.dev);
		pdev->port = NULL;
	}
}

void pci_dev_unplug(struct pci_dev *pdev)
{
	pci_dev_leave(pdev);
	pci_messages_done(pdev);
	irq_line_done(&pdev->intx);
	free(pdev->saved);
	pdev->saved = NULL;
}

void pci_dev_reset(struct pci_dev *pdev)
{
	if (!pdev->saved)
		return;
	memcpy(pdev->config, pdev->saved, pdev->config_size);
	if (pdev->cold)
		pci_bars_clear(pdev);
	pci_messages_reset(pdev);
	if (pdev->intx_emulated && pdev->intx.irqs)
		irq_line_set(&pdev->intx, false);
	pdev->intx_level = false;
	pci_bars_update(pdev);
	pci_irq_update(pdev);
}

void pci_dev_sleep(struct pci_dev *pdev, bool asleep)
{
	if (pdev->asleep == asleep)
		return;
	pdev->asleep = asleep;
	pci_bars_update(pdev);
}

void pci_dev_flr(struct pci_dev *pdev)
{
	uint8_t *command = pdev->config + PCI_COMMAND;

	put_le16(command, get_le16(command) & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
	if (pdev->msix.cap)
		put_le16(pdev->config + pdev->msix.cap + PCI_MSIX_FLAGS,
			 (uint16_t)(pdev->msix.count - 1));
	if (pdev->msi.cap)
		pdev->config[pdev->msi.cap + PCI_MSI_FLAGS] &=
			(uint8_t)~(PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	pci_messages_reset(pdev);
	pci_irq_update(pdev);
}

uint8_t pci_cap_add(struct pci_dev *pdev, uint8_t id, uint8_t len)
{
	unsigned int at = pdev->cap_next, next = align_up(at + len, 4);
	unsigned int link = PCI_CAPABILITY_LIST, steps;

	if (next > PCI_CONFIG_SIZE)
		return 0;
	/* The list keeps the order in which the capabilities were added. */
	for (steps = 0; pdev->config[link] && steps < PCI_CONFIG_SIZE / 4; steps++)
		link = pdev->config[link] + PCI_CAP_LIST_NEXT;
	pdev->config[link] = (uint8_t)at;
	pdev->config[at + PCI_CAP_LIST_ID] = id;
	pdev->config[at + PCI_CAP_LIST_NEXT] = 0;
	pdev->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	pdev->cap_next = (uint8_t)(next == PCI_CONFIG_SIZE ? PCI_CONFIG_SIZE - 1 : next);
	return (uint8_t)at;
}

uint8_t pci_cap_pcie(struct pci_dev *pdev)
{
	/* PCIe 4.0, 7.5.3: version 2; on bus 0 a root complex integrated endpoint, which has no
	 * link registers. */
	bool port = pci_dev_wants_port(pdev);
	uint8_t cap = pci_cap_add(pdev, PCI_CAP_ID_EXP, port ? PCI_EXP_SIZEOF : PCI_EXP_LNKCAP);

	if (cap)
		put_le16(pdev->config + cap + PCI_EXP_FLAGS,
			 2 | (port ? PCI_EXP_TYPE_ENDPOINT : PCI_EXP_TYPE_RC_END) << 4);
	if (cap && port)
		pci_link_set(pdev, cap, pdev->link);
	return cap;
}

void pci_intx_enable(struct pci_dev *pdev, bool emulated)
{
	pdev->config[PCI_INTERRUPT_PIN] = 1;
	pdev->intx_emulated = emulated;
}

static bool pci_intx_masked(const struct pci_dev *pdev)
{
	return get_le16(pdev->config + PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE;
}

/* What an emulated function drives onto its pin: the level unless it is masked. The descriptors are
 * made at the first interrupt: a guest that uses messages never pays for them. */
static void pci_intx_drive(struct pci_dev *pdev)
{
	bool level = pdev->intx_level && pdev->irq_mode == PCI_IRQ_INTX;
	struct err err = { 0 };

	if (!pdev->intx.irqs) {
		if (!level)
			return;
		if (pci_intx_line(pdev, &err) ||
		    irq_line_attach(&pdev->intx, true, &pdev->dev.lock, &err)) {
			log_line(pdev->dev.vm->log, LOG_ERROR, "%s: INTx stays silent: %s",
				 pdev->dev.id, err.msg);
			return;
		}
	}
	irq_line_set(&pdev->intx, level);
}

int pci_intx_line(struct pci_dev *pdev, struct err *err)
{
	/* Behind a port the device number is 0, so the port's pins are the function's (PCIe 4.0,
	 * 2.2.8.1). */
	unsigned int slot = (pdev->port ? pdev->port->pdev.devfn : pdev->devfn) >> 3;
	unsigned int pin = pdev->config[PCI_INTERRUPT_PIN];

	if (pdev->intx.irqs)
		return 0;
	return irq_line_init(&pdev->intx, pdev->dev.vm,
			     GSI_PCI_FIRST + (slot + pin - 1) % GSI_PCI_COUNT, err);
}

void pci_intx_set(struct pci_dev *pdev, bool level)
{
	if (pdev->intx_level == level)
		return;
	pdev->intx_level = level;
	if (level)
		pdev->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
	else
		pdev->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
	pci_intx_drive(pdev);
}

void pci_irq_update(struct pci_dev *pdev)
{
	enum pci_irq_mode mode = PCI_IRQ_NONE;

	if (pdev->msix.enabled)
		mode = PCI_IRQ_MSIX;
	else if (pdev->msi.enabled)
		mode = PCI_IRQ_MSI;
	else if (pdev->config[PCI_INTERRUPT_PIN] && !pci_intx_masked(pdev))
		mode = PCI_IRQ_INTX;
	if (mode == pdev->irq_mode)
		return;
	pdev->irq_mode = mode;
	pdev->vectors_silent = false;
	if (pdev->dev.class->pci->irq_mode)
		pdev->dev.class->pci->irq_mode(pdev, mode);
	/* Only now nobody holds the descriptors of a mode that was left. */
	pci_messages_prune(pdev);
	if (pdev->intx_emulated)
		pci_intx_drive(pdev);
}

uint32_t pci_config_plain_read(struct pci_dev *pdev, unsigned int offset, unsigned int size)
{
	uint32_t value = 0;

	memcpy(&value, pdev->config + offset, size);
	return le32toh(value);
}

static bool pci_config_valid(const struct pci_dev *pdev, unsigned int offset, unsigned int size)
{
	return size && size <= 4 && span_within(offset, size, pdev->config_size);
}

uint32_t pci_config_read(struct pci_dev *pdev, unsigned int offset, unsigned int size)
{
	const struct pci_ops *ops = pdev->dev.class->pci;

	if (!pci_config_valid(pdev, offset, size))
		return (uint32_t)all_ones(size < 4 ? size : 4);
	pci_msi_refresh(pdev, offset, size);
	if (ops->config_read)
		return ops->config_read(pdev, offset, size);
	return pci_config_plain_read(pdev, offset, size);
}

void pci_config_write(struct pci_dev *pdev, unsigned int offset, unsigned int size, uint32_t value)
{
	const struct pci_ops *ops = pdev->dev.class->pci;
	unsigned int i;

	if (!pci_config_valid(pdev, offset, size))
		return;
	for (i = 0; i < size; i++) {
		unsigned int at = offset + i;
		uint8_t byte = (uint8_t)(value >> (8 * i));

		pdev->config[at] = (uint8_t)((pdev->config[at] & ~pdev->wmask[at]) |
					     (byte & pdev->wmask[at]));
		pdev->config[at] &= (uint8_t)~(byte & pdev->w1c[at]);
	}
	if (span_overlaps(offset, size, PCI_COMMAND, 2) ||
	    span_overlaps(offset, size, PCI_BASE_ADDRESS_0, 24) ||
	    span_overlaps(offset, size, PCI_ROM_ADDRESS, 4))
		pci_bars_update(pdev);
	pci_messages_update(pdev, offset, size);
	pci_irq_update(pdev);
	if (ops->config_written)
		ops->config_written(pdev, offset, size, value);
}
