// SPDX-License-Identifier: GPL-2.0-or-later
/* The host that most tests want, and a text of all that its sysfs says. */
#include "fake_sysfs_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fake *fake_new_lab(void)
{
	static const struct fake_func funcs[] = {
		{ "0000:00:00.0", 0x8086, 0x29c0, 0x060000, 0, NULL, 0, 0, 0 },
		{ "0000:01:00.0", 0x8086, 0x10c9, 0x020000, 14, "igb", 7, 0x10ca, 20 },
		{ "0000:02:00.0", 0x1b36, 0x0010, 0x010802, 13, "nvme", 2, 0x0010, 40 },
		{ "0000:05:00.0", 0x1b36, 0x000e, 0x060400, 15, "pcieport", 0, 0, 0 },
		{ "0000:06:01.0", 0x8086, 0x100e, 0x020000, 15, "e1000", 0, 0, 0 },
		{ "0000:06:02.0", 0x10ec, 0x8139, 0x020000, 15, "8139cp", 0, 0, 0 },
	};
	struct fake *f = fake_new();
	size_t i;

	fake_driver(f, "igb", 0x8086, 0x10c9, false);
	fake_driver(f, "igbvf", 0x8086, 0x10ca, true);
	fake_driver(f, "nvme", 0x1b36, 0x0010, false);
	fake_driver(f, "pcieport", 0x1b36, 0x000e, false);
	fake_driver(f, "e1000", 0x8086, 0x100e, false);
	fake_driver(f, "8139cp", 0x10ec, 0x8139, false);
	fake_driver(f, "vfio-pci", 0, 0, false);
	fake_driver(f, "pci-stub", 0, 0, false);
	for (i = 0; i < sizeof(funcs) / sizeof(funcs[0]); i++)
		fake_func(f, &funcs[i]);
	fake_netdev(f, "0000:01:00.0", "eth0", 0, NULL);
	fake_netdev(f, "0000:06:01.0", "eth1", 0, NULL);
	fake_netdev(f, "0000:06:02.0", "eth2", 0, NULL);
	fake_block(f, "0000:02:00.0", NULL, "nvme0n1", "259:0");
	fake_block(f, "0000:02:00.0", "nvme0n1", "nvme0n1p1", "259:1");
	return f;
}

void fake_many(struct fake *f, unsigned int count)
{
	char addr[PCI_ADDR_STRLEN], path[PATH_MAX];
	unsigned int i;

	for (i = 0; i < count; i++) {
		struct pci_addr a = { .domain = 1, .bus = (uint8_t)(i >> 8),
				      .dev = i >> 3 & 0x1f, .fn = i & 7 };

		pci_addr_str(&a, addr);
		fk_attr(f, addr, "uevent", "DRIVER=%s\nPCI_CLASS=20000\nPCI_ID=8086:%s\n"
			"PCI_SUBSYS_ID=8086:0001\nPCI_SLOT_NAME=%s\nMODALIAS=pci:v00008086\n",
			i & 255 ? "igbvf" : "igb", i & 255 ? "10CA" : "10C9", addr);
		snprintf(path, sizeof(path), "sys/bus/pci/devices/%s", addr);
		fk_link(f, path, "../../../devices/pci0000:00/%s", addr);
		snprintf(path, sizeof(path), TREE "/driver", addr);
		fk_link(f, path, "../../../bus/pci/drivers/%s", i & 255 ? "igbvf" : "igb");
		snprintf(path, sizeof(path), "sys/bus/pci/drivers/%s/%s", i & 255 ? "igbvf" : "igb",
			 addr);
		fk_link(f, path, "../../../../devices/pci0000:00/%s", addr);
		snprintf(path, sizeof(path), TREE "/iommu_group", addr);
		fk_link(f, path, "../../../kernel/iommu_groups/%u", i);
		if (i & 255) {
			snprintf(path, sizeof(path), TREE "/physfn", addr);
			fk_link(f, path, "../0001:%02x:00.0", i >> 8);
		} else {
			fk_attr(f, addr, "sriov_totalvfs", "255\n");
			fk_attr(f, addr, "sriov_numvfs", "255\n");
			fk_attr(f, addr, "sriov_offset", "1\n");
			fk_attr(f, addr, "sriov_stride", "1\n");
		}
		if (i & 15)
			continue;
		snprintf(path, sizeof(path), "sys/class/net/n%u", i);
		fk_link(f, path, "../../devices/pci0000:00/%s/net/n%u", addr, i);
	}
}

struct lines {
	char **line;
	size_t count;
	size_t bytes;
};

static void line_add(struct lines *l, char *line)
{
	l->line = reallocarray(l->line, l->count + 1, sizeof(*l->line));
	if (!l->line)
		fk_die("reallocarray", line);
	l->line[l->count++] = line;
	l->bytes += strlen(line);
}

static void walk(struct lines *l, const char *path, size_t skip)
{
	char sub[PATH_MAX], text[4096], *line;
	struct dirent *e;
	struct stat st;
	ssize_t n = 0;
	DIR *dir;
	int fd;

	if (lstat(path, &st) < 0)
		fk_die("lstat", path);
	if (S_ISDIR(st.st_mode)) {
		dir = opendir(path);
		while (dir && (e = readdir(dir))) {
			if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
				continue;
			snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
			walk(l, sub, skip);
		}
		if (dir)
			closedir(dir);
	} else if (S_ISLNK(st.st_mode)) {
		n = readlink(path, text, sizeof(text) - 1);
	} else {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	text[n < 0 ? 0 : n] = '\0';
	if (asprintf(&line, "%s = %s\n", path + skip, text) < 0)
		fk_die("asprintf", path);
	line_add(l, line);
}

static int line_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char *fake_snapshot(const struct fake *f)
{
	struct lines l = { .line = NULL };
	char *out, *p;
	size_t i;

	walk(&l, f->sys, strlen(f->sys));
	qsort(l.line, l.count, sizeof(*l.line), line_cmp);
	out = p = malloc(l.bytes + 1);
	if (!out)
		fk_die("malloc", f->sys);
	for (i = 0; i < l.count; i++) {
		p = stpcpy(p, l.line[i]);
		free(l.line[i]);
	}
	free(l.line);
	return out;
}

int fake_lab_setup(void **state)
{
	*state = fake_new_lab();
	return 0;
}

int fake_teardown(void **state)
{
	fake_free(*state);
	return 0;
}

struct pci_addr fake_at(const char *text)
{
	struct pci_addr addr;

	if (pci_addr_parse(text, &addr))
		fk_die("no address", text);
	return addr;
}
