// SPDX-License-Identifier: GPL-2.0-or-later
/* Config space, BAR decoding, INTx, MSI and MSI-X of the PCI core, and bus dispatch. */
#include <errno.h>
#include <stdlib.h>

#include "base/io.h"
#include "core_rig.h"
#include "vmm/types.h"

struct card {
	struct pci_dev pdev;
	uint64_t last_offset, last_value;
	unsigned int last_size, last_range, reads, writes;
	unsigned int modes, uses;
	enum pci_irq_mode mode;
	struct range_event event;
};

static struct card *to_card(struct dev *dev)
{
	return (struct card *)(void *)dev;
}

static uint64_t card_read(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size)
{
	struct card *c = to_card(dev);

	c->reads++;
	c->last_range = range;
	c->last_offset = offset;
	c->last_size = size;
	return 0x8877665544332211ull >> (8 * (offset & 7));
}

static void card_write(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	struct card *c = to_card(dev);

	c->writes++;
	c->last_range = range;
	c->last_offset = offset;
	c->last_size = size;
	c->last_value = value;
}

static void card_mode(struct pci_dev *pdev, enum pci_irq_mode mode)
{
	to_card(&pdev->dev)->modes++;
	to_card(&pdev->dev)->mode = mode;
}

static void card_use(struct pci_dev *pdev, unsigned int vector)
{
	assert_true(pci_vector_fd(pdev, vector) >= 0);
	to_card(&pdev->dev)->uses++;
}

#define MSI_VECTORS 4
#define MSIX_VECTORS 8

static int card_realize(struct dev *dev, struct err *err)
{
	struct card *c = to_card(dev);
	struct pci_dev *pdev = &c->pdev;
	int ret;

	pci_dev_init(pdev, 0x1af4, 0x10ff, 0x00ff0001, 1, 2, PCIE_CONFIG_SIZE);
	pci_bar_set(pdev, 0, PCI_BAR_MEM32, false, 0x1000);
	pci_bar_set(pdev, 1, PCI_BAR_IO, false, 0x20);
	pci_bar_set(pdev, 2, PCI_BAR_MEM64, true, 0x10000);
	pci_bar_set(pdev, 5, PCI_BAR_MEM32, false, 100); /* rounded up */
	c->event = (struct range_event){ .offset = 0x80, .size = 2, .fd = io_eventfd_new() };
	pci_bar_events(pdev, 0, &c->event, 1, err);
	pci_intx_enable(pdev, true);
	pci_cap_pcie(pdev);
	ret = pci_msi_init(pdev, 0, MSI_VECTORS, true, true, err);
	if (!ret)
		ret = pci_msix_init(pdev, 0, MSIX_VECTORS, 2, 0x8000, 2, 0x9000, err);
	return ret ? ret : pci_dev_plug(pdev, err);
}

static void card_destroy(struct dev *dev)
{
	pci_dev_unplug(to_pci(dev));
	fd_close(&to_card(dev)->event.fd);
}

static void card_reset(struct dev *dev)
{
	pci_dev_reset(to_pci(dev));
}

static const struct pci_ops card_pci_ops = { .irq_mode = card_mode, .vector_use = card_use };
static const struct dev_class card_class = {
	.name = "card", .size = sizeof(struct card), .pci = &card_pci_ops, .realize = card_realize,
	.destroy = card_destroy, .reset = card_reset, .read = card_read, .write = card_write,
};

struct rig {
	struct vm *vm;
	struct card *a, *b;
	struct err err;
};

static struct card *card_add(struct vm *vm, const char *id)
{
	struct err err = { 0 };
	struct dev *dev;

	if (dev_new(vm, &card_class, id, &dev, &err) || dev_add(dev, &err))
		fail_msg("%s", err.msg);
	return to_card(dev);
}

