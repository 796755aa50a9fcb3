// SPDX-License-Identifier: GPL-2.0-or-later
#include "mem.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/util.h"
#include "kvm_sys.h"
#include "mem_priv.h"
#include "vm.h"

#define MEM_SLOTS 4096

static int mem_slot_set(struct mem *mem, unsigned int slot, gpa_t gpa, uint64_t size, void *hva,
			bool readonly)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = readonly ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	if (mem->vm->fd < 0)
		return 0;
	return kvm_ioctl(mem->vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static int mem_slot_take(struct mem *mem)
{
	unsigned int i;

	for (i = 0; i < mem->slot_max; i++) {
		if (!(mem->slot_used[i / 64] & BIT64(i % 64))) {
			mem->slot_used[i / 64] |= BIT64(i % 64);
			return (int)i;
		}
	}
	return -ENOSPC;
}

static void mem_slot_give(struct mem *mem, unsigned int slot)
{
	mem->slot_used[slot / 64] &= ~BIT64(slot % 64);
}

static int mem_bank_add(struct mem *mem, gpa_t gpa, uint64_t size, uint64_t offset, struct err *err)
{
	struct mem_bank *bank = &mem->banks[mem->bank_count];
	int slot, ret;

	bank->gpa = gpa;
	bank->size = size;
	bank->fd_offset = offset;
	ret = mem_ram_map(mem, bank, err);
	if (ret)
		return ret;
	mem->bank_count++;
	slot = mem_slot_take(mem);
	slot = slot < 0 ? slot : mem_slot_set(mem, (unsigned int)slot, gpa, size, bank->hva, false);
	if (slot < 0)
		return err_sys(err, slot, "guest memory: KVM refuses %llu MiB at 0x%llx",
			       (unsigned long long)(size / MIB), (unsigned long long)gpa);
	return 0;
}

static bool mem_populate_first(const struct vm_config *config)
{
	const struct mem_options *opt = &config->ram;

	if (config->plan)
		return false;
	return opt->populate_set ? opt->populate : mem_options_hugetlb(opt);
}

int mem_init(struct mem *mem, struct vm *vm, uint64_t size, struct err *err)
{
	uint64_t low = MIN(size, GPA_LOW_RAM_MAX);
	int ret;

	memset(mem, 0, sizeof(*mem));
	mem->vm = vm;
	mem->size = size;
	mem->slot_max = MEM_SLOTS;
	pthread_mutex_init(&mem->lock, NULL);
	mem->slot_used = calloc(MEM_SLOTS / 64, sizeof(*mem->slot_used));
	mem->memfd = -1;
	ret = mem->slot_used ? mem_ram_open(mem, err) : err_sys(err, -ENOMEM, "guest memory");
	if (!ret)
		ret = mem_bank_add(mem, 0, low, 0, err);
	if (!ret && size > low)
		ret = mem_bank_add(mem, GPA_HIGH_RAM, size - low, low, err);
	if (!ret && mem_populate_first(&vm->config))
		ret = mem_populate(mem, err);
	if (ret)
		mem_done(mem);
	return ret;
}

void mem_done(struct mem *mem)
{
	unsigned int i;

	/* The memory slots go with the VM's descriptor. */
	for (i = 0; i < mem->bank_count; i++)
		mem_ram_unmap(&mem->banks[i]);
	mem->bank_count = 0;
	if (mem->slot_used) {
		fd_close(&mem->memfd);
		pthread_mutex_destroy(&mem->lock);
	}
	free(mem->slot_used);
	mem->slot_used = NULL;
}

static const struct mem_bank *mem_bank_of(const struct mem *mem, gpa_t gpa)
{
	unsigned int i;

	for (i = 0; i < mem->bank_count; i++)
		if (gpa - mem->banks[i].gpa < mem->banks[i].size)
			return &mem->banks[i];
	return NULL;
}

void *mem_ptr(const struct mem *mem, gpa_t gpa, uint64_t len)
{
	const struct mem_bank *bank = mem_bank_of(mem, gpa);

	if (!bank || !len || !span_within(gpa - bank->gpa, len, bank->size))
		return NULL;
	return (uint8_t *)bank->hva + (gpa - bank->gpa);
}

int mem_iov(const struct mem *mem, gpa_t gpa, uint64_t len, struct iovec *iov, unsigned int max)
{
	unsigned int n = 0;

	while (len) {
		const struct mem_bank *bank = mem_bank_of(mem, gpa);
		uint64_t here;

		if (!bank)
			return -EFAULT;
		if (n == max)
			return -E2BIG;
		here = MIN(len, bank->size - (gpa - bank->gpa));
		iov[n].iov_base = (uint8_t *)bank->hva + (gpa - bank->gpa);
		iov[n].iov_len = here;
		n++;
		gpa += here;
		len -= here;
	}
	return (int)n;
}

/* The banks touch only when RAM fills all of the space below 4 GiB, which it never does, so a span
 * lies in one bank or is not RAM throughout. */
int mem_read(const struct mem *mem, gpa_t gpa, void *buf, uint64_t len)
{
	const void *p = mem_ptr(mem, gpa, len);

	if (!len)
		return 0;
	if (!p)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

int mem_write(const struct mem *mem, gpa_t gpa, const void *buf, uint64_t len)
{
	void *p = mem_ptr(mem, gpa, len);

	if (!len)
		return 0;
	if (!p)
		return -EFAULT;
	memcpy(p, buf, len);
	return 0;
}

static void mem_dma_unmap_locked(struct mem *mem, struct mem_part *part)
{
	struct mem_listener *l;
	struct mem_part **p;

	if (!part->dma_live)
		return;
	for (l = mem->listeners; l; l = l->next)
		l->unmap(l->opaque, part->dma_gpa, part->size);
	part->dma_live = false;
	for (p = &mem->dma_parts; *p; p = &(*p)->dma_next) {
		if (*p == part) {
			*p = part->dma_next;
			break;
		}
	}
}

/* Mappings that outlived their decode make room for what is there now. */
static void mem_dma_evict_locked(struct mem *mem, gpa_t gpa, uint64_t size)
{
	struct mem_part *p, *next;

	for (p = mem->dma_parts; p; p = next) {
		next = p->dma_next;
		if (span_overlaps(p->dma_gpa, p->size, gpa, size))
			mem_dma_unmap_locked(mem, p);
	}
}

/* A part that an IOMMU refuses works all the same; peer to peer to it does not. */
static void mem_dma_tell_locked(struct mem *mem, struct mem_listener *l,
				const struct mem_part *part)
{
	struct err err = { 0 };

	if (l->map(l->opaque, part->dma_gpa, part->size, part->hva, false, &err))
		log_line(mem->vm->log, LOG_WARN, "no peer to peer at 0x%llx: %s",
			 (unsigned long long)part->dma_gpa, err.msg);
}

static void mem_dma_map_locked(struct mem *mem, struct mem_part *part, gpa_t gpa)
{
	struct mem_listener *l;

	if (!part->dma || (part->dma_live && part->dma_gpa == gpa))
		return;
	mem_dma_unmap_locked(mem, part);
	mem_dma_evict_locked(mem, gpa, part->size);
	part->dma_gpa = gpa;
	part->dma_live = true;
	part->dma_next = mem->dma_parts;
	mem->dma_parts = part;
	for (l = mem->listeners; l; l = l->next)
		mem_dma_tell_locked(mem, l, part);
}

int mem_part_map(struct mem *mem, struct mem_part *part, gpa_t gpa, struct err *err)
{
	int slot, ret;

	pthread_mutex_lock(&mem->lock);
	slot = mem_slot_take(mem);
	ret = slot < 0 ? slot
		       : mem_slot_set(mem, (unsigned int)slot, gpa, part->size, part->hva,
				      part->readonly);
	if (ret < 0) {
		if (slot >= 0)
			mem_slot_give(mem, (unsigned int)slot);
		pthread_mutex_unlock(&mem->lock);
		return err_sys(err, ret, "memory slot of 0x%llx bytes at 0x%llx",
			       (unsigned long long)part->size, (unsigned long long)gpa);
	}
	part->slot = slot + 1;
	mem_dma_map_locked(mem, part, gpa);
	pthread_mutex_unlock(&mem->lock);
	return 0;
}

void mem_part_unmap(struct mem *mem, struct mem_part *part)
{
	pthread_mutex_lock(&mem->lock);
	if (part->slot) {
		mem_slot_set(mem, (unsigned int)part->slot - 1, 0, 0, part->hva, part->readonly);
		mem_slot_give(mem, (unsigned int)part->slot - 1);
		part->slot = 0;
	}
	pthread_mutex_unlock(&mem->lock);
}

void mem_part_forget(struct mem *mem, struct mem_part *part)
{
	mem_part_unmap(mem, part);
	pthread_mutex_lock(&mem->lock);
	mem_dma_unmap_locked(mem, part);
	pthread_mutex_unlock(&mem->lock);
}

int mem_listener_add(struct mem *mem, struct mem_listener *listener, struct err *err)
{
	struct mem_part *p;
	unsigned int i;
	int ret = 0;

	/* A device may reach all of it, so the map will touch it, with one thread. */
	if (!mem->vm->config.ram.populate_set)
		ret = mem_populate(mem, err);
	if (ret)
		return ret;
	pthread_mutex_lock(&mem->lock);
	for (i = 0; i < mem->bank_count && !ret; i++)
		ret = listener->map(listener->opaque, mem->banks[i].gpa, mem->banks[i].size,
				    mem->banks[i].hva, true, err);
	if (ret) {
		for (i--; i-- > 0;)
			listener->unmap(listener->opaque, mem->banks[i].gpa, mem->banks[i].size);
	} else {
		listener->next = mem->listeners;
		mem->listeners = listener;
		for (p = mem->dma_parts; p; p = p->dma_next)
			mem_dma_tell_locked(mem, listener, p);
	}
	pthread_mutex_unlock(&mem->lock);
	return ret;
}

void mem_listener_del(struct mem *mem, struct mem_listener *listener)
{
	struct mem_listener **l;
	struct mem_part *p;
	unsigned int i;

	pthread_mutex_lock(&mem->lock);
	for (l = &mem->listeners; *l; l = &(*l)->next) {
		if (*l == listener) {
			*l = listener->next;
			break;
		}
	}
	for (i = 0; i < mem->bank_count; i++)
		listener->unmap(listener->opaque, mem->banks[i].gpa, mem->banks[i].size);
	for (p = mem->dma_parts; p; p = p->dma_next)
		listener->unmap(listener->opaque, p->dma_gpa, p->size);
	pthread_mutex_unlock(&mem->lock);
}
