/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ranges of port and memory space, and who answers there.
 *
 * Dispatch: look up under the bus's leaf lock, take a reference to the device, unlock, lock the
 * device, call, unlock, put. A callback therefore runs under its device's lock and no other, and
 * may map and unmap ranges. Accesses reach a device aligned, of 1, 2, 4 or 8 bytes and wholly
 * within the range: the bus splits everything else. What nobody answers reads as all ones.
 */
#ifndef VIADUCT_VMM_BUS_H
#define VIADUCT_VMM_BUS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "mem.h"

struct dev;
struct err;
struct range;
struct vm;

enum bus_space { BUS_MMIO, BUS_PIO, BUS_SPACES };

/* A doorbell: a write of @size bytes at @offset signals @fd in the kernel, without an exit. */
struct range_event {
	uint64_t offset;
	unsigned int size; /* 1, 2, 4, 8; 0 any size (memory space only) */
	int fd;
	bool match; /* only when the value written equals @value */
	uint64_t value;
	bool live; /* bus's: registered in KVM */
};

struct range_ops {
	uint64_t (*read)(struct range *range, uint64_t offset, unsigned int size);
	void (*write)(struct range *range, uint64_t offset, unsigned int size, uint64_t value);
	/* KVM could not reach what lies behind a mapped part: of this range when @known, of some
	 * range otherwise. Called like read and write. True: the parts are withdrawn, or another
	 * thread did it; the access may be repeated. NULL: never. */
	bool (*fault)(struct range *range, bool known);
};

/* Calls class->read and class->write of range->dev with range->index. */
extern const struct range_ops dev_range_ops;

/* Owned by the device that embeds it; must be unmapped before the device goes. */
struct range {
	struct dev *dev;
	const struct range_ops *ops;
	unsigned int index; /* the device's own number for it (BAR number) */
	uint64_t size;
	/* What the guest reaches directly; the rest is trapped. Of a range smaller than a page: that
	 * page, while the range begins it and is alone on it. */
	struct mem_part *parts;
	unsigned int part_count;
	bool trapped; /* the parts are withdrawn for now (bus_trap()); the bus's */
	struct range_event *events;
	unsigned int event_count;
	/* Writes at [0, coalesce) of port space are collected by KVM and delivered, in order, before
	 * the next exit of any vCPU is handled. 0: none. */
	unsigned int coalesce;
	/* the bus's */
	bool mapped;
	enum bus_space space;
	uint64_t base;
};

struct bus {
	struct vm *vm;
	pthread_mutex_t lock; /* a leaf */
	struct range **ranges[BUS_SPACES]; /* sorted by base */
	unsigned int count[BUS_SPACES];
	unsigned int room[BUS_SPACES];
};

int bus_init(struct bus *bus, struct vm *vm);
void bus_done(struct bus *bus);

/* Puts @range at @base with its parts and doorbells. -EEXIST when it overlaps another range,
 * -EINVAL when it leaves the space; on failure nothing is mapped. Any thread. */
int bus_map(struct bus *bus, struct range *range, enum bus_space space, uint64_t base,
	    struct err *err);
/* A range that is not mapped is fine. A callback that another thread entered before may still be
 * running afterwards. */
void bus_unmap(struct bus *bus, struct range *range);

/* Withdraws the parts of a range (@trap), so that every access reaches ops->read and write, or maps
 * them again. Holds over unmapping and mapping elsewhere. 0 or -errno: what could not be mapped
 * stays trapped. The caller serialises this with bus_map() and bus_unmap() of the same range. */
int bus_trap(struct bus *bus, struct range *range, bool trap, struct err *err);

/* Adds or removes doorbells of a mapped range: call after changing range->events. */
void bus_events_off(struct bus *bus, struct range *range);
int bus_events_on(struct bus *bus, struct range *range, struct err *err);

/* One access of a vCPU; @data holds @len bytes (1..8), little endian as KVM gives it. Any vCPU
 * thread, no lock held. */
void bus_access(struct bus *bus, enum bus_space space, uint64_t addr, void *data, unsigned int len,
		bool write);

/* KVM met a fault in memory space that it cannot resolve: at @gpa when @known. True when a range
 * withdrew what KVM stumbled over, and the vCPU may go on. Any vCPU thread, no lock held. */
bool bus_fault(struct bus *bus, bool known, gpa_t gpa);

#endif
