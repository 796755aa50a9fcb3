// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_sysfs_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void fk_die(const char *what, const char *path)
{
	fprintf(stderr, "fake_sysfs: %s: %s: %s\n", what, path, strerror(errno));
	abort();
}

/* The path below base, with the folders on its way. */

void fk_path(const struct fake *f, char buf[PATH_MAX], const char *fmt, ...)
{
	int n = snprintf(buf, PATH_MAX, "%s/", f->base);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + n, (size_t)(PATH_MAX - n), fmt, ap);
	va_end(ap);
}

static void make_folders(char *path)
{
	char *p = path + 1;

	while ((p = strchr(p, '/'))) {
		*p = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			fk_die("mkdir", path);
		*p++ = '/';
	}
}

static void put(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0) {
		char *copy = strdup(path);

		make_folders(copy);
		free(copy);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	}
	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		fk_die("write", path);
	close(fd);
}

static void put_f(const struct fake *f, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void put_f(const struct fake *f, const char *path, const char *fmt, ...)
{
	char full[PATH_MAX], text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fk_path(f, full, "%s", path);
	put(full, text, (size_t)n);
}

/* One attribute of a function. */

void fk_attr(const struct fake *f, const char *addr, const char *name, const char *fmt, ...)
{
	char path[PATH_MAX], text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fk_path(f, path, TREE "/%s", addr, name);
	put(path, text, (size_t)n);
}

void fake_text(struct fake *f, const char *path, const char *text)
{
	char full[PATH_MAX];

	fk_path(f, full, "%s", path);
	put(full, text, strlen(text));
}

void fake_link(struct fake *f, const char *target, const char *path)
{
	char full[PATH_MAX];

	fk_path(f, full, "%s", path);
	if (!symlink(target, full))
		return;
	make_folders(full);
	if (symlink(target, full) < 0)
		fk_die("symlink", full);
}


void fk_link(struct fake *f, const char *path, const char *fmt, ...)
{
	char target[PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(target, sizeof(target), fmt, ap);
	va_end(ap);
	fake_link(f, target, path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
		fk_die("remove", path);
}

void fake_remove(struct fake *f, const char *path)
{
	char full[PATH_MAX];

	fk_path(f, full, "%s", path);
	remove_tree(full);
}

char *fake_read(const struct fake *f, const char *path)
{
	char full[PATH_MAX];
	char *buf = calloc(1, 65536);
	ssize_t n;
	int fd;

	fk_path(f, full, "%s", path);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (!buf || fd < 0)
		fk_die("read", full);
	n = read(fd, buf, 65535);
	if (n < 0)
		fk_die("read", full);
	close(fd);
	return buf;
}


/* The first line of a file below base, "" when there is none. */
void fk_line(const struct fake *f, char *buf, size_t size, const char *fmt, ...)
{
	char rel[PATH_MAX], path[PATH_MAX];
	va_list ap;
	ssize_t n;
	int fd;

	va_start(ap, fmt);
	vsnprintf(rel, sizeof(rel), fmt, ap);
	va_end(ap);
	fk_path(f, path, "%s", rel);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, size - 1);
	if (fd >= 0)
		close(fd);
	buf[n < 0 ? 0 : n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
}


bool fk_exists(const struct fake *f, const char *fmt, ...)
{
	char rel[PATH_MAX], path[PATH_MAX];
	struct stat st;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(rel, sizeof(rel), fmt, ap);
	va_end(ap);
	fk_path(f, path, "%s", rel);
	return !lstat(path, &st);
}


/* The last component of a link below base, "" when there is none. */
void fk_link_base(const struct fake *f, char *buf, size_t size, const char *fmt, ...)
{
	char rel[PATH_MAX], path[PATH_MAX], target[PATH_MAX];
	const char *slash;
	va_list ap;
	ssize_t n;

	va_start(ap, fmt);
	vsnprintf(rel, sizeof(rel), fmt, ap);
	va_end(ap);
	fk_path(f, path, "%s", rel);
	n = readlink(path, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	slash = strrchr(target, '/');
	snprintf(buf, size, "%s", slash ? slash + 1 : target);
}

const struct fake_driver *fk_find_driver(const struct fake *f, const char *name)
{
	size_t i;

	for (i = 0; i < f->driver_count; i++) {
		if (!strcmp(f->drivers[i].name, name))
			return &f->drivers[i];
	}
	return NULL;
}

static void write_uevent(const struct fake *f, const char *addr, const char *driver)
{
	char vendor[16], device[16], class[16];

	fk_line(f, vendor, sizeof(vendor), TREE "/vendor", addr);
	fk_line(f, device, sizeof(device), TREE "/device", addr);
	fk_line(f, class, sizeof(class), TREE "/class", addr);
	fk_attr(f, addr, "uevent", "%s%s%sPCI_CLASS=%lX\nPCI_ID=%04lX:%04lX\nPCI_SLOT_NAME=%s\n",
	     *driver ? "DRIVER=" : "", driver, *driver ? "\n" : "", strtoul(class, NULL, 16),
	     strtoul(vendor, NULL, 16), strtoul(device, NULL, 16), addr);
}

int fk_group(const struct fake *f, const char *addr)
{
	char text[16];

	fk_link_base(f, text, sizeof(text), TREE "/iommu_group", addr);
	return *text ? atoi(text) : -1;
}

static void vfio_node(struct fake *f, const char *addr, bool add)
{
	int group = fk_group(f, addr);
	char path[64];

	snprintf(path, sizeof(path), "dev/vfio/%d", group);
	if (group < 0)
		return;
	if (add)
		fake_text(f, path, "");
	else
		fake_remove(f, path);
}

static void net_name_of(const char *addr, char buf[16])
{
	struct pci_addr a;

	if (pci_addr_parse(addr, &a))
		fk_die("address", addr);
	snprintf(buf, 16, "n%xs%xf%x", a.bus, a.dev, a.fn);
}

void fake_netdev(struct fake *f, const char *addr, const char *name, unsigned int flags,
		 const char *address)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), TREE "/net/%s/flags", addr, name);
	put_f(f, path, "0x%x\n", 0x1002 | flags);
	snprintf(path, sizeof(path), TREE "/net/%s/operstate", addr, name);
	put_f(f, path, "%s\n", flags & 1 ? "up" : "down");
	snprintf(path, sizeof(path), "sys/class/net/%s", name);
	fk_link(f, path, "../../devices/pci0000:00/%s/net/%s", addr, name);
	if (address)
		fake_net_addr(f, name, address);
}

void fake_net_addr(struct fake *f, const char *name, const char *address)
{
	if (f->net_count == FAKE_LIST_MAX)
		fk_die("too many addresses", name);
	snprintf(f->net_name[f->net_count], sizeof(f->net_name[0]), "%s", name);
	snprintf(f->net_addr[f->net_count++], sizeof(f->net_addr[0]), "%s", address);
}

void fake_route(struct fake *f, const char *name, const char *to)
{
	struct host_route *r = &f->routes[f->route_count++];

	if (f->route_count > FAKE_LIST_MAX)
		fk_die("too many routes", name);
	snprintf(r->ifname, sizeof(r->ifname), "%s", name);
	snprintf(r->to, sizeof(r->to), "%s", to);
}

void fake_way(struct fake *f, const char *to, const char *name)
{
	snprintf(f->way_to, sizeof(f->way_to), "%s", to);
	snprintf(f->way_name, sizeof(f->way_name), "%s", name);
}

void fake_upper(struct fake *f, const char *name, unsigned int flags, const char *lower,
		bool master)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "sys/devices/virtual/net/%s/flags", name);
	put_f(f, path, "0x%x\n", 0x1002 | flags);
	snprintf(path, sizeof(path), "sys/class/net/%s", name);
	if (!fk_exists(f, "%s", path))
		fk_link(f, path, "../../devices/virtual/net/%s", name);
	if (!lower)
		return;
	snprintf(path, sizeof(path), "sys/class/net/%s/upper_%s", lower, name);
	fk_link(f, path, "../../../virtual/net/%s", name);
	snprintf(path, sizeof(path), "sys/class/net/%s/master", lower);
	if (master)
		fk_link(f, path, "../../../virtual/net/%s", name);
}

