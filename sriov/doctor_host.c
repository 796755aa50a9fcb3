// SPDX-License-Identifier: GPL-2.0-or-later
/* What the doctor looks at of the machine: IOMMU, interrupts, KVM, memory. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/util.h"
#include "doctor_priv.h"

#define ECAP_IR BIT64(3)	  /* VT-d 4.1, 11.4.3: Interrupt Remapping Support */
#define CAP_IPC_LOCK_BIT 14	  /* linux/capability.h */
#define LOCK_SMALL (512 * MIB)	  /* no guest of use fits */
#define ABOVE_4G (4 * GIB)

/* --- the IOMMU ------------------------------------------------------------------------------- */

/* What switched it off, or what the firmware does not offer. */
static void no_iommu(const struct doctor *d, struct doctor_finding *f)
{
	static const char *const off[] = { "iommu=off", "intel_iommu=off", "amd_iommu=off" };
	bool table = host_has(d->host, "firmware/acpi/tables/DMAR") ||
		     host_has(d->host, "firmware/acpi/tables/IVRS");
	const char *word = !strcmp(doctor_cpu(d), "amd") ? "amd_iommu=on" : "intel_iommu=on";
	size_t i;

	for (i = 0; i < ARRAY_SIZE(off); i++) {
		if (!doctor_cmdline(d, off[i], NULL))
			continue;
		doctor_say(f, DOCTOR_FAIL, "the IOMMU is off: %s is on the kernel's command line",
			   off[i]);
		doctor_remedy(f, "take %s from the kernel's command line", off[i]);
		return;
	}
	if (table) {
		doctor_say(f, DOCTOR_FAIL, "the firmware offers an IOMMU and the kernel does not use "
			   "it: there are no IOMMU groups");
		doctor_remedy(f, "start the kernel with %s", word);
		return;
	}
	doctor_say(f, DOCTOR_FAIL, "there is no IOMMU: the firmware describes none");
	doctor_remedy(f, "turn on VT-d, AMD-Vi, IOMMU or SMMU in the firmware's settings; then start "
		      "the kernel with %s", word);
}

/* "dmar0, dmar1" */
static void iommu_names(const struct host *host, char *buf, size_t size)
{
	char path[HOST_PATH_MAX], shown[32];
	struct dirent *e;
	size_t len = 0;
	DIR *dir = NULL;

	buf[0] = '\0';
	if (!host_path(path, host->sysfs_root, "class/iommu"))
		dir = opendir(path);
	while (dir && len < size && (e = readdir(dir))) {
		if (e->d_name[0] != '.')
			len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? ", " : "",
						host_printable(e->d_name, shown, sizeof(shown)));
	}
	if (dir)
		closedir(dir);
}

void doctor_iommu(const struct doctor *d, struct doctor_finding *f)
{
	char names[128], a[PCI_ADDR_STRLEN];

	if (d->groups <= 0) {
		no_iommu(d, f);
		return;
	}
	iommu_names(d->host, names, sizeof(names));
	if (d->one && d->inv->funcs[0].group < 0) {
		doctor_add(f, &d->inv->funcs[0].addr);
		doctor_say(f, DOCTOR_FAIL, "the IOMMU is on, but %s is in no IOMMU group",
			   pci_addr_str(&d->inv->funcs[0].addr, a));
		doctor_remedy(f, "use another slot, or look for the firmware's setting that puts "
			      "this one behind an IOMMU");
		return;
	}
	doctor_say(f, DOCTOR_OK, "%d IOMMU groups%s%s", d->groups, *names ? " by " : "", names);
}

/* --- interrupt remapping --------------------------------------------------------------------- */

/* x86: the chips that remap put "IR-" before the name of the one they stand on. */
static int remapping_seen(const struct host *host)
{
	CLEANUP_FREE char *text = doctor_proc(host, "interrupts");

	if (!text)
		return -ENOENT;
	return strstr(text, " IR-") != NULL;
}

/* 1 when all of Intel's IOMMUs can, 0 when one cannot, -ENOENT when there are none. */
static int remapping_offered(const struct host *host)
{
	char path[HOST_PATH_MAX], text[32];
	struct dirent *e;
	DIR *dir = NULL;
	int ret = -ENOENT;

	if (!host_path(path, host->sysfs_root, "class/iommu"))
		dir = opendir(path);
	while (dir && ret && (e = readdir(dir))) {
		if (host_read(host, text, sizeof(text), "class/iommu/%s/intel-iommu/ecap",
			      e->d_name) <= 0)
			continue;
		ret = strtoull(text, NULL, 16) & ECAP_IR ? 1 : 0;
	}
	if (dir)
		closedir(dir);
	return ret;
}

