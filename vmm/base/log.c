// SPDX-License-Identifier: GPL-2.0-or-later
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define LIMIT_BURST 5
#define LIMIT_INTERVAL_MS 5000

__attribute__((format(printf, 3, 0))) static void
log_va(const struct log *log, enum log_level level, const char *fmt, va_list ap)
{
	char line[1200];

	vsnprintf(line, sizeof(line), fmt, ap);
	log->sink(log->opaque, level, line);
}

void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (!log || !log->sink || level > log->max)
		return;
	va_start(ap, fmt);
	log_va(log, level, fmt, ap);
	va_end(ap);
}

void log_limited(const struct log *log, struct log_limit *limit, enum log_level level,
		 const char *fmt, ...)
{
	struct timespec ts;
	uint64_t now;
	va_list ap;

	if (!log || !log->sink || level > log->max)
		return;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	if (now - limit->window_start_ms >= LIMIT_INTERVAL_MS) {
		if (limit->dropped)
			log_line(log, level, "(%u like the following were dropped)", limit->dropped);
		limit->window_start_ms = now;
		limit->count = 0;
		limit->dropped = 0;
	}
	if (limit->count >= LIMIT_BURST) {
		limit->dropped++;
		return;
	}
	limit->count++;
	va_start(ap, fmt);
	log_va(log, level, fmt, ap);
	va_end(ap);
}
