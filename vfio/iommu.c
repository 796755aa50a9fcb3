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
#include "vfio_sys.h"
#include "vmm/kvm_sys.h"
#include "vmm/vm.h"

/* Linux 6.6 renamed these, with the same values, when they began to take device descriptors. */
#ifndef KVM_DEV_VFIO_FILE
#define KVM_DEV_VFIO_FILE KVM_DEV_VFIO_GROUP
#define KVM_DEV_VFIO_FILE_ADD KVM_DEV_VFIO_GROUP_ADD
#define KVM_DEV_VFIO_FILE_DEL KVM_DEV_VFIO_GROUP_DEL
#endif

static const struct iommu_ops *const rows[] = { &iommu_type1, &iommu_iommufd };

int iommu_row(const char *name, const struct iommu_ops **ret_ops, struct err *err)
{
	char shown[HOST_NAME_MAX];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!strcmp(rows[i]->name, name)) {
			*ret_ops = rows[i];
			return 0;
		}
	}
	err_set(err, -EINVAL, "iommu=%s: there is", host_printable(name, shown, sizeof(shown)));
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		err_append(err, "%s %s", i ? " and" : "", rows[i]->name);
	return -EINVAL;
}

/* A row that pins pages takes no BAR. A guest with one function has no peer that could miss it. */
static void no_bars(struct iommu *iommu)
{
	iommu->no_bars = true;
	if (iommu->no_bars_told || !iommu->devs || !iommu->devs->next)
		return;
	iommu->no_bars_told = true;
	log_line(iommu->vm->log, LOG_WARN,
		 "%s maps no BARs for DMA on this kernel: no peer to peer between this guest's "
		 "functions (iommu=type1 has it)",
		 iommu->ops->name);
}

static int iommu_listener_map(void *opaque, iova_t iova, uint64_t size, void *hva, bool ram,
			      struct err *err)
{
	struct iommu *iommu = opaque;
	int ret = !ram && iommu->no_bars ? -EFAULT : iommu->ops->map(iommu, iova, size, hva);

	if (!ret)
		return 0;
	if (!ram && ret == -EFAULT && iommu->ops->pins_bars) {
		no_bars(iommu);
		return 0;
	}
	if (ram && ret == -ENOMEM)
		return memlock_error(iommu->vm, iommu->ops, err);
	/* A map that fails is no reason to take another device in this one's place. */
	if (ret == -ENODEV)
		ret = -EIO;
	err_sys(err, ret, "%s: mapping 0x%llx bytes of %s at 0x%llx for DMA", iommu->ops->name,
		(unsigned long long)size, ram ? "guest memory" : "a BAR", (unsigned long long)iova);
	if (ret == -ENOSPC && iommu->ops->no_entry)
		err_append(err, "; %s", iommu->ops->no_entry);
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
				 "not work",
				 strerror(-ret));
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

int iommu_busy_error(const struct iommu_dev *dev, const char *node, struct err *err)
{
	char holder[HOST_NAME_MAX + 32];

	node_holder(dev->host, node, holder, sizeof(holder));
	return err_set(err, -ENODEV,
		       "%s: group %d is in use by another process%s; end that, or choose another "
		       "function",
		       dev->name, dev->group, holder);
}

int iommu_unsafe_error(const struct iommu_dev *dev, const char *module, struct err *err)
{
	return err_set(err, -ENODEV,
		       "%s: the host's IOMMU does not remap interrupts, so a guest could forge "
		       "them; turn interrupt remapping on in the firmware, or accept that: "
		       "modprobe %s allow_unsafe_interrupts=1",
		       dev->name, module);
}

