// SPDX-License-Identifier: GPL-2.0-or-later
/* Dispatch, BAR moves, interrupts and removal from many threads at once. Under ThreadSanitizer this
 * finds races; without, it still finds crashes and wrong values. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "core_rig.h"
#include "vmm/pci_port.h"
#include "vmm/types.h"

#define ROUNDS 3000

struct card {
	struct pci_dev pdev;
	uint64_t inside; /* not atomic on purpose: the dispatcher's lock is what guards it */
};

static atomic_uint destroyed;

static uint64_t card_read(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size)
{
	struct card *c = (struct card *)(void *)dev;

	(void)range;
	(void)offset;
	(void)size;
	if (c->inside++)
		return 0xdead; /* two callbacks at once */
	pci_vector_fire(&c->pdev, 0);
	c->inside--;
	return 0x600d;
}

static void card_write(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size,
		       uint64_t value)
{
	(void)value;
	card_read(dev, range, offset, size);
}

static int card_realize(struct dev *dev, struct err *err)
{
	struct pci_dev *pdev = to_pci(dev);
	int ret;

	pci_dev_init(pdev, 0x1234, 0x5678, 0xff0000, 0, 0, PCI_CONFIG_SIZE);
	pci_bar_set(pdev, 0, PCI_BAR_MEM32, false, 0x4000);
	ret = pci_msix_init(pdev, 0, 4, 0, 0x2000, 0, 0x3000, err);
	return ret ? ret : pci_dev_plug(pdev, err);
}

static void card_destroy(struct dev *dev)
{
	pci_dev_unplug(to_pci(dev));
	atomic_fetch_add(&destroyed, 1);
}

static void card_reset(struct dev *dev)
{
	pci_dev_reset(to_pci(dev));
}

static const struct pci_ops card_pci_ops = { 0 };
static const struct dev_class card_class = {
	.name = "card", .size = sizeof(struct card), .pci = &card_pci_ops,
	.realize = card_realize, .destroy = card_destroy,
	.reset = card_reset, .read = card_read, .write = card_write,
};

struct shared {
	struct vm *vm;
	uint64_t home, config;
	uint64_t port, exp; /* registers of the port above it, 0: there is none */
	atomic_bool bad;
	bool remove;
};

static uint64_t access_mem(struct shared *s, uint64_t addr, uint64_t value, bool write)
{
	bus_access(&s->vm->bus, BUS_MMIO, addr, &value, 4, write);
	return value & 0xffffffff;
}

/* A vCPU that reads the register wherever the BAR is, or finds nobody. */
static void *reader(void *opaque)
{
	struct shared *s = opaque;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		uint64_t v = access_mem(s, s->home + (i & 1 ? 0x100000 : 0), 0, false);

		if (v != 0x600d && v != 0xffffffff)
			atomic_store(&s->bad, true);
	}
	return NULL;
}

/* A vCPU that moves the BAR, masks and unmasks. */
static void *mover(void *opaque)
{
	struct shared *s = opaque;
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		uint64_t at = s->home + (i & 1 ? 0x100000 : 0);

		access_mem(s, s->config + PCI_BASE_ADDRESS_0, at, true);
		access_mem(s, at + 0x2000, 0xfee00000, true);
		access_mem(s, at + 0x2008, i & 0xff, true);
		access_mem(s, at + 0x200c, i >> 1 & 1, true);
		access_mem(s, s->config + PCI_COMMAND, i % 7 ? 2 : 0, true);
	}
	return NULL;
}

