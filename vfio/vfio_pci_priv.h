/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the device "vfio-pci" share.
 *
 * Locks: everything that is called after the function was plugged runs under its device lock.
 */
#ifndef VIADUCT_VFIO_VFIO_PCI_PRIV_H
#define VIADUCT_VFIO_VFIO_PCI_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "iommu.h"
#include "sriov/host.h"
#include "vfio_dev.h"
#include "vmm/pci.h"

/* One BAR as the host has it. */
struct vfio_pci_bar {
	struct vfio_region region;
	void *hva; /* reserved address space for the whole BAR, NULL: nothing is mapped */
	size_t hva_size;
};

/* Where MSI-X lies, as its capability says. */
struct vfio_pci_msix {
	uint8_t cap; /* 0: none, or none that can be used */
	unsigned int count;
	unsigned int table_bar, pba_bar;
	uint32_t table_offset, pba_offset;
};

/* Interrupts: what VFIO was told. What the guest wants is pdev.irq_mode and its vectors. */
struct vfio_pci_irq {
	enum pci_irq_mode mode;
	uint32_t vectors_max; /* option vectors=, 0: all */
	uint32_t intx_count, msi_count, msix_count; /* what the host function has, up to that */
	bool msix_noresize;			    /* VFIO_IRQ_INFO_NORESIZE */
	unsigned int live; /* MSI, MSI-X: [0, live) are set up in VFIO */
	bool hold;	   /* stay off, whatever the guest wants */
	bool messages;	   /* were on since the function was plugged or reset */
	struct loop_timer *intx_timer;
};

/* The expansion ROM: a file's, or the function's own once the guest has looked at it. */
struct vfio_pci_rom {
	char *file; /* option romfile= */
	bool off;   /* option rombar=off */
	struct vfio_region region;
	uint8_t *data;
	uint64_t size; /* of data */
	bool tried;    /* the function's own was read, well or not */
};

/* What the host has to say of the function. */
struct vfio_pci_event {
	char *on_error;		 /* option on-error= */
	uint32_t unplug_timeout; /* option unplug-timeout=, s; 0: the default */
	unsigned int policy;	 /* on_error, decoded */
	int err_fd, req_fd;	 /* eventfds, -1: none */
	struct loop_watch *err_watch, *req_watch;
	struct loop_timer *retry; /* of a reset that the host's own recovery keeps waiting */
	unsigned int tries;
	bool resetting, leaving;
};

/* A window of a BAR that shows config space; size 0: there is none. */
struct vfio_pci_mirror {
	unsigned int bar;
	uint64_t offset, size;
};

struct vfio_pci {
	struct pci_dev pdev;
	char *host_name; /* option host=, NULL: fd= tells */
	bool no_port; /* option port=off */
	bool all_functions;
	char *iommu_name, *token_text;	 /* iommu=, vf-token= */
	uint32_t fds[IOMMU_GIVEN_COUNT]; /* fd= and so on, 0: not given */
	const struct iommu_ops *row;	 /* NULL: any */
	struct iommu_token token;
	struct host host;
	struct iommu_dev idev;
	struct vfio_dev vdev;
	struct vfio_region config_region;
	struct vfio_pci_bar bars[PCI_BARS];
	/* The function's own config space, read once, and which of its bits the VMM answers: those
	 * come from pdev.config and never reach the hardware. */
	uint8_t hw[PCIE_CONFIG_SIZE];
	uint8_t own[PCIE_CONFIG_SIZE];
	uint8_t pm_cap; /* power management capability, 0: none */
	/* The bytes whose bit 7 or bit 0 resets the function (PCIe 4.0, 6.6.2; Advanced Features
	 * ECN), 0: there is none. */
	uint8_t flr_devctl, flr_af;
	struct vfio_pci_msix msix;
	struct vfio_pci_irq irq;
	struct vfio_pci_rom rom;
	struct vfio_pci_mirror mirror;
	char *clique; /* option nv-gpudirect-clique= */
	struct {
		char *pool; /* option pool=, NULL: none */
		bool taken; /* idev.addr is this guest's until it is given back */
		void *handle;
		const struct lease_module *module;
	} lease;
	struct {
		struct mac_addr want; /* option mac= */
		uint64_t before;      /* VF_ATTR_MAC */
		bool set;	      /* the VF had another before */
	} mac;
	uint64_t reset_round; /* vm->resets when a bus reset last reset it along with others */
	struct vfio_pci_event event;
};

static inline struct vfio_pci *to_vfio_pci(struct pci_dev *pdev)
{
	return container_of(pdev, struct vfio_pci, pdev);
}

/* --- vfio_pci_find.c: which host function, and can it be had? --- */

/* Fills host and idev (address, name, group) from the option and checks what sysfs says. Opens
 * nothing. -ENODEV, -EEXIST, -EINVAL for a bad name, all with a message. */
int vfio_pci_find(struct vfio_pci *vp, struct err *err);
/* What is against @addr for the guest named @guest: quarantine, a lease of somebody else's, no
 * group, its driver, its neighbours'. */
