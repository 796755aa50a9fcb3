// SPDX-License-Identifier: GPL-2.0-or-later
#include "func_explain.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "func_config.h"

#define CONFIG_SIZE 4096
#define BRIDGES_MAX 32 /* between a function and the root */

/* What the kernel wants of a port or function before it tells those below, or beside, apart. */
#define ACS_NEEDED (PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF)

enum acs { ACS_HIDDEN, ACS_NONE, ACS_OFF, ACS_ON };

/* What config space says of a function. */
struct wiring {
	bool express;
	unsigned int type; /* PCI_EXP_TYPE_*, when express */
	enum acs acs;
	uint16_t off; /* ACS_OFF: the controls that are missing */
};

/* The members with their way to the root, nearest bridge first. */
struct place {
	struct pci_addr bridges[BRIDGES_MAX];
	size_t depth;
};

struct work {
	const struct host *host;
	struct group_explain *ex;
	struct place *places; /* one for each member */
};

const char *explain_kind_name(enum explain_kind kind)
{
	static const char *const names[] = { "bridge", "port", "functions", "hidden", "unknown" };

	return names[kind];
}

static void wiring_read(const struct host *host, const struct pci_addr *addr, struct wiring *w)
{
	uint8_t config[CONFIG_SIZE];
	size_t len = func_config_read(host, addr, config, sizeof(config)), at;
	uint16_t cap, ctrl;

	memset(w, 0, sizeof(*w));
	if (len < PCI_CFG_SPACE_SIZE)
		return;
	at = func_config_cap(config, PCI_CAP_ID_EXP);
	w->express = at;
	if (at)
		w->type = (get_le16(config + at + PCI_EXP_FLAGS) & PCI_EXP_FLAGS_TYPE) >> 4;
	w->acs = ACS_NONE;
	at = func_config_ext_cap(config, len, PCI_EXT_CAP_ID_ACS);
	if (!at)
		return;
	/* What the capability leaves out cannot be switched on, and is taken for granted. */
	cap = get_le16(config + at + PCI_ACS_CAP);
	ctrl = get_le16(config + at + PCI_ACS_CTRL);
	w->off = (uint16_t)(cap & ACS_NEEDED & ~ctrl);
	w->acs = w->off ? ACS_OFF : ACS_ON;
}

/* The bridges above @addr: the other addresses in its place in the device tree. */
static void place_read(const struct host *host, const struct pci_addr *addr, struct place *place)
{
	char path[HOST_PATH_MAX], target[HOST_PATH_MAX], a[PCI_ADDR_STRLEN], *slash;
	struct pci_addr found;
	ssize_t n;

	place->depth = 0;
	if (host_path(path, host->sysfs_root, "bus/pci/devices/%s", pci_addr_str(addr, a)))
		return;
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = '\0';
	while ((slash = strrchr(target, '/')) && place->depth < BRIDGES_MAX) {
		if (!pci_addr_parse(slash + 1, &found) && !pci_addr_eq(&found, addr))
			place->bridges[place->depth++] = found;
		*slash = '\0';
	}
}

static bool is_below(const struct place *place, const struct pci_addr *bridge)
{
	size_t i;

	for (i = 0; i < place->depth && !pci_addr_eq(&place->bridges[i], bridge); i++)
		;
	return i < place->depth;
}

/* "a, b and c": the members below @bridge, or with @slot those of its slot. Returns how many. */
static size_t list_members(const struct work *w, const struct pci_addr *addr, bool slot, char *buf,
			   size_t size)
{
	const struct group_member *last = NULL;
	size_t i, n = 0, len = 0;

	buf[0] = '\0';
	for (i = 0; i <= w->ex->member_count; i++) {
		const struct group_member *m = &w->ex->members[i];

		if (i < w->ex->member_count &&
		    !(m->is_pci &&
		      (slot ? m->addr.domain == addr->domain && m->addr.bus == addr->bus &&
				       m->addr.dev == addr->dev
			    : is_below(&w->places[i], addr))))
			continue;
		if (last && len < size)
			len += (size_t)snprintf(buf + len, size - len, "%s%s",
						n == 1			   ? ""
						: i == w->ex->member_count ? " and "
									   : ", ",
						last->name);
		last = m;
		n++;
	}
	return n - 1;
}

static struct explain_cause *cause_add(struct work *w, enum explain_kind kind,
				       const struct pci_addr *addr)
{
	struct group_explain *ex = w->ex;
	struct explain_cause *grown, *c;
	size_t i;

	for (i = 0; addr && i < ex->cause_count; i++)
		if (ex->causes[i].kind == kind && pci_addr_eq(&ex->causes[i].addr, addr))
			return NULL; /* known */
	grown = reallocarray(ex->causes, ex->cause_count + 1, sizeof(*ex->causes));
	if (!grown)
		return NULL;
	ex->causes = grown;
	c = &ex->causes[ex->cause_count++];
	memset(c, 0, sizeof(*c));
	c->kind = kind;
	if (addr)
		c->addr = *addr;
	return c;
}

