// SPDX-License-Identifier: GPL-2.0-or-later
/* Message vectors while vCPUs mask and change them, devices fire, and the loop commits and relays.
 * Under ThreadSanitizer this finds races; without, it still finds messages lost or doubled. */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "core_rig.h"

#define ADDR 0xfee00000u
#define VCPUS 3
#define VECTORS 12 /* of each vCPU's device */
#define ROUNDS 6000
#define DATAS 4u /* that a vector changes between */

struct unit {
	struct vm *vm;
	pthread_mutex_t lock; /* the device's */
	unsigned int index;
	struct msi_vector v[VECTORS];
	atomic_int fds[VECTORS]; /* what VFIO was given, -1: nothing yet */
	atomic_uint fired[VECTORS];
	atomic_bool stop;
};

static uint32_t data_of(const struct unit *u, unsigned int i, unsigned int variant)
{
	return 0x100 + ((u->index * VECTORS + i) * DATAS) + variant % DATAS;
}

static void wish(struct unit *u, unsigned int i, unsigned int variant, bool masked)
{
	struct err err = { 0 };

	pthread_mutex_lock(&u->lock);
	msi_vector_set(&u->v[i], u->vm, ADDR, data_of(u, i, variant), masked, &err);
	msi_vector_pending(&u->v[i]);
	atomic_store(&u->fds[i], msi_vector_fd(&u->v[i]));
	pthread_mutex_unlock(&u->lock);
}

/* A vCPU: masks, changes, unmasks; at times quickly, at times with a pause as long as a burst. */
static void *vcpu(void *opaque)
{
	struct unit *u = opaque;
	unsigned int n;

	for (n = 0; n < ROUNDS; n++) {
		unsigned int i = n * 7 % VECTORS;

		wish(u, i, n / 11, true);
		wish(u, i, n / 5, n % 13 == 0);
		if (n % 97 == 0)
			usleep(2000);
	}
	for (n = 0; n < VECTORS; n++)
		wish(u, n, 0, false);
	return NULL;
}

/* The function: signals what it was given, whatever the guest does. */
static void *fire(void *opaque)
{
	struct unit *u = opaque;
	unsigned int n;

	for (n = 0; !atomic_load(&u->stop); n++) {
		unsigned int i = n % VECTORS;
		int fd = atomic_load(&u->fds[i]);

		if (fd < 0)
			continue;
		atomic_fetch_add(&u->fired[i], 1);
		io_eventfd_signal(fd);
		if (n % 5 == 0)
			usleep(50);
	}
	return NULL;
}

struct shared {
	struct vm *vm;
	struct unit units[VCPUS];
};

static bool quiet(const struct unit *u)
{
	unsigned int i;

	for (i = 0; i < VECTORS; i++) {
		struct pollfd pfd = { .fd = atomic_load(&u->fds[i]), .events = POLLIN };

		fake_kvm_messages(0);
		if (poll(&pfd, 1, 0))
			return false;
	}
	return true;
}

static void done(void *opaque)
{
	loop_stop(((struct vm *)opaque)->loop);
}

static void *conductor(void *opaque)
{
	struct shared *s = opaque;
	pthread_t vcpus[VCPUS], devices[VCPUS];
	unsigned int i, patience;

	for (i = 0; i < VCPUS; i++) {
		pthread_create(&devices[i], NULL, fire, &s->units[i]);
		pthread_create(&vcpus[i], NULL, vcpu, &s->units[i]);
	}
	for (i = 0; i < VCPUS; i++)
		pthread_join(vcpus[i], NULL);
	for (i = 0; i < VCPUS; i++) {
		atomic_store(&s->units[i].stop, true);
		pthread_join(devices[i], NULL);
		/* All unmasked, and the loop runs: what was fired arrives. */
		for (patience = 0; patience < 5000 && !quiet(&s->units[i]); patience++)
			usleep(1000);
	}
	loop_post(s->vm->loop, done, s->vm);
	return NULL;
}

static void check(struct unit *u)
{
	unsigned int i, d;

	for (i = 0; i < VECTORS; i++) {
		unsigned int fired = atomic_load(&u->fired[i]), got = 0;

		assert_int_equal(io_eventfd_drain(msi_vector_fd(&u->v[i])), 0);
		for (d = 0; d < DATAS; d++)
			got += fake_kvm_messages(data_of(u, i, d));
		assert_true(fired > 0);
		assert_in_range(got, 1, fired);
	}
}

static void test_vectors_from_many_threads(void **state)
{
	static struct shared s;
	struct err err = { 0 };
	unsigned int i, v;
	pthread_t thread;

	(void)state;
	memset(&s, 0, sizeof(s));
	s.vm = rig_new(MIB);
	for (i = 0; i < VCPUS; i++) {
		s.units[i].vm = s.vm;
		s.units[i].index = i;
		pthread_mutex_init(&s.units[i].lock, NULL);
		for (v = 0; v < VECTORS; v++)
			atomic_store(&s.units[i].fds[v], -1);
	}
	pthread_create(&thread, NULL, conductor, &s);
	assert_int_equal(loop_run(s.vm->loop, &err), 0);
	pthread_join(thread, NULL);
	irqs_flush(&s.vm->irqs);
	/* Both ways were taken. */
	assert_true(fake_kvm_count(KVM_SIGNAL_MSI) > 0);
	assert_true(s.vm->irqs.commits > 1);
	for (i = 0; i < VCPUS; i++)
		check(&s.units[i]);
	assert_int_equal(fake_kvm_irqfds(), VCPUS * VECTORS);
	for (i = 0; i < VCPUS; i++) {
		for (v = 0; v < VECTORS; v++)
			msi_vector_done(&s.units[i].v[v]);
		pthread_mutex_destroy(&s.units[i].lock);
	}
	assert_int_equal(fake_kvm_irqfds(), 0);
	assert_int_equal(s.vm->irqs.gsi_top, 0);
	rig_free(s.vm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors_from_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
