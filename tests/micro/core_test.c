// SPDX-License-Identifier: GPL-2.0-or-later
/* The core under a real KVM: exits, dispatch, config space, BARs, doorbells, messages, reset. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "micro_guest.h"
#include "vmm/acpi.h"
#include "vmm/types.h"

/* A PCI function with what the tests look at: a register that counts, a part that is memory, a
 * doorbell, MSI-X. */
struct probe_dev {
	struct pci_dev pdev;
	unsigned int reads, writes;
	uint64_t last_write;
	struct mem_part part;
	int event_fd;
	void *page;
};

static struct probe_dev *to_probe(struct dev *dev)
{
	return (struct probe_dev *)(void *)dev;
}

static uint64_t probe_read(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size)
{
	(void)range;
	to_probe(dev)->reads++;
	return (0x1122334455667788ull >> (8 * (offset & 7))) & all_ones(size);
}

static void probe_write(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size,
			uint64_t value)
{
	(void)range;
	(void)offset;
	(void)size;
	to_probe(dev)->writes++;
	to_probe(dev)->last_write = value;
	if (value == 0xf1fe)
		pci_vector_fire(to_pci(dev), 1);
}

static int probe_realize(struct dev *dev, struct err *err)
{
	struct probe_dev *p = to_probe(dev);
	struct range *range = &p->pdev.bars[0].range;
	struct range_event event;
	int ret;

	pci_dev_init(&p->pdev, 0x1234, 0x5678, 0xff000001, 0, 0, PCI_CONFIG_SIZE);
	pci_bar_set(&p->pdev, 0, PCI_BAR_MEM32, false, 0x4000);
	p->page = aligned_alloc(4096, 4096);
	p->event_fd = io_eventfd_new();
	p->part = (struct mem_part){ .offset = 0x1000, .size = 0x1000, .hva = p->page };
	event = (struct range_event){ .offset = 0x10, .size = 4, .fd = p->event_fd };
	range->parts = &p->part;
	range->part_count = 1;
	ret = pci_bar_events(&p->pdev, 0, &event, 1, err);
	if (!ret)
		ret = pci_msix_init(&p->pdev, 0, 2, 0, 0x2000, 0, 0x3000, err);
	return ret ? ret : pci_dev_plug(&p->pdev, err);
}

static void probe_destroy(struct dev *dev)
{
	pci_dev_unplug(to_pci(dev));
	fd_close(&to_probe(dev)->event_fd);
	free(to_probe(dev)->page);
}

static void probe_reset(struct dev *dev)
{
	pci_dev_reset(to_pci(dev));
}

static const struct pci_ops probe_pci_ops = { 0 };
static const struct dev_class probe_class = {
	.name = "probe",
	.size = sizeof(struct probe_dev),
	.pci = &probe_pci_ops,
	.realize = probe_realize,
	.destroy = probe_destroy,
	.reset = probe_reset,
	.read = probe_read,
	.write = probe_write,
};

static struct probe_dev *probe_add(struct vm *vm)
{
	struct err err = { 0 };
	struct dev *dev;

	if (dev_new(vm, &probe_class, "probe0", &dev, &err) || dev_add(dev, &err))
		fail_msg("%s", err.msg);
	return to_probe(dev);
}

#define OFF "mov $0x600, %edx\nmov $" MICRO_OFF ", %al\nout %al, %dx\n1: hlt\njmp 1b\n"

MICRO_GUEST(power_off, OFF);

static void test_power_off_ends_the_guest(void **state)
{
	struct vm *vm = micro_new();
	struct err err = { 0 };

	(void)state;
	micro_load(vm, power_off_start, power_off_end);
	assert_int_equal(micro_run(vm, &err), 0);
	assert_true(vm_exits(vm) >= 1);
	vm_free(vm);
}

/* Host bridge ids by port and by ECAM, a function that is not there, and the probe's BAR. */
MICRO_GUEST(config, "mov $0x30000, %edi\n"
		    "mov $0xcf8, %edx\nmov $0x80000000, %eax\nout %eax, %dx\n"
		    "mov $0xcfc, %edx\nin %dx, %eax\nmov %eax, (%edi)\n"
		    "mov 0xe0000000, %eax\nmov %eax, 4(%edi)\n"
		    "mov 0xe00f8000, %eax\nmov %eax, 8(%edi)\n" /* 1f.0 */
		    "mov 0xe0008000, %eax\nmov %eax, 12(%edi)\n" /* 01.0 */
		    "mov 0xe0008010, %eax\nmov %eax, 16(%edi)\n"
		    "mov $0xcfe, %edx\nin %dx, %ax\nmovzx %ax, %eax\nmov %eax, 20(%edi)\n" OFF);

