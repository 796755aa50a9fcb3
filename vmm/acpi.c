// SPDX-License-Identifier: GPL-2.0-or-later
/* Tables after ACPI 6.4, chapter 5; MCFG after the PCI Firmware Specification 3.2, 4.1.2. */
#include "acpi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "types.h"
#include "vm.h"

/* iasl writes a plain `unsigned char dsdt_aml_code[] = { ... };` */
static const
#include "dsdt.hex"

#define ACPI_HEADER 36u
#define RSDP_SIZE 36u
#define XSDT_TABLES 3ull
#define FADT_SIZE 276u
#define MCFG_SIZE 60u
#define MADT_FIXED 44u
#define MADT_IOAPIC_SIZE 12u
#define MADT_LAPIC_SIZE 8u
#define MADT_X2APIC_SIZE 16u
#define MADT_LAPIC_MAX 255u /* an 8-bit id of 255 means all processors */

/* FADT: offsets (table 5.9) and bits. */
#define FADT_DSDT 40
#define FADT_BOOT_ARCH 109
#define FADT_FLAGS 112
#define FADT_RESET_REG 116
#define FADT_RESET_VALUE 128
#define FADT_MINOR 131
#define FADT_X_DSDT 140
#define FADT_SLEEP_CONTROL 244
#define FADT_SLEEP_STATUS 256
#define FADT_HYPERVISOR 268

#define FADT_WBINVD BIT(0)
#define FADT_PWR_BUTTON BIT(4) /* no fixed power button: it is a control method device */
#define FADT_SLP_BUTTON BIT(5) /* no fixed sleep button */
#define FADT_FIX_RTC BIT(6)    /* no RTC wake in fixed registers */
#define FADT_RESET_REG_SUP BIT(10)
#define FADT_HW_REDUCED BIT(20)

/*
 * What Linux 6.12 makes of them (arch/x86/kernel/acpi/boot.c, acpi_parse_fadt()): without
 * LEGACY_DEVICES there is no PnP BIOS; without 8042 the PS/2 driver does not probe the ports; with
 * NO_CMOS_RTC no RTC device is registered; with NO_VGA the VGA ports are not probed. "No ASPM" and
 * "no MSI" stay clear.
 */
#define FADT_ARCH_NO_VGA BIT(2)
#define FADT_ARCH_NO_RTC BIT(5)

#define GAS_SYSTEM_IO 1
#define GAS_ACCESS_BYTE 1

/* Where the next table goes: @buf will be at GPA_ACPI_BASE. */
struct acpi_build {
	uint8_t *buf;
	size_t used;
	uint64_t tables[XSDT_TABLES];
	unsigned int count;
};

static uint8_t acpi_checksum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

/* The fields of a fixed length that hold text are not terminated. */
static void acpi_text(uint8_t *p, const char *text)
{
	while (*text)
		*p++ = (uint8_t)*text++;
}

static gpa_t acpi_gpa(const struct acpi_build *b, const uint8_t *table)
{
	return GPA_ACPI_BASE + (uint64_t)(table - b->buf);
}

/* Takes room for a table with its header (5.2.6); the checksum follows in acpi_finish(). */
static uint8_t *acpi_table(struct acpi_build *b, const char *signature, uint8_t revision,
			   uint32_t size)
{
	uint8_t *t = b->buf + b->used;

	b->used += align_up(size, 16);
	acpi_text(t, signature);
	put_le32(t + 4, size);
	t[8] = revision;
	acpi_text(t + 10, "VIADCT");
	acpi_text(t + 16, "VIADUCT ");
	put_le32(t + 24, 1);
	acpi_text(t + 28, "VIAD");
	put_le32(t + 32, 1);
	return t;
}

static void acpi_finish(uint8_t *t)
{
	t[9] = 0;
	t[9] = acpi_checksum(t, get_le32(t + 4));
}

/* A byte register in port space (5.2.3.2). */
static void acpi_gas(uint8_t *p, uint64_t port)
{
	p[0] = GAS_SYSTEM_IO;
	p[1] = 8;
	p[2] = 0;
	p[3] = GAS_ACCESS_BYTE;
	put_le64(p + 4, port);
}

