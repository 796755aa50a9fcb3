/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts system calls of a scenario exactly: it runs in a child that is traced, and what threads
 * other than the child's first one call between syscall_count_begin() and syscall_count_end() is
 * counted.
 */
#ifndef VIADUCT_TESTS_SYSCALL_COUNT_H
#define VIADUCT_TESTS_SYSCALL_COUNT_H

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYSCALL_COUNT_BEGIN 0x7fff0001
#define SYSCALL_COUNT_END 0x7fff0002

/* getpgid() of processes that do not exist: nobody else calls that. */
static inline void syscall_count_begin(void)
{
	syscall(SYS_getpgid, SYSCALL_COUNT_BEGIN);
}

static inline void syscall_count_end(void)
{
	syscall(SYS_getpgid, SYSCALL_COUNT_END);
}

struct syscall_counter {
	pid_t child;
	long count;
	int counting;
	int status; /* of the child */
};

/* A stop of @pid at a system call; each call stops twice, the first time with -ENOSYS. */
static inline void syscall_count_stop(struct syscall_counter *c, pid_t pid)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) || (long)regs.rax != -ENOSYS)
		return;
	if (pid != c->child) {
		c->count += c->counting;
		return;
	}
	if (regs.orig_rax == SYS_getpgid && regs.rdi == SYSCALL_COUNT_BEGIN)
		c->counting = 1;
	if (regs.orig_rax == SYS_getpgid && regs.rdi == SYSCALL_COUNT_END)
		c->counting = 0;
}

static inline void syscall_count_follow(struct syscall_counter *c)
{
	int status, sig;
	pid_t pid;

	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			if (pid != c->child)
				continue;
			c->status = status;
			return;
		}
		sig = WSTOPSIG(status);
		if (sig == (SIGTRAP | 0x80))
			syscall_count_stop(c, pid);
		if (sig == (SIGTRAP | 0x80) || sig == SIGTRAP || sig == SIGSTOP)
			sig = 0;
		ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)sig);
	}
}

/* Runs @scenario(@arg) in a child, whose exit status it gives; returns how many calls, or -errno
 * when tracing is not allowed here. */
static inline long syscall_count(int (*scenario)(void *), void *arg, int *ret_status)
{
	struct syscall_counter c = { .child = fork() };
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
	int status;

	if (c.child < 0)
		return -errno;
	if (!c.child) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(255);
		raise(SIGSTOP);
		_exit(scenario(arg));
	}
	if (waitpid(c.child, &status, 0) != c.child || !WIFSTOPPED(status))
		return -EPERM;
	ptrace(PTRACE_SETOPTIONS, c.child, NULL, (void *)options);
	ptrace(PTRACE_SYSCALL, c.child, NULL, NULL);
	syscall_count_follow(&c);
	*ret_status = WIFEXITED(c.status) ? WEXITSTATUS(c.status) : 128 + WTERMSIG(c.status);
	return c.count;
}

#endif
