// SPDX-License-Identifier: GPL-2.0-or-later
/* Interrupts of a function handed over: what VFIO and KVM are asked for, and how often. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/kvm.h>
#include <linux/pci_regs.h>

#include "base/io.h"
#include "base/util.h"
#include "fake_guest.h"
#include "fake_kvm.h"

#define MSIX VFIO_PCI_MSIX_IRQ_INDEX

static int setup(void **state)
{
	*state = fake_guest_new(64 * MIB, false);
	return 0;
}

static int teardown(void **state)
{
	fake_guest_free(*state);
	return 0;
}

/* Calls for interrupts since the last fake_vfio_forget() and @kvm_before. */
static unsigned int kvm_irq_calls(void)
{
	return fake_kvm_count(KVM_IRQFD) + fake_kvm_count(KVM_SET_GSI_ROUTING);
}

static void expect_set(const struct fake_vdev *dev, unsigned int at, uint32_t index, uint32_t start,
		       uint32_t count)
{
	assert_true(at < dev->set_count);
	assert_int_equal(dev->sets[at].index, index);
	assert_int_equal(dev->sets[at].start, start);
	assert_int_equal(dev->sets[at].count, count);
}

static void msix_masked_all(struct fake_guest *g, struct pci_dev *pdev, bool masked)
{
	(void)g;
	pci_config_write(pdev, pdev->msix.cap + PCI_MSIX_FLAGS, 2,
			 PCI_MSIX_FLAGS_ENABLE | (masked ? PCI_MSIX_FLAGS_MASKALL : 0));
}

/* As Linux does it: enable with everything masked, write all entries masked, take the function mask
 * away, then unmask each vector when its driver asks for the interrupt. */
static void linux_enable(struct fake_guest *g, struct pci_dev *pdev, unsigned int n)
{
	unsigned int v;

	msix_masked_all(g, pdev, true);
	for (v = 0; v < n; v++)
		fake_guest_msix_entry(g, pdev, v, true);
	msix_masked_all(g, pdev, false);
	for (v = 0; v < n; v++)
		fake_guest_msix_entry(g, pdev, v, false);
	irqs_flush(&g->vm->irqs);
}

/* G3: N vectors cost at most 2 routing commits and 2N+6 interrupt calls in all, and the host gives
 * no vector that the guest does not use. */
static void test_msix_lazy(void **state)
{
	static const unsigned int counts[] = { 1, 2, 3, 16, 33, 65 };
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	unsigned int i, v, n, kvm;
	struct pci_dev *pdev;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		n = counts[i];
		pdev = fake_guest_add(g, NVME);
		fake_guest_place(g);
		fake_vfio_forget();
		kvm = kvm_irq_calls();
		v = fake_kvm_count(KVM_SET_GSI_ROUTING);
		linux_enable(g, pdev, n);
		assert_true(fake_kvm_count(KVM_SET_GSI_ROUTING) - v <= 2);
		kvm = kvm_irq_calls() - kvm;
		/* INTx off; MSI-X on with nothing in it; one for each vector. */
		assert_int_equal(dev->set_count, 1 + 1 + n);
		if (kvm + dev->set_count > 2 * n + 6)
			fail_msg("%u vectors: %u calls to KVM, %u to VFIO", n, kvm, dev->set_count);
		expect_set(dev, 0, VFIO_PCI_INTX_IRQ_INDEX, 0, 0);
		expect_set(dev, 1, MSIX, 0, 1);
		assert_int_equal(dev->sets[1].first, -1);
		expect_set(dev, 1 + n, MSIX, n - 1, 1);
		assert_int_equal(dev->allocated, n);
		assert_int_equal(fake_kvm_irqfds(), n);
		for (v = 0; v < n; v++) {
			assert_int_equal(dev->fds[v], pci_vector_fd(pdev, v));
			assert_true(fake_kvm_irqfd(dev->fds[v]) > 0);
		}
		dev_remove(&pdev->dev);
		loop_do_posted(g->vm->loop);
		assert_int_equal(fake_kvm_irqfds(), 0);
	}
	assert_int_equal(g->len, 0);
}

