// SPDX-License-Identifier: GPL-2.0-or-later
/* Character back ends against real files, sockets, pipes and a pseudo terminal. */
#include "loop_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <termios.h>

#include "vmm/chardev.h"

/* Stands in for the C library's, to count. */
static atomic_int writes;

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	atomic_fetch_add(&writes, 1);
	return syscall(SYS_writev, fd, iov, count);
}

struct end {
	struct loop_rig *rig;
	struct chardev *ch;
	pthread_mutex_t lock;
	size_t room; /* how many bytes receive() still takes */
	char got[4096];
	size_t got_len;
};

static size_t take(void *opaque, const uint8_t *buf, size_t len)
{
	struct end *e = opaque;
	size_t n = MIN(len, e->room);

	assert_true(e->got_len + n <= sizeof(e->got));
	memcpy(e->got + e->got_len, buf, n);
	e->got_len += n;
	e->room -= n;
	return n;
}

static int setup(void **state)
{
	struct end *e = test_calloc(1, sizeof(*e));

	e->rig = loop_rig_new();
	pthread_mutex_init(&e->lock, NULL);
	e->room = sizeof(e->got);
	atomic_store(&writes, 0);
	*state = e;
	return 0;
}

static void put_away(struct end *e)
{
	loop_rig_stop(e->rig);
	if (e->ch)
		chardev_detach(e->ch);
	loop_do_posted(e->rig->vm->loop);
	chardev_free(e->ch);
	e->ch = NULL;
}

static int teardown(void **state)
{
	struct end *e = *state;

	put_away(e);
	loop_rig_free(e->rig);
	pthread_mutex_destroy(&e->lock);
	test_free(e);
	return 0;
}

static void attach(struct end *e, const char *spec)
{
	struct chardev_front front = { .receive = take, .opaque = e, .lock = &e->lock };
	struct err err = { 0 };

	if (chardev_new(&e->ch, spec, &e->rig->log, &err) ||
	    chardev_attach(e->ch, e->rig->vm, &front, &err))
		fail_msg("%s", err.msg);
	loop_rig_start(e->rig);
}

static void attach_path(struct end *e, const char *kind)
{
	char spec[128];

	snprintf(spec, sizeof(spec), "%s=%s", kind, e->rig->path);
	attach(e, spec);
}

static void emit(struct end *e, const void *buf, size_t len)
{
	pthread_mutex_lock(&e->lock);
	chardev_write(e->ch, buf, len);
	pthread_mutex_unlock(&e->lock);
}

static size_t got(struct end *e)
{
	size_t n;

	pthread_mutex_lock(&e->lock);
	n = e->got_len;
	pthread_mutex_unlock(&e->lock);
	return n;
}

static void expect_got(struct end *e, const char *want)
{
	WAIT_FOR(got(e) >= strlen(want));
	assert_int_equal(got(e), strlen(want));
	assert_memory_equal(e->got, want, strlen(want));
}

static void refused(struct end *e, const char *spec, int want, const char *text)
{
	struct err err = { 0 };
	int ret = chardev_new(&e->ch, spec, NULL, &err);

	if (ret != want || !strstr(err.msg, text))
		fail_msg("%s: %d \"%s\", wanted %d with \"%s\"", spec, ret, err.msg, want, text);
	assert_null(e->ch);
}

static void strange_specs_are_refused(void **state)
{
	struct end *e = *state;
	char spec[256];

	refused(e, "", -EINVAL, "none, stdio, file=PATH and unix=PATH");
	refused(e, "tcp=1", -EINVAL, "\"tcp=1\" is no back end");
	refused(e, "file", -EINVAL, "no back end");
	refused(e, "file=", -EINVAL, "no back end");
	refused(e, "stdio=x", -EINVAL, "no back end");
	refused(e, "nonesuch", -EINVAL, "no back end");
	refused(e, "file=/nonexistent/x", -ENOENT, "No such file");
	memset(spec, 'a', sizeof(spec));
	memcpy(spec, "unix=/", 6);
	spec[5 + 108] = '\0';
	refused(e, spec, -ENAMETOOLONG, "at most 107 bytes");
}

static void none_takes_everything(void **state)
{
	struct end *e = *state;

	attach(e, "none");
	emit(e, "hello", 5);
	pthread_mutex_lock(&e->lock);
	chardev_resume(e->ch);
	pthread_mutex_unlock(&e->lock);
}