/* A vCPU that switches the port's slot, bus and windows off and on. */
static void *switcher(void *opaque)
{
	struct shared *s = opaque;
	uint64_t buses = access_mem(s, s->port + PCI_PRIMARY_BUS, 0, false);
	uint64_t window = access_mem(s, s->port + PCI_MEMORY_BASE, 0, false);
	unsigned int i;

	for (i = 0; i < ROUNDS / 10; i++) {
		access_mem(s, s->exp + PCI_EXP_SLTCTL, i % 3 ? 0 : PCI_EXP_SLTCTL_PCC, true);
		access_mem(s, s->port + PCI_MEMORY_BASE, i % 5 ? window : 0xfff0, true);
		access_mem(s, s->port + PCI_PRIMARY_BUS, i % 7 ? buses : 0, true);
		access_mem(s, s->port + PCI_BRIDGE_CONTROL, 0, true);
	}
	return NULL;
}

static void done(void *opaque)
{
	loop_stop(((struct shared *)opaque)->vm->loop);
}

static void remove_now(void *opaque)
{
	struct shared *s = opaque;
	struct dev *dev;

	for (dev = s->vm->devs; dev; dev = dev->next) {
		if (dev->class == &card_class) {
			dev_unplug(dev, 0, "test");
			return;
		}
	}
}

static void *conductor(void *opaque)
{
	struct shared *s = opaque;
	pthread_t threads[4];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_create(&threads[i], NULL,
			       i == 0	? mover
			       : i == 1 && s->port ? switcher
						   : reader,
			       s);
	/* In the middle of their accesses; what is posted runs in order. */
	if (s->remove)
		loop_post(s->vm->loop, remove_now, s);
	for (i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	loop_post(s->vm->loop, done, s);
	return NULL;
}

static void storm(bool with_removal, bool behind_port)
{
	struct shared s = { .vm = rig_new(MIB), .remove = with_removal };
	struct err err = { 0 };
	struct card *c;
	struct dev *dev;
	pthread_t thread;

	atomic_store(&destroyed, 0);
	assert_int_equal(dev_new(s.vm, &card_class, "card", &dev, &err), 0);
	to_pci(dev)->behind_port = behind_port;
	assert_int_equal(dev_add(dev, &err), 0);
	assert_int_equal(pci_root_place(s.vm->pci, &err), 0);
	c = (struct card *)(void *)dev;
	s.home = pci_bar_addr(&c->pdev, 0);
	s.config = GPA_ECAM_BASE | pci_dev_bus(&c->pdev) << 20 | (uint64_t)c->pdev.devfn << 12;
	if (behind_port) {
		s.port = GPA_ECAM_BASE | (uint64_t)c->pdev.port->pdev.devfn << 12;
		s.exp = s.port + c->pdev.port->cap;
	}
	access_mem(&s, s.config + c->pdev.msix.cap, 0x80000000, true);
	pthread_create(&thread, NULL, conductor, &s);
	assert_int_equal(loop_run(s.vm->loop, &err), 0);
	pthread_join(thread, NULL);
	loop_do_posted(s.vm->loop);
	assert_false(atomic_load(&s.bad));
	if (with_removal)
		assert_int_equal(atomic_load(&destroyed), 1);
	else if (!behind_port) /* it is where the mover's last round put it, whoever ran when */
		assert_int_equal(access_mem(&s, s.home + 0x100000, 0, false), 0x600d);
	rig_free(s.vm);
	assert_int_equal(atomic_load(&destroyed), 1);
}

static void test_vcpus_access_while_a_bar_moves(void **state)
{
	(void)state;
	storm(false, false);
}

static void test_a_device_goes_while_vcpus_access_it(void **state)
{
	(void)state;
	storm(true, false);
}

static void test_a_slot_is_switched_while_vcpus_access_it(void **state)
{
	(void)state;
	storm(false, true);
}

static void test_a_device_leaves_its_port_while_vcpus_access_it(void **state)
{
	(void)state;
	storm(true, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vcpus_access_while_a_bar_moves),
		cmocka_unit_test(test_a_device_goes_while_vcpus_access_it),
		cmocka_unit_test(test_a_slot_is_switched_while_vcpus_access_it),
		cmocka_unit_test(test_a_device_leaves_its_port_while_vcpus_access_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
