/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the vfctl program share. */
#ifndef VIADUCT_TOOLS_VFCTL_H
#define VIADUCT_TOOLS_VFCTL_H

#include <stdbool.h>

#include "base/err.h"
#include "sriov/host.h"
#include "sriov/node_owner.h"

#define EXIT_DONE 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_DIFFERS 2 /* of a command that tells by 2 */
#define EXIT_STOPPED 130 /* 128 + SIGINT, as a shell says it */

/* Options that a command may take beside --sysfs-root and --help. */
enum vfctl_opt {
	OPT_JSON,
	OPT_FORCE,	/* kinds of use; decoded into v->force */
	OPT_DRIVER,
	OPT_VERBOSE,
	OPT_FILE,	/* the desired state, /etc/vfctl.yaml when not given */
	OPT_OWNER,
	OPT_PID,
	OPT_FORMAT,
	OPT_TIMEOUT,	/* seconds; decoded into v->timeout_s */
	OPT_WAIT,	/* seconds; decoded into v->wait_s */
	OPT_COUNT
};

struct pci_names;

struct vfctl {
	struct host host;
	const char *sysfs_root; /* NULL: the running host's */
	const char *value[OPT_COUNT]; /* "" for one without a value; NULL: not given */
	unsigned int force;	/* kinds of use that are overridden (use.h) */
	struct node_owner owner; /* bind, create: --owner */
	unsigned int timeout_s; /* for one write of a change */
	unsigned int wait_s;	/* for functions that are not there yet */
	bool help;
	bool progress_shown;	/* a line on the terminal to be wiped */
};

struct vfctl_command {
	const char *name;
	int (*run)(struct vfctl *v, int argc, char **argv); /* an EXIT_ code */
	const char *synopsis;
	const char *help;
	unsigned int options;	/* BIT(OPT_...) of those it takes */
	int min_args, max_args; /* max_args < 0: any number */
	bool changes;		/* the host: run by vfctl_supervise() */
	bool tells_by_2;	/* exit status 2 means a difference, so wrong usage is 1 */
};

int vfctl_list(struct vfctl *v, int argc, char **argv);
int vfctl_show(struct vfctl *v, int argc, char **argv);
int vfctl_create(struct vfctl *v, int argc, char **argv);
int vfctl_destroy(struct vfctl *v, int argc, char **argv);
int vfctl_bind(struct vfctl *v, int argc, char **argv);
int vfctl_explain(struct vfctl *v, int argc, char **argv);
int vfctl_clear(struct vfctl *v, int argc, char **argv);
int vfctl_unbind(struct vfctl *v, int argc, char **argv);
int vfctl_plan(struct vfctl *v, int argc, char **argv);
int vfctl_apply(struct vfctl *v, int argc, char **argv);
int vfctl_restore(struct vfctl *v, int argc, char **argv);
int vfctl_status(struct vfctl *v, int argc, char **argv);
int vfctl_acquire(struct vfctl *v, int argc, char **argv);
int vfctl_release(struct vfctl *v, int argc, char **argv);
int vfctl_leases(struct vfctl *v, int argc, char **argv);
int vfctl_set(struct vfctl *v, int argc, char **argv);
int vfctl_doctor(struct vfctl *v, int argc, char **argv);
int vfctl_export(struct vfctl *v, int argc, char **argv);
int vfctl_watch(struct vfctl *v, int argc, char **argv);

/* Prints "vfctl: message" on stderr. Returns EXIT_FAILED, or EXIT_STOPPED for -EINTR. */
int vfctl_fail(const struct vfctl *v, const struct err *err);

/* Prints "vfctl: formatted" on stderr. Returns EXIT_USAGE. */
int vfctl_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Runs a command that changes the host in a process that this one watches, with a deadline for each
 * write to the kernel. Returns its EXIT_ code; 128 and the signal when one ended it. */
int vfctl_supervise(struct vfctl *v, const struct vfctl_command *c, int argc, char **argv);

/* @code, or EXIT_FAILED with a message when the output did not get out. */
int vfctl_finish(int code);

/* Where the desired state is: --file, or /etc/vfctl.yaml. */
const char *vfctl_file(const struct vfctl *v);

/* libpci opened for this host. The program ends with a message when that fails. */
struct pci_names *vfctl_names(struct vfctl *v);

#endif
