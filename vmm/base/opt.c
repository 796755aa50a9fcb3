// SPDX-License-Identifier: GPL-2.0-or-later
#include "opt.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "util.h"

int opt_parse_u64(const char *text, uint64_t *ret_value)
{
	char *end;
	unsigned long long v;

	/* strtoull() takes signs and blanks; an option does not. */
	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, (text[0] == '0' && (text[1] | 0x20) == 'x') ? 16 : 10);
	if (*end)
		return -EINVAL;
	if (errno == ERANGE)
		return -ERANGE;
	*ret_value = v;
	return 0;
}

int opt_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	size_t len = strlen(text);
	unsigned int shift = 0;
	const char *unit;
	char digits[32];
	uint64_t v;
	int ret;

	if (!len || len >= sizeof(digits))
		return -EINVAL;
	unit = strchr(units, toupper((unsigned char)text[len - 1]));
	if (unit) {
		shift = 10 * (unsigned int)(unit - units + 1);
		len--;
	}
	memcpy(digits, text, len);
	digits[len] = '\0';
	ret = opt_parse_u64(digits, &v);
	if (ret)
		return ret;
	if (v > UINT64_MAX >> shift)
		return -ERANGE;
	*ret_bytes = v << shift;
	return 0;
}

int opt_parse_mac(const char *text, struct mac_addr *ret_mac)
{
	struct mac_addr mac = { .set = true };
	bool zero = true;
	size_t i;

	if (strlen(text) != 17)
		return -EINVAL;
	for (i = 0; i < 6; i++) {
		const char *p = text + i * 3;
		char two[3] = { p[0], p[1], '\0' };

		if (!isxdigit((unsigned char)p[0]) || !isxdigit((unsigned char)p[1]))
			return -EINVAL;
		if (i < 5 && p[2] != ':')
			return -EINVAL;
		mac.b[i] = (uint8_t)strtoul(two, NULL, 16);
		zero = zero && !mac.b[i];
	}
	if (zero || (mac.b[0] & 1))
		return -ERANGE;
	*ret_mac = mac;
	return 0;
}

/* Copies up to the next single comma, turning ",," into ",". Advances *@p past the comma. */
static char *opt_take(const char **p)
{
	char *out = malloc(strlen(*p) + 1);
	size_t n = 0;

	if (!out)
		return NULL;
	while (**p) {
		if (**p == ',') {
			if ((*p)[1] != ',') {
				(*p)++;
				break;
			}
			(*p)++;
		}
		out[n++] = *(*p)++;
	}
	out[n] = '\0';
	return out;
}

static int opt_list_add(struct opt_list *list, char *item, struct err *err)
{
	struct opt_pair *pairs;
	char *eq = strchr(item, '=');
	const char *value = "on";

	if (eq) {
		*eq = '\0';
		value = eq + 1;
	}
	if (!*item)
		return err_set(err, -EINVAL, "an option has no name (\"%s\"); write key=value", item);
	if (opt_list_get(list, item))
		return err_set(err, -EINVAL, "option %s is given twice", item);
	pairs = realloc(list->pairs, (list->count + 1) * sizeof(*pairs));
	if (!pairs)
		return err_sys(err, -ENOMEM, "options");
	list->pairs = pairs;
	pairs[list->count].key = strdup(item);
	pairs[list->count].value = strdup(value);
	list->count++;
	if (!pairs[list->count - 1].key || !pairs[list->count - 1].value)
		return err_sys(err, -ENOMEM, "options");
	return 0;
}

int opt_list_parse(struct opt_list *list, const char *text, struct err *err)
{
	int ret = 0;

	memset(list, 0, sizeof(*list));
	list->head = opt_take(&text);
	if (!list->head)
		return err_sys(err, -ENOMEM, "options");
	while (*text && !ret) {
		char *item = opt_take(&text);

		if (!item)
			ret = err_sys(err, -ENOMEM, "options");
		else
			ret = opt_list_add(list, item, err);
		free(item);
	}
	if (ret)
		opt_list_done(list);
	return ret;
}

void opt_list_done(struct opt_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++) {
		free(list->pairs[i].key);
		free(list->pairs[i].value);
	}
	free(list->pairs);
	free(list->head);
	memset(list, 0, sizeof(*list));
}

const char *opt_list_get(const struct opt_list *list, const char *key)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		if (!strcmp(list->pairs[i].key, key))
			return list->pairs[i].value;
	return NULL;
}

const struct opt_field *opt_find(const struct opt_field *fields, const char *name)
{
	for (; fields && fields->name; fields++)
		if (!strcmp(fields->name, name))
			return fields;
	return NULL;
}

static int opt_parse_bool(const char *text, bool *ret_value)
{
	static const char *const words[] = { "off", "on", "no", "yes", "false", "true", "0", "1" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(text, words[i])) {
			*ret_value = i & 1;
			return 0;
		}
	}
	return -EINVAL;
}

static int opt_in_range(const struct opt_field *f, uint64_t v)
{
	return (f->min || f->max) && (v < f->min || v > f->max) ? -ERANGE : 0;
}

int opt_decode(const struct opt_field *f, void *obj, const char *value, struct err *err)
{
	void *at = (char *)obj + f->offset;
	const char *want = "";
	uint64_t v = 0;
	int ret = 0;

	switch (f->type) {
	case OPT_STR: {
		char *copy = strdup(value);

		if (!copy)
			return err_sys(err, -ENOMEM, "option %s", f->name);
		free(*(char **)at);
		*(char **)at = copy;
		return 0;
	}
	case OPT_BOOL:
	case OPT_NOT:
		want = "on or off";
		ret = opt_parse_bool(value, at);
		if (!ret && f->type == OPT_NOT)
			*(bool *)at = !*(bool *)at;
		break;
	case OPT_U32:
		want = "a number";
		ret = opt_parse_u64(value, &v);
		if (!ret && v > UINT32_MAX)
			ret = -ERANGE;
		if (!ret)
			ret = opt_in_range(f, v);
		if (!ret)
			*(uint32_t *)at = (uint32_t)v;
		break;
	case OPT_SIZE:
		want = "a size such as 512M or 4G";
		ret = opt_parse_size(value, &v);
		if (!ret)
			ret = opt_in_range(f, v);
		if (!ret)
			*(uint64_t *)at = v;
		break;
	case OPT_MAC:
		want = "a unicast address such as 52:54:00:12:34:56";
		ret = opt_parse_mac(value, at);
		break;
	}
	if (ret == -ERANGE && (f->min || f->max))
		return err_set(err, ret, "%s=%s: out of range, it takes %llu to %llu", f->name, value,
			       (unsigned long long)f->min, (unsigned long long)f->max);
	if (ret)
		return err_set(err, ret, "%s=%s: it takes %s", f->name, value, want);
	return 0;
}

void opt_free(const struct opt_field *fields, void *obj)
{
	for (; fields && fields->name; fields++) {
		if (fields->type == OPT_STR) {
			char **at = (void *)((char *)obj + fields->offset);

			free(*at);
			*at = NULL;
		}
	}
}
