// SPDX-License-Identifier: GPL-2.0-or-later
/* Several functions of one group: a card as one device of the guest, and what keeps it from that.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "fake_guest.h"
#include "vfio/vfio_pci.h"
#include "vmm/vm.h"

#define CARD "0000:09:00"
#define CARD_GROUP 18

static struct fake_vdev *net, *sound;

/* A network card at function 0 and a sound card at function 2. */
static void card(struct fake_guest *g)
{
	static const struct fake_func funcs[] = {
		{ CARD ".0", 0x8086, 0x10d3, 0x020000, CARD_GROUP, NULL, 0, 0, 0 },
		{ CARD ".2", 0x8086, 0x293e, 0x040300, CARD_GROUP, NULL, 0, 0, 0 },
	};
	unsigned int i;

	fake_driver(g->host, "snd_hda_intel", 0x8086, 0x293e, false);
	for (i = 0; i < ARRAY_SIZE(funcs); i++) {
		fake_func(g->host, &funcs[i]);
		fake_guest_bind(g, funcs[i].addr, "vfio-pci");
	}
	net = fake_vfio_e1000(CARD ".0", CARD_GROUP);
	sound = fake_vfio_e1000(CARD ".2", CARD_GROUP);
}

static int setup(void **state)
{
	struct fake_guest *g = fake_guest_new(64 * MIB, false);

	card(g);
	*state = g;
	return 0;
}

static int setup_plan(void **state)
{
	struct fake_guest *g = fake_guest_new(64 * MIB, true);

	card(g);
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	fake_guest_free(*state);
	return 0;
}

