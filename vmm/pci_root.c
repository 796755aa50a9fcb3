// SPDX-License-Identifier: GPL-2.0-or-later
/* The root bus: config access by ECAM (PCIe 4.0, 7.2.2) and by ports 0xcf8/0xcfc (PCI 3.0, 3.2.2.3),
 * the reset control register at 0xcf9, and the host bridge function at 00.0. */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "pci_priv.h"
#include "types.h"
#include "vm.h"

/* Red Hat's PCIe host bridge ids: what a guest knows as a generic PC root. */
#define HOST_BRIDGE_VENDOR 0x1b36
#define HOST_BRIDGE_DEVICE 0x0008
#define HOST_BRIDGE_CLASS 0x060000u

enum { ROOT_ECAM, ROOT_PORTS };

#define PORT_ADDRESS 0
#define PORT_RESET 1
#define PORT_DATA 4

static struct pci_root *to_root(struct dev *dev)
{
	return container_of(dev, struct pci_root, dev);
}

/* The function at (bus, devfn) with a reference, or NULL. */
static struct pci_dev *pci_root_find(struct pci_root *root, unsigned int bus, unsigned int devfn)
{
	const struct pci_port *port;
	struct pci_dev *pdev = NULL;

	pthread_mutex_lock(&root->lock);
	if (!bus)
		pdev = root->slots[devfn];
	for (port = root->root_ports; port && bus && !pdev; port = port->next)
		pdev = pci_port_find(port, bus, devfn);
	if (pdev)
		dev_get(&pdev->dev);
	pthread_mutex_unlock(&root->lock);
	return pdev;
}

static uint32_t pci_root_config(struct pci_root *root, uint32_t address, unsigned int size,
				uint32_t value, bool write)
{
	/* ECAM's own layout: bus 27:20, device and function 19:12, register 11:0. */
	struct pci_dev *pdev = pci_root_find(root, address >> 20 & 0xff, address >> 12 & 0xff);
	uint32_t result = (uint32_t)all_ones(size);

	if (!pdev)
		return result;
	pthread_mutex_lock(&pdev->dev.lock);
	if (write && !pdev->dev.removed)
		pci_config_write(pdev, address & 0xfff, size, value);
	else if (!write && !pdev->dev.removed)
		result = pci_config_read(pdev, address & 0xfff, size);
	pthread_mutex_unlock(&pdev->dev.lock);
	dev_put(&pdev->dev);
	return result;
}

/* The register that 0xcf8 selects, in ECAM's layout; false when bit 31 is clear. */
static bool pci_root_selected(const struct pci_root *root, uint64_t offset, uint32_t *ret_address)
{
	uint32_t a = root->address;

	*ret_address = (a >> 8 & 0xffff) << 12 | (a & 0xfc) | (uint32_t)(offset - PORT_DATA);
	return a & BIT(31);
}

static uint64_t pci_root_ports_read(struct pci_root *root, uint64_t offset, unsigned int size)
{
	uint32_t address;

	if (offset == PORT_ADDRESS && size == 4)
		return root->address;
	if (offset >= PORT_DATA && pci_root_selected(root, offset, &address))
		return pci_root_config(root, address, size, 0, false);
	return all_ones(size);
}

static void pci_root_ports_write(struct pci_root *root, uint64_t offset, unsigned int size,
				 uint64_t value)
{
	uint32_t address;

	if (offset == PORT_ADDRESS && size == 4)
		root->address = (uint32_t)value & 0x80fffffc;
	else if (offset == PORT_RESET && size == 1 && (value & 4))
		vm_request(root->dev.vm, VM_RESET, "reset control register");
	else if (offset >= PORT_DATA && pci_root_selected(root, offset, &address))
		pci_root_config(root, address, size, (uint32_t)value, true);
}

