// SPDX-License-Identifier: GPL-2.0-or-later
/* Which host CPUs a vCPU may run on: what is read, what is refused. */
#include <errno.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/err.h"
#include "vmm/vcpu_pin.h"
#include "vmm/vm.h"

static void refused(const char *list, unsigned int vcpus, const char *word)
{
	struct err err = { 0 };

	if (vcpu_pin_check(list, vcpus, &err) != -EINVAL || !strstr(err.msg, word))
		fail_msg("%s: wanted \"%s\": %s", list, word, err.msg);
}

static void test_sets_for_each_or_one_for_all(void **state)
{
	const char *list = "0-2:5:1+3-4+9";
	cpu_set_t set;

	(void)state;
	vcpu_pin_set(list, 0, &set);
	assert_int_equal(CPU_COUNT(&set), 3);
	assert_true(CPU_ISSET(0, &set) && CPU_ISSET(1, &set) && CPU_ISSET(2, &set));
	vcpu_pin_set(list, 1, &set);
	assert_int_equal(CPU_COUNT(&set), 1);
	assert_true(CPU_ISSET(5, &set));
	vcpu_pin_set(list, 2, &set);
	assert_int_equal(CPU_COUNT(&set), 4);
	assert_true(CPU_ISSET(1, &set) && CPU_ISSET(3, &set) && CPU_ISSET(4, &set) &&
		    CPU_ISSET(9, &set));
	vcpu_pin_set("7", 3, &set);
	assert_int_equal(CPU_COUNT(&set), 1);
	assert_true(CPU_ISSET(7, &set));
}

/* On one CPU alone, whatever the machine has, so that the words are known. */
static void test_what_cannot_be_is_refused(void **state)
{
	cpu_set_t old, one;
	char first[16], all[64];
	struct err err = { 0 };
	int cpu = 0;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(old), &old), 0);
	while (!CPU_ISSET(cpu, &old))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	snprintf(first, sizeof(first), "%d", cpu);
	snprintf(all, sizeof(all), "%d:%d-%d:%d+%d", cpu, cpu, cpu, cpu, cpu);
	assert_int_equal(vcpu_pin_check(first, 4, &err), 0);
	assert_int_equal(vcpu_pin_check(all, 3, &err), 0);
	refused(all, 2, "3 sets for 2 vCPUs");
	refused(all, 1, "3 sets for 1 vCPU;");
	snprintf(all, sizeof(all), "%d:%d", cpu, cpu + 1);
	refused(all, 2, "is not this process's; it may run on");
	snprintf(all, sizeof(all), "may run on %d", cpu);
	refused("1022-1023", 1, all);
	refused("99999999999999999999", 1, "CPU 1024 or above");
	refused("", 1, "it takes a set");
	refused(":", 1, "it takes a set");
	snprintf(all, sizeof(all), "%d:", cpu);
	refused(all, 1, "it takes a set");
	snprintf(all, sizeof(all), "%d+", cpu);
	refused(all, 1, "it takes a set");
	snprintf(all, sizeof(all), "%d-", cpu);
	refused(all, 1, "it takes a set");
	refused("3-1", 1, "it takes a set");
	refused("-1", 1, "it takes a set");
	refused("0x1", 1, "it takes a set");
	assert_int_equal(sched_setaffinity(0, sizeof(old), &old), 0);
}

/* The threads themselves: they stand still from the start, so no KVM is asked. */
static void test_threads_are_where_they_were_pinned(void **state)
{
	struct kvm_run run[2] = { 0 };
	struct vcpu vcpus[2] = { { .run = &run[0] }, { .run = &run[1], .index = 1 } };
	struct vm vm = { .vcpus = vcpus, .vcpu_count = 2 };
	struct err err = { 0 };
	cpu_set_t mine, set;
	int cpu[2] = { 0 };
	char list[32];
	unsigned int i;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(mine), &mine), 0);
	while (!CPU_ISSET(cpu[0], &mine))
		cpu[0]++;
	for (cpu[1] = CPU_SETSIZE - 1; !CPU_ISSET(cpu[1], &mine); cpu[1]--)
		;
	snprintf(list, sizeof(list), "%d:%d", cpu[1], cpu[0]);
	vm.config.pin = list;
	assert_int_equal(vcpu_pin_check(list, 2, &err), 0);
	pthread_mutex_init(&vm.run_lock, NULL);
	pthread_cond_init(&vm.run_cond, NULL);
	atomic_store(&vm.stop_wanted, true);
	vcpus[0].vm = vcpus[1].vm = &vm;
	assert_int_equal(vcpus_start(&vm, &err), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(pthread_getaffinity_np(vcpus[i].thread, sizeof(set), &set), 0);
		assert_int_equal(CPU_COUNT(&set), 1);
		assert_true(CPU_ISSET(cpu[1 - i], &set));
	}
	vcpus_join(&vm);
	if (cpu[0] == cpu[1])
		print_message("this machine has one CPU: pinned to it or not is the same\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sets_for_each_or_one_for_all),
		cmocka_unit_test(test_what_cannot_be_is_refused),
		cmocka_unit_test(test_threads_are_where_they_were_pinned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
