// SPDX-License-Identifier: GPL-2.0-or-later
#include "inventory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"

/*
 * A list of ten thousand functions is a hundred thousand system calls if one is careless. Here a
 * function costs six: uevent has class and IDs in one read, links give group and PF. A VF costs
 * one, the link to its group: that it is one follows from its PF's offset and stride, which say
 * where VFs are, and its IDs and class are those of its PF's first VF (pci_iov_add_virtfn() and
 * pci_setup_device() of Linux take them from there themselves, since 4.17). So functions are read
 * in the order of their addresses, in which VFs come after their PF. All drivers are found in one
 * pass over bus/pci/drivers, and all network interfaces in one over class/net. bus/pci/devices is
 * links, each of which the kernel would follow through the whole tree, for each of these calls;
 * but functions of one bus are in one folder, and from there it is one step.
 */

/* The folders of functions, by bus number, as they become known. */
struct parent {
	uint32_t domain;
	int fd; /* -1: none yet */
};

/* What the VFs of a PF have in common. */
struct alike {
	struct pci_addr pf;
	uint16_t vendor, device; /* 0: nothing known yet */
	uint32_t class;
};

/* Where the VFs of a PF are: @count routing IDs from @first on, each @stride behind the last. */
struct vfs {
	struct pci_addr pf;
	unsigned int first, stride, count;
};

/* What is learnt on the way. A place that is taken by another is learnt again: that costs time. */
struct known {
	struct parent parents[256];
	struct alike alike[256];
	struct vfs *vfs;
	size_t vfs_count;
};

/* A function: a folder that it is in, and its name there with room for an attribute's behind it. */
struct place {
	int dir;
	char path[PCI_ADDR_STRLEN + 32];
	size_t len;
};

static const char *attr_path(struct place *at, const char *name)
{
	memcpy(at->path + at->len, name, strlen(name) + 1);
	return at->path;
}

static ssize_t read_at(struct place *at, const char *name, char *buf, size_t size)
{
	int fd = openat(at->dir, attr_path(at, name), O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = read(fd, buf, size - 1);
	} while (n < 0 && errno == EINTR);
	close(fd);
	if (n < 0)
		return -EIO;
	buf[n] = '\0';
	return n;
}

static long number_at(struct place *at, const char *name, long otherwise)
{
	char text[32], *end;
	long v;

	if (read_at(at, name, text, sizeof(text)) <= 0)
		return otherwise;
	v = strtol(text, &end, 0);
	return end == text || v < 0 ? otherwise : v;
}

