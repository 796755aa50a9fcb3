// SPDX-License-Identifier: GPL-2.0-or-later
/* Message vectors and lines against a KVM that counts. */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

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
	msi_vector_fire(&v);
	set(&v, vm, 0x41, false);
	/* Attached again at once and delivered, as one message; no second commit. */
	assert_int_equal(fake_kvm_irqfds(), 1);
	assert_false(msi_vector_pending(&v));
	assert_int_equal(fake_kvm_messages(0x41), 1);
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

/* In a process of its own, for a limit once lowered stays so. */
static bool no_descriptor_left(void)
{
	struct vm *vm = rig_new(MIB);
	struct rlimit old, low;
	struct msi_vector v = { 0 };
	struct err err = { 0 };

	getrlimit(RLIMIT_NOFILE, &old);
	low = (struct rlimit){ .rlim_cur = 0, .rlim_max = 0 };
	setrlimit(RLIMIT_NOFILE, &low);
	return msi_vector_set(&v, vm, ADDR, 1, false, &err) == -EMFILE &&
	       !strcmp(err.msg, "no descriptor left; raise the limit (ulimit -n)") &&
	       msi_vector_fd(&v) < 0 && !v.gsi;
}

static void test_no_descriptor_left_is_an_error_not_a_crash(void **state)
{
	int status;
	pid_t child = fork();

	(void)state;
	if (!child)
		_exit(no_descriptor_left() ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* The soft limit is not the last word. */
static void test_a_soft_limit_is_raised(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct rlimit old, low;
	struct msi_vector v = { 0 };

	(void)state;
	getrlimit(RLIMIT_NOFILE, &old);
	low = (struct rlimit){ .rlim_cur = 0, .rlim_max = old.rlim_max };
	setrlimit(RLIMIT_NOFILE, &low);
	set(&v, vm, 1, false);
	getrlimit(RLIMIT_NOFILE, &low);
	assert_int_equal(low.rlim_cur, old.rlim_max);
	setrlimit(RLIMIT_NOFILE, &old);
	irqs_flush(&vm->irqs);
	assert_int_equal(fake_kvm_irqfds(), 1);
	msi_vector_done(&v);
	rig_free(vm);
}

static void test_the_table_holds_what_was_promised(void **state)
{
	struct vm *vm = rig_new(MIB);
	unsigned int i, all = vm->irqs.gsi_max - 24;
	struct msi_vector *v = test_calloc(all, sizeof(*v));
	struct err err = { 0 };

	(void)state;
	/* 4096 entries (KVM_CAP_IRQ_ROUTING), 40 of which are the pins'. */
	assert_int_equal(all, 4056);
	assert_int_equal(irqs_promise(&vm->irqs, 4000, &err), 0);
	assert_int_equal(irqs_promise(&vm->irqs, 57, &err), -ENOSPC);
	assert_string_equal(err.msg,
			    "its 57 interrupt vectors do not fit: KVM has 4056 routes for "
			    "messages, 4000 of them are the other devices'; give the guest "
			    "fewer devices, or a function fewer vectors (vfio-pci: vectors=N)");
	assert_int_equal(irqs_promise(&vm->irqs, 56, &err), 0);
	assert_int_equal(irqs_promise(&vm->irqs, UINT32_MAX, &err), -ENOSPC);
	for (i = 0; i < all; i++)
		set(&v[i], vm, i, false);
	irqs_flush(&vm->irqs);
	assert_false(vm->irqs.dirty);
	assert_int_equal(fake_kvm_irqfds(), all);
	for (i = 0; i < all; i++)
		msi_vector_done(&v[i]);
	irqs_release(&vm->irqs, 4056);
	assert_int_equal(vm->irqs.promised, 0);
	test_free(v);
	rig_free(vm);
}

/* A write to it would be DMA on hardware: no interrupt comes of it, and none is lost later. */
static void test_an_address_that_is_no_interrupts(void **state)
{
	static const uint64_t bad[] = {
		0, 0x1000, 0xfed00000, 0xfef00000, 0x1fee00000, UINT64_MAX
	};
	struct vm *vm = rig_new(MIB);
	struct msi_vector v = { 0 };
	struct err err = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(msi_vector_set(&v, vm, bad[i], 7, false, &err), -EADDRNOTAVAIL);
		assert_non_null(strstr(err.msg, "is no interrupt's"));
		assert_false(vm->irqs.dirty);
		set(&v, vm, 7, false);
		irqs_flush(&vm->irqs);
		assert_int_equal(fake_kvm_irqfds(), 1);
	}
	assert_int_equal(msi_vector_set(&v, vm, bad[1], 7, false, &err), -EADDRNOTAVAIL);
	assert_int_equal(fake_kvm_irqfds(), 0);
	msi_vector_fire(&v);
	assert_false(msi_vector_pending(&v));
	assert_int_equal(fake_kvm_messages(7), 0);
	msi_vector_done(&v);
	rig_free(vm);
}

static unsigned int random_next(unsigned int *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}

/* Whatever the guest does in between, each message arrives once, or joins one that waits. */
static void test_no_message_is_lost_or_doubled(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct msi_vector v = { 0 };
	unsigned int seed = 7, step, fired = 0, got = 0, data = 0x100;
	bool masked = false, pending;

	(void)state;
	set(&v, vm, data, masked);
	for (step = 0; step < 20000; step++) {
		switch (random_next(&seed) % 5) {
		case 0:
			masked = !masked;
			break;
		case 1:
			data = 0x100 + random_next(&seed) % 3;
			break;
		case 2:
			irqs_flush(&vm->irqs);
			break;
		default:
			for (unsigned int i = got = 0; i < 3; i++)
				got += fake_kvm_messages(0x100 + i);
			pending = got < fired;
			assert_int_equal(fired - got, pending);
			assert_int_equal(msi_vector_pending(&v), pending && masked);
			/* Attached and unmasked, nothing waits. */
			assert_false(pending && v.attached);
			msi_vector_fire(&v);
			fired += !pending;
			break;
		}
		set(&v, vm, data, masked);
		assert_true(fake_kvm_irqfds() <= !masked);
	}
	set(&v, vm, 0x100, false);
	irqs_flush(&vm->irqs);
	for (unsigned int i = got = 0; i < 3; i++)
		got += fake_kvm_messages(0x100 + i);
	assert_int_equal(got, fired);
	assert_true(fired > 1000);
	msi_vector_done(&v);
	rig_free(vm);
}

static void test_a_million_unmasks_take_nothing(void **state)
{
	struct vm *vm = rig_new(MIB);
	struct msi_vector v = { 0 };
	unsigned int i;
	int fd;

	(void)state;
	set(&v, vm, 1, false);
	irqs_flush(&vm->irqs);
	fd = msi_vector_fd(&v);
	for (i = 0; i < 1000000; i++)
		set(&v, vm, 1, !(i & 1));
	assert_int_equal(vm->irqs.commits, 1);
	/* With a new message each time they all wait for the same commit. */
	for (i = 0; i < 1000000; i++)
		set(&v, vm, i & 0xff, false);
	assert_true(vm->irqs.dirty);
	assert_int_equal(vm->irqs.commits, 1);
	assert_int_equal(msi_vector_fd(&v), fd);
	assert_int_equal(vm->irqs.gsi_top, 1);
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

#define QUIET_MS 700ull

/* A guest that does a step each time the loop has been idle for @gap, then ends. */
struct steps {
	struct vm *vm;
	struct msi_vector v[64];
	unsigned int at, count;
	uint64_t gap, rest;
	void (*step)(struct steps *s, unsigned int at);
	struct loop_timer *timer;
};

static void steps_next(void *opaque)
{
	struct steps *s = opaque;

	if (s->at > s->count) {
		loop_stop(s->vm->loop);
		return;
	}
	if (s->at < s->count)
		s->step(s, s->at);
	s->at++;
	loop_timer_set(s->timer, s->at > s->count ? s->rest : s->gap);
}

/* However late the timer is seen, what was ready before it has been handled by then. */
static void steps_due(void *opaque)
{
	struct steps *s = opaque;

	loop_post(s->vm->loop, steps_next, s);
}

static void steps_run(struct steps *s, unsigned int count, uint64_t gap_ms, uint64_t rest_ms,
		      void (*step)(struct steps *s, unsigned int at))
{
	struct err err = { 0 };

	s->count = count;
	s->gap = gap_ms * 1000000;
	s->rest = rest_ms * 1000000;
	s->step = step;
	s->vm->irqs.quiet_ns = QUIET_MS * 1000000ull; /* a machine that stands still is no quiet guest */
	assert_int_equal(loop_timer_new(s->vm->loop, NULL, steps_due, s, &s->timer, &err), 0);
	loop_timer_set(s->timer, 1);
	assert_int_equal(loop_run(s->vm->loop, &err), 0);
	loop_timer_del(s->timer);
}

static void steps_done(struct steps *s)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(s->v); i++)
		msi_vector_done(&s->v[i]);
	assert_int_equal(fake_kvm_irqfds(), 0);
	rig_free(s->vm);
}

