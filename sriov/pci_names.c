// SPDX-License-Identifier: GPL-2.0-or-later
#include <pci/pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "inventory.h"

#define NAME_MAX_LEN 256

/* One answer of libpci. The key holds the kind of name as well. */
struct name {
	uint64_t key;
	char *text;
};

struct pci_names {
	struct pci_access *access;
	struct name *table; /* open addressing, a power of two */
	size_t size, used;
	uint64_t last_key;  /* neighbours in a list are often alike */
	const char *last;
};

static void ignore(char *fmt, ...)
{
	(void)fmt;
}

struct pci_names *pci_names_new(const struct host *host, const struct pci_names_ops *ops)
{
	struct pci_names *names = calloc(1, sizeof(*names));
	char path[HOST_PATH_MAX];

	if (!names)
		return NULL;
	names->access = pci_alloc();
	names->access->method = PCI_ACCESS_SYS_BUS_PCI;
	names->access->error = ops->fatal;
	names->access->warning = ignore;
	names->access->debug = ignore;
	if (!host_path(path, host->sysfs_root, "bus/pci"))
		pci_set_param(names->access, (char *)"sysfs.path", path);
	/* pci.ids says the same as udev's database; libpci leaks where that one is missing. */
	pci_set_param(names->access, (char *)"hwdb.disable", (char *)"1");
	pci_init(names->access);
	return names;
}

void pci_names_free(struct pci_names *names)
{
	size_t i;

	if (!names)
		return;
	for (i = 0; i < names->size; i++)
		free(names->table[i].text);
	free(names->table);
	pci_cleanup(names->access);
	free(names);
}

static struct name *slot(struct name *table, size_t size, uint64_t key)
{
	size_t i = (key * 0x9e3779b97f4a7c15ull >> 32) & (size - 1);

	while (table[i].text && table[i].key != key)
		i = (i + 1) & (size - 1);
	return &table[i];
}

static bool table_grow(struct pci_names *names)
{
	size_t i, size = names->size ? names->size * 2 : 64;
	struct name *table;

	if (names->used * 2 < names->size)
		return true;
	table = calloc(size, sizeof(*table));
	if (!table)
		return false;
	for (i = 0; i < names->size; i++) {
		if (names->table[i].text)
			*slot(table, size, names->table[i].key) = names->table[i];
	}
	free(names->table);
	names->table = table;
	names->size = size;
	return true;
}

static const char *lookup(struct pci_names *names, int flags, int id1, int id2)
{
	uint64_t key = (uint64_t)flags << 32 | (uint64_t)(uint16_t)id1 << 16 | (uint16_t)id2;
	char buf[NAME_MAX_LEN];
	struct name *name;

	if (names->last && names->last_key == key)
		return names->last;
	if (!table_grow(names))
		return "?";
	name = slot(names->table, names->size, key);
	if (!name->text) {
		name->key = key;
		name->text = strdup(pci_lookup_name(names->access, buf, sizeof(buf), flags, id1,
						    id2));
		names->used += name->text != NULL;
	}
	names->last_key = key;
	names->last = name->text;
	return name->text ? name->text : "?";
}

const char *pci_names_class(struct pci_names *names, uint32_t class)
{
	return lookup(names, PCI_LOOKUP_CLASS, (int)(class >> 8), 0);
}

const char *pci_names_vendor(struct pci_names *names, uint16_t vendor)
{
	return lookup(names, PCI_LOOKUP_VENDOR, vendor, 0);
}

const char *pci_names_device(struct pci_names *names, uint16_t vendor, uint16_t device)
{
	return lookup(names, PCI_LOOKUP_DEVICE, vendor, device);
}

/* PCI Code and ID Assignment Specification, capability and extended capability IDs. */
static const char *const cap_names[] = {
	[0x01] = "PM",		 [0x02] = "AGP",	[0x03] = "VPD",
	[0x04] = "SlotID",	 [0x05] = "MSI",	[0x06] = "CompactPCI",
	[0x07] = "PCI-X",	 [0x08] = "HyperTransport", [0x09] = "Vendor",
	[0x0a] = "DebugPort",	 [0x0c] = "HotPlug",	[0x0d] = "BridgeSubsystem",
	[0x10] = "PCIe",	 [0x11] = "MSI-X",	[0x12] = "SATA",
	[0x13] = "AF",		 [0x14] = "EA",
};

static const char *const ext_cap_names[] = {
	[0x01] = "AER",		 [0x02] = "VC",		[0x03] = "SerialNumber",
	[0x04] = "PowerBudget",	 [0x05] = "RCLink",	[0x0b] = "VSEC",
	[0x0d] = "ACS",		 [0x0e] = "ARI",	[0x0f] = "ATS",
	[0x10] = "SR-IOV",	 [0x11] = "MR-IOV",	[0x12] = "Multicast",
	[0x13] = "PRI",		 [0x15] = "ResizableBAR", [0x16] = "DPA",
	[0x17] = "TPH",		 [0x18] = "LTR",	[0x19] = "SecondaryPCIe",
	[0x1b] = "PASID",	 [0x1d] = "DPC",	[0x1e] = "L1PM",
	[0x1f] = "PTM",		 [0x23] = "DVSEC",	[0x24] = "VFResizableBAR",
	[0x25] = "DataLink",	 [0x26] = "16GT",	[0x27] = "LaneMargining",
	[0x2a] = "32GT",	 [0x2e] = "DOE",
};

static const char *cap_name(bool extended, unsigned int id)
{
	if (extended)
		return id < ARRAY_SIZE(ext_cap_names) ? ext_cap_names[id] : NULL;
	return id < ARRAY_SIZE(cap_names) ? cap_names[id] : NULL;
}

size_t pci_names_caps(struct pci_names *names, const struct pci_addr *addr,
		      struct pci_cap_info caps[PCI_CAPS_MAX])
{
	struct pci_dev *dev;
	struct pci_cap *cap;
	size_t n = 0;

	dev = pci_get_dev(names->access, (int)addr->domain, addr->bus, addr->dev, addr->fn);
	pci_fill_info(dev, PCI_FILL_CAPS | PCI_FILL_EXT_CAPS);
	for (cap = dev->first_cap; cap && n < PCI_CAPS_MAX; cap = cap->next) {
		caps[n].id = cap->id;
		caps[n].offset = (uint16_t)cap->addr;
		caps[n].extended = cap->type == PCI_CAP_EXTENDED;
		caps[n].name = cap_name(caps[n].extended, cap->id);
		n++;
	}
	pci_free_dev(dev);
	return n;
}
