// SPDX-License-Identifier: GPL-2.0-or-later
/* Each check of the doctor on a good host, and on every host that is poor in one thing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/util.h"
#include "fake_sysfs.h"
#include "sriov/doctor.h"
#include "sriov/quarantine.h"
#include "sriov/vf.h"

#define IGB "0000:01:00.0"
#define NVME "0000:02:00.0"
#define E1000 "0000:06:01.0"
#define TREE "sys/devices/pci0000:00/"

static void good_files(struct fake *f)
{
	static const char *const texts[][2] = {
		{ "proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1 intel_iommu=on iommu=pt quiet\n" },
		{ "proc/cpuinfo", "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu apic "
		  "vmx\n\nprocessor\t: 1\nvendor_id\t: GenuineIntel\n" },
		{ "proc/interrupts", "           CPU0\n  1:  9  IR-IO-APIC  1-edge  i8042\n" },
		{ "proc/iomem", "00000000-0009ffff : System RAM\n80000000-bfffffff : PCI Bus 0000:00\n"
		  "  80000000-801fffff : PCI Bus 0000:01\n4000000000-7fffffffff : PCI Bus 0000:00\n" },
		{ "proc/meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\n" },
		{ "proc/self/status", "Name:\tvfctl\nCapEff:\t0000000000000000\n" },
		{ "proc/self/limits", "Limit  Soft  Hard  Units\nMax locked memory         unlimited  "
		  "unlimited  bytes\n" },
		{ "proc/sys/kernel/osrelease", "6.12.0\n" },
		{ "sys/class/iommu/dmar0/intel-iommu/ecap", "f020df\n" },
		{ "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N\n" },
		{ "sys/module/kvm_intel/parameters/nested", "Y\n" },
		{ "sys/devices/system/node/online", "0\n" },
		{ "dev/kvm", "" },
		{ "dev/vfio/vfio", "" },
	};
	char path[300];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(texts); i++)
		fake_text(f, texts[i][0], texts[i][1]);
	snprintf(path, sizeof(path), "%s/dev/vfio/vfio", f->base);
	assert_int_equal(chmod(path, 0666), 0);
	/* Two functions behind one bridge are one group, which is a warning. */
	fake_remove(f, TREE "0000:06:02.0/iommu_group");
}

static int good_setup(void **state)
{
	*state = fake_new_lab();
	good_files(*state);
	return 0;
}

static const struct doctor_finding *finding(const struct doctor_report *r, const char *check)
{
	size_t i;

	for (i = 0; i < r->count && strcmp(r->findings[i].check, check) != 0; i++)
		;
	assert_true(i < r->count);
	return &r->findings[i];
}

static void test_good_host(void **state)
{
	struct fake *f = *state;
	struct doctor_report r;
	char *before = fake_snapshot(f), *after;
	size_t i;

	assert_int_equal(doctor_run(&f->host, NULL, &r, NULL), 0);
	for (i = 0; i < r.count; i++) {
		if (r.findings[i].verdict != DOCTOR_OK)
			print_message("%s: %s\n", r.findings[i].check, r.findings[i].reason);
		assert_int_equal(r.findings[i].verdict, DOCTOR_OK);
		assert_true(*r.findings[i].reason);
		assert_string_equal(r.findings[i].remedy, "");
		assert_null(r.findings[i].addrs);
	}
	assert_int_equal(r.worst, DOCTOR_OK);
	assert_non_null(strstr(finding(&r, "iommu")->reason, " by dmar0"));
	assert_non_null(strstr(finding(&r, "kernel-command-line")->reason,
			       ": intel_iommu=on, iommu=pt"));
	assert_non_null(strstr(finding(&r, "kvm")->reason, "guests may run guests"));
	assert_string_equal(finding(&r, "mmio-window")->reason,
			    "PCI has 1024 MiB below 4 GiB and 262144 MiB above");
	assert_string_equal(finding(&r, "sr-iov")->reason, "2 functions can have VFs");
	doctor_done(&r);
	after = fake_snapshot(f);
	assert_string_equal(before, after);
	assert_int_equal(f->host.writes, 0);
	free(before);
	free(after);
}