/* A guest that fills the table before it switches MSI-X on: one call for all. */
static void test_msix_prepared(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, VF0);

	fake_guest_place(g);
	fake_guest_msix_entry(g, pdev, 0, false);
	fake_guest_msix_entry(g, pdev, 1, true);
	fake_guest_msix_entry(g, pdev, 2, false);
	assert_int_equal(dev->set_count, 0);
	fake_guest_msix_enable(pdev, true);
	assert_int_equal(dev->set_count, 1);
	expect_set(dev, 0, MSIX, 0, 3);
	assert_int_equal(dev->fds[0], pci_vector_fd(pdev, 0));
	assert_int_equal(dev->fds[1], -1);
	assert_int_equal(dev->fds[2], pci_vector_fd(pdev, 2));
}

/* Masking a vector or the function takes irqfds away, and never reaches VFIO. */
static void test_masking(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, VF0);
	unsigned int i;

	fake_guest_place(g);
	linux_enable(g, pdev, 3);
	fake_vfio_forget();
	for (i = 0; i < 100; i++) {
		fake_guest_msix_entry(g, pdev, 1, true);
		irqs_flush(&g->vm->irqs);
		assert_int_equal(fake_kvm_irqfd(dev->fds[1]), -1);
		fake_guest_msix_entry(g, pdev, 1, false);
		irqs_flush(&g->vm->irqs);
		assert_true(fake_kvm_irqfd(dev->fds[1]) > 0);
		msix_masked_all(g, pdev, true);
		msix_masked_all(g, pdev, false);
		irqs_flush(&g->vm->irqs);
	}
	assert_int_equal(dev->set_count, 0);
	assert_int_equal(fake_kvm_irqfds(), 3);
	fake_guest_msix_enable(pdev, false);
	assert_int_equal(dev->set_count, 1);
	expect_set(dev, 0, MSIX, 0, 0);
	assert_int_equal(dev->mode, -1);
	assert_int_equal(fake_kvm_irqfds(), 0);
}

/* A kernel that cannot add vectors later: the whole table at once, then one call for each. */
static void test_noresize(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct pci_dev *pdev;

	dev->irqs[MSIX].flags |= VFIO_IRQ_INFO_NORESIZE;
	pdev = fake_guest_add(g, VF0);
	fake_guest_place(g);
	linux_enable(g, pdev, 2);
	assert_int_equal(dev->set_count, 3);
	expect_set(dev, 0, MSIX, 0, 3);
	expect_set(dev, 1, MSIX, 0, 1);
	expect_set(dev, 2, MSIX, 1, 1);
	assert_int_equal(dev->fds[1], pci_vector_fd(pdev, 1));
	assert_int_equal(g->len, 0);
}

static void expect_two_of_three(struct fake_guest *g, struct fake_vdev *dev, struct pci_dev *pdev)
{
	unsigned int v;

	g->len = 0;
	g->text[0] = '\0';
	fake_vfio_forget();
	for (v = 0; v < 3; v++)
		fake_guest_msix_entry(g, pdev, v, false);
	fake_guest_msix_enable(pdev, true);
	assert_int_equal(dev->set_count, 2);
	expect_set(dev, 1, MSIX, 0, 2);
	assert_true(fake_guest_logged(g, "the host gives 2 of 3; 1 in use stay silent"));
	assert_int_equal(dev->fds[1], pci_vector_fd(pdev, 1));
	fake_guest_msix_enable(pdev, false);
}

