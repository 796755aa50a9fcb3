// SPDX-License-Identifier: GPL-2.0-or-later
#include "select.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "func.h"

/* What one function is by each key, read when asked for. */
struct look {
	const struct host *host;
	const struct inventory *inv;
	const struct inventory_func *func;
	const struct want_match *match;
};

/* --- what a function is ------------------------------------------------------------------------ */

/* The slot whose address is that of the function: "0000:01:00", or the bus alone for a hot-plug
 * slot behind a port ("0000:01"). The slot asked for comes first, for a device may be in several. */
static bool slot_has(const struct look *l, const char *slot)
{
	char text[32], a[PCI_ADDR_STRLEN];

	if (host_read(l->host, text, sizeof(text), "bus/pci/slots/%s/address", slot) <= 0)
		return false;
	pci_addr_str(&l->func->addr, a);
	return !strncmp(a, text, strlen(text)) && strchr(":.", a[strlen(text)]);
}

static void slot_text(const struct look *l, char buf[SELECT_TEXT_MAX])
{
	char path[HOST_PATH_MAX];
	struct dirent *e;
	DIR *dir;

	snprintf(buf, SELECT_TEXT_MAX, "none");
	if (host_path(path, l->host->sysfs_root, "bus/pci/slots"))
		return;
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || !slot_has(l, e->d_name))
			continue;
		host_printable(e->d_name, buf, SELECT_TEXT_MAX);
		break;
	}
	if (dir)
		closedir(dir);
}

static bool slot_is(const struct look *l)
{
	return slot_has(l, l->match->slot);
}

