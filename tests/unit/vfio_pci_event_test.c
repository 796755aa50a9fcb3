// SPDX-License-Identifier: GPL-2.0-or-later
/* The host's errors and requests for a function handed over, and BARs that get out of reach. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "base/io.h"
#include "base/util.h"
#include "fake_guest.h"
#include "fake_kvm.h"

#define MSIX VFIO_PCI_MSIX_IRQ_INDEX
#define AER 0x100 /* of the igb VF */
#define PMCSR 0x44 /* of the NVMe */
#define VF1 "0000:01:10.2"

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

/* The loop runs until the condition holds, for at most 5 s. A loop runs once: one call a test. */
struct runner {
	struct fake_guest *g;
	const struct fake_vdev *dev;
	bool (*until)(const struct runner *r);
	struct loop_timer *timer;
	unsigned int ticks;
};

#define TICK_NS 1000000ull

static void tick(void *opaque)
{
	struct runner *r = opaque;

	if (r->until(r) || ++r->ticks == 5000)
		loop_stop(r->g->vm->loop);
	else
		loop_timer_set(r->timer, TICK_NS);
}

static void run_until(struct fake_guest *g, const struct fake_vdev *dev,
		      bool (*until)(const struct runner *r))
{
	struct runner r = { .g = g, .dev = dev, .until = until };
	struct err err = { 0 };

	if (loop_timer_new(g->vm->loop, NULL, tick, &r, &r.timer, &err))
		fail_msg("%s", err.msg);
	loop_timer_set(r.timer, TICK_NS);
	assert_int_equal(loop_run(g->vm->loop, &err), 0);
	loop_timer_del(r.timer);
	if (!until(&r))
		fail_msg("it never happened; the log: %s", g->text);
}

static bool closed(const struct runner *r)
{
	return !r->dev->open;
}

static bool was_reset(const struct runner *r)
{
	return fake_guest_logged(r->g, "was reset after the error");
}

static bool ended(const struct runner *r)
{
	return r->g->vm->end.code != 0;
}

static void expect_log(struct fake_guest *g, const char *text)
{
	if (!fake_guest_logged(g, text))
		fail_msg("\"%s\" is not in \"%s\"", text, g->text);
}

static void test_connected(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct fake_vdev *old = fake_vfio_e1000(E1000, E1000_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, VF0);

	fake_guest_add(g, E1000);
	assert_true(vf->err >= 0 && vf->req >= 0 && vf->err != vf->req);
	assert_int_equal(old->err, -1); /* no PCI Express, no such errors */
	assert_true(old->req >= 0);
	/* Quiesced, nothing is connected any more while VFIO still has the function open. */
	dev_get(&pdev->dev);
	dev_remove(&pdev->dev);
	assert_true(vf->open);
	assert_int_equal(vf->err, -1);
	assert_int_equal(vf->req, -1);
	dev_put(&pdev->dev);
}

static void test_an_old_kernel_has_no_requests(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);

	vf->irqs[VFIO_PCI_REQ_IRQ_INDEX].count = 0;
	fake_guest_add(g, VF0);
	assert_int_equal(vf->req, -1);
	assert_true(vf->err >= 0);
}

static void refused(struct fake_guest *g, const char *spec, int code, const char *text)
{
	struct err err = { 0 };

	assert_int_equal(fake_guest_try(g, spec, &err), code);
	if (!strstr(err.msg, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.msg);
	assert_null(fake_kvm_irqfds() ? g : NULL);
	assert_int_equal(fake_vfio_reservations(), 0);
}

static void test_refusals(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);
	unsigned int at;

	refused(g, VF0 ",on-error=panic", -EINVAL,
		"on-error=panic: it takes stop, reset or unplug");
	refused(g, VF0 ",unplug-timeout=0", -ERANGE, "unplug-timeout");
	assert_int_equal(vf->opens, 0);
	/* Each of the two eventfds refused by the kernel: nothing is left behind. */
	for (at = 1; at <= 2; at++) {
		fake_vfio_fail(VFIO_DEVICE_SET_IRQS, at, EINVAL);
		refused(g, VF0, -EINVAL, at == 1 ? "VFIO interrupt 3" : "VFIO interrupt 4");
		loop_do_posted(g->vm->loop);
		assert_false(vf->open);
	}
}

