// SPDX-License-Identifier: GPL-2.0-or-later
/* The border to VFIO itself, on descriptors that any machine has; the other tests put a fake there.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/vfio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "vfio/vfio_sys.h"

static void test_open(void **state)
{
	int fd = vfio_sys_open("/dev/null");

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	assert_int_equal(vfio_sys_ioctl(fd, VFIO_GET_API_VERSION, NULL), -ENOTTY);
	assert_int_equal(vfio_sys_ioctl_val(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU), -ENOTTY);
	vfio_sys_close(fd);
	assert_int_equal(vfio_sys_ioctl(fd, VFIO_GET_API_VERSION, NULL), -EBADF);
	assert_int_equal(vfio_sys_open("/nowhere/vfio"), -ENOENT);
	assert_null(vfio_sys_sysfs_root());
}

static void test_access(void **state)
{
	int fd = memfd_create("region", MFD_CLOEXEC);
	uint32_t value = 0x12345678;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(vfio_sys_pwrite(fd, &value, 4, 0x1000), 4);
	value = 0;
	assert_int_equal(vfio_sys_pread(fd, &value, 4, 0x1000), 4);
	assert_int_equal(value, 0x12345678);
	assert_int_equal(vfio_sys_pread(fd, &value, 4, 0x1002), 2);
	close(fd);
	assert_int_equal(vfio_sys_pread(fd, &value, 4, 0), -EBADF);
	assert_int_equal(vfio_sys_pwrite(fd, &value, 4, 0), -EBADF);
}

/* Address space aligned as asked, without access until something is put over a part of it. */
static void test_map(void **state)
{
	static const size_t aligns[] = { 4096, 64 * KIB, 2 * MIB, GIB };
	int fd = memfd_create("region", MFD_CLOEXEC);
	size_t i;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 8192), 0);
	for (i = 0; i < ARRAY_SIZE(aligns); i++) {
		uint8_t *at = vfio_sys_reserve(64 * KIB, aligns[i]);

		assert_non_null(at);
		assert_int_equal((uintptr_t)at % aligns[i], 0);
		assert_int_equal(vfio_sys_map(at + 8192, 4096, PROT_READ | PROT_WRITE, fd, 4096),
				 0);
		at[8192] = (uint8_t)(i + 1);
		assert_int_equal(vfio_sys_pread(fd, &(uint8_t){ 0 }, 1, 4096), 1);
		assert_int_equal(vfio_sys_map(at, 4096, PROT_READ, -1, 0), -EBADF);
		/* Nothing else may be there: a page of it can be unmapped once, with the rest. */
		assert_int_equal(mprotect(at, 64 * KIB, PROT_NONE), 0);
		vfio_sys_unmap(at, 64 * KIB);
		assert_int_equal(mprotect(at, 4096, PROT_NONE), -1);
	}
	assert_null(vfio_sys_reserve(SIZE_MAX, GIB));
	assert_null(vfio_sys_reserve((size_t)1 << 62, 4096));
	close(fd);
}

static void test_fd(void **state)
{
	unsigned int major = 7, minor = 7;
	int fd = open("/dev/null", O_RDWR);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(vfio_sys_fd_look(fd, &major, &minor), 0);
	assert_int_equal(major, 1);
	assert_int_equal(minor, 3);
	vfio_sys_fd_own(fd);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(vfio_sys_fd_look(fd, &major, &minor), -EEXIST);
	close(fd);
	assert_int_equal(vfio_sys_fd_look(fd, &major, &minor), -EBADF);
}

/* What counts as locked is seen by a process that may not lock all. */
static void test_memlock(void **state)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3], less[2];
	struct rlimit old, limit;
	uint64_t most, before, after;
	void *page;

	(void)state;
	assert_int_equal(syscall(SYS_capget, &head, data), 0);
	memcpy(less, data, sizeof(less));
	less[0].effective &= ~BIT(CAP_IPC_LOCK);
	assert_int_equal(syscall(SYS_capset, &head, less), 0);
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &old), 0);
	limit = old;
	limit.rlim_cur = MIN(old.rlim_cur, 64 * KIB);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	vfio_sys_memlock(&most, &before);
	assert_int_equal(most, limit.rlim_cur);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	/* Address sanitizer does nothing for mlock(). */
	assert_int_equal(syscall(SYS_mlock, page, 4096), 0);
	vfio_sys_memlock(&most, &after);
	assert_int_equal(after, before + 4096);
	assert_int_equal(munmap(page, 4096), 0);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &old), 0);
	assert_int_equal(syscall(SYS_capset, &head, data), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open),	cmocka_unit_test(test_access),
		cmocka_unit_test(test_map),	cmocka_unit_test(test_fd),
		cmocka_unit_test(test_memlock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