/* The last component of a link, or NULL. */
static const char *link_at(struct place *at, const char *name, char *buf, size_t size)
{
	ssize_t n = readlinkat(at->dir, attr_path(at, name), buf, size - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	buf[n] = '\0';
	slash = strrchr(buf, '/');
	return slash ? slash + 1 : buf;
}

static void parse_uevent(char *text, struct inventory_func *f)
{
	char *line, *next, *end;

	for (line = text; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (!strncmp(line, "PCI_CLASS=", 10)) {
			f->class = (uint32_t)strtoul(line + 10, NULL, 16) & 0xffffff;
		} else if (!strncmp(line, "PCI_ID=", 7)) {
			f->vendor = (uint16_t)strtoul(line + 7, &end, 16);
			f->device = (uint16_t)(*end == ':' ? strtoul(end + 1, NULL, 16) : 0);
		}
	}
}

/* False when the function is not there any more. */
static bool read_ids(struct place *at, struct inventory_func *f)
{
	char text[1024];

	if (read_at(at, "uevent", text, sizeof(text)) > 0)
		parse_uevent(text, f);
	if (f->vendor)
		return true;
	f->vendor = (uint16_t)number_at(at, "vendor", 0xffff);
	f->device = (uint16_t)number_at(at, "device", 0xffff);
	f->class = (uint32_t)number_at(at, "class", 0) & 0xffffff;
	return f->vendor != 0xffff;
}

/* As read_ids(), of a VF. */
static bool read_vf_ids(struct known *known, struct place *at, struct inventory_func *f)
{
	struct alike *a = &known->alike[(f->pf.bus ^ f->pf.dev << 3 ^ f->pf.fn) & 255];

	if (a->vendor && pci_addr_eq(&a->pf, &f->pf)) {
		f->vendor = a->vendor;
		f->device = a->device;
		f->class = a->class;
		return true;
	}
	if (!read_ids(at, f))
		return false;
	*a = (struct alike){ f->pf, f->vendor, f->device, f->class };
	return true;
}

static unsigned int routing_id(const struct pci_addr *a)
{
	return (unsigned int)a->bus << 8 | (unsigned int)a->dev << 3 | a->fn;
}

/* @array with room for one more, which doubles when it is full; NULL without memory. */
static void *grow(void *array, size_t count, size_t size)
{
	return count && !is_pow2(count) ? array : reallocarray(array, count ? count * 2 : 1, size);
}

/* Notes where a PF's VFs are, if its kernel says (4.14); otherwise each is asked. */
static void learn_vfs(struct known *known, struct place *at, const struct inventory_func *f)
{
	long offset = number_at(at, "sriov_offset", 0), stride = number_at(at, "sriov_stride", 0);
	struct vfs *more;

	if (!f->num_vfs || offset <= 0 || offset > 0xffff || stride > 0xffff ||
	    (stride <= 0 && f->num_vfs > 1))
		return;
	more = grow(known->vfs, known->vfs_count, sizeof(*more));
	if (!more)
		return;
	known->vfs = more;
	more[known->vfs_count++] = (struct vfs){
		f->addr, routing_id(&f->addr) + (unsigned int)offset,
		(unsigned int)MAX(stride, 1), f->num_vfs
	};
}

/* The PF whose VF @addr is, or NULL: it is no known PF's. */
static const struct pci_addr *pf_of(const struct known *known, const struct pci_addr *addr)
{
	unsigned int id = routing_id(addr), behind;
	size_t i;

	for (i = known->vfs_count; i-- > 0;) {
		const struct vfs *v = &known->vfs[i];

		behind = id - v->first;
		if (v->pf.domain == addr->domain && id >= v->first && !(behind % v->stride) &&
		    behind / v->stride < v->count)
			return &v->pf;
	}
	return NULL;
}

/* False when it is not there any more. */
static bool read_func(struct known *known, struct place *at, struct inventory_func *f)
{
	const struct pci_addr *pf = pf_of(known, &f->addr);
	const char *base;
	char link[512];
	long total;

	base = pf ? NULL : link_at(at, "physfn", link, sizeof(link));
	f->is_vf = pf || (base && !pci_addr_parse(base, &f->pf));
	if (pf)
		f->pf = *pf;
	if (!(f->is_vf ? read_vf_ids(known, at, f) : read_ids(at, f)))
		return false;
	base = link_at(at, "iommu_group", link, sizeof(link));
	f->group = base ? (int)strtol(base, NULL, 10) : -1;
	total = f->is_vf ? -1 : number_at(at, "sriov_totalvfs", -1);
	f->is_pf = total >= 0;
	if (f->is_pf) {
		f->total_vfs = (unsigned int)total;
		f->num_vfs = (unsigned int)number_at(at, "sriov_numvfs", 0);
		learn_vfs(known, at, f);
	}
	return true;
}

static int func_cmp(const void *a, const void *b)
{
	return pci_addr_cmp(&((const struct inventory_func *)a)->addr,
			    &((const struct inventory_func *)b)->addr);
}

static int net_cmp(const void *a, const void *b)
{
	const struct inventory_net *x = a, *y = b;
	int order = pci_addr_cmp(&x->addr, &y->addr);

	return order ? order : strcmp(x->name, y->name);
}

static void known_init(struct known *known)
{
	size_t i;

	memset(known, 0, sizeof(*known));
	for (i = 0; i < ARRAY_SIZE(known->parents); i++)
		known->parents[i].fd = -1;
}

static void known_done(struct known *known)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known->parents); i++) {
		if (known->parents[i].fd >= 0)
			close(known->parents[i].fd);
	}
	free(known->vfs);
}

