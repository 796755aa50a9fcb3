/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VFIO at the border vfio_sys.h: containers, groups and programmable functions that follow the
 * kernel's rules (order of the ioctls, one interrupt type at a time, vectors that run out), count
 * what is asked of them, and fail on command. Device nodes are the files below @dev of the fake
 * host (fake_sysfs.h). One for the process; fake_vfio_new() makes it new.
 */
#ifndef VIADUCT_TESTS_FAKE_VFIO_H
#define VIADUCT_TESTS_FAKE_VFIO_H

#include <linux/vfio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fake_sysfs.h"
#include "vfio/iommufd_uapi.h"

#define FAKE_AREAS_MAX 8
#define FAKE_VECTORS_MAX 2048
#define FAKE_LOG_MAX 256

struct fake_region {
	uint64_t size;
	uint32_t flags; /* VFIO_REGION_INFO_FLAG_* without CAPS */
	bool sparse, msix_mappable;
	struct vfio_region_sparse_mmap_area areas[FAKE_AREAS_MAX];
	uint32_t area_count;
	int memfd; /* what a mapping and pread() see, -1 until needed */
};

/* One access to a region by pread() or pwrite(). */
struct fake_access {
	uint32_t region;
	uint64_t offset;
	size_t len;
	bool write;
	uint64_t value; /* of writes up to 8 bytes */
};

struct fake_set {
	uint32_t index, flags, start, count;
	int32_t first; /* the first eventfd */
};

struct fake_vdev {
	char name[24];
	int group;
	uint8_t config[4096];
	struct fake_region regions[VFIO_PCI_NUM_REGIONS];
	struct {
		uint32_t flags, count;
	} irqs[VFIO_PCI_NUM_IRQS];
	uint32_t flags;
	bool dead; /* reads give ones, writes go nowhere */
	unsigned int busy; /* so many resets from now on answer EAGAIN */
	bool dies; /* a reset makes it dead for good */
	unsigned int wake_after; /* a reset makes it dead for so many reads */
	bool bus_reset; /* its bus has a reset, which reaches all functions with that bus number */
	unsigned int vectors_room; /* that the host has */
	char token[40]; /* of a VF whose PF is with VFIO: opening it takes this */
	bool pf;	/* takes a token for its VFs */
	/* what it was told */
	uint8_t vf_token[16];
	bool open;
	unsigned int opens, resets, bus_resets;
	int mode; /* interrupt index that is on, -1 */
	unsigned int allocated;
	int32_t fds[FAKE_VECTORS_MAX];
	int32_t unmask;
	int32_t err, req; /* eventfds of the error and the request interrupt, -1 */
	/* what was done, oldest first; the counts go on when the logs are full */
	struct fake_access accesses[FAKE_LOG_MAX];
	unsigned int access_count;
	struct fake_set sets[FAKE_LOG_MAX];
	unsigned int set_count;
};

struct fake_dma {
	uint64_t iova, size;
	void *hva;
};

/* Which back end the tests' functions go by: "type1" (at first) or "iommufd", whose nodes are only
 * there then. Holds until the next call. */
void fake_vfio_row(const char *name);
const char *fake_vfio_row_name(void);
bool fake_vfio_by_iommufd(void);

/* @host stays the caller's and must outlive the use. */
void fake_vfio_new(struct fake *host);
/* Frees memfds; aborts nothing. */
void fake_vfio_free(void);

/* A function behind /dev/vfio/@group, without regions or interrupts but for config space. */
struct fake_vdev *fake_vfio_dev(const char *name, int group);
/* As an igb VF: two 16 KiB BARs (0 and 3, 64-bit), 3 MSI-X vectors in BAR 3, no INTx. */
struct fake_vdev *fake_vfio_igbvf(const char *name, int group);
/* As an NVMe PF: registers, MSI-X table (65 vectors) and PBA in a 16 KiB BAR 0, INTx, MSI. */
struct fake_vdev *fake_vfio_nvme(const char *name, int group);
/* As an e1000: 128 KiB of registers, 64 ports, INTx alone, no capability, 256 bytes of config. */
struct fake_vdev *fake_vfio_e1000(const char *name, int group);

/* How often @request was made; open, pread, pwrite and map have their own numbers. */
#define FAKE_OPEN 1ul
#define FAKE_PREAD 2ul
#define FAKE_PWRITE 3ul
#define FAKE_MAP 4ul
#define FAKE_RESERVE 5ul
/* The row's own ioctls for DMA mappings. */
#define FAKE_DMA_MAP (fake_vfio_by_iommufd() ? (unsigned long)IOMMU_IOAS_MAP : VFIO_IOMMU_MAP_DMA)
#define FAKE_DMA_UNMAP                                                                             \
	(fake_vfio_by_iommufd() ? (unsigned long)IOMMU_IOAS_UNMAP : VFIO_IOMMU_UNMAP_DMA)
unsigned int fake_vfio_count(unsigned long request);
unsigned int fake_vfio_total(void);
/* Forgets counts and logs, not the state. */
void fake_vfio_forget(void);
/* The @at-th @request from now on (1: the next) answers -@code; for a positive answer (SET_IRQS)
 * give a negative code. 0 as request: any. */
void fake_vfio_fail(unsigned long request, unsigned int at, int code);

/* The kernel takes a token when a function is bound to an iommufd (Linux 6.17). */
void fake_vfio_bind_tokens(void);

/* A descriptor from vfio_sys_open() and the like becomes one that the program was started with;
 * false when it became the program's own again. */
int fake_vfio_inherit(int fd);
bool fake_vfio_inherited(int fd);

/* What stands: descriptors, reservations, DMA mappings. */
unsigned int fake_vfio_fds(void);
unsigned int fake_vfio_reservations(void);
unsigned int fake_vfio_dma(struct fake_dma *ret, unsigned int max);

/* Taking a function out of its group lasts so long; how many were at it at once, the most. */
void fake_vfio_open_ms(unsigned int ms);
unsigned int fake_vfio_open_peak(void);

/* What vfio_sys_memlock() says from now on; a new fake says UINT64_MAX and 0. */
void fake_vfio_memlock(uint64_t limit, uint64_t locked);

#endif