static void test_noresize_short(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct pci_dev *pdev;

	dev->irqs[MSIX].flags |= VFIO_IRQ_INFO_NORESIZE;
	dev->vectors_room = 2;
	pdev = fake_guest_add(g, VF0);
	fake_guest_place(g);
	expect_two_of_three(g, dev, pdev);
	for (unsigned int v = 0; v < 3; v++)
		fake_guest_msix_entry(g, pdev, v, true);
	linux_enable(g, pdev, 3);
	assert_true(fake_guest_logged(g, "vector 2 stays silent: the host gave fewer vectors"));
	assert_int_equal(dev->fds[1], pci_vector_fd(pdev, 1));
}

/* The host has two vectors left of the three: the function works with two, and it is said. */
static void test_host_short(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, VF0);

	fake_guest_place(g);
	dev->vectors_room = 2;
	linux_enable(g, pdev, 3);
	assert_true(fake_guest_logged(g, "0000:01:10.0: vector 2 stays silent: No space left"));
	assert_int_equal(dev->fds[1], pci_vector_fd(pdev, 1));
	fake_guest_msix_enable(pdev, false);
	/* The same when they are asked for together. */
	expect_two_of_three(g, dev, pdev);
	/* None at all; and when there are some later, the next vector brings them up. */
	dev->vectors_room = 0;
	fake_guest_msix_entry(g, pdev, 1, true);
	fake_guest_msix_entry(g, pdev, 2, true);
	g->len = 0;
	fake_guest_msix_enable(pdev, true);
	assert_true(fake_guest_logged(g, "no vector works: No space left"));
	assert_int_equal(dev->mode, -1);
	dev->vectors_room = 16;
	fake_guest_msix_entry(g, pdev, 2, false);
	assert_int_equal(dev->mode, MSIX);
	assert_int_equal(dev->fds[0], pci_vector_fd(pdev, 0));
	assert_int_equal(dev->fds[2], pci_vector_fd(pdev, 2));
}

/* A kernel that says ENOSPC to the lot, as it does when one vector of several is not to be had. */
static void test_host_refuses_the_lot(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, VF0);
	unsigned int v;

	fake_guest_place(g);
	for (v = 0; v < 3; v++)
		fake_guest_msix_entry(g, pdev, v, false);
	fake_vfio_fail(VFIO_DEVICE_SET_IRQS, 1, ENOSPC);
	fake_guest_msix_enable(pdev, true);
	assert_int_equal(g->len, 0);
	for (v = 0; v < 3; v++)
		assert_int_equal(dev->fds[v], pci_vector_fd(pdev, v));
	fake_guest_msix_enable(pdev, false);
	/* And in truth has two. */
	dev->vectors_room = 2;
	fake_vfio_fail(VFIO_DEVICE_SET_IRQS, 1, ENOSPC);
	fake_guest_msix_enable(pdev, true);
	assert_true(fake_guest_logged(g, "the host gives 2 of 3; 1 in use stay silent"));
	assert_int_equal(dev->fds[1], pci_vector_fd(pdev, 1));
	assert_int_equal(dev->fds[2], -1);
}

/* A count that shrinks from call to call ends, and so does one that makes no sense. */
static void test_host_counts_down(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, VF0);
	unsigned int v;

	fake_guest_place(g);
	for (v = 0; v < 3; v++)
		fake_guest_msix_entry(g, pdev, v, false);
	dev->vectors_room = 1;
	fake_vfio_fail(VFIO_DEVICE_SET_IRQS, 1, -2);
	fake_guest_msix_enable(pdev, true);
	assert_true(fake_guest_logged(g, "the host gives 1 of 3; 2 in use stay silent"));
	assert_int_equal(dev->mode, MSIX);
	fake_guest_msix_enable(pdev, false);
	dev->vectors_room = 16;
	fake_vfio_fail(VFIO_DEVICE_SET_IRQS, 1, -3000);
	fake_guest_msix_enable(pdev, true);
	assert_int_equal(dev->mode, MSIX);
	for (v = 0; v < 3; v++)
		assert_int_equal(dev->fds[v], pci_vector_fd(pdev, v));
}

