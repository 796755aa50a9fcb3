// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>

#include "base/io.h"
#include "base/util.h"
#include "func.h"

#define ECAP_FIRST 0x100
#define ECAP_MAX ((4096 - ECAP_FIRST) / 8) /* as many as there is room for */

/* Two words of four bytes each, the lower first (PCIe 4.0, 7.9.3.2). */
static int serial_at(int fd, unsigned int at, char buf[FUNC_SERIAL_MAX])
{
	uint8_t b[8];
	int ret = io_pread_full(fd, b, sizeof(b), at + 4);

	if (ret)
		return ret;
	snprintf(buf, FUNC_SERIAL_MAX, "%02x-%02x-%02x-%02x-%02x-%02x-%02x-%02x", b[7], b[6], b[5],
		 b[4], b[3], b[2], b[1], b[0]);
	return 0;
}

int func_serial(const struct host *host, const struct pci_addr *addr, char buf[FUNC_SERIAL_MAX])
{
	char a[PCI_ADDR_STRLEN], path[HOST_PATH_MAX];
	CLEANUP_CLOSE int fd = -1;
	unsigned int at, i;
	uint8_t head[4];
	uint32_t v;
	int ret = host_path(path, host->sysfs_root, "bus/pci/devices/%s/config",
			    pci_addr_str(addr, a));

	if (ret)
		return ret;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (at = ECAP_FIRST, i = 0; at >= ECAP_FIRST && i < ECAP_MAX; i++) {
		if (io_pread_full(fd, head, sizeof(head), at))
			return -ENOENT; /* no extended space, or not for this user */
		v = get_le32(head);
		if (!v || v == UINT32_MAX)
			return -ENOENT;
		if (PCI_EXT_CAP_ID(v) == PCI_EXT_CAP_ID_DSN)
			return serial_at(fd, at, buf);
		at = PCI_EXT_CAP_NEXT(v) & ~3u;
	}
	return -ENOENT;
}
