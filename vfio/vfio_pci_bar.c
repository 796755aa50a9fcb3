// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * BARs. What VFIO lets be mapped the guest reaches without an exit; the pages of the MSI-X table
 * and PBA are cut out of that, because the VMM answers them (NVMe has doorbells in the same BAR,
 * and registers in the same page: those are forwarded one by one). A BAR smaller than a page is
 * reached through its page while the guest has nothing else on that page (vmm/bus.c); port BARs are
 * forwarded.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/err.h"
#include "base/log.h"
#include "base/util.h"
#include "vfio_pci_priv.h"
#include "vfio_sys.h"
#include "vmm/vm.h"

#define PAGE 4096ull
#define PBA_SIZE(count) (align_up((count), 64) / 8)
#define MSIX_ENTRY 16ull

/* Takes the pages of [offset, offset + size) out of the sorted list; it grows by one at most. */
static void areas_cut(struct vfio_area *areas, unsigned int *count, uint64_t offset, uint64_t size)
{
	uint64_t from = align_down(offset, PAGE), to = align_up(offset + size, PAGE);
	unsigned int i = 0;

	while (i < *count) {
		struct vfio_area *a = &areas[i];
		uint64_t end = a->offset + a->size;

		if (end <= from || a->offset >= to) {
			i++;
			continue;
		}
		if (a->offset < from && end > to) {
			memmove(a + 1, a, (*count - i) * sizeof(*a));
			(*count)++;
			a[0].size = from - a[0].offset;
			a[1].offset = to;
			a[1].size = end - to;
			return;
		}
		if (a->offset < from) {
			a->size = from - a->offset;
		} else if (end > to) {
			a->offset = to;
			a->size = end - to;
		} else {
			memmove(a, a + 1, (*count - i - 1) * sizeof(*a));
			(*count)--;
		}
	}
}

/* A BAR that shares no page with another function's: the kernel then lets the page be mapped
 * (drivers/vfio/pci/vfio_pci_core.c, vfio_pci_probe_mmaps()). */
static bool region_is_page(const struct vfio_region *region)
{
	return region->size && region->size < PAGE && !region->area_count &&
	       (region->flags & VFIO_REGION_INFO_FLAG_MMAP);
}

#define CUTS_MAX 3u /* each makes one area more at most */

/* What is to be mapped of a BAR: @areas has room for CUTS_MAX more than the region has. */
static unsigned int bar_areas(const struct vfio_pci *vp, unsigned int bar, struct vfio_area *areas)
{
	const struct vfio_region *region = &vp->bars[bar].region;
	const struct vfio_pci_msix *msix = &vp->msix;
	unsigned int count = region->area_count;

	if (count)
		memcpy(areas, region->areas, count * sizeof(*areas));
	if (region_is_page(region))
		areas[count++] = (struct vfio_area){ 0, PAGE };
	if (msix->cap && msix->table_bar == bar)
		areas_cut(areas, &count, msix->table_offset, msix->count * MSIX_ENTRY);
	if (msix->cap && msix->pba_bar == bar)
		areas_cut(areas, &count, msix->pba_offset, PBA_SIZE(msix->count));
	if (vp->mirror.size && vp->mirror.bar == bar)
		areas_cut(areas, &count, vp->mirror.offset, vp->mirror.size);
	return count;
}

static void bar_warn(const struct vfio_pci *vp, unsigned int bar, const char *what, int code)
{
	log_line(vp->pdev.dev.vm->log, LOG_WARN, "%s: %s: BAR %u: %s: %s; each access is an exit",
		 vp->pdev.dev.id, vp->idev.name, bar, what, strerror(-code));
}

static int part_prot(const struct vfio_region *region)
{
	return ((region->flags & VFIO_REGION_INFO_FLAG_READ) ? PROT_READ : 0) |
	       ((region->flags & VFIO_REGION_INFO_FLAG_WRITE) ? PROT_WRITE : 0);
}

static void bar_map_areas(struct vfio_pci *vp, unsigned int bar, const struct vfio_area *areas,
			  unsigned int count)
{
	const struct vfio_region *region = &vp->bars[bar].region;
	struct range *range = &vp->pdev.bars[bar].range;
	unsigned int i;

	for (i = 0; i < count; i++) {
		struct mem_part *part = &range->parts[range->part_count];
		int ret;

		part->offset = areas[i].offset;
		part->size = areas[i].size;
		part->hva = (uint8_t *)vp->bars[bar].hva + areas[i].offset;
		part->readonly = !(region->flags & VFIO_REGION_INFO_FLAG_WRITE);
		part->dma = !part->readonly;
		ret = vfio_sys_map(part->hva, part->size, part_prot(region), region->fd,
				   region->fd_offset + areas[i].offset);
		if (ret)
			bar_warn(vp, bar, "mapping it", ret);
		else
			range->part_count++;
	}
}