static void rig_open(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	r->vm = rig_new(4 * MIB);
	r->a = card_add(r->vm, "a");
	r->b = card_add(r->vm, "b");
	if (pci_root_place(r->vm->pci, &r->err))
		fail_msg("%s", r->err.msg);
}

static uint64_t ecam(const struct card *c, unsigned int reg)
{
	return GPA_ECAM_BASE | (uint64_t)c->pdev.devfn << 12 | reg;
}

static uint64_t rd(struct rig *r, uint64_t addr, unsigned int size)
{
	uint64_t v = 0;

	bus_access(&r->vm->bus, BUS_MMIO, addr, &v, size, false);
	return v;
}

static void wr(struct rig *r, uint64_t addr, unsigned int size, uint64_t v)
{
	bus_access(&r->vm->bus, BUS_MMIO, addr, &v, size, true);
}

static void test_bars_are_placed_apart_and_decode(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	assert_int_equal(pci_bar_addr(&r.a->pdev, 0) % 0x1000, 0);
	assert_true(pci_bar_addr(&r.a->pdev, 2) >= GPA_HIGH_RAM);
	assert_int_equal(rd(&r, ecam(r.a, PCI_COMMAND), 2), 3);
	assert_int_equal(rd(&r, pci_bar_addr(&r.a->pdev, 0), 4), 0x44332211);
	assert_int_equal(rd(&r, pci_bar_addr(&r.b->pdev, 2) + 8, 8), 0x8877665544332211);
	assert_int_equal(r.b->last_range, 2);
	assert_int_equal(fake_kvm_doorbell(pci_bar_addr(&r.a->pdev, 0) + 0x80, false),
			 r.a->event.fd);
	rig_free(r.vm);
	assert_int_equal(fake_kvm_doorbells(), 0);
}

static void test_sizing_a_bar_gives_its_size_and_moves_nothing(void **state)
{
	struct rig r;
	uint64_t old;

	(void)state;
	rig_open(&r);
	old = rd(&r, ecam(r.a, PCI_BASE_ADDRESS_0), 4);
	wr(&r, ecam(r.a, PCI_COMMAND), 2, 0);
	wr(&r, ecam(r.a, PCI_BASE_ADDRESS_0), 4, 0xffffffff);
	assert_int_equal(rd(&r, ecam(r.a, PCI_BASE_ADDRESS_0), 4), 0xfffff000);
	wr(&r, ecam(r.a, PCI_BASE_ADDRESS_0), 4, old);
	wr(&r, ecam(r.a, PCI_BASE_ADDRESS_1), 4, 0xffffffff);
	assert_int_equal(rd(&r, ecam(r.a, PCI_BASE_ADDRESS_1), 4), 0xffffffe1);
	wr(&r, ecam(r.a, PCI_BASE_ADDRESS_2), 4, 0xffffffff);
	wr(&r, ecam(r.a, PCI_BASE_ADDRESS_3), 4, 0xffffffff);
	assert_int_equal(rd(&r, ecam(r.a, PCI_BASE_ADDRESS_2), 8), 0xffffffffffff000c);
	wr(&r, ecam(r.a, PCI_BASE_ADDRESS_5), 4, 0xffffffff);
	assert_int_equal(rd(&r, ecam(r.a, PCI_BASE_ADDRESS_5), 4), 0xffffff80);
	wr(&r, ecam(r.a, PCI_BASE_ADDRESS_4), 4, 0xffffffff);
	assert_int_equal(rd(&r, ecam(r.a, PCI_BASE_ADDRESS_4), 4), 0);
	wr(&r, ecam(r.a, PCI_ROM_ADDRESS), 4, 0xffffffff);
	assert_int_equal(rd(&r, ecam(r.a, PCI_ROM_ADDRESS), 4), 0);
	assert_int_equal(rd(&r, pci_bar_addr(&r.a->pdev, 0), 4), 0xffffffff);
	wr(&r, ecam(r.a, PCI_COMMAND), 2, 2);
	assert_int_equal(rd(&r, pci_bar_addr(&r.a->pdev, 0), 4), 0x44332211);
	rig_free(r.vm);
}

