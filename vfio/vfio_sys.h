/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The border to VFIO: every open, ioctl, read, write and mapping of its descriptors goes through
 * here, so that a test can put its own kernel at link time. Nothing here has a state of its own.
 */
#ifndef VIADUCT_VFIO_VFIO_SYS_H
#define VIADUCT_VFIO_VFIO_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The sysfs root for host_init(): NULL, the running host. */
const char *vfio_sys_sysfs_root(void);

/* Opens for reading and writing, close-on-exec. Returns the fd or -errno. */
int vfio_sys_open(const char *path);
void vfio_sys_close(int fd);
/* A descriptor that the caller of the program handed over: the number of its device node, 0:0 when
 * it is none. -EBADF: not open; -EEXIST: close-on-exec, so not handed over. */
int vfio_sys_fd_look(int fd, unsigned int *ret_major, unsigned int *ret_minor);
/* Sets close-on-exec. */
void vfio_sys_fd_own(int fd);

/* ioctl(2), repeated after EINTR. Returns the result or -errno. */
int vfio_sys_ioctl(int fd, unsigned long request, void *arg);
int vfio_sys_ioctl_val(int fd, unsigned long request, unsigned long arg);

/* One pread(2) or pwrite(2). Returns the count or -errno. */
ssize_t vfio_sys_pread(int fd, void *buf, size_t len, uint64_t offset);
ssize_t vfio_sys_pwrite(int fd, const void *buf, size_t len, uint64_t offset);

/* @size bytes of address space without access, aligned to @align (a power of two, at least a
 * page). NULL when there is none. vfio_sys_unmap() gives it and all that lies on it back. */
void *vfio_sys_reserve(size_t size, size_t align);
/* Puts @size bytes of @fd, from @offset on, over the reserved address @at. @prot as for mmap(2).
 * Returns 0 or -errno, the reservation then standing as it was. */
int vfio_sys_map(void *at, size_t size, int prot, int fd, uint64_t offset);
void vfio_sys_unmap(void *at, size_t size);

/* How many bytes this process may lock or pin, UINT64_MAX when nothing holds it (no limit, or
 * CAP_IPC_LOCK), and how many it has locked. */
void vfio_sys_memlock(uint64_t *ret_limit, uint64_t *ret_locked);

#endif
