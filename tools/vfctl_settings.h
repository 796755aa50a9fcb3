/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How commands show the settings of a VF. */
#ifndef VIADUCT_TOOLS_VFCTL_SETTINGS_H
#define VIADUCT_TOOLS_VFCTL_SETTINGS_H

#include <json-c/json.h>
#include <stdio.h>

#include "sriov/vf_attr.h"

/* Prints "mac none, vlan 100", those in the mask @which. */
void settings_print(const struct vf_attrs *attrs, uint32_t which);

/* A setting as JSON: a number, true or false for on and off, else the text of files. */
struct json_object *settings_json_value(enum vf_attr attr, uint64_t value);

/* An object of all that there are. */
struct json_object *settings_json(const struct vf_attrs *attrs);

#endif