static void test_a_bar_on_top_of_another_waits_for_the_place(void **state)
{
	struct rig r;
	uint64_t at_a, at_b;

	(void)state;
	rig_open(&r);
	at_a = pci_bar_addr(&r.a->pdev, 0);
	at_b = pci_bar_addr(&r.b->pdev, 0);
	wr(&r, ecam(r.b, PCI_BASE_ADDRESS_0), 4, at_a);
	rd(&r, at_a, 1);
	assert_int_equal(r.a->reads, 1);
	assert_int_equal(rd(&r, at_b, 4), 0xffffffff);
	wr(&r, ecam(r.a, PCI_BASE_ADDRESS_0), 4, at_b); /* a leaves: b gets it */
	rd(&r, at_a, 1);
	assert_int_equal(r.b->reads, 1);
	rd(&r, at_b, 1);
	assert_int_equal(r.a->reads, 2);
	rig_free(r.vm);
}

static void test_bars_on_ram_ecam_zero_or_beyond_are_unmapped_and_come_back(void **state)
{
	static const uint64_t bad[] = { 0, 0x100000, GPA_ECAM_BASE, 0xfffff000 };
	struct rig r;
	uint64_t home;
	size_t i;

	(void)state;
	rig_open(&r);
	home = pci_bar_addr(&r.a->pdev, 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		wr(&r, ecam(r.a, PCI_BASE_ADDRESS_0), 4, bad[i]);
		assert_int_equal(rd(&r, home, 4), 0xffffffff);
		assert_int_equal(rd(&r, ecam(r.a, 0), 2), 0x1af4);
		wr(&r, ecam(r.a, PCI_BASE_ADDRESS_0), 4, home);
		assert_int_equal(rd(&r, home, 4), 0x44332211);
	}
	/* A 64-bit one beyond what the CPU can address. */
	wr(&r, ecam(r.a, PCI_BASE_ADDRESS_3), 4, 0xffffffff);
	assert_int_equal(rd(&r, pci_bar_addr(&r.a->pdev, 2), 4), 0xffffffff);
	wr(&r, ecam(r.a, PCI_BASE_ADDRESS_3), 4, pci_bar_addr(&r.a->pdev, 2) >> 32);
	assert_int_equal(rd(&r, pci_bar_addr(&r.a->pdev, 2), 4), 0x44332211);
	rig_free(r.vm);
}

static void test_config_access_of_any_width_and_place(void **state)
{
	static const unsigned int sizes[] = { 1, 2, 3, 4, 5, 7, 8 };
	struct rig r;
	unsigned int reg;
	size_t i;

	(void)state;
	rig_open(&r);
	for (reg = 0; reg < PCIE_CONFIG_SIZE; reg++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			uint64_t v = rd(&r, ecam(r.a, reg), sizes[i]);

			wr(&r, ecam(r.a, reg), sizes[i], v);
			wr(&r, ecam(r.a, reg), sizes[i], UINT64_MAX);
			wr(&r, ecam(r.a, reg), sizes[i], 0);
		}
	}
	assert_int_equal(rd(&r, ecam(r.a, 0), 4), 0x10ff1af4);
	assert_int_equal(rd(&r, ecam(r.a, PCI_CLASS_REVISION), 4), 0x00ff0001);
	assert_int_equal(pci_config_read(&r.a->pdev, PCIE_CONFIG_SIZE - 2, 4), 0xffffffff);
	assert_int_equal(pci_config_read(&r.a->pdev, UINT32_MAX, 4), 0xffffffff);
	assert_int_equal(pci_config_read(&r.a->pdev, 0, 0), 0);
	pci_config_write(&r.a->pdev, PCIE_CONFIG_SIZE, 4, 0);
	rig_free(r.vm);
}

