/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cable between a NIC (virtio-net, an emulated chip) and what carries its frames on the host.
 *
 * A frame begins with the Ethernet header; there is no FCS. Everything here runs with the NIC's
 * device lock held: the NIC calls net_send() from its callbacks, and a back end uses the lock for
 * its watches and hooks. A back end may deliver from within its send(): a NIC must expect frames
 * while it sends one.
 *
 * A NIC that has no room says so, and net.c keeps the frame and those that follow, up to
 * NET_HELD_BYTES for each queue; what comes beyond is dropped and counted. A back end that can wait
 * asks first (net_host.blocked) and leaves the frames where they are.
 *
 * A NIC may have several queues each way; queue i of the one side is queue i of the other. And it
 * may want a struct virtio_net_hdr before each frame, both ways, for checksums and segmentation
 * left to the other side: net_set_header(). Where a frame is meant below, that header is a part of
 * it.
 */
#ifndef VIADUCT_VMM_NET_H
#define VIADUCT_VMM_NET_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/log.h"
#include "base/opt.h"
#include "loop.h"
#include "module.h"

struct err;
struct net;
struct net_config;
struct net_user;
struct vm;

#define NET_FRAME_MIN 14u	     /* an Ethernet header */
#define NET_FRAME_MAX (65535u + 14u) /* the largest IP packet behind it */
#define NET_HEADER_MAX 12u	     /* struct virtio_net_hdr_v1 */
#define NET_QUEUES_MAX 64u
#define NET_FILTER_MAX 64u
#define NET_HELD_BYTES 0x40000u	     /* 256 KiB, touched only when something is held */

/* What segments and checksums the NIC takes from the host (TUN_F_* of linux/if_tun.h). */
typedef unsigned int net_offloads;

/* Which frames the NIC wants: a hint, a back end may deliver more. */
struct net_filter {
	bool promiscuous;
	bool all_multicast;
	unsigned int count; /* of addresses */
	uint8_t addr[NET_FILTER_MAX][6];
};

/* The NIC's side. */
struct net_peer_ops {
	/* One frame for the guest, in at most two entries for frames that were held. True: taken,
	 * or dropped for good (no driver, or it can never fit). False: no room now; the NIC calls
	 * net_ready() when there is. Must not call net_send(). */
	bool (*receive)(void *nic, unsigned int queue, const struct iovec *iov, unsigned int count);
	/* A burst of receive() or filled() is over: time to interrupt the guest. */
	void (*receive_end)(void *nic, unsigned int queue);
	/* After net_send() returned false: the back end takes frames again. */
	void (*send_ready)(void *nic, unsigned int queue);
	/* The cable was plugged in or pulled; net_link_up() says the same. Also
	 * called from within net_open(), without the lock. May be NULL. */
	void (*link)(void *nic, bool up);
	/*
	 * Guest memory for the next frame of @queue, so that it need not be copied: up to @max
	 * entries into @iov, as much as the NIC has at hand for one frame. Returns how many; 0: no
	 * room now, net_ready() follows; -1: the NIC copies, call receive(). The memory is good
	 * until filled(), or until the lock is given up. May be NULL: the NIC always copies.
	 */
	int (*buffers)(void *nic, unsigned int queue, struct iovec *iov, unsigned int max);
	/* The frame of @len bytes is in what buffers() gave, from its beginning on. */
	void (*filled)(void *nic, unsigned int queue, size_t len);
};

/*
 * What a back end may call. A table, because a module is loaded by programs that export no
 * symbols (the unit tests, a stripped viaduct).
 */
struct net_host {
	int (*watch_add)(struct loop *loop, int fd, uint32_t events, pthread_mutex_t *lock,
			 loop_fd_fn fn, void *opaque, struct loop_watch **ret_watch,
			 struct err *err);
	void (*watch_del)(struct loop_watch *watch);
	void (*hook_add)(struct loop *loop, struct loop_hook *hook);
	void (*hook_del)(struct loop *loop, struct loop_hook *hook);
	int (*err_set)(struct err *err, int code, const char *fmt, ...)
		__attribute__((format(printf, 3, 4)));
	void (*log_limited)(const struct log *log, struct log_limit *limit, enum log_level level,
			    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
	/* net_user_parse() */
	int (*user_parse)(const struct net_config *config, struct net_user *ret_user,
			  struct err *err);
	/* A frame for the guest: delivered, kept or dropped. */
	void (*deliver)(struct net *net, unsigned int queue, const struct iovec *iov,
			unsigned int count);
	/* The frames that were there are delivered. */
	void (*deliver_end)(struct net *net, unsigned int queue);
	/* send() returned false before, and takes frames again. */
	void (*send_ready)(struct net *net, unsigned int queue);
	/* As net_peer_ops: memory to read a frame into, and that it is there. With 0 the back end
	 * leaves its frames where they are until receive_ready(). */
	int (*buffers)(struct net *net, unsigned int queue, struct iovec *iov, unsigned int max);
	void (*filled)(struct net *net, unsigned int queue, size_t len);
	/* What carries the frames is there again, or no longer. NIC's lock held, or in open(). */
	void (*link)(struct net *net, bool up);
};

struct net_backend_ops {
	const char *name;
	/* Loop thread, lock not held. On failure nothing is left. */
	int (*open)(struct net *net, const struct net_host *host, void **ret_state,
		    struct err *err);
	/* Loop thread. No callback starts after this. */
	void (*close)(void *state);
	/* One frame of NET_FRAME_MIN..NET_FRAME_MAX bytes, behind its header. The entries point
	 * into guest memory: the guest may change it meanwhile, so it is read once. True: sent or
	 * dropped. False: the NIC keeps it until send_ready(). Any thread. */
	bool (*send)(void *state, unsigned int queue, const struct iovec *iov, unsigned int count);