static gpa_t acpi_dsdt(struct acpi_build *b)
{
	uint8_t *t = b->buf + b->used;

	/* iasl has filled in header and checksum. */
	memcpy(t, dsdt_aml_code, sizeof(dsdt_aml_code));
	b->used += align_up(sizeof(dsdt_aml_code), 16);
	return acpi_gpa(b, t);
}

static void acpi_fadt(struct acpi_build *b, gpa_t dsdt)
{
	uint8_t *t = acpi_table(b, "FACP", 6, FADT_SIZE);

	put_le32(t + FADT_DSDT, (uint32_t)dsdt);
	put_le16(t + FADT_BOOT_ARCH, FADT_ARCH_NO_VGA | FADT_ARCH_NO_RTC);
	put_le32(t + FADT_FLAGS, FADT_WBINVD | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_FIX_RTC |
					 FADT_RESET_REG_SUP | FADT_HW_REDUCED);
	acpi_gas(t + FADT_RESET_REG, PIO_ACPI + ACPI_PM_RESET);
	t[FADT_RESET_VALUE] = ACPI_PM_RESET_VALUE;
	t[FADT_MINOR] = 4;
	put_le64(t + FADT_X_DSDT, dsdt);
	acpi_gas(t + FADT_SLEEP_CONTROL, PIO_ACPI + ACPI_PM_SLEEP_CONTROL);
	acpi_gas(t + FADT_SLEEP_STATUS, PIO_ACPI + ACPI_PM_SLEEP_STATUS);
	acpi_text(t + FADT_HYPERVISOR, "VIADUCT");
	acpi_finish(t);
	b->tables[b->count++] = acpi_gpa(b, t);
}

static uint32_t acpi_madt_size(unsigned int cpus)
{
	uint32_t small = MIN(cpus, MADT_LAPIC_MAX);

	return MADT_FIXED + small * MADT_LAPIC_SIZE + (cpus - small) * MADT_X2APIC_SIZE +
	       MADT_IOAPIC_SIZE;
}

/*
 * No PC/AT compatible PICs (flags 0) and no overrides: a hardware-reduced Linux has no legacy
 * interrupts (acpi_generic_reduced_hw_init() puts null_legacy_pic in place), so every interrupt is
 * a GSI with the trigger mode that the DSDT gives it.
 */
static void acpi_madt(struct acpi_build *b, unsigned int cpus)
{
	uint8_t *t = acpi_table(b, "APIC", 5, acpi_madt_size(cpus));
	uint8_t *e = t + MADT_FIXED;
	unsigned int i;

	put_le32(t + 36, GPA_LAPIC);
	for (i = 0; i < cpus; i++) {
		if (i < MADT_LAPIC_MAX) {
			e[0] = 0; /* processor local APIC, 5.2.12.2 */
			e[1] = MADT_LAPIC_SIZE;
			e[2] = (uint8_t)i;
			e[3] = (uint8_t)i;
			put_le32(e + 4, 1); /* enabled */
		} else {
			e[0] = 9; /* processor local x2APIC, 5.2.12.12 */
			e[1] = MADT_X2APIC_SIZE;
			put_le32(e + 4, i);
			put_le32(e + 8, 1);
			put_le32(e + 12, i);
		}
		e += e[1];
	}
	e[0] = 1; /* I/O APIC, 5.2.12.3 */
	e[1] = MADT_IOAPIC_SIZE;
	put_le32(e + 4, GPA_IOAPIC);
	put_le32(e + 8, 0); /* its first GSI */
	acpi_finish(t);
	b->tables[b->count++] = acpi_gpa(b, t);
}

/* Only the buses that exist: Linux scans by hand every bus that MCFG has, 32 configuration reads
 * for each (pcibios_fixup_peer_bridges(), on ACPI machines too), 8192 exits for 256 buses. */
static void acpi_mcfg(struct acpi_build *b, unsigned int last_bus)
{
	uint8_t *t = acpi_table(b, "MCFG", 1, MCFG_SIZE);

	put_le64(t + 44, GPA_ECAM_BASE);
	t[54] = 0;
	t[55] = (uint8_t)last_bus;
	acpi_finish(t);
	b->tables[b->count++] = acpi_gpa(b, t);
}