/* One thing is changed: a file is given another text or, with NULL, taken away. */
struct poor {
	const char *path, *text, *path2, *text2;
	const char *only; /* the function that is asked for, or NULL */
	const char *check;
	enum doctor_verdict verdict;
	const char *reason, *remedy; /* parts of them; NULL: no remedy */
};

#define BAR_LINES "0x0000000080000000 0x000000008001ffff 0x0000000000040200\n"
#define BAR_NONE "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
#define BAR_MEM_UNSET "0x0000000000000000 0x000000000001ffff 0x0000000020040200\n"
#define BAR_IO_UNSET "0x0000000000000000 0x000000000000001f 0x0000000000040101\n"

static const struct poor poors[] = {
	{ "sys/kernel", NULL, "sys/class/iommu", NULL, NULL, "iommu", DOCTOR_FAIL,
	  "there is no IOMMU: the firmware describes none", "turn on VT-d" },
	{ "sys/kernel", NULL, "sys/firmware/acpi/tables/DMAR", "x", NULL, "iommu", DOCTOR_FAIL,
	  "the firmware offers an IOMMU and the kernel does not use it",
	  "start the kernel with intel_iommu=on" },
	{ "sys/kernel", NULL, "proc/cmdline", "quiet intel_iommu=off\n", NULL, "iommu", DOCTOR_FAIL,
	  "the IOMMU is off: intel_iommu=off is on", "take intel_iommu=off from" },
	{ TREE IGB "/iommu_group", NULL, NULL, NULL, IGB, "iommu", DOCTOR_FAIL,
	  IGB " is in no IOMMU group", "use another slot" },
	{ "sys/kernel", NULL, NULL, NULL, NULL, "interrupt-remapping", DOCTOR_UNKNOWN, "without", NULL },
	{ "sys/kernel", NULL, NULL, NULL, NULL, "groups", DOCTOR_UNKNOWN, "without", NULL },
	{ "proc/interrupts", "  1: 9 IO-APIC 1-edge\n", NULL, NULL, NULL, "interrupt-remapping",
	  DOCTOR_FAIL, "no interrupt is remapped: VFIO refuses", "turn on x2APIC" },
	{ "proc/interrupts", "  1: 9 IO-APIC 1-edge\n", "sys/class/iommu/dmar0/intel-iommu/ecap", "f020d7\n",
	  NULL, "interrupt-remapping", DOCTOR_FAIL, "this IOMMU cannot remap", "only for guests" },
	{ "proc/interrupts", "  1: 9 IO-APIC 1-edge\n", "proc/cmdline", "intremap=off\n", NULL,
	  "interrupt-remapping", DOCTOR_FAIL, "off by intremap=off", "take intremap=off from" },
	{ "proc/interrupts", "  1: 9 IO-APIC 1-edge\n",
	  "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y\n", NULL,
	  "interrupt-remapping", DOCTOR_WARN, "a guest can forge interrupts", "x2APIC" },
	{ "proc/interrupts", NULL, NULL, NULL, NULL, "interrupt-remapping", DOCTOR_UNKNOWN,
	  "/proc/interrupts cannot be read", NULL },
	{ "proc/interrupts", " 1: GICv3\n", "proc/cpuinfo", "processor : 0\n", NULL,
	  "interrupt-remapping", DOCTOR_UNKNOWN, "does not show it", NULL },
	{ "proc/cmdline", NULL, NULL, NULL, NULL, "kernel-command-line", DOCTOR_UNKNOWN, "cannot be read",
	  NULL },
	{ "proc/cmdline", "a pci=nomsi b", NULL, NULL, NULL, "kernel-command-line", DOCTOR_FAIL,
	  "pci=nomsi takes MSI away", "take pci=nomsi from" },
	{ "proc/cmdline", "pcie_acs_override=downstream", NULL, NULL, NULL, "kernel-command-line",
	  DOCTOR_WARN, "guests can reach each other", "take pcie_acs_override= from" },
	{ "sys/module/vfio_iommu_type1", NULL, NULL, NULL, NULL, "modules", DOCTOR_WARN,
	  "vfio_iommu_type1 is not loaded, and there is no modules.dep", "modprobe -a vfio-pci" },
	{ "sys/bus/pci/drivers/vfio-pci", NULL, "lib/modules/6.12.0/modules.dep",
	  "kernel/drivers/vfio/pci/vfio-pci.ko.xz: x\n", NULL, "modules", DOCTOR_WARN,
	  "vfio-pci is not loaded", "modprobe -a vfio-pci" },
	{ "sys/bus/pci/drivers/vfio-pci", NULL, "lib/modules/6.12.0/modules.dep", "kernel/a.ko: b\n", NULL,
	  "modules", DOCTOR_FAIL, "this kernel has no vfio-pci", "CONFIG_VFIO_PCI" },
	{ "sys/module/vfio_iommu_type1", NULL, "lib/modules/6.12.0/modules.dep", "kernel/a.ko: b\n", NULL,
	  "modules", DOCTOR_FAIL, "neither vfio_iommu_type1 nor iommufd", "CONFIG_IOMMUFD" },
	{ "proc/sys/kernel/osrelease", "../../etc\n", "sys/module/vfio_iommu_type1", NULL, NULL, "modules",
	  DOCTOR_WARN, "there is no modules.dep", "modprobe" },
	{ "dev/vfio", NULL, "sys/class/vfio/1/x", "", NULL, "vfio", DOCTOR_FAIL,
	  "there is no /dev/vfio/vfio", "in a container" },
	{ "dev/vfio", NULL, "sys/module/vfio_iommu_type1", NULL, NULL, "vfio", DOCTOR_UNKNOWN,
	  "VFIO is not loaded", NULL },
	{ "sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n", NULL, NULL, NULL, "vfio",
	  DOCTOR_WARN, "can write to all of the host's memory", "echo N" },
	{ "dev/kvm", NULL, NULL, NULL, NULL, "kvm", DOCTOR_FAIL, "there is no /dev/kvm",
	  "run: modprobe kvm_intel" },
	{ "dev/kvm", NULL, "proc/cpuinfo", "vendor_id : AuthenticAMD\nflags : fpu apic\n", NULL, "kvm",
	  DOCTOR_FAIL, "neither VMX nor SVM", "turn on virtualisation" },
	{ "dev/kvm", NULL, "proc/cpuinfo", "processor : 0\n", NULL, "kvm", DOCTOR_FAIL, "no /dev/kvm",
	  "load the KVM module" },
	{ "proc/self/limits", "Max locked memory         8388608    8388608   bytes\n", NULL, NULL, NULL,
	  "memory-lock", DOCTOR_WARN, "may lock 8 MiB of 16384", "limits.d/viaduct.conf" },
	{ "proc/self/limits", "Max locked memory         8589934592    8388608   bytes\n", NULL, NULL, NULL,
	  "memory-lock", DOCTOR_OK, "may lock 8192 MiB of 16384", NULL },
	{ "proc/self/limits", NULL, "proc/self/status", "CapEff:\t0000000000004000\n", NULL,
	  "memory-lock", DOCTOR_OK, "CAP_IPC_LOCK", NULL },
	{ "proc/self/limits", "Max locked memory much\n", NULL, NULL, NULL, "memory-lock", DOCTOR_UNKNOWN,
	  "cannot be read", NULL },
	{ TREE "0000:06:02.0/iommu_group", "->../../../kernel/iommu_groups/15", NULL, NULL, NULL,
	  "groups", DOCTOR_WARN, "1 group of several functions", "vfctl explain " E1000 },
	{ TREE "0000:06:02.0/iommu_group", "->../../../kernel/iommu_groups/15", NULL, NULL, E1000,
	  "groups", DOCTOR_WARN, "it shares group 15: 1 of 2 others", "vfctl explain " E1000 },
	{ "dev/x", "", NULL, NULL, NVME, "groups", DOCTOR_OK, "it is alone in group 13", NULL },
	{ TREE IGB "/ari_enabled", "0\n", TREE IGB "/sriov_totalvfs", "8\n", NULL, "ari", DOCTOR_WARN,
	  "the port above " IGB " does not forward ARI", "ARI" },
	{ TREE IGB "/ari_enabled", "1\n", TREE IGB "/sriov_totalvfs", "8\n", NULL, "ari", DOCTOR_OK,
	  "ports forward", NULL },
	{ TREE IGB "/ari_enabled", "0\n", NULL, NULL, NULL, "ari", DOCTOR_OK, "no function here", NULL },
	{ "proc/iomem", "80000000-bfffffff : PCI Bus 0000:00\n", NULL, NULL, NULL, "mmio-window",
	  DOCTOR_WARN, "1024 MiB below 4 GiB and nothing above", "Above 4G Decoding" },
	{ "proc/iomem", "00000000-00000000 : PCI Bus 0000:00\n", NULL, NULL, NULL, "mmio-window",
	  DOCTOR_UNKNOWN, "only root", NULL },
	{ TREE IGB "/resource", BAR_LINES BAR_MEM_UNSET, NULL, NULL, NULL, "bars", DOCTOR_FAIL,
	  "no room for memory BARs of " IGB, "pci=realloc" },
	{ TREE IGB "/resource", BAR_IO_UNSET, NULL, NULL, NULL, "bars", DOCTOR_WARN,
	  "no room for I/O BARs of " IGB, NULL },
	{ TREE IGB "/resource", BAR_LINES BAR_NONE BAR_NONE BAR_NONE BAR_NONE BAR_NONE BAR_MEM_UNSET,
	  NULL, NULL, NULL, "bars", DOCTOR_OK, "all have", NULL }, /* the ROM's */
	{ TREE IGB "/resource", BAR_LINES BAR_NONE BAR_NONE BAR_NONE BAR_NONE BAR_NONE BAR_NONE
	  BAR_MEM_UNSET, NULL, NULL, NULL, "bars", DOCTOR_FAIL, "BARs of VFs of " IGB, "pci=realloc" },
	{ TREE IGB "/resource", BAR_LINES BAR_NONE BAR_NONE BAR_NONE BAR_NONE BAR_NONE BAR_NONE
	  BAR_MEM_UNSET, NULL, NULL, NVME, "bars", DOCTOR_OK, "all have", NULL },
	{ TREE IGB "/resource", "garbage 0x 12\n\n\xff\xfe", NULL, NULL, NULL, "bars", DOCTOR_OK, "all",
	  NULL },
	{ TREE NVME "/reset_method", "\n", NULL, NULL, NULL, "reset", DOCTOR_WARN,
	  "no way to reset " NVME " alone", "all-functions" },
	{ TREE NVME "/reset_method", NULL, NULL, NULL, NULL, "reset", DOCTOR_WARN, NVME, "together" },
	{ TREE NVME "/reset_method", NULL, TREE NVME "/reset", "", NULL, "reset", DOCTOR_OK,
	  "all functions can be reset", NULL },
	{ "sys/devices/system/node/online", "0-1\n", "sys/devices/system/node/node0/cpulist", "0-7\n",
	  NULL, "numa", DOCTOR_OK, "each function's node is known", NULL },
	{ "sys/devices/system/node/online", "0-1\n", "sys/devices/system/node/node0/cpulist", "0-7\n",
	  IGB, "numa", DOCTOR_OK, "--cpus N,pin=0-7 --memory SIZE,node=0", NULL },
	{ "sys/devices/system/node/online", "0-1\n", NULL, NULL, IGB, "numa", DOCTOR_WARN,
	  "it is on node 0, which has no processors", "a slot of a node with" },
	{ "sys/devices/system/node/online", "0,2\n", TREE IGB "/numa_node", "-1\n", NULL, "numa",
	  DOCTOR_WARN, "the firmware does not say", "measure" },
	{ "run/viaduct/quarantine/" NVME, "it died\n", NULL, NULL, NULL, "quarantine", DOCTOR_WARN,
	  NVME ": it died", "vfctl clear " NVME },
	{ "run/viaduct/quarantine/" NVME, "it died\n", NULL, NULL, NVME, "quarantine", DOCTOR_FAIL,
	  "it died", "vfctl clear " NVME },
	{ "run/viaduct/quarantine/" NVME, "it died\n", NULL, NULL, IGB, "quarantine", DOCTOR_OK,
	  "nothing", NULL },
	{ TREE IGB "/driver_override", "vfio-pci\n", NULL, NULL, NULL, "driver-override", DOCTOR_WARN,
	  IGB ": driver_override is vfio-pci, the driver igb", "vfctl bind " IGB " default" },
	{ TREE IGB "/sriov_drivers_autoprobe", "0\n", NULL, NULL, NULL, "autoprobe", DOCTOR_WARN,
	  "sriov_drivers_autoprobe is 0: VFs of " IGB, "echo 1 >" },
};