static void unmask_one(struct steps *s, unsigned int at)
{
	set(&s->v[at], s->vm, 0x20 + at, false);
	/* What the one before sent has arrived, route or not. */
	if (at)
		assert_int_equal(fake_kvm_messages(0x20 + at - 1), 1);
	msi_vector_fire(&s->v[at]);
}

/* As Linux's nvme does: a vector, commands to the device, the next vector. */
static void test_a_slow_guest_costs_two_commits(void **state)
{
	struct steps s = { .vm = rig_new(MIB) };
	unsigned int i;

	(void)state;
	steps_run(&s, 64, 4, 2 * QUIET_MS, unmask_one);
	assert_int_equal(s.vm->irqs.commits, 2);
	assert_int_equal(fake_kvm_irqfds(), 64);
	for (i = 0; i < 64; i++) {
		assert_false(s.v[i].relayed);
		assert_int_equal(fake_kvm_messages(0x20 + i), 1);
	}
	steps_done(&s);
}

static void unmask_two_and_fire(struct steps *s, unsigned int at)
{
	if (at == 0 || at == 2)
		set(&s->v[at / 2], s->vm, at / 2, false);
	if (at > 2) {
		if (at == 10)
			assert_true(s->v[1].relayed);
		assert_int_equal(fake_kvm_messages(1), at - 3);
		msi_vector_fire(&s->v[1]);
	}
}