static gpa_t acpi_xsdt(struct acpi_build *b)
{
	uint8_t *t = acpi_table(b, "XSDT", 1, ACPI_HEADER + (uint32_t)XSDT_TABLES * 8);
	unsigned int i;

	for (i = 0; i < XSDT_TABLES; i++)
		put_le64(t + ACPI_HEADER + (size_t)i * 8, b->tables[i]);
	acpi_finish(t);
	return acpi_gpa(b, t);
}

static void acpi_rsdp(struct acpi_build *b, gpa_t xsdt)
{
	uint8_t *p = b->buf;

	acpi_text(p, "RSD PTR ");
	acpi_text(p + 9, "VIADCT");
	p[15] = 2;
	put_le32(p + 20, RSDP_SIZE);
	put_le64(p + 24, xsdt);
	p[8] = acpi_checksum(p, 20);
	p[32] = acpi_checksum(p, RSDP_SIZE);
}

/* Whoever answers at the first serial port is what the DSDT describes there. */
static bool acpi_has_com1(struct vm *vm)
{
	struct bus *bus = &vm->bus;
	bool found = false;
	unsigned int i;

	pthread_mutex_lock(&bus->lock);
	for (i = 0; i < bus->count[BUS_PIO] && !found; i++)
		found = bus->ranges[BUS_PIO][i]->base == PIO_COM1;
	pthread_mutex_unlock(&bus->lock);
	return found;
}

static int acpi_info_write(struct vm *vm)
{
	struct acpi_info info = {
		.mem64_base = vm->pci ? htole64(vm->pci->mem64_base) : 0,
		.mem64_size = vm->pci ? htole64(vm->pci->mem64_size) : 0,
		.com1 = htole32(acpi_has_com1(vm)),
		.last_bus = vm->pci ? htole32(vm->pci->last_bus) : 0,
	};

	return mem_write(&vm->mem, GPA_INFO_PAGE, &info, sizeof(info));
}

/*
 * The reset vector, where firmware would begin. Linux leaves the reset register of hardware-reduced
 * ACPI aside (it takes EFI to be there), and restarts by going back to real mode and jumping here
 * (arch/x86/kernel/reboot.c: BOOT_EFI, then BOOT_BIOS): the vector asks for the reset.
 */
static int acpi_reset_vector(struct vm *vm)
{
	static const uint8_t code[] = {
		0xba, (PIO_ACPI + ACPI_PM_RESET) & 0xff, (PIO_ACPI + ACPI_PM_RESET) >> 8, /* mov dx */
		0xb0, ACPI_PM_RESET_VALUE, /* mov al */
		0xee,			   /* out dx, al */
		0xf4,			   /* hlt */
		0xeb, 0xfd,		   /* jmp to hlt */
	};

	return mem_write(&vm->mem, GPA_RESET_VECTOR, code, sizeof(code));
}

int acpi_build(struct vm *vm, struct err *err)
{
	uint64_t room = RSDP_SIZE + sizeof(dsdt_aml_code) + FADT_SIZE + MCFG_SIZE +
		      acpi_madt_size(vm->config.cpus) + ACPI_HEADER + XSDT_TABLES * 8 +
		      (XSDT_TABLES + 3) * 16;
	struct acpi_build b = { .used = align_up(RSDP_SIZE, 16) };
	int ret;

	if (room > GPA_ACPI_SIZE)
		return err_set(err, -ENOSPC,
			       "ACPI tables for %u CPUs: %llu bytes, there is room for %llu",
			       vm->config.cpus, (unsigned long long)room, GPA_ACPI_SIZE);
	b.buf = calloc(1, room);
	if (!b.buf)
		return err_sys(err, -ENOMEM, "ACPI tables");
	acpi_fadt(&b, acpi_dsdt(&b));
	acpi_madt(&b, vm->config.cpus);
	acpi_mcfg(&b, vm->pci ? vm->pci->last_bus : 0);
	acpi_rsdp(&b, acpi_xsdt(&b));
	ret = mem_write(&vm->mem, GPA_ACPI_BASE, b.buf, b.used);
	if (!ret)
		ret = acpi_info_write(vm);
	if (!ret)
		ret = acpi_reset_vector(vm);
	free(b.buf);
	return ret ? err_sys(err, ret, "ACPI tables") : 0;
}
