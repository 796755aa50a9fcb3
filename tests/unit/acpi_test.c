// SPDX-License-Identifier: GPL-2.0-or-later
/* The tables as a guest finds them, from the RSDP on; and the registers behind them. */
#include "core_rig.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/io.h"
#include "vmm/acpi.h"

static int setup(void **state)
{
	struct vm *vm = rig_new(64 * MIB);

	vm->pci->mem64_base = 0x840000000ull;
	vm->pci->mem64_size = 0x40000000ull;
	*state = vm;
	return 0;
}

static int teardown(void **state)
{
	rig_free(*state);
	return 0;
}

static bool sums_to_zero(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return !sum;
}

/* The table at @gpa with its checksum and place checked. */
static const uint8_t *table_at(const struct vm *vm, uint64_t gpa)
{
	const uint8_t *head = mem_ptr(&vm->mem, gpa, 36);

	assert_non_null(head);
	assert_true(gpa >= GPA_ACPI_BASE);
	assert_true(span_within(gpa - GPA_ACPI_BASE, get_le32(head + 4), GPA_ACPI_SIZE));
	assert_true(sums_to_zero(head, get_le32(head + 4)));
	return head;
}

static const uint8_t *xsdt_of(const struct vm *vm)
{
	const uint8_t *rsdp = mem_ptr(&vm->mem, ACPI_RSDP_GPA, 36);
	const uint8_t *xsdt;

	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_true(sums_to_zero(rsdp, 20));
	assert_true(sums_to_zero(rsdp, 36));
	assert_int_equal(rsdp[15], 2);
	xsdt = table_at(vm, get_le64(rsdp + 24));
	assert_memory_equal(xsdt, "XSDT", 4);
	return xsdt;
}

static const uint8_t *find(const struct vm *vm, const char *signature)
{
	const uint8_t *xsdt = xsdt_of(vm), *found = NULL;
	uint32_t i;

	for (i = 36; i + 8 <= get_le32(xsdt + 4); i += 8) {
		const uint8_t *t = table_at(vm, get_le64(xsdt + i));

		if (!memcmp(t, signature, 4)) {
			assert_null(found);
			found = t;
		}
	}
	assert_non_null(found);
	return found;
}

static void build(struct vm *vm)
{
	struct err err = { 0 };

	if (acpi_build(vm, &err))
		fail_msg("%s", err.msg);
}

static void check_gas(const uint8_t *gas, uint64_t port)
{
	assert_int_equal(gas[0], 1); /* system I/O */
	assert_int_equal(gas[1], 8);
	assert_int_equal(gas[3], 1); /* byte access */
	assert_int_equal(get_le64(gas + 4), port);
}

static void fadt_is_hardware_reduced(void **state)
{
	struct vm *vm = *state;
	const uint8_t *t;
	uint32_t flags;

	build(vm);
	t = find(vm, "FACP");
	assert_int_equal(get_le32(t + 4), 276);
	assert_int_equal(t[8], 6);
	flags = get_le32(t + 112);
	assert_true(flags & BIT(20));	     /* HW_REDUCED_ACPI */
	assert_true(flags & BIT(10));	     /* RESET_REG_SUP */
	assert_int_equal(flags & 0x30, 0x30); /* no fixed buttons */
	/* No legacy devices, no 8042, no VGA, no RTC; MSI and ASPM are not forbidden. */
	assert_int_equal(get_le16(t + 109), 0x24);
	check_gas(t + 116, PIO_ACPI + 4);
	assert_int_equal(t[128], 6);
	check_gas(t + 244, PIO_ACPI);
	check_gas(t + 256, PIO_ACPI + 1);
	/* No FACS, no SCI, no PM blocks, no PM timer (4.1: ignored, and must be zero). */
	assert_int_equal(get_le32(t + 36), 0);
	assert_int_equal(get_le16(t + 46), 0);
	assert_int_equal(get_le32(t + 56), 0);
	assert_int_equal(get_le32(t + 76), 0);
	assert_int_equal(get_le64(t + 140), get_le32(t + 40));
	assert_memory_equal(table_at(vm, get_le64(t + 140)), "DSDT", 4);
}

