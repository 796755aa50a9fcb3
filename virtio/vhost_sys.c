// SPDX-License-Identifier: GPL-2.0-or-later
#include "vhost_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

int vhost_sys_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int vhost_sys_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}
