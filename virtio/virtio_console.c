// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * virtio-console. Queues: 0 and 1 are port 0's receive and transmit, 2 and 3 the control queues,
 * and port n from 1 on has 2n + 2 and 2n + 3. A driver without MULTIPORT has port 0 alone, always
 * open.
 *
 * Control messages to the guest are not queued but remembered as a bit for each port and kind: a
 * driver that gives no buffers, or asks again and again, costs nothing.
 *
 * Input stays in the back end until the guest has opened the port and given buffers.
 *
 * Output of a port waits for its reader: the queue stands until there is room. The console's does
 * not, and loses the oldest (chardev.h), for Linux spins with interrupts off until its console has
 * taken what it says. Likewise a port on a socket is open to the guest while it has a client, and
 * what is said to nobody is lost; the console is always open, and keeps the last for the next one.
 */
#include "virtio_console.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "vmm/chardev.h"
#include "vmm/iov.h"
#include "vmm/vm.h"

#define QUEUE_SIZE 64
#define QUEUES_MAX (2 * (VIRTIO_CONSOLE_PORTS_MAX + 1))
#define CLASS_COMMUNICATION 0x078000u
#define CONFIG_SIZE 8 /* cols, rows, max_nr_ports */
#define CONTROL_SIZE sizeof(struct virtio_console_control)
#define NAME_MAX_BYTES 64u
#define PASS_BYTES (256 * KIB) /* of output, before others have a turn */

enum { CONTROL_RX = 2, CONTROL_TX = 3 };

/* Bits of pending, in the order in which they are sent. */
enum { TELL_ADD, TELL_CONSOLE, TELL_RESIZE, TELL_NAME, TELL_OPEN, TELL_KINDS };

static struct virtio_console *dev_to_console(struct dev *dev)
{
	return container_of(to_virtio_pci(dev), struct virtio_console, vpci);
}

static struct virtq *console_queue(struct virtio_console *c, unsigned int index)
{
	return &c->vpci.vdev.queues[index];
}

static unsigned int port_queue(const struct virtio_console_port *port)
{
	return port->id ? 2 * port->id + 2 : 0;
}

static bool multiport(const struct virtio_console *c)
{
	return virtio_has(&c->vpci.vdev, VIRTIO_CONSOLE_F_MULTIPORT);
}

/* Control messages to the guest. */

/* Makes the message that bit @kind stands for; returns its length. */
static size_t control_message(const struct virtio_console_port *port, unsigned int kind,
			      uint8_t *msg)
{
	static const uint16_t events[TELL_KINDS] = {
		[TELL_ADD] = VIRTIO_CONSOLE_PORT_ADD,
		[TELL_CONSOLE] = VIRTIO_CONSOLE_CONSOLE_PORT,
		[TELL_RESIZE] = VIRTIO_CONSOLE_RESIZE,
		[TELL_NAME] = VIRTIO_CONSOLE_PORT_NAME,
		[TELL_OPEN] = VIRTIO_CONSOLE_PORT_OPEN,
	};
	const struct virtio_console *c = port->console;
	size_t len;

	put_le32(msg, port->id);
	put_le16(msg + 4, events[kind]);
	put_le16(msg + 6, kind != TELL_OPEN || !port->id || chardev_connected(port->chardev));
	if (kind == TELL_RESIZE) {
		put_le16(msg + CONTROL_SIZE, (uint16_t)c->cols);
		put_le16(msg + CONTROL_SIZE + 2, (uint16_t)c->rows);
		return CONTROL_SIZE + 4;
	}
	if (kind != TELL_NAME)
		return CONTROL_SIZE;
	len = strlen(c->names[port->id]);
	memcpy(msg + CONTROL_SIZE, c->names[port->id], len);
	return CONTROL_SIZE + len;
}

