/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tap interface as the host's administrator sees it: opened, asked, set up, given to a script.
 * Nothing here keeps anything. Any thread.
 */
#ifndef VIADUCT_VMM_NET_TAP_IF_H
#define VIADUCT_VMM_NET_TAP_IF_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct err;

/* Opens one more queue of the interface @name, or makes it, with a name of the kernel's choice when
 * @name is empty; what it is called is stored. @several: it has or gets more than one. The
 * descriptor, non-blocking and close-on-exec, or -errno with the reason. */
int tap_if_open(char name[IFNAMSIZ], bool several, struct err *err);
/* @fd was opened by another: makes it like one of ours and stores its name, and whether it has
 * headers (IFF_VNET_HDR). 0 or -errno with the reason; @fd stays the caller's. */
int tap_if_adopt(int fd, char ret_name[IFNAMSIZ], bool *ret_header, struct err *err);
/* What precedes each frame of @fd, of all queues of its interface: @size bytes, 10 or 12, and what
 * is left to whom (TUN_F_*). 0 or -errno. */
int tap_if_set_header(int fd, unsigned int size, unsigned int offloads);
/* Frames come through this queue, or not. 0 or -errno. */
int tap_if_attach(int fd, bool attached);
/* Which frames pass to us. */
struct net_filter;
void tap_if_set_filter(int fd, const struct net_filter *filter);

/* The interface's flags (IFF_*), with @or_set added when it is not 0. 0 or -errno. */
int tap_if_flags(const char *name, short or_set, short *ret_flags);
/* What the interface behind @fd is called now and its flags. -EBADFD: it is gone. 0 or -errno. */
int tap_if_ask(int fd, char ret_name[IFNAMSIZ], short *ret_flags);
/* How many queues of the interface @name are open, in whatever program. 0: it has one, or the kernel
 * does not say. */
unsigned int tap_if_queues(const char *name);
/* The bridge or the like that the interface is a port of (an index, 0: none), and its MTU. */
struct tap_if_place {
	unsigned int master, mtu;
};
/* 0; or -errno: it is not there, or the kernel does not say. */
int tap_if_place(const char *name, struct tap_if_place *ret_place);
/* A socket that is readable when an interface of this network namespace changes (rtnetlink); to be
 * drained by tap_if_changed(). -errno. */
int tap_if_changes(void);
/* True when it was about interface @index, or about one that was not there before; or too much to
 * tell. */
bool tap_if_changed(int fd, unsigned int index);
/* 0 or -errno with the reason. */
int tap_if_set_mtu(const char *name, uint32_t mtu, struct err *err);
/* Runs the program @script with @name and waits for it. 0, or an error when it fails. */
int tap_if_run(const char *script, const char *name, struct err *err);

#endif