/* The serial number of the NVMe controller; false when it is none. */
static bool nvme_serial(const struct look *l, char buf[HOST_NAME_MAX])
{
	char path[HOST_PATH_MAX], a[PCI_ADDR_STRLEN];
	bool found = false;
	struct dirent *e;
	DIR *dir;

	if (host_path(path, l->host->sysfs_root, "bus/pci/devices/%s/nvme",
		      pci_addr_str(&l->func->addr, a)))
		return false;
	dir = opendir(path);
	while (dir && !found && (e = readdir(dir))) {
		found = e->d_name[0] != '.' &&
			host_read(l->host, buf, HOST_NAME_MAX, "bus/pci/devices/%s/nvme/%s/serial",
				  a, e->d_name) > 0;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* The card's serial numbers, both of them where it has two. */
static void serial_text(const struct look *l, char buf[SELECT_TEXT_MAX])
{
	char card[FUNC_SERIAL_MAX], nvme[HOST_NAME_MAX], shown[HOST_NAME_MAX];
	bool has_card = !func_serial(l->host, &l->func->addr, card);
	bool has_nvme = nvme_serial(l, nvme);

	if (has_nvme)
		host_printable(nvme, shown, sizeof(shown));
	snprintf(buf, SELECT_TEXT_MAX, "%s%s%s", has_card ? card : "",
		 has_card && has_nvme ? " or " : "", has_nvme ? shown : "");
	if (!has_card && !has_nvme)
		snprintf(buf, SELECT_TEXT_MAX, "%s", geteuid() ? "for root to see" : "none");
}

/* As people copy it: whatever stands between the digits of lspci, and in either case. */
static bool serial_eq(const char *a, const char *b)
{
	for (;; a++, b++) {
		while (*a && strchr("-: ", *a))
			a++;
		while (*b && strchr("-: ", *b))
			b++;
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
			return false;
		if (!*a)
			return true;
	}
}

static bool serial_is(const struct look *l)
{
	char text[HOST_NAME_MAX];

	if (!func_serial(l->host, &l->func->addr, text) && serial_eq(text, l->match->serial))
		return true;
	return nvme_serial(l, text) && !strcmp(text, l->match->serial);
}

/* The MAC that interface @name was made with: what it has now, if nobody set it, else what its
 * driver says. */
static bool own_mac(const struct host *host, const char *name, struct mac_addr *ret_mac)
{
	char text[32];
	long type;

	if (!host_read_long(host, &type, "class/net/%s/addr_assign_type", name) && !type &&
	    host_read(host, text, sizeof(text), "class/net/%s/address", name) > 0)
		return !opt_parse_mac(text, ret_mac);
	return host->ops->net_own_mac && !host->ops->net_own_mac(host, name, ret_mac->b);
}

static void mac_text(const struct look *l, char buf[SELECT_TEXT_MAX])
{
	struct mac_addr m;
	size_t i;

	snprintf(buf, SELECT_TEXT_MAX, "none");
	for (i = 0; i < l->func->net_count; i++) {
		if (own_mac(l->host, l->inv->nets[l->func->net_first + i].name, &m)) {
			snprintf(buf, SELECT_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", m.b[0],
				 m.b[1], m.b[2], m.b[3], m.b[4], m.b[5]);
			return;
		}
	}
}

static bool mac_is(const struct look *l)
{
	struct mac_addr m;
	size_t i;

	for (i = 0; i < l->func->net_count; i++) {
		if (own_mac(l->host, l->inv->nets[l->func->net_first + i].name, &m) &&
		    !memcmp(m.b, l->match->mac.b, sizeof(m.b)))
			return true;
	}
	return false;
}

static void vendor_text(const struct look *l, char buf[SELECT_TEXT_MAX])
{
	snprintf(buf, SELECT_TEXT_MAX, "0x%04x", l->func->vendor);
}

static bool vendor_is(const struct look *l)
{
	return l->func->vendor == l->match->vendor;
}

static void device_text(const struct look *l, char buf[SELECT_TEXT_MAX])
{
	snprintf(buf, SELECT_TEXT_MAX, "0x%04x", l->func->device);
}

static bool device_is(const struct look *l)
{
	return l->func->device == l->match->device;
}

static void driver_text(const struct look *l, char buf[SELECT_TEXT_MAX])
{
	snprintf(buf, SELECT_TEXT_MAX, "%s", *l->func->driver ? l->func->driver : "none");
}

static bool driver_is(const struct look *l)
{
	return !strcmp(*l->func->driver ? l->func->driver : "none", l->match->driver);
}

static void address_text(const struct look *l, char buf[SELECT_TEXT_MAX])
{
	char a[PCI_ADDR_STRLEN];

	snprintf(buf, SELECT_TEXT_MAX, "%s", pci_addr_str(&l->func->addr, a));
}

static bool address_is(const struct look *l)
{
	return pci_addr_eq(&l->func->addr, &l->match->addr);
}

/* --- which one it is --------------------------------------------------------------------------- */

static const struct key {
	const char *name;
	bool (*is)(const struct look *l);
	void (*text)(const struct look *l, char buf[SELECT_TEXT_MAX]);
} keys[MATCH_COUNT] = {
	[MATCH_SLOT] = { "slot", slot_is, slot_text },
	[MATCH_SERIAL] = { "serial", serial_is, serial_text },
	[MATCH_MAC] = { "mac", mac_is, mac_text },
	[MATCH_VENDOR] = { "vendor", vendor_is, vendor_text },
	[MATCH_DEVICE] = { "device", device_is, device_text },
	[MATCH_DRIVER] = { "driver", driver_is, driver_text },
	[MATCH_ADDRESS] = { "address", address_is, address_text },
};

/* The cheap ones first: a serial number costs a walk through config space. */
static const enum match_key order[MATCH_COUNT] = {
	MATCH_ADDRESS, MATCH_VENDOR, MATCH_DEVICE, MATCH_DRIVER, MATCH_SLOT, MATCH_MAC,
	MATCH_SERIAL,
};

/* As the file has it. */
static const char *asked(const struct want_match *m, enum match_key key, char buf[SELECT_TEXT_MAX])
{
	const struct inventory_func func = { .addr = m->addr, .vendor = (uint16_t)m->vendor,
					     .device = (uint16_t)m->device };
	const struct look l = { .func = &func };

	switch (key) {
	case MATCH_SLOT:
		return m->slot;
	case MATCH_SERIAL:
		return m->serial;
	case MATCH_DRIVER:
		return m->driver;
	case MATCH_MAC:
		snprintf(buf, SELECT_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", m->mac.b[0],
			 m->mac.b[1], m->mac.b[2], m->mac.b[3], m->mac.b[4], m->mac.b[5]);
		return buf;
	default:
		keys[key].text(&l, buf);
		return buf;
	}
}

/* How many of what is asked for holds; *@ret_wrong is the first that does not, if any. With @enough
 * the look ends there. */
static unsigned int holds(const struct look *l, bool enough, int *ret_wrong)
{
	unsigned int n = 0;
	size_t i;

	*ret_wrong = -1;
	for (i = 0; i < MATCH_COUNT; i++) {
		if (!(l->match->has & BIT(order[i])))
			continue;
		if (keys[order[i]].is(l)) {
			n++;
			continue;
		}
		*ret_wrong = *ret_wrong < 0 ? (int)order[i] : *ret_wrong;
		if (enough)
			break;
	}
	return n;
}

static int none(const struct want *want, const struct want_device *d, struct look *l,
		struct err *err)
{
	char what[SELECT_TEXT_MAX], is[SELECT_TEXT_MAX], a[PCI_ADDR_STRLEN];
	const struct inventory_func *near = NULL;
	unsigned int n, best = 0;
	int wrong, near_wrong = -1;
	size_t i;

	for (i = 0; i < l->inv->func_count; i++) {
		l->func = &l->inv->funcs[i];
		if (l->func->is_vf)
			continue;
		n = holds(l, false, &wrong);
		/* Who names an address means what is there. */
		if (l->match->has & BIT(MATCH_ADDRESS) && !address_is(l))
			n = 0;
		if (n > best) {
			best = n;
			near = l->func;
			near_wrong = wrong;
		}
	}
	if (!near) {
		for (i = 0; !(l->match->has & BIT(order[i])); i++)
			;
		return err_set(err, -ENODEV, "%s:%u: no function has the %s %s; see: vfctl list",
			       want->file, d->line, keys[order[i]].name,
			       asked(l->match, order[i], what));
	}
	l->func = near;
	keys[near_wrong].text(l, is);
	return err_set(err, -ENODEV, "%s:%u: %s is there, but its %s is %s, not %s; if that is the "
		       "one you mean, change the file", want->file, d->line,
		       pci_addr_str(&near->addr, a), keys[near_wrong].name, is,
		       asked(l->match, (enum match_key)near_wrong, what));
}

static int several(const struct want *want, const struct want_device *d,
		   const struct inventory_func *first, const struct inventory_func *second,
		   unsigned int count, struct err *err)
{
	char a[PCI_ADDR_STRLEN], b[PCI_ADDR_STRLEN];

	return err_set(err, -ENOTUNIQ, "%s:%u: %u functions are so: %s, %s%s; add what tells one "
		       "from the others, as its address, serial or mac", want->file, d->line, count,
		       pci_addr_str(&first->addr, a), pci_addr_str(&second->addr, b),
		       count > 2 ? " ..." : "");
}

/* A VF's address finds nothing, and why is worth a word. */
static int vf_named(const struct want *want, const struct want_device *d, const struct look *l,
		    struct err *err)
{
	char a[PCI_ADDR_STRLEN], pf[PCI_ADDR_STRLEN];
	size_t i;

	for (i = 0; l->match->has & BIT(MATCH_ADDRESS) && i < l->inv->func_count; i++) {
		const struct inventory_func *f = &l->inv->funcs[i];

		if (f->is_vf && pci_addr_eq(&f->addr, &l->match->addr))
			return err_set(err, -ENODEV, "%s:%u: %s is a VF of %s; name that one, and "
				       "this below its vf:", want->file, d->line,
				       pci_addr_str(&f->addr, a), pci_addr_str(&f->pf, pf));
	}
	return 0;
}

static int select_one(const struct host *host, const struct inventory *inv,
		      const struct want *want, const struct want_device *d,
		      struct pci_addr *ret_addr, struct err *err)
{
	struct look l = { .host = host, .inv = inv, .match = &d->match };
	const struct inventory_func *found[2] = { NULL, NULL };
	unsigned int count = 0;
	int wrong, ret;
	size_t i;

	for (i = 0; i < inv->func_count; i++) {
		l.func = &inv->funcs[i];
		if (l.func->is_vf)
			continue;
		holds(&l, true, &wrong);
		if (wrong >= 0)
			continue;
		if (count < 2)
			found[count] = l.func;
		count++;
	}
	if (count > 1)
		return several(want, d, found[0], found[1], count, err);
	if (count == 1) {
		*ret_addr = found[0]->addr;
		return 0;
	}
	ret = vf_named(want, d, &l, err);
	return ret ? ret : none(want, d, &l, err);
}

int select_all(const struct host *host, const struct want *want, struct pci_addr *ret_addrs,
	       struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	struct inventory *inv;
	size_t i, j;
	int ret = inventory_read(host, &inv, err);

	if (ret)
		return ret;
	for (i = 0; i < want->count && !ret; i++) {
		ret = select_one(host, inv, want, &want->devices[i], &ret_addrs[i], err);
		for (j = 0; j < i && !ret; j++) {
			if (pci_addr_eq(&ret_addrs[i], &ret_addrs[j]))
				ret = err_set(err, -ENOTUNIQ, "%s:%u: this is %s, which line %u "
					      "means too", want->file, want->devices[i].line,
					      pci_addr_str(&ret_addrs[i], a),
					      want->devices[j].line);
		}
	}
	inventory_free(inv);
	return ret;
}
