/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SCSI host of virtio 1.2 clause 5.6 with one unit behind it, target 0 LUN 0: a disk
 * (scsi-disk) or a CD/DVD drive (scsi-cd) from an image of the host.
 */
#ifndef VIADUCT_VIRTIO_VIRTIO_SCSI_H
#define VIADUCT_VIRTIO_VIRTIO_SCSI_H

#include "vmm/disk.h"

#include "scsi_target.h"
#include "virtio_pci.h"

#define VIRTIO_SCSI_QUEUES_MAX 32u /* for requests */
enum { VIRTIO_SCSI_CONTROL, VIRTIO_SCSI_EVENT, VIRTIO_SCSI_REQUEST };

struct virtio_scsi_req;

struct virtio_scsi {
	struct virtio_pci vpci;
	/* options */
	struct disk_config config;
	char *serial;
	uint32_t queues; /* 0: one for each vCPU, at most VIRTIO_SCSI_QUEUES_MAX */

	struct disk_user user;
	struct disk *disk;
	struct scsi_unit unit;
	uint32_t sense_size, cdb_size; /* what the driver wrote */
	bool aborting;		       /* what fails now was aborted by the driver */
	uint64_t resetting;	       /* a bit for each queue that is reset alone */
	struct virtio_scsi_req *again; /* others' requests that its drain ended */
	uint64_t answered;	       /* a bit for each queue that has buffers to signal */
	struct virtq_elem control;
	struct virtio_scsi_req
		*reqs; /* as many as can be in flight: nothing is allocated for one */
	size_t reqs_used;
	struct virtio_scsi_req *free; /* of those used before */
	struct iovec *iovs;	      /* theirs */
	size_t iovs_size;
};

extern const struct dev_class scsi_disk_class, scsi_cd_class;

#endif