/* Sends what is next. False: no buffer, or the queue is broken. */
static bool control_send_one(struct virtio_console_port *port, struct virtq *vq)
{
	struct virtio_console *c = port->console;
	uint8_t msg[CONTROL_SIZE + NAME_MAX_BYTES];
	struct iov_cursor to, from;
	unsigned int kind = (unsigned int)__builtin_ctz(port->pending);
	size_t len = control_message(port, kind, msg);
	struct iovec iov = { msg, len };

	/* Asked for a kick, a buffer may have come in between. */
	while (!virtq_pop(vq, &c->in))
		if (!virtq_kick_on(vq))
			return false;
	if (vq->broken)
		return false;
	if (c->in.in_len < len) {
		virtq_fail(vq, "control buffer of %llu bytes", (unsigned long long)c->in.in_len);
		return false;
	}
	iov_cursor_init(&to, virtq_elem_in(&c->in), c->in.in_count);
	iov_cursor_init(&from, &iov, 1);
	iov_cursor_copy(&to, &from, len);
	virtq_push(vq, &c->in, (uint32_t)len);
	port->pending &= (uint8_t)~BIT(kind);
	return true;
}

static void control_send(struct virtio_console *c)
{
	struct virtq *vq = console_queue(c, CONTROL_RX);
	unsigned int i;
	bool room = true;

	if (!multiport(c) || !virtq_running(vq))
		return;
	for (i = 0; i < c->port_count && room; i++)
		while (c->ports[i].pending && room)
			room = control_send_one(&c->ports[i], vq);
	if (!vq->broken)
		virtq_signal(vq);
}

static void port_ready(struct virtio_console_port *port)
{
	const struct virtio_console *c = port->console;

	/* Closed is what the driver takes for granted. */
	if (!port->id || chardev_connected(port->chardev))
		port->pending |= BIT(TELL_OPEN);
	if (!port->id)
		port->pending |= BIT(TELL_CONSOLE);
	if (!port->id && c->cols)
		port->pending |= BIT(TELL_RESIZE);
	if (c->names[port->id])
		port->pending |= BIT(TELL_NAME);
}

/* Control messages from the guest. */

static void control_received(struct virtio_console *c, const uint8_t *msg)
{
	uint32_t id = get_le32(msg);
	uint16_t event = get_le16(msg + 4), value = get_le16(msg + 6);
	struct virtio_console_port *port;
	unsigned int i;

	if (event == VIRTIO_CONSOLE_DEVICE_READY) {
		for (i = 0; i < c->port_count && value; i++)
			c->ports[i].pending |= BIT(TELL_ADD);
		return;
	}
	if (id >= c->port_count) {
		log_limited(c->vpci.pdev.dev.vm->log, &c->vpci.vdev.limit, LOG_WARN,
			    "%s: the driver names port %u, of %u", c->vpci.pdev.dev.id, id,
			    c->port_count);
		return;
	}
	port = &c->ports[id];
	if (event == VIRTIO_CONSOLE_PORT_READY && value) {
		port->ready = true;
		port_ready(port);
	} else if (event == VIRTIO_CONSOLE_PORT_OPEN) {
		port->guest_open = value;
		if (value)
			chardev_resume(port->chardev);
	}
}

static void out_end(struct virtq *vq)
{
	if (vq->broken)
		return;
	virtq_signal(vq);
	if (virtq_kick_on(vq))
		virtq_kick_again(vq);
}

static void control_run(struct virtio_console *c, struct virtq *vq)
{
	uint8_t msg[CONTROL_SIZE];
	unsigned int n;

	for (n = 0; n < vq->size && virtq_pop(vq, &c->out) > 0; n++) {
		if (iov_gather(virtq_elem_out(&c->out), c->out.out_count, msg, sizeof(msg)) ==
		    sizeof(msg))
			control_received(c, msg);
		virtq_push(vq, &c->out, 0);
	}
	out_end(vq);
}

/* Output. */

/* Writes what there is room for of the buffer in hand. */
static void port_write(struct virtio_console_port *port)
{
	size_t room, n, skip = port->out_done;
	struct iov_cursor from;
	void *at;

	iov_cursor_init(&from, virtq_elem_out(&port->out), port->out.out_count);
	while (skip && (n = iov_cursor_next(&from, skip, &at)))
		skip -= n;
	do {
		room = port->id ? chardev_room(port->chardev) : SIZE_MAX;
		n = iov_cursor_next(&from, room, &at);
		if (n)
			chardev_write(port->chardev, at, n);
		port->out_done += n;
	} while (n);
}

