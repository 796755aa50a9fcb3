// SPDX-License-Identifier: GPL-2.0-or-later
#include "vfio_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/util.h"

const char *vfio_sys_sysfs_root(void)
{
	return NULL;
}

int vfio_sys_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

void vfio_sys_close(int fd)
{
	close(fd);
}

int vfio_sys_fd_look(int fd, unsigned int *ret_major, unsigned int *ret_minor)
{
	int flags = fcntl(fd, F_GETFD);
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	*ret_major = S_ISCHR(st.st_mode) ? major(st.st_rdev) : 0;
	*ret_minor = S_ISCHR(st.st_mode) ? minor(st.st_rdev) : 0;
	return flags & FD_CLOEXEC ? -EEXIST : 0;
}

void vfio_sys_fd_own(int fd)
{
	fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int vfio_sys_ioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

int vfio_sys_ioctl_val(int fd, unsigned long request, unsigned long arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

ssize_t vfio_sys_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	ssize_t n = pread(fd, buf, len, (off_t)offset);

	return n < 0 ? -errno : n;
}

ssize_t vfio_sys_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	ssize_t n = pwrite(fd, buf, len, (off_t)offset);

	return n < 0 ? -errno : n;
}

void *vfio_sys_reserve(size_t size, size_t align)
{
	uint8_t *p, *at;
	size_t whole;

	if (__builtin_add_overflow(size, align, &whole))
		return NULL;
	p = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	at = p + (align_up((uintptr_t)p, align) - (uintptr_t)p);
	if (at > p)
		munmap(p, (size_t)(at - p));
	if (at + size < p + whole)
		munmap(at + size, (size_t)(p + whole - (at + size)));
	return at;
}

int vfio_sys_map(void *at, size_t size, int prot, int fd, uint64_t offset)
{
	void *p = mmap(at, size, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);

	return p == MAP_FAILED ? -errno : 0;
}

void vfio_sys_unmap(void *at, size_t size)
{
	munmap(at, size);
}

static bool may_lock_all(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	return !syscall(SYS_capget, &head, data) && data[0].effective & BIT(CAP_IPC_LOCK);
}

void vfio_sys_memlock(uint64_t *ret_limit, uint64_t *ret_locked)
{
	unsigned long long locked = 0;
	struct rlimit limit;
	char line[128];
	FILE *f;

	*ret_limit = UINT64_MAX;
	*ret_locked = 0;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
	    may_lock_all())
		return;
	*ret_limit = limit.rlim_cur;
	f = fopen("/proc/self/status", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmLck: %llu kB", &locked) == 1)
			*ret_locked = locked * KIB;
	if (f)
		fclose(f);
}
