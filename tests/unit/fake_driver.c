// SPDX-License-Identifier: GPL-2.0-or-later
#include "fake_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "base/io.h"
#include "base/util.h"
#include "fake_kvm.h"

static void log_sink(void *opaque, enum log_level level, const char *line)
{
	struct guest *g = opaque;

	(void)level;
	pthread_mutex_lock(&g->log_lock);
	if (g->line_count < GUEST_LOG_LINES)
		snprintf(g->lines[g->line_count++], sizeof(g->lines[0]), "%s", line);
	pthread_mutex_unlock(&g->log_lock);
}

bool guest_logged(struct guest *g, const char *text)
{
	bool found = false;
	unsigned int i;

	pthread_mutex_lock(&g->log_lock);
	for (i = 0; i < g->line_count && !found; i++)
		found = strstr(g->lines[i], text);
	pthread_mutex_unlock(&g->log_lock);
	return found;
}

static void synced(void *opaque, uint32_t events)
{
	struct guest *g = opaque;

	(void)events;
	pthread_mutex_lock(&g->sync_lock);
	g->rounds += io_eventfd_drain(g->sync_fd);
	pthread_cond_signal(&g->sync_cond);
	pthread_mutex_unlock(&g->sync_lock);
}

static struct guest *guest_new_with(uint64_t memory, bool share)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct vm *vm = calloc(1, sizeof(*vm));
	struct err err = { 0 };

	assert_non_null(g);
	assert_non_null(vm);
	fake_kvm_reset();
	pthread_mutex_init(&g->log_lock, NULL);
	g->log = (struct log){ .sink = log_sink, .opaque = g, .max = LOG_DEBUG };
	g->vm = vm;
	g->free = 0x10000;
	vm->config = (struct vm_config){ .name = "unit", .memory = memory, .cpus = 1,
					 .ram.share = share };
	vm->log = &g->log;
	vm->kvm_fd = FAKE_KVM_FD;
	vm->fd = FAKE_KVM_VM_FD;
	vm->kvm_vfio_fd = -1;
	pthread_mutex_init(&vm->run_lock, NULL);
	pthread_cond_init(&vm->run_cond, NULL);
	pthread_mutex_init(&vm->ring_lock, NULL);
	pthread_mutex_init(&vm->request_lock, NULL);
	if (loop_new(&vm->loop, &err) || mem_init(&vm->mem, vm, memory, &err) ||
	    bus_init(&vm->bus, vm) || irqs_init(&vm->irqs, vm, &err) ||
	    pci_root_new(vm, &vm->pci, &err))
		fail_msg("%s", err.msg);
	pthread_mutex_init(&g->sync_lock, NULL);
	pthread_cond_init(&g->sync_cond, NULL);
	g->sync_fd = io_eventfd_new();
	if (loop_watch_add(vm->loop, g->sync_fd, EPOLLIN, NULL, synced, g, &g->sync_watch, &err))
		fail_msg("%s", err.msg);
	return g;
}

struct guest *guest_new(uint64_t memory)
{
	return guest_new_with(memory, false);
}

struct guest *guest_new_shared(uint64_t memory)
{
	return guest_new_with(memory, true);
}

void guest_stop(struct guest *g)
{
	pthread_join(g->loop_thread, NULL);
	g->looping = false;
}

void guest_free(struct guest *g)
{
	if (g->looping) {
		loop_stop(g->vm->loop);
		pthread_join(g->loop_thread, NULL);
	}
	dev_remove_all(g->vm);
	loop_do_posted(g->vm->loop);
	loop_watch_del(g->sync_watch);
	close(g->sync_fd);
	pthread_cond_destroy(&g->sync_cond);
	pthread_mutex_destroy(&g->sync_lock);
	/* Not descriptors of this process: vm_free() must not close them. */
	g->vm->fd = g->vm->kvm_fd = -1;
	vm_free(g->vm);
	pthread_mutex_destroy(&g->log_lock);
	free(g);
}

int guest_try_device(struct guest *g, const struct dev_class *class, const char *spec,
		     struct dev **ret_dev, struct err *err)
{
	const struct dev_class *classes[] = { class, NULL };
	struct dev_role roles[] = { { .name = NULL } };
	struct dev_table table = { .classes = classes, .roles = roles };

