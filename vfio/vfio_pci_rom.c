// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The expansion ROM (PCI 3.0, 6.2.5.2 and 6.3): the function's own, or a file in its place.
 *
 * The function's ROM is read once, when the guest first looks at it: the VMM's copy answers from
 * then on, for a ROM is slow, and on some cards readable only until the driver starts. Nothing is
 * ever written to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "base/util.h"
#include "vfio_pci_priv.h"
#include "vmm/vm.h"

#define ROM_MAX (16 * MIB) /* PCI 3.0, 6.2.5.2 */
#define ROM_HINT "give a good copy with romfile=PATH, or none with rombar=off"

static void rom_warn(const struct vfio_pci *vp, const char *what)
{
	log_line(vp->pdev.dev.vm->log, LOG_WARN, "%s: %s: its ROM %s; " ROM_HINT, vp->pdev.dev.id,
		 vp->idev.name, what);
}

static bool rom_signed(const struct vfio_pci_rom *rom)
{
	return rom->size >= 2 && rom->data[0] == 0x55 && rom->data[1] == 0xaa;
}

static int rom_file_read(struct vfio_pci_rom *rom, int fd, struct err *err)
{
	struct stat st;
	int ret;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "romfile=%s", rom->file);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "romfile=%s: not a file", rom->file);
	if (!st.st_size || (uint64_t)st.st_size > ROM_MAX)
		return err_set(err, -EINVAL, "romfile=%s: %lld bytes; a ROM has 1 byte to 16 MiB",
			       rom->file, (long long)st.st_size);
	rom->size = (uint64_t)st.st_size;
	rom->data = malloc(rom->size);
	if (!rom->data)
		return err_sys(err, -ENOMEM, "romfile=%s", rom->file);
	ret = io_pread_full(fd, rom->data, rom->size, 0);
	return ret ? err_sys(err, ret, "romfile=%s", rom->file) : 0;
}

static int rom_file(struct vfio_pci *vp, struct err *err)
{
	struct vfio_pci_rom *rom = &vp->rom;
	int fd CLEANUP_CLOSE = open(rom->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int ret;

	if (fd < 0)
		return err_sys(err, -errno, "romfile=%s", rom->file);
	ret = rom_file_read(rom, fd, err);
	if (ret)
		return ret;
	if (!rom_signed(rom))
		log_line(vp->pdev.dev.vm->log, LOG_WARN,
			 "%s: romfile=%s: does not begin with 55 aa: no guest will take it for a "
			 "ROM",
			 vp->pdev.dev.id, rom->file);
	pci_bar_set(&vp->pdev, PCI_ROM, PCI_BAR_ROM, false, rom->size);
	return 0;
}

/* True when nothing is left to be asked of the function: there is a file, or there is to be none.
 */
static bool rom_given(struct vfio_pci *vp, int *ret_code, struct err *err)
{
	*ret_code = 0;
	if (vp->rom.off && vp->rom.file)
		*ret_code = err_set(err, -EINVAL,
				    "romfile= and rombar=off do not go together; give one");
	else if (vp->rom.file)
		*ret_code = rom_file(vp, err);
	return vp->rom.off || vp->rom.file;
}

int vfio_pci_rom_plan(struct vfio_pci *vp, uint64_t size, struct err *err)
{
	int ret;

	if (!rom_given(vp, &ret, err) && size && size <= ROM_MAX)
		pci_bar_set(&vp->pdev, PCI_ROM, PCI_BAR_ROM, false, size);
	return ret;
}

int vfio_pci_rom_init(struct vfio_pci *vp, struct err *err)
{
	struct vfio_pci_rom *rom = &vp->rom;
	int ret;

	if (rom_given(vp, &ret, err))
		return ret;
	ret = vfio_region_get(&vp->vdev, VFIO_PCI_ROM_REGION_INDEX, &rom->region, err);
	if (ret || !rom->region.size)
		return ret;
	if (rom->region.size > ROM_MAX) {
		rom_warn(vp, "is larger than 16 MiB and left out");
		return 0;
	}
	pci_bar_set(&vp->pdev, PCI_ROM, PCI_BAR_ROM, false, rom->region.size);
	return 0;
}

void vfio_pci_rom_done(struct vfio_pci *vp)
{
	free(vp->rom.data);
	vp->rom.data = NULL;
	vfio_region_done(&vp->rom.region);
}

static bool rom_blank(const struct vfio_pci_rom *rom)
{
	uint64_t i;

	for (i = 0; i < rom->size && rom->data[i] == 0xff; i++)
		;
	return i == rom->size;
}

/* What is wrong with the ROM, or NULL. */
static const char *rom_shadow(struct vfio_pci *vp)
{
	struct vfio_pci_rom *rom = &vp->rom;

	rom->size = rom->region.size;
	rom->data = malloc(rom->size);
	if (!rom->data)
		return "does not fit this program's memory";
	if (vp->vdev.ops->read(&vp->vdev, &rom->region, 0, rom->data, rom->size)) {
		free(rom->data);
		rom->data = NULL;
		return "cannot be read";
	}
	if (rom_blank(rom))
		return "reads as all ones";
	return rom_signed(rom) ? NULL : "does not begin with 55 aa";
}

uint64_t vfio_pci_rom_read(struct vfio_pci *vp, uint64_t offset, unsigned int size)
{
	struct vfio_pci_rom *rom = &vp->rom;
	uint64_t value = all_ones(8);

	if (!rom->data && !rom->tried) {
		const char *wrong = rom_shadow(vp);

		rom->tried = true;
		if (wrong)
			rom_warn(vp, wrong);
	}
	if (rom->data && offset < rom->size)
		memcpy(&value, rom->data + offset, MIN(size, rom->size - offset));
	return le64toh(value) & all_ones(size);
}
