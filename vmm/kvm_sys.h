/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The border to KVM: everything the project asks of it goes through here, so that a test can put
 * its own at link time. */
#ifndef VIADUCT_VMM_KVM_SYS_H
#define VIADUCT_VMM_KVM_SYS_H

#include <stddef.h>

/* ioctl(2); the result, or -errno. EINTR is returned, not retried (KVM_RUN needs it). */
int kvm_ioctl(int fd, unsigned long request, void *arg);
int kvm_ioctl_val(int fd, unsigned long request, unsigned long arg);

/* Opens @path (/dev/kvm) for reading and writing, close-on-exec. Returns the fd or -errno. */
int kvm_open(const char *path);

/* Maps @size bytes of a vCPU fd shared. Returns MAP_FAILED with errno set on failure. */
void *kvm_mmap(int fd, size_t size);

#endif