	return dev_create(g->vm, &table, spec, false, ret_dev, err);
}

struct dev *guest_device(struct guest *g, const struct dev_class *class, const char *spec)
{
	struct dev *dev = NULL;
	struct err err = { 0 };

	if (guest_try_device(g, class, spec, &dev, &err))
		fail_msg("%s: %s", spec, err.msg);
	return dev;
}

static void *loop_main(void *opaque)
{
	struct guest *g = opaque;

	loop_run(g->vm->loop, NULL);
	return NULL;
}

void guest_start(struct guest *g)
{
	struct err err = { 0 };

	if (pci_root_place(g->vm->pci, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(pthread_create(&g->loop_thread, NULL, loop_main, g), 0);
	g->looping = true;
}

/* What was pending is in the same batch of epoll as the first round, or in one before. Posted work
 * would not do: the loop runs that without asking epoll. */
void guest_sync(struct guest *g)
{
	unsigned int i;
	uint64_t want;

	for (i = 0; i < 3; i++) {
		pthread_mutex_lock(&g->sync_lock);
		want = g->rounds + 1;
		io_eventfd_signal(g->sync_fd);
		while (g->rounds < want)
			pthread_cond_wait(&g->sync_cond, &g->sync_lock);
		pthread_mutex_unlock(&g->sync_lock);
	}
}

gpa_t guest_alloc(struct guest *g, uint64_t size, uint64_t align)
{
	gpa_t gpa = align_up(g->free, align);

	g->free = gpa + size;
	assert_true(g->free <= g->vm->mem.banks[0].size);
	return gpa;
}

void *guest_ptr(struct guest *g, gpa_t gpa, uint64_t size)
{
	void *p = mem_ptr(&g->vm->mem, gpa, size);

	assert_non_null(p);
	return p;
}

uint64_t guest_read(struct guest *g, uint64_t addr, unsigned int size)
{
	uint64_t value = 0;

	bus_access(&g->vm->bus, BUS_MMIO, addr, &value, size, false);
	return le64toh(value);
}

void guest_write(struct guest *g, uint64_t addr, unsigned int size, uint64_t value)
{
	value = htole64(value);
	bus_access(&g->vm->bus, BUS_MMIO, addr, &value, size, true);
}

uint64_t guest_ecam(const struct pci_dev *pdev, unsigned int offset)
{
	return GPA_ECAM_BASE + ((uint64_t)pdev->devfn << 12) + offset;
}

/* The offset of the first capability @id after the one at @from (0: from the start), 0 when none
 * follows. */
static unsigned int find_cap(struct guest *g, struct pci_dev *pdev, uint8_t id, unsigned int from)
{
	unsigned int link = from ? from + PCI_CAP_LIST_NEXT : PCI_CAPABILITY_LIST;
	unsigned int at = (unsigned int)guest_read(g, guest_ecam(pdev, link), 1);
	unsigned int steps;

	for (steps = 0; at && steps < 48; steps++) {
		if (guest_read(g, guest_ecam(pdev, at), 1) == id)
			return at;
		at = (unsigned int)guest_read(g, guest_ecam(pdev, at + PCI_CAP_LIST_NEXT), 1);
	}
	return 0;
}

/* The address in the BAR's registers. */
static uint64_t bar_addr(struct guest *g, struct pci_dev *pdev, unsigned int bar)
{
	unsigned int at = PCI_BASE_ADDRESS_0 + 4 * bar;
	uint64_t addr = guest_read(g, guest_ecam(pdev, at), 4);

	if ((addr & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64)
		addr |= guest_read(g, guest_ecam(pdev, at + 4), 4) << 32;
	return addr & ~0xfull;
}

void guest_msix_on(struct guest *g, struct pci_dev *pdev)
{
	unsigned int cap = find_cap(g, pdev, PCI_CAP_ID_MSIX, 0), v;
	uint32_t where = (uint32_t)guest_read(g, guest_ecam(pdev, cap + PCI_MSIX_TABLE), 4);
	uint16_t flags = (uint16_t)guest_read(g, guest_ecam(pdev, cap + PCI_MSIX_FLAGS), 2);
	uint64_t table = bar_addr(g, pdev, where & PCI_MSIX_TABLE_BIR) +
			 (where & PCI_MSIX_TABLE_OFFSET);

	assert_int_not_equal(cap, 0);
	guest_write(g, guest_ecam(pdev, cap + PCI_MSIX_FLAGS), 2, flags | PCI_MSIX_FLAGS_ENABLE);
	for (v = 0; v <= (flags & PCI_MSIX_FLAGS_QSIZE); v++) {
		uint64_t entry = table + v * 16ull;

		guest_write(g, entry, 4, 0xfee00000);
		guest_write(g, entry + 4, 4, 0);
		guest_write(g, entry + 8, 4, v);
		guest_write(g, entry + 12, 4, 0);
	}
}

uint64_t guest_msix_count(struct pci_dev *pdev, unsigned int vector)
{
	int fd = pci_vector_fd(pdev, vector);

	return fd < 0 ? 0 : io_eventfd_drain(fd);
}

/* The driver. */

static void driver_cap(struct driver *d, unsigned int at)
{
	struct guest *g = d->g;
	uint64_t cap = guest_ecam(d->pdev, at);
	uint8_t bar = (uint8_t)guest_read(g, cap + VIRTIO_PCI_CAP_BAR, 1);
	uint32_t off = (uint32_t)guest_read(g, cap + VIRTIO_PCI_CAP_OFFSET, 4);
	uint32_t len = (uint32_t)guest_read(g, cap + VIRTIO_PCI_CAP_LENGTH, 4);
	uint64_t addr = bar_addr(g, d->pdev, bar) + off;

	switch (guest_read(g, cap + VIRTIO_PCI_CAP_CFG_TYPE, 1)) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		d->common = addr;
		d->common_length = len;
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		d->notify = addr;
		d->notify_length = len;
		d->notify_step = (uint32_t)guest_read(g, cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
		break;
	case VIRTIO_PCI_CAP_ISR_CFG:
		d->isr = addr;
		break;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		d->device = addr;
		d->device_length = len;
		break;
	case VIRTIO_PCI_CAP_PCI_CFG:
		d->cfg_cap = at;
		break;
	default:
		fail_msg("a capability of unknown type at 0x%x", at);
	}
}

void driver_open(struct driver *d, struct guest *g, struct dev *dev)
{
	unsigned int at = 0;

	*d = (struct driver){ .g = g, .pdev = to_pci(dev) };
	guest_write(g, guest_ecam(d->pdev, PCI_COMMAND), 2,
		    PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	while ((at = find_cap(g, d->pdev, PCI_CAP_ID_VNDR, at)))
		driver_cap(d, at);
	assert_true(d->common && d->notify && d->isr && d->cfg_cap);
}

uint8_t driver_status(struct driver *d)
{
	return (uint8_t)guest_read(d->g, d->common + VIRTIO_PCI_COMMON_STATUS, 1);
}

void driver_set_status(struct driver *d, uint8_t add)
{
	guest_write(d->g, d->common + VIRTIO_PCI_COMMON_STATUS, 1, driver_status(d) | add);
}

uint64_t driver_offered(struct driver *d)
{
	uint64_t features;

	guest_write(d->g, d->common + VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
	features = guest_read(d->g, d->common + VIRTIO_PCI_COMMON_DF, 4) << 32;
	guest_write(d->g, d->common + VIRTIO_PCI_COMMON_DFSELECT, 4, 0);
	return features | guest_read(d->g, d->common + VIRTIO_PCI_COMMON_DF, 4);
}

bool driver_negotiate(struct driver *d, uint64_t features)
{
	guest_write(d->g, d->common + VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(driver_status(d), 0);
	driver_set_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	driver_set_status(d, VIRTIO_CONFIG_S_DRIVER);
	guest_write(d->g, d->common + VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	guest_write(d->g, d->common + VIRTIO_PCI_COMMON_GF, 4, (uint32_t)features);
	guest_write(d->g, d->common + VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	guest_write(d->g, d->common + VIRTIO_PCI_COMMON_GF, 4, features >> 32);
	driver_set_status(d, VIRTIO_CONFIG_S_FEATURES_OK);
	return driver_status(d) & VIRTIO_CONFIG_S_FEATURES_OK;
}

/* Rings. */

static uint8_t *ring_part(struct guest *g, uint64_t size, gpa_t *ret_gpa)
{
	void *p;

	*ret_gpa = guest_alloc(g, size, 4096);
	p = guest_ptr(g, *ret_gpa, size);
	memset(p, 0, size);
	return p;
}

static void ring_tell(struct ring *r, unsigned int reg, gpa_t gpa)
{
	guest_write(r->d->g, r->d->common + reg, 4, (uint32_t)gpa);
	guest_write(r->d->g, r->d->common + reg + 4, 4, gpa >> 32);
}

void ring_open(struct ring *r, struct driver *d, unsigned int index, uint16_t size,
	       uint16_t vector)
{
	uint64_t c = d->common;

	*r = (struct ring){ .d = d, .index = index, .size = size };
	r->desc = ring_part(d->g, (size_t)size * 16, &r->desc_gpa);
	r->avail = ring_part(d->g, 6 + (size_t)size * 2, &r->avail_gpa);
	r->used = ring_part(d->g, 6 + (size_t)size * 8, &r->used_gpa);
	guest_write(d->g, c + VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
	guest_write(d->g, c + VIRTIO_PCI_COMMON_Q_SIZE, 2, size);
	guest_write(d->g, c + VIRTIO_PCI_COMMON_Q_MSIX, 2, vector);
	ring_tell(r, VIRTIO_PCI_COMMON_Q_DESCLO, r->desc_gpa);
	ring_tell(r, VIRTIO_PCI_COMMON_Q_AVAILLO, r->avail_gpa);
	ring_tell(r, VIRTIO_PCI_COMMON_Q_USEDLO, r->used_gpa);
	guest_write(d->g, c + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_int_equal(guest_read(d->g, c + VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
}

void ring_desc(struct ring *r, unsigned int i, gpa_t addr, uint32_t len, uint16_t flags,
	       uint16_t next)
{
	uint8_t *d = r->desc + (size_t)i * 16;

	put_le64(d, addr);
	put_le32(d + 8, len);
	put_le16(d + 12, flags);
	put_le16(d + 14, next);
}

static uint16_t *word(uint8_t *p)
{
	return (uint16_t *)(void *)p;
}

void ring_post(struct ring *r, uint16_t head)
{
	put_le16(r->avail + 4 + (size_t)(r->avail_idx % r->size) * 2, head);
	r->avail_idx++;
	__atomic_store_n(word(r->avail + 2), htole16(r->avail_idx), __ATOMIC_SEQ_CST);
}

void ring_kick(struct ring *r)
{
	uint64_t addr = r->d->notify + (uint64_t)r->index * r->d->notify_step;
	int fd = fake_kvm_doorbell(addr, false);

	if (fd >= 0)
		io_eventfd_signal(fd);
	else
		guest_write(r->d->g, addr, 2, r->index);
}

bool ring_used(struct ring *r, uint32_t *ret_id, uint32_t *ret_len)
{
	uint16_t idx = le16toh(__atomic_load_n(word(r->used + 2), __ATOMIC_ACQUIRE));
	const uint8_t *e = r->used + 4 + (size_t)(r->used_idx % r->size) * 8;

	if (idx == r->used_idx)
		return false;
	*ret_id = get_le32(e);
	*ret_len = get_le32(e + 4);
	r->used_idx++;
	return true;
}

bool ring_wait(struct ring *r, uint32_t *ret_id, uint32_t *ret_len)
{
	const struct timespec nap = { .tv_nsec = 100000 };
	unsigned int i;

	for (i = 0; i < 50000; i++) {
		if (ring_used(r, ret_id, ret_len))
			return true;
		nanosleep(&nap, NULL);
	}
	return false;
}

void ring_used_event(struct ring *r, uint16_t idx)
{
	__atomic_store_n(word(r->avail + 4 + (size_t)r->size * 2), htole16(idx), __ATOMIC_SEQ_CST);
}

uint16_t ring_avail_event(const struct ring *r)
{
	return le16toh(__atomic_load_n(word(r->used + 4 + (size_t)r->size * 8), __ATOMIC_ACQUIRE));
}
