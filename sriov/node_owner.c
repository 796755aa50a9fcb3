// SPDX-License-Identifier: GPL-2.0-or-later
#include "node_owner.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/opt.h"
#include "base/util.h"
#include "func.h"

#define PASSWD_ROOM 16384
#define NODE_MAX (HOST_NAME_MAX + 16)

/* A node, and whose it was. */
struct node {
	char path[HOST_PATH_MAX];
	uid_t uid;
	gid_t gid;
	mode_t mode;
};

struct nodes {
	struct node *list;
	size_t count;
};

int node_owner_find(const char *user, struct node_owner *ret_owner, struct err *err)
{
	char room[PASSWD_ROOM], shown[48];
	struct passwd pw, *found = NULL;
	uint64_t uid;
	int ret;

	ret = getpwnam_r(user, &pw, room, sizeof(room), &found);
	if (!found && !opt_parse_u64(user, &uid) && uid < (uid_t)-1)
		ret = getpwuid_r((uid_t)uid, &pw, room, sizeof(room), &found);
	if (!found || strlen(pw.pw_name) >= sizeof(ret_owner->name))
		return err_set(err, -EINVAL, "there is no user \"%s\"%s%s",
			       host_printable(user, shown, sizeof(shown)), ret > 0 ? ": " : "",
			       ret > 0 ? strerror(ret) : "");
	memcpy(ret_owner->name, pw.pw_name, strlen(pw.pw_name) + 1);
	ret_owner->uid = pw.pw_uid;
	ret_owner->gid = pw.pw_gid;
	return 0;
}

static bool is_among(const struct pci_addr *addr, const struct pci_addr *addrs, size_t count)
{
	size_t i;

	for (i = 0; i < count && !pci_addr_eq(&addrs[i], addr); i++)
		;
	return i < count;
}

/* Who may open a group's node has every function of it. */
static int check_group(const struct host *host, const struct pci_addr *addr, int group,
		       const struct pci_addr *addrs, size_t count, struct err *err)
{
	struct group_member *members = NULL;
	char a[PCI_ADDR_STRLEN];
	size_t i, n = 0;
	int ret = group_members(host, group, &members, &n, err);

	for (i = 0; i < n && !ret; i++) {
		if (members[i].is_pci && func_driver_is_vfio(members[i].driver) &&
		    !is_among(&members[i].addr, addrs, count))
			ret = err_set(err, -EBUSY, "%s: %s is in its group %d and would become %s's with "
				      "it; name both, or unbind that one", pci_addr_str(addr, a),
				      members[i].name, group, host->owner->name);
	}
	free(members);
	return ret;
}

static int add_node(const struct host *host, struct nodes *nodes, const char *name, struct err *err)
{
	struct node *n = &nodes->list[nodes->count];
	struct stat st;
	size_t i;
	int ret = host_path(n->path, host->dev_root, "%s", name);

	if (!ret && lstat(n->path, &st) < 0)
		ret = -errno;
	if (ret)
		return err_sys(err, ret, "cannot hand /dev/%s to %s", name, host->owner->name);
	for (i = 0; i < nodes->count; i++) {
		if (!strcmp(nodes->list[i].path, n->path))
			return 0;
	}
	n->uid = st.st_uid;
	n->gid = st.st_gid;
	n->mode = st.st_mode & 07777;
	nodes->count++;
	return 0;
}

/* The nodes of @addr: its group's, its own, or both. */
static int add_nodes(const struct host *host, struct nodes *nodes, const struct pci_addr *addr,
		     const struct pci_addr *addrs, size_t count, struct err *err)
{
	char name[NODE_MAX], cdev[HOST_NAME_MAX], path[HOST_PATH_MAX];
	int group = func_group(host, addr);
	bool has_cdev = !func_cdev(host, addr, cdev);
	int ret = 0;

	/* A kernel with nodes of functions alone has none for groups. */
	snprintf(name, sizeof(name), "vfio/%d", group);
	if (!has_cdev || (!host_path(path, host->dev_root, "%s", name) && !access(path, F_OK))) {
		ret = check_group(host, addr, group, addrs, count, err);
		if (!ret)
			ret = add_node(host, nodes, name, err);
	}
	if (ret || !has_cdev)
		return ret;
	snprintf(name, sizeof(name), "vfio/devices/%.*s", HOST_NAME_MAX - 1, cdev);
	return add_node(host, nodes, name, err);
}

static int own(struct host *host, const struct node *n, uid_t uid, gid_t gid, mode_t mode)
{
	char what[64];
	int ret;

	snprintf(what, sizeof(what), "owner %u:%u mode %04o", (unsigned int)uid, (unsigned int)gid,
		 (unsigned int)mode);
	host_ask(host, n->path);
	ret = host->ops->node_own(host, n->path, uid, gid, mode);
	host_asked(host, n->path, what, ret);
	return ret;
}

static int give_all(struct host *host, const struct nodes *nodes, struct err *err)
{
	const struct node_owner *to = host->owner;
	const struct node *n;
	size_t i;
	int ret = 0;

	for (i = 0; i < nodes->count && !ret; i++) {
		n = &nodes->list[i];
		if (n->uid != to->uid || n->gid != to->gid || n->mode != 0600)
			ret = own(host, n, to->uid, to->gid, 0600);
	}
	if (!ret)
		return 0;
	err_sys(err, ret, "cannot hand %s to %s%s", nodes->list[i - 1].path, to->name,
		ret == -EPERM ? ", which needs root" : "");
	while (i-- > 0) {
		n = &nodes->list[i];
		if (own(host, n, n->uid, n->gid, n->mode))
			err_append(err, "; and %s could not be given back", n->path);
	}
	return ret;
}

int node_owner_give(struct host *host, const struct pci_addr *addrs, size_t count, struct err *err)
{
	struct nodes nodes = { .count = 0 };
	size_t i;
	int ret = 0;

	if (!host->owner)
		return 0;
	nodes.list = calloc(2 * count + 1, sizeof(*nodes.list));
	if (!nodes.list)
		return err_sys(err, -ENOMEM, "cannot hand the nodes to %s", host->owner->name);
	for (i = 0; i < count && !ret; i++)
		ret = add_nodes(host, &nodes, &addrs[i], addrs, count, err);
	if (!ret)
		ret = give_all(host, &nodes, err);
	free(nodes.list);
	return ret;
}
