// SPDX-License-Identifier: GPL-2.0-or-later
/* The tap back end on the kernel's own interfaces: frames, queues, scripts, what is refused. */
#include <sys/stat.h>

#include "net_tap_rig.h"

static void made_and_gone_with_it(void **state)
{
	struct nic *n = nic_new(&by_name);

	(void)state;
	both_ways(n, 60, 1);
	both_ways(n, 1514, 7);
	nic_free(n);
	assert_int_equal(if_nametoindex(NAME), 0);
}

static void passed_descriptor(short more)
{
	int fd = open_tap((short)(IFF_NO_PI | more));
	const struct net_config config = { .backend = (char[]){ "tap" }, .fd = (uint32_t)fd };
	struct nic *n;

	set_up(true);
	n = nic_new(&config);
	both_ways(n, 60, 1);
	both_ways(n, 1514, 7);
	nic_free(n);
	assert_int_equal(if_nametoindex(NAME), 0);
}

static void descriptors(void **state)
{
	(void)state;
	passed_descriptor(0);
	passed_descriptor(IFF_VNET_HDR);
}

/* The monitor pulls the cable. */
static void cable(void **state)
{
	struct nic *n = nic_new(&by_name);
	uint8_t frame[60];

	(void)state;
	pthread_mutex_lock(&n->lock);
	net_set_link(&n->net, false);
	net_set_link(&n->net, false);
	assert_int_equal(n->link_calls, 1);
	assert_false(n->up || net_link_up(&n->net));
	pthread_mutex_unlock(&n->lock);
	fill(frame, 60, 3);
	guest_sends(n, frame, 60);
	assert_int_equal(n->net.tx_dropped, 1);
	pthread_mutex_lock(&n->lock);
	net_set_link(&n->net, true);
	assert_true(n->up);
	pthread_mutex_unlock(&n->lock);
	both_ways(n, 60, 9); /* the first frame that comes is not the one that was dropped */
	nic_free(n);
}

static int try_open(const struct net_config *config, struct err *err);

/* Memory of the NIC's for a frame, as virtio-net gives it. */

static struct iovec own[2];
static size_t filled;
static unsigned int asked;

static int own_buffers(void *opaque, unsigned int queue, struct iovec *iov, unsigned int max)
{
	(void)opaque;
	(void)queue;
	assert_true(max >= 2);
	asked++;
	memcpy(iov, own, sizeof(own));
	return own[0].iov_len ? 2 : 0;
}

static void own_filled(void *opaque, unsigned int queue, size_t len)
{
	struct nic *n = opaque;
	uint8_t bytes[256] = { 0 };

	(void)queue;
	iov_gather(own, 2, bytes, sizeof(bytes));
	if (bytes[12 + 12] != TYPE >> 8 || bytes[12 + 13] != (TYPE & 255))
		return;
	filled = len;
	n->got++;
}

/* A header before each frame; straight into the NIC's memory; what is longer comes in one piece. A
 * NIC without room is asked once, and the kernel keeps the frames. */
static void straight_with_header(void **state)
{
	static uint8_t mem[2][100];
	static const struct net_peer_ops ops = {
		.receive = nic_receive,
		.receive_end = nic_receive_end,
		.send_ready = nic_send_ready,
		.link = nic_link,
		.buffers = own_buffers,
		.filled = own_filled,
	};
	struct nic *n = nic_new(&by_name);
	uint8_t frame[1514], with[12 + 60] = { 0 };

	(void)state;
	pthread_mutex_lock(&n->lock);
	n->net.peer = &ops;
	own[0] = (struct iovec){ mem[0], 50 };
	own[1] = (struct iovec){ mem[1], 70 };
	assert_true(net_has_header(&n->net));
	assert_int_equal(net_set_header(&n->net, 12, TUN_F_CSUM | TUN_F_TSO4), 0);
	assert_int_equal(net_set_header(&n->net, 12, 1u << 30), -EINVAL);
	pthread_mutex_unlock(&n->lock);
	fill(with + 12, 60, 5);
	guest_sends(n, with, sizeof(with));
	assert_true(host_gets(n, with + 12, 60));
	fill(frame, 60, 9);
	assert_int_equal(send(n->packet, frame, 60, 0), 60);
	assert_true(wait_for(n, &n->got, 1));
	assert_int_equal(filled, 72);
	assert_memory_equal(mem[0] + 12, frame, 38);
	assert_memory_equal(mem[1], frame + 38, 22);
	/* 12 + 1514 bytes do not fit 120. nic_receive() looks for the type without a header. */
	fill(frame, 1514, 9);
	frame[0] = TYPE >> 8; /* where nic_receive() looks */
	frame[1] = TYPE & 255;
	assert_int_equal(send(n->packet, frame, 1514, 0), 1514);
	assert_true(wait_for(n, &n->got, 2));
	assert_int_equal(n->len, 12 + 1514);
	assert_memory_equal(n->last + 12, frame, 1514);
	/* No room. */
	pthread_mutex_lock(&n->lock);
	own[0].iov_len = 0;
	asked = 0;
	pthread_mutex_unlock(&n->lock);
	fill(frame, 60, 77);
	assert_int_equal(send(n->packet, frame, 60, 0), 60);
	assert_true(wait_for(n, &asked, 1));
	assert_int_equal(send(n->packet, frame, 60, 0), 60);
	usleep(50000);
	pthread_mutex_lock(&n->lock);
	assert_int_equal(asked, 1);
	own[0].iov_len = 50;
	n->got = 0;
	net_ready(&n->net, 0);
	pthread_mutex_unlock(&n->lock);
	assert_true(wait_for(n, &n->got, 2));
	nic_free(n);
}

