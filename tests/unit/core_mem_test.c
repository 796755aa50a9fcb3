// SPDX-License-Identifier: GPL-2.0-or-later
/* Guest memory: the four accessors, memory slots, and what the IOMMU is told. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core_rig.h"
#include "vmm/mem_priv.h"

static void test_accessors_check_the_whole_span(void **state)
{
	struct vm *vm = rig_new(4 * MIB);
	struct mem *mem = &vm->mem;
	uint8_t buf[16] = { 1, 2, 3 };
	struct iovec iov[2];

	(void)state;
	assert_non_null(mem_ptr(mem, 0, 4 * MIB));
	assert_non_null(mem_ptr(mem, 4 * MIB - 1, 1));
	assert_null(mem_ptr(mem, 4 * MIB - 1, 2));
	assert_null(mem_ptr(mem, 4 * MIB, 1));
	assert_null(mem_ptr(mem, 0, 0));
	assert_null(mem_ptr(mem, UINT64_MAX, 1));
	assert_null(mem_ptr(mem, UINT64_MAX - 7, 16));
	assert_null(mem_ptr(mem, 8, UINT64_MAX));
	assert_int_equal(mem_write(mem, 4 * MIB - 16, buf, 16), 0);
	assert_int_equal(mem_write(mem, 4 * MIB - 15, buf, 16), -EFAULT);
	assert_int_equal(mem_read(mem, 4 * MIB - 16, buf + 8, 8), 0);
	assert_int_equal(buf[9], 2);
	assert_int_equal(mem_read(mem, UINT64_MAX, buf, 1), -EFAULT);
	assert_int_equal(mem_read(mem, UINT64_MAX, buf, 0), 0);
	assert_int_equal(mem_iov(mem, 100, 50, iov, 2), 1);
	assert_int_equal(iov[0].iov_len, 50);
	assert_int_equal(mem_iov(mem, 100, 0, iov, 2), 0);
	assert_int_equal(mem_iov(mem, 100, 50, iov, 0), -E2BIG);
	assert_int_equal(mem_iov(mem, 4 * MIB - 10, 50, iov, 2), -EFAULT);
	assert_int_equal(mem_iov(mem, UINT64_MAX - 3, 8, iov, 2), -EFAULT);
	rig_free(vm);
}

static void test_ram_beyond_the_hole_is_a_second_bank(void **state)
{
	struct vm *vm = rig_new(5 * GIB);
	struct mem *mem = &vm->mem;

	(void)state;
	assert_int_equal(mem->bank_count, 2);
	assert_int_equal(mem->banks[0].size, 3 * GIB);
	assert_int_equal(mem->banks[1].gpa, 4 * GIB);
	assert_int_equal(mem->banks[1].size, 2 * GIB);
	assert_null(mem_ptr(mem, 3 * GIB - 1, 2));
	assert_null(mem_ptr(mem, 3 * GIB, 1));
	assert_null(mem_ptr(mem, 4 * GIB - 1, 1));
	assert_non_null(mem_ptr(mem, 4 * GIB, 2 * GIB));
	assert_null(mem_ptr(mem, 6 * GIB, 1));
	assert_int_equal(fake_kvm_slots(), 2);
	rig_free(vm);
}

/* The line of /proc/self/smaps that begins with @key of the mapping at @hva. */
static void smaps_line(const void *hva, const char *key, char *buf, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	bool here = false;
	char line[512];

	assert_non_null(f);
	buf[0] = '\0';
	while (fgets(line, sizeof(line), f) && !buf[0]) {
		unsigned long long lo, hi;

		if (sscanf(line, "%llx-%llx ", &lo, &hi) == 2)
			here = lo <= (uintptr_t)hva && (uintptr_t)hva < hi;
		if (here && !strncmp(line, key, strlen(key)))
			snprintf(buf, size, "%s", line);
	}
	fclose(f);
}

static bool vm_flag(const void *hva, const char *flag)
{
	char line[512];

	smaps_line(hva, "VmFlags:", line, sizeof(line));
	return strstr(line, flag);
}

