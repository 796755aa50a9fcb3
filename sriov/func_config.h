/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Config space as sysfs hands it out. */
#ifndef VIADUCT_SRIOV_FUNC_CONFIG_H
#define VIADUCT_SRIOV_FUNC_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "host.h"
#include "pci_addr.h"

/* Reads up to @size bytes. Returns how many this user may read: 64 without root, 256 without
 * extended space, 0 when there is no such function. */
size_t func_config_read(const struct host *host, const struct pci_addr *addr, uint8_t *config,
			size_t size);

/* The place of capability @id in the first 256 bytes, which @config must have; 0 when there is
 * none. */
size_t func_config_cap(const uint8_t *config, uint8_t id);

/* The place of the extended capability @id (PCIe 4.0, 7.6) in the @len bytes that there are of
 * config space; 0 when there is none, or it lies beyond. At least 8 bytes are there behind it. */
size_t func_config_ext_cap(const uint8_t *config, size_t len, uint16_t id);

#endif