static void change(struct fake *f, const char *path, const char *text)
{
	if (!path)
		return;
	if (!text || !strncmp(text, "->", 2))
		fake_remove(f, path);
	if (text && !strncmp(text, "->", 2))
		fake_link(f, text + 2, path);
	else if (text)
		fake_text(f, path, text);
}

static void check_poor(const struct poor *p)
{
	struct pci_addr only = { .domain = 0 };
	const struct doctor_finding *found;
	struct doctor_report r;
	struct fake *f;

	good_setup((void **)&f);
	change(f, p->path, p->text);
	change(f, p->path2, p->text2);
	if (p->only)
		only = fake_at(p->only);
	assert_int_equal(doctor_run(&f->host, p->only ? &only : NULL, &r, NULL), 0);
	found = finding(&r, p->check);
	if (found->verdict != p->verdict || !strstr(found->reason, p->reason) ||
	    (p->remedy && !strstr(found->remedy, p->remedy)))
		print_message("%s (%s): %d %s; %s\n", p->check, p->reason, (int)found->verdict,
			      found->reason, found->remedy);
	assert_int_equal(found->verdict, p->verdict);
	assert_non_null(strstr(found->reason, p->reason));
	if (p->remedy)
		assert_non_null(strstr(found->remedy, p->remedy));
	else
		assert_string_equal(found->remedy, "");
	assert_true(r.worst >= p->verdict);
	doctor_done(&r);
	fake_free(f);
}

