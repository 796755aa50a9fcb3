// SPDX-License-Identifier: GPL-2.0-or-later
/* Which functions a guest's options will surely ask for, so that they can be opened together. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "sriov/func.h"
#include "vfio_pci.h"
#include "vfio_pci_priv.h"
#include "vfio_sys.h"
#include "vmm/vm.h"

/* Is a function of the host the first choice for @name? */
static bool is_first_choice(const struct dev_table *table, const char *name)
{
	const struct dev_role *role;

	for (role = table->roles; role->name; role++)
		if (!strcmp(role->name, name))
			name = role->choices[0];
	return !strcmp(name, vfio_pci_class.name);
}

/* What goes by descriptors, by a back end that is named or with a token has its own way. */
static bool has_own_way(const struct opt_list *list)
{
	static const char *const keys[] = { "iommu",	"fd",		"iommufd-fd",	"group-fd",
					    "vf-token", "container-fd", "all-functions" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (opt_list_get(list, keys[i]))
			return true;
	return false;
}

static bool find(const struct host *host, const char *guest, const struct opt_list *list,
		 struct iommu_dev *dev)
{
	const char *name = opt_list_get(list, "host");

	if (!name || strstr(name, "/any") || func_resolve(host, name, &dev->addr, NULL))
		return false;
	dev->host = host;
	pci_addr_str(&dev->addr, dev->name);
	return !vfio_pci_check(host, &dev->addr, guest, &dev->group, NULL);
}

static bool is_listed(const struct iommu_dev *devs, unsigned int count, const struct pci_addr *addr)
{
	while (count--)
		if (pci_addr_eq(&devs[count].addr, addr))
			return true;
	return false;
}

/* Fills @devs. Returns how many, 0 also when one of them has its own way. */
static unsigned int find_all(const struct host *host, const char *guest,
			     const struct dev_table *table, const char *const *specs,
			     unsigned int count, struct iommu_dev *devs)
{
	bool own_way = false;
	unsigned int i, n = 0;

	for (i = 0; i < count && !own_way; i++) {
		struct opt_list list;

		if (opt_list_parse(&list, specs[i], NULL))
			return 0;
		if (is_first_choice(table, list.head)) {
			own_way = has_own_way(&list);
			if (!own_way && find(host, guest, &list, &devs[n]) &&
			    !is_listed(devs, n, &devs[n].addr))
				n++;
		}
		opt_list_done(&list);
	}
	return own_way ? 0 : n;
}

void vfio_pci_ahead(struct vm *vm, const struct dev_table *table, const char *const *specs,
		    unsigned int count)
{
	struct iommu_dev *devs;
	struct host host;
	unsigned int n;

	if (count < 2 || host_init(&host, vfio_sys_sysfs_root(), NULL))
		return;
	devs = calloc(count, sizeof(*devs));
	n = devs ? find_all(&host, vm->config.name, table, specs, count, devs) : 0;
	if (n > 1)
		iommu_ahead(vm, devs, n);
	free(devs);
}
