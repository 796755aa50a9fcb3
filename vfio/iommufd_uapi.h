/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iommufd and VFIO's device nodes (Linux 6.2 and 6.6; uapi linux/iommufd.h, linux/vfio.h) for
 * systems whose headers are older than that, Debian 12's among them. Where the system has a name,
 * the system's is used.
 */
#ifndef VIADUCT_VFIO_IOMMUFD_UAPI_H
#define VIADUCT_VFIO_IOMMUFD_UAPI_H

#include <linux/ioctl.h>
#include <linux/vfio.h>
#include <stdint.h>

#if __has_include(<linux/iommufd.h>)
#include <linux/iommufd.h>
#else

struct iommu_destroy {
	uint32_t size;
	uint32_t id;
};

struct iommu_ioas_alloc {
	uint32_t size;
	uint32_t flags; /* 0 */
	uint32_t out_ioas_id;
};

#define IOMMU_IOAS_MAP_FIXED_IOVA (1u << 0)
#define IOMMU_IOAS_MAP_WRITEABLE (1u << 1)
#define IOMMU_IOAS_MAP_READABLE (1u << 2)

struct iommu_ioas_map {
	uint32_t size;
	uint32_t flags;
	uint32_t ioas_id;
	uint32_t __reserved;
	uint64_t user_va;
	uint64_t length;
	uint64_t iova;
};

struct iommu_ioas_unmap {
	uint32_t size;
	uint32_t ioas_id;
	uint64_t iova;
	uint64_t length; /* out: what was unmapped */
};

#define IOMMU_DESTROY _IO(';', 0x80)
#define IOMMU_IOAS_ALLOC _IO(';', 0x81)
#define IOMMU_IOAS_MAP _IO(';', 0x85)
#define IOMMU_IOAS_UNMAP _IO(';', 0x86)

#endif

/* Under a name of its own, for the token came later than the rest (6.17): a system's header may
 * have the structure without it. Without the flag argsz ends before the pointer. */
#define VFIO_BIND_TOKEN (1u << 0)

struct vfio_bind {
	uint32_t argsz;
	uint32_t flags;
	int32_t iommufd;
	uint32_t out_devid;
	uint64_t token; /* address of the UUID's 16 bytes */
};

#ifndef VFIO_DEVICE_BIND_IOMMUFD
#define VFIO_DEVICE_BIND_IOMMUFD _IO(VFIO_TYPE, VFIO_BASE + 18)
#endif

#ifndef VFIO_DEVICE_ATTACH_IOMMUFD_PT
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 19)
#define VFIO_DEVICE_DETACH_IOMMUFD_PT _IO(VFIO_TYPE, VFIO_BASE + 20)

struct vfio_device_attach_iommufd_pt {
	uint32_t argsz;
	uint32_t flags;
	uint32_t pt_id;
};

struct vfio_device_detach_iommufd_pt {
	uint32_t argsz;
	uint32_t flags;
};
#endif

#endif