static void test_config_by_ports(void **state)
{
	struct rig r;
	uint32_t v = 0x80000000u | (uint32_t)0x08 << 8;
	struct bus *bus;

	(void)state;
	rig_open(&r);
	bus = &r.vm->bus;
	bus_access(bus, BUS_PIO, 0xcf8, &v, 4, true);
	bus_access(bus, BUS_PIO, 0xcfc, &v, 4, false);
	assert_int_equal(v, 0x10ff1af4);
	v = 0;
	bus_access(bus, BUS_PIO, 0xcfe, &v, 2, false);
	assert_int_equal(v, 0x10ff);
	v = 0x00000800; /* not enabled */
	bus_access(bus, BUS_PIO, 0xcf8, &v, 4, true);
	bus_access(bus, BUS_PIO, 0xcfc, &v, 4, false);
	assert_int_equal(v, 0xffffffff);
	v = 0x80010800; /* bus 1 */
	bus_access(bus, BUS_PIO, 0xcf8, &v, 4, true);
	bus_access(bus, BUS_PIO, 0xcfc, &v, 4, false);
	assert_int_equal(v, 0xffffffff);
	rig_free(r.vm);
}

static uint64_t msix_entry(const struct card *c, unsigned int v)
{
	return pci_bar_addr(&c->pdev, 2) + 0x8000 + v * 16ull;
}

static void msix_enable(struct rig *r, struct card *c, uint16_t flags)
{
	wr(r, ecam(c, c->pdev.msix.cap + PCI_MSIX_FLAGS), 2, flags);
}

