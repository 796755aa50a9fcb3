// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A BAR whose host mapping goes away under the guest, on a real KVM. The mapping is of a file that
 * the device cuts short: touching it then is SIGBUS for this process and EFAULT for KVM_RUN, which
 * is what vfio-pci has for a function that sleeps or is gone.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <sys/mman.h>

#include "base/err.h"
#include "base/util.h"
#include "micro_guest.h"

#define PAGE 4096u
#define CMD_LOSE 1
#define CMD_BACK 2

struct losing_dev {
	struct pci_dev pdev;
	struct mem_part part;
	int fd;
	bool lost, blind; /* blind: does not know that it is lost */
	unsigned int reads, writes;
	unsigned int faults; /* accesses that came here because KVM_RUN had failed */
};

static struct losing_dev *to_losing(struct dev *dev)
{
	return (struct losing_dev *)(void *)dev;
}

static uint64_t losing_read(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size)
{
	struct losing_dev *d = to_losing(dev);

	(void)range;
	d->reads += offset >= PAGE;
	d->faults += offset >= PAGE && d->pdev.bars_trapped;
	return all_ones(size);
}

static void losing_write(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size,
			 uint64_t value)
{
	struct losing_dev *d = to_losing(dev);

	(void)range;
	(void)size;
	if (offset >= PAGE) {
		d->writes++;
		return;
	}
	d->lost = value == CMD_LOSE;
	assert_int_equal(ftruncate(d->fd, d->lost ? 0 : PAGE), 0);
	if (value == CMD_BACK)
		pci_bars_trap(&d->pdev, false);
}

static bool losing_lost(struct pci_dev *pdev)
{
	struct losing_dev *d = to_losing(&pdev->dev);

	return d->lost && !d->blind;
}

static int losing_realize(struct dev *dev, struct err *err)
{
	struct losing_dev *d = to_losing(dev);
	struct range *range = &d->pdev.bars[0].range;

	d->fd = memfd_create("bar", MFD_CLOEXEC);
	assert_int_equal(ftruncate(d->fd, PAGE), 0);
	d->part.hva = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, 0);
	assert_ptr_not_equal(d->part.hva, MAP_FAILED);
	d->part.offset = PAGE;
	d->part.size = PAGE;
	pci_dev_init(&d->pdev, 0x1234, 0x5678, 0xff000001, 0, 0, PCI_CONFIG_SIZE);
	pci_bar_set(&d->pdev, 0, PCI_BAR_MEM32, false, 2 * (uint64_t)PAGE);
	range->parts = &d->part;
	range->part_count = 1;
	return pci_dev_plug(&d->pdev, err);
}

static void losing_destroy(struct dev *dev)
{
	struct losing_dev *d = to_losing(dev);

	pci_dev_unplug(&d->pdev);
	munmap(d->part.hva, PAGE);
	close(d->fd);
}

static const struct pci_ops losing_pci_ops = { .bars_lost = losing_lost };
static const struct dev_class losing_class = {
	.name = "losing",
	.size = sizeof(struct losing_dev),
	.pci = &losing_pci_ops,
	.realize = losing_realize,
	.destroy = losing_destroy,
	.read = losing_read,
	.write = losing_write,
};

static struct losing_dev *losing_add(struct vm *vm)
{
	struct err err = { 0 };
	struct dev *dev;

	if (dev_new(vm, &losing_class, "losing0", &dev, &err) || dev_add(dev, &err))
		fail_msg("%s", err.msg);
	return to_losing(dev);
}

/* BAR 0 lies at 0xc0000000: the command register, and a page further on what may be lost. */
#define OFF "mov $0x600, %edx\nmov $" MICRO_OFF ", %al\nout %al, %dx\n1: hlt\njmp 1b\n"
#define KEEP(n) "mov 0xc0001000, %eax\nmov %eax, 4*" #n "(%edi)\n"

MICRO_GUEST(lose, "mov $0x30000, %edi\n"
		  "movl $0xcafe, 0xc0001000\n" KEEP(0) "movl $1, 0xc0000000\n" KEEP(
			  1) "movl $0xbad, 0xc0001000\n" KEEP(2)
	    /* Moved while it is lost, and back. */
	    "movl $0xd0000000, 0xe0008010\n"
	    "mov 0xd0001000, %eax\nmov %eax, 12(%edi)\n"
	    "movl $0xc0000000, 0xe0008010\n"
	    "movl $2, 0xc0000000\n" KEEP(4) "movl $0xbeef, 0xc0001000\n" KEEP(
		    5) "movl $1, 0xc0000000\n" KEEP(6) "movl $2, 0xc0000000\n" KEEP(7) OFF);

static void test_a_lost_bar_reads_as_ones_and_comes_back(void **state)
{
	struct vm *vm = micro_new();
	struct losing_dev *d = losing_add(vm);
	struct err err = { 0 };

	(void)state;
	micro_load(vm, lose_start, lose_end);
	if (micro_run(vm, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(micro_result(vm, 0), 0xcafe);
	assert_int_equal(micro_result(vm, 1), 0xffffffff);
	assert_int_equal(micro_result(vm, 2), 0xffffffff);
	assert_int_equal(micro_result(vm, 3), 0xffffffff);
	/* A file that grew again is empty: the write while it was lost went nowhere. */
	assert_int_equal(micro_result(vm, 4), 0);
	assert_int_equal(micro_result(vm, 5), 0xbeef);
	assert_int_equal(micro_result(vm, 6), 0xffffffff);
	assert_int_equal(micro_result(vm, 7), 0);
	assert_int_equal(d->reads, 4);
	assert_int_equal(d->writes, 1);
	/* A KVM that interprets the guest's code turns such an access into an exit by itself. */
	assert_true(d->faults == 4 || !d->faults);
	print_message("# %u of 4 reads after KVM_RUN had failed\n", d->faults);
	vm_free(vm);
}

MICRO_GUEST(stuck, "mov $0x30000, %edi\n"
		   "movl $1, 0xc0000000\n" KEEP(0) OFF);

/* Nobody withdraws what KVM cannot reach: the guest ends with a message, and does not spin. A
 * kernel that says where the fault was needs nobody who knows, nor does one that interprets. */
static void test_a_fault_that_nobody_knows_ends_the_guest(void **state)
{
	struct vm *vm = micro_new();
	struct losing_dev *d = losing_add(vm);
	struct err err = { 0 };
	int ret;

	(void)state;
	d->blind = true;
	micro_load(vm, stuck_start, stuck_end);
	ret = micro_run(vm, &err);
	if (ret) {
		assert_int_equal(ret, -EIO);
		assert_non_null(strstr(err.msg, "KVM_RUN fails with error 0xe"));
	} else {
		assert_int_equal(micro_result(vm, 0), 0xffffffff);
	}
	print_message("# KVM_RUN %s\n", ret		       ? "failed, and KVM did not say where"
					: d->pdev.bars_trapped ? "failed, and KVM said where"
							       : "did not fail");
	vm_free(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_lost_bar_reads_as_ones_and_comes_back),
		cmocka_unit_test(test_a_fault_that_nobody_knows_ends_the_guest),
	};
	const char *why = micro_reason_to_skip();

	if (why) {
		printf("skip: %s\n", why);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
