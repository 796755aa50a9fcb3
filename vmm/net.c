// SPDX-License-Identifier: GPL-2.0-or-later
#include "net.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "iov.h"
#include "module.h"
#include "net_bridge.h"
#include "net_options.h"
#include "net_tap.h"
#include "net_user.h"
#include "vm.h"

/* A name for `net=`, and the module that brings it unless it is always there. */
struct net_row {
	const char *name;
	const struct net_backend_ops *ops; /* NULL: of the module */
	int (*check)(const struct net_config *config, struct err *err); /* NULL: fine */
	struct module_want module;
};

static int net_check_user(const struct net_config *config, struct err *err)
{
	struct net_user user;

	return net_user_parse(config, &user, err);
}

static const struct net_row net_rows[] = {
	{ "user", NULL, net_check_user, { "viaduct-slirp.so", "viaduct_net_module", "net=user", "libslirp" } },
	{ "tap", &net_tap_ops, net_tap_check, { NULL, NULL, NULL, NULL } },
	{ "bridge", &net_tap_ops, net_bridge_check, { NULL, NULL, NULL, NULL } },
};

static const struct net_row *net_row_find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(net_rows); i++)
		if (!strcmp(net_rows[i].name, name))
			return &net_rows[i];
	return NULL;
}

unsigned int net_queues(const struct net_config *config)
{
	return config->queues ? config->queues : 1;
}

/* The options that one back end has and no other. */
static const struct net_own {
	const char *backend, *option;
	size_t offset; /* in struct net_config */
	size_t size;
} net_own[] = {
#define NET_OWN(backend, option, field) \
	{ backend, option, offsetof(struct net_config, field), \
	  sizeof(((struct net_config *)NULL)->field) }
	NET_OWN("user", "subnet", subnet),
	NET_OWN("user", "gateway", gateway),
	NET_OWN("user", "dns", dns),
	NET_OWN("user", "dhcpstart", dhcpstart),
	NET_OWN("user", "hostname", hostname),
	NET_OWN("user", "tftp", tftp),
	NET_OWN("user", "bootfile", bootfile),
	NET_OWN("user", "hostfwd", hostfwd),
	NET_OWN("user", "restrict", restricted),
	NET_OWN("bridge", "bridge", bridge),
	NET_OWN("tap", "ifname", ifname),
	NET_OWN("tap", "fd", fd),
	NET_OWN("tap", "script", script),
	NET_OWN("tap", "downscript", downscript),
#undef NET_OWN
};

/* An option of another back end has no meaning, and is no way to ask for that one. */
static int net_check_own(const struct net_config *config, struct err *err)
{
	static const uint8_t unset[sizeof(uint64_t)];
	const char *backend = net_config_backend(config);
	const struct net_own *own;

	for (own = net_own; own < net_own + ARRAY_SIZE(net_own); own++)
		if (strcmp(own->backend, backend) != 0 &&
		    memcmp((const char *)config + own->offset, unset, own->size) != 0)
			return err_set(err, -EINVAL, "%s= is for net=%s, not for net=%s",
				       own->option, own->backend, backend);
	return 0;
}

int net_check(const struct net_config *config, struct err *err)
{
	const char *backend = net_config_backend(config);
	const struct net_row *row = net_row_find(backend);
	int ret;
	size_t i;

	if (row) {
		if (!row->ops && net_queues(config) > 1)
			return err_set(err, -EINVAL, "net=%s has one queue, queues=%u are for "
						     "net=tap", backend, net_queues(config));
		ret = net_check_own(config, err);
		return ret || !row->check ? ret : row->check(config, err);
	}
	err_set(err, -EINVAL, "net=%s: there is no such network; there is:", backend);
	for (i = 0; i < ARRAY_SIZE(net_rows); i++)
		err_append(err, " %s", net_rows[i].name);
	return -EINVAL;
}

/* Frames that wait for room. */

static size_t fifo_record(size_t len)
{
	return sizeof(uint32_t) + align_up(len, sizeof(uint32_t));
}

static void fifo_put_bytes(struct net_fifo *fifo, size_t at, const void *bytes, size_t len)
{
	size_t first;

	at %= NET_HELD_BYTES;
	first = MIN(len, NET_HELD_BYTES - at);
	memcpy(fifo->buf + at, bytes, first);
	memcpy(fifo->buf, (const uint8_t *)bytes + first, len - first);
}