static uint64_t pci_root_read(struct dev *dev, unsigned int range, uint64_t offset,
			      unsigned int size)
{
	struct pci_root *root = to_root(dev);
	uint64_t high;

	if (range == ROOT_PORTS)
		return pci_root_ports_read(root, offset, size);
	if (size < 8)
		return pci_root_config(root, (uint32_t)offset, size, 0, false);
	high = pci_root_config(root, (uint32_t)offset + 4, 4, 0, false);
	return high << 32 | pci_root_config(root, (uint32_t)offset, 4, 0, false);
}

static void pci_root_write(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size,
			   uint64_t value)
{
	struct pci_root *root = to_root(dev);

	if (range == ROOT_PORTS) {
		pci_root_ports_write(root, offset, size, value);
		return;
	}
	pci_root_config(root, (uint32_t)offset, MIN(size, 4u), (uint32_t)value, true);
	if (size == 8)
		pci_root_config(root, (uint32_t)offset + 4, 4, (uint32_t)(value >> 32), true);
}

static int pci_root_realize(struct dev *dev, struct err *err)
{
	struct pci_root *root = to_root(dev);
	int ret;

	pthread_mutex_init(&root->lock, NULL);
	root->ecam = (struct range){
		.dev = dev, .ops = &dev_range_ops, .index = ROOT_ECAM, .size = GPA_ECAM_SIZE
	};
	/* Writes to 0xcf8 alone change nothing that anyone can see before 0xcfc is read or written:
	 * KVM collects them, which halves the exits of config access by ports. A byte written to
	 * 0xcf9 falls into the zone too and acts at the next exit; the FADT's reset register, which
	 * guests try first, acts at once. */
	root->ports = (struct range){
		.dev = dev, .ops = &dev_range_ops, .index = ROOT_PORTS, .size = 8, .coalesce = 4
	};
	if (dev->vm->config.plan)
		return 0;
	ret = bus_map(&dev->vm->bus, &root->ecam, BUS_MMIO, GPA_ECAM_BASE, err);
	if (!ret)
		ret = bus_map(&dev->vm->bus, &root->ports, BUS_PIO, PIO_PCI_CONFIG, err);
	return ret;
}

static void pci_root_destroy(struct dev *dev)
{
	struct pci_root *root = to_root(dev);

	if (!root->ecam.dev)
		return;
	bus_unmap(&dev->vm->bus, &root->ports);
	bus_unmap(&dev->vm->bus, &root->ecam);
	pthread_mutex_destroy(&root->lock);
}

static void pci_root_reset(struct dev *dev)
{
	to_root(dev)->address = 0;
}

static const struct dev_class pci_root_class = {
	.name = "pci-root",
	.size = sizeof(struct pci_root),
	.realize = pci_root_realize,
	.destroy = pci_root_destroy,
	.reset = pci_root_reset,
	.read = pci_root_read,
	.write = pci_root_write,
};

static int host_bridge_realize(struct dev *dev, struct err *err)
{
	struct pci_dev *pdev = to_pci(dev);

	pci_dev_init(pdev, HOST_BRIDGE_VENDOR, HOST_BRIDGE_DEVICE, HOST_BRIDGE_CLASS << 8, 0, 0,
		     PCI_CONFIG_SIZE);
	return pci_dev_plug(pdev, err);
}

static void host_bridge_destroy(struct dev *dev)
{
	pci_dev_unplug(to_pci(dev));
}

static void host_bridge_reset(struct dev *dev)
{
	pci_dev_reset(to_pci(dev));
}

static const struct pci_ops host_bridge_pci_ops = { 0 };

static const struct dev_class host_bridge_class = {
	.name = "host-bridge",
	.size = sizeof(struct pci_dev),
	.pci = &host_bridge_pci_ops,
	.realize = host_bridge_realize,
	.destroy = host_bridge_destroy,
	.reset = host_bridge_reset,
};

int pci_root_new(struct vm *vm, struct pci_root **ret_root, struct err *err)
{
	struct dev *dev;
	int ret = dev_new(vm, &pci_root_class, "pci-root", &dev, err);

	if (!ret)
		ret = dev_add(dev, err);
	if (ret)
		return ret;
	vm->pci = to_root(dev);
	ret = dev_new(vm, &host_bridge_class, "host-bridge", &dev, err);
	if (!ret)
		ret = dev_add(dev, err);
	if (ret)
		return ret;
	*ret_root = vm->pci;
	return 0;
}