static void file_is_written_in_batches(void **state)
{
	struct end *e = *state;
	char text[1001], back[1001];
	FILE *f;
	size_t i;

	attach_path(e, "file");
	for (i = 0; i < 1000; i++) {
		text[i] = (char)('a' + i % 26);
		emit(e, &text[i], 1);
	}
	put_away(e);
	f = fopen(e->rig->path, "re");
	assert_non_null(f);
	assert_int_equal(fread(back, 1, sizeof(back), f), 1000);
	fclose(f);
	assert_memory_equal(back, text, 1000);
	/* One for each millisecond at most, and certainly not one for each byte. */
	assert_in_range(atomic_load(&writes), 1, 100);
}

/* A regular file takes it as fast as it comes: nothing is dropped however much it is. */
static void file_loses_nothing(void **state)
{
	struct end *e = *state;
	char block[4096];
	struct stat st;
	int i;

	memset(block, 'x', sizeof(block));
	attach_path(e, "file");
	for (i = 0; i < 256; i++)
		emit(e, block, sizeof(block));
	put_away(e);
	assert_int_equal(stat(e->rig->path, &st), 0);
	assert_int_equal(st.st_size, 256 * sizeof(block));
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(atomic_load(&e->rig->lines), 0);
}

static void full_disk_is_told_once(void **state)
{
	struct end *e = *state;
	int i;

	attach(e, "file=/dev/full");
	for (i = 0; i < 5; i++) {
		emit(e, "hello", 5);
		usleep(5000);
	}
	WAIT_FOR(atomic_load(&e->rig->lines) == 1);
	put_away(e);
	assert_int_equal(atomic_load(&e->rig->lines), 1);
}

