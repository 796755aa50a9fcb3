/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the fake host share. Paths are below its base. */
#ifndef VIADUCT_TESTS_FAKE_SYSFS_PRIV_H
#define VIADUCT_TESTS_FAKE_SYSFS_PRIV_H

#include <limits.h>

#include "fake_sysfs.h"

#define TREE "sys/devices/pci0000:00/%s" /* a function's folder */

void fk_die(const char *what, const char *path) __attribute__((noreturn));

/* The path below base. */
void fk_path(const struct fake *f, char buf[PATH_MAX], const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Sets one attribute of a function. */
void fk_attr(const struct fake *f, const char *addr, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void fk_link(struct fake *f, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The first line of a file, "" when there is none. */
void fk_line(const struct fake *f, char *buf, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The last component of a link's target, "" when there is none. */
void fk_link_base(const struct fake *f, char *buf, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
bool fk_exists(const struct fake *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

const struct fake_driver *fk_find_driver(const struct fake *f, const char *name);
int fk_group(const struct fake *f, const char *addr); /* -1: none */

/* Bind and unbind without asking whether the driver wants to. */
void fk_attach(struct fake *f, const char *addr, const char *driver);
void fk_detach(struct fake *f, const char *addr);

/* The host_ops. */
int fk_write(struct host *host, const char *path, const char *text);
int fk_net_addr(const struct host *host, const char *ifname, char *buf, size_t size);
int fk_node_own(const struct host *host, const char *path, uid_t uid, gid_t gid, mode_t mode);
int fk_node_try(const struct host *host, const char *path, int excl);
int fk_routes(const struct host *host, struct host_route **ret, size_t *ret_count);
int fk_route_to(const struct host *host, const char *to, const char *from,
		char ifname[HOST_NAME_MAX]);
/* Counts and fails as fk_write() does. */
int fk_replace(const struct host *host, const char *path, const char *text);

/* Waits until VFs that come late have come. */
void fk_late_join(struct fake *f);

#endif
