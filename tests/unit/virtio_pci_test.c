// SPDX-License-Identifier: GPL-2.0-or-later
/* The PCI transport as a guest sees it, with a device of the test's own behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "base/util.h"
#include "fake_driver.h"
#include "fake_kvm.h"
#include "virtio_toy.h"

static void identity(void **state)
{
	struct rig *r = *state;
	struct pci_dev *pdev = &r->toy->vpci.pdev;

	assert_int_equal(guest_read(r->g, guest_ecam(pdev, PCI_VENDOR_ID), 4), 0x106a1af4);
	assert_int_equal(guest_read(r->g, guest_ecam(pdev, PCI_REVISION_ID), 1), 1);
	assert_true(guest_read(r->g, guest_ecam(pdev, PCI_SUBSYSTEM_ID), 2) >= 0x40);
	assert_int_equal(guest_read(r->g, guest_ecam(pdev, PCI_BASE_ADDRESS_0), 1) & 0xf,
			 PCI_BASE_ADDRESS_MEM_TYPE_64);
	assert_int_equal(r->v.notify_step, 4);
	assert_int_equal(r->v.notify_length, 4 * TOY_QUEUES);
	assert_int_equal(r->v.device_length, TOY_CONFIG_SIZE);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_NUMQ, 2), TOY_QUEUES);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
}

static void features(void **state)
{
	struct rig *r = *state;
	uint64_t core = BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_RING_F_EVENT_IDX) |
			BIT64(VIRTIO_RING_F_INDIRECT_DESC);
	uint64_t offered = driver_offered(&r->v);
	unsigned int bit;

	assert_true(offered == (core | TOY_FEATURE_A | TOY_FEATURE_B | r->extra));
	set_common(r, VIRTIO_PCI_COMMON_DFSELECT, 4, 2);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_DF, 4), 0);
	set_common(r, VIRTIO_PCI_COMMON_DFSELECT, 4, 0xffffffff);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_DF, 4), 0);

	assert_true(driver_negotiate(&r->v, offered));
	assert_true(driver_negotiate(&r->v, BIT64(VIRTIO_F_VERSION_1)));
	assert_false(driver_negotiate(&r->v, offered & ~BIT64(VIRTIO_F_VERSION_1)));
	for (bit = 0; bit < 64; bit++)
		if (!(offered >> bit & 1))
			assert_false(driver_negotiate(
				&r->v, BIT64(VIRTIO_F_VERSION_1) | BIT64(bit)));
	assert_true(guest_logged(r->g, "are refused"));

	/* Beyond bit 63. */
	set_common(r, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	set_common(r, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	set_common(r, VIRTIO_PCI_COMMON_GF, 4, 1);
	set_common(r, VIRTIO_PCI_COMMON_GFSELECT, 4, 2);
	set_common(r, VIRTIO_PCI_COMMON_GF, 4, 1);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_GF, 4), 0);
	driver_set_status(&r->v, VIRTIO_CONFIG_S_FEATURES_OK);
	assert_false(driver_status(&r->v) & VIRTIO_CONFIG_S_FEATURES_OK);

	/* What was agreed stays. */
	assert_true(driver_negotiate(&r->v, BIT64(VIRTIO_F_VERSION_1) | TOY_FEATURE_A));
	set_common(r, VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	set_common(r, VIRTIO_PCI_COMMON_GF, 4, 0);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_GF, 4), TOY_FEATURE_A);
}

static void packed_is_an_option(void **state)
{
	struct guest *g = guest_new(4 * MIB);
	struct dev *off = guest_device(g, &toy_class, "toy,id=off,packed=off");
	struct dev *on = guest_device(g, &toy_class, "toy,id=on,packed=on");
	struct driver v;

	(void)state;
	guest_start(g);
	driver_open(&v, g, off);
	assert_int_equal(driver_offered(&v) & BIT64(VIRTIO_F_RING_PACKED), 0);
	assert_false(driver_negotiate(&v, BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_RING_PACKED)));
	driver_open(&v, g, on);
	assert_true(driver_offered(&v) & BIT64(VIRTIO_F_RING_PACKED));
	assert_true(driver_negotiate(&v, BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_RING_PACKED)));
	guest_free(g);
}

