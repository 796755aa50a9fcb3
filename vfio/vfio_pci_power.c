// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Config writes that do more than change bytes.
 *
 * Power states are the hardware's: the kernel carries out what the guest writes to PMCSR. A
 * function that sleeps answers config accesses alone (PCI PM 1.2, 5.4), and touching its BARs would
 * be a SIGBUS here, or an error of KVM_RUN: so the guest's BARs are taken away before the function
 * goes to sleep, and come back after it woke.
 *
 * A function level reset is the kernel's too, which saves and restores config space round it, bus
 * master and messages included. What the guest asked for is a silent function: both are off
 * afterwards, and what VFIO was told of interrupts is told anew.
 */
#include "base/util.h"
#include "vfio_pci_priv.h"

#define PMCSR(vp) ((vp)->pm_cap + (unsigned int)PCI_PM_CTRL)

/* True when the write covers the byte @at, which it makes *@ret_byte. */
static bool byte_written(unsigned int at, unsigned int offset, unsigned int size, uint32_t value,
			 uint8_t *ret_byte)
{
	if (at < offset || at >= offset + size)
		return false;
	*ret_byte = (uint8_t)(value >> 8 * (at - offset));
	return true;
}

static bool power_state(struct vfio_pci *vp, uint64_t *ret_ctrl)
{
	return vp->pm_cap &&
	       !vfio_region_read(&vp->vdev, &vp->config_region, PMCSR(vp), 2, ret_ctrl);
}

void vfio_pci_power_on(struct vfio_pci *vp)
{
	uint64_t ctrl;

	if (power_state(vp, &ctrl) && (ctrl & PCI_PM_CTRL_STATE_MASK))
		vfio_region_write(
			&vp->vdev, &vp->config_region, PMCSR(vp), 2,
			ctrl & ~(uint64_t)(PCI_PM_CTRL_STATE_MASK | PCI_PM_CTRL_PME_STATUS));
	pci_dev_sleep(&vp->pdev, false);
}

enum vfio_pci_effect vfio_pci_power_before(struct vfio_pci *vp, unsigned int offset,
					   unsigned int size, uint32_t value)
{
	uint8_t byte;

	if ((vp->flr_devctl && byte_written(vp->flr_devctl, offset, size, value, &byte) &&
	     (byte & PCI_EXP_DEVCTL_BCR_FLR >> 8)) ||
	    (vp->flr_af && byte_written(vp->flr_af, offset, size, value, &byte) &&
	     (byte & PCI_AF_CTRL_FLR))) {
		vfio_pci_irq_off(vp);
		return EFFECT_FLR;
	}
	if (!vp->pm_cap || !byte_written(PMCSR(vp), offset, size, value, &byte))
		return EFFECT_NONE;
	if (byte & PCI_PM_CTRL_STATE_MASK)
		pci_dev_sleep(&vp->pdev, true);
	return EFFECT_POWER;
}

void vfio_pci_power_after(struct vfio_pci *vp, enum vfio_pci_effect effect)
{
	bool hold = vp->irq.hold;
	uint64_t ctrl;

	/* A state that the function has not leaves it where it was: what it says counts. */
	if (effect != EFFECT_NONE)
		pci_dev_sleep(&vp->pdev, power_state(vp, &ctrl) && (ctrl & PCI_PM_CTRL_STATE_MASK));
	if (effect == EFFECT_POWER && !vp->pdev.asleep)
		vfio_pci_irq_awake(vp);
	if (effect != EFFECT_FLR)
		return;
	vp->irq.hold = true;
	pci_dev_flr(&vp->pdev);
	vfio_pci_command_quiet(vp);
	vp->irq.hold = hold;
	if (!hold)
		vfio_pci_irq_restart(vp);
}
