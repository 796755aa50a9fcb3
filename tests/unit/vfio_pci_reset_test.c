// SPDX-License-Identifier: GPL-2.0-or-later
/* Resets: of the function, of its bus with all that is on it, and whether it answers afterwards. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_guest.h"
#include "sriov/quarantine.h"
#include "vfio/vfio_pci_priv.h"

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

static void fails(struct pci_dev *pdev, int code, const char *text)
{
	struct err err = { 0 };

	assert_int_equal(vfio_pci_reset(to_vfio_pci(pdev), &err), code);
	assert_int_equal(err.code, code);
	if (!strstr(err.msg, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.msg);
}

static void works(struct pci_dev *pdev)
{
	struct err err = { 0 };

	if (vfio_pci_reset(to_vfio_pci(pdev), &err))
		fail_msg("%s", err.msg);
}

/* Two functions of group 15 behind one bridge, without resets of their own. */
static void pair(struct fake_vdev **e1000, struct fake_vdev **rtl)
{
	*e1000 = fake_vfio_e1000(E1000, E1000_GROUP);
	*rtl = fake_vfio_e1000(RTL8139, E1000_GROUP);
	(*e1000)->bus_reset = (*rtl)->bus_reset = true;
	(*e1000)->flags = (*rtl)->flags = VFIO_DEVICE_FLAGS_PCI;
}

static void test_function(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	struct pci_addr addr;

	/* Opening it is no reason for a reset: the kernel did one. */
	assert_int_equal(dev->resets, 0);
	dev->bus_reset = true;
	works(pdev);
	assert_int_equal(dev->resets, 1);
	assert_int_equal(dev->bus_resets, 0);
	assert_int_equal(fake_vfio_count(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO), 0);
	/* Somebody holds its lock for longer: no reason to put it away, or to reset its bus. */
	dev->busy = 1000;
	fails(pdev, -EAGAIN, NVME ": the host is doing something else with it; try again");
	dev->busy = 0;
	assert_int_equal(dev->bus_resets, 0);
	assert_int_equal(pci_addr_parse(NVME, &addr), 0);
	assert_false(quarantine_has(&g->host->host, &addr, NULL));
	/* Somebody holds its lock for a moment. */
	fake_vfio_fail(VFIO_DEVICE_RESET, 1, EAGAIN);
	works(pdev);
	assert_int_equal(dev->resets, 2);
	/* A reset that is promised and fails: the bus's. */
	fake_vfio_fail(VFIO_DEVICE_RESET, 1, EIO);
	works(pdev);
	assert_int_equal(dev->resets, 2);
	assert_int_equal(dev->bus_resets, 1);
	dev->bus_reset = false;
	fake_vfio_fail(VFIO_DEVICE_RESET, 1, EIO);
	fails(pdev, -EIO, NVME ": its reset failed (Input/output error), and its bus has no reset");
}

static void test_bus(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *first, *second;
	struct fake_vdev *e1000, *rtl;

	pair(&e1000, &rtl);
	first = fake_guest_add(g, E1000);
	second = fake_guest_add(g, RTL8139);
	works(first);
	assert_int_equal(e1000->bus_resets, 1);
	assert_int_equal(rtl->bus_resets, 1);
	/* At a reboot one reset serves both, at the next one there is another. */
	g->vm->resets++;
	dev_reset_all(g->vm);
	assert_int_equal(rtl->bus_resets, 2);
	g->vm->resets++;
	dev_reset_all(g->vm);
	assert_int_equal(e1000->bus_resets, 3);
	assert_int_equal(g->len, 0);
	/* One of them is given back: its group is this guest's all the same. */
	dev_remove(&second->dev);
	loop_do_posted(g->vm->loop);
	works(first);
	assert_int_equal(rtl->bus_resets, 4);
	fake_vfio_fail(VFIO_DEVICE_PCI_HOT_RESET, 1, EINVAL);
	fails(first, -EINVAL, E1000 ": it has no reset of its own, and resetting its bus: Invalid");
	fake_vfio_fail(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 1, EIO);
	fails(first, -EIO, "asking what a reset of its bus touches");
	assert_int_equal(rtl->bus_resets, 4);
}

/* The second function of a card, which a reset of the bus did not bring back. */
static void test_second_dies(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *e1000, *rtl;
	struct pci_addr addr;

	pair(&e1000, &rtl);
	fake_guest_add(g, E1000);
	fake_guest_add(g, RTL8139);
	rtl->dies = true;
	g->vm->resets++;
	dev_reset_all(g->vm);
	assert_int_equal(rtl->bus_resets, 1);
	assert_true(fake_guest_logged(g, RTL8139
				      ": answers nothing but ones after a reset of its bus"));
	assert_false(fake_guest_logged(g, E1000));
	assert_int_equal(pci_addr_parse(RTL8139, &addr), 0);
	assert_true(quarantine_has(&g->host->host, &addr, NULL));
}

