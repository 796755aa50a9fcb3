/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host as its kernel shows it: where sysfs, proc and dev are, and the few things that cannot
 * be read from a file. Everything in sriov/ takes one, so that all of it can work on another
 * host's tree mounted somewhere, or on a folder that a test made.
 *
 * Thread: a struct host belongs to one thread at a time.
 */
#ifndef VIADUCT_SRIOV_HOST_H
#define VIADUCT_SRIOV_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct host;

#define HOST_ROOT_MAX 512 /* longest root, with its terminator */
#define HOST_PATH_MAX 1024
#define HOST_NAME_MAX 64 /* a driver's, an interface's or a device's name */

/* An interface that carries a route, the default route if it is one of several. */
struct host_route {
	char ifname[HOST_NAME_MAX];
	char to[64]; /* "default", "192.0.2.0/24" */
};

/* What asks the kernel rather than a file, or changes it. host_init() installs the real ones. */
struct host_ops {
	/* Writes @text to the sysfs attribute @path in one write(2). Returns 0 or -errno. */
	int (*write)(struct host *host, const char *path, const char *text);
	/* The text of the first address of @ifname that shows somebody uses it (IPv6 link-local
	 * ones, which the kernel gives itself, do not). Returns 1 and fills @buf, 0, or -errno. */
	int (*net_addr)(const struct host *host, const char *ifname, char *buf, size_t size);
	/* Opens and closes the device node @path, with O_EXCL when @excl. Returns 0 (could be
	 * opened), -EBUSY (somebody holds it), -ENOENT and so on. */
	int (*node_try)(const struct host *host, const char *path, int excl);
	/* The MAC that the card of @ifname was made with. May be NULL. Returns 0 or -errno. */
	int (*net_own_mac)(const struct host *host, const char *ifname, unsigned char mac[6]);
	/* The interfaces that routes lead over, IPv4 and IPv6, of all tables, each once; not those
	 * routes that come with an address. @ret is on the heap. Returns 0 or -errno. NULL: as the
	 * running kernel says (host_net.h), which only who looks for use asks, so that a program
	 * that does not carries no netlink library. */
	int (*routes)(const struct host *host, struct host_route **ret, size_t *ret_count);
	/* The interface through which packets from the local address @from (may be "") to @to
	 * leave; where no route says, the one that has @from. Returns 0, -ENETUNREACH, -EINVAL for
	 * what is no address, or -errno. NULL as above. */
	int (*route_to)(const struct host *host, const char *to, const char *from,
			char ifname[HOST_NAME_MAX]);
	/* Makes the file @path, one of vfctl's own (host_file.h), hold @text or, when that is NULL,
	 * be gone. Returns 0 or -errno. */
	int (*replace)(const struct host *host, const char *path, const char *text);
	/* Makes the device node @path the user's, with @mode. Follows no link and takes nothing else
	 * than a character device. Returns 0 or -errno. */
	int (*node_own)(const struct host *host, const char *path, uid_t uid, gid_t gid,
			mode_t mode);
};

/* What a host's writer tells who watches it, in memory that both see. */
struct host_beat {
	_Atomic uint64_t since_ms; /* host_now_ms() when the write under way began; 0: none is */
	_Atomic bool abandoned;	   /* set by the watcher: nobody waits for the change any more */
	char path[HOST_PATH_MAX];  /* of that write */
};

struct host {
	char sysfs_root[HOST_ROOT_MAX]; /* "/sys" */
	char proc_root[HOST_ROOT_MAX];	/* "/proc" */
	char dev_root[HOST_ROOT_MAX];	/* "/dev" */
	char run_root[HOST_ROOT_MAX];	/* where the locks are; "" until one can be named */
	char state_root[HOST_ROOT_MAX]; /* "/run/viaduct": what outlives a program, not a restart */
	char lib_root[HOST_ROOT_MAX];	/* "/var/lib/vfctl": what outlives a restart too */
	const struct host_ops *ops;
	const struct vf_ops *vf_ops;	/* vf_attr.h; NULL before vf_attr_init() */
	void *opaque;			/* the ops' own */
	unsigned long writes;		/* sysfs writes tried so far */
	unsigned int wait_ms;		/* how long VFs may take to appear; 60 s */
	unsigned int lock_ms;		/* how long to wait for another vfctl; 10 s */
	/* Asked between the steps of a change; true: undo it and return -EINTR. May be NULL. */
	bool (*stop)(void *opaque);
	/* Called after every VF that a long operation finished; may be NULL. */
	void (*progress)(void *opaque, unsigned int done, unsigned int total);
	/* Called after every sysfs write, with its result; may be NULL. */
	void (*trace)(void *opaque, const char *path, const char *text, int result);
	/* Who gets the nodes of functions that are bound to a VFIO driver (node_owner.h); may be
	 * NULL: they stay root's. */
	const struct node_owner *owner;
	struct host_beat *beat;		/* kept up to date by host_write(); may be NULL */
	void *report_opaque;		/* handed to stop, progress and trace */
};

/*
 * @sysfs_root is NULL for the running host: /sys, /proc, /dev, locks in /run/vfctl, or for a user
 * other than root in $XDG_RUNTIME_DIR/vfctl, state in /run/viaduct and /var/lib/vfctl. With another
 * root DIR, the directories proc, dev, run and var/lib beside it (DIR/../proc ...) are used where
 * they exist, as in a host's tree mounted as a whole, and the running host's own where not.
 * Allocates nothing; there is no host_done(). Returns 0 or -ENAMETOOLONG.
 */
int host_init(struct host *host, const char *sysfs_root, struct err *err);

/* Puts "ROOT/formatted" into @buf. Returns 0 or -ENAMETOOLONG. */
int host_path(char buf[HOST_PATH_MAX], const char *root, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Reads the sysfs attribute named by the format below sysfs_root, without trailing white space.
 * Returns its length or -errno. */
ssize_t host_read(const struct host *host, char *buf, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* As host_read(), for a number: decimal, or hexadecimal with 0x. Returns 0 or -errno; -EINVAL
 * when it is no number. */
int host_read_long(const struct host *host, long *ret, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The last component of the link named by the format below sysfs_root. Returns 0, -ENOENT when
 * there is no such link, or -errno. */
int host_link(const struct host *host, char *buf, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* 1 when the path below sysfs_root is there, else 0. */
int host_has(const struct host *host, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The one way in which sriov/ changes the host: writes @text to the attribute named by the format
 * below sysfs_root and counts it. Returns 0 or -errno. */
int host_write(struct host *host, const char *text, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* What a request for a change that is no write to a file (rtnetlink, an ioctl) goes between, so that
 * it is counted, traced and has a deadline as one. @where, shorter than HOST_PATH_MAX, stands for
 * the path: "eth0 vf 3"; @what for the text: "vlan 100". */
void host_ask(struct host *host, const char *where);
void host_asked(struct host *host, const char *where, const char *what, int result);

/* Milliseconds of CLOCK_MONOTONIC; never 0. */
uint64_t host_now_ms(void);

/* True when the program wants the change that is under way to be undone. */
bool host_stopped(const struct host *host);

/* 1 when @name can be one component of a sysfs path: 1 to HOST_NAME_MAX - 1 printable characters,
 * no '/', not "." or "..". */
int host_name_ok(const char *name);

/* What came from outside, fit for a message of one line: at most @size - 1 characters of @text,
 * '?' for those that are not printable ASCII, "..." at the end when it was cut. Returns @buf. */
const char *host_printable(const char *text, char *buf, size_t size);

#endif
