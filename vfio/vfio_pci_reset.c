// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Resets. A function that has a reset of its own (FLR, power states, a device's own way: the kernel
 * knows which) is reset alone. One that has none can be reset with everything else on its bus or
 * in its slot, when all of that is this guest's. After either the function must answer again
 * (PCI Express 4.0, 6.6.1).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "sriov/func.h"
#include "sriov/quarantine.h"
#include "vfio_pci.h"
#include "vfio_pci_priv.h"
#include "vmm/vm.h"

#define ANSWER_MS 1000 /* PCI Express 4.0, 6.6.1: a second after the reset at the latest */
#define AGAIN_MAX 10   /* times 10 ms: somebody else holds the function's lock for a moment */

static void nap_ms(long ms)
{
	const struct timespec nap = { .tv_nsec = ms * 1000000L };

	nanosleep(&nap, NULL);
}

/* True as soon as it answers. A function that is not ready yet answers with ones, or not at all. */
static bool wait_answer(struct vfio_pci *vp)
{
	long waited, step = 1;

	for (waited = 0; !vfio_pci_answers(vp); waited += step) {
		if (waited >= ANSWER_MS)
			return false;
		step = MIN(waited + 1, 50);
		nap_ms(step);
	}
	return true;
}

/* The function's own reset. -EOPNOTSUPP: it has none. */
static int reset_function(struct vfio_pci *vp)
{
	int i, ret = -EAGAIN;

	if (!(vp->vdev.flags & VFIO_DEVICE_FLAGS_RESET))
		return -EOPNOTSUPP;
	for (i = 0; ret == -EAGAIN && i < AGAIN_MAX; i++) {
		if (i)
			nap_ms(10);
		ret = vp->vdev.ops->reset(&vp->vdev);
	}
	return ret == -ENOTTY ? -EOPNOTSUPP : ret;
}

static void dependent_addr(const struct vfio_pci_dependent_device *d, struct pci_addr *ret_addr)
{
	ret_addr->domain = d->segment;
	ret_addr->bus = d->bus;
	ret_addr->dev = d->devfn >> 3;
	ret_addr->fn = d->devfn & 7;
}

/* A function of a group that the guest holds is nobody else's, but the kernel wants its driver to
 * be a VFIO one as well. */
static bool is_ours(const struct vfio_pci *vp, const struct pci_addr *addr, char *driver)
{
	const struct vm *vm = vp->pdev.dev.vm;

	func_driver(&vp->host, addr, driver);
	return iommu_has(vm, addr) ||
	       (func_driver_is_vfio(driver) && iommu_has_group(vm, func_group(&vp->host, addr)));
}

/* -EOPNOTSUPP naming what is not this guest's. */
static int all_ours(const struct vfio_pci *vp, const struct vfio_pci_hot_reset_info *info,
		    struct err *err)
{
	char driver[HOST_NAME_MAX], a[PCI_ADDR_STRLEN];
	struct pci_addr addr;
	uint32_t i, foreign = 0;

	for (i = 0; i < info->count; i++) {
		dependent_addr(&info->devices[i], &addr);
		if (is_ours(vp, &addr, driver))
			continue;
		if (!foreign++)
			err_set(err, -EOPNOTSUPP,
				"its bus cannot be reset, for this guest has not");
		err_append(err, "%s %s (%s)", foreign > 1 ? "," : "", pci_addr_str(&addr, a),
			   *driver ? driver : "no driver");
	}
	if (!foreign)
		return 0;
	err_append(err, "; bind that to vfio-pci and give it to this guest as well");
	return -EOPNOTSUPP;
}

/* After an error of @vp's the bus was reset under @other as well. The kernel restored its config
 * space and its messages; what it cannot restore is the function's inner state, and that it slept.
 * Two device locks are held: only the loop thread does that. */
static void reset_along(struct vfio_pci *other, const struct vfio_pci *vp)
{
	struct dev *dev = &other->pdev.dev;

	pthread_mutex_lock(&dev->lock);
	vfio_pci_power_on(other);
	vfio_pci_irq_awake(other);
	pthread_mutex_unlock(&dev->lock);
	log_line(dev->vm->log, LOG_WARN,
		 "%s: %s: was reset with its bus, for the error of %s; its driver has to set it up "
		 "anew",
		 dev->id, other->idev.name, vp->idev.name);
}