/* The address space is aligned as the BAR is, so that the kernel can map it in huge pages. */
static int bar_map(struct vfio_pci *vp, unsigned int bar)
{
	struct vfio_pci_bar *b = &vp->bars[bar];
	struct range *range = &vp->pdev.bars[bar].range;
	struct vfio_area *areas;
	unsigned int count;

	if (!b->region.area_count && !region_is_page(&b->region))
		return 0;
	areas = calloc(b->region.area_count + 1 + CUTS_MAX, sizeof(*areas));
	if (!areas)
		return -ENOMEM;
	count = bar_areas(vp, bar, areas);
	range->parts = count ? calloc(count, sizeof(*range->parts)) : NULL;
	if (range->parts) {
		b->hva_size = align_up(b->region.size, PAGE);
		b->hva =
			vfio_sys_reserve(b->hva_size, MIN(MAX(vp->pdev.bars[bar].size, PAGE), GIB));
		if (b->hva)
			bar_map_areas(vp, bar, areas, count);
		else
			bar_warn(vp, bar, "no address space for it", -ENOMEM);
	}
	free(areas);
	return count && !range->parts ? -ENOMEM : 0;
}

/* What the BAR's register says of its kind (PCI 3.0, 6.2.5.1). Returns how many registers it takes.
 */
static unsigned int bar_describe(struct vfio_pci *vp, unsigned int bar)
{
	uint32_t low = get_le32(vp->hw + PCI_BASE_ADDRESS_0 + 4ul * bar);
	uint64_t size = vp->bars[bar].region.size;
	struct pci_bar *b = &vp->pdev.bars[bar];
	bool wide = !(low & PCI_BASE_ADDRESS_SPACE_IO) &&
		    (low & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64;

	if (!size)
		return wide ? 2 : 1;
	if ((wide && bar + 1 == PCI_BARS) || size > (low & PCI_BASE_ADDRESS_SPACE_IO ? 64 * KIB
						     : wide			     ? BIT64(62)
										     : 2 * GIB)) {
		log_line(vp->pdev.dev.vm->log, LOG_WARN, "%s: %s: BAR %u makes no sense; left out",
			 vp->pdev.dev.id, vp->idev.name, bar);
		return 1;
	}
	if (low & PCI_BASE_ADDRESS_SPACE_IO)
		pci_bar_set(&vp->pdev, bar, PCI_BAR_IO, false, size);
	else
		pci_bar_set(&vp->pdev, bar, wide ? PCI_BAR_MEM64 : PCI_BAR_MEM32,
			    low & PCI_BASE_ADDRESS_MEM_PREFETCH, size);
	/* A region that is no power of two ends within its BAR. */
	b->range.size = size;
	return wide ? 2 : 1;
}

int vfio_pci_bars_init(struct vfio_pci *vp, struct err *err)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < PCI_BARS && !ret; i++)
		ret = vfio_region_get(&vp->vdev, VFIO_PCI_BAR0_REGION_INDEX + i,
				      &vp->bars[i].region, err);
	for (i = 0; i < PCI_BARS && !ret;)
		i += bar_describe(vp, i);
	for (i = 0; i < PCI_BARS && !ret; i++) {
		if (vp->pdev.bars[i].kind == PCI_BAR_NONE || vp->pdev.bars[i].kind == PCI_BAR_IO)
			continue;
		ret = bar_map(vp, i);
		if (ret)
			err_sys(err, ret, "BAR %u", i);
	}
	return ret;
}

void vfio_pci_bars_done(struct vfio_pci *vp)
{
	unsigned int i;

	for (i = 0; i < PCI_BARS; i++) {
		struct range *range = &vp->pdev.bars[i].range;
		struct vfio_pci_bar *b = &vp->bars[i];

		if (b->hva)
			vfio_sys_unmap(b->hva, b->hva_size);
		b->hva = NULL;
		free(range->parts);
		range->parts = NULL;
		range->part_count = 0;
		vfio_region_done(&b->region);
	}
}

uint64_t vfio_pci_bar_read(struct dev *dev, unsigned int bar, uint64_t offset, unsigned int size)
{
	struct vfio_pci *vp = to_vfio_pci(to_pci(dev));
	uint64_t value;
	int ret;

	if (bar == PCI_ROM)
		return vfio_pci_rom_read(vp, offset, size);
	if (vfio_pci_mirror_access(vp, bar, offset, size, &value, false))
		return value;
	ret = vfio_region_read(&vp->vdev, &vp->bars[bar].region, offset, size, &value);
	if (!ret)
		return value;
	log_limited(dev->vm->log, &vp->pdev.limit, LOG_WARN, "%s: %s: BAR %u: read at 0x%llx: %s",
		    dev->id, vp->idev.name, bar, (unsigned long long)offset, strerror(-ret));
	return all_ones(size);
}

void vfio_pci_bar_write(struct dev *dev, unsigned int bar, uint64_t offset, unsigned int size,
			uint64_t value)
{
	struct vfio_pci *vp = to_vfio_pci(to_pci(dev));
	int ret;

	if (bar == PCI_ROM || vfio_pci_mirror_access(vp, bar, offset, size, &value, true))
		return;
	ret = vfio_region_write(&vp->vdev, &vp->bars[bar].region, offset, size, value);
	if (ret)
		log_limited(dev->vm->log, &vp->pdev.limit, LOG_WARN,
			    "%s: %s: BAR %u: write at 0x%llx: %s", dev->id, vp->idev.name, bar,
			    (unsigned long long)offset, strerror(-ret));
}
