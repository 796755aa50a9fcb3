/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Field tables: one row for each option decodes it from `key=value`, checks it and explains it.
 * The decoded value lands in a struct at the row's offset.
 */
#ifndef VIADUCT_BASE_OPT_H
#define VIADUCT_BASE_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum opt_type {
	OPT_STR,  /* char *, heap, freed by opt_free() */
	OPT_BOOL, /* bool: on|off|true|false|yes|no|1|0 */
	OPT_NOT,  /* the same stored inverted, for what is on unless it is switched off */
	OPT_U32,  /* uint32_t, decimal or 0x, min..max */
	OPT_SIZE, /* uint64_t bytes, suffix K, M, G, T (powers of 1024), min..max */
	OPT_MAC,  /* struct mac_addr: unicast, not zero */
};

struct mac_addr {
	uint8_t b[6];
	bool set;
};

struct opt_field {
	const char *name;
	enum opt_type type;
	size_t offset;
	uint64_t min, max; /* OPT_U32 and OPT_SIZE; both 0: no limit */
	bool required;
	const char *help;
};

#define OPT_END { .name = NULL }

/* One `key=value` of a list, before decoding. A key alone has the value "on". */
struct opt_pair {
	char *key;
	char *value;
};

struct opt_list {
	char *head;		/* the first word, before the first comma; never NULL */
	struct opt_pair *pairs;
	size_t count;
};

/* Splits "name,key=value,key=value". Two commas in a value stand for one. Returns 0, -EINVAL
 * (empty key, the same key twice) or -ENOMEM; on failure @list is empty. */
int opt_list_parse(struct opt_list *list, const char *text, struct err *err);
void opt_list_done(struct opt_list *list);

/* The value of @key or NULL. */
const char *opt_list_get(const struct opt_list *list, const char *key);

/* The row named @name, or NULL. */
const struct opt_field *opt_find(const struct opt_field *fields, const char *name);

/* Decodes one value into @obj. Returns 0, -EINVAL or -ERANGE with a message that names the key. */
int opt_decode(const struct opt_field *field, void *obj, const char *value, struct err *err);

/* Frees every OPT_STR of @obj. */
void opt_free(const struct opt_field *fields, void *obj);

/* Whole-string parsers; 0, -EINVAL or -ERANGE. */
int opt_parse_u64(const char *text, uint64_t *ret_value);
int opt_parse_size(const char *text, uint64_t *ret_bytes);
int opt_parse_mac(const char *text, struct mac_addr *ret_mac);

#endif