static void remove_netdevs(struct fake *f, const char *addr)
{
	char path[PATH_MAX], link[PATH_MAX];
	struct dirent *e;
	DIR *dir;

	fk_path(f, path, TREE "/net", addr);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		fk_path(f, link, "sys/class/net/%s", e->d_name);
		unlink(link);
	}
	if (dir)
		closedir(dir);
	remove_tree(path);
}

void fk_attach(struct fake *f, const char *addr, const char *driver)
{
	const struct fake_driver *d = fk_find_driver(f, driver);
	char path[PATH_MAX], name[16];

	if (!d)
		fk_die("no such driver", driver);
	snprintf(path, sizeof(path), TREE "/driver", addr);
	fk_link(f, path, "../../../bus/pci/drivers/%s", driver);
	snprintf(path, sizeof(path), "sys/bus/pci/drivers/%s/%s", driver, addr);
	fk_link(f, path, "../../../../devices/pci0000:00/%s", addr);
	write_uevent(f, addr, driver);
	if (strstr(driver, "vfio"))
		vfio_node(f, addr, true);
	net_name_of(addr, name);
	if (d->net)
		fake_netdev(f, addr, name, 0, NULL);
}

void fk_detach(struct fake *f, const char *addr)
{
	char driver[HOST_NAME_MAX], path[PATH_MAX];

	fk_link_base(f, driver, sizeof(driver), TREE "/driver", addr);
	if (!*driver)
		return;
	fk_path(f, path, TREE "/driver", addr);
	unlink(path);
	fk_path(f, path, "sys/bus/pci/drivers/%s/%s", driver, addr);
	unlink(path);
	write_uevent(f, addr, "");
	remove_netdevs(f, addr);
	if (strstr(driver, "vfio"))
		vfio_node(f, addr, false);
}

