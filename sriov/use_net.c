// SPDX-License-Identifier: GPL-2.0-or-later
/* Who uses a function's network interfaces, and what stands on them. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "host_net.h"
#include "use_look.h"
#include "use_scan.h"

#define IFF_UP_BIT 1	/* linux/if.h, IFF_UP */
#define CHAIN_MAX 256	/* text: "eth0 is in bond0, that carries bond0.7" */
#define BY_MAX 128	/* text: "bond0, bond0.7" */
#define DEPTH_MAX 16	/* the kernel stacks 8 (MAX_NEST_DEV) */

/* A walk over one interface and all that stands on it; each is looked at once. */
struct walk {
	struct use_look *look;
	const char *lowest;
	struct use_seen seen;
};

/* A place in the walk. */
struct step {
	const char *name;
	const char *chain; /* how one gets there, ending with its name */
	const char *by;	   /* the same for "eth0 (by ...)", "" at the start */
	unsigned int depth;
};

static int walk_step(struct walk *w, const struct step *step);

static const char *relation(const struct host *host, const char *name, const char *upper)
{
	char master[HOST_NAME_MAX];

	if (host_link(host, master, sizeof(master), "class/net/%s/master", name) ||
	    strcmp(master, upper) != 0)
		return "carries";
	return host_has(host, "class/net/%s/bridge", upper) ? "is a port of" : "is in";
}

static int climb(struct walk *w, const struct step *step, const char *upper)
{
	char chain[CHAIN_MAX], by[BY_MAX];
	struct step next = { .name = upper, .chain = chain, .by = by, .depth = step->depth + 1 };
	size_t len = strlen(step->chain);
	int ret = use_seen_add(&w->seen, upper);

	if (ret <= 0)
		return ret;
	/* A chain too long for a message is told by its beginning and its end. */
	snprintf(chain, sizeof(chain), "%s%s %s %s", step->chain,
		 len + 2 * (size_t)HOST_NAME_MAX >= sizeof(chain) ? " ..." : step->depth ? ", that" : "",
		 relation(w->look->host, step->name, upper), upper);
	snprintf(by, sizeof(by), "%s%s%s", step->by, *step->by ? ", " : "", upper);
	return walk_step(w, &next);
}

/* All that stand on it. Returns how many there are, or -ENOMEM. */
static int climb_all(struct walk *w, const struct step *step)
{
	char path[HOST_PATH_MAX];
	struct dirent *e;
	int ret = 0, count = 0;
	DIR *dir;

	if (host_path(path, w->look->host->sysfs_root, "class/net/%s", step->name))
		return 0;
	dir = opendir(path);
	if (!dir) {
		if (errno != ENOENT)
			use_unknown(w->look, -errno, "what %s carries cannot be read", step->name);
		return 0;
	}
	while (!ret && (e = readdir(dir))) {
		if (strncmp(e->d_name, "upper_", 6) != 0)
			continue;
		count++;
		if (host_name_ok(e->d_name + 6))
			ret = climb(w, step, e->d_name + 6);
		else
			use_unknown(w->look, -EINVAL, "what %s carries has an odd name",
				    step->name);
	}
	closedir(dir);
	return ret ? ret : count;
}

static const char *route_of(struct use_look *look, const char *name)
{
	const struct use_scan *scan = look->scan;
	size_t i;

	for (i = 0; i < scan->route_count; i++) {
		if (!strcmp(scan->routes[i].ifname, name))
			return scan->routes[i].to;
	}
	return NULL;
}

static bool is_up(struct use_look *look, const char *name)
{
	char flags[32];
	ssize_t n = host_read(look->host, flags, sizeof(flags), "class/net/%s/flags", name);

	if (n < 0 && n != -ENOENT)
		use_unknown(look, (int)n, "whether %s is up cannot be read", name);
	return n > 0 && strtoul(flags, NULL, 16) & IFF_UP_BIT;
}