static void test_poor_hosts(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(poors); i++)
		check_poor(&poors[i]);
}

static int kvm_refused(const struct host *host, const char *path, int excl)
{
	(void)host;
	(void)path;
	(void)excl;
	return -EACCES;
}

static void test_kvm_refused(void **state)
{
	struct fake *f = *state;
	struct doctor_report r;

	f->ops.node_try = kvm_refused;
	assert_int_equal(doctor_run(&f->host, NULL, &r, NULL), 0);
	assert_int_equal(finding(&r, "kvm")->verdict, DOCTOR_FAIL);
	assert_non_null(strstr(finding(&r, "kvm")->remedy, "adduser USER kvm"));
	assert_int_equal(r.worst, DOCTOR_FAIL);
	doctor_done(&r);
}

/* The card has the capability, the kernel offers no VFs. */
static void test_sriov_off(void **state)
{
	struct fake *f = *state;
	const struct doctor_finding *found;
	unsigned char config[4096] = { 0x86, 0x80 };
	struct doctor_report r;
	char path[400];
	FILE *out;

	config[0x100] = 0x10; /* SR-IOV, version 1, the last one */
	config[0x102] = 0x01;
	snprintf(path, sizeof(path), "%s/" TREE E1000 "/config", f->base);
	out = fopen(path, "we");
	assert_non_null(out);
	assert_int_equal(fwrite(config, sizeof(config), 1, out), 1);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(doctor_run(&f->host, NULL, &r, NULL), 0);
	found = finding(&r, "sr-iov");
	assert_int_equal(found->verdict, DOCTOR_WARN);
	assert_int_equal(found->addr_count, 1);
	assert_true(pci_addr_eq(&found->addrs[0], &(struct pci_addr){ .bus = 6, .dev = 1 }));
	assert_non_null(strstr(found->reason, E1000 ": the card has SR-IOV"));
	doctor_done(&r);
}

