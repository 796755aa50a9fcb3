/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The border to the kernel's vhost, so that a test can put its own at link time. */
#ifndef VIADUCT_VIRTIO_VHOST_SYS_H
#define VIADUCT_VIRTIO_VHOST_SYS_H

/* Opens @path (/dev/vhost-vsock) for reading and writing, close-on-exec. The fd or -errno. */
int vhost_sys_open(const char *path);
/* ioctl(2); the result, or -errno. */
int vhost_sys_ioctl(int fd, unsigned long request, void *arg);

#endif
