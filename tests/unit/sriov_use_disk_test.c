// SPDX-License-Identifier: GPL-2.0-or-later
/* Who uses a function's disks. */
#include "use_rig.h"

#define MOUNTED(number, where) "36 22 " number " / " where " rw,noatime shared:1 - ext4 /dev/x rw\n"
#define ROOT "22 1 0:21 / / rw - tmpfs tmpfs rw\n"
#define SWAPS "Filename Type Size Used Priority\n"
#define PART DISK "/nvme0n1p1"

static void mounts(struct fake *f, const char *text)
{
	fake_text(f, "proc/self/mountinfo", text);
}

static void test_mounted(void **state)
{
	struct fake *f = *state;

	mounts(f, ROOT MOUNTED("259:11", "/x"));
	expect(f, NVME, NULL);
	mounts(f, ROOT MOUNTED("259:1", "/srv/a\\040b"));
	expect(f, NVME, ": nvme0n1p1 is mounted on /srv/a\\040b; unmount it or use --force=mount");
	expect(f, IGB, NULL);
	expect_forced(f, NVME, USE_MOUNT, NULL);
}

static void test_swap(void **state)
{
	struct fake *f = *state;

	fake_text(f, "proc/swaps", SWAPS "/dev/nvme0n1p11 partition 1 0 -2\n"
				   "/mnt/dev/nvme0n1p1 file 1 0 -2\n");
	expect(f, NVME, NULL);
	fake_text(f, "proc/swaps", SWAPS "/dev/nvme0n1p1\tpartition 1 0 -2\n");
	expect(f, NVME, ": nvme0n1p1 is swap space in use; run swapoff or use --force=swap");
	expect_forced(f, NVME, USE_SWAP, NULL);
}

/* The file system that a swap file lies in is the one mounted closest around it. */
static void test_swap_file(void **state)
{
	struct fake *f = *state;

	mounts(f, ROOT MOUNTED("259:1", "/srv") "40 36 0:40 / /srv/tmp rw - tmpfs tmpfs rw\n");
	fake_text(f, "proc/swaps", SWAPS "/srv/tmp/swap file 1 0 -2\n/srv2/swap file 1 0 -2\n");
	expect(f, NVME, ": nvme0n1p1 is mounted on /srv; unmount it or use --force=mount");
	fake_text(f, "proc/swaps", SWAPS "/srv/swap file 1 0 -2\n");
	expect(f, NVME, ": nvme0n1p1 is mounted on /srv with the swap file /srv/swap; unmount it or "
			"use --force=mount,swap");
	expect_forced(f, NVME, USE_MOUNT, ": nvme0n1p1 is under the swap file /srv/swap; unmount it "
					  "or use --force=swap");
	expect_forced(f, NVME, USE_SWAP, ": nvme0n1p1 is mounted on /srv; unmount it or use "
					 "--force=mount");
	expect_forced(f, NVME, USE_SWAP | USE_MOUNT, NULL);
}

static void test_holders(void **state)
{
	struct fake *f = *state;

	/* One that is gone already when it is looked at is a holder still. */
	fake_link(f, "../../../../../virtual/block/dm-0", PART "/holders/dm-0");
	expect(f, NVME, ": nvme0n1p1 holds dm-0; take that apart or use --force=holder");
}

#define LVM "nvme0n1p1 holds md0 (raid1), that holds dm-3 (vg0-root)"

/* LVM on a RAID of two partitions. */
static void pile(struct fake *f)
{
	fake_block(f, NVME, "nvme0n1", "nvme0n1p2", "259:2");
	fake_holder(f, "md0", "9:0", "259:1");
	fake_holder(f, "md0", "9:0", "259:2");
	fake_text(f, "sys/devices/virtual/block/md0/md/level", "raid1\n");
	fake_holder(f, "dm-3", "253:3", "9:0");
	fake_text(f, "sys/devices/virtual/block/dm-3/dm/name", "vg0-root\n");
}

static void test_chain(void **state)
{
	struct fake *f = *state;

	pile(f);
	/* The second partition leads to what was seen by the first, or the other way round. */
	fake_remove(f, "sys/dev/block/259:2");
	expect(f, NVME, ": " LVM "; take that apart or use --force=holder");
	mounts(f, ROOT MOUNTED("253:3", "/"));
	fake_busy(f, "nvme0n1p1");
	fake_busy(f, "nvme0n1");
	fake_busy(f, "md0");
	fake_busy(f, "dm-3");
	expect(f, NVME, ": " LVM ", mounted on /; unmount it or use --force=mount,holder");
	expect_forced(f, NVME, USE_HOLDER, ": " LVM ", mounted on /; unmount it or use --force=mount");
	expect_forced(f, NVME, USE_MOUNT, ": " LVM "; unmount it or use --force=holder");
	expect_forced(f, NVME, USE_MOUNT | USE_HOLDER, NULL);
	mounts(f, ROOT);
	fake_text(f, "proc/swaps", SWAPS "/dev/dm-3 partition 1 0 -2\n");
	expect(f, NVME, ": " LVM ", swap space in use; run swapoff or use --force=swap,holder");
	fake_text(f, "proc/swaps", SWAPS "/dev/mapper/vg0-root partition 1 0 -2\n");
	expect_forced(f, NVME, USE_HOLDER, ": " LVM ", swap space in use; run swapoff or use "
					   "--force=swap");
}