/* What is not this guest's is named and not reset. */
static void test_foreign(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *vf, *other;
	struct pci_dev *pdev;
	unsigned int i;
	char name[24];

	vf = fake_vfio_igbvf(VF0, VF0_GROUP);
	other = fake_vfio_igbvf("0000:01:10.2", VF0_GROUP + 1);
	vf->flags = VFIO_DEVICE_FLAGS_PCI;
	vf->bus_reset = true;
	fake_guest_bind(g, "0000:01:10.2", "igbvf");
	pdev = fake_guest_add(g, VF0);
	fake_vfio_forget(); /* the request's number is MAP_DMA's as well */
	fails(pdev, -EOPNOTSUPP,
	      VF0 ": it has no reset of its own, and its bus cannot be reset, "
		  "for this guest has not 0000:01:10.2 (igbvf); bind that to vfio-pci");
	assert_int_equal(other->bus_resets, 0);
	assert_int_equal(fake_vfio_count(VFIO_DEVICE_PCI_HOT_RESET), 0);
	g->vm->resets++;
	dev_reset_all(g->vm);
	assert_true(fake_guest_logged(g, "not reset, the guest finds it as the last one left it"));
	/* More of them than the first question has room for. */
	for (i = 0; i < 12; i++) {
		snprintf(name, sizeof(name), "0000:01:1%x.%u", 1 + i / 8, i % 8);
		fake_vfio_dev(name, 100 + (int)i);
	}
	fake_vfio_forget();
	fails(pdev, -EOPNOTSUPP, "0000:01:12.3 (no driver)");
	assert_int_equal(fake_vfio_count(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO), 2);
}

static void test_alive(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	struct err err = { 0 };
	struct pci_addr addr;

	/* It takes its time, and comes back. */
	dev->wake_after = 5;
	works(pdev);
	assert_false(dev->dead);
	dev->dies = true;
	fails(pdev, -EIO, NVME ": answers nothing but ones after a reset of its own");
	/* From here on nobody is given it, until it is well again. */
	fails(pdev, -EIO, "in quarantine until: vfctl clear " NVME);
	assert_int_equal(fake_guest_try(g, NVME, &err), -EEXIST);
	fake_guest_vm_free(g);
	fake_guest_vm_new(g, 64 * MIB, false);
	dev->dead = dev->dies = false;
	assert_int_equal(fake_guest_try(g, NVME, &err), -ENODEV);
	assert_non_null(strstr(err.msg, NVME
			       ": in quarantine: answers nothing but ones after a "
			       "reset of its own; power-cycle the card; when it is well again, "
			       "run: vfctl clear " NVME));
	assert_int_equal(pci_addr_parse(NVME, &addr), 0);
	assert_int_equal(quarantine_clear(&g->host->host, &addr, &err), 0);
	pdev = fake_guest_add(g, NVME);
	dev->flags = VFIO_DEVICE_FLAGS_PCI;
	dev->bus_reset = dev->dies = true;
	fails(pdev, -EIO, "answers nothing but ones after a reset of its bus");
	/* The guest starts again without it. */
	g->vm->resets++;
	dev_reset_all(g->vm);
	assert_true(fake_guest_logged(g, "answers nothing but ones"));
}

/* One that is dead when it is opened is given to nobody after that; a log line says so where it
 * cannot be written down. */
static void test_dead_at_once(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct err err = { 0 };

	dev->dead = true;
	fake_text(g->host, "run/viaduct", "a file");
	assert_int_equal(fake_guest_try(g, NVME, &err), -ENODEV);
	assert_non_null(strstr(err.msg, "config space reads as all ones"));
	assert_null(strstr(err.msg, "quarantine"));
	assert_true(fake_guest_logged(g, NVME ": not put into quarantine"));
	fake_remove(g->host, "run/viaduct");
	assert_int_equal(fake_guest_try(g, NVME, &err), -ENODEV);
	assert_non_null(strstr(err.msg, "it is in quarantine until: vfctl clear " NVME));
	assert_int_equal(fake_guest_try(g, NVME, &err), -ENODEV);
	assert_non_null(strstr(err.msg, NVME ": in quarantine: config space reads as all ones"));
	assert_int_equal(dev->opens, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_function, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bus, setup, teardown),
		cmocka_unit_test_setup_teardown(test_second_dies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dead_at_once, setup, teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