static bool pci_slot_taken(const struct pci_root *root, unsigned int slot)
{
	unsigned int f;

	for (f = 0; f < PCI_FUNCTIONS; f++)
		if (root->slots[slot + f])
			return true;
	return false;
}

/* A slot of more than one function says so in each (PCI 3.0, 6.2.1). @functions are its eight. */
static void pci_slot_multi(struct pci_dev *const *functions)
{
	unsigned int f, count = 0;

	for (f = 0; f < PCI_FUNCTIONS; f++)
		count += functions[f] != NULL;
	for (f = 0; f < PCI_FUNCTIONS && count > 1; f++) {
		if (!functions[f])
			continue;
		functions[f]->config[PCI_HEADER_TYPE] |= PCI_HEADER_TYPE_MULTI;
		functions[f]->saved[PCI_HEADER_TYPE] |= PCI_HEADER_TYPE_MULTI;
	}
}

/* The functions of the slot that @pdev goes into, and in *@ret_devfn the first one's number. */
static struct pci_dev **pci_root_slot(struct pci_root *root, const struct pci_dev *pdev,
				      unsigned int *ret_devfn)
{
	unsigned int slot = 0;

	*ret_devfn = 0;
	if (pdev->port)
		return pdev->port->functions;
	if (pdev->beside)
		slot = pdev->beside->devfn & ~7u;
	while (!pdev->beside && slot < ARRAY_SIZE(root->slots) && pci_slot_taken(root, slot))
		slot += PCI_FUNCTIONS;
	*ret_devfn = slot;
	return slot < ARRAY_SIZE(root->slots) ? &root->slots[slot] : NULL;
}

static int pci_root_plug_locked(struct pci_root *root, struct pci_dev *pdev, struct err *err)
{
	struct pci_dev **slot, **p;
	unsigned int devfn;

	slot = pci_root_slot(root, pdev, &devfn);
	if (!slot)
		return err_set(err, -ENOSPC, "%s: all %u slots of the PCI bus are taken",
			       pdev->dev.id, PCI_SLOTS);
	if (slot[pdev->function])
		return err_set(err, -EBUSY, "%s: function %u of its slot is %s", pdev->dev.id,
			       pdev->function, slot[pdev->function]->dev.id);
	slot[pdev->function] = pdev;
	pdev->root = root;
	pdev->devfn = (uint8_t)(devfn + pdev->function);
	for (p = &root->functions; *p; p = &(*p)->root_next)
		;
	*p = pdev;
	pdev->root_next = NULL;
	pci_slot_multi(slot);
	return 0;
}

int pci_root_plug(struct pci_root *root, struct pci_dev *pdev, struct err *err)
{
	int ret;

	if (pdev->function >= PCI_FUNCTIONS)
		return err_set(err, -EINVAL, "%s: function %u: a slot has functions 0 to %u",
			       pdev->dev.id, pdev->function, PCI_FUNCTIONS - 1);
	pthread_mutex_lock(&root->lock);
	ret = pci_root_plug_locked(root, pdev, err);
	pthread_mutex_unlock(&root->lock);
	pdev->beside = NULL;
	return ret;
}

void pci_root_unplug(struct pci_root *root, struct pci_dev *pdev)
{
	struct pci_dev **slot = pdev->port ? &pdev->port->functions[pdev->function]
					   : &root->slots[pdev->devfn];
	struct pci_dev **p;

	pthread_mutex_lock(&root->lock);
	if (*slot == pdev)
		*slot = NULL;
	for (p = &root->functions; *p && *p != pdev; p = &(*p)->root_next)
		;
	if (*p)
		*p = pdev->root_next;
	pthread_mutex_unlock(&root->lock);
	pdev->root = NULL;
}