/* A vector that works does not wait for the guest to be quiet. */
static void test_a_busy_vector_ends_the_burst(void **state)
{
	struct steps s = { .vm = rig_new(MIB) };

	(void)state;
	steps_run(&s, 50, 1, 1, unmask_two_and_fire);
	assert_true(s.v[1].attached);
	assert_int_equal(fake_kvm_messages(1), 47);
	assert_int_equal(fake_kvm_count(KVM_SIGNAL_MSI), 16);
	assert_int_equal(s.vm->irqs.commits, 2);
	steps_done(&s);
}

static void mask_while_relayed(struct steps *s, unsigned int at)
{
	if (at == 0 || at == 2)
		set(&s->v[at / 2], s->vm, at / 2, false);
	if (at == 3) {
		assert_true(s->v[1].relayed);
		set(&s->v[1], s->vm, 1, true);
		msi_vector_fire(&s->v[1]);
	}
	if (at == 8) {
		assert_int_equal(fake_kvm_messages(1), 0);
		assert_true(msi_vector_pending(&s->v[1]));
		set(&s->v[1], s->vm, 9, false);
	}
	if (at == 12) {
		assert_int_equal(fake_kvm_messages(9), 1);
		/* Gone while it is watched. */
		msi_vector_done(&s->v[1]);
	}
}

static void test_a_relayed_vector_can_be_masked_and_go(void **state)
{
	struct steps s = { .vm = rig_new(MIB) };

	(void)state;
	steps_run(&s, 20, 1, 200, mask_while_relayed);
	assert_int_equal(fake_kvm_irqfds(), 1);
	assert_int_equal(fake_kvm_messages(1), 0);
	assert_int_equal(fake_kvm_messages(9), 1);
	steps_done(&s);
}

static void irqfd_refused(struct steps *s, unsigned int at)
{
	if (at == 0) {
		fake_kvm_fail(KVM_IRQFD, 1, EBUSY);
		set(&s->v[0], s->vm, 5, false);
		irqs_flush(&s->vm->irqs);
		assert_false(s->v[0].attached);
	}
	if (at == 2 || at == 4)
		msi_vector_fire(&s->v[0]);
	if (at == 8) {
		assert_int_equal(fake_kvm_count(KVM_SIGNAL_MSI), 2);
		set(&s->v[0], s->vm, 5, true);
		set(&s->v[0], s->vm, 5, false);
		assert_true(s->v[0].attached);
		msi_vector_fire(&s->v[0]);
	}
}

static void test_a_refused_irqfd_is_done_here(void **state)
{
	struct steps s = { .vm = rig_new(MIB) };

	(void)state;
	steps_run(&s, 12, 2, 10, irqfd_refused);
	assert_int_equal(fake_kvm_messages(5), 3);
	assert_int_equal(fake_kvm_count(KVM_SIGNAL_MSI), 2);
	steps_done(&s);
}