static void socket_talks_both_ways(void **state)
{
	struct end *e = *state;
	struct stat st;
	int fd;

	attach_path(e, "unix");
	assert_int_equal(lstat(e->rig->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	emit(e, "early ", 6);
	fd = loop_rig_connect(e->rig);
	/* What was written before somebody came is there. */
	expect_bytes(fd, "early ", 6);
	emit(e, "hello", 5);
	expect_bytes(fd, "hello", 5);
	assert_int_equal(write(fd, "input", 5), 5);
	expect_got(e, "input");
	close(fd);
	put_away(e);
	assert_int_equal(lstat(e->rig->path, &st), -1);
}

static void clients_come_and_go(void **state)
{
	struct end *e = *state;
	int i, fd, waiting;

	attach_path(e, "unix");
	for (i = 0; i < 3; i++) {
		fd = loop_rig_connect(e->rig);
		emit(e, "x", 1);
		expect_bytes(fd, "x", 1);
		close(fd);
	}
	fd = loop_rig_connect(e->rig);
	emit(e, "1", 1);
	expect_bytes(fd, "1", 1);
	/* A second one waits for its turn. */
	waiting = loop_rig_connect(e->rig);
	assert_int_equal(write(waiting, "b", 1), 1);
	assert_int_equal(write(fd, "a", 1), 1);
	expect_got(e, "a");
	close(fd);
	expect_got(e, "ab");
	emit(e, "2", 1);
	expect_bytes(waiting, "2", 1);
	close(waiting);
	assert_int_equal(atomic_load(&e->rig->lines), 0);
}

/* A client that does not read costs the oldest output, one line in the log, and no waiting. */
static void deaf_client_loses_the_oldest(void **state)
{
	struct end *e = *state;
	static char block[8192];
	char last[8] = "";
	int fd, i;

	attach_path(e, "unix");
	fd = loop_rig_connect(e->rig);
	emit(e, "x", 1);
	expect_bytes(fd, "x", 1);
	memset(block, '.', sizeof(block));
	for (i = 0; i < 128; i++)
		emit(e, block, sizeof(block));
	emit(e, "the end", 7);
	assert_int_equal(atomic_load(&e->rig->lines), 1);
	/* The newest is there. */
	while (memcmp(last, "the end", 7) != 0) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		char c;

		assert_int_equal(poll(&pfd, 1, 5000), 1);
		assert_int_equal(read(fd, &c, 1), 1);
		memmove(last, last + 1, 6);
		last[6] = c;
	}
	close(fd);
}

static void stale_socket_is_replaced(void **state)
{
	struct end *e = *state;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char spec[128];

	memcpy(addr.sun_path, e->rig->path, strlen(e->rig->path));
	snprintf(spec, sizeof(spec), "unix=%s", e->rig->path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	refused(e, spec, -EADDRINUSE, "another program listens");
	close(fd);
	attach_path(e, "unix");
	fd = loop_rig_connect(e->rig);
	emit(e, "y", 1);
	expect_bytes(fd, "y", 1);
	close(fd);
}

static void other_files_stay(void **state)
{
	struct end *e = *state;
	char spec[128];
	struct stat st;
	int fd = open(e->rig->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	close(fd);
	snprintf(spec, sizeof(spec), "unix=%s", e->rig->path);
	refused(e, spec, -EEXIST, "not a socket");
	assert_int_equal(lstat(e->rig->path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void input_waits_for_room(void **state)
{
	struct end *e = *state;
	int fd;

	e->room = 3;
	attach_path(e, "unix");
	fd = loop_rig_connect(e->rig);
	assert_int_equal(write(fd, "0123456789", 10), 10);
	expect_got(e, "012");
	assert_int_equal(write(fd, "ABC", 3), 3);
	usleep(20000);
	assert_int_equal(got(e), 3);
	pthread_mutex_lock(&e->lock);
	e->room = 4;
	chardev_resume(e->ch);
	pthread_mutex_unlock(&e->lock);
	expect_got(e, "0123456");
	/* The client leaves before all was taken. */
	close(fd);
	usleep(20000);
	pthread_mutex_lock(&e->lock);
	e->room = 100;
	chardev_resume(e->ch);
	pthread_mutex_unlock(&e->lock);
	expect_got(e, "0123456789ABC");
}

static void second_front_end_is_refused(void **state)
{
	struct end *e = *state;
	struct chardev_front front = { .receive = take, .opaque = e, .lock = &e->lock };
	struct err err = { 0 };

	attach_path(e, "unix");
	assert_int_equal(chardev_attach(e->ch, e->rig->vm, &front, &err), -EBUSY);
}

/* Two devices cannot share standard input. */
static void stdio_is_for_one(void **state)
{
	struct end *e = *state;
	struct chardev_front front = { .receive = take, .opaque = e, .lock = &e->lock };
	struct chardev *other;
	struct err err = { 0 };

	attach(e, "stdio");
	assert_int_equal(chardev_new(&other, "stdio", NULL, &err), 0);
	assert_int_equal(chardev_attach(other, e->rig->vm, &front, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "--serial"));
	loop_rig_stop(e->rig);
	chardev_detach(e->ch);
	assert_int_equal(chardev_attach(other, e->rig->vm, &front, &err), 0);
	chardev_detach(other);
	chardev_free(other);
}

/* ---- standard input and output, which are other files meanwhile ---- */

struct stdio {
	int in, out;
};

static struct stdio stdio_replace(int in, int out)
{
	struct stdio old;

	fflush(stdout);
	old.in = fcntl(0, F_DUPFD_CLOEXEC, 10);
	old.out = fcntl(1, F_DUPFD_CLOEXEC, 10);
	dup2(in, 0);
	dup2(out, 1);
	return old;
}

static void stdio_back(struct stdio old)
{
	dup2(old.in, 0);
	dup2(old.out, 1);
	close(old.in);
	close(old.out);
}

static enum vm_request asked(struct vm *vm)
{
	enum vm_request request;

	pthread_mutex_lock(&vm->request_lock);
	request = vm->request;
	pthread_mutex_unlock(&vm->request_lock);
	return request;
}

static void open_terminal(int *ret_master, int *ret_slave)
{
	char name[64];

	*ret_master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(*ret_master >= 0);
	assert_int_equal(grantpt(*ret_master) | unlockpt(*ret_master), 0);
	assert_int_equal(ptsname_r(*ret_master, name, sizeof(name)), 0);
	*ret_slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(*ret_slave >= 0);
}

static void terminal_is_raw_while_attached(void **state)
{
	struct end *e = *state;
	struct termios before, during, after, handler;
	struct stdio old;
	char echo[512];
	ssize_t n;
	int master, slave;

	open_terminal(&master, &slave);
	tcgetattr(slave, &before);
	old = stdio_replace(slave, slave);
	attach(e, "stdio");
	tcgetattr(slave, &during);
	assert_int_equal(write(master, "a\x01" "ab\x03\r", 6), 6);
	WAIT_FOR(got(e) >= 5);
	emit(e, "out", 3);
	expect_bytes(master, "out", 3);
	/* The keys: help, then quit, even when the guest takes nothing. */
	pthread_mutex_lock(&e->lock);
	e->room = 0;
	pthread_mutex_unlock(&e->lock);
	assert_int_equal(write(master, "stuck\x01h", 7), 7);
	n = read(master, echo, sizeof(echo) - 1);
	assert_int_equal(write(master, "\x01x", 2), 2);
	WAIT_FOR(asked(e->rig->vm) == VM_QUIT);
	chardev_restore(e->ch);
	tcgetattr(slave, &handler);
	put_away(e);
	tcgetattr(slave, &after);
	stdio_back(old);
	close(master);
	close(slave);
	assert_memory_equal(e->got, "a\x01" "b\x03\r", 5);
	assert_int_equal(e->got_len, 5);
	assert_true(n > 0);
	echo[n] = '\0';
	assert_non_null(strstr(echo, "Ctrl-A x"));
	assert_int_equal(during.c_lflag & (ECHO | ICANON | ISIG), 0);
	assert_true(during.c_oflag & OPOST);
	assert_int_equal(handler.c_lflag, before.c_lflag);
	assert_int_equal(after.c_lflag, before.c_lflag);
	assert_int_equal(after.c_iflag, before.c_iflag);
}

static void end_of_input_is_no_error(void **state)
{
	struct end *e = *state;
	struct stdio old;
	int in[2], out[2];

	assert_int_equal(pipe(in) | pipe(out), 0);
	old = stdio_replace(in[0], out[1]);
	attach(e, "stdio");
	assert_int_equal(write(in[1], "last", 4), 4);
	close(in[1]);
	WAIT_FOR(got(e) == 4);
	usleep(20000);
	emit(e, "still here", 10);
	expect_bytes(out[0], "still here", 10);
	put_away(e);
	stdio_back(old);
	close(in[0]);
	close(out[0]);
	close(out[1]);
	assert_int_equal(atomic_load(&e->rig->lines), 0);
}

/* epoll takes neither a regular file nor /dev/null. */
static void input_from_a_file(void **state)
{
	struct end *e = *state;
	struct stdio old;
	int in = open(e->rig->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	int out = open("/dev/null", O_WRONLY | O_CLOEXEC);

	assert_int_equal(write(in, "a file\n", 7), 7);
	lseek(in, 0, SEEK_SET);
	e->room = 2;
	old = stdio_replace(in, out);
	attach(e, "stdio");
	WAIT_FOR(got(e) == 2);
	pthread_mutex_lock(&e->lock);
	e->room = 100;
	chardev_resume(e->ch);
	pthread_mutex_unlock(&e->lock);
	expect_got(e, "a file\n");
	emit(e, "x", 1);
	put_away(e);
	stdio_back(old);
	close(in);
	close(out);
}

static void closed_output_is_told_once(void **state)
{
	struct end *e = *state;
	struct stdio old;
	int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int out[2], i;

	assert_int_equal(pipe(out), 0);
	old = stdio_replace(in, out[1]);
	attach(e, "stdio");
	emit(e, "a", 1);
	expect_bytes(out[0], "a", 1);
	close(out[0]);
	for (i = 0; i < 5; i++) {
		emit(e, "b", 1);
		usleep(5000);
	}
	put_away(e);
	stdio_back(old);
	close(in);
	close(out[1]);
	assert_int_equal(atomic_load(&e->rig->lines), 1);
}

/* A pipe that nobody reads must not hold up the guest, nor the end of the program. */
static void full_pipe_does_not_block(void **state)
{
	struct end *e = *state;
	static char block[65536];
	struct stdio old;
	int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int out[2], i;

	assert_int_equal(pipe(out), 0);
	old = stdio_replace(in, out[1]);
	attach(e, "stdio");
	for (i = 0; i < 8; i++)
		emit(e, block, sizeof(block));
	/* The descriptor that others share has kept its mode. */
	i = fcntl(out[1], F_GETFL);
	put_away(e);
	stdio_back(old);
	close(in);
	close(out[0]);
	close(out[1]);
	assert_false(i & O_NONBLOCK);
	assert_int_equal(atomic_load(&e->rig->lines), 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(strange_specs_are_refused),
		T(none_takes_everything),
		T(file_is_written_in_batches),
		T(file_loses_nothing),
		T(full_disk_is_told_once),
		T(socket_talks_both_ways),
		T(clients_come_and_go),
		T(deaf_client_loses_the_oldest),
		T(stale_socket_is_replaced),
		T(other_files_stay),
		T(input_waits_for_room),
		T(second_front_end_is_refused),
		T(stdio_is_for_one),
		T(terminal_is_raw_while_attached),
		T(end_of_input_is_no_error),
		T(input_from_a_file),
		T(closed_output_is_told_once),
		T(full_pipe_does_not_block),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
