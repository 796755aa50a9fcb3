// SPDX-License-Identifier: GPL-2.0-or-later
/* A tap on a bridge by viaduct-bridge-helper: the real one in a network namespace of the test's, and
 * for what that never does this program itself, which is run as the helper too. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/loop.h"
#include "vmm/net.h"
#include "vmm/net_bridge.h"
#include "vmm/net_bridge_helper.h"
#include "vmm/net_options.h"
#include "vmm/vm.h"

#define SELF "/proc/self/exe"
#define WAIT_MS 20000

static bool namespace;

/* This program as a helper: what it does is the bridge's name. */

static int fake_helper(const char *what)
{
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { .buf = { 0 } };
	struct net_bridge_answer answer = { .text = "wrong" };
	struct iovec iov = { &answer, sizeof(answer) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int fds[2] = { 0, 1 };

	if (!strcmp(what, "hangs"))
		pause();
	if (!strcmp(what, "silent"))
		return 7;
	if (!strcmp(what, "killed"))
		return raise(SIGKILL);
	if (!strcmp(what, "short"))
		iov.iov_len = 4;
	if (!strcmp(what, "long"))
		memset(answer.text, 'x', sizeof(answer.text));
	if (!strcmp(what, "says-no") || !strcmp(what, "long"))
		answer.code = -EACCES;
	if (!strcmp(what, "odd-code"))
		answer.code = 5;
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(cmsg), fds, sizeof(fds));
	return sendmsg(NET_BRIDGE_FD, &msg, 0) < 0;
}

/* The lowest descriptor that is free: the same before and after when none is left over. */
static int lowest_fd(void)
{
	int fd = open("/dev/null", O_RDONLY);

	close(fd);
	return fd;
}

static int ask_fake(const char *what, unsigned int queues, int wait_ms, const char *says)
{
	int before = lowest_fd(), fds[NET_BRIDGE_QUEUES], ret;
	struct err err = { 0 };
	unsigned int i;

	ret = net_bridge_ask(SELF, what, queues, wait_ms, fds, &err);
	for (i = 0; !ret && i < queues; i++)
		close(fds[i]);
	if (!strstr(err.msg, says))
		fail_msg("%s: %s", what, err.msg);
	assert_int_equal(lowest_fd(), before);
	return ret;
}

static void answers_that_make_no_sense(void **state)
{
	(void)state;
	assert_int_equal(ask_fake("fine", 2, WAIT_MS, ""), 0);
	assert_int_equal(ask_fake("fine", 3, WAIT_MS, "2 descriptors instead of 3"), -EPROTO);
	assert_int_equal(ask_fake("fine", 1, WAIT_MS, "2 descriptors instead of 1"), -EPROTO);
	assert_int_equal(ask_fake("silent", 2, WAIT_MS, "ended with status 7"), -EPROTO);
	assert_int_equal(ask_fake("killed", 2, WAIT_MS, "status 137"), -EPROTO);
	assert_int_equal(ask_fake("short", 2, WAIT_MS, "no answer that makes sense"), -EPROTO);
	assert_int_equal(ask_fake("says-no", 2, WAIT_MS, "wrong"), -EACCES);
	assert_int_equal(ask_fake("long", 2, WAIT_MS, "xxxx"), -EACCES);
	assert_int_equal(ask_fake("odd-code", 2, WAIT_MS, "wrong"), -EPROTO);
	assert_int_equal(ask_fake("hangs", 2, 200, "did not answer"), -ETIMEDOUT);
}

static void no_helper(void **state)
{
	struct net_config config = { .bridge = (char[]){ "br0" } };
	struct err err = { 0 };
	int fds[1], before = lowest_fd();

	(void)state;
	assert_int_equal(net_bridge_ask("/nonexistent/helper", "br0", 1, WAIT_MS, fds, &err),
			 -ENOENT);
	assert_non_null(strstr(err.msg, "/nonexistent/helper"));
	err_clear(&err);
	assert_int_equal(net_bridge_ask("/etc/passwd", "br0", 1, WAIT_MS, fds, &err), -EACCES);
	err_clear(&err);
	/* Nobody put it next to this program. */
	assert_int_equal(net_bridge_taps(&config, 1, WAIT_MS, fds, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "bridge=br0"));
	assert_non_null(strstr(err.msg, NET_BRIDGE_HELPER));
	err_clear(&err);
	assert_int_equal(net_bridge_taps(&config, NET_BRIDGE_QUEUES + 1, WAIT_MS, fds, &err), -ERANGE);
	assert_int_equal(lowest_fd(), before);
}