static void routes_refused(struct steps *s, unsigned int at)
{
	if (at == 0) {
		set(&s->v[0], s->vm, 1, false);
		irqs_flush(&s->vm->irqs);
		fake_kvm_fail(KVM_SET_GSI_ROUTING, 1, ENOMEM);
		set(&s->v[1], s->vm, 2, false);
		irqs_flush(&s->vm->irqs);
		assert_false(s->v[1].attached);
	}
	if (at == 2) {
		msi_vector_fire(&s->v[0]);
		msi_vector_fire(&s->v[1]);
	}
	if (at == 6) {
		assert_int_equal(fake_kvm_messages(1), 1);
		assert_int_equal(fake_kvm_messages(2), 1);
		irqs_flush(&s->vm->irqs);
		assert_true(s->v[1].attached);
		msi_vector_fire(&s->v[1]);
	}
}

/* A vector that works goes on; a new one works without its route until KVM takes it. */
static void test_refused_routes_silence_nobody(void **state)
{
	struct steps s = { .vm = rig_new(MIB) };

	(void)state;
	steps_run(&s, 8, 2, 10, routes_refused);
	assert_int_equal(fake_kvm_messages(1), 1);
	assert_int_equal(fake_kvm_messages(2), 2);
	steps_done(&s);
}

static void message_refused(struct steps *s, unsigned int at)
{
	if (at == 0) {
		fake_kvm_fail(KVM_IRQFD, 1, EBUSY);
		set(&s->v[0], s->vm, 5, false);
		irqs_flush(&s->vm->irqs);
		fake_kvm_fail(KVM_SIGNAL_MSI, 1, EINVAL);
	}
	if (at == 2 || at == 6)
		msi_vector_fire(&s->v[0]);
}

/* A message that KVM does not take is lost, and said; the next one goes its way. */
static void test_a_refused_message_is_one(void **state)
{
	struct steps s = { .vm = rig_new(MIB) };

	(void)state;
	steps_run(&s, 10, 2, 10, message_refused);
	assert_int_equal(fake_kvm_count(KVM_SIGNAL_MSI), 2);
	assert_int_equal(fake_kvm_messages(5), 1);
	steps_done(&s);
}

static void change_one(struct steps *s, unsigned int at)
{
	if (at == 1)
		set(&s->v[0], s->vm, 6, false);
}

/* The loop cannot watch for want of a descriptor: then the commit comes after 1 ms as before. */
static bool no_descriptor_to_relay_with(void)
{
	struct steps s = { .vm = rig_new(MIB) };
	struct rlimit none = { 0, 0 };
	struct err err = { 0 };

	if (loop_timer_new(s.vm->loop, NULL, steps_next, &s, &s.timer, &err))
		return false;
	s = (struct steps){ .vm = s.vm,
			    .timer = s.timer,
			    .count = 30,
			    .gap = 1000000,
			    .rest = 1000000,
			    .step = change_one };
	set(&s.v[0], s.vm, 5, false);
	irqs_flush(&s.vm->irqs);
	setrlimit(RLIMIT_NOFILE, &none);
	loop_timer_set(s.timer, 1);
	if (loop_run(s.vm->loop, &err))
		return false;
	return s.v[0].attached && !s.v[0].relayed && s.v[0].routed_data == 6 &&
	       s.vm->irqs.commits == 2;
}

static void test_no_descriptor_to_relay_with(void **state)
{
	int status;
	pid_t child = fork();

	(void)state;
	if (!child)
		_exit(no_descriptor_to_relay_with() ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
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
		cmocka_unit_test(test_a_soft_limit_is_raised),
		cmocka_unit_test(test_the_table_holds_what_was_promised),
		cmocka_unit_test(test_an_address_that_is_no_interrupts),
		cmocka_unit_test(test_no_message_is_lost_or_doubled),
		cmocka_unit_test(test_a_million_unmasks_take_nothing),
		cmocka_unit_test(test_an_emulated_line_is_asserted_again_until_it_is_served),
		cmocka_unit_test(test_a_slow_guest_costs_two_commits),
		cmocka_unit_test(test_a_busy_vector_ends_the_burst),
		cmocka_unit_test(test_a_relayed_vector_can_be_masked_and_go),
		cmocka_unit_test(test_a_refused_irqfd_is_done_here),
		cmocka_unit_test(test_refused_routes_silence_nobody),
		cmocka_unit_test(test_a_refused_message_is_one),
		cmocka_unit_test(test_no_descriptor_to_relay_with),
		cmocka_unit_test(test_the_burst_ends_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