void fake_driver(struct fake *f, const char *name, uint16_t vendor, uint16_t device, bool net)
{
	struct fake_driver *d = &f->drivers[f->driver_count++];
	char path[PATH_MAX];

	if (f->driver_count > FAKE_DRIVERS_MAX)
		fk_die("too many drivers", name);
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->vendor = vendor;
	d->device = device;
	d->net = net;
	snprintf(path, sizeof(path), "sys/bus/pci/drivers/%s/bind", name);
	fake_text(f, path, "");
	snprintf(path, sizeof(path), "sys/bus/pci/drivers/%s/unbind", name);
	fake_text(f, path, "");
}

static void join_group(struct fake *f, const char *addr, int group)
{
	char path[PATH_MAX];

	if (group < 0)
		return;
	snprintf(path, sizeof(path), TREE "/iommu_group", addr);
	fk_link(f, path, "../../../kernel/iommu_groups/%d", group);
	snprintf(path, sizeof(path), "sys/kernel/iommu_groups/%d/devices/%s", group, addr);
	fk_link(f, path, "../../../../devices/pci0000:00/%s", addr);
}

static void put_config(const struct fake *f, const struct fake_func *s)
{
	unsigned char c[256] = { 0 };
	char path[PATH_MAX];

	c[0] = (unsigned char)s->vendor;
	c[1] = (unsigned char)(s->vendor >> 8);
	c[2] = (unsigned char)s->device;
	c[3] = (unsigned char)(s->device >> 8);
	c[6] = 0x10; /* status: a capability list */
	c[8] = 1;
	c[9] = (unsigned char)s->class;
	c[10] = (unsigned char)(s->class >> 8);
	c[11] = (unsigned char)(s->class >> 16);
	c[14] = s->class >> 8 == 0x0604;
	c[0x34] = 0x40;
	c[0x40] = 0x11; /* MSI-X, then PCI Express */
	c[0x41] = 0x60;
	c[0x42] = 2;
	c[0x60] = 0x10;
	c[0x62] = 2;
	fk_path(f, path, TREE "/config", s->addr);
	put(path, (const char *)c, sizeof(c));
}

void fake_func(struct fake *f, const struct fake_func *s)
{
	char path[PATH_MAX];

	fk_attr(f, s->addr, "vendor", "0x%04x\n", s->vendor);
	fk_attr(f, s->addr, "device", "0x%04x\n", s->device);
	fk_attr(f, s->addr, "subsystem_vendor", "0x%04x\n", s->vendor);
	fk_attr(f, s->addr, "subsystem_device", "0x0001\n");
	fk_attr(f, s->addr, "class", "0x%06x\n", s->class);
	fk_attr(f, s->addr, "revision", "0x01\n");
	fk_attr(f, s->addr, "numa_node", "0\n");
	fk_attr(f, s->addr, "irq", "0\n");
	fk_attr(f, s->addr, "driver_override", "(null)\n");
	fk_attr(f, s->addr, "reset_method", "flr bus\n");
	fk_attr(f, s->addr, "resource", "0x0 0x0 0x0\n");
	put_config(f, s);
	write_uevent(f, s->addr, "");
	if (s->total_vfs) {
		fk_attr(f, s->addr, "sriov_totalvfs", "%u\n", s->total_vfs);
		fk_attr(f, s->addr, "sriov_numvfs", "0\n");
		fk_attr(f, s->addr, "sriov_drivers_autoprobe", "1\n");
		fk_attr(f, s->addr, "sriov_offset", "128\n");
		fk_attr(f, s->addr, "sriov_stride", "2\n");
		fk_attr(f, s->addr, "sriov_vf_device", "%x\n", s->vf_device);
		/* The fake's own note; a name that no program looks for. */
		fk_attr(f, s->addr, ".vf_group", "%d\n", s->vf_group);
	}
	snprintf(path, sizeof(path), "sys/bus/pci/devices/%s", s->addr);
	fk_link(f, path, "../../../devices/pci0000:00/%s", s->addr);
	join_group(f, s->addr, s->group);
	if (s->driver)
		fk_attach(f, s->addr, s->driver);
}

