// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Any bytes as the file of the desired state, and as what apply wrote down. What must hold: it is
 * taken or refused with one printable line that names the file, and what it says of any VF can be
 * asked for.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "sriov/want.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static void check_message(const struct err *err)
{
	const char *p;

	MUST(!strncmp(err->msg, "f:", 2));
	for (p = err->msg; *p; p++)
		MUST(*p >= ' ' && *p <= '~');
}

static void use(const struct want *want)
{
	const struct pci_addr addr = { .bus = 1 };
	struct func_state s;
	size_t i;

	for (i = 0; i < want->count; i++) {
		if (want_state(want, &want->devices[i], &addr, 3, &s, NULL))
			continue;
		MUST(!s.count || s.vfs);
		func_state_done(&s);
	}
}

static void run(const uint8_t *data, size_t size, enum want_form form)
{
	struct err err = { .code = 0 };
	struct want want;

	if (want_parse(&want, "f", (const char *)data, size, form, &err)) {
		check_message(&err);
		return;
	}
	use(&want);
	want_done(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	run(data, size, WANT_FILE);
	run(data, size, WANT_JOURNAL);
	return 0;
}