static bool fifo_put(struct net_fifo *fifo, const struct iovec *iov, unsigned int count)
{
	size_t len = iov_size(iov, count);
	size_t at = fifo->head + fifo->used;
	uint32_t word = (uint32_t)len;
	unsigned int i;

	if (fifo_record(len) > NET_HELD_BYTES - fifo->used)
		return false;
	fifo_put_bytes(fifo, at, &word, sizeof(word));
	at += sizeof(word);
	for (i = 0; i < count; i++) {
		if (iov[i].iov_len)
			fifo_put_bytes(fifo, at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	fifo->used += fifo_record(len);
	return true;
}

/* The oldest frame, in one or two pieces; returns how many, 0 when there is none. */
static unsigned int fifo_peek(const struct net_fifo *fifo, struct iovec iov[2], size_t *ret_len)
{
	uint32_t len;
	size_t at, first;

	if (!fifo->used)
		return 0;
	/* A length never wraps: records start at multiples of 4. */
	memcpy(&len, fifo->buf + fifo->head, sizeof(len));
	at = (fifo->head + sizeof(len)) % NET_HELD_BYTES;
	first = MIN(len, NET_HELD_BYTES - at);
	iov[0] = (struct iovec){ fifo->buf + at, first };
	iov[1] = (struct iovec){ fifo->buf, len - first };
	*ret_len = len;
	return len > first ? 2 : 1;
}

static void fifo_drop_first(struct net_fifo *fifo, size_t len)
{
	fifo->head = (fifo->head + fifo_record(len)) % NET_HELD_BYTES;
	fifo->used -= fifo_record(len);
}

/* What a back end calls. */

static void net_rx_drop(struct net *net)
{
	net->rx_dropped++;
	log_limited(net->vm->log, &net->limit, LOG_DEBUG,
		    "%s: the guest does not take its frames: dropped", net->id);
}

/* Of a frame with its header. */
static bool net_frame_fits(const struct net *net, size_t len)
{
	return len >= net->header + NET_FRAME_MIN && len <= net->header + NET_FRAME_MAX;
}

static void net_deliver(struct net *net, unsigned int queue, const struct iovec *iov,
			unsigned int count)
{
	struct net_fifo *held = &net->queues[queue].held;

	if (!net_frame_fits(net, iov_size(iov, count))) {
		net_rx_drop(net);
		return;
	}
	if (net->unplugged) {
		net->rx_dropped++;
		return;
	}
	if (!held->used && net->peer->receive(net->nic, queue, iov, count))
		return;
	if (!fifo_put(held, iov, count))
		net_rx_drop(net);
}

static void net_deliver_end(struct net *net, unsigned int queue)
{
	net->peer->receive_end(net->nic, queue);
}

static void net_send_ready(struct net *net, unsigned int queue)
{
	net->peer->send_ready(net->nic, queue);
}

static int net_buffers(struct net *net, unsigned int queue, struct iovec *iov, unsigned int max)
{
	struct net_queue *q = &net->queues[queue];
	int n;

	if (!net->peer->buffers || net->unplugged)
		return -1; /* dropped there */
	n = q->held.used ? 0 : net->peer->buffers(net->nic, queue, iov, max);
	q->waiting = !n;
	return n;
}

static void net_filled(struct net *net, unsigned int queue, size_t len)
{
	if (net_frame_fits(net, len))
		net->peer->filled(net->nic, queue, len);
	else
		net_rx_drop(net);
}

static void net_link_tell(struct net *net, bool was_up)
{
	if (net_link_up(net) != was_up && net->peer->link)
		net->peer->link(net->nic, net_link_up(net));
}

static void net_link(struct net *net, bool up)
{
	bool was_up = net_link_up(net);

	net->carrier_off = !up;
	net_link_tell(net, was_up);
}

static const struct net_host net_host = {
	.watch_add = loop_watch_add,
	.watch_del = loop_watch_del,
	.hook_add = loop_hook_add,
	.hook_del = loop_hook_del,
	.err_set = err_set,
	.log_limited = log_limited,
	.user_parse = net_user_parse,
	.deliver = net_deliver,
	.deliver_end = net_deliver_end,
	.send_ready = net_send_ready,
	.buffers = net_buffers,
	.filled = net_filled,
	.link = net_link,
};

/* The NIC's side. */

/* @net has everything but its back end. */
static int net_connect(struct net *net, const struct net_backend_ops *ops, struct err *err)
{
	unsigned int i;
	int ret = 0;

	net->queues = calloc(net->queue_count, sizeof(*net->queues));
	for (i = 0; net->queues && i < net->queue_count; i++) {
		net->queues[i].held.buf = malloc(NET_HELD_BYTES);
		if (!net->queues[i].held.buf)
			ret = -ENOMEM;
	}
	if (!net->queues || ret) {
		net_close(net);
		return err_set(err, -ENOMEM, "net=%s: no memory", ops->name);
	}
	ret = ops->open(net, &net_host, &net->state, err);
	if (ret) {
		net_close(net);
		return ret;
	}
	net->ops = ops;
	return 0;
}

int net_attach(struct net *net, const struct net_backend_ops *ops, unsigned int queues,
	       struct vm *vm, const char *id, pthread_mutex_t *lock,
	       const struct net_peer_ops *peer, void *nic, struct err *err)
{
	*net = (struct net){ .vm = vm, .id = id, .lock = lock, .peer = peer, .nic = nic };
	net->queue_count = queues;
	return net_connect(net, ops, err);
}

int net_open(struct net *net, const struct net_config *config, struct vm *vm, const char *id,
	     pthread_mutex_t *lock, const struct net_peer_ops *peer, void *nic, struct err *err)
{
	const struct module_head *head;
	const struct net_module *brought;
	const struct net_row *row;
	void *module;
	int ret = net_check(config, err);

	if (ret)
		return ret;
	*net = (struct net){ .vm = vm, .id = id, .lock = lock, .peer = peer, .nic = nic };
	net->config = config;
	net->queue_count = net_queues(config);
	row = net_row_find(net_config_backend(config));
	if (row->ops)
		return net_connect(net, row->ops, err);
	ret = module_open(&row->module, &module, &head, err);
	if (ret)
		return ret;
	brought = container_of(head, const struct net_module, head);
	ret = net_connect(net, brought->ops, err);
	if (ret) {
		dlclose(module);
		return ret;
	}
	net->module = module;
	return 0;
}

void net_close(struct net *net)
{
	unsigned int i;

	if (net->ops)
		net->ops->close(net->state);
	net->ops = NULL;
	net->state = NULL;
	if (net->module)
		dlclose(net->module);
	net->module = NULL;
	for (i = 0; net->queues && i < net->queue_count; i++)
		free(net->queues[i].held.buf);
	free(net->queues);
	net->queues = NULL;
	net->header = 0;
}

bool net_send(struct net *net, unsigned int queue, const struct iovec *iov, unsigned int count)
{
	if (!net->ops || net->unplugged || !net_frame_fits(net, iov_size(iov, count))) {
		net->tx_dropped++;
		return true;
	}
	return net->ops->send(net->state, queue, iov, count);
}

void net_ready(struct net *net, unsigned int queue)
{
	struct iovec iov[2];
	struct net_queue *q;
	unsigned int count;
	size_t len;

	if (!net->queues)
		return;
	q = &net->queues[queue];
	for (;;) {
		count = fifo_peek(&q->held, iov, &len);
		if (!count || !net->peer->receive(net->nic, queue, iov, count))
			break;
		fifo_drop_first(&q->held, len);
	}
	net->peer->receive_end(net->nic, queue);
	if (q->waiting && !q->held.used && net->ops && net->ops->receive_ready) {
		q->waiting = false;
		net->ops->receive_ready(net->state, queue);
	}
}

/* What a back end need not have. */

bool net_has_header(const struct net *net)
{
	return net->ops && net->ops->has_header && net->ops->has_header(net->state);
}

int net_set_header(struct net *net, unsigned int size, net_offloads offloads)
{
	unsigned int i;
	int ret = 0;

	if (net_has_header(net))
		ret = net->ops->set_header(net->state, size, offloads);
	else if (size)
		ret = -ENOTSUP;
	if (ret)
		return ret;
	net->header = size;
	for (i = 0; i < net->queue_count; i++)
		net_drop_held(net, i);
	return 0;
}

int net_set_queues(struct net *net, unsigned int count)
{
	if (net->ops && net->ops->set_queues)
		return net->ops->set_queues(net->state, count);
	return count == 1 ? 0 : -ENOTSUP;
}

void net_set_filter(struct net *net, const struct net_filter *filter)
{
	if (net->ops && net->ops->set_filter)
		net->ops->set_filter(net->state, filter);
}

bool net_can_take_over(const struct net *net)
{
	return net->ops && net->ops->take_over;
}

int net_take_over(struct net *net, unsigned int queue, bool taken)
{
	if (!net_can_take_over(net))
		return -ENOTSUP;
	return net->ops->take_over(net->state, queue, taken);
}

bool net_link_up(const struct net *net)
{
	return !net->carrier_off && !net->unplugged;
}

void net_set_link(struct net *net, bool up)
{
	bool was_up = net_link_up(net);

	net->unplugged = !up;
	net_link_tell(net, was_up);
}

void net_drop_held(struct net *net, unsigned int queue)
{
	if (!net->queues)
		return;
	net->queues[queue].held.head = 0;
	net->queues[queue].held.used = 0;
}

void net_mac_derive(const char *vm_name, const char *id, struct mac_addr *ret_mac)
{
	const char *parts[] = { vm_name ? vm_name : "", id };
	uint64_t h = 0xcbf29ce484222325ull; /* FNV-1a, the terminating zeros included */
	const char *p;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		p = parts[i];
		do {
			h = (h ^ (uint8_t)*p) * 0x100000001b3ull;
		} while (*p++);
	}
	h ^= h >> 24 ^ h >> 48;
	*ret_mac = (struct mac_addr){
		.b = { 0x52, 0x54, 0x00, (uint8_t)(h >> 16), (uint8_t)(h >> 8), (uint8_t)h },
		.set = true,
	};
}