static void madt_lists(struct vm *vm, unsigned int cpus)
{
	unsigned int next = 0, ioapics = 0;
	const uint8_t *t, *e, *end;

	vm->config.cpus = cpus;
	build(vm);
	t = find(vm, "APIC");
	assert_int_equal(get_le32(t + 36), GPA_LAPIC);
	assert_int_equal(get_le32(t + 40), 0); /* no 8259s */
	end = t + get_le32(t + 4);
	for (e = t + 44; e < end; e += e[1]) {
		assert_true(e[1] >= 8);
		if (e[0] == 0) {
			assert_int_equal(e[3], next++);
			assert_true(e[3] < 255);
			assert_int_equal(get_le32(e + 4), 1);
		} else if (e[0] == 9) {
			assert_int_equal(get_le32(e + 4), next++);
			assert_true(get_le32(e + 4) >= 255);
			assert_int_equal(get_le32(e + 8), 1);
		} else {
			assert_int_equal(e[0], 1);
			assert_int_equal(e[2], 0);
			assert_int_equal(get_le32(e + 4), GPA_IOAPIC);
			assert_int_equal(get_le32(e + 8), 0);
			ioapics++;
		}
	}
	assert_ptr_equal(e, end);
	assert_int_equal(next, cpus);
	assert_int_equal(ioapics, 1);
}

static void madt_lists_processors(void **state)
{
	madt_lists(*state, 1);
	madt_lists(*state, 255);
	madt_lists(*state, 300);
}

static void too_many_processors(void **state)
{
	struct vm *vm = *state;
	struct err err = { 0 };

	vm->config.cpus = 10000;
	assert_int_equal(acpi_build(vm, &err), -ENOSPC);
	assert_non_null(strstr(err.msg, "10000 CPUs"));
}

/* Not the whole window: Linux reads 32 registers for each bus that it is told of. */
static void mcfg_has_the_buses_that_exist(void **state)
{
	const uint8_t *t;

	build(*state);
	t = find(*state, "MCFG");
	assert_int_equal(get_le32(t + 4), 60);
	assert_int_equal(get_le64(t + 44), GPA_ECAM_BASE);
	assert_int_equal(get_le16(t + 52), 0);
	assert_int_equal(t[54], 0);
	assert_int_equal(t[55], 0);
	((struct vm *)*state)->pci->last_bus = 5;
	build(*state);
	assert_int_equal(find(*state, "MCFG")[55], 5);
}

static uint64_t no_read(struct dev *dev, unsigned int range, uint64_t offset, unsigned int size)
{
	(void)dev;
	(void)range;
	(void)offset;
	return all_ones(size);
}

static void info_page_tells(void **state)
{
	static const struct dev_class serial = {
		.name = "serial", .size = sizeof(struct dev), .read = no_read
	};
	struct vm *vm = *state;
	struct range range = { .ops = &dev_range_ops, .size = 8 };
	const uint8_t *info = mem_ptr(&vm->mem, GPA_INFO_PAGE, 24);

	build(vm);
	assert_int_equal(get_le64(info), 0x840000000ull);
	assert_int_equal(get_le64(info + 8), 0x40000000ull);
	assert_int_equal(get_le32(info + 16), 0);
	assert_int_equal(dev_new(vm, &serial, "serial", &range.dev, NULL), 0);
	assert_int_equal(dev_add(range.dev, NULL), 0);
	assert_int_equal(bus_map(&vm->bus, &range, BUS_PIO, PIO_COM1, NULL), 0);
	vm->pci->last_bus = 3;
	build(vm);
	assert_int_equal(get_le32(info + 16), 1);
	assert_int_equal(get_le32(info + 20), 3);
	bus_unmap(&vm->bus, &range);
}

/* ---- with iasl, where there is one ---- */

static void dump(const char *dir, const char *name, const uint8_t *t)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.aml", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(t, 1, get_le32(t + 4), f), get_le32(t + 4));
	fclose(f);
}

/* Runs @command in @dir; its exit code. */
static int run(const char *command, const char *dir)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd), "cd %s && %s", dir, command);
	return system(cmd); /* NOLINT(cert-env33-c) */
}

/* The routes in the text that iasl made of _PRT, against the formula of vmm/types.h. */
static void check_routes(const char *path)
{
	char line[256];
	unsigned long v[4];
	unsigned int n = 0, routes = 0;
	bool inside = false;
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *p = line + strspn(line, " ");

		if (strstr(line, "_PRT"))
			inside = true;
		if (!inside)
			continue;
		if (!strncmp(p, "Package (0x04)", 14))
			n = 0;
		else if (!strncmp(p, "0x", 2) || !strncmp(p, "Zero", 4) || !strncmp(p, "One", 3)) {
			assert_true(n < 4);
			v[n++] = *p == 'Z' ? 0 : *p == 'O' ? 1 : strtoul(p, NULL, 16);
			if (n < 4)
				continue;
			assert_int_equal(v[0], (routes / 4) << 16 | 0xffff);
			assert_int_equal(v[1], routes % 4);
			assert_int_equal(v[2], 0);
			assert_int_equal(v[3], GSI_PCI_FIRST +
						       (routes / 4 + routes % 4) % GSI_PCI_COUNT);
			routes++;
		}
	}
	fclose(f);
	assert_int_equal(routes, 128);
}