static int open_error(const struct iommu_ops *ops, const struct iommu_dev *dev, int code,
		      const char *node, struct err *err)
{
	switch (code) {
	case -EBUSY:
		return iommu_busy_error(dev, node, err);
	case -EACCES:
	case -EPERM:
		return err_set(err, -ENODEV,
			       "%s: no permission for /dev/%s; run as root or give the node to "
			       "this user",
			       dev->name, node);
	case -ENOENT:
	case -ENXIO:
	case -ENODEV:
		return err_set(err, -ENODEV,
			       "%s: there is no /dev/%s; load the modules: modprobe vfio-pci, and "
			       "modprobe %s",
			       dev->name, node, ops->module);
	default:
		return err_sys(err, code, "%s: opening /dev/%s", dev->name, node);
	}
}

int iommu_node_open(const struct iommu_ops *ops, const struct iommu_dev *dev, const char *node,
		    struct err *err)
{
	char path[HOST_PATH_MAX];
	int ret = host_path(path, dev->host->dev_root, "%s", node);

	if (!ret)
		ret = vfio_sys_open(path);
	return ret < 0 ? open_error(ops, dev, ret, node, err) : ret;
}

int iommu_node_try(const struct iommu_ops *ops, const struct iommu_dev *dev, const char *node,
		   struct err *err)
{
	char path[HOST_PATH_MAX];
	int ret = host_path(path, dev->host->dev_root, "%s", node);

	if (!ret)
		ret = dev->host->ops->node_try(dev->host, path, 0);
	return ret ? open_error(ops, dev, ret, node, err) : 0;
}

int iommu_ctl_open(struct iommu *iommu, struct iommu_dev *dev, enum iommu_given_kind kind,
		   const char *node, struct err *err)
{
	int given = iommu_given(dev, kind), fd;

	if (iommu->fd >= 0 && given && given != iommu->fd)
		return err_set(err, -EINVAL,
			       "%s: this guest has a /dev/%s already, descriptor %d; give that or "
			       "none",
			       dev->name, node, iommu->fd);
	if (iommu->fd >= 0)
		return 0;
	fd = iommu_given_take(dev, kind);
	iommu->fd_given = fd >= 0;
	if (fd < 0)
		fd = iommu_node_open(iommu->ops, dev, node, err);
	if (fd < 0)
		return fd;
	iommu->fd = fd;
	return 0;
}

void iommu_ctl_close(struct iommu *iommu)
{
	if (iommu->fd >= 0)
		vfio_sys_close(iommu->fd);
	iommu->fd = -1;
}

static void iommu_free(struct vm *vm)
{
	struct iommu *iommu = vm->iommu;

	if (!iommu)
		return;
	iommu_ahead_done(vm);
	while (iommu->devs)
		iommu_detach(vm, iommu->devs);
	fd_close(&vm->kvm_vfio_fd);
	free(iommu);
	vm->iommu = NULL;
}

struct iommu *iommu_get(struct vm *vm)
{
	struct iommu *iommu = vm->iommu;

	if (iommu)
		return iommu;
	iommu = calloc(1, sizeof(*iommu));
	if (!iommu)
		return NULL;
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

static int attach_mapped(struct iommu *iommu, struct iommu_dev *dev, struct err *err)
{
	int ret = iommu_ahead_take(iommu, dev) ? 0 : iommu->ops->attach(iommu, dev, err);

	if (ret)
		return ret;
	dev->next = iommu->devs;
	iommu->devs = dev;
	if (iommu->listening)
		return 0;
	/* Before the call: what it has to take back when it fails is really unmapped. */
	iommu->listening = true;
	ret = mem_listener_add(&iommu->vm->mem, &iommu->listener, err);
	if (!ret)
		return 0;
	iommu->listening = false;
	iommu->devs = dev->next;
	iommu->ops->detach(iommu, dev);
	err_prefix(err, "%s", dev->name);
	return ret;
}

static int probe_by(struct vm *vm, const struct iommu_ops *ops, struct iommu_dev *dev,
		    struct err *err)
{
	int ret = ops->probe(dev, err);

	dev->by = ops;
	return ret ? ret : memlock_check(vm, ops, dev, err);
}

static int attach_by(struct vm *vm, const struct iommu_ops *ops, struct iommu_dev *dev,
		     struct err *err)
{
	struct iommu *iommu = iommu_get(vm);
	int ret;