/* An administrator unbinds the driver: the function leaves the guest and is closed. */
static void test_a_request_unplugs(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);

	fake_guest_add(g, VF0 ",unplug-timeout=1");
	fake_guest_place(g);
	io_eventfd_signal(vf->req);
	io_eventfd_signal(vf->req); /* asked twice */
	run_until(g, vf, closed);
	expect_log(g, VF0 ": the host asks for it back\n");
	expect_log(g, "removed from the guest (the host asked for it back");
	assert_int_equal(vf->err, -1);
	assert_int_equal(vf->req, -1);
	assert_int_equal(get_le16(vf->config + PCI_COMMAND) & PCI_COMMAND_MASTER, 0);
}

static void aer(struct fake_vdev *dev, uint32_t uncorrectable, uint32_t severity, uint32_t mask,
		uint32_t correctable, unsigned int first)
{
	unsigned int i;

	put_le32(dev->config + AER + PCI_ERR_UNCOR_STATUS, uncorrectable);
	put_le32(dev->config + AER + PCI_ERR_UNCOR_SEVER, severity);
	put_le32(dev->config + AER + PCI_ERR_UNCOR_MASK, mask);
	put_le32(dev->config + AER + PCI_ERR_COR_STATUS, correctable);
	put_le32(dev->config + AER + PCI_ERR_CAP, first);
	for (i = 0; i < 4; i++)
		put_le32(dev->config + AER + PCI_ERR_HEADER_LOG + 4ul * i, 0x4a000001 + i);
}

static void test_an_error_stops_the_guest(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);

	fake_guest_add(g, VF0);
	/* Completion timeout, non-fatal, the first; malformed TLP, fatal; a reserved bit, masked.
	 */
	aer(vf, BIT(14) | BIT(18) | BIT(30), BIT(18), BIT(30), BIT(0) | BIT(12), 14);
	io_eventfd_signal(vf->err);
	run_until(g, vf, ended);
	assert_int_equal(g->vm->end.code, VM_END_DEVICE);
	assert_non_null(strstr(g->vm->end.msg, VF0 ": uncorrectable PCI Express error"));
	expect_log(g, "reports an uncorrectable PCI Express error; on-error=stop");
	expect_log(g, "uncorrectable 0x40044000: Completion Timeout (non-fatal, the first); "
		      "Malformed TLP (fatal); bit 30 (non-fatal, masked); "
		      "TLP header 4a000001 4a000002 4a000003 4a000004; "
		      "correctable 0x00001001: Receiver Error; Replay Timer Timeout\n");
	assert_true(vf->open);
}

/* The guest uses it: bus master on, two vectors. */
static struct pci_dev *used(struct fake_guest *g, const char *spec)
{
	struct pci_dev *pdev = fake_guest_add(g, spec);

