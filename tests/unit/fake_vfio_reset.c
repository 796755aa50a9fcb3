// SPDX-License-Identifier: GPL-2.0-or-later
/* Resets of the fake VFIO: a function alone, and a bus with all that the fake has on it. */
#include "fake_vfio_priv.h"

#include <errno.h>
#include <string.h>

#include "sriov/pci_addr.h"

/* The group behind a descriptor, -1 for one of another kind. */
static int group_of(int fd)
{
	const struct fake_file *file = fake_vfio_file(fd);

	return file->kind == FAKE_GROUP ? file->group : -1;
}

static void done(struct fake_vdev *dev)
{
	dev->dead = dev->dies || dev->wake_after;
}

/* The functions that share the bus of @dev: those behind the same bus number. */
static struct fake_vdev *on_bus(const struct fake_vdev *dev, unsigned int *i, struct pci_addr *addr)
{
	struct pci_addr own;
	struct fake_vdev *other;

	pci_addr_parse(dev->name, &own);
	while (*i < fake_vfio.dev_count) {
		other = fake_vfio.devs[(*i)++];
		if (!pci_addr_parse(other->name, addr) && addr->domain == own.domain &&
		    addr->bus == own.bus)
			return other;
	}
	return NULL;
}

static int hot_info(struct fake_vdev *dev, struct vfio_pci_hot_reset_info *info)
{
	uint32_t room = (info->argsz - sizeof(*info)) / sizeof(info->devices[0]);
	struct fake_vdev *other;
	struct pci_addr addr;
	unsigned int i = 0;

	if (!dev->bus_reset)
		return -ENODEV;
	for (info->count = 0; (other = on_bus(dev, &i, &addr)); info->count++) {
		if (info->count < room)
			info->devices[info->count] = (struct vfio_pci_dependent_device){
				.group_id = (uint32_t)other->group,
				.segment = (uint16_t)addr.domain,
				.bus = addr.bus,
				.devfn = (uint8_t)(addr.dev << 3 | addr.fn),
			};
	}
	return info->count > room ? -ENOSPC : 0;
}

/* The kernel wants every group that it touches, and no more descriptors than functions. */
static int hot_reset(struct fake_vdev *dev, const struct vfio_pci_hot_reset *reset)
{
	struct fake_vdev *other;
	struct pci_addr addr;
	unsigned int i, n = 0;
	uint32_t g;

	if (!dev->bus_reset)
		return -ENODEV;
	for (i = 0; (other = on_bus(dev, &i, &addr)); n++) {
		if (!reset->count && fake_cdev_owned(other, dev))
			continue;
		for (g = 0; g < reset->count && group_of(reset->group_fds[g]) != other->group; g++)
			;
		if (g == reset->count)
			return -EINVAL;
	}
	if (reset->count > n)
		return -EINVAL;
	for (i = 0; (other = on_bus(dev, &i, &addr));) {
		other->bus_resets++;
		done(other);
	}
	return 0;
}

int fake_vdev_reset(struct fake_vdev *dev, unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_DEVICE_RESET:
		if (!(dev->flags & VFIO_DEVICE_FLAGS_RESET))
			return -EINVAL;
		if (dev->busy && dev->busy--)
			return -EAGAIN;
		dev->resets++;
		done(dev);
		return 0;
	case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
		return hot_info(dev, arg);
	case VFIO_DEVICE_PCI_HOT_RESET:
		return hot_reset(dev, arg);
	default:
		return -ENOTTY;
	}
}