/* F09: bits in any order. */
static void status(void **state)
{
	struct rig *r = *state;
	unsigned int resets = r->toy->resets;

	set_common(r, VIRTIO_PCI_COMMON_STATUS, 1, VIRTIO_CONFIG_S_DRIVER_OK);
	assert_int_equal(driver_status(&r->v), 0);
	set_common(r, VIRTIO_PCI_COMMON_STATUS, 1, 0xff);
	assert_int_equal(driver_status(&r->v),
			 VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
				 VIRTIO_CONFIG_S_FAILED);
	assert_int_equal(r->toy->resets, resets);
	set_common(r, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(driver_status(&r->v), 0);
	assert_int_equal(r->toy->resets, resets + 1);

	/* Bits do not go away but by a reset. */
	assert_true(driver_negotiate(&r->v, BIT64(VIRTIO_F_VERSION_1) | r->extra));
	set_common(r, VIRTIO_PCI_COMMON_STATUS, 1, VIRTIO_CONFIG_S_DRIVER_OK);
	assert_int_equal(driver_status(&r->v),
			 VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
				 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
	set_common(r, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_GF, 4), 0);
}

static void queue_fields(void **state)
{
	struct rig *r = *state;
	static const uint16_t refused[] = { 0, 3, 5, 6, 255, 512, 65535 };
	struct virtq *vq = &r->toy->vpci.vdev.queues[1];
	unsigned int i;

	assert_true(driver_negotiate(&r->v, BIT64(VIRTIO_F_VERSION_1) | r->extra));
	set_common(r, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_Q_SIZE, 2), 256);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_Q_NOFF, 2), 1);
	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		set_common(r, VIRTIO_PCI_COMMON_Q_SIZE, 2, refused[i]);
		assert_int_equal(common(r, VIRTIO_PCI_COMMON_Q_SIZE, 2), 256);
	}
	set_common(r, VIRTIO_PCI_COMMON_Q_SIZE, 2, 1);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_Q_SIZE, 2), 1);
	set_common(r, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 0);
	set_common(r, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 2);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);

	/* F08: nothing moves once it is enabled, before and after DRIVER_OK. */
	ring_open(&r->q, &r->v, 1, 64, 2);
	for (i = 0; i < 2; i++) {
		set_common(r, VIRTIO_PCI_COMMON_Q_SIZE, 2, 32);
		set_common(r, VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x1000);
		set_common(r, VIRTIO_PCI_COMMON_Q_DESCHI, 4, 1);
		set_common(r, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, 0x1000);
		set_common(r, VIRTIO_PCI_COMMON_Q_AVAILHI, 4, 1);
		set_common(r, VIRTIO_PCI_COMMON_Q_USEDLO, 4, 0x1000);
		set_common(r, VIRTIO_PCI_COMMON_Q_USEDHI, 4, 1);
		set_common(r, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 0);
		assert_int_equal(common(r, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
		assert_int_equal(common(r, VIRTIO_PCI_COMMON_Q_SIZE, 2), 64);
		assert_int_equal(common(r, VIRTIO_PCI_COMMON_Q_DESCLO, 4), r->q.desc_gpa);
		assert_int_equal(common(r, VIRTIO_PCI_COMMON_Q_DESCHI, 4), 0);
		assert_true(vq->driver == r->q.avail_gpa && vq->device == r->q.used_gpa);
		driver_set_status(&r->v, VIRTIO_CONFIG_S_DRIVER_OK);
	}
	set_common(r, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	set_common(r, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_Q_SIZE, 2), 256);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_Q_DESCLO, 4), 0);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
}

