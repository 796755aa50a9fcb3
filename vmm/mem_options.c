// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/opt.h"
#include "base/util.h"
#include "mem.h"

struct memory_option {
	uint64_t size;
	struct mem_options ram;
};

static const struct opt_field memory_fields[] = {
	{ "size", OPT_SIZE, offsetof(struct memory_option, size), 0, 0, false,
	  "guest memory, such as 512M or 4G" },
	{ "page-size", OPT_SIZE, offsetof(struct memory_option, ram.page_size), 4 * KIB, GIB, false,
	  "4K, 2M or 1G instead of transparent huge pages" },
	{ "node", OPT_U32, offsetof(struct memory_option, ram.node), 0, 0, false,
	  "the host's NUMA node that it comes from" },
	{ "share", OPT_BOOL, offsetof(struct memory_option, ram.share), 0, 0, false,
	  "memory that other processes can be given" },
	{ "populate", OPT_BOOL, offsetof(struct memory_option, ram.populate), 0, 0, false,
	  "touched before the guest starts" },
	OPT_END,
};

static int memory_unknown(const char *key, struct err *err)
{
	const struct opt_field *f;

	err_set(err, -EINVAL, "%s: no such option; there are", key);
	for (f = memory_fields; f->name; f++)
		err_append(err, "%s %s", f == memory_fields ? "" : ",", f->name);
	return -EINVAL;
}

static int memory_decode(struct memory_option *opt, const struct opt_list *list, struct err *err)
{
	struct mem_options *ram = &opt->ram;
	size_t i;
	int ret = 0;

	if (*list->head)
		ret = opt_decode(&memory_fields[0], opt, list->head, err);
	for (i = 0; i < list->count && !ret; i++) {
		const struct opt_field *field = opt_find(memory_fields, list->pairs[i].key);

		if (!field)
			ret = memory_unknown(list->pairs[i].key, err);
		else if (field == memory_fields && *list->head)
			ret = err_set(err, -EINVAL, "the size is given twice");
		else
			ret = opt_decode(field, opt, list->pairs[i].value, err);
	}
	if (ret)
		return ret;
	ram->bind = ram->bind || opt_list_get(list, "node");
	ram->populate_set = ram->populate_set || opt_list_get(list, "populate");
	if (ram->page_size && ram->page_size != 4 * KIB && ram->page_size != 2 * MIB &&
	    ram->page_size != GIB)
		return err_set(err, -EINVAL, "page-size=%s: it takes 4K, 2M or 1G",
			       opt_list_get(list, "page-size"));
	return 0;
}

int mem_options_parse(const char *text, uint64_t *size, struct mem_options *ram, struct err *err)
{
	struct memory_option opt = { .size = *size, .ram = *ram };
	CLEANUP_FREE char *pairs = NULL;
	struct opt_list list;
	int ret;

	/* "2G,share=on" begins with the size; "size=2G,share=on" has it among the pairs. */
	if (strcspn(text, "=") < strcspn(text, ",")) {
		if (asprintf(&pairs, ",%s", text) < 0)
			return err_sys(err, -ENOMEM, "options");
		text = pairs;
	}
	ret = opt_list_parse(&list, text, err);
	if (ret)
		return ret;
	ret = memory_decode(&opt, &list, err);
	opt_list_done(&list);
	if (ret)
		return ret;
	*size = opt.size;
	*ram = opt.ram;
	return 0;
}