/* Both legs of the RAID are on the function: it is told once. */
static void test_diamond(void **state)
{
	struct pci_addr addr = fake_at(NVME);
	struct use_found found;
	struct fake *f = *state;

	pile(f);
	mounts(f, ROOT MOUNTED("253:3", "/"));
	assert_int_equal(use_check(&f->host, NULL, &addr, 0, &found, NULL), -EBUSY);
	assert_int_equal(found.count, 1);
	assert_int_equal(found.kinds, USE_MOUNT | USE_HOLDER);
	expect_forced(f, NVME, USE_MOUNT | USE_HOLDER, NULL);
}

static void test_loop_device(void **state)
{
	struct fake *f = *state;

	fake_holder(f, "loop3", "7:3", NULL);
	fake_text(f, "sys/devices/virtual/block/loop3/loop/backing_file", "/dev/nvme0n1p11\n");
	expect(f, NVME, NULL);
	fake_text(f, "sys/devices/virtual/block/loop3/loop/backing_file", "/dev/nvme0n1p1\n");
	fake_text(f, "sys/devices/virtual/block/loop3/loop3p1/partition", "1\n");
	fake_text(f, "sys/devices/virtual/block/loop3/loop3p1/dev", "259:9\n");
	expect(f, NVME, ": nvme0n1p1 holds loop3, that holds loop3p1; take that apart or use "
			"--force=holder");
	mounts(f, ROOT MOUNTED("259:9", "/mnt"));
	expect(f, NVME, ": nvme0n1p1 holds loop3, that holds loop3p1, mounted on /mnt; unmount it or "
			"use --force=mount,holder");
}

/* mountinfo shows a number of the file system's own, and one of its devices. */
static void test_btrfs(void **state)
{
	struct fake *f = *state;

	fake_text(f, "sys/fs/btrfs/features/raid56", "0\n");
	fake_link(f, "x", "sys/fs/btrfs/0123-45/devices/sda");
	mounts(f, ROOT "30 1 0:30 / /data rw - btrfs /dev/sda rw\n");
	expect(f, NVME, NULL);
	fake_link(f, "x", "sys/fs/btrfs/0123-45/devices/nvme0n1p1");
	expect(f, NVME, ": nvme0n1p1 is mounted on /data; unmount it or use --force=mount");
	mounts(f, ROOT);
	expect(f, NVME, ": nvme0n1p1 is part of a btrfs file system in use; unmount it or use "
			"--force=mount");
	expect_forced(f, NVME, USE_MOUNT, NULL);
	/* Two devices of device mapper, of which the mount names the other by its name. */
	fake_remove(f, "sys/fs/btrfs/0123-45/devices/sda");
	fake_remove(f, "sys/fs/btrfs/0123-45/devices/nvme0n1p1");
	fake_holder(f, "dm-0", "253:0", "259:1");
	fake_holder(f, "dm-1", "253:1", NULL);
	fake_text(f, "sys/devices/virtual/block/dm-1/dm/name", "vg-b\n");
	fake_link(f, "x", "sys/fs/btrfs/0123-45/devices/dm-0");
	fake_link(f, "x", "sys/fs/btrfs/0123-45/devices/dm-1");
	mounts(f, ROOT "30 1 0:30 / /data rw - btrfs /dev/mapper/vg-b rw\n");
	expect(f, NVME, ": nvme0n1p1 holds dm-0, mounted on /data; unmount it or use "
			"--force=mount,holder");
}

static void test_exclusive(void **state)
{
	struct fake *f = *state;

	fake_busy(f, "nvme0n1");
	expect(f, NVME, ": nvme0n1 is held exclusively (by a file system, LVM or RAID); release it "
			"or use --force=holder");
	/* A partition's claim is its disk's too, and a mount's claim is the mount. */
	fake_busy(f, "nvme0n1p1");
	expect(f, NVME, ": nvme0n1p1 is held exclusively (by a file system, LVM or RAID); release it "
			"or use --force=holder");
	mounts(f, ROOT MOUNTED("259:1", "/srv"));
	expect(f, NVME, ": nvme0n1p1 is mounted on /srv; unmount it or use --force=mount");
	expect_forced(f, NVME, USE_MOUNT, NULL);
	mounts(f, ROOT);
	fake_holder(f, "dm-0", "253:0", "259:1");
	fake_busy(f, "dm-0");
	expect(f, NVME, ": nvme0n1p1 holds dm-0, held exclusively (by a file system, LVM or RAID); "
			"release it or use --force=holder");
}