static void test_msix_as_linux_uses_it(void **state)
{
	struct rig r;
	unsigned int v;

	(void)state;
	rig_open(&r);
	msix_enable(&r, r.a, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_int_equal(r.a->mode, PCI_IRQ_MSIX);
	for (v = 0; v < MSIX_VECTORS; v++) {
		wr(&r, msix_entry(r.a, v), 4, 0xfee00000);
		wr(&r, msix_entry(r.a, v) + 4, 4, 0);
		wr(&r, msix_entry(r.a, v) + 8, 4, 0x30 + v);
		wr(&r, msix_entry(r.a, v) + 12, 4, 1);
	}
	msix_enable(&r, r.a, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(r.a->uses, 0);
	for (v = 0; v < 3; v++)
		wr(&r, msix_entry(r.a, v) + 12, 4, 0);
	assert_int_equal(r.a->uses, 3);
	irqs_flush(&r.vm->irqs);
	assert_int_equal(fake_kvm_count(KVM_SET_GSI_ROUTING), 1);
	assert_int_equal(fake_kvm_irqfds(), 3);
	/* Masked, fired: pending; the function mask counts too. */
	wr(&r, msix_entry(r.a, 1) + 12, 4, 1);
	pci_vector_fire(&r.a->pdev, 1);
	assert_int_equal(rd(&r, pci_bar_addr(&r.a->pdev, 2) + 0x9000, 8), 2);
	msix_enable(&r, r.a, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_int_equal(fake_kvm_irqfds(), 0);
	pci_vector_fire(&r.a->pdev, 2);
	assert_int_equal(rd(&r, pci_bar_addr(&r.a->pdev, 2) + 0x9000, 8), 6);
	/* Off: everything is given back. */
	msix_enable(&r, r.a, 0);
	assert_int_equal(r.a->mode, PCI_IRQ_INTX);
	assert_int_equal(pci_vector_fd(&r.a->pdev, 0), -1);
	assert_int_equal(r.vm->irqs.gsi_top, 0);
	rig_free(r.vm);
}

static void test_msix_table_at_its_edges(void **state)
{
	struct rig r;
	uint64_t table, pba;

	(void)state;
	rig_open(&r);
	table = msix_entry(r.a, 0);
	pba = pci_bar_addr(&r.a->pdev, 2) + 0x9000;
	wr(&r, table, 1, 0xaa); /* 6.8.2: undefined below 4 bytes; here ignored */
	wr(&r, table, 2, 0xaaaa);
	assert_int_equal(rd(&r, table, 8), 0);
	wr(&r, table, 8, 0x1122334455667788);
	assert_int_equal(rd(&r, table + 4, 4), 0x11223344);
	wr(&r, pba, 8, UINT64_MAX);
	assert_int_equal(rd(&r, pba, 8), 0);
	/* One past either end belongs to the device. */
	rd(&r, table + MSIX_VECTORS * 16ull, 4);
	rd(&r, pba + 8, 4);
	rd(&r, table - 4, 4);
	assert_int_equal(r.a->reads, 3);
	rig_free(r.vm);
}

static void test_msix_that_does_not_fit_its_bar_is_refused(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct err err = { 0 };
	struct dev *dev;

	(void)state;
	assert_int_equal(dev_new(vm, &card_class, "x", &dev, &err), 0);
	pci_dev_init(to_pci(dev), 1, 2, 0, 0, 0, PCI_CONFIG_SIZE);
	pci_bar_set(to_pci(dev), 0, PCI_BAR_MEM32, false, 0x1000);
	assert_int_equal(pci_msix_init(to_pci(dev), 0, 8, 0, 0xf88, 0, 0, &err), -EINVAL);
	assert_int_equal(pci_msix_init(to_pci(dev), 0, 8, 6, 0, 0, 0, &err), -EINVAL);
	assert_int_equal(pci_msix_init(to_pci(dev), 0, 8, 0, 0, 0, 0x1000, &err), -EINVAL);
	assert_int_equal(pci_msix_init(to_pci(dev), 0, 8, 0, 0xfffffff8, 0, 0, &err), -EINVAL);
	assert_int_equal(pci_msix_init(to_pci(dev), 0, 0, 0, 0, 0, 0, &err), -EINVAL);
	pci_dev_unplug(to_pci(dev));
	dev_put(dev); /* never begun: destroy is not called */
	rig_free(vm);
}

static void test_msi_with_more_messages_than_it_has(void **state)
{
	struct rig r;
	unsigned int cap;

	(void)state;
	rig_open(&r);
	cap = r.a->pdev.msi.cap;
	wr(&r, ecam(r.a, cap + PCI_MSI_ADDRESS_LO), 4, 0xfee00000);
	wr(&r, ecam(r.a, cap + PCI_MSI_DATA_64), 2, 0x4447);
	/* 32 messages asked, 4 there. */
	wr(&r, ecam(r.a, cap + PCI_MSI_FLAGS), 2, PCI_MSI_FLAGS_ENABLE | 5 << 4);
	assert_int_equal(r.a->mode, PCI_IRQ_MSI);
	assert_int_equal(pci_vector_count(&r.a->pdev), MSI_VECTORS);
	irqs_flush(&r.vm->irqs);
	assert_int_equal(fake_kvm_irqfds(), MSI_VECTORS);
	assert_int_equal(fake_kvm_route(26)->data, 0x4446);
	/* A masked message waits. */
	wr(&r, ecam(r.a, cap + PCI_MSI_MASK_64), 4, 0xffffffff);
	assert_int_equal(fake_kvm_irqfds(), 0);
	pci_vector_fire(&r.a->pdev, 2);
	assert_int_equal(rd(&r, ecam(r.a, cap + PCI_MSI_MASK_64 + 4), 4), 4);
	/* MSI-X on top of it wins. */
	msix_enable(&r, r.a, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(r.a->mode, PCI_IRQ_MSIX);
	msix_enable(&r, r.a, 0);
	wr(&r, ecam(r.a, cap + PCI_MSI_FLAGS), 2, 0);
	assert_int_equal(r.a->mode, PCI_IRQ_INTX);
	rig_free(r.vm);
}

static void test_intx_of_an_emulated_function(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	assert_int_equal(fake_kvm_irqfds(), 0); /* nothing until it interrupts */
	pci_intx_set(&r.a->pdev, true);
	assert_int_equal(fake_kvm_irqfd(r.a->pdev.intx.trigger), 17); /* slot 1, INTA */
	assert_int_equal(io_eventfd_drain(r.a->pdev.intx.trigger), 1);
	assert_true(rd(&r, ecam(r.a, PCI_STATUS), 2) & PCI_STATUS_INTERRUPT);
	wr(&r, ecam(r.a, PCI_COMMAND), 2, 3 | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(r.a->mode, PCI_IRQ_NONE);
	pci_intx_set(&r.a->pdev, false);
	pci_intx_set(&r.a->pdev, true);
	assert_int_equal(io_eventfd_drain(r.a->pdev.intx.trigger), 0);
	wr(&r, ecam(r.a, PCI_COMMAND), 2, 3);
	assert_int_equal(io_eventfd_drain(r.a->pdev.intx.trigger), 1);
	rig_free(r.vm);
}

static void test_reset_goes_back_to_the_placed_state(void **state)
{
	struct rig r;
	uint64_t home;

	(void)state;
	rig_open(&r);
	home = pci_bar_addr(&r.a->pdev, 0);
	wr(&r, ecam(r.a, PCI_BASE_ADDRESS_0), 4, 0xd0000000);
	msix_enable(&r, r.a, PCI_MSIX_FLAGS_ENABLE);
	wr(&r, msix_entry(r.a, 0), 8, 0xfee00000);
	wr(&r, msix_entry(r.a, 0) + 12, 4, 0);
	irqs_flush(&r.vm->irqs);
	assert_int_equal(fake_kvm_irqfds(), 1);
	dev_reset_all(r.vm);
	assert_int_equal(fake_kvm_irqfds(), 0);
	assert_int_equal(rd(&r, home, 4), 0x44332211);
	assert_int_equal(rd(&r, 0xd0000000, 4), 0xffffffff);
	assert_int_equal(rd(&r, msix_entry(r.a, 0), 8), 0);
	assert_int_equal(rd(&r, msix_entry(r.a, 0) + 12, 4), 1);
	rig_free(r.vm);
}

static void test_dispatch_splits_what_is_not_aligned(void **state)
{
	struct rig r;
	uint64_t at;

	(void)state;
	rig_open(&r);
	at = pci_bar_addr(&r.a->pdev, 0);
	assert_int_equal(rd(&r, at + 1, 4), 0x55443322);
	assert_int_equal(r.a->reads, 3); /* 1, 2, 1 */
	/* The second half beyond the BAR's end. */
	assert_int_equal(rd(&r, at + 0x1000 - 2, 4) & 0xffff, 0x8877);
	wr(&r, at + 3, 8, 0x0102030405060708);
	assert_int_equal(r.a->writes, 4); /* 1, 4, 2, 1 */
	assert_int_equal(r.a->last_value, 1);
	rig_free(r.vm);
}

static void test_the_bus_is_full_at_32_slots(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct err err = { 0 };
	struct dev *dev;
	unsigned int i;

	(void)state;
	for (i = 1; i < PCI_SLOTS; i++) {
		assert_int_equal(dev_new(vm, &card_class, "c", &dev, &err), 0);
		assert_int_equal(dev_add(dev, &err), 0);
	}
	assert_int_equal(dev_new(vm, &card_class, "last", &dev, &err), 0);
	assert_int_equal(dev_add(dev, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "all 32 slots"));
	assert_int_equal(pci_root_place(vm->pci, &err), 0);
	rig_free(vm);
}

static struct card *card_beside(struct vm *vm, struct card *first, unsigned int function, int want)
{
	struct err err = { 0 };
	struct dev *dev;

	assert_int_equal(dev_new(vm, &card_class, "beside", &dev, &err), 0);
	to_pci(dev)->beside = &first->pdev;
	to_pci(dev)->function = (uint8_t)function;
	assert_int_equal(dev_add(dev, &err), want);
	return want ? NULL : to_card(dev);
}

static void test_functions_of_one_slot(void **state)
{
	struct card *second;
	struct rig r;

	(void)state;
	rig_open(&r);
	assert_int_equal(rd(&r, ecam(r.a, PCI_HEADER_TYPE), 1), 0);
	second = card_beside(r.vm, r.a, 3, 0);
	assert_int_equal(second->pdev.devfn, r.a->pdev.devfn + 3);
	assert_int_equal(rd(&r, ecam(r.a, PCI_HEADER_TYPE), 1), 0x80);
	assert_int_equal(rd(&r, ecam(second, PCI_HEADER_TYPE), 1), 0x80);
	assert_int_equal(rd(&r, ecam(r.b, PCI_HEADER_TYPE), 1), 0);
	card_beside(r.vm, r.a, 3, -EBUSY);
	card_beside(r.vm, r.a, 8, -EINVAL);
	dev_reset_all(r.vm);
	assert_int_equal(rd(&r, ecam(r.a, PCI_HEADER_TYPE), 1), 0x80);
	/* The slot stays taken while it has a function. */
	dev_remove(&r.a->pdev.dev);
	assert_int_not_equal(card_add(r.vm, "c")->pdev.devfn & ~7u, second->pdev.devfn & ~7u);
	rig_free(r.vm);
}

static void test_a_bar_too_large_for_its_window_is_named(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct card *c = card_add(vm, "big");
	struct err err = { 0 };

	(void)state;
	pci_bar_set(&c->pdev, 0, PCI_BAR_MEM32, false, GIB);
	assert_int_equal(pci_root_place(vm->pci, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "big: BAR 0"));
	rig_free(vm);
}

static void test_removal_reads_as_ones(void **state)
{
	struct rig r;
	uint64_t at, config;

	(void)state;
	rig_open(&r);
	at = pci_bar_addr(&r.a->pdev, 0);
	config = ecam(r.a, 0);
	dev_get(&r.a->pdev.dev); /* a vCPU on its way in */
	dev_remove(&r.a->pdev.dev);
	assert_int_equal(rd(&r, at, 4), 0xffffffff);
	assert_int_equal(rd(&r, config, 4), 0xffffffff);
	assert_int_equal(fake_kvm_doorbells(), 1); /* the other's */
	dev_put(&r.a->pdev.dev);
	loop_do_posted(r.vm->loop);
	assert_int_equal(rd(&r, at, 4), 0xffffffff);
	assert_int_equal(rd(&r, ecam(r.b, 0), 2), 0x1af4);
	rig_free(r.vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bars_are_placed_apart_and_decode),
		cmocka_unit_test(test_sizing_a_bar_gives_its_size_and_moves_nothing),
		cmocka_unit_test(test_a_bar_on_top_of_another_waits_for_the_place),
		cmocka_unit_test(test_bars_on_ram_ecam_zero_or_beyond_are_unmapped_and_come_back),
		cmocka_unit_test(test_config_access_of_any_width_and_place),
		cmocka_unit_test(test_config_by_ports),
		cmocka_unit_test(test_msix_as_linux_uses_it),
		cmocka_unit_test(test_msix_table_at_its_edges),
		cmocka_unit_test(test_msix_that_does_not_fit_its_bar_is_refused),
		cmocka_unit_test(test_msi_with_more_messages_than_it_has),
		cmocka_unit_test(test_intx_of_an_emulated_function),
		cmocka_unit_test(test_reset_goes_back_to_the_placed_state),
		cmocka_unit_test(test_dispatch_splits_what_is_not_aligned),
		cmocka_unit_test(test_the_bus_is_full_at_32_slots),
		cmocka_unit_test(test_functions_of_one_slot),
		cmocka_unit_test(test_a_bar_too_large_for_its_window_is_named),
		cmocka_unit_test(test_removal_reads_as_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
