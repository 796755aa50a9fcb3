// SPDX-License-Identifier: GPL-2.0-or-later
#include "viaduct.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static void log_to_stderr(void *opaque, enum log_level level, const char *line)
{
	static const char *const words[] = { "error: ", "warning: ", "", "debug: " };

	(void)opaque;
	/* The guest may have the terminal in raw mode. */
	fprintf(stderr, "viaduct: %s%s%s\n", words[level], line, isatty(2) ? "\r" : "");
}

const struct log viaduct_log = { .sink = log_to_stderr, .max = LOG_INFO };

static const struct {
	const char *name;
	int (*fn)(const struct run_options *opts);
	const char *help;
} commands[] = {
	{ "run", viaduct_run, "run a guest" },
	{ "plan", viaduct_plan, "say what each device would become, and start nothing" },
};

static void usage(FILE *out)
{
	size_t i;

	fprintf(out, "usage: viaduct COMMAND [OPTION…]\n");
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %-6s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "  ctl    ask a running guest: viaduct ctl SOCKET COMMAND…\n");
	fprintf(out, "  `viaduct COMMAND --help` lists a command's options.\n");
}

int main(int argc, char **argv)
{
	struct run_options opts;
	bool done;
	size_t i;
	int ret;

	if (argc >= 2 && !strcmp(argv[1], "--version")) {
		printf("viaduct %s\n", VIADUCT_VERSION);
		return 0;
	}
	if (argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))) {
		usage(stdout);
		return 0;
	}
	if (argc >= 2 && !strcmp(argv[1], "ctl"))
		return viaduct_ctl(argc - 1, argv + 1);
	for (i = 0; i < ARRAY_SIZE(commands) && argc >= 2; i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		ret = options_parse(argc - 1, argv + 1, &opts, &done);
		if (!ret && !done)
			ret = commands[i].fn(&opts);
		options_done(&opts);
		if (fflush(stdout) || ferror(stdout)) {
			perror("viaduct: writing the output");
			ret = EXIT_FAILURE;
		}
		return ret;
	}
	if (argc >= 2)
		fprintf(stderr, "viaduct: %s: not a command\n", argv[1]);
	usage(stderr);
	return EXIT_USAGE;
}
