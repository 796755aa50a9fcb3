// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Interrupts: what the guest wants (pdev->irq_mode and its vectors' eventfds) is told to VFIO.
 *
 * Masking never comes here: the eventfds stay with VFIO, and vmm/irq takes them from KVM and gives
 * them back. With MSI-X vectors are taken from the host as the guest uses them: switching it on
 * sets up the vectors in use in one call, each further one costs one call of its own. A kernel that
 * cannot add vectors later (VFIO_IRQ_INFO_NORESIZE: always for MSI, for MSI-X before Linux 6.5)
 * gets the whole table at once, with an eventfd only where one is.
 *
 * INTx is connected as the function is plugged and after a reset. A driver that gives its messages
 * back to take others passes through INTx on the way, often for microseconds: then INTx is
 * connected when it has stood for a while. It is a level, so a function that asks meanwhile is
 * heard then. The Interrupt Disable bit changes nothing here: the kernel sees the guest's write and
 * obeys it.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "vfio_pci_priv.h"
#include "vmm/vm.h"

#define INTX_STANDS_NS 50000000u
#define INTX_NEEDS (VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_AUTOMASKED)

int vfio_pci_irqs_init(struct vfio_pci *vp, struct err *err)
{
	struct vfio_irq_info intx, msi, msix;
	int ret;

	ret = vfio_irq_get(&vp->vdev, VFIO_PCI_INTX_IRQ_INDEX, &intx, err);
	if (!ret)
		ret = vfio_irq_get(&vp->vdev, VFIO_PCI_MSI_IRQ_INDEX, &msi, err);
	if (!ret)
		ret = vfio_irq_get(&vp->vdev, VFIO_PCI_MSIX_IRQ_INDEX, &msix, err);
	if (ret)
		return ret;
	if ((intx.flags & INTX_NEEDS) == INTX_NEEDS)
		vp->irq.intx_count = intx.count;
	if (msi.flags & VFIO_IRQ_INFO_EVENTFD)
		vp->irq.msi_count = msi.count;
	if (msix.flags & VFIO_IRQ_INFO_EVENTFD)
		vp->irq.msix_count = msix.count;
	if (vp->irq.vectors_max) {
		vp->irq.msi_count = MIN(vp->irq.msi_count, vp->irq.vectors_max);
		vp->irq.msix_count = MIN(vp->irq.msix_count, vp->irq.vectors_max);
	}
	vp->irq.msix_noresize = msix.flags & VFIO_IRQ_INFO_NORESIZE;
	if (vp->irq.intx_count && vp->hw[PCI_INTERRUPT_PIN])
		pci_intx_enable(&vp->pdev, false);
	return 0;
}

static void irq_log(struct vfio_pci *vp, enum log_level level, const char *what, const char *why)
{
	log_limited(vp->pdev.dev.vm->log, &vp->pdev.limit, level, "%s: %s: %s: %s", vp->pdev.dev.id,
		    vp->idev.name, what, why);
}

static uint32_t irq_index(enum pci_irq_mode mode)
{
	switch (mode) {
	case PCI_IRQ_MSI:
		return VFIO_PCI_MSI_IRQ_INDEX;
	case PCI_IRQ_MSIX:
		return VFIO_PCI_MSIX_IRQ_INDEX;
	case PCI_IRQ_NONE:
	case PCI_IRQ_INTX:
		break;
	}
	return VFIO_PCI_INTX_IRQ_INDEX;
}

void vfio_pci_irq_off(struct vfio_pci *vp)
{
	int ret;

	if (vp->irq.mode == PCI_IRQ_NONE)
		return;
	ret = vfio_irq_disable(&vp->vdev, irq_index(vp->irq.mode));
	if (ret < 0)
		irq_log(vp, LOG_WARN, "switching interrupts off", strerror(-ret));
	if (vp->irq.mode == PCI_IRQ_INTX)
		irq_line_detach(&vp->pdev.intx);
	else
		vp->irq.messages = true;
	vp->irq.mode = PCI_IRQ_NONE;
	vp->irq.live = 0;
}

void vfio_pci_irqs_done(struct vfio_pci *vp)
{
	vp->irq.hold = true;
	vfio_pci_irq_off(vp);
	loop_timer_del(vp->irq.intx_timer);
	vp->irq.intx_timer = NULL;
}

/* The eventfd that raises the line goes from VFIO to KVM, the one of the guest's EOI back. The
 * kernel masks the line when it fires and unmasks it at the EOI. */
