// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"
#include "lease.h"
#include "quarantine.h"

/* What keeps the VFs of a PF from being free, counted by reason. */
struct tally {
	char reason[8][HOST_NAME_MAX + 16];
	unsigned int count[8];
	unsigned int kinds, total;
};

static void tally_add(struct tally *t, const char *reason, const char *name)
{
	char text[sizeof(t->reason[0])];
	unsigned int i;

	snprintf(text, sizeof(text), "%s%s", reason, name);
	t->total++;
	for (i = 0; i < t->kinds && strcmp(t->reason[i], text) != 0; i++)
		;
	if (i == ARRAY_SIZE(t->count))
		return;
	if (i == t->kinds) {
		memcpy(t->reason[i], text, sizeof(text));
		t->kinds++;
	}
	t->count[i]++;
}

int func_of_path(char *path, struct pci_addr *ret)
{
	char *slash;

	for (;;) {
		slash = strrchr(path, '/');
		if (!pci_addr_parse(slash ? slash + 1 : path, ret))
			return 0;
		if (!slash)
			return -ENOENT;
		*slash = '\0';
	}
}

static bool ifname_ok(const char *name)
{
	/* dev_valid_name() of the kernel, and no alias ("eth0:1"). */
	return host_name_ok(name) && strlen(name) < IFNAMSIZ && !strchr(name, ':');
}

static int resolve_netdev(const struct host *host, const char *name, struct pci_addr *ret_addr,
			  struct err *err)
{
	char path[HOST_PATH_MAX], target[HOST_PATH_MAX];
	ssize_t n;
	int ret;

	ret = host_path(path, host->sysfs_root, "class/net/%s", name);
	if (ret)
		return err_sys(err, ret, "%s", name);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return err_set(err, -ENODEV, "%s: no such PCI address or network interface", name);
	target[n] = '\0';
	if (func_of_path(target, ret_addr))
		return err_set(err, -ENODEV, "%s: this interface belongs to no PCI function", name);
	return 0;
}

/* "0000:09:00": an address but for its function number. */
static bool is_slot(const char *name, struct pci_addr *ret_addr)
{
	char text[PCI_ADDR_STRLEN];
	int n = snprintf(text, sizeof(text), "%s.0", name);

	return n > 0 && (size_t)n < sizeof(text) && !pci_addr_parse(text, ret_addr);
}

/* An address or an interface's name, of @len characters. */
static int resolve_plain(const struct host *host, const char *name, size_t len,
			 struct pci_addr *ret_addr, struct err *err)
{
	char text[HOST_NAME_MAX], shown[48];

	if (len < sizeof(text)) {
		memcpy(text, name, len);
		text[len] = '\0';
		if (!pci_addr_parse(text, ret_addr)) {
			if (func_exists(host, ret_addr))
				return 0;
			pci_addr_str(ret_addr, text);
			return err_set(err, -ENODEV, "%s: no such function", text);
		}
		if (ifname_ok(text))
			return resolve_netdev(host, text, ret_addr, err);
		if (is_slot(text, ret_addr))
			return err_set(err, -EINVAL,
				       "%s: this is a slot; name one of its functions, as in %s.0",
				       text, text);
	}
	return err_set(err, -EINVAL,
		       "\"%s\": neither a PCI address (0000:01:10.0) nor the name of a network "
		       "interface",
		       host_printable(name, shown, sizeof(shown)));
}

/* Whether user space can have the VFIO device of @vf now; if not, the reason goes to @t. */
static bool vf_is_free(const struct host *host, const struct pci_addr *vf, struct tally *t)
{
	char driver[HOST_NAME_MAX], path[HOST_PATH_MAX], a[PCI_ADDR_STRLEN];
	struct lease lease;
	int group, ret;

	func_driver(host, vf, driver);
	group = func_group(host, vf);
	if (quarantine_has(host, vf, NULL))
		tally_add(t, "in quarantine", "");
	else if (lease_find(host, vf, &lease) != 0)
		tally_add(t, "leased", "");
	else if (!*driver)
		tally_add(t, "without a driver", "");
	else if (!func_driver_is_vfio(driver))
		tally_add(t, "bound to ", driver);
	else if (group < 0)
		tally_add(t, "in no IOMMU group", "");
	else if (group_check(host, group, NULL))
		tally_add(t, "in a group that is not viable", "");
	else {
		ret = host_path(path, host->dev_root, "vfio/%d", group);
		if (!ret)
			ret = host->ops->node_try(host, path, 0);
		/* A kernel with VFIO device nodes alone has no group nodes. */
		if (ret == -ENOENT &&
		    host_has(host, "bus/pci/devices/%s/vfio-dev", pci_addr_str(vf, a)))
			ret = 0;
		if (!ret)
			return true;
		tally_add(t, ret == -EBUSY ? "in use" :
			     ret == -EACCES || ret == -EPERM ? "that this user may not open" :
							       "without a device node", "");
	}
	return false;
}

