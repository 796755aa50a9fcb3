/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host in a temporary folder: sys, proc, dev and run, and a write op that plays the kernel.
 * sriov_numvfs makes and removes virtual functions, bind, unbind, drivers_probe and
 * driver_override move the driver link by the kernel's rules, and any write fails on command.
 * A failure inside the fake itself aborts the test program.
 */
#ifndef VIADUCT_TESTS_FAKE_SYSFS_H
#define VIADUCT_TESTS_FAKE_SYSFS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sriov/host.h"
#include "sriov/pci_addr.h"

#define FAKE_DRIVERS_MAX 16
#define FAKE_LIST_MAX 16

struct fake_driver {
	char name[HOST_NAME_MAX];
	uint16_t vendor, device; /* what it takes by itself; 0: nothing */
	bool net;		 /* makes an interface for each function it is bound to */
};

struct fake {
	char base[256]; /* holds sys, proc, dev, run */
	char sys[272];
	struct host host;
	struct host_ops ops;
	struct fake_driver drivers[FAKE_DRIVERS_MAX];
	size_t driver_count;
	/* Faults. */
	unsigned long seen;	  /* writes since fake_fail() */
	unsigned long fail_at;	  /* this one fails (1: the next); 0: none */
	int fail_code;		  /* with this negative errno */
	char refuse[HOST_NAME_MAX]; /* this driver's bind answers refuse_code */
	int refuse_code;
	int numvfs_code;	  /* what a count above 0 is answered; 0: done */
	unsigned int vfs_made;	  /* the driver makes this many only; 0: as many as asked */
	unsigned int late_ms;	  /* the VFs appear so long after the write */
	bool probe_fails;	  /* bind says 0, but the driver link does not appear */
	int reset_code;		  /* what a write to "reset" is answered */
	unsigned int resets, enables; /* how often "reset" and "enable" were written */
	/* Told when the number of VFs of @pf changes, before there are new ones; may be NULL. */
	void (*count_changes)(struct fake *f, const char *pf);
	unsigned int native_binds; /* how often a driver took a function without an override */
	pthread_t late_thread;
	bool late_running;
	/* What cannot be a file. */
	char busy[FAKE_LIST_MAX][64]; /* nodes below dev that answer EBUSY */
	size_t busy_count;
	char net_name[FAKE_LIST_MAX][16], net_addr[FAKE_LIST_MAX][48];
	size_t net_count;
	struct host_route routes[FAKE_LIST_MAX];
	size_t route_count;
	struct {
		char node[64]; /* below dev */
		uid_t uid;
		gid_t gid;
		mode_t mode;
	} owns[FAKE_LIST_MAX]; /* what became of nodes, in order */
	size_t own_count;
	int routes_code; /* what the question for routes is answered */
	char way_to[64], way_name[16]; /* the one client that there is a way to */
	int way_code;	 /* what the question for the way is answered */
};

struct fake_func {
	const char *addr;
	uint16_t vendor, device;
	uint32_t class;
	int group;		/* -1: none */
	const char *driver;	/* NULL: none; must have been added */
	unsigned int total_vfs; /* 0: no SR-IOV */
	uint16_t vf_device;
	int vf_group;		/* group of VF 0; each VF has its own; 0: none */
};

struct fake *fake_new(void);
void fake_free(struct fake *f);

/* A driver that takes @vendor:@device by itself (0:0: only what an override names). */
void fake_driver(struct fake *f, const char *name, uint16_t vendor, uint16_t device, bool net);
void fake_func(struct fake *f, const struct fake_func *spec);

/* An interface of a function: flags as in sysfs (1: up), an address or NULL. */
void fake_netdev(struct fake *f, const char *addr, const char *name, unsigned int flags,
		 const char *address);
void fake_net_addr(struct fake *f, const char *name, const char *address);

/* A route over an interface: "default", "192.0.2.0/24". */
void fake_route(struct fake *f, const char *name, const char *to);
/* Packets to @to leave through the interface. */
void fake_way(struct fake *f, const char *to, const char *name);
/* An interface without function; @lower, if not NULL, gets a link to it, and is its port with
 * @master. */
void fake_upper(struct fake *f, const char *name, unsigned int flags, const char *lower,
		bool master);

/* A disk, or with @parent a partition of it, below a function. @number is "259:0". */
void fake_block(struct fake *f, const char *addr, const char *parent, const char *name,
		const char *number);
/* A block device without function that stands on @lower ("259:1"). */
void fake_holder(struct fake *f, const char *name, const char *number, const char *lower);
/* A character device below a function, @node is its name below /dev. */
void fake_char(struct fake *f, const char *addr, const char *name, const char *number,
	       const char *node);

/* A process that has /dev/@node open. */
void fake_process(struct fake *f, int pid, const char *comm, const char *node);
/* The node below dev answers EBUSY when opened. */
void fake_busy(struct fake *f, const char *node);

/* Files below base: sets the text (making folders), makes a link, removes a file or link. */
void fake_text(struct fake *f, const char *path, const char *text);
void fake_link(struct fake *f, const char *target, const char *path);
void fake_remove(struct fake *f, const char *path);
/* The text of a file below base, on the heap. */
char *fake_read(const struct fake *f, const char *path);

/* The @at-th write from now on fails with @code; 0: none does. */
void fake_fail(struct fake *f, unsigned long at, int code);

/* Paths, link targets and file contents below sys, sorted, on the heap. */
char *fake_snapshot(const struct fake *f);

/* The host that most tests want: igb PF 0000:01:00.0 (eth0, 7 VFs of igbvf, group 14, VF groups
 * from 20), an NVMe 0000:02:00.0 (nvme0n1, nvme0n1p1, 2 VFs), a bridge 0000:05:00.0 with e1000
 * 0000:06:01.0 (eth1) and 8139cp 0000:06:02.0 (eth2) in group 15; vfio-pci and pci-stub loaded. */
struct fake *fake_new_lab(void);

/* For the table of a test program: a test whose *state is such a host. */
#define fake_lab_test(f) cmocka_unit_test_setup_teardown(f, fake_lab_setup, fake_teardown)
int fake_lab_setup(void **state);
int fake_teardown(void **state);
/* The address that @text spells. */
struct pci_addr fake_at(const char *text);

/* @count functions with no more than uevent and links, in domain 0001: a PF, its 255 VFs, and so
 * on. Each 16th has an interface. */
void fake_many(struct fake *f, unsigned int count);

#endif