/* One ring's length or PASS_BYTES at most. */
static void port_run(struct virtio_console_port *port, struct virtq *vq)
{
	size_t bytes = 0;
	unsigned int n;

	for (n = 0; n < vq->size && bytes < PASS_BYTES; n++) {
		if (!port->out_held) {
			if (virtq_pop(vq, &port->out) <= 0)
				break;
			port->out_held = true;
			port->out_done = 0;
		}
		bytes += port->out.out_len - port->out_done;
		port_write(port);
		/* port_writable() goes on. */
		if (port->out_done < port->out.out_len) {
			virtq_kick_off(vq);
			virtq_signal(vq);
			return;
		}
		port->out_held = false;
		virtq_push(vq, &port->out, 0);
	}
	out_end(vq);
}

static void port_writable(void *opaque)
{
	struct virtio_console_port *port = opaque;
	struct virtq *vq = console_queue(port->console, port_queue(port) + 1);

	if (virtq_running(vq))
		port_run(port, vq);
}

/* Without a client nobody reads what the guest says, nor says anything (5.3.6.2). */
static void port_peer(void *opaque, bool connected)
{
	struct virtio_console_port *port = opaque;

	(void)connected;
	/* Nobody to tell it before the port is ready; port_ready() asks then. */
	if (!port->ready)
		return;
	port->pending |= BIT(TELL_OPEN);
	control_send(port->console);
}

/* Input. */

/* Fills one buffer of the guest; returns how many bytes it took, 0: there is none. */
static size_t port_fill(struct virtio_console *c, struct virtq *vq, const uint8_t *buf, size_t len)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	struct iov_cursor to, from;
	size_t n;

	while (!virtq_pop(vq, &c->in))
		if (!virtq_kick_on(vq))
			return 0;
	if (vq->broken)
		return 0;
	if (!c->in.in_len) {
		virtq_fail(vq, "receive buffer without room");
		return 0;
	}
	iov_cursor_init(&to, virtq_elem_in(&c->in), c->in.in_count);
	iov_cursor_init(&from, &iov, 1);
	n = iov_cursor_copy(&to, &from, len);
	virtq_push(vq, &c->in, (uint32_t)n);
	return n;
}

static size_t port_receive(void *opaque, const uint8_t *buf, size_t len)
{
	struct virtio_console_port *port = opaque;
	struct virtio_console *c = port->console;
	struct virtq *vq = console_queue(c, port_queue(port));
	size_t done = 0, n = 1;

	if (!virtq_running(vq) || (multiport(c) && !port->guest_open))
		return 0;
	while (done < len && n) {
		n = port_fill(c, vq, buf + done, len - done);
		done += n;
	}
	if (!vq->broken)
		virtq_signal(vq);
	return done;
}

/* The virtio device. */

static void console_config_read(struct virtio_dev *vdev, unsigned int offset, void *buf,
				unsigned int len)
{
	const struct virtio_console *c = dev_to_console(vdev->dev);
	uint8_t config[CONFIG_SIZE];

	put_le16(config, (uint16_t)c->cols);
	put_le16(config + 2, (uint16_t)c->rows);
	put_le32(config + 4, c->port_count);
	memcpy(buf, config + offset, len);
}

static struct virtio_console_port *queue_port(struct virtio_console *c, const struct virtq *vq)
{
	return &c->ports[vq->index < CONTROL_RX ? 0 : vq->index / 2 - 1];
}

static void console_notify(struct virtio_dev *vdev, struct virtq *vq)
{
	struct virtio_console *c = dev_to_console(vdev->dev);
	struct virtio_console_port *port;

	if (vq->index == CONTROL_RX || vq->index == CONTROL_TX) {
		if (vq->index == CONTROL_TX)
			control_run(c, vq);
		control_send(c);
		return;
	}
	port = queue_port(c, vq);
	if (vq->index & 1)
		port_run(port, vq);
	else
		chardev_resume(port->chardev);
}

static void console_reset(struct virtio_dev *vdev)
{
	struct virtio_console *c = dev_to_console(vdev->dev);
	unsigned int i;

	for (i = 0; i < c->port_count; i++) {
		c->ports[i].pending = 0;
		c->ports[i].guest_open = false;
		c->ports[i].ready = false;
		c->ports[i].out_held = false;
	}
}