static void test_ram_is_private_and_asks_for_huge_pages(void **state)
{
	struct vm *vm = rig_new(5 * GIB + MIB);
	struct mem *mem = &vm->mem;
	unsigned int i;

	(void)state;
	assert_int_equal(mem->memfd, -1);
	for (i = 0; i < 2; i++) {
		const struct mem_bank *bank = &mem->banks[i];

		/* Guest and host addresses agree below 2 MiB, and the tail has a whole huge page. */
		assert_int_equal(((uintptr_t)bank->hva ^ bank->gpa) & (2 * MIB - 1), 0);
		assert_int_equal(bank->map_size % (2 * MIB), 0);
		assert_true(bank->map_size >= bank->size);
		assert_false(vm_flag(bank->hva, " sh "));
		assert_true(vm_flag(bank->hva, " dc ")); /* MADV_DONTFORK */
		if (!access("/sys/kernel/mm/transparent_hugepage", F_OK))
			assert_true(vm_flag((uint8_t *)bank->hva + bank->size - 1, " hg "));
	}
	assert_int_equal(mem->banks[1].size, 2 * GIB + MIB);
	rig_free(vm);
}

static void test_shared_ram_is_one_file(void **state)
{
	struct err err = { 0 };
	struct vm vm = { .fd = FAKE_KVM_VM_FD, .config.ram.share = true };
	struct mem mem;
	uint8_t at_gpa[2] = { 0x5a, 0xa5 }, back = 0;
	unsigned int i;

	(void)state;
	fake_kvm_reset();
	assert_int_equal(mem_init(&mem, &vm, 4 * GIB, &err), 0);
	assert_true(mem.memfd >= 0);
	assert_int_equal(mem_write(&mem, 0x1000, &at_gpa[0], 1), 0);
	assert_int_equal(mem_write(&mem, 4 * GIB + 0x2000, &at_gpa[1], 1), 0);
	for (i = 0; i < 2; i++) {
		off_t at = (off_t)(mem.banks[i].fd_offset + (i + 1ull) * 0x1000);

		assert_int_equal(pread(mem.memfd, &back, 1, at), 1);
		assert_int_equal(back, at_gpa[i]);
		assert_true(vm_flag(mem.banks[i].hva, " sh "));
	}
	mem_done(&mem);
	assert_int_equal(mem.memfd, -1);
}

static uint64_t resident(const void *hva, uint64_t size)
{
	uint64_t pages = size / 4096, i, n = 0;
	unsigned char *seen = malloc(pages);

	assert_non_null(seen);
	assert_int_equal(mincore((void *)hva, size, seen), 0);
	for (i = 0; i < pages; i++)
		n += seen[i] & 1;
	free(seen);
	return n * 4096;
}

static int nothing_to_map(void *opaque, iova_t iova, uint64_t size, void *hva, bool ram,
			  struct err *err)
{
	(void)iova;
	(void)ram;
	(void)err;
	/* All of it is there before the map. */
	*(bool *)opaque = resident(hva, size) == size;
	return 0;
}

static void nothing_to_unmap(void *opaque, iova_t iova, uint64_t size)
{
	(void)opaque;
	(void)iova;
	(void)size;
}

static void test_ram_is_populated_for_a_device_or_when_asked(void **state)
{
	struct err err = { 0 };
	struct vm vm = { .fd = FAKE_KVM_VM_FD };
	bool all = false;
	struct mem_listener l = { .map = nothing_to_map, .unmap = nothing_to_unmap,
				  .opaque = &all };
	struct mem mem;
	uint8_t kept = 0x5a;

	(void)state;
	fake_kvm_reset();
	assert_int_equal(mem_init(&mem, &vm, 16 * MIB, &err), 0);
	assert_int_equal(resident(mem.banks[0].hva, 16 * MIB), 0);
	assert_int_equal(mem_write(&mem, 0x1000, &kept, 1), 0);
	assert_int_equal(mem_listener_add(&mem, &l, &err), 0);
	assert_true(all);
	kept = 0;
	assert_int_equal(mem_read(&mem, 0x1000, &kept, 1), 0);
	assert_int_equal(kept, 0x5a);
	mem_listener_del(&mem, &l);
	mem_done(&mem);

	vm.config.ram.populate_set = true; /* off */
	assert_int_equal(mem_init(&mem, &vm, 16 * MIB, &err), 0);
	assert_int_equal(mem_listener_add(&mem, &l, &err), 0);
	assert_false(all);
	mem_listener_del(&mem, &l);
	mem_done(&mem);

	vm.config.ram.populate = true;
	assert_int_equal(mem_init(&mem, &vm, 16 * MIB, &err), 0);
	assert_int_equal(resident(mem.banks[0].hva, 16 * MIB), 16 * MIB);
	mem_done(&mem);
	/* A plan shows memory and takes none. */
	vm.config.plan = true;
	assert_int_equal(mem_init(&mem, &vm, 16 * MIB, &err), 0);
	assert_int_equal(resident(mem.banks[0].hva, 16 * MIB), 0);
	mem_done(&mem);
}

