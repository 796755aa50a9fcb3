// SPDX-License-Identifier: GPL-2.0-or-later
/* The legacy interface of transitional devices (virtio 1.2 clause 4.1.4.10) as a driver from before
 * 1.0 uses it, and the modern one beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <unistd.h>

#include "base/err.h"
#include "base/io.h"
#include "fake_kvm.h"
#include "net_frames.h"
#include "net_tester.h"
#include "virtio/virtio_balloon.h"
#include "virtio/virtio_blk.h"
#include "virtio/virtio_console.h"
#include "virtio/virtio_net.h"
#include "virtio/virtio_rng.h"
#include "virtio/virtio_scsi.h"
#include "virtio_toy.h"

#define ANY_LAYOUT (1u << VIRTIO_F_ANY_LAYOUT)
#define EVENT_IDX (1u << VIRTIO_RING_F_EVENT_IDX)
#define STARTED (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)

static const struct virtio_ops old_ops = {
	.type = VIRTIO_ID_RNG,
	.config_size = TOY_CONFIG_SIZE,
	.features = TOY_FEATURE_A | TOY_FEATURE_B,
	.config_read = toy_config_read,
	.config_write = toy_config_write,
	.notify = toy_notify,
	.reset = toy_reset,
};

static int old_realize(struct dev *dev, struct err *err)
{
	return toy_realize_as(dev, &old_ops, err);
}

static const struct dev_class old_class = {
	.name = "toy",
	.size = sizeof(struct toy),
	.options = toy_options,
	.pci = &virtio_pci_ops,
	.realize = old_realize,
	.destroy = toy_destroy,
	.reset = virtio_pci_reset,
	.read = virtio_pci_read,
	.write = virtio_pci_write,
};

/* The driver. */

struct old {
	struct rig rig; /* its q is the legacy ring */
	uint64_t base;
};

static uint32_t in(struct old *o, unsigned int at, unsigned int size)
{
	uint64_t value = 0;

	bus_access(&o->rig.g->vm->bus, BUS_PIO, o->base + at, &value, size, false);
	return (uint32_t)le64toh(value);
}

static void out(struct old *o, unsigned int at, unsigned int size, uint32_t value)
{
	uint64_t le = htole64(value);

	bus_access(&o->rig.g->vm->bus, BUS_PIO, o->base + at, &le, size, true);
}

