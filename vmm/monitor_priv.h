/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the monitor's files share, and what its module brings. */
#ifndef VIADUCT_VMM_MONITOR_PRIV_H
#define VIADUCT_VMM_MONITOR_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "module.h"

struct err;
struct monitor_reader;
struct vm;

#define MONITOR_ARGS_MAX 4u

enum monitor_kind { MONITOR_STRING, MONITOR_NUMBER, MONITOR_BOOL, MONITOR_OTHER };

struct monitor_arg {
	const char *name;
	enum monitor_kind kind;
	const char *string; /* MONITOR_STRING: without zero bytes */
	int64_t number;	    /* MONITOR_NUMBER: whole */
	bool flag;
};

/* A command as it came. It lives until the reader is fed again. */
struct monitor_request {
	const char *execute; /* NULL: the message is none, @why says so */
	const char *why;
	const char *id; /* as JSON text; NULL: none */
	struct monitor_arg args[MONITOR_ARGS_MAX];
	unsigned int arg_count;
};

/* The symbol `viaduct_monitor_module`: all that needs a JSON library. */
struct monitor_module {
	struct module_head head;
	struct monitor_reader *(*reader_new)(void); /* NULL: no memory */
	void (*reader_free)(struct monitor_reader *reader);
	/*
	 * Takes bytes until a message is complete or all are used; *@ret_used says how many. 1: a
	 * message, in *@ret_request. 0: more is needed. -EINVAL: this is no JSON, the reader has
	 * begun anew and *@ret_used is where; the rest of that line is best thrown away.
	 */
	int (*feed)(struct monitor_reader *reader, const char *buf, size_t size, size_t *ret_used,
		    struct monitor_request *ret_request);
	/* Forgets an unfinished message. */
	void (*reset)(struct monitor_reader *reader);
	/* `viaduct ctl`: carries out the command on the connected @fd, prints to @out, and says what
	 * failed in @err. 0, or -errno: -EINVAL for a command that is none. */
	int (*ctl)(int fd, int argc, char **argv, FILE *out, struct err *err);
};

int monitor_module_get(const struct monitor_module **ret_module, void **ret_handle,
		       struct err *err);

/* What a command answers: @out gets the JSON of "return", else @class and the message of @err. */
struct monitor_reply {
	FILE *out;
	const char *error_class;
	struct err *err;
};

/* Carries out a command of a client that has negotiated. Loop thread. 0 or -errno. */
int monitor_execute(struct vm *vm, const struct monitor_request *request,
		    struct monitor_reply *reply);
/* {"qemu": …}: for the greeting and query-version. */
void monitor_print_version(FILE *out);
/* @s as a JSON string. */
void monitor_print_string(FILE *out, const char *s);

#endif