	fake_guest_place(g);
	pci_config_write(pdev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	fake_guest_msix_entry(g, pdev, 0, false);
	fake_guest_msix_entry(g, pdev, 1, false);
	fake_guest_msix_enable(pdev, true);
	return pdev;
}

static void test_an_error_resets(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct pci_dev *pdev = used(g, VF0 ",on-error=reset");

	assert_int_equal(vf->mode, MSIX);
	/* The host's recovery holds the function for a while, and has lost its COMMAND. */
	vf->busy = 15;
	put_le16(vf->config + PCI_COMMAND, 0);
	vf->set_count = 0;
	io_eventfd_signal(vf->err);
	run_until(g, vf, was_reset);
	assert_int_equal(vf->resets, 1);
	assert_int_equal(fake_vfio_count(VFIO_DEVICE_RESET), 16);
	assert_int_equal(get_le16(vf->config + PCI_COMMAND),
			 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	/* Off before, on after, with the guest's own vectors. */
	assert_int_equal(vf->set_count, 2);
	assert_int_equal(vf->sets[0].count, 0);
	assert_int_equal(vf->mode, MSIX);
	assert_int_equal(vf->fds[0], pci_vector_fd(pdev, 0));
	assert_int_equal(vf->fds[1], pci_vector_fd(pdev, 1));
	expect_log(g, "nothing recorded by the function itself");
	assert_int_equal(g->vm->end.code, 0);
	assert_true(vf->open);
}

/* While the host's recovery holds the function for ever: a second error, then the guest restarts,
 * which resets the function itself. The first reset is not done once more. */
static bool restarts(const struct runner *r)
{
	struct fake_vdev *vf = (struct fake_vdev *)(uintptr_t)r->dev;

	if (r->ticks == 5) {
		io_eventfd_signal(vf->err);
	} else if (r->ticks == 100) {
		assert_int_equal(vf->resets, 0);
		assert_int_equal(vf->mode, -1);
		vf->busy = 0;
		dev_reset_all(r->g->vm);
		assert_int_equal(vf->resets, 1);
	}
	return r->ticks > 500;
}

static void test_a_restart_ends_the_reset(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);

	used(g, VF0 ",on-error=reset");
	vf->busy = 1000000;
	io_eventfd_signal(vf->err);
	run_until(g, vf, restarts);
	assert_int_equal(vf->resets, 1);
	assert_false(fake_guest_logged(g, "was reset after the error"));
	assert_true(vf->open);
}

/* The same, and the host asks for it back. */
static bool asked(const struct runner *r)
{
	if (r->ticks == 50)
		io_eventfd_signal(r->dev->req);
	return !r->dev->open;
}

static void test_a_request_ends_the_reset(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);

	used(g, VF0 ",on-error=reset,unplug-timeout=1");
	vf->busy = 1000000;
	io_eventfd_signal(vf->err);
	run_until(g, vf, asked);
	assert_int_equal(vf->resets, 0);
	expect_log(g, "removed from the guest (the host asked");
}

static void test_no_reset_to_be_had(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);

	vf->flags &= ~(uint32_t)VFIO_DEVICE_FLAGS_RESET;
	used(g, VF0 ",on-error=reset,unplug-timeout=1");
	io_eventfd_signal(vf->err);
	run_until(g, vf, closed);
	expect_log(g,
		   "not reset after the error, so it is unplugged: " VF0 ": it has no reset of its "
		   "own, and its bus");
	expect_log(g, "removed from the guest (it cannot be reset");
}

/* A function whose only reset is that of its bus, and one beside it that sleeps with messages on. */
static void test_an_error_resets_the_bus(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);
	struct fake_vdev *nvme = fake_vfio_nvme(VF1, VF0_GROUP + 1);
	struct pci_dev *other;

	vf->flags = VFIO_DEVICE_FLAGS_PCI;
	vf->bus_reset = nvme->bus_reset = true;
	used(g, VF0 ",on-error=reset");
	other = fake_guest_add(g, VF1);
	fake_guest_place(g);
	pci_config_write(other, PMCSR, 2, 3);
	fake_guest_msix_enable(other, true);
	assert_null(fake_kvm_slot(pci_bar_addr(other, 0)));
	io_eventfd_signal(vf->err);
	run_until(g, vf, was_reset);
	assert_int_equal(vf->bus_resets, 1);
	assert_int_equal(nvme->bus_resets, 1);
	expect_log(g, VF1 ": was reset with its bus, for the error of " VF0);
	/* It is awake, in the guest's eyes too, and has its messages. */
	assert_int_equal(get_le16(nvme->config + PMCSR) & PCI_PM_CTRL_STATE_MASK, 0);
	assert_non_null(fake_kvm_slot(pci_bar_addr(other, 0)));
	assert_int_equal(nvme->mode, MSIX);
	assert_int_equal(vf->mode, MSIX);
}

