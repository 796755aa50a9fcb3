/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What dev.c and dev_unplug.c share. */
#ifndef VIADUCT_VMM_DEV_PRIV_H
#define VIADUCT_VMM_DEV_PRIV_H

#include "dev.h"

/* Frees what dev_unplug() made, timer included. NULL is fine. */
void dev_unplug_free(struct dev_unplug *unplug);

#endif
