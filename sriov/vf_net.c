// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The settings that a network card's driver has for each VF. They are the PF's interface's, and
 * that is looked up each time: a name that was right a moment ago may be another card's now.
 *
 * Source: Linux net/core/rtnetlink.c (do_setvfinfo(), rtnl_fill_vfinfo()).
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"
#include "vf_backend.h"

#define DEV "bus/pci/devices/%s/"

#define VLAN_ATTRS (BIT(VF_ATTR_VLAN) | BIT(VF_ATTR_QOS) | BIT(VF_ATTR_VLAN_PROTO))
#define RATE_ATTRS (BIT(VF_ATTR_MIN_RATE) | BIT(VF_ATTR_MAX_RATE))

/* What one request sets, in the order in which they are made: the link is told to be up when all
 * else is as it should be, and trust comes before what only a trusted VF may have. */
static const uint32_t groups[] = {
	BIT(VF_ATTR_TRUST), BIT(VF_ATTR_SPOOFCHK), BIT(VF_ATTR_MAC), VLAN_ATTRS, RATE_ATTRS,
	BIT(VF_ATTR_NODE_GUID), BIT(VF_ATTR_PORT_GUID), BIT(VF_ATTR_LINK_STATE),
};

/* The interface's place among those of one function: of several ports the first one's. -1 for
 * the other end of a VF (a representor, "pf0vf3"), which hangs below the PF too. */
static long port_rank(const struct host *host, const char *a, const char *ifname)
{
	char port[HOST_NAME_MAX];
	long rank = 0;

	if (host_read(host, port, sizeof(port), DEV "net/%s/phys_port_name", a, ifname) > 0 &&
	    !strncmp(port, "pf", 2))
		return -1;
	if (host_read_long(host, &rank, DEV "net/%s/dev_port", a, ifname) || rank < 0)
		return 0;
	return rank;
}

/* The interface of @pf that its VFs' settings belong to. Returns 0 or -ENODEV. */
static int find_ifname(const struct host *host, const struct pci_addr *pf,
		       char ret_name[HOST_NAME_MAX])
{
	char path[HOST_PATH_MAX], a[PCI_ADDR_STRLEN];
	long rank, best = -1;
	struct dirent *e;
	DIR *dir;

	if (host_path(path, host->sysfs_root, DEV "net", pci_addr_str(pf, a)))
		return -ENODEV;
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		if (!host_name_ok(e->d_name))
			continue;
		rank = port_rank(host, a, e->d_name);
		if (rank < 0 || (best >= 0 && (rank > best || (rank == best &&
					       strcmp(e->d_name, ret_name) > 0))))
			continue;
		best = rank;
		snprintf(ret_name, HOST_NAME_MAX, "%.*s", HOST_NAME_MAX - 1, e->d_name);
	}
	if (dir)
		closedir(dir);
	return best < 0 ? -ENODEV : 0;
}

static int net_claims(const struct host *host, const struct pci_addr *pf)
{
	char ifname[HOST_NAME_MAX];

	return host->vf_ops && host->vf_ops->net_get && !find_ifname(host, pf, ifname);
}

static int net_read(struct host *host, const struct pci_addr *pf, unsigned int index,
		    struct vf_attrs *attrs, struct err *err)
{
	char ifname[HOST_NAME_MAX], a[PCI_ADDR_STRLEN];
	int ret = find_ifname(host, pf, ifname);

	pci_addr_str(pf, a);
	if (ret)
		return err_set(err, ret, "%s has lost its interface", a);
	ret = host->vf_ops->net_get(host, ifname, index, attrs);
	if (ret == -ENODEV)
		return err_set(err, ret, "%s has no VF %u, says its interface %s", a, index,
			       ifname);
	return ret ? err_sys(err, ret, "%s: cannot ask %s for the settings of VF %u", a, ifname,
			     index) : 0;
}

