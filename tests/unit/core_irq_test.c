// SPDX-License-Identifier: GPL-2.0-or-later
/* Message vectors and lines against a KVM that counts. */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/io.h"
#include "core_rig.h"

#define ADDR 0xfee00000u

static void set(struct msi_vector *v, struct vm *vm, uint32_t data, bool masked)
{
	struct err err = { 0 };

	if (msi_vector_set(v, vm, ADDR, data, masked, &err))
		fail_msg("%s", err.msg);
}

static void test_n_vectors_cost_one_commit_and_n_irqfds(void **state)
{
	static const unsigned int counts[] = { 1, 2, 64, 300 };
	size_t c;

	(void)state;
	for (c = 0; c < ARRAY_SIZE(counts); c++) {
		struct vm *vm = rig_new(MIB);
		struct msi_vector *v = test_calloc(counts[c], sizeof(*v));
		unsigned int i;

		for (i = 0; i < counts[c]; i++) {
			set(&v[i], vm, 0x20 + i, true);
			set(&v[i], vm, 0x20 + i, false);
		}
		assert_int_equal(fake_kvm_count(KVM_SET_GSI_ROUTING), 0);
		irqs_flush(&vm->irqs);
		irqs_flush(&vm->irqs);
		assert_int_equal(fake_kvm_count(KVM_SET_GSI_ROUTING), 1);
		assert_int_equal(fake_kvm_count(KVM_IRQFD), counts[c]);
		for (i = 0; i < counts[c]; i++) {
			int gsi = fake_kvm_irqfd(msi_vector_fd(&v[i]));

			assert_true(gsi >= 24);
			assert_int_equal(fake_kvm_route((unsigned int)gsi)->data, 0x20 + i);
			msi_vector_done(&v[i]);
		}
		assert_int_equal(fake_kvm_irqfds(), 0);
		test_free(v);
		rig_free(vm);
	}
}

static void test_masking_takes_the_irqfd_and_keeps_the_route(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct msi_vector v = { 0 };

	(void)state;
	set(&v, vm, 0x41, false);
	irqs_flush(&vm->irqs);
	set(&v, vm, 0x41, true);
	assert_int_equal(fake_kvm_irqfds(), 0);
	assert_false(msi_vector_pending(&v));
	msi_vector_fire(&v);
	assert_true(msi_vector_pending(&v));
	set(&v, vm, 0x41, false);
	/* Attached again at once, the count still in the eventfd, no second commit. */
	assert_int_equal(fake_kvm_irqfds(), 1);
	assert_int_equal(io_eventfd_drain(msi_vector_fd(&v)), 1);
	assert_int_equal(vm->irqs.commits, 1);
	msi_vector_done(&v);
	rig_free(vm);
}

static void test_a_new_address_is_one_more_commit(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct msi_vector v = { 0 };
	int gsi;

	(void)state;
	set(&v, vm, 0x41, false);
	irqs_flush(&vm->irqs);
	set(&v, vm, 0x41, true);
	set(&v, vm, 0x52, true);
	assert_false(vm->irqs.dirty);
	set(&v, vm, 0x52, false);
	assert_true(vm->irqs.dirty);
	irqs_flush(&vm->irqs);
	gsi = fake_kvm_irqfd(msi_vector_fd(&v));
	assert_int_equal(fake_kvm_route((unsigned int)gsi)->data, 0x52);
	assert_int_equal(vm->irqs.commits, 2);
	msi_vector_done(&v);
	rig_free(vm);
}

static void test_masked_vectors_never_touch_kvm(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct msi_vector v[64] = { 0 };
	unsigned int i, before = fake_kvm_count(0);

	(void)state;
	for (i = 0; i < ARRAY_SIZE(v); i++)
		set(&v[i], vm, i, true);
	assert_int_equal(fake_kvm_count(0), before);
	for (i = 0; i < ARRAY_SIZE(v); i++)
		assert_int_equal(msi_vector_fd(&v[i]), -1);
	msi_vector_fire(&v[3]);
	assert_true(msi_vector_pending(&v[3]));
	for (i = 0; i < ARRAY_SIZE(v); i++)
		msi_vector_done(&v[i]);
	rig_free(vm);
}

