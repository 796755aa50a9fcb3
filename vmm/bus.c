// SPDX-License-Identifier: GPL-2.0-or-later
#include "bus.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "kvm_sys.h"
#include "vm.h"

#define BUS_PIO_SIZE 0x10000ull
#define BUS_PAGE 4096ull

static uint64_t dev_range_read(struct range *range, uint64_t offset, unsigned int size)
{
	return range->dev->class->read(range->dev, range->index, offset, size);
}

static void dev_range_write(struct range *range, uint64_t offset, unsigned int size, uint64_t value)
{
	range->dev->class->write(range->dev, range->index, offset, size, value);
}

const struct range_ops dev_range_ops = { .read = dev_range_read, .write = dev_range_write };

int bus_init(struct bus *bus, struct vm *vm)
{
	memset(bus, 0, sizeof(*bus));
	bus->vm = vm;
	pthread_mutex_init(&bus->lock, NULL);
	return 0;
}

void bus_done(struct bus *bus)
{
	int i;

	if (!bus->vm)
		return;
	for (i = 0; i < BUS_SPACES; i++)
		free(bus->ranges[i]);
	pthread_mutex_destroy(&bus->lock);
	memset(bus, 0, sizeof(*bus));
}

/* Index of the first range that ends above @addr. */
static unsigned int bus_search(const struct bus *bus, enum bus_space space, uint64_t addr)
{
	unsigned int lo = 0, hi = bus->count[space];

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;
		const struct range *r = bus->ranges[space][mid];

		if (r->base + (r->size - 1) < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool bus_overlaps_ram(const struct bus *bus, uint64_t base, uint64_t size)
{
	const struct mem *mem = &bus->vm->mem;
	unsigned int i;

	for (i = 0; i < mem->bank_count; i++)
		if (span_overlaps(base, size, mem->banks[i].gpa, mem->banks[i].size))
			return true;
	return false;
}

static int bus_insert(struct bus *bus, struct range *range, enum bus_space space, uint64_t base,
		      struct err *err)
{
	struct range **list = bus->ranges[space];
	unsigned int at = bus_search(bus, space, base);

	if (at < bus->count[space] && list[at]->base <= base + (range->size - 1))
		return err_set(err, -EEXIST, "0x%llx: another range of %s is there",
			       (unsigned long long)base, list[at]->dev->id);
	if (bus->count[space] == bus->room[space]) {
		unsigned int room = bus->room[space] ? bus->room[space] * 2 : 16;

		list = realloc(list, room * sizeof(struct range *));
		if (!list)
			return err_sys(err, -ENOMEM, "bus");
		bus->ranges[space] = list;
		bus->room[space] = room;
	}
	memmove(&list[at + 1], &list[at], (bus->count[space] - at) * sizeof(struct range *));
	list[at] = range;
	bus->count[space]++;
	range->mapped = true;
	range->space = space;
	range->base = base;
	return 0;
}

static void bus_remove(struct bus *bus, struct range *range)
{
	struct range **list = bus->ranges[range->space];
	unsigned int i, n = bus->count[range->space];

	for (i = 0; i < n; i++) {
		if (list[i] == range) {
			memmove(&list[i], &list[i + 1], (n - i - 1) * sizeof(struct range *));
			bus->count[range->space]--;
			break;
		}
	}
	range->mapped = false;
}

static int bus_event_set(struct bus *bus, struct range *range, struct range_event *ev, bool on)
{
	struct kvm_ioeventfd arg = {
		.addr = range->base + ev->offset,
		.len = ev->size,
		.fd = ev->fd,
		.datamatch = ev->match ? ev->value : 0,
		.flags = (ev->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) |
			 (range->space == BUS_PIO ? KVM_IOEVENTFD_FLAG_PIO : 0) |
			 (on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
	};
	int ret = bus->vm->fd < 0 ? 0 : kvm_ioctl(bus->vm->fd, KVM_IOEVENTFD, &arg);

	if (!ret)
		ev->live = on;
	return ret;
}

void bus_events_off(struct bus *bus, struct range *range)
{
	unsigned int i;

	for (i = 0; i < range->event_count; i++)
		if (range->events[i].live)
			bus_event_set(bus, range, &range->events[i], false);
}

int bus_events_on(struct bus *bus, struct range *range, struct err *err)
{
	unsigned int i;

	for (i = 0; i < range->event_count; i++) {
		struct range_event *ev = &range->events[i];
		int ret = ev->live ? 0 : bus_event_set(bus, range, ev, true);

		if (ret) {
			bus_events_off(bus, range);
			return err_sys(err, ret, "doorbell at 0x%llx",
				       (unsigned long long)range->base + ev->offset);
		}
	}
	return 0;
}

static void bus_coalesce(struct bus *bus, struct range *range, bool on)
{
	struct kvm_coalesced_mmio_zone zone = {
		.addr = range->base,
		.size = range->coalesce,
		.pio = range->space == BUS_PIO,
	};

	/* Only an optimisation: a kernel without it takes an exit for each write. */
	if (range->coalesce && bus->vm->fd >= 0)
		kvm_ioctl(bus->vm->fd,
			  on ? KVM_REGISTER_COALESCED_MMIO : KVM_UNREGISTER_COALESCED_MMIO, &zone);
}

/*
 * A range smaller than a page has one part, its page. The guest reaches that directly while the
 * range begins a page and nothing else lies on it; else every access is an exit. Who comes and goes
 * next to it decides, so this is looked at under the bus's lock whenever the list changes.
 */
static bool bus_is_small(const struct range *range)
{
	return range->part_count && range->size < BUS_PAGE;
}

static void bus_small_update_locked(struct bus *bus, unsigned int at)
{
	struct range *range = bus->ranges[BUS_MMIO][at];
	bool alone = at + 1 == bus->count[BUS_MMIO] ||
		     bus->ranges[BUS_MMIO][at + 1]->base - range->base >= BUS_PAGE;

	if (!bus_is_small(range))
		return;
	if (range->trapped || range->base % BUS_PAGE || !alone)
		mem_part_unmap(&bus->vm->mem, &range->parts[0]);
	else if (!range->parts[0].slot) /* without a slot it stays an exit */
		mem_part_map(&bus->vm->mem, &range->parts[0], range->base, NULL);
}

/* The range at @base, if any, and the one below it. */
static void bus_small_updates_locked(struct bus *bus, enum bus_space space, uint64_t base)
{
	unsigned int at = bus_search(bus, space, base);

	if (space != BUS_MMIO)
		return;
	if (at > 0)
		bus_small_update_locked(bus, at - 1);
	if (at < bus->count[space] && bus->ranges[space][at]->base == base)
		bus_small_update_locked(bus, at);
}

static void bus_small_updates(struct bus *bus, const struct range *range)
{
	pthread_mutex_lock(&bus->lock);
	if (range->mapped)
		bus_small_updates_locked(bus, range->space, range->base);
	pthread_mutex_unlock(&bus->lock);
}

static void bus_parts_unmap(struct bus *bus, struct range *range)
{
	unsigned int i;

	for (i = 0; i < range->part_count && !bus_is_small(range); i++)
		mem_part_unmap(&bus->vm->mem, &range->parts[i]);
}

static int bus_parts_map(struct bus *bus, struct range *range, struct err *err)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < range->part_count && !ret && !bus_is_small(range); i++)
		ret = mem_part_map(&bus->vm->mem, &range->parts[i],
				   range->base + range->parts[i].offset, err);
	return ret;
}

/* Under the bus's lock, for who maps a neighbour on the page looks at it. */
static void bus_trapped_set(struct bus *bus, struct range *range, bool trap)
{
	pthread_mutex_lock(&bus->lock);
	range->trapped = trap;
	pthread_mutex_unlock(&bus->lock);
}

int bus_trap(struct bus *bus, struct range *range, bool trap, struct err *err)
{
	int ret = 0;

	if (range->trapped == trap)
		return 0;
	bus_trapped_set(bus, range, trap);
	if (!range->mapped)
		return 0;
	if (!trap)
		ret = bus_parts_map(bus, range, err);
	if (trap || ret)
		bus_parts_unmap(bus, range);
	if (ret)
		bus_trapped_set(bus, range, true);
	bus_small_updates(bus, range);
	return ret;
}

int bus_map(struct bus *bus, struct range *range, enum bus_space space, uint64_t base,
	    struct err *err)
{
	uint64_t top = space == BUS_PIO ? BUS_PIO_SIZE : UINT64_MAX;
	int ret;

	if (!range->size || !span_within(base, range->size, top))
		return err_set(err, -EINVAL, "0x%llx: outside of the address space",
			       (unsigned long long)base);
	if (space == BUS_MMIO && bus_overlaps_ram(bus, base, range->size))
		return err_set(err, -EEXIST, "0x%llx: RAM is there", (unsigned long long)base);
	pthread_mutex_lock(&bus->lock);
	ret = bus_insert(bus, range, space, base, err);
	if (!ret)
		bus_small_updates_locked(bus, space, base);
	pthread_mutex_unlock(&bus->lock);
	if (ret)
		return ret;
	ret = range->trapped ? 0 : bus_parts_map(bus, range, err);
	if (!ret)
		ret = bus_events_on(bus, range, err);
	if (ret) {
		bus_unmap(bus, range);
		return ret;
	}
	bus_coalesce(bus, range, true);
	return 0;
}

void bus_unmap(struct bus *bus, struct range *range)
{
	if (!range->mapped)
		return;
	bus_coalesce(bus, range, false);
	bus_events_off(bus, range);
	bus_parts_unmap(bus, range);
	pthread_mutex_lock(&bus->lock);
	if (bus_is_small(range))
		mem_part_unmap(&bus->vm->mem, &range->parts[0]);
	bus_remove(bus, range);
	bus_small_updates_locked(bus, range->space, range->base);
	pthread_mutex_unlock(&bus->lock);
}

/* The range at @addr with a reference to its device, or NULL. *@ret_offset is valid then. */
static struct range *bus_lookup(struct bus *bus, enum bus_space space, uint64_t addr,
				struct dev **ret_dev, uint64_t *ret_offset)
{
	struct range *range = NULL;
	unsigned int at;

	pthread_mutex_lock(&bus->lock);
	at = bus_search(bus, space, addr);
	if (at < bus->count[space] && bus->ranges[space][at]->base <= addr) {
		range = bus->ranges[space][at];
		*ret_dev = range->dev;
		*ret_offset = addr - range->base;
		dev_get(range->dev);
	}
	pthread_mutex_unlock(&bus->lock);
	return range;
}

/* The largest aligned power of two at @addr that is at most @len. */
static unsigned int bus_piece(uint64_t addr, unsigned int len)
{
	unsigned int size = 8;

	while (size > len || (addr & (size - 1)))
		size >>= 1;
	return size;
}

static void bus_call(struct range *range, uint64_t offset, void *data, unsigned int size,
		     bool write)
{
	uint64_t value = 0;

	if (write) {
		memcpy(&value, data, size);
		range->ops->write(range, offset, size, le64toh(value));
	} else {
		value = htole64(range->ops->read(range, offset, size));
		memcpy(data, &value, size);
	}
}

void bus_access(struct bus *bus, enum bus_space space, uint64_t addr, void *data, unsigned int len,
		bool write)
{
	uint8_t *p = data;

	while (len) {
		unsigned int size = bus_piece(addr, len);
		struct dev *dev = NULL;
		uint64_t offset = 0;
		struct range *range = bus_lookup(bus, space, addr, &dev, &offset);

		if (!range && !write)
			memset(p, 0xff, size);
		if (range) {
			/* A range of odd size: what sticks out is given byte by byte. */
			if (!span_within(offset, size, range->size))
				size = 1;
			pthread_mutex_lock(&dev->lock);
			if (!dev->removed)
				bus_call(range, offset, p, size, write);
			else if (!write)
				memset(p, 0xff, size);
			pthread_mutex_unlock(&dev->lock);
			dev_put(dev);
		}
		addr += size;
		p += size;
		len -= size;
	}
}

static bool bus_range_fault(struct range *range, struct dev *dev, bool known)
{
	bool withdrawn;

	pthread_mutex_lock(&dev->lock);
	withdrawn = dev->removed || range->ops->fault(range, known);
	pthread_mutex_unlock(&dev->lock);
	return withdrawn;
}

/* The first range at @addr or above with parts that may be withdrawn, with a reference. */
static struct range *bus_next_faulting(struct bus *bus, gpa_t addr, struct dev **ret_dev,
				       gpa_t *ret_end)
{
	struct range *range = NULL;
	unsigned int at;

	pthread_mutex_lock(&bus->lock);
	for (at = bus_search(bus, BUS_MMIO, addr); at < bus->count[BUS_MMIO] && !range; at++) {
		struct range *r = bus->ranges[BUS_MMIO][at];

		if (r->part_count && r->ops->fault)
			range = r;
	}
	if (range) {
		*ret_dev = range->dev;
		*ret_end = range->base + range->size;
		dev_get(range->dev);
	}
	pthread_mutex_unlock(&bus->lock);
	return range;
}

/* A kernel that does not say where: every range is asked whether it was the one. */
static bool bus_fault_any(struct bus *bus)
{
	bool withdrawn = false;
	struct range *range;
	struct dev *dev;
	gpa_t addr = 0;

	while ((range = bus_next_faulting(bus, addr, &dev, &addr))) {
		withdrawn |= bus_range_fault(range, dev, false);
		dev_put(dev);
	}
	return withdrawn;
}

bool bus_fault(struct bus *bus, bool known, gpa_t gpa)
{
	struct range *range;
	struct dev *dev;
	uint64_t offset;
	bool withdrawn;

	if (!known)
		return bus_fault_any(bus);
	range = bus_lookup(bus, BUS_MMIO, gpa, &dev, &offset);
	if (!range) /* the page of a range that is smaller */
		range = bus_lookup(bus, BUS_MMIO, align_down(gpa, BUS_PAGE), &dev, &offset);
	if (!range)
		return false;
	withdrawn = range->part_count && range->ops->fault && bus_range_fault(range, dev, true);
	dev_put(dev);
	return withdrawn;
}
