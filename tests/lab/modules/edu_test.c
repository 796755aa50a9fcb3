// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest's driver for QEMU's edu card (docs/specs/edu.rst), which no kernel has: it tries what the
 * card can do once, when it is bound, and prints one line for each part.
 *
 *	edu_test: id 1.0, liveness well, 10! = 3628800
 *	edu_test: MSI: 20 of 20 interrupts
 *	edu_test: INTx: 20 of 20 interrupts
 *	edu_test: DMA: 4096 bytes to the card and back are the same
 *	edu_test: outside: ...	(only with outside=ADDRESS, an address that is not the guest's RAM)
 *
 * A part that goes wrong prints "edu_test: FAULT: ..." instead.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/module.h>
#include <linux/pci.h>

#define EDU_ID 0x00
#define EDU_LIVENESS 0x04
#define EDU_FACTORIAL 0x08
#define EDU_STATUS 0x20
#define EDU_STATUS_COMPUTING BIT(0)
#define EDU_IRQ_STATUS 0x24
#define EDU_IRQ_RAISE 0x60
#define EDU_IRQ_ACK 0x64
#define EDU_DMA_SRC 0x80
#define EDU_DMA_DST 0x88
#define EDU_DMA_COUNT 0x90
#define EDU_DMA_CMD 0x98
#define EDU_DMA_START BIT(0)
#define EDU_DMA_TO_RAM BIT(1)
#define EDU_DMA_IRQ BIT(2)
#define EDU_DMA_IRQ_STATUS 0x100
#define EDU_BUFFER 0x40000 /* the card's own memory, as its engine sees it */
#define EDU_BUFFER_SIZE 4096
#define EDU_DMA_BITS 28

#define IRQS 20

static unsigned long outside;
module_param(outside, ulong, 0444);
MODULE_PARM_DESC(outside, "an address that is not the guest's RAM, for DMA that must not happen");

struct edu {
	struct pci_dev *pdev;
	void __iomem *regs;
	atomic_t irqs;
	u32 last_status;
	struct completion irq;
	void *ram;
	dma_addr_t ram_dma;
};

static irqreturn_t edu_irq(int irq, void *opaque)
{
	struct edu *edu = opaque;
	u32 status = readl(edu->regs + EDU_IRQ_STATUS);

	if (!status)
		return IRQ_NONE;
	writel(status, edu->regs + EDU_IRQ_ACK);
	edu->last_status = status;
	atomic_inc(&edu->irqs);
	complete(&edu->irq);
	return IRQ_HANDLED;
}

static void edu_try_registers(struct edu *edu)
{
	u32 id = readl(edu->regs + EDU_ID), status, live;
	int ret;

	writel(0x12345678, edu->regs + EDU_LIVENESS);
	live = readl(edu->regs + EDU_LIVENESS);
	writel(10, edu->regs + EDU_FACTORIAL);
	ret = readl_poll_timeout(edu->regs + EDU_STATUS, status, !(status & EDU_STATUS_COMPUTING),
				 1000, 5000000);
	if ((id & 0xffff) != 0x00ed || live != ~0x12345678u || ret)
		pr_err("edu_test: FAULT: id 0x%08x, liveness 0x%08x, factorial %d\n", id, live,
		       ret);
	else
		pr_info("edu_test: id %u.%u, liveness well, 10! = %u\n", id >> 24, id >> 16 & 0xff,
			readl(edu->regs + EDU_FACTORIAL));
}

static bool edu_wait_irq(struct edu *edu)
{
	return wait_for_completion_timeout(&edu->irq, msecs_to_jiffies(5000));
}

/* Each with a value of its own, awaited before the next. */
static void edu_try_irqs(struct edu *edu, const char *name)
{
	unsigned int i;

	atomic_set(&edu->irqs, 0);
	for (i = 1; i <= IRQS; i++) {
		reinit_completion(&edu->irq);
		writel(i, edu->regs + EDU_IRQ_RAISE);
		if (!edu_wait_irq(edu) || edu->last_status != i)
			break;
	}
	/* One too many would come now. */
	msleep(100);
	if (atomic_read(&edu->irqs) == IRQS && i > IRQS)
		pr_info("edu_test: %s: %d of %d interrupts\n", name, IRQS, IRQS);
	else
		pr_err("edu_test: FAULT: %s: %d of %d interrupts, the last with 0x%x\n", name,
		       atomic_read(&edu->irqs), IRQS, edu->last_status);
}

/* Moves @count bytes between the card's buffer and @ram, and waits for the interrupt. */
static int edu_dma(struct edu *edu, dma_addr_t ram, u32 count, bool to_ram)
{
	reinit_completion(&edu->irq);
	writeq(to_ram ? EDU_BUFFER : ram, edu->regs + EDU_DMA_SRC);
	writeq(to_ram ? ram : EDU_BUFFER, edu->regs + EDU_DMA_DST);
	writeq(count, edu->regs + EDU_DMA_COUNT);
	writeq(EDU_DMA_START | EDU_DMA_IRQ | (to_ram ? EDU_DMA_TO_RAM : 0),
	       edu->regs + EDU_DMA_CMD);
	if (!edu_wait_irq(edu) || edu->last_status != EDU_DMA_IRQ_STATUS)
		return -ETIMEDOUT;
	return 0;
}

static bool edu_filled(const u8 *ram, unsigned int seed)
{
	unsigned int i;

	for (i = 0; i < EDU_BUFFER_SIZE; i++)
		if (ram[i] != (u8)(i * 7 + seed))
			return false;
	return true;
}

static void edu_fill(u8 *ram, unsigned int seed)
{
	unsigned int i;

	for (i = 0; i < EDU_BUFFER_SIZE; i++)
		ram[i] = i * 7 + seed;
}

/* RAM to the card, and back to another page. */
static bool edu_round(struct edu *edu, unsigned int seed)
{
	u8 *out = edu->ram, *in = out + EDU_BUFFER_SIZE;

	edu_fill(out, seed);
	memset(in, 0, EDU_BUFFER_SIZE);
	return !edu_dma(edu, edu->ram_dma, EDU_BUFFER_SIZE, false) &&
	       !edu_dma(edu, edu->ram_dma + EDU_BUFFER_SIZE, EDU_BUFFER_SIZE, true) &&
	       edu_filled(in, seed);
}

static void edu_try_dma(struct edu *edu)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		if (!edu_round(edu, i * 37 + 1)) {
			pr_err("edu_test: FAULT: DMA round %u\n", i);
			return;
		}
	pr_info("edu_test: DMA: %u rounds of %u bytes to the card and back are the same\n", i,
		EDU_BUFFER_SIZE);
}