static void test_routes_run_out_and_come_back(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct msi_vector v[8] = { 0 };
	struct err err = { 0 };
	unsigned int i, round;

	(void)state;
	vm->irqs.gsi_max = 24 + 4;
	for (round = 0; round < 1000; round++) {
		for (i = 0; i < 4; i++)
			set(&v[i], vm, i, false);
		assert_int_equal(msi_vector_set(&v[4], vm, ADDR, 9, false, &err), -ENOSPC);
		assert_non_null(strstr(err.msg, "no interrupt route left"));
		irqs_flush(&vm->irqs);
		assert_int_equal(fake_kvm_irqfds(), 4);
		for (i = 0; i < 5; i++)
			msi_vector_done(&v[i]);
	}
	assert_int_equal(fake_kvm_irqfds(), 0);
	rig_free(vm);
}

static void test_no_descriptor_left_is_an_error_not_a_crash(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct rlimit old, low;
	struct msi_vector v = { 0 };
	struct err err = { 0 };

	(void)state;
	getrlimit(RLIMIT_NOFILE, &old);
	low = (struct rlimit){ .rlim_cur = 0, .rlim_max = old.rlim_max };
	setrlimit(RLIMIT_NOFILE, &low);
	assert_int_equal(msi_vector_set(&v, vm, ADDR, 1, false, &err), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &old);
	set(&v, vm, 1, false);
	irqs_flush(&vm->irqs);
	assert_int_equal(fake_kvm_irqfds(), 1);
	msi_vector_done(&v);
	rig_free(vm);
}

static void test_a_refused_irqfd_leaves_the_vector_silent(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct msi_vector v = { 0 };

	(void)state;
	set(&v, vm, 1, false);
	fake_kvm_fail(KVM_IRQFD, 1, EBUSY);
	irqs_flush(&vm->irqs);
	assert_false(v.attached);
	set(&v, vm, 1, true);
	set(&v, vm, 1, false);
	assert_true(v.attached);
	msi_vector_done(&v);
	rig_free(vm);
}

static void stop(void *opaque)
{
	loop_stop(((struct vm *)opaque)->loop);
}

static void test_an_emulated_line_is_asserted_again_until_it_is_served(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct irq_line line;
	struct err err = { 0 };
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	(void)state;
	assert_int_equal(irq_line_init(&line, vm, 17, &err), 0);
	assert_int_equal(irq_line_attach(&line, true, &lock, &err), 0);
	assert_int_equal(fake_kvm_irqfd(line.trigger), 17);
	assert_int_equal(fake_kvm_resample(line.trigger), line.resample);
	irq_line_set(&line, true);
	irq_line_set(&line, true);
	assert_int_equal(io_eventfd_drain(line.trigger), 1);
	io_eventfd_signal(line.resample); /* the guest's EOI */
	loop_post(vm->loop, stop, vm);
	loop_run(vm->loop, &err);
	assert_int_equal(io_eventfd_drain(line.trigger), 1);
	irq_line_set(&line, false);
	irq_line_done(&line);
	assert_int_equal(fake_kvm_irqfds(), 0);
	rig_free(vm);
}

static void test_the_burst_ends_by_itself(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct msi_vector v = { 0 };
	struct loop_timer *timer;
	struct err err = { 0 };

	(void)state;
	set(&v, vm, 1, false);
	assert_int_equal(loop_timer_new(vm->loop, NULL, stop, vm, &timer, &err), 0);
	loop_timer_set(timer, 50000000);
	loop_run(vm->loop, &err);
	assert_int_equal(vm->irqs.commits, 1);
	assert_int_equal(fake_kvm_irqfds(), 1);
	loop_timer_del(timer);
	msi_vector_done(&v);
	rig_free(vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_n_vectors_cost_one_commit_and_n_irqfds),
		cmocka_unit_test(test_masking_takes_the_irqfd_and_keeps_the_route),
		cmocka_unit_test(test_a_new_address_is_one_more_commit),
		cmocka_unit_test(test_masked_vectors_never_touch_kvm),
		cmocka_unit_test(test_routes_run_out_and_come_back),
		cmocka_unit_test(test_no_descriptor_left_is_an_error_not_a_crash),
		cmocka_unit_test(test_a_refused_irqfd_leaves_the_vector_silent),
		cmocka_unit_test(test_an_emulated_line_is_asserted_again_until_it_is_served),
		cmocka_unit_test(test_the_burst_ends_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
