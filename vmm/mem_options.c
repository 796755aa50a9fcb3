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
	{"size", OPT_SIZE, offsetof(struct memory_option, size), 0, 0, false,
	 "guest memory, such as 512M or 4G"},
	{"share", OPT_BOOL, offsetof(struct memory_option, ram.share), 0, 0, false,
	 "memory that other processes can be given"},
	OPT_END,
};

static int memory_decode(struct memory_option *opt, const struct opt_list *list, struct err *err)
{
	size_t i;
	int ret = 0;

	if (*list->head)
		ret = opt_decode(&memory_fields[0], opt, list->head, err);
	for (i = 0; i < list->count && !ret; i++) {
		const struct opt_field *field = opt_find(memory_fields, list->pairs[i].key);

		if (!field)
			ret = err_set(err, -EINVAL, "%s: no such option; there are size and share",
				      list->pairs[i].key);
		else if (field == memory_fields && *list->head)
			ret = err_set(err, -EINVAL, "the size is given twice");
		else
			ret = opt_decode(field, opt, list->pairs[i].value, err);
	}
	return ret;
}

int mem_options_parse(const char *text, uint64_t *size, struct mem_options *ram, struct err *err)
{
	struct memory_option opt = {.size = *size, .ram = *ram};
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