/* " with address 10.0.2.15 and the default route", as far as it is not forced; the kinds it is. */
static int look_config(struct use_look *look, const char *name, char *buf, size_t size,
		       unsigned int *ret_kinds)
{
	const struct host_ops *ops = look->host->ops;
	char address[64];
	const char *to;
	int ret, n = 0;

	*ret_kinds = 0;
	buf[0] = '\0';
	if (!is_up(look, name))
		return 0;
	ret = ops->net_addr(look->host, name, address, sizeof(address));
	if (ret < 0)
		use_unknown(look, ret, "the addresses of %s cannot be read", name);
	if (ret > 0 && !(look->force & USE_ADDRESS)) {
		*ret_kinds |= USE_ADDRESS;
		n = snprintf(buf, size, " with address %s", address);
	}
	ret = use_scan_routes(look->scan, ops->routes ? ops->routes : host_net_routes);
	if (ret == -ENOMEM)
		return ret;
	if (ret)
		use_unknown(look, ret, "the routes cannot be read");
	to = ret ? NULL : route_of(look, name);
	if (!to || look->force & USE_ROUTE)
		return 0;
	*ret_kinds |= USE_ROUTE;
	snprintf(buf + n, size - (size_t)n, " %s the %sroute%s%s", n ? "and" : "with",
		 strcmp(to, "default") ? "" : "default ", strcmp(to, "default") ? " to " : "",
		 strcmp(to, "default") ? to : "");
	return 0;
}

/* The session of who asks leaves through this interface. */
static void look_ssh(struct walk *w, const struct step *step)
{
	const struct use_scan *scan = w->look->scan;

	if (!*scan->ssh_ifname || strcmp(scan->ssh_ifname, step->name) != 0)
		return;
	use_proof(w->look, USE_SSH, "come in another way",
		  "your SSH session from %s comes in through %s%s%s%s", scan->ssh_client, w->lowest,
		  *step->by ? " (by " : "", step->by, *step->by ? ")" : "");
}

static int walk_step(struct walk *w, const struct step *step)
{
	unsigned int mask, upper = step->depth ? USE_UPPER : 0;
	char config[160];
	int ret, uppers;

	if (step->depth >= DEPTH_MAX) {
		use_unknown(w->look, -ELOOP, "what stands on %s cannot be followed", w->lowest);
		return 0;
	}
	uppers = climb_all(w, step);
	if (uppers < 0)
		return uppers;
	look_ssh(w, step);
	ret = look_config(w->look, step->name, config, sizeof(config), &mask);
	if (ret)
		return ret;
	if (mask)
		use_proof(w->look, mask | upper,
			  upper ? "bring that down and take it apart" : "bring it down", "%s%s%s",
			  step->chain, step->depth ? "" : " is up", config);
	else if (!uppers && upper)
		use_proof(w->look, USE_UPPER, "take that apart", "%s", step->chain);
	else if (!uppers && host_has(w->look->host, "class/net/%s/brport", step->name))
		use_proof(w->look, USE_UPPER, "take it out", "%s is a port of a bridge",
			  step->name);
	return 0;
}

int use_look_net(struct use_look *look, const struct func_info *info)
{
	const struct host_ops *ops = look->host->ops;
	struct walk w = { .look = look };
	unsigned int i;
	int ret = 0;

	if (info->netdev_count) {
		ret = use_scan_ssh(look->scan, ops->route_to ? ops->route_to : host_net_route_to);
		if (ret == -ENOMEM)
			return ret;
		if (ret)
			use_unknown(look, ret, "whether your SSH session comes in through it "
				    "cannot be found out");
		ret = 0;
	}
	for (i = 0; i < info->netdev_count && !ret; i++) {
		struct step step = { .name = info->netdevs[i], .by = "" };

		w.lowest = step.chain = step.name;
		ret = use_seen_add(&w.seen, w.lowest);
		ret = ret > 0 ? walk_step(&w, &step) : ret;
	}
	free(w.seen.names);
	/* The folder of interfaces outlives their move to a namespace we cannot see into. */
	if (!ret && !info->netdev_count &&
	    host_has(look->host, "bus/pci/devices/%s/net", look->a))
		use_proof(look, USE_NETNS, "move it back",
			  "its network interface is in another network namespace");
	return ret;
}
