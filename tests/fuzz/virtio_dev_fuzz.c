// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A driver that does anything with a virtio device: the first byte picks the device, each further
 * one an operation, whose operands follow. The device's queue handlers run on this thread, on the
 * real image where it is a disk. What must hold: no sanitizer says a word, every queue takes no
 * more buffers than the ring has, and after a reset, of the device or of one queue, nothing is under
 * way and it serves again. The legacy interface is one more device to pick.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "fake_driver.h"
#include "virtio/virtio_balloon.h"
#include "virtio/virtio_blk.h"
#include "virtio/virtio_console.h"
#include "virtio/virtio_rng.h"
#include "virtio/virtio_scsi.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

#define RAM (2 * MIB)
#define RING_SIZE 16u
#define RINGS_AT 0x20000u /* 0x3000 for each queue: descriptors, available, used */
#define RING_STEP 0x3000u
#define DATA_AT 0x100000u
#define QUEUES_MAX 4u
#define IMAGE (64 * KIB)

static const struct {
	const struct dev_class *class;
	bool disk; /* of the image */
	const char *options;
} devices[] = {
	{ &virtio_blk_class, true, ",lock=off,queues=2" },
	{ &virtio_blk_class, true, ",lock=off,readonly=on" },
	{ &virtio_rng_class, false, "" },
	{ &virtio_balloon_class, false, "" },
	{ &virtio_console_class, false, "" },
	{ &scsi_disk_class, true, ",lock=off,queues=1" },
	{ &virtio_blk_class, true, ",lock=off,queues=2,legacy=on" },
};

enum op { OP_DESC, OP_DATA, OP_POST, OP_NOTIFY, OP_CONFIG, OP_RESTART, OP_MASTER, OPS };

struct fuzz {
	struct guest *g;
	uint8_t *ram;
	struct virtio_pci *vps[ARRAY_SIZE(devices)];
	char image[64];
	/* of one input */
	struct fuzz_input in;
	struct virtio_pci *vp;
	uint16_t avail[QUEUES_MAX];
};

static void image_remove(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/tmp/virtio_dev_fuzz.%d", (int)getpid());
	unlink(path);
}

/* Once for the process: what one input leaves behind, the reset at the next one's start takes. */
static struct fuzz *fuzz_get(void)
{
	static struct fuzz f;
	char spec[160];
	unsigned int i;
	int fd;

