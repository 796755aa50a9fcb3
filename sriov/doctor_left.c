// SPDX-License-Identifier: GPL-2.0-or-later
/* What the doctor finds that was left behind: quarantine, overrides, settings. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "bind.h"
#include "doctor_priv.h"
#include "func.h"
#include "quarantine.h"

void doctor_quarantine(const struct doctor *d, struct doctor_finding *f)
{
	CLEANUP_FREE struct pci_addr *addrs = NULL;
	char why[QUARANTINE_REASON_MAX], list[160], a[PCI_ADDR_STRLEN];
	struct err err = { .code = 0 };
	size_t i, count = 0;

	if (quarantine_list(d->host, &addrs, &count, &err)) {
		doctor_say(f, DOCTOR_UNKNOWN, "%s", err.msg);
		return;
	}
	for (i = 0; i < count; i++) {
		if (!d->one || pci_addr_eq(&addrs[i], &d->inv->funcs[0].addr))
			doctor_add(f, &addrs[i]);
	}
	if (!f->addr_count) {
		doctor_say(f, DOCTOR_OK, "nothing is in quarantine");
		return;
	}
	/* One may have been let out since. */
	if (!quarantine_has(d->host, &f->addrs[0], why))
		why[0] = '\0';
	doctor_say(f, d->one ? DOCTOR_FAIL : DOCTOR_WARN, "in quarantine: %s; %s: %s",
		   doctor_names(f, list, sizeof(list)), pci_addr_str(&f->addrs[0], a), why);
	doctor_remedy(f, "when it is well again, run: vfctl clear %s", a);
}

void doctor_overrides(const struct doctor *d, struct doctor_finding *f)
{
	char list[160], a[PCI_ADDR_STRLEN];
	struct bind_state state, first = { .override = "" };
	size_t i;

	for (i = 0; i < d->inv->func_count; i++) {
		if (bind_state_read(d->host, &d->inv->funcs[i].addr, &state, NULL) ||
		    !*state.override || !strcmp(state.override, state.driver))
			continue;
		if (!f->addr_count)
			first = state;
		doctor_add(f, &state.addr);
	}
	if (!f->addr_count) {
		doctor_say(f, DOCTOR_OK, "none is left without its driver");
		return;
	}
	pci_addr_str(&first.addr, a);
	doctor_say(f, DOCTOR_WARN, "%s: driver_override is %s, the driver %s%s%s: no other driver will "
		   "take it", a, first.override, *first.driver ? first.driver : "none",
		   f->addr_count > 1 ? "; the same goes for " : "",
		   f->addr_count > 1 ? doctor_names(f, list, sizeof(list)) : "");
	doctor_remedy(f, "run: vfctl bind %s default, or vfctl bind %s %s", a, a, first.override);
}

void doctor_autoprobe(const struct doctor *d, struct doctor_finding *f)
{
	char list[160], a[PCI_ADDR_STRLEN];
	size_t i;
	long on;

	for (i = 0; i < d->inv->func_count; i++) {
		const struct inventory_func *func = &d->inv->funcs[i];

		if (func->is_pf &&
		    !host_read_long(d->host, &on, "bus/pci/devices/%s/sriov_drivers_autoprobe",
				    pci_addr_str(&func->addr, a)) && !on)
			doctor_add(f, &func->addr);
	}
	if (!f->addr_count) {
		doctor_say(f, DOCTOR_OK, "no PF has it switched off");
		return;
	}
	doctor_say(f, DOCTOR_WARN, "sriov_drivers_autoprobe is 0: VFs of %s get no driver of their own",
		   doctor_names(f, list, sizeof(list)));
	doctor_remedy(f, "unless that is meant: echo 1 > "
		      "/sys/bus/pci/devices/%s/sriov_drivers_autoprobe",
		      pci_addr_str(&f->addrs[0], a));
}
