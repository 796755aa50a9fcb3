// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfctl_json.h"

#include <stdio.h>

void json_add(struct json_object *o, const char *key, struct json_object *value)
{
	json_object_object_add_ex(o, key, value,
				  JSON_C_OBJECT_ADD_KEY_IS_NEW | JSON_C_OBJECT_ADD_CONSTANT_KEY);
}

void json_add_str(struct json_object *o, const char *key, const char *value)
{
	json_add(o, key, json_object_new_string(value));
}

void json_add_str_or_null(struct json_object *o, const char *key, const char *value)
{
	json_add(o, key, *value ? json_object_new_string(value) : NULL);
}

void json_add_int(struct json_object *o, const char *key, int64_t value)
{
	json_add(o, key, json_object_new_int64(value));
}

void json_add_int_or_null(struct json_object *o, const char *key, int64_t value)
{
	json_add(o, key, value < 0 ? NULL : json_object_new_int64(value));
}

void json_add_bool(struct json_object *o, const char *key, bool value)
{
	json_add(o, key, json_object_new_boolean(value));
}

void json_add_hex(struct json_object *o, const char *key, uint32_t value, int digits)
{
	char text[16];

	snprintf(text, sizeof(text), "0x%0*x", digits, value);
	json_add_str(o, key, text);
}

void json_add_addr(struct json_object *o, const char *key, const struct pci_addr *addr)
{
	char text[PCI_ADDR_STRLEN];

	json_add_str(o, key, pci_addr_str(addr, text));
}

void json_write_str(FILE *out, const char *text)
{
	unsigned char c;

	if (!text) {
		fputs_unlocked("null", out);
		return;
	}
	putc_unlocked('"', out);
	while ((c = (unsigned char)*text++)) {
		if (c < ' ') {
			fprintf(out, "\\u%04x", c);
			continue;
		}
		if (c == '"' || c == '\\')
			putc_unlocked('\\', out);
		putc_unlocked(c, out);
	}
	putc_unlocked('"', out);
}

void json_print(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}
