// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The settings of VFs on netdevsim, whose cards and VFs are no PCI functions: the product's own
 * code on a tree of a PCI host made for the purpose, in which the interface is that of function
 * 0000:01:00.0, and with the real netlink below it.
 *
 *   vf_settings IFNAME DEVICE get VF
 *   vf_settings IFNAME DEVICE set VF KEY=VALUE...
 *   vf_settings IFNAME DEVICE eswitch [legacy|switchdev]
 *
 * DEVICE is netdevsim1, as devlink names it. Prints KEY=VALUE lines, or the mode.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "sriov/vf_attr.h"
#include "sriov/vf_netlink.h"

#define PF "0000:01:00.0"

struct tool {
	struct host host;
	struct vf_ops ops;
	const char *device;
};

static struct tool *tool_of(const struct host *host)
{
	return container_of((void *)host->vf_ops, struct tool, ops);
}

static int sim_eswitch_get(struct host *host, const char *bdf, unsigned int *ret_mode)
{
	(void)bdf;
	return devlink_eswitch_get("netdevsim", tool_of(host)->device, ret_mode);
}

static int sim_eswitch_set(struct host *host, const char *bdf, unsigned int mode, struct err *words)
{
	(void)bdf;
	return devlink_eswitch_set("netdevsim", tool_of(host)->device, mode, words);
}

static int make(const char *base, const char *const *names, size_t count)
{
	char path[600];
	size_t i;
	int len = snprintf(path, sizeof(path), "%s", base);

	for (i = 0; i < count; i++) {
		len += snprintf(path + len, sizeof(path) - (size_t)len, "/%s", names[i]);
		if (len >= (int)sizeof(path) || (mkdir(path, 0700) < 0 && errno != EEXIST))
			return -1;
	}
	return 0;
}

static int make_tree(char *base, const char *ifname)
{
	const char *net[] = { "sys", "bus", "pci", "devices", PF, "net", ifname };
	char path[600];

	if (!mkdtemp(base) || make(base, net, ARRAY_SIZE(net)))
		return -1;
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/" PF "/driver", base);
	return symlink("../../drivers/netdevsim", path);
}

static int print_all(struct tool *t, unsigned int vf, struct err *err)
{
	struct pci_addr pf = { .bus = 1 };
	char text[VF_ATTR_TEXT_MAX];
	struct vf_attrs attrs;
	unsigned int i;
	int ret = vf_attrs_read(&t->host, &pf, vf, &attrs, err);

	for (i = 0; i < VF_ATTR_COUNT && !ret; i++) {
		if (attrs.has & BIT(i))
			printf("%s=%s\n", vf_attr_row(i)->name,
			       vf_attr_text(i, attrs.value[i], text));
	}
	return ret;
}

static int set_all(struct tool *t, unsigned int vf, char **pairs, struct err *err)
{
	struct pci_addr pf = { .bus = 1 };
	struct vf_attrs want = { .has = 0 };
	int ret, attr;
	char *equals;

	for (; *pairs; pairs++) {
		equals = strchr(*pairs, '=');
		if (!equals)
			return err_set(err, -EINVAL, "%s: no =", *pairs);
		*equals = '\0';
		attr = vf_attr_find(*pairs);
		if (attr < 0)
			return err_set(err, -EINVAL, "%s: no such setting", *pairs);
		ret = vf_attr_parse((enum vf_attr)attr, equals + 1, &want.value[attr], err);
		if (ret)
			return ret;
		want.has |= BIT(attr);
	}
	ret = vf_attrs_write(&t->host, &pf, vf, &want, want.has, err);
	if (!ret)
		printf("writes=%lu\n", t->host.writes);
	return ret;
}

static int eswitch(struct tool *t, const char *mode, struct err *err)
{
	struct pci_addr pf = { .bus = 1 };
	enum eswitch_mode now;
	int ret = 0;

	if (mode)
		ret = eswitch_mode_write(&t->host, &pf, !strcmp(mode, "switchdev") ?
					 ESWITCH_SWITCHDEV : ESWITCH_LEGACY, err);
	if (!ret)
		ret = eswitch_mode_read(&t->host, &pf, &now, err);
	if (!ret)
		puts(eswitch_mode_name(now));
	return ret;
}

static int run(struct tool *t, char **argv, struct err *err)
{
	unsigned int vf = argv[4] ? (unsigned int)strtoul(argv[4], NULL, 10) : 0;

	if (!strcmp(argv[3], "get") && argv[4])
		return print_all(t, vf, err);
	if (!strcmp(argv[3], "set") && argv[4])
		return set_all(t, vf, argv + 5, err);
	if (!strcmp(argv[3], "eswitch"))
		return eswitch(t, argv[4], err);
	return err_set(err, -EINVAL, "what is %s?", argv[3]);
}

int main(int argc, char **argv)
{
	static char base[] = "/tmp/vf_settings.XXXXXX";
	struct tool t = { .ops = { .net_get = netlink_vf_get, .net_set = netlink_vf_set,
				   .eswitch_get = sim_eswitch_get,
				   .eswitch_set = sim_eswitch_set } };
	struct err err = { .code = 0 };
	char root[600];

	if (argc < 4 || make_tree(base, argv[1])) {
		fputs("usage: vf_settings IFNAME DEVICE get|set|eswitch ...\n", stderr);
		return 2;
	}
	snprintf(root, sizeof(root), "%s/sys", base);
	if (host_init(&t.host, root, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		return 2;
	}
	t.host.vf_ops = &t.ops;
	t.device = argv[2];
	if (run(&t, argv, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	return 0;
}
