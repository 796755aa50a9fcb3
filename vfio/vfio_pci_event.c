// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the host has to say of a function that a guest uses, by two eventfds of VFIO's.
 *
 * VFIO_PCI_ERR: the kernel's AER code told the driver of an uncorrectable error of this function or
 * of one above it, and goes on with its own recovery, which for a fatal one resets the link. The
 * guest's data may be wrong from here on, so what follows is the user's decision, `on-error=`:
 *
 * - stop: the guest ends (VM_DEVICE_ERROR). QEMU pauses it, so that somebody can look at it by its
 *   monitor and kill it; without a monitor a paused guest is only a process that hangs.
 * - reset: the function alone is reset and given back as the guest had it configured; a driver that
 *   watches its device finds it idle and sets it up again. While the host's recovery holds the
 *   function the kernel answers EAGAIN, and the reset is tried again for some time.
 * - unplug: the guest goes on without it.
 *
 * VFIO_PCI_REQ: somebody wants the function: its driver is being unbound, its VF destroyed, its
 * card pulled. The kernel waits in there without end, and asks again every 10 s
 * (vfio_unregister_group_dev()). The guest is asked to let go, and after `unplug-timeout=` the
 * function is taken away. The default lies below the kernel's 10 s, so that it need not ask twice,
 * and above the 5 s that a guest's pciehp lets pass after the attention button before it acts.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "base/util.h"
#include "vfio_pci_priv.h"
#include "vmm/vm.h"

#define UNPLUG_TIMEOUT_S 8u
#define RESET_RETRY_NS 200000000ull
#define RESET_TRIES 50u /* 10 s: a link that is reset has to come up again */

static void event_log(struct vfio_pci *vp, enum log_level level, const char *text)
{
	log_line(vp->pdev.dev.vm->log, level, "%s: %s: %s", vp->pdev.dev.id, vp->idev.name, text);
}

/* --- leaving --- */

static void leave(struct vfio_pci *vp, const char *why)
{
	uint32_t s = vp->event.unplug_timeout ? vp->event.unplug_timeout : UNPLUG_TIMEOUT_S;
	int ret;

	if (vp->event.leaving)
		return;
	ret = dev_unplug(&vp->pdev.dev, s * 1000, why);
	/* Out of memory: the host asks again. */
	if (ret)
		event_log(vp, LOG_ERROR, "cannot be unplugged now: no memory");
	else
		vp->event.leaving = true;
}

static void on_request(void *opaque, uint32_t events)
{
	struct vfio_pci *vp = opaque;

	(void)events;
	io_eventfd_drain(vp->event.req_fd);
	if (!vp->event.leaving)
		event_log(vp, LOG_WARN, "the host asks for it back");
	leave(vp, "the host asked for it back: driver unbound, VFs destroyed or card removed");
}

/* --- errors --- */

static void stop(struct vfio_pci *vp)
{
	vm_request(vp->pdev.dev.vm, VM_DEVICE_ERROR,
		   "%s: %s: uncorrectable PCI Express error, and its data cannot be trusted: the "
		   "guest was ended; on-error=reset or on-error=unplug would let it go on",
		   vp->pdev.dev.id, vp->idev.name);
}

static void unplug(struct vfio_pci *vp)
{
	leave(vp, "uncorrectable PCI Express error, on-error=unplug");
}

static void reset_done(struct vfio_pci *vp, const struct err *err)
{
	struct dev *dev = &vp->pdev.dev;

	vp->event.resetting = false;
	vfio_pci_command_restore(vp);
	vfio_pci_irq_restart(vp);
	if (!err->code) {
		vfio_pci_bars_back(vp);
		event_log(vp, LOG_WARN,
			  "was reset after the error and is the guest's again; its "
			  "driver has to set it up anew");
		return;
	}
	log_line(dev->vm->log, LOG_ERROR, "%s: not reset after the error, so it is unplugged: %s",
		 dev->id, err->msg);
	leave(vp, "it cannot be reset after a PCI Express error");
}

static void reset_try(void *opaque)
{
	struct vfio_pci *vp = opaque;
	struct err err = { 0 };

	if (!vp->event.resetting)
		return;
	if (vfio_pci_reset(vp, &err) == -EAGAIN && ++vp->event.tries < RESET_TRIES)
		loop_timer_set(vp->event.retry, RESET_RETRY_NS);
	else
		reset_done(vp, &err);
}

/* Nothing of the function's gets through until it is sane again. */
static void reset(struct vfio_pci *vp)
{
	if (vp->event.resetting || vp->event.leaving)
		return;
	vp->event.resetting = true;
	vp->event.tries = 0;
	vp->irq.hold = true;
	vfio_pci_irq_off(vp);
	reset_try(vp);
}

