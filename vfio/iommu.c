// SPDX-License-Identifier: GPL-2.0-or-later
#include "iommu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/io.h"
#include "base/log.h"
#include "base/util.h"
#include "memlock.h"
#include "sriov/use.h"
#include "vmm/kvm_sys.h"
#include "vmm/vm.h"

/* Linux 6.6 renamed these, with the same values, when they began to take device descriptors. */
#ifndef KVM_DEV_VFIO_FILE
#define KVM_DEV_VFIO_FILE KVM_DEV_VFIO_GROUP
#define KVM_DEV_VFIO_FILE_ADD KVM_DEV_VFIO_GROUP_ADD
#define KVM_DEV_VFIO_FILE_DEL KVM_DEV_VFIO_GROUP_DEL
#endif

static int iommu_listener_map(void *opaque, iova_t iova, uint64_t size, void *hva, bool ram,
			      struct err *err)
{
	struct iommu *iommu = opaque;
	int ret = iommu->ops->map(iommu, iova, size, hva);

	if (!ret)
		return 0;
	if (ram && ret == -ENOMEM)
		return memlock_error(iommu->vm, iommu->ops, err);
	/* A map that fails is no reason to take another device in this one's place. */
	if (ret == -ENODEV)
		ret = -EIO;
	err_sys(err, ret, "%s: mapping 0x%llx bytes of %s at 0x%llx for DMA", iommu->ops->name,
		(unsigned long long)size, ram ? "guest memory" : "a BAR",
		(unsigned long long)iova);
	if (ret == -ENOSPC)
		err_append(err, "; raise the module parameter vfio_iommu_type1.dma_entry_limit");
	else if (ret == -EINVAL && ram)
		err_append(err, "; the host's IOMMU reserves some of these addresses (see "
				"/sys/kernel/iommu_groups/*/reserved_regions)");
	return ret;
}

static void iommu_listener_unmap(void *opaque, iova_t iova, uint64_t size)
{
	struct iommu *iommu = opaque;
	int ret;

	/* The last function is going: the kernel drops all mappings at once. */
	if (!iommu->listening)
		return;
	ret = iommu->ops->unmap(iommu, iova, size);
	if (ret)
		log_line(iommu->vm->log, LOG_ERROR, "%s: unmapping 0x%llx bytes at 0x%llx: %s",
			 iommu->ops->name, (unsigned long long)size, (unsigned long long)iova,
			 strerror(-ret));
}

static int kvm_vfio_attr(struct vm *vm, uint64_t attr, int fd)
{
	int32_t value = fd;
	struct kvm_device_attr arg = {
		.group = KVM_DEV_VFIO_FILE,
		.attr = attr,
		.addr = (uintptr_t)&value,
	};
	int ret = kvm_ioctl(vm->kvm_vfio_fd, KVM_SET_DEVICE_ATTR, &arg);

	return ret < 0 ? ret : 0;
}

int iommu_kvm_add(struct iommu *iommu, int fd, struct err *err)
{
	struct kvm_create_device create = { .type = KVM_DEV_TYPE_VFIO };
	struct vm *vm = iommu->vm;
	int ret;

	if (vm->fd < 0)
		return 0;
	if (vm->kvm_vfio_fd < 0) {
		ret = kvm_ioctl(vm->fd, KVM_CREATE_DEVICE, &create);
		if (ret < 0) {
			log_line(vm->log, LOG_WARN,
				 "KVM has no VFIO device (%s): DMA that does not snoop caches may "
				 "not work", strerror(-ret));
			return 0;
		}
		vm->kvm_vfio_fd = (int)create.fd;
	}
	ret = kvm_vfio_attr(vm, KVM_DEV_VFIO_FILE_ADD, fd);
	return ret ? err_sys(err, ret, "KVM does not take the VFIO descriptor") : 0;
}

void iommu_kvm_del(struct iommu *iommu, int fd)
{
	struct vm *vm = iommu->vm;
	int ret;

	if (vm->fd < 0 || vm->kvm_vfio_fd < 0)
		return;
	ret = kvm_vfio_attr(vm, KVM_DEV_VFIO_FILE_DEL, fd);
	if (ret)
		log_line(vm->log, LOG_WARN, "KVM does not give a VFIO descriptor back: %s",
			 strerror(-ret));
}

/* " (pid 123 viaduct)", or "" when the holder cannot be seen. */
static void node_holder(const struct host *host, const char *node, char *buf, size_t size)
{
	char comm[HOST_NAME_MAX];
	pid_t pid = use_node_holder(host, node, comm);

	buf[0] = '\0';
	if (pid)
		snprintf(buf, size, " (pid %d%s%s)", (int)pid, *comm ? " " : "", comm);
}