/* EMFILE at the third vector: that one and those behind it are silent, VFIO is asked for the two,
 * and one message says what to do. */
static bool descriptors_for_two(struct fake_guest *g, struct fake_vdev *dev, struct pci_dev *pdev)
{
	int next = dup(0);
	struct rlimit limit = { (rlim_t)next + 2, (rlim_t)next + 2 };
	unsigned int v;

	close(next);
	setrlimit(RLIMIT_NOFILE, &limit);
	linux_enable(g, pdev, 8);
	for (v = 0; v < 8; v++)
		if ((dev->fds[v] >= 0) != (v < 2))
			return false;
	return dev->mode == MSIX && dev->allocated == 2 && fake_kvm_irqfds() == 2 &&
	       strstr(g->text, "stays silent") &&
	       !strstr(strstr(g->text, "silent") + 1, "silent") &&
	       fake_guest_logged(g, "vector 2 stays silent: no descriptor left; raise the limit "
				    "(ulimit -n)");
}

static void test_no_descriptor_at_vector_k(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	int status;
	pid_t child;

	fake_guest_place(g);
	child = fork();
	if (!child)
		_exit(descriptors_for_two(g, dev, pdev) ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_off_refused(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *pdev;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	pdev = fake_guest_add(g, VF0);
	fake_guest_place(g);
	linux_enable(g, pdev, 2);
	fake_vfio_fail(VFIO_DEVICE_SET_IRQS, 1, EIO);
	fake_guest_msix_enable(pdev, false);
	assert_true(fake_guest_logged(g, "0000:01:10.0: switching interrupts off: Input/output"));
	assert_int_equal(fake_kvm_irqfds(), 0);
	assert_int_equal(g->vm->irqs.gsi_top, 0);
}

/* No route, no attach: before the guest sees the function, and the others go on. */
static void test_more_vectors_than_routes(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, VF0);
	struct err err = { 0 };

	fake_vfio_nvme(NVME, NVME_GROUP);
	fake_guest_place(g);
	linux_enable(g, pdev, 3);
	g->vm->irqs.gsi_max = GSI_MSI_FIRST + 60;
	assert_int_equal(fake_guest_try(g, NVME, &err), -ENOSPC);
	if (!strstr(err.msg, NVME) ||
	    !strstr(err.msg, "interrupt vectors do not fit: KVM has 60 routes for messages, 3 of "
			     "them are the other devices'"))
		fail_msg("%s", err.msg);
	assert_int_equal(g->vm->irqs.promised, 3);
	assert_int_equal(fake_kvm_irqfds(), 3);
	io_eventfd_signal(vf->fds[2]);
	assert_int_equal(fake_kvm_messages(0x42), 1);
	/* With fewer they do. */
	pdev = fake_guest_add(g, NVME ",vectors=20");
	assert_int_equal(pdev->msix.count, 20);
	assert_int_equal(pci_config_read(pdev, pdev->msix.cap + PCI_MSIX_FLAGS, 2), 19);
	assert_true(pdev->msi.count_max <= 16);
	assert_int_equal(g->vm->irqs.promised, 3u + 20 + pdev->msi.count_max);
}

static void test_a_thousand_rounds_leak_no_gsi(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *pdev;
	unsigned int i;

	fake_vfio_igbvf(VF0, VF0_GROUP);
	for (i = 0; i < 1000; i++) {
		pdev = fake_guest_add(g, VF0);
		fake_guest_place(g);
		linux_enable(g, pdev, 3);
		assert_int_equal(g->vm->irqs.gsi_top, 3);
		dev_remove(&pdev->dev);
		loop_do_posted(g->vm->loop);
		assert_int_equal(g->vm->irqs.gsi_top, 0);
		assert_int_equal(g->vm->irqs.promised, 0);
		assert_int_equal(fake_kvm_irqfds(), 0);
	}
}

static uint64_t pba(struct fake_guest *g, struct pci_dev *pdev)
{
	return fake_guest_read(g, pci_bar_addr(pdev, pdev->msix.pba_bar) + pdev->msix.pba_offset,
			       8);
}

/* What is masked in KVM pends here; what was never connected pends in the function itself. */
static void test_pending_bits(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, VF0);
	struct fake_region *region = &dev->regions[pdev->msix.pba_bar];
	uint64_t own = htole64(4);

	fake_guest_place(g);
	assert_int_equal(pba(g, pdev), 0);
	linux_enable(g, pdev, 2);
	fake_guest_msix_entry(g, pdev, 0, true);
	assert_int_equal(pba(g, pdev), 0);
	io_eventfd_signal(dev->fds[0]);
	io_eventfd_signal(dev->fds[0]);
	io_eventfd_signal(dev->fds[1]);
	assert_int_equal(fake_kvm_messages(0x41), 1);
	assert_int_equal(pba(g, pdev), 1);
	assert_int_equal(fake_kvm_messages(0x40), 0);
	assert_int_equal(pwrite(region->memfd, &own, 8, pdev->msix.pba_offset), 8);
	assert_int_equal(pba(g, pdev), 5);
	/* The guest cannot change them. */
	fake_guest_write(g, pci_bar_addr(pdev, pdev->msix.pba_bar) + pdev->msix.pba_offset, 8, 0);
	assert_int_equal(pba(g, pdev), 5);
	fake_guest_msix_entry(g, pdev, 0, false);
	assert_int_equal(pba(g, pdev), 4);
	assert_int_equal(fake_kvm_messages(0x40), 1);
	fake_guest_msix_enable(pdev, false);
	assert_int_equal(pba(g, pdev), 0);
}

