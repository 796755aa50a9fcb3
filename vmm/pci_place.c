// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What firmware would do before the guest starts: bus numbers, an address for every BAR, a window
 * in every port round the BARs behind it, decoding on.
 *
 * Everything that needs addresses of bus 0 is a want: a BAR there, or one window of a port with all
 * that goes into it. Wants are served in order of their alignment, the coarsest first, so little is
 * lost between them; within a port's window the same holds.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "pci_priv.h"
#include "types.h"
#include "vm.h"

/* Where a port's windows begin and end (PCI-to-PCI Bridge 1.2, 3.2.5.6 to 3.2.5.10). */
#define PORT_IO_GRAIN 4096u
#define PORT_MEM_GRAIN MIB
/* An empty port's, for what will be plugged in. */
#define PORT_EMPTY_MEM (2 * MIB)

/* A window that addresses are taken from, upwards. */
struct pci_space {
	const char *name;
	uint64_t base, size, next;
};

/* A BAR, or a window of a port (bar is PORT_WINDOW then and pdev the port). */
#define PORT_WINDOW PCI_BAR_COUNT
struct pci_want {
	struct pci_dev *pdev;
	unsigned int bar;
	enum pci_window where;
	uint64_t size, align;
};

uint64_t pci_bar_addr(const struct pci_dev *pdev, unsigned int bar)
{
	return pdev->bars[bar].place;
}

static bool pci_space_take(struct pci_space *space, const struct pci_want *want, uint64_t *ret_addr)
{
	uint64_t addr = align_up(space->next, want->align);

	if (addr < space->base || !span_within(addr - space->base, want->size, space->size))
		return false;
	space->next = addr + want->size;
	*ret_addr = addr;
	return true;
}

/* Which window serves a BAR. A port's non-prefetchable one has 32 bits; what sits on bus 0 need not
 * mind what is prefetchable. */
static enum pci_window pci_bar_window(const struct pci_dev *pdev, const struct pci_bar *b)
{
	if (b->kind == PCI_BAR_IO)
		return PCI_WINDOW_IO;
	return b->kind == PCI_BAR_MEM64 && (b->prefetch || !pdev->port) ? PCI_WINDOW_MEM64
									: PCI_WINDOW_MEM32;
}

static int pci_want_cmp(const void *a, const void *b)
{
	const struct pci_want *x = a, *y = b;

	if (x->align != y->align)
		return x->align < y->align ? 1 : -1;
	return x->size < y->size ? 1 : x->size > y->size ? -1 : 0;
}

/* The BARs of the functions behind @port (NULL: on bus 0) that go into @where (PCI_WINDOWS: any).
 */
static unsigned int pci_want_bars(const struct pci_root *root, const struct pci_port *port,
				  enum pci_window where, struct pci_want *wants)
{
	struct pci_dev *pdev;
	unsigned int i, n = 0;

	for (pdev = root->functions; pdev; pdev = pdev->root_next) {
		for (i = 0; i < PCI_BAR_COUNT && pdev->port == port; i++) {
			const struct pci_bar *b = &pdev->bars[i];
			struct pci_want *want = &wants[n];

			if (b->kind == PCI_BAR_NONE)
				continue;
			want->pdev = pdev;
			want->bar = i;
			want->where = pci_bar_window(pdev, b);
			/* A page each, so that pages of two functions are never one. */
			want->size = MAX(b->size, b->kind == PCI_BAR_IO ? 32u : 4096u);
			want->align = want->size;
			if (where == PCI_WINDOWS || where == want->where)
				n++;
		}
	}
	qsort(wants, n, sizeof(*wants), pci_want_cmp);
	return n;
}

/* One window of a port: sizes are powers of two and come largest first, so there are no gaps. Ports
 * of nothing but memory have no I/O window. */
static bool pci_want_window(const struct pci_root *root, struct pci_port *port,
			    enum pci_window where, struct pci_want *scratch, struct pci_want *want)
{
	uint64_t grain = where == PCI_WINDOW_IO ? PORT_IO_GRAIN : PORT_MEM_GRAIN, sum = 0;
	unsigned int i, n = pci_want_bars(root, port, where, scratch);