	if (f.g)
		return &f;
	snprintf(f.image, sizeof(f.image), "/tmp/virtio_dev_fuzz.%d", (int)getpid());
	fd = open(f.image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	MUST(fd >= 0 && !ftruncate(fd, IMAGE));
	close(fd);
	atexit(image_remove);
	f.g = guest_new(RAM);
	f.ram = guest_ptr(f.g, 0, RAM);
	for (i = 0; i < ARRAY_SIZE(devices); i++) {
		if (devices[i].disk)
			snprintf(spec, sizeof(spec), "%s,path=%s%s", devices[i].class->name,
				 f.image, devices[i].options);
		else
			snprintf(spec, sizeof(spec), "%s%s", devices[i].class->name,
				 devices[i].options);
		f.vps[i] = to_virtio_pci(guest_device(f.g, devices[i].class, spec));
	}
	return &f;
}

static unsigned int queues(const struct fuzz *f)
{
	unsigned int n = f->vp->vdev.queue_count;

	return n < QUEUES_MAX ? n : QUEUES_MAX;
}

static uint8_t *ring(const struct fuzz *f, unsigned int queue, unsigned int part)
{
	return f->ram + RINGS_AT + (size_t)queue * RING_STEP + (size_t)part * 0x1000u;
}

static void enable(struct fuzz *f, unsigned int queue)
{
	struct virtq *vq = &f->vp->vdev.queues[queue];

	memset(ring(f, queue, 0), 0, RING_STEP);
	virtio_queue_set_size(vq, RING_SIZE);
	vq->desc = RINGS_AT + queue * RING_STEP;
	vq->driver = vq->desc + 0x1000;
	vq->device = vq->desc + 0x2000;
	virtio_queue_enable(vq);
	f->avail[queue] = 0;
}

static void start(struct fuzz *f)
{
	struct virtio_dev *vdev = &f->vp->vdev;
	const uint64_t more = BIT64(VIRTIO_F_RING_RESET) | BIT64(VIRTIO_F_IN_ORDER);
	uint32_t features = fuzz_u16(&f->in) | (uint32_t)fuzz_u16(&f->in) << 16;
	unsigned int i;

	f->vp->pdev.config[PCI_COMMAND] |= PCI_COMMAND_MASTER;
	virtio_dev_set_status(vdev, 0);
	virtio_dev_ack(vdev, 0, features & (uint32_t)vdev->offered);
	virtio_dev_ack(vdev, 1, 1 | (uint32_t)((vdev->offered & more) >> 32));
	virtio_dev_set_status(vdev, VIRTIO_CONFIG_S_FEATURES_OK);
	MUST(vdev->status & VIRTIO_CONFIG_S_FEATURES_OK);
	for (i = 0; i < queues(f); i++)
		enable(f, i);
	virtio_dev_set_status(vdev, VIRTIO_CONFIG_S_DRIVER_OK);
}

static void write_desc(struct fuzz *f, unsigned int queue)
{
	static const uint32_t lens[] = { 0,  1,	  4,   8,   12,	  15,	16,	 17,
					 20, 511, 512, 513, 4096, 8192, 0x10000, UINT32_MAX };
	uint8_t *d = ring(f, queue, 0) + (size_t)(fuzz_u8(&f->in) % RING_SIZE) * 16;
	uint8_t where = fuzz_u8(&f->in);
	uint64_t addr = where == 255 ? RAM - 8 : DATA_AT + where * 64u;

	put_le64(d, addr);
	put_le32(d + 8, lens[fuzz_u8(&f->in) % ARRAY_SIZE(lens)]);
	put_le16(d + 12, fuzz_u8(&f->in) & 7);
	put_le16(d + 14, fuzz_u8(&f->in) % (RING_SIZE + 1));
}

static void post(struct fuzz *f, unsigned int queue)
{
	uint8_t *avail = ring(f, queue, 1);

	put_le16(avail + 4 + (size_t)(f->avail[queue]++ % RING_SIZE) * 2,
		 fuzz_u8(&f->in) % (RING_SIZE + 1));
	put_le16(avail + 2, f->avail[queue]);
}

static void notify(struct fuzz *f, unsigned int queue)
{
	struct virtq *vq = &f->vp->vdev.queues[queue];

	if (virtq_running(vq))
		f->vp->vdev.ops->notify(&f->vp->vdev, vq);
	MUST(vq->inflight <= vq->size);
}

static void config(struct fuzz *f)
{
	static const uint8_t widths[] = { 1, 2, 4 };
	const struct dev_control *control = f->vp->pdev.dev.class->control;
	unsigned int size = widths[fuzz_u8(&f->in) % 3];
	uint64_t at = VIRTIO_PCI_DEVICE_AT + fuzz_u8(&f->in) / size * size;

	virtio_pci_read(&f->vp->pdev.dev, virtio_pci_bar(f->vp), at, size);
	virtio_pci_write(&f->vp->pdev.dev, virtio_pci_bar(f->vp), at, size, fuzz_u16(&f->in));
	/* The host asks, too. */
	if (control && control->balloon_stats) {
		struct dev_balloon_stats stats;

		control->balloon_stats(&f->vp->pdev.dev, &stats, NULL);
		MUST(stats.count <= DEV_STATS_MAX);
	}
}

/* One queue alone, which then serves from its first entry on. */
static void queue_reset(struct fuzz *f, unsigned int queue)
{
	struct virtq *vq = &f->vp->vdev.queues[queue];

	if (!virtio_queue_reset(vq) || vq->resetting)
		return;
	MUST(!vq->enabled && !vq->inflight);
	enable(f, queue);
}

/* The registers of the other interface, behind the back of the driver that runs. */
static void legacy(struct fuzz *f)
{
	static const uint8_t widths[] = { 1, 2, 4 };
	unsigned int size = widths[fuzz_u8(&f->in) % 3];
	unsigned int at = fuzz_u8(&f->in) % 128 / size * size;

	virtio_pci_read(&f->vp->pdev.dev, VIRTIO_PCI_LEGACY_BAR, at, size);
	virtio_pci_write(&f->vp->pdev.dev, VIRTIO_PCI_LEGACY_BAR, at, size, fuzz_u16(&f->in));
}

static void step(struct fuzz *f)
{
	unsigned int op = fuzz_u8(&f->in) % OPS, which = fuzz_u8(&f->in);
	unsigned int at, queue = which % queues(f);

	switch (op) {
	case OP_DESC:
		write_desc(f, queue);
		break;
	case OP_DATA:
		at = DATA_AT + fuzz_u8(&f->in) * 64u;
		put_le32(f->ram + at, fuzz_u8(&f->in));
		put_le64(f->ram + at + 8, fuzz_u8(&f->in));
		break;
	case OP_POST:
		post(f, queue);
		break;
	case OP_NOTIFY:
		notify(f, queue);
		break;
	case OP_CONFIG:
		config(f);
		break;
	case OP_RESTART:
		start(f);
		break;
	case OP_MASTER:
		if (which >= 192 && f->vp->legacy) {
			legacy(f);
			break;
		}
		if (which >= 128) {
			queue_reset(f, queue);
			break;
		}
		f->vp->pdev.config[PCI_COMMAND] ^= PCI_COMMAND_MASTER;
		virtio_dev_running_changed(&f->vp->vdev);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz *f = fuzz_get();
	pthread_mutex_t *lock;
	unsigned int i;

	f->in = (struct fuzz_input){ data, size };
	f->vp = f->vps[fuzz_u8(&f->in) % ARRAY_SIZE(devices)];
	lock = &f->vp->pdev.dev.lock;
	pthread_mutex_lock(lock);
	start(f);
	while (f->in.left)
		step(f);
	virtio_dev_set_status(&f->vp->vdev, 0);
	for (i = 0; i < f->vp->vdev.queue_count; i++)
		MUST(!f->vp->vdev.queues[i].inflight);
	pthread_mutex_unlock(lock);
	return 0;
}