static void intx_on(struct vfio_pci *vp)
{
	struct irq_line *line = &vp->pdev.intx;
	struct err err = { 0 };
	int32_t fd;
	int ret;

	if (pci_intx_line(&vp->pdev, &err) || irq_line_attach(line, false, NULL, &err)) {
		irq_log(vp, LOG_ERROR, "INTx stays silent", err.msg);
		return;
	}
	fd = line->trigger;
	ret = vfio_irq_set_fds(&vp->vdev, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_TRIGGER, 0,
			       &fd, 1);
	if (ret) {
		irq_line_detach(line);
		irq_log(vp, LOG_ERROR, "INTx stays silent",
			ret == -EBUSY ? "the host's line is shared and this function cannot mask "
					"itself; use it with MSI or MSI-X"
				      : strerror(ret < 0 ? -ret : ENOSPC));
		return;
	}
	vp->irq.mode = PCI_IRQ_INTX;
	fd = line->resample;
	ret = vfio_irq_set_fds(&vp->vdev, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK, 0,
			       &fd, 1);
	if (!ret)
		return;
	/* Without it the line would be dead after the first interrupt. */
	irq_log(vp, LOG_ERROR, "INTx stays silent: the kernel takes no eventfd that unmasks it",
		strerror(ret < 0 ? -ret : ENOSPC));
	vfio_pci_irq_off(vp);
}

static void intx_stands(void *opaque)
{
	struct vfio_pci *vp = opaque;

	if (!vp->irq.hold && vp->irq.mode == PCI_IRQ_NONE && vp->pdev.irq_mode == PCI_IRQ_INTX)
		intx_on(vp);
}

static void intx_later(struct vfio_pci *vp)
{
	struct dev *dev = &vp->pdev.dev;
	struct err err = { 0 };

	if (!vp->irq.intx_timer &&
	    loop_timer_new(dev->vm->loop, &dev->lock, intx_stands, vp, &vp->irq.intx_timer, &err)) {
		intx_on(vp);
		return;
	}
	loop_timer_set(vp->irq.intx_timer, INTX_STANDS_NS);
}

static int vectors_set(struct vfio_pci *vp, const int32_t *fds, unsigned int start,
		       unsigned int count)
{
	return vfio_irq_set_fds(&vp->vdev, irq_index(vp->pdev.irq_mode),
				VFIO_IRQ_SET_ACTION_TRIGGER, start, fds + start, count);
}

/* How many vectors are set up when the mode is switched on. */
static unsigned int vectors_wanted(const struct vfio_pci *vp, const int32_t *fds,
				   unsigned int count)
{
	if (vp->pdev.irq_mode == PCI_IRQ_MSI || vp->irq.msix_noresize)
		return count;
	/* Vector 0 without an eventfd when none is used yet: VFIO cannot switch MSI-X on with none.
	 */
	while (count > 1 && fds[count - 1] < 0)
		count--;
	return count;
}

static void vectors_short(struct vfio_pci *vp, unsigned int got, unsigned int count,
			  unsigned int silent)
{
	char why[96];

	snprintf(why, sizeof(why), "the host gives %u of %u; %u in use stay silent", got, count,
		 silent);
	irq_log(vp, silent ? LOG_ERROR : LOG_WARN, "interrupt vectors", why);
}

/* A kernel that tells how many it has: as many as that. Returns how many are set up, or -errno. */
static int vectors_together(struct vfio_pci *vp, const int32_t *fds, unsigned int want)
{
	unsigned int v, got = want, silent = 0;
	int ret = vectors_set(vp, fds, 0, want);

	while (ret > 0 && (unsigned int)ret < got) {
		got = (unsigned int)ret;
		ret = vectors_set(vp, fds, 0, got);
	}
	if (ret)
		return ret < 0 ? ret : -ENOSPC;
	for (v = got; v < want; v++)
		silent += fds[v] >= 0;
	if (got < want)
		vectors_short(vp, got, want, silent);
	return (int)got;
}

/* A kernel that has refused them all for one that it could not have: those that it can. */
static int vectors_singly(struct vfio_pci *vp, const int32_t *fds, unsigned int want)
{
	unsigned int v, live = 1, silent = 0, used = fds[0] >= 0;
	int ret = vectors_set(vp, fds, 0, 1);

	if (ret)
		return ret < 0 ? ret : -ENOSPC;
	for (v = 1; v < want; v++) {
		if (fds[v] < 0)
			continue;
		used++;
		if (vectors_set(vp, fds, v, 1))
			silent++;
		else
			live = v + 1;
	}
	if (silent)
		vectors_short(vp, used - silent, used, silent);
	return (int)live;
}

