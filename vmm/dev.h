/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device is one const class and one struct. Life: dev_new(), options decoded -> realize -> ... ->
 * quiesce -> destroy; in a plan probe takes the place of realize. destroy takes a half-built
 * object: when probe or realize fails, destroy is called, nothing else.
 *
 * Locks: every callback but realize, probe and destroy runs with dev->lock held by the dispatcher
 * (bus, loop, reset). realize, probe, quiesce, destroy and reset run on the loop thread.
 */
#ifndef VIADUCT_VMM_DEV_H
#define VIADUCT_VMM_DEV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/opt.h"

struct dev;
struct dev_unplug;
struct err;
struct pci_ops;
struct vm;

#define DEV_PARTS_MAX 8
#define DEV_STATS_MAX 16

/* What a guest tells of its memory. */
struct dev_balloon_stats {
	unsigned int count; /* 0: it has told nothing yet */
	struct {
		const char *name; /* as QEMU has it, "stat-free-memory"; lives as the class does */
		uint64_t value;	  /* of memory in bytes */
	} stats[DEV_STATS_MAX];
	uint64_t time;	 /* when that was, in seconds since 1970 */
	uint64_t age_ms; /* how long ago */
};

/* What the monitor can ask of a device. A member may be NULL: the device has no such thing. Loop
 * thread, with the device's lock held. */
struct dev_control {
	int (*set_link)(struct dev *dev, bool up, struct err *err);
	/* The terminal of standard input has another size. */
	void (*terminal_resized)(struct dev *dev);
	/* How much memory, in bytes, the guest is to have; the guest gets there in its own time. */
	int (*balloon_set)(struct dev *dev, uint64_t bytes, struct err *err);
	int (*balloon_get)(struct dev *dev, uint64_t *ret_bytes, struct err *err);
	/* What the guest told last. Asks it to tell anew and does not wait for that: who wants to
	 * know how it is now looks again a little later, at the age. -ENOTSUP: it tells nothing. */
	int (*balloon_stats)(struct dev *dev, struct dev_balloon_stats *ret_stats, struct err *err);
};

struct dev_class {
	const char *name;
	const char *help;
	size_t size; /* of the device's struct, which begins with struct dev (or struct pci_dev) */
	const struct opt_field *options; /* offsets into that struct; NULL: none */
	const struct pci_ops *pci;	 /* NULL: not a PCI function */

	/* One spec may stand for several devices, such as all functions of a card. Called when @dev's
	 * options are decoded, before probe or realize: makes @dev the @index-th of them (@first is
	 * the one made as index 0, NULL for that one itself). Returns how many there are, at most
	 * DEV_PARTS_MAX, or -errno. NULL: always one. */
	int (*part)(struct dev *dev, unsigned int index, struct dev *first, struct err *err);
	/* Can it be had? Takes, opens and changes nothing that outlives the call. -ENODEV: not to be
	 * had here, the role goes on to its next choice. A PCI device describes its BARs
	 * (pci_bar_set()) so that a plan can place them. NULL: always. */
	int (*probe)(struct dev *dev, struct err *err);
	/* Takes what it needs. -ENODEV as above; any other error stops the guest. */
	int (*realize)(struct dev *dev, struct err *err);
	/* No DMA, no interrupt, no callback of its own starts after this. */
	void (*quiesce)(struct dev *dev);
	void (*destroy)(struct dev *dev);
	/* Back to the state after realize: guest reboot. */
	void (*reset)(struct dev *dev);
	/* @offset and @size: aligned, within the range. Read returns the value in the low bytes. */
	uint64_t (*read)(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size);
	void (*write)(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size,
		      uint64_t value);
	/* One line for the plan: what it is made of ("0000:01:10.0, group 14"). NULL: nothing. */
	void (*describe)(struct dev *dev, char *buf, size_t size);
	const struct dev_control *control; /* NULL: nothing */
};

struct dev {
	const struct dev_class *class;
	struct vm *vm;
	char *id;
	pthread_mutex_t lock;
	atomic_int refs;
	bool begun; /* probe or realize was entered: from then on destroy is owed */
	bool realized;
	bool stuck; /* under lock: something may still touch its memory, it must not be freed */
	bool removed;		   /* under lock: no callback runs any more, it reads as all ones */
	struct dev_unplug *unplug; /* loop thread: it is on its way out */
	struct dev *next; /* vm->devs, in order of creation */
};

/* A role walks its row until one class can be had. */
struct dev_role {
	const char *name;
	const char *const *choices; /* class names, NULL-terminated */
	const char *help;
};

struct dev_table {
	const struct dev_class *const *classes; /* NULL-terminated */
	const struct dev_role *roles;		/* ends with a row whose name is NULL */
};

/* A choice that was passed over, kept for the plan, the start and the monitor. */
struct dev_skip {
	char *id;
	const char *class_name;
	char *reason;
	struct dev_skip *next;
};

/*
 * Makes the device that @spec ("net,host=01:10.0") names, and adds it to vm->devs. With @plan it is
 * probed and not realized. Passed-over choices are appended to vm->skips. The id is the option
 * `id=`, else the role's or class's name and a number. Of a spec that stands for several devices all
 * are made or none; their ids have .0, .1 and so on behind, and @ret_dev is the first. An option which no choice of the row knows
 * is an error; one that only some know is given to those. Loop thread, before or while the guest
 * runs.
 */
int dev_create(struct vm *vm, const struct dev_table *table, const char *spec, bool plan,
	       struct dev **ret_dev, struct err *err);

/* The device of a class without options that the VMM itself needs (serial, ACPI, PCI host):
 * allocates, leaves the caller to fill in fields, then dev_add() realizes and adds it. */
int dev_new(struct vm *vm, const struct dev_class *class, const char *id, struct dev **ret_dev,
	    struct err *err);
int dev_add(struct dev *dev, struct err *err);

/* Quiesces, takes it off vm->devs and off every bus, and drops the first reference. From then on it
 * reads as all ones, to a vCPU too that was on its way in. Loop thread, device lock not held. */
void dev_remove(struct dev *dev);

/*
 * Starts the removal of a device from the running guest and returns at once; @why goes into the
 * log and to vm->removed(). A function behind a hot-plug port is asked for: the attention button is
 * pressed, and when the guest lets go (power off, link disabled) all functions of its slot are
 * removed; when @grace_ms passes first they are removed all the same, as a surprise. Any other
 * device, and every one with @grace_ms 0, is removed by surprise in the next turn of the loop. When
 * the guest restarts meanwhile, the device is gone before it starts anew. A second call only
 * shortens the time. Loop thread; the device's lock may be held. 0, -ENODEV (removed already) or
 * -ENOMEM, after which nothing was started.
 */
int dev_unplug(struct dev *dev, unsigned int grace_ms, const char *why);
/* The guest let go of @dev: true when it was asked to, and the device is gone now. Loop thread, no
 * device lock held. */
bool dev_unplug_let_go(struct dev *dev);
/* Ends every removal that is under way, by surprise. The guest restarts; loop thread. */
void dev_unplug_all(struct vm *vm);

void dev_get(struct dev *dev);
/* The last reference destroys the device on the loop thread, after the current batch. */
void dev_put(struct dev *dev);

/* Resets every device in order of creation. vCPUs stand still; loop thread. */
void dev_reset_all(struct vm *vm);
/* Removes every device, last first. vCPUs are gone. */
void dev_remove_all(struct vm *vm);

/* Prints the classes, roles and their options: `--device help`. */
void dev_table_help(const struct dev_table *table, FILE *out);

#endif