static void queue_before_features(void **state)
{
	struct rig *r = *state;

	set_common(r, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	set_common(r, VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x10000);
	set_common(r, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, 0x11000);
	set_common(r, VIRTIO_PCI_COMMON_Q_USEDLO, 4, 0x12000);
	set_common(r, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
}

/* F08: a queue that is not there. */
static void queue_beyond(void **state)
{
	struct rig *r = *state;
	static const uint16_t beyond[] = { TOY_QUEUES, 0x7fff, 0x8000, 0xffff };
	unsigned int i, at;

	assert_true(driver_negotiate(&r->v, BIT64(VIRTIO_F_VERSION_1) | r->extra));
	driver_set_status(&r->v, VIRTIO_CONFIG_S_DRIVER_OK);
	for (i = 0; i < ARRAY_SIZE(beyond); i++) {
		set_common(r, VIRTIO_PCI_COMMON_Q_SELECT, 2, beyond[i]);
		for (at = VIRTIO_PCI_COMMON_Q_SIZE; at < 64; at += 2) {
			set_common(r, at, 2, 1);
			assert_int_equal(common(r, at, 2), 0);
			set_common(r, at & ~3u, 4, 0x10000);
			assert_int_equal(common(r, at & ~3u, 4), 0);
		}
	}
	for (i = 0; i < TOY_QUEUES; i++) {
		assert_false(r->toy->vpci.vdev.queues[i].enabled);
		assert_int_equal(r->toy->vpci.queue_vectors[i], VIRTIO_MSI_NO_VECTOR);
	}
}

/* 4.1.3.1: a field is reached at its own width and no other. */
static void widths(void **state)
{
	struct rig *r = *state;
	static const struct {
		unsigned int reg, width;
		uint32_t value;
	} fields[] = {
		{ VIRTIO_PCI_COMMON_DFSELECT, 4, 1 },	  { VIRTIO_PCI_COMMON_GFSELECT, 4, 1 },
		{ VIRTIO_PCI_COMMON_MSIX, 2, 1 },	  { VIRTIO_PCI_COMMON_Q_SELECT, 2, 1 },
		{ VIRTIO_PCI_COMMON_Q_SIZE, 2, 4 },	  { VIRTIO_PCI_COMMON_Q_MSIX, 2, 1 },
		{ VIRTIO_PCI_COMMON_Q_DESCLO, 4, 4096 },  { VIRTIO_PCI_COMMON_Q_DESCHI, 4, 1 },
		{ VIRTIO_PCI_COMMON_Q_AVAILLO, 4, 4096 }, { VIRTIO_PCI_COMMON_Q_USEDHI, 4, 1 },
	};
	unsigned int i, size;

	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		set_common(r, fields[i].reg, fields[i].width, fields[i].value);
		for (size = 1; size <= 8; size *= 2) {
			if (size == fields[i].width || fields[i].reg % size)
				continue;
			set_common(r, fields[i].reg, size, 0x0101010101010102ull);
			assert_int_equal(common(r, fields[i].reg, size), 0);
		}
		assert_int_equal(common(r, fields[i].reg, fields[i].width), fields[i].value);
	}
	/* Holes. */
	assert_int_equal(guest_read(r->g, r->v.common + 56, 4), 0);
	assert_int_equal(guest_read(r->g, r->v.common + 0x300, 4), 0);
	assert_int_equal(guest_read(r->g, r->v.notify, 2), 0);
	assert_int_equal(guest_read(r->g, r->v.isr, 4), 0);
	assert_int_equal(guest_read(r->g, r->v.isr + 1, 1), 0);
}

static void device_config(void **state)
{
	struct rig *r = *state;
	unsigned int i;

	for (i = 0; i < TOY_CONFIG_SIZE; i++)
		r->toy->config[i] = (uint8_t)(0x10 + i);
	assert_int_equal(guest_read(r->g, r->v.device, 4), 0x13121110);
	assert_int_equal(guest_read(r->g, r->v.device + 10, 2), 0x1b1a);
	assert_int_equal(guest_read(r->g, r->v.device + 11, 1), 0x1b);
	assert_int_equal(guest_read(r->g, r->v.device + TOY_CONFIG_SIZE, 4), 0);
	assert_int_equal(guest_read(r->g, r->v.device, 8), 0);
	guest_write(r->g, r->v.device + 4, 2, 0xbeef);
	guest_write(r->g, r->v.device + TOY_CONFIG_SIZE, 4, 0xffffffff);
	guest_write(r->g, r->v.device, 8, UINT64_MAX);
	assert_int_equal(guest_read(r->g, r->v.device + 4, 4), 0x1716beef);
	assert_int_equal(guest_read(r->g, r->v.device, 4), 0x13121110);
}

static void config_change(void **state)
{
	struct rig *r = *state;
	struct virtio_dev *vdev = &r->toy->vpci.vdev;
	uint64_t generation = common(r, VIRTIO_PCI_COMMON_CFGGENERATION, 1);

	bring_up(r, 0, 8);
	pthread_mutex_lock(&vdev->dev->lock);
	virtio_dev_config_changed(vdev);
	pthread_mutex_unlock(&vdev->dev->lock);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_CFGGENERATION, 1), generation + 1);
	assert_int_equal(guest_msix_count(&r->toy->vpci.pdev, 0), 1);
}