static void test_msi(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	unsigned int v;

	fake_vfio_forget();
	pci_config_write(pdev, 0x54, 4, 0xfee00000);
	pci_config_write(pdev, 0x5c, 2, 0x4040);
	pci_config_write(pdev, 0x52, 2, PCI_MSI_FLAGS_ENABLE | 2 << 4); /* four vectors */
	assert_int_equal(dev->set_count, 2);
	expect_set(dev, 0, VFIO_PCI_INTX_IRQ_INDEX, 0, 0);
	expect_set(dev, 1, VFIO_PCI_MSI_IRQ_INDEX, 0, 4);
	for (v = 0; v < 4; v++) {
		assert_true(dev->fds[v] >= 0);
		assert_int_equal(dev->fds[v], pci_vector_fd(pdev, v));
	}
	irqs_flush(&g->vm->irqs);
	assert_int_equal(fake_kvm_irqfds(), 4);
	assert_int_equal(g->len, 0);
}

static void stop(void *opaque)
{
	loop_stop(((struct vm *)opaque)->loop);
}

static void run_for_ms(struct vm *vm, unsigned int ms)
{
	struct loop_timer *timer;
	struct err err = { 0 };

	assert_int_equal(loop_timer_new(vm->loop, NULL, stop, vm, &timer, &err), 0);
	loop_timer_set(timer, ms * 1000000ull);
	assert_int_equal(loop_run(vm->loop, &err), 0);
	loop_timer_del(timer);
}

/* A driver that changes its vectors passes through INTx: nothing is set up for that moment. Where
 * it stays, INTx comes up. */