/* "has no ACS", or "has ACS, but Source Validation is off". */
static void acs_text(const struct wiring *w, char *buf, size_t size)
{
	static const struct {
		uint16_t bit;
		const char *name;
	} bits[] = {
		{ PCI_ACS_SV, "Source Validation" },
		{ PCI_ACS_RR, "Request Redirect" },
		{ PCI_ACS_CR, "Completion Redirect" },
		{ PCI_ACS_UF, "Upstream Forwarding" },
	};
	size_t i, len;
	bool first = true;

	if (w->acs != ACS_OFF) {
		snprintf(buf, size, "has no ACS");
		return;
	}
	len = (size_t)snprintf(buf, size, "has ACS, but off are");
	for (i = 0; i < ARRAY_SIZE(bits) && len < size; i++) {
		if (!(w->off & bits[i].bit))
			continue;
		len += (size_t)snprintf(buf + len, size - len, "%s %s", first ? "" : ",",
					bits[i].name);
		first = false;
	}
}

static void bridge_cause(struct work *w, const struct pci_addr *bridge)
{
	struct explain_cause *c = cause_add(w, EXPLAIN_BRIDGE, bridge);
	char a[PCI_ADDR_STRLEN], below[256];

	if (!c)
		return;
	list_members(w, bridge, false, below, sizeof(below));
	pci_addr_str(bridge, a);
	snprintf(c->brief, sizeof(c->brief), "%s leads to a conventional PCI bus", a);
	snprintf(c->text, sizeof(c->text),
		 "%s leads to a conventional PCI bus: to the IOMMU all that is on it (%s) is one "
		 "requester; a slot of PCI Express would keep them apart",
		 a, below);
}

static void port_cause(struct work *w, const struct pci_addr *port, const struct wiring *wiring)
{
	struct explain_cause *c = cause_add(w, EXPLAIN_PORT, port);
	char a[PCI_ADDR_STRLEN], below[128], acs[160];

	if (!c)
		return;
	list_members(w, port, false, below, sizeof(below));
	acs_text(wiring, acs, sizeof(acs));
	pci_addr_str(port, a);
	snprintf(c->brief, sizeof(c->brief), "port %s %s", a,
		 wiring->acs == ACS_OFF ? "has ACS off" : "has no ACS");
	snprintf(c->text, sizeof(c->text),
		 "the %s %s %s: what is below it (%s) could reach its neighbours past the IOMMU; "
		 "another slot may have it, and some firmware has a setting for ACS",
		 wiring->type == PCI_EXP_TYPE_ROOT_PORT ? "root port" : "switch port", a, acs,
		 below);
}

static void functions_cause(struct work *w, const struct pci_addr *addr,
			    const struct wiring *wiring)
{
	struct pci_addr slot = *addr;
	char list[160], acs[160], a[PCI_ADDR_STRLEN];
	struct explain_cause *c;

	slot.fn = 0; /* one cause for all of them */
	c = cause_add(w, EXPLAIN_FUNCTIONS, &slot);
	if (!c)
		return;
	list_members(w, addr, true, list, sizeof(list));
	acs_text(wiring, acs, sizeof(acs));
	pci_addr_str(addr, a);
	snprintf(c->brief, sizeof(c->brief), "the functions of %.*s lack ACS", (int)strcspn(a, "."),
		 a);
	snprintf(c->text, sizeof(c->text),
		 "%s are functions of one card, of which %s %s: they could reach each other inside "
		 "the card; hand them over together",
		 list, a, acs);
}

static bool in_group(const struct group_explain *ex, const struct pci_addr *addr)
{
	size_t i;

	for (i = 0; i < ex->member_count; i++)
		if (ex->members[i].is_pci && pci_addr_eq(&ex->members[i].addr, addr))
			return true;
	return false;
}

/* @bridge is above a member: did it bring that one together with others? Returns false when config
 * space would say, and may not be read. */
static bool check_bridge(struct work *w, const struct pci_addr *bridge)
{
	struct wiring wiring;
	char unused[8];

	if (!in_group(w->ex, bridge) && list_members(w, bridge, false, unused, sizeof(unused)) < 2)
		return true;
	wiring_read(w->host, bridge, &wiring);
	if (wiring.acs == ACS_HIDDEN)
		return false;
	if (!wiring.express || wiring.type == PCI_EXP_TYPE_PCI_BRIDGE ||
	    wiring.type == PCI_EXP_TYPE_PCIE_BRIDGE)
		bridge_cause(w, bridge);
	/* One that is not in the group did not bring its neighbours in: a quirk isolates it. */
	else if (wiring.acs != ACS_ON && in_group(w->ex, bridge) &&
		 (wiring.type == PCI_EXP_TYPE_ROOT_PORT || wiring.type == PCI_EXP_TYPE_DOWNSTREAM))
		port_cause(w, bridge, &wiring);
	return true;
}