int iommu_open_error(const struct iommu_dev *dev, int code, const char *node, struct err *err)
{
	char holder[HOST_NAME_MAX + 32];

	switch (code) {
	case -EBUSY:
		node_holder(dev->host, node, holder, sizeof(holder));
		return err_set(err, -ENODEV,
			       "%s: group %d is in use by another process%s; end that, or choose "
			       "another function", dev->name, dev->group, holder);
	case -EACCES:
	case -EPERM:
		return err_set(err, -ENODEV,
			       "%s: no permission for /dev/%s; run as root or give the node to "
			       "this user", dev->name, node);
	case -ENOENT:
	case -ENXIO:
	case -ENODEV:
		return err_set(err, -ENODEV,
			       "%s: there is no /dev/%s; load the modules: modprobe vfio-pci, and "
			       "modprobe vfio_iommu_type1", dev->name, node);
	default:
		return err_sys(err, code, "%s: opening /dev/%s", dev->name, node);
	}
}

static void iommu_free(struct vm *vm)
{
	struct iommu *iommu = vm->iommu;

	if (!iommu)
		return;
	while (iommu->devs)
		iommu_detach(vm, iommu->devs);
	fd_close(&vm->kvm_vfio_fd);
	free(iommu);
	vm->iommu = NULL;
}

static struct iommu *iommu_get(struct vm *vm, const struct iommu_ops *ops)
{
	struct iommu *iommu = vm->iommu;

	if (iommu)
		return iommu;
	iommu = calloc(1, sizeof(*iommu));
	if (!iommu)
		return NULL;
	iommu->ops = ops;
	iommu->vm = vm;
	iommu->fd = -1;
	iommu->listener.map = iommu_listener_map;
	iommu->listener.unmap = iommu_listener_unmap;
	iommu->listener.opaque = iommu;
	vm->iommu = iommu;
	vm->iommu_free = iommu_free;
	return iommu;
}

bool iommu_has(const struct vm *vm, const struct pci_addr *addr)
{
	const struct iommu *iommu = vm->iommu;
	const struct iommu_dev *dev;

	for (dev = iommu ? iommu->devs : NULL; dev; dev = dev->next) {
		if (pci_addr_eq(&dev->addr, addr))
			return true;
	}
	return false;
}

bool iommu_has_group(const struct vm *vm, int group)
{
	const struct iommu *iommu = vm->iommu;
	const struct iommu_dev *dev;

	for (dev = iommu ? iommu->devs : NULL; dev; dev = dev->next) {
		if (dev->group == group)
			return true;
	}
	return false;
}

int iommu_attach(struct vm *vm, const struct iommu_ops *ops, struct iommu_dev *dev, struct err *err)
{
	struct iommu *iommu = iommu_get(vm, ops);
	int ret;

	dev->fd = -1;
	pci_addr_str(&dev->addr, dev->name);
	if (!iommu)
		return err_sys(err, -ENOMEM, "%s", dev->name);
	if (iommu_has(vm, &dev->addr))
		return err_set(err, -EEXIST, "%s: this guest has this function already", dev->name);
	if (!iommu->listening) {
		ret = memlock_check(vm, iommu->ops, dev, err);
		if (ret)
			return ret;
	}
	ret = iommu->ops->attach(iommu, dev, err);
	if (ret)
		return ret;
	dev->next = iommu->devs;
	iommu->devs = dev;
	if (iommu->listening)
		return 0;
	/* Before the call: what it has to take back when it fails is really unmapped. */
	iommu->listening = true;
	ret = mem_listener_add(&vm->mem, &iommu->listener, err);
	if (!ret)
		return 0;
	iommu->listening = false;
	iommu->devs = dev->next;
	iommu->ops->detach(iommu, dev);
	err_prefix(err, "%s", dev->name);
	return ret;
}

void iommu_detach(struct vm *vm, struct iommu_dev *dev)
{
	struct iommu *iommu = vm->iommu;
	struct iommu_dev **p;

	if (!iommu)
		return;
	for (p = &iommu->devs; *p && *p != dev; p = &(*p)->next)
		;
	if (!*p)
		return;
	*p = dev->next;
	if (!iommu->devs) {
		iommu->listening = false;
		mem_listener_del(&vm->mem, &iommu->listener);
	}
	iommu->ops->detach(iommu, dev);
}

int iommu_hot_reset(struct vm *vm, struct iommu_dev *dev,
		    const struct vfio_pci_hot_reset_info *info)
{
	struct iommu *iommu = vm->iommu;

	return iommu ? iommu->ops->hot_reset(iommu, dev, info) : -ENODEV;
}