/* Several chunks and several threads; banks whose sizes are no multiple of a chunk. */
static void test_every_part_of_every_bank_is_populated(void **state)
{
	static const uint64_t sizes[] = { 258 * MIB, 2 * MIB, 256 * MIB };
	struct vm vm = { .fd = -1 };
	struct mem mem = { .vm = &vm };
	struct err err = { 0 };
	unsigned int i, n;

	(void)state;
	for (n = 0; n < 2; n++) {
		mem.populated = false;
		mem.bank_count = MEM_BANKS_MAX;
		for (i = 0; i < MEM_BANKS_MAX; i++) {
			mem.banks[i].size = mem.banks[i].map_size = sizes[n + i];
			mem.banks[i].hva = mmap(NULL, sizes[n + i], PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			assert_ptr_not_equal(mem.banks[i].hva, MAP_FAILED);
		}
		assert_int_equal(mem_populate(&mem, &err), 0);
		for (i = 0; i < MEM_BANKS_MAX; i++) {
			assert_int_equal(resident(mem.banks[i].hva, sizes[n + i]), sizes[n + i]);
			munmap(mem.banks[i].hva, sizes[n + i]);
		}
	}
	/* What is not there cannot be populated, and the guest is told so. */
	mem.populated = false;
	mem.banks[0].hva = NULL;
	mem.banks[0].map_size = 64 * KIB;
	mem.bank_count = 1;
	assert_int_equal(mem_populate(&mem, &err), -ENOMEM);
	assert_non_null(strstr(err.msg, "the host has not"));
	assert_false(mem.populated);
}

static void test_pages_of_a_pool_are_reserved_or_refused(void **state)
{
	struct err err = { 0 };
	struct vm vm = { .fd = FAKE_KVM_VM_FD,
			 .config.ram = { .page_size = GIB, .populate_set = true } };
	struct mem mem;
	int ret;

	(void)state;
	if (access("/sys/kernel/mm/hugepages/hugepages-1048576kB", F_OK)) {
		print_message("this machine has no pages of 1 GiB\n");
		skip();
	}
	fake_kvm_reset();
	/* More than any pool of a machine that runs tests. */
	ret = mem_init(&mem, &vm, 1024 * GIB, &err);
	assert_int_equal(ret, -ENOMEM);
	assert_non_null(strstr(err.msg, "guest memory takes 1024 pages of 1 GiB"));
	vm.config.ram.share = true;
	assert_int_equal(mem_init(&mem, &vm, 1024 * GIB, &err), -ENOMEM);
	assert_non_null(strstr(err.msg, "guest memory takes 1024 pages of 1 GiB"));
}

static void test_small_pages_when_asked(void **state)
{
	struct err err = { 0 };
	struct vm vm = { .fd = FAKE_KVM_VM_FD, .config.ram.page_size = 4096 };
	struct mem mem;

	(void)state;
	fake_kvm_reset();
	assert_int_equal(mem_init(&mem, &vm, 16 * MIB, &err), 0);
	assert_false(vm_flag(mem.banks[0].hva, " hg "));
	if (!access("/sys/kernel/mm/transparent_hugepage", F_OK))
		assert_true(vm_flag(mem.banks[0].hva, " nh "));
	mem_done(&mem);
}

static void test_memory_comes_from_the_node_that_is_named(void **state)
{
	struct err err = { 0 };
	struct vm vm = { .fd = FAKE_KVM_VM_FD, .config.ram = { .bind = true } };
	struct mem mem;
	bool bound = false;
	char line[512], at[32];
	FILE *f;
	int ret;

	(void)state;
	fake_kvm_reset();
	ret = mem_init(&mem, &vm, 16 * MIB, &err);
	if (ret == -ENOSYS) {
		print_message("this machine's kernel knows no NUMA nodes\n");
		skip();
	}
	assert_int_equal(ret, 0);
	f = fopen("/proc/self/numa_maps", "re");
	snprintf(at, sizeof(at), "%llx bind:0", (unsigned long long)(uintptr_t)mem.banks[0].hva);
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		bound = bound || strstr(line, at);
	fclose(f);
	assert_true(bound);
	mem_done(&mem);
	vm.config.ram.node = 1023;
	assert_int_equal(mem_init(&mem, &vm, 16 * MIB, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "node=1023: not a node"));
	vm.config.ram.node = 1024;
	assert_int_equal(mem_init(&mem, &vm, 16 * MIB, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "node=1024: not a node"));
}

static void test_every_failing_slot_leaves_nothing(void **state)
{
	unsigned int nth;

	(void)state;
	for (nth = 1; nth <= 2; nth++) {
		struct vm vm = { .fd = FAKE_KVM_VM_FD, .kvm_fd = FAKE_KVM_FD };
		struct err err = { 0 };
		struct mem mem;

		fake_kvm_reset();
		fake_kvm_fail(KVM_SET_USER_MEMORY_REGION, nth, ENOMEM);
		assert_int_equal(mem_init(&mem, &vm, 5 * GIB, &err), -ENOMEM);
		assert_non_null(strstr(err.msg, "guest memory"));
	}
}

/* What an IOMMU would hold. */
struct iommu_log {
	unsigned int maps, unmaps, live;
	iova_t last;
	int fail;
};

static int log_map(void *opaque, iova_t iova, uint64_t size, void *hva, bool ram, struct err *err)
{
	struct iommu_log *log = opaque;

	(void)size;
	(void)hva;
	(void)ram;
	log->maps++;
	if (log->fail && --log->fail == 0)
		return err_set(err, -ENOMEM, "full");
	log->live++;
	log->last = iova;
	return 0;
}

static void log_unmap(void *opaque, iova_t iova, uint64_t size)
{
	struct iommu_log *log = opaque;

	(void)iova;
	(void)size;
	log->unmaps++;
	log->live--;
}

static void test_a_bar_stays_mapped_for_dma_while_its_decode_is_off(void **state)
{
	struct vm *vm = rig_new(4 * MIB);
	struct iommu_log log = { 0 };
	struct mem_listener l = { .map = log_map, .unmap = log_unmap, .opaque = &log };
	struct mem_part part = { .size = 4096, .dma = true }, other = part;
	struct err err = { 0 };

	(void)state;
	part.hva = other.hva = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(mem_listener_add(&vm->mem, &l, &err), 0);
	assert_int_equal(log.maps, 1);
	assert_int_equal(mem_part_map(&vm->mem, &part, 0xc0000000, &err), 0);
	mem_part_unmap(&vm->mem, &part);
	assert_null(fake_kvm_slot(0xc0000000));
	assert_int_equal(mem_part_map(&vm->mem, &part, 0xc0000000, &err), 0);
	assert_non_null(fake_kvm_slot(0xc0000000));
	assert_int_equal(log.maps, 2);
	assert_int_equal(log.unmaps, 0);
	/* It moves: the old mapping goes. */
	mem_part_unmap(&vm->mem, &part);
	assert_int_equal(mem_part_map(&vm->mem, &part, 0xc0010000, &err), 0);
	assert_int_equal(log.unmaps, 1);
	assert_int_equal(log.live, 2);
	/* Another takes the addresses of one that is switched off. */
	mem_part_unmap(&vm->mem, &part);
	assert_int_equal(mem_part_map(&vm->mem, &other, 0xc0010000, &err), 0);
	assert_int_equal(log.live, 2);
	mem_part_forget(&vm->mem, &part);
	mem_part_forget(&vm->mem, &other);
	assert_int_equal(log.live, 1);
	mem_listener_del(&vm->mem, &l);
	assert_int_equal(log.live, 0);
	munmap(part.hva, 4096);
	rig_free(vm);
}

static void test_a_failing_dma_map_of_ram_takes_the_others_back(void **state)
{
	struct vm *vm = rig_new(5 * GIB);
	struct iommu_log log = { .fail = 2 };
	struct mem_listener l = { .map = log_map, .unmap = log_unmap, .opaque = &log };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(mem_listener_add(&vm->mem, &l, &err), -ENOMEM);
	assert_int_equal(log.live, 0);
	assert_null(vm->mem.listeners);
	rig_free(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accessors_check_the_whole_span),
		cmocka_unit_test(test_ram_beyond_the_hole_is_a_second_bank),
		cmocka_unit_test(test_ram_is_private_and_asks_for_huge_pages),
		cmocka_unit_test(test_shared_ram_is_one_file),
		cmocka_unit_test(test_ram_is_populated_for_a_device_or_when_asked),
		cmocka_unit_test(test_every_part_of_every_bank_is_populated),
		cmocka_unit_test(test_pages_of_a_pool_are_reserved_or_refused),
		cmocka_unit_test(test_small_pages_when_asked),
		cmocka_unit_test(test_memory_comes_from_the_node_that_is_named),
		cmocka_unit_test(test_every_failing_slot_leaves_nothing),
		cmocka_unit_test(test_a_bar_stays_mapped_for_dma_while_its_decode_is_off),
		cmocka_unit_test(test_a_failing_dma_map_of_ram_takes_the_others_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