/* Functions of one device that is on PCI Express, or built into the root complex. On a conventional
 * bus it is the bridge that joins them. */
static bool check_functions(struct work *w, size_t index)
{
	const struct group_member *m = &w->ex->members[index];
	const struct place *place = &w->places[index];
	struct wiring wiring, above;
	char unused[8];

	if (list_members(w, &m->addr, true, unused, sizeof(unused)) < 2)
		return true;
	wiring_read(w->host, &m->addr, &wiring);
	if (wiring.acs == ACS_HIDDEN)
		return false;
	if (place->depth) {
		wiring_read(w->host, &place->bridges[0], &above);
		if (!above.express || above.type == PCI_EXP_TYPE_PCI_BRIDGE)
			return true;
	}
	if (wiring.acs != ACS_ON)
		functions_cause(w, &m->addr, &wiring);
	return true;
}

static void find_causes(struct work *w)
{
	struct group_explain *ex = w->ex;
	struct explain_cause *c;
	bool seen = true;
	size_t i, b;

	for (i = 0; i < ex->member_count; i++) {
		if (!ex->members[i].is_pci)
			continue;
		for (b = 0; b < w->places[i].depth; b++)
			seen &= check_bridge(w, &w->places[i].bridges[b]);
		seen &= check_functions(w, i);
	}
	if (ex->cause_count && seen)
		return;
	c = cause_add(w, seen ? EXPLAIN_UNKNOWN : EXPLAIN_HIDDEN, NULL);
	if (!c)
		return;
	if (seen)
		snprintf(c->text, sizeof(c->text),
			 "no bridge and no missing ACS explains it; the kernel may know that these "
			 "devices use each other's requester IDs");
	else
		snprintf(c->text, sizeof(c->text),
			 "whether bridges, ports and functions have ACS only root can read; run "
			 "this "
			 "with sudo to see");
}

static size_t command_add(struct group_explain *ex, bool bridges, const char *verb,
			  const char *driver)
{
	char *buf = ex->commands[ex->command_count];
	size_t i, n = 0, len;

	len = (size_t)snprintf(buf, EXPLAIN_TEXT_MAX, "vfctl %s", verb);
	for (i = 0; i < ex->member_count; i++) {
		const struct group_member *m = &ex->members[i];

		if (!m->blocks || !m->is_pci || m->is_bridge != bridges || len >= EXPLAIN_TEXT_MAX)
			continue;
		len += (size_t)snprintf(buf + len, EXPLAIN_TEXT_MAX - len, " %s", m->name);
		n++;
	}
	if (!n)
		return 0;
	if (len < EXPLAIN_TEXT_MAX)
		snprintf(buf + len, EXPLAIN_TEXT_MAX - len, "%s", driver);
	ex->command_count++;
	return n;
}

int group_explain(const struct host *host, int group, struct group_explain **ret_explain,
		  struct err *err)
{
	struct group_explain *ex = calloc(1, sizeof(*ex));
	struct work w = { .host = host, .ex = ex };
	size_t i;
	int ret;

	if (!ex)
		return err_sys(err, -ENOMEM, "group %d", group);
	ex->group = group;
	ret = group_members(host, group, &ex->members, &ex->member_count, err);
	if (ret) {
		group_explain_free(ex);
		return ret;
	}
	w.places = calloc(ex->member_count + 1, sizeof(*w.places));
	if (!w.places) {
		group_explain_free(ex);
		return err_sys(err, -ENOMEM, "group %d", group);
	}
	ex->viable = true;
	for (i = 0; i < ex->member_count; i++) {
		if (ex->members[i].is_pci)
			place_read(host, &ex->members[i].addr, &w.places[i]);
		ex->viable &= !ex->members[i].blocks;
	}
	/* vfio-pci takes no bridge; without a driver one does not count. */
	command_add(ex, true, "unbind", "");
	command_add(ex, false, "bind", " vfio-pci");
	if (ex->member_count > 1)
		find_causes(&w);
	free(w.places);
	*ret_explain = ex;
	return 0;
}

void group_explain_free(struct group_explain *explain)
{
	if (!explain)
		return;
	free(explain->members);
	free(explain->causes);
	free(explain);
}

const char *group_explain_brief(const struct group_explain *explain, char *buf, size_t size)
{
	size_t i, len = 0;

	buf[0] = '\0';
	for (i = 0; i < explain->cause_count; i++) {
		if (!*explain->causes[i].brief || len >= size)
			continue;
		len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? " and " : "",
					explain->causes[i].brief);
	}
	return buf;
}