/* Queues of their own; only those in use get frames; another program's are not joined. */
static void several_queues(void **state)
{
	struct net_config config = by_name;
	struct err err = { 0 };
	struct nic *n;

	(void)state;
	config.queues = 3;
	n = nic_new(&config);
	both_ways(n, 60, 1);
	pthread_mutex_lock(&n->lock);
	assert_int_equal(net_take_over(&n->net, 2, true), -ENOTCONN);
	assert_int_equal(net_set_queues(&n->net, 3), 0);
	assert_true(net_take_over(&n->net, 2, true) > net_take_over(&n->net, 1, true));
	net_take_over(&n->net, 2, false);
	net_take_over(&n->net, 1, false);
	pthread_mutex_unlock(&n->lock);
	both_ways(n, 1514, 1);
	pthread_mutex_lock(&n->lock);
	assert_int_equal(net_set_queues(&n->net, 1), 0);
	pthread_mutex_unlock(&n->lock);
	both_ways(n, 1514, 9);
	assert_int_equal(try_open(&config, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "in use by another"));
	nic_free(n);
	assert_int_equal(if_nametoindex(NAME), 0);
	/* One that was made for one queue. */
	make_persistent();
	assert_int_equal(try_open(&config, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "multi_queue"));
	delete_link();
}

static int try_open(const struct net_config *config, struct err *err)
{
	struct vm vm = { .fd = -1, .kvm_fd = -1 };
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct nic nic = { .up = true };
	struct net net;
	int ret;

	err_clear(err);
	assert_int_equal(loop_new(&vm.loop, err), 0);
	ret = net_open(&net, config, &vm, "nic0", &lock, &nic_ops, &nic, err);
	if (!ret)
		net_close(&net);
	loop_free(vm.loop);
	return ret;
}

static void write_script(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", text);
	fclose(f);
	assert_int_equal(chmod(path, 0755), 0);
}

static void scripts(void **state)
{
	char dir[] = "/tmp/net_tap_test.XXXXXX", up[64], down[64], out[64], text[256], got[64];
	struct net_config config = by_name;
	struct err err = { 0 };
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(up, sizeof(up), "%s/up", dir);
	snprintf(down, sizeof(down), "%s/down", dir);
	snprintf(out, sizeof(out), "%s/out", dir);
	snprintf(text, sizeof(text), "echo \"up $*\" >>%s", out);
	write_script(up, text);
	snprintf(text, sizeof(text), "echo \"down $*\" >>%s", out);
	write_script(down, text);
	config.script = up;
	config.downscript = down;
	assert_int_equal(try_open(&config, &err), 0);
	f = fopen(out, "r");
	assert_non_null(f);
	assert_non_null(fgets(got, sizeof(got), f));
	assert_string_equal(got, "up " NAME "\n");
	assert_non_null(fgets(got, sizeof(got), f));
	assert_string_equal(got, "down " NAME "\n");
	fclose(f);
	/* One that fails: its status is told, the interface is not kept, down is not run. */
	unlink(out);
	write_script(up, "exit 3");
	assert_int_equal(try_open(&config, &err), -EIO);
	assert_non_null(strstr(err.msg, "status 3"));
	assert_int_equal(access(out, F_OK), -1);
	unlink(up);
	assert_int_equal(try_open(&config, &err), -ENOENT);
	assert_non_null(strstr(err.msg, up));
	assert_int_equal(if_nametoindex(NAME), 0);
	unlink(down);
	rmdir(dir);
}

static void refusals(void **state)
{
	struct net_config config = { .backend = (char[]){ "tap" }, .ifname = (char[]){ "lo" } };
	struct ifreq tun = { .ifr_name = NAME, .ifr_flags = IFF_TUN | IFF_NO_PI };
	struct err err = { 0 };
	int fd;

	(void)state;
	assert_int_equal(try_open(&config, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "lo is there and is no tap"));
	config.ifname = (char[]){ "sixteen-letters-" };
	assert_int_equal(try_open(&config, &err), -EINVAL);
	config.fd = 5;
	config.ifname = (char[]){ NAME };
	assert_int_equal(net_check(&config, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "exclude"));
	config.ifname = NULL;
	config.script = (char[]){ "/bin/true" };
	assert_int_equal(net_check(&config, &err), -EINVAL);
	/* An option of the tap does not choose it. */
	config = (struct net_config){ .ifname = (char[]){ NAME } };
	assert_int_equal(net_check(&config, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "ifname= is for net=tap"));
	/* In use. */
	fd = open_tap(IFF_NO_PI);
	assert_int_equal(try_open(&by_name, &err), -EBUSY);
	close(fd);
	/* Descriptors that are no tap's. */
	fd = open("/dev/null", O_RDWR);
	config = (struct net_config){ .backend = (char[]){ "tap" }, .fd = (uint32_t)fd };
	assert_true(try_open(&config, &err) < 0);
	assert_non_null(strstr(err.msg, "is no tap"));
	close(fd);
	fd = open("/dev/net/tun", O_RDWR);
	config.fd = (uint32_t)fd;
	assert_int_equal(ioctl(fd, TUNSETIFF, &tun), 0);
	assert_int_equal(try_open(&config, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "is a tun interface"));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup(f, setup)
		T(made_and_gone_with_it),
		T(descriptors),
		T(cable),
		T(straight_with_header),
		T(several_queues),
		T(scripts),
		T(refusals),
	};

	namespace = !unshare(CLONE_NEWNET) && !access("/dev/net/tun", R_OK | W_OK);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