static void test_config_space_is_reached_by_ports_and_ecam(void **state)
{
	struct vm *vm = micro_new();
	struct err err = { 0 };

	(void)state;
	probe_add(vm);
	micro_load(vm, config_start, config_end);
	assert_int_equal(micro_run(vm, &err), 0);
	assert_int_equal(micro_result(vm, 0), 0x00081b36);
	assert_int_equal(micro_result(vm, 1), 0x00081b36);
	assert_int_equal(micro_result(vm, 2), 0xffffffff);
	assert_int_equal(micro_result(vm, 3), 0x56781234);
	assert_int_equal(micro_result(vm, 4), 0xc0000000);
	assert_int_equal(micro_result(vm, 5), 0x0008);
	vm_free(vm);
}

/* Register, memory part, doorbell, moved BAR, BAR on top of RAM, switched off. */
MICRO_GUEST(bar, "mov $0x30000, %edi\n"
		 "mov 0xc0000000, %eax\nmov %eax, (%edi)\n"
		 "movl $0xcafe, 0xc0001004\nmov 0xc0001004, %eax\nmov %eax, 4(%edi)\n"
		 "movl $1, 0xc0000010\nmovl $1, 0xc0000010\n"
		 "movl $0xd0000000, 0xe0008010\n"
		 "mov 0xc0000000, %eax\nmov %eax, 8(%edi)\n"
		 "mov 0xd0000000, %eax\nmov %eax, 12(%edi)\n"
		 "mov 0xd0001004, %eax\nmov %eax, 16(%edi)\n"
		 "movl $0x00100000, 0xe0008010\n"
		 "mov 0xd0000000, %eax\nmov %eax, 20(%edi)\n"
		 "mov 0x00100000, %eax\nmov %eax, 24(%edi)\n"
		 "movl $0xd0000000, 0xe0008010\n"
		 "mov 0xd0000004, %eax\nmov %eax, 28(%edi)\n"
		 "movw $0, 0xe0008004\n"
		 "mov 0xd0000000, %eax\nmov %eax, 32(%edi)\n"
		 "movl $0x77, 0xd0000020\n" OFF);

static void test_a_bar_moves_and_keeps_its_contents(void **state)
{
	struct vm *vm = micro_new();
	struct probe_dev *p = probe_add(vm);
	struct err err = { 0 };

	(void)state;
	micro_load(vm, bar_start, bar_end);
	assert_int_equal(micro_run(vm, &err), 0);
	assert_int_equal(micro_result(vm, 0), 0x55667788);
	assert_int_equal(micro_result(vm, 1), 0xcafe);
	assert_int_equal(micro_result(vm, 2), 0xffffffff);
	assert_int_equal(micro_result(vm, 3), 0x55667788);
	assert_int_equal(micro_result(vm, 4), 0xcafe);
	assert_int_equal(micro_result(vm, 5), 0xffffffff);
	assert_int_equal(micro_result(vm, 6), 0); /* RAM stays RAM */
	assert_int_equal(micro_result(vm, 7), 0x11223344);
	assert_int_equal(micro_result(vm, 8), 0xffffffff);
	assert_int_equal(p->reads, 3);
	/* The doorbells went to the eventfd, the last write to nobody. */
	assert_int_equal(p->writes, 0);
	assert_int_equal(io_eventfd_drain(p->event_fd), 2);
	vm_free(vm);
}

/* MSI-X on: vector 1 to APIC 0, vector 0x41, unmasked; the device fires it; the local APIC's
 * request register says whether it came (interrupts are off). */
MICRO_GUEST(msix, "mov $0x30000, %edi\n"
		  "mov $0xfee00000, %ebx\nmovl $0x1ff, 0xf0(%ebx)\n" /* APIC on */
		  "movl $0xfee00000, 0xc0002010\nmovl $0, 0xc0002014\nmovl $0x41, 0xc0002018\n"
		  "movw $0x8000, 0xe0008042\n"
		  "movl $0xf1fe, 0xc0000100\n" /* masked: pending */
		  "mov 0xc0003000, %eax\nmov %eax, (%edi)\n"
		  "mov 0x220(%ebx), %eax\nmov %eax, 4(%edi)\n"
		  "movl $0, 0xc000201c\n" /* unmask */
		  "mov $200000, %ecx\n"
		  "2: mov 0x220(%ebx), %eax\ntest $2, %eax\njnz 3f\nloop 2b\n"
		  "3: mov %eax, 8(%edi)\n"
		  "mov 0xc0003000, %eax\nmov %eax, 12(%edi)\n" OFF);

