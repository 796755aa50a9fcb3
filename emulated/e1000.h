/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel's 82540EM (8254x developer's manual, 317453): the network card for a guest without virtio
 * drivers.
 */
#ifndef VIADUCT_EMULATED_E1000_H
#define VIADUCT_EMULATED_E1000_H

#include "vmm/dev.h"

extern const struct dev_class e1000_class;

#endif