/* What shares the reset and is in this guest: it need not be reset again for the same reboot. */
static void mark_reset(struct vfio_pci *vp, const struct vfio_pci_hot_reset_info *info)
{
	struct vm *vm = vp->pdev.dev.vm;
	struct pci_addr addr;
	struct dev *dev;
	uint32_t i;

	for (dev = vm->devs; dev; dev = dev->next) {
		for (i = 0; dev->class == &vfio_pci_class && i < info->count; i++) {
			struct vfio_pci *other = to_vfio_pci(to_pci(dev));

			dependent_addr(&info->devices[i], &addr);
			if (!pci_addr_eq(&addr, &other->idev.addr))
				continue;
			other->reset_round = vm->resets;
			if (vp->event.resetting && other != vp)
				reset_along(other, vp);
		}
	}
}

/* The reset of its bus or slot. -EOPNOTSUPP: none, or not for this guest alone to do. */
static int reset_bus(struct vfio_pci *vp, struct err *err)
{
	struct vfio_pci_hot_reset_info *info = NULL;
	int ret = vp->vdev.ops->hot_reset_info(&vp->vdev, &info);

	if (ret == -ENODEV || ret == -ENOTTY || ret == -EINVAL)
		return err_set(err, -EOPNOTSUPP, "its bus has no reset either");
	if (ret)
		return err_sys(err, ret, "asking what a reset of its bus touches");
	ret = all_ours(vp, info, err);
	if (!ret) {
		ret = iommu_hot_reset(vp->pdev.dev.vm, &vp->idev, info);
		if (ret)
			err_sys(err, ret, "resetting its bus");
		else
			mark_reset(vp, info);
	}
	free(info);
	return ret;
}

void vfio_pci_quarantine(struct vfio_pci *vp, struct err *err)
{
	struct err local = { 0 };

	if (quarantine_add(&vp->host, &vp->idev.addr, err->msg, &local))
		log_line(vp->pdev.dev.vm->log, LOG_WARN, "%s: %s", vp->pdev.dev.id, local.msg);
	else
		err_append(err, "; it is in quarantine until: vfctl clear %s", vp->idev.name);
}

static int check_answer(struct vfio_pci *vp, const char *whose, struct err *err)
{
	return wait_answer(vp) ? 0
			       : err_set(err, -EIO,
					 "answers nothing but ones after a reset %s; "
					 "power-cycle the card",
					 whose);
}

/* As vfio_pci_reset(), the message without the address. */
static int reset_any(struct vfio_pci *vp, struct err *err)
{
	struct err local = { 0 };
	int own, ret;

	own = ret = reset_function(vp);
	if (own == -EAGAIN)
		return err_set(err, ret, "the host is doing something else with it; try again");
	if (own)
		ret = reset_bus(vp, &local);
	if (!ret)
		return check_answer(vp, own ? "of its bus" : "of its own", err);
	if (own == -EOPNOTSUPP)
		return err_set(err, ret, "it has no reset of its own, and %s", local.msg);
	return err_set(err, own, "its reset failed (%s), and %s", strerror(-own), local.msg);
}

/* What is worse than no reset is written down. */
static int reset_end(struct vfio_pci *vp, int ret, struct err *local, struct err *err)
{
	if (!ret)
		return 0;
	if (ret != -EOPNOTSUPP && ret != -EAGAIN)
		vfio_pci_quarantine(vp, local);
	return err_set(err, ret, "%s: %s", vp->idev.name, local->msg);
}

int vfio_pci_reset(struct vfio_pci *vp, struct err *err)
{
	struct err local = { 0 };

	vfio_pci_power_on(vp);
	return reset_end(vp, reset_any(vp, &local), &local, err);
}

/* The first function of a card that was reset by its bus did it for this one too. */
static int reset_by_other(struct vfio_pci *vp, struct err *err)
{
	struct err local = { 0 };

	vfio_pci_power_on(vp);
	return reset_end(vp, check_answer(vp, "of its bus", &local), &local, err);
}

void vfio_pci_reset_reboot(struct vfio_pci *vp)
{
	struct dev *dev = &vp->pdev.dev;
	bool by_other = dev->vm->resets && vp->reset_round == dev->vm->resets;
	struct err err = { 0 };
	int ret = by_other ? reset_by_other(vp, &err) : vfio_pci_reset(vp, &err);

	if (ret == -EOPNOTSUPP)
		log_line(dev->vm->log, LOG_WARN,
			 "%s: %s: not reset, the guest finds it as the last one left it", dev->id,
			 err.msg);
	else if (ret)
		log_line(dev->vm->log, LOG_ERROR, "%s: %s", dev->id, err.msg);
}