static void old_open(struct old *o, struct guest *g, struct dev *dev)
{
	struct pci_dev *pdev = to_pci(dev);

	o->rig.g = g;
	guest_start(g);
	driver_open(&o->rig.v, g, dev);
	guest_write(g, guest_ecam(pdev, PCI_COMMAND), 2,
		    PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	o->base = guest_read(g, guest_ecam(pdev, PCI_BASE_ADDRESS_0), 4) & ~3ull;
}

static int setup_old(void **state)
{
	struct old *o = test_calloc(1, sizeof(*o));
	struct guest *g = guest_new(4 * MIB);

	o->rig.toy = to_toy(guest_device(g, &old_class, "toy,legacy=on"));
	old_open(o, g, &o->rig.toy->vpci.pdev.dev);
	*state = o;
	return 0;
}

static int teardown_old(void **state)
{
	struct old *o = *state;

	guest_free(o->rig.g);
	test_free(o);
	return 0;
}

/* As drivers did: no FEATURES_OK, no size, one span of pages. */
static void old_ring(struct old *o, unsigned int queue)
{
	struct guest *g = o->rig.g;
	uint16_t size;

	out(o, VIRTIO_PCI_QUEUE_SEL, 2, queue);
	size = (uint16_t)in(o, VIRTIO_PCI_QUEUE_NUM, 2);
	o->rig.q = (struct ring){ .d = &o->rig.v, .index = queue, .size = size };
	o->rig.q.desc_gpa = guest_alloc(g, 16ull * size + 8192 + 8ull * size, 4096);
	o->rig.q.avail_gpa = o->rig.q.desc_gpa + 16ull * size;
	o->rig.q.used_gpa = align_up(o->rig.q.avail_gpa + 2ull * size + 6, 4096);
	o->rig.q.desc = guest_ptr(g, o->rig.q.desc_gpa, 16ull * size);
	o->rig.q.avail = guest_ptr(g, o->rig.q.avail_gpa, 2ull * size + 6);
	o->rig.q.used = guest_ptr(g, o->rig.q.used_gpa, 8ull * size + 6);
	memset(o->rig.q.desc, 0, o->rig.q.used_gpa - o->rig.q.desc_gpa + 8ull * size + 6);
	out(o, VIRTIO_PCI_QUEUE_PFN, 4, (uint32_t)(o->rig.q.desc_gpa >> 12));
}

static void old_start(struct old *o, uint32_t features)
{
	out(o, VIRTIO_PCI_STATUS, 1, 0);
	out(o, VIRTIO_PCI_STATUS, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	out(o, VIRTIO_PCI_STATUS, 1, STARTED);
	out(o, VIRTIO_PCI_GUEST_FEATURES, 4, features);
}

static void old_kick(struct old *o)
{
	int fd = fake_kvm_doorbell_of(o->base + VIRTIO_PCI_QUEUE_NOTIFY, true, o->rig.q.index);

	if (fd >= 0)
		io_eventfd_signal(fd);
	else
		out(o, VIRTIO_PCI_QUEUE_NOTIFY, 2, o->rig.q.index);
	guest_sync(o->rig.g);
}

static void old_post(struct old *o)
{
	ring_desc(&o->rig.q, 0, guest_alloc(o->rig.g, 16, 16), 16, VRING_DESC_F_WRITE, 0);
	ring_post(&o->rig.q, 0);
	old_kick(o);
}

/* The tests. */

static void identity(void **state)
{
	struct old *o = *state;
	struct pci_dev *pdev = &o->rig.toy->vpci.pdev;
	struct guest *g = o->rig.g;

	assert_int_equal(guest_read(g, guest_ecam(pdev, PCI_VENDOR_ID), 4), 0x10051af4);
	assert_int_equal(guest_read(g, guest_ecam(pdev, PCI_REVISION_ID), 1), 0);
	assert_int_equal(guest_read(g, guest_ecam(pdev, PCI_SUBSYSTEM_ID), 2), VIRTIO_ID_RNG);
	assert_int_equal(guest_read(g, guest_ecam(pdev, PCI_BASE_ADDRESS_0), 1) & 3,
			 PCI_BASE_ADDRESS_SPACE_IO);
	assert_int_equal(pdev->bars[0].size, 64); /* 24 and 12 bytes */
	assert_int_equal(in(o, VIRTIO_PCI_HOST_FEATURES, 4),
			 ANY_LAYOUT | EVENT_IDX | 1u << VIRTIO_RING_F_INDIRECT_DESC |
				 (uint32_t)TOY_FEATURE_A);

	/* Beside it the other interface, as if it were alone. */
	assert_false(driver_offered(&o->rig.v) & ANY_LAYOUT);
	bring_up(&o->rig, 1, 64);
	assert_int_equal(in(o, VIRTIO_PCI_STATUS, 1), driver_status(&o->rig.v));
	assert_int_equal(fake_kvm_doorbells(), 1);
	post_and_kick(&o->rig);
	assert_int_equal(o->rig.toy->taken, 1);
	assert_int_equal(guest_msix_count(pdev, 2), 1);
	/* A driver that got so far is not disturbed. */
	out(o, VIRTIO_PCI_GUEST_FEATURES, 4, 0);
	out(o, VIRTIO_PCI_STATUS, 1, 0xff);
	out(o, VIRTIO_PCI_QUEUE_SEL, 2, 0);
	out(o, VIRTIO_PCI_QUEUE_PFN, 4, 0x100);
	assert_int_equal(in(o, VIRTIO_PCI_QUEUE_PFN, 4), 0);
	assert_true(virtio_has(&o->rig.toy->vpci.vdev, VIRTIO_F_VERSION_1));
	post_and_kick(&o->rig);
	assert_int_equal(o->rig.toy->taken, 2);
}

static void header(void **state)
{
	static const uint8_t widths[24] = { 4, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0,
					    2, 0, 2, 0, 2, 0, 1, 1, 2, 0, 2, 0 };
	struct old *o = *state;
	unsigned int i, size;

	for (i = 0; i < TOY_CONFIG_SIZE; i++)
		o->rig.toy->config[i] = (uint8_t)(0x10 + i);
	assert_int_equal(in(o, 20, 4), 0x13121110);
	assert_int_equal(in(o, 31, 1), 0x1b);
	out(o, 21, 1, 0x77);
	assert_int_equal(o->rig.toy->config[1], 0x77);
	/* Two more fields come in between. */
	guest_msix_on(o->rig.g, &o->rig.toy->vpci.pdev);
	assert_int_equal(in(o, 24, 2), 0x7710);
	assert_int_equal(in(o, 35, 1), 0x1b);
	assert_int_equal(in(o, 36, 4), 0);
	out(o, 36, 4, 0xffffffff); /* beyond the end */
	assert_int_equal(o->rig.toy->config[11], 0x1b);
	assert_int_equal(in(o, VIRTIO_MSI_CONFIG_VECTOR, 2), VIRTIO_MSI_NO_VECTOR);
	out(o, VIRTIO_MSI_CONFIG_VECTOR, 2, 3);
	assert_int_equal(in(o, VIRTIO_MSI_CONFIG_VECTOR, 2), 3);
	out(o, VIRTIO_MSI_CONFIG_VECTOR, 2, TOY_QUEUES + 1);
	assert_int_equal(in(o, VIRTIO_MSI_CONFIG_VECTOR, 2), VIRTIO_MSI_NO_VECTOR);
	/* A field is reached at its own width. */
	out(o, VIRTIO_PCI_QUEUE_SEL, 2, 1);
	for (i = 0; i < sizeof(widths); i++) {
		for (size = 1; size <= 4; size *= 2) {
			if (size == widths[i] || i % size)
				continue;
			out(o, i, size, 0);
			assert_int_equal(in(o, i, size), 0);
		}
	}
	assert_int_equal(in(o, VIRTIO_PCI_QUEUE_SEL, 2), 1);
	assert_int_equal(in(o, VIRTIO_PCI_QUEUE_NUM, 2), 256);
	out(o, VIRTIO_PCI_QUEUE_NUM, 2, 8);
	assert_int_equal(in(o, VIRTIO_PCI_QUEUE_NUM, 2), 256);
	/* F08: a queue that is not there. */
	for (i = TOY_QUEUES; i < 0x20000; i = i * 2 + 1) {
		out(o, VIRTIO_PCI_QUEUE_SEL, 2, i);
		assert_int_equal(in(o, VIRTIO_PCI_QUEUE_NUM, 2), 0);
		out(o, VIRTIO_PCI_QUEUE_PFN, 4, 0x100);
		assert_int_equal(in(o, VIRTIO_PCI_QUEUE_PFN, 4), 0);
		out(o, VIRTIO_MSI_QUEUE_VECTOR, 2, 1);
		assert_int_equal(in(o, VIRTIO_MSI_QUEUE_VECTOR, 2), VIRTIO_MSI_NO_VECTOR);
	}
}

static void negotiation(void **state)
{
	struct old *o = *state;
	struct virtio_dev *vdev = &o->rig.toy->vpci.vdev;

	old_start(o, 0xffffffff);
	assert_int_equal(in(o, VIRTIO_PCI_GUEST_FEATURES, 4), in(o, VIRTIO_PCI_HOST_FEATURES, 4));
	assert_int_equal(vdev->acked >> 32, 0);
	/* There is no FEATURES_OK, here or there, and no more features than these. */
	out(o, VIRTIO_PCI_STATUS, 1, STARTED | VIRTIO_CONFIG_S_FEATURES_OK);
	assert_int_equal(in(o, VIRTIO_PCI_STATUS, 1), STARTED);
	set_common(&o->rig, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	set_common(&o->rig, VIRTIO_PCI_COMMON_GF, 4, 1);
	driver_set_status(&o->rig.v, VIRTIO_CONFIG_S_FEATURES_OK);
	assert_int_equal(driver_status(&o->rig.v), STARTED);
	out(o, VIRTIO_PCI_STATUS, 1, STARTED | VIRTIO_CONFIG_S_DRIVER_OK);
	assert_int_equal(in(o, VIRTIO_PCI_STATUS, 1), STARTED | VIRTIO_CONFIG_S_DRIVER_OK);
	out(o, VIRTIO_PCI_GUEST_FEATURES, 4, 0);
	assert_int_not_equal(in(o, VIRTIO_PCI_GUEST_FEATURES, 4), 0);
	assert_int_equal(vdev->acked >> 32, 0);

	/* After a reset it is anyone's. */
	out(o, VIRTIO_PCI_STATUS, 1, 0);
	assert_int_equal(in(o, VIRTIO_PCI_GUEST_FEATURES, 4), 0);
	bring_up(&o->rig, 0, 8);
	post_and_kick(&o->rig);
	assert_int_equal(o->rig.toy->taken, 1);
	/* What the other interface was told before ACKNOWLEDGE does not stay. */
	set_common(&o->rig, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	set_common(&o->rig, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	set_common(&o->rig, VIRTIO_PCI_COMMON_GF, 4, 1);
	out(o, VIRTIO_PCI_STATUS, 1, STARTED);
	assert_int_equal(vdev->acked, 0);
}

/* With the pin, and used before DRIVER_OK. */
static void traffic(void **state)
{
	struct old *o = *state;
	uint32_t id, len;

	old_start(o, 0);
	old_ring(o, 1);
	assert_int_equal(o->rig.q.size, 256);
	assert_int_equal(in(o, VIRTIO_PCI_QUEUE_PFN, 4), o->rig.q.desc_gpa >> 12);
	assert_int_equal(fake_kvm_doorbells(), 0);
	out(o, VIRTIO_PCI_QUEUE_NOTIFY, 2, 0); /* another queue, which is not enabled */
	assert_false(in(o, VIRTIO_PCI_STATUS, 1) & VIRTIO_CONFIG_S_DRIVER_OK);
	old_post(o);
	assert_int_equal(o->rig.toy->notified[1], 1);
	assert_true(ring_used(&o->rig.q, &id, &len));
	assert_int_equal(len, 7);
	assert_int_equal(in(o, VIRTIO_PCI_ISR, 1), 1);
	assert_int_equal(in(o, VIRTIO_PCI_ISR, 1), 0);
	out(o, VIRTIO_PCI_STATUS, 1, STARTED | VIRTIO_CONFIG_S_DRIVER_OK);
	/* From now on the kernel hears it, and each queue its own. */
	assert_int_equal(fake_kvm_doorbells(), 1);
	assert_int_equal(fake_kvm_doorbell_of(o->base + VIRTIO_PCI_QUEUE_NOTIFY, true, 0), -1);
	assert_true(fake_kvm_doorbell_of(o->base + VIRTIO_PCI_QUEUE_NOTIFY, true, 1) >= 0);
	old_post(o);
	assert_int_equal(o->rig.toy->notified[1], 2);
	/* F09: kicks for queues that are not there. */
	for (id = TOY_QUEUES; id < 0x10000; id = id * 2 + 1)
		out(o, VIRTIO_PCI_QUEUE_NOTIFY, 2, id);
	guest_sync(o->rig.g);
	assert_int_equal(o->rig.toy->notified[0] + o->rig.toy->notified[2], 0);

	/* By message. */
	guest_msix_on(o->rig.g, &o->rig.toy->vpci.pdev);
	out(o, VIRTIO_MSI_QUEUE_VECTOR, 2, 2);
	old_post(o);
	assert_int_equal(guest_msix_count(&o->rig.toy->vpci.pdev, 2), 1);
	dev_reset_all(o->rig.g->vm);
	assert_int_equal(fake_kvm_doorbells(), 0);
	assert_false(o->rig.toy->vpci.vdev.legacy);
}

/* F08: addresses that cannot be, and that change. */
static void addresses(void **state)
{
	static const uint32_t bad[] = { 0x3ff, 0x400, 0xfee00, 0xffffffff };
	struct old *o = *state;
	unsigned int i;
	uint32_t pfn;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		old_start(o, 0);
		out(o, VIRTIO_PCI_QUEUE_SEL, 2, 2);
		out(o, VIRTIO_PCI_QUEUE_PFN, 4, bad[i]);
		assert_int_equal(in(o, VIRTIO_PCI_QUEUE_PFN, 4), 0);
		assert_true(in(o, VIRTIO_PCI_STATUS, 1) & VIRTIO_CONFIG_S_NEEDS_RESET);
	}
	assert_true(guest_logged(o->rig.g, "not in memory"));
	/* Before a driver is there. */
	out(o, VIRTIO_PCI_STATUS, 1, 0);
	out(o, VIRTIO_PCI_QUEUE_PFN, 4, 0x100);
	assert_int_equal(in(o, VIRTIO_PCI_QUEUE_PFN, 4), 0);

	old_start(o, EVENT_IDX);
	old_ring(o, 0);
	out(o, VIRTIO_PCI_STATUS, 1, STARTED | VIRTIO_CONFIG_S_DRIVER_OK);
	pfn = in(o, VIRTIO_PCI_QUEUE_PFN, 4);
	out(o, VIRTIO_PCI_QUEUE_PFN, 4, pfn + 1);
	assert_int_equal(in(o, VIRTIO_PCI_QUEUE_PFN, 4), pfn);
	old_post(o);
	assert_int_equal(o->rig.toy->taken, 1);
	assert_int_equal(ring_avail_event(&o->rig.q), 1);
	/* 0 takes it away, and a reset with it. */
	i = o->rig.toy->resets;
	out(o, VIRTIO_PCI_QUEUE_PFN, 4, 0);
	assert_int_equal(o->rig.toy->resets, i + 1);
	assert_int_equal(in(o, VIRTIO_PCI_QUEUE_PFN, 4), 0);
	assert_int_equal(in(o, VIRTIO_PCI_STATUS, 1), 0);
	out(o, VIRTIO_PCI_QUEUE_PFN, 4, 0);
	assert_int_equal(o->rig.toy->resets, i + 1);
}

/* Anything at any place of both interfaces, and then a driver finds its device. */
static void random_pokes(void **state)
{
	struct old *o = *state;
	uint64_t x = 88172645463325252ull;
	unsigned int i, size;

	for (i = 0; i < 200000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		size = 1u << (x >> 8) % 3;
		if (!(x & 7))
			set_common(&o->rig, x >> 16 & 0x3f, size, x >> 32 & 0xff);
		else if (x & 8)
			out(o, (unsigned int)(x >> 16) % (64 - size), size,
			    (uint32_t)(x >> (x & 16 ? 24 : 48)));
		else
			in(o, (unsigned int)(x >> 16) % (64 - size), size);
	}
	guest_sync(o->rig.g);
	old_start(o, 0);
	old_ring(o, 0);
	out(o, VIRTIO_PCI_STATUS, 1, STARTED | VIRTIO_CONFIG_S_DRIVER_OK);
	guest_sync(o->rig.g);
	i = o->rig.toy->taken;
	old_post(o);
	assert_int_equal(o->rig.toy->taken, i + 1);
}

/* Real devices. */

static void disk(void **state)
{
	char path[] = "/tmp/virtio_pci_legacy.XXXXXX", spec[96];
	int fd = mkstemp(path);
	struct guest *g = guest_new(4 * MIB);
	struct old o = { .base = 0 };
	uint32_t id, len;
	struct dev *dev;
	uint8_t *mem;
	gpa_t buf;

	(void)state;
	memset(spec, 0x5a, sizeof(spec));
	assert_true(fd >= 0 && !ftruncate(fd, 65536));
	assert_int_equal(pwrite(fd, spec, 64, 512), 64);
	snprintf(spec, sizeof(spec), "virtio-blk,legacy=on,path=%s", path);
	dev = guest_device(g, &virtio_blk_class, spec);
	old_open(&o, g, dev);
	assert_int_equal(guest_read(g, guest_ecam(to_pci(dev), PCI_DEVICE_ID), 2), 0x1001);
	assert_int_equal(guest_read(g, guest_ecam(to_pci(dev), PCI_SUBSYSTEM_ID), 2), 2);
	buf = guest_alloc(g, 4096, 4096);
	mem = guest_ptr(g, buf, 4096);
	old_start(&o, 0);
	assert_int_equal(in(&o, 20, 4), 128); /* sectors */
	old_ring(&o, 0);
	out(&o, VIRTIO_PCI_STATUS, 1, STARTED | VIRTIO_CONFIG_S_DRIVER_OK);
	memset(mem, 0, 4096);
	put_le32(mem, VIRTIO_BLK_T_IN);
	put_le64(mem + 8, 1);
	mem[16] = 0xee;
	ring_desc(&o.rig.q, 0, buf, 16, VRING_DESC_F_NEXT, 1);
	ring_desc(&o.rig.q, 1, buf + 512, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
	ring_desc(&o.rig.q, 2, buf + 16, 1, VRING_DESC_F_WRITE, 0);
	ring_post(&o.rig.q, 0);
	old_kick(&o);
	assert_true(ring_wait(&o.rig.q, &id, &len));
	assert_int_equal(mem[16], VIRTIO_BLK_S_OK);
	assert_int_equal(mem[512 + 63], 0x5a);
	assert_int_equal(mem[512 + 64], 0);
	guest_free(g);
	close(fd);
	unlink(path);
}

/* 5.1.6.1: without mergeable buffers a legacy header is two bytes shorter. */
static void network(void **state)
{
	static const struct {
		uint32_t features;
		unsigned int header;
	} rounds[] = { { 0, 10 }, { 1u << VIRTIO_NET_F_MRG_RXBUF, 12 } };
	struct guest *g = guest_new(4 * MIB);
	struct virtio_net *n =
		(struct virtio_net *)(void *)guest_device(g, &virtio_net_class, "virtio-net,legacy=on");
	struct net *net = &n->net;
	uint8_t frame[64] = { 0 };
	struct iovec iov = { frame, sizeof(frame) };
	gpa_t buf = guest_alloc(g, 4096, 4096);
	uint8_t *mem = guest_ptr(g, buf, 4096);
	struct old o = { .base = 0 };
	uint32_t id, len;
	unsigned int i;

	(void)state;
	net_close(net);
	assert_int_equal(net_attach(net, &tester_ops, 1, g->vm, "nic", net->lock, net->peer, n, NULL),
			 0);
	old_open(&o, g, &n->vpci.pdev.dev);
	assert_int_equal(guest_read(g, guest_ecam(&n->vpci.pdev, PCI_DEVICE_ID), 2), 0x1000);
	assert_int_equal(in(&o, 20, 1), n->mac.b[0]);
	for (i = 0; i < ARRAY_SIZE(rounds); i++) {
		old_start(&o, rounds[i].features);
		old_ring(&o, VIRTIO_NET_TX);
		out(&o, VIRTIO_PCI_STATUS, 1, STARTED | VIRTIO_CONFIG_S_DRIVER_OK);
		memset(mem, 0xee, rounds[i].header);
		memset(mem + rounds[i].header, 0x31 + (int)i, 60);
		ring_desc(&o.rig.q, 0, buf, rounds[i].header + 60, 0, 0);
		ring_post(&o.rig.q, 0);
		old_kick(&o);
		assert_int_equal(tester.last_len, 60);
		assert_int_equal(tester.last[0], 0x31 + i);
		assert_int_equal(tester.last[59], 0x31 + i);

		old_start(&o, rounds[i].features);
		old_ring(&o, VIRTIO_NET_RX);
		out(&o, VIRTIO_PCI_STATUS, 1, STARTED | VIRTIO_CONFIG_S_DRIVER_OK);
		memset(mem, 0xee, 256);
		memset(frame, 0x77, sizeof(frame));
		ring_desc(&o.rig.q, 0, buf, 256, VRING_DESC_F_WRITE, 0);
		ring_post(&o.rig.q, 0);
		old_kick(&o);
		tester_deliver(net->lock, 0, &iov, 1);
		assert_true(ring_used(&o.rig.q, &id, &len));
		assert_int_equal(len, rounds[i].header + 64);
		assert_int_equal(mem[rounds[i].header - 1], 0);
		assert_int_equal(mem[rounds[i].header], 0x77);
		assert_int_equal(mem[rounds[i].header + 64], 0xee);
	}
	guest_free(g);
}

static void devices(void **state)
{
	static const struct {
		const struct dev_class *class;
		uint16_t id, type;
	} all[] = {
		{ &virtio_balloon_class, 0x1002, 5 },
		{ &virtio_console_class, 0x1003, 3 },
		{ &virtio_rng_class, 0x1005, 4 },
	};
	struct guest *g = guest_new(4 * MIB);
	struct pci_dev *pdev;
	struct err err = { 0 };
	char spec[64];
	unsigned int i;
	struct dev *dev;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(all); i++) {
		snprintf(spec, sizeof(spec), "%s,legacy=on", all[i].class->name);
		pdev = to_pci(guest_device(g, all[i].class, spec));
		assert_int_equal(get_le16(pdev->config + PCI_DEVICE_ID), all[i].id);
		assert_int_equal(get_le16(pdev->config + PCI_SUBSYSTEM_ID), all[i].type);
	}
	assert_int_equal(guest_try_device(g, &toy_class, "toy,legacy=on", &dev, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "legacy=on"));
	assert_null(strchr(err.msg, '\n'));
	guest_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup_old, teardown_old)
		T(identity),
		T(header),
		T(negotiation),
		T(traffic),
		T(addresses),
		T(random_pokes),
		cmocka_unit_test(disk),
		cmocka_unit_test(network),
		cmocka_unit_test(devices),
	};

	frame_link_module();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
