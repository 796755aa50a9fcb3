// SPDX-License-Identifier: GPL-2.0-or-later
/* The registers of a hardware-reduced platform: sleep (ACPI 6.4, 4.8.3.7), reset (4.8.3.6), and the
 * event bits which the Generic Event Device of dsdt.asl reads. */
#include "acpi.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "types.h"
#include "vm.h"

#define PM_SLEEP_ENABLE BIT(5) /* SLP_EN */
#define PM_SLEEP_TYPE(v) (((v) >> 2) & 7)
#define PM_TYPE_S5 5 /* the first element of \_S5 in dsdt.asl */

struct acpi_pm {
	struct dev dev;
	struct range range;
	struct irq_edge irq;
	uint32_t events;
};

static struct acpi_pm *to_pm(struct dev *dev)
{
	return container_of(dev, struct acpi_pm, dev);
}

static int pm_realize(struct dev *dev, struct err *err)
{
	struct acpi_pm *pm = to_pm(dev);
	int ret;

	pm->range.dev = dev;
	pm->range.ops = &dev_range_ops;
	pm->range.size = ACPI_PM_SIZE;
	ret = irq_edge_init(&pm->irq, dev->vm, GSI_ACPI, err);
	if (!ret)
		ret = bus_map(&dev->vm->bus, &pm->range, BUS_PIO, PIO_ACPI, err);
	if (ret)
		err_prefix(err, "%s", dev->id);
	return ret;
}

static void pm_quiesce(struct dev *dev)
{
	struct acpi_pm *pm = to_pm(dev);

	bus_unmap(&dev->vm->bus, &pm->range);
	if (dev->vm->acpi_pm == pm)
		dev->vm->acpi_pm = NULL;
}

static void pm_destroy(struct dev *dev)
{
	struct acpi_pm *pm = to_pm(dev);

	bus_unmap(&dev->vm->bus, &pm->range);
	irq_edge_done(&pm->irq);
}

static void pm_reset(struct dev *dev)
{
	to_pm(dev)->events = 0;
}

/* The sleep and reset registers read as zero: nothing ever wakes, so WAK_STS is never set. */
static uint64_t pm_read(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size)
{
	struct acpi_pm *pm = to_pm(dev);
	unsigned int shift;
	uint32_t mask, v;

	(void)range;
	if (offset < ACPI_PM_EVENTS || offset + size > ACPI_PM_EVENTS + 4)
		return 0;
	shift = (unsigned int)(offset - ACPI_PM_EVENTS) * 8;
	mask = (uint32_t)all_ones(size) << shift;
	v = pm->events & mask;
	pm->events &= ~mask;
	return v >> shift;
}

static void pm_write(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size,
		     uint64_t value)
{
	uint8_t v = (uint8_t)value;

	(void)range;
	(void)size;
	if (offset == ACPI_PM_SLEEP_CONTROL && (v & PM_SLEEP_ENABLE) &&
	    PM_SLEEP_TYPE(v) == PM_TYPE_S5)
		vm_request(dev->vm, VM_POWEROFF, "the guest powered off");
	else if (offset == ACPI_PM_RESET && v == ACPI_PM_RESET_VALUE)
		vm_request(dev->vm, VM_RESET, "the guest asked for a reset");
}

static const struct dev_class acpi_pm_class = {
	.name = "acpi-pm",
	.help = "ACPI sleep, reset and event registers",
	.size = sizeof(struct acpi_pm),
	.realize = pm_realize,
	.quiesce = pm_quiesce,
	.destroy = pm_destroy,
	.reset = pm_reset,
	.read = pm_read,
	.write = pm_write,
};

int acpi_pm_new(struct vm *vm, struct acpi_pm **ret_pm, struct err *err)
{
	struct dev *dev;
	int ret = dev_new(vm, &acpi_pm_class, "acpi-pm", &dev, err);

	if (ret)
		return ret;
	to_pm(dev)->irq.fd = -1;
	ret = dev_add(dev, err);
	if (ret)
		return ret;
	*ret_pm = to_pm(dev);
	return 0;
}

void acpi_pm_event(struct acpi_pm *pm, uint32_t bits)
{
	pthread_mutex_lock(&pm->dev.lock);
	pm->events |= bits;
	pthread_mutex_unlock(&pm->dev.lock);
	irq_edge_fire(&pm->irq);
}