static void test_other_namespaces(void **state)
{
	struct fake *f = *state;

	fake_link(f, "mnt:[1]", "proc/self/ns/mnt");
	fake_process(f, 50, "same", "null");
	fake_link(f, "mnt:[1]", "proc/50/ns/mnt");
	fake_text(f, "proc/50/mountinfo", ROOT MOUNTED("259:1", "/never/read"));
	fake_process(f, 51, "box", "null");
	fake_link(f, "mnt:[2]", "proc/51/ns/mnt");
	fake_text(f, "proc/51/mountinfo", ROOT);
	expect(f, NVME, NULL);
	fake_text(f, "proc/51/mountinfo", ROOT MOUNTED("259:1", "/srv"));
	expect(f, NVME, ": nvme0n1p1 is mounted on /srv in the mount namespace of box (pid 51); "
			"unmount it or use --force=mount");
	fake_remove(f, "proc/51/mountinfo");
	expect(f, NVME, NULL); /* it ended meanwhile */
	fake_text(f, "proc/51/mountinfo/x", ""); /* a folder: EISDIR */
	expect(f, NVME, ": what is mounted in other mount namespaces cannot be read: Permission "
			"denied; make that readable or use --force=unknown");
	expect_forced(f, NVME, USE_UNKNOWN, NULL);
}

static void test_multipath(void **state)
{
	struct fake *f = *state;

	/* The disk is virtual; its subsystem names the controllers it is reached through. */
	fake_link(f, "../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme3n1",
		  "sys/dev/block/259:7");
	fake_link(f, "../../devices/virtual/nvme-subsystem/nvme-subsys0",
		  "sys/class/nvme-subsystem/nvme-subsys0");
	fake_text(f, "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme3n1/size", "1\n");
	fake_link(f, "../../../pci0000:00/" NVME "/nvme/nvme3",
		  "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme3");
	expect(f, NVME, NULL);
	mounts(f, MOUNTED("259:7", "/boot"));
	expect(f, NVME, ": nvme3n1 is mounted on /boot; unmount it or use --force=mount");
	expect(f, IGB, NULL);
	mounts(f, ROOT);
	/* The same disk as a character device. */
	fake_link(f, "../../devices/virtual/nvme-subsystem/nvme-subsys0/ng3n1", "sys/dev/char/241:1");
	fake_text(f, "sys/devices/virtual/nvme-subsystem/nvme-subsys0/ng3n1/uevent",
		  "DEVNAME=ng3n1\n");
	fake_process(f, 90, "fio", "ng3n1");
	expect(f, NVME, ": /dev/ng3n1 is open in fio (pid 90); stop that process or use "
			"--force=process");
	expect(f, IGB, NULL);
}

static void test_processes(void **state)
{
	struct fake *f = *state;

	fake_process(f, 100, "bash", "null");
	fake_process(f, 100, "bash", "pts/0");
	fake_process(f, 101, "other", "nvme1n1");
	expect(f, NVME, NULL);
	fake_process(f, 102, "qemu\033[2Jx", "nvme0n1");
	expect(f, NVME, ": /dev/nvme0n1 is open in qemu?[2Jx (pid 102); stop that process or use "
			"--force=process");
	fake_remove(f, "proc/102");
	/* Of what stands on it, by either name. */
	pile(f);
	fake_process(f, 103, "dd", "mapper/vg0-root");
	expect_forced(f, NVME, USE_HOLDER, ": /dev/dm-3 is open in dd (pid 103); stop that process or "
					   "use --force=process");
	fake_remove(f, "proc/103");
	fake_process(f, 104, "dd", "md0");
	expect_forced(f, NVME, USE_HOLDER, ": /dev/md0 is open in dd (pid 104); stop that process or "
					   "use --force=process");
	expect_forced(f, NVME, USE_HOLDER | USE_PROCESS, NULL);
}

/* Mount and process: each hides nothing of the other. */
static void test_exact(void **state)
{
	struct fake *f = *state;

	mounts(f, ROOT MOUNTED("259:1", "/srv"));
	fake_process(f, 105, "dd", "nvme0n1");
	expect(f, NVME, ": nvme0n1p1 is mounted on /srv (unmount it); /dev/nvme0n1 is open in dd (pid "
			"105) (stop that process); or use --force=mount,process");
	expect_forced(f, NVME, USE_MOUNT, ": /dev/nvme0n1 is open in dd (pid 105); stop that process "
					  "or use --force=process");
	expect_forced(f, NVME, USE_PROCESS, ": nvme0n1p1 is mounted on /srv; unmount it or use "
					    "--force=mount");
	expect_forced(f, NVME, USE_PROCESS | USE_MOUNT, NULL);
}

