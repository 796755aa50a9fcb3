/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files of the monitor's module. */
#ifndef VIADUCT_VMM_MONITOR_JSON_H
#define VIADUCT_VMM_MONITOR_JSON_H

#include <stdio.h>

/* The tokener counts in int. */
#define MONITOR_FEED_MAX (1u << 20)

struct err;

/* monitor_module.ctl */
int monitor_ctl(int fd, int argc, char **argv, FILE *out, struct err *err);

#endif
