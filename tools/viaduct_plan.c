// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "viaduct.h"
#include "vmm/types.h"

void viaduct_print_devices(const struct vm *vm, FILE *out, const char *indent)
{
	const struct dev_skip *skip;
	const struct dev *dev;

	for (dev = vm->devs; dev; dev = dev->next) {
		char what[256] = "";

		for (skip = vm->skips; skip; skip = skip->next)
			if (!strcmp(skip->id, dev->id))
				fprintf(out, "%s%s: %s passed over: %s\n", indent, dev->id,
					skip->class_name, skip->reason);
		if (!dev->class->describe)
			continue;
		dev->class->describe((struct dev *)dev, what, sizeof(what));
		fprintf(out, "%s%s: %s%s%s%s\n", indent, dev->id, dev->class->name,
			*what ? " (" : "", what, *what ? ")" : "");
	}
}

static void plan_size(uint64_t size, char *buf, size_t room)
{
	static const char units[] = " KMGT";
	unsigned int unit = 0;

	while (unit < 4 && size && !(size % 1024)) {
		size /= 1024;
		unit++;
	}
	if (unit)
		snprintf(buf, room, "%llu %ciB", (unsigned long long)size, units[unit]);
	else
		snprintf(buf, room, "%llu B", (unsigned long long)size);
}

static void plan_span(uint64_t base, uint64_t size, const char *what)
{
	char text[32];

	plan_size(size, text, sizeof(text));
	printf("  %012llx-%012llx %10s  %s\n", (unsigned long long)base,
	       (unsigned long long)(base + size - 1), text, what);
}

static void plan_map(const struct vm *vm)
{
	unsigned int i;

	printf("memory map\n");
	for (i = 0; i < vm->mem.bank_count; i++)
		plan_span(vm->mem.banks[i].gpa, vm->mem.banks[i].size, "RAM");
	plan_span(GPA_PCI32_BASE, GPA_PCI32_SIZE, "window for 32-bit BARs");
	plan_span(GPA_ECAM_BASE, GPA_ECAM_SIZE, "PCI Express configuration (ECAM)");
	plan_span(GPA_IOAPIC, 4096, "I/O APIC");
	plan_span(GPA_LAPIC, 4096, "local APIC");
	if (vm->pci->mem64_size)
		plan_span(vm->pci->mem64_base, vm->pci->mem64_size, "window for 64-bit BARs");
	printf("ports\n");
	plan_span(PIO_PCI_BASE, PIO_PCI_SIZE, "window for I/O BARs");
}

static void plan_bars(const struct vm *vm)
{
	static const char *const kinds[] = { "", "I/O", "32-bit", "64-bit", "ROM" };
	const struct dev *dev;
	unsigned int i;

	printf("BARs\n");
	for (dev = vm->devs; dev; dev = dev->next) {
		const struct pci_dev *pdev = to_pci((struct dev *)dev);

		for (i = 0; i < PCI_BAR_COUNT && dev->class->pci; i++) {
			char what[96];

			if (pdev->bars[i].kind == PCI_BAR_NONE)
				continue;
			snprintf(what, sizeof(what), "%02x:%02x.%u %s BAR %u, %s%s",
				 pci_dev_bus(pdev), pdev->devfn >> 3u, pdev->devfn & 7u, dev->id, i, kinds[pdev->bars[i].kind],
				 pdev->bars[i].prefetch ? ", prefetchable" : "");
			plan_span(pci_bar_addr(pdev, i), pdev->bars[i].size, what);
		}
	}
}

int viaduct_plan(const struct run_options *opts)
{
	struct vm_config config = opts->config;
	struct err err = { 0 };
	struct vm *vm = NULL;
	struct dev *dev;
	unsigned int i;
	int ret;

	config.plan = true;
	ret = vm_new(&vm, &config, &viaduct_log, &err);
	for (i = 0; i < opts->device_count && !ret; i++)
		ret = dev_create(vm, &viaduct_devices, opts->devices[i], true, &dev, &err);
	if (!ret)
		ret = vm_prepare(vm, &err);
	if (ret) {
		fprintf(stderr, "viaduct: %s\n", err.msg);
	} else {
		char size[32];

		plan_size(config.memory, size, sizeof(size));
		printf("guest %s: %u vCPU%s, %s\ndevices\n", config.name, config.cpus,
		       config.cpus == 1 ? "" : "s", size);
		viaduct_print_devices(vm, stdout, "  ");
		plan_map(vm);
		plan_bars(vm);
	}
	vm_free(vm);
	return ret ? EXIT_FAILURE : 0;
}
