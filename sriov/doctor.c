// SPDX-License-Identifier: GPL-2.0-or-later
#include "doctor.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/io.h"
#include "base/util.h"
#include "doctor_priv.h"

#define PROC_MAX (4 * MIB) /* /proc/interrupts of a machine with a thousand processors */
#define NAMES_SHOWN 4

static const struct {
	const char *name;
	void (*run)(const struct doctor *d, struct doctor_finding *f);
} checks[] = {
	{ "iommu", doctor_iommu },
	{ "interrupt-remapping", doctor_remapping },
	{ "kernel-command-line", doctor_words },
	{ "modules", doctor_modules },
	{ "vfio", doctor_backends },
	{ "vfio-nodes", doctor_nodes },
	{ "kvm", doctor_kvm },
	{ "memory-lock", doctor_memlock },
	{ "groups", doctor_groups },
	{ "sr-iov", doctor_sriov },
	{ "ari", doctor_ari },
	{ "mmio-window", doctor_window },
	{ "bars", doctor_bars },
	{ "reset", doctor_resets },
	{ "numa", doctor_numa },
	{ "quarantine", doctor_quarantine },
	{ "driver-override", doctor_overrides },
	{ "autoprobe", doctor_autoprobe },
};

_Static_assert(ARRAY_SIZE(checks) <= DOCTOR_CHECKS_MAX, "a finding for each check");

const char *doctor_verdict_name(enum doctor_verdict verdict)
{
	static const char *const names[] = { "ok", "unknown", "warn", "fail" };

	return names[verdict];
}

void doctor_say(struct doctor_finding *f, enum doctor_verdict verdict, const char *fmt, ...)
{
	va_list ap;

	f->verdict = verdict;
	va_start(ap, fmt);
	vsnprintf(f->reason, sizeof(f->reason), fmt, ap);
	va_end(ap);
}

void doctor_remedy(struct doctor_finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->remedy, sizeof(f->remedy), fmt, ap);
	va_end(ap);
}

void doctor_add(struct doctor_finding *f, const struct pci_addr *addr)
{
	struct pci_addr *grown = f->addrs;

	if (!f->addr_count || is_pow2(f->addr_count))
		grown = reallocarray(f->addrs, f->addr_count ? f->addr_count * 2 : 1,
				     sizeof(*f->addrs));
	if (!grown)
		return; /* the verdict stands without it */
	f->addrs = grown;
	f->addrs[f->addr_count++] = *addr;
}

const char *doctor_names(const struct doctor_finding *f, char *buf, size_t size)
{
	size_t i, len = 0, shown = f->addr_count == NAMES_SHOWN + 1 ? f->addr_count : NAMES_SHOWN;
	char a[PCI_ADDR_STRLEN];

	buf[0] = '\0';
	for (i = 0; i < f->addr_count && i < shown && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, "%s%s", i ? ", " : "",
					pci_addr_str(&f->addrs[i], a));
	if (i < f->addr_count && len < size)
		snprintf(buf + len, size - len, " and %zu more", f->addr_count - i);
	return buf;
}

char *doctor_proc(const struct host *host, const char *name)
{
	char path[HOST_PATH_MAX], *text;

	if (host_path(path, host->proc_root, "%s", name))
		return NULL;
	text = malloc(PROC_MAX);
	if (text && io_read_text(path, text, PROC_MAX) >= 0)
		return text;
	free(text);
	return NULL;
}

bool doctor_cmdline(const struct doctor *d, const char *word, char value[HOST_NAME_MAX])
{
	size_t len = strlen(word), n;
	const char *at = d->cmdline;
	bool takes_value = word[len - 1] == '=';

	for (;; at += n) {
		at += strspn(at, " \t\n");
		n = strcspn(at, " \t\n");
		if (!n)
			return false;
		if (strncmp(at, word, len) != 0 || (!takes_value && n != len))
			continue;
		if (value)
			snprintf(value, HOST_NAME_MAX, "%.*s", (int)MIN(n - len, HOST_NAME_MAX - 1ul),
				 at + len);
		return true;
	}
}

const char *doctor_cpu(const struct doctor *d)
{
	if (strstr(d->cpuinfo, "GenuineIntel"))
		return "intel";
	return strstr(d->cpuinfo, "AuthenticAMD") || strstr(d->cpuinfo, "HygonGenuine") ? "amd" : "";
}

int doctor_entries(const struct host *host, const char *folder)
{
	char path[HOST_PATH_MAX];
	struct dirent *e;
	int count = 0;
	DIR *dir;

	if (host_path(path, host->sysfs_root, "%s", folder))
		return -ENAMETOOLONG;
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((e = readdir(dir)))
		count += e->d_name[0] != '.';
	closedir(dir);
	return count;
}

bool doctor_is_endpoint(const struct inventory_func *func)
{
	switch (func->class >> 16) {
	case 0x05: /* memory controllers: ivshmem is one, and can be handed over */
		return true;
	case 0x06: /* bridges */
	case 0x08: /* base system peripherals */
	case 0x11: /* signal processing: the chip set's */
		return false;
	default:
		return func->class >> 8 != 0x0c05; /* SMBus */
	}
}

/* Leaves @addr alone in @inv. */
static int keep_one(struct inventory *inv, const struct pci_addr *addr, struct err *err)
{
	char a[PCI_ADDR_STRLEN];
	size_t i;

	for (i = 0; i < inv->func_count && !pci_addr_eq(&inv->funcs[i].addr, addr); i++)
		;
	if (i == inv->func_count)
		return err_set(err, -ENODEV, "%s: no such function", pci_addr_str(addr, a));
	inv->funcs[0] = inv->funcs[i];
	inv->func_count = 1;
	return 0;
}

static char *text_or_empty(char *text)
{
	return text ? text : calloc(1, 1);
}

static void run_all(const struct doctor *d, struct doctor_report *report)
{
	size_t i;

	memset(report, 0, sizeof(*report));
	for (i = 0; i < ARRAY_SIZE(checks); i++) {
		struct doctor_finding *f = &report->findings[report->count++];

		f->check = checks[i].name;
		checks[i].run(d, f);
		report->worst = MAX(report->worst, f->verdict);
	}
}

int doctor_run(const struct host *host, const struct pci_addr *only, struct doctor_report *ret_report,
	       struct err *err)
{
	struct doctor d = { .host = host, .one = only };
	struct inventory *inv;
	char *end;
	int ret = inventory_read(host, &inv, err);

	if (ret)
		return ret;
	if (only)
		ret = keep_one(inv, only, err);
	d.inv = inv;
	d.groups = doctor_entries(host, "kernel/iommu_groups");
	d.cmdline = text_or_empty(doctor_proc(host, "cmdline"));
	d.cpuinfo = text_or_empty(doctor_proc(host, "cpuinfo"));
	if (!d.cmdline || !d.cpuinfo) {
		ret = err_sys(err, -ENOMEM, "cannot examine the host");
	} else if (!ret) {
		end = strstr(d.cpuinfo, "\n\n"); /* one processor is like the next */
		if (end)
			*end = '\0';
		run_all(&d, ret_report);
	}
	free(d.cmdline);
	free(d.cpuinfo);
	inventory_free(inv);
	return ret;
}

void doctor_done(struct doctor_report *report)
{
	size_t i;

	for (i = 0; i < report->count; i++)
		free(report->findings[i].addrs);
	report->count = 0;
}