int vfio_pci_check(const struct host *host, const struct pci_addr *addr, const char *guest,
		   int *ret_group, struct err *err);
/* Does another device of this guest, made or planned, have @addr? @vp is a struct vfio_pci. */
bool vfio_pci_is_taken(const void *vp, const struct pci_addr *addr);
/* For a plan: can the nodes be opened, and what BARs are there (from sysfs). */
int vfio_pci_find_nodes(struct vfio_pci *vp, struct err *err);
int vfio_pci_find_bars(struct vfio_pci *vp, struct err *err);

/* --- vfio_pci_lease.c: leases (sriov/lease.h) --- */

/* 0 when nobody but this guest has a lease of @addr; -ENODEV with who has. One is this guest's when
 * it is for this process or for its parent, or for none and under the guest's name. */
int vfio_pci_lease_check(const struct host *host, const struct pci_addr *addr, const char *guest,
			 struct err *err);
/* Takes a function from the pool for this process and makes it idev.addr; for a plan only finds
 * one. -ENODEV when there is none to be had, and when there is no such pool. */
int vfio_pci_lease_take(struct vfio_pci *vp, struct err *err);
/* Gives it back, when it was taken. After the function was closed, for it is reset. */
void vfio_pci_lease_drop(struct vfio_pci *vp);

/* Loads the module with leases and settings, once; @asked is the option that wants it ("pool="). */
int vfio_pci_lease_module(struct vfio_pci *vp, const char *asked, struct err *err);

/* --- vfio_pci_mac.c: mac=, the address of a VF, which is its PF's to set --- */

/* Is idev.addr a VF, where mac= is given? Changes nothing. 0 or -EINVAL. */
int vfio_pci_mac_check(struct vfio_pci *vp, struct err *err);
/* Gives it the address. -ENODEV: we may not, and how it is done otherwise; -EINVAL: its card cannot. */
int vfio_pci_mac_set(struct vfio_pci *vp, struct err *err);
/* Gives it back the one it had. After the function was closed. */
void vfio_pci_mac_back(struct vfio_pci *vp);

/* --- vfio_pci_group.c: all functions of a card as one --- */

/* dev_class.part. */
int vfio_pci_part(struct dev *dev, unsigned int index, struct dev *first, struct err *err);
/* " of 3 devices (0000:05:00.0 leads to a conventional PCI bus)" for a group of several. */
void vfio_pci_group_describe(const struct vfio_pci *vp, char *buf, size_t size);

/* --- vfio_pci_config.c: config space --- */

/* Reads config space and sets up the header. -ENODEV when the function answers all ones. */
int vfio_pci_config_init(struct vfio_pci *vp, struct err *err);
/* Writes COMMAND so that memory and I/O decode as the BARs want, and nothing else is on: no bus
 * master, so no DMA and no message. */
int vfio_pci_command_quiet(struct vfio_pci *vp);
/* Writes COMMAND as the guest had it, with the decode bits as above. The kernel restores the BARs
 * of a function that was reset behind its back at this write. 0 or -errno. */
int vfio_pci_command_restore(struct vfio_pci *vp);
/* True when the function answers config reads: asked of the class code, for the kernel answers for
 * the IDs itself (drivers/vfio/pci/vfio_pci_config.c). */
bool vfio_pci_answers(struct vfio_pci *vp);
uint32_t vfio_pci_config_read(struct pci_dev *pdev, unsigned int offset, unsigned int size);
void vfio_pci_config_written(struct pci_dev *pdev, unsigned int offset, unsigned int size,
			     uint32_t value);

/* --- vfio_pci_power.c: power states and the resets that the guest asks for by config writes --- */

enum vfio_pci_effect { EFFECT_NONE, EFFECT_POWER, EFFECT_FLR };

/* Brings the function to D0 (PCI PM 1.2, 3.2.4). */
void vfio_pci_power_on(struct vfio_pci *vp);
/* Round the guest's write of @value to hardware: what it will do beyond the bytes. */
enum vfio_pci_effect vfio_pci_power_before(struct vfio_pci *vp, unsigned int offset,
					   unsigned int size, uint32_t value);
void vfio_pci_power_after(struct vfio_pci *vp, enum vfio_pci_effect effect);

/* --- vfio_pci_caps.c: the two capability lists --- */

/* Decodes MSI-X before the BARs are cut round it. */
void vfio_pci_caps_msix(struct vfio_pci *vp);
/* Makes the lists as the guest sees them; BARs and interrupts are known. */
void vfio_pci_caps_init(struct vfio_pci *vp);
/* Where the hardware's extended capability @id is, 0: nowhere. */
unsigned int vfio_pci_ecap_find(const struct vfio_pci *vp, uint16_t id);

/* Puts the capability @body of @len bytes at @at, if nothing else is there; last in the list. After
 * vfio_pci_caps_init(). */
bool vfio_pci_cap_insert(struct vfio_pci *vp, uint8_t at, const uint8_t *body, uint8_t len);

