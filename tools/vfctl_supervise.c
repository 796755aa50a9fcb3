// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A write to sysfs lasts as long as the kernel pleases: sriov_numvfs while a driver talks to its
 * card, unbind while a guest holds the function, for ever where a driver hangs; and who waits in it
 * cannot be ended. So a change of the host is made by a child, and this process watches it: says
 * what it waits for, passes signals on, and gives up at a deadline where the child cannot. The child
 * keeps the card's lock as long as its write lasts, and undoes the change when it comes back.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "vfctl.h"

#define QUIET_S 3 /* a wait shorter than this is not worth a word */

static void change_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

/* A change is never cut in two by a signal: the signals wait, and are asked for between steps. */
static bool stop_asked(void *opaque)
{
	const struct vfctl *v = opaque;
	sigset_t set;

	return v->host.beat->abandoned ||
	       (!sigpending(&set) && (sigismember(&set, SIGINT) || sigismember(&set, SIGTERM) ||
				      sigismember(&set, SIGHUP)));
}

static void wipe(bool *shown)
{
	if (*shown)
		fputs("\r\033[K", stderr);
	*shown = false;
}

/* How long the write under way has lasted, in seconds; 0 when there is none. */
static uint64_t stuck_s(const struct host_beat *beat)
{
	uint64_t since = beat->since_ms, now = host_now_ms();

	return since && now > since ? (now - since) / 1000 : 0;
}

static int give_up(struct vfctl *v, pid_t child)
{
	struct host_beat *beat = v->host.beat;

	beat->abandoned = true;
	fprintf(stderr, "vfctl: %s: the kernel has not answered this write for %u s; it goes on in "
		"process %d, which holds the card's lock and undoes the change once it is answered; "
		"see: dmesg, and /proc/%d/stack\n", beat->path, v->timeout_s, (int)child, (int)child);
	return EXIT_FAILED;
}

static int status_code(int status)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	fprintf(stderr, "vfctl: ended by signal %d in the middle of a change; run it again, or see "
		"what is there with: vfctl list\n", WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

static int watch(struct vfctl *v, pid_t child, const sigset_t *set)
{
	const struct timespec second = { .tv_sec = 1 };
	bool shown = false, terminal = isatty(STDERR_FILENO) && !v->value[OPT_VERBOSE];
	uint64_t stuck;
	int sig, status;

	for (;;) {
		sig = sigtimedwait(set, NULL, &second);
		/* A child that was stopped and goes on says SIGCHLD too. */
		if (sig == SIGCHLD && waitpid(child, &status, WNOHANG) == child) {
			wipe(&shown);
			return status_code(status);
		}
		if (sig > 0 && sig != SIGCHLD)
			kill(child, sig);
		stuck = stuck_s(v->host.beat);
		if (stuck >= v->timeout_s) {
			wipe(&shown);
			return give_up(v, child);
		}
		if (stuck < QUIET_S || !terminal) {
			wipe(&shown);
			continue;
		}
		fprintf(stderr, "\r\033[Kthe kernel is at it: %s, %" PRIu64 " s", v->host.beat->path,
			stuck);
		shown = true;
	}
}

int vfctl_supervise(struct vfctl *v, const struct vfctl_command *c, int argc, char **argv)
{
	struct err err = { .code = 0 };
	pid_t parent = getpid(), child;
	sigset_t set;

	v->host.beat = mmap(NULL, sizeof(*v->host.beat), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (v->host.beat == MAP_FAILED) {
		err_sys(&err, -errno, "cannot watch over the change");
		return vfctl_fail(v, &err);
	}
	change_signals(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	child = fork();
	if (child < 0) {
		err_sys(&err, -errno, "cannot watch over the change");
		return vfctl_fail(v, &err);
	}
	if (child)
		return watch(v, child, &set);
	/* A change whose watcher was killed is undone, as if it had been asked for. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		v->host.beat->abandoned = true;
	v->host.stop = stop_asked;
	exit(vfctl_finish(c->run(v, argc, argv)));
}
