// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_kvm.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "base/util.h"
#include "vmm/kvm_sys.h"

#define ROOM 4096
#define MESSAGES 65536

static struct {
	struct kvm_userspace_memory_region slots[ROOM];
	struct kvm_irqfd irqfds[ROOM];
	unsigned int irqfd_count;
	struct kvm_ioeventfd doorbells[ROOM];
	unsigned int doorbell_count;
	struct kvm_irq_routing_entry routes[ROOM];
	unsigned int route_count;
	unsigned long requests[ROOM];
	unsigned int request_count[ROOM];
	unsigned int total;
	unsigned long fail_request;
	unsigned int fail_nth;
	int fail_error;
	int vfio_files;
	unsigned int messages[MESSAGES]; /* that reached the guest, by data */
} kvm;

/* vCPU threads and the loop come here at the same time. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void fake_kvm_reset(void)
{
	memset(&kvm, 0, sizeof(kvm));
}

unsigned int fake_kvm_count(unsigned long request)
{
	unsigned int i;

	if (!request)
		return kvm.total;
	for (i = 0; i < ROOM && kvm.requests[i]; i++)
		if (kvm.requests[i] == request)
			return kvm.request_count[i];
	return 0;
}

void fake_kvm_fail(unsigned long request, unsigned int nth, int error)
{
	kvm.fail_request = request;
	kvm.fail_nth = nth;
	kvm.fail_error = error;
}

static int count(unsigned long request)
{
	unsigned int i;

	for (i = 0; i < ROOM - 1 && kvm.requests[i] && kvm.requests[i] != request; i++)
		;
	kvm.requests[i] = request;
	kvm.request_count[i]++;
	kvm.total++;
	if (!kvm.fail_nth || (kvm.fail_request && kvm.fail_request != request))
		return 0;
	return --kvm.fail_nth ? 0 : -kvm.fail_error;
}

const struct kvm_userspace_memory_region *fake_kvm_slot(__u64 gpa)
{
	unsigned int i;

	for (i = 0; i < ROOM; i++)
		if (gpa - kvm.slots[i].guest_phys_addr < kvm.slots[i].memory_size)
			return &kvm.slots[i];
	return NULL;
}

unsigned int fake_kvm_slots(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < ROOM; i++)
		n += kvm.slots[i].memory_size != 0;
	return n;
}

static int set_slot(const struct kvm_userspace_memory_region *r)
{
	unsigned int i;

	if (r->slot >= ROOM)
		return -EINVAL;
	for (i = 0; i < ROOM && r->memory_size; i++)
		if (i != r->slot &&
		    span_overlaps(kvm.slots[i].guest_phys_addr, kvm.slots[i].memory_size,
				  r->guest_phys_addr, r->memory_size))
			return -EEXIST;
	kvm.slots[r->slot] = *r;
	return 0;
}

static struct kvm_irqfd *find_irqfd(int fd)
{
	unsigned int i;

	for (i = 0; i < kvm.irqfd_count; i++)
		if ((int)kvm.irqfds[i].fd == fd)
			return &kvm.irqfds[i];
	return NULL;
}

int fake_kvm_irqfd(int fd)
{
	const struct kvm_irqfd *irqfd = find_irqfd(fd);

	return irqfd ? (int)irqfd->gsi : -1;
}

int fake_kvm_resample(int fd)
{
	const struct kvm_irqfd *irqfd = find_irqfd(fd);

	return irqfd && (irqfd->flags & KVM_IRQFD_FLAG_RESAMPLE) ? (int)irqfd->resamplefd : -1;
}

unsigned int fake_kvm_irqfds(void)
{
	return kvm.irqfd_count;
}

static void message(uint32_t addr, uint32_t data)
{
	if ((addr & ~0xfffffu) == 0xfee00000u)
		kvm.messages[data % MESSAGES]++;
}

/* What the descriptor has counted since KVM looked goes the way of its route, as one message. */
static void deliver(const struct kvm_irqfd *irqfd)
{
	const struct kvm_irq_routing_msi *route = fake_kvm_route(irqfd->gsi);

	if (route && io_eventfd_drain((int)irqfd->fd))
		message(route->address_lo, route->data);
}

static void deliver_all(void)
{
	unsigned int i;

	for (i = 0; i < kvm.irqfd_count; i++)
		deliver(&kvm.irqfds[i]);
}

unsigned int fake_kvm_messages(uint32_t data)
{
	unsigned int n;

	pthread_mutex_lock(&lock);
	deliver_all();
	n = kvm.messages[data % MESSAGES];
	pthread_mutex_unlock(&lock);
	return n;
}

static int signal_msi(const struct kvm_msi *msi)
{
	message(msi->address_lo, msi->data);
	return 1;
}

static int set_irqfd(const struct kvm_irqfd *arg)
{
	struct kvm_irqfd *irqfd = find_irqfd((int)arg->fd);

	if (arg->flags & KVM_IRQFD_FLAG_DEASSIGN) {
		if (irqfd)
			deliver(irqfd);
		if (irqfd)
			*irqfd = kvm.irqfds[--kvm.irqfd_count];
		return 0;
	}
	if (irqfd)
		return -EBUSY;
	kvm.irqfds[kvm.irqfd_count++] = *arg;
	return 0;
}

