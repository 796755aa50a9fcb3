// SPDX-License-Identifier: GPL-2.0-or-later
#include "host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "host_file.h"

static int real_write(struct host *host, const char *path, const char *text)
{
	(void)host;
	return io_write_text(path, text);
}

static int addr_text(const struct sockaddr *sa, char *buf, size_t size)
{
	const struct sockaddr_in6 *in6 = (const void *)sa;
	const struct sockaddr_in *in = (const void *)sa;

	if (sa->sa_family == AF_INET)
		return inet_ntop(AF_INET, &in->sin_addr, buf, (socklen_t)size) ? 1 : -errno;
	if (sa->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
		return inet_ntop(AF_INET6, &in6->sin6_addr, buf, (socklen_t)size) ? 1 : -errno;
	return 0;
}

static int real_net_addr(const struct host *host, const char *ifname, char *buf, size_t size)
{
	struct ifaddrs *list, *i;
	int ret = 0;

	(void)host;
	if (getifaddrs(&list) < 0)
		return -errno;
	for (i = list; i && !ret; i = i->ifa_next) {
		if (i->ifa_addr && !strcmp(i->ifa_name, ifname))
			ret = addr_text(i->ifa_addr, buf, size);
	}
	freeifaddrs(list);
	return ret;
}

static int real_node_try(const struct host *host, const char *path, int excl)
{
	/* Read-only for a disk: closing one that was open for writing makes udev probe it anew. */
	int flags = excl ? O_RDONLY | O_EXCL : O_RDWR;
	int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);

	(void)host;
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

#define OWN_MAC_ROOM 32 /* MAX_ADDR_LEN of linux/netdevice.h, which does not go with net/if.h */

static int real_net_own_mac(const struct host *host, const char *ifname, unsigned char mac[6])
{
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	union {
		struct ethtool_perm_addr head;
		unsigned char bytes[sizeof(struct ethtool_perm_addr) + OWN_MAC_ROOM];
	} perm = { .head = { .cmd = ETHTOOL_GPERMADDR, .size = OWN_MAC_ROOM } };
	struct ifreq req = { .ifr_data = (void *)&perm };

	(void)host;
	if (strlen(ifname) >= sizeof(req.ifr_name))
		return -ENODEV;
	memcpy(req.ifr_name, ifname, strlen(ifname) + 1);
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &req) < 0)
		return -errno;
	if (perm.head.size != 6)
		return -ENODATA;
	memcpy(mac, perm.bytes + sizeof(perm.head), 6);
	return 0;
}

static int real_node_own(const struct host *host, const char *path, uid_t uid, gid_t gid, mode_t mode)
{
	CLEANUP_CLOSE int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char self[32];
	struct stat st;

	(void)host;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode))
		return -ENODEV;
	/* fchmod() takes no O_PATH. The mode first, so that its user never has it with another's. */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (chmod(self, mode) < 0 || fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

static const struct host_ops real_ops = {
	.write = real_write,
	.net_addr = real_net_addr,
	.node_try = real_node_try,
	.net_own_mac = real_net_own_mac,
	.replace = host_file_replace,
	.node_own = real_node_own,
};

static int set_root(char root[HOST_ROOT_MAX], const char *dir, const char *sub)
{
	int n = snprintf(root, HOST_ROOT_MAX, "%s%s", dir, sub);

	return n < 0 || n >= HOST_ROOT_MAX ? -ENAMETOOLONG : 0;
}

/* The directory @sub beside sysfs_root where there is one, else @fallback. */
static int set_sibling(const struct host *host, char root[HOST_ROOT_MAX], const char *sub,
		       const char *fallback)
{
	int ret = set_root(root, host->sysfs_root, sub);

	if (!ret && access(root, F_OK) < 0)
		ret = set_root(root, fallback, "");
	return ret;
}

static int set_lib_root(struct host *host, bool relocated)
{
	int ret;

	if (relocated) {
		ret = set_root(host->lib_root, host->sysfs_root, "/../var/lib");
		if (!ret && !access(host->lib_root, F_OK))
			return set_root(host->lib_root, host->sysfs_root, "/../var/lib/vfctl");
	}
	return set_root(host->lib_root, "/var/lib/vfctl", "");
}

static int set_run_root(struct host *host, bool relocated)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	int ret;

	if (relocated) {
		ret = set_root(host->run_root, host->sysfs_root, "/../run");
		if (!ret && !access(host->run_root, F_OK)) {
			ret = set_root(host->run_root, host->sysfs_root, "/../run/vfctl");
			return ret ? ret : set_root(host->state_root, host->sysfs_root,
						    "/../run/viaduct");
		}
	}
	set_root(host->state_root, "/run/viaduct", "");
	host->run_root[0] = '\0';
	if (geteuid() == 0)
		return set_root(host->run_root, "/run/vfctl", "");
	return xdg && *xdg == '/' ? set_root(host->run_root, xdg, "/vfctl") : 0;
}