static void test_messages_to_intx(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	unsigned int i, intx = fake_kvm_count(KVM_IRQFD);

	fake_guest_place(g);
	linux_enable(g, pdev, 1);
	intx = fake_kvm_count(KVM_IRQFD) - intx - 1;
	assert_int_equal(intx, 1); /* taken away */
	fake_vfio_forget();
	intx = fake_kvm_count(KVM_IRQFD);
	for (i = 0; i < 10; i++) {
		fake_guest_msix_enable(pdev, false);
		assert_int_equal(dev->mode, -1);
		msix_masked_all(g, pdev, true);
		assert_int_equal(dev->mode, MSIX);
	}
	assert_int_equal(dev->set_count, 20);
	assert_int_equal(fake_kvm_count(KVM_IRQFD) - intx, 1); /* the one vector's */
	/* Interrupt Disable set, messages off, then it is cleared: as Linux ends MSI-X. */
	pci_config_write(pdev, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	fake_guest_msix_enable(pdev, false);
	pci_config_write(pdev, PCI_COMMAND, 2, 0);
	assert_int_equal(dev->mode, -1);
	run_for_ms(g->vm, 150);
	assert_int_equal(dev->mode, VFIO_PCI_INTX_IRQ_INDEX);
	assert_int_equal(dev->unmask, pdev->intx.resample);
	assert_int_equal(fake_kvm_irqfd(pdev->intx.trigger),
			 GSI_PCI_FIRST + (pdev->devfn >> 3) % GSI_PCI_COUNT);
	assert_int_equal(g->len, 0);
}

static void test_intx_later_and_quiesced(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);

	fake_guest_place(g);
	linux_enable(g, pdev, 1);
	fake_guest_msix_enable(pdev, false);
	pdev->dev.class->quiesce(&pdev->dev);
	run_for_ms(g->vm, 150);
	assert_int_equal(dev->mode, -1);
	assert_int_equal(fake_kvm_irqfds(), 0);
}

