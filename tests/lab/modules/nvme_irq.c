// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest's driver that uses an NVMe function for its interrupts alone. It takes as many MSI-X
 * vectors as it is told, one after the other with commands to the function in between, as Linux's
 * nvme driver does, and gives each a completion queue in turn. Then it sends commands that make the
 * function interrupt by that vector, and counts.
 *
 *	nvme_irq: pauses: 0					the machine stood still so often meanwhile
 *	nvme_irq: up: 64 vectors
 *	nvme_irq: counted: 64 vectors, 5 messages each		each arrived, once
 *	nvme_irq: masked: ...					and so on, see the tests below
 *	nvme_irq: done
 *
 * What goes wrong prints "nvme_irq: FAULT: ..." instead. With check=0 it stops at "up".
 *
 * NVMe 1.4: 3.1 registers, 4.2 submission entries, 4.6 completion entries, 5.3 to 5.6 queues.
 */
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/module.h>
#include <linux/pci.h>

#define NVME_CAP 0x00
#define NVME_CC 0x14
#define NVME_CSTS 0x1c
#define NVME_AQA 0x24
#define NVME_ASQ 0x28
#define NVME_ACQ 0x30
#define NVME_DOORBELLS 0x1000
#define NVME_CC_EN BIT(0)
#define NVME_CC_SIZES (6 << 16 | 4 << 20) /* entries of 64 and 16 bytes */
#define NVME_CSTS_RDY BIT(0)

#define ADMIN_DELETE_SQ 0x00
#define ADMIN_CREATE_SQ 0x01
#define ADMIN_DELETE_CQ 0x04
#define ADMIN_CREATE_CQ 0x05
#define ADMIN_GET_FEATURES 0x0a
#define IO_NONE 0x7f /* no such command: the function answers so, which is all that is wanted */

#define DEPTH 16u
#define MESSAGES 5
#define SETTLE_MS 30
#define PAUSE_MS 80 /* the machine stood still between two vectors */

static int vectors = 64;
module_param(vectors, int, 0444);
static int check = 1;
module_param(check, int, 0444);
static int storm = 2000;
module_param(storm, int, 0444);

struct queue {
	unsigned int id, tail, head;
	u8 phase;
	__le32 *sq;
	volatile __le32 *cq;
	dma_addr_t sq_dma, cq_dma;
};

struct unit {
	struct pci_dev *pdev;
	void __iomem *regs;
	void __iomem *table, *pba;
	unsigned int stride;
	struct queue admin, io;
	atomic_t *count;
	int vectors;
	bool bad;
};

