/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parts of the program that only some guests need, with libraries of their own: shared objects that
 * are looked for next to the running program and where it is installed. Each shows one symbol, a
 * table of functions whose first member is the version that it was built as.
 */
#ifndef VIADUCT_VMM_MODULE_H
#define VIADUCT_VMM_MODULE_H

#include <stddef.h>

struct err;

struct module_head {
	const char *version; /* VIADUCT_VERSION: module and program must be of one build */
};

struct module_want {
	const char *file;    /* "viaduct-slirp.so" */
	const char *symbol;
	const char *asked;   /* what the user asked for, begins the messages: "net=user" */
	const char *library; /* what its absence mostly means: "libslirp" */
};

/*
 * Loads a module for good: what a library keeps for a thread must not lose its code. *@ret_module
 * is for dlclose() and the table lives as long as the program. Returns 0; -ENOENT when there is no
 * such file; -ELIBBAD when it cannot be loaded or is of another build.
 */
int module_open(const struct module_want *want, void **ret_module,
		const struct module_head **ret_table, struct err *err);

/* The path of a program that is run beside this one: next to it, or where such are installed
 * (libexec). 0; -ENOENT: it is in neither place, or may not be run. */
int module_find_program(const char *file, char *path, size_t size, struct err *err);

#endif