static void test_nodes(void **state)
{
	struct fake *f = *state;
	struct pci_addr pf = fake_at(IGB);
	struct doctor_report r;
	char path[400];

	assert_int_equal(vf_create(&f->host, &pf, 6, "vfio-pci", 0, NULL, NULL), 0);
	snprintf(path, sizeof(path), "%s/dev/vfio/20", f->base);
	assert_int_equal(chmod(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/dev/vfio/21", f->base);
	assert_int_equal(chmod(path, 0666), 0);
	snprintf(path, sizeof(path), "%s/dev/vfio/22", f->base);
	assert_int_equal(chmod(path, 0606), 0);
	for (int group = 23; group < 26; group++) {
		snprintf(path, sizeof(path), "%s/dev/vfio/%d", f->base, group);
		assert_int_equal(chmod(path, 0660), 0);
	}
	assert_int_equal(doctor_run(&f->host, NULL, &r, NULL), 0);
	assert_int_equal(finding(&r, "vfio-nodes")->verdict, DOCTOR_WARN);
	assert_int_equal(finding(&r, "vfio-nodes")->addr_count, 2);
	assert_string_equal(finding(&r, "vfio-nodes")->reason,
			    "every user may open the group of 0000:01:10.2, 0000:01:10.4");
	assert_int_equal(finding(&r, "groups")->verdict, DOCTOR_OK);
	doctor_done(&r);
	fake_remove(f, "dev/vfio/21");
	assert_int_equal(doctor_run(&f->host, NULL, &r, NULL), 0);
	assert_int_equal(finding(&r, "vfio-nodes")->verdict, DOCTOR_FAIL);
	assert_string_equal(finding(&r, "vfio-nodes")->reason,
			    "no node below /dev/vfio for the group of 0000:01:10.2");
	doctor_done(&r);
	/* A kernel with device nodes alone. */
	fake_text(f, "dev/vfio/devices/vfio0", "");
	assert_int_equal(doctor_run(&f->host, NULL, &r, NULL), 0);
	assert_int_equal(finding(&r, "vfio-nodes")->verdict, DOCTOR_WARN);
	doctor_done(&r);
}

/* More than a message names. */
static void test_many(void **state)
{
	struct fake *f = *state;
	struct pci_addr pf = fake_at(IGB);
	struct doctor_report r;
	char path[128], a[PCI_ADDR_STRLEN];

	assert_int_equal(vf_create(&f->host, &pf, 7, "vfio-pci", 0, NULL, NULL), 0);
	for (unsigned int i = 0; i < 7; i++) {
		struct pci_addr vf = { .bus = 1, .dev = 0x10 + i / 4, .fn = i % 4 * 2 };

		snprintf(path, sizeof(path), TREE "%s/reset_method", pci_addr_str(&vf, a));
		fake_text(f, path, "\n");
	}
	assert_int_equal(doctor_run(&f->host, NULL, &r, NULL), 0);
	assert_int_equal(finding(&r, "reset")->addr_count, 7);
	assert_non_null(strstr(finding(&r, "reset")->reason, "0000:01:10.6 and 3 more alone"));
	doctor_done(&r);
}

static void test_cannot_run(void **state)
{
	struct pci_addr gone = { .bus = 0x44 };
	struct err err = { .code = 0 };
	struct doctor_report r;
	struct fake *f = *state;

	assert_int_equal(doctor_run(&f->host, &gone, &r, &err), -ENODEV);
	assert_string_equal(err.msg, "0000:44:00.0: no such function");
	fake_remove(f, "sys/bus/pci");
	assert_int_equal(doctor_run(&f->host, NULL, &r, &err), -ENODEV);
	assert_non_null(strstr(err.msg, "there is no PCI bus"));
}

/* A host of which nothing but the functions can be read: no check fails for that alone but those
 * which must, and none crashes. */
static void test_bare(void **state)
{
	struct fake *f = fake_new();
	struct doctor_report r;
	size_t i;

	(void)state;
	fake_remove(f, "proc");
	fake_many(f, 600);
	assert_int_equal(doctor_run(&f->host, NULL, &r, NULL), 0);
	for (i = 0; i < r.count; i++)
		assert_true(strlen(r.findings[i].reason) > 0);
	assert_int_equal(finding(&r, "memory-lock")->verdict, DOCTOR_UNKNOWN);
	assert_int_equal(finding(&r, "kernel-command-line")->verdict, DOCTOR_UNKNOWN);
	assert_int_equal(finding(&r, "interrupt-remapping")->verdict, DOCTOR_UNKNOWN);
	doctor_done(&r);
	fake_free(f);
}

#define good_test(f) cmocka_unit_test_setup_teardown(f, good_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		good_test(test_good_host), cmocka_unit_test(test_poor_hosts),
		good_test(test_kvm_refused), good_test(test_sriov_off),
		good_test(test_nodes),	     good_test(test_many),
		good_test(test_cannot_run),  cmocka_unit_test(test_bare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