static void test_hostile(void **state)
{
	char name[32], number[32], below[32] = "259:1", odd[HOST_NAME_MAX + 40], path[256];
	struct fake *f = *state;
	unsigned int i;

	/* Two that hold one another. */
	fake_holder(f, "dm-0", "253:0", "259:1");
	fake_holder(f, "dm-1", "253:1", "253:0");
	fake_holder(f, "dm-0", "253:0", "253:1");
	mounts(f, ROOT MOUNTED("253:1", "/srv"));
	expect(f, NVME, ": nvme0n1p1 holds dm-0, that holds dm-1, mounted on /srv; unmount it or use "
			"--force=mount,holder");
	fake_remove(f, PART "/holders");
	mounts(f, ROOT);
	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "dm-%u", 100 + i);
		snprintf(number, sizeof(number), "253:%u", 100 + i);
		fake_holder(f, name, number, below);
		memcpy(below, number, sizeof(below));
	}
	expect(f, NVME, ": what stands on dm-123 cannot be followed: Too many levels of symbolic "
			"links; make that readable or use --force=unknown");
	fake_remove(f, PART "/holders");
	memset(odd, 'x', sizeof(odd) - 1);
	odd[sizeof(odd) - 1] = '\0';
	snprintf(path, sizeof(path), PART "/holders/%s", odd);
	fake_link(f, "x", path);
	expect(f, NVME, ": what stands on nvme0n1p1 has an odd name: Invalid argument; make that "
			"readable or use --force=unknown");
	fake_remove(f, PART "/holders");
	/* Numbers and texts that are none. */
	fake_text(f, "sys/devices/virtual/block/dm-0/dev", "../../../etc");
	fake_text(f, "sys/devices/virtual/block/dm-0/dm/name", "a\033[2Jb\n");
	fake_holder(f, "dm-0", "253:0", "259:1");
	mounts(f, "1 2\n\n - - -\n36 22 259:1\n");
	expect(f, NVME, ": nvme0n1p1 holds dm-0 (a?[2Jb); take that apart or use --force=holder");
}

static void test_unreadable(void **state)
{
	struct fake *f = *state;

	fake_remove(f, "proc/self/mountinfo");
	expect(f, NVME, ": what is mounted cannot be read: No such file or directory; make that "
			"readable or use --force=unknown");
	expect(f, IGB, NULL); /* it has no disk */
	expect_forced(f, NVME, USE_UNKNOWN, NULL);
	mounts(f, ROOT);
	fake_remove(f, "proc/swaps");
	expect(f, NVME, NULL); /* a kernel without swap */
	fake_text(f, "proc/swaps/x", "");
	expect(f, NVME, ": what is swap space cannot be read: Is a directory; make that readable or "
			"use --force=unknown");
	fake_remove(f, "proc/swaps");
	fake_text(f, PART "/holders", "no folder");
	expect(f, NVME, ": what stands on nvme0n1p1 cannot be read: Not a directory; make that "
			"readable or use --force=unknown");
	fake_remove(f, PART "/holders");
	fake_text(f, "proc/77/fd", "no folder");
	expect(f, NVME, ": what 1 processes have open cannot be read: Permission denied; make that "
			"readable or use --force=unknown");
	fake_process(f, 78, "dd", "nvme0n1");
	expect_forced(f, NVME, USE_UNKNOWN, ": /dev/nvme0n1 is open in dd (pid 78); stop that process "
					    "or use --force=process");
	fake_remove(f, "proc/77");
	fake_remove(f, "proc/78");
	fake_remove(f, "sys/dev/block");
	fake_text(f, "sys/dev/block", "no folder");
	expect(f, NVME, ": its device nodes cannot be read: Not a directory; make that readable or "
			"use --force=unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fake_lab_test(test_mounted),
		fake_lab_test(test_swap),
		fake_lab_test(test_swap_file),
		fake_lab_test(test_holders),
		fake_lab_test(test_chain),
		fake_lab_test(test_diamond),
		fake_lab_test(test_loop_device),
		fake_lab_test(test_btrfs),
		fake_lab_test(test_exclusive),
		fake_lab_test(test_other_namespaces),
		fake_lab_test(test_multipath),
		fake_lab_test(test_processes),
		fake_lab_test(test_exact),
		fake_lab_test(test_hostile),
		fake_lab_test(test_unreadable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