static void iasl_reads_the_tables(void **state)
{
	struct vm *vm = *state;
	char dir[64] = "/tmp/acpi_test.XXXXXX", path[128];
	const uint8_t *fadt;

	if (system("iasl -v >/dev/null 2>&1")) { /* NOLINT(cert-env33-c) */
		print_message("no iasl here\n");
		skip();
	}
	vm->config.cpus = 257;
	build(vm);
	assert_non_null(mkdtemp(dir));
	fadt = find(vm, "FACP");
	dump(dir, "facp", fadt);
	dump(dir, "apic", find(vm, "APIC"));
	dump(dir, "mcfg", find(vm, "MCFG"));
	dump(dir, "xsdt", xsdt_of(vm));
	dump(dir, "dsdt", table_at(vm, get_le64(fadt + 140)));
	assert_int_equal(run("iasl -d *.aml >log 2>&1", dir), 0);
	/* What it has to complain about goes into the text or the log. */
	assert_int_not_equal(run("grep -Eiq 'invalid|incorrect|unknown' *.dsl log", dir),
			     0);
	snprintf(path, sizeof(path), "%s/dsdt.dsl", dir);
	check_routes(path);
	run("rm -r \"$PWD\"", dir);
}

/* ---- registers ---- */

static void out8(struct vm *vm, uint16_t port, uint8_t value)
{
	bus_access(&vm->bus, BUS_PIO, port, &value, 1, true);
}

static uint32_t in32(struct vm *vm, uint16_t port)
{
	uint32_t value = 0;

	bus_access(&vm->bus, BUS_PIO, port, &value, 4, false);
	return le32toh(value);
}

static int irqfd_of(int gsi)
{
	int fd;

	for (fd = 0; fd < 1024; fd++)
		if (fake_kvm_irqfd(fd) == gsi)
			return fd;
	return -1;
}

static void sleep_and_reset(void **state)
{
	struct vm *vm = *state;

	assert_int_equal(acpi_pm_new(vm, &vm->acpi_pm, NULL), 0);
	out8(vm, PIO_ACPI, 5 << 2); /* a type without SLP_EN */
	out8(vm, PIO_ACPI, 3 << 2 | 0x20);
	out8(vm, PIO_ACPI + 1, 0x80);
	out8(vm, PIO_ACPI + 4, 5);
	assert_int_equal(vm->request, VM_NOTHING);
	out8(vm, PIO_ACPI + 4, 6);
	assert_int_equal(vm->request, VM_RESET);
	out8(vm, PIO_ACPI, 5 << 2 | 0x20);
	assert_int_equal(vm->request, VM_POWEROFF);
	/* What was posted for the loop is not to be carried out here. */
	vm->request = VM_NOTHING;
}

static void power_button(void **state)
{
	struct vm *vm = *state;
	int fd;

	assert_int_equal(acpi_pm_new(vm, &vm->acpi_pm, NULL), 0);
	fd = irqfd_of(GSI_ACPI);
	assert_true(fd >= 0);
	assert_int_equal(io_eventfd_drain(fd), 0);
	acpi_pm_event(vm->acpi_pm, ACPI_EVENT_POWER_BUTTON);
	assert_int_equal(io_eventfd_drain(fd), 1);
	assert_int_equal(in32(vm, PIO_ACPI + 8), 1);
	assert_int_equal(in32(vm, PIO_ACPI + 8), 0);
	acpi_pm_event(vm->acpi_pm, ACPI_EVENT_POWER_BUTTON);
	dev_reset_all(vm);
	assert_int_equal(in32(vm, PIO_ACPI + 8), 0);
}

static void registers_that_cannot_be_had(void **state)
{
	struct vm *vm = *state;
	struct acpi_pm *pm = NULL;
	struct err err = { 0 };

	fake_kvm_fail(KVM_IRQFD, 1, EBUSY);
	assert_int_equal(acpi_pm_new(vm, &pm, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "acpi-pm"));
	assert_null(pm);
	assert_int_equal(in32(vm, PIO_ACPI + 8), 0xffffffffu);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(fadt_is_hardware_reduced),
		T(madt_lists_processors),
		T(too_many_processors),
		T(mcfg_has_the_buses_that_exist),
		T(info_page_tells),
		T(iasl_reads_the_tables),
		T(sleep_and_reset),
		T(power_button),
		T(registers_that_cannot_be_had),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