static void test_a_message_waits_for_its_mask(void **state)
{
	struct vm *vm = micro_new();
	struct err err = { 0 };

	(void)state;
	probe_add(vm);
	micro_load(vm, msix_start, msix_end);
	assert_int_equal(micro_run(vm, &err), 0);
	assert_int_equal(micro_result(vm, 0), 2);
	assert_int_equal(micro_result(vm, 1), 0);
	assert_int_equal(micro_result(vm, 2), 2);
	assert_int_equal(micro_result(vm, 3), 0);
	assert_int_equal(vm->irqs.commits, 1);
	vm_free(vm);
}

/* An empty IDT, then a selector beyond the GDT. */
MICRO_GUEST(triple, "mov $0x30000, %edi\nlidt (%edi)\nmov $0x58, %eax\nmov %eax, %ds\n");

static void test_a_triple_fault_without_a_kernel_ends_the_guest(void **state)
{
	struct vm *vm = micro_new();
	struct err err = { 0 };

	(void)state;
	micro_load(vm, triple_start, triple_end);
	assert_int_equal(micro_run(vm, &err), -EIO);
	if (!strstr(err.msg, "restart"))
		fail_msg("%s", err.msg);
	vm_free(vm);
}

/* What Linux does last: the code at the reset vector asks for a reset, which without a kernel to
 * load ends the guest. */
MICRO_GUEST(vector, "mov $0xffff0, %eax\njmp *%eax\n");

static void test_the_reset_vector_resets(void **state)
{
	static const uint8_t code[] = { 0x66, 0xba, 0x04, 0x06 };
	struct vm *vm = micro_new();
	struct err err = { 0 };
	uint8_t at[9];

	(void)state;
	micro_load(vm, vector_start, vector_end);
	assert_int_equal(acpi_build(vm, &err), 0);
	/* The vector is 16-bit code; in this guest's 32-bit mode its first instruction needs a prefix. */
	assert_int_equal(mem_read(&vm->mem, GPA_RESET_VECTOR, at, sizeof(at)), 0);
	assert_memory_equal(at, code + 1, 3);
	assert_int_equal(mem_write(&vm->mem, GPA_RESET_VECTOR - 1, code, 1), 0);
	assert_int_equal(mem_write(&vm->mem, MICRO_CODE + 1, (uint8_t[]){ 0xef }, 1), 0);
	assert_int_equal(micro_run(vm, &err), -EIO);
	if (!strstr(err.msg, "restart"))
		fail_msg("%s", err.msg);
	vm_free(vm);
}

MICRO_GUEST(nobody, "mov $0x30000, %edi\n"
		    "mov 0xcfffff00, %eax\nmov %eax, (%edi)\n"
		    "movl $5, 0xcfffff00\n"
		    "mov $0x999, %edx\nin %dx, %ax\nmovzx %ax, %eax\nmov %eax, 4(%edi)\n"
		    "mov 0xdffffffe, %eax\nmov %eax, 8(%edi)\n" /* across into ECAM */
		    "mov $0xcfd, %edx\nin %dx, %eax\nmov %eax, 12(%edi)\n" OFF);

static void test_what_nobody_answers_reads_as_ones(void **state)
{
	struct vm *vm = micro_new();
	struct err err = { 0 };

	(void)state;
	micro_load(vm, nobody_start, nobody_end);
	assert_int_equal(micro_run(vm, &err), 0);
	assert_int_equal(micro_result(vm, 0), 0xffffffff);
	assert_int_equal(micro_result(vm, 1), 0xffff);
	assert_int_equal(micro_result(vm, 2), 0x1b36ffff);
	assert_int_equal(micro_result(vm, 3), 0xffffffff);
	vm_free(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_off_ends_the_guest),
		cmocka_unit_test(test_config_space_is_reached_by_ports_and_ecam),
		cmocka_unit_test(test_a_bar_moves_and_keeps_its_contents),
		cmocka_unit_test(test_a_message_waits_for_its_mask),
		cmocka_unit_test(test_a_triple_fault_without_a_kernel_ends_the_guest),
		cmocka_unit_test(test_the_reset_vector_resets),
		cmocka_unit_test(test_what_nobody_answers_reads_as_ones),
	};
	const char *why = micro_reason_to_skip();

	if (why) {
		printf("skip: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
