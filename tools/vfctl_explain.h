/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A group, explained, as vfctl's commands print it. */
#ifndef VIADUCT_TOOLS_VFCTL_EXPLAIN_H
#define VIADUCT_TOOLS_VFCTL_EXPLAIN_H

#include <json-c/json.h>

#include "sriov/func_explain.h"

/* One line for each member. */
void explain_members(const struct group_explain *ex, const char *indent);

struct json_object *explain_json_members(const struct group_explain *ex);
struct json_object *explain_json_causes(const struct group_explain *ex);

#endif
