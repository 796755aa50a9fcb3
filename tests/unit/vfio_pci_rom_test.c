// SPDX-License-Identifier: GPL-2.0-or-later
/* The expansion ROM of a function handed over: its own, a file's, none, and broken ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "base/util.h"
#include "fake_guest.h"

#define ROM_SIZE (64 * KIB)

static int setup(void **state)
{
	*state = fake_guest_new(64 * MIB, false);
	return 0;
}

static int teardown(void **state)
{
	fake_guest_free(*state);
	return 0;
}

/* Byte @at of the test's ROM. */
static uint8_t rom_byte(uint64_t at)
{
	return at == 0 ? 0x55 : at == 1 ? 0xaa : (uint8_t)(at * 7 + (at >> 8));
}

/* What a ROM BAR reads there, little endian. */
static uint64_t rom_value(uint64_t at, unsigned int size)
{
	uint64_t value = 0;
	unsigned int i;

	for (i = 0; i < size; i++)
		value |= (uint64_t)rom_byte(at + i) << (8 * i);
	return value;
}

static struct fake_vdev *nvme_with_rom(void)
{
	struct fake_vdev *dev = fake_vfio_nvme(NVME, NVME_GROUP);
	struct fake_region *r = &dev->regions[VFIO_PCI_ROM_REGION_INDEX];
	uint8_t bytes[ROM_SIZE];
	size_t i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = rom_byte(i);
	r->size = ROM_SIZE;
	r->flags = VFIO_REGION_INFO_FLAG_READ;
	r->memfd = memfd_create("rom", MFD_CLOEXEC);
	assert_true(r->memfd >= 0);
	assert_int_equal(write(r->memfd, bytes, sizeof(bytes)), sizeof(bytes));
	return dev;
}

/* Places the BARs and switches the ROM's decoding on; where it is. */
static uint64_t rom_on(struct fake_guest *g, struct pci_dev *pdev)
{
	uint64_t at;

	fake_guest_place(g);
	at = pci_bar_addr(pdev, PCI_ROM);
	assert_int_equal(pci_config_read(pdev, PCI_ROM_ADDRESS, 4), at);
	pci_config_write(pdev, PCI_ROM_ADDRESS, 4, (uint32_t)at | PCI_ROM_ADDRESS_ENABLE);
	return at;
}

static void test_own(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = nvme_with_rom();
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	unsigned int i;
	uint64_t at;

	pci_config_write(pdev, PCI_ROM_ADDRESS, 4, ~PCI_ROM_ADDRESS_ENABLE & 0xffffffff);
	assert_int_equal(pci_config_read(pdev, PCI_ROM_ADDRESS, 4), 0xffff0000);
	fake_vfio_forget();
	fake_guest_place(g);
	at = pci_bar_addr(pdev, PCI_ROM);
	assert_int_equal(at % ROM_SIZE, 0);
	assert_int_equal(fake_guest_read(g, at, 4), 0xffffffff);
	assert_int_equal(dev->access_count, 0);
	rom_on(g, pdev);
	for (i = 0; i < 4; i++) {
		uint64_t last = at + ROM_SIZE - BIT(i);

		assert_int_equal(fake_guest_read(g, at, BIT(i)), rom_value(0, BIT(i)));
		assert_int_equal(fake_guest_read(g, last, BIT(i)), rom_value(last - at, BIT(i)));
	}
	assert_int_equal(fake_guest_read(g, at + ROM_SIZE, 4), 0xffffffff);
	/* Read once and whole; a write goes nowhere. */
	fake_guest_write(g, at, 4, 0);
	assert_int_equal(dev->access_count, 1);
	assert_int_equal(dev->accesses[0].region, VFIO_PCI_ROM_REGION_INDEX);
	assert_int_equal(dev->accesses[0].len, ROM_SIZE);
	assert_int_equal(fake_guest_read(g, at, 2), 0xaa55);
	pci_config_write(pdev, PCI_ROM_ADDRESS, 4, (uint32_t)at);
	assert_int_equal(fake_guest_read(g, at, 2), 0xffff);
	assert_int_equal(g->len, 0);
	/* A reset of the guest keeps the copy, and the ROM is off as it was at first. */
	rom_on(g, pdev);
	dev_reset_all(g->vm);
	assert_int_equal(fake_guest_read(g, at, 2), 0xffff);
	assert_int_equal(dev->accesses[0].len, ROM_SIZE);
}

/* A ROM that is no ROM: one line with a remedy, ones for what is not there, and no second try. */
static void test_broken(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = nvme_with_rom();
	struct pci_dev *pdev = fake_guest_add(g, NVME);
	uint64_t at = rom_on(g, pdev);

	fake_vfio_forget();
	fake_vfio_fail(FAKE_PREAD, 1, EIO);
	assert_int_equal(fake_guest_read(g, at, 2), 0xffff);
	assert_int_equal(fake_guest_read(g, at, 2), 0xffff);
	assert_int_equal(fake_vfio_count(FAKE_PREAD), 1);
	assert_true(fake_guest_logged(g, "0000:02:00.0: its ROM cannot be read; give a good copy "
					 "with romfile=PATH, or none with rombar=off"));
	fake_guest_remove(g, pdev);
	fake_vfio_fail(0, 0, 0);
	dev->dead = false;
	pdev = fake_guest_add(g, NVME);
	at = rom_on(g, pdev);
	dev->dead = true;
	assert_int_equal(fake_guest_read(g, at, 8), UINT64_MAX);
	assert_true(fake_guest_logged(g, "its ROM reads as all ones"));
	dev->dead = false;
	fake_guest_remove(g, pdev);
	assert_int_equal(pwrite(dev->regions[VFIO_PCI_ROM_REGION_INDEX].memfd, "\0", 1, 1), 1);
	pdev = fake_guest_add(g, NVME);
	at = rom_on(g, pdev);
	assert_int_equal(fake_guest_read(g, at, 2), 0x0055);
	assert_true(fake_guest_logged(g, "its ROM does not begin with 55 aa"));
}

