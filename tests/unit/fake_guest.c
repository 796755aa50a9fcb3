// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_guest.h"

#include "core_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_kvm.h"
#include "sriov/bind.h"
#include "sriov/use.h"
#include "sriov/vf.h"
#include "vfio/vfio_pci.h"

static void sink(void *opaque, enum log_level level, const char *line)
{
	struct fake_guest *g = opaque;
	int n = snprintf(g->text + g->len, sizeof(g->text) - g->len, "%s\n", line);

	(void)level;
	if (n > 0 && (size_t)n < sizeof(g->text) - g->len)
		g->len += (size_t)n;
}

void fake_guest_bind(struct fake_guest *g, const char *addr, const char *driver)
{
	struct err err = { 0 };
	struct pci_addr a;

	assert_int_equal(pci_addr_parse(addr, &a), 0);
	if (func_bind(&g->host->host, &a, 1, driver, USE_KINDS, NULL, &err))
		fail_msg("%s", err.msg);
}

void fake_guest_vm_new(struct fake_guest *g, uint64_t memory, bool plan)
{
	struct vm_config config = { .name = "test", .memory = memory, .cpus = 1, .plan = plan };
	struct err err = { 0 };

	if (!plan) {
		g->vm = rig_new(memory);
		g->vm->log = &g->log;
	} else if (vm_new(&g->vm, &config, &g->log, &err)) {
		fail_msg("%s", err.msg);
	}
}

struct fake_guest *fake_guest_new(uint64_t memory, bool plan)
{
	struct fake_guest *g = calloc(1, sizeof(*g));
	struct err err = { 0 };
	struct pci_addr pf;

	assert_non_null(g);
	g->log.sink = sink;
	g->log.opaque = g;
	g->log.max = LOG_DEBUG;
	g->host = fake_new_lab();
	assert_int_equal(pci_addr_parse("0000:01:00.0", &pf), 0);
	if (vf_create(&g->host->host, &pf, 7, "vfio-pci", true, NULL, &err))
		fail_msg("%s", err.msg);
	fake_guest_bind(g, NVME, "vfio-pci");
	fake_guest_bind(g, E1000, "vfio-pci");
	fake_guest_bind(g, RTL8139, "vfio-pci");
	fake_vfio_new(g->host);
	fake_guest_vm_new(g, memory, plan);
	return g;
}

void fake_guest_vm_free(struct fake_guest *g)
{
	if (g->vm->config.plan)
		vm_free(g->vm);
	else
		rig_free(g->vm);
	g->vm = NULL;
	assert_int_equal(fake_vfio_fds(), 0);
	assert_int_equal(fake_vfio_reservations(), 0);
	assert_int_equal(fake_vfio_dma(NULL, 0), 0);
	assert_int_equal(fake_kvm_irqfds(), 0);
	assert_int_equal(fake_kvm_vfio_files(), 0);
}

void fake_guest_free(struct fake_guest *g)
{
	fake_guest_vm_free(g);
	fake_vfio_free();
	fake_free(g->host);
	free(g);
}

int fake_guest_try(struct fake_guest *g, const char *name, struct err *err)
{
	static const struct dev_class *const classes[] = { &vfio_pci_class, NULL };
	static const struct dev_role roles[] = { { .name = NULL } };
	const struct dev_table table = { classes, roles };
	struct dev *dev;
	char spec[192];

	/* A list of options may take the name's place. On bus 0 unless a test asks: most are not
	 * about where a function sits. */
	snprintf(spec, sizeof(spec), "vfio-pci,%s%s%s%s",
		 name[strcspn(name, "=,")] == '=' ? "" : "host=", name,
		 fake_vfio_by_iommufd() ? ",iommu=iommufd" : "",
		 strstr(name, ",port=") ? "" : ",port=off");
	return dev_create(g->vm, &table, spec, g->vm->config.plan, &dev, err);
}

struct pci_dev *fake_guest_add(struct fake_guest *g, const char *name)
{
	struct err err = { 0 };
	struct dev *dev;

	if (fake_guest_try(g, name, &err))
		fail_msg("%s", err.msg);
	for (dev = g->vm->devs; dev->next; dev = dev->next)
		;
	return to_pci(dev);
}

int fake_guest_rows(const struct CMUnitTest *tests, size_t count)
{
	static const char *const rows[] = { "type1", "iommufd" };
	int failed = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		fake_vfio_row(rows[i]);
		failed += _cmocka_run_group_tests(rows[i], tests, count, NULL, NULL);
	}
	return failed;
}

void fake_guest_remove(struct fake_guest *g, struct pci_dev *pdev)
{
	dev_remove(&pdev->dev);
	loop_do_posted(g->vm->loop);
}

void fake_guest_refuses(struct fake_guest *g, const char *name, int code, const char *text)
{
	struct err err = { 0 };

	assert_int_equal(fake_guest_try(g, name, &err), code);
	if (!strstr(err.msg, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.msg);
	assert_int_equal(fake_vfio_fds(), 0);
	assert_int_equal(fake_vfio_reservations(), 0);
}

void fake_guest_place(struct fake_guest *g)
{
	struct err err = { 0 };

	if (pci_root_place(g->vm->pci, &err))
		fail_msg("%s", err.msg);
}

bool fake_guest_logged(const struct fake_guest *g, const char *text)
{
	return strstr(g->text, text) != NULL;
}

uint64_t fake_guest_read(struct fake_guest *g, uint64_t addr, unsigned int size)
{
	uint64_t value = 0;

	bus_access(&g->vm->bus, BUS_MMIO, addr, &value, size, false);
	return le64toh(value);
}

void fake_guest_write(struct fake_guest *g, uint64_t addr, unsigned int size, uint64_t value)
{
	uint64_t le = htole64(value);

	bus_access(&g->vm->bus, BUS_MMIO, addr, &le, size, true);
}

void fake_guest_msix_entry(struct fake_guest *g, struct pci_dev *pdev, unsigned int vector,
			   bool masked)
{
	uint64_t at =
		pci_bar_addr(pdev, pdev->msix.table_bar) + pdev->msix.table_offset + 16ull * vector;

	fake_guest_write(g, at, 4, 0xfee00000);
	fake_guest_write(g, at + 4, 4, 0);
	fake_guest_write(g, at + 8, 4, 0x40 + vector);
	fake_guest_write(g, at + 12, 4, masked);
}

void fake_guest_msix_enable(struct pci_dev *pdev, bool on)
{
	pci_config_write(pdev, pdev->msix.cap + PCI_MSIX_FLAGS, 2, on ? PCI_MSIX_FLAGS_ENABLE : 0);
}