static const struct {
	const char *name;
	void (*act)(struct vfio_pci *vp);
} policies[] = {
	{ "stop", stop }, /* the default */
	{ "reset", reset },
	{ "unplug", unplug },
};

static void on_error(void *opaque, uint32_t events)
{
	struct vfio_pci *vp = opaque;
	char text[128];

	(void)events;
	io_eventfd_drain(vp->event.err_fd);
	snprintf(text, sizeof(text),
		 "the host reports an uncorrectable PCI Express error; on-error=%s",
		 policies[vp->event.policy].name);
	event_log(vp, LOG_ERROR, text);
	vfio_pci_aer_log(vp);
	policies[vp->event.policy].act(vp);
}

/* --- setting up --- */

int vfio_pci_event_options(struct vfio_pci *vp, struct err *err)
{
	unsigned int i;

	vp->event.err_fd = vp->event.req_fd = -1;
	for (i = 0; vp->event.on_error && i < ARRAY_SIZE(policies); i++) {
		if (strcmp(vp->event.on_error, policies[i].name) != 0)
			continue;
		vp->event.policy = i;
		return 0;
	}
	return vp->event.on_error
		       ? err_set(err, -EINVAL, "on-error=%s: it takes stop, reset or unplug",
				 vp->event.on_error)
		       : 0;
}

/* One eventfd from VFIO to the loop. A function without this interrupt (no PCI Express for errors,
 * an old kernel for requests) goes without. */
static int event_connect(struct vfio_pci *vp, uint32_t index, int *fd, loop_fd_fn fn,
			 struct loop_watch **watch, struct err *err)
{
	struct dev *dev = &vp->pdev.dev;
	struct vfio_irq_info info;
	int32_t arg;
	int ret = vfio_irq_get(&vp->vdev, index, &info, err);

	if (ret || !info.count || !(info.flags & VFIO_IRQ_INFO_EVENTFD))
		return ret;
	*fd = io_eventfd_new();
	if (*fd < 0)
		return err_sys(err, *fd, "eventfd");
	ret = loop_watch_add(dev->vm->loop, *fd, EPOLLIN, &dev->lock, fn, vp, watch, err);
	if (ret)
		return ret;
	arg = *fd;
	ret = vfio_irq_set_fds(&vp->vdev, index, VFIO_IRQ_SET_ACTION_TRIGGER, 0, &arg, 1);
	return ret ? err_sys(err, ret < 0 ? ret : -ENOSPC, "VFIO interrupt %u", index) : 0;
}

int vfio_pci_events_on(struct vfio_pci *vp, struct err *err)
{
	struct dev *dev = &vp->pdev.dev;
	int ret = loop_timer_new(dev->vm->loop, &dev->lock, reset_try, vp, &vp->event.retry, err);

	if (!ret)
		ret = event_connect(vp, VFIO_PCI_ERR_IRQ_INDEX, &vp->event.err_fd, on_error,
				    &vp->event.err_watch, err);
	if (!ret)
		ret = event_connect(vp, VFIO_PCI_REQ_IRQ_INDEX, &vp->event.req_fd, on_request,
				    &vp->event.req_watch, err);
	return ret;
}

static void event_disconnect(struct vfio_pci *vp, uint32_t index, int *fd,
			     struct loop_watch **watch)
{
	if (*watch) {
		vfio_irq_disable(&vp->vdev, index);
		loop_watch_del(*watch);
	}
	*watch = NULL;
	fd_close(fd);
}

void vfio_pci_events_off(struct vfio_pci *vp)
{
	vp->event.leaving = true;
	vp->event.resetting = false;
	event_disconnect(vp, VFIO_PCI_ERR_IRQ_INDEX, &vp->event.err_fd, &vp->event.err_watch);
	event_disconnect(vp, VFIO_PCI_REQ_IRQ_INDEX, &vp->event.req_fd, &vp->event.req_watch);
	loop_timer_del(vp->event.retry);
	vp->event.retry = NULL;
}

/* --- BARs out of reach --- */

bool vfio_pci_bars_lost(struct pci_dev *pdev)
{
	struct vfio_pci *vp = to_vfio_pci(pdev);
	uint64_t at = vp->pm_cap + (uint64_t)PCI_PM_CTRL, ctrl;

	/* What vfio-pci itself asks before it fills a mapping: memory decode, which stays on here,
	 * and the power state. A function that is gone answers all ones, D3hot among them. */
	return !vfio_pci_answers(vp) ||
	       (vp->pm_cap && (vfio_region_read(&vp->vdev, &vp->config_region, at, 2, &ctrl) ||
			       (ctrl & PCI_PM_CTRL_STATE_MASK) == 3));
}

void vfio_pci_bars_back(struct vfio_pci *vp)
{
	if (vp->pdev.bars_trapped && !vfio_pci_bars_lost(&vp->pdev))
		pci_bars_trap(&vp->pdev, false);
}