static void vectors_on(struct vfio_pci *vp)
{
	unsigned int v, want, count = pci_vector_count(&vp->pdev);
	int32_t *fds = calloc(count ? count : 1, sizeof(*fds));
	int ret;

	if (!fds || !count) {
		free(fds);
		irq_log(vp, LOG_ERROR, "no vector works", strerror(ENOMEM));
		return;
	}
	for (v = 0; v < count; v++)
		fds[v] = pci_vector_fd(&vp->pdev, v);
	want = vectors_wanted(vp, fds, count);
	ret = vectors_together(vp, fds, want);
	if (ret < 0 && want > 1 && vp->pdev.irq_mode == PCI_IRQ_MSIX && !vp->irq.msix_noresize)
		ret = vectors_singly(vp, fds, want);
	free(fds);
	if (ret < 0) {
		irq_log(vp, LOG_ERROR, "no vector works", strerror(-ret));
		return;
	}
	vp->irq.mode = vp->pdev.irq_mode;
	vp->irq.live = (unsigned int)ret;
}

void vfio_pci_irq_apply(struct vfio_pci *vp)
{
	enum pci_irq_mode mode = vp->pdev.irq_mode;

	/* NONE from INTX is Interrupt Disable. */
	if (vp->irq.mode == PCI_IRQ_INTX && (mode == PCI_IRQ_NONE || mode == PCI_IRQ_INTX))
		return;
	vfio_pci_irq_off(vp);
	switch (mode) {
	case PCI_IRQ_NONE:
		break;
	case PCI_IRQ_INTX:
		if (vp->irq.messages)
			intx_later(vp);
		else
			intx_on(vp);
		break;
	case PCI_IRQ_MSI:
	case PCI_IRQ_MSIX:
		/* The kernel sets up no messages of a function that sleeps. */
		if (!vp->pdev.asleep)
			vectors_on(vp);
		break;
	}
}

void vfio_pci_irq_awake(struct vfio_pci *vp)
{
	enum pci_irq_mode mode = vp->pdev.irq_mode;

	if (!vp->irq.hold && vp->irq.mode != mode && (mode == PCI_IRQ_MSI || mode == PCI_IRQ_MSIX))
		vfio_pci_irq_apply(vp);
}

void vfio_pci_irq_restart(struct vfio_pci *vp)
{
	vp->irq.hold = false;
	vp->irq.messages = false;
	vfio_pci_irq_apply(vp);
}

uint64_t vfio_pci_pba_read(struct pci_dev *pdev, uint64_t offset, unsigned int size)
{
	struct vfio_pci *vp = to_vfio_pci(pdev);
	uint64_t value;

	/* A vector that the guest never unmasked is not connected: the function holds it back. */
	if (vfio_region_read(&vp->vdev, &vp->bars[pdev->msix.pba_bar].region,
			     pdev->msix.pba_offset + offset, size, &value))
		return 0;
	return value;
}

void vfio_pci_irq_mode(struct pci_dev *pdev, enum pci_irq_mode mode)
{
	struct vfio_pci *vp = to_vfio_pci(pdev);

	(void)mode;
	if (!vp->irq.hold)
		vfio_pci_irq_apply(vp);
}

void vfio_pci_vector_use(struct pci_dev *pdev, unsigned int vector)
{
	struct vfio_pci *vp = to_vfio_pci(pdev);
	bool fixed = vp->irq.mode == PCI_IRQ_MSI || vp->irq.msix_noresize;
	int32_t fd = pci_vector_fd(pdev, vector);
	char what[48];
	int ret;

	if (vp->irq.hold || fd < 0)
		return;
	/* Switching the mode on failed: perhaps the host has vectors by now. */
	if (vp->irq.mode != pdev->irq_mode) {
		vfio_pci_irq_apply(vp);
		return;
	}
	snprintf(what, sizeof(what), "vector %u stays silent", vector);
	if (fixed && vector >= vp->irq.live) {
		irq_log(vp, LOG_ERROR, what, "the host gave fewer vectors");
		return;
	}
	ret = vfio_irq_set_fds(&vp->vdev, irq_index(vp->irq.mode), VFIO_IRQ_SET_ACTION_TRIGGER,
			       vector, &fd, 1);
	if (ret)
		irq_log(vp, LOG_ERROR, what, strerror(ret < 0 ? -ret : ENOSPC));
	else
		vp->irq.live = MAX(vp->irq.live, vector + 1);
}