static void test_none(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = nvme_with_rom();
	struct pci_dev *pdev;

	pdev = fake_guest_add(g, NVME ",rombar=off");
	pci_config_write(pdev, PCI_ROM_ADDRESS, 4, 0xffffffff);
	assert_int_equal(pci_config_read(pdev, PCI_ROM_ADDRESS, 4), 0);
	fake_guest_remove(g, pdev);
	pdev = fake_guest_add(g, NVME ",rombar=on");
	assert_int_equal(pdev->bars[PCI_ROM].size, ROM_SIZE);
	fake_guest_remove(g, pdev);
	dev->regions[VFIO_PCI_ROM_REGION_INDEX].size = 32 * MIB;
	pdev = fake_guest_add(g, NVME);
	assert_int_equal(pdev->bars[PCI_ROM].kind, PCI_BAR_NONE);
	assert_true(fake_guest_logged(g, "its ROM is larger than 16 MiB and left out"));
}

/* A file with @len bytes of the test's ROM, in a folder that goes with the test. */
static void rom_file(struct fake_guest *g, char *path, size_t size, size_t len)
{
	FILE *file;
	size_t i;

	snprintf(path, size, "%s/rom.bin", g->host->base);
	file = fopen(path, "we");
	assert_non_null(file);
	for (i = 0; i < len; i++)
		assert_int_not_equal(fputc(rom_byte(i), file), EOF);
	assert_int_equal(fclose(file), 0);
}

static void test_file(void **state)
{
	struct fake_guest *g = *state;
	struct fake_vdev *dev = nvme_with_rom();
	char path[272], spec[320];
	struct pci_dev *pdev;
	uint64_t at;

	/* No power of two: the BAR is, and reads as ones behind the file's end. */
	rom_file(g, path, sizeof(path), 3001);
	snprintf(spec, sizeof(spec), NVME ",romfile=%s", path);
	pdev = fake_guest_add(g, spec);
	assert_int_equal(pdev->bars[PCI_ROM].size, 4096);
	fake_vfio_forget();
	at = rom_on(g, pdev);
	assert_int_equal(fake_guest_read(g, at, 8), rom_value(0, 8));
	assert_int_equal(fake_guest_read(g, at + 2992, 8), rom_value(2992, 8));
	assert_int_equal(fake_guest_read(g, at + 3000, 4), 0xffffff00 | rom_byte(3000));
	assert_int_equal(fake_guest_read(g, at + 3004, 4), 0xffffffff);
	assert_int_equal(dev->access_count, 0);
	assert_int_equal(g->len, 0);
}

static void test_file_bad(void **state)
{
	struct fake_guest *g = *state;
	char path[272], spec[320];
	struct pci_dev *pdev;

	nvme_with_rom();
	fake_guest_refuses(g, NVME ",romfile=/nowhere/rom", -ENOENT,
			   "romfile=/nowhere/rom: No such file");
	fake_guest_refuses(g, NVME ",romfile=/dev/zero", -EINVAL, "romfile=/dev/zero: not a file");
	fake_guest_refuses(g, NVME ",romfile=/etc/hostname,rombar=off", -EINVAL,
			   "do not go together");
	fake_guest_refuses(g, NVME ",rombar=maybe", -EINVAL, "rombar=maybe: it takes on or off");
	rom_file(g, path, sizeof(path), 0);
	snprintf(spec, sizeof(spec), NVME ",romfile=%s", path);
	fake_guest_refuses(g, spec, -EINVAL, "0 bytes; a ROM has 1 byte to 16 MiB");
	assert_int_equal(truncate(path, 16 * MIB + 1), 0);
	fake_guest_refuses(g, spec, -EINVAL, "16777217 bytes");
	assert_int_equal(truncate(path, 1), 0);
	pdev = fake_guest_add(g, spec);
	assert_true(fake_guest_logged(g, "does not begin with 55 aa"));
	assert_int_equal(pdev->bars[PCI_ROM].size, 2048);
}

/* A plan refuses the same files, and gives the ROM its place from what sysfs says. */
static void test_plan(void **state)
{
	struct fake_guest *g = *state;
	struct pci_dev *pdev;

	fake_guest_vm_free(g);
	nvme_with_rom();
	fake_text(g->host, "sys/bus/pci/devices/" NVME "/resource",
		  "0x00000000fe000000 0x00000000fe003fff 0x0000000000140204\n"
		  "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
		  "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
		  "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
		  "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
		  "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
		  "0x00000000fd000000 0x00000000fd01ffff 0x000000000004e200\n");
	fake_guest_vm_new(g, 64 * MIB, true);
	fake_guest_refuses(g, NVME ",romfile=/nowhere/rom", -ENOENT, "romfile=/nowhere/rom");
	pdev = fake_guest_add(g, NVME);
	assert_int_equal(pdev->bars[PCI_ROM].size, 128 * KIB);
	assert_int_equal(pdev->bars[0].kind, PCI_BAR_MEM64);
	fake_guest_place(g);
	assert_int_not_equal(pci_bar_addr(pdev, PCI_ROM), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plan, setup, teardown),
	};

	return fake_guest_rows(tests, ARRAY_SIZE(tests));
}
