/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Logging through a sink that the program installs. Library code never prints by itself.
 * Any thread may log; the sink is called with no lock of the project's held by this file.
 */
#ifndef VIADUCT_BASE_LOG_H
#define VIADUCT_BASE_LOG_H

#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log {
	void (*sink)(void *opaque, enum log_level level, const char *line);
	void *opaque;
	enum log_level max; /* lines above this level are dropped */
};

/* At most @burst lines for each @interval_ms; the next line that passes says how many were
 * dropped. For everything that a guest can trigger at will. Zero-initialise. */
struct log_limit {
	uint64_t window_start_ms;
	uint32_t count;
	uint32_t dropped;
};

/* Formats one line (no newline) and hands it to the sink. A NULL @log drops it. */
void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As log_line(), at most 5 lines in 5 s for this @limit. The caller serialises @limit. */
void log_limited(const struct log *log, struct log_limit *limit, enum log_level level,
		 const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
