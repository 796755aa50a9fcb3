// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest's driver for an e1000 that serves nothing: the card raises INTx and nobody takes the
 *cause away, so that the line is up again after each end of interrupt.
 *
 *	intx_storm: 12345 interrupts in 3 s
 *
 * Intel 8254x manual, 13.4: ICR, ICS, IMS and IMC.
 */
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/pci.h>

#define E1000_ICR 0xc0
#define E1000_ICS 0xc8
#define E1000_IMS 0xd0
#define E1000_IMC 0xd8
#define E1000_LSC BIT(2)

static int seconds = 3;
module_param(seconds, int, 0444);

static atomic_t interrupts;

static irqreturn_t storm_irq(int irq, void *opaque)
{
	atomic_inc(&interrupts);
	return IRQ_NONE;
}

static int storm_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	void __iomem *regs;
	int ret = pcim_enable_device(pdev);

	if (ret)
		return ret;
	regs = pcim_iomap(pdev, 0, 0);
	if (!regs)
		return -ENOMEM;
	writel(~0u, regs + E1000_IMC);
	ret = request_irq(pdev->irq, storm_irq, IRQF_SHARED, "intx_storm", pdev);
	if (ret)
		return ret;
	writel(E1000_LSC, regs + E1000_IMS);
	writel(E1000_LSC, regs + E1000_ICS);
	msleep(seconds * 1000);
	pr_info("intx_storm: %d interrupts in %d s\n", atomic_read(&interrupts), seconds);
	writel(~0u, regs + E1000_IMC);
	readl(regs + E1000_ICR);
	free_irq(pdev->irq, pdev);
	return 0;
}

static const struct pci_device_id storm_ids[] = {
	{ PCI_DEVICE_DRIVER_OVERRIDE(PCI_ANY_ID, PCI_ANY_ID, 1) },
	{},
};

static struct pci_driver storm_driver = {
	.name = "intx_storm",
	.id_table = storm_ids,
	.probe = storm_probe,
};
module_pci_driver(storm_driver);

MODULE_DESCRIPTION("An e1000 whose interrupts nobody serves");
MODULE_LICENSE("GPL");
