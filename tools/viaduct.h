/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the viaduct program share. */
#ifndef VIADUCT_TOOLS_VIADUCT_H
#define VIADUCT_TOOLS_VIADUCT_H

#include <stdbool.h>
#include <stdio.h>

#include "vmm/vm.h"

#define EXIT_USAGE 2
#define EXIT_DEVICE 3 /* hardware failed, and its policy was to end the guest (on-error=stop) */

struct run_options {
	struct vm_config config;
	const char *serial;
	const char *monitor; /* NULL: none */
	char *pin; /* config.pin */
	const char **devices; /* --device, in order; the strings are argv's */
	unsigned int device_count;
};

/* Every device and every role this program knows. */
extern const struct dev_table viaduct_devices;

/* Decodes the options of `run` and `plan`. 0, or the exit status to end with (0 is never returned
 * for --help: *@ret_done is set then). */
int options_parse(int argc, char **argv, struct run_options *opts, bool *ret_done);
void options_done(struct run_options *opts);
void options_usage(FILE *out, const char *command);

int viaduct_run(const struct run_options *opts);
int viaduct_plan(const struct run_options *opts);
/* `viaduct ctl SOCKET COMMAND…`; argv[0] is "ctl". The exit status. */
int viaduct_ctl(int argc, char **argv);

/* Logs to stderr, a line each, "viaduct: " in front. */
extern const struct log viaduct_log;

/* "net0: vfio-pci passed over: reason" and "net0: virtio-net (…)", a line each. */
void viaduct_print_devices(const struct vm *vm, FILE *out, const char *indent);

#endif