void fake_block(struct fake *f, const char *addr, const char *parent, const char *name,
		const char *number)
{
	char path[PATH_MAX], below[256];

	snprintf(below, sizeof(below), "%s/block/%s%s%s", addr, parent ? parent : name,
		 parent ? "/" : "", parent ? name : "");
	snprintf(path, sizeof(path), "sys/devices/pci0000:00/%s/dev", below);
	put_f(f, path, "%s\n", number);
	snprintf(path, sizeof(path), "sys/devices/pci0000:00/%s/uevent", below);
	put_f(f, path, "DEVNAME=%s\nDEVTYPE=%s\n", name, parent ? "partition" : "disk");
	snprintf(path, sizeof(path), "sys/dev/block/%s", number);
	fk_link(f, path, "../../devices/pci0000:00/%s", below);
	snprintf(path, sizeof(path), "dev/%s", name);
	fake_text(f, path, "");
}

void fake_holder(struct fake *f, const char *name, const char *number, const char *lower)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "sys/devices/virtual/block/%s/dev", name);
	if (!fk_exists(f, "%s", path)) {
		put_f(f, path, "%s\n", number);
		snprintf(path, sizeof(path), "sys/dev/block/%s", number);
		fk_link(f, path, "../../devices/virtual/block/%s", name);
		snprintf(path, sizeof(path), "sys/class/block/%s", name);
		fk_link(f, path, "../../devices/virtual/block/%s", name);
		snprintf(path, sizeof(path), "dev/%s", name);
		fake_text(f, path, "");
	}
	if (!lower)
		return;
	/* The kernel's path: it goes through the link, so one with ".." would start at its target. */
	snprintf(path, sizeof(path), "sys/dev/block/%s/holders/%s", lower, name);
	fk_link(f, path, "%s/devices/virtual/block/%s", f->sys, name);
}

void fake_char(struct fake *f, const char *addr, const char *name, const char *number,
	       const char *node)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), TREE "/misc/%s/uevent", addr, name);
	put_f(f, path, "MAJOR=1\nDEVNAME=%s\n", node);
	snprintf(path, sizeof(path), "sys/dev/char/%s", number);
	fk_link(f, path, "../../devices/pci0000:00/%s/misc/%s", addr, name);
}

void fake_process(struct fake *f, int pid, const char *comm, const char *node)
{
	char path[PATH_MAX];
	int fd = 3;

	do {
		snprintf(path, sizeof(path), "proc/%d/fd/%d", pid, fd++);
	} while (fk_exists(f, "%s", path));
	fk_link(f, path, "/dev/%s", node);
	snprintf(path, sizeof(path), "proc/%d/comm", pid);
	put_f(f, path, "%s\n", comm);
}

void fake_busy(struct fake *f, const char *node)
{
	if (f->busy_count == FAKE_LIST_MAX)
		fk_die("too many busy nodes", node);
	snprintf(f->busy[f->busy_count++], sizeof(f->busy[0]), "%s", node);
}

void fake_fail(struct fake *f, unsigned long at, int code)
{
	f->seen = 0;
	f->fail_at = at;
	f->fail_code = code;
}

struct fake *fake_new(void)
{
	const char *tmp = getenv("TMPDIR");
	struct fake *f = calloc(1, sizeof(*f));
	char path[PATH_MAX];

	if (!f)
		fk_die("calloc", "fake");
	snprintf(f->base, sizeof(f->base), "%s/viaduct-host-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(f->base))
		fk_die("mkdtemp", f->base);
	snprintf(f->sys, sizeof(f->sys), "%s/sys", f->base);
	fk_path(f, path, "run/");
	make_folders(path);
	fk_path(f, path, "var/lib/");
	make_folders(path);
	fake_text(f, "sys/bus/pci/drivers_probe", "");
	fk_path(f, path, "sys/bus/pci/devices/");
	make_folders(path);
	fk_path(f, path, "sys/class/net/");
	make_folders(path);
	fk_path(f, path, "dev/");
	make_folders(path);
	fake_text(f, "proc/self/mountinfo", "22 1 0:21 / / rw,relatime - tmpfs tmpfs rw\n");
	fake_text(f, "proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
	if (host_init(&f->host, f->sys, NULL))
		fk_die("host_init", f->sys);
	f->ops.write = fk_write;
	f->ops.net_addr = fk_net_addr;
	f->ops.node_try = fk_node_try;
	f->ops.node_own = fk_node_own;
	f->ops.routes = fk_routes;
	f->ops.route_to = fk_route_to;
	f->ops.replace = fk_replace;
	f->host.ops = &f->ops;
	f->host.opaque = f;
	f->host.wait_ms = 2000;
	f->host.lock_ms = 100;
	return f;
}

void fake_free(struct fake *f)
{
	if (!f)
		return;
	fk_late_join(f);
	remove_tree(f->base);
	free(f);
}
