// SPDX-License-Identifier: GPL-2.0-or-later
#include "func_config.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <unistd.h>

#include "base/util.h"

size_t func_config_read(const struct host *host, const struct pci_addr *addr, uint8_t *config,
			size_t size)
{
	char path[HOST_PATH_MAX], a[PCI_ADDR_STRLEN];
	CLEANUP_CLOSE int fd = -1;
	ssize_t n;

	if (host_path(path, host->sysfs_root, "bus/pci/devices/%s/config", pci_addr_str(addr, a)))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : pread(fd, config, size, 0);
	return n < 0 ? 0 : (size_t)n;
}

/* Loops end: each step takes one of 48 places. */
size_t func_config_cap(const uint8_t *config, uint8_t id)
{
	size_t at = config[PCI_CAPABILITY_LIST] & ~3u, steps;

	if (!(get_le16(config + PCI_STATUS) & PCI_STATUS_CAP_LIST))
		return 0;
	for (steps = 0; at >= PCI_STD_HEADER_SIZEOF && steps < 48; steps++) {
		if (config[at] == id)
			return at;
		at = config[at + 1] & ~3u;
	}
	return 0;
}

/* Loops end: 4 KiB have room for 960 headers. */
size_t func_config_ext_cap(const uint8_t *config, size_t len, uint16_t id)
{
	size_t at = PCI_CFG_SPACE_SIZE, steps;
	uint32_t header;

	for (steps = 0; steps < 960 && at >= PCI_CFG_SPACE_SIZE && at + 8 <= len; steps++) {
		header = get_le32(config + at);
		if (!header || header == UINT32_MAX)
			break;
		if (PCI_EXT_CAP_ID(header) == id)
			return at;
		at = PCI_EXT_CAP_NEXT(header);
	}
	return 0;
}
