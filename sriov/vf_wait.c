// SPDX-License-Identifier: GPL-2.0-or-later
#include "vf_wait.h"

#include <libudev.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

struct vf_wait {
	struct udev *udev;
	struct udev_monitor *monitor;
};

struct vf_wait *vf_wait_new(void)
{
	struct vf_wait *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->udev = udev_new();
	w->monitor = w->udev ? udev_monitor_new_from_netlink(w->udev, "kernel") : NULL;
	if (w->monitor &&
	    udev_monitor_filter_add_match_subsystem_devtype(w->monitor, "pci", NULL) >= 0 &&
	    udev_monitor_enable_receiving(w->monitor) >= 0)
		return w;
	vf_wait_free(w);
	return NULL;
}

void vf_wait_free(struct vf_wait *w)
{
	if (!w)
		return;
	udev_monitor_unref(w->monitor);
	udev_unref(w->udev);
	free(w);
}

void vf_wait_next(struct vf_wait *w, unsigned int max_ms)
{
	const struct timespec nap = { .tv_sec = max_ms / 1000,
				      .tv_nsec = (long)(max_ms % 1000) * 1000000 };
	struct udev_device *dev;
	struct pollfd p;

	if (!w) {
		nanosleep(&nap, NULL);
		return;
	}
	p = (struct pollfd){ .fd = udev_monitor_get_fd(w->monitor), .events = POLLIN };
	if (poll(&p, 1, (int)max_ms) <= 0)
		return;
	/* All that is queued: one look at sysfs answers for all of them. */
	while ((dev = udev_monitor_receive_device(w->monitor)))
		udev_device_unref(dev);
}