/* Why it is off, and what to do. */
static void remapping_cause(const struct doctor *d, struct doctor_finding *f, const char *effect)
{
	char value[HOST_NAME_MAX] = "";
	enum doctor_verdict verdict = f->verdict;

	if (doctor_cmdline(d, "intremap=", value) && !strncmp(value, "off", 3)) {
		doctor_say(f, verdict, "it is off by intremap=off on the kernel's command line: %s",
			   effect);
		doctor_remedy(f, "take intremap=off from the kernel's command line");
	} else if (!remapping_offered(d->host)) {
		doctor_say(f, verdict, "this IOMMU cannot remap interrupts: %s", effect);
		doctor_remedy(f, "only for guests that are trusted: modprobe vfio_iommu_type1 "
			      "allow_unsafe_interrupts=1");
	} else {
		doctor_say(f, verdict, "no interrupt is remapped: %s", effect);
		doctor_remedy(f, "turn on x2APIC and interrupt remapping in the firmware's settings; "
			      "only for guests that are trusted: modprobe vfio_iommu_type1 "
			      "allow_unsafe_interrupts=1");
	}
}

void doctor_remapping(const struct doctor *d, struct doctor_finding *f)
{
	char unsafe[8] = "";
	int seen = remapping_seen(d->host);

	if (d->groups <= 0) {
		doctor_say(f, DOCTOR_UNKNOWN, "without an IOMMU there is none");
		return;
	}
	if (seen > 0) {
		doctor_say(f, DOCTOR_OK, "interrupts are remapped");
		return;
	}
	/* Other processors than x86 have it in the interrupt controller, or need none. */
	if (seen < 0 || !strstr(d->cpuinfo, "apic")) {
		doctor_say(f, DOCTOR_UNKNOWN, seen < 0 ? "/proc/interrupts cannot be read" :
			   "this kind of processor does not show it");
		return;
	}
	(void)host_read(d->host, unsafe, sizeof(unsafe),
			"module/vfio_iommu_type1/parameters/allow_unsafe_interrupts");
	f->verdict = *unsafe == 'Y' || *unsafe == '1' ? DOCTOR_WARN : DOCTOR_FAIL;
	remapping_cause(d, f, f->verdict == DOCTOR_WARN ?
			"a guest can forge interrupts of the host, which allow_unsafe_interrupts "
			"puts up with" : "VFIO refuses every function (EPERM)");
}

/* --- the kernel's command line ---------------------------------------------------------------- */

void doctor_words(const struct doctor *d, struct doctor_finding *f)
{
	static const struct {
		const char *word;
		enum doctor_verdict verdict;
		const char *why;
	} words[] = {
		{ "iommu=off", DOCTOR_FAIL, "switches the IOMMU off" },
		{ "intel_iommu=off", DOCTOR_FAIL, "switches the IOMMU off" },
		{ "amd_iommu=off", DOCTOR_FAIL, "switches the IOMMU off" },
		{ "pci=nomsi", DOCTOR_FAIL, "takes MSI away, without which VFs have no interrupts" },
		{ "intremap=off", DOCTOR_WARN, "switches interrupt remapping off" },
		{ "nointremap", DOCTOR_WARN, "switches interrupt remapping off" },
		{ "pcie_acs_override=", DOCTOR_WARN, "makes groups small that are not isolated: "
		  "guests can reach each other's functions" },
		{ "pci=nommconf", DOCTOR_WARN, "hides capabilities beyond 256 bytes, SR-IOV too" },
		{ "module_blacklist=vfio", DOCTOR_WARN, "keeps VFIO's modules out" },
	};
	static const char *const good[] = { "intel_iommu=on", "amd_iommu=on", "iommu=pt",
					    "pci=realloc", "pci=assign-busses", "vfio-pci.ids=",
					    "intremap=on" };
	size_t i, len = 0;

	if (!*d->cmdline) {
		doctor_say(f, DOCTOR_UNKNOWN, "/proc/cmdline cannot be read");
		return;
	}
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		if (!doctor_cmdline(d, words[i].word, NULL))
			continue;
		doctor_say(f, words[i].verdict, "%s %s", words[i].word, words[i].why);
		doctor_remedy(f, "take %s from the kernel's command line and restart the host",
			      words[i].word);
		return;
	}
	doctor_say(f, DOCTOR_OK, "nothing on it is in the way");
	len = strlen(f->reason);
	for (i = 0; i < ARRAY_SIZE(good) && len < sizeof(f->reason); i++) {
		if (doctor_cmdline(d, good[i], NULL))
			len += (size_t)snprintf(f->reason + len, sizeof(f->reason) - len, "%s %s",
						strstr(f->reason, ": ") ? "," : ":", good[i]);
	}
}

/* --- KVM -------------------------------------------------------------------------------------- */

static void no_kvm(const struct doctor *d, struct doctor_finding *f)
{
	const char *cpu = doctor_cpu(d);

	if (!strstr(d->cpuinfo, " vmx") && !strstr(d->cpuinfo, " svm") && *cpu) {
		doctor_say(f, DOCTOR_FAIL, "the processor shows neither VMX nor SVM: no guest can run");
		doctor_remedy(f, "turn on virtualisation (VT-x, SVM) in the firmware's settings; if "
			      "this host is itself a guest, allow it nested virtualisation");
		return;
	}
	doctor_say(f, DOCTOR_FAIL, "there is no /dev/kvm: no guest can run");
	doctor_remedy(f, *cpu ? "run: modprobe kvm_%s" : "load the KVM module%s", cpu);
}