	if (!n && where == PCI_WINDOW_IO)
		return false;
	for (i = 0; i < n; i++)
		sum += scratch[i].size;
	if (where != PCI_WINDOW_IO && pci_port_empty(port))
		sum = PORT_EMPTY_MEM;
	*want = (struct pci_want){
		.pdev = &port->pdev,
		.bar = PORT_WINDOW,
		.where = where,
		.size = align_up(MAX(sum, 1u), grain),
		.align = n ? MAX(scratch[0].align, grain) : grain,
	};
	return true;
}

static unsigned int pci_want_all(struct pci_root *root, struct pci_want *wants,
				 struct pci_want *scratch)
{
	unsigned int w, n = pci_want_bars(root, NULL, PCI_WINDOWS, wants);
	struct pci_port *port;

	for (port = root->root_ports; port; port = port->next)
		for (w = 0; w < PCI_WINDOWS; w++)
			n += pci_want_window(root, port, w, scratch, &wants[n]);
	qsort(wants, n, sizeof(*wants), pci_want_cmp);
	return n;
}

/* The 64-bit space: after RAM, aligned for what is coarsest, as large as all of it. */
static void pci_space_size(struct pci_root *root, struct pci_space *space,
			   const struct pci_want *wants, unsigned int n)
{
	const struct mem *mem = &root->dev.vm->mem;
	uint64_t top = GPA_HIGH_RAM, end = 0, coarsest = GIB;
	uint64_t limit = 1ull << vcpu_phys_bits();
	unsigned int i;

	for (i = 0; i < mem->bank_count; i++)
		top = MAX(top, mem->banks[i].gpa + mem->banks[i].size);
	for (i = 0; i < n; i++) {
		if (wants[i].where != PCI_WINDOW_MEM64)
			continue;
		end = align_up(end, wants[i].align) + wants[i].size;
		coarsest = MAX(coarsest, wants[i].align);
	}
	space->base = align_up(top, coarsest);
	space->size = align_up(end, GIB);
	if (!span_within(space->base, space->size, limit))
		space->size = space->base < limit ? limit - space->base : 0;
	space->next = space->base;
	root->mem64_base = space->base;
	root->mem64_size = space->size;
}

static void pci_bar_place(struct pci_dev *pdev, unsigned int bar, uint64_t addr)
{
	struct pci_bar *b = &pdev->bars[bar];
	uint8_t *config = pdev->config + pci_bar_offset(bar);
	uint16_t command = get_le16(pdev->config + PCI_COMMAND);

	b->place = addr;
	put_le32(config, (get_le32(config) & 0xf) | (uint32_t)addr);
	if (b->kind == PCI_BAR_MEM64)
		put_le32(config + 4, (uint32_t)(addr >> 32));
	/* As firmware leaves it; a ROM is switched on by whoever reads it. */
	if (b->kind != PCI_BAR_ROM)
		command |= b->kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	put_le16(pdev->config + PCI_COMMAND, command);
}

static void pci_want_place(struct pci_root *root, const struct pci_want *want, uint64_t addr,
			   struct pci_want *scratch)
{
	struct pci_port *port = to_pci_port(want->pdev);
	unsigned int i, n;

	if (want->bar != PORT_WINDOW) {
		pci_bar_place(want->pdev, want->bar, addr);
		return;
	}
	pci_port_set_window(port, want->where, addr, want->size);
	n = pci_want_bars(root, port, want->where, scratch);
	for (i = 0; i < n; i++) {
		pci_bar_place(scratch[i].pdev, scratch[i].bar, addr);
		addr += scratch[i].size;
	}
}

static int pci_want_refuse(const struct pci_want *want, const struct pci_space *space,
			   struct err *err)
{
	unsigned long long from = space->base, to = space->base + space->size - 1;