int host_init(struct host *host, const char *sysfs_root, struct err *err)
{
	const char *root = sysfs_root ? sysfs_root : "/sys";
	bool relocated = strcmp(root, "/sys") != 0;
	size_t len;
	int ret;

	memset(host, 0, sizeof(*host));
	host->ops = &real_ops;
	host->wait_ms = 60000;
	host->lock_ms = 10000;
	ret = set_root(host->sysfs_root, root, "");
	if (ret)
		return err_set(err, ret, "the sysfs root is longer than %d bytes", HOST_ROOT_MAX);
	for (len = strlen(host->sysfs_root); len > 1 && host->sysfs_root[len - 1] == '/'; len--)
		host->sysfs_root[len - 1] = '\0';
	if (relocated) {
		ret = set_sibling(host, host->proc_root, "/../proc", "/proc");
		if (!ret)
			ret = set_sibling(host, host->dev_root, "/../dev", "/dev");
	} else {
		ret = set_root(host->proc_root, "/proc", "");
		if (!ret)
			ret = set_root(host->dev_root, "/dev", "");
	}
	if (!ret)
		ret = set_run_root(host, relocated);
	if (!ret)
		ret = set_lib_root(host, relocated);
	return ret ? err_set(err, ret, "%s: the path is too long", root) : 0;
}

static int path_v(char buf[HOST_PATH_MAX], const char *root, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

static int path_v(char buf[HOST_PATH_MAX], const char *root, const char *fmt, va_list ap)
{
	int len = snprintf(buf, HOST_PATH_MAX, "%s/", root);
	int n;

	if (len < 0 || len >= HOST_PATH_MAX)
		return -ENAMETOOLONG;
	n = vsnprintf(buf + len, (size_t)(HOST_PATH_MAX - len), fmt, ap);
	return n < 0 || n >= HOST_PATH_MAX - len ? -ENAMETOOLONG : 0;
}

int host_path(char buf[HOST_PATH_MAX], const char *root, const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = path_v(buf, root, fmt, ap);
	va_end(ap);
	return ret;
}

ssize_t host_read(const struct host *host, char *buf, size_t size, const char *fmt, ...)
{
	char path[HOST_PATH_MAX];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = path_v(path, host->sysfs_root, fmt, ap);
	va_end(ap);
	return ret ? ret : io_read_text(path, buf, size);
}

int host_read_long(const struct host *host, long *ret_value, const char *fmt, ...)
{
	char path[HOST_PATH_MAX], text[32], *end;
	va_list ap;
	ssize_t n;
	long v;
	int ret;

	va_start(ap, fmt);
	ret = path_v(path, host->sysfs_root, fmt, ap);
	va_end(ap);
	if (ret)
		return ret;
	n = io_read_text(path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	errno = 0;
	v = strtol(text, &end, !strncmp(text, "0x", 2) ? 16 : 10);
	if (end == text || *end || errno)
		return -EINVAL;
	*ret_value = v;
	return 0;
}

int host_link(const struct host *host, char *buf, size_t size, const char *fmt, ...)
{
	char path[HOST_PATH_MAX], target[HOST_PATH_MAX];
	const char *base;
	va_list ap;
	ssize_t n;
	int ret;

	va_start(ap, fmt);
	ret = path_v(path, host->sysfs_root, fmt, ap);
	va_end(ap);
	if (ret)
		return ret;
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return errno == EINVAL || errno == ENOTDIR ? -ENOENT : -errno;
	target[n] = '\0';
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	if (strlen(base) >= size)
		return -EOVERFLOW;
	memcpy(buf, base, strlen(base) + 1);
	return 0;
}

int host_has(const struct host *host, const char *fmt, ...)
{
	char path[HOST_PATH_MAX];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = path_v(path, host->sysfs_root, fmt, ap);
	va_end(ap);
	return !ret && !access(path, F_OK);
}

uint64_t host_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000 + 1;
}

/* A write to @path begins, or with NULL has ended. */
static void beat(struct host *host, const char *path)
{
	if (!host->beat)
		return;
	if (path)
		memcpy(host->beat->path, path, strlen(path) + 1);
	host->beat->since_ms = path ? host_now_ms() : 0;
}

void host_ask(struct host *host, const char *where)
{
	host->writes++;
	beat(host, where);
}

void host_asked(struct host *host, const char *where, const char *what, int result)
{
	beat(host, NULL);
	if (host->trace)
		host->trace(host->report_opaque, where, what, result);
}

int host_write(struct host *host, const char *text, const char *fmt, ...)
{
	char path[HOST_PATH_MAX];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = path_v(path, host->sysfs_root, fmt, ap);
	va_end(ap);
	if (ret)
		return ret;
	host_ask(host, path);
	ret = host->ops->write(host, path, text);
	host_asked(host, path, text, ret);
	return ret;
}

bool host_stopped(const struct host *host)
{
	return host->stop && host->stop(host->report_opaque);
}

int host_name_ok(const char *name)
{
	size_t i;

	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return 0;
	for (i = 0; name[i]; i++) {
		if (i == HOST_NAME_MAX - 1 || name[i] <= ' ' || name[i] > '~' || name[i] == '/')
			return 0;
	}
	return 1;
}

const char *host_printable(const char *text, char *buf, size_t size)
{
	size_t i;

	for (i = 0; i + 1 < size && text[i]; i++)
		buf[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	buf[i] = '\0';
	if (text[i] && size > 4)
		memcpy(buf + size - 4, "...", 4);
	return buf;
}
