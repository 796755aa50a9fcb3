/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Network cards whose driver has settings for each VF, and an eswitch: vf_ops that remember what
 * they are told, refuse it, or take it and do not keep it, on command. The VFs are those of the
 * fake sysfs: one that is made anew has the settings of a new one.
 */
#ifndef VIADUCT_TESTS_FAKE_VF_H
#define VIADUCT_TESTS_FAKE_VF_H

#include "fake_sysfs.h"
#include "sriov/vf_attr.h"

#define FAKE_VF_MAX 512

/* Not all rows of vf_attr.h: those of rtnetlink, without GUIDs. */
#define FAKE_VF_ATTRS ((1u << (VF_ATTR_MAX_RATE + 1)) - 1)

struct fake_vf_entry {
	char pf[PCI_ADDR_STRLEN]; /* "": not used */
	unsigned int index;
	struct vf_attrs attrs;
};

struct fake_vf {
	struct vf_ops ops;
	struct fake *sysfs;
	struct fake_vf_entry entries[FAKE_VF_MAX];
	struct vf_attrs fresh;	  /* what a new VF has: spoof-check on, 802.1q, and zeros */
	char eswitch_pf[PCI_ADDR_STRLEN]; /* the PF that has an eswitch; "": none has */
	unsigned int eswitch;
	const char *eswitch_words; /* what a refusal says beside its errno */
	/* Faults. */
	unsigned long seen;	  /* requests for a change since fake_vf_fail() */
	unsigned long fail_at;	  /* this one fails (1: the next); 0: none */
	int fail_code;
	uint32_t refuses;	  /* a request for one of these settings is answered refuse_code */
	int refuse_code;
	uint32_t forgets;	  /* these are taken and not kept */
	bool keeps_mac;		  /* a MAC that was set stays when it is set to none */
};

/* The cards of @f. Sets f->host.vf_ops. */
struct fake_vf *fake_vf_new(struct fake *f);
void fake_vf_free(struct fake_vf *v);

/* The @at-th request for a change from now on fails with @code; 0: none does. */
void fake_vf_fail(struct fake_vf *v, unsigned long at, int code);

/* What VF @index of @pf, which must exist, has. May be changed. */
struct vf_attrs *fake_vf_attrs(struct fake_vf *v, const char *pf, unsigned int index);

#endif