/* The interrupt goes by trigger from VFIO to KVM, the EOI by resample back. */
static void test_intx(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_e1000(E1000, E1000_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, E1000);

	assert_int_equal(dev->set_count, 2);
	assert_int_equal(dev->mode, VFIO_PCI_INTX_IRQ_INDEX);
	assert_int_equal(dev->fds[0], pdev->intx.trigger);
	assert_int_equal(dev->unmask, pdev->intx.resample);
	assert_int_equal(fake_kvm_resample(pdev->intx.trigger), pdev->intx.resample);
	assert_int_equal(fake_kvm_irqfd(pdev->intx.trigger),
			 GSI_PCI_FIRST + (pdev->devfn >> 3) % GSI_PCI_COUNT);
	/* Interrupt Disable is the kernel's to obey: a driver may set it at each interrupt. */
	for (unsigned int i = 0; i < 10; i++) {
		pci_config_write(pdev, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
		assert_int_equal(get_le16(dev->config + PCI_COMMAND),
				 PCI_COMMAND_INTX_DISABLE | PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
		pci_config_write(pdev, PCI_COMMAND, 2, 0);
	}
	assert_int_equal(dev->set_count, 2);
	assert_int_equal(dev->unmask, pdev->intx.resample);
	assert_int_equal(fake_kvm_irqfds(), 1);
	dev_reset_all(g->vm);
	assert_int_equal(dev->unmask, pdev->intx.resample);
	assert_int_equal(fake_kvm_irqfds(), 1);
	/* Quiesced, it stays off whatever the guest does. */
	pdev->dev.class->quiesce(&pdev->dev);
	pci_config_write(pdev, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
	pci_config_write(pdev, PCI_COMMAND, 2, 0);
	assert_int_equal(dev->mode, -1);
	assert_int_equal(fake_kvm_irqfds(), 0);
}

static void intx_fails(struct fake_guest *g, unsigned int at, int code, const char *text)
{
	struct pci_dev *pdev;

	g->len = 0;
	g->text[0] = '\0';
	fake_vfio_fail(VFIO_DEVICE_SET_IRQS, at, code);
	pdev = fake_guest_add(g, E1000);
	if (!fake_guest_logged(g, text))
		fail_msg("\"%s\" is not in \"%s\"", text, g->text);
	assert_int_equal(fake_kvm_irqfds(), 0);
	dev_remove(&pdev->dev);
	loop_do_posted(g->vm->loop);
}

static void test_intx_refused(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_e1000(E1000, E1000_GROUP);
	struct pci_dev *pdev;

	intx_fails(g, 1, EBUSY, "0000:06:01.0: INTx stays silent: the host's line is shared");
	intx_fails(g, 2, EINVAL, "the kernel takes no eventfd that unmasks it: Invalid argument");
	assert_int_equal(dev->mode, -1);
	/* A function without INTx shows no pin. */
	dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].count = 0;
	pdev = fake_guest_add(g, E1000);
	assert_int_equal(pci_config_read(pdev, PCI_INTERRUPT_PIN, 1), 0);
	assert_int_equal(fake_kvm_irqfds(), 0);
}

/* From one kind straight to another: VFIO takes one at a time. */
static void test_modes(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	unsigned int i;

	fake_guest_place(g);
	for (i = 0; i < 10; i++) {
		linux_enable(g, pdev, 4);
		assert_int_equal(dev->mode, MSIX);
		/* Both on at once: a fault of the guest's. MSI-X stands. */
		pci_config_write(pdev, 0x54, 4, 0xfee00000);
		pci_config_write(pdev, 0x52, 2, PCI_MSI_FLAGS_ENABLE);
		assert_int_equal(dev->mode, MSIX);
		fake_guest_msix_enable(pdev, false);
		assert_int_equal(dev->mode, VFIO_PCI_MSI_IRQ_INDEX);
		/* Off and on beside MSI-X: its vectors are not taken for MSI-X's. */
		fake_guest_msix_enable(pdev, true);
		fake_vfio_forget();
		pci_config_write(pdev, 0x52, 2, 0);
		pci_config_write(pdev, 0x52, 2, PCI_MSI_FLAGS_ENABLE | 7 << 4);
		assert_int_equal(pdev->msi.count, pdev->msi.count_max);
		assert_int_equal(dev->set_count, 0);
		dev_reset_all(g->vm);
		assert_int_equal(dev->mode, VFIO_PCI_INTX_IRQ_INDEX);
	}
	assert_int_equal(g->len, 0);
	assert_int_equal(fake_kvm_irqfds(), 1);
}

/* A message to an address that is no interrupt's is said once; one that Linux cleared is not. */
static void test_bad_addresses_are_said_once(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *pdev;
	unsigned int i;

	fake_vfio_nvme(NVME, NVME_GROUP);
	pdev = fake_guest_add(g, NVME);
	fake_guest_place(g);
	pci_config_write(pdev, 0x54, 4, 0xfee00000);
	pci_config_write(pdev, 0x52, 2, PCI_MSI_FLAGS_ENABLE);
	pci_config_write(pdev, 0x54, 4, 0);
	assert_int_equal(g->len, 0);
	for (i = 1; i < 20; i++)
		pci_config_write(pdev, 0x54, 4, i << 12);
	assert_true(fake_guest_logged(g, "vector 0 stays silent: its address 0x1000 is no"));
	assert_ptr_equal(strchr(g->text, '\n'), g->text + g->len - 1);
}

/* A guest that goes on while its function is being taken away brings nothing up again. */
static void test_quiesced(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, VF0);

	fake_guest_place(g);
	linux_enable(g, pdev, 1);
	pdev->dev.class->quiesce(&pdev->dev);
	assert_int_equal(dev->mode, -1);
	assert_int_equal(get_le16(dev->config + PCI_COMMAND), PCI_COMMAND_MEMORY);
	fake_vfio_forget();
	fake_guest_msix_entry(g, pdev, 1, false);
	fake_guest_msix_enable(pdev, false);
	fake_guest_msix_enable(pdev, true);
	assert_int_equal(dev->set_count, 0);
}

/* All that a driver does with its vectors, from plug to unplug. */
static void lifetime(struct fake_guest *g)
{
	struct err err = { 0 };
	struct pci_dev *pdev;
	struct dev *dev;
	unsigned int v;

	/* Without the eventfds of its errors and requests it is not taken. */
	if (fake_guest_try(g, NVME, &err)) {
		assert_true(err.msg[0]);
		loop_do_posted(g->vm->loop);
		return;
	}
	for (dev = g->vm->devs; dev->next; dev = dev->next)
		;
	pdev = to_pci(dev);
	fake_guest_place(g);
	linux_enable(g, pdev, 5);
	for (v = 0; v < 5; v++)
		fake_guest_msix_entry(g, pdev, v, true);
	for (v = 0; v < 5; v++)
		fake_guest_msix_entry(g, pdev, v, false);
	msix_masked_all(g, pdev, true);
	msix_masked_all(g, pdev, false);
	irqs_flush(&g->vm->irqs);
	fake_guest_msix_enable(pdev, false);
	pci_config_write(pdev, 0x54, 4, 0xfee00000);
	pci_config_write(pdev, 0x52, 2, PCI_MSI_FLAGS_ENABLE | 2 << 4);
	irqs_flush(&g->vm->irqs);
	dev_reset_all(g->vm);
	linux_enable(g, pdev, 2);
	dev_remove(&pdev->dev);
	loop_do_posted(g->vm->loop);
}

/* Whichever call the kernel refuses, and however: what was taken is given back, and the next
 * function has all it wants. */
static void test_each_call_fails_in_turn(void **state)
{
	static const unsigned long requests[] = { VFIO_DEVICE_SET_IRQS, KVM_IRQFD,
						  KVM_SET_GSI_ROUTING };
	static const int errors[] = { EINVAL, ENOMEM, ENOSPC, EBUSY };
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	unsigned int r, e, k, calls;

	for (r = 0; r < ARRAY_SIZE(requests); r++) {
		bool vfio = requests[r] == VFIO_DEVICE_SET_IRQS;

		fake_vfio_forget();
		calls = fake_kvm_count(requests[r]);
		lifetime(g);
		calls = vfio ? dev->set_count : fake_kvm_count(requests[r]) - calls;
		assert_true(calls > 2);
		for (k = 1; k <= calls; k++) {
			for (e = 0; e < ARRAY_SIZE(errors); e++) {
				if (vfio)
					fake_vfio_fail(requests[r], k, errors[e]);
				else
					fake_kvm_fail(requests[r], k, errors[e]);
				lifetime(g);
				fake_vfio_fail(0, 0, 0);
				fake_kvm_fail(0, 0, 0);
				assert_int_equal(g->vm->irqs.gsi_top, 0);
				assert_int_equal(g->vm->irqs.promised, 0);
				assert_int_equal(dev->open, false);
			}
		}
	}
	/* A refused KVM_IRQFD may have been one that takes away; of the fake's own irqfds such a
	 * one stays, as it would in KVM until the descriptor is closed. */
	fake_kvm_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_msix_lazy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_msix_prepared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_masking, setup, teardown),
		cmocka_unit_test_setup_teardown(test_noresize, setup, teardown),
		cmocka_unit_test_setup_teardown(test_host_short, setup, teardown),
		cmocka_unit_test_setup_teardown(test_noresize_short, setup, teardown),
		cmocka_unit_test_setup_teardown(test_host_refuses_the_lot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_host_counts_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_descriptor_at_vector_k, setup, teardown),
		cmocka_unit_test_setup_teardown(test_off_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_vectors_than_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_thousand_rounds_leak_no_gsi, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_pending_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_msi, setup, teardown),
		cmocka_unit_test_setup_teardown(test_messages_to_intx, setup, teardown),
		cmocka_unit_test_setup_teardown(test_intx_later_and_quiesced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_intx, setup, teardown),
		cmocka_unit_test_setup_teardown(test_intx_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_addresses_are_said_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quiesced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_call_fails_in_turn, setup, teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