/* --- vfio_pci_quirk.c: what single kinds of functions need --- */

/* Finds the mirror, before the BARs are cut round it. */
void vfio_pci_quirks_init(struct vfio_pci *vp);
/* True when BAR @bar at @offset shows config space; the access is done then. */
bool vfio_pci_mirror_access(struct vfio_pci *vp, unsigned int bar, uint64_t offset,
			    unsigned int size, uint64_t *value, bool write);
/* Option nv-gpudirect-clique=: -EINVAL for a bad number or another function; ids are known. Then,
 * after the capabilities, adds its capability: -ENOSPC. */
int vfio_pci_clique_check(struct vfio_pci *vp, struct err *err);
int vfio_pci_clique_init(struct vfio_pci *vp, struct err *err);

/* --- vfio_pci_bar.c --- */

int vfio_pci_bars_init(struct vfio_pci *vp, struct err *err);
/* After pci_dev_unplug(). Half-built is fine. */
void vfio_pci_bars_done(struct vfio_pci *vp);
uint64_t vfio_pci_bar_read(struct dev *dev, unsigned int bar, uint64_t offset, unsigned int size);
void vfio_pci_bar_write(struct dev *dev, unsigned int bar, uint64_t offset, unsigned int size,
			uint64_t value);

/* --- vfio_pci_rom.c --- */

/* Describes the ROM's BAR: from romfile= (-EINVAL or the errno of opening it), else from VFIO. */
int vfio_pci_rom_init(struct vfio_pci *vp, struct err *err);
/* The same for a plan; @size is that of the function's ROM BAR, 0 for none. */
int vfio_pci_rom_plan(struct vfio_pci *vp, uint64_t size, struct err *err);
void vfio_pci_rom_done(struct vfio_pci *vp);
uint64_t vfio_pci_rom_read(struct vfio_pci *vp, uint64_t offset, unsigned int size);

/* --- vfio_pci_irq.c --- */

/* Asks which interrupts the function has. */
int vfio_pci_irqs_init(struct vfio_pci *vp, struct err *err);
/* Sets up in VFIO what the guest wants. */
void vfio_pci_irq_apply(struct vfio_pci *vp);
/* The function is in D0 again: sets up messages that the guest switched on while it slept. */
void vfio_pci_irq_awake(struct vfio_pci *vp);
/* All off in VFIO. */
void vfio_pci_irq_off(struct vfio_pci *vp);
/* After a reset: ends `hold`, and sets up what the guest wants. */
void vfio_pci_irq_restart(struct vfio_pci *vp);
/* All off for good. Half-built is fine. */
void vfio_pci_irqs_done(struct vfio_pci *vp);
uint64_t vfio_pci_pba_read(struct pci_dev *pdev, uint64_t offset, unsigned int size);
void vfio_pci_irq_mode(struct pci_dev *pdev, enum pci_irq_mode mode);
void vfio_pci_vector_use(struct pci_dev *pdev, unsigned int vector);

/* --- vfio_pci_reset.c --- */

/*
 * Brings the function to D0 and resets it: by itself, else with its bus or slot when all that is on
 * it is this guest's. Waits up to a second for it to answer. Its interrupts are off and it is no bus
 * master; config space is afterwards as before, for the kernel restores it. Loop thread, device
 * lock. Returns 0; -EOPNOTSUPP when there is no reset that this guest may do, the function being
 * as it was; -EAGAIN when the host holds the function for something else, such as its own recovery
 * from an error; another errno when the reset failed or nobody answers: then the function is put into
 * quarantine, so that nobody is given it before `vfctl clear`. Messages begin with the function's
 * address.
 */
int vfio_pci_reset(struct vfio_pci *vp, struct err *err);
/* The same for a guest's reboot; what goes wrong goes to the log. */
void vfio_pci_reset_reboot(struct vfio_pci *vp);
/* Puts the function into quarantine for the reason that @err has, and says so there; where that
 * cannot be done the log says why. */
void vfio_pci_quarantine(struct vfio_pci *vp, struct err *err);

/* --- vfio_pci_event.c: errors and requests of the host --- */

/* Checks the options; first step of probe and realize. -EINVAL. */
int vfio_pci_event_options(struct vfio_pci *vp, struct err *err);
/* After the function was plugged. */
int vfio_pci_events_on(struct vfio_pci *vp, struct err *err);
/* Half-built is fine, and so is twice. Loop thread. */
void vfio_pci_events_off(struct vfio_pci *vp);
/* Would touching a mapped BAR fail? pci_ops.bars_lost. */
bool vfio_pci_bars_lost(struct pci_dev *pdev);
/* Maps BARs again that KVM could not reach, if they can be reached by now. */
void vfio_pci_bars_back(struct vfio_pci *vp);

/* --- vfio_pci_aer.c --- */

/* Logs what the function recorded of PCI Express errors. */
void vfio_pci_aer_log(struct vfio_pci *vp);

#endif