	/* The rest may be NULL: a back end of one queue, of whole frames, that does not wait. The
	 * NIC's lock is held. */

	/* After buffers() returned 0: there is room. */
	void (*receive_ready)(void *state, unsigned int queue);
	/* Is there a header to be had? Then set_header() does as net_set_header(). */
	bool (*has_header)(void *state);
	int (*set_header)(void *state, unsigned int size, net_offloads offloads);
	/* As net_set_queues(). NULL: there is one. */
	int (*set_queues)(void *state, unsigned int count);
	void (*set_filter)(void *state, const struct net_filter *filter);
	/* The descriptor that frames of @queue go through, for the host's kernel to use in this
	 * process's place, or -errno: as net_take_over(). */
	int (*take_over)(void *state, unsigned int queue, bool taken);
};

/* The one symbol of a module, `viaduct_net_module`. */
struct net_module {
	struct module_head head;
	const struct net_backend_ops *ops;
};

/* A ring of bytes in which each frame is its length (4 bytes) and its bytes, padded to 4. */
struct net_fifo {
	uint8_t *buf; /* NET_HELD_BYTES */
	size_t head, used;
};

struct net_queue {
	struct net_fifo held;
	bool waiting; /* the back end was told that there is no room */
};

/* Embedded in the NIC. Zero-initialised is closed. */
struct net {
	struct vm *vm;
	const char *id; /* the NIC's, for messages */
	const struct net_config *config; /* NULL: of net_attach() */
	pthread_mutex_t *lock;
	const struct net_peer_ops *peer;
	void *nic;
	const struct net_backend_ops *ops; /* NULL: closed */
	void *state;
	void *module; /* dlopen() handle */
	struct net_queue *queues;
	unsigned int queue_count;
	unsigned int header; /* bytes of it before each frame */
	uint64_t rx_dropped, tx_dropped;
	bool carrier_off; /* the back end has lost what carries the frames */
	bool unplugged;	  /* net_set_link() */
	struct log_limit limit;
};

/* How many queues @config asks for. */
unsigned int net_queues(const struct net_config *config);
/* Is there a back end of this name, and do the options fit it? 0 or -EINVAL. For probe: takes
 * nothing. */
int net_check(const struct net_config *config, struct err *err);

/* Connects a NIC. The back end "user" is the user-mode network, a module that is looked for next to
 * the running program and in the directory chosen at build time; that it is missing is an error of
 * the configuration (-ENOENT), never -ENODEV. @config, @id and @lock live as long as @net. Loop
 * thread, lock not held. */
int net_open(struct net *net, const struct net_config *config, struct vm *vm, const char *id,
	     pthread_mutex_t *lock, const struct net_peer_ops *peer, void *nic, struct err *err);
/* As net_open(), with a back end that the caller has and @queues; @ops outlives @net. */
int net_attach(struct net *net, const struct net_backend_ops *ops, unsigned int queues,
	       struct vm *vm, const char *id, pthread_mutex_t *lock,
	       const struct net_peer_ops *peer, void *nic, struct err *err);
/* Loop thread. A net that is closed or was never opened is fine. */
void net_close(struct net *net);

/* One frame from the guest. True: sent, or dropped (too short, too long, closed). False: the NIC
 * keeps it until peer->send_ready(). NIC's lock held. */
bool net_send(struct net *net, unsigned int queue, const struct iovec *iov, unsigned int count);
/* The NIC has room again: what was kept is delivered now, ending with receive_end(). NIC's lock
 * held. */
void net_ready(struct net *net, unsigned int queue);
/* Can the back end do headers? Never changes while @net is open. */
bool net_has_header(const struct net *net);
/* From now on each frame has @size bytes of struct virtio_net_hdr_v1 before it (0: none; else 10 or
 * 12), little-endian, and may be such as @offloads says. 0 or -errno, then it is as it was. What
 * was kept is forgotten. NIC's lock held. */
int net_set_header(struct net *net, unsigned int size, net_offloads offloads);
/* The first @count queues are in use, of those that net_open() was asked for: frames come through
 * these only. 0 or -errno. NIC's lock held. */
int net_set_queues(struct net *net, unsigned int count);
/* NIC's lock held. */
void net_set_filter(struct net *net, const struct net_filter *filter);
/* Does the back end have descriptors for net_take_over()? Never changes while @net is open. */
bool net_can_take_over(const struct net *net);
/* The host's kernel moves the frames of @queue from now on (@taken), or no longer: the back end
 * gives its descriptor away and leaves it alone, but for the link. Returns the descriptor, which
 * stays the back end's, is good while the link is up and may be another after it was down; or
 * -ENOTSUP, -errno. NIC's lock held. */
int net_take_over(struct net *net, unsigned int queue, bool taken);
/* Plugs the cable in (@up) or pulls it: without it frames are dropped both ways. It is in from
 * net_open() on. NIC's lock held. */
void net_set_link(struct net *net, bool up);
/* Is the cable in, and its other end alive? NIC's lock held. */
bool net_link_up(const struct net *net);
/* Forgets what was kept: the NIC, or its queue, was reset. NIC's lock held. */
void net_drop_held(struct net *net, unsigned int queue);

/* An address for a NIC that was given none: 52:54:00 and 24 bits derived from the VM's name and the
 * device's id, so it is the same at every start. */
void net_mac_derive(const char *vm_name, const char *id, struct mac_addr *ret_mac);

#endif
