/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions that a guest can be given, written down for other programs. */
#ifndef VIADUCT_TOOLS_VFCTL_EXPORT_H
#define VIADUCT_TOOLS_VFCTL_EXPORT_H

#include <json-c/json.h>
#include <stdio.h>

#include "sriov/func.h"
#include "sriov/vf_attr.h"

struct export_func {
	struct func_info info;
	char pool[HOST_NAME_MAX];    /* "": in none */
	char cdev[HOST_NAME_MAX];    /* "vfio3" of /dev/vfio/devices; "": this kernel has none */
	char pf_name[HOST_NAME_MAX]; /* its PF's interface; "": none */
	struct vf_attrs attrs;	     /* what its PF has set for it, as far as that can be read */
};

struct export {
	struct export_func *funcs; /* sorted by pool, then address */
	size_t count;
	const char *pool;	   /* the one pool that was asked for, or NULL */
};

/*
 * The formats. Each writes a whole document to @out. Returns 0, or -EINVAL with what it has no words
 * for.
 *   CDI     Container Device Interface 0.6: SPEC.md of github.com/cncf-tags/container-device-interface
 *   plugin  configuration of Kubernetes' SR-IOV network device plugin:
 *           github.com/k8snetworkplumbingwg/sriov-network-device-plugin
 *   libvirt what stands in <devices> of a domain: https://libvirt.org/formatdomain.html
 */
int export_cdi(const struct export *ex, FILE *out, struct err *err);
int export_plugin(const struct export *ex, FILE *out, struct err *err);
int export_libvirt(const struct export *ex, FILE *out, struct err *err);

#endif
