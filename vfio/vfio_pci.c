// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A PCI function of the host as a device of the guest.
 *
 * Data and interrupts pass this process by: BARs are memory slots, DMA goes through the IOMMU, an
 * interrupt is an eventfd from VFIO to KVM. What is left here is config space, the pages that hold
 * the MSI-X table, and how it starts, resets and ends.
 *
 * The kernel resets the function when it is opened and when it is closed; a further reset is done
 * for a guest's reboot alone.
 */
#include "vfio_pci.h"

#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "base/util.h"
#include "vfio_pci_priv.h"
#include "vmm/vm.h"

#define PORT_BAR_MAX (128 * MIB)

static struct vfio_pci *from_dev(struct dev *dev)
{
	return to_vfio_pci(to_pci(dev));
}

static void begin(struct vfio_pci *vp)
{
	vp->idev.fd = -1;
	vp->pdev.behind_port = !vp->no_port;
}

/* Behind a port a BAR that is not prefetchable must lie below 4 GiB, where there are 512 MiB for
 * all. Better on the root bus than no guest. */
static void begin_place(struct vfio_pci *vp)
{
	unsigned int i;

	for (i = 0; i < PCI_BARS && vp->pdev.behind_port; i++) {
		const struct pci_bar *b = &vp->pdev.bars[i];

		if (b->kind != PCI_BAR_MEM64 || b->prefetch || b->size <= PORT_BAR_MAX)
			continue;
		vp->pdev.behind_port = false;
		log_line(vp->pdev.dev.vm->log, LOG_INFO,
			 "%s: %s: BAR %u has %llu MiB and is not prefetchable, for which no port "
			 "has room: on the root bus, without hot plug",
			 vp->pdev.dev.id, vp->idev.name, i, (unsigned long long)(b->size / MIB));
	}
}

static int vfio_pci_probe(struct dev *dev, struct err *err)
{
	struct vfio_pci *vp = from_dev(dev);
	int ret;

	begin(vp);
	ret = vfio_pci_event_options(vp, err);
	if (!ret)
		ret = vfio_pci_find(vp, err);
	if (!ret)
		ret = vfio_pci_mac_check(vp, err);
	if (!ret)
		ret = vfio_pci_find_nodes(vp, err);
	if (!ret)
		ret = vfio_pci_find_bars(vp, err);
	if (!ret)
		begin_place(vp);
	return ret;
}

/* What has to be asked of the opened function before the guest may see it. */
static int vfio_pci_setup(struct vfio_pci *vp, struct err *err)
{
	int ret;

	ret = vfio_dev_init(&vp->vdev, &vfio_dev_kernel, vp->idev.fd, err);
	if (!ret)
		ret = vfio_region_get(&vp->vdev, VFIO_PCI_CONFIG_REGION_INDEX, &vp->config_region,
				      err);
	if (!ret)
		ret = vfio_pci_config_init(vp, err);
	if (!ret)
		ret = vfio_pci_irqs_init(vp, err);
	if (ret)
		return ret;
	ret = vfio_pci_clique_check(vp, err);
	if (ret)
		return ret;
	vfio_pci_caps_msix(vp);
	vfio_pci_quirks_init(vp);
	ret = vfio_pci_bars_init(vp, err);
	if (ret)
		return ret;
	ret = vfio_pci_rom_init(vp, err);
	if (ret)
		return ret;
	begin_place(vp);
	vfio_pci_caps_init(vp);
	ret = vfio_pci_clique_init(vp, err);
	if (ret)
		return ret;
	ret = vfio_pci_command_quiet(vp);
	return ret ? err_sys(err, ret, "switching its BARs on") : 0;
}

static int vfio_pci_realize(struct dev *dev, struct err *err)
{
	struct vfio_pci *vp = from_dev(dev);
	int ret;

	begin(vp);
	ret = vfio_pci_event_options(vp, err);
	if (!ret)
		ret = vfio_pci_find(vp, err);
	iommu_given_own(dev->vm, &vp->idev);
	if (!ret)
		ret = vfio_pci_mac_set(vp, err);
	if (!ret)
		ret = iommu_attach(dev->vm, vp->row, &vp->idev, err);
	if (!ret)
		ret = iommu_token_set(&vp->idev, err);
	if (ret)
		return ret;
	ret = vfio_pci_setup(vp, err);
	if (!ret)
		ret = pci_dev_plug(&vp->pdev, err);
	if (!ret)
		ret = vfio_pci_events_on(vp, err);
	if (ret)
		err_prefix(err, "%s", vp->idev.name);
	return ret;
}

static void vfio_pci_quiesce(struct dev *dev)
{
	struct vfio_pci *vp = from_dev(dev);

	vp->irq.hold = true;
	vfio_pci_events_off(vp);
	vfio_pci_irq_off(vp);
	vfio_pci_command_quiet(vp);
}

static void vfio_pci_destroy(struct dev *dev)
{
	struct vfio_pci *vp = from_dev(dev);

	vfio_pci_events_off(vp);
	vfio_pci_irqs_done(vp);
	pci_dev_unplug(&vp->pdev);
	vfio_pci_bars_done(vp);
	vfio_pci_rom_done(vp);
	vfio_region_done(&vp->config_region);
	iommu_detach(dev->vm, &vp->idev);
	vfio_pci_mac_back(vp);
	vfio_pci_lease_drop(vp);
}

static void vfio_pci_reboot(struct dev *dev)
{
	struct vfio_pci *vp = from_dev(dev);

	vp->irq.hold = true;
	vfio_pci_irq_off(vp);
	vfio_pci_command_quiet(vp);
	pci_dev_reset(&vp->pdev);
	vfio_pci_reset_reboot(vp);
	vp->event.resetting = false;
	vfio_pci_irq_restart(vp);
	vfio_pci_bars_back(vp);
}