/*
 * The engine says that it is done, whatever became of the transfer. What it read from outside must
 * not be told apart from nothing; what it wrote there went nowhere; and what comes after works.
 */
static void edu_try_outside(struct edu *edu)
{
	u8 *in = (u8 *)edu->ram + EDU_BUFFER_SIZE;
	unsigned int i, same = 0;
	int ret;

	ret = edu_dma(edu, outside, EDU_BUFFER_SIZE, true);
	/* An IOMMU may count two faults of one function as one when they come close together. */
	msleep(1000);
	if (!ret)
		ret = edu_dma(edu, outside, EDU_BUFFER_SIZE, false);
	if (!ret)
		ret = edu_dma(edu, edu->ram_dma + EDU_BUFFER_SIZE, EDU_BUFFER_SIZE, true);
	if (ret) {
		pr_err("edu_test: FAULT: DMA outside: the engine stands still (%d)\n", ret);
		return;
	}
	for (i = 1; i < EDU_BUFFER_SIZE; i++)
		same += in[i] == in[0];
	pr_info("edu_test: outside: 0x%lx read as %s\n", outside,
		same == EDU_BUFFER_SIZE - 1  ? "nothing"
		: edu_filled(in, 3 * 37 + 1) ? "the buffer's old content"
					     : "SOMETHING");
	if (edu_round(edu, 200))
		pr_info("edu_test: after it: DMA works\n");
	else
		pr_err("edu_test: FAULT: no DMA works after one outside\n");
}

static void edu_try_with(struct edu *edu, unsigned int kind, const char *name, bool dma)
{
	int ret = pci_alloc_irq_vectors(edu->pdev, 1, 1, kind);

	if (ret == 1)
		ret = request_irq(pci_irq_vector(edu->pdev, 0), edu_irq,
				  kind == PCI_IRQ_INTX ? IRQF_SHARED : 0, "edu_test", edu);
	if (ret) {
		pr_err("edu_test: FAULT: no %s: %d\n", name, ret);
		pci_free_irq_vectors(edu->pdev);
		return;
	}
	edu_try_irqs(edu, name);
	if (dma) {
		edu_try_dma(edu);
		if (outside)
			edu_try_outside(edu);
	}
	free_irq(pci_irq_vector(edu->pdev, 0), edu);
	pci_free_irq_vectors(edu->pdev);
}

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu *edu = devm_kzalloc(&pdev->dev, sizeof(*edu), GFP_KERNEL);
	int ret;

	if (!edu)
		return -ENOMEM;
	edu->pdev = pdev;
	init_completion(&edu->irq);
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	edu->regs = pcim_iomap(pdev, 0, 0);
	if (!edu->regs)
		return -ENOMEM;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(EDU_DMA_BITS));
	if (ret)
		return ret;
	edu->ram = dmam_alloc_coherent(&pdev->dev, 2 * EDU_BUFFER_SIZE, &edu->ram_dma, GFP_KERNEL);
	if (!edu->ram)
		return -ENOMEM;
	pci_set_master(pdev);
	edu_try_registers(edu);
	edu_try_with(edu, PCI_IRQ_INTX, "INTx", false);
	edu_try_with(edu, PCI_IRQ_MSI, "MSI", true);
	pr_info("edu_test: done\n");
	return 0;
}

static const struct pci_device_id edu_ids[] = { { PCI_DEVICE(0x1234, 0x11e8) }, {} };
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name = "edu_test",
	.id_table = edu_ids,
	.probe = edu_probe,
};
module_pci_driver(edu_driver);

MODULE_DESCRIPTION("Tries QEMU's edu card");
MODULE_LICENSE("GPL");
