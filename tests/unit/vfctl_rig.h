/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs the vfctl program on the fake host and keeps what it prints. */
#ifndef VIADUCT_TESTS_VFCTL_RIG_H
#define VIADUCT_TESTS_VFCTL_RIG_H

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/util.h"
#include "fake_sysfs.h"
#include "sriov/vf.h"

#define ARGS_MAX 16
#define IGB "0000:01:00.0"

struct run {
	int code;  /* exit status, or 1000 + signal */
	char *out; /* its stdout */
	char *err; /* its stderr */
};

static inline char *slurp(const char *path)
{
	struct stat st;
	char *text;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	text = malloc((size_t)st.st_size + 1);
	assert_non_null(text);
	n = read(fd, text, (size_t)st.st_size);
	assert_int_equal(n, st.st_size);
	text[n] = '\0';
	close(fd);
	return text;
}

static inline void to_fd(int fd, const char *path)
{
	int from = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (from < 0 || dup2(from, fd) < 0)
		_exit(99);
	if (from != fd)
		close(from);
}

/* @to: where stdout goes; NULL: is kept in r->out; "": is closed. */
static inline void run_to(struct fake *f, struct run *r, const char *to, const char *const *args)
{
	const char *argv[ARGS_MAX + 4] = { "vfctl", "--sysfs-root", f->sys };
	char out[300], err[300];
	int i, status;
	pid_t pid;

	for (i = 0; i < ARGS_MAX && args[i]; i++)
		argv[3 + i] = args[i];
	snprintf(out, sizeof(out), "%s/out", f->base);
	snprintf(err, sizeof(err), "%s/err", f->base);
	pid = fork();
	if (!pid) {
		to_fd(2, err);
		if (to && !*to)
			close(1);
		else
			to_fd(1, to ? to : out);
		execv(VFCTL_PATH, (char **)argv);
		_exit(98);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	r->code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
	r->out = to ? NULL : slurp(out);
	r->err = slurp(err);
}

#define RUN(f, r, ...) run_to(f, r, NULL, (const char *const[]){ __VA_ARGS__, NULL })

static inline void run_done(struct run *r)
{
	free(r->out);
	free(r->err);
}

/* Fails with @code, nothing on stdout and one line on stderr that holds @text. */
#define EXPECT_ERROR(f, code, text, ...) \
	expect_error(f, code, text, (const char *const[]){ __VA_ARGS__, NULL })

static inline void expect_error(struct fake *f, int code, const char *text, const char *const *args)
{
	struct run r;

	run_to(f, &r, NULL, args);
	if (r.code != code || !strstr(r.err, text))
		print_message("exit %d: %s\n", r.code, r.err);
	assert_int_equal(r.code, code);
	assert_string_equal(r.out, "");
	assert_int_equal(strncmp(r.err, "vfctl: ", 7), 0);
	assert_non_null(strstr(r.err, text));
	assert_ptr_equal(strchr(r.err, '\n'), r.err + strlen(r.err) - 1);
	run_done(&r);
}

static inline void make_vfs(struct fake *f)
{
	struct pci_addr pf;

	assert_int_equal(pci_addr_parse(IGB, &pf), 0);
	assert_int_equal(vf_create(&f->host, &pf, 7, "vfio-pci", false, NULL, NULL), 0);
}

static inline struct json_object *member(struct json_object *o, const char *key)
{
	struct json_object *value;

	assert_true(json_object_object_get_ex(o, key, &value));
	return value;
}

static inline const char *text_of(struct json_object *o, const char *key)
{
	return json_object_get_string(member(o, key));
}

#endif