	if (want->bar == PORT_WINDOW)
		return err_set(err, -ENOSPC,
			       "%s: the BARs behind it need 0x%llx bytes, more than is left of the "
			       "%s window 0x%llx-0x%llx; give the device port=off, or the guest "
			       "fewer or smaller devices",
			       want->pdev->dev.id, (unsigned long long)want->size, space->name,
			       from, to);
	return err_set(err, -ENOSPC,
		       "%s: BAR %u of 0x%llx bytes does not fit the %s window 0x%llx-0x%llx; "
		       "give the guest fewer or smaller devices",
		       want->pdev->dev.id, want->bar,
		       (unsigned long long)want->pdev->bars[want->bar].size, space->name, from, to);
}

static int pci_want_serve(struct pci_root *root, struct pci_space *spaces,
			  const struct pci_want *want, struct pci_want *scratch, struct err *err)
{
	enum pci_window where = want->where;
	uint64_t addr;

	if (pci_space_take(&spaces[where], want, &addr)) {
		pci_want_place(root, want, addr, scratch);
		return 0;
	}
	/* No room above RAM on this CPU: a 64-bit BAR may be lower too. */
	if (where == PCI_WINDOW_MEM64)
		where = PCI_WINDOW_MEM32;
	if (where == PCI_WINDOW_MEM32 && pci_space_take(&spaces[where], want, &addr)) {
		pci_want_place(root, want, addr, scratch);
		return 0;
	}
	/* A PCI Express function works without its I/O BARs (PCIe 4.0, 1.3.2.2). */
	if (where == PCI_WINDOW_IO && want->bar == PORT_WINDOW) {
		log_line(root->dev.vm->log, LOG_WARN, "%s: no I/O ports are left for it",
			 want->pdev->dev.id);
		return 0;
	}
	return pci_want_refuse(want, &spaces[where], err);
}

static unsigned int pci_count(const struct pci_root *root)
{
	const struct pci_port *port;
	const struct pci_dev *pdev;
	unsigned int n = 0;

	for (pdev = root->functions; pdev; pdev = pdev->root_next)
		n += PCI_BAR_COUNT;
	for (port = root->root_ports; port; port = port->next)
		n += PCI_WINDOWS;
	return n;
}

static int pci_place_wants(struct pci_root *root, struct err *err)
{
	struct pci_space spaces[PCI_WINDOWS] = {
		[PCI_WINDOW_IO] = { "I/O", PIO_PCI_BASE, PIO_PCI_SIZE, PIO_PCI_BASE },
		[PCI_WINDOW_MEM32] = { "32-bit", GPA_PCI32_BASE, GPA_PCI32_SIZE, GPA_PCI32_BASE },
		[PCI_WINDOW_MEM64] = { "64-bit", 0, 0, 0 },
	};
	/* One more than can be wanted: a want is written before it is known to count. */
	unsigned int i, n, room = pci_count(root) + 1;
	struct pci_want *wants = calloc(2ul * room, sizeof(*wants));
	int ret = 0;

	if (!wants)
		return err_sys(err, -ENOMEM, "PCI windows");
	n = pci_want_all(root, wants, wants + room);
	pci_space_size(root, &spaces[PCI_WINDOW_MEM64], wants, n);
	for (i = 0; i < n && !ret; i++)
		ret = pci_want_serve(root, spaces, &wants[i], wants + room, err);
	free(wants);
	return ret;
}

int pci_root_place(struct pci_root *root, struct err *err)
{
	struct pci_port *port;
	struct pci_dev *pdev;
	int ret;

	for (port = root->root_ports; port; port = port->next)
		pci_port_set_bus(port, (uint8_t)++root->last_bus);
	ret = pci_place_wants(root, err);
	if (ret)
		return ret;
	for (pdev = root->functions; pdev; pdev = pdev->root_next) {
		memcpy(pdev->saved, pdev->config, pdev->config_size);
		pci_bars_update(pdev);
	}
	for (port = root->root_ports; port; port = port->next)
		pci_port_start(port);
	root->placed = true;
	return 0;
}
