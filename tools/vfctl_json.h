/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members of JSON objects. Every @key is a string constant, new in its object. */
#ifndef VIADUCT_TOOLS_VFCTL_JSON_H
#define VIADUCT_TOOLS_VFCTL_JSON_H

#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>

#include "sriov/pci_addr.h"

/* Takes over @value. */
void json_add(struct json_object *o, const char *key, struct json_object *value);
void json_add_str(struct json_object *o, const char *key, const char *value);
void json_add_str_or_null(struct json_object *o, const char *key, const char *value); /* "": null */
void json_add_int(struct json_object *o, const char *key, int64_t value);
void json_add_int_or_null(struct json_object *o, const char *key, int64_t value); /* < 0: null */
void json_add_bool(struct json_object *o, const char *key, bool value);
/* "0x8086" */
void json_add_hex(struct json_object *o, const char *key, uint32_t value, int digits);
void json_add_addr(struct json_object *o, const char *key, const struct pci_addr *addr);

/* Writes @text as a JSON string, or null for NULL, without an object: for lists of thousands. Only the
 * calling thread may use @out meanwhile. */
void json_write_str(FILE *out, const char *text);

/* Prints @o over several lines, and frees it. */
void json_print(struct json_object *o);

#endif