static void doorbells_and_messages(void **state)
{
	struct rig *r = *state;
	struct pci_dev *pdev = &r->toy->vpci.pdev;
	uint32_t id, len;

	assert_int_equal(fake_kvm_doorbells(), 0);
	bring_up(r, 1, 64);
	assert_int_equal(fake_kvm_doorbells(), 1);
	assert_true(fake_kvm_doorbell(r->v.notify + 4, false) >= 0);
	assert_int_equal(fake_kvm_doorbell(r->v.notify, false), -1);
	post_and_kick(r);
	assert_int_equal(r->toy->notified[1], 1);
	assert_true(ring_used(&r->q, &id, &len));
	assert_int_equal(id, 0);
	assert_int_equal(len, 7);
	assert_int_equal(guest_msix_count(pdev, 2), 1);
	assert_int_equal(guest_msix_count(pdev, 0), 0);
	assert_int_equal(guest_msix_count(pdev, 1), 0);
	assert_int_equal(guest_read(r->g, r->v.isr, 1), 0);

	/* To enable it once more changes nothing: the next buffer comes behind the first. */
	set_common(r, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	set_common(r, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	post_and_kick(r);
	assert_int_equal(get_le16(r->q.used + 2), 2);
	assert_int_equal(r->toy->taken, 2);
	assert_int_equal(guest_msix_count(pdev, 2), 1);

	/* Vectors can be changed while the device runs; one that is not there is none. */
	set_common(r, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	set_common(r, VIRTIO_PCI_COMMON_Q_MSIX, 2, 3);
	post_and_kick(r);
	assert_int_equal(guest_msix_count(pdev, 3), 1);
	set_common(r, VIRTIO_PCI_COMMON_Q_MSIX, 2, TOY_QUEUES + 1);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	post_and_kick(r);
	assert_int_equal(guest_msix_count(pdev, 3), 0);

	/* A reset takes the doorbells away, a BAR that moves takes them along. */
	set_common(r, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(fake_kvm_doorbells(), 0);
	bring_up(r, 1, 64);
	guest_write(r->g, guest_ecam(pdev, PCI_BASE_ADDRESS_0), 4, 0xc8000000);
	guest_write(r->g, guest_ecam(pdev, PCI_BASE_ADDRESS_0 + 4), 4, 0);
	assert_int_equal(fake_kvm_doorbells(), 1);
	assert_true(fake_kvm_doorbell(0xc8000000 + VIRTIO_PCI_NOTIFY_AT + 4, false) >= 0);
}

/* Without a doorbell in the kernel a kick is an exit, and works. */
static void kick_by_exit(void **state)
{
	struct rig *r = *state;

	fake_kvm_fail(KVM_IOEVENTFD, 1, ENOSPC);
	bring_up(r, 0, 8);
	assert_int_equal(fake_kvm_doorbells(), 0);
	assert_true(guest_logged(r->g, "every kick costs an exit"));
	post_and_kick(r);
	assert_int_equal(r->toy->notified[0], 1);
}

/* F09: kicks for queues that are not there or not enabled. */
static void stray_kicks(void **state)
{
	struct rig *r = *state;
	unsigned int at;

	bring_up(r, 0, 8);
	for (at = 1; at < 0x1000; at++) {
		guest_write(r->g, r->v.notify + at, 1, 0);
		if (!(at % 2))
			guest_write(r->g, r->v.notify + at, 2, 0xffff);
		if (!(at % 4))
			guest_write(r->g, r->v.notify + at, 4, at / 4);
	}
	guest_sync(r->g);
	for (at = 0; at < TOY_QUEUES; at++)
		assert_int_equal(r->toy->notified[at], 0);
	guest_write(r->g, r->v.notify, 2, 0);
	guest_sync(r->g);
	assert_int_equal(r->toy->notified[0], 1);
	post_and_kick(r);
	assert_int_equal(r->toy->taken, 1);
}

static void kick_needs_driver_and_memory(void **state)
{
	struct rig *r = *state;
	uint64_t command = guest_ecam(&r->toy->vpci.pdev, PCI_COMMAND);

	assert_true(driver_negotiate(&r->v, BIT64(VIRTIO_F_VERSION_1)));
	ring_open(&r->q, &r->v, 0, 8, VIRTIO_MSI_NO_VECTOR);
	post_and_kick(r);
	assert_int_equal(r->toy->notified[0], 0);
	driver_set_status(&r->v, VIRTIO_CONFIG_S_DRIVER_OK);
	/* F10: bus mastering off; what was kicked meanwhile is done when it is on again. */
	guest_write(r->g, command, 2, PCI_COMMAND_MEMORY);
	ring_kick(&r->q);
	guest_sync(r->g);
	assert_int_equal(r->toy->notified[0], 0);
	guest_write(r->g, command, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	guest_sync(r->g);
	assert_int_equal(r->toy->notified[0], 1);
}

static void intx(void **state)
{
	struct rig *r = *state;
	struct pci_dev *pdev = &r->toy->vpci.pdev;
	struct virtio_dev *vdev = &r->toy->vpci.vdev;

	assert_int_equal(guest_read(r->g, guest_ecam(pdev, PCI_INTERRUPT_PIN), 1), 1);
	assert_true(driver_negotiate(&r->v, BIT64(VIRTIO_F_VERSION_1)));
	ring_open(&r->q, &r->v, 0, 8, VIRTIO_MSI_NO_VECTOR);
	driver_set_status(&r->v, VIRTIO_CONFIG_S_DRIVER_OK);
	post_and_kick(r);
	assert_true(guest_read(r->g, guest_ecam(pdev, PCI_STATUS), 2) & PCI_STATUS_INTERRUPT);
	assert_int_equal(guest_read(r->g, r->v.isr, 1), 1);
	assert_false(guest_read(r->g, guest_ecam(pdev, PCI_STATUS), 2) & PCI_STATUS_INTERRUPT);
	assert_int_equal(guest_read(r->g, r->v.isr, 1), 0);
	pthread_mutex_lock(&vdev->dev->lock);
	virtio_dev_config_changed(vdev);
	pthread_mutex_unlock(&vdev->dev->lock);
	post_and_kick(r);
	assert_int_equal(guest_read(r->g, r->v.isr, 1), 3);

	/* Messages take the pin down; a reset too. */
	post_and_kick(r);
	guest_msix_on(r->g, pdev);
	assert_false(guest_read(r->g, guest_ecam(pdev, PCI_STATUS), 2) & PCI_STATUS_INTERRUPT);
}

static void violation_and_recovery(void **state)
{
	struct rig *r = *state;
	struct pci_dev *pdev = &r->toy->vpci.pdev;
	struct ring other;
	uint32_t id, len;

	bring_up(r, 0, 8);
	ring_open(&other, &r->v, 1, 16, 2);
	assert_int_equal(fake_kvm_doorbells(), 2);
	ring_post(&r->q, 9999);
	ring_kick(&r->q);
	guest_sync(r->g);
	assert_true(driver_status(&r->v) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(guest_msix_count(pdev, 0), 1);
	assert_true(guest_logged(r->g, "head 9999 of 8"));
	assert_int_equal(r->toy->notified[0], 1);
	/* It stands; the other goes on. */
	ring_kick(&r->q);
	guest_sync(r->g);
	assert_int_equal(r->toy->notified[0], 1);
	ring_desc(&other, 3, 0x1000, 4, VRING_DESC_F_WRITE, 0);
	ring_post(&other, 3);
	ring_kick(&other);
	assert_true(ring_wait(&other, &id, &len));
	assert_int_equal(id, 3);
	/* The driver cannot clear it but by a reset, and then all is well. */
	set_common(r, VIRTIO_PCI_COMMON_STATUS, 1, 0x0f);
	assert_true(driver_status(&r->v) & VIRTIO_CONFIG_S_NEEDS_RESET);
	bring_up(r, 0, 8);
	assert_false(driver_status(&r->v) & VIRTIO_CONFIG_S_NEEDS_RESET);
	post_and_kick(r);
	assert_true(ring_used(&r->q, &id, &len));
}

/* 4.1.4.9: the same registers through config space. */
static void config_window(void **state)
{
	struct rig *r = *state;
	struct pci_dev *pdev = &r->toy->vpci.pdev;
	uint64_t cap = guest_ecam(pdev, r->v.cfg_cap);
	static const struct {
		uint8_t bar;
		uint32_t offset, length;
	} bad[] = {
		{ 1, 0, 4 }, { 6, 0, 4 },	 { 0xff, 0, 4 },  { 0, 0, 0 },
		{ 0, 0, 3 }, { 0, 0, 8 },	 { 0, 0, 0xffffffff }, { 0, 1, 4 },
		{ 0, 2, 4 }, { 0, 0xfffffffc, 4 }, { 0, VIRTIO_PCI_MSIX_AT, 4 }, { 0, 0x4000, 4 },
		{ 0, VIRTIO_PCI_DEVICE_AT + 1, 2 },
	};
	unsigned int i;

	guest_write(r->g, cap + VIRTIO_PCI_CAP_BAR, 1, 0);
	guest_write(r->g, cap + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_COMMON_NUMQ);
	guest_write(r->g, cap + VIRTIO_PCI_CAP_LENGTH, 4, 2);
	assert_int_equal(guest_read(r->g, cap + 16, 2), TOY_QUEUES);
	guest_write(r->g, cap + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_COMMON_DFSELECT);
	guest_write(r->g, cap + VIRTIO_PCI_CAP_LENGTH, 4, 4);
	guest_write(r->g, cap + 16, 4, 1);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_DFSELECT, 4), 1);
	guest_write(r->g, cap + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_COMMON_STATUS);
	guest_write(r->g, cap + VIRTIO_PCI_CAP_LENGTH, 4, 1);
	guest_write(r->g, cap + 16, 1, 1);
	assert_int_equal(driver_status(&r->v), 1);

	bring_up(r, 0, 8);
	ring_desc(&r->q, 0, 0x1000, 4, VRING_DESC_F_WRITE, 0);
	ring_post(&r->q, 0);
	guest_write(r->g, cap + VIRTIO_PCI_CAP_OFFSET, 4, VIRTIO_PCI_NOTIFY_AT);
	guest_write(r->g, cap + VIRTIO_PCI_CAP_LENGTH, 4, 2);
	guest_write(r->g, cap + 16, 2, 0);
	guest_sync(r->g);
	assert_int_equal(r->toy->notified[0], 1);

	memset(r->toy->config, 0xee, TOY_CONFIG_SIZE);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		guest_write(r->g, cap + VIRTIO_PCI_CAP_BAR, 1, bad[i].bar);
		guest_write(r->g, cap + VIRTIO_PCI_CAP_OFFSET, 4, bad[i].offset);
		guest_write(r->g, cap + VIRTIO_PCI_CAP_LENGTH, 4, bad[i].length);
		guest_write(r->g, cap + 16, 4, 0);
		guest_read(r->g, cap + 16, 4);
	}
	for (i = 0; i < TOY_CONFIG_SIZE; i++)
		assert_int_equal(r->toy->config[i], 0xee);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_DFSELECT, 4), 0);
	assert_true(driver_status(&r->v) & VIRTIO_CONFIG_S_DRIVER_OK);
}

static void machine_reset(void **state)
{
	struct rig *r = *state;

	bring_up(r, 1, 64);
	dev_reset_all(r->g->vm);
	assert_int_equal(fake_kvm_doorbells(), 0);
	assert_int_equal(driver_status(&r->v), 0);
	assert_int_equal(common(r, VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	driver_open(&r->v, r->g, &r->toy->vpci.pdev.dev);
	bring_up(r, 1, 64);
	post_and_kick(r);
	assert_int_equal(r->toy->notified[1], 1);
}

/* F10: requests under way end while the ring is still known, whoever resets the device. */
static void f10_reset_drains(void **state)
{
	struct rig *r = *state;
	struct virtio_dev *vdev = &r->toy->vpci.vdev;
	struct virtq *vq = &vdev->queues[2];
	unsigned int how;

	for (how = 0; how < 3; how++) {
		bring_up(r, 2, 8);
		pthread_mutex_lock(&vdev->dev->lock);
		ring_desc(&r->q, 0, 0x9000, 4, 0, 0);
		ring_post(&r->q, 0);
		assert_int_equal(virtq_pop(vq, &r->toy->elem), 1);
		if (how == 2)
			virtio_dev_reset(vdev); /* before the device goes */
		pthread_mutex_unlock(&vdev->dev->lock);
		if (how == 1)
			dev_reset_all(r->g->vm);
		if (how == 0)
			set_common(r, VIRTIO_PCI_COMMON_STATUS, 1, 0);
		assert_int_equal(r->toy->drained, how + 1);
		assert_int_equal(r->toy->refused, how + 1);
		assert_false(vq->enabled);
		assert_int_equal(vq->inflight, 0);
		if (how == 1)
			driver_open(&r->v, r->g, vdev->dev);
	}
}

/* Anything, anywhere, of any width: nothing breaks, and a driver that follows finds its device. */
static void random_pokes(void **state)
{
	struct rig *r = *state;
	struct pci_dev *pdev = &r->toy->vpci.pdev;
	uint64_t x = 88172645463325252ull, addr;
	unsigned int i, size;

	for (i = 0; i < 200000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		size = 1u << (x >> 8 & 3);
		addr = r->v.common + (x >> 16 & (x & 1 ? 0x3f : 0x3fff));
		if (!(x & 0xe0))
			addr = guest_ecam(pdev, r->v.cfg_cap + (x >> 16 & 0x1f));
		if (x & 2)
			guest_write(r->g, addr, size, x & 0x10 ? x >> 32 & 0xff : x >> 20);
		else
			guest_read(r->g, addr, size);
	}
	guest_sync(r->g);
	dev_reset_all(r->g->vm);
	driver_open(&r->v, r->g, &pdev->dev);
	bring_up(r, 0, 8);
	guest_sync(r->g);
	i = r->toy->notified[0];
	post_and_kick(r);
	assert_int_equal(r->toy->notified[0], i + 1);
}

static void too_many_queues(void **state)
{
	struct rig *r = *state;
	struct virtio_pci vp = { 0 };
	struct err err = { 0 };

	assert_int_equal(virtio_pci_init(&vp, &toy_ops, 0, NULL, VIRTIO_PCI_QUEUES_MAX + 1, &err),
			 -EINVAL);
	assert_int_equal(virtio_pci_init(&vp, &toy_ops, 0, NULL, 0, &err), -EINVAL);
	(void)r;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define P(f) { "packed_" #f, f, setup_packed, teardown, NULL }
		T(identity),
		T(features),
		cmocka_unit_test(packed_is_an_option),
		T(status),
		T(queue_fields),
		T(queue_before_features),
		T(queue_beyond),
		T(widths),
		T(device_config),
		T(config_change),
		T(doorbells_and_messages),
		T(kick_by_exit),
		T(stray_kicks),
		T(kick_needs_driver_and_memory),
		T(intx),
		T(violation_and_recovery),
		T(config_window),
		T(machine_reset),
		T(f10_reset_drains),
		T(random_pokes),
		/* F08 and F09 once more. */
		P(features),
		P(status),
		P(queue_fields),
		P(queue_beyond),
		P(stray_kicks),
		P(machine_reset),
		T(too_many_queues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