void doctor_kvm(const struct doctor *d, struct doctor_finding *f)
{
	char path[HOST_PATH_MAX], nested[8] = "";
	int ret = host_path(path, d->host->dev_root, "kvm");

	if (!ret)
		ret = d->host->ops->node_try(d->host, path, 0);
	switch (ret) {
	case 0:
		if (host_read(d->host, nested, sizeof(nested), "module/kvm_intel/parameters/nested") <= 0)
			(void)host_read(d->host, nested, sizeof(nested),
					"module/kvm_amd/parameters/nested");
		doctor_say(f, DOCTOR_OK, "/dev/kvm can be opened%s",
			   *nested == 'Y' || *nested == '1' ? "; guests may run guests" : "");
		break;
	case -ENOENT:
	case -ENXIO:
	case -ENODEV:
		no_kvm(d, f);
		break;
	case -EACCES:
	case -EPERM:
		doctor_say(f, DOCTOR_FAIL, "this user may not open /dev/kvm");
		doctor_remedy(f, "run: adduser USER kvm, and log in anew");
		break;
	default:
		doctor_say(f, DOCTOR_UNKNOWN, "/dev/kvm: %s", strerror(-ret));
	}
}

/* --- memory ----------------------------------------------------------------------------------- */

/* The number in the line of /proc/@file that begins with @key. Returns 0 or -ENOENT. */
static int proc_number(const struct host *host, const char *file, const char *key, int base,
		       uint64_t *ret)
{
	CLEANUP_FREE char *text = doctor_proc(host, file);
	char *at = text, *end;

	for (; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, key, strlen(key)) != 0)
			continue;
		at += strlen(key);
		at += strspn(at, " \t");
		*ret = strtoull(at, &end, base);
		if (!strncmp(at, "unlimited", 9))
			*ret = UINT64_MAX;
		else if (end == at)
			return -EINVAL;
		return 0;
	}
	return -ENOENT;
}

void doctor_memlock(const struct doctor *d, struct doctor_finding *f)
{
	uint64_t limit, total, caps;

	if (!proc_number(d->host, "self/status", "CapEff:", 16, &caps) &&
	    caps & BIT64(CAP_IPC_LOCK_BIT)) {
		doctor_say(f, DOCTOR_OK, "this user is held by no limit (CAP_IPC_LOCK); others need "
			   "one of their guest's size");
		return;
	}
	if (proc_number(d->host, "self/limits", "Max locked memory", 10, &limit) ||
	    proc_number(d->host, "meminfo", "MemTotal:", 10, &total)) {
		doctor_say(f, DOCTOR_UNKNOWN, "the limit and the memory cannot be read from /proc");
		return;
	}
	total *= KIB;
	if (limit >= total) {
		doctor_say(f, DOCTOR_OK, "this user may lock all memory");
		return;
	}
	doctor_say(f, limit < LOCK_SMALL ? DOCTOR_WARN : DOCTOR_OK,
		   "this user may lock %llu MiB of %llu: a guest with a function of the "
		   "host can have no more memory", limit / MIB, total / MIB);
	if (f->verdict != DOCTOR_OK)
		doctor_remedy(f, "write \"USER - memlock KIB\" to /etc/security/limits.d/viaduct.conf, "
			      "KIB being the memory of the user's guests, and log in anew");
}

/* --- room for BARs ---------------------------------------------------------------------------- */

/* Adds up the windows of PCI's root buses: lines of /proc/iomem like "380000000-3ffffffff : PCI Bus
 * 0000:00" that are not within another. Returns how many there are. */
static unsigned int windows_add(char *text, uint64_t *below, uint64_t *above)
{
	uint64_t start, end;
	unsigned int count = 0;
	char *line, *save = NULL, *at;

	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (*line == ' ' || !strstr(line, " : PCI Bus "))
			continue;
		start = strtoull(line, &at, 16);
		end = *at == '-' ? strtoull(at + 1, NULL, 16) : 0;
		if (end <= start)
			continue;
		count++;
		*(start >= ABOVE_4G ? above : below) += end - start + 1;
	}
	return count;
}

void doctor_window(const struct doctor *d, struct doctor_finding *f)
{
	CLEANUP_FREE char *text = doctor_proc(d->host, "iomem");
	uint64_t below = 0, above = 0;

	/* To others than root all addresses read as 0. */
	if (!text || !windows_add(text, &below, &above)) {
		doctor_say(f, DOCTOR_UNKNOWN, "only root sees where PCI has its memory");
		return;
	}
	if (above) {
		doctor_say(f, DOCTOR_OK, "PCI has %llu MiB below 4 GiB and %llu"
			   " MiB above", below / MIB, above / MIB);
		return;
	}
	doctor_say(f, DOCTOR_WARN, "PCI has %llu MiB below 4 GiB and nothing above: large BARs, "
		   "and those of many VFs, may find no room", below / MIB);
	doctor_remedy(f, "turn on \"Above 4G Decoding\" in the firmware's settings");
}
