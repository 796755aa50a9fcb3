/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The console device, virtio 1.2 clause 5.3: a console (port 0) and up to three more ports, each on
 * a character back end (vmm/chardev.h).
 */
#ifndef VIADUCT_VIRTIO_VIRTIO_CONSOLE_H
#define VIADUCT_VIRTIO_VIRTIO_CONSOLE_H

#include "virtio_pci.h"

struct chardev;

#define VIRTIO_CONSOLE_PORTS_MAX 4u

struct virtio_console;

struct virtio_console_port {
	struct virtio_console *console;
	unsigned int id;
	struct chardev *chardev;
	uint8_t pending; /* control messages still to be sent: a bit for each kind */
	bool ready;	 /* the driver has it */
	bool guest_open;
	struct virtq_elem out; /* the guest's buffer in hand, of which */
	size_t out_done;       /* so much is written; the rest waits for room */
	bool out_held;
};

struct virtio_console {
	struct virtio_pci vpci;
	/* options */
	char *specs[VIRTIO_CONSOLE_PORTS_MAX]; /* [0] NULL: "none"; the first NULL ends the rest */
	char *names[VIRTIO_CONSOLE_PORTS_MAX]; /* [0] is not used */
	uint32_t cols, rows;		       /* 0: those of the terminal, if it is on one */

	bool size_follows; /* the terminal's */
	unsigned int port_count;
	struct virtio_console_port ports[VIRTIO_CONSOLE_PORTS_MAX];
	/* The buffers in hand: to the guest, and control messages from it. */
	struct virtq_elem in, out;
};

/* The terminal has another size: tells the guest. Device lock held, any thread. */
void virtio_console_resize(struct virtio_console *c, uint16_t cols, uint16_t rows);

extern const struct dev_class virtio_console_class;

#endif