#define FAULT(u, fmt, ...)                                                                         \
	do {                                                                                       \
		(u)->bad = true;                                                                   \
		pr_err("nvme_irq: FAULT: " fmt "\n", ##__VA_ARGS__);                               \
	} while (0)

static irqreturn_t unit_irq(int irq, void *opaque)
{
	atomic_inc(opaque);
	return IRQ_HANDLED;
}

static void __iomem *doorbell(struct unit *u, unsigned int id, bool completion)
{
	return u->regs + NVME_DOORBELLS + (2 * id + completion) * u->stride;
}

static int queue_alloc(struct unit *u, struct queue *q, unsigned int id)
{
	struct device *dev = &u->pdev->dev;

	q->id = id;
	q->sq = dmam_alloc_coherent(dev, PAGE_SIZE, &q->sq_dma, GFP_KERNEL);
	q->cq = dmam_alloc_coherent(dev, PAGE_SIZE, &q->cq_dma, GFP_KERNEL);
	return q->sq && q->cq ? 0 : -ENOMEM;
}

static void queue_fresh(struct queue *q)
{
	q->tail = q->head = 0;
	q->phase = 1;
	memset((void *)q->cq, 0, PAGE_SIZE);
}

static bool queue_completed(const struct queue *q)
{
	return (le32_to_cpu(q->cq[4 * q->head + 3]) >> 16 & 1) == q->phase;
}

/* One command; waits for its completion by looking, not by the interrupt. Returns the status. */
static int command(struct unit *u, struct queue *q, u32 opcode, u64 prp, u32 dw10, u32 dw11)
{
	__le32 *sqe = q->sq + 16 * q->tail;
	bool ready;
	int status;

	memset(sqe, 0, 64);
	sqe[0] = cpu_to_le32(opcode | q->tail << 16);
	sqe[1] = cpu_to_le32(q->id ? 1 : 0);
	sqe[6] = cpu_to_le32(lower_32_bits(prp));
	sqe[7] = cpu_to_le32(upper_32_bits(prp));
	sqe[10] = cpu_to_le32(dw10);
	sqe[11] = cpu_to_le32(dw11);
	q->tail = (q->tail + 1) % DEPTH;
	wmb();
	writel(q->tail, doorbell(u, q->id, false));
	if (read_poll_timeout(queue_completed, ready, ready, 20, 10000000, false, q)) {
		FAULT(u, "queue %u: command 0x%x is not answered", q->id, opcode);
		return -ETIMEDOUT;
	}
	status = le32_to_cpu(q->cq[4 * q->head + 3]) >> 17;
	q->head = (q->head + 1) % DEPTH;
	if (!q->head)
		q->phase ^= 1;
	writel(q->head, doorbell(u, q->id, true));
	return status;
}

static int admin(struct unit *u, u32 opcode, u64 prp, u32 dw10, u32 dw11)
{
	int status = command(u, &u->admin, opcode, prp, dw10, dw11);

	if (status > 0)
		FAULT(u, "admin command 0x%x: status 0x%x", opcode, status);
	return status ? -EIO : 0;
}

static int ready_wait(struct unit *u, u32 want)
{
	u32 csts;

	return readl_poll_timeout(u->regs + NVME_CSTS, csts, (csts & NVME_CSTS_RDY) == want, 100,
				  10000000);
}

static int unit_enable(struct unit *u)
{
	int ret;

	writel(0, u->regs + NVME_CC);
	ret = ready_wait(u, 0);
	if (ret)
		return ret;
	queue_fresh(&u->admin);
	writel((DEPTH - 1) << 16 | (DEPTH - 1), u->regs + NVME_AQA);
	lo_hi_writeq(u->admin.sq_dma, u->regs + NVME_ASQ);
	lo_hi_writeq(u->admin.cq_dma, u->regs + NVME_ACQ);
	writel(NVME_CC_EN | NVME_CC_SIZES, u->regs + NVME_CC);
	return ready_wait(u, NVME_CSTS_RDY);
}

/* The I/O queue, whose completions interrupt by vector @v. */
static int io_up(struct unit *u, unsigned int v)
{
	int ret;

	queue_fresh(&u->io);
	ret = admin(u, ADMIN_CREATE_CQ, u->io.cq_dma, (DEPTH - 1) << 16 | 1, v << 16 | 3);
	return ret ?: admin(u, ADMIN_CREATE_SQ, u->io.sq_dma, (DEPTH - 1) << 16 | 1, 1 << 16 | 1);
}

static int io_down(struct unit *u)
{
	return admin(u, ADMIN_DELETE_SQ, 0, 1, 0) ?: admin(u, ADMIN_DELETE_CQ, 0, 1, 0);
}

static int io(struct unit *u)
{
	return command(u, &u->io, IO_NONE, 0, 0, 0) < 0 ? -EIO : 0;
}

static int count_wait(struct unit *u, unsigned int v, int want)
{
	int got;

	read_poll_timeout(atomic_read, got, got >= want, 200, 2000000, false, &u->count[v]);
	return got;
}

/* After @v was told to interrupt @want times in all: that often, and no oftener. */
static void expect(struct unit *u, const char *what, unsigned int v, int want)
{
	int got = count_wait(u, v, want);

	if (got == want) {
		msleep(SETTLE_MS);
		got = atomic_read(&u->count[v]);
	}
	if (got != want)
		FAULT(u, "%s: vector %u came %d times, not %d", what, v, got, want);
}

static u32 pending(struct unit *u, unsigned int v)
{
	return readl(u->pba + v / 32 * 4) >> (v % 32) & 1;
}

static void __iomem *entry(struct unit *u, unsigned int v)
{
	return u->table + v * PCI_MSIX_ENTRY_SIZE;
}

static void mask(struct unit *u, unsigned int v, bool on)
{
	writel(on, entry(u, v) + PCI_MSIX_ENTRY_VECTOR_CTRL);
	readl(entry(u, v));
}

static void flags_change(struct unit *u, u16 clear, u16 set)
{
	u16 flags;

	pci_read_config_word(u->pdev, u->pdev->msix_cap + PCI_MSIX_FLAGS, &flags);
	pci_write_config_word(u->pdev, u->pdev->msix_cap + PCI_MSIX_FLAGS, (flags & ~clear) | set);
}

static int test_counted(struct unit *u)
{
	int v, i, bad = 0;

	/* Vector 0 is the admin queue's. */
	for (v = 1; v < u->vectors; v++) {
		if (io_up(u, v))
			return -EIO;
		for (i = 1; i <= MESSAGES; i++) {
			if (io(u))
				return -EIO;
			bad += count_wait(u, v, i) != i;
		}
		if (io_down(u))
			return -EIO;
	}
	msleep(SETTLE_MS);
	for (v = 1; v < u->vectors; v++) {
		int got = atomic_read(&u->count[v]);

		if (got != MESSAGES)
			FAULT(u, "vector %d came %d times, not %d", v, got, MESSAGES);
	}
	pr_info("nvme_irq: counted: %d vectors, %d messages each%s\n", u->vectors - 1, MESSAGES,
		bad ? ", not all in time" : "");
	return 0;
}

/* Fired twice while masked: pending, and one message at the unmask. */
static void test_masked(struct unit *u, unsigned int v)
{
	int base = atomic_read(&u->count[v]);

	mask(u, v, true);
	if (pending(u, v))
		FAULT(u, "vector %u is pending before it fired", v);
	if (io(u) || io(u))
		return;
	expect(u, "masked", v, base);
	if (!pending(u, v))
		FAULT(u, "vector %u fired while masked and is not pending", v);
	mask(u, v, false);
	expect(u, "unmasked", v, base + 1);
	if (pending(u, v))
		FAULT(u, "vector %u is still pending", v);
	pr_info("nvme_irq: masked: vector %u was pending and came once\n", v);
}

static void test_function_masked(struct unit *u, unsigned int v)
{
	int base = atomic_read(&u->count[v]);

	flags_change(u, 0, PCI_MSIX_FLAGS_MASKALL);
	if (io(u))
		return;
	expect(u, "function masked", v, base);
	if (!pending(u, v))
		FAULT(u, "vector %u fired while the function was masked and is not pending", v);
	flags_change(u, PCI_MSIX_FLAGS_MASKALL, 0);
	expect(u, "function unmasked", v, base + 1);
	pr_info("nvme_irq: function masked: vector %u was pending and came once\n", v);
}

/* An entry in use is given another one's message, and back, without a mask. */
static void test_changed(struct unit *u, unsigned int v, unsigned int w)
{
	u32 was = readl(entry(u, v) + PCI_MSIX_ENTRY_DATA);
	u32 was_addr = readl(entry(u, v) + PCI_MSIX_ENTRY_LOWER_ADDR);
	int base_v = atomic_read(&u->count[v]), base_w = atomic_read(&u->count[w]);

	writel(readl(entry(u, w) + PCI_MSIX_ENTRY_LOWER_ADDR),
	       entry(u, v) + PCI_MSIX_ENTRY_LOWER_ADDR);
	writel(readl(entry(u, w) + PCI_MSIX_ENTRY_DATA), entry(u, v) + PCI_MSIX_ENTRY_DATA);
	if (io(u))
		return;
	expect(u, "changed", w, base_w + 1);
	expect(u, "changed", v, base_v);
	writel(was_addr, entry(u, v) + PCI_MSIX_ENTRY_LOWER_ADDR);
	writel(was, entry(u, v) + PCI_MSIX_ENTRY_DATA);
	if (io(u))
		return;
	expect(u, "changed back", v, base_v + 1);
	pr_info("nvme_irq: changed: vector %u became %u and came back\n", v, w);
}

/* An address in RAM: no interrupt, and nothing is written there. */
static void test_no_interrupt_address(struct unit *u, unsigned int v)
{
	u32 was = readl(entry(u, v) + PCI_MSIX_ENTRY_LOWER_ADDR);
	int base = atomic_read(&u->count[v]);
	dma_addr_t dma;
	u32 *ram = dma_alloc_coherent(&u->pdev->dev, PAGE_SIZE, &dma, GFP_KERNEL);

	if (!ram || upper_32_bits(dma))
		return;
	*ram = 0x600d600d;
	writel(lower_32_bits(dma), entry(u, v) + PCI_MSIX_ENTRY_LOWER_ADDR);
	if (!io(u)) {
		expect(u, "address in RAM", v, base);
		if (READ_ONCE(*ram) != 0x600d600d)
			FAULT(u, "RAM was written: 0x%08x", READ_ONCE(*ram));
	}
	writel(was, entry(u, v) + PCI_MSIX_ENTRY_LOWER_ADDR);
	/* The message may come late; it has to work again. */
	msleep(SETTLE_MS);
	base = atomic_read(&u->count[v]);
	if (!io(u))
		expect(u, "address is back", v, base + 1);
	pr_info("nvme_irq: address: vector %u was silent and works again\n", v);
	dma_free_coherent(&u->pdev->dev, PAGE_SIZE, ram, dma);
}

/* Masked and unmasked without a pause while messages come, each before the next is asked for. */
static void test_storm(struct unit *u, unsigned int v)
{
	int i, want = atomic_read(&u->count[v]), messages = 0, lost = 0;

	for (i = 0; i < storm; i++) {
		if (i % 16 == 0) {
			int got = count_wait(u, v, want);

			if (got != want) {
				lost += want - got;
				FAULT(u, "storm: before unmask %d: vector %u came %d times, not %d",
				      i, v, got, want);
			}
			want = got + 1;
			messages++;
		}
		mask(u, v, true);
		if (i % 16 == 0 && io(u))
			return;
		mask(u, v, false);
	}
	expect(u, "the end of the storm", v, want);
	pr_info("nvme_irq: storm: %d unmasks, %d messages\n", storm, messages);
}

/* MSI-X switched off while its vectors are in use, and on again. (A low vector: QEMU's NVMe ends on
 * an assertion when one above 31 fires without MSI-X.) */
static void test_off_and_on(struct unit *u, unsigned int v)
{
	int base = atomic_read(&u->count[v]);

	flags_change(u, PCI_MSIX_FLAGS_ENABLE, 0);
	if (!io(u))
		expect(u, "MSI-X off", v, base);
	flags_change(u, 0, PCI_MSIX_FLAGS_ENABLE);
	msleep(SETTLE_MS);
	base = atomic_read(&u->count[v]);
	if (!io(u))
		expect(u, "MSI-X on again", v, base + 1);
	pr_info("nvme_irq: off and on: vector %u is silent and works again\n", v);
}

static int unit_check(struct unit *u)
{
	unsigned int last = u->vectors - 1;

	if (test_counted(u))
		return -EIO;
	if (io_up(u, last))
		return -EIO;
	test_masked(u, last);
	test_function_masked(u, last);
	test_changed(u, last, last / 2);
	test_no_interrupt_address(u, last);
	test_storm(u, last);
	if (io_down(u) || io_up(u, 1))
		return -EIO;
	test_off_and_on(u, 1);
	return io_down(u);
}

static void __iomem *part_map(struct unit *u, unsigned int at, size_t size)
{
	u32 where;

	pci_read_config_dword(u->pdev, u->pdev->msix_cap + at, &where);
	return devm_ioremap(&u->pdev->dev,
			    pci_resource_start(u->pdev, where & PCI_MSIX_TABLE_BIR) +
				    (where & PCI_MSIX_TABLE_OFFSET),
			    size);
}

static int unit_map(struct unit *u)
{
	int size = pci_msix_vec_count(u->pdev);

	if (size < 0)
		return size;
	u->regs = pcim_iomap(u->pdev, 0, 0);
	u->table = part_map(u, PCI_MSIX_TABLE, (size_t)size * PCI_MSIX_ENTRY_SIZE);
	u->pba = part_map(u, PCI_MSIX_PBA, ALIGN(size, 64) / 8);
	if (!u->regs || !u->table || !u->pba)
		return -ENOMEM;
	u->stride = 4u << (readl(u->regs + NVME_CAP + 4) & 0xf);
	u->vectors = min(vectors, size);
	u->count = devm_kcalloc(&u->pdev->dev, u->vectors, sizeof(*u->count), GFP_KERNEL);
	return u->count ? 0 : -ENOMEM;
}

static int vectors_up(struct unit *u)
{
	ktime_t last = ktime_get(), now;
	int v, ret = 0, pauses = 0;

	for (v = 0; !ret && v < u->vectors; v++) {
		/* What nvme does between two: the function makes the vector's queues. */
		if (v && (admin(u, ADMIN_GET_FEATURES, 0, 7, 0) ||
			  admin(u, ADMIN_GET_FEATURES, 0, 7, 0)))
			ret = -EIO;
		if (!ret)
			ret = request_irq(pci_irq_vector(u->pdev, v), unit_irq, 0, "nvme_irq",
					  &u->count[v]);
		now = ktime_get();
		pauses += ktime_ms_delta(now, last) > PAUSE_MS;
		last = now;
	}
	pr_info("nvme_irq: pauses: %d\n", pauses);
	if (ret) {
		FAULT(u, "vector %d of %d: %d", v - 1, u->vectors, ret);
		while (--v > 0)
			free_irq(pci_irq_vector(u->pdev, v - 1), &u->count[v - 1]);
	}
	return ret;
}

static int unit_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct unit *u = devm_kzalloc(&pdev->dev, sizeof(*u), GFP_KERNEL);
	int ret;

	if (!u)
		return -ENOMEM;
	u->pdev = pdev;
	pci_set_drvdata(pdev, u);
	ret = pcim_enable_device(pdev);
	if (!ret)
		ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(32));
	if (!ret)
		ret = queue_alloc(u, &u->admin, 0) ?: queue_alloc(u, &u->io, 1);
	if (!ret)
		ret = unit_map(u);
	if (ret)
		return ret;
	pci_set_master(pdev);
	/* MSI-X before the admin queue: QEMU looks once whether the queue's vector can be used. */
	ret = pci_alloc_irq_vectors(pdev, u->vectors, u->vectors, PCI_IRQ_MSIX);
	if (ret < 0) {
		FAULT(u, "%d vectors: %d", u->vectors, ret);
		return ret;
	}
	ret = unit_enable(u);
	if (!ret)
		ret = vectors_up(u);
	if (ret) {
		pci_free_irq_vectors(pdev);
		return ret;
	}
	pr_info("nvme_irq: up: %d vectors\n", u->vectors);
	if (check && unit_check(u))
		u->bad = true;
	pr_info("nvme_irq: done%s\n", u->bad ? ", with faults" : "");
	return 0;
}

static void unit_remove(struct pci_dev *pdev)
{
	struct unit *u = pci_get_drvdata(pdev);
	int v;

	writel(0, u->regs + NVME_CC);
	ready_wait(u, 0);
	for (v = 0; v < u->vectors; v++)
		free_irq(pci_irq_vector(pdev, v), &u->count[v]);
	pci_free_irq_vectors(pdev);
	pci_clear_master(pdev);
}

/* By driver_override, for Linux's own driver takes them otherwise. */
static const struct pci_device_id unit_ids[] = {
	{ PCI_DEVICE_DRIVER_OVERRIDE(PCI_ANY_ID, PCI_ANY_ID, 1) },
	{},
};

static struct pci_driver unit_driver = {
	.name = "nvme_irq",
	.id_table = unit_ids,
	.probe = unit_probe,
	.remove = unit_remove,
};
module_pci_driver(unit_driver);

MODULE_DESCRIPTION("An NVMe function used for its interrupts alone");
MODULE_LICENSE("GPL");
