// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Functions opened ahead. The kernel resets a function when it is opened, which takes 100 ms and
 * more, and since it holds no lock that VFs share meanwhile, several can be reset at once. Before
 * the devices are made one after another, all that will surely be asked for are opened, each by a
 * thread; attaching then finds them open.
 *
 * It is a service, not a promise: what fails here is given back, and attaching does it again and
 * says why. Only the first row does it, by join (on the caller's thread, in order) and open (on
 * threads, which touch nothing but their function).
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/util.h"
#include "iommu.h"
#include "memlock.h"
#include "vmm/vm.h"

struct iommu_ahead {
	struct iommu_dev dev;
	pthread_t thread;
	bool running;
	int ret;
	struct iommu_ahead *next;
};

static void *ahead_main(void *opaque)
{
	struct iommu_ahead *a = opaque;

	a->ret = iommu_type1.open(&a->dev);
	return NULL;
}

static void ahead_join(struct iommu *iommu, const struct iommu_dev *dev)
{
	struct iommu_ahead *a = calloc(1, sizeof(*a));

	if (!a)
		return;
	a->dev = *dev;
	a->dev.fd = -1;
	a->ret = -ECANCELED;
	if (iommu_type1.join(iommu, &a->dev, NULL)) {
		free(a);
		return;
	}
	a->next = iommu->ahead;
	iommu->ahead = a;
}

static void ahead_open(struct iommu *iommu)
{
	struct iommu_ahead *a, **p = &iommu->ahead;

	for (a = iommu->ahead; a; a = a->next)
		a->running = !pthread_create(&a->thread, NULL, ahead_main, a);
	while (*p) {
		a = *p;
		if (a->running)
			pthread_join(a->thread, NULL);
		if (!a->ret) {
			p = &a->next;
			continue;
		}
		*p = a->next;
		iommu_type1.detach(iommu, &a->dev);
		free(a);
	}
}

void iommu_ahead(struct vm *vm, const struct iommu_dev *devs, unsigned int count)
{
	struct iommu *iommu = iommu_get(vm);
	unsigned int i;

	if (!iommu || iommu->devs || iommu->ahead || memlock_check(vm, &iommu_type1, devs, NULL))
		return;
	iommu->ops = &iommu_type1;
	for (i = 0; i < count; i++)
		ahead_join(iommu, &devs[i]);
	ahead_open(iommu);
}

bool iommu_ahead_take(struct iommu *iommu, struct iommu_dev *dev)
{
	struct iommu_ahead **p, *a;

	for (p = &iommu->ahead; *p && !pci_addr_eq(&(*p)->dev.addr, &dev->addr); p = &(*p)->next)
		;
	a = *p;
	if (!a)
		return false;
	dev->fd = a->dev.fd;
	dev->held = a->dev.held;
	*p = a->next;
	free(a);
	return true;
}

void iommu_ahead_done(struct vm *vm)
{
	struct iommu *iommu = vm->iommu;

	while (iommu && iommu->ahead) {
		struct iommu_ahead *a = iommu->ahead;

		iommu->ahead = a->next;
		iommu_type1.detach(iommu, &a->dev);
		free(a);
	}
}