/* The folder that holds @addr, whose place below @bus is @at; -1 when it cannot be opened. */
static int parent_of(struct known *known, const struct pci_addr *addr, int bus, struct place *at)
{
	struct parent *p = &known->parents[addr->bus];

	if (p->fd >= 0 && p->domain == addr->domain)
		return p->fd;
	if (p->fd >= 0)
		close(p->fd);
	p->domain = addr->domain;
	p->fd = openat(bus, attr_path(at, ".."), O_PATH | O_DIRECTORY | O_CLOEXEC);
	return p->fd;
}

/* False when the function is gone. */
static bool find_func(struct known *known, const struct pci_addr *addr, int bus, struct place *at,
		      struct inventory_func *f)
{
	memset(f, 0, sizeof(*f));
	f->addr = *addr;
	at->dir = parent_of(known, addr, bus, at);
	if (at->dir >= 0 && read_func(known, at, f))
		return true;
	/* A bus may be spread over folders, and then its link is what finds it. */
	memset(f, 0, sizeof(*f));
	f->addr = *addr;
	at->dir = bus;
	return read_func(known, at, f);
}

/* The addresses that there are, sorted. */
static int read_addrs(DIR *dir, struct inventory *inv)
{
	struct inventory_func *funcs;
	struct pci_addr addr;
	struct dirent *e;

	while ((e = readdir(dir))) {
		if (pci_addr_parse(e->d_name, &addr))
			continue;
		funcs = grow(inv->funcs, inv->func_count, sizeof(*funcs));
		if (!funcs)
			return -ENOMEM;
		inv->funcs = funcs;
		funcs[inv->func_count++].addr = addr;
	}
	if (inv->func_count)
		qsort(inv->funcs, inv->func_count, sizeof(*inv->funcs), func_cmp);
	return 0;
}

static int read_funcs(DIR *dir, struct inventory *inv)
{
	struct known known;
	struct place at;
	size_t i, kept = 0;
	int ret = read_addrs(dir, inv);

	known_init(&known);
	for (i = 0; !ret && i < inv->func_count; i++) {
		struct pci_addr addr = inv->funcs[i].addr;

		pci_addr_str(&addr, at.path);
		at.len = strlen(at.path);
		at.path[at.len++] = '/';
		/* Not kept: it was unplugged since readdir(). */
		kept += find_func(&known, &addr, dirfd(dir), &at, &inv->funcs[kept]);
	}
	inv->func_count = ret ? inv->func_count : kept;
	known_done(&known);
	return ret;
}

/* A function and its driver, as the driver's folder has it. */
struct bound {
	struct pci_addr addr;
	char driver[HOST_NAME_MAX];
};

struct bounds {
	struct bound *at;
	size_t count;
};

static int bound_cmp(const void *a, const void *b)
{
	return pci_addr_cmp(&((const struct bound *)a)->addr, &((const struct bound *)b)->addr);
}