static void vfio_pci_describe(struct dev *dev, char *buf, size_t size)
{
	const struct vfio_pci *vp = from_dev(dev);

	int n = snprintf(buf, size, "%s by %s, group %d", vp->idev.name, vp->idev.by->name,
			 vp->idev.group);

	/* A plan has the time to say it. */
	if (dev->vm->config.plan && n > 0 && (size_t)n < size)
		vfio_pci_group_describe(vp, buf + n, size - (size_t)n);
}

static const struct pci_ops vfio_pci_ops = {
	.config_read = vfio_pci_config_read,
	.config_written = vfio_pci_config_written,
	.irq_mode = vfio_pci_irq_mode,
	.vector_use = vfio_pci_vector_use,
	.bars_lost = vfio_pci_bars_lost,
	.pba_read = vfio_pci_pba_read,
};

/* Descriptors below 3 are the standard streams. */
#define FD_OPTION(option, kind, text)                                                              \
	{                                                                                          \
		.name = (option), .type = OPT_U32, .offset = offsetof(struct vfio_pci, fds[kind]), \
		.min = 3, .max = INT32_MAX, .help = (text)                                         \
	}

static const struct opt_field vfio_pci_options[] = {
	{ .name = "host",
	  .type = OPT_STR,
	  .offset = offsetof(struct vfio_pci, host_name),
	  .help = "the host's function: 0000:01:10.0, eth0, PF/vfN or PF/any" },
	{ .name = "pool",
	  .type = OPT_STR,
	  .offset = offsetof(struct vfio_pci, lease.pool),
	  .help = "in place of host=: a pool of vfctl's, any free function of which is leased" },
	{ .name = "mac",
	  .type = OPT_MAC,
	  .offset = offsetof(struct vfio_pci, mac.want),
	  .help = "of a network card's VF: its address, set through its PF for as long as the guest "
		  "has it (as the PF has set it)" },
	{ .name = "all-functions",
	  .type = OPT_BOOL,
	  .offset = offsetof(struct vfio_pci, all_functions),
	  .help = "all functions of the card: host= may be a slot, as 0000:09:00 (off)" },
	{ .name = "port",
	  .type = OPT_NOT,
	  .offset = offsetof(struct vfio_pci, no_port),
	  .help = "off: on the guest's root bus, and not behind a PCI Express port with hot plug "
		  "(on)" },
	{ .name = "romfile",
	  .type = OPT_STR,
	  .offset = offsetof(struct vfio_pci, rom.file),
	  .help = "a file in place of the function's expansion ROM" },
	{ .name = "rombar",
	  .type = OPT_NOT,
	  .offset = offsetof(struct vfio_pci, rom.off),
	  .help = "off: the guest sees no expansion ROM (on)" },
	{ .name = "on-error",
	  .type = OPT_STR,
	  .offset = offsetof(struct vfio_pci, event.on_error),
	  .help = "when the host reports a PCI Express error: stop (the guest; default), reset or "
		  "unplug (the function)" },
	{ .name = "unplug-timeout",
	  .type = OPT_U32,
	  .offset = offsetof(struct vfio_pci, event.unplug_timeout),
	  .min = 1,
	  .max = 3600,
	  .help = "seconds that the guest has to let go of it when the host wants it (default 8)" },
	{ .name = "vectors",
	  .type = OPT_U32,
	  .offset = offsetof(struct vfio_pci, irq.vectors_max),
	  .min = 1,
	  .max = 2048,
	  .help = "the most MSI-X and MSI vectors that the guest sees (as the function has)" },
	{ .name = "nv-gpudirect-clique",
	  .type = OPT_STR,
	  .offset = offsetof(struct vfio_pci, clique),
	  .help = "0 to 15: NVIDIA GPUs of one number reach one another's memory" },
	{ .name = "iommu",
	  .type = OPT_STR,
	  .offset = offsetof(struct vfio_pci, iommu_name),
	  .help = "type1 or iommufd, the same for all of a guest (type1 where it can be had)" },
	FD_OPTION("fd", IOMMU_GIVEN_DEV, "in place of host=: an open node of /dev/vfio/devices"),
	FD_OPTION("iommufd-fd", IOMMU_GIVEN_IOMMUFD, "an open /dev/iommu"),
	FD_OPTION("group-fd", IOMMU_GIVEN_GROUP, "an open /dev/vfio/GROUP, beside host="),
	FD_OPTION("container-fd", IOMMU_GIVEN_CONTAINER, "an open /dev/vfio/vfio"),
	{ .name = "vf-token",
	  .type = OPT_STR,
	  .offset = offsetof(struct vfio_pci, token_text),
	  .help = "the UUID that a PF with vfio-pci and its VFs agree on" },
	OPT_END,
};

const struct dev_class vfio_pci_class = {
	.name = "vfio-pci",
	.help = "a PCI function of the host, handed over by VFIO",
	.size = sizeof(struct vfio_pci),
	.options = vfio_pci_options,
	.pci = &vfio_pci_ops,
	.part = vfio_pci_part,
	.probe = vfio_pci_probe,
	.realize = vfio_pci_realize,
	.quiesce = vfio_pci_quiesce,
	.destroy = vfio_pci_destroy,
	.reset = vfio_pci_reboot,
	.read = vfio_pci_bar_read,
	.write = vfio_pci_bar_write,
	.describe = vfio_pci_describe,
};