static void names(void **state)
{
	static const char *const wrong[] = { "", "sixteen-letters-", "a/b", "br%d", "br 0" };
	struct net_config config = { .bridge = NULL };
	struct err err = { 0 };
	size_t i;

	(void)state;
	assert_int_equal(net_bridge_check(&config, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "bridge= is missing"));
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s", wrong[i]);
		config.bridge = name;
		err_clear(&err);
		assert_int_equal(net_bridge_check(&config, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "bridge="));
	}
	config.bridge = (char[]){ "fifteen-letters" };
	assert_int_equal(net_bridge_check(&config, &err), 0);
}

/* The real one, run by root in a network namespace. */

static int ask(const char *bridge, unsigned int queues, int *fds, struct err *err)
{
	err_clear(err);
	return net_bridge_ask(BRIDGE_HELPER_PATH, bridge, queues, WAIT_MS, fds, err);
}

static unsigned int count_links(void)
{
	struct if_nameindex *all = if_nameindex();
	unsigned int n = 0;

	assert_non_null(all);
	while (all[n].if_index)
		n++;
	if_freenameindex(all);
	return n;
}

static void run(const char *command)
{
	if (system(command))
		fail_msg("%s", command);
}

static void tap_of(int fd, struct ifreq *ifr)
{
	memset(ifr, 0, sizeof(*ifr));
	assert_int_equal(ioctl(fd, TUNGETIFF, ifr), 0);
}

static int link_mtu(const char *name)
{
	struct ifreq ifr = { .ifr_flags = 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, SIOCGIFMTU, &ifr), 0);
	close(fd);
	return ifr.ifr_mtu;
}

static void assert_tap(const int *fds, unsigned int queues)
{
	char command[128];
	struct ifreq first, other;
	unsigned int i;

	tap_of(fds[0], &first);
	assert_memory_equal(first.ifr_name, "viaduct", 7);
	assert_true(first.ifr_flags & IFF_VNET_HDR);
	assert_int_equal(!!(first.ifr_flags & IFF_MULTI_QUEUE), queues > 1);
	for (i = 1; i < queues; i++) {
		tap_of(fds[i], &other);
		assert_string_equal(other.ifr_name, first.ifr_name);
	}
	for (i = 0; i < queues; i++) {
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
	}
	assert_int_equal(link_mtu(first.ifr_name), 9000);
	/* Up, a port of the bridge, of an address that the bridge will not take on, owned by us. */
	snprintf(command, sizeof(command),
		 "ip -d link show dev %s | tr '\\n' ' ' | grep -E "
		 "'UP.*master br0.*ether fe:.*user (root|0) ' >/dev/null", first.ifr_name);
	run(command);
}

static void taps(void **state)
{
	int fds[4][NET_BRIDGE_QUEUES], before = lowest_fd();
	unsigned int links = count_links(), i, j;
	const unsigned int queues[] = { 1, 4, 1, NET_BRIDGE_QUEUES };
	struct err err = { 0 };

	(void)state;
	for (i = 0; i < ARRAY_SIZE(queues); i++) {
		if (ask("br0", queues[i], fds[i], &err))
			fail_msg("%s", err.msg);
		assert_tap(fds[i], queues[i]);
	}
	assert_int_equal(count_links(), links + 4);
	assert_int_equal(link_mtu("br0"), 9000);
	for (i = 0; i < ARRAY_SIZE(queues); i++)
		for (j = 0; j < queues[i]; j++)
			close(fds[i][j]);
	assert_int_equal(count_links(), links);
	assert_int_equal(lowest_fd(), before);
}

static void refused(const char *bridge, int code, const char *says)
{
	unsigned int links = count_links();
	struct err err = { 0 };
	int fds[2];

	assert_int_equal(ask(bridge, 2, fds, &err), code);
	if (!strstr(err.msg, says))
		fail_msg("%s: %s", bridge, err.msg);
	assert_int_equal(count_links(), links);
}

static void refusals(void **state)
{
	(void)state;
	refused("br9", -ENODEV, "there is no such bridge");
	refused("lo", -ENOTSUP, "no bridge");
	run("ip link add dummybr0 type veth peer name vpeer");
	refused("dummybr0", -ENOTSUP, "no bridge");
	/* What it does not even look at. */
	refused("a-name-of-sixteen", -EPROTO, "status 2");
	refused("../br0", -EPROTO, "status 2");
	run("ip link del dummybr0");
}

/* In a process of its own, which gives all up that a program it starts could have. */
static int ask_without_privileges(unsigned int queues)
{
	int fds[2], ret, cap;
	struct err err = { 0 };
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid) {
		assert_int_equal(waitpid(pid, &ret, 0), pid);
		return ret;
	}
	for (cap = 0; cap <= CAP_LAST_CAP; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	ret = ask("br0", queues, fds, &err);
	_exit(ret != -EPERM || !strstr(err.msg, "chmod u+s " BRIDGE_HELPER_PATH));
}

