/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest for the tests of vfio/: a fake host with an igb whose VFs are bound to vfio-pci, a fake
 * KVM, a fake VFIO, and a VM made through the real vmm/.
 */
#ifndef VIADUCT_TESTS_FAKE_GUEST_H
#define VIADUCT_TESTS_FAKE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "fake_sysfs.h"
#include "fake_vfio.h"
#include "vmm/vm.h"

#define VF0 "0000:01:10.0"  /* groups 20 ... */
#define VF0_GROUP 20
#define NVME "0000:02:00.0" /* group 13 */
#define NVME_GROUP 13
#define E1000 "0000:06:01.0" /* group 15, as RTL8139 */
#define RTL8139 "0000:06:02.0"
#define E1000_GROUP 15

struct fake_guest {
	struct fake *host;
	struct vm *vm;
	struct log log;
	char text[16384]; /* what was logged, a line each */
	size_t len;
};

/* The VFs and the functions above are bound to vfio-pci; there is no fake_vdev yet. */
struct fake_guest *fake_guest_new(uint64_t memory, bool plan);
/* Ends the VM and asserts that nothing stands: descriptors, maps, DMA, slots, irqfds. */
void fake_guest_free(struct fake_guest *g);
/* As fake_guest_free(), for the VM alone; and a new one. */
void fake_guest_vm_free(struct fake_guest *g);
void fake_guest_vm_new(struct fake_guest *g, uint64_t memory, bool plan);

void fake_guest_bind(struct fake_guest *g, const char *addr, const char *driver);
/* `--device vfio-pci,host=NAME`, or with NAME as the options, by the row that is set; options
 * may follow the name. */
int fake_guest_try(struct fake_guest *g, const char *name, struct err *err);
/* The same, asserting that it works. */
struct pci_dev *fake_guest_add(struct fake_guest *g, const char *name);
/* Takes it out again. */
void fake_guest_remove(struct fake_guest *g, struct pci_dev *pdev);
/* Asserts that it is refused with @code and a message that holds @text, and nothing stands. */
void fake_guest_refuses(struct fake_guest *g, const char *name, int code, const char *text);
/* Gives BARs their places, as before the guest starts. */
void fake_guest_place(struct fake_guest *g);
bool fake_guest_logged(const struct fake_guest *g, const char *text);

/* A vCPU's access, and a config access under the device's lock. */
uint64_t fake_guest_read(struct fake_guest *g, uint64_t addr, unsigned int size);
void fake_guest_write(struct fake_guest *g, uint64_t addr, unsigned int size, uint64_t value);

/* Writes an MSI-X table entry as Linux does: address, data, then the mask bit. */
void fake_guest_msix_entry(struct fake_guest *g, struct pci_dev *pdev, unsigned int vector,
			   bool masked);
void fake_guest_msix_enable(struct pci_dev *pdev, bool on);

struct CMUnitTest;
/* Runs the tests once for each IOMMU back end. Returns the number of failures. */
int fake_guest_rows(const struct CMUnitTest *tests, size_t count);

#endif