static bool console_queue_reset(struct virtio_dev *vdev, struct virtq *vq, unsigned int ms)
{
	(void)ms;
	if (vq->index & 1 && vq->index != CONTROL_TX)
		queue_port(dev_to_console(vdev->dev), vq)->out_held = false;
	return true;
}

void virtio_console_resize(struct virtio_console *c, uint16_t cols, uint16_t rows)
{
	if (!(c->vpci.vdev.offered & BIT64(VIRTIO_CONSOLE_F_SIZE)))
		return;
	c->cols = cols;
	c->rows = rows;
	virtio_dev_config_changed(&c->vpci.vdev);
	if (!multiport(c))
		return;
	c->ports[0].pending |= BIT(TELL_RESIZE);
	control_send(c);
}

static const struct virtio_ops console_ops = {
	.type = VIRTIO_ID_CONSOLE,
	.config_size = CONFIG_SIZE,
	.features = BIT64(VIRTIO_CONSOLE_F_SIZE) | BIT64(VIRTIO_CONSOLE_F_MULTIPORT) |
		    VIRTIO_FEATURE_IN_ORDER,
	.config_read = console_config_read,
	.notify = console_notify,
	.reset = console_reset,
	.queue_reset = console_queue_reset,
};

/* The device class. */

static int virtio_console_probe(struct dev *dev, struct err *err)
{
	struct virtio_console *c = dev_to_console(dev);
	unsigned int i, count = 1;

	virtio_pci_describe(&c->vpci, &console_ops, CLASS_COMMUNICATION);
	while (count < VIRTIO_CONSOLE_PORTS_MAX && c->specs[count])
		count++;
	for (i = 1; i < VIRTIO_CONSOLE_PORTS_MAX; i++) {
		if (i >= count && (c->specs[i] || c->names[i]))
			return err_set(err, -EINVAL,
				       "port %u is described and there is no serial%u=", i,
				       c->specs[i] ? count : i);
		if (c->names[i] && strlen(c->names[i]) > NAME_MAX_BYTES)
			return err_set(err, -EINVAL, "name%u is longer than %u bytes", i,
				       NAME_MAX_BYTES);
	}
	c->port_count = count;
	return 0;
}

static void console_terminal_size(struct virtio_console *c)
{
	struct winsize size;

	if (c->cols && c->rows)
		return;
	c->cols = c->rows = 0;
	if (c->specs[0] && !strcmp(c->specs[0], "stdio") &&
	    !ioctl(STDIN_FILENO, TIOCGWINSZ, &size)) {
		c->size_follows = true;
		c->cols = size.ws_col;
		c->rows = size.ws_row;
	}
}

static void console_terminal_resized(struct dev *dev)
{
	struct virtio_console *c = dev_to_console(dev);
	struct winsize size;

	if (c->size_follows && !ioctl(STDIN_FILENO, TIOCGWINSZ, &size) && size.ws_col &&
	    (size.ws_col != c->cols || size.ws_row != c->rows))
		virtio_console_resize(c, size.ws_col, size.ws_row);
}

static const struct dev_control console_control = {
	.terminal_resized = console_terminal_resized,
};

static int port_open(struct virtio_console *c, unsigned int id, struct err *err)
{
	struct virtio_console_port *port = &c->ports[id];
	struct dev *dev = &c->vpci.pdev.dev;
	struct chardev_front front = { .receive = port_receive,
				       .writable = port_writable,
				       .peer = id ? port_peer : NULL,
				       .opaque = port,
				       .lock = &dev->lock };
	int ret;

	ret = chardev_new(&port->chardev, c->specs[id] ? c->specs[id] : "none", dev->vm->log, err);
	if (ret)
		return ret;
	return chardev_attach(port->chardev, dev->vm, &front, err);
}

