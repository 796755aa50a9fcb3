// SPDX-License-Identifier: GPL-2.0-or-later
/* F35: a tap interface that is set down, renamed, deleted, moved, full: the guest's link says so, nothing
 * spins, and it goes on when that is over. */
#include <signal.h>
#include <sys/wait.h>

#include "net_tap_rig.h"

/* How often the loop turns in so many seconds; one that is busy does so some hundred thousand times in
 * each. */
static unsigned int turns_in(struct nic *n, unsigned int seconds)
{
	unsigned int before, after;

	pthread_mutex_lock(&n->lock);
	before = n->turns;
	pthread_mutex_unlock(&n->lock);
	sleep(seconds);
	pthread_mutex_lock(&n->lock);
	after = n->turns;
	pthread_mutex_unlock(&n->lock);
	return after - before;
}

static void run(const char *command)
{
	if (system(command))
		fail_msg("%s", command);
}

/* F35: set down: no link, and again when it is up. */
static void set_down(void **state)
{
	struct nic *n;
	uint8_t frame[60];

	(void)state;
	make_persistent();
	n = nic_new(&by_name);
	set_up(false);
	assert_true(wait_for(n, &n->link_calls, 1)); /* without a frame */
	fill(frame, 60, 3);
	guest_sends(n, frame, 60);
	assert_false(n->up);
	guest_sends(n, frame, 60);
	set_up(true);
	assert_true(wait_for(n, &n->link_calls, 2));
	assert_true(n->up);
	connect_packet(n);
	both_ways(n, 60, 20);
	nic_free(n);
	assert_int_not_equal(if_nametoindex(NAME), 0); /* it was there before */
	delete_link();
}

/* F35: deleted: no link, no busy loop, not made anew; one of the same name is taken. */
static void deleted(void **state)
{
	struct nic *n;

	(void)state;
	make_persistent();
	n = nic_new(&by_name);
	delete_link();
	assert_true(wait_for(n, &n->link_calls, 1));
	assert_false(n->up);
	assert_true(turns_in(n, 3) < 100);
	assert_int_equal(if_nametoindex(NAME), 0);
	assert_int_equal(n->link_calls, 1);
	make_persistent();
	assert_true(wait_for(n, &n->link_calls, 2));
	works_then_goes(n);
}

/* A descriptor whose interface goes has no way back; the guest's frames are dropped. */
static void descriptor_deleted(void **state)
{
	int fd = open_tap(IFF_NO_PI);
	const struct net_config config = { .backend = (char[]){ "tap" }, .fd = (uint32_t)fd };
	uint8_t frame[60];
	struct nic *n;

	(void)state;
	set_up(true);
	n = nic_new(&config);
	delete_link();
	assert_true(wait_for(n, &n->link_calls, 1));
	fill(frame, 60, 3);
	guest_sends(n, frame, 60);
	nic_free(n);
}

/* F35: nobody sends, and the kernel may have the queue: what happens to the interface is seen. */
static void noticed_without_frames(void **state)
{
	unsigned int taken;

	(void)state;
	for (taken = 0; taken < 2; taken++) {
		struct nic *n;

		make_persistent();
		n = nic_new(&by_name);
		if (taken) {
			pthread_mutex_lock(&n->lock);
			assert_true(net_take_over(&n->net, 0, true) >= 0);
			pthread_mutex_unlock(&n->lock);
		}
		set_up(false);
		assert_true(wait_for(n, &n->link_calls, 1));
		set_up(true);
		assert_true(wait_for(n, &n->link_calls, 2));
		delete_link();
		assert_true(wait_for(n, &n->link_calls, 3));
		assert_false(n->up);
		if (taken) {
			pthread_mutex_lock(&n->lock);
			assert_int_equal(net_take_over(&n->net, 0, true), -ENOTCONN);
			net_take_over(&n->net, 0, false);
			pthread_mutex_unlock(&n->lock);
		}
		make_persistent();
		assert_true(wait_for(n, &n->link_calls, 4));
		works_then_goes(n);
	}
}

/* Called something else it is the same, also when it was down meanwhile. */
static void renamed(void **state)
{
	struct nic *n;

	(void)state;
	make_persistent();
	n = nic_new(&by_name);
	run("ip link set " NAME " down");
	assert_true(wait_for(n, &n->link_calls, 1));
	run("ip link set " NAME " name vt9 && ip link set vt9 up");
	assert_true(wait_for(n, &n->link_calls, 2));
	assert_true(n->up);
	run("ip link set vt9 down && ip link set vt9 name " NAME " && ip link set " NAME " up");
	assert_true(wait_for(n, &n->link_calls, 4));
	works_then_goes(n);
}