	if (!iommu)
		return err_sys(err, -ENOMEM, "%s", dev->name);
	/* A limit stops the guest, but only where the function is to be had at all. */
	if (!iommu->listening && memlock_check(vm, ops, dev, NULL)) {
		ret = probe_by(vm, ops, dev, err);
		if (ret)
			return ret;
	}
	/* Another row has its own way to the functions. */
	if (iommu->ahead && ops != iommu->ops)
		iommu_ahead_done(vm);
	dev->by = iommu->ops = ops;
	iommu->no_bars = false;
	return attach_mapped(iommu, dev, err);
}

typedef int try_fn(struct vm *vm, const struct iommu_ops *ops, struct iommu_dev *dev,
		   struct err *err);

/* -ENODEV alone moves along the row, as it does for the roles of devices. The reason begins with
 * the first row's and names each further one that was passed over. */
static int walk(struct vm *vm, struct iommu_dev *dev, try_fn *try, struct err *err)
{
	struct err reason = { 0 }, next = { 0 };
	unsigned int i;
	int ret = try(vm, rows[0], dev, &reason);

	for (i = 1; i < ARRAY_SIZE(rows) && ret == -ENODEV; i++) {
		if (!rows[i]->here(dev))
			continue;
		ret = try(vm, rows[i], dev, &next);
		if (!ret)
			log_line(vm->log, LOG_INFO, "%s: by %s, for %s is not to be had: %s",
				 dev->name, rows[i]->name, rows[0]->name, reason.msg);
		else if (ret != -ENODEV)
			reason = next;
		else
			err_append(&reason, "; and by %s: %s", rows[i]->name, next.msg);
	}
	if (ret && err)
		*err = reason;
	return ret;
}

static int choose(struct vm *vm, const struct iommu_ops *has, const struct iommu_ops *ops,
		  struct iommu_dev *dev, try_fn *try, struct err *err)
{
	if (has && ops && ops != has)
		return err_set(err, -EINVAL,
			       "%s: this guest's functions go by %s, and a guest has one back end; "
			       "give all of them iommu=%s, or all iommu=%s",
			       dev->name, has->name, ops->name, has->name);
	if (has || ops)
		return try(vm, has ? has : ops, dev, err);
	return walk(vm, dev, try, err);
}

int iommu_attach(struct vm *vm, const struct iommu_ops *ops, struct iommu_dev *dev, struct err *err)
{
	const struct iommu *iommu = vm->iommu;
	int ret;

	dev->fd = -1;
	pci_addr_str(&dev->addr, dev->name);
	if (iommu_has(vm, &dev->addr))
		ret = err_set(err, -EEXIST, "%s: this guest has this function already", dev->name);
	else
		ret = choose(vm, iommu && iommu->devs ? iommu->ops : NULL, ops, dev, attach_by,
			     err);
	iommu_given_close(dev);
	return ret;
}

int iommu_probe(struct vm *vm, const struct iommu_ops *has, const struct iommu_ops *ops,
		struct iommu_dev *dev, struct err *err)
{
	const struct iommu *iommu = vm->iommu;

	/* Another function of that group is in this guest: the node is open already. */
	if (iommu_has_group(vm, dev->group)) {
		dev->by = iommu->ops;
		return 0;
	}
	return choose(vm, has, ops, dev, probe_by, err);
}

void iommu_detach(struct vm *vm, struct iommu_dev *dev)
{
	struct iommu *iommu = vm->iommu;
	struct iommu_dev **p;

	iommu_given_close(dev);
	if (!iommu)
		return;
	for (p = &iommu->devs; *p && *p != dev; p = &(*p)->next)
		;
	if (!*p)
		return;
	*p = dev->next;
	if (!iommu->devs) {
		/* Their groups would keep the mappings, which the next to attach makes anew. */
		iommu_ahead_done(vm);
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
