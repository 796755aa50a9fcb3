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
	{ "memory", "SIZE[,page-size=4K|2M|1G][,node=N][,share=on][,populate=on|off]",
	  "guest memory, such as 512M or 4G (512M)" },
	{ "cpus", "N[,pin=CPUS[:CPUS…]]",
	  "vCPUs (1), and which host CPUs each runs on, or all: 0-3:5, 0-1+8" },
	{ "device", "NAME[,key=value…]", "a device or role, any number; `--device help` lists them" },
	{ "serial", "stdio|none|file=PATH|unix=PATH", "where the first serial port goes (stdio)" },
	{ "monitor", "PATH", "answer QMP on a unix socket of this name; `viaduct ctl` asks there" },
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

/* "4" or "4,pin=0-3". */
static int option_cpus(struct run_options *opts, const char *value)
{
	static const struct opt_field fields[] = {
		{ "cpus", OPT_U32, offsetof(struct vm_config, cpus), 0, 0, false, "vCPUs" },
		{ "pin", OPT_STR, offsetof(struct run_options, pin), 0, 0, false, "host CPUs" },
	};
	struct err err = { 0 };
	struct opt_list list;
	const char *pin;
	int ret = opt_list_parse(&list, value, &err);

	if (!ret) {
		pin = opt_list_get(&list, "pin");
		ret = opt_decode(&fields[0], &opts->config, list.head, &err);
		if (!ret && list.count > (pin ? 1u : 0u))
			ret = err_set(&err, -EINVAL, "there is no other option than pin");
		if (!ret && pin)
			ret = opt_decode(&fields[1], opts, pin, &err);
		opts->config.pin = opts->pin;
		opt_list_done(&list);
	}
	if (ret)
		fprintf(stderr, "viaduct: --cpus %s: %s\n", value, err.msg);
	return ret ? EXIT_FAILURE : 0;
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
		ret = option_cpus(opts, value);
	} else if (!strcmp(name, "device")) {
		ret = option_device(opts, value, ret_done);
	} else if (!strcmp(name, "serial")) {
		opts->serial = value;
	} else if (!strcmp(name, "monitor")) {
		opts->monitor = value;
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
	free(opts->pin);
	opts->pin = NULL;
	free(opts->devices);
	opts->devices = NULL;
}
