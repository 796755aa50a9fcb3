/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waiting for functions to appear. Most drivers have made their VFs when the write to sriov_numvfs
 * returns, some make them later. The kernel announces each (uevent, subsystem pci), which is heard
 * through libudev straight from the kernel, for no udevd need run. Where nothing can be heard, as in
 * a container with a network namespace of its own, time is all that passes between two looks.
 */
#ifndef VIADUCT_SRIOV_VF_WAIT_H
#define VIADUCT_SRIOV_VF_WAIT_H

struct vf_wait;

/* Begins to listen: what is announced from now on ends a vf_wait_next(). NULL where nothing can be
 * heard, which the other two functions take as well. */
struct vf_wait *vf_wait_new(void);
void vf_wait_free(struct vf_wait *wait);

/* Returns when something was announced, or after @max_ms. */
void vf_wait_next(struct vf_wait *wait, unsigned int max_ms);

#endif
