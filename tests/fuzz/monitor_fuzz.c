// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Any bytes from a monitor's client, in pieces of any size: the reader of the module that viaduct
 * loads. What must hold: it takes no more than it was given and gets on, a request is whole, and
 * after a reset it reads a command.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/monitor_json.h"
#include "vmm/monitor_priv.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

extern const struct monitor_module viaduct_monitor_module;

static void check(const struct monitor_request *req)
{
	unsigned int i;

	MUST(req->execute ? !req->why : !!req->why);
	MUST(req->arg_count <= MONITOR_ARGS_MAX);
	MUST(!req->id || *req->id);
	for (i = 0; i < req->arg_count; i++)
		MUST(req->args[i].name && (req->args[i].kind != MONITOR_STRING ||
					   req->args[i].string));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char command[] = "{\"execute\": \"quit\"}";
	const struct monitor_module *module = &viaduct_monitor_module;
	struct monitor_reader *reader = module->reader_new();
	struct monitor_request req;
	size_t used, piece = size ? data[0] + 1u : 1;
	bool still = false;
	int ret;

	MUST(reader);
	while (size) {
		size_t n = piece < size ? piece : size;

		ret = module->feed(reader, (const char *)data, n, &used, &req);
		MUST(used <= n && (ret == 1 || used == n || ret < 0));
		if (ret == 1)
			check(&req);
		if (ret < 0)
			used = n; /* as a client's line is thrown away */
		/* A bare number ends at the byte behind it, which begins the next message. */
		MUST(used || (ret == 1 && !still));
		still = !used;
		data += used;
		size -= used;
	}
	module->reset(reader);
	MUST(module->feed(reader, command, sizeof(command) - 1, &used, &req) == 1);
	MUST(req.execute && !strcmp(req.execute, "quit") && used == sizeof(command) - 1);
	module->reader_free(reader);
	return 0;
}