/* What the kernel's answer to a setting means. The first row that fits. */
static const struct {
	uint32_t attrs; /* to one of these; 0: to any */
	int code;
	const char *why;
} errors[] = {
	{ BIT(VF_ATTR_VLAN_PROTO), -EPROTONOSUPPORT, "it knows VLANs of 802.1q only" },
	{ BIT(VF_ATTR_MAC), -EINVAL,
	  "it does not accept this address, or its card has no room for one more" },
	{ BIT(VF_ATTR_MAC), -EADDRNOTAVAIL, "it does not accept this address" },
	{ BIT(VF_ATTR_VLAN), -EINVAL, "it does not accept this VLAN or priority" },
	{ RATE_ATTRS, -EINVAL,
	  "some drivers limit a rate only while the PF's link is up, to the link's "
	  "speed at most; some have no minimum, none one above the maximum" },
	{ RATE_ATTRS, -ERANGE, "it cannot do this rate" },
	{ BIT(VF_ATTR_LINK_STATE), -EINVAL, "it does not know this state" },
	{ 0, -EOPNOTSUPP, "it has no such setting" },
	{ 0, -EPERM, "it needs the right to administer networks; run it with sudo" },
	{ 0, -EACCES, "it needs the right to administer networks; run it with sudo" },
	{ 0, -EBUSY, "the VF or the card is busy, mostly with a reset; run it again" },
	{ 0, -EAGAIN, "the card is busy, mostly with a reset; run it again" },
	{ 0, -ENETDOWN, "the PF's interface is down; bring it up and run it again" },
	{ 0, -ENODEV, "the interface or the VF is gone" },
	{ 0, -EINVAL, "it does not accept this value" },
	{ 0, -ENOSPC, "the card has no room left for it" },
	{ 0, -ETIMEDOUT, "the card did not answer it; see: dmesg" },
};

static int explain(const struct host *host, const struct pci_addr *pf, const char *where,
		   const char *what, uint32_t which, int code, struct err *err)
{
	char driver[HOST_NAME_MAX], a[PCI_ADDR_STRLEN];
	const char *name = strerrorname_np(-code), *why = "see: dmesg";
	size_t i;

	func_driver(host, pf, driver);
	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		if (errors[i].code == code && (!errors[i].attrs || errors[i].attrs & which)) {
			why = errors[i].why;
			break;
		}
	}
	return err_set(err, code, "%s: %s: cannot set %s: driver %s answered %s: %s",
		       pci_addr_str(pf, a), where, what, *driver ? driver : "none",
		       name ? name : "?", why);
}

/* "vlan 100 qos 3 vlan-protocol 802.1q" */
static void request_text(const struct vf_attrs *attrs, uint32_t which, char *buf, size_t size)
{
	char value[VF_ATTR_TEXT_MAX];
	size_t len = 0;
	unsigned int i;

	for (i = 0; i < VF_ATTR_COUNT && len < size; i++) {
		if (which & BIT(i))
			len += (size_t)snprintf(buf + len, size - len, "%s%s %s", len ? " " : "",
						vf_attr_row(i)->name,
						vf_attr_text(i, attrs->value[i], value));
	}
}

static int net_write(struct host *host, const struct pci_addr *pf, unsigned int index,
		     const struct vf_attrs *want, uint32_t which, struct err *err)
{
	char ifname[HOST_NAME_MAX], where[HOST_NAME_MAX + 16], what[2 * VF_ATTR_TEXT_MAX];
	/* The protocol of a kernel that does not tell. */
	struct vf_attrs all = { .value = { [VF_ATTR_VLAN_PROTO] = 0x8100 } };
	char a[PCI_ADDR_STRLEN];
	size_t i;
	int ret = net_read(host, pf, index, &all, err);

	if (ret)
		return ret;
	for (i = 0; i < VF_ATTR_COUNT; i++) {
		if (which & BIT(i))
			all.value[i] = want->value[i];
	}
	all.has |= which;
	for (i = 0; i < ARRAY_SIZE(groups) && !ret; i++) {
		if (!(which & groups[i]))
			continue;
		ret = find_ifname(host, pf, ifname);
		if (ret)
			return err_set(err, ret, "%s has lost its interface", pci_addr_str(pf, a));
		snprintf(where, sizeof(where), "%s vf %u", ifname, index);
		request_text(&all, which & groups[i], what, sizeof(what));
		host_ask(host, where);
		ret = host->vf_ops->net_set(host, ifname, index, &all, groups[i]);
		host_asked(host, where, what, ret);
		if (ret)
			ret = explain(host, pf, where, what, which & groups[i], ret, err);
	}
	return ret;
}

const struct vf_backend vf_backend_net = {
	.name = "net",
	.attrs = BIT(VF_ATTR_TRUST) | BIT(VF_ATTR_SPOOFCHK) | BIT(VF_ATTR_MAC) | VLAN_ATTRS |
		 RATE_ATTRS | BIT(VF_ATTR_NODE_GUID) | BIT(VF_ATTR_PORT_GUID) |
		 BIT(VF_ATTR_LINK_STATE),
	.claims = net_claims,
	.read = net_read,
	.write = net_write,
};