static int no_free_vf(const char *pf, const struct tally *t, struct err *err)
{
	unsigned int i;

	if (!t->total)
		return err_set(err, -ENODEV,
			       "no free VF of %s (it has none); run: vfctl create %s N --driver "
			       "vfio-pci", pf, pf);
	err_set(err, -ENODEV, "no free VF of %s (%u VF%s: ", pf, t->total, t->total > 1 ? "s" : "");
	for (i = 0; i < t->kinds; i++)
		err_append(err, "%s%u %s", i ? ", " : "", t->count[i], t->reason[i]);
	err_append(err, ")");
	return -ENODEV;
}

static int resolve_any(const struct host *host, const struct pci_addr *pf,
		       const struct func_taken *taken, struct pci_addr *ret_addr, struct err *err)
{
	struct tally tally = { .total = 0 };
	char a[PCI_ADDR_STRLEN];
	long count = 0;
	long i;

	pci_addr_str(pf, a);
	if (host_read_long(host, &count, "bus/pci/devices/%s/sriov_numvfs", a))
		return err_set(err, -ENODEV, "%s: this function has no VFs (no SR-IOV)", a);
	for (i = 0; i < count && i <= UINT16_MAX; i++) {
		if (func_vf_addr(host, pf, (unsigned int)i, ret_addr))
			tally_add(&tally, "not there yet", "");
		else if (taken && taken->is(taken->opaque, ret_addr))
			tally_add(&tally, "in this guest already", "");
		else if (vf_is_free(host, ret_addr, &tally))
			return 0;
	}
	return no_free_vf(a, &tally, err);
}

static int resolve_index(const struct host *host, const struct pci_addr *pf, const char *digits,
			 struct pci_addr *ret_addr, struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	unsigned int index = 0;
	long count = 0;
	size_t i;

	for (i = 0; digits[i]; i++)
		index = index * 10 + (unsigned int)(digits[i] - '0');
	pci_addr_str(pf, a);
	if (!func_vf_addr(host, pf, index, ret_addr) && func_exists(host, ret_addr))
		return 0;
	if (host_read_long(host, &count, "bus/pci/devices/%s/sriov_numvfs", a))
		return err_set(err, -ENODEV, "%s: this function has no VFs (no SR-IOV)", a);
	return err_set(err, -ENODEV, "%s has no VF %u (it has %ld)", a, index, count);
}

static bool is_index(const char *text)
{
	size_t n = strspn(text, "0123456789");

	return n && n <= 5 && !text[n];
}

int func_resolve_free(const struct host *host, const char *name, const struct func_taken *taken,
		      struct pci_addr *ret_addr, struct err *err)
{
	const char *slash = strchr(name, '/');
	struct pci_addr pf, found;
	char shown[48];
	int ret;

	if (!slash)
		ret = resolve_plain(host, name, strlen(name), &found, err);
	else if (strcmp(slash, "/any") != 0 && (strncmp(slash, "/vf", 3) != 0 ||
						!is_index(slash + 3)))
		return err_set(err, -EINVAL, "\"%s\": after the PF comes /vfN or /any",
			       host_printable(name, shown, sizeof(shown)));
	else
		ret = resolve_plain(host, name, (size_t)(slash - name), &pf, err);
	if (!ret && slash)
		ret = !strcmp(slash, "/any") ? resolve_any(host, &pf, taken, &found, err) :
					       resolve_index(host, &pf, slash + 3, &found, err);
	if (!ret)
		*ret_addr = found;
	return ret;
}

int func_resolve(const struct host *host, const char *name, struct pci_addr *ret_addr,
		 struct err *err)
{
	return func_resolve_free(host, name, NULL, ret_addr, err);
}

int func_slot(const struct host *host, const char *name, struct pci_addr ret_addrs[FUNC_SLOT_MAX],
	      unsigned int *ret_count, struct err *err)
{
	struct pci_addr addr, pf;
	unsigned int count = 0, fn;
	int ret = is_slot(name, &addr) ? 0 : func_resolve(host, name, &addr, err);

	if (ret)
		return ret;
	for (fn = 0; fn < FUNC_SLOT_MAX; fn++) {
		addr.fn = (uint8_t)fn;
		if (func_exists(host, &addr) && func_pf_addr(host, &addr, &pf))
			ret_addrs[count++] = addr;
	}
	if (!count)
		return err_set(err, -ENODEV, "%s: there is no function in this slot", name);
	*ret_count = count;
	return 0;
}
