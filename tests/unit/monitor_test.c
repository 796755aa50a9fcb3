// SPDX-License-Identifier: GPL-2.0-or-later
/* The monitor by its socket: the protocol, and clients that mean no good. */
#include "loop_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "vmm/monitor.h"

#define CLIENTS 1000
#define GREETING                                                                                   \
	"{\"QMP\": {\"version\": {\"qemu\": {\"major\": 0, \"minor\": 1, \"micro\": 0}, "          \
	"\"package\": \"viaduct-" VIADUCT_VERSION "\"}, \"capabilities\": []}}"

struct fixture {
	struct loop_rig *rig;
	struct monitor *monitor;
};

/* A card with a link and a balloon in one. */
struct toy {
	struct dev dev;
	bool up;
	uint64_t bytes;
};

static int toy_link(struct dev *dev, bool up, struct err *err)
{
	(void)err;
	container_of(dev, struct toy, dev)->up = up;
	return 0;
}

static int toy_set(struct dev *dev, uint64_t bytes, struct err *err)
{
	(void)err;
	container_of(dev, struct toy, dev)->bytes = bytes;
	vm_balloon_changed(dev->vm);
	return 0;
}

static int toy_get(struct dev *dev, uint64_t *ret_bytes, struct err *err)
{
	(void)err;
	*ret_bytes = container_of(dev, struct toy, dev)->bytes;
	return 0;
}

static int toy_realize(struct dev *dev, struct err *err)
{
	(void)dev;
	(void)err;
	return 0;
}

static void toy_nothing(struct dev *dev)
{
	(void)dev;
}

static int toy_stats(struct dev *dev, struct dev_balloon_stats *ret_stats, struct err *err)
{
	if (!container_of(dev, struct toy, dev)->up)
		return err_set(err, -ENOTSUP, "%s: the guest tells nothing", dev->id);
	*ret_stats = (struct dev_balloon_stats){
		.count = 2,
		.stats = { { "stat-swap-in", 0 }, { "stat-free-memory", UINT64_MAX } },
		.time = 1700000000,
		.age_ms = 1500,
	};
	return 0;
}

static const struct dev_control toy_control = { .set_link = toy_link,
					      .balloon_set = toy_set,
					      .balloon_get = toy_get,
					      .balloon_stats = toy_stats };
static const struct dev_class toy_class = { .name = "toy", .size = sizeof(struct toy),
					    .realize = toy_realize, .quiesce = toy_nothing,
					    .destroy = toy_nothing, .control = &toy_control };
static const struct dev_class dull_class = { .name = "dull", .size = sizeof(struct dev),
					     .realize = toy_realize, .quiesce = toy_nothing,
					     .destroy = toy_nothing };

static struct toy *toy_add(struct fixture *f, const struct dev_class *class, const char *id)
{
	struct dev *dev;

	assert_int_equal(dev_new(f->rig->vm, class, id, &dev, NULL), 0);
	assert_int_equal(dev_add(dev, NULL), 0);
	return container_of(dev, struct toy, dev);
}

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));
	struct err err = { 0 };

	f->rig = loop_rig_new();
	if (monitor_new(&f->monitor, f->rig->vm, f->rig->path, &err))
		fail_msg("%s", err.msg);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_rig_stop(f->rig);
	monitor_free(f->monitor);
	assert_int_equal(access(f->rig->path, F_OK), -1);
	loop_rig_free(f->rig);
	test_free(f);
	return 0;
}

static void say(int fd, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

/* The next line within five seconds, without its end. */
static const char *line(int fd, char *buf, size_t size)
{
	size_t len = 0;

	while (len + 1 < size) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };

		buf[len] = '\0';
		if (poll(&pfd, 1, 5000) != 1 || read(fd, buf + len, 1) != 1)
			fail_msg("no whole line came");
		if (buf[len++] == '\n')
			break;
	}
	assert_true(len >= 2 && buf[len - 2] == '\r');
	buf[len - 2] = '\0';
	return buf;
}

static void expect(int fd, const char *want)
{
	char buf[1024];

	assert_string_equal(line(fd, buf, sizeof(buf)), want);
}

static void expect_event(int fd, const char *want)
{
	char buf[1024];

	assert_non_null(strstr(line(fd, buf, sizeof(buf)), want));
}