static void without_privileges(void **state)
{
	unsigned int links = count_links();

	(void)state;
	assert_int_equal(ask_without_privileges(1), 0);
	assert_int_equal(ask_without_privileges(2), 0);
	assert_int_equal(count_links(), links);
}

/* A network card on it. */

struct nic {
	struct vm vm;
	struct net_config config;
	struct net net;
	pthread_mutex_t lock;
	pthread_t thread;
	unsigned int link_calls;
	bool up;
};

static bool nic_receive(void *opaque, unsigned int queue, const struct iovec *iov,
			unsigned int count)
{
	(void)opaque;
	(void)queue;
	(void)iov;
	(void)count;
	return true;
}

static void nic_nothing(void *opaque, unsigned int queue)
{
	(void)opaque;
	(void)queue;
}

static void nic_link(void *opaque, bool up)
{
	struct nic *n = opaque;

	n->up = up;
	n->link_calls++;
}

static const struct net_peer_ops nic_ops = {
	.receive = nic_receive,
	.receive_end = nic_nothing,
	.send_ready = nic_nothing,
	.link = nic_link,
};

static void *loop_main(void *opaque)
{
	loop_run(((struct nic *)opaque)->vm.loop, NULL);
	return NULL;
}

static bool wait_link(struct nic *n, unsigned int calls)
{
	unsigned int i;
	bool is = false;

	for (i = 0; i < WAIT_MS && !is; i++) {
		pthread_mutex_lock(&n->lock);
		is = n->link_calls == calls;
		pthread_mutex_unlock(&n->lock);
		usleep(1000);
	}
	return is;
}

static void port_is(bool there)
{
	run(there ? "ip -o link show master br0 | grep -q viaduct" :
		    "! ip -o link | grep -q viaduct");
}

/* F35: the bridge goes, and one of its name comes; so does one that lets the port go. */
static void bridge_removed(void **state)
{
	struct nic n = { .up = true, .lock = PTHREAD_MUTEX_INITIALIZER };
	struct err err = { 0 };

	(void)state;
	n.vm.fd = n.vm.kvm_fd = -1;
	n.config.backend = (char[]){ "bridge" };
	n.config.bridge = (char[]){ "br0" };
	n.config.queues = 2;
	assert_int_equal(loop_new(&n.vm.loop, &err), 0);
	if (net_open(&n.net, &n.config, &n.vm, "nic0", &n.lock, &nic_ops, &n, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(pthread_create(&n.thread, NULL, loop_main, &n), 0);
	assert_true(n.up);
	port_is(true);
	run("ip link del br0");
	assert_true(wait_link(&n, 1));
	assert_false(n.up);
	run("ip link add br0 mtu 9000 type bridge");
	assert_true(wait_link(&n, 2));
	assert_true(n.up);
	port_is(true);
	run("ip link set $(ip -o link show master br0 | sed 's/^[0-9]*: //;s/:.*//') nomaster");
	assert_true(wait_link(&n, 4)); /* down, and up with another */
	assert_true(n.up);
	port_is(true);
	loop_stop(n.vm.loop);
	pthread_join(n.thread, NULL);
	net_close(&n.net);
	loop_free(n.vm.loop);
	port_is(false);
}

/* Next to this program. */
static void helper_place(char path[PATH_MAX])
{
	ssize_t len = readlink(SELF, path, PATH_MAX - sizeof(NET_BRIDGE_HELPER));

	assert_true(len > 0);
	path[len] = '\0';
	memcpy(strrchr(path, '/') + 1, NET_BRIDGE_HELPER, sizeof(NET_BRIDGE_HELPER));
}

static int link_helper(void **state)
{
	char path[PATH_MAX];

	(void)state;
	if (!namespace)
		skip();
	helper_place(path);
	unlink(path);
	return symlink(BRIDGE_HELPER_PATH, path);
}

static int unlink_helper(void **state)
{
	char path[PATH_MAX];

	(void)state;
	helper_place(path);
	return unlink(path);
}

static int setup(void **state)
{
	(void)state;
	if (!namespace)
		skip();
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup(f, setup)
		cmocka_unit_test(answers_that_make_no_sense),
		cmocka_unit_test(no_helper),
		cmocka_unit_test(names),
		T(taps),
		T(refusals),
		T(without_privileges),
		cmocka_unit_test_setup_teardown(bridge_removed, link_helper, unlink_helper),
	};

	if (argc == 3)
		return fake_helper(argv[1]);
	namespace = !unshare(CLONE_NEWNET) && !access("/dev/net/tun", R_OK | W_OK) &&
		    !system("ip link add br0 mtu 9000 type bridge 2>/dev/null");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