static void test_dead_after_the_reset(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);

	used(g, VF0 ",on-error=reset,unplug-timeout=1");
	vf->dead = vf->dies = true;
	io_eventfd_signal(vf->err);
	run_until(g, vf, closed);
	expect_log(g, "its AER registers cannot be read: it does not answer");
	expect_log(g, "not reset after the error, so it is unplugged: " VF0 ": answers nothing");
}

static void test_an_error_unplugs(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf = fake_vfio_igbvf(VF0, VF0_GROUP);

	/* Without the capability there is nothing to tell. */
	memset(vf->config + AER, 0, 4);
	used(g, VF0 ",on-error=unplug,unplug-timeout=1");
	io_eventfd_signal(vf->err);
	run_until(g, vf, closed);
	expect_log(g, "AER: it has no AER capability");
	expect_log(g, "removed from the guest (uncorrectable PCI Express error");
	assert_int_equal(g->vm->end.code, 0);
}

/* A vCPU met a fault in the BAR of a function that somebody else put to sleep: from then on its
 * accesses are exits that read as ones and write nothing, until the guest wakes it. */
static void sleeps(struct fake_guest *g, bool known)
{
	struct fake_vdev *nvme = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	unsigned int slots;
	uint64_t bar;

	fake_guest_place(g);
	bar = pci_bar_addr(pdev, 0);
	assert_non_null(fake_kvm_slot(bar));
	slots = fake_kvm_slots();
	assert_false(bus_fault(&g->vm->bus, false, 0)); /* nobody's */
	fake_guest_write(g, bar + 0x30, 4, 0x1234);
	nvme->config[0x40 + PCI_PM_CTRL] = 3;
	assert_true(bus_fault(&g->vm->bus, known, bar + 0x30));
	assert_null(fake_kvm_slot(bar));
	assert_int_equal(fake_guest_read(g, bar + 0x30, 4), 0xffffffff);
	fake_guest_write(g, bar + 0x30, 4, 0x5678);
	/* A second vCPU met it too; a write that wakes nothing changes nothing. */
	assert_true(bus_fault(&g->vm->bus, known, bar + 0x30));
	pci_config_write(pdev, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_null(fake_kvm_slot(bar));
	pci_config_write(pdev, 0x40 + PCI_PM_CTRL, 2, 0);
	assert_non_null(fake_kvm_slot(bar));
	assert_int_equal(fake_kvm_slots(), slots);
	assert_int_equal(fake_guest_read(g, bar + 0x30, 4), 0x1234);
	assert_int_equal(nvme->mode, VFIO_PCI_INTX_IRQ_INDEX);
}

static void test_asleep_and_kvm_says_where(void **state)
{
	sleeps(*state, true);
}

static void test_asleep_and_kvm_does_not_say_where(void **state)
{
	sleeps(*state, false);
}

static void test_a_fault_elsewhere_is_not_ours(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *nvme = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);

	fake_guest_place(g);
	assert_false(bus_fault(&g->vm->bus, true, 0x1000));
	assert_false(bus_fault(&g->vm->bus, true, pci_bar_addr(pdev, 0) + 64 * MIB));
	assert_non_null(fake_kvm_slot(pci_bar_addr(pdev, 0)));
	/* A function that is gone answers ones, which is D3hot too. */
	nvme->dead = true;
	assert_true(bus_fault(&g->vm->bus, false, 0));
	assert_null(fake_kvm_slot(pci_bar_addr(pdev, 0)));
	nvme->dead = false;
	dev_reset_all(g->vm);
	assert_non_null(fake_kvm_slot(pci_bar_addr(pdev, 0)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_connected, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_old_kernel_has_no_requests, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_request_unplugs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_error_stops_the_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_error_resets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_restart_ends_the_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_request_ends_the_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_reset_to_be_had, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_error_resets_the_bus, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dead_after_the_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_error_unplugs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_asleep_and_kvm_says_where, setup, teardown),
		cmocka_unit_test_setup_teardown(test_asleep_and_kvm_does_not_say_where, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_fault_elsewhere_is_not_ours, setup,
						teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