/* Whether the other side hangs up within five seconds, whatever it says before. */
static bool hung_up(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char buf[4096];

	while (poll(&pfd, 1, 5000) == 1)
		if (read(fd, buf, sizeof(buf)) <= 0)
			return true;
	return false;
}

static int join(struct fixture *f)
{
	int fd = loop_rig_connect(f->rig);

	expect(fd, GREETING);
	say(fd, "{\"execute\": \"qmp_capabilities\"}");
	expect(fd, "{\"return\": {}}");
	return fd;
}

#define RUNNING "{\"return\": {\"running\": true, \"singlestep\": false, \"status\": \"running\"}"
#define PAUSED "{\"return\": {\"running\": false, \"singlestep\": false, \"status\": \"paused\"}"

static void protocol(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	int fd;

	assert_int_equal(stat(f->rig->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	loop_rig_start(f->rig);
	fd = loop_rig_connect(f->rig);
	expect(fd, GREETING);
	say(fd, "{\"execute\": \"query-status\", \"id\": 7}");
	expect(fd, "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"Expecting "
		   "capabilities negotiation with 'qmp_capabilities'\"}, \"id\": 7}");
	say(fd, "{\"execute\": \"qmp_capabilities\", \"id\": {\"a\": [1]}}");
	expect(fd, "{\"return\": {}, \"id\": {\"a\":[1]}}");
	/* Two in one piece, then one in pieces, none with a line's end. */
	say(fd, "{\"execute\": \"query-status\"}{\"execute\": \"query-name\", \"id\": \"x\\\"\"}");
	expect(fd, RUNNING "}");
	expect(fd, "{\"return\": {\"name\": \"rig\"}, \"id\": \"x\\\"\"}");
	say(fd, "{\"execute\": \"que");
	say(fd, "ry-status\"}");
	expect(fd, RUNNING "}");
	say(fd, "{\"execute\": \"device_add\"}");
	expect(fd, "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"The command "
		   "device_add has not been found\"}}");
	close(fd);
}

static void wrong_input(void **state)
{
	static const struct {
		const char *said, *class;
	} rows[] = {
		{ "}\n", "JSON parse error" },
		{ "\x01\xff\xfe garbage { [\n", "JSON parse error" },
		{ "GET / HTTP/1.1\n", "JSON parse error" },
		{ "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n", "JSON parse error" },
		{ "[1]\n", "must be a JSON object" },
		{ "{}\n", "lacks member 'execute'" },
		{ "{\"execute\": 3}\n", "must be a string" },
		{ "{\"execute\": \"stop\\u0000\"}\n", "lacks member 'execute'" },
		{ "{\"execute\": \"stop\", \"arguments\": 1}\n", "must be an object" },
		{ "{\"execute\": \"stop\", \"arguments\": {\"a\": 1}}\n", "takes 0 arguments" },
		{ "{\"execute\": \"stop\", \"also\": 1}\n", "none of execute" },
		{ "{\"execute\": \"balloon\"}\n", "'value' is missing" },
		{ "{\"execute\": \"balloon\", \"arguments\": {\"value\": 1}}\n", "DeviceNotActive" },
		{ "{\"execute\": \"balloon\", \"arguments\": {\"value\": \"1\"}}\n", "whole number" },
		{ "{\"execute\": \"query-balloon\"}\n", "DeviceNotActive" },
		{ "{\"execute\": \"query-balloon-stats\"}\n", "DeviceNotActive" },
		{ "{\"execute\": \"set_link\", \"arguments\": {\"name\": \"n\", \"up\": true}}\n",
		  "DeviceNotFound" },
	};
	struct fixture *f = *state;
	size_t i;
	int fd;

	loop_rig_start(f->rig);
	fd = join(f);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		char buf[1024];

		say(fd, rows[i].said);
		line(fd, buf, sizeof(buf));
		if (strncmp(buf, "{\"error\": ", 10) != 0 || !strstr(buf, rows[i].class))
			fail_msg("%s answered with %s", rows[i].said, buf);
		say(fd, "{\"execute\": \"query-status\", \"id\": 1}\n");
		expect(fd, RUNNING ", \"id\": 1}");
	}
	close(fd);
}

static void devices(void **state)
{
	struct fixture *f = *state;
	struct toy *toy = toy_add(f, &toy_class, "net1");
	int fd;

	toy_add(f, &dull_class, "dull0");
	loop_rig_start(f->rig);
	fd = join(f);
	say(fd, "{\"execute\": \"set_link\", \"arguments\": {\"name\": \"net1\", \"up\": true}}");
	expect(fd, "{\"return\": {}}");
	assert_true(toy->up);
	say(fd, "{\"execute\": \"set_link\", \"arguments\": {\"name\": \"net1\", \"up\": false}}");
	expect(fd, "{\"return\": {}}");
	assert_false(toy->up);
	say(fd, "{\"execute\": \"set_link\", \"arguments\": {\"name\": \"dull0\", \"up\": true}}");
	expect(fd, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"dull0: dull has no link "
		   "that can be set\"}}");
	say(fd, "{\"execute\": \"balloon\", \"arguments\": {\"value\": 1048576}}");
	expect(fd, "{\"return\": {}}");
	expect_event(fd, "\"event\": \"BALLOON_CHANGE\", \"data\": {\"actual\": 1048576}}");
	say(fd, "{\"execute\": \"query-balloon\"}");
	expect(fd, "{\"return\": {\"actual\": 1048576}}");
	say(fd, "{\"execute\": \"query-balloon-stats\"}");
	expect(fd, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"net1: the guest tells "
		   "nothing\"}}");
	toy->up = true;
	say(fd, "{\"execute\": \"query-balloon-stats\"}");
	expect(fd, "{\"return\": {\"stats\": {\"stat-swap-in\": 0, \"stat-free-memory\": "
		   "18446744073709551615}, \"last-update\": 1700000000, \"age-ms\": 1500}}");
	say(fd, "{\"execute\": \"balloon\", \"arguments\": {\"value\": 2097153}}");
	expect(fd, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"balloon: value is "
		   "2097153 bytes: it takes 1 to 2097152, the guest's memory\"}}");
	say(fd, "{\"execute\": \"balloon\", \"arguments\": {\"value\": -1}}");
	expect_event(fd, "GenericError");
	assert_int_equal(toy->bytes, 1048576);
	close(fd);
}

/* What one client does, the other is told; who has not negotiated is not. */
static void two_clients(void **state)
{
	struct fixture *f = *state;
	int a, b, silent;

	loop_rig_start(f->rig);
	silent = loop_rig_connect(f->rig);
	expect(silent, GREETING);
	a = join(f);
	b = join(f);
	say(a, "{\"execute\": \"stop\"}");
	expect_event(a, "\"event\": \"STOP\"}");
	expect(a, "{\"return\": {}}");
	expect_event(b, "\"event\": \"STOP\"}");
	say(b, "{\"execute\": \"query-status\"}{\"execute\": \"stop\"}{\"execute\": \"cont\"}");
	expect(b, PAUSED "}");
	expect(b, "{\"return\": {}}");
	expect_event(b, "\"event\": \"RESUME\"}");
	expect(b, "{\"return\": {}}");
	expect_event(a, "\"event\": \"RESUME\"}");
	say(silent, "{\"execute\": \"qmp_capabilities\"}");
	expect(silent, "{\"return\": {}}");
	say(silent, "{\"execute\": \"quit\"}");
	expect(silent, "{\"return\": {}}");
	WAIT_FOR(f->rig->vm->request == VM_QUIT);
	close(a);
	close(b);
	close(silent);
}

/* A message without an end: one error, and the client goes on behind the line's end. */
static void long_line(void **state)
{
	struct fixture *f = *state;
	char buf[1024], chunk[4096];
	unsigned int i;
	int fd;

	loop_rig_start(f->rig);
	fd = join(f);
	memset(chunk, 'a', sizeof(chunk));
	say(fd, "{\"execute\": \"");
	for (i = 0; i < 256; i++)
		assert_int_equal(send(fd, chunk, sizeof(chunk), MSG_NOSIGNAL), sizeof(chunk));
	say(fd, "\n{\"execute\": \"query-status\"}");
	assert_non_null(strstr(line(fd, buf, sizeof(buf)), "too long"));
	expect(fd, RUNNING "}");
	close(fd);
}

/* A byte at a time, while another is served; and an end in the middle of a message. */
static void slow_and_half(void **state)
{
	static const char command[] = "{\"execute\": \"query-status\"}";
	struct fixture *f = *state;
	int slow, quick;
	size_t i;

	loop_rig_start(f->rig);
	slow = join(f);
	for (i = 0; i + 1 < sizeof(command); i++) {
		assert_int_equal(send(slow, command + i, 1, MSG_NOSIGNAL), 1);
		quick = join(f);
		close(quick);
	}
	expect(slow, RUNNING "}");
	say(slow, "{\"execute\": ");
	assert_int_equal(shutdown(slow, SHUT_WR), 0);
	assert_true(hung_up(slow));
	close(slow);
	close(join(f));
}

/* Asks for ever and never reads. */
static void deaf_client(void **state)
{
	struct fixture *f = *state;
	static const char ask[] = "{\"execute\":\"query-commands\"}\n";
	char many[100 * (sizeof(ask) - 1)];
	int fd, other, i;

	loop_rig_start(f->rig);
	fd = join(f);
	for (i = 0; i < 100; i++)
		memcpy(many + (size_t)i * (sizeof(ask) - 1), ask, sizeof(ask) - 1);
	for (i = 0; i < 10000; i++)
		if (send(fd, many, sizeof(many), MSG_NOSIGNAL) < 0)
			break;
	assert_true(i < 10000);
	other = join(f);
	close(other);
	close(fd);
}

static void many_clients(void **state)
{
	struct fixture *f = *state;
	static int fds[CLIENTS];
	unsigned int i, served = 0;

	loop_rig_start(f->rig);
	for (i = 0; i < CLIENTS; i++)
		fds[i] = loop_rig_connect(f->rig);
	for (i = 0; i < CLIENTS; i++) {
		struct pollfd pfd = { .fd = fds[i], .events = POLLIN };
		char c;

		assert_int_equal(poll(&pfd, 1, 5000), 1);
		served += read(fds[i], &c, 1) == 1;
	}
	assert_int_equal(served, MONITOR_CLIENTS_MAX);
	for (i = 0; i < CLIENTS; i++)
		close(fds[i]);
	/* A place is free once the loop has seen the ends. */
	for (i = 0; i < 1000; i++) {
		struct pollfd pfd = { .fd = loop_rig_connect(f->rig), .events = POLLIN };
		char c;
		bool ok = poll(&pfd, 1, 5000) == 1 && read(pfd.fd, &c, 1) == 1;

		close(pfd.fd);
		if (ok)
			return;
		usleep(1000);
	}
	fail_msg("no client gets in any more");
}

static void paths(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct monitor *other = NULL;
	struct err err = { 0 };
	char path[200];
	int fd;

	assert_int_equal(monitor_new(&other, f->rig->vm, f->rig->path, &err), -EADDRINUSE);
	assert_int_equal(access(f->rig->path, F_OK), 0);
	memset(path, 'a', sizeof(path));
	memcpy(path, "/tmp/", 5);
	path[108] = '\0';
	assert_int_equal(monitor_new(&other, f->rig->vm, path, &err), -ENAMETOOLONG);
	assert_int_equal(monitor_new(&other, f->rig->vm, "", &err), -ENAMETOOLONG);
	snprintf(path, sizeof(path), "%s/none/s", f->rig->dir);
	assert_int_equal(monitor_new(&other, f->rig->vm, path, &err), -ENOENT);
	snprintf(path, sizeof(path), "%s/file", f->rig->dir);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(monitor_new(&other, f->rig->vm, path, &err), -EEXIST);
	assert_int_equal(unlink(path), 0);

	/* What a VM that was killed leaves. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	assert_int_equal(monitor_new(&other, f->rig->vm, path, &err), 0);
	monitor_free(other);
	assert_int_equal(access(path, F_OK), -1);
}

/* The module is looked for next to the program. */
static void link_module(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);

	if (n < 0)
		return;
	path[n] = '\0';
	memcpy(strrchr(path, '/') + 1, "viaduct-monitor.so", sizeof("viaduct-monitor.so"));
	if (symlink(VIADUCT_MODULE_DIR "/viaduct-monitor.so", path) && errno != EEXIST)
		_exit(99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(protocol, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_input, setup, teardown),
		cmocka_unit_test_setup_teardown(devices, setup, teardown),
		cmocka_unit_test_setup_teardown(two_clients, setup, teardown),
		cmocka_unit_test_setup_teardown(long_line, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_and_half, setup, teardown),
		cmocka_unit_test_setup_teardown(deaf_client, setup, teardown),
		cmocka_unit_test_setup_teardown(many_clients, setup, teardown),
		cmocka_unit_test_setup_teardown(paths, setup, teardown),
	};

	link_module();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