/* What comes back is another program's: it is looked at now and then, and taken when that lets it go. */
static void anothers(void **state)
{
	struct net_config config = by_name;
	struct nic *n;
	int fd;

	(void)state;
	config.queues = 2;
	run("ip tuntap add " NAME " mode tap multi_queue && ip link set " NAME " up");
	n = nic_new(&config);
	delete_link();
	assert_true(wait_for(n, &n->link_calls, 1));
	fd = open_tap(IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
	set_up(true);
	assert_true(turns_in(n, 3) < 100);
	assert_false(n->up);
	close(fd);
	assert_true(wait_for(n, &n->link_calls, 2));
	works_then_goes(n);
}

/* With several queues, all in use, and by the command that an administrator has for it. */
static void several_deleted(void **state)
{
	struct net_config config = by_name;
	unsigned int round;
	struct nic *n;

	(void)state;
	config.queues = 4;
	run("ip tuntap add " NAME " mode tap multi_queue && ip link set " NAME " up");
	n = nic_new(&config);
	pthread_mutex_lock(&n->lock);
	assert_int_equal(net_set_queues(&n->net, 4), 0);
	pthread_mutex_unlock(&n->lock);
	for (round = 1; round <= 3; round++) {
		both_ways(n, 60, round);
		delete_link();
		assert_true(wait_for(n, &n->link_calls, 2 * round - 1));
		run("ip tuntap add " NAME " mode tap multi_queue && ip addr add 10.5.0.1/24 dev " NAME
		    " && ip link set " NAME " up");
		assert_true(wait_for(n, &n->link_calls, 2 * round));
		connect_packet(n);
	}
	both_ways(n, 1514, 20);
	assert_true(turns_in(n, 1) < 100);
	nic_free(n);
	delete_link();
}

/* A process in a network namespace of its own. */
static pid_t new_namespace(void)
{
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (unshare(CLONE_NEWNET) || write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

/* F35: the interface is moved to another network namespace, and goes with that. */
static void namespace_deleted(void **state)
{
	char command[64];
	struct nic *n;
	pid_t pid;

	(void)state;
	make_persistent();
	n = nic_new(&by_name);
	pid = new_namespace();
	snprintf(command, sizeof(command), "ip link set " NAME " netns %d", (int)pid);
	run(command);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(wait_for(n, &n->link_calls, 1));
	assert_true(turns_in(n, 1) < 100);
	make_persistent();
	assert_true(wait_for(n, &n->link_calls, 2));
	works_then_goes(n);
}

/* F35: the host's kernel takes no more frames for as long as it likes: the NIC keeps its own, nothing
 * spins, and it goes on when there is room. They wait behind a port of a bridge that lets nothing out. */
static void full(void **state)
{
	int fd = open_tap(IFF_NO_PI), room = 16384;
	const struct net_config config = { .backend = (char[]){ "tap" }, .fd = (uint32_t)fd };
	uint8_t frame[1514];
	struct iovec iov = { frame, sizeof(frame) };
	unsigned int i;
	struct nic *n;
	bool took = true;

	(void)state;
	run("ip link add br0 type bridge && ip link add v0 type veth peer name v1 && "
	    "ip link set v0 master br0 && ip link set " NAME " master br0 && ip link set v1 up && "
	    "ip link set v0 up && ip link set " NAME " up && ip link set br0 up");
	if (system("tc qdisc replace dev v0 root tbf rate 8bit burst 2000 limit 1000000")) {
		run("ip link del v0 && ip link del br0 && ip link del " NAME);
		close(fd);
		skip(); /* a kernel without sch_tbf */
	}
	assert_int_equal(ioctl(fd, TUNSETSNDBUF, &room), 0);
	n = nic_new(&config);
	fill(frame, sizeof(frame), 2);
	pthread_mutex_lock(&n->lock);
	for (i = 0; i < 1000 && took; i++)
		took = net_send(&n->net, 0, &iov, 1);
	pthread_mutex_unlock(&n->lock);
	assert_false(took);
	assert_true(turns_in(n, 2) < 100);
	assert_int_equal(n->ready_calls, 0);
	assert_true(n->up);
	run("tc qdisc del dev v0 root");
	assert_true(wait_for(n, &n->ready_calls, 1));
	pthread_mutex_lock(&n->lock);
	assert_true(net_send(&n->net, 0, &iov, 1));
	pthread_mutex_unlock(&n->lock);
	assert_true(turns_in(n, 1) < 100);
	/* Full again, and then gone: what waited is let go of. */
	run("tc qdisc replace dev v0 root tbf rate 8bit burst 2000 limit 1000000");
	pthread_mutex_lock(&n->lock);
	for (i = 0, took = true; i < 1000 && took; i++)
		took = net_send(&n->net, 0, &iov, 1);
	pthread_mutex_unlock(&n->lock);
	assert_false(took);
	delete_link();
	assert_true(wait_for(n, &n->ready_calls, 2));
	assert_false(n->up);
	nic_free(n);
	run("ip link del v0 && ip link del br0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup(f, setup)
		T(set_down),
		T(deleted),
		T(descriptor_deleted),
		T(noticed_without_frames),
		T(anothers),
		T(several_deleted),
		T(renamed),
		T(namespace_deleted),
		T(full),
	};

	namespace = !unshare(CLONE_NEWNET) && !access("/dev/net/tun", R_OK | W_OK);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