static int virtio_console_realize(struct dev *dev, struct err *err)
{
	struct virtio_console *c = dev_to_console(dev);
	uint16_t sizes[QUEUES_MAX];
	unsigned int i;
	int ret;

	ret = virtio_console_probe(dev, err);
	if (ret)
		return ret;
	for (i = 0; i < QUEUES_MAX; i++)
		sizes[i] = QUEUE_SIZE;
	for (i = 0; i < c->port_count; i++)
		c->ports[i] = (struct virtio_console_port){ .console = c, .id = i };
	console_terminal_size(c);
	ret = virtio_pci_init(&c->vpci, &console_ops, CLASS_COMMUNICATION, sizes,
			      2 * (c->port_count + 1), err);
	if (ret)
		return ret;
	if (!c->cols)
		c->vpci.vdev.offered &= ~BIT64(VIRTIO_CONSOLE_F_SIZE);
	if (virtq_elem_init(&c->in, console_queue(c, 0)) ||
	    virtq_elem_init(&c->out, console_queue(c, 1)))
		return err_set(err, -ENOMEM, "no memory for buffers");
	for (i = 0; i < c->port_count; i++)
		if (virtq_elem_init(&c->ports[i].out,
				    console_queue(c, port_queue(&c->ports[i]) + 1)))
			return err_set(err, -ENOMEM, "no memory for buffers");
	for (i = 0; i < c->port_count && !ret; i++)
		ret = port_open(c, i, err);
	return ret ? ret : pci_dev_plug(&c->vpci.pdev, err);
}

static void virtio_console_quiesce(struct dev *dev)
{
	struct virtio_console *c = dev_to_console(dev);
	unsigned int i;

	virtio_dev_reset(&c->vpci.vdev);
	for (i = 0; i < c->port_count; i++)
		chardev_detach(c->ports[i].chardev);
}

static void virtio_console_destroy(struct dev *dev)
{
	struct virtio_console *c = dev_to_console(dev);
	unsigned int i;

	for (i = 0; i < c->port_count; i++) {
		if (c->ports[i].chardev)
			chardev_detach(c->ports[i].chardev);
		chardev_free(c->ports[i].chardev);
		virtq_elem_done(&c->ports[i].out);
	}
	virtio_pci_done(&c->vpci);
	virtq_elem_done(&c->in);
	virtq_elem_done(&c->out);
}

static void virtio_console_describe(struct dev *dev, char *buf, size_t size)
{
	struct virtio_console *c = dev_to_console(dev);

	snprintf(buf, size, "console on %s, %u more ports", c->specs[0] ? c->specs[0] : "none",
		 c->port_count ? c->port_count - 1 : 0);
}

#define PORT_OPTIONS(n)                                                                            \
	{ "serial" #n, OPT_STR, offsetof(struct virtio_console, specs[n]), 0,                      \
	  0,	       false,	"back end of port " #n ", as console=" },                          \
	{                                                                                          \
		"name" #n, OPT_STR, offsetof(struct virtio_console, names[n]), 0, 0, false,        \
			"what port " #n " is called in the guest (/dev/virtio-ports/NAME)"         \
	}

static const struct opt_field virtio_console_options[] = {
	{ "console", OPT_STR, offsetof(struct virtio_console, specs[0]), 0, 0, false,
	  "back end of the console: none (the default), stdio, file=PATH, unix=PATH" },
	{ "cols", OPT_U32, offsetof(struct virtio_console, cols), 1, UINT16_MAX, false,
	  "columns of the console (those of the terminal)" },
	{ "rows", OPT_U32, offsetof(struct virtio_console, rows), 1, UINT16_MAX, false,
	  "rows of the console (those of the terminal)" },
	PORT_OPTIONS(1),
	PORT_OPTIONS(2),
	PORT_OPTIONS(3),
	VIRTIO_PCI_OPTIONS(struct virtio_console, vpci),
	OPT_END,
};

const struct dev_class virtio_console_class = {
	.name = "virtio-console",
	.help = "console and serial ports of virtio 1.2",
	.size = sizeof(struct virtio_console),
	.options = virtio_console_options,
	.pci = &virtio_pci_ops,
	.probe = virtio_console_probe,
	.realize = virtio_console_realize,
	.quiesce = virtio_console_quiesce,
	.destroy = virtio_console_destroy,
	.reset = virtio_pci_reset,
	.read = virtio_pci_read,
	.write = virtio_pci_write,
	.describe = virtio_console_describe,
	.control = &console_control,
};
