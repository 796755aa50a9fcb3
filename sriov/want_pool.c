// SPDX-License-Identifier: GPL-2.0-or-later
#include "want_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"
#include "pool.h"

struct pool {
	const char *name;
	struct pci_addr *addrs;
	size_t count;
};

struct pools {
	struct pool *pools;
	size_t count;
};

static void pools_done(struct pools *p)
{
	size_t i;

	for (i = 0; i < p->count; i++)
		free(p->pools[i].addrs);
	free(p->pools);
}

static struct pool *pool_of(struct pools *p, const char *name)
{
	struct pool *grown;
	size_t i;

	for (i = 0; i < p->count; i++) {
		if (!strcmp(p->pools[i].name, name))
			return &p->pools[i];
	}
	grown = reallocarray(p->pools, p->count + 1, sizeof(*grown));
	if (!grown)
		return NULL;
	p->pools = grown;
	grown += p->count++;
	memset(grown, 0, sizeof(*grown));
	grown->name = name;
	return grown;
}

static int add(struct pools *p, const char *name, const struct pci_addr *addr)
{
	struct pci_addr *grown;
	struct pool *pool;

	if (!*name)
		return 0;
	pool = pool_of(p, name);
	grown = pool ? reallocarray(pool->addrs, pool->count + 1, sizeof(*grown)) : NULL;
	if (!grown)
		return -ENOMEM;
	pool->addrs = grown;
	grown[pool->count++] = *addr;
	return 0;
}

/* 0; -ENODEV when a VF is not there; or -ENOMEM. */
static int collect(const struct host *host, const struct want *want, const struct want_func *funcs,
		   struct pools *p)
{
	const char *name, *pool;
	struct vf_state state;
	struct pci_addr vf;
	unsigned int v;
	int ret = 0;
	size_t i;

	for (i = 0; want && i < want->count && !ret; i++) {
		const struct want_device *d = &want->devices[i];

		ret = add(p, d->pool, &funcs[i].addr);
		for (v = 0; v < funcs[i].count && !ret; v++) {
			want_vf(d, v, &state, &name, &pool);
			if (!*name && !*pool)
				continue;
			ret = func_vf_addr(host, &funcs[i].addr, v, &vf);
			if (!ret)
				ret = add(p, name, &vf);
			if (!ret)
				ret = add(p, pool, &vf);
		}
	}
	return ret;
}

static bool pool_differs(const struct host *host, const struct pool *p)
{
	struct pci_addr *addrs;
	bool differs;
	size_t count, i;

	if (pool_read(host, p->name, &addrs, &count, NULL))
		return true;
	differs = count != p->count;
	for (i = 0; i < count && !differs; i++)
		differs = !pci_addr_eq(&addrs[i], &p->addrs[i]);
	free(addrs);
	return differs;
}

bool want_pools_differ(const struct host *host, const struct want *want,
		       const struct want_func *funcs)
{
	struct pools p = { .pools = NULL };
	char **names = NULL;
	size_t i, count = 0;
	bool differs;

	differs = collect(host, want, funcs, &p) || pool_list(host, &names, &count, NULL) ||
		  count != p.count;
	for (i = 0; i < p.count && !differs; i++)
		differs = pool_differs(host, &p.pools[i]);
	free(names);
	pools_done(&p);
	return differs;
}

int want_pools_write(struct host *host, const struct want *want, const struct want_func *funcs,
		     struct err *err)
{
	struct pools p = { .pools = NULL };
	const char **keep;
	size_t i;
	int ret = collect(host, want, funcs, &p);

	keep = calloc(p.count + 1, sizeof(*keep));
	if (ret || !keep)
		ret = err_sys(err, ret ? ret : -ENOMEM, "pools");
	for (i = 0; keep && i < p.count && !ret; i++) {
		keep[i] = p.pools[i].name;
		ret = pool_write(host, p.pools[i].name, p.pools[i].addrs, p.pools[i].count, err);
	}
	if (!ret)
		ret = pool_remove_others(host, keep, p.count, err);
	free(keep);
	pools_done(&p);
	return ret;
}
