// SPDX-License-Identifier: GPL-2.0-or-later
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/opt.h"
#include "base/util.h"
#include "viaduct.h"

#define MEMORY_DEFAULT (512 * MIB)

enum { OPT_HELP = 256 };

/* A row decodes, and explains itself in --help. */
static const struct {
	const char *name, *arg, *help;
} rows[] = {
	{ "kernel", "FILE", "Linux bzImage, or ELF image with a PVH entry (required)" },
	{ "initrd", "FILE", "initial RAM disk" },
	{ "append", "STRING", "kernel command line" },
	{ "memory", "SIZE[,share=on]", "guest memory, such as 512M or 4G (512M)" },
	{ "cpus", "N", "vCPUs (1)" },
	{ "device", "NAME[,key=value…]", "a device or role, any number; `--device help` lists them" },
	{ "serial", "stdio|none|file=PATH|unix=PATH", "where the first serial port goes (stdio)" },
	{ "name", "NAME", "the guest's name (viaduct)" },
};

void options_usage(FILE *out, const char *command)
{
	size_t i;

	fprintf(out, "usage: viaduct %s --kernel FILE [OPTION…]\n", command);
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		fprintf(out, "  --%s %s\n        %s\n", rows[i].name, rows[i].arg, rows[i].help);
}

static int usage_error(const char *command)
{
	fprintf(stderr, "viaduct: try: viaduct %s --help\n", command);
	return EXIT_USAGE;
}

static int option_memory(struct vm_config *config, const char *value)
{
	struct err err = { 0 };

	if (!mem_options_parse(value, &config->memory, &config->ram, &err))
		return 0;
	fprintf(stderr, "viaduct: --memory %s: %s\n", value, err.msg);
	return EXIT_FAILURE;
}

static int option_number(const char *name, const char *value, uint64_t *ret_value)
{
	if (!opt_parse_u64(value, ret_value))
		return 0;
	fprintf(stderr, "viaduct: --%s %s: it takes a number\n", name, value);
	return EXIT_FAILURE;
}

static int option_device(struct run_options *opts, const char *spec, bool *ret_done)
{
	const char **devices;

	if (!strcmp(spec, "help")) {
		dev_table_help(&viaduct_devices, stdout);
		*ret_done = true;
		return 0;
	}
	devices = realloc(opts->devices, (opts->device_count + 1) * sizeof(char *));
	if (!devices) {
		fprintf(stderr, "viaduct: out of memory\n");
		return EXIT_FAILURE;
	}
	devices[opts->device_count++] = spec;
	opts->devices = devices;
	return 0;
}

static int option_set(struct run_options *opts, const char *name, const char *value, bool *ret_done)
{
	uint64_t number = 0;
	int ret = 0;

	if (!strcmp(name, "kernel")) {
		opts->config.boot.kernel = value;
	} else if (!strcmp(name, "initrd")) {
		opts->config.boot.initrd = value;
	} else if (!strcmp(name, "append")) {
		opts->config.boot.append = value;
	} else if (!strcmp(name, "memory")) {
		ret = option_memory(&opts->config, value);
	} else if (!strcmp(name, "cpus")) {
		ret = option_number(name, value, &number);
		opts->config.cpus = number > 100000 ? 100000 : (unsigned int)number;
	} else if (!strcmp(name, "device")) {
		ret = option_device(opts, value, ret_done);
	} else if (!strcmp(name, "serial")) {
		opts->serial = value;
	} else {
		opts->config.name = value;
	}
	return ret;
}

int options_parse(int argc, char **argv, struct run_options *opts, bool *ret_done)
{
	struct option longs[ARRAY_SIZE(rows) + 2];
	size_t i;
	int c, at;

	*opts = (struct run_options){
		.config = { .name = "viaduct", .memory = MEMORY_DEFAULT, .cpus = 1 },
		.serial = "stdio",
	};
	*ret_done = false;
	memset(longs, 0, sizeof(longs));
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		longs[i] = (struct option){ .name = rows[i].name, .has_arg = required_argument };
	longs[i] = (struct option){ .name = "help", .val = OPT_HELP };
	while ((c = getopt_long(argc, argv, "", longs, &at)) != -1) {
		int ret = 0;

		if (c == OPT_HELP) {
			options_usage(stdout, argv[0]);
			*ret_done = true;
		} else if (c != 0) {
			return usage_error(argv[0]); /* getopt has said what is wrong */
		} else {
			ret = option_set(opts, rows[at].name, optarg, ret_done);
		}
		if (ret || *ret_done)
			return ret;
	}
	if (optind < argc) {
		fprintf(stderr, "viaduct: %s: not an option\n", argv[optind]);
		return usage_error(argv[0]);
	}
	if (!opts->config.boot.kernel) {
		fprintf(stderr, "viaduct: no --kernel given\n");
		return usage_error(argv[0]);
	}
	return 0;
}

void options_done(struct run_options *opts)
{
	free(opts->devices);
	opts->devices = NULL;
}
