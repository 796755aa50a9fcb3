/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Error messages that travel with a negative errno.
 *
 * A control path takes a caller-owned `struct err *` as its last argument. The message is written
 * once, where the fault is found, and prefixed on the way up. Library code prints nothing: the
 * program at the top decides. A NULL `struct err *` is allowed everywhere and means "do not care".
 */
#ifndef VIADUCT_BASE_ERR_H
#define VIADUCT_BASE_ERR_H

#include <errno.h>
#include <stdarg.h>

#define ERR_MSG_MAX 1024

struct err {
	int code; /* negative errno, 0 while nothing was set */
	char msg[ERR_MSG_MAX];
};

/* Sets code and message, overwriting what was there. Returns @code (made negative), so that a
 * caller can write `return err_set(err, -EINVAL, "...")`. errno is preserved. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set(), and appends ": " and the text of the errno. For a failed system call. */
int err_sys(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "formatted: " in front of the message that is there. Returns nothing, as err_append(): the
 * code is the caller's, for there may be no @err to keep it. */
void err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Appends to the message that is there (a remedy, a list). */
void err_append(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Forgets code and message. */
void err_clear(struct err *err);

#endif