const struct kvm_irq_routing_msi *fake_kvm_route(unsigned int gsi)
{
	unsigned int i;

	for (i = 0; i < kvm.route_count; i++)
		if (kvm.routes[i].gsi == gsi && kvm.routes[i].type == KVM_IRQ_ROUTING_MSI)
			return &kvm.routes[i].u.msi;
	return NULL;
}

static struct kvm_ioeventfd *find_doorbell(const struct kvm_ioeventfd *arg)
{
	unsigned int i;

	for (i = 0; i < kvm.doorbell_count; i++) {
		struct kvm_ioeventfd *d = &kvm.doorbells[i];

		if (d->addr == arg->addr && d->datamatch == arg->datamatch && d->len == arg->len &&
		    !((d->flags ^ arg->flags) & KVM_IOEVENTFD_FLAG_PIO))
			return d;
	}
	return NULL;
}

static int set_doorbell(const struct kvm_ioeventfd *arg)
{
	struct kvm_ioeventfd *d = find_doorbell(arg);

	if (arg->flags & KVM_IOEVENTFD_FLAG_DEASSIGN) {
		if (!d)
			return -ENOENT;
		*d = kvm.doorbells[--kvm.doorbell_count];
		return 0;
	}
	if (d)
		return -EEXIST;
	kvm.doorbells[kvm.doorbell_count++] = *arg;
	return 0;
}

int fake_kvm_doorbell(__u64 addr, bool pio)
{
	unsigned int i;

	for (i = 0; i < kvm.doorbell_count; i++)
		if (kvm.doorbells[i].addr == addr &&
		    !!(kvm.doorbells[i].flags & KVM_IOEVENTFD_FLAG_PIO) == pio)
			return kvm.doorbells[i].fd;
	return -1;
}

int fake_kvm_doorbell_of(__u64 addr, bool pio, __u64 value)
{
	const __u32 flags = KVM_IOEVENTFD_FLAG_DATAMATCH | (pio ? KVM_IOEVENTFD_FLAG_PIO : 0);
	unsigned int i;

	for (i = 0; i < kvm.doorbell_count; i++)
		if (kvm.doorbells[i].addr == addr && kvm.doorbells[i].flags == flags &&
		    kvm.doorbells[i].datamatch == value)
			return kvm.doorbells[i].fd;
	return -1;
}

unsigned int fake_kvm_doorbells(void)
{
	return kvm.doorbell_count;
}

int fake_kvm_vfio_files(void)
{
	return kvm.vfio_files;
}

static int set_device_attr(const struct kvm_device_attr *attr)
{
	if (attr->group != KVM_DEV_VFIO_GROUP)
		return -ENXIO;
	kvm.vfio_files += attr->attr == KVM_DEV_VFIO_GROUP_ADD ? 1 : -1;
	return 0;
}

static int set_routes(const struct kvm_irq_routing *table)
{
	unsigned int i;

	if (table->nr > ROOM)
		return -EINVAL;
	for (i = 0; i < table->nr; i++)
		if (table->entries[i].gsi >= ROOM)
			return -EINVAL;
	/* What came before takes the old routes. */
	deliver_all();
	memcpy(kvm.routes, table->entries, table->nr * sizeof(kvm.routes[0]));
	kvm.route_count = table->nr;
	return 0;
}

static int vm_ioctl(unsigned long request, void *arg)
{
	int ret = count(request);

	if (ret)
		return ret;
	switch (request) {
	case KVM_SET_USER_MEMORY_REGION:
		return set_slot(arg);
	case KVM_IRQFD:
		return set_irqfd(arg);
	case KVM_IOEVENTFD:
		return set_doorbell(arg);
	case KVM_SET_GSI_ROUTING:
		return set_routes(arg);
	case KVM_SIGNAL_MSI:
		return signal_msi(arg);
	case KVM_CREATE_DEVICE:
		/* A real descriptor, for its owner closes it. */
		((struct kvm_create_device *)arg)->fd =
			(__u32)memfd_create("fake-kvm", MFD_CLOEXEC);
		return 0;
	case KVM_SET_DEVICE_ATTR:
		return set_device_attr(arg);
	default:
		return 0;
	}
}

int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	(void)fd;
	pthread_mutex_lock(&lock);
	ret = vm_ioctl(request, arg);
	pthread_mutex_unlock(&lock);
	return ret;
}

int kvm_ioctl_val(int fd, unsigned long request, unsigned long arg)
{
	int ret;

	(void)fd;
	pthread_mutex_lock(&lock);
	ret = count(request);
	pthread_mutex_unlock(&lock);
	if (ret)
		return ret;
	if (request == KVM_CHECK_EXTENSION)
		return arg == KVM_CAP_IRQ_ROUTING ? 4096 : arg == KVM_CAP_MAX_VCPUS ? 1024 : 1;
	if (request == KVM_GET_API_VERSION)
		return KVM_API_VERSION;
	return 0;
}

int kvm_open(const char *path)
{
	int ret = count(1);

	(void)path;
	return ret ? ret : FAKE_KVM_FD;
}

void *kvm_mmap(int fd, size_t size)
{
	(void)fd;
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