static void refused(struct fake_guest *g, const char *spec, int code, const char *text)
{
	struct err err = { 0 };

	assert_int_equal(fake_guest_try(g, spec, &err), code);
	if (!strstr(err.msg, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.msg);
	if (g->vm->loop)
		loop_do_posted(g->vm->loop);
}

static void is_one_card(struct pci_dev *second)
{
	struct dev *dev = second->dev.vm->devs;
	struct pci_dev *first;

	while (strcmp(dev->id, "vfio-pci0.0") != 0)
		dev = dev->next;
	first = to_pci(dev);
	assert_string_equal(second->dev.id, "vfio-pci0.1");
	assert_int_equal(first->devfn & 7, 0);
	assert_int_equal(second->devfn, first->devfn + 2);
	assert_int_equal(first->config[PCI_HEADER_TYPE], 0x80);
}

/* The ioctl that gives the function. */
static unsigned long open_request(void)
{
	return fake_vfio_by_iommufd() ? VFIO_DEVICE_BIND_IOMMUFD : VFIO_GROUP_GET_DEVICE_FD;
}

static void test_all_functions(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *second = fake_guest_add(g, CARD ",all-functions");

	is_one_card(second);
	assert_int_equal(pci_config_read(second, PCI_HEADER_TYPE, 1), 0x80);
	/* One group, opened once, one set of mappings. */
	assert_int_equal(fake_vfio_count(open_request()), 2);
	assert_int_equal(fake_vfio_count(FAKE_DMA_MAP), 1);
	if (!fake_vfio_by_iommufd())
		assert_int_equal(fake_vfio_count(VFIO_GROUP_SET_CONTAINER), 1);
	assert_int_equal(fake_vfio_fds(), fake_vfio_by_iommufd() ? 3 : 4);
	refused(g, CARD ".2", -EEXIST, CARD ".2: this guest has it already, as vfio-pci0.1");
}

/* A card is one slot, so it has one port; what the host takes back of it is all of it. */
static void test_all_functions_behind_a_port(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *second = fake_guest_add(g, CARD ",all-functions,port=on");
	struct dev *dev;
	unsigned int n = 0;

	is_one_card(second);
	assert_non_null(second->port);
	fake_guest_place(g);
	assert_int_equal(pci_dev_bus(second), 1);
	assert_int_equal(g->vm->pci->last_bus, 1);
	assert_int_equal(dev_unplug(&second->dev, 0, "test"), 0);
	loop_do_posted(g->vm->loop);
	for (dev = g->vm->devs; dev; dev = dev->next)
		n += dev->class == &vfio_pci_class;
	assert_int_equal(n, 0);
	assert_int_equal(fake_vfio_fds(), 0);
}

static void test_plan(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *pdev;
	char want[64], text[128];

	/* Any of its functions names the card, and no domain is the first. */
	pdev = fake_guest_add(g, "09:00.2,all-functions=on");
	is_one_card(pdev);
	assert_int_equal(fake_vfio_total(), 0);
	/* It says whom the function shares its group with. */
	pdev->dev.class->describe(&pdev->dev, text, sizeof(text));
	snprintf(want, sizeof(want), CARD ".2 by %s, group 18 of 2 devices", fake_vfio_row_name());
	assert_ptr_equal(strstr(text, want), text);
	fake_vfio_igbvf(VF0, VF0_GROUP);
	pdev = fake_guest_add(g, VF0);
	pdev->dev.class->describe(&pdev->dev, text, sizeof(text));
	snprintf(want, sizeof(want), VF0 " by %s, group 20", fake_vfio_row_name());
	assert_string_equal(text, want);
}

/* When one of them cannot be had, none is held. */
static void test_one_fails(void **state)
{
	struct fake_guest *g = *state;

	fake_vfio_fail(open_request(), 2, EBUSY);
	refused(g, CARD ",all-functions", -ENODEV,
		fake_vfio_by_iommufd() ? "2 of 2: " CARD ".2: group 18 is in use"
				       : "2 of 2: " CARD ".2: the function is in use");
	assert_int_equal(fake_vfio_fds(), 0);
	assert_int_equal(fake_vfio_dma(NULL, 0), 0);
	fake_guest_bind(g, CARD ".2", "snd_hda_intel");
	fake_vfio_forget();
	refused(g, CARD ",all-functions", -ENODEV,
		"vfio-pci: " CARD ".0: group 18 is not viable: " CARD
		".2 is bound to snd_hda_intel; "
		"run: vfctl bind " CARD ".2 vfio-pci");
	fake_guest_bind(g, CARD ".2", "vfio-pci");
	fake_guest_bind(g, CARD ".2", "none");
	refused(g, CARD ",all-functions", -ENODEV, CARD ".2: bound to no driver, not vfio-pci");
	/* Nothing was opened to find that out. */
	assert_int_equal(fake_vfio_total(), 0);
	fake_guest_bind(g, CARD ".2", "vfio-pci");
	/* In the first round of trying the slots were given back, too. */
	is_one_card(fake_guest_add(g, CARD ",all-functions"));
}

/* Whichever call of the kernel fails: all of the card, or nothing of it. */
static void test_each_fails(void **state)
{
	struct fake_guest *g = *state;
	struct err err = { 0 };
	unsigned int at, refusals = 0, slots;
	struct dev *dev, *next;

	for (at = 1; at < 500; at++) {
		fake_vfio_forget();
		fake_vfio_fail(0, at, EIO);
		if (fake_guest_try(g, CARD ",all-functions", &err)) {
			refusals++;
			loop_do_posted(g->vm->loop);
			for (dev = g->vm->devs; dev; dev = dev->next)
				assert_null(strstr(dev->id, "vfio-pci"));
			assert_int_equal(fake_vfio_fds(), 0);
			assert_int_equal(fake_vfio_dma(NULL, 0), 0);
			assert_int_equal(fake_vfio_reservations(), 0);
			continue;
		}
		slots = 0;
		for (dev = g->vm->devs; dev; dev = next) {
			next = dev->next;
			if (!strstr(dev->id, "vfio-pci"))
				continue;
			slots++;
			dev_remove(dev);
		}
		assert_int_equal(slots, 2);
		loop_do_posted(g->vm->loop);
		if (fake_vfio_total() < at)
			break;
	}
	fake_vfio_fail(0, 0, 0);
	assert_true(at < 500 && refusals > 20);
}

static void test_names(void **state)
{
	struct fake_guest *g = *state;

	refused(g, CARD, -EINVAL,
		CARD ": this is a slot; name one of its functions, as in " CARD ".0");
	refused(g, "77:00,all-functions", -ENODEV, "77:00: there is no function in this slot");
	refused(g, "0:9:0,all-functions", -EINVAL, "neither a PCI address");
	refused(g, "0000:09:00.7,all-functions", -ENODEV, "0000:09:00.7: no such function");
	/* VFs of a card may have addresses in its slot: they are no functions of it. */
	refused(g, "01:10,all-functions", -ENODEV, "there is no function in this slot");
	refused(g, "host=" CARD ",all-functions,fd=7", -EINVAL,
		"all-functions goes with host= alone");
	refused(g, "fd=7,all-functions", -EINVAL, "all-functions goes with host= alone");
	fake_remove(g->host, "sys/bus/pci/devices/" CARD ".0");
	refused(g, CARD ",all-functions", -ENODEV, "no function 0");
}

/* Functions of one group, given one by one. */
static void test_shared_group(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *first, *second;

	first = fake_guest_add(g, CARD ".0");
	second = fake_guest_add(g, CARD ".2");
	assert_int_not_equal(first->devfn >> 3, second->devfn >> 3);
	assert_int_equal(fake_vfio_count(FAKE_DMA_MAP), 1);
	dev_remove(&first->dev);
	loop_do_posted(g->vm->loop);
	/* The other one goes on: its group is still there. */
	assert_true(sound->open);
	assert_false(net->open);
	assert_int_not_equal(fake_vfio_dma(NULL, 0), 0);
}

static unsigned int open_files(void)
{
	unsigned int n = 0;
	DIR *dir = opendir("/proc/self/fd");

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Attached and given back, 200 times in one process: nothing adds up. */
static void test_rounds(void **state)
{
	struct fake_guest *g = *state;
	unsigned int i, before = 0;

	for (i = 0; i < 200; i++) {
		struct dev *first = &fake_guest_add(g, CARD ",all-functions")->dev, *dev, *next;

		for (dev = g->vm->devs; dev; dev = next) {
			next = dev->next;
			if (dev->class == first->class)
				dev_remove(dev);
		}
		loop_do_posted(g->vm->loop);
		if (!i)
			before = open_files();
	}
	assert_int_equal(open_files(), before);
	assert_int_equal(fake_vfio_fds(), 0);
	assert_int_equal(fake_vfio_dma(NULL, 0), 0);
	assert_int_equal(fake_vfio_reservations(), 0);
	assert_int_equal(net->opens, 200);
	assert_int_equal(sound->opens, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_functions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_functions_behind_a_port, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plan, setup_plan, teardown),
		cmocka_unit_test_setup_teardown(test_one_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_each_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rounds, setup, teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