/* The functions of one driver: links in its folder, named by address. */
static int read_driver(int drivers, const char *name, struct bounds *b)
{
	int fd = openat(drivers, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct pci_addr addr;
	struct bound *more;
	struct dirent *e;

	while (dir && !ret && (e = readdir(dir))) {
		if (pci_addr_parse(e->d_name, &addr))
			continue;
		more = grow(b->at, b->count, sizeof(*more));
		if (!more) {
			ret = -ENOMEM;
			continue;
		}
		b->at = more;
		more[b->count].addr = addr;
		memcpy(more[b->count++].driver, name, strlen(name) + 1);
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	return ret;
}

/* Both are sorted by address. */
static void join_drivers(struct inventory *inv, const struct bounds *b)
{
	size_t i = 0, n = 0;

	while (i < inv->func_count && n < b->count) {
		int order = pci_addr_cmp(&inv->funcs[i].addr, &b->at[n].addr);

		if (!order)
			memcpy(inv->funcs[i].driver, b->at[n].driver, sizeof(b->at[n].driver));
		i += order <= 0;
		n += order >= 0;
	}
}

/* The functions are there, sorted. */
static int read_drivers(const struct host *host, struct inventory *inv)
{
	struct bounds b = { .at = NULL };
	char path[HOST_PATH_MAX];
	struct dirent *e;
	DIR *dir;
	int ret = 0;

	if (host_path(path, host->sysfs_root, "bus/pci/drivers"))
		return -ENAMETOOLONG;
	dir = opendir(path);
	while (dir && !ret && (e = readdir(dir)))
		if (e->d_name[0] != '.' && strlen(e->d_name) < HOST_NAME_MAX)
			ret = read_driver(dirfd(dir), e->d_name, &b);
	if (dir)
		closedir(dir);
	if (b.count)
		qsort(b.at, b.count, sizeof(*b.at), bound_cmp);
	join_drivers(inv, &b);
	free(b.at);
	return ret;
}

static int read_nets(const struct host *host, struct inventory *inv)
{
	char path[HOST_PATH_MAX], link[HOST_PATH_MAX];
	struct inventory_net *nets, *net;
	struct pci_addr addr;
	struct dirent *e;
	DIR *dir;
	ssize_t n;
	int ret = 0;

	if (host_path(path, host->sysfs_root, "class/net"))
		return -ENAMETOOLONG;
	dir = opendir(path);
	while (dir && !ret && (e = readdir(dir))) {
		n = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);
		if (n <= 0 || strlen(e->d_name) >= sizeof(net->name))
			continue;
		link[n] = '\0';
		if (func_of_path(link, &addr))
			continue;
		nets = grow(inv->nets, inv->net_count, sizeof(*nets));
		if (!nets) {
			ret = -ENOMEM;
			continue;
		}
		inv->nets = nets;
		net = memset(&nets[inv->net_count++], 0, sizeof(*net));
		net->addr = addr;
		memcpy(net->name, e->d_name, strlen(e->d_name) + 1);
	}
	if (dir)
		closedir(dir);
	return ret;
}

/* Both arrays are sorted by address: one walk along both joins them. */
static void join_nets(struct inventory *inv)
{
	struct inventory_func *f = inv->funcs, *end = f + inv->func_count;
	size_t i = 0;

	while (f < end && i < inv->net_count) {
		int order = pci_addr_cmp(&f->addr, &inv->nets[i].addr);

		if (order > 0) {
			i++;
		} else if (order < 0) {
			f++;
		} else {
			if (!f->net_count++)
				f->net_first = i;
			i++;
		}
	}
}

int inventory_read(const struct host *host, struct inventory **ret_inv, struct err *err)
{
	struct inventory *inv = calloc(1, sizeof(*inv));
	char path[HOST_PATH_MAX];
	DIR *dir = NULL;
	int ret;

	if (!inv)
		return err_sys(err, -ENOMEM, "cannot list the PCI functions");
	ret = host_path(path, host->sysfs_root, "bus/pci/devices");
	if (!ret) {
		dir = opendir(path);
		ret = dir ? read_funcs(dir, inv) : -errno;
	}
	if (!ret)
		ret = read_drivers(host, inv);
	if (!ret)
		ret = read_nets(host, inv);
	if (dir)
		closedir(dir);
	if (ret) {
		inventory_free(inv);
		if (ret == -ENOENT || ret == -ENOTDIR)
			return err_set(err, -ENODEV, "%s: there is no PCI bus; in a container, "
				       "mount the host's /sys and name it with --sysfs-root", path);
		return err_sys(err, ret, "%s", path);
	}
	if (inv->net_count)
		qsort(inv->nets, inv->net_count, sizeof(*inv->nets), net_cmp);
	join_nets(inv);
	*ret_inv = inv;
	return 0;
}

void inventory_free(struct inventory *inv)
{
	if (!inv)
		return;
	free(inv->funcs);
	free(inv->nets);
	free(inv);
}
