// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The removal of a device from the running guest.
 *
 * Whoever asks may hold the device's lock, so nothing is done in dev_unplug() itself: the time
 * limit is a timer without a lock, and what has to happen now is posted to the loop, each with a
 * reference of its own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/util.h"
#include "dev_priv.h"
#include "pci_port.h"
#include "vm.h"

struct dev_unplug {
	struct dev *dev;
	char *why;
	struct loop_timer *timer;
	uint64_t end_ms; /* CLOCK_MONOTONIC */
};

static uint64_t dev_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void dev_unplug_free(struct dev_unplug *unplug)
{
	if (!unplug)
		return;
	loop_timer_del(unplug->timer);
	free(unplug->why);
	free(unplug);
}

/* The device leaves; its owner hears of it while the struct is still there. */
static void dev_unplug_one(struct dev *dev, const char *how, const char *why)
{
	struct vm *vm = dev->vm;

	dev_get(dev);
	dev_remove(dev);
	log_line(vm->log, LOG_INFO, "%s: removed from the guest%s (%s)", dev->id, how, why);
	if (vm->removed)
		vm->removed(vm->removed_opaque, dev, why);
	dev_put(dev);
}

/* With it goes all that is in its slot, when that is a port's. */
static void dev_unplug_finish(struct dev *dev, const char *how)
{
	struct dev_unplug *unplug = dev->unplug;
	struct pci_port *port = dev->class->pci ? to_pci(dev)->port : NULL;
	unsigned int f;

	if (dev->removed)
		return;
	dev_get(dev);
	loop_timer_set(unplug->timer, 0);
	for (f = 0; f < PCI_FUNCTIONS && port; f++)
		if (port->functions[f] && &port->functions[f]->dev != dev)
			dev_unplug_one(&port->functions[f]->dev, how, unplug->why);
	dev_unplug_one(dev, how, unplug->why);
	dev_put(dev);
}

bool dev_unplug_let_go(struct dev *dev)
{
	if (!dev->unplug)
		return false;
	dev_unplug_finish(dev, ", which let go of it");
	return true;
}

static void dev_unplug_posted(void *opaque)
{
	struct dev *dev = opaque;

	dev_unplug_finish(dev, "");
	dev_put(dev);
}

static void dev_unplug_ask(void *opaque)
{
	struct dev *dev = opaque;

	/* It let go of the slot before it was asked? */
	if (!dev->removed && !pci_dev_askable(to_pci(dev)))
		dev_unplug_finish(dev, "");
	else if (!dev->removed)
		pci_port_press(to_pci(dev)->port);
	dev_put(dev);
}

static void dev_unplug_timeout(void *opaque)
{
	struct dev_unplug *unplug = opaque;

	dev_unplug_finish(unplug->dev, ", which did not let go of it in time");
}

static int dev_unplug_post(struct dev *dev, loop_fn fn)
{
	int ret;

	dev_get(dev);
	ret = loop_post(dev->vm->loop, fn, dev);
	if (ret)
		dev_put(dev);
	return ret;
}

static struct dev_unplug *dev_unplug_new(struct dev *dev, const char *why)
{
	struct dev_unplug *unplug = calloc(1, sizeof(*unplug));
	struct err err = { 0 };

	if (!unplug)
		return NULL;
	unplug->dev = dev;
	unplug->why = strdup(why);
	if (!unplug->why ||
	    loop_timer_new(dev->vm->loop, NULL, dev_unplug_timeout, unplug, &unplug->timer, &err)) {
		dev_unplug_free(unplug);
		return NULL;
	}
	return unplug;
}

/* A second call: the sooner of two limits holds. */
static void dev_unplug_shorten(struct dev_unplug *unplug, unsigned int grace_ms)
{
	uint64_t end_ms = dev_now_ms() + grace_ms;

	if (end_ms >= unplug->end_ms)
		return;
	unplug->end_ms = end_ms;
	loop_timer_set(unplug->timer, MAX(grace_ms * 1000000ull, 1ull));
}

int dev_unplug(struct dev *dev, unsigned int grace_ms, const char *why)
{
	struct dev_unplug *unplug = dev->unplug;
	bool ask;

	if (dev->removed)
		return -ENODEV;
	if (unplug) {
		dev_unplug_shorten(unplug, grace_ms);
		return 0;
	}
	ask = grace_ms && dev->class->pci && pci_dev_askable(to_pci(dev));
	unplug = dev_unplug_new(dev, why);
	if (!unplug)
		return -ENOMEM;
	if (dev_unplug_post(dev, ask ? dev_unplug_ask : dev_unplug_posted)) {
		dev_unplug_free(unplug);
		return -ENOMEM;
	}
	dev->unplug = unplug;
	unplug->end_ms = UINT64_MAX;
	if (!ask)
		return 0;
	dev_unplug_shorten(unplug, grace_ms);
	log_line(dev->vm->log, LOG_INFO, "%s: the guest is asked to let go of it within %u ms (%s)",
		 dev->id, grace_ms, why);
	return 0;
}

void dev_unplug_all(struct vm *vm)
{
	struct dev *dev;

	do {
		for (dev = vm->devs; dev && !dev->unplug; dev = dev->next)
			;
		if (dev)
			dev_unplug_finish(dev, ", which restarts");
	} while (dev);
}
