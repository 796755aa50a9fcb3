/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a function and its VFs are, or should be: driver, eswitch mode, VF count, and of each VF driver
 * and settings. What is there now, what a file asks for and what was there before are all this one
 * struct; in one that asks, what is not in `has` is left alone.
 */
#ifndef VIADUCT_SRIOV_STATE_H
#define VIADUCT_SRIOV_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "bind.h"
#include "host.h"
#include "pci_addr.h"
#include "vf_attr.h"

enum state_has {
	STATE_DRIVER = 1u << 0,	   /* bind.driver; alone it is a word for func_bind() */
	STATE_OVERRIDE = 1u << 1,  /* bind.override as well: exactly this, "" for none */
	STATE_MODE = 1u << 2,
	STATE_COUNT = 1u << 3,
	STATE_AUTOPROBE = 1u << 4,
};

#define STATE_EXACT (STATE_DRIVER | STATE_OVERRIDE)

struct vf_state {
	uint32_t has;		/* STATE_DRIVER, STATE_OVERRIDE */
	struct bind_state bind; /* bind.addr: of a VF that is there */
	struct vf_attrs attrs;
};

struct func_state {
	uint32_t has;
	struct bind_state bind; /* bind.addr is always there */
	enum eswitch_mode mode;
	int autoprobe;		/* 0 or 1 */
	unsigned int count;	/* of VFs; with STATE_COUNT */
	struct vf_state *vfs;	/* so many of them, or NULL when there are none */
};

/*
 * Reads all of it, of no other function. VFs that the kernel counts and that have not appeared yet
 * are waited for, host->wait_ms. What a card does not have, or this user may not see, is not in
 * `has`. Returns 0; -ENODEV (no such function), -ETIMEDOUT, -ENOMEM or what a back end of the settings
 * answered. The caller ends with func_state_done().
 */
int func_state_read(struct host *host, const struct pci_addr *addr, struct func_state *ret,
		    struct err *err);

void func_state_done(struct func_state *state);

/* Makes @state have @count VFs, new ones of them empty. Returns 0 or -ENOMEM. */
int func_state_resize(struct func_state *state, unsigned int count);

/* 0 or -ENOMEM. */
int func_state_copy(struct func_state *ret, const struct func_state *from);

/* True when a function in the state @now has to be bound anew. @probed: the kernel gives it a driver by
 * itself, which a VF has only while its PF's autoprobe is 1. */
bool state_bind_differs(const struct bind_state *now, uint32_t has, const struct bind_state *want,
			bool probed);

/*
 * Takes from @before what @want leaves open. VFs follow only where both have as many of them: of
 * another number they are others, and those whose driver @want leaves open get the kernel's choice.
 */
int func_state_fill(struct func_state *want, const struct func_state *before);

#endif
